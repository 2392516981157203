/* The memory engine's tables, with their wheels, slab and reclamation, as the micro benchmarks of one of these use
 * them: 1,024 shards, empty, and no engine around them.
 *
 * Each program includes it once; one thread. */
#ifndef BENCH_MICRO_TABLES_H
#define BENCH_MICRO_TABLES_H

#include "engine/memory/table.h"
#include "engine/memory/wheel.h"

#include <stdlib.h>

enum { SHARD_BITS = 10, SHARDS = 1 << SHARD_BITS };

static struct slab slab;
static struct reclaim reclaim;
static struct table tables[SHARDS];
static _Atomic uint64_t roots[SHARDS];
static struct wheel wheels[SHARDS];
static _Atomic uint32_t segment_bits;

/* What is given to reclaim_retire. */
enum { RETIRE_BLOCK, RETIRE_TABLE };

static void retired_free(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    (void)context, (void)reader;
    if (kind == RETIRE_TABLE)
        table_array_free(&slab, pointer);
    else
        slab_free(&slab, pointer, size);
}

/* Once, before anything else here is used. */
static void tables_open(void) {
    slab_init(&slab);
    if (!reclaim_init(&reclaim, 1, retired_free, NULL)) abort();
    for (unsigned i = 0; i < SHARDS; i++) {
        struct table_options options = {.root = &roots[i],
                                        .shard = i,
                                        .shard_bits = SHARD_BITS,
                                        .arena = 0, /* as an engine of one loop has it */
                                        .retire_kind = RETIRE_TABLE,
                                        .wheel = &wheels[i],
                                        .segment_bits = &segment_bits,
                                        .slab = &slab,
                                        .reclaim = &reclaim};
        wheel_init(&wheels[i], 0, i * 2654435761u);
        table_init(&tables[i], &options);
    }
}

static struct table *table_of(uint64_t hash) {
    return &tables[hash >> (64 - SHARD_BITS)];
}

#endif
