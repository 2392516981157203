/* Runs the conformance cases: `vectors DIRECTORY`, where requests.txt and malformed.txt are.
 *
 * A case of requests.txt: each form of the request decodes to the arguments that are listed, and the reply, read and
 * written again by our own writers, is the very bytes. A case of malformed.txt: the decoder's state, code and msgid,
 * and that no shorter piece of the message is taken for a whole one. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/tables.h"

static unsigned failures;

/* One case as it stands in the file: its lines as key and rest. */
struct line {
    char key[32];
    char *rest;
};
struct test_case {
    struct line lines[64];
    unsigned count;
};

static const char *case_get(const struct test_case *test, const char *key) {
    for (unsigned i = 0; i < test->count; i++) {
        if (!strcmp(test->lines[i].key, key)) return test->lines[i].rest;
    }
    return NULL;
}

static void fail(const struct test_case *test, const char *what, const char *actual, const char *expected) {
    fprintf(stderr, "%s: %s is\n  %s\nexpected\n  %s\n", case_get(test, "case"), what, actual, expected);
    failures++;
}

static void expect_number(const struct test_case *test, const char *what, uint64_t actual, uint64_t expected) {
    char actual_text[24], expected_text[24];
    snprintf(actual_text, sizeof actual_text, "%" PRIu64, actual);
    snprintf(expected_text, sizeof expected_text, "%" PRIu64, expected);
    if (actual != expected) fail(test, what, actual_text, expected_text);
}

/* ---- files */

static bool case_read(FILE *file, struct test_case *test) {
    *test = (struct test_case){.count = 0};
    char *text = NULL;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&text, &capacity, file)) > 0) {
        text[strcspn(text, "\n")] = 0;
        if (text[0] == '#') continue;
        if (!strcmp(text, "end")) break;
        if (test->count == 64) abort();
        struct line *line = &test->lines[test->count++];
        size_t key_size = strcspn(text, " ");
        if (key_size >= sizeof line->key) abort();
        memcpy(line->key, text, key_size);
        line->key[key_size] = 0;
        line->rest = strdup(text[key_size] ? text + key_size + 1 : "");
    }
    free(text);
    return size > 0;
}

static void case_free(struct test_case *test) {
    for (unsigned i = 0; i < test->count; i++) free(test->lines[i].rest);
}

/* Memory of exactly the size that is asked, so that a sanitizer sees every byte that is read too far. */
static struct bytes hex_read(const char *hex) {
    size_t size = strlen(hex) / 2;
    uint8_t *data = malloc(size ? size : 1);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) abort();
        data[i] = (uint8_t)byte;
    }
    return bytes_of(data, size);
}

static void hex_print(FILE *out, struct bytes bytes) {
    for (size_t i = 0; i < bytes.size; i++) fprintf(out, "%02x", bytes.data[i]);
}

/* ---- arguments as the file writes them */

static void print_arguments(FILE *out, const char *within, const struct argument *arguments, unsigned count,
                            const void *values, uint64_t given, uint64_t nil);

/* An argument that is a map of others, each on its own line; false: it is none. */
static bool print_members(FILE *out, const struct argument *argument, const char *place) {
    char within[64];
    snprintf(within, sizeof within, "%s.", argument->name);
    const struct timeouts *timeouts = (const void *)place;
    const struct binding *binding = (const void *)place;
    const struct cookie_attributes *cookie = (const void *)place;
    const struct policy_change *policy = (const void *)place;
    const struct pool_policy_change *pool = (const void *)place;
    switch ((enum argument_type)argument->type) {
    case ARGUMENT_TIMEOUTS:
        print_arguments(out, within, timeouts_members, timeouts_member_count, timeouts, timeouts->given, timeouts->nil);
        return true;
    case ARGUMENT_BINDING:
        print_arguments(out, within, binding_members, binding_member_count, binding, binding->given, binding->nil);
        return true;
    case ARGUMENT_COOKIE_ATTRIBUTES:
        print_arguments(out, within, cookie_attributes_members, cookie_attributes_member_count, cookie, cookie->given,
                        cookie->nil);
        return true;
    case ARGUMENT_POLICY:
        print_arguments(out, within, policy_members, policy_member_count, &policy->values, policy->given, policy->nil);
        return true;
    case ARGUMENT_POOL_POLICY:
        print_arguments(out, within, pool_policy_members, pool_policy_member_count, &pool->values, pool->given,
                        pool->nil);
        return true;
    default: return false;
    }
}

static void print_argument(FILE *out, const struct argument *argument, const char *place) {
    int64_t number;
    unsigned choice;
    switch ((enum argument_type)argument->type) {
    case ARGUMENT_NAMESPACE:
    case ARGUMENT_ID:
    case ARGUMENT_NAME:
    case ARGUMENT_TEXT:
    case ARGUMENT_PRESENTED:
    case ARGUMENT_COOKIE:
    case ARGUMENT_VALUE:
    case ARGUMENT_MAP:
    case ARGUMENT_IDS:
    case ARGUMENT_KEYS:
    case ARGUMENT_DELTAS:
    case ARGUMENT_TAGS:
    case ARGUMENT_RECORDS:
    case ARGUMENT_SECRETS:
        fputs("bytes ", out);
        hex_print(out, *(const struct bytes *)(const void *)place);
        break;
    case ARGUMENT_BOOL: fprintf(out, "number %d", *(const bool *)place); break;
    case ARGUMENT_ID_OR_HANDLE:
    case ARGUMENT_ID_OR_COOKIE: {
        const struct id_choice *id = (const void *)place;
        fprintf(out, "choice %d ", (int)id->kind);
        hex_print(out, id->text);
        break;
    }
    case ARGUMENT_COOKIE_TEXT: {
        const struct cookie_text *text = (const void *)place;
        fputs("bytes ", out);
        hex_print(out, bytes_of(text->text, text->size));
        break;
    }
    case ARGUMENT_SCORE:
        memcpy(&number, place, sizeof number);
        fprintf(out, "double %016" PRIx64, (uint64_t)number);
        break;
    case ARGUMENT_STATUS_CODES:
        fputs("codes", out);
        for (uint32_t code = 0; code < STATUS_CODE_END; code++)
            if (status_codes_have((const void *)place, code)) fprintf(out, " %u", (unsigned)code);
        break;
    case ARGUMENT_MARK_OUTCOME: {
        const struct mark_outcome *outcome = (const void *)place;
        fprintf(out, "mark %d %u", (int)outcome->kind, (unsigned)outcome->status_code);
        break;
    }
    case ARGUMENT_SET_MODE:
    case ARGUMENT_PATCH_TARGET:
    case ARGUMENT_LIST_ORDER:
    case ARGUMENT_POOL_STRATEGY:
    case ARGUMENT_POOL_CREATE:
    case ARGUMENT_BINDING_POLICY:
    case ARGUMENT_COOKIE_PRIORITY:
    case ARGUMENT_COOKIE_SECURE:
    case ARGUMENT_SAME_SITE:
    case ARGUMENT_SESSION_LIMIT_POLICY:
        memcpy(&choice, place, sizeof choice);
        fprintf(out, "number %u", choice);
        break;
    default: memcpy(&number, place, sizeof number); fprintf(out, "number %" PRId64, number);
    }
}

static void print_arguments(FILE *out, const char *within, const struct argument *arguments, unsigned count,
                            const void *values, uint64_t given, uint64_t nil) {
    for (unsigned i = 0; i < count; i++) {
        const struct argument *argument = &arguments[i];
        const char *place = (const char *)values + argument->offset;
        if (!(given & argument->bit)) continue;
        if (nil & argument->bit || !print_members(out, argument, place)) {
            fprintf(out, "argument %s%s ", within, argument->name);
            if (nil & argument->bit)
                fputs("nil", out);
            else
                print_argument(out, argument, place);
            fputc('\n', out);
        }
    }
}

static char *arguments_text(const struct frame *frame, const union op_args *args) {
    const struct op_shape *shape = &op_shapes[frame->op];
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    print_arguments(out, "", shape->arguments, shape->count, args, args->any.given, args->any.nil);
    fclose(out);
    return text;
}

static char *expected_arguments(const struct test_case *test) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (unsigned i = 0; i < test->count; i++) {
        if (!strcmp(test->lines[i].key, "argument")) fprintf(out, "argument %s\n", test->lines[i].rest);
    }
    fclose(out);
    return text;
}

static void check_request(const struct test_case *test, const char *form) {
    struct bytes bytes = hex_read(case_get(test, form));
    struct frame frame;
    union op_args args;
    struct error error = {.message = "decoded"};
    enum decode_state state = codec_decode(bytes, &frame, &args, &error);
    if (state != DECODE_OK) {
        fail(test, form, error.message, "decoded");
    } else {
        bool is_notification = !strcmp(form, "notification");
        char *actual = arguments_text(&frame, &args), *expected = expected_arguments(test);
        if (strcmp(actual, expected)) fail(test, "the arguments", actual, expected);
        if (strcmp(op_infos[frame.op].method, case_get(test, "case")))
            fail(test, "the method", op_infos[frame.op].method, case_get(test, "case"));
        expect_number(test, "the size", frame.size, bytes.size);
        expect_number(test, "is_notification", frame.is_notification, is_notification);
        expect_number(test, "the msgid", frame.msgid,
                      is_notification ? 0 : strtoull(case_get(test, "msgid"), NULL, 10));
        free(actual);
        free(expected);
    }
    free((void *)bytes.data);
}

/* ---- replies */

/* Reads one value and writes it again. */
static void rewrite_value(struct mp_cursor *cursor, struct buf *out) {
    switch (mp_peek(cursor)) {
    case MP_NIL: mp_read_nil(cursor), mp_write_nil(out); return;
    case MP_BOOL: mp_write_bool(out, mp_read_bool(cursor)); return;
    case MP_INTEGER: mp_write_int(out, mp_read_int(cursor, INT64_MIN, INT64_MAX)); return;
    case MP_FLOAT: mp_write_double(out, mp_read_double(cursor)); return;
    case MP_STR: mp_write_str(out, mp_read_bytes(cursor)); return;
    case MP_ARRAY: {
        uint32_t count = mp_read_array(cursor);
        mp_write_array(out, count);
        for (uint32_t i = 0; i < count; i++) rewrite_value(cursor, out);
        return;
    }
    case MP_MAP: {
        uint32_t pairs = mp_read_map(cursor);
        mp_write_map(out, pairs);
        for (uint32_t i = 0; i < 2 * pairs; i++) rewrite_value(cursor, out);
        return;
    }
    default: cursor->error = MP_MISTYPED;
    }
}

static enum status read_status(struct bytes word) {
    for (int status = 1; status < STATUS_END; status++)
        if (bytes_equal(word, bytes_of_string(status_name((enum status)status)))) return (enum status)status;
    return STATUS_NONE;
}

/* A field of a record back into the session that it came from. Derived fields have no place there: written again, they
 * must come out of the others. */
static void read_field(struct mp_cursor *cursor, enum field field, struct session *session, struct usage *usage,
                       struct record_extra *extra) {
    switch (field) {
    case FIELD_ID: session->id = mp_read_bytes(cursor); return;
    case FIELD_USER: session->user = mp_read_bytes(cursor); return;
    case FIELD_CLIENT: session->client = mp_read_bytes(cursor); return;
    case FIELD_VERSION: session->version = (uint64_t)mp_read_int(cursor, 0, INT64_MAX); return;
    case FIELD_CREATED_AT: session->created_at = mp_read_int(cursor, INT64_MIN, INT64_MAX); return;
    case FIELD_LAST_ACTIVE_AT: session->last_active_at = mp_read_int(cursor, INT64_MIN, INT64_MAX); return;
    case FIELD_IDLE_TIMEOUT_MS: session->idle_timeout_ms = mp_read_int(cursor, 0, INT64_MAX); return;
    case FIELD_ABSOLUTE_TIMEOUT_MS: session->absolute_timeout_ms = mp_read_int(cursor, 0, INT64_MAX); return;
    case FIELD_DATA: session->data = mp_read_value(cursor, LIMIT_MAX_DATA_DEPTH); return;
    case FIELD_META: session->meta = mp_read_value(cursor, LIMIT_MAX_DATA_DEPTH); return;
    case FIELD_POOL: session->pool = mp_read_bytes(cursor); return;
    case FIELD_STATUS_AT: session->status_at = mp_read_int(cursor, 0, INT64_MAX); return;
    case FIELD_STATUS: session->status = read_status(mp_read_bytes(cursor)); return;
    case FIELD_USAGE_COUNT: usage->usage_count = (uint64_t)mp_read_int(cursor, 0, INT64_MAX); return;
    case FIELD_USE: extra->use = (uint64_t)mp_read_int(cursor, 0, INT64_MAX); return;
    case FIELD_UPDATED_AT:
    case FIELD_EXPIRES_AT: mp_read_value(cursor, 0); return;
    default: cursor->error = MP_MISTYPED; /* no example has it; add it here when one does */
    }
}

static void rewrite_record(struct mp_cursor *cursor, struct buf *out) {
    struct session session = {.id = BYTES_LITERAL("not given"), .status = STATUS_ACTIVE};
    struct usage usage = {0};
    struct record_extra extra = {0};
    uint64_t fields = 0;
    uint32_t pairs = mp_read_map(cursor);
    for (uint32_t i = 0; i < pairs; i++) {
        struct bytes key = mp_read_bytes(cursor);
        enum field field = FIELD_NONE;
        for (unsigned k = 1; k < FIELD_END; k++) {
            if (bytes_equal(key, bytes_of_string(field_name((enum field)k)))) field = (enum field)k;
        }
        fields |= FIELD_BIT(field);
        read_field(cursor, field, &session, &usage, &extra);
    }
    if (fields & FIELD_BIT(FIELD_USAGE_COUNT)) session.usage = &usage;
    codec_write_record_with(out, &session, &extra, fields, session.last_active_at);
}

static void check_reply(const struct test_case *test) {
    struct bytes bytes = hex_read(case_get(test, "reply"));
    struct mp_cursor cursor = mp_cursor_of(bytes);
    struct buf out = BUF_EMPTY;
    expect_number(test, "the reply's elements", mp_read_array(&cursor), 4);
    expect_number(test, "the reply's type", (uint64_t)mp_read_int(&cursor, 0, 9), 1);
    uint64_t msgid = (uint64_t)mp_read_int(&cursor, 0, UINT32_MAX);
    expect_number(test, "the reply's msgid", msgid, strtoull(case_get(test, "msgid"), NULL, 10));
    expect_number(test, "that the error is nil", mp_read_nil(&cursor), 1);
    codec_begin_result(&out, msgid);
    if (!strcmp(case_get(test, "kind"), "record"))
        rewrite_record(&cursor, &out);
    else
        rewrite_value(&cursor, &out);
    expect_number(test, "the cursor's error", cursor.error, MP_OK);
    expect_number(test, "the reply's rest", (uint64_t)(cursor.end - cursor.at), 0);
    if (!bytes_equal(buf_bytes(&out), bytes)) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        hex_print(stream, buf_bytes(&out));
        fclose(stream);
        fail(test, "the reply written again", text, case_get(test, "reply"));
        free(text);
    }
    buf_fini(&out);
    free((void *)bytes.data);
}

static void check_example(const struct test_case *test) {
    check_request(test, "request");
    check_request(test, "request_by_number");
    check_request(test, "notification");
    check_reply(test);
}

/* ---- the malformed */

static const char *const state_names[] = {
    [DECODE_OK] = "ok", [DECODE_INCOMPLETE] = "incomplete", [DECODE_REFUSED] = "refused", [DECODE_BROKEN] = "broken"};

/* A piece of the message is never taken for a whole one. */
static void check_pieces(const struct test_case *test, struct bytes bytes) {
    for (size_t cut = 0; cut < bytes.size; cut++) {
        uint8_t *piece = malloc(cut ? cut : 1);
        memcpy(piece, bytes.data, cut);
        struct frame frame;
        union op_args args;
        struct error error;
        enum decode_state state = codec_decode(bytes_of(piece, cut), &frame, &args, &error);
        if (state == DECODE_OK || state == DECODE_REFUSED) {
            fail(test, "a piece of it", state_names[state], "incomplete or broken");
            cut = bytes.size;
        }
        free(piece);
    }
}

static void check_malformed(const struct test_case *test) {
    struct bytes bytes = hex_read(case_get(test, "bytes"));
    struct frame frame;
    union op_args args;
    struct error error = {.code = ERROR_NONE};
    enum decode_state state = codec_decode(bytes, &frame, &args, &error);
    const char *code = case_get(test, "code"), *msgid = case_get(test, "msgid"), *size = case_get(test, "size");
    const char *method = case_get(test, "method");
    if (strcmp(state_names[state], case_get(test, "state")))
        fail(test, "the state", state_names[state], case_get(test, "state"));
    if (code && strcmp(error_code_name(error.code), code)) fail(test, "the code", error_code_name(error.code), code);
    if (state == DECODE_BROKEN) expect_number(test, "the code", error.code, ERROR_BAD_REQUEST);
    if (msgid) expect_number(test, "the msgid", frame.msgid, strtoull(msgid, NULL, 10));
    if (state == DECODE_OK && strcmp(op_infos[frame.op].method, method))
        fail(test, "the method", op_infos[frame.op].method, method);
    if (state == DECODE_OK || state == DECODE_REFUSED) {
        expect_number(test, "the size", frame.size, size ? strtoull(size, NULL, 10) : bytes.size);
        check_pieces(test, bytes_of(bytes.data, frame.size));
    }
    free((void *)bytes.data);
}

static unsigned run(const char *directory, const char *name, void (*check)(const struct test_case *)) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(1);
    }
    unsigned count = 0;
    for (struct test_case test; case_read(file, &test); case_free(&test), count++) check(&test);
    fclose(file);
    return count;
}

int main(int count, char **arguments) {
    const char *directory = count > 1 ? arguments[1] : ".";
    unsigned examples = run(directory, "requests.txt", check_example);
    unsigned malformed = run(directory, "malformed.txt", check_malformed);
    printf("%u examples, %u malformed messages, %u failures\n", examples, malformed, failures);
    return failures || !examples || !malformed;
}
