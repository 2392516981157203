/* The orders in which a pool's entries stand: an indexed heap with a comparison for each kind, and one plain array.
 *
 * An entry keeps where it stands in each order, so that it is found, moved and taken out without a search: O(log n), or
 * O(1) in the array. Room is made beforehand (order_reserve), so that putting in cannot fail. Under the pool's lock. */
#ifndef ENGINE_MEMORY_POOL_ORDER_H
#define ENGINE_MEMORY_POOL_ORDER_H

#include "engine/memory/slab.h"
#include <stdbool.h>
#include <stdint.h>

struct pool_entry;

enum order_kind {
    ORDER_ANY,          /* none: for chance */
    ORDER_LEAST_RECENT, /* the hand-out longest ago first, those never handed out before all */
    ORDER_MOST_RECENT,  /* the last hand-out first, then those never handed out as they entered */
    ORDER_LEAST_USED,   /* the smallest usage first, then least recent */
    ORDER_DUE,          /* what is due first */
    ORDER_FORGET,       /* whose retention ends first */
    ORDER_KIND_COUNT
};

#define ORDER_OUT UINT32_MAX /* a position: it stands in no such order */

struct order {
    struct pool_entry **entries;
    uint32_t count, capacity;
    uint8_t kind; /* enum order_kind */
    uint8_t slot; /* which of an entry's positions is this order's */
};

/* By which an entry stands in an order, as numbers: the smaller comes first. Not of ORDER_ANY. */
struct order_key {
    uint64_t first, second;
};
struct order_key order_key_of(enum order_kind kind, const struct pool_entry *entry);
static inline bool order_key_is_before(struct order_key a, struct order_key b) {
    return a.first != b.first ? a.first < b.first : a.second < b.second;
}

/* Whether `a` comes before `b`. */
bool order_is_before(enum order_kind kind, const struct pool_entry *a, const struct pool_entry *b);

/* Makes room for `count` entries in all. False where memory is lacking. */
bool order_reserve(struct order *order, struct slab *slab, unsigned arena, uint32_t count);

/* Gives room back where most is unused; there stays some for `count` entries. */
void order_trim(struct order *order, struct slab *slab, unsigned arena, uint32_t count);

/* Puts in an entry that is out; there is room. */
void order_insert(struct order *order, struct pool_entry *entry);
/* Takes an entry out, if it is in. */
void order_remove(struct order *order, struct pool_entry *entry);
/* After a change of what it is compared by; it is in. */
void order_update(struct order *order, struct pool_entry *entry);

/* Frees the array; no entry's position is touched. */
void order_fini(struct order *order, struct slab *slab);

/* Tests: asserts that all is in order. */
void order_check(const struct order *order);

#endif
