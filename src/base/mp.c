/* The MessagePack cursor, the scan over pieces, and the writer.
 *
 * Always true: no byte at or behind `end` is read, whatever a head declares; nothing recurses; nothing allocates but
 * the writer's buf. A value's first byte tells everything through two tables: its type, and either its whole size or
 * that its head must be read. Pure; any thread. */
#include "base/mp.h"

#include <assert.h>
#include <math.h>

#define TIMES_16(x)  x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#define TIMES_32(x)  TIMES_16(x), TIMES_16(x)
#define TIMES_128(x) TIMES_32(x), TIMES_32(x), TIMES_32(x), TIMES_32(x)

/* Sixteen to a line is the way the format is drawn everywhere. */
/* clang-format off */
const uint8_t mp_types[256] = {
    TIMES_128(MP_INTEGER), TIMES_16(MP_MAP), TIMES_16(MP_ARRAY), TIMES_32(MP_STR),
    /* c0 */ MP_NIL, MP_NEVER, MP_BOOL, MP_BOOL, MP_BIN, MP_BIN, MP_BIN, MP_EXT,
    /* c8 */ MP_EXT, MP_EXT, MP_FLOAT, MP_FLOAT, MP_INTEGER, MP_INTEGER, MP_INTEGER, MP_INTEGER,
    /* d0 */ MP_INTEGER, MP_INTEGER, MP_INTEGER, MP_INTEGER, MP_EXT, MP_EXT, MP_EXT, MP_EXT,
    /* d8 */ MP_EXT, MP_STR, MP_STR, MP_STR, MP_ARRAY, MP_ARRAY, MP_MAP, MP_MAP,
    /* e0 */ TIMES_32(MP_INTEGER)};

/* The whole size of a value that has no variable part; 0: read the head. */
static const uint8_t fixed_sizes[256] = {
    TIMES_128(1), TIMES_16(0), TIMES_16(0),
    /* a0 */ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    /* b0 */ 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    /* c0 */ 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9,
    /* d0 */ 2, 3, 5, 9, 3, 4, 6, 10, 18, 0, 0, 0, 0, 0, 0, 0,
    /* e0 */ TIMES_32(1)};
/* clang-format on */

static uint64_t big_endian(const uint8_t *at, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) value = value << 8 | at[i];
    return value;
}

/* What a value's head says. */
struct head {
    size_t size;    /* bytes up to its children, or to its end; the body of a text included */
    uint64_t count; /* values that follow as its children: elements, or twice the pairs */
    bool is_container;
};

/* Reads the head of a value of which `left` bytes are there; MP_TRUNCATED where they do not reach up to head.size. */
static enum mp_error head_read(const uint8_t *at, size_t left, struct head *head) {
    if (left == 0) return MP_TRUNCATED;
    uint8_t first = *at;
    *head = (struct head){.size = fixed_sizes[first]};
    if (head->size) return head->size <= left ? MP_OK : MP_TRUNCATED;
    if (first == 0xc1) return MP_MALFORMED;
    if (first < 0xa0) { /* fixmap, fixarray */
        *head = (struct head){1, first < 0x90 ? 2 * (first & 0x0f) : first & 0x0f, true};
        return MP_OK;
    }
    /* c4-c6 bin, c7-c9 ext, d9-db str: 8, 16, 32; dc-dd array, de-df map: 16, 32. */
    static const uint8_t length_sizes[0x20] = {[0x04] = 1, 2, 4, 1, 2, 4, [0x19] = 1, 2, 4, 2, 4, 2, 4};
    unsigned length_size = length_sizes[first - 0xc0];
    if (left < 1 + length_size) return MP_TRUNCATED;
    uint64_t length = big_endian(at + 1, length_size);
    head->size = 1 + length_size;
    if (first >= 0xdc) {
        head->is_container = true;
        head->count = first >= 0xde ? 2 * length : length;
        return MP_OK;
    }
    head->size += first >= 0xc7 && first <= 0xc9; /* an ext's type */
    if (left < head->size || length > left - head->size) return MP_TRUNCATED;
    head->size += length;
    return MP_OK;
}

static size_t left_of(const struct mp_cursor *cursor) {
    return (size_t)(cursor->end - cursor->at);
}

/* What stands instead of the type that was wanted. */
static void fail_mistyped(struct mp_cursor *cursor) {
    enum mp_type type = mp_peek(cursor);
    if (cursor->error != MP_OK) return;
    cursor->error = type == MP_END ? MP_TRUNCATED : type == MP_NEVER ? MP_MALFORMED : MP_MISTYPED;
}

bool mp_read_bool(struct mp_cursor *cursor) {
    if (mp_peek(cursor) != MP_BOOL) {
        fail_mistyped(cursor);
        return false;
    }
    return *cursor->at++ == 0xc3;
}

/* A number as it stands: an integer below zero is in `negative`, another in `positive`. */
struct number {
    bool is_float, is_negative;
    uint64_t positive;
    int64_t negative;
    double real;
    size_t size;
};

static double float_of(const uint8_t *at, bool is_double) {
    if (is_double) {
        uint64_t bits = big_endian(at, 8);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    uint32_t bits = (uint32_t)big_endian(at, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* False: no number stands there; the error is set. Does not move. */
static bool number_at(struct mp_cursor *cursor, struct number *number) {
    enum mp_type type = mp_peek(cursor);
    if (type != MP_INTEGER && type != MP_FLOAT) {
        fail_mistyped(cursor);
        return false;
    }
    uint8_t first = *cursor->at;
    *number = (struct number){.is_float = type == MP_FLOAT, .size = fixed_sizes[first]};
    if (number->size > left_of(cursor)) {
        cursor->error = MP_TRUNCATED;
        return false;
    }
    unsigned size = (unsigned)number->size - 1;
    if (number->is_float) {
        number->real = float_of(cursor->at + 1, first == 0xcb);
    } else if (size == 0) {
        number->is_negative = first >= 0xe0;
        number->negative = (int8_t)first;
        number->positive = first;
    } else {
        number->positive = big_endian(cursor->at + 1, size);
        if (first >= 0xd0) { /* signed: spread the sign over the upper bytes */
            unsigned shift = 64 - 8 * size;
            number->negative = (int64_t)(number->positive << shift) >> shift;
            number->is_negative = number->negative < 0;
        }
    }
    return true;
}

int64_t mp_read_int_slow(struct mp_cursor *cursor, int64_t min, int64_t max) {
    struct number number;
    if (!number_at(cursor, &number)) return 0;
    int64_t value = 0;
    bool is_integer = true;
    if (number.is_float) {
        /* The bounds are exact doubles; the comparison is false for NaN. */
        is_integer = number.real >= -0x1p63 && number.real < 0x1p63 && number.real == trunc(number.real);
        if (is_integer) value = (int64_t)number.real;
    } else if (number.is_negative) {
        value = number.negative;
    } else {
        is_integer = number.positive <= INT64_MAX;
        if (is_integer) value = (int64_t)number.positive;
    }
    if (!is_integer || value < min || value > max) {
        cursor->error = MP_RANGE;
        return 0;
    }
    cursor->at += number.size;
    return value;
}

double mp_read_double(struct mp_cursor *cursor) {
    struct number number;
    if (!number_at(cursor, &number)) return 0;
    cursor->at += number.size;
    if (number.is_float) return number.real;
    return number.is_negative ? (double)number.negative : (double)number.positive;
}

struct bytes mp_read_bytes_slow(struct mp_cursor *cursor) {
    enum mp_type type = mp_peek(cursor);
    if (type != MP_STR && type != MP_BIN) {
        fail_mistyped(cursor);
        return BYTES_ABSENT;
    }
    struct head head;
    cursor->error = head_read(cursor->at, left_of(cursor), &head);
    if (cursor->error != MP_OK) return BYTES_ABSENT;
    uint8_t first = *cursor->at;
    size_t skip = first < 0xc0 ? 1 : first == 0xc4 || first == 0xd9 ? 2 : first == 0xc5 || first == 0xda ? 3 : 5;
    struct bytes text = bytes_of(cursor->at + skip, head.size - skip);
    cursor->at += head.size;
    return text;
}

/* The children of the array or map that stands there. */
static uint32_t container_read(struct mp_cursor *cursor, enum mp_type type) {
    struct head head;
    if (mp_peek(cursor) != type) {
        fail_mistyped(cursor);
        return 0;
    }
    cursor->error = head_read(cursor->at, left_of(cursor), &head);
    if (cursor->error == MP_OK && head.count > left_of(cursor) - head.size) cursor->error = MP_TRUNCATED;
    if (cursor->error != MP_OK) return 0;
    cursor->at += head.size;
    return (uint32_t)(type == MP_MAP ? head.count / 2 : head.count);
}

uint32_t mp_read_array_slow(struct mp_cursor *cursor) {
    return container_read(cursor, MP_ARRAY);
}

uint32_t mp_read_map_slow(struct mp_cursor *cursor) {
    return container_read(cursor, MP_MAP);
}

/* Where the value at `at` ends, or NULL with *error. The values still to come on each level stand in an array instead
 * of on the C stack, so that depth costs no more than it is worth. */
static const uint8_t *value_end(const uint8_t *at, const uint8_t *end, unsigned depth_max, enum mp_error *error) {
    uint64_t left[MP_DEPTH_MAX + 1];
    unsigned depth = 0;
    left[0] = 1;
    for (;;) {
        while (left[depth] == 0) {
            if (depth-- == 0) return at;
        }
        left[depth]--;
        size_t fixed = at != end ? fixed_sizes[*at] : 0;
        if (fixed != 0 && fixed <= (size_t)(end - at)) { /* most values; the rest reads the head */
            at += fixed;
            continue;
        }
        struct head head;
        *error = head_read(at, (size_t)(end - at), &head);
        if (*error == MP_OK && head.count > (size_t)(end - at) - head.size) *error = MP_TRUNCATED;
        if (*error == MP_OK && head.is_container && depth == depth_max) *error = MP_DEEP;
        if (*error != MP_OK) return NULL;
        at += head.size;
        if (head.is_container) left[++depth] = head.count;
    }
}

struct bytes mp_read_value(struct mp_cursor *cursor, unsigned depth_max) {
    assert(depth_max <= MP_DEPTH_MAX);
    if (cursor->error != MP_OK) return BYTES_ABSENT;
    const uint8_t *at = cursor->at, *end = value_end(at, cursor->end, depth_max, &cursor->error);
    if (!end) return BYTES_ABSENT;
    cursor->at = end;
    return bytes_of(at, (size_t)(end - at));
}

bool mp_scan_feed(struct mp_scan *scan, struct bytes bytes, enum mp_error *error) {
    if (!scan->is_started) *scan = (struct mp_scan){.pending = 1, .is_started = true};
    assert(scan->scanned <= bytes.size);
    *error = MP_OK;
    while (scan->pending) {
        struct head head;
        *error = head_read(bytes.data + scan->scanned, bytes.size - scan->scanned, &head);
        if (*error != MP_OK) return false;
        /* Cannot overflow: it would take 2^31 heads of five bytes. */
        scan->pending += head.count;
        scan->pending--;
        scan->scanned += head.size;
    }
    return true;
}

/* ---- writing */

/* The longest head: a first byte and eight more. */
#define HEAD_MAX 9

static void write_byte(struct buf *out, uint8_t byte) {
    uint8_t *at = buf_reserve(out, 1);
    if (!at) return;
    *at = byte;
    out->size++;
}

/* A first byte and a big-endian number of `size` bytes. */
static void write_head(struct buf *out, uint8_t first, uint64_t value, unsigned size) {
    uint8_t *at = buf_reserve(out, HEAD_MAX);
    if (!at) return;
    mp_put_big_endian(at, first, value, size);
    out->size += 1 + size;
}

void mp_write_nil(struct buf *out) {
    write_byte(out, 0xc0);
}

void mp_write_bool(struct buf *out, bool value) {
    write_byte(out, value ? 0xc3 : 0xc2);
}

void mp_write_uint(struct buf *out, uint64_t value) {
    uint8_t *at = buf_reserve(out, HEAD_MAX);
    if (!at) return;
    out->size += (size_t)(mp_put_uint(at, value) - at);
}

void mp_write_int(struct buf *out, int64_t value) {
    if (value >= 0)
        mp_write_uint(out, (uint64_t)value);
    else if (value >= -32)
        write_byte(out, (uint8_t)value);
    else if (value >= INT8_MIN)
        write_head(out, 0xd0, (uint64_t)value, 1);
    else if (value >= INT16_MIN)
        write_head(out, 0xd1, (uint64_t)value, 2);
    else if (value >= INT32_MIN)
        write_head(out, 0xd2, (uint64_t)value, 4);
    else
        write_head(out, 0xd3, (uint64_t)value, 8);
}

void mp_write_double(struct buf *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    write_head(out, 0xcb, bits, 8);
}

/* A counted head: `fix` with the count in it up to fix_max, or first8 (0: there is none), first8 + 1, first8 + 2. */
static void write_counted(struct buf *out, uint8_t fix, size_t fix_max, uint8_t first8, bool has_8, size_t count) {
    assert(count <= UINT32_MAX);
    if (count < fix_max)
        write_byte(out, (uint8_t)(fix | count));
    else if (has_8 && count <= UINT8_MAX)
        write_head(out, first8, count, 1);
    else if (count <= UINT16_MAX)
        write_head(out, (uint8_t)(first8 + 1), count, 2);
    else
        write_head(out, (uint8_t)(first8 + 2), count, 4);
}

void mp_write_str(struct buf *out, struct bytes text) {
    write_counted(out, 0xa0, 32, 0xd9, true, text.size);
    buf_append(out, text.data, text.size);
}

void mp_write_string(struct buf *out, const char *text) {
    mp_write_str(out, bytes_of_string(text));
}

void mp_write_bin(struct buf *out, struct bytes data) {
    write_counted(out, 0, 0, 0xc4, true, data.size);
    buf_append(out, data.data, data.size);
}

void mp_write_array(struct buf *out, uint32_t count) {
    write_counted(out, 0x90, 16, 0xdb, false, count);
}

void mp_write_map(struct buf *out, uint32_t pairs) {
    write_counted(out, 0x80, 16, 0xdd, false, pairs);
}

void mp_write_raw(struct buf *out, struct bytes encoded) {
    buf_append(out, encoded.data, encoded.size);
}

static size_t begin_counted(struct buf *out) {
    size_t begin = out->size;
    if (buf_reserve(out, 5)) out->size += 5;
    return begin;
}

static void end_counted(struct buf *out, size_t begin, uint8_t first, uint32_t count) {
    if (out->is_failed) return;
    assert(begin + 5 <= out->size);
    mp_put_big_endian(out->data + begin, first, count, 4);
}

size_t mp_begin_array(struct buf *out) {
    return begin_counted(out);
}

void mp_end_array(struct buf *out, size_t begin, uint32_t count) {
    end_counted(out, begin, 0xdd, count);
}

size_t mp_begin_map(struct buf *out) {
    return begin_counted(out);
}

void mp_end_map(struct buf *out, size_t begin, uint32_t pairs) {
    end_counted(out, begin, 0xdf, pairs);
}
