/* The set of tombstones. */
#include "base/hash.h"
#include "base/prng.h"
#include "engine/memory/tombstone.h"

#include <criterion/criterion.h>

static struct slab slab;
static struct tombstones set;

static void setup(void) {
    slab_init(&slab);
    tombstone_init(&set, &slab, 0);
}
static void teardown(void) {
    tombstone_fini(&set);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0, "the set gave all its memory back");
    slab_fini(&slab);
}
TestSuite(tombstone, .init = setup, .fini = teardown);

static void sweep_all(uint64_t version) {
    while (!tombstone_sweep(&set, version, 100)) continue;
}

Test(tombstone, takes_no_memory_while_empty) {
    cr_assert_eq(tombstone_bytes(&set), 0);
    cr_assert_eq(tombstone_find(&set, 1), 0);
    cr_assert_not(tombstone_remove(&set, 1));
    tombstone_prefetch(&set, 1);
    cr_assert(tombstone_sweep(&set, UINT64_MAX, 1));
}

Test(tombstone, is_found_with_its_version) {
    cr_assert(tombstone_put(&set, 77, 5));
    cr_assert_eq(tombstone_find(&set, 77), 5);
    cr_assert_eq(tombstone_find(&set, 78), 0);
    cr_assert_eq(set.count, 1);
}

Test(tombstone, keeps_the_moment_of_an_end_that_its_version_is_ahead_of) {
    const int64_t moment = VERSION_EPOCH_MS + 123456789;
    uint64_t version = version_of_moment(moment) + 17;
    for (int64_t ahead_ms = 0; ahead_ms < 20; ahead_ms++) {
        uint64_t mark = tombstone_mark(version, moment - ahead_ms);
        cr_assert_eq(tombstone_version(mark), version);
        cr_assert_eq(tombstone_died_at(mark), moment - (ahead_ms < 7 ? ahead_ms : 7), "too late, but never too early");
        cr_assert_lt(mark, tombstone_mark(version + 1, moment));
    }
    cr_assert_eq(tombstone_died_at(tombstone_mark(version, moment + 5)), moment);
}

Test(tombstone, keeps_the_newer_of_two_versions) {
    tombstone_put(&set, 77, 5);
    tombstone_put(&set, 77, 9);
    tombstone_put(&set, 77, 7);
    cr_assert_eq(tombstone_find(&set, 77), 9);
    cr_assert_eq(set.count, 1);
}

Test(tombstone, of_a_hash_of_zero_is_like_any_other) {
    tombstone_put(&set, 0, 3);
    cr_assert_eq(tombstone_find(&set, 0), 3);
    cr_assert(tombstone_remove(&set, 0));
    cr_assert_eq(tombstone_find(&set, 0), 0);
}

Test(tombstone, sweep_removes_what_is_older_and_nothing_else) {
    for (uint64_t i = 1; i <= 1000; i++) tombstone_put(&set, hash_mix(i), i);
    cr_assert_eq(set.oldest, 1);
    sweep_all(501);
    tombstone_check(&set);
    cr_assert_eq(set.count, 500);
    cr_assert_eq(set.oldest, 501);
    for (uint64_t i = 1; i <= 1000; i++) cr_assert_eq(tombstone_find(&set, hash_mix(i)), i > 500 ? i : 0);
}

Test(tombstone, sweep_of_all_gives_the_memory_back) {
    for (uint64_t i = 1; i <= 1000; i++) tombstone_put(&set, hash_mix(i), i);
    cr_assert_geq(tombstone_bytes(&set), 16000);
    cr_assert_eq(tombstone_bytes(&set), slab_stats_get(&slab).bytes_used);
    sweep_all(1001);
    cr_assert_eq(set.count, 0);
    cr_assert_eq(set.oldest, UINT64_MAX);
    cr_assert_eq(tombstone_bytes(&set), 0);
}

Test(tombstone, sweep_of_most_shrinks_the_set) {
    for (uint64_t i = 1; i <= 10000; i++) tombstone_put(&set, hash_mix(i), i);
    size_t before = tombstone_bytes(&set);
    sweep_all(9991);
    cr_assert_eq(set.count, 10);
    cr_assert_lt(tombstone_bytes(&set), before / 100);
    tombstone_check(&set);
}

Test(tombstone, sweep_looks_at_no_more_places_than_its_budget) {
    for (uint64_t i = 1; i <= 1000; i++) tombstone_put(&set, hash_mix(i), i);
    unsigned calls = 1;
    for (; !tombstone_sweep(&set, 501, 10); calls++) continue;
    cr_assert_geq(calls, (set.capacity + 500) / 10);
}

Test(tombstone, costs_less_than_32_bytes_each) {
    for (uint64_t i = 1; i <= 30000; i++) {
        tombstone_put(&set, hash_mix(i), i);
        if (i > 1000)
            cr_assert_lt((double)tombstone_bytes(&set) / (double)i, 32.0, "%zu for %u", tombstone_bytes(&set),
                         set.count);
    }
}

Test(tombstone, goes_on_filling_when_the_set_cannot_grow) {
    for (uint64_t i = 1; i <= 8; i++) tombstone_put(&set, hash_mix(i), i);
    /* A set of the largest size that cannot grow: 2^31 entries are refused before memory is asked for. */
    uint32_t capacity = set.capacity;
    struct tombstone_entry *entries = set.entries;
    set.capacity = UINT32_MAX / 2;
    set.count = (uint32_t)((uint64_t)set.capacity * 80 / 100);
    cr_assert(tombstone_reserve(&set), "there is still room without growing");
    set.count = set.capacity - 1;
    cr_assert_not(tombstone_reserve(&set), "the last empty place is never filled");
    set.entries = entries;
    set.capacity = capacity;
    set.count = 8;
}

static uint64_t hash_of_crowd(uint64_t i) {
    return (i / 20) * 0x05000000 + 0x3fffffff + (i << 40);
}

Test(tombstone, answers_like_a_plain_array_over_200000_random_steps) {
    enum { HASHES = 700 };
    static uint64_t model[HASHES];
    struct prng prng = prng_of(11);
    uint64_t version = 1;
    for (int step = 0; step < 200000; step++) {
        uint64_t i = prng_below(&prng, HASHES);
        /* Hashes that crowd: 40 homes, many of them beside each other and at the end of the set. */
        uint64_t hash = hash_of_crowd(i);
        unsigned action = (unsigned)prng_below(&prng, 100);
        if (action < 55) {
            version++;
            uint64_t at = version - prng_below(&prng, version < 50 ? 1 : 50);
            cr_assert(tombstone_put(&set, hash, at));
            if (at > model[i]) model[i] = at;
        } else if (action < 80) {
            cr_assert_eq(tombstone_remove(&set, hash), model[i] != 0);
            model[i] = 0;
        } else if (action < 81) {
            uint64_t bound = version > 300 ? version - 300 : 0;
            sweep_all(bound);
            for (uint64_t j = 0; set.oldest < bound; j++) { /* one more round after puts or removals in between */
                cr_assert_lt(j, 2);
                sweep_all(bound);
            }
            for (int j = 0; j < HASHES; j++)
                if (model[j] < bound) model[j] = 0;
            tombstone_check(&set);
        } else if (action < 85) { /* part of a round, mixed with everything else: it may remove old ones or not */
            uint64_t bound = version > 400 ? version - 400 : 0;
            tombstone_sweep(&set, bound, 50);
            for (int j = 0; j < HASHES; j++)
                if (model[j] && model[j] < bound && !tombstone_find(&set, hash_of_crowd((uint64_t)j))) model[j] = 0;
        }
        cr_assert_eq(tombstone_find(&set, hash), model[i]);
    }
    uint32_t count = 0;
    for (int i = 0; i < HASHES; i++) {
        cr_assert_eq(tombstone_find(&set, hash_of_crowd((uint64_t)i)), model[i]);
        count += model[i] != 0;
    }
    cr_assert_eq(set.count, count);
    tombstone_check(&set);
}
