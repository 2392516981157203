/* Requests: the bytes of one MessagePack-RPC message to typed arguments, after the schema's tables.
 *
 * One walk over the message, values checked as they are met, nothing copied but numbers. A reader that returns false
 * has either filled the error (the request is refused) or left the cursor with MP_TRUNCATED (more bytes are needed) or
 * MP_MALFORMED (never MessagePack). A refused message is walked once more, to its end, by the scan: only a message that
 * is whole may be refused, and what stands behind it still counts. Pure but for the sentence's buffer; any thread. */
#include "wire/codec.h"

#include <assert.h>
#include <math.h>

#include "base/utf8.h"
#include "wire/refusal.h"
#include "wire/tables.h"

/* Moments are within the years -9999 to 9999 (proleptic Gregorian). */
#define MOMENT_MIN_MS INT64_C(-377705116800000)
#define MOMENT_MAX_MS INT64_C(253402300799999)
#define UINT53_MAX    ((INT64_C(1) << 53) - 1)

/* One request being read. */
struct reading {
    struct mp_cursor cursor;
    struct subject subject;
};

/* ---- what can be wrong with one value */

/* No value stands there to be refused: the bytes end, or it is 0xc1. Nothing is said then, since a message that comes
 * in pieces passes here once for each piece. */
static bool is_lacking(struct reading *reading, enum mp_type type) {
    if (type != MP_END && type != MP_NEVER) return false;
    reading->cursor.error = type == MP_END ? MP_TRUNCATED : MP_MALFORMED;
    return true;
}

/* The value is of another type than its argument takes. */
static bool refuse_type(struct reading *reading) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (is_lacking(reading, type)) return false;
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is %s", refusal_type_name(type));
}

/* After a read: was it refused for its form? A text or container that is not all there is no refusal. */
static bool is_read(const struct reading *reading) {
    return reading->cursor.error == MP_OK;
}

/* The name of an element in sentences: "ids[3]"; the argument itself where index is below 0. */
static bool refuse_text(struct reading *reading, int64_t index, const char *problem, int64_t limit) {
    if (index < 0) return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, limit, "%s", problem);
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, limit, "element %lld %s", (long long)index, problem);
}

/* A text of `min` to `max` bytes of UTF-8. */
static inline bool read_text(struct reading *reading, int64_t index, size_t min, size_t max, struct bytes *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return refuse_type(reading);
    struct bytes text = mp_read_bytes(&reading->cursor);
    if (!is_read(reading)) return false;
    if (text.size < min) return refuse_text(reading, index, "is empty", -1);
    if (text.size > max) return refuse_text(reading, index, "is too long", (int64_t)max);
    if (!utf8_is_valid(text)) return refuse_text(reading, index, "is not valid UTF-8", -1);
    *out = text;
    return true;
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

static bool read_number(struct reading *reading, int64_t min, int64_t max, int64_t *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_INTEGER && type != MP_FLOAT) return refuse_type(reading);
    int64_t value = mp_read_int(&reading->cursor, min, max);
    if (reading->cursor.error == MP_RANGE) return refuse_number(reading, min, max);
    *out = value;
    return is_read(reading);
}

static bool read_bool(struct reading *reading, bool *out) {
    if (mp_peek(&reading->cursor) != MP_BOOL) return refuse_type(reading);
    *out = mp_read_bool(&reading->cursor);
    return true;
}

/* ---- values that are handed out as they stand */

static bool read_value(struct reading *reading, struct bytes *out) {
    struct bytes value = mp_read_value(&reading->cursor, LIMIT_MAX_DATA_DEPTH);
    if (reading->cursor.error == MP_DEEP) {
        return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, LIMIT_MAX_DATA_DEPTH, "is nested too deep");
    }
    if (!is_read(reading)) return false;
    if (value.size > LIMIT_MAX_DATA) {
        return refuse_argument(&reading->subject, ERROR_TOO_BIG, LIMIT_MAX_DATA, "has %zu bytes", value.size);
    }
    *out = value;
    return true;
}

static bool read_map_value(struct reading *reading, struct bytes *out) {
    if (mp_peek(&reading->cursor) != MP_MAP) return refuse_type(reading);
    return read_value(reading, out);
}

/* The head of an array (or map) of at most `limit` elements (or pairs). */
static bool read_count(struct reading *reading, enum mp_type type, uint32_t limit, uint32_t *count) {
    if (mp_peek(&reading->cursor) != type) return refuse_type(reading);
    *count = type == MP_ARRAY ? mp_read_array(&reading->cursor) : mp_read_map(&reading->cursor);
    if (!is_read(reading)) return false;
    if (*count > limit)
        return refuse_argument(&reading->subject, ERROR_TOO_BIG, limit, "has %u elements", (unsigned)*count);
    return true;
}

static bool read_ids(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_IDS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes id;
        if (!read_text(reading, i, 1, LIMIT_MAX_ID, &id)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

/* Keys of data: bytes, whatever they are. Data is kept byte for byte, so a key in it need not be UTF-8. */
static bool read_key(struct reading *reading) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return refuse_type(reading);
    mp_read_bytes(&reading->cursor);
    return is_read(reading);
}

static bool read_keys(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_KEYS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_key(reading)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

static bool read_deltas(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_MAP, LIMIT_MAX_KEYS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_key(reading)) return false;
        enum mp_type type = mp_peek(&reading->cursor);
        if (type != MP_INTEGER && type != MP_FLOAT) return refuse_type(reading);
        double delta = mp_read_double(&reading->cursor);
        if (!is_read(reading)) return false;
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
    if (type != MP_STR && type != MP_BIN) return refuse_type(reading);
    struct bytes text = mp_read_bytes(&reading->cursor);
    if (!is_read(reading)) return false;
    *out = word_find(words, count, text);
    if (*out >= 0) return true;
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "does not know \"%s\"", refusal_quote(text).text);
}

/* An array of words as bits. More elements than there are words would only repeat some. */
static bool read_words(struct reading *reading, const struct word *words, unsigned count, uint64_t *out) {
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

static bool read_statuses(struct reading *reading, uint64_t *out) {
    if (mp_peek(&reading->cursor) == MP_ARRAY) {
        if (!read_words(reading, status_words, STATUS_END, out)) return false;
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

static bool read_events(struct reading *reading, uint64_t *out) {
    if (mp_peek(&reading->cursor) == MP_ARRAY) {
        if (!read_words(reading, event_words, EVENT_END, out)) return false;
        return *out != 0 || refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is empty");
    }
    int number = 0;
    if (!read_word(reading, event_words, EVENT_END, &number)) return false;
    *out = EVENT_BIT(number);
    return true;
}

static bool read_choice(struct reading *reading, enum argument_type type, void *out) {
    int number = 0;
    if (!read_word(reading, argument_words[type].words, argument_words[type].count, &number)) return false;
    unsigned value = (unsigned)number;
    _Static_assert(sizeof(enum set_mode) == sizeof value, "the schema's choices are enums of this size");
    memcpy(out, &value, sizeof value);
    return true;
}

/* ---- what a choice is made of */

/* Whatever a visitor sent: nothing about it is the caller's mistake. */
static bool read_presented(struct reading *reading, struct bytes *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return refuse_type(reading);
    struct bytes presented = mp_read_bytes(&reading->cursor);
    if (!is_read(reading)) return false;
    *out = presented;
    return true;
}

/* An id, or the map {key: text}. */
static bool read_id_choice(struct reading *reading, enum id_kind kind, const char *key, struct id_choice *out) {
    if (mp_peek(&reading->cursor) != MP_MAP) {
        out->kind = ID_PLAIN;
        return read_text(reading, -1, 1, LIMIT_MAX_ID, &out->text);
    }
    uint32_t count = mp_read_map(&reading->cursor);
    if (!is_read(reading)) return false;
    bool is_key = count == 1 && (mp_peek(&reading->cursor) == MP_STR || mp_peek(&reading->cursor) == MP_BIN);
    struct bytes found = is_key ? mp_read_bytes(&reading->cursor) : BYTES_ABSENT;
    if (reading->cursor.error == MP_TRUNCATED) return false;
    if (!is_key || !bytes_equal(found, bytes_of(key, strlen(key))))
        return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is a map other than {%s: str}", key);
    out->kind = kind;
    return read_text(reading, -1, 1, kind == ID_COOKIE ? LIMIT_MAX_COOKIE : LIMIT_MAX_ID, &out->text);
}

static bool read_tags(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_TAGS, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes tag;
        if (!read_text(reading, i, 1, TAG_SIZE_MAX, &tag)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

static bool read_score(struct reading *reading, double *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_INTEGER && type != MP_FLOAT) return refuse_type(reading);
    struct mp_cursor before = reading->cursor;
    double value = mp_read_double(&reading->cursor);
    if (!is_read(reading)) return false;
    if (value >= 0 && value <= (double)UINT53_MAX) {
        *out = value;
        return true;
    }
    reading->cursor = before;
    return refuse_number(reading, 0, UINT53_MAX);
}

static bool read_status_codes(struct reading *reading, struct status_codes *out) {
    uint32_t count = 0;
    memset(out, 0, sizeof(*out));
    if (!read_count(reading, MP_ARRAY, STATUS_CODES_MAX, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        int64_t code;
        if (!read_number(reading, STATUS_CODE_FIRST, STATUS_CODE_END - 1, &code)) return false;
        out->bits[code / 64] |= UINT64_C(1) << (code % 64);
    }
    return true;
}

static bool read_mark_outcome(struct reading *reading, struct mark_outcome *out) {
    static const struct word words[] = {
        [MARK_GOOD] = {"good", 4}, [MARK_BAD] = {"bad", 3}, [MARK_RETIRE] = {"retire", 6}};
    enum mp_type type = mp_peek(&reading->cursor);
    int number = MARK_STATUS_CODE;
    int64_t code = 0;
    bool is_word = type == MP_STR || type == MP_BIN;
    if (is_word ? !read_word(reading, words, MARK_STATUS_CODE, &number)
                : !read_number(reading, STATUS_CODE_FIRST, STATUS_CODE_END - 1, &code))
        return false;
    *out = (struct mark_outcome){(enum mark_kind)number, (uint32_t)code};
    return true;
}

static bool read_records(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, LIMIT_MAX_LIST, &count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes record;
        if (!read_map_value(reading, &record)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

static bool read_secrets(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    uint32_t count = 0;
    if (!read_count(reading, MP_ARRAY, SECRETS_MAX, &count)) return false;
    if (count == 0) return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is empty");
    for (uint32_t i = 0; i < count; i++) {
        enum mp_type type = mp_peek(&reading->cursor);
        if (type != MP_STR && type != MP_BIN) return refuse_type(reading);
        struct bytes secret = mp_read_bytes(&reading->cursor);
        if (!is_read(reading)) return false;
        if (secret.size < 1 || secret.size > SECRET_SIZE_MAX)
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, SECRET_SIZE_MAX,
                                   "has a secret that is empty or too long");
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

static bool read_cookie_secure(struct reading *reading, enum cookie_secure *out) {
    static const struct word words[] = {[COOKIE_SECURE_AUTO] = {"auto", 4}};
    int number = 0;
    bool is_true = false;
    if (mp_peek(&reading->cursor) == MP_BOOL) {
        if (!read_bool(reading, &is_true)) return false;
        number = is_true ? COOKIE_SECURE_TRUE : COOKIE_SECURE_FALSE;
    } else if (!read_word(reading, words, COOKIE_SECURE_AUTO + 1, &number)) {
        return false;
    }
    *out = (enum cookie_secure)number;
    return true;
}

static bool read_same_site(struct reading *reading, enum same_site *out) {
    static const struct word words[] = {[SAME_SITE_STRICT] = {"strict", 6},
                                        [SAME_SITE_LAX] = {"lax", 3},
                                        [SAME_SITE_NONE] = {"none", 4},
                                        [SAME_SITE_AUTO] = {"auto", 4}};
    int number = 0;
    bool is_true = false;
    if (mp_peek(&reading->cursor) == MP_BOOL) {
        if (!read_bool(reading, &is_true)) return false;
        number = is_true ? SAME_SITE_STRICT : SAME_SITE_ABSENT;
    } else if (!read_word(reading, words, SAME_SITE_AUTO + 1, &number)) {
        return false;
    }
    *out = (enum same_site)number;
    return true;
}

/* What stands in a header must not end it: printable ASCII, and no semicolon. */
static bool read_cookie_text(struct reading *reading, struct cookie_text *out) {
    struct bytes text = BYTES_ABSENT;
    if (!read_text(reading, -1, 0, sizeof(out->text), &text)) return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e || text.data[i] == ';')
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1,
                                   "has a character that cannot stand in a cookie");
    out->size = (uint8_t)text.size;
    if (text.size) memcpy(out->text, text.data, text.size);
    return true;
}

/* ---- maps of arguments: options, timeouts, a policy */

static bool read_argument(struct reading *reading, void *place);

/* Where the pairs of a map of arguments go. */
struct argument_map {
    const struct argument *arguments;
    unsigned count;
    void *values;          /* what the arguments' offsets count from */
    uint64_t *given, *nil; /* bits of what was there */
};

static const struct argument *argument_find(const struct argument_map *map, struct bytes key) {
    for (unsigned i = 0; i < map->count; i++) {
        const struct argument *argument = &map->arguments[i];
        if (argument->name_size == key.size && memcmp(argument->name, key.data, key.size) == 0) return argument;
    }
    return NULL;
}

/* Reads a key of the map and finds its argument; NULL with a refusal, or where bytes are lacking. */
static const struct argument *read_argument_name(struct reading *reading, const struct argument_map *map) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) {
        if (!is_lacking(reading, type))
            refuse_request(&reading->subject, ERROR_BAD_REQUEST, "the name of an option is a str, here it is %s",
                           refusal_type_name(type));
        return NULL;
    }
    struct bytes key = mp_read_bytes(&reading->cursor);
    if (!is_read(reading)) return NULL;
    const struct argument *argument = argument_find(map, key);
    if (!argument)
        refuse_request(&reading->subject, ERROR_BAD_REQUEST, "there is no option \"%s%s\"", reading->subject.within,
                       refusal_quote(key).text);
    return argument;
}

/* `count` pairs of name and value. A name that comes twice is refused: which one did the caller mean? */
static bool read_argument_pairs(struct reading *reading, const struct argument_map *map, uint32_t count) {
    uint64_t seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct argument *argument = read_argument_name(reading, map);
        if (!argument) return false;
        reading->subject.argument = argument;
        if (seen & argument->bit) {
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is given twice");
        }
        seen |= argument->bit;
        if (mp_read_nil(&reading->cursor)) {
            if (!argument->is_nullable) continue;
            *map->nil |= argument->bit;
        } else if (!read_argument(reading, (char *)map->values + argument->offset)) {
            return false;
        }
        *map->given |= argument->bit;
    }
    return true;
}

/* A map of arguments. An empty array counts as an empty map: encoders of languages whose one container is both send it.
 */
static bool read_argument_map(struct reading *reading, const struct argument_map *map) {
    if (mp_peek(&reading->cursor) == MP_ARRAY) {
        struct mp_cursor ahead = reading->cursor;
        if (mp_read_array(&ahead) == 0 && ahead.error == MP_OK) {
            reading->cursor = ahead;
            return true;
        }
    }
    if (mp_peek(&reading->cursor) != MP_MAP) return refuse_type(reading);
    uint32_t count = mp_read_map(&reading->cursor);
    return is_read(reading) && read_argument_pairs(reading, map, count);
}

/* A map of arguments that is itself an argument: its members are named with `within` before them. */
static bool read_inner_map(struct reading *reading, const char *within, const struct argument_map *map) {
    struct subject outer = reading->subject;
    if (mp_peek(&reading->cursor) == MP_MAP) reading->subject.within = within; /* else the map itself is wrong */
    if (!read_argument_map(reading, map)) return false;
    reading->subject = outer;
    return true;
}

static bool read_timeouts(struct reading *reading, struct timeouts *out) {
    return read_inner_map(reading, "timeouts.",
                          &(struct argument_map){timeouts_members, timeouts_member_count, out, &out->given, &out->nil});
}

/* Bound to nothing would be bound to anything. */
static bool read_binding(struct reading *reading, struct binding *out) {
    struct argument_map map = {binding_members, binding_member_count, out, &out->given, &out->nil};
    if (!read_inner_map(reading, "bind.", &map)) return false;
    if (out->given & ~out->nil) return true;
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "names nothing to bind to");
}

/* They stand in a policy, or are an option of their own. */
static bool read_cookie_attributes(struct reading *reading, struct cookie_attributes *out) {
    return read_inner_map(
        reading, *reading->subject.within ? "policy.cookie." : "attributes.",
        &(struct argument_map){cookie_attributes_members, cookie_attributes_member_count, out, &out->given, &out->nil});
}

static bool read_pool_policy(struct reading *reading, struct pool_policy_change *out) {
    return read_inner_map(
        reading, "policy.",
        &(struct argument_map){pool_policy_members, pool_policy_member_count, &out->values, &out->given, &out->nil});
}

static bool read_policy(struct reading *reading, struct policy_change *out) {
    return read_inner_map(
        reading, "policy.",
        &(struct argument_map){policy_members, policy_member_count, &out->values, &out->given, &out->nil});
}

/* ---- one argument of any type */

static bool read_argument(struct reading *reading, void *place) {
    switch ((enum argument_type)reading->subject.argument->type) {
    case ARGUMENT_NAMESPACE: return read_text(reading, -1, 1, LIMIT_MAX_NAMESPACE, place);
    case ARGUMENT_ID:
    case ARGUMENT_NAME: return read_text(reading, -1, 1, LIMIT_MAX_ID, place);
    case ARGUMENT_TEXT: return read_text(reading, -1, 0, LIMIT_MAX_TEXT, place);
    case ARGUMENT_COOKIE: return read_text(reading, -1, 0, LIMIT_MAX_COOKIE, place);
    case ARGUMENT_PRESENTED: return read_presented(reading, place);
    case ARGUMENT_VALUE: return read_value(reading, place);
    case ARGUMENT_MAP: return read_map_value(reading, place);
    case ARGUMENT_IDS: return read_ids(reading, place);
    case ARGUMENT_KEYS: return read_keys(reading, place);
    case ARGUMENT_DELTAS: return read_deltas(reading, place);
    case ARGUMENT_BOOL: return read_bool(reading, place);
    case ARGUMENT_UINT53:
    case ARGUMENT_COUNT: return read_number(reading, 0, UINT53_MAX, place);
    case ARGUMENT_DURATION: return read_number(reading, 0, LIMIT_MAX_DURATION_MS, place);
    case ARGUMENT_MOMENT: return read_number(reading, MOMENT_MIN_MS, MOMENT_MAX_MS, place);
    case ARGUMENT_FIELDS: return read_words(reading, field_words, FIELD_END, place);
    case ARGUMENT_STATUSES: return read_statuses(reading, place);
    case ARGUMENT_SET_MODE:
    case ARGUMENT_PATCH_TARGET:
    case ARGUMENT_LIST_ORDER:
    case ARGUMENT_POOL_STRATEGY:
    case ARGUMENT_POOL_CREATE:
    case ARGUMENT_BINDING_POLICY:
    case ARGUMENT_COOKIE_PRIORITY:
    case ARGUMENT_SESSION_LIMIT_POLICY: return read_choice(reading, reading->subject.argument->type, place);
    case ARGUMENT_TIMEOUTS: return read_timeouts(reading, place);
    case ARGUMENT_POLICY: return read_policy(reading, place);
    case ARGUMENT_POOL_POLICY: return read_pool_policy(reading, place);
    case ARGUMENT_BINDING: return read_binding(reading, place);
    case ARGUMENT_COOKIE_ATTRIBUTES: return read_cookie_attributes(reading, place);
    case ARGUMENT_EVENT_KINDS: return read_events(reading, place);
    case ARGUMENT_ID_OR_HANDLE: return read_id_choice(reading, ID_HANDLE, "handle", place);
    case ARGUMENT_ID_OR_COOKIE: return read_id_choice(reading, ID_COOKIE, "cookie", place);
    case ARGUMENT_TAGS: return read_tags(reading, place);
    case ARGUMENT_SCORE: return read_score(reading, place);
    case ARGUMENT_STATUS_CODES: return read_status_codes(reading, place);
    case ARGUMENT_MARK_OUTCOME: return read_mark_outcome(reading, place);
    case ARGUMENT_RECORDS: return read_records(reading, place);
    case ARGUMENT_SECRETS: return read_secrets(reading, place);
    case ARGUMENT_COOKIE_SECURE: return read_cookie_secure(reading, place);
    case ARGUMENT_SAME_SITE: return read_same_site(reading, place);
    case ARGUMENT_COOKIE_TEXT: return read_cookie_text(reading, place);
    case ARGUMENT_TYPE_COUNT: break;
    }
    assert(!"an argument of a type that the schema does not have");
    return false;
}

/* ---- params: the positional arguments, then the optional map */

/* A positional argument. nil is a value where any value is taken, the default for a namespace, and else no answer. */
static inline bool read_positional(struct reading *reading, const struct argument *argument, union op_args *args) {
    reading->subject.argument = argument;
    if (argument->type != ARGUMENT_VALUE && mp_read_nil(&reading->cursor)) {
        if (argument->type == ARGUMENT_NAMESPACE) return true;
        return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is nil and must be given");
    }
    char *place = (char *)args + argument->offset;
    /* What nearly every request begins with stands before the switch. */
    if (argument->type == ARGUMENT_ID) {
        if (!read_text(reading, -1, 1, LIMIT_MAX_ID, (struct bytes *)(void *)place)) return false;
    } else if (argument->type == ARGUMENT_NAMESPACE) {
        if (!read_text(reading, -1, 1, LIMIT_MAX_NAMESPACE, (struct bytes *)(void *)place)) return false;
    } else if (!read_argument(reading, place)) {
        return false;
    }
    args->any.given |= argument->bit;
    return true;
}

static bool read_options(struct reading *reading, const struct op_shape *shape, union op_args *args) {
    if (mp_read_nil(&reading->cursor)) return true;
    enum mp_type type = mp_peek(&reading->cursor);
    if (is_lacking(reading, type)) return false;
    if (type != MP_MAP && type != MP_ARRAY)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST, "the options are a map, here they are %s",
                              refusal_type_name(type));
    unsigned count = shape->count - shape->positional_count; /* an operation without arguments has no table */
    struct argument_map map = {count ? &shape->arguments[shape->positional_count] : NULL, count, args, &args->any.given,
                               &args->any.nil};
    /* A sentence about the options as a whole needs something to name. */
    static const struct argument options = {.name = "options", .name_size = 7, .type = ARGUMENT_MAP};
    reading->subject.argument = &options;
    return read_argument_map(reading, &map);
}

static bool read_params(struct reading *reading, union op_args *args) {
    const struct op_shape *shape = &op_shapes[reading->subject.op];
    memset(args, 0, shape->args_size);
    enum mp_type type = mp_peek(&reading->cursor);
    if (is_lacking(reading, type)) return false;
    if (type != MP_ARRAY)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST,
                              "params is an array of the arguments, here it is %s", refusal_type_name(type));
    uint32_t count = mp_read_array(&reading->cursor);
    if (!is_read(reading)) return false;
    if (count < shape->positional_count)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST, "the argument %s is missing",
                              shape->arguments[count].name);
    if (count > shape->positional_count + 1u)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST,
                              "params has %u elements; there are %u arguments and a map of options", (unsigned)count,
                              (unsigned)shape->positional_count);
    for (unsigned i = 0; i < shape->positional_count; i++) {
        if (!read_positional(reading, &shape->arguments[i], args)) return false;
    }
    return count == shape->positional_count || read_options(reading, shape, args);
}

/* ---- the envelope */

/* The operation of a name; OP_COUNT: there is none. */
static inline enum op method_find(struct bytes name) {
    if (name.size < 8) return OP_COUNT;
    uint64_t slot = (utf8_word(name.data + name.size - 8) ^ name.size) * method_multiplier >> METHOD_SLOT_SHIFT;
    const struct method *method = &method_slots[slot];
    bool is_it = method->size == name.size && memcmp(method->name, name.data, name.size) == 0;
    return is_it ? (enum op)method->op : OP_COUNT;
}

static bool read_method_number(struct reading *reading) {
    int64_t number = mp_read_int(&reading->cursor, INT64_MIN, INT64_MAX);
    if (reading->cursor.error == MP_RANGE) {
        reading->cursor.error = MP_OK;
        number = -1;
    }
    if (!is_read(reading)) return false;
    unsigned found = number >= 0 && number < wire_id_end ? ops_by_wire_id[number] : 0;
    if (!found)
        return refuse_request(&reading->subject, ERROR_UNKNOWN_METHOD,
                              "There is no method with this number; server.hello answers which there are");
    reading->subject.op = (enum op)(found - 1);
    return true;
}

static inline bool read_method(struct reading *reading, struct frame *frame) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type == MP_INTEGER || type == MP_FLOAT) return read_method_number(reading);
    if (is_lacking(reading, type)) return false;
    if (type != MP_STR && type != MP_BIN)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST,
                              "The method is a name like \"session.get\" or its number, here it is %s",
                              refusal_type_name(type));
    frame->method = mp_read_bytes(&reading->cursor);
    if (!is_read(reading)) return false;
    reading->subject.op = method_find(frame->method);
    if (reading->subject.op != OP_COUNT) return true;
    return refuse_request(&reading->subject, ERROR_UNKNOWN_METHOD,
                          "There is no method \"%s\"; server.hello answers which there are",
                          refusal_quote(frame->method).text);
}

/* The count of the outermost array. It is judged before its elements are there: an envelope that declares a million
 * elements will never be one of ours. */
static bool read_envelope_head(struct mp_cursor *cursor, uint32_t *count) {
    size_t left = (size_t)(cursor->end - cursor->at);
    if (left == 0) {
        cursor->error = MP_TRUNCATED;
        return false;
    }
    uint8_t first = *cursor->at;
    size_t size = (first & 0xf0) == 0x90 ? 1 : first == 0xdc ? 3 : first == 0xdd ? 5 : 0;
    if (size == 0) cursor->error = MP_MISTYPED;
    if (size > left) cursor->error = MP_TRUNCATED;
    if (cursor->error != MP_OK) return false;
    *count = size == 1 ? first & 0x0f : 0;
    for (size_t i = 1; i < size; i++) *count = *count << 8 | cursor->at[i];
    cursor->at += size;
    return true;
}

/* Type and msgid; false: not an envelope of ours, or bytes are lacking (the cursor says so). */
static inline bool read_envelope(struct mp_cursor *cursor, struct frame *frame) {
    uint32_t count = 0;
    if (!read_envelope_head(cursor, &count)) return false;
    if (count != 3 && count != 4) return false;
    int64_t type = mp_read_int(cursor, 0, 2);
    if (cursor->error != MP_OK || type != (count == 4 ? 0 : 2)) return false;
    frame->is_notification = count == 3;
    if (count == 4) frame->msgid = (uint64_t)mp_read_int(cursor, 0, UINT32_MAX);
    return cursor->error == MP_OK;
}

static enum decode_state broken(struct error *error, const char *message) {
    *error = error_make(ERROR_BAD_REQUEST, message);
    return DECODE_BROKEN;
}

/* What a message that was not understood is: it must be seen to its end before anything is said about it. */
static enum decode_state refused(struct bytes bytes, struct frame *frame, struct error *error) {
    struct mp_scan scan = {0};
    enum mp_error wrong;
    if (!mp_scan_feed(&scan, bytes, &wrong)) {
        if (wrong == MP_TRUNCATED) return DECODE_INCOMPLETE;
        return broken(error, "The bytes are not MessagePack (0xc1 is no value); the connection closes.");
    }
    frame->size = scan.scanned;
    return DECODE_REFUSED;
}

enum decode_state codec_decode(struct bytes bytes, struct frame *frame, union op_args *args, struct error *error) {
    struct reading reading = {.cursor = mp_cursor_of(bytes),
                              .subject = {.op = OP_COUNT, .within = "", .argument = NULL, .error = error}};
    *frame = (struct frame){.op = OP_COUNT};
    if (!read_envelope(&reading.cursor, frame)) {
        if (reading.cursor.error == MP_TRUNCATED) return DECODE_INCOMPLETE;
        return broken(error, "Not MessagePack-RPC: send [0, msgid, method, params] or [2, method, params], with msgid "
                             "from 0 to 4294967295; the connection closes.");
    }
    bool is_understood = read_method(&reading, frame) && read_params(&reading, args);
    frame->op = reading.subject.op;
    if (is_understood) {
        frame->size = (size_t)(reading.cursor.at - bytes.data);
        return DECODE_OK;
    }
    if (reading.cursor.error == MP_TRUNCATED) return DECODE_INCOMPLETE;
    return refused(bytes, frame, error);
}
