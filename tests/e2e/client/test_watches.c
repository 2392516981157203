/* Watches over several connections, with the exchange alone: no socket, every message by hand. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "exchange.h"
#include "mp_text.h"
#include "request.h"
#include "results.h"

static struct exchange exchange;
static struct {
    char result[128];
    int code;
    unsigned count;
} last;

static void note(void *holder, struct pending *pending, struct sessiond_reply *reply) {
    (void)holder;
    last.code = reply->error.code;
    last.count++;
    if (!last.code) strcpy(last.result, mp_text(reply->result.bytes, reply->result.size));
    sessiond_free(reply);
    exchange_drop(&exchange, pending);
}

static bool feed(const void *bytes, size_t size) {
    size_t room;
    uint8_t *at = exchange_room(&exchange, &room);
    cr_assert_leq(size, room);
    memcpy(at, bytes, size);
    return exchange_take(&exchange, size);
}
#define FEED(literal) feed("" literal, sizeof(literal) - 1)
#define GREETED                                                                                                        \
    "\x94\x01\x00\xc0\x81\xa7"                                                                                         \
    "version"                                                                                                          \
    "\x01"

static void connect_now(void) {
    exchange_connected(&exchange);
    buf_clear(&exchange.out);
    cr_assert(FEED(GREETED));
}

static void lose(void) {
    struct sessiond_error error = {.code = SESSIOND_ERROR_CONNECTION};
    exchange_disconnected(&exchange, &error);
}

static void begin(const struct sessiond_client_options *options) {
    exchange_init(&exchange, options, "web");
    exchange.answer = note;
    connect_now();
}

static const char *written(void) {
    static char text[512];
    text[0] = '\0';
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&exchange.out));
    while (exchange.out.size && cursor.at != cursor.end) {
        struct bytes message = mp_read_value(&cursor, MP_DEPTH_MAX);
        cr_assert_eq(cursor.error, MP_OK);
        strcat(text, mp_text(message.data, message.size));
    }
    buf_clear(&exchange.out);
    return text;
}

static uint32_t send_request(struct sessiond_request *request) {
    struct sessiond_error error;
    struct pending *pending = exchange_add(&exchange, request, &error);
    cr_assert_not_null(pending);
    return (uint32_t)pending->ticket;
}

/* The answer {watch: number} (or any one-byte result) to a request. */
static void answer_watch(uint32_t msgid, uint8_t number) {
    uint8_t message[] = {0x94, 1, (uint8_t)msgid, 0xc0, 0x81, 0xa5, 'w', 'a', 't', 'c', 'h', number};
    cr_assert(feed(message, sizeof message));
}
static void answer_byte(uint32_t msgid, uint8_t result) {
    uint8_t message[] = {0x94, 1, (uint8_t)msgid, 0xc0, result};
    cr_assert(feed(message, sizeof message));
}

/* [2, "event", [{watch, seq, kind: "expired", id: "s"}]] */
static void event(uint8_t watch, uint8_t seq) {
    uint8_t message[] = "\x93\x02\xa5"
                        "event\x91\x84\xa5watch_\xa3seq_\xa4kind\xa7"
                        "expired\xa2id\xa1s";
    *(uint8_t *)memchr(message, '_', sizeof message) = watch;
    *(uint8_t *)memchr(message, '_', sizeof message) = seq;
    cr_assert(feed(message, sizeof message - 1));
}

/* The next event as "watch kind seq missed"; "" for none. */
static const char *next_event(void) {
    static char text[64];
    struct sessiond_event *next = watches_next_event(&exchange);
    if (!next) return "";
    snprintf(text, sizeof text, "%d %s %d %d", (int)next->watch, next->kind_name.text, (int)next->seq,
             (int)next->missed);
    sessiond_free(next);
    return text;
}

static void start(uint8_t server_number) {
    answer_watch(send_request(sessiond_watch_start_request("web", NULL)), server_number);
}

Test(watches, hand_out_events_with_all_they_say) {
    begin(NULL);
    start(7);
    cr_assert_str_eq(last.result, "{\"watch\"=>1}", "the caller's number, not the server's");
    cr_assert(FEED("\x93\x02\xa5"
                   "event\x91\x8b\xa5watch\x07\xa3seq\x05\xa4kind\xa7"
                   "revoked\xa6handle\xa1h\xa4user\xa3"
                   "ann\xa6"
                   "client\xa1"
                   "c\xa4pool\xa1p\xa2"
                   "at\x09\xa7version\x08\xa6reason\xa3why\xa4"
                   "data\x81\xa1k\x01"));
    struct sessiond_event *next = watches_next_event(&exchange);
    cr_assert_not_null(next);
    cr_assert_eq(next->watch, 1);
    cr_assert_eq(next->seq, 5);
    cr_assert_eq(next->kind, SESSIOND_EVENT_REVOKED);
    cr_assert_null(next->id.text);
    cr_assert_str_eq(next->handle.text, "h");
    cr_assert_str_eq(next->user.text, "ann");
    cr_assert_str_eq(next->client.text, "c");
    cr_assert_str_eq(next->pool.text, "p");
    cr_assert_str_eq(next->reason.text, "why");
    cr_assert_eq(next->at, 9);
    cr_assert_eq(next->version, 8);
    cr_assert_str_eq(mp_text(next->data.bytes, next->data.size), "{\"k\"=>1}");
    cr_assert_not_null(strstr(mp_text(next->value.bytes, next->value.size), "\"reason\"=>\"why\""));
    sessiond_free(next);
    cr_assert_null(watches_next_event(&exchange));
    exchange_fini(&exchange);
}

Test(watches, pass_over_notifications_and_events_that_they_do_not_know) {
    begin(NULL);
    start(1);
    cr_assert(FEED("\x93\x02\xa5other\x91\x81\xa5watch\x01"));
    cr_assert(FEED("\x93\x02\xa5"
                   "event\x90"));
    cr_assert(FEED("\x93\x02\xa5"
                   "event\xc0"));
    event(9, 1);
    cr_assert_str_eq(next_event(), "");
    cr_assert(FEED("\x93\x02\xa5"
                   "event\x91\x82\xa5watch\x01\xa4kind\xa3new"));
    struct sessiond_event *next = watches_next_event(&exchange);
    cr_assert_eq(next->kind, SESSIOND_EVENT_NONE);
    cr_assert_str_eq(next->kind_name.text, "new");
    sessiond_free(next);
    exchange_fini(&exchange);
}

Test(watches, go_on_after_a_lost_connection_and_say_so) {
    begin(NULL);
    start(1);
    start(2);
    event(2, 1);
    cr_assert_str_eq(next_event(), "2 expired 1 0");
    lose();
    exchange_connected(&exchange);
    buf_clear(&exchange.out);
    uint32_t ping = send_request(sessiond_server_ping_request());
    cr_assert(FEED(GREETED));
    cr_assert_eq(exchange.state, EXCHANGE_GREETING, "the watches come first");
    cr_assert_str_eq(written(), "[0, 4, \"watch.start\", [\"web\"]][0, 5, \"watch.start\", [\"web\"]]");
    answer_watch(5, 1);
    answer_watch(4, 2);
    cr_assert_eq(exchange.state, EXCHANGE_READY);
    cr_assert_str_eq(written(), "[0, 3, \"server.ping\", []]");
    answer_byte(ping, 0x80);
    event(1, 1);
    event(2, 1);
    cr_assert_str_eq(next_event(), "2 resumed 0 0");
    cr_assert_str_eq(next_event(), "1 resumed 0 0");
    cr_assert_str_eq(next_event(), "2 expired 1 0", "the server's numbers are other ones now");
    cr_assert_str_eq(next_event(), "1 expired 1 0");
    exchange_fini(&exchange);
}

Test(watches, are_over_where_the_server_does_not_take_them_again_and_say_so) {
    begin(NULL);
    start(1);
    lose();
    connect_now();
    cr_assert(FEED("\x94\x01\x02\x81\xa4"
                   "code\xa5LIMIT\xc0"));
    cr_assert_eq(exchange.state, EXCHANGE_READY);
    cr_assert_str_eq(next_event(), "1 stopped 0 0");
    cr_assert(list_is_empty(&exchange.watches.all));
    lose();
    connect_now();
    cr_assert_str_eq(written(), "");
    exchange_fini(&exchange);
}

Test(watches, are_stopped_under_the_servers_number) {
    begin(NULL);
    start(1);
    start(2);
    lose();
    connect_now();
    answer_watch(3, 6);
    answer_watch(4, 5);
    buf_clear(&exchange.out);
    uint32_t stop = send_request(sessiond_watch_stop_request("web", &(struct sessiond_watch_stop_options){.watch = 2}));
    cr_assert_str_eq(written(), "[0, 5, \"watch.stop\", [\"web\", {\"watch\"=>5}]]");
    answer_byte(stop, 0xc3);
    cr_assert_str_eq(last.result, "true");
    cr_assert_str_eq(next_event(), "1 resumed 0 0");
    cr_assert_str_eq(next_event(), "2 resumed 0 0");
    event(5, 9);
    event(6, 9);
    cr_assert_str_eq(next_event(), "1 expired 9 0", "events of the other one are dropped");
    cr_assert_str_eq(next_event(), "");
    uint32_t again =
        send_request(sessiond_watch_stop_request("web", &(struct sessiond_watch_stop_options){.watch = 2}));
    cr_assert_str_eq(written(), "[0, 6, \"watch.stop\", [\"web\", {\"watch\"=>2}]]");
    answer_byte(again, 0xc2);
    start(5);
    cr_assert_str_eq(last.result, "{\"watch\"=>3}", "a number is never used twice");
    exchange_fini(&exchange);
}

Test(watches, that_are_refused_are_none) {
    begin(NULL);
    send_request(sessiond_watch_start_request("web", NULL));
    cr_assert(FEED("\x94\x01\x01\x81\xa4"
                   "code\xa5LIMIT\xc0"));
    cr_assert_eq(last.code, SESSIOND_ERROR_LIMIT);
    send_request(sessiond_watch_start_request("web", NULL));
    answer_byte(2, 0xc3); /* no answer of a sessiond */
    cr_assert_str_eq(last.result, "true");
    cr_assert(list_is_empty(&exchange.watches.all));
    exchange_fini(&exchange);
}

Test(watches, count_what_finds_no_room_and_tell_it_as_one) {
    begin(&(struct sessiond_client_options){.max_event_bytes = 1});
    start(1);
    for (uint8_t seq = 1; seq <= 5; seq++) event(1, seq);
    cr_assert_str_eq(next_event(), "1 expired 1 0");
    cr_assert_str_eq(next_event(), "1 lagged 5 4", "told also where no event follows");
    cr_assert_str_eq(next_event(), "");
    for (uint8_t seq = 6; seq <= 8; seq++) event(1, seq);
    cr_assert_str_eq(next_event(), "1 expired 6 0");
    event(1, 9);
    cr_assert_str_eq(next_event(), "1 lagged 8 2", "in its place before what follows");
    cr_assert_str_eq(next_event(), "1 expired 9 0");
    exchange_fini(&exchange);
}

static unsigned called;
static void take_event(void *holder, struct sessiond_event *taken) {
    (void)holder;
    called++;
    sessiond_free(taken);
}

Test(watches, give_events_to_a_callback_at_once) {
    begin(NULL);
    exchange.event = take_event;
    start(1);
    event(1, 1);
    event(1, 2);
    cr_assert_eq(called, 2);
    cr_assert_null(watches_next_event(&exchange));
    lose();
    connect_now();
    answer_watch(2, 1);
    cr_assert_eq(called, 3);
    exchange_fini(&exchange);
}

Test(watches, lose_the_connection_again_while_they_are_started_again) {
    begin(NULL);
    start(1);
    start(2);
    lose();
    connect_now();
    answer_watch(3, 1);
    lose();
    connect_now();
    cr_assert_eq(exchange.watches.resuming_count, 2);
    answer_watch(5, 1);
    answer_watch(6, 2);
    cr_assert_eq(exchange.state, EXCHANGE_READY);
    cr_assert_str_eq(next_event(), "1 resumed 0 0");
    cr_assert_str_eq(next_event(), "1 resumed 0 0");
    cr_assert_str_eq(next_event(), "2 resumed 0 0");
    exchange_fini(&exchange);
}
