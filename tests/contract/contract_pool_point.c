/* Pools between two locks: what another loop does at every such point of an acquire, a mark, an addition or a rename.
 * Whatever it is, in the end the engine's counts agree with its sessions, and nobody got what was not there. */
#include "contract_pool.h"

enum { POINTS = 16 };

static void remove_a(struct world *other) {
    contract_remove(other, "web", "a");
}
static void end_a(struct world *other) {
    contract_put(other, "web", "a", (struct put){.status = STATUS_ENDED});
}
static void write_a(struct world *other) {
    contract_put(other, "web", "a", (struct put){.data = BYTES_LITERAL("\x01")});
}
static void rename_a(struct world *other) {
    contract_move(other, "web", "a", (struct rename){.id = TEXT("b")}, 0);
}
static void begin_a_new_life(struct world *other) {
    contract_remove(other, "web", "a");
    contract_put(other, "web", "a", (struct put){.pool = TEXT("p"), .revives = true});
}
static void retire_a(struct world *other) {
    pool_mark(other, "a", MARK_RETIRE, 0);
}
static void drop_all(struct world *other) {
    contract_end(other, "web", END_DROP);
}
static void clear_all(struct world *other) {
    contract_end(other, "web", END_CLEAR);
}
static void reset_pool(struct world *other) {
    struct verb verb = verb_of(VERB_END_ALL, "web", NULL);
    verb.end_all.end = END_DESTROY;
    verb.end_all.group = GROUP_POOL;
    verb.end_all.group_name = TEXT("p");
    contract_submit(other, &verb);
}
static void acquire_one(struct world *other) {
    struct verb verb = verb_of(VERB_ACQUIRE, "web", NULL);
    verb.acquire.pool = TEXT("p");
    verb.acquire.create = POOL_CREATE_AUTO;
    verb.acquire.count = 1;
    verb.acquire.lease_ms = 1000;
    contract_submit(other, &verb);
    CHECK(verb.is_found || verb.error.code == ERROR_EXHAUSTED);
}
static void add_one(struct world *other) {
    contract_put(other, "web", "other", (struct put){.pool = TEXT("p"), .revives = true});
}
static void shrink(struct world *other) {
    pool_change(other, pool_sized(0));
}

static void (*const actions[])(struct world *other) = {remove_a,         end_a,       write_a,  rename_a,
                                                       begin_a_new_life, retire_a,    drop_all, clear_all,
                                                       reset_pool,       acquire_one, add_one,  shrink};
#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

/* Runs `step` on a pool of `a`, for two sessions, with each action at each point. */
static void at_every_point(struct world *world, void (*step)(struct world *world)) {
    for (unsigned action = 0; action < ACTION_COUNT; action++)
        for (unsigned point = 0; point < POINTS; point++) {
            contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
            pool_change(world, pool_sized(2));
            pool_put(world, "a");
            contract_at_point(world, point, actions[action]);
            step(world);
            contract_at_point(world, 0, NULL);
            contract_advance(world);
            world->engine->vtable->check(world->engine);
            struct pool_state state = pool_info(world);
            /* A smaller size ends nothing; what was dropped comes back with the default. */
            CHECK(state.usable_count <= (state.policy.max_pool_size > 2 ? state.policy.max_pool_size : 2));
            CHECK_EQUAL(state.waiting_count, 0);
            contract_end(world, "web", END_DROP);
            contract_advance(world);
            world->engine->vtable->check(world->engine);
            struct engine_stats stats;
            world->engine->vtable->stats(world->engine, &stats);
            CHECK_EQUAL(stats.pools, 0);
            CHECK_EQUAL(stats.sessions, 0);
            world->now_ms++;
        }
}

static struct verb acquire_any(struct world *world, struct want want) {
    struct verb verb = verb_of(VERB_ACQUIRE, "web", want.id);
    verb.acquire.pool = TEXT("p");
    verb.acquire.create = want.creates ? POOL_CREATE_AUTO : POOL_CREATE_NEVER;
    verb.acquire.lease_ms = want.lease_ms;
    verb.acquire.count = want.count ? want.count : 1;
    verb.acquire.bytes_max = SIZE_MAX;
    contract_submit(world, &verb);
    return verb;
}

static void get_a(struct world *world) {
    struct verb verb = acquire_any(world, (struct want){.lease_ms = 100});
    CHECK(!verb.is_found || session_is_alive(&verb.session, world->now_ms));
    CHECK(verb.is_found || verb.error.code == ERROR_EXHAUSTED);
    verb = acquire_any(world, (struct want){.id = "a"});
    CHECK(!verb.error.code);
}

static void an_acquire_hands_out_what_is_alive(struct world *world) {
    at_every_point(world, get_a);
}

static void look_at_several(const struct verb *verb) {
    CHECK(verb->is_found || verb->error.code == ERROR_EXHAUSTED);
    if (verb->is_found && verb->more_count) CHECK(!bytes_equal(verb->session.id, verb->more[0].session.id));
}

static void get_several(struct world *world) {
    contract_look(look_at_several);
    acquire_any(world, (struct want){.creates = true, .count = 3});
}

static void an_acquire_that_makes_sessions_keeps_its_places(struct world *world) {
    at_every_point(world, get_several);
}

static void mark_a(struct world *world) {
    pool_mark(world, "a", MARK_BAD, 0);
    struct verb verb = pool_mark(world, "a", MARK_GOOD, 0);
    CHECK(!verb.error.code);
}

static void a_mark_is_of_one_life(struct world *world) {
    at_every_point(world, mark_a);
}

static void put_another(struct world *world) {
    struct verb verb = contract_put(world, "web", "another", (struct put){.pool = TEXT("p")});
    CHECK(verb.outcome == OUTCOME_REPLACE || verb.error.code == ERROR_EXHAUSTED);
}

static void an_addition_takes_one_place_or_none(struct world *world) {
    at_every_point(world, put_another);
}

static void move_a(struct world *world) {
    contract_move(world, "web", "a", (struct rename){.id = TEXT("c")}, 0);
}

static void a_rename_takes_the_usage_along(struct world *world) {
    at_every_point(world, move_a);
    pool_put(world, "a");
    pool_acquire(world, (struct want){0});
    move_a(world);
    CHECK_EQUAL(usage_of(world, "c").usage_count, 1);
}

static void forget_a(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 10));
    pool_mark(world, "a", MARK_RETIRE, 0);
    world->now_ms += 10;
    pool_info(world);
}

static void a_session_is_forgotten_once(struct world *world) {
    at_every_point(world, forget_a);
}

/* ---- waiting */

static unsigned answered;
static bool count_answer(unsigned loop, struct verb *verb) {
    (void)loop;
    CHECK(!verb->is_found || session_status(&verb->session, INT64_MIN) == STATUS_ACTIVE);
    answered++;
    return true;
}

static void wait_and_be_served(struct world *world) {
    struct verb held = acquire_any(world, (struct want){.lease_ms = 100}), waits = verb_of(VERB_ACQUIRE, "web", NULL);
    answered = 0;
    contract_done = count_answer;
    waits.acquire.pool = TEXT("p");
    waits.acquire.create = POOL_CREATE_NEVER;
    waits.acquire.wait_ms = 50;
    waits.acquire.count = 1;
    bool is_pending = contract_try(world, &waits) == SUBMIT_PENDING;
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = held.use});
    contract_advance(world);
    world->now_ms += 50;
    contract_advance(world);
    CHECK_EQUAL(answered, is_pending);
}

static void who_waits_is_answered_once(struct world *world) {
    at_every_point(world, wait_and_be_served);
}

const struct contract_test pool_point_tests[] = {
    {"an acquire hands out what is alive", an_acquire_hands_out_what_is_alive},
    {"an acquire that makes sessions keeps its places", an_acquire_that_makes_sessions_keeps_its_places},
    {"a mark is of one life", a_mark_is_of_one_life},
    {"an addition takes one place or none", an_addition_takes_one_place_or_none},
    {"a rename takes the usage along", a_rename_takes_the_usage_along},
    {"a session is forgotten once", a_session_is_forgotten_once},
    {"who waits is answered once", who_waits_is_answered_once},
    {NULL, NULL}};
