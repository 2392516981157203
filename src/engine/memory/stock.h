/* Blocks of records that one loop has freed and will want again: its stock, in front of the slab.
 *
 * A set frees the block of the old record a turn after it took one for the new. Over the slab both cost a lock and a
 * look at the page's description, and the next free block stands in the first word of one that is no longer in the
 * cache: half of what the engine does for a set out of a million sessions was waiting for these. In a stock addresses
 * stand in an array, so that a block is given and taken without a look at it, and the processor can be asked for the
 * next ones in time.
 *
 * What lies here keeps a slab's page from going back to the system, so no more lies here than a few of the loop's last
 * turns took, or all those did that waited for another loop's turn: where that one has lost its processor, all that is
 * taken meanwhile comes back at once. A loop that takes none any more soon has nothing: a mass expiry goes to the slab.
 *
 * Always true: a lane's blocks are of one size; a block of a stock is in use for the slab, and poisoned for
 * AddressSanitizer. Everything but stock_bytes and stock_array_bytes runs on the
 * loop's thread. All zero with stock_init is empty. */
#ifndef ENGINE_MEMORY_STOCK_H
#define ENGINE_MEMORY_STOCK_H

#include "engine/memory/slab.h"

#define STOCK_LANES          16 /* sizes at a time; more of them share lanes, and whoever comes second has the slab */
#define STOCK_LANE_MAX       16384      /* blocks */
#define STOCK_LANE_BYTES_MAX (8u << 20) /* of them */
#define STOCK_AHEAD          8          /* blocks before it is taken the processor is asked for one */
#define STOCK_AHEAD_MAX      512        /* bytes of it, at most */

struct stock_lane {
    uint32_t bytes;        /* of each block; 0: the lane is free */
    uint32_t count;        /* blocks that lie here */
    uint32_t taken;        /* from here or from the slab, since a turn in which some came back, or none was taken */
    uint32_t taken_before; /* the same, when the last turn ended */
    uint32_t limit;        /* how many may lie here */
    uint32_t room;         /* in `blocks` */
    bool has_got;          /* in this turn */
    void **blocks;
};

struct stock {
    struct slab *slab;
    unsigned arena;
    uint32_t active;              /* a bit for each lane that is not free */
    _Atomic uint64_t bytes;       /* that lie here; written by the loop alone, as is the next */
    _Atomic uint64_t array_bytes; /* of the lanes' `blocks` */
    struct stock_lane lanes[STOCK_LANES];
};

void stock_init(struct stock *stock, struct slab *slab, unsigned arena);

/* Gives all back to the slab. */
void stock_fini(struct stock *stock);

/* Like slab_alloc and slab_free. */
void *stock_take(struct stock *stock, size_t size);
void stock_give(struct stock *stock, void *block, size_t size);

/* A turn has ended: what is more than the last ones took, by and by, goes back to the slab. */
void stock_settle(struct stock *stock);

/* What lies here, which counts as free; any thread. */
static inline uint64_t stock_bytes(struct stock *stock) {
    return atomic_load_explicit(&stock->bytes, memory_order_relaxed);
}

/* What the stock takes for itself; any thread. */
static inline uint64_t stock_array_bytes(struct stock *stock) {
    return atomic_load_explicit(&stock->array_bytes, memory_order_relaxed);
}

#endif
