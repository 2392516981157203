#include "goals.h"

#include <criterion/criterion.h>

enum { OWN, TWO, CHEAP, DEAR, CEILING, COUNT };

static struct comparison comparison;
static struct options options = {.value_bytes = 300};

/* Two cells: get at depth 16, and at depth 1 with a thousand connections. */
static void set_up(void) {
    static const enum role roles[COUNT] = {ROLE_SESSIOND, ROLE_TWO_LOOPS, ROLE_PEER, ROLE_PEER, ROLE_CEILING};
    static const char *const names[COUNT] = {"sessiond", "sessiond-2", "cheap", "dear", "ceiling"};
    comparison = (struct comparison){.options = &options,
                                     .plan = {.session_count = 1000000},
                                     .contender_count = COUNT,
                                     .cell_count = 2,
                                     .rounds = 3,
                                     .is_level = {[LEVEL_NONE] = true},
                                     .cells = calloc(2, sizeof *comparison.cells)};
    for (unsigned i = 0; i < COUNT; i++) {
        comparison.contenders[i].role = roles[i];
        comparison.contenders[i].server = names[i];
        snprintf(comparison.contenders[i].name, sizeof comparison.contenders[i].name, "%s", names[i]);
    }
    comparison.cells[0].depth = 16, comparison.cells[0].connections = 50;
    comparison.cells[1].depth = 1, comparison.cells[1].connections = 1000;
    for (unsigned i = 0; i < 2; i++) {
        comparison.cells[i].workload = workload_find("get");
        comparison.cells[i].level = LEVEL_ANY;
    }
}
static void tear_down(void) {
    free(comparison.cells);
}
TestSuite(comparison, .init = set_up, .fini = tear_down);

/* A round of a cell: CPU of each server. */
static void add_round(unsigned cell, double own, double two, double cheap, double dear, double ceiling) {
    struct cell *at = &comparison.cells[cell];
    double cpu_ns[COUNT] = {own, two, cheap, dear, ceiling};
    for (unsigned i = 0; i < COUNT; i++)
        at->samples[i][at->rounds] = (struct sample){
            .cpu_ns = cpu_ns[i], .p999_us = 1000 / cpu_ns[i], .is_taken = true, .is_correct = true, .attempts = 1};
    at->rounds++;
}

static void expect_ratio(struct ratio ratio, double median, double min, double max, unsigned rounds) {
    cr_expect_float_eq(ratio.median, median, 1e-9, "median %f", ratio.median);
    cr_expect_float_eq(ratio.min, min, 1e-9, "min %f", ratio.min);
    cr_expect_float_eq(ratio.max, max, 1e-9, "max %f", ratio.max);
    cr_expect_eq(ratio.rounds, rounds);
}

Test(comparison, tells_the_rounds_own_ratios_and_their_spread) {
    add_round(0, 50, 50, 100, 200, 40);
    add_round(0, 60, 60, 100, 200, 40);
    add_round(0, 80, 80, 200, 200, 40);
    expect_ratio(compare_pair(&comparison, &comparison.cells[0], OWN, CHEAP, FIGURE_CPU), 0.5, 0.4, 0.6, 3);
    struct summary summary;
    cr_expect(summarize_cell(&comparison, &comparison.cells[0], OWN, &summary));
    cr_expect(summary.cpu_ns == 60 && summary.cpu_min_ns == 50 && summary.cpu_max_ns == 80 && summary.noisy == 0);
    cr_expect_not(summarize_cell(&comparison, &comparison.cells[1], OWN, &summary), "it was not measured");
    expect_ratio(compare_pair(&comparison, &comparison.cells[1], OWN, CHEAP, FIGURE_CPU), 0, 0, 0, 0);
}

Test(comparison, takes_its_figures_from_quiet_rounds) {
    add_round(0, 50, 50, 100, 200, 40);
    add_round(0, 90, 90, 100, 200, 40);
    comparison.cells[0].samples[CHEAP][1].is_disturbed = true;
    expect_ratio(compare_pair(&comparison, &comparison.cells[0], OWN, CHEAP, FIGURE_CPU), 0.5, 0.5, 0.5, 1);
    expect_ratio(compare_pair(&comparison, &comparison.cells[0], OWN, DEAR, FIGURE_CPU), 0.35, 0.25, 0.45, 2);
    comparison.cells[0].samples[CHEAP][0].is_disturbed = true;
    expect_ratio(compare_pair(&comparison, &comparison.cells[0], OWN, CHEAP, FIGURE_CPU), 0.7, 0.5, 0.9, 2);
    struct noise noise = comparison_noise(&comparison);
    cr_expect(noise.samples == 10 && noise.noisy == 2 && noise.repeated == 0 && noise.extra_rounds == 0);
}

Test(comparison, counts_no_round_in_which_the_ceiling_was_slow) {
    add_round(0, 50, 50, 100, 200, 40);
    add_round(0, 90, 90, 100, 200, 47);
    add_round(0, 60, 60, 100, 200, 45);
    cr_expect(sample_is_quiet(&comparison, &comparison.cells[0], OWN, 0));
    cr_expect_not(sample_is_quiet(&comparison, &comparison.cells[0], OWN, 1));
    cr_expect(sample_is_quiet(&comparison, &comparison.cells[0], OWN, 2));
    /* A ceiling that was disturbed itself says nothing. */
    comparison.cells[0].samples[CEILING][1].is_disturbed = true;
    cr_expect(sample_is_quiet(&comparison, &comparison.cells[0], OWN, 1));
}

/* The verdict of that kind, or NULL. */
static const struct verdict *find(const struct verdict *verdicts, unsigned count, const struct cell *cell,
                                  enum figure figure, enum against against, bool is_further) {
    for (unsigned i = 0; i < count; i++)
        if (verdicts[i].cell == cell && verdicts[i].figure == figure && verdicts[i].against == against &&
            verdicts[i].is_further == is_further)
            return &verdicts[i];
    return NULL;
}

Test(comparison, judges_goals_against_the_cheapest_peer_and_the_ceiling) {
    static struct verdict verdicts[VERDICTS_MAX];
    const struct cell *cell = &comparison.cells[0];
    add_round(0, 59, 66, 100, 200, 40);
    unsigned count = goals_judge(&comparison, verdicts);
    cr_assert_eq(count, 3);
    const struct verdict *peer = find(verdicts, count, cell, FIGURE_CPU, AGAINST_PEER, false);
    cr_assert(peer && peer->is_reached);
    cr_expect_str_eq(peer->other, "cheap");
    cr_expect(peer->bound == 0.60 && goals_bound(cell) == 0.60);
    const struct verdict *ceiling = find(verdicts, count, cell, FIGURE_CPU, AGAINST_CEILING, false);
    cr_expect(ceiling && ceiling->is_reached && ceiling->ratio.median == 59.0 / 40);
    const struct verdict *loops = find(verdicts, count, cell, FIGURE_CPU, AGAINST_ONE_LOOP, false);
    cr_expect(loops && !loops->is_reached && loops->bound == 1.10);
    comparison.cells[0].samples[OWN][0].cpu_ns = 61;
    count = goals_judge(&comparison, verdicts);
    cr_expect_not(find(verdicts, count, cell, FIGURE_CPU, AGAINST_PEER, false)->is_reached);
    cr_expect_not(find(verdicts, count, cell, FIGURE_CPU, AGAINST_CEILING, false)->is_reached);
    cr_expect(find(verdicts, count, cell, FIGURE_CPU, AGAINST_ONE_LOOP, false)->is_reached);
}

Test(comparison, judges_the_next_step_and_the_tail_at_a_thousand_connections) {
    static struct verdict verdicts[VERDICTS_MAX];
    const struct cell *cell = &comparison.cells[1];
    /* The dear one has the shortest tail: 1000 / CPU, as add_round makes it. */
    add_round(1, 80, 80, 100, 200, 40);
    unsigned count = goals_judge(&comparison, verdicts);
    cr_expect(find(verdicts, count, cell, FIGURE_CPU, AGAINST_PEER, false)->is_reached);
    cr_expect_not(find(verdicts, count, cell, FIGURE_CPU, AGAINST_PEER, true)->is_reached);
    const struct verdict *tail = find(verdicts, count, cell, FIGURE_P999, AGAINST_PEER, false);
    cr_assert(tail);
    cr_expect_str_eq(tail->other, "dear");
    cr_expect(tail->ratio.median == 2.5 && !tail->is_reached);
}

Test(comparison, has_no_verdict_without_peers_and_knows_its_conditions) {
    static struct verdict verdicts[VERDICTS_MAX];
    add_round(0, 59, 66, 100, 200, 40);
    comparison.contenders[CHEAP].level = comparison.contenders[DEAR].level = LEVEL_EVERYSEC;
    unsigned count = goals_judge(&comparison, verdicts);
    cr_expect_null(find(verdicts, count, &comparison.cells[0], FIGURE_CPU, AGAINST_PEER, false));
    cr_expect(goals_have_conditions(&comparison));
    comparison.plan.session_count = 20000;
    cr_expect_not(goals_have_conditions(&comparison));
}

Test(comparison, judges_memory_in_bytes) {
    static struct verdict verdicts[VERDICTS_MAX];
    comparison.contenders[OWN].memory = (struct memory_report){.is_known = true, .overhead_bytes = 56};
    unsigned count = goals_judge(&comparison, verdicts);
    cr_assert_eq(count, 2);
    cr_expect(verdicts[0].is_reached && verdicts[0].bound == 64 && !verdicts[0].cell);
    cr_expect(!verdicts[1].is_reached && verdicts[1].bound == 48 && verdicts[1].is_further);
}
