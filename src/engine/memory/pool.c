/* See pool.h. The entries of a pool and what follows from their facts; its places. */
#include "engine/memory/pool.h"
#include "base/check.h"
#include "base/hash.h"
#include "engine/memory/pool_filter.h"
#include "engine/memory/pool_line.h"

#include <assert.h>
#include <string.h>

#define CHAINS_MIN 8
#define HOLDS_MIN  4

struct pool *pool_new(struct pool_memory memory, struct namespace *namespace, struct bytes name, uint64_t hash,
                      const struct pool_policy *policy, uint64_t seed) {
    struct pool *pool = slab_alloc(memory.slab, memory.arena, sizeof(*pool) + name.size);
    if (!pool) return NULL;
    memset(pool, 0, sizeof(*pool));
    pool->all = lane_of_all(memory);
    if (!pool->all) {
        slab_free(memory.slab, pool, sizeof(*pool) + name.size);
        return NULL;
    }
    pool->namespace = namespace;
    pool->hash = hash;
    pool->policy = *policy;
    pool->name_size = (uint8_t)name.size;
    memcpy(pool->name, name.data, name.size);
    list_init(&pool->filters);
    pool->due = (struct order){.kind = ORDER_DUE, .slot = ORDER_DUE_SLOT};
    pool->forgets = (struct order){.kind = ORDER_FORGET, .slot = ORDER_FORGET_SLOT};
    pool->turn = TURN_FIRST;
    pool->prng = prng_of(seed);
    prng_fill(&pool->prng, &pool->tag_key, sizeof(pool->tag_key));
    pool->waiters_due_at = INT64_MAX;
    list_init(&pool->waiters);
    return pool;
}

static struct pool_entry **chain_of(const struct pool *pool, uint64_t hash) {
    return &pool->chains[hash_mix(hash) & (pool->chain_count - 1)];
}

void pool_free(struct pool_memory memory, struct pool *pool) {
    assert(list_is_empty(&pool->waiters));
    for (uint32_t i = 0; pool->entry_count > 0; i++) { /* there are fewer chains as they empty */
        uint32_t at = i & (pool->chain_count - 1);
        if (pool->chains[at]) pool_remove(memory, pool, pool->chains[at]);
    }
    slab_free(memory.slab, pool->chains, pool->chain_count * sizeof(*pool->chains));
    slab_free(memory.slab, pool->holds, pool->hold_capacity * sizeof(*pool->holds));
    slab_free(memory.slab, pool->lane_chains, pool->lane_chain_count * sizeof(*pool->lane_chains));
    slab_free(memory.slab, pool->tag_chains, pool->tag_chain_count * sizeof(*pool->tag_chains));
    lines_free(memory, pool);
    lane_free(memory, pool, pool->all);
    order_fini(&pool->due, memory.slab);
    order_fini(&pool->forgets, memory.slab);
    slab_free(memory.slab, pool, sizeof(*pool) + pool->name_size);
}

/* ---- entries */

static bool chains_resize(struct pool_memory memory, struct pool *pool, uint32_t count) {
    uint32_t old_count = pool->chain_count;
    struct pool_entry **chains = slab_alloc(memory.slab, memory.arena, count * sizeof(*chains)), **old = pool->chains;
    if (!chains) return old_count > 0; /* longer chains do, and so does what is too much */
    memset(chains, 0, count * sizeof(*chains));
    pool->chains = chains;
    pool->chain_count = count;
    pool->round_at = 0;
    for (uint32_t i = 0; i < old_count; i++)
        for (struct pool_entry *entry = old[i], *next; entry; entry = next) {
            next = entry->next;
            struct pool_entry **chain = chain_of(pool, entry->hash);
            entry->next = *chain;
            *chain = entry;
        }
    slab_free(memory.slab, old, old_count * sizeof(*old));
    return true;
}

static bool chains_grow(struct pool_memory memory, struct pool *pool) {
    if (pool->entry_count < pool->chain_count) return true;
    return chains_resize(memory, pool, pool->chain_count ? pool->chain_count * 2 : CHAINS_MIN);
}

static void lane_trim(struct pool_memory memory, struct pool_lane *lane) {
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++)
        order_trim(&lane->orders[kind], memory.slab, memory.arena, lane->entry_count);
}

/* Gives back what a pool needed that was larger. */
static void pool_trim(struct pool_memory memory, struct pool *pool) {
    order_trim(&pool->due, memory.slab, memory.arena, pool->entry_count);
    order_trim(&pool->forgets, memory.slab, memory.arena, pool->entry_count);
    lane_trim(memory, pool->all);
    if (pool->chain_count > CHAINS_MIN && pool->entry_count < pool->chain_count / 4)
        chains_resize(memory, pool, pool->chain_count / 2);
}

struct pool_entry *pool_reserve(struct pool_memory memory, struct pool *pool, uint64_t hash, struct bytes tags,
                                const struct usage *usage) {
    if (!chains_grow(memory, pool)) return NULL;
    if (!order_reserve(&pool->due, memory.slab, memory.arena, pool->entry_count + 1)) return NULL;
    if (!order_reserve(&pool->forgets, memory.slab, memory.arena, pool->entry_count + 1)) return NULL;
    if (!lane_make_room(memory, pool->all)) return NULL;
    struct pool_lane *lane = tags_are_given(tags) ? lane_of(memory, pool, tags) : NULL;
    if (tags_are_given(tags) && !lane) return NULL;
    struct pool_entry *entry = NULL;
    if (!lane || lane_make_room(memory, lane)) entry = slab_alloc(memory.slab, memory.arena, sizeof(*entry));
    if (!entry) {
        if (lane && lane->entry_count == 0) lane_free(memory, pool, lane);
        return NULL;
    }
    memset(entry, 0, sizeof(*entry));
    entry->lane = lane;
    entry->hash = hash;
    entry->turn = ++pool->serial;
    entry->usage = *usage;
    entry->deadline = entry->due_at = entry->forget_at = INT64_MAX;
    entry->round = pool->round;
    entry->is_reserved = true;
    memset(entry->positions, 0xff, sizeof(entry->positions));
    struct pool_entry **chain = chain_of(pool, hash);
    entry->next = *chain;
    *chain = entry;
    pool->entry_count++;
    pool->all->entry_count++;
    list_init(&entry->lane_link);
    if (lane) {
        list_append(&lane->entries, &entry->lane_link);
        lane->entry_count++;
    }
    return entry;
}

struct pool_entry *pool_next_of(const struct pool *pool, uint64_t hash, const struct pool_entry *after) {
    if (!pool->chain_count) return NULL;
    struct pool_entry *entry = after ? after->next : *chain_of(pool, hash);
    while (entry && entry->hash != hash) entry = entry->next;
    return entry;
}

struct pool_entry *pool_entry_of(const struct pool *pool, uint64_t hash, uint64_t version) {
    struct pool_entry *found = NULL;
    uint64_t found_version = 0;
    for (struct pool_entry *entry = pool_next_of(pool, hash, NULL); entry; entry = pool_next_of(pool, hash, entry)) {
        uint64_t begun = atomic_load_explicit(&entry->version, memory_order_acquire);
        if (begun > found_version && begun <= version) {
            found = entry;
            found_version = begun;
        }
    }
    return found;
}

/* ---- what follows from the facts */

static void lane_put(struct pool_lane *lane, struct pool_entry *entry) {
    lane->ready_count++;
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++)
        if (lane->is_built[kind]) order_insert(&lane->orders[kind], entry);
}

static void lane_take(struct pool_lane *lane, struct pool_entry *entry) {
    lane->ready_count--;
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++) order_remove(&lane->orders[kind], entry);
}

/* What it is compared by has changed while it is in. */
static void lane_update(struct pool_lane *lane, struct pool_entry *entry) {
    for (unsigned kind = ORDER_ANY + 1; kind < LANE_ORDERS; kind++)
        if (lane->is_built[kind]) order_update(&lane->orders[kind], entry);
}

static void set_ready(struct pool *pool, struct pool_entry *entry, bool is_ready) {
    bool is_moved = entry->placed_turn != entry->turn || entry->placed_usage != entry->usage.usage_count;
    entry->placed_turn = entry->turn;
    entry->placed_usage = entry->usage.usage_count;
    if (entry->is_ready && is_ready && is_moved) {
        lane_update(pool->all, entry);
        if (entry->lane) lane_update(entry->lane, entry);
    } else if (entry->is_ready != is_ready) {
        void (*change)(struct pool_lane *, struct pool_entry *) = is_ready ? lane_put : lane_take;
        entry->is_ready = is_ready;
        if (is_ready) pool_note_news(pool, entry->lane ? entry->lane->tag_bits : 0);
        change(pool->all, entry);
        if (entry->lane) change(entry->lane, entry);
    } else {
        return;
    }
    if (entry->lane) filters_note(entry->lane);
}

static void set_count(bool *is_counted, uint64_t *count, bool is) {
    *count += (uint64_t)is - (uint64_t)*is_counted;
    *is_counted = is;
}

/* `moment` is what the order compares by. */
static void set_moment(struct order *order, struct pool_entry *entry, int64_t *moment, int64_t at_ms) {
    bool is_in = entry->positions[order->slot] != ORDER_OUT;
    if (*moment == at_ms) return;
    *moment = at_ms;
    if (at_ms == INT64_MAX)
        order_remove(order, entry);
    else if (is_in)
        order_update(order, entry);
    else
        order_insert(order, entry);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* A session that lives is forgotten when it has been retired for that long; one that was handed out for the last time
 * is retired by its lease's end. */
static int64_t entry_forget_at(const struct pool_entry *entry, int64_t retention_ms) {
    if (entry->is_reserved || entry->is_forgotten || !entry->is_alive) return INT64_MAX;
    if (entry->usage.retired_at) return entry->usage.retired_at + retention_ms;
    return entry->is_spent && entry_is_leased(entry) ? entry->usage.lease_expires_at + retention_ms : INT64_MAX;
}

void entry_settle(struct pool *pool, struct pool_entry *entry, int64_t now_ms, int64_t retention_ms) {
    const struct usage *usage = &entry->usage;
    bool is_kept = !entry->is_reserved && entry->is_kept && !entry->is_forgotten;
    bool is_usable = is_kept && entry->is_alive && !entry->is_spent && usage_is_usable(usage);
    bool is_leased = !entry->is_reserved && entry_is_leased(entry);
    bool is_busy = pool->policy.max_concurrent && entry->uses.open_count >= pool->policy.max_concurrent;
    bool is_cooling = is_usable && !is_leased && entry->ready_at > now_ms;
    set_count(&entry->holds_place, &pool->usable_count, is_usable);
    set_count(&entry->is_counted_leased, &pool->leased_count, is_leased && entry->is_alive);
    set_count(&entry->is_counted_cooling, &pool->cooling_count, is_cooling);
    set_count(&entry->is_counted_retired, &pool->retired_count, is_kept && usage->retired_at);
    set_count(&entry->is_counted_kept, &pool->kept_count, is_kept);
    set_ready(pool, entry, is_usable && !is_leased && !is_cooling && !is_busy && !entry->is_aside);
    int64_t due_at = INT64_MAX;
    if (!entry->is_reserved && !entry->is_forgotten) {
        if (is_kept) due_at = entry->deadline;
        if (is_leased) due_at = earlier(due_at, usage->lease_expires_at);
        if (is_cooling) due_at = earlier(due_at, entry->ready_at);
    }
    set_moment(&pool->due, entry, &entry->due_at, due_at);
    set_moment(&pool->forgets, entry, &entry->forget_at, entry_forget_at(entry, retention_ms));
}

/* ---- rounds */

void pool_begin_round(struct pool *pool, enum pool_round kind) {
    if (pool->entry_count == 0) return;
    if (kind > pool->round_kind) pool->round_kind = kind;
    pool->round++;
    pool->round_at = 0;
}

struct pool_entry *pool_next_in_round(struct pool *pool) {
    if (pool->round_at < pool->chain_count)
        for (struct pool_entry *entry = pool->chains[pool->round_at]; entry; entry = entry->next)
            if (entry->round != pool->round) return entry;
    if (++pool->round_at >= pool->chain_count) pool->round_kind = ROUND_NONE;
    return NULL;
}

void entry_pass_round(const struct pool *pool, struct pool_entry *entry, int64_t now_ms) {
    if (entry->round == pool->round) return;
    bool is_doubtful = pool->round_kind == ROUND_ALL || (pool->round_kind == ROUND_DEAD && !entry->is_alive);
    entry->round = pool->round;
    if (is_doubtful && entry->is_kept && entry->deadline > now_ms) entry->deadline = now_ms;
}

void pool_remove(struct pool_memory memory, struct pool *pool, struct pool_entry *entry) {
    struct pool_lane *lane = entry->lane;
    if (entry->is_reserved && entry->takes_place) pool->reserved_count--;
    set_count(&entry->holds_place, &pool->usable_count, false);
    set_count(&entry->is_counted_leased, &pool->leased_count, false);
    set_count(&entry->is_counted_cooling, &pool->cooling_count, false);
    set_count(&entry->is_counted_retired, &pool->retired_count, false);
    set_count(&entry->is_counted_kept, &pool->kept_count, false);
    set_ready(pool, entry, false);
    set_moment(&pool->due, entry, &entry->due_at, INT64_MAX);
    set_moment(&pool->forgets, entry, &entry->forget_at, INT64_MAX);
    struct pool_entry **link = chain_of(pool, entry->hash);
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    pool->entry_count--;
    pool->all->entry_count--;
    list_remove(&entry->lane_link);
    if (lane && --lane->entry_count == 0)
        lane_free(memory, pool, lane);
    else if (lane)
        lane_trim(memory, lane);
    uses_fini(&entry->uses, memory.slab);
    slab_free(memory.slab, entry, sizeof(*entry));
    pool_trim(memory, pool);
}

/* ---- places */

bool pool_hold(struct pool_memory memory, struct pool *pool, int64_t until_ms) {
    /* One more than is held is kept free, for a place that is put back. */
    if (pool->hold_count + 1 >= pool->hold_capacity) {
        uint32_t capacity = pool->hold_capacity ? pool->hold_capacity * 2 : HOLDS_MIN;
        int64_t *holds = slab_alloc(memory.slab, memory.arena, capacity * sizeof(*holds));
        if (!holds) return false;
        for (uint32_t i = 0; i < pool->hold_count; i++)
            holds[i] = pool->holds[(pool->hold_first + i) % pool->hold_capacity];
        slab_free(memory.slab, pool->holds, pool->hold_capacity * sizeof(*holds));
        pool->holds = holds;
        pool->hold_capacity = capacity;
        pool->hold_first = 0;
    }
    pool->holds[(pool->hold_first + pool->hold_count++) % pool->hold_capacity] = until_ms;
    return true;
}

int64_t pool_hold_take(struct pool *pool) {
    if (!pool->hold_count) return 0;
    int64_t until_ms = pool->holds[pool->hold_first];
    pool->hold_first = (pool->hold_first + 1) % pool->hold_capacity;
    pool->hold_count--;
    return until_ms;
}

void pool_hold_put(struct pool *pool, int64_t until_ms) {
    if (pool->hold_count == pool->hold_capacity) return; /* others were held meanwhile; it lapses early */
    pool->hold_first = (pool->hold_first + pool->hold_capacity - 1) % pool->hold_capacity;
    pool->holds[pool->hold_first] = until_ms;
    pool->hold_count++;
}

void pool_holds_lapse(struct pool *pool, int64_t now_ms) {
    while (pool->hold_count && pool->holds[pool->hold_first] <= now_ms) pool_hold_take(pool);
}

void pool_holds_drop(struct pool_memory memory, struct pool *pool) {
    slab_free(memory.slab, pool->holds, pool->hold_capacity * sizeof(*pool->holds));
    pool->holds = NULL;
    pool->hold_first = pool->hold_count = pool->hold_capacity = 0;
}

/* ---- checking */

static void lane_check(const struct pool_lane *lane) {
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++) {
        CHECK(lane->orders[kind].count == (lane->is_built[kind] ? lane->ready_count : 0));
        if (lane->is_built[kind]) CHECK(lane->orders[kind].capacity >= lane->entry_count);
        order_check(&lane->orders[kind]);
    }
}

/* Answers how many entries they have. */
static uint32_t lanes_check(const struct pool *pool) {
    uint32_t lanes = 0, entries = 0;
    for (uint32_t i = 0; i < pool->lane_chain_count; i++)
        for (const struct pool_lane *lane = pool->lane_chains[i]; lane; lane = lane->next, lanes++) {
            CHECK(lane->entry_count > 0);
            CHECK(pool_tag_rarest(pool, lane->tags));
            entries += lane->entry_count;
            lane_check(lane);
        }
    CHECK(lanes == pool->lane_count);
    return entries;
}

void pool_check(const struct pool *pool) {
    uint64_t usable = 0, reserved = 0, leased = 0, cooling = 0, retired = 0, ready = 0;
    uint32_t count = 0, in_lanes = 0;
    for (uint32_t i = 0; i < pool->chain_count; i++)
        for (const struct pool_entry *entry = pool->chains[i]; entry; entry = entry->next, count++) {
            CHECK(*chain_of(pool, entry->hash) == pool->chains[i]);
            usable += entry->holds_place;
            reserved += entry->is_reserved && entry->takes_place;
            leased += entry->is_counted_leased;
            cooling += entry->is_counted_cooling;
            retired += entry->is_counted_retired;
            ready += entry->is_ready;
            in_lanes += entry->lane != NULL;
            CHECK(!entry->is_ready || (entry->holds_place && !entry_is_leased(entry)));
            CHECK((entry->due_at == INT64_MAX) == (entry->positions[ORDER_DUE_SLOT] == ORDER_OUT));
            CHECK((entry->forget_at == INT64_MAX) == (entry->positions[ORDER_FORGET_SLOT] == ORDER_OUT));
            CHECK(entry->round == pool->round || pool->round_kind);
            CHECK(!entry->usage.retired_at || !entry->holds_place);
        }
    CHECK(count == pool->entry_count && count == pool->all->entry_count && ready == pool->all->ready_count);
    CHECK(usable == pool->usable_count && reserved == pool->reserved_count && leased == pool->leased_count);
    CHECK(cooling == pool->cooling_count && retired == pool->retired_count);
    CHECK(lanes_check(pool) == in_lanes);
    filters_check(pool);
    CHECK(lines_check(pool) == pool->waiting_count);
    lane_check(pool->all);
    order_check(&pool->due);
    order_check(&pool->forgets);
}
