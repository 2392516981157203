/* Typed results that hold sessions, or say what became of one. Any thread. */
#include <stdlib.h>

#include "shape.h"

int sessiond_reply_record(struct sessiond_reply *reply, struct sessiond_record **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    struct sessiond_record *record = block_make(&block, sizeof *record, 0, reply->result.size);
    if (record) record_read(record, &block, &cursor);
    return reply_end(reply, &cursor, record, (void **)result, error);
}

int sessiond_reply_records(struct sessiond_reply *reply, struct sessiond_records **result,
                           struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    uint32_t count = read_count(&cursor);
    struct sessiond_records *records = block_make(&block, sizeof *records, records_room(count), reply->result.size);
    if (records) {
        records->count = count;
        records->records = records_read(count, &block, &cursor);
    }
    return reply_end(reply, &cursor, records, (void **)result, error);
}

int sessiond_reply_acquired(struct sessiond_reply *reply, struct sessiond_records **result,
                            struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    bool is_one = mp_peek(&cursor) == MP_MAP;
    uint32_t count = is_one ? 1 : read_count(&cursor);
    struct sessiond_records *records = block_make(&block, sizeof *records, records_room(count), reply->result.size);
    if (records) {
        records->count = count;
        records->records = records_read(count, &block, &cursor);
    }
    return reply_end(reply, &cursor, records, (void **)result, error);
}

static bool page_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_page *page = result;
    if (is_key(key, "sessions")) return sessions_read(result, block, cursor);
    if (is_key(key, "cursor"))
        page->cursor = block_text(block, cursor);
    else if (is_key(key, "total"))
        page->total = read_number(cursor, -1);
    else
        return false;
    return true;
}

int sessiond_reply_page(struct sessiond_reply *reply, struct sessiond_page **result, struct sessiond_error *error) {
    static const struct sessiond_page empty = {.total = -1};
    return reply_sessions(reply, &empty, sizeof empty, page_entry, (void **)result, error);
}

static bool client_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_client_sessions *client = result;
    if (is_key(key, "sessions")) return sessions_read(result, block, cursor);
    if (is_key(key, "id"))
        client->id = block_text(block, cursor);
    else if (is_key(key, "last_active_session"))
        client->last_active_session = block_text(block, cursor);
    else if (is_key(key, "default_session"))
        client->default_session = block_text(block, cursor);
    else if (is_key(key, "created_at"))
        client->created_at = read_number(cursor, 0);
    else if (is_key(key, "updated_at"))
        client->updated_at = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_client(struct sessiond_reply *reply, struct sessiond_client_sessions **result,
                          struct sessiond_error *error) {
    static const struct sessiond_client_sessions empty;
    return reply_sessions(reply, &empty, sizeof empty, client_entry, (void **)result, error);
}

static bool pool_state_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_pool_sessions *state = result;
    if (is_key(key, "sessions")) return sessions_read(result, block, cursor);
    if (is_key(key, "cursor"))
        state->cursor = block_text(block, cursor);
    else if (is_key(key, "usable_count"))
        state->usable_count = read_number(cursor, 0);
    else if (is_key(key, "retired_count"))
        state->retired_count = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_pool_state(struct sessiond_reply *reply, struct sessiond_pool_sessions **result,
                              struct sessiond_error *error) {
    static const struct sessiond_pool_sessions empty;
    return reply_sessions(reply, &empty, sizeof empty, pool_state_entry, (void **)result, error);
}

/* Room was measured for one session: a second one is walked past. */
static bool checked_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_checked *checked = result;
    if (is_key(key, "session") && !checked->session) {
        checked->session = records_read(1, block, cursor)[0];
    } else if (is_key(key, "valid")) {
        checked->is_valid = mp_read_bool(cursor);
    } else if (is_key(key, "error")) {
        checked->error = block_text(block, cursor);
    } else if (is_key(key, "token")) {
        checked->token = block_text(block, cursor);
        checked->is_valid = checked->token.text != NULL;
    } else {
        return false;
    }
    return true;
}

int sessiond_reply_checked(struct sessiond_reply *reply, struct sessiond_checked **result,
                           struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, records_room(1), checked_entry, (void **)result, error);
}

static bool marked_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_marked *marked = result;
    (void)block;
    if (is_key(key, "usage_count"))
        marked->usage_count = (uint64_t)read_number(cursor, 0);
    else if (is_key(key, "error_score"))
        marked->error_score = read_score(cursor);
    else if (is_key(key, "usable"))
        marked->is_usable = mp_read_bool(cursor);
    else if (is_key(key, "retired"))
        marked->is_retired = mp_read_bool(cursor);
    else
        return false;
    return true;
}

int sessiond_reply_marked(struct sessiond_reply *reply, struct sessiond_marked **result, struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, 0, marked_entry, (void **)result, error);
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
    return reply_map(reply, sizeof **result, 0, written_entry, (void **)result, error);
}
