/* See compare.h. The rounds go over all cells, so that a slow minute of the machine falls on every server and every
 * cell alike; within a cell the order of the servers turns by one each round. What was disturbed is measured again: at
 * once, and where that was in vain in a further round of that cell, until the patience for it is spent. */
#define _GNU_SOURCE
#include "compare.h"

#include "cells.h"
#include "compare_report.h"
#include "contenders.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WARMUP_S 0.25

/* A measurement counts as disturbed above these; one of 1.1 seconds has 110 ticks of each core, so that less could not
 * be told from chance. How long the server waited for its core is told but does not count: the threads of memcached
 * wait for one another even where nobody else is there. */
static const double steal_limit = 0.03, foreign_limit = 0.10, stretch_limit = 1.25;
/* Where data is kept: the kernel's threads bring to the disk what the servers wrote, and that is nobody's doing but
 * theirs. */
static const double foreign_limit_kept = 0.25;

static volatile sig_atomic_t is_interrupted;
static void on_interrupt(int signal_number) {
    (void)signal_number;
    is_interrupted = 1;
}

/* ---- measuring */

/* The ceiling answers as many bytes as sessiond did in this cell, or as it was set up with. */
static bool tune_ceiling(struct comparison *comparison, const struct cell *cell, struct target *target) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        struct summary summary;
        if (comparison->contenders[i].role != ROLE_SESSIOND) continue;
        if (!summarize_cell(comparison, cell, i, &summary)) continue;
        target->setup.echo_request_bytes = (uint32_t)lround(summary.request_bytes);
        target->setup.echo_reply_bytes = (uint32_t)lround(summary.reply_bytes);
    }
    return target_refresh(target);
}

static void fill_sample(struct sample *sample, const struct run_result *result, const struct plan *plan, bool is_kept) {
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
                           sample->disturbance.foreign_share > (is_kept ? foreign_limit_kept : foreign_limit) ||
                           is_stretched;
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
    if (cell->pool_size) plan.session_count = cell->pool_size;
    if (contender->role == ROLE_CEILING) plan.check_every = 0;
    bool is_kept = contender->level != LEVEL_NONE || (cell->level != LEVEL_ANY && cell->level != LEVEL_NONE);
    struct run_watch watch = {.phase = cell->workload->name};
    bool is_fine =
        run_plan(&contender->target, &plan, options_warmup_ns(comparison->options, WARMUP_S), &watch, &result);
    if (is_fine) fill_sample(sample, &result, &plan, is_kept);
    if (!is_fine || !sample->is_correct)
        fprintf(stderr, "sessiond-bench: %s, %s: %s\n", contender->name, cell_title(cell), result.problem);
    run_result_fini(&result);
    return is_fine;
}

static bool is_patient(const struct comparison *comparison) {
    return (double)comparison->repeat_ns < comparison->options->patience_s * 1e9;
}

/* Repeats a disturbed measurement, and keeps the quietest. */
static bool measure(struct comparison *comparison, struct contender *contender, const struct cell *cell,
                    struct sample *best) {
    for (unsigned attempt = 0; attempt <= comparison->options->retries && !is_interrupted; attempt++) {
        struct sample sample = {0};
        uint64_t start_ns = monotonic_ns();
        if (attempt && !is_patient(comparison)) break;
        if (!measure_once(comparison, contender, cell, &sample)) return false;
        if (attempt) comparison->repeat_ns += monotonic_ns() - start_ns;
        if (!best->is_taken || noise_of(&sample) < noise_of(best)) *best = sample;
        best->attempts = attempt + 1;
        if (!best->is_disturbed) break;
    }
    return true;
}

static void show_cell(const struct comparison *comparison, const struct cell *cell, unsigned round) {
    if (comparison->options->is_quiet) return;
    fprintf(stderr, "round %u of %u: %s:", round + 1, comparison->rounds, cell_title(cell));
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        const struct sample *sample = &cell->samples[i][round];
        if (!sample->is_taken) continue;
        fprintf(stderr, "  %s %.0f%s", comparison->contenders[i].name, sample->cpu_ns, sample->is_disturbed ? "*" : "");
    }
    fputs(" ns\n", stderr);
}

/* One more round of a cell: each server once. */
static bool play_cell(struct comparison *comparison, struct cell *cell) {
    unsigned count = comparison->contender_count, round = cell->rounds++;
    /* The ceiling goes last: it plays the sizes that sessiond had. */
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count && !is_interrupted; i++) {
            unsigned turn = (i + round) % count;
            struct contender *contender = &comparison->contenders[turn];
            if ((contender->role == ROLE_CEILING) != (pass == 1)) continue;
            if (!contender_plays(comparison, contender, cell)) continue;
            if (pass == 1 && !tune_ceiling(comparison, cell, &contender->target)) return false;
            if (!contender_enter(comparison, contender, cell)) return false;
            if (!measure(comparison, contender, cell, &cell->samples[turn][round])) return false;
        }
    }
    show_cell(comparison, cell, round);
    return true;
}

/* Whether a contender has fewer quiet rounds in it than were asked for. */
static bool is_cell_short(const struct comparison *comparison, const struct cell *cell) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        struct summary summary;
        if (!summarize_cell(comparison, cell, i, &summary)) continue;
        if (summary.rounds - summary.noisy < comparison->rounds) return true;
    }
    return false;
}

/* A further round of each cell that lacks quiet ones. */
static bool play_extra_round(struct comparison *comparison) {
    for (unsigned i = 0; i < comparison->cell_count && !is_interrupted; i++) {
        struct cell *cell = &comparison->cells[i];
        uint64_t start_ns = monotonic_ns();
        if (!is_patient(comparison) || cell->rounds == ROUNDS_MAX || !is_cell_short(comparison, cell)) continue;
        uint64_t repeat_ns = comparison->repeat_ns;
        if (!play_cell(comparison, cell)) return false;
        /* What was repeated in it is part of it. */
        comparison->repeat_ns = repeat_ns + (monotonic_ns() - start_ns);
    }
    return true;
}

static bool play_rounds(struct comparison *comparison) {
    for (unsigned round = 0; round < comparison->rounds; round++)
        for (unsigned cell = 0; cell < comparison->cell_count && !is_interrupted; cell++)
            if (!play_cell(comparison, &comparison->cells[cell])) return false;
    for (unsigned extra = 0; extra < comparison->options->extra_rounds && !is_interrupted; extra++)
        if (!play_extra_round(comparison)) return false;
    return true;
}

/* The servers have inherited nothing of this: they were pinned before they began. */
static void leave_servers_cores(const struct comparison *comparison) {
    int core = (int)comparison->options->server_core, other = core_next(core);
    if (!comparison->is_pinned) return;
    core_avoid(core);
    if (comparison->has_second_core) core_avoid(other);
}

/* Sessions that nobody touches end; a get of one that has ended would be an error. */
static void warn_of_deadlines(const struct comparison *comparison) {
    const struct options *options = comparison->options;
    double measured_s = (double)options_warmup_ns(options, WARMUP_S) / 1e9 + options->duration_s;
    double rounds = (double)comparison->rounds * comparison->cell_count * comparison->contender_count;
    double idle_s = (double)options->idle_timeout_ms / 1000;
    if (rounds * measured_s + options->patience_s < idle_s) return;
    fprintf(stderr,
            "sessiond-bench: this may last longer than sessions do that nobody touches; --idle-timeout-ms gives "
            "them more time\n");
}

static bool play(struct comparison *comparison) {
    if (!contenders_start(comparison)) return false;
    leave_servers_cores(comparison);
    warn_of_deadlines(comparison);
    for (unsigned i = 0; i < comparison->contender_count && !is_interrupted; i++)
        if (!contender_load(comparison, &comparison->contenders[i])) return false;
    contenders_settle(comparison);
    return !is_interrupted && play_rounds(comparison);
}

static bool are_all_correct(const struct comparison *comparison) {
    for (unsigned cell = 0; cell < comparison->cell_count; cell++)
        for (unsigned i = 0; i < comparison->contender_count; i++)
            for (unsigned round = 0; round < comparison->cells[cell].rounds; round++) {
                const struct sample *sample = &comparison->cells[cell].samples[i][round];
                if (sample->is_taken && !sample->is_correct) return false;
            }
    return true;
}

static bool write_all(const struct comparison *comparison) {
    const struct options *options = comparison->options;
    comparison_text(comparison, stdout);
    fflush(stdout);
    /* What one file cannot take is no reason to leave out the others. */
    bool is_fine = report_file(options->json, comparison_json, comparison);
    is_fine &= report_file(options->markdown, comparison_markdown, comparison);
    is_fine &= report_file(options->svg, comparison_svg, comparison);
    is_fine &= report_file(options->html, comparison_html, comparison);
    return is_fine;
}

/* Plays what was read from the options; the answer is the exit status. */
static int run(struct comparison *comparison) {
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    bool is_fine = play(comparison);
    contenders_end(comparison);
    is_fine = is_fine && write_all(comparison) && !is_interrupted;
    return !is_fine ? 1 : are_all_correct(comparison) ? 0 : 3;
}

int compare_main(const struct options *options) {
    struct options own = *options;
    struct comparison comparison = {
        .options = &own, .is_pinned = core_count() > 1, .has_second_core = core_count() > 2};
    if (own.sessions == 0) own.sessions = 1000000;
    if (own.duration_s == 0) own.duration_s = 1.1;
    comparison.rounds = own.rounds < ROUNDS_MAX ? (unsigned)own.rounds : ROUNDS_MAX;
    machine_describe(comparison.machine, sizeof comparison.machine);
    bool is_clear = plan_from_options(&comparison.plan, &own) && cells_parse(&comparison);
    int status = is_clear ? run(&comparison) : 2;
    for (unsigned cell = 0; cell < comparison.cell_count; cell++)
        for (unsigned i = 0; i < CONTENDERS_MAX; i++) ledger_fini(&comparison.cells[cell].pools[i].ledger);
    free(comparison.cells);
    return status;
}
