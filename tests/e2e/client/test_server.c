#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "mp_text.h"
#include "sessiond/client_async.h"

TestSuite(with_server, .init = live_begin, .fini = live_end);

#define VALUE(value) mp_text((value).bytes, (value).size)

static void set(const char *id) {
    FINE(sessiond_set(client, id, MP("\x81\xa1n\x01"), NULL, NULL));
}

Test(with_server, a_session_lives_and_dies) {
    struct sessiond_record *record;
    struct sessiond_create_options create = {
        .user = "ann",
        .client = "laptop",
        .data = MP("\x81\xa4"
                   "cart\x03"),
        .timeouts = {.idle_timeout_ms = 1000, .absolute_timeout_ms = SESSIOND_ZERO}};
    FINE(sessiond_create(client, &create, &record));
    cr_assert_eq(record->id.size, 43);
    cr_assert_eq(record->status, SESSIOND_STATUS_ACTIVE);
    cr_assert_str_eq(record->user.text, "ann");
    cr_assert_eq(record->expires_at, record->created_at + 1000);
    cr_assert_eq(record->absolute_timeout_ms, 0);
    cr_assert(record->has & SESSIOND_FIELD_ABSOLUTE_TIMEOUT_MS);
    cr_assert_str_eq(VALUE(record->data), "{\"cart\"=>3}");
    struct sessiond_record *again;
    FINE(
        sessiond_get(client, record->id.text, &(struct sessiond_get_options){.fields = SESSIOND_FIELD_CLIENT}, &again));
    cr_assert_eq(again->has, SESSIOND_FIELD_CLIENT);
    cr_assert_str_eq(again->client.text, "laptop");
    sessiond_free(again);
    bool was_there;
    FINE(sessiond_destroy(client, record->id.text, &was_there));
    cr_assert(was_there);
    FINE(sessiond_get(client, record->id.text, NULL, &again));
    cr_assert_null(again);
    cr_assert_eq(sessiond_set(client, record->id.text, MP("\x80"), NULL, NULL), SESSIOND_ERROR_GONE);
    cr_assert_str_eq(sessiond_client_error(client)->code_name, "GONE");
    sessiond_free(record);
}

Test(with_server, writes_answer_versions_deadlines_and_values) {
    struct sessiond_written *written;
    FINE(sessiond_set(client, "s", MP("\x81\xa1n\x01"), NULL, &written));
    uint64_t version = written->version;
    cr_assert_gt(version, 0);
    cr_assert_gt(written->expires_at, 0);
    sessiond_free(written);
    struct sessiond_texts unset = {(const char *const[]){"x"}, 1};
    struct sessiond_patch_options patch = {
        .incr = MP("\x81\xa1n\x05"), .set = MP("\x81\xa1k\xc3"), .unset = unset, .version = (int64_t)version};
    FINE(sessiond_patch(client, "s", &patch, &written));
    cr_assert_str_eq(VALUE(written->values), "{\"n\"=>6}");
    sessiond_free(written);
    cr_assert_eq(sessiond_patch(client, "s", &patch, &written), SESSIOND_ERROR_CONFLICT);
    cr_assert_gt(sessiond_client_error(client)->version, version);
    FINE(sessiond_touch(client, "s", NULL, &written));
    cr_assert_gt(written->expires_at, 0);
    sessiond_free(written);
    FINE(sessiond_expire(client, "s", &(struct sessiond_expire_options){.extend_ms = 5000}, &written));
    cr_assert_not_null(written);
    sessiond_free(written);
    FINE(sessiond_touch(client, "never", NULL, &written));
    cr_assert_null(written);
    FINE(sessiond_set(client, "never", MP("\x80"), &(struct sessiond_set_options){.mode = SESSIOND_SET_MODE_UPDATE},
                      &written));
    cr_assert_null(written);
    cr_assert_eq(
        sessiond_set(client, "s", MP("\x80"), &(struct sessiond_set_options){.mode = SESSIOND_SET_MODE_CREATE}, NULL),
        SESSIOND_ERROR_EXISTS);
}

Test(with_server, groups_are_listed_counted_and_revoked) {
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        FINE(sessiond_create(client, &(struct sessiond_create_options){.id = id, .user = "ann"}, NULL));
    }
    set("other");
    struct sessiond_list_options list = {.user = "ann", .limit = 2, .fields = SESSIOND_FIELD_ID};
    struct sessiond_page *page = NULL;
    unsigned seen = 0, pages = 0;
    char cursor[1025];
    do {
        sessiond_free(page);
        FINE(sessiond_list(client, &list, &page));
        seen += (unsigned)page->count;
        pages++;
        for (size_t i = 0; i < page->count; i++) cr_assert_eq(page->sessions[i]->id.text[0], 's');
        if (page->cursor.text) list.cursor = strcpy(cursor, page->cursor.text);
    } while (page->cursor.text && pages < 10);
    sessiond_free(page);
    cr_assert_eq(seen, 5);
    int64_t number;
    FINE(sessiond_count(client, &(struct sessiond_count_options){.user = "ann"}, &number));
    cr_assert_eq(number, 5);
    struct sessiond_texts except = {(const char *const[]){"s1"}, 1};
    FINE(sessiond_revoke_all(
        client, &(struct sessiond_revoke_all_options){.user = "ann", .except = except, .reason = "test"}, &number));
    cr_assert_eq(number, 4);
    struct sessiond_record *record;
    FINE(sessiond_get(client, "s2", &(struct sessiond_get_options){.include_dead = SESSIOND_TRUE}, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_REVOKED);
    cr_assert_str_eq(record->reason.text, "test");
    sessiond_free(record);
    FINE(sessiond_count(client, NULL, &number));
    cr_assert_eq(number, 2);
    FINE(sessiond_clear(client, &number));
    cr_assert_eq(number, 2);
    FINE(sessiond_purge(client, &number));
}

Test(with_server, several_are_read_one_is_taken_one_is_moved) {
    set("a");
    set("b");
    struct sessiond_texts ids = {(const char *const[]){"a", "none", "b"}, 3};
    struct sessiond_records *records;
    FINE(sessiond_get_many(client, ids, NULL, &records));
    cr_assert_eq(records->count, 3);
    cr_assert_str_eq(records->records[0]->id.text, "a");
    cr_assert_null(records->records[1]);
    cr_assert_str_eq(records->records[2]->id.text, "b");
    sessiond_free(records);
    struct sessiond_record *record;
    FINE(sessiond_take(client, "a", NULL, &record));
    cr_assert_str_eq(VALUE(record->data), "{\"n\"=>1}");
    sessiond_free(record);
    FINE(sessiond_take(client, "a", NULL, &record));
    cr_assert_null(record);
    FINE(sessiond_regenerate(
        client, "b", &(struct sessiond_regenerate_options){.new_id = "c", .user = "ann", .keep_data = SESSIOND_FALSE},
        &record));
    cr_assert_str_eq(record->id.text, "c");
    cr_assert_str_eq(VALUE(record->data), "{}");
    sessiond_free(record);
}

Test(with_server, namespaces_are_configured_and_dropped) {
    struct sessiond_policy policy = {.idle_timeout_ms = 5000,
                                     .tombstone_ms = SESSIOND_ZERO,
                                     .strict_ids = SESSIOND_TRUE,
                                     .session_limit_policy = SESSIOND_SESSION_LIMIT_POLICY_EVICT_OLDEST},
                           *now;
    FINE(sessiond_namespace_configure(client, &policy, &now));
    cr_assert_eq(now->idle_timeout_ms, 5000);
    cr_assert_eq(now->tombstone_ms, 0);
    cr_assert_eq(now->retention_ms, 86400000);
    cr_assert_eq(now->strict_ids, SESSIOND_TRUE);
    cr_assert_eq(now->session_limit_policy, SESSIOND_SESSION_LIMIT_POLICY_EVICT_OLDEST);
    sessiond_free(now);
    cr_assert_eq(sessiond_create(client, &(struct sessiond_create_options){.id = "mine"}, NULL),
                 SESSIOND_ERROR_FORBIDDEN);
    FINE(sessiond_namespace_configure(
        client, &(struct sessiond_policy){.idle_timeout_ms = SESSIOND_NIL, .strict_ids = SESSIOND_FALSE}, &now));
    cr_assert_eq(now->idle_timeout_ms, 86400000);
    cr_assert_eq(now->strict_ids, SESSIOND_FALSE);
    sessiond_free(now);
    struct sessiond_purging *purging;
    FINE(sessiond_server_purging(
        client, &(struct sessiond_server_purging_options){.enabled = SESSIOND_TRUE, .interval_ms = 100}, &purging));
    cr_assert(purging->is_enabled);
    sessiond_free(purging);
    struct sessiond_namespace *info;
    FINE(sessiond_namespace_describe(client, &info));
    cr_assert_str_eq(info->name.text, "web");
    cr_assert(info->purging.is_enabled);
    cr_assert_eq(info->purging.interval_ms, 100);
    sessiond_free(info);
    struct sessiond_names *names;
    FINE(sessiond_namespace_list(client, &names));
    cr_assert_eq(names->count, 1);
    cr_assert_str_eq(names->names[0].text, "web");
    sessiond_free(names);
    bool was_there;
    FINE(sessiond_namespace_drop(client, &was_there));
    cr_assert(was_there);
    FINE(sessiond_namespace_describe(client, &info));
    cr_assert_null(info);
}

Test(with_server, the_server_says_what_it_is) {
    int64_t now_ms;
    struct sessiond_value *value;
    FINE(sessiond_server_ping(client, &now_ms));
    cr_assert_gt(now_ms, INT64_C(1500000000000));
    FINE(sessiond_server_info(client, &value));
    cr_assert(strstr(VALUE(value->value), "uptime_ms"));
    sessiond_free(value);
    FINE(sessiond_server_stats(client, &value));
    sessiond_free(value);
    FINE(sessiond_server_hello(client, NULL, &value));
    cr_assert(strstr(VALUE(value->value), "\"version\"=>1"));
    sessiond_free(value);
}

Test(with_server, data_comes_back_byte_for_byte_however_deep) {
    char deep[129];
    memset(deep, 0x91, sizeof deep);
    deep[128] = 7;
    struct sessiond_record *record;
    FINE(sessiond_set(client, "deep", (struct sessiond_bytes){deep, sizeof deep}, NULL, NULL));
    FINE(sessiond_get(client, "deep", NULL, &record));
    cr_assert_eq(record->data.size, sizeof deep);
    cr_assert_arr_eq(record->data.bytes, deep, sizeof deep);
    sessiond_free(record);
    static char large[1048576];
    memset(large, 'x', sizeof large);
    memcpy(large, "\xdb\x00\x0f\xff\xfb", 5);
    FINE(sessiond_set(client, "large", (struct sessiond_bytes){large, sizeof large}, NULL, NULL));
    FINE(sessiond_get(client, "large", NULL, &record));
    cr_assert_eq(record->data.size, sizeof large);
    cr_assert(memcmp(record->data.bytes, large, sizeof large) == 0);
    sessiond_free(record);
}

Test(with_server, a_unix_socket_serves_as_well) {
    struct sessiond_client *other;
    cr_assert_eq(sessiond_client_open(server.socket_url, &patient, &other), 0, "%s",
                 sessiond_client_error(other)->message);
    cr_assert_str_eq(sessiond_client_namespace(other), "web");
    cr_assert_eq(sessiond_set(other, "s", MP("\x80"), NULL, NULL), 0);
    struct sessiond_record *record;
    FINE(sessiond_get(client, "s", NULL, &record));
    cr_assert_not_null(record);
    sessiond_free(record);
    sessiond_client_close(other);
}

Test(with_server, the_urls_namespace_stands_where_nil_is_given) {
    struct sessiond_reply *reply;
    set("s");
    FINE(sessiond_call(client, "session.count", MP("\x91\xc0"), &reply));
    cr_assert_str_eq(VALUE(reply->result), "1");
    sessiond_free(reply);
}

Test(with_server, ten_thousand_requests_are_pipelined) {
    enum { COUNT = 10000 };
    static uint64_t tickets[COUNT];
    char id[16];
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "s%d", i);
        FINE(sessiond_send(client, sessiond_set_request("web", id, MP("\x81\xa1n\x01"), NULL), &tickets[i]));
    }
    for (int i = 0; i < COUNT; i++) {
        struct sessiond_reply *reply;
        FINE(sessiond_receive(client, tickets[i], &reply));
        cr_assert_eq(reply->error.code, 0);
        sessiond_free(reply);
    }
    int64_t number;
    FINE(sessiond_count(client, NULL, &number));
    cr_assert_eq(number, COUNT);
}

enum { HASTE_MS = 500 };

/* A write where a server is there. If all of the client's time is over before the machine has let the server answer, it
 * is asked again. */
static int set_in_time(void) {
    for (int tries = 0;; tries++) {
        uint64_t end = uv_hrtime() + HASTE_MS * UINT64_C(1000000);
        int code = sessiond_set(client, "s", MP("\x80"), NULL, NULL);
        if (code == 0 || tries == 20 || uv_hrtime() < end) return code;
    }
}

/* The server is killed and started again and again under the client: no call hangs, each is a success or a clear error.
 */
Test(with_server, kills_of_the_server_never_hang_the_client, .timeout = 200) {
    sessiond_client_close(client);
    sessiond_client_open(server.url, &(struct sessiond_client_options){.timeout_ms = HASTE_MS}, &client);
    unsigned fine = 0, failed = 0;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 200; i++) {
            if (i == 50) server_kill(&server);
            if (i == 52) server_start(&server);
            bool is_there = i < 50 || i >= 52;
            int code = is_there ? set_in_time() : sessiond_set(client, "s", MP("\x80"), NULL, NULL);
            if (code == 0)
                fine++;
            else
                failed++;
            cr_assert(code == 0 || code == SESSIOND_ERROR_CONNECTION || code == SESSIOND_ERROR_TIMEOUT, "%d %s", code,
                      sessiond_client_error(client)->message);
            cr_assert(code == 0 || strlen(sessiond_client_error(client)->message) > 10);
        }
        cr_assert(sessiond_client_is_connected(client), "after a restart it is connected again");
    }
    cr_assert_eq(failed, 4 * 2, "only the two calls while there was no server fail: %u", failed);
    cr_assert_eq(fine, 4 * 198);
}

static unsigned answered, answered_fine;

static void count_answer(struct sessiond_reply *reply, void *data) {
    (void)data;
    answered++;
    answered_fine += reply->error.code == 0;
    sessiond_free(reply);
}

/* Sends 100 a turn; the server dies in the third and comes back in the fourth. */
static void send_some(uv_timer_t *timer) {
    static int turn;
    struct sessiond_async *async = timer->data;
    turn++;
    if (turn == 3) server_kill(&server);
    if (turn == 4) server_start(&server);
    for (int i = 0; i < 100; i++)
        sessiond_async_send(async, sessiond_get_request("web", "s", NULL), count_answer, NULL);
    if (turn == 10) uv_timer_stop(timer);
}

Test(with_server, kills_of_the_server_leave_no_callback_out, .timeout = 200) {
    uv_loop_t loop;
    uv_timer_t timer;
    struct sessiond_async *async;
    uv_loop_init(&loop);
    uv_timer_init(&loop, &timer);
    struct sessiond_async_options options = {.client = patient};
    cr_assert_eq(sessiond_async_open(&loop, server.url, &options, &async, NULL), 0);
    timer.data = async;
    uv_timer_start(&timer, send_some, 20, 20);
    uint64_t end = uv_hrtime() + UINT64_C(100000000000);
    while (answered < 1000 && uv_hrtime() < end) uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(answered, 1000);
    cr_assert_eq(answered_fine, 1000, "reads are repeated: %u", answered_fine);
    sessiond_async_close(async, NULL, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&loop), 0);
}

Test(with_server, the_first_program_of_the_documents_runs_as_it_stands) {
    static struct ran ran;
    run_program(&ran, NULL, FIRST_PROGRAM, server.url, NULL);
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    cr_assert(strncmp(ran.out, "created ", 8) == 0 && strstr(ran.out, "{\"cart\"=>3}"), "%s", ran.out);
}
