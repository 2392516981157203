/* A pool for which very much is due at once: what one turn of a loop works off is bounded, counted in entries; who asks
 * about the whole pool is submitted again until all of it is done, and nobody else has to wait. */
#include "engine/memory/pool_visit.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SESSIONS = 5000, TURN = POOL_TURN_STEPS / ENTRY_STEPS, VISIT = VISIT_STEPS / ENTRY_STEPS, TURNS_MAX = 1000 };
#define START INT64_C(1767225600000)
#define LIFE  INT64_C(60000)

static struct engine *engine;
static int64_t now_ms;
static uint64_t most_of_turn;
static unsigned answers, made;
static enum error_code answered;

static void test_random(void *context, void *out, size_t size) {
    static unsigned char byte;
    (void)context;
    memset(out, ++byte, size);
}
static void test_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}
static void test_point(void *context);
static const struct env env = {.random = test_random, .wake = test_wake, .point = test_point};

static size_t make_id(void *context, char *id) {
    (void)context;
    return (size_t)snprintf(id, 24, "s%u", made++);
}

static void begin_session(const struct policy *policy, const struct pool_policy *pool, int64_t at_ms,
                          struct session *draft, struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = at_ms;
    draft->absolute_timeout_ms = LIFE;
    draft->data = BYTES_LITERAL("\x80");
    *usage = (struct usage){.max_usage_count = pool->max_usage_count, .max_error_score = pool->max_error_score};
}

static void apply_policy(struct pool_policy *policy, const struct pool_policy_change *change) {
    policy->max_concurrent = change->values.max_concurrent;
}

static bool on_done(void *context, unsigned loop_index, struct verb *verb) {
    (void)context, (void)loop_index;
    answers++;
    answered = verb->error.code;
    return true;
}

static uint64_t worked_off(void) {
    return atomic_load(&((struct memory_engine *)engine)->loops[0].counters.pool_due);
}

static void note_turn(uint64_t before) {
    uint64_t taken = worked_off() - before;
    if (taken > most_of_turn) most_of_turn = taken;
}

static enum submit_state submit_at(unsigned loop_index, struct verb *verb) {
    enum submit_state state;
    engine->vtable->enter(engine, loop_index);
    engine->vtable->submit(engine, loop_index, verb, &state, 1, now_ms);
    engine->vtable->leave(engine, loop_index);
    return state;
}

static enum submit_state submit(struct verb *verb) {
    uint64_t before = worked_off();
    enum submit_state state = submit_at(0, verb);
    note_turn(before);
    return state;
}

static int64_t advance(void) {
    uint64_t before = worked_off();
    engine->vtable->enter(engine, 0);
    int64_t next_ms = engine->vtable->advance(engine, 0, now_ms, 1000);
    engine->vtable->leave(engine, 0);
    note_turn(before);
    return next_ms;
}

static void advance_all(void) {
    for (unsigned i = 0; i < TURNS_MAX && advance() <= now_ms; i++) continue;
}

static struct verb verb_of(enum verb_kind kind, const char *id) {
    struct verb verb;
    memset(&verb, 0, sizeof(verb));
    verb.kind = kind;
    verb.namespace = BYTES_LITERAL("crawl");
    verb.id = bytes_of_string(id);
    return verb;
}

static struct verb acquire_of(enum pool_create create, int64_t lease_ms) {
    struct verb verb = verb_of(VERB_ACQUIRE, NULL);
    verb.acquire.pool = BYTES_LITERAL("p");
    verb.acquire.has_strategy = true;
    verb.acquire.strategy = POOL_STRATEGY_LEAST_RECENT;
    verb.acquire.create = create;
    verb.acquire.lease_ms = lease_ms;
    verb.acquire.count = 1;
    return verb;
}

/* Submits until it is executed; answers in how many turns. */
static unsigned submit_until_done(struct verb *verb) {
    struct verb fresh = *verb;
    for (unsigned turns = 1; turns < TURNS_MAX; turns++) {
        *verb = fresh;
        if (submit(verb) != SUBMIT_AGAIN) return turns;
    }
    cr_assert_fail("it is never executed");
    return 0;
}

/* ---- an add of the other loop's, while this one is working off what is due */

static bool is_adding;
static unsigned adds, refused_adds;

static enum outcome add_rule(const struct update_input *input, struct session *draft, struct error *error) {
    static struct usage usage;
    (void)error;
    if (input->presence == PRESENCE_ALIVE) return OUTCOME_KEEP;
    *draft = (struct session){.id = BYTES_LITERAL("added"), .pool = BYTES_LITERAL("p"), .usage = &usage};
    begin_session(input->policy, input->pool_policy, input->now_ms, draft, &usage);
    return OUTCOME_REPLACE;
}

static void test_point(void *context) {
    (void)context;
    if (!is_adding || atomic_load(&((struct memory_engine *)engine)->pools_due_at) != INT64_MAX) return;
    is_adding = false;
    struct verb verb = verb_of(VERB_UPDATE, "added");
    verb.update.rule = add_rule;
    verb.update.pool = BYTES_LITERAL("p");
    if (submit_at(1, &verb) == SUBMIT_DONE) refused_adds += verb.error.code != ERROR_NONE;
    adds++;
}

/* A full pool. */
static void begin(void) {
    struct pool_policy policy = POOL_POLICY_DEFAULTS;
    policy.max_pool_size = SESSIONS;
    now_ms = START;
    answers = made = 0;
    engine = memory_engine_open(&(struct engine_options){.loop_count = 2,
                                                         .shard_bits = 2,
                                                         .now_ms = START,
                                                         .limits = {.max_namespaces = 4},
                                                         .env = &env,
                                                         .pool_policy_apply = apply_policy,
                                                         .default_pool_policy = &policy,
                                                         .pool_session_make = make_id,
                                                         .pool_session_begin = begin_session});
    cr_assert(engine);
    engine->vtable->set_done(engine, on_done, NULL);
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct verb verb = acquire_of(POOL_CREATE_AUTO, 0);
        cr_assert_eq(submit(&verb), SUBMIT_DONE);
        cr_assert(verb.is_found);
    }
    advance_all();
    most_of_turn = 0;
}

static void end(void) {
    advance_all();
    engine->vtable->check(engine);
    engine->vtable->close(engine);
    cr_assert_leq(most_of_turn, TURN + VISIT);
    cr_assert_geq(most_of_turn, TURN / 2); /* else little was due at once, and this has shown nothing */
}

Test(pool_behind, deadlines_of_one_millisecond) {
    begin();
    now_ms += LIFE;
    struct verb get = verb_of(VERB_GET, "s7");
    cr_assert_eq(submit(&get), SUBMIT_DONE);
    cr_assert_not(get.is_found);
    struct verb verb = acquire_of(POOL_CREATE_AUTO, 0);
    cr_assert_geq(submit_until_done(&verb), SESSIONS / (TURN + VISIT) - 1);
    cr_assert(verb.is_found);
    cr_assert_eq(verb.session.created_at, now_ms, "a dead session was handed out, or the pool taken for full");
    struct verb state = verb_of(VERB_CONFIGURE, NULL);
    state.configure.group = GROUP_POOL;
    state.configure.group_name = BYTES_LITERAL("p");
    cr_assert_eq(submit(&state), SUBMIT_DONE);
    cr_assert_eq(state.pool_state.usable_count, 1);
    end();
}

Test(pool_behind, a_clear) {
    begin();
    struct verb clear = verb_of(VERB_END_ALL, NULL);
    clear.end_all.end = END_CLEAR;
    cr_assert_eq(submit(&clear), SUBMIT_DONE);
    struct verb verb = acquire_of(POOL_CREATE_AUTO, 0), never = acquire_of(POOL_CREATE_NEVER, 0);
    cr_assert_gt(submit_until_done(&verb), 1);
    cr_assert(verb.is_found && verb.use == 1);
    cr_assert_eq(submit(&never), SUBMIT_DONE);
    cr_assert(bytes_equal(never.session.id, verb.session.id), "what was cleared was handed out");
    end();
}

Test(pool_behind, the_ends_of_leases_in_one_millisecond) {
    begin();
    uint64_t fence = 0;
    char id[24] = "";
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct verb verb = acquire_of(POOL_CREATE_NEVER, 1000);
        cr_assert_eq(submit(&verb), SUBMIT_DONE);
        cr_assert(verb.is_found);
        fence = verb.fence;
        snprintf(id, sizeof(id), "%.*s", (int)verb.session.id.size, (const char *)verb.session.id.data);
    }
    struct verb waits = acquire_of(POOL_CREATE_NEVER, 0);
    waits.acquire.wait_ms = 5000;
    cr_assert_eq(submit(&waits), SUBMIT_PENDING);
    now_ms += 1000;
    /* Of one session all is known at once: its lease is over, however many others' are. */
    struct verb renew = verb_of(VERB_RETURN, id);
    renew.pool_return.kind = RETURN_RENEW;
    renew.pool_return.fence = fence;
    renew.pool_return.lease_ms = 1000;
    cr_assert_eq(submit(&renew), SUBMIT_DONE);
    cr_assert_eq(renew.error.code, ERROR_CONFLICT);
    struct verb one = acquire_of(POOL_CREATE_NEVER, 0);
    one.id = bytes_of_string(id);
    cr_assert_eq(submit(&one), SUBMIT_DONE);
    cr_assert(one.is_found);
    /* Who came first is served first, and not before all is done. */
    advance();
    cr_assert_eq(answers, 0);
    struct verb verb = acquire_of(POOL_CREATE_NEVER, 0);
    cr_assert_gt(submit_until_done(&verb), 1);
    cr_assert(bytes_equal(verb.session.id, BYTES_LITERAL("s1")), "the waiting one did not get s0, or not first");
    advance_all();
    cr_assert(answers == 1 && answered == ERROR_NONE);
    end();
}

Test(pool_behind, another_max_concurrent) {
    begin();
    struct pool_policy_change change = {.given = POOL_POLICY_MAX_CONCURRENT, .values = {.max_concurrent = 1}};
    struct verb verb = verb_of(VERB_CONFIGURE, NULL), acquire = acquire_of(POOL_CREATE_NEVER, 0);
    verb.configure.group = GROUP_POOL;
    verb.configure.group_name = BYTES_LITERAL("p");
    verb.configure.pool_change = &change;
    cr_assert_eq(submit(&verb), SUBMIT_DONE);
    cr_assert_gt(submit_until_done(&acquire), 1);
    cr_assert_not(acquire.is_found, "each has one use open already");
    end();
}

/* While one loop works off what is due the other must not take the pool for as full as it was. */
Test(pool_behind, an_add_while_the_other_loop_works) {
    begin();
    now_ms += LIFE;
    is_adding = true;
    adds = refused_adds = 0;
    advance();
    cr_assert_eq(adds, 1);
    cr_assert_eq(refused_adds, 0);
    end();
}
