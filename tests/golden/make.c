/* make_golden STORY DIR [KEYFILE]: writes a small data directory with every kind of effect, through the whole core and
 * the real log, on a clock and a chance of its own - so one release always writes the same bytes.
 *
 * What an earlier release has written stands in format-1/ (see golden.py); this is how it was made, and what tests of
 * sessiond-dump make their directories with. STORY is `sessions`, one segment without pools, `snapshot`: the same
 * with a snapshot between what its requests do before and what they do behind it, or `all`: with pools, too. Exits 1
 * where one is not answered as it should be. */
#include "base/check.h"
#include "json.h"
#include "log/log.h"
#include "op/engine_options.h"
#include "sessiond/server.h"
#include "uv/disk.h"

#define START_MS INT64_C(1767225600000) /* 2026-01-01 */

struct call {
    int64_t later_ms; /* after the one before it */
    const char *method, *params;
};

static const struct call before_snapshot[] = {
    {0, "namespace.configure", "[\"web\", {\"max_sessions_per_user\": 5, \"session_limit_policy\": \"reject\"}]"},
    {5, "session.create",
     "[\"web\", {\"id\": \"one\", \"user\": \"ada\", \"client\": \"phone\", \"data\": {\"cart\": [1, 2.5, \"three\"], "
     "\"raw\": {\"$bin\": \"AAEC\"}}, \"meta\": {\"ip\": \"10.0.0.1\"}, \"timeouts\": {\"idle_timeout_ms\": 600000, "
     "\"absolute_timeout_ms\": 86400000}}]"},
    {5, "session.create", "[\"web\", {\"id\": \"two\", \"user\": \"ada\", \"token\": true}]"},
    {5, "session.create", "[\"web\", {\"id\": \"gone\", \"user\": \"bob\"}]"},
    {5, "session.create", "[\"web\", {\"id\": \"waits\", \"pending\": true}]"},
    {5, "session.destroy", "[\"web\", \"gone\"]"},
    {5, "session.touch", "[\"web\", \"one\"]"},
    {5, "session.create", "[\"dropped\", {\"id\": \"x\"}]"},
    {5, "session.create", "[\"cleared\", {\"id\": \"y\"}]"},
    {5, "session.create", "[\"web\", {\"id\": \"out\", \"user\": \"bob\"}]"},
    {5, "session.revoke_all", "[\"web\", {\"user\": \"bob\", \"reason\": \"stolen\"}]"},
    {0, NULL, NULL}};

static const struct call with_pools[] = {
    {5, "pool.configure", "[\"crawl\", \"proxies\", {\"max_usage_count\": 3, \"strategy\": \"round_robin\"}]"},
    {5, "pool.add", "[\"crawl\", \"proxies\", {\"id\": \"p1\", \"data\": {\"proxy\": \"http://a\"}}]"},
    {5, "pool.add", "[\"crawl\", \"proxies\", {\"id\": \"p2\", \"tags\": [\"de\"]}]"},
    {5, "pool.acquire", "[\"crawl\", \"proxies\", {\"lease_ms\": 3600000, \"create\": \"never\"}]"},
    {5, "pool.acquire", "[\"crawl\", \"proxies\", {\"create\": \"never\"}]"},
    {5, "pool.mark", "[\"crawl\", \"p2\", \"bad\"]"},
    {0, NULL, NULL}};

static const struct call behind_snapshot[] = {
    {500, "session.touch", "[\"web\", \"one\"]"},
    {5, "session.patch", "[\"web\", \"one\", {\"set\": {\"cart\": []}}]"},
    {5, "session.regenerate", "[\"web\", \"two\", {\"new_id\": \"deux\", \"grace_ms\": 10000}]"},
    {5, "session.create", "[\"web\", {\"id\": \"three\", \"user\": \"eve\", \"client\": \"phone\"}]"},
    {5, "session.regenerate", "[\"web\", \"three\", {\"new_id\": \"trois\"}]"},
    {5, "session.destroy", "[\"web\", \"waits\"]"},
    {5, "namespace.drop", "[\"dropped\"]"},
    {5, "session.clear", "[\"cleared\"]"},
    {5, "session.create", "[\"cleared\", {\"id\": \"z\"}]"},
    {5, "session.set", "[\"web\", \"four\", {\"n\": {\"$int\": \"18446744073709551615\"}}]"},
    {0, NULL, NULL}};

/* ---------------------------------------------------------------- the world */

static int64_t now_ms = START_MS;

static void draw(void *context, void *out, size_t size) {
    static uint64_t state = 1;
    (void)context;
    for (size_t i = 0; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)out)[i] = (uint8_t)(state >> 56);
    }
}

static void wake(void *context, unsigned loop_index) {
    (void)context;
    (void)loop_index;
}

static void signal_nothing(void *context, enum log_thread thread) {
    (void)context;
    (void)thread;
}

static int64_t wall_ms(void *context) {
    (void)context;
    return now_ms;
}

static const struct env env = {.random = draw, .wake = wake};

struct world {
    struct directory directory;
    struct log *log;
    struct engine *engine;
    struct server *server;
    struct server_loop *loop;
    struct conn *conn;
};

static struct engine *engine_open(struct journal *journal) {
    struct engine_options options = {
        .loop_count = 1, .now_ms = now_ms, .limits = {.max_namespaces = 100}, .env = &env, .journal = journal};
    engine_options_fill(&options);
    return memory_engine_open(&options);
}

static void world_open(struct world *world, const char *path, const struct seal_keys *keys) {
    char error[DIRECTORY_ERROR_MAX];
    const char *why;
    CHECK(directory_open(&world->directory, path, DIRECTORY_OWN, error));
    world->directory.disk.wall_ms = wall_ms;
    struct log_options options = {.disk = &world->directory.disk,
                                  .env = &env,
                                  .loop_count = 1,
                                  .level = LOG_EVERYSEC,
                                  .keys = keys,
                                  .segment_bytes = 65536,
                                  .queue_bytes_max = 65536,
                                  .signal = signal_nothing};
    struct log_start start = {.next_number = 1};
    memcpy(start.store_id, "golden directory", sizeof start.store_id);
    CHECK((world->log = log_make(&options)));
    CHECK((world->engine = engine_open(log_journal(world->log))));
    CHECK(log_open(world->log, world->engine, &start, now_ms, &why));
    struct server_options server = {
        .loop_count = 1,
        .now_ms = now_ms,
        .engine = world->engine,
        .env = &env,
        .journal = log_journal(world->log),
        .limits = {
            .max_in_flight = 100, .max_waiting = 10, .output_mark = 65536, .max_frame = 65536, .op_id_memory = 65536}};
    CHECK((world->server = server_open(&server)));
    CHECK((world->loop = server_loop_open(world->server, 0)));
    server_loop_enter(world->loop);
    CHECK((world->conn = conn_open(world->loop, now_ms)));
    server_loop_leave(world->loop);
}

/* What the storage threads do, in their order, until nobody has anything more to do. */
static void store(struct world *world) {
    for (unsigned i = 0; i < 20; i++) {
        log_write(world->log, now_ms);
        log_sync(world->log, now_ms);
        log_keep(world->log, now_ms);
        now_ms += 50;
    }
}

static void world_close(struct world *world) {
    server_loop_enter(world->loop);
    conn_close(world->conn);
    server_loop_leave(world->loop);
    store(world);
    server_loop_close(world->loop);
    server_close(world->server);
    CHECK(log_close(world->log, now_ms));
    world->engine->vtable->close(world->engine);
    log_free(world->log);
    directory_close(&world->directory);
}

/* ---------------------------------------------------------------- requests */

static void ask(struct world *world, const struct call *call, unsigned msgid) {
    struct buf message = BUF_EMPTY;
    char problem[JSON_PROBLEM_MAX];
    json_t *params = json_read(call->params, strlen(call->params), problem);
    CHECK(params);
    mp_write_array(&message, 4);
    mp_write_uint(&message, 0);
    mp_write_uint(&message, msgid);
    mp_write_string(&message, call->method);
    CHECK(json_write_mp(params, &message, problem));
    json_decref(params);
    now_ms += call->later_ms;
    server_loop_enter(world->loop);
    conn_feed(world->conn, buf_bytes(&message), now_ms);
    server_loop_advance(world->loop, now_ms, 1000);
    server_loop_leave(world->loop);
    buf_fini(&message);
}

/* Answers wait for the journal, so they are looked at when all has been stored. */
static bool take_answers(struct world *world, unsigned count) {
    bool is_good = true;
    server_loop_enter(world->loop);
    server_loop_advance(world->loop, now_ms, 1000);
    struct bytes output = conn_output(world->conn);
    struct mp_cursor cursor = mp_cursor_of(output);
    for (unsigned i = 0; i < count; i++) {
        struct mp_cursor answer = mp_cursor_of(mp_read_value(&cursor, MP_DEPTH_MAX));
        mp_read_array(&answer);
        mp_read_int(&answer, 1, 1);
        int64_t msgid = mp_read_int(&answer, 0, 1000);
        struct bytes error = mp_read_value(&answer, MP_DEPTH_MAX);
        if (answer.error == MP_OK && *error.data == 0xc0) continue;
        struct buf text = BUF_EMPTY;
        if (answer.error == MP_OK) json_print(error, (struct json_style){.is_coloured = false}, &text);
        fprintf(stderr, "request %lld: %.*s\n", (long long)msgid, (int)text.size, (const char *)text.data);
        buf_fini(&text);
        is_good = false;
    }
    conn_output_sent(world->conn, output.size);
    server_loop_leave(world->loop);
    return is_good && cursor.error == MP_OK && cursor.at == cursor.end;
}

static void play(struct world *world, const struct call *calls) {
    unsigned count = 0;
    for (; calls[count].method; count++) ask(world, &calls[count], count);
    store(world);
    CHECK(take_answers(world, count));
}

static void read_keys(const char *path, struct seal_keys *out) {
    uint8_t text[4096];
    const char *why;
    FILE *file = fopen(path, "re");
    CHECK(file);
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    CHECK(seal_keys_read(bytes_of(text, size), out, &why));
}

int main(int argc, char **argv) {
    struct world world;
    struct seal_keys keys;
    CHECK(argc >= 3 && cipher_open());
    bool is_all = strcmp(argv[1], "all") == 0, has_snapshot = is_all || strcmp(argv[1], "snapshot") == 0;
    CHECK(has_snapshot || strcmp(argv[1], "sessions") == 0);
    if (argc > 3) read_keys(argv[3], &keys);
    world_open(&world, argv[2], argc > 3 ? &keys : NULL);
    play(&world, before_snapshot);
    if (is_all) play(&world, with_pools);
    if (has_snapshot) log_snapshot(world.log);
    store(&world);
    play(&world, behind_snapshot);
    world_close(&world);
    return 0;
}
