/* Ids: their shape, their chance, and the bucket of a user. */
#include "base/id.h"
#include "base/prng.h"

#include <criterion/criterion.h>

/* A source that can be foreseen: bytes of a counter. */
static void count_random(void *context, void *out, size_t size) {
    uint8_t *counter = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (*counter)++;
}

static struct id_maker maker_of(struct env *env, uint8_t *counter) {
    struct id_maker maker;
    *env = (struct env){.context = counter, .random = count_random};
    uint8_t key[ID_KEY_SIZE];
    count_random(counter, key, sizeof key);
    id_maker_init(&maker, env, key);
    return maker;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

Test(id, has_43_characters_of_base64url) {
    uint8_t counter = 0;
    struct env env;
    struct id_maker maker = maker_of(&env, &counter);
    char id[ID_SIZE + 1] = {0};
    id[ID_SIZE] = '!';
    id_make(&maker, BYTES_ABSENT, id);
    for (int i = 0; i < ID_SIZE; i++) cr_expect(strchr(alphabet, id[i]) && id[i], "character %d is %d", i, id[i]);
    cr_expect_eq(id[ID_SIZE], '!');
}

Test(id, encodes_its_random_bytes_as_base64url_does) {
    uint8_t counter = 0;
    struct env env;
    struct id_maker maker = maker_of(&env, &counter);
    char id[ID_SIZE];
    counter = 0xf8; /* 3 bytes for the tag: f8 f9 fa; then fb fc fd fe ff 00 ... */
    id_make(&maker, BYTES_ABSENT, id);
    cr_expect_eq(memcmp(id + ID_TAG_SIZE, "-_z9_v8A", 8), 0, "%.43s", id);
}

Test(id, puts_all_sessions_of_a_user_into_one_bucket_and_keeps_their_chance) {
    uint8_t counter = 0;
    struct env env;
    struct id_maker maker = maker_of(&env, &counter);
    struct bytes ann = BYTES_LITERAL("ann"), bob = BYTES_LITERAL("bob");
    char first[ID_SIZE], second[ID_SIZE], other[ID_SIZE];
    id_make(&maker, ann, first);
    id_make(&maker, ann, second);
    id_make(&maker, bob, other);
    cr_expect_eq(id_bucket(first), id_bucket(second));
    cr_expect_neq(id_bucket(first), id_bucket(other));
    cr_expect_neq(memcmp(first, second, ID_SIZE), 0);
    cr_expect_lt(id_bucket(first), (unsigned)ID_BUCKETS);
}

Test(id, takes_the_bucket_of_another_user_later_as_if_it_had_been_made_for_it) {
    uint8_t counter = 0;
    struct env env;
    struct id_maker maker = maker_of(&env, &counter);
    char id[ID_SIZE], made[ID_SIZE];
    counter = 9;
    id_make(&maker, BYTES_ABSENT, id);
    counter = 9;
    id_make(&maker, BYTES_LITERAL("ann"), made);
    id_set_user(&maker, BYTES_LITERAL("ann"), id);
    cr_expect_eq(memcmp(id, made, ID_SIZE), 0);
}

Test(id, of_two_keys_gives_a_user_different_buckets) {
    uint8_t counter = 0, other_counter = 77;
    struct env env, other_env;
    struct id_maker maker = maker_of(&env, &counter), other = maker_of(&other_env, &other_counter);
    unsigned same = 0;
    for (char name = 'a'; name <= 'z'; name++) {
        char id[ID_SIZE], other_id[ID_SIZE];
        id_make(&maker, bytes_of(&name, 1), id);
        id_make(&other, bytes_of(&name, 1), other_id);
        same += id_bucket(id) == id_bucket(other_id);
    }
    cr_expect_leq(same, 2u);
}

static void chance_random(void *context, void *out, size_t size) {
    prng_fill(context, out, size);
}

Test(id, of_a_pools_session_is_a_proxy_name_with_every_letter_alike) {
    struct prng prng = prng_of(1);
    struct env env = {.context = &prng, .random = chance_random};
    unsigned letters[256] = {0};
    enum { IDS = 62 * 1000 / 22 + 1 }; /* about a thousand of each letter */
    for (int i = 0; i < IDS; i++) {
        char id[POOL_ID_SIZE];
        id_make_pool(&env, id);
        cr_assert_eq(memcmp(id, POOL_ID_PREFIX, 8), 0);
        for (int k = 8; k < POOL_ID_SIZE; k++) letters[(uint8_t)id[k]]++;
    }
    for (int letter = 0; letter < 256; letter++) {
        bool is_allowed =
            (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z');
        if (!is_allowed)
            cr_expect_eq(letters[letter], 0u, "%c", letter);
        else /* six standard deviations of a fair draw */
            cr_expect(letters[letter] > 810 && letters[letter] < 1190, "%c came %u times", letter, letters[letter]);
    }
}
