/* Expiry against reads: sessions live for some milliseconds on a clock that one thread turns, while all create, read,
 * touch and work off what is due. None is found at or after its deadline, none is missing before it. */
#include "engine_race.h"

enum { IDS = 4000 };

static _Atomic uint64_t found, missed, made;

/* Each thread has ids of its own, so it knows when each ends. */
struct mine {
    int64_t deadline; /* 0: none was made */
};

/* Reads one's own: found exactly until its deadline. The clock may go on between our look at it and the engine's. */
static void check_own(unsigned loop, const char *id, struct mine *mine, bool is_touch) {
    int64_t before = atomic_load(&race_clock);
    struct verb verb = race_get(loop, id, is_touch);
    int64_t after = atomic_load(&race_clock);
    if (verb.is_found) {
        RACE_CHECK(mine->deadline > before, "%s was found %lld ms after its deadline", id,
                   (long long)(before - mine->deadline));
        int64_t deadline = session_deadline(&verb.session);
        RACE_CHECK(deadline >= mine->deadline, "the deadline of %s went back", id);
        mine->deadline = deadline;
        atomic_fetch_add_explicit(&found, 1, memory_order_relaxed);
    } else {
        RACE_CHECK(mine->deadline <= after, "%s is missing %lld ms before its deadline", id,
                   (long long)(mine->deadline - after));
        mine->deadline = 0;
        atomic_fetch_add_explicit(&missed, 1, memory_order_relaxed);
    }
}

static void make_own(unsigned loop, const char *id, struct mine *mine, struct prng *prng) {
    struct verb verb = race_write(
        loop, id,
        (struct write){.user = BYTES_LITERAL("ann"), .data = 1, .idle_timeout_ms = prng_between(prng, 1, 40)});
    RACE_CHECK(verb.outcome == OUTCOME_REPLACE, "error %d", verb.error.code);
    mine->deadline = session_deadline(&verb.session);
    atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
}

static void *expiry_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(loop + 9);
    struct mine *mine = calloc(IDS, sizeof(*mine));
    char id[40];
    RACE_CHECK(mine, "no memory");
    while (race_goes_on()) {
        unsigned at = (unsigned)prng_below(&prng, IDS);
        if (prng_happens(&prng, 1, 8)) { /* somebody else's */
            snprintf(id, sizeof(id), "%u-%u", (loop + 1) % THREADS, at);
            int64_t before = atomic_load(&race_clock);
            struct verb verb = race_get(loop, id, false);
            RACE_CHECK(!verb.is_found || session_deadline(&verb.session) > before, "%s is dead", id);
            continue;
        }
        snprintf(id, sizeof(id), "%u-%u", loop, at);
        if (mine[at].deadline)
            check_own(loop, id, &mine[at], prng_happens(&prng, 1, 4));
        else
            make_own(loop, id, &mine[at], &prng);
        if (prng_happens(&prng, 1, 16)) race_advance(loop);
        if (loop == 0 && prng_happens(&prng, 1, 200)) atomic_fetch_add(&race_clock, 1);
    }
    free(mine);
    return NULL;
}

int main(int argc, char **argv) {
    struct policy policy = POLICY_DEFAULTS;
    policy.retention_ms = 0;
    policy.tombstone_ms = 0; /* so that the same ids can be made again */
    race_open(&policy);
    race_scenario(race_seconds(argc, argv, 1), expiry_thread);
    struct engine_stats stats;
    engine->vtable->stats(engine, &stats);
    race_close();
    printf("%llu made, %llu found alive, %llu found gone, %llu reaped: none early, none late\n",
           (unsigned long long)made, (unsigned long long)found, (unsigned long long)missed,
           (unsigned long long)stats.expired_total);
    return 0;
}
