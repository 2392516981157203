/* See snapshot.h. In each round the same load runs twice, alone and while one snapshot after the other is made, in turn
 * first and second. Requests begin at fixed times and their latency counts from there, so that a server that stands
 * still is felt by all who would have come meanwhile. */
#define _GNU_SOURCE
#include "snapshot.h"

#include "figures.h"
#include "prepare.h"
#include "report.h"
#include "sessiond_ask.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LOOK_EVERY_MS = 20, PATIENCE_MS = 60000, RATE_DEFAULT = 20000 };
enum side { SIDE_ALONE, SIDE_SNAPSHOTS, SIDE_COUNT };

/* ---- having one made */

static bool refuse(char *problem, size_t problem_size, const char *what) {
    snprintf(problem, problem_size, "%s", what);
    return false;
}

bool snapshot_make(const struct target *target, char *problem, size_t problem_size) {
    static const char *const asked[2] = {"number", "failures"};
    static const char *const told[2] = {"snapshot_number", "snapshot_failures_total"};
    uint64_t answer[2], stats[2] = {0, 0};
    if (!sessiond_ask(target, "server.snapshot", 2, asked, answer, problem, problem_size)) return false;
    if (answer[0] == 0) return refuse(problem, problem_size, "the server keeps nothing, so it makes no snapshot");
    for (unsigned waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += LOOK_EVERY_MS) {
        if (!sessiond_ask(target, "server.stats", 2, told, stats, problem, problem_size)) return false;
        if (stats[0] >= answer[0]) return true;
        if (stats[1] > answer[1]) return refuse(problem, problem_size, "a snapshot came to nothing");
        poll(NULL, 0, LOOK_EVERY_MS);
    }
    return refuse(problem, problem_size, "a snapshot is not whole after a minute");
}

/* ---- one after the other */

struct maker {
    const struct target *target;
    pthread_t thread;
    _Atomic bool must_stop;
    unsigned made;
    double took_ms;
    char problem[PROBLEM_BYTES];
};

static void *maker_main(void *context) {
    struct maker *maker = context;
    while (!atomic_load(&maker->must_stop)) {
        uint64_t from_ns = monotonic_ns();
        if (!snapshot_make(maker->target, maker->problem, sizeof maker->problem)) break;
        maker->took_ms += (double)(monotonic_ns() - from_ns) / 1e6;
        maker->made++;
    }
    return NULL;
}

/* ---- rounds */

struct side_figures {
    double p50_us[FIGURES_MAX], p99_us[FIGURES_MAX], p999_us[FIGURES_MAX], worst_us[FIGURES_MAX], cpu_ns[FIGURES_MAX];
};

struct snapshot_run {
    const struct options *options;
    struct target target;
    struct plan plan;
    struct side_figures sides[SIDE_COUNT];
    double ratios[FIGURES_MAX]; /* of the 99.9th percentiles */
    double took_ms;
    unsigned rounds, made;
};

static bool measure(struct snapshot_run *run, enum side side, unsigned round) {
    struct run_result result;
    struct run_watch watch = progress_watch(run->options, side == SIDE_ALONE ? "alone" : "snapshots");
    bool is_played = run_plan(&run->target, &run->plan, options_warmup_ns(run->options, 0.5), &watch, &result);
    bool is_fine = is_played && run_is_correct(&result);
    progress_clear(run->options);
    if (is_fine) {
        struct side_figures *figures = &run->sides[side];
        figures->p50_us[round] = (double)histogram_percentile_ns(result.all, 50) / 1e3;
        figures->p99_us[round] = (double)histogram_percentile_ns(result.all, 99) / 1e3;
        figures->p999_us[round] = (double)histogram_percentile_ns(result.all, 99.9) / 1e3;
        figures->worst_us[round] = (double)histogram_percentile_ns(result.all, 100) / 1e3;
        figures->cpu_ns[round] = run_cpu_per_operation_ns(&result);
    } else {
        fprintf(stderr, "sessiond-bench: %s\n", result.problem[0] ? result.problem : "not all was answered rightly");
    }
    run_result_fini(&result);
    return is_fine;
}

static bool measure_beside(struct snapshot_run *run, unsigned round) {
    struct maker maker = {.target = &run->target};
    if (pthread_create(&maker.thread, NULL, maker_main, &maker) != 0) return false;
    bool is_fine = measure(run, SIDE_SNAPSHOTS, round);
    atomic_store(&maker.must_stop, true);
    pthread_join(maker.thread, NULL);
    run->made += maker.made;
    run->took_ms += maker.took_ms;
    if (maker.problem[0]) fprintf(stderr, "sessiond-bench: %s\n", maker.problem);
    return is_fine && !maker.problem[0];
}

static bool play_round(struct snapshot_run *run, unsigned round) {
    bool is_alone_first = round % 2 == 0;
    bool is_fine = (!is_alone_first || measure(run, SIDE_ALONE, round)) && measure_beside(run, round) &&
                   (is_alone_first || measure(run, SIDE_ALONE, round));
    if (is_fine) run->ratios[round] = run->sides[SIDE_SNAPSHOTS].p999_us[round] / run->sides[SIDE_ALONE].p999_us[round];
    return is_fine;
}

/* ---- what was found */

static const char *const side_names[SIDE_COUNT] = {"alone", "snapshots"};

static void write_text(const struct snapshot_run *run, FILE *out) {
    fprintf(out, "%s on %llu sessions at %.0f/s, depth %u, %u connections, %u rounds: medians; us\n",
            run->plan.workload->name, (unsigned long long)run->plan.session_count, run->plan.rate_per_s,
            run->plan.depth, run->plan.connections, run->rounds);
    fprintf(out, "  %-12s %10s %10s %10s %10s %14s\n", "", "p50", "p99", "p99.9", "worst", "CPU");
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        const struct side_figures *of = &run->sides[side];
        fprintf(out, "  %-12s %10.1f %10.1f %10.1f %10.1f %11.0f ns\n", side_names[side],
                figures_median(of->p50_us, run->rounds), figures_median(of->p99_us, run->rounds),
                figures_median(of->p999_us, run->rounds), figures_median(of->worst_us, run->rounds),
                figures_median(of->cpu_ns, run->rounds));
    }
    fprintf(out, "p99.9 %.2f x; %u snapshots, %.0f ms each\n", figures_median(run->ratios, run->rounds), run->made,
            run->took_ms / run->made);
}

static void write_json(const void *context, FILE *out) {
    const struct snapshot_run *run = context;
    struct json json;
    json_begin(&json, out);
    json_count(&json, "sessions", run->plan.session_count);
    json_count(&json, "rounds", run->rounds);
    json_number(&json, "rate_per_s", run->plan.rate_per_s);
    json_count(&json, "snapshots_made", run->made);
    json_number(&json, "snapshot_ms", run->took_ms / run->made);
    json_number(&json, "p99.9_against", figures_median(run->ratios, run->rounds));
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        const struct side_figures *of = &run->sides[side];
        json_object(&json, side_names[side]);
        json_number(&json, "p50_us", figures_median(of->p50_us, run->rounds));
        json_number(&json, "p99_us", figures_median(of->p99_us, run->rounds));
        json_number(&json, "p99.9_us", figures_median(of->p999_us, run->rounds));
        json_number(&json, "worst_us", figures_median(of->worst_us, run->rounds));
        json_number(&json, "cpu_ns_per_operation", figures_median(of->cpu_ns, run->rounds));
        json_close(&json, '}');
    }
    json_end(&json);
}

static bool play(struct snapshot_run *run) {
    if (!target_load(&run->target, &run->plan, 0, run->plan.session_count, run->options, NULL)) return false;
    for (unsigned round = 0; round < run->rounds; round++)
        if (!play_round(run, round)) return false;
    write_text(run, stdout);
    return report_file(run->options->json, write_json, run);
}

static int play_server(struct snapshot_run *run, const struct server_recipe *recipe) {
    struct server_process server;
    const struct options *options = run->options;
    if (!server_begin(&server, recipe, options)) return 1;
    bool is_fine = target_open(&run->target, &driver_sessiond, server.address, server.pid, options, false) && play(run);
    target_close(&run->target);
    server_end(&server);
    return is_fine ? 0 : 1;
}

int snapshot_main(const struct options *options) {
    struct options own = *options;
    struct server_recipe recipe;
    enum level level = options_level(&own);
    own.compacts = false; /* snapshots are made when we say so */
    if (own.sessions == 0) own.sessions = 1000000;
    if (own.rate == 0) own.rate = RATE_DEFAULT;
    struct snapshot_run *run = calloc(1, sizeof *run);
    if (!run) return 1;
    run->options = &own;
    run->rounds = own.rounds < FIGURES_MAX ? (unsigned)own.rounds : FIGURES_MAX;
    bool is_asked_well = plan_from_options(&run->plan, &own) &&
                         recipe_find(&recipe, "sessiond", level == LEVEL_NONE ? LEVEL_EVERYSEC : level, &own);
    int status = is_asked_well ? play_server(run, &recipe) : 2;
    free(run);
    return status;
}
