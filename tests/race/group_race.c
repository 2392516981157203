/* Races over groups: revoke_all and clear against logins, updates and renames that go on; and the limit of sessions per
 * user against everything that gives a session its user.
 *
 * A login is a number that is kept in the session's data through every set and rename. Who ends a group or namespace
 * notes the newest logins that had been answered before, and afterwards finds none of them, nor any older one, alive.
 */
#include "engine_race.h"

static _Atomic uint64_t logins[THREADS]; /* newest login of each thread that was answered */
static _Atomic uint64_t endings, renames, revoked;

#define LOGIN_SHIFT 8 /* data: login << 8 | thread */

static const struct bytes ann = BYTES_LITERAL("ann");

/* Logs in, then renames and sets that session until it is gone. */
static void login_run(unsigned loop) {
    struct prng prng = prng_of(loop + 77);
    char ids[2][40];
    uint64_t serial = 0;
    for (uint64_t login = 1; race_goes_on(); login++) {
        unsigned at = 0;
        snprintf(ids[0], sizeof(ids[0]), "%u-%llu", loop, (unsigned long long)++serial);
        struct verb made = race_write(
            loop, ids[0], (struct write){.user = ann, .data = login << LOGIN_SHIFT | loop, .must_be_new = true});
        RACE_CHECK(made.outcome == OUTCOME_REPLACE, "error %d", made.error.code);
        atomic_store(&logins[loop], login);
        for (;;) {
            struct verb verb;
            if (prng_happens(&prng, 1, 2)) {
                snprintf(ids[!at], sizeof(ids[0]), "%u-%llu", loop, (unsigned long long)++serial);
                verb = race_rename(loop, ids[at], ids[!at]);
                at = verb.outcome == OUTCOME_REPLACE ? !at : at;
                atomic_fetch_add_explicit(&renames, 1, memory_order_relaxed);
            } else {
                verb = race_write(loop, ids[at], (struct write){.must_exist = true});
            }
            if (verb.outcome != OUTCOME_REPLACE) break;
            if (!race_goes_on()) return;
        }
        race_advance(loop);
    }
}

static bool check_login(void *context, const struct session *session) {
    const uint64_t *before = context;
    uint64_t value;
    memcpy(&value, session->data.data, sizeof(value));
    unsigned loop = (unsigned)(value & ((1 << LOGIN_SHIFT) - 1));
    RACE_CHECK(value >> LOGIN_SHIFT > before[loop], "login %llu of thread %u survived",
               (unsigned long long)(value >> LOGIN_SHIFT), loop);
    return true;
}

static void check_all(enum group_kind group, uint64_t *before) {
    struct verb verb = race_verb(VERB_SCAN, NULL);
    verb.scan.group = group;
    verb.scan.group_name = ann;
    verb.scan.statuses = STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_PENDING);
    verb.scan.limit = 1000;
    verb.scan.each = check_login;
    verb.scan.context = before;
    race_call(0, &verb);
}

static void end_run(enum end_kind end) {
    uint64_t before[THREADS];
    while (race_goes_on()) {
        struct verb verb = race_verb(VERB_END_ALL, NULL);
        for (unsigned i = 0; i < THREADS; i++) before[i] = atomic_load(&logins[i]);
        verb.end_all.end = end;
        verb.end_all.group = end == END_REVOKE ? GROUP_USER : GROUP_NONE;
        verb.end_all.group_name = ann;
        verb.end_all.reason = BYTES_LITERAL("everywhere");
        race_call(0, &verb);
        RACE_CHECK(!verb.error.code, "error %d", verb.error.code);
        atomic_fetch_add(&revoked, verb.scan_result.total);
        check_all(GROUP_USER, before);
        check_all(GROUP_NONE, before);
        atomic_fetch_add(&endings, 1);
        race_advance(0);
    }
}

static void *revoke_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    if (loop == 0)
        end_run(END_REVOKE);
    else
        login_run(loop);
    return NULL;
}

static void *clear_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    if (loop == 0)
        end_run(END_CLEAR);
    else
        login_run(loop);
    return NULL;
}

static void *drop_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    if (loop == 0)
        end_run(END_DROP);
    else
        login_run(loop);
    return NULL;
}

static void ends(double seconds, void *(*run)(void *number), const char *what) {
    struct policy policy = POLICY_DEFAULTS;
    policy.retention_ms = 0; /* so that the group does not only grow */
    race_open(&policy);
    for (unsigned i = 0; i < THREADS; i++) atomic_store(&logins[i], 0);
    atomic_store(&endings, 0);
    atomic_store(&renames, 0);
    atomic_store(&revoked, 0);
    race_scenario(seconds, run);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned j = 0; j < 100; j++) race_advance(i);
    race_close();
    printf("%s: %llu times, ending %llu sessions, against %llu renames: none survived\n", what,
           (unsigned long long)endings, (unsigned long long)revoked, (unsigned long long)renames);
}

/* ---- the limit */

enum { LIMIT = 3, LARGE_LIMIT = 60 };
static _Atomic int64_t held;
static _Atomic uint64_t admitted, refused;

static void note_held(void) {
    int64_t now = atomic_fetch_add(&held, 1) + 1;
    RACE_CHECK(now <= LIMIT, "%lld sessions at a limit of %d", (long long)now, LIMIT);
    atomic_fetch_add_explicit(&admitted, 1, memory_order_relaxed);
}

/* Makes sessions for one user, by creation or by giving one its user, renames them, and ends them. A session counts as
 * held from its answer until its end is asked for, so no more are held than are alive. */
static void *limit_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(loop + 5);
    char id[40], new_id[40];
    for (uint64_t serial = 0; race_goes_on(); serial++) {
        snprintf(id, sizeof(id), "%u-%llu", loop, (unsigned long long)serial);
        snprintf(new_id, sizeof(new_id), "%u+%llu", loop, (unsigned long long)serial);
        if (prng_happens(&prng, 1, 2)) race_write(loop, id, (struct write){.data = 1});
        struct verb verb = race_write(loop, id, (struct write){.user = ann, .data = 2});
        bool is_in = verb.outcome == OUTCOME_REPLACE;
        RACE_CHECK(is_in || verb.error.code == ERROR_LIMIT, "error %d", verb.error.code);
        if (is_in)
            note_held();
        else
            atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
        bool is_renamed = prng_happens(&prng, 1, 2);
        if (is_renamed) {
            struct verb moved = race_rename(loop, id, new_id);
            RACE_CHECK(moved.error.code == ERROR_NONE, "a rename within the group was refused: %d", moved.error.code);
            is_renamed = moved.outcome == OUTCOME_REPLACE;
        }
        if (is_in) atomic_fetch_sub(&held, 1);
        race_remove(loop, is_renamed ? new_id : id);
        if (prng_happens(&prng, 1, 32)) race_advance(loop);
    }
    return NULL;
}

static void limits(double seconds) {
    struct policy policy = POLICY_DEFAULTS;
    policy.max_sessions_per_user = LIMIT;
    policy.tombstone_ms = 0;
    race_open(&policy);
    race_scenario(seconds, limit_thread);
    race_close();
    printf("limit: %llu admitted, %llu refused: never more than %d\n", (unsigned long long)admitted,
           (unsigned long long)refused, LIMIT);
}

/* ---- eviction */

static void *evict_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    char id[40];
    for (uint64_t serial = 0; race_goes_on(); serial++) {
        snprintf(id, sizeof(id), "%u-%llu", loop, (unsigned long long)serial);
        struct verb verb = race_write(loop, id, (struct write){.user = ann, .data = 1});
        RACE_CHECK(verb.outcome == OUTCOME_REPLACE, "error %d", verb.error.code);
        atomic_fetch_add_explicit(&admitted, 1, memory_order_relaxed);
        if (serial % 8 == 7) { /* one of its own that may be alive still */
            snprintf(id, sizeof(id), "%u-%llu", loop, (unsigned long long)(serial - 5));
            race_remove(loop, id);
        }
        if (serial % 16 == 0) race_advance(loop);
    }
    return NULL;
}

/* At a large limit the group keeps what it knows of its members, while others end some of them. */
static void evictions(double seconds, int64_t limit, enum session_limit_policy limit_policy) {
    struct policy policy = POLICY_DEFAULTS;
    policy.max_sessions_per_user = limit;
    policy.session_limit_policy = limit_policy;
    policy.retention_ms = 0;
    policy.tombstone_ms = 0;
    atomic_store(&admitted, 0);
    race_open(&policy);
    race_scenario(seconds, evict_thread);
    struct verb verb = race_verb(VERB_SCAN, NULL);
    verb.scan.group = GROUP_USER;
    verb.scan.group_name = ann;
    verb.scan.statuses = STATUS_BIT(STATUS_ACTIVE);
    race_call(0, &verb);
    RACE_CHECK((int64_t)verb.scan_result.total <= limit, "%llu left", (unsigned long long)verb.scan_result.total);
    race_close();
    printf("eviction: %llu admitted, %llu left\n", (unsigned long long)admitted,
           (unsigned long long)verb.scan_result.total);
}

int main(int argc, char **argv) {
    double seconds = race_seconds(argc, argv, 5);
    ends(seconds, revoke_thread, "revoke_all");
    ends(seconds, clear_thread, "clear");
    ends(seconds, drop_thread, "drop");
    limits(seconds);
    evictions(seconds, LIMIT, SESSION_LIMIT_POLICY_EVICT_OLDEST);
    evictions(seconds, LARGE_LIMIT, SESSION_LIMIT_POLICY_EVICT_OLDEST);
    evictions(seconds, LARGE_LIMIT, SESSION_LIMIT_POLICY_EVICT_IDLE);
    return 0;
}
