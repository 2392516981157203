/* The memory engine as engine.h shows it: opening, closing, batches, figures. See memory.h for its inside.
 *
 * A batch of verbs goes through four waves. The first three only ask the processor for memory: for all buckets, then
 * for the first line of all records, then for the rest of them; nothing but that stands between two askings, so that
 * they are under way at once, and so do the looks at page tables that each of them begins with. The fourth executes in
 * order and looks everything up again, so that create, get, destroy and set of one id in one batch behave as four. A
 * get out of a million sessions waits for memory twice alone, and hardly at all in a batch. */
#include "engine/memory/apply.h"
#include "engine/memory/ending.h"
#include "engine/memory/expired.h"
#include "engine/memory/pool_visit.h"
#include "engine/memory/snapshot.h"
#include "engine/memory/stage.h"

#include <stdlib.h>

#define BATCH_MAX 64 /* verbs whose memory is asked for at a time; more would push each other out of the cache */

/* What each wave leaves in a verb's private words for those behind it. */
enum { PRIVATE_HASH, PRIVATE_NAMESPACE, PRIVATE_GENERATION, PRIVATE_PLACE };

static const struct policy schema_policy = POLICY_DEFAULTS;

static struct memory_engine *of(struct engine *self) {
    return (struct memory_engine *)self;
}

/* ---- batches */

/* The namespace of the last verb: verbs of one batch mostly name the same, and so do those of one loop. */
struct recent {
    struct loop *loop;
    struct bytes name;
    struct namespace *namespace;
    uint64_t generation;
};

/* By the bytes of its name, which cost less to compare than to hash. */
static __attribute__((noinline)) struct namespace *kept_find(struct memory_engine *engine, struct loop *loop,
                                                             struct bytes name, uint64_t generation) {
    struct kept_namespace *kept = &loop->kept;
    if (kept->generation == generation && bytes_equal(bytes_of(kept->name, kept->name_size), name))
        return kept->namespace;
    struct namespace *namespace = registry_find(&engine->registry, name);
    if (!namespace) return NULL;
    *kept = (struct kept_namespace){.namespace = namespace, .generation = generation, .name_size = name.size};
    memcpy(kept->name, name.data, name.size);
    return namespace;
}

static inline __attribute__((always_inline)) struct namespace *recent_find(struct memory_engine *engine,
                                                                           struct recent *recent, struct bytes name) {
    uint64_t generation = atomic_load_explicit(&engine->registry.generation, memory_order_acquire);
    bool is_same_place = recent->name.data == name.data && recent->name.size == name.size;
    if (is_same_place && recent->generation == generation && name.data) return recent->namespace;
    recent->namespace = kept_find(engine, recent->loop, name, generation);
    recent->name = name;
    recent->generation = generation;
    return recent->namespace;
}

#define CACHE_LINE_BYTES     64
#define WRITE_PREFETCH_BYTES 128

static bool verb_has_id(const struct verb *verb) {
    return verb->kind == VERB_GET || verb->kind == VERB_UPDATE || verb->kind == VERB_TOUCH || verb->kind == VERB_MOVE;
}

/* What does nothing but ask for memory: the compiler takes a function without a result for one without an effect, and
 * leaves calls of it out, unless it stands in its caller before that is looked at. */
#define PREFETCHING inline __attribute__((always_inline))

/* Asks for the lines of what is at `record`: its last byte may be in one more than its size says. */
static PREFETCHING void record_prefetch(const char *record, size_t bytes) {
    for (size_t at = 0; at < bytes; at += CACHE_LINE_BYTES) __builtin_prefetch(record + at);
    __builtin_prefetch(record + bytes - 1);
}

/* Asks for the bucket of a verb, and leaves in its private words where that is and what its execution needs. */
static inline void verb_prepare(struct memory_engine *engine, struct recent *recent, struct verb *verb) {
    verb->private[PRIVATE_PLACE] = 0;
    if (!verb_has_id(verb)) return;
    struct namespace *namespace = recent_find(engine, recent, verb->namespace);
    verb->private[PRIVATE_NAMESPACE] = (uintptr_t) namespace;
    verb->private[PRIVATE_GENERATION] = recent->generation;
    if (!namespace) return;
    uint64_t hash = id_hash(engine, namespace, verb->id);
    verb->private[PRIVATE_HASH] = hash;
    const struct table_bucket *bucket = table_bucket_in(shard_root(engine, hash), engine->shard_bits, hash);
    verb->private[PRIVATE_PLACE] = (uintptr_t)bucket;
    __builtin_prefetch(bucket);
    if (verb->kind == VERB_GET && !verb->get.is_touch) return;
    struct shard *shard = shard_of(engine, hash);
    __builtin_prefetch(&shard->lock, 1);
    if (verb->kind != VERB_UPDATE) return;
    __builtin_prefetch(&shard->table);
    __builtin_prefetch(&shard->wheel);
}

/* Asks for the first lines of the records in the buckets that were asked for. A third of these have more in a chain,
 * which only then is worth finding the bucket anew. */
static void candidates_prefetch(const struct memory_engine *engine, struct verb *verbs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct table_bucket *bucket = (const void *)(uintptr_t)verbs[i].private[PRIVATE_PLACE];
        if (!bucket) continue;
        uint64_t hash = verbs[i].private[PRIVATE_HASH];
        const char *record = table_first_in(bucket, table_tag_of(hash, engine->shard_bits));
        if (!record && atomic_load_explicit(&((struct table_bucket *)bucket)->overflow, memory_order_relaxed)) {
            struct table_find find = table_find_in(shard_root(engine, hash), engine->shard_bits, hash);
            record = table_next(&find);
        }
        if (record) __builtin_prefetch(record);
        verbs[i].private[PRIVATE_PLACE] = (uintptr_t)record;
    }
}

/* Asks for the other lines of those records. A read copies the data as well, as much as those before it did. */
static PREFETCHING void records_prefetch(const struct loop *loop, const struct verb *verbs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *record = (const char *)(uintptr_t)verbs[i].private[PRIVATE_PLACE];
        size_t bytes = verbs[i].kind == VERB_GET ? loop->read_bytes : WRITE_PREFETCH_BYTES;
        if (record && bytes > CACHE_LINE_BYTES) record_prefetch(record + CACHE_LINE_BYTES, bytes - CACHE_LINE_BYTES);
    }
}

/* Asks for the bucket of a session that a verb may name, and leaves its hash; 0: nothing can be told. */
static void session_expect(struct memory_engine *engine, struct loop *loop, struct anticipated *session) {
    uint64_t generation = atomic_load_explicit(&engine->registry.generation, memory_order_acquire);
    struct namespace *namespace = kept_find(engine, loop, session->namespace, generation);
    session->private = 0;
    if (!namespace || namespace_policy(namespace)->hash_ids) return; /* there it is stored under another name */
    uint64_t hash = id_hash(engine, namespace, session->id);
    __builtin_prefetch(table_bucket_in(shard_root(engine, hash), engine->shard_bits, hash));
    session->private = hash;
}

/* The waves of a batch for sessions that are in none. */
static void memory_anticipate(struct engine *self, unsigned loop_index, struct anticipated *sessions, size_t count) {
    struct memory_engine *engine = of(self);
    struct loop *loop = &engine->loops[loop_index];
    const char *records[ANTICIPATED_MAX];
    size_t found = 0;
    assert(count <= ANTICIPATED_MAX);
    for (size_t i = 0; i < count; i++) session_expect(engine, loop, &sessions[i]);
    for (size_t i = 0; i < count; i++) {
        uint64_t hash = sessions[i].private;
        if (!hash) continue;
        struct table_find find = table_find_in(shard_root(engine, hash), engine->shard_bits, hash);
        records[found] = table_next(&find);
        if (!records[found]) continue;
        __builtin_prefetch(records[found++]);
    }
    if (loop->read_bytes <= CACHE_LINE_BYTES) return;
    for (size_t i = 0; i < found; i++)
        record_prefetch(records[i] + CACHE_LINE_BYTES, loop->read_bytes - CACHE_LINE_BYTES);
}

static void verb_refuse(struct verb *verb) {
    verb->error = error_make(ERROR_UNKNOWN_METHOD, "This engine was opened without pools.");
    verb->is_found = false;
    verb->depends_on = 0;
}

static enum submit_state verb_execute(struct context *context, struct recent *recent, struct verb *verb) {
    struct memory_engine *engine = context->engine;
    struct namespace *namespace = NULL;
    uint64_t hash = 0;
    if (verb_has_id(verb)) {
        namespace = (struct namespace *)(uintptr_t)verb->private[PRIVATE_NAMESPACE];
        hash = verb->private[PRIVATE_HASH];
        uint64_t generation = atomic_load_explicit(&engine->registry.generation, memory_order_acquire);
        if (verb->private[PRIVATE_GENERATION] != generation) {
            namespace = recent_find(engine, recent, verb->namespace);
            if (namespace) hash = id_hash(engine, namespace, verb->id);
        }
    } else if (verb->namespace.data) {
        namespace = recent_find(engine, recent, verb->namespace);
    }
    if ((verb->kind == VERB_ACQUIRE || verb->kind == VERB_RETURN) && !engine->pool_session_make) {
        verb_refuse(verb);
        return SUBMIT_DONE;
    }
    if (pools_are_due(context)) { /* no answer depends on whether a timer ran, nor on what is in a batch */
        pools_work(context, &context->loop->pool_steps);
        if (pools_are_due(context) && !pools_admit(context, verb, namespace, hash)) return SUBMIT_AGAIN;
    }
    switch (verb->kind) {
    case VERB_GET: verb_get(context, verb, namespace, hash); break;
    case VERB_UPDATE: verb_update(context, verb, namespace, hash); break;
    case VERB_TOUCH: verb_touch(context, verb, namespace, hash); break;
    case VERB_MOVE: verb_move(context, verb, namespace); break;
    case VERB_SCAN: verb_scan(context, verb, namespace); break;
    case VERB_END_ALL: return verb_end_all(context, verb, namespace) ? SUBMIT_PENDING : SUBMIT_DONE;
    case VERB_CONFIGURE: return verb_configure(context, verb, namespace);
    case VERB_ACQUIRE: return verb_acquire(context, verb, namespace);
    case VERB_RETURN: verb_return(context, verb, namespace); break;
    case VERB_KIND_COUNT: break;
    }
    return SUBMIT_DONE;
}

/* Whether an answer depends on more than the sessions in it: on groups, counts, policies, or what a pool has not. */
static bool verb_is_broad(const struct verb *verb) {
    if (verb->error.code == ERROR_LIMIT || verb->error.code == ERROR_NO_MEMORY) return true;
    switch (verb->kind) {
    case VERB_SCAN: return !verb->scan.ids.data;
    case VERB_MOVE:
        if (verb->outcome == OUTCOME_ERROR) return true; /* of the new id perhaps */
        break;
    case VERB_GET:
    case VERB_TOUCH:
    case VERB_ACQUIRE: /* which know it by themselves */
    case VERB_RETURN: return false;
    case VERB_UPDATE: break;
    default: return true;
    }
    return verb->is_found && verb->session.client.data; /* its client was told of it after it */
}

/* Of what is broad, all that was done so far, and so of what claims more. And the tombstone of what died by a deadline
 * is dated by that, and bears no version that anybody took: whoever waited for it would wait for the next write. */
static void verb_depend(struct memory_engine *engine, struct verb *verb) {
    if (!engine->journal) return;
    bool is_broad = verb_is_broad(verb);
    if (!is_broad && verb->depends_on <= journal_mark(engine->journal)) return;
    uint64_t last = atomic_load(&engine->last_version);
    if (is_broad || verb->depends_on > last) verb->depends_on = last;
}

static void memory_submit(struct engine *self, unsigned loop_index, struct verb *verbs, enum submit_state *states,
                          size_t count, int64_t now_ms) {
    struct memory_engine *engine = of(self);
    struct context context = {engine, &engine->loops[loop_index], now_ms, NULL};
    struct recent recent = {.loop = context.loop};
    assert(loop_index < engine->loop_count && reclaim_is_inside(&engine->reclaim, loop_index));
    engine->loops[loop_index].now_ms = now_ms;
    for (size_t done = 0; done < count;) {
        size_t batch = count - done < BATCH_MAX ? count - done : BATCH_MAX;
        for (size_t i = 0; i < batch; i++) verb_prepare(engine, &recent, &verbs[done + i]);
        if (batch > 1) {
            candidates_prefetch(engine, verbs + done, batch);
            records_prefetch(context.loop, verbs + done, batch);
        }
        for (size_t i = 0; i < batch; i++) {
            states[done + i] = verb_execute(&context, &recent, &verbs[done + i]);
            if (states[done + i] == SUBMIT_AGAIN) {
                for (size_t j = done + i + 1; j < count; j++) states[j] = SUBMIT_AGAIN;
                return;
            }
            verb_depend(engine, &verbs[done + i]);
            stage_relieve(engine, context.loop);
        }
        done += batch;
    }
}

static const struct policy *memory_policy(struct engine *self, struct bytes name) {
    struct namespace *namespace = registry_find(&of(self)->registry, name);
    return namespace ? namespace_policy(namespace) : NULL;
}

static void memory_set_done(struct engine *self, engine_done done, void *context) {
    of(self)->done = done;
    of(self)->done_context = context;
}

static bool memory_cancel(struct engine *self, unsigned loop_index, uint64_t ticket) {
    struct memory_engine *engine = of(self);
    struct loop *loop = &engine->loops[loop_index];
    /* Taken back at the last moment that the loop knew: what is due later stays so. */
    struct context context = {engine, loop, loop->now_ms, NULL};
    assert(reclaim_is_inside(&engine->reclaim, loop_index));
    return waiter_cancel(&context, ticket);
}

static void memory_enter(struct engine *self, unsigned loop_index) {
    of(self)->loops[loop_index].pool_steps = of(self)->pool_turn_steps;
    reclaim_enter(&of(self)->reclaim, loop_index);
}

static void memory_leave(struct engine *self, unsigned loop_index) {
    struct memory_engine *engine = of(self);
    if (engine->journal) stage_append(engine, &engine->loops[loop_index]);
    stock_settle(&engine->loops[loop_index].stock);
    reclaim_leave(&of(self)->reclaim, loop_index);
}

static void memory_pause(struct engine *self, unsigned loop_index) {
    reclaim_leave(&of(self)->reclaim, loop_index);
}

static void memory_resume(struct engine *self, unsigned loop_index) {
    reclaim_resume(&of(self)->reclaim, loop_index);
}

/* ---- figures */

/* What is taken once and for all. */
static uint64_t fixed_bytes(const struct memory_engine *engine) {
    return sizeof(*engine) + engine->shard_count * (sizeof(struct shard) + sizeof(int64_t) + sizeof(uint64_t)) +
           engine->loop_count * (sizeof(struct loop) + LEAVE_MAX * sizeof(struct record *)) + event_fixed_bytes(engine);
}

uint64_t memory_used(struct memory_engine *engine) {
    uint64_t used = slab_stats_get(&engine->slab).bytes_used + fixed_bytes(engine);
    used += reclaim_note_bytes(&engine->reclaim);
    for (unsigned i = 0; i < engine->loop_count; i++) {
        struct stock *stock = &engine->loops[i].stock;
        used += stock_array_bytes(stock) - stock_bytes(stock);
    }
    return used;
}

static void stats_add_shards(struct memory_engine *engine, struct engine_stats *out) {
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct shard *shard = &engine->shards[i];
        out->tombstones += shard_tombstone_count(shard);
        group_table_take(engine, &shard->groups);
        out->groups += shard->groups.count;
        lock_release(&shard->groups.lock);
    }
}

static void stats_add_namespaces(struct memory_engine *engine, struct engine_stats *out) {
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    out->namespaces = atomic_load(&engine->registry.count);
    for (struct namespace *namespace = engine->registry.first; namespace; namespace = namespace->next) {
        if (namespace->is_dropped) continue;
        for (unsigned status = STATUS_NONE + 1; status < STATUS_END; status++) {
            uint64_t count = (uint64_t)namespace_count(namespace, status);
            if (status_is_living(status))
                out->sessions += count;
            else
                out->sessions_dead += count;
        }
    }
    lock_release(&engine->registry.lock);
}

static uint64_t counter_of(_Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void stats_add_loop(struct loop_counters *counters, struct engine_stats *out) {
    out->created_total += counter_of(&counters->created);
    out->replaced_total += counter_of(&counters->replaced);
    out->removed_total += counter_of(&counters->removed);
    out->expired_total += counter_of(&counters->expired);
    out->touched_total += counter_of(&counters->touched);
    out->revoked_total += counter_of(&counters->revoked);
    out->update_retries_total += counter_of(&counters->retries);
    out->wheel_fired_total += counter_of(&counters->fired);
    out->acquired_total += counter_of(&counters->acquired);
    out->marked_total += counter_of(&counters->marked);
    out->retired_total += counter_of(&counters->retired);
    out->lease_expired_total += counter_of(&counters->lease_expired);
    out->moved_total += counter_of(&counters->moved);
    out->events_total += counter_of(&counters->events);
    out->events_lost_total += counter_of(&counters->events_lost);
    int64_t lag_ms = atomic_load_explicit(&counters->lag_ms, memory_order_relaxed);
    if (lag_ms > out->reaper_lag_ms) out->reaper_lag_ms = lag_ms;
}

static void memory_stats(struct engine *self, struct engine_stats *out) {
    struct memory_engine *engine = of(self);
    int64_t record_bytes = 0;
    *out = (struct engine_stats){0};
    stats_add_shards(engine, out);
    stats_add_namespaces(engine, out);
    out->pools = atomic_load(&engine->pool_count);
    out->pool_waiting = out->pools ? pools_waiting_count(engine) : 0;
    for (unsigned i = 0; i < engine->loop_count; i++) {
        stats_add_loop(&engine->loops[i].counters, out);
        record_bytes += atomic_load_explicit(&engine->loops[i].counters.record_bytes, memory_order_relaxed);
    }
    out->bytes_records = record_bytes > 0 ? (uint64_t)record_bytes : 0;
    out->bytes_used = memory_used(engine);
    out->bytes_retired = reclaim_bytes(&engine->reclaim);
    out->bytes_mapped = slab_stats_get(&engine->slab).bytes_mapped;
}

static void memory_set_limits(struct engine *self, const struct engine_limits *limits) {
    atomic_store(&of(self)->max_memory, limits->max_memory);
    atomic_store(&of(self)->max_namespaces, limits->max_namespaces);
}

static int64_t memory_prepare(struct engine *self, int64_t now_ms) {
    int64_t slab_at = slab_prepare(&of(self)->slab, now_ms), compact_at = compact_prepare(of(self), now_ms);
    return slab_at < compact_at ? slab_at : compact_at;
}

static void memory_move_all(struct engine *self, int64_t now_ms) {
    compact_begin(of(self), now_ms, true);
}

/* ---- opening and closing */

/* The reader behind the loops, which makes snapshots, retires nothing. */
static void memory_free(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    struct memory_engine *engine = context;
    if (kind == RETIRE_RECORD && !atomic_load_explicit(&engine->compaction.is_on, memory_order_relaxed))
        stock_give(&engine->loops[reader].stock, pointer, size);
    else if (kind == RETIRE_NAMESPACE)
        registry_free(&engine->registry, pointer);
    else if (kind == RETIRE_TABLE)
        table_array_free(&engine->slab, pointer);
    else
        slab_free(&engine->slab, pointer, size);
}

static void shard_close(struct memory_engine *engine, struct shard *shard) {
    for (struct table_walk walk = table_walk_at(&shard->table, 0); table_walk_is_in(&walk); table_walk_bucket(&walk))
        for (struct record *record; (record = table_walk_next(&walk));)
            slab_free(&engine->slab, record, record_size(record));
    group_table_fini(&shard->groups, &engine->slab);
    pools_close(engine, &shard->pools);
    tombstone_fini(&shard->tombstones);
    table_fini(&shard->table);
}

static void memory_close(struct engine *self) {
    struct memory_engine *engine = of(self);
    slab_prepare_by(&engine->slab, NULL);
    recovery_close(engine);
    reclaim_fini(&engine->reclaim);
    event_close(engine);
    expired_close(engine);
    for (unsigned i = 0; i < engine->loop_count; i++) {
        waiters_close(engine, &engine->loops[i]);
        endings_close(&engine->loops[i]);
    }
    moves_close(engine);
    for (uint32_t i = 0; i < engine->shard_count; i++) shard_close(engine, &engine->shards[i]);
    registry_fini(&engine->registry);
    terms_fini(&engine->terms);
    for (unsigned i = 0; i < engine->loop_count; i++) stock_fini(&engine->loops[i].stock);
    slab_fini(&engine->slab);
    for (unsigned i = 0; i < engine->loop_count; i++) {
        free(engine->loops[i].leaving);
        free(engine->loops[i].scratch.data);
        free(engine->loops[i].internal_scratch.data);
        buf_fini(&engine->loops[i].staged);
    }
    free(engine->loops);
    free(engine->due);
    free(engine->roots);
    free(engine->stirs);
    free(engine->shards);
    free(engine);
}

static const struct engine_vtable memory_vtable = {.name = "memory",
                                                   .features = ENGINE_ATOMIC_MOVE | ENGINE_EXACT_EXPIRY |
                                                               ENGINE_ORDERED_SCAN | ENGINE_POOLS | ENGINE_EVENTS,
                                                   .enter = memory_enter,
                                                   .leave = memory_leave,
                                                   .pause = memory_pause,
                                                   .resume = memory_resume,
                                                   .submit = memory_submit,
                                                   .anticipate = memory_anticipate,
                                                   .set_done = memory_set_done,
                                                   .cancel = memory_cancel,
                                                   .policy = memory_policy,
                                                   .watch = memory_watch,
                                                   .read_events = memory_read_events,
                                                   .read_expired = memory_read_expired,
                                                   .advance = memory_advance,
                                                   .prepare = memory_prepare,
                                                   .appended = memory_appended,
                                                   .preamble = memory_preamble,
                                                   .apply = memory_apply,
                                                   .recovered = memory_recovered,
                                                   .snapshot = memory_snapshot,
                                                   .stats = memory_stats,
                                                   .set_limits = memory_set_limits,
                                                   .move_all = memory_move_all,
                                                   .check = memory_check,
                                                   .close = memory_close};

static void shard_open(struct memory_engine *engine, uint32_t index, int64_t now_ms) {
    struct shard *shard = &engine->shards[index];
    shard->index = index;
    wheel_init(&shard->wheel, now_ms, (uint32_t)hash_mix(index));
    table_init(&shard->table, &(struct table_options){.root = &engine->roots[index],
                                                      .shard = index,
                                                      .shard_bits = engine->shard_bits,
                                                      .arena = index % engine->loop_count,
                                                      .retire_kind = RETIRE_TABLE,
                                                      .wheel = &shard->wheel,
                                                      .segment_bits = &engine->segment_bits,
                                                      .slab = &engine->slab,
                                                      .reclaim = &engine->reclaim});
    tombstone_init(&shard->tombstones, &engine->slab, index % engine->loop_count);
    atomic_init(&engine->due[index], INT64_MAX);
    atomic_init(&shard->pools.due_at, INT64_MAX);
    atomic_init(&shard->pools.forget_at, INT64_MAX);
}

/* Zeroed memory in the alignment of a cache line pair. */
static void *aligned_zeroed(size_t size) {
    void *memory = aligned_alloc(128, (size + 127) / 128 * 128);
    if (memory) memset(memory, 0, size);
    return memory;
}

static bool loops_open(struct memory_engine *engine) {
    for (unsigned i = 0; i < engine->loop_count; i++) {
        struct loop *loop = &engine->loops[i];
        loop->index = i;
        atomic_init(&loop->wake_at, INT64_MAX);
        atomic_init(&loop->floor, FLOOR_NONE);
        list_init(&loop->endings);
        loop->compaction_place.shard = UINT32_MAX;
        stock_init(&loop->stock, &engine->slab, i);
        loop->leaving = malloc(LEAVE_MAX * sizeof(struct record *));
        if (!loop->leaving || !waiters_open(loop)) return false;
    }
    return true;
}

static bool parts_open(struct memory_engine *engine, const struct engine_options *options) {
    engine->shards = aligned_zeroed(engine->shard_count * sizeof(struct shard));
    engine->loops = aligned_zeroed(engine->loop_count * sizeof(struct loop));
    engine->roots = aligned_zeroed(engine->shard_count * sizeof(*engine->roots));
    engine->due = malloc(engine->shard_count * sizeof(*engine->due));
    engine->stirs = calloc(STIR_COUNT, sizeof(*engine->stirs));
    if (!engine->shards || !engine->roots || !engine->loops || !engine->due || !engine->stirs || !loops_open(engine))
        return false;
    /* Whoever makes snapshots reads too. */
    unsigned reader_count = engine->loop_count + (engine->journal ? 1 : 0);
    if (!reclaim_init(&engine->reclaim, reader_count, memory_free, engine)) return false;
    for (uint32_t i = 0; i < engine->shard_count; i++) shard_open(engine, i, options->now_ms);
    return event_open(engine);
}

static void parts_free(struct memory_engine *engine) {
    for (unsigned i = 0; engine->loops && i < engine->loop_count; i++) {
        free(engine->loops[i].leaving);
        free(engine->loops[i].waiters);
        free(engine->loops[i].events);
    }
    free(engine->loops);
    free(engine->shards);
    free(engine->roots);
    free(engine->due);
    free(engine->stirs);
    free(engine);
}

struct engine *memory_engine_open(const struct engine_options *options) {
    assert(options->loop_count >= 1 && options->loop_count <= 64 && options->shard_bits <= 16);
    struct memory_engine *engine = aligned_zeroed(sizeof(*engine));
    if (!engine) return NULL;
    engine->base.vtable = &memory_vtable;
    engine->env = options->env;
    engine->loop_count = options->loop_count;
    engine->shard_bits = options->shard_bits ? options->shard_bits : SHARD_BITS_DEFAULT;
    engine->shard_count = 1u << engine->shard_bits;
    assert(!options->journal || (options->policy_encode && options->policy_decode));
    engine->journal = options->journal;
    engine->policy_encode = options->policy_encode;
    engine->policy_decode = options->policy_decode;
    engine->pool_policy_encode = options->pool_policy_encode;
    engine->pool_policy_decode = options->pool_policy_decode;
    engine->policy_apply = options->policy_apply;
    engine->default_pool_policy =
        options->default_pool_policy ? *options->default_pool_policy : (struct pool_policy)POOL_POLICY_DEFAULTS;
    engine->pool_policy_apply = options->pool_policy_apply;
    engine->pool_session_make = options->pool_session_make;
    engine->pool_session_begin = options->pool_session_begin;
    engine->pool_context = options->pool_context;
    atomic_init(&engine->pools_due_at, INT64_MAX);
    atomic_init(&engine->pools_forget_at, INT64_MAX);
    engine->pool_turn_steps = options->pool_turn_steps ? options->pool_turn_steps : POOL_TURN_STEPS;
    atomic_init(&engine->last_version, version_of_moment(options->now_ms));
    slab_init(&engine->slab);
    slab_prepare_by(&engine->slab, options->env);
    hash_key_init(&engine->hash_key, options->env);
    terms_init(&engine->terms, &engine->slab);
    registry_init(&engine->registry, &engine->hash_key, engine->env, &engine->slab, &engine->reclaim, &engine->terms,
                  options->default_policy ? options->default_policy : &schema_policy);
    memory_set_limits(&engine->base, &options->limits);
    if (parts_open(engine, options)) return &engine->base;
    parts_free(engine);
    return NULL;
}
