/* The timing wheel of one shard: which buckets of its table are due when.
 *
 * An entry is a bucket, not a record: the bucket's word `armed` holds its tick, and its neighbours stand in the links
 * beside the table's buckets, so that a timer costs nothing beyond those 12 bytes for five sessions. Whoever publishes
 * a record arms its bucket if that is due later; a touch or a destroy leaves it. When a bucket comes out its owner
 * looks at its records and arms it again for the earliest of the rest.
 *
 * Five levels of 64 slots: 64 ms, 4 s, 4 min, 4.7 h, 12 days. An entry stands on the level of the highest digit (of 6
 * bits) in which its tick differs from the cursor's, so all of a level comes before all of the next. Ticks are
 * milliseconds, 31 bits of them and one that says "armed", compared as a ring; what is due after WHEEL_HORIZON_MS is
 * armed there and comes out early. Each wheel turns with a phase of its own, so that not all shards move a slot down in
 * the same millisecond.
 *
 * Everything here runs under the shard's lock. It is told the time and never asks. All zero with wheel_init is empty:
 * nothing is allocated. Bucket numbers are those of the table's current array. */
#ifndef ENGINE_MEMORY_WHEEL_H
#define ENGINE_MEMORY_WHEEL_H

#include "engine/memory/table.h"

#define WHEEL_LEVELS     5
#define WHEEL_LEVEL_BITS 6
#define WHEEL_SLOTS      (1u << WHEEL_LEVEL_BITS)
#define WHEEL_TICK_BITS  31
#define WHEEL_TICK_MASK  ((1u << WHEEL_TICK_BITS) - 1)
#define WHEEL_ARMED      (1u << WHEEL_TICK_BITS)
/* The last level may not come round to the cursor's own slot, hence 63 of its 64. */
#define WHEEL_HORIZON_MS (INT64_C(63) << (WHEEL_LEVEL_BITS * (WHEEL_LEVELS - 1)))

struct wheel {
    int64_t at_ms;                             /* the cursor: nothing armed is due earlier */
    uint32_t phase;                            /* added to every moment to make its tick */
    uint32_t count;                            /* armed buckets */
    uint64_t occupied[WHEEL_LEVELS];           /* bit: that slot is not empty */
    uint32_t slots[WHEEL_LEVELS][WHEEL_SLOTS]; /* first bucket + 1; 0: empty */
};

/* An empty wheel whose cursor stands at now_ms. `phase`: any number, another one for each shard. */
void wheel_init(struct wheel *wheel, int64_t now_ms, uint32_t phase);

/* Sees to it that the bucket comes out at at_ms or earlier; a moment before the cursor counts as the cursor's, one
 * beyond the horizon as the horizon's. True: it was armed later or not at all before. */
bool wheel_arm(struct wheel *wheel, struct table *table, uint32_t bucket, int64_t at_ms);

/* When the bucket is armed for; INT64_MAX: not at all. */
int64_t wheel_armed_at(const struct wheel *wheel, const struct table *table, uint32_t bucket);

/* Takes out at most `max` buckets that are due at now_ms, the earlier first (in no order within one millisecond),
 * writes their numbers, asks the processor for them and answers how many. They are no longer armed: whoever took them
 * looks through each one and arms it again. Work is left as long as wheel_next_due is not above now_ms, also after an
 * answer of 0, since the work of moving slots down is bounded too. */
unsigned wheel_advance(struct wheel *wheel, struct table *table, int64_t now_ms, uint32_t *buckets, unsigned max);

/* A moment not later than the earliest armed one: exact within 64 ms, else the start of its slot. INT64_MAX: none. */
int64_t wheel_next_due(const struct wheel *wheel);

/* Links all armed buckets of a new array of so many. For table.c, when it replaces the array. */
void wheel_rebuild(struct wheel *wheel, struct table_array *array, uint32_t bucket_count);

/* Of two words `armed`, the one due earlier; 0 is never. For table.c, when it merges buckets. */
static inline uint32_t wheel_earlier(uint32_t a, uint32_t b) {
    if (!a || !b) return a | b;
    return ((a - b) & WHEEL_TICK_MASK) >> (WHEEL_TICK_BITS - 1) ? a : b;
}

/* Tests: asserts every invariant. */
void wheel_check(const struct wheel *wheel, const struct table *table);

#endif
