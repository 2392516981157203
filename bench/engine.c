/* What the memory engine costs a verb, without sockets: nanoseconds, bytes a session, and how a million deadlines in
 * one second are worked off. One loop. Argument: sessions, a million without one. */
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>

enum { ID = 43, DATA = 300, BATCH_MAX = 64 };

static struct engine *engine;
static int64_t now_ms = START;
static uint8_t data[DATA];
static unsigned long sessions;

static int64_t idle_timeout_ms = 3600000;
static bool has_user;

static enum outcome set_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    if (has_user) draft->user = *(const struct bytes *)input->arguments;
    return draft_set(input, draft, bytes_of(data, DATA), idle_timeout_ms);
}

static enum outcome remove_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    return input->old ? OUTCOME_REMOVE : OUTCOME_KEEP;
}

static void id_write(char *id, unsigned long number) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct prng prng = prng_of(number);
    for (unsigned i = 0; i < ID; i++) id[i] = digits[prng_next(&prng) >> 58];
}

/* One pass of `count` verbs in batches; answers ns each. */
static double pass(enum verb_kind kind, update_rule rule, unsigned long count, unsigned batch, bool is_random) {
    static struct verb verbs[BATCH_MAX];
    static enum submit_state states[BATCH_MAX];
    static char ids[BATCH_MAX][ID], users[BATCH_MAX][16];
    static struct bytes names[BATCH_MAX];
    struct prng prng = prng_of(count + batch);
    double taken = 0;
    for (unsigned long done = 0; done < count; done += batch) {
        for (unsigned i = 0; i < batch; i++) {
            struct verb *verb = &verbs[i];
            unsigned long number = is_random ? prng_below(&prng, sessions) : done + i;
            id_write(ids[i], number);
            verb->kind = kind;
            verb->namespace = BYTES_LITERAL("web");
            verb->id = bytes_of(ids[i], ID);
            if (kind == VERB_GET) verb->get.include_dead = verb->get.is_touch = false;
            names[i] = bytes_of(users[i], (size_t)snprintf(users[i], 16, "u%lu", number / 2));
            if (kind == VERB_UPDATE) verb->update.rule = rule, verb->update.arguments = &names[i];
        }
        double begin = seconds();
        engine->vtable->enter(engine, 0);
        engine->vtable->submit(engine, 0, verbs, states, batch, now_ms);
        engine->vtable->leave(engine, 0);
        taken += seconds() - begin;
    }
    return taken / (double)count * 1e9;
}

static struct engine_stats stats_get(void) {
    struct engine_stats stats;
    engine->vtable->stats(engine, &stats);
    return stats;
}

static void open_engine(const struct policy *policy) {
    struct engine_options options = {.loop_count = 1, .now_ms = START, .env = &env, .default_policy = policy};
    now_ms = START;
    engine = memory_engine_open(&options);
    if (!engine) abort();
}

/* Works off what is due, a millisecond at a time, in slices of 1,000. */
static void expire(const char *what, int64_t span_ms) {
    double taken = 0, longest = 0;
    unsigned long slices = 0;
    for (int64_t end_ms = now_ms + span_ms; now_ms <= end_ms; now_ms++) {
        int64_t next;
        do {
            double begin = seconds();
            engine->vtable->enter(engine, 0);
            next = engine->vtable->advance(engine, 0, now_ms, 1000);
            engine->vtable->leave(engine, 0);
            double slice = seconds() - begin;
            taken += slice;
            if (slice > longest) longest = slice;
            slices++;
        } while (next <= now_ms);
    }
    struct engine_stats stats = stats_get();
    printf("%-34s %6.0f ns each, %.3f s in all, longest slice %.2f ms, %lu slices; %.1f MiB used, %.1f MiB mapped\n",
           what, taken / (double)sessions * 1e9, taken, longest * 1e3, slices, (double)stats.bytes_used / 1048576,
           (double)stats.bytes_mapped / 1048576);
}

static void expiry(bool has_index, int64_t tombstone_ms, const char *what) {
    struct policy policy = POLICY_DEFAULTS;
    policy.retention_ms = 0;
    policy.tombstone_ms = tombstone_ms;
    open_engine(&policy);
    has_user = has_index;
    idle_timeout_ms = 3600000;
    for (unsigned part = 0; part < 100; part++, now_ms += 10) /* deadlines over one second */
        for (unsigned long i = 0; i < sessions / 100; i += 50) {
            static unsigned long base;
            if (part == 0 && i == 0) base = 0;
            char ids[50][ID], users[50][16];
            struct bytes names[50];
            struct verb verbs[50];
            enum submit_state states[50];
            for (unsigned j = 0; j < 50; j++, base++) {
                id_write(ids[j], base);
                names[j] = bytes_of(users[j], (size_t)snprintf(users[j], 16, "u%lu", base / 2));
                verbs[j].kind = VERB_UPDATE;
                verbs[j].namespace = BYTES_LITERAL("web");
                verbs[j].id = bytes_of(ids[j], ID);
                verbs[j].update.rule = set_rule;
                verbs[j].update.arguments = &names[j];
            }
            engine->vtable->enter(engine, 0);
            engine->vtable->submit(engine, 0, verbs, states, 50, now_ms);
            engine->vtable->leave(engine, 0);
        }
    now_ms += 3600000 - 1100;
    expire(what, 1200);
    engine->vtable->close(engine);
    has_user = false;
}

int main(int count, char **arguments) {
    struct policy policy = POLICY_DEFAULTS;
    sessions = count > 1 ? strtoul(arguments[1], NULL, 10) : 1000000;
    open_engine(&policy);
    struct engine_stats before = stats_get();
    printf("%-34s %6.0f ns\n", "create, batch 64", pass(VERB_UPDATE, set_rule, sessions, 64, false));
    struct engine_stats after = stats_get();
    printf("%-34s %6.1f used, %.1f mapped\n", "bytes a session beyond id and data",
           (double)(after.bytes_used - before.bytes_used) / (double)after.sessions - ID - DATA,
           (double)(after.bytes_mapped - before.bytes_mapped) / (double)after.sessions - ID - DATA);
    for (unsigned batch = 1; batch <= 64; batch = batch == 1 ? 16 : batch * 4) {
        unsigned long rounds = sessions / 2 / batch * batch;
        printf("get, batch %-23u %6.0f ns\n", batch, pass(VERB_GET, NULL, rounds, batch, true));
        printf("touch, batch %-21u %6.0f ns\n", batch, pass(VERB_TOUCH, NULL, rounds, batch, true));
        printf("set, batch %-23u %6.0f ns\n", batch, pass(VERB_UPDATE, set_rule, rounds, batch, true));
    }
    printf("%-34s %6.0f ns\n", "destroy, batch 64", pass(VERB_UPDATE, remove_rule, sessions / 2 / 64 * 64, 64, false));
    engine->vtable->close(engine);
    open_engine(&policy);
    has_user = true;
    printf("%-34s %6.0f ns\n", "create with a user, batch 64", pass(VERB_UPDATE, set_rule, sessions, 64, false));
    engine->vtable->close(engine);
    expiry(false, 0, "expiry of all within a second");
    expiry(false, 600000, "... with tombstones");
    expiry(true, 600000, "... with tombstones and users");
    return 0;
}
