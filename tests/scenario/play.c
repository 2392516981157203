/* See play.h. */
#include "play.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mp.h"
#include "crypto/cipher.h"
#include "crypto/keys.h"
#include "op/engine_options.h"

/* ---- trouble */

void play_fail(struct play *play, const char *what) {
    printf("%s:%d: %s\n    (%s)\n", play->file, play->line, what, play->mode->name);
}

void play_broken(struct play *play, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", play->file, play->line, what);
    exit(2);
}

/* ---- the world */

static void random_fill(void *context, void *out, size_t size) {
    struct play *play = context;
    for (size_t i = 0; i < size; i++) {
        play->random_state ^= play->random_state << 13;
        play->random_state ^= play->random_state >> 7;
        play->random_state ^= play->random_state << 17;
        ((uint8_t *)out)[i] = (uint8_t)(play->random_state >> 32);
    }
}

static void wake(void *context, unsigned loop_index) {
    ((struct play *)context)->is_woken[loop_index] = true;
}

static void on_output(void *context, struct conn *conn);

static struct engine *engine_begin(struct play *play) {
    struct engine_options options = {.loop_count = LOOPS,
                                     .shard_bits = play->mode->shard_bits,
                                     .now_ms = play->now_ms,
                                     .limits = play->engine_limits,
                                     .env = &play->env,
                                     .journal = play->mode->is_late ? &play->late.journal : NULL};
    engine_options_fill(&options);
    return play->mode->engine_open(&options);
}

static void server_begin(struct play *play) {
    play->server = server_open(&(struct server_options){.loop_count = LOOPS,
                                                        .now_ms = play->now_ms,
                                                        .engine = play->engine,
                                                        .env = &play->env,
                                                        .keyring = &play->keyring,
                                                        .journal = play->mode->is_late ? &play->late.journal : NULL,
                                                        .limits = play->limits});
    server_set_clock_offset(play->server, play->offset_ms);
    for (unsigned i = 0; i < LOOPS; i++) {
        play->loops[i] = server_loop_open(play->server, i);
        server_loop_on_output(play->loops[i], on_output, play);
    }
}

static void server_end(struct play *play) {
    for (unsigned i = 0; i < CONN_MAX; i++) play_close_connection(play, i);
    play_run_woken(play);
    for (unsigned i = 0; i < LOOPS; i++) server_loop_close(play->loops[i]);
    server_close(play->server);
    if (play->engine->vtable->check) play->engine->vtable->check(play->engine);
}

void play_open(struct play *play) {
    play->random_state = 0x9e3779b97f4a7c15u;
    play->env = (struct env){.context = play, .random = random_fill, .wake = wake};
    play->now_ms = BASE_MS;
    play->is_exact = play->mode->is_reaping;
    play->is_well = true;
    play->engine_limits = (struct engine_limits){.max_memory = 0, .max_namespaces = 1000};
    play->limits = (struct server_limits){.max_in_flight = 1024,
                                          .max_waiting = 1000,
                                          .output_mark = 1 << 20,
                                          .max_frame = LIMIT_MAX_FRAME,
                                          .op_id_memory = 1 << 20};
    late_open(&play->late, &play->env);
    play->engine = play->late.engine = engine_begin(play);
    if (!cipher_open()) play_broken(play, "there is no cryptography here");
    keyring_open(&play->keyring, keys_make(&play->env), NULL, NULL);
    server_begin(play);
}

bool play_restart(struct play *play) {
    server_end(play);
    struct engine *fresh = engine_begin(play);
    const char *why = late_recover(&play->late, fresh, play->now_ms);
    if (why) play_fail(play, why);
    play->engine->vtable->close(play->engine);
    play->engine = play->late.engine = fresh;
    server_begin(play);
    play->restarts++;
    return !why;
}

void play_set_offset(struct play *play, int64_t offset_ms) {
    play->offset_ms = offset_ms;
    server_set_clock_offset(play->server, offset_ms);
}

/* ---- bytes in, bytes out */

struct conn *play_conn(struct play *play) {
    struct conn **conn = &play->conns[play->conn_index];
    if (*conn) return *conn;
    *conn = conn_open(play->loops[play->conn_index % LOOPS], play->now_ms);
    conn_set_context(*conn, conn);
    return *conn;
}

static bool file_under(struct outstanding *one, uint64_t msgid, struct bytes message) {
    if (one->msgid != msgid || one->is_answered || one->is_moved) return false;
    one->is_answered = true;
    buf_append(&one->message, message.data, message.size);
    return true;
}

/* Puts one reply to its request; false: nobody asked for it. */
static bool file_reply(struct play *play, struct bytes message) {
    struct mp_cursor cursor = mp_cursor_of(message);
    mp_read_array(&cursor);
    mp_read_int(&cursor, 1, 1);
    uint64_t msgid = (uint64_t)mp_read_int(&cursor, 0, UINT32_MAX);
    for (unsigned i = 0; i < play->count; i++)
        if (file_under(&play->all[i], msgid, message)) return true;
    for (unsigned i = 0; i < WAITING_MAX; i++)
        if (play->waiting[i].name[0] && file_under(&play->waiting[i].request, msgid, message)) return true;
    return false;
}

/* Puts a message where it is looked for. */
static bool file_message(struct play *play, unsigned conn, struct bytes message) {
    struct mp_cursor cursor = mp_cursor_of(message);
    if (mp_read_array(&cursor) == 4 ? file_reply(play, message)
                                    : notices_add(&play->notices, conn, play->line, message))
        return true;
    play_fail(play, "an answer came that nobody asked for, or a notification that is no event or one too many");
    return false;
}

static bool take_output(struct play *play, unsigned index) {
    struct conn *conn = play->conns[index];
    if (play->is_stalled[index]) return true;
    struct bytes output = conn_output(conn);
    struct mp_cursor cursor = mp_cursor_of(output);
    while (cursor.at < cursor.end) {
        struct bytes message = value_read(&cursor);
        if (cursor.error) {
            play_fail(play, "the output holds no whole message");
            return false;
        }
        if (!file_message(play, index, message)) return false;
    }
    conn_output_sent(conn, output.size);
    return true;
}

/* Takes what a connection has to say, and has it go on with input that waited, until that waits for something else. */
static bool go_on(struct play *play, unsigned index, enum conn_state state) {
    bool is_well = take_output(play, index);
    while (is_well && state == CONN_PAUSED && !play->is_stalled[index]) {
        state = conn_resume(play->conns[index], play->now_ms);
        if (conn_output(play->conns[index]).size == 0) break;
        is_well = take_output(play, index);
    }
    return is_well;
}

/* The server has something to say to a connection that was not fed. */
static void on_output(void *context, struct conn *conn) {
    struct play *play = context;
    unsigned index = (unsigned)((struct conn **)conn_context(conn) - play->conns);
    play->is_well = go_on(play, index, CONN_PAUSED) && play->is_well;
}

/* Runs a loop's timers until nothing is due; answers when something will be. */
static int64_t run_loop(struct play *play, unsigned index) {
    int64_t next = play->now_ms;
    server_loop_enter(play->loops[index]);
    for (int rounds = 0; next <= play->now_ms; rounds++) {
        play->is_woken[index] = false;
        next = server_loop_advance(play->loops[index], play->now_ms, ADVANCE_BUDGET);
        if (rounds == 100000) play_broken(play, "the timers find no end");
    }
    server_loop_leave(play->loops[index]);
    return next;
}

/* Runs the loops that were woken, until none is. */
void play_run_woken(struct play *play) {
    for (unsigned i = 0, rounds = 0; i < LOOPS; i++) {
        if (!play->is_woken[i]) continue;
        if (++rounds == 100000) play_broken(play, "the loops wake each other for ever");
        run_loop(play, i);
        i = UINT32_MAX; /* from the first one on */
    }
}

/* Runs all timers; answers when the next one is due. */
int64_t play_run_timers(struct play *play) {
    int64_t next = INT64_MAX;
    for (unsigned i = 0; i < LOOPS; i++) {
        int64_t due = run_loop(play, i);
        if (due < next) next = due;
    }
    play_run_woken(play);
    return next;
}

static bool feed(struct play *play, struct bytes piece) {
    struct server_loop *loop = play->loops[play->conn_index % LOOPS];
    struct conn *conn = play_conn(play);
    server_loop_enter(loop);
    enum conn_state state = conn_feed(conn, piece, play->now_ms);
    bool is_well = go_on(play, play->conn_index, state);
    server_loop_leave(loop);
    return is_well && (play_run_woken(play), play->is_well);
}

/* Somebody wants to see what was answered: lets a late journal catch up, step by step. */
static bool catch_up(struct play *play) {
    while (play->is_well && late_move(&play->late)) play_run_woken(play);
    return play->is_well;
}

/* Feeds what has gathered: in one piece, message by message, or byte by byte. */
bool play_flush(struct play *play) {
    size_t at = 0;
    bool is_well = true;
    while (at < play->input.size && is_well) {
        struct bytes rest = bytes_of(play->input.data + at, play->input.size - at);
        struct mp_cursor cursor = mp_cursor_of(rest);
        if (play->mode->is_bytewise && rest.size < 5000)
            rest.size = 1;
        else if (play->mode->is_one_by_one)
            rest = value_read(&cursor);
        is_well = feed(play, rest);
        at += rest.size;
    }
    buf_clear(&play->input);
    return is_well && catch_up(play);
}

void play_close_connection(struct play *play, unsigned index) {
    if (!play->conns[index]) return;
    server_loop_enter(play->loops[index % LOOPS]);
    conn_close(play->conns[index]);
    server_loop_leave(play->loops[index % LOOPS]);
    play->conns[index] = NULL;
    play->is_stalled[index] = false;
}

/* The connection takes all that it was sent while it was stalled, and what the server sends it then. */
bool play_read_all(struct play *play) {
    struct server_loop *loop = play->loops[play->conn_index % LOOPS];
    play->is_stalled[play->conn_index] = false;
    server_loop_enter(loop);
    bool is_well = take_output(play, play->conn_index);
    conn_resume(play_conn(play), play->now_ms);
    is_well = is_well && take_output(play, play->conn_index);
    server_loop_leave(loop);
    play_run_woken(play);
    return is_well && play->is_well;
}

void play_close(struct play *play) {
    server_end(play);
    play->engine->vtable->close(play->engine);
    keyring_close(&play->keyring);
    late_close(&play->late);
    for (unsigned i = 0; i < play->count; i++) buf_fini(&play->all[i].message);
    for (unsigned i = 0; i < WAITING_MAX; i++) buf_fini(&play->waiting[i].request.message);
    notices_clear(&play->notices);
    captures_clear(&play->captures);
    buf_fini(&play->input);
}
