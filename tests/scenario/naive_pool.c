/* Pools: handing out, taking back, counting. See naive.h. */
#include <stdlib.h>

#include "base/mp.h"
#include "naive.h"

struct pool *naive_pool_find(struct space *space, struct bytes name) {
    for (unsigned i = 0; space && i < POOLS_MAX; i++)
        if (space->pools[i] && bytes_equal(space->pools[i]->name, name)) return space->pools[i];
    return NULL;
}

struct pool *naive_pool_make(struct naive *naive, struct space *space, struct bytes name) {
    struct pool *pool = naive_pool_find(space, name);
    for (unsigned i = 0; !pool && i < POOLS_MAX; i++) {
        if (space->pools[i]) continue;
        pool = space->pools[i] = naive_keep(naive, sizeof(*pool));
        pool->name = naive_copy(naive, name);
        pool->policy = *naive->options.default_pool_policy;
    }
    if (!pool) abort();
    return pool;
}

const struct pool_policy *naive_pool_policy_of(const struct naive *naive, const struct pool *pool) {
    return pool ? &pool->policy : naive->options.default_pool_policy;
}

void pool_take_hold(struct pool *pool) {
    if (pool->hold_count) memmove(pool->holds, pool->holds + 1, --pool->hold_count * sizeof(pool->holds[0]));
}

/* ---- one session */

bool naive_seat_is_usable(const struct space *space, const struct entry *entry, int64_t now_ms) {
    return entry->seat && !entry->seat->is_spent && usage_is_usable(&entry->seat->usage) &&
           naive_judge(space, entry, now_ms) == PRESENCE_ALIVE;
}

void naive_seat_retire(struct naive *naive, struct space *space, struct entry *entry, int64_t now_ms) {
    if (entry->seat->usage.retired_at) return;
    enum presence presence = naive_judge(space, entry, now_ms);
    usage_retire(&entry->seat->usage, now_ms);
    if (presence == PRESENCE_ALIVE || presence == PRESENCE_DEAD)
        tell(naive, space, EVENT_RETIRED, &entry->session, now_ms); /* else it was forgotten before its lease ended */
}

static unsigned open_count(const struct seat *seat) {
    unsigned count = 0;
    for (const struct use *use = seat->uses; use; use = use->next) count += use->is_open;
    return count;
}

static struct use *leased_use(struct seat *seat) {
    struct use *use = seat->usage.lease_expires_at ? seat->uses : NULL;
    while (use && use->fence != seat->fence) use = use->next;
    return use;
}

static void cool_down(struct naive *naive, struct space *space, struct entry *entry, int64_t from) {
    int64_t cooldown_ms = naive_pool_policy_of(naive, naive_pool_find(space, entry->session.pool))->cooldown_ms;
    if (cooldown_ms) entry->seat->ready_at = from + cooldown_ms;
}

void naive_lease_end(struct naive *naive, struct space *space, struct entry *entry, int64_t at) {
    struct use *use = leased_use(entry->seat);
    entry->seat->usage.lease_expires_at = 0;
    if (!use) return;
    use->is_open = false;
    cool_down(naive, space, entry, at);
    if (entry->seat->is_spent) naive_seat_retire(naive, space, entry, at);
}

static bool has_tag(struct bytes tags, struct bytes tag) {
    struct mp_cursor cursor = mp_cursor_of(tags);
    if (bytes_is_absent(tags)) return false;
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--)
        if (bytes_equal(mp_read_bytes(&cursor), tag)) return true;
    return false;
}

static bool has_tags(struct bytes tags, struct bytes wanted) {
    struct mp_cursor cursor = mp_cursor_of(wanted);
    if (bytes_is_absent(wanted)) return true;
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--)
        if (!has_tag(tags, mp_read_bytes(&cursor))) return false;
    return true;
}

static bool is_free(const struct entry *entry, const struct pool_policy *policy) {
    const struct seat *seat = entry->seat;
    unsigned count = open_count(seat);
    if (seat->usage.lease_expires_at || seat->ready_at) return false;
    return !policy->max_concurrent || count < policy->max_concurrent;
}

/* ---- the pool as a whole */

static uint64_t usable_count(struct space *space, struct bytes name, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; space && i < space->entry_count; i++)
        count += bytes_equal(space->entries[i].session.pool, name) &&
                 naive_seat_is_usable(space, &space->entries[i], now_ms);
    return count;
}

bool naive_pool_has_place(const struct naive *naive, struct space *space, const struct pool *pool, struct bytes name,
                          bool takes_hold, int64_t now_ms) {
    uint64_t holds = pool ? pool->hold_count : 0;
    if (takes_hold && holds > 0) return true; /* it was promised */
    return usable_count(space, name, now_ms) + holds < naive_pool_policy_of(naive, pool)->max_pool_size;
}

void pool_state_fill(const struct naive *naive, struct space *space, struct bytes name, struct pool_state *state,
                     int64_t now_ms) {
    const struct pool *pool = naive_pool_find(space, name);
    *state = (struct pool_state){.policy = *naive_pool_policy_of(naive, pool), .exists = pool && pool->is_configured};
    state->held_count = pool ? pool->hold_count : 0;
    for (unsigned i = 0; space && i < space->entry_count; i++) {
        const struct entry *entry = &space->entries[i];
        if (!bytes_equal(entry->session.pool, name) || !is_kept(space, entry, now_ms)) continue;
        bool is_usable = naive_seat_is_usable(space, entry, now_ms);
        state->exists = true;
        state->usable_count += is_usable;
        state->retired_count += entry->seat->usage.retired_at != 0;
        state->leased_count += entry->seat->usage.lease_expires_at != 0 && session_is_alive(&entry->session, now_ms);
        state->cooling_count += is_usable && !entry->seat->usage.lease_expires_at && entry->seat->ready_at != 0;
    }
    for (const struct waiter *waiter = naive->waiters; waiter; waiter = waiter->next)
        state->waiting_count += !waiter->is_answered && !waiter->is_over && space &&
                                bytes_equal(waiter->verb.namespace, space->name) &&
                                bytes_equal(waiter->verb.acquire.pool, name);
}

/* ---- acquire */

struct acquiring {
    struct naive *naive;
    struct verb *verb;
    struct space *space;
    struct bytes name;
    const struct pool_policy *policy;
    enum pool_strategy strategy;
    int64_t now_ms;
};

static bool is_better(enum pool_strategy strategy, const struct entry *a, const struct entry *b) {
    const struct seat *one = a->seat, *other = b->seat;
    if (strategy == POOL_STRATEGY_LEAST_USED && one->usage.usage_count != other->usage.usage_count)
        return one->usage.usage_count < other->usage.usage_count;
    if (one->order == other->order) return one->entered < other->entered;
    if (strategy == POOL_STRATEGY_USE_UNTIL_FAILURE) return one->order > other->order;
    return one->order < other->order;
}

static bool is_taken(const struct verb *verb, uint32_t count, struct bytes id) {
    for (uint32_t i = 0; i < count; i++)
        if (bytes_equal(i ? verb->more[i - 1].session.id : verb->session.id, id)) return true;
    return false;
}

/* Of the free ones the one that the strategy wants; for random any will do. */
static struct entry *pick(const struct acquiring *acquiring, uint32_t taken) {
    struct space *space = acquiring->space;
    const struct verb *verb = acquiring->verb;
    struct entry *best = NULL;
    for (unsigned i = 0; space && i < space->entry_count; i++) {
        struct entry *entry = &space->entries[i];
        if (!bytes_equal(entry->session.pool, acquiring->name) ||
            !naive_seat_is_usable(space, entry, acquiring->now_ms) || !is_free(entry, acquiring->policy) ||
            !has_tags(entry->session.tags, verb->acquire.tags) || is_taken(verb, taken, entry->session.id))
            continue;
        if (!bytes_is_absent(verb->id) && !bytes_equal(verb->id, entry->session.id)) continue;
        if (!best || is_better(acquiring->strategy, entry, best)) best = entry;
    }
    return best;
}

/* A session of the pool's own making; NULL: verb->error says why not. */
static struct entry *make_session(struct acquiring *acquiring) {
    struct naive *naive = acquiring->naive;
    struct verb *verb = acquiring->verb;
    const struct engine_options *options = &naive->options;
    char id[LIMIT_MAX_ID];
    struct usage usage = {0};
    struct session draft = {.pool = acquiring->name};
    if (!acquiring->space) acquiring->space = space_make(naive, verb->namespace, &verb->error);
    if (!acquiring->space) return NULL;
    draft.id = bytes_of(id, options->pool_session_make(options->pool_context, id));
    options->pool_session_begin(&acquiring->space->policy, acquiring->policy, acquiring->now_ms, &draft, &usage);
    draft.tags = verb->acquire.tags;
    draft.usage = &usage;
    return write_draft(naive, acquiring->space, NULL, PRESENCE_NONE, &draft, acquiring->now_ms, &verb->error);
}

/* A place for whoever is answered CREATE_NEEDED. */
static void hold_place(struct acquiring *acquiring) {
    struct verb *verb = acquiring->verb;
    if (!acquiring->space) acquiring->space = space_make(acquiring->naive, verb->namespace, &verb->error);
    if (!acquiring->space) return;
    struct pool *pool = naive_pool_make(acquiring->naive, acquiring->space, acquiring->name);
    pool->holds[pool->hold_count++] = acquiring->now_ms + LIMIT_PLACE_HOLD_MS;
    verb->error = error_make(ERROR_CREATE_NEEDED, "The pool has room; add a session with pool.add.");
}

/* Whom to hand out next; NULL: nobody, or verb->error says why not. */
static struct entry *choose(struct acquiring *acquiring, uint32_t taken) {
    struct verb *verb = acquiring->verb;
    if (!bytes_is_absent(verb->id)) return pick(acquiring, taken);
    struct entry *entry = acquiring->strategy == POOL_STRATEGY_USE_UNTIL_FAILURE ? pick(acquiring, taken) : NULL;
    if (entry) return entry;
    struct pool *pool = naive_pool_find(acquiring->space, acquiring->name);
    /* What the pool would make itself could never be handed out; what a caller adds may have limits of its own. */
    bool is_useless = verb->acquire.create == POOL_CREATE_AUTO &&
                      (acquiring->policy->max_usage_count == 0 || acquiring->policy->max_error_score <= 0);
    bool may_create =
        verb->acquire.create != POOL_CREATE_NEVER && !is_useless &&
        naive_pool_has_place(acquiring->naive, acquiring->space, pool, acquiring->name, false, acquiring->now_ms);
    if (!may_create) return pick(acquiring, taken);
    if (verb->acquire.create == POOL_CREATE_AUTO) {
        struct entry *made = make_session(acquiring), *found = made ? made : pick(acquiring, taken);
        if (found) verb->error = error_make(ERROR_NONE, NULL);
        return found; /* a namespace that admits no more still has those that are there */
    }
    if (taken) return pick(acquiring, taken); /* the answer is what is taken, so nobody learns of a place */
    hold_place(acquiring);
    return NULL;
}

static void hand_out(struct acquiring *acquiring, struct entry *entry, struct hand_out *out) {
    struct naive *naive = acquiring->naive;
    struct seat *seat = entry->seat;
    int64_t lease_ms = acquiring->verb->acquire.lease_ms, now_ms = acquiring->now_ms;
    struct use *use = naive_keep(naive, sizeof(*use));
    *use = (struct use){.next = seat->uses,
                        .number = ++seat->use_count,
                        .is_open = true,
                        .order = ++naive->orders,
                        .order_before = seat->order,
                        .used_before = seat->usage.last_used_at,
                        .ready_before = seat->ready_at};
    if (lease_ms > 0) {
        use->fence = seat->fence = next_version(naive, now_ms);
        seat->usage.lease_expires_at = now_ms + lease_ms;
    }
    seat->uses = use;
    seat->order = use->order;
    seat->usage.usage_count++;
    seat->usage.last_used_at = now_ms;
    seat->is_spent = usage_is_used_up(&seat->usage);
    cool_down(naive, acquiring->space, entry, now_ms);
    entry->session.last_active_at =
        session_touched_at(&entry->session, acquiring->space->policy.touch_after_ms, now_ms);
    out->use = use->number, out->fence = use->fence;
    out->usage = seat->usage;
    out->session = entry->session;
}

bool acquire_now(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct acquiring acquiring = {.naive = naive,
                                  .verb = verb,
                                  .space = space_find(naive, verb->namespace),
                                  .name = verb->acquire.pool,
                                  .now_ms = now_ms};
    struct pool *pool = naive_pool_find(acquiring.space, acquiring.name);
    uint32_t wanted = verb->acquire.count ? verb->acquire.count : 1, taken = 0;
    size_t bytes = 0;
    struct pool_policy policy = *naive_pool_policy_of(naive, pool);
    acquiring.policy = &policy;
    acquiring.strategy = verb->acquire.has_strategy ? verb->acquire.strategy : policy.strategy;
    verb->error = error_make(ERROR_NONE, NULL);
    verb->is_found = false;
    verb->more = wanted > 1 ? naive_keep(naive, wanted * sizeof(struct hand_out)) : NULL;
    verb->more_count = 0;
    for (struct entry *entry; taken < wanted && (entry = choose(&acquiring, taken)); taken++) {
        struct hand_out out;
        hand_out(&acquiring, entry, &out);
        if (taken) {
            verb->more[verb->more_count++] = out;
        } else {
            verb->is_found = true;
            verb->session = out.session, verb->usage = out.usage, verb->use = out.use, verb->fence = out.fence;
        }
        bytes += out.session.data.size + out.session.meta.size;
        if (verb->acquire.bytes_max && bytes >= verb->acquire.bytes_max) taken = wanted - 1;
    }
    verb->session.usage = &verb->usage;
    for (uint32_t i = 0; i < verb->more_count; i++) verb->more[i].session.usage = &verb->more[i].usage;
    /* What stopped it after the first is no error of this call. */
    if (verb->is_found) verb->error = error_make(ERROR_NONE, NULL);
    return verb->is_found || verb->error.code != ERROR_NONE;
}

/* ---- taking back */

static struct use *use_find(struct seat *seat, uint64_t number) {
    struct use *use = seat->uses;
    while (use && use->number != number) use = use->next;
    return use;
}

/* Ends a use; one without a mark costs nothing. */
static void release(struct naive *naive, struct space *space, struct entry *entry, struct use *use, int64_t now_ms) {
    struct seat *seat = entry->seat;
    if (use == leased_use(seat)) seat->usage.lease_expires_at = 0;
    if (use->is_open && !use->is_marked) {
        seat->usage.usage_count -= seat->usage.usage_count > 0;
        seat->ready_at = 0;
    } else if (use->is_open) {
        cool_down(naive, space, entry, now_ms);
    }
    bool was_open = use->is_open;
    use->is_open = false;
    if (was_open) use->is_marked = true; /* it was given back: a mark that comes after all is one more use */
    if (was_open && seat->is_spent) naive_seat_retire(naive, space, entry, now_ms);
}

static void take_back_one(struct naive *naive, struct space *space, struct bytes id, uint64_t number, int64_t now_ms) {
    struct entry *entry = entry_find(space, id);
    struct seat *seat = entry ? entry->seat : NULL;
    struct use *use = seat ? use_find(seat, number) : NULL;
    if (!use || use->is_marked) return;
    /* It never went out: it was not the last one either. */
    seat->is_spent = false;
    int64_t ready_at = seat->ready_at;
    release(naive, space, entry, use, now_ms);
    seat->ready_at = ready_at;
    if (seat->order != use->order) return; /* somebody got it since */
    seat->order = use->order_before;
    seat->usage.last_used_at = use->used_before;
    seat->ready_at = use->ready_before;
}

void take_back(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    if (!verb->is_found) return;
    take_back_one(naive, space, verb->session.id, verb->use, now_ms);
    for (uint32_t i = 0; i < verb->more_count; i++)
        take_back_one(naive, space, verb->more[i].session.id, verb->more[i].use, now_ms);
}

static void do_mark(struct naive *naive, struct space *space, struct entry *entry, const struct verb *verb,
                    int64_t now_ms) {
    const struct pool_policy *policy = naive_pool_policy_of(naive, naive_pool_find(space, entry->session.pool));
    struct seat *seat = entry->seat;
    struct use *use = verb->pool_return.use ? use_find(seat, verb->pool_return.use) : NULL;
    struct usage before = seat->usage;
    uint32_t code = verb->pool_return.outcome.status_code;
    bool is_blocked = status_codes_have(&policy->blocked_status_codes, code) ||
                      (verb->pool_return.extra_codes && status_codes_have(verb->pool_return.extra_codes, code));
    if (verb->pool_return.outcome.kind == MARK_STATUS_CODE && !is_blocked) return;
    usage_mark(&seat->usage, verb->pool_return.outcome, use && !use->is_marked, &policy->blocked_status_codes,
               verb->pool_return.extra_codes, now_ms);
    if (use && !use->is_marked) {
        use->is_marked = true;
        if (use != leased_use(seat)) use->is_open = false;
    }
    cool_down(naive, space, entry, now_ms);
    if (!session_is_alive(&entry->session, now_ms) || seat->is_spent) usage_retire(&seat->usage, now_ms);
    if (seat->usage.retired_at && !before.retired_at) tell(naive, space, EVENT_RETIRED, &entry->session, now_ms);
}

static bool refuse(struct verb *verb, const char *message) {
    verb->error = error_make(ERROR_CONFLICT, message);
    return false;
}

static bool may_return(struct verb *verb, struct seat *seat) {
    uint64_t number = verb->pool_return.use, fence = verb->pool_return.fence;
    if (number && !use_find(seat, number)) return refuse(verb, "This use was never handed out; give the acquire's.");
    if (fence && fence != seat->fence) return refuse(verb, "This fence is not the newest; acquire again.");
    if (verb->pool_return.kind != RETURN_RENEW) return true;
    struct use *leased = leased_use(seat);
    if (!leased || (number && leased->number != number)) return refuse(verb, "A closed lease; acquire again.");
    return true;
}

static struct use *last_open(struct seat *seat) {
    struct use *use = seat->uses;
    while (use && !use->is_open) use = use->next;
    return use;
}

void naive_return(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    struct entry *entry = entry_find(space, verb->id);
    enum presence presence = naive_judge(space, entry, now_ms);
    if ((presence != PRESENCE_ALIVE && presence != PRESENCE_DEAD) || !entry->seat) return;
    struct seat *seat = entry->seat;
    if (!may_return(verb, seat)) return;
    struct use *use = verb->pool_return.use ? use_find(seat, verb->pool_return.use) : leased_use(seat);
    if (!verb->pool_return.use && !use && !verb->pool_return.fence) use = last_open(seat);
    if (verb->pool_return.kind == RETURN_MARK) do_mark(naive, space, entry, verb, now_ms);
    if (verb->pool_return.kind == RETURN_RELEASE && use) release(naive, space, entry, use, now_ms);
    if (verb->pool_return.kind == RETURN_RENEW) seat->usage.lease_expires_at = now_ms + verb->pool_return.lease_ms;
    verb->is_found = true;
    verb->is_usable = naive_seat_is_usable(space, entry, now_ms);
    verb->usage = seat->usage;
}
