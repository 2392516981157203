/* Memory that is taken before it is needed and given back by somebody who has time, and sessions that are moved in it
 * so that there is some to give back. */
#include "contract.h"

#include <string.h>

enum { SESSIONS = 20000, DATA_BYTES = 1200 }; /* 24 MB: a small server has nothing made ready */
enum { QUIET_TURNS = 200 }; /* after so many a loop that took much keeps nothing of it at hand any more */

static struct engine_stats stats_of(struct world *world) {
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    return stats;
}

static const char *name_of(unsigned n) {
    static char name[16];
    snprintf(name, sizeof(name), "p%u", n);
    return name;
}

static void fill(struct world *world, unsigned from, unsigned to) {
    static uint8_t data[DATA_BYTES];
    struct put put = {.idle_timeout_ms = 1000000, .data = {data, sizeof data}};
    for (unsigned i = from; i < to; i++) contract_put(world, "web", name_of(i), put);
}

/* Until the engine asks for no more calls before `until_ms`, in the time that it asks for. Answers when it wants the
 * next. */
static int64_t prepare_through(struct world *world, int64_t until_ms) {
    int64_t at_ms = world->now_ms;
    for (unsigned calls = 0; at_ms < until_ms; calls++) {
        CHECK(calls < 10000);
        at_ms = world->engine->vtable->prepare(world->engine, at_ms);
    }
    return at_ms;
}

static void makes_memory_ready_when_it_was_asked_to(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    unsigned before = contract_preparings();
    fill(world, 0, 100);
    CHECK_EQUAL(vtable->prepare(world->engine, world->now_ms), INT64_MAX);
    CHECK_EQUAL(contract_preparings(), before);
    fill(world, 100, SESSIONS);
    CHECK(contract_preparings() == before + 1);
    struct engine_stats asked = stats_of(world);
    CHECK(vtable->prepare(world->engine, world->now_ms) > world->now_ms);
    struct engine_stats prepared = stats_of(world);
    CHECK(prepared.bytes_mapped > asked.bytes_mapped);
    CHECK_EQUAL(prepared.bytes_used, asked.bytes_used);
    CHECK_EQUAL(prepared.sessions, SESSIONS);
    fill(world, SESSIONS, SESSIONS + 4000);
    CHECK(contract_preparings() > before + 1);
    CHECK(contract_get(world, "web", "p0", false).is_found);
    CHECK(contract_get(world, "web", name_of(SESSIONS + 3999), false).is_found);
}

static void gives_back_what_was_made_ready_for_what_is_gone(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    uint64_t empty = stats_of(world).bytes_mapped;
    vtable->prepare(world->engine, world->now_ms);
    fill(world, 0, SESSIONS);
    vtable->prepare(world->engine, world->now_ms);
    CHECK(stats_of(world).bytes_mapped > (uint64_t)SESSIONS * DATA_BYTES);
    contract_end(world, "web", END_CLEAR);
    for (unsigned i = 0; i < QUIET_TURNS; i++) contract_advance(world);
    prepare_through(world, INT64_MAX);
    /* Arenas and the slab keep some pages for the next need, and a thousand shards what is left in their tables. */
    CHECK(stats_of(world).bytes_mapped < empty + (uint64_t)SESSIONS * DATA_BYTES / 2);
}

/* ---- sessions that are moved together */

static void remove_most(struct world *world, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (i % 10) contract_remove(world, "web", name_of(i));
    contract_advance(world);
}

static void moves_the_rest_together_when_most_have_gone_for_a_while(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
    vtable->prepare(world->engine, world->now_ms);
    fill(world, 0, SESSIONS);
    unsigned before = contract_preparings();
    vtable->prepare(world->engine, world->now_ms);
    remove_most(world, SESSIONS);
    CHECK(contract_preparings() > before);
    struct engine_stats thin = stats_of(world);
    CHECK(thin.bytes_mapped > (uint64_t)SESSIONS * DATA_BYTES * 3 / 4);
    CHECK_EQUAL(prepare_through(world, world->now_ms + 1000), world->now_ms + 1000);
    contract_advance(world);
    CHECK_EQUAL(stats_of(world).moved_total, 0);
    world->now_ms += 1000;
    vtable->prepare(world->engine, world->now_ms);
    contract_advance(world);
    prepare_through(world, INT64_MAX);
    struct engine_stats moved = stats_of(world);
    CHECK(moved.moved_total > SESSIONS / 20 && moved.moved_total <= SESSIONS / 10);
    CHECK_EQUAL(moved.sessions, SESSIONS / 10);
    CHECK_EQUAL(moved.bytes_used, thin.bytes_used);
    CHECK(moved.bytes_mapped < thin.bytes_mapped / 3);
    for (unsigned i = 0; i < SESSIONS; i++) CHECK(contract_get(world, "web", name_of(i), false).is_found == !(i % 10));
    vtable->prepare(world->engine, world->now_ms);
    world->now_ms += 1000;
    vtable->prepare(world->engine, world->now_ms);
    contract_advance(world);
    CHECK_EQUAL(stats_of(world).moved_total, moved.moved_total);
}

static void moves_nothing_of_what_runs_empty_by_itself(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    vtable->prepare(world->engine, world->now_ms);
    fill(world, 0, SESSIONS);
    remove_most(world, SESSIONS);
    vtable->prepare(world->engine, world->now_ms);
    contract_end(world, "web", END_CLEAR);
    contract_advance(world);
    world->now_ms += 1000;
    vtable->prepare(world->engine, world->now_ms);
    contract_advance(world);
    CHECK_EQUAL(stats_of(world).moved_total, 0);
}

static struct put of_ann(void) {
    return (struct put){.idle_timeout_ms = 1000, .user = BYTES_LITERAL("ann"), .client = BYTES_LITERAL("phone")};
}

static void move_all(struct world *world) {
    world->engine->vtable->move_all(world->engine, world->now_ms);
    contract_advance(world);
}

static void changes_nothing_that_anybody_sees_of_what_it_moves(struct world *world) {
    struct put put = of_ann();
    put.data = BYTES_LITERAL("\x81\xa1x\x01");
    put.meta = BYTES_LITERAL("\x81\xa1m\x01");
    uint64_t version = contract_put(world, "web", "s", put).session.version;
    contract_put(world, "web", "dead", of_ann());
    struct put ended = of_ann();
    ended.status = STATUS_ENDED;
    contract_put(world, "web", "dead", ended);
    world->now_ms += 900;
    CHECK(contract_get_touch(world, "web", "s").is_found);
    move_all(world);
    CHECK_EQUAL(stats_of(world).moved_total, 2);
    struct verb got = contract_get(world, "web", "s", false);
    CHECK(got.is_found && bytes_equal(got.session.data, put.data) && bytes_equal(got.session.meta, put.meta));
    CHECK(bytes_equal(got.session.user, put.user) && bytes_equal(got.session.client, put.client));
    CHECK_EQUAL(got.session.version, version);
    CHECK_EQUAL(got.session.last_active_at, world->now_ms);
    CHECK_EQUAL(contract_get(world, "web", "dead", true).session.status, STATUS_ENDED);
    world->now_ms += 999;
    CHECK(contract_get(world, "web", "s", false).is_found);
    world->now_ms++;
    CHECK(!contract_get(world, "web", "s", false).is_found);
    contract_advance(world);
    CHECK_EQUAL(stats_of(world).expired_total, 1);
}

/* The other loop's step, of which this one's is done: what it has to move lies in its own shards. */
static void move_step(struct world *other) {
    other->engine->vtable->enter(other->engine, other->loop);
    other->engine->vtable->advance(other->engine, other->loop, other->now_ms, 1000);
    other->engine->vtable->leave(other->engine, other->loop);
}

enum { POINTS = 12, IDS = 4 };

static void at_any_lock_of_a_verb_loses_nothing(struct world *world) {
    char id[16], new_id[16];
    uint64_t moved = 0;
    for (unsigned point = 0; point < POINTS; point++)
        for (unsigned i = 0; i < IDS * 5; i++) {
            snprintf(id, sizeof(id), "s%u.%u", point, i);
            snprintf(new_id, sizeof(new_id), "n%u.%u", point, i);
            world->loop = 0;
            contract_put(world, "web", id, of_ann());
            world->now_ms += 500;
            world->engine->vtable->move_all(world->engine, world->now_ms);
            move_step(world);
            world->loop = 1;
            contract_at_point(world, point, move_step);
            switch (i % 5) {
            case 0: CHECK(contract_put(world, "web", id, of_ann()).outcome == OUTCOME_REPLACE); break;
            case 1: CHECK(contract_get_touch(world, "web", id).is_found); break;
            case 2: CHECK(contract_remove(world, "web", id).outcome == OUTCOME_REMOVE); break;
            case 3:
                CHECK(contract_move(world, "web", id, (struct rename){.id = bytes_of_string(new_id)}, 0).is_found);
                break;
            case 4: contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT); break;
            }
            contract_at_point(world, 0, NULL);
            contract_advance(world);
            world->now_ms += 600; /* alive by what was done, and else dead */
            bool is_written = i % 5 < 2;
            CHECK(contract_get(world, "web", id, false).is_found == is_written);
            if (i % 5 == 3) CHECK(contract_get(world, "web", new_id, true).is_found);
            contract_end(world, "web", END_CLEAR);
            contract_advance(world);
            world->engine->vtable->check(world->engine);
            moved = stats_of(world).moved_total;
        }
    CHECK(moved > 0);
}

const struct contract_test prepare_tests[] = {
    {"moves the rest together when most have gone for a while",
     moves_the_rest_together_when_most_have_gone_for_a_while},
    {"moves nothing of what runs empty by itself", moves_nothing_of_what_runs_empty_by_itself},
    {"changes nothing that anybody sees of what it moves", changes_nothing_that_anybody_sees_of_what_it_moves},
    {"at any lock of a verb loses nothing", at_any_lock_of_a_verb_loses_nothing},
    {"makes memory ready when it was asked to", makes_memory_ready_when_it_was_asked_to},
    {"gives back what was made ready for what is gone", gives_back_what_was_made_ready_for_what_is_gone},
    {NULL, NULL}};
