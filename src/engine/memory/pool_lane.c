/* The lanes of a pool, and how they are found: by the whole set of their tags, and by each tag. See pool.h.
 *
 * A pool may have as many lanes as entries (a tag for each proxy), so nothing looks through all of them: not whoever
 * puts a session in, which finds its lane by a hash, nor whoever asks for tags (pool_filter.h). */
#include "base/mp.h"
#include "engine/memory/pool_filter.h"

#include <assert.h>
#include <string.h>

#define CHAINS_MIN 8

/* ---- tags */

static bool tags_have(struct bytes tags, struct bytes tag) {
    struct mp_cursor cursor = mp_cursor_of(tags);
    for (uint32_t count = mp_read_array(&cursor); count > 0; count--)
        if (bytes_equal(mp_read_bytes(&cursor), tag)) return true;
    return false;
}

bool tags_cover(struct bytes tags, struct bytes wanted) {
    struct mp_cursor cursor = mp_cursor_of(wanted);
    for (uint32_t count = wanted.data ? mp_read_array(&cursor) : 0; count > 0; count--)
        if (!tags_have(tags, mp_read_bytes(&cursor))) return false;
    return true;
}

static struct pool_tag **tag_chain(const struct pool *pool, uint64_t hash) {
    return &pool->tag_chains[hash & (pool->tag_chain_count - 1)];
}

static struct pool_tag *tag_find(const struct pool *pool, struct bytes text, uint64_t hash) {
    struct pool_tag *tag = pool->tag_chain_count ? *tag_chain(pool, hash) : NULL;
    while (tag && !(tag->hash == hash && bytes_equal(bytes_of(tag->text, tag->size), text))) tag = tag->next;
    return tag;
}

static bool tag_chains_grow(struct pool_memory memory, struct pool *pool) {
    if (pool->tag_count < pool->tag_chain_count) return true;
    uint32_t old_count = pool->tag_chain_count, count = old_count ? old_count * 2 : CHAINS_MIN;
    struct pool_tag **chains = slab_alloc(memory.slab, memory.arena, count * sizeof(*chains)), **old = pool->tag_chains;
    if (!chains) return old_count > 0; /* longer chains do */
    memset(chains, 0, count * sizeof(*chains));
    pool->tag_chains = chains;
    pool->tag_chain_count = count;
    for (uint32_t i = 0; i < old_count; i++)
        for (struct pool_tag *tag = old[i], *next; tag; tag = next) {
            next = tag->next;
            struct pool_tag **chain = tag_chain(pool, tag->hash);
            tag->next = *chain;
            *chain = tag;
        }
    slab_free(memory.slab, old, old_count * sizeof(*old));
    return true;
}

static struct pool_tag *tag_make(struct pool_memory memory, struct pool *pool, struct bytes text) {
    uint64_t hash = hash_bytes(&pool->tag_key, text);
    struct pool_tag *tag = tag_find(pool, text, hash);
    if (tag || !tag_chains_grow(memory, pool)) return tag;
    tag = slab_alloc(memory.slab, memory.arena, sizeof(*tag) + text.size);
    if (!tag) return NULL;
    *tag = (struct pool_tag){.hash = hash, .size = (uint32_t)text.size};
    memcpy(tag->text, text.data, text.size);
    list_init(&tag->lanes);
    struct pool_tag **chain = tag_chain(pool, hash);
    tag->next = *chain;
    *chain = tag;
    pool->tag_count++;
    return tag;
}

/* Frees a tag that is on no lane. */
static void tag_free(struct pool_memory memory, struct pool *pool, struct pool_tag *tag) {
    filter_of_tag_drop(memory, tag);
    struct pool_tag **link = tag_chain(pool, tag->hash);
    while (*link != tag) link = &(*link)->next;
    *link = tag->next;
    pool->tag_count--;
    slab_free(memory.slab, tag, sizeof(*tag) + tag->size);
}

struct pool_tag *pool_tag_rarest(const struct pool *pool, struct bytes tags) {
    struct mp_cursor cursor = mp_cursor_of(tags);
    struct pool_tag *rarest = NULL;
    for (uint32_t count = mp_read_array(&cursor); count > 0; count--) {
        struct bytes text = mp_read_bytes(&cursor);
        struct pool_tag *tag = tag_find(pool, text, hash_bytes(&pool->tag_key, text));
        if (!tag) return NULL;
        if (!rarest || tag->lane_count < rarest->lane_count) rarest = tag;
    }
    return rarest;
}

uint64_t tags_bits(const struct pool *pool, struct bytes tags) {
    struct mp_cursor cursor = mp_cursor_of(tags);
    uint64_t bits = 0;
    for (uint32_t count = mp_read_array(&cursor); count > 0; count--)
        bits |= UINT64_C(1) << (hash_bytes(&pool->tag_key, mp_read_bytes(&cursor)) >> 58);
    return bits;
}

/* ---- lanes */

static struct pool_lane **lane_chain(const struct pool *pool, uint64_t hash) {
    return &pool->lane_chains[hash & (pool->lane_chain_count - 1)];
}

static struct pool_lane *lane_find(const struct pool *pool, struct bytes tags, uint64_t hash) {
    struct pool_lane *lane = pool->lane_chain_count ? *lane_chain(pool, hash) : NULL;
    while (lane && !(lane->hash == hash && bytes_equal(lane->tags, tags))) lane = lane->next;
    return lane;
}

static bool lane_chains_grow(struct pool_memory memory, struct pool *pool) {
    if (pool->lane_count < pool->lane_chain_count) return true;
    uint32_t old_count = pool->lane_chain_count, count = old_count ? old_count * 2 : CHAINS_MIN;
    struct pool_lane **chains = slab_alloc(memory.slab, memory.arena, count * sizeof(*chains)),
                     **old = pool->lane_chains;
    if (!chains) return old_count > 0; /* longer chains do */
    memset(chains, 0, count * sizeof(*chains));
    pool->lane_chains = chains;
    pool->lane_chain_count = count;
    for (uint32_t i = 0; i < old_count; i++)
        for (struct pool_lane *lane = old[i], *next; lane; lane = next) {
            next = lane->next;
            struct pool_lane **chain = lane_chain(pool, lane->hash);
            lane->next = *chain;
            *chain = lane;
        }
    slab_free(memory.slab, old, old_count * sizeof(*old));
    return true;
}

static size_t lane_size(const struct pool_lane *lane) {
    return sizeof(*lane) + lane->tag_count * sizeof(lane->lane_tags[0]) + lane->tags.size;
}

static struct pool_lane *lane_new(struct pool_memory memory, unsigned first_slot, uint32_t tag_count,
                                  struct bytes tags) {
    struct pool_lane sized = {.tag_count = tag_count, .tags = tags};
    struct pool_lane *lane = slab_alloc(memory.slab, memory.arena, lane_size(&sized));
    if (!lane) return NULL;
    *lane = (struct pool_lane){.tag_count = tag_count};
    list_init(&lane->entries);
    list_init(&lane->seats);
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++)
        lane->orders[kind] = (struct order){.kind = (uint8_t)kind, .slot = (uint8_t)(first_slot + kind)};
    memset(lane->lane_tags, 0, tag_count * sizeof(lane->lane_tags[0]));
    if (!tags.data) return lane;
    lane->tags = bytes_of(&lane->lane_tags[tag_count], tags.size);
    memcpy(&lane->lane_tags[tag_count], tags.data, tags.size);
    return lane;
}

struct pool_lane *lane_of_all(struct pool_memory memory) {
    return lane_new(memory, 0, 0, BYTES_ABSENT);
}

/* After the last lane. */
static void chains_free(struct pool_memory memory, struct pool *pool) {
    assert(!pool->tag_count && !pool->filter_count);
    slab_free(memory.slab, pool->lane_chains, pool->lane_chain_count * sizeof(*pool->lane_chains));
    slab_free(memory.slab, pool->tag_chains, pool->tag_chain_count * sizeof(*pool->tag_chains));
    pool->lane_chains = NULL;
    pool->tag_chains = NULL;
    pool->lane_chain_count = pool->tag_chain_count = 0;
}

/* Takes the lane out of where its tags find it. */
static void lane_delist(struct pool_memory memory, struct pool *pool, struct pool_lane *lane) {
    for (uint32_t i = 0; i < lane->tag_count; i++) {
        struct pool_tag *tag = lane->lane_tags[i].tag;
        if (!tag) continue;
        list_remove(&lane->lane_tags[i].link);
        if (--tag->lane_count == 0) tag_free(memory, pool, tag);
    }
}

static void lane_return_memory(struct pool_memory memory, struct pool_lane *lane) {
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++) order_fini(&lane->orders[kind], memory.slab);
    slab_free(memory.slab, lane, lane_size(lane));
}

void lane_free(struct pool_memory memory, struct pool *pool, struct pool_lane *lane) {
    if (lane != pool->all) {
        struct pool_lane **link = lane_chain(pool, lane->hash);
        while (*link != lane) link = &(*link)->next;
        *link = lane->next;
        pool->lane_count--;
        filters_leave(memory, pool, lane);
        lane_delist(memory, pool, lane);
        if (!pool->lane_count) chains_free(memory, pool);
    }
    lane_return_memory(memory, lane);
}

static bool lane_has_tag(const struct pool_lane *lane, const struct pool_tag *tag) {
    for (uint32_t i = 0; i < lane->tag_count; i++)
        if (lane->lane_tags[i].tag == tag) return true;
    return false;
}

/* Puts the lane where each of its tags finds it. False where memory is lacking. */
static bool lane_enlist(struct pool_memory memory, struct pool *pool, struct pool_lane *lane) {
    struct mp_cursor cursor = mp_cursor_of(lane->tags);
    mp_read_array(&cursor);
    for (uint32_t i = 0; i < lane->tag_count; i++) {
        struct lane_tag *place = &lane->lane_tags[i];
        struct pool_tag *tag = tag_make(memory, pool, mp_read_bytes(&cursor));
        if (!tag) return false;
        if (lane_has_tag(lane, tag)) continue;
        *place = (struct lane_tag){.lane = lane, .tag = tag};
        list_init(&place->link);
        list_append(&tag->lanes, &place->link);
        tag->lane_count++;
    }
    return true;
}

struct pool_lane *lane_of(struct pool_memory memory, struct pool *pool, struct bytes tags) {
    uint64_t hash = hash_bytes(&pool->tag_key, tags);
    struct pool_lane *lane = lane_find(pool, tags, hash);
    if (lane || !lane_chains_grow(memory, pool)) return lane;
    struct mp_cursor cursor = mp_cursor_of(tags);
    lane = lane_new(memory, LANE_ORDERS, mp_read_array(&cursor), tags);
    if (!lane) return NULL;
    lane->hash = hash;
    lane->tag_bits = tags_bits(pool, tags);
    if (!lane_enlist(memory, pool, lane)) {
        lane_delist(memory, pool, lane);
        lane_return_memory(memory, lane);
        return NULL;
    }
    struct pool_lane **chain = lane_chain(pool, hash);
    lane->next = *chain;
    *chain = lane;
    pool->lane_count++;
    filters_join(memory, pool, lane);
    return lane;
}

bool lane_make_room(struct pool_memory memory, struct pool_lane *lane) {
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++)
        if (lane->is_built[kind] &&
            !order_reserve(&lane->orders[kind], memory.slab, memory.arena, lane->entry_count + 1))
            return false;
    return true;
}

bool lane_build(struct pool_memory memory, const struct pool *pool, struct pool_lane *lane, enum order_kind kind) {
    struct order *order = &lane->orders[kind];
    if (lane->is_built[kind]) return true;
    if (!order_reserve(order, memory.slab, memory.arena, lane->entry_count)) return false;
    lane->is_built[kind] = true;
    for (struct list *link = lane->entries.next; link != &lane->entries; link = link->next) {
        struct pool_entry *entry = LIST_ENTRY(link, struct pool_entry, lane_link);
        if (entry->is_ready) order_insert(order, entry);
    }
    for (uint32_t i = 0; lane == pool->all && i < pool->chain_count; i++)
        for (struct pool_entry *entry = pool->chains[i]; entry; entry = entry->next)
            if (entry->is_ready) order_insert(order, entry);
    assert(order->count == lane->ready_count);
    return true;
}
