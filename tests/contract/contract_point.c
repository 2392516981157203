/* What another loop does between two takings of a lock, at every such point: the rare orders, without any luck. */
#include "contract.h"

enum { POINTS = 14 };

static struct put of_ann(void) {
    return (struct put){.idle_timeout_ms = 1000, .user = BYTES_LITERAL("ann"), .revives = true};
}

static void drop_and_sweep(struct world *other) {
    contract_end(other, "web", END_DROP);
    for (int i = 0; i < 50; i++) {
        other->engine->vtable->enter(other->engine, other->loop);
        other->engine->vtable->advance(other->engine, other->loop, other->now_ms, 1000);
        other->engine->vtable->leave(other->engine, other->loop);
    }
}

/* The engine's check finds a session that was published into what had been swept already. */
static void nothing_is_written_into_a_dropped_namespace(struct world *world) {
    char id[16];
    for (unsigned point = 0; point < POINTS; point++)
        for (int i = 0; i < 8; i++) {
            snprintf(id, sizeof(id), "s%d", i);
            contract_put(world, "web", "old", of_ann());
            contract_at_point(world, point, drop_and_sweep);
            CHECK(contract_put(world, "web", id, of_ann()).outcome == OUTCOME_REPLACE);
            contract_at_point(world, 0, NULL);
            contract_advance(world);
            world->engine->vtable->check(world->engine);
        }
}

static void put_another(struct world *other) {
    contract_put(other, "web", "other", of_ann());
}

/* A dead session is revived in the millisecond in which it was made: its old and its new entry look the same. */
static void a_limit_counts_a_revival_that_is_under_way(struct world *world) {
    struct policy_change change = policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS_PER_USER, 1);
    contract_configure(world, "web", change);
    for (unsigned point = 0; point < POINTS; point++) {
        struct put ended = of_ann();
        ended.status = STATUS_ENDED;
        contract_put(world, "web", "s", ended);
        contract_at_point(world, point, put_another);
        contract_put(world, "web", "s", of_ann());
        contract_at_point(world, 0, NULL);
        CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 1);
        contract_end(world, "web", END_CLEAR);
        contract_advance(world);
        world->now_ms++;
    }
}

static void touch_it(struct world *other) {
    contract_touch(other, "web", "s");
}

static void a_touch_is_not_lost_to_a_set(struct world *world) {
    for (unsigned point = 0; point < POINTS; point++) {
        contract_put(world, "web", "s", of_ann());
        world->now_ms += 10;
        contract_at_point(world, point, touch_it);
        struct verb verb = contract_put(world, "web", "s", (struct put){.keeps_activity = true});
        bool was_touched = point == 0; /* the only point: before the lock */
        contract_at_point(world, 0, NULL);
        if (was_touched) CHECK_EQUAL(verb.session.last_active_at, world->now_ms);
    }
}

static void remove_it(struct world *other) {
    contract_remove(other, "web", "s");
}

static void a_set_does_not_bring_back_what_is_destroyed_meanwhile(struct world *world) {
    for (unsigned point = 0; point < POINTS; point++) {
        contract_put(world, "web", "s", of_ann());
        contract_at_point(world, point, remove_it);
        struct verb verb = contract_put(world, "web", "s", (struct put){.data = BYTES_LITERAL("\x01")});
        contract_at_point(world, 0, NULL);
        if (point == 0) CHECK_EQUAL(verb.error.code, ERROR_GONE);
        CHECK_EQUAL(contract_get(world, "web", "s", true).is_found, point != 0);
    }
}

static void revoke_ann(struct world *other) {
    contract_revoke(other, "web", GROUP_USER, "ann", BYTES_ABSENT);
}

/* Whatever the point, the session that was there is dead afterwards, under its old and its new name. */
static void a_rename_does_not_escape_revoke_all(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
    for (unsigned point = 0; point < 6; point++) {
        contract_put(world, "web", "s", of_ann());
        contract_at_point(world, point, revoke_ann);
        struct verb verb = contract_move(world, "web", "s", (struct rename){.id = BYTES_LITERAL("new")}, 0);
        bool was_after = verb.outcome == OUTCOME_REPLACE && contract_get(world, "web", "new", false).is_found;
        contract_at_point(world, 0, NULL);
        if (was_after) { /* the point was never reached, or lies behind the rename and found no session of that name */
            CHECK(point > 2);
            CHECK_EQUAL(contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT).scan_result.total, 1);
        }
        CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", LIVING), 0);
        contract_end(world, "web", END_CLEAR);
        contract_advance(world);
        world->now_ms++;
    }
}

const struct contract_test point_tests[] = {
    {"nothing is written into a dropped namespace", nothing_is_written_into_a_dropped_namespace},
    {"a limit counts a revival that is under way", a_limit_counts_a_revival_that_is_under_way},
    {"a touch is not lost to a set", a_touch_is_not_lost_to_a_set},
    {"a set does not bring back what is destroyed", a_set_does_not_bring_back_what_is_destroyed_meanwhile},
    {"a rename does not escape revoke_all", a_rename_does_not_escape_revoke_all},
    {NULL, NULL}};
