/* Snapshots while the log runs: what they cover, when they count, what goes with them. */
#include "log_rig.h"

#include <criterion/criterion.h>

static bool has_file(struct rig *rig, enum file_kind kind, uint64_t number, const char *suffix) {
    char name[2 * DISK_NAME_MAX];
    struct buf file = BUF_EMPTY;
    file_name_write(kind, number, name);
    strcat(name, suffix);
    bool is_there = sim_disk_get(rig->sim, name, &file);
    buf_fini(&file);
    return is_there;
}

Test(log_snapshot, covers_the_segments_before_it_and_removes_them) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    rig_append_slowly(rig, 1000);
    cr_assert_geq(rig_stats(rig).log_segments, 5u);
    uint64_t number = log_snapshot(rig->log);
    cr_expect_eq(number, rig_stats(rig).log_segments + 1);
    rig_run(rig);
    struct log_stats stats = rig_stats(rig);
    cr_expect_eq(stats.snapshots_total, 1u);
    cr_expect_eq(stats.snapshot_number, number);
    cr_expect_eq(stats.log_segments, 1u);
    cr_expect_not(stats.snapshot_is_running);
    cr_expect(has_file(rig, FILE_SNAPSHOT, number, ""));
    cr_expect_not(has_file(rig, FILE_SNAPSHOT, number, ".part"));
    for (uint64_t i = 1; i < number; i++) cr_expect_not(has_file(rig, FILE_LOG, i, ""));
    rig_append_many(rig, 10);
    rig_run(rig);
    cr_expect_eq(rig_prefix(rig), 1010u);
    rig_free(rig);
}

Test(log_snapshot, a_later_one_removes_the_earlier) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append_many(rig, 10);
    uint64_t first = log_snapshot(rig->log);
    rig_pass(rig, 1000);
    rig_append_many(rig, 10);
    uint64_t second = log_snapshot(rig->log);
    rig_pass(rig, 1000);
    cr_expect_gt(second, first);
    cr_expect_not(has_file(rig, FILE_SNAPSHOT, first, ""));
    cr_expect(has_file(rig, FILE_SNAPSHOT, second, ""));
    cr_expect_eq(rig_prefix(rig), 20u);
    rig_free(rig);
}

Test(log_snapshot, one_that_is_asked_for_while_it_runs_is_joined) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append_many(rig, 10);
    uint64_t number = log_snapshot(rig->log);
    cr_expect_eq(log_snapshot(rig->log), number, "it is not begun yet");
    log_keep(rig->log, rig->now_ms);
    cr_expect(rig_stats(rig).snapshot_is_running);
    cr_expect_eq(log_snapshot(rig->log), number);
    rig_pass(rig, 2000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 1u);
    cr_expect_neq(log_snapshot(rig->log), number, "this one is another");
    rig_free(rig);
}

Test(log_snapshot, is_made_when_the_log_has_grown_by_so_much) {
    struct rig *rig = rig_make(LOG_ALWAYS);
    rig->options.snapshot_log_bytes = 50000;
    rig_opened(rig);
    for (int i = 0; i < 2000; i++) {
        rig_append(rig);
        if (i % 10 == 0) rig_run(rig);
    }
    rig_run(rig);
    uint64_t count = rig_stats(rig).snapshots_total;
    cr_expect(count >= 3 && count <= 4, "%lu snapshots of 200,000 bytes", (unsigned long)count);
    cr_expect_eq(rig_prefix(rig), 2000u);
    rig_pass(rig, 100000);
    cr_expect_eq(rig_stats(rig).snapshots_total, count, "and never without a cause");
    rig_free(rig);
}

Test(log_snapshot, is_made_by_time_only_if_anything_was_logged) {
    struct rig *rig = rig_make(LOG_EVERYSEC);
    rig->options.snapshot_interval_ms = 60000;
    rig_opened(rig);
    rig_pass(rig, 200000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 0u);
    rig_append(rig);
    rig_pass(rig, 1000);
    rig_pass(rig, 61000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 1u);
    rig_pass(rig, 200000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 1u);
    rig_free(rig);
}

/* What the walk has met may be newer than what the log is safe for. */
Test(log_snapshot, gets_its_name_only_when_the_log_is_synced_as_far_as_it_has_seen) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append_many(rig, 10);
    rig->ahead = 5; /* in a turn that has not ended */
    uint64_t number = log_snapshot(rig->log);
    rig_pass(rig, 20000);
    cr_expect(has_file(rig, FILE_SNAPSHOT, number, ".part"));
    cr_expect_not(has_file(rig, FILE_SNAPSHOT, number, ""));
    cr_expect(has_file(rig, FILE_LOG, 1, ""));
    rig_append_many(rig, 5);
    log_write(rig->log, rig->now_ms);
    log_keep(rig->log, rig->now_ms);
    cr_expect_not(has_file(rig, FILE_SNAPSHOT, number, ""), "it is written, and not synced");
    rig_pass(rig, 1000);
    cr_expect(has_file(rig, FILE_SNAPSHOT, number, ""));
    cr_expect_not(has_file(rig, FILE_LOG, 1, ""));
    rig_free(rig);
}

struct watched {
    struct rig *rig;
    bool is_renamed, is_safe;
    unsigned early; /* removals of anything before the name was safe */
    unsigned removals;
    uint64_t synced_at, worst; /* bytes of the snapshot between two syncs */
};

static void watch_names(void *context, enum sim_call call, const char *name) {
    struct watched *watched = context;
    if (call == SIM_RENAME) watched->is_renamed = true;
    if (call == SIM_REMOVE) {
        watched->removals++;
        if (!watched->is_safe) watched->early++;
    }
    if (call == SIM_SYNC_DIRECTORY && watched->is_renamed) watched->is_safe = true;
    (void)name;
}

Test(log_snapshot, nothing_is_removed_before_its_name_is_safe) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    struct watched watched = {.rig = rig};
    rig_append_slowly(rig, 1000);
    sim_disk_set_hook(rig->sim, watch_names, &watched);
    log_snapshot(rig->log);
    rig_pass(rig, 2000);
    cr_expect_eq(watched.early, 0u);
    cr_expect_geq(watched.removals, 5u);
    rig_free(rig);
}

/* ---------------------------------------------------------------- beside the log */

Test(log_snapshot, is_written_in_slices_and_a_spare_segment_does_not_wait_for_it) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig->slice_versions = 1;
    rig_append_many(rig, 100);
    log_snapshot(rig->log);
    log_keep(rig->log, rig->now_ms);
    log_write(rig->log, rig->now_ms);
    log_sync(rig->log, rig->now_ms);
    log_write(rig->log, rig->now_ms);
    uint64_t made = sim_disk_calls(rig->sim, SIM_ALLOCATE);
    log_keep(rig->log, rig->now_ms); /* head */
    cr_expect_eq(sim_disk_calls(rig->sim, SIM_ALLOCATE), made + 1, "the spare one comes first");
    unsigned slices = rig->slice_count;
    log_keep(rig->log, rig->now_ms);
    cr_expect_eq(rig->slice_count, slices + 1);
    rig_append_many(rig, 2 * RIG_SEGMENT_BYTES / 100);
    for (int i = 0; i < 3; i++) log_write(rig->log, rig->now_ms), log_sync(rig->log, rig->now_ms);
    log_keep(rig->log, rig->now_ms);
    cr_expect_eq(sim_disk_calls(rig->sim, SIM_ALLOCATE), made + 2, "also between two slices");
    rig_pass(rig, 2000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 1u);
    cr_expect_eq(rig_prefix(rig), atomic_load(&rig->last));
    rig_free(rig);
}

static void watch_syncs(void *context, enum sim_call call, const char *name) {
    struct watched *watched = context;
    if (!strstr(name, ".part")) return;
    struct buf file = BUF_EMPTY;
    sim_disk_get(watched->rig->sim, name, &file);
    if (call == SIM_SYNC || file.size < watched->synced_at) watched->synced_at = file.size;
    if (file.size - watched->synced_at > watched->worst) watched->worst = file.size - watched->synced_at;
    buf_fini(&file);
}

Test(log_snapshot, is_synced_every_few_megabytes_so_that_the_log_never_waits_for_more) {
    struct rig *rig = rig_make(LOG_EVERYSEC);
    rig->options.segment_bytes = 1 << 20;
    rig_opened(rig);
    struct watched watched = {.rig = rig};
    atomic_store(&rig->last, RIG_VERSIONS_MAX - 1);
    rig->walk_bytes = 160; /* ten megabytes in all */
    sim_disk_set_hook(rig->sim, watch_syncs, &watched);
    log_snapshot(rig->log);
    rig_pass(rig, 1000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 1u);
    cr_expect_gt(watched.worst, 3u << 20);
    cr_expect_leq(watched.worst, 5u << 20);
    rig_free(rig);
}

/* ---------------------------------------------------------------- failing */

static void fails_at(enum sim_call call, uint64_t nth, enum disk_error error) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append_many(rig, 100);
    rig_pass(rig, 1000);
    uint64_t number = log_snapshot(rig->log);
    for (int i = 0; i < 100 && !has_file(rig, FILE_SNAPSHOT, number, ".part"); i++) {
        log_keep(rig->log, rig->now_ms);
        if (has_file(rig, FILE_SNAPSHOT, number, ".part")) break;
        log_write(rig->log, rig->now_ms);
        log_sync(rig->log, rig->now_ms);
    }
    cr_assert(has_file(rig, FILE_SNAPSHOT, number, ".part"));
    sim_disk_fail(rig->sim, call, nth, false, error);
    for (int i = 0; i < 20 && rig_stats(rig).snapshot_failures_total == 0; i++) {
        log_keep(rig->log, rig->now_ms);
        rig->now_ms += 50;
        if (rig_stats(rig).snapshot_failures_total) break;
        if (call == SIM_RENAME) rig_pass(rig, 100);
    }
    cr_expect_eq(rig_stats(rig).snapshot_failures_total, 1u);
    cr_expect_not(has_file(rig, FILE_SNAPSHOT, number, ".part"), "it is removed");
    cr_expect_eq(rig_state(rig), JOURNAL_OPEN, "the log does not care");
    rig_append_many(rig, 10);
    rig_pass(rig, 1000);
    cr_expect_eq(rig_prefix(rig), 110u);
    cr_expect_eq(rig_stats(rig).snapshots_total, 0u);
    uint64_t again = log_snapshot(rig->log);
    rig_pass(rig, 1000);
    cr_expect_gt(again, number);
    cr_expect_eq(rig_stats(rig).snapshot_number, again, "asked for, it is tried at once");
    cr_expect_eq(rig_prefix(rig), 110u);
    rig_free(rig);
}

Test(log_snapshot, that_finds_the_disk_full_is_removed_and_tried_again) {
    fails_at(SIM_WRITE, 1, DISK_FULL);
}
Test(log_snapshot, that_cannot_be_written_is_removed_and_tried_again) {
    fails_at(SIM_WRITE, 2, DISK_FAILED);
}
Test(log_snapshot, that_cannot_be_synced_is_removed_and_tried_again) {
    fails_at(SIM_SYNC, 1, DISK_FAILED);
}
Test(log_snapshot, that_cannot_be_named_is_removed_and_tried_again) {
    fails_at(SIM_RENAME, 1, DISK_REFUSED);
}

Test(log_snapshot, one_by_size_that_failed_is_tried_again_after_a_minute) {
    struct rig *rig = rig_make(LOG_EVERYSEC);
    rig->options.snapshot_log_bytes = 5000;
    rig_opened(rig);
    sim_disk_fail(rig->sim, SIM_RENAME, 1, false, DISK_FAILED);
    rig_append_many(rig, 100);
    rig_pass(rig, 30000);
    cr_expect_eq(rig_stats(rig).snapshot_failures_total, 1u);
    cr_expect_eq(rig_stats(rig).snapshots_total, 0u);
    rig_pass(rig, 31000);
    cr_expect_eq(rig_stats(rig).snapshots_total, 1u);
    rig_free(rig);
}

static void fail_directory(void *context, enum sim_call call, const char *name) {
    struct watched *watched = context;
    if (call == SIM_RENAME) sim_disk_fail(watched->rig->sim, SIM_SYNC_DIRECTORY, 1, true, DISK_FAILED);
    if (call == SIM_REMOVE) watched->removals++;
    (void)name;
}

Test(log_snapshot, a_directory_that_cannot_be_synced_fails_the_log_and_removes_nothing) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    struct watched watched = {.rig = rig};
    rig_append_slowly(rig, 500);
    sim_disk_set_hook(rig->sim, fail_directory, &watched);
    log_snapshot(rig->log);
    rig_pass(rig, 3000);
    cr_expect_eq(rig_state(rig), JOURNAL_FAILED);
    cr_expect_eq(watched.removals, 0u);
    cr_expect_eq(rig_stats(rig).snapshots_total, 0u);
    rig_free(rig);
}

/* ---------------------------------------------------------------- earlier lives */

Test(log_snapshot, what_an_earlier_life_left_over_goes) {
    struct rig *rig = rig_make(LOG_EVERYSEC);
    static const char *const names[] = {"snapshot-0000000000000009.part",
                                        "snapshot-0000000000000003",
                                        "log-0000000000000002",
                                        "log-0000000000000006",
                                        "log-0000000000000007",
                                        "snapshot-0000000000000007",
                                        "keys",
                                        "keys.part",
                                        "notes.part",
                                        "log-0000000000000002.damaged"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        sim_disk_put(rig->sim, names[i], BYTES_LITERAL("something"));
    rig->start.next_number = 8;
    rig->start.snapshot_number = 7;
    rig_opened(rig);
    struct buf file = BUF_EMPTY;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_eq(sim_disk_get(rig->sim, names[i], &file), i >= 4, "%s", names[i]);
    buf_fini(&file);
    cr_expect_eq(rig_stats(rig).log_segments, 2u);
    rig_free(rig);
}

Test(log_snapshot, close_gives_up_the_one_that_runs) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig->slice_versions = 1;
    rig_append_many(rig, 100);
    log_snapshot(rig->log);
    for (int i = 0; i < 4; i++) {
        log_keep(rig->log, rig->now_ms);
        log_write(rig->log, rig->now_ms);
        log_sync(rig->log, rig->now_ms);
    }
    cr_assert(has_file(rig, FILE_SNAPSHOT, 2, ".part"));
    cr_expect(log_close(rig->log, rig->now_ms));
    cr_expect_not(has_file(rig, FILE_SNAPSHOT, 2, ".part"));
    cr_expect_eq(rig_prefix(rig), 100u);
    rig_free(rig);
}
