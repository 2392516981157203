/* MessagePack, both ways, without trees and without allocation per value.
 *
 * Reading: a cursor over bytes that may come from anybody. It is iterative, never reads past `end`, and never believes
 * a declared count above the bytes that are left. Errors stick: after the first, every read answers zero and changes
 * nothing (`at` stays on the value that was wrong); check `error` at the end. Texts and values that it hands out point
 * into the bytes it reads.
 * Writing: appends to a struct buf in the shortest form. Pure; any thread. */
#ifndef BASE_MP_H
#define BASE_MP_H

#include "base/buf.h"

/* The deepest nesting that mp_read_value can be asked to allow: max_data_depth within an envelope of
 * max_envelope_depth, which is what a client reads. */
#define MP_DEPTH_MAX 144

enum mp_type {
    MP_NIL,
    MP_BOOL,
    MP_INTEGER,
    MP_FLOAT,
    MP_STR,
    MP_BIN,
    MP_ARRAY,
    MP_MAP,
    MP_EXT,
    MP_NEVER /* 0xc1 */,
    MP_END
};

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

/* Absent bytes are none. As a number, because C11 does not let nothing be added to NULL. */
static inline struct mp_cursor mp_cursor_of(struct bytes bytes) {
    return (struct mp_cursor){bytes.data, (const uint8_t *)((uintptr_t)bytes.data + bytes.size), MP_OK};
}

/* The general ways, out of line. */
int64_t mp_read_int_slow(struct mp_cursor *cursor, int64_t min, int64_t max);
struct bytes mp_read_bytes_slow(struct mp_cursor *cursor);
uint32_t mp_read_array_slow(struct mp_cursor *cursor);
uint32_t mp_read_map_slow(struct mp_cursor *cursor);

extern const uint8_t mp_types[256]; /* enum mp_type by a value's first byte */

/* The type of the next value; MP_END: no byte left, or an error stands. */
static inline enum mp_type mp_peek(const struct mp_cursor *cursor) {
    if (cursor->error != MP_OK || cursor->at == cursor->end) return MP_END;
    return (enum mp_type)mp_types[*cursor->at];
}

/* True and past it if nil stands there; else false, and no error. */
static inline bool mp_read_nil(struct mp_cursor *cursor) {
    if (cursor->error != MP_OK || cursor->at == cursor->end || *cursor->at != 0xc0) return false;
    cursor->at++;
    return true;
}

bool mp_read_bool(struct mp_cursor *cursor);

/* A number from min to max; integral float32 and float64 count too. */
static inline int64_t mp_read_int(struct mp_cursor *cursor, int64_t min, int64_t max) {
    if (cursor->error == MP_OK && cursor->at != cursor->end && *cursor->at < 0x80 && *cursor->at >= min &&
        *cursor->at <= max)
        return *cursor->at++;
    return mp_read_int_slow(cursor, min, max);
}

double mp_read_double(struct mp_cursor *cursor); /* any number, NaN and infinities too; large integers are rounded */

/* A str or a bin; data is never NULL unless an error stands. */
static inline struct bytes mp_read_bytes(struct mp_cursor *cursor) {
    size_t left = (size_t)(cursor->end - cursor->at);
    if (cursor->error == MP_OK && left >= 2) {
        uint8_t first = cursor->at[0];
        size_t head = 1, size = SIZE_MAX;
        if ((first & 0xe0) == 0xa0) size = first & 0x1f;
        if (first == 0xd9) head = 2, size = cursor->at[1];
        if (size <= left - head) {
            const uint8_t *data = cursor->at + head;
            cursor->at = data + size;
            return bytes_of(data, size);
        }
    }
    return mp_read_bytes_slow(cursor);
}

/* The count of elements; never above the bytes left. */
static inline uint32_t mp_read_array(struct mp_cursor *cursor) {
    if (cursor->error == MP_OK && cursor->at != cursor->end && (*cursor->at & 0xf0) == 0x90 &&
        (*cursor->at & 0x0f) < cursor->end - cursor->at)
        return *cursor->at++ & 0x0f;
    return mp_read_array_slow(cursor);
}

/* The count of pairs; twice that is never above the bytes left. */
static inline uint32_t mp_read_map(struct mp_cursor *cursor) {
    if (cursor->error == MP_OK && cursor->at != cursor->end && (*cursor->at & 0xf0) == 0x80 &&
        (*cursor->at & 0x0f) * 2 < cursor->end - cursor->at)
        return *cursor->at++ & 0x0f;
    return mp_read_map_slow(cursor);
}

/* Past one whole value, nested at most depth_max deep (a scalar is depth 0, [] and [1] are 1); answers its bytes.
 * depth_max is at most MP_DEPTH_MAX. */
struct bytes mp_read_value(struct mp_cursor *cursor, unsigned depth_max);

/* Finds the end of a value that comes in pieces, each value in it looked at once, however deep. Start: all zero. */
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

/* An array or a map whose count is known at its end: five bytes are kept free for the head, so it is array32 or map32
 * whatever its count. `begin` answers what `end` is to be given. */
size_t mp_begin_array(struct buf *out);
void mp_end_array(struct buf *out, size_t begin, uint32_t count);
size_t mp_begin_map(struct buf *out);
void mp_end_map(struct buf *out, size_t begin, uint32_t pairs);

/* For writers that have reserved their room: puts a number or a head at `at`, at most 9 bytes, and answers where it
 * ends. The same bytes as mp_write_uint, _int and _str's head. */
static inline uint8_t *mp_put_big_endian(uint8_t *at, uint8_t first, uint64_t value, unsigned size) {
    *at++ = first;
    value = __builtin_bswap64(value << (64 - 8 * size));
    memcpy(at, &value, size);
    return at + size;
}
static inline uint8_t *mp_put_uint(uint8_t *at, uint64_t value) {
    if (value < 0x80) {
        *at = (uint8_t)value;
        return at + 1;
    }
    if (value <= UINT8_MAX) return mp_put_big_endian(at, 0xcc, value, 1);
    if (value <= UINT16_MAX) return mp_put_big_endian(at, 0xcd, value, 2);
    if (value <= UINT32_MAX) return mp_put_big_endian(at, 0xce, value, 4);
    return mp_put_big_endian(at, 0xcf, value, 8);
}

#endif
