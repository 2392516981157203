/* The table of metrics and their sums. Nothing here changes a counter; any thread may call. */
#include "metrics/metrics.h"

const struct metric_info metric_infos[METRIC_COUNT] = {
#define METRIC(suffix, name, kind, help) [METRIC_##suffix] = {#name, METRIC_KIND_##kind, help},
#include "metrics/metrics.def"
#undef METRIC
};

static void sum(const _Atomic uint64_t *from, uint64_t *into, size_t count) {
    for (size_t i = 0; i < count; i++) into[i] += atomic_load_explicit(&from[i], memory_order_relaxed);
}

void metrics_sum(const struct metrics *metrics, struct metric_sums *sums) {
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        uint64_t value = atomic_load_explicit(&metrics->values[i], memory_order_relaxed);
        if (metric_infos[i].kind != METRIC_KIND_WORST)
            sums->values[i] += value;
        else if (sums->values[i] < value)
            sums->values[i] = value;
    }
    sum(metrics->requests, sums->requests, OP_COUNT);
    sum(metrics->errors, sums->errors, ERROR_END);
}
