/* What the micro benchmarks of engine and core share: where chance comes from, when time begins, and what it costs.
 *
 * Each program includes it once; one thread. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include "base/prng.h"
#include "sessiond/engine.h"

#include <time.h>

#define START INT64_C(1767225600000) /* the engine's clock when it is opened */

static void bench_random(void *context, void *out, size_t size) {
    static struct prng prng = {7};
    (void)context;
    prng_fill(&prng, out, size);
}
static void bench_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}
static const struct env env = {.random = bench_random, .wake = bench_wake};

/* What a rule writes that sets a session's data; the caller adds what else it wants. */
static inline enum outcome draft_set(const struct update_input *input, struct session *draft, struct bytes data,
                                     int64_t idle_timeout_ms) {
    if (!input->old) {
        draft->status = STATUS_ACTIVE;
        draft->created_at = input->now_ms;
        draft->idle_timeout_ms = idle_timeout_ms;
    }
    draft->last_active_at = input->now_ms;
    draft->data = data;
    return OUTCOME_REPLACE;
}

/* The CPU time of the process. */
static inline double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
