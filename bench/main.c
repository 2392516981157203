/* sessiond-bench: the load generator. `run` (or nothing) measures one workload against a server that is there already;
 * `compare` starts the servers itself. See README.md for what is measured and how. */
#include "compare.h"
#include "expire.h"
#include "growth.h"
#include "memory.h"
#include "prepare.h"
#include "report.h"
#include "restart.h"
#include "snapshot.h"
#include "tail.h"
#include "watch.h"

#include <signal.h>
#include <stdio.h>

static void write_json(const void *report, FILE *out) {
    report_json(report, out);
}
static void write_svg(const void *report, FILE *out) {
    report_svg(report, out);
}
static void write_html(const void *report, FILE *out) {
    report_html(report, out);
}
static void write_hgrm(const void *report, FILE *out) {
    histogram_write_hgrm(((const struct run_report *)report)->result->all, out);
}

static bool write_reports(const struct run_report *report) {
    const struct options *options = report->options;
    report_text(report, stdout);
    bool is_fine = report_file(options->json, write_json, report);
    is_fine &= report_file(options->hgrm, write_hgrm, report);
    is_fine &= report_file(options->svg, write_svg, report);
    is_fine &= report_file(options->html, write_html, report);
    return is_fine;
}

/* Loads, and answers what the load showed about memory. */
static bool load(const struct options *options, const struct target *target, const struct plan *plan,
                 struct memory_report *memory) {
    struct run_result result;
    struct run_watch watch = progress_watch(options, "load");
    *memory = (struct memory_report){.is_known = false};
    bool is_pool = plan->workload->family == FAMILY_POOL;
    if (options->is_load_skipped) return true;
    if (target->driver == &driver_echo && plan->workload->family != FAMILY_STORE) return true;
    bool is_fine = run_load(target, plan, 0, plan->session_count, &watch, &result) && run_is_correct(&result);
    progress_clear(options);
    if (is_fine) {
        if (!is_pool) *memory = memory_report_of(&result, plan->session_count, target->setup.value_bytes);
        printf("load        %llu sessions in %.2f s, %.0f/s", (unsigned long long)plan->session_count,
               (double)result.tally.elapsed_ns / 1e9, run_rate(&result));
        if (result.has_server) printf(", %.0f ns CPU each", run_cpu_per_operation_ns(&result));
        if (memory->is_known) printf(", %.1f bytes beyond id and data", memory->overhead_bytes);
        putchar('\n');
    } else {
        fprintf(stderr, "sessiond-bench: the load failed: %s\n", result.problem);
    }
    run_result_fini(&result);
    return is_fine;
}

static int measure(const struct options *options, const struct target *target, const struct plan *plan,
                   const struct memory_report *memory) {
    struct run_result result;
    struct run_watch watch = progress_watch(options, plan->workload->name);
    bool is_played = run_plan(target, plan, options_warmup_ns(options, 0.5), &watch, &result);
    progress_clear(options);
    int status = 1;
    if (is_played) {
        struct run_report report = {options, plan, target, &result, *memory};
        bool is_written = write_reports(&report);
        status = !is_written ? 1 : run_is_correct(&result) ? 0 : 3;
    } else {
        fprintf(stderr, "sessiond-bench: %s\n", result.problem);
    }
    run_result_fini(&result);
    return status;
}

static bool is_possible(const struct target *target, const struct workload *workload) {
    bool has_leases = target->setup.pool.lease_ms > 0;
    if (workload_is_possible(workload, target->driver, &target->templates, has_leases)) return true;
    fprintf(stderr, "sessiond-bench: the %s server cannot be asked for what %s does\n", target->driver->name,
            workload->name);
    return false;
}

static int run_against(const struct options *options, const struct driver *driver, const char *address, int pid) {
    struct target target = {0};
    struct plan plan;
    struct memory_report memory;
    struct ledger ledger = {0};
    if (!plan_from_options(&plan, options) || !workload_has_room(plan.workload, plan.session_count, &plan, options))
        return 2;
    bool is_expire = plan.workload == &workload_expire;
    int status = 1;
    if (target_open(&target, driver, address, pid, options, is_expire)) {
        bool is_ready = target_take_workload(&target, plan.workload, plan.session_count, &ledger, options);
        if (!is_ready || !is_possible(&target, plan.workload))
            status = 1;
        else if (is_expire)
            status = expire_main(options, &target, &plan);
        else if (!load(options, &target, &plan, &memory))
            status = 1;
        else
            status = plan.workload == &workload_load ? 0 : measure(options, &target, &plan, &memory);
    }
    target_close(&target);
    ledger_fini(&ledger);
    return status;
}

static int run_spawned(const struct options *options, const struct driver *driver) {
    struct server_process server;
    struct server_recipe recipe;
    recipe_find(&recipe, driver == &driver_echo ? "ceiling" : driver->name, options_level(options), options);
    if (recipe.refusal) {
        fprintf(stderr, "sessiond-bench: %s takes --durability none only: %s\n", driver->name, recipe.refusal);
        return 2;
    }
    if (!server_begin(&server, &recipe, options)) return 1;
    int status = run_against(options, driver, server.address, server.pid);
    server_end(&server);
    return status;
}

static int run_main(const struct options *options) {
    const struct driver *driver = driver_find(options->server);
    if (!driver) {
        fprintf(stderr, "sessiond-bench: --server is sessiond, redis, memcached or echo\n");
        return 2;
    }
    if (options->is_spawned) return run_spawned(options, driver);
    return run_against(options, driver, options->address, (int)options->pid);
}

static const struct {
    const char *name;
    int (*main)(const struct options *options);
} verbs[] = {{"run", run_main},           {"compare", compare_main}, {"watch", watch_main}, {"restart", restart_main},
             {"snapshot", snapshot_main}, {"memory", memory_main},   {"tail", tail_main},   {"growth", growth_main}};
enum { VERBS = sizeof verbs / sizeof *verbs };

int main(int argc, char **argv) {
    struct options options;
    unsigned verb = 0;
    while (argc > 1 && verb < VERBS && strcmp(argv[1], verbs[verb].name) != 0) verb++;
    bool has_verb = argc > 1 && verb < VERBS;
    if (!options_parse(&options, argc - has_verb, argv + has_verb, stderr)) return 2;
    if (options.is_help) return options_help(stdout), 0;
    if (options.is_version) return puts("sessiond-bench " SESSIOND_VERSION), 0;
    signal(SIGPIPE, SIG_IGN);
    return verbs[has_verb ? verb : 0].main(&options);
}
