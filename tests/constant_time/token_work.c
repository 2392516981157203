#define _GNU_SOURCE /* memmem */
/* Whether the answers to tokens without the right secret differ, in their bytes or in the work that they cost.
 *
 *   token_work                  every kind is answered by the same bytes; exits 1 if not
 *   token_work KIND COUNT       answers that kind COUNT times, for whoever counts instructions (work.py does)
 *
 * Kinds: unknown, plain (a session without a token), alive, pending, expired, revoked, destroyed, foreign (a good
 * secret of another session), malformed, bound (to three things) and rotated (five secrets are remembered). In one
 * process, without a socket; the clock stands still. */
#include "base/mp.h"
#include "sessiond/engine.h"
#include "sessiond/server.h"
#include "wire/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW_MS INT64_C(1767225600000)

static uint64_t random_state = 88172645463325252u;

static void random_fill(void *context, void *out, size_t size) {
    (void)context;
    for (size_t i = 0; i < size; i++) {
        random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
        ((uint8_t *)out)[i] = (uint8_t)(random_state >> 32);
    }
}

static void wake_nobody(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}

static const struct env env = {.random = random_fill, .wake = wake_nobody};
static struct server_loop *loop;
static struct conn *conn;
static int64_t now_ms = NOW_MS;

/* Feeds one request, and answers the bytes of its reply until the next call. */
static struct bytes ask(struct bytes request) {
    static struct buf answer;
    buf_clear(&answer);
    server_loop_enter(loop);
    conn_feed(conn, request, now_ms);
    struct bytes output = conn_output(conn);
    buf_append(&answer, output.data, output.size);
    conn_output_sent(conn, output.size);
    server_loop_leave(loop);
    return buf_bytes(&answer);
}

static struct buf head_of(const char *method) {
    struct buf out = BUF_EMPTY;
    mp_write_array(&out, 4);
    mp_write_uint(&out, 0);
    mp_write_uint(&out, 7);
    mp_write_string(&out, method);
    mp_write_array(&out, 2);
    mp_write_string(&out, "web");
    return out;
}

static void write_binding(struct buf *request) {
    mp_write_string(request, "bind");
    mp_write_map(request, 3);
    mp_write_string(request, "user_agent");
    mp_write_string(request, "a browser");
    mp_write_string(request, "address");
    mp_write_string(request, "192.0.2.1");
    mp_write_string(request, "device_key");
    mp_write_string(request, "a key");
}

/* Makes a session; answers its token, with 43 characters of secret at its end. */
static struct buf create(const char *id, bool has_token, bool is_pending, bool is_short, bool is_bound) {
    struct buf request = head_of("session.create"), token = BUF_EMPTY;
    mp_write_map(&request, 4 + is_bound);
    if (is_bound) write_binding(&request);
    mp_write_string(&request, "id");
    mp_write_string(&request, id);
    mp_write_string(&request, "token");
    mp_write_bool(&request, has_token);
    mp_write_string(&request, "pending");
    mp_write_bool(&request, is_pending);
    mp_write_string(&request, "timeouts");
    mp_write_map(&request, 1);
    mp_write_string(&request, "idle_timeout_ms");
    mp_write_uint(&request, is_short ? 1 : 0);
    struct bytes answer = ask(buf_bytes(&request));
    if (has_token) buf_append(&token, answer.data + answer.size - 43, 43); /* the token is the last field */
    buf_fini(&request);
    return token;
}

static void call(const char *method, const char *id) {
    struct buf request = head_of(method);
    mp_write_string(&request, id);
    ask(buf_bytes(&request));
    buf_fini(&request);
}

static struct buf validate_of(const char *id, struct bytes secret) {
    char text[128];
    struct buf request = head_of("session.validate");
    int size = snprintf(text, sizeof text, "%s.%.*s", id, (int)secret.size, (const char *)secret.data);
    mp_write_str(&request, bytes_of(text, (size_t)size));
    return request;
}

/* Rotates a token four times, and gives its secret back to nobody. */
static void rotate_often(const char *id, struct buf secret) {
    for (int i = 0; i < 4; i++) {
        char text[128];
        struct buf request = head_of("session.rotate");
        int size = snprintf(text, sizeof text, "%s.%.*s", id, (int)secret.size, (const char *)secret.data);
        mp_write_str(&request, bytes_of(text, (size_t)size));
        struct bytes answer = ask(buf_bytes(&request));
        const char *at = memmem(answer.data, answer.size, text, strlen(id) + 1);
        buf_clear(&secret);
        buf_append(&secret, at + strlen(id) + 1, 43);
        buf_fini(&request);
    }
    buf_fini(&secret);
}

enum { KIND_COUNT = 11 };
static const char *const kinds[KIND_COUNT] = {"unknown",   "plain",   "alive",     "pending", "expired", "revoked",
                                              "destroyed", "foreign", "malformed", "bound",   "rotated"};

/* One request of each kind; ids of equal length, so that the requests are, too. */
static void prepare(struct buf requests[KIND_COUNT]) {
    struct bytes wrong = BYTES_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    struct buf good = create("id-alive", true, false, false, false);
    struct buf destroyed = create("id-destr", true, false, false, false);
    create("id-plain", false, false, false, false);
    struct buf tokens[] = {create("id-pendi", true, true, false, false), create("id-expir", true, false, true, false),
                           create("id-revok", true, false, false, false), create("id-bound", true, false, false, true)};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) buf_fini(&tokens[i]);
    rotate_often("id-rotat", create("id-rotat", true, false, false, false));
    call("session.revoke", "id-revok");
    call("session.destroy", "id-destr");
    now_ms += 10;
    requests[0] = validate_of("id-nobod", wrong);
    requests[1] = validate_of("id-plain", wrong);
    requests[2] = validate_of("id-alive", wrong);
    requests[3] = validate_of("id-pendi", wrong);
    requests[4] = validate_of("id-expir", wrong);
    requests[5] = validate_of("id-revok", wrong);
    requests[6] = validate_of("id-destr", buf_bytes(&destroyed));
    requests[7] = validate_of("id-plain", buf_bytes(&good));
    requests[8] = head_of("session.validate");
    mp_write_string(&requests[8], "no-dot-in-it-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    requests[9] = validate_of("id-bound", wrong);
    requests[10] = validate_of("id-rotat", wrong);
    buf_fini(&good);
    buf_fini(&destroyed);
}

static int compare(struct buf requests[KIND_COUNT]) {
    struct buf first = BUF_EMPTY;
    int differing = 0;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        struct bytes answer = ask(buf_bytes(&requests[i]));
        if (i == 0) buf_append(&first, answer.data, answer.size);
        if (bytes_equal(answer, buf_bytes(&first))) continue;
        printf("%s is answered otherwise than %s\n", kinds[i], kinds[0]);
        differing++;
    }
    bool is_refusal = memmem(first.data, first.size, "invalid_token", 13) != NULL;
    if (!is_refusal) printf("the answer is not invalid_token\n");
    if (!differing && is_refusal) printf("%d kinds, one answer of %zu bytes\n", KIND_COUNT, first.size);
    buf_fini(&first);
    return differing || !is_refusal;
}

int main(int argc, char **argv) {
    struct engine *engine = memory_engine_open(&(struct engine_options){.loop_count = 1,
                                                                        .now_ms = NOW_MS,
                                                                        .env = &env,
                                                                        .default_policy = &policy_defaults,
                                                                        .policy_apply = policy_apply});
    struct server_options options = {.loop_count = 1, .now_ms = NOW_MS, .engine = engine, .env = &env};
    options.limits = (struct server_limits){
        .max_in_flight = 1024, .output_mark = 1 << 20, .max_frame = LIMIT_MAX_FRAME, .op_id_memory = 1 << 20};
    options.limits.max_waiting = 1;
    struct server *server = server_open(&options);
    struct buf requests[KIND_COUNT];
    int status = 0;
    loop = server_loop_open(server, 0);
    conn = conn_open(loop, NOW_MS);
    prepare(requests);
    if (argc != 3) status = compare(requests);
    for (size_t i = 0; argc == 3 && i < KIND_COUNT; i++)
        for (long n = strcmp(kinds[i], argv[1]) == 0 ? atol(argv[2]) : 0; n > 0; n--) ask(buf_bytes(&requests[i]));
    for (size_t i = 0; i < KIND_COUNT; i++) buf_fini(&requests[i]);
    conn_close(conn);
    server_loop_close(loop);
    server_close(server);
    engine->vtable->close(engine);
    return status;
}
