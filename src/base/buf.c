/* Growth, and the few moves on bytes, of a struct buf.
 *
 * Always true: size <= capacity, and data is NULL exactly while capacity is 0. Any thread, one at a time per buf. */
#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>

/* Below this, doubling would only take small steps through the allocator's classes. */
#define CAPACITY_MIN 64

/* What stands there, for the last time. */
static void overwrite(uint8_t *from, size_t size) {
    if (size) explicit_bzero(from, size);
}

/* realloc would leave the old bytes behind. */
static uint8_t *secret_realloc(struct buf *buf, size_t capacity) {
    uint8_t *data = malloc(capacity);
    if (!data) return NULL;
    if (buf->size) memcpy(data, buf->data, buf->size);
    overwrite(buf->data, buf->size);
    free(buf->data);
    return data;
}

uint8_t *buf_reserve_slow(struct buf *buf, size_t more) {
    assert(buf->size <= buf->capacity);
    if (buf->is_failed) return NULL;
    if (buf->capacity - buf->size >= more) return buf->data + buf->size;
    if (more > SIZE_MAX / 2 - buf->size) {
        buf->is_failed = true;
        return NULL;
    }
    size_t needed = buf->size + more;
    /* Doubling keeps a long run of appends linear; a large reserve is met exactly, since it is rarely followed. */
    size_t capacity = buf->capacity * 2 > needed ? buf->capacity * 2 : needed;
    if (capacity < CAPACITY_MIN) capacity = CAPACITY_MIN;
    uint8_t *data = buf->is_secret ? secret_realloc(buf, capacity) : realloc(buf->data, capacity);
    if (!data) {
        buf->is_failed = true;
        return NULL;
    }
    buf->data = data;
    buf->capacity = capacity;
    return data + buf->size;
}

void buf_append(struct buf *buf, const void *data, size_t size) {
    if (size == 0) return;
    uint8_t *to = buf_reserve(buf, size);
    if (!to) return;
    memcpy(to, data, size);
    buf->size += size;
}

void buf_cut(struct buf *buf, size_t size) {
    assert(size <= buf->size);
    /* Whoever failed may have written into the room that was reserved. */
    if (buf->is_secret) overwrite(buf->data + size, buf->capacity - size);
    buf->size = size;
}

void buf_consume(struct buf *buf, size_t size) {
    assert(size <= buf->size);
    if (size == 0) return;
    buf->size -= size;
    if (buf->size) memmove(buf->data, buf->data + size, buf->size);
    if (buf->is_secret) overwrite(buf->data + buf->size, size);
}

void buf_clear(struct buf *buf) {
    if (buf->is_secret) overwrite(buf->data, buf->size);
    buf->size = 0;
    buf->is_failed = buf->is_secret = false;
}

void buf_fini(struct buf *buf) {
    if (buf->is_secret) overwrite(buf->data, buf->size);
    free(buf->data);
    *buf = BUF_EMPTY;
}
