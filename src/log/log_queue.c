/* The queue: what loops appended, in chunks that become frames.
 *
 * Always true: a chunk holds whole appends, and becomes one frame. Its memory is got outside of the lock, and a few
 * chunks are kept, so that appending is a copy into memory that is there already. What is counted (queue_bytes) is what
 * the frame will take on disk, so that it can be compared with the space that is allocated. */
#include "log/internal.h"

#include <assert.h>
#include <stdlib.h>

static void queue_put(struct queue *queue, struct chunk *chunk) {
    chunk->next = NULL;
    if (queue->last)
        queue->last->next = chunk;
    else
        queue->first = chunk;
    queue->last = chunk;
}

/* Under the lock: the chunk that has room for so much; NULL: a new one is needed. */
static struct chunk *queue_room(struct log *log, size_t size) {
    struct chunk *last = log->queue.last;
    if (last && last->capacity - last->size >= size) return last;
    struct chunk *chunk = log->free_chunks;
    if (!chunk || chunk->capacity < size) return NULL;
    log->free_chunks = chunk->next;
    log->free_count--;
    chunk->size = 0;
    queue_put(&log->queue, chunk);
    log->queue_bytes += FRAME_OVERHEAD_BYTES;
    return chunk;
}

static struct chunk *chunk_make(const struct log *log, size_t size) {
    size_t capacity = size > log->chunk_bytes ? size : log->chunk_bytes;
    struct chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk) chunk->capacity = capacity;
    return chunk;
}

bool queue_append(struct log *log, struct bytes effects) {
    assert(effects.size > 0 && effects.size <= FRAME_PAYLOAD_MAX);
    lock_take(&log->lock);
    struct chunk *chunk = queue_room(log, effects.size);
    if (!chunk) {
        lock_release(&log->lock);
        struct chunk *made = chunk_make(log, effects.size);
        if (!made) return false;
        lock_take(&log->lock);
        /* Another loop may have queued meanwhile: this one's effects may stand in any place. */
        made->next = log->free_chunks;
        log->free_chunks = made;
        log->free_count++;
        chunk = queue_room(log, effects.size);
    }
    memcpy(chunk->bytes + chunk->size, effects.data, effects.size);
    chunk->size += effects.size;
    log->queue_bytes += effects.size;
    space_settle(log);
    lock_release(&log->lock);
    return true;
}

void queue_take(struct log *log) {
    assert(!log->taken.first);
    /* Asked before the queue is taken: what was appended up to that version is in this queue or was in an earlier one,
     * whatever is appended meanwhile. */
    log->taken_version = log->engine->vtable->appended(log->engine);
    lock_take(&log->lock);
    log->taken = log->queue;
    log->queue = (struct queue){NULL, NULL};
    lock_release(&log->lock);
}

void queue_drop_taken(struct log *log) {
    struct chunk *chunk = log->taken.first;
    log->taken.first = chunk->next;
    if (!chunk->next) log->taken.last = NULL;
    lock_take(&log->lock);
    bool is_kept = log->free_count < CHUNKS_KEPT_MAX && chunk->capacity == log->chunk_bytes;
    if (is_kept) {
        chunk->next = log->free_chunks;
        log->free_chunks = chunk;
        log->free_count++;
    }
    lock_release(&log->lock);
    if (!is_kept) free(chunk);
}

void queue_free(struct queue *queue) {
    for (struct chunk *chunk = queue->first, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *queue = (struct queue){NULL, NULL};
}
