/* Races over pools: 64 clients on four loops that acquire, wait, mark, release and go away.
 *
 * What is counted beside the engine, by the clients themselves, has to come out the same in it: no session is handed
 * out more often than its limit, none is leased to two at once, fences grow, and in the end each session's usage is
 * what its clients made of it. A second race destroys and adds sessions of the same ids meanwhile, while a journal is
 * told and snapshots are made: what they hold in the end makes an engine with the same pool. */
#define RACE_THREADS 4
#include "base/buf.h"
#include "engine_race.h"

enum { CLIENTS = 64, OF_LOOP = CLIENTS / THREADS, IDS_MAX = 1 << 21, USES = 10, SIZE = 24, LEASE_MS = 1000000 };

/* What the clients know of a session, by its number. */
static struct known {
    _Atomic int32_t handed; /* hand-outs that were not given back */
    _Atomic int32_t holder; /* client + 1 that has the lease */
    _Atomic int32_t extra;  /* marks beyond the first */
    _Atomic uint64_t fence; /* the newest, as the holder knows it */
} known[IDS_MAX];
static _Atomic uint32_t made;
static _Atomic uint64_t acquired, marked, released, waited, cancelled, refused;

struct client {
    enum { IDLE, WAITING, HOLDING } state;
    uint32_t number; /* of the session */
    uint64_t use, fence, ticket;
    unsigned marks;
};
static struct client clients[THREADS][OF_LOOP];
static struct prng prngs[THREADS];

static size_t make_id(void *context, char *id) {
    (void)context;
    uint32_t number = atomic_fetch_add(&made, 1);
    RACE_CHECK(number < IDS_MAX, "too many sessions");
    return (size_t)snprintf(id, 24, "%u", number);
}

static void begin_session(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                          struct session *draft, struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = now_ms;
    draft->data = BYTES_LITERAL("12345678");
    *usage = (struct usage){.max_usage_count = pool->max_usage_count, .max_error_score = pool->max_error_score};
}

static uint32_t number_of(struct bytes id) {
    uint32_t number = 0;
    for (size_t i = 0; i < id.size; i++) number = number * 10 + (uint32_t)(id.data[i] - '0');
    return number;
}

/* A client gets a session. */
static void take(unsigned loop, struct client *client, const struct verb *verb) {
    struct known *session = &known[client->number = number_of(verb->session.id)];
    int32_t handed = atomic_fetch_add(&session->handed, 1) + 1;
    RACE_CHECK(handed <= USES, "session %u was handed out %d times", client->number, handed);
    RACE_CHECK(verb->usage.usage_count >= 1, "usage 0");
    client->state = HOLDING;
    client->use = verb->use;
    client->fence = verb->fence;
    client->marks = 0;
    atomic_fetch_add_explicit(&acquired, 1, memory_order_relaxed);
    if (!verb->fence) return;
    int32_t nobody = 0, me = (int32_t)(loop * OF_LOOP + (unsigned)(client - clients[loop])) + 1;
    RACE_CHECK(atomic_compare_exchange_strong(&session->holder, &nobody, me), "%d and %d have session %u", nobody, me,
               client->number);
    uint64_t before = atomic_load(&session->fence);
    RACE_CHECK(verb->fence > before, "fence %llu after %llu", (unsigned long long)verb->fence,
               (unsigned long long)before);
    atomic_store(&session->fence, verb->fence);
}

static bool on_done(void *context, unsigned loop, struct verb *verb) {
    (void)context;
    for (unsigned i = 0; i < OF_LOOP; i++) {
        struct client *client = &clients[loop][i];
        if (client->state != WAITING || client->ticket != verb->private[0]) continue;
        client->state = IDLE;
        if (prng_happens(&prngs[loop], 1, 8)) return false; /* its connection has just closed */
        if (verb->is_found) take(loop, client, verb);
        return true;
    }
    RACE_CHECK(false, "an answer to ticket %llu, for which nobody waits", (unsigned long long)verb->private[0]);
    return false;
}

static void acquire(unsigned loop, struct client *client) {
    struct prng *prng = &prngs[loop];
    struct verb verb = race_verb(VERB_ACQUIRE, NULL);
    enum submit_state state;
    verb.acquire.pool = BYTES_LITERAL("p");
    verb.acquire.has_strategy = true;
    verb.acquire.strategy = (enum pool_strategy)prng_below(prng, 5);
    verb.acquire.create = prng_happens(prng, 3, 4) ? POOL_CREATE_AUTO : POOL_CREATE_NEVER;
    verb.acquire.lease_ms = prng_happens(prng, 3, 4) ? LEASE_MS : 0;
    verb.acquire.wait_ms = prng_happens(prng, 1, 2) ? 60000 : 0;
    verb.acquire.count = 1;
    verb.use = verb.fence = 0;
    race_turn(loop);
    engine->vtable->submit(engine, loop, &verb, &state, 1, atomic_load(&race_clock));
    if (state == SUBMIT_PENDING) {
        client->state = WAITING;
        client->ticket = verb.private[0];
        atomic_fetch_add_explicit(&waited, 1, memory_order_relaxed);
    } else if (verb.is_found) {
        take(loop, client, &verb);
    } else {
        RACE_CHECK(verb.error.code == ERROR_EXHAUSTED, "error %d", verb.error.code);
        atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    }
}

static struct verb give(unsigned loop, const struct client *client, enum return_kind kind, enum mark_kind mark) {
    char id[24];
    snprintf(id, sizeof(id), "%u", client->number);
    struct verb verb = race_verb(VERB_RETURN, id);
    verb.pool_return.kind = kind;
    verb.pool_return.outcome.kind = mark;
    verb.pool_return.use = client->use;
    verb.pool_return.fence = client->fence;
    race_call(loop, &verb);
    RACE_CHECK(verb.is_found, "session %s: error %d", id, verb.error.code);
    return verb;
}

/* Marks, or ends the hand-out. */
static void go_on(unsigned loop, struct client *client) {
    struct known *session = &known[client->number];
    bool marks = prng_happens(&prngs[loop], 1, 2);
    if (marks) {
        if (client->marks++) atomic_fetch_add(&session->extra, 1);
        give(loop, client, RETURN_MARK, MARK_GOOD);
        atomic_fetch_add_explicit(&marked, 1, memory_order_relaxed);
        if (!client->fence) client->state = IDLE;
        return;
    }
    if (!client->marks) atomic_fetch_sub(&session->handed, 1);
    if (client->fence) atomic_store(&session->holder, 0);
    give(loop, client, RETURN_RELEASE, MARK_GOOD);
    atomic_fetch_add_explicit(&released, 1, memory_order_relaxed);
    client->state = IDLE;
}

static void give_up(unsigned loop, struct client *client) {
    race_turn(loop);
    if (engine->vtable->cancel(engine, loop, client->ticket)) client->state = IDLE;
    atomic_fetch_add_explicit(&cancelled, 1, memory_order_relaxed);
}

static void *client_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    prngs[loop] = prng_of(loop + 1000);
    while (race_goes_on()) {
        struct client *client = &clients[loop][prng_below(&prngs[loop], OF_LOOP)];
        switch (client->state) {
        case IDLE: acquire(loop, client); break;
        case HOLDING: go_on(loop, client); break;
        case WAITING:
            if (prng_happens(&prngs[loop], 1, 16)) give_up(loop, client);
            break;
        }
        race_advance(loop);
    }
    return NULL;
}

/* Ends all that is under way. */
static void settle(void) {
    bool is_quiet = false;
    while (!is_quiet) {
        is_quiet = true;
        for (unsigned loop = 0; loop < THREADS; loop++) {
            race_advance(loop);
            for (unsigned i = 0; i < OF_LOOP; i++) {
                struct client *client = &clients[loop][i];
                is_quiet &= client->state == IDLE;
                if (client->state == WAITING) give_up(loop, client);
                if (client->state == HOLDING) go_on(loop, client);
            }
        }
    }
}

static _Atomic uint64_t uses_found;

static bool check_session(void *context, const struct session *session) {
    uint32_t *count = context;
    const struct known *session_known = &known[number_of(session->id)];
    RACE_CHECK(session->usage, "no usage");
    int64_t expected =
        atomic_load(&session_known->handed) + atomic_load(&session_known->extra) + (session->usage->retired_at ? 1 : 0);
    /* A use that was released after its session had its last one does not come back: its number is gone. */
    RACE_CHECK((int64_t)session->usage->usage_count == expected, "session %.*s: usage %llu, expected %lld",
               (int)session->id.size, (const char *)session->id.data, (unsigned long long)session->usage->usage_count,
               (long long)expected);
    RACE_CHECK(session->usage->lease_expires_at == 0, "a lease is left");
    atomic_fetch_add(&uses_found, session->usage->usage_count);
    ++*count;
    return true;
}

static uint32_t check_all(void) {
    char cursor[SCAN_CURSOR_MAX];
    uint32_t count = 0;
    size_t size = 0;
    do {
        struct verb verb = race_verb(VERB_SCAN, NULL);
        verb.scan.group = GROUP_POOL;
        verb.scan.group_name = BYTES_LITERAL("p");
        verb.scan.statuses = STATUS_BIT(STATUS_ACTIVE);
        verb.scan.limit = 1000;
        verb.scan.each = check_session;
        verb.scan.context = &count;
        if (size) verb.scan.cursor = bytes_of(cursor, size);
        race_call(0, &verb);
        size = verb.scan_result.cursor_size;
        memcpy(cursor, verb.scan_result.cursor, size);
    } while (size);
    return count;
}

static struct pool_policy pool_policy = POOL_POLICY_DEFAULTS;

/* The one policy that there is. */
static const struct policy *namespace_policy;
static void write_policy(struct buf *out, const struct policy *policy) {
    (void)policy;
    buf_append(out, "p", 1);
}
static bool read_policy(struct bytes encoded, struct policy *out) {
    *out = *namespace_policy;
    return encoded.size == 1;
}
static void write_pool_policy(struct buf *out, const struct pool_policy *policy) {
    (void)out, (void)policy;
}
static bool read_pool_policy(struct bytes encoded, struct pool_policy *out) {
    (void)encoded, (void)out;
    return false; /* nobody configures one */
}

static void open_with_pools(const struct policy *policy, struct journal *journal, int64_t now_ms) {
    struct engine_options options = {.loop_count = THREADS,
                                     .shard_bits = 4,
                                     .now_ms = now_ms,
                                     .env = &race_env,
                                     .journal = journal,
                                     .policy_encode = write_policy,
                                     .policy_decode = read_policy,
                                     .pool_policy_encode = write_pool_policy,
                                     .pool_policy_decode = read_pool_policy,
                                     .default_policy = policy,
                                     .default_pool_policy = &pool_policy,
                                     .pool_session_make = make_id,
                                     .pool_session_begin = begin_session};
    namespace_policy = policy;
    engine = memory_engine_open(&options);
    RACE_CHECK(engine, "no memory");
    engine->vtable->set_done(engine, on_done, NULL);
}

/* ---- what a journal is told, and snapshots */

static struct {
    struct journal journal; /* first */
    pthread_mutex_t lock;   /* of the rest */
    struct buf told;        /* since the newest whole snapshot, which stands before it */
    struct buf fresh;       /* since the walk of the one that is being made began */
    bool is_walking;
} keeping = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Atomic bool walks_on;
static uint64_t walks;

static void keep(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index;
    pthread_mutex_lock(&keeping.lock);
    buf_append(&keeping.told, effects.data, effects.size);
    if (keeping.is_walking) buf_append(&keeping.fresh, effects.data, effects.size);
    pthread_mutex_unlock(&keeping.lock);
}

static void await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

/* A snapshot counts once all is told that it may have met. */
static void *walk_thread(void *unused) {
    while (atomic_load(&walks_on)) {
        struct snapshot_cursor cursor = {0};
        struct buf snapshot = BUF_EMPTY;
        pthread_mutex_lock(&keeping.lock);
        keeping.is_walking = true;
        buf_clear(&keeping.fresh);
        pthread_mutex_unlock(&keeping.lock);
        engine->vtable->preamble(engine, &snapshot);
        while (!cursor.is_done) engine->vtable->snapshot(engine, &cursor, &snapshot, 4096, atomic_load(&race_clock));
        while (engine->vtable->appended(engine) < cursor.version && atomic_load(&walks_on)) sched_yield();
        pthread_mutex_lock(&keeping.lock);
        keeping.is_walking = false;
        if (atomic_load(&walks_on)) {
            buf_clear(&keeping.told);
            buf_append(&keeping.told, snapshot.data, snapshot.size);
            buf_append(&keeping.told, keeping.fresh.data, keeping.fresh.size);
            walks++;
        }
        pthread_mutex_unlock(&keeping.lock);
        buf_fini(&snapshot);
    }
    return unused;
}

static void clients_race(double seconds) {
    struct policy policy = POLICY_DEFAULTS;
    pool_policy.max_pool_size = SIZE;
    pool_policy.max_usage_count = USES;
    open_with_pools(&policy, NULL, RACE_START);
    race_scenario(seconds, client_thread);
    settle();
    uint32_t sessions = check_all();
    RACE_CHECK(sessions == atomic_load(&made), "%u sessions of %u", sessions, atomic_load(&made));
    race_close();
    printf("clients: %llu acquired (%llu waited), %llu marks, %llu releases, %llu given up, %llu refused: %u sessions "
           "with %llu uses, none above %d, never two holders\n",
           (unsigned long long)acquired, (unsigned long long)waited, (unsigned long long)marked,
           (unsigned long long)released, (unsigned long long)cancelled, (unsigned long long)refused, sessions,
           (unsigned long long)uses_found, USES);
}

/* ---- sessions that come and go under the same ids */

#define EXTENSION UINT64_C(0x0105c7) /* eight bytes that are one MessagePack value */

static _Atomic uint64_t lives, outs;

static void *lives_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(loop + 9);
    char id[8], other[8];
    while (race_goes_on()) {
        snprintf(id, sizeof(id), "%u", (unsigned)prng_below(&prng, 8));
        snprintf(other, sizeof(other), "%u", (unsigned)prng_below(&prng, 8));
        if (loop < 2) {
            race_write(loop, id, (struct write){.pool = BYTES_LITERAL("p"), .data = EXTENSION, .idle_timeout_ms = 50});
            if (prng_happens(&prng, 1, 2)) race_rename(loop, id, other);
            if (prng_happens(&prng, 1, 2)) race_remove(loop, id);
            atomic_fetch_add_explicit(&lives, 1, memory_order_relaxed);
        } else {
            struct verb verb = race_verb(VERB_ACQUIRE, NULL);
            verb.acquire.pool = BYTES_LITERAL("p");
            verb.acquire.create = POOL_CREATE_NEVER;
            verb.acquire.lease_ms = prng_happens(&prng, 1, 2) ? 20 : 0;
            verb.acquire.count = 1 + (uint32_t)prng_below(&prng, 3);
            verb.acquire.bytes_max = SIZE_MAX;
            race_call(loop, &verb);
            if (verb.is_found) {
                RACE_CHECK(verb.use >= 1 && verb.usage.usage_count >= 1, "use %llu", (unsigned long long)verb.use);
                atomic_fetch_add_explicit(&outs, 1 + verb.more_count, memory_order_relaxed);
                snprintf(id, sizeof(id), "%.*s", (int)verb.session.id.size, (const char *)verb.session.id.data);
                struct verb back = race_verb(VERB_RETURN, id);
                back.pool_return.kind = prng_happens(&prng, 1, 2) ? RETURN_MARK : RETURN_RELEASE;
                back.pool_return.outcome.kind = prng_happens(&prng, 1, 8) ? MARK_RETIRE : MARK_GOOD;
                back.pool_return.use = verb.use;
                race_call(loop, &back);
            }
        }
        if (loop == 0 && prng_happens(&prng, 1, 4)) atomic_fetch_add(&race_clock, 1);
        if (loop == 1 && prng_happens(&prng, 1, 200)) {
            struct verb verb = race_verb(VERB_END_ALL, NULL);
            verb.end_all.end = prng_happens(&prng, 1, 3)   ? END_DROP
                               : prng_happens(&prng, 1, 2) ? END_CLEAR
                                                           : END_DESTROY;
            verb.end_all.group = GROUP_POOL;
            verb.end_all.group_name = BYTES_LITERAL("p");
            race_call(loop, &verb);
        }
        race_advance(loop);
    }
    return NULL;
}

/* What one may ask of the pool and its eight sessions. */
struct looked {
    uint64_t usable, retired, leased;
    bool is_there[8];
    struct usage usages[8];
};

static void look(struct looked *looked) {
    struct verb verb = race_verb(VERB_CONFIGURE, NULL);
    memset(looked, 0, sizeof(*looked));
    verb.configure.group = GROUP_POOL;
    verb.configure.group_name = BYTES_LITERAL("p");
    race_call(0, &verb);
    looked->usable = verb.pool_state.usable_count;
    looked->retired = verb.pool_state.retired_count;
    looked->leased = verb.pool_state.leased_count;
    for (unsigned i = 0; i < 8; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%u", i);
        verb = race_get(0, id, false);
        looked->is_there[i] = verb.is_found;
        if (verb.is_found && verb.session.usage) looked->usages[i] = verb.usage; /* session.usage points into a copy */
    }
}

static void leave_all(void) {
    for (unsigned i = 0; i < THREADS; i++)
        if (race_is_inside[i]) engine->vtable->leave(engine, i);
    memset(race_is_inside, 0, sizeof(race_is_inside));
}

/* An engine that is made of what was told has the same pool. */
static void compare_recovered(const struct policy *policy) {
    struct looked before, after;
    struct recovery_counts counts;
    struct engine *told = engine;
    const char *why = "";
    int64_t now_ms = atomic_load(&race_clock);
    look(&before);
    leave_all();
    open_with_pools(policy, NULL, now_ms);
    RACE_CHECK(engine->vtable->apply(engine, buf_bytes(&keeping.told), &why), "%s", why);
    RACE_CHECK(engine->vtable->recovered(engine, now_ms, &counts, &why), "%s", why);
    engine->vtable->check(engine);
    look(&after);
    race_close();
    engine = told;
    RACE_CHECK(before.usable == after.usable && before.retired == after.retired && before.leased == after.leased,
               "%llu usable, recovered %llu", (unsigned long long)before.usable, (unsigned long long)after.usable);
    for (unsigned i = 0; i < 8; i++) {
        const struct usage *a = &before.usages[i], *b = &after.usages[i];
        RACE_CHECK(before.is_there[i] == after.is_there[i], "session %u", i);
        RACE_CHECK(a->usage_count == b->usage_count && a->retired_at == b->retired_at &&
                       a->lease_expires_at == b->lease_expires_at && a->last_used_at == b->last_used_at,
                   "session %u has another usage", i);
    }
}

static void lives_race(double seconds) {
    pthread_t walker;
    struct policy policy = POLICY_DEFAULTS;
    policy.tombstone_ms = 0;
    policy.retention_ms = 20;
    pool_policy.max_pool_size = 6;
    pool_policy.max_usage_count = 5;
    keeping.journal.append = keep;
    keeping.journal.await = await;
    atomic_init(&keeping.journal.busy_from, INT64_MAX);
    open_with_pools(&policy, &keeping.journal, RACE_START);
    engine->vtable->preamble(engine, &keeping.told);
    atomic_store(&walks_on, true);
    RACE_CHECK(pthread_create(&walker, NULL, walk_thread, NULL) == 0, "no thread");
    race_scenario(seconds, lives_thread);
    atomic_store(&walks_on, false);
    pthread_join(walker, NULL);
    leave_all();
    compare_recovered(&policy);
    for (unsigned i = 0; i < 200; i++) {
        atomic_fetch_add(&race_clock, 1000);
        race_advance(i % THREADS);
    }
    race_close();
    buf_fini(&keeping.told);
    buf_fini(&keeping.fresh);
    printf("lives: %llu writes, %llu hand-outs: every entry is its session's; %llu snapshots\n",
           (unsigned long long)lives, (unsigned long long)outs, (unsigned long long)walks);
}

int main(int argc, char **argv) {
    double seconds = race_seconds(argc, argv, 2);
    clients_race(seconds);
    lives_race(seconds);
    return 0;
}
