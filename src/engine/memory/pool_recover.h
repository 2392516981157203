/* Pools in recovery: see apply.h.
 *
 * A usage is kept as it was read until all records stand; then each record of a pool takes that of its life. What
 * became due while nobody ran (leases, the end of retention) is not worked out here: the entries stand as they stood,
 * and pools_work does then what it does for whoever comes late. One thread, before the first turn. */
#ifndef ENGINE_MEMORY_POOL_RECOVER_H
#define ENGINE_MEMORY_POOL_RECOVER_H

#include "engine/memory/apply.h"

/* Apply the body of an effect of a pool's fields, and of a session's usage. False: *why says what is wrong. */
bool apply_pool(struct recovery *recovery, struct bytes body, const char **why);
bool apply_usage(struct recovery *recovery, struct bytes body, const char **why);

/* When the namespaces stand: makes the pools that were configured. False where memory is lacking. */
bool pools_restore(struct recovery *recovery);

/* How a session of a pool is to be judged, before its deadlines are. */
enum pool_judged {
    POOL_JUDGED_NOTHING,
    POOL_JUDGED_GONE, /* its retention since it was retired was over, and that was told; *retired_at is when that was */
    POOL_JUDGED_DUE   /* it will be when pools_work comes to it: until then it lives, deadline or not */
};
enum pool_judged pool_judge(struct recovery *recovery, const struct record *record, uint64_t hash,
                            const struct session *view, int64_t *retired_at);

/* Gives a record that stays its entry in its pool: `judged` as it is, with what record_due answered. False where memory
 * is lacking. */
bool pool_restore_entry(struct recovery *recovery, const struct record *record, uint64_t hash, bool is_alive,
                        int64_t due_at, struct recovery_counts *counts);

/* When all records have theirs, and versions go on above all that were told: works off what is due by now. */
void pools_recovered(struct recovery *recovery, struct recovery_counts *counts);

/* Frees what the two apply functions kept. */
void pools_recovery_close(struct recovery *recovery);

#endif
