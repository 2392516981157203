/* sessiond-cli's JSON: any text becomes one whole MessagePack value or is refused with a sentence's end, and any value
 * becomes JSON that reads back as the same value.
 *
 * The first byte of the input chooses: an even one is followed by JSON, an odd one by MessagePack. */
#include "json.h"

#include <string.h>

#include "fuzz/target.h"

static const struct json_style plain = {false, false}, indented = {true, false}, coloured = {true, true};

/* JSON to MessagePack; false: it was refused. */
static bool to_mp(struct bytes text, struct buf *out) {
    char problem[JSON_PROBLEM_MAX] = "";
    json_t *value = json_read((const char *)text.data, text.size, problem);
    bool is_fine = value && json_write_mp(value, out, problem);
    json_decref(value);
    REQUIRE(is_fine || (*problem && memchr(problem, '\0', sizeof problem)));
    return is_fine;
}

/* A number that JSON shows and the reader refuses: integers above 2^63 - 1, as json.h says. */
static bool has_big_integer(struct bytes value) {
    struct mp_cursor cursor = mp_cursor_of(value);
    while (mp_peek(&cursor) != MP_END) {
        enum mp_type type = mp_peek(&cursor);
        if (type == MP_ARRAY) {
            mp_read_array(&cursor);
        } else if (type == MP_MAP) {
            mp_read_map(&cursor);
        } else {
            struct mp_cursor number = cursor;
            if (type == MP_INTEGER) mp_read_int(&number, INT64_MIN, INT64_MAX);
            if (number.error == MP_RANGE) return true;
            mp_read_value(&cursor, 0);
        }
    }
    return false;
}

/* Printed in every style; the plain one reads back, and prints the same again. */
static void check_value(struct bytes value) {
    struct buf text = BUF_EMPTY, again = BUF_EMPTY, text_again = BUF_EMPTY;
    json_print(value, indented, &text);
    json_print(value, coloured, &text);
    buf_clear(&text);
    json_print(value, plain, &text);
    REQUIRE(!text.is_failed && text.size > 0);
    for (size_t i = 0; i < text.size; i++) REQUIRE(text.data[i] >= 0x20 && text.data[i] != 0x7f);
    if (!has_big_integer(value)) {
        REQUIRE(to_mp(buf_bytes(&text), &again));
        json_print(buf_bytes(&again), plain, &text_again);
        REQUIRE(bytes_equal(buf_bytes(&text), buf_bytes(&text_again)));
    }
    buf_fini(&text);
    buf_fini(&again);
    buf_fini(&text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct bytes input = bytes_of(data + 1, size - 1);
    struct buf value = BUF_EMPTY;
    if (data[0] & 1) {
        struct mp_cursor cursor = mp_cursor_of(input);
        if (mp_read_value(&cursor, MP_DEPTH_MAX).size == input.size) check_value(input);
    } else if (to_mp(input, &value)) {
        struct mp_cursor cursor = mp_cursor_of(buf_bytes(&value));
        REQUIRE(mp_read_value(&cursor, MP_DEPTH_MAX).size == value.size && value.size > 0);
        check_value(buf_bytes(&value));
    }
    buf_fini(&value);
    return 0;
}
