/* The table's slow half: inserting, replacing the array, checking; see table.h. */
#include "engine/memory/table.h"
#include "base/check.h"
#include "engine/memory/wheel.h"

#include <string.h>

enum {
    OCCUPANCY_TENTHS = 60,     /* records to 10 buckets of a new array */
    OCCUPANCY_MAX_TENTHS = 70, /* ... and of one that gets no more overflow buckets, but a successor */
    OVERFLOW_PERCENT = 44,     /* room for overflow buckets to 100 others; at seven records a bucket 41 are in use */
    BUCKETS_MIN = 2,
    SEGMENT_BITS_MAX = 7, /* larger blocks are not the slab's */
    SEGMENTS = 4,         /* an array has so many at least, if it is not small */
    OVERFLOW_BITS = 2,    /* a segment of overflow buckets is smaller by so many bits */
    TRIM_PART = 3         /* an array is sparse when it holds less than this part of what a new one would */
};

_Static_assert((sizeof(struct table_bucket) + sizeof(struct table_link)) << SEGMENT_BITS_MAX <= SLAB_BLOCK_MAX,
               "segments are blocks of the slab");

/* What an empty table shows its readers: one empty bucket that is never written. 1,024 shards without sessions so cost
 * nothing. */
static struct table_bucket bucket_none;
static struct table_array array_none = {.segment_max = 1, .segments = {&bucket_none}};

/* ---- arrays */

static size_t head_bytes(uint32_t segment_max) {
    size_t bytes = sizeof(struct table_array) + segment_max * sizeof(struct table_bucket *) + sizeof(struct table_fill);
    return (bytes + 63) & ~(size_t)63;
}

/* Of buckets with their links; a multiple of 64, so that buckets are lines. */
static size_t segment_bytes(const struct table_array *array) {
    size_t bytes = (sizeof(struct table_bucket) + sizeof(struct table_link)) << array->segment_bits;
    return (bytes + 63) & ~(size_t)63;
}

static size_t overflow_bytes(const struct table_array *array) {
    return sizeof(struct table_bucket) << array->overflow_bits;
}

static uint32_t segment_count(const struct table_array *array) {
    return table_array_fill(array)->bucket_count >> array->segment_bits;
}

/* How many overflow buckets its head has room for. */
static uint32_t overflow_room(const struct table_array *array) {
    return (array->segment_max - segment_count(array)) << array->overflow_bits;
}

static uint64_t root_of(const struct table_array *array, uint32_t bucket_count) {
    assert(((uintptr_t)array & 63) == 0 && (uintptr_t)array >> (TABLE_POINTER_BITS + 3) == 0);
    return (uint64_t)(uintptr_t)array >> 6 << (TABLE_TAG_BITS + 1) | bucket_count;
}

/* So large that small arrays are not mostly room, and large ones have short heads. */
static unsigned segment_bits_of(uint32_t bucket_count) {
    if (bucket_count < 4 * SEGMENTS) return bucket_count < 2 * SEGMENTS ? 1 : 2;
    unsigned bits = 31 - (unsigned)__builtin_clz(bucket_count / SEGMENTS);
    return bits < 3 ? 3 : bits > SEGMENT_BITS_MAX ? SEGMENT_BITS_MAX : bits;
}

void table_array_free(struct slab *slab, struct table_array *array) {
    const struct table_fill *fill = table_array_fill(array);
    for (uint32_t i = 0; i < segment_count(array); i++) slab_free(slab, array->segments[i], segment_bytes(array));
    for (uint32_t i = 1; i <= fill->overflow_count; i++)
        slab_free(slab, array->segments[array->segment_max - i], overflow_bytes(array));
    slab_free(slab, array, head_bytes(array->segment_max));
}

static void *zeroed_alloc(const struct table *table, size_t bytes) {
    void *block = slab_alloc(table->slab, table->arena, bytes);
    if (block) memset(block, 0, bytes);
    return block;
}

/* An empty array of about so many buckets; what its head has left over is room for overflow buckets. */
static struct table_array *array_make(const struct table *table, uint32_t bucket_count, uint32_t overflow_max,
                                      unsigned bits) {
    unsigned overflow_bits = bits > OVERFLOW_BITS ? bits - OVERFLOW_BITS : 0;
    uint32_t mask = (1u << bits) - 1, count = (bucket_count + mask / 2) >> bits;
    if (count == 0) count = 1;
    size_t bytes = head_bytes(count + (overflow_max >> overflow_bits) + 1);
    struct table_array *array = slab_alloc(table->slab, table->arena, bytes);
    if (!array) return NULL;
    size_t room = bytes - sizeof *array - sizeof(struct table_fill);
    *array = (struct table_array){.segment_bits = (uint8_t)bits,
                                  .overflow_bits = (uint8_t)overflow_bits,
                                  .segment_mask = (uint16_t)mask,
                                  .segment_max = (uint32_t)(room / sizeof(struct table_bucket *))};
    struct table_fill *fill = table_array_fill(array);
    *fill = (struct table_fill){.bucket_count = 0};
    for (; fill->bucket_count >> bits < count; fill->bucket_count += mask + 1) {
        struct table_bucket *segment = zeroed_alloc(table, segment_bytes(array));
        if (!segment) {
            table_array_free(table->slab, array);
            return NULL;
        }
        array->segments[fill->bucket_count >> bits] = segment;
    }
    return array;
}

/* A few overflow buckets more. False: the head has no room for them, or memory is lacking. */
static bool overflow_add(const struct table *table, struct table_array *array) {
    struct table_fill *fill = table_array_fill(array);
    if (segment_count(array) + fill->overflow_count == array->segment_max) return false;
    struct table_bucket *segment = zeroed_alloc(table, overflow_bytes(array));
    if (!segment) return false;
    array->segments[array->segment_max - ++fill->overflow_count] = segment;
    return true;
}

static size_t array_bytes(const struct table_array *array) {
    return slab_size(head_bytes(array->segment_max)) + segment_count(array) * slab_size(segment_bytes(array)) +
           table_array_fill(array)->overflow_count * slab_size(overflow_bytes(array));
}

static _Atomic uint64_t *bucket_room(struct table_bucket *bucket) {
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        if (!atomic_load_explicit(&bucket->slots[i], memory_order_relaxed)) return &bucket->slots[i];
    return NULL;
}

/* The number of an overflow bucket that is free; 0: there is none. */
static uint32_t overflow_take(struct table_array *array) {
    struct table_fill *fill = table_array_fill(array);
    if (fill->overflow_used == fill->overflow_count << array->overflow_bits) return 0;
    return ++fill->overflow_used;
}

/* Stores a slot's word into the first room of its chain and answers the first bucket of it; NULL: a new overflow bucket
 * is needed and there is none. A reader sees the overflow bucket with the word in it or not at all. */
static struct table_bucket *array_put(struct table_array *array, uint64_t word) {
    uint32_t number =
        table_bucket_of_tag((uint32_t)(word >> TABLE_POINTER_BITS), table_array_fill(array)->bucket_count);
    struct table_bucket *first = table_bucket_at(array, number), *bucket = first;
    for (;;) {
        _Atomic uint64_t *slot = bucket_room(bucket);
        if (slot) {
            atomic_store_explicit(slot, word, memory_order_release);
            return first;
        }
        uint32_t overflow = atomic_load_explicit(&bucket->overflow, memory_order_relaxed);
        if (!overflow) break;
        bucket = table_overflow_at(array, overflow);
    }
    uint32_t added = overflow_take(array);
    if (!added) return NULL;
    atomic_store_explicit(&table_overflow_at(array, added)->slots[0], word, memory_order_relaxed);
    atomic_store_explicit(&bucket->overflow, added, memory_order_release);
    return first;
}

/* Like it, and adds overflow buckets; NULL: the head has no room for them, or memory is lacking. */
static struct table_bucket *array_put_anyhow(const struct table *table, struct table_array *array, uint64_t word) {
    struct table_bucket *first = array_put(array, word);
    return first || !overflow_add(table, array) ? first : array_put(array, word);
}

/* Copies one chain. A bucket that receives a record is due when the one it came from was, or earlier. */
static bool chain_copy(const struct table *table, struct table_array *to, const struct table_array *from,
                       uint32_t number) {
    const struct table_bucket *bucket = table_bucket_at(from, number);
    for (uint32_t armed = bucket->armed;;) {
        for (unsigned i = 0; i < TABLE_SLOTS; i++) {
            uint64_t word = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
            if (!word) continue;
            struct table_bucket *first = array_put_anyhow(table, to, word);
            if (!first) return false;
            first->armed = wheel_earlier(first->armed, armed);
        }
        uint32_t overflow = atomic_load_explicit(&bucket->overflow, memory_order_relaxed);
        if (!overflow) return true;
        bucket = table_overflow_at(from, overflow);
    }
}

/* Copies all, and leaves enough room for overflow buckets that the next copy is some way off. False: *is_short says
 * whether the head is too small for that; else memory is lacking. */
static bool array_copy(const struct table *table, struct table_array *to, bool *is_short) {
    const struct table_array *from = table_array(table);
    uint32_t bucket_count = table_bucket_count(table), used_max = overflow_room(to) - overflow_room(to) / 8;
    *is_short = false;
    for (uint32_t number = 0; number < bucket_count; number++) {
        if (chain_copy(table, to, from, number)) continue;
        *is_short = table_array_fill(to)->overflow_used == overflow_room(to);
        return false;
    }
    *is_short = table_array_fill(to)->overflow_used >= used_max;
    return !*is_short;
}

/* How large the segments of a new array are: as large as those of all others, or larger. One that shrinks has its own
 * way, and the others follow when they do. */
static unsigned segment_bits_choose(const struct table *table, uint32_t bucket_count) {
    unsigned bits = segment_bits_of(bucket_count);
    unsigned others = atomic_load_explicit(table->segment_bits, memory_order_relaxed);
    bool is_shrinking = bucket_count < table_bucket_count(table);
    if (others == bits || (bits < others && !is_shrinking)) return others;
    atomic_store_explicit(table->segment_bits, bits, memory_order_relaxed);
    return bits;
}

/* A filled array for `count` records; NULL where memory is lacking. Room for overflow buckets is doubled until it does:
 * with hashes that spread it does at once. */
static struct table_array *array_successor(const struct table *table, uint32_t count) {
    uint64_t wanted = ((uint64_t)count * 10 + OCCUPANCY_TENTHS - 1) / OCCUPANCY_TENTHS;
    uint32_t bucket_count = wanted < BUCKETS_MIN         ? BUCKETS_MIN
                            : wanted > TABLE_BUCKETS_MAX ? TABLE_BUCKETS_MAX
                                                         : (uint32_t)wanted;
    uint32_t overflow_max = (uint32_t)((uint64_t)bucket_count * OVERFLOW_PERCENT / 100) + 1;
    unsigned bits = segment_bits_choose(table, bucket_count);
    for (;; overflow_max *= 2) {
        struct table_array *array = array_make(table, bucket_count, overflow_max, bits);
        bool is_short;
        if (!array || array_copy(table, array, &is_short)) return array;
        table_array_free(table->slab, array);
        if (!is_short) return NULL;
    }
}

/* Publishes a new array for `count` records. False where memory is lacking: nothing changed. */
static bool table_resize(struct table *table, unsigned reader, uint32_t count) {
    struct table_array *old = table_array(table), *array = array_successor(table, count);
    if (!array) return false;
    atomic_store_explicit(table->root, root_of(array, table_array_fill(array)->bucket_count), memory_order_release);
    if (table->wheel) wheel_rebuild(table->wheel, array, table_array_fill(array)->bucket_count);
    if (old != &array_none) reclaim_retire(table->reclaim, reader, old, array_bytes(old), table->retire_kind);
    return true;
}

/* Whether the array is so full that a successor is better than more overflow buckets. */
static bool table_is_full(const struct table *table) {
    uint64_t bucket_count = table_bucket_count(table);
    return bucket_count < TABLE_BUCKETS_MAX && (uint64_t)table->count * 10 >= bucket_count * OCCUPANCY_MAX_TENTHS;
}

/* Whether other tables have larger segments by now. Asked where more overflow buckets are needed, every some per cent
 * of growth, and not at each insert: then all pages of the smaller segments came back at once, more than are kept, and
 * the system took huge pages apart for them. */
static bool table_is_behind(const struct table *table, const struct table_array *array) {
    return array->segment_bits < atomic_load_explicit(table->segment_bits, memory_order_relaxed);
}

/* Stores a word whose chain needs an overflow bucket that is not there. False where memory is lacking. */
static bool table_put_slow(struct table *table, unsigned reader, uint64_t word) {
    struct table_array *array = table_array(table);
    bool is_kept = array != &array_none && !table_is_full(table) && !table_is_behind(table, array);
    if (is_kept && array_put_anyhow(table, array, word)) return true;
    return table_resize(table, reader, table->count + 1) && array_put_anyhow(table, table_array(table), word);
}

/* ---- the interface */

void table_init(struct table *table, const struct table_options *options) {
    assert(options->shard_bits <= 24 && options->shard >> options->shard_bits == 0 && options->retire_kind < 256);
    *table = (struct table){.root = options->root,
                            .shard_bits = (uint8_t)options->shard_bits,
                            .arena = (uint8_t)(options->arena % SLAB_ARENA_COUNT),
                            .retire_kind = (uint8_t)options->retire_kind,
                            .shard = options->shard,
                            .wheel = options->wheel,
                            .segment_bits = options->segment_bits,
                            .slab = options->slab,
                            .reclaim = options->reclaim};
    atomic_init(table->root, root_of(&array_none, 1));
}

void table_fini(struct table *table) {
    struct table_array *array = table_array(table);
    if (array != &array_none) table_array_free(table->slab, array);
    atomic_store_explicit(table->root, root_of(&array_none, 1), memory_order_release);
    table->count = 0;
}

bool table_insert(struct table *table, unsigned reader, uint64_t hash, void *record) {
    assert(record && ((uintptr_t)record & 7) == 0 && (uintptr_t)record >> (TABLE_POINTER_BITS + 3) == 0);
    assert(table->shard_bits == 0 || hash >> (64 - table->shard_bits) == table->shard);
    uint64_t word = (uint64_t)table_tag(table, hash) << TABLE_POINTER_BITS | (uintptr_t)record >> 3;
    struct table_array *array = table_array(table);
    if ((array == &array_none || !array_put(array, word)) && !table_put_slow(table, reader, word)) return false;
    table->count++;
    return true;
}

void table_trim(struct table *table, unsigned reader) {
    uint64_t bucket_count = table_bucket_count(table);
    if (bucket_count <= BUCKETS_MIN) return;
    if ((uint64_t)table->count * 10 * TRIM_PART >= bucket_count * OCCUPANCY_TENTHS) return;
    table_resize(table, reader, table->count); /* where memory is lacking it stays sparse */
}

size_t table_bytes(const struct table *table) {
    const struct table_array *array = table_array(table);
    return array == &array_none ? 0 : array_bytes(array);
}

uint64_t table_bucket_first_hash(const struct table *table, uint32_t number, uint32_t bucket_count) {
    assert(number <= bucket_count);
    uint64_t tag = (((uint64_t)number << TABLE_TAG_BITS) + bucket_count - 1) / bucket_count;
    uint64_t shard_start = table->shard_bits ? (uint64_t)table->shard << (64 - table->shard_bits) : 0;
    return shard_start + (tag << (64 - TABLE_TAG_BITS - table->shard_bits));
}

/* ---- checking */

/* The records of one chain; counts its overflow buckets. */
static uint32_t chain_check(const struct table *table, uint32_t number, uint32_t *overflow_used) {
    const struct table_array *array = table_array(table);
    const struct table_bucket *bucket = table_bucket_at(array, number);
    uint32_t count = 0;
    for (;;) {
        for (unsigned i = 0; i < TABLE_SLOTS; i++) {
            uint64_t word = atomic_load(&bucket->slots[i]);
            if (!word) continue;
            CHECK(table_bucket_of_tag((uint32_t)(word >> TABLE_POINTER_BITS), table_bucket_count(table)) == number);
            CHECK(table_slot_record(word));
            count++;
        }
        uint32_t overflow = atomic_load(&bucket->overflow);
        if (!overflow) return count;
        CHECK(overflow <= table_array_fill(array)->overflow_used);
        bucket = table_overflow_at(array, overflow);
        CHECK(bucket->armed == 0);
        CHECK(++*overflow_used <= table_array_fill(array)->overflow_used);
    }
}

static void array_check(const struct table_array *array, uint32_t bucket_count, uint32_t overflow_used) {
    const struct table_fill *fill = table_array_fill(array);
    CHECK(fill->bucket_count == bucket_count && (bucket_count & array->segment_mask) == 0);
    CHECK(array->segment_mask + 1u == 1u << array->segment_bits && array->overflow_bits <= array->segment_bits);
    CHECK(segment_count(array) + fill->overflow_count <= array->segment_max);
    CHECK(overflow_used == fill->overflow_used);
    CHECK(fill->overflow_used <= fill->overflow_count << array->overflow_bits);
}

void table_check(const struct table *table) {
    uint32_t count = 0, overflow_used = 0, bucket_count = table_bucket_count(table);
    for (uint32_t number = 0; number < bucket_count; number++) count += chain_check(table, number, &overflow_used);
    CHECK(count == table->count);
    if (table_array(table) != &array_none) array_check(table_array(table), bucket_count, overflow_used);
    if (table->wheel) wheel_check(table->wheel, table);
}
