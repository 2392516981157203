/* More sessions in the server: a server for each point, all of them alive at once, and the same requests to each in
 * turn. See growth_run.h. */
#include "growth_run.h"

enum { SESSIONS_FACTOR = 10, CONNECTIONS = 50, DEPTH = 16 };

static const char *const kinds[] = {"get", "get_touch", "set"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static bool load(struct growth *growth, struct growth_axis *axis, struct growth_server *servers) {
    for (unsigned i = 0; i < axis->point_count; i++) {
        double cpu_ns, bytes;
        if (!growth_server_open(growth, &servers[i], "sessiond", growth->options->value_bytes) ||
            !growth_load(growth, &servers[i], axis->points[i], &cpu_ns, &bytes))
            return false;
        growth_note(axis, i, "load", "ns", NULL, 1, cpu_ns);
        growth_note(axis, i, "memory", "bytes", NULL, 1, bytes);
    }
    return true;
}

static bool play_round(struct growth *growth, struct growth_axis *axis, struct growth_server *servers, unsigned round) {
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned turn = 0; turn < axis->point_count; turn++) {
            unsigned point = (turn + round) % axis->point_count;
            struct growth_play play = {workload_find(kinds[kind]), axis->points[point], CONNECTIONS, DEPTH, 0, 0, 0};
            if (!growth_play(growth, &servers[point], &play)) return false;
            growth_note(axis, point, kinds[kind], "ns", NULL, 1, play.cpu_ns);
        }
    return true;
}

bool growth_sessions(struct growth *growth, struct growth_axis *axis) {
    struct growth_server servers[GROWTH_POINTS_MAX];
    uint64_t most = growth->options->most_sessions, first = most / (SESSIONS_FACTOR * SESSIONS_FACTOR);
    growth_points(axis, first, SESSIONS_FACTOR, most);
    for (unsigned i = 0; i < axis->point_count; i++) servers[i] = (struct growth_server){.process = {.said_fd = -1}};
    bool is_fine = load(growth, axis, servers);
    for (unsigned round = 0; round < growth->rounds && is_fine; round++)
        is_fine = play_round(growth, axis, servers, round);
    for (unsigned i = 0; i < axis->point_count; i++) growth_server_close(&servers[i]);
    return is_fine;
}
