/* Watches: what the engine is told of them, and what they are sent. The engine's events are the test's. */
#include "rig.h"

static struct rig rig;
static struct engine_vtable vtable;

/* What the engine was told last, and what it will tell. */
static struct {
    bool is_on, wants_data;
    unsigned calls;
    struct event events[100];
    unsigned count;
    struct event expired[3];
    unsigned expired_count;
    uint64_t awaited; /* while it is not 0 nothing is handed out */
} engine;

static uint64_t engine_watch(struct engine *self, unsigned loop_index, bool is_on, bool wants_data) {
    (void)self, (void)loop_index;
    engine.is_on = is_on;
    engine.wants_data = wants_data;
    engine.calls++;
    return engine.calls;
}

static uint64_t engine_read_events(struct engine *self, unsigned loop_index, event_each each, void *context) {
    (void)self, (void)loop_index;
    if (engine.awaited) return engine.awaited;
    for (unsigned i = 0; i < engine.count; i++) each(context, &engine.events[i]);
    engine.count = 0;
    return 0;
}

/* What expired while the server was down. */
static void engine_read_expired(struct engine *self, unsigned loop_index, int64_t now_ms, event_each each,
                                void *context) {
    (void)self, (void)loop_index, (void)now_ms;
    for (unsigned i = 0; i < engine.expired_count; i++) each(context, &engine.expired[i]);
}

static void setup(void) {
    memset(&engine, 0, sizeof(engine));
    rig_open(&rig);
    vtable = *rig.fake->engine.vtable;
    vtable.features |= ENGINE_EVENTS;
    vtable.watch = engine_watch;
    vtable.read_events = engine_read_events;
    vtable.read_expired = engine_read_expired;
    rig.fake->engine.vtable = &vtable;
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(watch, .init = setup, .fini = teardown);

static void happen(struct event event) {
    if (event.kind != EVENT_LAGGED && !event.namespace.data) event.namespace = BYTES_LITERAL("web");
    event.serial = engine.calls;
    engine.events[engine.count++] = event;
}

static void end_turn(void) {
    server_loop_leave(rig.loop);
    server_loop_enter(rig.loop);
}

static const struct event created = {.kind = EVENT_CREATED, .id = BYTES_LITERAL("a"), .version = 1, .at = 5};
#define CREATED(watch, seq)                                                                                            \
    "[2, 'event', [{'watch': " #watch ", 'seq': " #seq ", 'kind': 'created', 'id': 'a', 'at': 5, 'version': 1}]]\n"
#define LAGGED(watch, seq, missed)                                                                                     \
    "[2, 'event', [{'watch': " #watch ", 'seq': " #seq ", 'kind': 'lagged', 'missed': " #missed "}]]\n"

Test(watch, is_refused_where_the_engine_has_no_events) {
    vtable.features &= ~(unsigned)ENGINE_EVENTS;
    rig_expect(&rig, 1, "watch.start", "['web']",
               "[1, 1, {'code': 'UNKNOWN_METHOD', 'message': 'This engine has no events.'}, null]\n");
    cr_assert_eq(engine.calls, 0);
}

Test(watch, is_made_known_to_the_engine_while_there_is_one) {
    rig_expect(&rig, 1, "watch.start", "['web']", "[1, 1, null, {'watch': 1}]\n");
    cr_assert(engine.is_on && !engine.wants_data);
    rig_expect(&rig, 2, "watch.start", "['web', {'data': true}]", "[1, 2, null, {'watch': 2}]\n");
    cr_assert(engine.is_on && engine.wants_data);
    rig_expect(&rig, 3, "watch.stop", "['web', {'watch': 2}]", "[1, 3, null, true]\n");
    end_turn();
    cr_assert(engine.is_on && !engine.wants_data);
    conn_close(rig.conn);
    rig.conn = NULL;
    end_turn();
    cr_assert(!engine.is_on);
    unsigned calls = engine.calls;
    end_turn();
    cr_assert_eq(engine.calls, calls);
}

Test(watch, sends_events_behind_all_answers_of_the_turn) {
    rig_expect(&rig, 1, "watch.start", "['web']", "[1, 1, null, {'watch': 1}]\n");
    rig_add(&rig, 2, "watch.stop", "['web', {'watch': 9}]");
    rig_feed(&rig);
    happen(created);
    rig_add(&rig, 3, "watch.stop", "['web', {'watch': 8}]");
    rig_feed(&rig);
    happen(created);
    end_turn();
    rig_expect_text(&rig, "[1, 2, null, false]\n" CREATED(1, 1) "[1, 3, null, false]\n" CREATED(1, 2));
}

Test(watch, does_not_hear_what_happened_before_it) {
    rig_expect(&rig, 1, "watch.start", "['web']", "[1, 1, null, {'watch': 1}]\n");
    happen(created);
    rig_expect(&rig, 2, "watch.start", "['web']", CREATED(1, 1) "[1, 2, null, {'watch': 2}]\n");
    happen(created);
    end_turn();
    rig_expect_text(&rig, CREATED(1, 2) CREATED(2, 1));
}

Test(watch, is_told_of_the_engines_losses_whatever_it_asked_for) {
    rig_expect(&rig, 1, "watch.start", "['web', {'kinds': 'expired'}]", "[1, 1, null, {'watch': 1}]\n");
    rig_expect(&rig, 2, "watch.start", "['shop']", "[1, 2, null, {'watch': 2}]\n");
    happen((struct event){.kind = EVENT_LAGGED, .missed = 40});
    happen((struct event){
        .kind = EVENT_CREATED, .namespace = BYTES_LITERAL("shop"), .id = BYTES_LITERAL("a"), .version = 1, .at = 5});
    end_turn();
    char *text = rig_take(&rig);
    cr_assert(strstr(text, LAGGED(1, 40, 40)), "%s", text);
    cr_assert(strstr(text, LAGGED(2, 40, 40)), "%s", text);
    cr_assert(strstr(text, CREATED(2, 41)), "%s", text);
    free(text);
}

Test(watch, of_a_full_connection_is_told_once_when_it_has_drained) {
    struct server_limits limits = rig_limits;
    limits.output_mark = 100;
    rig_expect(&rig, 1, "watch.start", "['web']", "[1, 1, null, {'watch': 1}]\n");
    server_set_limits(rig.server, &limits);
    for (unsigned i = 0; i < 50; i++) happen(created);
    end_turn();
    for (unsigned i = 0; i < 50; i++) happen(created);
    end_turn();
    size_t size = conn_output(rig.conn).size;
    cr_assert(size >= 100 && size < 300);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_PAUSED);
    cr_assert_eq(conn_output(rig.conn).size, size);
    rig_expect_text(&rig, CREATED(1, 1) CREATED(1, 2));
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_READING);
    rig_expect_text(&rig, LAGGED(1, 100, 98));
    conn_resume(rig.conn, rig.now_ms);
    rig_expect_text(&rig, "");
    happen(created);
    end_turn();
    rig_expect_text(&rig, CREATED(1, 101));
}

Test(watch, tells_handles_where_ids_are_hashed) {
    rig_expect(&rig, 1, "watch.start", "['hashed']", "[1, 1, null, {'watch': 1}]\n");
    struct event event = created;
    event.namespace = BYTES_LITERAL("hashed");
    event.is_hashed = true;
    happen(event);
    end_turn();
    rig_expect_text(&rig, "[2, 'event', [{'watch': 1, 'seq': 1, 'kind': 'created', 'handle': 'a', 'at': 5, "
                          "'version': 1}]]\n");
}

Test(watch, is_told_what_had_to_wait_if_it_happened_while_it_watched) {
    rig_expect(&rig, 1, "watch.start", "['web']", "[1, 1, null, {'watch': 1}]\n");
    happen(created);
    engine.awaited = 1;
    rig_expect(&rig, 2, "watch.start", "['web']", "[1, 2, null, {'watch': 2}]\n");
    rig_expect(&rig, 3, "watch.stop", "['web', {'watch': 1}]", "[1, 3, null, true]\n");
    rig_expect(&rig, 4, "watch.stop", "['web', {'watch': 1}]", "[1, 4, null, false]\n");
    happen(created);
    end_turn();
    engine.awaited = 0;
    end_turn();
    rig_expect_text(&rig, CREATED(1, 1) CREATED(2, 1));
    rig_expect(&rig, 6, "watch.stop", "['web', {'watch': 2}]", "[1, 6, null, true]\n");
    end_turn();
    cr_assert(!engine.is_on);
}

Test(watch, is_told_behind_its_start_what_expired_while_the_server_was_down) {
    struct event expired = {.kind = EVENT_EXPIRED,
                            .namespace = BYTES_LITERAL("web"),
                            .id = BYTES_LITERAL("x"),
                            .version = 1,
                            .at = 5,
                            .serial = UINT64_MAX};
    engine.expired[0] = engine.expired[1] = expired;
    engine.expired[1].namespace = BYTES_LITERAL("shop");
    engine.expired[2] = (struct event){.kind = EVENT_LAGGED, .missed = 4};
    engine.expired_count = 3;
    rig_add(&rig, 1, "watch.start", "['web']");
    rig_add(&rig, 2, "watch.start", "['web', {'kinds': 'created'}]");
    rig_feed(&rig);
    happen(created);
    end_turn();
    rig_expect_text(
        &rig, "[1, 1, null, {'watch': 1}]\n"
              "[2, 'event', [{'watch': 1, 'seq': 1, 'kind': 'expired', 'id': 'x', 'at': 5, 'version': 1}]]\n" LAGGED(
                  1, 5, 4) "[1, 2, null, {'watch': 2}]\n" LAGGED(2, 4, 4) CREATED(1, 6) CREATED(2, 5));
}
