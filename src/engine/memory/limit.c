/* The limits: what a write has to be given before it may be published. See memory.h.
 *
 * max_memory and max_bytes bound growth, max_sessions living sessions of a namespace, max_sessions_per_user those of a
 * user. Each is decided before anything changes, by reserving: a reservation counts as if it were published, so that of
 * two writes that race for the last place one is refused, and never both admitted. Memory that other threads take
 * between the look and the allocation can pass max_memory by their one record each. No answer depends on whether the
 * reaper has been there: who is refused has what is due worked off first, and asks again. */
#include "engine/memory/census.h"

#define REAP_FOR_LIMIT  100000 /* records */
#define ENTER_TRIES_MAX 1000   /* of who would be refused for entries that may be gone in a moment */
#define EVICT_TRIES_MAX 100000 /* each ends or settles one session of the group, or waits */
#define ALLOWANCE_MAX   (INT64_C(1) << 20)
#define ALLOWANCE_SHARE 8

/* ---- memory */

static bool memory_allows(struct context *context, uint64_t hash, int64_t bytes) {
    struct memory_engine *engine = context->engine;
    struct loop *loop = context->loop;
    uint64_t max = atomic_load_explicit(&engine->max_memory, memory_order_relaxed);
    if (!max) return true;
    if (loop->memory_allowance >= bytes) {
        loop->memory_allowance -= bytes;
        return true;
    }
    /* The shard's table may have to grow by about a sixth for it, and each of its groups by a leaf. */
    uint64_t needed =
        (uint64_t)bytes + table_bytes(&shard_of(engine, hash)->table) / 4 + GROUPS_MAX * GROUP_LEAF_BYTES_MAX;
    uint64_t used = memory_used(engine);
    if (used + needed > max) return false;
    /* Far from the limit the sum over all arenas need not be taken for each record. */
    int64_t room = (int64_t)(max - used - needed) / (int64_t)(ALLOWANCE_SHARE * engine->loop_count);
    loop->memory_allowance = room < ALLOWANCE_MAX / ALLOWANCE_SHARE ? 0 : room > ALLOWANCE_MAX ? ALLOWANCE_MAX : room;
    return true;
}

bool memory_makes_room(struct context *context, uint64_t hash, int64_t bytes) {
    if (memory_allows(context, hash, bytes)) return true;
    reap_due(context, REAP_FOR_LIMIT);
    return memory_allows(context, hash, bytes);
}

/* ---- the namespace's own */

/* Adds to a reservation if that, and what is there, keeps within the limit. */
static bool reserve(_Atomic int64_t *reserved, int64_t amount, int64_t there, uint64_t max) {
    int64_t after = atomic_fetch_add(reserved, amount) + amount;
    if (after + there <= (int64_t)max) return true;
    atomic_fetch_sub(reserved, amount);
    return false;
}

static int64_t living_count(const struct namespace *namespace) {
    return namespace_count(namespace, STATUS_ACTIVE) + namespace_count(namespace, STATUS_PENDING);
}

static bool take_bytes(struct context *context, const struct needs *needs, struct places *places, struct error *error) {
    struct namespace *namespace = needs->namespace;
    uint64_t max = needs->policy->max_bytes;
    if (needs->growth_bytes <= 0) return true;
    if (!memory_makes_room(context, needs->hash, needs->growth_bytes)) {
        *error = error_make(ERROR_NO_MEMORY, "The server is at max_memory; destroy sessions or try again later.");
        return false;
    }
    places->growth_bytes = needs->growth_bytes;
    if (!max) return true;
    places->holds_bytes = reserve(&namespace->reserved_bytes, needs->growth_bytes, namespace_bytes(namespace), max);
    if (!places->holds_bytes) {
        reap_due(context, REAP_FOR_LIMIT);
        places->holds_bytes = reserve(&namespace->reserved_bytes, needs->growth_bytes, namespace_bytes(namespace), max);
    }
    if (places->holds_bytes) return true;
    *error = error_make(ERROR_LIMIT, "The namespace's sessions take as many bytes as its max_bytes allows.");
    error->limit = (int64_t)max;
    return false;
}

static bool take_session(struct context *context, const struct needs *needs, struct places *places,
                         struct error *error) {
    struct namespace *namespace = needs->namespace;
    uint64_t max = needs->policy->max_sessions;
    if (!needs->takes_session || !max) return true;
    places->holds_session = reserve(&namespace->reserved, 1, living_count(namespace), max);
    if (!places->holds_session) {
        reap_due(context, REAP_FOR_LIMIT);
        places->holds_session = reserve(&namespace->reserved, 1, living_count(namespace), max);
    }
    if (places->holds_session) return true;
    *error = error_make(ERROR_LIMIT, "The namespace has as many living sessions as its max_sessions allows.");
    error->limit = (int64_t)max;
    return false;
}

/* ---- the group's */

/* Marks a record whose deadline has passed, so that no loop with a clock a little behind can touch it back to life. */
static void settle_death(struct context *context, uint64_t hash, struct record *record) {
    struct shard *shard = shard_of(context->engine, hash);
    struct session view;
    int64_t now_ms = context->now_ms;
    uint64_t tombstone;
    shard_take(context->engine, shard);
    uint64_t active = record_active(record);
    if (table_slot_of(&shard->table, hash, record) && !record_is_dead_for_good(context->engine, record, active) &&
        record_judge(context->engine, record, active, &now_ms, &view, &tombstone) != JUDGED_ALIVE)
        shard_mark_reaped(context, shard, record, &view);
    shard_release(shard);
}

/* A group's limit, and whom it ends for a new one. */
struct limit {
    uint64_t max;   /* 0: none */
    bool is_strict; /* nobody is ended: the new one is refused */
    bool prefers_idle;
    struct ending_kind ending;
    const char *message; /* where there is no room */
};

enum entering { ENTERED, FULL, LACKING };

/* One attempt to enter a group: under its lock once. */
static enum entering group_try_enter(struct context *context, const struct group_key *key, const struct limit *limit,
                                     struct place *place, struct census *census) {
    struct memory_engine *engine = context->engine;
    struct group_table *table = group_table_of(engine, key);
    enum entering result = FULL;
    uint64_t max = limit->max;
    *census = (struct census){.max = max, .wants_victims = !limit->is_strict, .prefers_idle = limit->prefers_idle};
    group_table_take(engine, table);
    struct group *group = group_make(table, &engine->slab, context->loop->index, key);
    if (!group) {
        lock_release(&table->lock);
        return LACKING;
    }
    if (max && group->count - group->dead_count >= max) {
        group_census(context, group, key, census);
        if (census->due) census->living++; /* until it is settled */
    }
    if (!max || group->count - group->dead_count < max || (!census->due && census->living < max)) {
        if (key->kind == GROUP_CLIENT) place->updated_before = client_enter(context, key, group);
        result = group_insert(&engine->slab, context->loop->index, group, place->entry) ? ENTERED : LACKING;
        place->group = group;
    }
    group_tidy(table, &engine->slab, group);
    lock_release(&table->lock);
    return result;
}

static struct limit limit_of(const struct needs *needs, unsigned k) {
    const struct policy *policy = needs->policy;
    if (!needs->is_limited[k]) return (struct limit){0};
    if (k == 1)
        return (struct limit){
            .max = 1,
            .ending = {.to = STATUS_REPLACED, .by = needs->id},
            .message = "Too many sessions sign in on this client at once, and it may have only one; try again."};
    return (struct limit){.max = policy->max_sessions_per_user,
                          .is_strict = policy->session_limit_policy == SESSION_LIMIT_POLICY_REJECT,
                          .prefers_idle = policy->session_limit_policy == SESSION_LIMIT_POLICY_EVICT_IDLE,
                          .ending = {.to = STATUS_REVOKED, .reason = BYTES_LITERAL("session_limit")},
                          .message =
                              "The user has as many living sessions as max_sessions_per_user allows; end one first."};
}

/* What the group knows of itself stands through this: those who ended are marked before it is asked again. */
static void end_victims(struct context *context, const struct needs *needs, const struct group_key *key,
                        const struct census *census, const struct limit *limit) {
    uint32_t count = 0, excess = census->living - (uint32_t)limit->max + 1;
    context->loop->evicting = key;
    for (; count < census->victim_count && count < excess; count++)
        session_end(context, needs->namespace, key, census->victims[count].entry.hash, census->victims[count].record,
                    &limit->ending, NULL);
    context->loop->evicting = NULL;
    group_mark_ended(context, key, census->victims, count);
}

/* Makes room in a full group, or waits. False: there is none to be made. */
static bool group_make_room(struct context *context, const struct needs *needs, const struct group_key *key,
                            const struct census *census, const struct limit *limit, unsigned tries) {
    if (census->due) {
        reap_due(context, REAP_FOR_LIMIT); /* where one is due many may be: not one look through the group for each */
        settle_death(context, census->due_hash, census->due);
        return true;
    }
    if (limit->is_strict && (census->under_way == 0 || tries >= ENTER_TRIES_MAX)) return false;
    if (census->victim_count > 0)
        end_victims(context, needs, key, census, limit);
    else if (tries < LOCK_SPINS_MAX) /* all are under way: wait until they can be ended */
        lock_pause();
    else
        sched_yield();
    return true;
}

static bool take_group(struct context *context, const struct needs *needs, unsigned k, struct places *places,
                       struct error *error) {
    struct place *place = &places->groups[k];
    struct group_key key = group_key_of(context->engine, needs->namespace, GROUP_USER + k, needs->groups[k]);
    struct limit limit = limit_of(needs, k);
    struct census census;
    place->kind = key.kind;
    place->entry = needs->entry;
    place->is_limited = needs->is_limited[k];
    place->name_size = (uint8_t)key.name.size;
    memcpy(place->name, key.name.data, key.name.size);
    for (unsigned tries = 0; tries < EVICT_TRIES_MAX; tries++) {
        switch (group_try_enter(context, &key, &limit, place, &census)) {
        case ENTERED: place->is_held = true; return true;
        case LACKING:
            *error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
            return false;
        case FULL: break;
        }
        if (!group_make_room(context, needs, &key, &census, &limit, tries)) break;
    }
    *error = error_make(ERROR_LIMIT, limit.message);
    error->limit = (int64_t)limit.max;
    return false;
}

/* ---- all of them */

bool places_match(const struct places *places, const struct needs *needs) {
    for (unsigned k = 0; k < GROUPS_MAX; k++) {
        const struct place *place = &places->groups[k];
        if (place->is_held != (needs->groups[k].data != NULL)) return false;
        if (!place->is_held) continue;
        if (!bytes_equal(bytes_of(place->name, place->name_size), needs->groups[k])) return false;
        if (!group_entry_equal(place->entry, needs->entry)) return false;
        if (needs->is_limited[k] && !place->is_limited) return false;
    }
    if (needs->takes_session && needs->policy->max_sessions && !places->holds_session) return false;
    if (places->pool_entry && needs->takes_pool_place && !places->has_pool_place) return false;
    return needs->growth_bytes <= places->growth_bytes;
}

bool places_take(struct context *context, const struct needs *needs, struct places *places, struct error *error) {
    places->is_taken = true;
    /* Those last whose limit never refuses but ends another session: what is refused has ended nobody. */
    static const unsigned orders[2][GROUPS_MAX] = {{0, 2, 1}, {2, 0, 1}};
    bool evicts = needs->is_limited[0] && !limit_of(needs, 0).is_strict;
    const unsigned *order = orders[evicts];
    bool is_given = take_bytes(context, needs, places, error) && take_session(context, needs, places, error);
    for (unsigned i = 0; is_given && i < GROUPS_MAX; i++)
        if (needs->groups[order[i]].data)
            is_given = take_group(context, needs, order[i], places, error) &&
                       (GROUP_USER + order[i] != GROUP_POOL || pool_enter(context, needs, places, error));
    if (!is_given) places_give_back(context, needs->namespace, places);
    return is_given;
}

void places_settle(struct namespace *namespace, struct places *places) {
    if (!places->is_taken) return;
    if (places->holds_session) atomic_fetch_sub(&namespace->reserved, 1);
    if (places->holds_bytes) atomic_fetch_sub(&namespace->reserved_bytes, places->growth_bytes);
    places->holds_session = places->holds_bytes = false;
    places->growth_bytes = 0;
    for (unsigned k = 0; k < GROUPS_MAX; k++) places->groups[k].is_held = false;
}

/* Takes one entry out that was never published. */
static void place_give_back(struct context *context, struct namespace *namespace, const struct place *place) {
    struct memory_engine *engine = context->engine;
    struct group_key key = group_key_of(engine, namespace, place->kind, bytes_of(place->name, place->name_size));
    struct group_table *table = group_table_of(engine, &key);
    group_table_take(engine, table);
    if (place->kind == GROUP_CLIENT && group_client(place->group)->updated_at == context->now_ms)
        group_client(place->group)->updated_at = place->updated_before;
    bool was_there = group_remove(&engine->slab, context->loop->index, place->group, place->entry, false);
    assert(was_there);
    (void)was_there;
    group_tidy(table, &engine->slab, place->group);
    lock_release(&table->lock);
}

void places_give_back(struct context *context, struct namespace *namespace, struct places *places) {
    if (!places->is_taken) return;
    if (places->pool_entry) pool_unenter(context, places);
    for (unsigned k = GROUPS_MAX; k-- > 0;) {
        if (places->groups[k].is_held) place_give_back(context, namespace, &places->groups[k]);
    }
    places_settle(namespace, places);
}
