/* Writes that a journal refuses, and what waits for a disk that fails. */
#define _GNU_SOURCE /* memmem */
#include "gate_rig.h"

TestSuite(gate_disk, .init = setup, .fini = teardown);

/* ---------------------------------------------------------------- writes that are refused */

static void expect_refused(const char *code, const char *rest) {
    static const char *const writes[][2] = {{"session.set", SET("a")},
                                            {"session.destroy", "['web', 'a']"},
                                            {"pool.load", "['web', 'p', [{'id': 'x'}]]"},
                                            {"pool.acquire", "['web', 'p', {'wait_ms': 1000}]"}};
    size_t verbs = rig.fake->verbs;
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        feed(9, writes[i][0], writes[i][1]);
        char *text = rig_take(&rig), start[80];
        snprintf(start, sizeof start, "[1, 9, {'code': '%s', 'message': '", code);
        cr_assert_eq(strncmp(text, start, strlen(start)), 0, "%s: %s", writes[i][0], text);
        cr_assert(strstr(text, rest), "%s: %s", writes[i][0], text);
        free(text);
    }
    cr_assert_eq(rig.fake->verbs, verbs, "nothing was executed");
    cr_assert_eq(metric_of(METRIC_STORAGE_REFUSED_TOTAL), 4u);
}

Test(gate_disk, a_disk_that_is_behind_makes_writes_busy) {
    set_state(JOURNAL_BUSY);
    expect_refused("BUSY", "'retry_after_ms': 100}, null]");
}

Test(gate_disk, a_disk_that_hangs_makes_writes_busy_from_its_moment_on) {
    atomic_store(&disk.journal.busy_from, rig.now_ms + 1);
    feed(1, "session.set", SET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    rig.now_ms++;
    expect_refused("BUSY", "'retry_after_ms': 100}, null]");
}

Test(gate_disk, a_full_disk_refuses_writes_until_there_is_room) {
    set_state(JOURNAL_FULL);
    expect_refused("STORAGE", "'retry_after_ms': 1000}, null]");
    set_state(JOURNAL_OPEN);
    feed(1, "session.set", SET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
}

Test(gate_disk, a_failed_disk_makes_the_server_read_only) {
    feed(1, "session.set", SET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    set_state(JOURNAL_FAILED);
    expect_refused("READ_ONLY", "'}, null]");
    rig_expect(&rig, 2, "session.get", "['web', 'a', {'touch': true, 'fields': ['data']}]", GOT(2));
}

Test(gate_disk, a_refused_notification_is_not_executed) {
    set_state(JOURNAL_BUSY);
    feed(-1, "session.set", SET("a"));
    cr_assert_eq(rig.fake->verbs, 0u);
    rig_expect_text(&rig, "");
}

Test(gate_disk, a_refusal_is_not_remembered_and_what_is_known_is_not_refused) {
    static const enum journal_state states[] = {JOURNAL_BUSY, JOURNAL_FULL};
    for (size_t i = 0; i < 2; i++) {
        set_state(states[i]);
        feed(1, "session.set", ONCE);
        cr_assert_eq(count_of("'code'"), 1u);
    }
    set_state(JOURNAL_OPEN);
    feed(1, "session.set", ONCE);
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    set_state(JOURNAL_FAILED);
    rig_expect(&rig, 1, "session.set", ONCE, WRITTEN(1));
    feed(2, "session.set", "['web', 'a', 1, {'op_id': 43}]");
    cr_assert_eq(count_of("'READ_ONLY'"), 1u);
    set_state(JOURNAL_OPEN); /* as no journal does: only to see that nothing was kept */
    set_mark(10);
    feed(2, "session.set", "['web', 'a', 1, {'op_id': 43}]");
    cr_assert_eq(count_of("'version': 2"), 1u);
}

/* ---------------------------------------------------------------- a disk that fails */

Test(gate_disk, what_waits_for_a_disk_that_fails_is_told_that_nobody_knows) {
    for (int i = 1; i <= 2; i++) feed(i, "session.set", SET("a"));
    feed(3, "session.get", GET("a"));
    feed(4, "session.set", SET("b"));
    feed(5, "session.get_many", "['web', ['a', 'b'], {'fields': ['data']}]");
    end_turn();
    atomic_store(&disk.journal.mark, 2);
    set_state(JOURNAL_FAILED);
    rig_expect_text(&rig, WRITTEN(1) WRITTEN(2) GOT(3) UNKNOWN(4) UNKNOWN(5));
    cr_assert(conn_is_idle(rig.conn));
    cr_assert_eq(metric_of(METRIC_STORAGE_REFUSED_TOTAL), 2u);
    unsigned awaits = disk.awaits;
    end_turn();
    cr_assert_eq(disk.awaits, awaits, "nothing is awaited any more");
}

Test(gate_disk, reads_of_what_was_not_safe_when_the_disk_failed_are_refused_for_good) {
    feed(-1, "session.set", SET("a"));
    feed(-1, "session.set", SET("b"));
    atomic_store(&disk.journal.mark, 1);
    set_state(JOURNAL_FAILED);
    rig_expect(&rig, 1, "session.get", GET("a"), GOT(1));
    rig_expect(&rig, 2, "session.get", GET("b"), UNKNOWN(2));
    rig_expect(&rig, 3, "session.list", "['web', {'fields': ['id']}]", UNKNOWN(3));
    rig_expect(&rig, 4, "session.get", GET("none"), "[1, 4, null, null]\n");
    end_turn();
    cr_assert_eq(disk.awaits, 0u);
    cr_assert(conn_is_idle(rig.conn));
}

Test(gate_disk, a_repeat_of_what_was_not_safe_when_the_disk_failed_is_not_known_either) {
    feed(1, "session.set", ONCE);
    set_state(JOURNAL_FAILED);
    rig_expect_text(&rig, UNKNOWN(1));
    rig_expect(&rig, 2, "session.set", ONCE, UNKNOWN(2));
    cr_assert_eq(rig.fake->version, 1u);
}

Test(gate_disk, a_failure_before_it_is_awaited_is_told_all_the_same) {
    feed(1, "session.set", SET("a"));
    atomic_store(&disk.journal.state, JOURNAL_FAILED);
    end_turn();
    rig_expect_text(&rig, UNKNOWN(1));
}

Test(gate_disk, an_unknown_secret_answer_leaves_none_behind) {
    feed(1, "session.create", "['web', {'token': true, 'fields': ['id']}]");
    struct buf held = rig.conn->held.bytes;
    set_state(JOURNAL_FAILED);
    cr_assert(!holds(held.data, held.capacity, "token"));
    rig_expect_text(&rig, UNKNOWN(1));
}

Test(gate_disk, a_broken_connection_tells_why_also_where_the_disk_failed) {
    feed(1, "session.set", SET("a"));
    buf_append(&rig.sent, "\xc1", 1);
    rig_feed(&rig);
    set_state(JOURNAL_FAILED);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_CLOSING);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, UNKNOWN(1) "[1, 0, {'code': 'BAD_REQUEST'", sizeof UNKNOWN(1) + 28), 0, "%s", text);
    free(text);
}
