/* Larger values: a server for each size, with as many sessions. See growth_run.h. */
#include "growth_run.h"

enum { VALUES_FACTOR = 10, SESSIONS = 1000, CONNECTIONS = 10, DEPTH = 4, KILOBYTE = 1000, SMALLEST_BYTES = 100 };

static const struct workload patch = {
    "patch", FAMILY_STORE, {[KIND_PATCH] = 1000}, KEYS_UNIFORM, "a counter and one key of the data in turn"};

static bool play(struct growth *growth, struct growth_axis *axis, struct growth_server *servers, unsigned point) {
    const struct workload *workloads_of[] = {workload_find("get"), workload_find("set"), &patch};
    double work = (double)axis->points[point] / KILOBYTE;
    for (unsigned i = 0; i < sizeof workloads_of / sizeof *workloads_of; i++) {
        struct growth_play play = {workloads_of[i], SESSIONS, CONNECTIONS, DEPTH, 0, 0, 0};
        if (!growth_play(growth, &servers[point], &play)) return false;
        growth_note(axis, point, play.workload->name, "ns", "KB", work, play.cpu_ns);
        if (i > 0) continue;
        struct driver_setup *echo = &servers[axis->point_count].target.setup;
        echo->echo_request_bytes = (uint32_t)(play.request_bytes + 0.5);
        echo->echo_reply_bytes = (uint32_t)(play.reply_bytes + 0.5);
        if (!target_refresh(&servers[axis->point_count].target) ||
            !growth_play(growth, &servers[axis->point_count], &play))
            return false;
        growth_note(axis, point, "ceiling of get", "ns", "KB", work, play.cpu_ns);
    }
    return true;
}

bool growth_values(struct growth *growth, struct growth_axis *axis) {
    struct growth_server servers[GROWTH_POINTS_MAX + 1]; /* the last is the ceiling */
    growth_points(axis, SMALLEST_BYTES, VALUES_FACTOR, growth->options->most_value_bytes);
    unsigned count = axis->point_count;
    bool is_fine = true;
    for (unsigned i = 0; i <= count; i++) servers[i] = (struct growth_server){.process = {.said_fd = -1}};
    for (unsigned i = 0; i < count && is_fine; i++)
        is_fine = growth_server_open(growth, &servers[i], "sessiond", axis->points[i]) &&
                  growth_load(growth, &servers[i], SESSIONS, NULL, NULL);
    is_fine = is_fine && growth_server_open(growth, &servers[count], "ceiling", growth->options->value_bytes);
    for (unsigned round = 0; round < growth->rounds && is_fine; round++)
        for (unsigned turn = 0; turn < count && is_fine; turn++)
            is_fine = play(growth, axis, servers, (turn + round) % count);
    for (unsigned i = 0; i <= count; i++) growth_server_close(&servers[i]);
    return is_fine;
}
