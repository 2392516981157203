/* See value.h. */
#include "value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"

static void complain(const struct reading *reading, const char *what) {
    fprintf(stderr, "%s: %s at \"%.40s\"\n", reading->place, what, reading->at);
    exit(2);
}

bool reading_has_more(struct reading *reading) {
    while (isspace((unsigned char)*reading->at)) reading->at++;
    return *reading->at != '\0';
}

static bool accept(struct reading *reading, const char *word) {
    size_t size = strlen(word);
    reading_has_more(reading);
    if (strncmp(reading->at, word, size) != 0) return false;
    /* A word ends where no letter follows. */
    if (isalpha((unsigned char)word[size - 1]) && isalnum((unsigned char)reading->at[size])) return false;
    reading->at += size;
    return true;
}

static void expect(struct reading *reading, const char *word) {
    if (!accept(reading, word)) {
        char what[64];
        snprintf(what, sizeof(what), "expected %s", word);
        complain(reading, what);
    }
}

struct bytes value_read(struct mp_cursor *cursor) {
    struct bytes rest = bytes_of(cursor->at, (size_t)(cursor->end - cursor->at));
    struct mp_scan scan = {0};
    enum mp_error error = MP_OK;
    if (!mp_scan_feed(&scan, rest, &error)) {
        cursor->error = error;
        return BYTES_ABSENT;
    }
    cursor->at += scan.scanned;
    return bytes_of(rest.data, scan.scanned);
}

/* ---- captures */

void captures_clear(struct captures *captures) {
    for (unsigned i = 0; i < captures->count; i++) buf_fini(&captures->all[i].value);
    captures->count = 0;
}

static void read_name(struct reading *reading, char name[32]) {
    size_t size = 0;
    while ((isalnum((unsigned char)*reading->at) || *reading->at == '_') && size < 31) name[size++] = *reading->at++;
    name[size] = '\0';
    if (size == 0) complain(reading, "expected a name");
}

static struct buf *capture_find(struct captures *captures, const char *name) {
    for (unsigned i = 0; i < captures->count; i++)
        if (strcmp(captures->all[i].name, name) == 0) return &captures->all[i].value;
    return NULL;
}

static void capture_put(const struct reading *reading, const char *name, struct bytes value) {
    struct captures *captures = reading->captures;
    if (captures->count == sizeof(captures->all) / sizeof(captures->all[0])) complain(reading, "too many captures");
    struct buf *slot = &captures->all[captures->count].value;
    snprintf(captures->all[captures->count++].name, 32, "%s", name);
    *slot = BUF_EMPTY;
    buf_append(slot, value.data, value.size);
}

static struct bytes captured(struct reading *reading) {
    char name[32];
    read_name(reading, name);
    struct buf *found = capture_find(reading->captures, name);
    if (!found) complain(reading, "nothing was captured under this name");
    return buf_bytes(found);
}

/* ---- text to MessagePack */

/* A quoted text; \" \\ \n \t and \xHH are known. */
static void read_quoted(struct reading *reading, struct buf *out) {
    expect(reading, "\"");
    for (; *reading->at != '"'; reading->at++) {
        char byte = *reading->at;
        if (byte == '\0') complain(reading, "the text has no end");
        if (byte == '\\') {
            byte = *++reading->at;
            if (byte == 'n') byte = '\n';
            if (byte == 't') byte = '\t';
            if (byte == 'x') {
                char digits[3] = {reading->at[1], reading->at[2], '\0'};
                byte = (char)strtol(digits, NULL, 16);
                reading->at += 2;
            }
        }
        buf_append(out, &byte, 1);
    }
    reading->at++;
}

static void write_text(struct reading *reading, struct buf *out, bool is_bin) {
    struct buf text = BUF_EMPTY;
    buf_reserve(&text, 1);
    read_quoted(reading, &text);
    if (is_bin)
        mp_write_bin(out, buf_bytes(&text));
    else
        mp_write_str(out, buf_bytes(&text));
    buf_fini(&text);
}

static void write_hex(struct reading *reading, struct buf *out) {
    struct buf text = BUF_EMPTY;
    read_quoted(reading, &text);
    for (size_t i = 0; i + 1 < text.size; i += 2) {
        char digits[3] = {(char)text.data[i], (char)text.data[i + 1], '\0'};
        uint8_t byte = (uint8_t)strtol(digits, NULL, 16);
        buf_append(out, &byte, 1);
    }
    buf_fini(&text);
}

static void write_number(struct reading *reading, struct buf *out) {
    const char *start = reading->at;
    bool is_float = false;
    if (*reading->at == '-') reading->at++;
    if (!isdigit((unsigned char)*reading->at)) complain(reading, "expected a value");
    for (; isdigit((unsigned char)*reading->at) || strchr(".e+-", *reading->at); reading->at++) {
        if (*reading->at == '\0') break;
        is_float |= *reading->at == '.' || *reading->at == 'e';
    }
    if (is_float)
        mp_write_double(out, strtod(start, NULL));
    else if (*start == '-')
        mp_write_int(out, strtoll(start, NULL, 10));
    else
        mp_write_uint(out, strtoull(start, NULL, 10));
}

static int64_t read_integer(struct reading *reading) {
    char *end;
    int64_t value = strtoll(reading->at, &end, 10);
    if (end == reading->at) complain(reading, "expected an integer");
    reading->at = end;
    return value;
}

static int64_t read_argument(struct reading *reading) {
    int64_t value = read_integer(reading);
    expect(reading, ")");
    return value;
}

static void write_zeros(struct buf *out, size_t size) {
    uint8_t *zeros = calloc(1, size + 1);
    mp_write_bin(out, bytes_of(zeros, size));
    free(zeros);
}

static void write_deep(struct buf *out, int64_t depth) {
    for (; depth > 1; depth--) mp_write_array(out, 1);
    mp_write_array(out, 0);
}

/* repeat(N, value): N elements of an array. */
static uint32_t write_repeated(struct reading *reading, struct buf *members) {
    uint32_t times = (uint32_t)read_integer(reading);
    size_t start = members->size;
    expect(reading, ",");
    value_write(reading, members);
    expect(reading, ")");
    struct buf one = BUF_EMPTY;
    buf_append(&one, members->data + start, members->size - start);
    for (uint32_t i = 1; i < times; i++) buf_append(members, one.data, one.size);
    buf_fini(&one);
    return times;
}

static void write_members(struct reading *reading, struct buf *out, bool is_map) {
    struct buf members = BUF_EMPTY;
    const char *close = is_map ? "}" : "]";
    uint32_t count = 0;
    while (!accept(reading, close)) {
        if (count) expect(reading, ",");
        if (!is_map && accept(reading, "repeat(")) {
            count += write_repeated(reading, &members);
            continue;
        }
        value_write(reading, &members);
        if (is_map) {
            expect(reading, ":");
            value_write(reading, &members);
        }
        count++;
    }
    if (is_map)
        mp_write_map(out, count);
    else
        mp_write_array(out, count);
    mp_write_raw(out, buf_bytes(&members));
    buf_fini(&members);
}

void value_write(struct reading *reading, struct buf *out) {
    reading_has_more(reading);
    if (accept(reading, "nil") || accept(reading, "null"))
        mp_write_nil(out);
    else if (accept(reading, "true"))
        mp_write_bool(out, true);
    else if (accept(reading, "false"))
        mp_write_bool(out, false);
    else if (accept(reading, "["))
        write_members(reading, out, false);
    else if (accept(reading, "{"))
        write_members(reading, out, true);
    else if (accept(reading, "@"))
        mp_write_int(out, reading->base_ms + read_integer(reading));
    else if (accept(reading, "$"))
        mp_write_raw(out, captured(reading));
    else if (accept(reading, "bin("))
        write_zeros(out, (size_t)read_argument(reading));
    else if (accept(reading, "deep("))
        write_deep(out, read_argument(reading));
    else if (*reading->at == 'b' && reading->at[1] == '"')
        reading->at++, write_text(reading, out, true);
    else if (*reading->at == 'x' && reading->at[1] == '"')
        reading->at++, write_hex(reading, out);
    else if (*reading->at == '"')
        write_text(reading, out, false);
    else
        write_number(reading, out);
}

/* ---- MessagePack to text */

static void print_text(struct bytes text, struct buf *out) {
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.size && i < 80; i++) {
        char escaped[8];
        int size = text.data[i] >= 32 && text.data[i] < 127
                       ? snprintf(escaped, sizeof(escaped), "%c", text.data[i])
                       : snprintf(escaped, sizeof(escaped), "\\x%02x", text.data[i]);
        buf_append(out, escaped, (size_t)size);
    }
    if (text.size > 80) buf_append(out, "...", 3);
    buf_append(out, "\"", 1);
}

static void print_number(struct mp_cursor *cursor, enum mp_type type, int64_t base_ms, struct buf *out) {
    const int64_t near_ms = INT64_C(400000000000);
    char text[40];
    int size;
    if (type == MP_FLOAT) {
        size = snprintf(text, sizeof(text), "%.17g", mp_read_double(cursor));
    } else if (*cursor->at == 0xcf && cursor->at[1] & 0x80) {
        size = snprintf(text, sizeof(text), "%.0f", mp_read_double(cursor));
    } else {
        int64_t value = mp_read_int(cursor, INT64_MIN, INT64_MAX);
        bool is_moment = value > base_ms - near_ms && value < base_ms + near_ms;
        size = is_moment ? snprintf(text, sizeof(text), "@%" PRId64, value - base_ms)
                         : snprintf(text, sizeof(text), "%" PRId64, value);
    }
    buf_append(out, text, (size_t)size);
}

static void print_value(struct mp_cursor *cursor, int64_t base_ms, struct buf *out) {
    enum mp_type type = mp_peek(cursor);
    if (type == MP_NIL) {
        mp_read_nil(cursor);
        buf_append(out, "nil", 3);
    } else if (type == MP_BOOL) {
        bool value = mp_read_bool(cursor);
        buf_append(out, value ? "true" : "false", value ? 4 : 5);
    } else if (type == MP_INTEGER || type == MP_FLOAT) {
        print_number(cursor, type, base_ms, out);
    } else if (type == MP_STR || type == MP_BIN) {
        if (type == MP_BIN) buf_append(out, "b", 1);
        print_text(mp_read_bytes(cursor), out);
    } else if (type == MP_ARRAY || type == MP_MAP) {
        uint32_t count = type == MP_MAP ? mp_read_map(cursor) : mp_read_array(cursor);
        buf_append(out, type == MP_MAP ? "{" : "[", 1);
        for (uint32_t i = 0; i < count; i++) {
            if (i) buf_append(out, ", ", 2);
            print_value(cursor, base_ms, out);
            if (type != MP_MAP) continue;
            buf_append(out, ": ", 2);
            print_value(cursor, base_ms, out);
        }
        buf_append(out, type == MP_MAP ? "}" : "]", 1);
    } else {
        value_read(cursor);
        buf_append(out, "?", 1);
    }
}

void value_print(struct bytes value, int64_t base_ms, struct buf *text) {
    struct mp_cursor cursor = mp_cursor_of(value);
    print_value(&cursor, base_ms, text);
}

/* ---- patterns */

static bool part(const char *what, struct bytes value, const struct reading *reading, char *why, size_t why_size) {
    struct buf text = BUF_EMPTY;
    value_print(value, reading->base_ms, &text);
    snprintf(why, why_size, "%s, but %.*s came", what, (int)text.size, text.data);
    buf_fini(&text);
    return false;
}

/* The value of `key` in an encoded map; absent: it has none. */
static struct bytes map_find(struct bytes map, struct bytes key, uint32_t *count) {
    struct mp_cursor cursor = mp_cursor_of(map);
    struct bytes found = BYTES_ABSENT;
    *count = mp_read_map(&cursor);
    for (uint32_t i = 0; i < *count; i++) {
        bool is_key = bytes_equal(value_read(&cursor), key);
        struct bytes value = value_read(&cursor);
        if (is_key) found = value;
    }
    return found;
}

static bool match_map(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    struct mp_cursor cursor = mp_cursor_of(value);
    uint32_t members = 0, count = 0;
    bool is_open = false;
    if (mp_peek(&cursor) != MP_MAP) return part("expected a map", value, reading, why, why_size);
    count = mp_read_map(&cursor);
    while (!accept(reading, "}")) {
        if (members || is_open) expect(reading, ",");
        if (accept(reading, "*")) {
            is_open = true;
            continue;
        }
        struct buf key = BUF_EMPTY;
        const char *key_text = reading->at;
        value_write(reading, &key);
        int key_size = (int)(reading->at - key_text);
        expect(reading, ":");
        struct bytes found = map_find(value, buf_bytes(&key), &count);
        buf_fini(&key);
        members++;
        char inner[400];
        if (bytes_is_absent(found)) {
            snprintf(inner, sizeof(inner), "expected a member %.*s", key_size, key_text);
            return part(inner, value, reading, why, why_size);
        }
        if (!value_match(reading, found, inner, sizeof(inner))) {
            snprintf(why, why_size, "at %.*s: %s", key_size, key_text, inner);
            return false;
        }
    }
    return is_open || members == count || part("expected no other members", value, reading, why, why_size);
}

static bool match_array(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    struct mp_cursor cursor = mp_cursor_of(value);
    if (mp_peek(&cursor) != MP_ARRAY) return part("expected an array", value, reading, why, why_size);
    uint32_t count = mp_read_array(&cursor), index = 0;
    while (!accept(reading, "]")) {
        if (index) expect(reading, ",");
        if (accept(reading, "*")) {
            expect(reading, "]");
            return true;
        }
        char inner[400];
        if (index == count) return part("expected more elements", value, reading, why, why_size);
        if (!value_match(reading, value_read(&cursor), inner, sizeof(inner))) {
            snprintf(why, why_size, "at [%u]: %s", index, inner);
            return false;
        }
        index++;
    }
    return index == count || part("expected fewer elements", value, reading, why, why_size);
}

static bool match_greater(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    struct mp_cursor floor = mp_cursor_of(captured(reading)), cursor = mp_cursor_of(value);
    int64_t lower = mp_read_int(&floor, INT64_MIN, INT64_MAX), came = mp_read_int(&cursor, INT64_MIN, INT64_MAX);
    if (cursor.error || came <= lower) {
        char what[64];
        snprintf(what, sizeof(what), "expected more than %" PRId64, lower);
        return part(what, value, reading, why, why_size);
    }
    if (!accept(reading, "$")) return true;
    char name[32];
    read_name(reading, name);
    capture_put(reading, name, value);
    return true;
}

static bool match_capture(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    char name[32];
    read_name(reading, name);
    struct buf *found = capture_find(reading->captures, name);
    if (!found) {
        capture_put(reading, name, value);
        return true;
    }
    if (bytes_equal(buf_bytes(found), value)) return true;
    struct buf text = BUF_EMPTY;
    char what[200];
    value_print(buf_bytes(found), reading->base_ms, &text);
    snprintf(what, sizeof(what), "expected %.*s as $%s", (int)text.size, text.data, name);
    buf_fini(&text);
    return part(what, value, reading, why, why_size);
}

static bool match_id(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    struct mp_cursor cursor = mp_cursor_of(value);
    struct bytes id = mp_peek(&cursor) == MP_STR ? mp_read_bytes(&cursor) : BYTES_ABSENT;
    bool is_id = id.size == 43;
    for (size_t i = 0; i < id.size; i++) is_id &= isalnum(id.data[i]) || id.data[i] == '-' || id.data[i] == '_';
    return is_id || part("expected an id of 43 characters", value, reading, why, why_size);
}

/* near $name: an id made here, in the bucket of the captured one. */
static bool match_near(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    expect(reading, "$");
    struct mp_cursor other = mp_cursor_of(captured(reading)), cursor = mp_cursor_of(value);
    if (!match_id(reading, value, why, why_size)) return false;
    struct bytes id = mp_read_bytes(&cursor), near_id = mp_read_bytes(&other);
    return id_bucket((const char *)id.data) == id_bucket((const char *)near_id.data) ||
           part("expected an id in the same bucket", value, reading, why, why_size);
}

static bool match_value(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    struct buf expected = BUF_EMPTY;
    const char *start = reading->at;
    value_write(reading, &expected);
    bool is_equal = bytes_equal(buf_bytes(&expected), value);
    buf_fini(&expected);
    if (is_equal) return true;
    char what[120];
    snprintf(what, sizeof(what), "expected %.*s", (int)(reading->at - start), start);
    return part(what, value, reading, why, why_size);
}

bool value_match(struct reading *reading, struct bytes value, char *why, size_t why_size) {
    reading_has_more(reading);
    if (accept(reading, "_")) return true;
    if (accept(reading, "id43")) return match_id(reading, value, why, why_size);
    if (accept(reading, "near")) return match_near(reading, value, why, why_size);
    if (accept(reading, ">$")) return match_greater(reading, value, why, why_size);
    if (accept(reading, "$")) return match_capture(reading, value, why, why_size);
    if (accept(reading, "{")) return match_map(reading, value, why, why_size);
    if (accept(reading, "[")) return match_array(reading, value, why, why_size);
    return match_value(reading, value, why, why_size);
}
