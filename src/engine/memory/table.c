/* The table's slow half: inserting, replacing the array, checking; see table.h. */
#include "engine/memory/table.h"
#include "base/check.h"
#include "engine/memory/wheel.h"

#include <string.h>

enum {
    OCCUPANCY_TENTHS = 51, /* records to 10 buckets of a new array */
    OVERFLOW_PERCENT = 25, /* overflow buckets to 100 others; they run out at about 6 records a bucket */
    BUCKETS_MIN = 2,
    TRIM_PART = 3 /* an array is sparse when it holds less than this part of what a new one would */
};

/* What an empty table shows its readers: one empty bucket that is never written. 1,024 shards without sessions so cost
 * nothing. */
static struct table_array array_none = {.bucket_count = 1, .buckets = {{.armed = 0}}};

/* ---- arrays */

static size_t array_bytes(uint32_t bucket_count, uint32_t overflow_count) {
    size_t links = ((size_t)bucket_count * sizeof(struct table_link) + 63) & ~(size_t)63;
    return sizeof(struct table_array) + ((size_t)bucket_count + overflow_count) * sizeof(struct table_bucket) + links;
}

static uint64_t root_of(const struct table_array *array) {
    assert(((uintptr_t)array & 63) == 0 && (uintptr_t)array >> (TABLE_POINTER_BITS + 3) == 0);
    return (uint64_t)(uintptr_t)array >> 6 << (TABLE_TAG_BITS + 1) | array->bucket_count;
}

/* An empty array; what its slab block has left over becomes overflow buckets. */
static struct table_array *array_make(const struct table *table, uint32_t bucket_count, uint32_t overflow_count) {
    size_t asked = array_bytes(bucket_count, overflow_count);
    overflow_count += (uint32_t)((slab_size(asked) - asked) / sizeof(struct table_bucket));
    size_t bytes = array_bytes(bucket_count, overflow_count);
    struct table_array *array = slab_alloc(table->slab, table->arena, bytes);
    if (!array) return NULL;
    memset(array, 0, bytes);
    array->bucket_count = bucket_count;
    array->overflow_count = overflow_count;
    array->links = (struct table_link *)&array->buckets[bucket_count + overflow_count];
    return array;
}

static void array_free(const struct table *table, struct table_array *array) {
    slab_free(table->slab, array, array_bytes(array->bucket_count, array->overflow_count));
}

static _Atomic uint64_t *bucket_room(struct table_bucket *bucket) {
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        if (!atomic_load_explicit(&bucket->slots[i], memory_order_relaxed)) return &bucket->slots[i];
    return NULL;
}

/* Stores a slot's word into the first room of its chain and answers the first bucket of it; NULL: a new overflow bucket
 * is needed and there is none. A reader sees the overflow bucket with the word in it or not at all. */
static struct table_bucket *array_put(struct table_array *array, uint64_t word) {
    uint32_t number = table_bucket_of_tag((uint32_t)(word >> TABLE_POINTER_BITS), array->bucket_count);
    struct table_bucket *first = &array->buckets[number], *bucket = first;
    for (;;) {
        _Atomic uint64_t *slot = bucket_room(bucket);
        if (slot) {
            atomic_store_explicit(slot, word, memory_order_release);
            return first;
        }
        uint32_t overflow = atomic_load_explicit(&bucket->overflow, memory_order_relaxed);
        if (!overflow) break;
        bucket = &array->buckets[overflow];
    }
    if (array->overflow_used == array->overflow_count) return NULL;
    uint32_t added = array->bucket_count + array->overflow_used++;
    atomic_store_explicit(&array->buckets[added].slots[0], word, memory_order_relaxed);
    atomic_store_explicit(&bucket->overflow, added, memory_order_release);
    return first;
}

/* Copies one chain. A bucket that receives a record is due when the one it came from was, or earlier. */
static bool chain_copy(struct table_array *to, const struct table_array *from, uint32_t number) {
    uint32_t armed = from->buckets[number].armed;
    for (uint32_t at = number;;) {
        const struct table_bucket *bucket = &from->buckets[at];
        for (unsigned i = 0; i < TABLE_SLOTS; i++) {
            uint64_t word = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
            if (!word) continue;
            struct table_bucket *first = array_put(to, word);
            if (!first) return false;
            first->armed = wheel_earlier(first->armed, armed);
        }
        if (!(at = atomic_load_explicit(&bucket->overflow, memory_order_relaxed))) return true;
    }
}

/* Copies all, and leaves enough overflow buckets that the next copy is some way off. */
static bool array_copy(struct table_array *to, const struct table_array *from) {
    for (uint32_t number = 0; number < from->bucket_count; number++)
        if (!chain_copy(to, from, number)) return false;
    return to->overflow_used + 1 + to->overflow_count / 8 <= to->overflow_count;
}

/* A filled array for `count` records; NULL where memory is lacking. Overflow buckets are doubled until they do: with
 * hashes that spread they do at once. */
static struct table_array *array_successor(const struct table *table, uint32_t count) {
    uint64_t wanted = ((uint64_t)count * 10 + OCCUPANCY_TENTHS - 1) / OCCUPANCY_TENTHS;
    uint32_t bucket_count = wanted < BUCKETS_MIN         ? BUCKETS_MIN
                            : wanted > TABLE_BUCKETS_MAX ? TABLE_BUCKETS_MAX
                                                         : (uint32_t)wanted;
    uint32_t overflow_count = (uint32_t)((uint64_t)bucket_count * OVERFLOW_PERCENT / 100) + 1;
    for (;; overflow_count *= 2) {
        struct table_array *array = array_make(table, bucket_count, overflow_count);
        if (!array || array_copy(array, table_array(table))) return array;
        array_free(table, array);
    }
}

/* Publishes a new array for `count` records. False where memory is lacking: nothing changed. */
static bool table_resize(struct table *table, unsigned reader, uint32_t count) {
    struct table_array *old = table_array(table), *array = array_successor(table, count);
    if (!array) return false;
    atomic_store_explicit(table->root, root_of(array), memory_order_release);
    if (table->wheel) wheel_rebuild(table->wheel, array);
    if (old != &array_none)
        reclaim_retire(table->reclaim, reader, old, array_bytes(old->bucket_count, old->overflow_count),
                       table->retire_kind);
    return true;
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
                            .slab = options->slab,
                            .reclaim = options->reclaim};
    atomic_init(table->root, root_of(&array_none));
}

void table_fini(struct table *table) {
    struct table_array *array = table_array(table);
    if (array != &array_none) array_free(table, array);
    atomic_store_explicit(table->root, root_of(&array_none), memory_order_release);
    table->count = 0;
}

bool table_insert(struct table *table, unsigned reader, uint64_t hash, void *record) {
    assert(record && ((uintptr_t)record & 7) == 0 && (uintptr_t)record >> (TABLE_POINTER_BITS + 3) == 0);
    assert(table->shard_bits == 0 || hash >> (64 - table->shard_bits) == table->shard);
    uint64_t word = (uint64_t)table_tag(table, hash) << TABLE_POINTER_BITS | (uintptr_t)record >> 3;
    struct table_array *array = table_array(table);
    if (array == &array_none || !array_put(array, word)) {
        if (!table_resize(table, reader, table->count + 1)) return false;
        struct table_bucket *bucket = array_put(table_array(table), word);
        assert(bucket);
        (void)bucket;
    }
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
    return array == &array_none ? 0 : slab_size(array_bytes(array->bucket_count, array->overflow_count));
}

uint64_t table_bucket_first_hash(const struct table *table, uint32_t number, uint32_t bucket_count) {
    assert(number <= bucket_count);
    uint64_t tag = (((uint64_t)number << TABLE_TAG_BITS) + bucket_count - 1) / bucket_count;
    uint64_t shard_start = table->shard_bits ? (uint64_t)table->shard << (64 - table->shard_bits) : 0;
    return shard_start + (tag << (64 - TABLE_TAG_BITS - table->shard_bits));
}

/* ---- checking */

/* The records of one chain; counts its overflow buckets. */
static uint32_t chain_check(const struct table_array *array, uint32_t number, uint32_t *overflow_used) {
    uint32_t count = 0;
    for (uint32_t at = number;;) {
        const struct table_bucket *bucket = &array->buckets[at];
        for (unsigned i = 0; i < TABLE_SLOTS; i++) {
            uint64_t word = atomic_load(&bucket->slots[i]);
            if (!word) continue;
            CHECK(table_bucket_of_tag((uint32_t)(word >> TABLE_POINTER_BITS), array->bucket_count) == number);
            CHECK(table_slot_record(word));
            count++;
        }
        if (!(at = atomic_load(&bucket->overflow))) return count;
        CHECK(at >= array->bucket_count && at < array->bucket_count + array->overflow_used);
        CHECK(array->buckets[at].armed == 0);
        ++*overflow_used;
        CHECK(*overflow_used <= array->overflow_used);
    }
}

void table_check(const struct table *table) {
    const struct table_array *array = table_array(table);
    uint32_t count = 0, overflow_used = 0;
    CHECK(array->bucket_count == table_bucket_count(table) && array->overflow_used <= array->overflow_count);
    for (uint32_t number = 0; number < array->bucket_count; number++)
        count += chain_check(array, number, &overflow_used);
    CHECK(count == table->count && overflow_used == array->overflow_used);
    if (table->wheel) wheel_check(table->wheel, table);
}
