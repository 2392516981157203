/* What race programs share: threads that run until told to stop, and a way to fail. Plain mains, since ThreadSanitizer
 * does not work under Criterion. The first argument is how many seconds to run; 2 without one. */
#ifndef RACE_RACE_H
#define RACE_RACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Fails the program with a sentence; no assert, which a release build would drop. */
#define RACE_CHECK(condition, ...)                                                                                     \
    do {                                                                                                               \
        if (condition) break;                                                                                          \
        fprintf(stderr, "%s:%d: " #condition " does not hold: ", __FILE__, __LINE__);                                  \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        abort();                                                                                                       \
    } while (0)

static _Atomic bool race_is_over;

/* Set before a race: whether what it is about has happened often enough. A machine that leaves the threads no time for
 * it gets a minute more. While they run. */
static bool (*race_is_enough)(void);

static inline bool race_goes_on(void) {
    return !atomic_load_explicit(&race_is_over, memory_order_relaxed);
}

/* Runs `run` in `count` threads, each with its number as argument, for the seconds of the command line. */
static inline void race_run(int argc, char **argv, void *(*run)(void *number), unsigned count) {
    pthread_t threads[64];
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    RACE_CHECK(count <= 64, "%u threads", count);
    for (uintptr_t i = 0; i < count; i++)
        RACE_CHECK(pthread_create(&threads[i], NULL, run, (void *)i) == 0, "no thread");
    struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&rest, NULL);
    for (unsigned naps = 0; race_is_enough && !race_is_enough() && naps < 6000; naps++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    atomic_store(&race_is_over, true);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

#endif
