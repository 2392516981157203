/* Answers that wait until what they depend on is safe. */
#define _GNU_SOURCE /* memmem */
#include "gate_rig.h"

TestSuite(gate, .init = setup, .fini = teardown);

/* ---------------------------------------------------------------- waiting and going */

Test(gate, a_write_is_answered_when_it_is_safe) {
    rig_expect(&rig, 1, "session.set", SET("a"), "");
    cr_assert(conn_is_owed(rig.conn) && !conn_is_idle(rig.conn));
    cr_assert_eq(rig.state, CONN_READING);
    end_turn();
    cr_assert_eq(disk.awaited[0], 1u);
    set_mark(1);
    cr_assert_eq(notified, 1u);
    rig_expect_text(&rig, WRITTEN(1));
    cr_assert(conn_is_idle(rig.conn));
    cr_assert_null(rig.conn->held.bytes.data, "who holds nothing has no buffer");
}

Test(gate, what_is_safe_already_does_not_wait) {
    atomic_store(&disk.journal.mark, 5);
    rig_expect(&rig, 1, "session.set", SET("a"), WRITTEN(1));
    rig_expect(&rig, 2, "session.get", GET("a"), GOT(2));
    end_turn();
    cr_assert_eq(disk.awaits, 0u);
    cr_assert_eq(metric_of(METRIC_HELD_TOTAL), 0u);
}

Test(gate, the_first_that_waits_goes_first_and_each_when_its_time_has_come) {
    for (int i = 1; i <= 3; i++) feed(i, "session.set", SET("a"));
    set_mark(2);
    rig_expect_text(&rig, WRITTEN(1) WRITTEN(2));
    cr_assert_eq(disk.awaited[0], 3u, "the rest is awaited anew");
    set_mark(3);
    rig_expect_text(&rig, WRITTEN(3));
    cr_assert_eq(disk.awaited[0], 0u);
}

Test(gate, what_depends_on_less_keeps_its_place_behind_what_waits) {
    feed(1, "session.set", SET("a"));
    feed(2, "session.set", SET("b"));
    feed(3, "session.get", GET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    set_mark(2);
    rig_expect_text(&rig, WRITTEN(2) GOT(3));
}

Test(gate, what_need_not_wait_overtakes) {
    feed(1, "session.set", SET("a"));
    rig_expect(&rig, 2, "server.ping", "[]", PONG(2));
    rig_expect(&rig, 3, "session.get", GET("none"), "[1, 3, null, null]\n");
    set_mark(1);
    feed(4, "session.set", SET("b"));
    feed(5, "session.get", GET("a"));
    rig_expect_text(&rig, WRITTEN(1) GOT(5));
    set_mark(2);
    cr_assert_eq(count_of("[1, 4, null"), 1u);
}

Test(gate, a_read_of_what_is_not_safe_waits_too) {
    feed(-1, "session.set", SET("a"));
    rig_expect(&rig, 1, "session.get", GET("a"), "");
    set_mark(1);
    rig_expect_text(&rig, GOT(1));
}

Test(gate, a_pipeline_is_executed_whole_and_its_answers_wait_together) {
    for (int i = 1; i <= 40; i++) rig_add(&rig, i, i % 4 == 0 ? "server.ping" : "session.set", i % 4 ? SET("a") : "[]");
    rig_feed(&rig);
    cr_assert_eq(count_of("'now'"), 10u);
    cr_assert_eq(metric_of(METRIC_HELD), 30u);
    cr_assert_gt(metric_of(METRIC_HELD_BYTES), 30u * 20);
    set_mark(30);
    cr_assert_eq(count_of("'version'"), 30u);
    cr_assert_eq(metric_of(METRIC_HELD), 0u);
    cr_assert_eq(metric_of(METRIC_HELD_BYTES), 0u);
    cr_assert_eq(metric_of(METRIC_HELD_TOTAL), 30u);
    cr_assert_eq(notified, 1u);
}

Test(gate, a_list_waits_whole) {
    feed(1, "session.set", SET("a"));
    feed(2, "session.set", SET("b"));
    feed(3, "session.get_many", "['web', ['a', 'b'], {'fields': ['data']}]");
    feed(4, "session.list", "['web', {'fields': ['id']}]");
    feed(5, "server.ping", "[]");
    rig_expect_text(&rig, PONG(5));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    set_mark(2);
    rig_expect_text(&rig, WRITTEN(2) "[1, 3, null, [{'data': 1}, {'data': 1}]]\n"
                                     "[1, 4, null, {'sessions': [{'id': 'a'}, {'id': 'b'}], 'cursor': null, "
                                     "'total': 2}]\n");
}

Test(gate, several_steps_depend_on_the_newest_of_them) {
    feed(1, "pool.load", "['web', 'p', [{'id': 'a', 'data': 1}, {'id': 'b', 'data': 1}, {'id': 'c', 'data': 1}]]");
    uint64_t last = rig.fake->version;
    cr_assert_gt(last, 1u);
    set_mark(last - 1);
    rig_expect_text(&rig, "");
    set_mark(last);
    rig_expect_text(&rig, "[1, 1, null, 3]\n");
}

Test(gate, an_answer_that_comes_later_waits_then) {
    feed(1, "session.set", "['web', 'slow', 1]");
    fake_finish(rig.fake, 0);
    end_turn();
    rig_expect_text(&rig, "");
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
}

Test(gate, a_hand_out_that_was_waited_for_waits_until_it_is_safe) {
    feed(1, "session.set", SET("p"));
    feed(2, "pool.acquire", "['web', 'p', {'wait_ms': 1000, 'fields': ['id', 'use']}]");
    fake_finish(rig.fake, 0);
    end_turn();
    rig_expect_text(&rig, "");
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1) "[1, 2, null, {'id': 'p', 'use': 1}]\n");
}

Test(gate, a_mark_that_moves_before_it_is_awaited_wakes_all_the_same) {
    feed(1, "session.set", SET("a"));
    atomic_store(&disk.journal.mark, 1);
    rig_expect_text(&rig, "");
    end_turn();
    rig_expect_text(&rig, WRITTEN(1));
}

Test(gate, what_is_awaited_is_asked_for_once_and_the_oldest_of_all_connections) {
    struct conn *first = rig.conn, *second = conn_open(rig.loop, rig.now_ms);
    feed(1, "session.set", SET("a"));
    end_turn();
    rig.conn = second;
    feed(2, "session.set", SET("b"));
    feed(3, "session.set", SET("b"));
    end_turn();
    end_turn();
    cr_assert_eq(disk.awaits, 1u);
    cr_assert_eq(disk.awaited[0], 1u);
    set_mark(2);
    cr_assert_eq(notified, 2u);
    rig_expect_text(&rig, WRITTEN(2));
    cr_assert_eq(disk.awaits, 2u);
    cr_assert_eq(disk.awaited[0], 3u);
    rig.conn = first;
    rig_expect_text(&rig, WRITTEN(1));
    conn_close(second);
}

Test(gate, a_notification_holds_nothing) {
    feed(-1, "session.set", SET("a"));
    end_turn();
    cr_assert_eq(disk.awaits, 0u);
    cr_assert(conn_is_idle(rig.conn));
}

/* ---------------------------------------------------------------- remembered answers */

Test(gate, a_remembered_answer_waits_as_the_first_one_does) {
    feed(1, "session.set", ONCE);
    struct conn *first = rig.conn;
    rig.conn = conn_open(rig.loop, rig.now_ms);
    rig_expect(&rig, 2, "session.set", ONCE, "");
    set_mark(1);
    rig_expect_text(&rig, "[1, 2, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    rig_expect(&rig, 3, "session.set", ONCE, "[1, 3, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    conn_close(rig.conn);
    rig.conn = first;
    rig_expect_text(&rig, WRITTEN(1));
    cr_assert_eq(rig.fake->version, 1u);
}

/* ---------------------------------------------------------------- bounds */

Test(gate, held_bytes_count_as_output_and_stop_the_connection_at_the_mark) {
    struct server_limits limits = rig_limits;
    limits.output_mark = 1000;
    server_set_limits(rig.server, &limits);
    for (int i = 1; i <= 500; i++) rig_add(&rig, i, "session.set", SET("a"));
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    cr_assert_eq(conn_output(rig.conn).size, 0u);
    size_t pending = conn_output_pending(rig.conn);
    cr_assert(pending >= 1000 && pending < 10000, "%zu", pending);
    uint64_t executed = rig.fake->version;
    cr_assert_lt(executed, 500u);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_PAUSED);
    cr_assert_eq(rig.fake->version, executed);
    unsigned answered = 0;
    while (rig.fake->version < 500 || conn_output_pending(rig.conn) > 0) {
        set_mark(rig.fake->version);
        answered += count_of("'version'");
        rig.state = conn_resume(rig.conn, rig.now_ms);
    }
    cr_assert_eq(rig.state, CONN_READING);
    cr_assert_eq(answered, 500u);
    cr_assert(conn_is_idle(rig.conn));
}

Test(gate, what_was_released_of_a_long_queue_is_forgotten) {
    unsigned answered = 0;
    for (int i = 1; i <= 2000; i++) {
        feed(i, "session.set", SET("a"));
        if (i % 100) continue;
        set_mark((uint64_t)i - 50);
        answered += count_of("'version'");
    }
    cr_assert_eq(answered, 1950u);
    cr_assert_lt(rig.conn->held.bytes.capacity, 32u * 1024);
    set_mark(2000);
    cr_assert_eq(count_of("'version'"), 50u);
}

/* ---------------------------------------------------------------- ends */

Test(gate, a_connection_may_close_with_answers_that_wait) {
    feed(1, "session.set", SET("a"));
    end_turn();
    conn_close(rig.conn);
    cr_assert_eq(metric_of(METRIC_HELD), 0u);
    cr_assert_eq(metric_of(METRIC_HELD_BYTES), 0u);
    rig.conn = conn_open(rig.loop, rig.now_ms);
    set_mark(1);
    cr_assert_eq(notified, 0u);
    rig_expect_text(&rig, "");
}

Test(gate, a_broken_connection_closes_behind_the_answers_that_wait) {
    feed(1, "session.set", SET("a"));
    buf_append(&rig.sent, "\xc1", 1);
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    rig_expect_text(&rig, "");
    cr_assert_eq(conn_feed(rig.conn, BYTES_LITERAL("\x94"), rig.now_ms), CONN_PAUSED);
    set_mark(1);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_CLOSING);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, WRITTEN(1) "[1, 0, {'code': 'BAD_REQUEST'", sizeof WRITTEN(1) + 28), 0, "%s", text);
    free(text);
}

Test(gate, a_server_that_drains_still_owes_what_waits) {
    feed(1, "session.set", SET("a"));
    server_set_draining(rig.server);
    end_turn();
    cr_assert(conn_is_owed(rig.conn));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    cr_assert(!conn_is_owed(rig.conn));
}

/* ---------------------------------------------------------------- secrets */

Test(gate, a_secret_that_waited_stands_nowhere_once_it_was_sent) {
    feed(1, "session.create", "['web', {'token': true, 'fields': ['id']}]");
    cr_assert(rig.conn->held.bytes.is_secret);
    struct buf held = rig.conn->held.bytes;
    cr_assert(holds(held.data, held.size, "token"));
    cr_assert(!holds(rig.conn->filling.data, rig.conn->filling.capacity, "token"), "it was moved, not copied");
    set_mark(rig.fake->version);
    cr_assert(rig.conn->filling.is_secret);
    cr_assert(!holds(held.data, held.capacity, "token"), "the buffer is a spare one now");
    cr_assert_eq(count_of("token"), 1u);
    for (unsigned i = 0; i < rig.loop->spare_count; i++)
        cr_assert(!holds(rig.loop->spares[i].data, rig.loop->spares[i].capacity, "token"), "spare %u", i);
}

Test(gate, a_secret_that_was_never_sent_is_forgotten_with_its_connection) {
    feed(1, "session.create", "['web', {'token': true, 'fields': ['id']}]");
    conn_close(rig.conn);
    rig.conn = NULL;
    cr_assert_gt(rig.loop->spare_count, 0u);
    for (unsigned i = 0; i < rig.loop->spare_count; i++)
        cr_assert(!holds(rig.loop->spares[i].data, rig.loop->spares[i].capacity, "token"), "spare %u", i);
}

/* ---------------------------------------------------------------- events */

static struct engine_vtable vtable;
static struct event events[10];
static unsigned event_count, events_told;

static uint64_t engine_watch(struct engine *self, unsigned loop_index, bool is_on, bool wants_data) {
    (void)self, (void)loop_index, (void)is_on, (void)wants_data;
    return 0;
}

static uint64_t engine_read_events(struct engine *self, unsigned loop_index, event_each each, void *context) {
    (void)self, (void)loop_index;
    for (; events_told < event_count; events_told++) {
        if (events[events_told].version > journal_mark(&disk.journal)) return events[events_told].version;
        each(context, &events[events_told]);
    }
    return 0;
}

static void begin_watch(void) {
    vtable = *rig.fake->engine.vtable;
    vtable.features |= ENGINE_EVENTS;
    vtable.watch = engine_watch;
    vtable.read_events = engine_read_events;
    rig.fake->engine.vtable = &vtable;
    event_count = events_told = 0;
    rig_expect(&rig, 1, "watch.start", "['web']", "[1, 1, null, {'watch': 1}]\n");
}

static void happen(uint64_t version) {
    events[event_count++] = (struct event){.kind = EVENT_CREATED,
                                           .namespace = BYTES_LITERAL("web"),
                                           .id = BYTES_LITERAL("a"),
                                           .version = version,
                                           .at = 5};
}

Test(gate, an_event_is_told_when_it_is_safe) {
    begin_watch();
    happen(1);
    happen(2);
    set_mark(1);
    cr_assert_eq(count_of("'seq': 1"), 1u);
    cr_assert_eq(disk.awaited[0], 2u);
    set_mark(2);
    cr_assert_eq(count_of("'seq': 2"), 1u);
    cr_assert_eq(disk.awaited[0], 0u);
}

Test(gate, an_event_comes_behind_the_answer_to_its_write_whenever_the_mark_moves) {
    begin_watch();
    feed(1, "session.set", SET("a"));
    happen(1);
    atomic_store(&disk.journal.mark, 1); /* within the turn */
    server_loop_leave(rig.loop);
    server_loop_enter(rig.loop);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, WRITTEN(1) "[2, 'event'", sizeof WRITTEN(1) + 10), 0, "%s", text);
    free(text);
}

Test(gate, what_is_older_of_an_event_and_an_answer_is_awaited) {
    begin_watch();
    feed(2, "session.set", SET("a"));
    feed(3, "session.set", SET("a"));
    happen(1);
    end_turn();
    cr_assert_eq(disk.awaited[0], 1u);
    set_mark(1);
    cr_assert_eq(count_of("'seq': 1"), 1u);
    cr_assert_eq(disk.awaited[0], 2u);
}

Test(gate, answers_that_wait_take_no_room_from_events) {
    begin_watch();
    struct server_limits limits = rig_limits;
    limits.output_mark = 100;
    server_set_limits(rig.server, &limits);
    for (int i = 1; i <= 3; i++) feed(i, "session.set", SET("a"));
    feed(4, "session.list", "['web']");
    cr_assert_gt(conn_output_pending(rig.conn), 100u);
    happen(0);
    end_turn();
    cr_assert_eq(count_of("'created'"), 1u);
}

Test(gate, nobody_waits_for_events_of_a_disk_that_failed) {
    begin_watch();
    happen(1);
    end_turn();
    cr_assert_eq(disk.awaited[0], 1u);
    set_state(JOURNAL_FAILED);
    end_turn();
    cr_assert_eq(disk.awaits, 1u);
    rig_expect_text(&rig, "");
}

/* ---------------------------------------------------------------- several loops */

Test(gate, each_loop_waits_for_its_own) {
    struct server_options options = {.loop_count = 2,
                                     .now_ms = RIG_NOW,
                                     .engine = &rig.fake->engine,
                                     .env = &rig.env,
                                     .journal = &disk.journal,
                                     .limits = rig_limits};
    struct server *server = server_open(&options);
    struct server_loop *loops[2];
    struct conn *conns[2];
    server_loop_leave(rig.loop);
    for (unsigned i = 0; i < 2; i++) {
        loops[i] = server_loop_open(server, i);
        server_loop_enter(loops[i]);
        conns[i] = conn_open(loops[i], rig.now_ms);
        rig_add(&rig, i + 1, "session.set", SET("a"));
        cr_assert_eq(conn_feed(conns[i], buf_bytes(&rig.sent), rig.now_ms), CONN_READING);
        buf_clear(&rig.sent);
        server_loop_leave(loops[i]);
        cr_assert_eq(disk.awaited[i], i + 1);
    }
    atomic_store(&disk.journal.mark, 1);
    for (unsigned i = 0; i < 2; i++) disk_wake_who_waits(i);
    cr_assert(disk.is_woken[0] && !disk.is_woken[1]);
    for (unsigned i = 0; i < 2; i++) {
        server_loop_enter(loops[i]);
        server_loop_advance(loops[i], rig.now_ms, 100);
        cr_assert_eq(conn_output(conns[i]).size > 0, i == 0);
        conn_close(conns[i]);
        server_loop_leave(loops[i]);
        server_loop_close(loops[i]);
    }
    server_close(server);
    server_loop_enter(rig.loop);
}
