/* JSON to MessagePack and back, without loss. The forms with $ are in json.h.
 *
 * Recursion is bounded: by JSON_DEPTH_MAX on the way in, and on the way out because the library has refused deeper
 * values. jansson reads; printing is ours (json_print.c), because jansson has no integers above 2^63 - 1 and no maps
 * with other keys. One thread. */
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
