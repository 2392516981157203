/* Replies and typed results.
 *
 * Always true: the bytes come from the other side of a connection, so nothing in them is believed. A message is walked
 * through whole before anything is copied; counts size an allocation only after they were held against the bytes that
 * are there and against COUNT_MAX; a result of another shape than asked is a PROTOCOL error, never a crash.
 * A result is one block: its struct, its arrays, then a pool for texts and values. The pool has as many bytes as the
 * encoded result, which is enough: a text with its NUL is never longer than with its head. Any thread. */
#include "results.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "request.h"

enum { COUNT_MAX = 1 << 16 /* records or names in one result */ };

void sessiond_free(void *result) {
    free(result);
}

/* ---------------------------------------------------------------- messages */

bool incoming_read(struct bytes message, struct incoming *incoming) {
    struct mp_cursor cursor = mp_cursor_of(message);
    uint32_t count = mp_read_array(&cursor);
    int64_t type = mp_read_int(&cursor, 0, 2);
    *incoming = (struct incoming){.is_reply = type == 1};
    if (cursor.error || (type == 1 ? count != 4 : count != 3 || type != 2)) return false;
    if (type == 1) incoming->msgid = (uint32_t)mp_read_int(&cursor, 0, UINT32_MAX);
    incoming->error = mp_read_value(&cursor, REPLY_DEPTH_MAX);
    incoming->result = mp_read_value(&cursor, REPLY_DEPTH_MAX);
    return cursor.error == MP_OK && cursor.at == cursor.end;
}

static bool is_nil(struct bytes value) {
    return value.size == 1 && value.data[0] == 0xc0;
}

static void copy_text(char *to, size_t size, struct bytes from) {
    size_t length = from.size < size - 1 ? from.size : size - 1;
    if (length) memcpy(to, from.data, length);
    to[length] = '\0';
}

/* str or bin; anything else is walked past and answered as absent. */
static struct bytes read_text(struct mp_cursor *cursor) {
    enum mp_type type = mp_peek(cursor);
    if (type == MP_STR || type == MP_BIN) return mp_read_bytes(cursor);
    mp_read_value(cursor, REPLY_DEPTH_MAX);
    return BYTES_ABSENT;
}

/* An integer, or `otherwise` for anything else. */
static int64_t read_number(struct mp_cursor *cursor, int64_t otherwise) {
    struct bytes value = mp_read_value(cursor, REPLY_DEPTH_MAX);
    struct mp_cursor number = mp_cursor_of(value);
    int64_t result = mp_read_int(&number, INT64_MIN, INT64_MAX);
    return cursor->error || number.error ? otherwise : result;
}

static bool is_key(struct bytes key, const char *name) {
    return bytes_equal(key, bytes_of_string(name));
}

/* The error map of a server; a plain text, as some MessagePack-RPC servers send, is a message. */
static void read_error(struct bytes encoded, struct sessiond_error *error) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    failure_set(error, SESSIOND_ERROR_OTHER, "The server answered an error without a message.");
    if (mp_peek(&cursor) != MP_MAP) {
        struct bytes text = read_text(&cursor);
        if (!bytes_is_absent(text)) copy_text(error->message, sizeof error->message, text);
        return;
    }
    for (uint32_t left = mp_read_map(&cursor); left > 0 && !cursor.error; left--) {
        struct bytes key = read_text(&cursor);
        if (is_key(key, "code")) {
            struct bytes word = read_text(&cursor);
            error->code = failure_code((const char *)word.data, word.size);
            copy_text(error->code_name, sizeof error->code_name, word);
        } else if (is_key(key, "message")) {
            copy_text(error->message, sizeof error->message, read_text(&cursor));
        } else if (is_key(key, "status")) {
            struct bytes word = read_text(&cursor);
            error->status = status_of_word((const char *)word.data, word.size);
        } else if (is_key(key, "version")) {
            error->version = (uint64_t)read_number(&cursor, 0);
        } else if (is_key(key, "limit")) {
            error->limit = read_number(&cursor, -1);
        } else if (is_key(key, "retry_after_ms")) {
            error->retry_after_ms = read_number(&cursor, 0);
        } else {
            mp_read_value(&cursor, REPLY_DEPTH_MAX);
        }
    }
}

struct sessiond_reply *reply_make(const struct incoming *incoming) {
    bool is_error = !is_nil(incoming->error);
    struct bytes body = is_error ? incoming->error : incoming->result;
    struct sessiond_reply *reply = malloc(sizeof *reply + body.size);
    if (!reply) return NULL;
    memcpy(reply + 1, body.data, body.size);
    struct sessiond_bytes copy = {reply + 1, body.size}, none = {NULL, 0};
    failure_clear(&reply->error);
    if (is_error) read_error(body, &reply->error);
    reply->result = is_error ? none : copy;
    reply->details = is_error ? copy : none;
    return reply;
}

struct sessiond_reply *reply_make_error(const struct sessiond_error *error) {
    struct sessiond_reply *reply = calloc(1, sizeof *reply);
    if (reply) reply->error = *error;
    return reply;
}

/* ---------------------------------------------------------------- the block of a result */

/* Arrays and pool are taken from apart: whatever the order of the keys, what was measured for the arrays is aligned. */
struct block {
    char *arrays, *pool, *end; /* the arrays end at the first pool */
};

static char *take(char **at, size_t size) {
    char *taken = *at;
    *at += size;
    return taken;
}

static char *pool_take(struct block *block, size_t size) {
    assert((size_t)(block->end - block->pool) >= size);
    return take(&block->pool, size);
}

/* A zeroed block that begins with a result of `head` bytes, whose arrays take `arrays`, and whose pool fits `reply`. */
static void *block_make(struct block *block, size_t head, size_t arrays, const struct sessiond_reply *reply) {
    size_t aligned = (head + 15) & ~(size_t)15, size = aligned + arrays + reply->result.size + 1;
    char *memory = calloc(1, size);
    *block = (struct block){memory, memory, memory};
    if (memory) *block = (struct block){memory + aligned, memory + aligned + arrays, memory + size};
    return memory;
}

static struct sessiond_text block_text(struct block *block, struct mp_cursor *cursor) {
    struct bytes text = read_text(cursor);
    if (bytes_is_absent(text) || cursor->error) return (struct sessiond_text){NULL, 0};
    char *copy = pool_take(block, text.size + 1); /* zeroed, so the NUL is there */
    if (text.size) memcpy(copy, text.data, text.size);
    return (struct sessiond_text){copy, text.size};
}

static struct sessiond_bytes block_value(struct block *block, struct mp_cursor *cursor) {
    struct bytes value = mp_read_value(cursor, REPLY_DEPTH_MAX);
    if (cursor->error) return (struct sessiond_bytes){NULL, 0};
    char *copy = pool_take(block, value.size);
    memcpy(copy, value.data, value.size);
    return (struct sessiond_bytes){copy, value.size};
}

/* ---------------------------------------------------------------- records */

static void record_read_field(const struct record_field *field, struct sessiond_record *record, struct block *block,
                              struct mp_cursor *cursor) {
    void *at = (char *)record + field->offset;
    record->has |= field->bit;
    switch (field->kind) {
    case RECORD_STR: *(struct sessiond_text *)at = block_text(block, cursor); break;
    case RECORD_VALUE: *(struct sessiond_bytes *)at = block_value(block, cursor); break;
    case RECORD_UINT53:
    case RECORD_MOMENT:
    case RECORD_DURATION: *(int64_t *)at = read_number(cursor, 0); break;
    case RECORD_STATUS: {
        struct bytes word = read_text(cursor);
        *(enum sessiond_status_code *)at = status_of_word((const char *)word.data, word.size);
        break;
    }
    case RECORD_END: assert(false);
    }
}

/* Reads a record, or nil: false. */
static bool record_read(struct sessiond_record *record, struct block *block, struct mp_cursor *cursor) {
    if (mp_read_nil(cursor)) return false;
    for (uint32_t left = mp_read_map(cursor); left > 0 && !cursor->error; left--) {
        struct bytes key = read_text(cursor);
        const struct record_field *field = record_fields;
        while (field->name && !is_key(key, field->name)) field++;
        if (field->name)
            record_read_field(field, record, block, cursor);
        else
            mp_read_value(cursor, REPLY_DEPTH_MAX);
    }
    return !cursor->error;
}

/* Reads `count` records or nils. */
static const struct sessiond_record *const *records_read(uint32_t count, struct block *block,
                                                         struct mp_cursor *cursor) {
    const struct sessiond_record **pointers =
        (const struct sessiond_record **)(void *)take(&block->arrays, count * sizeof *pointers);
    struct sessiond_record *records = (struct sessiond_record *)(void *)take(&block->arrays, count * sizeof *records);
    for (uint32_t i = 0; i < count && !cursor->error; i++)
        if (record_read(&records[i], block, cursor)) pointers[i] = &records[i];
    return pointers;
}

/* What records_read takes of a block besides the pool. */
static size_t records_room(uint32_t count) {
    return count * (sizeof(struct sessiond_record *) + sizeof(struct sessiond_record));
}

/* ---------------------------------------------------------------- the typed results */

/* The cursor over a reply's result; with the reply's own error it stands still. False: there is nothing to read. */
static bool reply_begin(const struct sessiond_reply *reply, struct sessiond_error *error, struct mp_cursor *cursor,
                        int *code) {
    *code = reply->error.code;
    if (*code && error) *error = reply->error;
    if (!*code) *cursor = mp_cursor_of(bytes_of(reply->result.bytes, reply->result.size));
    return !*code;
}

/* Ends the reading of a result: gives the reply back, and hands the block out or gives that back too. */
static int reply_end(struct sessiond_reply *reply, const struct mp_cursor *cursor, void *block, void **result,
                     struct sessiond_error *error) {
    int code = 0;
    if (cursor->error || cursor->at != cursor->end)
        code =
            failure_set(error, SESSIOND_ERROR_PROTOCOL,
                        "The answer has another shape than this operation's; server and library do not fit together.");
    else if (!block && result)
        code = failure_set(error, SESSIOND_ERROR_CLIENT_MEMORY, "Memory for the answer is lacking.");
    if (code || !result)
        free(block);
    else
        *result = block;
    free(reply);
    return code;
}

/* nil, and a caller that wants no result, need no block. True: it is done, and *code says how. */
static bool reply_is_over(struct sessiond_reply *reply, void **result, struct sessiond_error *error,
                          struct mp_cursor *cursor, int *code) {
    if (result) *result = NULL;
    bool begun = reply_begin(reply, error, cursor, code);
    if (begun && result && !mp_read_nil(cursor)) return false;
    free(reply);
    return true;
}

int sessiond_reply_record(struct sessiond_reply *reply, struct sessiond_record **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    struct sessiond_record *record = block_make(&block, sizeof *record, 0, reply);
    if (record) record_read(record, &block, &cursor);
    return reply_end(reply, &cursor, record, (void **)result, error);
}

/* The count of an array that is to become structs; above COUNT_MAX nobody believes it. */
static uint32_t read_count(struct mp_cursor *cursor) {
    uint32_t count = mp_read_array(cursor);
    if (count > COUNT_MAX) cursor->error = MP_RANGE;
    return cursor->error ? 0 : count;
}

int sessiond_reply_records(struct sessiond_reply *reply, struct sessiond_records **result,
                           struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    uint32_t count = read_count(&cursor);
    struct sessiond_records *records = block_make(&block, sizeof *records, records_room(count), reply);
    if (records) {
        records->count = count;
        records->records = records_read(count, &block, &cursor);
    }
    return reply_end(reply, &cursor, records, (void **)result, error);
}

int sessiond_reply_names(struct sessiond_reply *reply, struct sessiond_names **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    uint32_t count = read_count(&cursor);
    struct sessiond_text *texts;
    struct sessiond_names *names = block_make(&block, sizeof *names, count * sizeof *texts, reply);
    if (names) {
        names->count = count;
        names->names = texts = (struct sessiond_text *)(void *)take(&block.arrays, count * sizeof *texts);
        for (uint32_t i = 0; i < count; i++) texts[i] = block_text(&block, &cursor);
    }
    return reply_end(reply, &cursor, names, (void **)result, error);
}

int sessiond_reply_value(struct sessiond_reply *reply, struct sessiond_value **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    struct sessiond_value *value = block_make(&block, sizeof *value, 0, reply);
    if (value) value->value = block_value(&block, &cursor);
    return reply_end(reply, &cursor, value, (void **)result, error);
}

/* Results that are a map of a few known keys: `entry` reads the value of one key into the result, or answers false and
 * leaves it to be walked past. */
typedef bool (*entry_reader)(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor);

static void map_read(struct mp_cursor *cursor, entry_reader entry, void *result, struct block *block) {
    for (uint32_t left = mp_read_map(cursor); left > 0 && !cursor->error; left--) {
        struct bytes key = read_text(cursor);
        if (!entry(result, key, block, cursor)) mp_read_value(cursor, REPLY_DEPTH_MAX);
    }
}

static int reply_map(struct sessiond_reply *reply, size_t head, entry_reader entry, void **result,
                     struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, result, error, &cursor, &code)) return code;
    void *memory = block_make(&block, head, 0, reply);
    if (memory) map_read(&cursor, entry, memory, &block);
    return reply_end(reply, &cursor, memory, result, error);
}

static bool written_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_written *written = result;
    if (is_key(key, "version"))
        written->version = (uint64_t)read_number(cursor, 0);
    else if (is_key(key, "expires_at"))
        written->expires_at = read_number(cursor, 0);
    else if (is_key(key, "values"))
        written->values = block_value(block, cursor);
    else
        return false;
    return true;
}

int sessiond_reply_written(struct sessiond_reply *reply, struct sessiond_written **result,
                           struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, written_entry, (void **)result, error);
}

static bool purging_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_purging *purging = result;
    (void)block;
    if (is_key(key, "enabled"))
        purging->is_enabled = mp_read_bool(cursor);
    else if (is_key(key, "interval_ms"))
        purging->interval_ms = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_purging(struct sessiond_reply *reply, struct sessiond_purging **result,
                           struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, purging_entry, (void **)result, error);
}

/* The place of a word in an enum's names, from 1 on; 0 where it is unknown. */
static unsigned enum_of_word(const char *const *names, struct bytes word) {
    for (unsigned i = 0; names[i]; i++)
        if (is_key(word, names[i])) return i + 1;
    return 0;
}

static bool policy_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    (void)block;
    const struct argument *row = policy_arguments;
    while (row->name && !is_key(key, row->name)) row++;
    if (!row->name) return false;
    void *at = (char *)result + row->offset;
    if (row->kind == ARGUMENT_NUMBER)
        *(int64_t *)at = read_number(cursor, 0);
    else if (row->kind == ARGUMENT_BOOL)
        *(enum sessiond_bool *)at = mp_read_bool(cursor) ? SESSIOND_TRUE : SESSIOND_FALSE;
    else if (row->kind == ARGUMENT_ENUM)
        *(unsigned *)at = enum_of_word(row->names, read_text(cursor));
    else
        return false;
    return true;
}

int sessiond_reply_policy(struct sessiond_reply *reply, struct sessiond_policy **result, struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, policy_entry, (void **)result, error);
}

static bool namespace_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_namespace *namespace = result;
    if (is_key(key, "name"))
    namespace->name = block_text(block, cursor);
    else if (is_key(key, "policy")) map_read(cursor, policy_entry, &namespace->policy, block);
    else if (is_key(key, "sessions")) namespace->sessions = read_number(cursor, 0);
    else if (is_key(key, "bytes")) namespace->bytes = read_number(cursor, 0);
    else if (is_key(key, "purging")) map_read(cursor, purging_entry, &namespace->purging, block);
    else return false;
    return true;
}

int sessiond_reply_namespace(struct sessiond_reply *reply, struct sessiond_namespace **result,
                             struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, namespace_entry, (void **)result, error);
}

/* How many sessions a list's map holds, without moving the cursor. */
static uint32_t list_count(struct mp_cursor cursor) {
    uint32_t count = 0;
    for (uint32_t left = mp_read_map(&cursor); left > 0 && !cursor.error; left--) {
        bool is_sessions = is_key(read_text(&cursor), "sessions");
        struct mp_cursor sessions = cursor;
        if (is_sessions) count = read_count(&sessions);
        mp_read_value(&cursor, REPLY_DEPTH_MAX);
    }
    return count;
}

/* The room was measured for `count` sessions, the last ones named: another array under the same key is walked past. */
static bool list_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_page *list = result;
    if (is_key(key, "sessions")) {
        struct mp_cursor probe = *cursor;
        if (list->sessions || read_count(&probe) != list->count || probe.error) return false;
        *cursor = probe;
        list->sessions = records_read((uint32_t)list->count, block, cursor);
    } else if (is_key(key, "cursor")) {
        list->cursor = block_text(block, cursor);
    } else if (is_key(key, "total")) {
        list->total = read_number(cursor, -1);
    } else {
        return false;
    }
    return true;
}

int sessiond_reply_page(struct sessiond_reply *reply, struct sessiond_page **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    uint32_t count = list_count(cursor);
    struct sessiond_page *list = block_make(&block, sizeof *list, records_room(count), reply);
    if (list) {
        list->count = count;
        list->total = -1;
        map_read(&cursor, list_entry, list, &block);
        if (!list->sessions && !cursor.error) cursor.error = MP_MISTYPED;
    }
    return reply_end(reply, &cursor, list, (void **)result, error);
}

/* ---------------------------------------------------------------- results that are no pointers */

/* Gives the reply back; `cursor` has read its result, if there was one. */
static int scalar_end(struct sessiond_reply *reply, const struct mp_cursor *cursor, int code,
                      struct sessiond_error *error) {
    if (code) {
        free(reply);
        return code;
    }
    return reply_end(reply, cursor, NULL, NULL, error);
}

int sessiond_reply_bool(struct sessiond_reply *reply, bool *result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    int code;
    bool answer = reply_begin(reply, error, &cursor, &code) && mp_read_bool(&cursor);
    if (result) *result = answer;
    return scalar_end(reply, &cursor, code, error);
}

int sessiond_reply_int(struct sessiond_reply *reply, int64_t *result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    int code;
    int64_t number = reply_begin(reply, error, &cursor, &code) ? mp_read_int(&cursor, INT64_MIN, INT64_MAX) : 0;
    if (result) *result = number;
    return scalar_end(reply, &cursor, code, error);
}

static bool now_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    (void)block;
    if (!is_key(key, "now")) return false;
    *(int64_t *)result = read_number(cursor, 0);
    return true;
}

int sessiond_reply_now(struct sessiond_reply *reply, int64_t *result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    int code;
    int64_t now_ms = 0;
    if (reply_begin(reply, error, &cursor, &code)) map_read(&cursor, now_entry, &now_ms, NULL);
    if (result) *result = now_ms;
    return scalar_end(reply, &cursor, code, error);
}
