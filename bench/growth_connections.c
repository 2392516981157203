/* More connections, beside the ceiling, which shows what the kernel and libuv take of it. See growth_run.h. */
#define _GNU_SOURCE
#include "growth_run.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CONNECTIONS_FACTOR = 100, SESSIONS = 100000, FILES_BESIDE = 100 };

/* Both we and the server, which inherits the limit, need a descriptor for each. */
static bool raise_files(struct growth *growth, uint64_t needed) {
    struct rlimit limit;
    bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    if (is_known && limit.rlim_cur < needed && limit.rlim_max >= needed) {
        limit.rlim_cur = limit.rlim_max;
        is_known = setrlimit(RLIMIT_NOFILE, &limit) == 0;
    }
    if (is_known && limit.rlim_cur >= needed) return true;
    snprintf(growth->problem, sizeof growth->problem,
             "%llu open files are needed; raise the limit (ulimit -n) or give fewer --most-connections",
             (unsigned long long)needed);
    return false;
}

/* One get over a connection, so that it has all that a connection in use has. */
static bool use(const struct target *target, int fd, uint64_t seed) {
    uint8_t id[KEY_ID_BYTES], out[512], in[4096];
    struct fill fill = {.id = id};
    struct reply reply;
    key_id(seed, 0, id);
    size_t size = template_write(&target->templates.of[REQUEST_GET], out, &fill), got = 0;
    if (send(fd, out, size, MSG_NOSIGNAL) != (ssize_t)size) return false;
    while (got < sizeof in) {
        ssize_t more = recv(fd, in + got, sizeof in - got, 0);
        if (more <= 0) return false;
        got += (size_t)more;
        long whole = target->driver->scan(&target->setup, bytes_of(in, got), &reply);
        if (whole != SCAN_MORE) return whole > 0 && reply.kind == REPLY_VALUE;
    }
    return false;
}

/* What the server keeps in memory for each of so many connections that have been used and are silent now. */
static bool measure_memory(struct growth *growth, struct growth_axis *axis, struct growth_server *server,
                           unsigned point) {
    uint64_t count = axis->points[point], opened = 0;
    int *fds = calloc(count, sizeof *fds);
    struct process_sample before, after;
    bool is_fine = fds && process_sample_take(&before, server->process.pid);
    for (; is_fine && opened < count; opened++) {
        fds[opened] = endpoint_connect(&server->target.endpoint);
        is_fine = fds[opened] >= 0 && use(&server->target, fds[opened], growth->options->seed);
    }
    is_fine = is_fine && process_sample_take(&after, server->process.pid);
    for (uint64_t i = 0; i < opened; i++)
        if (fds[i] >= 0) close(fds[i]);
    free(fds);
    if (!is_fine) return growth_refuse(growth, "not every connection was served");
    double bytes = ((double)after.rss_bytes - (double)before.rss_bytes) / (double)count;
    growth_note(axis, point, "memory", "bytes", NULL, 1, bytes);
    return true;
}

static bool measure_depth(struct growth *growth, struct growth_axis *axis, struct growth_server *servers,
                          unsigned point, uint64_t depth) {
    static const char *const names[2][2] = {{"get, depth 1", "ceiling, depth 1"},
                                            {"get, depth 16", "ceiling, depth 16"}};
    struct growth_play play = {workload_find("get"), SESSIONS, axis->points[point], depth, 0, 0, 0};
    if (!growth_play(growth, &servers[0], &play)) return false;
    growth_note(axis, point, names[depth > 1][0], "ns", NULL, 1, play.cpu_ns);
    struct driver_setup *echo = &servers[1].target.setup;
    echo->echo_request_bytes = (uint32_t)(play.request_bytes + 0.5);
    echo->echo_reply_bytes = (uint32_t)(play.reply_bytes + 0.5);
    if (!target_refresh(&servers[1].target) || !growth_play(growth, &servers[1], &play)) return false;
    growth_note(axis, point, names[depth > 1][1], "ns", NULL, 1, play.cpu_ns);
    return true;
}

static bool play_round(struct growth *growth, struct growth_axis *axis, struct growth_server *servers, unsigned round) {
    for (unsigned turn = 0; turn < axis->point_count; turn++) {
        unsigned point = (turn + round) % axis->point_count;
        if (!measure_depth(growth, axis, servers, point, 1) || !measure_depth(growth, axis, servers, point, 16))
            return false;
    }
    return true;
}

bool growth_connections(struct growth *growth, struct growth_axis *axis) {
    struct growth_server servers[2] = {{.process = {.said_fd = -1}}, {.process = {.said_fd = -1}}};
    uint64_t most = growth->options->most_connections;
    growth_points(axis, 1, CONNECTIONS_FACTOR, most);
    bool is_fine = raise_files(growth, most + FILES_BESIDE) &&
                   growth_server_open(growth, &servers[0], "sessiond", growth->options->value_bytes) &&
                   growth_server_open(growth, &servers[1], "ceiling", growth->options->value_bytes) &&
                   growth_load(growth, &servers[0], SESSIONS, NULL, NULL);
    /* Before anything else: memory that was taken for a connection once is used again. */
    is_fine = is_fine && measure_memory(growth, axis, &servers[0], axis->point_count - 1);
    for (unsigned round = 0; round < growth->rounds && is_fine; round++)
        is_fine = play_round(growth, axis, servers, round);
    growth_server_close(&servers[0]);
    growth_server_close(&servers[1]);
    return is_fine;
}
