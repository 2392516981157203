/* What a session is bound to: keyed hashes of a user agent, an address and a device key, as many of them as were given.
 * Pure; any thread. */
#ifndef OP_BINDING_H
#define OP_BINDING_H

#include "crypto/keys.h"
#include "sessiond/protocol.h"

#define BINDING_SIZE_MAX (6 + 3 * HASH_SIZE)

/* Writes the bytes of struct session.bound; answers how many: 0 where nothing is bound. */
size_t binding_encode(const struct binding *binding, const struct keys *keys, uint8_t out[BINDING_SIZE_MAX]);

/* Which of the bound members (bits BINDING_*) the presented ones do not match: also those that are bound and not
 * presented, and all where the key is gone that they were hashed with. */
uint64_t binding_mismatches(struct bytes bound, const struct binding *presented, const struct keys *keys);

/* Whether it was hashed with another key than the current one. */
bool binding_is_outdated(struct bytes bound, const struct keys *keys);
/* Which members are bound. */
uint64_t binding_bound(struct bytes bound);

#endif
