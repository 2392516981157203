/* Reclamation; see reclaim.h. */
#include "engine/memory/reclaim.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    SIZE_BITS = 56,    /* of a note's word; the kind stands above */
    CHUNK_NOTES = 254, /* so that a chunk is 4 KiB */
    SPARE_CHUNKS_MAX = 8
};

struct note {
    void *pointer;
    uint64_t size_and_kind;
};

struct chunk {
    struct chunk *next;
    size_t count;
    struct note notes[CHUNK_NOTES];
};

/* A reader that was inside a turn when a batch was closed, and what its counter was. */
struct awaited {
    uint64_t turn;
    unsigned reader;
};

struct reclaim_reader {
    _Atomic uint64_t turn;          /* odd: inside. A line of its own: others read it */
    _Atomic uint64_t bytes_waiting; /* written by the reader's thread alone */
    struct chunk *filling;          /* newest chunk first */
    struct chunk *waiting;
    struct chunk *spare; /* the first is taken at init, so that one note more than memory allows can be made */
    unsigned spare_count;
    unsigned awaited_count;
    struct awaited *awaited; /* room for every reader */
} __attribute__((aligned(128)));

bool reclaim_init(struct reclaim *reclaim, unsigned reader_count, reclaim_free free_block, void *context) {
    assert(reader_count > 0);
    *reclaim = (struct reclaim){NULL, reader_count, free_block, context};
    reclaim->readers = aligned_alloc(128, reader_count * sizeof *reclaim->readers);
    if (!reclaim->readers) return false;
    bool is_complete = true;
    for (unsigned i = 0; i < reader_count; i++) {
        struct reclaim_reader *reader = &reclaim->readers[i];
        *reader = (struct reclaim_reader){.spare = malloc(sizeof(struct chunk)), .spare_count = 1};
        reader->awaited = malloc(reader_count * sizeof *reader->awaited);
        if (reader->spare) reader->spare->next = NULL;
        if (!reader->spare || !reader->awaited) is_complete = false;
    }
    if (!is_complete) reclaim_fini(reclaim);
    return is_complete;
}

/* ---- notes */

static struct chunk *chunk_take(struct reclaim_reader *reader) {
    struct chunk *chunk = reader->spare;
    if (chunk) {
        reader->spare = chunk->next;
        reader->spare_count--;
    } else {
        chunk = malloc(sizeof *chunk);
    }
    return chunk;
}

static void chunk_give(struct reclaim_reader *reader, struct chunk *chunk) {
    if (reader->spare_count >= SPARE_CHUNKS_MAX) {
        free(chunk);
        return;
    }
    chunk->next = reader->spare;
    reader->spare = chunk;
    reader->spare_count++;
}

static void bytes_count(struct reclaim_reader *reader, uint64_t change) {
    uint64_t bytes = atomic_load_explicit(&reader->bytes_waiting, memory_order_relaxed);
    atomic_store_explicit(&reader->bytes_waiting, bytes + change, memory_order_relaxed);
}

void reclaim_retire(struct reclaim *reclaim, unsigned index, void *pointer, size_t size, unsigned kind) {
    struct reclaim_reader *reader = &reclaim->readers[index];
    assert(index < reclaim->reader_count && size >> SIZE_BITS == 0 && kind < 256);
    bytes_count(reader, size);
    struct chunk *chunk = reader->filling;
    if (!chunk || chunk->count == CHUNK_NOTES) {
        chunk = chunk_take(reader);
        if (!chunk) return; /* kept for ever rather than freed too early */
        chunk->count = 0;
        chunk->next = reader->filling;
        reader->filling = chunk;
    }
    chunk->notes[chunk->count++] = (struct note){pointer, size | (uint64_t)kind << SIZE_BITS};
}

static void chunk_free_notes(struct reclaim *reclaim, struct reclaim_reader *reader, struct chunk *chunk) {
    for (size_t i = 0; i < chunk->count; i++) {
        uint64_t size = chunk->notes[i].size_and_kind & ((UINT64_C(1) << SIZE_BITS) - 1);
        bytes_count(reader, -size);
        reclaim->free(reclaim->context, (unsigned)(reader - reclaim->readers), chunk->notes[i].pointer, size,
                      (unsigned)(chunk->notes[i].size_and_kind >> SIZE_BITS));
    }
}

static void waiting_free(struct reclaim *reclaim, struct reclaim_reader *reader) {
    struct chunk *chunk = reader->waiting;
    reader->waiting = NULL; /* `free` may retire more, but that goes into filling */
    for (struct chunk *next; chunk; chunk = next) {
        next = chunk->next;
        chunk_free_notes(reclaim, reader, chunk);
        chunk_give(reader, chunk);
    }
}

/* ---- waiting */

/* Closes the batch being filled: it waits for whoever is inside a turn at this moment. */
static void filling_close(struct reclaim *reclaim, struct reclaim_reader *reader) {
    assert(!reader->waiting);
    reader->waiting = reader->filling;
    reader->filling = NULL;
    reader->awaited_count = 0;
    for (unsigned i = 0; i < reclaim->reader_count; i++) {
        /* Adds nothing, but writes: a reader that enters after this reads from it, and sees what was unlinked. */
        uint64_t turn = atomic_fetch_add_explicit(&reclaim->readers[i].turn, 0, memory_order_acq_rel);
        if (turn & 1) reader->awaited[reader->awaited_count++] = (struct awaited){turn, i};
    }
}

static bool awaited_is_through(struct reclaim *reclaim, struct reclaim_reader *reader) {
    for (; reader->awaited_count; reader->awaited_count--) {
        const struct awaited *last = &reader->awaited[reader->awaited_count - 1];
        if (atomic_load_explicit(&reclaim->readers[last->reader].turn, memory_order_acquire) == last->turn)
            return false;
    }
    return true;
}

void reclaim_poll(struct reclaim *reclaim, unsigned index) {
    struct reclaim_reader *reader = &reclaim->readers[index];
    if (reader->waiting && awaited_is_through(reclaim, reader)) waiting_free(reclaim, reader);
    if (reader->waiting || !reader->filling) return;
    filling_close(reclaim, reader);
    if (awaited_is_through(reclaim, reader)) waiting_free(reclaim, reader);
}

/* ---- turns */

void reclaim_enter(struct reclaim *reclaim, unsigned index) {
    assert(index < reclaim->reader_count && !reclaim_is_inside(reclaim, index));
    reclaim_poll(reclaim, index);
    atomic_fetch_add_explicit(&reclaim->readers[index].turn, 1, memory_order_acq_rel);
}

void reclaim_leave(struct reclaim *reclaim, unsigned index) {
    assert(index < reclaim->reader_count && reclaim_is_inside(reclaim, index));
    atomic_fetch_add_explicit(&reclaim->readers[index].turn, 1, memory_order_acq_rel);
    reclaim_poll(reclaim, index);
}

bool reclaim_is_inside(const struct reclaim *reclaim, unsigned index) {
    return atomic_load_explicit(&reclaim->readers[index].turn, memory_order_relaxed) & 1;
}

bool reclaim_is_waiting(const struct reclaim *reclaim, unsigned index) {
    return reclaim->readers[index].filling || reclaim->readers[index].waiting;
}

uint64_t reclaim_bytes(const struct reclaim *reclaim) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < reclaim->reader_count; i++)
        bytes += atomic_load_explicit(&reclaim->readers[i].bytes_waiting, memory_order_relaxed);
    return bytes;
}

/* ---- the end */

static void chunks_free(struct chunk *chunk) {
    for (struct chunk *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
}

void reclaim_fini(struct reclaim *reclaim) {
    if (!reclaim->readers) return;
    for (unsigned i = 0; i < reclaim->reader_count; i++) {
        assert(!reclaim_is_inside(reclaim, i));
        while (reclaim_is_waiting(reclaim, i)) reclaim_poll(reclaim, i); /* `free` may retire: until nothing is left */
    }
    for (unsigned i = 0; i < reclaim->reader_count; i++) {
        chunks_free(reclaim->readers[i].spare);
        free(reclaim->readers[i].awaited);
    }
    free(reclaim->readers);
    reclaim->readers = NULL;
}
