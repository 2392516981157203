/* END_ALL: the end of a group, and clear, purge and drop of a namespace. See memory.h.
 *
 * A group is ended one member at a time, through the ordinary update. What makes it complete "under any concurrency":
 * the call counts itself into `ending` and then reads the members under the same lock, so that every session that is in
 * the group by then is among them; a member that is not found is looked at again under its shard's lock, so that one
 * that is being published is waited for; and a move, the only way for a session to slip from a member that was not yet
 * visited to one that was, waits while `ending` stands (move.c).
 * A namespace is ended at once by moving its epoch or its purge moment; memory follows in slices (reap.c). */
#include "base/mp.h"
#include "engine/memory/stage.h"

#include <stdlib.h>

#define REAP_FOR_END 1000000

/* ---- a group */

struct ending {
    struct context *context;
    struct verb *verb;
    struct namespace *namespace;
    struct group_key key;
    struct group_entry *members;
    uint32_t member_count;
    uint64_t *except; /* hashes, in order */
    uint32_t except_count;
};

static int hash_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool ending_read_except(struct ending *ending) {
    struct bytes ids = ending->verb->end_all.except;
    if (!ids.data) return true;
    struct mp_cursor cursor = mp_cursor_of(ids);
    uint32_t count = mp_read_array(&cursor);
    ending->except = malloc((count ? count : 1) * sizeof(uint64_t));
    if (!ending->except) return false;
    for (uint32_t i = 0; i < count; i++)
        ending->except[i] = id_hash(ending->context->engine, ending->namespace, mp_read_bytes(&cursor));
    ending->except_count = count;
    qsort(ending->except, count, sizeof(uint64_t), hash_compare);
    return true;
}

static struct group *group_begin_ending(struct ending *ending, struct group_table *table) {
    group_table_take(ending->context->engine, table);
    struct group *group = group_find(table, &ending->key);
    if (group) atomic_fetch_add(&group->ending, 1);
    return group;
}

/* Reads all members, with `ending` counted up at the same moment. False where memory is lacking; `*group` NULL: there
 * is no such group. */
static bool ending_read_members(struct ending *ending, struct group **group) {
    struct group_table *table = group_table_of(ending->context->engine, &ending->key);
    *group = group_begin_ending(ending, table);
    if (*group) {
        ending->members = malloc((*group)->count ? (*group)->count * sizeof(struct group_entry) : 1);
        if (ending->members) ending->member_count = group_copy(*group, NULL, true, ending->members, (*group)->count);
    }
    lock_release(&table->lock);
    return !*group || ending->members;
}

static void group_end_ending(struct ending *ending, struct group *group) {
    struct group_table *table = group_table_of(ending->context->engine, &ending->key);
    group_table_take(ending->context->engine, table);
    atomic_fetch_sub(&group->ending, 1);
    group_tidy(table, &ending->context->engine->slab, group);
    lock_release(&table->lock);
}

/* The member's record; one that is being published at this moment is waited for. */
static struct record *member_record(struct ending *ending, struct group_entry member) {
    struct memory_engine *engine = ending->context->engine;
    struct record *record = group_entry_record(engine, &ending->key, member);
    if (record) return record;
    struct shard *shard = shard_of(engine, member.hash);
    shard_take(engine, shard);
    record = group_entry_record(engine, &ending->key, member);
    shard_release(shard);
    return record;
}

static void ending_run(struct ending *ending) {
    static const enum status becomes[] = {
        [END_REVOKE] = STATUS_REVOKED, [END_REMOVE] = STATUS_REMOVED, [END_DESTROY] = STATUS_NONE};
    struct ending_kind kind = {.to = becomes[ending->verb->end_all.end], .reason = ending->verb->end_all.reason};
    ending->verb->scan_result.work = ending->member_count;
    /* Before the first place is free: what is promised to those who wait stays held. */
    if (ending->verb->end_all.end == END_DESTROY && ending->key.kind == GROUP_POOL)
        pool_reset_holds(ending->context, ending->namespace, ending->key.name);
    for (uint32_t i = 0; i < ending->member_count; i++) {
        struct group_entry member = ending->members[i];
        if (ending->except_count &&
            bsearch(&member.hash, ending->except, ending->except_count, sizeof(uint64_t), hash_compare))
            continue;
        struct record *record = member_record(ending, member);
        if (record && session_end(ending->context, ending->namespace, &ending->key, member.hash, record, &kind))
            ending->verb->scan_result.total++;
    }
}

static void end_group(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct ending ending = {.context = context, .verb = verb, .namespace = namespace};
    struct group *group = NULL;
    ending.key = group_key_of(context->engine, namespace, verb->end_all.group, verb->end_all.group_name);
    if (!ending_read_except(&ending) || !ending_read_members(&ending, &group))
        verb->error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
    else
        ending_run(&ending);
    if (group) group_end_ending(&ending, group);
    free(ending.members);
    free(ending.except);
}

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
    sweep_wake(context);
}

static void end_drop(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    verb->is_found = !namespace->is_dropped;
    if (verb->is_found) {
        verb->scan_result.total = living_count(namespace);
        registry_unlink(&engine->registry, namespace);
        verb->depends_on = stage_drop(context, namespace);
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
    sweep_wake(context);
}

void purge_periodically(struct context *context) {
    struct registry *registry = &context->engine->registry;
    uint64_t count;
    env_point(context->engine->env);
    lock_take(&registry->lock);
    for (struct namespace *namespace = registry->first; namespace; namespace = namespace->next) {
        if (!namespace->is_purging || namespace->is_dropped || namespace->purge_at > context->now_ms) continue;
        purge_locked(context, namespace, &count);
        namespace->purge_at = context->now_ms + namespace->purge_interval_ms;
    }
    registry_refresh(registry);
    lock_release(&registry->lock);
    sweep_wake(context);
}

void verb_end_all(struct context *context, struct verb *verb, struct namespace *namespace) {
    verb->error.code = ERROR_NONE;
    verb->is_found = namespace != NULL;
    verb->depends_on = 0;
    verb->scan_result.total = 0;
    verb->scan_result.is_total_known = true;
    verb->scan_result.work = 0;
    verb->scan_result.cursor_size = 0;
    if (!namespace) return;
    switch (verb->end_all.end) {
    case END_REVOKE:
    case END_REMOVE:
    case END_DESTROY: end_group(context, verb, namespace); return;
    case END_CLEAR: end_clear(context, verb, namespace); return;
    case END_PURGE: end_purge(context, verb, namespace); return;
    case END_DROP: end_drop(context, verb, namespace); return;
    }
}
