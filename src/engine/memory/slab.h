/* The allocator of records and of all other long-lived blocks of the engine.
 *
 * Why not malloc: a block of 376 bytes costs mimalloc or jemalloc 51 to 67 bytes more than asked, and 64 a session is
 * all we have. Here the caller passes the size again when it frees, so a block has no header; size classes are 8 bytes
 * apart up to 512, then 16 to a doubling up to 9 KiB. Larger blocks come from malloc: only a few of them would fit a
 * slab, and what grows through all sizes leaves half of its slabs empty (the tables' arrays did, 16 bytes a session at
 * 500,000 sessions, before they were made of segments).
 *
 * Memory comes from the system in chunks of 2 MiB, each 32 slabs of 64 KiB; a slab holds blocks of one class and
 * belongs to one of 16 arenas, each with a lock. What stands about a slab stands at its chunk's head, not in the slab,
 * so that an empty slab can be given back to the system whole. A few empty slabs are kept, so that a load that
 * breathes does not ask the system each time.
 *
 * What takes long is done by somebody who calls slab_prepare: memory that the system has yet to find is touched there
 * before it is needed, and malloc gives back there what it holds for nobody.
 *
 * slab_alloc, slab_free and slab_stats_get: any thread. slab_prepare: any, one at a time. slab_init, slab_fini: one
 * thread, nobody else inside.
 * With AddressSanitizer, free blocks are poisoned. */
#ifndef ENGINE_MEMORY_SLAB_H
#define ENGINE_MEMORY_SLAB_H

#include "base/lock.h"
#include <stdbool.h>
#include <stddef.h>

#define SLAB_ARENA_COUNT 16
#define SLAB_CLASS_COUNT 130
#define SLAB_LINEAR_MAX  512  /* bytes; up to there classes are eight bytes apart */
#define SLAB_BLOCK_MAX   9216 /* bytes: the largest segments of tables. Larger blocks are malloc's */

struct env;
struct slab_page;  /* 64 KiB of blocks of one class */
struct slab_chunk; /* 2 MiB of pages */

struct slab_arena {
    struct lock lock;
    uint32_t empty_count;                        /* pages in `empty` */
    struct slab_page *empty;                     /* without any block and without a class, kept for the next need */
    struct slab_page *leaving;                   /* with blocks, and out of use until slab_leaving_end */
    _Atomic uint64_t bytes_used;                 /* of this arena's classes; written under the lock */
    struct slab_page *partial[SLAB_CLASS_COUNT]; /* pages with room, by class; full ones are in no list */
} __attribute__((aligned(128)));

struct slab {
    struct slab_arena arenas[SLAB_ARENA_COUNT];
    struct lock lock;                  /* of the fields below */
    struct slab_chunk *chunks;         /* all chunks */
    struct slab_chunk *open_chunks;    /* those with free pages of which none is backed by memory */
    struct slab_chunk *backed_chunks;  /* those with a free page that is */
    struct slab_chunk *coarse_chunks;  /* full ones that are still to ask for huge pages */
    struct slab_chunk *spare;          /* none of `chunks`: touched beforehand; NULL: there is none ready */
    bool wants_spare;                  /* one is to be made ready */
    bool grows_slowly;                 /* the last one was not needed in time */
    int64_t spare_until;               /* when it goes back unused */
    struct slab_chunk *surplus_chunks; /* none of `chunks`: free, and to be unmapped */
    bool is_surplus;                   /* there is something to give back to the system */
    int64_t surplus_at;                /* and when; 0: not known yet */
    uint32_t surplus_dirty_pages;      /* of surplus_chunks */
    uint32_t chunk_count;
    uint32_t free_pages;          /* over all chunks */
    uint32_t dirty_pages;         /* of them: still backed by memory */
    uint32_t fresh_pages;         /* of those: touched beforehand, and never taken */
    _Atomic uint64_t bytes_large; /* in malloc's blocks */
    _Atomic uint64_t peak; /* the most of bytes_large and bytes_mapped since malloc last gave back what it could */
    _Atomic uint32_t thin_pages;   /* that had more, and hold no more than half of what they could */
    _Atomic uint32_t thin_before;  /* of them: those that running empty was tried for already */
    _Atomic uint64_t bytes_mapped; /* pages given out, free ones still backed, and the spare chunk */
    const struct env *env;         /* asked to have slab_prepare called; NULL: nobody is */
    _Atomic bool is_prepared;      /* slab_prepare was called: somebody does so when asked */
    _Atomic bool is_asked;         /* and that was not followed yet */
    _Atomic bool is_sparse;        /* malloc may hold much for nobody */
    int64_t trim_at;               /* when it is to give that back, in the clock of slab_prepare; 0: not known yet */
};

struct slab_stats {
    uint64_t bytes_used;   /* blocks in use, each with what its class rounds it up to */
    uint64_t bytes_mapped; /* the memory that stands behind them: whole pages of 64 KiB, and malloc's blocks */
};

void slab_init(struct slab *slab);

/* Has `env` asked to prepare from now on, whenever slab_prepare is worth a call. Before any other thread is inside. */
void slab_prepare_by(struct slab *slab, const struct env *env);

/* Does beforehand and afterwards what would take a loop long; may take milliseconds. Answers when it wants to be called
 * again unasked; INT64_MAX: not. Once it was called, slab_alloc counts on its being called when it asks. */
int64_t slab_prepare(struct slab *slab, int64_t now_ms);

/* Gives all memory back, blocks in use included. Large blocks (above SLAB_BLOCK_MAX) must have been freed before. */
void slab_fini(struct slab *slab);

/* A block of at least `size` (1 or more) bytes, aligned to 8, and to 64 if size is a multiple of 64; its bytes are
 * undefined. NULL where memory is lacking. Any arena_hint does: callers that allocate at the same time should give
 * different ones (the loop's index is a good one). */
void *slab_alloc(struct slab *slab, unsigned arena_hint, size_t size);

/* Frees a block of slab_alloc with the size it was asked with. NULL is nothing. */
void slab_free(struct slab *slab, void *block, size_t size);

/* ---- pages that are to run empty: blocks that are alone in theirs keep much memory for little. Whoever knows who
 * points to a block can move it; records are moved by compact.c. Any thread; sizes up to SLAB_BLOCK_MAX only. */

/* Whether so many pages are thin that moving what they hold is worth it. */
bool slab_is_thin(struct slab *slab);

/* Takes the block's page out of use if it is thin, or in any case: from now on no block is taken from it. */
void slab_leaving_begin(struct slab *slab, void *block, bool in_any_case);

/* Whether the block lies in a page that is to run empty. */
bool slab_is_leaving(const void *block);

/* Pages that were to run empty and did not are in use again. */
void slab_leaving_end(struct slab *slab);

/* What a block of that size counts for in bytes_used: the size of its class. Pure. */
size_t slab_size_slow(size_t size);
static inline size_t slab_size(size_t size) {
    return size - 1 < SLAB_LINEAR_MAX ? (size + 7) & ~(size_t)7 : slab_size_slow(size);
}

/* The figures at about this moment. */
struct slab_stats slab_stats_get(struct slab *slab);

/* Tests: asserts every invariant; no other call may run. */
void slab_check(struct slab *slab);

#endif
