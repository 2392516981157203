/* Ends of large groups, which the engine works off in later turns: who waits for them, and who does not. */
#include "rig.h"

#include "server/internal.h"

#define REVOKE "['web', {'user': 'slow'}]"
#define RESET  "['web', 'slow']"

static struct rig rig;
static struct conn *other;
static void setup(void) {
    rig_open(&rig);
    other = conn_open(rig.loop, rig.now_ms);
}
static void teardown(void) {
    if (other) conn_close(other);
    rig_close(&rig);
}
TestSuite(ends, .init = setup, .fini = teardown);

/* The turn of the loop in which the engine is through. */
static void finish(void) {
    rig.fake->is_finishing = true;
    server_loop_advance(rig.loop, rig.now_ms, 100);
    rig.fake->is_finishing = false;
    if (rig.conn) rig.state = conn_resume(rig.conn, rig.now_ms);
}

/* Everybody else is answered at once. */
static void expect_other_is_answered(void) {
    struct conn *first = rig.conn;
    rig.conn = other;
    rig_expect(&rig, 77, "server.ping", "[]", "[1, 77, null, {'now': 1767225600000}]\n");
    rig.conn = first;
}

Test(ends, others_are_answered_before_it_and_its_own_connection_behind_it) {
    rig_add(&rig, 1, "server.ping", "[]");
    rig_add(&rig, 2, "session.revoke_all", REVOKE);
    rig_add(&rig, 3, "session.set", "['web', 'a', 1]");
    rig_add(&rig, 4, "session.get", "['web', 'a', {'fields': ['data']}]");
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    rig_expect_text(&rig, "[1, 1, null, {'now': 1767225600000}]\n");
    cr_assert_eq(rig.fake->count, 0u, "what stands behind it has not begun");
    for (int turn = 0; turn < 3; turn++) {
        server_loop_advance(rig.loop, rig.now_ms, 100);
        expect_other_is_answered();
        rig_add(&rig, 5 + turn, "session.get", "['web', 'none']");
        rig_feed(&rig);
        cr_assert_eq(conn_output(rig.conn).size, 0u);
    }
    finish();
    cr_assert_eq(rig.state, CONN_READING);
    rig_expect_text(&rig, "[1, 2, null, 1]\n[1, 3, null, {'version': 1, 'expires_at': 1767312000000}]\n[1, 4, null, "
                          "{'data': 1}]\n[1, 5, null, null]\n[1, 6, null, null]\n"
                          "[1, 7, null, null]\n");
}

Test(ends, of_several_steps_goes_on_behind_it) {
    rig_add(&rig, 1, "pool.reset", RESET);
    rig_add(&rig, 2, "server.ping", "[]");
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    cr_assert_eq(conn_output(rig.conn).size, 0u);
    cr_assert_eq(rig.fake->submits, 2u);
    expect_other_is_answered();
    finish();
    cr_assert_eq(rig.fake->submits, 3u);
    char *text = rig_take(&rig);
    cr_assert(strncmp(text, "[1, 1, null, {'name': 'slow', 'policy': ", 40) == 0, "%s", text);
    cr_assert(strstr(text, "'usable_count': 1, "), "%s", text);
    cr_assert(strstr(text, "}]\n[1, 2, null, {'now': 1767225600000}]\n"), "%s", text);
    free(text);
}

Test(ends, of_a_client_is_answered_behind_it) {
    rig_add(&rig, 1, "client.destroy", RESET);
    rig_feed(&rig);
    cr_assert_eq(conn_output(rig.conn).size, 0u);
    expect_other_is_answered();
    finish();
    char *text = rig_take(&rig);
    cr_assert(strncmp(text, "[1, 1, null, {'id': 'slow', 'sessions': [], ", 44) == 0, "%s", text);
    free(text);
}

Test(ends, two_in_one_packet_come_one_after_the_other) {
    rig_add(&rig, 1, "pool.reset", RESET);
    rig_add(&rig, 2, "session.revoke_all", REVOKE);
    rig_feed(&rig);
    cr_assert_eq(rig.fake->pending_count, 1u);
    finish();
    cr_assert_eq(rig.fake->pending_count, 1u);
    free(rig_take(&rig));
    finish();
    rig_expect_text(&rig, "[1, 2, null, 2]\n");
}

Test(ends, goes_on_where_nobody_is_there_any_more) {
    rig_add(&rig, -1, "pool.reset", RESET);
    rig_feed(&rig);
    cr_assert(conn_is_owed(rig.conn));
    conn_close(rig.conn);
    rig.conn = NULL;
    finish();
    cr_assert_eq(rig.fake->submits, 3u, "the steps behind it were taken");
}

Test(ends, comes_to_its_end_before_the_loop_closes) {
    rig_add(&rig, 1, "pool.reset", RESET);
    rig_feed(&rig);
    rig.fake->is_finishing = true;
}

Test(ends, is_executed_once_under_its_op_id) {
    rig_add(&rig, 1, "pool.reset", "['web', 'slow', {'op_id': 5}]");
    rig_feed(&rig);
    rig_add(&rig, 2, "pool.reset", "['web', 'slow', {'op_id': 5}]");
    struct conn *first = rig.conn;
    rig.conn = other;
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert(strstr(text, "'code': 'BUSY'"), "%s", text);
    free(text);
    rig.conn = first;
    finish();
    char *answer = rig_take(&rig);
    rig_add(&rig, 1, "pool.reset", "['web', 'slow', {'op_id': 5}]");
    rig_feed(&rig);
    text = rig_take(&rig);
    cr_assert_str_eq(text, answer);
    cr_assert_eq(rig.fake->ends, 1u);
    free(text);
    free(answer);
}
