/* RETURN (mark, release, renew) and CONFIGURE of a pool: see pool_visit.h. */
#include "engine/memory/pool_line.h"
#include "engine/memory/pool_visit.h"
#include "engine/memory/stage.h"

/* ---- returning */

static struct error use_error(void) {
    return error_make(ERROR_CONFLICT, "The session was never handed out under this use; give the number that acquire "
                                      "answered, or none.");
}

static struct error fence_error(void) {
    return error_make(ERROR_CONFLICT, "The session has been leased again since this fence, or never was; acquire it "
                                      "anew.");
}

static struct error lacking_error(void) {
    return error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
}

static struct error lease_error(void) {
    return error_make(ERROR_CONFLICT, "The lease is closed: it was released or its time is over; acquire the session "
                                      "anew.");
}

static bool entry_renew(struct verb *verb, struct pool_entry *entry, int64_t now_ms) {
    uint64_t use = verb->pool_return.use;
    if (!entry_is_leased(entry) || (use && use != entry->lease_use)) {
        verb->error = lease_error();
        return false;
    }
    entry->usage.lease_expires_at = now_ms + verb->pool_return.lease_ms;
    return true;
}

/* A mark with a status code that blocks nobody changes nothing: a journal need not be told. */
static bool return_changes(const struct pool *pool, const struct verb *verb) {
    const struct mark_outcome *outcome = &verb->pool_return.outcome;
    const struct status_codes *extra = verb->pool_return.extra_codes;
    return verb->pool_return.kind != RETURN_MARK || outcome->kind != MARK_STATUS_CODE ||
           status_codes_have(&pool->policy.blocked_status_codes, outcome->status_code) ||
           (extra && status_codes_have(extra, outcome->status_code));
}

/* What the verb does to the entry. */
static void entry_return(struct visit *visit, struct verb *verb, struct pool_entry *entry) {
    uint64_t use = verb->pool_return.use, fence = verb->pool_return.fence;
    int64_t now_ms = visit->context->now_ms;
    bool was_retired = false;
    if (use > entry->uses.handed) verb->error = use_error();
    if (fence && fence != entry->fence) verb->error = fence_error();
    if (verb->error.code) return;
    switch (verb->pool_return.kind) {
    case RETURN_MARK:
        was_retired =
            entry_mark(visit->pool, entry, verb->pool_return.outcome, verb->pool_return.extra_codes, use, now_ms);
        counter_add(&visit->context->loop->counters.marked, 1);
        break;
    case RETURN_RELEASE: was_retired = entry_release(visit->pool, entry, use, fence != 0, now_ms); break;
    case RETURN_RENEW:
        if (!entry_renew(verb, entry, now_ms)) return;
        break;
    }
    if (was_retired) visit_note_retired(visit, entry);
    if (return_changes(visit->pool, verb)) stage_usage(visit->context, entry, 0);
    verb->is_found = true;
    verb->usage = entry->usage;
    visit_settle(visit, entry);
    verb->is_usable = entry->holds_place;
}

/* The record, if it is there for anybody to see. */
static struct record *record_seen(struct context *context, struct namespace *namespace, uint64_t hash,
                                  struct bytes id) {
    struct record *record = namespace ? record_find(context->engine, namespace, hash, id, NULL) : NULL;
    struct session view;
    int64_t now_ms = context->now_ms;
    uint64_t tombstone;
    if (!record) return NULL;
    switch (record_judge(context->engine, record, record_active(record), &now_ms, &view, &tombstone)) {
    case JUDGED_ALIVE:
    case JUDGED_DEAD: return record;
    case JUDGED_ALIAS:
    case JUDGED_FORGOTTEN: break;
    }
    return NULL;
}

void verb_return(struct context *context, struct verb *verb, struct namespace *namespace) {
    verb->error = stage_reserve(context, 0) ? error_make(ERROR_NONE, NULL) : lacking_error();
    verb->is_found = false;
    verb->depends_on = 0;
    if (verb->error.code) return;
    uint64_t hash = namespace ? id_hash(context->engine, namespace, verb->id) : 0;
    struct record *record = record_seen(context, namespace, hash, verb->id);
    struct bytes name = record ? record_group(record, GROUP_POOL) : BYTES_ABSENT;
    struct visit visit;
    if (!name.data || !visit_begin(&visit, context, namespace, name, false)) {
        verb->depends_on = version_newest(context);
        return;
    }
    struct pool_entry *entry = pool_entry_of(visit.pool, hash, record_version(record));
    if (entry && !visit.pool->is_dropped) visit_catch_up(&visit, entry);
    if (entry && !entry->is_reserved && !entry->is_forgotten && !visit.pool->is_dropped)
        entry_return(&visit, verb, entry);
    verb->depends_on = verb->is_found || verb->error.code ? record_version(record) : version_newest(context);
    if (entry && entry->told > verb->depends_on) verb->depends_on = entry->told;
    visit_end(&visit);
}

/* ---- configuring */

static void answer_state(struct verb *verb, const struct pool *pool) {
    struct pool_state *state = &verb->pool_state;
    *state = (struct pool_state){.policy = pool->policy,
                                 .exists = pool->has_policy || pool->kept_count > 0,
                                 .usable_count = pool->usable_count,
                                 .retired_count = pool->retired_count,
                                 .leased_count = pool->leased_count,
                                 .cooling_count = pool->cooling_count,
                                 .held_count = pool->hold_count,
                                 .waiting_count = pool->waiting_count};
    verb->is_found = state->exists;
}

static void change_policy(struct visit *visit, const struct pool_policy_change *change) {
    struct pool *pool = visit->pool;
    uint64_t max_concurrent = pool->policy.max_concurrent;
    assert(visit->context->engine->pool_policy_apply);
    visit->context->engine->pool_policy_apply(&pool->policy, change);
    pool->has_policy = true;
    stage_pool(visit->context, pool);
    pool_note_news(pool, UINT64_MAX);
    /* Nothing else of it goes into what an entry is. */
    if (pool->policy.max_concurrent != max_concurrent) pool_begin_round(pool, ROUND_SETTLE);
}

/* A pool that is there takes no memory for another policy. */
static bool configure_begin(struct visit *visit, struct context *context, struct namespace *namespace,
                            struct bytes name) {
    return visit_begin_whole(visit, context, namespace, name, false) ||
           (memory_makes_room(context, 0, (int64_t)sizeof(struct pool)) &&
            visit_begin_whole(visit, context, namespace, name, true));
}

/* Changes the policy, unless the pool is behind. False: the namespace was dropped meanwhile. */
static bool configure_change(struct context *context, struct verb *verb, struct namespace *namespace,
                             enum submit_state *state) {
    struct visit visit;
    if (!stage_reserve(context, 0)) {
        verb->error = lacking_error();
        return true;
    }
    if (!configure_begin(&visit, context, namespace, verb->configure.group_name)) {
        if (namespace_is_dropped(namespace)) return false;
        verb->error = lacking_error();
        return true;
    }
    bool is_dropped = visit.pool->is_dropped;
    if (!is_dropped && visit.is_behind) {
        *state = SUBMIT_AGAIN;
    } else if (!is_dropped) {
        change_policy(&visit, verb->configure.pool_change);
        answer_state(verb, visit.pool);
        verb->depends_on = version_newest(context);
    }
    visit_end(&visit);
    return !is_dropped;
}

static enum submit_state state_read(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct visit visit;
    bool is_behind = false;
    if (namespace && visit_begin_whole(&visit, context, namespace, verb->configure.group_name, false)) {
        is_behind = visit.is_behind;
        if (!visit.pool->is_dropped && !is_behind) answer_state(verb, visit.pool);
        visit_end(&visit);
    }
    verb->depends_on = version_newest(context); /* on how all its sessions are */
    return is_behind ? SUBMIT_AGAIN : SUBMIT_DONE;
}

enum submit_state verb_configure_pool(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    enum submit_state state = SUBMIT_DONE;
    verb->pool_state = (struct pool_state){0};
    if (!verb->configure.pool_change) return state_read(context, verb, namespace);
    do {
        namespace = namespace_make(context, verb->namespace, engine->registry.default_policy.hash_ids, &verb->error);
    } while (namespace && !configure_change(context, verb, namespace, &state));
    return state;
}
