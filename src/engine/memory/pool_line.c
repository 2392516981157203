/* See pool_line.h. Open lines stand in a heap by the arrival of their first. */
#include "engine/memory/pool_line.h"
#include "base/check.h"

#include <assert.h>
#include <string.h>

#define CHAINS_MIN 4
#define LINE_SHUT  UINT32_MAX

struct pool_line {
    struct pool_line *next; /* of its chain */
    uint64_t hash;
    uint64_t tag_bits;
    struct list places;
    uint32_t position; /* in the heap of open lines; LINE_SHUT: it is not open */
    enum pool_create create;
    size_t tags_size;
    uint8_t tags[];
};

static struct line_place *line_first(const struct pool_line *line) {
    return LIST_ENTRY(line->places.next, struct line_place, link);
}

/* ---- the heap */

static void heap_put(struct pool *pool, uint32_t at, struct pool_line *line) {
    pool->open_lines[at] = line;
    line->position = at;
}

static bool is_before(const struct pool_line *a, const struct pool_line *b) {
    return line_first(a)->arrival < line_first(b)->arrival;
}

static void sift_up(struct pool *pool, struct pool_line *line) {
    uint32_t at = line->position;
    for (; at > 0 && is_before(line, pool->open_lines[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(pool, at, pool->open_lines[(at - 1) / 2]);
    heap_put(pool, at, line);
}

static void sift_down(struct pool *pool, struct pool_line *line) {
    uint32_t at = line->position, child;
    for (; (child = 2 * at + 1) < pool->open_count; at = child) {
        struct pool_line **lines = &pool->open_lines[child];
        if (child + 1 < pool->open_count && is_before(lines[1], lines[0])) child++;
        if (!is_before(pool->open_lines[child], line)) break;
        heap_put(pool, at, pool->open_lines[child]);
    }
    heap_put(pool, at, line);
}

static void line_open(struct pool *pool, struct pool_line *line) {
    heap_put(pool, pool->open_count++, line);
    sift_up(pool, line);
}

static void line_shut(struct pool *pool, struct pool_line *line) {
    if (line->position == LINE_SHUT) return;
    struct pool_line *last = pool->open_lines[--pool->open_count];
    if (last != line) {
        heap_put(pool, line->position, last);
        sift_up(pool, last);
        sift_down(pool, last);
    }
    line->position = LINE_SHUT;
}

/* ---- lines */

static struct pool_line **line_chain(const struct pool *pool, uint64_t hash) {
    return &pool->line_chains[hash & (pool->line_capacity - 1)];
}

static uint64_t want_hash(const struct pool *pool, const struct pool_want *want) {
    return hash_mix(hash_bytes(&pool->tag_key, want->tags) + (uint64_t)want->create);
}

static struct pool_line *line_find(const struct pool *pool, const struct pool_want *want, uint64_t hash) {
    struct pool_line *line = pool->line_capacity ? *line_chain(pool, hash) : NULL;
    while (line && !(line->hash == hash && line->create == want->create &&
                     bytes_equal(bytes_of(line->tags, line->tags_size), want->tags)))
        line = line->next;
    return line;
}

/* Chains for twice as many lines, and room for as many open ones. */
static bool lines_grow(struct pool_memory memory, struct pool *pool) {
    uint32_t old_capacity = pool->line_capacity, capacity = old_capacity ? 2 * old_capacity : CHAINS_MIN;
    if (pool->line_count < old_capacity) return true;
    size_t bytes = capacity * sizeof(struct pool_line *);
    struct pool_line **chains = slab_alloc(memory.slab, memory.arena, bytes), **old = pool->line_chains;
    struct pool_line **open = slab_alloc(memory.slab, memory.arena, bytes);
    if (!chains || !open) {
        slab_free(memory.slab, chains, bytes);
        slab_free(memory.slab, open, bytes);
        return false;
    }
    memset(chains, 0, bytes);
    pool->line_chains = chains;
    pool->line_capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++)
        for (struct pool_line *line = old[i], *next; line; line = next) {
            next = line->next;
            struct pool_line **chain = line_chain(pool, line->hash);
            line->next = *chain;
            *chain = line;
        }
    if (pool->open_count) memcpy(open, pool->open_lines, pool->open_count * sizeof(struct pool_line *));
    slab_free(memory.slab, old, old_capacity * sizeof(struct pool_line *));
    slab_free(memory.slab, pool->open_lines, old_capacity * sizeof(struct pool_line *));
    pool->open_lines = open;
    return true;
}

static struct pool_line *line_of(struct pool_memory memory, struct pool *pool, const struct pool_want *want) {
    uint64_t hash = want_hash(pool, want);
    struct pool_line *line = line_find(pool, want, hash);
    if (line || !lines_grow(memory, pool)) return line;
    line = slab_alloc(memory.slab, memory.arena, sizeof(*line) + want->tags.size);
    if (!line) return NULL;
    *line =
        (struct pool_line){.hash = hash, .position = LINE_SHUT, .create = want->create, .tags_size = want->tags.size};
    if (want->tags.data) memcpy(line->tags, want->tags.data, want->tags.size);
    if (tags_are_given(want->tags)) line->tag_bits = tags_bits(pool, want->tags);
    list_init(&line->places);
    struct pool_line **chain = line_chain(pool, hash);
    line->next = *chain;
    *chain = line;
    pool->line_count++;
    return line;
}

static void chains_free(struct pool_memory memory, struct pool *pool) {
    slab_free(memory.slab, pool->line_chains, pool->line_capacity * sizeof(struct pool_line *));
    slab_free(memory.slab, pool->open_lines, pool->line_capacity * sizeof(struct pool_line *));
    pool->line_chains = pool->open_lines = NULL;
    pool->line_capacity = 0;
}

static void line_free(struct pool_memory memory, struct pool *pool, struct pool_line *line) {
    struct pool_line **link = line_chain(pool, line->hash);
    while (*link != line) link = &(*link)->next;
    *link = line->next;
    slab_free(memory.slab, line, sizeof(*line) + line->tags_size);
    if (--pool->line_count == 0) chains_free(memory, pool);
}

void lines_free(struct pool_memory memory, struct pool *pool) {
    for (uint32_t i = 0; i < pool->line_capacity; i++)
        for (struct pool_line *line = pool->line_chains[i], *next; line; line = next) {
            next = line->next;
            slab_free(memory.slab, line, sizeof(*line) + line->tags_size);
        }
    chains_free(memory, pool);
    pool->line_count = pool->open_count = 0;
}

/* ---- places */

bool line_join(struct pool_memory memory, struct pool *pool, const struct pool_want *want, struct line_place *place,
               uint64_t arrival) {
    struct pool_line *line = line_of(memory, pool, want);
    if (!line) return false;
    assert(line->position == LINE_SHUT);
    *place = (struct line_place){.line = line, .arrival = arrival};
    list_init(&place->link);
    struct list *behind = &line->places; /* it stands before this one; nearly always it comes last */
    while (behind->previous != &line->places &&
           LIST_ENTRY(behind->previous, struct line_place, link)->arrival > arrival)
        behind = behind->previous;
    list_append(behind, &place->link);
    return true;
}

void line_leave(struct pool_memory memory, struct pool *pool, struct line_place *place) {
    struct pool_line *line = place->line;
    bool is_open = line->position != LINE_SHUT;
    if (is_open) line_shut(pool, line);
    list_remove(&place->link);
    place->line = NULL;
    if (list_is_empty(&line->places))
        line_free(memory, pool, line);
    else if (is_open)
        line_open(pool, line);
}

void lines_open(struct pool *pool, uint64_t tag_bits) {
    for (uint32_t i = 0; i < pool->line_capacity; i++)
        for (struct pool_line *line = pool->line_chains[i]; line; line = line->next)
            if (line->position == LINE_SHUT && !(line->tag_bits & ~tag_bits)) line_open(pool, line);
}

struct line_place *lines_first(const struct pool *pool) {
    return pool->open_count ? line_first(pool->open_lines[0]) : NULL;
}

void line_close(struct pool *pool, const struct line_place *place) {
    line_shut(pool, place->line);
}

void lines_close(struct pool *pool) {
    while (pool->open_count) pool->open_lines[--pool->open_count]->position = LINE_SHUT;
}

uint64_t lines_check(const struct pool *pool) {
    uint64_t places = 0;
    uint32_t lines = 0;
    CHECK(!pool->open_count);
    for (uint32_t i = 0; i < pool->line_capacity; i++)
        for (const struct pool_line *line = pool->line_chains[i]; line; line = line->next, lines++) {
            uint64_t arrival = 0;
            CHECK(line->position == LINE_SHUT && !list_is_empty(&line->places));
            for (const struct list *link = line->places.next; link != &line->places; link = link->next, places++) {
                const struct line_place *place = LIST_ENTRY(link, struct line_place, link);
                CHECK(place->line == line && place->arrival > arrival);
                arrival = place->arrival;
            }
        }
    CHECK(lines == pool->line_count);
    return places;
}
