/* The blocking client: an exchange, a socket, and a loop that turns until what is waited for is there.
 *
 * The happy path of a call: add the request, write it, read until it is answered, take the answer. What can fail: the
 * connection (connect again, host after host, with growing pauses, until the deadline; the exchange repeats what may be
 * repeated), time (the request is dropped; where nothing at all was heard since it was written the connection is given
 * up too), bytes that are no protocol (the connection is closed). Each loop here ends at the deadline of the public
 * function that began it. One thread. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange.h"
#include "failure.h"
#include "request.h"
#include "results.h"
#include "socket.h"

enum { WRITE_SOON = 64 * 1024, WRITE_FIRST = 1024 * 1024 /* bytes of output from which sends write, and wait */ };

struct sessiond_client {
    struct exchange exchange;
    struct url url;
    size_t endpoint; /* the one in use, or to be tried next */
    int fd;          /* -1: none */
    size_t sent; /* bytes of exchange.out that are on their way; kept apart so that much output is not moved often */
    struct backoff backoff;
    int64_t may_connect_at_ms; /* not before: the pause after an attempt that failed */
    struct sessiond_error error;
    struct sessiond_error lost; /* why there is no connection */
};

/* ---------------------------------------------------------------- one turn: write, wait, read */

static int64_t now(struct sessiond_client *client) {
    return client->exchange.now_ms = clock_now_ms();
}

static size_t unsent(const struct sessiond_client *client) {
    return client->exchange.out.size - client->sent;
}

static void disconnect(struct sessiond_client *client, const struct sessiond_error *error) {
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
    client->sent = 0;
    client->lost = *error;
    exchange_disconnected(&client->exchange, error);
}

static void disconnect_for(struct sessiond_client *client, const char *what, int problem) {
    struct sessiond_error error;
    char name[URL_HOST_MAX + 16];
    endpoint_print(&client->url.endpoints[client->endpoint], name, sizeof name);
    failure_set(&error, SESSIOND_ERROR_CONNECTION, "The connection to %.120s was lost: %s%s%s.", name, what,
                problem ? ": " : "", problem ? strerror(problem) : "");
    disconnect(client, &error);
}

/* Writes what the socket takes now. */
static void write_some(struct sessiond_client *client) {
    struct buf *out = &client->exchange.out;
    if (out->is_failed) {
        disconnect_for(client, "memory for what is to be sent is lacking", 0);
        return;
    }
    int problem = 0;
    while (client->sent < out->size && !problem) {
        ssize_t count = send(client->fd, out->data + client->sent, out->size - client->sent, MSG_NOSIGNAL);
        if (count > 0)
            client->sent += (size_t)count;
        else if (errno != EINTR)
            problem = errno;
    }
    if (client->sent >= out->size - client->sent) {
        buf_consume(out, client->sent);
        client->sent = 0;
    }
    /* A broken connection may still hold answers that were sent before it broke: reading finds its end. */
    if (problem && problem != EAGAIN && problem != EPIPE && problem != ECONNRESET)
        disconnect_for(client, "writing failed", problem);
}

/* Reads what is there now, once. */
static void read_some(struct sessiond_client *client) {
    size_t room;
    uint8_t *at = exchange_room(&client->exchange, &room);
    if (!at) {
        disconnect_for(client, "memory for what is to be read is lacking", 0);
        return;
    }
    ssize_t count = recv(client->fd, at, room, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count < 0)
        disconnect_for(client, "reading failed", errno);
    else if (count == 0)
        disconnect_for(client, "the server closed it", 0);
    else if (!exchange_take(&client->exchange, (size_t)count))
        disconnect(client, &client->exchange.error);
}

/* Replies that nobody takes are not read without end: then the server has to wait. */
static bool is_full(const struct sessiond_client *client) {
    return client->exchange.held_bytes > client->exchange.options.max_held_bytes;
}

/* Writes and reads what can be at once, waiting until the deadline at most for one of the two. Needs a connection. */
static void turn(struct sessiond_client *client, int64_t deadline_ms) {
    write_some(client);
    if (client->fd < 0) return;
    bool has_output = unsent(client) > 0, may_read = !is_full(client);
    if (!socket_wait(client->fd, may_read, has_output, deadline_ms)) return;
    now(client);
    if (may_read) read_some(client);
}

/* ---------------------------------------------------------------- connecting */

/* One attempt with one endpoint, the greeting included; true: requests may be sent. */
static bool connect_endpoint(struct sessiond_client *client, int64_t deadline_ms) {
    const struct endpoint *endpoint = &client->url.endpoints[client->endpoint];
    client->fd = socket_connect(endpoint, deadline_ms, &client->lost);
    if (client->fd < 0) return false;
    now(client);
    exchange_connected(&client->exchange);
    while (client->fd >= 0 && client->exchange.state == EXCHANGE_GREETING && now(client) < deadline_ms)
        turn(client, deadline_ms);
    if (client->fd >= 0 && client->exchange.state == EXCHANGE_READY) return true;
    if (client->fd < 0) return false;
    struct sessiond_error error;
    char name[URL_HOST_MAX + 16];
    endpoint_print(endpoint, name, sizeof name);
    failure_set(&error, SESSIOND_ERROR_TIMEOUT, "%.140s took the connection but did not answer the greeting in time.",
                name);
    disconnect(client, &error);
    return false;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Whether another attempt could not help: the server understood and said no. */
static bool is_refused(const struct sessiond_client *client) {
    return client->lost.code < SESSIOND_ERROR_OTHER && client->lost.code != SESSIOND_ERROR_BUSY;
}

/* Each endpoint once, beginning with the one that served last. */
static bool connect_round(struct sessiond_client *client, int64_t deadline_ms) {
    for (size_t i = 0; i < client->url.endpoint_count && now(client) < deadline_ms; i++) {
        int64_t attempt_ms =
            earlier(deadline_ms, client->exchange.now_ms + client->exchange.options.connect_timeout_ms);
        if (connect_endpoint(client, attempt_ms)) {
            client->backoff.next_ms = 0;
            return true;
        }
        if (is_refused(client)) return false;
        client->endpoint = (client->endpoint + 1) % client->url.endpoint_count;
    }
    client->may_connect_at_ms =
        now(client) + backoff_next(&client->backoff, &client->exchange.options, &client->exchange.chance);
    return false;
}

/* Rounds with growing pauses until there is a connection, or the deadline passed. False: client->lost says why. */
static bool connect_until(struct sessiond_client *client, int64_t deadline_ms) {
    while (now(client) < deadline_ms) {
        int64_t pause_ms = earlier(client->may_connect_at_ms, deadline_ms) - client->exchange.now_ms;
        if (pause_ms > 0) socket_wait(-1, false, false, client->exchange.now_ms + pause_ms);
        if (now(client) >= deadline_ms) break;
        if (connect_round(client, deadline_ms)) return true;
        if (is_refused(client)) return false;
    }
    return false;
}

/* ---------------------------------------------------------------- waiting */

static void keep_answer(void *holder, struct pending *pending, struct sessiond_reply *reply) {
    struct exchange *exchange = &((struct sessiond_client *)holder)->exchange;
    pending->reply = reply;
    if (reply) exchange->held_bytes += sizeof *reply + reply->result.size + reply->details.size;
}

/* Why `pending` has no answer at the deadline. A connection on which nothing was heard since is given up: if the other
 * side is gone without a word, the next call finds that out by connecting, not by waiting as long again. */
static int give_up(struct sessiond_client *client, struct pending *pending) {
    int64_t timeout_ms = client->exchange.options.timeout_ms;
    if (client->fd < 0) {
        client->error = client->lost;
    } else {
        failure_set(&client->error, SESSIOND_ERROR_TIMEOUT,
                    "The server did not answer within %lld ms; a write may or may not have been done.",
                    (long long)timeout_ms);
    }
    bool is_silent =
        client->fd >= 0 && pending->is_written && client->exchange.received_at_ms <= pending->written_at_ms;
    exchange_drop(&client->exchange, pending);
    if (is_silent) disconnect_for(client, "the server is silent", 0);
    return client->error.code;
}

static bool is_stuck(const struct sessiond_client *client) {
    return client->fd >= 0 && is_full(client) && unsent(client) == 0;
}

/* Turns until the pending is answered; 0, or a code with the client's error set and the pending gone. */
static int wait_for(struct sessiond_client *client, struct pending *pending, int64_t deadline_ms) {
    while (!pending->is_answered) {
        if (now(client) >= deadline_ms) return give_up(client, pending);
        if (client->fd < 0 && !connect_until(client, deadline_ms)) {
            client->error = client->lost;
            exchange_drop(&client->exchange, pending);
            return client->error.code;
        }
        if (is_stuck(client)) {
            exchange_drop(&client->exchange, pending);
            return failure_set(&client->error, SESSIOND_ERROR_OVERLOADED,
                               "%zu bytes of replies were not taken; take replies in the order of their requests.",
                               client->exchange.held_bytes);
        }
        turn(client, deadline_ms);
    }
    return 0;
}

/* Hands the answer out and forgets the pending. */
static int take_answer(struct sessiond_client *client, struct pending *pending, struct sessiond_reply **reply) {
    *reply = pending->reply;
    if (*reply) client->exchange.held_bytes -= sizeof **reply + (*reply)->result.size + (*reply)->details.size;
    pending->reply = NULL;
    exchange_drop(&client->exchange, pending);
    return *reply ? 0 : failure_set(&client->error, SESSIOND_ERROR_CLIENT_MEMORY, "Memory for the reply is lacking.");
}

/* ---------------------------------------------------------------- the public functions */

static int64_t deadline(struct sessiond_client *client) {
    return now(client) + client->exchange.options.timeout_ms;
}

/* A pause that is longer than a call would let that call fail without an attempt: each has time for several. */
static void limit_pauses(struct sessiond_client_options *options) {
    int64_t longest_ms = options->timeout_ms / 4 > 1 ? options->timeout_ms / 4 : 1;
    if (options->reconnect_max_ms > longest_ms) options->reconnect_max_ms = longest_ms;
    if (options->reconnect_min_ms > longest_ms) options->reconnect_min_ms = longest_ms;
}

int sessiond_client_open(const char *url, const struct sessiond_client_options *options, struct sessiond_client **out) {
    struct sessiond_client *client = *out = calloc(1, sizeof *client);
    if (!client) return SESSIOND_ERROR_CLIENT_MEMORY;
    client->fd = -1;
    int code = url_parse(url, &client->url, &client->error);
    exchange_init(&client->exchange, options, client->url.namespace_name);
    limit_pauses(&client->exchange.options);
    client->exchange.answer = keep_answer;
    client->exchange.holder = client;
    client->lost = client->error;
    if (code) {
        client->url.endpoint_count = 0;
        return code;
    }
    failure_clear(&client->error);
    if (connect_round(client, deadline(client))) return 0;
    client->error = client->lost;
    return client->error.code;
}

void sessiond_client_close(struct sessiond_client *client) {
    if (!client) return;
    if (client->fd >= 0) close(client->fd);
    exchange_fini(&client->exchange);
    free(client);
}

const struct sessiond_error *sessiond_client_error(const struct sessiond_client *client) {
    return &client->error;
}
const char *sessiond_client_namespace(const struct sessiond_client *client) {
    return client->exchange.namespace_name;
}
bool sessiond_client_is_connected(const struct sessiond_client *client) {
    return client->fd >= 0;
}

int sessiond_client_set_namespace(struct sessiond_client *client, const char *name) {
    size_t size = name ? strlen(name) : 0;
    if (size == 0 || size > SESSIOND_LIMIT_MAX_NAMESPACE)
        return failure_set(&client->error, SESSIOND_ERROR_ARGUMENT, "A namespace's name has 1 to %d bytes.",
                           (int)SESSIOND_LIMIT_MAX_NAMESPACE);
    memcpy(client->exchange.namespace_name, name, size + 1);
    failure_clear(&client->error);
    return 0;
}

/* Adds a request; NULL: the client's error says why not. */
static struct pending *add(struct sessiond_client *client, struct sessiond_request *request) {
    now(client);
    failure_clear(&client->error);
    if (client->url.endpoint_count > 0) return exchange_add(&client->exchange, request, &client->error);
    sessiond_request_free(request);
    client->error = client->lost;
    return NULL;
}

int sessiond_send(struct sessiond_client *client, struct sessiond_request *request, uint64_t *ticket) {
    *ticket = 0;
    struct pending *pending = add(client, request);
    if (!pending) return client->error.code;
    *ticket = pending->ticket;
    int64_t deadline_ms = client->exchange.now_ms + client->exchange.options.timeout_ms;
    /* Much output goes out while more is made; very much has to go first. Both read too, or two sides could wait for
     * each other with full buffers. */
    if (client->fd >= 0 && unsent(client) >= WRITE_SOON) turn(client, client->exchange.now_ms);
    while (client->fd >= 0 && unsent(client) >= WRITE_FIRST && !is_full(client) && now(client) < deadline_ms)
        turn(client, deadline_ms);
    return 0;
}

int sessiond_receive(struct sessiond_client *client, uint64_t ticket, struct sessiond_reply **reply) {
    *reply = NULL;
    failure_clear(&client->error);
    struct pending *pending = exchange_find(&client->exchange, ticket);
    if (!pending)
        return failure_set(&client->error, SESSIOND_ERROR_ARGUMENT,
                           "There is no request of this ticket, or its reply was taken already.");
    int code = pending->is_answered ? 0 : wait_for(client, pending, deadline(client));
    return code ? code : take_answer(client, pending, reply);
}

int client_exchange(struct sessiond_client *client, struct sessiond_request *request, struct sessiond_reply **reply) {
    *reply = NULL;
    struct pending *pending = add(client, request);
    if (!pending) return client->error.code;
    int code = wait_for(client, pending, deadline(client));
    if (!code) code = take_answer(client, pending, reply);
    if (code || !(*reply)->error.code) return code;
    client->error = (*reply)->error;
    sessiond_free(*reply);
    *reply = NULL;
    return client->error.code;
}

/* Why no event can be waited for; 0: one can. */
static int check_waiting(struct sessiond_client *client) {
    if (list_is_empty(&client->exchange.watches.all))
        return failure_set(&client->error, SESSIOND_ERROR_ARGUMENT,
                           "No watch runs, so no event can come; sessiond_watch_start begins one.");
    if (is_full(client))
        return failure_set(&client->error, SESSIOND_ERROR_OVERLOADED,
                           "%zu bytes of replies were not taken; take them first.", client->exchange.held_bytes);
    if (client->fd >= 0 || connect_until(client, deadline(client))) return 0;
    client->error = client->lost;
    return client->error.code;
}

int sessiond_event_next(struct sessiond_client *client, int64_t timeout_ms, struct sessiond_event **event) {
    failure_clear(&client->error);
    int64_t until_ms = now(client) + (timeout_ms > 0 ? timeout_ms : 0);
    for (bool is_over = false;; is_over = now(client) >= until_ms) {
        *event = watches_next_event(&client->exchange);
        if (*event || is_over) return 0;
        bool was_connected = client->fd >= 0;
        int code = check_waiting(client);
        if (code) return code;
        if (was_connected) turn(client, until_ms); /* else connecting may have brought events, and nothing more comes */
    }
}

int client_code(const struct sessiond_client *client) {
    return client->error.code;
}
struct sessiond_error *client_error(struct sessiond_client *client) {
    return &client->error;
}

int sessiond_call(struct sessiond_client *client, const char *method, struct sessiond_bytes params,
                  struct sessiond_reply **reply) {
    struct sessiond_reply *taken;
    int code = client_exchange(client, sessiond_request_make(method, params), &taken);
    if (reply)
        *reply = taken;
    else
        sessiond_free(taken);
    return code;
}
