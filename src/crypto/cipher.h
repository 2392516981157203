/* What this server needs of cryptography, and no more: keyed hashes, the MAC of cookies, texts of bytes, sealing.
 *
 * Always true: no function branches or indexes by a byte of a key, of a secret or of a hash. libsodium is used here and
 * nowhere above (the shell draws random bytes from it). Pure but for its first call; any thread. */
#ifndef CRYPTO_CIPHER_H
#define CRYPTO_CIPHER_H

#include "sessiond/bytes.h"

#define KEY_SIZE  32 /* bytes of every key of ours */
#define HASH_SIZE 32 /* bytes of a hash and of a MAC */

/* Characters of 32 bytes in base64, without padding. */
#define HASH_TEXT_SIZE 43

/* What a hash is for: one value never has one hash under two uses. */
enum hash_use {
    HASH_TOKEN,
    HASH_SUCCESSOR,
    HASH_HANDLE,
    HASH_USER_AGENT,
    HASH_ADDRESS,
    HASH_DEVICE_KEY,
    HASH_FILE,
    HASH_STORE_KEY
};

/* Prepares libsodium; to be called once before the threads begin. False: the system has no source of chance. */
bool cipher_open(void);

/* BLAKE2b-256 of the text under the key, for that use; with an absent key, unkeyed. `number` is part of what is
 * hashed. */
void cipher_hash(const uint8_t *key, enum hash_use use, struct bytes text, uint64_t number, uint8_t out[HASH_SIZE]);

/* HMAC-SHA256 under a key of any size. */
void cipher_hmac(struct bytes key, struct bytes text, uint8_t out[HASH_SIZE]);

/* Whether `size` bytes are the same, in a time that depends on `size` alone. The answer is 0 or 1, and may be combined
 * with others before anybody branches on it. */
unsigned cipher_is_equal(const void *a, const void *b, size_t size);

/* What was found out about secrets and is going to be told anyway: from here on it may be branched on. Answers its
 * argument; a test that watches what depends on secrets has one of its own. */
unsigned cipher_reveal(unsigned found);

/* Overwrites with zeros, whatever the compiler thinks of it. */
void cipher_wipe(void *data, size_t size);

/* Writes 32 bytes as HASH_TEXT_SIZE characters without a NUL: base64url, or the standard alphabet. */
void cipher_base64url(const uint8_t bytes[HASH_SIZE], char out[HASH_TEXT_SIZE]);
void cipher_base64(const uint8_t bytes[HASH_SIZE], char out[HASH_TEXT_SIZE]);

/* Turns plain bytes into sealed ones or back, in place. A number must never be used twice under one key. */
void cipher_seal(const uint8_t key[KEY_SIZE], uint64_t number, uint8_t *data, size_t size);

#endif
