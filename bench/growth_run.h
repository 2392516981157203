/* What the axes of sessiond-bench growth have in common: servers that are started for it, and plays whose cost is the
 * server's CPU time. Main thread; blocks. */
#ifndef BENCH_GROWTH_RUN_H
#define BENCH_GROWTH_RUN_H

#include "growth_table.h"
#include "prepare.h"

struct growth {
    const struct options *options; /* with what growth takes where nothing was given */
    unsigned rounds;
    bool is_pinned;
    char problem[PROBLEM_BYTES]; /* why it could not be measured */
};

struct growth_server {
    struct server_process process;
    struct target target;
};

/* Starts `sessiond` or `ceiling` for sessions of so many bytes; growth_server_close in both cases. */
bool growth_server_open(struct growth *growth, struct growth_server *server, const char *name, uint64_t value_bytes);
void growth_server_close(struct growth_server *server);

/* Puts that many sessions into it. Answers CPU time and resident memory for each, where they are asked for. */
bool growth_load(struct growth *growth, struct growth_server *server, uint64_t sessions, double *cpu_ns, double *bytes);

struct growth_play {
    const struct workload *workload;
    uint64_t sessions, connections, depth;
    /* Filled in: of one operation. */
    double cpu_ns, request_bytes, reply_bytes;
};

/* Plays it for --duration and measures; false also where not all was answered rightly. */
bool growth_play(struct growth *growth, struct growth_server *server, struct growth_play *play);

/* False with that sentence as the problem. */
bool growth_refuse(struct growth *growth, const char *problem);

/* The axes: each starts its servers, plays all rounds, notes what they cost, and ends them. */
bool growth_sessions(struct growth *growth, struct growth_axis *axis);
bool growth_connections(struct growth *growth, struct growth_axis *axis);
bool growth_users(struct growth *growth, struct growth_axis *axis);
bool growth_values(struct growth *growth, struct growth_axis *axis);

#endif
