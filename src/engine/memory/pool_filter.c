/* See pool_filter.h.
 *
 * A tree is an array of twice as many nodes as there may be seats: node 1 is the root, below i are 2 i and 2 i + 1, and
 * seat n is the leaf capacity + n. Keys stand in the nodes, so that a way to the root reads nothing else. */
#include "engine/memory/pool_filter.h"
#include "base/check.h"
#include "base/mp.h"

#include <assert.h>
#include <string.h>

#define CAPACITY_MIN 32 /* a power of two, as all capacities are */

struct filter_seat {
    struct list link; /* of its lane's seats */
    struct pool_lane *lane;
    struct pool_filter *filter;
    uint32_t number;
};

/* The best of what is below: the smallest key, and whose it is. */
struct filter_node {
    struct order_key key;
    uint64_t number;
};

struct pool_filter {
    struct list link; /* of the pool's filters; in none: of a single tag, whose pool_tag has it */
    struct filter_seat **seats;
    uint32_t count, capacity;
    uint32_t *sums;                         /* a tree of ready_count; NULL: nobody asked for chance */
    struct filter_node *trees[LANE_ORDERS]; /* by order; NULL: nobody asked for it */
    uint32_t credit;                        /* how far it is ahead of others */
    uint64_t tag_bits;
    struct bytes tags; /* they stand behind it */
};

/* ---- trees */

/* What stands in a leaf. lane NULL: nobody sits there. */
static struct filter_node leaf_of(const struct pool_lane *lane, enum order_kind kind, uint32_t number) {
    struct filter_node leaf = {{UINT64_MAX, UINT64_MAX}, number};
    if (lane && lane->ready_count) leaf.key = order_key_of(kind, lane->orders[kind].entries[0]);
    return leaf;
}

static bool nodes_are_equal(const struct filter_node *a, const struct filter_node *b) {
    return a->key.first == b->key.first && a->key.second == b->key.second && a->number == b->number;
}

static struct filter_node better_of(const struct filter_node *nodes) {
    return order_key_is_before(nodes[1].key, nodes[0].key) ? nodes[1] : nodes[0];
}

/* Up from the leaf, as far as anything changes. */
static void tree_note(struct filter_node *tree, uint32_t capacity, const struct filter_node *leaf) {
    struct filter_node node = *leaf;
    for (size_t at = capacity + leaf->number; !nodes_are_equal(&tree[at], &node); at /= 2) {
        tree[at] = node;
        if (at == 1) return;
        node = better_of(&tree[at & ~(size_t)1]);
    }
}

static void sums_note(uint32_t *sums, uint32_t capacity, uint32_t number, uint32_t count) {
    uint32_t more = count - sums[capacity + number]; /* it may be less */
    for (size_t at = capacity + number; more && at > 0; at /= 2) sums[at] += more;
}

/* After a change of who sits there, or how that lane stands. */
static void filter_note(struct pool_filter *filter, uint32_t number) {
    const struct pool_lane *lane = number < filter->count ? filter->seats[number]->lane : NULL;
    if (filter->sums) sums_note(filter->sums, filter->capacity, number, lane ? lane->ready_count : 0);
    for (unsigned kind = ORDER_ANY + 1; kind < LANE_ORDERS; kind++) {
        struct filter_node leaf;
        if (!filter->trees[kind]) continue;
        leaf = leaf_of(lane, (enum order_kind)kind, number);
        tree_note(filter->trees[kind], filter->capacity, &leaf);
    }
}

void filters_note(struct pool_lane *lane) {
    for (struct list *link = lane->seats.next; link != &lane->seats; link = link->next) {
        struct filter_seat *seat = LIST_ENTRY(link, struct filter_seat, link);
        filter_note(seat->filter, seat->number);
    }
}

/* ---- making trees */

static size_t sums_bytes(const struct pool_filter *filter) {
    return 2 * (size_t)filter->capacity * sizeof(*filter->sums);
}

static size_t tree_bytes(const struct pool_filter *filter) {
    return 2 * (size_t)filter->capacity * sizeof(struct filter_node);
}

static void trees_free(struct pool_memory memory, struct pool_filter *filter) {
    slab_free(memory.slab, filter->sums, sums_bytes(filter));
    filter->sums = NULL;
    for (unsigned kind = 0; kind < LANE_ORDERS; kind++) {
        slab_free(memory.slab, filter->trees[kind], tree_bytes(filter));
        filter->trees[kind] = NULL;
    }
}

static bool sums_make(struct pool_memory memory, struct pool_filter *filter) {
    uint32_t *sums = slab_alloc(memory.slab, memory.arena, sums_bytes(filter)), capacity = filter->capacity;
    if (!sums) return false;
    for (uint32_t i = 0; i < capacity; i++)
        sums[capacity + i] = i < filter->count ? filter->seats[i]->lane->ready_count : 0;
    for (uint32_t at = capacity - 1; at > 0; at--) sums[at] = sums[2 * at] + sums[2 * at + 1];
    filter->sums = sums;
    return true;
}

/* Its lanes are in that order from here on. */
static bool tree_make(struct pool_memory memory, const struct pool *pool, struct pool_filter *filter,
                      enum order_kind kind) {
    uint32_t capacity = filter->capacity;
    for (uint32_t i = 0; i < filter->count; i++)
        if (!lane_build(memory, pool, filter->seats[i]->lane, kind)) return false;
    struct filter_node *tree = slab_alloc(memory.slab, memory.arena, tree_bytes(filter));
    if (!tree) return false;
    for (uint32_t i = 0; i < capacity; i++)
        tree[capacity + i] = leaf_of(i < filter->count ? filter->seats[i]->lane : NULL, kind, i);
    for (uint32_t at = capacity - 1; at > 0; at--) tree[at] = better_of(&tree[2 * (size_t)at]);
    filter->trees[kind] = tree;
    return true;
}

/* For so many seats at most. The trees go, and are made again by whoever asks for them next. False where memory is
 * lacking. */
static bool filter_resize(struct pool_memory memory, struct pool_filter *filter, uint32_t capacity) {
    struct filter_seat **seats = slab_alloc(memory.slab, memory.arena, capacity * sizeof(struct filter_seat *));
    if (!seats) return false;
    trees_free(memory, filter);
    if (filter->count) memcpy(seats, filter->seats, filter->count * sizeof(struct filter_seat *));
    slab_free(memory.slab, filter->seats, filter->capacity * sizeof(struct filter_seat *));
    filter->seats = seats;
    filter->capacity = capacity;
    return true;
}

/* ---- seats */

/* The lane may be without an order that the filter has a tree of: it is empty, so that takes no memory. */
static void lane_follow(struct pool_lane *lane, const struct pool_filter *filter) {
    for (unsigned kind = ORDER_ANY + 1; kind < LANE_ORDERS; kind++)
        if (filter->trees[kind] && !lane->is_built[kind]) {
            assert(lane->entry_count == 0);
            lane->is_built[kind] = true;
        }
}

static bool seat_make(struct pool_memory memory, struct pool_filter *filter, struct pool_lane *lane) {
    uint32_t capacity = filter->capacity ? 2 * filter->capacity : CAPACITY_MIN;
    if (filter->count == filter->capacity && !filter_resize(memory, filter, capacity)) return false;
    struct filter_seat *seat = slab_alloc(memory.slab, memory.arena, sizeof(*seat));
    if (!seat) return false;
    *seat = (struct filter_seat){.lane = lane, .filter = filter, .number = filter->count};
    list_init(&seat->link);
    list_append(&lane->seats, &seat->link);
    filter->seats[filter->count++] = seat;
    lane_follow(lane, filter);
    filter_note(filter, seat->number);
    return true;
}

/* The last one moves to its place. */
static void seat_free(struct pool_memory memory, struct filter_seat *seat) {
    struct pool_filter *filter = seat->filter;
    uint32_t number = seat->number, last = --filter->count;
    filter->seats[number] = filter->seats[last];
    filter->seats[number]->number = number;
    filter_note(filter, last);
    if (number != last) filter_note(filter, number);
    list_remove(&seat->link);
    slab_free(memory.slab, seat, sizeof(*seat));
    if (filter->capacity > CAPACITY_MIN && filter->count < filter->capacity / 4)
        filter_resize(memory, filter, filter->capacity / 2);
}

/* ---- filters */

static void filter_free(struct pool_memory memory, struct pool_filter *filter) {
    for (uint32_t i = 0; i < filter->count; i++) {
        list_remove(&filter->seats[i]->link);
        slab_free(memory.slab, filter->seats[i], sizeof(struct filter_seat));
    }
    trees_free(memory, filter);
    slab_free(memory.slab, filter->seats, filter->capacity * sizeof(struct filter_seat *));
    slab_free(memory.slab, filter, sizeof(*filter) + filter->tags.size);
}

/* With a seat for each lane of the tag that has all of `tags`. */
static struct pool_filter *filter_new(struct pool_memory memory, const struct pool *pool, struct bytes tags,
                                      const struct pool_tag *rarest) {
    struct pool_filter *filter = slab_alloc(memory.slab, memory.arena, sizeof(*filter) + tags.size);
    if (!filter) return NULL;
    *filter = (struct pool_filter){
        .credit = FILTER_CREDIT, .tag_bits = tags_bits(pool, tags), .tags = bytes_of(filter + 1, tags.size)};
    memcpy(filter + 1, tags.data, tags.size);
    list_init(&filter->link);
    for (struct list *link = rarest->lanes.next; link != &rarest->lanes; link = link->next) {
        struct pool_lane *lane = LIST_ENTRY(link, struct lane_tag, link)->lane;
        if (!tags_cover(lane->tags, tags) || seat_make(memory, filter, lane)) continue;
        filter_free(memory, filter);
        return NULL;
    }
    return filter;
}

void filter_of_tag_drop(struct pool_memory memory, struct pool_tag *tag) {
    if (tag->filter) filter_free(memory, tag->filter);
    tag->filter = NULL;
}

static void filter_drop(struct pool_memory memory, struct pool *pool, struct pool_filter *filter) {
    list_remove(&filter->link);
    pool->filter_count--;
    filter_free(memory, filter);
}

static void filters_drop(struct pool_memory memory, struct pool *pool) {
    while (!list_is_empty(&pool->filters))
        filter_drop(memory, pool, LIST_ENTRY(pool->filters.next, struct pool_filter, link));
}

/* Room for one more filter: each ask for which there is none takes one of the credit of the next in turn, and who has
 * none left goes. So many sets of tags that are asked for in turn do not have filters made and dropped all the time. */
static bool filters_give_way(struct pool_memory memory, struct pool *pool) {
    if (pool->filter_count < FILTERS_MAX) return true;
    struct pool_filter *next = LIST_ENTRY(pool->filters.next, struct pool_filter, link);
    if (next->credit == 0) {
        filter_drop(memory, pool, next);
        return true;
    }
    next->credit--;
    list_remove(&next->link);
    list_append(&pool->filters, &next->link);
    return false;
}

static struct pool_filter *filter_of_several(struct pool_memory memory, struct pool *pool, struct bytes tags,
                                             const struct pool_tag *rarest) {
    for (struct list *link = pool->filters.next; link != &pool->filters; link = link->next) {
        struct pool_filter *filter = LIST_ENTRY(link, struct pool_filter, link);
        if (!bytes_equal(filter->tags, tags)) continue;
        filter->credit += filter->credit < FILTER_CREDIT;
        return filter;
    }
    if (!filters_give_way(memory, pool)) return NULL;
    struct pool_filter *filter = filter_new(memory, pool, tags, rarest);
    if (!filter) return NULL;
    list_append(&pool->filters, &filter->link);
    pool->filter_count++;
    return filter;
}

struct pool_filter *filter_of(struct pool_memory memory, struct pool *pool, struct bytes tags,
                              struct pool_tag *rarest) {
    struct mp_cursor cursor = mp_cursor_of(tags);
    if (rarest->lane_count < FILTER_LANES_MIN) return NULL;
    if (mp_read_array(&cursor) > 1) return filter_of_several(memory, pool, tags, rarest);
    if (!rarest->filter) rarest->filter = filter_new(memory, pool, tags, rarest);
    return rarest->filter;
}

/* ---- lanes that come and go */

void filters_join(struct pool_memory memory, struct pool *pool, struct pool_lane *lane) {
    for (uint32_t i = 0; i < lane->tag_count; i++) {
        struct pool_tag *tag = lane->lane_tags[i].tag;
        if (tag && tag->filter && !seat_make(memory, tag->filter, lane)) filter_of_tag_drop(memory, tag);
    }
    for (struct list *link = pool->filters.next, *next; link != &pool->filters; link = next) {
        struct pool_filter *filter = LIST_ENTRY(link, struct pool_filter, link);
        next = link->next;
        if (filter->tag_bits & ~lane->tag_bits || !tags_cover(lane->tags, filter->tags)) continue;
        if (!seat_make(memory, filter, lane)) filter_drop(memory, pool, filter);
    }
}

/* Called before the lane's tags forget it. */
void filters_leave(struct pool_memory memory, struct pool *pool, struct pool_lane *lane) {
    while (!list_is_empty(&lane->seats)) seat_free(memory, LIST_ENTRY(lane->seats.next, struct filter_seat, link));
    for (uint32_t i = 0; i < lane->tag_count; i++) {
        struct pool_tag *tag = lane->lane_tags[i].tag;
        if (tag && tag->lane_count <= FILTER_LANES_MIN / 2) filter_of_tag_drop(memory, tag);
    }
    if (!pool->lane_count) filters_drop(memory, pool);
}

/* ---- picking */

/* Down from the root to the one that so many others stand before. */
static bool pick_by_chance(struct pool_memory memory, struct pool *pool, const struct pool_filter *filter,
                           struct pool_entry **picked) {
    uint64_t left = prng_below(&pool->prng, filter->sums[1]);
    size_t at = 1;
    while (at < filter->capacity) {
        at *= 2;
        if (left >= filter->sums[at]) left -= filter->sums[at++];
    }
    struct pool_lane *lane = filter->seats[at - filter->capacity]->lane;
    if (!lane_build(memory, pool, lane, ORDER_ANY)) return false;
    *picked = lane->orders[ORDER_ANY].entries[left];
    return true;
}

bool filter_pick(struct pool_memory memory, struct pool *pool, struct pool_filter *filter, enum order_kind kind,
                 struct pool_entry **picked) {
    *picked = NULL;
    if (!filter->count) return true;
    if (kind == ORDER_ANY) {
        if (!filter->sums && !sums_make(memory, filter)) return false;
        return !filter->sums[1] || pick_by_chance(memory, pool, filter, picked);
    }
    if (!filter->trees[kind] && !tree_make(memory, pool, filter, kind)) return false;
    const struct pool_lane *lane = filter->seats[filter->trees[kind][1].number]->lane;
    if (lane->ready_count) *picked = lane->orders[kind].entries[0];
    return true;
}

/* ---- checking */

static void tree_check(const struct pool_filter *filter, enum order_kind kind) {
    const struct filter_node *tree = filter->trees[kind];
    for (uint32_t i = 0; i < filter->capacity; i++) {
        struct filter_node leaf = leaf_of(i < filter->count ? filter->seats[i]->lane : NULL, kind, i);
        CHECK(nodes_are_equal(&tree[filter->capacity + i], &leaf));
        CHECK(i >= filter->count || filter->seats[i]->lane->is_built[kind]);
    }
    for (uint32_t at = 1; at < filter->capacity; at++) {
        struct filter_node better = better_of(&tree[2 * (size_t)at]);
        CHECK(nodes_are_equal(&tree[at], &better));
    }
}

static void filter_check(const struct pool_filter *filter) {
    CHECK(filter->count <= filter->capacity);
    for (uint32_t i = 0; i < filter->count; i++) {
        CHECK(filter->seats[i]->filter == filter && filter->seats[i]->number == i);
        CHECK(tags_cover(filter->seats[i]->lane->tags, filter->tags));
    }
    for (uint32_t i = 0; filter->sums && i < filter->capacity; i++)
        CHECK(filter->sums[filter->capacity + i] == (i < filter->count ? filter->seats[i]->lane->ready_count : 0));
    for (uint32_t at = 1; filter->sums && at < filter->capacity; at++)
        CHECK(filter->sums[at] == filter->sums[2 * at] + filter->sums[2 * at + 1]);
    for (unsigned kind = ORDER_ANY + 1; kind < LANE_ORDERS; kind++)
        if (filter->trees[kind]) tree_check(filter, (enum order_kind)kind);
}

/* In how many filters the lane belongs. */
static uint32_t filters_of(const struct pool *pool, const struct pool_lane *lane) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < lane->tag_count; i++) count += lane->lane_tags[i].tag && lane->lane_tags[i].tag->filter;
    for (const struct list *link = pool->filters.next; link != &pool->filters; link = link->next)
        count += tags_cover(lane->tags, LIST_ENTRY(link, struct pool_filter, link)->tags);
    return count;
}

void filters_check(const struct pool *pool) {
    uint32_t count = 0;
    for (const struct list *link = pool->filters.next; link != &pool->filters; link = link->next, count++)
        filter_check(LIST_ENTRY(link, struct pool_filter, link));
    CHECK(count == pool->filter_count && count <= FILTERS_MAX);
    for (uint32_t i = 0; i < pool->tag_chain_count; i++)
        for (const struct pool_tag *tag = pool->tag_chains[i]; tag; tag = tag->next) {
            if (!tag->filter) continue;
            filter_check(tag->filter);
            CHECK(tag->filter->count == tag->lane_count);
        }
    for (uint32_t i = 0; i < pool->lane_chain_count; i++)
        for (const struct pool_lane *lane = pool->lane_chains[i]; lane; lane = lane->next) {
            uint32_t seats = 0;
            for (const struct list *link = lane->seats.next; link != &lane->seats; link = link->next) seats++;
            CHECK(seats == filters_of(pool, lane));
        }
}
