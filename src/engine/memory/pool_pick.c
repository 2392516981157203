/* Which session of a pool is handed out, and what a hand-out, a mark, a release and the end of a lease do to it: see
 * pool.h. */
#include "base/mp.h"
#include "engine/memory/pool_filter.h"

#include <assert.h>

bool entry_fits(const struct pool_entry *entry, struct bytes tags) {
    return entry->is_ready && (!tags_are_given(tags) || (entry->lane && tags_cover(entry->lane->tags, tags)));
}

/* ---- picking */

static enum order_kind order_of(enum pool_strategy strategy) {
    switch (strategy) {
    case POOL_STRATEGY_RANDOM: return ORDER_ANY;
    case POOL_STRATEGY_ROUND_ROBIN:
    case POOL_STRATEGY_LEAST_RECENT: return ORDER_LEAST_RECENT;
    case POOL_STRATEGY_USE_UNTIL_FAILURE: return ORDER_MOST_RECENT;
    case POOL_STRATEGY_LEAST_USED: return ORDER_LEAST_USED;
    }
    return ORDER_ANY;
}

/* The best of the lanes of a tag that have the wanted ones too; by chance, one of all their entries. */
static bool look_for(struct pool_memory memory, struct pool *pool, struct bytes tags, struct pool_tag *tag,
                     enum order_kind kind, struct pool_entry **picked) {
    uint64_t seen = 0;
    for (struct list *link = tag->lanes.next; link != &tag->lanes; link = link->next) {
        struct pool_lane *lane = LIST_ENTRY(link, struct lane_tag, link)->lane;
        if (!lane->ready_count || !tags_cover(lane->tags, tags)) continue;
        if (!lane_build(memory, pool, lane, kind)) return false;
        seen += lane->ready_count;
        if (kind != ORDER_ANY) {
            struct pool_entry *head = lane->orders[kind].entries[0];
            if (!*picked || order_is_before(kind, head, *picked)) *picked = head;
        } else if (prng_happens(&pool->prng, lane->ready_count, seen)) { /* each entry has the same chance at the end */
            *picked = lane->orders[kind].entries[prng_below(&pool->prng, lane->ready_count)];
        }
    }
    return true;
}

static bool pick_by_tags(struct pool_memory memory, struct pool *pool, struct bytes tags, enum order_kind kind,
                         struct pool_entry **picked) {
    struct pool_tag *rarest = pool_tag_rarest(pool, tags);
    if (!rarest) return true;
    struct pool_filter *filter = filter_of(memory, pool, tags, rarest);
    return filter ? filter_pick(memory, pool, filter, kind, picked)
                  : look_for(memory, pool, tags, rarest, kind, picked);
}

static bool pick(struct pool_memory memory, struct pool *pool, struct bytes tags, enum pool_strategy strategy,
                 struct pool_entry **picked) {
    enum order_kind kind = order_of(strategy);
    *picked = NULL;
    if (tags_are_given(tags)) return pick_by_tags(memory, pool, tags, kind, picked);
    if (!pool->all->ready_count) return true;
    if (!lane_build(memory, pool, pool->all, kind)) return false;
    *picked = pool->all->orders[kind].entries[kind == ORDER_ANY ? prng_below(&pool->prng, pool->all->ready_count) : 0];
    return true;
}

/* Whether an empty place may be filled or held for this acquire. A session with limits of 0 would never be usable. */
static bool has_room(const struct pool *pool, const struct pool_want *want, bool is_further) {
    if (want->create == POOL_CREATE_NEVER || pool_is_full(pool)) return false;
    if (want->create == POOL_CREATE_ASK) return !is_further;
    return pool->policy.max_usage_count > 0 && pool->policy.max_error_score > 0;
}

enum pool_choice pool_choose(struct pool_memory memory, struct pool *pool, const struct pool_want *want,
                             bool is_further, struct pool_entry **chosen) {
    enum pool_strategy strategy = want->has_strategy ? want->strategy : pool->policy.strategy;
    enum pool_choice place = CHOICE_NONE;
    *chosen = NULL;
    if (has_room(pool, want, is_further)) place = want->create == POOL_CREATE_ASK ? CHOICE_ASK : CHOICE_CREATE;
    if (place != CHOICE_NONE && strategy != POOL_STRATEGY_USE_UNTIL_FAILURE) return place;
    if (!pick(memory, pool, want->tags, strategy, chosen)) return CHOICE_LACKING;
    return *chosen ? CHOICE_ENTRY : place;
}

/* ---- handing out */

void entry_hand_out(struct pool_memory memory, struct pool *pool, struct pool_entry *entry, int64_t lease_ms,
                    uint64_t fence, int64_t now_ms, int64_t retention_ms, struct pool_pick *pick_out) {
    struct usage *usage = &entry->usage;
    *pick_out = (struct pool_pick){.hash = entry->hash,
                                   .version = atomic_load(&entry->version),
                                   .turn_before = entry->turn,
                                   .last_used_before = usage->last_used_at,
                                   .ready_before = entry->ready_at};
    pick_out->use = uses_hand_out(&entry->uses, memory.slab, memory.arena);
    entry->turn = pick_out->turn = ++pool->turn;
    usage->usage_count++;
    usage->last_used_at = now_ms;
    if (pool->policy.cooldown_ms) entry->ready_at = now_ms + pool->policy.cooldown_ms;
    if (lease_ms > 0) {
        entry->fence = pick_out->fence = fence;
        entry->lease_use = pick_out->use;
        usage->lease_expires_at = now_ms + lease_ms;
    }
    entry->is_spent = usage_is_used_up(usage);
    pick_out->usage = *usage;
    entry_settle(pool, entry, now_ms, retention_ms);
}

void entry_take_back(struct pool *pool, struct pool_entry *entry, const struct pool_pick *pick_in, int64_t now_ms,
                     int64_t retention_ms) {
    struct usage *usage = &entry->usage;
    if (!uses_is_unmarked(&entry->uses, pick_in->use)) return; /* somebody else returned it meanwhile */
    if (entry_is_leased(entry) && entry->lease_use == pick_in->use) usage->lease_expires_at = 0;
    uses_close(&entry->uses, pick_in->use);
    uses_note_mark(&entry->uses, pick_in->use);
    if (usage->usage_count > 0) usage->usage_count--;
    if (entry->turn == pick_in->turn) { /* nobody got it since */
        entry->turn = pick_in->turn_before;
        usage->last_used_at = pick_in->last_used_before;
        entry->ready_at = pick_in->ready_before;
    }
    if (!usage->retired_at) entry->is_spent = usage_is_used_up(usage);
    entry_settle(pool, entry, now_ms, retention_ms);
}

/* ---- returning */

static bool entry_retire(struct pool_entry *entry, int64_t now_ms) {
    if (entry->usage.retired_at) return false;
    usage_retire(&entry->usage, now_ms);
    return true;
}

static void entry_cool(const struct pool *pool, struct pool_entry *entry, int64_t now_ms) {
    if (pool->policy.cooldown_ms) entry->ready_at = now_ms + pool->policy.cooldown_ms;
}

bool entry_end_lease(struct pool *pool, struct pool_entry *entry, int64_t at_ms) {
    entry->usage.lease_expires_at = 0;
    uses_close(&entry->uses, entry->lease_use);
    entry_cool(pool, entry, at_ms);
    return entry->is_spent && entry_retire(entry, at_ms);
}

bool entry_mark(struct pool *pool, struct pool_entry *entry, struct mark_outcome outcome,
                const struct status_codes *extra, uint64_t use, int64_t now_ms) {
    const struct status_codes *blocked = &pool->policy.blocked_status_codes;
    bool was_retired = entry->usage.retired_at != 0;
    if (outcome.kind == MARK_STATUS_CODE && !status_codes_have(blocked, outcome.status_code) &&
        !(extra && status_codes_have(extra, outcome.status_code)))
        return false;
    usage_mark(&entry->usage, outcome, use && uses_is_unmarked(&entry->uses, use), blocked, extra, now_ms);
    uses_note_mark(&entry->uses, use);
    if (!entry_is_leased(entry) || entry->lease_use != use) uses_close(&entry->uses, use);
    entry_cool(pool, entry, now_ms);
    if (entry->is_spent || !entry->is_alive) entry_retire(entry, now_ms);
    return !was_retired && entry->usage.retired_at;
}

bool entry_release(struct pool *pool, struct pool_entry *entry, uint64_t use, bool has_fence, int64_t now_ms) {
    bool is_leased = entry_is_leased(entry);
    if (!use && is_leased) use = entry->lease_use;
    if (!use && !has_fence) use = uses_last_open(&entry->uses);
    if (!use || !uses_is_open(&entry->uses, use)) return false; /* it has ended already */
    bool is_marked = !uses_is_unmarked(&entry->uses, use);
    if (is_leased && entry->lease_use == use) entry->usage.lease_expires_at = 0;
    uses_close(&entry->uses, use);
    uses_note_mark(&entry->uses, use);
    if (is_marked) {
        entry_cool(pool, entry, now_ms);
    } else {
        if (entry->usage.usage_count > 0) entry->usage.usage_count--;
        entry->ready_at = 0;
    }
    return entry->is_spent && entry_retire(entry, now_ms);
}
