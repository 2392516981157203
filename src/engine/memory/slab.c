/* The slab allocator; see slab.h.
 *
 * Two kinds of locks, never both at once: an arena's (its pages' free lists) and the slab's own (which pages of which
 * chunk are free). A page that changes sides is in nobody's list at that moment. Pages are asked for outside the
 * arena's lock; two threads may then fetch one each, and both are used. */
#include "base/check.h"
#include "engine/memory/slab_chunk.h"
#include "sessiond/env.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLASS_LINEAR_COUNT = SLAB_LINEAR_MAX / 8,
    ARENA_EMPTY_MAX = 1, /* empty pages that an arena keeps */
    TRIM_AFTER_MS = 250, /* what malloc holds for nobody may be wanted again at once: it is looked at twice */
    TRIM_PART = 4,       /* ... and is a part of what there was at most */
    THIN_PART = 8,       /* of all mapped pages that are worth emptying when they are thin */
    THIN_ASKS_EVERY = 64 /* thin pages: to ask for each would wake somebody a thousand times in a mass expiry */
};

#define THIN_BYTES_MIN (UINT64_C(16) << 20)

#define TRIM_BYTES_MIN  (UINT64_C(1) << 20)
#define LARGE_BYTES_MAX ((size_t)1 << 39) /* no machine has that, and the sanitizers abort on much more */

_Static_assert(CLASS_LINEAR_COUNT + 4 * 16 + 2 == SLAB_CLASS_COUNT,
               "classes up to SLAB_BLOCK_MAX, 8 KiB and two steps");

#define PREFETCH_BYTES_MAX 512

/* ---- classes */

static unsigned class_of(size_t size) {
    if (size <= SLAB_LINEAR_MAX) return (unsigned)((size + 7) / 8) - 1;
    unsigned top = 63 - (unsigned)__builtin_clzl(size - 1); /* 9 to 13 */
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
    page->capacity = (uint16_t)(slab_page_room(page) / block_bytes);
    page->size_class = (uint8_t)size_class;
    page->arena = (uint8_t)arena_number;
    atomic_init(&page->is_thin, false);
    atomic_init(&page->is_leaving, false);
    SLAB_POISON(slab_page_start(page), slab_page_room(page));
    list_push(&arena->partial[size_class], page);
}

/* Answers how many pages are thin now. */
static uint32_t page_set_thin(struct slab *slab, struct slab_page *page, bool is_thin) {
    atomic_store_explicit(&page->is_thin, is_thin, memory_order_relaxed);
    if (is_thin) return atomic_fetch_add_explicit(&slab->thin_pages, 1, memory_order_relaxed) + 1;
    return atomic_fetch_sub_explicit(&slab->thin_pages, 1, memory_order_relaxed) - 1;
}

/* A block of a page that has room. */
static void *page_pop(struct slab *slab, struct slab_arena *arena, struct slab_page *page) {
    void *block = page->free;
    if (block) {
        SLAB_UNPOISON(block, page->block_bytes);
        memcpy(&page->free, block, sizeof page->free);
    } else {
        block = slab_page_start(page) + (size_t)page->carved++ * page->block_bytes;
        SLAB_UNPOISON(block, page->block_bytes);
    }
    if (++page->used == page->capacity) list_unlink(&arena->partial[page->size_class], page);
    if (page->used == page->capacity / 2 + 1 && atomic_load_explicit(&page->is_thin, memory_order_relaxed))
        page_set_thin(slab, page, false);
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
        page = slab_page_take(slab);
        lock_take(&arena->lock);
        if (!page) return arena->partial[size_class] != NULL; /* somebody may have freed a block meanwhile */
    }
    page_dedicate(arena, page, arena_number, size_class);
    return true;
}

static struct slab_page **page_list(struct slab_arena *arena, struct slab_page *page) {
    bool is_leaving = atomic_load_explicit(&page->is_leaving, memory_order_relaxed);
    return is_leaving ? &arena->leaving : &arena->partial[page->size_class];
}

/* Puts a block back; answers a page that the arena has no use for, else NULL. *is_worth_asking: many are thin now. */
static struct slab_page *page_push(struct slab *slab, struct slab_arena *arena, struct slab_page *page, void *block,
                                   bool *is_worth_asking) {
    memcpy(block, &page->free, sizeof page->free);
    SLAB_POISON(block, page->block_bytes);
    page->free = block;
    /* To the front: filling the fullest pages first lets the others run empty. */
    if (page->used == page->capacity && !atomic_load_explicit(&page->is_leaving, memory_order_relaxed))
        list_push(&arena->partial[page->size_class], page);
    if (--page->used == page->capacity / 2 && page->used)
        *is_worth_asking = page_set_thin(slab, page, true) % THIN_ASKS_EVERY == 0;
    if (page->used) return NULL;
    if (atomic_load_explicit(&page->is_thin, memory_order_relaxed)) page_set_thin(slab, page, false);
    list_unlink(page_list(arena, page), page);
    if (arena->empty_count >= ARENA_EMPTY_MAX) return page;
    list_push(&arena->empty, page);
    arena->empty_count++;
    return NULL;
}

/* ---- the interface */

static uint64_t held_bytes(struct slab *slab) {
    return atomic_load_explicit(&slab->bytes_large, memory_order_relaxed) +
           atomic_load_explicit(&slab->bytes_mapped, memory_order_relaxed);
}

void slab_note_peak(struct slab *slab) {
    uint64_t bytes = held_bytes(slab), peak = atomic_load_explicit(&slab->peak, memory_order_relaxed);
    while (bytes > peak && !atomic_compare_exchange_weak(&slab->peak, &peak, bytes)) {
    }
}

static void *large_alloc(struct slab *slab, size_t size) {
    if (size > LARGE_BYTES_MAX) return NULL;
    void *block = size % 64 ? malloc(size) : aligned_alloc(64, size);
    if (!block) return NULL;
    atomic_fetch_add_explicit(&slab->bytes_large, size, memory_order_relaxed);
    slab_note_peak(slab);
    return block;
}

/* Whether malloc may hold much for nobody: it gives back by itself what lies on top of all, and one small block there
 * keeps everything. Where much less is in use than was, much of what others took of it for that has gone as well. */
static bool large_is_sparse(struct slab *slab) {
    uint64_t peak = atomic_load_explicit(&slab->peak, memory_order_relaxed), bytes = held_bytes(slab);
    uint64_t part = peak / TRIM_PART;
    return peak > bytes && peak - bytes >= (part > TRIM_BYTES_MIN ? part : TRIM_BYTES_MIN);
}

static void large_free(struct slab *slab, void *block, size_t size) {
    atomic_fetch_sub_explicit(&slab->bytes_large, size, memory_order_relaxed);
    free(block);
    slab_ask_trim(slab);
}

void slab_ask_trim(struct slab *slab) {
    if (!atomic_load_explicit(&slab->is_prepared, memory_order_relaxed) || !large_is_sparse(slab)) return;
    if (!atomic_exchange_explicit(&slab->is_sparse, true, memory_order_relaxed)) slab_ask(slab);
}

/* Has malloc give back what it holds for nobody, once that has been much for a while. Answers when to call again. */
static int64_t large_trim(struct slab *slab, int64_t now_ms) {
    if (!atomic_load(&slab->is_sparse)) return INT64_MAX;
    if (!slab->trim_at) slab->trim_at = now_ms + TRIM_AFTER_MS;
    if (now_ms < slab->trim_at) return slab->trim_at;
    slab->trim_at = 0;
    if (large_is_sparse(slab)) {
        atomic_store(&slab->peak, held_bytes(slab));
        malloc_trim(0);
    }
    atomic_store(&slab->is_sparse, false);
    if (!large_is_sparse(slab)) return INT64_MAX; /* what is freed from now on asks by itself */
    atomic_store(&slab->is_sparse, true);
    return slab->trim_at = now_ms + TRIM_AFTER_MS;
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
        block = page_pop(slab, arena, page);
        if (arena->partial[size_class]) page_prefetch(arena->partial[size_class]);
    }
    lock_release(&arena->lock);
    return block;
}

void slab_free(struct slab *slab, void *block, size_t size) {
    if (!block) return;
    if (size > SLAB_BLOCK_MAX) {
        large_free(slab, block, size);
        return;
    }
    struct slab_page *page = slab_page_of(block);
    struct slab_arena *arena = &slab->arenas[page->arena];
    lock_take(&arena->lock);
    assert(page->size_class == class_of(size) && page->used > 0);
    arena_count(arena, -(int64_t)page->block_bytes);
    bool is_worth_asking = false;
    struct slab_page *surplus = page_push(slab, arena, page, block, &is_worth_asking);
    lock_release(&arena->lock);
    if (surplus) slab_page_give(slab, surplus);
    if (is_worth_asking && atomic_load_explicit(&slab->is_prepared, memory_order_relaxed) && slab_is_thin(slab))
        slab_ask(slab);
}

/* ---- pages that are to run empty */

bool slab_is_thin(struct slab *slab) {
    uint64_t thin = atomic_load_explicit(&slab->thin_pages, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&slab->thin_before, memory_order_relaxed);
    uint64_t mapped = atomic_load_explicit(&slab->bytes_mapped, memory_order_relaxed);
    if (thin < before) atomic_store_explicit(&slab->thin_before, (uint32_t)(before = thin), memory_order_relaxed);
    uint64_t bytes = (thin - before) * SLAB_PAGE_BYTES;
    return bytes >= THIN_BYTES_MIN && bytes >= mapped / THIN_PART;
}

void slab_leaving_begin(struct slab *slab, void *block, bool in_any_case) {
    struct slab_page *page = slab_page_of(block);
    if (atomic_load_explicit(&page->is_leaving, memory_order_relaxed)) return;
    if (!in_any_case && !atomic_load_explicit(&page->is_thin, memory_order_relaxed)) return;
    struct slab_arena *arena = &slab->arenas[page->arena];
    lock_take(&arena->lock);
    bool is_wanted = in_any_case || atomic_load_explicit(&page->is_thin, memory_order_relaxed);
    if (is_wanted && !atomic_load_explicit(&page->is_leaving, memory_order_relaxed)) {
        if (page->used < page->capacity) list_unlink(&arena->partial[page->size_class], page);
        list_push(&arena->leaving, page);
        atomic_store_explicit(&page->is_leaving, true, memory_order_relaxed);
    }
    lock_release(&arena->lock);
}

bool slab_is_leaving(const void *block) {
    return atomic_load_explicit(&slab_page_of(block)->is_leaving, memory_order_relaxed);
}

/* One page at a time, since whoever allocates waits for the lock. */
void slab_leaving_end(struct slab *slab) {
    for (unsigned i = 0; i < SLAB_ARENA_COUNT; i++) {
        struct slab_arena *arena = &slab->arenas[i];
        struct slab_page *page;
        do {
            lock_take(&arena->lock);
            page = arena->leaving;
            if (page) {
                list_unlink(&arena->leaving, page);
                atomic_store_explicit(&page->is_leaving, false, memory_order_relaxed);
                if (page->used < page->capacity) list_push(&arena->partial[page->size_class], page);
            }
            lock_release(&arena->lock);
        } while (page);
    }
    atomic_store(&slab->thin_before, atomic_load(&slab->thin_pages));
}

void slab_init(struct slab *slab) {
    memset(slab, 0, sizeof *slab);
}

void slab_fini(struct slab *slab) {
    assert(atomic_load(&slab->bytes_large) == 0);
    slab_chunks_fini(slab);
    memset(slab, 0, sizeof *slab);
}

void slab_prepare_by(struct slab *slab, const struct env *env) {
    slab->env = env;
}

void slab_ask(struct slab *slab) {
    if (!slab->env || !slab->env->prepare || atomic_load_explicit(&slab->is_asked, memory_order_relaxed)) return;
    if (!atomic_exchange(&slab->is_asked, true)) slab->env->prepare(slab->env->context);
}

int64_t slab_prepare(struct slab *slab, int64_t now_ms) {
    atomic_store(&slab->is_prepared, true);
    atomic_store(&slab->is_asked, false); /* first: what is lacking from now on asks again */
    int64_t chunks_at = slab_chunks_prepare(slab, now_ms), large_at = large_trim(slab, now_ms);
    return chunks_at < large_at ? chunks_at : large_at;
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
    CHECK(!page->is_thin || page->used <= page->capacity / 2);
    CHECK((size_t)page->capacity * page->block_bytes <= slab_page_room(page));
    unsigned free_blocks = 0;
    for (char *block = page->free; block; free_blocks++) {
        CHECK(slab_page_of(block) == page && (size_t)(block - slab_page_start(page)) % page->block_bytes == 0);
        SLAB_UNPOISON(block, sizeof(void *));
        void *next;
        memcpy(&next, block, sizeof next);
        SLAB_POISON(block, sizeof(void *));
        block = next;
    }
    CHECK(free_blocks == (unsigned)page->carved - page->used);
}

/* Answers how many thin pages it has. */
static uint32_t arena_check(const struct slab_arena *arena, unsigned number) {
    uint32_t empty_count = 0, thin_count = 0;
    for (const struct slab_page *page = arena->empty; page; page = page->next) empty_count++;
    CHECK(empty_count == arena->empty_count && empty_count <= ARENA_EMPTY_MAX);
    for (unsigned i = 0; i < SLAB_CLASS_COUNT; i++) {
        for (const struct slab_page *page = arena->partial[i]; page; page = page->next) {
            CHECK(page->size_class == i && page->arena == number && page->used < page->capacity);
            CHECK(!page->is_leaving);
            page_check(page);
            thin_count += page->is_thin;
        }
    }
    for (const struct slab_page *page = arena->leaving; page; page = page->next) {
        CHECK(page->is_leaving && page->arena == number && page->used > 0);
        page_check(page);
        thin_count += page->is_thin;
    }
    return thin_count;
}

void slab_check(struct slab *slab) {
    slab_chunks_check(slab);
    uint32_t thin_count = 0;
    for (unsigned i = 0; i < SLAB_ARENA_COUNT; i++) thin_count += arena_check(&slab->arenas[i], i);
    CHECK(thin_count == atomic_load(&slab->thin_pages));
}
