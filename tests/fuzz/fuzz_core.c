/* The whole core - codec, server, operations, memory engine - under any bytes on two connections and a clock of our
 * own: every request is answered once and in its place by a whole answer, a broken connection is told so and closed,
 * and at the end the engine's books are right and nothing is left.
 *
 * The input is a script. Its first three bytes choose the limits, the loops and how messages are cut. Then, byte by
 * byte:
 *
 *   00 to 3f   the clock goes on, by steps of 0 ms to 30 days
 *   40 to 7f   something else happens (see enum move)
 *   c1         the rest of the input is given as it stands
 *   others     a MessagePack value, given to the connection that is in use; without an end, the rest of the input
 *
 * No request begins with the bytes of the first three rows, so requests can stand in a script as they are. An input of
 * an odd size is played with a journal that is late: answers come in any order then, and at the end an engine that is
 * made of what the journal was told is right in its books, too. */
#include <string.h>

#include "base/mp.h"
#include "fuzz/target.h"
#include "op/engine_options.h"
#include "sessiond/server.h"
#include "support/late.h"
#include "wire/codec.h"

#define START_MS INT64_C(1767225600000)

enum { LOOPS = 2, PEERS = 2, CLOCK_STEPS_MAX = 300, REAP_ROUNDS_MAX = 100000 };

enum move {
    MOVE_CONNECTION, /* the other connection is in use */
    MOVE_READ,       /* all output of the connection in use is read */
    MOVE_READ_SOME,  /* a few bytes of it */
    MOVE_FLY,        /* it is handed over, and comes back */
    MOVE_LEAVE,      /* the turn ends */
    MOVE_ADVANCE,    /* timers, a few records */
    MOVE_REAP,       /* timers, until nothing is due */
    MOVE_REOPEN,     /* the connection is closed, another one takes its place */
    MOVE_LIMITS,     /* the engine's limits change */
    MOVE_DRAIN,      /* at the highest of these bytes the server begins to drain */
    MOVE_COUNT
};

struct peer {
    struct conn *conn;
    unsigned loop;
    enum conn_state state;
    struct buf fed;     /* all that this connection was given */
    struct buf answers; /* all that was read of it */
};

struct world {
    struct env env;
    uint64_t chance;
    int64_t now_ms;
    unsigned cut, clock_steps;
    struct engine *engine;
    bool is_late;
    struct late late; /* the journal, with is_late */
    struct server *server;
    struct server_loop *loops[LOOPS];
    bool is_in_turn[LOOPS];
    struct peer peers[PEERS], *peer;
};

/* ---- the world */

static void world_random(void *context, void *out, size_t size) {
    struct world *world = context;
    for (size_t i = 0; i < size; i++) {
        world->chance = world->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)out)[i] = (uint8_t)(world->chance >> 56);
    }
}

static void world_wake(void *context, unsigned loop_index) {
    REQUIRE(context && loop_index < LOOPS);
}

static void enter(struct world *world, unsigned loop) {
    if (!world->is_in_turn[loop]) server_loop_enter(world->loops[loop]);
    world->is_in_turn[loop] = true;
}

static void leave(struct world *world, unsigned loop) {
    if (world->is_in_turn[loop]) server_loop_leave(world->loops[loop]);
    world->is_in_turn[loop] = false;
}

static void reap(struct world *world) {
    for (unsigned loop = 0; loop < LOOPS; loop++) {
        unsigned rounds = 0;
        enter(world, loop);
        while (server_loop_advance(world->loops[loop], world->now_ms, 1000) <= world->now_ms) {
            REQUIRE(++rounds < REAP_ROUNDS_MAX);
            leave(world, loop);
            enter(world, loop);
        }
        leave(world, loop);
    }
}

static void peer_open(struct world *world, struct peer *peer) {
    enter(world, peer->loop);
    peer->conn = conn_open(world->loops[peer->loop], world->now_ms);
    REQUIRE(peer->conn);
    peer->state = CONN_READING;
}

static struct engine *engine_make(struct world *world, const uint8_t limits[3]) {
    static const uint64_t memories[] = {0, 1 << 20, 0, 300000};
    struct engine_options options = {
        .loop_count = LOOPS,
        .shard_bits = 1 + limits[0] % 4,
        .now_ms = world->now_ms,
        .limits = {.max_memory = memories[limits[0] / 4 % 4], .max_namespaces = 1 + limits[0] / 16},
        .env = &world->env,
        .journal = world->is_late ? &world->late.journal : NULL};
    engine_options_fill(&options);
    struct engine *engine = memory_engine_open(&options);
    REQUIRE(engine);
    return engine;
}

static void world_open(struct world *world, const uint8_t limits[3], bool is_late) {
    static const uint32_t marks[] = {4096, 200, 65536, 1};
    world->env = (struct env){.context = world, .random = world_random, .wake = world_wake};
    world->chance = 1;
    world->now_ms = START_MS;
    world->cut = limits[2];
    world->is_late = is_late;
    late_open(&world->late, &world->env);
    world->engine = world->late.engine = engine_make(world, limits);
    struct server_options options = {.loop_count = LOOPS,
                                     .now_ms = START_MS,
                                     .engine = world->engine,
                                     .env = &world->env,
                                     .journal = is_late ? &world->late.journal : NULL,
                                     .limits = {.max_in_flight = 1 + limits[1] / 4,
                                                .max_waiting = limits[2] % 8,
                                                .output_mark = marks[limits[1] % 4],
                                                .max_frame = 16384,
                                                .op_id_memory = 65536}};
    world->server = server_open(&options);
    REQUIRE(world->server);
    for (unsigned i = 0; i < LOOPS; i++) REQUIRE((world->loops[i] = server_loop_open(world->server, i)));
    for (unsigned i = 0; i < PEERS; i++) {
        world->peers[i].loop = i % LOOPS;
        peer_open(world, &world->peers[i]);
    }
    world->peer = world->peers;
}

/* ---- what the server answered */

/* One answer of a connection. */
struct answer {
    uint64_t msgid;
    bool is_fine, is_taken;
};
enum { ANSWERS_MAX = 20000 };

/* The next message, whole: true with an answer in *answer, false for an event. */
static bool read_message(struct mp_cursor *cursor, struct answer *answer) {
    bool is_answer = mp_read_array(cursor) == 4;
    if (!is_answer) {
        REQUIRE(mp_read_int(cursor, 2, 2) == 2 && bytes_equal(mp_read_bytes(cursor), BYTES_LITERAL("event")));
        REQUIRE(mp_read_array(cursor) == 1 && mp_peek(cursor) == MP_MAP);
        mp_read_value(cursor, MP_DEPTH_MAX);
        REQUIRE(cursor->error == MP_OK);
        return false;
    }
    REQUIRE(mp_read_int(cursor, 1, 1) == 1);
    *answer = (struct answer){.msgid = (uint64_t)mp_read_int(cursor, 0, UINT32_MAX)};
    answer->is_fine = mp_peek(cursor) == MP_NIL;
    REQUIRE(answer->is_fine || mp_peek(cursor) == MP_MAP);
    mp_read_value(cursor, MP_DEPTH_MAX);
    REQUIRE(answer->is_fine || mp_peek(cursor) == MP_NIL);
    mp_read_value(cursor, MP_DEPTH_MAX);
    REQUIRE(cursor->error == MP_OK);
    return true;
}

static size_t read_answers(const struct peer *peer, struct answer answers[ANSWERS_MAX]) {
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&peer->answers));
    size_t count = 0;
    while (cursor.at != cursor.end) {
        REQUIRE(count < ANSWERS_MAX);
        count += read_message(&cursor, &answers[count]);
    }
    return count;
}

/* Takes the first answer from `from` on that a request with that msgid may have got; `count`: there is none. */
static size_t take_answer(struct answer *answers, size_t from, size_t count, uint64_t msgid, bool must_fail) {
    while (from < count &&
           (answers[from].is_taken || answers[from].msgid != msgid || (must_fail && answers[from].is_fine)))
        from++;
    if (from < count) answers[from].is_taken = true;
    return from;
}

/* All that a connection was given against all that it answered, once nothing is left to be read: each request has its
 * answer, in their order unless a journal is late; only an acquire that waits is answered when it may be, or not yet.
 * Of a connection that is to be closed the last answer says why. */
static void check_conversation(const struct peer *peer, bool is_late) {
    static struct answer answers[ANSWERS_MAX];
    size_t count = read_answers(peer, answers);
    bool is_closing = peer->state == CONN_CLOSING;
    if (is_closing) {
        REQUIRE(count > 0 && !answers[count - 1].is_fine);
        count--;
    }
    /* Those that can only have failed first where there is no order, since several may have the same msgid. */
    for (unsigned pass = 0; pass < 3; pass++) {
        struct bytes rest = buf_bytes(&peer->fed);
        struct frame frame;
        union op_args args;
        struct error error;
        for (size_t next = 0; rest.size > 0; rest = bytes_of(rest.data + frame.size, rest.size - frame.size)) {
            enum decode_state state = codec_decode(rest, &frame, &args, &error);
            if (state == DECODE_INCOMPLETE || state == DECODE_BROKEN) break;
            bool may_wait = state == DECODE_OK && frame.op == OP_POOL_ACQUIRE && args.pool_acquire.wait_ms > 0;
            if (frame.is_notification || pass != (may_wait ? 2 : is_late && state == DECODE_REFUSED ? 0 : 1)) continue;
            size_t taken = take_answer(answers, next, count, frame.msgid, state == DECODE_REFUSED);
            REQUIRE(taken < count || may_wait || is_closing);
            if (!may_wait && !is_late) next = taken < count ? taken + 1 : count;
        }
    }
    for (size_t i = 0; i < count; i++) REQUIRE(answers[i].is_taken);
}

static void keep_output(struct peer *peer, size_t size) {
    struct bytes output = conn_output(peer->conn);
    if (size > output.size) size = output.size;
    if (size) buf_append(&peer->answers, output.data, size);
    conn_output_sent(peer->conn, size);
}

static void resume(struct world *world, struct peer *peer) {
    if (peer->state == CONN_CLOSING) return;
    enter(world, peer->loop);
    peer->state = conn_resume(peer->conn, world->now_ms);
}

/* Lets a late journal catch up to the next version that is waited for. False: nobody waits. */
static bool catch_up(struct world *world) {
    for (unsigned i = 0; i < LOOPS; i++) leave(world, i);
    if (!late_move(&world->late)) return false;
    for (unsigned i = 0; i < LOOPS; i++) {
        enter(world, i);
        server_loop_advance(world->loops[i], world->now_ms, 1000);
        leave(world, i);
    }
    return true;
}

/* Reads until nothing waits; what was paused goes on in between. */
static void read_all(struct world *world, struct peer *peer) {
    do {
        keep_output(peer, SIZE_MAX);
        resume(world, peer);
    } while ((world->is_late && catch_up(world)) || conn_output(peer->conn).size > 0);
    REQUIRE(peer->state != CONN_PAUSED);
    REQUIRE(conn_output_pending(peer->conn) == 0); /* an acquire may still wait */
}

static void fly(struct world *world, struct peer *peer) {
    if (conn_output(peer->conn).size == 0) return;
    struct bytes flying = conn_output_fly(peer->conn);
    buf_append(&peer->answers, flying.data, flying.size);
    conn_output_landed(peer->conn);
    resume(world, peer);
}

/* ---- what the script does */

static void peer_close(struct world *world, struct peer *peer) {
    read_all(world, peer);
    check_conversation(peer, world->is_late);
    enter(world, peer->loop);
    conn_close(peer->conn);
    buf_clear(&peer->fed);
    buf_clear(&peer->answers);
}

/* One read: from memory of its own, which is gone afterwards. */
static void feed_piece(struct world *world, const uint8_t *data, size_t size) {
    struct peer *peer = world->peer;
    if (peer->state == CONN_PAUSED) read_all(world, peer);
    if (peer->state == CONN_CLOSING) return;
    uint8_t *copy = malloc(size);
    if (!copy) abort();
    memcpy(copy, data, size);
    buf_append(&peer->fed, data, size);
    enter(world, peer->loop);
    peer->state = conn_feed(peer->conn, bytes_of(copy, size), world->now_ms);
    free(copy);
}

static void feed(struct world *world, const uint8_t *data, size_t size) {
    size_t step = world->cut ? world->cut : size;
    for (size_t at = 0; at < size; at += step) feed_piece(world, data + at, size - at < step ? size - at : step);
    if (world->peer->state != CONN_CLOSING) return;
    peer_close(world, world->peer);
    peer_open(world, world->peer);
}

static void pass_time(struct world *world, unsigned step) {
    static const int64_t steps_ms[16] = {1,    0,     2,     5,      10,      50,       100,       499,
                                         1000, 10000, 59999, 600000, 3600000, 86400000, 604800000, 2592000000};
    if (world->clock_steps++ < CLOCK_STEPS_MAX) world->now_ms += steps_ms[step % 16] + (step >= 32 ? 1 : 0);
}

static void set_limits(struct world *world, unsigned amount) {
    struct engine_limits limits = {.max_memory = amount % 2 ? 0 : 1 + amount * 100000, .max_namespaces = 1 + amount};
    world->engine->vtable->set_limits(world->engine, &limits);
}

static void move(struct world *world, unsigned which) {
    struct peer *peer = world->peer;
    unsigned amount = which / MOVE_COUNT;
    switch ((enum move)(which % MOVE_COUNT)) {
    case MOVE_CONNECTION: world->peer = &world->peers[1 - (peer - world->peers)]; break;
    case MOVE_READ: read_all(world, peer); break;
    case MOVE_READ_SOME:
        keep_output(peer, 1 + amount);
        resume(world, peer);
        break;
    case MOVE_FLY: fly(world, peer); break;
    case MOVE_LEAVE: leave(world, amount % LOOPS); break;
    case MOVE_ADVANCE:
        enter(world, amount % LOOPS);
        server_loop_advance(world->loops[amount % LOOPS], world->now_ms, 1 + amount);
        break;
    case MOVE_REAP: reap(world); break;
    case MOVE_REOPEN:
        peer_close(world, peer);
        peer_open(world, peer);
        break;
    case MOVE_LIMITS: set_limits(world, amount); break;
    case MOVE_DRAIN:
        if (amount == (0x3f - MOVE_DRAIN) / MOVE_COUNT) server_set_draining(world->server);
        break;
    case MOVE_COUNT: break;
    }
}

static void play(struct world *world, const uint8_t *data, size_t size) {
    while (size > 0) {
        size_t taken = 1;
        if (*data < 0x40) {
            pass_time(world, *data);
        } else if (*data < 0x80) {
            move(world, *data - 0x40u);
        } else {
            struct mp_scan scan = {0};
            enum mp_error error;
            taken = mp_scan_feed(&scan, bytes_of(data, size), &error) ? scan.scanned : size;
            feed(world, data, taken);
        }
        data += taken, size -= taken;
    }
}

/* ---- the end */

/* Another engine in the place of this one, as after a restart. */
static void world_recover(struct world *world, const uint8_t limits[3]) {
    struct engine *fresh = engine_make(world, limits);
    REQUIRE(!late_recover(&world->late, fresh, world->now_ms));
    fresh->vtable->check(fresh);
    world->engine->vtable->close(world->engine);
    world->engine = fresh;
}

static void world_close(struct world *world, const uint8_t limits[3]) {
    for (unsigned i = 0; i < PEERS; i++) {
        peer_close(world, &world->peers[i]);
        buf_fini(&world->peers[i].fed);
        buf_fini(&world->peers[i].answers);
    }
    for (unsigned i = 0; i < LOOPS; i++) leave(world, i);
    world->engine->vtable->check(world->engine);
    reap(world);
    world->engine->vtable->check(world->engine);
    for (unsigned i = 0; i < LOOPS; i++) server_loop_close(world->loops[i]);
    server_close(world->server);
    if (world->is_late) world_recover(world, limits);
    late_close(&world->late);
    world->engine->vtable->close(world->engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    struct world *world = calloc(1, sizeof *world);
    if (!world) abort();
    world_open(world, data, size % 2);
    play(world, data + 3, size - 3);
    world_close(world, data);
    free(world);
    return 0;
}
