/* See contenders.h. */
#define _GNU_SOURCE
#include "contenders.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { LOAD_REPEATS = 5, LOAD_REPEAT_MS = 1000 };

/* ---- start and end */

static void name_contender(struct contender *contender, const struct server_recipe *recipe) {
    contender->server = recipe->name;
    contender->role = recipe->role;
    contender->level = recipe->level;
    bool is_none = recipe->level == LEVEL_NONE;
    snprintf(contender->name, sizeof contender->name, "%s%s%s", recipe->name, is_none ? "" : "/",
             is_none ? "" : level_names[recipe->level]);
}

/* The next contender, which counts once it was started. */
static struct contender *next_contender(struct comparison *comparison) {
    struct contender *contender = &comparison->contenders[comparison->contender_count];
    *contender = (struct contender){.level = LEVEL_NONE};
    return contender;
}

/* False only where it runs and cannot be spoken to. */
static bool start_contender(struct comparison *comparison, const struct server_recipe *recipe) {
    struct contender *contender = &comparison->contenders[comparison->contender_count];
    const struct options *options = comparison->options;
    char problem[PROBLEM_BYTES];
    int core = comparison->is_pinned ? (int)options->server_core : -1;
    name_contender(contender, recipe);
    if (recipe->refusal) {
        fprintf(stderr, "sessiond-bench: %s is left out at %s: %s\n", recipe->name, level_names[recipe->level],
                recipe->refusal);
        return true;
    }
    if (!program_exists(recipe->path)) {
        fprintf(stderr, "sessiond-bench: %s is left out: there is no program %s\n", recipe->name, recipe->path);
        return true;
    }
    if (!server_start(&contender->process, recipe, core, problem, sizeof problem)) {
        fprintf(stderr, "sessiond-bench: %s is left out: %s\n", recipe->name, problem);
        return true;
    }
    comparison->contender_count++;
    return target_open(&contender->target, driver_find(recipe->driver), contender->process.address,
                       contender->process.pid, options, false);
}

static bool start_named(struct comparison *comparison, const char *name, enum level level, bool is_first_level) {
    struct server_recipe recipe;
    next_contender(comparison);
    if (comparison->contender_count == CONTENDERS_MAX || !recipe_find(&recipe, name, level, comparison->options)) {
        fprintf(
            stderr,
            "sessiond-bench: --servers takes sessiond, sessiond-2, sessiond-libuv, redis, memcached and ceiling, not "
            "'%s'\n",
            name);
        return false;
    }
    if (recipe.role != ROLE_CEILING) return start_contender(comparison, &recipe);
    /* It keeps nothing and so plays at every level. */
    recipe_find(&recipe, name, LEVEL_NONE, comparison->options);
    return !is_first_level || start_contender(comparison, &recipe);
}

static bool start_peers(struct comparison *comparison, enum level level) {
    const struct options *options = comparison->options;
    for (unsigned i = 0; i < options->peers.count && comparison->contender_count < CONTENDERS_MAX; i++) {
        struct contender *contender = next_contender(comparison);
        struct server_recipe recipe;
        const char *problem;
        if (!peer_parse(&contender->peer, options->peers.at[i], &problem)) return false;
        if (contender->peer.level != level) continue;
        recipe_of_peer(&recipe, &contender->peer, options->scratch);
        if (!start_contender(comparison, &recipe)) return false;
    }
    return true;
}

static bool start_at(struct comparison *comparison, enum level level, bool is_first_level) {
    char list[256];
    snprintf(list, sizeof list, "%s", comparison->options->servers);
    for (char *rest = list, *name; (name = strsep(&rest, ","));)
        if (*name && !start_named(comparison, name, level, is_first_level)) return false;
    return start_peers(comparison, level);
}

/* The levels that the cells ask for. */
static void find_levels(struct comparison *comparison, bool is_asked[LEVEL_COUNT]) {
    char list[64];
    enum level level;
    snprintf(list, sizeof list, "%s", comparison->options->durability);
    for (char *rest = list, *name; (name = strsep(&rest, ","));)
        if (level_find(name, &level)) comparison->is_level[level] = true;
    for (unsigned i = 0; i < comparison->cell_count; i++)
        for (unsigned at = 0; at < LEVEL_COUNT; at++)
            is_asked[at] |= cell_has_level(comparison, &comparison->cells[i], (enum level)at);
}

bool contenders_start(struct comparison *comparison) {
    bool is_asked[LEVEL_COUNT] = {false}, is_first = true;
    const char *scratch = comparison->options->scratch;
    find_levels(comparison, is_asked);
    for (unsigned level = 0; level < LEVEL_COUNT; level++) {
        if (!is_asked[level]) continue;
        if (!start_at(comparison, (enum level)level, is_first)) return false;
        is_first = false;
    }
    bool is_kept = is_asked[LEVEL_EVERYSEC] || is_asked[LEVEL_ALWAYS];
    if (is_kept && scratch_is_memory(scratch))
        fprintf(stderr, "sessiond-bench: %s is memory, where a sync costs nothing; --scratch names another directory\n",
                scratch);
    return comparison->contender_count > 0;
}

void contenders_end(struct comparison *comparison) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        server_end(&comparison->contenders[i].process);
        target_close(&comparison->contenders[i].target);
        ledger_fini(&comparison->contenders[i].ledger);
    }
}

/* ---- load */

static bool can_play(const struct comparison *comparison, const struct contender *contender,
                     const struct workload *workload) {
    return workload_is_possible(workload, contender->target.driver, &contender->target.templates,
                                comparison->options->lease_ms > 0);
}

bool contender_plays(const struct comparison *comparison, const struct contender *contender, const struct cell *cell) {
    bool has_level = contender->role == ROLE_CEILING || cell_has_level(comparison, cell, contender->level);
    return has_level && can_play(comparison, contender, cell->workload);
}

/* One that keeps its data may say that its disk is behind, which is true and passes: it is loaded again, as every set
 * may be. */
static bool load_patiently(struct comparison *comparison, struct contender *contender, const struct plan *plan,
                           struct run_result *result) {
    struct run_watch watch = progress_watch(comparison->options, "load");
    for (unsigned attempt = 0;; attempt++) {
        bool is_fine =
            run_load(&contender->target, plan, 0, plan->session_count, &watch, result) && run_is_correct(result);
        progress_clear(comparison->options);
        if (is_fine || contender->level == LEVEL_NONE || plan->workload->family != FAMILY_STORE ||
            attempt == LOAD_REPEATS)
            return is_fine;
        fprintf(stderr, "%-17s is loaded again: %s\n", contender->name, result->problem);
        run_result_fini(result);
        poll(NULL, 0, LOAD_REPEAT_MS);
    }
}

/* Loads so many sessions for a workload of that family; the figures of a pool's are not kept. */
static bool load_sessions(struct comparison *comparison, struct contender *contender, const struct workload *workload,
                          uint64_t count) {
    struct run_result result;
    struct plan plan = comparison->plan;
    plan.workload = workload;
    plan.session_count = count;
    bool is_fine = load_patiently(comparison, contender, &plan, &result);
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

/* The first of the contender's cells whose sessions are of that family; NULL if there is none. */
static const struct workload *first_of(const struct comparison *comparison, const struct contender *contender,
                                       enum family family) {
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        if (cell->workload->family == family && cell_has_level(comparison, cell, contender->level))
            return cell->workload;
    }
    return NULL;
}

bool contender_load(struct comparison *comparison, struct contender *contender) {
    const struct workload *store = first_of(comparison, contender, FAMILY_STORE);
    const struct workload *auth = first_of(comparison, contender, FAMILY_AUTH);
    const struct workload *pool = first_of(comparison, contender, FAMILY_POOL);
    uint64_t count = comparison->plan.session_count;
    if (contender->role == ROLE_CEILING) return true;
    if ((auth && !can_play(comparison, contender, auth)) || (pool && !can_play(comparison, contender, pool)))
        fprintf(stderr, "%-17s is left out where tokens or pools are measured: it has no such operations\n",
                contender->name);
    if (store && !load_sessions(comparison, contender, store, count)) return false;
    if (!auth || !can_play(comparison, contender, auth)) return true;
    return target_take_workload(&contender->target, auth, count, &contender->ledger, comparison->options) &&
           load_sessions(comparison, contender, auth, count);
}

void contenders_settle(const struct comparison *comparison) {
    bool is_kept = false;
    for (unsigned i = 0; i < comparison->contender_count; i++) is_kept |= comparison->contenders[i].level != LEVEL_NONE;
    int fd = is_kept ? open(comparison->options->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    syncfs(fd);
    close(fd);
}

bool contender_enter(struct comparison *comparison, struct contender *contender, struct cell *cell) {
    struct target *target = &contender->target;
    struct cell_pool *pool = &cell->pools[contender - comparison->contenders];
    target->ledger = cell->workload->family == FAMILY_AUTH ? &contender->ledger : NULL;
    if (cell->workload->family != FAMILY_POOL || contender->role == ROLE_CEILING) return true;
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
