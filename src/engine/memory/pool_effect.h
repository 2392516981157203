/* Pools in recovery: see apply.h. */
#ifndef ENGINE_MEMORY_POOL_EFFECT_H
#define ENGINE_MEMORY_POOL_EFFECT_H

#include "engine/memory/apply.h"

/* Apply the body of an effect of a pool's fields, and of a session's usage. False: *why says what is wrong. */
bool apply_pool(struct recovery *recovery, struct bytes body, const char **why);
bool apply_usage(struct recovery *recovery, struct bytes body, const char **why);

/* When all records stand and are counted: makes the pools and their entries, and forgets those whose retention is over.
 * False where memory is lacking. */
bool pools_recovered(struct recovery *recovery, struct recovery_counts *counts);

/* Frees what the two apply functions kept. */
void pools_recovery_close(struct recovery *recovery);

#endif
