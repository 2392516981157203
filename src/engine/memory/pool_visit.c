/* See pool_visit.h; and what is due in pools, which loop 0 works off in time. */
#include "engine/memory/pool_visit.h"
#include "base/check.h"
#include "engine/memory/stage.h"

#define CHAINS_MIN 4

/* ---- the table */

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

static struct pool *table_put(struct context *context, struct pool_table *table, const struct group_key *key) {
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
    return pool ? pool : table_put(context, table, key);
}

/* Frees the pool if nothing is left of it. */
static bool table_tidy(struct context *context, struct pool_table *table, struct pool *pool) {
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

static void table_take(struct context *context, struct pool_table *table) {
    env_point(context->engine->env);
    lock_take(&table->lock);
}

/* ---- dues */

static int64_t pool_due_at(const struct pool *pool) {
    int64_t due_at = pool->due.count ? pool->due.entries[0]->due_at : INT64_MAX;
    if (pool->waiters_due_at < due_at) due_at = pool->waiters_due_at;
    if (pool->hold_count && pool->holds[pool->hold_first] < due_at) due_at = pool->holds[pool->hold_first];
    return due_at;
}

static void lower(_Atomic int64_t *moment, int64_t at_ms) {
    int64_t there = atomic_load(moment);
    while (at_ms < there && !atomic_compare_exchange_weak(moment, &there, at_ms)) {
    }
}

/* Under the lock: sees to it that the pool is looked at in time. */
static int64_t table_note_due(struct pool_table *table, const struct pool *pool) {
    int64_t due_at = pool_due_at(pool);
    lower(&table->due_at, due_at);
    return due_at;
}

/* Without it. */
static void engine_note_due(struct context *context, int64_t due_at) {
    if (due_at >= atomic_load(&context->engine->pools_due_at)) return;
    lower(&context->engine->pools_due_at, due_at);
    owner_wake(context, 0, due_at);
}

/* ---- what happens to entries */

int64_t visit_retention_ms(const struct visit *visit) {
    return namespace_policy(visit->pool->namespace)->retention_ms;
}

void visit_settle(struct visit *visit, struct pool_entry *entry) {
    entry_settle(visit->pool, entry, visit->context->now_ms, visit_retention_ms(visit));
}

/* The record that belongs to the entry; NULL: there is none. */
static struct record *entry_record(struct memory_engine *engine, const struct pool *pool,
                                   const struct pool_entry *entry) {
    struct table_find find = table_find(&shard_of(engine, entry->hash)->table, entry->hash);
    for (struct record *record; (record = table_next(&find));) {
        if (record_terms(engine, record)->namespace != pool->namespace) continue;
        struct bytes name = record_group(record, GROUP_POOL);
        if (name.data && bytes_equal(name, pool_name(pool)) &&
            id_hash(engine, pool->namespace, record_id(record)) == entry->hash)
            return pool_entry_of(pool, entry->hash, record_version(record)) == entry ? record : NULL;
    }
    return NULL;
}

struct record *visit_look(struct visit *visit, struct pool_entry *entry) {
    struct memory_engine *engine = visit->context->engine;
    struct record *record = entry_record(engine, visit->pool, entry);
    int64_t now_ms = visit->context->now_ms;
    entry->deadline = INT64_MAX;
    entry->is_alive = entry->is_kept = false;
    if (!record) return NULL;
    struct session view;
    uint64_t tombstone;
    enum judged judged = record_judge(engine, record, record_active(record), &now_ms, &view, &tombstone);
    entry->is_alive = judged == JUDGED_ALIVE;
    entry->is_kept = judged == JUDGED_ALIVE || judged == JUDGED_DEAD;
    if (entry->is_kept) entry->deadline = record_due(engine, record, judged, &view, now_ms);
    return entry->is_alive ? record : NULL;
}

void visit_hand_out(struct visit *visit, struct pool_entry *entry, int64_t lease_ms, struct pool_pick *pick) {
    struct context *context = visit->context;
    uint64_t version = lease_ms > 0 || stage_is_wanted(context) ? version_take(context) : 0;
    entry_hand_out(visit_memory(visit), visit->pool, entry, lease_ms, version, context->now_ms,
                   visit_retention_ms(visit), pick);
    stage_usage(context, entry, version);
    pick->told = entry->told;
}

void visit_note_retired(struct visit *visit, const struct pool_entry *entry) {
    struct record *record = entry_record(visit->context->engine, visit->pool, entry);
    counter_add(&visit->context->loop->counters.retired, 1);
    if (record) visit->retired[visit->retired_count++] = record;
}

void visit_note_forgotten(struct visit *visit, struct pool_entry *entry) {
    entry->is_forgotten = true;
    stage_usage(visit->context, entry, 0);
    visit->forgotten[visit->forgotten_count++] =
        (struct visit_note){entry->hash, atomic_load(&entry->version), entry->usage.retired_at};
}

/* Whether its session lives when the retention since it was retired ends, and that has come. */
static bool entry_is_forgotten(struct visit *visit, const struct pool_entry *entry) {
    int64_t retired_at = entry->usage.retired_at, forgotten_at = retired_at + visit_retention_ms(visit);
    return retired_at && entry->is_alive && forgotten_at <= visit->context->now_ms && forgotten_at < entry->deadline;
}

/* Ends the entry's lease if its time is over, and was before that moment. A journal is told, although it follows from
 * the time: what the pool's policy says at that moment goes into it. */
static void visit_end_lease(struct visit *visit, struct pool_entry *entry, int64_t before) {
    int64_t ended_at = entry->usage.lease_expires_at;
    if (!ended_at || ended_at > visit->context->now_ms || ended_at >= before) return;
    counter_add(&visit->context->loop->counters.lease_expired, 1);
    if (entry_end_lease(visit->pool, entry, ended_at)) visit_note_retired(visit, entry);
    if (stage_takes_touches(visit->context)) stage_usage(visit->context, entry, 0);
}

/* All that is due for one entry, in the order of its moments. A deadline behind the end of its retention does not come
 * any more, however late somebody looks. */
static void visit_due(struct visit *visit, struct pool_entry *entry) {
    visit_end_lease(visit, entry, entry->is_kept ? entry->deadline : INT64_MAX);
    if (entry->is_kept && entry->deadline <= visit->context->now_ms && !entry_is_forgotten(visit, entry))
        visit_look(visit, entry);
    visit_end_lease(visit, entry, INT64_MAX);
    if (entry_is_forgotten(visit, entry)) visit_note_forgotten(visit, entry);
    visit_settle(visit, entry);
}

/* A clear or a purge outdates records without touching them: all entries have to be looked at again. */
static void visit_follow_epoch(struct visit *visit) {
    struct pool *pool = visit->pool;
    uint64_t epoch = namespace_epoch(pool->namespace);
    uint64_t purge_version = atomic_load_explicit(&pool->namespace->purge_version, memory_order_acquire);
    if (pool->epoch == epoch && pool->purge_version == purge_version) return;
    pool->epoch = epoch;
    pool->purge_version = purge_version;
    for (uint32_t i = 0; i < pool->chain_count; i++)
        for (struct pool_entry *entry = pool->chains[i]; entry; entry = entry->next) {
            if (!entry->is_kept) continue;
            entry->deadline = visit->context->now_ms;
            visit_settle(visit, entry);
        }
}

/* Works off some of what is due. False: the batch ended first. */
static bool visit_work(struct visit *visit) {
    struct pool *pool = visit->pool;
    int64_t now_ms = visit->context->now_ms;
    visit_follow_epoch(visit);
    pool_holds_lapse(pool, now_ms);
    for (unsigned i = 0; i < VISIT_BATCH; i++) {
        if (!pool->due.count || pool->due.entries[0]->due_at > now_ms) return true;
        visit_due(visit, pool->due.entries[0]);
    }
    return !pool->due.count || pool->due.entries[0]->due_at > now_ms;
}

/* ---- visits */

static void visit_init(struct visit *visit, struct context *context, struct pool_table *table, struct pool *pool) {
    visit->context = context;
    visit->table = table;
    visit->pool = pool;
    visit->forgotten_count = visit->retired_count = 0;
    visit->is_lacking = false;
    list_init(&visit->granted);
}

/* Takes a record out whose retention is over since its session was retired. */
static void record_forget(struct context *context, struct namespace *namespace, struct pool_table *table,
                          const struct group_key *key, const struct visit_note *note) {
    struct memory_engine *engine = context->engine;
    struct shard *shard = shard_of(engine, note->hash);
    for (;;) {
        table_take(context, table);
        struct pool *pool = pool_find(table, key);
        struct pool_entry *entry = pool ? pool_entry_of(pool, note->hash, note->version) : NULL;
        struct record *record = entry && entry->is_forgotten ? entry_record(engine, pool, entry) : NULL;
        uint64_t told = entry ? entry->told : 0;
        lock_release(&table->lock);
        if (!record) return;
        uint64_t tombstone = tombstone_mark(version_of_moment(note->at), note->at);
        shard_take(engine, shard);
        _Atomic uint64_t *slot = table_slot_of(&shard->table, note->hash, record);
        if (slot) {
            if (!namespace_is_dropped(namespace)) shard_bury(context, namespace, shard, note->hash, tombstone);
            shard_note_removed(shard, told);
            event_forgotten(context, shard, record, note->at + namespace_policy(namespace)->retention_ms);
            shard_remove(context, shard, slot, record);
            table_trim(&shard->table, context->loop->index);
        }
        shard_release(shard);
        if (!slot) continue; /* it was written meanwhile */
        record_leave_groups(context, note->hash, record);
        record_retire(context, record);
        return;
    }
}

void visit_end(struct visit *visit) {
    struct context *context = visit->context;
    struct namespace *namespace = visit->pool->namespace;
    uint8_t name[UINT8_MAX];
    struct group_key key = {namespace, bytes_of(name, visit->pool->name_size), visit->pool->hash, GROUP_POOL};
    if (visit->forgotten_count) memcpy(name, visit->pool->name, visit->pool->name_size);
    if (!visit->pool->is_dropped) visit_serve(visit);
    int64_t due_at = INT64_MAX;
    if (!table_tidy(context, visit->table, visit->pool)) due_at = table_note_due(visit->table, visit->pool);
    lock_release(&visit->table->lock);
    engine_note_due(context, due_at);
    grants_send(context, &visit->granted);
    for (unsigned i = 0; i < visit->retired_count; i++)
        event_announce(context, namespace, record_id(visit->retired[i]), EVENT_RETIRED);
    for (unsigned i = 0; i < visit->forgotten_count; i++)
        record_forget(context, namespace, visit->table, &key, &visit->forgotten[i]);
}

bool visit_begin(struct visit *visit, struct context *context, struct namespace *namespace, struct bytes name,
                 bool makes) {
    struct group_key key = group_key_of(context->engine, namespace, GROUP_POOL, name);
    struct pool_table *table = &shard_of(context->engine, key.hash)->pools;
    for (;;) {
        table_take(context, table);
        struct pool *pool = pool_find(table, &key);
        bool is_lacking = false;
        /* Under the lock: who drops the namespace takes its pools out afterwards. */
        if (!pool && makes && !namespace_is_dropped(namespace)) {
            pool = table_put(context, table, &key);
            is_lacking = !pool;
        }
        visit_init(visit, context, table, pool);
        visit->is_lacking = is_lacking;
        if (!pool) {
            lock_release(&table->lock);
            return false;
        }
        if (pool->is_dropped || visit_work(visit)) break;
        visit_end(visit);
    }
    if (!visit->pool->is_dropped) visit_serve(visit);
    return true;
}

void visit_begin_at(struct visit *visit, struct context *context, struct pool_table *table, struct pool *pool) {
    for (;;) {
        table_take(context, table);
        visit_init(visit, context, table, pool);
        if (pool->is_dropped || visit_work(visit)) break;
        visit_end(visit);
    }
    if (!pool->is_dropped) visit_serve(visit);
}

/* ---- in time */

/* A pool of the table in which something is due; NULL: there is none, and the table's moment is put right. */
static struct pool *table_next_due(struct pool_table *table, int64_t now_ms) {
    int64_t due_at = INT64_MAX;
    for (uint32_t i = 0; i < table->capacity; i++)
        for (struct pool *pool = table->chains[i]; pool; pool = pool->next) {
            int64_t pool_at = pool->is_dropped ? INT64_MAX : pool_due_at(pool);
            if (pool_at <= now_ms) return pool;
            if (pool_at < due_at) due_at = pool_at;
        }
    atomic_store(&table->due_at, due_at);
    return NULL;
}

static bool table_work(struct context *context, struct pool_table *table, int64_t *budget) {
    while (*budget > 0) {
        table_take(context, table);
        struct pool *pool = table_next_due(table, context->now_ms);
        if (!pool) {
            lock_release(&table->lock);
            return true;
        }
        struct visit visit;
        visit_init(&visit, context, table, pool);
        visit_work(&visit);
        *budget -= VISIT_BATCH;
        visit_end(&visit);
        if (!context->engine->recovery) stage_relieve(context->engine, context->loop);
    }
    return false;
}

bool pools_work(struct context *context, int64_t *budget) {
    struct memory_engine *engine = context->engine;
    bool is_through = true;
    if (!pools_are_due(context)) return true;
    /* Who makes something due earlier lowers the table's moment first and this one then. */
    atomic_store(&engine->pools_due_at, INT64_MAX);
    int64_t due_at = INT64_MAX;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        if (atomic_load(&table->due_at) <= context->now_ms) is_through &= table_work(context, table, budget);
        int64_t table_at = atomic_load(&table->due_at);
        if (table_at < due_at) due_at = table_at;
    }
    lower(&engine->pools_due_at, due_at);
    owner_wake(context, 0, due_at);
    return is_through;
}

void pools_drop(struct context *context, const struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    struct pool_memory memory = {&engine->slab, context->loop->index};
    if (!atomic_load(&engine->pool_count)) return;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        struct list granted;
        list_init(&granted);
        table_take(context, table);
        for (uint32_t j = 0; j < table->capacity; j++)
            for (struct pool *pool = table->chains[j], *next; pool; pool = next) {
                next = pool->next;
                if (pool->namespace != namespace || pool->is_dropped) continue;
                pool->is_dropped = true;
                pool->has_policy = false;
                pool_holds_drop(memory, pool);
                waiters_drop(memory, pool, &granted);
                if (table_tidy(context, table, pool) && table->capacity == 0) goto out;
            }
    out:
        lock_release(&table->lock);
        grants_send(context, &granted);
    }
}

/* Calls for each pool of a namespace, under its lock. */
static void pools_each(struct context *context, const struct namespace *namespace,
                       void (*each)(struct context *context, struct pool_table *table, struct pool *pool)) {
    struct memory_engine *engine = context->engine;
    int64_t due_at = INT64_MAX;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        table_take(context, table);
        for (uint32_t j = 0; j < table->capacity; j++)
            for (struct pool *pool = table->chains[j]; pool; pool = pool->next)
                if (pool->namespace == namespace && !pool->is_dropped) each(context, table, pool);
        if (atomic_load(&table->due_at) < due_at) due_at = atomic_load(&table->due_at);
        lock_release(&table->lock);
    }
    engine_note_due(context, due_at);
}

static void refresh_one(struct context *context, struct pool_table *table, struct pool *pool) {
    struct visit visit;
    visit_init(&visit, context, table, pool);
    for (uint32_t i = 0; i < pool->chain_count; i++)
        for (struct pool_entry *entry = pool->chains[i]; entry; entry = entry->next) visit_settle(&visit, entry);
    table_note_due(table, pool);
}

void pools_refresh(struct context *context, const struct namespace *namespace) {
    if (atomic_load(&context->engine->pool_count)) pools_each(context, namespace, refresh_one);
}

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

/* ---- checking */

static void check_entry(struct memory_engine *engine, const struct pool *pool, const struct pool_entry *entry) {
    CHECK(!entry->is_reserved && !entry->is_aside && atomic_load(&((struct pool_entry *)entry)->version));
    CHECK(entry_record(engine, pool, entry));
    CHECK(entry->usage.lease_expires_at == 0 || uses_is_open(&entry->uses, entry->lease_use));
    CHECK(!entry->holds_place || usage_is_usable(&entry->usage));
}

void pools_check(struct memory_engine *engine, struct pool_table *table) {
    uint32_t count = 0;
    CHECK(!lock_is_taken(&table->lock));
    for (uint32_t i = 0; i < table->capacity; i++)
        for (struct pool *pool = table->chains[i]; pool; pool = pool->next, count++) {
            CHECK(pool->reserved_count == 0 && pool->creating_count == 0);
            pool_check(pool);
            if (pool->is_dropped) continue;
            waiters_check(pool);
            CHECK(pool_due_at(pool) >= atomic_load(&table->due_at));
            for (uint32_t j = 0; j < pool->chain_count; j++)
                for (const struct pool_entry *entry = pool->chains[j]; entry; entry = entry->next)
                    check_entry(engine, pool, entry);
        }
    CHECK(count == table->count);
    CHECK(atomic_load(&engine->pools_due_at) <= atomic_load(&table->due_at));
}
