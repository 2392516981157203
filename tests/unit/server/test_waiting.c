/* Acquires that wait for a session: what they cost their connection, and how they end. */
#include "rig.h"

#include "server/internal.h"

#define WAIT "['web', 'p', {'wait_ms': 1000, 'fields': ['id', 'use']}]"
#define MARK 4096

static struct rig rig;
static void setup(void) {
    rig_open(&rig);
    rig_add(&rig, 0, "session.set", "['web', 'p', 1]");
    rig_feed(&rig);
    free(rig_take(&rig));
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(waiting, .init = setup, .fini = teardown);

static void set_limits(uint32_t max_in_flight, uint32_t max_waiting) {
    struct server_limits limits = rig_limits;
    limits.max_in_flight = max_in_flight;
    limits.max_waiting = max_waiting;
    limits.output_mark = MARK;
    server_set_limits(rig.server, &limits);
}

static void add_waits(int first, int last) {
    for (int i = first; i <= last; i++) rig_add(&rig, i, "pool.acquire", WAIT);
    rig_feed(&rig);
}

/* All that was answered, without the sentences of errors. */
static void expect_codes(const char *expected) {
    char *text = rig_take(&rig), *at = text, got[2000] = "";
    for (char *line; (line = strsep(&at, "\n")) && *line;) {
        char *code = strstr(line, "'code': '");
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%d %.*s\n", atoi(strchr(line, ',') + 1),
                 code ? (int)strcspn(code + 9, "'") : 2, code ? code + 9 : "ok");
    }
    cr_assert_str_eq(got, expected, "expected\n%sgot\n%s", expected, got);
    free(text);
}

Test(waiting, an_acquire_that_waits_is_answered_later_and_others_overtake_it) {
    add_waits(1, 1);
    rig_expect(&rig, 2, "server.ping", "[]", "[1, 2, null, {'now': 1767225600000}]\n");
    cr_assert(conn_is_owed(rig.conn));
    fake_finish(rig.fake, 0);
    server_loop_advance(rig.loop, rig.now_ms, 100);
    rig_expect_text(&rig, "[1, 1, null, {'id': 'p', 'use': 1}]\n");
    cr_assert(conn_is_idle(rig.conn));
    cr_assert_eq(rig.fake->taken_back, 0u);
}

Test(waiting, acquires_that_wait_are_not_in_flight) {
    set_limits(1, 10);
    add_waits(1, 5);
    cr_assert_eq(rig.state, CONN_READING);
    cr_assert_eq(rig.fake->pending_count, 5u);
    rig_expect(&rig, 6, "server.ping", "[]", "[1, 6, null, {'now': 1767225600000}]\n");
    /* One that waits for the engine itself is. */
    rig_add(&rig, 7, "session.get", "['web', 'slow']");
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    for (int i = 0; i < 6; i++) fake_finish(rig.fake, 0);
}

Test(waiting, one_more_than_may_wait_is_busy) {
    set_limits(100, 3);
    add_waits(1, 5);
    cr_assert_eq(rig.fake->pending_count, 3u);
    expect_codes("4 BUSY\n5 BUSY\n");
    /* One that does not wait goes through. */
    rig_expect(&rig, 6, "pool.acquire", "['web', 'p', {'fields': ['id']}]", "[1, 6, null, {'id': 'p'}]\n");
    fake_finish(rig.fake, 0);
    add_waits(7, 7);
    cr_assert_eq(rig.fake->pending_count, 3u);
    expect_codes("1 ok\n");
    conn_end_waiting(rig.conn);
    expect_codes("2 BUSY\n3 BUSY\n7 BUSY\n");
}

Test(waiting, a_limit_of_none_lets_nobody_wait) {
    set_limits(100, 0);
    add_waits(1, 1);
    expect_codes("1 BUSY\n");
    cr_assert_eq(rig.fake->pending_count, 0u);
}

Test(waiting, who_closes_the_connection_waits_no_more) {
    add_waits(1, 3);
    conn_close(rig.conn);
    rig.conn = NULL;
    cr_assert_eq(rig.fake->cancels, 3u);
    cr_assert_eq(rig.fake->pending_count, 0u);
}

Test(waiting, a_closed_connection_still_lives_until_the_engines_own_requests_are_done) {
    add_waits(1, 1);
    rig_add(&rig, 2, "session.get", "['web', 'slow']");
    rig_feed(&rig);
    conn_close(rig.conn);
    rig.conn = NULL;
    cr_assert_eq(rig.fake->cancels, 1u);
    cr_assert_eq(rig.fake->pending_count, 1u);
    fake_finish(rig.fake, 0);
    cr_assert_eq(rig.fake->taken_back, 1u);
}

Test(waiting, who_ends_its_side_waits_no_more_and_is_told) {
    add_waits(1, 2);
    conn_end_waiting(rig.conn);
    expect_codes("1 BUSY\n2 BUSY\n");
    /* What it asked before and is executed now does not wait. */
    rig_expect(&rig, 3, "pool.acquire", WAIT, "[1, 3, null, {'id': 'p', 'use': 3}]\n");
    cr_assert_eq(rig.fake->pending_count, 0u);
}

Test(waiting, a_connection_that_is_broken_waits_no_more_and_its_error_comes_last) {
    add_waits(1, 1);
    buf_append(&rig.sent, "\xc1", 1);
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_CLOSING);
    expect_codes("1 BUSY\n0 BAD_REQUEST\n");
    cr_assert_eq(rig.fake->cancels, 1u);
}

Test(waiting, a_server_that_drains_answers_busy) {
    add_waits(1, 2);
    server_set_draining(rig.server);
    server_loop_advance(rig.loop, rig.now_ms, 100);
    expect_codes("1 BUSY\n2 BUSY\n");
    cr_assert_eq(rig.fake->cancels, 2u);
    cr_assert(conn_is_idle(rig.conn));
    add_waits(3, 3);
    expect_codes("3 BUSY\n");
}

Test(waiting, who_does_not_read_is_handed_nothing) {
    set_limits(100, 10);
    add_waits(1, 2);
    for (int i = 0; i < 30; i++) { /* unread answers of those that passed the mark as it did */
        rig.conn->filling.is_failed = false;
        uint8_t filler[MARK];
        memset(filler, 0xc0, sizeof filler);
        if (conn_output_pending(rig.conn) < (size_t)MARK * QUEUED_OUTPUT_MARKS)
            buf_append(&rig.conn->filling, filler, sizeof filler);
    }
    fake_finish(rig.fake, 0);
    cr_assert_eq(rig.fake->taken_back, 1u, "the engine takes it back");
    conn_output_sent(rig.conn, (size_t)MARK * QUEUED_OUTPUT_MARKS);
    expect_codes("1 BUSY\n");
    fake_finish(rig.fake, 0);
    expect_codes("2 ok\n");
    cr_assert_eq(rig.fake->taken_back, 1u);
}

#define WAIT_ONCE "['web', 'p', {'wait_ms': 1000, 'op_id': 7, 'fields': ['use']}]"

Test(waiting, the_answer_is_remembered_under_its_op_id_from_when_it_came) {
    rig_add(&rig, 1, "pool.acquire", WAIT_ONCE);
    rig_feed(&rig);
    rig_add(&rig, 2, "pool.acquire", WAIT_ONCE);
    rig_feed(&rig);
    expect_codes("2 BUSY\n");
    rig.now_ms += 1000;
    server_loop_advance(rig.loop, rig.now_ms, 100);
    fake_finish(rig.fake, 0);
    rig_expect_text(&rig, "[1, 1, null, {'use': 1}]\n");
    rig.now_ms += LIMIT_OP_ID_KEEP_MS - 1;
    rig_expect(&rig, 3, "pool.acquire", WAIT_ONCE, "[1, 3, null, {'use': 1}]\n");
    cr_assert_eq(rig.fake->uses, 1u);
}

Test(waiting, what_was_given_up_is_not_remembered_under_its_op_id) {
    rig_add(&rig, 1, "pool.acquire", WAIT_ONCE);
    rig_feed(&rig);
    conn_close(rig.conn);
    rig.conn = conn_open(rig.loop, rig.now_ms);
    rig_add(&rig, 1, "pool.acquire", WAIT_ONCE);
    rig_feed(&rig);
    fake_finish(rig.fake, 0);
    rig_expect_text(&rig, "[1, 1, null, {'use': 2}]\n");
}
