/* See binding.h. The stored form: a byte that says which form it is, which members (BINDING_*), the key's number in
 * little endian, then a hash for each member. */
#include "op/binding.h"

enum { BINDING_FORM = 1, HEAD_SIZE = 6 };

static const struct {
    uint64_t bit;
    size_t offset; /* in struct binding */
    enum hash_use use;
} members[] = {
    {BINDING_USER_AGENT, offsetof(struct binding, user_agent), HASH_USER_AGENT},
    {BINDING_ADDRESS, offsetof(struct binding, address), HASH_ADDRESS},
    {BINDING_DEVICE_KEY, offsetof(struct binding, device_key), HASH_DEVICE_KEY},
};
enum { ALL_MEMBERS = BINDING_USER_AGENT | BINDING_ADDRESS | BINDING_DEVICE_KEY };
enum { MEMBER_COUNT = sizeof members / sizeof *members };

static struct bytes member_of(const struct binding *binding, unsigned i) {
    return *(const struct bytes *)(const void *)((const char *)binding + members[i].offset);
}

static uint32_t key_number(struct bytes bound) {
    return bound.data[2] | (uint32_t)bound.data[3] << 8 | (uint32_t)bound.data[4] << 16 | (uint32_t)bound.data[5] << 24;
}

/* In this form, and whole. */
static bool is_whole(struct bytes bound) {
    return bound.size > HEAD_SIZE && bound.data[0] == BINDING_FORM && !(bound.data[1] & ~ALL_MEMBERS) &&
           bound.size == HEAD_SIZE + (size_t)__builtin_popcount(bound.data[1]) * HASH_SIZE;
}

uint64_t binding_bound(struct bytes bound) {
    return is_whole(bound) ? bound.data[1] : 0;
}

size_t binding_encode(const struct binding *binding, const struct keys *keys, uint8_t out[BINDING_SIZE_MAX]) {
    uint8_t *at = out + HEAD_SIZE;
    out[0] = BINDING_FORM;
    out[1] = 0;
    for (unsigned i = 0; i < 4; i++) out[2 + i] = (uint8_t)(keys->current.number >> (8 * i));
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        struct bytes text = member_of(binding, i);
        if (bytes_is_absent(text)) continue;
        cipher_hash(keys->current.bytes, members[i].use, text, 0, at);
        out[1] |= (uint8_t)members[i].bit;
        at += HASH_SIZE;
    }
    return out[1] ? (size_t)(at - out) : 0;
}

uint64_t binding_mismatches(struct bytes bound, const struct binding *presented, const struct keys *keys) {
    uint64_t stored = binding_bound(bound);
    unsigned wrong = 0;
    if (bound.size == 0) return 0;
    if (!stored) return ALL_MEMBERS; /* what cannot be read fits nobody */
    const uint8_t *key = keys_token_key(keys, key_number(bound)), *at = bound.data + HEAD_SIZE;
    if (!key) return stored;
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        struct bytes text = member_of(presented, i);
        uint8_t hash[HASH_SIZE] = {0};
        if (!(stored & members[i].bit)) continue;
        cipher_hash(key, members[i].use, text, 0, hash);
        unsigned is_it = cipher_is_equal(hash, at, HASH_SIZE) & (unsigned)!bytes_is_absent(text);
        wrong |= (unsigned)members[i].bit * (1 - is_it);
        at += HASH_SIZE;
    }
    return cipher_reveal(wrong);
}

bool binding_is_outdated(struct bytes bound, const struct keys *keys) {
    return binding_bound(bound) && key_number(bound) != keys->current.number;
}
