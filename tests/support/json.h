/* JSON with single or double quotes to MessagePack and back, so that tests read like the documents.
 *
 * For texts of our own only: it asserts where it does not understand. Integers, true, false, null, strings without
 * escapes, arrays, maps; floats only on the way back. 'b:...' makes no bin: bins are written back as strings. */
#ifndef TESTS_SUPPORT_JSON_H
#define TESTS_SUPPORT_JSON_H

#include "base/mp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void json_skip(const char **at) {
    while (**at == ' ' || **at == '\n' || **at == ',' || **at == ':') (*at)++;
}

static inline void json_string(const char **at, struct buf *out) {
    char quote = *(*at)++;
    const char *end = strchr(*at, quote);
    assert(end && "a string without its end");
    mp_write_str(out, bytes_of(*at, (size_t)(end - *at)));
    *at = end + 1;
}

/* One value at *at, past it. */
static inline void json_value(const char **at, struct buf *out) {
    json_skip(at);
    char first = **at;
    if (first == '[' || first == '{') {
        struct buf inner = BUF_EMPTY;
        uint32_t count = 0;
        char last = first == '[' ? ']' : '}';
        for ((*at)++, json_skip(at); **at != last; json_skip(at), count++) json_value(at, &inner);
        (*at)++;
        first == '[' ? mp_write_array(out, count) : mp_write_map(out, count / 2);
        mp_write_raw(out, buf_bytes(&inner));
        buf_fini(&inner);
    } else if (first == '"' || first == '\'') {
        json_string(at, out);
    } else if (strncmp(*at, "null", 4) == 0) {
        mp_write_nil(out), *at += 4;
    } else if (strncmp(*at, "true", 4) == 0) {
        mp_write_bool(out, true), *at += 4;
    } else if (strncmp(*at, "false", 5) == 0) {
        mp_write_bool(out, false), *at += 5;
    } else {
        char *end;
        mp_write_int(out, strtoll(*at, &end, 10));
        assert(end != *at && "no JSON");
        *at = end;
    }
}

/* Appends the MessagePack of a JSON text. */
static inline void json_to_mp(const char *text, struct buf *out) {
    json_value(&text, out);
    json_skip(&text);
    assert(*text == 0 && "something stands behind the value");
}

static inline void json_print(struct buf *out, const char *text) {
    buf_append(out, text, strlen(text));
}

static inline void json_from_cursor(struct mp_cursor *cursor, struct buf *out) {
    char text[40];
    uint32_t count;
    struct bytes bytes;
    switch (mp_peek(cursor)) {
    case MP_NIL: mp_read_nil(cursor), json_print(out, "null"); break;
    case MP_BOOL: json_print(out, mp_read_bool(cursor) ? "true" : "false"); break;
    case MP_INTEGER:
        snprintf(text, sizeof text, "%lld", (long long)mp_read_int(cursor, INT64_MIN, INT64_MAX));
        json_print(out, text);
        break;
    case MP_FLOAT:
        snprintf(text, sizeof text, "%g", mp_read_double(cursor));
        json_print(out, text);
        break;
    case MP_STR:
    case MP_BIN:
        bytes = mp_read_bytes(cursor);
        json_print(out, "'"), buf_append(out, bytes.data, bytes.size), json_print(out, "'");
        break;
    case MP_ARRAY:
        json_print(out, "[");
        count = mp_read_array(cursor);
        for (uint32_t i = 0; i < count && cursor->error == MP_OK; i++) {
            if (i) json_print(out, ", ");
            json_from_cursor(cursor, out);
        }
        json_print(out, "]");
        break;
    case MP_MAP:
        json_print(out, "{");
        count = mp_read_map(cursor);
        for (uint32_t i = 0; i < count && cursor->error == MP_OK; i++) {
            if (i) json_print(out, ", ");
            json_from_cursor(cursor, out), json_print(out, ": "), json_from_cursor(cursor, out);
        }
        json_print(out, "}");
        break;
    default: json_print(out, "?"), cursor->error = cursor->error ? cursor->error : MP_MALFORMED;
    }
}

/* Every value of `bytes` as JSON, one line each; a broken end shows as "?". Free the answer. */
static inline char *json_of(struct bytes bytes) {
    struct buf out = BUF_EMPTY;
    struct mp_cursor cursor = mp_cursor_of(bytes);
    while (cursor.error == MP_OK && cursor.at != cursor.end) json_from_cursor(&cursor, &out), json_print(&out, "\n");
    buf_append(&out, "", 1);
    return (char *)out.data;
}

#endif
