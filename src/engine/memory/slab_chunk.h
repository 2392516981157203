/* The half of the slab allocator that deals with the system: chunks of 2 MiB, and which of their pages are free. For
 * slab.c alone; see slab.h.
 *
 * A page is in one hand: free in its chunk, or an arena's. What stands here about chunks belongs to the slab's lock; a
 * page's description belongs to whoever has the page. Any thread that holds no lock, but for slab_chunks_fini. */
#ifndef ENGINE_MEMORY_SLAB_CHUNK_H
#define ENGINE_MEMORY_SLAB_CHUNK_H

#include "engine/memory/slab.h"

#include <stdbool.h>

#define SLAB_PAGE_BYTES  ((size_t)64 * 1024)
#define SLAB_CHUNK_BYTES ((size_t)2 * 1024 * 1024)
#define SLAB_CHUNK_PAGES (SLAB_CHUNK_BYTES / SLAB_PAGE_BYTES)

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define SLAB_POISON(address, size)   ASAN_POISON_MEMORY_REGION(address, size)
#define SLAB_UNPOISON(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#else
#define SLAB_POISON(address, size)   ((void)(address), (void)(size))
#define SLAB_UNPOISON(address, size) ((void)(address), (void)(size))
#endif

/* A page's description, at the head of its chunk. Fields but `arena` belong to the arena's lock while the page has
 * blocks, and to nobody while it changes hands; `arena` is constant while it has blocks. What is atomic may be read
 * without the lock by whoever has a block in the page. */
struct slab_page {
    struct slab_page *next, *previous; /* in the arena's partial, empty or leaving list */
    void *free;                        /* blocks that came back, linked through their first word */
    uint32_t block_bytes;
    uint16_t used;     /* blocks out */
    uint16_t carved;   /* blocks that were ever out; those behind have never been touched */
    uint16_t capacity; /* blocks that fit */
    uint8_t size_class;
    uint8_t arena;
    _Atomic bool is_thin;    /* it had more, and holds no more than half of what it could */
    _Atomic bool is_leaving; /* it is to run empty: no block is taken from it */
} __attribute__((aligned(64)));

/* The head of a chunk; it lies in the chunk's first page, which is that much shorter. */
struct slab_chunk {
    struct slab_chunk *next, *previous;                 /* of all */
    struct slab_chunk *waiting_next, *waiting_previous; /* in the slab's open_, backed_ or coarse_chunks */
    uint32_t free;                                      /* bit: that page is free */
    uint32_t dirty;                                     /* bit: it is free and still backed by memory */
    uint32_t fresh;                                     /* bit: and nobody has had it yet */
    bool may_be_huge;                                   /* constant */
    bool is_huge;                                       /* the system was asked for huge pages, and not to leave them */
    bool is_coarse;                                     /* it is in coarse_chunks */
    bool is_busy;                                       /* somebody advises the system about it outside the lock */
    struct slab_page pages[SLAB_CHUNK_PAGES];
};

_Static_assert(SLAB_CHUNK_PAGES == 32, "page sets are 32 bits");
_Static_assert(sizeof(struct slab_chunk) % 64 == 0, "blocks of the first page keep their alignment");

static inline struct slab_chunk *slab_chunk_of(const void *pointer) {
    return (struct slab_chunk *)((uintptr_t)pointer & ~(uintptr_t)(SLAB_CHUNK_BYTES - 1));
}

static inline unsigned slab_page_number(const struct slab_page *page) {
    return (unsigned)(page - slab_chunk_of(page)->pages);
}

static inline struct slab_page *slab_page_of(const void *block) {
    return &slab_chunk_of(block)->pages[((uintptr_t)block & (SLAB_CHUNK_BYTES - 1)) / SLAB_PAGE_BYTES];
}

static inline char *slab_page_start(const struct slab_page *page) {
    unsigned number = slab_page_number(page);
    return (char *)slab_chunk_of(page) + (number ? (size_t)number * SLAB_PAGE_BYTES : sizeof(struct slab_chunk));
}

/* Bytes from slab_page_start on. */
static inline size_t slab_page_room(const struct slab_page *page) {
    return slab_page_number(page) ? SLAB_PAGE_BYTES : SLAB_PAGE_BYTES - sizeof(struct slab_chunk);
}

/* Has slab_prepare called, if somebody does that. No lock is held. */
void slab_ask(struct slab *slab);

/* Notes how much is held now. Any thread. */
void slab_note_peak(struct slab *slab);

/* Has malloc give back what it can, if much less is held than was. No lock is held. */
void slab_ask_trim(struct slab *slab);

/* A page in no list, without a class, its bytes undefined; NULL where memory is lacking. */
struct slab_page *slab_page_take(struct slab *slab);

/* Gives an empty page back that is in no list. */
void slab_page_give(struct slab *slab, struct slab_page *page);

/* Makes the spare chunk ready, or gives it up. Answers when to be called again; INT64_MAX: not unasked. */
int64_t slab_chunks_prepare(struct slab *slab, int64_t now_ms);

/* Gives all chunks back; nobody else inside. */
void slab_chunks_fini(struct slab *slab);

/* Tests: asserts what is true of chunks. */
void slab_chunks_check(struct slab *slab);

#endif
