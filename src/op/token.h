/* What a record keeps of its bearer token: keyed hashes of the current secret and of the last four before it.
 *
 * A token is `<id>.<secret>`; the secret follows the last dot. Each old secret has its own grace, until when it is as
 * good as the current one and leads to the same successor: that is derived from it, so that only hashes are kept.
 * Always true: finding which secret was presented costs the same for every record, and none, and no step of it branches
 * or indexes by a byte of the secret or of a hash. Pure; any thread. */
#ifndef OP_TOKEN_H
#define OP_TOKEN_H

#include "crypto/keys.h"

#define TOKEN_ENTRIES_MAX 5
#define TOKEN_ENTRY_SIZE  48
#define TOKEN_SIZE_MAX    (2 + TOKEN_ENTRIES_MAX * TOKEN_ENTRY_SIZE)

struct token_entry {
    uint32_t key;        /* number of the token key that the hash was made with */
    uint32_t generation; /* counts rotations */
    int64_t grace_until; /* of an old secret; 0: the current one, or no grace */
    uint8_t hash[HASH_SIZE];
};

struct token {
    unsigned count;                                /* 0: no token */
    struct token_entry entries[TOKEN_ENTRIES_MAX]; /* the current one first */
};

/* What a presented secret is. */
enum token_match {
    TOKEN_WRONG,
    TOKEN_CURRENT,
    TOKEN_GRACE, /* an old one, within its grace */
    TOKEN_REUSED /* an old one, after it */
};

/* Cuts at the last dot. False: there is none, or nothing before it. */
bool token_split(struct bytes text, struct bytes *id, struct bytes *secret);

/* From and to the bytes of struct session.token. Absent, or not of this form: no token. */
struct token token_decode(struct bytes stored);
size_t token_encode(const struct token *token, uint8_t out[TOKEN_SIZE_MAX]);

/* Makes a token of one entry. */
void token_begin(struct token *token, const struct keys *keys, struct bytes secret);

/* Which entry's secret that is; -1: none of them. The answer is the only thing that depends on secrets. */
int token_find(const struct token *token, const struct keys *keys, struct bytes secret);
/* What it is worth to have presented the secret of that entry. */
enum token_match token_match(const struct token *token, int index, int64_t now_ms);

/* The secret that follows on that of entry `index`, whose secret is given: the same whenever it is asked for. */
void token_successor(const struct token *token, int index, const struct keys *keys, struct bytes secret,
                     char out[HASH_TEXT_SIZE]);
/* Puts the successor of the current secret in its place; that stays good until `grace_until`. */
void token_rotate(struct token *token, const struct keys *keys, struct bytes successor, int64_t grace_until);

/* The current secret, which was presented, hashed under the current key. False: it is already. */
bool token_rehash(struct token *token, const struct keys *keys, struct bytes secret);

#endif
