/* GET and TOUCH: see memory.h.
 *
 * A GET takes no lock: what it finds was published whole, and stays valid until the turn ends. A touch moves one word
 * under the shard's lock, because a store without it would be lost to a set that publishes its copy at that moment. */
#include "engine/memory/stage.h"

/* The usage of what was read, where it is in a pool; the answer depends on it too. */
static void verb_add_usage(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash) {
    uint64_t told = session_add_usage(context, namespace, hash, &verb->session, &verb->usage);
    depend_on(&verb->depends_on, told);
}

static void verb_answer(struct verb *verb, bool is_found, uint64_t depends_on) {
    verb->is_found = is_found;
    verb->depends_on = depends_on;
    verb->error.code = ERROR_NONE;
}

/* An alias answers its target as it is now, under the id that was asked: a fixated old id never learns its successor.
 */
static bool alias_view(struct context *context, struct namespace *namespace, const struct record *alias,
                       struct session *out, uint64_t *depends_on) {
    struct memory_engine *engine = context->engine;
    struct session view;
    record_view_bytes(alias, &view);
    uint64_t hash = id_hash(engine, namespace, view.replaced_by), tombstone;
    struct record *target = record_find(engine, namespace, hash, view.replaced_by, NULL);
    int64_t now_ms = context->now_ms;
    depend_on(depends_on, record_version(alias));
    if (target) depend_on(depends_on, record_version(target));
    if (!target || record_judge(engine, target, record_active(target), &now_ms, out, &tombstone) != JUDGED_ALIVE) {
        depend_on(depends_on, missing_depends(engine, namespace, hash));
        return false;
    }
    record_view_bytes(target, out);
    out->id = view.id;
    return true;
}

bool session_read(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id,
                  bool include_dead, struct session *out, uint64_t *depends_on) {
    struct memory_engine *engine = context->engine;
    struct record *record = record_find(engine, namespace, hash, id, NULL);
    int64_t now_ms = context->now_ms;
    uint64_t tombstone, active = record ? record_active(record) : 0;
    enum judged judged = JUDGED_FORGOTTEN;
    if (record && record_view_alive(engine, record, active, now_ms, out)) {
        depend_on(depends_on, out->version);
        return true;
    }
    if (record) {
        judged = record_judge(engine, record, active, &now_ms, out, &tombstone);
        depend_on(depends_on, record_version(record));
    }
    switch (judged) {
    case JUDGED_ALIVE: break;
    case JUDGED_ALIAS: return alias_view(context, namespace, record, out, depends_on);
    case JUDGED_DEAD:
    case JUDGED_FORGOTTEN:
        depend_on(depends_on, missing_depends(engine, namespace, hash));
        if (judged == JUDGED_FORGOTTEN || !include_dead) return false;
        break;
    }
    record_view_bytes(record, out);
    return true;
}

bool sight_touch(struct context *context, const struct namespace *namespace, struct sight *sight) {
    int64_t touch_after_ms = namespace_policy(namespace)->touch_after_ms;
    int64_t touched_at = session_touched_at(&sight->view, touch_after_ms, sight->now_ms);
    if (touched_at == sight->view.last_active_at) return false;
    /* Its bucket stays armed for the earlier deadline; when that comes the reaper arms it again. */
    record_set_active(sight->record, (uint64_t)touched_at << 16 | (sight->active & 0xffff));
    sight->view.last_active_at = touched_at;
    counter_add(&context->loop->counters.touched, 1);
    return true;
}

/* Moves last_active_at of what is alive. Fills sight; the session is its view. */
static void session_touch(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id,
                          struct sight *sight) {
    struct shard *shard = shard_of(context->engine, hash);
    shard_take(context->engine, shard);
    sight_take(context, namespace, hash, id, true, false, sight);
    bool is_moved = sight->presence == PRESENCE_ALIVE && sight_touch(context, namespace, sight);
    shard_release(shard);
    if (is_moved && stage_is_wanted(context)) stage_touch(context, hash, sight->version, sight->view.last_active_at);
    if (sight->presence == PRESENCE_ALIVE)
        client_note_touch(context, namespace, sight->view.client, session_entry(&sight->view, hash),
                          sight->view.last_active_at < context->now_ms);
}

/* How much is asked for of the next records: an eighth of the way towards this one. */
static inline void read_note_size(struct loop *loop, const struct session *session) {
    size_t bytes = sizeof(struct record) + session->id.size + session->data.size;
    if (bytes > READ_PREFETCH_MAX) bytes = READ_PREFETCH_MAX;
    loop->read_bytes = (uint32_t)((loop->read_bytes * 7 + bytes + 7) / 8);
}

void verb_get(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash) {
    uint64_t depends_on = 0;
    if (!namespace) {
        verb_answer(verb, false, missing_depends(context->engine, NULL, 0));
        return;
    }
    if (!verb->get.is_touch) {
        bool include_dead = verb->get.include_dead;
        bool is_found = session_read(context, namespace, hash, verb->id, include_dead, &verb->session, &depends_on);
        verb_answer(verb, is_found, depends_on);
        if (is_found) read_note_size(context->loop, &verb->session);
        if (is_found && verb->session.pool.data) verb_add_usage(context, verb, namespace, hash);
        return;
    }
    bool include_dead = verb->get.include_dead;
    struct sight sight;
    session_touch(context, namespace, hash, verb->id, &sight);
    bool is_found = sight.presence == PRESENCE_ALIVE || (include_dead && sight.presence == PRESENCE_DEAD);
    if (is_found) verb->session = sight.view;
    if (is_found) read_note_size(context->loop, &verb->session);
    /* An alias may be read, not written: its target is not touched through it. */
    if (sight.record && sight.judged == JUDGED_ALIAS)
        is_found = alias_view(context, namespace, sight.record, &verb->session, &depends_on);
    depend_on(&depends_on, sight_depends(context->engine, namespace, hash, &sight));
    verb_answer(verb, is_found, depends_on);
    if (is_found && verb->session.pool.data) verb_add_usage(context, verb, namespace, hash);
}

void verb_touch(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash) {
    verb_answer(verb, false, missing_depends(context->engine, NULL, 0));
    if (!namespace) return;
    struct sight sight;
    session_touch(context, namespace, hash, verb->id, &sight);
    verb->depends_on = sight_depends(context->engine, namespace, hash, &sight);
    switch (sight.presence) {
    case PRESENCE_NONE: return;
    case PRESENCE_ALIVE:
        verb->is_found = true;
        verb->session = sight.view;
        verb_add_usage(context, verb, namespace, hash);
        return;
    case PRESENCE_DEAD:
        verb->error = error_make(ERROR_GONE, "The session is no longer alive and a touch cannot bring it back; make a "
                                             "new session.");
        verb->error.status = session_status(&sight.view, sight.now_ms);
        verb->error.version = sight.view.version;
        return;
    case PRESENCE_TOMBSTONE:
        verb->error = error_make(ERROR_GONE, "The session was destroyed and its id takes no writes now; make a new "
                                             "session.");
        return;
    }
}
