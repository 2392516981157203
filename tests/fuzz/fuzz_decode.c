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

static void check_argument(struct bytes input, const struct argument *argument, const void *place) {
    struct bytes bytes;
    int64_t number;
    unsigned choice;
    switch ((enum argument_type)argument->type) {
    case ARGUMENT_NAMESPACE:
    case ARGUMENT_ID:
    case ARGUMENT_NAME:
    case ARGUMENT_TEXT:
        memcpy(&bytes, place, sizeof bytes);
        check_borrowed(input, bytes);
        if (bytes.data) REQUIRE(utf8_is_valid(bytes) && bytes.size <= LIMIT_MAX_TEXT);
        break;
    case ARGUMENT_VALUE:
    case ARGUMENT_MAP:
    case ARGUMENT_IDS:
    case ARGUMENT_KEYS:
    case ARGUMENT_DELTAS:
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
