/* See id.h. */
#include "base/id.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { BUCKET_SHIFT = 4, CHANCE_MASK = (1 << BUCKET_SHIFT) - 1, RANDOM_SIZE = 33 };

/* Three bytes as four characters: 24 bits, the highest first. */
static void encode_triple(const uint8_t *bytes, char *out) {
    uint32_t bits = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    for (int i = 3; i >= 0; i--, bits >>= 6) out[i] = alphabet[bits & 63];
}

static void tag_encode(uint32_t tag, char *out) {
    for (int i = ID_TAG_SIZE - 1; i >= 0; i--, tag >>= 6) out[i] = alphabet[tag & 63];
}

static uint32_t tag_decode(const char *id) {
    uint32_t tag = 0;
    for (int i = 0; i < ID_TAG_SIZE; i++) {
        const char *found = memchr(alphabet, id[i], sizeof(alphabet) - 1);
        assert(found && "only ids that id_make made have a tag");
        tag = tag << 6 | (uint32_t)(found - alphabet);
    }
    return tag;
}

static uint32_t bucket_of_user(const struct id_maker *maker, struct bytes user) {
    return (uint32_t)XXH3_64bits_withSecret(user.data, user.size, maker->key, ID_KEY_SIZE) % ID_BUCKETS;
}

void id_maker_init(struct id_maker *maker, const struct env *env, const uint8_t key[ID_KEY_SIZE]) {
    maker->env = env;
    memcpy(maker->key, key, sizeof(maker->key));
}

void id_make(const struct id_maker *maker, struct bytes user, char *out) {
    uint8_t random[RANDOM_SIZE];
    maker->env->random(maker->env->context, random, sizeof(random));
    tag_encode(((uint32_t)random[0] << 16 | (uint32_t)random[1] << 8 | random[2]) & 0x3ffff, out);
    if (!bytes_is_absent(user)) id_set_user(maker, user, out);
    for (int i = 0; i < 10; i++) encode_triple(random + 3 + 3 * i, out + ID_TAG_SIZE + 4 * i);
}

void id_set_user(const struct id_maker *maker, struct bytes user, char *id) {
    uint32_t chance = tag_decode(id) & CHANCE_MASK;
    tag_encode(bucket_of_user(maker, user) << BUCKET_SHIFT | chance, id);
}

unsigned id_bucket(const char *id) {
    return tag_decode(id) >> BUCKET_SHIFT;
}

void id_make_pool(const struct env *env, char *out) {
    enum { PREFIX_SIZE = sizeof POOL_ID_PREFIX - 1, LETTERS = 62 };
    uint8_t random[32];
    size_t size = PREFIX_SIZE, left = 0;
    memcpy(out, POOL_ID_PREFIX, PREFIX_SIZE);
    while (size < POOL_ID_SIZE) {
        if (left == 0) {
            env->random(env->context, random, sizeof random);
            left = sizeof random;
        }
        /* Two of 64 values are thrown away, so that the rest stay alike. */
        unsigned letter = random[--left] & 63;
        if (letter < LETTERS) out[size++] = alphabet[letter];
    }
}
