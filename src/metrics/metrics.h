/* Counting what happens, without one loop waiting for another.
 *
 * Each loop owns one struct metrics and alone writes it; anybody may sum them at any time. So an addition is a plain
 * load and store (relaxed: a sum that is a moment old is as good as any), never a locked instruction. metrics.def is
 * the one list; enum, names and help derive from it. */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "sessiond/protocol.h"

#include <stdatomic.h>

enum metric {
#define METRIC(suffix, name, kind, help) METRIC_##suffix,
#include "metrics/metrics.def"
#undef METRIC
    METRIC_COUNT
};

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_WORST };

struct metric_info {
    const char *name;
    enum metric_kind kind;
    const char *help; /* one clause, for people */
};
extern const struct metric_info metric_infos[METRIC_COUNT];

struct metrics {
    _Atomic uint64_t values[METRIC_COUNT];
    _Atomic uint64_t requests[OP_COUNT]; /* by operation */
    _Atomic uint64_t errors[ERROR_END];  /* by code */
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

/* On the owning loop's thread only. A gauge falls by adding the complement: metric_add(m, METRIC_PENDING, -1). */
static inline void metric_add(struct metrics *metrics, enum metric metric, uint64_t more) {
    counter_add(&metrics->values[metric], more);
}

/* A WORST becomes `value` where that is greater. On the owning loop's thread only. */
static inline void metric_raise(struct metrics *metrics, enum metric metric, uint64_t value) {
    if (value > atomic_load_explicit(&metrics->values[metric], memory_order_relaxed))
        atomic_store_explicit(&metrics->values[metric], value, memory_order_relaxed);
}

/* Plain figures, as a sum is. */
struct metric_sums {
    uint64_t values[METRIC_COUNT];
    uint64_t requests[OP_COUNT];
    uint64_t errors[ERROR_END];
};

/* Adds what `metrics` holds to `sums`, which start at zero; of a WORST they hold the greatest. Any thread. */
void metrics_sum(const struct metrics *metrics, struct metric_sums *sums);

#endif
