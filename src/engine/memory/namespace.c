/* See namespace.h. */
#include "engine/memory/namespace.h"
#include "engine/memory/stage.h"

#include <string.h>

#define MAP_CAPACITY_MIN 16

void registry_init(struct registry *registry, const struct hash_key *hash_key, const struct env *env, struct slab *slab,
                   struct reclaim *reclaim, struct terms_table *terms, const struct policy *default_policy) {
    memset(registry, 0, sizeof(*registry));
    registry->hash_key = hash_key;
    registry->env = env;
    registry->slab = slab;
    registry->reclaim = reclaim;
    registry->terms = terms;
    registry->default_policy = *default_policy;
    atomic_init(&registry->purge_at, INT64_MAX);
}

static size_t map_size(uint32_t capacity) {
    return sizeof(struct namespace_map) + capacity * sizeof(struct namespace *);
}

void registry_fini(struct registry *registry) {
    while (registry->first) {
        struct namespace *namespace = registry->first;
        registry->first = namespace->next;
        registry_free(registry, namespace);
    }
    struct namespace_map *map = atomic_load(&registry->map);
    if (map) slab_free(registry->slab, map, map_size(map->capacity));
}

static struct namespace *map_find(const struct namespace_map *map, uint64_t hash, struct bytes name) {
    for (uint32_t at = (uint32_t)hash;; at++) {
        struct namespace *namespace =
            atomic_load_explicit(&((struct namespace_map *)map)->slots[at & (map->capacity - 1)], memory_order_acquire);
        if (!namespace) return NULL;
        if (namespace != NAMESPACE_REMOVED && bytes_equal(namespace_name(namespace), name)) return namespace;
    }
}

struct namespace *registry_find(const struct registry *registry, struct bytes name) {
    struct namespace_map *map = atomic_load_explicit(&registry->map, memory_order_acquire);
    return map ? map_find(map, hash_bytes(registry->hash_key, name), name) : NULL;
}

/* Puts a namespace into a map that has room. */
static void map_put(const struct registry *registry, struct namespace_map *map, struct namespace *namespace) {
    uint32_t at = (uint32_t)hash_bytes(registry->hash_key, namespace_name(namespace));
    while (atomic_load_explicit(&map->slots[at & (map->capacity - 1)], memory_order_relaxed)) at++;
    atomic_store_explicit(&map->slots[at & (map->capacity - 1)], namespace, memory_order_release);
    map->used++;
}

/* Sees to it that the map takes one more name; the lock is held. */
static bool map_make_room(struct registry *registry, unsigned reader) {
    struct namespace_map *old = atomic_load_explicit(&registry->map, memory_order_relaxed);
    if (old && (old->used + 1) * 2 <= old->capacity) return true;
    uint32_t capacity = MAP_CAPACITY_MIN;
    while (capacity < (atomic_load(&registry->count) + 1) * 4) capacity *= 2;
    struct namespace_map *map = slab_alloc(registry->slab, reader, map_size(capacity));
    if (!map) return false;
    memset(map, 0, map_size(capacity));
    map->capacity = capacity;
    for (struct namespace *namespace = registry->first; namespace; namespace = namespace->next)
        if (!namespace->is_dropped) map_put(registry, map, namespace);
    atomic_store_explicit(&registry->map, map, memory_order_release);
    if (old) reclaim_retire(registry->reclaim, reader, old, slab_size(map_size(old->capacity)), RETIRE_BLOCK);
    return true;
}

void registry_free(struct registry *registry, struct namespace *namespace) {
    if (namespace->terms_first != TERMS_NONE) terms_release(registry->terms, namespace->terms_first);
    slab_free(registry->slab, atomic_load_explicit(&namespace->policy, memory_order_relaxed), sizeof(struct policy));
    slab_free(registry->slab, namespace, sizeof(*namespace));
}

/* A namespace with the default policy, in no list yet; NULL where memory is lacking. */
static struct namespace *namespace_new(struct registry *registry, unsigned reader, struct bytes name, bool hash_ids) {
    struct namespace *namespace = slab_alloc(registry->slab, reader, sizeof(*namespace));
    struct policy *policy = slab_alloc(registry->slab, reader, sizeof(*policy));
    if (!namespace || !policy) goto fail;
    memset(namespace, 0, sizeof(*namespace));
    registry->env->random(registry->env->context, &namespace->key, sizeof(namespace->key));
    namespace->name_size = (uint8_t)name.size;
    memcpy(namespace->name, name.data, name.size);
    namespace->purge_interval_ms = PURGE_INTERVAL_DEFAULT_MS;
    namespace->terms_first = TERMS_NONE;
    namespace->base_terms = terms_make_base(registry->terms, namespace, &namespace->terms_first);
    if (namespace->base_terms == TERMS_NONE) goto fail;
    atomic_init(&namespace->recent_terms, namespace->base_terms);
    *policy = registry->default_policy;
    policy->hash_ids = hash_ids;
    atomic_init(&namespace->policy, policy);
    return namespace;
fail:
    slab_free(registry->slab, policy, sizeof(*policy));
    slab_free(registry->slab, namespace, sizeof(*namespace));
    return NULL;
}

/* Makes the namespace; the lock is held and there is none of that name. */
static struct namespace *registry_add(struct registry *registry, unsigned reader, struct bytes name, bool hash_ids,
                                      uint32_t count_max, struct error *error) {
    if (count_max && atomic_load(&registry->count) >= count_max) {
        *error = error_make(ERROR_LIMIT, "The server has as many namespaces as max_namespaces allows; drop one or "
                                         "raise the limit.");
        error->limit = count_max;
        return NULL;
    }
    struct namespace *namespace =
        map_make_room(registry, reader) ? namespace_new(registry, reader, name, hash_ids) : NULL;
    if (!namespace) {
        *error = error_make(ERROR_NO_MEMORY, "The server lacks memory for another namespace; try again later.");
        return NULL;
    }
    namespace->next = registry->first;
    registry->first = namespace;
    map_put(registry, atomic_load_explicit(&registry->map, memory_order_relaxed), namespace);
    atomic_fetch_add(&registry->count, 1);
    atomic_fetch_add(&registry->generation, 1);
    /* Not registry_refresh: that looks at all namespaces, and this is called for each of them. */
    if (registry->default_policy.tombstone_ms > atomic_load(&registry->tombstone_max_ms))
        atomic_store(&registry->tombstone_max_ms, registry->default_policy.tombstone_ms);
    return namespace;
}

struct namespace *registry_new_nameless(struct registry *registry, uint64_t key) {
    struct namespace *namespace = namespace_new(registry, 0, BYTES_LITERAL(""), registry->default_policy.hash_ids);
    if (namespace) namespace->key = key;
    return namespace;
}

bool registry_add_named(struct registry *registry, struct namespace *namespace) {
    if (!map_make_room(registry, 0)) return false;
    namespace->next = registry->first;
    registry->first = namespace;
    map_put(registry, atomic_load_explicit(&registry->map, memory_order_relaxed), namespace);
    atomic_fetch_add(&registry->count, 1);
    atomic_fetch_add(&registry->generation, 1);
    return true;
}

struct namespace *registry_make(struct registry *registry, unsigned reader, struct bytes name, uint32_t count_max,
                                struct error *error) {
    return registry_make_hashed(registry, reader, name, registry->default_policy.hash_ids, count_max, error);
}

struct namespace *registry_make_hashed(struct registry *registry, unsigned reader, struct bytes name, bool hash_ids,
                                       uint32_t count_max, struct error *error) {
    assert(name.size >= 1 && name.size <= LIMIT_MAX_NAMESPACE);
    struct namespace *namespace = registry_find(registry, name);
    if (namespace) return namespace;
    env_point(registry->env);
    lock_take(&registry->lock);
    namespace = registry_find(registry, name);
    if (!namespace) namespace = registry_add(registry, reader, name, hash_ids, count_max, error);
    lock_release(&registry->lock);
    return namespace;
}

/* Under the lock: its version is taken before anybody can find it, so what is written into it is newer; and who looks
 * through the namespaces, having looked at the newest version before, finds it told or finds a newer version in the
 * journal (see snapshot.c). */
static struct namespace *namespace_begin(struct context *context, struct bytes name, bool hash_ids,
                                         struct error *error) {
    struct memory_engine *engine = context->engine;
    uint64_t version = stage_is_wanted(context) ? version_take(context) : 0;
    struct namespace *namespace = registry_add(&engine->registry, context->loop->index, name, hash_ids,
                                               atomic_load(&engine->max_namespaces), error);
    if (namespace) stage_namespace(context, namespace, version);
    return namespace;
}

struct namespace *namespace_make(struct context *context, struct bytes name, bool hash_ids, struct error *error) {
    struct registry *registry = &context->engine->registry;
    struct namespace *namespace = registry_find(registry, name);
    if (namespace) return namespace;
    if (!stage_reserve(context, 0)) {
        *error = error_make(ERROR_NO_MEMORY, "The server lacks memory for another namespace; try again later.");
        return NULL;
    }
    env_point(registry->env);
    lock_take(&registry->lock);
    namespace = registry_find(registry, name);
    if (!namespace) namespace = namespace_begin(context, name, hash_ids, error);
    lock_release(&registry->lock);
    return namespace;
}

void namespace_note_clear(struct namespace *namespace, uint64_t version) {
    struct clear *clear = &namespace->clears[namespace->clear_count++ % ENDS_KEPT];
    atomic_store(&clear->version, 0);
    atomic_store(&clear->retention_ms, namespace_policy(namespace)->retention_ms);
    atomic_store(&clear->version, version);
    atomic_store(&namespace->epoch, version);
}

void namespace_note_purge(struct namespace *namespace, uint64_t version, int64_t at, int64_t until) {
    struct purge *purge = &namespace->purges[namespace->purge_count++ % ENDS_KEPT];
    atomic_store(&purge->version, 0); /* so that nobody sees one's version with the other's moment */
    atomic_store(&purge->at, at);
    atomic_store(&purge->until, until);
    atomic_store(&purge->version, version);
    atomic_store(&namespace->purge_version, version);
}

void registry_unlink(struct registry *registry, struct namespace *namespace) {
    struct namespace_map *map = atomic_load_explicit(&registry->map, memory_order_relaxed);
    uint32_t at = (uint32_t)hash_bytes(registry->hash_key, namespace_name(namespace));
    while (atomic_load_explicit(&map->slots[at & (map->capacity - 1)], memory_order_relaxed) != namespace) at++;
    atomic_store_explicit(&map->slots[at & (map->capacity - 1)], NAMESPACE_REMOVED, memory_order_release);
    namespace->is_dropped = true;
    namespace->is_purging = false;
    atomic_store(&namespace->epoch, EPOCH_DROPPED);
    atomic_fetch_sub(&registry->count, 1);
    atomic_fetch_add(&registry->generation, 1);
    registry_refresh(registry);
}

void registry_forget(struct registry *registry, struct namespace *namespace) {
    struct namespace **link = &registry->first;
    while (*link != namespace) link = &(*link)->next;
    *link = namespace->next;
}

bool registry_set_policy(struct registry *registry, unsigned reader, struct namespace *namespace,
                         const struct policy *policy) {
    struct policy *fresh = slab_alloc(registry->slab, reader, sizeof(*fresh));
    if (!fresh) return false;
    *fresh = *policy;
    struct policy *old = atomic_exchange(&namespace->policy, fresh);
    if (old->tombstone_ms != policy->tombstone_ms) registry_refresh(registry);
    reclaim_retire(registry->reclaim, reader, old, sizeof(*old), RETIRE_BLOCK);
    return true;
}

void registry_refresh(struct registry *registry) {
    int64_t tombstone_max_ms = 0, purge_at = INT64_MAX;
    for (const struct namespace *namespace = registry->first; namespace; namespace = namespace->next) {
        if (namespace->is_dropped) continue;
        int64_t tombstone_ms = namespace_policy(namespace)->tombstone_ms;
        if (tombstone_ms > tombstone_max_ms) tombstone_max_ms = tombstone_ms;
        if (namespace->is_purging && namespace->purge_at < purge_at) purge_at = namespace->purge_at;
    }
    atomic_store(&registry->tombstone_max_ms, tombstone_max_ms);
    atomic_store(&registry->purge_at, purge_at);
}

/* What is not outdated of a count. */
static int64_t count_current(const _Atomic int64_t *all, const _Atomic int64_t *outdated) {
    int64_t pending = atomic_load_explicit((_Atomic int64_t *)outdated, memory_order_relaxed);
    int64_t count = atomic_load_explicit((_Atomic int64_t *)all, memory_order_relaxed);
    if (pending > 0) count -= pending;
    return count > 0 ? count : 0;
}

int64_t namespace_count(const struct namespace *namespace, enum status status) {
    return count_current(&namespace->count[status], &namespace->pending[status]);
}

int64_t namespace_bytes(const struct namespace *namespace) {
    return count_current(&namespace->bytes[0], &namespace->pending_bytes[0]) +
           count_current(&namespace->bytes[1], &namespace->pending_bytes[1]);
}

bool namespace_is_empty(const struct namespace *namespace) {
    struct namespace *counted = (struct namespace *)namespace;
    return atomic_load(&counted->bytes[0]) + atomic_load(&counted->bytes[1]) <= 0;
}
