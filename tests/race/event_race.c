/* Events against writers: four loops create, change, move, destroy and let expire the same few ids, a fifth one hears
 * of it. What it hears of an id is a life: no change before a creation, no expiry of what is gone, versions that never
 * fall; a move's old id goes before its new one comes. Where it reads fast enough it hears all, and knows in the end
 * which ids live; where it does not, what it heard and what it missed is all there was. */
#define RACE_THREADS 5
#include "engine_race.h"

enum { IDS = 300, READER = THREADS - 1, AHEAD_MAX = 600, CREATED_MAX = 1 << 16 };

/* What the reader knows of an id. */
enum life { LIFE_UNKNOWN, LIFE_NONE, LIFE_ALIVE, LIFE_DEAD };

static struct {
    enum life lives[IDS];
    uint64_t versions[IDS];
    uint64_t created[CREATED_MAX]; /* versions of creations, newest over oldest */
    uint64_t counts[EVENT_END];
    uint64_t heard, missed, lags;
} reader;

/* What a run is about. */
enum way {
    WAY_ALL,   /* writers wait for the reader, who hears all */
    WAY_SLOW,  /* they do not */
    WAY_ON_OFF /* nor does it always watch */
};
static enum way way;

static _Atomic uint64_t written; /* verbs */
static _Atomic uint64_t read_to; /* of those, what the reader has surely read */
static _Atomic bool has_heard_all;

static unsigned id_number(struct bytes id) {
    unsigned number = 0;
    for (size_t i = 0; i < id.size; i++) number = number * 10 + (id.data[i] - '0');
    RACE_CHECK(number < IDS, "event of an id that nobody made");
    return number;
}

static bool may_follow(enum life life, enum event_kind kind) {
    if (life == LIFE_UNKNOWN) return true;
    switch (kind) {
    case EVENT_CREATED: return life != LIFE_ALIVE;
    case EVENT_DESTROYED: return life != LIFE_NONE;
    default: return life == LIFE_ALIVE;
    }
}

static void hear_move(const struct event *event) {
    uint64_t *created = &reader.created[event->version % CREATED_MAX];
    if (event->kind == EVENT_CREATED) *created = event->version;
    if (event->kind == EVENT_REGENERATED)
        RACE_CHECK(*created != event->version, "a new id came before its old one went");
}

static void hear(void *context, const struct event *event) {
    (void)context;
    if (event->kind == EVENT_LAGGED) {
        reader.missed += event->missed;
        reader.lags++;
        memset(reader.lives, 0, sizeof(reader.lives)); /* unknown */
        return;
    }
    unsigned id = id_number(event->id);
    RACE_CHECK(event->version >= reader.versions[id], "versions of %u fall", id);
    RACE_CHECK(may_follow(reader.lives[id], event->kind), "event %d of %u, which is %d", event->kind, id,
               reader.lives[id]);
    hear_move(event);
    reader.versions[id] = event->version;
    reader.counts[event->kind]++;
    reader.heard++;
    switch (event->kind) {
    case EVENT_CREATED:
    case EVENT_UPDATED: reader.lives[id] = LIFE_ALIVE; return;
    case EVENT_EXPIRED: reader.lives[id] = LIFE_DEAD; return;
    default: reader.lives[id] = LIFE_NONE;
    }
}

static void read_all(void) {
    uint64_t before = atomic_load(&written);
    race_turn(READER);
    engine->vtable->read_events(engine, READER, hear, NULL);
    atomic_store(&read_to, before);
}

/* Looks away for a moment, and knows nothing then. */
static void look_away(void) {
    race_turn(READER);
    engine->vtable->watch(engine, READER, false, false);
    sched_yield();
    engine->vtable->watch(engine, READER, true, false);
    memset(reader.lives, 0, sizeof(reader.lives));
}

static bool has_heard_all_kinds(void) {
    return reader.counts[EVENT_CREATED] > 0 && reader.counts[EVENT_REGENERATED] > 0 &&
           reader.counts[EVENT_EXPIRED] > 0 && reader.counts[EVENT_DESTROYED] > 0;
}

static bool is_enough(void) {
    return atomic_load(&has_heard_all);
}

static void read_some(struct prng *prng) {
    read_all();
    if (has_heard_all_kinds()) atomic_store(&has_heard_all, true);
    if (way == WAY_ON_OFF && prng_happens(prng, 1, 50)) look_away();
}

static void write_one(unsigned loop, struct prng *prng) {
    char id[12], other[12];
    snprintf(id, sizeof(id), "%u", (unsigned)prng_below(prng, IDS));
    snprintf(other, sizeof(other), "%u", (unsigned)prng_below(prng, IDS));
    switch (prng_below(prng, 8)) {
    case 0: race_remove(loop, id); break;
    case 1: race_rename(loop, id, other); break;
    case 2: race_touch(loop, id); break;
    default:
        race_write(loop, id,
                   (struct write){
                       .user = BYTES_LITERAL("ann"), .idle_timeout_ms = prng_between(prng, 1, 60), .revives = true});
    }
    atomic_fetch_add(&written, 1);
}

static void *event_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(loop + 5);
    while (race_goes_on()) {
        if (loop == READER) {
            read_some(&prng);
            continue;
        }
        write_one(loop, &prng);
        if (prng_happens(&prng, 1, 16)) race_advance(loop);
        if (loop == 0 && prng_happens(&prng, 1, 100)) atomic_fetch_add(&race_clock, 1);
        while (way == WAY_ALL && race_goes_on() && atomic_load(&written) > atomic_load(&read_to) + AHEAD_MAX)
            sched_yield();
    }
    return NULL;
}

/* Nobody writes any more: works off what is due and hears the rest. */
static void finish(void) {
    for (unsigned round = 0; round < 100; round++)
        for (unsigned i = 0; i < THREADS; i++) race_advance(i);
    read_all();
}

static void check_lives(void) {
    char id[12];
    for (unsigned i = 0; i < IDS; i++) {
        snprintf(id, sizeof(id), "%u", i);
        bool is_alive = race_get(READER, id, false).is_found;
        RACE_CHECK(is_alive == (reader.lives[i] == LIFE_ALIVE), "%u is %salive, and was heard to be %d", i,
                   is_alive ? "" : "not ", reader.lives[i]);
    }
    RACE_CHECK(has_heard_all_kinds(), "something never happened");
}

static void run(double seconds, enum way this_way) {
    struct policy policy = POLICY_DEFAULTS;
    struct engine_stats stats;
    policy.retention_ms = 20;
    policy.tombstone_ms = 0;
    memset(&reader, 0, sizeof(reader));
    for (unsigned i = 0; i < IDS; i++) reader.lives[i] = LIFE_NONE;
    atomic_store(&written, 0), atomic_store(&read_to, 0), atomic_store(&has_heard_all, false);
    race_is_enough = is_enough;
    way = this_way;
    race_open(&policy);
    race_turn(READER);
    engine->vtable->watch(engine, READER, true, false);
    race_scenario(seconds, event_thread);
    finish();
    engine->vtable->stats(engine, &stats);
    RACE_CHECK(way == WAY_ON_OFF || reader.heard + reader.missed == stats.events_total,
               "%llu heard and %llu missed of %llu", (unsigned long long)reader.heard,
               (unsigned long long)reader.missed, (unsigned long long)stats.events_total);
    RACE_CHECK(reader.missed == stats.events_lost_total, "the engine counts other losses");
    if (way == WAY_ALL) {
        RACE_CHECK(reader.missed == 0, "the reader missed %llu", (unsigned long long)reader.missed);
        check_lives();
    }
    race_close();
    printf("%llu events heard, %llu missed in %llu lags: every life in order\n", (unsigned long long)reader.heard,
           (unsigned long long)reader.missed, (unsigned long long)reader.lags);
}

int main(int argc, char **argv) {
    run(race_seconds(argc, argv, 3), WAY_ALL);
    run(race_seconds(argc, argv, 3), WAY_SLOW);
    run(race_seconds(argc, argv, 3), WAY_ON_OFF);
    return 0;
}
