/* Sets of keys: what their file holds, what is refused, and how one follows another. */
#include "crypto/keyring.h"

#include <criterion/criterion.h>

static void count_random(void *context, void *out, size_t size) {
    uint64_t *next = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (uint8_t)(++*next * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

static uint64_t chance;
static const struct env env = {.context = &chance, .random = count_random};

static const struct bytes one = {(const uint8_t *)"\x91\xa1x", 3}, two = {(const uint8_t *)"\x92\xa1y\xc4\x01z", 6};

static struct keys *add(struct keys *keys, const char *namespace, struct bytes secrets) {
    struct keys *next = keys_with_cookie_secrets(keys, bytes_of_string(namespace), secrets);
    keys_release(keys);
    return next;
}

static struct keys *filled(void) {
    struct keys *keys = keys_make(&env), *next = keys_rotate(keys, &env);
    keys_release(keys);
    return add(add(add(next, "web", one), "app", two), "webx", one);
}

static struct buf file_of(const struct keys *keys) {
    struct buf out = BUF_EMPTY;
    keys_encode(keys, &out);
    return out;
}

Test(keys, come_out_of_their_file_as_they_went_in) {
    struct keys *keys = filled();
    struct buf file = file_of(keys);
    const char *why = NULL;
    struct keys *read = keys_decode(buf_bytes(&file), &why);
    cr_assert(read, "%s", why);
    cr_expect_eq(read->current.number, 2);
    cr_expect_eq(read->previous.number, 1);
    cr_expect_eq(memcmp(&read->current, &keys->current, sizeof keys->current), 0);
    cr_expect_eq(memcmp(&read->previous, &keys->previous, sizeof keys->previous), 0);
    cr_expect(keys_are_related(read, keys));
    cr_expect(bytes_equal(keys_cookie_secrets(read, BYTES_LITERAL("web")), one));
    cr_expect(bytes_equal(keys_cookie_secrets(read, BYTES_LITERAL("app")), two));
    cr_expect(bytes_equal(keys_cookie_secrets(read, BYTES_LITERAL("webx")), one));
    cr_expect(bytes_is_absent(keys_cookie_secrets(read, BYTES_LITERAL("we"))));
    struct buf again = file_of(read);
    cr_expect(bytes_equal(buf_bytes(&file), buf_bytes(&again)));
    buf_fini(&file), buf_fini(&again);
    keys_release(read), keys_release(keys);
}

Test(keys, of_a_file_with_any_bit_changed_or_any_byte_missing_are_refused) {
    struct keys *keys = filled();
    struct buf file = file_of(keys);
    const char *why;
    for (size_t i = 0; i < 8 * file.size; i++) {
        file.data[i / 8] ^= (uint8_t)(1 << i % 8);
        cr_expect_null(keys_decode(buf_bytes(&file), &why), "bit %zu", i);
        file.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t size = 0; size < file.size; size++)
        cr_expect_null(keys_decode(bytes_of(file.data, size), &why), "%zu bytes", size);
    buf_fini(&file);
    keys_release(keys);
}

/* The hash tells damage only; what is inside is looked at too. */
Test(keys, that_contradict_themselves_are_refused_although_their_hash_is_right) {
    struct keys *keys = filled();
    const char *why = "";
    keys->previous.number = keys->current.number;
    struct buf file = file_of(keys);
    cr_expect_null(keys_decode(buf_bytes(&file), &why));
    cr_expect(strstr(why, "damaged"));
    buf_fini(&file);
    keys_release(keys);
    keys = filled();
    keys->cookies[0].namespace = keys->cookies[1].namespace;
    file = file_of(keys);
    cr_expect_null(keys_decode(buf_bytes(&file), &why));
    buf_fini(&file);
    keys_release(keys);
}

Test(keys, say_what_a_foreign_file_is) {
    const char *why;
    cr_expect_null(keys_decode(BYTES_LITERAL("-----BEGIN PRIVATE KEY-----MIIEvgIBADANBgkqhkiG9w0"), &why));
    cr_expect(strstr(why, "no key file"));
    cr_expect_null(keys_decode(BYTES_ABSENT, &why));
    cr_expect(strstr(why, "no key file"));
}

Test(keys, rotate_keeps_one_key_back_and_all_that_is_not_of_tokens) {
    struct keys *keys = filled(), *next = keys_rotate(keys, &env);
    cr_expect_eq(next->current.number, 3);
    cr_expect_eq(memcmp(&next->previous, &keys->current, sizeof keys->current), 0);
    cr_expect_neq(memcmp(next->current.bytes, keys->current.bytes, KEY_SIZE), 0);
    cr_expect(keys_are_related(next, keys));
    cr_expect_eq(next->cookie_count, 3);
    cr_expect_eq(keys_token_key(next, 3), next->current.bytes);
    cr_expect_eq(keys_token_key(next, 2), next->previous.bytes);
    cr_expect_null(keys_token_key(next, 1));
    cr_expect_null(keys_token_key(next, 0));
    next->current.number = UINT32_MAX;
    struct keys *wrapped = keys_rotate(next, &env);
    cr_expect_eq(wrapped->current.number, 1, "0 means that there is none");
    keys_release(wrapped), keys_release(next), keys_release(keys);
}

Test(keys, of_two_servers_are_not_related) {
    struct keys *a = keys_make(&env), *b = keys_make(&env);
    cr_expect_not(keys_are_related(a, b));
    keys_release(a), keys_release(b);
}

Test(keys, cookie_secrets_are_set_replaced_and_taken_away) {
    struct keys *keys = add(filled(), "app", one);
    cr_expect(bytes_equal(keys_cookie_secrets(keys, BYTES_LITERAL("app")), one));
    cr_expect_eq(keys->cookie_count, 3);
    keys = add(keys, "app", BYTES_ABSENT);
    cr_expect(bytes_is_absent(keys_cookie_secrets(keys, BYTES_LITERAL("app"))));
    cr_expect_eq(keys->cookie_count, 2);
    keys = add(add(add(keys, "web", BYTES_ABSENT), "webx", BYTES_ABSENT), "none", BYTES_ABSENT);
    cr_expect_eq(keys->cookie_count, 0);
    keys_release(keys);
}

Test(keyring, is_followed_by_who_holds_an_older_set) {
    struct keyring keyring;
    keyring_open(&keyring, keys_make(&env), NULL, NULL);
    const struct keys *mine = keyring_take(&keyring), *before = mine;
    keyring_follow(&keyring, &mine);
    cr_expect_eq(mine, before);
    cr_expect(keyring_set_cookie_secrets(&keyring, BYTES_LITERAL("web"), one));
    cr_expect(bytes_is_absent(keys_cookie_secrets(mine, BYTES_LITERAL("web"))), "a set never changes");
    keyring_follow(&keyring, &mine);
    cr_expect(bytes_equal(keys_cookie_secrets(mine, BYTES_LITERAL("web")), one));
    keys_release(mine);
    keyring_close(&keyring);
}
