/* Terms: the interned (namespace, timeouts) tuples that records point to with four bytes.
 *
 * Nearly all sessions of a namespace have the same timeouts; kept once, they cost a record an index instead of 32
 * bytes. The shared ones are bounded (TERMS_SHARED_MAX, so that callers with a timeout of their own for each session
 * cannot grow it without end); beside them each namespace has one tuple of its own, its base, which records point to
 * whose timeouts found no place here and stand in the record itself.
 *
 * Always true: a tuple never changes while a record or a reader can hold its index; it is freed with its namespace.
 * terms_at: any thread, inside a turn. The others take the table's own lock. */
#ifndef ENGINE_MEMORY_TERMS_H
#define ENGINE_MEMORY_TERMS_H

#include "base/lock.h"
#include "engine/memory/slab.h"
#include <stdatomic.h>

#define TERMS_CHUNK      256  /* tuples taken at a time */
#define TERMS_CHUNKS_MAX 8192 /* 2 million: the shared ones, and a base for each namespace */
#define TERMS_SHARED_MAX 65536
#define TERMS_NONE       UINT32_MAX

struct namespace;

struct terms {
    struct namespace *namespace; /* NULL: free */
    int64_t idle_timeout_ms, absolute_timeout_ms, abandon_timeout_ms;
    uint32_t next; /* of the same namespace, or of the free ones; TERMS_NONE: last */
    bool is_shared;
};

struct terms_table {
    _Atomic(struct terms *) chunks[TERMS_CHUNKS_MAX];
    struct lock lock; /* of everything below */
    uint32_t used;    /* tuples that were ever taken */
    uint32_t free;    /* first free one */
    uint32_t shared_count;
    uint32_t *index; /* open addressing: number + 1; 0: empty. Shared ones only */
    uint32_t index_capacity;
    struct slab *slab;
};

void terms_init(struct terms_table *table, struct slab *slab);
void terms_fini(struct terms_table *table);

/* The tuple with that number. */
static inline const struct terms *terms_at(const struct terms_table *table, uint32_t number) {
    const struct terms *chunk = atomic_load_explicit(&table->chunks[number / TERMS_CHUNK], memory_order_acquire);
    return &chunk[number % TERMS_CHUNK];
}

/* Makes a namespace's base; `*first` becomes the head of the namespace's tuples. TERMS_NONE where memory is lacking. */
uint32_t terms_make_base(struct terms_table *table, struct namespace *namespace, uint32_t *first);

/* The shared tuple with these timeouts, made if there is none yet; TERMS_NONE if the table is full. */
uint32_t terms_intern(struct terms_table *table, struct namespace *namespace, uint32_t *first, int64_t idle_ms,
                      int64_t absolute_ms, int64_t abandon_ms);

/* Frees all tuples of a namespace that no record and no reader refers to any more. */
void terms_release(struct terms_table *table, uint32_t first);

#endif
