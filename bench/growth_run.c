/* See growth_run.h. */
#include "growth_run.h"

#include "report.h"

bool growth_refuse(struct growth *growth, const char *problem) {
    snprintf(growth->problem, sizeof growth->problem, "%s", problem);
    return false;
}

bool growth_server_open(struct growth *growth, struct growth_server *server, const char *name, uint64_t value_bytes) {
    struct server_recipe recipe;
    struct options own = *growth->options;
    bool is_ceiling = strcmp(name, "ceiling") == 0;
    const struct driver *driver = is_ceiling ? &driver_echo : &driver_sessiond;
    own.value_bytes = value_bytes;
    *server = (struct growth_server){.process = {.said_fd = -1}};
    recipe_find(&recipe, name, is_ceiling ? LEVEL_NONE : options_level(&own), &own);
    if (!server_start(&server->process, &recipe, growth->is_pinned ? (int)own.server_core : -1, growth->problem,
                      sizeof growth->problem))
        return false;
    if (growth->is_pinned) core_avoid((int)own.server_core);
    return target_open(&server->target, driver, server->process.address, server->process.pid, &own, false) ||
           growth_refuse(growth, "the server could not be set up");
}

void growth_server_close(struct growth_server *server) {
    target_close(&server->target);
    server_end(&server->process);
}

static bool plan_of(struct growth *growth, const struct growth_play *play, struct plan *plan) {
    if (!plan_from_options(plan, growth->options)) return growth_refuse(growth, "there is no such plan");
    plan->workload = play->workload;
    plan->distribution = play->workload->distribution;
    plan->session_count = play->sessions;
    plan->connections = (uint32_t)play->connections;
    plan->depth = (uint32_t)play->depth;
    if (plan->threads > plan->connections) plan->threads = plan->connections;
    return true;
}

static bool is_right(struct growth *growth, bool is_played, const struct run_result *result) {
    if (is_played && run_is_correct(result) && result->has_server) return true;
    return growth_refuse(growth, result->problem[0] ? result->problem : "not all was answered rightly");
}

bool growth_load(struct growth *growth, struct growth_server *server, uint64_t sessions, double *cpu_ns,
                 double *bytes) {
    struct growth_play play = {.workload = &workload_load, .sessions = sessions, .connections = 4, .depth = 1};
    struct run_watch watch = progress_watch(growth->options, "load");
    struct run_result result = {0};
    struct plan plan;
    bool is_fine = plan_of(growth, &play, &plan) &&
                   is_right(growth, run_load(&server->target, &plan, 0, sessions, &watch, &result), &result);
    progress_clear(growth->options);
    if (is_fine && cpu_ns) *cpu_ns = run_cpu_per_operation_ns(&result);
    if (is_fine && bytes)
        *bytes = ((double)result.rss_after_bytes - (double)result.rss_before_bytes) / (double)sessions;
    run_result_fini(&result);
    return is_fine;
}

bool growth_play(struct growth *growth, struct growth_server *server, struct growth_play *play) {
    struct run_watch watch = progress_watch(growth->options, play->workload->name);
    struct run_result result = {0};
    struct plan plan;
    uint64_t warmup_ns = options_warmup_ns(growth->options, 0.3);
    bool is_fine = plan_of(growth, play, &plan) &&
                   is_right(growth, run_plan(&server->target, &plan, warmup_ns, &watch, &result), &result);
    progress_clear(growth->options);
    if (is_fine) {
        double completed = (double)result.tally.completed;
        play->cpu_ns = run_cpu_per_operation_ns(&result);
        play->request_bytes = (double)result.tally.sent_bytes / completed;
        play->reply_bytes = (double)result.tally.received_bytes / completed;
    }
    run_result_fini(&result);
    return is_fine;
}
