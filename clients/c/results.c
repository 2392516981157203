/* Messages of the server, and replies. What is in a reply is read by shape.c and the files that use it.
 *
 * Always true: the bytes come from the other side of a connection, so nothing in them is believed. A message is walked
 * through whole before anything is copied. Any thread. */
#include "results.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "shape.h"

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
