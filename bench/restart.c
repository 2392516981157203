/* See restart.h. In each round a server starts empty, is loaded and ends; one starts from the log which that has left,
 * makes a snapshot and ends; one starts from the snapshot. CPU time is read when each says that it is ready: it holds
 * all that the start took, and what an empty start takes is told beside it. After each start some sessions are read and
 * their data compared. */
#define _GNU_SOURCE
#include "restart.h"

#include "figures.h"
#include "prepare.h"
#include "report.h"
#include "snapshot.h"

#include <stdlib.h>

enum { CHECKS = 20000 };
enum start { START_EMPTY, START_FROM_LOG, START_FROM_SNAPSHOT, START_COUNT };

struct restart_run {
    const struct options *options;
    struct server_recipe recipe;
    struct plan plan;
    char directory[SCRATCH_PATH_MAX];
    double cpu_ms[START_COUNT][FIGURES_MAX], wall_ms[START_COUNT][FIGURES_MAX];
    unsigned rounds;
    int core;
};

static const char *const start_names[START_COUNT] = {"empty", "from the log", "from a snapshot"};

static bool start_server(struct restart_run *run, struct server_process *server, enum start start, unsigned round) {
    char problem[PROBLEM_BYTES];
    struct process_sample sample = {0};
    uint64_t from_ns = monotonic_ns();
    if (!server_start_in(server, &run->recipe, run->directory, run->core, problem, sizeof problem)) {
        fprintf(stderr, "sessiond-bench: %s: %s\n", start_names[start], problem);
        return false;
    }
    run->wall_ms[start][round] = (double)(monotonic_ns() - from_ns) / 1e6;
    bool is_taken = process_sample_take(&sample, server->pid);
    run->cpu_ms[start][round] = (double)sample.cpu_ns / 1e6;
    if (!is_taken) fprintf(stderr, "sessiond-bench: the server's CPU time is not told\n");
    return is_taken;
}

/* Loads all sessions, or reads some. */
static bool play(const struct restart_run *run, const struct target *target, bool is_load) {
    struct run_result result;
    struct plan plan = run->plan;
    struct run_watch watch = progress_watch(run->options, is_load ? "load" : "check");
    plan.duration_ns = 0;
    plan.request_count = CHECKS;
    bool is_fine = is_load ? run_load(target, &plan, 0, plan.session_count, &watch, &result)
                           : run_plan(target, &plan, 0, &watch, &result);
    is_fine = is_fine && run_is_correct(&result);
    progress_clear(run->options);
    if (!is_fine)
        fprintf(stderr, "sessiond-bench: %s\n", result.problem[0] ? result.problem : "not all sessions came back");
    run_result_fini(&result);
    return is_fine;
}

static bool play_with(struct restart_run *run, const struct server_process *server, enum start start) {
    struct target target;
    char problem[PROBLEM_BYTES] = "";
    bool is_fine = target_open(&target, &driver_sessiond, server->address, server->pid, run->options, false) &&
                   play(run, &target, start == START_EMPTY);
    if (is_fine && start == START_FROM_LOG) is_fine = snapshot_make(&target, problem, sizeof problem);
    if (problem[0]) fprintf(stderr, "sessiond-bench: %s\n", problem);
    target_close(&target);
    return is_fine;
}

static bool play_start(struct restart_run *run, enum start start, unsigned round) {
    struct server_process server;
    if (!start_server(run, &server, start, round)) return false;
    bool is_fine = play_with(run, &server, start);
    server_end(&server);
    return is_fine;
}

static bool play_round(struct restart_run *run, unsigned round) {
    char problem[PROBLEM_BYTES];
    if (!scratch_make(run->options->scratch, run->directory, problem, sizeof problem)) {
        fprintf(stderr, "sessiond-bench: %s\n", problem);
        return false;
    }
    bool is_fine = true;
    for (unsigned start = 0; is_fine && start < START_COUNT; start++) is_fine = play_start(run, start, round);
    scratch_remove(run->directory);
    return is_fine;
}

static double per_session_ns(const struct restart_run *run, enum start start) {
    double empty = figures_median(run->cpu_ms[START_EMPTY], run->rounds);
    return (figures_median(run->cpu_ms[start], run->rounds) - empty) * 1e6 / (double)run->plan.session_count;
}

static void write_text(const struct restart_run *run, FILE *out) {
    fprintf(out, "starts of sessiond with %llu sessions of %llu bytes, %u rounds: medians\n",
            (unsigned long long)run->plan.session_count, (unsigned long long)run->options->value_bytes, run->rounds);
    fprintf(out, "  %-16s %12s %12s %20s\n", "", "CPU", "until ready", "CPU per session");
    for (unsigned start = 0; start < START_COUNT; start++) {
        fprintf(out, "  %-16s %9.1f ms %9.1f ms", start_names[start], figures_median(run->cpu_ms[start], run->rounds),
                figures_median(run->wall_ms[start], run->rounds));
        if (start != START_EMPTY) fprintf(out, " %17.0f ns", per_session_ns(run, start));
        fputc('\n', out);
    }
}

static void write_json(const void *context, FILE *out) {
    const struct restart_run *run = context;
    struct json json;
    json_begin(&json, out);
    json_count(&json, "sessions", run->plan.session_count);
    json_count(&json, "rounds", run->rounds);
    json_array(&json, "starts");
    for (unsigned start = 0; start < START_COUNT; start++) {
        json_object(&json, NULL);
        json_text(&json, "start", start_names[start]);
        json_number(&json, "cpu_ms", figures_median(run->cpu_ms[start], run->rounds));
        json_number(&json, "until_ready_ms", figures_median(run->wall_ms[start], run->rounds));
        if (start != START_EMPTY) json_number(&json, "cpu_ns_per_session", per_session_ns(run, start));
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_end(&json);
}

int restart_main(const struct options *options) {
    struct options own = *options;
    bool is_pinned = core_count() > 1;
    own.workload = "get";
    own.compacts = false; /* what is begun from is what this has made */
    if (own.sessions == 0) own.sessions = 1000000;
    enum level level = options_level(&own);
    struct restart_run *run = calloc(1, sizeof *run);
    if (!run) return 1;
    *run = (struct restart_run){.options = &own, .core = is_pinned ? (int)own.server_core : -1};
    run->rounds = own.rounds < FIGURES_MAX ? (unsigned)own.rounds : FIGURES_MAX;
    bool is_fine = plan_from_options(&run->plan, &own) &&
                   recipe_find(&run->recipe, "sessiond", level == LEVEL_NONE ? LEVEL_EVERYSEC : level, &own);
    if (is_pinned) core_avoid((int)own.server_core);
    for (unsigned round = 0; is_fine && round < run->rounds; round++) is_fine = play_round(run, round);
    if (is_fine) write_text(run, stdout);
    is_fine = is_fine && report_file(own.json, write_json, run);
    free(run);
    return is_fine ? 0 : 1;
}
