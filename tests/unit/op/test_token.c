#define _GNU_SOURCE /* memmem */
/* Tokens: which secret is which, successors, keys that come and go. */
#include "op/binding.h"
#include "op/token.h"

#include <criterion/criterion.h>

static void count_random(void *context, void *out, size_t size) {
    uint8_t *next = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (*next)++;
}

static uint8_t chance;
static const struct env env = {.context = &chance, .random = count_random};

static struct keys *keys_next(struct keys *keys) {
    struct keys *next = keys_rotate(keys, &env);
    keys_release(keys);
    return next;
}

static struct bytes text_of(const char secret[HASH_TEXT_SIZE]) {
    return bytes_of(secret, HASH_TEXT_SIZE);
}

Test(token, is_split_at_its_last_dot) {
    struct bytes id, secret;
    cr_assert(token_split(BYTES_LITERAL("a.b.c"), &id, &secret));
    cr_expect(bytes_equal(id, BYTES_LITERAL("a.b")));
    cr_expect(bytes_equal(secret, BYTES_LITERAL("c")));
    cr_assert(token_split(BYTES_LITERAL("a."), &id, &secret));
    cr_expect_eq(secret.size, 0);
    cr_expect_not(token_split(BYTES_LITERAL("a"), &id, &secret));
    cr_expect_not(token_split(BYTES_LITERAL(".c"), &id, &secret));
    cr_expect_not(token_split(BYTES_LITERAL(""), &id, &secret));
}

Test(token, is_stored_as_hashes_and_a_stored_hash_presented_never_validates) {
    struct keys *keys = keys_make(&env);
    struct token token;
    uint8_t stored[TOKEN_SIZE_MAX];
    char text[HASH_TEXT_SIZE];
    token_begin(&token, keys, BYTES_LITERAL("secret"));
    size_t size = token_encode(&token, stored);
    cr_expect_null(memmem(stored, size, "secret", 6));
    token = token_decode(bytes_of(stored, size));
    cr_expect_eq(token_find(&token, keys, BYTES_LITERAL("secret")), 0);
    cr_expect_eq(token_find(&token, keys, bytes_of(token.entries[0].hash, HASH_SIZE)), -1);
    cipher_base64url(token.entries[0].hash, text);
    cr_expect_eq(token_find(&token, keys, text_of(text)), -1);
    cr_expect_eq(token_find(&token, keys, bytes_of(stored, size)), -1);
    keys_release(keys);
}

Test(token, that_is_none_has_no_secret) {
    struct keys *keys = keys_make(&env);
    struct token none = token_decode(BYTES_ABSENT), odd = token_decode(BYTES_LITERAL("\x01\x05short"));
    cr_expect_eq(token_find(&none, keys, BYTES_LITERAL("")), -1);
    cr_expect_eq(none.count + odd.count, 0);
    keys_release(keys);
}

Test(token, has_one_successor_for_each_secret_also_across_a_change_of_keys) {
    struct keys *keys = keys_make(&env);
    struct token token;
    char successor[HASH_TEXT_SIZE], again[HASH_TEXT_SIZE], other[HASH_TEXT_SIZE];
    token_begin(&token, keys, BYTES_LITERAL("first"));
    token_successor(&token, 0, keys, BYTES_LITERAL("first"), successor);
    keys = keys_next(keys);
    token_rotate(&token, keys, text_of(successor), 100);
    cr_expect_eq(token.entries[0].key, 2);
    cr_expect_eq(token.entries[1].key, 1);
    cr_expect_eq(token_find(&token, keys, BYTES_LITERAL("first")), 1);
    token_successor(&token, 1, keys, BYTES_LITERAL("first"), again);
    cr_expect_eq(memcmp(successor, again, sizeof again), 0);
    token_successor(&token, 0, keys, text_of(successor), other);
    cr_expect_neq(memcmp(successor, other, sizeof other), 0);
    keys_release(keys);
}

Test(token, remembers_the_last_four_old_secrets_each_with_its_own_grace) {
    struct keys *keys = keys_make(&env);
    struct token token;
    char secrets[8][HASH_TEXT_SIZE] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    token_begin(&token, keys, text_of(secrets[0]));
    for (int i = 1; i < 8; i++) token_rotate(&token, keys, text_of(secrets[i]), 100 * i);
    for (int i = 0; i < 8; i++) {
        int index = token_find(&token, keys, text_of(secrets[i]));
        cr_expect_eq(index, i < 3 ? -1 : 7 - i);
        cr_expect_eq(token_match(&token, index, 500), i < 3    ? TOKEN_WRONG
                                                      : i == 7 ? TOKEN_CURRENT
                                                      : i > 4  ? TOKEN_GRACE
                                                               : TOKEN_REUSED);
    }
    cr_expect_eq(token_match(&token, 3, 499), TOKEN_GRACE);
    keys_release(keys);
}

Test(token, is_found_under_two_keys_and_no_third) {
    struct keys *keys = keys_make(&env);
    struct token token;
    token_begin(&token, keys, BYTES_LITERAL("s"));
    struct token kept = token;
    keys = keys_next(keys);
    cr_expect_eq(token_find(&token, keys, BYTES_LITERAL("s")), 0);
    cr_expect(token_rehash(&kept, keys, BYTES_LITERAL("s")));
    cr_expect_not(token_rehash(&kept, keys, BYTES_LITERAL("s")));
    keys = keys_next(keys);
    cr_expect_eq(token_find(&token, keys, BYTES_LITERAL("s")), -1);
    cr_expect_eq(token_find(&kept, keys, BYTES_LITERAL("s")), 0);
    keys_release(keys);
}

Test(binding, keeps_hashes_of_what_is_given_and_misses_what_is_not_presented) {
    struct keys *keys = keys_make(&env);
    uint8_t bound[BINDING_SIZE_MAX];
    struct binding all = {
        .user_agent = BYTES_LITERAL("ua"), .address = BYTES_LITERAL("ad"), .device_key = BYTES_LITERAL("dk")};
    struct binding none = {0}, some = {.user_agent = BYTES_LITERAL("ad"), .address = BYTES_LITERAL("ad")};
    struct bytes stored = bytes_of(bound, binding_encode(&all, keys, bound));
    cr_expect_eq(stored.size, BINDING_SIZE_MAX);
    cr_expect_null(memmem(bound, stored.size, "ua", 2));
    cr_expect_eq(binding_mismatches(stored, &all, keys), 0);
    cr_expect_eq(binding_mismatches(stored, &none, keys), BINDING_USER_AGENT | BINDING_ADDRESS | BINDING_DEVICE_KEY);
    cr_expect_eq(binding_mismatches(stored, &some, keys), BINDING_USER_AGENT | BINDING_DEVICE_KEY);
    cr_expect_eq(binding_mismatches(BYTES_ABSENT, &all, keys), 0);
    cr_expect_eq(binding_encode(&none, keys, bound), 0);
    keys_release(keys);
}

Test(binding, is_known_under_two_keys_and_no_third) {
    struct keys *keys = keys_make(&env);
    uint8_t bound[BINDING_SIZE_MAX];
    struct binding binding = {.device_key = BYTES_LITERAL("")};
    struct bytes stored = bytes_of(bound, binding_encode(&binding, keys, bound));
    cr_expect_not(binding_is_outdated(stored, keys));
    keys = keys_next(keys);
    cr_expect(binding_is_outdated(stored, keys));
    cr_expect_eq(binding_mismatches(stored, &binding, keys), 0);
    keys = keys_next(keys);
    cr_expect_eq(binding_mismatches(stored, &binding, keys), BINDING_DEVICE_KEY);
    keys_release(keys);
}
