/* The cursor over any bytes: every read stays within them and keeps the first error, the scan in pieces agrees with the
 * walk, and what is read can be written and read again. */
#include "base/mp.h"

#include "base/utf8.h"
#include "fuzz/target.h"

/* The same judgement as utf8_is_valid, from the definition: decode, then look at the code point. */
static bool is_text(struct bytes text) {
    for (size_t i = 0; i < text.size;) {
        uint8_t first = text.data[i];
        unsigned size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
        if (size == 0 || size > text.size - i) return false;
        uint32_t point = size == 1 ? first : first & (0x7fu >> size);
        for (unsigned k = 1; k < size; k++) {
            if (text.data[i + k] >> 6 != 2) return false;
            point = point << 6 | (text.data[i + k] & 0x3f);
        }
        uint32_t least = size == 1 ? 0 : size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
        if (point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
        i += size;
    }
    return true;
}

/* Reads one thing, chosen by `choice`; the cursor must stay within the bytes and never move back or on an error. */
static void read_one(struct mp_cursor *cursor, unsigned choice) {
    struct mp_cursor before = *cursor;
    struct bytes text = BYTES_ABSENT;
    uint32_t count = 0;
    switch (choice % 8) {
    case 0: mp_read_nil(cursor); break;
    case 1: mp_read_bool(cursor); break;
    case 2: mp_read_int(cursor, -1000, INT64_C(1) << 40); break;
    case 3: mp_read_double(cursor); break;
    case 4: text = mp_read_bytes(cursor); break;
    case 5: count = mp_read_array(cursor); break;
    case 6: count = mp_read_map(cursor); break;
    default: text = mp_read_value(cursor, choice / 8 % (MP_DEPTH_MAX + 1)); break;
    }
    REQUIRE(cursor->at >= before.at && cursor->at <= cursor->end && cursor->end == before.end);
    if (cursor->error != MP_OK) REQUIRE(cursor->at == before.at && text.data == NULL && count == 0);
    if (before.error != MP_OK) REQUIRE(cursor->error == before.error);
    if (text.data) {
        REQUIRE(text.data >= before.at && text.data + text.size <= cursor->end);
        REQUIRE(utf8_is_valid(text) == is_text(text));
    }
    REQUIRE(count <= (size_t)(cursor->end - cursor->at));
}

/* Reads by type until an error or the end; numbers and texts are written and read again. */
static void walk(struct bytes bytes) {
    struct mp_cursor cursor = mp_cursor_of(bytes);
    struct buf out = BUF_EMPTY;
    while (mp_peek(&cursor) != MP_END && mp_peek(&cursor) != MP_NEVER) {
        enum mp_type type = mp_peek(&cursor);
        if (type == MP_INTEGER) {
            struct mp_cursor ahead = cursor;
            int64_t value = mp_read_int(&ahead, INT64_MIN, INT64_MAX);
            if (ahead.error == MP_OK) {
                mp_write_int(&out, value);
                struct mp_cursor again = mp_cursor_of(buf_bytes(&out));
                REQUIRE(mp_read_int(&again, INT64_MIN, INT64_MAX) == value && again.at == again.end);
                REQUIRE(out.size <= (size_t)(ahead.at - cursor.at)); /* ours is the shortest form */
                buf_clear(&out);
            }
        }
        if (type == MP_ARRAY)
            mp_read_array(&cursor);
        else if (type == MP_MAP)
            mp_read_map(&cursor);
        else if (type == MP_STR || type == MP_BIN)
            mp_read_bytes(&cursor);
        else
            mp_read_value(&cursor, 0);
    }
    buf_fini(&out);
}

/* Feeds the bytes in pieces of the sizes that `steps` gives; the outcome must be that of one feed of all. */
static void scan_in_pieces(struct bytes bytes, uint8_t step) {
    struct mp_scan whole = {0}, pieces = {0};
    enum mp_error whole_error, error = MP_TRUNCATED;
    bool is_whole = mp_scan_feed(&whole, bytes, &whole_error), is_end = false;
    for (size_t fed = 0; !is_end; fed += 1 + step) {
        if (fed > bytes.size) fed = bytes.size;
        is_end = mp_scan_feed(&pieces, bytes_of(bytes.data, fed), &error) || error != MP_TRUNCATED || fed == bytes.size;
    }
    REQUIRE(error == whole_error && pieces.scanned == whole.scanned);
    REQUIRE(is_whole == (whole_error == MP_OK));
    struct mp_cursor cursor = mp_cursor_of(bytes);
    struct bytes value = mp_read_value(&cursor, MP_DEPTH_MAX);
    if (value.data)
        REQUIRE(is_whole && whole.scanned == value.size);
    else if (cursor.error == MP_MALFORMED)
        REQUIRE(whole_error == MP_MALFORMED);
    else if (cursor.error == MP_TRUNCATED)
        REQUIRE(!is_whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    uint8_t step = data[0];
    unsigned choices = data[1];
    struct bytes bytes = bytes_of(data + 2, size - 2);
    struct mp_cursor cursor = mp_cursor_of(bytes);
    for (unsigned i = 0; i < 40; i++) {
        read_one(&cursor, choices);
        choices = choices * 1103515245u + 12345u;
    }
    walk(bytes);
    scan_in_pieces(bytes, step);
    return 0;
}
