/* Nanoseconds per call of the timing wheel, with the timers of ten million sessions in 1,024 shards on one thread.
 *
 *     bench_wheel [sessions]
 *
 * A timer is a bucket, and a bucket holds about five sessions, so the number of timers is a fifth. */
#include "base/hash.h"
#include "base/prng.h"
#include "micro_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 64 };
#define DAY_MS INT64_C(86400000)

static uint64_t timer_count;

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* others may run meanwhile */
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void report(const char *what, double start_ns, double count) {
    printf("%-56s %8.1f ns\n", what, (now_ns() - start_ns) / count);
}

static void open_all(uint64_t session_count) {
    static uint64_t record;
    tables_open();
    for (uint64_t i = 0; i < session_count; i++) {
        uint64_t hash = hash_mix(i + 1);
        if (!table_insert(table_of(hash), 0, hash, &record)) abort();
        if (i % 64 == 0) reclaim_poll(&reclaim, 0);
    }
    for (unsigned i = 0; i < SHARDS; i++) timer_count += table_bucket_count(&tables[i]);
}

/* Arms every bucket `rounds` times, each round a little earlier, in the order in which sessions would come: shard by
 * chance. */
static void bench_arm(int64_t base_ms, int64_t spread_ms, unsigned rounds, const char *what) {
    struct prng prng = prng_of(1);
    uint64_t count = timer_count * rounds;
    double start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        unsigned shard = (unsigned)prng_below(&prng, SHARDS);
        uint32_t bucket = (uint32_t)prng_below(&prng, table_bucket_count(&tables[shard]));
        wheel_arm(&wheels[shard], &tables[shard], bucket, base_ms + prng_between(&prng, 0, spread_ms));
    }
    report(what, start_ns, (double)count);
}

/* The same without arming: what the loop above costs by itself. */
static void bench_loop(void) {
    struct prng prng = prng_of(1);
    uint64_t sum = 0;
    double start_ns = now_ns();
    for (uint64_t i = 0; i < timer_count; i++) {
        unsigned shard = (unsigned)prng_below(&prng, SHARDS);
        sum += prng_below(&prng, table_bucket_count(&tables[shard])) + (uint64_t)prng_between(&prng, 0, 1000);
    }
    report("(of which choosing them)", start_ns, (double)timer_count);
    if (!sum) abort();
}

static void bench_arm_one_shard(void) {
    uint32_t count = table_bucket_count(&tables[0]), armed = 0;
    double start_ns = now_ns();
    for (int64_t round = 50; round > 0; round--)
        for (uint32_t bucket = 0; bucket < count; bucket++)
            armed += wheel_arm(&wheels[0], &tables[0], bucket, wheels[0].at_ms + round * 20000 + bucket % 999);
    report("arm earlier and earlier, one shard", start_ns, 50.0 * count);
    start_ns = now_ns();
    for (unsigned round = 0; round < 50; round++)
        for (uint32_t bucket = 0; bucket < count; bucket++)
            armed += wheel_arm(&wheels[0], &tables[0], bucket, wheels[0].at_ms + DAY_MS);
    report("arm what is armed for earlier, one shard", start_ns, 50.0 * count);
    if (!armed) abort();
}

/* Turns all wheels as the engine does: a shard at a time, when it is due, until all is fired. */
static void bench_advance(int64_t from_ms, int64_t step_ms, const char *what) {
    uint32_t buckets[BATCH];
    uint64_t fired = 0;
    double busy_ns = 0, worst_ns = 0;
    for (int64_t now_ms = from_ms;; now_ms += step_ms) {
        uint64_t left = 0;
        double start_ns = now_ns();
        for (unsigned i = 0; i < SHARDS; i++) {
            while (wheel_next_due(&wheels[i]) <= now_ms)
                fired += wheel_advance(&wheels[i], &tables[i], now_ms, buckets, BATCH);
            left += wheels[i].count;
        }
        double took_ns = now_ns() - start_ns;
        busy_ns += took_ns;
        if (took_ns > worst_ns) worst_ns = took_ns;
        if (!left) break;
    }
    printf("%-56s %8.1f ns\n", what, busy_ns / (double)fired);
    printf("%-56s %8.1f us\n", "  worst tick, all shards together", worst_ns / 1e3);
}

/* The worst single call: one wheel, all its timers on an upper level, moved down. */
static void bench_worst_call(void) {
    uint32_t buckets[BATCH];
    double worst_ns = 0;
    struct wheel *wheel = &wheels[1];
    for (uint32_t i = 0; i < table_bucket_count(&tables[1]); i++)
        wheel_arm(wheel, &tables[1], i, wheel->at_ms + 3 * DAY_MS + i % 100);
    while (wheel->count) {
        double start_ns = now_ns();
        wheel_advance(wheel, &tables[1], wheel_next_due(wheel), buckets, BATCH);
        double took_ns = now_ns() - start_ns;
        if (took_ns > worst_ns) worst_ns = took_ns;
    }
    printf("%-56s %8.1f us\n", "worst single call", worst_ns / 1e3);
}

int main(int argc, char **argv) {
    open_all(argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000);
    printf("%-56s %8llu\n", "timers", (unsigned long long)timer_count);
    bench_arm(60000, 10000, 1, "arm, all shards by chance (cold)");
    bench_loop();
    bench_advance(0, 1, "70 s by the millisecond, per bucket fired");
    bench_arm(3600000, 100, 1, "arm again");
    bench_advance(wheels[0].at_ms, 100, "an hour by 100 ms, then all due within 100 ms");
    bench_arm_one_shard();
    bench_advance(2 * DAY_MS, DAY_MS, "fire the rest");
    bench_worst_call();
    return 0;
}
