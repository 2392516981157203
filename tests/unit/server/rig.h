/* A server with one loop over the fake engine, and words to talk to it. The turn is open all the time. */
#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H

#include "fake_engine.h"
#include "sessiond/server.h"
#include "support/json.h"

#include <criterion/criterion.h>

#define RIG_NOW INT64_C(1767225600000)

struct rig {
    struct fake_engine *fake;
    struct server *server;
    struct server_loop *loop;
    struct conn *conn;
    struct buf sent; /* requests to be fed */
    enum conn_state state;
    uint64_t chance;
    struct env env;
    int64_t now_ms;
};

static inline void rig_random(void *context, void *out, size_t size) {
    struct rig *rig = context;
    for (size_t i = 0; i < size; i++) {
        rig->chance = rig->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(rig->chance >> 56);
    }
}

static inline void rig_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}

static const struct server_limits rig_limits = {.max_in_flight = 1000,
                                                .max_waiting = 3,
                                                .output_mark = 64 * 1024,
                                                .max_frame = LIMIT_MAX_FRAME,
                                                .op_id_memory = 1 << 20};

/* With a journal that the test plays (NULL: none), and how the loop is woken. */
static inline void rig_open_with(struct rig *rig, struct journal *journal, void (*wake)(void *, unsigned)) {
    *rig = (struct rig){.now_ms = RIG_NOW};
    rig->env = (struct env){.context = rig, .random = rig_random, .wake = wake};
    rig->fake = fake_open();
    struct server_options options = {.loop_count = 1,
                                     .now_ms = RIG_NOW,
                                     .engine = &rig->fake->engine,
                                     .env = &rig->env,
                                     .journal = journal,
                                     .limits = rig_limits};
    rig->server = server_open(&options);
    rig->loop = server_loop_open(rig->server, 0);
    server_loop_enter(rig->loop);
    rig->conn = conn_open(rig->loop, RIG_NOW);
}

static inline void rig_open(struct rig *rig) {
    rig_open_with(rig, NULL, rig_wake);
}

static inline void rig_close(struct rig *rig) {
    if (rig->conn) conn_close(rig->conn);
    server_loop_leave(rig->loop);
    server_loop_close(rig->loop);
    server_close(rig->server);
    rig->fake->engine.vtable->close(&rig->fake->engine);
    buf_fini(&rig->sent);
}

/* Adds a request; a negative msgid makes a notification. */
static inline void rig_add(struct rig *rig, int64_t msgid, const char *method, const char *params) {
    mp_write_array(&rig->sent, msgid < 0 ? 3 : 4);
    mp_write_uint(&rig->sent, msgid < 0 ? 2 : 0);
    if (msgid >= 0) mp_write_uint(&rig->sent, (uint64_t)msgid);
    mp_write_string(&rig->sent, method);
    json_to_mp(params, &rig->sent);
}

/* A session.set of `size` bytes of data. */
static inline void rig_add_big(struct rig *rig, int64_t msgid, const char *id, size_t size) {
    mp_write_array(&rig->sent, 4);
    mp_write_uint(&rig->sent, 0);
    mp_write_uint(&rig->sent, (uint64_t)msgid);
    mp_write_string(&rig->sent, "session.set");
    mp_write_array(&rig->sent, 3);
    mp_write_string(&rig->sent, "web");
    mp_write_string(&rig->sent, id);
    uint8_t *data = calloc(1, size);
    mp_write_bin(&rig->sent, bytes_of(data, size));
    free(data);
}

/* Feeds what was added. */
static inline void rig_feed(struct rig *rig) {
    rig->state = conn_feed(rig->conn, buf_bytes(&rig->sent), rig->now_ms);
    buf_clear(&rig->sent);
}

/* Takes the output as JSON, one answer a line. Free it. */
static inline char *rig_take(struct rig *rig) {
    struct bytes output = conn_output(rig->conn);
    char *text = json_of(output);
    conn_output_sent(rig->conn, output.size);
    return text;
}

/* Adds one request, feeds it and expects exactly this answer. */
static inline void rig_expect(struct rig *rig, int64_t msgid, const char *method, const char *params,
                              const char *expected) {
    rig_add(rig, msgid, method, params);
    rig_feed(rig);
    char *text = rig_take(rig);
    cr_assert_str_eq(text, expected, "%s %s\nexpected %s\ngot      %s", method, params, expected, text);
    free(text);
}

#define rig_expect_text(rig, expected)                                                                                 \
    do {                                                                                                               \
        char *got = rig_take(rig);                                                                                     \
        cr_assert_str_eq(got, expected, "expected %s\ngot      %s", expected, got);                                    \
        free(got);                                                                                                     \
    } while (0)

#endif
