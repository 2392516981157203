/* MOVE: one session, a new id, in one step. */
#include "contract.h"

#define RENAME(text) ((struct rename){.id = BYTES_LITERAL(text)})
#define USER(text)   ((struct put){.idle_timeout_ms = 1000, .user = BYTES_LITERAL(text)})

static void takes_all_to_the_new_id_and_buries_the_old(struct world *world) {
    struct verb before = contract_put(world, "web", "old", USER("ann"));
    world->now_ms = START + 10;
    struct verb verb = contract_move(world, "web", "old", RENAME("new"), 0);
    CHECK(verb.outcome == OUTCOME_REPLACE && verb.is_found);
    CHECK(bytes_equal(verb.session.id, BYTES_LITERAL("new")));
    CHECK(verb.session.version > before.session.version);
    CHECK_EQUAL(verb.session.created_at, START);
    CHECK(!contract_get(world, "web", "old", true).is_found);
    CHECK_EQUAL(contract_put(world, "web", "old", USER("ann")).error.code, ERROR_GONE);
    CHECK(bytes_equal(contract_get(world, "web", "new", false).session.user, BYTES_LITERAL("ann")));
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 1);
}

static void of_an_unknown_id_is_nothing(struct world *world) {
    struct verb verb = contract_move(world, "web", "old", RENAME("new"), 0);
    CHECK(!verb.is_found && !verb.error.code && verb.outcome == OUTCOME_KEEP);
    contract_put(world, "web", "other", USER("ann"));
    verb = contract_move(world, "web", "old", RENAME("new"), 0);
    CHECK(!verb.is_found && !verb.error.code);
}

static void to_a_taken_id_is_refused(struct world *world) {
    contract_put(world, "web", "old", USER("ann"));
    contract_put(world, "web", "taken", USER("bob"));
    CHECK_EQUAL(contract_move(world, "web", "old", RENAME("taken"), 0).error.code, ERROR_EXISTS);
    CHECK_EQUAL(contract_move(world, "web", "old", RENAME("old"), 0).error.code, ERROR_EXISTS);
    CHECK(contract_get(world, "web", "old", false).is_found);
    CHECK(bytes_equal(contract_get(world, "web", "taken", false).session.user, BYTES_LITERAL("bob")));
}

static void to_a_closed_id_is_gone(struct world *world) {
    contract_put(world, "web", "old", USER("ann"));
    contract_put(world, "web", "closed", USER("bob"));
    contract_remove(world, "web", "closed");
    CHECK_EQUAL(contract_move(world, "web", "old", RENAME("closed"), 0).error.code, ERROR_GONE);
    contract_put(world, "web", "dead", (struct put){.absolute_expires_at = START - 1});
    CHECK_EQUAL(contract_move(world, "web", "old", RENAME("dead"), 0).error.code, ERROR_GONE);
    CHECK(contract_get(world, "web", "old", false).is_found);
}

static void with_grace_leaves_an_alias_that_reads(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 100));
    contract_put(world, "web", "old", USER("ann"));
    contract_move(world, "web", "old", RENAME("new"), 50);
    world->now_ms = START + 20;
    contract_put(world, "web", "new", (struct put){.data = BYTES_LITERAL("\x05")});
    world->now_ms = START + 49;
    contract_advance(world);
    struct verb verb = contract_get(world, "web", "old", false);
    CHECK(verb.is_found);
    CHECK(bytes_equal(verb.session.id, BYTES_LITERAL("old")));    /* never the successor's */
    CHECK(bytes_equal(verb.session.data, BYTES_LITERAL("\x05"))); /* as it is now */
    CHECK(!verb.session.is_alias && bytes_is_absent(verb.session.replaced_by));
    CHECK_EQUAL(contract_put(world, "web", "old", USER("ann")).error.code, ERROR_GONE);
    CHECK_EQUAL(contract_touch(world, "web", "old").error.code, ERROR_GONE);
    CHECK_EQUAL(contract_move(world, "web", "old", RENAME("third"), 0).error.code, ERROR_GONE);
    CHECK_EQUAL(contract_get_touch(world, "web", "old").session.last_active_at, START + 20); /* not touched */
    world->now_ms = START + 50;
    CHECK(!contract_get(world, "web", "old", true).is_found);
    world->now_ms = START + 99; /* what is left of tombstone_ms counts from the move */
    contract_advance(world);
    CHECK_EQUAL(contract_put(world, "web", "old", USER("ann")).error.code, ERROR_GONE);
    world->now_ms = START + 100;
    contract_advance(world);
    CHECK(contract_put(world, "web", "old", USER("ann")).outcome == OUTCOME_REPLACE);
}

static void alias_dies_with_its_target(struct world *world) {
    contract_put(world, "web", "old", USER("ann"));
    contract_move(world, "web", "old", RENAME("new"), 500);
    CHECK(contract_get(world, "web", "old", false).is_found);
    contract_remove(world, "web", "new");
    CHECK(!contract_get(world, "web", "old", true).is_found);
}

static void alias_is_in_no_list_and_no_count(struct world *world) {
    static struct listed listed;
    contract_put(world, "web", "old", USER("ann"));
    contract_move(world, "web", "old", RENAME("new"), 500);
    contract_list(world, "web", GROUP_USER, "ann", UINT64_MAX, 10, false, &listed);
    CHECK(listed.count == 1 && listed_has(&listed, "new"));
    contract_list(world, "web", GROUP_NONE, NULL, UINT64_MAX, 10, false, &listed);
    CHECK(listed.count == 1 && listed_has(&listed, "new"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, UINT64_MAX), 1);
}

static void changes_the_group_in_the_same_step(struct world *world) {
    contract_put(world, "web", "old", USER("ann"));
    contract_move(world, "web", "old",
                  (struct rename){.id = BYTES_LITERAL("new"), .user = BYTES_LITERAL("bob"), .sets_user = true}, 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "bob", LIVING), 1);
    contract_move(world, "web", "new", (struct rename){.id = BYTES_LITERAL("third"), .sets_user = true}, 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "bob", LIVING), 0);
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.groups, 0);
}

static void within_a_full_group_is_allowed(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS_PER_USER, 1));
    contract_put(world, "web", "old", USER("ann"));
    contract_put(world, "web", "free", (struct put){0});
    CHECK(contract_move(world, "web", "old", RENAME("new"), 0).outcome == OUTCOME_REPLACE);
    struct rename steal = {.id = BYTES_LITERAL("third"), .user = BYTES_LITERAL("ann"), .sets_user = true};
    CHECK_EQUAL(contract_move(world, "web", "free", steal, 0).error.code, ERROR_LIMIT);
    CHECK(contract_get(world, "web", "free", false).is_found);
}

const struct contract_test move_tests[] = {
    {"takes all to the new id and buries the old", takes_all_to_the_new_id_and_buries_the_old},
    {"of an unknown id is nothing", of_an_unknown_id_is_nothing},
    {"to a taken id is refused", to_a_taken_id_is_refused},
    {"to a closed id is gone", to_a_closed_id_is_gone},
    {"with grace leaves an alias that reads", with_grace_leaves_an_alias_that_reads},
    {"leaves an alias that dies with its target", alias_dies_with_its_target},
    {"leaves an alias that is in no list and no count", alias_is_in_no_list_and_no_count},
    {"changes the group in the same step", changes_the_group_in_the_same_step},
    {"within a full group is allowed", within_a_full_group_is_allowed},
    {NULL, NULL}};
