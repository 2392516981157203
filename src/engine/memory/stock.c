/* A loop's stock of free blocks; see stock.h. */
#include "engine/memory/stock.h"
#include "engine/memory/slab_chunk.h"

#include <assert.h>
#include <stdlib.h>

#define LIMIT_FALL_PART 8 /* of a lane's limit that goes with each turn in which less is taken */
#define LIMIT_TURNS     8 /* what so many turns took may come back at once, where loops wait for one another */

void stock_init(struct stock *stock, struct slab *slab, unsigned arena) {
    *stock = (struct stock){.slab = slab, .arena = arena};
}

/* Neighbouring sizes have lanes of their own: most sessions of one program are about as long. */
static struct stock_lane *lane_of(struct stock *stock, size_t bytes) {
    return &stock->lanes[bytes / 8 % STOCK_LANES];
}

static void bytes_count(struct stock *stock, int64_t bytes) {
    uint64_t now = atomic_load_explicit(&stock->bytes, memory_order_relaxed);
    atomic_store_explicit(&stock->bytes, now + (uint64_t)bytes, memory_order_relaxed);
}

/* Whoever takes a block writes all of it. */
static void block_prefetch(const char *block, size_t bytes) {
    if (bytes > STOCK_AHEAD_MAX) bytes = STOCK_AHEAD_MAX;
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(block + at, 1);
    __builtin_prefetch(block + bytes - 1, 1);
}

static bool lane_begin(struct stock *stock, struct stock_lane *lane, size_t bytes) {
    if (!lane->blocks) lane->blocks = malloc(STOCK_LANE_MAX * sizeof(void *));
    if (!lane->blocks) return false;
    lane->bytes = (uint32_t)bytes;
    stock->active |= 1u << (lane - stock->lanes);
    return true;
}

void *stock_take(struct stock *stock, size_t size) {
    size_t bytes = slab_size(size);
    if (bytes > SLAB_BLOCK_MAX) return slab_alloc(stock->slab, stock->arena, size);
    struct stock_lane *lane = lane_of(stock, bytes);
    bool is_ours = lane->bytes == bytes || (lane->bytes == 0 && lane_begin(stock, lane, bytes));
    if (!is_ours) return slab_alloc(stock->slab, stock->arena, size);
    lane->taken++;
    if (lane->count == 0) return slab_alloc(stock->slab, stock->arena, size);
    void *block = lane->blocks[--lane->count];
    if (lane->count >= STOCK_AHEAD) block_prefetch(lane->blocks[lane->count - STOCK_AHEAD], bytes);
    bytes_count(stock, -(int64_t)bytes);
    SLAB_UNPOISON(block, bytes);
    return block;
}

void stock_give(struct stock *stock, void *block, size_t size) {
    size_t bytes = slab_size(size);
    struct stock_lane *lane = lane_of(stock, bytes);
    if (lane->bytes != bytes || lane->count >= lane->limit) {
        slab_free(stock->slab, block, size);
        return;
    }
    lane->blocks[lane->count++] = block;
    bytes_count(stock, (int64_t)bytes);
    SLAB_POISON(block, bytes);
}

static void lane_shrink(struct stock *stock, struct stock_lane *lane) {
    while (lane->count > lane->limit) {
        void *block = lane->blocks[--lane->count];
        bytes_count(stock, -(int64_t)lane->bytes);
        SLAB_UNPOISON(block, lane->bytes);
        slab_free(stock->slab, block, lane->bytes);
    }
}

void stock_settle(struct stock *stock) {
    for (uint32_t left = stock->active; left; left &= left - 1) {
        struct stock_lane *lane = &stock->lanes[__builtin_ctz(left)];
        uint32_t fallen = lane->limit - (lane->limit + LIMIT_FALL_PART - 1) / LIMIT_FALL_PART;
        uint32_t wanted = lane->taken * LIMIT_TURNS;
        lane->limit = wanted > fallen ? wanted : fallen;
        if (lane->limit > STOCK_LANE_MAX) lane->limit = STOCK_LANE_MAX;
        lane->taken = 0;
        lane_shrink(stock, lane);
        if (lane->limit > 0) continue;
        lane->bytes = 0;
        stock->active &= ~(1u << (lane - stock->lanes));
    }
}

void stock_fini(struct stock *stock) {
    for (unsigned i = 0; i < STOCK_LANES; i++) {
        stock->lanes[i].limit = 0;
        lane_shrink(stock, &stock->lanes[i]);
        free(stock->lanes[i].blocks);
    }
    *stock = (struct stock){.slab = stock->slab, .arena = stock->arena};
}
