/* The client's half of the protocol without a socket.
 *
 * The happy path: connected -> the greeting goes out -> its answer comes -> all that waits goes out in the order it was
 * added -> each answer finds its pending by msgid. What can fail: bytes that are no reply, a reply to nothing, a
 * message above its limit (the connection is to be closed), a lost connection (repeat, or answer with the error), a
 * greeting that is refused. The greeting has msgid 0, which no request gets. One thread. */
#include "exchange.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "failure.h"
#include "request.h"
#include "results.h"

enum { READ_ROOM = 64 * 1024 };

/* ---------------------------------------------------------------- chance, pauses, options */

void chance_seed(struct chance *chance) {
    /* Without the kernel's chance (a very old one) the address and the time still differ between clients. */
    if (getrandom(&chance->state, sizeof chance->state, GRND_NONBLOCK) != sizeof chance->state)
        chance->state = (uint64_t)(uintptr_t)chance ^ (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL);
}

uint64_t chance_next(struct chance *chance) {
    uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t backoff_next(struct backoff *backoff, const struct sessiond_client_options *options, struct chance *chance) {
    int64_t pause_ms = backoff->next_ms < options->reconnect_min_ms ? options->reconnect_min_ms : backoff->next_ms;
    if (pause_ms > options->reconnect_max_ms) pause_ms = options->reconnect_max_ms;
    backoff->next_ms = pause_ms * 2;
    return pause_ms - pause_ms / 2 + (int64_t)(chance_next(chance) % (uint64_t)(pause_ms / 2 + 1));
}

static int64_t or_default(int64_t value, int64_t otherwise) {
    return value > 0 ? value : otherwise;
}

struct sessiond_client_options options_filled(const struct sessiond_client_options *options) {
    struct sessiond_client_options filled = {0};
    if (options) filled = *options;
    filled.timeout_ms = or_default(filled.timeout_ms, 2000);
    filled.connect_timeout_ms = or_default(filled.connect_timeout_ms, 1000);
    filled.reconnect_min_ms = or_default(filled.reconnect_min_ms, 20);
    filled.reconnect_max_ms = or_default(filled.reconnect_max_ms, 2000);
    if (filled.timeout_ms > SESSIOND_LIMIT_MAX_DURATION_MS) filled.timeout_ms = SESSIOND_LIMIT_MAX_DURATION_MS;
    if (!filled.max_in_flight) filled.max_in_flight = 65536;
    if (!filled.max_held_bytes) filled.max_held_bytes = (size_t)256 << 20;
    if (filled.max_held_bytes > (size_t)1 << 30) filled.max_held_bytes = (size_t)1 << 30;
    if (!filled.max_event_bytes) filled.max_event_bytes = (size_t)16 << 20;
    if (!filled.max_reply_bytes) filled.max_reply_bytes = (size_t)16 << 20;
    return filled;
}

/* ---------------------------------------------------------------- the pendings */

void exchange_init(struct exchange *exchange, const struct sessiond_client_options *options,
                   const char *namespace_name) {
    memset(exchange, 0, sizeof *exchange);
    exchange->options = options_filled(options);
    const char *client_name = exchange->options.client_name ? exchange->options.client_name : "libsessiond";
    snprintf(exchange->client_name, sizeof exchange->client_name, "%s", client_name);
    exchange->options.client_name = NULL; /* it was the caller's */
    snprintf(exchange->namespace_name, sizeof exchange->namespace_name, "%s", namespace_name);
    list_init(&exchange->pendings);
    watches_init(&exchange->watches);
    exchange->next_ticket = 1;
    chance_seed(&exchange->chance);
}

static struct pending *oldest(const struct exchange *exchange) {
    return list_is_empty(&exchange->pendings) ? NULL : LIST_ENTRY(exchange->pendings.next, struct pending, link);
}

void exchange_fini(struct exchange *exchange) {
    for (struct pending *pending; (pending = oldest(exchange));) exchange_drop(exchange, pending);
    watches_fini(&exchange->watches);
    buf_fini(&exchange->in);
    buf_fini(&exchange->out);
}

static struct pending **bucket_of(struct exchange *exchange, uint64_t ticket) {
    return &exchange->buckets[ticket % EXCHANGE_BUCKETS];
}

static struct pending *find_msgid(const struct exchange *exchange, uint32_t msgid) {
    struct pending *pending = exchange->buckets[msgid % EXCHANGE_BUCKETS];
    while (pending && (uint32_t)pending->ticket != msgid) pending = pending->next;
    return pending;
}

struct pending *exchange_find(const struct exchange *exchange, uint64_t ticket) {
    struct pending *pending = exchange->buckets[ticket % EXCHANGE_BUCKETS];
    while (pending && pending->ticket != ticket) pending = pending->next;
    return pending;
}

static size_t reply_bytes(const struct sessiond_reply *reply) {
    return reply ? sizeof *reply + reply->result.size + reply->details.size : 0;
}

static void release_request(struct exchange *exchange, struct pending *pending) {
    if (pending->request) exchange->held_bytes -= pending->request->frame.size;
    sessiond_request_free(pending->request);
    pending->request = NULL;
}

void exchange_drop(struct exchange *exchange, struct pending *pending) {
    struct pending **place = bucket_of(exchange, pending->ticket);
    while (*place != pending) place = &(*place)->next;
    *place = pending->next;
    list_remove(&pending->link);
    release_request(exchange, pending);
    exchange->held_bytes -= reply_bytes(pending->reply);
    exchange->pending_count--;
    sessiond_free(pending->reply);
    free(pending);
}

static void answer(struct exchange *exchange, struct pending *pending, struct sessiond_reply *reply) {
    assert(!pending->is_answered);
    pending->is_answered = true;
    release_request(exchange, pending);
    exchange->answer(exchange->holder, pending, reply);
}

void exchange_fail(struct exchange *exchange, struct pending *pending, const struct sessiond_error *error) {
    answer(exchange, pending, reply_make_error(error));
}

static void write_pending(struct exchange *exchange, struct pending *pending) {
    request_set_msgid(pending->request, (uint32_t)pending->ticket);
    if (pending->request->purpose == REQUEST_WATCH_STOP)
        watches_write_stop(exchange, pending->request);
    else
        buf_append(&exchange->out, pending->request->frame.data, pending->request->frame.size);
    pending->is_written = true;
    pending->write_count++;
    pending->written_at_ms = exchange->now_ms;
}

/* Whether a request may be added; fills *error if not. */
static bool may_add(const struct exchange *exchange, const struct sessiond_request *request,
                    struct sessiond_error *error) {
    if (!request)
        failure_set(error, SESSIOND_ERROR_CLIENT_MEMORY, "Memory for the request is lacking.");
    else if (request->error)
        *error = *request->error;
    else if (exchange->pending_count >= exchange->options.max_in_flight)
        failure_set(error, SESSIOND_ERROR_OVERLOADED,
                    "%zu requests wait for their replies to be taken; take some first, or raise max_in_flight.",
                    exchange->pending_count);
    else if (exchange->held_bytes + request->frame.size > exchange->options.max_held_bytes)
        failure_set(error, SESSIOND_ERROR_OVERLOADED,
                    "%zu bytes of requests and replies are held; take replies first, or raise max_held_bytes.",
                    exchange->held_bytes);
    else
        return true;
    return false;
}

/* The next ticket whose msgid no pending has, however old that one is; msgid 0 is the greeting's. */
uint64_t exchange_new_ticket(struct exchange *exchange) {
    while ((uint32_t)exchange->next_ticket == 0 || find_msgid(exchange, (uint32_t)exchange->next_ticket))
        exchange->next_ticket++;
    return exchange->next_ticket++;
}

struct pending *exchange_add(struct exchange *exchange, struct sessiond_request *request,
                             struct sessiond_error *error) {
    struct pending *pending = NULL;
    if (may_add(exchange, request, error) && !(pending = calloc(1, sizeof *pending)))
        failure_set(error, SESSIOND_ERROR_CLIENT_MEMORY, "Memory for the request is lacking.");
    if (!pending) {
        sessiond_request_free(request);
        return NULL;
    }
    pending->ticket = exchange_new_ticket(exchange);
    pending->request = request;
    pending->next = *bucket_of(exchange, pending->ticket);
    *bucket_of(exchange, pending->ticket) = pending;
    list_append(&exchange->pendings, &pending->link);
    exchange->pending_count++;
    exchange->held_bytes += request->frame.size;
    request_set_op_id(request, chance_next(&exchange->chance));
    if (exchange->state == EXCHANGE_READY) write_pending(exchange, pending);
    return pending;
}

/* ---------------------------------------------------------------- the connection */

void exchange_connected(struct exchange *exchange) {
    assert(exchange->state == EXCHANGE_DOWN || exchange->state == EXCHANGE_REFUSED);
    exchange->state = EXCHANGE_GREETING;
    exchange->received_at_ms = exchange->now_ms;
    struct sessiond_server_hello_options options = {
        .version = SESSIOND_PROTOCOL_VERSION,
        .namespace_name = exchange->namespace_name[0] ? exchange->namespace_name : NULL,
        .client_name = exchange->client_name,
    };
    struct sessiond_request *hello = sessiond_server_hello_request(&options);
    if (!hello) { /* nothing is written, and the greeting's time runs out */
        exchange->out.is_failed = true;
        return;
    }
    request_set_msgid(hello, 0);
    buf_append(&exchange->out, hello->frame.data, hello->frame.size);
    sessiond_request_free(hello);
}

/* An answer's callback may drop its own pending and add others at the end; so the next is found by looking, not kept.
 */
static struct pending *first_lost(const struct exchange *exchange) {
    for (struct list *link = exchange->pendings.next; link != &exchange->pendings; link = link->next) {
        struct pending *pending = LIST_ENTRY(link, struct pending, link);
        if (!pending->is_answered && pending->is_written) return pending;
    }
    return NULL;
}

void exchange_disconnected(struct exchange *exchange, const struct sessiond_error *error) {
    exchange->state = EXCHANGE_DOWN;
    watches_lost(exchange);
    buf_clear(&exchange->out);
    buf_clear(&exchange->in);
    exchange->scan = (struct mp_scan){0};
    /* First all are marked, so that each is looked at once; then those that must fail, do. */
    struct list *link = exchange->pendings.next;
    for (; link != &exchange->pendings; link = link->next) {
        struct pending *pending = LIST_ENTRY(link, struct pending, link);
        bool may_repeat =
            !pending->is_answered && pending->request->is_repeatable && pending->write_count < EXCHANGE_WRITES_MAX;
        if (may_repeat) pending->is_written = false;
    }
    for (struct pending *pending; (pending = first_lost(exchange));) exchange_fail(exchange, pending, error);
}

/* All that waits goes out. */
static void become_ready(struct exchange *exchange) {
    exchange->state = EXCHANGE_READY;
    for (struct list *link = exchange->pendings.next; link != &exchange->pendings; link = link->next) {
        struct pending *pending = LIST_ENTRY(link, struct pending, link);
        if (!pending->is_answered && !pending->is_written) write_pending(exchange, pending);
    }
}

/* What every other side than a sessiond is told for. */
#define NO_SESSIOND "The other side does not speak sessiond's protocol."
#define CHECK_URL   "The connection was closed; check that the URL is sessiond's."

/* The version that a greeting's answer names; 0: it is no sessiond's. */
static uint64_t greeting_version(struct bytes answer) {
    struct mp_cursor cursor = mp_cursor_of(answer);
    uint64_t version = 0;
    for (uint32_t left = mp_read_map(&cursor); left > 0 && cursor.error == MP_OK; left--) {
        bool is_version = bytes_equal(mp_read_bytes(&cursor), BYTES_LITERAL("version"));
        struct mp_cursor value = mp_cursor_of(mp_read_value(&cursor, MP_DEPTH_MAX));
        if (is_version && cursor.error == MP_OK) version = (uint64_t)mp_read_int(&value, 0, INT64_MAX);
        if (is_version && value.error != MP_OK) return 0;
    }
    return cursor.error == MP_OK ? version : 0;
}

/* Fills in why the greeting's answer is not taken; false: it is. */
static bool refuse_greeting(const struct incoming *incoming, struct sessiond_error *error) {
    struct sessiond_reply *reply = reply_make(incoming);
    uint64_t version = greeting_version(incoming->result);
    bool is_refused = true;
    if (!reply)
        failure_set(error, SESSIOND_ERROR_CLIENT_MEMORY, "Memory for the greeting is lacking.");
    else if (reply->error.code)
        *error = reply->error;
    else if (version == 0)
        failure_set(error, SESSIOND_ERROR_PROTOCOL, NO_SESSIOND " " CHECK_URL);
    else if (version != SESSIOND_PROTOCOL_VERSION)
        failure_set(
            error, SESSIOND_ERROR_PROTOCOL,
            "The server speaks version %llu of the protocol, this library version %d; use those of one version.",
            (unsigned long long)version, SESSIOND_PROTOCOL_VERSION);
    else
        is_refused = false;
    sessiond_free(reply);
    return is_refused;
}

/* With watches, these are started again before anything else is sent. */
static void greeting_answered(struct exchange *exchange, const struct incoming *incoming) {
    if (refuse_greeting(incoming, &exchange->error))
        exchange->state = EXCHANGE_REFUSED;
    else if (!watches_resume(exchange))
        become_ready(exchange);
}

static bool broken(struct exchange *exchange, const char *what) {
    failure_set(&exchange->error, SESSIOND_ERROR_PROTOCOL, "%s " CHECK_URL, what);
    return false;
}

static bool handle_message(struct exchange *exchange, struct bytes message) {
    struct incoming incoming;
    if (!incoming_read(message, &incoming)) return broken(exchange, NO_SESSIOND);
    if (!incoming.is_reply) {
        watches_take_event(exchange, &incoming);
        return true;
    }
    if (incoming.msgid == 0) {
        if (exchange->state != EXCHANGE_GREETING || exchange->watches.resuming_count)
            return broken(exchange, "The greeting was answered twice.");
        greeting_answered(exchange, &incoming);
        return exchange->state != EXCHANGE_REFUSED;
    }
    if (exchange->watches.resuming_count && watches_take_reply(exchange, &incoming)) {
        if (!exchange->watches.resuming_count) become_ready(exchange);
        return true;
    }
    struct pending *pending = find_msgid(exchange, incoming.msgid);
    /* Of one that was dropped nothing is known any more; one that was never sent, or answered before, is broken. */
    if (!pending && incoming.msgid < exchange->next_ticket) return true;
    if (!pending || pending->is_answered || !pending->is_written)
        return broken(exchange, "The other side answered what was not asked.");
    uint8_t room[WATCH_ANSWER_MAX];
    watches_answered(exchange, pending, &incoming, room);
    answer(exchange, pending, reply_make(&incoming));
    return true;
}

uint8_t *exchange_room(struct exchange *exchange, size_t *size) {
    uint8_t *room = buf_reserve(&exchange->in, READ_ROOM);
    *size = room ? exchange->in.capacity - exchange->in.size : 0;
    return room;
}

/* Handles all whole messages in `in`, and leaves the rest of one there. */
static bool take_messages(struct exchange *exchange, size_t *used) {
    while (*used < exchange->in.size) {
        struct bytes rest = bytes_of(exchange->in.data + *used, exchange->in.size - *used);
        enum mp_error error;
        bool is_whole = mp_scan_feed(&exchange->scan, rest, &error);
        size_t size = exchange->scan.scanned;
        if (!is_whole && error != MP_TRUNCATED) return broken(exchange, NO_SESSIOND);
        if (size > exchange->options.max_reply_bytes || (!is_whole && rest.size > exchange->options.max_reply_bytes))
            return broken(exchange, "The other side sent more bytes at once than max_reply_bytes.");
        if (!is_whole) return true;
        exchange->scan = (struct mp_scan){0};
        *used += size;
        if (!handle_message(exchange, bytes_of(rest.data, size))) return false;
    }
    return true;
}

bool exchange_take(struct exchange *exchange, size_t size) {
    assert(size <= exchange->in.capacity - exchange->in.size);
    exchange->in.size += size;
    exchange->received_at_ms = exchange->now_ms;
    size_t used = 0;
    bool is_fine = take_messages(exchange, &used);
    buf_consume(&exchange->in, used);
    return is_fine;
}
