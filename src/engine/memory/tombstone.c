/* The set of tombstones; see tombstone.h. */
#include "engine/memory/tombstone.h"
#include "base/check.h"

#include <assert.h>
#include <string.h>

enum {
    CAPACITY_MIN = 8,
    LOAD_PERCENT_MAX = 80, /* of the capacity; beyond that probing grows long, and only a lack of memory leads there */
    SHRINK_PART = 4        /* a set with less than this part of its capacity in use is given a smaller block */
};

/* The lower half of the hash chooses, since the upper half begins with the bits that all of a shard have in common. */
static uint32_t home_of(uint64_t hash, uint32_t capacity) {
    return (uint32_t)((hash & UINT32_MAX) * capacity >> 32);
}

static uint32_t place_after(const struct tombstones *set, uint32_t place) {
    return place + 1 == set->capacity ? 0 : place + 1;
}

/* Where the hash stands, or the empty place where it would. There is always an empty place; capacity is not 0. */
static uint32_t place_of(const struct tombstones *set, uint64_t hash) {
    uint32_t place = home_of(hash, set->capacity);
    while (set->entries[place].mark && set->entries[place].hash != hash) place = place_after(set, place);
    return place;
}

void tombstone_init(struct tombstones *set, struct slab *slab, unsigned arena) {
    *set = (struct tombstones){.slab = slab, .arena = arena, .oldest = UINT64_MAX};
}

void tombstone_fini(struct tombstones *set) {
    slab_free(set->slab, set->entries, set->capacity * sizeof *set->entries);
    tombstone_init(set, set->slab, set->arena);
}

/* Moves all into a block of about `capacity` entries; ends a running sweep, whose order is lost. */
static bool set_resize(struct tombstones *set, uint64_t capacity) {
    if (capacity < CAPACITY_MIN) capacity = CAPACITY_MIN;
    capacity = slab_size(capacity * sizeof *set->entries) / sizeof *set->entries;
    if (capacity > UINT32_MAX / 2) return false;
    struct tombstone_entry *entries = slab_alloc(set->slab, set->arena, capacity * sizeof *entries);
    if (!entries) return false;
    memset(entries, 0, capacity * sizeof *entries);
    struct tombstones old = *set;
    set->entries = entries;
    set->capacity = (uint32_t)capacity;
    set->sweep_left = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entries[i].mark) entries[place_of(set, old.entries[i].hash)] = old.entries[i];
    slab_free(set->slab, old.entries, old.capacity * sizeof *old.entries);
    return true;
}

bool tombstone_reserve(struct tombstones *set) {
    uint64_t needed = (uint64_t)set->count + 1;
    if (needed * 100 <= (uint64_t)set->capacity * LOAD_PERCENT_MAX) return true;
    return set_resize(set, (uint64_t)set->capacity * 3 / 2) || needed < set->capacity;
}

static uint64_t older_of(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

bool tombstone_put(struct tombstones *set, uint64_t hash, uint64_t mark) {
    assert(mark > 0);
    struct tombstone_entry *entry = set->capacity ? &set->entries[place_of(set, hash)] : NULL;
    if (entry && entry->mark) {
        if (mark > entry->mark) entry->mark = mark;
        return true;
    }
    if (!tombstone_reserve(set)) return false;
    set->entries[place_of(set, hash)] = (struct tombstone_entry){hash, mark};
    set->count++;
    set->oldest = older_of(set->oldest, mark);
    set->sweep_oldest = older_of(set->sweep_oldest, mark); /* the running sweep may have passed its place */
    return true;
}

uint64_t tombstone_find(const struct tombstones *set, uint64_t hash) {
    return set->count ? set->entries[place_of(set, hash)].mark : 0;
}

void tombstone_prefetch(const struct tombstones *set, uint64_t hash) {
    if (set->count) __builtin_prefetch(&set->entries[home_of(hash, set->capacity)]);
}

/* Empties a place and moves back what probing would no longer find behind it; answers the oldest mark moved. */
static uint64_t place_clear(struct tombstones *set, uint32_t hole) {
    uint64_t oldest = UINT64_MAX;
    for (uint32_t place = place_after(set, hole); set->entries[place].mark; place = place_after(set, place)) {
        uint32_t home = home_of(set->entries[place].hash, set->capacity);
        /* It may stay if its home lies behind the hole, on the ring. */
        bool may_stay = hole < place ? home > hole && home <= place : home > hole || home <= place;
        if (may_stay) continue;
        set->entries[hole] = set->entries[place];
        oldest = older_of(oldest, set->entries[hole].mark);
        hole = place;
    }
    set->entries[hole] = (struct tombstone_entry){0, 0};
    set->count--;
    return oldest;
}

bool tombstone_remove(struct tombstones *set, uint64_t hash) {
    if (!set->count) return false;
    uint32_t place = place_of(set, hash);
    if (!set->entries[place].mark) return false;
    /* What moved may have moved behind the running sweep, which then does not see it. */
    set->sweep_oldest = older_of(set->sweep_oldest, place_clear(set, place));
    return true;
}

/* ---- sweeping */

static void sweep_begin(struct tombstones *set) {
    set->sweep_at = 0;
    set->sweep_left = set->capacity;
    set->sweep_oldest = UINT64_MAX;
}

static void sweep_end(struct tombstones *set) {
    set->oldest = set->count ? set->sweep_oldest : UINT64_MAX;
    if (!set->count)
        tombstone_fini(set);
    else if (set->capacity > CAPACITY_MIN && set->count < set->capacity / SHRINK_PART)
        set_resize(set, (uint64_t)set->count * 2);
}

bool tombstone_sweep(struct tombstones *set, uint64_t mark, unsigned budget) {
    if (!set->sweep_left) sweep_begin(set);
    for (; set->sweep_left && budget; budget--) {
        struct tombstone_entry *entry = &set->entries[set->sweep_at];
        if (entry->mark && entry->mark < mark) {
            /* And look again: another may have moved here. None moves to where the sweep was: between there and here,
             * on the ring, stands an empty place. */
            place_clear(set, set->sweep_at);
            continue;
        }
        if (entry->mark) set->sweep_oldest = older_of(set->sweep_oldest, entry->mark);
        set->sweep_at++;
        set->sweep_left--;
    }
    if (set->sweep_left) return false;
    sweep_end(set);
    return true;
}

/* ---- looking at all */

struct tombstone_look tombstone_look_at(const struct tombstones *set, uint64_t first, uint32_t homes) {
    if (!set->count) return (struct tombstone_look){.first = first, .next = TOMBSTONE_POSITIONS};
    uint32_t home = home_of(first, set->capacity);
    struct tombstone_look look = {.first = first, .next = TOMBSTONE_POSITIONS, .place = home, .homes = homes};
    uint64_t behind = (uint64_t)home + homes; /* the first home that is not looked at */
    if (behind < set->capacity) look.next = ((behind << 32) + set->capacity - 1) / set->capacity;
    return look;
}

bool tombstone_look_next(const struct tombstones *set, struct tombstone_look *look, struct tombstone_entry *entry) {
    while (set->count && look->seen < set->capacity) {
        *entry = set->entries[look->place];
        uint64_t position = entry->hash & UINT32_MAX;
        look->place = place_after(set, look->place);
        look->seen++;
        if (entry->mark && position >= look->first && position < look->next) return true;
        /* An empty place behind all of the homes: none of theirs was pushed further. */
        if (!entry->mark && look->seen >= look->homes) break;
    }
    return false;
}

size_t tombstone_bytes(const struct tombstones *set) {
    return set->capacity ? slab_size(set->capacity * sizeof *set->entries) : 0;
}

void tombstone_check(const struct tombstones *set) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->capacity; i++) {
        if (!set->entries[i].mark) continue;
        CHECK(place_of(set, set->entries[i].hash) == i && set->entries[i].mark >= set->oldest);
        count++;
    }
    CHECK(count == set->count && (!set->capacity || count < set->capacity));
}
