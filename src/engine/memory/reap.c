/* Working off what is due: expiry, the end of retention, old tombstones, and the sweeps behind clear, drop and purge.
 * See memory.h.
 *
 * Nothing here decides whether a session is alive: that is judged at each read. The reaper counts the dead, gives their
 * memory back, and does so in slices of a few dozen buckets under one taking of a shard's lock, so that no turn and no
 * writer waits for it. Each loop works off the shards with its own number (modulo loops); what needs exact counts may
 * work off others' too. */
#include "engine/memory/ending.h"
#include "engine/memory/expired.h"
#include "engine/memory/pool_visit.h"

/* Tombstones are swept in rounds over a whole set; a round waits until a part of them has been worthless for a while.
 */
#define TOMBSTONE_SLACK_MS    INT64_C(1000)
#define TOMBSTONE_SLACK_PART  8
#define TOMBSTONE_SWEEP_SLICE 4096
#define SLICE_COST            8 /* records in whose time a cold shard is locked and its wheel turned */
#define RESIZE_SHARE          4 /* places or buckets moved in the time of one record */
#define PREFETCH_BUCKETS      4 /* ahead; with five records each that is what a processor keeps in flight */
#define CHAIN_ROOM            64

int64_t shard_tombstones_due(struct memory_engine *engine, const struct shard *shard) {
    if (!shard->tombstones.count) return INT64_MAX;
    int64_t keep_ms = atomic_load_explicit(&engine->registry.tombstone_max_ms, memory_order_relaxed);
    return tombstone_died_at(shard->tombstones.oldest) + keep_ms + keep_ms / TOMBSTONE_SLACK_PART + TOMBSTONE_SLACK_MS;
}

/* ---- one bucket */

/* Takes a record out for good. Under the lock. */
static void reap_remove(struct context *context, struct shard *shard, struct table_walk *walk, struct record *record,
                        uint64_t tombstone) {
    struct memory_engine *engine = context->engine;
    struct loop *loop = context->loop;
    struct namespace *namespace = record_terms(engine, record)->namespace;
    if (!namespace_is_dropped(namespace) && tombstone_counts(namespace, tombstone, context->now_ms))
        shard_bury(context, namespace, shard, id_hash(engine, namespace, record_id(record)), tombstone);
    event_settle(context, shard, record, UINT64_MAX);
    shard_remove(context, shard, walk->slot, record);
    if (record_has_groups(record))
        loop->leaving[loop->leaving_count++] = record;
    else
        record_retire(context, record);
}

/* Looks at one record. Answers when it is due again; INT64_MAX: never, or it is gone. */
static int64_t reap_record(struct context *context, struct shard *shard, struct table_walk *walk,
                           struct record *record) {
    struct memory_engine *engine = context->engine;
    struct session view;
    int64_t now_ms = context->now_ms;
    uint64_t tombstone, active = record_active(record);
    enum judged judged = record_judge(engine, record, active, &now_ms, &view, &tombstone);
    bool is_expired = judged != JUDGED_ALIVE && !view.is_alias && status_is_living(view.status) &&
                      !(active & RECORD_MARK_REAPED) && !session_is_alive(&view, now_ms);
    if (is_expired && view.version > namespace_epoch(record_terms(engine, record)->namespace))
        shard_mark_reaped(context, shard, record, &view);
    if (judged != JUDGED_FORGOTTEN) return record_due(engine, record, judged, &view, now_ms);
    if (context->loop->leaving_count >= LEAVE_MAX) return context->now_ms;
    reap_remove(context, shard, walk, record, tombstone);
    return INT64_MAX;
}

/* Looks at all records of a bucket and arms it again. Answers how many there were. */
static unsigned reap_bucket(struct context *context, struct shard *shard, uint32_t bucket) {
    struct table_walk walk = table_walk_at(&shard->table, bucket);
    int64_t due_at = INT64_MAX;
    unsigned count = 0;
    for (struct record *record; (record = table_walk_next(&walk)); count++) {
        int64_t record_due_at = reap_record(context, shard, &walk, record);
        if (record_due_at < due_at) due_at = record_due_at;
    }
    if (due_at != INT64_MAX) wheel_arm(&shard->wheel, &shard->table, bucket, due_at);
    return count;
}

/* Asks the processor for the records of a bucket. */
static void bucket_prefetch(const struct shard *shard, uint32_t bucket) {
    struct table_walk walk = table_walk_at(&shard->table, bucket);
    for (void *record; (record = table_walk_next(&walk));) __builtin_prefetch(record);
}

/* Without a lock: what was taken out leaves its groups, then it is retired. */
static void flush_leaving(struct context *context) {
    struct loop *loop = context->loop;
    for (uint32_t i = 0; i < loop->leaving_count; i++) {
        struct record *record = loop->leaving[i];
        struct namespace *namespace = record_terms(context->engine, record)->namespace;
        record_leave_groups(context, id_hash(context->engine, namespace, record_id(record)), record);
        record_retire(context, record);
    }
    loop->leaving_count = 0;
}

/* ---- one shard */

static void shard_sweep_tombstones(struct context *context, struct shard *shard) {
    if (shard_tombstones_due(context->engine, shard) > context->now_ms) return;
    int64_t keep_ms = atomic_load(&context->engine->registry.tombstone_max_ms);
    int64_t before_at = context->now_ms - keep_ms + 1;
    tombstone_sweep(&shard->tombstones, tombstone_mark(version_of_moment(before_at), before_at), TOMBSTONE_SWEEP_SLICE);
    shard_note_tombstones(shard, false);
}

int64_t shard_refresh_due(struct memory_engine *engine, struct shard *shard) {
    int64_t wheel_at = wheel_next_due(&shard->wheel), tombstones_at = shard_tombstones_due(engine, shard);
    int64_t due_at = wheel_at < tombstones_at ? wheel_at : tombstones_at;
    atomic_store(&engine->due[shard->index], due_at);
    return due_at;
}

/* One slice of a shard under its lock. Answers how many records were looked at; *due_at is when it is due next. */
static unsigned reap_slice(struct context *context, struct shard *shard, int64_t *due_at) {
    uint32_t buckets[REAP_BATCH];
    unsigned looked = 0;
    shard_take(context->engine, shard);
    uint32_t bucket_count = table_bucket_count(&shard->table), capacity = shard->tombstones.capacity;
    unsigned count = wheel_advance(&shard->wheel, &shard->table, context->now_ms, buckets, REAP_BATCH);
    counter_add(&context->loop->counters.fired, count);
    for (unsigned i = 0; i < count && i < PREFETCH_BUCKETS; i++) bucket_prefetch(shard, buckets[i]);
    for (unsigned i = 0; i < count; i++) {
        if (i + PREFETCH_BUCKETS < count) bucket_prefetch(shard, buckets[i + PREFETCH_BUCKETS]);
        looked += reap_bucket(context, shard, buckets[i]);
    }
    table_trim(&shard->table, context->loop->index);
    shard_sweep_tombstones(context, shard);
    /* Hashes spread evenly, so all shards fill and empty alike and resize in the same milliseconds: that counts too. */
    unsigned resize_cost = 0;
    if (table_bucket_count(&shard->table) != bucket_count) resize_cost += bucket_count / RESIZE_SHARE;
    if (shard->tombstones.capacity != capacity) resize_cost += shard->tombstones.capacity / RESIZE_SHARE;
    *due_at = shard_refresh_due(context->engine, shard);
    shard_release(shard);
    flush_leaving(context);
    return looked + SLICE_COST + resize_cost;
}

/* Works a shard off. False: the budget ended first. */
static bool reap_shard(struct context *context, struct shard *shard, int64_t *budget) {
    int64_t due_at;
    do {
        if (*budget <= 0) return false;
        *budget -= reap_slice(context, shard, &due_at);
    } while (due_at <= context->now_ms);
    return true;
}

void reap_due(struct context *context, unsigned budget) {
    struct memory_engine *engine = context->engine;
    int64_t left = budget;
    for (uint32_t i = 0; i < engine->shard_count; i++)
        if (atomic_load_explicit(&engine->due[i], memory_order_relaxed) <= context->now_ms &&
            !reap_shard(context, &engine->shards[i], &left))
            return;
}

/* ---- sweeps */

void sweep_request(struct context *context, struct namespace *namespace) {
    namespace->sweep_generation = atomic_fetch_add(&context->engine->sweep_wanted, 1) + 1;
}

void sweep_wake(struct context *context) {
    uint64_t wanted = atomic_load(&context->engine->sweep_wanted);
    for (unsigned i = 0; i < context->engine->loop_count; i++)
        if (atomic_load(&context->engine->loops[i].swept) < wanted) owner_wake(context, i, context->now_ms);
}

/* What all loops have swept holds nothing outdated any more. */
static void sweep_settle(struct context *context) {
    struct memory_engine *engine = context->engine;
    struct registry *registry = &engine->registry;
    uint64_t through = UINT64_MAX;
    for (unsigned i = 0; i < engine->loop_count; i++) {
        uint64_t swept = atomic_load(&engine->loops[i].swept);
        if (swept < through) through = swept;
    }
    env_point(engine->env);
    lock_take(&registry->lock);
    for (struct namespace *namespace = registry->first, *next; namespace; namespace = next) {
        next = namespace->next;
        if (!namespace->sweep_generation || namespace->sweep_generation > through) continue;
        namespace->sweep_generation = 0;
        for (unsigned status = 0; status < STATUS_END; status++) atomic_store(&namespace->pending[status], 0);
        for (unsigned is_dead = 0; is_dead < 2; is_dead++) atomic_store(&namespace->pending_bytes[is_dead], 0);
        if (!namespace->is_dropped || namespace->ending_count) continue; /* the last end of a group sweeps again */
        registry_forget(registry, namespace);
        reclaim_retire(&engine->reclaim, context->loop->index, namespace, sizeof(*namespace), RETIRE_NAMESPACE);
    }
    lock_release(&registry->lock);
}

/* Some buckets of the shard that is being swept. True: it is through. */
static bool sweep_slice(struct context *context, struct shard *shard, int64_t *budget) {
    struct loop *loop = context->loop;
    shard_take(context->engine, shard);
    uint32_t bucket_count = table_bucket_count(&shard->table);
    uint32_t number = loop->sweep_is_inside ? table_bucket_of(&shard->table, loop->sweep_hash) : 0;
    uint32_t end = bucket_count - number < REAP_BATCH ? bucket_count : number + REAP_BATCH;
    for (uint32_t i = number; i < end && i < number + PREFETCH_BUCKETS; i++) bucket_prefetch(shard, i);
    /* A bucket is only begun while what it could take out has room. */
    for (; number < end && loop->leaving_count + CHAIN_ROOM <= LEAVE_MAX; number++) {
        if (number + PREFETCH_BUCKETS < end) bucket_prefetch(shard, number + PREFETCH_BUCKETS);
        *budget -= 1 + (int64_t)reap_bucket(context, shard, number);
    }
    bool is_through = number >= bucket_count;
    loop->sweep_is_inside = !is_through;
    if (!is_through) loop->sweep_hash = table_bucket_first_hash(&shard->table, number, bucket_count);
    if (is_through) table_trim(&shard->table, loop->index);
    shard_refresh_due(context->engine, shard);
    shard_release(shard);
    flush_leaving(context);
    return is_through;
}

/* Goes on with the sweep that is wanted, if any. False: the budget ended first. */
static bool sweep_advance(struct context *context, int64_t *budget) {
    struct memory_engine *engine = context->engine;
    struct loop *loop = context->loop;
    for (;;) {
        if (!loop->sweeping) {
            uint64_t wanted = atomic_load(&engine->sweep_wanted);
            if (atomic_load(&loop->swept) >= wanted) return true;
            loop->sweeping = wanted;
            loop->sweep_shard = loop->index;
            loop->sweep_is_inside = false;
        }
        while (loop->sweep_shard < engine->shard_count) {
            if (*budget <= 0) return false;
            if (sweep_slice(context, &engine->shards[loop->sweep_shard], budget))
                loop->sweep_shard += engine->loop_count;
        }
        atomic_store(&loop->swept, loop->sweeping);
        loop->sweeping = 0;
        sweep_settle(context);
    }
}

/* ---- advance */

/* The earliest moment of this loop's shards. */
static int64_t loop_next_due(const struct memory_engine *engine, const struct loop *loop, int64_t now_ms) {
    int64_t next = endings_due(engine, loop, now_ms);
    for (uint32_t i = loop->index; i < engine->shard_count; i += engine->loop_count) {
        int64_t due_at = atomic_load_explicit(&engine->due[i], memory_order_relaxed);
        if (due_at < next) next = due_at;
    }
    if (loop->index == 0) {
        int64_t purge_at = atomic_load(&engine->registry.purge_at);
        if (purge_at < next) next = purge_at;
        int64_t pools_at = atomic_load(&((struct memory_engine *)engine)->pools_due_at);
        if (pools_at < next) next = pools_at;
    }
    if (atomic_load(&engine->sweep_wanted) != atomic_load(&loop->swept) || waiters_are_granted(loop)) next = INT64_MIN;
    if (compact_is_wanted(engine, loop)) next = INT64_MIN;
    return next;
}

/* Tells when to call again, so that nobody arms something earlier unheard: who arms writes the due moment, then reads
 * wake_at; here wake_at is written, then the due moments are read once more. */
static int64_t loop_sleep(struct memory_engine *engine, struct loop *loop, int64_t now_ms) {
    atomic_store(&loop->wake_at, INT64_MAX);
    int64_t next = loop_next_due(engine, loop, now_ms);
    if (next < now_ms) next = now_ms;
    int64_t told = atomic_load(&loop->wake_at);
    while (next < told && !atomic_compare_exchange_weak(&loop->wake_at, &told, next)) {
    }
    return next < told ? next : told;
}

int64_t memory_advance(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget) {
    struct memory_engine *engine = (struct memory_engine *)self;
    struct loop *loop = &engine->loops[loop_index];
    struct context context = {engine, loop, now_ms, NULL};
    int64_t left = budget ? budget : 1;
    assert(reclaim_is_inside(&engine->reclaim, loop_index));
    int64_t wake_at = atomic_load(&loop->wake_at);
    if (now_ms < wake_at) return wake_at;
    if (loop->index == 0 && atomic_load(&engine->registry.purge_at) <= now_ms) purge_periodically(&context);
    for (uint32_t i = loop->index; i < engine->shard_count && left > 0; i += engine->loop_count)
        if (atomic_load_explicit(&engine->due[i], memory_order_relaxed) <= now_ms)
            reap_shard(&context, &engine->shards[i], &left);
    /* After the deadlines of the same millisecond. Whatever they cost, who waits is not kept waiting. */
    loop->now_ms = now_ms;
    if (loop->index == 0) pools_work(&context, &loop->pool_steps);
    expired_forget(&context);
    waiters_deliver(&context);
    endings_work(&context);
    if (left > 0) sweep_advance(&context, &left);
    if (left > 0) compact_advance(&context);
    return loop_sleep(engine, loop, now_ms);
}
