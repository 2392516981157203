/* Groups and the limit of sessions per user. */
#include "base/buf.h"
#include "base/mp.h"
#include "contract.h"

static struct put of_user(const char *user) {
    return (struct put){.idle_timeout_ms = 1000, .user = bytes_of_string(user)};
}

static void limit(struct world *world, int64_t max, enum session_limit_policy policy) {
    struct policy_change change = policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS_PER_USER, max);
    contract_configure(world, "web", policy_set(change, POLICY_SESSION_LIMIT_POLICY, policy));
}

static void is_entered_left_and_changed_by_set(struct world *world) {
    contract_put(world, "web", "s", (struct put){0});
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 0);
    contract_put(world, "web", "s", of_user("ann"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
    contract_put(world, "web", "s", of_user("ann"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
    contract_put(world, "web", "s", of_user("bob"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "bob", LIVING), 1);
    contract_put(world, "web", "s", (struct put){.clears_user = true});
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "bob", LIVING), 0);
}

static void of_one_namespace_or_kind_is_not_that_of_another(struct world *world) {
    contract_put(world, "web", "s", of_user("ann"));
    contract_put(world, "app", "s", (struct put){.client = BYTES_LITERAL("ann")});
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_CLIENT, "ann", LIVING), 0);
    CHECK_EQUAL(contract_count(world, "app", GROUP_USER, "ann", LIVING), 0);
    CHECK_EQUAL(contract_count(world, "app", GROUP_CLIENT, "ann", LIVING), 1);
}

static void vanishes_with_its_last_session(struct world *world) {
    struct engine_stats stats;
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 0));
    contract_put(world, "web", "a", of_user("ann"));
    contract_put(world, "web", "b", of_user("ann"));
    contract_remove(world, "web", "a");
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.groups, 1);
    world->now_ms = START + 1000;
    contract_advance(world);
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.groups, 0);
}

static void at_its_limit_refuses_with_the_limit(struct world *world) {
    limit(world, 2, SESSION_LIMIT_POLICY_REJECT);
    contract_put(world, "web", "a", of_user("ann"));
    contract_put(world, "web", "b", (struct put){.user = BYTES_LITERAL("ann"), .status = STATUS_PENDING});
    struct verb verb = contract_put(world, "web", "c", of_user("ann"));
    CHECK_EQUAL(verb.error.code, ERROR_LIMIT);
    CHECK_EQUAL(verb.error.limit, 2);
    CHECK(!contract_get(world, "web", "c", true).is_found);
    CHECK(contract_put(world, "web", "c", of_user("bob")).outcome == OUTCOME_REPLACE);
    CHECK_EQUAL(contract_put(world, "web", "c", of_user("ann")).error.code, ERROR_LIMIT);
    CHECK(bytes_equal(contract_get(world, "web", "c", false).session.user, BYTES_LITERAL("bob")));
    CHECK(contract_put(world, "web", "a", of_user("ann")).outcome == OUTCOME_REPLACE); /* it is in already */
    contract_remove(world, "web", "a");
    CHECK(contract_put(world, "web", "c", of_user("ann")).outcome == OUTCOME_REPLACE);
}

static void at_its_limit_does_not_count_what_expired_this_millisecond(struct world *world) {
    limit(world, 1, SESSION_LIMIT_POLICY_REJECT);
    contract_put(world, "web", "a", of_user("ann"));
    world->now_ms = START + 999;
    CHECK_EQUAL(contract_put(world, "web", "b", of_user("ann")).error.code, ERROR_LIMIT);
    world->now_ms = START + 1000;
    CHECK(contract_put(world, "web", "b", of_user("ann")).outcome == OUTCOME_REPLACE);
    /* And who was not counted stays dead, also for a loop whose clock is a millisecond behind. */
    world->loop = 1;
    world->now_ms = START + 999;
    CHECK(!contract_get(world, "web", "a", false).is_found);
    CHECK_EQUAL(contract_touch(world, "web", "a").error.code, ERROR_GONE);
}

static void at_its_limit_ends_the_oldest(struct world *world) {
    limit(world, 2, SESSION_LIMIT_POLICY_EVICT_OLDEST);
    contract_put(world, "web", "a", of_user("ann"));
    world->now_ms++;
    contract_put(world, "web", "b", of_user("ann"));
    world->now_ms++;
    contract_touch(world, "web", "a");
    CHECK(contract_put(world, "web", "c", of_user("ann")).outcome == OUTCOME_REPLACE);
    struct verb verb = contract_get(world, "web", "a", true);
    CHECK_EQUAL(verb.session.status, STATUS_REVOKED);
    CHECK_EQUAL(verb.session.status_at, START + 2);
    CHECK(bytes_equal(verb.session.reason, BYTES_LITERAL("session_limit")));
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 2);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", STATUS_BIT(STATUS_REVOKED)), 1);
}

static void at_its_limit_ends_the_first_of_one_millisecond(struct world *world) {
    static const enum session_limit_policy policies[] = {SESSION_LIMIT_POLICY_EVICT_OLDEST,
                                                         SESSION_LIMIT_POLICY_EVICT_IDLE};
    char id[16];
    for (int round = 0; round < 2; round++) {
        limit(world, 3, policies[round]);
        for (int i = 0; i < 30; i++) {
            snprintf(id, sizeof(id), "s%d", i);
            contract_put(world, "web", id, of_user(round ? "bob" : "ann"));
            snprintf(id, sizeof(id), "s%d", i - 3);
            CHECK(i < 3 || contract_get(world, "web", id, true).session.status == STATUS_REVOKED);
        }
        contract_end(world, "web", END_DROP);
    }
}

static void at_its_limit_ends_the_longest_idle(struct world *world) {
    limit(world, 2, SESSION_LIMIT_POLICY_EVICT_IDLE);
    contract_put(world, "web", "a", of_user("ann"));
    world->now_ms++;
    contract_put(world, "web", "b", of_user("ann"));
    world->now_ms++;
    contract_touch(world, "web", "a");
    contract_put(world, "web", "c", of_user("ann"));
    CHECK(contract_get(world, "web", "a", false).is_found);
    CHECK(!contract_get(world, "web", "b", false).is_found);
}

static void lowered_to_a_smaller_limit_ends_several(struct world *world) {
    char id[16];
    for (int i = 0; i < 20; i++, world->now_ms++) {
        snprintf(id, sizeof(id), "s%d", i);
        contract_put(world, "web", id, of_user("ann"));
    }
    limit(world, 3, SESSION_LIMIT_POLICY_EVICT_OLDEST);
    contract_put(world, "web", "new", of_user("ann"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 3);
    CHECK(contract_get(world, "web", "s19", false).is_found && contract_get(world, "web", "s18", false).is_found);
}

/* Each of many logins looks at each dead session once, not at all of them again. */
static void with_many_dead_stays_quick_at_its_limit(struct world *world) {
    limit(world, 2, SESSION_LIMIT_POLICY_EVICT_OLDEST);
    char id[16];
    for (int i = 0; i < 20000; i++, world->now_ms++) {
        snprintf(id, sizeof(id), "s%d", i);
        contract_put(world, "web", id, of_user("ann"));
        if (i == 0) world->now_ms = START;
    }
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 2);
}

static void revoked_as_a_whole_keeps_the_excepted(struct world *world) {
    struct buf except = BUF_EMPTY;
    char id[16];
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "s%d", i);
        contract_put(world, "web", id, of_user("ann"));
    }
    contract_put(world, "web", "other", of_user("bob"));
    mp_write_array(&except, 2);
    mp_write_string(&except, "s7");
    mp_write_string(&except, "s8");
    struct verb verb = contract_revoke(world, "web", GROUP_USER, "ann", buf_bytes(&except));
    CHECK_EQUAL(verb.scan_result.total, 298);
    CHECK(contract_get(world, "web", "s7", false).is_found && contract_get(world, "web", "other", false).is_found);
    struct verb dead = contract_get(world, "web", "s9", true);
    CHECK_EQUAL(dead.session.status, STATUS_REVOKED);
    CHECK(bytes_equal(dead.session.reason, BYTES_LITERAL("everywhere")));
    CHECK_EQUAL(contract_touch(world, "web", "s9").error.code, ERROR_GONE);
    CHECK_EQUAL(contract_put(world, "web", "s9", of_user("ann")).error.status, 0);
    CHECK_EQUAL(contract_revoke(world, "web", GROUP_USER, "ann", buf_bytes(&except)).scan_result.total, 0);
    CHECK_EQUAL(contract_revoke(world, "web", GROUP_USER, "nobody", BYTES_ABSENT).scan_result.total, 0);
    CHECK(!contract_revoke(world, "none", GROUP_USER, "ann", BYTES_ABSENT).is_found);
    buf_fini(&except);
}

static void keeps_its_revoked_until_retention_ends(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 50));
    contract_put(world, "web", "a", (struct put){.user = BYTES_LITERAL("ann")});
    contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT);
    world->now_ms = START + 49;
    contract_advance(world);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", STATUS_BIT(STATUS_REVOKED)), 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_REVOKED)), 1);
    world->now_ms = START + 50;
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", STATUS_BIT(STATUS_REVOKED)), 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_REVOKED)), 0);
}

static void of_a_client_can_be_revoked_too(struct world *world) {
    contract_put(world, "web", "a", (struct put){.user = BYTES_LITERAL("ann"), .client = BYTES_LITERAL("phone")});
    contract_put(world, "web", "b", (struct put){.user = BYTES_LITERAL("ann"), .client = BYTES_LITERAL("desk")});
    CHECK_EQUAL(contract_revoke(world, "web", GROUP_CLIENT, "phone", BYTES_ABSENT).scan_result.total, 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
}

static void of_a_pool_is_a_third_beside_user_and_client(struct world *world) {
    struct put put = {.user = TEXT("ann"), .client = TEXT("phone"), .pool = TEXT("proxies")};
    contract_put(world, "web", "a", put);
    put.user = BYTES_ABSENT;
    contract_put(world, "web", "b", put);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", LIVING), 2);
    CHECK_EQUAL(contract_count(world, "web", GROUP_CLIENT, "phone", LIVING), 2);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "proxies", LIVING), 0);
    contract_remove(world, "web", "b");
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", LIVING), 1);
    contract_move(world, "web", "a", (struct rename){.id = TEXT("c")}, 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", LIVING), 1);
    CHECK_EQUAL(contract_revoke(world, "web", GROUP_POOL, "proxies", BYTES_ABSENT).scan_result.total, 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", LIVING), 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", STATUS_BIT(STATUS_REVOKED)), 1);
}

const struct contract_test group_tests[] = {
    {"is entered, left and changed by set", is_entered_left_and_changed_by_set},
    {"of one namespace or kind is not that of another", of_one_namespace_or_kind_is_not_that_of_another},
    {"vanishes with its last session", vanishes_with_its_last_session},
    {"at its limit refuses, and says the limit", at_its_limit_refuses_with_the_limit},
    {"at its limit does not count what expired this millisecond",
     at_its_limit_does_not_count_what_expired_this_millisecond},
    {"at its limit ends the oldest", at_its_limit_ends_the_oldest},
    {"at its limit ends the first of one millisecond", at_its_limit_ends_the_first_of_one_millisecond},
    {"at its limit ends the longest idle", at_its_limit_ends_the_longest_idle},
    {"under a lowered limit ends several", lowered_to_a_smaller_limit_ends_several},
    {"with many dead stays quick at its limit", with_many_dead_stays_quick_at_its_limit},
    {"revoked as a whole keeps the excepted", revoked_as_a_whole_keeps_the_excepted},
    {"keeps its revoked until retention ends", keeps_its_revoked_until_retention_ends},
    {"of a client can be revoked too", of_a_client_can_be_revoked_too},
    {"of a pool is a third beside user and client", of_a_pool_is_a_third_beside_user_and_client},
    {NULL, NULL}};
