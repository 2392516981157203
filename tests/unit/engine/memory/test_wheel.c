/* The timing wheel, on a table that has many buckets and one record. */
#include "base/hash.h"
#include "base/prng.h"
#include "engine/memory/wheel.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { BUCKETS = 500, BATCH = 64 };
#define START_MS INT64_C(1700000000000)
#define DAY_MS   INT64_C(86400000)

static struct slab slab;
static struct reclaim reclaim;
static struct wheel wheel;
static struct table table;
static _Atomic uint64_t root;
static _Atomic uint32_t segment_bits;
static uint64_t records[8 * BUCKETS];

static void free_array(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    (void)context, (void)reader, (void)size, (void)kind;
    table_array_free(&slab, pointer);
}

static void setup(void) {
    slab_init(&slab);
    cr_assert(reclaim_init(&reclaim, 1, free_array, NULL));
    wheel_init(&wheel, START_MS, 12345);
    struct table_options options = {
        .root = &root, .wheel = &wheel, .segment_bits = &segment_bits, .slab = &slab, .reclaim = &reclaim};
    table_init(&table, &options);
    for (uint64_t i = 0; table_bucket_count(&table) < BUCKETS; i++)
        cr_assert(table_insert(&table, 0, hash_mix(i + 1), &records[i]));
}

static void teardown(void) {
    table_fini(&table);
    reclaim_fini(&reclaim);
    slab_fini(&slab);
}
TestSuite(wheel, .init = setup, .fini = teardown);

/* Advances once, to the end of the work; answers how many came out and the last one of them. */
static unsigned advance(int64_t now_ms, uint32_t *last) {
    uint32_t buckets[BATCH];
    unsigned count = 0;
    do {
        unsigned taken = wheel_advance(&wheel, &table, now_ms, buckets, BATCH);
        if (taken && last) *last = buckets[taken - 1];
        count += taken;
    } while (wheel_next_due(&wheel) <= now_ms);
    wheel_check(&wheel, &table);
    return count;
}

Test(wheel, of_one_shard_is_smaller_than_1536_bytes) {
    cr_assert_lt(sizeof wheel, 1536);
}

Test(wheel, is_never_due_while_empty) {
    cr_assert_eq(wheel_next_due(&wheel), INT64_MAX);
    cr_assert_eq(advance(START_MS + 400 * DAY_MS, NULL), 0);
    cr_assert_eq(wheel_next_due(&wheel), INT64_MAX);
}

Test(wheel, fires_at_the_exact_millisecond_for_every_distance_up_to_three_levels) {
    for (int64_t distance = 1; distance < 300000; distance += distance < 5000 ? 1 : 997) {
        int64_t now_ms = wheel.at_ms, at_ms = now_ms + distance;
        uint32_t last = UINT32_MAX;
        cr_assert(wheel_arm(&wheel, &table, 42, at_ms));
        cr_assert_eq(wheel_armed_at(&wheel, &table, 42), at_ms);
        cr_assert_eq(advance(at_ms - 1, &last), 0, "distance %ld", (long)distance);
        cr_assert_eq(wheel_armed_at(&wheel, &table, 42), at_ms);
        cr_assert_eq(advance(at_ms, &last), 1, "distance %ld", (long)distance);
        cr_assert_eq(last, 42);
        cr_assert_eq(wheel_armed_at(&wheel, &table, 42), INT64_MAX);
    }
}

Test(wheel, fires_at_the_exact_millisecond_for_hours_and_days) {
    struct prng prng = prng_of(1);
    for (int i = 0; i < 2000; i++) {
        int64_t at_ms = wheel.at_ms + prng_between(&prng, 1, WHEEL_HORIZON_MS);
        wheel_arm(&wheel, &table, 1, at_ms);
        cr_assert_eq(advance(at_ms - 1, NULL), 0);
        cr_assert_eq(advance(at_ms, NULL), 1);
    }
}

Test(wheel, next_due_leads_to_the_timer_in_a_few_steps_and_never_past_it) {
    struct prng prng = prng_of(2);
    for (int i = 0; i < 2000; i++) {
        int64_t at_ms = wheel.at_ms + prng_between(&prng, 1, WHEEL_HORIZON_MS), due_ms = 0;
        wheel_arm(&wheel, &table, 1, at_ms);
        unsigned steps = 0;
        do {
            due_ms = wheel_next_due(&wheel);
            cr_assert(due_ms <= at_ms && due_ms > wheel.at_ms);
            cr_assert_leq(++steps, WHEEL_LEVELS);
        } while (!advance(due_ms, NULL));
        cr_assert_eq(due_ms, at_ms);
    }
}

Test(wheel, keeps_the_earlier_of_two_moments_of_a_bucket) {
    cr_assert(wheel_arm(&wheel, &table, 7, START_MS + 5000));
    cr_assert_not(wheel_arm(&wheel, &table, 7, START_MS + 6000));
    cr_assert_not(wheel_arm(&wheel, &table, 7, START_MS + 5000));
    cr_assert_eq(wheel_armed_at(&wheel, &table, 7), START_MS + 5000);
    cr_assert(wheel_arm(&wheel, &table, 7, START_MS + 70));
    cr_assert_eq(wheel_armed_at(&wheel, &table, 7), START_MS + 70);
    cr_assert_eq(wheel.count, 1);
    cr_assert_eq(advance(START_MS + 70, NULL), 1);
    cr_assert_eq(advance(START_MS + 10000, NULL), 0);
}

Test(wheel, takes_a_moment_before_the_cursor_for_the_cursors) {
    advance(START_MS + 1000, NULL);
    wheel_arm(&wheel, &table, 3, START_MS - 500);
    cr_assert_eq(wheel_next_due(&wheel), START_MS + 1000);
    cr_assert_eq(advance(START_MS + 1000, NULL), 1, "not a millisecond later");
}

Test(wheel, does_nothing_when_told_an_earlier_time) {
    advance(START_MS + 1000, NULL);
    wheel_arm(&wheel, &table, 3, START_MS + 1000);
    uint32_t bucket;
    cr_assert_eq(wheel_advance(&wheel, &table, START_MS + 999, &bucket, 1), 0);
    cr_assert_eq(wheel_armed_at(&wheel, &table, 3), START_MS + 1000);
}

Test(wheel, brings_a_timer_beyond_the_horizon_out_early_and_again_until_it_is_due) {
    int64_t at_ms = START_MS + 100 * DAY_MS;
    unsigned fired = 0;
    wheel_arm(&wheel, &table, 9, at_ms);
    while (wheel.at_ms < at_ms) {
        int64_t due_ms = wheel_next_due(&wheel);
        cr_assert_leq(due_ms, at_ms);
        if (!advance(due_ms, NULL)) continue;
        fired++;
        if (due_ms < at_ms) wheel_arm(&wheel, &table, 9, at_ms);
    }
    cr_assert_eq(fired, 9, "8 horizons of 12 days and the rest");
}

Test(wheel, fires_all_timers_of_one_millisecond_in_that_millisecond) {
    for (uint32_t i = 0; i < BUCKETS; i++) wheel_arm(&wheel, &table, i, START_MS + 3 * DAY_MS);
    cr_assert_eq(wheel.count, BUCKETS);
    cr_assert_eq(advance(START_MS + 3 * DAY_MS - 1, NULL), 0);
    cr_assert_eq(advance(START_MS + 3 * DAY_MS, NULL), BUCKETS);
}

Test(wheel, takes_out_no_more_than_asked_and_says_that_work_is_left) {
    uint32_t buckets[10];
    for (uint32_t i = 0; i < 25; i++) wheel_arm(&wheel, &table, i, START_MS + i);
    int64_t now_ms = START_MS + 100;
    cr_assert_eq(wheel_advance(&wheel, &table, now_ms, buckets, 10), 10);
    for (uint32_t i = 0; i < 10; i++) cr_assert_eq(buckets[i], i, "the earlier first");
    cr_assert_leq(wheel_next_due(&wheel), now_ms);
    cr_assert_eq(wheel_advance(&wheel, &table, now_ms, buckets, 10), 10);
    cr_assert_eq(wheel_advance(&wheel, &table, now_ms, buckets, 10), 5);
    cr_assert_eq(wheel_next_due(&wheel), INT64_MAX);
}

Test(wheel, bounds_the_work_of_moving_down_and_takes_it_up_again) {
    /* A table of its own with more buckets than one call moves. */
    enum { COUNT = 30000 };
    uint64_t *many = calloc(COUNT, sizeof *many);
    for (uint64_t i = 0; i < COUNT; i++) cr_assert(table_insert(&table, 0, hash_mix(i + 99999), &many[i]));
    uint32_t count = table_bucket_count(&table), buckets[BATCH];
    int64_t at_ms = START_MS + 3 * DAY_MS;
    cr_assert_gt(count, 4000);
    for (uint32_t i = 0; i < count; i++) wheel_arm(&wheel, &table, i, at_ms + i % 50);
    unsigned fired = 0, calls = 0;
    for (; fired < count; calls++) {
        cr_assert_leq(wheel_next_due(&wheel), at_ms + 50);
        fired += wheel_advance(&wheel, &table, at_ms + 50, buckets, BATCH);
        cr_assert_leq(calls, count / BATCH + 100);
    }
    cr_assert_gt(calls, count / BATCH + 3, "some calls only moved");
    cr_assert_eq(wheel.count, 0);
    free(many);
}

Test(wheel, lets_one_be_armed_and_another_moved_while_moving_down_is_not_through) {
    enum { COUNT = 30000 };
    uint64_t *many = calloc(COUNT, sizeof *many);
    for (uint64_t i = 0; i < COUNT; i++) cr_assert(table_insert(&table, 0, hash_mix(i + 99999), &many[i]));
    uint32_t count = table_bucket_count(&table), buckets[BATCH];
    int64_t at_ms = START_MS + 3 * DAY_MS;
    for (uint32_t i = 1; i < count; i++) wheel_arm(&wheel, &table, i, at_ms + 20 + i % 5);
    cr_assert_eq(wheel_advance(&wheel, &table, wheel_next_due(&wheel), buckets, BATCH), 0);
    cr_assert_eq(wheel_next_due(&wheel), wheel.at_ms, "it is in the middle of moving");
    wheel_arm(&wheel, &table, 0, at_ms + 60);
    wheel_arm(&wheel, &table, count - 1, at_ms + 2);
    wheel_arm(&wheel, &table, 1, at_ms + 1);
    wheel_check(&wheel, &table);
    uint32_t last = UINT32_MAX;
    cr_assert_eq(advance(at_ms + 1, &last), 1);
    cr_assert_eq(last, 1);
    cr_assert_eq(advance(at_ms + 2, &last), 1);
    cr_assert_eq(last, count - 1);
    cr_assert_eq(advance(at_ms + 59, NULL), count - 3);
    cr_assert_eq(advance(at_ms + 60, &last), 1);
    cr_assert_eq(last, 0);
    free(many);
}

Test(wheel, keeps_its_timers_when_the_table_grows) {
    uint32_t count = table_bucket_count(&table);
    for (uint32_t i = 0; i < count; i++) wheel_arm(&wheel, &table, i, START_MS + 1000 + i * 1000);
    static uint64_t more[20000];
    for (uint64_t i = 0; i < 20000; i++) table_insert(&table, 0, hash_mix(i + 555555), &more[i]);
    uint32_t grown = table_bucket_count(&table);
    cr_assert_gt(grown, 4 * count);
    wheel_check(&wheel, &table);
    /* Each record's bucket is due when its old one was, or earlier. */
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t tag = table_tag(&table, hash_mix(i + 1));
        int64_t old_ms = START_MS + 1000 + table_bucket_of_tag(tag, count) * 1000;
        cr_assert_leq(wheel_armed_at(&wheel, &table, table_bucket_of_tag(tag, grown)), old_ms);
    }
}

Test(wheel, spreads_its_work_by_the_phase) {
    struct wheel other;
    wheel_init(&other, START_MS, 12345 + 777);
    cr_assert_neq((wheel.at_ms + wheel.phase) & 4095, (other.at_ms + other.phase) & 4095);
}

/* The model: an array of moments. */
Test(wheel, fires_like_a_plain_array_over_200000_random_steps_through_many_rounds_of_the_ring) {
    static int64_t model[BUCKETS];
    struct prng prng = prng_of(4);
    uint32_t buckets[BATCH];
    int64_t now_ms = START_MS, end_ms = START_MS + 200 * DAY_MS;
    for (int i = 0; i < BUCKETS; i++) model[i] = INT64_MAX;
    uint64_t fired = 0;
    for (int step = 0; step < 200000; step++) {
        if (prng_happens(&prng, 2, 3)) {
            uint32_t bucket = (uint32_t)prng_below(&prng, BUCKETS);
            int64_t range = INT64_C(1) << prng_below(&prng, 30);
            int64_t at_ms = wheel.at_ms + prng_between(&prng, -5, range);
            int64_t clamped_ms = at_ms < wheel.at_ms ? wheel.at_ms : at_ms;
            cr_assert_eq(wheel_arm(&wheel, &table, bucket, at_ms), clamped_ms < model[bucket]);
            if (clamped_ms < model[bucket]) model[bucket] = clamped_ms;
            cr_assert_eq(wheel_armed_at(&wheel, &table, bucket), model[bucket]);
        } else {
            now_ms += (int64_t)prng_below(&prng, UINT64_C(1) << prng_below(&prng, 26));
            unsigned max = 1 + (unsigned)prng_below(&prng, BATCH);
            unsigned taken = wheel_advance(&wheel, &table, now_ms, buckets, max);
            int64_t before_ms = 0;
            for (unsigned i = 0; i < taken; i++) {
                int64_t *due_ms = &model[buckets[i]];
                cr_assert(*due_ms <= now_ms && *due_ms >= before_ms, "due, and not before an earlier one");
                before_ms = *due_ms;
                *due_ms = INT64_MAX;
            }
            fired += taken;
            int64_t earliest_ms = INT64_MAX;
            for (int i = 0; i < BUCKETS; i++)
                if (model[i] < earliest_ms) earliest_ms = model[i];
            if (taken < max) cr_assert_gt(earliest_ms, now_ms, "nothing that was due stayed");
            cr_assert_leq(wheel_next_due(&wheel), earliest_ms);
        }
        if (step % 1000 == 0) wheel_check(&wheel, &table);
    }
    cr_assert_gt(now_ms, end_ms, "the ring of 25 days came round several times");
    cr_assert_gt(fired, 10000);
}
