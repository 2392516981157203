/* Namespaces and their registry: names to policies, counters, and the two moments that outdate records without touching
 * them (the epoch of a clear, the moment of a purge).
 *
 * Looking a name up takes no lock; making and dropping one takes the registry's. Each namespace has a random key that
 * is mixed into the hash of its ids, so that a dropped namespace and a later one of the same name never meet in the
 * table. A namespace that was dropped lives until its last record is swept and every reader has left its turn.
 *
 * Any thread, inside a turn, unless a function says otherwise. */
#ifndef ENGINE_MEMORY_NAMESPACE_H
#define ENGINE_MEMORY_NAMESPACE_H

#include "base/hash.h"
#include "engine/memory/reclaim.h"
#include "engine/memory/terms.h"
#include "sessiond/engine.h"

/* The epoch of a dropped namespace: every record is older. */
#define EPOCH_DROPPED (UINT64_C(1) << 62)
/* Stands in the epoch while a clear takes its version; see namespace_raise_epoch. */
#define EPOCH_RISING (UINT64_C(1) << 63)

#define ENDS_KEPT 4

/* Records with a version up to `version` were destroyed; under that retention, which says which of the dead were still
 * to be seen. */
struct clear {
    _Atomic uint64_t version; /* 0: none */
    _Atomic int64_t retention_ms;
};

/* Dead records that died up to `until` were forgotten at the moment `at`, if their version is up to `version`:
 * not one that was born dead since. */
struct purge {
    _Atomic int64_t at, until;
    _Atomic uint64_t version; /* 0: none */
};

struct namespace {
    uint64_t key;                    /* constant; xor'ed into the hash of every id */
    _Atomic(struct policy *) policy; /* a slab block, replaced whole */
    _Atomic uint64_t epoch;          /* records with a version up to this are destroyed */
    _Atomic uint64_t purge_version;  /* the newest of `purges` */
    _Atomic uint64_t changed; /* version of the newest clear, purge or change of its policy, which is seen later */
    _Atomic uint64_t tombstone_floor; /* ends up to this version were past their tombstone_ms when that was raised */
    _Atomic uint32_t recent_terms;    /* the tuple that was asked for last */
    uint32_t base_terms;              /* constant */
    uint8_t name_size;
    uint8_t name[LIMIT_MAX_NAMESPACE];
    /* The last clears and purges, the newest over the oldest. A record that lies there unswept ended with the first
     * that concerned it, however many came after. */
    struct clear clears[ENDS_KEPT];
    struct purge purges[ENDS_KEPT];
    unsigned clear_count, purge_count; /* the registry's lock: ever made */

    /* Counters, changed by whoever publishes, marks or removes a record, under that record's shard's lock. Apart from
     * the fields above, which every read looks at. */
    _Atomic int64_t count[STATUS_END] __attribute__((aligned(64))); /* records by what they were last counted as */
    _Atomic int64_t pending[STATUS_END]; /* of those: outdated by a clear or purge and not yet swept */
    /* Of its records: of those that are counted as living (and of old ids), and of the dead. */
    _Atomic int64_t bytes[2];
    _Atomic int64_t pending_bytes[2]; /* of those: of the outdated */
    _Atomic int64_t reserved;         /* places of max_sessions taken by writes that are under way */
    _Atomic int64_t reserved_bytes;   /* the same of max_bytes */

    /* The registry's lock. */
    struct namespace *next; /* of all, dropped ones included */
    uint32_t terms_first;   /* the terms table's lock: all its tuples */
    bool is_purging;
    bool is_dropped;
    int64_t purge_interval_ms;
    int64_t purge_at;          /* next periodic purge */
    uint64_t version, made;    /* with a journal: of its last change and of its making; 0: not told yet */
    uint32_t ending_count;     /* ends of groups that are PENDING and name it */
    uint64_t sweep_generation; /* when this sweep is through nothing outdated is left; 0: nothing is */
}
__attribute__((aligned(64)));

/* Open addressing, replaced whole when it grows; readers without a lock. */
struct namespace_map {
    uint32_t capacity; /* a power of two */
    uint32_t used;     /* slots that are not NULL, removed ones included */
    _Atomic(struct namespace *) slots[];
};

struct registry {
    _Atomic(struct namespace_map *) map; /* NULL: empty */
    _Atomic uint32_t count;              /* named ones */
    _Atomic uint64_t dropped;            /* version of the newest drop, which is seen later */
    _Atomic uint64_t generation;         /* changes with every name that comes or goes */
    _Atomic int64_t tombstone_max_ms;    /* the longest tombstone_ms of any namespace */
    _Atomic int64_t purge_at;            /* the earliest periodic purge; INT64_MAX: none */
    struct lock lock;
    struct namespace *first;
    const struct hash_key *hash_key;
    const struct env *env;
    struct slab *slab;
    struct reclaim *reclaim;
    struct terms_table *terms;
    struct policy default_policy;
};

/* The map's slot of a name that was dropped: look-ups go on behind it. */
#define NAMESPACE_REMOVED ((struct namespace *)8)

void registry_init(struct registry *registry, const struct hash_key *hash_key, const struct env *env, struct slab *slab,
                   struct reclaim *reclaim, struct terms_table *terms, const struct policy *default_policy);
/* Frees all namespaces. No other call may run. */
void registry_fini(struct registry *registry);

/* The namespace of that name, or NULL. */
struct namespace *registry_find(const struct registry *registry, struct bytes name);

/* The namespace of that name, made if there is none. NULL: *error says why not. */
struct namespace *registry_make(struct registry *registry, unsigned reader, struct bytes name, uint32_t count_max,
                                struct error *error);
/* The same; where it is made, with those hash_ids: nobody can have written into it before they are chosen. */
struct namespace *registry_make_hashed(struct registry *registry, unsigned reader, struct bytes name, bool hash_ids,
                                       uint32_t count_max, struct error *error);

/* For recovery: a namespace of that key with the defaults, in no list until it is added; NULL where memory is lacking.
 */
struct namespace *registry_new_nameless(struct registry *registry, uint64_t key);
/* From now on it is there, and found by its name, which it has and no other one. registry_refresh then. False where
 * memory is lacking. */
bool registry_add_named(struct registry *registry, struct namespace *namespace);

/* Notes a clear or a purge; the lock is held. */
void namespace_note_clear(struct namespace *namespace, uint64_t version);
void namespace_note_purge(struct namespace *namespace, uint64_t version, int64_t at, int64_t until);

/* Takes the name away and outdates all its records; the lock is held. */
void registry_unlink(struct registry *registry, struct namespace *namespace);

/* Takes a dropped namespace out of the list; the lock is held. Retire it then. */
void registry_forget(struct registry *registry, struct namespace *namespace);

/* Frees a namespace that no reader can see; reclaim calls it. */
void registry_free(struct registry *registry, struct namespace *namespace);

/* Publishes a policy (a copy of `policy`) and retires the old one; the lock is held. False where memory is lacking. */
bool registry_set_policy(struct registry *registry, unsigned reader, struct namespace *namespace,
                         const struct policy *policy);

/* Works out purge_at and tombstone_max_ms again; the lock is held. */
void registry_refresh(struct registry *registry);

static inline const struct policy *namespace_policy(const struct namespace *namespace) {
    return atomic_load_explicit(&namespace->policy, memory_order_acquire);
}

static inline uint64_t namespace_epoch(const struct namespace *namespace) {
    return atomic_load_explicit(&namespace->epoch, memory_order_acquire) & ~EPOCH_RISING;
}

/* The version of the first clear that concerned a record, and the retention at that moment; UINT64_MAX: none. */
static inline uint64_t namespace_cleared_by(const struct namespace *namespace, uint64_t version,
                                            int64_t *retention_ms) {
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < ENDS_KEPT; i++) {
        struct clear *clear = &((struct namespace *)namespace)->clears[i];
        uint64_t cleared_by = atomic_load_explicit(&clear->version, memory_order_acquire);
        if (cleared_by < version || cleared_by >= first) continue;
        first = cleared_by;
        *retention_ms = atomic_load_explicit(&clear->retention_ms, memory_order_acquire);
    }
    return first;
}

/* Whether a purge made at `at` forgot a record that was written before it and is dead since `status_at`: one of all
 * that were dead does if it was dead then, one of those whose retention had ended (until: before) by when that counts
 * from.
 */
static inline bool purge_concerns(int64_t at, int64_t until, int64_t status_at, int64_t died_at) {
    return (until == at ? status_at : died_at) <= until;
}

/* The moment of the first purge that concerned a dead record; INT64_MAX: none. */
static inline int64_t namespace_purged_at(const struct namespace *namespace, uint64_t version, int64_t status_at,
                                          int64_t died_at) {
    int64_t first = INT64_MAX;
    for (unsigned i = 0; i < ENDS_KEPT; i++) {
        struct purge *purge = &((struct namespace *)namespace)->purges[i];
        if (atomic_load_explicit(&purge->version, memory_order_acquire) < version) continue;
        int64_t at = atomic_load_explicit(&purge->at, memory_order_acquire);
        int64_t until = atomic_load_explicit(&purge->until, memory_order_acquire);
        if (at < first && purge_concerns(at, until, status_at, died_at)) first = at;
    }
    return first;
}

static inline bool namespace_is_dropped(const struct namespace *namespace) {
    return namespace_epoch(namespace) == EPOCH_DROPPED;
}

/* For whoever has taken a version and is about to publish: waits until no clear stands between taking its own version
 * and telling it. After that a record that the clear should have outdated is seen to be outdated. */
static inline void namespace_settle_epoch(const struct namespace *namespace) {
    while (atomic_load_explicit(&namespace->epoch, memory_order_acquire) & EPOCH_RISING) lock_pause();
}

static inline struct bytes namespace_name(const struct namespace *namespace) {
    return bytes_of(namespace->name, namespace->name_size);
}

/* Records counted as that status and not outdated; never below 0. */
int64_t namespace_count(const struct namespace *namespace, enum status status);
/* Bytes of its records that are not outdated; never below 0. */
int64_t namespace_bytes(const struct namespace *namespace);
/* Whether no record of it is left, outdated ones included. */
bool namespace_is_empty(const struct namespace *namespace);

#endif
