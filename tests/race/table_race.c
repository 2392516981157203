/* Lock-free look-ups and walks while two writers insert, replace and remove under the shard's lock, so that the array
 * grows and shrinks all the time; freed records and arrays are poisoned.
 *
 * Even keys are always there and only replaced: every look-up and every walk must find them, each reader in versions
 * that never go back. Odd keys come and go: what is found under one must be one of its records. */
#include "base/hash.h"
#include "base/lock.h"
#include "base/prng.h"
#include "engine/memory/table.h"
#include "engine/memory/wheel.h"
#include "race.h"

#include <string.h>

enum {
    READERS = 2,
    WRITERS = 2,
    THREADS = READERS + WRITERS,
    KEYS = 1500,
    WAVE = 4000,
    WAVE_WRITES = 12000,
    RECORD = 1,
    ARRAY = 2
};
#define MARK UINT64_C(0x5e551011d0a11f1e)

struct record {
    uint64_t mark, key, version;
};

static struct slab slab;
static struct reclaim reclaim;
static struct wheel wheel;
static struct table table;
static _Atomic uint64_t root;
static _Atomic uint32_t segment_bits;
static struct lock lock;
static uint64_t version_last; /* under the lock */
static _Atomic uint64_t looked, walked, written, arrays_freed, records_freed;

static uint64_t hash_of(uint64_t key) {
    return hash_mix(key + 1);
}

static void array_poison(struct table_array *array) {
    const struct table_fill *fill = table_array_fill(array);
    for (uint32_t i = 0; i < fill->bucket_count; i++)
        memset(table_bucket_at(array, i), 0xdd, sizeof(struct table_bucket));
    for (uint32_t i = 1; i <= fill->overflow_used; i++)
        memset(table_overflow_at(array, i), 0xdd, sizeof(struct table_bucket));
}

static void block_free(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    (void)context, (void)reader;
    if (kind == ARRAY) {
        array_poison(pointer);
        table_array_free(&slab, pointer);
    } else {
        memset(pointer, 0xdd, size);
        slab_free(&slab, pointer, size);
    }
    atomic_fetch_add_explicit(kind == ARRAY ? &arrays_freed : &records_freed, 1, memory_order_relaxed);
}

/* Reads a record's key only after its mark: a poisoned one has none. */
static struct record *look_up(uint64_t key, _Atomic uint64_t **slot) {
    struct table_find find = table_find(&table, hash_of(key));
    for (struct record *record; (record = table_next(&find));) {
        RACE_CHECK(record->mark == MARK, "a freed record under key %llu", (unsigned long long)key);
        if (record->key != key) continue;
        if (slot) *slot = find.slot;
        return record;
    }
    return NULL;
}

/* ---- writers */

static struct record *record_make(unsigned writer, uint64_t key) {
    struct record *record = slab_alloc(&slab, writer, sizeof *record);
    RACE_CHECK(record, "no memory");
    *record = (struct record){MARK, key, ++version_last};
    return record;
}

static void put(unsigned writer, uint64_t key) {
    _Atomic uint64_t *slot = NULL;
    struct record *old = look_up(key, &slot), *record = record_make(writer, key);
    if (old) {
        table_replace(&table, slot, record);
        reclaim_retire(&reclaim, writer, old, sizeof *old, RECORD);
    } else {
        RACE_CHECK(table_insert(&table, writer, hash_of(key), record), "no memory");
        wheel_arm(&wheel, &table, table_bucket_of(&table, hash_of(key)), (int64_t)(version_last + key));
    }
}

static void drop(unsigned writer, uint64_t key) {
    _Atomic uint64_t *slot = NULL;
    struct record *old = look_up(key, &slot);
    if (!old) return;
    table_remove(&table, slot);
    table_trim(&table, writer);
    reclaim_retire(&reclaim, writer, old, sizeof *old, RECORD);
}

/* Keys above KEYS come in waves of WAVE_WRITES, so that the array grows and shrinks by much. Both writers are in the
 * same wave: with a wave each, one would fill what the other empties. */
static void write_turn(unsigned writer, struct prng *prng) {
    uint32_t buckets[4];
    bool is_rising = atomic_load_explicit(&written, memory_order_relaxed) / WAVE_WRITES % 2 == 0;
    reclaim_enter(&reclaim, writer);
    for (int i = 0; i < 20; i++) {
        uint64_t key = prng_below(prng, KEYS), odd = prng_below(prng, KEYS) | 1;
        lock_take(&lock);
        put(writer, key);
        if (key & 1 && prng_happens(prng, 1, 2)) drop(writer, key);
        put(writer, odd);
        drop(writer, odd);
        uint64_t wave = KEYS + 1 + 2 * prng_below(prng, WAVE);
        is_rising ? put(writer, wave) : drop(writer, wave);
        wheel_advance(&wheel, &table, (int64_t)version_last, buckets, 4);
        lock_release(&lock);
        atomic_fetch_add_explicit(&written, 1, memory_order_relaxed);
    }
    reclaim_leave(&reclaim, writer);
}

/* ---- readers */

static void read_turn(unsigned reader, struct prng *prng, uint64_t *seen) {
    reclaim_enter(&reclaim, reader);
    for (int i = 0; i < 50; i++) {
        uint64_t key = prng_below(prng, KEYS);
        table_prefetch(&table, hash_of(key));
        struct record *record = look_up(key, NULL);
        if (key & 1) continue;
        RACE_CHECK(record, "key %llu was not found", (unsigned long long)key);
        RACE_CHECK(record->version >= seen[key], "key %llu went back", (unsigned long long)key);
        seen[key] = record->version;
    }
    reclaim_leave(&reclaim, reader);
    atomic_fetch_add_explicit(&looked, 50, memory_order_relaxed);
}

static void walk_turn(unsigned reader) {
    unsigned count = 0;
    reclaim_enter(&reclaim, reader);
    for (struct table_walk walk = table_walk_at(&table, 0); table_walk_is_in(&walk); table_walk_bucket(&walk)) {
        for (struct record *record; (record = table_walk_next(&walk));) {
            RACE_CHECK(record->mark == MARK, "a freed record in a walk");
            count += record->key < KEYS && !(record->key & 1);
        }
    }
    RACE_CHECK(count == KEYS / 2, "a walk saw %u of %d", count, KEYS / 2);
    reclaim_leave(&reclaim, reader);
    atomic_fetch_add_explicit(&walked, 1, memory_order_relaxed);
}

static void *run(void *number) {
    unsigned index = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(index);
    uint64_t *seen = calloc(KEYS, sizeof *seen);
    for (unsigned turn = 0; race_goes_on(); turn++) {
        if (index >= READERS)
            write_turn(index, &prng);
        else if (turn % 20 == 0)
            walk_turn(index);
        else
            read_turn(index, &prng, seen);
    }
    free(seen);
    return NULL;
}

static void records_free(void) {
    for (struct table_walk walk = table_walk_at(&table, 0); table_walk_is_in(&walk); table_walk_bucket(&walk))
        for (struct record *record; (record = table_walk_next(&walk));) slab_free(&slab, record, sizeof *record);
}

int main(int argc, char **argv) {
    slab_init(&slab);
    RACE_CHECK(reclaim_init(&reclaim, THREADS, block_free, NULL), "no memory");
    wheel_init(&wheel, 0, 0);
    struct table_options options = {.root = &root,
                                    .retire_kind = ARRAY,
                                    .wheel = &wheel,
                                    .segment_bits = &segment_bits,
                                    .slab = &slab,
                                    .reclaim = &reclaim};
    table_init(&table, &options);
    for (uint64_t key = 0; key < KEYS; key += 2) put(READERS, key);
    race_run(argc, argv, run, THREADS);
    table_check(&table);
    slab_check(&slab);
    records_free();
    table_fini(&table);
    reclaim_fini(&reclaim);
    /* By the writes, not by the clock, and after the last waiting block was freed: on a busy machine little happens in
     * a second, and a reader that sleeps inside its turn holds everything back. A wave replaces the array some eight
     * times. */
    RACE_CHECK(arrays_freed >= written / WAVE_WRITES, "the array was replaced only %llu times in %llu writes",
               (unsigned long long)arrays_freed, (unsigned long long)written);
    printf("table_race: %llu look-ups and %llu walks beside %llu writes; %llu arrays and %llu records freed\n",
           (unsigned long long)looked, (unsigned long long)walked, (unsigned long long)written,
           (unsigned long long)arrays_freed, (unsigned long long)records_freed);
    RACE_CHECK(slab_stats_get(&slab).bytes_used == 0, "memory was lost");
    slab_fini(&slab);
    return 0;
}
