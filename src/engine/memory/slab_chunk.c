/* Chunks from the system and back; see slab_chunk.h.
 *
 * The first touch of a huge page has the system clear 2 MiB: a tenth of a millisecond, and seven where a hypervisor has
 * yet to find the memory. No loop should wait for that. So from a certain size on one chunk is kept ready that somebody
 * else has touched (slab_prepare). A loop that needs one while none is ready takes one with pages of the ordinary size,
 * which come by and by; those ask for huge pages once they are full, when the system exchanges them behind everybody's
 * back.
 *
 * Giving memory back takes long as well: a page is torn out of a huge one, which the system splits first, and after a
 * mass expiry a loop would do that thousands of times within a tenth of a second. So pages that came back stay backed
 * for a while, by which time most of their chunks are free as a whole, and the same somebody gives those back in one
 * step each, a few at a time, since it may share a processor with those that wait.
 *
 * Where nobody ever prepares (tests, recovery), all that is done at once by whoever is there. */
#include "engine/memory/slab_chunk.h"
#include "base/check.h"
#include "sessiond/env.h"

#include <assert.h>
#include <sys/mman.h>

enum {
    DIRTY_PAGES_MAX = 32,          /* pages that were given back and stay backed by memory, where nobody prepares */
    DIRTY_PAGES_MIN = 8,           /* and where somebody does, who takes away the others after a while only */
    SURPLUS_AFTER_MS = 100,        /* what is beyond that goes back to the system, unless it is wanted again */
    SURPLUS_SLICE = 4,             /* chunks that are given back, or parts of chunks, before others get the processor */
    SURPLUS_PAUSE_MS = 1,          /* ... for so long */
    KEPT_PAGES = SLAB_CHUNK_PAGES, /* free pages beside it without which a free chunk is kept */
    SPARE_IDLE_MS = 2000,          /* a spare chunk that nobody has needed for so long goes back */
    SPARE_LATE_PAGES = 4,          /* ... and the next is made ready when so few pages are free, if it grows slowly */
    HUGE_CHUNKS_MIN = 8,           /* from then on chunks ask for huge pages; before, a small server stays small */
    SYSTEM_PAGE_BYTES = 4096
};

#define ALL_PAGES UINT32_MAX

/* ---- chunks in no list */

static struct slab_chunk *chunk_map(void) {
    char *start = mmap(NULL, 2 * SLAB_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    char *aligned = (char *)(((uintptr_t)start + SLAB_CHUNK_BYTES - 1) & ~(uintptr_t)(SLAB_CHUNK_BYTES - 1));
    size_t before = (size_t)(aligned - start);
    if (before) munmap(start, before);
    if (before != SLAB_CHUNK_BYTES) munmap(aligned + SLAB_CHUNK_BYTES, SLAB_CHUNK_BYTES - before);
    return (struct slab_chunk *)aligned;
}

/* A new chunk; NULL where the system refuses. may_be_huge without is_huge: not before it is full. No lock is held. */
static struct slab_chunk *chunk_make(bool may_be_huge, bool is_huge) {
    struct slab_chunk *chunk = chunk_map();
    if (!chunk) return NULL;
    /* What is not asked for may come all the same, where the system gives huge pages to everybody. */
    if (may_be_huge) madvise(chunk, SLAB_CHUNK_BYTES, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    chunk->free = ALL_PAGES;
    chunk->may_be_huge = may_be_huge;
    chunk->is_huge = is_huge;
    return chunk;
}

/* Has the system put memory behind all of a new chunk, in one step or in many. What is written is there already. */
static void chunk_touch(struct slab_chunk *chunk) {
    size_t first = (sizeof *chunk + SYSTEM_PAGE_BYTES - 1) & ~(size_t)(SYSTEM_PAGE_BYTES - 1);
    for (size_t at = first; at < SLAB_CHUNK_BYTES; at += SYSTEM_PAGE_BYTES) *((volatile char *)chunk + at) = 0;
    chunk->dirty = chunk->fresh = ALL_PAGES;
}

/* A chunk is for huge pages as long as nothing in it was given back: where they are wanted, the system looks every some
 * seconds for a chunk with a page in it and backs all of it, so that after a mass expiry most memory came again. */
static void chunk_advise(struct slab_chunk *chunk, bool is_huge) {
    if (!chunk->may_be_huge || chunk->is_huge == is_huge) return;
    madvise(chunk, SLAB_CHUNK_BYTES, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    chunk->is_huge = is_huge;
}

/* ---- lists of chunks: the slab's lock */

static void waiting_link(struct slab_chunk **list, struct slab_chunk *chunk) {
    chunk->waiting_previous = NULL;
    chunk->waiting_next = *list;
    if (chunk->waiting_next) chunk->waiting_next->waiting_previous = chunk;
    *list = chunk;
}

static void waiting_unlink(struct slab_chunk **list, struct slab_chunk *chunk) {
    if (chunk->waiting_next) chunk->waiting_next->waiting_previous = chunk->waiting_previous;
    if (chunk->waiting_previous)
        chunk->waiting_previous->waiting_next = chunk->waiting_next;
    else
        *list = chunk->waiting_next;
}

/* The list that a chunk is in, by its state; NULL: none. */
static struct slab_chunk **waiting_list(struct slab *slab, const struct slab_chunk *chunk) {
    if (chunk->is_coarse) return &slab->coarse_chunks;
    if (!chunk->free) return NULL;
    return chunk->dirty ? &slab->backed_chunks : &slab->open_chunks;
}

/* After its state has changed: from the list that it was in to the one where it belongs now. */
static void waiting_move(struct slab *slab, struct slab_chunk **from, struct slab_chunk *chunk) {
    struct slab_chunk **to = waiting_list(slab, chunk);
    if (from == to) return;
    if (from) waiting_unlink(from, chunk);
    if (to) waiting_link(to, chunk);
}

static void chunk_add(struct slab *slab, struct slab_chunk *chunk) {
    chunk->previous = NULL;
    chunk->next = slab->chunks;
    if (chunk->next) chunk->next->previous = chunk;
    slab->chunks = chunk;
    waiting_move(slab, NULL, chunk);
    slab->chunk_count++;
    slab->free_pages += SLAB_CHUNK_PAGES;
    slab->dirty_pages += (uint32_t)__builtin_popcount(chunk->dirty);
    slab->fresh_pages += (uint32_t)__builtin_popcount(chunk->fresh);
}

/* Takes a wholly free chunk out of everything, and among those that are to be unmapped. */
static void chunk_detach(struct slab *slab, struct slab_chunk *chunk) {
    assert(chunk->free == ALL_PAGES && !chunk->is_busy);
    waiting_unlink(waiting_list(slab, chunk), chunk);
    if (chunk->next) chunk->next->previous = chunk->previous;
    if (chunk->previous)
        chunk->previous->next = chunk->next;
    else
        slab->chunks = chunk->next;
    slab->chunk_count--;
    slab->free_pages -= SLAB_CHUNK_PAGES;
    slab->dirty_pages -= (uint32_t)__builtin_popcount(chunk->dirty);
    slab->fresh_pages -= (uint32_t)__builtin_popcount(chunk->fresh);
    chunk->next = slab->surplus_chunks;
    slab->surplus_chunks = chunk;
    slab->surplus_dirty_pages += (uint32_t)__builtin_popcount(chunk->dirty);
}

/* A chunk that was to be unmapped; NULL: there is none. */
static struct slab_chunk *surplus_take(struct slab *slab) {
    struct slab_chunk *chunk = slab->surplus_chunks;
    if (!chunk) return NULL;
    slab->surplus_chunks = chunk->next;
    slab->surplus_dirty_pages -= (uint32_t)__builtin_popcount(chunk->dirty);
    return chunk;
}

static uint64_t backed_pages(const struct slab *slab) {
    uint64_t pages = (uint64_t)slab->chunk_count * SLAB_CHUNK_PAGES - slab->free_pages + slab->dirty_pages;
    return pages + slab->surplus_dirty_pages + (slab->spare ? SLAB_CHUNK_PAGES : 0);
}

/* Brings bytes_mapped up to date: what is mapped, without the free pages that no memory stands behind. */
static void mapped_count(struct slab *slab) {
    uint64_t pages = backed_pages(slab);
    atomic_store_explicit(&slab->bytes_mapped, pages * SLAB_PAGE_BYTES, memory_order_relaxed);
}

/* ---- pages */

/* A chunk whose last free page has just gone. */
static void chunk_filled(struct slab *slab, struct slab_chunk *chunk) {
    if (!chunk->may_be_huge || chunk->is_busy || chunk->is_huge) return;
    if (atomic_load_explicit(&slab->is_prepared, memory_order_relaxed))
        chunk->is_coarse = true;
    else
        chunk_advise(chunk, true);
}

/* Takes a free page out of its chunk, if there is one; first one that is backed, since it costs no page faults. */
static struct slab_page *free_page_take(struct slab *slab) {
    struct slab_chunk *chunk = slab->backed_chunks ? slab->backed_chunks : slab->open_chunks;
    if (!chunk) return NULL;
    struct slab_chunk **list = waiting_list(slab, chunk);
    unsigned number = (unsigned)__builtin_ctz(chunk->dirty ? chunk->dirty : chunk->free);
    slab->dirty_pages -= chunk->dirty >> number & 1;
    slab->fresh_pages -= chunk->fresh >> number & 1;
    slab->free_pages--;
    chunk->free &= ~(UINT32_C(1) << number);
    chunk->dirty &= ~(UINT32_C(1) << number);
    chunk->fresh &= ~(UINT32_C(1) << number);
    if (!chunk->free) chunk_filled(slab, chunk);
    waiting_move(slab, list, chunk);
    mapped_count(slab);
    return &chunk->pages[number];
}

/* Whether a spare chunk will soon be needed. */
static bool spare_is_wanted(const struct slab *slab) {
    uint32_t pages = slab->grows_slowly ? SPARE_LATE_PAGES : SLAB_CHUNK_PAGES;
    return slab->chunk_count >= HUGE_CHUNKS_MIN && slab->free_pages < pages;
}

/* Under the lock: whether somebody is to prepare something. Whoever asks does so once it is released. */
static bool needs_preparing(struct slab *slab, bool is_growing) {
    bool is_too_many = slab->spare && slab->chunk_count < HUGE_CHUNKS_MIN;
    if (is_growing && !slab->spare && spare_is_wanted(slab)) slab->wants_spare = true;
    return atomic_load_explicit(&slab->is_prepared, memory_order_relaxed) &&
           (is_too_many || slab->wants_spare || slab->coarse_chunks);
}

/* Where no free page is backed: takes a chunk back that was to be unmapped, or where no page is free the spare one. */
static void ready_chunk_add(struct slab *slab) {
    struct slab_chunk *chunk = surplus_take(slab);
    if (!chunk && !slab->open_chunks && slab->spare) {
        chunk = slab->spare;
        slab->spare = NULL;
        slab->grows_slowly = false;
    }
    if (chunk) chunk_add(slab, chunk);
}

struct slab_page *slab_page_take(struct slab *slab) {
    lock_take(&slab->lock);
    if (!slab->backed_chunks) ready_chunk_add(slab);
    struct slab_page *page = free_page_take(slab);
    bool may_be_huge = slab->chunk_count >= HUGE_CHUNKS_MIN,
         is_huge = may_be_huge && !atomic_load_explicit(&slab->is_prepared, memory_order_relaxed);
    bool asks = needs_preparing(slab, true);
    lock_release(&slab->lock);
    slab_note_peak(slab);
    if (asks) slab_ask(slab);
    if (page) return page;
    struct slab_chunk *chunk = chunk_make(may_be_huge, is_huge);
    lock_take(&slab->lock);
    if (chunk) chunk_add(slab, chunk);
    page = free_page_take(slab); /* also where the system refused: somebody may have given one back meanwhile */
    lock_release(&slab->lock);
    slab_note_peak(slab);
    return page;
}

/* Under the lock: enters pages among the free ones of their chunk, which is to be unmapped if that makes it free as a
 * whole and enough others are left. */
static void free_pages_add(struct slab *slab, struct slab_chunk *chunk, uint32_t bits, bool is_dirty) {
    uint32_t count = (uint32_t)__builtin_popcount(bits);
    struct slab_chunk **list = waiting_list(slab, chunk);
    chunk->is_coarse = false;
    chunk->free |= bits;
    if (is_dirty) chunk->dirty |= bits;
    slab->dirty_pages += is_dirty ? count : 0;
    slab->free_pages += count;
    waiting_move(slab, list, chunk);
    bool is_surplus = chunk->free == ALL_PAGES && !chunk->is_busy && slab->free_pages >= SLAB_CHUNK_PAGES + KEPT_PAGES;
    if (is_surplus) chunk_detach(slab, chunk);
    mapped_count(slab);
}

/* ---- giving back to the system: whoever prepares, or where nobody does whoever gave the page back */

static bool has_stale(const struct slab *slab) {
    bool is_prepared = atomic_load_explicit(&slab->is_prepared, memory_order_relaxed);
    return slab->dirty_pages - slab->fresh_pages > (is_prepared ? DIRTY_PAGES_MIN : DIRTY_PAGES_MAX);
}

static bool has_surplus(const struct slab *slab) {
    return slab->surplus_chunks || has_stale(slab);
}

/* Unmaps one of the chunks that are free as a whole. False: there was none. */
static bool surplus_unmap(struct slab *slab) {
    lock_take(&slab->lock);
    struct slab_chunk *chunk = surplus_take(slab);
    if (chunk) mapped_count(slab);
    lock_release(&slab->lock);
    if (chunk) munmap(chunk, SLAB_CHUNK_BYTES);
    return chunk != NULL;
}

/* Pages of one chunk, which nobody else has meanwhile: one call for each row of them. */
static void pages_discard(struct slab_chunk *chunk, uint32_t bits) {
    while (bits) {
        unsigned first = (unsigned)__builtin_ctz(bits), behind = first;
        for (; behind < SLAB_CHUNK_PAGES && bits >> behind & 1; behind++) bits &= ~(UINT32_C(1) << behind);
        /* The first page begins with the chunk's head, which must stay: only whole system pages behind it go. */
        uintptr_t start = (uintptr_t)slab_page_start(&chunk->pages[first]),
                  end = (uintptr_t)chunk + behind * SLAB_PAGE_BYTES;
        start = (start + SYSTEM_PAGE_BYTES - 1) & ~(uintptr_t)(SYSTEM_PAGE_BYTES - 1);
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
}

/* A chunk with pages that were in use and are free and backed; NULL: all pages that are backed were never in use. */
static struct slab_chunk *stale_chunk(const struct slab *slab) {
    struct slab_chunk *chunk = slab->backed_chunks;
    while (chunk && (chunk->is_busy || !(chunk->dirty & ~chunk->fresh))) chunk = chunk->waiting_next;
    return chunk;
}

/* Gives back what is free of one chunk that is in use for the rest, if too much of that is backed. False: it is not. */
static bool stale_discard(struct slab *slab) {
    lock_take(&slab->lock);
    struct slab_chunk *chunk = has_stale(slab) ? stale_chunk(slab) : NULL;
    if (!chunk) {
        lock_release(&slab->lock);
        return false;
    }
    struct slab_chunk **list = waiting_list(slab, chunk);
    uint32_t bits = chunk->dirty & ~chunk->fresh, count = (uint32_t)__builtin_popcount(bits);
    chunk->free &= ~bits; /* nobody takes them, and so nobody unmaps the chunk */
    chunk->dirty &= ~bits;
    slab->free_pages -= count;
    slab->dirty_pages -= count;
    bool was_huge = chunk->is_huge; /* what has holes is not for huge pages: see chunk_advise */
    chunk->is_huge = false;
    chunk->is_busy = true;
    waiting_move(slab, list, chunk);
    lock_release(&slab->lock);
    if (was_huge) madvise(chunk, SLAB_CHUNK_BYTES, MADV_NOHUGEPAGE);
    pages_discard(chunk, bits);
    lock_take(&slab->lock);
    chunk->is_busy = false;
    free_pages_add(slab, chunk, bits, false);
    lock_release(&slab->lock);
    return true;
}

/* Gives back as much as goes in one slice. Answers when to go on; INT64_MAX: it is all done. */
static int64_t surplus_work(struct slab *slab, int64_t now_ms) {
    lock_take(&slab->lock);
    bool is_wanted = slab->is_surplus;
    if (is_wanted && !slab->surplus_at) slab->surplus_at = now_ms + SURPLUS_AFTER_MS;
    lock_release(&slab->lock);
    if (!is_wanted) return INT64_MAX;
    if (now_ms < slab->surplus_at) return slab->surplus_at;
    unsigned done = 0;
    while (done < SURPLUS_SLICE && (surplus_unmap(slab) || stale_discard(slab))) done++;
    if (done) slab_ask_trim(slab);
    lock_take(&slab->lock);
    bool goes_on = slab->is_surplus = has_surplus(slab) && done > 0;
    slab->surplus_at = goes_on ? now_ms + SURPLUS_PAUSE_MS : 0;
    lock_release(&slab->lock);
    return goes_on ? now_ms + SURPLUS_PAUSE_MS : INT64_MAX;
}

/* Where nobody prepares. */
static void surplus_work_off(struct slab *slab) {
    while (surplus_unmap(slab) || stale_discard(slab)) {
    }
}

void slab_page_give(struct slab *slab, struct slab_page *page) {
    SLAB_UNPOISON(slab_page_start(page), slab_page_room(page));
    lock_take(&slab->lock);
    free_pages_add(slab, slab_chunk_of(page), UINT32_C(1) << slab_page_number(page), true);
    bool is_first = has_surplus(slab) && !slab->is_surplus,
         is_prepared = atomic_load_explicit(&slab->is_prepared, memory_order_relaxed);
    if (is_first && is_prepared) slab->is_surplus = true;
    bool asks = (is_first && is_prepared) || needs_preparing(slab, false);
    lock_release(&slab->lock);
    if (is_first && !is_prepared) surplus_work_off(slab);
    if (asks) slab_ask(slab);
}

/* ---- preparing: one thread, which is none of those that wait */

/* One chunk that filled up in small pages asks for huge ones. False: there was none. */
static bool coarse_chunk_advise(struct slab *slab) {
    lock_take(&slab->lock);
    struct slab_chunk *chunk = slab->coarse_chunks;
    if (chunk) {
        chunk->is_coarse = false;
        waiting_move(slab, &slab->coarse_chunks, chunk);
        chunk->is_busy = true; /* it is not unmapped meanwhile, nor advised by anybody else */
    }
    lock_release(&slab->lock);
    if (!chunk) return false;
    madvise(chunk, SLAB_CHUNK_BYTES, MADV_HUGEPAGE);
    lock_take(&slab->lock);
    chunk->is_huge = true;
    chunk->is_busy = false;
    if (chunk->free & ~chunk->dirty) chunk_advise(chunk, false); /* some of it was given back to the system */
    lock_release(&slab->lock);
    return true;
}

/* Gives the spare chunk up that a server has become too small for, or that nobody has needed. */
static void spare_drop(struct slab *slab, int64_t now_ms) {
    struct slab_chunk *surplus = NULL;
    lock_take(&slab->lock);
    bool is_idle = now_ms >= slab->spare_until;
    if (slab->spare && (is_idle || slab->chunk_count < HUGE_CHUNKS_MIN)) {
        surplus = slab->spare;
        slab->spare = NULL;
        slab->grows_slowly = true;
        mapped_count(slab);
    }
    lock_release(&slab->lock);
    if (surplus) munmap(surplus, SLAB_CHUNK_BYTES);
}

/* Makes the spare chunk ready that was asked for, or that will be. False: nothing is to be done, or can be. */
static bool spare_prepare(struct slab *slab, int64_t now_ms) {
    lock_take(&slab->lock);
    bool is_wanted = slab->wants_spare && !slab->spare && spare_is_wanted(slab);
    slab->wants_spare = false;
    lock_release(&slab->lock);
    if (!is_wanted) return false;
    struct slab_chunk *chunk = chunk_make(true, true);
    if (!chunk) return false;
    chunk_touch(chunk);
    lock_take(&slab->lock);
    slab->spare = chunk;
    slab->spare_until = now_ms + SPARE_IDLE_MS;
    mapped_count(slab);
    lock_release(&slab->lock);
    return true;
}

int64_t slab_chunks_prepare(struct slab *slab, int64_t now_ms) {
    spare_drop(slab, now_ms);
    while (spare_prepare(slab, now_ms)) {
    }
    while (coarse_chunk_advise(slab)) {
    }
    lock_take(&slab->lock);
    int64_t spare_at = slab->spare ? slab->spare_until : INT64_MAX;
    lock_release(&slab->lock);
    int64_t surplus_at = surplus_work(slab, now_ms);
    return spare_at < surplus_at ? spare_at : surplus_at;
}

/* ---- the end, and checking */

void slab_chunks_fini(struct slab *slab) {
    while (surplus_unmap(slab)) {
    }
    for (struct slab_chunk *chunk = slab->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        SLAB_UNPOISON(chunk, SLAB_CHUNK_BYTES);
        munmap(chunk, SLAB_CHUNK_BYTES);
    }
    if (slab->spare) munmap(slab->spare, SLAB_CHUNK_BYTES);
}

static uint32_t waiting_check(const struct slab_chunk *chunk) {
    uint32_t count = 0;
    for (const struct slab_chunk *previous = NULL; chunk; previous = chunk, chunk = chunk->waiting_next, count++)
        CHECK(chunk->waiting_previous == previous);
    return count;
}

void slab_chunks_check(struct slab *slab) {
    uint32_t chunk_count = 0, open_count = 0, coarse_count = 0, free_pages = 0;
    uint32_t dirty_pages = 0, fresh_pages = 0, backed_count = 0, surplus_dirty_pages = 0;
    for (const struct slab_chunk *chunk = slab->chunks; chunk; chunk = chunk->next) {
        CHECK((chunk->dirty & ~chunk->free) == 0 && (chunk->fresh & ~chunk->dirty) == 0);
        CHECK(!chunk->is_busy && !(chunk->is_coarse && chunk->free));
        chunk_count++;
        open_count += chunk->free && !chunk->dirty;
        backed_count += chunk->dirty != 0;
        coarse_count += chunk->is_coarse;
        free_pages += (uint32_t)__builtin_popcount(chunk->free);
        dirty_pages += (uint32_t)__builtin_popcount(chunk->dirty);
        fresh_pages += (uint32_t)__builtin_popcount(chunk->fresh);
    }
    CHECK(chunk_count == slab->chunk_count && free_pages == slab->free_pages);
    CHECK(dirty_pages == slab->dirty_pages && fresh_pages == slab->fresh_pages);
    for (const struct slab_chunk *chunk = slab->surplus_chunks; chunk; chunk = chunk->next) {
        CHECK(chunk->free == ALL_PAGES && !chunk->is_busy && !chunk->is_coarse);
        surplus_dirty_pages += (uint32_t)__builtin_popcount(chunk->dirty);
    }
    CHECK(open_count == waiting_check(slab->open_chunks) && backed_count == waiting_check(slab->backed_chunks));
    CHECK(coarse_count == waiting_check(slab->coarse_chunks));
    CHECK(surplus_dirty_pages == slab->surplus_dirty_pages);
    CHECK(atomic_load(&slab->bytes_mapped) == backed_pages(slab) * SLAB_PAGE_BYTES);
}
