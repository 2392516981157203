/* One run of a plan against one server: connect, warm up, measure, close. Blocks; one caller at a time. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "measure.h"
#include "worker.h"

struct run_result {
    struct tally tally;                       /* of all workers; elapsed_ns is the longest */
    struct histogram *histograms[KIND_COUNT]; /* owned; NULL for kinds that did not occur */
    struct histogram *all;                    /* owned; the kinds together */
    struct histogram *windows;                /* owned; plan.window_count, or NULL */
    bool has_server;                          /* the server's process could be looked at */
    uint64_t server_cpu_ns, server_wait_ns;   /* during the measurement */
    double server_user_share;                 /* of its CPU time, by ticks */
    uint64_t rss_before_bytes, rss_after_bytes;
    struct disturbance disturbance;
    char problem[PROBLEM_BYTES]; /* the first thing that went wrong; empty: nothing */
};

/* Called about four times a second while it runs, with the operations done so far and how long it has run. */
typedef void (*run_progress)(void *context, const char *phase, uint64_t completed, uint64_t elapsed_ns);

struct run_watch {
    run_progress progress; /* may be NULL */
    void *context;
    const char *phase;
    uint64_t every_ns; /* how often progress is called; 0: four times a second */
};

/* Fills the result; false with result->problem if it could not be played to its end. run_result_fini in both cases. */
bool run_plan(const struct target *target, const struct plan *plan, uint64_t warmup_ns, const struct run_watch *watch,
              struct run_result *result);
void run_result_fini(struct run_result *result);

/* Puts sessions [first, first + count) into the server, over few connections. */
bool run_load(const struct target *target, const struct plan *plan, uint64_t first, uint64_t count,
              const struct run_watch *watch, struct run_result *result);

double run_rate(const struct run_result *result);                              /* operations a second */
double run_cpu_per_operation_ns(const struct run_result *result);              /* of the server; 0 where not known */
double run_generator_share(const struct run_result *result, uint32_t threads); /* how busy we were, 0 to 1 */
bool run_is_correct(const struct run_result *result);                          /* no error, no miss, no wrong value */

#endif
