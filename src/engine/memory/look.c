/* Finding what stands under an id, and judging whether it is alive: see memory.h.
 *
 * All judgement of a stored session is in record_judge, so that a read, a write, a limit, a list and the reaper cannot
 * disagree. It depends on the record, its namespace and the time, never on whether the reaper has been there, with one
 * exception: a record that was counted as dead (its mark says so) stays dead for a loop whose clock is a little behind.
 */
#include "engine/memory/memory.h"

/* The mark of a tombstone that is dated by its version. */
static uint64_t mark_of(uint64_t version) {
    return version < EPOCH_DROPPED ? tombstone_mark(version, version_time(version)) : 0;
}

static enum judged judge_alias(const struct namespace *namespace, const struct session *view, bool is_outdated,
                               int64_t now_ms, uint64_t *tombstone) {
    if (!is_outdated && now_ms < view->absolute_expires_at) return JUDGED_ALIAS;
    /* What is left of tombstone_ms counts from the regenerate, unless a clear came while it was readable. */
    int64_t retention_ms;
    uint64_t cleared_by = namespace_cleared_by(namespace, view->version, &retention_ms);
    bool was_cleared = is_outdated && view->absolute_expires_at > version_time(cleared_by);
    *tombstone = mark_of(was_cleared ? cleared_by : view->version);
    return JUDGED_FORGOTTEN;
}

/* One that is dead by its status or deadline. */
static enum judged judge_dead(const struct namespace *namespace, const struct session *view, bool is_outdated,
                              int64_t now_ms, uint64_t *tombstone) {
    int64_t died_at = session_died_at(view, now_ms);
    int64_t retention_ms = namespace_policy(namespace)->retention_ms;
    int64_t purged_at = namespace_purged_at(namespace, view->version, session_status_at(view, now_ms), died_at);
    uint64_t version = version_of_moment(died_at);
    if (view->version > version) version = view->version; /* it was written in that millisecond */
    *tombstone = tombstone_mark(version, died_at);
    /* Without retention at once, also where the version is of a moment that this loop's time has not reached. */
    bool is_over = retention_ms == 0 || now_ms >= died_at + retention_ms;
    if (!is_outdated) return is_over || purged_at != INT64_MAX ? JUDGED_FORGOTTEN : JUDGED_DEAD;
    /* If it was still to be seen when the namespace was cleared, that was its end. */
    uint64_t cleared_by = namespace_cleared_by(namespace, view->version, &retention_ms);
    int64_t cleared_at = version_time(cleared_by), forgotten_at = died_at + retention_ms;
    if (purged_at < forgotten_at) forgotten_at = purged_at;
    if (died_at > cleared_at || forgotten_at > cleared_at) *tombstone = mark_of(cleared_by);
    return JUDGED_FORGOTTEN;
}

enum judged record_judge(const struct memory_engine *engine, const struct record *record, uint64_t active,
                         int64_t *now_ms, struct session *view, uint64_t *tombstone) {
    const struct terms *terms = record_terms(engine, record);
    bool is_outdated = record_version(record) <= namespace_epoch(terms->namespace);
    record_view_life(record, terms, active, view);
    *tombstone = 0;
    if (view->is_alias) return judge_alias(terms->namespace, view, is_outdated, *now_ms, tombstone);
    if (active & RECORD_MARK_REAPED && session_deadline(view) > *now_ms) *now_ms = session_deadline(view);
    if (!session_is_alive(view, *now_ms)) return judge_dead(terms->namespace, view, is_outdated, *now_ms, tombstone);
    if (!is_outdated) return JUDGED_ALIVE;
    int64_t retention_ms;
    *tombstone = mark_of(namespace_cleared_by(terms->namespace, view->version, &retention_ms));
    return JUDGED_FORGOTTEN;
}

/* One whose deadlines are its terms', and which is certainly alive: its deadline. 0: who knows. */
static inline int64_t plain_due(const struct memory_engine *engine, const struct record *record, int64_t now_ms) {
    const unsigned others = RECORD_HAS_ABSOLUTE | RECORD_HAS_TIMEOUTS | RECORD_IS_ALIAS;
    uint64_t active = record_active(record);
    const struct terms *terms = record_terms(engine, record);
    unsigned flags = record_flags(record);
    if (!status_is_living((enum status)(flags & 15)) || flags & others || active & RECORD_MARK_REAPED) return 0;
    if (record_version(record) <= namespace_epoch(terms->namespace)) return 0;
    struct session life = {.created_at = record_created_at(record),
                           .last_active_at = (int64_t)(active >> 16),
                           .idle_timeout_ms = terms->idle_timeout_ms,
                           .absolute_timeout_ms = terms->absolute_timeout_ms,
                           .abandon_timeout_ms = terms->abandon_timeout_ms};
    int64_t deadline = session_deadline(&life);
    return deadline > now_ms ? deadline : 0;
}

int64_t record_next_due(const struct memory_engine *engine, const struct record *record, int64_t now_ms) {
    int64_t due_at = plain_due(engine, record, now_ms);
    if (due_at) return due_at;
    struct session view;
    uint64_t tombstone;
    enum judged judged = record_judge(engine, record, record_active(record), &now_ms, &view, &tombstone);
    return record_due(engine, record, judged, &view, now_ms);
}

int64_t record_due(const struct memory_engine *engine, const struct record *record, enum judged judged,
                   const struct session *view, int64_t now_ms) {
    switch (judged) {
    case JUDGED_ALIVE: {
        int64_t deadline = session_deadline(view);
        return deadline ? deadline : INT64_MAX;
    }
    case JUDGED_ALIAS: return view->absolute_expires_at;
    case JUDGED_DEAD:
        return session_died_at(view, now_ms) + namespace_policy(record_terms(engine, record)->namespace)->retention_ms;
    case JUDGED_FORGOTTEN: break;
    }
    return now_ms;
}

struct record *record_find(struct memory_engine *engine, const struct namespace *namespace, uint64_t hash,
                           struct bytes id, _Atomic uint64_t **slot) {
    struct table_find find = table_find_in(shard_root(engine, hash), engine->shard_bits, hash);
    for (struct record *record; (record = table_next(&find));) {
        if (record_id_size(record) != id.size) continue;
        if (memcmp(record->payload, id.data, id.size) != 0) continue;
        if (record_terms(engine, record)->namespace != namespace) continue;
        if (slot) *slot = find.slot;
        return record;
    }
    return NULL;
}

bool tombstone_counts(const struct namespace *namespace, uint64_t mark, int64_t now_ms) {
    int64_t tombstone_ms = namespace_policy(namespace)->tombstone_ms, died_at = tombstone_died_at(mark);
    uint64_t version = tombstone_version(mark), last = version_of_moment(died_at + 1) - 1;
    if (!version || !tombstone_ms || now_ms >= died_at + tombstone_ms) return false;
    if (version > last) version = last; /* the floor is of moments, too */
    return version > atomic_load_explicit(&((struct namespace *)namespace)->tombstone_floor, memory_order_acquire);
}

uint64_t missing_depends(const struct memory_engine *engine, const struct namespace *namespace, uint64_t hash) {
    if (!engine->journal) return 0;
    uint64_t newest = atomic_load_explicit(&((struct memory_engine *)engine)->registry.dropped, memory_order_acquire);
    if (!namespace) return newest;
    struct shard *shard = shard_of((struct memory_engine *)engine, hash);
    depend_on(&newest, atomic_load_explicit(&shard->removed, memory_order_acquire));
    depend_on(&newest, atomic_load_explicit(&((struct namespace *)namespace)->changed, memory_order_acquire));
    return newest;
}

uint64_t sight_depends(const struct memory_engine *engine, const struct namespace *namespace, uint64_t hash,
                       const struct sight *sight) {
    uint64_t newest = sight->version;
    if (sight->presence == PRESENCE_ALIVE) return newest;
    if (sight->record) depend_on(&newest, record_version(sight->record));
    depend_on(&newest, missing_depends(engine, namespace, hash));
    return newest;
}

/* Judges the record that was found, or looks for a tombstone (under the lock). */
static void sight_judge(struct context *context, struct namespace *namespace, uint64_t hash, bool is_locked,
                        struct sight *sight) {
    uint64_t tombstone = 0;
    sight->now_ms = context->now_ms;
    sight->judged = JUDGED_FORGOTTEN;
    if (sight->record) {
        sight->active = record_active(sight->record);
        sight->judged =
            record_judge(context->engine, sight->record, sight->active, &sight->now_ms, &sight->view, &tombstone);
        sight->version = sight->view.version;
        switch (sight->judged) {
        case JUDGED_ALIVE: sight->presence = PRESENCE_ALIVE; return;
        case JUDGED_DEAD: sight->presence = PRESENCE_DEAD; return;
        case JUDGED_ALIAS: sight->presence = PRESENCE_TOMBSTONE; return;
        case JUDGED_FORGOTTEN: break;
        }
    } else if (is_locked) {
        tombstone = tombstone_find(&shard_of(context->engine, hash)->tombstones, hash);
    }
    bool counts = tombstone_counts(namespace, tombstone, context->now_ms);
    sight->presence = counts ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
    sight->version = counts ? tombstone_version(tombstone) : 0;
}

/* Whether the id, which was just found missing, had neither a record nor a tombstone at one moment: the shard had no
 * tombstone and got none while it is looked at once more. One look at the count would not do: between the look at the
 * record and that one a destroyed session may have been revived, and taken the last tombstone with it. */
static bool is_unknown(struct context *context, const struct namespace *namespace, uint64_t hash, struct bytes id) {
    struct shard *shard = shard_of(context->engine, hash);
    uint64_t stamp = atomic_load_explicit(&shard->tombstone_stamp, memory_order_acquire);
    if ((uint32_t)stamp || record_find(context->engine, namespace, hash, id, NULL)) return false;
    /* The look loaded its slots with acquire, so this comes behind it. */
    return atomic_load_explicit(&shard->tombstone_stamp, memory_order_acquire) == stamp;
}

/* What needs no judgement. */
static inline bool sight_view_alive(struct context *context, struct sight *sight) {
    if (!sight->record) return false;
    sight->active = record_active(sight->record);
    if (!record_view_alive(context->engine, sight->record, sight->active, context->now_ms, &sight->view)) return false;
    sight->presence = PRESENCE_ALIVE;
    sight->judged = JUDGED_ALIVE;
    sight->version = sight->view.version;
    sight->now_ms = context->now_ms;
    return true;
}

/* Without a new judgement: what was alive at this moment is so still, if nobody has touched or cleared it. */
static inline bool sight_holds_alive(struct context *context, const struct namespace *namespace, uint64_t hash,
                                     struct sight *sight) {
    const struct table *table = &shard_of(context->engine, hash)->table;
    bool is_in_place = table_root(table) == sight->root &&
                       table_slot_record(atomic_load_explicit(sight->slot, memory_order_relaxed)) == sight->record;
    return is_in_place && sight->now_ms == context->now_ms && record_active(sight->record) == sight->active &&
           record_version(sight->record) > namespace_epoch(namespace);
}

void sight_take(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id, bool is_locked,
                bool is_sure, struct sight *sight) {
    struct shard *shard = shard_of(context->engine, hash);
    sight->slot = NULL;
    sight->root = table_root(&shard->table);
    sight->record = record_find(context->engine, namespace, hash, id, &sight->slot);
    if (!sight->record && !is_locked && (is_sure || !is_unknown(context, namespace, hash, id))) {
        /* The record may have gone, or come, between the two looks: only both under the lock are one look. */
        shard_take(context->engine, shard);
        sight->root = table_root(&shard->table);
        sight->record = record_find(context->engine, namespace, hash, id, &sight->slot);
        sight_judge(context, namespace, hash, true, sight);
        shard_release(shard);
    } else if (sight_view_alive(context, sight)) {
        return;
    } else {
        sight_judge(context, namespace, hash, is_locked, sight);
    }
    if (sight->presence == PRESENCE_ALIVE || sight->presence == PRESENCE_DEAD)
        record_view_bytes(sight->record, &sight->view);
}

bool sight_holds(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id,
                 struct sight *sight) {
    struct sight now;
    now.slot = NULL;
    now.record = NULL;
    if (namespace_is_dropped(namespace)) return false;
    if (sight->presence == PRESENCE_ALIVE && sight_holds_alive(context, namespace, hash, sight)) return true;
    if (sight->record) {
        /* The same record is still there: no need to compare ids again. */
        now.slot = table_slot_of(&shard_of(context->engine, hash)->table, hash, sight->record);
        if (!now.slot) return false;
        now.record = sight->record;
    } else {
        if (record_find(context->engine, namespace, hash, id, NULL)) return false;
    }
    sight_judge(context, namespace, hash, true, &now);
    if (now.presence != sight->presence || (now.record && now.active != sight->active)) return false;
    sight->slot = now.slot;
    sight->version = now.version;
    return true;
}
