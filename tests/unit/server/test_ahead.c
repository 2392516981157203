/* Looking ahead, over the fake engine: what is told of it, and that it decides nothing. */
#include "rig.h"

static struct rig rig;
static void setup(void) {
    rig_open(&rig);
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(ahead, .init = setup, .fini = teardown);

/* Announces one request, in memory of its exact size cut to `size` bytes, and answers what the engine was told. */
static const char *announce_piece(const char *method, const char *params, size_t size) {
    rig_add(&rig, 1, method, params);
    if (size > rig.sent.size) size = rig.sent.size;
    uint8_t *exact = malloc(size + 1);
    memcpy(exact, rig.sent.data, size);
    rig.fake->anticipated[0] = 0;
    struct conn_input input = {rig.conn, bytes_of(exact, size)};
    server_loop_anticipate(rig.loop, &input, 1);
    buf_clear(&rig.sent);
    free(exact);
    return rig.fake->anticipated;
}

static const char *announce(const char *method, const char *params) {
    return announce_piece(method, params, SIZE_MAX);
}

Test(ahead, the_session_that_a_request_names_is_told_to_the_engine) {
    cr_assert_str_eq(announce("session.get", "['web', 'x']"), "web/x ");
    cr_assert_str_eq(announce("session.set", "['web', 'x', {'n': 1}]"), "web/x ");
    cr_assert_str_eq(announce("session.touch", "['web', 'x', {'fields': ['id']}]"), "web/x ");
    cr_assert_str_eq(announce("session.destroy", "['web', 'x']"), "web/x ");
}

Test(ahead, a_token_names_the_session_before_its_last_dot) {
    cr_assert_str_eq(announce("session.validate", "['web', 'a.b.secret']"), "web/a.b ");
    cr_assert_str_eq(announce("session.validate", "['web', 'nothing']"), "");
}

Test(ahead, the_connections_own_namespace_stands_for_nil) {
    cr_assert_str_eq(announce("session.get", "[null, 'x']"), "");
    rig_add(&rig, 1, "server.hello", "[{'namespace': 'app'}]");
    rig_feed(&rig);
    cr_assert_str_eq(announce("session.get", "[null, 'x']"), "app/x ");
}

Test(ahead, what_names_no_session_is_not_told) {
    cr_assert_str_eq(announce("server.ping", "[]"), "");
    cr_assert_str_eq(announce("pool.acquire", "['web', 'p']"), "");
    cr_assert_str_eq(announce("session.count", "['web']"), "");
    cr_assert_str_eq(announce("no.such.method", "['web', 'x']"), "");
    cr_assert_str_eq(announce("session.get", "[1, 'x']"), "");
    cr_assert_str_eq(announce("session.get", "['web', {}]"), "");
}

Test(ahead, a_piece_of_a_request_is_told_only_once_its_id_is_there) {
    rig_add(&rig, 1, "session.get", "['web', 'x']");
    size_t size = rig.sent.size;
    buf_clear(&rig.sent);
    for (size_t piece = 0; piece < size; piece++)
        cr_assert_str_eq(announce_piece("session.get", "['web', 'x']", piece), "", "%zu of %zu bytes", piece, size);
}

Test(ahead, several_are_told_together_and_executed_only_when_they_are_fed) {
    struct conn_input inputs[ANTICIPATED_MAX];
    rig_add(&rig, 1, "session.set", "['web', 'x', {'n': 1}]");
    for (size_t i = 0; i < ANTICIPATED_MAX; i++) inputs[i] = (struct conn_input){rig.conn, buf_bytes(&rig.sent)};
    server_loop_anticipate(rig.loop, inputs, ANTICIPATED_MAX);
    cr_assert_eq(strlen(rig.fake->anticipated), ANTICIPATED_MAX * strlen("web/x "));
    cr_assert_eq(rig.fake->verbs, 0u);
    cr_assert_eq(conn_output(rig.conn).size, 0u);
    rig_feed(&rig);
    cr_assert_eq(rig.fake->verbs, 1u);
}
