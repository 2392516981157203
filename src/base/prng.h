/* Pseudo-random numbers from one seed, for tests, simulations and benchmarks: the same seed gives the same run.
 *
 * Never for ids, keys or tokens: those come from env->random. One thread per state. (SplitMix64: a counter through a
 * bijection, so every seed is good, 0 included.) */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline struct prng prng_of(uint64_t seed) {
    return (struct prng){seed};
}

static inline uint64_t prng_next(struct prng *prng) {
    uint64_t x = prng->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* A number from 0 to bound - 1; bound is at least 1. */
static inline uint64_t prng_below(struct prng *prng, uint64_t bound) {
    assert(bound > 0);
    return (uint64_t)(((unsigned __int128)prng_next(prng) * bound) >> 64);
}

/* A number from first to last, both included. */
static inline int64_t prng_between(struct prng *prng, int64_t first, int64_t last) {
    return first + (int64_t)prng_below(prng, (uint64_t)(last - first) + 1);
}

/* True `chances` times in `of`. */
static inline bool prng_happens(struct prng *prng, uint64_t chances, uint64_t of) {
    return prng_below(prng, of) < chances;
}

static inline void prng_fill(struct prng *prng, void *out, size_t size) {
    uint8_t *at = out;
    for (size_t i = 0; i < size; i++) at[i] = (uint8_t)(prng_next(prng) >> 32);
}

#endif
