/* From bytes to requests to answers: the one place that knows the order of the steps.
 *
 * A round takes up to BATCH_MAX whole messages from the input: each is decoded and begun, all verbs go to the engine in
 * one submit, each request is ended in order. What must not wait for others in the same submit ends the round before
 * it: it is then the first of the next one. So requests of a connection execute, and are answered, in the order
 * received.
 *
 * Output is bounded although its size is known only after execution: once the output is at its mark, what is left of a
 * round is given up and executed again later, as far as nothing but reads follows. And a round is ended before a write
 * could make more record-bearing answers irrevocable than fit under the mark, judged by the largest record that any
 * answer has held so far.
 * What the engine wants submitted again (a pool is behind) is given up with all behind it in its round, and the
 * connection rests: of that nothing was executed. A step behind the first waits as one that is PENDING does.
 * On the loop's thread, inside a turn. */
#include "server/internal.h"

#include <stdlib.h>

/* What a record's answer takes beside its data and meta, generously for most. */
#define RECORD_FIELDS_BYTES 512

/* What became of one message. */
enum add_state {
    ADDED,      /* it is in the batch */
    ADD_ENOUGH, /* the batch is to be executed before this message is looked at */
    ADD_NOTHING /* no whole message is left */
};

/* What stands at the start of the input, before it is a request. */
struct message {
    enum decode_state state;
    struct frame frame;
    struct error error;
};

/* ---------------------------------------------------------------- answers */

static bool is_not_now(enum error_code code) {
    return code == ERROR_BUSY || code == ERROR_NO_MEMORY || code == ERROR_STORAGE || code == ERROR_READ_ONLY;
}

/* An answer to a request with an op_id is remembered; one that says "not now" is not, so that the repeat is executed.
 */
static void replay_finish(struct conn *conn, const struct request *request, struct replay_entry *entry,
                          struct bytes answer, uint64_t version) {
    struct replay *replay = conn->loop->server->replay;
    if (is_not_now(request->error.code)) {
        replay_drop(replay, entry);
        return;
    }
    /* [1, msgid, ...: what is behind the msgid serves any msgid. */
    struct mp_cursor cursor = mp_cursor_of(answer);
    mp_read_array(&cursor);
    mp_read_int(&cursor, 1, 1);
    mp_read_int(&cursor, 0, UINT32_MAX);
    assert(cursor.error == MP_OK);
    replay_keep(replay, entry, bytes_of(cursor.at, (size_t)(cursor.end - cursor.at)), request->is_secret, version,
                request->now_ms);
}

static void count_answer(struct metrics *metrics, const struct request *request) {
    metric_add(metrics, METRIC_REQUESTS_TOTAL, 1);
    counter_add(&metrics->requests[request->op], 1);
    if (request->is_notification) metric_add(metrics, METRIC_NOTIFICATIONS_TOTAL, 1);
    if (request->error.code == ERROR_NONE) return;
    metric_add(metrics, METRIC_ERRORS_TOTAL, 1);
    counter_add(&metrics->errors[request->error.code], 1);
}

/* Ends a request, or one step of it, unless it was refused. A streaming one has begun to write its answer itself. */
static void request_end(struct request *request, struct buf *out) {
    if (request->error.code != ERROR_NONE) return;
    if (!op_is_streaming(request->op)) codec_begin_result(out, request->msgid);
    op_defs[request->op].end(request, out);
}

/* Where a request's answer goes. */
static struct buf *answer_buffer(struct conn *conn, const struct request *request) {
    if (!request->is_notification && !conn->is_closed) return &conn->filling;
    struct buf *discarded = &conn->loop->discarded;
    if (discarded->capacity > SPARE_BUFFER_BYTES_MAX) buf_fini(discarded);
    buf_clear(discarded);
    discarded->is_secret = request->is_secret;
    return discarded;
}

/* What a request with secrets made for itself goes as soon as it is answered. Its input goes with the buffer that holds
 * it, its answer once it was sent. */
static void secrets_settle(struct conn *conn, struct request *request) {
    if (!request->is_secret) return;
    conn->input_is_secret = true;
    cipher_wipe(request->id_buffer, sizeof request->id_buffer);
    cipher_wipe(request->secret, sizeof request->secret);
    cipher_wipe(request->cookie_buffer, sizeof request->cookie_buffer);
}

/* Settles the answer of a request that was ended: it starts at `start` of `out` and depends on `version`. Where memory
 * is lacking for it, it is taken back whole and the connection is closed (conn_settle); its op_id stays reserved, since
 * it was executed. */
static inline void answer_settle(struct conn *conn, struct request *request, struct replay_entry *replay,
                                 struct buf *out, size_t start, uint64_t version) {
    if (request->error.code != ERROR_NONE) {
        if (!out->is_failed) out->size = start;
        codec_write_error(out, request->msgid, &request->error);
    }
    count_answer(&conn->loop->metrics, request);
    secrets_settle(conn, request);
    if (out->is_failed) {
        buf_cut(out, start);
        return;
    }
    if (replay) replay_finish(conn, request, replay, bytes_of(out->data + start, out->size - start), version);
    if (out == &conn->filling) gate_pass(conn, start, version, request->msgid);
}

void batch_answer(struct conn *conn, struct request *request, struct replay_entry *replay) {
    if (request->verb && request->verb->error.code != ERROR_NONE) request->error = request->verb->error;
    struct buf *out = answer_buffer(conn, request);
    size_t start = out->size;
    out->is_secret |= request->is_secret;
    request_end(request, out);
    answer_settle(conn, request, replay, out, start, request->verb ? request->verb->depends_on : 0);
}

/* ---------------------------------------------------------------- what may stand in one batch */

/* Its answer goes as far as the output mark by itself. */
static bool answers_several(const struct request *request) {
    return request->op == OP_POOL_ACQUIRE && request->args.pool_acquire.count > 1;
}

/* Executing it again later instead is the same to everybody: it reads, and leaves no trace. */
static bool is_rereadable(enum op op, const union op_args *args) {
    if (op == OP_SESSION_GET) return !args->session_get.touch;
    return op == OP_SESSION_COUNT || op == OP_NAMESPACE_DESCRIBE;
}

/* With this request, which cannot be given up again, as many answers with records become certain as `records` says.
 * True if they might not fit under the mark. One alone must always pass. */
static bool is_risk(const struct server_loop *loop, size_t records) {
    if (records <= 1) return false;
    size_t record_bytes = atomic_load_explicit(&loop->server->record_bytes_max, memory_order_relaxed);
    return records * (record_bytes + RECORD_FIELDS_BYTES) > loop->output_mark;
}

static void note_record(struct server *server, const struct verb *verb) {
    if (!verb->is_found || (verb->kind > VERB_MOVE && verb->kind != VERB_ACQUIRE)) return;
    size_t bytes = verb->session.data.size + verb->session.meta.size;
    size_t max = atomic_load_explicit(&server->record_bytes_max, memory_order_relaxed);
    while (bytes > max && !atomic_compare_exchange_weak(&server->record_bytes_max, &max, bytes)) {
    }
}

/* ---------------------------------------------------------------- remembered answers */

/* Every operation that writes has its namespace first, so that any of them tells where it stands. */
#define ARGS_NAMESPACE(args) ((args)->namespace_drop.namespace)
_Static_assert(offsetof(struct args_session_create, namespace) == offsetof(struct args_namespace_drop, namespace),
               "the namespace comes first");

static bool has_op_id(const struct request *request) {
    return (request->args.any.given & ~request->args.any.nil & op_infos[request->op].op_id_bit) != 0;
}

/* The encoded params of a message that decoding has found to be well formed. */
static struct bytes frame_params(struct bytes message, bool is_notification) {
    struct mp_cursor cursor = mp_cursor_of(message);
    mp_read_array(&cursor);
    for (int skipped = is_notification ? 2 : 3; skipped > 0; skipped--) mp_read_value(&cursor, 0);
    assert(cursor.error == MP_OK);
    return bytes_of(cursor.at, (size_t)(cursor.end - cursor.at));
}

static struct replay_key replay_key_of(const struct request *request, struct bytes message) {
    struct bytes given = ARGS_NAMESPACE(&request->args);
    struct replay_key key = {
        .namespace = bytes_is_absent(given) ? request->default_namespace : given,
        .op = request->op,
        .params = frame_params(message, request->is_notification),
    };
    memcpy(&key.op_id, (const char *)&request->args + op_infos[request->op].op_id_offset, sizeof key.op_id);
    return key;
}

void refuse_busy(struct request *request, const char *message, int64_t retry_after_ms) {
    request->error = error_make(ERROR_BUSY, message);
    request->error.retry_after_ms = retry_after_ms;
}

/* Answers with what `known` holds instead of executing. */
static void answer_known(struct conn *conn, const struct request *request, const struct buf *known, uint64_t version) {
    struct buf *out = answer_buffer(conn, request);
    size_t start = out->size;
    out->is_secret |= known->is_secret;
    conn->input_is_secret = true; /* nobody looked what it holds */
    mp_write_array(out, 4);
    mp_write_uint(out, 1);
    mp_write_uint(out, request->msgid);
    mp_write_raw(out, buf_bytes(known));
    if (out->is_failed)
        buf_cut(out, start);
    else if (out == &conn->filling)
        gate_pass(conn, start, version, request->msgid);
    count_answer(&conn->loop->metrics, request);
    metric_add(&conn->loop->metrics, METRIC_REPLAYS_TOTAL, 1);
}

static void refuse_replay(struct request *request, enum replay_state state) {
    if (state == REPLAY_MISMATCH)
        request->error =
            error_make(ERROR_BAD_REQUEST, "The op_id was used for another request; draw a new random one.");
    else if (state == REPLAY_RUNNING)
        refuse_busy(request, "The request with this op_id is running; ask for its answer again in a moment.",
                    RETRY_WHILE_RUNNING_MS);
    else
        refuse_busy(request, "The server remembers as many answers as it may; try again, or leave op_id out.",
                    RETRY_WHILE_FULL_MS);
}

/* Reserves the op_id of a request that has one, if it is new. Else: in an empty batch the request is answered from
 * memory (then false) or refused; in another one nothing is done (then false too), since what is known may be about to
 * change, and answers keep their order. */
static bool replay_enter(struct conn *conn, struct request *request, struct batch_item *item) {
    struct server_loop *loop = conn->loop;
    struct buf known = BUF_EMPTY;
    uint64_t version = 0;
    struct replay_key key = replay_key_of(request, item->frame);
    enum replay_state state =
        replay_begin(loop->server->replay, &key, request->now_ms, &item->replay, &known, &version);
    bool is_known = state == REPLAY_KNOWN && !known.is_failed;
    if (state != REPLAY_NEW && loop->batch.count == 0) {
        if (is_known)
            answer_known(conn, request, &known, version);
        else
            refuse_replay(request, state);
    }
    buf_fini(&known);
    return state == REPLAY_NEW || (loop->batch.count == 0 && !is_known);
}

/* ---------------------------------------------------------------- execution */

static void verb_clear(struct verb *verb) {
    memset(verb, 0, offsetof(struct verb, error));
    verb->error.code = ERROR_NONE;
    verb->depends_on = 0;
}

static void request_init(struct request *request, struct verb *verb, struct conn *conn, const struct message *message,
                         int64_t now_ms) {
    request->msgid = message->frame.msgid;
    request->is_notification = message->frame.is_notification;
    request->op = message->frame.op;
    request->verb = verb;
    request->error.code = ERROR_NONE;
    request->now_ms = now_ms;
    request->clock_offset_ms = atomic_load_explicit(&conn->loop->server->clock_offset_ms, memory_order_relaxed);
    request->default_namespace = bytes_of(conn->namespace_size ? conn->namespace : NULL, conn->namespace_size);
    request->conn = conn;
    request->out = NULL;
    request->answer_mark = conn->loop->output_mark;
    request->keys = conn->loop->keys;
    request->is_hashed = false;
    request->is_secret = op_infos[request->op].is_secret;
    request->shown_id = BYTES_ABSENT;
    verb_clear(verb);
}

/* Begins a request, unless it has an error already. One that asks nothing of the engine loses its verb: that becomes
 * the next request's. True: it is STEP_SAVE. */
static bool request_begin(struct batch *batch, struct request *request) {
    enum op_step step = STEP_ERROR;
    if (request->error.code != ERROR_NONE) request->is_secret = true; /* nobody looked what it holds */
    if (request->error.code == ERROR_NONE) step = op_defs[request->op].begin(request);
    assert((step == STEP_ERROR) == (request->error.code != ERROR_NONE));
    if (step != STEP_SUBMIT) {
        request->verb = NULL;
        return step == STEP_SAVE;
    }
    batch->verb_count++;
    return step == STEP_SAVE;
}

static void batch_submit(struct server_loop *loop, struct batch *batch, int64_t now_ms) {
    if (batch->verb_count == 0) return;
    loop->engine->vtable->submit(loop->engine, loop->index, batch->verbs, batch->states, batch->verb_count, now_ms);
    metric_add(&loop->metrics, METRIC_BATCHES_TOTAL, 1);
    metric_add(&loop->metrics, METRIC_BATCH_REQUESTS_TOTAL, batch->verb_count);
}

/* Leaves a request to the engine. Where memory is lacking to remember it, it can never be answered: what the client
 * gets is the end of the connection, and an acquire is given up. */
static void request_wait(struct conn *conn, const struct request *request, const struct batch_item *item) {
    struct server_loop *loop = conn->loop;
    if (loop_wait(loop, request, item)) return;
    conn->is_closing = true;
    metric_add(&loop->metrics, METRIC_NO_MEMORY_CLOSED_TOTAL, 1);
    if (request->verb->kind != VERB_ACQUIRE) return;
    bool is_cancelled = loop->engine->vtable->cancel(loop->engine, loop->index, request->verb->private[0]);
    if (is_cancelled && item->replay) replay_drop(loop->server->replay, item->replay);
}

/* The first request from which on all may be given up. */
static size_t batch_rereadable_from(const struct batch *batch) {
    size_t from = batch->count;
    while (from > 0 && batch->items[from - 1].is_rereadable) from--;
    return from;
}

/* The request was begun and not executed; it is begun anew, in a turn that the connection is given. */
static void request_give_up(struct conn *conn, struct request *request, const struct batch_item *item) {
    struct server_loop *loop = conn->loop;
    if (item->replay) replay_drop(loop->server->replay, item->replay);
    secrets_settle(conn, request);
    loop->turn_work += HEAVY_WORK;
    if (!conn->is_resting) loop_rest(loop, conn);
}

/* Submits what the batch holds and ends each request in order. Answers how many were answered or wait: the rest was
 * given up because the output is full or the engine is not so far, and is to be executed again. */
static size_t batch_execute(struct conn *conn, int64_t now_ms) {
    struct server_loop *loop = conn->loop;
    struct batch *batch = &loop->batch;
    batch_submit(loop, batch, now_ms);
    size_t rereadable_from = batch_rereadable_from(batch), i;
    for (i = 0; i < batch->count; i++) {
        struct request *request = &batch->requests[i];
        struct batch_item *item = &batch->items[i];
        if (i > 0 && i >= rereadable_from && conn_must_wait(conn)) break;
        if (request->verb && batch->states[request->verb - batch->verbs] == SUBMIT_AGAIN) {
            for (size_t j = i; j < batch->count; j++) request_give_up(conn, &batch->requests[j], &batch->items[j]);
            break;
        }
        if (request->verb && batch->states[request->verb - batch->verbs] == SUBMIT_PENDING) {
            request_wait(conn, request, item);
            continue;
        }
        if (request->verb) {
            note_record(loop->server, request->verb);
            if (loop->server->op_traits[request->op] & (TRAIT_COPIES | TRAIT_FIRST | TRAIT_LAST))
                loop->turn_work += work_of(loop, request);
        }
        batch_answer(conn, request, item->replay);
    }
    metric_add(&loop->metrics, METRIC_REREAD_TOTAL, batch->count - i);
    return i;
}

/* The engine has answered the verb of a step. */
static void step_answered(struct request *request) {
    if (!request->takes_errors) request->error = request->verb->error;
    if (request->verb->depends_on > request->depends_on) request->depends_on = request->verb->depends_on;
}

/* Has cookie secrets kept and put into force. False: that goes on, and server_loop_saved will tell. */
static bool save_execute(struct server_loop *loop, struct request *request) {
    struct keyring *keyring = loop->server->keyring;
    if (!keyring->save) {
        request->is_saved = keyring_set_cookie_secrets(keyring, request->save_namespace, request->save_secrets);
        return true;
    }
    struct keyring_ticket ticket = {loop->index, SAVE_TICKET | loop->save_count++};
    request->is_saved = false;
    request->verb = &loop->batch.verbs[0]; /* all zero, and stands for the step while it waits */
    request->verb->private[0] = ticket.number;
    return !keyring->save(keyring->save_context, ticket, request->save_namespace, request->save_secrets);
}

/* One step of a request that runs alone: begins it, and has the engine answer its verb. */
static enum submit_state step_execute(struct conn *conn, struct request *request) {
    struct server_loop *loop = conn->loop;
    struct batch *batch = &loop->batch;
    batch->verb_count = 0;
    request->is_unfinished = request->takes_errors = false;
    request->verb = &batch->verbs[0];
    verb_clear(request->verb);
    if (request_begin(batch, request)) return save_execute(loop, request) ? SUBMIT_DONE : SUBMIT_PENDING;
    batch_submit(loop, batch, request->now_ms);
    loop->turn_work += STEP_WORK;
    if (!request->verb) return SUBMIT_DONE;
    if (batch->states[0] != SUBMIT_DONE) return batch->states[0];
    step_answered(request);
    loop->turn_work += work_of(loop, request);
    return SUBMIT_DONE;
}

/* Ends a step whose verb was answered. True: there is another one. */
static bool step_end(struct request *request, struct buf *out, size_t start) {
    out->is_secret |= request->is_secret;
    request_end(request, out);
    bool is_unfinished = request->is_unfinished && request->error.code == ERROR_NONE && !out->is_failed;
    if (is_unfinished && !op_is_streaming(request->op)) out->size = start;
    request->step += is_unfinished;
    return is_unfinished;
}

/* The step cannot be executed yet, and those before it were: it waits for a later turn. */
static void step_wait(struct conn *conn, struct request *request, const struct batch_item *item) {
    if (loop_wait_again(conn->loop, request, item)) return;
    conn->is_closing = true;
    metric_add(&conn->loop->metrics, METRIC_NO_MEMORY_CLOSED_TOTAL, 1);
}

/* Takes the steps of a request, from that on at which it stands; is_answered: its verb holds that one's answer.
 * Where one is PENDING the rest waits for batch_go_on. False: not even the first could be executed, and it is given up.
 */
static bool steps_execute(struct conn *conn, struct request *request, const struct batch_item *item, bool is_answered) {
    struct buf *out = answer_buffer(conn, request);
    size_t start = out->size;
    request->out = out;
    request->output_mark = start + conn->loop->output_mark;
    do {
        enum submit_state state = is_answered ? SUBMIT_DONE : step_execute(conn, request);
        is_answered = false;
        if (state == SUBMIT_DONE) continue;
        if (state == SUBMIT_AGAIN && request->step == 0) {
            if (!out->is_failed) out->size = start; /* one that streams has begun its answer */
            request_give_up(conn, request, item);
            return false;
        }
        assert(!op_is_streaming(request->op) && out->size == start);
        state == SUBMIT_AGAIN ? step_wait(conn, request, item) : request_wait(conn, request, item);
        return true;
    } while (step_end(request, out, start));
    answer_settle(conn, request, item->replay, out, start, request->depends_on);
    return true;
}

/* Executes a request that streams its answer or has several steps. False: it is given up. */
static bool execute_alone(struct conn *conn, struct request *request, const struct batch_item *item) {
    request->streamed_count = 0;
    request->step = 0;
    request->depends_on = 0;
    memset(request->carried, 0, sizeof request->carried);
    return steps_execute(conn, request, item, false);
}

void batch_go_on(struct conn *conn, struct request *request, const struct batch_item *item, bool is_answered) {
    conn->loop->recent_policy.namespace = BYTES_ABSENT;
    if (is_answered) step_answered(request);
    steps_execute(conn, request, item, is_answered);
}

/* ---------------------------------------------------------------- adding */

/* Answers a message that is whole and refused, or ends the connection where nothing behind it can be trusted. */
static void answer_refused(struct conn *conn, const struct message *message) {
    struct metrics *metrics = &conn->loop->metrics;
    conn->input_is_secret = true; /* nobody looked what it holds */
    if (message->state == DECODE_BROKEN) {
        metric_add(metrics, METRIC_BROKEN_TOTAL, 1);
        conn_break(conn, 0, &message->error);
        return;
    }
    if (!message->frame.is_notification) {
        size_t start = conn->filling.size;
        codec_write_error(&conn->filling, message->frame.msgid, &message->error);
        if (conn->filling.is_failed) conn->filling.size = start;
    }
    metric_add(metrics, METRIC_REQUESTS_TOTAL, 1);
    metric_add(metrics, METRIC_ERRORS_TOTAL, 1);
    counter_add(&metrics->errors[message->error.code], 1);
}

static void refuse_oversized(struct conn *conn, const struct message *message) {
    struct error error = error_make(ERROR_TOO_BIG, "The message is longer than the server takes; send less at once.");
    error.limit = conn->loop->max_frame;
    metric_add(&conn->loop->metrics, METRIC_OVERSIZED_TOTAL, 1);
    conn_break(conn, message->frame.is_notification ? 0 : message->frame.msgid, &error);
}

/* Whether a decoded request has to wait until those before it in the batch are answered: by what it is, or because it
 * would have the batch copy too much, or make too long answers certain. */
static inline bool must_be_first(const struct server_loop *loop, const struct request *request, unsigned traits,
                                 uint64_t copy_work, bool is_reread) {
    size_t records = loop->batch.record_replies + (traits & TRAIT_RECORD ? 1 : 0);
    if (traits & TRAIT_FIRST || (traits & TRAIT_ACQUIRE && answers_several(request))) return true;
    if (loop->batch.copy_work + copy_work > TURN_WORK_MAX) return true;
    return !is_reread && is_risk(loop, records);
}

/* It begins only while the turn has not had its share of such work: else one packet of them would hold up everybody for
 * seconds, and hold every copy that they replaced until the turn ends. */
static inline bool is_heavy(unsigned traits, uint64_t copy_work) {
    return traits & TRAIT_UNBOUNDED || copy_work > COPY_WORK_LIGHT;
}

/* An acquire that may have to wait for a session. */
static inline bool may_queue(unsigned traits, const struct request *request) {
    return traits & TRAIT_ACQUIRE && request->args.pool_acquire.wait_ms > 0;
}

/* Whether as many of the connection's acquires wait as may, those of this batch counted as if each did. */
static bool is_queue_full(const struct conn *conn) {
    return conn->queued_count + conn->loop->batch.queued >= conn->loop->max_waiting;
}

/* Takes a decoded request into the batch, or executes it at once where it cannot share one. */
static enum add_state batch_add_request(struct conn *conn, struct request *request, struct batch_item *item,
                                        size_t *size) {
    struct server_loop *loop = conn->loop;
    struct batch *batch = &loop->batch;
    unsigned traits = loop->server->op_traits[request->op];
    uint64_t work = traits & TRAIT_COPIES ? work_of_copy(loop, request) : 0;
    *size = 0;
    if (batch->count > 0 && must_be_first(loop, request, traits, work, item->is_rereadable)) return ADD_ENOUGH;
    if (is_heavy(traits, work) && loop->turn_work >= TURN_WORK_MAX) {
        loop_rest(loop, conn);
        return ADD_ENOUGH;
    }
    if (conn->has_ended && may_queue(traits, request)) request->args.pool_acquire.wait_ms = 0;
    if (may_queue(traits, request) && is_queue_full(conn)) {
        if (batch->queued > 0) return ADD_ENOUGH; /* perhaps none of those waits */
        refuse_busy(request, "As many acquires of this connection wait as may (max_waiting); wait for one of them.",
                    RETRY_WHILE_RUNNING_MS);
    } else if (atomic_load_explicit(&loop->server->is_draining, memory_order_relaxed)) {
        refuse_busy(request, "The server is stopping; try again, here or elsewhere.", RETRY_WHILE_DRAINING_MS);
    } else if (has_op_id(request) && !replay_enter(conn, request, item)) {
        if (batch->count == 0) *size = item->frame.size;
        return ADD_ENOUGH;
    }
    if (loop->journal && traits & TRAIT_WRITE && request->error.code == ERROR_NONE) gate_refuse_write(loop, request);
    *size = item->frame.size;
    if (traits & TRAIT_ALONE) {
        if (!execute_alone(conn, request, item)) *size = 0;
        return ADD_ENOUGH;
    }
    request_begin(batch, request);
    batch->queued += may_queue(traits, request);
    batch->record_replies += traits & TRAIT_RECORD ? 1 : 0;
    batch->copy_work += work;
    batch->count++;
    return traits & TRAIT_LAST ? ADD_ENOUGH : ADDED;
}

/* Takes the message at the start of `input` into the batch, or answers it at once. *size: how long it is, if it was. */
static enum add_state batch_add(struct conn *conn, struct bytes input, int64_t now_ms, size_t *size) {
    struct server_loop *loop = conn->loop;
    struct batch *batch = &loop->batch;
    struct request *request = &batch->requests[batch->count];
    struct batch_item *item = &batch->items[batch->count];
    struct message message;
    message.state = codec_decode(input, &message.frame, &request->args, &message.error);
    if (message.state == DECODE_INCOMPLETE) return ADD_NOTHING;
    bool is_oversized = message.state != DECODE_BROKEN && message.frame.size > loop->max_frame;
    if (batch->count > 0 && (message.state != DECODE_OK || is_oversized)) return ADD_ENOUGH;
    *size = message.state == DECODE_BROKEN ? input.size : message.frame.size;
    if (is_oversized || message.state != DECODE_OK) {
        is_oversized ? refuse_oversized(conn, &message) : answer_refused(conn, &message);
        return ADD_ENOUGH;
    }
    conn->has_spoken = true;
    request_init(request, &batch->verbs[batch->verb_count], conn, &message, now_ms);
    *item = (struct batch_item){.frame = bytes_of(input.data, message.frame.size),
                                .is_rereadable = is_rereadable(request->op, &request->args)};
    return batch_add_request(conn, request, item, size);
}

/* Fills a batch from `input` and executes it; answers how many bytes were executed. *is_exhausted: no whole message
 * is left. */
static size_t batch_round(struct conn *conn, struct bytes input, int64_t now_ms, bool *is_exhausted) {
    struct batch *batch = &conn->loop->batch;
    keyring_follow(conn->loop->server->keyring, &conn->loop->keys);
    conn->loop->recent_policy.namespace = BYTES_ABSENT;
    batch->count = batch->verb_count = batch->queued = batch->record_replies = batch->copy_work = 0;
    size_t room = conn->loop->max_in_flight - (conn->waiting_count - conn->queued_count), at = 0;
    if (room > BATCH_MAX) room = BATCH_MAX;
    enum add_state state = ADDED;
    while (state == ADDED && batch->count < room && at < input.size) {
        size_t size = 0;
        state = batch_add(conn, bytes_of(input.data + at, input.size - at), now_ms, &size);
        at += size;
    }
    *is_exhausted = state == ADD_NOTHING || at == input.size;
    if (batch->count == 0) return at;
    size_t executed = batch_execute(conn, now_ms);
    if (executed == batch->count) return at;
    *is_exhausted = false;
    return (size_t)(batch->items[executed].frame.data - input.data);
}

size_t batch_run(struct conn *conn, struct bytes input, int64_t now_ms) {
    if (!conn->filling.data) loop_take_buffer(conn->loop, &conn->filling);
    size_t at = 0;
    bool is_exhausted = false;
    while (!is_exhausted && at < input.size && !conn_must_wait(conn) && !conn->is_closing && !conn->filling.is_failed)
        at += batch_round(conn, bytes_of(input.data + at, input.size - at), now_ms, &is_exhausted);
    return at;
}
