#include "histogram.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct histogram histogram;

Test(histogram, keeps_every_value_within_a_thousandth) {
    for (uint64_t value = 1; value < (uint64_t)1 << 37; value += value / 7 + 1) {
        unsigned bucket = histogram_bucket(value);
        uint64_t low = histogram_bucket_low_ns(bucket), high = histogram_bucket_high_ns(bucket);
        cr_assert(low <= value && value <= high, "%lu is not in its bucket %lu to %lu", value, low, high);
        cr_assert(high - low <= value / 1000, "the bucket of %lu is %lu wide", value, high - low + 1);
    }
}

Test(histogram, has_buckets_without_gap_or_overlap) {
    for (unsigned bucket = 1; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t low = histogram_bucket_low_ns(bucket);
        cr_assert_eq(histogram_bucket_high_ns(bucket - 1) + 1, low, "bucket %u", bucket);
        cr_assert_eq(histogram_bucket(low), bucket);
    }
}

Test(histogram, answers_exact_percentiles_of_small_values) {
    histogram_init(&histogram);
    for (uint64_t i = 1; i <= 1000; i++) histogram_record(&histogram, i);
    cr_expect_eq(histogram_percentile_ns(&histogram, 50), 500);
    cr_expect_eq(histogram_percentile_ns(&histogram, 99), 990);
    cr_expect_eq(histogram_percentile_ns(&histogram, 99.9), 999);
    cr_expect_eq(histogram_percentile_ns(&histogram, 99.99), 1000);
    cr_expect_eq(histogram_percentile_ns(&histogram, 100), 1000);
    cr_expect_eq(histogram_percentile_ns(&histogram, 0), 1);
    cr_expect_float_eq(histogram_mean_ns(&histogram), 500.5, 1e-9);
    cr_expect_float_eq(histogram_deviation_ns(&histogram), 288.675, 0.001);
}

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

Test(histogram, agrees_with_sorting) {
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    uint64_t state = 7;
    histogram_init(&histogram);
    for (int i = 0; i < COUNT; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[i] = (state >> 33) % ((uint64_t)1 << (8 + state % 23)) + 1;
        histogram_record(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof *values, by_value);
    for (int i = 1; i <= 1000; i++) {
        uint64_t expected = values[COUNT / 1000 * i - 1], got = histogram_percentile_ns(&histogram, i / 10.0);
        cr_assert(got >= expected && got - expected <= expected / 1000 + 1, "p%.1f is %lu, not %lu", i / 10.0, expected,
                  got);
    }
}

Test(histogram, merges_into_what_one_would_have_been) {
    static struct histogram left, right, both;
    histogram_init(&left), histogram_init(&right), histogram_init(&both);
    for (uint64_t i = 1; i < 5000; i++) {
        histogram_record(i % 3 ? &left : &right, i * i);
        histogram_record(&both, i * i);
    }
    histogram_merge(&left, &right);
    cr_expect_eq(left.total, both.total);
    cr_expect_eq(left.min_ns, both.min_ns);
    cr_expect_eq(left.max_ns, both.max_ns);
    cr_expect_arr_eq(left.counts, both.counts, sizeof left.counts);
}

Test(histogram, tells_the_true_maximum_of_what_is_too_long_for_it) {
    histogram_init(&histogram);
    histogram_record(&histogram, (uint64_t)1 << 40);
    cr_expect_eq(histogram_percentile_ns(&histogram, 50), (uint64_t)1 << 40);
}

struct walked {
    double last_percentile;
    uint64_t last_count, last_value;
    int steps;
};

static void note_step(void *context, uint64_t value_ns, double percentile, uint64_t count) {
    struct walked *walked = context;
    cr_assert(percentile >= walked->last_percentile && count >= walked->last_count && value_ns >= walked->last_value);
    *walked = (struct walked){percentile, count, value_ns, walked->steps + 1};
}

Test(histogram, walks_upwards_and_ends_with_the_maximum) {
    struct walked walked = {0};
    histogram_init(&histogram);
    for (uint64_t i = 1; i <= 100000; i++) histogram_record(&histogram, i * 17);
    histogram_walk(&histogram, 5, note_step, &walked);
    cr_expect_eq(walked.last_value, 1700000);
    cr_expect_eq(walked.last_count, 100000);
    cr_expect_eq(walked.last_percentile, 100.0);
    cr_expect(walked.steps > 50 && walked.steps < 200, "%d steps", walked.steps);
}
