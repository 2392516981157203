/* Session ids that cannot be guessed: a routing tag of 3 characters, then 30 random bytes as 40 characters (base64url).
 *
 * The tag is 18 bits: a bucket of 16,384 in the high 14, chance in the low 4. The bucket comes from a keyed hash of the
 * user where there is one, so that a user's sessions share a bucket (a slot of a cluster); else it is random. The key
 * is secret, so that nobody learns from an id whose it is. A maker is filled once and then only read: any thread. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "sessiond/bytes.h"
#include "sessiond/env.h"

#define ID_SIZE     43 /* characters of an id made here */
#define ID_TAG_SIZE 3
#define ID_KEY_SIZE 192 /* bytes; what XXH3 takes as a secret */
#define ID_BUCKETS  16384

struct id_maker {
    const struct env *env; /* lives as long as the maker */
    uint8_t key[ID_KEY_SIZE];
};

/* Copies the key; `env` gives the chance of each id. */
void id_maker_init(struct id_maker *maker, const struct env *env, const uint8_t key[ID_KEY_SIZE]);

/* Writes ID_SIZE characters, without a NUL, to `out`; an absent `user` takes a random bucket. */
void id_make(const struct id_maker *maker, struct bytes user, char *out);

/* Ids of pools' sessions, without a tag: names of proxy sessions allow no `-`. */
#define POOL_ID_PREFIX "session_"
#define POOL_ID_SIZE   30 /* the prefix and 22 characters, each of 62 alike: 130 bits */

/* Writes POOL_ID_SIZE characters, without a NUL, to `out`. */
void id_make_pool(const struct env *env, char *out);

/* Rewrites the bucket of an id that id_make made to that of `user`; its chance stays. The same arguments give the same
 * id. */
void id_set_user(const struct id_maker *maker, struct bytes user, char *id);

/* The bucket in the tag of an id that was made here. */
unsigned id_bucket(const char *id);

#endif
