/* The client on a libuv loop: an exchange, a stream, and three timers.
 *
 * The happy path: look the host's name up, connect, greet; then each turn of the loop writes what was sent in it (the
 * prepare callback, just before the loop sleeps) and each read answers what came. What can fail: the attempt (the next
 * endpoint, and after all of them a pause), the connection (the same), time (the oldest request's deadline is the one
 * that is armed; all have the same timeout, so they end in their order).
 * A connection's stream and buffers stand in a `struct link` of their own, which outlives the client's interest until
 * libuv has closed it: a new attempt never waits for that. One thread, the loop's. */
#include "sessiond/client_async.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "failure.h"
#include "request.h"
#include "results.h"

/* One attempt to connect, and the connection that it becomes. */
struct link {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    uv_connect_t connect;
    uv_write_t write;
    struct buf flying; /* what the write in progress writes */
    bool is_writing, is_connected;
    struct sessiond_async *async; /* NULL: given up, and being closed */
};

/* One lookup of a host's name. */
struct lookup {
    uv_getaddrinfo_t request;
    struct sessiond_async *async; /* NULL: given up */
};

/* A request that was refused, until the loop can say so. */
struct refused {
    struct refused *next;
    struct sessiond_reply *reply;
    sessiond_async_callback callback;
    void *data;
};

struct sessiond_async {
    uv_loop_t *loop;
    struct exchange exchange;
    struct url url;
    size_t endpoint, failed_count; /* endpoints that failed since the last connection or pause */
    uint32_t max_offline;
    struct link *link;     /* NULL: none */
    struct lookup *lookup; /* NULL: none */
    struct backoff backoff;
    struct sessiond_error lost; /* why there is no connection */
    uv_prepare_t writer;
    uv_timer_t deadline;                    /* of the oldest request */
    uv_timer_t attempt;                     /* ends an attempt to connect, or the pause before the next */
    uv_timer_t later;                       /* tells the refused ones, in the next turn */
    sessiond_async_event_callback on_event; /* NULL: none */
    void *event_data;
    unsigned open_handles;
    bool is_closing;
    struct refused *refused, **refused_end;
    void (*closed)(void *data);
    void *closed_data;
};

static void begin_attempt(struct sessiond_async *async);
static void arm_deadline(struct sessiond_async *async);

static void update_now(struct sessiond_async *async) {
    async->exchange.now_ms = (int64_t)uv_now(async->loop);
}

/* ---------------------------------------------------------------- losing a connection */

static void link_closed(uv_handle_t *handle) {
    struct link *link = handle->data;
    buf_fini(&link->flying);
    free(link);
}

static void drop_link(struct sessiond_async *async) {
    if (!async->link) return;
    async->link->async = NULL;
    uv_close(&async->link->handle, link_closed);
    async->link = NULL;
}

static void drop_lookup(struct sessiond_async *async) {
    if (!async->lookup) return;
    async->lookup->async = NULL;
    uv_cancel((uv_req_t *)&async->lookup->request);
    async->lookup = NULL;
}

static void attempt_over(uv_timer_t *timer) {
    begin_attempt(timer->data);
}

/* This endpoint is none: the next one at once, or after all of them a pause. */
static void next_endpoint(struct sessiond_async *async) {
    async->endpoint = (async->endpoint + 1) % async->url.endpoint_count;
    int64_t pause_ms = 0;
    if (++async->failed_count >= async->url.endpoint_count) {
        async->failed_count = 0;
        pause_ms = backoff_next(&async->backoff, &async->exchange.options, &async->exchange.chance);
    }
    uv_timer_start(&async->attempt, attempt_over, (uint64_t)pause_ms, 0);
}

/* The connection, or the attempt, is over. */
static void disconnect(struct sessiond_async *async, const struct sessiond_error *error) {
    async->lost = *error;
    drop_lookup(async);
    drop_link(async);
    update_now(async);
    next_endpoint(async);
    exchange_disconnected(&async->exchange, error);
    if (!async->is_closing) arm_deadline(async);
}

static void disconnect_for(struct sessiond_async *async, int code, const char *what, int problem) {
    struct sessiond_error error;
    char name[URL_HOST_MAX + 16];
    endpoint_print(&async->url.endpoints[async->endpoint], name, sizeof name);
    failure_set(&error, code, "%s %.120s%s%s.", what, name, problem ? ": " : "", problem ? uv_strerror(problem) : "");
    disconnect(async, &error);
}

/* ---------------------------------------------------------------- reading and writing */

static void written(uv_write_t *write, int status) {
    struct link *link = write->data;
    link->is_writing = false;
    buf_clear(&link->flying);
    if (!link->async || status == 0) return;
    /* Reading finds the end of a broken connection, and the answers that were sent before it broke. */
    if (status != UV_EPIPE && status != UV_ECONNRESET && status != UV_ECANCELED)
        disconnect_for(link->async, SESSIOND_ERROR_CONNECTION, "Writing failed to", status);
}

/* Writes all that was made since the last turn, unless the last write is still on its way: then it waits for that. */
static void write_out(uv_prepare_t *prepare) {
    struct sessiond_async *async = prepare->data;
    struct link *link = async->link;
    if (!link || !link->is_connected || link->is_writing ||
        (!async->exchange.out.size && !async->exchange.out.is_failed))
        return;
    if (async->exchange.out.is_failed) {
        disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Memory is lacking for what is to be sent to", 0);
        return;
    }
    struct buf empty = link->flying;
    link->flying = async->exchange.out;
    async->exchange.out = empty;
    uv_buf_t buf = uv_buf_init((char *)link->flying.data, (unsigned)link->flying.size);
    link->write.data = link;
    link->is_writing = uv_write(&link->write, &link->stream, &buf, 1, written) == 0;
    if (!link->is_writing) disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Writing failed to", UV_EIO);
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    struct link *link = handle->data;
    (void)suggested;
    size_t size = 0;
    uint8_t *room = link->async ? exchange_room(&link->async->exchange, &size) : NULL;
    *buf = uv_buf_init((char *)room, room ? (unsigned)size : 0);
}

static void have_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    struct link *link = stream->data;
    struct sessiond_async *async = link->async;
    (void)buf;
    if (!async || count == 0) return;
    if (count < 0) {
        disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Lost the connection to", (int)count);
        return;
    }
    update_now(async);
    bool was_ready = async->exchange.state == EXCHANGE_READY, is_fine = exchange_take(&async->exchange, (size_t)count);
    if (async->is_closing) return; /* a callback closed the client */
    if (!is_fine) {
        disconnect(async, &async->exchange.error);
    } else if (!was_ready && async->exchange.state == EXCHANGE_READY) {
        uv_timer_stop(&async->attempt);
        async->backoff.next_ms = 0;
        async->failed_count = 0;
    }
}

/* ---------------------------------------------------------------- connecting */

static void connected(uv_connect_t *connect, int status) {
    struct link *link = connect->data;
    struct sessiond_async *async = link->async;
    if (!async) return;
    if (status == 0) status = uv_read_start(&link->stream, give_room, have_read);
    if (status) {
        disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Cannot connect to", status);
        return;
    }
    link->is_connected = true;
    if (!async->url.endpoints[async->endpoint].is_unix) uv_tcp_nodelay(&link->tcp, 1);
    update_now(async);
    exchange_connected(&async->exchange);
}

/* A link with its stream begun; NULL: memory is lacking. */
static struct link *make_link(struct sessiond_async *async) {
    struct link *link = calloc(1, sizeof *link);
    if (!link) return NULL;
    bool is_unix = async->url.endpoints[async->endpoint].is_unix;
    int status = is_unix ? uv_pipe_init(async->loop, &link->pipe, 0) : uv_tcp_init(async->loop, &link->tcp);
    if (status) {
        free(link);
        return NULL;
    }
    link->handle.data = link->connect.data = link;
    link->async = async;
    return link;
}

static bool connect_link(struct sessiond_async *async, const struct sockaddr *address) {
    async->link = make_link(async);
    if (!async->link) {
        disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Memory is lacking to connect to", 0);
        return false;
    }
    struct link *link = async->link;
    if (!address) {
        uv_pipe_connect(&link->connect, &link->pipe, async->url.endpoints[async->endpoint].name, connected);
        return true;
    }
    int status = uv_tcp_connect(&link->connect, &link->tcp, address, connected);
    if (status) disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Cannot connect to", status);
    return status == 0;
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses) {
    struct lookup *lookup = request->data;
    struct sessiond_async *async = lookup->async;
    free(lookup);
    if (async) {
        async->lookup = NULL;
        if (status)
            disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Cannot find the host", status);
        else
            connect_link(async, addresses->ai_addr);
    }
    uv_freeaddrinfo(addresses);
}

static void look_up(struct sessiond_async *async, const struct endpoint *endpoint) {
    struct lookup *lookup = async->lookup = calloc(1, sizeof *lookup);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char port[8];
    snprintf(port, sizeof port, "%u", endpoint->port);
    int status = UV_ENOMEM;
    if (lookup) {
        lookup->async = async;
        lookup->request.data = lookup;
        status = uv_getaddrinfo(async->loop, &lookup->request, looked_up, endpoint->name, port, &hints);
    }
    if (status == 0) return;
    free(lookup);
    async->lookup = NULL;
    disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Cannot find the host", status);
}

static void attempt_timed_out(uv_timer_t *timer) {
    disconnect_for(timer->data, SESSIOND_ERROR_TIMEOUT, "No connection, or no answer to the greeting, in time from", 0);
}

static void begin_attempt(struct sessiond_async *async) {
    const struct endpoint *endpoint = &async->url.endpoints[async->endpoint];
    uv_timer_start(&async->attempt, attempt_timed_out, (uint64_t)async->exchange.options.connect_timeout_ms, 0);
    if (endpoint->is_unix)
        connect_link(async, NULL);
    else
        look_up(async, endpoint);
}

/* ---------------------------------------------------------------- answers and deadlines */

static void answered(void *holder, struct pending *pending, struct sessiond_reply *reply) {
    struct sessiond_async *async = holder;
    sessiond_async_callback callback = pending->callback;
    void *data = pending->data;
    exchange_drop(&async->exchange, pending);
    callback(reply, data);
}

static void have_event(void *holder, struct sessiond_event *event) {
    struct sessiond_async *async = holder;
    if (async->on_event && !async->is_closing)
        async->on_event(event, async->event_data);
    else
        sessiond_free(event);
}

void sessiond_async_on_event(struct sessiond_async *async, sessiond_async_event_callback callback, void *data) {
    async->on_event = callback;
    async->event_data = data;
}

static struct pending *oldest(struct sessiond_async *async) {
    struct list *pendings = &async->exchange.pendings;
    return list_is_empty(pendings) ? NULL : LIST_ENTRY(pendings->next, struct pending, link);
}

static void fail_timed_out(struct sessiond_async *async, struct pending *pending) {
    struct sessiond_error error = async->lost;
    if (async->exchange.state == EXCHANGE_READY || !error.code)
        failure_set(&error, SESSIOND_ERROR_TIMEOUT,
                    "The server did not answer within %lld ms; a write may or may not have been done.",
                    (long long)async->exchange.options.timeout_ms);
    exchange_fail(&async->exchange, pending, &error);
}

static void deadline_passed(uv_timer_t *timer) {
    struct sessiond_async *async = timer->data;
    update_now(async);
    int64_t now_ms = async->exchange.now_ms;
    bool is_silent = false;
    for (struct pending *pending; (pending = oldest(async)) && pending->deadline_ms <= now_ms;) {
        /* Nothing at all was heard since: the other side may be gone without a word. */
        is_silent = is_silent || (pending->is_written && async->exchange.received_at_ms <= pending->written_at_ms);
        fail_timed_out(async, pending);
        if (async->is_closing) return;
    }
    if (is_silent && async->exchange.state == EXCHANGE_READY)
        disconnect_for(async, SESSIOND_ERROR_CONNECTION, "Gave up the connection, which is silent, to", 0);
    arm_deadline(async);
}

/* The timer is left alone while it runs: the oldest deadline only moves away, and a timer that comes early looks again.
 */
static void arm_deadline(struct sessiond_async *async) {
    struct pending *pending = oldest(async);
    if (!pending || uv_is_active((uv_handle_t *)&async->deadline)) return;
    int64_t left_ms = pending->deadline_ms - (int64_t)uv_now(async->loop);
    uv_timer_start(&async->deadline, deadline_passed, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

/* ---------------------------------------------------------------- sending */

static void tell_refused(struct sessiond_async *async) {
    struct refused *refused = async->refused;
    async->refused = NULL;
    async->refused_end = &async->refused;
    while (refused) {
        struct refused *next = refused->next;
        refused->callback(refused->reply, refused->data);
        free(refused);
        refused = next;
    }
}

static void tell_later(uv_timer_t *timer) {
    tell_refused(timer->data);
}

static void refuse(struct sessiond_async *async, const struct sessiond_error *error, sessiond_async_callback callback,
                   void *data) {
    struct sessiond_reply *reply = reply_make_error(error);
    struct refused *refused = async->is_closing ? NULL : malloc(sizeof *refused);
    if (!refused) {
        callback(reply, data);
        return;
    }
    *refused = (struct refused){NULL, reply, callback, data};
    *async->refused_end = refused;
    async->refused_end = &refused->next;
    if (!uv_is_active((uv_handle_t *)&async->later)) uv_timer_start(&async->later, tell_later, 0, 0);
}

void sessiond_async_send(struct sessiond_async *async, struct sessiond_request *request,
                         sessiond_async_callback callback, void *data) {
    struct sessiond_error error;
    struct pending *pending = NULL;
    update_now(async);
    bool is_offline = async->exchange.state != EXCHANGE_READY;
    if (async->is_closing) {
        failure_set(&error, SESSIOND_ERROR_CLOSED, "The client is being closed.");
        sessiond_request_free(request);
    } else if (is_offline && async->exchange.pending_count >= async->max_offline) {
        failure_set(&error, SESSIOND_ERROR_OVERLOADED,
                    "%zu requests wait for a connection already; try again later, or raise max_offline.",
                    async->exchange.pending_count);
        sessiond_request_free(request);
    } else {
        pending = exchange_add(&async->exchange, request, &error);
    }
    if (!pending) {
        refuse(async, &error, callback, data);
        return;
    }
    pending->callback = callback;
    pending->data = data;
    pending->deadline_ms = async->exchange.now_ms + async->exchange.options.timeout_ms;
    arm_deadline(async);
}

void sessiond_async_call(struct sessiond_async *async, const char *method, struct sessiond_bytes params,
                         sessiond_async_callback callback, void *data) {
    sessiond_async_send(async, sessiond_request_make(method, params), callback, data);
}

const char *sessiond_async_namespace(const struct sessiond_async *async) {
    return async->exchange.namespace_name;
}
bool sessiond_async_is_connected(const struct sessiond_async *async) {
    return async->exchange.state == EXCHANGE_READY && !async->is_closing;
}
size_t sessiond_async_pending_count(const struct sessiond_async *async) {
    return async->exchange.pending_count;
}

/* ---------------------------------------------------------------- opening and closing */

static void add_timer(struct sessiond_async *async, uv_timer_t *timer) {
    uv_timer_init(async->loop, timer); /* cannot fail */
    timer->data = async;
    async->open_handles++;
}

int sessiond_async_open(uv_loop_t *loop, const char *url, const struct sessiond_async_options *options,
                        struct sessiond_async **out, struct sessiond_error *error) {
    *out = NULL;
    struct sessiond_async *async = calloc(1, sizeof *async);
    if (!async) return failure_set(error, SESSIOND_ERROR_CLIENT_MEMORY, "Memory for a client is lacking.");
    int code = url_parse(url, &async->url, error);
    if (code) {
        free(async);
        return code;
    }
    async->loop = loop;
    exchange_init(&async->exchange, options ? &options->client : NULL, async->url.namespace_name);
    async->exchange.answer = answered;
    async->exchange.event = have_event;
    async->exchange.holder = async;
    async->max_offline = options && options->max_offline ? options->max_offline : 1024;
    async->refused_end = &async->refused;
    failure_clear(&async->lost);
    uv_prepare_init(loop, &async->writer);
    async->writer.data = async;
    async->open_handles++;
    uv_prepare_start(&async->writer, write_out);
    add_timer(async, &async->deadline);
    add_timer(async, &async->attempt);
    add_timer(async, &async->later);
    if (error) failure_clear(error);
    *out = async;
    /* From the loop, so that even an attempt that fails at once does so there. */
    uv_timer_start(&async->attempt, attempt_over, 0, 0);
    return 0;
}

/* The last handle is closed: nothing of libuv points here any more but streams and lookups that know they were left. */
static void finish_close(struct sessiond_async *async) {
    struct sessiond_error error;
    failure_set(&error, SESSIOND_ERROR_CLOSED, "The client was closed before the answer came.");
    for (struct pending *pending; (pending = oldest(async));) exchange_fail(&async->exchange, pending, &error);
    tell_refused(async);
    exchange_fini(&async->exchange);
    if (async->closed) async->closed(async->closed_data);
    free(async);
}

static void handle_closed(uv_handle_t *handle) {
    struct sessiond_async *async = handle->data;
    if (--async->open_handles == 0) finish_close(async);
}

void sessiond_async_close(struct sessiond_async *async, void (*closed)(void *data), void *data) {
    if (!async || async->is_closing) return;
    async->is_closing = true;
    async->closed = closed;
    async->closed_data = data;
    drop_lookup(async);
    drop_link(async);
    uv_close((uv_handle_t *)&async->writer, handle_closed);
    uv_close((uv_handle_t *)&async->deadline, handle_closed);
    uv_close((uv_handle_t *)&async->attempt, handle_closed);
    uv_close((uv_handle_t *)&async->later, handle_closed);
}
