/* See prepare.h. */
#include "prepare.h"

#include <stdio.h>
#include <unistd.h>

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
