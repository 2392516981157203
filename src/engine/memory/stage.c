/* See stage.h. */
#include "engine/memory/stage.h"
#include "engine/memory/pool_effect.h"

bool stage_reserve(struct context *context, size_t bytes) {
    if (!stage_is_wanted(context)) return true;
    struct buf *staged = stage_buf(context);
    bool was_failed = staged->is_failed;
    if (buf_reserve(staged, bytes + STAGE_SPARE)) return true;
    staged->is_failed = was_failed; /* nothing was lost: whoever asks changes nothing */
    return false;
}

/* Stored before the version is taken, and both in one order for everybody: memory_appended reads the newest version
 * first and the floors after it. */
void stage_floor(struct context *context) {
    struct memory_engine *engine = context->engine;
    _Atomic uint64_t *floor = &context->loop->floor;
    if (!engine->journal || atomic_load_explicit(floor, memory_order_relaxed) != FLOOR_NONE) return;
    atomic_store(floor, atomic_load(&engine->last_version) + 1);
}

uint64_t memory_appended(struct engine *self) {
    struct memory_engine *engine = (struct memory_engine *)self;
    uint64_t appended = atomic_load(&engine->last_version);
    for (unsigned i = 0; i < engine->loop_count; i++) {
        uint64_t floor = atomic_load(&engine->loops[i].floor);
        if (floor <= appended) appended = floor - 1;
    }
    return appended;
}

/* Takes whole effects off the front, as many as one append may have; there are some. */
static struct bytes stage_next(struct bytes *effects) {
    size_t size = effects->size;
    if (size > 2 * JOURNAL_APPEND_BYTES)
        for (size = 0; size < JOURNAL_APPEND_BYTES && size < effects->size;)
            size += effect_size(bytes_of(effects->data + size, effects->size - size));
    struct bytes next = bytes_of(effects->data, size);
    *effects = bytes_of(effects->data + size, effects->size - size);
    return next;
}

void stage_append(struct memory_engine *engine, struct loop *loop) {
    struct journal *journal = engine->journal;
    struct buf *staged = &loop->staged;
    if (staged->is_failed) {
        /* The floor stays where it is: the mark never passes what was lost. */
        atomic_store(&journal->state, JOURNAL_FAILED);
        return;
    }
    bool is_told = staged->size > 0;
    if (is_told) {
        struct bytes effects = buf_bytes(staged);
        while (effects.size) journal->append(journal, loop->index, stage_next(&effects));
        buf_clear(staged);
        if (staged->capacity > 4 * JOURNAL_APPEND_BYTES) buf_fini(staged);
    }
    if (atomic_load_explicit(&loop->floor, memory_order_relaxed) != FLOOR_NONE) atomic_store(&loop->floor, FLOOR_NONE);
    if (is_told && journal->flush) journal->flush(journal, loop->index);
}

/* ---- sessions */

void stage_put(struct context *context, const struct record *record) {
    if (!stage_is_wanted(context)) return;
    const struct terms *terms = record_terms(context->engine, record);
    effect_write_put(stage_buf(context), terms->namespace->key, record, terms);
}

void stage_move(struct context *context, const struct record *record, const struct record *alias, struct bytes old_id) {
    if (!stage_is_wanted(context)) return;
    const struct memory_engine *engine = context->engine;
    const struct terms *terms = record_terms(engine, record);
    effect_write_move(stage_buf(context), terms->namespace->key, record, terms, old_id, alias,
                      alias ? record_terms(engine, alias) : NULL);
}

void stage_remove(struct context *context, const struct namespace *namespace, uint64_t version, struct bytes id) {
    if (stage_is_wanted(context)) effect_write_remove(stage_buf(context), namespace->key, version, id);
}

void stage_touch(struct context *context, uint64_t hash, uint64_t version, int64_t last_active_at) {
    if (stage_takes_touches(context)) effect_write_touch(stage_buf(context), hash, version, last_active_at);
}

/* ---- namespaces */

/* The last ones, the oldest first. */
static void copy_ends(const struct namespace *namespace, struct effect_namespace *out) {
    struct namespace *source = (struct namespace *)namespace;
    out->clear_count = namespace->clear_count < ENDS_KEPT ? namespace->clear_count : ENDS_KEPT;
    for (unsigned i = 0; i < out->clear_count; i++) {
        struct clear *clear = &source->clears[(namespace->clear_count - out->clear_count + i) % ENDS_KEPT];
        out->clears[i] = (struct effect_clear){atomic_load(&clear->version), atomic_load(&clear->retention_ms)};
    }
    out->purge_count = namespace->purge_count < ENDS_KEPT ? namespace->purge_count : ENDS_KEPT;
    for (unsigned i = 0; i < out->purge_count; i++) {
        struct purge *purge = &source->purges[(namespace->purge_count - out->purge_count + i) % ENDS_KEPT];
        out->purges[i] =
            (struct effect_purge){atomic_load(&purge->version), atomic_load(&purge->at), atomic_load(&purge->until)};
    }
}

void namespace_effect(const struct memory_engine *engine, const struct namespace *namespace, struct buf *scratch,
                      struct effect_namespace *out) {
    *out = (struct effect_namespace){
        .key = namespace->key,
        .version = namespace->version,
        .made = namespace->made,
        .tombstone_floor = atomic_load(&((struct namespace *)namespace)->tombstone_floor),
        .purge_interval_ms = namespace->purge_interval_ms,
        .is_purging = namespace->is_purging,
        .name = namespace_name(namespace),
    };
    copy_ends(namespace, out);
    buf_clear(scratch);
    engine->policy_encode(scratch, namespace_policy(namespace));
    out->policy = buf_bytes(scratch);
}

void stage_namespace(struct context *context, struct namespace *namespace, uint64_t version) {
    if (!stage_is_wanted(context)) return;
    struct buf encoded = BUF_EMPTY;
    struct effect_namespace effect;
    namespace->version = version ? version : version_take(context);
    if (!namespace->made) namespace->made = namespace->version;
    atomic_store(&namespace->changed, namespace->version);
    namespace_effect(context->engine, namespace, &encoded, &effect);
    if (encoded.is_failed)
        stage_buf(context)->is_failed = true;
    else
        effect_write_namespace(stage_buf(context), &effect);
    buf_fini(&encoded);
}

uint64_t stage_drop(struct context *context, const struct namespace *namespace) {
    if (!stage_is_wanted(context)) return 0;
    uint64_t version = version_take(context);
    effect_write_drop(stage_buf(context), namespace->key, version);
    return version;
}

void namespaces_write(struct memory_engine *engine, uint64_t key_min, uint64_t key_max, size_t bytes_max,
                      struct buf *out) {
    struct buf encoded = BUF_EMPTY;
    size_t begin = out->size;
    struct effect_namespace effect;
    env_point(engine->env);
    lock_take(&engine->registry.lock);
    for (struct namespace *namespace = engine->registry.first; namespace; namespace = namespace->next) {
        /* One that is being made is told by whoever makes it. */
        if (namespace->is_dropped || !namespace->version) continue;
        if (namespace->key < key_min || namespace->key > key_max) continue;
        size_t before = out->size;
        namespace_effect(engine, namespace, &encoded, &effect);
        effect_write_namespace(out, &effect);
        if (encoded.is_failed) out->is_failed = true;
        if (out->is_failed) break;
        if (out->size - begin <= bytes_max) continue;
        buf_cut(out, before);
        break;
    }
    lock_release(&engine->registry.lock);
    buf_fini(&encoded);
}

/* The namespaces are a help to whoever has lost other files: all that there are stand in the log and in snapshots, too,
 * so those do that have room. */
void memory_preamble(struct engine *self, struct buf *out) {
    struct memory_engine *engine = (struct memory_engine *)self;
    size_t begin = out->size;
    effect_write_store(out, &engine->hash_key);
    namespaces_write(engine, 0, UINT64_MAX, PREAMBLE_BYTES_MAX - (out->size - begin), out);
}

/* ---- clients */

void client_effect(struct group *group, struct effect_client *out) {
    const struct group_client *client = group_client(group);
    *out = (struct effect_client){.namespace = group->namespace->key,
                                  .version = client->version,
                                  .created_at = client->created_at,
                                  .updated_at = client->updated_at,
                                  .has_last_active = client->has_last_active,
                                  .last_born = client->last_active.born & ~GROUP_ENTRY_DEAD,
                                  .last_hash = client->last_active.hash,
                                  .name = bytes_of(group->name, group->name_size)};
}

void stage_client(struct context *context, struct group *group) {
    struct effect_client effect;
    if (!stage_is_wanted(context)) return;
    group_client(group)->version = version_take(context);
    client_effect(group, &effect);
    effect_write_client(stage_buf(context), &effect);
}

/* ---- pools */

void pool_effect_write(const struct memory_engine *engine, const struct pool *pool, struct buf *scratch,
                       struct buf *out) {
    buf_clear(scratch);
    engine->pool_policy_encode(scratch, &pool->policy);
    if (scratch->is_failed) out->is_failed = true;
    effect_write_pool(out, &(struct effect_pool){.namespace = pool->namespace->key,
                                                 .version = pool->told,
                                                 .name = pool_name(pool),
                                                 .policy = buf_bytes(scratch)});
}

void stage_pool(struct context *context, struct pool *pool) {
    if (!stage_is_wanted(context)) return;
    struct buf encoded = BUF_EMPTY;
    pool->told = version_take(context);
    pool_effect_write(context->engine, pool, &encoded, stage_buf(context));
    buf_fini(&encoded);
}

void stage_usage(struct context *context, struct pool_entry *entry, uint64_t version) {
    if (!stage_is_wanted(context)) return;
    entry->told = version ? version : version_take(context);
    effect_write_usage(stage_buf(context), entry);
}
