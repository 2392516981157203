/* A server: what all loops share, and their opening and closing.
 *
 * Opened and closed on one thread, before the loops' threads begin and after they end; the setters are atomics and may
 * be called by any thread at any time. */
#include "server/internal.h"

#include <stdlib.h>

static bool server_done(void *context, unsigned loop_index, struct verb *verb);

/* The caller's keys, or some of its own. */
static bool keyring_begin(struct server *server, const struct server_options *options) {
    if (!cipher_open()) return false;
    server->keyring = options->keyring;
    if (server->keyring) return true;
    const struct keys *keys = keys_make(options->env);
    if (!keys) return false;
    keyring_open(&server->own_keyring, keys, NULL, NULL);
    server->keyring = &server->own_keyring;
    return true;
}

/* Before the loops' threads begin. */
static const struct keys *server_keys(struct server *server) {
    return atomic_load(&server->keyring->current);
}

struct server *server_open(const struct server_options *options) {
    assert(options->loop_count >= 1 && options->loop_count <= LOOP_COUNT_MAX);
    struct server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    server->replay = replay_open(options->env, options->limits.op_id_memory);
    if (!server->replay || !keyring_begin(server, options)) {
        if (server->replay) replay_close(server->replay);
        free(server);
        return NULL;
    }
    server->options = *options;
    id_maker_init(&server->ids, options->env, server_keys(server)->routing_key);
    server_set_limits(server, &options->limits);
    for (int op = 0; op < OP_COUNT; op++) server->op_traits[op] = op_traits_of((enum op)op);
    if (options->engine->vtable->set_done) options->engine->vtable->set_done(options->engine, server_done, server);
    return server;
}

void server_close(struct server *server) {
    for (size_t i = 0; i < LOOP_COUNT_MAX; i++) assert(!server->loops[i]);
    replay_close(server->replay);
    if (server->keyring == &server->own_keyring) keyring_close(server->keyring);
    free(server);
}

void server_set_limits(struct server *server, const struct server_limits *limits) {
    assert(limits->max_frame <= LIMIT_MAX_FRAME && limits->max_in_flight > 0 && limits->output_mark > 0);
    atomic_store_explicit(&server->max_in_flight, limits->max_in_flight, memory_order_relaxed);
    atomic_store_explicit(&server->max_waiting, limits->max_waiting, memory_order_relaxed);
    atomic_store_explicit(&server->output_mark, limits->output_mark, memory_order_relaxed);
    atomic_store_explicit(&server->max_frame, limits->max_frame, memory_order_relaxed);
    replay_set_bytes_max(server->replay, limits->op_id_memory);
}

void server_set_clock_offset(struct server *server, int64_t offset_ms) {
    atomic_store_explicit(&server->clock_offset_ms, offset_ms, memory_order_relaxed);
}

void server_set_draining(struct server *server) {
    const struct env *env = server->options.env;
    atomic_store(&server->is_draining, true);
    for (unsigned i = 0; i < server->options.loop_count; i++) env->wake(env->context, i);
}

void server_sum_metrics(const struct server *server, struct metric_sums *sums) {
    for (unsigned i = 0; i < server->options.loop_count; i++)
        if (server->loops[i]) metrics_sum(&server->loops[i]->metrics, sums);
}

/* ---------------------------------------------------------------- late answers */

static struct waiting *loop_find_waiting(struct server_loop *loop, uint64_t ticket) {
    struct list *bucket = &loop->waiting[ticket % WAITING_BUCKETS];
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        struct waiting *waiting = LIST_ENTRY(link, struct waiting, link);
        if (waiting->ticket == ticket) return waiting;
    }
    return NULL; /* memory was lacking when it should have been remembered; its connection was closed then */
}

/* Whether a session that is handed out reaches who waited for it, as far as can be told. Not who does not read: the
 * mark that holds requests back was passed by those that wait. */
static bool is_deliverable(const struct conn *conn) {
    return !conn->is_closed && conn_output_pending(conn) < (size_t)conn->loop->output_mark * QUEUED_OUTPUT_MARKS;
}

void server_loop_saved(struct server_loop *loop, uint64_t number, bool is_saved) {
    const struct env *env = loop->server->options.env;
    struct waiting *waiting = loop_find_waiting(loop, number);
    assert(loop->is_in_turn);
    if (!waiting) return;
    waiting->whole->is_saved = is_saved;
    struct verb answered = {.private = {number}};
    loop_note_step(loop, waiting, &answered);
    env->wake(env->context, loop->index);
}

/* The engine's answer to a PENDING verb, inside a turn of its loop. Only writes the answer: the shell hears of it later
 * in the turn, so that it cannot call into the engine from inside the engine. */
static bool server_done(void *context, unsigned loop_index, struct verb *verb) {
    struct server *server = context;
    struct server_loop *loop = server->loops[loop_index];
    assert(loop && loop->is_in_turn);
    struct waiting *waiting = loop_find_waiting(loop, verb->private[0]);
    if (!waiting) return false;
    if (waiting->whole && op_has_steps(waiting->whole->op)) {
        loop_note_step(loop, waiting, verb);
        return true;
    }
    struct conn *conn = waiting->conn;
    struct request *request = loop_request_of(loop, waiting);
    bool is_delivered = waiting->is_queued ? is_deliverable(conn) : !conn->is_closed;
    request->verb = verb;
    if (waiting->is_queued && !is_delivered && verb->error.code == ERROR_NONE) {
        /* The engine takes it back, so it is not remembered under its op_id either. */
        request->verb = NULL;
        refuse_busy(request, "The connection has too many answers waiting to be read; read them and try again.",
                    RETRY_WHILE_RUNNING_MS);
    }
    batch_answer(conn, request, waiting->replay);
    loop_settle_waiting(loop, waiting);
    return is_delivered;
}
