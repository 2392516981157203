/* Plays scripts against the whole core - server, operations, codec, memory engine - on a virtual clock.
 *
 *   scenario [--mode N] FILE...
 *
 * A script is one rule of the model: its name is the rule, its lines show it. Each line begins with what it does:
 *
 *   # words                   a remark
 *   at MS                     the clock stands at MS milliseconds after the start (2026-01-01)
 *   tick                      timers and reaper work off what is due
 *   > method params           a request; params as in value.h. Requests without a look at an answer between them are
 *                             fed in one piece, as one batch
 *   ~ method params           a notification
 *   < pattern                 the next answer is a result that fits
 *   ! CODE pattern            the next answer is this error, and its map fits (pattern may be left out)
 *   waits NAME                the next request has no answer yet, and is known by NAME from here on; or, where NAME is
 *                             known, that request still has none
 *   then NAME < pattern       by now the request NAME has been answered, with a result that fits
 *   then NAME ! CODE pattern  or with this error
 *   ^ pattern                 an event has come that fits: the first one of which none of its session (and watch) that
 *                             came before waits to be looked at; those of different sessions come in any order
 *   ^next pattern             the very next event of the connection fits
 *   ^none                     no event has come that was not looked at
 *   stall, read               from here on the connection takes nothing of what it is sent; then it takes all
 *   times N > method params   that request N times, %i in it counting from 1; none may fail, answers are not looked at
 *   times N < method params   the same, each fed by itself
 *   conn N                    goes on as connection N; even ones share a loop, and odd ones
 *   close                     closes the connection; the next request opens it anew
 *   offset MS                 server time minus wall time
 *   limit NAME VALUE          max_memory or max_namespaces of the engine, output_mark of the server
 *
 * Between two moments everything happens at its own millisecond, where timers run at every step and in scripts that
 * wait (wait_ms) or watch (watch.start); a loop that the engine wakes runs at once.
 *
 * Every script is played several times on a fresh server (see `modes`): what it shows may not hang on when timers ran,
 * on how requests were cut into pieces, on how many shards there are, on which engine it is, on answers having to wait
 * for a journal, or on the server being another one after each look, made from what the journal holds. One thread; no
 * clock, no socket. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mp.h"
#include "naive_engine.h"
#include "play.h"

static const struct mode modes[] = {
    {.name = "naive engine", .engine_open = naive_engine_open},
    {.name = "batched, timers never run by themselves", .engine_open = memory_engine_open},
    {.name = "one by one, timers run at every step",
     .is_reaping = true,
     .is_one_by_one = true,
     .shard_bits = 1,
     .engine_open = memory_engine_open},
    {.name = "byte by byte, timers run at every step",
     .is_reaping = true,
     .is_bytewise = true,
     .shard_bits = 4,
     .engine_open = memory_engine_open},
    {.name = "batched, every answer waits for a journal", .is_late = true, .engine_open = memory_engine_open},
    {.name = "one by one, every answer waits for a journal, timers run at every step",
     .is_reaping = true,
     .is_one_by_one = true,
     .is_late = true,
     .shard_bits = 1,
     .engine_open = memory_engine_open},
    {.name = "restarted after every answer, timers never run by themselves",
     .is_one_by_one = true,
     .is_late = true,
     .is_restarting = true,
     .engine_open = memory_engine_open},
    {.name = "restarted after every answer, timers run at every step",
     .is_reaping = true,
     .is_one_by_one = true,
     .is_late = true,
     .is_restarting = true,
     .shard_bits = 1,
     .engine_open = memory_engine_open},
};

/* ---- lines */

static struct reading reading_of(struct play *play, const char *text) {
    snprintf(play->place, sizeof(play->place), "%s:%d", play->file, play->line);
    return (struct reading){text, play->place, BASE_MS, &play->captures};
}

/* Watches, acquires that wait, places held by `ask`, remembered answers, a connection's namespace and the server's
 * counters. */
static bool ends_with_process(const char *text) {
    static const char *const words[] = {"watch.start", "wait_ms", "op_id", "server.", "\"ask\""};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(text, words[i])) return true;
    return false;
}

/* Appends one message: [0, msgid, method, params] or [2, method, params]. */
static void write_request(struct play *play, const char *text, bool is_notification) {
    char method[64];
    int used = 0;
    if (sscanf(text, " %63s%n", method, &used) != 1) play_broken(play, "expected a method");
    if (strcmp(method, "watch.start") == 0 || strstr(text, "wait_ms")) play->is_exact = true;
    if (ends_with_process(text)) play->is_bound = true;
    struct reading reading = reading_of(play, text + used);
    mp_write_array(&play->input, is_notification ? 3 : 4);
    mp_write_uint(&play->input, is_notification ? 2 : 0);
    if (!is_notification) mp_write_uint(&play->input, play->msgid);
    mp_write_string(&play->input, method);
    if (reading_has_more(&reading))
        value_write(&reading, &play->input);
    else
        mp_write_array(&play->input, 0);
    if (reading_has_more(&reading)) play_broken(play, "something stands behind the params");
}

static void expect_reply(struct play *play) {
    if (play->count == REPLY_MAX) play_broken(play, "too many requests without a look at their answers");
    play->all[play->count++] = (struct outstanding){.line = play->line, .msgid = play->msgid++, .message = BUF_EMPTY};
}

/* Every answer must be looked at, else a script could show nothing. */
static bool settle(struct play *play) {
    if (!play_flush(play)) return false;
    if (play->looked_at < play->count) {
        play->line = play->all[play->looked_at].line;
        play_fail(play, "nobody looked at the answer to this");
        return false;
    }
    for (unsigned i = 0; i < play->count; i++) buf_fini(&play->all[i].message);
    play->count = play->looked_at = 0;
    return true;
}

/* The parts of an answer that came; false: none did. */
static bool open_reply(struct play *play, const struct outstanding *one, struct bytes *error, struct bytes *result) {
    if (!one->is_answered) {
        play_fail(play, "no answer came");
        return false;
    }
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&one->message));
    mp_read_array(&cursor), value_read(&cursor), value_read(&cursor);
    *error = value_read(&cursor);
    *result = value_read(&cursor);
    return true;
}

/* The next request whose answer is to be looked at; NULL: something went wrong. */
static struct outstanding *next_request(struct play *play) {
    if (!play_flush(play)) return NULL;
    if (play->looked_at == play->count) play_broken(play, "no request stands before this look");
    return &play->all[play->looked_at++];
}

/* The next reply's error and result. False: there is none. */
static bool next_reply(struct play *play, struct bytes *error, struct bytes *result) {
    const struct outstanding *one = next_request(play);
    return one && open_reply(play, one, error, result);
}

static bool is_nil(struct bytes value) {
    return value.size == 1 && value.data[0] == 0xc0;
}

static bool fail_with(struct play *play, const char *what, struct bytes value) {
    struct buf text = BUF_EMPTY;
    char message[1000];
    value_print(value, BASE_MS, &text);
    snprintf(message, sizeof(message), "%s %.*s", what, (int)text.size, text.data);
    buf_fini(&text);
    play_fail(play, message);
    return false;
}

static bool look_at_result(struct play *play, const char *pattern, const struct outstanding *one) {
    struct bytes error, result;
    char why[900];
    if (!one || !open_reply(play, one, &error, &result)) return false;
    if (!is_nil(error)) return fail_with(play, "expected a result, but an error came:", error);
    struct reading reading = reading_of(play, pattern);
    if (!value_match(&reading, result, why, sizeof(why))) {
        play_fail(play, why);
        return false;
    }
    if (reading_has_more(&reading)) play_broken(play, "something stands behind the pattern");
    return true;
}

static bool look_at_error(struct play *play, const char *text, const struct outstanding *one) {
    struct bytes error, result;
    char code[40], pattern[300], why[900];
    int used = 0;
    if (sscanf(text, " %39s%n", code, &used) != 1) play_broken(play, "expected an error's code");
    if (!one || !open_reply(play, one, &error, &result)) return false;
    if (is_nil(error)) return fail_with(play, "expected an error, but this came:", result);
    struct reading details = reading_of(play, text + used);
    snprintf(pattern, sizeof(pattern), "{\"code\": \"%s\", \"message\": _, *}", code);
    struct reading reading = reading_of(play, pattern);
    bool fits = value_match(&reading, error, why, sizeof(why));
    if (fits && reading_has_more(&details)) fits = value_match(&details, error, why, sizeof(why));
    if (!fits) play_fail(play, why);
    return fits;
}

/* ---- events */

static bool look_at_event(struct play *play, const char *pattern, bool is_next) {
    char why[900];
    if (!play_flush(play)) return false;
    struct reading reading = reading_of(play, pattern);
    if (!notices_look(&play->notices, play->conn_index, is_next, &reading, why, sizeof(why))) {
        const struct notice *rest = notices_rest(&play->notices, (int)play->conn_index);
        if (!rest) return play_fail(play, "no event came that nobody has looked at"), false;
        play_fail(play, why);
        return fail_with(play, "the next event is", buf_bytes(&rest->map));
    }
    if (reading_has_more(&reading)) play_broken(play, "something stands behind the pattern");
    return true;
}

static bool look_at_no_event(struct play *play, int conn) {
    if (!play_flush(play)) return false;
    const struct notice *rest = notices_rest(&play->notices, conn);
    if (!rest) return true;
    if (conn < 0) play->line = rest->line;
    return fail_with(play, "nobody looked at this event:", buf_bytes(&rest->map));
}

/* ---- who waits */

static struct waiting *waiting_find(struct play *play, const char *name) {
    for (unsigned i = 0; i < WAITING_MAX; i++)
        if (strcmp(play->waiting[i].name, name) == 0) return &play->waiting[i];
    return NULL;
}

/* The next request has no answer yet, or the one of that name still has none. */
static bool look_at_nothing(struct play *play, const char *text) {
    char name[32];
    if (sscanf(text, " %31s", name) != 1) play_broken(play, "expected: waits NAME");
    struct waiting *waiting = waiting_find(play, name);
    struct outstanding *one = waiting ? &waiting->request : next_request(play);
    if (!one) return false;
    if (one->is_answered) return fail_with(play, "it should still wait, but this came:", buf_bytes(&one->message));
    if (waiting) return true;
    waiting = waiting_find(play, "");
    if (!waiting) play_broken(play, "too many requests wait");
    waiting->request = *one;
    strcpy(waiting->name, name);
    one->is_moved = true;
    return true;
}

static bool look_at_waiting(struct play *play, const char *text) {
    char name[32], how;
    int used = 0;
    if (sscanf(text, " %31s %c%n", name, &how, &used) != 2 || (how != '<' && how != '!'))
        play_broken(play, "expected: then NAME < pattern, or then NAME ! CODE pattern");
    struct waiting *waiting = waiting_find(play, name);
    if (!waiting) play_broken(play, "nobody waits under this name");
    struct outstanding *one = &waiting->request;
    bool fits = how == '<' ? look_at_result(play, text + used, one) : look_at_error(play, text + used, one);
    buf_fini(&one->message);
    *waiting = (struct waiting){.name = ""};
    return fits;
}

/* At the end: what has been answered must have been looked at; who still waits may. */
static bool look_at_rest(struct play *play) {
    for (unsigned i = 0; i < WAITING_MAX; i++) {
        if (!play->waiting[i].request.is_answered) continue;
        play->line = play->waiting[i].request.line;
        return fail_with(play, "nobody looked at the answer to this:", buf_bytes(&play->waiting[i].request.message));
    }
    return true;
}

/* The line with %i replaced. */
static void count_line(const char *text, int64_t number, char *out, size_t size) {
    size_t used = 0;
    for (; *text && used + 24 < size; text++) {
        if (text[0] == '%' && text[1] == 'i') {
            used += (size_t)snprintf(out + used, size - used, "%" PRId64, number);
            text++;
        } else {
            out[used++] = *text;
        }
    }
    out[used] = '\0';
}

static bool repeat(struct play *play, const char *text) {
    int times, used = 0;
    char how, line[2000];
    if (sscanf(text, " %d %c%n", &times, &how, &used) != 2) play_broken(play, "expected: times N > method params");
    for (int i = 1; i <= times; i++) {
        if (play->count == REPLY_MAX && !settle(play)) return false;
        count_line(text + used, i, line, sizeof(line));
        write_request(play, line, false);
        expect_reply(play);
        if (how == '>' && i < times && play->count < REPLY_MAX) continue;
        struct bytes error, result;
        while (play->looked_at < play->count) {
            if (!next_reply(play, &error, &result)) return false;
            if (!is_nil(error)) return fail_with(play, "expected no error, but this came:", error);
        }
    }
    return true;
}

static bool set_limit(struct play *play, const char *text) {
    char name[40];
    uint64_t value;
    if (sscanf(text, " %39s %" SCNu64, name, &value) != 2) play_broken(play, "expected: limit NAME VALUE");
    if (strcmp(name, "max_memory") == 0)
        play->engine_limits.max_memory = value;
    else if (strcmp(name, "max_namespaces") == 0)
        play->engine_limits.max_namespaces = (uint32_t)value;
    else if (strcmp(name, "output_mark") == 0)
        play->limits.output_mark = (uint32_t)value;
    else
        play_broken(play, "no such limit");
    play->engine->vtable->set_limits(play->engine, &play->engine_limits);
    server_set_limits(play->server, &play->limits);
    return true;
}

static bool set_clock(struct play *play, const char *text) {
    int64_t now_ms = BASE_MS + strtoll(text, NULL, 10);
    if (now_ms < play->now_ms) play_broken(play, "time does not run backwards");
    while (play->is_exact) {
        int64_t due = play_run_timers(play);
        if (due > now_ms || !play->is_well) break;
        play->now_ms = due;
    }
    play->now_ms = now_ms;
    if (play->is_exact) play_run_timers(play);
    return play->is_well;
}

static bool play_command(struct play *play, const char *command, const char *rest) {
    if (!settle(play)) return false;
    if (strcmp(command, "at") == 0) return set_clock(play, rest);
    if (strcmp(command, "times") == 0) return repeat(play, rest);
    if (strcmp(command, "read") == 0) return play_read_all(play);
    if (strcmp(command, "limit") == 0) return set_limit(play, rest);
    if (strcmp(command, "tick") == 0)
        play_run_timers(play);
    else if (strcmp(command, "conn") == 0)
        play->conn_index = (unsigned)strtoul(rest, NULL, 10) % CONN_MAX;
    else if (strcmp(command, "stall") == 0)
        play_conn(play), play->is_stalled[play->conn_index] = true;
    else if (strcmp(command, "close") == 0)
        play_close_connection(play, play->conn_index), play_run_woken(play);
    else if (strcmp(command, "then") == 0)
        return look_at_waiting(play, rest);
    else if (strcmp(command, "offset") == 0)
        play_set_offset(play, strtoll(rest, NULL, 10));
    else
        play_broken(play, "no such command");
    return true;
}

/* The server is another one from here on, in a mode that wants that, unless something was begun that ends with it. */
static bool restart(struct play *play) {
    if (!play->mode->is_restarting || play->is_bound) return true;
    return play_restart(play);
}

static bool play_line(struct play *play, const char *line) {
    char command[20];
    int used = 0;
    if (sscanf(line, " %19s%n", command, &used) != 1 || *command == '#') return true;
    const char *rest = line + used;
    if (strcmp(command, "<") == 0) return look_at_result(play, rest, next_request(play));
    if (strcmp(command, "!") == 0) return look_at_error(play, rest, next_request(play));
    if (strcmp(command, "^") == 0) return look_at_event(play, rest, false);
    if (strcmp(command, "^next") == 0) return look_at_event(play, rest, true);
    if (strcmp(command, "^none") == 0) return look_at_no_event(play, (int)play->conn_index);
    if (strcmp(command, "waits") == 0) return look_at_nothing(play, rest);
    if (strcmp(command, "~") == 0) return write_request(play, rest, true), true;
    if (strcmp(command, ">") != 0) return play_command(play, command, rest);
    /* A new batch begins where the last one's answers were looked at. */
    if (play->looked_at && play->looked_at == play->count && !(settle(play) && restart(play))) return false;
    write_request(play, rest, false);
    expect_reply(play);
    return true;
}

static bool play_file(const char *file, const struct mode *mode, unsigned *restarts) {
    FILE *stream = fopen(file, "r");
    static char line[1 << 16];
    static struct play play;
    play = (struct play){.file = file, .mode = mode};
    if (!stream) play_broken(&play, "cannot be read");
    play_open(&play);
    bool is_well = true;
    while (is_well && fgets(line, sizeof(line), stream)) {
        play.line++;
        is_well = play_line(&play, line);
    }
    is_well = is_well && settle(&play) && look_at_rest(&play) && look_at_no_event(&play, -1);
    fclose(stream);
    *restarts += play.restarts;
    play_close(&play);
    return is_well;
}

int main(int argc, char **argv) {
    size_t mode_count = sizeof(modes) / sizeof(modes[0]);
    long only = -1;
    int first = 1, failed = 0, count = 0;
    unsigned restarts = 0;
    if (argc > 2 && strcmp(argv[1], "--mode") == 0) only = strtol(argv[2], NULL, 10), first = 3;
    for (int i = first; i < argc; i++, count++) {
        bool is_well = true;
        for (size_t m = 0; m < mode_count && is_well; m++)
            if (only < 0 || (size_t)only == m) is_well = play_file(argv[i], &modes[m], &restarts);
        failed += !is_well;
    }
    printf("%d scripts, %d failed; %u restarts\n", count, failed, restarts);
    return failed || count == 0;
}
