/* Answers that wait until what they depend on is safe, and writes that a journal refuses. The journal is the test's:
 * its mark stands still until the test moves it, and the loop advances only when it was woken. */
#define _GNU_SOURCE /* memmem */
#include "rig.h"

#include "server/internal.h"

#define SET(id)     "['web', '" id "', 1]"
#define GET(id)     "['web', '" id "', {'fields': ['data']}]"
#define WRITTEN(id) "[1, " #id ", null, {'version': " #id ", 'expires_at': 1767312000000}]\n"
#define GOT(id)     "[1, " #id ", null, {'data': 1}]\n"
#define PONG(id)    "[1, " #id ", null, {'now': 1767225600000}]\n"
#define UNKNOWN(id)                                                                                                    \
    "[1, " #id ", {'code': 'STORAGE', 'message': 'The server's disk failed before this was safe, and it is not known " \
    "whether it was kept; ask again when the server was restarted.'}, null]\n"

static struct rig rig;
static struct {
    struct journal journal;
    uint64_t awaited[2]; /* by loop; 0: nothing */
    bool is_woken[2];
    unsigned awaits;
} disk;
static unsigned notified;

static void disk_wake_who_waits(unsigned loop_index) {
    bool is_failed = atomic_load(&disk.journal.state) == JOURNAL_FAILED;
    if (!disk.awaited[loop_index] || (!is_failed && journal_mark(&disk.journal) < disk.awaited[loop_index])) return;
    disk.awaited[loop_index] = 0;
    disk.is_woken[loop_index] = true;
}

static void disk_await(struct journal *self, unsigned loop_index, uint64_t version) {
    cr_assert_eq(self, &disk.journal);
    cr_assert_gt(version, 0u);
    disk.awaited[loop_index] = version;
    disk.awaits++;
    disk_wake_who_waits(loop_index);
}

static void wake(void *context, unsigned loop_index) {
    (void)context;
    disk.is_woken[loop_index] = true;
}

static void note(void *context, struct conn *conn) {
    (void)context, (void)conn;
    notified++;
}

static void setup(void) {
    memset(&disk, 0, sizeof disk);
    disk.journal = (struct journal){.busy_from = INT64_MAX, .await = disk_await};
    notified = 0;
    rig_open_with(&rig, &disk.journal, wake);
    server_loop_on_output(rig.loop, note, NULL);
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(gate, .init = setup, .fini = teardown);

/* A loop that was woken advances, as a shell has it do; the others sleep on. */
static void end_turn(void) {
    server_loop_leave(rig.loop);
    server_loop_enter(rig.loop);
    if (!disk.is_woken[0]) return;
    disk.is_woken[0] = false;
    server_loop_advance(rig.loop, rig.now_ms, 100);
    end_turn();
}

static void set_mark(uint64_t version) {
    end_turn();
    atomic_store(&disk.journal.mark, version);
    disk_wake_who_waits(0);
    end_turn();
}

static void set_state(enum journal_state state) {
    end_turn();
    atomic_store(&disk.journal.state, state);
    disk_wake_who_waits(0);
    end_turn();
}

static void feed(int64_t msgid, const char *method, const char *params) {
    rig_add(&rig, msgid, method, params);
    rig_feed(&rig);
}

/* How often `code` stands in what was answered. */
static unsigned count_of(const char *code) {
    char *text = rig_take(&rig);
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, code)); at++) count++;
    free(text);
    return count;
}

static uint64_t metric_of(enum metric metric) {
    return rig.loop->metrics.values[metric];
}

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

#define ONCE "['web', 'a', 1, {'op_id': 42}]"

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

static bool holds(const uint8_t *at, size_t size, const char *text) {
    return at && memmem(at, size, text, strlen(text));
}

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

Test(gate, a_disk_that_is_behind_makes_writes_busy) {
    set_state(JOURNAL_BUSY);
    expect_refused("BUSY", "'retry_after_ms': 100}, null]");
}

Test(gate, a_disk_that_hangs_makes_writes_busy_from_its_moment_on) {
    atomic_store(&disk.journal.busy_from, rig.now_ms + 1);
    feed(1, "session.set", SET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    rig.now_ms++;
    expect_refused("BUSY", "'retry_after_ms': 100}, null]");
}

Test(gate, a_full_disk_refuses_writes_until_there_is_room) {
    set_state(JOURNAL_FULL);
    expect_refused("STORAGE", "'retry_after_ms': 1000}, null]");
    set_state(JOURNAL_OPEN);
    feed(1, "session.set", SET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
}

Test(gate, a_failed_disk_makes_the_server_read_only) {
    feed(1, "session.set", SET("a"));
    set_mark(1);
    rig_expect_text(&rig, WRITTEN(1));
    set_state(JOURNAL_FAILED);
    expect_refused("READ_ONLY", "'}, null]");
    rig_expect(&rig, 2, "session.get", "['web', 'a', {'touch': true, 'fields': ['data']}]", GOT(2));
}

Test(gate, a_refused_notification_is_not_executed) {
    set_state(JOURNAL_BUSY);
    feed(-1, "session.set", SET("a"));
    cr_assert_eq(rig.fake->verbs, 0u);
    rig_expect_text(&rig, "");
}

Test(gate, a_refusal_is_not_remembered_and_what_is_known_is_not_refused) {
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

Test(gate, what_waits_for_a_disk_that_fails_is_told_that_nobody_knows) {
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

Test(gate, reads_of_what_was_not_safe_when_the_disk_failed_are_refused_for_good) {
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

Test(gate, a_repeat_of_what_was_not_safe_when_the_disk_failed_is_not_known_either) {
    feed(1, "session.set", ONCE);
    set_state(JOURNAL_FAILED);
    rig_expect_text(&rig, UNKNOWN(1));
    rig_expect(&rig, 2, "session.set", ONCE, UNKNOWN(2));
    cr_assert_eq(rig.fake->version, 1u);
}

Test(gate, a_failure_before_it_is_awaited_is_told_all_the_same) {
    feed(1, "session.set", SET("a"));
    atomic_store(&disk.journal.state, JOURNAL_FAILED);
    end_turn();
    rig_expect_text(&rig, UNKNOWN(1));
}

Test(gate, an_unknown_secret_answer_leaves_none_behind) {
    feed(1, "session.create", "['web', {'token': true, 'fields': ['id']}]");
    struct buf held = rig.conn->held.bytes;
    set_state(JOURNAL_FAILED);
    cr_assert(!holds(held.data, held.capacity, "token"));
    rig_expect_text(&rig, UNKNOWN(1));
}

Test(gate, a_broken_connection_tells_why_also_where_the_disk_failed) {
    feed(1, "session.set", SET("a"));
    buf_append(&rig.sent, "\xc1", 1);
    rig_feed(&rig);
    set_state(JOURNAL_FAILED);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_CLOSING);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, UNKNOWN(1) "[1, 0, {'code': 'BAD_REQUEST'", sizeof UNKNOWN(1) + 28), 0, "%s", text);
    free(text);
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
