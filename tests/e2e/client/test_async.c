#include <criterion/criterion.h>
#include <stdio.h>

#include "fake.h"
#include "mp_text.h"
#include "sessiond/client_async.h"

static uv_loop_t loop;
static struct sessiond_async *async;
static unsigned answered, closed_count;
static int codes[20000];

static void note(struct sessiond_reply *reply, void *data) {
    cr_assert_not_null(reply);
    int *code = data;
    cr_assert_eq(*code, -1, "a second callback for one request");
    *code = reply->error.code;
    answered++;
    sessiond_free(reply);
}

static void note_closed(void *data) {
    (void)data;
    closed_count++;
}

/* What a machine that stands still for some seconds does not use up. */
static const struct sessiond_async_options patient = {.client = {.timeout_ms = 60000, .connect_timeout_ms = 60000}};

/* No options: with patience. */
static void begin(const char *url, const struct sessiond_async_options *options) {
    struct sessiond_error error;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) codes[i] = -1;
    uv_loop_init(&loop);
    if (!options) options = &patient;
    cr_assert_eq(sessiond_async_open(&loop, url, options, &async, &error), 0, "%s", error.message);
}

/* Turns the loop until `count` requests are answered, or 100 s have passed. */
static void run_until(unsigned count) {
    uint64_t end = uv_hrtime() + UINT64_C(100000000000);
    while (answered < count && uv_hrtime() < end) uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(answered, count);
}

/* Nothing may be left on the loop. */
static void end(void) {
    sessiond_async_close(async, note_closed, NULL);
    cr_assert_eq(closed_count, 0, "never from within the call");
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(closed_count, 1);
    cr_assert_eq(uv_loop_close(&loop), 0);
}

static void ping(unsigned i) {
    unsigned before = answered;
    sessiond_async_send(async, sessiond_server_ping_request(), note, &codes[i]);
    cr_assert_eq(answered, before, "never from within the call");
}

Test(async, answers_requests_that_were_sent_before_it_connected) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    begin(fake.url, NULL);
    cr_assert_str_eq(sessiond_async_namespace(async), "web");
    cr_assert_not(sessiond_async_is_connected(async));
    ping(0);
    sessiond_async_call(async, "any.thing", MP("\x90"), note, &codes[1]);
    cr_assert_eq(sessiond_async_pending_count(async), 2);
    run_until(2);
    cr_assert(sessiond_async_is_connected(async));
    cr_assert_eq(codes[0], 0);
    cr_assert_eq(codes[1], 0);
    end();
    fake_stop(&fake);
}

Test(async, pipelines_ten_thousand_requests) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    struct sessiond_async_options options = {.max_offline = 10000, .client = {.timeout_ms = 60000}};
    fake_start(&fake);
    begin(fake.url, &options);
    for (unsigned i = 0; i < 10000; i++) ping(i);
    run_until(10000);
    for (unsigned i = 0; i < 10000; i++) cr_assert_eq(codes[i], 0);
    end();
    fake_stop(&fake);
}

Test(async, refuses_a_bad_url_at_once) {
    struct sessiond_error error;
    uv_loop_init(&loop);
    cr_assert_eq(sessiond_async_open(&loop, "sessionds://x", NULL, &async, &error), SESSIOND_ERROR_URL);
    cr_assert_null(async);
    cr_assert_eq(error.code, SESSIOND_ERROR_URL);
    cr_assert_eq(uv_loop_close(&loop), 0);
}

Test(async, tells_a_mistake_by_the_callback) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    begin(fake.url, NULL);
    sessiond_async_send(async, sessiond_get_request("web", NULL, NULL), note, &codes[0]);
    cr_assert_eq(answered, 0);
    run_until(1);
    cr_assert_eq(codes[0], SESSIOND_ERROR_ARGUMENT);
    end();
    fake_stop(&fake);
}

Test(async, bounds_what_waits_for_a_connection) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    struct sessiond_async_options options = {.max_offline = 3, .client = {.timeout_ms = 150}};
    fake_start(&fake);
    fake_stop(&fake);
    begin(fake.url, &options);
    for (unsigned i = 0; i < 5; i++) ping(i);
    run_until(5);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(codes[i], i < 3 ? SESSIOND_ERROR_CONNECTION : SESSIOND_ERROR_OVERLOADED, "%u: %d", i, codes[i]);
    end();
}

Test(async, times_each_request_out) {
    struct fake fake = {.mode = FAKE_GREETS};
    struct sessiond_async_options options = {.client = {.timeout_ms = 80}};
    fake_start(&fake);
    begin(fake.url, &options);
    unsigned i = 0;
    for (; i < 50 && (i < 2 || fake.connection_count < 2); i++) {
        ping(i);
        run_until(i + 1);
        cr_assert(codes[i] == SESSIOND_ERROR_TIMEOUT || codes[i] == SESSIOND_ERROR_CONNECTION, "%d", codes[i]);
    }
    end();
    cr_assert_geq(fake.connection_count, 2, "a silent connection is given up");
    fake_stop(&fake);
}

Test(async, gives_up_on_a_server_that_never_greets) {
    struct fake fake = {.mode = FAKE_SILENT};
    struct sessiond_async_options options = {.client = {.timeout_ms = 300, .connect_timeout_ms = 50}};
    fake_start(&fake);
    begin(fake.url, &options);
    unsigned i = 0;
    for (; i < 50 && fake.connection_count < 2; i++) { /* 300 ms may be over before it has tried twice */
        ping(i);
        run_until(i + 1);
        cr_assert(codes[i] == SESSIOND_ERROR_TIMEOUT || codes[i] == SESSIOND_ERROR_CONNECTION, "%d", codes[i]);
    }
    end();
    fake_stop(&fake);
    cr_assert_geq(fake.connection_count, 2);
}

Test(async, tells_that_the_other_side_is_not_sessiond) {
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct fake fake = {.mode = FAKE_SENDS_FIRST, .bytes = http, .size = sizeof http - 1};
    struct sessiond_async_options options = {.client = {.timeout_ms = 100}};
    fake_start(&fake);
    begin(fake.url, &options);
    unsigned i = 0;
    do { /* 100 ms may be over before it has heard a word */
        ping(i);
        run_until(i + 1);
    } while (codes[i] != SESSIOND_ERROR_PROTOCOL && ++i < 50);
    cr_assert_lt(i, 50, "%d", codes[49]);
    end();
    fake_stop(&fake);
}

Test(async, repeats_after_a_lost_connection) {
    struct fake fake = {.mode = FAKE_DROPS, .drop_at = 3, .drop_count = 1};
    fake_start(&fake);
    begin(fake.url, NULL);
    for (unsigned i = 0; i < 10; i++) sessiond_async_send(async, sessiond_destroy_request("web", "s"), note, &codes[i]);
    run_until(10);
    for (unsigned i = 0; i < 10; i++) cr_assert_eq(codes[i], 0, "%u: %d", i, codes[i]);
    end();
    fake_stop(&fake);
    cr_assert_eq(fake.connection_count, 2);
}

Test(async, connects_again_when_the_server_comes_back) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    begin(fake.url, NULL);
    ping(0);
    run_until(1);
    fake_stop(&fake);
    ping(1);
    uv_run(&loop, UV_RUN_ONCE);
    fake_start(&fake);
    run_until(2);
    cr_assert_eq(codes[1], 0, "%d", codes[1]);
    end();
    fake_stop(&fake);
}

Test(async, answers_what_waits_with_closed) {
    struct fake fake = {.mode = FAKE_GREETS};
    fake_start(&fake);
    begin(fake.url, NULL);
    for (unsigned i = 0; i < 3; i++) ping(i);
    while (!sessiond_async_is_connected(async)) uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_NOWAIT);
    ping(3);
    end();
    cr_assert_eq(answered, 4);
    for (unsigned i = 0; i < 4; i++) cr_assert_eq(codes[i], SESSIOND_ERROR_CLOSED);
    fake_stop(&fake);
}

Test(async, may_be_closed_before_its_first_turn) {
    begin("sessiond://127.0.0.1:1/web", NULL);
    ping(0);
    end();
    cr_assert_eq(codes[0], SESSIOND_ERROR_CLOSED);
}

static void close_from_callback(struct sessiond_reply *reply, void *data) {
    note(reply, data);
    sessiond_async_close(async, note_closed, NULL);
    sessiond_async_close(async, note_closed, NULL);
    sessiond_async_send(async, sessiond_server_ping_request(), note, &codes[19]);
    cr_assert_eq(codes[19], SESSIOND_ERROR_CLOSED, "after the close, at once");
}

Test(async, may_be_closed_from_a_callback) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    begin(fake.url, NULL);
    sessiond_async_send(async, sessiond_server_ping_request(), close_from_callback, &codes[0]);
    for (unsigned i = 1; i < 10; i++) ping(i);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(answered, 11);
    cr_assert_eq(closed_count, 1);
    cr_assert_eq(uv_loop_close(&loop), 0);
    fake_stop(&fake);
}

static void send_again(struct sessiond_reply *reply, void *data) {
    note(reply, data);
    if (answered < 100) sessiond_async_send(async, sessiond_server_ping_request(), send_again, &codes[answered]);
}

Test(async, may_send_from_a_callback) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    begin(fake.url, NULL);
    sessiond_async_send(async, sessiond_server_ping_request(), send_again, &codes[0]);
    run_until(100);
    end();
    fake_stop(&fake);
}
