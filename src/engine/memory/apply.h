/* Recovery: from effects back to sessions, namespaces and clients.
 *
 * While effects are applied, what stands under an id is a record or a tombstone, whichever has the greater version, and
 * nothing that follows from it (counts, groups, deadlines) is there: `recovered` works that out at the end, once.
 * Effects come in any order: a session may come before its namespace, a touch before its session, a destroy before what
 * it destroyed. So a destroy always leaves a tombstone, and what cannot be placed yet is kept until the end.
 * One thread, before the first turn. */
#ifndef ENGINE_MEMORY_APPLY_H
#define ENGINE_MEMORY_APPLY_H

#include "engine/memory/effect.h"
#include "engine/memory/memory.h"

/* A touch whose record was not there when it came. */
struct pending_touch {
    uint64_t hash, version;
    int64_t last_active_at;
};

/* A namespace with all its clears and purges that are told anywhere, in order. The namespace itself knows the last few,
 * which is enough for what is swept at once; here sessions come back that were ended long before those. */
struct recovered_namespace {
    struct namespace *namespace;
    struct effect_clear *clears;
    struct effect_purge *purges;
    size_t clear_count, clear_capacity, purge_count, purge_capacity;
};

/* The newest fields of a client. */
struct recovered_client {
    uint64_t hash; /* of namespace and name */
    struct effect_client fields;
    uint8_t name[UINT8_MAX];
};

/* The newest fields of a pool. */
struct recovered_pool {
    uint64_t hash; /* of namespace and name */
    uint64_t namespace, version;
    struct pool_policy policy;
    uint8_t name_size;
    uint8_t name[];
};

/* The newest usage of one life of a session in a pool. */
struct recovered_usage {
    uint64_t hash; /* of its id */
    uint64_t life, version;
    size_t size; /* of the effect's body */
    uint8_t body[];
};

struct recovery {
    struct memory_engine *engine;
    struct context context; /* of loop 0, at the moment of the engine's opening; then of `recovered` */
    bool has_store;
    uint64_t version; /* the newest that was seen */
    uint64_t covered; /* by a snapshot that was read to its end: see effect.h */
    uint64_t effects;
    /* By their keys: open addressing, all that an effect named. In the registry are none of them until are_added, then
     * those that are not dropped. */
    struct recovered_namespace **namespaces;
    bool are_added;
    uint32_t namespace_capacity, namespace_count;
    struct recovered_namespace *recent;
    struct recovered_client **clients; /* the same */
    uint32_t client_capacity, client_count;
    struct recovered_pool **pools; /* the same */
    uint32_t pool_capacity, pool_count;
    struct recovered_usage **usages; /* the same */
    uint32_t usage_capacity, usage_count;
    struct pending_touch *touches;
    size_t touch_count, touch_capacity;
};

extern const char recovery_lacks_memory[];

bool memory_apply(struct engine *self, struct bytes effects, const char **why);
bool memory_recovered(struct engine *self, int64_t now_ms, struct recovery_counts *counts, const char **why);

/* The engine's recovery, begun where there is none; NULL where memory is lacking. */
struct recovery *recovery_of(struct memory_engine *engine);
/* Frees what recovery keeps, if one was begun. */
void recovery_close(struct memory_engine *engine);

/* The namespace of that key, made without a name where it was not named yet; NULL where memory is lacking. */
struct namespace *recovery_namespace(struct recovery *recovery, uint64_t key);
/* The same with all that is known of it. */
struct recovered_namespace *recovery_known(struct recovery *recovery, uint64_t key);

/* Notes that a version was seen. */
static inline void recovery_note_version(struct recovery *recovery, uint64_t version) {
    if (version > recovery->version) recovery->version = version;
}

/* Makes a table of pointers twice as large; false where memory is lacking. `hash_of` answers an element's hash. */
bool recovery_slots_grow(void ***slots, uint32_t *capacity, uint64_t (*hash_of)(const void *element));

/* The record under that hash, whatever its id; NULL: none. */
struct record *recovery_record(struct memory_engine *engine, uint64_t hash, _Atomic uint64_t **slot);

/* Gives the record of the touch its moment. False: it is not there. */
bool recovery_touch(struct memory_engine *engine, const struct pending_touch *touch);

#endif
