/* The slab allocator. */
#include "base/prng.h"
#include "engine/memory/slab.h"
#include "unit/engine/memory/huge_pages.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct slab slab;

static void setup(void) {
    slab_init(&slab);
}
static void teardown(void) {
    slab_fini(&slab);
}
TestSuite(slab, .init = setup, .fini = teardown);

struct block {
    uint8_t *at;
    size_t size;
    uint8_t fill;
};

static struct block block_make(struct prng *prng, size_t size, unsigned arena) {
    struct block block = {slab_alloc(&slab, arena, size), size, (uint8_t)prng_next(prng)};
    cr_assert_not_null(block.at);
    memset(block.at, block.fill, size);
    return block;
}

static void block_drop(struct block *block) {
    for (size_t i = 0; i < block->size; i++)
        cr_assert_eq(block->at[i], block->fill, "byte %zu of a block of %zu was overwritten", i, block->size);
    slab_free(&slab, block->at, block->size);
    block->at = NULL;
}

Test(slab, counts_a_block_of_376_bytes_as_376) {
    cr_assert_eq(slab_size(376), 376);
    cr_assert_eq(slab_size(1), 8);
    cr_assert_eq(slab_size(512), 512);
    cr_assert_eq(slab_size(513), 544);
    cr_assert_eq(slab_size(SLAB_BLOCK_MAX), SLAB_BLOCK_MAX);
    cr_assert_eq(slab_size(SLAB_BLOCK_MAX + 1), SLAB_BLOCK_MAX + 1);
}

Test(slab, never_rounds_a_size_down_nor_up_by_more_than_a_sixteenth) {
    for (size_t size = 1; size <= SLAB_BLOCK_MAX; size++) {
        size_t rounded = slab_size(size);
        cr_assert(rounded >= size && rounded % 8 == 0);
        cr_assert(rounded - size < 8 || rounded - size <= size / 16, "%zu became %zu", size, rounded);
        cr_assert_eq(slab_size(rounded), rounded);
        if (size % 64 == 0) cr_assert_eq(rounded % 64, 0);
    }
}

Test(slab, aligns_a_block_to_8_and_to_64_where_the_size_is_a_multiple_of_64) {
    for (size_t size = 8; size <= 40000; size += 8) {
        void *first = slab_alloc(&slab, 0, size), *second = slab_alloc(&slab, 0, size);
        uintptr_t mask = size % 64 ? 7 : 63;
        cr_assert_eq(((uintptr_t)first | (uintptr_t)second) & mask, 0, "size %zu", size);
        slab_free(&slab, first, size);
        slab_free(&slab, second, size);
    }
    slab_check(&slab);
}

Test(slab, spends_less_than_8_bytes_on_top_of_each_of_100000_blocks_of_376) {
    enum { COUNT = 100000, SIZE = 376 };
    void **blocks = malloc(COUNT * sizeof *blocks);
    for (int i = 0; i < COUNT; i++) blocks[i] = slab_alloc(&slab, 0, SIZE);
    struct slab_stats stats = slab_stats_get(&slab);
    cr_assert_eq(stats.bytes_used, (uint64_t)COUNT * SIZE);
    cr_assert_lt((stats.bytes_mapped - stats.bytes_used) / (double)COUNT, 8.0);
    for (int i = 0; i < COUNT; i++) slab_free(&slab, blocks[i], SIZE);
    free(blocks);
}

Test(slab, gives_almost_all_memory_back_once_every_block_is_freed) {
    enum { COUNT = 200000 };
    void **blocks = malloc(COUNT * sizeof *blocks);
    for (int i = 0; i < COUNT; i++) blocks[i] = slab_alloc(&slab, (unsigned)i, 100);
    uint64_t full = slab_stats_get(&slab).bytes_mapped;
    for (int i = 0; i < COUNT; i++) slab_free(&slab, blocks[i], 100);
    slab_check(&slab);
    struct slab_stats stats = slab_stats_get(&slab);
    cr_assert_eq(stats.bytes_used, 0);
    cr_assert_gt(full, 20000000);
    cr_assert_leq(stats.bytes_mapped, (32 + 16) * 65536, "32 pages free and backed, one kept by each arena");
    free(blocks);
}

Test(slab, does_not_ask_the_system_again_for_a_load_that_breathes) {
    enum { COUNT = 6800 };
    void *blocks[COUNT];
    uint64_t mapped = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < COUNT; i++) blocks[i] = slab_alloc(&slab, 3, 300);
        if (!mapped) mapped = slab_stats_get(&slab).bytes_mapped;
        for (int i = 0; i < COUNT; i++) slab_free(&slab, blocks[i], 300);
        cr_assert_eq(slab_stats_get(&slab).bytes_mapped, mapped);
    }
    cr_assert_eq(slab.chunk_count, 1);
}

Test(slab, counts_blocks_above_4_kib_by_the_byte) {
    void *block = slab_alloc(&slab, 0, 1000001);
    memset(block, 1, 1000001);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 1000001);
    cr_assert_eq(slab_stats_get(&slab).bytes_mapped, 1000001);
    slab_free(&slab, block, 1000001);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
}

Test(slab, answers_null_for_a_size_that_no_memory_holds) {
    cr_assert_null(slab_alloc(&slab, 0, SIZE_MAX));
    cr_assert_null(slab_alloc(&slab, 0, SIZE_MAX / 2));
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
}

Test(slab, takes_null_back_as_nothing) {
    slab_free(&slab, NULL, 100);
}

Test(slab, keeps_every_block_intact_over_100000_random_steps) {
    enum { COUNT = 3000 };
    static struct block blocks[COUNT];
    struct prng prng = prng_of(7);
    uint64_t used = 0;
    for (int step = 0; step < 100000; step++) {
        struct block *block = &blocks[prng_below(&prng, COUNT)];
        if (block->at) {
            used -= slab_size(block->size);
            block_drop(block);
        } else {
            size_t size = 1 + prng_below(&prng, prng_happens(&prng, 1, 50) ? 40000 : 600);
            *block = block_make(&prng, size, (unsigned)prng_below(&prng, 100));
            used += slab_size(size);
        }
        if (step % 5000 == 0) slab_check(&slab);
        cr_assert_eq(slab_stats_get(&slab).bytes_used, used);
    }
    for (int i = 0; i < COUNT; i++)
        if (blocks[i].at) block_drop(&blocks[i]);
    slab_check(&slab);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
}

Test(slab, keeps_what_is_in_use_when_the_pages_around_it_go_back) {
    enum { COUNT = 300000 };
    static struct block blocks[COUNT];
    struct prng prng = prng_of(8);
    for (int i = 0; i < COUNT; i++) blocks[i] = block_make(&prng, 200, 0);
    for (int i = 0; i < COUNT; i++)
        if (i % 10000) block_drop(&blocks[i]);
    slab_check(&slab);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 30 * 200);
    /* One block keeps its page of 64 KiB and no more; beside those, 32 free pages stay backed, and one in the arena. */
    cr_assert_leq(slab_stats_get(&slab).bytes_mapped, (30 + 32 + 1) * 65536);
    for (int i = 0; i < COUNT; i += 10000) block_drop(&blocks[i]);
    slab_check(&slab);
}

/* Else the system fills its holes again, some seconds after they were given back. */
Test(slab, asks_for_huge_pages_under_what_is_full_and_for_none_under_what_has_holes) {
    enum { BLOCK = 4096, BLOCKS = 20000, KEPT_EVERY = 500 }; /* 80 MB; a chunk of 2 MiB holds some 500 */
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) cr_assert_not_null(blocks[i] = slab_alloc(&slab, 0, BLOCK));
    int middle = BLOCKS / 2;
    if (huge_pages_wanted(blocks[middle]) <= 0) cr_skip_test("this system has no huge pages to ask for");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BLOCKS; i++)
            if (i % KEPT_EVERY) slab_free(&slab, blocks[i], BLOCK);
        slab_check(&slab);
        int huge = 0;
        for (int i = BLOCKS / 2; i < BLOCKS; i += KEPT_EVERY) huge += huge_pages_wanted(blocks[i]) == 1;
        cr_assert_leq(huge, 2, "%d in round %d; the few pages that are kept for the next need may lie in two", huge,
                      round);
        for (int i = 0; i < BLOCKS; i++)
            if (i % KEPT_EVERY) cr_assert_not_null(blocks[i] = slab_alloc(&slab, 0, BLOCK));
        cr_assert_eq(huge_pages_wanted(blocks[middle]), 1, "full again in round %d", round);
    }
    for (int i = 0; i < BLOCKS; i++) slab_free(&slab, blocks[i], BLOCK);
}
