#include <criterion/criterion.h>
#include <stdlib.h>

#include "exchange.h"
#include "mp_text.h"
#include "request.h"
#include "results.h"

/* What came back, in order. */
static struct {
    uint64_t tickets[64];
    int codes[64];
    unsigned count;
} answers;

static struct exchange exchange;

static void note(void *holder, struct pending *pending, struct sessiond_reply *reply) {
    (void)holder;
    answers.tickets[answers.count] = pending->ticket;
    answers.codes[answers.count++] = reply->error.code;
    sessiond_free(reply);
    exchange_drop(&exchange, pending);
}

static void begin(const struct sessiond_client_options *options) {
    exchange_init(&exchange, options, "web");
    exchange.answer = note;
}

static bool feed(const void *bytes, size_t size) {
    while (size > 0) {
        size_t room, part;
        uint8_t *at = exchange_room(&exchange, &room);
        part = size < room ? size : room;
        memcpy(at, bytes, part);
        if (!exchange_take(&exchange, part)) return false;
        bytes = (const char *)bytes + part;
        size -= part;
    }
    return true;
}

#define FEED(literal) feed("" literal, sizeof(literal) - 1)
#define GREETED                                                                                                        \
    "\x94\x01\x00\xc0\x81\xa7"                                                                                         \
    "version"                                                                                                          \
    "\x01"

/* A connection with its greeting answered, and nothing left to write. */
static void connect_now(void) {
    exchange_connected(&exchange);
    buf_clear(&exchange.out);
    cr_assert(FEED(GREETED));
}

static uint64_t add(struct sessiond_request *request) {
    struct sessiond_error error;
    struct pending *pending = exchange_add(&exchange, request, &error);
    return pending ? pending->ticket : 0;
}

/* How many messages stand in the output. */
static unsigned written(void) {
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&exchange.out));
    unsigned count = 0;
    for (; exchange.out.size > 0 && cursor.at != cursor.end; count++) {
        mp_read_value(&cursor, MP_DEPTH_MAX);
        cr_assert_eq(cursor.error, MP_OK);
    }
    return count;
}

static void lose(void) {
    struct sessiond_error error = {.code = SESSIOND_ERROR_CONNECTION};
    exchange_disconnected(&exchange, &error);
}

TestSuite(exchange, .fini = NULL);

Test(exchange, greets_before_anything_else) {
    begin(&(struct sessiond_client_options){.client_name = "test"});
    add(sessiond_server_ping_request());
    exchange_connected(&exchange);
    cr_assert_str_eq(mp_text(exchange.out.data, exchange.out.size),
                     "[0, 0, \"server.hello\", [{\"version\"=>1, \"namespace\"=>\"web\", \"client_name\"=>\"test\"}]]");
    buf_clear(&exchange.out);
    cr_assert(FEED(GREETED));
    cr_assert_str_eq(mp_text(exchange.out.data, exchange.out.size), "[0, 1, \"server.ping\", []]");
    exchange_fini(&exchange);
}

Test(exchange, takes_nobody_for_sessiond_who_greets_otherwise) {
    const struct sessiond_bytes others[] = {MP("\x94\x01\x00\xc0\xc3"), MP("\x94\x01\x00\xc0\x80"),
                                            MP("\x94\x01\x00\xc0\x81\xa7version\xa1x"),
                                            MP("\x94\x01\x00\xc0\x81\x01\x01"), MP("\x94\x01\x00\xc0\xc0")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        begin(NULL);
        exchange_connected(&exchange);
        cr_assert_not(feed(others[i].bytes, others[i].size), "case %zu", i);
        cr_assert_eq(exchange.error.code, SESSIOND_ERROR_PROTOCOL);
        cr_assert(strstr(exchange.error.message, "does not speak sessiond's protocol"), "%s", exchange.error.message);
        exchange_fini(&exchange);
    }
}

Test(exchange, gives_each_answer_to_its_request_in_any_order) {
    begin(NULL);
    connect_now();
    uint64_t a = add(sessiond_server_ping_request()), b = add(sessiond_server_ping_request());
    cr_assert(FEED("\x94\x01\x02\xc0\xc3\x94\x01\x01\xc0\xc3"));
    cr_assert_eq(answers.count, 2);
    cr_assert_eq(answers.tickets[0], b);
    cr_assert_eq(answers.tickets[1], a);
    exchange_fini(&exchange);
}

Test(exchange, understands_answers_that_come_byte_by_byte) {
    static const char bytes[] = GREETED "\x94\x01\x01\xc0\x81\xa1k\xa1v";
    begin(NULL);
    exchange_connected(&exchange);
    add(sessiond_server_ping_request());
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        cr_assert_eq(answers.count, 0);
        cr_assert(feed(bytes + i, 1));
    }
    cr_assert_eq(answers.count, 1);
    exchange_fini(&exchange);
}

Test(exchange, repeats_reads_and_writes_with_the_same_op_id_after_a_lost_connection) {
    begin(NULL);
    connect_now();
    add(sessiond_destroy_request("web", "s1"));
    add(sessiond_get_request("web", "s1", NULL));
    struct buf before = exchange.out;
    exchange.out = BUF_EMPTY;
    lose();
    cr_assert_eq(answers.count, 0);
    connect_now();
    cr_assert(bytes_equal(buf_bytes(&exchange.out), buf_bytes(&before)), "another op_id, msgid or order");
    buf_fini(&before);
    exchange_fini(&exchange);
}

Test(exchange, gives_two_writes_two_op_ids) {
    begin(NULL);
    struct sessiond_error error;
    struct pending *a = exchange_add(&exchange, sessiond_destroy_request("web", "s"), &error);
    struct pending *b = exchange_add(&exchange, sessiond_destroy_request("web", "s"), &error);
    cr_assert(memcmp(a->request->frame.data + a->request->op_id_at, b->request->frame.data + b->request->op_id_at, 8) !=
              0);
    cr_assert_eq(a->request->frame.data[a->request->op_id_at], 0, "an op_id is below 2^53");
    cr_assert_lt(a->request->frame.data[a->request->op_id_at + 1], 32);
    exchange_fini(&exchange);
}

Test(exchange, fails_what_was_written_and_may_not_be_repeated) {
    begin(NULL);
    connect_now();
    uint64_t ticket = add(sessiond_request_make("pool.unheard_of", MP("\x90")));
    lose();
    cr_assert_eq(answers.count, 1);
    cr_assert_eq(answers.tickets[0], ticket);
    cr_assert_eq(answers.codes[0], SESSIOND_ERROR_CONNECTION);
    exchange_fini(&exchange);
}

Test(exchange, keeps_what_was_not_written_yet_whatever_it_is) {
    begin(NULL);
    add(sessiond_request_make("pool.unheard_of", MP("\x90")));
    exchange_connected(&exchange);
    lose();
    cr_assert_eq(answers.count, 0);
    connect_now();
    cr_assert_eq(written(), 1);
    exchange_fini(&exchange);
}

Test(exchange, gives_up_a_request_that_kills_three_connections) {
    begin(NULL);
    uint64_t ticket = add(sessiond_server_ping_request());
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(answers.count, 0);
        connect_now();
        lose();
    }
    cr_assert_eq(answers.count, 1);
    cr_assert_eq(answers.tickets[0], ticket);
    exchange_fini(&exchange);
}

Test(exchange, ignores_the_late_answer_to_what_was_dropped) {
    begin(NULL);
    connect_now();
    struct sessiond_error error;
    exchange_drop(&exchange, exchange_add(&exchange, sessiond_server_ping_request(), &error));
    uint64_t next = add(sessiond_server_ping_request());
    cr_assert(FEED("\x94\x01\x01\xc0\xc3\x94\x01\x02\xc0\xc3"));
    cr_assert_eq(answers.count, 1);
    cr_assert_eq(answers.tickets[0], next);
    exchange_fini(&exchange);
}

Test(exchange, ignores_notifications) {
    begin(NULL);
    connect_now();
    cr_assert(FEED("\x93\x02\xa5"
                   "event\x90"));
    cr_assert_eq(exchange.in.size, 0);
    exchange_fini(&exchange);
}

Test(exchange, calls_everything_else_broken) {
    const struct sessiond_bytes bad[] = {
        MP("HTTP/1.1 400 Bad Request\r\n"), MP("\xc1"),
        MP("\x94\x01\x09\xc0\xc3"),         MP("\x94\x01\x00\xc0\xc3"),
        MP("\x94\x00\x01\xa1x\x90"),        MP("\x93\x01\x01\xc0"),
        MP("\x94\x01\xff\xc0\xc3"),         MP("\xc0"),
        MP("\x95\x01\x01\xc0\xc3\xc0"),     MP("\x94\x01\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xc0\xc3"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(NULL);
        connect_now();
        cr_assert_not(feed(bad[i].bytes, bad[i].size), "case %zu", i);
        cr_assert_eq(exchange.error.code, SESSIOND_ERROR_PROTOCOL);
        exchange_fini(&exchange);
    }
}

Test(exchange, does_not_wait_for_a_message_that_is_too_long) {
    begin(&(struct sessiond_client_options){.max_reply_bytes = 1000});
    connect_now();
    add(sessiond_server_ping_request());
    cr_assert(FEED("\x94\x01\x01\xc0\xdd\xff\xff\xff\xff"));
    char nils[2000];
    memset(nils, 0xc0, sizeof nils);
    cr_assert_not(feed(nils, sizeof nils));
    cr_assert_leq(exchange.in.capacity, 1 << 18);
    exchange_fini(&exchange);
    begin(&(struct sessiond_client_options){.max_reply_bytes = 1000});
    connect_now();
    cr_assert_not(FEED("\x94\x01\x01\xc0\xc6\xff\xff\xff\xff") && feed(nils, sizeof nils), "a bin of 4 GiB");
    exchange_fini(&exchange);
}

Test(exchange, refuses_nesting_that_nobody_may_send) {
    begin(NULL);
    connect_now();
    add(sessiond_server_ping_request());
    char deep[300];
    memset(deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 1;
    cr_assert(FEED("\x94\x01\x01\xc0"));
    cr_assert_not(feed(deep, sizeof deep));
    exchange_fini(&exchange);
}

Test(exchange, says_overloaded_at_its_limits_and_not_before) {
    struct sessiond_error error;
    begin(&(struct sessiond_client_options){.max_in_flight = 3});
    for (int i = 0; i < 3; i++) cr_assert_neq(add(sessiond_server_ping_request()), 0);
    cr_assert_null(exchange_add(&exchange, sessiond_server_ping_request(), &error));
    cr_assert_eq(error.code, SESSIOND_ERROR_OVERLOADED);
    exchange_fini(&exchange);
    begin(&(struct sessiond_client_options){.max_held_bytes = 100});
    cr_assert_neq(add(sessiond_server_ping_request()), 0);
    char id[101] = {0};
    memset(id, 'x', 100);
    cr_assert_null(exchange_add(&exchange, sessiond_get_request("web", id, NULL), &error));
    cr_assert_eq(error.code, SESSIOND_ERROR_OVERLOADED);
    exchange_fini(&exchange);
    cr_assert_eq(exchange.held_bytes, 0);
}

Test(exchange, gives_the_error_of_a_request_that_holds_one) {
    struct sessiond_error error;
    begin(NULL);
    cr_assert_null(exchange_add(&exchange, sessiond_get_request("web", NULL, NULL), &error));
    cr_assert_eq(error.code, SESSIOND_ERROR_ARGUMENT);
    cr_assert_null(exchange_add(&exchange, NULL, &error));
    cr_assert_eq(error.code, SESSIOND_ERROR_CLIENT_MEMORY);
    exchange_fini(&exchange);
}

Test(exchange, does_not_use_a_msgid_that_is_still_out) {
    begin(NULL);
    exchange.next_ticket = UINT32_MAX;
    uint64_t a = add(sessiond_server_ping_request()), b = add(sessiond_server_ping_request());
    cr_assert_eq(a, UINT32_MAX);
    cr_assert_eq((uint32_t)b, 1, "0 is the greeting's");
    exchange.next_ticket = (UINT64_C(2) << 32) + 1;
    cr_assert_eq((uint32_t)add(sessiond_server_ping_request()), 2, "1 is still out");
    exchange_fini(&exchange);
}

Test(exchange, survives_any_bytes) {
    uint64_t chance = 7;
    for (int round = 0; round < 20000; round++) {
        char bytes[64] = GREETED "\x94\x01\x01\xc0\x81\xa1k\x92\x01\x02\x94\x01\x02\x81\xa4"
                                 "code\xa4GONE\xc0";
        begin(NULL);
        answers.count = 0;
        exchange_connected(&exchange);
        add(sessiond_server_ping_request());
        add(sessiond_server_ping_request());
        for (int i = 0; i < 1 + round % 4; i++) {
            chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[(chance >> 33) % 38] = (char)(chance >> 20);
        }
        feed(bytes, 38);
        lose();
        cr_assert_leq(answers.count, 2);
        exchange_fini(&exchange);
    }
}

Test(backoff, doubles_up_to_its_limit_and_leaves_half_to_chance) {
    struct sessiond_client_options options =
        options_filled(&(struct sessiond_client_options){.reconnect_min_ms = 20, .reconnect_max_ms = 300});
    struct chance chance;
    chance_seed(&chance);
    for (int round = 0; round < 100; round++) {
        struct backoff backoff = {0};
        int64_t expected = 20;
        for (int i = 0; i < 8; i++) {
            int64_t pause_ms = backoff_next(&backoff, &options, &chance);
            cr_assert_geq(pause_ms, expected / 2);
            cr_assert_leq(pause_ms, expected);
            expected = expected * 2 < 300 ? expected * 2 : 300;
        }
    }
}
