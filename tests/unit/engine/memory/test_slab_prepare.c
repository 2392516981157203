/* What the slab allocator has done for it beforehand and afterwards, by whoever calls slab_prepare. */
#define _GNU_SOURCE
#include "engine/memory/slab_chunk.h"
#include "sessiond/env.h"
#include "unit/engine/memory/huge_pages.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK = 4096, FEW = 3000, MANY = 10000, BLOCKS_MAX = 20000 }; /* blocks of 4 KiB: of 6 chunks, and of 20 */

static struct slab slab;
static unsigned asked;
static void *blocks[BLOCKS_MAX];
static int block_count;

static void count_asking(void *context) {
    (void)context;
    asked++;
}
static const struct env env = {.prepare = count_asking};

static void setup(void) {
    slab_init(&slab);
    slab_prepare_by(&slab, &env);
}
static void teardown(void) {
    slab_check(&slab);
    slab_fini(&slab);
}
TestSuite(slab_prepare, .init = setup, .fini = teardown);

static void grow_to(int count) {
    for (; block_count < count; block_count++) cr_assert_not_null(blocks[block_count] = slab_alloc(&slab, 0, BLOCK));
}

static void shrink_to(int count) {
    while (block_count > count) slab_free(&slab, blocks[--block_count], BLOCK);
}

static uint64_t mapped_bytes(void) {
    return slab_stats_get(&slab).bytes_mapped;
}

/* How many of the chunk's pages of 4 KiB have memory behind them. */
static int resident_pages(struct slab_chunk *chunk) {
    unsigned char is_there[SLAB_CHUNK_BYTES / 4096];
    int count = 0;
    cr_assert_eq(mincore(chunk, SLAB_CHUNK_BYTES, is_there), 0);
    for (size_t i = 0; i < sizeof is_there; i++) count += is_there[i] & 1;
    return count;
}

Test(slab_prepare, asks_nobody_before_somebody_has_prepared_for_the_first_time) {
    grow_to(MANY);
    cr_assert_null(slab.spare);
    shrink_to(0);
    cr_assert_eq(asked, 0);
}

Test(slab_prepare, has_nothing_ready_for_a_small_server) {
    slab_prepare(&slab, 0);
    grow_to(FEW);
    cr_assert_eq(asked, 0);
    cr_assert_eq(slab_prepare(&slab, 0), INT64_MAX);
    cr_assert_null(slab.spare);
}

Test(slab_prepare, has_a_chunk_with_memory_behind_it_before_it_is_needed) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    cr_assert_eq(asked, 1, "asked once until somebody came: %u", asked);
    uint64_t before = mapped_bytes();
    slab_prepare(&slab, 0);
    cr_assert_not_null(slab.spare);
    cr_assert_eq(mapped_bytes(), before + SLAB_CHUNK_BYTES, "what is kept ready is told");
    cr_assert_eq(resident_pages(slab.spare), SLAB_CHUNK_BYTES / 4096);
    struct slab_chunk *spare = slab.spare;
    while (slab_chunk_of(blocks[block_count - 1]) != spare) {
        cr_assert_lt(block_count, MANY + 2 * 512, "the spare chunk is the next to be used");
        grow_to(block_count + 1);
    }
    cr_assert_null(slab.spare);
    cr_assert_eq(asked, 2);
    slab_prepare(&slab, 0);
    cr_assert_not_null(slab.spare, "there is one ready again");
    slab_check(&slab);
}

Test(slab_prepare, has_none_ready_where_a_chunk_of_pages_is_free_anyway) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    shrink_to(MANY - 2000);
    slab_prepare(&slab, 0);
    cr_assert_null(slab.spare);
    grow_to(MANY - 1500);
    slab_prepare(&slab, 0);
    cr_assert_null(slab.spare);
}

Test(slab_prepare, gives_the_spare_chunk_up_when_the_server_has_become_small) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    slab_prepare(&slab, 0);
    asked = 0;
    shrink_to(100);
    cr_assert_eq(asked, 1);
    uint64_t before = mapped_bytes();
    slab_prepare(&slab, 0);
    cr_assert_null(slab.spare);
    cr_assert_eq(mapped_bytes(), before - SLAB_CHUNK_BYTES);
}

Test(slab_prepare, gives_the_spare_chunk_up_that_was_not_needed_for_two_seconds) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    uint64_t before = mapped_bytes();
    cr_assert_eq(slab_prepare(&slab, 100000), 102000);
    cr_assert_eq(slab_prepare(&slab, 101999), 102000);
    cr_assert_not_null(slab.spare);
    cr_assert_eq(slab_prepare(&slab, 102000), INT64_MAX);
    cr_assert_null(slab.spare);
    cr_assert_eq(mapped_bytes(), before);
    grow_to(block_count + 16); /* a page: none is made for each */
    slab_prepare(&slab, 103000);
    cr_assert_null(slab.spare);
    while (slab.free_pages >= 4) grow_to(block_count + 1);
    slab_prepare(&slab, 104000);
    cr_assert_not_null(slab.spare, "before the last page has gone there is one again");
    while (slab.spare) grow_to(block_count + 1);
    slab_prepare(&slab, 105000);
    cr_assert_not_null(slab.spare, "it was needed, so the next one is ready at once");
}

Test(slab_prepare, keeps_pages_for_a_load_that_breathes_beside_a_chunk_that_was_made_ready) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    slab_prepare(&slab, 0);
    grow_to(MANY + 600); /* into the chunk that was ready, most of which nobody has had yet */
    uint64_t mapped = mapped_bytes();
    for (int round = 0; round < 5; round++) {
        shrink_to(MANY + 600 - 200);
        cr_assert_eq(mapped_bytes(), mapped, "nothing was given back in round %d", round);
        grow_to(MANY + 600);
    }
}

/* Small pages come one after the other; the system exchanges them for a huge one behind everybody's back. */
Test(slab_prepare, takes_small_pages_where_none_is_ready_which_ask_for_huge_ones_once_they_are_full) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    slab_prepare(&slab, 0);
    if (huge_pages_wanted(slab.spare) <= 0) cr_skip_test("this system has no huge pages to ask for");
    grow_to(MANY + 1024 + 200); /* past the spare one, into one that nobody has prepared */
    struct slab_chunk *late = slab_chunk_of(blocks[block_count - 1]);
    cr_assert_null(slab.spare);
    cr_assert_eq(huge_pages_wanted(late), 0);
    cr_assert_lt(resident_pages(late), 400, "the rest of it comes when it is needed");
    grow_to(MANY + 1024 + 800);
    cr_assert_eq(late->free, 0);
    cr_assert_eq(huge_pages_wanted(late), 0, "the loop does not ask by itself");
    slab_prepare(&slab, 0);
    cr_assert_eq(huge_pages_wanted(late), 1);
    slab_check(&slab);
}

Test(slab_prepare, asks_for_no_huge_page_under_what_has_holes_by_then) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    slab_prepare(&slab, 0);
    if (huge_pages_wanted(slab.spare) <= 0) cr_skip_test("this system has no huge pages to ask for");
    grow_to(MANY + 1024 + 800);
    struct slab_chunk *late = slab_chunk_of(blocks[MANY + 1024 + 200]);
    cr_assert(late->is_coarse);
    for (int i = 0; i < block_count; i++)
        if (i % 500) slab_free(&slab, blocks[i], BLOCK);
    slab_prepare(&slab, 0);
    cr_assert_eq(huge_pages_wanted(blocks[MANY + 1000]), 0);
    cr_assert_eq(huge_pages_wanted(blocks[MANY + 1500]), 0);
}

/* ---- what goes back to the system */

enum { SURPLUS_AFTER_MS = 100, CHUNKS_A_SLICE = 4 };

/* Calls until nothing is left to do; answers how many calls that took. */
static int prepare_through(int64_t now_ms) {
    int calls = 0;
    while (now_ms != INT64_MAX) {
        cr_assert_lt(calls++, 1000);
        now_ms = slab_prepare(&slab, now_ms);
    }
    return calls;
}

Test(slab_prepare, has_whole_chunks_given_back_a_few_at_a_time_once_nobody_has_wanted_them_for_a_while) {
    slab_prepare(&slab, 0);
    grow_to(BLOCKS_MAX);
    prepare_through(0);
    uint64_t full = mapped_bytes(), slice = CHUNKS_A_SLICE * SLAB_CHUNK_BYTES;
    asked = 0;
    shrink_to(100);
    cr_assert_eq(asked, 1, "asked once for all of it: %u", asked);
    cr_assert_eq(mapped_bytes(), full, "whoever frees does not wait for the system");
    cr_assert_eq(slab_prepare(&slab, 5000), 5000 + SURPLUS_AFTER_MS);
    cr_assert_eq(mapped_bytes(), full);
    cr_assert_eq(slab_prepare(&slab, 5099), 5100, "it is not put off by being called meanwhile");
    cr_assert_eq(slab_prepare(&slab, 5100), 5101);
    cr_assert_eq(mapped_bytes(), full - slice);
    slab_check(&slab);
    cr_assert_geq(prepare_through(5101), (int)(full / slice) - 2);
    cr_assert_lt(mapped_bytes(), 2 * SLAB_CHUNK_BYTES + SLAB_CHUNK_BYTES);
}

Test(slab_prepare, has_chunks_kept_that_are_wanted_again_within_that_while) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    prepare_through(0);
    uint64_t full = mapped_bytes();
    struct slab_chunk *chunk = slab_chunk_of(blocks[MANY / 2]);
    shrink_to(100);
    int resident = resident_pages(chunk);
    slab_prepare(&slab, 5000);
    grow_to(MANY);
    cr_assert_eq(mapped_bytes(), full);
    cr_assert_gt(resident, 400);
    cr_assert_eq(resident_pages(chunk), resident);
    slab_check(&slab);
    cr_assert_eq(slab_prepare(&slab, 5100), INT64_MAX, "there is nothing left to give back");
    cr_assert_eq(mapped_bytes(), full);
}

/* Every chunk keeps a page or two, so none can be unmapped. */
Test(slab_prepare, has_the_free_pages_of_chunks_given_back_that_are_in_use_for_the_rest) {
    slab_prepare(&slab, 0);
    grow_to(MANY);
    prepare_through(0);
    uint64_t full = mapped_bytes();
    for (int i = 0; i < block_count; i++)
        if (i % 500) slab_free(&slab, blocks[i], BLOCK);
    cr_assert_eq(mapped_bytes(), full);
    cr_assert_eq(slab_prepare(&slab, 5000), 5100);
    prepare_through(5100);
    slab_check(&slab);
    cr_assert_lt(mapped_bytes(), full / 4);
    int resident = 0;
    for (struct slab_chunk *chunk = slab.chunks; chunk; chunk = chunk->next) resident += resident_pages(chunk);
    cr_assert_lt((uint64_t)resident * 4096, full / 4, "the system has it: %d pages", resident);
    for (int i = 0; i < block_count; i += 500) memset(blocks[i], 1, BLOCK);
}

/* ---- what malloc has */

enum { LARGE = 20000, LARGE_COUNT = 1000 };

static long resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    cr_assert(file && fscanf(file, "%*s %ld", &pages) == 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void large_grow(void) {
    for (int i = 0; i < LARGE_COUNT; i++) memset(blocks[i] = slab_alloc(&slab, 0, LARGE), 1, LARGE);
}

static void large_shrink(int from) {
    for (int i = from; i < LARGE_COUNT; i++) slab_free(&slab, blocks[i], LARGE);
}

Test(slab_prepare, has_malloc_give_back_what_nobody_wants_again_within_a_quarter_of_a_second) {
    slab_prepare(&slab, 5000);
    large_grow();
    void *volatile top = malloc(LARGE); /* on top of all, so that nothing goes back by itself */
    long full = resident_bytes();
    large_shrink(0);
    cr_assert_eq(asked, 1);
    cr_assert_eq(slab_prepare(&slab, 6000), 6250);
    cr_assert_eq(slab_prepare(&slab, 6249), 6250, "it is not put off by being called meanwhile");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which have an allocator of their own */
    long held = resident_bytes();
    cr_assert_gt(held, full - LARGE_COUNT * LARGE / 2, "malloc gave it back by itself: %ld of %ld", held, full);
    cr_assert_eq(slab_prepare(&slab, 6250), INT64_MAX);
    cr_assert_lt(resident_bytes(), full - LARGE_COUNT * LARGE / 2);
#else
    cr_assert_eq(slab_prepare(&slab, 6250), INT64_MAX);
    (void)full;
#endif
    free(top);
}

Test(slab_prepare, has_malloc_keep_what_is_wanted_again) {
    slab_prepare(&slab, 5000);
    large_grow();
    large_shrink(0);
    cr_assert_eq(slab_prepare(&slab, 6000), 6250);
    large_grow();
    long full = resident_bytes();
    cr_assert_eq(slab_prepare(&slab, 6250), INT64_MAX);
    cr_assert_gt(resident_bytes(), full - LARGE_COUNT * LARGE / 2);
    cr_assert_eq(asked, 1);
    large_shrink(0);
    cr_assert_eq(asked, 2, "it is looked at again when it is freed again");
}

Test(slab_prepare, asks_nobody_for_a_part_that_is_small) {
    slab_prepare(&slab, 5000);
    large_grow();
    large_shrink(LARGE_COUNT - LARGE_COUNT / 5);
    cr_assert_eq(asked, 0);
    for (int i = 0; i < LARGE_COUNT - LARGE_COUNT / 5; i++) slab_free(&slab, blocks[i], LARGE);
    cr_assert_eq(asked, 1);
}

/* ---- pages that are to run empty */

enum { SMALL = 376, PER_PAGE = 65536 / SMALL };

static void *small_take(void) {
    return slab_alloc(&slab, 0, SMALL);
}

static bool are_in_one_page(const void *a, const void *b) {
    return ((uintptr_t)a ^ (uintptr_t)b) < SLAB_PAGE_BYTES;
}

/* A page that was full and has one block left, behind the first one of the chunk. */
static void *thin_page_make(void) {
    while (block_count < 3 * PER_PAGE) blocks[block_count++] = small_take();
    void *kept = blocks[2 * PER_PAGE];
    for (int i = 0; i < block_count; i++)
        if (blocks[i] != kept && are_in_one_page(blocks[i], kept)) slab_free(&slab, blocks[i], SMALL);
    return kept;
}

Test(slab_prepare, takes_no_block_from_a_page_that_is_to_run_empty) {
    void *kept = thin_page_make();
    cr_assert_eq(slab.thin_pages, 1);
    slab_leaving_begin(&slab, kept, false);
    cr_assert(slab_is_leaving(kept));
    slab_check(&slab);
    for (int i = 0; i < 2 * PER_PAGE; i++) cr_assert(!are_in_one_page(small_take(), kept));
    slab_leaving_end(&slab);
    cr_assert(!slab_is_leaving(kept));
    cr_assert(are_in_one_page(small_take(), kept), "it is in use again");
}

Test(slab_prepare, has_a_page_that_ran_empty_for_any_size) {
    void *kept = thin_page_make();
    slab_leaving_begin(&slab, kept, false);
    slab_free(&slab, kept, SMALL);
    cr_assert_eq(slab.thin_pages, 0);
    slab_check(&slab);
    cr_assert(are_in_one_page(slab_alloc(&slab, 0, 1000), kept));
    slab_leaving_end(&slab);
}

Test(slab_prepare, leaves_a_page_in_use_that_is_not_thin_unless_it_is_told_to) {
    thin_page_make();
    void *full = blocks[0];
    slab_leaving_begin(&slab, full, false);
    cr_assert(!slab_is_leaving(full));
    slab_leaving_begin(&slab, full, true);
    cr_assert(slab_is_leaving(full));
    slab_free(&slab, full, SMALL);
    cr_assert(!are_in_one_page(small_take(), full));
    slab_check(&slab);
    slab_leaving_end(&slab);
    slab_check(&slab);
}
