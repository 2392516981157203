/* Reclamation; see reclaim.h. */
#include "engine/memory/reclaim.h"
#include "engine/memory/counter.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIZE_BITS = 56,    /* of a note's word; the kind stands above */
    CHUNK_NOTES = 254, /* so that a chunk is 4 KiB */
    SPARE_CHUNKS_MAX = 8,
    BATCHES = 4 /* the one being filled among them */
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

struct batch {
    struct chunk *first, *last; /* the oldest notes first; NULL: empty */
    struct awaited *awaited;    /* room for every reader */
    unsigned awaited_count;
};

struct reclaim_reader {
    _Atomic uint64_t turn; /* odd: inside. A line of its own: others look at it by writing */
    _Atomic uint64_t bytes_waiting __attribute__((aligned(128))); /* written by the reader's thread alone */
    _Atomic uint64_t note_bytes;                                  /* of its chunks; the same */
    unsigned oldest, closed; /* of `batches`, which go round; the one behind the closed ones is being filled */
    struct batch batches[BATCHES];
    struct chunk *spare; /* the first is taken at init, so that one note more than memory allows can be made */
    unsigned spare_count;
} __attribute__((aligned(128)));

static struct batch *batch_at(struct reclaim_reader *reader, unsigned place) {
    return &reader->batches[(reader->oldest + place) % BATCHES];
}

static struct batch *filling_of(struct reclaim_reader *reader) {
    return batch_at(reader, reader->closed);
}

bool reclaim_init(struct reclaim *reclaim, unsigned reader_count, reclaim_free free_block, void *context) {
    assert(reader_count > 0);
    *reclaim = (struct reclaim){NULL, reader_count, free_block, context};
    reclaim->readers = aligned_alloc(128, reader_count * sizeof *reclaim->readers);
    if (!reclaim->readers) return false;
    bool is_complete = true;
    for (unsigned i = 0; i < reader_count; i++) {
        struct reclaim_reader *reader = &reclaim->readers[i];
        *reader = (struct reclaim_reader){
            .note_bytes = sizeof(struct chunk), .spare = malloc(sizeof(struct chunk)), .spare_count = 1};
        if (reader->spare) reader->spare->next = NULL;
        is_complete &= reader->spare != NULL;
        for (unsigned place = 0; place < BATCHES; place++) {
            reader->batches[place].awaited = malloc(reader_count * sizeof(struct awaited));
            is_complete &= reader->batches[place].awaited != NULL;
        }
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
        if (chunk) counter_add(&reader->note_bytes, sizeof *chunk);
    }
    return chunk;
}

static void chunk_give(struct reclaim_reader *reader, struct chunk *chunk) {
    if (reader->spare_count >= SPARE_CHUNKS_MAX) {
        free(chunk);
        counter_add(&reader->note_bytes, -sizeof *chunk);
        return;
    }
    chunk->next = reader->spare;
    reader->spare = chunk;
    reader->spare_count++;
}

static void batch_append(struct batch *batch, struct chunk *first, struct chunk *last) {
    if (batch->last)
        batch->last->next = first;
    else
        batch->first = first;
    batch->last = last;
}

void reclaim_retire(struct reclaim *reclaim, unsigned index, void *pointer, size_t size, unsigned kind) {
    struct reclaim_reader *reader = &reclaim->readers[index];
    assert(index < reclaim->reader_count && size >> SIZE_BITS == 0 && kind < 256);
    counter_add(&reader->bytes_waiting, size);
    struct batch *filling = filling_of(reader);
    struct chunk *chunk = filling->last;
    if (!chunk || chunk->count == CHUNK_NOTES) {
        chunk = chunk_take(reader);
        if (!chunk) return; /* kept for ever rather than freed too early */
        chunk->count = 0;
        chunk->next = NULL;
        batch_append(filling, chunk, chunk);
    }
    chunk->notes[chunk->count++] = (struct note){pointer, size | (uint64_t)kind << SIZE_BITS};
}

static void chunk_free_notes(struct reclaim *reclaim, struct reclaim_reader *reader, struct chunk *chunk) {
    for (size_t i = 0; i < chunk->count; i++) {
        uint64_t size = chunk->notes[i].size_and_kind & ((UINT64_C(1) << SIZE_BITS) - 1);
        counter_add(&reader->bytes_waiting, -size);
        reclaim->free(reclaim->context, (unsigned)(reader - reclaim->readers), chunk->notes[i].pointer, size,
                      (unsigned)(chunk->notes[i].size_and_kind >> SIZE_BITS));
    }
}

/* The oldest notes first, so that whoever takes the blocks that came last has the warmest. */
static void oldest_free(struct reclaim *reclaim, struct reclaim_reader *reader) {
    struct batch *oldest = batch_at(reader, 0);
    struct chunk *chunk = oldest->first;
    oldest->first = oldest->last = NULL;
    reader->oldest =
        (reader->oldest + 1) % BATCHES; /* `free` may retire more: the one being filled stays in its place */
    reader->closed--;
    for (struct chunk *next; chunk; chunk = next) {
        next = chunk->next;
        chunk_free_notes(reclaim, reader, chunk);
        chunk_give(reader, chunk);
    }
}

/* ---- waiting */

static void batch_look(struct reclaim *reclaim, struct batch *batch) {
    batch->awaited_count = 0;
    for (unsigned i = 0; i < reclaim->reader_count; i++) {
        /* Adds nothing, but writes: a reader that enters after this reads from it, and sees what was unlinked. */
        uint64_t turn = atomic_fetch_add_explicit(&reclaim->readers[i].turn, 0, memory_order_acq_rel);
        if (turn & 1) batch->awaited[batch->awaited_count++] = (struct awaited){turn, i};
    }
}

/* Whether `batch` waits for each turn that `later` waits for. */
static bool batch_covers(const struct batch *batch, const struct batch *later) {
    for (unsigned i = 0; i < later->awaited_count; i++) {
        unsigned k = 0;
        while (k < batch->awaited_count && (batch->awaited[k].reader != later->awaited[i].reader ||
                                            batch->awaited[k].turn != later->awaited[i].turn))
            k++;
        if (k == batch->awaited_count) return false;
    }
    return true;
}

/* A chunk of few notes gives them to one that has room: turns may be short, and many while somebody is awaited. */
static void batch_join(struct reclaim_reader *reader, struct batch *batch, struct batch *later) {
    struct chunk *last = batch->last, *only = later->first == later->last ? later->first : NULL;
    if (only && last->count + only->count <= CHUNK_NOTES) {
        memcpy(&last->notes[last->count], only->notes, only->count * sizeof *only->notes);
        last->count += only->count;
        chunk_give(reader, only);
    } else {
        batch_append(batch, later->first, later->last);
    }
    later->first = later->last = NULL;
}

/* Closes the batch being filled: it waits for whoever is inside a turn at this moment. Where no place is left for a
 * further one it is filled on, and closed later. */
static void filling_close(struct reclaim *reclaim, struct reclaim_reader *reader) {
    struct batch *filling = filling_of(reader);
    struct batch *newest = reader->closed ? batch_at(reader, reader->closed - 1) : NULL;
    batch_look(reclaim, filling);
    if (newest && batch_covers(newest, filling))
        batch_join(reader, newest, filling);
    else if (reader->closed + 1 < BATCHES)
        reader->closed++;
}

static bool batch_is_through(struct reclaim *reclaim, struct batch *batch) {
    for (; batch->awaited_count; batch->awaited_count--) {
        const struct awaited *last = &batch->awaited[batch->awaited_count - 1];
        if (atomic_load_explicit(&reclaim->readers[last->reader].turn, memory_order_acquire) == last->turn)
            return false;
    }
    return true;
}

static void through_free(struct reclaim *reclaim, struct reclaim_reader *reader) {
    while (reader->closed && batch_is_through(reclaim, batch_at(reader, 0))) oldest_free(reclaim, reader);
}

void reclaim_poll(struct reclaim *reclaim, unsigned index) {
    struct reclaim_reader *reader = &reclaim->readers[index];
    through_free(reclaim, reader);
    if (!filling_of(reader)->first) return;
    filling_close(reclaim, reader);
    through_free(reclaim, reader);
}

/* ---- turns */

void reclaim_resume(struct reclaim *reclaim, unsigned index) {
    assert(index < reclaim->reader_count && !reclaim_is_inside(reclaim, index));
    atomic_fetch_add_explicit(&reclaim->readers[index].turn, 1, memory_order_acq_rel);
}

void reclaim_enter(struct reclaim *reclaim, unsigned index) {
    reclaim_poll(reclaim, index);
    reclaim_resume(reclaim, index);
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
    return reclaim->readers[index].closed || filling_of(&reclaim->readers[index])->first;
}

uint64_t reclaim_bytes(const struct reclaim *reclaim) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < reclaim->reader_count; i++)
        bytes += atomic_load_explicit(&reclaim->readers[i].bytes_waiting, memory_order_relaxed);
    return bytes;
}

uint64_t reclaim_note_bytes(const struct reclaim *reclaim) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < reclaim->reader_count; i++)
        bytes += atomic_load_explicit(&reclaim->readers[i].note_bytes, memory_order_relaxed);
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
        for (unsigned place = 0; place < BATCHES; place++) free(reclaim->readers[i].batches[place].awaited);
    }
    free(reclaim->readers);
    reclaim->readers = NULL;
}
