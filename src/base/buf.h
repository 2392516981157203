/* A growing run of bytes that its holder owns. Errors stick: after memory was lacking once, every append is ignored and
 * `is_failed` stays set, so a writer checks once at the end. One thread. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "sessiond/bytes.h"

struct buf {
    uint8_t *data;         /* malloc'ed, or NULL */
    size_t size, capacity; /* bytes */
    bool is_failed;
    bool is_secret; /* its bytes are overwritten before they are forgotten, and before the memory is given away */
};

#define BUF_EMPTY ((struct buf){NULL, 0, 0, false, false})

/* Makes room for `more` bytes (at least 1) after size and answers where they go; NULL where memory is lacking. Does not
 * change size. */
uint8_t *buf_reserve_slow(struct buf *buf, size_t more);
static inline uint8_t *buf_reserve(struct buf *buf, size_t more) {
    if (buf->capacity - buf->size >= more && !buf->is_failed) return buf->data + buf->size;
    return buf_reserve_slow(buf, more);
}

/* Copies `size` bytes to the end. `data` must not lie in the buf itself; it may be NULL where size is 0. */
void buf_append(struct buf *buf, const void *data, size_t size);
void buf_cut(struct buf *buf, size_t size);     /* drops what stands behind the first `size` bytes */
void buf_consume(struct buf *buf, size_t size); /* drops the first `size` bytes, of those that are there */
void buf_clear(struct buf *buf);                /* keeps the memory, forgets bytes, error and that it was secret */
void buf_fini(struct buf *buf);                 /* frees; the buf is empty again */
static inline struct bytes buf_bytes(const struct buf *buf) {
    return bytes_of(buf->data, buf->size);
}

#endif
