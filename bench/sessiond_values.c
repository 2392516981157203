/* See sessiond_values.h. */
#include "sessiond_values.h"

#include <assert.h>

/* The text's head is chosen by the room that is left, so that every size can be made; a decoder takes any head. */
void sessiond_write_data(struct template *template, uint32_t value_bytes) {
    struct buf *out = &template->text;
    mp_write_map(out, 1);
    mp_write_string(out, DATA_KEY);
    size_t left = value_bytes - 3;
    assert(value_bytes >= VALUE_BYTES_MIN && value_bytes <= VALUE_BYTES_MAX);
    if (left - 2 <= UINT8_MAX) {
        left -= 2;
        buf_append(out, (uint8_t[]){0xd9, (uint8_t)left}, 2);
    } else if (left - 3 <= UINT16_MAX) {
        left -= 3;
        buf_append(out, (uint8_t[]){0xda, (uint8_t)(left >> 8), (uint8_t)left}, 3);
    } else {
        left -= 5;
        buf_append(out, (uint8_t[]){0xdb, 0, (uint8_t)(left >> 16), (uint8_t)(left >> 8), (uint8_t)left}, 5);
    }
    template_filling(template, left);
}

/* The value under a key of a map; absent if there is none. */
struct bytes sessiond_find(struct bytes map, const char *key) {
    struct mp_cursor cursor = mp_cursor_of(map);
    uint32_t pairs = mp_read_map(&cursor);
    while (pairs-- && cursor.error == MP_OK) {
        struct bytes name = mp_read_bytes(&cursor), value = mp_read_value(&cursor, DATA_DEPTH_MAX);
        if (cursor.error == MP_OK && bytes_equal(name, bytes_of_string(key))) return value;
    }
    return BYTES_ABSENT;
}

struct bytes sessiond_text(struct bytes value) {
    if (bytes_is_absent(value)) return value;
    struct mp_cursor cursor = mp_cursor_of(value);
    struct bytes text = mp_read_bytes(&cursor);
    return cursor.error == MP_OK ? text : BYTES_ABSENT;
}

/* A patched session is longer than value_bytes, so the text is compared for what it must be and data for no less. */
bool sessiond_data_is(const struct driver_setup *setup, struct bytes record, const uint8_t id[KEY_ID_BYTES]) {
    struct bytes data = sessiond_find(record, "data");
    if (bytes_is_absent(data) || data.size < setup->value_bytes) return false;
    struct bytes text = sessiond_text(sessiond_find(data, DATA_KEY));
    return !bytes_is_absent(text) && filling_is(text, id);
}
