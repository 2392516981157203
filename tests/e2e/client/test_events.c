/* Watches of the C client against sessiond itself. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "live.h"
#include "mp_text.h"
#include "sessiond/client_async.h"

TestSuite(events, .init = live_begin, .fini = live_end);

static int64_t start(const struct sessiond_watch_start_options *options) {
    int64_t watch;
    FINE(sessiond_watch_start(client, options, &watch));
    return watch;
}

/* The next event as "kind id"; it comes within a minute, and not only when that is over. */
static const char *next(void) {
    static char text[128];
    struct sessiond_event *event;
    uint64_t begin = uv_hrtime();
    FINE(sessiond_event_next(client, 60000, &event));
    cr_assert_not_null(event, "no event came");
    cr_assert_lt(uv_hrtime() - begin, UINT64_C(50000000000), "%s was there and not handed out", event->kind_name.text);
    snprintf(text, sizeof text, "%s %s", event->kind_name.text, event->id.text ? event->id.text : "");
    sessiond_free(event);
    return text;
}

Test(events, of_its_own_writes_and_of_others_come_in_order) {
    struct sessiond_client *other;
    cr_assert_eq(sessiond_client_open(server.url, &patient, &other), 0);
    cr_assert_eq(start(NULL), 1);
    FINE(sessiond_set(client, "s1", MP("\x80"), NULL, NULL));
    FINE(sessiond_touch(client, "s1", NULL, NULL));
    cr_assert_str_eq(next(), "created s1");
    cr_assert_eq(sessiond_revoke(other, "s1", &(struct sessiond_revoke_options){.reason = "why"}, NULL), 0);
    struct sessiond_event *event;
    FINE(sessiond_event_next(client, 60000, &event));
    cr_assert_not_null(event);
    cr_assert_eq(event->kind, SESSIOND_EVENT_REVOKED, "a touch is no event");
    cr_assert_eq(event->seq, 2);
    cr_assert_eq(event->watch, 1);
    cr_assert_str_eq(event->reason.text, "why");
    cr_assert_gt(event->at, 0);
    cr_assert_gt(event->version, 0);
    cr_assert_null(event->data.bytes);
    sessiond_free(event);
    FINE(sessiond_event_next(client, 0, &event));
    cr_assert_null(event, "no more, and that is no error");
    sessiond_client_close(other);
}

Test(events, expire_without_anybody_asking) {
    start(&(struct sessiond_watch_start_options){.kinds = SESSIOND_EVENT_BIT_EXPIRED});
    struct sessiond_create_options create = {.id = "short", .timeouts = {.idle_timeout_ms = 30}};
    FINE(sessiond_create(client, &create, NULL));
    cr_assert_str_eq(next(), "expired short");
}

Test(events, come_only_while_the_watch_runs_and_where_its_filters_fit) {
    int64_t watch = start(&(struct sessiond_watch_start_options){.user = "ann", .data = SESSIOND_TRUE});
    FINE(sessiond_create(client, &(struct sessiond_create_options){.id = "b", .user = "bob"}, NULL));
    FINE(sessiond_create(
        client, &(struct sessiond_create_options){.id = "a", .user = "ann", .data = MP("\x81\xa1k\x01")}, NULL));
    struct sessiond_event *event;
    FINE(sessiond_event_next(client, 60000, &event));
    cr_assert_not_null(event);
    cr_assert_str_eq(event->id.text, "a");
    cr_assert_str_eq(event->user.text, "ann");
    cr_assert_str_eq(mp_text(event->data.bytes, event->data.size), "{\"k\"=>1}");
    sessiond_free(event);
    bool was_there;
    FINE(sessiond_watch_stop(client, &(struct sessiond_watch_stop_options){.watch = watch}, &was_there));
    cr_assert(was_there);
    FINE(sessiond_watch_stop(client, &(struct sessiond_watch_stop_options){.watch = watch}, &was_there));
    cr_assert_not(was_there);
    FINE(sessiond_destroy(client, "a", NULL));
    cr_assert_eq(sessiond_event_next(client, 0, &event), SESSIOND_ERROR_ARGUMENT, "there is nothing to wait for");
}

Test(events, go_on_after_a_restart_of_the_server_and_say_that_some_are_missing, .timeout = 200) {
    int64_t first = start(&(struct sessiond_watch_start_options){.kinds = SESSIOND_EVENT_BIT_DESTROYED});
    int64_t second = start(&(struct sessiond_watch_start_options){.kinds = SESSIOND_EVENT_BIT_CREATED});
    cr_assert_eq(first, 1);
    server_kill(&server);
    server_start(&server);
    cr_assert_str_eq(next(), "resumed ");
    cr_assert_str_eq(next(), "resumed ");
    FINE(sessiond_set(client, "s1", MP("\x80"), NULL, NULL));
    struct sessiond_event *event;
    FINE(sessiond_event_next(client, 60000, &event));
    cr_assert_not_null(event);
    cr_assert_eq(event->kind, SESSIOND_EVENT_CREATED);
    cr_assert_eq(event->watch, second);
    sessiond_free(event);
}

/* ---------------------------------------------------------------- on a loop */

static char seen[512];
static unsigned seen_count, answered;

static void note_event(struct sessiond_event *event, void *data) {
    cr_assert_eq(data, seen);
    snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s %s;", event->kind_name.text,
             event->id.text ? event->id.text : "");
    seen_count++;
    sessiond_free(event);
}

static void note_answer(struct sessiond_reply *reply, void *data) {
    (void)data;
    cr_assert_eq(reply->error.code, 0, "%s", reply->error.message);
    answered++;
    sessiond_free(reply);
}

static void run_until(uv_loop_t *loop, const unsigned *number, unsigned value) {
    uint64_t end = uv_hrtime() + UINT64_C(60000000000);
    while (*number < value && uv_hrtime() < end) uv_run(loop, UV_RUN_ONCE);
    cr_assert_eq(*number, value, "%s", seen);
}

Test(events, come_to_a_callback_on_a_loop_also_after_a_restart, .timeout = 200) {
    uv_loop_t loop;
    struct sessiond_async *async;
    uv_loop_init(&loop);
    struct sessiond_async_options options = {.client = patient};
    cr_assert_eq(sessiond_async_open(&loop, server.url, &options, &async, NULL), 0);
    sessiond_async_on_event(async, note_event, seen);
    struct sessiond_watch_start_options watch = {.kinds = SESSIOND_EVENT_BIT_CREATED};
    sessiond_async_send(async, sessiond_watch_start_request("web", &watch), note_answer, NULL);
    sessiond_async_send(async, sessiond_set_request("web", "s1", MP("\x80"), NULL), note_answer, NULL);
    run_until(&loop, &answered, 2);
    run_until(&loop, &seen_count, 1);
    server_kill(&server);
    server_start(&server);
    run_until(&loop, &seen_count, 2);
    sessiond_async_send(async, sessiond_set_request("web", "s2", MP("\x80"), NULL), note_answer, NULL);
    run_until(&loop, &seen_count, 3);
    cr_assert_str_eq(seen, "created s1;resumed ;created s2;");
    sessiond_async_close(async, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&loop), 0);
}
