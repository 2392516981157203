/* See cipher.h. */
#include "crypto/cipher.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

_Static_assert(KEY_SIZE == crypto_generichash_blake2b_KEYBYTES && HASH_SIZE == crypto_generichash_blake2b_BYTES,
               "keys and hashes are of BLAKE2b-256");
_Static_assert(HASH_SIZE == crypto_auth_hmacsha256_BYTES && KEY_SIZE == crypto_stream_chacha20_KEYBYTES &&
                   sizeof(uint64_t) == crypto_stream_chacha20_NONCEBYTES,
               "sizes of the MAC and the seal");

/* BLAKE2b's personalisation: part of its parameters, so that uses cannot meet. */
static const char personals[][crypto_generichash_blake2b_PERSONALBYTES + 1] = {
    [HASH_TOKEN] = "sessiond token  ",   [HASH_SUCCESSOR] = "sessiond succ.  ",
    [HASH_HANDLE] = "sessiond handle ",  [HASH_USER_AGENT] = "sessiond agent  ",
    [HASH_ADDRESS] = "sessiond address", [HASH_DEVICE_KEY] = "sessiond device ",
    [HASH_FILE] = "sessiond key set",    [HASH_STORE_KEY] = "sessiond sealing",
};

bool cipher_open(void) {
    return sodium_init() >= 0;
}

void cipher_hash(const uint8_t *key, enum hash_use use, struct bytes text, uint64_t number, uint8_t out[HASH_SIZE]) {
    crypto_generichash_blake2b_state state;
    uint8_t tail[sizeof number];
    for (size_t i = 0; i < sizeof tail; i++) tail[i] = (uint8_t)(number >> (8 * i));
    crypto_generichash_blake2b_init_salt_personal(&state, key, key ? KEY_SIZE : 0, HASH_SIZE, NULL,
                                                  (const unsigned char *)personals[use]);
    crypto_generichash_blake2b_update(&state, text.data, text.size);
    crypto_generichash_blake2b_update(&state, tail, sizeof tail);
    crypto_generichash_blake2b_final(&state, out, HASH_SIZE);
    sodium_memzero(&state, sizeof state);
}

void cipher_hmac(struct bytes key, struct bytes text, uint8_t out[HASH_SIZE]) {
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key.data, key.size);
    crypto_auth_hmacsha256_update(&state, text.data, text.size);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

/* Hashes, which nearly all of it is, by the function made for their size: sodium_memcmp reads each byte through a
 * volatile pointer, and two comparisons were a thirteenth of a validate. Both answer 0 or -1, by arithmetic. */
unsigned cipher_is_equal(const void *a, const void *b, size_t size) {
    return (unsigned)(1 + (size == crypto_verify_32_BYTES ? crypto_verify_32(a, b) : sodium_memcmp(a, b, size)));
}

__attribute__((weak, noinline)) unsigned cipher_reveal(unsigned found) {
    return found;
}

void cipher_wipe(void *data, size_t size) {
    if (size) sodium_memzero(data, size);
}

static void encode(const uint8_t bytes[HASH_SIZE], int variant, char out[HASH_TEXT_SIZE]) {
    char text[HASH_TEXT_SIZE + 1];
    sodium_bin2base64(text, sizeof text, bytes, HASH_SIZE, variant);
    memcpy(out, text, HASH_TEXT_SIZE);
    sodium_memzero(text, sizeof text);
}

void cipher_base64url(const uint8_t bytes[HASH_SIZE], char out[HASH_TEXT_SIZE]) {
    encode(bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING, out);
}

void cipher_base64(const uint8_t bytes[HASH_SIZE], char out[HASH_TEXT_SIZE]) {
    encode(bytes, sodium_base64_VARIANT_ORIGINAL_NO_PADDING, out);
}

void cipher_seal(const uint8_t key[KEY_SIZE], uint64_t number, uint8_t *data, size_t size) {
    uint8_t nonce[sizeof number];
    memcpy(nonce, &number, sizeof nonce);
    crypto_stream_chacha20_xor(data, data, size, nonce, key);
}
