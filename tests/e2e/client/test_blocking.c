#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"
#include "mp_text.h"
#include "socket.h"

static struct sessiond_client *client;

/* What a machine that stands still for some seconds does not use up. */
static const struct sessiond_client_options patient = {.timeout_ms = 60000, .connect_timeout_ms = 60000};
enum { AT_ONCE_MS = 30000 }; /* far below those, and above what such a machine makes of nothing */

/* NULL: with patience. */
static int open_client(const char *url, const struct sessiond_client_options *options) {
    int code = sessiond_client_open(url, options ? options : &patient, &client);
    cr_assert_not_null(client);
    return code;
}

/* Opens with so little time that a busy machine may make the greeting late: then it is opened again. */
static void open_hasty(const char *url, int64_t timeout_ms) {
    for (int tries = 0; tries < 50; tries++) {
        int code = open_client(url, &(struct sessiond_client_options){.timeout_ms = timeout_ms});
        if (code == 0) return;
        cr_assert_eq(code, SESSIOND_ERROR_TIMEOUT, "%s", sessiond_client_error(client)->message);
        sessiond_client_close(client);
    }
    cr_assert_fail("no greeting came within %lld ms, fifty times", (long long)timeout_ms);
}

static const char *message(void) {
    return sessiond_client_error(client)->message;
}

Test(client, calls_and_is_answered) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0, "%s", message());
    cr_assert_str_eq(sessiond_client_namespace(client), "web");
    bool answer = false;
    cr_assert_eq(sessiond_destroy(client, "s1", &answer), 0, "%s", message());
    cr_assert(answer);
    cr_assert_eq(sessiond_client_error(client)->code, 0);
    struct sessiond_reply *reply;
    cr_assert_eq(sessiond_call(client, "any.thing", MP("\x90"), &reply), 0);
    cr_assert_str_eq(mp_text(reply->result.bytes, reply->result.size), "true");
    sessiond_client_close(client);
    sessiond_free(reply);
    fake_stop(&fake);
    cr_assert_str_eq(fake.seen[0].method, "session.destroy");
    cr_assert_neq(fake.seen[0].op_id, 0);
    cr_assert_str_eq(fake.seen[1].method, "any.thing");
}

Test(client, says_where_nobody_listens) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    fake_stop(&fake);
    int64_t begin_ms = clock_now_ms();
    cr_assert_eq(open_client(fake.url, NULL), SESSIOND_ERROR_CONNECTION);
    cr_assert(strstr(message(), "Connection refused"), "%s", message());
    cr_assert_lt(clock_now_ms() - begin_ms, AT_ONCE_MS, "opening tries once");
    sessiond_client_close(client);
    cr_assert_eq(open_client("sessiond+unix:///nonexistent/s.sock", NULL), SESSIOND_ERROR_CONNECTION);
    cr_assert(strstr(message(), "unix:/nonexistent/s.sock"), "%s", message());
    sessiond_client_close(client);
}

Test(client, stays_useless_with_a_bad_url) {
    cr_assert_eq(open_client("nonsense", NULL), SESSIOND_ERROR_URL);
    cr_assert_eq(sessiond_server_ping(client, NULL), SESSIOND_ERROR_URL);
    cr_assert_eq(sessiond_call(client, "server.ping", MP("\x90"), NULL), SESSIOND_ERROR_URL);
    sessiond_client_close(client);
    sessiond_client_close(NULL);
}

Test(client, connects_when_the_server_comes_up_later) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    fake_stop(&fake);
    cr_assert_eq(open_client(fake.url, NULL), SESSIOND_ERROR_CONNECTION);
    fake_start(&fake);
    cr_assert_eq(sessiond_destroy(client, "s1", NULL), 0, "%s", message());
    sessiond_client_close(client);
    fake_stop(&fake);
}

Test(client, gives_up_within_its_timeout_while_nobody_listens) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    open_hasty(fake.url, 200);
    fake_stop(&fake);
    int64_t begin_ms = clock_now_ms();
    cr_assert_eq(sessiond_destroy(client, "s1", NULL), SESSIOND_ERROR_CONNECTION, "%s", message());
    int64_t took_ms = clock_now_ms() - begin_ms;
    cr_assert(took_ms >= 190 && took_ms < AT_ONCE_MS, "%lld", (long long)took_ms);
    sessiond_client_close(client);
}

Test(client, tries_its_hosts_in_turn) {
    struct fake dead = {.mode = FAKE_ANSWERS}, living = {.mode = FAKE_ANSWERS};
    fake_start(&dead);
    fake_stop(&dead);
    fake_start(&living);
    char url[100];
    snprintf(url, sizeof url, "sessiond://127.0.0.1:%u,127.0.0.1:%u/web", dead.port, living.port);
    cr_assert_eq(open_client(url, NULL), 0, "%s", message());
    cr_assert_eq(sessiond_destroy(client, "s1", NULL), 0);
    sessiond_client_close(client);
    fake_stop(&living);
}

Test(client, does_not_wait_for_ever_for_a_greeting) {
    struct fake fake = {.mode = FAKE_SILENT};
    fake_start(&fake);
    int64_t begin_ms = clock_now_ms();
    cr_assert_eq(open_client(fake.url, &(struct sessiond_client_options){.timeout_ms = 150}), SESSIOND_ERROR_TIMEOUT,
                 "%s", message());
    cr_assert_lt(clock_now_ms() - begin_ms, AT_ONCE_MS);
    sessiond_client_close(client);
    fake_stop(&fake);
}

Test(client, times_out_where_no_answer_comes_and_connects_anew) {
    struct fake fake = {.mode = FAKE_GREETS};
    fake_start(&fake);
    open_hasty(fake.url, 100);
    int64_t begin_ms = clock_now_ms();
    cr_assert_eq(sessiond_server_ping(client, NULL), SESSIOND_ERROR_TIMEOUT, "%s", message());
    cr_assert(strstr(message(), "100 ms"), "%s", message());
    int64_t took_ms = clock_now_ms() - begin_ms;
    cr_assert(took_ms >= 95 && took_ms < AT_ONCE_MS, "%lld", (long long)took_ms);
    cr_assert_not(sessiond_client_is_connected(client), "a silent connection is given up");
    fake.mode = FAKE_ANSWERS;
    int code = SESSIOND_ERROR_TIMEOUT; /* where 100 ms are not enough to connect and be answered, it is asked again */
    for (int tries = 0; tries < 50 && code == SESSIOND_ERROR_TIMEOUT; tries++)
        code = sessiond_destroy(client, "s1", NULL);
    cr_assert_eq(code, 0, "%s", message());
    sessiond_client_close(client);
    fake_stop(&fake);
}

Test(client, says_that_the_other_side_is_not_sessiond) {
    const struct sessiond_bytes others[] = {MP("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
                                            MP("-ERR unknown command\r\n"), MP("SSH-2.0-OpenSSH_9.2\r\n"),
                                            MP("\xc1\xc1"), MP("\x94\x01\x00")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct fake fake = {.mode = FAKE_SENDS_FIRST, .bytes = others[i].bytes, .size = others[i].size};
        fake_start(&fake);
        int code = open_client(fake.url, i < 4 ? NULL : &(struct sessiond_client_options){.timeout_ms = 300});
        cr_assert_eq(code, i < 4 ? SESSIOND_ERROR_PROTOCOL : SESSIOND_ERROR_TIMEOUT, "case %zu: %s", i, message());
        sessiond_client_close(client);
        fake_stop(&fake);
    }
}

Test(client, tells_why_the_greeting_was_refused_and_does_not_insist) {
    struct fake fake = {.mode = FAKE_REFUSES};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), SESSIOND_ERROR_FORBIDDEN);
    cr_assert_str_eq(message(), "No.");
    int64_t begin_ms = clock_now_ms();
    cr_assert_eq(sessiond_server_ping(client, NULL), SESSIOND_ERROR_FORBIDDEN);
    cr_assert_lt(clock_now_ms() - begin_ms, AT_ONCE_MS);
    sessiond_client_close(client);
    fake_stop(&fake);
}

Test(client, names_the_versions_where_the_server_speaks_another) {
    struct fake fake = {.mode = FAKE_ANSWERS, .version = 2};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), SESSIOND_ERROR_PROTOCOL);
    cr_assert(strstr(message(), "The server speaks version 2 of the protocol, this library version 1"), "%s",
              message());
    sessiond_client_close(client);
    int code = SESSIOND_ERROR_TIMEOUT; /* a call insists, as the server may be replaced, for as long as it may take */
    for (int tries = 0; tries < 20 && code == SESSIOND_ERROR_TIMEOUT; tries++) {
        open_client(fake.url, &(struct sessiond_client_options){.timeout_ms = 500});
        code = sessiond_server_ping(client, NULL);
        if (code == SESSIOND_ERROR_TIMEOUT) sessiond_client_close(client);
    }
    cr_assert_eq(code, SESSIOND_ERROR_PROTOCOL, "%s", message());
    cr_assert_eq(atomic_load(&fake.request_count), 0);
    sessiond_client_close(client);
    fake_stop(&fake);
}

Test(client, closes_the_connection_on_bytes_that_are_no_reply) {
    const struct sessiond_bytes bad[] = {MP("HTTP"), MP("\x94\x01\x63\xc0\xc3"), MP("\xdf\xff\xff\xff\xff\xc1"),
                                         MP("\x94\x01\x01\xc0")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fake fake = {.mode = FAKE_SENDS, .bytes = bad[i].bytes, .size = bad[i].size};
        fake_start(&fake);
        if (i < 3)
            cr_assert_eq(open_client(fake.url, NULL), 0);
        else
            open_hasty(fake.url, 300);
        int code = sessiond_call(client, "no.read", MP("\x90"), NULL);
        /* The last one is a reply without its end: that can only be waited for. */
        cr_assert_eq(code, i < 3 ? SESSIOND_ERROR_PROTOCOL : SESSIOND_ERROR_TIMEOUT, "case %zu: %d %s", i, code,
                     message());
        sessiond_client_close(client);
        fake_stop(&fake);
    }
}

Test(client, hands_on_what_a_disk_does_to_a_write_and_does_not_repeat_it) {
    const struct sessiond_bytes answers[] = {MP("\x94\x01\x01\x83\xa4"
                                                "code\xa7"
                                                "STORAGE\xa7"
                                                "message\xa5"
                                                "Full.\xae"
                                                "retry_after_ms\xcd\x03\xe8\xc0"),
                                             MP("\x94\x01\x01\x82\xa4"
                                                "code\xa7"
                                                "STORAGE\xa7"
                                                "message\xa8"
                                                "Unknown.\xc0"),
                                             MP("\x94\x01\x01\x82\xa4"
                                                "code\xa9"
                                                "READ_ONLY\xa7"
                                                "message\xa7"
                                                "Failed.\xc0")};
    const int codes[] = {SESSIOND_ERROR_STORAGE, SESSIOND_ERROR_STORAGE, SESSIOND_ERROR_READ_ONLY};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct fake fake = {.mode = FAKE_SENDS, .bytes = answers[i].bytes, .size = answers[i].size};
        fake_start(&fake);
        cr_assert_eq(open_client(fake.url, NULL), 0);
        cr_assert_eq(sessiond_call(client, "session.set", MP("\x93\xa1w\xa1i\x01"), NULL), codes[i], "%s", message());
        cr_assert_eq(sessiond_client_error(client)->retry_after_ms, i == 0 ? 1000 : 0);
        sessiond_client_close(client);
        fake_stop(&fake);
        cr_assert_eq(fake.request_count, 1u);
        cr_assert_eq(fake.connection_count, 1u);
    }
}

Test(client, repeats_a_write_with_its_op_id_when_the_answer_is_lost) {
    struct fake fake = {.mode = FAKE_DROPS, .drop_at = 1, .drop_count = 2};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0);
    cr_assert_eq(sessiond_destroy(client, "s1", NULL), 0, "%s", message());
    sessiond_client_close(client);
    fake_stop(&fake);
    cr_assert_eq(fake.request_count, 3);
    cr_assert_eq(fake.connection_count, 3);
    cr_assert_neq(fake.seen[0].op_id, 0);
    cr_assert_eq(fake.seen[0].op_id, fake.seen[1].op_id);
    cr_assert_eq(fake.seen[0].op_id, fake.seen[2].op_id);
}

Test(client, does_not_repeat_what_it_does_not_know) {
    struct fake fake = {.mode = FAKE_DROPS, .drop_at = 1, .drop_count = 1};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0);
    cr_assert_eq(sessiond_call(client, "pool.unheard_of", MP("\x90"), NULL), SESSIOND_ERROR_CONNECTION);
    cr_assert(strstr(message(), "lost"), "%s", message());
    cr_assert_eq(sessiond_destroy(client, "s1", NULL), 0, "the next one connects again: %s", message());
    sessiond_client_close(client);
    fake_stop(&fake);
    cr_assert_eq(fake.request_count, 2);
}

Test(client, gives_up_a_request_that_kills_every_connection) {
    struct fake fake = {.mode = FAKE_DROPS, .drop_at = 1, .drop_count = 1000};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0);
    cr_assert_eq(sessiond_server_ping(client, NULL), SESSIOND_ERROR_CONNECTION);
    sessiond_client_close(client);
    fake_stop(&fake);
    cr_assert_eq(fake.request_count, 3);
}

Test(client, pipelines_ten_thousand_requests) {
    enum { COUNT = 10000 };
    static uint64_t tickets[COUNT];
    struct fake fake = {.mode = FAKE_ANSWERS};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(sessiond_send(client, sessiond_destroy_request("web", "s"), &tickets[i]), 0, "%s", message());
    for (int i = COUNT; i-- > 0;) { /* in the other order */
        struct sessiond_reply *reply;
        bool answer;
        cr_assert_eq(sessiond_receive(client, tickets[i], &reply), 0, "%s", message());
        cr_assert_eq(sessiond_reply_bool(reply, &answer, NULL), 0);
        cr_assert(answer);
    }
    struct sessiond_reply *reply;
    cr_assert_eq(sessiond_receive(client, tickets[0], &reply), SESSIOND_ERROR_ARGUMENT, "a reply is taken once");
    sessiond_client_close(client);
    fake_stop(&fake);
    cr_assert_eq(fake.request_count, COUNT);
}

Test(client, repeats_a_whole_pipeline_in_its_order) {
    enum { COUNT = 50 };
    uint64_t tickets[COUNT];
    struct fake fake = {.mode = FAKE_DROPS, .drop_at = 10, .drop_count = 1};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(sessiond_send(client, sessiond_destroy_request("web", "s"), &tickets[i]), 0);
    for (int i = 0; i < COUNT; i++) {
        struct sessiond_reply *reply;
        cr_assert_eq(sessiond_receive(client, tickets[i], &reply), 0, "%s", message());
        cr_assert_eq(reply->error.code, 0);
        sessiond_free(reply);
    }
    sessiond_client_close(client);
    fake_stop(&fake);
    /* The tenth was dropped; answers that were on their way may be lost with it, and then are asked for again. */
    unsigned again = fake.request_count - COUNT;
    cr_assert(again >= 1 && again <= 10, "%u", again);
    for (unsigned i = 0; i < again; i++)
        cr_assert_eq(fake.seen[10 + i].op_id, fake.seen[10 - again + i].op_id, "%u", i);
}

Test(client, says_overloaded_instead_of_growing) {
    struct fake fake = {.mode = FAKE_GREETS};
    uint64_t ticket;
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, &(struct sessiond_client_options){.max_in_flight = 10, .timeout_ms = 60000}), 0);
    for (int i = 0; i < 10; i++) cr_assert_eq(sessiond_send(client, sessiond_server_ping_request(), &ticket), 0);
    cr_assert_eq(sessiond_send(client, sessiond_server_ping_request(), &ticket), SESSIOND_ERROR_OVERLOADED);
    sessiond_client_close(client); /* with ten under way */
    fake_stop(&fake);
}

Test(client, changes_its_namespace_within_bounds) {
    struct fake fake = {.mode = FAKE_ANSWERS};
    char name[66] = {0};
    fake_start(&fake);
    cr_assert_eq(open_client(fake.url, NULL), 0);
    memset(name, 'n', 65);
    cr_assert_eq(sessiond_client_set_namespace(client, name), SESSIOND_ERROR_ARGUMENT);
    cr_assert_eq(sessiond_client_set_namespace(client, ""), SESSIOND_ERROR_ARGUMENT);
    cr_assert_eq(sessiond_client_set_namespace(client, name + 1), 0);
    cr_assert_str_eq(sessiond_client_namespace(client), name + 1);
    sessiond_client_close(client);
    fake_stop(&fake);
}
