/* See pool_effect.h. */
#include "engine/memory/pool_effect.h"

bool apply_pool(struct recovery *recovery, struct bytes body, const char **why) {
    (void)recovery;
    (void)body;
    *why = "pools cannot be recovered by this release";
    return false;
}

bool apply_usage(struct recovery *recovery, struct bytes body, const char **why) {
    (void)recovery;
    (void)body;
    *why = "pools cannot be recovered by this release";
    return false;
}

bool pools_recovered(struct recovery *recovery, struct recovery_counts *counts) {
    (void)recovery;
    (void)counts;
    return true;
}

void pools_recovery_close(struct recovery *recovery) {
    (void)recovery;
}
