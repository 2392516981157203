/* What each level promises: nothing is acknowledged before it is safe, at whatever moment one looks. */
#include "log_rig.h"

#include <criterion/criterion.h>

Test(log_levels, everysec_acknowledges_what_is_written_and_not_before) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    uint64_t version = rig_append(rig);
    cr_assert_eq(journal_mark(rig->journal), 0, "it is only queued");
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(journal_mark(rig->journal), version);
    cr_expect_eq(rig_prefix(rig), version);
    rig_free(rig);
}

Test(log_levels, everysec_syncs_twice_a_second_while_something_is_written) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_pass(rig, 2000);
    uint64_t before = sim_disk_calls(rig->sim, SIM_SYNC);
    for (int i = 0; i < 100; i++) {
        rig_append(rig);
        rig_pass(rig, 20);
    }
    uint64_t syncs = sim_disk_calls(rig->sim, SIM_SYNC) - before;
    cr_expect(syncs >= 4 && syncs <= 5, "%lu syncs in two seconds", (unsigned long)syncs);
    rig_pass(rig, 1000);
    before = sim_disk_calls(rig->sim, SIM_SYNC);
    rig_pass(rig, 10000);
    cr_expect_eq(sim_disk_calls(rig->sim, SIM_SYNC), before, "nothing is synced when nothing is written");
    cr_expect_eq(rig_stats(rig).log_unsynced_bytes, (uint64_t)FRAME_HEADER_BYTES, "only the mark of what is synced");
    rig_free(rig);
}

Test(log_levels, always_acknowledges_what_is_synced_and_not_before) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    uint64_t version = rig_append(rig);
    log_write(rig->log, rig->now_ms);
    cr_assert_lt(journal_mark(rig->journal), version, "it is only written");
    log_sync(rig->log, rig->now_ms);
    cr_expect_eq(journal_mark(rig->journal), version);
    rig_free(rig);
}

/* While the disk syncs, others write: the sync that runs says nothing of them. */
static void write_meanwhile(void *context, enum sim_call call, const char *name) {
    struct rig *rig = context;
    (void)name;
    if (call != SIM_SYNC || atomic_load(&rig->last) != 1) return;
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
}

Test(log_levels, a_sync_covers_what_was_written_when_it_began) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    sim_disk_set_hook(rig->sim, write_meanwhile, rig);
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    log_sync(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->last), 2u);
    cr_expect_eq(journal_mark(rig->journal), 1u, "the second was written when the sync ran");
    log_sync(rig->log, rig->now_ms);
    cr_expect_eq(journal_mark(rig->journal), 2u);
    rig_free(rig);
}

Test(log_levels, one_sync_serves_all_that_wait_for_one) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    uint64_t before = sim_disk_calls(rig->sim, SIM_SYNC);
    for (int i = 0; i < 50; i++) {
        rig_append(rig);
        log_write(rig->log, rig->now_ms);
    }
    rig_run(rig);
    cr_expect_eq(sim_disk_calls(rig->sim, SIM_SYNC) - before, 1u);
    cr_expect_eq(journal_mark(rig->journal), 50u);
    rig_free(rig);
}

Test(log_levels, the_mark_never_passes_what_a_loop_has_not_appended) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_append(rig);
    uint64_t staged = atomic_fetch_add(&rig->last, 1) + 1; /* taken by the other loop, in its turn */
    atomic_store(&rig->staged_from, staged);
    rig_append(rig);
    rig_run(rig);
    cr_expect_eq(journal_mark(rig->journal), staged - 1);
    struct buf effect = BUF_EMPTY;
    rig_effect(&effect, staged, 50);
    rig->journal->append(rig->journal, 1, buf_bytes(&effect));
    buf_fini(&effect);
    atomic_store(&rig->staged_from, UINT64_MAX);
    rig->journal->flush(rig->journal, 1);
    rig_run(rig);
    cr_expect_eq(journal_mark(rig->journal), 3u);
    cr_expect_eq(rig_prefix(rig), 3u);
    rig_free(rig);
}

/* ---------------------------------------------------------------- a disk that is late */

Test(log_levels, writes_are_refused_once_the_oldest_unsynced_byte_is_a_second_old) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_pass(rig, 3000);
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->journal->busy_from), rig->now_ms + 1000);
    rig->now_ms += 600;
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->journal->busy_from), rig->now_ms + 400, "it is the oldest that counts");
    cr_expect_eq(journal_state_at(rig->journal, rig->now_ms + 399), JOURNAL_OPEN);
    cr_expect_eq(journal_state_at(rig->journal, rig->now_ms + 400), JOURNAL_BUSY);
    log_sync(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->journal->busy_from), INT64_MAX);
    rig_free(rig);
}

/* A sync that hangs, and a write 300 ms later that it does not cover. */
static void write_late(void *context, enum sim_call call, const char *name) {
    struct rig *rig = context;
    (void)name;
    if (call != SIM_SYNC || atomic_load(&rig->last) != 1) return;
    int64_t began = rig->now_ms;
    rig->now_ms += 300;
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    CHECK(atomic_load(&rig->journal->busy_from) == began + 1000);        /* of what the sync is about */
    CHECK(journal_state_at(rig->journal, began + 1000) == JOURNAL_BUSY); /* although nobody comes back */
}

Test(log_levels, a_sync_that_hangs_is_noticed_and_then_forgiven) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig_pass(rig, 3000);
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    sim_disk_set_hook(rig->sim, write_late, rig);
    log_sync(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->last), 2u);
    cr_expect_eq(atomic_load(&rig->journal->busy_from), rig->now_ms + 1000, "the second one's byte is the oldest now");
    rig_free(rig);
}

Test(log_levels, at_always_nothing_is_late_since_nothing_is_promised_early) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->journal->busy_from), INT64_MAX);
    rig_free(rig);
}

/* ---------------------------------------------------------------- who waits */

Test(log_levels, a_loop_is_woken_once_when_its_version_is_safe) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    uint64_t version = rig_append(rig);
    rig->journal->await(rig->journal, 1, version);
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->woken[1]), 0u);
    rig_run(rig);
    cr_expect_eq(atomic_load(&rig->woken[1]), 1u);
    rig_append(rig);
    rig_run(rig);
    cr_expect_eq(atomic_load(&rig->woken[1]), 1u);
    cr_expect_eq(atomic_load(&rig->woken[0]), 0u);
    rig_free(rig);
}

Test(log_levels, a_loop_that_waits_for_what_is_safe_is_woken_at_once) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    uint64_t version = rig_append(rig);
    rig_run(rig);
    rig->journal->await(rig->journal, 0, version);
    cr_expect_eq(atomic_load(&rig->woken[0]), 1u);
    rig_free(rig);
}

Test(log_levels, a_later_wait_takes_the_place_of_an_earlier_one) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    rig->journal->await(rig->journal, 0, 1);
    rig->journal->await(rig->journal, 0, 2);
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->woken[0]), 0u);
    rig_append(rig);
    log_write(rig->log, rig->now_ms);
    cr_expect_eq(atomic_load(&rig->woken[0]), 1u);
    rig_free(rig);
}

/* Before, it would look at what the loop has not let go of yet, and would have to look again. */
Test(log_levels, the_writer_is_signalled_when_a_loop_flushes_and_not_earlier) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    struct buf effect = BUF_EMPTY;
    rig_run(rig);
    atomic_store(&rig->is_signalled[LOG_WRITE], false);
    rig_effect(&effect, atomic_fetch_add(&rig->last, 1) + 1, 50);
    rig->journal->append(rig->journal, 0, buf_bytes(&effect));
    cr_expect_not(atomic_load(&rig->is_signalled[LOG_WRITE]));
    rig->journal->flush(rig->journal, 0);
    cr_expect(atomic_load(&rig->is_signalled[LOG_WRITE]));
    buf_fini(&effect);
    rig_free(rig);
}

/* The writer is faster than the loop's note that it has appended; nobody signals any more. */
Test(log_levels, who_waits_is_woken_also_if_the_effects_were_queued_before_their_loop_said_so) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    atomic_store(&rig->staged_from, 1);
    uint64_t version = rig_append(rig);
    rig->journal->await(rig->journal, 0, version);
    rig_run(rig);
    cr_expect_eq(atomic_load(&rig->woken[0]), 0u);
    atomic_store(&rig->staged_from, UINT64_MAX);
    rig_pass(rig, 1);
    cr_expect_eq(atomic_load(&rig->woken[0]), 1u);
    rig_free(rig);
}

Test(log_levels, who_waits_is_woken_when_the_log_fails_and_the_mark_rests) {
    struct rig *rig = rig_open(LOG_ALWAYS);
    uint64_t version = rig_append(rig);
    rig->journal->await(rig->journal, 0, version);
    sim_disk_fail(rig->sim, SIM_SYNC, 1, false, DISK_FAILED);
    rig_run(rig);
    cr_expect_eq(atomic_load(&rig->woken[0]), 1u);
    cr_expect_eq(rig_state(rig), JOURNAL_FAILED);
    cr_expect_eq(journal_mark(rig->journal), 0u);
    rig->journal->await(rig->journal, 1, version);
    cr_expect_eq(atomic_load(&rig->woken[1]), 1u, "later ones too");
    rig_free(rig);
}

/* An engine without memory for an effect says so by the state alone. */
Test(log_levels, what_the_engine_makes_fail_stays_so_and_is_told) {
    struct rig *rig = rig_open(LOG_EVERYSEC);
    uint64_t version = rig_append(rig), writes = sim_disk_calls(rig->sim, SIM_WRITE);
    atomic_store(&rig->journal->state, JOURNAL_FAILED);
    rig->journal->await(rig->journal, 0, version);
    rig_append(rig);
    rig_pass(rig, 3000);
    cr_expect_eq(atomic_load(&rig->woken[0]), 1u);
    cr_expect_eq(rig_state(rig), JOURNAL_FAILED);
    cr_expect_eq(journal_mark(rig->journal), 0u);
    cr_expect_eq(sim_disk_calls(rig->sim, SIM_WRITE), writes);
    cr_expect_eq(rig_stats(rig).failed_total, 1u);
    cr_expect(strstr(rig_stats(rig).failure, "memory"), "%s", rig_stats(rig).failure);
    cr_expect_not(log_close(rig->log, rig->now_ms));
    rig_free(rig);
}
