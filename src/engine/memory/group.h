/* Groups: which sessions a user, a client or a pool has, the oldest first.
 *
 * A group is an object in the shard of hash(namespace, kind, name), under that shard's group lock, which is never taken
 * together with another lock. It does not hold records but entries of 16 bytes: the id's hash, created_at and birth. An
 * entry is put in before its record is published and taken out after the record is gone, so it may name a record that
 * is not there yet, not there any more, or not of this group; whoever reads a group looks the records up and skips
 * those. Two entries may be equal while one operation leaves and another one enters; each takes out one.
 *
 * Entries lie in leaves of at most 128 behind an array of leaves, so that a group of a million costs an insertion or
 * removal no more than a few hundred bytes of moving. An entry known to be dead for good is marked, so that a limit
 * that is reached again and again looks at each dead session once. A group without entries does not exist. */
#ifndef ENGINE_MEMORY_GROUP_H
#define ENGINE_MEMORY_GROUP_H

#include "base/lock.h"
#include "engine/memory/slab.h"
#include "sessiond/bytes.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct namespace;

#define GROUP_LEAF_MAX   128
#define GROUP_ENTRY_DEAD UINT64_C(1) /* in `born` */

struct group_entry {
    uint64_t born; /* created_at << 16 | birth << 1 | mark */
    uint64_t hash; /* of the id */
};

struct group_leaf {
    uint16_t count, capacity;
    uint16_t dead_count;
    struct group_entry entries[];
};

#define GROUP_LEAF_BYTES_MAX (sizeof(struct group_leaf) + GROUP_LEAF_MAX * sizeof(struct group_entry))

/* One that had been idle as long as any other, when the group was counted. */
struct group_idle {
    struct group_entry entry;
    int64_t active_at;
};

/* What a large group's limit knows of it since it was last counted; see census.h. */
struct group_known {
    int64_t until_ms;                               /* no member that was alive ends by itself before */
    uint32_t stirs;                                 /* of the group's hash, when it was counted */
    uint32_t idle_first, idle_count, idle_capacity; /* those before idle_first are not alive any more */
    uint64_t epoch;                                 /* the namespace's, then */
    uint64_t unknown_from;    /* age of the first entry that was not looked at; UINT64_MAX: there is none */
    int64_t idle_from;        /* no living member that is not in `idle` had been active before */
    struct group_idle idle[]; /* the longest idle first */
};

struct group {
    struct group *next; /* of its chain */
    struct namespace *namespace;
    uint64_t hash;
    struct group_leaf **leaves; /* leaf_capacity of them; a group of one leaf has it in `only` */
    struct group_leaf *only;
    struct group_known *known; /* NULL: nothing */
    _Atomic uint32_t ending;   /* revoke_alls that are at work on it; see end_all.c */
    uint32_t leaf_count, leaf_capacity;
    uint32_t count, dead_count; /* entries, and those of them that are marked */
    uint8_t kind, name_size;
    uint8_t name[];
};

/* What a client's group knows beside its sessions; stands behind its name. */
struct group_client {
    int64_t created_at, updated_at;
    bool has_last_active;
    struct group_entry last_active; /* may name a session that has left meanwhile */
    uint64_t version;               /* of the last change that was told to a journal; 0: none */
};

/* The groups of one shard. All zero is empty. */
struct group_table {
    struct lock lock; /* of everything here and in the groups, but `ending`, which anyone may read who has an entry */
    uint32_t count, capacity;
    struct group **chains;
};

/* What names a group. */
struct group_key {
    struct namespace *namespace;
    struct bytes name;
    uint64_t hash; /* of all three */
    unsigned kind;
};

/* Where an entry stands in a group. */
struct group_position {
    uint32_t leaf, index;
};

static inline struct group_entry group_entry_of(int64_t created_at, uint16_t birth, uint64_t hash) {
    return (struct group_entry){(uint64_t)created_at << 16 | (uint64_t)birth << 1, hash};
}
/* What orders it before the hash: created_at and birth. */
static inline uint64_t group_entry_age(struct group_entry entry) {
    return entry.born >> 1;
}
static inline bool group_entry_is_dead(struct group_entry entry) {
    return entry.born & GROUP_ENTRY_DEAD;
}

/* The same id, created_at and birth; marks do not count. */
static inline bool group_entry_equal(struct group_entry a, struct group_entry b) {
    return group_entry_age(a) == group_entry_age(b) && a.hash == b.hash;
}

/* All: the table's lock is held. */

struct group *group_find(const struct group_table *table, const struct group_key *key);

/* Of a group of the kind GROUP_CLIENT. */
static inline struct group_client *group_client(struct group *group) {
    size_t offset = offsetof(struct group, name) + group->name_size;
    return (struct group_client *)((char *)group + (offset + 7) / 8 * 8);
}

/* The group, made empty if there is none; NULL where memory is lacking. It must be given an entry or group_tidy. */
struct group *group_make(struct group_table *table, struct slab *slab, unsigned arena, const struct group_key *key);

/* Frees the group if it has no entry and no revoke_all is at work on it. */
void group_tidy(struct group_table *table, struct slab *slab, struct group *group);

/* Puts an entry behind those equal to it. False where memory is lacking: nothing changed. */
bool group_insert(struct slab *slab, unsigned arena, struct group *group, struct group_entry entry);

/* Takes out one entry equal to `entry`: a marked one if wants_dead and there is one, else an unmarked one if there is
 * one. False: there is none. */
bool group_remove(struct slab *slab, unsigned arena, struct group *group, struct group_entry entry, bool wants_dead);

static inline struct group_leaf *group_leaf(const struct group *group, uint32_t leaf) {
    return group->leaf_count == 1 ? group->only : group->leaves[leaf];
}

/* The first position whose entry is not before `entry` (in the order of created_at, birth, hash), which may be the end.
 */
struct group_position group_seek(const struct group *group, struct group_entry entry);

/* Marks the entry at a position as dead for good. */
void group_mark_dead(struct group *group, struct group_position position);

/* Copies up to `max` entries behind `after` (before it, backwards, unless is_ascending); NULL: from the start. Answers
 * how many. */
uint32_t group_copy(const struct group *group, const struct group_entry *after, bool is_ascending,
                    struct group_entry *out, uint32_t max);

/* Room to keep what is known, with so many idle ones; NULL where memory is lacking. group_forget frees a group's. */
struct group_known *group_known_new(struct slab *slab, unsigned arena, uint32_t idle_capacity);
void group_forget(struct slab *slab, struct group *group);

/* Frees all groups of a table. */
void group_table_fini(struct group_table *table, struct slab *slab);

/* Tests: asserts every invariant of the group. */
void group_check(const struct group *group);

#endif
