/* Typed results that are a value, a name, a text or a number. Any thread. */
#include <stdlib.h>

#include "shape.h"

int sessiond_reply_names(struct sessiond_reply *reply, struct sessiond_names **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    uint32_t count = read_count(&cursor);
    struct sessiond_text *texts;
    struct sessiond_names *names = block_make(&block, sizeof *names, count * sizeof *texts, reply->result.size);
    if (names) {
        names->count = count;
        names->names = texts = (struct sessiond_text *)(void *)block_take(&block.arrays, count * sizeof *texts);
        for (uint32_t i = 0; i < count; i++) texts[i] = block_text(&block, &cursor);
    }
    return reply_end(reply, &cursor, names, (void **)result, error);
}

int sessiond_reply_value(struct sessiond_reply *reply, struct sessiond_value **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    struct sessiond_value *value = block_make(&block, sizeof *value, 0, reply->result.size);
    if (value) value->value = block_value(&block, &cursor);
    return reply_end(reply, &cursor, value, (void **)result, error);
}

int sessiond_reply_text(struct sessiond_reply *reply, struct sessiond_text **result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    struct block block;
    int code;
    if (reply_is_over(reply, (void **)result, error, &cursor, &code)) return code;
    struct sessiond_text *text = block_make(&block, sizeof *text, 0, reply->result.size);
    if (text) {
        *text = block_text(&block, &cursor);
        if (!text->text && !cursor.error) cursor.error = MP_MISTYPED;
    }
    return reply_end(reply, &cursor, text, (void **)result, error);
}

static bool cookie_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_cookie *cookie = result;
    if (is_key(key, "value"))
        cookie->value = block_text(block, cursor);
    else if (is_key(key, "key_index"))
        cookie->key_index = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_cookie(struct sessiond_reply *reply, struct sessiond_cookie **result, struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, 0, cookie_entry, (void **)result, error);
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
    /* nil is what an operation answers that found nothing to do it to. */
    bool answer = reply_begin(reply, error, &cursor, &code) && !mp_read_nil(&cursor) && mp_read_bool(&cursor);
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

static bool watch_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    (void)block;
    if (!is_key(key, "watch")) return false;
    *(int64_t *)result = read_number(cursor, 0);
    return true;
}

int sessiond_reply_watch(struct sessiond_reply *reply, int64_t *result, struct sessiond_error *error) {
    struct mp_cursor cursor;
    int code;
    int64_t watch = 0;
    if (reply_begin(reply, error, &cursor, &code)) map_read(&cursor, watch_entry, &watch, NULL);
    if (result) *result = watch;
    return scalar_end(reply, &cursor, code, error);
}
