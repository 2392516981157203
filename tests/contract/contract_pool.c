/* Pools: what is handed out, how often, and what marks and releases do to it. */
#include "contract_pool.h"

/* ---- calls */

struct verb pool_acquire(struct world *world, struct want want) {
    struct verb verb = verb_of(VERB_ACQUIRE, "web", want.id);
    verb.acquire.pool = TEXT("p");
    verb.acquire.strategy = want.strategy;
    verb.acquire.has_strategy = want.has_strategy;
    verb.acquire.create = want.creates ? POOL_CREATE_AUTO : want.asks ? POOL_CREATE_ASK : POOL_CREATE_NEVER;
    verb.acquire.lease_ms = want.lease_ms;
    verb.acquire.wait_ms = want.wait_ms;
    verb.acquire.tags = want.tags;
    verb.acquire.count = want.count ? want.count : 1;
    verb.acquire.bytes_max = want.bytes_max ? want.bytes_max : SIZE_MAX;
    verb.use = verb.fence = 0;
    enum submit_state state = contract_try(world, &verb);
    CHECK_EQUAL(state, want.is_pending ? SUBMIT_PENDING : SUBMIT_DONE);
    return verb;
}

struct verb pool_return(struct world *world, const char *id, struct given given) {
    struct verb verb = verb_of(VERB_RETURN, "web", id);
    verb.pool_return.kind = given.kind;
    verb.pool_return.outcome = (struct mark_outcome){given.mark, given.status_code};
    verb.pool_return.extra_codes = given.extra_codes;
    verb.pool_return.use = given.use;
    verb.pool_return.fence = given.fence;
    verb.pool_return.lease_ms = given.lease_ms;
    contract_submit(world, &verb);
    return verb;
}

struct verb pool_mark(struct world *world, const char *id, enum mark_kind mark, uint64_t use) {
    return pool_return(world, id, (struct given){.kind = RETURN_MARK, .mark = mark, .use = use});
}

void pool_change(struct world *world, struct pool_policy_change change) {
    struct verb verb = verb_of(VERB_CONFIGURE, "web", NULL);
    verb.configure.group = GROUP_POOL;
    verb.configure.group_name = TEXT("p");
    verb.configure.pool_change = &change;
    contract_submit(world, &verb);
    CHECK_EQUAL(verb.error.code, ERROR_NONE);
    CHECK(verb.is_found);
}

struct pool_state pool_info(struct world *world) {
    struct verb verb = verb_of(VERB_CONFIGURE, "web", NULL);
    verb.configure.group = GROUP_POOL;
    verb.configure.group_name = TEXT("p");
    contract_submit(world, &verb);
    CHECK_EQUAL(verb.is_found, verb.pool_state.exists);
    return verb.pool_state;
}

struct verb pool_put(struct world *world, const char *id) {
    return contract_put(world, "web", id, (struct put){.pool = TEXT("p")});
}

bool is_session(const struct verb *verb, const char *id) {
    return verb->is_found && bytes_equal(verb->session.id, TEXT(id));
}

struct pool_policy_change pool_sized(uint64_t size) {
    return (struct pool_policy_change){.given = POOL_POLICY_MAX_POOL_SIZE, .values = {.max_pool_size = size}};
}

struct usage usage_of(struct world *world, const char *id) {
    struct verb verb = contract_get(world, "web", id, true);
    static const struct usage none;
    return verb.is_found && verb.session.usage ? *verb.session.usage : none;
}

static void limit_uses(struct world *world, uint64_t max_usage_count) {
    pool_change(world,
                (struct pool_policy_change){.given = POOL_POLICY_MAX_USAGE_COUNT | POOL_POLICY_MAX_POOL_SIZE,
                                            .values = {.max_usage_count = max_usage_count, .max_pool_size = 10}});
}

/* ---- places */

static void is_filled_while_it_is_not_full(struct world *world) {
    char first[32];
    pool_change(world, pool_sized(2));
    struct verb verb = pool_acquire(world, (struct want){.creates = true});
    CHECK(verb.is_found && verb.use == 1 && verb.fence == 0);
    snprintf(first, sizeof(first), "%.*s", (int)verb.session.id.size, (const char *)verb.session.id.data);
    CHECK_EQUAL(verb.usage.usage_count, 1);
    CHECK(bytes_equal(verb.session.pool, TEXT("p")));
    verb = pool_acquire(world, (struct want){.creates = true});
    CHECK(verb.is_found && !is_session(&verb, first));
    CHECK_EQUAL(pool_info(world).usable_count, 2);
    verb = pool_acquire(world,
                        (struct want){.creates = true, .strategy = POOL_STRATEGY_ROUND_ROBIN, .has_strategy = true});
    CHECK(is_session(&verb, first));
    CHECK_EQUAL(verb.use, 2);
    CHECK_EQUAL(usage_of(world, first).usage_count, 2);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "p", LIVING), 2);
}

static void that_is_full_refuses_an_addition_unless_it_is_forced(struct world *world) {
    struct usage forced = {.max_usage_count = 5, .max_error_score = 3, .is_forced = true};
    pool_change(world, pool_sized(1));
    CHECK(pool_put(world, "a").outcome == OUTCOME_REPLACE);
    struct verb verb = pool_put(world, "b");
    CHECK_EQUAL(verb.error.code, ERROR_EXHAUSTED);
    CHECK(!contract_get(world, "web", "b", true).is_found);
    verb = contract_put(world, "web", "b", (struct put){.pool = TEXT("p"), .usage = &forced});
    CHECK(verb.outcome == OUTCOME_REPLACE);
    CHECK_EQUAL(pool_info(world).usable_count, 2);
    contract_remove(world, "web", "a");
    CHECK_EQUAL(pool_put(world, "c").error.code, ERROR_EXHAUSTED);
    contract_remove(world, "web", "b");
    CHECK(pool_put(world, "c").outcome == OUTCOME_REPLACE);
}

static void counts_no_session_that_expired_this_millisecond(struct world *world) {
    pool_change(world, pool_sized(1));
    contract_put(world, "web", "a", (struct put){.pool = TEXT("p"), .idle_timeout_ms = 100});
    world->now_ms += 99;
    CHECK_EQUAL(pool_put(world, "b").error.code, ERROR_EXHAUSTED);
    world->now_ms++;
    CHECK_EQUAL(pool_info(world).usable_count, 0);
    CHECK(pool_put(world, "b").outcome == OUTCOME_REPLACE);
    CHECK(!pool_acquire(world, (struct want){.id = "a"}).is_found);
    CHECK(pool_acquire(world, (struct want){.id = "b"}).is_found);
}

static void a_touch_keeps_its_session_in(struct world *world) {
    contract_put(world, "web", "a", (struct put){.pool = TEXT("p"), .idle_timeout_ms = 100});
    world->now_ms += 60;
    contract_touch(world, "web", "a");
    world->now_ms += 60;
    CHECK_EQUAL(pool_info(world).usable_count, 1);
    CHECK(pool_acquire(world, (struct want){0}).is_found); /* which is a touch too */
    world->now_ms += 99;
    CHECK(contract_get(world, "web", "a", false).is_found);
    world->now_ms++;
    CHECK_EQUAL(pool_info(world).usable_count, 0);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
}

static void a_place_is_held_for_who_asked(struct world *world) {
    pool_change(world, pool_sized(1));
    CHECK_EQUAL(pool_acquire(world, (struct want){.asks = true}).error.code, ERROR_CREATE_NEEDED);
    CHECK_EQUAL(pool_info(world).held_count, 1);
    CHECK_EQUAL(pool_acquire(world, (struct want){.creates = true}).error.code, ERROR_EXHAUSTED);
    CHECK_EQUAL(pool_acquire(world, (struct want){.asks = true}).error.code, ERROR_EXHAUSTED);
    CHECK(pool_put(world, "a").outcome == OUTCOME_REPLACE);
    CHECK_EQUAL(pool_info(world).held_count, 0);
    CHECK_EQUAL(pool_put(world, "b").error.code, ERROR_EXHAUSTED);
    contract_remove(world, "web", "a");
    CHECK_EQUAL(pool_acquire(world, (struct want){.asks = true}).error.code, ERROR_CREATE_NEEDED);
    world->now_ms += LIMIT_PLACE_HOLD_MS - 1;
    CHECK_EQUAL(pool_acquire(world, (struct want){.creates = true}).error.code, ERROR_EXHAUSTED);
    world->now_ms++;
    CHECK(pool_acquire(world, (struct want){.creates = true}).is_found);
}

static void never_makes_one_where_it_is_told_so(struct world *world) {
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    CHECK(!pool_info(world).exists);
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.pools, 0);
    CHECK_EQUAL(stats.namespaces, 0);
}

static void with_limits_of_zero_makes_nothing(struct world *world) {
    limit_uses(world, 0);
    CHECK_EQUAL(pool_acquire(world, (struct want){.creates = true}).error.code, ERROR_EXHAUSTED);
    pool_change(world, pool_sized(0));
    CHECK_EQUAL(pool_acquire(world, (struct want){.creates = true}).error.code, ERROR_EXHAUSTED);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "p", LIVING), 0);
}

/* ---- picking */

static void hands_out_the_least_recent_the_most_recent_or_the_least_used(struct world *world) {
    struct want robin = {.has_strategy = true, .strategy = POOL_STRATEGY_ROUND_ROBIN};
    struct want keep = {.has_strategy = true, .strategy = POOL_STRATEGY_USE_UNTIL_FAILURE, .creates = true};
    struct want least = {.has_strategy = true, .strategy = POOL_STRATEGY_LEAST_USED};
    for (unsigned i = 0; i < 3; i++) pool_put(world, (const char *[]){"a", "b", "c"}[i]);
    static const char *const expected[] = {"a", "b", "c", "a", "b"};
    for (unsigned i = 0; i < 5; i++) {
        struct verb verb = pool_acquire(world, robin);
        CHECK(is_session(&verb, expected[i]));
    }
    for (unsigned i = 0; i < 3; i++) {
        struct verb verb = pool_acquire(world, keep);
        CHECK(is_session(&verb, "b"));
    }
    struct verb verb = pool_acquire(world, least); /* a 2, b 5, c 1 */
    CHECK(is_session(&verb, "c"));
    verb = pool_acquire(world, least);
    CHECK(is_session(&verb, "a"));
    pool_mark(world, "a", MARK_RETIRE, 0);
    verb = pool_acquire(world, keep);
    CHECK(is_session(&verb, "c"));
}

static void by_chance_hands_out_every_one(struct world *world) {
    unsigned counts[3] = {0};
    for (unsigned i = 0; i < 3; i++) pool_put(world, (const char *[]){"a", "b", "c"}[i]);
    for (unsigned i = 0; i < 60; i++) {
        struct verb verb = pool_acquire(world, (struct want){0});
        CHECK(verb.is_found);
        if (!verb.is_found) return;
        counts[verb.session.id.data[0] - 'a']++;
        pool_return(world, (char[]){(char)verb.session.id.data[0], 0},
                    (struct given){.kind = RETURN_RELEASE, .use = verb.use});
    }
    CHECK(counts[0] && counts[1] && counts[2]);
}

static void by_tags_hands_out_only_what_has_all_of_them(struct world *world) {
    struct bytes eu = BYTES_LITERAL("\x91\xa2"
                                    "eu"),
                 both = BYTES_LITERAL("\x92\xa2"
                                      "eu"
                                      "\xa4"
                                      "fast"),
                 us = BYTES_LITERAL("\x91\xa2"
                                    "us");
    contract_put(world, "web", "a", (struct put){.pool = TEXT("p"), .tags = eu});
    contract_put(world, "web", "b", (struct put){.pool = TEXT("p"), .tags = both});
    contract_put(world, "web", "c", (struct put){.pool = TEXT("p")});
    for (unsigned i = 0; i < 10; i++) {
        struct verb verb = pool_acquire(world, (struct want){.tags = both});
        CHECK(is_session(&verb, "b"));
        verb = pool_acquire(world, (struct want){.tags = eu});
        CHECK(verb.is_found && !is_session(&verb, "c"));
    }
    CHECK_EQUAL(pool_acquire(world, (struct want){.tags = us}).error.code, ERROR_EXHAUSTED);
    struct verb verb = pool_acquire(world, (struct want){.tags = us, .creates = true});
    CHECK(verb.is_found && bytes_equal(verb.session.tags, us));
    CHECK(pool_acquire(world, (struct want){.tags = us}).is_found);
    CHECK(!pool_acquire(world, (struct want){.tags = us, .id = "a"}).is_found);
}

static void look_at_two(const struct verb *verb) {
    CHECK(verb->is_found && verb->more_count == 1);
    if (verb->more_count != 1) return;
    CHECK(!bytes_equal(verb->session.id, verb->more[0].session.id));
    CHECK_EQUAL(verb->more[0].use, 1);
    CHECK_EQUAL(verb->more[0].session.usage->usage_count, 1);
}

static void hands_out_several_that_are_different(struct world *world) {
    pool_change(world, pool_sized(3));
    pool_put(world, "a");
    pool_put(world, "b");
    contract_look(look_at_two);
    pool_acquire(world, (struct want){.count = 5});
    struct verb verb = pool_acquire(world, (struct want){.count = 5, .creates = true});
    CHECK_EQUAL(verb.more_count, 2);
    verb = pool_acquire(world, (struct want){.count = 3, .bytes_max = 1});
    CHECK_EQUAL(verb.more_count, 1); /* two of a byte of data each pass one byte */
    CHECK_EQUAL(pool_info(world).usable_count, 3);
    uint64_t uses = 0;
    struct listed listed;
    contract_list(world, "web", GROUP_POOL, "p", LIVING, 10, true, &listed);
    for (unsigned i = 0; i < listed.count; i++) uses += usage_of(world, listed.ids[i]).usage_count;
    CHECK_EQUAL(uses, 2 + 3 + 2);
}

static void hands_out_the_one_that_is_wanted(struct world *world) {
    pool_put(world, "a");
    pool_put(world, "b");
    contract_put(world, "web", "c", (struct put){0});
    for (uint64_t use = 1; use <= 3; use++) {
        struct verb verb = pool_acquire(world, (struct want){.id = "a", .count = 2});
        CHECK(is_session(&verb, "a") && verb.use == use && verb.more_count == 0);
    }
    struct verb verb = pool_acquire(world, (struct want){.id = "c", .creates = true});
    CHECK(!verb.is_found && !verb.error.code); /* it is in no pool */
}

/* What is refused for lack of memory leaves nothing behind: neither a place nor an entry. */
static void makes_nothing_where_memory_is_lacking(struct world *world) {
    struct engine_stats stats;
    struct engine *engine = world->engine;
    unsigned made = 0;
    pool_change(world, pool_sized(100000));
    engine->vtable->stats(engine, &stats);
    engine->vtable->set_limits(engine,
                               &(struct engine_limits){.max_memory = stats.bytes_used + 50000, .max_namespaces = 10});
    struct verb verb;
    do {
        verb = pool_acquire(world, (struct want){.creates = true, .lease_ms = 1000});
        made += verb.is_found;
    } while (verb.is_found && made < 10000);
    CHECK_EQUAL(verb.error.code, ERROR_NO_MEMORY);
    CHECK(made > 0 && made < 1000);
    CHECK_EQUAL(pool_info(world).usable_count, made);
    static const uint8_t large[4096];
    struct put put = {.pool = TEXT("p"), .data = bytes_of(large, sizeof(large)), .revives = true};
    CHECK_EQUAL(contract_put(world, "web", "a", put).error.code, ERROR_NO_MEMORY);
    engine->vtable->check(engine);
    world->now_ms += 1000;
    CHECK(pool_acquire(world, (struct want){.creates = true}).is_found); /* what is there goes on */
    engine->vtable->set_limits(engine, &(struct engine_limits){.max_namespaces = 10});
    CHECK(pool_acquire(world, (struct want){.creates = true}).is_found);
}

/* ---- marks */

static void counts_a_use_once_for_its_first_mark(struct world *world) {
    pool_put(world, "a");
    struct verb verb = pool_acquire(world, (struct want){0});
    CHECK_EQUAL(pool_mark(world, "a", MARK_GOOD, verb.use).usage.usage_count, 1);
    CHECK_EQUAL(pool_mark(world, "a", MARK_GOOD, verb.use).usage.usage_count, 2);
    CHECK_EQUAL(pool_mark(world, "a", MARK_GOOD, 0).usage.usage_count, 3);
    CHECK_EQUAL(pool_mark(world, "a", MARK_GOOD, 2).error.code, ERROR_CONFLICT);
    CHECK_EQUAL(usage_of(world, "a").usage_count, 3);
    CHECK(!pool_mark(world, "none", MARK_GOOD, 0).is_found);
}

static void retires_what_three_bad_marks_blocked(struct world *world) {
    pool_put(world, "a");
    for (unsigned i = 1; i <= 3; i++) {
        struct verb verb = pool_mark(world, "a", MARK_BAD, 0);
        CHECK_EQUAL(verb.usage.error_count, i);
        CHECK_EQUAL(verb.usage.error_score, i < 3 ? i : 6);
        CHECK_EQUAL(verb.usage.usage_count, i < 3 ? i : 4);
        CHECK_EQUAL(verb.usage.retired_at, i < 3 ? 0 : world->now_ms);
    }
    CHECK_EQUAL(pool_info(world).usable_count, 0);
    CHECK_EQUAL(pool_info(world).retired_count, 1);
    for (unsigned i = 0; i < 20; i++) pool_mark(world, "a", MARK_GOOD, 0);
    CHECK(usage_of(world, "a").error_score == 0);
    CHECK_EQUAL(usage_of(world, "a").usage_count, 24);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    CHECK(contract_get(world, "web", "a", false).is_found); /* its status is what it was */
}

static void a_status_code_that_is_not_blocked_changes_nothing(struct world *world) {
    struct given given = {.kind = RETURN_MARK, .mark = MARK_STATUS_CODE, .status_code = 200, .use = 1};
    struct status_codes extra = {{0}};
    limit_uses(world, 1);
    pool_put(world, "a");
    CHECK(pool_acquire(world, (struct want){0}).is_found);
    struct verb verb = pool_return(world, "a", given);
    CHECK(verb.is_found && verb.usage.usage_count == 1 && !verb.usage.retired_at);
    extra.bits[500 / 64] |= UINT64_C(1) << 500 % 64;
    given.status_code = 500;
    CHECK(!pool_return(world, "a", given).usage.retired_at);
    given.extra_codes = &extra;
    CHECK_EQUAL(pool_return(world, "a", given).usage.retired_at, world->now_ms);
    pool_put(world, "b");
    CHECK(pool_return(world, "b", (struct given){.kind = RETURN_MARK, .mark = MARK_STATUS_CODE, .status_code = 403})
              .usage.retired_at);
}

static void gives_up_the_place_at_the_last_hand_out(struct world *world) {
    limit_uses(world, 2);
    pool_put(world, "a");
    pool_acquire(world, (struct want){0});
    CHECK_EQUAL(pool_info(world).usable_count, 1);
    struct verb verb = pool_acquire(world, (struct want){0});
    CHECK_EQUAL(verb.use, 2);
    CHECK_EQUAL(pool_info(world).usable_count, 0);
    CHECK_EQUAL(pool_info(world).retired_count, 0);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    CHECK(!pool_acquire(world, (struct want){.id = "a"}).is_found);
    CHECK(contract_get(world, "web", "a", false).is_found);
    verb = pool_mark(world, "a", MARK_GOOD, 2);
    CHECK_EQUAL(verb.usage.usage_count, 3);
    CHECK(verb.usage.error_score == 3 && verb.usage.retired_at);
    CHECK_EQUAL(pool_info(world).retired_count, 1);
}

static void takes_a_use_back_that_is_released_without_a_mark(struct world *world) {
    struct given release = {.kind = RETURN_RELEASE, .use = 1};
    limit_uses(world, 2);
    pool_put(world, "a");
    pool_acquire(world, (struct want){0});
    CHECK_EQUAL(pool_return(world, "a", release).usage.usage_count, 0);
    CHECK_EQUAL(pool_return(world, "a", release).usage.usage_count, 0); /* it has ended already */
    pool_acquire(world, (struct want){0});
    pool_mark(world, "a", MARK_GOOD, 2);
    release.use = 2;
    CHECK_EQUAL(pool_return(world, "a", release).usage.usage_count, 1);
    struct verb verb = pool_acquire(world, (struct want){0});
    release.use = verb.use;
    CHECK_EQUAL(pool_info(world).usable_count, 0);
    verb = pool_return(world, "a", release); /* the last hand-out: it is retired all the same */
    CHECK_EQUAL(verb.usage.usage_count, 2);
    CHECK_EQUAL(verb.usage.retired_at, world->now_ms);
    release.use = 9;
    CHECK_EQUAL(pool_return(world, "a", release).error.code, ERROR_CONFLICT);
}

static void bounds_open_uses(struct world *world) {
    pool_change(world,
                (struct pool_policy_change){.given = POOL_POLICY_MAX_CONCURRENT, .values = {.max_concurrent = 2}});
    pool_put(world, "a");
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 1);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 2);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    CHECK_EQUAL(pool_info(world).usable_count, 1);
    pool_mark(world, "a", MARK_GOOD, 1);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 3);
    pool_mark(world, "a", MARK_GOOD, 1); /* closed already */
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = 2});
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 4);
}

static void keeps_a_session_back_after_a_use(struct world *world) {
    pool_change(world, (struct pool_policy_change){.given = POOL_POLICY_COOLDOWN_MS, .values = {.cooldown_ms = 100}});
    pool_put(world, "a");
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 1);
    CHECK_EQUAL(pool_info(world).cooling_count, 1);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    world->now_ms += 50;
    pool_mark(world, "a", MARK_GOOD, 1);
    world->now_ms += 99;
    CHECK(!pool_acquire(world, (struct want){.id = "a"}).is_found);
    world->now_ms++;
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 2);
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = 2}); /* lifts it */
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 3);
    world->now_ms += 99;
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    world->now_ms++;
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).use, 4);
}

/* ---- coming and going */

static void forgets_a_retired_session_after_its_retention(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 1000));
    pool_put(world, "a");
    pool_mark(world, "a", MARK_RETIRE, 0);
    world->now_ms += 999;
    CHECK(contract_get(world, "web", "a", false).is_found);
    CHECK_EQUAL(pool_info(world).retired_count, 1);
    world->now_ms++;
    CHECK(!contract_get(world, "web", "a", true).is_found);
    CHECK(!pool_info(world).exists);
    CHECK(!pool_mark(world, "a", MARK_GOOD, 0).is_found);
    CHECK_EQUAL(contract_put(world, "web", "a", (struct put){0}).error.code,
                ERROR_GONE); /* tombstone_ms of it is left */
}

/* No timer runs between the two: neither between two submits of one millisecond, nor between two verbs of one. */
static void forgets_a_retired_session_at_once_where_nothing_is_retained(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 0));
    pool_put(world, "a");
    pool_mark(world, "a", MARK_RETIRE, 0);
    CHECK(!contract_get(world, "web", "a", true).is_found);
    pool_put(world, "b");
    struct verb verbs[] = {
        {.kind = VERB_RETURN,
         .namespace = TEXT("web"),
         .id = TEXT("b"),
         .pool_return = {.kind = RETURN_MARK, .outcome = {.kind = MARK_RETIRE}}},
        {.kind = VERB_GET, .namespace = TEXT("web"), .id = TEXT("b"), .get = {.include_dead = true}}};
    enum submit_state states[2];
    world->engine->vtable->enter(world->engine, world->loop);
    world->engine->vtable->submit(world->engine, world->loop, verbs, states, 2, world->now_ms);
    world->engine->vtable->leave(world->engine, world->loop);
    CHECK(verbs[0].is_found && verbs[0].usage.retired_at == world->now_ms);
    CHECK(!verbs[1].is_found);
}

static void counts_a_retired_session_that_expired_until_it_is_gone(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 1000));
    contract_put(world, "web", "a", (struct put){.pool = TEXT("p"), .idle_timeout_ms = 100});
    pool_mark(world, "a", MARK_RETIRE, 0);
    world->now_ms += 100;
    CHECK_EQUAL(pool_info(world).retired_count, 1);
    contract_end(world, "web", END_PURGE);
    CHECK(!pool_info(world).exists);
}

static void forgets_by_its_own_clock(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 1000));
    pool_put(world, "a");
    pool_mark(world, "a", MARK_RETIRE, 0);
    CHECK(contract_advance(world) <= world->now_ms + 1000);
    world->now_ms += 1000;
    contract_advance(world);
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.sessions, 0);
    CHECK_EQUAL(stats.pools, 0);
    CHECK_EQUAL(stats.retired_total, 1);
}

static void ends_with_what_ends_its_sessions(struct world *world) {
    static const enum end_kind ends[] = {END_CLEAR, END_DROP, END_DESTROY, END_REVOKE, END_REMOVE};
    for (unsigned i = 0; i < 5; i++) {
        pool_change(world, pool_sized(2));
        pool_put(world, "a");
        pool_put(world, "b");
        pool_acquire(world, (struct want){.lease_ms = 1000});
        struct verb verb = verb_of(VERB_END_ALL, "web", NULL);
        verb.end_all.end = ends[i];
        verb.end_all.group = GROUP_POOL;
        verb.end_all.group_name = TEXT("p");
        contract_submit(world, &verb);
        CHECK_EQUAL(pool_info(world).usable_count, 0);
        CHECK_EQUAL(pool_info(world).exists, ends[i] != END_DROP);
        CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
        CHECK_EQUAL(contract_put(world, "web", "c", (struct put){.pool = TEXT("p"), .revives = true}).error.code,
                    ERROR_NONE);
        contract_end(world, "web", END_DROP);
        contract_advance(world);
        world->engine->vtable->check(world->engine);
    }
}

static void takes_a_second_life_of_an_id_as_another_session(struct world *world) {
    pool_put(world, "a");
    pool_mark(world, "a", MARK_BAD, 0);
    contract_remove(world, "web", "a");
    contract_put(world, "web", "a", (struct put){.pool = TEXT("p"), .revives = true});
    CHECK_EQUAL(usage_of(world, "a").error_count, 0);
    CHECK_EQUAL(pool_acquire(world, (struct want){.id = "a"}).use, 1);
}

static void keeps_the_usage_of_a_session_that_is_written_or_renamed(struct world *world) {
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 1000});
    pool_mark(world, "a", MARK_BAD, 0);
    contract_put(world, "web", "a", (struct put){.data = BYTES_LITERAL("\x01")});
    CHECK_EQUAL(usage_of(world, "a").error_count, 1);
    struct verb verb = contract_move(world, "web", "a", (struct rename){.id = TEXT("b")}, 100);
    CHECK(verb.outcome == OUTCOME_REPLACE && verb.session.usage && verb.session.usage->usage_count == 2);
    CHECK_EQUAL(usage_of(world, "b").error_count, 1);
    CHECK_EQUAL(pool_info(world).usable_count, 1);
    CHECK_EQUAL(pool_info(world).leased_count, 1);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    CHECK_EQUAL(pool_return(world, "b", (struct given){.kind = RETURN_RELEASE, .use = 1}).error.code, ERROR_NONE);
    CHECK(pool_acquire(world, (struct want){.id = "b"}).is_found);
}

static void retires_an_expired_session_that_is_marked(struct world *world) {
    contract_put(world, "web", "a", (struct put){.pool = TEXT("p"), .idle_timeout_ms = 10});
    pool_acquire(world, (struct want){0});
    world->now_ms += 10;
    struct verb verb = pool_mark(world, "a", MARK_GOOD, 1);
    CHECK(verb.is_found && verb.usage.retired_at == world->now_ms && verb.usage.usage_count == 2);
}

static void vanishes_with_all_it_had(struct world *world) {
    struct engine_stats before, after;
    world->engine->vtable->stats(world->engine, &before);
    for (unsigned round = 0; round < 3; round++) {
        pool_change(world, pool_sized(50));
        for (unsigned i = 0; i < 50; i++) pool_acquire(world, (struct want){.creates = true, .lease_ms = 10});
        pool_acquire(world, (struct want){.has_strategy = true, .strategy = POOL_STRATEGY_LEAST_USED});
        contract_end(world, "web", END_DROP);
        contract_advance(world);
    }
    world->engine->vtable->enter(world->engine, 0);
    world->engine->vtable->leave(world->engine, 0);
    world->engine->vtable->enter(world->engine, 1);
    world->engine->vtable->leave(world->engine, 1);
    world->engine->vtable->stats(world->engine, &after);
    CHECK_EQUAL(after.pools, 0);
    CHECK_EQUAL(after.namespaces, before.namespaces);
}

const struct contract_test pool_tests[] = {
    {"is filled while it is not full", is_filled_while_it_is_not_full},
    {"that is full refuses an addition unless it is forced", that_is_full_refuses_an_addition_unless_it_is_forced},
    {"counts no session that expired this millisecond", counts_no_session_that_expired_this_millisecond},
    {"keeps a session that is touched", a_touch_keeps_its_session_in},
    {"holds a place for 10 s for who asked", a_place_is_held_for_who_asked},
    {"makes none where it is told never to", never_makes_one_where_it_is_told_so},
    {"with limits of 0 makes nothing", with_limits_of_zero_makes_nothing},
    {"hands out by strategy", hands_out_the_least_recent_the_most_recent_or_the_least_used},
    {"hands out every one by chance", by_chance_hands_out_every_one},
    {"hands out by tags only what has all of them", by_tags_hands_out_only_what_has_all_of_them},
    {"hands out several that are different, as many as there are", hands_out_several_that_are_different},
    {"hands out the one that is wanted", hands_out_the_one_that_is_wanted},
    {"makes nothing where memory is lacking", makes_nothing_where_memory_is_lacking},
    {"counts a use once for its first mark", counts_a_use_once_for_its_first_mark},
    {"retires what three bad marks blocked, with score 6 and usage 4", retires_what_three_bad_marks_blocked},
    {"changes nothing for a status code that is not blocked", a_status_code_that_is_not_blocked_changes_nothing},
    {"loses a session's place at its last hand-out", gives_up_the_place_at_the_last_hand_out},
    {"takes a use back that is released without a mark", takes_a_use_back_that_is_released_without_a_mark},
    {"bounds open uses by max_concurrent", bounds_open_uses},
    {"keeps a session back for cooldown_ms", keeps_a_session_back_after_a_use},
    {"forgets a retired session after its retention", forgets_a_retired_session_after_its_retention},
    {"forgets a retired session at once where nothing is retained",
     forgets_a_retired_session_at_once_where_nothing_is_retained},
    {"counts a retired session that expired until it is gone", counts_a_retired_session_that_expired_until_it_is_gone},
    {"forgets also when nobody asks", forgets_by_its_own_clock},
    {"loses what clear, drop, destroy, revoke and remove end", ends_with_what_ends_its_sessions},
    {"takes a second life of an id as another session", takes_a_second_life_of_an_id_as_another_session},
    {"keeps the usage of what is written or renamed", keeps_the_usage_of_a_session_that_is_written_or_renamed},
    {"retires an expired session that is marked", retires_an_expired_session_that_is_marked},
    {"vanishes with all it had", vanishes_with_all_it_had},
    {NULL, NULL}};
