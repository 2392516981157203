/* See watch.h. All cases in every round, so that the machine's mood falls on each alike. The server's CPU time is read
 * before the first set and when the last event has come, so it holds all that the events cost. */
#define _GNU_SOURCE
#include "watch.h"

#include "figures.h"
#include "prepare.h"
#include "report.h"
#include "spawn.h"
#include "watchers.h"

enum { CASE_COUNT = 4, WATCH_ROUNDS_MAX = FIGURES_MAX, SETS_DEFAULT = 20000, DEPTH_DEFAULT = 16 };

struct watch_case {
    char title[64];
    unsigned watchers;
    const char *kind; /* that they watch alone; NULL: all */
    uint64_t told, missed, sets;
    double cpu_ns[WATCH_ROUNDS_MAX];   /* per set */
    double ratios[WATCH_ROUNDS_MAX];   /* against nobody watching, in the same round */
    double event_ns[WATCH_ROUNDS_MAX]; /* beyond that, per event told */
};

struct watch_run {
    const struct options *options;
    struct target target;
    struct plan plan;
    struct watch_case cases[CASE_COUNT];
    unsigned rounds;
};

static void describe_cases(struct watch_run *run) {
    unsigned many = (unsigned)run->options->watchers;
    run->cases[0] = (struct watch_case){.title = "nobody watches"};
    run->cases[1] = (struct watch_case){.title = "1 watches all", .watchers = 1};
    run->cases[2] = (struct watch_case){.watchers = many};
    run->cases[3] = (struct watch_case){.watchers = many, .kind = "token_reused"};
    snprintf(run->cases[2].title, sizeof run->cases[2].title, "%u watch all", many);
    snprintf(run->cases[3].title, sizeof run->cases[3].title, "%u watch what does not happen", many);
}

static bool play_sets(struct watch_run *run, struct watchers *watchers, struct watch_case *of, unsigned round,
                      char *problem, size_t problem_size) {
    struct process_sample before, after;
    struct run_result result;
    struct run_watch watch = {.phase = "watch"};
    bool is_fine =
        process_sample_take(&before, run->target.pid) && run_plan(&run->target, &run->plan, 0, &watch, &result);
    if (!is_fine || !run_is_correct(&result)) {
        snprintf(problem, problem_size, "%s", result.problem);
        run_result_fini(&result);
        return false;
    }
    uint64_t sets = result.tally.completed;
    run_result_fini(&result);
    if (!watchers_wait(watchers, of->kind ? 0 : sets, problem, problem_size)) return false;
    if (!process_sample_take(&after, run->target.pid)) return false;
    uint64_t told = watchers_told(watchers);
    of->cpu_ns[round] = (double)(after.cpu_ns - before.cpu_ns) / (double)sets;
    of->ratios[round] = of->cpu_ns[round] / run->cases[0].cpu_ns[round];
    if (told) of->event_ns[round] = (of->cpu_ns[round] - run->cases[0].cpu_ns[round]) * (double)sets / (double)told;
    of->told += told;
    of->missed += watchers_missed(watchers);
    of->sets += sets;
    return true;
}

static bool play_case(struct watch_run *run, struct watch_case *of, unsigned round) {
    struct watchers watchers;
    char problem[PROBLEM_BYTES];
    bool is_fine = watchers_start(&watchers, &run->target.endpoint, &run->target.setup, of->watchers, of->kind, problem,
                                  sizeof problem) &&
                   play_sets(run, &watchers, of, round, problem, sizeof problem);
    watchers_stop(&watchers);
    if (!is_fine) fprintf(stderr, "sessiond-bench: %s: %s\n", of->title, problem);
    return is_fine;
}

static void write_text(const struct watch_run *run, FILE *out) {
    fprintf(out, "sets on %llu sessions, %u connections, depth %u, %u rounds; CPU of the server: medians\n",
            (unsigned long long)run->plan.session_count, run->plan.connections, run->plan.depth, run->rounds);
    fprintf(out, "  %-30s %10s %10s %14s %12s %12s\n", "", "CPU/set", "x nobody", "CPU/event", "told", "missed");
    for (unsigned i = 0; i < CASE_COUNT; i++) {
        const struct watch_case *of = &run->cases[i];
        fprintf(out, "  %-30s %7.0f ns %10.2f ", of->title, figures_median(of->cpu_ns, run->rounds),
                figures_median(of->ratios, run->rounds));
        if (of->told)
            fprintf(out, "%11.0f ns ", figures_median(of->event_ns, run->rounds));
        else
            fprintf(out, "%14s ", "-");
        fprintf(out, "%12llu %12llu\n", (unsigned long long)of->told, (unsigned long long)of->missed);
    }
}

static void write_json(const void *context, FILE *out) {
    const struct watch_run *run = context;
    struct json json;
    json_begin(&json, out);
    json_count(&json, "sessions", run->plan.session_count);
    json_count(&json, "rounds", run->rounds);
    json_array(&json, "cases");
    for (unsigned i = 0; i < CASE_COUNT; i++) {
        const struct watch_case *of = &run->cases[i];
        json_object(&json, NULL);
        json_text(&json, "case", of->title);
        json_count(&json, "watchers", of->watchers);
        json_number(&json, "cpu_ns_per_set", figures_median(of->cpu_ns, run->rounds));
        json_number(&json, "against_nobody", figures_median(of->ratios, run->rounds));
        if (of->told) json_number(&json, "cpu_ns_per_event", figures_median(of->event_ns, run->rounds));
        json_count(&json, "sets", of->sets);
        json_count(&json, "events_told", of->told);
        json_count(&json, "events_missed", of->missed);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_end(&json);
}

static bool play(struct watch_run *run) {
    if (!target_load(&run->target, &run->plan, 0, run->plan.session_count, run->options, NULL)) return false;
    for (unsigned round = 0; round < run->rounds; round++)
        for (unsigned i = 0; i < CASE_COUNT; i++)
            if (!play_case(run, &run->cases[i], round)) return false;
    write_text(run, stdout);
    return report_file(run->options->json, write_json, run);
}

int watch_main(const struct options *options) {
    struct options own = *options;
    struct watch_run run = {.options = &own};
    struct server_process server;
    struct server_recipe recipe;
    own.workload = "set";
    if (own.requests == 0) own.requests = SETS_DEFAULT;
    if (own.depth == 1) own.depth = DEPTH_DEFAULT;
    run.rounds = own.rounds < WATCH_ROUNDS_MAX ? (unsigned)own.rounds : WATCH_ROUNDS_MAX;
    describe_cases(&run);
    if (!plan_from_options(&run.plan, &own) || !recipe_find(&recipe, "sessiond", options_level(&own), &own)) return 2;
    if (!server_begin(&server, &recipe, &own)) return 1;
    bool is_fine = target_open(&run.target, &driver_sessiond, server.address, server.pid, &own, false) && play(&run);
    target_close(&run.target);
    server_end(&server);
    return is_fine ? 0 : 1;
}
