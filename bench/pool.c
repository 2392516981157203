/* What a pool costs without sockets: nanoseconds of an acquire, of a mark, and of both with a lease, for each strategy
 * at 1,000 and 100,000 sessions of 300 bytes, without a journal and with one that throws away; how many bytes it is
 * told; the same by a tag, and by two, that more and more sets of tags share, and beside more and more who wait; how
 * long others wait at most while something happens to all sessions of the larger pool; and what a session of it costs
 * when all are recovered. One loop; each verb in a submit of its own, as a crawler sends them. */
#include "base/buf.h"
#include "micro.h"
#include "wire/codec.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    DATA = 300,
    ROUNDS = 400000,
    RECOVERED = 100000,
    PAUSED = 100000,
    ADVANCES = 100000,
    TAGGED = 10000,
    TAGGED_ROUNDS = 20000,
    WAITING = 10000
};

static struct engine *engine;
static uint8_t data[DATA] = {0xc5, (DATA - 3) >> 8, (DATA - 3) & 0xff}; /* a bin */
static uint64_t told_bytes;
static struct buf kept;
static struct bytes wanted; /* tags */
static int64_t now_ms;

static size_t make_id(void *context, char *id) {
    static unsigned long made;
    (void)context;
    return (size_t)snprintf(id, 32, "session_%022lu", made++);
}

static void begin_session(const struct policy *policy, const struct pool_policy *pool, int64_t at_ms,
                          struct session *draft, struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = at_ms;
    draft->absolute_timeout_ms = pool->absolute_timeout_ms;
    draft->data = bytes_of(data, DATA);
    *usage = (struct usage){.max_usage_count = pool->max_usage_count, .max_error_score = pool->max_error_score};
}

static void journal_drop(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index;
    told_bytes += effects.size;
}

static void journal_keep(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index;
    buf_append(&kept, effects.data, effects.size);
}

static void journal_await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

static void open_engine(unsigned long sessions, struct journal *journal) {
    struct pool_policy policy = POOL_POLICY_DEFAULTS;
    policy.max_pool_size = sessions;
    policy.max_usage_count = UINT64_C(1) << 52;
    now_ms = START;
    engine = memory_engine_open(&(struct engine_options){.loop_count = 1,
                                                         .now_ms = START,
                                                         .env = &env,
                                                         .journal = journal,
                                                         .policy_encode = codec_write_policy,
                                                         .policy_decode = codec_read_policy,
                                                         .pool_policy_encode = codec_write_pool_policy,
                                                         .pool_policy_decode = codec_read_pool_policy,
                                                         .pool_policy_apply = pool_policy_apply,
                                                         .default_pool_policy = &policy,
                                                         .pool_session_make = make_id,
                                                         .pool_session_begin = begin_session});
    if (!engine) abort();
}

static enum submit_state submit(struct verb *verb) {
    enum submit_state state;
    engine->vtable->enter(engine, 0);
    engine->vtable->submit(engine, 0, verb, &state, 1, now_ms);
    engine->vtable->leave(engine, 0);
    return state;
}

struct round {
    char id[32];
    size_t id_size;
    uint64_t use, fence;
};

static void acquire_begin(struct verb *verb, enum pool_create create) {
    memset(verb, 0, sizeof(*verb));
    verb->kind = VERB_ACQUIRE;
    verb->namespace = BYTES_LITERAL("crawl");
    verb->acquire.pool = BYTES_LITERAL("proxies");
    verb->acquire.create = create;
    verb->acquire.count = 1;
}

static void acquire(struct verb *verb, enum pool_strategy strategy, enum pool_create create, int64_t lease_ms) {
    acquire_begin(verb, create);
    verb->acquire.has_strategy = true;
    verb->acquire.strategy = strategy;
    verb->acquire.lease_ms = lease_ms;
    verb->acquire.tags = wanted;
    submit(verb);
    if (!verb->is_found) abort();
}

static void give_back(struct verb *verb, const struct round *round, enum return_kind kind) {
    memset(verb, 0, sizeof(*verb));
    verb->kind = VERB_RETURN;
    verb->namespace = BYTES_LITERAL("crawl");
    verb->id = bytes_of(round->id, round->id_size);
    verb->pool_return.kind = kind;
    verb->pool_return.outcome.kind = MARK_GOOD;
    verb->pool_return.use = round->use;
    verb->pool_return.fence = round->fence;
    submit(verb);
    if (!verb->is_found) abort();
}

/* Nanoseconds of both, over that many rounds. */
static double run(enum pool_strategy strategy, int64_t lease_ms, unsigned rounds) {
    struct round round;
    struct verb verb;
    acquire(&verb, strategy, POOL_CREATE_NEVER, 0); /* builds the order */
    double begin = seconds();
    for (unsigned i = 0; i < rounds; i++) {
        acquire(&verb, strategy, POOL_CREATE_NEVER, lease_ms);
        round.id_size = verb.session.id.size;
        memcpy(round.id, verb.session.id.data, round.id_size);
        round.use = verb.use;
        round.fence = verb.fence;
        give_back(&verb, &round, RETURN_MARK);
        if (lease_ms) give_back(&verb, &round, RETURN_RELEASE);
    }
    return (seconds() - begin) / rounds * 1e9;
}

/* The bytes of one round with a lease: an acquire, a mark and a release. */
static void tell_bytes(void) {
    struct round round;
    struct verb verb;
    uint64_t from = told_bytes, acquired, marked;
    acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_NEVER, 60000);
    acquired = told_bytes;
    round.id_size = verb.session.id.size;
    memcpy(round.id, verb.session.id.data, round.id_size);
    round.use = verb.use;
    round.fence = verb.fence;
    give_back(&verb, &round, RETURN_MARK);
    marked = told_bytes;
    give_back(&verb, &round, RETURN_RELEASE);
    printf("  bytes told: %llu of an acquire with a lease and its touch, %llu of a mark, %llu of a release\n",
           (unsigned long long)(acquired - from), (unsigned long long)(marked - acquired),
           (unsigned long long)(told_bytes - marked));
}

static void measure(unsigned long sessions, struct journal *journal) {
    static const char *const names[] = {"random", "round_robin", "use_until_failure", "least_used", "least_recent"};
    struct engine_stats before, after;
    struct verb verb;
    open_engine(sessions, journal);
    engine->vtable->stats(engine, &before);
    double begin = seconds();
    for (unsigned long i = 0; i < sessions; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 0);
    double taken = (seconds() - begin) / (double)sessions * 1e9;
    engine->vtable->stats(engine, &after);
    printf("%lu sessions%s: an acquire that makes one %.0f ns; %.0f bytes each beyond the record\n", sessions,
           journal ? ", with a journal" : "", taken,
           (double)(after.bytes_used - before.bytes_used - after.bytes_records) / (double)sessions);
    for (int strategy = 0; strategy < 5; strategy++)
        printf("  %-18s acquire and mark %5.0f ns, with a lease and its release %5.0f ns\n", names[strategy],
               run((enum pool_strategy)strategy, 0, ROUNDS), run((enum pool_strategy)strategy, 60000, ROUNDS));
    if (journal) tell_bytes();
    engine->vtable->close(engine);
}

/* ["all", "even" or "odd", one of `sets` others] */
static void measure_tags(unsigned sets) {
    static const struct bytes one = BYTES_LITERAL("\x91\xa3"
                                                  "all"),
                              two = BYTES_LITERAL("\x92\xa3"
                                                  "all\xa4"
                                                  "even");
    char text[32];
    struct verb verb;
    open_engine(TAGGED, NULL);
    for (unsigned i = 0; i < TAGGED; i++) {
        unsigned set = i % sets;
        int size = snprintf(text, sizeof(text), set % 2 ? "\x93\xa3%s\xa3%s\xa5%05u" : "\x93\xa3%s\xa4%s\xa5%05u",
                            "all", set % 2 ? "odd" : "even", set);
        wanted = bytes_of(text, (size_t)size);
        acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 0);
    }
    printf("%d sessions in %u sets of tags\n", TAGGED, sets);
    for (int i = 0; i < 2; i++) {
        wanted = i ? two : one;
        printf("  acquire by %s and mark: random %.0f ns, least_recent %.0f ns, with a lease and its release %.0f ns\n",
               i ? "two tags" : "a tag that all have", run(POOL_STRATEGY_RANDOM, 0, TAGGED_ROUNDS),
               run(POOL_STRATEGY_LEAST_RECENT, 0, TAGGED_ROUNDS),
               run(POOL_STRATEGY_LEAST_RECENT, 60000, TAGGED_ROUNDS));
    }
    wanted = BYTES_ABSENT;
    engine->vtable->close(engine);
}

static void recover(struct journal *journal) {
    struct recovery_counts counts;
    struct verb verb;
    const char *why = "";
    open_engine(RECOVERED, journal);
    engine->vtable->preamble(engine, &kept);
    for (unsigned long i = 0; i < RECOVERED; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 0);
    engine->vtable->close(engine);
    open_engine(RECOVERED, NULL);
    double begin = seconds();
    if (!engine->vtable->apply(engine, buf_bytes(&kept), &why)) abort();
    double applied = seconds();
    if (!engine->vtable->recovered(engine, START + 1, &counts, &why) || counts.pool_sessions != RECOVERED) abort();
    double end = seconds();
    printf("%d sessions of one pool recovered: apply %.0f ns, recovered %.0f ns each\n", RECOVERED,
           (applied - begin) / RECOVERED * 1e9, (end - applied) / RECOVERED * 1e9);
    engine->vtable->close(engine);
    buf_fini(&kept);
}

/* ---- who waits */

/* One session of tag "a" that is leased, for which many wait, and many without; a fifth of those who wait see their
 * time end, one in each millisecond. */
static void measure_waiting(unsigned waiting, unsigned distinct) {
    char text[32];
    struct verb verb;
    open_engine(TAGGED, NULL);
    wanted = BYTES_LITERAL("\x91\xa1"
                           "a");
    acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 3600000);
    wanted = BYTES_ABSENT;
    for (unsigned i = 1; i < TAGGED; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 0);
    double begin = seconds();
    for (unsigned i = 0; i < waiting; i++) {
        enum submit_state state;
        snprintf(text, sizeof(text), "\x91\xa5%05u", i % distinct);
        acquire_begin(&verb, POOL_CREATE_NEVER);
        verb.acquire.tags = i % distinct ? bytes_of_string(text)
                                         : BYTES_LITERAL("\x91\xa1"
                                                         "a");
        verb.acquire.wait_ms = i % 5 ? 60000 : 1000 + i / 5;
        engine->vtable->enter(engine, 0);
        engine->vtable->submit(engine, 0, &verb, &state, 1, now_ms);
        engine->vtable->leave(engine, 0);
        if (state != SUBMIT_PENDING) abort();
    }
    double added = seconds() - begin, both = run(POOL_STRATEGY_RANDOM, 0, TAGGED_ROUNDS / 10),
           leased = run(POOL_STRATEGY_RANDOM, 60000, TAGGED_ROUNDS / 10);
    begin = seconds();
    for (unsigned i = 0; i < waiting / 5; i++) {
        now_ms = START + 1000 + i;
        engine->vtable->enter(engine, 0);
        engine->vtable->advance(engine, 0, now_ms, 1000);
        engine->vtable->leave(engine, 0);
    }
    printf(
        "  %5u wait for %5u tags: to begin %.0f ns, acquire and mark of another %.0f ns, with a lease and its release "
        "%.0f ns, one's end %.0f ns\n",
        waiting, distinct, added / waiting * 1e9, both, leased, (seconds() - begin) / (waiting / 5) * 1e9);
    engine->vtable->close(engine);
}

/* ---- pauses */

static double longest, spent;

static void note_turn(double begin) {
    double taken = seconds() - begin;
    spent += taken;
    if (taken > longest) longest = taken;
}

/* In as many turns as it takes. */
static void submit_timed(struct verb *verb) {
    enum submit_state state;
    do {
        double begin = seconds();
        state = submit(verb);
        note_turn(begin);
    } while (state == SUBMIT_AGAIN);
}

static void acquire_timed(void) {
    struct verb verb;
    acquire_begin(&verb, POOL_CREATE_NEVER);
    submit_timed(&verb);
}

/* Turns of the loop until nothing is left to do at this moment, each with an acquire behind it. */
static void advance_timed(bool acquires) {
    for (unsigned i = 0; i < ADVANCES; i++) {
        double begin = seconds();
        engine->vtable->enter(engine, 0);
        int64_t next_ms = engine->vtable->advance(engine, 0, now_ms, 1000);
        engine->vtable->leave(engine, 0);
        note_turn(begin);
        if (acquires) acquire_timed();
        if (next_ms > now_ms) return;
    }
}

static void end_all(enum end_kind end) {
    struct verb verb;
    memset(&verb, 0, sizeof(verb));
    verb.kind = VERB_END_ALL;
    verb.namespace = BYTES_LITERAL("crawl");
    verb.end_all.end = end;
    verb.end_all.group = GROUP_POOL;
    verb.end_all.group_name = BYTES_LITERAL("proxies");
    submit_timed(&verb);
}

static void configure(int64_t cooldown_ms) {
    struct pool_policy_change change = {.given = POOL_POLICY_COOLDOWN_MS, .values = {.cooldown_ms = cooldown_ms}};
    struct verb verb;
    memset(&verb, 0, sizeof(verb));
    verb.kind = VERB_CONFIGURE;
    verb.namespace = BYTES_LITERAL("crawl");
    verb.configure.group = GROUP_POOL;
    verb.configure.group_name = BYTES_LITERAL("proxies");
    verb.configure.pool_change = &change;
    submit_timed(&verb);
}

static void happen_reset(void) {
    end_all(END_DESTROY);
}
static void happen_clear(void) {
    end_all(END_CLEAR);
}
static void happen_configure(void) {
    configure(1);
}
static void happen_deadlines(void) {
    now_ms += 3000000;
}
static void happen_lease_ends(void) {
    struct verb verb;
    for (unsigned i = 0; i < PAUSED; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_NEVER, 60000);
    now_ms += 60000;
}
static void happen_cooldown_ends(void) {
    struct verb verb;
    configure(60000);
    for (unsigned i = 0; i < PAUSED; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_NEVER, 0);
    longest = spent = 0;
    now_ms += 60000;
}

/* The longest turn while it happens to all sessions of a pool, whether a request or the loop comes first. */
static void measure_pause(const char *name, void (*happen)(void)) {
    for (int is_asked = 0; is_asked < 2; is_asked++) {
        struct verb verb;
        open_engine(PAUSED, NULL);
        for (unsigned i = 0; i < PAUSED; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 0);
        advance_timed(false);
        longest = spent = 0;
        happen();
        if (is_asked) acquire_timed();
        advance_timed(is_asked);
        printf("  %-28s %s: the longest turn %7.2f ms, %7.2f ms in all\n", name,
               is_asked ? "with acquires between" : "the loop by itself   ", longest * 1e3, spent * 1e3);
        engine->vtable->close(engine);
    }
}

static void measure_pauses(void) {
    printf("%d sessions of one pool\n", PAUSED);
    measure_pause("reset", happen_reset);
    measure_pause("clear of the namespace", happen_clear);
    measure_pause("configure", happen_configure);
    measure_pause("deadlines in one millisecond", happen_deadlines);
    measure_pause("leases end in one", happen_lease_ends);
    measure_pause("cooldowns end in one", happen_cooldown_ends);
}

/* bench_pool [part]: all parts, or one. */
int main(int argc, char **argv) {
    struct journal dropping = {.append = journal_drop, .await = journal_await, .busy_from = INT64_MAX};
    struct journal keeping = {.append = journal_keep, .await = journal_await, .busy_from = INT64_MAX};
    const char *part = argc > 1 ? argv[1] : "";
    bool is_all = !*part;
    if (is_all || strcmp(part, "strategies") == 0) {
        measure(1000, NULL);
        measure(100000, NULL);
    }
    if (is_all || strcmp(part, "journal") == 0) {
        measure(1000, &dropping);
        measure(100000, &dropping);
    }
    for (unsigned sets = 1; sets <= TAGGED && (is_all || strcmp(part, "tags") == 0); sets *= 10) measure_tags(sets);
    for (unsigned waiting = 10; waiting <= WAITING && (is_all || strcmp(part, "waiting") == 0); waiting *= 10) {
        measure_waiting(waiting, 1);
        measure_waiting(waiting, waiting);
    }
    if (is_all || strcmp(part, "pauses") == 0) measure_pauses();
    if (is_all || strcmp(part, "recovery") == 0) recover(&keeping);
    return 0;
}
