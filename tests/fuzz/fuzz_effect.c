/* Recovery, over any bytes: effects applied one by one to a small engine, whatever is refused left out, as if each had
 * passed its checksum. The engine that comes of it keeps its invariants, answers, takes writes, and what it tells of
 * itself is taken by another one. */
#include "base/buf.h"
#include "base/prng.h"
#include "fuzz/target.h"
#include "sessiond/engine.h"
#include "wire/codec.h"

#include <stdio.h>
#include <string.h>

#define START INT64_C(1767225600000)

static void some_random(void *context, void *out, size_t size) {
    static struct prng prng = {5};
    (void)context;
    prng_fill(&prng, out, size);
}

static void no_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}

static const struct env env = {.random = some_random, .wake = no_wake};

static void no_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index;
    REQUIRE(effects.size > 0);
}

static void no_await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

static size_t pool_session_make(void *context, char *id) {
    static unsigned made;
    (void)context;
    return (size_t)snprintf(id, LIMIT_MAX_ID, "made%u", ++made);
}

static void pool_session_begin(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                               struct session *draft, struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = now_ms;
    draft->data = BYTES_LITERAL("\x80");
    *usage = (struct usage){.max_usage_count = pool->max_usage_count, .max_error_score = pool->max_error_score};
}

static struct engine *engine_open(struct journal *journal) {
    struct engine *engine = memory_engine_open(&(struct engine_options){.loop_count = 1,
                                                                        .shard_bits = 1,
                                                                        .now_ms = START,
                                                                        .env = &env,
                                                                        .journal = journal,
                                                                        .policy_apply = policy_apply,
                                                                        .policy_encode = codec_write_policy,
                                                                        .policy_decode = codec_read_policy,
                                                                        .pool_session_make = pool_session_make,
                                                                        .pool_session_begin = pool_session_begin,
                                                                        .pool_policy_apply = pool_policy_apply,
                                                                        .pool_policy_encode = codec_write_pool_policy,
                                                                        .pool_policy_decode = codec_read_pool_policy});
    REQUIRE(engine);
    return engine;
}

/* An effect that says how ids are hashed: 192 times the same byte, so that hashes do not change from run to run. */
static void apply_store(struct engine *engine) {
    uint8_t store[5 + 192] = {EFFECT_STORE, 192};
    const char *why = NULL;
    memset(store + 5, 7, 192);
    REQUIRE(engine->vtable->apply(engine, bytes_of(store, sizeof(store)), &why));
}

static void apply_some(struct engine *engine, struct bytes effects) {
    const char *why = NULL;
    while (effects.size > 0) {
        uint32_t body = 0;
        if (effects.size >= 5) memcpy(&body, effects.data + 1, 4);
        size_t size = body < effects.size - (effects.size >= 5 ? 5 : 0) ? body + 5 : effects.size;
        if (size > effects.size) size = effects.size;
        if (!engine->vtable->apply(engine, bytes_of(effects.data, size), &why)) REQUIRE(why && strlen(why) > 10);
        effects = bytes_of(effects.data + size, effects.size - size);
    }
}

static enum outcome keep_or_make(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    if (input->presence != PRESENCE_NONE) return OUTCOME_KEEP;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = input->now_ms;
    draft->data = BYTES_LITERAL("\x80");
    draft->user = BYTES_LITERAL("u");
    draft->client = BYTES_LITERAL("c");
    return OUTCOME_REPLACE;
}

static bool see_session(void *context, const struct session *session) {
    struct buf *out = context;
    buf_clear(out);
    codec_write_record(out, session, FIELDS_ALL, START);
    return true;
}

struct names {
    struct engine *engine;
    struct buf all;
};

static bool see_name(void *context, struct bytes name) {
    struct names *names = context;
    uint8_t size = (uint8_t)name.size;
    REQUIRE(name.size >= 1 && name.size <= LIMIT_MAX_NAMESPACE);
    buf_append(&names->all, &size, 1);
    buf_append(&names->all, name.data, name.size);
    return true;
}

static struct verb run(struct engine *engine, struct verb verb) {
    enum submit_state state;
    engine->vtable->submit(engine, 0, &verb, &state, 1, START);
    return verb;
}

/* Hands out what is free of a pool, in each order, and returns it. */
static void use_pool(struct engine *engine, struct bytes namespace, struct bytes pool) {
    for (unsigned strategy = POOL_STRATEGY_RANDOM; strategy <= POOL_STRATEGY_LEAST_RECENT; strategy++) {
        struct verb verb = {.kind = VERB_ACQUIRE, .namespace = namespace};
        verb.acquire.pool = pool;
        verb.acquire.strategy = (enum pool_strategy)strategy;
        verb.acquire.has_strategy = true;
        verb.acquire.create = strategy % 2 ? POOL_CREATE_NEVER : POOL_CREATE_AUTO;
        verb.acquire.count = 1;
        verb.acquire.lease_ms = strategy;
        verb = run(engine, verb);
        if (!verb.is_found) continue;
        char id[LIMIT_MAX_ID];
        struct verb mark = {.kind = VERB_RETURN, .namespace = namespace, .id = bytes_of(id, verb.session.id.size)};
        memcpy(id, verb.session.id.data, mark.id.size);
        mark.pool_return.outcome.kind = MARK_BAD;
        mark.pool_return.use = verb.use;
        REQUIRE(run(engine, mark).is_found);
    }
}

/* Reads all sessions of a namespace, and writes into it. */
static void use_namespace(struct engine *engine, struct bytes namespace) {
    struct buf out = BUF_EMPTY;
    struct verb verb = {.kind = VERB_SCAN, .namespace = namespace};
    verb.scan.statuses = UINT64_MAX;
    verb.scan.limit = 1000;
    verb.scan.each = see_session;
    verb.scan.context = &out;
    run(engine, verb);
    verb = (struct verb){.kind = VERB_UPDATE, .namespace = namespace, .id = BYTES_LITERAL("a")};
    verb.update.rule = keep_or_make;
    run(engine, verb);
    run(engine, (struct verb){.kind = VERB_TOUCH, .namespace = namespace, .id = BYTES_LITERAL("a")});
    verb = (struct verb){.kind = VERB_END_ALL, .namespace = namespace};
    verb.end_all.end = END_REVOKE;
    verb.end_all.group = GROUP_USER;
    verb.end_all.group_name = BYTES_LITERAL("u");
    run(engine, verb);
    use_pool(engine, namespace, BYTES_LITERAL("p"));
    buf_fini(&out);
}

static void use(struct engine *engine) {
    struct names names = {engine, BUF_EMPTY};
    struct verb list = {.kind = VERB_CONFIGURE};
    list.configure.each = see_name;
    list.configure.context = &names;
    engine->vtable->enter(engine, 0);
    run(engine, list);
    for (size_t at = 0; at < names.all.size; at += 1u + names.all.data[at])
        use_namespace(engine, bytes_of(names.all.data + at + 1, names.all.data[at]));
    engine->vtable->leave(engine, 0);
    for (unsigned i = 0; i < 100; i++) {
        engine->vtable->enter(engine, 0);
        engine->vtable->advance(engine, 0, START + 1 + i * INT64_C(86400000), 1000);
        engine->vtable->leave(engine, 0);
    }
    buf_fini(&names.all);
}

static void take_preamble(struct engine *from) {
    struct buf preamble = BUF_EMPTY;
    struct engine *engine = engine_open(NULL);
    struct recovery_counts counts;
    const char *why = NULL;
    from->vtable->preamble(from, &preamble);
    REQUIRE(engine->vtable->apply(engine, buf_bytes(&preamble), &why));
    REQUIRE(engine->vtable->recovered(engine, START, &counts, &why));
    engine->vtable->check(engine);
    engine->vtable->close(engine);
    buf_fini(&preamble);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct journal journal = {.append = no_append, .await = no_await, .busy_from = INT64_MAX};
    struct engine *engine = engine_open(&journal);
    struct recovery_counts counts;
    const char *why = NULL;
    apply_store(engine);
    apply_some(engine, bytes_of(data, size));
    REQUIRE(engine->vtable->recovered(engine, START, &counts, &why));
    engine->vtable->check(engine);
    take_preamble(engine);
    use(engine);
    engine->vtable->check(engine);
    engine->vtable->close(engine);
    return 0;
}
