/* Hashes, MACs and texts against figures from elsewhere: Python's hashlib, RFC 4231, npm's cookie-signature. */
#include "crypto/cipher.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void expect_hex(const uint8_t *bytes, const char *hex) {
    char text[2 * HASH_SIZE + 1];
    for (size_t i = 0; i < HASH_SIZE; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    cr_expect_str_eq(text, hex);
}

static void count_up(uint8_t key[KEY_SIZE]) {
    for (unsigned i = 0; i < KEY_SIZE; i++) key[i] = (uint8_t)i;
}

/* hashlib.blake2b(b"abc" + bytes(8), key=bytes(range(32)), digest_size=32, person=b"sessiond token  ") */
Test(cipher, hashes_as_keyed_blake2b_256_and_each_use_by_itself) {
    uint8_t key[KEY_SIZE], hash[HASH_SIZE];
    char text[HASH_TEXT_SIZE];
    count_up(key);
    cr_assert(cipher_open());
    cipher_hash(key, HASH_TOKEN, BYTES_LITERAL("abc"), 0, hash);
    expect_hex(hash, "858acdf89a110bb7f1cb163a2720018b53c77645c7d299dc91617952d9ae17fc");
    cipher_hash(key, HASH_HANDLE, BYTES_LITERAL("abc"), 0, hash);
    expect_hex(hash, "22bc0655548bcbf9ecb0289bbb7feb423a880f5fb99e37333f2e47d55068351a");
    cipher_base64url(hash, text);
    cr_expect_eq(memcmp(text, "IrwGVVSLy_nssCibu3_rQjqID1-5njczPy5H1VBoNRo", HASH_TEXT_SIZE), 0);
    cipher_hash(NULL, HASH_FILE, BYTES_LITERAL("abc"), 7, hash);
    expect_hex(hash, "dd75628973f8c0fd5c2ab3a9ac8482e483a426af4d8ac130f4b88cb8561883a3");
}

Test(cipher, makes_the_macs_of_rfc_4231) {
    uint8_t mac[HASH_SIZE], key[131];
    cipher_hmac(BYTES_LITERAL("Jefe"), BYTES_LITERAL("what do ya want for nothing?"), mac);
    expect_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    cipher_hmac(bytes_of(key, sizeof key), BYTES_LITERAL("Test Using Larger Than Block-Size Key - Hash Key First"),
                mac);
    expect_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

Test(cipher, writes_standard_base64_without_padding) {
    uint8_t mac[HASH_SIZE];
    char text[HASH_TEXT_SIZE];
    cipher_hmac(BYTES_LITERAL("keyboard cat"), BYTES_LITERAL("abc"), mac);
    cipher_base64(mac, text);
    cr_expect_eq(memcmp(text, "BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU", HASH_TEXT_SIZE), 0);
}

Test(cipher, tells_equal_bytes_from_others_at_every_place) {
    uint8_t a[HASH_SIZE] = {0}, b[HASH_SIZE];
    cr_expect_eq(cipher_is_equal(a, a, sizeof a), 1);
    for (size_t i = 0; i < sizeof a; i++) {
        memcpy(b, a, sizeof b);
        b[i] = 0x80;
        cr_expect_eq(cipher_is_equal(a, b, sizeof a), 0, "a difference at %zu", i);
    }
}

Test(cipher, tells_a_difference_of_any_bit_in_bytes_of_any_number_and_none_behind_them) {
    uint8_t a[HASH_SIZE + 1] = {0}, b[HASH_SIZE + 1];
    for (size_t size = 0; size <= HASH_SIZE; size++)
        for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
            memcpy(b, a, sizeof b);
            b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cr_expect_eq(cipher_is_equal(a, b, size), bit / 8 >= size, "bit %zu of %zu bytes", bit, size);
        }
}

Test(cipher, unseals_what_it_sealed_and_never_seals_alike_twice) {
    uint8_t key[KEY_SIZE], a[] = "a secret answer", b[] = "a secret answer";
    count_up(key);
    cipher_seal(key, 1, a, sizeof a);
    cipher_seal(key, 2, b, sizeof b);
    cr_expect_neq(memcmp(a, "a secret answer", sizeof a), 0);
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
    cipher_seal(key, 1, a, sizeof a);
    cr_expect_str_eq((char *)a, "a secret answer");
}

Test(cipher, overwrites_what_it_wipes) {
    uint8_t bytes[] = {1, 2, 3};
    cipher_wipe(bytes, sizeof bytes);
    cipher_wipe(NULL, 0);
    cr_expect_eq(bytes[0] | bytes[1] | bytes[2], 0);
}
