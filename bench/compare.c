/* See compare.h. Servers stay up and loaded all the time; only one is asked at a time, and the others sleep. The rounds
 * go over all cells, so that a slow minute of the machine falls on every server and every cell alike; within a cell the
 * order of the servers turns by one each round. */
#define _GNU_SOURCE
#include "compare.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A measurement counts as disturbed above these. How long the server waited for its core is told but does not count:
 * the threads of memcached wait for one another even where nobody else is there. */
static const double steal_limit = 0.02, foreign_limit = 0.10, stretch_limit = 1.25;

static volatile sig_atomic_t is_interrupted;
static void on_interrupt(int signal_number) {
    (void)signal_number;
    is_interrupted = 1;
}

/* ---- what is to be measured */

static bool parse_cell(struct cell *cell, const char *text, const struct options *options) {
    char name[32];
    unsigned depth = 1, connections = (unsigned)options->connections;
    int used = 0;
    if (sscanf(text, "%31[a-z_-]%n:%u%n:%u%n", name, &used, &depth, &used, &connections, &used) < 1) return false;
    cell->workload = workload_find(name);
    cell->depth = depth;
    cell->connections = connections;
    return text[used] == '\0' && cell->workload && depth >= 1 && depth <= CONN_DEPTH_MAX && connections >= 1 &&
           connections <= 19000;
}

static bool parse_cells(struct comparison *comparison, const struct options *options) {
    char list[4096];
    comparison->cells = calloc(CELLS_MAX, sizeof *comparison->cells);
    if (!comparison->cells || (size_t)snprintf(list, sizeof list, "%s", options->cells) >= sizeof list) return false;
    for (char *rest = list, *text; (text = strsep(&rest, ","));) {
        if (comparison->cell_count < CELLS_MAX &&
            parse_cell(&comparison->cells[comparison->cell_count], text, options)) {
            comparison->cell_count++;
            continue;
        }
        fprintf(stderr, "sessiond-bench: '%s' is no cell; a cell is workload:depth or workload:depth:connections\n",
                text);
        return false;
    }
    return true;
}

/* ---- servers */

static bool start_contender(struct comparison *comparison, const char *name) {
    struct contender *contender = &comparison->contenders[comparison->contender_count];
    struct server_recipe recipe;
    char problem[PROBLEM_BYTES];
    const struct options *options = comparison->options;
    if (comparison->contender_count == CONTENDERS_MAX || !recipe_find(&recipe, name, options)) {
        fprintf(stderr, "sessiond-bench: --servers takes sessiond, redis, memcached and ceiling, not '%s'\n", name);
        return false;
    }
    *contender = (struct contender){.name = recipe.name};
    if (!program_exists(recipe.path)) {
        fprintf(stderr, "sessiond-bench: %s is left out: there is no program %s\n", name, recipe.path);
        return true;
    }
    int core = comparison->is_pinned ? (int)options->server_core : -1;
    if (!server_start(&contender->process, &recipe, core, problem, sizeof problem)) {
        fprintf(stderr, "sessiond-bench: %s is left out: %s\n", name, problem);
        return true;
    }
    contender->is_running = true;
    comparison->contender_count++;
    return target_open(&contender->target, driver_find(recipe.driver), contender->process.address,
                       contender->process.pid, options, false);
}

static bool start_contenders(struct comparison *comparison) {
    char list[256];
    snprintf(list, sizeof list, "%s", comparison->options->servers);
    for (char *rest = list, *name; (name = strsep(&rest, ","));)
        if (!start_contender(comparison, name)) return false;
    return comparison->contender_count > 0;
}

static void end_contenders(struct comparison *comparison) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        server_end(&comparison->contenders[i].process);
        target_close(&comparison->contenders[i].target);
    }
}

static bool is_ceiling(const struct contender *contender) {
    return contender->target.driver == &driver_echo;
}

static bool load_contender(struct comparison *comparison, struct contender *contender) {
    struct run_result result;
    struct run_watch watch = progress_watch(comparison->options, "load");
    const struct plan *plan = &comparison->plan;
    if (is_ceiling(contender)) return true;
    bool is_fine =
        run_load(&contender->target, plan, 0, plan->session_count, &watch, &result) && run_is_correct(&result);
    progress_clear(comparison->options);
    contender->memory = memory_report_of(&result, plan->session_count, contender->target.setup.value_bytes);
    contender->load_cpu_ns = run_cpu_per_operation_ns(&result);
    if (is_fine)
        fprintf(stderr, "%-10s %s: %llu sessions loaded in %.1f s\n", contender->name, contender->process.version,
                (unsigned long long)plan->session_count, (double)result.tally.elapsed_ns / 1e9);
    else
        fprintf(stderr, "sessiond-bench: loading %s failed: %s\n", contender->name, result.problem);
    run_result_fini(&result);
    return is_fine;
}

/* ---- measuring */

/* The ceiling answers as many bytes as sessiond did in this cell, or as it was set up with. */
static bool tune_ceiling(struct comparison *comparison, const struct cell *cell, struct target *target) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        struct summary summary;
        if (comparison->contenders[i].target.driver != &driver_sessiond) continue;
        if (!summarize_cell(comparison, cell, i, &summary)) continue;
        target->setup.echo_request_bytes = (uint32_t)lround(summary.request_bytes);
        target->setup.echo_reply_bytes = (uint32_t)lround(summary.reply_bytes);
    }
    return target_refresh(target);
}

static void fill_sample(struct sample *sample, const struct run_result *result, const struct plan *plan) {
    double elapsed_ns = (double)result->tally.elapsed_ns, requests = (double)result->tally.requests;
    sample->cpu_ns = run_cpu_per_operation_ns(result);
    sample->rate = run_rate(result);
    sample->server_share = (double)result->server_cpu_ns / elapsed_ns;
    sample->wait_share = (double)result->server_wait_ns / elapsed_ns;
    sample->generator_share = run_generator_share(result, plan->threads);
    sample->p50_us = (double)histogram_percentile_ns(result->all, 50) / 1000;
    sample->p99_us = (double)histogram_percentile_ns(result->all, 99) / 1000;
    sample->p999_us = (double)histogram_percentile_ns(result->all, 99.9) / 1000;
    sample->request_bytes = (double)result->tally.sent_bytes / requests;
    sample->reply_bytes = (double)result->tally.received_bytes / requests;
    sample->disturbance = result->disturbance;
    bool is_stretched = plan->duration_ns && elapsed_ns > stretch_limit * (double)plan->duration_ns + 1e8;
    sample->is_disturbed = sample->disturbance.steal_share > steal_limit ||
                           sample->disturbance.foreign_share > foreign_limit || is_stretched;
    sample->is_correct = run_is_correct(result);
    sample->is_taken = true;
}

static double noise_of(const struct sample *sample) {
    return sample->disturbance.steal_share + sample->disturbance.foreign_share;
}

static bool measure_once(struct comparison *comparison, struct contender *contender, const struct cell *cell,
                         struct sample *sample) {
    struct run_result result;
    struct plan plan = comparison->plan;
    plan.workload = cell->workload;
    plan.distribution = comparison->options->keys ? plan.distribution : cell->workload->distribution;
    plan.depth = cell->depth;
    plan.connections = cell->connections;
    if (is_ceiling(contender)) plan.check_every = 0;
    struct run_watch watch = {.phase = cell->workload->name};
    bool is_fine =
        run_plan(&contender->target, &plan, (uint64_t)(comparison->options->warmup_s * 1e9), &watch, &result);
    if (is_fine) fill_sample(sample, &result, &plan);
    if (!is_fine || !sample->is_correct)
        fprintf(stderr, "sessiond-bench: %s, %s at depth %u: %s\n", contender->name, cell->workload->name, cell->depth,
                result.problem);
    run_result_fini(&result);
    return is_fine;
}

/* Repeats a disturbed measurement, and keeps the quietest. */
static bool measure(struct comparison *comparison, struct contender *contender, const struct cell *cell,
                    struct sample *best) {
    for (unsigned attempt = 0; attempt <= comparison->options->retries && !is_interrupted; attempt++) {
        struct sample sample = {0};
        if (!measure_once(comparison, contender, cell, &sample)) return false;
        if (!best->is_taken || noise_of(&sample) < noise_of(best)) *best = sample;
        best->attempts = attempt + 1;
        if (!best->is_disturbed) break;
    }
    return true;
}

static void show_cell(const struct comparison *comparison, unsigned round, unsigned cell) {
    if (comparison->options->is_quiet) return;
    const struct cell *shown = &comparison->cells[cell];
    fprintf(stderr, "round %u of %u: %s, depth %u, %u connections:", round + 1, comparison->rounds,
            shown->workload->name, shown->depth, shown->connections);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        const struct sample *sample = &shown->samples[i][round];
        fprintf(stderr, "  %s %.0f%s", comparison->contenders[i].name, sample->cpu_ns, sample->is_disturbed ? "*" : "");
    }
    fputs(" ns\n", stderr);
}

static bool play_cell(struct comparison *comparison, unsigned round, unsigned cell_number) {
    struct cell *cell = &comparison->cells[cell_number];
    unsigned count = comparison->contender_count;
    /* The ceiling goes last: it plays the sizes that sessiond had. */
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count && !is_interrupted; i++) {
            unsigned turn = (i + round) % count;
            struct contender *contender = &comparison->contenders[turn];
            if (is_ceiling(contender) != (pass == 1)) continue;
            if (pass == 1 && !tune_ceiling(comparison, cell, &contender->target)) return false;
            if (!measure(comparison, contender, cell, &cell->samples[turn][round])) return false;
        }
    }
    show_cell(comparison, round, cell_number);
    return true;
}

static bool play_rounds(struct comparison *comparison) {
    for (unsigned round = 0; round < comparison->rounds; round++)
        for (unsigned cell = 0; cell < comparison->cell_count && !is_interrupted; cell++)
            if (!play_cell(comparison, round, cell)) return false;
    return true;
}

static bool are_all_correct(const struct comparison *comparison) {
    for (unsigned cell = 0; cell < comparison->cell_count; cell++)
        for (unsigned i = 0; i < comparison->contender_count; i++)
            for (unsigned round = 0; round < comparison->rounds; round++) {
                const struct sample *sample = &comparison->cells[cell].samples[i][round];
                if (sample->is_taken && !sample->is_correct) return false;
            }
    return true;
}

static bool play(struct comparison *comparison) {
    if (!start_contenders(comparison)) return false;
    /* The servers have inherited nothing of this: they were pinned before they began. */
    if (comparison->is_pinned) core_avoid((int)comparison->options->server_core);
    for (unsigned i = 0; i < comparison->contender_count && !is_interrupted; i++)
        if (!load_contender(comparison, &comparison->contenders[i])) return false;
    return play_rounds(comparison);
}

static bool write_all(const struct comparison *comparison) {
    const struct options *options = comparison->options;
    comparison_text(comparison, stdout);
    return report_file(options->json, comparison_json, comparison) &
           report_file(options->svg, comparison_svg, comparison) &
           report_file(options->html, comparison_html, comparison);
}

int compare_main(const struct options *options) {
    struct options own = *options;
    struct comparison comparison = {.options = &own, .is_pinned = core_count() > 1};
    if (own.sessions == 0) own.sessions = 1000000;
    if (own.duration_s == 0) own.duration_s = 2;
    comparison.rounds = own.rounds < ROUNDS_MAX ? (unsigned)own.rounds : ROUNDS_MAX;
    if (!plan_from_options(&comparison.plan, &own) || !parse_cells(&comparison, &own)) return 2;
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    bool is_fine = play(&comparison);
    end_contenders(&comparison);
    is_fine = is_fine && write_all(&comparison) && !is_interrupted;
    bool is_right = are_all_correct(&comparison);
    free(comparison.cells);
    return !is_fine ? 1 : is_right ? 0 : 3;
}
