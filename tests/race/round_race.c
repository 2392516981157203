/* Races in rounds: three threads do one thing each to the same session, user or client, all at once, and then it is
 * looked at what came of it. Each scenario prints how often each order was seen.
 *
 * The first argument is the number of rounds of each scenario; 10000 without one. */
#include "base/lock.h"
#include "engine_race.h"

static uint64_t rounds;
static pthread_barrier_t barrier;
static struct verb results[THREADS]; /* what each thread's act was answered */
static uint64_t tallies[4];          /* of the scenario; thread 0 */

static const struct bytes ann = BYTES_LITERAL("ann");

struct scenario {
    const char *name;
    const char *tallied[4];
    void (*set_up)(struct policy *policy);
    void (*prepare)(uint64_t round);                   /* thread 0, before */
    struct verb (*act)(unsigned loop, uint64_t round); /* each thread */
    void (*check)(uint64_t round);                     /* thread 0, afterwards */
};
static const struct scenario *scenario;

static void *round_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(loop + 991);
    for (uint64_t round = 0; round < rounds; round++) {
        if (loop == 0) {
            atomic_fetch_add(&race_clock, 1);
            if (scenario->prepare) scenario->prepare(round);
        }
        pthread_barrier_wait(&barrier);
        for (uint32_t spins = (uint32_t)prng_below(&prng, 200); spins > 0; spins--) lock_pause();
        results[loop] = scenario->act(loop, round);
        pthread_barrier_wait(&barrier);
        if (loop == 0) scenario->check(round);
        if (round % 16 == 0) race_advance(loop);
    }
    return NULL;
}

static bool note_done(void *context, unsigned loop, struct verb *verb);

static void play(const struct scenario *each) {
    struct policy policy = POLICY_DEFAULTS;
    pthread_t threads[THREADS];
    scenario = each;
    memset(tallies, 0, sizeof(tallies));
    if (each->set_up) each->set_up(&policy);
    race_open(&policy);
    engine->vtable->set_done(engine, note_done, NULL);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++)
        RACE_CHECK(pthread_create(&threads[i], NULL, round_thread, (void *)i) == 0, "no thread");
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    race_close();
    printf("%s: %llu rounds", each->name, (unsigned long long)rounds);
    for (unsigned i = 0; i < 4 && each->tallied[i]; i++)
        printf(", %s %llu", each->tallied[i], (unsigned long long)tallies[i]);
    printf("\n");
}

/* ---- what the scenarios do */

static const char *id_of(char *id, char kind, uint64_t round) {
    snprintf(id, 40, "%c%llu", kind, (unsigned long long)round);
    return id;
}

/* A group of more members than a slice, most of them dead and not worked off yet, is ended in advances. */
static struct verb late[THREADS];
static bool is_done[THREADS];

static bool note_done(void *context, unsigned loop, struct verb *verb) {
    (void)context;
    late[loop] = *verb;
    is_done[loop] = true;
    return true;
}

static struct verb end_group(unsigned loop, enum group_kind group, enum end_kind end) {
    struct verb verb = race_verb(VERB_END_ALL, NULL);
    enum submit_state state;
    verb.end_all.end = end;
    verb.end_all.group = group;
    verb.end_all.group_name = ann;
    race_turn(loop);
    is_done[loop] = false;
    engine->vtable->submit(engine, loop, &verb, &state, 1, atomic_load(&race_clock));
    if (state == SUBMIT_DONE) return verb;
    while (!is_done[loop]) race_advance(loop);
    return late[loop];
}

static uint64_t count_living(enum group_kind group) {
    struct verb verb = race_verb(VERB_SCAN, NULL);
    verb.scan.group = group;
    verb.scan.group_name = ann;
    verb.scan.statuses = STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_PENDING);
    race_call(0, &verb);
    return verb.scan_result.total;
}

static struct session read_dead(const char *id) {
    struct verb verb = race_verb(VERB_GET, id);
    verb.get.include_dead = true;
    race_call(0, &verb);
    RACE_CHECK(verb.is_found, "%s is not there", id);
    return verb.session;
}

static struct verb change_status(unsigned loop, const char *id, enum status to);

struct sign_in {
    struct bytes id, user, client;
};

/* Moves to a new id and to a user or client in the same step. */
static enum outcome sign_in_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct sign_in *sign_in = input->arguments;
    (void)error;
    if (input->presence != PRESENCE_ALIVE) return OUTCOME_KEEP;
    draft->id = sign_in->id;
    if (sign_in->user.data) draft->user = sign_in->user;
    if (sign_in->client.data) draft->client = sign_in->client;
    return OUTCOME_REPLACE;
}

static struct verb sign_in(unsigned loop, const char *id, const char *new_id, enum group_kind group) {
    struct sign_in arguments = {.id = bytes_of_string(new_id)};
    struct verb verb = race_verb(VERB_MOVE, id);
    *(group == GROUP_USER ? &arguments.user : &arguments.client) = ann;
    verb.move.rule = sign_in_rule;
    verb.move.arguments = &arguments;
    race_call(loop, &verb);
    return verb;
}

static struct write joining(enum group_kind group) {
    struct write write = {.data = 1};
    *(group == GROUP_USER ? &write.user : group == GROUP_CLIENT ? &write.client : &write.pool) = ann;
    return write;
}

/* One thread creates, one sets, one regenerates: each gives the group a session. */
static struct verb join(unsigned loop, uint64_t round, enum group_kind group) {
    char id[40], new_id[40];
    if (loop == 0) return race_write(loop, id_of(id, 'c', round), joining(group));
    if (loop == 1) return race_write(loop, id_of(id, 's', round), joining(group));
    return sign_in(loop, id_of(id, 'o', round), id_of(new_id, 'r', round), group);
}

static void prepare_join(uint64_t round) {
    char id[40];
    race_write(0, id_of(id, 's', round), (struct write){.data = 1});
    race_write(0, id_of(id, 'o', round), (struct write){.data = 1});
}

/* ---- statuses */

static enum outcome status_rule(const struct update_input *input, struct session *draft, struct error *error) {
    enum status to = *(const enum status *)input->arguments, from;
    if (!input->old) return OUTCOME_KEEP;
    from = session_status(input->old, input->now_ms);
    if (from == to) return OUTCOME_KEEP;
    if (!status_can_become(from, to)) {
        *error = error_make(ERROR_CONFLICT, "not now");
        error->status = from;
        return OUTCOME_ERROR;
    }
    draft->status = to;
    draft->status_at = input->now_ms;
    return OUTCOME_REPLACE;
}

static struct verb change_status(unsigned loop, const char *id, enum status to) {
    struct verb verb = race_verb(VERB_UPDATE, id);
    verb.update.rule = status_rule;
    verb.update.arguments = &to;
    race_call(loop, &verb);
    return verb;
}

static void prepare_one(uint64_t round) {
    char id[40];
    race_write(0, id_of(id, 's', round), (struct write){.data = 1});
}

static const enum status exclusive[THREADS] = {STATUS_ENDED, STATUS_REVOKED, STATUS_REPLACED};

static struct verb end_exclusively(unsigned loop, uint64_t round) {
    char id[40];
    return change_status(loop, id_of(id, 's', round), exclusive[loop]);
}

static void check_exclusive(uint64_t round) {
    char id[40];
    enum status status = read_dead(id_of(id, 's', round)).status;
    unsigned winners = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        if (results[i].outcome == OUTCOME_REPLACE) {
            RACE_CHECK(status == exclusive[i], "status %d, but thread %u won", status, i);
            tallies[i]++;
            winners++;
        } else {
            RACE_CHECK(results[i].error.code == ERROR_CONFLICT && results[i].error.status == status,
                       "error %d naming status %d, not %d", results[i].error.code, results[i].error.status, status);
        }
    }
    RACE_CHECK(winners == 1, "%u won", winners);
}

static const enum status removing[THREADS] = {STATUS_ENDED, STATUS_REVOKED, STATUS_REMOVED};

static struct verb end_or_remove(unsigned loop, uint64_t round) {
    char id[40];
    return change_status(loop, id_of(id, 's', round), removing[loop]);
}

/* Removal alone may follow an end. */
static void check_removing(uint64_t round) {
    char id[40];
    enum status status = read_dead(id_of(id, 's', round)).status;
    bool did_end = results[0].outcome == OUTCOME_REPLACE, did_revoke = results[1].outcome == OUTCOME_REPLACE,
         did_remove = results[2].outcome == OUTCOME_REPLACE;
    RACE_CHECK(did_remove != did_revoke, "removed %d, revoked %d", did_remove, did_revoke);
    RACE_CHECK(!(did_end && did_revoke), "ended and revoked");
    RACE_CHECK(status == (did_revoke ? STATUS_REVOKED : STATUS_REMOVED), "status %d", status);
    tallies[did_revoke ? 0 : did_end ? 1 : 2]++;
}

/* ---- limits */

enum { LIMIT = 2 };

static void set_up_reject(struct policy *policy) {
    policy->max_sessions_per_user = LIMIT;
    policy->retention_ms = 0;
    policy->tombstone_ms = 0;
}

static void set_up_evict(struct policy *policy) {
    set_up_reject(policy);
    policy->session_limit_policy = SESSION_LIMIT_POLICY_EVICT_OLDEST;
}

static struct verb join_user(unsigned loop, uint64_t round) {
    return join(loop, round, GROUP_USER);
}

static void check_rejected(uint64_t round) {
    unsigned admitted = 0;
    (void)round;
    for (unsigned i = 0; i < THREADS; i++)
        if (results[i].outcome == OUTCOME_REPLACE)
            admitted++;
        else {
            RACE_CHECK(results[i].error.code == ERROR_LIMIT, "error %d", results[i].error.code);
            tallies[i]++;
        }
    RACE_CHECK(admitted == LIMIT, "%u admitted at a limit of %d", admitted, LIMIT);
    RACE_CHECK(count_living(GROUP_USER) == LIMIT, "%llu living", (unsigned long long)count_living(GROUP_USER));
    RACE_CHECK(end_group(0, GROUP_USER, END_REVOKE).scan_result.total == LIMIT, "not all ended");
}

/* What the rounds before left is evicted, and of this one's at most the limit lives on. */
static void check_evicted(uint64_t round) {
    (void)round;
    for (unsigned i = 0; i < THREADS; i++)
        RACE_CHECK(results[i].outcome == OUTCOME_REPLACE, "error %d", results[i].error.code);
    uint64_t living = count_living(GROUP_USER);
    RACE_CHECK(living == LIMIT, "%llu living at a limit of %d", (unsigned long long)living, LIMIT);
    tallies[0] += living;
}

static void set_up_single(struct policy *policy) {
    policy->single_session = true;
    policy->retention_ms = 100;
    policy->tombstone_ms = 0;
}

static struct verb join_client(unsigned loop, uint64_t round) {
    return join(loop, round, GROUP_CLIENT);
}

/* All three signed in, one is there, and the other two name who replaced them. */
static void check_single(uint64_t round) {
    static const char kinds[THREADS] = {'c', 's', 'r'};
    unsigned living = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        char id[40];
        RACE_CHECK(results[i].outcome == OUTCOME_REPLACE, "error %d", results[i].error.code);
        struct session session = read_dead(id_of(id, kinds[i], round));
        if (status_is_living(session.status)) {
            living++;
            tallies[i]++;
            continue;
        }
        RACE_CHECK(session.status == STATUS_REPLACED && session.replaced_by.data, "status %d", session.status);
        RACE_CHECK(!bytes_equal(session.replaced_by, session.id), "replaced by itself");
    }
    RACE_CHECK(living == 1, "%u living sessions on one client", living);
    RACE_CHECK(count_living(GROUP_CLIENT) == 1, "another one lives");
}

/* ---- ending a group */

static void set_up_short(struct policy *policy) {
    policy->retention_ms = 0; /* so that the group does not only grow */
    policy->tombstone_ms = 0;
}

static enum group_kind group_of(uint64_t round) {
    return (enum group_kind)(GROUP_USER + round % 3);
}

static enum end_kind end_of(uint64_t round) {
    static const enum end_kind ends[] = {END_REVOKE, END_REMOVE, END_DESTROY};
    return ends[round / 3 % 3];
}

static void prepare_member(uint64_t round) {
    char id[40];
    race_write(0, id_of(id, 's', round), joining(group_of(round)));
}

static struct verb end_against_moves(unsigned loop, uint64_t round) {
    char id[40], new_id[40];
    if (loop == 0) return end_group(loop, group_of(round), end_of(round));
    if (loop == 1) return race_rename(loop, id_of(id, 's', round), id_of(new_id, 'n', round));
    return race_write(loop, id_of(id, 'c', round), joining(group_of(round)));
}

/* What was a member before is dead under whatever name; only what was created meanwhile may live. */
static void check_ended(uint64_t round) {
    char id[40];
    bool is_alive = race_get(0, id_of(id, 's', round), false).is_found;
    is_alive |= race_get(0, id_of(id, 'n', round), false).is_found;
    RACE_CHECK(!is_alive, "round %llu: it lived on", (unsigned long long)round);
    uint64_t living = count_living(group_of(round));
    RACE_CHECK(living <= 1 && living == (uint64_t)race_get(0, id_of(id, 'c', round), false).is_found, "%llu living",
               (unsigned long long)living);
    tallies[0] += results[1].outcome == OUTCOME_REPLACE;
    tallies[1] += living;
    end_group(0, group_of(round), END_DESTROY);
}

/* ---- destroy */

static enum outcome touch_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    return input->presence == PRESENCE_ALIVE ? OUTCOME_TOUCH : OUTCOME_KEEP;
}

static enum outcome rotate_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    if (input->presence != PRESENCE_ALIVE) return OUTCOME_KEEP;
    draft->token = BYTES_LITERAL("hashes of another secret");
    draft->last_active_at = input->now_ms;
    return OUTCOME_REPLACE;
}

static struct verb update(unsigned loop, const char *id, update_rule rule) {
    struct verb verb = race_verb(VERB_UPDATE, id);
    verb.update.rule = rule;
    race_call(loop, &verb);
    return verb;
}

static struct verb destroy_against_writes(unsigned loop, uint64_t round) {
    char id[40];
    id_of(id, 's', round);
    if (loop == 0) return race_remove(loop, id);
    switch ((loop + round) % 6) {
    case 0: return race_write(loop, id, (struct write){.data = 7});                            /* set */
    case 1: return race_write(loop, id, (struct write){.must_exist = true, .adds_one = true}); /* patch */
    case 2: return race_touch(loop, id);
    case 3: return update(loop, id, touch_rule); /* validate that slides */
    case 4: return change_status(loop, id, STATUS_ENDED);
    default: return update(loop, id, rotate_rule);
    }
}

static void check_destroyed(uint64_t round) {
    char id[40];
    struct verb verb = race_verb(VERB_GET, id_of(id, 's', round));
    verb.get.include_dead = true;
    race_call(0, &verb);
    RACE_CHECK(!verb.is_found, "%s came back", id);
    RACE_CHECK(results[0].outcome == OUTCOME_REMOVE, "outcome %d", results[0].outcome);
    for (unsigned i = 1; i < THREADS; i++) {
        bool was_late = results[i].error.code == ERROR_GONE || !results[i].is_found;
        RACE_CHECK(was_late || !results[i].error.code, "error %d", results[i].error.code);
        tallies[was_late]++;
    }
}

int main(int argc, char **argv) {
    static const struct scenario scenarios[] = {
        {"end, revoke and replace: one wins",
         {"ended", "revoked", "replaced"},
         NULL,
         prepare_one,
         end_exclusively,
         check_exclusive},
        {"end, revoke and remove",
         {"revoked", "ended and removed", "removed"},
         NULL,
         prepare_one,
         end_or_remove,
         check_removing},
        {"create, set and regenerate at a limit of 2",
         {"create refused", "set refused", "regenerate refused"},
         set_up_reject,
         prepare_join,
         join_user,
         check_rejected},
        {"the same with eviction", {"left"}, set_up_evict, prepare_join, join_user, check_evicted},
        {"create, set and regenerate with single_session",
         {"create was last", "set was last", "regenerate was last"},
         set_up_single,
         prepare_join,
         join_client,
         check_single},
        {"a user, a client and a pool revoked, removed and destroyed against rename and create",
         {"renamed before", "created after"},
         set_up_short,
         prepare_member,
         end_against_moves,
         check_ended},
        {"destroy against set, patch, touch, slide, end and rotate",
         {"came before", "came after"},
         NULL,
         prepare_one,
         destroy_against_writes,
         check_destroyed},
    };
    rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000;
    for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) play(&scenarios[i]);
    return 0;
}
