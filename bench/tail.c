/* See tail.h. In each round the same gets run once in quiet and once beside each disturbance, at fixed times, and their
 * latency counts from there, so that a server that stands still is felt by all who would have come meanwhile. Ratios
 * are to the quiet of the same round. */
#define _GNU_SOURCE
#include "tail.h"

#include "disturber.h"
#include "figures.h"
#include "prepare.h"
#include "report.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

enum { RATE_DEFAULT = 20000, DYING_MS = 1000, BEFORE_MS = 200 };
enum { CASE_QUIET, CASE_EXPIRY, CASE_DISTURBED, CASE_COUNT = CASE_DISTURBED + DISTURB_COUNT };

static const struct {
    const char *name, *unit; /* of what else was done */
} cases[CASE_COUNT] = {
    [CASE_QUIET] = {"quiet", ""},
    [CASE_EXPIRY] = {"expiry", "ended"},
    [CASE_DISTURBED + DISTURB_GROW] = {"growth", "new"},
    [CASE_DISTURBED + DISTURB_GETS] = {"flood_gets", "gets"},
    [CASE_DISTURBED + DISTURB_SETS] = {"flood_sets", "sets"},
    [CASE_DISTURBED + DISTURB_LISTS] = {"flood_lists", "lists of 100"},
    [CASE_DISTURBED + DISTURB_BIG_VALUES] = {"flood_big", "gets of 100 KB"},
    [CASE_DISTURBED + DISTURB_SNAPSHOTS] = {"snapshots", "snapshots"},
};

struct case_figures {
    double p50_us[FIGURES_MAX], p999_us[FIGURES_MAX], worst_us[FIGURES_MAX], ratio[FIGURES_MAX] /* of p99.9 */;
    double done_per_s[FIGURES_MAX]; /* what else was done */
};

struct tail_run {
    const struct options *options;
    struct target target;
    struct plan plan;
    struct disturber disturber;
    uint64_t load_ms; /* what loading --sessions took */
    uint64_t next_index;
    unsigned rounds;
    bool has_log;
    struct case_figures cases[CASE_COUNT];
};

static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool is_played(const struct tail_run *run, unsigned number) {
    return number != CASE_DISTURBED + DISTURB_SNAPSHOTS || run->has_log;
}

/* ---- one case */

static bool load(struct tail_run *run, const struct plan *plan, uint64_t first) {
    return target_load(&run->target, plan, first, run->plan.session_count, run->options, &run->load_ms);
}

/* As many sessions again, which end within a second that begins when all are there; waits until shortly before it. */
static bool prepare_expiry(struct tail_run *run) {
    struct plan plan = run->plan;
    plan.deadline_first_ms = wall_ms() + (int64_t)(run->load_ms + 1) * 2 + 1000;
    plan.deadline_span_ms = DYING_MS;
    run->target.setup.is_load_mortal = true;
    bool is_fine = target_refresh(&run->target) && load(run, &plan, run->next_index);
    run->target.setup.is_load_mortal = false;
    run->next_index += run->plan.session_count;
    int64_t left_ms = plan.deadline_first_ms - BEFORE_MS - wall_ms();
    if (is_fine && left_ms < 0) fprintf(stderr, "sessiond-bench: the load took too long; give fewer --sessions\n");
    if (!is_fine || left_ms < 0) return false;
    poll(NULL, 0, (int)left_ms);
    return target_refresh(&run->target);
}

static void note(struct tail_run *run, unsigned number, unsigned round, const struct run_result *result, double done) {
    struct case_figures *figures = &run->cases[number];
    figures->p50_us[round] = (double)histogram_percentile_ns(result->all, 50) / 1e3;
    figures->p999_us[round] = (double)histogram_percentile_ns(result->all, 99.9) / 1e3;
    figures->worst_us[round] = (double)result->all->max_ns / 1e3;
    figures->ratio[round] = figures->p999_us[round] / run->cases[CASE_QUIET].p999_us[round];
    figures->done_per_s[round] = done * 1e9 / (double)result->tally.elapsed_ns;
}

static bool begin(struct tail_run *run, unsigned number) {
    if (number == CASE_EXPIRY) return prepare_expiry(run);
    if (number < CASE_DISTURBED) return true;
    run->disturber = (struct disturber){.target = &run->target,
                                        .kind = (enum disturbance_kind)(number - CASE_DISTURBED),
                                        .seed = run->options->seed,
                                        .session_count = run->plan.session_count,
                                        .next_index = run->next_index};
    return disturber_begin(&run->disturber);
}

/* Answers how much else was done, or a negative number if that failed. */
static double end(struct tail_run *run, unsigned number) {
    if (number == CASE_EXPIRY) return (double)run->plan.session_count;
    if (number < CASE_DISTURBED) return 0;
    bool is_fine = disturber_end(&run->disturber);
    run->next_index = run->disturber.next_index;
    if (!is_fine) fprintf(stderr, "sessiond-bench: %s: %s\n", cases[number].name, run->disturber.problem);
    return is_fine ? (double)run->disturber.done : -1;
}

static bool play_case(struct tail_run *run, unsigned number, unsigned round) {
    struct run_result result;
    struct run_watch watch = progress_watch(run->options, cases[number].name);
    uint64_t warmup_ns = number == CASE_EXPIRY ? 0 : options_warmup_ns(run->options, 0.5);
    if (!begin(run, number)) return false;
    bool is_fine = run_plan(&run->target, &run->plan, warmup_ns, &watch, &result) && run_is_correct(&result);
    double done = end(run, number);
    progress_clear(run->options);
    if (is_fine)
        note(run, number, round, &result, done);
    else
        fprintf(stderr, "sessiond-bench: %s: %s\n", cases[number].name,
                result.problem[0] ? result.problem : "not all was answered rightly");
    run_result_fini(&result);
    return is_fine && done >= 0;
}

static bool play_rounds(struct tail_run *run) {
    if (!load(run, &run->plan, 0)) return false;
    run->next_index = run->plan.session_count;
    for (unsigned round = 0; round < run->rounds; round++)
        for (unsigned number = 0; number < CASE_COUNT; number++)
            if (is_played(run, number) && !play_case(run, number, round)) return false;
    return true;
}

/* ---- what was found */

static void write_text(const struct tail_run *run, FILE *out) {
    fprintf(out, "%s on %llu sessions at %.0f/s, depth %u, %u connections, %u rounds: medians; us\n",
            run->plan.workload->name, (unsigned long long)run->plan.session_count, run->plan.rate_per_s,
            run->plan.depth, run->plan.connections, run->rounds);
    fprintf(out, "  %-12s %10s %10s %10s %10s   %s\n", "", "p50", "p99.9", "longest", "p99.9 x", "beside");
    for (unsigned number = 0; number < CASE_COUNT; number++) {
        const struct case_figures *of = &run->cases[number];
        if (!is_played(run, number)) continue;
        fprintf(out, "  %-12s %10.1f %10.1f %10.1f %10.2f", cases[number].name, figures_median(of->p50_us, run->rounds),
                figures_median(of->p999_us, run->rounds), figures_median(of->worst_us, run->rounds),
                figures_median(of->ratio, run->rounds));
        if (number != CASE_QUIET)
            fprintf(out, "   %.0f %s a second", figures_median(of->done_per_s, run->rounds), cases[number].unit);
        fputc('\n', out);
    }
    if (!run->has_log) fputs("snapshots need a log: left out without --durability everysec or always\n", out);
}

static void write_json(const void *context, FILE *out) {
    const struct tail_run *run = context;
    struct json json;
    json_begin(&json, out);
    report_plan_json(&json, run->options, &run->plan);
    json_count(&json, "rounds", run->rounds);
    json_object(&json, "cases");
    for (unsigned number = 0; number < CASE_COUNT; number++) {
        const struct case_figures *of = &run->cases[number];
        if (!is_played(run, number)) continue;
        json_object(&json, cases[number].name);
        json_number(&json, "p50_us", figures_median(of->p50_us, run->rounds));
        json_number(&json, "p99.9_us", figures_median(of->p999_us, run->rounds));
        json_number(&json, "longest_us", figures_median(of->worst_us, run->rounds));
        json_number(&json, "p99.9_against_quiet", figures_median(of->ratio, run->rounds));
        json_number(&json, "done_per_s", figures_median(of->done_per_s, run->rounds));
        json_close(&json, '}');
    }
    json_close(&json, '}');
    json_end(&json);
}

/* ---- the run */

static bool play_server(struct tail_run *run, const struct server_process *server) {
    /* Mortal: nothing is kept of what has ended. */
    if (!target_open(&run->target, &driver_sessiond, server->address, server->pid, run->options, true)) return false;
    run->target.setup.is_load_mortal = false;
    bool is_fine = target_refresh(&run->target) && play_rounds(run);
    if (is_fine) write_text(run, stdout);
    is_fine = is_fine && report_file(run->options->json, write_json, run);
    target_close(&run->target);
    return is_fine;
}

static bool play(struct tail_run *run) {
    struct server_process server;
    struct server_recipe recipe;
    const struct options *options = run->options;
    recipe_find(&recipe, "sessiond", options_level(options), options);
    if (!server_begin(&server, &recipe, options)) return false;
    bool is_fine = play_server(run, &server);
    server_end(&server);
    return is_fine;
}

int tail_main(const struct options *options) {
    struct options own = *options;
    own.compacts = false; /* snapshots are made when we say so */
    if (own.sessions == 0) own.sessions = 1000000;
    if (own.rate == 0) own.rate = RATE_DEFAULT;
    struct tail_run *run = calloc(1, sizeof *run);
    if (!run) return 1;
    run->options = &own;
    run->rounds = own.rounds < FIGURES_MAX ? (unsigned)own.rounds : FIGURES_MAX;
    run->has_log = options_level(&own) != LEVEL_NONE;
    int status = !plan_from_options(&run->plan, &own) ? 2 : play(run) ? 0 : 1;
    free(run);
    return status;
}
