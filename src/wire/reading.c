/* See reading.h. */
#include "wire/reading.h"

#include <assert.h>
#include <math.h>

/* ---- what can be wrong with one value */

bool reading_is_lacking(struct reading *reading, enum mp_type type) {
    if (type != MP_END && type != MP_NEVER) return false;
    reading->cursor.error = type == MP_END ? MP_TRUNCATED : MP_MALFORMED;
    return true;
}

bool reading_refuse_type(struct reading *reading) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (reading_is_lacking(reading, type)) return false;
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is %s", refusal_type_name(type));
}

bool reading_refuse_text(struct reading *reading, int64_t index, const char *problem, int64_t limit) {
    if (index < 0) return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, limit, "%s", problem);
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, limit, "element %lld %s", (long long)index, problem);
}

/* Why the number at `at` is none of min to max. */
static bool refuse_number(struct reading *reading, int64_t min, int64_t max) {
    struct mp_cursor again = reading->cursor;
    again.error = MP_OK;
    double value = mp_read_double(&again);
    const char *problem = isnan(value)            ? "is not a number (NaN)"
                          : isinf(value)          ? "is infinite"
                          : value < 0 && min == 0 ? "is negative"
                          : value < (double)min   ? "is too small"
                          : value > (double)max   ? "is too large"
                                                  : "is not a whole number";
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "%s", problem);
}

bool reading_number(struct reading *reading, int64_t min, int64_t max, int64_t *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_INTEGER && type != MP_FLOAT) return reading_refuse_type(reading);
    int64_t value = mp_read_int(&reading->cursor, min, max);
    if (reading->cursor.error == MP_RANGE) return refuse_number(reading, min, max);
    *out = value;
    return reading_is_fine(reading);
}

bool reading_bool(struct reading *reading, bool *out) {
    if (mp_peek(&reading->cursor) != MP_BOOL) return reading_refuse_type(reading);
    *out = mp_read_bool(&reading->cursor);
    return true;
}

/* ---- values that are handed out as they stand */

bool reading_value(struct reading *reading, struct bytes *out) {
    struct bytes value = mp_read_value(&reading->cursor, LIMIT_MAX_DATA_DEPTH);
    if (reading->cursor.error == MP_DEEP) {
        return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, LIMIT_MAX_DATA_DEPTH, "is nested too deep");
    }
    if (!reading_is_fine(reading)) return false;
    if (value.size > LIMIT_MAX_DATA) {
        return refuse_argument(&reading->subject, ERROR_TOO_BIG, LIMIT_MAX_DATA, "has %zu bytes", value.size);
    }
    *out = value;
    return true;
}

bool reading_map_value(struct reading *reading, struct bytes *out) {
    if (mp_peek(&reading->cursor) != MP_MAP) return reading_refuse_type(reading);
    return reading_value(reading, out);
}

/* The head of an array (or map) of at most `limit` elements (or pairs). */
static bool read_count(struct reading *reading, enum mp_type type, uint32_t limit, uint32_t *count) {
    if (mp_peek(&reading->cursor) != type) return reading_refuse_type(reading);
    *count = type == MP_ARRAY ? mp_read_array(&reading->cursor) : mp_read_map(&reading->cursor);
    if (!reading_is_fine(reading)) return false;
    if (*count > limit)
        return refuse_argument(&reading->subject, ERROR_TOO_BIG, limit, "has %u elements", (unsigned)*count);
    return true;
}

bool reading_ids(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_IDS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes id;
        if (!reading_text(reading, i, 1, LIMIT_MAX_ID, &id)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

/* Keys of data: bytes, whatever they are. Data is kept byte for byte, so a key in it need not be UTF-8. */
static bool read_key(struct reading *reading) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return reading_refuse_type(reading);
    mp_read_bytes(&reading->cursor);
    return reading_is_fine(reading);
}

bool reading_keys(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_KEYS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_key(reading)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

bool reading_deltas(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_MAP, LIMIT_MAX_KEYS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_key(reading)) return false;
        enum mp_type type = mp_peek(&reading->cursor);
        if (type != MP_INTEGER && type != MP_FLOAT) return reading_refuse_type(reading);
        double delta = mp_read_double(&reading->cursor);
        if (!reading_is_fine(reading)) return false;
        if (!isfinite(delta))
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "has a number that is not finite");
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

/* ---- words: names of fields, statuses and choices */

/* The number of the word; -1: it is none of them. */
static int word_find(const struct word *words, unsigned count, struct bytes text) {
    for (unsigned i = 0; i < count; i++) {
        if (words[i].text && words[i].size == text.size && memcmp(words[i].text, text.data, text.size) == 0)
            return (int)i;
    }
    return -1;
}

/* Reads one word of the list; *out is its number. */
static bool read_word(struct reading *reading, const struct word *words, unsigned count, int *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return reading_refuse_type(reading);
    struct bytes text = mp_read_bytes(&reading->cursor);
    if (!reading_is_fine(reading)) return false;
    *out = word_find(words, count, text);
    if (*out >= 0) return true;
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "does not know \"%s\"", refusal_quote(text).text);
}

/* An array of words as bits. More elements than there are words would only repeat some. */
bool reading_words(struct reading *reading, const struct word *words, unsigned count, uint64_t *out) {
    uint32_t elements = 0;
    if (!read_count(reading, MP_ARRAY, UINT32_MAX, &elements)) return false;
    if (elements > count)
        return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "has more elements than there are names");
    uint64_t bits = 0;
    for (uint32_t i = 0; i < elements; i++) {
        int number = 0;
        if (!read_word(reading, words, count, &number)) return false;
        bits |= UINT64_C(1) << number;
    }
    *out = bits;
    return true;
}

bool reading_statuses(struct reading *reading, uint64_t *out) {
    if (mp_peek(&reading->cursor) == MP_ARRAY) {
        if (!reading_words(reading, status_words, STATUS_END, out)) return false;
        return *out != 0 || refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is empty");
    }
    struct mp_cursor ahead = reading->cursor;
    enum mp_type type = mp_peek(&ahead);
    if ((type == MP_STR || type == MP_BIN) && bytes_equal(mp_read_bytes(&ahead), BYTES_LITERAL("any"))) {
        reading->cursor = ahead;
        *out = STATUSES_KNOWN;
        return true;
    }
    int number = 0;
    if (!read_word(reading, status_words, STATUS_END, &number)) return false;
    *out = STATUS_BIT(number);
    return true;
}

bool reading_events(struct reading *reading, uint64_t *out) {
    if (mp_peek(&reading->cursor) == MP_ARRAY) {
        if (!reading_words(reading, event_words, EVENT_END, out)) return false;
        return *out != 0 || refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is empty");
    }
    int number = 0;
    if (!read_word(reading, event_words, EVENT_END, &number)) return false;
    *out = EVENT_BIT(number);
    return true;
}

bool reading_choice(struct reading *reading, enum argument_type type, void *out) {
    int number = 0;
    if (!read_word(reading, argument_words[type].words, argument_words[type].count, &number)) return false;
    unsigned value = (unsigned)number;
    _Static_assert(sizeof(enum set_mode) == sizeof value, "the schema's choices are enums of this size");
    memcpy(out, &value, sizeof value);
    return true;
}

/* ---- what a choice is made of */

/* Whatever a visitor sent: nothing about it is the caller's mistake. */
bool reading_presented(struct reading *reading, struct bytes *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return reading_refuse_type(reading);
    struct bytes presented = mp_read_bytes(&reading->cursor);
    if (!reading_is_fine(reading)) return false;
    *out = presented;
    return true;
}

/* An id, or the map {key: text}. */
bool reading_id_choice(struct reading *reading, enum id_kind kind, const char *key, struct id_choice *out) {
    if (mp_peek(&reading->cursor) != MP_MAP) {
        out->kind = ID_PLAIN;
        return reading_text(reading, -1, 1, LIMIT_MAX_ID, &out->text);
    }
    uint32_t count = mp_read_map(&reading->cursor);
    if (!reading_is_fine(reading)) return false;
    bool is_key = count == 1 && (mp_peek(&reading->cursor) == MP_STR || mp_peek(&reading->cursor) == MP_BIN);
    struct bytes found = is_key ? mp_read_bytes(&reading->cursor) : BYTES_ABSENT;
    if (reading->cursor.error == MP_TRUNCATED) return false;
    if (!is_key || !bytes_equal(found, bytes_of(key, strlen(key))))
        return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is a map other than {%s: str}", key);
    out->kind = kind;
    if (kind == ID_COOKIE) return reading_text(reading, -1, 0, LIMIT_MAX_COOKIE, &out->text);
    return reading_text(reading, -1, 1, LIMIT_MAX_ID, &out->text);
}

bool reading_tags(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_TAGS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes tag;
        if (!reading_text(reading, i, 1, TAG_SIZE_MAX, &tag)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

bool reading_score(struct reading *reading, double *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_INTEGER && type != MP_FLOAT) return reading_refuse_type(reading);
    struct mp_cursor before = reading->cursor;
    double value = mp_read_double(&reading->cursor);
    if (!reading_is_fine(reading)) return false;
    if (value >= 0 && value <= (double)UINT53_MAX) {
        *out = value;
        return true;
    }
    reading->cursor = before;
    return refuse_number(reading, 0, UINT53_MAX);
}

bool reading_status_codes(struct reading *reading, struct status_codes *out) {
    uint32_t count = 0;
    memset(out, 0, sizeof(*out));
    if (!read_count(reading, MP_ARRAY, STATUS_CODES_MAX, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        int64_t code = 0; /* a refusal answers false, which no compiler sees from here */
        if (!reading_number(reading, STATUS_CODE_FIRST, STATUS_CODE_END - 1, &code)) return false;
        out->bits[code / 64] |= UINT64_C(1) << (code % 64);
    }
    return true;
}

bool reading_mark_outcome(struct reading *reading, struct mark_outcome *out) {
    static const struct word words[] = {
        [MARK_GOOD] = {"good", 4}, [MARK_BAD] = {"bad", 3}, [MARK_RETIRE] = {"retire", 6}};
    enum mp_type type = mp_peek(&reading->cursor);
    int number = MARK_STATUS_CODE;
    int64_t code = 0;
    bool is_word = type == MP_STR || type == MP_BIN;
    if (is_word ? !read_word(reading, words, MARK_STATUS_CODE, &number)
                : !reading_number(reading, STATUS_CODE_FIRST, STATUS_CODE_END - 1, &code))
        return false;
    *out = (struct mark_outcome){(enum mark_kind)number, (uint32_t)code};
    return true;
}

bool reading_records(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_LIST, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes record;
        if (!reading_map_value(reading, &record)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

bool reading_secrets(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, SECRETS_MAX, &count)) return false;
    if (count == 0) return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is empty");
    for (uint32_t i = 0; i < count; i++) {
        enum mp_type type = mp_peek(&reading->cursor);
        if (type != MP_STR && type != MP_BIN) return reading_refuse_type(reading);
        struct bytes secret = mp_read_bytes(&reading->cursor);
        if (!reading_is_fine(reading)) return false;
        if (secret.size < 1 || secret.size > SECRET_SIZE_MAX)
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, SECRET_SIZE_MAX,
                                   "has a secret that is empty or too long");
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

bool reading_cookie_secure(struct reading *reading, enum cookie_secure *out) {
    static const struct word words[] = {[COOKIE_SECURE_AUTO] = {"auto", 4}};
    int number = 0;
    bool is_true = false;
    if (mp_peek(&reading->cursor) == MP_BOOL) {
        if (!reading_bool(reading, &is_true)) return false;
        number = is_true ? COOKIE_SECURE_TRUE : COOKIE_SECURE_FALSE;
    } else if (!read_word(reading, words, COOKIE_SECURE_AUTO + 1, &number)) {
        return false;
    }
    *out = (enum cookie_secure)number;
    return true;
}

bool reading_same_site(struct reading *reading, enum same_site *out) {
    static const struct word words[] = {[SAME_SITE_STRICT] = {"strict", 6},
                                        [SAME_SITE_LAX] = {"lax", 3},
                                        [SAME_SITE_NONE] = {"none", 4},
                                        [SAME_SITE_AUTO] = {"auto", 4}};
    int number = 0;
    bool is_true = false;
    if (mp_peek(&reading->cursor) == MP_BOOL) {
        if (!reading_bool(reading, &is_true)) return false;
        number = is_true ? SAME_SITE_STRICT : SAME_SITE_ABSENT;
    } else if (!read_word(reading, words, SAME_SITE_AUTO + 1, &number)) {
        return false;
    }
    *out = (enum same_site)number;
    return true;
}

/* What stands in a header must not end it: printable ASCII, and no semicolon. */
bool reading_cookie_text(struct reading *reading, struct cookie_text *out) {
    struct bytes text = BYTES_ABSENT;
    if (!reading_text(reading, -1, 0, sizeof(out->text), &text)) return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e || text.data[i] == ';')
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1,
                                   "has a character that cannot stand in a cookie");
    out->size = (uint8_t)text.size;
    if (text.size) memcpy(out->text, text.data, text.size);
    return true;
}
