/* Recovery: an engine made from another one's effects is as that one, in whatever order they come, and goes on. */
#include "recovery.h"
#include "wire/codec.h"

static const char *const namespaces[] = {"web", "app", "tmp", NULL};
static const char *const ids[] = {"id0", "id1", "id2", "id3", "id4", "id5", "id6", "id7", "id8", "id9", "id10", NULL};
static const char *const users[] = {"ann", "bob", NULL};
static const char *const clients[] = {"phone", "tablet", NULL};

struct story {
    struct kept_journal kept;
    struct world world;
    struct prng prng;
    struct asked asked;
    uint64_t newest; /* version that any answer told */
};

static uint64_t roll(struct story *story, uint64_t sides) {
    return prng_next(&story->prng) % sides;
}

static const char *any(struct story *story, const char *const *of) {
    unsigned count = 0;
    while (of[count]) count++;
    return of[roll(story, count)];
}

/* A version that was told must not be given again; one that was only taken may. */
static void note_told(struct story *story, const struct verb *verb) {
    if (verb->is_found && verb->session.version > story->newest) story->newest = verb->session.version;
}

/* ---- what is done */

static void do_put(struct story *story, const char *namespace) {
    static const char *const data[] = {"\x80", "\x81\xa1k\x01",
                                       "\x81\xa1k\xd9\x26the longer a text the more it is worth", NULL};
    struct put put = {.revives = roll(story, 4) == 0,
                      .keeps_activity = roll(story, 3) == 0,
                      .is_touch = roll(story, 4) == 0,
                      .data = bytes_of_string(any(story, data))};
    if (roll(story, 2)) put.user = bytes_of_string(any(story, users));
    if (roll(story, 3) == 0) put.client = bytes_of_string(any(story, clients));
    if (roll(story, 4) == 0) put.meta = BYTES_LITERAL("\x81\xa1m\x02");
    if (roll(story, 4) == 0) put.tags = BYTES_LITERAL("\x91\xa1t");
    if (roll(story, 8) == 0) put.token = BYTES_LITERAL("hash of a token");
    if (roll(story, 8) == 0) put.bound = BYTES_LITERAL("hash of a browser");
    if (roll(story, 2)) put.idle_timeout_ms = 1 + (int64_t)roll(story, 200);
    if (roll(story, 3) == 0) put.absolute_timeout_ms = 1 + (int64_t)roll(story, 200);
    if (roll(story, 3) == 0) put.abandon_timeout_ms = 1 + (int64_t)roll(story, 200);
    if (roll(story, 8) == 0) put.absolute_expires_at = story->world.now_ms - 20 + (int64_t)roll(story, 200);
    if (roll(story, 8) == 0) put.created_at = story->world.now_ms - (int64_t)roll(story, 5);
    if (roll(story, 6) == 0) put.status = STATUS_ENDED;
    struct verb verb = contract_put(&story->world, namespace, any(story, ids), put);
    note_told(story, &verb);
}

static void do_touch(struct story *story, const char *namespace) {
    const char *id = any(story, ids);
    switch (roll(story, 3)) {
    case 0: contract_touch(&story->world, namespace, id); break;
    case 1: contract_get_touch(&story->world, namespace, id); break;
    default: contract_update_touch(&story->world, namespace, id); break;
    }
}

static void do_move(struct story *story, const char *namespace) {
    struct rename rename = {.id = bytes_of_string(any(story, ids)), .sets_user = roll(story, 3) == 0};
    if (rename.sets_user) rename.user = bytes_of_string(any(story, users));
    int64_t grace_ms = roll(story, 2) ? 1 + (int64_t)roll(story, 100) : 0;
    struct verb verb = contract_move(&story->world, namespace, any(story, ids), rename, grace_ms);
    note_told(story, &verb);
}

static void do_end_group(struct story *story, const char *namespace) {
    static const enum end_kind ends[] = {END_REVOKE, END_REMOVE, END_DESTROY};
    bool is_user = roll(story, 2);
    struct verb verb = verb_of(VERB_END_ALL, namespace, NULL);
    verb.end_all.end = ends[roll(story, 3)];
    verb.end_all.group = is_user ? GROUP_USER : GROUP_CLIENT;
    verb.end_all.group_name = bytes_of_string(any(story, is_user ? users : clients));
    verb.end_all.reason = TEXT("over");
    contract_submit(&story->world, &verb);
}

static void do_end_namespace(struct story *story, const char *namespace) {
    contract_end(&story->world, namespace, roll(story, 6) == 0 ? END_DROP : roll(story, 2) ? END_CLEAR : END_PURGE);
}

static void do_configure(struct story *story, const char *namespace) {
    static const int64_t keeps[] = {0, 30, 300};
    struct policy_change change = {0};
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, NULL);
    change = policy_set(change, POLICY_TOMBSTONE_MS, keeps[roll(story, 3)]);
    if (story->asked.is_thinned) change = policy_set(change, POLICY_TOUCH_AFTER_MS, (int64_t)roll(story, 10));
    if (roll(story, 2)) change = policy_set(change, POLICY_SINGLE_SESSION, (int64_t)roll(story, 2));
    if (roll(story, 2)) change = policy_set(change, POLICY_RETENTION_MS, keeps[roll(story, 3)]);
    verb.configure.change = &change;
    if (roll(story, 3) == 0) verb.configure.purge_interval_ms = 100000 + (int64_t)roll(story, 5);
    contract_submit(&story->world, &verb);
}

static void do_activate(struct story *story, const char *namespace) {
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, any(story, ids));
    verb.configure.group = GROUP_CLIENT;
    verb.configure.group_name = bytes_of_string(any(story, clients));
    contract_submit(&story->world, &verb);
}

static void story_do(struct story *story) {
    const char *namespace = any(story, namespaces);
    switch (roll(story, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5: do_put(story, namespace); break;
    case 6: contract_remove(&story->world, namespace, any(story, ids)); break;
    case 7:
    case 8:
    case 9: do_touch(story, namespace); break;
    case 10:
    case 11: do_move(story, namespace); break;
    case 12: do_end_group(story, namespace); break;
    case 13:
        if (roll(story, 3) == 0) do_end_namespace(story, namespace);
        break;
    case 14:
        if (roll(story, 3) == 0) do_configure(story, namespace);
        break;
    default: do_activate(story, namespace); break;
    }
}

/* One slice of a snapshot, as whoever makes one asks for it. */
static void snapshot_slice(struct story *story, struct snapshot_cursor *cursor, struct buf *out) {
    const struct engine_vtable *vtable = story->world.engine->vtable;
    size_t before = out->size;
    vtable->snapshot(story->world.engine, cursor, out, 1 + roll(story, 2000), story->world.now_ms);
    CHECK(cursor->is_done || out->size > before);
}

static struct story *interrupted;
/* A snapshot that is to begin between two locks of a step; NULL: none is. */
static struct beginning {
    struct snapshot_cursor cursor;
    struct buf effects;
    size_t told; /* effects that were appended before */
} * beginning;

static void snapshot_begin(struct story *story) {
    beginning->told = story->kept.effects.size;
    story->world.engine->vtable->preamble(story->world.engine, &beginning->effects);
    snapshot_slice(story, &beginning->cursor, &beginning->effects);
    beginning = NULL;
}

/* What the other loop, or who makes snapshots, does between two locks of a step. */
static void story_interrupt(struct world *other) {
    if (beginning) {
        snapshot_begin(interrupted);
        return;
    }
    struct world world = interrupted->world;
    interrupted->world = *other;
    story_do(interrupted);
    interrupted->world = world;
}

static void story_step(struct story *story) {
    story->world.loop = (unsigned)roll(story, LOOPS);
    if (roll(story, 3) == 0) story->world.now_ms += (int64_t)roll(story, roll(story, 8) ? 5 : 100);
    interrupted = story;
    if (roll(story, 2)) contract_at_point(&story->world, (unsigned)roll(story, 8), story_interrupt);
    story_do(story);
    contract_at_point(&story->world, 0, NULL);
}

/* ---- what is looked at */

static void story_compare(struct story *story, size_t size, const struct buf *before, bool with_counts,
                          const char *what) {
    struct recovery_counts counts;
    struct buf after = BUF_EMPTY;
    struct world world = story->world;
    unsigned shard_bits = (unsigned)roll(story, 4);
    world.engine = recovery_open(&story->kept, size, &story->prng, shard_bits, world.now_ms, NULL, &counts);
    CHECK(counts.version >= story->newest);
    if (with_counts) contract_advance(&world);
    recovery_describe(&world, &story->asked, with_counts, &after);
    recovery_compare(before, &after, what);
    buf_fini(&after);
    contract_close(&world);
}

static void story_begin(struct story *story, uint64_t seed) {
    memset(story, 0, sizeof(*story));
    story->prng = (struct prng){seed};
    story->asked = (struct asked){namespaces, ids, users, clients, seed % 3 == 0};
    story->world = recovery_begin(&story->kept, (unsigned)(seed % 4));
}

/* At many moments: the engine as it is, and one made from what it told until then. */
static void story_of_comparing(uint64_t seed) {
    static struct story story;
    story_begin(&story, seed);
    for (unsigned step = 0; step < 400; step++) {
        story_step(&story);
        if (step % 20 != 19) continue;
        struct buf before = BUF_EMPTY;
        bool with_counts = roll(&story, 2);
        if (with_counts) contract_advance(&story.world);
        recovery_describe(&story.world, &story.asked, with_counts, &before);
        story_compare(&story, story.kept.effects.size, &before, with_counts, "as it is");
        buf_fini(&before);
    }
    recovery_end(&story.world, &story.kept);
}

/* One answer, and the same from an engine that lost all that is newer than what it depends on. */
static void story_ask(struct story *story, enum question question, const char *namespace) {
    bool is_group = question == ASK_LIST || question == ASK_COUNT;
    const char *name = any(story, question == ASK_CLIENT ? clients : is_group ? users : ids);
    struct buf expected = BUF_EMPTY, actual = BUF_EMPTY;
    struct kept_journal cut;
    struct recovery_counts counts;
    struct world world = story->world;
    char what[128];
    uint64_t depends_on = recovery_ask(&story->world, question, namespace, name, &expected);
    CHECK(depends_on <= story->world.engine->vtable->appended(story->world.engine));
    snprintf(what, sizeof(what), "question %d, %s/%s, depends on %" PRIu64, question, namespace, name, depends_on);
    recovery_cut(&story->kept, depends_on, &cut);
    world.engine = recovery_open(&cut, cut.effects.size, NULL, 1, world.now_ms, NULL, &counts);
    recovery_ask(&world, question, namespace, name, &actual);
    recovery_compare(&expected, &actual, what);
    contract_close(&world);
    buf_fini(&cut.effects);
    buf_fini(&expected);
    buf_fini(&actual);
}

static void story_of_depending(uint64_t seed) {
    static struct story story;
    story_begin(&story, seed);
    for (unsigned step = 0; step < 150; step++) {
        story_step(&story);
        if (roll(&story, 3) == 0) contract_advance(&story.world);
        for (unsigned i = 0; i < 3; i++)
            story_ask(&story, (enum question)roll(&story, QUESTION_COUNT), any(&story, namespaces));
    }
    recovery_end(&story.world, &story.kept);
}

/* While everything goes on, snapshots are made: each, with what was told since it began, is as good as all of it. What
 * was told before is not needed any more, so it is forgotten for good. */
static void story_of_snapshots(uint64_t seed) {
    static struct story story;
    story_begin(&story, seed);
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned step = 0; step < 30; step++) story_step(&story);
        struct beginning begun = {.effects = BUF_EMPTY};
        struct buf before = BUF_EMPTY;
        beginning = &begun;
        story_step(&story);
        if (beginning) snapshot_begin(&story);
        uint64_t told = 0;
        while (!begun.cursor.is_done) {
            if (roll(&story, 3) == 0) story_step(&story);
            told = story.newest;
            snapshot_slice(&story, &begun.cursor, &begun.effects);
        }
        for (unsigned step = (unsigned)roll(&story, 10); step > 0; step--) story_step(&story);
        CHECK(begun.cursor.version <= story.world.engine->vtable->appended(story.world.engine));
        CHECK(begun.cursor.version >= told);
        buf_append(&begun.effects, story.kept.effects.data + begun.told, story.kept.effects.size - begun.told);
        CHECK(!begun.effects.is_failed);
        buf_fini(&story.kept.effects);
        story.kept.effects = begun.effects;
        recovery_describe(&story.world, &story.asked, false, &before);
        story_compare(&story, story.kept.effects.size, &before, false, "from a snapshot");
        buf_fini(&before);
    }
    recovery_end(&story.world, &story.kept);
}

/* The server crashes again and again, each time with what it told since the last appends lost, and goes on. */
static void story_of_crashing(uint64_t seed) {
    static struct story story;
    story_begin(&story, seed);
    for (unsigned step = 0; step < 400; step++) {
        story_step(&story);
        if (step % 40 != 39) continue;
        struct buf before = BUF_EMPTY;
        struct recovery_counts counts;
        uint64_t appended = story.world.engine->vtable->appended(story.world.engine);
        CHECK(appended >= story.newest);
        recovery_describe(&story.world, &story.asked, false, &before);
        size_t size = story.kept.effects.size;
        int64_t now_ms = story.world.now_ms;
        uint64_t newest = story.newest;
        for (unsigned i = 0; i < 5; i++) story_step(&story);
        story.world.now_ms = now_ms;
        story.newest = newest;
        story.kept.effects.size = size; /* lost */
        story_compare(&story, size, &before, false, "before what was lost");
        contract_close(&story.world);
        story.world.engine = recovery_open(&story.kept, size, roll(&story, 2) ? &story.prng : NULL,
                                           (unsigned)roll(&story, 4), story.world.now_ms, &story.kept.journal, &counts);
        story.newest = counts.version;
        buf_fini(&before);
    }
    recovery_end(&story.world, &story.kept);
}

/* A snapshot that begins anywhere within the first write of a namespace, with what is told from then on, has both. */
static void a_snapshot_begins_while_a_namespace_does(void) {
    static struct story story;
    for (unsigned point = 1; point < 12; point++) {
        struct beginning begun = {.effects = BUF_EMPTY};
        struct buf before = BUF_EMPTY;
        story_begin(&story, point);
        contract_put(&story.world, "app", "id1", (struct put){0});
        beginning = &begun;
        interrupted = &story;
        contract_at_point(&story.world, point, story_interrupt);
        contract_put(&story.world, "web", "id0", (struct put){.user = TEXT("ann"), .client = TEXT("phone")});
        contract_at_point(&story.world, 0, NULL);
        if (beginning) snapshot_begin(&story);
        while (!begun.cursor.is_done) snapshot_slice(&story, &begun.cursor, &begun.effects);
        buf_append(&begun.effects, story.kept.effects.data + begun.told, story.kept.effects.size - begun.told);
        buf_fini(&story.kept.effects);
        story.kept.effects = begun.effects;
        recovery_describe(&story.world, &story.asked, false, &before);
        story_compare(&story, story.kept.effects.size, &before, false, "from a snapshot that began within a write");
        buf_fini(&before);
        recovery_end(&story.world, &story.kept);
    }
}

/* ---- many namespaces */

/* However many namespaces there are: what each file begins with, and each part of a snapshot, fits into a frame, and
 * all of them come back from either. */
static void many_namespaces_are_told_in_parts(void) {
    enum { COUNT = 5000 };
    static struct kept_journal kept;
    static char name[64];
    struct world world = recovery_begin(&kept, 1);
    struct snapshot_cursor cursor = {0};
    struct recovery_counts counts;
    struct kept_journal told = {.effects = BUF_EMPTY};
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "namespace %u of which each is somebody's", i);
        contract_put(&world, name, "a", (struct put){0});
    }
    world.engine->vtable->preamble(world.engine, &told.effects);
    CHECK(told.effects.size <= PREAMBLE_BYTES_MAX);
    while (!cursor.is_done) {
        size_t before = told.effects.size;
        world.engine->vtable->snapshot(world.engine, &cursor, &told.effects, 100000, world.now_ms);
        CHECK(told.effects.size - before < 1000000);
    }
    for (unsigned from = 0; from < 2; from++) {
        const struct kept_journal *kept_by = from ? &told : &kept;
        struct engine *engine = recovery_open(kept_by, kept_by->effects.size, NULL, 1, world.now_ms, NULL, &counts);
        CHECK_EQUAL(counts.namespaces, COUNT);
        CHECK_EQUAL(counts.sessions, COUNT);
        engine->vtable->close(engine);
    }
    buf_fini(&told.effects);
    recovery_end(&world, &kept);
}

/* ---- what was appended */

static uint64_t appended(const struct world *world) {
    return world->engine->vtable->appended(world->engine);
}

/* A put within a turn that stays open. */
static uint64_t put_inside(struct world *world, const char *namespace, const char *id, struct put put) {
    struct verb verb = verb_of(VERB_UPDATE, namespace, id);
    enum submit_state state;
    verb.update.rule = put_rule;
    verb.update.arguments = &put;
    world->engine->vtable->submit(world->engine, world->loop, &verb, &state, 1, world->now_ms);
    CHECK(verb.is_found);
    return verb.depends_on;
}

/* Nothing counts as appended as long as a loop may hold an earlier version back: also not what another loop wrote into
 * a namespace that the first one has made and not told yet. */
static void what_a_loop_holds_back_is_not_appended(void) {
    static struct kept_journal kept;
    struct world world = recovery_begin(&kept, 1), other = world;
    other.loop = 1;
    size_t before = kept.effects.size;
    world.engine->vtable->enter(world.engine, 0);
    uint64_t held = put_inside(&world, "web", "a", (struct put){0});
    CHECK(appended(&world) < held);
    CHECK_EQUAL(kept.effects.size, before);
    struct verb verb = contract_put(&other, "web", "b", (struct put){0});
    CHECK(kept.effects.size > before && verb.depends_on > held);
    CHECK(appended(&world) < held);
    world.engine->vtable->leave(world.engine, 0);
    CHECK_EQUAL(appended(&world), verb.depends_on);
    /* A turn that changes nothing holds nothing back. */
    world.engine->vtable->enter(world.engine, 0);
    verb = contract_put(&other, "web", "c", (struct put){0});
    CHECK_EQUAL(appended(&world), verb.depends_on);
    world.engine->vtable->leave(world.engine, 0);
    recovery_end(&world, &kept);
}

/* What is much is told before the turn ends, and in pieces that a log can take. */
static void much_is_appended_within_a_turn(void) {
    static struct kept_journal kept;
    static uint8_t data[5 + 20000] = {0xc6, 0, 0, 20000 >> 8, 20000 & 0xff};
    struct world world = recovery_begin(&kept, 1);
    uint64_t version = 0;
    kept.engine = world.engine;
    world.engine->vtable->enter(world.engine, 0);
    for (unsigned i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof(id), "id%u", i);
        version = put_inside(&world, "web", id, (struct put){.data = bytes_of(data, sizeof(data))});
    }
    CHECK(kept.appends >= 2 && kept.effects.size >= 2 * JOURNAL_APPEND_BYTES);
    CHECK(appended(&world) < version);
    world.engine->vtable->leave(world.engine, 0);
    CHECK_EQUAL(appended(&world), version);
    CHECK_EQUAL(kept.flushed, version); /* told to be written when nothing of it was held back any more */
    recovery_end(&world, &kept);
}

/* What another store wrote, or nobody, is refused with a reason. */
static void foreign_effects_are_refused(void) {
    static struct kept_journal kept, other;
    struct world world = recovery_begin(&kept, 1), stranger = recovery_begin(&other, 1);
    struct world empty = contract_open(1);
    const struct engine_vtable *vtable = empty.engine->vtable;
    const char *why = NULL;
    contract_put(&world, "web", "a", (struct put){0});
    struct bytes store = bytes_of(kept.effects.data, 5 + 192);
    struct bytes rest = bytes_of(kept.effects.data + store.size, kept.effects.size - store.size);
    CHECK(!vtable->apply(empty.engine, rest, &why) && why); /* before the keys */
    CHECK(vtable->apply(empty.engine, store, &why));
    CHECK(vtable->apply(empty.engine, store, &why)); /* each file begins with them */
    why = NULL;
    CHECK(!vtable->apply(empty.engine, bytes_of(other.effects.data, 5 + 192), &why) && why);
    why = NULL;
    CHECK(!vtable->apply(empty.engine, bytes_of(rest.data, rest.size - 1), &why) && why); /* cut off */
    CHECK(vtable->apply(empty.engine, rest, &why));
    vtable->close(empty.engine); /* also in the middle */
    recovery_end(&world, &kept);
    recovery_end(&stranger, &other);
}

/* A session's tombstone is that of the first clear after it, also when that one is long forgotten: later clears do not
 * keep its id from being used. The same of one that had died before, and of purges. */
static void the_first_of_many_ends_counts(void) {
    static struct kept_journal kept;
    static const struct asked asked = {namespaces, ids, users, clients, false};
    struct world world = recovery_begin(&kept, 1), after;
    struct recovery_counts counts;
    struct prng prng = {3};
    contract_configure(&world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 100));
    contract_put(&world, "web", "id0", (struct put){.user = TEXT("ann")});
    contract_put(&world, "web", "id1", (struct put){.idle_timeout_ms = 5});
    for (unsigned i = 0; i < 30; i++) {
        world.now_ms += 10;
        contract_end(&world, "web", i % 3 == 1 ? END_PURGE : END_CLEAR);
        contract_advance(&world);
        struct buf before = BUF_EMPTY, recovered = BUF_EMPTY;
        recovery_describe(&world, &asked, true, &before);
        after = world;
        after.engine = recovery_open(&kept, kept.effects.size, &prng, 1, world.now_ms, NULL, &counts);
        contract_advance(&after);
        recovery_describe(&after, &asked, true, &recovered);
        recovery_compare(&before, &recovered, "after many ends");
        contract_close(&after);
        buf_fini(&before);
        buf_fini(&recovered);
    }
    recovery_end(&world, &kept);
}

void contract_recovery_edges(void) {
    the_first_of_many_ends_counts();
    what_a_loop_holds_back_is_not_appended();
    a_snapshot_begins_while_a_namespace_does();
    many_namespaces_are_told_in_parts();
    much_is_appended_within_a_turn();
    foreign_effects_are_refused();
}

void contract_recovery(uint64_t seed) {
    story_of_comparing(seed);
    story_of_crashing(seed);
    story_of_snapshots(seed);
    story_of_depending(seed);
}
