/* See prepare.h. */
#include "prepare.h"

#include <stdio.h>
#include <unistd.h>

#define USAGE_UNLIMITED (UINT64_C(1) << 40)

bool target_refresh(struct target *target) {
    templates_fini(&target->templates);
    return templates_make(&target->templates, target->driver, &target->setup);
}

bool target_open(struct target *target, const struct driver *driver, const char *address, int pid,
                 const struct options *options, bool is_load_mortal) {
    char problem[PROBLEM_BYTES] = "not enough memory";
    *target = (struct target){.driver = driver, .pid = pid, .address = address};
    target->setup = (struct driver_setup){
        .namespace_name = options->namespace_name,
        .value_bytes = (uint32_t)options->value_bytes,
        .idle_timeout_ms = (int64_t)options->idle_timeout_ms,
        .is_numeric = options->is_numeric,
        .is_data_only = options->is_data_only,
        .is_deadline_explicit = options->is_deadline_explicit,
        .is_load_mortal = is_load_mortal,
        .pool = {.name = "none", .size = 1, .max_usage_count = 1, .strategy = options->strategy},
        .echo_request_bytes = 88,
        .echo_reply_bytes = 512,
    };
    if (!endpoint_parse(&target->endpoint, address)) {
        fprintf(stderr, "sessiond-bench: '%s' is no address; give host:port or the path of a Unix socket\n", address);
        return false;
    }
    if (driver->configure(&target->setup, &target->endpoint, problem, sizeof problem) && target_refresh(target))
        return true;
    fprintf(stderr, "sessiond-bench: %s (%s)\n", problem, address);
    return false;
}

/* Pools get a name of their own each time: whatever the server holds of earlier ones does not matter. */
static void name_pool(struct pool_setup *pool, const struct workload *workload, uint64_t sessions,
                      const struct options *options) {
    bool has_limit = workload->per_mille[KIND_USE] > 0;
    *pool = (struct pool_setup){.size = sessions,
                                .max_usage_count = has_limit ? options->max_usage_count : USAGE_UNLIMITED,
                                .strategy = options->strategy,
                                .lease_ms = (int64_t)options->lease_ms};
    snprintf(pool->name, sizeof pool->name, "%llu-%llx", (unsigned long long)sessions,
             (unsigned long long)monotonic_ns());
}

bool target_take_workload(struct target *target, const struct workload *workload, uint64_t sessions,
                          struct ledger *ledger, const struct options *options) {
    char problem[PROBLEM_BYTES] = "not enough memory";
    const struct driver *driver = target->driver;
    target->ledger = NULL;
    if (workload->family == FAMILY_STORE) return true;
    bool is_fine = ledger->entries || ledger_init(ledger, sessions);
    target->ledger = ledger;
    if (is_fine && workload->family == FAMILY_POOL) {
        name_pool(&target->setup.pool, workload, sessions, options);
        if (driver->configure_pool)
            is_fine = driver->configure_pool(&target->setup, &target->endpoint, problem, sizeof problem);
    }
    is_fine = is_fine && target_refresh(target);
    if (!is_fine) fprintf(stderr, "sessiond-bench: %s (%s)\n", problem, target->address);
    return is_fine;
}

bool workload_has_room(const struct workload *workload, uint64_t sessions, const struct plan *plan,
                       const struct options *options) {
    uint64_t in_flight = (uint64_t)plan->connections * plan->depth;
    /* Each worker has its share of the sessions and of the connections. */
    uint64_t needed = workload->family == FAMILY_AUTH
                          ? plan->threads * ledger_share_needs((in_flight + plan->threads - 1) / plan->threads)
                      : workload->family == FAMILY_POOL && options->lease_ms ? in_flight
                                                                             : 1;
    if (sessions >= needed) return true;
    fprintf(stderr, "sessiond-bench: %s with %llu operations at once needs at least %llu sessions, not %llu\n",
            workload->name, (unsigned long long)in_flight, (unsigned long long)needed, (unsigned long long)sessions);
    return false;
}

void target_close(struct target *target) {
    templates_fini(&target->templates);
}

static bool distribution_find(const char *name, enum key_distribution *distribution) {
    static const char *const names[] = {"uniform", "zipf", "latest"};
    for (unsigned i = 0; name && i < 3; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *distribution = (enum key_distribution)i;
        return true;
    }
    return name == NULL;
}

bool plan_from_options(struct plan *plan, const struct options *options) {
    bool is_load = strcmp(options->workload, "load") == 0, is_expire = strcmp(options->workload, "expire") == 0;
    *plan = (struct plan){
        .workload = is_load     ? &workload_load
                    : is_expire ? &workload_expire
                                : workload_find(options->workload),
        .seed = options->seed,
        .session_count = options->sessions ? options->sessions : 100000,
        .connections = (uint32_t)options->connections,
        .depth = (uint32_t)options->depth,
        .threads = (uint32_t)options->threads,
        .request_count = options->requests,
        .duration_ns = options->requests ? 0 : (uint64_t)((options->duration_s > 0 ? options->duration_s : 5) * 1e9),
        .rate_per_s = options->rate,
        .is_sliding = strcmp(options->window, "slide") == 0,
        .check_every = (uint32_t)options->check_every,
    };
    if (!plan->workload) {
        fprintf(stderr, "sessiond-bench: there is no workload '%s'; --help lists them\n", options->workload);
        return false;
    }
    plan->distribution = plan->workload->distribution;
    if (distribution_find(options->keys, &plan->distribution)) return true;
    fprintf(stderr, "sessiond-bench: --keys is uniform, zipf or latest\n");
    return false;
}

static bool has_progress(const struct options *options) {
    return !options->is_quiet && isatty(STDERR_FILENO);
}

static void show_progress(void *context, const char *phase, uint64_t completed, uint64_t elapsed_ns) {
    (void)context;
    double seconds = (double)elapsed_ns / 1e9;
    fprintf(stderr, "\r\033[K%s: %.1f s, %llu operations, %.0f/s", phase, seconds, (unsigned long long)completed,
            (double)completed / seconds);
}

struct run_watch progress_watch(const struct options *options, const char *phase) {
    return (struct run_watch){.progress = has_progress(options) ? show_progress : NULL, .phase = phase};
}

void progress_clear(const struct options *options) {
    if (has_progress(options)) fputs("\r\033[K", stderr);
}

bool target_load(const struct target *target, const struct plan *plan, uint64_t first, uint64_t count,
                 const struct options *options, uint64_t *took_ms) {
    struct run_result result;
    struct run_watch watch = progress_watch(options, "load");
    bool is_fine = run_load(target, plan, first, count, &watch, &result) && run_is_correct(&result);
    progress_clear(options);
    if (!is_fine) fprintf(stderr, "sessiond-bench: the load failed: %s\n", result.problem);
    if (took_ms) *took_ms = result.tally.elapsed_ns / 1000000;
    run_result_fini(&result);
    return is_fine;
}

bool server_begin(struct server_process *server, const struct server_recipe *recipe, const struct options *options) {
    char problem[PROBLEM_BYTES];
    bool is_pinned = core_count() > 1;
    if (server_start(server, recipe, is_pinned ? (int)options->server_core : -1, problem, sizeof problem)) {
        if (is_pinned) core_avoid((int)options->server_core);
        return true;
    }
    fprintf(stderr, "sessiond-bench: %s\n", problem);
    return false;
}
