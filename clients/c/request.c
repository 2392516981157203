/* Requests, encoded. The positional arguments come one by one, the options by a table; request_end puts both together.
 *
 * Always true of a request without an error: its frame is one whole message of at most max_frame bytes, because every
 * value that a caller hands in is walked through first. A bad one would put all that follows on the connection out of
 * step. One thread at a time. */
#include "request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { MSGID_AT = 2, OP_ID_SIZE = 8 };

const char sessiond_nil_text[] = "";
const uint16_t sessiond_nil_codes[1] = {0};

/* The first mistake stays. */
static void mistake(struct request_writer *writer, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void mistake(struct request_writer *writer, int code, const char *format, ...) {
    if (!writer->request || writer->request->error) return;
    struct sessiond_error *error = writer->request->error = malloc(sizeof *error);
    if (!error) {
        sessiond_request_free(writer->request);
        writer->request = NULL;
        return;
    }
    failure_set(error, code, "%s", "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
}

static struct buf *out_of(struct request_writer *writer) {
    return &writer->request->frame;
}

/* [0, msgid, method, and the head of params, whose count request_end knows. */
static struct request_writer begin_named(const char *name, const struct method *method) {
    struct request_writer writer = {calloc(1, sizeof *writer.request), method, 0};
    if (!writer.request) return writer;
    if (strcmp(name, SESSIOND_METHOD_WATCH_START) == 0) writer.request->purpose = REQUEST_WATCH_START;
    if (strcmp(name, SESSIOND_METHOD_WATCH_STOP) == 0) writer.request->purpose = REQUEST_WATCH_STOP;
    static const uint8_t head[] = {0x94, 0x00, 0xce, 0, 0, 0, 0};
    buf_append(out_of(&writer), head, sizeof head);
    mp_write_string(out_of(&writer), name);
    writer.head_at = out_of(&writer)->size;
    return writer;
}

struct request_writer request_begin(const struct method *method) {
    struct request_writer writer = begin_named(method->name, method);
    if (writer.request) buf_append(out_of(&writer), "\x90", 1);
    return writer;
}

void request_namespace(struct request_writer *writer, const char *name) {
    if (!writer->request) return;
    if (name && *name)
        mp_write_string(out_of(writer), name);
    else
        mp_write_nil(out_of(writer));
}

void request_text(struct request_writer *writer, const char *name, const char *text) {
    if (!writer->request) return;
    if (!text)
        mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s is NULL; give a text.", writer->method->name, name);
    else if (text == sessiond_nil_text)
        mp_write_nil(out_of(writer));
    else
        mp_write_string(out_of(writer), text);
}

/* Whether the bytes are one value that the protocol can carry, and nothing behind it. */
static bool is_one_value(struct sessiond_bytes value, unsigned depth_max) {
    struct mp_cursor cursor = mp_cursor_of(bytes_of(value.bytes, value.size));
    mp_read_value(&cursor, depth_max);
    return cursor.error == MP_OK && cursor.at == cursor.end;
}

void request_value(struct request_writer *writer, const char *name, struct sessiond_bytes value) {
    if (!writer->request) return;
    if (!value.bytes || !is_one_value(value, SESSIOND_LIMIT_MAX_DATA_DEPTH))
        mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s is not one encoded MessagePack value, nested at most %d deep.",
                writer->method->name, name, (int)SESSIOND_LIMIT_MAX_DATA_DEPTH);
    else
        mp_write_raw(out_of(writer), bytes_of(value.bytes, value.size));
}

void request_texts(struct request_writer *writer, const char *name, struct sessiond_texts texts) {
    if (!writer->request) return;
    if (texts.count > UINT32_MAX || (texts.count && !texts.texts)) {
        mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s is NULL; give an array of texts.", writer->method->name, name);
        return;
    }
    mp_write_array(out_of(writer), (uint32_t)texts.count);
    for (size_t i = 0; i < texts.count && writer->request; i++) request_text(writer, name, texts.texts[i]);
}

/* ---------------------------------------------------------------- options by table */

static uint64_t bits_at(const void *at) {
    uint64_t bits;
    memcpy(&bits, at, sizeof bits);
    return bits;
}

static unsigned enum_at(const void *at) {
    unsigned value; /* an enum without negative members */
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t given_count(const struct argument *rows, const void *options);

static bool is_given(const struct argument *row, const void *at) {
    switch (row->kind) {
    case ARGUMENT_TEXT: return *(const char *const *)at != NULL;
    case ARGUMENT_VALUE: return ((const struct sessiond_bytes *)at)->bytes != NULL;
    case ARGUMENT_TEXTS: return ((const struct sessiond_texts *)at)->texts != NULL;
    case ARGUMENT_CODES: return ((const struct sessiond_codes *)at)->codes != NULL;
    case ARGUMENT_SCORE: return *(const double *)at != 0;
    case ARGUMENT_BOOL:
    case ARGUMENT_SWITCH:
    case ARGUMENT_ENUM: return enum_at(at) != 0;
    case ARGUMENT_NUMBER:
    case ARGUMENT_FIELDS:
    case ARGUMENT_EVENTS:
    case ARGUMENT_STATUSES: return bits_at(at) != 0;
    case ARGUMENT_MEMBERS: return given_count(row->names, at) != 0;
    case ARGUMENT_END: break;
    }
    return false;
}

static uint32_t given_count(const struct argument *rows, const void *options) {
    uint32_t count = 0;
    for (; options && rows && rows->name; rows++) count += is_given(rows, (const char *)options + rows->offset);
    return count;
}

static void write_number(struct buf *out, int64_t number) {
    if (number == SESSIOND_NIL)
        mp_write_nil(out);
    else
        mp_write_int(out, number == SESSIOND_ZERO ? 0 : number);
}

static void write_enum(struct request_writer *writer, const struct argument *row, unsigned value) {
    const char *const *names = row->names;
    for (unsigned i = 1; i < value && *names; i++) names++;
    bool is_truth = *names && row->kind == ARGUMENT_SWITCH && (!strcmp(*names, "false") || !strcmp(*names, "true"));
    if (is_truth)
        mp_write_bool(out_of(writer), **names == 't');
    else if (*names)
        mp_write_string(out_of(writer), *names);
    else
        mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s has an impossible value.", writer->method->name, row->name);
}

static void write_bool(struct request_writer *writer, const struct argument *row, unsigned value) {
    if (value > SESSIOND_FALSE)
        mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s is neither SESSIOND_TRUE nor SESSIOND_FALSE.",
                writer->method->name, row->name);
    else
        mp_write_bool(out_of(writer), value == SESSIOND_TRUE);
}

static void write_score(struct request_writer *writer, double score) {
    if (score == SESSIOND_NIL_SCORE)
        mp_write_nil(out_of(writer));
    else if (score == SESSIOND_ZERO_SCORE)
        mp_write_int(out_of(writer), 0);
    else
        mp_write_double(out_of(writer), score);
}

static void write_codes(struct request_writer *writer, struct sessiond_codes codes) {
    if (codes.codes == sessiond_nil_codes) {
        mp_write_nil(out_of(writer));
        return;
    }
    mp_write_array(out_of(writer), (uint32_t)codes.count);
    for (size_t i = 0; i < codes.count; i++) mp_write_uint(out_of(writer), codes.codes[i]);
}

#define FIELD_NAME(name) #name,
static const char *const field_names[] = {NULL, SESSIOND_FIELDS(FIELD_NAME)};
static const char *field_word(unsigned bit) {
    return bit < sizeof field_names / sizeof *field_names ? field_names[bit] : NULL;
}

static void write_bits(struct request_writer *writer, const struct argument *row, uint64_t bits,
                       const char *(*word_of)(unsigned bit)) {
    mp_write_array(out_of(writer), (uint32_t)__builtin_popcountll(bits));
    for (unsigned bit = 0; bit < 64 && writer->request; bit++) {
        const char *word = bits >> bit & 1 ? word_of(bit) : "";
        if (!word)
            mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s has a bit without a meaning.", writer->method->name,
                    row->name);
        else if (*word)
            mp_write_string(out_of(writer), word);
    }
}

static void write_rows(struct request_writer *writer, const struct argument *rows, const void *options);

static void write_argument(struct request_writer *writer, const struct argument *row, const void *at) {
    switch (row->kind) {
    case ARGUMENT_TEXT: request_text(writer, row->name, *(const char *const *)at); break;
    case ARGUMENT_VALUE: request_value(writer, row->name, *(const struct sessiond_bytes *)at); break;
    case ARGUMENT_TEXTS: request_texts(writer, row->name, *(const struct sessiond_texts *)at); break;
    case ARGUMENT_BOOL: write_bool(writer, row, enum_at(at)); break;
    case ARGUMENT_NUMBER: write_number(out_of(writer), (int64_t)bits_at(at)); break;
    case ARGUMENT_FIELDS: write_bits(writer, row, bits_at(at), field_word); break;
    case ARGUMENT_STATUSES:
        if (bits_at(at) == SESSIOND_STATUS_BIT_ANY)
            mp_write_string(out_of(writer), "any");
        else
            write_bits(writer, row, bits_at(at), status_word);
        break;
    case ARGUMENT_EVENTS: write_bits(writer, row, bits_at(at), event_word); break;
    case ARGUMENT_SCORE: write_score(writer, *(const double *)at); break;
    case ARGUMENT_CODES: write_codes(writer, *(const struct sessiond_codes *)at); break;
    case ARGUMENT_SWITCH:
    case ARGUMENT_ENUM: write_enum(writer, row, enum_at(at)); break;
    case ARGUMENT_MEMBERS:
        mp_write_map(out_of(writer), given_count(row->names, at));
        write_rows(writer, row->names, at);
        break;
    case ARGUMENT_END: assert(false);
    }
}

static void write_rows(struct request_writer *writer, const struct argument *rows, const void *options) {
    for (; options && rows && rows->name && writer->request; rows++) {
        const void *at = (const char *)options + rows->offset;
        if (!is_given(rows, at)) continue;
        mp_write_string(out_of(writer), rows->name);
        write_argument(writer, rows, at);
    }
}

void request_members(struct request_writer *writer, const struct argument *rows, const void *members) {
    if (!writer->request) return;
    mp_write_map(out_of(writer), given_count(rows, members));
    write_rows(writer, rows, members);
}

void request_instead_of_id(struct request_writer *writer, const char *word, const char *text) {
    if (!writer->request) return;
    mp_write_map(out_of(writer), 1);
    mp_write_string(out_of(writer), word);
    request_text(writer, word, text);
}

void request_outcome(struct request_writer *writer, const char *name, int outcome) {
    static const char *const words[] = {
        [SESSIOND_MARK_GOOD] = "good", [SESSIOND_MARK_BAD] = "bad", [SESSIOND_MARK_RETIRE] = "retire"};
    if (!writer->request) return;
    if (outcome >= SESSIOND_MARK_GOOD && outcome <= SESSIOND_MARK_RETIRE)
        mp_write_string(out_of(writer), words[outcome]);
    else if (outcome >= 100 && outcome <= 599)
        mp_write_int(out_of(writer), outcome);
    else
        mistake(writer, SESSIOND_ERROR_ARGUMENT, "%s: %s is %d; it is one of SESSIOND_MARK_... or a status code.",
                writer->method->name, name, outcome);
}

/* ---------------------------------------------------------------- the end of a request */

/* An op_id of eight bytes whatever its value, so that it can be filled in later. */
static void write_op_id(struct request_writer *writer) {
    static const uint8_t empty[1 + OP_ID_SIZE] = {0xcf};
    mp_write_string(out_of(writer), "op_id");
    buf_append(out_of(writer), empty, sizeof empty);
    writer->request->op_id_at = out_of(writer)->size - OP_ID_SIZE;
}

static struct sessiond_request *finish(struct request_writer *writer) {
    if (!writer->request) return NULL;
    if (out_of(writer)->is_failed) {
        sessiond_request_free(writer->request);
        return NULL;
    }
    if (out_of(writer)->size > SESSIOND_LIMIT_MAX_FRAME)
        mistake(writer, SESSIOND_ERROR_TOO_BIG, "The request has %zu bytes and may have %d; send less at once.",
                out_of(writer)->size, (int)SESSIOND_LIMIT_MAX_FRAME);
    return writer->request;
}

struct sessiond_request *request_end(struct request_writer *writer, const struct argument *rows, const void *options) {
    if (!writer->request) return NULL;
    uint32_t given = given_count(rows, options), count = given + writer->method->is_write;
    if (count) mp_write_map(out_of(writer), count);
    write_rows(writer, rows, options);
    if (!writer->request) return NULL;
    if (writer->method->is_write) write_op_id(writer);
    if (!out_of(writer)->is_failed)
        out_of(writer)->data[writer->head_at] = (uint8_t)(0x90 | (writer->method->positional_count + (count > 0)));
    writer->request->is_repeatable = true;
    return finish(writer);
}

static const struct method *method_named(const char *name) {
    const struct method *method = methods;
    while (method->name && strcmp(method->name, name) != 0) method++;
    return method->name ? method : NULL;
}

/* Whether an encoded map has a key. */
static bool map_has_key(struct bytes map, const char *key) {
    struct mp_cursor cursor = mp_cursor_of(map);
    bool found = false;
    for (uint32_t left = mp_read_map(&cursor); left > 0; left--) {
        enum mp_type type = mp_peek(&cursor);
        struct bytes name =
            type == MP_STR || type == MP_BIN ? mp_read_bytes(&cursor) : mp_read_value(&cursor, MP_DEPTH_MAX);
        found = found || bytes_equal(name, bytes_of_string(key));
        mp_read_value(&cursor, MP_DEPTH_MAX);
    }
    return found;
}

/* Copies the params of a write, with an op_id in its options. */
static void write_params_with_op_id(struct request_writer *writer, struct bytes params) {
    struct mp_cursor cursor = mp_cursor_of(params);
    uint32_t count = mp_read_array(&cursor), positional = writer->method->positional_count;
    const uint8_t *first = cursor.at;
    for (uint32_t i = 0; i < count && i < positional; i++) mp_read_value(&cursor, MP_DEPTH_MAX);
    struct bytes options = bytes_of(cursor.at, (size_t)(cursor.end - cursor.at));
    bool has_map = count == positional + 1 && mp_peek(&cursor) == MP_MAP, has_nil = count == positional + 1 && !has_map;
    /* Too few or too many arguments, options that are no map, or an op_id of the caller's: sent as it is. */
    if (count < positional || count > positional + 1 || (has_nil && mp_peek(&cursor) != MP_NIL) ||
        (has_map && map_has_key(options, "op_id"))) {
        writer->request->is_repeatable = has_map && map_has_key(options, "op_id");
        mp_write_raw(out_of(writer), params);
        return;
    }
    uint32_t pairs = has_map ? mp_read_map(&cursor) : 0;
    mp_write_array(out_of(writer), positional + 1);
    mp_write_raw(out_of(writer), bytes_of(first, (size_t)(options.data - first)));
    mp_write_map(out_of(writer), pairs + 1);
    if (has_map) mp_write_raw(out_of(writer), bytes_of(cursor.at, (size_t)(cursor.end - cursor.at)));
    write_op_id(writer);
    writer->request->is_repeatable = true;
}

struct sessiond_request *sessiond_request_make(const char *method, struct sessiond_bytes params) {
    const struct method *known = method ? method_named(method) : NULL;
    struct request_writer writer = begin_named(method ? method : "", known);
    if (!writer.request) return NULL;
    struct mp_cursor cursor = mp_cursor_of(bytes_of(params.bytes, params.size));
    if (!method || !*method)
        mistake(&writer, SESSIOND_ERROR_ARGUMENT, "A request needs a method, such as session.get.");
    else if (!params.bytes || mp_peek(&cursor) != MP_ARRAY ||
             !is_one_value(params, SESSIOND_LIMIT_MAX_DATA_DEPTH + SESSIOND_LIMIT_MAX_ENVELOPE_DEPTH))
        mistake(&writer, SESSIOND_ERROR_ARGUMENT, "%s: params must be one encoded MessagePack array.", method);
    else if (known && known->is_write)
        write_params_with_op_id(&writer, bytes_of(params.bytes, params.size));
    else {
        /* Of a method that is not known nobody can say whether it may be done twice. */
        writer.request->is_repeatable = known != NULL;
        mp_write_raw(out_of(&writer), bytes_of(params.bytes, params.size));
    }
    return finish(&writer);
}

void sessiond_request_free(struct sessiond_request *request) {
    if (!request) return;
    buf_fini(&request->frame);
    free(request->error);
    free(request);
}

static void put_big_endian(uint8_t *at, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++) at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

void request_set_msgid(struct sessiond_request *request, uint32_t msgid) {
    put_big_endian(request->frame.data + MSGID_AT + 1, msgid, 4);
}

void request_set_op_id(struct sessiond_request *request, uint64_t random) {
    if (request->op_id_at) put_big_endian(request->frame.data + request->op_id_at, random >> 11, OP_ID_SIZE);
}
