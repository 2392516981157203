/* Latencies, counted in buckets that keep three significant digits: exact below 2,048 ns, within 1/1,024 above, up to
 * 137 seconds (longer ones count as that, and `max_ns` still tells the truth). The layout is the one made known by
 * HdrHistogram: each power of two is cut into 1,024 equal steps, so that recording is a shift and an increment.
 * One thread writes a histogram; others read it after that thread was joined. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_STEPS = 1024, HISTOGRAM_STEPS_LOG2 = 10, HISTOGRAM_VALUE_BITS = 37 };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEPS_LOG2 + 1) * HISTOGRAM_STEPS };

struct histogram {
    uint64_t total;                /* values recorded */
    uint64_t min_ns, max_ns;       /* 0 where there is none */
    double sum_ns, sum_of_squares; /* for mean and deviation */
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* The bucket of a value, and the smallest and largest value that share a bucket. */
unsigned histogram_bucket(uint64_t value_ns);
uint64_t histogram_bucket_low_ns(unsigned bucket);
uint64_t histogram_bucket_high_ns(unsigned bucket);

void histogram_init(struct histogram *histogram); /* empty */
void histogram_record(struct histogram *histogram, uint64_t value_ns);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that `percentile` (0 to 100) of the recorded values do not exceed, to the bucket's precision; 0 if empty.
 */
uint64_t histogram_percentile_ns(const struct histogram *histogram, double percentile);
double histogram_mean_ns(const struct histogram *histogram);
double histogram_deviation_ns(const struct histogram *histogram);

/* Walks the percentiles towards 100 in steps that halve with the distance, as HdrHistogram's percentile output does:
 * `visit` gets each value with its percentile and how many values are at or below it. The last one is the maximum. */
typedef void (*histogram_visit)(void *context, uint64_t value_ns, double percentile, uint64_t count);
void histogram_walk(const struct histogram *histogram, unsigned ticks_per_half, histogram_visit visit, void *context);

/* Writes the percentile distribution in HdrHistogram's text format, values in microseconds. */
void histogram_write_hgrm(const struct histogram *histogram, FILE *out);

#endif
