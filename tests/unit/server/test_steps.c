/* Operations of several steps: pool.load stands for all. */
#include "rig.h"

static struct rig rig;
static void setup(void) {
    rig_open(&rig);
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(steps, .init = setup, .fini = teardown);

#define THREE "['web', 'p', [{'id': 'a', 'data': 1}, {'id': 'b', 'data': 2}, {'id': 'c', 'data': 3}]]"

Test(steps, each_is_a_submit_of_its_own_between_the_requests_before_and_behind) {
    rig_add(&rig, 1, "session.get", "['web', 'c', {'fields': ['data']}]");
    rig_add(&rig, 2, "pool.load", THREE);
    rig_add(&rig, 3, "session.get", "['web', 'c', {'fields': ['data']}]");
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 1, null, null]\n[1, 2, null, 3]\n[1, 3, null, {'data': 3}]\n");
    cr_assert_eq(rig.fake->submits, 5u);
}

Test(steps, none_are_taken_where_nothing_is_to_be_done) {
    rig_expect(&rig, 1, "pool.load", "['web', 'p', []]", "[1, 1, null, 0]\n");
    rig_expect(&rig, 2, "pool.load", "['web', 'p', [{'id': 'a', 'retired': true}, {'id': 'b', 'status': 'ended'}]]",
               "[1, 2, null, 0]\n");
    cr_assert_eq(rig.fake->submits, 0u);
    cr_assert_eq(rig.fake->count, 0u);
}

Test(steps, a_refusal_of_the_engine_ends_them_and_is_the_answer) {
    rig_add(&rig, 1, "pool.load", "['web', 'p', [{'id': 'a'}, {'id': 'refuse'}, {'id': 'c'}]]");
    rig_add(&rig, 2, "server.ping", "[]");
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 1, {'code': 'LIMIT', 'message': 'The fake engine refuses this id; take another.', "
                          "'limit': 3}, null]\n[1, 2, null, {'now': 1767225600000}]\n");
    cr_assert(fake_find(rig.fake, BYTES_LITERAL("a")), "what was loaded before stays");
    cr_assert_null(fake_find(rig.fake, BYTES_LITERAL("c")));
    cr_assert_eq(rig.fake->submits, 2u);
}

Test(steps, a_malformed_record_is_refused_before_the_first) {
    rig_expect(
        &rig, 1, "pool.load", "['web', 'p', [{'id': 'a'}, {'id': 'b', 'usage_count': -1}]]",
        "[1, 1, {'code': 'BAD_REQUEST', 'message': 'pool.load: sessions[1].usage_count is out of range; it takes "
        "integer from 0 to 2^53 - 1.'}, null]\n");
    cr_assert_eq(rig.fake->submits, 0u);
}

Test(steps, what_is_taken_already_is_left_out) {
    rig_expect(&rig, 1, "pool.load", THREE, "[1, 1, null, 3]\n");
    rig_expect(&rig, 2, "pool.load", "['web', 'p', [{'id': 'b', 'data': 9}, {'id': 'd'}]]", "[1, 2, null, 1]\n");
    rig_expect(&rig, 3, "session.get", "['web', 'b', {'fields': ['data']}]", "[1, 3, null, {'data': 2}]\n");
}

Test(steps, a_repeat_with_an_op_id_is_answered_as_the_first_was) {
    const char *params = "['web', 'p', [{'id': 'a'}, {}], {'op_id': 5}]";
    rig_expect(&rig, 1, "pool.load", params, "[1, 1, null, 2]\n");
    rig_expect(&rig, 2, "pool.load", params, "[1, 2, null, 2]\n");
    cr_assert_eq(rig.fake->count, 2u);
}

Test(steps, a_notification_takes_them_too_and_is_not_answered) {
    rig_add(&rig, -1, "pool.load", THREE);
    rig_feed(&rig);
    cr_assert_eq(conn_output(rig.conn).size, 0u);
    cr_assert_eq(rig.fake->count, 3u);
}
