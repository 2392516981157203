/* What races on the whole engine share: an engine with a loop for each thread, its clock, and the verbs as functions.
 *
 * A thread is a loop: it gives its number to each call. race_call opens a turn and leaves it open, so that what the
 * last call handed out may be looked at until the next one. All the while sessions change their places in memory. */
#ifndef RACE_ENGINE_RACE_H
#define RACE_ENGINE_RACE_H

#include "base/prng.h"
#include "race.h"
#include "sessiond/engine.h"

#include <stdlib.h>
#include <string.h>

#ifndef RACE_THREADS
#define RACE_THREADS 3
#endif
enum { THREADS = RACE_THREADS };
#define RACE_START INT64_C(1767225600000)

static struct engine *engine;
static _Atomic int64_t race_clock = RACE_START;
static bool race_is_inside[THREADS];
static unsigned race_turns[THREADS];
static _Atomic uint64_t race_seed = 1;

static void race_random(void *context, void *out, size_t size) {
    (void)context;
    struct prng prng = prng_of(atomic_fetch_add(&race_seed, 1) * UINT64_C(0x9e3779b97f4a7c15));
    prng_fill(&prng, out, size);
}
static void race_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}
static const struct env race_env = {.random = race_random, .wake = race_wake};

static inline void race_open(const struct policy *policy) {
    struct engine_options options = {
        .loop_count = THREADS, .shard_bits = 4, .now_ms = RACE_START, .env = &race_env, .default_policy = policy};
    engine = memory_engine_open(&options);
    RACE_CHECK(engine, "no memory");
}

static inline void race_turn(unsigned loop) {
    if (race_is_inside[loop]) engine->vtable->leave(engine, loop);
    engine->vtable->enter(engine, loop);
    race_is_inside[loop] = true;
    if (++race_turns[loop] % 16) return;
    if (loop == 0) engine->vtable->move_all(engine, atomic_load(&race_clock));
    engine->vtable->advance(engine, loop, atomic_load(&race_clock), 64);
}

static inline void race_close(void) {
    for (unsigned i = 0; i < THREADS; i++)
        if (race_is_inside[i]) engine->vtable->leave(engine, i);
    memset(race_is_inside, 0, sizeof(race_is_inside));
    engine->vtable->check(engine);
    engine->vtable->close(engine);
}

static inline void race_call(unsigned loop, struct verb *verb) {
    enum submit_state state;
    race_turn(loop);
    engine->vtable->submit(engine, loop, verb, &state, 1, atomic_load(&race_clock));
}

static inline void race_advance(unsigned loop) {
    race_turn(loop);
    engine->vtable->advance(engine, loop, atomic_load(&race_clock), 64);
}

/* Runs one scenario for a part of the seconds. */
static inline void race_scenario(double seconds, void *(*run)(void *number)) {
    char text[32];
    snprintf(text, sizeof(text), "%f", seconds);
    char *arguments[] = {NULL, text};
    atomic_store(&race_is_over, false);
    race_run(2, arguments, run, THREADS);
}

static inline double race_seconds(int argc, char **argv, unsigned scenarios) {
    return (argc > 1 ? atof(argv[1]) : 2) / scenarios;
}

/* ---- one rule for all: writes `data` and who, or changes what is there */

struct write {
    struct bytes user, client, pool;
    uint64_t data;           /* of a new one */
    int64_t idle_timeout_ms; /* of a new one */
    bool must_be_new, must_exist, adds_one;
    bool revives;     /* one that was destroyed is made anew */
    uint8_t *encoded; /* where the data goes: 8 bytes that belong to the caller */
};

static inline enum outcome race_write_rule(const struct update_input *input, struct session *draft,
                                           struct error *error) {
    const struct write *write = input->arguments;
    uint64_t value = write->data;
    if (input->presence == PRESENCE_DEAD || (input->presence == PRESENCE_TOMBSTONE && !write->revives)) {
        *error = error_make(ERROR_GONE, "gone");
        return OUTCOME_ERROR;
    }
    if (input->presence == PRESENCE_ALIVE && write->must_be_new) {
        *error = error_make(ERROR_EXISTS, "exists");
        return OUTCOME_ERROR;
    }
    if (input->presence != PRESENCE_ALIVE) {
        if (write->must_exist) return OUTCOME_KEEP;
        draft->status = STATUS_ACTIVE;
        draft->created_at = draft->last_active_at = input->now_ms;
        draft->idle_timeout_ms = write->idle_timeout_ms;
    } else {
        memcpy(&value, draft->data.data, sizeof(value));
        value += write->adds_one;
        if (input->now_ms > draft->last_active_at) draft->last_active_at = input->now_ms;
    }
    memcpy(write->encoded, &value, sizeof(value));
    draft->data = bytes_of(write->encoded, sizeof(value));
    if (write->user.data) draft->user = write->user;
    if (write->client.data) draft->client = write->client;
    if (write->pool.data) draft->pool = write->pool;
    return OUTCOME_REPLACE;
}

static inline enum outcome race_remove_rule(const struct update_input *input, struct session *draft,
                                            struct error *error) {
    (void)draft, (void)error;
    return input->old ? OUTCOME_REMOVE : OUTCOME_KEEP;
}

static inline enum outcome race_rename_rule(const struct update_input *input, struct session *draft,
                                            struct error *error) {
    if (input->presence == PRESENCE_NONE) return OUTCOME_KEEP;
    if (input->presence != PRESENCE_ALIVE) {
        *error = error_make(ERROR_GONE, "gone");
        return OUTCOME_ERROR;
    }
    draft->id = *(const struct bytes *)input->arguments;
    return OUTCOME_REPLACE;
}

/* ---- verbs */

static inline struct verb race_verb(enum verb_kind kind, const char *id) {
    struct verb verb;
    memset(&verb, 0, sizeof(verb));
    verb.kind = kind;
    verb.namespace = BYTES_LITERAL("web");
    verb.id = bytes_of_string(id);
    return verb;
}

static inline struct verb race_write(unsigned loop, const char *id, struct write write) {
    uint8_t encoded[8];
    struct verb verb = race_verb(VERB_UPDATE, id);
    write.encoded = encoded;
    verb.update.rule = race_write_rule;
    verb.update.arguments = &write;
    race_call(loop, &verb);
    return verb;
}

static inline struct verb race_remove(unsigned loop, const char *id) {
    struct verb verb = race_verb(VERB_UPDATE, id);
    verb.update.rule = race_remove_rule;
    race_call(loop, &verb);
    return verb;
}

static inline struct verb race_rename(unsigned loop, const char *id, const char *new_id) {
    struct bytes name = bytes_of_string(new_id);
    struct verb verb = race_verb(VERB_MOVE, id);
    verb.move.rule = race_rename_rule;
    verb.move.arguments = &name;
    race_call(loop, &verb);
    return verb;
}

static inline struct verb race_get(unsigned loop, const char *id, bool is_touch) {
    struct verb verb = race_verb(VERB_GET, id);
    verb.get.is_touch = is_touch;
    race_call(loop, &verb);
    return verb;
}

static inline struct verb race_touch(unsigned loop, const char *id) {
    struct verb verb = race_verb(VERB_TOUCH, id);
    race_call(loop, &verb);
    return verb;
}

static inline uint64_t race_data(const struct verb *verb) {
    uint64_t value;
    RACE_CHECK(verb->session.data.size == sizeof(value), "data of %zu bytes", verb->session.data.size);
    memcpy(&value, verb->session.data.data, sizeof(value));
    return value;
}

#endif
