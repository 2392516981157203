/* The timing wheel; see wheel.h. */
#include "engine/memory/wheel.h"
#include "base/check.h"

#include <string.h>

enum {
    MOVES_MAX = 1024, /* entries that one wheel_advance moves down: some 10 microseconds */
    MOVES_AHEAD = 32  /* of them looked at ahead */
};

#define LINK_NONE  UINT32_MAX
#define LINK_FIRST (1u << 31) /* in `previous`: it is the first of the slot whose level and number stand below */

static uint32_t cursor_tick(const struct wheel *wheel) {
    return ((uint32_t)wheel->at_ms + wheel->phase) & WHEEL_TICK_MASK;
}

static unsigned digit_of(uint32_t tick, unsigned level) {
    return tick >> (level * WHEEL_LEVEL_BITS) & (WHEEL_SLOTS - 1);
}

/* The level of the highest digit that differs. The one bit above the last level's digit belongs to it: the horizon
 * keeps apart what differs there only. */
static unsigned level_of(uint32_t tick, uint32_t cursor) {
    uint32_t difference = tick ^ cursor;
    unsigned level = difference ? (31 - (unsigned)__builtin_clz(difference)) / WHEEL_LEVEL_BITS : 0;
    return level < WHEEL_LEVELS ? level : WHEEL_LEVELS - 1;
}

/* ---- links */

static void entry_link(struct wheel *wheel, struct table_array *array, uint32_t bucket) {
    uint32_t tick = table_bucket_at(array, bucket)->armed & WHEEL_TICK_MASK;
    unsigned level = level_of(tick, cursor_tick(wheel)), slot = digit_of(tick, level);
    uint32_t *first = &wheel->slots[level][slot], next = *first ? *first - 1 : LINK_NONE;
    *table_link_at(array, bucket) = (struct table_link){LINK_FIRST | level << WHEEL_LEVEL_BITS | slot, next};
    if (next != LINK_NONE) table_link_at(array, next)->previous = bucket;
    *first = bucket + 1;
    wheel->occupied[level] |= UINT64_C(1) << slot;
    wheel->count++;
}

static void entry_unlink(struct wheel *wheel, struct table_array *array, uint32_t bucket) {
    struct table_link link = *table_link_at(array, bucket);
    if (link.next != LINK_NONE) table_link_at(array, link.next)->previous = link.previous;
    if (link.previous & LINK_FIRST) {
        unsigned slot = link.previous & (WHEEL_SLOTS - 1);
        unsigned level = (link.previous & ~LINK_FIRST) >> WHEEL_LEVEL_BITS;
        wheel->slots[level][slot] = link.next + 1; /* LINK_NONE + 1 is 0: empty */
        if (link.next == LINK_NONE) wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    } else {
        table_link_at(array, link.previous)->next = link.next;
    }
    wheel->count--;
}

/* ---- arming */

void wheel_init(struct wheel *wheel, int64_t now_ms, uint32_t phase) {
    memset(wheel, 0, sizeof *wheel);
    wheel->at_ms = now_ms;
    wheel->phase = phase;
}

bool wheel_arm(struct wheel *wheel, struct table *table, uint32_t bucket, int64_t at_ms) {
    struct table_array *array = table_array(table);
    uint32_t *armed = &table_bucket_at(array, bucket)->armed;
    assert(array->segment_bits && bucket < table_bucket_count(table)); /* what an empty table shows has no links */
    if (at_ms < wheel->at_ms) at_ms = wheel->at_ms;
    if (at_ms - wheel->at_ms > WHEEL_HORIZON_MS) at_ms = wheel->at_ms + WHEEL_HORIZON_MS;
    uint32_t word = (((uint32_t)at_ms + wheel->phase) & WHEEL_TICK_MASK) | WHEEL_ARMED;
    if (*armed) {
        if (*armed == word || wheel_earlier(*armed, word) == *armed) return false;
        entry_unlink(wheel, array, bucket);
    }
    *armed = word;
    entry_link(wheel, array, bucket);
    return true;
}

int64_t wheel_armed_at(const struct wheel *wheel, const struct table *table, uint32_t bucket) {
    uint32_t armed = table_bucket_at(table_array(table), bucket)->armed;
    return armed ? wheel->at_ms + ((armed - cursor_tick(wheel)) & WHEEL_TICK_MASK) : INT64_MAX;
}

void wheel_rebuild(struct wheel *wheel, struct table_array *array, uint32_t bucket_count) {
    memset(wheel->occupied, 0, sizeof wheel->occupied);
    memset(wheel->slots, 0, sizeof wheel->slots);
    wheel->count = 0;
    for (uint32_t bucket = 0; bucket < bucket_count; bucket++)
        if (table_bucket_at(array, bucket)->armed) entry_link(wheel, array, bucket);
}

/* ---- turning */

/* The lowest level above the first whose slot under the cursor still has entries to move down; 0: none. */
static unsigned level_to_move(const struct wheel *wheel) {
    uint32_t cursor = cursor_tick(wheel);
    for (unsigned level = 1; level < WHEEL_LEVELS; level++)
        if (wheel->occupied[level] >> digit_of(cursor, level) & 1) return level;
    return 0;
}

int64_t wheel_next_due(const struct wheel *wheel) {
    if (level_to_move(wheel)) return wheel->at_ms;
    uint32_t cursor = cursor_tick(wheel);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t occupied = wheel->occupied[level];
        if (!occupied) continue;
        unsigned digit = digit_of(cursor, level), shift = level * WHEEL_LEVEL_BITS;
        uint64_t ahead = occupied >> digit | (digit ? occupied << (WHEEL_SLOTS - digit) : 0);
        uint32_t into_slot = cursor & ((1u << shift) - 1);
        return wheel->at_ms + ((int64_t)__builtin_ctzll(ahead) << shift) - into_slot;
    }
    return INT64_MAX;
}

/* The first entries of a slot, at most `max`; asks the processor for their buckets, which are cold after hours. */
static unsigned slot_look(const struct wheel *wheel, const struct table_array *array, unsigned level, uint32_t *buckets,
                          unsigned max) {
    uint32_t bucket = wheel->slots[level][digit_of(cursor_tick(wheel), level)] - 1;
    unsigned count = 0;
    for (; count < max && bucket != LINK_NONE; bucket = table_link_at(array, bucket)->next) {
        __builtin_prefetch(table_bucket_at(array, bucket));
        buckets[count++] = bucket;
    }
    return count;
}

/* Moves what stands under the cursor on the upper levels down. False: `moves` ran out first. */
static bool wheel_move_down(struct wheel *wheel, struct table_array *array, unsigned *moves) {
    uint32_t buckets[MOVES_AHEAD];
    for (unsigned level; (level = level_to_move(wheel));) {
        if (*moves < MOVES_AHEAD) return false;
        unsigned count = slot_look(wheel, array, level, buckets, MOVES_AHEAD);
        *moves -= count;
        for (unsigned i = 0; i < count; i++) {
            entry_unlink(wheel, array, buckets[i]);
            entry_link(wheel, array, buckets[i]);
        }
    }
    return true;
}

/* Takes out what is due in the cursor's own millisecond; answers how many. */
static unsigned wheel_take(struct wheel *wheel, struct table_array *array, uint32_t *buckets, unsigned max) {
    uint32_t *first = &wheel->slots[0][digit_of(cursor_tick(wheel), 0)];
    unsigned taken = 0;
    while (taken < max && *first) {
        uint32_t bucket = *first - 1;
        entry_unlink(wheel, array, bucket);
        table_bucket_at(array, bucket)->armed = 0;
        buckets[taken++] = bucket;
    }
    return taken;
}

unsigned wheel_advance(struct wheel *wheel, struct table *table, int64_t now_ms, uint32_t *buckets, unsigned max) {
    struct table_array *array = table_array(table);
    unsigned taken = 0, moves = MOVES_MAX;
    if (now_ms < wheel->at_ms) return 0;
    while (taken < max && wheel_move_down(wheel, array, &moves)) {
        taken += wheel_take(wheel, array, buckets + taken, max - taken);
        if (taken == max || wheel->at_ms == now_ms) break;
        int64_t next_ms = wheel_next_due(wheel);
        wheel->at_ms = next_ms < now_ms ? next_ms : now_ms;
    }
    for (unsigned i = 0; i < taken; i++) __builtin_prefetch(table_bucket_at(array, buckets[i]));
    return taken;
}

/* ---- checking */

static uint32_t slot_check(const struct wheel *wheel, const struct table *table, unsigned level, unsigned slot) {
    const struct table_array *array = table_array(table);
    uint32_t first = wheel->slots[level][slot];
    CHECK(!first == !(wheel->occupied[level] >> slot & 1));
    if (!first) return 0; /* nearly all of them, and tests check after each step */
    uint32_t count = 0, cursor = cursor_tick(wheel), previous = LINK_FIRST | level << WHEEL_LEVEL_BITS | slot;
    for (uint32_t bucket = first - 1; bucket != LINK_NONE; bucket = table_link_at(array, bucket)->next) {
        CHECK(bucket < table_bucket_count(table) && table_link_at(array, bucket)->previous == previous);
        uint32_t armed = table_bucket_at(array, bucket)->armed, tick = armed & WHEEL_TICK_MASK;
        CHECK(armed & WHEEL_ARMED && ((tick - cursor) & WHEEL_TICK_MASK) <= WHEEL_HORIZON_MS);
        CHECK(digit_of(tick, level) == slot);
        CHECK(level == level_of(tick, cursor) || slot == digit_of(cursor, level)); /* or it is still to be moved */
        previous = bucket;
        count++;
    }
    return count;
}

void wheel_check(const struct wheel *wheel, const struct table *table) {
    const struct table_array *array = table_array(table);
    uint32_t linked = 0, armed = 0;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) linked += slot_check(wheel, table, level, slot);
    for (uint32_t bucket = 0; bucket < table_bucket_count(table); bucket++)
        armed += table_bucket_at(array, bucket)->armed != 0;
    CHECK(linked == armed && linked == wheel->count);
}
