/* END_ALL of a namespace: clear, purge and drop; a group's is in ending.c. See memory.h.
 *
 * A namespace is ended at once by moving its epoch or its purge moment; memory follows in slices (reap.c). */
#include "engine/memory/ending.h"
#include "engine/memory/stage.h"

#define REAP_FOR_END   1000000
#define PURGE_RETRY_MS 1000 /* of what was due while the journal took no writes */

/* ---- a namespace */

static uint64_t living_count(const struct namespace *namespace) {
    return (uint64_t)(namespace_count(namespace, STATUS_ACTIVE) + namespace_count(namespace, STATUS_PENDING));
}

static bool count_is_pending(const struct namespace *namespace) {
    return !namespace_is_empty(namespace) || atomic_load(&namespace->reserved_bytes) > 0;
}

/* Destroys all that has a version by now. Whoever publishes takes its version first and then waits for EPOCH_RISING to
 * go, so it sees an epoch that is above its own version, or its version is above the epoch. */
static void end_clear(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    reap_due(context, REAP_FOR_END);
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    if (!namespace->is_dropped) {
        atomic_fetch_or(&namespace->epoch, EPOCH_RISING);
        uint64_t version = version_take(context);
        atomic_store(&namespace->changed, version);
        verb->scan_result.total = living_count(namespace);
        for (unsigned status = 0; status < STATUS_END; status++)
            atomic_store(&namespace->pending[status], atomic_load(&namespace->count[status]));
        for (unsigned is_dead = 0; is_dead < 2; is_dead++)
            atomic_store(&namespace->pending_bytes[is_dead], atomic_load(&namespace->bytes[is_dead]));
        namespace_note_clear(namespace, version);
        stage_namespace(context, namespace, version);
        verb->depends_on = version;
        if (count_is_pending(namespace)) sweep_request(context, namespace);
    }
    lock_release(&engine->registry.lock);
    pools_outdate(context, namespace);
    sweep_wake(context);
}

static void end_drop(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    verb->is_found = !namespace->is_dropped;
    if (verb->is_found) {
        verb->scan_result.total = living_count(namespace);
        verb->depends_on = stage_drop(context, namespace);
        atomic_store(&engine->registry.dropped, verb->depends_on);
        registry_unlink(&engine->registry, namespace);
        sweep_request(context, namespace); /* also when it is empty: a write may be on its way into it */
    }
    lock_release(&engine->registry.lock);
    if (verb->is_found) pools_drop(context, namespace);
    sweep_wake(context);
}

/* Answers the purge's version. */
static uint64_t purge_locked(struct context *context, struct namespace *namespace, uint64_t *count) {
    uint64_t version = version_take(context);
    *count = 0;
    atomic_store(&namespace->changed, version);
    namespace_note_purge(namespace, version, context->now_ms, context->now_ms);
    stage_namespace(context, namespace, version);
    for (unsigned status = STATUS_NONE + 1; status < STATUS_END; status++) {
        if (status_is_living(status)) continue;
        *count += (uint64_t)namespace_count(namespace, status);
        atomic_store(&namespace->pending[status], atomic_load(&namespace->count[status]));
    }
    atomic_store(&namespace->pending_bytes[true], atomic_load(&namespace->bytes[true]));
    if (*count) sweep_request(context, namespace);
    return version;
}

static void end_purge(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    reap_due(context, REAP_FOR_END);
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    if (!namespace->is_dropped) verb->depends_on = purge_locked(context, namespace, &verb->scan_result.total);
    lock_release(&engine->registry.lock);
    pools_outdate(context, namespace);
    sweep_wake(context);
}

void purge_periodically(struct context *context) {
    struct registry *registry = &context->engine->registry;
    bool is_open = stage_is_open(context), is_purged = false;
    uint64_t count;
    env_point(context->engine->env);
    lock_take(&registry->lock);
    for (struct namespace *namespace = registry->first; namespace; namespace = namespace->next) {
        if (!namespace->is_purging || namespace->is_dropped || namespace->purge_at > context->now_ms) continue;
        if (is_open) purge_locked(context, namespace, &count);
        is_purged |= is_open;
        namespace->purge_at = context->now_ms + (is_open ? namespace->purge_interval_ms : PURGE_RETRY_MS);
    }
    registry_refresh(registry);
    lock_release(&registry->lock);
    if (is_purged) pools_outdate(context, NULL);
    sweep_wake(context);
}

bool verb_end_all(struct context *context, struct verb *verb, struct namespace *namespace) {
    verb->error.code = ERROR_NONE;
    verb->is_found = namespace != NULL;
    verb->depends_on = 0;
    verb->scan_result.total = 0;
    verb->scan_result.is_total_known = true;
    verb->scan_result.work = 0;
    verb->scan_result.cursor_size = 0;
    if (!namespace) return false;
    switch (verb->end_all.end) {
    case END_REVOKE:
    case END_REMOVE:
    case END_DESTROY: return ending_begin(context, verb, namespace);
    case END_CLEAR: end_clear(context, verb, namespace); break;
    case END_PURGE: end_purge(context, verb, namespace); break;
    case END_DROP: end_drop(context, verb, namespace); break;
    }
    return false;
}
