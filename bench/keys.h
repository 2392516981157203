/* Which session comes next, and what it is called. Everything follows from a seed: the same seed names the same
 * sessions in every run, so that one process may load them and another one measure.
 *
 * A session is an index; its id is made from seed and index, 43 characters of base64url as sessiond's own ids look.
 * A key_stream belongs to one thread. */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum { KEY_ID_BYTES = 43 };

enum key_distribution { KEYS_UNIFORM, KEYS_ZIPF, KEYS_LATEST };

struct random {
    uint64_t state;
};

uint64_t random_next(struct random *random);                  /* 64 bits of splitmix64 */
uint64_t random_below(struct random *random, uint64_t bound); /* 0 to bound - 1; bound is not 0 */
double random_unit(struct random *random);                    /* 0 <= x < 1 */

/* Writes the id of session `index` of the run with that seed. */
void key_id(uint64_t seed, uint64_t index, uint8_t id[KEY_ID_BYTES]);

struct zipf {
    double item_count, theta, alpha, zeta_n, eta, second_limit;
};

/* Prepares draws of ranks below item_count (at least 2) with the exponent theta (0 < theta < 1); `zeta_n` is the sum
 * of 1/i^theta up to item_count where the caller knows it, or 0 to have it computed. */
void zipf_init(struct zipf *zipf, uint64_t item_count, double theta, double zeta_n);
uint64_t zipf_rank(const struct zipf *zipf, double unit); /* the rank, 0 is the most frequent, for a draw of 0 to 1 */
uint64_t key_scramble(uint64_t rank);                     /* 64-bit FNV-1a of the rank's bytes, sign bit cleared */

struct key_stream {
    enum key_distribution distribution;
    uint64_t count; /* indexes answered are below this; for KEYS_LATEST, distances */
    struct random random;
    uint32_t *drawn; /* draws made ahead, since a draw costs a pow(); NULL for uniform */
    uint32_t position;
};

/* Makes the draws ahead (4 MiB); false where memory is lacking. `count` is 1 to 2^32 - 1. */
bool key_stream_init(struct key_stream *stream, enum key_distribution distribution, uint64_t count, uint64_t seed);
void key_stream_fini(struct key_stream *stream);

enum { KEY_DRAWS = 1 << 20 };

/* The next index (zipf, uniform), or how far back from the newest to look (latest). */
static inline uint64_t key_stream_next(struct key_stream *stream) {
    if (!stream->drawn) return random_below(&stream->random, stream->count);
    return stream->drawn[stream->position++ & (KEY_DRAWS - 1)];
}

#endif
