/* One loop: turns, time, spare buffers, requests that wait for the engine, and telling the shell of late output.
 *
 * Everything here is called on the loop's own thread. Between server_loop_enter and server_loop_leave what the engine
 * hands out stays valid; nothing of it is kept beyond. */
#include "server/internal.h"

#include <stdlib.h>

struct server_loop *server_loop_open(struct server *server, unsigned loop_index) {
    assert(loop_index < server->options.loop_count && !server->loops[loop_index]);
    struct server_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return NULL;
    loop->server = server;
    loop->engine = server->options.engine;
    loop->journal = server->options.journal;
    loop->index = loop_index;
    loop->keys = keyring_take(server->keyring);
    list_init(&loop->notify);
    list_init(&loop->resting);
    list_init(&loop->holding);
    list_init(&loop->stepping);
    for (size_t i = 0; i < WATCH_BUCKETS; i++) list_init(&loop->watches[i]);
    for (size_t i = 0; i < WAITING_BUCKETS; i++) list_init(&loop->waiting[i]);
    for (size_t i = 0; i < BATCH_MAX; i++) {
        loop->batch.requests[i].env = server->options.env;
        loop->batch.requests[i].engine = server->options.engine;
        loop->batch.requests[i].ids = &server->ids;
        loop->batch.requests[i].recent = &loop->recent_policy;
        loop->batch.requests[i].handles = &loop->handles;
        loop->batch.requests[i].server = server;
    }
    server->loops[loop_index] = loop;
    return loop;
}

static void loop_take_steps(struct server_loop *loop);

/* What was begun and cannot be given up comes to its end; nobody is there any more to hear of it. */
static void loop_finish_blocking(struct server_loop *loop) {
    while (loop->blocking_count > 0) {
        server_loop_enter(loop);
        int64_t next_ms = loop->engine->vtable->advance(loop->engine, loop->index, loop->now_ms, 1);
        if (next_ms > loop->now_ms && next_ms < INT64_MAX) loop->now_ms = next_ms; /* it waits for a moment */
        loop_take_steps(loop);
        server_loop_leave(loop);
    }
}

void server_loop_close(struct server_loop *loop) {
    loop_finish_blocking(loop);
    assert(!loop->is_in_turn && list_is_empty(&loop->notify) && list_is_empty(&loop->resting));
    assert(list_is_empty(&loop->holding));
    for (size_t i = 0; i < WAITING_BUCKETS; i++) assert(list_is_empty(&loop->waiting[i]));
    for (unsigned i = 0; i < loop->spare_count; i++) buf_fini(&loop->spares[i]);
    buf_fini(&loop->discarded);
    buf_fini(&loop->handles);
    keys_release(loop->keys);
    loop->server->loops[loop->index] = NULL;
    free(loop);
}

struct metrics *server_loop_metrics(struct server_loop *loop) {
    return &loop->metrics;
}

/* ---------------------------------------------------------------- turns and time */

void server_loop_enter(struct server_loop *loop) {
    assert(!loop->is_in_turn);
    loop->is_in_turn = true;
    loop->turn_work = 0;
    loop->engine->vtable->enter(loop->engine, loop->index);
}

/* Tells the shell of connections with late output. It may feed, resume and close connections from there. */
static void loop_notify(struct server_loop *loop) {
    while (!list_is_empty(&loop->notify)) {
        struct conn *conn = LIST_ENTRY(loop->notify.next, struct conn, link);
        list_remove(&conn->link);
        if (loop->on_output) loop->on_output(loop->on_output_context, conn);
    }
}

void server_loop_leave(struct server_loop *loop) {
    assert(loop->is_in_turn);
    loop_tell_events(loop);
    loop_notify(loop);
    loop->engine->vtable->leave(loop->engine, loop->index);
    loop->is_in_turn = false;
    if (loop->journal) gate_await(loop);
}

/* Requests are answered when their connection was fed, so nothing of the engine's is looked at between two of them. */
void server_loop_pause(struct server_loop *loop) {
    assert(loop->is_in_turn);
    if (loop->engine->vtable->pause) loop->engine->vtable->pause(loop->engine, loop->index);
}

void server_loop_resume(struct server_loop *loop) {
    assert(loop->is_in_turn);
    if (loop->engine->vtable->resume) loop->engine->vtable->resume(loop->engine, loop->index);
}

/* ---------------------------------------------------------------- heavy requests */

void loop_rest(struct server_loop *loop, struct conn *conn) {
    const struct env *env = loop->server->options.env;
    assert(!conn->is_resting);
    conn->is_resting = true;
    list_append(&loop->resting, &conn->resting_link);
    if (!loop->is_advancing) env->wake(env->context, loop->index);
}

/* Lets those that rest go on, each once and the longest waiting first, until the turn has had its share of work again.
 * True: some rest on. */
static bool loop_end_rests(struct server_loop *loop) {
    if (list_is_empty(&loop->resting)) return false;
    loop->turn_work = 0;
    list_init(&loop->mark);
    list_append(&loop->resting, &loop->mark);
    while (loop->resting.next != &loop->mark && loop->turn_work < TURN_WORK_MAX) {
        struct conn *conn = LIST_ENTRY(loop->resting.next, struct conn, resting_link);
        list_remove(&conn->resting_link);
        conn->is_resting = false;
        loop_queue_notify(loop, conn);
        loop_notify(loop);
    }
    list_remove(&loop->mark);
    return !list_is_empty(&loop->resting);
}

/* Once the server drains nobody waits any more: nothing that they wait for may still come. */
static void loop_end_waiting(struct server_loop *loop) {
    if (loop->has_drained || !atomic_load_explicit(&loop->server->is_draining, memory_order_relaxed)) return;
    loop->has_drained = true;
    for (size_t i = 0; i < WAITING_BUCKETS; i++) {
        for (struct list *link = loop->waiting[i].next, *next; link != &loop->waiting[i]; link = next) {
            struct waiting *waiting = LIST_ENTRY(link, struct waiting, link);
            struct conn *conn = waiting->conn;
            next = link->next;
            if (!waiting->is_queued) continue;
            loop_give_up(loop, waiting, "The server is stopping; try again, here or elsewhere.");
            loop_queue_notify(loop, conn);
        }
    }
}

int64_t server_loop_advance(struct server_loop *loop, int64_t now_ms, unsigned budget) {
    assert(loop->is_in_turn);
    loop->now_ms = now_ms;
    loop_end_waiting(loop);
    int64_t next_ms = loop->engine->vtable->advance(loop->engine, loop->index, now_ms, budget);
    loop_take_steps(loop);
    if (now_ms >= loop->forget_at) {
        struct server *server = loop->server;
        loop->forget_at = replay_forget(server->replay, loop->index, server->options.loop_count, now_ms, budget);
        /* What is answered from now on is old no earlier than this. */
        if (loop->forget_at > now_ms + LIMIT_OP_ID_KEEP_MS) loop->forget_at = now_ms + LIMIT_OP_ID_KEEP_MS;
    }
    if (loop->journal) gate_advance(loop);
    loop_notify(loop); /* what is written now leaves room for events */
    loop_tell_events(loop);
    loop_notify(loop);
    loop->is_advancing = true;
    bool is_resting_on = loop_end_rests(loop);
    loop->is_advancing = false;
    if (is_resting_on || !list_is_empty(&loop->stepping)) return now_ms;
    return next_ms < loop->forget_at ? next_ms : loop->forget_at;
}

void server_loop_on_output(struct server_loop *loop, void (*notify)(void *context, struct conn *conn), void *context) {
    loop->on_output = notify;
    loop->on_output_context = context;
}

void loop_queue_notify(struct server_loop *loop, struct conn *conn) {
    list_remove(&conn->link);
    list_append(&loop->notify, &conn->link);
}

void loop_read_limits(struct server_loop *loop) {
    const struct server *server = loop->server;
    loop->max_in_flight = atomic_load_explicit(&server->max_in_flight, memory_order_relaxed);
    loop->max_waiting = atomic_load_explicit(&server->max_waiting, memory_order_relaxed);
    loop->output_mark = atomic_load_explicit(&server->output_mark, memory_order_relaxed);
    loop->max_frame = atomic_load_explicit(&server->max_frame, memory_order_relaxed);
}

/* ---------------------------------------------------------------- spare buffers */

void loop_take_buffer(struct server_loop *loop, struct buf *buf) {
    assert(!buf->data);
    if (loop->spare_count == 0) return;
    *buf = loop->spares[--loop->spare_count];
    loop->spares_bytes -= buf->capacity;
}

void loop_give_buffer(struct server_loop *loop, struct buf *buf) {
    if (!buf->data) {
        buf_clear(buf);
    } else if (loop->spare_count < SPARE_BUFFERS_MAX && buf->capacity <= SPARE_BUFFER_BYTES_MAX &&
               loop->spares_bytes + buf->capacity <= SPARES_BYTES_MAX) {
        buf_clear(buf);
        loop->spares_bytes += buf->capacity;
        loop->spares[loop->spare_count++] = *buf;
        *buf = BUF_EMPTY;
    } else {
        buf_fini(buf);
    }
}

/* ---------------------------------------------------------------- requests that wait */

/* The arguments pointed into the connection's input; decoded again they point into the copy. */
static struct frame waiting_decode(const struct waiting *waiting, union op_args *args) {
    struct frame frame;
    struct error error;
    enum decode_state state = codec_decode(bytes_of(waiting->frame, waiting->frame_size), &frame, args, &error);
    assert(state == DECODE_OK);
    (void)state;
    return frame;
}

static struct request *request_copy(const struct request *request) {
    struct request *copy = malloc(sizeof *copy);
    if (copy) *copy = *request;
    return copy;
}

bool loop_wait(struct server_loop *loop, const struct request *request, const struct batch_item *item) {
    bool is_queued = request->verb->kind == VERB_ACQUIRE;
    bool has_steps = op_has_steps(request->op);
    struct request *whole = is_queued ? NULL : request_copy(request);
    struct verb *answered = has_steps ? malloc(sizeof *answered) : NULL;
    struct waiting *waiting = malloc(sizeof *waiting + item->frame.size);
    if (!waiting || (!whole && !is_queued) || (!answered && has_steps)) {
        free(waiting);
        free(whole);
        free(answered);
        return false;
    }
    *waiting = (struct waiting){.ticket = request->verb->private[0],
                                .conn = request->conn,
                                .replay = item->replay,
                                .is_queued = is_queued,
                                .is_blocking =
                                    request->verb->kind == VERB_END_ALL || (request->verb->private[0] & SAVE_TICKET),
                                .whole = whole,
                                .answered = answered,
                                .fields = request->fields,
                                .frame_size = item->frame.size};
    memcpy(waiting->frame, item->frame.data, item->frame.size);
    if (whole) waiting_decode(waiting, &whole->args);
    list_init(&waiting->link);
    list_append(&loop->waiting[waiting->ticket % WAITING_BUCKETS], &waiting->link);
    list_init(&waiting->conn_link);
    if (is_queued) list_append(&request->conn->queued, &waiting->conn_link);
    request->conn->waiting_count++;
    request->conn->queued_count += is_queued;
    request->conn->blocking_count += waiting->is_blocking;
    loop->blocking_count += waiting->is_blocking;
    metric_add(&loop->metrics, METRIC_PENDING, 1);
    return true;
}

bool loop_wait_again(struct server_loop *loop, struct request *request, const struct batch_item *item) {
    const struct env *env = loop->server->options.env;
    uint64_t ticket = SAVE_TICKET | loop->save_count++;
    request->verb->private[0] = ticket;
    if (!loop_wait(loop, request, item)) return false;
    struct waiting *waiting = LIST_ENTRY(loop->waiting[ticket % WAITING_BUCKETS].previous, struct waiting, link);
    assert(waiting->ticket == ticket && waiting->answered);
    waiting->is_again = true;
    list_remove(&waiting->link);
    list_append(&loop->stepping, &waiting->link);
    if (!loop->is_advancing) env->wake(env->context, loop->index);
    return true;
}

struct request *loop_request_of(struct server_loop *loop, struct waiting *waiting) {
    struct request *request = waiting->whole ? waiting->whole : &loop->late;
    if (!waiting->whole) {
        memset(request, 0, sizeof *request);
        struct frame frame = waiting_decode(waiting, &request->args);
        request->msgid = frame.msgid;
        request->is_notification = frame.is_notification;
        request->op = frame.op;
        request->fields = waiting->fields;
        request->conn = waiting->conn;
    }
    request->keys = loop->keys;
    request->out = NULL; /* only streaming operations write while the engine runs, and they never wait */
    if (loop->now_ms > request->now_ms) request->now_ms = loop->now_ms;
    return request;
}

void loop_forget_waiting(struct server_loop *loop, struct waiting *waiting) {
    struct conn *conn = waiting->conn;
    list_remove(&waiting->link);
    list_remove(&waiting->conn_link);
    conn->waiting_count--;
    conn->queued_count -= waiting->is_queued;
    conn->blocking_count -= waiting->is_blocking;
    loop->blocking_count -= waiting->is_blocking;
    metric_add(&loop->metrics, METRIC_PENDING, (uint64_t)-1);
    if (waiting->whole && waiting->whole->is_secret) {
        cipher_wipe(waiting->whole, sizeof *waiting->whole);
        cipher_wipe(waiting->frame, waiting->frame_size);
    }
    free(waiting->whole);
    free(waiting->answered);
    free(waiting);
}

void loop_settle_waiting(struct server_loop *loop, struct waiting *waiting) {
    struct conn *conn = waiting->conn;
    loop_forget_waiting(loop, waiting);
    if (!conn->is_closed)
        loop_queue_notify(loop, conn);
    else if (conn->waiting_count == 0)
        conn_free(conn);
}

void loop_note_step(struct server_loop *loop, struct waiting *waiting, const struct verb *verb) {
    *waiting->answered = *verb;
    list_remove(&waiting->link);
    list_append(&loop->stepping, &waiting->link);
}

static void loop_take_steps(struct server_loop *loop) {
    list_init(&loop->mark);
    list_append(&loop->stepping, &loop->mark);
    while (loop->stepping.next != &loop->mark) {
        struct waiting *waiting = LIST_ENTRY(loop->stepping.next, struct waiting, link);
        struct request *request = loop_request_of(loop, waiting);
        struct batch_item item = {.frame = bytes_of(waiting->frame, waiting->frame_size), .replay = waiting->replay};
        list_remove(&waiting->link);
        request->verb = waiting->answered;
        batch_go_on(waiting->conn, request, &item, !waiting->is_again);
        loop_settle_waiting(loop, waiting); /* one that is PENDING once more waits anew */
    }
    list_remove(&loop->mark);
}

void loop_give_up(struct server_loop *loop, struct waiting *waiting, const char *message) {
    assert(loop->is_in_turn && waiting->is_queued);
    if (!loop->engine->vtable->cancel(loop->engine, loop->index, waiting->ticket)) return;
    struct request *request = loop_request_of(loop, waiting);
    refuse_busy(request, message, RETRY_WHILE_DRAINING_MS);
    batch_answer(waiting->conn, request, waiting->replay);
    loop_forget_waiting(loop, waiting);
}
