/* Segments and space: where one ends and the next begins, what is promised to fit, and disks that are full. */
#include "log_rig.h"

#include <criterion/criterion.h>

/* ---------------------------------------------------------------- the queue */

Test(log_segments, the_queue_is_bounded_and_drains_to_half_before_it_opens_again) {
    struct rig *rig = rig_make(LOG_EVERYSEC);
    rig->options.queue_bytes_max = 4000;
    rig_opened(rig);
    while (rig_state(rig) == JOURNAL_OPEN) rig_append(rig);
    cr_expect_eq(rig_state(rig), JOURNAL_BUSY);
    uint64_t bytes = rig_stats(rig).log_queue_bytes;
    cr_expect(bytes > 4000 && bytes <= 4000 + 100 + FRAME_HEADER_BYTES + STREAM_OVERHEAD_BYTES, "%lu bytes",
              (unsigned long)bytes);
    rig_run(rig);
    cr_expect_eq(rig_state(rig), JOURNAL_OPEN);
    cr_expect_eq(rig_stats(rig).log_queue_bytes, 0u);
    cr_expect_eq(rig_prefix(rig), atomic_load(&rig->last), "what was appended above the bound is written too");
    rig_free(rig);
}

/* The frames of a long queue are written one by one; half of it is still too much. */
struct watched {
    struct rig *rig;
    uint64_t busy_above, open_below; /* bytes of the queue */
};

static void watch_state(void *context, enum sim_call call, const char *name) {
    struct watched *watched = context;
    (void)name;
    if (call != SIM_WRITE) return;
    uint64_t bytes = rig_stats(watched->rig).log_queue_bytes;
    bool is_open = rig_state(watched->rig) == JOURNAL_OPEN;
    if (is_open && bytes > watched->open_below) watched->open_below = bytes;
    if (!is_open && bytes < watched->busy_above) watched->busy_above = bytes;
}

Test(log_segments, a_long_queue_is_busy_until_half_of_it_is_written) {
    struct rig *rig = rig_make(LOG_EVERYSEC);
    rig->options.queue_bytes_max = 600000;
    rig->options.segment_bytes = 1 << 20;
    rig_opened(rig);
    struct watched watched = {rig, UINT64_MAX, 0};
    while (rig_state(rig) == JOURNAL_OPEN) rig_append_sized(rig, 0, 200000); /* a frame each */
    sim_disk_set_hook(rig->sim, watch_state, &watched);
    rig_append_sized(rig, 1, 200000);
    rig_run(rig);
    cr_expect(watched.busy_above > 300000 && watched.busy_above < 500000, "%lu bytes",
              (unsigned long)watched.busy_above);
    cr_expect(watched.open_below > 100000 && watched.open_below <= 300000, "%lu bytes",
              (unsigned long)watched.open_below);
    rig_free(rig);
}

/* ---------------------------------------------------------------- going over */

struct order {
    uint64_t unsynced_of; /* segment that has unsynced bytes; 0: none */
    uint64_t breaches, segments;
};

static uint64_t segment_of(const char *name) {
    enum file_kind kind;
    uint64_t number;
    return file_name_read(name, &kind, &number) && kind == FILE_LOG ? number : 0;
}

static void watch_order(void *context, enum sim_call call, const char *name) {
    struct order *order = context;
    uint64_t number = segment_of(name);
    if (number == 0) return;
    if (call == SIM_WRITE) {
        if (order->unsynced_of && order->unsynced_of != number) order->breaches++;
        order->unsynced_of = number;
    }
    if (call == SIM_SYNC && number == order->unsynced_of) order->unsynced_of = 0;
    if (call == SIM_TRUNCATE && number == order->unsynced_of) order->breaches++;
    if (call == SIM_TRUNCATE) order->segments++;
}

static void segments_follow(enum log_level_of level) {
    struct rig *rig = rig_open(level);
    struct order order = {0};
    sim_disk_set_hook(rig->sim, watch_order, &order);
    for (int i = 0; i < 2000; i++) {
        rig_append(rig);
        if (i % 7 == 0) rig_pass(rig, 3);
    }
    rig_run(rig);
    cr_expect_eq(order.breaches, 0u, "nothing of a segment is written before all of the last one is synced");
    cr_expect_geq(order.segments, 2000 * 100 / RIG_SEGMENT_BYTES - 1);
    cr_expect_eq(journal_mark(rig->journal), 2000u);
    struct log_stats stats = rig_stats(rig);
    struct rig_found *found = malloc(sizeof *found);
    rig_read(rig, found);
    cr_expect_eq(found->newest, 2000u);
    cr_expect_eq(found->segments, stats.log_segments);
    cr_expect_eq(found->segments, order.segments + 1);
    free(found);
    /* The spare one is allocated, the current one too, the ended ones are as long as what they hold. */
    cr_expect_leq(stats.log_segment_bytes, stats.log_bytes_total);
    cr_expect_eq(stats.log_segment_bytes, stats.log_bytes_total);
    rig_free(rig);
}

Test(log_segments, follow_each_other_at_everysec) {
    segments_follow(LOG_EVERYSEC);
}
Test(log_segments, follow_each_other_at_always) {
    segments_follow(LOG_ALWAYS);
}

Test(log_segments, an_append_of_more_than_a_segment_stands_whole_in_one) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    rig_append_many(rig, 3);
    rig_append_sized(rig, 0, 10 * RIG_SEGMENT_BYTES);
    rig_append_many(rig, 3);
    rig_run(rig);
    cr_expect_eq(journal_mark(rig->journal), 7u);
    cr_expect_eq(rig_prefix(rig), 7u);
    rig_append_many(rig, 3);
    rig_run(rig);
    cr_expect_geq(rig_stats(rig).log_segments, 2u);
    cr_expect_eq(rig_prefix(rig), 10u);
    rig_free(rig);
}

Test(log_segments, the_next_one_is_there_before_it_is_needed) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    uint64_t made = sim_disk_calls(rig->sim, SIM_ALLOCATE);
    cr_expect_eq(made, 2u, "the first one and its spare");
    rig_append_many(rig, RIG_SEGMENT_BYTES / 100 + 10);
    log_write(rig->log, rig->now_ms);
    rig_append(rig);
    log_write(rig->log, rig->now_ms); /* ends it */
    log_sync(rig->log, rig->now_ms);  /* closes it */
    log_write(rig->log, rig->now_ms); /* goes over, though nobody kept anything */
    cr_expect_eq(rig_stats(rig).log_segments, 2u);
    cr_expect_eq(sim_disk_calls(rig->sim, SIM_ALLOCATE), made);
    cr_expect_eq(journal_mark(rig->journal), atomic_load(&rig->last));
    rig_free(rig);
}

/* ---------------------------------------------------------------- rotation and seals */

static struct seal_keys some_keys(uint8_t first) {
    struct seal_keys keys = {.count = 1};
    memset(keys.keys[0], first, SEAL_KEY_BYTES);
    return keys;
}

static uint8_t key_of(struct rig *rig, uint64_t number) {
    struct buf file = BUF_EMPTY;
    struct file_header header;
    CHECK(rig_get_file(rig, FILE_LOG, number, &file, &header));
    uint8_t byte = header.is_sealed ? header.key_id[0] : 0;
    buf_fini(&file);
    return byte;
}

Test(log_segments, rotate_goes_over_to_a_segment_under_new_keys) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    rig_append(rig);
    rig_run(rig);
    cr_expect_eq(key_of(rig, 1), 0u);
    struct seal_keys keys = some_keys(1), others = some_keys(2);
    log_rotate(rig->log, &keys);
    rig_run(rig);
    uint64_t first = rig_stats(rig).log_segments;
    cr_expect_eq(first, 2u, "it goes over although nothing is appended");
    rig_append(rig);
    log_rotate(rig->log, &others);
    rig_run(rig);
    cr_expect_neq(key_of(rig, 2), 0u);
    cr_expect_neq(key_of(rig, 3), key_of(rig, 2));
    cr_expect_eq(journal_mark(rig->journal), 2u);
    keys.count = 2;
    memcpy(keys.keys[1], others.keys[0], SEAL_KEY_BYTES);
    rig->options.keys = &keys;
    cr_expect_eq(rig_prefix(rig), 2u);
    rig_free(rig);
}

Test(log_segments, nothing_of_a_sealed_file_can_be_read_without_its_key) {
    struct rig *rig = rig_make(LOG_ALWAYS);
    struct seal_keys keys = some_keys(7);
    rig->options.keys = &keys;
    rig_opened(rig);
    rig_append_many(rig, 500);
    rig_run(rig);
    cr_expect_eq(rig_prefix(rig), 500u);
    struct buf file = BUF_EMPTY;
    struct file_header header;
    cr_assert(rig_get_file(rig, FILE_LOG, 2, &file, &header));
    for (size_t i = 0; i + 8 <= file.size; i++)
        cr_assert_neq(memcmp(file.data + i, "pppppppp", 8), 0, "plain bytes at %zu", i);
    buf_fini(&file);
    rig_free(rig);
}

/* ---------------------------------------------------------------- saying what is synced */

Test(log_segments, one_mark_says_what_is_synced_when_nobody_writes) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    struct rig_found *found = malloc(sizeof *found);
    rig_append_many(rig, 5);
    rig_pass(rig, 5000);
    rig_read(rig, found);
    cr_expect_eq(found->last.kind, (uint32_t)FRAME_MARK);
    cr_expect_eq(found->last.synced, found->size_of_last - FRAME_HEADER_BYTES, "all before it is");
    cr_expect_eq(found->last.version, 5u);
    uint64_t size = found->size_of_last;
    rig_pass(rig, 30000);
    rig_read(rig, found);
    cr_expect_eq(found->size_of_last, size, "one is enough");
    rig_append(rig);
    rig_pass(rig, 30000);
    rig_read(rig, found);
    cr_expect_eq(found->size_of_last, size + 2 * FRAME_HEADER_BYTES + 100, "%lu and then %lu", (unsigned long)size,
                 (unsigned long)found->size_of_last);
    free(found);
    rig_free(rig);
}

/* A start under a clock that went backwards goes on from there, and whatever passed unseen before would be given to
 * each session again. */
Test(log_segments, a_server_to_whom_nobody_writes_says_each_minute_what_time_it_is) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    struct rig_found *found = malloc(sizeof *found);
    rig_append(rig);
    for (unsigned minute = 0; minute < 10; minute++) {
        rig_pass(rig, 60000);
        rig_read(rig, found);
        cr_expect_geq(found->last.server_ms, rig->now_ms - 61000, "minute %u", minute);
    }
    cr_expect_leq(found->size_of_last, FILE_HEADER_BYTES + 1000u, "and not more often");
    free(found);
    rig_free(rig);
}

/* ---------------------------------------------------------------- full disks */

/* Appends until writes are refused, as loops do. */
static void fill(struct rig *rig) {
    for (int i = 0; i < 100000 && rig_state(rig) == JOURNAL_OPEN; i++) {
        rig_append(rig);
        if (i % 13 == 0) rig_run(rig);
    }
}

Test(log_segments, a_full_disk_is_noticed_while_all_that_was_admitted_still_fits) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    uint64_t room = sim_disk_used(rig->sim);
    sim_disk_set_space(rig->sim, room);
    fill(rig);
    cr_expect_eq(rig_state(rig), JOURNAL_FULL);
    cr_expect_eq(rig_stats(rig).full_total, 1u);
    cr_expect(strstr(rig_stats(rig).failure, "log-"), "%s", rig_stats(rig).failure);
    uint64_t admitted = atomic_load(&rig->last);
    cr_expect_gt(admitted, 2 * RIG_SEGMENT_BYTES / 160);
    /* Each loop was told OPEN a moment ago, and appends what it may. */
    for (unsigned loop = 0; loop < RIG_LOOPS; loop++)
        for (int i = 0; i < RIG_SEGMENT_BYTES / 1024; i++) rig_append_sized(rig, loop, 1024);
    rig_run(rig);
    cr_expect_eq(journal_mark(rig->journal), atomic_load(&rig->last), "all of it is safe");
    cr_expect_eq(rig_prefix(rig), atomic_load(&rig->last));
    cr_expect_leq(sim_disk_used(rig->sim), room);
    rig_free(rig);
}

Test(log_segments, a_full_disk_takes_writes_again_by_itself) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    sim_disk_set_space(rig->sim, sim_disk_used(rig->sim));
    fill(rig);
    rig_run(rig);
    rig_pass(rig, 5000);
    cr_expect_eq(rig_state(rig), JOURNAL_FULL);
    sim_disk_set_space(rig->sim, UINT64_MAX);
    rig_pass(rig, 1000);
    cr_expect_eq(rig_state(rig), JOURNAL_OPEN);
    cr_expect_eq(rig_stats(rig).failure[0], 0);
    rig_append_many(rig, 1000);
    rig_run(rig);
    cr_expect_eq(journal_mark(rig->journal), atomic_load(&rig->last));
    cr_expect_eq(rig_prefix(rig), atomic_load(&rig->last));
    rig_free(rig);
}

Test(log_segments, a_disk_that_promised_no_space_keeps_what_it_could_not_write) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    uint64_t safe = rig_append_many(rig, 3);
    rig_run(rig);
    sim_disk_fail(rig->sim, SIM_WRITE, 1, true, DISK_FULL);
    uint64_t kept = rig_append_many(rig, 3);
    rig->journal->await(rig->journal, 0, kept);
    rig_run(rig);
    cr_expect_eq(rig_state(rig), JOURNAL_FULL);
    rig_pass(rig, 10000);
    cr_expect_eq(journal_mark(rig->journal), safe);
    cr_expect_eq(rig_state(rig), JOURNAL_FULL);
    sim_disk_heal(rig->sim);
    rig_pass(rig, 1000);
    cr_expect_eq(rig_state(rig), JOURNAL_OPEN);
    cr_expect_eq(journal_mark(rig->journal), kept);
    cr_expect_eq(atomic_load(&rig->woken[0]), 1u);
    cr_expect_eq(rig_prefix(rig), kept);
    rig_free(rig);
}

Test(log_segments, a_log_may_be_opened_on_a_full_disk) {
    struct rig *rig = rig_make(LOG_ALWAYS);
    const char *why = NULL;
    sim_disk_set_space(rig->sim, 1000);
    cr_assert(rig_try_open(rig, &why));
    rig_run(rig);
    cr_expect_eq(rig_state(rig), JOURNAL_FULL);
    sim_disk_set_space(rig->sim, UINT64_MAX);
    rig_pass(rig, 1000);
    cr_expect_eq(rig_state(rig), JOURNAL_OPEN);
    rig_append(rig);
    rig_run(rig);
    cr_expect_eq(rig_prefix(rig), 1u);
    rig_free(rig);
}

Test(log_segments, a_log_that_cannot_be_opened_says_why) {
    struct rig *rig = rig_make(LOG_ALWAYS);
    const char *why = NULL;
    sim_disk_fail(rig->sim, SIM_OPEN, 1, false, DISK_REFUSED);
    cr_assert_not(rig_try_open(rig, &why));
    cr_assert_not_null(why);
    cr_expect(strstr(why, "log-0000000000000001"), "%s", why);
    rig_free(rig);
}

/* ---------------------------------------------------------------- the end */

Test(log_segments, close_makes_all_safe_and_ends_the_last_one) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append_many(rig, 1000);
    cr_assert(log_close(rig->log, rig->now_ms));
    struct rig_found *found = malloc(sizeof *found);
    rig_read(rig, found);
    cr_expect(found->is_ended);
    cr_expect_eq(found->newest, 1000u);
    cr_expect_eq(journal_mark(rig->journal), 1000u);
    char name[DISK_NAME_MAX + 1];
    struct buf file = BUF_EMPTY;
    file_name_write(FILE_LOG, found->last_segment, name);
    cr_assert(sim_disk_get(rig->sim, name, &file));
    cr_expect_eq(file.size, found->size_of_last, "it is cut to its size");
    buf_fini(&file);
    file_name_write(FILE_LOG, found->last_segment + 1, name);
    cr_expect_not(sim_disk_get(rig->sim, name, &file), "the spare one is gone");
    buf_fini(&file);
    struct prng prng = prng_of(1);
    sim_disk_crash(rig->sim, &prng);
    cr_expect_eq(rig_prefix(rig), 1000u, "a power cut takes nothing");
    free(found);
    rig_free(rig);
}

Test(log_segments, close_says_when_not_everything_is_safe) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append_many(rig, 10);
    sim_disk_fail(rig->sim, SIM_SYNC, 1, false, DISK_FAILED);
    cr_expect_not(log_close(rig->log, rig->now_ms));
    rig_free(rig);
}
