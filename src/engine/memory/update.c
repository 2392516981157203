/* UPDATE: from a rule to a published record. See memory.h.
 *
 * The rule runs on what a look without a lock found, the record is built outside the lock, and under it everything that
 * the rule saw has to stand unchanged: the same record with the same activity, or still none. Otherwise all is done
 * again; the third time the rule runs under the lock, so that a slow writer is not overtaken for ever. Places in groups
 * and under limits are taken before, with no lock held, and given back where they are not used. */
#include "engine/memory/stage.h"

#define UPDATE_LOCKED_ATTEMPT 2

enum step { STEP_DONE, STEP_AGAIN };

/* What one attempt works with. */
struct attempt {
    struct sight sight;
    struct session draft;
    struct shard *shard; /* NULL: there is no namespace yet */
    bool is_locked;      /* the rule ran under the lock, which is held */
};

static struct scratch *rule_scratch(struct context *context, bool is_internal) {
    struct scratch *scratch = is_internal ? &context->loop->internal_scratch : &context->loop->scratch;
    scratch->size = 0;
    return scratch;
}

enum outcome rule_run(struct context *context, const struct namespace *namespace, const struct sight *sight,
                      update_rule rule, const void *arguments, bool is_internal, struct session *draft,
                      struct error *error) {
    bool has_old = sight->presence == PRESENCE_ALIVE || sight->presence == PRESENCE_DEAD;
    struct update_input input = {.old = has_old ? &sight->view : NULL,
                                 .presence = sight->presence,
                                 .policy = namespace ? namespace_policy(namespace)
                                                     : &context->engine->registry.default_policy,
                                 .arguments = arguments,
                                 .now_ms = sight->now_ms,
                                 .scratch = rule_scratch(context, is_internal),
                                 .pool_policy = is_internal ? NULL : context->pool_policy};
    if (has_old)
        *draft = sight->view;
    else
        memset(draft, 0, sizeof(*draft));
    *error = error_make(ERROR_NONE, NULL);
    return rule(&input, draft, error);
}

static int64_t moment_clamp(int64_t moment) {
    const int64_t last = (INT64_C(1) << 48) - 1;
    return moment < 0 ? 0 : moment > last ? last : moment;
}

void draft_normalise(struct context *context, const struct sight *old, struct session *draft, struct birth *birth) {
    assert(draft->status > STATUS_NONE && draft->status < STATUS_END && draft->data.data);
    draft->created_at = moment_clamp(draft->created_at);
    draft->last_active_at = moment_clamp(draft->last_active_at);
    if (draft->absolute_expires_at < 0) draft->absolute_expires_at = 1;
    /* A draft that began as a copy goes on with what it has. */
    if (draft->birth && draft->created_at == old->view.created_at) return;
    if (!birth->number || birth->created_at != draft->created_at) *birth = birth_give(context, draft->created_at);
    draft->birth = birth->number;
}

static struct bytes draft_group(const struct session *draft, unsigned k) {
    if (draft->is_alias) return BYTES_ABSENT;
    return k == 0 ? draft->user : k == 1 ? draft->client : draft->pool;
}

void needs_of(struct context *context, struct namespace *namespace, uint64_t hash, const struct sight *old,
              const struct session *draft, struct needs *needs, struct bytes leaves[GROUPS_MAX]) {
    bool is_old_seen = old->presence == PRESENCE_ALIVE || old->presence == PRESENCE_DEAD;
    bool is_alive = !draft->is_alias && session_is_alive(draft, context->now_ms);
    needs->namespace = namespace;
    needs->policy = namespace_policy(namespace);
    needs->id = draft->id;
    needs->hash = hash;
    needs->entry = session_entry(draft, hash);
    needs->takes_session = is_alive && old->presence != PRESENCE_ALIVE;
    bool has_groups = draft->user.data || draft->client.data || draft->pool.data;
    has_groups |= old->record && record_has_groups(old->record);
    for (unsigned k = 0; k < GROUPS_MAX; k++) {
        needs->groups[k] = leaves[k] = BYTES_ABSENT;
        needs->is_limited[k] = false;
    }
    for (unsigned k = 0; has_groups && k < GROUPS_MAX; k++) {
        struct bytes before = old->record ? record_group(old->record, GROUP_USER + k) : BYTES_ABSENT;
        struct bytes after = draft_group(draft, k);
        bool stays = is_old_seen && !needs->takes_session && before.data && after.data && bytes_equal(before, after) &&
                     group_entry_equal(record_entry(old->record, hash), needs->entry);
        if (stays) continue;
        needs->groups[k] = after;
        leaves[k] = before;
    }
    needs->draft = draft;
    needs->takes_pool_place = is_alive;
    needs->is_limited[0] = is_alive && needs->policy->max_sessions_per_user > 0;
    needs->is_limited[1] = is_alive && needs->policy->single_session;
    /* What ends a session may always be written: it is how memory comes back. */
    needs->growth_bytes = 0;
    if (status_is_living(draft->status))
        needs->growth_bytes = (int64_t)slab_size(record_size_of(draft, &(struct record_frame){0})) -
                              (is_old_seen ? (int64_t)slab_size(record_size(old->record)) : 0);
}

void groups_leave(struct context *context, struct namespace *namespace, uint64_t hash, const struct record *old,
                  const struct bytes leaves[GROUPS_MAX]) {
    for (unsigned k = 0; k < GROUPS_MAX; k++) {
        if (!leaves[k].data) continue;
        struct group_key key = group_key_of(context->engine, namespace, GROUP_USER + k, leaves[k]);
        group_leave(context, &key, record_entry(old, hash), true);
        if (key.kind == GROUP_POOL) pool_leave(context, namespace, leaves[k], hash, record_version(old));
    }
}

static void attempt_release(struct attempt *attempt) {
    if (attempt->is_locked) shard_release(attempt->shard);
    attempt->is_locked = false;
}

static enum step update_fail(struct update *update, struct attempt *attempt, struct error error) {
    attempt_release(attempt);
    update->error = error;
    update->outcome = OUTCOME_ERROR;
    update->is_found = false;
    return STEP_DONE;
}

static const struct error no_memory = {
    .code = ERROR_NO_MEMORY, .message = "The server lacks memory for this; try again later.", .limit = -1};

/* Under the lock: takes a version, for `fresh` unless that is NULL, and sees whether what the rule saw still stands. */
static bool update_lock(struct context *context, struct update *update, struct attempt *attempt, struct record *fresh,
                        uint64_t *version) {
    if (!attempt->is_locked) shard_take(context->engine, attempt->shard);
    attempt->is_locked = true;
    *version = version_take(context);
    namespace_settle_epoch(update->namespace);
    if (sight_holds(context, update->namespace, update->hash, update->id, &attempt->sight) &&
        (!fresh || record_set_version(fresh, *version)))
        return true;
    attempt_release(attempt);
    return false;
}

static enum step update_replace(struct context *context, struct update *update, struct attempt *attempt,
                                struct places *places) {
    struct needs needs;
    struct bytes leaves[GROUPS_MAX];
    uint64_t version;
    attempt->draft.id = update->id;
    draft_normalise(context, &attempt->sight, &attempt->draft, &update->birth);
    needs_of(context, update->namespace, update->hash, &attempt->sight, &attempt->draft, &needs, leaves);
    if (!places_match(places, &needs)) {
        bool was_locked = attempt->is_locked;
        struct error error;
        attempt_release(attempt);
        places_give_back(context, update->namespace, places);
        if (!places_take(context, &needs, places, &error)) return update_fail(update, attempt, error);
        if (was_locked) return STEP_AGAIN; /* the rule ran under a lock that was let go */
    }
    struct record *old = attempt->sight.record;
    struct record *fresh = record_new(context, update->namespace, &attempt->draft, old);
    if (!fresh) return update_fail(update, attempt, no_memory);
    if (stage_is_wanted(context) && !stage_reserve(context, record_size(fresh))) {
        record_free(context, fresh);
        return update_fail(update, attempt, no_memory);
    }
    uint64_t active = record_active(fresh); /* as it is published: the answer knows nothing of a touch after that */
    if (!update_lock(context, update, attempt, fresh, &version)) {
        record_free(context, fresh);
        return STEP_AGAIN;
    }
    pool_begin_life(places, version);
    attempt->draft.version = version;
    if (attempt->draft.event) /* what it stands for is published next, and cannot fail: `old` has its place */
        event_put(context, attempt->shard, update->namespace, attempt->draft.event, &attempt->draft, version,
                  context->now_ms);
    if (!shard_publish(context, attempt->shard, update->hash, &attempt->sight, fresh)) {
        record_free(context, fresh);
        return update_fail(update, attempt, no_memory);
    }
    attempt_release(attempt);
    bool enters_pool = places->pool_entry != NULL;
    /* As it enters: who waits may be handed it before the answer is written. */
    if (enters_pool && update->usage && attempt->draft.usage) {
        *update->usage = *attempt->draft.usage;
        update->has_usage = true;
    }
    if (enters_pool) pool_confirm(context, places);
    if (stage_is_wanted(context)) {
        stage_put(context, fresh);
        clients_note_entered(context, update->namespace, places);
    }
    places_settle(update->namespace, places);
    if (!enters_pool && record_more(fresh) & RECORD_MORE_POOL)
        pool_note(context, update->namespace, update->hash, fresh);
    if (old) {
        if (record_has_groups(old)) groups_leave(context, update->namespace, update->hash, old, leaves);
        record_retire(context, old);
    }
    record_view(fresh, record_terms(context->engine, fresh), active, update->session);
    if (attempt->draft.is_touch)
        client_note_touch(context, update->namespace, update->session->client,
                          session_entry(update->session, update->hash), false);
    update->is_found = true;
    update->depends_on = version;
    return STEP_DONE;
}

static enum step update_remove(struct context *context, struct update *update, struct attempt *attempt) {
    uint64_t version;
    assert(attempt->sight.presence == PRESENCE_ALIVE || attempt->sight.presence == PRESENCE_DEAD);
    if (!update_lock(context, update, attempt, NULL, &version)) return STEP_AGAIN;
    struct record *record = attempt->sight.record;
    shard_note_removed(attempt->shard, version);
    /* The tombstone first: who finds no record without the lock must find that there are tombstones. */
    shard_bury(context, update->namespace, attempt->shard, update->hash, tombstone_mark(version, context->now_ms));
    event_removed(context, attempt->shard, record, version);
    shard_remove(context, attempt->shard, attempt->sight.slot, record);
    table_trim(&attempt->shard->table, context->loop->index);
    attempt_release(attempt);
    if (stage_is_wanted(context)) stage_remove(context, update->namespace, version, update->id);
    *update->session = attempt->sight.view;
    uint64_t told = 0;
    if (update->usage)
        told = session_add_usage(context, update->namespace, update->hash, update->session, update->usage);
    record_leave_groups(context, update->hash, record);
    record_retire(context, record);
    update->is_found = true;
    update->depends_on = told > version ? told : version;
    return STEP_DONE;
}

/* Nothing changes: the answer is what was seen. */
static enum step update_keep(struct context *context, struct update *update, struct attempt *attempt) {
    attempt_release(attempt);
    update->is_found = attempt->sight.presence == PRESENCE_ALIVE || attempt->sight.presence == PRESENCE_DEAD;
    if (update->is_found) *update->session = attempt->sight.view;
    update->depends_on = sight_depends(context->engine, update->namespace, update->hash, &attempt->sight);
    return STEP_DONE;
}

/* A touch that is thinned away changes nothing, and needs no lock for it. */
static enum step update_touch(struct context *context, struct update *update, struct attempt *attempt) {
    struct sight *sight = &attempt->sight;
    int64_t touch_after_ms = namespace_policy(update->namespace)->touch_after_ms;
    bool is_moved = false;
    assert(sight->presence == PRESENCE_ALIVE);
    if (session_touched_at(&sight->view, touch_after_ms, sight->now_ms) != sight->view.last_active_at) {
        if (!attempt->is_locked) shard_take(context->engine, attempt->shard);
        attempt->is_locked = true;
        if (!sight_holds(context, update->namespace, update->hash, update->id, sight)) {
            attempt_release(attempt);
            return STEP_AGAIN;
        }
        is_moved = sight_touch(context, update->namespace, sight);
    }
    update_keep(context, update, attempt);
    if (is_moved && stage_is_wanted(context))
        stage_touch(context, update->hash, sight->version, sight->view.last_active_at);
    client_note_touch(context, update->namespace, sight->view.client, session_entry(&sight->view, update->hash),
                      sight->view.last_active_at < context->now_ms);
    return STEP_DONE;
}

/* Sees to it that the namespace is one that still has its name. */
static void update_resolve(struct context *context, struct update *update) {
    if (update->namespace && !namespace_is_dropped(update->namespace)) return;
    update->namespace = registry_find(&context->engine->registry, update->namespace_name);
    if (update->namespace) update->hash = id_hash(context->engine, update->namespace, update->id);
}

/* The namespace comes into being with its first write; then the rule runs again, on what is there by now. */
static enum step update_make_namespace(struct context *context, struct update *update, struct attempt *attempt) {
    struct memory_engine *engine = context->engine;
    struct error error;
    update->namespace =
        namespace_make(context, update->namespace_name, engine->registry.default_policy.hash_ids, &error);
    if (!update->namespace) return update_fail(update, attempt, error);
    update->hash = id_hash(engine, update->namespace, update->id);
    return STEP_AGAIN;
}

static void attempt_look(struct context *context, struct update *update, struct attempt *attempt, bool is_locked) {
    attempt->is_locked = false;
    attempt->shard = NULL;
    if (!update->namespace) {
        attempt->sight.record = NULL;
        attempt->sight.presence = PRESENCE_NONE;
        attempt->sight.version = 0;
        attempt->sight.now_ms = context->now_ms;
        return;
    }
    attempt->shard = shard_of(context->engine, update->hash);
    if (is_locked) shard_take(context->engine, attempt->shard);
    attempt->is_locked = is_locked;
    sight_take(context, update->namespace, update->hash, update->id, is_locked, false, &attempt->sight);
}

static enum step update_try(struct context *context, struct update *update, struct places *places, bool is_locked) {
    struct attempt attempt;
    struct namespace *before = update->namespace;
    update_resolve(context, update);
    if (before && update->namespace != before) places_give_back(context, before, places);
    attempt_look(context, update, &attempt, is_locked);
    update->outcome = rule_run(context, update->namespace, &attempt.sight, update->rule, update->arguments,
                               update->is_internal, &attempt.draft, &update->error);
    switch (update->outcome) {
    case OUTCOME_KEEP: return update_keep(context, update, &attempt);
    case OUTCOME_ERROR:
        assert(update->error.code != ERROR_NONE);
        update_keep(context, update, &attempt);
        update->is_found = false;
        /* Rules refuse by the policy too. */
        depend_on(&update->depends_on, missing_depends(context->engine, update->namespace, update->hash));
        return STEP_DONE;
    case OUTCOME_REMOVE: return update_remove(context, update, &attempt);
    case OUTCOME_TOUCH: return update_touch(context, update, &attempt);
    case OUTCOME_REPLACE: break;
    }
    if (!update->namespace) return update_make_namespace(context, update, &attempt);
    return update_replace(context, update, &attempt, places);
}

void update_run(struct context *context, struct update *update) {
    struct places places;
    places_init(&places);
    places.claim = update->claim;
    for (unsigned attempts = 0; update_try(context, update, &places, attempts >= UPDATE_LOCKED_ATTEMPT) == STEP_AGAIN;
         attempts++)
        counter_add(&context->loop->counters.retries, 1);
    if (update->namespace) places_give_back(context, update->namespace, &places);
}

void verb_update(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash) {
    struct update update = {.namespace_name = verb->namespace,
                            .namespace = namespace,
                            .id = verb->id,
                            .hash = hash,
                            .rule = verb->update.rule,
                            .arguments = verb->update.arguments,
                            .usage = &verb->usage,
                            .session = &verb->session};
    struct pool_policy pool_policy;
    uint64_t told = 0;
    if (verb->update.pool.data && context->engine->pool_session_make) {
        pool_policy_read(context, namespace, verb->update.pool, &pool_policy);
        context->pool_policy = &pool_policy;
    }
    update_run(context, &update);
    context->pool_policy = NULL;
    if (update.has_usage)
        update.session->usage = update.usage;
    else if (update.is_found && update.outcome != OUTCOME_REMOVE && update.session->pool.data)
        told = session_add_usage(context, update.namespace, update.hash, update.session, update.usage);
    verb->error = update.error;
    verb->outcome = update.outcome;
    verb->is_found = update.is_found;
    verb->depends_on = told > update.depends_on ? told : update.depends_on;
}

/* ---- ending one of a group */

struct member_end {
    const struct group_key *group;
    const struct ending_kind *kind;
};

static enum outcome end_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct member_end *end = input->arguments;
    const struct ending_kind *kind = end->kind;
    (void)error;
    if (input->presence != PRESENCE_ALIVE && input->presence != PRESENCE_DEAD) return OUTCOME_KEEP;
    struct bytes name = draft_group(draft, end->group->kind - GROUP_USER);
    if (!name.data || !bytes_equal(name, end->group->name)) return OUTCOME_KEEP;
    if (kind->to == STATUS_NONE) return OUTCOME_REMOVE;
    if (!status_can_become(session_status(input->old, input->now_ms), kind->to)) return OUTCOME_KEEP;
    draft->status = kind->to;
    draft->status_at = input->now_ms;
    draft->reason = kind->reason;
    draft->replaced_by = kind->by;
    return OUTCOME_REPLACE;
}

bool session_end(struct context *context, struct namespace *namespace, const struct group_key *group, uint64_t hash,
                 const struct record *record, const struct ending_kind *kind, uint64_t *version) {
    struct member_end end = {group, kind};
    struct session session;
    struct update update = {.namespace_name = namespace_name(namespace),
                            .namespace = namespace,
                            .id = record_id(record),
                            .hash = hash,
                            .rule = end_rule,
                            .arguments = &end,
                            .is_internal = true,
                            .session = &session};
    update_run(context, &update);
    if (version) *version = update.depends_on;
    if (update.outcome != OUTCOME_REPLACE && update.outcome != OUTCOME_REMOVE) return false;
    if (kind->to == STATUS_REVOKED) counter_add(&context->loop->counters.revoked, 1);
    stage_relieve(context->engine, context->loop); /* a group may have a hundred thousand */
    return true;
}
