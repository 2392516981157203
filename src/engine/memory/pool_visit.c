/* See pool_visit.h; and what is due in pools, which loop 0 works off in time. */
#include "engine/memory/pool_visit.h"
#include "base/check.h"
#include "engine/memory/stage.h"

/* ---- dues */

static int64_t pool_forget_at(const struct pool *pool) {
    return pool->forgets.count ? pool->forgets.entries[0]->forget_at : INT64_MAX;
}

static int64_t pool_due_at(const struct pool *pool) {
    int64_t due_at = pool_forget_at(pool);
    if (pool->round_kind) return INT64_MIN;
    if (pool->due.count && pool->due.entries[0]->due_at < due_at) due_at = pool->due.entries[0]->due_at;
    if (pool->waiters_due_at < due_at) due_at = pool->waiters_due_at;
    if (pool->hold_count && pool->holds[pool->hold_first] < due_at) due_at = pool->holds[pool->hold_first];
    return due_at;
}

static void lower(_Atomic int64_t *moment, int64_t at_ms) {
    int64_t there = atomic_load(moment);
    while (at_ms < there && !atomic_compare_exchange_weak(moment, &there, at_ms)) {
    }
}

/* When a pool or a table has something to be done, and to be forgotten, which is among that. */
struct dues {
    int64_t due_at, forget_at;
};
static const struct dues dues_none = {INT64_MAX, INT64_MAX};

static struct dues pool_dues(const struct pool *pool) {
    return pool->is_dropped ? dues_none : (struct dues){pool_due_at(pool), pool_forget_at(pool)};
}

static void dues_join(struct dues *dues, struct dues others) {
    if (others.due_at < dues->due_at) dues->due_at = others.due_at;
    if (others.forget_at < dues->forget_at) dues->forget_at = others.forget_at;
}

static struct dues table_dues(const struct pool_table *table) {
    struct pool_table *read = (struct pool_table *)table;
    return (struct dues){atomic_load(&read->due_at), atomic_load(&read->forget_at)};
}

/* Under the lock: sees to it that the pool is looked at in time. */
static struct dues table_note_dues(struct pool_table *table, const struct pool *pool) {
    struct dues dues = pool_dues(pool);
    lower(&table->due_at, dues.due_at);
    lower(&table->forget_at, dues.forget_at);
    return dues;
}

/* Without it. */
static void engine_note_dues(struct context *context, struct dues dues) {
    lower(&context->engine->pools_forget_at, dues.forget_at);
    if (dues.due_at >= atomic_load(&context->engine->pools_due_at)) return;
    lower(&context->engine->pools_due_at, dues.due_at);
    owner_wake(context, 0, dues.due_at);
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

/* The deadline of an entry may be one that a touch has moved back since: nothing that lies behind it, but before the
 * one that holds, may be taken to come after the session's death. */
static void visit_renew_deadline(struct visit *visit, struct pool_entry *entry) {
    struct memory_engine *engine = visit->context->engine;
    if (!entry->is_alive || entry->deadline > visit->context->now_ms) return;
    if (!entry->usage.retired_at && !entry_is_leased(entry)) return;
    struct record *record = entry_record(engine, visit->pool, entry);
    int64_t now_ms = visit->context->now_ms;
    struct session view;
    uint64_t tombstone;
    if (!record || record_version(record) <= namespace_epoch(visit->pool->namespace)) return;
    record_judge(engine, record, record_active(record), &now_ms, &view, &tombstone);
    int64_t deadline = session_deadline(&view);
    if (status_is_living(view.status) && (!deadline || deadline > entry->deadline))
        entry->deadline = deadline ? deadline : INT64_MAX;
}

/* All that is due for one entry, in the order of its moments. A deadline behind the end of its retention does not come
 * any more, however late somebody looks. */
static void visit_due(struct visit *visit, struct pool_entry *entry) {
    visit_renew_deadline(visit, entry);
    visit_end_lease(visit, entry, entry->is_kept ? entry->deadline : INT64_MAX);
    if (entry->is_kept && entry->deadline <= visit->context->now_ms && !entry_is_forgotten(visit, entry))
        visit_look(visit, entry);
    visit_end_lease(visit, entry, INT64_MAX);
    if (entry_is_forgotten(visit, entry)) visit_note_forgotten(visit, entry);
    visit_settle(visit, entry);
}

void visit_catch_up(struct visit *visit, struct pool_entry *entry) {
    int64_t now_ms = visit->context->now_ms;
    bool is_due = entry->due_at <= now_ms || entry->forget_at <= now_ms || entry->round != visit->pool->round;
    entry_pass_round(visit->pool, entry, now_ms);
    if (is_due && !entry->is_reserved && !entry->is_forgotten) visit_due(visit, entry);
}

/* A clear or a purge outdates records without touching them: entries have to be looked at again. */
static void pool_follow_namespace(struct pool *pool) {
    uint64_t epoch = namespace_epoch(pool->namespace);
    uint64_t purge_version = atomic_load_explicit(&pool->namespace->purge_version, memory_order_acquire);
    if (pool->epoch == epoch && pool->purge_version == purge_version) return;
    pool_begin_round(pool, pool->epoch == epoch ? ROUND_DEAD : ROUND_ALL);
    pool->epoch = epoch;
    pool->purge_version = purge_version;
}

/* Works off one entry; answers the steps that it took. 0: nothing is due. */
static int64_t visit_step(struct visit *visit) {
    struct pool *pool = visit->pool;
    struct pool_entry *entry = NULL;
    if (pool->round_kind) {
        entry = pool_next_in_round(pool);
        if (!entry) return 1;
    } else if (pool->due.count && pool->due.entries[0]->due_at <= visit->context->now_ms) {
        entry = pool->due.entries[0];
    }
    if (!entry) return 0;
    visit_catch_up(visit, entry);
    counter_add(&visit->context->loop->counters.pool_due, 1);
    return ENTRY_STEPS;
}

/* Works off what of the pool is to be forgotten, and with *steps above 0 some of what else is due, as far as one visit
 * goes. */
static void visit_work(struct visit *visit, int64_t *steps) {
    struct pool *pool = visit->pool;
    int64_t now_ms = visit->context->now_ms, left = VISIT_BATCH * ENTRY_STEPS;
    for (; left > 0 && pool_has_forgets(pool, now_ms); left -= ENTRY_STEPS)
        visit_catch_up(visit, pool->forgets.entries[0]);
    while (left > 0 && *steps > 0) {
        int64_t taken = visit_step(visit);
        if (!taken) return;
        left -= taken;
        *steps -= taken;
    }
}

/* ---- visits */

static void visit_init(struct visit *visit, struct context *context, struct pool_table *table, struct pool *pool) {
    visit->context = context;
    visit->table = table;
    visit->pool = pool;
    visit->forgotten_count = visit->retired_count = 0;
    visit->is_lacking = visit->is_behind = false;
    list_init(&visit->granted);
    if (!pool || pool->is_dropped) return;
    pool_follow_namespace(pool);
    pool_holds_lapse(pool, context->now_ms);
    visit->is_behind = !pool_is_current(pool, context->now_ms);
}

/* Serves who waits, unless the pool is not yet as they have to find it. */
static void visit_serve_all(struct visit *visit) {
    if (!visit->pool->is_dropped && pool_is_current(visit->pool, visit->context->now_ms)) visit_serve(visit);
}

/* The same where a visit begins, which has just found out whether it is. */
static void visit_serve_first(struct visit *visit) {
    if (!visit->pool->is_dropped && !visit->is_behind) visit_serve(visit);
}

/* Takes a record out whose retention is over since its session was retired. */
static void record_forget(struct context *context, struct namespace *namespace, struct pool_table *table,
                          const struct group_key *key, const struct visit_note *note) {
    struct memory_engine *engine = context->engine;
    struct shard *shard = shard_of(engine, note->hash);
    for (;;) {
        pool_table_take(context, table);
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
    visit_serve_all(visit);
    struct dues dues = dues_none;
    if (!pool_tidy(context, visit->table, visit->pool)) dues = table_note_dues(visit->table, visit->pool);
    lock_release(&visit->table->lock);
    engine_note_dues(context, dues);
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
    pool_table_take(context, table);
    struct pool *pool = pool_find(table, &key);
    bool is_lacking = false;
    /* Under the lock: who drops the namespace takes its pools out afterwards. */
    if (!pool && makes && !namespace_is_dropped(namespace)) {
        pool = pool_table_put(context, table, &key);
        is_lacking = !pool;
    }
    visit_init(visit, context, table, pool);
    visit->is_lacking = is_lacking;
    if (pool)
        visit_serve_first(visit);
    else
        lock_release(&table->lock);
    return pool != NULL;
}

void visit_begin_at(struct visit *visit, struct context *context, struct pool_table *table, struct pool *pool) {
    pool_table_take(context, table);
    visit_init(visit, context, table, pool);
    visit_serve_first(visit);
}

bool visit_begin_whole(struct visit *visit, struct context *context, struct namespace *namespace, struct bytes name,
                       bool makes) {
    int64_t least = context->engine->pool_turn_steps < VISIT_STEPS ? context->engine->pool_turn_steps : VISIT_STEPS;
    int64_t given = context->loop->pool_steps > least ? context->loop->pool_steps : least, steps = given;
    for (;;) {
        if (!visit_begin(visit, context, namespace, name, makes)) return false;
        if (!visit->is_behind || steps <= 0) break;
        visit_work(visit, &steps);
        visit_end(visit);
    }
    context->loop->pool_steps -= given - steps;
    return true;
}

/* ---- in time */

/* A pool of the table in which something is due, or is to be forgotten; NULL: there is none, and the table's moments
 * are put right. */
static struct pool *table_next_due(struct pool_table *table, int64_t now_ms, bool is_any) {
    struct dues dues = dues_none;
    for (uint32_t i = 0; i < table->capacity; i++)
        for (struct pool *pool = table->chains[i]; pool; pool = pool->next) {
            struct dues its = pool_dues(pool);
            if ((is_any ? its.due_at : its.forget_at) <= now_ms) return pool;
            dues_join(&dues, its);
        }
    atomic_store(&table->due_at, dues.due_at);
    atomic_store(&table->forget_at, dues.forget_at);
    return NULL;
}

static void table_work(struct context *context, struct pool_table *table, int64_t *steps) {
    for (;;) {
        pool_table_take(context, table);
        struct pool *pool = table_next_due(table, context->now_ms, *steps > 0);
        if (!pool) {
            lock_release(&table->lock);
            return;
        }
        struct visit visit;
        visit_init(&visit, context, table, pool);
        visit_work(&visit, steps);
        --*steps;
        visit_end(&visit);
        if (!context->engine->recovery) stage_relieve(context->engine, context->loop);
    }
}

void pools_work(struct context *context, int64_t *steps) {
    struct memory_engine *engine = context->engine;
    if (!pools_moment_has_come(context, *steps > 0 ? &engine->pools_due_at : &engine->pools_forget_at)) return;
    atomic_fetch_add(&engine->pools_begun, 1);
    /* Who makes something due earlier lowers the table's moment first and this one then. */
    atomic_store(&engine->pools_due_at, INT64_MAX);
    atomic_store(&engine->pools_forget_at, INT64_MAX);
    struct dues dues = dues_none;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        struct dues its = table_dues(table);
        if ((*steps > 0 ? its.due_at : its.forget_at) <= context->now_ms) table_work(context, table, steps);
        dues_join(&dues, table_dues(table));
    }
    lower(&engine->pools_forget_at, dues.forget_at);
    lower(&engine->pools_due_at, dues.due_at);
    atomic_fetch_add(&engine->pools_ended, 1);
    owner_wake(context, 0, dues.due_at);
}

void pool_catch_up(struct context *context, struct namespace *namespace, uint64_t hash, const struct record *record) {
    struct visit visit;
    if (!record || !(record_more(record) & RECORD_MORE_POOL)) return;
    if (!visit_begin(&visit, context, namespace, record_group(record, GROUP_POOL), false)) return;
    struct pool_entry *entry = visit.pool->is_dropped ? NULL : pool_entry_of(visit.pool, hash, record_version(record));
    if (entry) visit_catch_up(&visit, entry);
    visit_end(&visit);
}

/* Whether it is known that the pool has room, or that it has not. */
static bool pool_room_is_known(struct context *context, struct namespace *namespace, struct bytes name) {
    struct visit visit;
    if (!visit_begin_whole(&visit, context, namespace, name, false)) return true;
    /* What is still to be worked off can only give up places. */
    bool is_known = visit.pool->is_dropped || !visit.is_behind || !pool_is_full(visit.pool);
    visit_end(&visit);
    return is_known;
}

/* Whether something is due that nobody works off just now. Who changes a namespace as a whole does not wait for a loop
 * that is at it, which the system may have stopped: what that one has not come to yet is as if it came due later. */
static bool pools_are_left(const struct context *context) {
    return context->now_ms >= atomic_load(&context->engine->pools_due_at);
}

bool pools_admit(struct context *context, const struct verb *verb, struct namespace *namespace, uint64_t hash) {
    switch (verb->kind) {
    case VERB_UPDATE:
        if (!namespace) return true;
        if (verb->update.pool.data && !pool_room_is_known(context, namespace, verb->update.pool)) return false;
        /* fallthrough */
    case VERB_MOVE: /* what happens to it now is told behind what was due before */
        if (!namespace) return true;
        pool_catch_up(context, namespace, hash, record_find(context->engine, namespace, hash, verb->id, NULL));
        return true;
    case VERB_END_ALL: return verb->end_all.group != GROUP_NONE || !pools_are_left(context);
    case VERB_CONFIGURE:
        return verb->configure.group != GROUP_NONE || !pools_are_left(context) ||
               !(verb->configure.change || verb->configure.sets_purging || verb->configure.purge_interval_ms);
    default: return true;
    }
}

void pools_drop(struct context *context, const struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    struct pool_memory memory = {&engine->slab, context->loop->index};
    if (!atomic_load(&engine->pool_count)) return;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        struct list granted;
        list_init(&granted);
        pool_table_take(context, table);
        for (uint32_t j = 0; j < table->capacity; j++)
            for (struct pool *pool = table->chains[j], *next; pool; pool = next) {
                next = pool->next;
                if (pool->namespace != namespace || pool->is_dropped) continue;
                pool->is_dropped = true;
                pool->has_policy = false;
                pool_holds_drop(memory, pool);
                waiters_drop(memory, pool, &granted);
                if (pool_tidy(context, table, pool) && table->capacity == 0) goto out;
            }
    out:
        lock_release(&table->lock);
        grants_send(context, &granted);
    }
}

/* Calls for each pool of a namespace (NULL: of all), under its lock. */
static void pools_each(struct context *context, const struct namespace *namespace,
                       void (*each)(struct context *context, struct pool_table *table, struct pool *pool)) {
    struct memory_engine *engine = context->engine;
    struct dues dues = dues_none;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct pool_table *table = &engine->shards[i].pools;
        pool_table_take(context, table);
        for (uint32_t j = 0; j < table->capacity; j++)
            for (struct pool *pool = table->chains[j]; pool; pool = pool->next) {
                if ((namespace && pool->namespace != namespace) || pool->is_dropped) continue;
                each(context, table, pool);
                table_note_dues(table, pool);
            }
        dues_join(&dues, table_dues(table));
        lock_release(&table->lock);
    }
    engine_note_dues(context, dues);
}

static void refresh_one(struct context *context, struct pool_table *table, struct pool *pool) {
    struct visit visit;
    visit_init(&visit, context, table, pool);
    for (uint32_t i = 0; i < pool->chain_count; i++)
        for (struct pool_entry *entry = pool->chains[i]; entry; entry = entry->next) visit_settle(&visit, entry);
}

static void outdate_one(struct context *context, struct pool_table *table, struct pool *pool) {
    (void)context, (void)table;
    pool_follow_namespace(pool);
}

void pools_outdate(struct context *context, const struct namespace *namespace) {
    if (atomic_load(&context->engine->pool_count)) pools_each(context, namespace, outdate_one);
}

void pools_refresh(struct context *context, const struct namespace *namespace) {
    if (atomic_load(&context->engine->pool_count)) pools_each(context, namespace, refresh_one);
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
            CHECK(pool_forget_at(pool) >= atomic_load(&table->forget_at));
            for (uint32_t j = 0; j < pool->chain_count; j++)
                for (const struct pool_entry *entry = pool->chains[j]; entry; entry = entry->next)
                    check_entry(engine, pool, entry);
        }
    CHECK(count == table->count);
    CHECK(atomic_load(&engine->pools_due_at) <= atomic_load(&table->due_at));
    CHECK(atomic_load(&engine->pools_forget_at) <= atomic_load(&table->forget_at));
}
