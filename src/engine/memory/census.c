/* See census.h. */
#include "engine/memory/census.h"

#include <string.h>

#define CENSUS_CHUNK 32 /* records asked of memory at a time */

bool record_is_dead_for_good(const struct memory_engine *engine, const struct record *record, uint64_t active) {
    return !status_is_living(record_status(record)) || active & RECORD_MARK_REAPED ||
           record_version(record) <= namespace_epoch(record_terms(engine, record)->namespace);
}

/* ---- one entry */

/* Takes a living session among the victims, where it belongs there. Several are found by one look, since a limit may
 * have been set far below what a group had: looking through all of it for each would take the square of its size. */
static void note_victim(struct census *census, struct record *record, struct group_entry entry, int64_t active_at) {
    struct victim *victims = census->victims;
    bool is_full = census->victim_count == census->victim_max;
    if (is_full && (!census->prefers_idle || census->victim_max == 0 ||
                    victims[census->victim_count - 1].active_at <= active_at)) {
        if (active_at < census->idle_from) census->idle_from = active_at;
        return;
    }
    if (is_full && victims[census->victim_count - 1].active_at < census->idle_from)
        census->idle_from = victims[census->victim_count - 1].active_at;
    uint32_t at = census->victim_count - is_full;
    for (; census->prefers_idle && at > 0 && victims[at - 1].active_at > active_at; at--) victims[at] = victims[at - 1];
    victims[at] = (struct victim){record, entry, active_at};
    census->victim_count += !is_full;
}

static void note_unknown(struct census *census, struct group_entry entry) {
    if (group_entry_age(entry) < census->unknown_from) census->unknown_from = group_entry_age(entry);
}

enum found { FOUND_ALIVE, FOUND_DEAD, FOUND_DUE, FOUND_UNKNOWN };

/* Judges the session of an entry; FOUND_UNKNOWN: it is not published yet, or not there any more. */
static enum found entry_judge(struct context *context, const struct group_key *key, struct group_entry entry,
                              struct record **record, struct session *view) {
    int64_t now_ms = context->now_ms;
    uint64_t tombstone;
    *record = group_entry_record(context->engine, key, entry);
    if (!*record) return FOUND_UNKNOWN;
    uint64_t active = record_active(*record);
    if (record_judge(context->engine, *record, active, &now_ms, view, &tombstone) == JUDGED_ALIVE) return FOUND_ALIVE;
    return record_is_dead_for_good(context->engine, *record, active) ? FOUND_DEAD : FOUND_DUE;
}

/* Looks at one entry that is not marked. True: it is dead for good. */
static bool census_entry(struct context *context, const struct group_key *key, struct group_entry entry,
                         struct census *census) {
    struct record *record;
    struct session view;
    switch (entry_judge(context, key, entry, &record, &view)) {
    case FOUND_DEAD: return true;
    case FOUND_DUE:
        census->due = record;
        census->due_hash = entry.hash;
        census->due_count++;
        note_unknown(census, entry);
        return false;
    case FOUND_UNKNOWN:
        census->living++, census->under_way++;
        note_unknown(census, entry);
        return false;
    case FOUND_ALIVE: break;
    }
    int64_t deadline = session_deadline(&view);
    census->living++;
    if (deadline && deadline < census->until_ms) census->until_ms = deadline;
    note_victim(census, record, entry, view.last_active_at);
    return false;
}

/* ---- many */

/* Looks at all entries from a position on. */
static void census_from(struct context *context, struct group *group, const struct group_key *key,
                        struct group_position from, struct census *census) {
    struct group_entry last = {0, 0};
    bool has_last = false;
    for (uint32_t i = from.leaf; i < group->leaf_count; i++, from.index = 0) {
        struct group_leaf *leaf = group_leaf(group, i);
        bool is_all_dead = leaf->dead_count == leaf->count;
        for (uint32_t j = is_all_dead ? leaf->count - 1u : from.index; j < leaf->count; j++) {
            struct group_entry entry = leaf->entries[j];
            bool is_copy = has_last && group_entry_equal(last, entry);
            if (!is_all_dead && (j - from.index) % CENSUS_CHUNK == 0)
                group_entries_prefetch(context->engine, leaf->entries + j,
                                       leaf->count - j < CENSUS_CHUNK ? leaf->count - j : CENSUS_CHUNK);
            if (!group_entry_is_dead(entry)) {
                /* A second entry for one id is that of a write under way: it counts, whatever the record is now. */
                if (is_copy)
                    census->living++, census->under_way++, note_unknown(census, entry);
                else if (census_entry(context, key, entry, census))
                    group_mark_dead(group, (struct group_position){i, j});
            }
            last = entry;
            has_last = true;
        }
    }
}

static bool victims_are_kept(const struct group *group, const struct census *census) {
    return census->prefers_idle && census->wants_victims && group->count - group->dead_count >= CENSUS_KEEPS_FROM;
}

/* How many victims a whole census looks for: those to be ended, and those who may be next. */
static uint32_t victims_wanted(const struct group *group, const struct census *census) {
    uint64_t entries = group->count - group->dead_count, excess = entries - census->max + 1; /* at most */
    uint64_t wanted = census->wants_victims ? excess : 0, kept = entries / CENSUS_IDLE_SHARE;
    if (kept < CENSUS_IDLE_MIN) kept = CENSUS_IDLE_MIN;
    if (victims_are_kept(group, census) && wanted < kept) wanted = kept;
    return wanted < EVICT_BATCH ? (uint32_t)wanted : EVICT_BATCH;
}

/* ---- what is kept */

/* A moment up to which any loop has marked what was due, and at least this loop's: another clock may be ahead. */
static int64_t latest_ms(const struct context *context) {
    int64_t reaped_ms = atomic_load(&context->engine->reaped_ms);
    return reaped_ms > context->now_ms ? reaped_ms : context->now_ms;
}

/* Keeps what a whole census found. `stirs` is how many had begun before it, and none was under way then. */
static void census_keep(struct context *context, struct group *group, const struct census *census, uint32_t stirs,
                        uint64_t epoch) {
    struct slab *slab = &context->engine->slab;
    uint32_t idle_count = victims_are_kept(group, census) ? census->victim_count : 0;
    if (group->known && group->known->idle_capacity < idle_count) group_forget(slab, group);
    if (!group->known) group->known = group_known_new(slab, context->loop->index, idle_count);
    struct group_known *known = group->known;
    if (!known) return;
    known->stirs = stirs;
    known->epoch = epoch;
    known->until_ms = census->until_ms;
    known->unknown_from = census->unknown_from;
    known->idle_first = 0;
    known->idle_count = idle_count;
    known->idle_from = idle_count ? census->idle_from : INT64_MIN;
    for (uint32_t i = 0; i < idle_count; i++)
        known->idle[i] = (struct group_idle){census->victims[i].entry, census->victims[i].active_at};
}

static bool known_stands(const struct context *context, const struct group *group, const struct group_key *key) {
    const struct group_known *known = group->known;
    return known && known->stirs == atomic_load(&stir_of(context->engine, key->hash)->begun) &&
           known->epoch == namespace_epoch(key->namespace) && latest_ms(context) < known->until_ms;
}

/* The oldest living ones, as many as are wanted. Of equal entries the first is that of the record. */
static void find_oldest(struct context *context, struct group *group, const struct group_key *key,
                        struct census *census) {
    struct group_entry last = {0, 0};
    for (uint32_t i = 0; i < group->leaf_count; i++) {
        const struct group_leaf *leaf = group_leaf(group, i);
        for (uint32_t j = 0; leaf->dead_count < leaf->count && j < leaf->count; j++) {
            struct record *record;
            struct session view;
            struct group_entry entry = leaf->entries[j];
            bool is_copy = group_entry_equal(last, entry);
            last = entry;
            if (is_copy || group_entry_is_dead(entry) ||
                entry_judge(context, key, entry, &record, &view) != FOUND_ALIVE)
                continue;
            note_victim(census, record, entry, view.last_active_at);
            if (census->victim_count == census->victim_max) return;
        }
    }
}

/* Whether an idle member is to be ended before the best so far: the longest idle is, of those the oldest. */
static bool idle_is_before(struct group_entry entry, int64_t active_at, const struct victim *best) {
    if (!best->record || active_at != best->active_at) return !best->record || active_at < best->active_at;
    uint64_t age = group_entry_age(entry), best_age = group_entry_age(best->entry);
    return age != best_age ? age < best_age : entry.hash < best->entry.hash;
}

/* The one that has been idle longest. Who was kept may have been active since, and nobody became idle longer than it
 * was. False: it cannot be told from those that were kept. */
static bool find_idle(struct context *context, struct group_known *known, const struct group_key *key,
                      struct census *census) {
    struct victim best = {.record = NULL};
    for (uint32_t i = known->idle_first; i < known->idle_count; i++) {
        struct group_idle *idle = &known->idle[i];
        struct record *record;
        struct session view;
        if (best.record && best.active_at < idle->active_at) break;
        if (entry_judge(context, key, idle->entry, &record, &view) == FOUND_ALIVE) {
            if (idle_is_before(idle->entry, view.last_active_at, &best))
                best = (struct victim){record, idle->entry, view.last_active_at};
        } else if (i == known->idle_first) {
            known->idle_first++;
        }
    }
    if (!best.record || best.active_at >= known->idle_from) return false;
    census->victims[census->victim_count++] = best;
    return true;
}

/* From what is known. False: a whole census is needed. */
static bool census_from_known(struct context *context, struct group *group, const struct group_key *key,
                              struct census *census) {
    struct group_known *known = group->known;
    struct group_entry first = {known->unknown_from << 1, 0};
    if (known->unknown_from != UINT64_MAX) {
        census_from(context, group, key, group_seek(group, first), census);
        known->unknown_from = census->unknown_from;
        if (census->until_ms < known->until_ms) known->until_ms = census->until_ms;
        if (census->idle_from < known->idle_from) known->idle_from = census->idle_from;
    }
    census->living = group->count - group->dead_count - census->due_count;
    uint64_t excess = census->living >= census->max ? census->living - census->max + 1 : 0;
    census->victim_max = excess < EVICT_BATCH ? (uint32_t)excess : EVICT_BATCH;
    if (!census->wants_victims || !excess || census->due) return true;
    if (census->prefers_idle) return excess == 1 && find_idle(context, known, key, census);
    find_oldest(context, group, key, census);
    return true;
}

static void census_begin(struct context *context, struct census *census) {
    census->living = census->under_way = census->due_count = census->victim_count = census->victim_max = 0;
    census->due = NULL;
    census->victims = context->loop->victims;
    census->until_ms = census->idle_from = INT64_MAX;
    census->unknown_from = UINT64_MAX;
}

void group_census(struct context *context, struct group *group, const struct group_key *key, struct census *census) {
    struct stir *stir = stir_of(context->engine, key->hash);
    census_begin(context, census);
    if (known_stands(context, group, key) && census_from_known(context, group, key, census)) return;
    uint32_t ended = atomic_load(&stir->ended), begun = atomic_load(&stir->begun);
    uint64_t epoch = namespace_epoch(key->namespace);
    census_begin(context, census);
    census->victim_max = victims_wanted(group, census);
    census_from(context, group, key, (struct group_position){0, 0}, census);
    if (key->kind == GROUP_USER && group->count - group->dead_count >= CENSUS_KEEPS_FROM && begun == ended)
        census_keep(context, group, census, begun, epoch);
    else if (group->known)
        group_forget(&context->engine->slab, group);
}

void group_mark_ended(struct context *context, const struct group_key *key, const struct victim *victims,
                      uint32_t count) {
    struct group_table *table = group_table_of(context->engine, key);
    group_table_take(context->engine, table);
    struct group *group = group_find(table, key);
    for (uint32_t i = 0; group && i < count; i++) {
        struct group_position at = group_seek(group, victims[i].entry);
        struct record *record;
        struct session view;
        if (at.leaf == group->leaf_count) continue;
        struct group_entry entry = group_leaf(group, at.leaf)->entries[at.index];
        if (group_entry_equal(entry, victims[i].entry) && !group_entry_is_dead(entry) &&
            entry_judge(context, key, entry, &record, &view) == FOUND_DEAD)
            group_mark_dead(group, at);
    }
    lock_release(&table->lock);
}
