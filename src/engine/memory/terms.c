/* See terms.h. The index is rebuilt when a namespace goes: that is rare, and so it needs no deletion. */
#include "engine/memory/terms.h"
#include "base/hash.h"

#include <assert.h>
#include <string.h>

void terms_init(struct terms_table *table, struct slab *slab) {
    memset(table, 0, sizeof(*table));
    table->free = TERMS_NONE;
    table->slab = slab;
}

void terms_fini(struct terms_table *table) {
    for (unsigned i = 0; i < TERMS_CHUNKS_MAX; i++)
        slab_free(table->slab, atomic_load_explicit(&table->chunks[i], memory_order_relaxed),
                  TERMS_CHUNK * sizeof(struct terms));
    if (table->index) slab_free(table->slab, table->index, table->index_capacity * sizeof(uint32_t));
}

static struct terms *terms_writable(struct terms_table *table, uint32_t number) {
    return (struct terms *)terms_at(table, number);
}

static uint64_t terms_hash(const struct namespace *namespace, int64_t idle_ms, int64_t absolute_ms,
                           int64_t abandon_ms) {
    uint64_t hash = hash_mix((uint64_t)(uintptr_t) namespace + (uint64_t)idle_ms);
    hash = hash_mix(hash + (uint64_t)absolute_ms);
    return hash_mix(hash + (uint64_t)abandon_ms);
}

/* A tuple that nobody uses; TERMS_NONE where memory is lacking. */
static uint32_t terms_take(struct terms_table *table) {
    uint32_t number = table->free;
    if (number != TERMS_NONE) {
        table->free = terms_at(table, number)->next;
        return number;
    }
    number = table->used;
    if (number % TERMS_CHUNK == 0) {
        if (number / TERMS_CHUNK == TERMS_CHUNKS_MAX) return TERMS_NONE;
        struct terms *chunk = slab_alloc(table->slab, 0, TERMS_CHUNK * sizeof(struct terms));
        if (!chunk) return TERMS_NONE;
        memset(chunk, 0, TERMS_CHUNK * sizeof(struct terms));
        atomic_store_explicit(&table->chunks[number / TERMS_CHUNK], chunk, memory_order_release);
    }
    table->used++;
    return number;
}

uint32_t terms_make_base(struct terms_table *table, struct namespace *namespace, uint32_t *first) {
    lock_take(&table->lock);
    uint32_t number = terms_take(table);
    if (number != TERMS_NONE) {
        *terms_writable(table, number) = (struct terms){.namespace = namespace, .next = *first};
        *first = number;
    }
    lock_release(&table->lock);
    return number;
}

static void index_add(struct terms_table *table, uint32_t number) {
    const struct terms *terms = terms_at(table, number);
    uint64_t hash =
        terms_hash(terms->namespace, terms->idle_timeout_ms, terms->absolute_timeout_ms, terms->abandon_timeout_ms);
    uint32_t at = (uint32_t)hash & (table->index_capacity - 1);
    while (table->index[at]) at = (at + 1) & (table->index_capacity - 1);
    table->index[at] = number + 1;
}

/* Fills an index of that capacity with all shared tuples. */
static bool index_rebuild(struct terms_table *table, uint32_t capacity) {
    if (capacity != table->index_capacity) {
        uint32_t *index = slab_alloc(table->slab, 0, capacity * sizeof(uint32_t));
        if (!index) return false;
        if (table->index) slab_free(table->slab, table->index, table->index_capacity * sizeof(uint32_t));
        table->index = index;
        table->index_capacity = capacity;
    }
    memset(table->index, 0, capacity * sizeof(uint32_t));
    for (uint32_t number = 0; number < table->used; number++)
        if (terms_at(table, number)->namespace && terms_at(table, number)->is_shared) index_add(table, number);
    return true;
}

static uint32_t index_find(const struct terms_table *table, const struct namespace *namespace, int64_t idle_ms,
                           int64_t absolute_ms, int64_t abandon_ms) {
    if (!table->index_capacity) return TERMS_NONE;
    uint32_t at = (uint32_t)terms_hash(namespace, idle_ms, absolute_ms, abandon_ms);
    for (;; at++) {
        uint32_t entry = table->index[at & (table->index_capacity - 1)];
        if (!entry) return TERMS_NONE;
        const struct terms *terms = terms_at(table, entry - 1);
        if (terms->namespace == namespace && terms->idle_timeout_ms == idle_ms &&
            terms->absolute_timeout_ms == absolute_ms && terms->abandon_timeout_ms == abandon_ms)
            return entry - 1;
    }
}

/* Adds a shared tuple; the lock is held and it is not there yet. */
static uint32_t terms_add(struct terms_table *table, struct namespace *namespace, uint32_t *first, int64_t idle_ms,
                          int64_t absolute_ms, int64_t abandon_ms) {
    if (table->shared_count >= TERMS_SHARED_MAX) return TERMS_NONE;
    if ((table->shared_count + 1) * 2 > table->index_capacity &&
        !index_rebuild(table, table->index_capacity ? table->index_capacity * 2 : 64))
        return TERMS_NONE;
    uint32_t number = terms_take(table);
    if (number == TERMS_NONE) return TERMS_NONE;
    *terms_writable(table, number) = (struct terms){.namespace = namespace,
                                                    .idle_timeout_ms = idle_ms,
                                                    .absolute_timeout_ms = absolute_ms,
                                                    .abandon_timeout_ms = abandon_ms,
                                                    .next = *first,
                                                    .is_shared = true};
    *first = number;
    table->shared_count++;
    index_add(table, number);
    return number;
}

uint32_t terms_intern(struct terms_table *table, struct namespace *namespace, uint32_t *first, int64_t idle_ms,
                      int64_t absolute_ms, int64_t abandon_ms) {
    lock_take(&table->lock);
    uint32_t number = index_find(table, namespace, idle_ms, absolute_ms, abandon_ms);
    if (number == TERMS_NONE) number = terms_add(table, namespace, first, idle_ms, absolute_ms, abandon_ms);
    lock_release(&table->lock);
    return number;
}

void terms_release(struct terms_table *table, uint32_t first) {
    lock_take(&table->lock);
    bool has_shared = false;
    for (uint32_t number = first; number != TERMS_NONE;) {
        struct terms *terms = terms_writable(table, number);
        uint32_t next = terms->next;
        has_shared |= terms->is_shared;
        table->shared_count -= terms->is_shared;
        *terms = (struct terms){.next = table->free};
        table->free = number;
        number = next;
    }
    if (has_shared) index_rebuild(table, table->index_capacity);
    lock_release(&table->lock);
}
