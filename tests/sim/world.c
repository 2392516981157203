/* The world's steps, and the comparison of every answer. One thread; the server's loops take turns in it. */
#define _GNU_SOURCE /* vasprintf */
#include "world.h"

#include "base/mp.h"
#include "op/engine_options.h"
#include "pair.h"
#include "scenario/naive_engine.h"
#include "support/json.h"
#include "wire/codec.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MS       INT64_C(1767225600000)
#define PURGED_SPAN_MS 20000 /* that passes at once where purges come all 100 ms */

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->chance, percent);
}

/* ---------------------------------------------------------------- telling */

static void note(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct world *world, const char *format, ...) {
    char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&line, format, arguments) < 0) abort();
    va_end(arguments);
    char **place = &world->transcript[world->transcript_count++ % TRANSCRIPT_MAX];
    free(*place);
    *place = line;
}

void world_note_bytes(struct world *world, const struct peer *peer, const char *arrow, struct bytes bytes) {
    char *text = json_of(bytes);
    size_t size = strlen(text);
    if (size && text[size - 1] == '\n') text[size - 1] = 0;
    note(world, "%5u  +%-9lld conn %ld %s %.600s", world->step, (long long)(world->now_ms - START_MS),
         (long)(peer - world->peers), arrow, text);
    free(text);
}

void world_fail(struct world *world, const char *why) {
    if (world->has_failed) return;
    world->has_failed = true;
    snprintf(world->failure_text, sizeof world->failure_text, "%s", why);
}

static void tell(const struct world *world) {
    unsigned tail = world->is_verbose ? TRANSCRIPT_MAX : TAIL_MAX;
    unsigned first = world->transcript_count > tail ? world->transcript_count - tail : 0;
    for (unsigned i = first; i < world->transcript_count; i++)
        fprintf(stderr, "%s\n", world->transcript[i % TRANSCRIPT_MAX]);
    fprintf(stderr, "seed %llu failed in step %u at +%lld: %s\n", (unsigned long long)world->seed, world->step,
            (long long)(world->now_ms - START_MS), world->failure_text);
}

/* The world that runs, so that an assertion of the server's is told with its seed too. */
static struct world *running;

static void on_abort(int number) {
    (void)number;
    snprintf(running->failure_text, sizeof running->failure_text, "an assertion failed");
    tell(running);
}

/* ---------------------------------------------------------------- turns */

void world_enter(struct world *world, unsigned loop) {
    if (world->is_in_turn[loop]) return;
    server_loop_enter(world->loops[loop]);
    world->is_in_turn[loop] = true;
}

static void leave(struct world *world, unsigned loop) {
    if (!world->is_in_turn[loop]) return;
    server_loop_leave(world->loops[loop]);
    world->is_in_turn[loop] = false;
}

void world_leave_all(struct world *world) {
    for (unsigned i = 0; i < world->loop_count; i++) leave(world, i);
}

static void settle(struct world *world);

/* Now and then all sessions change their places in memory, which nobody may ever see. */
static void move_sessions(struct world *world) {
    if (world->step % 8 == 0 && world->engine->vtable->move_all)
        world->engine->vtable->move_all(world->engine, world->now_ms);
}

/* Works off what is due on every loop. */
static int64_t reap_loop(struct world *world, unsigned index) {
    int64_t due;
    world_enter(world, index);
    for (int rounds = 0; (due = server_loop_advance(world->loops[index], world->now_ms, 1000)) <= world->now_ms;
         rounds++) {
        leave(world, index);
        world_enter(world, index);
        if (rounds > 10000) world_fail(world, "a loop is never done with what is due");
        if (rounds > 10000) return INT64_MAX;
    }
    leave(world, index);
    return due;
}

/* Answers when something will be due again. */
static int64_t reap_all(struct world *world) {
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < world->loop_count; i++) {
        int64_t due = reap_loop(world, i);
        if (due < next) next = due;
    }
    world->model.reaped_until = world->now_ms;
    purging_pass(&world->model, world->now_ms);
    settle(world);
    if (world->has_watches) hear_settled(world);
    return next;
}

void world_settle_all(struct world *world) {
    reap_all(world);
}

void world_tell_events(struct world *world) {
    for (unsigned i = 0; i < world->loop_count; i++) {
        world_enter(world, i);
        leave(world, i);
    }
    for (unsigned i = 0; i < world->peer_count && !world->has_failed; i++) {
        struct peer *peer = &world->peers[i];
        inbox_collect(world, peer);
        if (peer->is_prompt && conn_output(peer->conn).size > 0) world_read_all(world, peer);
    }
}

/* ---------------------------------------------------------------- comparing */

static const struct known *find_known(const struct world *world, const struct call *call) {
    for (unsigned i = world->known_count; i > 0; i--) {
        const struct known *known = &world->known[(i - 1) % KNOWN_MAX];
        if (known->op_id == call->op_id && strcmp(known->namespace, call->namespace) == 0 &&
            world->now_ms - known->answered_at < LIMIT_OP_ID_KEEP_MS)
            return known;
        if (world->known_count - i + 1 >= KNOWN_MAX) break;
    }
    return NULL;
}

static void remember(struct world *world, const struct sent *sent, struct bytes answer) {
    struct known *known = &world->known[world->known_count++ % KNOWN_MAX];
    strcpy(known->namespace, sent->call->namespace);
    known->op_id = sent->call->op_id;
    known->op = sent->call->op;
    known->tail = sent->tail;
    known->answer = model_copy(&world->model, answer);
    known->answered_at = world->now_ms;
}

/* The method may be named or numbered; what counts is which it is, and the bytes of the params. */
static bool is_same_request(const struct known *known, const struct sent *sent) {
    struct mp_cursor a = mp_cursor_of(known->tail), b = mp_cursor_of(sent->tail);
    mp_read_value(&a, 0), mp_read_value(&b, 0);
    return known->op == sent->call->op &&
           bytes_equal(bytes_of(a.at, (size_t)(a.end - a.at)), bytes_of(b.at, (size_t)(b.end - b.at)));
}

/* NULL: the answer is as expected. `encoded` is its error and result together. */
static const char *compare(struct world *world, const struct sent *sent, const struct answer *answer,
                           struct bytes encoded) {
    const struct known *known = sent->call->op_id ? find_known(world, sent->call) : NULL;
    if (known && is_same_request(known, sent))
        return bytes_equal(known->answer, encoded) ? NULL : "a repeat should be answered as the first was";
    if (known)
        return compare_error(&world->model, answer, "BAD_REQUEST") ? NULL
                                                                   : "another request under a known op_id is refused";
    if (sent->call->op_id && answer_is_refused(answer, "BUSY")) return around_refuse_busy(world, sent->call);
    const char *complaint = model_execute(&world->model, sent->call, world->now_ms, answer);
    /* What says "not now" is executed when it is repeated. */
    if (sent->call->op_id && !answer_is_refused(answer, "NO_MEMORY")) remember(world, sent, encoded);
    return complaint;
}

static void add_stats(struct world *world, struct bytes stats) {
    world->totals->rereads += (uint64_t)integer_of(map_value(stats, "reread_total"));
    world->totals->pauses += (uint64_t)integer_of(map_value(stats, "pauses_total"));
    world->totals->replays += (uint64_t)integer_of(map_value(stats, "replays_total"));
}

/* Executes in the model what is not answered: a notification, or an acquire that waits from here on. */
void world_execute(struct world *world, const struct sent *sent, struct peer *peer) {
    struct answer none = {BYTES_ABSENT, BYTES_ABSENT};
    tally_play(world->totals, sent->call->op, NULL);
    world->model.asker = (unsigned)(peer - world->peers);
    const char *complaint = model_execute(&world->model, sent->call, world->now_ms, &none);
    if (complaint) world_note_bytes(world, peer, "which waits", sent->tail), world_fail(world, complaint);
}

void world_compare(struct world *world, struct peer *peer, const struct sent *sent, const struct received *received) {
    struct answer answer = {received->error, received->result};
    world->totals->answers++;
    tally_play(world->totals, sent->call->op, &answer);
    world->model.asker = (unsigned)(peer - world->peers);
    if (sent->call->op == OP_SERVER_STATS) add_stats(world, answer.result);
    const char *complaint = compare(world, sent, &answer, received->both);
    if (complaint) world_note_bytes(world, peer, "which answers", sent->tail), world_fail(world, complaint);
}

/* Compares what the server has written since the last time. */
void world_take_answers(struct world *world, struct peer *peer) {
    run_woken(world);
    around_measure(world, true);
    inbox_collect(world, peer);
    inbox_compare(world, peer);
}

/* ---------------------------------------------------------------- a connection's steps */

static void read_answers(struct world *world, struct peer *peer, size_t size) {
    inbox_collect(world, peer); /* events may have come with the turn's end */
    if (of(world, 30) && size == conn_output(peer->conn).size && size > 0) {
        conn_output_fly(peer->conn);
        conn_output_landed(peer->conn);
    } else {
        conn_output_sent(peer->conn, size);
    }
    peer->parsed -= size;
    world_enter(world, peer->loop);
    around_measure(world, false);
    peer->state = conn_resume(peer->conn, world->now_ms);
    world_take_answers(world, peer);
}

/* What the connection's next request asks for is not worked off yet: its loop has more turns. */
static void wait_for_turn(struct world *world, const struct peer *peer) {
    if (conn_output_pending(peer->conn) > 0) return;
    leave(world, peer->loop);
    world_enter(world, peer->loop);
    server_loop_advance(world->loops[peer->loop], world->now_ms, 1000);
}

/* A prompt reader reads until nothing waits. */
void world_read_all(struct world *world, struct peer *peer) {
    unsigned rounds = 0;
    do {
        read_answers(world, peer, conn_output(peer->conn).size);
        if (peer->state != CONN_READING) wait_for_turn(world, peer);
        if (++rounds > 10000) world_fail(world, "a connection never goes on");
    } while (!world->has_failed && (peer->state != CONN_READING || conn_output(peer->conn).size > 0));
}

/* Where somebody waits for a hand-out, a piece ends with the next whole message: what stands behind it in the same
 * batch could end the session that was granted, before the grant is delivered. */
static size_t piece_of(const struct world *world, const struct peer *peer, size_t size) {
    bool has_waiting = world->model.waiter_count > 0;
    uint64_t end = 0;
    for (unsigned i = peer->queue_begin; i != peer->queue_end; i++) {
        const struct sent *sent = &peer->queue[i % QUEUE_MAX];
        if (sent->end_offset <= peer->fed) continue;
        if (!end) end = sent->end_offset;
        has_waiting |= sent->call->wait.is_given;
    }
    return has_waiting && end && end - peer->fed < size ? (size_t)(end - peer->fed) : size;
}

/* Between two connections a shell may pause the loop's turn, around a system call: nothing of it is looked at then. */
static void pause_turn(struct world *world, unsigned loop) {
    if (world->step % 4) return;
    server_loop_pause(world->loops[loop]);
    server_loop_resume(world->loops[loop]);
}

static void deliver_piece(struct world *world, struct peer *peer, size_t size) {
    if (peer->state == CONN_PAUSED && of(world, 80))
        return; /* a shell reads no more, but what it has read it may feed */
    world_enter(world, peer->loop);
    /* A copy that ends where the bytes do, and is gone afterwards: nothing may be read beyond it or kept of it. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, peer->outbox.data, size);
    buf_consume(&peer->outbox, size);
    peer->fed += size;
    around_measure(world, false);
    peer->state = conn_feed(peer->conn, bytes_of(copy, size), world->now_ms);
    pause_turn(world, peer->loop);
    free(copy);
    world_take_answers(world, peer);
    if (peer->is_prompt && !world->has_failed) world_read_all(world, peer);
    settle(world);
}

/* What happened on one connection may have answered those who wait on others. */
static void settle(struct world *world) {
    if (!world->has_pools || world->has_failed) return;
    run_woken(world);
    const char *complaint = model_pass_time(&world->model, world->now_ms);
    if (complaint) world_fail(world, complaint);
    for (unsigned i = 0; i < world->peer_count && !world->has_failed; i++) {
        struct peer *peer = &world->peers[i];
        inbox_collect(world, peer);
        inbox_compare(world, peer);
        if (peer->is_prompt && !world->has_failed && conn_output(peer->conn).size) world_read_all(world, peer);
    }
}

static void deliver(struct world *world, struct peer *peer, size_t size) {
    do {
        size_t piece = piece_of(world, peer, size);
        deliver_piece(world, peer, piece);
        size -= piece;
    } while (size > 0 && peer->state == CONN_READING && !world->has_failed);
}

static void append(struct world *world, struct peer *peer, const struct call *call, struct bytes tail) {
    struct buf message = BUF_EMPTY;
    mp_write_array(&message, call->is_notification ? 3 : 4);
    mp_write_uint(&message, call->is_notification ? 2 : 0);
    if (!call->is_notification) mp_write_uint(&message, call->msgid);
    mp_write_raw(&message, tail);
    world_note_bytes(world, peer, ">", buf_bytes(&message));
    buf_append(&peer->outbox, message.data, message.size);
    peer->issued += message.size;
    peer->queue[peer->queue_end++ % QUEUE_MAX] = (struct sent){call, tail, peer->issued};
    buf_fini(&message);
}

void world_issue(struct world *world, struct peer *peer, const struct call *drawn) {
    if (peer->queue_end - peer->queue_begin >= QUEUE_MAX - 1) return;
    struct call *call = model_alloc(&world->model, sizeof *call);
    *call = *drawn;
    call->msgid = world->msgid++;
    struct buf encoded = BUF_EMPTY;
    call_encode(call, &world->chance, &encoded);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&encoded));
    mp_read_array(&cursor);
    for (int heads = call->is_notification ? 1 : 2; heads > 0; heads--) mp_read_value(&cursor, 0);
    struct bytes tail = model_copy(&world->model, bytes_of(cursor.at, (size_t)(cursor.end - cursor.at)));
    buf_fini(&encoded);
    append(world, peer, call, tail);
    if (call_sweeps(call)) world->model.namespaces[model_namespace(&world->model, call->namespace)].sweeps_ahead++;
    if (call->op_id)
        world->repeatable[world->repeatable_count++ % KNOWN_MAX] = peer->queue[(peer->queue_end - 1) % QUEUE_MAX];
    bool is_hello = call->op == OP_SERVER_HELLO && (!call->has_version || call->version == PROTOCOL_VERSION);
    if (is_hello) strcpy(peer->default_namespace, call->namespace);
}

/* Sends a request with an op_id once more, here or elsewhere, as a client does that lost the answer. */
static void issue_repeat(struct world *world, struct peer *peer) {
    if (world->repeatable_count == 0 || peer->queue_end - peer->queue_begin >= QUEUE_MAX - 1) return;
    unsigned held = world->repeatable_count < KNOWN_MAX ? world->repeatable_count : KNOWN_MAX;
    unsigned back = 1 + (unsigned)below(world, held < 12 ? held : 12);
    const struct sent *sent = &world->repeatable[(world->repeatable_count - back) % KNOWN_MAX];
    struct call *call = model_alloc(&world->model, sizeof *call);
    *call = *sent->call;
    if (call_sweeps(call)) return;
    call->msgid = world->msgid++;
    append(world, peer, call, sent->tail);
}

static void open_peer(struct world *world, struct peer *peer) {
    buf_fini(&peer->outbox);
    memset(peer, 0, sizeof *peer);
    peer->loop = (unsigned)below(world, world->loop_count);
    peer->is_prompt = world->is_exact || of(world, 70);
    peer->conn = conn_open(world->loops[peer->loop], world->now_ms);
    peer->state = CONN_READING;
}

/* Ends a connection where all that was delivered is known to be executed; what was not is lost. */
static void replace_peer(struct world *world, struct peer *peer) {
    if (peer->state != CONN_READING) return;
    note(world, "%5u  conn %ld closes", world->step, (long)(peer - world->peers));
    world_enter(world, peer->loop);
    conn_close(peer->conn);
    model_cancel(&world->model, (unsigned)(peer - world->peers));
    hear_close(world, (unsigned)(peer - world->peers));
    open_peer(world, peer);
    settle(world);
}

/* Sends one request and takes its answer at once. */
void world_ask(struct world *world, struct peer *peer, const struct call *call) {
    if (world->has_failed) return;
    world_issue(world, peer, call);
    deliver(world, peer, peer->outbox.size);
}

/* ---------------------------------------------------------------- the world's steps */

/* Where there are pools or purging, each moment at which something is due comes by itself, as it does in a server: who
 * waits is served then, and what was retired is forgotten by the pool's timer alone. */
static void pass_time(struct world *world) {
    int64_t until = draw_moment(world);
    if (world->has_purging && until > world->now_ms + PURGED_SPAN_MS) until = world->now_ms + PURGED_SPAN_MS;
    while (world->is_timely && !world->has_failed) {
        int64_t due = reap_all(world);
        if (due > until) break;
        world->now_ms = due;
    }
    world->now_ms = until;
    if (world->is_timely && !world->has_failed) reap_all(world);
}

static void exact_step(struct world *world, struct peer *peer) {
    struct call call;
    if (world->is_timely || of(world, 60)) world->now_ms++;
    if (of(world, 30)) pass_time(world);
    if (of(world, 20) || world->is_timely) reap_all(world);
    if (world->has_failed) return;
    draw_call(world, peer->default_namespace, false, &call);
    world_issue(world, peer, &call);
    deliver(world, peer, peer->outbox.size);
    if (of(world, 70)) leave(world, peer->loop);
}

static void free_step(struct world *world, struct peer *peer) {
    struct call call;
    if (of(world, 25) && !world->has_pools) {
        pair_step(world);
        return;
    }
    unsigned choice = (unsigned)below(world, 100);
    if (choice < 45) {
        draw_call(world, peer->default_namespace, peer->is_prompt && !around_is_bounded(world), &call);
        world_issue(world, peer, &call);
    } else if (choice < 48) {
        issue_repeat(world, peer);
    } else if (choice < 70) {
        deliver(world, peer, of(world, 60) ? peer->outbox.size : below(world, peer->outbox.size + 1));
    } else if (choice < 78) {
        if (!peer->is_prompt) read_answers(world, peer, below(world, conn_output(peer->conn).size + 1));
    } else if (choice < 89) {
        pass_time(world);
    } else if (choice < 92) {
        unsigned loop = (unsigned)below(world, world->loop_count);
        world_enter(world, loop);
        move_sessions(world);
        server_loop_advance(world->loops[loop], world->now_ms, 1 + (unsigned)below(world, 20));
        settle(world);
    } else if (choice < 94) {
        reap_all(world);
    } else if (choice < 99) {
        leave(world, (unsigned)below(world, world->loop_count));
    } else {
        replace_peer(world, peer);
    }
}

/* ---------------------------------------------------------------- beginning and end */

static void world_random(void *context, void *out, size_t size) {
    struct world *world = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (uint8_t)below(world, 256);
}
static void world_wake(void *context, unsigned loop_index) {
    ((struct world *)context)->is_woken[loop_index] = true;
}

static void world_open(struct world *world, const struct world_options *asked) {
    static const char *const names[NAMESPACES_MAX] = {"web", "api", "jobs", "old"};
    static const uint32_t marks[] = {200, 1000, 5000, 65536};
    world->chance = world->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world->now_ms = START_MS;
    world->env = (struct env){.context = world, .random = world_random, .wake = world_wake, .point = pair_point};
    world->is_exact = of(world, 30);
    world->loop_count = 1 + (unsigned)below(world, LOOPS_MAX);
    world->peer_count = 1 + (unsigned)below(world, PEERS_MAX);
    struct engine_options engine = {.loop_count = world->loop_count,
                                    .shard_bits = 1 + (unsigned)below(world, 4),
                                    .pool_turn_steps = world_turns_are_small(world), /* else the default */
                                    .now_ms = START_MS,
                                    .limits = {.max_memory = 0, .max_namespaces = 100},
                                    .env = &world->env};
    engine_options_fill(&engine);
    world->engine = asked->is_naive ? naive_engine_open(&engine) : memory_engine_open(&engine);
    world->has_pools = of(world, 40) && (world->engine->vtable->features & ENGINE_POOLS);
    world->totals->with_pools += world->has_pools;
    struct server_options options = {.loop_count = world->loop_count,
                                     .now_ms = START_MS,
                                     .engine = world->engine,
                                     .env = &world->env,
                                     .limits = {.max_in_flight = 1 + (uint32_t)below(world, 200),
                                                .max_waiting = 1000,
                                                .output_mark = marks[below(world, 4)],
                                                .max_frame = LIMIT_MAX_FRAME,
                                                .op_id_memory = around_op_id_memory(world)}};
    const struct keys *keys = keys_make(&world->env);
    keyring_open(&world->keyring, keys, NULL, NULL);
    options.keyring = &world->keyring;
    world->server = server_open(&options);
    for (unsigned i = 0; i < world->loop_count; i++) world->loops[i] = server_loop_open(world->server, i);
    for (unsigned i = 0; i < world->peer_count; i++) open_peer(world, &world->peers[i]);
    world->watch_chance = world->seed * UINT64_C(0xd1342543de82ef95) + 7;
    world->has_watches = world->peer_count > 1 && chance_of(&world->watch_chance, 40);
    world->has_tokens = chance_of(&world->watch_chance, 30);
    world->has_clients = chance_of(&world->watch_chance, 50);
    world->has_cookies = chance_of(&world->watch_chance, 40);
    world->has_hashed = chance_of(&world->watch_chance, 40);
    model_open(&world->model);
    memcpy(world->model.id_key, keys->id_key, sizeof world->model.id_key);
    around_open(world, asked->is_naive);
    world->model.output_mark = options.limits.output_mark;
    world->model.pull = world_pull;
    world->model.pull_context = world;
    world->saved = calloc(1, sizeof *world->saved);
    if (!world->saved) abort();
    world->model.namespace_count = 1 + (unsigned)below(world, NAMESPACES_MAX);
    for (unsigned i = 0; i < world->model.namespace_count; i++) {
        strcpy(world->model.namespaces[i].name, names[i]);
        world->model.namespaces[i].policy = policy_defaults;
    }
}

static void world_close(struct world *world) {
    for (unsigned i = 0; i < world->peer_count; i++) {
        world_enter(world, world->peers[i].loop);
        conn_close(world->peers[i].conn);
        buf_fini(&world->peers[i].outbox);
    }
    for (unsigned i = 0; i < world->loop_count; i++) {
        leave(world, i);
        server_loop_close(world->loops[i]);
    }
    server_close(world->server);
    keyring_close(&world->keyring);
    world->engine->vtable->close(world->engine);
    model_close(&world->model);
    free(world->saved);
    for (unsigned i = 0; i < TRANSCRIPT_MAX; i++) free(world->transcript[i]);
    free(world);
}

bool world_run(uint64_t seed, const struct world_options *options, struct world_totals *totals) {
    struct world *world = calloc(1, sizeof *world);
    if (!world) abort();
    world->seed = seed;
    world->totals = totals;
    world->is_verbose = options->is_verbose;
    world->collides_sweeps = options->collides_sweeps;
    running = world;
    signal(SIGABRT, on_abort);
    world_open(world, options);
    struct peer *first = &world->peers[0];
    first->is_prompt = true;
    for (unsigned i = 0; i < world->model.namespace_count; i++) {
        struct call call;
        draw_first_policy(world, i, &call);
        if (of(world, 90)) world_ask(world, first, &call);
    }
    for (world->step = 1; world->step <= options->steps && !world->has_failed; world->step++) {
        struct peer *peer = &world->peers[below(world, world->peer_count)];
        hear_step(world);
        if (world->has_failed) break;
        around_step(world, peer);
        if (world->has_failed) break;
        world->is_exact ? exact_step(world, peer) : free_step(world, peer);
    }
    for (unsigned i = 0; i < world->peer_count && !world->has_failed; i++) {
        struct peer *peer = &world->peers[i];
        if (!peer->is_prompt) world_read_all(world, peer);
        peer->is_prompt = true;
        if (peer->outbox.size) deliver(world, peer, peer->outbox.size);
    }
    finish_look(world, first);
    world_ask(world, first, &(struct call){.op = OP_SERVER_STATS});
    finish_books(world, options);
    bool is_well = !world->has_failed || world->model.is_lost;
    if (!is_well || options->is_verbose) tell(world);
    for (unsigned i = 0; i < 3; i++) totals->full[i] += world->model.full[i];
    totals->loaded += world->model.loaded;
    totals->purges += world->model.purges, totals->on_clock += world->model.on_clock;
    totals->let_in += world->model.let_in, totals->reused += world->model.reused;
    world_close(world);
    return is_well;
}
