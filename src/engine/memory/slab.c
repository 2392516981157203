/* The slab allocator; see slab.h.
 *
 * Two kinds of locks, never both at once: an arena's (its pages' free lists) and the slab's own (which pages of which
 * chunk are free). A page that changes sides is in nobody's list at that moment. Pages are asked for outside the
 * arena's lock; two threads may then fetch one each, and both are used. */
#include "engine/memory/slab.h"
#include "base/check.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(address, size)   ASAN_POISON_MEMORY_REGION(address, size)
#define UNPOISON(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#else
#define POISON(address, size)   ((void)(address), (void)(size))
#define UNPOISON(address, size) ((void)(address), (void)(size))
#endif

enum {
    PAGE_BYTES = 64 * 1024,
    CHUNK_BYTES = 2 * 1024 * 1024,
    CHUNK_PAGES = CHUNK_BYTES / PAGE_BYTES,
    CLASS_LINEAR_COUNT = SLAB_LINEAR_MAX / 8,
    ARENA_EMPTY_MAX = 1,       /* empty pages that an arena keeps */
    DIRTY_PAGES_MAX = 32,      /* free pages that stay backed by memory */
    SPARE_PAGES = CHUNK_PAGES, /* free pages beside it without which a free chunk is kept */
    HUGE_CHUNKS_MIN = 8        /* from then on chunks ask for huge pages; before, a small server stays small */
};

#define LARGE_BYTES_MAX ((size_t)1 << 39) /* no machine has that, and the sanitizers abort on much more */

_Static_assert(CLASS_LINEAR_COUNT + 3 * 16 == SLAB_CLASS_COUNT, "classes up to SLAB_BLOCK_MAX");

/* A page's description, at the head of its chunk. Fields but `arena` belong to the arena's lock while the page has
 * blocks, and to nobody while it changes hands; `arena` is constant while it has blocks. */
struct slab_page {
    struct slab_page *next, *previous; /* in the arena's partial or empty list */
    void *free;                        /* blocks that came back, linked through their first word */
    uint32_t block_bytes;
    uint16_t used;     /* blocks out */
    uint16_t carved;   /* blocks that were ever out; those behind have never been touched */
    uint16_t capacity; /* blocks that fit */
    uint8_t size_class;
    uint8_t arena;
} __attribute__((aligned(64)));

/* The head of a chunk; it lies in the chunk's first page, which is that much shorter. */
struct slab_chunk {
    struct slab_chunk *next, *previous;           /* of all */
    struct slab_chunk *open_next, *open_previous; /* of those with a free page */
    uint32_t free;                                /* bit: that page is free */
    uint32_t dirty;                               /* bit: it is free and still backed by memory */
    bool may_be_huge;                             /* constant */
    bool is_huge;                                 /* the system was asked for huge pages, and not to leave them */
    struct slab_page pages[CHUNK_PAGES];
};

#define ALL_PAGES          UINT32_MAX
#define PREFETCH_BYTES_MAX 512
_Static_assert(CHUNK_PAGES == 32, "page sets are 32 bits");
_Static_assert(sizeof(struct slab_chunk) % 64 == 0, "blocks of the first page keep their alignment");

/* ---- classes */

static unsigned class_of(size_t size) {
    if (size <= SLAB_LINEAR_MAX) return (unsigned)((size + 7) / 8) - 1;
    unsigned top = 63 - (unsigned)__builtin_clzl(size - 1); /* 9 to 11 */
    return CLASS_LINEAR_COUNT + (top - 9) * 16 + (unsigned)(((size - 1) >> (top - 4)) & 15);
}

static size_t class_bytes(unsigned size_class) {
    if (size_class < CLASS_LINEAR_COUNT) return (size_class + 1) * 8;
    unsigned top = 9 + (size_class - CLASS_LINEAR_COUNT) / 16, step = (size_class - CLASS_LINEAR_COUNT) % 16 + 1;
    return ((size_t)1 << top) + ((size_t)step << (top - 4));
}

size_t slab_size_slow(size_t size) {
    return size > SLAB_BLOCK_MAX ? size : class_bytes(class_of(size));
}

/* ---- addresses */

static struct slab_chunk *chunk_of(const void *pointer) {
    return (struct slab_chunk *)((uintptr_t)pointer & ~(uintptr_t)(CHUNK_BYTES - 1));
}

static unsigned page_number(const struct slab_page *page) {
    return (unsigned)(page - chunk_of(page)->pages);
}

static struct slab_page *page_of(const void *block) {
    return &chunk_of(block)->pages[((uintptr_t)block & (CHUNK_BYTES - 1)) / PAGE_BYTES];
}

static char *page_start(const struct slab_page *page) {
    unsigned number = page_number(page);
    return (char *)chunk_of(page) + (number ? (size_t)number * PAGE_BYTES : sizeof(struct slab_chunk));
}

static size_t page_room(const struct slab_page *page) {
    return page_number(page) ? PAGE_BYTES : PAGE_BYTES - sizeof(struct slab_chunk);
}

/* ---- chunks: the slab's lock, where nothing else is said */

/* A new chunk, in no list; NULL where the system refuses. No lock is held: the first touch of a huge page makes the
 * system clear 2 MiB, and nobody else should wait for that. */
static struct slab_chunk *chunk_make(bool is_huge) {
    char *start = mmap(NULL, 2 * (size_t)CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *aligned = (char *)(((uintptr_t)start + CHUNK_BYTES - 1) & ~(uintptr_t)(CHUNK_BYTES - 1));
    size_t before = (size_t)(aligned - start);
    if (before) munmap(start, before);
    if (before != CHUNK_BYTES) munmap(aligned + CHUNK_BYTES, CHUNK_BYTES - before);
    if (is_huge) madvise(aligned, CHUNK_BYTES, MADV_HUGEPAGE);
    struct slab_chunk *chunk = (struct slab_chunk *)aligned;
    chunk->free = ALL_PAGES;
    chunk->may_be_huge = chunk->is_huge = is_huge;
    return chunk;
}

/* A chunk is for huge pages as long as nothing in it was given back: where they are wanted, the system looks every some
 * seconds for a chunk with a page in it and backs all of it, so that after a mass expiry most memory came again. */
static void chunk_advise(struct slab_chunk *chunk, bool is_huge) {
    if (!chunk->may_be_huge || chunk->is_huge == is_huge) return;
    madvise(chunk, CHUNK_BYTES, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    chunk->is_huge = is_huge;
}

static void open_link(struct slab *slab, struct slab_chunk *chunk) {
    chunk->open_previous = NULL;
    chunk->open_next = slab->open_chunks;
    if (chunk->open_next) chunk->open_next->open_previous = chunk;
    slab->open_chunks = chunk;
}

static void open_unlink(struct slab *slab, struct slab_chunk *chunk) {
    if (chunk->open_next) chunk->open_next->open_previous = chunk->open_previous;
    if (chunk->open_previous)
        chunk->open_previous->open_next = chunk->open_next;
    else
        slab->open_chunks = chunk->open_next;
}

static void chunk_add(struct slab *slab, struct slab_chunk *chunk) {
    chunk->next = slab->chunks;
    if (chunk->next) chunk->next->previous = chunk;
    slab->chunks = chunk;
    open_link(slab, chunk);
    slab->chunk_count++;
    slab->free_pages += CHUNK_PAGES;
}

/* Takes a wholly free chunk out of everything; the caller unmaps it outside the lock. */
static void chunk_detach(struct slab *slab, struct slab_chunk *chunk) {
    assert(chunk->free == ALL_PAGES);
    open_unlink(slab, chunk);
    if (chunk->next) chunk->next->previous = chunk->previous;
    if (chunk->previous)
        chunk->previous->next = chunk->next;
    else
        slab->chunks = chunk->next;
    slab->chunk_count--;
    slab->free_pages -= CHUNK_PAGES;
    slab->dirty_pages -= (uint32_t)__builtin_popcount(chunk->dirty);
}

/* Brings bytes_mapped up to date: what is mapped, without the free pages that no memory stands behind. */
static void mapped_count(struct slab *slab) {
    uint64_t pages = (uint64_t)slab->chunk_count * CHUNK_PAGES - slab->free_pages + slab->dirty_pages;
    atomic_store_explicit(&slab->bytes_mapped, pages * PAGE_BYTES, memory_order_relaxed);
}

/* Takes a free page out of its chunk, if there is one; first one that is backed, since it costs no page faults. */
static struct slab_page *free_page_take(struct slab *slab) {
    struct slab_chunk *chunk = slab->open_chunks;
    if (!chunk) return NULL;
    unsigned number = (unsigned)__builtin_ctz(chunk->dirty ? chunk->dirty : chunk->free);
    slab->dirty_pages -= chunk->dirty >> number & 1;
    slab->free_pages--;
    chunk->free &= ~(UINT32_C(1) << number);
    chunk->dirty &= ~(UINT32_C(1) << number);
    if (!chunk->free) {
        open_unlink(slab, chunk);
        chunk_advise(chunk, true);
    }
    mapped_count(slab);
    return &chunk->pages[number];
}

/* A free page, in no list and without a class; NULL where memory is lacking. No lock is held. */
static struct slab_page *page_take(struct slab *slab) {
    lock_take(&slab->lock);
    struct slab_page *page = free_page_take(slab);
    bool is_huge = slab->chunk_count >= HUGE_CHUNKS_MIN;
    lock_release(&slab->lock);
    if (page) return page;
    struct slab_chunk *chunk = chunk_make(is_huge);
    lock_take(&slab->lock);
    if (chunk) chunk_add(slab, chunk);
    page = free_page_take(slab); /* also where the system refused: somebody may have given one back meanwhile */
    lock_release(&slab->lock);
    return page;
}

static void page_discard(struct slab_page *page) {
    /* The first page begins with the chunk's head, which must stay: only whole system pages behind it go. */
    char *start = (char *)(((uintptr_t)page_start(page) + 4095) & ~(uintptr_t)4095);
    madvise(start, (size_t)(page_start(page) + page_room(page) - start), MADV_DONTNEED);
}

/* Gives an empty page back that is in no list. No lock is held. */
static void page_give(struct slab *slab, struct slab_page *page) {
    struct slab_chunk *chunk = chunk_of(page), *surplus = NULL;
    uint32_t bit = UINT32_C(1) << page_number(page);
    UNPOISON(page_start(page), page_room(page));
    lock_take(&slab->lock);
    bool is_dirty = slab->dirty_pages < DIRTY_PAGES_MAX;
    if (!is_dirty) { /* The system call runs outside the lock; the page is still ours. */
        chunk_advise(chunk, false);
        lock_release(&slab->lock);
        page_discard(page);
        lock_take(&slab->lock);
        chunk_advise(chunk, false); /* the last free page may have gone out meanwhile */
    }
    if (!chunk->free) open_link(slab, chunk);
    chunk->free |= bit;
    if (is_dirty) chunk->dirty |= bit;
    slab->dirty_pages += is_dirty;
    slab->free_pages++;
    if (chunk->free == ALL_PAGES && slab->free_pages >= CHUNK_PAGES + SPARE_PAGES) {
        chunk_detach(slab, chunk);
        surplus = chunk;
    }
    mapped_count(slab);
    lock_release(&slab->lock);
    if (surplus) munmap(surplus, CHUNK_BYTES);
}

/* ---- pages of an arena: its lock */

static void list_push(struct slab_page **list, struct slab_page *page) {
    page->previous = NULL;
    page->next = *list;
    if (page->next) page->next->previous = page;
    *list = page;
}

static void list_unlink(struct slab_page **list, struct slab_page *page) {
    if (page->next) page->next->previous = page->previous;
    if (page->previous)
        page->previous->next = page->next;
    else
        *list = page->next;
}

static void page_dedicate(struct slab_arena *arena, struct slab_page *page, unsigned arena_number,
                          unsigned size_class) {
    size_t block_bytes = class_bytes(size_class);
    page->free = NULL;
    page->block_bytes = (uint32_t)block_bytes;
    page->used = page->carved = 0;
    page->capacity = (uint16_t)(page_room(page) / block_bytes);
    page->size_class = (uint8_t)size_class;
    page->arena = (uint8_t)arena_number;
    POISON(page_start(page), page_room(page));
    list_push(&arena->partial[size_class], page);
}

/* A block of a page that has room. */
static void *page_pop(struct slab_arena *arena, struct slab_page *page) {
    void *block = page->free;
    if (block) {
        UNPOISON(block, page->block_bytes);
        memcpy(&page->free, block, sizeof page->free);
    } else {
        block = page_start(page) + (size_t)page->carved++ * page->block_bytes;
        UNPOISON(block, page->block_bytes);
    }
    if (++page->used == page->capacity) list_unlink(&arena->partial[page->size_class], page);
    return block;
}

/* Asks the processor for the block that goes out next. Whoever takes it writes all of it, and without this waits for
 * each line at the next locked instruction: a fifth of a set's time. */
static void page_prefetch(const struct slab_page *page) {
    const char *block = page->free;
    if (!block) return;
    size_t bytes = page->block_bytes < PREFETCH_BYTES_MAX ? page->block_bytes : PREFETCH_BYTES_MAX;
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(block + at, 1);
}

static void arena_count(struct slab_arena *arena, int64_t bytes) {
    uint64_t used = atomic_load_explicit(&arena->bytes_used, memory_order_relaxed);
    atomic_store_explicit(&arena->bytes_used, used + (uint64_t)bytes, memory_order_relaxed);
}

/* Sees to it that the class has a page with room. The arena's lock is held before and after, not always between. */
static bool arena_refill(struct slab *slab, struct slab_arena *arena, unsigned arena_number, unsigned size_class) {
    struct slab_page *page = arena->empty;
    if (page) {
        list_unlink(&arena->empty, page);
        arena->empty_count--;
    } else {
        lock_release(&arena->lock);
        page = page_take(slab);
        lock_take(&arena->lock);
        if (!page) return arena->partial[size_class] != NULL; /* somebody may have freed a block meanwhile */
    }
    page_dedicate(arena, page, arena_number, size_class);
    return true;
}

/* Puts a block back; answers a page that the arena has no use for, else NULL. */
static struct slab_page *page_push(struct slab_arena *arena, struct slab_page *page, void *block) {
    memcpy(block, &page->free, sizeof page->free);
    POISON(block, page->block_bytes);
    page->free = block;
    /* To the front: filling the fullest pages first lets the others run empty. */
    if (page->used == page->capacity) list_push(&arena->partial[page->size_class], page);
    if (--page->used) return NULL;
    list_unlink(&arena->partial[page->size_class], page);
    if (arena->empty_count >= ARENA_EMPTY_MAX) return page;
    list_push(&arena->empty, page);
    arena->empty_count++;
    return NULL;
}

/* ---- the interface */

static void *large_alloc(struct slab *slab, size_t size) {
    if (size > LARGE_BYTES_MAX) return NULL;
    void *block = size % 64 ? malloc(size) : aligned_alloc(64, size);
    if (block) atomic_fetch_add_explicit(&slab->bytes_large, size, memory_order_relaxed);
    return block;
}

void *slab_alloc(struct slab *slab, unsigned arena_hint, size_t size) {
    assert(size > 0);
    if (size > SLAB_BLOCK_MAX) return large_alloc(slab, size);
    unsigned number = arena_hint % SLAB_ARENA_COUNT, size_class = class_of(size);
    struct slab_arena *arena = &slab->arenas[number];
    void *block = NULL;
    lock_take(&arena->lock);
    if (arena->partial[size_class] || arena_refill(slab, arena, number, size_class)) {
        struct slab_page *page = arena->partial[size_class];
        arena_count(arena, page->block_bytes);
        block = page_pop(arena, page);
        if (arena->partial[size_class]) page_prefetch(arena->partial[size_class]);
    }
    lock_release(&arena->lock);
    return block;
}

void slab_free(struct slab *slab, void *block, size_t size) {
    if (!block) return;
    if (size > SLAB_BLOCK_MAX) {
        atomic_fetch_sub_explicit(&slab->bytes_large, size, memory_order_relaxed);
        free(block);
        return;
    }
    struct slab_page *page = page_of(block);
    struct slab_arena *arena = &slab->arenas[page->arena];
    lock_take(&arena->lock);
    assert(page->size_class == class_of(size) && page->used > 0);
    arena_count(arena, -(int64_t)page->block_bytes);
    struct slab_page *surplus = page_push(arena, page, block);
    lock_release(&arena->lock);
    if (surplus) page_give(slab, surplus);
}

void slab_init(struct slab *slab) {
    memset(slab, 0, sizeof *slab);
}

void slab_fini(struct slab *slab) {
    assert(atomic_load(&slab->bytes_large) == 0);
    for (struct slab_chunk *chunk = slab->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        UNPOISON(chunk, CHUNK_BYTES);
        munmap(chunk, CHUNK_BYTES);
    }
    memset(slab, 0, sizeof *slab);
}

struct slab_stats slab_stats_get(struct slab *slab) {
    uint64_t large = atomic_load_explicit(&slab->bytes_large, memory_order_relaxed), used = large;
    for (unsigned i = 0; i < SLAB_ARENA_COUNT; i++)
        used += atomic_load_explicit(&slab->arenas[i].bytes_used, memory_order_relaxed);
    return (struct slab_stats){used, atomic_load_explicit(&slab->bytes_mapped, memory_order_relaxed) + large};
}

/* ---- checking */

static void page_check(const struct slab_page *page) {
    CHECK(page->used <= page->carved && page->carved <= page->capacity);
    CHECK((size_t)page->capacity * page->block_bytes <= page_room(page));
    unsigned free_blocks = 0;
    for (char *block = page->free; block; free_blocks++) {
        CHECK(page_of(block) == page && (size_t)(block - page_start(page)) % page->block_bytes == 0);
        UNPOISON(block, sizeof(void *));
        void *next;
        memcpy(&next, block, sizeof next);
        POISON(block, sizeof(void *));
        block = next;
    }
    CHECK(free_blocks == (unsigned)page->carved - page->used);
}

static void arena_check(const struct slab_arena *arena, unsigned number) {
    unsigned empty_count = 0;
    for (const struct slab_page *page = arena->empty; page; page = page->next) empty_count++;
    CHECK(empty_count == arena->empty_count && empty_count <= ARENA_EMPTY_MAX);
    for (unsigned i = 0; i < SLAB_CLASS_COUNT; i++) {
        for (const struct slab_page *page = arena->partial[i]; page; page = page->next) {
            CHECK(page->size_class == i && page->arena == number && page->used < page->capacity);
            page_check(page);
        }
    }
}

void slab_check(struct slab *slab) {
    uint32_t chunk_count = 0, free_pages = 0, dirty_pages = 0;
    for (const struct slab_chunk *chunk = slab->chunks; chunk; chunk = chunk->next) {
        CHECK((chunk->dirty & ~chunk->free) == 0);
        chunk_count++;
        free_pages += (uint32_t)__builtin_popcount(chunk->free);
        dirty_pages += (uint32_t)__builtin_popcount(chunk->dirty);
    }
    CHECK(chunk_count == slab->chunk_count && free_pages == slab->free_pages && dirty_pages == slab->dirty_pages);
    CHECK(atomic_load(&slab->bytes_mapped) ==
          ((uint64_t)chunk_count * CHUNK_PAGES - free_pages + dirty_pages) * PAGE_BYTES);
    for (unsigned i = 0; i < SLAB_ARENA_COUNT; i++) arena_check(&slab->arenas[i], i);
}
