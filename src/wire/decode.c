/* Requests: the bytes of one MessagePack-RPC message to typed arguments, after the schema's tables.
 *
 * One walk over the message, values checked as they are met (reading.h), nothing copied but numbers. A refused message
 * is walked once more, to its end, by the scan: only a message that is whole may be refused, and what stands behind it
 * still counts. Pure but for the sentence's buffer; any thread. */
#include "wire/codec.h"

#include <assert.h>

#include "wire/plain.h"
#include "wire/reading.h"

/* Moments are within the years -9999 to 9999 (proleptic Gregorian). */
#define MOMENT_MIN_MS INT64_C(-377705116800000)
#define MOMENT_MAX_MS INT64_C(253402300799999)

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
        if (!reading_is_lacking(reading, type))
            refuse_request(&reading->subject, ERROR_BAD_REQUEST, "the name of an option is a str, here it is %s",
                           refusal_type_name(type));
        return NULL;
    }
    struct bytes key = mp_read_bytes(&reading->cursor);
    if (!reading_is_fine(reading)) return NULL;
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
    if (mp_peek(&reading->cursor) != MP_MAP) return reading_refuse_type(reading);
    uint32_t count = mp_read_map(&reading->cursor);
    return reading_is_fine(reading) && read_argument_pairs(reading, map, count);
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

/* A whole map of a policy's entries, as it was written before: there is no request around it. */
static bool read_entries(struct bytes encoded, const struct argument_map *map) {
    struct error refusal;
    struct reading reading = {
        .cursor = mp_cursor_of(encoded),
        .subject = {.op = OP_COUNT, .within = "policy.", .argument = map->arguments, .error = &refusal}};
    return read_argument_map(&reading, map) && reading_is_fine(&reading) && reading.cursor.at == reading.cursor.end;
}

bool codec_read_policy(struct bytes encoded, struct policy *out) {
    struct policy_change change = {0};
    if (!read_entries(encoded, &(struct argument_map){policy_members, policy_member_count, &change.values,
                                                      &change.given, &change.nil}))
        return false;
    *out = policy_defaults;
    policy_apply(out, &change);
    return true;
}

bool codec_read_pool_policy(struct bytes encoded, struct pool_policy *out) {
    struct pool_policy_change change = {0};
    if (!read_entries(encoded, &(struct argument_map){pool_policy_members, pool_policy_member_count, &change.values,
                                                      &change.given, &change.nil}))
        return false;
    *out = pool_policy_defaults;
    pool_policy_apply(out, &change);
    return true;
}

/* ---- one argument of any type */

static bool read_argument(struct reading *reading, void *place) {
    switch ((enum argument_type)reading->subject.argument->type) {
    case ARGUMENT_NAMESPACE: return reading_text(reading, -1, 1, LIMIT_MAX_NAMESPACE, place);
    case ARGUMENT_ID:
    case ARGUMENT_NAME: return reading_text(reading, -1, 1, LIMIT_MAX_ID, place);
    case ARGUMENT_TEXT: return reading_text(reading, -1, 0, LIMIT_MAX_TEXT, place);
    case ARGUMENT_COOKIE: return reading_text(reading, -1, 0, LIMIT_MAX_COOKIE, place);
    case ARGUMENT_PRESENTED: return reading_presented(reading, place);
    case ARGUMENT_VALUE: return reading_value(reading, place);
    case ARGUMENT_MAP: return reading_map_value(reading, place);
    case ARGUMENT_IDS: return reading_ids(reading, place);
    case ARGUMENT_KEYS: return reading_keys(reading, place);
    case ARGUMENT_DELTAS: return reading_deltas(reading, place);
    case ARGUMENT_BOOL: return reading_bool(reading, place);
    case ARGUMENT_UINT53:
    case ARGUMENT_COUNT: return reading_number(reading, 0, UINT53_MAX, place);
    case ARGUMENT_DURATION: return reading_number(reading, 0, LIMIT_MAX_DURATION_MS, place);
    case ARGUMENT_MOMENT: return reading_number(reading, MOMENT_MIN_MS, MOMENT_MAX_MS, place);
    case ARGUMENT_FIELDS: return reading_words(reading, field_words, FIELD_END, place);
    case ARGUMENT_STATUSES: return reading_statuses(reading, place);
    case ARGUMENT_SET_MODE:
    case ARGUMENT_PATCH_TARGET:
    case ARGUMENT_LIST_ORDER:
    case ARGUMENT_POOL_STRATEGY:
    case ARGUMENT_POOL_CREATE:
    case ARGUMENT_BINDING_POLICY:
    case ARGUMENT_COOKIE_PRIORITY:
    case ARGUMENT_SESSION_LIMIT_POLICY: return reading_choice(reading, reading->subject.argument->type, place);
    case ARGUMENT_TIMEOUTS: return read_timeouts(reading, place);
    case ARGUMENT_POLICY: return read_policy(reading, place);
    case ARGUMENT_POOL_POLICY: return read_pool_policy(reading, place);
    case ARGUMENT_BINDING: return read_binding(reading, place);
    case ARGUMENT_COOKIE_ATTRIBUTES: return read_cookie_attributes(reading, place);
    case ARGUMENT_EVENT_KINDS: return reading_events(reading, place);
    case ARGUMENT_ID_OR_HANDLE: return reading_id_choice(reading, ID_HANDLE, "handle", place);
    case ARGUMENT_ID_OR_COOKIE: return reading_id_choice(reading, ID_COOKIE, "cookie", place);
    case ARGUMENT_TAGS: return reading_tags(reading, place);
    case ARGUMENT_SCORE: return reading_score(reading, place);
    case ARGUMENT_STATUS_CODES: return reading_status_codes(reading, place);
    case ARGUMENT_MARK_OUTCOME: return reading_mark_outcome(reading, place);
    case ARGUMENT_RECORDS: return reading_records(reading, place);
    case ARGUMENT_SECRETS: return reading_secrets(reading, place);
    case ARGUMENT_COOKIE_SECURE: return reading_cookie_secure(reading, place);
    case ARGUMENT_SAME_SITE: return reading_same_site(reading, place);
    case ARGUMENT_COOKIE_TEXT: return reading_cookie_text(reading, place);
    case ARGUMENT_TYPE_COUNT: break;
    }
    assert(!"an argument of a type that the schema does not have");
    return false;
}

/* ---- params: the positional arguments, then the optional map */

/* An id or a name is read in the same way whatever it is for; an id that stands there alone leaves the choice of what
 * names a session at its zero, ID_PLAIN. */
#define TYPE_BIT(type) (UINT64_C(1) << ARGUMENT_##type)
static const uint64_t text_types =
    TYPE_BIT(NAMESPACE) | TYPE_BIT(ID) | TYPE_BIT(NAME) | TYPE_BIT(ID_OR_COOKIE) | TYPE_BIT(ID_OR_HANDLE);
_Static_assert(ARGUMENT_TYPE_COUNT <= 64, "a type of argument is a bit of a word");
_Static_assert(ID_PLAIN == 0 && offsetof(struct id_choice, text) == 0, "an id alone is a choice");

/* A positional argument. nil is a value where any value is taken, the default for a namespace, and else no answer. */
static inline bool read_positional(struct reading *reading, const struct argument *argument, union op_args *args) {
    char *place = (char *)args + argument->offset;
    size_t size_max = argument->type == ARGUMENT_NAMESPACE ? LIMIT_MAX_NAMESPACE : LIMIT_MAX_ID;
    bool is_text = text_types >> argument->type & 1;
    reading->subject.argument = argument;
    if (!is_text || !plain_text(&reading->cursor, size_max, (struct bytes *)(void *)place)) {
        if (argument->type != ARGUMENT_VALUE && mp_read_nil(&reading->cursor)) {
            if (argument->type == ARGUMENT_NAMESPACE) return true;
            return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is nil and must be given");
        }
        if (!read_argument(reading, place)) return false;
    }
    args->any.given |= argument->bit;
    return true;
}

static bool read_options(struct reading *reading, const struct op_shape *shape, union op_args *args) {
    if (mp_read_nil(&reading->cursor)) return true;
    enum mp_type type = mp_peek(&reading->cursor);
    if (reading_is_lacking(reading, type)) return false;
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

/* The count of the params, whatever array's head they have. */
static bool read_params_head(struct reading *reading, uint32_t *count) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (reading_is_lacking(reading, type)) return false;
    if (type != MP_ARRAY)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST,
                              "params is an array of the arguments, here it is %s", refusal_type_name(type));
    *count = mp_read_array(&reading->cursor);
    return reading_is_fine(reading);
}

/* Most arguments' structs are no larger than this, and to clear it takes no call. */
#define ARGS_CLEARED_BYTES 96
_Static_assert(sizeof(union op_args) >= ARGS_CLEARED_BYTES, "what is cleared at once is there");

static inline void args_clear(union op_args *args, size_t size) {
    memset(args, 0, ARGS_CLEARED_BYTES);
    if (size > ARGS_CLEARED_BYTES) memset((char *)args + ARGS_CLEARED_BYTES, 0, size - ARGS_CLEARED_BYTES);
}

static inline bool read_params(struct reading *reading, union op_args *args) {
    const struct op_shape *shape = &op_shapes[reading->subject.op];
    uint32_t count = 0;
    args_clear(args, shape->args_size);
    if (!plain_array(&reading->cursor, &count) && !read_params_head(reading, &count)) return false;
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
    bool is_it = method->size == name.size && plain_is_name(name.data, method->name, name.size);
    return is_it ? (enum op)method->op : OP_COUNT;
}

static bool read_method_number(struct reading *reading) {
    int64_t number = mp_read_int(&reading->cursor, INT64_MIN, INT64_MAX);
    if (reading->cursor.error == MP_RANGE) {
        reading->cursor.error = MP_OK;
        number = -1;
    }
    if (!reading_is_fine(reading)) return false;
    unsigned found = number >= 0 && number < wire_id_end ? ops_by_wire_id[number] : 0;
    if (!found)
        return refuse_request(&reading->subject, ERROR_UNKNOWN_METHOD,
                              "There is no method with this number; server.hello answers which there are");
    reading->subject.op = (enum op)(found - 1);
    return true;
}

/* Whatever head the name has. */
static bool read_method_name(struct reading *reading, struct frame *frame) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (reading_is_lacking(reading, type)) return false;
    if (type != MP_STR && type != MP_BIN)
        return refuse_request(&reading->subject, ERROR_BAD_REQUEST,
                              "The method is a name like \"session.get\" or its number, here it is %s",
                              refusal_type_name(type));
    frame->method = mp_read_bytes(&reading->cursor);
    return reading_is_fine(reading);
}

static inline bool read_method(struct reading *reading, struct frame *frame) {
    if (!plain_word(&reading->cursor, &frame->method)) {
        enum mp_type type = mp_peek(&reading->cursor);
        if (type == MP_INTEGER || type == MP_FLOAT) return read_method_number(reading);
        if (!read_method_name(reading, frame)) return false;
    }
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
    if (plain_envelope(cursor, &frame->msgid)) return true;
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

/* ---- looking ahead */

/* The operation of a name in its usual form, or of a number of one byte. */
static inline enum op peek_method(struct mp_cursor *cursor) {
    struct bytes name;
    if (plain_word(cursor, &name)) return method_find(name);
    if (cursor->at == cursor->end || *cursor->at >= wire_id_end || *cursor->at >= 0x80) return OP_COUNT;
    unsigned found = ops_by_wire_id[*cursor->at++];
    return found ? (enum op)(found - 1) : OP_COUNT;
}

#define ID_TYPES (TYPE_BIT(ID) | TYPE_BIT(ID_OR_COOKIE) | TYPE_BIT(ID_OR_HANDLE))

bool codec_peek(struct bytes bytes, struct peeked *peeked) {
    struct mp_cursor cursor = mp_cursor_of(bytes);
    uint64_t msgid;
    uint32_t count;
    if (!plain_envelope(&cursor, &msgid)) return false;
    enum op op = peek_method(&cursor);
    if (op == OP_COUNT || op_shapes[op].positional_count < 2) return false;
    const struct argument *arguments = op_shapes[op].arguments;
    peeked->is_token = arguments[1].type == ARGUMENT_PRESENTED;
    bool is_id = ID_TYPES >> arguments[1].type & 1;
    if (arguments[0].type != ARGUMENT_NAMESPACE || !(is_id || peeked->is_token)) return false;
    if (!plain_array(&cursor, &count) || count < 2) return false; /* more bytes than elements are there */
    peeked->namespace = BYTES_ABSENT;
    if (*cursor.at == 0xc0)
        cursor.at++;
    else if (!plain_text(&cursor, LIMIT_MAX_NAMESPACE, &peeked->namespace))
        return false;
    return plain_text(&cursor, is_id ? LIMIT_MAX_ID : LIMIT_MAX_COOKIE, &peeked->name);
}
