/* See goals.h. */
#include "goals.h"

#include <string.h>

enum { GOAL_SESSIONS = 1000000, GOAL_VALUE_BYTES = 300 };

struct goal {
    const char *workload;
    uint32_t depth, connections;
    enum level level;
    enum figure figure;
    enum against against;
    double bound, further; /* 0: no further step */
};

static const struct goal goals[] = {
    {"get", 1, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.85, 0.70},
    {"get", 16, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.60, 0},
    {"get", 16, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_CEILING, 1.5, 0},
    {"get", 64, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.45, 0},
    {"get_touch", 16, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.50, 0},
    {"set", 16, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.50, 0},
    {"set", 64, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.40, 0},
    {"mix", 16, 50, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.55, 0},
    {"get", 1, 1000, LEVEL_NONE, FIGURE_CPU, AGAINST_PEER, 0.85, 0.70},
    {"get", 1, 1000, LEVEL_NONE, FIGURE_P999, AGAINST_PEER, 0.9, 0},
    {"set", 16, 50, LEVEL_EVERYSEC, FIGURE_CPU, AGAINST_PEER, 0.5, 0},
    {"set", 1, 50, LEVEL_ALWAYS, FIGURE_RATE, AGAINST_PEER, 2, 0},
    {"set", 16, 50, LEVEL_ALWAYS, FIGURE_RATE, AGAINST_PEER, 2, 0},
};
enum { GOAL_COUNT = sizeof goals / sizeof *goals };
/* Of two loops in every cell, and of memory per session beyond id and data. */
static const double two_loops_bound = 1.10, memory_bound_bytes = 64, memory_further_bytes = 48;

static bool is_about(const struct goal *goal, const struct cell *cell) {
    return strcmp(goal->workload, cell->workload->name) == 0 && goal->depth == cell->depth &&
           goal->connections == cell->connections && (cell->level == LEVEL_ANY || cell->level == goal->level);
}

static double figure_of(const struct summary *summary, enum figure figure) {
    return figure == FIGURE_RATE ? summary->rate : figure == FIGURE_P999 ? summary->p999_us : summary->cpu_ns;
}

static int best_peer(const struct comparison *comparison, const struct cell *cell, enum level level,
                     enum figure figure) {
    int best = -1;
    double best_value = 0;
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        const struct contender *contender = &comparison->contenders[i];
        struct summary summary;
        if (contender->role != ROLE_PEER || contender->level != level) continue;
        if (!summarize_cell(comparison, cell, i, &summary)) continue;
        double value = figure_of(&summary, figure);
        if (best >= 0 && (figure == FIGURE_RATE ? value <= best_value : value >= best_value)) continue;
        best = (int)i;
        best_value = value;
    }
    return best;
}

int goals_best_peer(const struct comparison *comparison, const struct cell *cell, enum figure figure) {
    return best_peer(comparison, cell, cell->level == LEVEL_ANY ? LEVEL_NONE : (enum level)cell->level, figure);
}

double goals_bound(const struct cell *cell) {
    for (unsigned i = 0; i < GOAL_COUNT; i++)
        if (goals[i].figure == FIGURE_CPU && goals[i].against == AGAINST_PEER && is_about(&goals[i], cell))
            return goals[i].bound;
    return 0;
}

bool goals_have_conditions(const struct comparison *comparison) {
    return comparison->plan.session_count == GOAL_SESSIONS && comparison->options->value_bytes == GOAL_VALUE_BYTES;
}

/* ---- verdicts */

struct verdicts {
    struct verdict *at;
    unsigned count;
};

static void add(struct verdicts *verdicts, struct verdict verdict) {
    if (verdicts->count == VERDICTS_MAX) return;
    verdict.is_reached =
        verdict.is_least ? verdict.ratio.median >= verdict.bound : verdict.ratio.median <= verdict.bound;
    verdicts->at[verdicts->count++] = verdict;
}

static void add_both(struct verdicts *verdicts, struct verdict verdict, double further) {
    add(verdicts, verdict);
    if (further == 0) return;
    verdict.bound = further;
    verdict.is_further = true;
    add(verdicts, verdict);
}

static void judge_goal(const struct comparison *comparison, const struct goal *goal, const struct cell *cell,
                       struct verdicts *verdicts) {
    int own = contender_find(comparison, ROLE_SESSIOND, goal->level);
    int other = goal->against == AGAINST_CEILING ? contender_find(comparison, ROLE_CEILING, goal->level)
                                                 : best_peer(comparison, cell, goal->level, goal->figure);
    if (own < 0 || other < 0) return;
    struct verdict verdict = {.cell = cell,
                              .figure = goal->figure,
                              .against = goal->against,
                              .other = comparison->contenders[other].name,
                              .bound = goal->bound,
                              .is_least = goal->figure == FIGURE_RATE,
                              .ratio = compare_pair(comparison, cell, (unsigned)own, (unsigned)other, goal->figure)};
    if (verdict.ratio.rounds) add_both(verdicts, verdict, goal->further);
}

static void judge_two_loops(const struct comparison *comparison, const struct cell *cell, struct verdicts *verdicts) {
    int one = contender_find(comparison, ROLE_SESSIOND, LEVEL_NONE);
    int two = contender_find(comparison, ROLE_TWO_LOOPS, LEVEL_NONE);
    if (one < 0 || two < 0) return;
    struct verdict verdict = {.cell = cell,
                              .figure = FIGURE_CPU,
                              .against = AGAINST_ONE_LOOP,
                              .other = comparison->contenders[one].name,
                              .bound = two_loops_bound,
                              .ratio = compare_pair(comparison, cell, (unsigned)two, (unsigned)one, FIGURE_CPU)};
    if (verdict.ratio.rounds) add(verdicts, verdict);
}

static void judge_memory(const struct comparison *comparison, struct verdicts *verdicts) {
    int own = contender_find(comparison, ROLE_SESSIOND, LEVEL_NONE);
    if (own < 0 || !comparison->contenders[own].memory.is_known) return;
    double bytes = comparison->contenders[own].memory.overhead_bytes;
    struct verdict verdict = {
        .against = AGAINST_NOTHING, .bound = memory_bound_bytes, .ratio = {bytes, bytes, bytes, 1}};
    add_both(verdicts, verdict, memory_further_bytes);
}

unsigned goals_judge(const struct comparison *comparison, struct verdict verdicts[VERDICTS_MAX]) {
    struct verdicts all = {verdicts, 0};
    for (unsigned goal = 0; goal < GOAL_COUNT; goal++)
        for (unsigned i = 0; i < comparison->cell_count; i++)
            if (is_about(&goals[goal], &comparison->cells[i]))
                judge_goal(comparison, &goals[goal], &comparison->cells[i], &all);
    for (unsigned i = 0; i < comparison->cell_count; i++) judge_two_loops(comparison, &comparison->cells[i], &all);
    judge_memory(comparison, &all);
    return all.count;
}
