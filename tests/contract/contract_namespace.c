/* Namespaces: their making and end, policies, limits, and the memory of all. */
#include "contract.h"

static void fill(struct world *world, const char *namespace, int count) {
    char id[16];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "s%d", i);
        contract_put(world, namespace, id, (struct put){.idle_timeout_ms = 1000, .user = BYTES_LITERAL("ann")});
    }
}

static struct engine_stats stats_of(struct world *world) {
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    return stats;
}

static struct verb read_state(struct world *world, const char *namespace) {
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, NULL);
    contract_submit(world, &verb);
    return verb;
}

static void comes_into_being_with_its_first_write(struct world *world) {
    contract_get(world, "web", "s", false);
    contract_touch(world, "web", "s");
    contract_remove(world, "web", "s");
    contract_put(world, "web", "s", (struct put){.must_exist = true});
    contract_count(world, "web", GROUP_NONE, NULL, LIVING);
    CHECK(!contract_end(world, "web", END_CLEAR).is_found);
    CHECK(!read_state(world, "web").is_found);
    CHECK_EQUAL(stats_of(world).namespaces, 0);
    contract_put(world, "web", "s", (struct put){0});
    struct verb verb = read_state(world, "web");
    CHECK(verb.is_found);
    CHECK_EQUAL(verb.namespace_state.sessions, 1);
    CHECK(verb.namespace_state.bytes >= 32);
    CHECK_EQUAL(verb.namespace_state.policy->idle_timeout_ms, 86400000);
}

static void is_made_by_configure(struct world *world) {
    struct verb verb = contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 7));
    CHECK(verb.is_found);
    CHECK_EQUAL(read_state(world, "web").namespace_state.policy->retention_ms, 7);
    struct policy_change back = {.given = POLICY_RETENTION_MS, .nil = POLICY_RETENTION_MS};
    contract_configure(world, "web", back);
    CHECK_EQUAL(read_state(world, "web").namespace_state.policy->retention_ms, 86400000);
}

static void cleared_is_empty_at_once_and_closed(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 100));
    fill(world, "web", 200);
    fill(world, "app", 10);
    contract_put(world, "web", "dead", (struct put){.absolute_expires_at = START - 1});
    world->now_ms++;
    struct verb verb = contract_end(world, "web", END_CLEAR);
    CHECK(verb.is_found);
    CHECK_EQUAL(verb.scan_result.total, 200);
    for (int advanced = 0; advanced < 2; advanced++) {
        CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, UINT64_MAX), 0);
        CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", UINT64_MAX), 0);
        CHECK(!contract_get(world, "web", "s3", true).is_found && !contract_get(world, "web", "dead", true).is_found);
        CHECK_EQUAL(contract_put(world, "web", "s3", (struct put){0}).error.code, ERROR_GONE);
        CHECK_EQUAL(contract_touch(world, "web", "s3").error.code, ERROR_GONE);
        CHECK_EQUAL(contract_put(world, "web", "dead", (struct put){0}).error.code, ERROR_GONE);
        contract_advance(world);
    }
    CHECK_EQUAL(read_state(world, "web").namespace_state.bytes, 0);
    CHECK_EQUAL(contract_count(world, "app", GROUP_NONE, NULL, LIVING), 10);
    contract_put(world, "web", "fresh", (struct put){0});
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 1);
    world->now_ms = START + 100;
    CHECK_EQUAL(contract_put(world, "web", "s3", (struct put){0}).error.code, ERROR_GONE);
    world->now_ms = START + 101;
    CHECK(contract_put(world, "web", "s3", (struct put){0}).outcome == OUTCOME_REPLACE);
}

static void purged_forgets_the_dead_only(struct world *world) {
    fill(world, "web", 20);
    contract_put(world, "web", "stays", (struct put){.idle_timeout_ms = 5000});
    world->now_ms = START + 1000;
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", STATUS_BIT(STATUS_EXPIRED)), 20);
    CHECK_EQUAL(contract_end(world, "web", END_PURGE).scan_result.total, 20);
    CHECK(!contract_get(world, "web", "s0", true).is_found);
    CHECK_EQUAL(contract_put(world, "web", "s0", (struct put){0}).error.code, ERROR_GONE); /* its tombstone */
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_EXPIRED)), 0);
    CHECK_EQUAL(contract_end(world, "web", END_PURGE).scan_result.total, 0);
    contract_advance(world);
    CHECK(contract_get(world, "web", "stays", false).is_found);
    CHECK_EQUAL(stats_of(world).groups, 0);
}

static void purging_periodically_forgets_the_dead(struct world *world) {
    struct verb verb = verb_of(VERB_CONFIGURE, "web", NULL);
    verb.configure.sets_purging = verb.configure.is_purging = true;
    verb.configure.purge_interval_ms = 500;
    contract_submit(world, &verb);
    CHECK(verb.is_found && verb.namespace_state.is_purging);
    CHECK_EQUAL(verb.namespace_state.purge_interval_ms, 500);
    contract_put(world, "web", "s", (struct put){.idle_timeout_ms = 100});
    world->now_ms = START + 499;
    CHECK(contract_advance(world) <= START + 500);
    CHECK(contract_get(world, "web", "s", true).is_found);
    world->now_ms = START + 500;
    contract_advance(world);
    CHECK(!contract_get(world, "web", "s", true).is_found);
    contract_put(world, "web", "t", (struct put){.idle_timeout_ms = 100});
    world->now_ms = START + 1000;
    contract_advance(world);
    CHECK(!contract_get(world, "web", "t", true).is_found);
}

static void dropped_leaves_nothing_to_a_new_one_of_its_name(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS, 100));
    fill(world, "web", 50);
    contract_remove(world, "web", "s1");
    CHECK(contract_end(world, "web", END_DROP).is_found);
    CHECK(!contract_end(world, "web", END_DROP).is_found);
    CHECK(!read_state(world, "web").is_found);
    CHECK(!contract_get(world, "web", "s2", true).is_found);
    CHECK(contract_put(world, "web", "s1", (struct put){.user = BYTES_LITERAL("ann")}).outcome == OUTCOME_REPLACE);
    CHECK(contract_put(world, "web", "s2", (struct put){0}).outcome == OUTCOME_REPLACE);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 2);
    CHECK_EQUAL(read_state(world, "web").namespace_state.policy->max_sessions, 0);
    contract_advance(world);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 2);
    CHECK_EQUAL(stats_of(world).sessions, 2);
}

static void returns_all_its_memory_when_dropped(struct world *world) {
    uint64_t empty = stats_of(world).bytes_used;
    for (int round = 0; round < 20; round++) {
        fill(world, "web", 500);
        contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
        contract_end(world, "web", END_DROP);
        contract_advance(world);
        contract_advance(world);
        world->now_ms += 10;
    }
    struct engine_stats stats = stats_of(world);
    CHECK_EQUAL(stats.bytes_records, 0);
    CHECK_EQUAL(stats.groups, 0);
    /* Tables and the index of terms keep their least size. */
    CHECK(stats.bytes_used < empty + 700000);
}

static bool name_each(void *context, struct bytes name) {
    char *all = context;
    strncat(all, (const char *)name.data, name.size);
    strcat(all, " ");
    return true;
}

static void names_are_listed_in_order(struct world *world) {
    char all[200] = "";
    static const char *const names[] = {"web", "a", "zoo", "app", "w", "b"};
    for (unsigned i = 0; i < 6; i++) contract_put(world, names[i], "s", (struct put){0});
    contract_end(world, "b", END_DROP);
    struct verb verb = verb_of(VERB_CONFIGURE, NULL, NULL);
    verb.configure.each = name_each;
    verb.configure.context = all;
    contract_submit(world, &verb);
    CHECK(strcmp(all, "a app w web zoo ") == 0);
}

static void full_refuses_new_sessions(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS, 10));
    fill(world, "web", 10);
    struct verb verb = contract_put(world, "web", "more", (struct put){0});
    CHECK_EQUAL(verb.error.code, ERROR_LIMIT);
    CHECK_EQUAL(verb.error.limit, 10);
    CHECK(contract_put(world, "web", "s0", (struct put){.data = BYTES_LITERAL("\x01")}).outcome == OUTCOME_REPLACE);
    CHECK(contract_put(world, "app", "more", (struct put){0}).outcome == OUTCOME_REPLACE);
    world->now_ms = START + 1000; /* all are dead now, and nobody has worked that off */
    CHECK(contract_put(world, "web", "more", (struct put){0}).outcome == OUTCOME_REPLACE);
}

static void has_room_again_after_a_clear(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS, 10));
    fill(world, "web", 10);
    contract_end(world, "web", END_CLEAR);
    CHECK(contract_put(world, "web", "more", (struct put){0}).outcome == OUTCOME_REPLACE);
}

static void bounds_its_bytes(struct world *world) {
    static uint8_t data[4000];
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_BYTES, 20000));
    int made = 0;
    for (char id[] = "a"; id[0] <= 'z'; id[0]++)
        made += contract_put(world, "web", id, (struct put){.data = bytes_of(data, sizeof(data))}).outcome ==
                OUTCOME_REPLACE;
    CHECK_EQUAL(made, 4);
    struct verb verb = contract_put(world, "web", "z", (struct put){.data = bytes_of(data, sizeof(data))});
    CHECK_EQUAL(verb.error.code, ERROR_LIMIT);
    CHECK_EQUAL(verb.error.limit, 20000);
    CHECK(contract_put(world, "web", "a", (struct put){.data = bytes_of(data, 10)}).outcome == OUTCOME_REPLACE);
    CHECK(contract_put(world, "web", "z", (struct put){.data = bytes_of(data, 3000)}).outcome == OUTCOME_REPLACE);
    CHECK(read_state(world, "web").namespace_state.bytes <= 20000);
}

static void of_a_number_over_the_limit_is_refused(struct world *world) {
    world->engine->vtable->set_limits(world->engine, &(struct engine_limits){.max_namespaces = 2});
    contract_put(world, "a", "s", (struct put){0});
    contract_put(world, "b", "s", (struct put){0});
    struct verb verb = contract_put(world, "c", "s", (struct put){0});
    CHECK_EQUAL(verb.error.code, ERROR_LIMIT);
    CHECK_EQUAL(verb.error.limit, 2);
    CHECK_EQUAL(contract_configure(world, "c", (struct policy_change){0}).error.code, ERROR_LIMIT);
    contract_end(world, "a", END_DROP);
    CHECK(contract_put(world, "c", "s", (struct put){0}).outcome == OUTCOME_REPLACE);
}

/* Wherever the limit lies, what a session takes in its groups' leaves is counted before it comes in. */
static void at_max_memory_what_comes_in_brings_its_groups_along(struct world *world) {
    static uint8_t data[300];
    char id[16];
    for (uint64_t step = 0; step < 40; step++) {
        uint64_t max = stats_of(world).bytes_used + 600000 + step * 137;
        world->engine->vtable->set_limits(world->engine, &(struct engine_limits){.max_memory = max});
        for (int made = 0; made < 10000; made++) {
            snprintf(id, sizeof(id), "s%d", made);
            struct put put = {.data = bytes_of(data, sizeof(data)), .user = TEXT("ann"), .client = TEXT("phone")};
            if (contract_put(world, "web", id, put).error.code == ERROR_NO_MEMORY) break;
            CHECK(stats_of(world).bytes_used <= max);
        }
        world->engine->vtable->set_limits(world->engine, &(struct engine_limits){0});
        contract_end(world, "web", END_DROP);
        contract_advance(world);
        world->now_ms++;
    }
}

/* At max_memory nothing new comes in and nothing living goes; what shrinks or ends always works. */
static void at_max_memory_refuses_growth_alone(struct world *world) {
    static uint8_t data[60000]; /* more than what is kept free for the growth of any shard's table */
    uint64_t max = stats_of(world).bytes_used + 2000000;
    char id[16];
    int made = 0;
    world->engine->vtable->set_limits(world->engine, &(struct engine_limits){.max_memory = max});
    for (;; made++) {
        snprintf(id, sizeof(id), "s%d", made);
        struct put put = {.data = bytes_of(data, 500), .user = BYTES_LITERAL("ann"), .idle_timeout_ms = 100000};
        struct verb verb = contract_put(world, "web", id, put);
        if (verb.error.code == ERROR_NO_MEMORY || made > 10000) break;
        CHECK(stats_of(world).bytes_used <= max);
    }
    CHECK(made > 1000 && made < 4000);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), made);
    CHECK_EQUAL(contract_put(world, "web", "s0", (struct put){.data = bytes_of(data, sizeof(data))}).error.code,
                ERROR_NO_MEMORY);
    CHECK(contract_put(world, "web", "s0", (struct put){.data = bytes_of(data, 500)}).outcome == OUTCOME_REPLACE);
    CHECK(contract_put(world, "web", "s0", (struct put){.data = bytes_of(data, 100)}).outcome == OUTCOME_REPLACE);
    CHECK(contract_touch(world, "web", "s1").is_found);
    CHECK_EQUAL(contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT).scan_result.total, made);
    for (int i = 0; i < made; i++) {
        snprintf(id, sizeof(id), "s%d", i);
        CHECK(contract_remove(world, "web", id).outcome == OUTCOME_REMOVE);
    }
    CHECK(contract_put(world, "web", "new", (struct put){.data = bytes_of(data, 500)}).outcome == OUTCOME_REPLACE);
    CHECK(stats_of(world).bytes_used < max);
}

static void gives_memory_back_after_mass_expiry(struct world *world) {
    contract_configure(
        world, "web",
        policy_set(policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 0), POLICY_TOMBSTONE_MS, 0));
    uint64_t empty = stats_of(world).bytes_used;
    fill(world, "web", 3000);
    CHECK(stats_of(world).bytes_used > empty + 200000);
    world->now_ms = START + 1000;
    contract_advance(world);
    CHECK_EQUAL(stats_of(world).sessions, 0);
    CHECK_EQUAL(stats_of(world).bytes_records, 0);
    CHECK(stats_of(world).bytes_used < empty + 700000);
}

static void policy_holds_for_the_dead_that_are_there(struct world *world) {
    contract_put(world, "web", "s", (struct put){.idle_timeout_ms = 100});
    world->now_ms = START + 200;
    contract_advance(world);
    CHECK(contract_get(world, "web", "s", true).is_found);
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 50));
    CHECK(!contract_get(world, "web", "s", true).is_found);
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 5000));
    CHECK(!contract_get(world, "web", "s", true).is_found); /* forgotten is forgotten */
    contract_advance(world);
    CHECK_EQUAL(stats_of(world).bytes_records, 0);
}

static const struct policy *policy_of(struct world *world, const char *namespace) {
    world->engine->vtable->enter(world->engine, world->loop);
    const struct policy *policy = world->engine->vtable->policy(world->engine, bytes_of_string(namespace));
    world->engine->vtable->leave(world->engine, world->loop);
    return policy;
}

static void tells_its_policy_without_a_verb(struct world *world) {
    CHECK(!policy_of(world, "web"));
    contract_put(world, "web", "s", (struct put){0});
    CHECK(policy_of(world, "web") && policy_of(world, "web")->max_sessions == 0);
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS, 7));
    CHECK(policy_of(world, "web") && policy_of(world, "web")->max_sessions == 7);
    CHECK(!policy_of(world, "we"));
    contract_end(world, "web", END_DROP);
    CHECK(!policy_of(world, "web"));
}

const struct contract_test namespace_tests[] = {
    {"comes into being with its first write", comes_into_being_with_its_first_write},
    {"is made by configure", is_made_by_configure},
    {"that is cleared is empty at once, and its ids closed", cleared_is_empty_at_once_and_closed},
    {"that is purged forgets the dead only", purged_forgets_the_dead_only},
    {"that purges periodically forgets the dead", purging_periodically_forgets_the_dead},
    {"that was dropped leaves nothing to a new one of its name", dropped_leaves_nothing_to_a_new_one_of_its_name},
    {"returns all its memory when dropped", returns_all_its_memory_when_dropped},
    {"is listed in the order of names", names_are_listed_in_order},
    {"that is full refuses new sessions", full_refuses_new_sessions},
    {"has room again after a clear", has_room_again_after_a_clear},
    {"bounds its bytes", bounds_its_bytes},
    {"over the number allowed is refused", of_a_number_over_the_limit_is_refused},
    {"at max_memory what comes in brings its groups along", at_max_memory_what_comes_in_brings_its_groups_along},
    {"at max_memory refuses growth alone", at_max_memory_refuses_growth_alone},
    {"gives memory back after mass expiry", gives_memory_back_after_mass_expiry},
    {"has a policy that holds for the dead that are there", policy_holds_for_the_dead_that_are_there},
    {"tells its policy without a verb", tells_its_policy_without_a_verb},
    {NULL, NULL}};
