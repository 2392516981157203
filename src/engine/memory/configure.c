/* CONFIGURE: a namespace's policy and purging, and the list of all names. See memory.h.
 *
 * A policy is replaced whole, so that whoever reads one sees it whole; sessions keep the timeouts that they were made
 * with. What a policy says about retention holds for the dead that are there already. */
#include "engine/memory/pool_visit.h"
#include "engine/memory/stage.h"

#include <stdlib.h>

static void configure_answer(struct verb *verb, const struct namespace *namespace) {
    struct namespace_state *state = &verb->namespace_state;
    verb->is_found = true;
    state->name = namespace_name(namespace);
    state->policy = namespace_policy(namespace);
    state->sessions =
        (uint64_t)(namespace_count(namespace, STATUS_ACTIVE) + namespace_count(namespace, STATUS_PENDING));
    state->bytes = (uint64_t)namespace_bytes(namespace);
    state->is_purging = namespace->is_purging;
    state->purge_interval_ms = namespace->purge_interval_ms;
}

/* Longer keeping must not bring back what was forgotten already but happens to lie there still: what had ended under
 * the old policy is put behind the purge moment and the tombstone floor. Under the registry's lock. */
static void keep_forgotten(struct context *context, struct namespace *namespace, const struct policy *old,
                           const struct policy *new) {
    if (new->retention_ms > old->retention_ms)
        namespace_note_purge(namespace, version_take(context), context->now_ms, context->now_ms - old->retention_ms);
    if (new->tombstone_ms <= old->tombstone_ms) return;
    /* Of this millisecond only what ended before. */
    uint64_t floor = version_of_moment(context->now_ms - old->tombstone_ms + 1) - 1;
    uint64_t version = version_take(context);
    if (version < floor) floor = version;
    if (floor > atomic_load(&namespace->tombstone_floor)) atomic_store(&namespace->tombstone_floor, floor);
}

/* Under the registry's lock. False: *error says why nothing changed. */
static bool change_policy(struct context *context, struct namespace *namespace, const struct policy_change *change,
                          struct error *error) {
    struct memory_engine *engine = context->engine;
    struct policy old = *namespace_policy(namespace), new = old;
    assert(engine->policy_apply);
    engine->policy_apply(&new, change);
    if (new.hash_ids != old.hash_ids) {
        *error = error_make(ERROR_CONFLICT, "hash_ids is chosen when a namespace is made and never changes; leave it "
                                            "out, or use another namespace.");
        return false;
    }
    keep_forgotten(context, namespace, &old, &new);
    if (!registry_set_policy(&engine->registry, context->loop->index, namespace, &new)) {
        stage_namespace(context, namespace, 0);
        *error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
        return false;
    }
    /* The dead are armed for the retention that they died under; a shorter one is to give memory back now. */
    if (new.retention_ms != old.retention_ms && !namespace_is_empty(namespace)) sweep_request(context, namespace);
    return true;
}

static void change_purging(struct context *context, struct namespace *namespace, const struct verb *verb) {
    if (verb->configure.sets_purging) namespace->is_purging = verb->configure.is_purging;
    if (verb->configure.purge_interval_ms) namespace->purge_interval_ms = verb->configure.purge_interval_ms;
    namespace->purge_at = context->now_ms + namespace->purge_interval_ms;
    registry_refresh(&context->engine->registry);
}

/* Changes what is asked; false: the name was dropped before the lock was taken. */
static bool configure_change(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    if (!stage_reserve(context, 0)) {
        verb->error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
        return true;
    }
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    bool is_there = !namespace->is_dropped;
    int64_t retention_ms = namespace_policy(namespace)->retention_ms;
    /* Until it is told, the floor (stage.h) holds back who waits for this version; then its own takes the place. */
    if (is_there && stage_is_wanted(context)) atomic_store(&namespace->changed, version_take(context));
    bool is_done = is_there &&
                   (!verb->configure.change || change_policy(context, namespace, verb->configure.change, &verb->error));
    if (is_done && (verb->configure.sets_purging || verb->configure.purge_interval_ms))
        change_purging(context, namespace, verb);
    if (is_done) {
        stage_namespace(context, namespace, 0);
        verb->depends_on = namespace->version;
        configure_answer(verb, namespace);
    }
    bool has_new_retention = namespace_policy(namespace)->retention_ms != retention_ms;
    lock_release(&engine->registry.lock);
    if (has_new_retention) pools_refresh(context, namespace);
    sweep_wake(context);
    owner_wake(context, 0, atomic_load(&engine->registry.purge_at));
    return is_there;
}

static int name_compare(const void *a, const void *b) {
    struct bytes x = namespace_name(*(struct namespace *const *)a), y = namespace_name(*(struct namespace *const *)b);
    int order = memcmp(x.data, y.data, x.size < y.size ? x.size : y.size);
    if (order) return order;
    return x.size < y.size ? -1 : x.size > y.size;
}

/* The namespaces stay readable until the turn's end, so their names can be handed out without the lock. */
static void list_names(struct context *context, struct verb *verb) {
    struct registry *registry = &context->engine->registry;
    env_point(context->engine->env);
    lock_take(&registry->lock);
    uint32_t count = atomic_load(&registry->count), filled = 0;
    struct namespace **all = malloc((count ? count : 1) * sizeof(*all));
    for (struct namespace *namespace = registry->first; all && namespace; namespace = namespace->next)
        if (!namespace->is_dropped) all[filled++] = namespace;
    lock_release(&registry->lock);
    if (!all) {
        verb->error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
        return;
    }
    assert(filled == count);
    qsort(all, filled, sizeof(*all), name_compare);
    for (uint32_t i = 0; i < filled; i++)
        if (!verb->configure.each(verb->configure.context, namespace_name(all[i]))) break;
    free(all);
}

static void read_state(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    if (!namespace->is_dropped) configure_answer(verb, namespace);
    lock_release(&engine->registry.lock);
}

/* What a namespace is made with. */
static bool wants_hash_ids(const struct memory_engine *engine, const struct policy_change *change) {
    struct policy policy = engine->registry.default_policy;
    if (change) engine->policy_apply(&policy, change);
    return policy.hash_ids;
}

enum submit_state verb_configure(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    verb->error = error_make(ERROR_NONE, NULL);
    verb->is_found = false;
    verb->depends_on = 0;
    if (verb->configure.group == GROUP_POOL) return verb_configure_pool(context, verb, namespace);
    if (verb->configure.group == GROUP_CLIENT) {
        verb_client(context, verb, namespace);
        return SUBMIT_DONE;
    }
    if (verb->configure.each) {
        list_names(context, verb);
        return SUBMIT_DONE;
    }
    if (!verb->configure.change && !verb->configure.sets_purging && !verb->configure.purge_interval_ms) {
        if (namespace) read_state(context, verb, namespace);
        return SUBMIT_DONE;
    }
    bool hash_ids = wants_hash_ids(engine, verb->configure.change);
    do {
        namespace = namespace_make(context, verb->namespace, hash_ids, &verb->error);
    } while (namespace && !configure_change(context, verb, namespace));
    return SUBMIT_DONE;
}
