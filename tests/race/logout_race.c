/* The logout race: a session is destroyed while others set, touch, read and rename it. When destroy has answered, it
 * never comes back; of 20 parallel increments none is lost; and an id that is destroyed and revived without end is
 * never seen as one that nobody knows. */
#include "engine_race.h"

static _Atomic uint64_t rounds, writes, gone, increments, revivals;
static _Atomic uint64_t current; /* the session that everybody works on */

static void id_of(char *id, uint64_t round) {
    snprintf(id, 32, "session-%llu", (unsigned long long)round);
}

static void check_gone(uint64_t round) {
    char id[32];
    id_of(id, round);
    RACE_CHECK(!race_get(0, id, true).is_found, "session %s came back", id);
    RACE_CHECK(race_touch(0, id).error.code == ERROR_GONE, "session %s can be touched", id);
    RACE_CHECK(race_write(0, id, (struct write){.data = 1}).error.code == ERROR_GONE, "session %s can be set", id);
}

/* Creates and destroys. */
static void logout_run(void) {
    struct prng prng = prng_of(1);
    char id[32];
    for (uint64_t round = 1; race_goes_on(); round++) {
        id_of(id, round);
        struct verb made = race_write(0, id, (struct write){.user = BYTES_LITERAL("ann"), .data = round});
        RACE_CHECK(made.outcome == OUTCOME_REPLACE || made.error.code == ERROR_NONE, "not made: %d", made.error.code);
        atomic_store(&current, round);
        for (uint64_t spins = prng_below(&prng, 2000); spins > 0; spins--) atomic_load(&current);
        RACE_CHECK(race_remove(0, id).outcome == OUTCOME_REMOVE, "session %s was not there to be destroyed", id);
        check_gone(round);
        if (round > 3) check_gone(round - 3);
        atomic_fetch_add(&rounds, 1);
        if (round % 64 == 0) race_advance(0);
    }
}

/* Works on whatever session is current. Never creates, as a logged-in request does not. */
static void request_run(unsigned loop) {
    struct prng prng = prng_of(loop);
    char id[32];
    while (race_goes_on()) {
        struct verb verb;
        id_of(id, atomic_load(&current));
        switch (prng_below(&prng, 3)) {
        case 0: verb = race_touch(loop, id); break;
        case 1: verb = race_get(loop, id, true); break;
        default: verb = race_write(loop, id, (struct write){.must_exist = true, .adds_one = true});
        }
        atomic_fetch_add_explicit(verb.error.code == ERROR_GONE ? &gone : &writes, 1, memory_order_relaxed);
        if (prng_happens(&prng, 1, 64)) race_advance(loop);
    }
}

static void *logout_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    if (loop == 0)
        logout_run();
    else
        request_run(loop);
    return NULL;
}

/* All add to one session; versions only grow. */
static void *increment_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    uint64_t version = 0;
    while (race_goes_on()) {
        struct verb verb = race_write(loop, "counter", (struct write){.data = 1, .adds_one = true});
        RACE_CHECK(verb.outcome == OUTCOME_REPLACE, "error %d", verb.error.code);
        RACE_CHECK(verb.session.version > version, "a version went back");
        version = verb.session.version;
        atomic_fetch_add_explicit(&increments, 1, memory_order_relaxed);
    }
    return NULL;
}

/* One destroys and revives; the others find it alive or destroyed, and nothing third: there is one tombstone in its
 * shard, or none, so a look without a lock falls between the two as often as it can. */
static void *revival_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    while (race_goes_on()) {
        if (loop == 0) {
            RACE_CHECK(race_remove(0, "phoenix").outcome == OUTCOME_REMOVE, "it was not there");
            RACE_CHECK(race_write(0, "phoenix", (struct write){.revives = true}).outcome == OUTCOME_REPLACE,
                       "not made");
            atomic_fetch_add_explicit(&revivals, 1, memory_order_relaxed);
        } else {
            struct verb verb = race_write(loop, "phoenix", (struct write){.must_exist = true});
            RACE_CHECK(verb.outcome != OUTCOME_KEEP, "it was seen as one that never was");
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    struct policy policy = POLICY_DEFAULTS;
    double seconds = race_seconds(argc, argv, 3);
    race_open(&policy);
    race_write(0, "phoenix", (struct write){.data = 1});
    race_scenario(seconds, revival_thread);
    race_scenario(seconds, logout_thread);
    race_scenario(seconds, increment_thread);
    uint64_t counted, expected = atomic_load(&increments);
    struct verb counter = race_get(0, "counter", false);
    counted = race_data(&counter);
    RACE_CHECK(counted == expected, "%llu of %llu increments", (unsigned long long)counted,
               (unsigned long long)expected);
    struct engine_stats stats;
    engine->vtable->stats(engine, &stats);
    race_close();
    RACE_CHECK(stats.moved_total > 0, "no session was ever moved in memory");
    printf("%llu sessions destroyed against %llu writes, %llu of them refused: none came back; %llu increments, none "
           "lost; %llu revivals; %llu retries\n",
           (unsigned long long)rounds, (unsigned long long)writes, (unsigned long long)gone,
           (unsigned long long)expected, (unsigned long long)revivals, (unsigned long long)stats.update_retries_total);
    return 0;
}
