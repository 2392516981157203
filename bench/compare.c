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

#define AT_THREE_DEPTHS(name) name ":1," name ":16," name ":64"
static const char *const store_cells =
    AT_THREE_DEPTHS("get") "," AT_THREE_DEPTHS("get_touch") "," AT_THREE_DEPTHS("set") "," AT_THREE_DEPTHS("mix");
static const char *const auth_cells = AT_THREE_DEPTHS("auth") ",validate:16,rotate:16,login:16";
/* What has to be kept, alone and with reads between. */
static const char *const kept_cells = "set:1,set:16,mix:16,get:16";
/* A pool of one size against one a hundred times as large: what a hand-out costs must not tell them apart. */
static const char *const pool_cells = AT_THREE_DEPTHS("scrape@1000") ",scrape@100000:16,acquire@1000:16,"
                                                                     "acquire@100000:16,mark@1000:16,mark@100000:16";
enum { POOL_SIZE_DEFAULT = 1000, POOL_SIZE_MAX = 10000000 };

/* What is compared where no cells are given: the goals' table, or what the workload is made of. */
static const char *cells_of(const struct options *options, char *text, size_t size) {
    if (options->cells) return options->cells;
    if (strcmp(options->workload, "auth") == 0) return auth_cells;
    if (strcmp(options->workload, "scrape") == 0) return pool_cells;
    if (!options->only) return strcmp(options->durability, "none") == 0 ? store_cells : kept_cells;
    const struct workload *workload = workload_find(options->only);
    const char *name = options->only;
    if (workload->family == FAMILY_POOL)
        snprintf(text, size, "%s@1000:1,%s@1000:16,%s@100000:1,%s@100000:16", name, name, name, name);
    else
        snprintf(text, size, "%s:1,%s:16,%s:64", name, name, name);
    return text;
}

static bool parse_cell(struct cell *cell, const char *text, const struct options *options) {
    char name[32];
    unsigned depth = 1, connections = (unsigned)options->connections, pool_size = POOL_SIZE_DEFAULT;
    int used = 0, more = 0;
    if (sscanf(text, "%31[a-z_-]%n@%u%n", name, &used, &pool_size, &used) < 1) return false;
    sscanf(text + used, ":%u%n:%u%n", &depth, &more, &connections, &more);
    cell->workload = workload_find(name);
    cell->depth = depth;
    cell->connections = connections;
    if (!cell->workload || text[used + more] != '\0') return false;
    bool is_pool = cell->workload->family == FAMILY_POOL;
    if (is_pool) cell->pool_size = pool_size;
    return depth >= 1 && depth <= CONN_DEPTH_MAX && connections >= 1 && connections <= 19000 && pool_size >= 1 &&
           pool_size <= POOL_SIZE_MAX && (is_pool || !strchr(text, '@'));
}

static bool cell_has_room(const struct comparison *comparison, const struct cell *cell) {
    struct plan plan = comparison->plan;
    plan.depth = cell->depth;
    plan.connections = cell->connections;
    return workload_has_room(cell->workload, cell->pool_size ? cell->pool_size : plan.session_count, &plan,
                             comparison->options);
}

static bool parse_cells(struct comparison *comparison, const struct options *options) {
    char list[4096], made[128];
    const char *cells = cells_of(options, made, sizeof made);
    comparison->cells = calloc(CELLS_MAX, sizeof *comparison->cells);
    if (!comparison->cells || (size_t)snprintf(list, sizeof list, "%s", cells) >= sizeof list) return false;
    for (char *rest = list, *text; (text = strsep(&rest, ","));) {
        struct cell *cell = &comparison->cells[comparison->cell_count];
        if (comparison->cell_count == CELLS_MAX || !parse_cell(cell, text, options)) {
            fprintf(stderr,
                    "sessiond-bench: '%s' is no cell; a cell is workload:depth or workload:depth:connections, and "
                    "workload@N:depth for a pool of N sessions\n",
                    text);
            return false;
        }
        if (!cell_has_room(comparison, cell)) return false;
        comparison->cell_count++;
    }
    return true;
}

const char *cell_title(const struct cell *cell) {
    static char title[128];
    char pool[40] = "";
    if (cell->pool_size) snprintf(pool, sizeof pool, " from a pool of %llu", (unsigned long long)cell->pool_size);
    snprintf(title, sizeof title, "%s%s, depth %u, %u connections", cell->workload->name, pool, cell->depth,
             cell->connections);
    return title;
}

/* ---- servers */

static void name_contender(struct contender *contender, const struct server_recipe *recipe) {
    *contender = (struct contender){.server = recipe->name, .level = recipe->level};
    bool is_none = recipe->level == LEVEL_NONE;
    snprintf(contender->name, sizeof contender->name, "%s%s%s", recipe->name, is_none ? "" : "/",
             is_none ? "" : level_names[recipe->level]);
}

static bool start_contender(struct comparison *comparison, const char *name, enum level level) {
    struct contender *contender = &comparison->contenders[comparison->contender_count];
    struct server_recipe recipe;
    char problem[PROBLEM_BYTES];
    const struct options *options = comparison->options;
    if (comparison->contender_count == CONTENDERS_MAX || !recipe_find(&recipe, name, level, options)) {
        fprintf(stderr, "sessiond-bench: --servers takes sessiond, redis, memcached and ceiling, not '%s'\n", name);
        return false;
    }
    name_contender(contender, &recipe);
    if (!recipe.is_level_possible) {
        fprintf(stderr, "sessiond-bench: %s is left out at %s: it keeps nothing on disk\n", name, level_names[level]);
        return true;
    }
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

static bool start_at(struct comparison *comparison, enum level level) {
    char list[256];
    snprintf(list, sizeof list, "%s", comparison->options->servers);
    for (char *rest = list, *name; (name = strsep(&rest, ","));)
        if (!start_contender(comparison, name, level)) return false;
    return true;
}

static bool start_contenders(struct comparison *comparison) {
    char list[64];
    const struct options *options = comparison->options;
    enum level level = LEVEL_NONE;
    snprintf(list, sizeof list, "%s", options->durability);
    for (char *rest = list, *name; (name = strsep(&rest, ","));)
        if (!level_find(name, &level) || !start_at(comparison, level)) return false;
    if (strcmp(options->durability, "none") != 0 && scratch_is_memory(options->scratch))
        fprintf(stderr, "sessiond-bench: %s is memory, where a sync costs nothing; --scratch names another directory\n",
                options->scratch);
    return comparison->contender_count > 0;
}

static void end_contenders(struct comparison *comparison) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        server_end(&comparison->contenders[i].process);
        target_close(&comparison->contenders[i].target);
        ledger_fini(&comparison->contenders[i].ledger);
    }
}

static bool is_ceiling(const struct contender *contender) {
    return contender->target.driver == &driver_echo;
}

/* Loads so many sessions for a workload of that family; the figures of a pool's are not kept. */
static bool load_sessions(struct comparison *comparison, struct contender *contender, const struct workload *workload,
                          uint64_t count) {
    struct run_result result;
    struct run_watch watch = progress_watch(comparison->options, "load");
    struct plan plan = comparison->plan;
    plan.workload = workload;
    plan.session_count = count;
    bool is_fine = run_load(&contender->target, &plan, 0, count, &watch, &result) && run_is_correct(&result);
    progress_clear(comparison->options);
    if (workload->family != FAMILY_POOL) {
        contender->memory = memory_report_of(&result, count, contender->target.setup.value_bytes);
        contender->load_cpu_ns = run_cpu_per_operation_ns(&result);
    }
    if (is_fine && !(comparison->options->is_quiet && workload->family == FAMILY_POOL))
        fprintf(stderr, "%-17s %s: %llu sessions loaded in %.1f s\n", contender->name, contender->process.version,
                (unsigned long long)count, (double)result.tally.elapsed_ns / 1e9);
    if (!is_fine) fprintf(stderr, "sessiond-bench: loading %s failed: %s\n", contender->name, result.problem);
    run_result_fini(&result);
    return is_fine;
}

static bool can_play(const struct comparison *comparison, const struct contender *contender,
                     const struct workload *workload) {
    return workload_is_possible(workload, contender->target.driver, &contender->target.templates,
                                comparison->options->lease_ms > 0);
}

/* The first of the cells whose sessions are of that family; NULL if there is none. */
static const struct workload *first_of(const struct comparison *comparison, enum family family) {
    for (unsigned i = 0; i < comparison->cell_count; i++)
        if (comparison->cells[i].workload->family == family) return comparison->cells[i].workload;
    return NULL;
}

/* What the cells ask for, but for pools: those are made when they are measured first. */
static bool load_contender(struct comparison *comparison, struct contender *contender) {
    const struct workload *store = first_of(comparison, FAMILY_STORE), *auth = first_of(comparison, FAMILY_AUTH);
    const struct workload *pool = first_of(comparison, FAMILY_POOL);
    uint64_t count = comparison->plan.session_count;
    if (is_ceiling(contender)) return true;
    if ((auth && !can_play(comparison, contender, auth)) || (pool && !can_play(comparison, contender, pool)))
        fprintf(stderr, "%-17s is left out where tokens or pools are measured: it has no such operations\n",
                contender->name);
    if (store && !load_sessions(comparison, contender, store, count)) return false;
    if (!auth || !can_play(comparison, contender, auth)) return true;
    return target_take_workload(&contender->target, auth, count, &contender->ledger, comparison->options) &&
           load_sessions(comparison, contender, auth, count);
}

/* Turns the target to the sessions that the cell is about. */
static bool enter_cell(struct comparison *comparison, struct contender *contender, struct cell *cell) {
    struct target *target = &contender->target;
    struct cell_pool *pool = &cell->pools[contender - comparison->contenders];
    target->ledger = cell->workload->family == FAMILY_AUTH ? &contender->ledger : NULL;
    if (cell->workload->family != FAMILY_POOL || is_ceiling(contender)) return true;
    if (pool->is_loaded) {
        target->setup.pool = pool->setup;
        target->ledger = &pool->ledger;
        return target_refresh(target);
    }
    pool->is_loaded =
        target_take_workload(target, cell->workload, cell->pool_size, &pool->ledger, comparison->options) &&
        load_sessions(comparison, contender, cell->workload, cell->pool_size);
    pool->setup = target->setup.pool;
    return pool->is_loaded;
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
    if (cell->pool_size) plan.session_count = cell->pool_size;
    if (is_ceiling(contender)) plan.check_every = 0;
    struct run_watch watch = {.phase = cell->workload->name};
    bool is_fine =
        run_plan(&contender->target, &plan, (uint64_t)(comparison->options->warmup_s * 1e9), &watch, &result);
    if (is_fine) fill_sample(sample, &result, &plan);
    if (!is_fine || !sample->is_correct)
        fprintf(stderr, "sessiond-bench: %s, %s: %s\n", contender->name, cell_title(cell), result.problem);
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
    fprintf(stderr, "round %u of %u: %s:", round + 1, comparison->rounds, cell_title(shown));
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
            if (!can_play(comparison, contender, cell->workload)) continue;
            if (!enter_cell(comparison, contender, cell)) return false;
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
    for (unsigned cell = 0; cell < comparison.cell_count; cell++)
        for (unsigned i = 0; i < CONTENDERS_MAX; i++) ledger_fini(&comparison.cells[cell].pools[i].ledger);
    free(comparison.cells);
    return !is_fine ? 1 : is_right ? 0 : 3;
}
