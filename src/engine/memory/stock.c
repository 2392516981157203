/* A loop's stock of free blocks; see stock.h. */
#include "engine/memory/stock.h"
#include "engine/memory/counter.h"
#include "engine/memory/slab_chunk.h"

#include <assert.h>
#include <stdlib.h>

#define LIMIT_FALL_PART 16 /* of a lane's limit that goes with each turn in which less is taken */
#define LIMIT_TURNS     8  /* what so many turns took may come back at once, where loops wait for one another */
#define ROOM_MIN        64 /* blocks: a server at max_memory has not much room for what nobody counted on */

void stock_init(struct stock *stock, struct slab *slab, unsigned arena) {
    *stock = (struct stock){.slab = slab, .arena = arena};
}

/* Neighbouring sizes have lanes of their own: most sessions of one program are about as long. */
static struct stock_lane *lane_of(struct stock *stock, size_t bytes) {
    return &stock->lanes[bytes / 8 % STOCK_LANES];
}

static void bytes_count(struct stock *stock, int64_t bytes) {
    counter_add(&stock->bytes, (uint64_t)bytes);
}

/* Whoever takes a block writes all of it. */
static void block_prefetch(const char *block, size_t bytes) {
    if (bytes > STOCK_AHEAD_MAX) bytes = STOCK_AHEAD_MAX;
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(block + at, 1);
    __builtin_prefetch(block + bytes - 1, 1);
}

static void lane_begin(struct stock *stock, struct stock_lane *lane, size_t bytes) {
    lane->bytes = (uint32_t)bytes;
    stock->active |= 1u << (lane - stock->lanes);
}

/* Sees to it that one more has room. */
static bool lane_grow(struct stock *stock, struct stock_lane *lane) {
    uint32_t room = lane->room ? 2 * lane->room : ROOM_MIN;
    void **blocks = realloc(lane->blocks, room * sizeof *blocks);
    if (!blocks) return false;
    counter_add(&stock->array_bytes, (room - lane->room) * sizeof *blocks);
    lane->blocks = blocks;
    lane->room = room;
    return true;
}

void *stock_take(struct stock *stock, size_t size) {
    size_t bytes = slab_size(size);
    if (bytes > SLAB_BLOCK_MAX) return slab_alloc(stock->slab, stock->arena, size);
    struct stock_lane *lane = lane_of(stock, bytes);
    if (lane->bytes == 0) lane_begin(stock, lane, bytes);
    if (lane->bytes != bytes) return slab_alloc(stock->slab, stock->arena, size);
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
    bool is_wanted = lane->bytes == bytes && lane->count < lane->limit;
    if (!is_wanted || (lane->count == lane->room && !lane_grow(stock, lane))) {
        slab_free(stock->slab, block, size);
        return;
    }
    lane->blocks[lane->count++] = block;
    lane->has_got = true;
    bytes_count(stock, (int64_t)bytes);
    SLAB_POISON(block, bytes);
}

static uint32_t limit_of(const struct stock_lane *lane) {
    uint32_t fallen = lane->limit - (lane->limit + LIMIT_FALL_PART - 1) / LIMIT_FALL_PART;
    uint32_t most =
        STOCK_LANE_BYTES_MAX / lane->bytes < STOCK_LANE_MAX ? STOCK_LANE_BYTES_MAX / lane->bytes : STOCK_LANE_MAX;
    uint32_t wanted = lane->taken < most / LIMIT_TURNS ? lane->taken * LIMIT_TURNS : most;
    return wanted > fallen ? wanted : fallen;
}

static void lane_shrink(struct stock *stock, struct stock_lane *lane) {
    while (lane->count > lane->limit) {
        void *block = lane->blocks[--lane->count];
        bytes_count(stock, -(int64_t)lane->bytes);
        SLAB_UNPOISON(block, lane->bytes);
        slab_free(stock->slab, block, lane->bytes);
    }
}

/* While nothing comes back, what the turns take is added up: so much is under way, and wanted again. */
static void lane_end_turn(struct stock_lane *lane) {
    bool is_waiting = !lane->has_got && lane->taken != lane->taken_before;
    lane->limit = limit_of(lane);
    if (!is_waiting) lane->taken = 0;
    lane->taken_before = lane->taken;
    lane->has_got = false;
}

static void lane_end(struct stock *stock, struct stock_lane *lane) {
    counter_add(&stock->array_bytes, -(lane->room * sizeof *lane->blocks));
    free(lane->blocks);
    *lane = (struct stock_lane){0};
    stock->active &= ~(1u << (lane - stock->lanes));
}

void stock_settle(struct stock *stock) {
    for (uint32_t left = stock->active; left; left &= left - 1) {
        struct stock_lane *lane = &stock->lanes[__builtin_ctz(left)];
        lane_end_turn(lane);
        lane_shrink(stock, lane);
        if (lane->limit == 0) lane_end(stock, lane);
    }
}

void stock_fini(struct stock *stock) {
    for (unsigned i = 0; i < STOCK_LANES; i++) {
        stock->lanes[i].limit = 0;
        lane_shrink(stock, &stock->lanes[i]);
        lane_end(stock, &stock->lanes[i]);
    }
}
