/* Pools whose engine crashes between two turns, or while one loop is in the middle of a verb and another has ended its
 * turn: what was told since is lost, and nobody was answered who depends on it. Of all hand-outs that were answered, no
 * session has had more than it may; no use and no fence comes twice; and a lease holds over the crash. */
#include "contract_pool.h"
#include "recovery.h"

enum { SESSIONS = 4, ANSWERS = 256, TURNS = 8, USES_EACH = 6, USES_MAX = 1024, FENCES_MAX = 2048 };

/* A hand-out as it was answered. */
struct answered {
    unsigned session;
    uint64_t use, fence, depends_on;
    int64_t leased_until; /* 0: it was no lease */
};

/* A moment to which a crash goes back. */
struct moment {
    size_t told; /* bytes */
    uint64_t appended;
};

struct ledger {
    bool is_used[USES_MAX]; /* uses that were answered for good */
    uint64_t last_use;
    unsigned handed;   /* hand-outs that were answered for good */
    unsigned released; /* that were asked for, answered or not: each may have given one back */
    int64_t leased_until;
};

struct crashing {
    struct kept_journal kept;
    struct world world;
    struct prng prng;
    struct ledger ledgers[SESSIONS];
    struct answered answered[ANSWERS]; /* not for good yet */
    unsigned answered_count;
    uint64_t fences[FENCES_MAX]; /* that were answered for good */
    unsigned fence_count;
    uint64_t newest;              /* version on which one of them depended */
    struct moment moments[TURNS]; /* the ends of the last turns */
    unsigned moment_count;
    struct moment amid; /* of the last step of the other loop, with is_amid */
    bool is_amid;
    unsigned returns; /* ever asked for */
    uint64_t all_handed, crashes;
};

static struct crashing crashing; /* one: actions of the other loop have no argument for it */

static const char *const names[SESSIONS] = {"a", "b", "c", "d"};

static uint64_t roll(uint64_t sides) {
    return prng_below(&crashing.prng, sides);
}

static struct moment moment_now(void) {
    struct engine *engine = crashing.world.engine;
    return (struct moment){crashing.kept.effects.size, engine->vtable->appended(engine)};
}

/* ---- the ledger */

static void ledger_check(const struct ledger *ledger) {
    CHECK(ledger->handed <= USES_EACH + ledger->released);
}

static void note_fence(uint64_t fence) {
    if (!fence) return;
    for (unsigned i = 0; i < crashing.fence_count; i++) CHECK(crashing.fences[i] != fence);
    if (crashing.fence_count == FENCES_MAX) abort();
    crashing.fences[crashing.fence_count++] = fence;
}

static void answered_for_good(const struct answered *answered) {
    struct ledger *ledger = &crashing.ledgers[answered->session];
    if (answered->use >= USES_MAX) abort();
    CHECK(!ledger->is_used[answered->use]);
    note_fence(answered->fence);
    ledger->is_used[answered->use] = true;
    if (answered->use > ledger->last_use) ledger->last_use = answered->use;
    if (answered->depends_on > crashing.newest) crashing.newest = answered->depends_on;
    ledger->handed++;
    crashing.all_handed++;
    ledger->leased_until = answered->leased_until;
    ledger_check(ledger);
}

/* What depends on nothing newer than that stands. */
static void settle(uint64_t appended, bool is_crash) {
    unsigned left = 0;
    for (unsigned i = 0; i < crashing.answered_count; i++)
        if (crashing.answered[i].depends_on <= appended)
            answered_for_good(&crashing.answered[i]);
        else
            crashing.answered[left++] = crashing.answered[i];
    crashing.answered_count = is_crash ? 0 : left;
}

static void note_answer(struct world *world, const struct verb *verb, int64_t lease_ms) {
    unsigned session = (unsigned)(verb->session.id.data[0] - 'a');
    CHECK(session < SESSIONS);
    if (crashing.answered_count == ANSWERS) abort();
    const struct ledger *ledger = &crashing.ledgers[session];
    /* Who waited may have been granted it before the lease, and be answered only now. */
    CHECK(verb->use < ledger->last_use || world->now_ms >= ledger->leased_until);
    crashing.answered[crashing.answered_count++] =
        (struct answered){.session = session,
                          .use = verb->use,
                          .fence = verb->fence,
                          .depends_on = verb->depends_on,
                          .leased_until = lease_ms ? verb->usage.lease_expires_at : 0};
}

/* ---- steps */

static bool waiter_answered(unsigned loop, struct verb *verb) {
    (void)loop;
    if (roll(4) == 0) return false;                            /* it is taken back */
    if (verb->is_found) note_answer(&crashing.world, verb, 0); /* it may have been released meanwhile */
    return true;
}

static void step_acquire(struct world *world) {
    struct verb verb = verb_of(VERB_ACQUIRE, "web", NULL);
    verb.acquire.pool = TEXT("p");
    verb.acquire.has_strategy = true;
    verb.acquire.strategy = (enum pool_strategy)roll(5);
    verb.acquire.create = POOL_CREATE_NEVER;
    verb.acquire.lease_ms = roll(2) ? 1 + (int64_t)roll(100) : 0;
    verb.acquire.wait_ms = roll(3) ? 0 : 20;
    verb.acquire.count = 1;
    unsigned returns = crashing.returns;
    if (contract_try(world, &verb) != SUBMIT_DONE || !verb.is_found) return;
    /* The other loop may have released it before it was answered. */
    note_answer(world, &verb, returns == crashing.returns ? verb.acquire.lease_ms : 0);
}

/* What ends the lease, or may end it earlier. */
static void lease_forget(unsigned session) {
    crashing.ledgers[session].leased_until = 0;
    for (unsigned i = 0; i < crashing.answered_count; i++)
        if (crashing.answered[i].session == session) crashing.answered[i].leased_until = 0;
}

static void step_return(struct world *world) {
    unsigned session = (unsigned)roll(SESSIONS);
    struct ledger *ledger = &crashing.ledgers[session];
    struct given given = {.kind = (enum return_kind)roll(3), .mark = MARK_GOOD, .lease_ms = 30};
    crashing.returns++;
    if (ledger->last_use && roll(3)) given.use = 1 + roll(ledger->last_use);
    ledger->released += given.kind == RETURN_RELEASE;
    if (given.kind != RETURN_MARK) lease_forget(session);
    pool_return(world, names[session], given);
    /* Also the one that was given in the middle of this. */
    if (given.kind != RETURN_MARK) lease_forget(session);
}

static void step_renew_all(struct world *world) {
    static const struct usage usage = {.max_usage_count = USES_EACH, .max_error_score = 100};
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (usage_of(world, names[i]).max_usage_count && !usage_of(world, names[i]).retired_at) continue;
        /* It is over: another session begins under its name. */
        contract_remove(world, "web", names[i]);
        contract_put(world, "web", names[i], (struct put){.pool = TEXT("p"), .usage = &usage, .revives = true});
        crashing.ledgers[i] = (struct ledger){0};
        for (unsigned j = 0; j < crashing.answered_count; j++) CHECK(crashing.answered[j].session != i);
    }
}

static void step(struct world *world) {
    if (roll(3))
        step_acquire(world);
    else
        step_return(world);
}

/* The other loop's, while this one is in the middle of a verb: its turn ends, this one's has not. */
static void step_amid(struct world *world) {
    step(world);
    crashing.amid = moment_now();
    crashing.is_amid = true;
}

/* ---- crashes */

static void crash_to(struct moment moment) {
    struct recovery_counts counts;
    struct world *world = &crashing.world;
    settle(moment.appended, true);
    crashing.kept.effects.size = moment.told;
    contract_close(world);
    *world = (struct world){.now_ms = world->now_ms};
    world->engine = recovery_open(&crashing.kept, moment.told, &crashing.prng, (unsigned)roll(4), world->now_ms,
                                  &crashing.kept.journal, &counts);
    CHECK(counts.version >= crashing.newest);
    contract_done = waiter_answered;
    crashing.moment_count = 0;
    crashing.crashes++;
}

static void crash_maybe(void) {
    if (crashing.is_amid && roll(3) == 0)
        crash_to(crashing.amid);
    else if (crashing.moment_count && roll(12) == 0)
        crash_to(crashing.moments[roll(crashing.moment_count)]);
    crashing.is_amid = false;
}

/* All is written: what was answered holds from here on. */
static void write_all(void) {
    settle(moment_now().appended, false);
    CHECK_EQUAL(crashing.answered_count, 0);
    crashing.moment_count = 0;
}

static void note_moment(void) {
    if (crashing.moment_count == TURNS) write_all();
    crashing.moments[crashing.moment_count++] = moment_now();
}

/* ---- snapshots */

static struct {
    struct snapshot_cursor cursor;
    struct buf effects;
    size_t told; /* that was appended before it began */
    bool is_begun;
} snapshot;

static void snapshot_slice(void) {
    const struct world *world = &crashing.world;
    world->engine->vtable->snapshot(world->engine, &snapshot.cursor, &snapshot.effects, 1 + roll(400), world->now_ms);
}

static void snapshot_begin(struct world *other) {
    (void)other;
    snapshot.is_begun = true;
    snapshot.told = crashing.kept.effects.size;
    crashing.world.engine->vtable->preamble(crashing.world.engine, &snapshot.effects);
    snapshot_slice();
}

/* A snapshot that begins in the middle of a verb and is made while others go on; what was told before it is not needed
 * any more, so it is forgotten for good. */
static void snapshot_all(void) {
    struct world *world = &crashing.world;
    struct buf *kept = &crashing.kept.effects;
    memset(&snapshot, 0, sizeof(snapshot));
    snapshot.effects = BUF_EMPTY;
    contract_at_point(world, 1 + (unsigned)roll(6), snapshot_begin);
    step(world);
    contract_at_point(world, 0, NULL);
    if (!snapshot.is_begun) snapshot_begin(world);
    while (!snapshot.cursor.is_done) {
        if (roll(2)) step(world);
        snapshot_slice();
    }
    CHECK(snapshot.cursor.version <= moment_now().appended);
    buf_append(&snapshot.effects, kept->data + snapshot.told, kept->size - snapshot.told);
    CHECK(!snapshot.effects.is_failed);
    buf_fini(kept);
    *kept = snapshot.effects;
    crashing.is_amid = false;
    write_all();
}

void contract_pool_recovery(uint64_t seed) {
    memset(&crashing, 0, sizeof(crashing));
    crashing.prng = prng_of(seed);
    crashing.world = recovery_begin(&crashing.kept, (unsigned)(seed % 4));
    contract_done = waiter_answered;
    struct world *world = &crashing.world;
    pool_change(world, (struct pool_policy_change){.given = POOL_POLICY_COOLDOWN_MS | POOL_POLICY_MAX_POOL_SIZE,
                                                   .values = {.cooldown_ms = (int64_t)roll(20), .max_pool_size = 100}});
    step_renew_all(world);
    for (unsigned i = 0; i < 600; i++) {
        world->loop = (unsigned)roll(LOOPS);
        if (roll(3) == 0) world->now_ms += (int64_t)roll(30);
        if (roll(2)) contract_at_point(world, 1 + (unsigned)roll(6), step_amid);
        step(world);
        contract_at_point(world, 0, NULL);
        if (!crashing.is_amid) contract_advance(world);
        crash_maybe();
        note_moment();
        if (roll(30) == 0) snapshot_all();
        if (i % 50 != 49) continue;
        write_all();
        step_renew_all(world);
        write_all();
    }
    CHECK(crashing.crashes > 10 && crashing.all_handed > 20);
    recovery_end(world, &crashing.kept);
}
