/* MOVE: one record to a new id, in one step under both shards' locks. See memory.h.
 *
 * Both ids are looked at without a lock, the new record (and the alias) are built outside, and under the two locks both
 * have to stand as they were seen. A reader without a lock may see the new id a moment before the old one goes, never
 * neither. It is the only verb in which a session changes its name while somebody ends its group: whoever does
 * counts itself in the group first and looks at its members then, so a move that finds one at work tells it where the
 * session goes (ending.h); one that found none has entered the group before and is among those members. */
#include "engine/memory/ending.h"
#include "engine/memory/stage.h"

enum step { STEP_DONE, STEP_AGAIN };

static const uint8_t empty_map[] = {0x80};

struct move {
    struct verb *verb;
    struct namespace *namespace;
    uint64_t old_hash, new_hash;
    struct sight old, new;
    struct session draft;
    struct places places;
    struct bytes leaves[GROUPS_MAX];     /* groups of the old record */
    struct bytes new_leaves[GROUPS_MAX]; /* of a forgotten record that stands under the new id */
    struct birth birth;                  /* as in struct update */
    struct record *record, *alias;
    uint64_t noted; /* endings_generation when it was last written down where the session goes; 0: never */
};

static enum step move_fail(struct move *move, struct error error) {
    move->verb->error = error;
    move->verb->outcome = OUTCOME_ERROR;
    move->verb->is_found = false;
    return STEP_DONE;
}

static enum step move_keep(struct context *context, struct move *move) {
    bool is_found = move->old.presence == PRESENCE_ALIVE || move->old.presence == PRESENCE_DEAD;
    move->verb->is_found = is_found && move->verb->outcome != OUTCOME_ERROR;
    move->verb->depends_on = sight_depends(context->engine, move->namespace, move->old_hash, &move->old);
    if (move->verb->is_found) {
        move->verb->session = move->old.view;
        uint64_t told =
            session_add_usage(context, move->namespace, move->old_hash, &move->verb->session, &move->verb->usage);
        depend_on(&move->verb->depends_on, told);
    }
    return STEP_DONE;
}

/* Whether the new id may be taken. */
static bool move_look_new(struct context *context, struct move *move, struct error *error) {
    sight_take(context, move->namespace, move->new_hash, move->draft.id, false, false, &move->new);
    if (bytes_equal(move->draft.id, move->verb->id) || move->new.presence == PRESENCE_ALIVE) {
        *error = error_make(ERROR_EXISTS, "The new id is taken; choose another one.");
        return false;
    }
    if (move->new.presence == PRESENCE_NONE) return true;
    *error = error_make(ERROR_GONE, "The new id belonged to a session that is gone, and takes no writes now; choose "
                                    "another one.");
    return false;
}

static void move_needs(struct context *context, struct move *move, struct needs *needs) {
    struct bytes old_groups[GROUPS_MAX];
    needs_of(context, move->namespace, move->new_hash, &move->new, &move->draft, needs, move->new_leaves);
    for (unsigned k = 0; k < GROUPS_MAX; k++) {
        old_groups[k] = record_group(move->old.record, GROUP_USER + k);
        move->leaves[k] = old_groups[k];
        /* Within its group it only changes its name: that takes no place. */
        if (move->old.presence == PRESENCE_ALIVE && old_groups[k].data && needs->groups[k].data &&
            bytes_equal(old_groups[k], needs->groups[k]))
            needs->is_limited[k] = false;
    }
    /* Within its pool it keeps its place and its usage. */
    struct bytes old_pool = old_groups[GROUP_POOL - GROUP_USER];
    bool stays_in_pool = old_pool.data && move->draft.pool.data && bytes_equal(old_pool, move->draft.pool);
    move->places.pool_old_hash = move->old_hash;
    move->places.pool_old_version = stays_in_pool ? record_version(move->old.record) : 0;
    if (stays_in_pool) needs->takes_pool_place = false;
    if (move->old.presence == PRESENCE_ALIVE) needs->takes_session = false;
    needs->growth_bytes -= (int64_t)slab_size(record_size(move->old.record));
    if (move->verb->move.grace_ms) needs->growth_bytes += (int64_t)slab_size(sizeof(struct record) + 2 * LIMIT_MAX_ID);
}

static struct record *alias_new(struct context *context, struct move *move) {
    struct session alias = {.id = move->verb->id,
                            .replaced_by = move->draft.id,
                            .data = bytes_of(empty_map, sizeof(empty_map)),
                            .status = STATUS_REPLACED,
                            .status_at = context->now_ms,
                            .created_at = context->now_ms,
                            .last_active_at = context->now_ms,
                            .absolute_expires_at = context->now_ms + move->verb->move.grace_ms,
                            .is_alias = true};
    return record_new(context, move->namespace, &alias, NULL);
}

static bool move_build(struct context *context, struct move *move) {
    move->alias = NULL;
    move->record = record_new(context, move->namespace, &move->draft, move->old.record);
    if (!move->record) return false;
    if (!move->verb->move.grace_ms) return true;
    move->alias = alias_new(context, move);
    if (move->alias) return true;
    record_free(context, move->record);
    return false;
}

static void move_discard(struct context *context, struct move *move) {
    record_free(context, move->record);
    if (move->alias) record_free(context, move->alias);
}

static void move_lock(struct context *context, struct shard *a, struct shard *b) {
    struct shard *first = a->index <= b->index ? a : b, *second = a->index <= b->index ? b : a;
    shard_take(context->engine, first);
    if (second != first) lock_take(&second->lock);
}

static void move_unlock(struct shard *a, struct shard *b) {
    if (a != b) shard_release(b);
    shard_release(a);
}

/* Whether an end is at work on a group in which the session stays. */
static bool place_is_ending(const struct move *move, unsigned k) {
    const struct place *place = &move->places.groups[k];
    return place->is_held && move->leaves[k].data &&
           bytes_equal(move->leaves[k], bytes_of(place->name, place->name_size)) && atomic_load(&place->group->ending);
}

/* Whether one is that does not know of this move, or cannot have it now. */
static bool group_is_ending(const struct context *context, const struct move *move) {
    for (unsigned k = 0; k < GROUPS_MAX; k++)
        if (place_is_ending(move, k))
            return move->noted != endings_generation(context->engine) || atomic_load(&context->engine->chasing);
    return false;
}

/* Has ends of groups know where the session goes. False where memory is lacking. */
static bool move_note(struct context *context, struct move *move) {
    struct memory_engine *engine = context->engine;
    struct group_entry from = record_entry(move->old.record, move->old_hash);
    struct group_entry to = session_entry(&move->draft, move->new_hash);
    uint64_t before = endings_generation(engine), noted = before;
    move->noted = 0;
    if (!group_is_ending(context, move)) return true;
    for (unsigned k = 0; k < GROUPS_MAX; k++) {
        uint64_t generation;
        if (!place_is_ending(move, k)) continue;
        if (!moves_note(engine, move->places.groups[k].group->hash, from, to, &generation)) return false;
        if (generation != before) noted = 0; /* another end began: that of a group which this one passed over? */
    }
    move->noted = noted;
    return true;
}

enum commit { COMMITTED, STALE, ENDING, LACKING };

/* Under both locks. */
static enum commit move_commit(struct context *context, struct move *move, struct shard *old_shard,
                               struct shard *new_shard) {
    uint64_t version = version_take(context);
    namespace_settle_epoch(move->namespace);
    if (!sight_holds(context, move->namespace, move->old_hash, move->verb->id, &move->old)) return STALE;
    if (!sight_holds(context, move->namespace, move->new_hash, move->draft.id, &move->new)) return STALE;
    if (group_is_ending(context, move)) return ENDING;
    if (!record_set_version(move->record, version)) return STALE;
    if (move->alias && !record_set_version(move->alias, version)) return STALE;
    pool_begin_life(&move->places, version);
    if (!shard_place(context, new_shard, move->new_hash, &move->new, move->record)) return LACKING;
    /* That may have replaced the table's array, and the slot that was seen with it. */
    move->old.slot = table_slot_of(&old_shard->table, move->old_hash, move->old.record);
    if (move->alias) {
        shard_place(context, old_shard, move->old_hash, &move->old, move->alias);
    } else {
        shard_note_removed(old_shard, version);
        shard_bury(context, move->namespace, old_shard, move->old_hash, tombstone_mark(version, context->now_ms));
        shard_remove(context, old_shard, move->old.slot, move->old.record);
        table_trim(&old_shard->table, context->loop->index);
    }
    event_moved(context, old_shard, &move->old, new_shard, &move->new, move->record);
    return COMMITTED;
}

/* `active` is the record's word as it was published: the answer knows nothing of a touch after that. */
static void move_finish(struct context *context, struct move *move, uint64_t active) {
    struct verb *verb = move->verb;
    pool_confirm(context, &move->places);
    stage_move(context, move->record, move->alias, verb->id);
    clients_note_entered(context, move->namespace, &move->places);
    places_settle(move->namespace, &move->places);
    if (move->leaves[1].data && bytes_equal(move->leaves[1], move->draft.client))
        client_note_move(context, move->namespace, move->draft.client, record_entry(move->old.record, move->old_hash),
                         session_entry(&move->draft, move->new_hash));
    groups_leave(context, move->namespace, move->old_hash, move->old.record, move->leaves);
    record_retire(context, move->old.record);
    if (move->new.record) {
        groups_leave(context, move->namespace, move->new_hash, move->new.record, move->new_leaves);
        record_retire(context, move->new.record);
    }
    record_view_life(move->record, record_terms(context->engine, move->record), active, &verb->session);
    record_view_bytes(move->record, &verb->session);
    uint64_t told = session_add_usage(context, move->namespace, move->new_hash, &verb->session, &verb->usage);
    verb->is_found = true;
    verb->depends_on = told > record_version(move->record) ? told : record_version(move->record);
}

static enum step move_replace(struct context *context, struct move *move) {
    struct memory_engine *engine = context->engine;
    struct needs needs;
    struct error error;
    assert(move->old.presence == PRESENCE_ALIVE || move->old.presence == PRESENCE_DEAD);
    draft_normalise(context, &move->old, &move->draft, &move->birth);
    move->new_hash = id_hash(engine, move->namespace, move->draft.id);
    if (!move_look_new(context, move, &error)) return move_fail(move, error);
    move_needs(context, move, &needs);
    if (!places_match(&move->places, &needs)) {
        places_give_back(context, move->namespace, &move->places);
        if (!places_take(context, &needs, &move->places, &error)) return move_fail(move, error);
    }
    if (!move_note(context, move) || !move_build(context, move))
        return move_fail(move, error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later."));
    size_t size = record_size(move->record) + (move->alias ? record_size(move->alias) : 0);
    if (!stage_reserve(context, size)) {
        move_discard(context, move);
        return move_fail(move, error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later."));
    }
    uint64_t active = record_active(move->record);
    struct shard *old_shard = shard_of(engine, move->old_hash), *new_shard = shard_of(engine, move->new_hash);
    move_lock(context, old_shard, new_shard);
    enum commit commit = move_commit(context, move, old_shard, new_shard);
    move_unlock(old_shard, new_shard);
    if (commit == COMMITTED) {
        move_finish(context, move, active);
        return STEP_DONE;
    }
    move_discard(context, move);
    if (commit == LACKING)
        return move_fail(move, error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later."));
    if (commit == ENDING && atomic_load(&engine->chasing)) sched_yield(); /* for a few microseconds */
    return STEP_AGAIN;
}

static enum step move_try(struct context *context, struct move *move) {
    struct verb *verb = move->verb;
    if (!move->namespace || namespace_is_dropped(move->namespace)) {
        if (move->namespace) places_give_back(context, move->namespace, &move->places);
        move->namespace = registry_find(&context->engine->registry, verb->namespace);
    }
    move->old.record = NULL;
    move->old.presence = PRESENCE_NONE;
    move->old.version = 0;
    move->old.now_ms = context->now_ms;
    if (move->namespace) {
        move->old_hash = id_hash(context->engine, move->namespace, verb->id);
        sight_take(context, move->namespace, move->old_hash, verb->id, false, false, &move->old);
    }
    verb->outcome = rule_run(context, move->namespace, &move->old, verb->move.rule, verb->move.arguments, false,
                             &move->draft, &verb->error);
    assert(verb->outcome != OUTCOME_REMOVE);
    return verb->outcome == OUTCOME_REPLACE ? move_replace(context, move) : move_keep(context, move);
}

void verb_move(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct move move;
    move.verb = verb;
    move.namespace = namespace;
    move.birth.number = 0;
    move.noted = 0;
    places_init(&move.places);
    while (move_try(context, &move) == STEP_AGAIN) counter_add(&context->loop->counters.retries, 1);
    if (move.namespace) places_give_back(context, move.namespace, &move.places);
}
