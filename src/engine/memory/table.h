/* The table of one shard: from a 64-bit hash to the records that may have it.
 *
 * Readers take no lock: table_prefetch, table_find / table_next and the walk may run on any loop inside its turn of
 * `reclaim`. Whatever changes the table runs under the shard's lock, which is the caller's; so do the words of the
 * wheel (`armed` and links). The table never reads a record: comparing ids is the caller's.
 *
 * A bucket is one cache line: 7 slots and a word of 8 bytes. A slot holds a pointer (44 bits: records are aligned to 8
 * and user space has 47) and 20 bits of the hash, the tag: those below the bits that chose the shard. The bucket is
 * tag * bucket_count >> 20, so buckets stand in the order of the hash, and growing by any factor is one linear merge
 * that reads no record. What finds no place in its bucket goes into an overflow bucket, chained from there. When there
 * are seven records to a bucket the array is replaced by one about a sixth larger. Never by a doubled one: that would
 * leave the table half empty on average.
 *
 * An array is made of segments: blocks of the slab with 2 to 128 buckets each, of one size for all arrays that are
 * about as large, and overflow buckets come a few at a time, when they are needed. So arrays leave no holes behind as
 * they grow, which in one piece they did however they were allocated, and they lie in the slab's huge pages. Where they
 * are is read in the array's head: a line of the cache, or two. When the first table needs larger segments all others
 * follow soon: as long as some of either size were in use, pages of the smaller one stayed for little.
 *
 * Always true:
 * - A published record keeps its slot as long as its array lives, and an overflow bucket its chain, so that a reader
 *   never misses what moved behind it.
 * - An array that was replaced is never written again; readers that still see it see the table of that moment.
 * - Array and bucket count are published in one word, so a look-up touches the shard, the bucket and the record. */
#ifndef ENGINE_MEMORY_TABLE_H
#define ENGINE_MEMORY_TABLE_H

#include "engine/memory/reclaim.h"
#include "engine/memory/slab.h"
#include <assert.h>
#include <stdatomic.h>

#define TABLE_SLOTS        7
#define TABLE_TAG_BITS     20
#define TABLE_POINTER_BITS 44 /* after the 3 low zero bits are dropped */
#define TABLE_BUCKETS_MAX  (1u << TABLE_TAG_BITS)

struct table_bucket {
    _Atomic uint64_t slots[TABLE_SLOTS]; /* tag << 44 | record >> 3; 0: empty */
    uint32_t armed;                      /* the wheel's: 0, or when this bucket is due. First of a chain only */
    _Atomic uint32_t overflow;           /* next of the chain: an overflow bucket's number; 0: none */
} __attribute__((aligned(64)));

/* A bucket's neighbours in the wheel; see wheel.h. */
struct table_link {
    uint32_t previous, next;
};

/* The head of one array: what readers need first. Segments of buckets and their links come first, those of overflow
 * buckets, which are smaller, from the end on. Behind them stands struct table_fill. */
struct table_array {
    uint8_t segment_bits;  /* a segment holds 1 << that buckets, then as many links */
    uint8_t overflow_bits; /* ... and one of overflow buckets so many */
    uint16_t segment_mask; /* (1 << segment_bits) - 1 */
    uint32_t segment_max;
    struct table_bucket *segments[];
} __attribute__((aligned(64)));

/* What only those need who change the array: the shard's lock. */
struct table_fill {
    uint32_t bucket_count;   /* a multiple of a segment's */
    uint32_t overflow_used;  /* overflow buckets in use; the first has number 1 */
    uint32_t overflow_count; /* segments of them */
};

struct wheel;

struct table {
    _Atomic uint64_t *root; /* array >> 6 << 21 | bucket_count; see table_options */
    uint32_t count;         /* records; shard's lock */
    uint8_t shard_bits;
    uint8_t arena;       /* hint for slab */
    uint8_t retire_kind; /* what reclaim's free is told of an array */
    uint32_t shard;
    struct wheel *wheel;            /* whose links these are; NULL: none. Rebuilt whenever the array is replaced */
    _Atomic uint32_t *segment_bits; /* see table_options */
    struct slab *slab;
    struct reclaim *reclaim;
};

struct table_options {
    _Atomic uint64_t *root; /* where the root's word stands: those of all tables lie close together, so that a look-up
                               finds it in the cache. Table's as long as that lives */
    unsigned shard;         /* this shard's number: the top shard_bits of all its hashes */
    unsigned shard_bits;    /* 0 to 24 */
    unsigned arena;         /* for slab_alloc; one for all tables wastes least, since arrays are few and large */
    unsigned retire_kind;   /* for reclaim_retire, whose free calls table_array_free for these */
    struct wheel *wheel;    /* initialised before; NULL: none */
    _Atomic uint32_t *segment_bits; /* one for all tables of a slab, 0 at first: how large segments are by now */
    struct slab *slab;
    struct reclaim *reclaim;
};

/* Makes an empty table; takes no memory. */
void table_init(struct table *table, const struct table_options *options);

/* Frees the array at once: no reader is inside. The records are the caller's. */
void table_fini(struct table *table);

/* Puts a record (aligned to 8) under its hash; the shard's lock. May replace the array, so that slots and walks taken
 * under this lock before are void (bucket numbers too). False where memory is lacking: nothing changed. */
bool table_insert(struct table *table, unsigned reader, uint64_t hash, void *record);

/* Replaces the array by a smaller one if the table has become sparse; the shard's lock. Voids slots, walks and bucket
 * numbers like table_insert. Call after removals. */
void table_trim(struct table *table, unsigned reader);

/* Bytes of the current array, links included. The shard's lock. */
size_t table_bytes(const struct table *table);

/* Frees an array that was retired, and that no reader can see any more. */
void table_array_free(struct slab *slab, struct table_array *array);

/* Tests: asserts every invariant; the shard's lock. */
void table_check(const struct table *table);

/* ---- the root */

static inline struct table_array *table_root_array(uint64_t root) {
    return (struct table_array *)(uintptr_t)(root >> (TABLE_TAG_BITS + 1) << 6);
}
static inline uint32_t table_root_count(uint64_t root) {
    return (uint32_t)root & ((1u << (TABLE_TAG_BITS + 1)) - 1);
}

static inline uint64_t table_root(const struct table *table) {
    return atomic_load_explicit(table->root, memory_order_acquire);
}

/* The current array; the shard's lock, or inside a turn. */
static inline struct table_array *table_array(const struct table *table) {
    return table_root_array(table_root(table));
}

static inline uint32_t table_bucket_count(const struct table *table) {
    return table_root_count(table_root(table));
}

static inline uint32_t table_tag_of(uint64_t hash, unsigned shard_bits) {
    return (uint32_t)(hash << shard_bits >> (64 - TABLE_TAG_BITS));
}

static inline uint32_t table_tag(const struct table *table, uint64_t hash) {
    return table_tag_of(hash, table->shard_bits);
}

static inline uint32_t table_bucket_of_tag(uint32_t tag, uint32_t bucket_count) {
    return (uint32_t)(((uint64_t)tag * bucket_count) >> TABLE_TAG_BITS);
}

/* The number of the bucket whose chain holds this hash. Valid until the array is replaced. */
static inline uint32_t table_bucket_of(const struct table *table, uint64_t hash) {
    return table_bucket_of_tag(table_tag(table, hash), table_bucket_count(table));
}

static inline void *table_slot_record(uint64_t slot) {
    return (void *)(uintptr_t)((slot & ((UINT64_C(1) << TABLE_POINTER_BITS) - 1)) << 3);
}

/* ---- one array: its lock-free readers, and the shard's lock */

static inline struct table_bucket *table_bucket_at(const struct table_array *array, uint32_t number) {
    return &array->segments[number >> array->segment_bits][number & array->segment_mask];
}

/* The overflow bucket with that number, which another bucket tells. */
static inline struct table_bucket *table_overflow_at(const struct table_array *array, uint32_t number) {
    uint32_t segment = (number - 1) >> array->overflow_bits;
    return &array->segments[array->segment_max - 1 - segment][(number - 1) & ((1u << array->overflow_bits) - 1)];
}

/* The shard's lock, or who frees it. */
static inline struct table_fill *table_array_fill(const struct table_array *array) {
    return (struct table_fill *)&array->segments[array->segment_max];
}

/* The links of a bucket; the shard's lock. */
static inline struct table_link *table_link_at(const struct table_array *array, uint32_t number) {
    struct table_bucket *segment = array->segments[number >> array->segment_bits];
    return (struct table_link *)&segment[array->segment_mask + 1] + (number & array->segment_mask);
}

/* ---- finding: lock-free, inside a turn, or under the shard's lock */

/* Where the bucket of a hash stands in the table of that root, for whoever only asks the processor for it. */
static inline const struct table_bucket *table_bucket_in(uint64_t root, unsigned shard_bits, uint64_t hash) {
    uint32_t number = table_bucket_of_tag(table_tag_of(hash, shard_bits), table_root_count(root));
    return table_bucket_at(table_root_array(root), number);
}

/* The first record with that tag in a bucket, without those in its chain; NULL: none. For whoever only asks for it. */
static inline void *table_first_in(const struct table_bucket *bucket, uint64_t tag) {
    for (unsigned i = 0; i < TABLE_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&((struct table_bucket *)bucket)->slots[i], memory_order_acquire);
        if (slot >> TABLE_POINTER_BITS == tag && slot) return table_slot_record(slot);
    }
    return NULL;
}

/* Asks the processor for the bucket of a hash. */
static inline void table_prefetch(const struct table *table, uint64_t hash) {
    __builtin_prefetch(table_bucket_in(table_root(table), table->shard_bits, hash));
}

/* The records that may have one hash, one after the other:
 *     struct table_find find = table_find(table, hash);
 *     while ((record = table_next(&find))) if (is_it(record)) ...
 * `slot` is where the last one stands, for table_replace and table_remove under the shard's lock. */
struct table_find {
    const struct table_array *array;
    struct table_bucket *bucket;
    uint64_t tag;
    unsigned index;         /* of the slot to look at next */
    _Atomic uint64_t *slot; /* of the record handed out last */
};

/* For whoever has the root already, and so need not look at the table itself. */
static inline struct table_find table_find_in(uint64_t root, unsigned shard_bits, uint64_t hash) {
    struct table_array *array = table_root_array(root);
    uint32_t tag = table_tag_of(hash, shard_bits);
    uint32_t number = table_bucket_of_tag(tag, table_root_count(root));
    return (struct table_find){array, table_bucket_at(array, number), tag, 0, NULL};
}

static inline struct table_find table_find(const struct table *table, uint64_t hash) {
    return table_find_in(table_root(table), table->shard_bits, hash);
}

/* The next candidate, or NULL. */
static inline void *table_next(struct table_find *find) {
    for (;;) {
        for (unsigned i = find->index; i < TABLE_SLOTS; i++) {
            uint64_t slot = atomic_load_explicit(&find->bucket->slots[i], memory_order_acquire);
            if (slot >> TABLE_POINTER_BITS != find->tag || !slot) continue;
            find->index = i + 1;
            find->slot = &find->bucket->slots[i];
            return table_slot_record(slot);
        }
        find->index = 0;
        uint32_t overflow = atomic_load_explicit(&find->bucket->overflow, memory_order_acquire);
        if (!overflow) {
            find->index = TABLE_SLOTS; /* so that a further call answers NULL again */
            return NULL;
        }
        find->bucket = table_overflow_at(find->array, overflow);
    }
}

/* The slot that holds this very record; NULL: none. Compares pointers, reads no record. Under the shard's lock this
 * tells whether what was read without it still stands. */
static inline _Atomic uint64_t *table_slot_of(const struct table *table, uint64_t hash, const void *record) {
    struct table_find find = table_find(table, hash);
    for (void *candidate; (candidate = table_next(&find));)
        if (candidate == record) return find.slot;
    return NULL;
}

/* ---- changing what stands in a slot of the current array: the shard's lock. The old record is the caller's to retire
 */

/* Publishes another record of the same hash in place of the one there. */
static inline void table_replace(struct table *table, _Atomic uint64_t *slot, void *record) {
    (void)table;
    assert(((uintptr_t)record & 7) == 0 && (uintptr_t)record >> (TABLE_POINTER_BITS + 3) == 0 && record);
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
    assert(old);
    uint64_t tag = old >> TABLE_POINTER_BITS << TABLE_POINTER_BITS;
    atomic_store_explicit(slot, tag | (uintptr_t)record >> 3, memory_order_release);
}

/* Takes the record out. Never replaces the array, so a walk may go on. */
static inline void table_remove(struct table *table, _Atomic uint64_t *slot) {
    assert(atomic_load_explicit(slot, memory_order_relaxed) && table->count > 0);
    atomic_store_explicit(slot, 0, memory_order_release);
    table->count--;
}

/* ---- walking: all records of one bucket after the other, in the order of the hash's tags from bucket to bucket (and
 * in none within a bucket). Lock-free inside a turn, or under the shard's lock; a walk keeps to the array it began
 * with. for (struct table_walk walk = table_walk_from(table, hash); table_walk_is_in(&walk); table_walk_bucket(&walk))
 *         while ((record = table_walk_next(&walk))) ... */
struct table_walk {
    const struct table_array *array;
    uint32_t bucket_count;
    uint32_t number;             /* of the bucket whose chain is walked */
    struct table_bucket *bucket; /* of the chain */
    unsigned index;              /* of the slot to look at next */
    _Atomic uint64_t *slot;      /* of the record handed out last */
};

/* At the start of the bucket with that number, below the bucket count. */
static inline struct table_walk table_walk_at(const struct table *table, uint32_t number) {
    uint64_t root = table_root(table);
    struct table_array *array = table_root_array(root);
    return (struct table_walk){array, table_root_count(root), number, table_bucket_at(array, number), 0, NULL};
}

/* At the start of the bucket that holds the hash; smaller hashes of the same bucket come too. */
static inline struct table_walk table_walk_from(const struct table *table, uint64_t hash) {
    uint64_t root = table_root(table);
    struct table_array *array = table_root_array(root);
    uint32_t number = table_bucket_of_tag(table_tag(table, hash), table_root_count(root));
    return (struct table_walk){array, table_root_count(root), number, table_bucket_at(array, number), 0, NULL};
}

/* False once the last bucket was left. */
static inline bool table_walk_is_in(const struct table_walk *walk) {
    return walk->number < walk->bucket_count;
}

/* On to the next bucket, and asks the processor for the one after it. */
static inline void table_walk_bucket(struct table_walk *walk) {
    walk->index = 0;
    walk->slot = NULL;
    if (++walk->number >= walk->bucket_count) return;
    walk->bucket = table_bucket_at(walk->array, walk->number);
    __builtin_prefetch(walk->bucket + 1);
}

/* The next record of this bucket's chain, or NULL. */
static inline void *table_walk_next(struct table_walk *walk) {
    for (;;) {
        for (; walk->index < TABLE_SLOTS; walk->index++) {
            uint64_t slot = atomic_load_explicit(&walk->bucket->slots[walk->index], memory_order_acquire);
            if (!slot) continue;
            walk->slot = &walk->bucket->slots[walk->index++];
            return table_slot_record(slot);
        }
        uint32_t overflow = atomic_load_explicit(&walk->bucket->overflow, memory_order_acquire);
        if (!overflow) return NULL;
        walk->bucket = table_overflow_at(walk->array, overflow);
        walk->index = 0;
    }
}

/* The smallest whole hash (shard bits included) that could stand in bucket `number` of `bucket_count`. All hashes of
 * the buckets before are smaller: with it as a cursor a walk may be taken up again after the table has grown. number ==
 * bucket_count answers the first hash after the shard (0 after the last shard). */
uint64_t table_bucket_first_hash(const struct table *table, uint32_t number, uint32_t bucket_count);

#endif
