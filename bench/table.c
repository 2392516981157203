/* Nanoseconds per call of the table, the slab and the hash, at a million sessions in 1,024 shards on one thread.
 *
 *     bench_table [sessions]
 *
 * Records are blocks of 376 bytes from the slab; ids have 43 characters and are compared like the engine does. */
#include "base/hash.h"
#include "base/prng.h"
#include "micro_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ID = 43, RECORD = 376, BATCH = 32, LOOKUPS = 4000000 };

struct record {
    uint64_t version;
    uint8_t id[ID];
    uint8_t data[RECORD - 8 - ID];
};

static struct hash_key key;
static uint8_t (*ids)[ID];
static uint64_t found_count;
static double resident_start; /* with the ids, before the first record */

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void report(const char *what, double start_ns, double count) {
    printf("%-44s %8.1f ns\n", what, (now_ns() - start_ns) / count);
}

static uint64_t hash_of_id(uint64_t i) {
    return hash_bytes(&key, bytes_of(ids[i], ID));
}

static struct record *look_up(uint64_t hash, const uint8_t *id) {
    struct table_find find = table_find(table_of(hash), hash);
    for (struct record *record; (record = table_next(&find));)
        if (memcmp(record->id, id, ID) == 0) return record;
    return NULL;
}

static void open_all(uint64_t count) {
    struct prng prng = prng_of(1);
    tables_open();
    prng_fill(&prng, key.secret, sizeof key.secret);
    ids = malloc(2 * count * ID); /* the second half is never stored */
    prng_fill(&prng, ids, 2 * count * ID);
}

static struct record *record_make(uint64_t i) {
    struct record *record = slab_alloc(&slab, 0, sizeof *record);
    if (!record) abort();
    memcpy(record->id, ids[i], ID);
    return record;
}

static void bench_insert(uint64_t count) {
    double start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        struct record *record = record_make(i);
        uint64_t hash = hash_of_id(i);
        if (!table_insert(table_of(hash), 0, hash, record)) abort();
        if (i % 64 == 0) reclaim_poll(&reclaim, 0);
    }
    report("hash, allocate, insert (with growth)", start_ns, (double)count);
}

/* A fifth more goes in and out again, with a clock around each table_insert, for the worst. */
static void bench_growth(uint64_t first, uint64_t count) {
    double worst_ns = 0, sum_ns = 0;
    struct record **records = malloc(count * sizeof *records);
    for (uint64_t i = 0; i < count; i++) records[i] = record_make(first + i);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t hash = hash_of_id(first + i);
        double at_ns = now_ns();
        if (!table_insert(table_of(hash), 0, hash, records[i])) abort();
        double took_ns = now_ns() - at_ns;
        if (took_ns > worst_ns) worst_ns = took_ns;
        sum_ns += took_ns;
        reclaim_poll(&reclaim, 0);
    }
    printf("%-44s %8.1f ns\n", "insert alone, with growth and a clock read", sum_ns / (double)count);
    printf("%-44s %8.1f us\n", "  the worst", worst_ns / 1e3);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t hash = hash_of_id(first + i);
        struct table *table = table_of(hash);
        table_remove(table, table_slot_of(table, hash, records[i]));
        table_trim(table, 0);
        slab_free(&slab, records[i], sizeof *records[i]);
    }
    free(records);
}

static void bench_find_single(const char *what, uint64_t first, uint64_t count) {
    struct prng prng = prng_of(2);
    double start_ns = now_ns();
    for (int i = 0; i < LOOKUPS; i++) {
        uint64_t j = first + prng_below(&prng, count);
        struct record *record = look_up(hash_of_id(j), ids[j]);
        found_count += record ? 1 + (record->data[100] & 1) : 0;
    }
    report(what, start_ns, LOOKUPS);
}

static void bench_find_batched(const char *what, uint64_t first, uint64_t count) {
    struct prng prng = prng_of(3);
    uint64_t picks[BATCH], hashes[BATCH];
    double start_ns = now_ns();
    for (int i = 0; i < LOOKUPS; i += BATCH) {
        for (int j = 0; j < BATCH; j++) __builtin_prefetch(ids[picks[j] = first + prng_below(&prng, count)]);
        for (int j = 0; j < BATCH; j++) {
            hashes[j] = hash_of_id(picks[j]);
            table_prefetch(table_of(hashes[j]), hashes[j]);
        }
        for (int j = 0; j < BATCH; j++) {
            struct table_find find = table_find(table_of(hashes[j]), hashes[j]);
            __builtin_prefetch(table_next(&find));
        }
        for (int j = 0; j < BATCH; j++) {
            struct record *record = look_up(hashes[j], ids[picks[j]]);
            found_count += record != NULL;
        }
    }
    report(what, start_ns, LOOKUPS);
}

static void bench_replace(uint64_t count) {
    struct prng prng = prng_of(4);
    double start_ns = now_ns();
    for (int i = 0; i < LOOKUPS / 4; i++) {
        uint64_t j = prng_below(&prng, count), hash = hash_of_id(j);
        if (i % 64 == 0) reclaim_enter(&reclaim, 0);
        struct record *old = look_up(hash, ids[j]), *record = slab_alloc(&slab, 0, sizeof *record);
        memcpy(record, old, sizeof *record);
        table_replace(table_of(hash), table_slot_of(table_of(hash), hash, old), record);
        reclaim_retire(&reclaim, 0, old, sizeof *old, RETIRE_BLOCK);
        if (i % 64 == 63) reclaim_leave(&reclaim, 0);
    }
    report("find, copy, replace, retire, free (64 a turn)", start_ns, LOOKUPS / 4);
}

static void bench_turn(void) {
    double start_ns = now_ns();
    for (int i = 0; i < LOOKUPS; i++) {
        reclaim_enter(&reclaim, 0);
        reclaim_leave(&reclaim, 0);
    }
    report("enter and leave an empty turn", start_ns, LOOKUPS);
}

static void bench_walk(uint64_t count) {
    uint64_t seen = 0;
    double start_ns = now_ns();
    for (unsigned i = 0; i < SHARDS; i++)
        for (struct table_walk walk = table_walk_at(&tables[i], 0); table_walk_is_in(&walk); table_walk_bucket(&walk))
            while (table_walk_next(&walk)) seen++;
    report("walk, per record (not read)", start_ns, (double)seen);
    if (seen != count) abort();
}

/* What the system says that this process uses, in bytes. */
static double resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*s %ld", &pages) != 1) abort();
    fclose(file);
    return (double)pages * 4096;
}

static void bench_memory(uint64_t count) {
    size_t table_total = 0;
    for (unsigned i = 0; i < SHARDS; i++) table_total += table_bytes(&tables[i]);
    struct slab_stats stats = slab_stats_get(&slab);
    double each = (double)count;
    printf("%-44s %8.1f bytes a session\n", "tables with links", (double)table_total / each);
    printf("%-44s %8.1f bytes a session\n", "mapped, above records and tables",
           (double)(stats.bytes_mapped - table_total) / each - RECORD);
    printf("%-44s %8.1f bytes a session\n", "resident, above records and tables",
           (resident_bytes() - resident_start - (double)table_total) / each - RECORD);
    printf("%-44s %8.1f KiB in all\n", "wheels", sizeof wheels / 1024.0);
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    open_all(count);
    resident_start = resident_bytes();
    bench_insert(count);
    bench_memory(count);
    bench_growth(count, count / 5);
    bench_find_single("find a hit, one at a time", 0, count);
    bench_find_batched("find a hit, in batches of 32", 0, count);
    bench_find_single("find a miss, one at a time", count, count);
    bench_find_batched("find a miss, in batches of 32", count, count);
    bench_replace(count);
    bench_memory(count);
    bench_walk(count);
    bench_turn();
    printf("%-44s %8llu\n", "found", (unsigned long long)found_count);
    return 0;
}
