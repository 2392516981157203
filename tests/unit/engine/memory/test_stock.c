#include "engine/memory/stock.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SIZE = 376, COUNT = 100 };

static struct slab slab;
static struct stock stock;
static void *blocks[COUNT];

static void setup(void) {
    slab_init(&slab);
    stock_init(&stock, &slab, 0);
}
static void teardown(void) {
    stock_fini(&stock);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
    slab_check(&slab);
    slab_fini(&slab);
}

static void take(unsigned count, size_t size) {
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = stock_take(&stock, size);
        cr_assert(blocks[i]);
        memset(blocks[i], (int)i, size);
    }
}
static void give(unsigned count, size_t size) {
    for (unsigned i = 0; i < count; i++) stock_give(&stock, blocks[i], size);
}
static uint64_t held_by_others(void) {
    return slab_stats_get(&slab).bytes_used - stock_bytes(&stock);
}

/* A turn in which as many are taken as were given in the one before. */
static void turn(unsigned count, size_t size) {
    take(count, size);
    stock_settle(&stock);
    give(count, size);
}

TestSuite(stock, .init = setup, .fini = teardown);

Test(stock, takes_the_blocks_that_it_was_given_last) {
    turn(COUNT, SIZE);
    cr_assert_eq(stock_bytes(&stock), COUNT * slab_size(SIZE));
    void *last = blocks[COUNT - 1], *before = blocks[COUNT - 2];
    cr_assert_eq(stock_take(&stock, SIZE), last);
    cr_assert_eq(stock_take(&stock, SIZE - 1), before, "another size of the same class");
    cr_assert_eq(stock_bytes(&stock), (COUNT - 2) * slab_size(SIZE));
    stock_give(&stock, last, SIZE);
    stock_give(&stock, before, SIZE - 1);
}

Test(stock, counts_what_lies_in_it_as_free) {
    take(COUNT, SIZE);
    cr_assert_eq(held_by_others(), COUNT * slab_size(SIZE));
    stock_settle(&stock);
    give(COUNT, SIZE);
    cr_assert_eq(held_by_others(), 0);
    cr_assert_gt(stock_bytes(&stock), 0);
}

Test(stock, counts_what_it_takes_for_itself_and_has_nothing_left_of_it_when_it_is_empty) {
    cr_assert_eq(stock_array_bytes(&stock), 0);
    turn(COUNT, SIZE);
    cr_assert_geq(stock_array_bytes(&stock), COUNT * sizeof(void *));
    uint64_t one = stock_array_bytes(&stock);
    turn(COUNT, SIZE + 8);
    cr_assert_gt(stock_array_bytes(&stock), one, "a lane of its own");
    for (unsigned i = 0; i < 2000; i++) stock_settle(&stock);
    cr_assert_eq(stock_array_bytes(&stock), 0);
    turn(COUNT, SIZE);
    stock_fini(&stock);
    cr_assert_eq(stock_array_bytes(&stock), 0);
}

Test(stock, holds_less_with_each_turn_that_takes_none) {
    take(COUNT, SIZE);
    for (unsigned i = 0; i < 40; i++) stock_settle(&stock);
    uint32_t limit = stock.lanes[SIZE / 8 % STOCK_LANES].limit;
    cr_assert(limit > 0 && limit < COUNT, "%u", limit);
    give(COUNT, SIZE);
    cr_assert_eq(stock_bytes(&stock), limit * slab_size(SIZE));
    cr_assert_eq(held_by_others(), 0);
}

Test(stock, holds_all_that_comes_back_once_another_loop_is_no_longer_waited_for) {
    enum { TURNS = 50 };
    static void *waiting[TURNS * COUNT];
    for (unsigned i = 0; i < TURNS; i++) {
        take(COUNT, SIZE);
        memcpy(waiting + i * COUNT, blocks, sizeof blocks);
        stock_settle(&stock);
    }
    for (unsigned i = 0; i < TURNS * COUNT; i++) stock_give(&stock, waiting[i], SIZE);
    cr_assert_eq(stock_bytes(&stock), TURNS * COUNT * slab_size(SIZE));
    for (unsigned i = 0; i < TURNS; i++) { /* the next wait begins: it lives on these */
        uint64_t used = slab_stats_get(&slab).bytes_used;
        take(COUNT, SIZE);
        cr_assert_eq(slab_stats_get(&slab).bytes_used, used, "turn %u asked the slab", i);
        memcpy(waiting + i * COUNT, blocks, sizeof blocks);
        stock_settle(&stock);
    }
    cr_assert_eq(stock_bytes(&stock), 0);
    for (unsigned i = 0; i < TURNS * COUNT; i++) stock_give(&stock, waiting[i], SIZE);
}

Test(stock, holds_no_more_bytes_of_large_blocks_than_of_small_ones) {
    enum { MANY = STOCK_LANE_BYTES_MAX / SLAB_BLOCK_MAX + 50 };
    static void *many[MANY];
    for (unsigned i = 0; i < MANY; i++) many[i] = stock_take(&stock, SLAB_BLOCK_MAX);
    stock_settle(&stock);
    for (unsigned i = 0; i < MANY; i++) stock_give(&stock, many[i], SLAB_BLOCK_MAX);
    cr_assert_eq(stock_bytes(&stock), STOCK_LANE_BYTES_MAX / SLAB_BLOCK_MAX * SLAB_BLOCK_MAX);
    cr_assert_eq(held_by_others(), 0);
}

Test(stock, holds_nothing_of_what_is_only_given) {
    take(COUNT, SIZE);
    for (unsigned i = 0; i < 100; i++) stock_settle(&stock);
    give(COUNT, SIZE);
    cr_assert_eq(stock_bytes(&stock), 0);
    cr_assert_eq(stock.active, 0);
}

Test(stock, gives_all_back_when_none_are_taken_any_more) {
    turn(COUNT, SIZE);
    for (unsigned i = 0; i < 100; i++) stock_settle(&stock);
    cr_assert_eq(stock_bytes(&stock), 0);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
    turn(COUNT, SIZE + 8 * STOCK_LANES); /* another size has the lane now */
    cr_assert_eq(stock_bytes(&stock), COUNT * slab_size(SIZE + 8 * STOCK_LANES));
}

Test(stock, leaves_a_second_size_of_a_lane_to_the_slab) {
    size_t second = SIZE + 8 * STOCK_LANES;
    turn(COUNT, SIZE);
    turn(COUNT, second);
    cr_assert_eq(stock_bytes(&stock) % slab_size(SIZE), 0);
    cr_assert_eq(held_by_others(), 0);
    void *block = stock_take(&stock, second);
    memset(block, 1, second);
    for (unsigned i = 0; i < stock.lanes[SIZE / 8 % STOCK_LANES].count; i++)
        cr_assert_neq(block, stock.lanes[SIZE / 8 % STOCK_LANES].blocks[i]);
    stock_give(&stock, block, second);
}

Test(stock, holds_as_many_of_a_size_as_there_is_room_for) {
    static void *many[STOCK_LANE_MAX + 50];
    for (unsigned i = 0; i < STOCK_LANE_MAX + 50; i++) many[i] = stock_take(&stock, 64);
    stock_settle(&stock);
    for (unsigned i = 0; i < STOCK_LANE_MAX + 50; i++) stock_give(&stock, many[i], 64);
    cr_assert_eq(stock_bytes(&stock), STOCK_LANE_MAX * 64);
    cr_assert_eq(held_by_others(), 0);
}

Test(stock, passes_large_blocks_on) {
    turn(3, SLAB_BLOCK_MAX + 1);
    cr_assert_eq(stock_bytes(&stock), 0);
    turn(3, SLAB_BLOCK_MAX);
    cr_assert_eq(stock_bytes(&stock), 3 * SLAB_BLOCK_MAX);
}
