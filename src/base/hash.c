/* The keyed hash; see hash.h. XXH3 is inlined here, so that no other file compiles it or depends on its header. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(HASH_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "XXH3 asks for a longer secret");

void hash_key_init(struct hash_key *key, const struct env *env) {
    env->random(env->context, key->secret, sizeof key->secret);
}

uint64_t hash_bytes(const struct hash_key *key, struct bytes bytes) {
    return XXH3_64bits_withSecret(bytes.data, bytes.size, key->secret, sizeof key->secret);
}

uint64_t hash_checksum(uint64_t seed, struct bytes bytes) {
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}
