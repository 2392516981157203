/* Pools: leases with their fences, and acquires that wait. */
#include "contract_pool.h"

/* ---- leases */

static void leases_a_session_to_one_alone(struct world *world) {
    pool_put(world, "a");
    struct verb verb = pool_acquire(world, (struct want){.lease_ms = 100});
    CHECK(verb.fence > 0 && verb.usage.lease_expires_at == world->now_ms + 100);
    CHECK_EQUAL(pool_info(world).leased_count, 1);
    CHECK_EQUAL(pool_info(world).usable_count, 1);
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    CHECK(!pool_acquire(world, (struct want){.id = "a"}).is_found);
    world->now_ms += 99;
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    world->now_ms++;
    struct verb next = pool_acquire(world, (struct want){.lease_ms = 100});
    CHECK(next.is_found && next.fence > verb.fence && next.use == 2);
    CHECK_EQUAL(next.usage.usage_count, 2); /* a lease that ran out counts its use */
}

static void refuses_an_old_fence(struct world *world) {
    pool_put(world, "a");
    struct verb old = pool_acquire(world, (struct want){.lease_ms = 100});
    world->now_ms += 100;
    struct verb new = pool_acquire(world, (struct want){.lease_ms = 100});
    for (enum return_kind kind = RETURN_MARK; kind <= RETURN_RENEW; kind++) {
        struct given given = {.kind = kind, .mark = MARK_BAD, .fence = old.fence, .lease_ms = 100};
        CHECK_EQUAL(pool_return(world, "a", given).error.code, ERROR_CONFLICT);
    }
    CHECK_EQUAL(usage_of(world, "a").error_count, 0);
    CHECK(pool_return(world, "a", (struct given){.kind = RETURN_MARK, .mark = MARK_GOOD, .fence = new.fence}).is_found);
}

static void keeps_a_lease_through_marks_until_its_release(struct world *world) {
    pool_put(world, "a");
    struct verb verb = pool_acquire(world, (struct want){.lease_ms = 100});
    CHECK_EQUAL(pool_mark(world, "a", MARK_GOOD, verb.use).usage.usage_count, 1);
    CHECK_EQUAL(pool_mark(world, "a", MARK_GOOD, verb.use).usage.usage_count, 2);
    CHECK_EQUAL(pool_info(world).leased_count, 1);
    CHECK_EQUAL(pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .fence = verb.fence}).usage.usage_count,
                2);
    CHECK_EQUAL(pool_info(world).leased_count, 0);
    CHECK(pool_acquire(world, (struct want){0}).is_found);
}

static void renews_a_lease_that_is_open(struct world *world) {
    struct given renew = {.kind = RETURN_RENEW, .lease_ms = 100};
    pool_put(world, "a");
    CHECK_EQUAL(pool_return(world, "a", renew).error.code, ERROR_CONFLICT);
    struct verb verb = pool_acquire(world, (struct want){.lease_ms = 100});
    world->now_ms += 60;
    renew.fence = verb.fence;
    CHECK_EQUAL(pool_return(world, "a", renew).usage.lease_expires_at, world->now_ms + 100);
    world->now_ms += 99;
    CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
    world->now_ms++;
    CHECK_EQUAL(pool_return(world, "a", renew).error.code, ERROR_CONFLICT);
}

static void retires_at_the_end_of_the_last_lease(struct world *world) {
    pool_change(world,
                (struct pool_policy_change){.given = POOL_POLICY_MAX_USAGE_COUNT, .values = {.max_usage_count = 1}});
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 100});
    int64_t ends_at = world->now_ms + 100;
    world->now_ms += 150;
    struct usage usage = usage_of(world, "a");
    CHECK_EQUAL(usage.retired_at, ends_at);
    CHECK_EQUAL(usage.usage_count, 2);
}

static void gives_a_leased_use_back_at_release(struct world *world) {
    pool_put(world, "a");
    struct verb verb = pool_acquire(world, (struct want){.lease_ms = 100});
    CHECK_EQUAL(pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = verb.use}).usage.usage_count, 0);
    CHECK_EQUAL(usage_of(world, "a").lease_expires_at, 0);
}

/* ---- waiting */

#define ANSWERS_MAX 64
static struct answer {
    unsigned loop;
    uint64_t ticket, use;
    enum error_code code;
    bool is_found;
    char id[32];
    uint32_t more_count;
} answers[ANSWERS_MAX];
static unsigned answer_count;
static bool takes_answers;

static bool collect(unsigned loop, struct verb *verb) {
    if (!takes_answers) return false;
    struct answer *answer = &answers[answer_count++ % ANSWERS_MAX];
    *answer = (struct answer){.loop = loop,
                              .ticket = verb->private[0],
                              .use = verb->use,
                              .code = verb->error.code,
                              .is_found = verb->is_found,
                              .more_count = verb->more_count};
    if (verb->is_found)
        snprintf(answer->id, sizeof(answer->id), "%.*s", (int)verb->session.id.size,
                 (const char *)verb->session.id.data);
    return true;
}

static void begin_waiting(void) {
    answer_count = 0;
    takes_answers = true;
    contract_done = collect;
}

static uint64_t wait_on(struct world *world, unsigned loop, struct want want) {
    unsigned before = world->loop;
    world->loop = loop;
    want.is_pending = true;
    if (!want.wait_ms) want.wait_ms = 1000;
    struct verb verb = pool_acquire(world, want);
    world->loop = before;
    return verb.private[0];
}

static void serves_who_waits_in_the_order_in_which_they_came(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    struct verb held = pool_acquire(world, (struct want){.lease_ms = 500});
    uint64_t tickets[4];
    for (unsigned i = 0; i < 4; i++) tickets[i] = wait_on(world, i % 2, (struct want){.lease_ms = 100});
    CHECK_EQUAL(pool_info(world).waiting_count, 4);
    contract_advance(world);
    CHECK_EQUAL(answer_count, 0);
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = held.use});
    contract_advance(world);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQUAL(answer_count, i + 1);
        CHECK_EQUAL(answers[i].ticket, tickets[i]);
        CHECK_EQUAL(answers[i].loop, i % 2);
        CHECK(answers[i].is_found && strcmp(answers[i].id, "a") == 0);
        CHECK_EQUAL(pool_acquire(world, (struct want){0}).error.code, ERROR_EXHAUSTED);
        world->now_ms += 100; /* the lease's end serves the next one */
        contract_advance(world);
    }
    CHECK_EQUAL(usage_of(world, "a").usage_count, 4);
}

static void ends_waiting_when_its_time_is_over(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 0, (struct want){.wait_ms = 200});
    CHECK(contract_advance(world) <= world->now_ms + 200);
    world->now_ms += 199;
    contract_advance(world);
    CHECK_EQUAL(answer_count, 0);
    world->now_ms++;
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK_EQUAL(answers[0].code, ERROR_EXHAUSTED);
    CHECK(!answers[0].is_found);
    CHECK_EQUAL(usage_of(world, "a").usage_count, 1);
}

static void grants_before_it_ends_waiting_in_one_millisecond(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 200});
    wait_on(world, 0, (struct want){.wait_ms = 200});
    world->now_ms += 200;
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK(answers[0].is_found);
}

static void makes_a_session_for_who_waits_when_a_place_becomes_free(struct world *world) {
    begin_waiting();
    pool_change(world, pool_sized(1));
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 1, (struct want){.creates = true, .lease_ms = 500});
    wait_on(world, 0, (struct want){.asks = true});
    pool_mark(world, "a", MARK_RETIRE, 0);
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK(answers[0].is_found && strcmp(answers[0].id, "a") != 0 && answers[0].use == 1);
    CHECK_EQUAL(pool_info(world).usable_count, 1);
    pool_mark(world, answers[0].id, MARK_RETIRE, 0);
    contract_advance(world);
    CHECK_EQUAL(answer_count, 2);
    CHECK_EQUAL(answers[1].code, ERROR_CREATE_NEEDED);
    CHECK_EQUAL(pool_info(world).held_count, 1);
}

static void lets_others_pass_a_waiter_only_to_what_it_cannot_have(struct world *world) {
    struct bytes eu = BYTES_LITERAL("\x91\xa2"
                                    "eu");
    begin_waiting();
    pool_put(world, "a");
    pool_acquire(world, (struct want){.id = "a", .lease_ms = 500});
    uint64_t first = wait_on(world, 0, (struct want){.tags = eu});
    uint64_t second = wait_on(world, 0, (struct want){0});
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE});
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK_EQUAL(answers[0].ticket, second);
    contract_put(world, "web", "b", (struct put){.pool = TEXT("p"), .tags = eu});
    contract_advance(world);
    CHECK_EQUAL(answer_count, 2);
    CHECK_EQUAL(answers[1].ticket, first);
}

static void takes_back_what_nobody_is_there_to_take(struct world *world) {
    begin_waiting();
    pool_change(world,
                (struct pool_policy_change){.given = POOL_POLICY_MAX_USAGE_COUNT, .values = {.max_usage_count = 2}});
    pool_put(world, "a");
    struct verb held = pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 0, (struct want){.lease_ms = 100});
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = held.use});
    takes_answers = false;
    contract_advance(world);
    CHECK_EQUAL(usage_of(world, "a").usage_count, 0);
    CHECK_EQUAL(usage_of(world, "a").lease_expires_at, 0);
    CHECK(pool_acquire(world, (struct want){0}).is_found);
}

static void serves_the_next_when_one_is_gone(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    struct verb held = pool_acquire(world, (struct want){.lease_ms = 500});
    uint64_t gone = wait_on(world, 0, (struct want){.lease_ms = 100});
    uint64_t next = wait_on(world, 1, (struct want){.lease_ms = 100});
    struct engine *engine = world->engine;
    engine->vtable->enter(engine, 0);
    CHECK(engine->vtable->cancel(engine, 0, gone));
    CHECK(!engine->vtable->cancel(engine, 0, gone));
    CHECK(!engine->vtable->cancel(engine, 0, 12345));
    engine->vtable->leave(engine, 0);
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = held.use});
    engine->vtable->enter(engine, 1); /* granted, and not answered yet */
    CHECK(engine->vtable->cancel(engine, 1, next));
    engine->vtable->leave(engine, 1);
    CHECK_EQUAL(usage_of(world, "a").usage_count, 0);
    contract_advance(world);
    CHECK_EQUAL(answer_count, 0);
    CHECK(pool_acquire(world, (struct want){0}).is_found);
}

static void answers_who_waits_in_a_namespace_that_is_dropped(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 1, (struct want){0});
    contract_end(world, "web", END_DROP);
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK_EQUAL(answers[0].code, ERROR_EXHAUSTED);
    wait_on(world, 1, (struct want){.wait_ms = 100});
    world->now_ms += 100;
    contract_advance(world);
    CHECK_EQUAL(answer_count, 2);
}

static void who_waits_goes_on_waiting_through_a_reset(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 1, (struct want){0});
    struct verb verb = verb_of(VERB_END_ALL, "web", NULL);
    verb.end_all.end = END_DESTROY;
    verb.end_all.group = GROUP_POOL;
    verb.end_all.group_name = TEXT("p");
    contract_submit(world, &verb);
    contract_advance(world);
    CHECK_EQUAL(answer_count, 0);
    pool_put(world, "b");
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK(strcmp(answers[0].id, "b") == 0);
}

static void gives_who_waits_for_several_as_many_as_there_are(struct world *world) {
    begin_waiting();
    wait_on(world, 0, (struct want){.count = 3});
    pool_put(world, "a");
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK(answers[0].is_found && answers[0].more_count == 0);
    CHECK_EQUAL(usage_of(world, "a").usage_count, 1);
}

static void gives_who_waits_for_several_what_later_ones_could_have(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    pool_put(world, "b");
    pool_acquire(world, (struct want){.id = "a", .lease_ms = 100});
    pool_acquire(world, (struct want){.id = "b", .lease_ms = 100});
    uint64_t first = wait_on(world, 0, (struct want){.count = 2, .lease_ms = 100});
    wait_on(world, 1, (struct want){.lease_ms = 100});
    world->now_ms += 100;
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK_EQUAL(answers[0].ticket, first);
    CHECK_EQUAL(answers[0].more_count, 1);
    CHECK_EQUAL(pool_info(world).waiting_count, 1);
}

/* Who is served gives a place up, and the first who wants that waits before and not behind. */
static void gives_a_place_that_a_grant_gave_up_to_who_came_first(struct world *world) {
    struct bytes eu = BYTES_LITERAL("\x91\xa2"
                                    "eu");
    begin_waiting();
    pool_change(world,
                (struct pool_policy_change){.given = POOL_POLICY_MAX_USAGE_COUNT, .values = {.max_usage_count = 2}});
    pool_change(world, pool_sized(1));
    pool_put(world, "a");
    pool_acquire(world, (struct want){.lease_ms = 100});
    uint64_t first = wait_on(world, 0, (struct want){.asks = true, .tags = eu});
    uint64_t second = wait_on(world, 0, (struct want){0});
    wait_on(world, 0, (struct want){.asks = true});
    world->now_ms += 100;
    contract_advance(world);
    CHECK_EQUAL(answer_count, 2);
    CHECK_EQUAL(answers[0].ticket, second);
    CHECK_EQUAL(answers[1].ticket, first);
    CHECK_EQUAL(answers[1].code, ERROR_CREATE_NEEDED);
    CHECK_EQUAL(pool_info(world).waiting_count, 1);
}

static void gives_no_number_of_a_hand_out_twice(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    struct verb held = pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 0, (struct want){.lease_ms = 100});
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = held.use});
    takes_answers = false;
    contract_advance(world);
    struct verb next = pool_acquire(world, (struct want){0});
    CHECK_EQUAL(next.use, 3); /* nobody got 2 */
    CHECK_EQUAL(next.usage.usage_count, 1);
}

/* A session that was granted and dies before its loop comes to answer is not answered: its waiter waits on. */
static void grants_no_session_that_died_meanwhile(struct world *world) {
    begin_waiting();
    pool_put(world, "a");
    struct verb held = pool_acquire(world, (struct want){.lease_ms = 500});
    wait_on(world, 1, (struct want){0});
    pool_return(world, "a", (struct given){.kind = RETURN_RELEASE, .use = held.use});
    contract_remove(world, "web", "a");
    contract_advance(world);
    CHECK_EQUAL(answer_count, 0);
    CHECK_EQUAL(pool_info(world).waiting_count, 1);
    pool_put(world, "b");
    contract_advance(world);
    CHECK_EQUAL(answer_count, 1);
    CHECK(strcmp(answers[0].id, "b") == 0);
}

const struct contract_test lease_tests[] = {
    {"leases a session to one alone", leases_a_session_to_one_alone},
    {"refuses an old fence", refuses_an_old_fence},
    {"keeps a lease through marks until its release", keeps_a_lease_through_marks_until_its_release},
    {"renews a lease that is open", renews_a_lease_that_is_open},
    {"retires at the end of the last lease", retires_at_the_end_of_the_last_lease},
    {"gives a leased use back at release", gives_a_leased_use_back_at_release},
    {"serves who waits in the order in which they came", serves_who_waits_in_the_order_in_which_they_came},
    {"ends waiting when its time is over", ends_waiting_when_its_time_is_over},
    {"grants before it ends waiting in one millisecond", grants_before_it_ends_waiting_in_one_millisecond},
    {"makes a session for who waits when a place becomes free",
     makes_a_session_for_who_waits_when_a_place_becomes_free},
    {"lets others pass a waiter only to what it cannot have", lets_others_pass_a_waiter_only_to_what_it_cannot_have},
    {"takes back what nobody is there to take", takes_back_what_nobody_is_there_to_take},
    {"serves the next when one is gone", serves_the_next_when_one_is_gone},
    {"answers who waits in a namespace that is dropped", answers_who_waits_in_a_namespace_that_is_dropped},
    {"lets who waits wait on through a reset", who_waits_goes_on_waiting_through_a_reset},
    {"gives who waits for several as many as there are", gives_who_waits_for_several_as_many_as_there_are},
    {"gives who waits for several what later ones could have", gives_who_waits_for_several_what_later_ones_could_have},
    {"gives a place that a grant gave up to who came first", gives_a_place_that_a_grant_gave_up_to_who_came_first},
    {"gives no number of a hand-out twice", gives_no_number_of_a_hand_out_twice},
    {"grants no session that died meanwhile", grants_no_session_that_died_meanwhile},
    {NULL, NULL}};
