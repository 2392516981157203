/* Remembered answers: by themselves, and through a connection. */
#include "rig.h"

#include "server/internal.h"

#define SET_ONE "['web', 'x', {'n': 1}, {'op_id': 42}]"
#define KEEP_MS LIMIT_OP_ID_KEEP_MS

static struct rig rig;
static void setup(void) {
    rig_open(&rig);
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(replay, .init = setup, .fini = teardown);

Test(replay, a_repeat_is_answered_as_the_first_was_and_not_executed) {
    rig_expect(&rig, 1, "session.set", SET_ONE, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    rig.now_ms += KEEP_MS - 1;
    rig_expect(&rig, 99, "session.set", SET_ONE, "[1, 99, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    cr_assert_eq(rig.fake->version, 1u);
}

Test(replay, after_its_time_an_answer_is_forgotten) {
    rig_expect(&rig, 1, "session.set", SET_ONE, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    rig.now_ms += KEEP_MS;
    rig_expect(&rig, 2, "session.set", SET_ONE, "[1, 2, null, {'version': 2, 'expires_at': 1767312060000}]\n");
}

Test(replay, an_error_is_remembered_too) {
    rig_add(&rig, 1, "session.set", "['web', 'refuse', 1, {'op_id': 7}]");
    rig_feed(&rig);
    char *first = rig_take(&rig);
    size_t verbs = rig.fake->verbs;
    rig_add(&rig, 1, "session.set", "['web', 'refuse', 1, {'op_id': 7}]");
    rig_feed(&rig);
    char *second = rig_take(&rig);
    cr_assert_str_eq(first, second);
    cr_assert_eq(rig.fake->verbs, verbs);
    free(first), free(second);
}

Test(replay, the_repeat_may_come_in_the_same_pipeline_and_on_another_connection) {
    rig_add(&rig, 1, "session.set", SET_ONE);
    rig_add(&rig, 2, "session.set", SET_ONE);
    rig_add(&rig, 3, "session.get", "['web', 'x', {'fields': ['data']}]");
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n"
                          "[1, 2, null, {'version': 1, 'expires_at': 1767312000000}]\n"
                          "[1, 3, null, {'data': {'n': 1}}]\n");
    conn_close(rig.conn);
    rig.conn = conn_open(rig.loop, rig.now_ms);
    rig_expect(&rig, 4, "session.set", SET_ONE, "[1, 4, null, {'version': 1, 'expires_at': 1767312000000}]\n");
}

Test(replay, writes_with_an_op_id_share_a_batch) {
    char params[64];
    for (int i = 0; i < 32; i++) {
        snprintf(params, sizeof params, "['web', 'x', 1, {'op_id': %d}]", 100 + i);
        rig_add(&rig, i, "session.set", params);
    }
    rig_feed(&rig);
    cr_assert_eq(rig.fake->submits, 2u);
    cr_assert_eq(rig.fake->verbs, 32u);
}

Test(replay, another_request_under_the_same_op_id_is_refused) {
    const char *others[][2] = {{"session.set", "['web', 'x', {'n': 2}, {'op_id': 42}]"},
                               {"session.set", "['web', 'y', {'n': 1}, {'op_id': 42}]"},
                               {"session.destroy", "['web', 'x', {'op_id': 42}]"}};
    rig_add(&rig, 1, "session.set", SET_ONE);
    rig_feed(&rig);
    free(rig_take(&rig));
    for (size_t i = 0; i < 3; i++) {
        rig_add(&rig, 2, others[i][0], others[i][1]);
        rig_feed(&rig);
        char *text = rig_take(&rig);
        cr_assert_eq(strncmp(text, "[1, 2, {'code': 'BAD_REQUEST'", 28), 0, "%s: %s", others[i][1], text);
        free(text);
    }
}

Test(replay, the_same_op_id_in_another_namespace_is_another_request) {
    rig_expect(&rig, 1, "session.set", SET_ONE, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    rig_expect(&rig, 1, "session.set", "['api', 'x', {'n': 1}, {'op_id': 42}]",
               "[1, 1, null, {'version': 2, 'expires_at': 1767312000000}]\n");
}

Test(replay, a_default_namespace_does_not_make_two_namespaces_one) {
    rig_add(&rig, 1, "server.hello", "[{'namespace': 'one'}]");
    rig_add(&rig, 2, "session.set", "[null, 'x', 1, {'op_id': 42}]");
    rig_add(&rig, 3, "server.hello", "[{'namespace': 'two'}]");
    rig_add(&rig, 4, "session.set", "[null, 'x', 1, {'op_id': 42}]");
    rig_feed(&rig);
    free(rig_take(&rig));
    cr_assert_eq(rig.fake->version, 2u);
}

Test(replay, a_notification_with_an_op_id_is_executed_once) {
    rig_add(&rig, -1, "session.set", SET_ONE);
    rig_add(&rig, -1, "session.set", SET_ONE);
    rig_add(&rig, 5, "session.set", SET_ONE);
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 5, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    cr_assert_eq(rig.fake->version, 1u);
}

Test(replay, a_repeat_of_what_is_still_running_is_told_to_wait) {
    rig_add(&rig, 1, "session.set", "['web', 'slow', 1, {'op_id': 9}]");
    rig_feed(&rig);
    rig_add(&rig, 2, "session.set", "['web', 'slow', 1, {'op_id': 9}]");
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, "[1, 2, {'code': 'BUSY'", 22), 0, "%s", text);
    cr_assert(strstr(text, "'retry_after_ms': 10}"), "%s", text);
    free(text);
    rig.now_ms += 10 * KEEP_MS; /* it is not forgotten while it runs */
    server_loop_advance(rig.loop, rig.now_ms, 1000);
    rig_add(&rig, 3, "session.set", "['web', 'slow', 1, {'op_id': 9}]");
    rig_feed(&rig);
    free(rig_take(&rig));
    cr_assert_eq(rig.fake->pending_count, 1u);
    fake_finish(rig.fake, 0);
    free(rig_take(&rig));
    rig.now_ms = RIG_NOW;
    rig_expect(&rig, 4, "session.set", "['web', 'slow', 1, {'op_id': 9}]",
               "[1, 4, null, {'version': 1, 'expires_at': 1767312000000}]\n");
}

Test(replay, at_the_bound_a_new_op_id_is_busy_and_a_known_one_is_answered) {
    rig_add(&rig, 1, "session.set", SET_ONE);
    rig_feed(&rig);
    free(rig_take(&rig));
    struct server_limits limits = rig_limits;
    limits.op_id_memory = 1;
    server_set_limits(rig.server, &limits);
    rig_expect(&rig, 2, "session.set", SET_ONE, "[1, 2, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    rig_add(&rig, 3, "session.set", "['web', 'x', 1, {'op_id': 43}]");
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, "[1, 3, {'code': 'BUSY'", 22), 0, "%s", text);
    free(text);
    cr_assert_eq(rig.fake->version, 1u);
    limits.op_id_memory = 1 << 20;
    server_set_limits(rig.server, &limits);
    rig_expect(&rig, 4, "session.set", "['web', 'x', 1, {'op_id': 43}]",
               "[1, 4, null, {'version': 2, 'expires_at': 1767312000000}]\n");
}

Test(replay, memory_is_given_back_when_answers_are_old) {
    char params[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(params, sizeof params, "['web', 'x', 1, {'op_id': %d}]", i);
        rig_add(&rig, i, "session.set", params);
        rig_feed(&rig);
        free(rig_take(&rig));
    }
    cr_assert_gt(replay_bytes(rig.server->replay), 1000u * 64);
    server_loop_advance(rig.loop, rig.now_ms + KEEP_MS - 1, 5000);
    cr_assert_gt(replay_bytes(rig.server->replay), 1000u * 64);
    int64_t next_ms = rig.now_ms + KEEP_MS;
    for (int rounds = 0; rounds < 20 && replay_bytes(rig.server->replay) > 0; rounds++)
        next_ms = server_loop_advance(rig.loop, next_ms, 200);
    cr_assert_eq(replay_bytes(rig.server->replay), 0u);
}
