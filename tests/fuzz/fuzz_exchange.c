/* The client against any bytes in any pieces: each request is answered once, nothing stays, what it writes is always a
 * row of whole requests, and after bytes that are no protocol a new connection begins anew.
 *
 * The input begins with three bytes: how it is cut, what is true of the run (see enum flag), how many requests wait at
 * the start. The rest is what the server sends. */
#include "exchange.h"

#include <string.h>

#include "fuzz/target.h"
#include "request.h"
#include "results.h"
#include "wire/codec.h"

enum flag {
    FLAG_GREETED = 1,   /* each greeting is answered, before the input goes on */
    FLAG_NARROW = 2,    /* replies of more than 100 bytes are refused, and few requests may wait */
    FLAG_ASKS_ON = 4,   /* an answer brings the next request, as from a callback */
    FLAG_HOARDS = 8,    /* answers are kept until the end */
    FLAG_UNKNOWN = 16,  /* requests of a method that nobody knows: never repeated */
    FLAG_DROPS = 32,    /* the oldest request is dropped now and then */
    FLAG_WATCHES = 64,  /* some requests start and stop watches; events are taken at the end */
    FLAG_HANDS_ON = 128 /* with it events go to a callback */
};

enum { REQUESTS_MAX = 200, CONNECTIONS_MAX = 20, STARTS_MAX = 2 * REQUESTS_MAX };

struct run {
    struct exchange exchange;
    unsigned flags, asked, answered;
    bool is_answered[REQUESTS_MAX]; /* or dropped */
    unsigned dropped;
    uint64_t starts[STARTS_MAX]; /* msgids of what was written on this connection to start a watch */
    unsigned start_count;
};

/* Some of the requests with FLAG_WATCHES; NULL: an ordinary one is to be made. */
static struct sessiond_request *make_watch(const struct run *run) {
    struct sessiond_watch_stop_options stop = {.watch = run->asked / 5 + 1};
    if (!(run->flags & FLAG_WATCHES)) return NULL;
    if (run->asked % 5 == 0) return sessiond_watch_start_request("web", NULL);
    return run->asked % 5 == 3 ? sessiond_watch_stop_request("web", &stop) : NULL;
}

static void ask(struct run *run) {
    static const uint8_t params[] = {0x92, 0xa3, 'w', 'e', 'b', 0xa1, 'a'};
    static const char *const methods_of[] = {"session.get", "session.destroy", "session.touch"};
    if (run->asked == REQUESTS_MAX) return;
    const char *method = run->flags & FLAG_UNKNOWN ? "session.guess" : methods_of[run->asked % 3];
    struct sessiond_error error;
    struct sessiond_request *request = make_watch(run);
    if (!request) request = sessiond_request_make(method, (struct sessiond_bytes){params, sizeof params});
    struct pending *pending = exchange_add(&run->exchange, request, &error);
    if (!pending) {
        REQUIRE(error.code == SESSIOND_ERROR_OVERLOADED);
        return;
    }
    pending->data = &run->is_answered[run->asked++];
    REQUIRE(exchange_find(&run->exchange, pending->ticket) == pending);
}

static void take_answer(void *holder, struct pending *pending, struct sessiond_reply *reply) {
    struct run *run = holder;
    bool *is_answered = pending->data;
    REQUIRE(reply && !*is_answered);
    *is_answered = true;
    run->answered++;
    if (run->flags & FLAG_HOARDS) {
        pending->reply = reply;
        run->exchange.held_bytes += sizeof *reply + reply->result.size + reply->details.size;
    } else {
        sessiond_free(reply);
        exchange_drop(&run->exchange, pending);
    }
    if (run->flags & FLAG_ASKS_ON) ask(run);
}

/* Takes the output, which the server's own decoder must understand. */
static void take_output(struct run *run) {
    struct bytes rest = buf_bytes(&run->exchange.out);
    struct frame frame;
    union op_args args;
    struct error error;
    REQUIRE(!run->exchange.out.is_failed);
    while (rest.size > 0) {
        enum decode_state state = codec_decode(rest, &frame, &args, &error);
        bool is_unknown = state == DECODE_REFUSED && error.code == ERROR_UNKNOWN_METHOD && run->flags & FLAG_UNKNOWN;
        REQUIRE((state == DECODE_OK || is_unknown) && !frame.is_notification);
        if (frame.op == OP_WATCH_START && run->start_count < STARTS_MAX) run->starts[run->start_count++] = frame.msgid;
        rest = bytes_of(rest.data + frame.size, rest.size - frame.size);
    }
    buf_clear(&run->exchange.out);
}

/* Gives bytes as a socket would; false: the connection is to be closed. */
static bool give(struct run *run, const uint8_t *data, size_t size) {
    size_t room;
    uint8_t *at = exchange_room(&run->exchange, &room);
    REQUIRE(at && room >= size);
    memcpy(at, data, size);
    run->exchange.now_ms++;
    bool is_fine = exchange_take(&run->exchange, size);
    REQUIRE(is_fine || run->exchange.error.code != 0);
    take_output(run);
    return is_fine;
}

static bool connect_again(struct run *run) {
    static const uint8_t welcome[] = {0x94, 0x01, 0x00, 0xc0, 0x81, 0xa7, 'v',
                                      'e',  'r',  's',  'i',  'o',  'n',  SESSIOND_PROTOCOL_VERSION};
    run->start_count = 0;
    exchange_connected(&run->exchange);
    take_output(run);
    return !(run->flags & FLAG_GREETED) || give(run, welcome, sizeof welcome);
}

static void lose(struct run *run) {
    struct sessiond_error lost = {.code = SESSIOND_ERROR_CONNECTION};
    exchange_disconnected(&run->exchange, &lost);
    REQUIRE(run->exchange.out.size == 0 && run->exchange.in.size == 0);
}

static void check_event(struct sessiond_event *event) {
    REQUIRE(event->watch > 0 && event->kind_name.text);
    REQUIRE(event->kind_name.text[event->kind_name.size] == '\0');
    struct mp_cursor cursor = mp_cursor_of(bytes_of(event->value.bytes, event->value.size));
    REQUIRE(mp_read_value(&cursor, REPLY_DEPTH_MAX).size == event->value.size);
    sessiond_free(event);
}

static void take_event(void *holder, struct sessiond_event *event) {
    (void)holder;
    check_event(event);
}

/* Lets every watch that was asked for run: what waits behind them goes out then. */
static void answer_starts(struct run *run) {
    for (unsigned i = 0; i < run->start_count; i++) {
        uint8_t answer[] = {0x94, 1, 0xce, 0, 0, 0, 0, 0xc0, 0x81, 0xa5, 'w', 'a', 't', 'c', 'h', 0xcd, 0, 0};
        for (unsigned k = 0; k < 4; k++) answer[3 + k] = (uint8_t)(run->starts[i] >> 8 * (3 - k));
        answer[16] = (uint8_t)((i + 1) >> 8), answer[17] = (uint8_t)(i + 1);
        give(run, answer, sizeof answer);
    }
    REQUIRE(run->exchange.state == EXCHANGE_READY);
}

static void drop_oldest(struct run *run) {
    if (list_is_empty(&run->exchange.pendings)) return;
    struct pending *pending = LIST_ENTRY(run->exchange.pendings.next, struct pending, link);
    if (!pending->is_answered) run->dropped++;
    exchange_drop(&run->exchange, pending);
}

static void play(struct run *run, unsigned cut, const uint8_t *data, size_t size) {
    unsigned connections = 1, turn = 0;
    bool is_fine = connect_again(run);
    while (size > 0 && is_fine) {
        size_t piece = cut == 0 || cut > size ? size : cut;
        if (piece > 32768) piece = 32768;
        is_fine = give(run, data, piece);
        data += piece, size -= piece;
        if (run->flags & FLAG_DROPS && ++turn % 3 == 0) drop_oldest(run);
        if (is_fine || ++connections > CONNECTIONS_MAX) continue;
        lose(run);
        is_fine = connect_again(run);
    }
}

/* A request that nobody answered fails at the latest when its last connection is lost. */
static void end(struct run *run) {
    lose(run);
    for (unsigned i = 0; i < EXCHANGE_WRITES_MAX; i++) {
        run->flags &= ~(unsigned)FLAG_ASKS_ON;
        run->flags |= FLAG_GREETED;
        connect_again(run);
        answer_starts(run);
        lose(run);
    }
    for (struct sessiond_event *event; (event = watches_next_event(&run->exchange));) check_event(event);
    REQUIRE(run->answered + run->dropped == run->asked);
    while (!list_is_empty(&run->exchange.pendings)) drop_oldest(run);
    REQUIRE(run->exchange.pending_count == 0 && run->exchange.held_bytes == 0);
    exchange_fini(&run->exchange);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    struct run *run = calloc(1, sizeof *run);
    if (!run) abort();
    run->flags = data[1];
    struct sessiond_client_options options = {.client_name = "fuzz"};
    if (run->flags & FLAG_NARROW) {
        options.max_reply_bytes = 100;
        options.max_in_flight = 5;
        options.max_held_bytes = 2000;
    }
    exchange_init(&run->exchange, &options, "web");
    run->exchange.chance.state = 1; /* a failure comes again */
    run->exchange.answer = take_answer;
    if (run->flags & FLAG_HANDS_ON) run->exchange.event = take_event;
    run->exchange.holder = run;
    for (unsigned i = data[2] % 16; i > 0; i--) ask(run);
    play(run, data[0], data + 3, size - 3);
    end(run);
    free(run);
    return 0;
}
