/* MessagePack, both ways, without trees and without allocation per value.
 *
 * Reading: a cursor over bytes that may come from anybody. It is iterative, never reads past `end`, and never believes
 * a declared count above the bytes that are left. Errors stick: after the first, every read answers zero and changes
 * nothing; check `error` at the end. Texts and values that it hands out point into the bytes it reads.
 * Writing: appends to a struct buf in the shortest form. */
#ifndef BASE_MP_H
#define BASE_MP_H

#include "base/buf.h"

enum mp_type { MP_NIL, MP_BOOL, MP_INTEGER, MP_FLOAT, MP_STR, MP_BIN, MP_ARRAY, MP_MAP, MP_EXT, MP_NEVER /* 0xc1 */, MP_END };

enum mp_error {
    MP_OK,
    MP_TRUNCATED, /* more bytes are needed, or a count is above the bytes left */
    MP_MALFORMED, /* the byte 0xc1 */
    MP_MISTYPED,  /* another type than was read */
    MP_RANGE,     /* a number outside the asked range, or not integral, or not finite */
    MP_DEEP       /* nested deeper than was allowed */
};

struct mp_cursor {
    const uint8_t *at, *end;
    enum mp_error error;
};

static inline struct mp_cursor mp_cursor_of(struct bytes bytes) {
    return (struct mp_cursor){bytes.data, bytes.data + bytes.size, MP_OK};
}

enum mp_type mp_peek(const struct mp_cursor *cursor); /* MP_END: no byte left, or an error stands */
bool mp_read_nil(struct mp_cursor *cursor);           /* true and past it if nil stands there; else false, no error */
bool mp_read_bool(struct mp_cursor *cursor);
int64_t mp_read_int(struct mp_cursor *cursor, int64_t min, int64_t max); /* integral float32 and float64 count too */
double mp_read_double(struct mp_cursor *cursor);      /* any number */
struct bytes mp_read_bytes(struct mp_cursor *cursor); /* str or bin; data is never NULL unless an error stands */
uint32_t mp_read_array(struct mp_cursor *cursor);     /* the count; never above the bytes left */
uint32_t mp_read_map(struct mp_cursor *cursor);       /* the count of pairs; twice that never above the bytes left */
/* Past one whole value, nested at most depth_max deep (a scalar is depth 0, [1] is 1); answers its bytes. */
struct bytes mp_read_value(struct mp_cursor *cursor, unsigned depth_max);

/* Finds the end of a value that comes in pieces, each byte looked at once. Start: all zero. */
struct mp_scan {
    size_t scanned;   /* bytes of the value that were understood */
    uint64_t pending; /* values still to come before it is whole */
    bool is_started;
};
/* `bytes` is the value so far, from its first byte. True: it is whole, and scan->scanned is its size. False: with
 * *error MP_TRUNCATED more is needed; any other error is final. */
bool mp_scan_feed(struct mp_scan *scan, struct bytes bytes, enum mp_error *error);

void mp_write_nil(struct buf *out);
void mp_write_bool(struct buf *out, bool value);
void mp_write_uint(struct buf *out, uint64_t value);
void mp_write_int(struct buf *out, int64_t value);
void mp_write_double(struct buf *out, double value);
void mp_write_str(struct buf *out, struct bytes text);
void mp_write_string(struct buf *out, const char *text); /* NUL-terminated */
void mp_write_bin(struct buf *out, struct bytes data);
void mp_write_array(struct buf *out, uint32_t count);
void mp_write_map(struct buf *out, uint32_t pairs);
void mp_write_raw(struct buf *out, struct bytes encoded); /* already MessagePack */

/* An array whose count is known at its end: five bytes are kept free for the head. */
size_t mp_begin_array(struct buf *out);
void mp_end_array(struct buf *out, size_t begin, uint32_t count);

#endif
