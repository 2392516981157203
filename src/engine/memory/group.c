/* See group.h.
 *
 * Always true: no leaf is empty; the entries of all leaves, one leaf after the other, are in order; leaf_count is 1
 * exactly while `only` holds the leaf; the counts are those of the leaves. */
#include "engine/memory/group.h"
#include "sessiond/engine.h"

#include <assert.h>
#include <string.h>

#define CHAINS_MIN 16

static size_t leaf_size(uint32_t capacity) {
    return sizeof(struct group_leaf) + capacity * sizeof(struct group_entry);
}

static size_t group_size(unsigned kind, size_t name_size) {
    size_t size = offsetof(struct group, name) + name_size;
    if (kind == GROUP_CLIENT) return (size + 7) / 8 * 8 + sizeof(struct group_client);
    return size > sizeof(struct group) ? size : sizeof(struct group);
}

/* Negative: a is before b. */
static int entry_compare(struct group_entry a, struct group_entry b) {
    uint64_t x = group_entry_age(a), y = group_entry_age(b);
    if (x != y) return x < y ? -1 : 1;
    return a.hash < b.hash ? -1 : a.hash > b.hash;
}

/* ---- the table */

struct group *group_find(const struct group_table *table, const struct group_key *key) {
    if (!table->capacity) return NULL;
    for (struct group *group = table->chains[key->hash & (table->capacity - 1)]; group; group = group->next)
        if (group->hash == key->hash && group->namespace == key->namespace && group->kind == key->kind &&
            group->name_size == key->name.size && memcmp(group->name, key->name.data, key->name.size) == 0)
            return group;
    return NULL;
}

/* Rehashes to that many chains. Where memory is lacking the old ones stay, and get longer. */
static void table_resize(struct group_table *table, struct slab *slab, unsigned arena, uint32_t capacity) {
    struct group **chains = slab_alloc(slab, arena, capacity * sizeof(struct group *));
    if (!chains) return;
    memset(chains, 0, capacity * sizeof(struct group *));
    for (uint32_t i = 0; i < table->capacity; i++)
        for (struct group *group = table->chains[i], *next; group; group = next) {
            next = group->next;
            group->next = chains[group->hash & (capacity - 1)];
            chains[group->hash & (capacity - 1)] = group;
        }
    if (table->chains) slab_free(slab, table->chains, table->capacity * sizeof(struct group *));
    table->chains = chains;
    table->capacity = capacity;
}

struct group *group_make(struct group_table *table, struct slab *slab, unsigned arena, const struct group_key *key) {
    struct group *group = group_find(table, key);
    if (group) return group;
    assert(key->name.size >= 1 && key->name.size <= UINT8_MAX);
    if (table->count >= table->capacity)
        table_resize(table, slab, arena, table->capacity ? table->capacity * 2 : CHAINS_MIN);
    if (!table->capacity) return NULL;
    size_t size = group_size(key->kind, key->name.size);
    group = slab_alloc(slab, arena, size);
    if (!group) return NULL;
    memset(group, 0, size);
    group->namespace = key->namespace;
    group->hash = key->hash;
    group->kind = (uint8_t)key->kind;
    group->name_size = (uint8_t)key->name.size;
    memcpy(group->name, key->name.data, key->name.size);
    group->next = table->chains[key->hash & (table->capacity - 1)];
    table->chains[key->hash & (table->capacity - 1)] = group;
    table->count++;
    return group;
}

void group_tidy(struct group_table *table, struct slab *slab, struct group *group) {
    if (group->count || atomic_load(&group->ending)) return;
    assert(group->leaf_count == 0);
    struct group **link = &table->chains[group->hash & (table->capacity - 1)];
    while (*link != group) link = &(*link)->next;
    *link = group->next;
    group_forget(slab, group);
    slab_free(slab, group, group_size(group->kind, group->name_size));
    if (--table->count == 0) {
        slab_free(slab, table->chains, table->capacity * sizeof(struct group *));
        table->chains = NULL;
        table->capacity = 0;
    } else if (table->capacity > CHAINS_MIN && table->count < table->capacity / 8) {
        table_resize(table, slab, 0, table->capacity / 4 > CHAINS_MIN ? table->capacity / 4 : CHAINS_MIN);
    }
}

/* ---- what is known */

static size_t known_size(uint32_t idle_capacity) {
    return sizeof(struct group_known) + idle_capacity * sizeof(struct group_idle);
}

struct group_known *group_known_new(struct slab *slab, unsigned arena, uint32_t idle_capacity) {
    struct group_known *known = slab_alloc(slab, arena, known_size(idle_capacity));
    if (known) *known = (struct group_known){.idle_capacity = idle_capacity};
    return known;
}

void group_forget(struct slab *slab, struct group *group) {
    if (group->known) slab_free(slab, group->known, known_size(group->known->idle_capacity));
    group->known = NULL;
}

/* ---- leaves */

static struct group_leaf *leaf_new(struct slab *slab, unsigned arena, uint32_t capacity) {
    struct group_leaf *leaf = slab_alloc(slab, arena, leaf_size(capacity));
    if (leaf) *leaf = (struct group_leaf){.capacity = (uint16_t)capacity};
    return leaf;
}

static void leaf_free(struct slab *slab, struct group_leaf *leaf) {
    slab_free(slab, leaf, leaf_size(leaf->capacity));
}

static void leaf_set(struct group *group, uint32_t at, struct group_leaf *leaf) {
    if (group->leaf_count == 1)
        group->only = leaf;
    else
        group->leaves[at] = leaf;
}

/* Puts a leaf into the array at `at`. */
static bool leaves_insert(struct slab *slab, unsigned arena, struct group *group, uint32_t at,
                          struct group_leaf *leaf) {
    if (group->leaf_count == 0) {
        group->only = leaf;
        group->leaf_count = 1;
        return true;
    }
    if (group->leaf_count + 1 > group->leaf_capacity) {
        uint32_t capacity = group->leaf_capacity ? group->leaf_capacity * 2 : 4;
        struct group_leaf **leaves = slab_alloc(slab, arena, capacity * sizeof(*leaves));
        if (!leaves) return false;
        if (group->leaf_capacity) {
            memcpy(leaves, group->leaves, group->leaf_count * sizeof(*leaves));
            slab_free(slab, group->leaves, group->leaf_capacity * sizeof(*leaves));
        }
        group->leaves = leaves;
        group->leaf_capacity = capacity;
    }
    if (group->leaf_count == 1) {
        group->leaves[0] = group->only;
        group->only = NULL;
    }
    memmove(&group->leaves[at + 1], &group->leaves[at], (group->leaf_count - at) * sizeof(*group->leaves));
    group->leaves[at] = leaf;
    group->leaf_count++;
    return true;
}

/* Takes the leaf at `at` out of the array and frees it. */
static void leaves_remove(struct slab *slab, struct group *group, uint32_t at) {
    leaf_free(slab, group_leaf(group, at));
    if (group->leaf_count > 1) {
        memmove(&group->leaves[at], &group->leaves[at + 1], (group->leaf_count - at - 1) * sizeof(*group->leaves));
        group->leaf_count--;
        if (group->leaf_count > 1) return;
        group->only = group->leaves[0];
    } else {
        group->only = NULL;
        group->leaf_count = 0;
    }
    if (group->leaf_capacity) slab_free(slab, group->leaves, group->leaf_capacity * sizeof(*group->leaves));
    group->leaves = NULL;
    group->leaf_capacity = 0;
}

/* Gives the leaf at `at` another capacity. */
static bool leaf_resize(struct slab *slab, unsigned arena, struct group *group, uint32_t at, uint32_t capacity) {
    struct group_leaf *old = group_leaf(group, at), *leaf = leaf_new(slab, arena, capacity);
    if (!leaf) return false;
    leaf->count = old->count;
    leaf->dead_count = old->dead_count;
    memcpy(leaf->entries, old->entries, old->count * sizeof(struct group_entry));
    leaf_set(group, at, leaf);
    leaf_free(slab, old);
    return true;
}

static uint16_t count_dead(const struct group_entry *entries, uint32_t count) {
    uint16_t dead_count = 0;
    for (uint32_t i = 0; i < count; i++) dead_count += group_entry_is_dead(entries[i]);
    return dead_count;
}

/* Splits the full leaf at `at`: `kept` entries stay. At the end of the group nearly all stay, since entries mostly come
 * in order and a half-full leaf would remain so for ever. */
static bool leaf_split(struct slab *slab, unsigned arena, struct group *group, uint32_t at, uint32_t kept) {
    struct group_leaf *leaf = group_leaf(group, at), *right = leaf_new(slab, arena, GROUP_LEAF_MAX);
    if (!right) return false;
    right->count = (uint16_t)(leaf->count - kept);
    memcpy(right->entries, leaf->entries + kept, right->count * sizeof(struct group_entry));
    right->dead_count = count_dead(right->entries, right->count);
    if (!leaves_insert(slab, arena, group, at + 1, right)) {
        leaf_free(slab, right);
        return false;
    }
    leaf->count = (uint16_t)kept;
    leaf->dead_count = (uint16_t)(leaf->dead_count - right->dead_count);
    return true;
}

/* ---- positions */

/* How many entries of the leaf are before `entry`. */
static uint32_t leaf_seek(const struct group_leaf *leaf, struct group_entry entry) {
    uint32_t low = 0, high = leaf->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (entry_compare(leaf->entries[middle], entry) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct group_position group_seek(const struct group *group, struct group_entry entry) {
    uint32_t low = 0, high = group->leaf_count;
    while (low < high) { /* the first leaf whose last entry is not before */
        uint32_t middle = (low + high) / 2;
        const struct group_leaf *leaf = group_leaf(group, middle);
        if (entry_compare(leaf->entries[leaf->count - 1], entry) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == group->leaf_count) return (struct group_position){low, 0};
    return (struct group_position){low, leaf_seek(group_leaf(group, low), entry)};
}

void group_mark_dead(struct group *group, struct group_position position) {
    struct group_leaf *leaf = group_leaf(group, position.leaf);
    struct group_entry *entry = &leaf->entries[position.index];
    if (group_entry_is_dead(*entry)) return;
    entry->born |= GROUP_ENTRY_DEAD;
    leaf->dead_count++;
    group->dead_count++;
}

/* ---- entries */

/* Sees to it that the leaf at `position` has room for an entry there. Capacities of single leaves are 1, 2, 4 ...,
 * since nearly every group has one or two entries for its whole life. */
static bool make_room(struct slab *slab, unsigned arena, struct group *group, struct group_position *position) {
    if (group->leaf_count == 0) {
        struct group_leaf *leaf = leaf_new(slab, arena, 1);
        return leaf && leaves_insert(slab, arena, group, 0, leaf);
    }
    bool is_end = position->leaf == group->leaf_count;
    if (is_end)
        *position = (struct group_position){group->leaf_count - 1, group_leaf(group, group->leaf_count - 1)->count};
    struct group_leaf *leaf = group_leaf(group, position->leaf);
    if (leaf->count < leaf->capacity) return true;
    if (leaf->capacity < GROUP_LEAF_MAX) return leaf_resize(slab, arena, group, position->leaf, leaf->capacity * 2u);
    uint32_t kept = is_end ? GROUP_LEAF_MAX - 1 : GROUP_LEAF_MAX / 2;
    if (!leaf_split(slab, arena, group, position->leaf, kept)) return false;
    if (position->index >= kept) *position = (struct group_position){position->leaf + 1, position->index - kept};
    return true;
}

bool group_insert(struct slab *slab, unsigned arena, struct group *group, struct group_entry entry) {
    /* Behind those equal to it: of equal entries the last is that of a write under way (see group_census). */
    struct group_entry behind = {entry.born, entry.hash < UINT64_MAX ? entry.hash + 1 : entry.hash};
    struct group_position position = group_seek(group, behind);
    if (!make_room(slab, arena, group, &position)) return false;
    struct group_leaf *leaf = group_leaf(group, position.leaf);
    struct group_entry *at = &leaf->entries[position.index];
    memmove(at + 1, at, (leaf->count - position.index) * sizeof(*at));
    *at = entry;
    leaf->count++;
    group->count++;
    if (group->known && group_entry_age(entry) < group->known->unknown_from)
        group->known->unknown_from = group_entry_age(entry);
    return true;
}

/* On to the next entry; false at the end. */
static bool position_next(const struct group *group, struct group_position *position) {
    if (++position->index < group_leaf(group, position->leaf)->count) return true;
    position->index = 0;
    return ++position->leaf < group->leaf_count;
}

/* The position of the entry that group_remove takes. */
static bool find_equal(const struct group *group, struct group_entry entry, bool wants_dead,
                       struct group_position *found) {
    struct group_position at = group_seek(group, entry);
    bool is_found = false;
    if (at.leaf == group->leaf_count) return false;
    do {
        struct group_entry here = group_leaf(group, at.leaf)->entries[at.index];
        if (!group_entry_equal(here, entry)) break;
        *found = at;
        is_found = true;
        if (group_entry_is_dead(here) == wants_dead) break;
    } while (position_next(group, &at));
    return is_found;
}

bool group_remove(struct slab *slab, unsigned arena, struct group *group, struct group_entry entry, bool wants_dead) {
    struct group_position position;
    if (!find_equal(group, entry, wants_dead, &position)) return false;
    struct group_leaf *leaf = group_leaf(group, position.leaf);
    struct group_entry *at = &leaf->entries[position.index];
    bool was_dead = group_entry_is_dead(*at);
    memmove(at, at + 1, (leaf->count - position.index - 1u) * sizeof(*at));
    leaf->count--;
    leaf->dead_count = (uint16_t)(leaf->dead_count - was_dead);
    group->count--;
    group->dead_count -= was_dead;
    if (leaf->count == 0)
        leaves_remove(slab, group, position.leaf);
    else if (group->leaf_count == 1 && leaf->capacity > 1 && leaf->count <= leaf->capacity / 4)
        leaf_resize(slab, arena, group, position.leaf, leaf->capacity / 2u); /* or it stays larger than needed */
    return true;
}

static bool position_previous(const struct group *group, struct group_position *position) {
    if (position->index > 0) {
        position->index--;
        return true;
    }
    if (position->leaf == 0) return false;
    position->leaf--;
    position->index = group_leaf(group, position->leaf)->count - 1u;
    return true;
}

static uint32_t copy_ascending(const struct group *group, const struct group_entry *after, struct group_entry *out,
                               uint32_t max) {
    struct group_position at = after ? group_seek(group, *after) : (struct group_position){0, 0};
    uint32_t count = 0;
    if (at.leaf == group->leaf_count) return 0;
    do {
        struct group_entry entry = group_leaf(group, at.leaf)->entries[at.index];
        if (!after || !group_entry_equal(entry, *after)) out[count++] = entry;
    } while (count < max && position_next(group, &at));
    return count;
}

static uint32_t copy_descending(const struct group *group, const struct group_entry *after, struct group_entry *out,
                                uint32_t max) {
    struct group_position at = after ? group_seek(group, *after) : (struct group_position){group->leaf_count, 0};
    uint32_t count = 0;
    while (count < max && position_previous(group, &at)) out[count++] = group_leaf(group, at.leaf)->entries[at.index];
    return count;
}

uint32_t group_copy(const struct group *group, const struct group_entry *after, bool is_ascending,
                    struct group_entry *out, uint32_t max) {
    if (group->count == 0 || max == 0) return 0;
    return is_ascending ? copy_ascending(group, after, out, max) : copy_descending(group, after, out, max);
}

void group_table_fini(struct group_table *table, struct slab *slab) {
    for (uint32_t i = 0; i < table->capacity; i++)
        for (struct group *group = table->chains[i], *next; group; group = next) {
            next = group->next;
            while (group->leaf_count) leaves_remove(slab, group, group->leaf_count - 1);
            group_forget(slab, group);
            slab_free(slab, group, group_size(group->kind, group->name_size));
        }
    if (table->chains) slab_free(slab, table->chains, table->capacity * sizeof(struct group *));
    memset(table, 0, sizeof(*table));
}

void group_check(const struct group *group) {
    uint32_t count = 0, dead_count = 0;
    struct group_entry last = {0, 0};
    for (uint32_t i = 0; i < group->leaf_count; i++) {
        const struct group_leaf *leaf = group_leaf(group, i);
        assert(leaf->count > 0 && leaf->count <= leaf->capacity && leaf->capacity <= GROUP_LEAF_MAX);
        assert(leaf->dead_count == count_dead(leaf->entries, leaf->count));
        for (uint32_t j = 0; j < leaf->count; j++) {
            assert(count + j == 0 || entry_compare(last, leaf->entries[j]) <= 0);
            last = leaf->entries[j];
        }
        count += leaf->count;
        dead_count += leaf->dead_count;
    }
    assert(count == group->count && dead_count == group->dead_count);
    (void)last, (void)count, (void)dead_count; /* where nothing is asserted */
}
