/* What a pool costs without sockets: nanoseconds of an acquire, of a mark, and of both with a lease, for each strategy
 * at 1,000 and 100,000 sessions of 300 bytes. One loop; each verb in a submit of its own, as a crawler sends them. */
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>

enum { DATA = 300, ROUNDS = 400000 };

static struct engine *engine;
static uint8_t data[DATA];

static size_t make_id(void *context, char *id) {
    static unsigned long made;
    (void)context;
    return (size_t)snprintf(id, 32, "session_%022lu", made++);
}

static void begin_session(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                          struct session *draft, struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = now_ms;
    draft->absolute_timeout_ms = pool->absolute_timeout_ms;
    draft->data = bytes_of(data, DATA);
    *usage = (struct usage){.max_usage_count = pool->max_usage_count, .max_error_score = pool->max_error_score};
}

static void submit(struct verb *verb) {
    enum submit_state state;
    engine->vtable->enter(engine, 0);
    engine->vtable->submit(engine, 0, verb, &state, 1, START);
    engine->vtable->leave(engine, 0);
}

struct round {
    char id[32];
    size_t id_size;
    uint64_t use, fence;
};

static void acquire(struct verb *verb, enum pool_strategy strategy, enum pool_create create, int64_t lease_ms) {
    memset(verb, 0, sizeof(*verb));
    verb->kind = VERB_ACQUIRE;
    verb->namespace = BYTES_LITERAL("crawl");
    verb->acquire.pool = BYTES_LITERAL("proxies");
    verb->acquire.has_strategy = true;
    verb->acquire.strategy = strategy;
    verb->acquire.create = create;
    verb->acquire.lease_ms = lease_ms;
    verb->acquire.count = 1;
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

/* Nanoseconds of both, over ROUNDS rounds. */
static double run(enum pool_strategy strategy, int64_t lease_ms) {
    struct round round;
    struct verb verb;
    acquire(&verb, strategy, POOL_CREATE_NEVER, 0); /* builds the order */
    double begin = seconds();
    for (unsigned i = 0; i < ROUNDS; i++) {
        acquire(&verb, strategy, POOL_CREATE_NEVER, lease_ms);
        round.id_size = verb.session.id.size;
        memcpy(round.id, verb.session.id.data, round.id_size);
        round.use = verb.use;
        round.fence = verb.fence;
        give_back(&verb, &round, RETURN_MARK);
        if (lease_ms) give_back(&verb, &round, RETURN_RELEASE);
    }
    return (seconds() - begin) / ROUNDS * 1e9;
}

static void measure(unsigned long sessions) {
    static const char *const names[] = {"random", "round_robin", "use_until_failure", "least_used", "least_recent"};
    struct pool_policy policy = POOL_POLICY_DEFAULTS;
    struct engine_stats before, after;
    struct verb verb;
    policy.max_pool_size = sessions;
    policy.max_usage_count = UINT64_C(1) << 52;
    struct engine_options options = {.loop_count = 1,
                                     .now_ms = START,
                                     .env = &env,
                                     .default_pool_policy = &policy,
                                     .pool_session_make = make_id,
                                     .pool_session_begin = begin_session};
    engine = memory_engine_open(&options);
    if (!engine) abort();
    engine->vtable->stats(engine, &before);
    double begin = seconds();
    for (unsigned long i = 0; i < sessions; i++) acquire(&verb, POOL_STRATEGY_RANDOM, POOL_CREATE_AUTO, 0);
    double taken = (seconds() - begin) / (double)sessions * 1e9;
    engine->vtable->stats(engine, &after);
    printf("%lu sessions: an acquire that makes one %.0f ns; %.0f bytes each beyond the record\n", sessions, taken,
           (double)(after.bytes_used - before.bytes_used - after.bytes_records) / (double)sessions);
    for (int strategy = 0; strategy < 5; strategy++)
        printf("  %-18s acquire and mark %5.0f ns, with a lease and its release %5.0f ns\n", names[strategy],
               run((enum pool_strategy)strategy, 0), run((enum pool_strategy)strategy, 60000));
    engine->vtable->close(engine);
}

int main(void) {
    measure(1000);
    measure(100000);
    return 0;
}
