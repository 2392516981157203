/* Watches: the operations watch.start and watch.stop, and what a connection is sent for them.
 *
 * Always true: a watch belongs to a connection and ends with it; the engine keeps events for the loop exactly while one
 * of its connections watches (or, after the last one went, until the loop's turn ends). Events are written between
 * whole messages only: at the start of a round, and where the loop's turn ends. A connection whose output is at its
 * mark is sent none until it has drained; each of its watches then gets one `lagged`, whose seq is that of the last
 * event that was left out, so that a reader who counts can follow: seq is always the last one plus 1, or plus missed.
 * An event that waits for the journal belongs to the watches that there were when it happened: one that began later is
 * not told of it, one that was stopped meanwhile still is, and goes when nothing waits any more.
 * Behind the answer to its start, and before anything else, a watch is told what expired while the server was down.
 * On the loop's thread, inside a turn, but for watches_close. */
#include "base/hash.h"
#include "op/op_table.gen.h"
#include "op/request.h"
#include "server/internal.h"

#include <stdlib.h>

struct watch {
    struct list link;      /* of the loop's */
    struct list conn_link; /* of the connection's */
    struct conn *conn;
    uint64_t number; /* among those of the connection, from 1 */
    uint64_t kinds;  /* EVENT_BIT of each that is wanted */
    bool wants_data;
    bool is_new;    /* nothing was told yet of the time before the server's start */
    uint64_t since; /* serials of the first event that is for it, and (0: none) of the first that is not any more */
    uint64_t until;
    uint64_t seq;                    /* of the last event, sent or not */
    uint64_t missed;                 /* not sent, and not told yet */
    struct bytes namespace;          /* the names stand behind the struct */
    struct bytes user, client, pool; /* absent: any */
    uint8_t names[];
};

/* ---------------------------------------------------------------- writing */

/* Writes a notification behind what is there already, and sees to it that the shell hears of it. */
static void watch_write(struct watch *watch, const struct event *event) {
    struct conn *conn = watch->conn;
    if (!conn->filling.data) loop_take_buffer(conn->loop, &conn->filling);
    size_t start = conn->filling.size;
    struct event_extra extra = {watch->number, watch->seq, watch->wants_data};
    codec_write_event(&conn->filling, event, &extra);
    if (conn->filling.is_failed) conn->filling.size = start; /* conn_settle closes it */
    metric_add(&conn->loop->metrics, METRIC_EVENTS_SENT_TOTAL, 1);
    loop_queue_notify(conn->loop, conn);
}

/* What waits for the journal is not the reader's fault. */
static bool conn_is_full(const struct conn *conn) {
    return conn_output_pending(conn) - gate_held_bytes(conn) >= conn->loop->output_mark;
}

static void watch_write_lagged(struct watch *watch) {
    struct event event = {.kind = EVENT_LAGGED, .missed = watch->missed};
    watch->missed = 0;
    watch_write(watch, &event);
    metric_add(&watch->conn->loop->metrics, METRIC_LAGGED_TOTAL, 1);
}

static void watch_miss(struct watch *watch, uint64_t count) {
    struct conn *conn = watch->conn;
    watch->seq += count;
    watch->missed += count;
    metric_add(&conn->loop->metrics, METRIC_EVENTS_MISSED_TOTAL, count);
    if (!conn->has_missed) loop_queue_notify(conn->loop, conn);
    conn->has_missed = true;
}

void watches_resume(struct conn *conn) {
    if (!conn->has_missed || conn->is_closing) return;
    for (struct list *link = conn->watches.next; link != &conn->watches; link = link->next) {
        struct watch *watch = LIST_ENTRY(link, struct watch, conn_link);
        if (conn_is_full(conn)) return;
        if (watch->missed) watch_write_lagged(watch);
    }
    conn->has_missed = false;
}

/* ---------------------------------------------------------------- from the engine */

static bool name_fits(struct bytes wanted, struct bytes name) {
    return bytes_is_absent(wanted) || bytes_equal(wanted, name);
}

static bool watch_wants(const struct watch *watch, const struct event *event) {
    if (event->serial < watch->since || (watch->until != 0 && event->serial >= watch->until)) return false;
    return watch->kinds & EVENT_BIT(event->kind) && bytes_equal(watch->namespace, event->namespace) &&
           name_fits(watch->user, event->user) && name_fits(watch->client, event->client) &&
           name_fits(watch->pool, event->pool);
}

static void watch_tell(struct watch *watch, const struct event *event) {
    struct conn *conn = watch->conn;
    if (conn->is_closing) return;
    if (conn_is_full(conn)) {
        watch_miss(watch, 1);
        return;
    }
    if (watch->missed) watch_write_lagged(watch);
    watch->seq++;
    watch_write(watch, event);
}

/* Namespaces are few and bounded, so nobody gains by choosing names that meet in one bucket. */
static struct list *loop_bucket(struct server_loop *loop, struct bytes namespace) {
    uint64_t hash = namespace.size;
    for (size_t i = 0; i < namespace.size; i++) hash = hash * 31 + namespace.data[i];
    return &loop->watches[hash_mix(hash) % WATCH_BUCKETS];
}

/* The engine does not say of whom the events were that are gone: every watch may have missed some. */
static void loop_tell_missed(struct server_loop *loop, uint64_t missed) {
    for (size_t i = 0; i < WATCH_BUCKETS; i++)
        for (struct list *link = loop->watches[i].next; link != &loop->watches[i]; link = link->next) {
            struct watch *watch = LIST_ENTRY(link, struct watch, link);
            if (watch->until != 0) continue;
            watch_miss(watch, missed);
            watches_resume(watch->conn);
        }
}

static void loop_tell(void *context, const struct event *event) {
    struct server_loop *loop = context;
    if (event->kind == EVENT_LAGGED) {
        loop_tell_missed(loop, event->missed);
        return;
    }
    /* The mark may have moved since the loop looked: an answer that waited for it goes before its event. */
    uint64_t newest = event->version > event->depends_on ? event->version : event->depends_on;
    if (loop->held_min != 0 && newest >= loop->held_min) gate_advance(loop);
    struct list *bucket = loop_bucket(loop, event->namespace);
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        struct watch *watch = LIST_ENTRY(link, struct watch, link);
        if (watch_wants(watch, event)) watch_tell(watch, event);
    }
}

/* Has the engine keep what somebody here wants; answers the serial of what happens from now on. */
static uint64_t loop_watch(struct server_loop *loop) {
    loop->has_watches_changed = false;
    return loop->engine->vtable->watch(loop->engine, loop->index, loop->watch_count > 0, loop->data_watch_count > 0);
}

static void watch_close(struct watch *watch) {
    struct conn *conn = watch->conn;
    struct server_loop *loop = conn->loop;
    list_remove(&watch->link);
    list_remove(&watch->conn_link);
    if (watch->until == 0) conn->watch_count--;
    loop->stopped_watch_count -= watch->until != 0;
    loop->new_watch_count -= watch->is_new;
    loop->watch_count--;
    loop->data_watch_count -= watch->wants_data;
    loop->has_watches_changed = true;
    metric_add(&loop->metrics, METRIC_WATCHES, (uint64_t)-1);
    free(watch);
}

/* Nothing waits any more of what happened while they watched. */
static void loop_close_stopped(struct server_loop *loop) {
    for (size_t i = 0; i < WATCH_BUCKETS && loop->stopped_watch_count > 0; i++)
        for (struct list *link = loop->watches[i].next, *next; link != &loop->watches[i]; link = next) {
            struct watch *watch = LIST_ENTRY(link, struct watch, link);
            next = link->next;
            if (watch->until != 0) watch_close(watch);
        }
}

/* For one watch. What is lost was anybody's. */
static void watch_tell_expired(void *context, const struct event *event) {
    struct watch *watch = context;
    if (event->kind == EVENT_LAGGED)
        watch_miss(watch, event->missed);
    else if (watch_wants(watch, event))
        watch_tell(watch, event);
}

static void loop_tell_new(struct server_loop *loop) {
    struct engine *engine = loop->engine;
    for (size_t i = 0; i < WATCH_BUCKETS && loop->new_watch_count > 0; i++)
        for (struct list *link = loop->watches[i].next; link != &loop->watches[i]; link = link->next) {
            struct watch *watch = LIST_ENTRY(link, struct watch, link);
            if (!watch->is_new) continue;
            watch->is_new = false;
            loop->new_watch_count--;
            engine->vtable->read_expired(engine, loop->index, loop->now_ms, watch_tell_expired, watch);
            watches_resume(watch->conn);
        }
}

void loop_tell_events(struct server_loop *loop) {
    if (loop->new_watch_count > 0) loop_tell_new(loop);
    if (loop->watch_count > 0) {
        loop_read_limits(loop);
        loop->events_wait = loop->engine->vtable->read_events(loop->engine, loop->index, loop_tell, loop);
    } else {
        loop->events_wait = 0;
    }
    if (loop->events_wait == 0 && loop->stopped_watch_count > 0) loop_close_stopped(loop);
    if (loop->has_watches_changed) loop_watch(loop);
}

/* ---------------------------------------------------------------- start and stop */

static struct bytes name_copy(uint8_t **at, struct bytes name) {
    if (bytes_is_absent(name)) return name;
    memcpy(*at, name.data, name.size);
    *at += name.size;
    return bytes_of(*at - name.size, name.size);
}

static struct watch *watch_make(const struct args_watch_start *args, struct bytes namespace) {
    struct watch *watch =
        calloc(1, sizeof *watch + namespace.size + args->user.size + args->client.size + args->pool.size);
    if (!watch) return NULL;
    uint8_t *at = watch->names;
    watch->namespace = name_copy(&at, namespace);
    watch->user = name_copy(&at, args->user);
    watch->client = name_copy(&at, args->client);
    watch->pool = name_copy(&at, args->pool);
    watch->kinds = args->given & ~args->nil & WATCH_START_KINDS ? args->kinds : UINT64_MAX;
    watch->wants_data = args->data;
    return watch;
}

static void watch_open(struct conn *conn, struct watch *watch) {
    struct server_loop *loop = conn->loop;
    watch->conn = conn;
    watch->number = ++conn->watch_number;
    list_append(loop_bucket(loop, watch->namespace), &watch->link);
    list_append(&conn->watches, &watch->conn_link);
    conn->watch_count++;
    loop->watch_count++;
    loop->data_watch_count += watch->wants_data;
    metric_add(&loop->metrics, METRIC_WATCHES, 1);
    watch->since = loop_watch(loop);
    watch->is_new = loop->engine->vtable->read_expired != NULL;
    loop->new_watch_count += watch->is_new;
}

static unsigned conn_stopped_watches(const struct conn *conn) {
    unsigned count = 0;
    for (const struct list *link = conn->watches.next; link != &conn->watches; link = link->next)
        count += LIST_ENTRY(link, struct watch, conn_link)->until != 0;
    return count;
}

/* It ends, at once unless something that happened before waits for the journal; of such a connection has only so many.
 */
static void watch_stop(struct watch *watch) {
    struct server_loop *loop = watch->conn->loop;
    if (loop->events_wait == 0 || conn_stopped_watches(watch->conn) >= LIMIT_MAX_WATCHES) {
        watch_close(watch);
        return;
    }
    watch->until = loop_watch(loop);
    watch->conn->watch_count--;
    loop->stopped_watch_count++;
}

void watches_close(struct conn *conn) {
    while (!list_is_empty(&conn->watches)) watch_close(LIST_ENTRY(conn->watches.next, struct watch, conn_link));
}

/* The first of its round, as stop is: what happened before belongs to the watches of before. */
enum op_step watch_start_begin(struct request *request) {
    struct conn *conn = request->conn;
    if (!(request->engine->vtable->features & ENGINE_EVENTS))
        return request_refuse(request, ERROR_UNKNOWN_METHOD, "This engine has no events.");
    if (!request_take_namespace(request, request->args.watch_start.namespace)) return STEP_ERROR;
    if (conn->watch_count >= LIMIT_MAX_WATCHES)
        return request_refuse_limit(request, ERROR_LIMIT,
                                    "The connection has as many watches as it may; stop one, or open another "
                                    "connection.",
                                    LIMIT_MAX_WATCHES);
    loop_tell_events(conn->loop);
    struct watch *watch = watch_make(&request->args.watch_start, request->verb->namespace);
    if (!watch) return request_refuse(request, ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
    watch_open(conn, watch);
    return STEP_ANSWER;
}

void watch_start_end(struct request *request, struct buf *out) {
    mp_write_map(out, 1);
    mp_write_string(out, "watch");
    mp_write_uint(out, request->conn->watch_number);
}

static struct watch *conn_find_watch(struct conn *conn, uint64_t number, struct bytes namespace) {
    for (struct list *link = conn->watches.next; link != &conn->watches; link = link->next) {
        struct watch *watch = LIST_ENTRY(link, struct watch, conn_link);
        if (watch->number == number && watch->until == 0 && bytes_equal(watch->namespace, namespace)) return watch;
    }
    return NULL;
}

/* `given` keeps for end whether there was one. */
enum op_step watch_stop_begin(struct request *request) {
    struct args_watch_stop *args = &request->args.watch_stop;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (!(args->given & ~args->nil & WATCH_STOP_WATCH))
        return request_refuse(request, ERROR_BAD_REQUEST, "Give the number of the watch that is to end, as watch.");
    loop_tell_events(request->conn->loop);
    struct watch *watch = conn_find_watch(request->conn, args->watch, request->verb->namespace);
    if (watch)
        watch_stop(watch);
    else
        args->given &= ~(uint64_t)WATCH_STOP_WATCH;
    return STEP_ANSWER;
}

void watch_stop_end(struct request *request, struct buf *out) {
    mp_write_bool(out, request->args.watch_stop.given & WATCH_STOP_WATCH);
}
