/* The lanes of a pool, and how they are found: by the whole set of their tags, and by each tag. See pool.h.
 *
 * A pool may have as many lanes as entries (a tag for each proxy), so nothing looks through all of them: a lane is
 * looked for among those that share the rarest of its tags. */
#include "base/mp.h"
#include "engine/memory/pool.h"

#include <string.h>

#define TAG_CHAINS_MIN 8

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
    uint32_t old_count = pool->tag_chain_count, count = old_count ? old_count * 2 : TAG_CHAINS_MIN;
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

/* ---- lanes */

static size_t lane_size(const struct pool_lane *lane) {
    return sizeof(*lane) + lane->tag_count * sizeof(lane->lane_tags[0]) + lane->tags.size;
}

static struct pool_lane *lane_new(struct pool_memory memory, unsigned first_slot, uint32_t tag_count,
                                  struct bytes tags) {
    struct pool_lane sized = {.tag_count = tag_count, .tags = tags};
    struct pool_lane *lane = slab_alloc(memory.slab, memory.arena, lane_size(&sized));
    if (!lane) return NULL;
    *lane = (struct pool_lane){.tag_count = tag_count};
    list_init(&lane->link);
    list_init(&lane->entries);
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

void lane_free(struct pool_memory memory, struct pool *pool, struct pool_lane *lane) {
    for (uint32_t i = 0; i < lane->tag_count; i++) {
        struct pool_tag *tag = lane->lane_tags[i].tag;
        if (!tag) continue;
        list_remove(&lane->lane_tags[i].link);
        if (--tag->lane_count == 0) tag_free(memory, pool, tag);
    }
    if (lane != pool->all && !list_is_empty(&lane->link)) pool->lane_count--;
    list_remove(&lane->link);
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++) order_fini(&lane->orders[kind], memory.slab);
    slab_free(memory.slab, lane, lane_size(lane));
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
    struct pool_tag *tag = pool_tag_rarest(pool, tags);
    for (struct list *link = tag ? tag->lanes.next : NULL; tag && link != &tag->lanes; link = link->next) {
        struct pool_lane *lane = LIST_ENTRY(link, struct lane_tag, link)->lane;
        if (bytes_equal(lane->tags, tags)) return lane;
    }
    struct mp_cursor cursor = mp_cursor_of(tags);
    struct pool_lane *lane = lane_new(memory, LANE_ORDERS, mp_read_array(&cursor), tags);
    if (!lane) return NULL;
    if (!lane_enlist(memory, pool, lane)) {
        lane_free(memory, pool, lane);
        return NULL;
    }
    list_append(&pool->lanes, &lane->link);
    pool->lane_count++;
    return lane;
}

bool lane_make_room(struct pool_memory memory, struct pool_lane *lane) {
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++)
        if (lane->is_built[kind] &&
            !order_reserve(&lane->orders[kind], memory.slab, memory.arena, lane->entry_count + 1))
            return false;
    return true;
}
