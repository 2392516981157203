/* The end of a group: of a large one, turn by turn, and of any one while its sessions move. */
#include "base/buf.h"
#include "base/mp.h"
#include "contract.h"

enum { MANY = 3500, LAST = MANY - 1, POINTS = 60 };

static const char *ids_name(unsigned n) {
    static char name[16];
    snprintf(name, sizeof(name), "m%u", n);
    return name;
}

static struct put of_ann(void) {
    return (struct put){.idle_timeout_ms = 1000, .user = BYTES_LITERAL("ann")};
}

static unsigned living(struct world *world) {
    return (unsigned)contract_count(world, "web", GROUP_USER, "ann", LIVING);
}

/* ---- turn by turn */

static uint64_t ended_total, ended_ticket, ended_depends_on;
static unsigned ended_answers;

static bool note_end(unsigned loop, struct verb *verb) {
    CHECK_EQUAL(loop, 0);
    CHECK_EQUAL(verb->kind, VERB_END_ALL);
    CHECK(verb->error.code == ERROR_NONE && verb->is_found);
    CHECK_EQUAL(verb->private[0], ended_ticket);
    ended_total = verb->scan_result.total;
    ended_depends_on = verb->depends_on;
    ended_answers++;
    return true;
}

/* Many sessions, and the end of them all as it has begun. */
static void begin(struct world *world, enum end_kind end, struct bytes except) {
    struct verb verb;
    for (unsigned i = 0; i < MANY; i++) contract_put(world, "web", ids_name(i), of_ann());
    memset(&verb, 0, sizeof(verb));
    verb.kind = VERB_END_ALL;
    verb.namespace = BYTES_LITERAL("web");
    verb.end_all.end = end;
    verb.end_all.group = GROUP_USER;
    verb.end_all.group_name = BYTES_LITERAL("ann");
    verb.end_all.except = except;
    contract_done = note_end;
    ended_answers = 0;
    CHECK(contract_try(world, &verb) == SUBMIT_PENDING);
    ended_ticket = verb.private[0];
}

static void pass_a_turn(struct world *world) {
    world->engine->vtable->enter(world->engine, world->loop);
    int64_t next = world->engine->vtable->advance(world->engine, world->loop, world->now_ms, 10);
    world->engine->vtable->leave(world->engine, world->loop);
    CHECK(ended_answers || next <= world->now_ms);
}

static void finish(struct world *world) {
    for (unsigned turns = 0; !ended_answers; turns++) {
        CHECK(turns < MANY);
        pass_a_turn(world);
    }
    pass_a_turn(world);
    CHECK_EQUAL(ended_answers, 1);
}

static void goes_on_in_later_turns_while_others_are_answered(struct world *world) {
    begin(world, END_REVOKE, BYTES_ABSENT);
    CHECK_EQUAL(living(world), MANY);
    for (unsigned before = MANY, turns = 1; !ended_answers; turns++) {
        world->loop = turns % 2; /* on its own loop and on another one */
        CHECK(contract_get(world, "web", ids_name(LAST), false).is_found);
        CHECK(contract_put(world, "web", "late", of_ann()).outcome == OUTCOME_REPLACE);
        world->loop = 0;
        pass_a_turn(world);
        unsigned left = living(world);
        CHECK(left < before && before - left <= 1001);
        before = left;
        CHECK(!ended_answers || turns >= 3);
    }
    CHECK_EQUAL(ended_total, MANY);
    CHECK_EQUAL(living(world), 1); /* who came during it */
    struct verb last = contract_get(world, "web", ids_name(LAST), true);
    CHECK_EQUAL(last.session.status, STATUS_REVOKED);
    CHECK_EQUAL(ended_depends_on, last.session.version);
}

/* Else it would be answered before a crash that brings them back. */
static void depends_on_what_it_ended_and_on_what_it_found_ended(struct world *world) {
    contract_put(world, "web", "a", of_ann());
    contract_put(world, "web", "b", of_ann());
    struct verb verb = contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT);
    uint64_t version = contract_get(world, "web", "b", true).session.version;
    CHECK_EQUAL(verb.depends_on, version);
    verb = contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT);
    CHECK_EQUAL(verb.scan_result.total, 0);
    CHECK_EQUAL(verb.depends_on, version);
}

static void is_asked_for_several_times_at_once(struct world *world) {
    struct verb verb;
    begin(world, END_REVOKE, BYTES_ABSENT);
    pass_a_turn(world);
    memset(&verb, 0, sizeof(verb));
    verb.kind = VERB_END_ALL;
    verb.namespace = BYTES_LITERAL("web");
    verb.end_all.end = END_DESTROY;
    verb.end_all.group = GROUP_USER;
    verb.end_all.group_name = BYTES_LITERAL("ann");
    CHECK(contract_submit(world, &verb) >= 3); /* the revoked ones are destroyed too */
    CHECK_EQUAL(verb.scan_result.total, MANY);
    CHECK_EQUAL(living(world), 0);
    CHECK(!contract_get(world, "web", ids_name(0), true).is_found);
    CHECK_EQUAL(ended_answers, 1);
    CHECK_EQUAL(ended_total, MANY); /* its turn comes first each time */
}

static void finds_those_that_move_meanwhile(struct world *world) {
    begin(world, END_REVOKE, BYTES_ABSENT);
    pass_a_turn(world);
    CHECK(contract_move(world, "web", ids_name(LAST), (struct rename){.id = BYTES_LITERAL("a")}, 0).is_found);
    CHECK(contract_move(world, "web", "a", (struct rename){.id = BYTES_LITERAL("b")}, 0).is_found);
    CHECK(contract_move(world, "web", ids_name(LAST - 1), (struct rename){.id = BYTES_LITERAL("c")}, 50).is_found);
    world->loop = 1;
    CHECK(contract_move(world, "web", "b", (struct rename){.id = BYTES_LITERAL("d")}, 0).is_found);
    world->loop = 0;
    finish(world);
    CHECK_EQUAL(living(world), 0);
    CHECK_EQUAL(ended_total, MANY);
    CHECK_EQUAL(contract_get(world, "web", "d", true).session.status, STATUS_REVOKED);
    CHECK_EQUAL(contract_get(world, "web", "c", true).session.status, STATUS_REVOKED);
}

static void keeps_the_excepted_also_where_they_move(struct world *world) {
    struct buf except = BUF_EMPTY;
    mp_write_array(&except, 2);
    mp_write_string(&except, ids_name(LAST));
    mp_write_string(&except, ids_name(0));
    begin(world, END_REVOKE, buf_bytes(&except));
    buf_fini(&except); /* it was borrowed */
    pass_a_turn(world);
    CHECK(contract_move(world, "web", ids_name(LAST), (struct rename){.id = BYTES_LITERAL("a")}, 0).is_found);
    CHECK(contract_move(world, "web", ids_name(0), (struct rename){.id = BYTES_LITERAL("b")}, 0).is_found);
    finish(world);
    CHECK_EQUAL(living(world), 2);
    CHECK_EQUAL(ended_total, MANY - 2);
    CHECK(contract_get(world, "web", "a", false).is_found && contract_get(world, "web", "b", false).is_found);
}

static void ends_nothing_in_the_next_namespace_of_the_name(struct world *world) {
    begin(world, END_DESTROY, BYTES_ABSENT);
    pass_a_turn(world);
    contract_end(world, "web", END_DROP);
    contract_put(world, "web", ids_name(LAST), of_ann());
    contract_advance(world);
    finish(world);
    CHECK(ended_total < MANY);
    CHECK_EQUAL(living(world), 1);
    contract_advance(world);
    world->engine->vtable->check(world->engine);
}

static void may_be_left_behind_when_the_engine_closes(struct world *world) {
    begin(world, END_DESTROY, BYTES_ABSENT);
    pass_a_turn(world);
    CHECK(contract_move(world, "web", ids_name(LAST), (struct rename){.id = BYTES_LITERAL("a")}, 0).is_found);
    CHECK(!ended_answers);
}

/* ---- between two locks */

static char old_id[16], new_id[16];

static void move_one(struct world *other) {
    contract_move(other, "web", old_id, (struct rename){.id = bytes_of_string(new_id)}, 0);
}

static void revoke_all(struct world *other) {
    contract_revoke(other, "web", GROUP_USER, "ann", BYTES_ABSENT);
}

static void put_five(struct world *world, unsigned point) {
    char id[16];
    for (unsigned i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "p%u_%u", point, i);
        contract_put(world, "web", id, of_ann());
    }
}

static void is_not_slipped_through_by_a_move_at_any_of_its_locks(struct world *world) {
    for (unsigned point = 0; point < POINTS; point++)
        for (unsigned i = 0; i < 5; i++) {
            put_five(world, point * 5 + i);
            snprintf(old_id, sizeof(old_id), "p%u_%u", point * 5 + i, i);
            snprintf(new_id, sizeof(new_id), "n%u_%u", point, i);
            contract_at_point(world, point, move_one);
            contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT);
            contract_at_point(world, 0, NULL);
            CHECK_EQUAL(living(world), 0);
        }
}

static void at_any_lock_of_a_move_leaves_nothing_alive(struct world *world) {
    for (unsigned point = 0; point < POINTS; point++) {
        put_five(world, point);
        snprintf(old_id, sizeof(old_id), "p%u_%u", point, point % 5);
        snprintf(new_id, sizeof(new_id), "n%u", point);
        contract_at_point(world, point, revoke_all);
        move_one(world);
        contract_at_point(world, 0, NULL);
        if (point < 2) CHECK_EQUAL(living(world), 0); /* later ones may come when the move is over */
        contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT);
        CHECK_EQUAL(living(world), 0);
    }
}

const struct contract_test ending_tests[] = {
    {"goes on in later turns while others are answered", goes_on_in_later_turns_while_others_are_answered},
    {"depends on what it ended, and on what it found ended", depends_on_what_it_ended_and_on_what_it_found_ended},
    {"is asked for several times at once", is_asked_for_several_times_at_once},
    {"finds those that move meanwhile", finds_those_that_move_meanwhile},
    {"keeps the excepted also where they move", keeps_the_excepted_also_where_they_move},
    {"ends nothing in the next namespace of the name", ends_nothing_in_the_next_namespace_of_the_name},
    {"may be left behind when the engine closes", may_be_left_behind_when_the_engine_closes},
    {"is not slipped through by a move at any of its locks", is_not_slipped_through_by_a_move_at_any_of_its_locks},
    {"at any lock of a move leaves nothing alive", at_any_lock_of_a_move_leaves_nothing_alive},
    {NULL, NULL}};
