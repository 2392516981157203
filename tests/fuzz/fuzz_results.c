/* A message of a hostile server, as every typed result: each is a whole result whose texts and values can be read to
 * their ends, or nothing and an error with a sentence. */
#include "results.h"

#include <string.h>

#include "fuzz/target.h"

/* ---- what a caller may read */

static void check_text(struct sessiond_text text) {
    if (!text.text) {
        REQUIRE(text.size == 0);
        return;
    }
    REQUIRE(text.text[text.size] == '\0' && strlen(text.text) <= text.size);
}

static void check_value(struct sessiond_bytes value) {
    if (!value.bytes) {
        REQUIRE(value.size == 0);
        return;
    }
    struct mp_cursor cursor = mp_cursor_of(bytes_of(value.bytes, value.size));
    REQUIRE(mp_read_value(&cursor, REPLY_DEPTH_MAX).size == value.size);
}

static void check_record(const struct sessiond_record *record) {
    if (!record) return;
    for (const struct record_field *field = record_fields; field->name; field++) {
        const void *at = (const char *)record + field->offset;
        struct sessiond_text text;
        struct sessiond_bytes value;
        if (field->kind == RECORD_STR) {
            memcpy(&text, at, sizeof text);
            check_text(text);
            REQUIRE(!text.text || record->has & field->bit);
        } else if (field->kind == RECORD_VALUE) {
            memcpy(&value, at, sizeof value);
            check_value(value);
            REQUIRE(!value.bytes || record->has & field->bit);
        }
    }
}

static void check_error(const struct sessiond_error *error) {
    REQUIRE(memchr(error->message, '\0', sizeof error->message));
    REQUIRE(memchr(error->code_name, '\0', sizeof error->code_name));
}

/* An answer is a result, or nil, or a code that the error tells again. */
static bool is_result(int code, const void *result, const struct sessiond_error *error) {
    if (code == 0) return result != NULL;
    REQUIRE(!result && error->code == code);
    check_error(error);
    return false;
}

/* ---- the typed functions; each takes its reply over */

static struct sessiond_reply *make(const struct incoming *incoming) {
    struct sessiond_reply *reply = reply_make(incoming);
    if (!reply) abort();
    check_error(&reply->error);
    REQUIRE((reply->error.code != 0) == (reply->result.bytes == NULL));
    check_value(reply->result);
    check_value(reply->details);
    return reply;
}

static void take_records(const struct incoming *incoming, struct sessiond_error *error) {
    int code;
    struct sessiond_record *record;
    struct sessiond_records *records;
    struct sessiond_page *page;
    code = sessiond_reply_record(make(incoming), &record, error);
    if (is_result(code, record, error)) check_record(record);
    sessiond_free(record);
    code = sessiond_reply_records(make(incoming), &records, error);
    if (is_result(code, records, error))
        for (size_t i = 0; i < records->count; i++) check_record(records->records[i]);
    sessiond_free(records);
    code = sessiond_reply_page(make(incoming), &page, error);
    if (is_result(code, page, error)) {
        check_text(page->cursor);
        for (size_t i = 0; i < page->count; i++) check_record(page->sessions[i]);
    }
    sessiond_free(page);
}

static void take_names_and_values(const struct incoming *incoming, struct sessiond_error *error) {
    int code;
    struct sessiond_names *names;
    struct sessiond_value *value;
    struct sessiond_written *written;
    code = sessiond_reply_names(make(incoming), &names, error);
    if (is_result(code, names, error))
        for (size_t i = 0; i < names->count; i++) check_text(names->names[i]);
    sessiond_free(names);
    code = sessiond_reply_value(make(incoming), &value, error);
    if (is_result(code, value, error)) check_value(value->value);
    sessiond_free(value);
    code = sessiond_reply_written(make(incoming), &written, error);
    if (is_result(code, written, error)) check_value(written->values);
    sessiond_free(written);
}

static void take_namespaces(const struct incoming *incoming, struct sessiond_error *error) {
    int code;
    struct sessiond_namespace *namespace;
    struct sessiond_policy *policy;
    struct sessiond_purging *purging;
    struct sessiond_snapshot *snapshot;
    code = sessiond_reply_namespace(make(incoming), &namespace, error);
    if (is_result(code, namespace, error)) check_text(namespace->name);
    sessiond_free(namespace);
    code = sessiond_reply_policy(make(incoming), &policy, error);
    if (is_result(code, policy, error)) {
        REQUIRE(policy->strict_ids <= SESSIOND_FALSE);
        const struct sessiond_cookie_attributes *cookie = &policy->cookie;
        REQUIRE(cookie->same_site <= SESSIOND_SAME_SITE_AUTO && cookie->secure <= SESSIOND_COOKIE_SECURE_AUTO);
        if (cookie->name) REQUIRE(strlen(cookie->name) <= incoming->result.size);
    }
    sessiond_free(policy);
    code = sessiond_reply_purging(make(incoming), &purging, error);
    is_result(code, purging, error);
    sessiond_free(purging);
    code = sessiond_reply_snapshot(make(incoming), &snapshot, error);
    is_result(code, snapshot, error);
    sessiond_free(snapshot);
}

static void take_sessions(const struct incoming *incoming, struct sessiond_error *error) {
    int code;
    struct sessiond_records *acquired;
    struct sessiond_client_sessions *client;
    struct sessiond_pool_sessions *state;
    struct sessiond_checked *checked;
    code = sessiond_reply_acquired(make(incoming), &acquired, error);
    if (is_result(code, acquired, error))
        for (size_t i = 0; i < acquired->count; i++) check_record(acquired->records[i]);
    sessiond_free(acquired);
    code = sessiond_reply_client(make(incoming), &client, error);
    if (is_result(code, client, error)) {
        check_text(client->id);
        check_text(client->last_active_session);
        check_text(client->default_session);
        for (size_t i = 0; i < client->count; i++) check_record(client->sessions[i]);
    }
    sessiond_free(client);
    code = sessiond_reply_pool_state(make(incoming), &state, error);
    if (is_result(code, state, error)) {
        check_text(state->cursor);
        for (size_t i = 0; i < state->count; i++) check_record(state->sessions[i]);
    }
    sessiond_free(state);
    code = sessiond_reply_checked(make(incoming), &checked, error);
    if (is_result(code, checked, error)) {
        check_text(checked->error);
        check_text(checked->token);
        check_record(checked->session);
    }
    sessiond_free(checked);
}

static void take_pools_and_cookies(const struct incoming *incoming, struct sessiond_error *error) {
    int code;
    struct sessiond_pool *pool;
    struct sessiond_marked *marked;
    struct sessiond_text *text;
    struct sessiond_cookie *cookie;
    code = sessiond_reply_pool(make(incoming), &pool, error);
    if (is_result(code, pool, error)) {
        check_text(pool->name);
        const struct sessiond_codes *codes = &pool->policy.blocked_status_codes;
        uint32_t sum = 0;
        for (size_t i = 0; i < codes->count; i++) sum += codes->codes[i];
        REQUIRE(sum <= codes->count * UINT16_MAX);
    }
    sessiond_free(pool);
    code = sessiond_reply_marked(make(incoming), &marked, error);
    is_result(code, marked, error);
    sessiond_free(marked);
    code = sessiond_reply_text(make(incoming), &text, error);
    if (is_result(code, text, error)) check_text(*text);
    sessiond_free(text);
    code = sessiond_reply_cookie(make(incoming), &cookie, error);
    if (is_result(code, cookie, error)) check_text(cookie->value);
    sessiond_free(cookie);
}

static void take_scalars(const struct incoming *incoming, struct sessiond_error *error) {
    bool truth;
    int64_t number;
    if (sessiond_reply_bool(make(incoming), &truth, error)) REQUIRE(!truth);
    if (sessiond_reply_int(make(incoming), &number, error)) REQUIRE(number == 0);
    sessiond_reply_now(make(incoming), &number, error);
    sessiond_reply_watch(make(incoming), &number, error);
}

/* Those who want no result, or no error, need not take them. */
static void take_nothing(const struct incoming *incoming) {
    sessiond_reply_record(make(incoming), NULL, NULL);
    sessiond_reply_page(make(incoming), NULL, NULL);
    sessiond_reply_bool(make(incoming), NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct incoming incoming;
    struct sessiond_error error;
    if (!incoming_read(bytes_of(data, size), &incoming) || !incoming.is_reply) return 0;
    take_records(&incoming, &error);
    take_names_and_values(&incoming, &error);
    take_namespaces(&incoming, &error);
    take_sessions(&incoming, &error);
    take_pools_and_cookies(&incoming, &error);
    take_scalars(&incoming, &error);
    take_nothing(&incoming);
    return 0;
}
