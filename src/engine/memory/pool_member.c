/* How sessions come into pools and leave them, along with their records: see memory.h and pool_visit.h.
 *
 * An entry is put in before its record is published (which is where a full pool refuses), told its version under the
 * shard's lock as the record appears, confirmed after that, and taken out after the record has gone. Whoever publishes
 * another record of a session that stays tells the pool afterwards; the pool then looks at the record itself, so that
 * of two tellers in any order the last one has seen what is there. A touch need not be told: it only moves a deadline
 * back, and the pool looks again when the old one comes. */
#include "engine/memory/pool_visit.h"
#include "engine/memory/stage.h"

/* ---- entering */

static const struct error lacking = {
    .code = ERROR_NO_MEMORY, .message = "The server lacks memory for this; try again later.", .limit = -1};

static struct error full_error(const struct pool *pool) {
    struct error error = error_make(ERROR_EXHAUSTED, "The pool has as many usable sessions as its max_pool_size "
                                                     "allows; retire one, or add it with force.");
    error.limit = (int64_t)pool->policy.max_pool_size;
    return error;
}

/* Gives the entry its place. False: there is none. */
static bool take_place(struct pool *pool, struct pool_entry *entry, struct pool_claim *claim, bool is_forced) {
    if (claim && claim->pool == pool && claim->is_counted) {
        claim->is_counted = false;
        pool->creating_count--;
    } else {
        entry->hold_until = pool_hold_take(pool);
        if (!entry->hold_until && !is_forced && pool_is_full(pool)) return false;
    }
    entry->takes_place = true;
    pool->reserved_count++;
    return true;
}

bool pool_enter(struct context *context, const struct needs *needs, struct places *places, struct error *error) {
    const struct session *draft = needs->draft;
    struct visit visit;
    *error = lacking;
    if (!memory_makes_room(context, needs->hash, (int64_t)(sizeof(struct pool_entry) + sizeof(struct pool))))
        return false;
    if (!visit_begin(&visit, context, needs->namespace, needs->groups[GROUP_POOL - GROUP_USER], true)) {
        return !visit.is_lacking; /* in a dropped namespace nothing is published: the write finds that out */
    }
    struct usage usage = draft->usage ? *draft->usage : usage_of_policy(&visit.pool->policy);
    struct pool_entry *entry = pool_reserve(visit_memory(&visit), visit.pool, needs->hash, draft->tags, &usage);
    bool is_in = entry != NULL;
    if (entry && needs->takes_pool_place && usage_is_usable(&usage) &&
        !take_place(visit.pool, entry, places->claim, usage.is_forced)) {
        *error = full_error(visit.pool);
        pool_remove(visit_memory(&visit), visit.pool, entry);
        is_in = false;
    }
    if (is_in) {
        places->pool_entry = entry;
        places->pool = visit.pool;
        places->pool_table = visit.table;
        places->has_pool_place = needs->takes_pool_place;
    }
    visit_end(&visit);
    return is_in;
}

/* What was not published leaves as if it had never been there. */
void pool_unenter(struct context *context, struct places *places) {
    struct pool_entry *entry = places->pool_entry;
    struct visit visit;
    if (!entry) return;
    places->pool_entry = NULL;
    visit_begin_at(&visit, context, places->pool_table, places->pool);
    if (entry->takes_place && places->claim && places->claim->pool == visit.pool && !entry->hold_until) {
        places->claim->is_counted = true;
        visit.pool->creating_count++;
    }
    int64_t hold_until = entry->hold_until;
    pool_remove(visit_memory(&visit), visit.pool, entry);
    if (hold_until > context->now_ms && !visit.pool->is_dropped) pool_hold_put(visit.pool, hold_until);
    visit_end(&visit);
}

/* The usage of the record's old life under another id goes on in the new one. */
static void entry_inherit(struct visit *visit, struct pool_entry *entry, const struct places *places) {
    struct pool_entry *old = pool_entry_of(visit->pool, places->pool_old_hash, places->pool_old_version);
    if (!old || old == entry) return;
    if (!visit->pool->is_dropped) visit_catch_up(visit, old);
    entry->usage = old->usage;
    entry->uses = old->uses;
    entry->fence = old->fence;
    entry->lease_use = old->lease_use;
    entry->ready_at = old->ready_at;
    entry->turn = old->turn;
    entry->is_spent = old->is_spent;
    old->uses = (struct uses){0};
    old->usage.lease_expires_at = 0;
    old->fence = old->lease_use = 0;
    old->told = 0; /* a snapshot that still meets the old record leaves it without: the move comes behind */
    old->is_alive = old->is_kept = false;
    if (!visit->pool->is_dropped) visit_settle(visit, old);
}

void pool_confirm(struct context *context, struct places *places) {
    struct pool_entry *entry = places->pool_entry;
    struct pool_claim *claim = places->claim;
    struct visit visit;
    if (!entry) return;
    places->pool_entry = NULL;
    visit_begin_at(&visit, context, places->pool_table, places->pool);
    if (places->pool_old_version) entry_inherit(&visit, entry, places);
    if (entry->takes_place) visit.pool->reserved_count--;
    entry->is_reserved = entry->takes_place = false;
    bool has_left = entry->has_left;
    if (!has_left && !visit.pool->is_dropped) {
        visit_look(&visit, entry);
        visit_settle(&visit, entry);
    }
    if (claim && !visit.pool->is_dropped) { /* its maker gets it, before anybody else can */
        visit_hand_out(&visit, entry, claim->lease_ms, &claim->pick);
        claim->is_done = true;
    } else {
        stage_usage(context, entry, 0);
    }
    if (has_left) pool_remove(visit_memory(&visit), visit.pool, entry);
    visit_end(&visit);
}

/* ---- leaving and staying */

void pool_leave(struct context *context, struct namespace *namespace, struct bytes name, uint64_t hash,
                uint64_t version) {
    struct visit visit;
    if (!visit_begin(&visit, context, namespace, name, false)) return;
    struct pool_entry *entry = pool_entry_of(visit.pool, hash, version);
    if (entry && entry->is_reserved)
        entry->has_left = true;
    else if (entry)
        pool_remove(visit_memory(&visit), visit.pool, entry);
    visit_end(&visit);
}

void pool_note(struct context *context, struct namespace *namespace, uint64_t hash, const struct record *record) {
    struct visit visit;
    if (!(record_more(record) & RECORD_MORE_POOL)) return; /* nearly all there are */
    if (!visit_begin(&visit, context, namespace, record_group(record, GROUP_POOL), false)) return;
    struct pool_entry *entry = pool_entry_of(visit.pool, hash, record_version(record));
    if (entry && !entry->is_reserved && !visit.pool->is_dropped) {
        visit_look(&visit, entry);
        visit_settle(&visit, entry);
    }
    visit_end(&visit);
}

/* The hash of the id under which the session's record stands, where `hash` may be that of an old id in its grace. */
static uint64_t hash_of_record(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id) {
    const struct record *record = record_find(context->engine, namespace, hash, id, NULL);
    struct session view;
    if (!record || !record_is_alias(record)) return hash;
    record_view_bytes(record, &view);
    return id_hash(context->engine, namespace, view.replaced_by);
}

uint64_t session_add_usage(struct context *context, struct namespace *namespace, uint64_t hash, struct session *session,
                           struct usage *usage) {
    struct visit visit;
    uint64_t told = 0;
    session->usage = NULL;
    if (!session->pool.data) return 0;
    hash = hash_of_record(context, namespace, hash, session->id);
    if (!visit_begin(&visit, context, namespace, session->pool, false)) return 0;
    struct pool_entry *entry = pool_entry_of(visit.pool, hash, session->version);
    if (entry && !visit.pool->is_dropped) visit_catch_up(&visit, entry);
    if (entry) {
        *usage = entry->usage;
        session->usage = usage;
        told = entry->told;
    }
    visit_end(&visit);
    return told;
}

void pool_reset_holds(struct context *context, struct namespace *namespace, struct bytes name) {
    struct visit visit;
    if (!visit_begin(&visit, context, namespace, name, false)) return;
    pool_holds_drop(visit_memory(&visit), visit.pool);
    visit_end(&visit);
}

void pool_policy_read(struct context *context, struct namespace *namespace, struct bytes name,
                      struct pool_policy *policy) {
    struct visit visit;
    *policy = context->engine->default_pool_policy;
    if (!namespace || !visit_begin(&visit, context, namespace, name, false)) return;
    *policy = visit.pool->policy;
    visit_end(&visit);
}
