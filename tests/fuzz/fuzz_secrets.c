/* What is read of keys, tokens, bindings and signed cookies, over any bytes. The first byte says which: `k` a key file
 * (its hash is put right, so that what is behind it is reached), `t` a stored token, `b` a stored binding, else a
 * signed value. */
#include "fuzz/target.h"
#include "op/binding.h"
#include "op/signature.h"
#include "op/token.h"

#include <string.h>

static void some_random(void *context, void *out, size_t size) {
    (void)context;
    memset(out, 7, size);
}

static const struct env env = {.random = some_random};

/* What is taken is written and read again as the same. */
static void try_key_file(const uint8_t *data, size_t size) {
    struct buf file = BUF_EMPTY, again = BUF_EMPTY, third = BUF_EMPTY;
    uint8_t hash[HASH_SIZE];
    const char *why = NULL;
    cipher_hash(NULL, HASH_FILE, bytes_of(data, size), 0, hash);
    buf_append(&file, data, size);
    buf_append(&file, hash, sizeof hash);
    struct keys *keys = keys_decode(buf_bytes(&file), &why), *other;
    REQUIRE(keys || strlen(why) > 20);
    if (keys) {
        keys_encode(keys, &again);
        other = keys_decode(buf_bytes(&again), &why);
        REQUIRE(other && keys_are_related(keys, other) && other->cookie_count == keys->cookie_count);
        keys_encode(other, &third);
        REQUIRE(bytes_equal(buf_bytes(&again), buf_bytes(&third)));
        for (size_t i = 0; i < keys->cookie_count; i++)
            REQUIRE(bytes_equal(keys_cookie_secrets(other, keys->cookies[i].namespace), keys->cookies[i].secrets));
        keys_release(other);
        keys_release(keys);
    }
    buf_fini(&file), buf_fini(&again), buf_fini(&third);
}

/* Nobody has its secrets. */
static void try_token(const struct keys *keys, const uint8_t *data, size_t size) {
    uint8_t stored[TOKEN_SIZE_MAX];
    struct bytes id, secret;
    struct token token = token_decode(bytes_of(data, size));
    REQUIRE(token.count <= TOKEN_ENTRIES_MAX);
    REQUIRE(token_find(&token, keys, bytes_of(data, size)) == -1);
    if (token.count) REQUIRE(token_encode(&token, stored) == size && memcmp(stored, data, size) == 0);
    if (token_split(bytes_of(data, size), &id, &secret))
        REQUIRE(id.size >= 1 && id.size + 1 + secret.size == size && !memchr(secret.data, '.', secret.size));
}

/* Nobody has what is bound; what is damaged fits nobody. */
static void try_binding(const struct keys *keys, const uint8_t *data, size_t size) {
    struct binding presented = {.user_agent = bytes_of(data, size), .address = bytes_of(data, size)};
    REQUIRE(size == 0 || binding_mismatches(bytes_of(data, size), &presented, keys) != 0);
}

static void try_signature(const uint8_t *data, size_t size) {
    const struct bytes secrets = BYTES_LITERAL("\x92\xac"
                                               "keyboard cat\xa1x");
    uint8_t room[1024];
    struct bytes value;
    unsigned index;
    if (!signature_verify(secrets, bytes_of(data, size), bytes_of(room, sizeof room), &value, &index)) return;
    struct buf again = BUF_EMPTY;
    REQUIRE(index < 2 && value.size + 2 + 1 + HASH_TEXT_SIZE <= size);
    signature_write(secrets, value, &again);
    bool is_raw = value.data > data && value.data < data + size;
    if (index == 0 && is_raw) REQUIRE(again.size > size && memcmp(again.data + again.size - size, data, size) == 0);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct keys *keys;
    if (!cipher_open() || size == 0) return 0;
    if (!keys) keys = keys_make(&env);
    switch (data[0]) {
    case 'k': try_key_file(data + 1, size - 1); break;
    case 't': try_token(keys, data + 1, size - 1); break;
    case 'b': try_binding(keys, data + 1, size - 1); break;
    default: try_signature(data, size);
    }
    return 0;
}
