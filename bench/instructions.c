/* How many instructions an operation takes in the whole core, from the bytes of a packet to those of the answers:
 *
 *     valgrind --tool=callgrind --instr-atstart=no bench_instructions [OPERATION[:DEPTH]]
 *
 * Run it by instructions.py, which reads what callgrind counts. Without sockets: an engine without a journal, one loop,
 * one connection, and what the shell does for a read: enter, feed, take the output, leave. Nothing depends on chance or
 * on the clock, so two runs of one build count the same to the instruction. Each cell (an operation at a depth) plays
 * its packets once to warm what is grown on demand, and once to be counted; a cell's name and its count of operations
 * are printed, and the counts are dumped under that name. One thread. */
#include "base/mp.h"
#include "op/engine_options.h"
#include "sessiond/server.h"

#include "micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

enum { SESSIONS = 4096, TOKENS = 512, POOL = 512, DATA = 300, ID = 43, TOKEN_MAX = 128, OPERATIONS = 2048 };

static struct engine *engine;
static struct server *server;
static struct server_loop *loop;
static struct conn *conn;
static int64_t now_ms = START;

static char ids[SESSIONS][ID + 1];
static char tokens[TOKENS][TOKEN_MAX + 1];
static struct prng chance;

/* ---------------------------------------------------------------- the core */

static void core_open(void) {
    struct engine_options options = {.loop_count = 1, .now_ms = START, .env = &env};
    engine_options_fill(&options);
    engine = memory_engine_open(&options);
    server = server_open(&(struct server_options){.loop_count = 1,
                                                  .now_ms = START,
                                                  .engine = engine,
                                                  .env = &env,
                                                  .limits = {.max_in_flight = 1024,
                                                             .max_waiting = 1024,
                                                             .output_mark = 1 << 20,
                                                             .max_frame = LIMIT_MAX_FRAME,
                                                             .op_id_memory = 1 << 20}});
    if (!engine || !server) abort();
    loop = server_loop_open(server, 0);
    conn = conn_open(loop, START);
}

static void core_close(void) {
    server_loop_enter(loop);
    conn_close(conn);
    server_loop_leave(loop);
    server_loop_close(loop);
    server_close(server);
    engine->vtable->close(engine);
}

/* One packet, as the shell plays it; copies the answers to `answers` unless that is NULL. */
static void play(struct bytes packet, struct buf *answers) {
    server_loop_enter(loop);
    conn_feed(conn, packet, now_ms++);
    struct bytes output = conn_output(conn);
    if (answers) {
        buf_clear(answers);
        buf_append(answers, output.data, output.size);
    }
    conn_output_sent(conn, output.size);
    server_loop_leave(loop);
}

/* ---------------------------------------------------------------- requests */

static void write_head(struct buf *out, const char *method, uint32_t argument_count) {
    static uint32_t msgid = 1u << 16; /* as a client's are that has been there for a while */
    mp_write_array(out, 4);
    mp_write_uint(out, 0);
    mp_write_uint(out, msgid++);
    mp_write_string(out, method);
    mp_write_array(out, argument_count);
    mp_write_string(out, "bench");
}

static void write_id(struct buf *out) {
    mp_write_string(out, ids[prng_below(&chance, SESSIONS)]);
}

static void write_true(struct buf *out, const char *option) {
    mp_write_map(out, 1);
    mp_write_string(out, option);
    mp_write_bool(out, true);
}

static void write_data(struct buf *out) {
    char text[DATA];
    memset(text, 'x', sizeof text);
    mp_write_map(out, 1);
    mp_write_string(out, "d");
    mp_write_str(out, bytes_of((uint8_t *)text, DATA - 6)); /* behind the heads of the map, the key and the text */
}

static void write_get(struct buf *out) {
    write_head(out, "session.get", 2);
    write_id(out);
}

static void write_get_touch(struct buf *out) {
    write_head(out, "session.get", 3);
    write_id(out);
    write_true(out, "touch");
}

static void write_touch(struct buf *out) {
    write_head(out, "session.touch", 2);
    write_id(out);
}

static void write_set(struct buf *out) {
    write_head(out, "session.set", 3);
    write_id(out);
    write_data(out);
}

static void write_validate(struct buf *out) {
    write_head(out, "session.validate", 3);
    mp_write_string(out, tokens[prng_below(&chance, TOKENS)]);
    write_true(out, "slide");
}

static void write_acquire(struct buf *out) {
    write_head(out, "pool.acquire", 2);
    mp_write_string(out, "proxies");
}

static const struct cell {
    const char *name;
    void (*write)(struct buf *out);
} cells[] = {
    {"get", write_get}, {"get_touch", write_get_touch}, {"touch", write_touch},
    {"set", write_set}, {"validate", write_validate},   {"acquire", write_acquire},
};
static const unsigned depths[] = {1, 16, 64};

/* ---------------------------------------------------------------- what is there before */

static void id_draw(char *id) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned i = 0; i < ID; i++) id[i] = digits[prng_next(&chance) >> 58];
}

static void expect(bool is_so, const char *what) {
    if (is_so) return;
    fprintf(stderr, "bench_instructions: %s\n", what);
    exit(1);
}

/* The token in the record that [1, msgid, nil, record] answers. */
static void token_take(const struct buf *answer, char *token) {
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(answer));
    struct bytes key = BYTES_ABSENT, text = BYTES_ABSENT;
    mp_read_array(&cursor);
    for (int skipped = 3; skipped > 0; skipped--) mp_read_value(&cursor, 0);
    for (uint32_t left = mp_read_map(&cursor); left > 0 && bytes_is_absent(text); left--) {
        key = mp_read_bytes(&cursor);
        if (bytes_equal(key, BYTES_LITERAL("token")))
            text = mp_read_bytes(&cursor);
        else
            mp_read_value(&cursor, MP_DEPTH_MAX);
    }
    expect(text.size > 0 && text.size <= TOKEN_MAX, "a create answered no token");
    memcpy(token, text.data, text.size);
}

static void load_sessions(struct buf *packet) {
    for (unsigned i = 0; i < SESSIONS; i++) {
        id_draw(ids[i]);
        buf_clear(packet);
        write_head(packet, "session.set", 3);
        mp_write_string(packet, ids[i]);
        write_data(packet);
        play(buf_bytes(packet), NULL);
    }
}

static void load_tokens(struct buf *packet) {
    struct buf answer = BUF_EMPTY;
    for (unsigned i = 0; i < TOKENS; i++) {
        buf_clear(packet);
        write_head(packet, "session.create", 2);
        mp_write_map(packet, 2);
        mp_write_string(packet, "token");
        mp_write_bool(packet, true);
        mp_write_string(packet, "data");
        write_data(packet);
        play(buf_bytes(packet), &answer);
        token_take(&answer, tokens[i]);
    }
    buf_fini(&answer);
}

/* As many sessions as the pool may have, none of which is ever used up. */
static void load_pool(struct buf *packet) {
    buf_clear(packet);
    write_head(packet, "pool.configure", 3);
    mp_write_string(packet, "proxies");
    mp_write_map(packet, 2);
    mp_write_string(packet, "max_pool_size");
    mp_write_uint(packet, POOL);
    mp_write_string(packet, "max_usage_count");
    mp_write_uint(packet, 1u << 30);
    play(buf_bytes(packet), NULL);
    for (unsigned i = 0; i < POOL; i++) {
        buf_clear(packet);
        write_head(packet, "pool.add", 2);
        mp_write_string(packet, "proxies");
        play(buf_bytes(packet), NULL);
    }
}

/* ---------------------------------------------------------------- cells */

/* Each answer is [1, msgid, nil, result], and the result none of nothing. */
static void answers_check(const struct buf *answers, unsigned count) {
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(answers));
    for (unsigned i = 0; i < count; i++) {
        expect(mp_read_array(&cursor) == 4 && mp_read_int(&cursor, 1, 1) == 1, "an answer is no envelope");
        mp_read_int(&cursor, 0, UINT32_MAX);
        expect(mp_read_nil(&cursor), "a request was refused");
        expect(!mp_read_nil(&cursor), "a session is missing");
        mp_read_value(&cursor, MP_DEPTH_MAX);
    }
    expect(cursor.error == MP_OK && cursor.at == cursor.end, "there are not as many answers as requests");
}

static void packet_write(const struct cell *cell, unsigned depth, struct buf *packet) {
    buf_clear(packet);
    for (unsigned i = 0; i < depth; i++) cell->write(packet);
}

static void cell_run(const struct cell *cell, unsigned depth) {
    static struct buf packets[OPERATIONS];
    struct buf answers = BUF_EMPTY;
    unsigned count = OPERATIONS / depth;
    char name[32];
    snprintf(name, sizeof name, "%s:%u", cell->name, depth);
    for (unsigned i = 0; i < count; i++) {
        packet_write(cell, depth, &packets[i]);
        play(buf_bytes(&packets[i]), &answers);
        answers_check(&answers, depth);
        packet_write(cell, depth, &packets[i]);
    }
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    for (unsigned i = 0; i < count; i++) play(buf_bytes(&packets[i]), NULL);
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
    printf("%s %u\n", name, count * depth);
    fflush(stdout);
    for (unsigned i = 0; i < count; i++) buf_fini(&packets[i]);
    buf_fini(&answers);
}

/* All cells, or those whose operation or whole name is `only`. */
static bool is_wanted(const struct cell *cell, unsigned depth, const char *only) {
    char name[32];
    snprintf(name, sizeof name, "%s:%u", cell->name, depth);
    return !only || strcmp(only, cell->name) == 0 || strcmp(only, name) == 0;
}

int main(int count, char **arguments) {
    struct buf packet = BUF_EMPTY;
    chance = prng_of(3);
    printf("compiler %s\n", __VERSION__);
    core_open();
    load_sessions(&packet);
    load_tokens(&packet);
    load_pool(&packet);
    buf_fini(&packet);
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        for (size_t j = 0; j < sizeof depths / sizeof *depths; j++)
            if (is_wanted(&cells[i], depths[j], count > 1 ? arguments[1] : NULL)) cell_run(&cells[i], depths[j]);
    core_close();
    return 0;
}
