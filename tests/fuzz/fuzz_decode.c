/* codec_decode over any bytes: what it answers holds together, an error is a valid reply, a decoded request is the same
 * in any place of memory and with other bytes behind it, and a shorter piece is never taken for the whole. */
#include "base/utf8.h"
#include "fuzz/target.h"
#include "wire/tables.h"

/* A borrowed argument lies within the input. */
static void check_borrowed(struct bytes input, struct bytes borrowed) {
    if (!borrowed.data)
        REQUIRE(borrowed.size == 0);
    else
        REQUIRE(borrowed.data >= input.data && borrowed.data + borrowed.size <= input.data + input.size);
}

static void check_argument(struct bytes input, const struct argument *argument, const void *place);

/* Members of a map: only known ones are given, and each of them is checked. */
static void check_members(struct bytes input, const struct argument *members, unsigned count, const void *values,
                          uint64_t given, uint64_t nil) {
    uint64_t all = members[count - 1].bit * 2 - 1;
    REQUIRE((given & ~all) == 0 && (nil & ~given) == 0);
    for (unsigned i = 0; i < count; i++)
        if (given & ~nil & members[i].bit) check_argument(input, &members[i], (const char *)values + members[i].offset);
}

/* An argument that is a map of others; false: it is none. */
static bool check_map(struct bytes input, const struct argument *argument, const void *place) {
    const struct timeouts *timeouts = place;
    const struct binding *binding = place;
    const struct cookie_attributes *cookie = place;
    const struct policy_change *policy = place;
    const struct pool_policy_change *pool = place;
    switch ((enum argument_type)argument->type) {
    case ARGUMENT_TIMEOUTS:
        check_members(input, timeouts_members, timeouts_member_count, timeouts, timeouts->given, timeouts->nil);
        return true;
    case ARGUMENT_BINDING:
        check_members(input, binding_members, binding_member_count, binding, binding->given, binding->nil);
        return true;
    case ARGUMENT_COOKIE_ATTRIBUTES:
        check_members(input, cookie_attributes_members, cookie_attributes_member_count, cookie, cookie->given,
                      cookie->nil);
        return true;
    case ARGUMENT_POLICY:
        check_members(input, policy_members, policy_member_count, &policy->values, policy->given, policy->nil);
        return true;
    case ARGUMENT_POOL_POLICY:
        check_members(input, pool_policy_members, pool_policy_member_count, &pool->values, pool->given, pool->nil);
        return true;
    default: return false;
    }
}

static void check_id(struct bytes input, const struct id_choice *id, enum id_kind other) {
    REQUIRE(id->kind == ID_PLAIN || id->kind == other);
    check_borrowed(input, id->text);
    REQUIRE(!id->text.data || ((id->text.size > 0 || id->kind == ID_COOKIE) && id->text.size <= LIMIT_MAX_COOKIE &&
                               utf8_is_valid(id->text)));
}

static void check_outcome(const struct mark_outcome *outcome) {
    bool is_code = outcome->kind == MARK_STATUS_CODE;
    REQUIRE(outcome->kind <= MARK_STATUS_CODE);
    REQUIRE(is_code ? outcome->status_code >= STATUS_CODE_FIRST && outcome->status_code < STATUS_CODE_END
                    : outcome->status_code == 0);
}

static void check_cookie_text(const struct cookie_text *text) {
    for (unsigned i = 0; i < text->size; i++)
        REQUIRE(text->text[i] >= 0x20 && text->text[i] < 0x7f && text->text[i] != ';');
}

/* What is no text, value, number or word of a list; all zero where it was not given. */
static bool check_choice(struct bytes input, const struct argument *argument, const void *place) {
    switch ((enum argument_type)argument->type) {
    case ARGUMENT_ID_OR_HANDLE: check_id(input, place, ID_HANDLE); return true;
    case ARGUMENT_ID_OR_COOKIE: check_id(input, place, ID_COOKIE); return true;
    case ARGUMENT_SCORE:
        REQUIRE(*(const double *)place >= 0 && *(const double *)place < 9007199254740992.0);
        return true;
    case ARGUMENT_STATUS_CODES:
        for (uint32_t code = 0; code < STATUS_CODE_FIRST; code++) REQUIRE(!status_codes_have(place, code));
        return true;
    case ARGUMENT_MARK_OUTCOME: check_outcome(place); return true;
    case ARGUMENT_COOKIE_SECURE: REQUIRE(*(const enum cookie_secure *)place <= COOKIE_SECURE_AUTO); return true;
    case ARGUMENT_SAME_SITE: REQUIRE(*(const enum same_site *)place <= SAME_SITE_AUTO); return true;
    case ARGUMENT_COOKIE_TEXT: check_cookie_text(place); return true;
    default: return false;
    }
}

static void check_argument(struct bytes input, const struct argument *argument, const void *place) {
    if (check_map(input, argument, place) || check_choice(input, argument, place)) return;
    struct bytes bytes;
    int64_t number;
    unsigned choice;
    switch ((enum argument_type)argument->type) {
    case ARGUMENT_NAMESPACE:
    case ARGUMENT_ID:
    case ARGUMENT_NAME:
    case ARGUMENT_TEXT:
    case ARGUMENT_COOKIE:
        memcpy(&bytes, place, sizeof bytes);
        check_borrowed(input, bytes);
        if (bytes.data) REQUIRE(utf8_is_valid(bytes) && bytes.size <= LIMIT_MAX_COOKIE);
        break;
    case ARGUMENT_PRESENTED:
        memcpy(&bytes, place, sizeof bytes);
        check_borrowed(input, bytes);
        break;
    case ARGUMENT_VALUE:
    case ARGUMENT_MAP:
    case ARGUMENT_IDS:
    case ARGUMENT_KEYS:
    case ARGUMENT_DELTAS:
    case ARGUMENT_TAGS:
    case ARGUMENT_RECORDS:
    case ARGUMENT_SECRETS:
        memcpy(&bytes, place, sizeof bytes);
        check_borrowed(input, bytes);
        if (bytes.data) { /* one whole value, and nothing behind it */
            struct mp_cursor cursor = mp_cursor_of(bytes);
            REQUIRE(mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH).size == bytes.size);
        }
        break;
    case ARGUMENT_DURATION:
        memcpy(&number, place, sizeof number);
        REQUIRE(number >= 0 && number <= LIMIT_MAX_DURATION_MS);
        break;
    case ARGUMENT_UINT53:
    case ARGUMENT_COUNT:
        memcpy(&number, place, sizeof number);
        REQUIRE(number >= 0 && number < INT64_C(1) << 53);
        break;
    case ARGUMENT_FIELDS:
        memcpy(&number, place, sizeof number);
        REQUIRE(!((uint64_t)number & ~FIELDS_KNOWN));
        break;
    case ARGUMENT_STATUSES:
        memcpy(&number, place, sizeof number);
        REQUIRE(!((uint64_t)number & ~STATUSES_KNOWN));
        break;
    case ARGUMENT_EVENT_KINDS:
        memcpy(&number, place, sizeof number);
        REQUIRE(number >= 0 && number < INT64_C(1) << EVENT_END);
        break;
    case ARGUMENT_POOL_STRATEGY:
    case ARGUMENT_POOL_CREATE:
    case ARGUMENT_BINDING_POLICY:
    case ARGUMENT_COOKIE_PRIORITY:
    case ARGUMENT_SET_MODE:
    case ARGUMENT_PATCH_TARGET:
    case ARGUMENT_LIST_ORDER:
    case ARGUMENT_SESSION_LIMIT_POLICY:
        memcpy(&choice, place, sizeof choice);
        REQUIRE(choice < argument_words[argument->type].count);
        break;
    default: break;
    }
}

static void check_arguments(struct bytes input, const struct frame *frame, const union op_args *args) {
    const struct op_shape *shape = &op_shapes[frame->op];
    uint64_t all = shape->count ? shape->arguments[shape->count - 1].bit * 2 - 1 : 0;
    REQUIRE((args->any.given & ~all) == 0 && (args->any.nil & ~args->any.given) == 0);
    for (unsigned i = 0; i < shape->count; i++) {
        const struct argument *argument = &shape->arguments[i];
        check_argument(input, argument, (const char *)args + argument->offset);
        bool must = argument->is_positional && argument->type != ARGUMENT_NAMESPACE;
        REQUIRE(!must || args->any.given & argument->bit);
        REQUIRE(argument->is_nullable || !(args->any.nil & argument->bit));
    }
}

/* The reply with the error is one whole value of valid texts. */
static void check_error(uint64_t msgid, const struct error *error) {
    REQUIRE(error->code == ERROR_BAD_REQUEST || error->code == ERROR_UNKNOWN_METHOD || error->code == ERROR_TOO_BIG);
    REQUIRE(utf8_is_valid(bytes_of_string(error->message)) && strlen(error->message) > 10);
    struct buf out = BUF_EMPTY;
    codec_write_error(&out, msgid, error);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&out));
    REQUIRE(mp_read_value(&cursor, 2).size == out.size);
    buf_fini(&out);
}

/* The same message, without anything behind it: in memory of its exact size, and one byte short. */
static void check_alone(struct bytes input, const struct frame *frame, enum decode_state state) {
    uint8_t *alone = malloc(frame->size);
    if (!alone) abort();
    memcpy(alone, input.data, frame->size);
    struct frame again;
    union op_args args;
    struct error error;
    REQUIRE(codec_decode(bytes_of(alone, frame->size), &again, &args, &error) == state);
    REQUIRE(again.size == frame->size && again.op == frame->op && again.msgid == frame->msgid);
    REQUIRE(codec_decode(bytes_of(alone, frame->size - 1), &again, &args, &error) == DECODE_INCOMPLETE);
    free(alone);
}

/* What looking ahead makes of bytes lies within them, and is what decoding them gives where they are decoded. */
static void check_peeked(struct bytes input, const struct frame *frame, const union op_args *args, bool is_decoded) {
    struct peeked peeked;
    struct bytes name;
    if (!codec_peek(input, &peeked)) return;
    check_borrowed(input, peeked.namespace);
    check_borrowed(input, peeked.name);
    REQUIRE(peeked.name.size > 0);
    if (!is_decoded) return;
    const struct op_shape *shape = &op_shapes[frame->op];
    memcpy(&name, (const char *)args + shape->arguments[0].offset, sizeof name);
    REQUIRE(name.data == peeked.namespace.data && name.size == peeked.namespace.size);
    memcpy(&name, (const char *)args + shape->arguments[1].offset, sizeof name);
    REQUIRE(name.data == peeked.name.data && name.size == peeked.name.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = bytes_of(data, size);
    struct frame frame;
    union op_args args;
    struct error error;
    memset(&args, 0xee, sizeof args);
    enum decode_state state = codec_decode(input, &frame, &args, &error);
    struct mp_scan scan = {0};
    enum mp_error scan_error;
    bool is_whole = mp_scan_feed(&scan, input, &scan_error);
    check_peeked(input, &frame, &args, state == DECODE_OK);
    switch (state) {
    case DECODE_OK:
    case DECODE_REFUSED:
        REQUIRE(is_whole && frame.size == scan.scanned && frame.msgid <= UINT32_MAX);
        if (state == DECODE_OK)
            check_arguments(input, &frame, &args);
        else
            check_error(frame.msgid, &error);
        check_alone(input, &frame, state);
        break;
    case DECODE_INCOMPLETE: REQUIRE(!is_whole); break;
    case DECODE_BROKEN: check_error(0, &error); break;
    }
    return 0;
}
