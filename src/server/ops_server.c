/* The family "server": hello, ping, info, stats and snapshot. They ask the engine for figures only, so they answer at
 * once.
 *
 * On the loop's thread; figures of other loops are read as they stand. */
#include "base/pairs.h"
#include "op/op_table.gen.h"
#include "server/internal.h"

#define STRINGIFY(value) #value

/* ---------------------------------------------------------------- hello */

enum op_step server_hello_begin(struct request *request) {
    const struct args_server_hello *args = &request->args.server_hello;
    bool has_version = (args->given & ~args->nil & SERVER_HELLO_VERSION) != 0;
    if (has_version && args->version != PROTOCOL_VERSION) {
        request->error =
            error_make(ERROR_BAD_REQUEST, "This server speaks version 1 of the protocol only; ask for that, "
                                          "or leave version out.");
        _Static_assert(PROTOCOL_VERSION == 1, "the sentence names the version");
        return STEP_ERROR;
    }
    if (!bytes_is_absent(args->namespace)) conn_set_namespace(request->conn, args->namespace);
    return STEP_ANSWER;
}

static void write_limits(struct request *request, struct buf *out) {
    mp_write_map(out, (uint32_t)limit_count);
    for (size_t i = 0; i < limit_count; i++) {
        bool is_max_frame = strcmp(limit_infos[i].name, "max_frame") == 0; /* the one that an option may lower */
        mp_write_string(out, limit_infos[i].name);
        mp_write_int(out, is_max_frame ? atomic_load(&request->server->max_frame) : limit_infos[i].value);
    }
}

static void write_methods(struct buf *out) {
    mp_write_map(out, OP_COUNT);
    for (size_t op = 0; op < OP_COUNT; op++) {
        mp_write_string(out, op_infos[op].method);
        mp_write_uint(out, op_infos[op].wire_id);
    }
}

/* What a client may want to know before it counts on it. Tokens and cookies need nothing of an engine. */
static void write_features(unsigned engine_features, struct buf *out) {
    static const struct {
        const char *name;
        unsigned needs;
    } features[] = {{"tokens", 0}, {"cookies", 0}, {"pools", ENGINE_POOLS}, {"events", ENGINE_EVENTS}};
    size_t begin = mp_begin_array(out);
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if ((engine_features & features[i].needs) == features[i].needs) {
            mp_write_string(out, features[i].name);
            count++;
        }
    mp_end_array(out, begin, count);
}

void server_hello_end(struct request *request, struct buf *out) {
    const struct conn *conn = request->conn;
    mp_write_map(out, 7);
    mp_write_string(out, "server");
    mp_write_string(out, "sessiond " SESSIOND_VERSION);
    mp_write_string(out, "version");
    mp_write_uint(out, PROTOCOL_VERSION);
    mp_write_string(out, "namespace");
    if (conn->namespace_size)
        mp_write_str(out, bytes_of(conn->namespace, conn->namespace_size));
    else
        mp_write_nil(out);
    mp_write_string(out, "now");
    mp_write_int(out, request->now_ms);
    mp_write_string(out, "features");
    write_features(conn->loop->engine->vtable->features, out);
    mp_write_string(out, "limits");
    write_limits(request, out);
    mp_write_string(out, "methods");
    write_methods(out);
}

/* ---------------------------------------------------------------- ping */

enum op_step server_ping_begin(struct request *request) {
    (void)request;
    return STEP_ANSWER;
}

void server_ping_end(struct request *request, struct buf *out) {
    mp_write_map(out, 1);
    mp_write_string(out, "now");
    mp_write_int(out, request->now_ms);
}

/* ---------------------------------------------------------------- figures of the engine */

struct figure {
    const char *name;
    size_t offset; /* in struct engine_stats */
};
#define FIGURE(member)                                                                                                 \
    { STRINGIFY(member), offsetof(struct engine_stats, member) }
static const struct figure figures[] = {
    FIGURE(sessions),          FIGURE(sessions_dead),     FIGURE(tombstones),     FIGURE(groups),
    FIGURE(namespaces),        FIGURE(bytes_used),        FIGURE(bytes_records),  FIGURE(bytes_retired),
    FIGURE(bytes_mapped),      FIGURE(created_total),     FIGURE(replaced_total), FIGURE(removed_total),
    FIGURE(expired_total),     FIGURE(touched_total),     FIGURE(revoked_total),  FIGURE(update_retries_total),
    FIGURE(wheel_fired_total), FIGURE(reaper_lag_ms),     FIGURE(pools),          FIGURE(pool_waiting),
    FIGURE(acquired_total),    FIGURE(marked_total),      FIGURE(retired_total),  FIGURE(lease_expired_total),
    FIGURE(events_total),      FIGURE(events_lost_total), FIGURE(moved_total),
};
#define FIGURE_COUNT (sizeof figures / sizeof figures[0])
_Static_assert(sizeof(struct engine_stats) == FIGURE_COUNT * sizeof(uint64_t), "every figure of the engine is told");

/* ---------------------------------------------------------------- stats */

enum op_step server_stats_begin(struct request *request) {
    (void)request;
    return STEP_ANSWER;
}

/* "requests_total.session.get": the sum's name, then what it is a part of. */
static void pair_part(struct pairs *pairs, enum metric whole, const char *part, uint64_t value) {
    struct bytes name = bytes_of_string(metric_infos[whole].name), label = bytes_of_string(part);
    char text[64];
    assert(name.size + 1 + label.size <= sizeof text);
    memcpy(text, name.data, name.size);
    text[name.size] = '.';
    memcpy(text + name.size + 1, label.data, label.size);
    mp_write_str(pairs->out, bytes_of(text, name.size + 1 + label.size));
    mp_write_uint(pairs->out, value);
    pairs->count++;
}

static void pair_metrics(struct pairs *pairs, const struct metric_sums *sums) {
    for (size_t i = 0; i < METRIC_COUNT; i++) pair_uint(pairs, metric_infos[i].name, sums->values[i]);
    for (size_t op = 0; op < OP_COUNT; op++)
        pair_part(pairs, METRIC_REQUESTS_TOTAL, op_infos[op].method, sums->requests[op]);
    for (enum error_code code = ERROR_NONE + 1; code < ERROR_END; code++)
        if (error_code_name(code)) pair_part(pairs, METRIC_ERRORS_TOTAL, error_code_name(code), sums->errors[code]);
}

static void pair_figures(struct pairs *pairs, const struct engine_stats *stats) {
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        int64_t value; /* all figures are 64 bits; only the lag has a sign */
        memcpy(&value, (const char *)stats + figures[i].offset, sizeof value);
        pair_int(pairs, figures[i].name, value);
    }
}

void server_stats_end(struct request *request, struct buf *out) {
    const struct server *server = request->server;
    struct metric_sums sums = {0};
    struct engine_stats stats = {0};
    server_sum_metrics(server, &sums);
    server->options.engine->vtable->stats(server->options.engine, &stats);
    struct pairs pairs = pairs_begin(out);
    pair_metrics(&pairs, &sums);
    pair_figures(&pairs, &stats);
    pair_uint(&pairs, "remembered_bytes", replay_bytes(server->replay));
    if (server->options.shell_stats) pairs.count += server->options.shell_stats(server->options.shell_context, out);
    pairs_end(&pairs);
}

/* ---------------------------------------------------------------- info */

enum op_step server_info_begin(struct request *request) {
    (void)request;
    return STEP_ANSWER;
}

void server_info_end(struct request *request, struct buf *out) {
    const struct server *server = request->server;
    const struct engine *engine = server->options.engine;
    struct metric_sums sums = {0};
    struct engine_stats stats = {0};
    server_sum_metrics(server, &sums);
    engine->vtable->stats(server->options.engine, &stats);
    struct pairs pairs = pairs_begin(out);
    pair_string(&pairs, "server", "sessiond " SESSIOND_VERSION);
    pair_uint(&pairs, "version", PROTOCOL_VERSION);
    pair_string(&pairs, "engine", engine->vtable->name);
    pair_int(&pairs, "now", request->now_ms);
    pair_int(&pairs, "clock_offset_ms", request->clock_offset_ms);
    pair_int(&pairs, "uptime_ms", request->now_ms - server->options.now_ms);
    pair_uint(&pairs, "loops", server->options.loop_count);
    pair_uint(&pairs, "connections", sums.values[METRIC_CONNECTIONS]);
    pair_uint(&pairs, "requests_total", sums.values[METRIC_REQUESTS_TOTAL]);
    pair_uint(&pairs, "sessions", stats.sessions);
    pair_uint(&pairs, "namespaces", stats.namespaces);
    pair_uint(&pairs, "bytes_used", stats.bytes_used);
    if (server->options.shell_info) pairs.count += server->options.shell_info(server->options.shell_context, out);
    pairs_end(&pairs);
}

/* ---------------------------------------------------------------- snapshot */

enum op_step server_snapshot_begin(struct request *request) {
    const struct server_options *options = &request->server->options;
    struct snapshot_answer answer = {0};
    if (options->shell_snapshot) options->shell_snapshot(options->shell_context, &answer);
    if (!answer.is_kept) {
        request->error = error_make(ERROR_BAD_REQUEST, "This server keeps its sessions in memory only, so there is "
                                                       "nothing to make a snapshot of; start it with a data_dir.");
        return STEP_ERROR;
    }
    if (answer.has_failed) {
        request->error = error_make(ERROR_READ_ONLY, "The server writes nothing any more since a write or a sync has "
                                                     "failed; see its log, mend the disk and start it again.");
        return STEP_ERROR;
    }
    request->carried[0] = answer.number;
    request->carried[1] = answer.newest;
    request->carried[2] = answer.failures;
    return STEP_ANSWER;
}

void server_snapshot_end(struct request *request, struct buf *out) {
    mp_write_map(out, 3);
    mp_write_string(out, "number");
    mp_write_uint(out, request->carried[0]);
    mp_write_string(out, "newest_number");
    mp_write_uint(out, request->carried[1]);
    mp_write_string(out, "failures");
    mp_write_uint(out, request->carried[2]);
}
