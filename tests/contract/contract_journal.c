/* What the engine does by itself while its journal takes no writes, and what a snapshot and a late journal make
 * together.
 */
#include "recovery.h"

void contract_full_journal(void) {
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 1);
    contract_put(&world, "web", "a", (struct put){.idle_timeout_ms = 1000000, .client = TEXT("phone")});
    contract_put(&world, "web", "b", (struct put){.idle_timeout_ms = 1000000, .client = TEXT("phone")});
    struct verb purging = verb_of(VERB_CONFIGURE, "web", NULL);
    purging.configure.sets_purging = purging.configure.is_purging = true;
    purging.configure.purge_interval_ms = 50000;
    contract_submit(&world, &purging);
    size_t size = kept.effects.size;
    atomic_store(&kept.journal.state, JOURNAL_FULL);
    for (unsigned i = 0; i < 10; i++) {
        world.now_ms += 100000;
        contract_get_touch(&world, "web", i % 2 ? "a" : "b");
        contract_advance(&world); /* a purge is due */
    }
    struct verb verb = contract_get_touch(&world, "web", "a");
    CHECK(verb.is_found && verb.session.last_active_at == world.now_ms);
    CHECK_EQUAL(kept.effects.size, size); /* reads go on, and what waits for the disk grows no more */
    atomic_store(&kept.journal.state, JOURNAL_OPEN);
    world.now_ms += 1000;
    contract_advance(&world);
    CHECK(kept.effects.size > size); /* what was put off is done */
    size = kept.effects.size;
    world.now_ms += 40000;
    contract_get_touch(&world, "web", "b");
    CHECK(kept.effects.size > size);
    recovery_end(&world, &kept);
}

static unsigned busy_answers;

static bool note_busy_answer(unsigned loop, struct verb *verb) {
    (void)loop;
    CHECK(verb->kind == VERB_END_ALL && verb->scan_result.total == 3000);
    busy_answers++;
    return true;
}

static void busy_advance(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    vtable->enter(world->engine, 0);
    vtable->advance(world->engine, 0, world->now_ms, 1000);
    vtable->leave(world->engine, 0);
}

/* The end of a large group, while as much waits for the disk as may: in its turn nearly nothing more is added. */
void contract_busy_journal(void) {
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 1);
    char id[16];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(id, sizeof(id), "id%u", i);
        contract_put(&world, "web", id, (struct put){.idle_timeout_ms = 1000000, .user = TEXT("ann")});
    }
    struct verb verb = verb_of(VERB_END_ALL, "web", NULL);
    verb.end_all.end = END_REVOKE;
    verb.end_all.group = GROUP_USER;
    verb.end_all.group_name = TEXT("ann");
    contract_done = note_busy_answer;
    CHECK(contract_try(&world, &verb) == SUBMIT_PENDING);
    atomic_store(&kept.journal.state, JOURNAL_BUSY);
    size_t size = kept.effects.size;
    for (unsigned i = 0; i < 100; i++, world.now_ms += 3) busy_advance(&world);
    CHECK_EQUAL(kept.effects.size, size);
    CHECK_EQUAL(busy_answers, 0);
    atomic_store(&kept.journal.state, JOURNAL_OPEN);
    for (unsigned i = 0; i < 5; i++, world.now_ms += 3) busy_advance(&world);
    CHECK(kept.effects.size > size);
    CHECK_EQUAL(busy_answers, 1);
    recovery_end(&world, &kept);
}

/* All of a snapshot that is made now. */
static void snapshot_whole(struct world *world, struct buf *out) {
    struct snapshot_cursor cursor = {0};
    world->engine->vtable->preamble(world->engine, out);
    while (!cursor.is_done) world->engine->vtable->snapshot(world->engine, &cursor, out, 1, world->now_ms);
}

/* One loop makes a session and is slow to tell; another one destroys it and tells that at once, before the snapshot. */
void contract_late_effects(void) {
    struct kept_journal kept;
    struct recovery_counts counts;
    struct world world = recovery_begin(&kept, 1);
    const struct engine_vtable *vtable = world.engine->vtable;
    struct put put = {.idle_timeout_ms = 1000000, .data = BYTES_LITERAL("\x80"), .must_be_new = true};
    contract_configure(&world, "web", policy_set((struct policy_change){0}, POLICY_TOMBSTONE_MS, 0));
    struct verb verb = verb_of(VERB_UPDATE, "web", "late");
    enum submit_state state;
    verb.update.rule = put_rule;
    verb.update.arguments = &put;
    vtable->enter(world.engine, 0);
    vtable->submit(world.engine, 0, &verb, &state, 1, world.now_ms);
    CHECK(state == SUBMIT_DONE && verb.outcome == OUTCOME_REPLACE);
    world.loop = 1;
    CHECK(contract_remove(&world, "web", "late").is_found);
    struct buf effects = BUF_EMPTY;
    size_t begin = kept.effects.size;
    snapshot_whole(&world, &effects);
    vtable->leave(world.engine, 0);
    CHECK(kept.effects.size > begin); /* only now the session is told */
    buf_append(&effects, kept.effects.data + begin, kept.effects.size - begin);
    buf_fini(&kept.effects);
    kept.effects = effects;
    struct world after = world;
    after.engine = recovery_open(&kept, kept.effects.size, NULL, 2, world.now_ms, NULL, &counts);
    CHECK(!contract_get(&after, "web", "late", true).is_found);
    CHECK(counts.version >= vtable->appended(world.engine));
    contract_close(&after);
    recovery_end(&world, &kept);
}
