/* Events of an engine with a journal: nobody hears of what is not safe yet, and of everything else in its order; and
 * who comes after a restart hears of what expired meanwhile. */
#include "base/prng.h"
#include "recovery.h"

#include <string.h>

enum { LINES_MAX = 4000, IDS = 12, STEPS = 300 };

/* What was heard, one line for each event. */
struct heard {
    unsigned count;
    struct {
        enum event_kind kind;
        char id[16];
        uint64_t version, depends_on;
    } all[LINES_MAX];
};

static void hear(void *context, const struct event *event) {
    struct heard *heard = context;
    CHECK(event->kind != EVENT_LAGGED && heard->count < LINES_MAX);
    if (event->kind == EVENT_LAGGED || heard->count == LINES_MAX) return;
    unsigned i = heard->count++;
    heard->all[i].kind = event->kind;
    heard->all[i].version = event->version;
    heard->all[i].depends_on = event->depends_on;
    snprintf(heard->all[i].id, sizeof(heard->all[i].id), "%.*s", (int)event->id.size, (const char *)event->id.data);
}

static void watch(struct world *world) {
    world->engine->vtable->enter(world->engine, 0);
    world->engine->vtable->watch(world->engine, 0, true, false);
    world->engine->vtable->leave(world->engine, 0);
}

/* Answers the version that is awaited. */
static uint64_t listen(struct world *world, struct heard *heard) {
    world->engine->vtable->enter(world->engine, 0);
    uint64_t awaited = world->engine->vtable->read_events(world->engine, 0, hear, heard);
    world->engine->vtable->leave(world->engine, 0);
    return awaited;
}

static void an_event_waits_for_the_mark(void) {
    static struct heard heard;
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 1);
    heard.count = 0;
    watch(&world);
    uint64_t first = contract_put(&world, "web", "a", (struct put){.idle_timeout_ms = 50}).session.version;
    uint64_t second = contract_put(&world, "web", "a", (struct put){0}).session.version;
    unsigned wakes = contract_wakes();
    CHECK_EQUAL(listen(&world, &heard), first);
    CHECK_EQUAL(listen(&world, &heard), first);
    CHECK_EQUAL(heard.count, 0);
    atomic_store(&kept.journal.mark, first);
    CHECK_EQUAL(listen(&world, &heard), second);
    CHECK_EQUAL(heard.count, 1);
    CHECK(heard.count == 1 && heard.all[0].kind == EVENT_CREATED && heard.all[0].version == first);
    /* What needs nothing new waits behind what does, if it is of the same session. */
    world.now_ms += 60;
    contract_advance(&world);
    CHECK_EQUAL(listen(&world, &heard), second);
    CHECK_EQUAL(heard.count, 1);
    CHECK(contract_wakes() > wakes); /* who waits is still told that there is more */
    atomic_store(&kept.journal.mark, second);
    CHECK_EQUAL(listen(&world, &heard), 0);
    CHECK_EQUAL(heard.count, 3);
    CHECK(heard.count == 3 && heard.all[1].kind == EVENT_UPDATED && heard.all[2].kind == EVENT_EXPIRED);
    CHECK_EQUAL(listen(&world, &heard), 0);
    CHECK_EQUAL(heard.count, 3);
    recovery_end(&world, &kept);
}

/* A loop that stopped watching forgets what it waited for. */
static void who_watches_again_waits_for_nothing_old(void) {
    static struct heard heard;
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 1);
    heard.count = 0;
    watch(&world);
    contract_put(&world, "web", "a", (struct put){0});
    CHECK(listen(&world, &heard) != 0);
    world.engine->vtable->enter(world.engine, 0);
    world.engine->vtable->watch(world.engine, 0, false, false);
    world.engine->vtable->watch(world.engine, 0, true, false);
    world.engine->vtable->leave(world.engine, 0);
    CHECK_EQUAL(listen(&world, &heard), 0);
    uint64_t version = contract_put(&world, "web", "a", (struct put){0}).session.version;
    CHECK_EQUAL(listen(&world, &heard), version);
    atomic_store(&kept.journal.mark, version);
    CHECK_EQUAL(listen(&world, &heard), 0);
    CHECK(heard.count == 1 && heard.all[0].version == version);
    recovery_end(&world, &kept);
}

/* ---- random steps, with a mark and without */

static void id_write(char *id, uint64_t number) {
    snprintf(id, 16, "s%u", (unsigned)number);
}

static void step(struct world *world, struct prng *prng) {
    char id[16], new_id[16];
    uint64_t what = prng_next(prng) % 8, roll = prng_next(prng);
    id_write(id, prng_next(prng) % IDS);
    id_write(new_id, prng_next(prng) % IDS);
    world->loop = (unsigned)(prng_next(prng) % LOOPS);
    if (prng_next(prng) % 2) world->now_ms += (int64_t)(roll % 20);
    struct put put = {.revives = true, .idle_timeout_ms = roll % 3 ? (int64_t)(roll % 100) + 1 : 0};
    struct rename rename = {.id = bytes_of_string(new_id)};
    if (roll % 2) put.user = BYTES_LITERAL("ann");
    switch (what) {
    case 0:
    case 1:
    case 2: contract_put(world, "web", id, put); break;
    case 3:
    case 4:
    case 5: contract_move(world, "web", id, rename, roll % 2 ? 10 : 0); break;
    case 6: contract_remove(world, "web", id); break;
    default:
        if (roll % 8 == 0) contract_revoke(world, "web", GROUP_USER, "ann", BYTES_ABSENT);
        contract_advance(world);
        break;
    }
}

/* The place of the number-th event about that id; count: there is none. */
static unsigned find(const struct heard *heard, const char *id, unsigned number) {
    for (unsigned i = 0; i < heard->count; i++)
        if (strcmp(heard->all[i].id, id) == 0 && number-- == 0) return i;
    return heard->count;
}

/* Of each id the same in the same order; a session is heard of under its new id after it was under its old one. */
static void same_is_heard(const struct heard *expected, const struct heard *actual) {
    char id[16];
    CHECK_EQUAL(actual->count, expected->count);
    for (unsigned i = 0; i < IDS; i++) {
        id_write(id, i);
        for (unsigned n = 0;; n++) {
            unsigned a = find(expected, id, n), b = find(actual, id, n);
            CHECK_EQUAL(a == expected->count, b == actual->count);
            if (a == expected->count || b == actual->count) break;
            CHECK_EQUAL(actual->all[b].kind, expected->all[a].kind);
        }
    }
    for (unsigned i = 0; i < actual->count; i++)
        for (unsigned j = 0; j < i; j++)
            if (actual->all[j].kind == EVENT_CREATED && actual->all[i].kind == EVENT_REGENERATED)
                CHECK(actual->all[i].version != actual->all[j].version);
}

/* Moves the mark somewhere up to what was appended, and listens. */
static void mark_and_listen(struct world *world, struct kept_journal *kept, struct prng *prng, struct heard *heard) {
    uint64_t appended = world->engine->vtable->appended(world->engine), mark = atomic_load(&kept->journal.mark);
    if (!mark) mark = version_of_moment(START) - 1;
    if (prng_next(prng) % 2 && appended > mark) mark += prng_next(prng) % (appended - mark + 1);
    atomic_store(&kept->journal.mark, mark);
    unsigned before = heard->count;
    uint64_t awaited = listen(world, heard);
    CHECK(awaited == 0 || awaited > mark);
    for (unsigned i = before; i < heard->count; i++) CHECK(heard->all[i].depends_on <= mark);
}

static void the_same_is_heard_later(uint64_t seed) {
    static struct heard expected, actual;
    struct kept_journal kept;
    struct prng steps = {seed}, marks = {seed + 1};
    struct world plain = contract_open((unsigned)(seed % 4)), world = recovery_begin(&kept, (unsigned)(seed % 4));
    expected.count = actual.count = 0;
    watch(&plain);
    watch(&world);
    for (unsigned i = 0; i < STEPS; i++) step(&plain, &steps);
    listen(&plain, &expected);
    steps = (struct prng){seed};
    for (unsigned i = 0; i < STEPS; i++) {
        step(&world, &steps);
        if (prng_next(&marks) % 3 == 0) mark_and_listen(&world, &kept, &marks, &actual);
    }
    atomic_store(&kept.journal.mark, world.engine->vtable->appended(world.engine));
    CHECK_EQUAL(listen(&world, &actual), 0);
    same_is_heard(&expected, &actual);
    contract_close(&plain);
    recovery_end(&world, &kept);
}

/* ---- what expired while the server was down */

static void read_expired(struct world *world, struct heard *heard) {
    heard->count = 0;
    world->engine->vtable->enter(world->engine, 1);
    world->engine->vtable->read_expired(world->engine, 1, world->now_ms, hear, heard);
    world->engine->vtable->leave(world->engine, 1);
}

static void check_heard(const struct heard *heard, unsigned i, const char *id, enum event_kind kind) {
    CHECK(i < heard->count && heard->all[i].kind == kind && strcmp(heard->all[i].id, id) == 0);
}

static void who_comes_after_a_restart_hears_what_expired_meanwhile(void) {
    static struct heard heard;
    struct kept_journal kept, later;
    struct world world = recovery_begin(&kept, 2);
    struct recovery_counts counts = {0};
    contract_put(&world, "web", "before", (struct put){.idle_timeout_ms = 5});
    contract_put(&world, "web", "third", (struct put){.idle_timeout_ms = 3000});
    contract_put(&world, "web", "first", (struct put){.idle_timeout_ms = 1000, .user = TEXT("ann")});
    contract_put(&world, "web", "second", (struct put){.abandon_timeout_ms = 2000});
    contract_put(&world, "web", "ended", (struct put){.idle_timeout_ms = 1000, .status = STATUS_ENDED});
    contract_put(&world, "web", "alive", (struct put){.idle_timeout_ms = 100000});
    contract_put(&world, "web", "gone", (struct put){.idle_timeout_ms = 1000});
    contract_remove(&world, "web", "gone");
    world.now_ms += 10;
    contract_put(&world, "web", "last", (struct put){0});
    contract_close(&world);
    later = kept;
    later.effects = BUF_EMPTY;
    world.now_ms += 10000;
    world.engine = recovery_open(&kept, kept.effects.size, NULL, 2, world.now_ms, &later.journal, &counts);
    CHECK_EQUAL(counts.expired, 3);
    read_expired(&world, &heard);
    CHECK_EQUAL(heard.count, 3);
    check_heard(&heard, 0, "first", EVENT_EXPIRED);
    check_heard(&heard, 1, "second", EVENT_ABANDONED);
    check_heard(&heard, 2, "third", EVENT_EXPIRED);
    /* What was written since is told of as such, and what was forgotten is not told of. */
    CHECK(contract_remove(&world, "web", "second").is_found);
    world.now_ms += EXPIRED_TOLD_MS - 1;
    contract_advance(&world);
    read_expired(&world, &heard);
    CHECK_EQUAL(heard.count, 2);
    check_heard(&heard, 1, "third", EVENT_EXPIRED);
    world.now_ms++;
    read_expired(&world, &heard);
    CHECK_EQUAL(heard.count, 0);
    contract_advance(&world);
    read_expired(&world, &heard);
    CHECK_EQUAL(heard.count, 0);
    world.engine->vtable->check(world.engine);
    buf_fini(&later.effects);
    recovery_end(&world, &kept);
}

static uint64_t missed_count;

static void hear_missed(void *context, const struct event *event) {
    *(unsigned *)context += event->kind == EVENT_EXPIRED;
    if (event->kind == EVENT_LAGGED) missed_count += event->missed;
}

static void of_what_is_too_much_or_not_kept_the_count_is_told(void) {
    enum { BEYOND = 7, FORGOTTEN = 3 };
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 0);
    struct recovery_counts counts = {0};
    unsigned told = 0;
    char id[16];
    contract_configure(&world, "brief", policy_set((struct policy_change){0}, POLICY_RETENTION_MS, 0));
    for (unsigned i = 0; i < EXPIRED_KEPT_MAX + BEYOND + FORGOTTEN; i++) {
        snprintf(id, sizeof(id), "s%u", i);
        contract_put(&world, i < FORGOTTEN ? "brief" : "web", id, (struct put){.idle_timeout_ms = 1000 + i});
    }
    contract_close(&world);
    world.now_ms += 100000;
    world.engine = recovery_open(&kept, kept.effects.size, NULL, 0, world.now_ms, NULL, &counts);
    world.engine->vtable->enter(world.engine, 0);
    world.engine->vtable->read_expired(world.engine, 0, world.now_ms, hear_missed, &told);
    world.engine->vtable->leave(world.engine, 0);
    CHECK_EQUAL(told, EXPIRED_KEPT_MAX);
    CHECK_EQUAL(missed_count, BEYOND + FORGOTTEN);
    recovery_end(&world, &kept);
}

void contract_event_mark(uint64_t seed) {
    if (seed == 1) {
        who_comes_after_a_restart_hears_what_expired_meanwhile();
        of_what_is_too_much_or_not_kept_the_count_is_told();
        an_event_waits_for_the_mark();
        who_watches_again_waits_for_nothing_old();
    }
    the_same_is_heard_later(seed);
}
