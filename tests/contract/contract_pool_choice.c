/* Pools: what an acquire gets, of what is there and what may be made. */
#include "contract_pool.h"

/* A namespace that admits no more still has those that are there: one, or those after what could be made. */
static void hands_out_what_is_there_where_the_namespace_admits_no_more(struct world *world) {
    pool_put(world, "a");
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS, 2));
    struct verb several = pool_acquire(world, (struct want){.creates = true, .count = 3, .lease_ms = 100});
    CHECK(several.is_found && several.more_count == 1 && !is_session(&several, "a"));
    struct verb verb = pool_acquire(world, (struct want){.creates = true});
    CHECK(!verb.is_found);
    CHECK_EQUAL(verb.error.code, ERROR_LIMIT);
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE});
    verb = pool_acquire(world, (struct want){.creates = true});
    CHECK(is_session(&verb, "a"));
    CHECK_EQUAL(pool_info(world).usable_count, 2);
}

/* A place that the first of several gives up is there for the next one. */
static void makes_several_in_one_place_where_each_is_used_once(struct world *world) {
    pool_change(world, pool_sized(1));
    pool_change(world,
                (struct pool_policy_change){.given = POOL_POLICY_MAX_USAGE_COUNT, .values = {.max_usage_count = 1}});
    struct verb verb = pool_acquire(world, (struct want){.creates = true, .count = 3});
    CHECK(verb.is_found && verb.more_count == 2);
    CHECK_EQUAL(pool_info(world).usable_count, 0);
}

static void takes_those_never_handed_out_as_they_entered(struct world *world) {
    static const enum pool_strategy strategies[] = {POOL_STRATEGY_USE_UNTIL_FAILURE, POOL_STRATEGY_ROUND_ROBIN,
                                                    POOL_STRATEGY_LEAST_USED, POOL_STRATEGY_LEAST_RECENT};
    for (unsigned i = 0; i < 4; i++) {
        struct want want = {.has_strategy = true, .strategy = strategies[i], .lease_ms = 1000};
        pool_put(world, "b");
        pool_put(world, "a");
        pool_put(world, "c");
        struct verb first = pool_acquire(world, want), second = pool_acquire(world, want);
        CHECK(is_session(&first, "b") && is_session(&second, "a"));
        contract_end(world, "web", END_DROP);
    }
}

const struct contract_test pool_choice_tests[] = {
    {"hands out what is there where the namespace admits no more",
     hands_out_what_is_there_where_the_namespace_admits_no_more},
    {"makes several in one place where each is used once", makes_several_in_one_place_where_each_is_used_once},
    {"takes those never handed out as they entered", takes_those_never_handed_out_as_they_entered},
    {NULL, NULL}};
