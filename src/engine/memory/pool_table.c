/* The pools of a shard: finding, making and freeing them. See pool.h and pool_visit.h. */
#include "engine/memory/pool_visit.h"

#define CHAINS_MIN 4

static size_t chain_at(const struct pool_table *table, uint64_t hash) {
    return hash_mix(hash) & (table->capacity - 1);
}

static bool table_grow(struct pool_memory memory, struct pool_table *table) {
    if (table->count < table->capacity) return true;
    uint32_t capacity = table->capacity ? table->capacity * 2 : CHAINS_MIN;
    struct pool **old = table->chains, **chains = slab_alloc(memory.slab, memory.arena, capacity * sizeof(*chains));
    uint32_t old_capacity = table->capacity;
    if (!chains) return old_capacity > 0;
    memset(chains, 0, capacity * sizeof(*chains));
    table->chains = chains;
    table->capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++)
        for (struct pool *pool = old[i], *next; pool; pool = next) {
            next = pool->next;
            size_t at = chain_at(table, pool->hash);
            pool->next = chains[at];
            chains[at] = pool;
        }
    slab_free(memory.slab, old, old_capacity * sizeof(*old));
    return true;
}

struct pool *pool_find(const struct pool_table *table, const struct group_key *key) {
    if (!table->capacity) return NULL;
    struct pool *pool = table->chains[chain_at(table, key->hash)];
    while (pool &&
           !(pool->hash == key->hash && pool->namespace == key->namespace && bytes_equal(pool_name(pool), key->name)))
        pool = pool->next;
    return pool;
}

struct pool *pool_table_put(struct context *context, struct pool_table *table, const struct group_key *key) {
    struct memory_engine *engine = context->engine;
    struct pool_memory memory = {&engine->slab, context->loop->index};
    uint64_t seed;
    if (!table_grow(memory, table)) return NULL;
    engine->env->random(engine->env->context, &seed, sizeof(seed));
    struct pool *pool = pool_new(memory, key->namespace, key->name, key->hash, &engine->default_pool_policy, seed);
    if (!pool) return NULL;
    pool->epoch = namespace_epoch(key->namespace);
    pool->purge_version = atomic_load(&key->namespace->purge_version);
    size_t at = chain_at(table, key->hash);
    pool->next = table->chains[at];
    table->chains[at] = pool;
    table->count++;
    atomic_fetch_add(&engine->pool_count, 1);
    return pool;
}

struct pool *pool_make(struct context *context, const struct group_key *key) {
    struct pool_table *table = &shard_of(context->engine, key->hash)->pools;
    struct pool *pool = pool_find(table, key);
    return pool ? pool : pool_table_put(context, table, key);
}

bool pool_tidy(struct context *context, struct pool_table *table, struct pool *pool) {
    struct pool_memory memory = {&context->engine->slab, context->loop->index};
    if (pool->entry_count || pool->has_policy || pool->hold_count || pool->creating_count || pool->waiting_count ||
        pool->undelivered_count)
        return false;
    struct pool **link = &table->chains[chain_at(table, pool->hash)];
    while (*link != pool) link = &(*link)->next;
    *link = pool->next;
    table->count--;
    pool_free(memory, pool);
    atomic_fetch_sub(&context->engine->pool_count, 1);
    if (table->count == 0) {
        slab_free(memory.slab, table->chains, table->capacity * sizeof(*table->chains));
        table->chains = NULL;
        table->capacity = 0;
    }
    return true;
}

void pool_table_take(struct context *context, struct pool_table *table) {
    env_point(context->engine->env);
    lock_take(&table->lock);
}

/* ---- all of them */

uint64_t pools_waiting_count(struct memory_engine *engine) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        env_point(engine->env);
        lock_take(&table->lock);
        for (uint32_t j = 0; j < table->capacity; j++)
            for (struct pool *pool = table->chains[j]; pool; pool = pool->next) count += pool->waiting_count;
        lock_release(&table->lock);
    }
    return count;
}

void pools_close(struct memory_engine *engine, struct pool_table *table) {
    struct pool_memory memory = {&engine->slab, 0};
    for (uint32_t i = 0; i < table->capacity; i++)
        for (struct pool *pool = table->chains[i], *next; pool; pool = next) {
            next = pool->next;
            list_init(&pool->waiters); /* they go with their loops */
            pool_free(memory, pool);
        }
    slab_free(memory.slab, table->chains, table->capacity * sizeof(*table->chains));
}
