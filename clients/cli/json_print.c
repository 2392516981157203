/* See json_print.h. Recursion is bounded, since whoever read the value has refused deeper ones. */
#include "json_print.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

struct printer {
    struct buf *out;
    struct json_style style;
    unsigned depth;
};

#define COLOUR_KEY    "\x1b[36m"
#define COLOUR_STRING "\x1b[32m"
#define COLOUR_END    "\x1b[0m"

static void put(struct printer *printer, const char *text) {
    buf_append(printer->out, text, strlen(text));
}

static void put_format(struct printer *printer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(struct printer *printer, const char *format, ...) {
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(printer, text);
}

static void put_colour(struct printer *printer, const char *colour) {
    if (printer->style.is_coloured) put(printer, colour);
}

static void put_line(struct printer *printer) {
    if (!printer->style.is_indented) return;
    put(printer, "\n");
    for (unsigned i = 0; i < printer->depth; i++) put(printer, "  ");
}

/* The size of the UTF-8 sequence at `at`; 0: there is none. */
static size_t sequence_size(const uint8_t *at, size_t left) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80             ? 1
                  : (at[0] & 0xe0) == 0xc0 ? 2
                  : (at[0] & 0xf0) == 0xe0 ? 3
                  : (at[0] & 0xf8) == 0xf0 ? 4
                                           : 0;
    if (size == 0 || size > left) return 0;
    uint32_t point = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (at[i] & 0x3f);
    }
    if (point < smallest[size] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return 0;
    return size;
}

static bool is_utf8(struct bytes text) {
    for (size_t at = 0; at < text.size;) {
        size_t size = sequence_size(text.data + at, text.size - at);
        if (size == 0) return false;
        at += size;
    }
    return true;
}

/* A text in quotes. Control characters, C1 and DEL too, are escaped: a session's data must not drive a terminal. */
static void put_quoted(struct printer *printer, struct bytes text) {
    put(printer, "\"");
    for (size_t at = 0; at < text.size;) {
        uint8_t c = text.data[at];
        size_t size = sequence_size(text.data + at, text.size - at);
        if (c == '"' || c == '\\')
            put_format(printer, "\\%c", c);
        else if (c == '\n')
            put(printer, "\\n");
        else if (c == '\r')
            put(printer, "\\r");
        else if (c == '\t')
            put(printer, "\\t");
        else if (c < 0x20 || c == 0x7f)
            put_format(printer, "\\u%04x", c);
        else if (c == 0xc2 && text.data[at + 1] < 0xa0)
            put_format(printer, "\\u%04x", text.data[at + 1]);
        else
            buf_append(printer->out, text.data + at, size);
        at += size;
    }
    put(printer, "\"");
}

static void put_form(struct printer *printer, const char *name, struct bytes bytes) {
    put_format(printer, "{\"%s\": \"", name);
    base64_encode(bytes, printer->out);
    put(printer, "\"}");
}

static void print_value(struct printer *printer, struct mp_cursor *cursor);

static void print_text(struct printer *printer, struct mp_cursor *cursor) {
    struct bytes text = mp_read_bytes(cursor);
    if (!is_utf8(text)) {
        put_form(printer, "$str", text);
        return;
    }
    put_colour(printer, COLOUR_STRING);
    put_quoted(printer, text);
    put_colour(printer, COLOUR_END);
}

/* An integer that mp_read_int cannot hold is above 2^63 - 1, and stands there in eight bytes. */
static void print_integer(struct printer *printer, struct mp_cursor *cursor) {
    struct bytes encoded = mp_read_value(cursor, 0);
    struct mp_cursor number = mp_cursor_of(encoded);
    int64_t value = mp_read_int(&number, INT64_MIN, INT64_MAX);
    uint64_t big = 0;
    for (size_t i = 1; i < encoded.size; i++) big = big << 8 | encoded.data[i];
    if (number.error)
        put_format(printer, "%llu", (unsigned long long)big);
    else
        put_format(printer, "%lld", (long long)value);
}

static void print_float(struct printer *printer, struct mp_cursor *cursor) {
    double value = mp_read_double(cursor);
    if (isnan(value) || isinf(value)) {
        put(printer, isnan(value) ? "{\"$float\": \"nan\"}"
                     : value > 0  ? "{\"$float\": \"inf\"}"
                                  : "{\"$float\": \"-inf\"}");
        return;
    }
    /* The shortest digits that read back as the same number, and never ones that read back as an integer. */
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    put(printer, text);
    if (!strpbrk(text, ".e")) put(printer, ".0");
}

static void print_ext(struct printer *printer, struct mp_cursor *cursor) {
    struct bytes encoded = mp_read_value(cursor, 0);
    /* fixext: first byte, type, data; ext 8, 16, 32: first byte, length, type, data. */
    size_t head = encoded.data[0] >= 0xd4 ? 1 : (size_t)1 + ((size_t)1 << (encoded.data[0] - 0xc7));
    put_format(printer, "{\"$ext\": [%d, \"", (int8_t)encoded.data[head]);
    base64_encode(bytes_of(encoded.data + head + 1, encoded.size - head - 1), printer->out);
    put(printer, "\"]}");
}

static void print_array(struct printer *printer, struct mp_cursor *cursor) {
    uint32_t count = mp_read_array(cursor);
    put(printer, "[");
    printer->depth++;
    for (uint32_t i = 0; i < count; i++) {
        if (i) put(printer, printer->style.is_indented ? "," : ", ");
        put_line(printer);
        print_value(printer, cursor);
    }
    printer->depth--;
    if (count) put_line(printer);
    put(printer, "]");
}

static int compare_keys(const void *a, const void *b) {
    const struct bytes *left = a, *right = b;
    if (left->size != right->size) return left->size < right->size ? -1 : 1;
    return left->size ? memcmp(left->data, right->data, left->size) : 0;
}

/* Sorted, because a map may have as many keys as data has bytes. */
static bool has_twins(struct bytes *keys, uint32_t count) {
    qsort(keys, count, sizeof *keys, compare_keys);
    for (uint32_t i = 1; i < count; i++)
        if (compare_keys(&keys[i - 1], &keys[i]) == 0) return true;
    return false;
}

/* Whether all keys of a map are texts that JSON can hold, each once, and it cannot be mistaken for a form with $.
 * A NUL in a key is more than jansson reads. */
static bool is_plain_map(struct mp_cursor cursor) {
    uint32_t count = mp_read_map(&cursor);
    struct bytes *keys = malloc((count + 1) * sizeof *keys);
    bool is_plain = keys != NULL;
    for (uint32_t i = 0; i < count && is_plain; i++) {
        is_plain = mp_peek(&cursor) == MP_STR;
        if (!is_plain) break;
        struct bytes key = keys[i] = mp_read_bytes(&cursor);
        is_plain = is_utf8(key) && !memchr(key.data, '\0', key.size) && !(count == 1 && key.size && key.data[0] == '$');
        mp_read_value(&cursor, MP_DEPTH_MAX);
    }
    is_plain = is_plain && !has_twins(keys, count);
    free(keys);
    return is_plain;
}

static void print_pairs(struct printer *printer, struct mp_cursor *cursor) {
    uint32_t count = mp_read_map(cursor);
    put(printer, "{\"$map\": [");
    for (uint32_t i = 0; i < count; i++) {
        put(printer, i ? ", [" : "[");
        print_value(printer, cursor);
        put(printer, ", ");
        print_value(printer, cursor);
        put(printer, "]");
    }
    put(printer, "]}");
}

static void print_map(struct printer *printer, struct mp_cursor *cursor) {
    if (!is_plain_map(*cursor)) {
        print_pairs(printer, cursor);
        return;
    }
    uint32_t count = mp_read_map(cursor);
    put(printer, "{");
    printer->depth++;
    for (uint32_t i = 0; i < count; i++) {
        if (i) put(printer, printer->style.is_indented ? "," : ", ");
        put_line(printer);
        put_colour(printer, COLOUR_KEY);
        put_quoted(printer, mp_read_bytes(cursor));
        put_colour(printer, COLOUR_END);
        put(printer, ": ");
        print_value(printer, cursor);
    }
    printer->depth--;
    if (count) put_line(printer);
    put(printer, "}");
}

static void print_value(struct printer *printer, struct mp_cursor *cursor) {
    switch (mp_peek(cursor)) {
    case MP_NIL:
        mp_read_nil(cursor);
        put(printer, "null");
        break;
    case MP_BOOL: put(printer, mp_read_bool(cursor) ? "true" : "false"); break;
    case MP_INTEGER: print_integer(printer, cursor); break;
    case MP_FLOAT: print_float(printer, cursor); break;
    case MP_STR: print_text(printer, cursor); break;
    case MP_BIN: put_form(printer, "$bin", mp_read_bytes(cursor)); break;
    case MP_ARRAY: print_array(printer, cursor); break;
    case MP_MAP: print_map(printer, cursor); break;
    case MP_EXT: print_ext(printer, cursor); break;
    case MP_NEVER:
    case MP_END: assert(false);
    }
}

void json_print(struct bytes value, struct json_style style, struct buf *out) {
    struct printer printer = {out, style, 0};
    struct mp_cursor cursor = mp_cursor_of(value);
    print_value(&printer, &cursor);
}
