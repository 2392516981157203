/* How a typed result is read.
 *
 * Always true: counts size an allocation only after they were held against the bytes that are there and against
 * COUNT_MAX; a result of another shape than asked is a PROTOCOL error, never a crash.
 * A result is one block: its struct, its arrays, then a pool for texts and values. The pool has as many bytes as the
 * encoded result, which is enough: a text with its NUL is never longer than with its head. Any thread. */
#include "shape.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { COUNT_MAX = 1 << 16 /* records or names in one result */ };

/* str or bin; anything else is walked past and answered as absent. */
struct bytes read_text(struct mp_cursor *cursor) {
    enum mp_type type = mp_peek(cursor);
    if (type == MP_STR || type == MP_BIN) return mp_read_bytes(cursor);
    mp_read_value(cursor, REPLY_DEPTH_MAX);
    return BYTES_ABSENT;
}

/* An integer, or `otherwise` for anything else. */
int64_t read_number(struct mp_cursor *cursor, int64_t otherwise) {
    struct bytes value = mp_read_value(cursor, REPLY_DEPTH_MAX);
    struct mp_cursor number = mp_cursor_of(value);
    int64_t result = mp_read_int(&number, INT64_MIN, INT64_MAX);
    return cursor->error || number.error ? otherwise : result;
}

double read_score(struct mp_cursor *cursor) {
    struct mp_cursor number = mp_cursor_of(mp_read_value(cursor, REPLY_DEPTH_MAX));
    double result = mp_read_double(&number);
    return cursor->error || number.error ? 0 : result;
}

bool is_key(struct bytes key, const char *name) {
    return bytes_equal(key, bytes_of_string(name));
}

/* ---------------------------------------------------------------- the block of a result */

char *block_take(char **at, size_t size) {
    char *taken = *at;
    *at += size;
    return taken;
}

static char *pool_take(struct block *block, size_t size) {
    assert((size_t)(block->end - block->pool) >= size);
    return block_take(&block->pool, size);
}

void *block_make(struct block *block, size_t head, size_t arrays, size_t encoded) {
    size_t aligned = (head + 15) & ~(size_t)15, size = aligned + arrays + encoded + 1;
    char *memory = calloc(1, size);
    *block = (struct block){memory, memory, memory};
    if (memory) *block = (struct block){memory + aligned, memory + aligned + arrays, memory + size};
    return memory;
}

struct sessiond_text block_text(struct block *block, struct mp_cursor *cursor) {
    struct bytes text = read_text(cursor);
    if (bytes_is_absent(text) || cursor->error) return (struct sessiond_text){NULL, 0};
    char *copy = pool_take(block, text.size + 1); /* zeroed, so the NUL is there */
    if (text.size) memcpy(copy, text.data, text.size);
    return (struct sessiond_text){copy, text.size};
}

struct sessiond_bytes block_value(struct block *block, struct mp_cursor *cursor) {
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
    case RECORD_SCORE: *(double *)at = read_score(cursor); break;
    case RECORD_BOOL: *(bool *)at = mp_read_bool(cursor); break;
    case RECORD_END: assert(false);
    }
}

/* Reads a record, or nil: false. */
bool record_read(struct sessiond_record *record, struct block *block, struct mp_cursor *cursor) {
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
const struct sessiond_record *const *records_read(uint32_t count, struct block *block, struct mp_cursor *cursor) {
    const struct sessiond_record **pointers =
        (const struct sessiond_record **)(void *)block_take(&block->arrays, count * sizeof *pointers);
    struct sessiond_record *records =
        (struct sessiond_record *)(void *)block_take(&block->arrays, count * sizeof *records);
    for (uint32_t i = 0; i < count && !cursor->error; i++)
        if (record_read(&records[i], block, cursor)) pointers[i] = &records[i];
    return pointers;
}

/* What records_read takes of a block besides the pool. */
size_t records_room(uint32_t count) {
    return count * (sizeof(struct sessiond_record *) + sizeof(struct sessiond_record));
}

/* The cursor over a reply's result; with the reply's own error it stands still. False: there is nothing to read. */
bool reply_begin(const struct sessiond_reply *reply, struct sessiond_error *error, struct mp_cursor *cursor,
                 int *code) {
    *code = reply->error.code;
    if (*code && error) *error = reply->error;
    if (!*code) *cursor = mp_cursor_of(bytes_of(reply->result.bytes, reply->result.size));
    return !*code;
}

/* Ends the reading of a result: gives the reply back, and hands the block out or gives that back too. */
int reply_end(struct sessiond_reply *reply, const struct mp_cursor *cursor, void *block, void **result,
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
bool reply_is_over(struct sessiond_reply *reply, void **result, struct sessiond_error *error, struct mp_cursor *cursor,
                   int *code) {
    if (result) *result = NULL;
    bool begun = reply_begin(reply, error, cursor, code);
    if (begun && result && !mp_read_nil(cursor)) return false;
    free(reply);
    return true;
}

/* The count of an array that is to become structs; above COUNT_MAX nobody believes it. */
uint32_t read_count(struct mp_cursor *cursor) {
    uint32_t count = mp_read_array(cursor);
    if (count > COUNT_MAX) cursor->error = MP_RANGE;
    return cursor->error ? 0 : count;
}

void map_read(struct mp_cursor *cursor, entry_reader entry, void *result, struct block *block) {
    for (uint32_t left = mp_read_map(cursor); left > 0 && !cursor->error; left--) {
        struct bytes key = read_text(cursor);
        if (!entry(result, key, block, cursor)) mp_read_value(cursor, REPLY_DEPTH_MAX);
    }
}

int reply_map(struct sessiond_reply *reply, size_t head, size_t arrays, entry_reader entry, void **result,
              struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, result, error, &cursor, &code)) return code;
    void *memory = block_make(&block, head, arrays, reply->result.size);
    if (memory) map_read(&cursor, entry, memory, &block);
    return reply_end(reply, &cursor, memory, result, error);
}

/* How many sessions a map holds, without moving the cursor. */
static uint32_t sessions_count(struct mp_cursor cursor) {
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
bool sessions_read(struct sessions *list, struct block *block, struct mp_cursor *cursor) {
    struct mp_cursor probe = *cursor;
    if (list->sessions || read_count(&probe) != list->count || probe.error) return false;
    *cursor = probe;
    list->sessions = records_read((uint32_t)list->count, block, cursor);
    return true;
}

int reply_sessions(struct sessiond_reply *reply, const void *empty, size_t head, entry_reader entry, void **result,
                   struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, result, error, &cursor, &code)) return code;
    uint32_t count = sessions_count(cursor);
    struct sessions *list = block_make(&block, head, records_room(count), reply->result.size);
    if (list) {
        memcpy(list, empty, head);
        list->count = count;
        map_read(&cursor, entry, list, &block);
        if (!list->sessions && !cursor.error) cursor.error = MP_MISTYPED;
    }
    return reply_end(reply, &cursor, list, result, error);
}
