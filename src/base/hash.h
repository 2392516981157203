/* The keyed 64-bit hash of ids and names: XXH3 with a secret of our own.
 *
 * The key is drawn once from the environment's random source and never leaves the process and its own files, so that
 * nobody outside can choose ids that meet in one bucket. Not for anything that is sent out: it is no cryptographic MAC.
 * Beside it stands the checksum of files, which has no key. A key is constant after hash_key_init; any thread may hash
 * with it. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "sessiond/bytes.h"
#include "sessiond/env.h"

#define HASH_SECRET_BYTES 192

struct hash_key {
    uint8_t secret[HASH_SECRET_BYTES];
};

/* Draws a key from env->random. */
void hash_key_init(struct hash_key *key, const struct env *env);

/* The hash of the bytes; an absent run hashes like an empty one. */
uint64_t hash_bytes(const struct hash_key *key, struct bytes bytes);

/* A checksum of the bytes for files: XXH3 with a seed and no key, the same on every machine and in every release. It
 * tells accidents, not forgers. */
uint64_t hash_checksum(uint64_t seed, struct bytes bytes);

/* A bijection that spreads a number over all 64 bits. For combining hashes: hash_mix(a) ^ b, or hash_mix(a + constant).
 */
static inline uint64_t hash_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
