/* A set of keys: everything secret that a server keeps beyond one turn, as one constant object.
 *
 * Always true: a set never changes once it is made; what changes is which set holds (keyring.h). It counts its holders
 * and is wiped and freed by the last. The keys' use: token keys hash secrets of tokens and what sessions are bound to
 * (the previous one still verifies), the id key makes handles and never changes, the routing key places ids, cookie
 * secrets sign. Any thread. */
#ifndef CRYPTO_KEYS_H
#define CRYPTO_KEYS_H

#include "base/buf.h"
#include "base/id.h"
#include "crypto/cipher.h"
#include "sessiond/env.h"

#include <stdatomic.h>

/* Bytes of a key file above which none is read: secrets of a million namespaces. */
#define KEY_FILE_BYTES_MAX (UINT32_C(1) << 31)

struct token_key {
    uint32_t number; /* 0: there is none */
    uint8_t bytes[KEY_SIZE];
};

struct cookie_secrets {
    struct bytes namespace;
    struct bytes secrets; /* an encoded, checked array of str or bin, the newest first */
};

struct keys {
    _Atomic uint32_t holder_count;
    struct token_key current, previous;
    uint8_t id_key[KEY_SIZE];
    uint8_t routing_key[ID_KEY_SIZE];
    size_t cookie_count;
    struct cookie_secrets *cookies; /* sorted by namespace; in the block of texts behind them */
    size_t block_size;              /* bytes at `cookies` */
};

/* Each answers a set with one holder, the caller; NULL: memory is lacking. */

/* Fresh keys, no cookie secrets. */
struct keys *keys_make(const struct env *env);
/* The same with a fresh current token key; the one that was current is previous. */
struct keys *keys_rotate(const struct keys *keys, const struct env *env);
/* The same with other cookie secrets for a namespace; absent: with none. */
struct keys *keys_with_cookie_secrets(const struct keys *keys, struct bytes namespace, struct bytes secrets);
/* The token keys of one and the cookie secrets of another set. */
struct keys *keys_join(const struct keys *token_keys, const struct keys *cookies);

/* What a key file holds. NULL: `why` says what is wrong with it, in a few words that follow its name. */
struct keys *keys_decode(struct bytes file, const char **why);
/* Appends a whole key file to `out`, which is to be wiped by the caller. */
void keys_encode(const struct keys *keys, struct buf *out);

/* One more holder. */
const struct keys *keys_hold(const struct keys *keys);
/* One holder less; NULL is nothing. */
void keys_release(const struct keys *keys);

/* Whether two sets belong to one server: handles and ids of one mean the same under the other. */
bool keys_are_related(const struct keys *a, const struct keys *b);

/* The cookie secrets of a namespace; absent: it has none. Valid as long as the set. */
struct bytes keys_cookie_secrets(const struct keys *keys, struct bytes namespace);
/* The token key of that number; NULL: it is no longer, or not, one of the two. */
const uint8_t *keys_token_key(const struct keys *keys, uint32_t number);

#endif
