/* See pool_recover.h. */
#include "engine/memory/pool_recover.h"
#include "engine/memory/pool_effect.h"
#include "engine/memory/pool_visit.h"

#include <stdlib.h>

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

/* ---- pools' own fields */

static uint64_t pool_slot_hash(const void *element) {
    return ((const struct recovered_pool *)element)->hash;
}

static struct recovered_pool *pool_new_slot(struct recovery *recovery, uint64_t hash, const struct effect_pool *told) {
    struct recovered_pool *pool = calloc(1, offsetof(struct recovered_pool, name) + told->name.size);
    if (!pool) return NULL;
    pool->hash = hash;
    pool->namespace = told->namespace;
    pool->name_size = (uint8_t)told->name.size;
    memcpy(pool->name, told->name.data, told->name.size);
    recovery->pool_count++;
    return pool;
}

bool apply_pool(struct recovery *recovery, struct bytes body, const char **why) {
    struct effect_pool told;
    struct pool_policy policy;
    if (!effect_read_pool(body, &told, why)) return false;
    if (!recovery->engine->pool_policy_decode || !recovery->engine->pool_policy_decode(told.policy, &policy))
        return refuse(why, "a pool's policy is none that this release knows");
    if ((recovery->pool_count + 1) * 2 > recovery->pool_capacity &&
        !recovery_slots_grow((void ***)&recovery->pools, &recovery->pool_capacity, pool_slot_hash))
        return refuse(why, recovery_lacks_memory);
    recovery_note_version(recovery, told.version);
    uint64_t hash = hash_bytes(&recovery->engine->hash_key, told.name) ^ hash_mix(told.namespace), at = hash;
    uint32_t mask = recovery->pool_capacity - 1;
    struct recovered_pool *pool;
    for (; (pool = recovery->pools[at & mask]); at++)
        if (pool->namespace == told.namespace && bytes_equal(bytes_of(pool->name, pool->name_size), told.name)) break;
    if (!pool) pool = recovery->pools[at & mask] = pool_new_slot(recovery, hash, &told);
    if (!pool) return refuse(why, recovery_lacks_memory);
    if (pool->version >= told.version) return true;
    pool->version = told.version;
    pool->policy = policy;
    return true;
}

bool pools_restore(struct recovery *recovery) {
    for (uint32_t i = 0; i < recovery->pool_capacity; i++) {
        const struct recovered_pool *told = recovery->pools[i];
        struct namespace *namespace = told ? recovery_namespace(recovery, told->namespace) : NULL;
        if (!told || (namespace && namespace->is_dropped)) continue;
        if (!namespace) return false;
        struct bytes name = bytes_of(told->name, told->name_size);
        struct group_key key = group_key_of(recovery->engine, namespace, GROUP_POOL, name);
        struct pool *pool = pool_make(&recovery->context, &key);
        if (!pool) return false;
        pool->policy = told->policy;
        pool->has_policy = true;
        pool->told = told->version;
    }
    return true;
}

/* ---- usages */

/* By their ids alone, so that all lives of one stand in one run. */
static uint64_t usage_slot_hash(const void *element) {
    return ((const struct recovered_usage *)element)->hash;
}

static struct recovered_usage *usage_keep(const struct effect_usage *told, struct bytes body) {
    struct recovered_usage *usage = malloc(sizeof(*usage) + body.size);
    if (!usage) return NULL;
    *usage = (struct recovered_usage){told->hash, told->life, told->version, body.size};
    memcpy(usage->body, body.data, body.size);
    return usage;
}

bool apply_usage(struct recovery *recovery, struct bytes body, const char **why) {
    struct effect_usage told;
    if (!effect_read_usage(body, &told, why)) return false;
    if ((recovery->usage_count + 1) * 2 > recovery->usage_capacity &&
        !recovery_slots_grow((void ***)&recovery->usages, &recovery->usage_capacity, usage_slot_hash))
        return refuse(why, recovery_lacks_memory);
    recovery_note_version(recovery, told.version);
    uint32_t mask = recovery->usage_capacity - 1;
    struct recovered_usage *old, *fresh;
    uint64_t at = told.hash;
    for (; (old = recovery->usages[at & mask]); at++)
        if (old->hash == told.hash && old->life == told.life) break;
    if (old && old->version >= told.version) return true;
    fresh = usage_keep(&told, body);
    if (!fresh) return refuse(why, recovery_lacks_memory);
    recovery->usages[at & mask] = fresh;
    recovery->usage_count += !old;
    free(old);
    return true;
}

/* That of the last life which began with this version of the record, or before. */
static bool usage_find(const struct recovery *recovery, uint64_t hash, uint64_t version, struct effect_usage *out) {
    const struct recovered_usage *found = NULL;
    const char *why;
    uint32_t mask = recovery->usage_capacity - 1;
    for (uint64_t at = hash; recovery->usage_capacity && recovery->usages[at & mask]; at++) {
        const struct recovered_usage *usage = recovery->usages[at & mask];
        if (usage->hash != hash || usage->life > version || (found && usage->life < found->life)) continue;
        found = usage;
    }
    return found && effect_read_usage(bytes_of(found->body, found->size), out, &why);
}

/* When the session was retired, or will have been when its lease's end is worked off; 0: neither. */
static int64_t usage_retired_at(const struct effect_usage *told, int64_t now_ms) {
    if (told->usage.retired_at || !told->is_spent) return told->usage.retired_at;
    return told->usage.lease_expires_at <= now_ms ? told->usage.lease_expires_at : 0;
}

enum pool_judged pool_judge(struct recovery *recovery, const struct record *record, uint64_t hash,
                            const struct session *view, int64_t *retired_at) {
    const struct namespace *namespace = record_terms(recovery->engine, record)->namespace;
    int64_t now_ms = recovery->context.now_ms, deadline = session_deadline(view);
    struct effect_usage told;
    if (!usage_find(recovery, hash, record_version(record), &told)) return POOL_JUDGED_NOTHING;
    *retired_at = usage_retired_at(&told, now_ms);
    if (told.is_forgotten) return POOL_JUDGED_GONE;
    if (!*retired_at || !status_is_living(view->status) || record_active(record) & RECORD_MARK_REAPED ||
        record_version(record) <= namespace_epoch(namespace))
        return POOL_JUDGED_NOTHING;
    int64_t forgotten_at = *retired_at + namespace_policy(namespace)->retention_ms;
    return forgotten_at <= now_ms && (!deadline || forgotten_at < deadline) ? POOL_JUDGED_DUE : POOL_JUDGED_NOTHING;
}

/* ---- entries */

static void note_turn(struct pool *pool, uint64_t turn) {
    uint64_t *last = turn >= TURN_FIRST ? &pool->turn : &pool->serial;
    if (turn > *last) *last = turn;
}

/* Of a session that was not told of: it begins now. */
static void entry_begin(struct pool *pool, struct pool_entry *entry, uint64_t version) {
    atomic_store(&entry->version, version);
    entry->told = version;
    entry->usage = usage_of_policy(&pool->policy);
}

bool pool_restore_entry(struct recovery *recovery, const struct record *record, uint64_t hash, bool is_alive,
                        int64_t due_at, struct recovery_counts *counts) {
    struct context *context = &recovery->context;
    struct memory_engine *engine = recovery->engine;
    struct namespace *namespace = record_terms(engine, record)->namespace;
    struct pool_memory memory = {&engine->slab, context->loop->index};
    struct effect_usage told;
    struct session view;
    struct usage usage = {0};
    record_view_bytes(record, &view);
    struct group_key key = group_key_of(engine, namespace, GROUP_POOL, view.pool);
    struct pool *pool = pool_make(context, &key);
    struct pool_entry *entry = pool ? pool_reserve(memory, pool, hash, view.tags, &usage) : NULL;
    if (!entry) return false;
    if (!usage_find(recovery, hash, record_version(record), &told))
        entry_begin(pool, entry, record_version(record));
    else if (!effect_fill_entry(&told, memory, entry))
        return false;
    note_turn(pool, entry->turn);
    entry->is_reserved = false;
    entry->is_alive = is_alive;
    entry->is_kept = true;
    entry->deadline = due_at;
    entry_settle(pool, entry, context->now_ms, namespace_policy(namespace)->retention_ms);
    counts->pool_sessions++;
    return true;
}

/* ---- the end */

void pools_recovered(struct recovery *recovery, struct recovery_counts *counts) {
    struct memory_engine *engine = recovery->engine;
    int64_t steps = INT64_MAX;
    counts->pools = atomic_load(&engine->pool_count);
    if (!counts->pools) return;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        atomic_store(&engine->shards[i].pools.due_at, recovery->context.now_ms);
        atomic_store(&engine->shards[i].pools.forget_at, recovery->context.now_ms);
    }
    atomic_store(&engine->pools_due_at, recovery->context.now_ms);
    atomic_store(&engine->pools_forget_at, recovery->context.now_ms);
    reclaim_enter(&engine->reclaim, recovery->context.loop->index);
    pools_work(&recovery->context, &steps);
    reclaim_leave(&engine->reclaim, recovery->context.loop->index);
}

void pools_recovery_close(struct recovery *recovery) {
    for (uint32_t i = 0; i < recovery->pool_capacity; i++) free(recovery->pools[i]);
    for (uint32_t i = 0; i < recovery->usage_capacity; i++) free(recovery->usages[i]);
    free(recovery->pools);
    free(recovery->usages);
}
