/* What the tests of pools share: the pool "p" of the namespace "web", and its verbs as functions. */
#ifndef CONTRACT_CONTRACT_POOL_H
#define CONTRACT_CONTRACT_POOL_H

#include "contract.h"

struct want {
    const char *id;
    bool has_strategy;
    enum pool_strategy strategy;
    bool creates, asks; /* neither: never */
    int64_t lease_ms, wait_ms;
    struct bytes tags;
    uint32_t count;
    size_t bytes_max;
    bool is_pending; /* expected: it waits */
};
struct verb pool_acquire(struct world *world, struct want want);

struct given {
    enum return_kind kind;
    enum mark_kind mark;
    uint32_t status_code;
    const struct status_codes *extra_codes;
    uint64_t use, fence;
    int64_t lease_ms;
};
struct verb pool_return(struct world *world, const char *id, struct given given);
struct verb pool_mark(struct world *world, const char *id, enum mark_kind mark, uint64_t use);

void pool_change(struct world *world, struct pool_policy_change change);
struct pool_policy_change pool_sized(uint64_t size);
struct pool_state pool_info(struct world *world);
/* Puts a session with the pool's limits and no deadline into it. */
struct verb pool_put(struct world *world, const char *id);
struct usage usage_of(struct world *world, const char *id);
bool is_session(const struct verb *verb, const char *id);

#endif
