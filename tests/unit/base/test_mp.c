/* MessagePack: each form read and written, every cut, and what is refused. */
#include "base/mp.h"

#include <criterion/criterion.h>
#include <math.h>

#define BYTES(...)    bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static int64_t read_int(struct bytes bytes, int64_t min, int64_t max, enum mp_error *error) {
    struct mp_cursor cursor = mp_cursor_of(bytes);
    int64_t value = mp_read_int(&cursor, min, max);
    *error = cursor.error;
    if (cursor.error == MP_OK) cr_assert_eq(cursor.at, cursor.end, "the number was not read whole");
    return value;
}

static void expect_int(struct bytes bytes, int64_t expected) {
    enum mp_error error;
    int64_t value = read_int(bytes, INT64_MIN, INT64_MAX, &error);
    cr_assert_eq(error, MP_OK, "error %d for %02x", error, bytes.data[0]);
    cr_assert_eq(value, expected, "%lld, expected %lld", (long long)value, (long long)expected);
}

static void expect_error(struct bytes bytes, int64_t min, int64_t max, enum mp_error expected) {
    enum mp_error error;
    int64_t value = read_int(bytes, min, max, &error);
    cr_assert_eq(error, expected, "error %d, expected %d, first byte %02x", error, expected, bytes.data[0]);
    cr_assert_eq(value, 0);
}

Test(mp, knows_the_type_of_each_first_byte) {
    const struct {
        uint8_t first, last;
        enum mp_type type;
    } ranges[] = {{0x00, 0x7f, MP_INTEGER}, {0x80, 0x8f, MP_MAP},   {0x90, 0x9f, MP_ARRAY},   {0xa0, 0xbf, MP_STR},
                  {0xc0, 0xc0, MP_NIL},     {0xc1, 0xc1, MP_NEVER}, {0xc2, 0xc3, MP_BOOL},    {0xc4, 0xc6, MP_BIN},
                  {0xc7, 0xc9, MP_EXT},     {0xca, 0xcb, MP_FLOAT}, {0xcc, 0xd3, MP_INTEGER}, {0xd4, 0xd8, MP_EXT},
                  {0xd9, 0xdb, MP_STR},     {0xdc, 0xdd, MP_ARRAY}, {0xde, 0xdf, MP_MAP},     {0xe0, 0xff, MP_INTEGER}};
    unsigned seen = 0;
    for (size_t i = 0; i < LENGTH(ranges); i++) {
        for (unsigned first = ranges[i].first; first <= ranges[i].last; first++, seen++) {
            struct mp_cursor cursor = mp_cursor_of(BYTES((uint8_t)first));
            cr_assert_eq(mp_peek(&cursor), ranges[i].type, "first byte %02x", first);
        }
    }
    cr_assert_eq(seen, 256);
}

Test(mp, reads_integers_in_each_form_minimal_or_not) {
    expect_int(BYTES(0x00), 0);
    expect_int(BYTES(0x7f), 127);
    expect_int(BYTES(0xff), -1);
    expect_int(BYTES(0xe0), -32);
    expect_int(BYTES(0xcc, 0x01), 1);
    expect_int(BYTES(0xcd, 0x00, 0x01), 1);
    expect_int(BYTES(0xce, 0xff, 0xff, 0xff, 0xff), UINT32_MAX);
    expect_int(BYTES(0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), INT64_MAX);
    expect_int(BYTES(0xd0, 0x80), -128);
    expect_int(BYTES(0xd0, 0x7f), 127);
    expect_int(BYTES(0xd1, 0xff, 0xfe), -2);
    expect_int(BYTES(0xd2, 0x80, 0x00, 0x00, 0x00), INT32_MIN);
    expect_int(BYTES(0xd3, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00), INT64_MIN);
}

Test(mp, reads_integral_floats_as_integers) {
    expect_int(BYTES(0xcb, 0x40, 0x45, 0, 0, 0, 0, 0, 0), 42);
    expect_int(BYTES(0xca, 0x42, 0x28, 0, 0), 42);
    expect_int(BYTES(0xcb, 0xc0, 0x45, 0, 0, 0, 0, 0, 0), -42);
    expect_int(BYTES(0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0), 0);            /* -0.0 */
    expect_int(BYTES(0xcb, 0xc3, 0xe0, 0, 0, 0, 0, 0, 0), INT64_MIN); /* -2^63 */
}

Test(mp, refuses_floats_that_are_no_integer) {
    expect_error(BYTES(0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0), INT64_MIN, INT64_MAX, MP_RANGE); /* 0.5 */
    expect_error(BYTES(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), INT64_MIN, INT64_MAX, MP_RANGE); /* NaN */
    expect_error(BYTES(0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0), INT64_MIN, INT64_MAX, MP_RANGE); /* infinity */
    expect_error(BYTES(0xcb, 0x43, 0xe0, 0, 0, 0, 0, 0, 0), INT64_MIN, INT64_MAX, MP_RANGE); /* 2^63 */
    expect_error(BYTES(0xca, 0x7f, 0xc0, 0, 0), INT64_MIN, INT64_MAX, MP_RANGE);             /* NaN, float32 */
}

Test(mp, keeps_numbers_within_the_asked_range) {
    expect_error(BYTES(0x05), 6, 10, MP_RANGE);
    expect_error(BYTES(0x0b), 6, 10, MP_RANGE);
    expect_error(BYTES(0xff), 0, 10, MP_RANGE);
    expect_error(BYTES(0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0), INT64_MIN, INT64_MAX, MP_RANGE);
    enum mp_error error;
    cr_assert_eq(read_int(BYTES(0x06), 6, 10, &error), 6);
    cr_assert_eq(read_int(BYTES(0xcc, 0x0a), 6, 10, &error), 10);
}

Test(mp, tells_a_wrong_type_from_missing_bytes_and_from_no_value) {
    expect_error(BYTES(0xa1, 'x'), 0, 10, MP_MISTYPED);
    expect_error(BYTES(0xc0), 0, 10, MP_MISTYPED);
    expect_error(BYTES(0xc1), 0, 10, MP_MALFORMED);
    expect_error(BYTES(0xcd, 0x01), 0, 10, MP_TRUNCATED);
    expect_error(bytes_of("", 0), 0, 10, MP_TRUNCATED);
}

Test(mp, reads_any_number_as_a_double) {
    const struct {
        struct bytes bytes;
        double expected;
    } cases[] = {{BYTES(0x07), 7},
                 {BYTES(0xff), -1},
                 {BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 18446744073709551615.0},
                 {BYTES(0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0), 0.5},
                 {BYTES(0xca, 0x3f, 0, 0, 0), 0.5}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct mp_cursor cursor = mp_cursor_of(cases[i].bytes);
        cr_assert_eq(mp_read_double(&cursor), cases[i].expected, "case %zu", i);
        cr_assert_eq(cursor.error, MP_OK);
        cr_assert_eq(cursor.at, cursor.end);
    }
    struct mp_cursor cursor = mp_cursor_of(BYTES(0xc3));
    cr_assert_eq(mp_read_double(&cursor), 0);
    cr_assert_eq(cursor.error, MP_MISTYPED);
}

Test(mp, reads_nil_and_bools) {
    struct mp_cursor cursor = mp_cursor_of(BYTES(0xc0, 0xc3, 0xc2, 0x01));
    cr_assert(mp_read_nil(&cursor));
    cr_assert_not(mp_read_nil(&cursor));
    cr_assert_eq(cursor.error, MP_OK, "asking for nil is no error");
    cr_assert(mp_read_bool(&cursor));
    cr_assert_not(mp_read_bool(&cursor));
    cr_assert_eq(cursor.error, MP_OK);
    cr_assert_not(mp_read_bool(&cursor));
    cr_assert_eq(cursor.error, MP_MISTYPED);
}

/* A head, `size` bytes of text, and a byte that is not of it. */
static void expect_text(struct bytes head, size_t size) {
    struct buf buf = BUF_EMPTY;
    buf_append(&buf, head.data, head.size);
    for (size_t i = 0; i < size; i++) buf_append(&buf, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1);
    buf_append(&buf, "\xc1", 1);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&buf));
    struct bytes text = mp_read_bytes(&cursor);
    cr_assert_eq(cursor.error, MP_OK, "head %02x", head.data[0]);
    cr_assert_eq(text.size, size, "head %02x: %zu", head.data[0], text.size);
    cr_assert_eq(text.data, buf.data + head.size);
    cr_assert_eq(cursor.at, buf.data + head.size + size);
    for (size_t cut = 0; cut < head.size + size; cut++) {
        cursor = mp_cursor_of(bytes_of(buf.data, cut));
        text = mp_read_bytes(&cursor);
        cr_assert_eq(cursor.error, MP_TRUNCATED, "cut at %zu", cut);
        cr_assert_null(text.data);
    }
    buf_fini(&buf);
}

Test(mp, reads_texts_in_each_form_minimal_or_not) {
    expect_text(BYTES(0xa0), 0);
    expect_text(BYTES(0xbf), 31);
    expect_text(BYTES(0xd9, 0), 0);
    expect_text(BYTES(0xd9, 255), 255);
    expect_text(BYTES(0xda, 0, 3), 3);
    expect_text(BYTES(0xda, 1, 44), 300);
    expect_text(BYTES(0xdb, 0, 0, 0, 3), 3);
    expect_text(BYTES(0xc4, 3), 3);
    expect_text(BYTES(0xc5, 0, 3), 3);
    expect_text(BYTES(0xc6, 0, 0, 0, 3), 3);
}

Test(mp, reads_counts_in_each_form_and_never_one_above_the_bytes_left) {
    const struct {
        struct bytes bytes;
        bool is_map;
        enum mp_error error;
        uint32_t count;
    } cases[] = {{BYTES(0x90), false, MP_OK, 0},
                 {BYTES(0x92, 1, 2), false, MP_OK, 2},
                 {BYTES(0x92, 1), false, MP_TRUNCATED, 0},
                 {BYTES(0xdc, 0, 1, 5), false, MP_OK, 1},
                 {BYTES(0xdc, 0, 2, 5), false, MP_TRUNCATED, 0},
                 {BYTES(0xdd, 0, 0, 0, 1, 5), false, MP_OK, 1},
                 {BYTES(0xdd, 0xff, 0xff, 0xff, 0xff, 5), false, MP_TRUNCATED, 0},
                 {BYTES(0x80), true, MP_OK, 0},
                 {BYTES(0x81, 1, 2), true, MP_OK, 1},
                 {BYTES(0x81, 1), true, MP_TRUNCATED, 0},
                 {BYTES(0xde, 0, 1, 1, 2), true, MP_OK, 1},
                 {BYTES(0xdf, 0, 0, 0, 1, 1, 2), true, MP_OK, 1},
                 {BYTES(0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2), true, MP_TRUNCATED, 0},
                 {BYTES(0x80), false, MP_MISTYPED, 0},
                 {BYTES(0x90), true, MP_MISTYPED, 0},
                 {BYTES(0xc1), true, MP_MALFORMED, 0}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct mp_cursor cursor = mp_cursor_of(cases[i].bytes);
        uint32_t count = cases[i].is_map ? mp_read_map(&cursor) : mp_read_array(&cursor);
        cr_assert_eq(cursor.error, cases[i].error, "case %zu: error %d", i, cursor.error);
        cr_assert_eq(count, cases[i].count, "case %zu: count %u", i, count);
    }
}

Test(mp, keeps_its_first_error_and_stays_where_it_happened) {
    struct mp_cursor cursor = mp_cursor_of(BYTES(0x01, 0xa1, 'x', 0x02));
    cr_assert_eq(mp_read_int(&cursor, 0, 9), 1);
    const uint8_t *at = cursor.at;
    cr_assert_eq(mp_read_array(&cursor), 0);
    cr_assert_eq(cursor.error, MP_MISTYPED);
    cr_assert_eq(mp_peek(&cursor), MP_END);
    cr_assert_null(mp_read_bytes(&cursor).data);
    cr_assert_eq(mp_read_int(&cursor, 0, 9), 0);
    cr_assert_eq(mp_read_double(&cursor), 0);
    cr_assert_not(mp_read_bool(&cursor));
    cr_assert_not(mp_read_nil(&cursor));
    cr_assert_eq(mp_read_map(&cursor), 0);
    cr_assert_null(mp_read_value(&cursor, 5).data);
    cr_assert_eq(cursor.error, MP_MISTYPED);
    cr_assert_eq(cursor.at, at);
}

/* One of everything, nested: 3 deep. */
static void write_everything(struct buf *out) {
    char text[70000];
    memset(text, 't', sizeof text);
    mp_write_map(out, 17);
    for (int i = 0; i < 17; i++) {
        mp_write_int(out, i - 8);
        switch (i) {
        case 0: mp_write_nil(out); break;
        case 1: mp_write_bool(out, true); break;
        case 2: mp_write_double(out, 1.5); break;
        case 3: mp_write_int(out, -200); break;
        case 4: mp_write_int(out, -40000); break;
        case 5: mp_write_int(out, INT64_MIN); break;
        case 6: mp_write_uint(out, UINT64_MAX); break;
        case 7: mp_write_str(out, bytes_of(text, 40)); break;
        case 8: mp_write_str(out, bytes_of(text, 300)); break;
        case 9: mp_write_str(out, bytes_of(text, sizeof text)); break;
        case 10: mp_write_bin(out, bytes_of(text, 300)); break;
        case 11: mp_write_raw(out, BYTES(0xd4, 1, 2)); break;
        case 12: mp_write_raw(out, BYTES(0xc7, 2, 1, 8, 9)); break;
        case 13: mp_write_raw(out, BYTES(0xca, 0, 0, 0, 0)); break;
        case 14: mp_write_raw(out, BYTES(0xc8, 0, 1, 7, 9)); break;
        case 15: mp_write_raw(out, BYTES(0x92, 0x81, 0x01, 0x02, 0x90)); break;
        default: mp_write_raw(out, BYTES(0xdc, 0, 1, 0xde, 0, 1, 1, 2)); break;
        }
    }
}

Test(mp, finds_the_end_of_a_value_and_answers_its_bytes) {
    struct buf buf = BUF_EMPTY;
    write_everything(&buf);
    size_t size = buf.size;
    mp_write_nil(&buf);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&buf));
    struct bytes value = mp_read_value(&cursor, 3);
    cr_assert_eq(cursor.error, MP_OK);
    cr_assert_eq(value.data, buf.data);
    cr_assert_eq(value.size, size);
    buf_fini(&buf);
}

Test(mp, lacks_bytes_wherever_a_value_is_cut) {
    struct buf buf = BUF_EMPTY;
    write_everything(&buf);
    for (size_t cut = 0; cut < buf.size; cut += cut < 600 || cut > buf.size - 400 ? 1 : 997) {
        struct mp_cursor cursor = mp_cursor_of(bytes_of(buf.data, cut));
        cr_assert_null(mp_read_value(&cursor, 3).data);
        cr_assert_eq(cursor.error, MP_TRUNCATED, "cut at %zu of %zu", cut, buf.size);
        cr_assert_eq(cursor.at, buf.data);
    }
    buf_fini(&buf);
}

Test(mp, disbelieves_a_count_within_a_value_before_it_looks_at_the_elements) {
    struct mp_cursor cursor = mp_cursor_of(BYTES(0x91, 0xdd, 0xff, 0xff, 0xff, 0xff, 0xc1));
    mp_read_value(&cursor, 9);
    cr_assert_eq(cursor.error, MP_TRUNCATED);
    cursor = mp_cursor_of(BYTES(0x91, 0x82, 0x01, 0x02, 0xc1));
    mp_read_value(&cursor, 9);
    cr_assert_eq(cursor.error, MP_TRUNCATED);
}

Test(mp, measures_depth_as_the_containers_around_a_scalar) {
    for (unsigned depth = 0; depth <= MP_DEPTH_MAX; depth++) {
        uint8_t bytes[MP_DEPTH_MAX + 1];
        memset(bytes, 0x91, sizeof bytes);
        bytes[depth] = 0x01;
        struct mp_cursor cursor = mp_cursor_of(bytes_of(bytes, depth + 1));
        cr_assert_eq(mp_read_value(&cursor, depth).size, depth + 1, "depth %u", depth);
        if (depth == 0) continue;
        cursor = mp_cursor_of(bytes_of(bytes, depth + 1));
        mp_read_value(&cursor, depth - 1);
        cr_assert_eq(cursor.error, MP_DEEP, "depth %u", depth);
    }
}

Test(mp, counts_an_empty_container_as_one_level) {
    struct mp_cursor cursor = mp_cursor_of(BYTES(0x90));
    mp_read_value(&cursor, 0);
    cr_assert_eq(cursor.error, MP_DEEP);
    cursor = mp_cursor_of(BYTES(0x80));
    cr_assert_eq(mp_read_value(&cursor, 1).size, 1);
}

Test(mp, refuses_the_byte_that_is_no_value_at_any_depth) {
    struct mp_cursor cursor = mp_cursor_of(BYTES(0x92, 0x01, 0x81, 0x01, 0xc1));
    mp_read_value(&cursor, 9);
    cr_assert_eq(cursor.error, MP_MALFORMED);
}

/* Feeds the value byte by byte, or in larger pieces, and expects its end exactly at `size`. */
static void expect_scan(struct bytes bytes, size_t size, size_t step) {
    struct mp_scan scan = {0};
    enum mp_error error;
    for (size_t fed = 0; fed < size; fed += step) {
        cr_assert_not(mp_scan_feed(&scan, bytes_of(bytes.data, fed), &error), "whole after %zu of %zu", fed, size);
        cr_assert_eq(error, MP_TRUNCATED);
        cr_assert_leq(scan.scanned, fed);
    }
    cr_assert(mp_scan_feed(&scan, bytes, &error));
    cr_assert_eq(error, MP_OK);
    cr_assert_eq(scan.scanned, size);
}

Test(mp, scans_a_value_that_comes_in_pieces) {
    struct buf buf = BUF_EMPTY;
    write_everything(&buf);
    size_t size = buf.size;
    mp_write_nil(&buf);
    expect_scan(buf_bytes(&buf), size, 1);
    expect_scan(buf_bytes(&buf), size, 7);
    expect_scan(buf_bytes(&buf), size, 4096);
    buf_fini(&buf);
}

Test(mp, scans_each_value_once_however_many_pieces_there_are) {
    /* 20,000 numbers fed one by one: a scan that began again each time would look at 200 million. */
    struct buf buf = BUF_EMPTY;
    mp_write_array(&buf, 20000);
    struct mp_scan scan = {0};
    enum mp_error error = MP_OK;
    size_t last = 0;
    for (int i = 0; i < 20000; i++) {
        cr_assert_not(mp_scan_feed(&scan, buf_bytes(&buf), &error));
        cr_assert_eq(scan.scanned, buf.size, "it stands where the bytes end");
        cr_assert_geq(scan.scanned, last);
        last = scan.scanned;
        mp_write_uint(&buf, 300);
    }
    cr_assert(mp_scan_feed(&scan, buf_bytes(&buf), &error));
    buf_fini(&buf);
}

Test(mp, scans_deeper_than_any_value_may_be) {
    size_t size = 100000;
    struct buf buf = BUF_EMPTY;
    memset(buf_reserve(&buf, size), 0x91, size);
    buf.size = size;
    mp_write_nil(&buf);
    struct mp_scan scan = {0};
    enum mp_error error;
    cr_assert(mp_scan_feed(&scan, buf_bytes(&buf), &error));
    cr_assert_eq(scan.scanned, size + 1);
    buf_fini(&buf);
}

Test(mp, ends_a_scan_at_the_byte_that_is_no_value) {
    struct mp_scan scan = {0};
    enum mp_error error;
    cr_assert_not(mp_scan_feed(&scan, BYTES(0x92, 0x01, 0xc1), &error));
    cr_assert_eq(error, MP_MALFORMED);
}

/* ---- writing */

static void expect_written(struct buf *buf, struct bytes expected, const char *what) {
    cr_assert(bytes_equal(buf_bytes(buf), expected), "%s: %zu bytes, the first is %02x", what, buf->size,
              buf->size ? buf->data[0] : 0);
    buf_clear(buf);
}

Test(mp, writes_numbers_in_their_shortest_form) {
    struct buf buf = BUF_EMPTY;
    const struct {
        int64_t value;
        struct bytes expected;
    } cases[] = {{0, BYTES(0x00)},
                 {127, BYTES(0x7f)},
                 {128, BYTES(0xcc, 0x80)},
                 {255, BYTES(0xcc, 0xff)},
                 {256, BYTES(0xcd, 0x01, 0x00)},
                 {65535, BYTES(0xcd, 0xff, 0xff)},
                 {65536, BYTES(0xce, 0, 1, 0, 0)},
                 {UINT32_MAX, BYTES(0xce, 0xff, 0xff, 0xff, 0xff)},
                 {INT64_C(1) << 32, BYTES(0xcf, 0, 0, 0, 1, 0, 0, 0, 0)},
                 {-1, BYTES(0xff)},
                 {-32, BYTES(0xe0)},
                 {-33, BYTES(0xd0, 0xdf)},
                 {-128, BYTES(0xd0, 0x80)},
                 {-129, BYTES(0xd1, 0xff, 0x7f)},
                 {-32768, BYTES(0xd1, 0x80, 0x00)},
                 {-32769, BYTES(0xd2, 0xff, 0xff, 0x7f, 0xff)},
                 {INT32_MIN, BYTES(0xd2, 0x80, 0, 0, 0)},
                 {INT64_C(-2147483649), BYTES(0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff)},
                 {INT64_MIN, BYTES(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0)}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        mp_write_int(&buf, cases[i].value);
        cr_assert(bytes_equal(buf_bytes(&buf), cases[i].expected), "%lld", (long long)cases[i].value);
        buf_clear(&buf);
    }
    mp_write_uint(&buf, UINT64_MAX);
    expect_written(&buf, BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "the largest");
    mp_write_double(&buf, 0.5);
    expect_written(&buf, BYTES(0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0), "a half");
    buf_fini(&buf);
}

/* What a writer made of a text of `size` bytes begins with `head`, and the cursor reads the text again. */
static void expect_text_head(void (*write)(struct buf *, struct bytes), size_t size, struct bytes head) {
    static char text[70000];
    struct buf buf = BUF_EMPTY;
    write(&buf, bytes_of(text, size));
    cr_assert_eq(buf.size, head.size + size, "%zu bytes of text became %zu", size, buf.size);
    cr_assert(bytes_has_prefix(buf_bytes(&buf), head), "%zu bytes of text begin with %02x", size, buf.data[0]);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&buf));
    cr_assert_eq(mp_read_bytes(&cursor).size, size);
    buf_fini(&buf);
}

Test(mp, writes_texts_with_their_shortest_head) {
    expect_text_head(mp_write_str, 0, BYTES(0xa0));
    expect_text_head(mp_write_str, 31, BYTES(0xbf));
    expect_text_head(mp_write_str, 32, BYTES(0xd9, 32));
    expect_text_head(mp_write_str, 255, BYTES(0xd9, 255));
    expect_text_head(mp_write_str, 256, BYTES(0xda, 1, 0));
    expect_text_head(mp_write_str, 65535, BYTES(0xda, 0xff, 0xff));
    expect_text_head(mp_write_str, 65536, BYTES(0xdb, 0, 1, 0, 0));
    expect_text_head(mp_write_bin, 0, BYTES(0xc4, 0));
    expect_text_head(mp_write_bin, 255, BYTES(0xc4, 255));
    expect_text_head(mp_write_bin, 256, BYTES(0xc5, 1, 0));
    expect_text_head(mp_write_bin, 65536, BYTES(0xc6, 0, 1, 0, 0));
}

Test(mp, writes_counts_in_their_shortest_form) {
    struct buf buf = BUF_EMPTY;
    mp_write_array(&buf, 15);
    expect_written(&buf, BYTES(0x9f), "array of 15");
    mp_write_array(&buf, 16);
    expect_written(&buf, BYTES(0xdc, 0, 16), "array of 16");
    mp_write_array(&buf, 65536);
    expect_written(&buf, BYTES(0xdd, 0, 1, 0, 0), "array of 65536");
    mp_write_map(&buf, 15);
    expect_written(&buf, BYTES(0x8f), "map of 15");
    mp_write_map(&buf, 16);
    expect_written(&buf, BYTES(0xde, 0, 16), "map of 16");
    mp_write_map(&buf, 65536);
    expect_written(&buf, BYTES(0xdf, 0, 1, 0, 0), "map of 65536");
    buf_fini(&buf);
}

Test(mp, fills_in_a_count_that_is_known_at_the_end) {
    struct buf buf = BUF_EMPTY;
    mp_write_nil(&buf);
    size_t begin = mp_begin_array(&buf);
    mp_write_uint(&buf, 1);
    size_t inner = mp_begin_map(&buf);
    mp_write_uint(&buf, 2);
    mp_write_uint(&buf, 3);
    mp_end_map(&buf, inner, 1);
    mp_end_array(&buf, begin, 2);
    expect_written(&buf, BYTES(0xc0, 0xdd, 0, 0, 0, 2, 1, 0xdf, 0, 0, 0, 1, 2, 3), "an array of a number and a map");
    buf_fini(&buf);
}

Test(mp, writes_nothing_more_once_memory_was_lacking) {
    struct buf buf = BUF_EMPTY;
    mp_write_uint(&buf, 1);
    cr_assert_null(buf_reserve(&buf, SIZE_MAX));
    size_t begin = mp_begin_array(&buf);
    mp_write_uint(&buf, 300);
    mp_write_string(&buf, "text");
    mp_write_bin(&buf, BYTES(1, 2));
    mp_write_double(&buf, 1);
    mp_write_map(&buf, 1);
    mp_end_array(&buf, begin, 1);
    cr_assert(buf.is_failed);
    cr_assert_eq(buf.size, 1);
    buf_fini(&buf);
}

Test(mp, writes_what_it_reads) {
    struct buf buf = BUF_EMPTY;
    for (int bit = 0; bit < 64; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)delta;
            if (value <= INT64_MAX) {
                mp_write_uint(&buf, value);
                expect_int(buf_bytes(&buf), (int64_t)value);
                buf_clear(&buf);
            }
            mp_write_int(&buf, (int64_t)value);
            expect_int(buf_bytes(&buf), (int64_t)value);
            buf_clear(&buf);
        }
    }
    buf_fini(&buf);
}
