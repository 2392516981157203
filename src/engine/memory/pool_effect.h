/* The effects of pools as bytes: what effect.h is for sessions. By the same rules: an effect says what is, of two about
 * the same thing the one with the greater version holds, and reading believes nothing.
 *
 *     POOL   namespace u64, version u64, name text8; then to the end the policy, as the engine's pool_policy_encode
 *            writes it
 *     USAGE  hash u64, life u64, version u64, flags u8, usage_count u64, max_usage_count u64, max_error_score f64,
 *            error_score_decrement f64, last_used_at i64, turn u64, handed u64, and where their flags are set
 *            ERRORS   error_count u64, error_score f64
 *            FENCE    fence u64, lease_use u64
 *            LEASE    lease_expires_at i64
 *            RETIRED  retired_at i64
 *            READY    ready_at i64
 *            WINDOW   first u64, words u16, and to the end of those words in which there is a bit, in their order:
 *                     number u16, open hand-outs u64, those without a mark u64
 *
 * A usage is that of one life of a session in a pool (pool.h), known by the id's hash and the version with which the
 * life began. It stands before the session's PUT or MOVE with that version: so whatever was cut off behind a session
 * that begins, its usage was not, and one whose session was cut off belongs to nobody. Pure; any thread. */
#ifndef ENGINE_MEMORY_POOL_EFFECT_H
#define ENGINE_MEMORY_POOL_EFFECT_H

#include "engine/memory/effect.h"
#include "engine/memory/pool.h"

struct effect_pool {
    uint64_t namespace, version;
    struct bytes name;
    struct bytes policy; /* encoded; effect_read_pool has not looked into it */
};

struct effect_usage {
    uint64_t hash, life, version;
    bool is_spent, is_forgotten;
    struct usage usage;
    uint64_t turn, fence, lease_use, handed;
    int64_t ready_at;
    uint64_t first; /* of the window of uses */
    uint32_t words;
    struct bytes bits; /* of some words, as they were written; empty: no hand-out is open or without a mark */
};

/* Read the body of an effect; its bytes are borrowed from there. False: *why says what is wrong. */
bool effect_read_pool(struct bytes body, struct effect_pool *out, const char **why);
bool effect_read_usage(struct bytes body, struct effect_usage *out, const char **why);

/* Append one effect to `out`, whole. The entry is told with the version `told` that it bears, and its life's is set. */
void effect_write_pool(struct buf *out, const struct effect_pool *pool);
void effect_write_usage(struct buf *out, const struct pool_entry *entry);

/* Gives an entry what was read. False where memory is lacking. */
bool effect_fill_entry(const struct effect_usage *usage, struct pool_memory memory, struct pool_entry *entry);

#endif
