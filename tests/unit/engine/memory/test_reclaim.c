/* Reclamation, with many readers in one thread. */
#include "base/prng.h"
#include "engine/memory/reclaim.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { READERS = 5, BLOCKS = 20000 };

static struct reclaim reclaim;
static unsigned freed_count, freed_kind;
static size_t freed_bytes;
static bool is_freed[BLOCKS];
static int retire_again; /* this many more are retired out of `free` */

static char *block_of(unsigned number) {
    return (char *)(uintptr_t)(4096 + number);
}
static unsigned number_of(void *pointer) {
    return (unsigned)((uintptr_t)pointer - 4096);
}

static void free_block(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    cr_assert_eq(context, &reclaim);
    (void)reader;
    cr_assert_not(is_freed[number_of(pointer)], "a block was freed twice");
    is_freed[number_of(pointer)] = true;
    freed_count++;
    freed_bytes += size;
    freed_kind = kind;
    if (retire_again > 0) reclaim_retire(&reclaim, 0, block_of(BLOCKS - (unsigned)retire_again--), 1, 0);
}

static void setup(void) {
    cr_assert(reclaim_init(&reclaim, READERS, free_block, &reclaim));
}
static void teardown(void) {
    for (unsigned i = 0; i < READERS; i++) /* of a test that failed: fini would wait for them for ever */
        if (reclaim_is_inside(&reclaim, i)) reclaim_leave(&reclaim, i);
    reclaim_fini(&reclaim);
}
TestSuite(reclaim, .init = setup, .fini = teardown);

Test(reclaim, frees_at_the_end_of_the_turn_that_retired_where_all_others_sleep) {
    reclaim_enter(&reclaim, 0);
    reclaim_retire(&reclaim, 0, block_of(1), 100, 7);
    cr_assert_eq(reclaim_bytes(&reclaim), 100);
    cr_assert_eq(freed_count, 0);
    reclaim_leave(&reclaim, 0);
    cr_assert_eq(freed_count, 1);
    cr_assert_eq(freed_bytes, 100);
    cr_assert_eq(freed_kind, 7);
    cr_assert_eq(reclaim_bytes(&reclaim), 0);
}

Test(reclaim, waits_for_a_reader_that_was_inside_its_turn) {
    reclaim_enter(&reclaim, 1);
    reclaim_enter(&reclaim, 0);
    reclaim_retire(&reclaim, 0, block_of(1), 100, 0);
    reclaim_leave(&reclaim, 0);
    for (int i = 0; i < 10; i++) reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 0);
    cr_assert(reclaim_is_waiting(&reclaim, 0));
    reclaim_leave(&reclaim, 1);
    cr_assert_eq(freed_count, 0, "only the thread that retired frees");
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 1);
    cr_assert_not(reclaim_is_waiting(&reclaim, 0));
}

Test(reclaim, does_not_wait_for_a_reader_that_entered_after_the_batch_was_closed) {
    reclaim_enter(&reclaim, 1);
    reclaim_enter(&reclaim, 0);
    reclaim_retire(&reclaim, 0, block_of(1), 100, 0);
    reclaim_leave(&reclaim, 0);
    reclaim_enter(&reclaim, 2);
    reclaim_leave(&reclaim, 1);
    reclaim_enter(&reclaim, 1); /* another turn of the same reader counts as through */
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 1);
    reclaim_leave(&reclaim, 1);
    reclaim_leave(&reclaim, 2);
}

Test(reclaim, holds_again_what_is_retired_once_a_turn_was_resumed) {
    reclaim_enter(&reclaim, 1);
    reclaim_leave(&reclaim, 1);
    reclaim_enter(&reclaim, 0);
    reclaim_retire(&reclaim, 0, block_of(1), 100, 0);
    reclaim_resume(&reclaim, 1);
    reclaim_leave(&reclaim, 0);
    cr_assert_eq(freed_count, 0);
    reclaim_leave(&reclaim, 1);
    reclaim_resume(&reclaim, 0);
    cr_assert_eq(freed_count, 0, "who resumes frees nothing");
    reclaim_leave(&reclaim, 0);
    cr_assert_eq(freed_count, 1);
}

static void retire_in_turns(unsigned first, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        reclaim_enter(&reclaim, 0);
        reclaim_retire(&reclaim, 0, block_of(first + i), 1, 0);
        reclaim_leave(&reclaim, 0);
    }
}

Test(reclaim, frees_all_that_was_retired_under_a_turn_when_that_is_over_though_the_next_has_begun) {
    enum { TURNS = 10000 };
    reclaim_enter(&reclaim, 1);
    retire_in_turns(0, TURNS);
    cr_assert_eq(freed_count, 0);
    reclaim_leave(&reclaim, 1);
    reclaim_enter(&reclaim, 1); /* ... and loses its processor once more */
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, TURNS);
    retire_in_turns(TURNS, 1);
    cr_assert_eq(freed_count, TURNS);
    reclaim_leave(&reclaim, 1);
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, TURNS + 1);
}

Test(reclaim, frees_in_the_order_in_which_several_readers_move) {
    for (unsigned reader = 1; reader < READERS; reader++) { /* each batch waits for one reader more */
        reclaim_enter(&reclaim, reader);
        retire_in_turns(10 * reader, 2);
    }
    reclaim_leave(&reclaim, 2);
    reclaim_leave(&reclaim, 4);
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 0, "all of them wait for the first reader");
    reclaim_leave(&reclaim, 1);
    reclaim_poll(&reclaim, 0);
    cr_assert(is_freed[10] && is_freed[11] && is_freed[20] && is_freed[21]);
    cr_assert(!is_freed[30] && !is_freed[31] && !is_freed[40] && !is_freed[41], "these wait for the third");
    reclaim_leave(&reclaim, 3);
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 8);
    cr_assert_not(reclaim_is_waiting(&reclaim, 0));
}

Test(reclaim, keeps_what_its_own_open_turn_may_still_look_at) {
    reclaim_enter(&reclaim, 0);
    reclaim_retire(&reclaim, 0, block_of(1), 100, 0);
    for (int i = 0; i < 10; i++) reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 0);
    reclaim_leave(&reclaim, 0);
    cr_assert_eq(freed_count, 1);
}

Test(reclaim, frees_at_once_for_one_who_retires_outside_any_turn) {
    reclaim_retire(&reclaim, 3, block_of(1), 100, 0);
    cr_assert_eq(freed_count, 0);
    reclaim_poll(&reclaim, 3);
    cr_assert_eq(freed_count, 1);
}

Test(reclaim, frees_ten_thousand_of_one_turn_each_once) {
    reclaim_enter(&reclaim, 0);
    for (unsigned i = 0; i < 10000; i++) reclaim_retire(&reclaim, 0, block_of(i), i, 0);
    cr_assert_eq(reclaim_bytes(&reclaim), 10000 * 9999 / 2);
    reclaim_leave(&reclaim, 0);
    cr_assert_eq(freed_count, 10000);
    cr_assert_eq(reclaim_bytes(&reclaim), 0);
}

Test(reclaim, lets_free_retire_more) {
    retire_again = 600; /* more than one chunk */
    reclaim_retire(&reclaim, 0, block_of(1), 100, 0);
    for (int i = 0; i < 700; i++) reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, 601);
    cr_assert_eq(reclaim_bytes(&reclaim), 0);
}

Test(reclaim, keeps_large_sizes_and_all_kinds_apart) {
    reclaim_retire(&reclaim, 0, block_of(1), (size_t)1 << 40, 255);
    cr_assert_eq(reclaim_bytes(&reclaim), UINT64_C(1) << 40);
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_bytes, (size_t)1 << 40);
    cr_assert_eq(freed_kind, 255);
}

Test(reclaim, frees_what_is_left_at_its_own_end) {
    struct reclaim second;
    cr_assert(reclaim_init(&second, 2, free_block, &reclaim));
    reclaim_retire(&second, 1, block_of(9), 5, 0);
    reclaim_fini(&second);
    cr_assert_eq(freed_count, 1);
}

/* Takes all memory that a limit leaves, down to blocks of 1 KiB. */
static void exhaust_memory(void) {
    struct rlimit limit = {200 << 20, 200 << 20};
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    for (size_t size = 16 << 20; size >= 1024; size /= 2)
        for (void *hog; (hog = malloc(size));) *(void *volatile *)hog = hog; /* or the compiler leaves the malloc out */
}

Test(reclaim, counts_the_notes_that_a_reader_who_sleeps_in_its_turn_costs) {
    uint64_t before = reclaim_note_bytes(&reclaim);
    reclaim_enter(&reclaim, 1);
    for (unsigned i = 0; i < BLOCKS; i++) {
        reclaim_enter(&reclaim, 0);
        reclaim_retire(&reclaim, 0, block_of(i), 1, 0);
        reclaim_leave(&reclaim, 0);
    }
    cr_assert_eq(freed_count, 0);
    cr_assert_geq(reclaim_note_bytes(&reclaim), before + (BLOCKS - 254) * 16);
    reclaim_leave(&reclaim, 1);
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(freed_count, BLOCKS);
    cr_assert_leq(reclaim_note_bytes(&reclaim), before + 8 * 4096, "what lies ready for the next");
}

Test(reclaim, keeps_and_counts_for_ever_what_it_has_no_memory_to_note) {
#if defined(__SANITIZE_ADDRESS__)
    cr_skip_test("AddressSanitizer does not live under a limit of address space");
#endif
    exhaust_memory();
    reclaim_enter(&reclaim, 0);
    for (unsigned i = 0; i < 1000; i++) reclaim_retire(&reclaim, 0, block_of(i), 1, 0);
    reclaim_leave(&reclaim, 0);
    unsigned freed = freed_count;
    uint64_t bytes = reclaim_bytes(&reclaim);
    cr_assert(freed >= 254 && freed < 1000, "a chunk was held ready for this: %u freed", freed);
    cr_assert_eq(bytes, 1000 - freed);
    cr_assert_not(reclaim_is_waiting(&reclaim, 0));
}

/* The model: what a reader may see is what was not retired before its turn began. */
struct model {
    bool is_inside[READERS];
    bool holds[READERS][BLOCKS]; /* that reader's turn began before the block was retired */
    unsigned retired;
};

static void model_retire(struct model *model, unsigned reader) {
    unsigned number = model->retired++;
    for (unsigned i = 0; i < READERS; i++) model->holds[i][number] = model->is_inside[i];
    reclaim_retire(&reclaim, reader, block_of(number), 1, 0);
}

static void model_check(const struct model *model) {
    for (unsigned i = 0; i < READERS; i++)
        for (unsigned number = 0; number < model->retired; number++)
            cr_assert_not(model->holds[i][number] && is_freed[number], "block %u freed under reader %u", number, i);
}

Test(reclaim, never_frees_what_a_turn_may_see_in_30000_random_steps_and_frees_all_in_the_end) {
    static struct model model;
    struct prng prng = prng_of(5);
    for (unsigned step = 0; step < 30000; step++) {
        unsigned reader = (unsigned)prng_below(&prng, READERS);
        if (prng_happens(&prng, 1, 2)) {
            if (model.is_inside[reader]) {
                reclaim_leave(&reclaim, reader);
                memset(model.holds[reader], 0, sizeof model.holds[reader]);
            } else {
                reclaim_enter(&reclaim, reader);
            }
            model.is_inside[reader] = !model.is_inside[reader];
        } else if (model.retired < BLOCKS) {
            model_retire(&model, reader);
        }
        if (step % 97 == 0) model_check(&model);
        cr_assert_eq(reclaim_bytes(&reclaim), model.retired - freed_count);
    }
    cr_assert_gt(freed_count, model.retired / 2, "most are freed on the way, not only at the end");
    for (unsigned i = 0; i < READERS; i++)
        if (model.is_inside[i]) reclaim_leave(&reclaim, i);
    for (unsigned i = 0; i < READERS; i++) reclaim_poll(&reclaim, i);
    cr_assert_eq(freed_count, model.retired);
}
