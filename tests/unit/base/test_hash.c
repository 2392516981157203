/* The keyed hash and the test generator. */
#include "base/hash.h"
#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void random_of_prng(void *context, void *out, size_t size) {
    prng_fill(context, out, size);
}

static struct hash_key key_of(uint64_t seed) {
    struct prng prng = prng_of(seed);
    struct env env = {.context = &prng, .random = random_of_prng};
    struct hash_key key;
    hash_key_init(&key, &env);
    return key;
}

Test(hash, is_the_same_for_the_same_key_and_bytes) {
    struct hash_key a = key_of(1), b = key_of(1);
    char text[300];
    memset(text, 'x', sizeof text);
    for (size_t size = 0; size <= sizeof text; size++)
        cr_assert_eq(hash_bytes(&a, bytes_of(text, size)), hash_bytes(&b, bytes_of(text, size)));
}

Test(hash, differs_between_two_keys_for_every_length_of_a_text) {
    struct hash_key a = key_of(1), b = key_of(2);
    char text[300];
    memset(text, 'x', sizeof text);
    for (size_t size = 1; size <= sizeof text; size++)
        cr_assert_neq(hash_bytes(&a, bytes_of(text, size)), hash_bytes(&b, bytes_of(text, size)));
}

Test(hash, takes_an_absent_run_for_an_empty_one) {
    struct hash_key key = key_of(3);
    cr_assert_eq(hash_bytes(&key, BYTES_ABSENT), hash_bytes(&key, BYTES_LITERAL("")));
}

Test(hash, spreads_counted_ids_evenly_over_shards_and_tags) {
    struct hash_key key = key_of(4);
    enum { PARTS = 64, EACH = 1000 };
    unsigned top[PARTS] = {0}, middle[PARTS] = {0};
    for (unsigned i = 0; i < PARTS * EACH; i++) {
        char id[16];
        int size = snprintf(id, sizeof id, "user-%u", i);
        uint64_t hash = hash_bytes(&key, bytes_of(id, (size_t)size));
        top[hash >> 58]++;
        middle[hash >> 44 & 63]++;
    }
    for (unsigned i = 0; i < PARTS; i++) { /* 1,000 expected, standard deviation 32 */
        cr_assert(top[i] > 800 && top[i] < 1200, "%u of 1000 in part %u", top[i], i);
        cr_assert(middle[i] > 800 && middle[i] < 1200, "%u of 1000 in part %u", middle[i], i);
    }
}

Test(hash, mix_maps_different_numbers_to_different_ones) {
    cr_assert_eq(hash_mix(0), 0);
    for (uint64_t i = 1; i < 1000; i++) cr_assert_neq(hash_mix(i), hash_mix(i - 1));
}

Test(prng, gives_the_same_run_for_the_same_seed_and_keeps_its_bounds) {
    struct prng a = prng_of(0), b = prng_of(0);
    bool has_first = false, has_last = false;
    for (int i = 0; i < 1000; i++) {
        int64_t x = prng_between(&a, -2, 2);
        cr_assert_eq(x, prng_between(&b, -2, 2));
        cr_assert(x >= -2 && x <= 2);
        has_first |= x == -2;
        has_last |= x == 2;
    }
    cr_assert(has_first && has_last);
}
