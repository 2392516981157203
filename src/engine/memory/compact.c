/* Moving sessions together in memory; see compact.h. */
#include "engine/memory/memory.h"

#include <string.h>

enum { STEP_NONE, STEP_MARK, STEP_MOVE, STEP_COUNT }; /* engine->compaction.step counts steps, this is its remainder */
enum {
    THIN_AFTER_MS = 1000, /* pages that run empty by themselves are not emptied */
    TURN_BUDGET = 256,    /* records looked at in one turn */
    MOVE_COST = 4,        /* ... in whose time one is moved */
    PREFETCH_BUCKETS = 4  /* ahead */
};

static unsigned kind_of(uint64_t step) {
    return (unsigned)(step % STEP_COUNT);
}

bool compact_is_wanted(const struct memory_engine *engine, const struct loop *loop) {
    uint64_t step = atomic_load(&((struct memory_engine *)engine)->compaction.step);
    return kind_of(step) != STEP_NONE && loop->compaction_place.step_done != step;
}

/* ---- beginning and ending a step */

static void step_begin(struct context *context, uint64_t step) {
    struct memory_engine *engine = context->engine;
    atomic_store(&engine->compaction.left, engine->loop_count);
    atomic_store(&engine->compaction.step, step);
    for (unsigned i = 0; i < engine->loop_count; i++) owner_wake(context, i, context->now_ms);
}

void compact_begin(struct memory_engine *engine, int64_t now_ms, bool in_any_case) {
    struct context context = {engine, NULL, now_ms, NULL};
    uint64_t step = atomic_load(&engine->compaction.step);
    if (kind_of(step) != STEP_NONE) return;
    atomic_store(&engine->compaction.is_of_all, in_any_case);
    atomic_store(&engine->compaction.is_on, true);
    step_begin(&context, step + 1);
}

int64_t compact_prepare(struct memory_engine *engine, int64_t now_ms) {
    if (!slab_is_thin(&engine->slab) || atomic_load(&engine->compaction.is_on)) {
        engine->compaction.look_at = 0;
        return INT64_MAX;
    }
    if (!engine->compaction.look_at) engine->compaction.look_at = now_ms + THIN_AFTER_MS;
    if (now_ms < engine->compaction.look_at) return engine->compaction.look_at;
    engine->compaction.look_at = 0;
    compact_begin(engine, now_ms, false);
    return INT64_MAX;
}

/* This loop is through; the last one begins the next step. */
static void step_end(struct context *context, uint64_t step) {
    struct memory_engine *engine = context->engine;
    struct loop *loop = context->loop;
    /* What lies in the stock may lie in a page that is to run empty; nothing more goes into it meanwhile. */
    if (kind_of(step) == STEP_MARK) stock_fini(&loop->stock);
    loop->compaction_place.step_done = step;
    if (atomic_fetch_sub(&engine->compaction.left, 1) != 1) return;
    if (kind_of(step) == STEP_MARK) {
        step_begin(context, step + 1);
        return;
    }
    slab_leaving_end(&engine->slab);
    atomic_store(&engine->compaction.is_on, false);
    atomic_store(&engine->compaction.step, step + 1);
}

/* ---- one record: the shard's lock */

/* Where memory is lacking it stays where it is. */
static void record_move(struct context *context, struct shard *shard, _Atomic uint64_t *slot, struct record *record) {
    struct memory_engine *engine = context->engine;
    size_t size = record_size(record);
    struct record *copy = slab_alloc(&engine->slab, context->loop->index, size);
    if (!copy) return;
    memcpy(copy, record, size);
    table_replace(&shard->table, slot, copy);
    /* Not into the stock: its page is to run empty. */
    reclaim_retire(&engine->reclaim, context->loop->index, record, size, RETIRE_BLOCK);
    counter_add(&context->loop->counters.moved, 1);
}

/* Answers what it cost. */
static unsigned record_visit(struct context *context, struct shard *shard, _Atomic uint64_t *slot,
                             struct record *record, unsigned kind) {
    struct memory_engine *engine = context->engine;
    if (record_size(record) > SLAB_BLOCK_MAX) return 1;
    if (kind == STEP_MARK) {
        slab_leaving_begin(&engine->slab, record,
                           atomic_load_explicit(&engine->compaction.is_of_all, memory_order_relaxed));
        return 1;
    }
    if (!slab_is_leaving(record)) return 1;
    record_move(context, shard, slot, record);
    return MOVE_COST;
}

/* ---- all of them */

static void bucket_prefetch(const struct shard *shard, uint32_t bucket) {
    struct table_walk walk = table_walk_at(&shard->table, bucket);
    for (void *record; (record = table_walk_next(&walk));) __builtin_prefetch(record);
}

/* Some buckets of the shard at which this loop stands. True: it is through. */
static bool shard_compact(struct context *context, struct shard *shard, unsigned kind, int64_t *budget) {
    struct compaction_place *place = &context->loop->compaction_place;
    shard_take(context->engine, shard);
    uint32_t bucket_count = table_bucket_count(&shard->table);
    uint32_t number = place->is_inside ? table_bucket_of(&shard->table, place->hash) : 0;
    uint32_t end = bucket_count - number < REAP_BATCH ? bucket_count : number + REAP_BATCH;
    for (uint32_t i = number; i < end && i < number + PREFETCH_BUCKETS; i++) bucket_prefetch(shard, i);
    for (; *budget > 0 && number < end; number++) {
        if (number + PREFETCH_BUCKETS < end) bucket_prefetch(shard, number + PREFETCH_BUCKETS);
        struct table_walk walk = table_walk_at(&shard->table, number);
        --*budget;
        for (struct record *record; (record = table_walk_next(&walk));)
            *budget -= record_visit(context, shard, walk.slot, record, kind);
    }
    place->is_inside = number < bucket_count;
    if (place->is_inside) place->hash = table_bucket_first_hash(&shard->table, number, bucket_count);
    shard_release(shard);
    return !place->is_inside;
}

void compact_advance(struct context *context) {
    struct memory_engine *engine = context->engine;
    struct loop *loop = context->loop;
    struct compaction_place *place = &loop->compaction_place;
    int64_t budget = TURN_BUDGET;
    if (!compact_is_wanted(engine, loop)) return;
    uint64_t step = atomic_load(&engine->compaction.step);
    if (place->shard == UINT32_MAX) place->shard = loop->index;
    while (place->shard < engine->shard_count) {
        if (budget <= 0) return;
        if (shard_compact(context, &engine->shards[place->shard], kind_of(step), &budget))
            place->shard += engine->loop_count;
    }
    place->shard = UINT32_MAX;
    step_end(context, step);
}
