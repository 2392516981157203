/* The figures that sessiond is to reach, and whether a comparison reached them. Bounds are ratios within one run, to
 * the cheapest of the peers that were measured in it. Main thread. */
#ifndef BENCH_GOALS_H
#define BENCH_GOALS_H

#include "comparison.h"

enum { VERDICTS_MAX = 160 };

enum against { AGAINST_PEER, AGAINST_CEILING, AGAINST_ONE_LOOP, AGAINST_NOTHING };

/* One goal that this run can judge. */
struct verdict {
    const struct cell *cell; /* NULL for memory, which is of the load */
    enum figure figure;      /* of the cell */
    enum against against;
    const char *other;  /* the server that it is compared with; NULL: none */
    double bound;       /* in ratios, of memory in bytes per session */
    bool is_least;      /* at least the bound is wanted; otherwise at most */
    bool is_further;    /* the next step, once the goal before it is reached */
    struct ratio ratio; /* of memory the bytes, in all three */
    bool is_reached;    /* by the median */
};

/* Judges what was measured; answers how many verdicts there are. */
unsigned goals_judge(const struct comparison *comparison, struct verdict verdicts[VERDICTS_MAX]);

/* True if the run had the sizes that the bounds were set for. */
bool goals_have_conditions(const struct comparison *comparison);

/* The bound of CPU time against the cheapest peer in that cell, or 0 where no goal is set. */
double goals_bound(const struct cell *cell);

/* The cheapest peer in a cell, or the one with the best of that figure; -1 where none was measured. */
int goals_best_peer(const struct comparison *comparison, const struct cell *cell, enum figure figure);

#endif
