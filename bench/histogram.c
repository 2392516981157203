/* See histogram.h. Nothing here allocates. */
#include "histogram.h"

#include <math.h>
#include <string.h>

enum { LINEAR_LIMIT = 2 * HISTOGRAM_STEPS };
#define VALUE_MAX_NS (((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1)

unsigned histogram_bucket(uint64_t value_ns) {
    if (value_ns > VALUE_MAX_NS) value_ns = VALUE_MAX_NS;
    unsigned shift = (unsigned)(63 - __builtin_clzll(value_ns | (LINEAR_LIMIT - 1))) - HISTOGRAM_STEPS_LOG2;
    return shift * HISTOGRAM_STEPS + (unsigned)(value_ns >> shift);
}

/* The first 2,048 buckets are single values; after that a bucket's number says its shift and its step. */
static unsigned bucket_shift(unsigned bucket) {
    return bucket < LINEAR_LIMIT ? 0 : (bucket >> HISTOGRAM_STEPS_LOG2) - 1;
}

uint64_t histogram_bucket_low_ns(unsigned bucket) {
    unsigned shift = bucket_shift(bucket);
    return (uint64_t)(bucket - shift * HISTOGRAM_STEPS) << shift;
}

uint64_t histogram_bucket_high_ns(unsigned bucket) {
    return histogram_bucket_low_ns(bucket) + ((uint64_t)1 << bucket_shift(bucket)) - 1;
}

void histogram_init(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

void histogram_record(struct histogram *histogram, uint64_t value_ns) {
    histogram->counts[histogram_bucket(value_ns)]++;
    if (histogram->total == 0 || value_ns < histogram->min_ns) histogram->min_ns = value_ns;
    if (value_ns > histogram->max_ns) histogram->max_ns = value_ns;
    histogram->total++;
    histogram->sum_ns += (double)value_ns;
    histogram->sum_of_squares += (double)value_ns * (double)value_ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    if (from->total == 0) return;
    if (into->total == 0 || from->min_ns < into->min_ns) into->min_ns = from->min_ns;
    if (from->max_ns > into->max_ns) into->max_ns = from->max_ns;
    into->total += from->total;
    into->sum_ns += from->sum_ns;
    into->sum_of_squares += from->sum_of_squares;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) into->counts[i] += from->counts[i];
}

/* A bucket stands for its largest value, but never for more than was seen. */
static uint64_t bucket_value_ns(const struct histogram *histogram, unsigned bucket) {
    uint64_t high_ns = histogram_bucket_high_ns(bucket);
    /* The last bucket holds everything that was too long to be told apart. */
    if (bucket == HISTOGRAM_BUCKETS - 1) return histogram->max_ns;
    return high_ns < histogram->max_ns ? high_ns : histogram->max_ns;
}

static uint64_t rank_of(const struct histogram *histogram, double percentile) {
    double exact = percentile / 100.0 * (double)histogram->total;
    /* 99.9 % of 1,000 must be the 999th, though the product is a little above 999 in binary. */
    double rank = ceil(exact - 1e-9 * (double)histogram->total);
    if (rank < 1) return 1;
    return rank > (double)histogram->total ? histogram->total : (uint64_t)rank;
}

uint64_t histogram_percentile_ns(const struct histogram *histogram, double percentile) {
    if (histogram->total == 0) return 0;
    uint64_t rank = rank_of(histogram, percentile), seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= rank) return bucket_value_ns(histogram, i);
    }
    return histogram->max_ns;
}

double histogram_mean_ns(const struct histogram *histogram) {
    return histogram->total ? histogram->sum_ns / (double)histogram->total : 0;
}

double histogram_deviation_ns(const struct histogram *histogram) {
    if (histogram->total == 0) return 0;
    double mean = histogram_mean_ns(histogram);
    double variance = histogram->sum_of_squares / (double)histogram->total - mean * mean;
    return variance > 0 ? sqrt(variance) : 0;
}

/* Where the walk goes next: the distance to 100 is cut into ticks, and the ticks halve whenever the distance has. */
static double next_percentile(double percentile, unsigned ticks_per_half) {
    double halvings = floor(log2(100.0 / (100.0 - percentile))) + 1;
    return percentile + 100.0 / (ticks_per_half * exp2(halvings));
}

void histogram_walk(const struct histogram *histogram, unsigned ticks_per_half, histogram_visit visit, void *context) {
    uint64_t seen = 0;
    double percentile = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && seen < histogram->total; i++) {
        if (histogram->counts[i] == 0) continue;
        seen += histogram->counts[i];
        double reached = 100.0 * (double)seen / (double)histogram->total;
        while (seen < histogram->total && percentile <= reached) {
            visit(context, bucket_value_ns(histogram, i), percentile, seen);
            percentile = next_percentile(percentile, ticks_per_half);
        }
    }
    if (histogram->total) visit(context, histogram->max_ns, 100.0, histogram->total);
}

static void write_hgrm_line(void *context, uint64_t value_ns, double percentile, uint64_t count) {
    FILE *out = context;
    double value_us = (double)value_ns / 1000.0;
    if (percentile < 100.0) {
        fprintf(out, "%12.3f %2.12f %10llu %14.2f\n", value_us, percentile / 100.0, (unsigned long long)count,
                1.0 / (1.0 - percentile / 100.0));
    } else {
        fprintf(out, "%12.3f %2.12f %10llu\n", value_us, 1.0, (unsigned long long)count);
    }
}

void histogram_write_hgrm(const struct histogram *histogram, FILE *out) {
    fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    histogram_walk(histogram, 5, write_hgrm_line, out);
    fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean_ns(histogram) / 1000.0,
            histogram_deviation_ns(histogram) / 1000.0);
    fprintf(out, "#[Max     = %12.3f, Total count    = %12llu]\n", (double)histogram->max_ns / 1000.0,
            (unsigned long long)histogram->total);
    fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HISTOGRAM_VALUE_BITS - HISTOGRAM_STEPS_LOG2,
            LINEAR_LIMIT);
}
