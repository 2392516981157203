/* Disks that fail at every call, once and for ever, and crashes after every call: what was acknowledged is there, what
 * is there has no hole, and a log that has failed touches nothing any more. */
#include "log/recovery.h"
#include "log_rig.h"

#include <criterion/criterion.h>

enum { STEPS = 60, SEGMENT_BYTES = 8192 };

/* What a run leaves to be checked. */
struct course {
    struct rig *rig;
    struct prng prng;
    uint64_t marks[STEPS + 2]; /* at the end of each step */
    int64_t moments[STEPS + 2];
    unsigned count;
    unsigned breaches;   /* calls that change anything, after it had failed */
    uint64_t calls_left; /* until the crash */
    int64_t crashed_at;
    bool is_open;
};

static void watch_failed(void *context, enum sim_call call, const char *name) {
    struct course *course = context;
    bool changes =
        call == SIM_WRITE || call == SIM_RENAME || call == SIM_REMOVE || call == SIM_TRUNCATE || call == SIM_ALLOCATE;
    struct journal *journal = course->rig->journal;
    (void)name;
    if (course->calls_left-- == 0) course->crashed_at = course->rig->now_ms;
    if (changes && journal && atomic_load(&journal->state) == JOURNAL_FAILED) course->breaches++;
}

static struct rig *small_rig(enum log_level_of level) {
    struct rig *rig = rig_make(level);
    rig->options.segment_bytes = SEGMENT_BYTES;
    rig->slice_versions = 40;
    return rig;
}

/* One step of loops and storage threads, as chance has it: appends, some of the steps or all of them, some time. */
static void step(struct course *course, unsigned number) {
    struct rig *rig = course->rig;
    unsigned appends = (unsigned)prng_below(&course->prng, 8);
    for (unsigned i = 0; i < appends && rig_state(rig) == JOURNAL_OPEN; i++)
        rig_append_sized(rig, i % RIG_LOOPS, 16 + prng_below(&course->prng, number % 17 == 3 ? 9000 : 600));
    for (unsigned i = 0; i < 6; i++) rig_step(rig, (enum log_thread)prng_below(&course->prng, LOG_THREAD_COUNT));
    if (prng_below(&course->prng, 3) == 0) rig_run(rig);
    if (number == STEPS / 4 || number == STEPS / 2) log_snapshot(rig->log);
    if (number == STEPS / 3) log_rotate(rig->log, NULL);
    rig_pass(rig, (int64_t)prng_below(&course->prng, 120));
    course->marks[course->count] = journal_mark(rig->journal);
    course->moments[course->count++] = rig->now_ms;
}

static void run(struct course *course, struct rig *rig, uint64_t seed, uint64_t crash_after) {
    const char *why = NULL;
    *course = (struct course){.rig = rig, .prng = prng_of(seed), .calls_left = crash_after, .crashed_at = INT64_MAX};
    sim_disk_set_hook(rig->sim, watch_failed, course);
    course->is_open = rig_try_open(rig, &why);
    if (!course->is_open) {
        CHECK(why && why[0]);
        return;
    }
    for (unsigned i = 0; i < STEPS; i++) step(course, i);
}

static uint64_t calls_of(enum log_level_of level, uint64_t seed, enum sim_call kind) {
    struct rig *rig = small_rig(level);
    struct course course;
    uint64_t sum = 0;
    run(&course, rig, seed, UINT64_MAX);
    for (unsigned i = 0; i < SIM_CALL_COUNT; i++)
        if (kind == SIM_CALL_COUNT || i == kind) sum += sim_disk_calls(rig->sim, (enum sim_call)i);
    cr_assert_geq(rig_stats(rig).snapshots_total, 1u);
    cr_assert_geq(rig_stats(rig).log_frames_total, 20u);
    cr_assert_eq(course.breaches, 0u);
    rig_free(rig);
    return sum;
}

/* ---------------------------------------------------------------- recovery, by those who do it in earnest */

static struct rig_found *recovering;

static bool rig_apply(struct engine *engine, struct bytes effects, const char **why) {
    (void)engine;
    (void)why;
    rig_take_effects(recovering, effects);
    return true;
}

static bool rig_recovered(struct engine *engine, int64_t now_ms, struct recovery_counts *counts, const char **why) {
    (void)now_ms;
    (void)why;
    counts->version = recovering->newest;
    atomic_store(&rig_of(engine)->last, recovering->newest);
    return true;
}

/* Recovers, checks that it is the same as what the strict reader found, and opens the log again. */
static void live_on(struct rig *rig, uint64_t prefix) {
    struct recovery_options options = {.disk = sim_disk_of(rig->sim), .env = &rig->env, .engine = &rig->engine};
    struct recovery_report report;
    char error[RECOVERY_ERROR_MAX] = "";
    const char *why = NULL;
    recovering = calloc(1, sizeof *recovering);
    rig->vtable.apply = rig_apply;
    rig->vtable.recovered = rig_recovered;
    cr_assert(recovery_run(&options, &report, error), "%s", error);
    cr_assert_eq(recovering->newest, prefix, "recovered %lu of %lu", (unsigned long)recovering->newest,
                 (unsigned long)prefix);
    for (uint64_t i = 1; i <= prefix; i++) cr_assert(recovering->has[i]);
    free(recovering);
    log_free(rig->log);
    rig->start = report.start;
    cr_assert(rig_try_open(rig, &why), "%s", why);
    rig_append_many(rig, 100);
    log_snapshot(rig->log);
    rig_pass(rig, 2000);
    cr_assert_eq(journal_mark(rig->journal), prefix + 100);
    cr_assert_eq(rig_prefix(rig), prefix + 100);
}

/* ---------------------------------------------------------------- crashes */

/* What had been acknowledged so many milliseconds before the crash, at the least. */
static uint64_t mark_before(const struct course *course, int64_t ms) {
    uint64_t mark = 0;
    for (unsigned i = 0; i < course->count; i++)
        if (course->moments[i] + ms <= course->crashed_at) mark = course->marks[i];
    return mark;
}

/* The moment of the crash is the n-th call: what was acknowledged before it counts, nothing after it. */
static void crash_at(enum log_level_of level, uint64_t seed, uint64_t calls, bool is_power) {
    struct rig *rig = small_rig(level);
    struct course course;
    struct prng prng = prng_of(seed ^ calls);
    sim_disk_stop_after(rig->sim, calls);
    run(&course, rig, seed, calls);
    uint64_t mark = course.is_open ? journal_mark(rig->journal) : 0;
    cr_assert_eq(course.breaches, 0u);
    sim_disk_set_hook(rig->sim, NULL, NULL);
    if (is_power)
        sim_disk_crash(rig->sim, &prng);
    else
        sim_disk_kill(rig->sim);
    uint64_t prefix = rig_prefix(rig);
    if (course.crashed_at == INT64_MAX) course.crashed_at = rig->now_ms;
    uint64_t wanted = level == LOG_ALWAYS || !is_power ? mark : mark_before(&course, 1000);
    cr_assert_geq(prefix, wanted, "seed %lu, call %lu: %lu of %lu are there", (unsigned long)seed, (unsigned long)calls,
                  (unsigned long)prefix, (unsigned long)wanted);
    if (calls % 5 == 0) live_on(rig, prefix);
    rig_free(rig);
}

static void crash_everywhere(enum log_level_of level, bool is_power) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        uint64_t calls = calls_of(level, seed, SIM_CALL_COUNT);
        for (uint64_t i = 0; i <= calls; i++) crash_at(level, seed, i, is_power);
    }
}

Test(log_faults, a_power_cut_at_any_call_takes_nothing_acknowledged_at_always) {
    crash_everywhere(LOG_ALWAYS, true);
}

Test(log_faults, a_power_cut_at_any_call_takes_a_second_at_most_at_everysec) {
    crash_everywhere(LOG_EVERYSEC, true);
}

Test(log_faults, a_kill_at_any_call_takes_nothing_acknowledged) {
    crash_everywhere(LOG_EVERYSEC, false);
    crash_everywhere(LOG_ALWAYS, false);
}

/* ---------------------------------------------------------------- the n-th call fails */

static unsigned failed_runs, healed_runs;

static void fail_at(enum log_level_of level, enum sim_call call, uint64_t nth, bool is_for_ever,
                    enum disk_error error) {
    struct rig *rig = small_rig(level);
    struct course course;
    struct prng prng = prng_of(nth);
    sim_disk_fail(rig->sim, call, nth, is_for_ever, error);
    run(&course, rig, 1, UINT64_MAX);
    if (!course.is_open) {
        rig_free(rig);
        return;
    }
    uint64_t mark = journal_mark(rig->journal);
    cr_assert_eq(course.breaches, 0u);
    sim_disk_heal(rig->sim);
    rig_pass(rig, 3000);
    if (atomic_load(&rig->journal->state) == JOURNAL_FAILED) {
        failed_runs++;
        cr_assert_eq(journal_mark(rig->journal), mark, "it rests");
        cr_assert_eq(course.breaches, 0u);
        cr_assert_gt(strlen(rig_stats(rig).failure), 10u);
        cr_assert_not(log_close(rig->log, rig->now_ms));
        cr_assert_eq(course.breaches, 0u);
    } else {
        healed_runs++;
        rig_append(rig);
        rig_pass(rig, 1000);
        cr_assert_eq(rig_state(rig), JOURNAL_OPEN);
        cr_assert_eq(journal_mark(rig->journal), atomic_load(&rig->last));
        mark = journal_mark(rig->journal);
    }
    sim_disk_set_hook(rig->sim, NULL, NULL);
    uint64_t synced = level == LOG_ALWAYS ? mark : 0;
    cr_assert_geq(rig_prefix(rig), mark, "call %d, n %lu", call, (unsigned long)nth);
    sim_disk_crash(rig->sim, &prng);
    uint64_t prefix = rig_prefix(rig);
    cr_assert_geq(prefix, synced, "call %d, n %lu", call, (unsigned long)nth);
    live_on(rig, prefix);
    rig_free(rig);
}

static void fail_everywhere(enum log_level_of level, enum sim_call call, enum disk_error error, uint64_t stride) {
    uint64_t calls = calls_of(level, 1, call);
    for (uint64_t i = 1; i <= calls; i += stride) {
        fail_at(level, call, i, false, error);
        fail_at(level, call, i, true, error);
    }
}

Test(log_faults, a_full_disk_at_any_call_is_got_over) {
    fail_everywhere(LOG_EVERYSEC, SIM_WRITE, DISK_FULL, 1);
    fail_everywhere(LOG_ALWAYS, SIM_WRITE, DISK_FULL, 3);
    fail_everywhere(LOG_EVERYSEC, SIM_ALLOCATE, DISK_FULL, 1);
    fail_everywhere(LOG_EVERYSEC, SIM_OPEN, DISK_FULL, 1);
    cr_expect_eq(failed_runs, 0u);
    cr_expect_gt(healed_runs, 50u);
}

Test(log_faults, what_is_not_the_logs_bytes_never_makes_it_fail) {
    fail_everywhere(LOG_ALWAYS, SIM_OPEN, DISK_REFUSED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_ALLOCATE, DISK_FAILED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_RENAME, DISK_FAILED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_REMOVE, DISK_FAILED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_TRUNCATE, DISK_FAILED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_LIST, DISK_FAILED, 1);
    cr_expect_eq(failed_runs, 0u);
    cr_expect_gt(healed_runs, 20u);
}

Test(log_faults, a_write_or_a_sync_that_fails_is_final) {
    fail_everywhere(LOG_EVERYSEC, SIM_WRITE, DISK_FAILED, 2);
    fail_everywhere(LOG_ALWAYS, SIM_WRITE, DISK_FAILED, 2);
    fail_everywhere(LOG_EVERYSEC, SIM_SYNC, DISK_FAILED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_SYNC, DISK_FAILED, 1);
    fail_everywhere(LOG_ALWAYS, SIM_SYNC, DISK_FULL, 1);
    fail_everywhere(LOG_ALWAYS, SIM_SYNC_DIRECTORY, DISK_FAILED, 1);
    cr_expect_gt(failed_runs, 100u);
}
