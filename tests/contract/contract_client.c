/* Clients: what they know, their one session where the namespace says so, and groups that are removed or destroyed. */
#include "contract.h"

static struct put on(const char *client) {
    return (struct put){.idle_timeout_ms = 1000, .client = bytes_of_string(client)};
}

/* The client as it is; `id` not NULL: with that session made its last active one. */
static struct verb client_of(struct world *world, const char *name, const char *id) {
    struct verb verb = verb_of(VERB_CONFIGURE, "web", id);
    verb.configure.group = GROUP_CLIENT;
    verb.configure.group_name = bytes_of_string(name);
    contract_submit(world, &verb);
    return verb;
}

static bool last_active_is(struct world *world, const char *name, const char *id) {
    struct client_state state = client_of(world, name, NULL).client_state;
    if (!id) return !state.has_last_active;
    return state.has_last_active && bytes_equal(state.last_active.id, bytes_of_string(id));
}

static struct verb end_group(struct world *world, enum end_kind end, enum group_kind group, const char *name) {
    struct verb verb = verb_of(VERB_END_ALL, "web", NULL);
    verb.end_all.end = end;
    verb.end_all.group = group;
    verb.end_all.group_name = bytes_of_string(name);
    verb.end_all.reason = TEXT("over");
    contract_submit(world, &verb);
    return verb;
}

static enum status status_of(struct world *world, const char *id) {
    struct verb verb = contract_get(world, "web", id, true);
    return verb.is_found ? session_status(&verb.session, world->now_ms) : STATUS_NONE;
}

static void comes_with_its_first_session_and_goes_with_its_last_record(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 50));
    CHECK(!client_of(world, "phone", NULL).is_found);
    CHECK(!contract_put(world, "web", "a", on("phone")).error.code);
    world->now_ms = START + 10;
    contract_put(world, "web", "b", on("phone"));
    struct verb verb = client_of(world, "phone", NULL);
    CHECK(verb.is_found && !verb.error.code && !verb.client_state.has_last_active);
    CHECK_EQUAL(verb.client_state.created_at, START);
    CHECK_EQUAL(verb.client_state.updated_at, START + 10);
    world->now_ms = START + 1059; /* the last millisecond of b's retention, and nobody reaped meanwhile */
    CHECK(client_of(world, "phone", NULL).is_found);
    world->now_ms = START + 1060;
    CHECK(!client_of(world, "phone", NULL).is_found);
    contract_put(world, "web", "c", on("phone"));
    verb = client_of(world, "phone", NULL);
    CHECK_EQUAL(verb.client_state.created_at, START + 1060);
    contract_advance(world);
    CHECK_EQUAL(client_of(world, "phone", NULL).client_state.created_at, START + 1060);
}

static char contested[16];

static void take_the_id(struct world *other) {
    contract_put(other, "web", contested, (struct put){.idle_timeout_ms = 1000});
}

/* Another loop takes the id at each point in turn; what had entered the client by then leaves no trace there. */
static void does_not_know_a_write_that_was_refused(struct world *world) {
    unsigned refused = 0;
    contract_put(world, "web", "a", on("phone"));
    world->now_ms = START + 10;
    for (unsigned point = 0; point < 14; point++) {
        struct put put = on("phone");
        put.must_be_new = true;
        snprintf(contested, sizeof(contested), "b%u", point);
        contract_at_point(world, point, take_the_id);
        struct verb verb = contract_put(world, "web", contested, put);
        contract_at_point(world, 0, NULL);
        if (verb.error.code != ERROR_EXISTS) break; /* that point lies behind the write */
        CHECK_EQUAL(client_of(world, "phone", NULL).client_state.updated_at, START);
        refused++;
    }
    CHECK(refused >= 2);
}

static void knows_which_session_was_touched_last(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOUCH_AFTER_MS, 1000));
    contract_put(world, "web", "a", on("phone"));
    contract_put(world, "web", "b", on("phone"));
    CHECK(last_active_is(world, "phone", NULL));
    world->now_ms = START + 5;
    contract_touch(world, "web", "a");
    CHECK(last_active_is(world, "phone", "a")); /* though the touch itself was thinned away */
    CHECK_EQUAL(client_of(world, "phone", NULL).client_state.updated_at, START + 5);
    contract_get_touch(world, "web", "b");
    CHECK(last_active_is(world, "phone", "b"));
    contract_update_touch(world, "web", "a");
    CHECK(last_active_is(world, "phone", "a"));
    contract_put(world, "web", "b", (struct put){.data = TEXT("\x81\xa1x\x01")});
    CHECK(last_active_is(world, "phone", "a"));
    contract_put(world, "web", "b", (struct put){.is_touch = true});
    CHECK(last_active_is(world, "phone", "b"));
    CHECK(!contract_get(world, "web", "b", false).session.is_touch);
    world->now_ms = START + 1005;
    CHECK(last_active_is(world, "phone", "b")); /* dead, and that is said by its status */
    contract_get_touch(world, "web", "a");
    contract_touch(world, "web", "a");
    CHECK(last_active_is(world, "phone", "b")); /* what is dead cannot be touched */
}

static void takes_a_living_session_of_its_own_as_the_last_active_one(struct world *world) {
    contract_put(world, "web", "a", on("phone"));
    contract_put(world, "web", "b", on("desk"));
    world->now_ms = START + 5;
    struct verb verb = client_of(world, "phone", "a");
    CHECK(verb.is_found && !verb.error.code && verb.client_state.has_last_active);
    CHECK_EQUAL(verb.client_state.updated_at, START + 5);
    CHECK_EQUAL(contract_get(world, "web", "a", false).session.last_active_at, START);
    CHECK_EQUAL(client_of(world, "phone", "b").error.code, ERROR_CONFLICT);
    CHECK_EQUAL(client_of(world, "phone", "none").error.code, ERROR_CONFLICT);
    verb = client_of(world, "tablet", "a");
    CHECK(!verb.is_found && !verb.error.code);
    contract_move(world, "web", "a", (struct rename){.id = TEXT("a2")}, 100);
    CHECK_EQUAL(client_of(world, "phone", "a").error.code, ERROR_CONFLICT); /* an alias may only be read */
    world->now_ms = START + 1000;
    verb = client_of(world, "phone", "a2");
    CHECK_EQUAL(verb.error.code, ERROR_CONFLICT);
    CHECK_EQUAL(verb.error.status, STATUS_EXPIRED);
}

static void follows_its_last_active_session_to_its_new_id_and_no_further(struct world *world) {
    contract_put(world, "web", "a", on("phone"));
    contract_touch(world, "web", "a");
    contract_move(world, "web", "a", (struct rename){.id = TEXT("b")}, 0);
    CHECK(last_active_is(world, "phone", "b"));
    contract_put(world, "web", "c", on("phone"));
    contract_put(world, "web", "b", on("desk"));
    CHECK(last_active_is(world, "phone", NULL));
    CHECK(last_active_is(world, "desk", NULL));
    contract_touch(world, "web", "c");
    contract_remove(world, "web", "c");
    CHECK(!client_of(world, "phone", NULL).is_found);
}

static void single(struct world *world, uint64_t per_user) {
    struct policy_change change = policy_set((struct policy_change){0}, POLICY_SINGLE_SESSION, 1);
    contract_configure(world, "web", policy_set(change, POLICY_MAX_SESSIONS_PER_USER, (int64_t)per_user));
}

static void with_single_session_is_signed_in_once(struct world *world) {
    contract_put(world, "web", "a", on("phone"));
    contract_put(world, "web", "b", on("phone"));
    single(world, 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_CLIENT, "phone", LIVING), 2);
    world->now_ms = START + 5;
    contract_put(world, "web", "c", on("phone"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_CLIENT, "phone", LIVING), 1);
    struct verb verb = contract_get(world, "web", "a", true);
    CHECK_EQUAL(verb.session.status, STATUS_REPLACED);
    CHECK_EQUAL(verb.session.status_at, START + 5);
    CHECK(bytes_equal(verb.session.replaced_by, TEXT("c")));
    CHECK_EQUAL(status_of(world, "b"), STATUS_REPLACED);
    contract_put(world, "web", "c", on("phone")); /* it is there already */
    CHECK_EQUAL(status_of(world, "c"), STATUS_ACTIVE);
    contract_move(world, "web", "c", (struct rename){.id = TEXT("d")}, 0);
    CHECK_EQUAL(status_of(world, "d"), STATUS_ACTIVE);
    CHECK_EQUAL(contract_count(world, "web", GROUP_CLIENT, "phone", LIVING), 1);
    contract_put(world, "web", "e", on("desk"));
    contract_put(world, "web", "e", on("phone"));
    CHECK_EQUAL(status_of(world, "d"), STATUS_REPLACED);
    struct put born_dead = on("phone");
    born_dead.absolute_expires_at = START;
    contract_put(world, "web", "f", born_dead);
    CHECK_EQUAL(status_of(world, "e"), STATUS_ACTIVE);
}

static void replaces_nobody_for_what_is_refused(struct world *world) {
    single(world, 1);
    struct put put = on("phone");
    contract_put(world, "web", "a", put);
    contract_put(world, "web", "b", (struct put){.user = TEXT("ann")});
    put.user = TEXT("ann");
    CHECK_EQUAL(contract_put(world, "web", "c", put).error.code, ERROR_LIMIT);
    CHECK_EQUAL(status_of(world, "a"), STATUS_ACTIVE);
}

static void removed_as_a_whole_takes_the_dead_along_that_still_may(struct world *world) {
    contract_put(world, "web", "alive", on("phone"));
    struct put put = on("phone");
    put.idle_timeout_ms = 5;
    contract_put(world, "web", "expired", put);
    put = on("phone");
    put.status = STATUS_ENDED;
    contract_put(world, "web", "ended", put);
    put.status = STATUS_REVOKED;
    contract_put(world, "web", "revoked", put);
    contract_put(world, "web", "other", on("desk"));
    world->now_ms = START + 10;
    CHECK_EQUAL(end_group(world, END_REMOVE, GROUP_CLIENT, "phone").scan_result.total, 3);
    CHECK_EQUAL(status_of(world, "alive"), STATUS_REMOVED);
    CHECK_EQUAL(status_of(world, "expired"), STATUS_REMOVED);
    CHECK_EQUAL(status_of(world, "ended"), STATUS_REMOVED);
    CHECK_EQUAL(status_of(world, "revoked"), STATUS_REVOKED);
    CHECK_EQUAL(status_of(world, "other"), STATUS_ACTIVE);
    CHECK(bytes_equal(contract_get(world, "web", "expired", true).session.reason, TEXT("over")));
    CHECK_EQUAL(contract_get(world, "web", "expired", true).session.status_at, START + 10);
    CHECK_EQUAL(end_group(world, END_REMOVE, GROUP_CLIENT, "phone").scan_result.total, 0);
}

static void destroyed_as_a_whole_leaves_tombstones(struct world *world) {
    struct put put = {.user = TEXT("ann"), .pool = TEXT("proxies"), .idle_timeout_ms = 1000};
    contract_put(world, "web", "a", put);
    put.status = STATUS_ENDED;
    contract_put(world, "web", "b", put);
    contract_put(world, "web", "other", (struct put){.user = TEXT("ann")});
    CHECK_EQUAL(end_group(world, END_DESTROY, GROUP_POOL, "proxies").scan_result.total, 2);
    CHECK_EQUAL(status_of(world, "a"), STATUS_NONE);
    CHECK_EQUAL(status_of(world, "b"), STATUS_NONE);
    CHECK_EQUAL(status_of(world, "other"), STATUS_ACTIVE);
    CHECK_EQUAL(contract_put(world, "web", "a", (struct put){0}).error.code, ERROR_GONE);
    CHECK_EQUAL(contract_put(world, "web", "b", (struct put){0}).error.code, ERROR_GONE);
    CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", UINT64_MAX), 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_USER, "ann", UINT64_MAX), 1);
    CHECK_EQUAL(end_group(world, END_DESTROY, GROUP_POOL, "proxies").scan_result.total, 0);
}

/* ---- what another loop does between two locks */

static void sign_in(struct world *other) {
    contract_put(other, "web", "other", on("phone"));
}

static void with_single_session_has_one_whatever_the_order(struct world *world) {
    single(world, 0);
    for (unsigned point = 0; point < 14; point++) {
        contract_put(world, "web", "old", on("phone"));
        contract_at_point(world, point, sign_in);
        struct verb verb = contract_put(world, "web", "new", on("phone"));
        contract_at_point(world, 0, NULL);
        CHECK(verb.outcome == OUTCOME_REPLACE);
        CHECK_EQUAL(contract_count(world, "web", GROUP_CLIENT, "phone", LIVING), 1);
        contract_end(world, "web", END_DROP);
        single(world, 0);
        world->now_ms++;
    }
}

static void destroy_pool(struct world *other) {
    end_group(other, END_DESTROY, GROUP_POOL, "proxies");
}

/* Whatever the point, what was in the pool is gone afterwards, under its old and its new name. */
static void destroyed_as_a_whole_lets_no_rename_escape(struct world *world) {
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
    for (unsigned point = 0; point < 6; point++) {
        contract_put(world, "web", "s", (struct put){.pool = TEXT("proxies")});
        contract_at_point(world, point, destroy_pool);
        struct verb verb = contract_move(world, "web", "s", (struct rename){.id = TEXT("new")}, 0);
        bool was_after = verb.outcome == OUTCOME_REPLACE && contract_get(world, "web", "new", true).is_found;
        contract_at_point(world, 0, NULL);
        if (was_after) { /* the point was never reached, or lies behind the rename */
            CHECK(point > 2);
            CHECK_EQUAL(end_group(world, END_DESTROY, GROUP_POOL, "proxies").scan_result.total, 1);
        }
        CHECK_EQUAL(contract_count(world, "web", GROUP_POOL, "proxies", UINT64_MAX), 0);
        contract_advance(world);
        world->now_ms++;
    }
}

const struct contract_test client_tests[] = {
    {"comes with its first session and goes with its last record",
     comes_with_its_first_session_and_goes_with_its_last_record},
    {"does not know a write that was refused", does_not_know_a_write_that_was_refused},
    {"knows which session was touched last", knows_which_session_was_touched_last},
    {"takes a living session of its own as the last active one",
     takes_a_living_session_of_its_own_as_the_last_active_one},
    {"follows its last active session to its new id, and no further",
     follows_its_last_active_session_to_its_new_id_and_no_further},
    {"with single_session is signed in once", with_single_session_is_signed_in_once},
    {"replaces nobody for what is refused", replaces_nobody_for_what_is_refused},
    {"removed as a whole takes the dead along that still may", removed_as_a_whole_takes_the_dead_along_that_still_may},
    {"destroyed as a whole leaves tombstones", destroyed_as_a_whole_leaves_tombstones},
    {"with single_session has one, whatever the order", with_single_session_has_one_whatever_the_order},
    {"destroyed as a whole lets no rename escape", destroyed_as_a_whole_lets_no_rename_escape},
    {NULL, NULL}};
