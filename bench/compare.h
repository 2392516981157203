/* The comparison: every server in turn, in every cell, in every round. One command, nothing to prepare. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "prepare.h"
#include "report.h"
#include "spawn.h"

enum { CELLS_MAX = 64, ROUNDS_MAX = 64, CONTENDERS_MAX = SERVER_NAMES_MAX * LEVEL_COUNT };

struct contender {
    char name[32];      /* of the server, and its level where that is not none: "redis/everysec" */
    const char *server; /* its name alone */
    enum level level;
    bool is_running;
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
    uint64_t pool_size; /* of the pool workloads; else 0 */
    struct cell_pool pools[CONTENDERS_MAX];
    struct sample samples[CONTENDERS_MAX][ROUNDS_MAX];
};

struct comparison {
    const struct options *options;
    struct plan plan; /* what all cells share */
    struct contender contenders[CONTENDERS_MAX];
    unsigned contender_count, cell_count, rounds;
    struct cell *cells; /* owned */
    bool is_pinned;     /* servers and generator have cores of their own */
};

/* Over the rounds of one contender in one cell: undisturbed ones, or all where none is. */
struct summary {
    unsigned rounds, disturbed;            /* that were measured; of these */
    double cpu_ns, cpu_min_ns, cpu_max_ns; /* the median, and the extremes */
    double rate, p50_us, p99_us, p999_us, server_share, generator_share, reply_bytes, request_bytes; /* medians */
};
bool summarize_cell(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                    struct summary *summary);

/* How many times as much CPU time one contender takes as another in a cell: the median of the rounds' own ratios, since
 * what was measured one after the other shares the machine's mood. 0 where no round has both. */
double compare_pair(const struct comparison *comparison, const struct cell *cell, unsigned contender, unsigned other);
/* The same of operations a second. */
double compare_rates(const struct comparison *comparison, const struct cell *cell, unsigned contender, unsigned other);
/* Whether the two are told of together: all of one level, and a server with itself at none. */
bool are_compared(const struct comparison *comparison, unsigned contender, unsigned other);

/* "workload, depth D, C connections", with the pool's size where there is one; valid until the next call. */
const char *cell_title(const struct cell *cell);

void comparison_text(const struct comparison *comparison, FILE *out);
void comparison_json(const void *comparison, FILE *out);
void comparison_svg(const void *comparison, FILE *out);
void comparison_html(const void *comparison, FILE *out);

/* Runs `sessiond-bench compare`; the answer is the exit status. */
int compare_main(const struct options *options);

#endif
