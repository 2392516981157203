/* Events: who watches hears of everything once, in its session's order, and of deadlines on time. */
#include "base/prng.h"
#include "contract.h"

#include <string.h>

enum { HEARD_MAX = 20000 };

/* What one loop has heard. */
struct heard {
    unsigned count;
    uint64_t missed;
    unsigned lags;
    struct {
        enum event_kind kind;
        char namespace[16], id[32], user[16], reason[16];
        uint64_t version;
        int64_t at;
        size_t data_size;
        bool has_data;
    } all[HEARD_MAX];
};
static struct heard heard;

static void copy_text(char *out, size_t size, struct bytes bytes) {
    size_t used = bytes.size < size ? bytes.size : size - 1;
    if (used) memcpy(out, bytes.data, used);
    out[used] = '\0';
}

static void hear(void *context, const struct event *event) {
    struct heard *into = context;
    if (event->kind == EVENT_LAGGED) {
        into->missed += event->missed;
        into->lags++;
        return;
    }
    CHECK(into->count < HEARD_MAX);
    if (into->count == HEARD_MAX) return;
    unsigned i = into->count++;
    into->all[i].kind = event->kind;
    into->all[i].version = event->version;
    into->all[i].at = event->at;
    into->all[i].has_data = event->data.data != NULL;
    into->all[i].data_size = event->data.size;
    copy_text(into->all[i].namespace, sizeof(into->all[i].namespace), event->namespace);
    copy_text(into->all[i].id, sizeof(into->all[i].id), event->id);
    copy_text(into->all[i].user, sizeof(into->all[i].user), event->user);
    copy_text(into->all[i].reason, sizeof(into->all[i].reason), event->reason);
}

static void watch(struct world *world, unsigned loop, bool is_on, bool wants_data) {
    world->engine->vtable->enter(world->engine, loop);
    world->engine->vtable->watch(world->engine, loop, is_on, wants_data);
    world->engine->vtable->leave(world->engine, loop);
}

/* Everything that the loop has to be told by now. */
static void listen(struct world *world, unsigned loop) {
    memset(&heard, 0, sizeof(heard));
    world->engine->vtable->enter(world->engine, loop);
    world->engine->vtable->read_events(world->engine, loop, hear, &heard);
    world->engine->vtable->leave(world->engine, loop);
}

/* The number-th event about that id. */
static int find(const char *id, unsigned number) {
    for (unsigned i = 0; i < heard.count; i++)
        if (strcmp(heard.all[i].id, id) == 0 && number-- == 0) return (int)i;
    return -1;
}

static unsigned count_of(const char *id) {
    unsigned count = 0;
    while (find(id, count) >= 0) count++;
    return count;
}

static enum event_kind kind_of(const char *id, unsigned number) {
    int i = find(id, number);
    return i < 0 ? EVENT_NONE : heard.all[i].kind;
}

static struct verb put(struct world *world, const char *id, struct put what) {
    return contract_put(world, "web", id, what);
}

static void nothing_is_told_before_somebody_watches(struct world *world) {
    put(world, "a", (struct put){.user = TEXT("ann")});
    watch(world, 0, true, false);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 0);
    put(world, "a", (struct put){.user = TEXT("ann")});
    listen(world, 0);
    CHECK_EQUAL(heard.count, 1);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 0);
    watch(world, 0, false, false);
    put(world, "b", (struct put){.user = TEXT("ann")});
    watch(world, 0, true, false);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 0);
}

static void each_change_is_told_with_its_version_and_moment(struct world *world) {
    watch(world, 0, true, false);
    uint64_t created = put(world, "a", (struct put){.user = TEXT("ann"), .status = STATUS_PENDING}).session.version;
    world->now_ms += 7;
    uint64_t updated = put(world, "a", (struct put){.data = BYTES_LITERAL("\x81\x01\x02")}).session.version;
    uint64_t activated = put(world, "a", (struct put){.status = STATUS_ACTIVE}).session.version;
    contract_touch(world, "web", "a");
    put(world, "b", (struct put){.user = TEXT("bob")});
    uint64_t ended = put(world, "a", (struct put){.status = STATUS_ENDED}).session.version;
    uint64_t destroyed = contract_remove(world, "web", "b").depends_on;
    listen(world, 0);
    CHECK_EQUAL(count_of("a"), 4);
    CHECK_EQUAL(kind_of("a", 0), EVENT_CREATED);
    CHECK_EQUAL(kind_of("a", 1), EVENT_UPDATED);
    CHECK_EQUAL(kind_of("a", 2), EVENT_ACTIVATED);
    CHECK_EQUAL(kind_of("a", 3), EVENT_ENDED);
    CHECK_EQUAL(heard.all[find("a", 0)].version, created);
    CHECK_EQUAL(heard.all[find("a", 1)].version, updated);
    CHECK_EQUAL(heard.all[find("a", 2)].version, activated);
    CHECK_EQUAL(heard.all[find("a", 3)].version, ended);
    CHECK_EQUAL(heard.all[find("a", 0)].at, START);
    CHECK_EQUAL(heard.all[find("a", 1)].at, START + 7);
    CHECK(strcmp(heard.all[find("a", 1)].user, "ann") == 0 && strcmp(heard.all[find("a", 1)].namespace, "web") == 0);
    CHECK_EQUAL(count_of("b"), 2);
    CHECK_EQUAL(kind_of("b", 1), EVENT_DESTROYED);
    CHECK_EQUAL(heard.all[find("b", 1)].version, destroyed);
    CHECK(!heard.all[0].has_data);
}

static void every_status_has_its_event(struct world *world) {
    static const struct {
        enum status status;
        enum event_kind kind;
    } pairs[] = {{STATUS_ENDED, EVENT_ENDED},
                 {STATUS_REMOVED, EVENT_REMOVED},
                 {STATUS_REVOKED, EVENT_REVOKED},
                 {STATUS_REPLACED, EVENT_REPLACED},
                 {STATUS_ABANDONED, EVENT_ABANDONED}};
    watch(world, 0, true, false);
    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char id[8];
        snprintf(id, sizeof(id), "s%u", i);
        put(world, id, (struct put){.user = TEXT("ann")});
        put(world, id, (struct put){.status = pairs[i].status});
        listen(world, 0);
        CHECK_EQUAL(heard.count, 2);
        CHECK_EQUAL(kind_of(id, 1), pairs[i].kind);
    }
    put(world, "z", (struct put){.user = TEXT("zoe")});
    contract_revoke(world, "web", GROUP_USER, "zoe", BYTES_ABSENT);
    listen(world, 0);
    CHECK_EQUAL(kind_of("z", 1), EVENT_REVOKED);
}

static void a_deadline_is_told_once_by_the_reaper(struct world *world) {
    watch(world, 0, true, false);
    uint64_t version = put(world, "a", (struct put){.idle_timeout_ms = 100}).session.version;
    put(world, "b", (struct put){.idle_timeout_ms = 500, .abandon_timeout_ms = 100});
    world->now_ms += 99;
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 2);
    world->now_ms += 1;
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 2);
    CHECK_EQUAL(kind_of("a", 0), EVENT_EXPIRED);
    CHECK_EQUAL(heard.all[find("a", 0)].at, START + 100);
    CHECK_EQUAL(heard.all[find("a", 0)].version, version);
    CHECK_EQUAL(kind_of("b", 0), EVENT_ABANDONED);
    contract_remove(world, "web", "a");
    world->now_ms += INT64_C(200000000); /* the retention of b is over */
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 1);
    CHECK_EQUAL(kind_of("a", 0), EVENT_DESTROYED);
}

static void a_deadline_that_nobody_reaped_is_told_before_what_comes_next(struct world *world) {
    watch(world, 0, true, false);
    put(world, "a", (struct put){.idle_timeout_ms = 100});
    put(world, "b", (struct put){.idle_timeout_ms = 100});
    put(world, "c", (struct put){.idle_timeout_ms = 100});
    world->now_ms += 150;
    contract_remove(world, "web", "a");
    put(world, "b", (struct put){.revives = true});
    put(world, "c", (struct put){.revives = true, .status = STATUS_REMOVED});
    contract_advance(world);
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(count_of("a"), 3);
    CHECK_EQUAL(kind_of("a", 1), EVENT_EXPIRED);
    CHECK_EQUAL(heard.all[find("a", 1)].at, START + 100);
    CHECK_EQUAL(kind_of("a", 2), EVENT_DESTROYED);
    CHECK_EQUAL(count_of("b"), 3);
    CHECK_EQUAL(kind_of("b", 1), EVENT_EXPIRED);
    CHECK_EQUAL(kind_of("b", 2), EVENT_CREATED);
    CHECK_EQUAL(count_of("c"), 3);
    CHECK_EQUAL(kind_of("c", 1), EVENT_EXPIRED);
    CHECK_EQUAL(kind_of("c", 2), EVENT_REMOVED);
}

static void who_is_born_dead_is_created_and_expires(struct world *world) {
    watch(world, 0, true, false);
    put(world, "a", (struct put){.absolute_expires_at = START - 5});
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 2);
    CHECK_EQUAL(kind_of("a", 0), EVENT_CREATED);
    CHECK_EQUAL(kind_of("a", 1), EVENT_EXPIRED);
    CHECK_EQUAL(heard.all[1].at, START - 5);
}

static void a_move_is_told_of_the_old_id_and_then_of_the_new(struct world *world) {
    enum { STEPS = 200 };
    watch(world, 0, true, false);
    put(world, "m0", (struct put){.user = TEXT("ann")});
    for (unsigned i = 0; i < STEPS; i++) {
        char from[16], to[16];
        snprintf(from, sizeof(from), "m%u", i);
        snprintf(to, sizeof(to), "m%u", i + 1);
        contract_move(world, "web", from, (struct rename){.id = TEXT(to)}, i % 3 ? 0 : 1000);
    }
    listen(world, 0);
    CHECK_EQUAL(heard.count, 2 * STEPS + 1);
    for (unsigned i = 0; i < STEPS; i++) {
        char from[16], to[16];
        snprintf(from, sizeof(from), "m%u", i);
        snprintf(to, sizeof(to), "m%u", i + 1);
        int gone = find(from, 1), come = find(to, 0);
        CHECK(gone >= 0 && come > gone && find(from, 0) < gone);
        CHECK(gone >= 0 && heard.all[gone].kind == EVENT_REGENERATED);
        CHECK(come >= 0 && heard.all[come].kind == EVENT_CREATED);
        CHECK(gone < 0 || come < 0 || heard.all[gone].version == heard.all[come].version);
    }
    world->now_ms += 2000; /* the old ids' graces end, of which there is nothing to tell */
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 0);
}

static void a_clear_is_told_as_it_is_swept_and_before_an_id_lives_again(struct world *world) {
    put(world, "long_dead", (struct put){.idle_timeout_ms = 10});
    contract_configure(world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
    watch(world, 0, true, false);
    put(world, "a", (struct put){.user = TEXT("ann")});
    put(world, "b", (struct put){.user = TEXT("bob")});
    put(world, "c", (struct put){.idle_timeout_ms = 100});
    put(world, "d", (struct put){.idle_timeout_ms = 300});
    world->now_ms += 100;
    uint64_t cleared = contract_end(world, "web", END_CLEAR).depends_on;
    put(world, "a", (struct put){.user = TEXT("ann")});
    world->now_ms += 500;
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(count_of("d"), 2); /* it was not there any more when its deadline passed */
    CHECK_EQUAL(kind_of("d", 1), EVENT_DESTROYED);
    CHECK_EQUAL(count_of("a"), 3);
    CHECK_EQUAL(kind_of("a", 1), EVENT_DESTROYED);
    CHECK_EQUAL(heard.all[find("a", 1)].version, cleared);
    CHECK_EQUAL(kind_of("a", 2), EVENT_CREATED);
    CHECK_EQUAL(count_of("b"), 2);
    CHECK_EQUAL(kind_of("b", 1), EVENT_DESTROYED);
    CHECK_EQUAL(heard.all[find("b", 1)].at, START + 100);
    CHECK_EQUAL(kind_of("c", 1), EVENT_EXPIRED);
    CHECK_EQUAL(kind_of("c", 2), EVENT_DESTROYED);
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 0);
}

static void clear_web(struct world *other) {
    contract_end(other, "web", END_CLEAR);
}

static void a_clear_that_comes_behind_a_write_is_told_behind_it(struct world *world) {
    watch(world, 0, true, false);
    put(world, "a", (struct put){.user = TEXT("ann")});
    put(world, "b", (struct put){.user = TEXT("bob")});
    contract_advance(world);
    contract_at_wake(world, clear_web); /* it has its version then, and has told nothing yet */
    uint64_t version = put(world, "a", (struct put){.status = STATUS_ENDED}).session.version;
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(count_of("a"), 3);
    CHECK_EQUAL(kind_of("a", 1), EVENT_ENDED);
    CHECK_EQUAL(heard.all[find("a", 1)].version, version);
    CHECK_EQUAL(kind_of("a", 2), EVENT_DESTROYED);
    CHECK(heard.all[find("a", 2)].version > version);
    CHECK_EQUAL(count_of("b"), 2);
    put(world, "c", (struct put){.user = TEXT("cyd")});
    world->now_ms += 3600000; /* no tombstone is left whose moment would come first */
    contract_advance(world);
    contract_at_wake(world, clear_web);
    version = contract_remove(world, "web", "c").depends_on;
    contract_at_wake(world, NULL);
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(count_of("c"), 2);
    CHECK_EQUAL(kind_of("c", 1), EVENT_DESTROYED);
    CHECK_EQUAL(heard.all[find("c", 1)].version, version);
}

static void a_drop_and_a_purge_are_told_to_nobody(struct world *world) {
    watch(world, 0, true, false);
    put(world, "a", (struct put){.idle_timeout_ms = 100});
    put(world, "b", (struct put){.status = STATUS_ENDED});
    contract_end(world, "web", END_PURGE);
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 2 + 1);
    contract_end(world, "web", END_DROP);
    world->now_ms += 500;
    contract_advance(world);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 0);
    put(world, "a", (struct put){.user = TEXT("ann")});
    listen(world, 0);
    CHECK_EQUAL(heard.count, 1);
}

static void data_comes_to_who_wants_it_if_it_fits(struct world *world) {
    static uint8_t large[40000];
    large[0] = 0xc5; /* bin 16 */
    large[1] = (uint8_t)((sizeof(large) - 3) >> 8);
    large[2] = (uint8_t)(sizeof(large) - 3);
    watch(world, 0, true, true);
    put(world, "a", (struct put){.data = BYTES_LITERAL("\x81\x01\x02")});
    put(world, "b", (struct put){.data = bytes_of(large, sizeof(large))});
    put(world, "c", (struct put){.data = bytes_of(large, 9000)});
    listen(world, 0);
    CHECK_EQUAL(heard.count, 3);
    CHECK(heard.all[find("a", 0)].has_data && heard.all[find("a", 0)].data_size == 3);
    CHECK(!heard.all[find("b", 0)].has_data);
    CHECK(heard.all[find("c", 0)].has_data && heard.all[find("c", 0)].data_size == 9000);
    watch(world, 0, true, false);
    put(world, "a", (struct put){.data = BYTES_LITERAL("\x81\x01\x02")});
    listen(world, 0);
    CHECK(heard.count == 1 && !heard.all[0].has_data);
}

static void each_watching_loop_hears_all_and_is_woken(struct world *world) {
    watch(world, 0, true, false);
    watch(world, 1, true, false);
    unsigned wakes_before = contract_wakes();
    put(world, "a", (struct put){.user = TEXT("ann")});
    CHECK_EQUAL(contract_wakes() - wakes_before, 2);
    put(world, "b", (struct put){.user = TEXT("bob")});
    CHECK_EQUAL(contract_wakes() - wakes_before, 2);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 2);
    put(world, "c", (struct put){.user = TEXT("cyd")});
    CHECK_EQUAL(contract_wakes() - wakes_before, 3);
    listen(world, 1);
    CHECK_EQUAL(heard.count, 3);
    listen(world, 0);
    CHECK_EQUAL(heard.count, 1);
}

static void who_reads_too_slowly_is_told_how_much_it_missed(struct world *world) {
    enum { WRITES = 60000 };
    struct engine_stats stats;
    uint64_t sum = 0;
    watch(world, 0, true, false);
    watch(world, 1, true, false);
    for (unsigned i = 0; i < WRITES; i++) {
        put(world, i % 2 ? "a" : "b", (struct put){.user = TEXT("ann")});
        if (i % 50) continue;
        listen(world, 1);
        CHECK_EQUAL(heard.missed, 0);
        sum += heard.count;
    }
    listen(world, 1);
    CHECK_EQUAL(sum + heard.count, WRITES);
    listen(world, 0);
    CHECK(heard.missed > 0 && heard.lags <= 2);
    CHECK_EQUAL(heard.missed + heard.count, WRITES);
    for (unsigned i = 1; i < heard.count; i++)
        CHECK(strcmp(heard.all[i - 1].id, heard.all[i].id) != 0 || heard.all[i - 1].version < heard.all[i].version);
    world->engine->vtable->stats(world->engine, &stats);
    CHECK_EQUAL(stats.events_total, WRITES);
    CHECK_EQUAL(stats.events_lost_total, heard.missed);
    CHECK(stats.bytes_used < 40u * 1024 * 1024);
}

const struct contract_test event_tests[] = {
    {"nothing is told before somebody watches", nothing_is_told_before_somebody_watches},
    {"each change is told with its version and moment", each_change_is_told_with_its_version_and_moment},
    {"every status has its event", every_status_has_its_event},
    {"a deadline is told once, by the reaper", a_deadline_is_told_once_by_the_reaper},
    {"a deadline that nobody reaped is told before what comes next",
     a_deadline_that_nobody_reaped_is_told_before_what_comes_next},
    {"who is born dead is created and expires", who_is_born_dead_is_created_and_expires},
    {"a move is told of the old id and then of the new", a_move_is_told_of_the_old_id_and_then_of_the_new},
    {"a clear is told as it is swept, and before an id lives again",
     a_clear_is_told_as_it_is_swept_and_before_an_id_lives_again},
    {"a clear that comes behind a write is told behind it", a_clear_that_comes_behind_a_write_is_told_behind_it},
    {"a drop and a purge are told to nobody", a_drop_and_a_purge_are_told_to_nobody},
    {"data comes to who wants it, if it fits", data_comes_to_who_wants_it_if_it_fits},
    {"each watching loop hears all and is woken", each_watching_loop_hears_all_and_is_woken},
    {"who reads too slowly is told how much it missed", who_reads_too_slowly_is_told_how_much_it_missed},
    {NULL, NULL}};
