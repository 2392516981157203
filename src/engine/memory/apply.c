/* See apply.h. */
#include "engine/memory/apply.h"
#include "engine/memory/pool_recover.h"

#include <stdlib.h>

const char recovery_lacks_memory[] = "there is not enough memory for all that is recovered";

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

#define APPLY_BATCH 16 /* effects whose memory is asked for at a time */

/* ---- what recovery keeps */

struct recovery *recovery_of(struct memory_engine *engine) {
    if (engine->recovery) return engine->recovery;
    struct recovery *recovery = calloc(1, sizeof(*recovery));
    if (!recovery) return NULL;
    recovery->engine = engine;
    recovery->context = (struct context){.engine = engine, .loop = &engine->loops[0]};
    recovery->context.now_ms = version_time(atomic_load(&engine->last_version));
    engine->recovery = recovery;
    return recovery;
}

void recovery_close(struct memory_engine *engine) {
    struct recovery *recovery = engine->recovery;
    if (!recovery) return;
    pools_recovery_close(recovery);
    for (uint32_t i = 0; i < recovery->namespace_capacity; i++) {
        struct recovered_namespace *known = recovery->namespaces[i];
        if (!known) continue;
        if (known->namespace->is_dropped || !recovery->are_added) registry_free(&engine->registry, known->namespace);
        free(known->clears);
        free(known->purges);
        free(known);
    }
    for (uint32_t i = 0; i < recovery->client_capacity; i++) free(recovery->clients[i]);
    free(recovery->clients);
    free(recovery->namespaces);
    free(recovery->touches);
    free(recovery);
    engine->recovery = NULL;
}

#define SLOTS_MIN 64

bool recovery_slots_grow(void ***slots, uint32_t *capacity, uint64_t (*hash_of)(const void *element)) {
    uint32_t larger = *capacity ? *capacity * 2 : SLOTS_MIN;
    void **fresh = calloc(larger, sizeof(*fresh));
    if (!fresh) return false;
    for (uint32_t i = 0; i < *capacity; i++) {
        if (!(*slots)[i]) continue;
        uint64_t at = hash_of((*slots)[i]);
        while (fresh[at & (larger - 1)]) at++;
        fresh[at & (larger - 1)] = (*slots)[i];
    }
    free(*slots);
    *slots = fresh;
    *capacity = larger;
    return true;
}

/* ---- namespaces */

static uint64_t namespace_slot_hash(const void *element) {
    return hash_mix(((const struct recovered_namespace *)element)->namespace->key);
}

static struct recovered_namespace *known_new(struct recovery *recovery, uint64_t key) {
    struct recovered_namespace *known = calloc(1, sizeof(*known));
    if (!known) return NULL;
    known->namespace = registry_new_nameless(&recovery->engine->registry, key);
    if (known->namespace) return known;
    free(known);
    return NULL;
}

struct recovered_namespace *recovery_known(struct recovery *recovery, uint64_t key) {
    if (recovery->recent && recovery->recent->namespace->key == key) return recovery->recent;
    if ((recovery->namespace_count + 1) * 2 > recovery->namespace_capacity &&
        !recovery_slots_grow((void ***)&recovery->namespaces, &recovery->namespace_capacity, namespace_slot_hash))
        return NULL;
    uint32_t mask = recovery->namespace_capacity - 1;
    uint64_t at = hash_mix(key);
    for (; recovery->namespaces[at & mask]; at++)
        if (recovery->namespaces[at & mask]->namespace->key == key)
            return recovery->recent = recovery->namespaces[at & mask];
    struct recovered_namespace *known = known_new(recovery, key);
    if (!known) return NULL;
    recovery->namespaces[at & mask] = known;
    recovery->namespace_count++;
    return recovery->recent = known;
}

struct namespace *recovery_namespace(struct recovery *recovery, uint64_t key) {
    struct recovered_namespace *known = recovery_known(recovery, key);
    return known ? known->namespace : NULL;
}

static bool apply_store(struct recovery *recovery, const struct effect *effect, const char **why) {
    struct hash_key *key = &recovery->engine->hash_key;
    if (recovery->has_store && memcmp(key, &effect->store, sizeof(*key)) != 0)
        return refuse(why, "it belongs to another store than what was read before");
    *key = effect->store;
    recovery->has_store = true;
    return true;
}

static void restore_ends(struct namespace *namespace, const struct effect_namespace *told) {
    for (unsigned i = 0; i < told->clear_count; i++) {
        atomic_store(&namespace->clears[i].version, told->clears[i].version);
        atomic_store(&namespace->clears[i].retention_ms, told->clears[i].retention_ms);
        atomic_store(&namespace->epoch, told->clears[i].version);
    }
    for (unsigned i = 0; i < told->purge_count; i++) {
        atomic_store(&namespace->purges[i].version, told->purges[i].version);
        atomic_store(&namespace->purges[i].at, told->purges[i].at);
        atomic_store(&namespace->purges[i].until, told->purges[i].until);
        atomic_store(&namespace->purge_version, told->purges[i].version);
    }
    namespace->clear_count = told->clear_count;
    namespace->purge_count = told->purge_count;
}

/* Room for one more of `count` elements; false where memory is lacking. */
static bool array_grow(void **array, size_t count, size_t *capacity, size_t element_size) {
    if (count < *capacity) return true;
    size_t larger = *capacity ? *capacity * 2 : 2 * ENDS_KEPT;
    void *grown = realloc(*array, larger * element_size);
    if (!grown) return false;
    *array = grown;
    *capacity = larger;
    return true;
}

/* Puts those in that were not told before. Nearly always they are the newest. */
static bool known_add_clear(struct recovered_namespace *known, const struct effect_clear *clear) {
    size_t at = known->clear_count;
    while (at > 0 && known->clears[at - 1].version > clear->version) at--;
    if (at > 0 && known->clears[at - 1].version == clear->version) return true;
    if (!array_grow((void **)&known->clears, known->clear_count, &known->clear_capacity, sizeof(*clear))) return false;
    memmove(&known->clears[at + 1], &known->clears[at], (known->clear_count++ - at) * sizeof(*clear));
    known->clears[at] = *clear;
    return true;
}

static bool known_add_purge(struct recovered_namespace *known, const struct effect_purge *purge) {
    size_t at = known->purge_count;
    while (at > 0 && known->purges[at - 1].version > purge->version) at--;
    if (at > 0 && known->purges[at - 1].version == purge->version) return true;
    if (!array_grow((void **)&known->purges, known->purge_count, &known->purge_capacity, sizeof(*purge))) return false;
    memmove(&known->purges[at + 1], &known->purges[at], (known->purge_count++ - at) * sizeof(*purge));
    known->purges[at] = *purge;
    return true;
}

static bool known_add_ends(struct recovered_namespace *known, const struct effect_namespace *told) {
    for (unsigned i = 0; i < told->clear_count; i++)
        if (!known_add_clear(known, &told->clears[i])) return false;
    for (unsigned i = 0; i < told->purge_count; i++)
        if (!known_add_purge(known, &told->purges[i])) return false;
    return true;
}

static bool apply_namespace(struct recovery *recovery, const struct effect *effect, const char **why) {
    const struct effect_namespace *told = &effect->namespace;
    struct policy policy;
    if (!recovery->engine->policy_decode(told->policy, &policy))
        return refuse(why, "a namespace's policy is none that this release knows");
    struct recovered_namespace *known = recovery_known(recovery, told->key);
    if (!known || !known_add_ends(known, told)) return refuse(why, recovery_lacks_memory);
    struct namespace *namespace = known->namespace;
    recovery_note_version(recovery, told->version);
    if (namespace->version >= told->version) return true;
    if (namespace->name_size && !bytes_equal(namespace_name(namespace), told->name))
        return refuse(why, "two namespaces have one key");
    namespace->version = told->version;
    namespace->made = told->made;
    namespace->name_size = (uint8_t)told->name.size;
    memcpy(namespace->name, told->name.data, told->name.size);
    namespace->is_purging = told->is_purging;
    namespace->purge_interval_ms = told->purge_interval_ms;
    atomic_store(&namespace->tombstone_floor, told->tombstone_floor);
    *atomic_load(&namespace->policy) = policy;
    restore_ends(namespace, told);
    return true;
}

static bool apply_drop(struct recovery *recovery, const struct effect *effect, const char **why) {
    struct namespace *namespace = recovery_namespace(recovery, effect->gone.namespace);
    if (!namespace) return refuse(why, recovery_lacks_memory);
    recovery_note_version(recovery, effect->gone.version);
    namespace->is_dropped = true; /* for good: no other one has its key */
    return true;
}

/* ---- what stands under an id */

struct record *recovery_record(struct memory_engine *engine, uint64_t hash, _Atomic uint64_t **slot) {
    struct table_find find = table_find(&shard_of(engine, hash)->table, hash);
    for (struct record *record; (record = table_next(&find));) {
        if (id_hash(engine, record_terms(engine, record)->namespace, record_id(record)) != hash) continue;
        *slot = find.slot;
        return record;
    }
    return NULL;
}

static void record_drop(struct memory_engine *engine, struct record *record) {
    slab_free(&engine->slab, record, record_size(record));
}

/* Of one version there may be several, made before and after touches: the last activity holds. */
static void record_merge(struct record *record, const struct effect_put *put) {
    uint64_t active = record_active(record);
    int64_t last_active_at = (int64_t)(active >> 16);
    if (put->session.last_active_at > last_active_at) last_active_at = put->session.last_active_at;
    record_set_active(record, (uint64_t)last_active_at << 16 | (active & 0xffff) | (uint64_t)put->is_reaped);
}

static bool apply_session(struct recovery *recovery, const struct effect_put *put, const char **why) {
    struct memory_engine *engine = recovery->engine;
    struct namespace *namespace = recovery_namespace(recovery, put->namespace);
    if (!namespace) return refuse(why, recovery_lacks_memory);
    uint64_t hash = id_hash(engine, namespace, put->session.id), version = put->session.version;
    struct shard *shard = shard_of(engine, hash);
    _Atomic uint64_t *slot = NULL;
    struct record *old = record_find(engine, namespace, hash, put->session.id, &slot);
    recovery_note_version(recovery, version);
    if (old && record_version(old) == version) record_merge(old, put);
    if (old ? record_version(old) >= version : tombstone_version(tombstone_find(&shard->tombstones, hash)) >= version)
        return true;
    struct record *fresh = record_restore(engine, shard_owner(engine, shard), namespace, &put->session, put->is_reaped);
    if (!fresh) return refuse(why, recovery_lacks_memory);
    if (old) {
        table_replace(&shard->table, slot, fresh);
        record_drop(engine, old);
        return true;
    }
    if (!table_insert(&shard->table, recovery->context.loop->index, hash, fresh)) {
        record_drop(engine, fresh);
        return refuse(why, recovery_lacks_memory);
    }
    if (shard->tombstones.count) tombstone_remove(&shard->tombstones, hash);
    return true;
}

static bool apply_end(struct recovery *recovery, uint64_t hash, uint64_t version, const char **why) {
    struct memory_engine *engine = recovery->engine;
    struct shard *shard = shard_of(engine, hash);
    _Atomic uint64_t *slot;
    struct record *record = recovery_record(engine, hash, &slot);
    recovery_note_version(recovery, version);
    if (record && record_version(record) >= version) return true;
    if (!tombstone_put(&shard->tombstones, hash, tombstone_mark(version, version_time(version))))
        return refuse(why, recovery_lacks_memory);
    if (record) {
        table_remove(&shard->table, slot);
        record_drop(engine, record);
    }
    return true;
}

static uint64_t hash_of_id(const struct recovery *recovery, uint64_t namespace, struct bytes id) {
    return hash_bytes(&recovery->engine->hash_key, id) ^ namespace;
}

static bool apply_put(struct recovery *recovery, const struct effect *effect, const char **why) {
    return apply_session(recovery, &effect->put, why);
}

static bool apply_remove(struct recovery *recovery, const struct effect *effect, const char **why) {
    uint64_t hash = hash_of_id(recovery, effect->gone.namespace, effect->gone.id);
    return apply_end(recovery, hash, effect->gone.version, why);
}

static bool apply_tombstone(struct recovery *recovery, const struct effect *effect, const char **why) {
    return apply_end(recovery, effect->mark.hash, effect->mark.version, why);
}

static bool apply_move(struct recovery *recovery, const struct effect *effect, const char **why) {
    const struct effect_put *put = &effect->move.put;
    struct effect_put alias;
    if (!apply_session(recovery, put, why)) return false;
    if (effect->move.alias.data)
        return effect_read_put(effect->move.alias, &alias, why) && apply_session(recovery, &alias, why);
    return apply_end(recovery, hash_of_id(recovery, put->namespace, effect->move.old_id), put->session.version, why);
}

/* ---- touches */

bool recovery_touch(struct memory_engine *engine, const struct pending_touch *touch) {
    struct table_find find = table_find(&shard_of(engine, touch->hash)->table, touch->hash);
    for (struct record *record; (record = table_next(&find));) {
        if (record_version(record) != touch->version || record_is_alias(record)) continue;
        if (id_hash(engine, record_terms(engine, record)->namespace, record_id(record)) != touch->hash) continue;
        uint64_t active = record_active(record);
        if (touch->last_active_at > (int64_t)(active >> 16))
            record_set_active(record, (uint64_t)touch->last_active_at << 16 | (active & 0xffff));
        return true;
    }
    return false;
}

static bool apply_touch(struct recovery *recovery, const struct effect *effect, const char **why) {
    struct pending_touch touch = {effect->mark.hash, effect->mark.version, effect->mark.last_active_at};
    if (recovery_touch(recovery->engine, &touch)) return true;
    if (recovery->touch_count == recovery->touch_capacity) {
        size_t capacity = recovery->touch_capacity ? recovery->touch_capacity * 2 : 1024;
        struct pending_touch *touches = realloc(recovery->touches, capacity * sizeof(*touches));
        if (!touches) return refuse(why, recovery_lacks_memory);
        recovery->touches = touches;
        recovery->touch_capacity = capacity;
    }
    recovery->touches[recovery->touch_count++] = touch;
    return true;
}

/* ---- clients */

static uint64_t client_slot_hash(const void *element) {
    return ((const struct recovered_client *)element)->hash;
}

static void client_merge(struct effect_client *old, const struct effect_client *told) {
    struct bytes name = old->name;
    int64_t updated_at = old->updated_at > told->updated_at ? old->updated_at : told->updated_at;
    bool is_same = old->version == told->version;
    if (told->version >= old->version) *old = *told;
    if (is_same) old->updated_at = updated_at; /* a touch that was thinned away moved that alone */
    old->name = name;
}

static bool apply_client(struct recovery *recovery, const struct effect *effect, const char **why) {
    const struct effect_client *told = &effect->client;
    uint64_t hash = hash_bytes(&recovery->engine->hash_key, told->name) ^ hash_mix(told->namespace);
    if ((recovery->client_count + 1) * 2 > recovery->client_capacity &&
        !recovery_slots_grow((void ***)&recovery->clients, &recovery->client_capacity, client_slot_hash))
        return refuse(why, recovery_lacks_memory);
    recovery_note_version(recovery, told->version);
    uint32_t mask = recovery->client_capacity - 1;
    uint64_t at = hash;
    for (; recovery->clients[at & mask]; at++) {
        struct effect_client *old = &recovery->clients[at & mask]->fields;
        if (old->namespace != told->namespace || !bytes_equal(old->name, told->name)) continue;
        client_merge(old, told);
        return true;
    }
    struct recovered_client *client = malloc(offsetof(struct recovered_client, name) + told->name.size);
    if (!client) return refuse(why, recovery_lacks_memory);
    client->hash = hash;
    client->fields = *told;
    memcpy(client->name, told->name.data, told->name.size);
    client->fields.name = bytes_of(client->name, told->name.size);
    recovery->clients[at & mask] = client;
    recovery->client_count++;
    return true;
}

/* ---- all of them */

static bool apply_snapshot(struct recovery *recovery, const struct effect *effect, const char **why) {
    (void)why;
    recovery_note_version(recovery, effect->gone.version);
    if (effect->gone.version > recovery->covered) recovery->covered = effect->gone.version;
    return true;
}

/* Whether a snapshot that was read has all that this tells. */
static bool effect_is_covered(const struct recovery *recovery, const struct effect *effect) {
    if (!recovery->covered) return false;
    switch (effect->kind) {
    case EFFECT_PUT: return effect->put.session.version <= recovery->covered;
    case EFFECT_MOVE: return effect->move.put.session.version <= recovery->covered;
    case EFFECT_REMOVE: return effect->gone.version <= recovery->covered;
    case EFFECT_NAMESPACE: return effect->namespace.version <= recovery->covered;
    case EFFECT_CLIENT: return effect->client.version <= recovery->covered;
    default: return false;
    }
}

static bool apply_pool_fields(struct recovery *recovery, const struct effect *effect, const char **why) {
    return apply_pool(recovery, effect->body, why);
}

static bool apply_pool_usage(struct recovery *recovery, const struct effect *effect, const char **why) {
    return apply_usage(recovery, effect->body, why);
}

static bool (*const appliers[EFFECT_END])(struct recovery *recovery, const struct effect *effect, const char **why) = {
    [EFFECT_STORE] = apply_store,      [EFFECT_NAMESPACE] = apply_namespace, [EFFECT_DROP] = apply_drop,
    [EFFECT_PUT] = apply_put,          [EFFECT_MOVE] = apply_move,           [EFFECT_REMOVE] = apply_remove,
    [EFFECT_TOUCH] = apply_touch,      [EFFECT_CLIENT] = apply_client,       [EFFECT_POOL] = apply_pool_fields,
    [EFFECT_USAGE] = apply_pool_usage, [EFFECT_TOMBSTONE] = apply_tombstone, [EFFECT_SNAPSHOT] = apply_snapshot,
};

/* Reads some effects and asks the processor for what they change. False: the one behind *count is none. */
static bool batch_read(struct recovery *recovery, struct bytes *effects, struct effect *batch, unsigned *count,
                       const char **why) {
    for (*count = 0; effects->size && *count < APPLY_BATCH; (*count)++) {
        struct effect *effect = &batch[*count];
        if (!effect_read(effects, effect, why)) return false;
        if (effect->kind != EFFECT_PUT) continue;
        uint64_t hash = hash_of_id(recovery, effect->put.namespace, effect->put.session.id);
        table_prefetch(&shard_of(recovery->engine, hash)->table, hash);
    }
    return true;
}

bool memory_apply(struct engine *self, struct bytes effects, const char **why) {
    struct memory_engine *engine = (struct memory_engine *)self;
    struct recovery *recovery = recovery_of(engine);
    struct effect batch[APPLY_BATCH];
    unsigned count;
    if (!recovery) return refuse(why, recovery_lacks_memory);
    while (effects.size) {
        if (!batch_read(recovery, &effects, batch, &count, why)) return false;
        for (unsigned i = 0; i < count; i++) {
            if (!recovery->has_store && batch[i].kind != EFFECT_STORE)
                return refuse(why, "there are effects before the one that says how ids are hashed");
            if (effect_is_covered(recovery, &batch[i])) continue;
            if (!appliers[batch[i].kind](recovery, &batch[i], why)) return false;
        }
        recovery->effects += count;
    }
    reclaim_poll(&engine->reclaim, recovery->context.loop->index);
    return true;
}
