/* JSON to MessagePack and back, without loss. The forms with $ are in json.h.
 *
 * Recursion is bounded: by JSON_DEPTH_MAX on the way in, and on the way out because the library has refused deeper
 * values. jansson reads; printing is ours, because jansson has no integers above 2^63 - 1 and no maps with other keys.
 * One thread. */
#include "json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

/* ---------------------------------------------------------------- in */

json_t *json_read(const char *text, size_t size, char problem[JSON_PROBLEM_MAX]) {
    json_error_t error;
    json_t *value = json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!value) snprintf(problem, JSON_PROBLEM_MAX, "%s, at byte %d", error.text, error.position);
    return value;
}

static bool fail(char problem[JSON_PROBLEM_MAX], const char *what) {
    snprintf(problem, JSON_PROBLEM_MAX, "%s", what);
    return false;
}

static bool write_value(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX], unsigned depth);

static bool write_base64(const json_t *value, bool is_str, struct buf *out, char problem[JSON_PROBLEM_MAX]) {
    struct buf bytes = BUF_EMPTY;
    bool is_fine = json_is_string(value) && base64_decode(json_string_value(value), json_string_length(value), &bytes);
    struct bytes decoded = bytes_of(bytes.data ? bytes.data : (const uint8_t *)"", bytes.size);
    if (is_fine && is_str) mp_write_str(out, decoded);
    if (is_fine && !is_str) mp_write_bin(out, decoded);
    buf_fini(&bytes);
    return is_fine || fail(problem, "$bin and $str take base64 with its padding");
}

/* The text of a form; "" for what is no text, or has a NUL in it, which no form has. */
static const char *form_text(const json_t *value) {
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    return strlen(text) == json_string_length(value) ? text : "";
}

static bool write_big_int(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX]) {
    const char *digits = form_text(value);
    char *end;
    errno = 0;
    bool is_negative = digits[0] == '-';
    uint64_t number = is_negative ? (uint64_t)strtoll(digits, &end, 10) : strtoull(digits, &end, 10);
    bool has_digit = digits[is_negative] >= '0' && digits[is_negative] <= '9';
    if (errno || *end || !has_digit) return fail(problem, "$int takes an integer from -2^63 to 2^64 - 1 as a string");
    if (is_negative)
        mp_write_int(out, (int64_t)number);
    else
        mp_write_uint(out, number);
    return true;
}

static bool write_float(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX]) {
    const char *word = form_text(value);
    bool is_nan = strcmp(word, "nan") == 0, is_inf = strcmp(word, "inf") == 0;
    if (!is_nan && !is_inf && strcmp(word, "-inf") != 0)
        return fail(problem, "$float takes \"nan\", \"inf\" or \"-inf\"");
    mp_write_double(out, is_nan ? NAN : is_inf ? INFINITY : -INFINITY);
    return true;
}

static bool write_ext(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX]) {
    const json_t *type = json_array_get(value, 0), *text = json_array_get(value, 1);
    struct buf bytes = BUF_EMPTY;
    bool is_fine = json_array_size(value) == 2 && json_is_integer(type) && json_integer_value(type) >= -128 &&
                   json_integer_value(type) <= 127 && json_is_string(text) &&
                   base64_decode(json_string_value(text), json_string_length(text), &bytes) && bytes.size <= UINT32_MAX;
    if (is_fine) { /* the longest form is the plainest: ext 32 */
        uint8_t head[] = {0xc9,
                          (uint8_t)(bytes.size >> 24),
                          (uint8_t)(bytes.size >> 16),
                          (uint8_t)(bytes.size >> 8),
                          (uint8_t)bytes.size,
                          (uint8_t)json_integer_value(type)};
        buf_append(out, head, sizeof head);
        buf_append(out, bytes.data, bytes.size);
    }
    buf_fini(&bytes);
    return is_fine || fail(problem, "$ext takes [type from -128 to 127, \"base64\"]");
}

static bool write_pairs(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX], unsigned depth) {
    if (!json_is_array(value)) return fail(problem, "$map takes an array of [key, value]");
    mp_write_map(out, (uint32_t)json_array_size(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *pair = json_array_get(value, i);
        if (json_array_size(pair) != 2) return fail(problem, "$map takes an array of [key, value]");
        if (!write_value(json_array_get(pair, 0), out, problem, depth + 1)) return false;
        if (!write_value(json_array_get(pair, 1), out, problem, depth + 1)) return false;
    }
    return true;
}

/* The form with $ that a map of one key is; false with *is_form unset: it is a plain map. */
static bool write_form(const json_t *map, struct buf *out, char problem[JSON_PROBLEM_MAX], unsigned depth,
                       bool *is_form) {
    void *entry = json_object_iter((json_t *)map);
    *is_form = json_object_size(map) == 1 && json_object_iter_key(entry)[0] == '$';
    if (!*is_form) return false;
    const char *key = json_object_iter_key(entry);
    const json_t *value = json_object_iter_value(entry);
    if (strcmp(key, "$bin") == 0) return write_base64(value, false, out, problem);
    if (strcmp(key, "$str") == 0) return write_base64(value, true, out, problem);
    if (strcmp(key, "$int") == 0) return write_big_int(value, out, problem);
    if (strcmp(key, "$float") == 0) return write_float(value, out, problem);
    if (strcmp(key, "$ext") == 0) return write_ext(value, out, problem);
    if (strcmp(key, "$map") == 0) return write_pairs(value, out, problem, depth);
    return fail(problem, "a map whose only key begins with $ is one of $bin, $str, $int, $float, $ext, $map");
}

static bool write_map(const json_t *map, struct buf *out, char problem[JSON_PROBLEM_MAX], unsigned depth) {
    bool is_form, is_fine = write_form(map, out, problem, depth, &is_form);
    if (is_form) return is_fine;
    mp_write_map(out, (uint32_t)json_object_size(map));
    for (void *entry = json_object_iter((json_t *)map); entry; entry = json_object_iter_next((json_t *)map, entry)) {
        mp_write_str(out, bytes_of(json_object_iter_key(entry), json_object_iter_key_len(entry)));
        if (!write_value(json_object_iter_value(entry), out, problem, depth + 1)) return false;
    }
    return true;
}

static bool write_value(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX], unsigned depth) {
    if (depth > JSON_DEPTH_MAX) return fail(problem, "the value is nested too deep");
    switch (json_typeof(value)) {
    case JSON_OBJECT: return write_map(value, out, problem, depth);
    case JSON_ARRAY:
        mp_write_array(out, (uint32_t)json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++)
            if (!write_value(json_array_get(value, i), out, problem, depth + 1)) return false;
        return true;
    case JSON_STRING: mp_write_str(out, bytes_of(json_string_value(value), json_string_length(value))); return true;
    case JSON_INTEGER: mp_write_int(out, json_integer_value(value)); return true;
    case JSON_REAL: mp_write_double(out, json_real_value(value)); return true;
    case JSON_TRUE:
    case JSON_FALSE: mp_write_bool(out, json_is_true(value)); return true;
    case JSON_NULL: break;
    }
    mp_write_nil(out);
    return true;
}

bool json_write_mp(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX]) {
    return write_value(value, out, problem, 0);
}

/* ---------------------------------------------------------------- out */

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
