/* The tombstones of one shard: which ids were destroyed, and at which version.
 *
 * A tombstone is 16 bytes: the whole 64-bit hash of the id (keyed, so nobody can make two ids meet; by chance one in
 * 2^64 / entries) and the mark of its end: its version, which also dates it, and by how many milliseconds that is ahead
 * of the end. It is where another loop's time was ahead: versions are one sequence for all. Open addressing in one
 * block of the slab, linear probing, deletion by shifting back: no markers pile up. How long a tombstone counts is its
 * namespace's business; the caller judges what tombstone_find answers, and sweeps what nobody can ask for any more.
 *
 * Everything runs under the shard's lock. All zero but for tombstone_init's fields is an empty set without memory. */
#ifndef ENGINE_MEMORY_TOMBSTONE_H
#define ENGINE_MEMORY_TOMBSTONE_H

#include "engine/memory/slab.h"
#include "sessiond/session.h"
#include <stdbool.h>

struct tombstone_entry {
    uint64_t hash;
    uint64_t mark; /* 0: empty */
};

#define TOMBSTONE_AHEAD_BITS 3 /* seven milliseconds: loops that are further apart date as late as that */

/* The mark of an end at that moment. Of two marks the one with the newer version is the greater. */
static inline uint64_t tombstone_mark(uint64_t version, int64_t died_at) {
    const int64_t most = (1 << TOMBSTONE_AHEAD_BITS) - 1;
    int64_t ahead_ms = version_time(version) - died_at;
    return version << TOMBSTONE_AHEAD_BITS | (uint64_t)(ahead_ms < 0 ? 0 : ahead_ms > most ? most : ahead_ms);
}
static inline uint64_t tombstone_version(uint64_t mark) {
    return mark >> TOMBSTONE_AHEAD_BITS;
}
static inline int64_t tombstone_died_at(uint64_t mark) {
    return version_time(tombstone_version(mark)) - (int64_t)(mark & ((1 << TOMBSTONE_AHEAD_BITS) - 1));
}

struct tombstones {
    struct tombstone_entry *entries; /* NULL: capacity 0 */
    uint32_t capacity;
    uint32_t count;
    uint32_t sweep_at;     /* where the next sweep goes on */
    uint32_t sweep_left;   /* entries until the running sweep is through; 0: none runs */
    uint64_t oldest;       /* no entry has a smaller mark; UINT64_MAX when empty */
    uint64_t sweep_oldest; /* the same, of what the running sweep has passed */
    struct slab *slab;
    unsigned arena;
};

void tombstone_init(struct tombstones *set, struct slab *slab, unsigned arena);
void tombstone_fini(struct tombstones *set);

/* Sets the tombstone of a hash; of two marks the greater stays. mark is above 0. False only where no memory is left
 * at all and the set is full: nothing changed. (When growing fails, the set fills to its last entry first.) */
bool tombstone_put(struct tombstones *set, uint64_t hash, uint64_t mark);

/* Makes sure that the next tombstone_put succeeds; false where memory is lacking. */
bool tombstone_reserve(struct tombstones *set);

/* The mark of the tombstone, or 0. */
uint64_t tombstone_find(const struct tombstones *set, uint64_t hash);

/* Asks the processor for where the hash would stand. */
void tombstone_prefetch(const struct tombstones *set, uint64_t hash);

/* Removes the tombstone; true if there was one. */
bool tombstone_remove(struct tombstones *set, uint64_t hash);

/* Looks at about `budget` places and removes what is less than `mark`; gives memory back after a whole round. True:
 * the round is through, and `oldest` tells whether another one is worth it (only if entries were put or removed
 * meanwhile). False: call again. A set whose `oldest` is not below mark has nothing to sweep. */
bool tombstone_sweep(struct tombstones *set, uint64_t mark, unsigned budget);

/* Looking at all of them, some homes at a time, while the set changes in between. A position is the lower half of a
 * hash, which stays what it is when the set grows: what stands before `next` and was there throughout has been seen. */
#define TOMBSTONE_POSITIONS (UINT64_C(1) << 32)
struct tombstone_look {
    uint64_t first, next; /* positions: of this look, and where the next one begins; TOMBSTONE_POSITIONS: nowhere */
    uint32_t place;       /* to look at next */
    uint32_t homes, seen; /* places whose entries are looked for, and that were looked at */
};
struct tombstone_look tombstone_look_at(const struct tombstones *set, uint64_t first, uint32_t homes);
/* The next one; false: there is none left. The set has not changed since the look began. */
bool tombstone_look_next(const struct tombstones *set, struct tombstone_look *look, struct tombstone_entry *entry);

/* Bytes of the set's block, as the slab counts them. */
size_t tombstone_bytes(const struct tombstones *set);

/* Tests: asserts every invariant. */
void tombstone_check(const struct tombstones *set);

#endif
