/* The life of one session, to the millisecond: presence, deadlines, retention, tombstones, touches, versions. */
#include "contract.h"

static int64_t expires_at(struct verb verb) {
    return session_expires_at(&verb.session);
}

#define IDLE_100 ((struct put){.idle_timeout_ms = 100})

static void lives_until_the_millisecond_of_its_idle_deadline(struct world *world) {
    contract_put(world, "web", "s", IDLE_100);
    world->now_ms = START + 99;
    CHECK(contract_get(world, "web", "s", false).is_found);
    world->now_ms = START + 100;
    CHECK(!contract_get(world, "web", "s", false).is_found);
    struct verb verb = contract_get(world, "web", "s", true);
    CHECK(verb.is_found);
    CHECK_EQUAL(session_status(&verb.session, world->now_ms), STATUS_EXPIRED);
    CHECK_EQUAL(session_status_at(&verb.session, world->now_ms), START + 100);
}

static void is_abandoned_if_that_deadline_is_the_earlier(struct world *world) {
    contract_put(world, "web", "s", (struct put){.idle_timeout_ms = 100, .abandon_timeout_ms = 50});
    world->now_ms = START + 50;
    CHECK(!contract_get(world, "web", "s", false).is_found);
    struct verb verb = contract_get(world, "web", "s", true);
    CHECK_EQUAL(session_status(&verb.session, world->now_ms), STATUS_ABANDONED);
    CHECK_EQUAL(contract_touch(world, "web", "s").error.status, STATUS_ABANDONED);
}

static void is_never_reached_by_touches_beyond_its_absolute_deadline(struct world *world) {
    contract_put(world, "web", "s", (struct put){.idle_timeout_ms = 100, .absolute_timeout_ms = 150});
    world->now_ms = START + 90;
    struct verb verb = contract_touch(world, "web", "s");
    CHECK_EQUAL(session_expires_at(&verb.session), START + 150);
    world->now_ms = START + 150;
    CHECK(!contract_get(world, "web", "s", false).is_found);
}

static void can_be_born_expired(struct world *world) {
    struct verb verb = contract_put(world, "web", "s", (struct put){.absolute_expires_at = START - 5});
    CHECK(verb.outcome == OUTCOME_REPLACE && verb.is_found);
    CHECK(!contract_get(world, "web", "s", false).is_found);
    CHECK(contract_get(world, "web", "s", true).is_found);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 0);
    CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
}

static void without_deadlines_never_ends(struct world *world) {
    contract_put(world, "web", "s", (struct put){0});
    CHECK_EQUAL(contract_advance(world), INT64_MAX);
    world->now_ms = START + INT64_C(9) * 365 * 86400000;
    contract_advance(world);
    CHECK(contract_get(world, "web", "s", false).is_found);
}

static void is_not_asked_for_before_its_deadline_by_the_wheel(struct world *world) {
    contract_put(world, "web", "s", IDLE_100);
    int64_t next = contract_advance(world);
    CHECK(next > START && next <= START + 100);
    world->now_ms = START + 100;
    CHECK(contract_advance(world) > world->now_ms);
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.sessions, 0);
    CHECK_EQUAL(stats.sessions_dead, 1);
    CHECK_EQUAL(stats.expired_total, 1);
}

/* The reaper forgets it at the same moment at which it is not shown any more; advancing or not must not show. */
static void forget_by(struct world *world, bool advances) {
    struct policy_change change = {.given = 0};
    change = policy_set(change, POLICY_RETENTION_MS, 50);
    change = policy_set(change, POLICY_TOMBSTONE_MS, 200);
    contract_configure(world, "web", change);
    contract_put(world, "web", "s", IDLE_100);
    world->now_ms = START + 149;
    if (advances) contract_advance(world);
    CHECK(contract_get(world, "web", "s", true).is_found);
    CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
    world->now_ms = START + 150;
    if (advances) contract_advance(world);
    CHECK(!contract_get(world, "web", "s", true).is_found);
    CHECK_EQUAL(contract_touch(world, "web", "s").error.code, ERROR_GONE);
    world->now_ms = START + 299; /* tombstone_ms counts from its death */
    if (advances) contract_advance(world);
    CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
    world->now_ms = START + 300;
    if (advances) contract_advance(world);
    struct verb touch = contract_touch(world, "web", "s");
    CHECK(!touch.is_found && !touch.error.code);
    CHECK(contract_put(world, "web", "s", IDLE_100).outcome == OUTCOME_REPLACE);
}
static void is_forgotten_on_the_millisecond_with_the_reaper(struct world *world) {
    forget_by(world, true);
}
static void is_forgotten_on_the_millisecond_without_the_reaper(struct world *world) {
    forget_by(world, false);
}

static void destroyed_refuses_every_write_for_tombstone_ms(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 100));
    contract_put(world, "web", "s", IDLE_100);
    struct verb verb = contract_remove(world, "web", "s");
    CHECK(verb.outcome == OUTCOME_REMOVE && verb.is_found);
    for (int64_t at = 0; at < 100; at += 33) {
        world->now_ms = START + at;
        contract_advance(world);
        CHECK(!contract_get(world, "web", "s", true).is_found);
        CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
        CHECK_EQUAL(contract_touch(world, "web", "s").error.code, ERROR_GONE);
        CHECK(contract_remove(world, "web", "s").outcome == OUTCOME_KEEP);
    }
    CHECK(contract_put(world, "web", "s", (struct put){.revives = true}).outcome == OUTCOME_REPLACE);
    CHECK(contract_get(world, "web", "s", false).is_found);
    contract_remove(world, "web", "s");
    int64_t gone_at = world->now_ms;
    world->now_ms = gone_at + 99;
    CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
    world->now_ms = gone_at + 100;
    CHECK(contract_put(world, "web", "s", IDLE_100).outcome == OUTCOME_REPLACE);
}

/* Versions are one sequence for all loops, so one that is behind takes a version of a moment that it has not reached.
 */
static void destroyed_by_a_loop_that_is_behind_is_refused_no_longer(struct world *world) {
    for (unsigned moves = 0; moves < 2; moves++) {
        int64_t ended_at = world->now_ms += 1000;
        world->loop = 1;
        world->now_ms = ended_at + 1 + moves;
        contract_put(world, "web", moves ? "other" : "another", IDLE_100);
        world->loop = 0;
        world->now_ms = ended_at;
        struct verb verb = contract_put(world, "web", "s", IDLE_100);
        CHECK(version_time(verb.session.version) > ended_at);
        if (moves)
            CHECK(contract_move(world, "web", "s", (struct rename){.id = TEXT("t")}, 0).is_found);
        else
            CHECK_EQUAL(contract_remove(world, "web", "s").outcome, OUTCOME_REMOVE);
        world->now_ms = ended_at + 599999;
        contract_advance(world);
        CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
        world->now_ms = ended_at + 600000;
        CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_NONE);
        contract_remove(world, "web", "s");
        world->now_ms += 600000;
    }
}

/* What was refused no longer is not refused again when tombstone_ms is raised. */
static void destroyed_by_a_loop_that_is_behind_is_forgotten_for_good(struct world *world) {
    world->loop = 1;
    world->now_ms = START + 1;
    contract_put(world, "web", "other", IDLE_100);
    world->loop = 0;
    world->now_ms = START;
    contract_put(world, "web", "s", IDLE_100);
    contract_remove(world, "web", "s");
    world->now_ms = START + 600000;
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 900000));
    CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_NONE);
}

static void destroyed_without_tombstones_is_free_at_once(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
    contract_put(world, "web", "s", IDLE_100);
    contract_remove(world, "web", "s");
    CHECK(contract_put(world, "web", "s", IDLE_100).outcome == OUTCOME_REPLACE);
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.tombstones, 0);
}

static void destroyed_while_dead_leaves_a_tombstone_dated_from_then(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 100));
    contract_put(world, "web", "s", IDLE_100);
    world->now_ms = START + 180;
    CHECK(contract_remove(world, "web", "s").outcome == OUTCOME_REMOVE);
    CHECK(!contract_get(world, "web", "s", true).is_found);
    world->now_ms = START + 279;
    CHECK_EQUAL(contract_put(world, "web", "s", IDLE_100).error.code, ERROR_GONE);
    world->now_ms = START + 280;
    CHECK(contract_put(world, "web", "s", IDLE_100).outcome == OUTCOME_REPLACE);
}

static void destroy_of_an_unknown_one_leaves_nothing(struct world *world) {
    contract_put(world, "web", "other", IDLE_100);
    CHECK(contract_remove(world, "web", "s").outcome == OUTCOME_KEEP);
    CHECK(contract_put(world, "web", "s", IDLE_100).outcome == OUTCOME_REPLACE);
}

static void touch_moves_the_deadline_and_not_the_version(struct world *world) {
    uint64_t version = contract_put(world, "web", "s", IDLE_100).session.version;
    world->now_ms = START + 60;
    struct verb verb = contract_touch(world, "web", "s");
    CHECK_EQUAL(verb.session.version, version);
    CHECK_EQUAL(session_expires_at(&verb.session), START + 160);
    world->now_ms = START + 159;
    contract_advance(world);
    CHECK(contract_get(world, "web", "s", false).is_found);
    world->now_ms = START + 160;
    CHECK(!contract_get(world, "web", "s", false).is_found);
}

static void touch_is_thinned_by_the_smaller_of_policy_and_a_sixteenth(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOUCH_AFTER_MS, 1000));
    contract_put(world, "web", "s", (struct put){.idle_timeout_ms = 1600});
    world->now_ms = START + 99;
    CHECK_EQUAL(expires_at(contract_touch(world, "web", "s")), START + 1600);
    world->now_ms = START + 100;
    CHECK_EQUAL(expires_at(contract_touch(world, "web", "s")), START + 1700);
}

static void touch_by_a_rule_moves_what_a_touch_would(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOUCH_AFTER_MS, 10));
    uint64_t version = contract_put(world, "web", "s", (struct put){.idle_timeout_ms = 1600}).session.version;
    world->now_ms = START + 9;
    struct verb verb = contract_update_touch(world, "web", "s");
    CHECK(verb.is_found && verb.outcome == OUTCOME_TOUCH && !verb.error.code);
    CHECK_EQUAL(expires_at(verb), START + 1600);
    world->now_ms = START + 10;
    verb = contract_update_touch(world, "web", "s");
    CHECK_EQUAL(expires_at(verb), START + 1610);
    CHECK_EQUAL(verb.session.version, version);
    CHECK_EQUAL(expires_at(contract_get(world, "web", "s", false)), START + 1610);
    world->now_ms = START + 1610;
    CHECK_EQUAL(contract_update_touch(world, "web", "s").error.code, ERROR_GONE);
    CHECK(!contract_update_touch(world, "web", "unknown").is_found);
}

static void keeps_what_only_some_sessions_have(struct world *world) {
    static const char tags[] = "\x92\xa1x\xa1y";
    contract_put(world, "web", "s",
                 (struct put){.user = TEXT("ann"),
                              .client = TEXT("phone"),
                              .pool = TEXT("proxies"),
                              .tags = bytes_of(tags, sizeof(tags) - 1),
                              .token = TEXT("a hash"),
                              .bound = TEXT("another")});
    contract_put(world, "web", "s", (struct put){.data = TEXT("\x81\xa1x\x01")});
    struct verb verb = contract_get(world, "web", "s", false);
    CHECK(bytes_equal(verb.session.pool, TEXT("proxies")));
    CHECK(bytes_equal(verb.session.tags, bytes_of(tags, sizeof(tags) - 1)));
    CHECK(bytes_equal(verb.session.token, TEXT("a hash")) && bytes_equal(verb.session.bound, TEXT("another")));
    contract_put(world, "web", "plain", (struct put){0});
    verb = contract_get(world, "web", "plain", false);
    CHECK(!verb.session.pool.data && !verb.session.tags.data && !verb.session.token.data && !verb.session.bound.data);
}

static void get_with_touch_extends_what_is_alive_and_finds_nothing_dead(struct world *world) {
    contract_put(world, "web", "s", IDLE_100);
    world->now_ms = START + 50;
    CHECK_EQUAL(expires_at(contract_get_touch(world, "web", "s")), START + 150);
    world->now_ms = START + 150;
    struct verb verb = contract_get_touch(world, "web", "s");
    CHECK(!verb.is_found && !verb.error.code);
}

static void touch_of_an_unknown_one_is_nothing(struct world *world) {
    struct verb verb = contract_touch(world, "web", "s");
    CHECK(!verb.is_found && !verb.error.code);
    contract_put(world, "web", "other", IDLE_100);
    verb = contract_touch(world, "web", "s");
    CHECK(!verb.is_found && !verb.error.code);
}

static void touch_between_read_and_write_is_not_lost(struct world *world) {
    contract_put(world, "web", "s", IDLE_100);
    world->now_ms = START + 50;
    contract_touch(world, "web", "s");
    struct verb verb =
        contract_put(world, "web", "s", (struct put){.data = BYTES_LITERAL("\x80"), .keeps_activity = true});
    CHECK_EQUAL(verb.session.last_active_at, START + 50);
}

static void versions_grow_across_destroy_and_ids(struct world *world) {
    uint64_t last = 0;
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i % 5);
        struct verb verb = contract_put(world, "web", id, (struct put){.revives = true});
        CHECK(verb.session.version > last);
        CHECK(version_time(verb.session.version) >= START);
        last = verb.session.version;
        if (i % 3 == 0) contract_remove(world, "web", id);
        if (i % 7 == 0) world->now_ms++;
    }
    CHECK(last < UINT64_C(1) << 53);
}

static enum outcome counting_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    CHECK(input->policy != NULL && input->scratch != NULL && input->scratch->size == 0);
    CHECK((input->old != NULL) == (input->presence == PRESENCE_ALIVE || input->presence == PRESENCE_DEAD));
    ++*(int *)input->arguments;
    return OUTCOME_KEEP;
}

static void rules_see_what_stands_there(struct world *world) {
    int runs = 0;
    struct verb verb = verb_of(VERB_UPDATE, "web", "s");
    verb.update.rule = counting_rule;
    verb.update.arguments = &runs;
    contract_submit(world, &verb);
    CHECK(!verb.is_found && verb.outcome == OUTCOME_KEEP);
    contract_put(world, "web", "s", IDLE_100);
    contract_submit(world, &verb);
    CHECK(verb.is_found);
    world->now_ms = START + 100;
    contract_submit(world, &verb);
    CHECK(verb.is_found);
    contract_remove(world, "web", "s");
    contract_submit(world, &verb);
    CHECK(!verb.is_found && runs == 4);
}

static void keeps_every_field_byte_for_byte(struct world *world) {
    static uint8_t data[70000], meta[300], name[255];
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 7);
    memset(meta, 0x81, sizeof(meta));
    memset(name, 'n', sizeof(name));
    char id[256] = {0};
    memset(id, 'i', 255);
    contract_put(world, "web", id,
                 (struct put){.data = bytes_of(data, sizeof(data)),
                              .meta = bytes_of(meta, sizeof(meta)),
                              .user = bytes_of(name, 255),
                              .client = bytes_of(name, 254),
                              .absolute_expires_at = START + 77,
                              .created_at = START - 10,
                              .status = STATUS_PENDING});
    struct verb verb = contract_get(world, "web", id, false);
    CHECK(verb.is_found);
    CHECK(bytes_equal(verb.session.data, bytes_of(data, sizeof(data))));
    CHECK(bytes_equal(verb.session.meta, bytes_of(meta, sizeof(meta))));
    CHECK(bytes_equal(verb.session.user, bytes_of(name, 255)));
    CHECK(bytes_equal(verb.session.client, bytes_of(name, 254)));
    CHECK(bytes_is_absent(verb.session.reason) && bytes_is_absent(verb.session.replaced_by));
    CHECK_EQUAL(verb.session.absolute_expires_at, START + 77);
    CHECK_EQUAL(verb.session.created_at, START - 10);
    CHECK_EQUAL(verb.session.status, STATUS_PENDING);
}

static void verbs_of_one_batch_execute_in_order(struct world *world) {
    struct put put = {.idle_timeout_ms = 100, .data = BYTES_LITERAL("\x01")}, again = {.data = BYTES_LITERAL("\x02")};
    struct verb verbs[6];
    enum submit_state states[6];
    verbs[0] = verb_of(VERB_GET, "web", "s");
    verbs[1] = verb_of(VERB_UPDATE, "web", "s");
    verbs[1].update.rule = put_rule, verbs[1].update.arguments = &put;
    verbs[2] = verb_of(VERB_GET, "web", "s");
    verbs[3] = verb_of(VERB_UPDATE, "web", "s");
    verbs[3].update.rule = remove_rule;
    verbs[4] = verb_of(VERB_GET, "web", "s");
    verbs[5] = verb_of(VERB_UPDATE, "web", "s");
    verbs[5].update.rule = put_rule, verbs[5].update.arguments = &again;
    world->engine->vtable->enter(world->engine, 0);
    world->engine->vtable->submit(world->engine, 0, verbs, states, 6, world->now_ms);
    CHECK(!verbs[0].is_found && verbs[2].is_found && !verbs[4].is_found);
    CHECK(bytes_equal(verbs[2].session.data, BYTES_LITERAL("\x01"))); /* valid until the turn's end */
    CHECK_EQUAL(verbs[5].error.code, ERROR_GONE);
    world->engine->vtable->leave(world->engine, 0);
}

/* In a batch at whose beginning there is no namespace yet, and in one whose first verb drops the one there is. */
static void verbs_see_the_namespace_that_is_there_when_they_execute(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    struct put put = {.idle_timeout_ms = 100, .data = BYTES_LITERAL("\x01")};
    for (unsigned round = 0; round < 2; round++) {
        struct verb verbs[4] = {verb_of(VERB_END_ALL, "web", NULL), verb_of(VERB_UPDATE, "web", "s"),
                                verb_of(VERB_GET, "web", "s"), verb_of(VERB_TOUCH, "web", "s")};
        enum submit_state states[4];
        verbs[0].end_all.end = END_DROP;
        verbs[1].update.rule = put_rule, verbs[1].update.arguments = &put;
        vtable->enter(world->engine, 0);
        vtable->submit(world->engine, 0, verbs, states, 4, world->now_ms);
        CHECK(verbs[0].is_found == (round == 1) && verbs[1].outcome == OUTCOME_REPLACE);
        CHECK(verbs[2].is_found && verbs[2].session.version == verbs[1].session.version);
        CHECK(verbs[3].is_found && verbs[3].error.code == ERROR_NONE);
        vtable->leave(world->engine, 0);
    }
    CHECK(contract_get(world, "web", "s", false).is_found);
}

static uint64_t bytes_retired(struct world *world) {
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    return stats.bytes_retired;
}

/* Loop 1 stands inside its turn, as one that has lost its processor; loop 0 replaces the session. */
static void is_freed_once_replaced_where_another_turn_pauses(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    struct verb verb = verb_of(VERB_GET, "web", "s");
    enum submit_state state;
    if (!vtable->pause) return;
    contract_put(world, "web", "s", IDLE_100);
    vtable->enter(world->engine, 1);
    contract_put(world, "web", "s", IDLE_100);
    CHECK(bytes_retired(world) > 0);
    vtable->pause(world->engine, 1);
    vtable->enter(world->engine, 0);
    vtable->leave(world->engine, 0);
    CHECK_EQUAL(bytes_retired(world), 0);
    vtable->resume(world->engine, 1);
    vtable->submit(world->engine, 1, &verb, &state, 1, world->now_ms);
    uint64_t version = verb.session.version;
    contract_put(world, "web", "s", IDLE_100);
    CHECK(bytes_retired(world) > 0); /* from resume on it holds what it is handed, as before */
    CHECK(verb.is_found && bytes_equal(verb.session.id, BYTES_LITERAL("s")) && verb.session.version == version);
    vtable->leave(world->engine, 1);
}

/* Of a namespace that is not there, of sessions that are and are not, and of any bytes. */
static void anticipated_sessions_are_as_they_were(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    if (!vtable->anticipate) return;
    for (unsigned round = 0; round < 3; round++) {
        struct anticipated sessions[] = {{BYTES_LITERAL("web"), BYTES_LITERAL("s"), 0},
                                         {BYTES_LITERAL("web"), BYTES_LITERAL("none"), 0},
                                         {BYTES_LITERAL("nowhere"), BYTES_LITERAL("s"), 0},
                                         {BYTES_LITERAL(""), BYTES_LITERAL(""), 0}};
        vtable->enter(world->engine, 0);
        vtable->anticipate(world->engine, 0, sessions, 4);
        vtable->leave(world->engine, 0);
        CHECK(contract_get(world, "web", "s", true).is_found == (round == 1));
        CHECK(!contract_get(world, "web", "none", true).is_found &&
              !contract_get(world, "nowhere", "s", true).is_found);
        if (round == 0) contract_put(world, "web", "s", IDLE_100);
        if (round == 1) contract_remove(world, "web", "s");
    }
}

/* Where another loop's time is a millisecond ahead, a version is too; what this loop ended ended at its own time. */
static void begin_behind_another_loop(struct world *world, int64_t retention_ms) {
    struct policy_change change = policy_set((struct policy_change){.given = 0}, POLICY_RETENTION_MS, retention_ms);
    contract_configure(world, "web", policy_set(change, POLICY_TOMBSTONE_MS, 0));
    world->loop = 1;
    world->now_ms = START + 1;
    contract_put(world, "web", "other", (struct put){0});
    world->loop = 0;
    world->now_ms = START;
}

static void ended_is_forgotten_on_the_millisecond_of_its_own_loop(struct world *world) {
    begin_behind_another_loop(world, 50);
    contract_put(world, "web", "s", (struct put){0});
    contract_put(world, "web", "s", (struct put){.status = STATUS_ENDED});
    world->now_ms = START + 49;
    CHECK(contract_get(world, "web", "s", true).is_found);
    world->now_ms = START + 50;
    CHECK(!contract_get(world, "web", "s", true).is_found);
}

static void is_forgotten_at_once_without_retention(struct world *world) {
    begin_behind_another_loop(world, 0);
    contract_put(world, "web", "s", (struct put){.status = STATUS_ENDED});
    CHECK(!contract_get(world, "web", "s", true).is_found);
    CHECK(contract_put(world, "web", "s", (struct put){.absolute_expires_at = START - 5}).outcome == OUTCOME_REPLACE);
    CHECK(!contract_get(world, "web", "s", true).is_found);
    CHECK(contract_put(world, "web", "s", (struct put){.must_be_new = true}).outcome == OUTCOME_REPLACE);
}

static void dead_is_purged_also_by_a_loop_that_is_behind(struct world *world) {
    begin_behind_another_loop(world, 50);
    contract_put(world, "web", "ended", (struct put){.status = STATUS_ENDED});
    contract_put(world, "web", "born expired", (struct put){.absolute_expires_at = START - 5});
    CHECK_EQUAL(contract_end(world, "web", END_PURGE).scan_result.total, 2);
    CHECK(!contract_get(world, "web", "ended", true).is_found);
    CHECK(!contract_get(world, "web", "born expired", true).is_found);
}

static void is_not_reached_through_another_namespace(struct world *world) {
    contract_put(world, "web", "s", IDLE_100);
    contract_put(world, "app", "other", IDLE_100);
    CHECK(!contract_get(world, "app", "s", true).is_found);
    CHECK(!contract_touch(world, "app", "s").is_found);
    contract_remove(world, "app", "s");
    CHECK(contract_get(world, "web", "s", false).is_found);
}

static void refused_by_the_rule_changes_nothing(struct world *world) {
    uint64_t version = contract_put(world, "web", "s", IDLE_100).session.version;
    CHECK_EQUAL(contract_put(world, "web", "s", (struct put){.must_be_new = true}).error.code, ERROR_EXISTS);
    CHECK_EQUAL(contract_get(world, "web", "s", false).session.version, version);
    CHECK(contract_put(world, "web", "new", (struct put){.must_exist = true}).outcome == OUTCOME_KEEP);
    CHECK(!contract_get(world, "web", "new", true).is_found);
}

const struct contract_test life_tests[] = {
    {"lives until the millisecond of its idle deadline", lives_until_the_millisecond_of_its_idle_deadline},
    {"is abandoned if that deadline is the earlier", is_abandoned_if_that_deadline_is_the_earlier},
    {"is never carried by touches beyond its absolute deadline",
     is_never_reached_by_touches_beyond_its_absolute_deadline},
    {"can be born expired", can_be_born_expired},
    {"without deadlines never ends", without_deadlines_never_ends},
    {"is worked off at its deadline", is_not_asked_for_before_its_deadline_by_the_wheel},
    {"is forgotten on the millisecond, with the reaper", is_forgotten_on_the_millisecond_with_the_reaper},
    {"is forgotten on the millisecond, without the reaper", is_forgotten_on_the_millisecond_without_the_reaper},
    {"that was ended is forgotten on the millisecond of its own loop",
     ended_is_forgotten_on_the_millisecond_of_its_own_loop},
    {"is forgotten at once without retention", is_forgotten_at_once_without_retention},
    {"that is dead is purged also by a loop that is behind", dead_is_purged_also_by_a_loop_that_is_behind},
    {"that was destroyed refuses every write for tombstone_ms", destroyed_refuses_every_write_for_tombstone_ms},
    {"destroyed by a loop that is behind is refused no longer",
     destroyed_by_a_loop_that_is_behind_is_refused_no_longer},
    {"destroyed by a loop that is behind is forgotten for good",
     destroyed_by_a_loop_that_is_behind_is_forgotten_for_good},
    {"destroyed without tombstones is free at once", destroyed_without_tombstones_is_free_at_once},
    {"destroyed while dead leaves a tombstone dated from then",
     destroyed_while_dead_leaves_a_tombstone_dated_from_then},
    {"that is unknown leaves nothing when destroyed", destroy_of_an_unknown_one_leaves_nothing},
    {"that is touched keeps its version", touch_moves_the_deadline_and_not_the_version},
    {"is touched no more often than the policy says", touch_is_thinned_by_the_smaller_of_policy_and_a_sixteenth},
    {"is touched by a rule as by a touch", touch_by_a_rule_moves_what_a_touch_would},
    {"keeps pool, tags, token and binding", keeps_what_only_some_sessions_have},
    {"is extended by a get with touch while alive", get_with_touch_extends_what_is_alive_and_finds_nothing_dead},
    {"that is unknown cannot be touched", touch_of_an_unknown_one_is_nothing},
    {"keeps a touch when it is set", touch_between_read_and_write_is_not_lost},
    {"gets a version above all before", versions_grow_across_destroy_and_ids},
    {"is shown to rules as it is", rules_see_what_stands_there},
    {"keeps every field byte for byte", keeps_every_field_byte_for_byte},
    {"sees the verbs of a batch in their order", verbs_of_one_batch_execute_in_order},
    {"is of the namespace that a verb of its batch made anew", verbs_see_the_namespace_that_is_there_when_they_execute},
    {"is freed once it is replaced where another loop's turn pauses", is_freed_once_replaced_where_another_turn_pauses},
    {"is as it was where it was announced that it may be named", anticipated_sessions_are_as_they_were},
    {"is not reached through another namespace", is_not_reached_through_another_namespace},
    {"stays as it is when the rule refuses", refused_by_the_rule_changes_nothing},
    {NULL, NULL}};
