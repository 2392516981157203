/* See pool_order.h. */
#include "engine/memory/pool_order.h"
#include "base/check.h"
#include "engine/memory/pool.h"

#include <assert.h>
#include <string.h>

#define CAPACITY_MIN  4
#define CAPACITY_TRIM 64                  /* less is not worth giving back */
#define SIGN          (UINT64_C(1) << 63) /* moments may be negative */

/* The newest turn first; those never handed out come after all that were, the first to enter first. */
static uint64_t key_of_recency(uint64_t turn) {
    return turn < TURN_FIRST ? TURN_END + turn : TURN_END - turn;
}

struct order_key order_key_of(enum order_kind kind, const struct pool_entry *entry) {
    switch (kind) {
    case ORDER_LEAST_RECENT: return (struct order_key){0, entry->turn};
    case ORDER_MOST_RECENT: return (struct order_key){0, key_of_recency(entry->turn)};
    case ORDER_LEAST_USED: return (struct order_key){entry->usage.usage_count, entry->turn};
    case ORDER_DUE: return (struct order_key){(uint64_t)entry->due_at ^ SIGN, 0};
    case ORDER_FORGET: return (struct order_key){(uint64_t)entry->forget_at ^ SIGN, 0};
    case ORDER_ANY:
    case ORDER_KIND_COUNT: break;
    }
    return (struct order_key){0, 0};
}

bool order_is_before(enum order_kind kind, const struct pool_entry *a, const struct pool_entry *b) {
    return order_key_is_before(order_key_of(kind, a), order_key_of(kind, b));
}

static void order_put(struct order *order, uint32_t at, struct pool_entry *entry) {
    order->entries[at] = entry;
    entry->positions[order->slot] = at;
}

static void sift_up(struct order *order, uint32_t at) {
    struct pool_entry *entry = order->entries[at];
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (!order_is_before(order->kind, entry, order->entries[parent])) break;
        order_put(order, at, order->entries[parent]);
        at = parent;
    }
    order_put(order, at, entry);
}

static void sift_down(struct order *order, uint32_t at) {
    struct pool_entry *entry = order->entries[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= order->count) break;
        if (child + 1 < order->count && order_is_before(order->kind, order->entries[child + 1], order->entries[child]))
            child++;
        if (!order_is_before(order->kind, order->entries[child], entry)) break;
        order_put(order, at, order->entries[child]);
        at = child;
    }
    order_put(order, at, entry);
}

bool order_reserve(struct order *order, struct slab *slab, unsigned arena, uint32_t count) {
    if (count <= order->capacity) return true;
    uint32_t capacity = order->capacity ? order->capacity : CAPACITY_MIN;
    while (capacity < count) capacity += capacity / 2;
    struct pool_entry **entries = slab_alloc(slab, arena, capacity * sizeof(*entries));
    if (!entries) return false;
    if (order->count) memcpy(entries, order->entries, order->count * sizeof(*entries));
    slab_free(slab, order->entries, order->capacity * sizeof(*entries));
    order->entries = entries;
    order->capacity = capacity;
    return true;
}

void order_trim(struct order *order, struct slab *slab, unsigned arena, uint32_t count) {
    uint32_t capacity = order->capacity / 2;
    if (order->capacity < CAPACITY_TRIM || count > capacity / 2) return;
    struct pool_entry **entries = slab_alloc(slab, arena, capacity * sizeof(*entries));
    if (!entries) return;
    if (order->count) memcpy(entries, order->entries, order->count * sizeof(*entries));
    slab_free(slab, order->entries, order->capacity * sizeof(*entries));
    order->entries = entries;
    order->capacity = capacity;
}

void order_insert(struct order *order, struct pool_entry *entry) {
    assert(order->count < order->capacity && entry->positions[order->slot] == ORDER_OUT);
    order_put(order, order->count, entry);
    sift_up(order, order->count++);
}

void order_remove(struct order *order, struct pool_entry *entry) {
    uint32_t at = entry->positions[order->slot];
    if (at == ORDER_OUT) return;
    assert(at < order->count && order->entries[at] == entry);
    entry->positions[order->slot] = ORDER_OUT;
    struct pool_entry *last = order->entries[--order->count];
    if (last == entry) return;
    order_put(order, at, last);
    order_update(order, last);
}

void order_update(struct order *order, struct pool_entry *entry) {
    sift_up(order, entry->positions[order->slot]);
    sift_down(order, entry->positions[order->slot]);
}

void order_fini(struct order *order, struct slab *slab) {
    slab_free(slab, order->entries, order->capacity * sizeof(*order->entries));
    order->entries = NULL;
    order->count = order->capacity = 0;
}

void order_check(const struct order *order) {
    CHECK(order->count <= order->capacity);
    for (uint32_t i = 0; i < order->count; i++) {
        CHECK(order->entries[i]->positions[order->slot] == i);
        if (i > 0) CHECK(!order_is_before(order->kind, order->entries[i], order->entries[(i - 1) / 2]));
    }
}
