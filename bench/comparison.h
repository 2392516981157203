/* What a comparison is made of and what it found: servers, cells, samples, and the figures that all reports tell alike.
 * Filled in by compare.c; afterwards nothing here changes. Main thread. */
#ifndef BENCH_COMPARISON_H
#define BENCH_COMPARISON_H

#include "prepare.h"
#include "report.h"
#include "spawn.h"

enum { CELLS_MAX = 64, ROUNDS_MAX = 64, CONTENDERS_MAX = 5 * LEVEL_COUNT + PEERS_MAX, LEVEL_ANY = LEVEL_COUNT };

struct contender {
    char name[SERVER_NAME_BYTES + 16]; /* of the server, and its level where that is not none: "redis/everysec" */
    const char *server;                /* its name alone */
    enum role role;
    enum level level;
    struct peer peer; /* of those that the user names */
    struct server_process process;
    struct target target;
    struct memory_report memory;
    double load_cpu_ns;   /* per session loaded */
    struct ledger ledger; /* of the sessions of the auth workloads */
};

/* One measurement. */
struct sample {
    double cpu_ns, rate, server_share, generator_share, p50_us, p99_us, p999_us;
    double request_bytes, reply_bytes; /* on the average */
    struct disturbance disturbance;
    double wait_share; /* of the time the server waited for its core */
    bool is_disturbed, is_correct, is_taken;
    unsigned attempts;
};

/* A contender's pool for a cell; made when the cell is measured first. */
struct cell_pool {
    bool is_loaded;
    struct pool_setup setup;
    struct ledger ledger;
};

struct cell {
    const struct workload *workload;
    uint32_t depth, connections;
    unsigned level;     /* enum level, or LEVEL_ANY: all that were asked for */
    uint64_t pool_size; /* of the pool workloads; else 0 */
    struct cell_pool pools[CONTENDERS_MAX];
    unsigned rounds; /* that were begun */
    struct sample samples[CONTENDERS_MAX][ROUNDS_MAX];
};

struct comparison {
    const struct options *options;
    struct plan plan; /* what all cells share */
    struct contender contenders[CONTENDERS_MAX];
    unsigned contender_count, cell_count;
    unsigned rounds;            /* quiet ones that are wanted of each cell */
    struct cell *cells;         /* owned */
    bool is_level[LEVEL_COUNT]; /* of the cells that name none: those of --durability */
    bool is_pinned;             /* servers and generator have cores of their own */
    bool has_second_core;       /* a server of two loops has two, and the generator another */
    char machine[256];          /* that all ran on */
    uint64_t repeat_ns;         /* spent on what was disturbed before */
};

/* Whether a measurement counts: nothing else ran beside it, and the ceiling was not slower in that round than in the
 * cell's best by more than a seventh. The ceiling does the same work each time, so it is the machine that was slow. */
bool sample_is_quiet(const struct comparison *comparison, const struct cell *cell, unsigned contender, unsigned round);

/* Over the quiet rounds of one contender in one cell, or over all where none is. */
struct summary {
    unsigned rounds, noisy;                /* that were measured; of these */
    double cpu_ns, cpu_min_ns, cpu_max_ns; /* the median, and the extremes */
    double rate, p50_us, p99_us, p999_us, server_share, generator_share, reply_bytes, request_bytes; /* medians */
};
/* False where it was not measured. */
bool summarize_cell(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                    struct summary *summary);

/* Of all measurements: how many there are, were made more than once, and are noisy all the same; and the rounds that
 * were added to the cells. */
struct noise {
    unsigned samples, repeated, noisy, extra_rounds;
};
struct noise comparison_noise(const struct comparison *comparison);

enum figure { FIGURE_CPU, FIGURE_RATE, FIGURE_P999 };

/* The rounds' own ratios, since what was measured one after the other shares the machine's mood: over the rounds that
 * are quiet for both, or over all that have both where none is. */
struct ratio {
    double median, min, max;
    unsigned rounds; /* 0: there are none */
};
struct ratio compare_pair(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                          unsigned other, enum figure figure);
/* CPU time of one contender in one cell against another. */
struct ratio compare_cells(const struct comparison *comparison, unsigned contender, const struct cell *cell,
                           const struct cell *other);
/* Whether the two are told of together: all of one level, and a server with itself at none. */
bool are_compared(const struct comparison *comparison, unsigned contender, unsigned other);

/* Whether servers of that level play in the cell. */
bool cell_has_level(const struct comparison *comparison, const struct cell *cell, enum level level);

/* The first contender of that role and level, or -1. */
int contender_find(const struct comparison *comparison, enum role role, enum level level);

/* "workload, depth D, C connections", with the pool's size and the level where there is one; valid until the next
 * call. */
const char *cell_title(const struct cell *cell);

#endif
