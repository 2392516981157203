#include <criterion/criterion.h>
#include <stdlib.h>

#include "mp_text.h"
#include "results.h"

/* A reply whose result is the bytes. */
static struct sessiond_reply *reply_of(struct sessiond_bytes result) {
    struct incoming incoming = {
        .is_reply = true, .error = BYTES_LITERAL("\xc0"), .result = bytes_of(result.bytes, result.size)};
    return reply_make(&incoming);
}

static struct sessiond_error error;

Test(results, hand_out_a_record_with_texts_that_end_in_nul) {
    struct sessiond_record *record;
    cr_assert_eq(sessiond_reply_record(
                     reply_of(MP("\x86\xa2id\xa2s1\xa6status\xa7revoked\xa7version\xcb\x40\x14\x00\x00\x00\x00\x00\x00"
                                 "\xa4"
                                 "data\x81\xa1k\x01\xa4user\xc4\x03"
                                 "ann\xa3new\x92\x01\x02")),
                     &record, &error),
                 0, "%s", error.message);
    cr_assert_str_eq(record->id.text, "s1");
    cr_assert_eq(record->id.size, 2);
    cr_assert_str_eq(record->user.text, "ann");
    cr_assert_eq(record->status, SESSIOND_STATUS_REVOKED);
    cr_assert_eq(record->version, 5);
    cr_assert_eq(record->data.size, 4);
    cr_assert_str_eq(mp_text(record->data.bytes, record->data.size), "{\"k\"=>1}");
    cr_assert_null(record->client.text);
    cr_assert_eq(record->has, SESSIOND_FIELD_ID | SESSIOND_FIELD_STATUS | SESSIOND_FIELD_VERSION | SESSIOND_FIELD_DATA |
                                  SESSIOND_FIELD_USER);
    sessiond_free(record);
}

Test(results, hand_out_nil_as_null) {
    struct sessiond_record *record = (void *)1;
    struct sessiond_written *written = (void *)1;
    cr_assert_eq(sessiond_reply_record(reply_of(MP("\xc0")), &record, NULL), 0);
    cr_assert_eq(sessiond_reply_written(reply_of(MP("\xc0")), &written, NULL), 0);
    cr_assert_null(record);
    cr_assert_null(written);
}

Test(results, need_not_be_taken) {
    cr_assert_eq(sessiond_reply_record(reply_of(MP("\x80")), NULL, NULL), 0);
    cr_assert_eq(sessiond_reply_page(reply_of(MP("\x80")), NULL, NULL), 0);
    cr_assert_eq(sessiond_reply_bool(reply_of(MP("\xc3")), NULL, NULL), 0);
    cr_assert_eq(sessiond_reply_now(reply_of(MP("\x80")), NULL, NULL), 0);
}

Test(results, hand_out_records_with_holes) {
    struct sessiond_records *records;
    cr_assert_eq(sessiond_reply_records(reply_of(MP("\x93\x81\xa2id\xa1"
                                                    "a\xc0\x81\xa2id\xa1"
                                                    "b")),
                                        &records, &error),
                 0);
    cr_assert_eq(records->count, 3);
    cr_assert_str_eq(records->records[0]->id.text, "a");
    cr_assert_null(records->records[1]);
    cr_assert_str_eq(records->records[2]->id.text, "b");
    sessiond_free(records);
}

Test(results, hand_out_a_page_and_its_cursor) {
    struct sessiond_page *list;
    cr_assert_eq(sessiond_reply_page(reply_of(MP("\x83\xa6"
                                                 "cursor\xa1"
                                                 "c\xa8sessions\x91\x81\xa2id\xa1"
                                                 "a\xa5total\x05")),
                                     &list, &error),
                 0);
    cr_assert_eq(list->count, 1);
    cr_assert_str_eq(list->sessions[0]->id.text, "a");
    cr_assert_str_eq(list->cursor.text, "c");
    cr_assert_eq(list->total, 5);
    sessiond_free(list);
    cr_assert_eq(sessiond_reply_page(reply_of(MP("\x83\xa6"
                                                 "cursor\xc0\xa8sessions\x90\xa5total\xc0")),
                                     &list, &error),
                 0);
    cr_assert_eq(list->count, 0);
    cr_assert_null(list->cursor.text);
    cr_assert_eq(list->total, -1);
    sessiond_free(list);
}

Test(results, hand_out_the_small_shapes) {
    struct sessiond_written *written;
    cr_assert_eq(sessiond_reply_written(reply_of(MP("\x83\xa7version\x07\xaa"
                                                    "expires_at\x08\xa6values\x81\xa1n\x01")),
                                        &written, &error),
                 0);
    cr_assert_eq(written->version, 7);
    cr_assert_eq(written->expires_at, 8);
    cr_assert_str_eq(mp_text(written->values.bytes, written->values.size), "{\"n\"=>1}");
    sessiond_free(written);
    int64_t number;
    cr_assert_eq(sessiond_reply_int(reply_of(MP("\xd0\xff")), &number, &error), 0);
    cr_assert_eq(number, -1);
    cr_assert_eq(sessiond_reply_now(reply_of(MP("\x81\xa3now\x09")), &number, &error), 0);
    cr_assert_eq(number, 9);
    struct sessiond_names *names;
    cr_assert_eq(sessiond_reply_names(reply_of(MP("\x92\xa1"
                                                  "a\xa2"
                                                  "bc")),
                                      &names, &error),
                 0);
    cr_assert_eq(names->count, 2);
    cr_assert_str_eq(names->names[1].text, "bc");
    sessiond_free(names);
    struct sessiond_namespace *info;
    cr_assert_eq(sessiond_reply_namespace(
                     reply_of(MP("\x84\xa4name\xa3web\xa6policy\x83\xafidle_timeout_ms\x05\xaastrict_ids\xc3"
                                 "\xb4session_limit_policy\xa6reject\xa8sessions\x06\xa7purging\x82\xa7"
                                 "enabled\xc3\xabinterval_ms\x64")),
                     &info, &error),
                 0);
    cr_assert_str_eq(info->name.text, "web");
    cr_assert_eq(info->policy.idle_timeout_ms, 5);
    cr_assert_eq(info->policy.strict_ids, SESSIOND_TRUE);
    cr_assert_eq(info->policy.session_limit_policy, SESSIOND_SESSION_LIMIT_POLICY_REJECT);
    cr_assert_eq(info->sessions, 6);
    cr_assert(info->purging.is_enabled);
    cr_assert_eq(info->purging.interval_ms, 100);
    sessiond_free(info);
}

Test(results, say_protocol_where_the_shape_is_another) {
    struct sessiond_record *record;
    struct sessiond_records *records;
    struct sessiond_page *list;
    int64_t number;
    bool answer;
    cr_assert_eq(sessiond_reply_record(reply_of(MP("\x05")), &record, &error), SESSIOND_ERROR_PROTOCOL);
    cr_assert_eq(sessiond_reply_records(reply_of(MP("\x80")), &records, &error), SESSIOND_ERROR_PROTOCOL);
    cr_assert_eq(sessiond_reply_page(reply_of(MP("\x80")), &list, &error), SESSIOND_ERROR_PROTOCOL);
    cr_assert_eq(sessiond_reply_int(reply_of(MP("\xc3")), &number, &error), SESSIOND_ERROR_PROTOCOL);
    cr_assert_eq(sessiond_reply_bool(reply_of(MP("\x01")), &answer, &error), SESSIOND_ERROR_PROTOCOL);
    cr_assert_str_eq(error.code_name, "PROTOCOL");
}

Test(results, survive_a_list_that_names_its_sessions_twice) {
    struct sessiond_page *list;
    int code = sessiond_reply_page(reply_of(MP("\x82\xa8sessions\x93\x80\x80\x80\xa8sessions\x91\x81\xa2id\xa1z")),
                                   &list, &error);
    cr_assert_eq(code, 0);
    cr_assert_eq(list->count, 1);
    cr_assert_str_eq(list->sessions[0]->id.text, "z");
    sessiond_free(list);
}

/* Whatever a server sends: an answer or an error, and no byte outside of the block (with the sanitizers on). */
Test(results, survive_every_mutation_of_an_answer) {
    static const char seed[] = "\x83\xa6"
                               "cursor\xa1"
                               "c\xa8sessions\x92\x84\xa2id\xa1"
                               "a\xa6status\xa6"
                               "active\xa4"
                               "data\x81\xa1k\x92\x01\x02\xa7version\xcd\x01\x00\xc0\xa5total\x05";
    uint64_t chance = 42;
    for (int round = 0; round < 200000; round++) {
        char bytes[sizeof seed - 1];
        memcpy(bytes, seed, sizeof bytes);
        for (int i = 0; i < 1 + round % 3; i++) {
            chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[(chance >> 33) % sizeof bytes] = (char)(chance >> 20);
        }
        struct mp_cursor cursor = mp_cursor_of(bytes_of(bytes, sizeof bytes));
        struct bytes value = mp_read_value(&cursor, REPLY_DEPTH_MAX);
        if (cursor.error) continue;
        struct sessiond_bytes result = {value.data, value.size};
        struct sessiond_page *list;
        struct sessiond_record *record;
        struct sessiond_namespace *info;
        if (!sessiond_reply_page(reply_of(result), &list, &error)) sessiond_free(list);
        if (!sessiond_reply_record(reply_of(result), &record, &error)) sessiond_free(record);
        if (!sessiond_reply_namespace(reply_of(result), &info, &error)) sessiond_free(info);
    }
}

Test(results, read_an_error_with_its_details) {
    struct incoming incoming;
    struct bytes message = BYTES_LITERAL("\x94\x01\x05\x85\xa4"
                                         "code\xa8"
                                         "CONFLICT\xa7message\xa3No.\xa7version\x09\xa6status\xa7"
                                         "expired\xa5limit\x03\xc0");
    cr_assert(incoming_read(message, &incoming));
    struct sessiond_reply *reply = reply_make(&incoming);
    cr_assert_eq(reply->error.code, SESSIOND_ERROR_CONFLICT);
    cr_assert_str_eq(reply->error.message, "No.");
    cr_assert_eq(reply->error.version, 9);
    cr_assert_eq(reply->error.status, SESSIOND_STATUS_EXPIRED);
    cr_assert_eq(reply->error.limit, 3);
    cr_assert_null(reply->result.bytes);
    cr_assert_eq(reply->details.size, incoming.error.size);
    struct sessiond_record *record = (void *)1;
    cr_assert_eq(sessiond_reply_record(reply, &record, &error), SESSIOND_ERROR_CONFLICT);
    cr_assert_null(record);
    cr_assert_eq(error.version, 9);
}

Test(results, keep_a_code_that_is_new_as_a_word) {
    struct incoming incoming;
    cr_assert(incoming_read(BYTES_LITERAL("\x94\x01\x05\x81\xa4"
                                          "code\xa7"
                                          "TIMEOUT\xc0"),
                            &incoming));
    struct sessiond_reply *reply = reply_make(&incoming);
    cr_assert_eq(reply->error.code, SESSIOND_ERROR_OTHER, "a server's word must not pass for this library's code");
    cr_assert_str_eq(reply->error.code_name, "TIMEOUT");
    sessiond_free(reply);
    cr_assert(incoming_read(BYTES_LITERAL("\x94\x01\x05\xa4oops\xc0"), &incoming));
    reply = reply_make(&incoming);
    cr_assert_eq(reply->error.code, SESSIOND_ERROR_OTHER);
    cr_assert_str_eq(reply->error.message, "oops");
    sessiond_free(reply);
}

Test(results, hand_out_usage_with_fractions_and_truths) {
    struct sessiond_record *record;
    cr_assert_eq(sessiond_reply_record(reply_of(MP("\x85\xab"
                                                   "error_score\xcb\x40\x04\x00\x00\x00\x00\x00\x00\xaf"
                                                   "max_error_score\x03\xa7retired\xc3\xa3use\x07\xa4"
                                                   "tags\x91\xa1t")),
                                       &record, &error),
                 0, "%s", error.message);
    cr_assert_float_eq(record->error_score, 2.5, 0);
    cr_assert_float_eq(record->max_error_score, 3, 0);
    cr_assert(record->retired);
    cr_assert_eq(record->use, 7);
    cr_assert_str_eq(mp_text(record->tags.bytes, record->tags.size), "[\"t\"]");
    sessiond_free(record);
}

Test(results, hand_out_one_acquired_session_several_and_none) {
    struct sessiond_records *records;
    cr_assert_eq(sessiond_reply_acquired(reply_of(MP("\x81\xa2id\xa1"
                                                     "a")),
                                         &records, &error),
                 0);
    cr_assert_eq(records->count, 1);
    cr_assert_str_eq(records->records[0]->id.text, "a");
    sessiond_free(records);
    cr_assert_eq(sessiond_reply_acquired(reply_of(MP("\x92\x81\xa2id\xa1"
                                                     "a\x81\xa2id\xa1"
                                                     "b")),
                                         &records, &error),
                 0);
    cr_assert_eq(records->count, 2);
    cr_assert_str_eq(records->records[1]->id.text, "b");
    sessiond_free(records);
    cr_assert_eq(sessiond_reply_acquired(reply_of(MP("\xc0")), &records, &error), 0);
    cr_assert_null(records);
    cr_assert_eq(sessiond_reply_acquired(reply_of(MP("\x05")), &records, &error), SESSIOND_ERROR_PROTOCOL);
}

Test(results, hand_out_what_a_token_turned_out_to_be) {
    struct sessiond_checked *checked;
    cr_assert_eq(sessiond_reply_checked(reply_of(MP("\x83\xa5valid\xc3\xa5"
                                                    "error\xc0\xa7session\x81\xa2id\xa2s1")),
                                        &checked, &error),
                 0);
    cr_assert(checked->is_valid);
    cr_assert_null(checked->error.text);
    cr_assert_str_eq(checked->session->id.text, "s1");
    sessiond_free(checked);
    cr_assert_eq(sessiond_reply_checked(reply_of(MP("\x83\xa5valid\xc2\xa5"
                                                    "error\xadinvalid_token\xa7session\xc0")),
                                        &checked, &error),
                 0);
    cr_assert_not(checked->is_valid);
    cr_assert_str_eq(checked->error.text, "invalid_token");
    cr_assert_null(checked->session);
    sessiond_free(checked);
    cr_assert_eq(
        sessiond_reply_checked(reply_of(MP("\x82\xa5token\xa4s1.x\xa7session\x81\xa2id\xa2s1")), &checked, &error), 0);
    cr_assert(checked->is_valid, "a rotation that gave a token");
    cr_assert_str_eq(checked->token.text, "s1.x");
    sessiond_free(checked);
}

Test(results, hand_out_a_pool_with_its_policy) {
    struct sessiond_pool *pool;
    cr_assert_eq(sessiond_reply_pool(reply_of(MP("\x84\xa4name\xa1p\xa6policy\x84\xad"
                                                 "max_pool_size\x0a\xb4"
                                                 "blocked_status_codes\x92\xcd\x01\x93\xcd\x01\xad\xaf"
                                                 "max_error_score\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa8"
                                                 "strategy\xaaleast_used\xac"
                                                 "usable_count\x02\xad"
                                                 "waiting_count\x03")),
                                     &pool, &error),
                 0, "%s", error.message);
    cr_assert_str_eq(pool->name.text, "p");
    cr_assert_eq(pool->policy.max_pool_size, 10);
    cr_assert_eq(pool->policy.blocked_status_codes.count, 2);
    cr_assert_eq(pool->policy.blocked_status_codes.codes[0], 403);
    cr_assert_eq(pool->policy.blocked_status_codes.codes[1], 429);
    cr_assert_float_eq(pool->policy.max_error_score, 1.5, 0);
    cr_assert_eq(pool->policy.strategy, SESSIOND_POOL_STRATEGY_LEAST_USED);
    cr_assert_eq(pool->usable_count, 2);
    cr_assert_eq(pool->waiting_count, 3);
    sessiond_free(pool);
}

Test(results, hand_out_a_policys_cookie) {
    struct sessiond_policy *policy;
    cr_assert_eq(sessiond_reply_policy(reply_of(MP("\x82\xa6"
                                                   "cookie\x85\xa4name\xa3sid\xa6secure\xa4"
                                                   "auto\xa9same_site\xc2\xa9http_only\xc2\xa3new\x01\xae"
                                                   "binding_policy\xa6report")),
                                       &policy, &error),
                 0, "%s", error.message);
    cr_assert_str_eq(policy->cookie.name, "sid");
    cr_assert_null(policy->cookie.path);
    cr_assert_eq(policy->cookie.secure, SESSIOND_COOKIE_SECURE_AUTO);
    cr_assert_eq(policy->cookie.same_site, SESSIOND_SAME_SITE_ABSENT);
    cr_assert_eq(policy->cookie.http_only, SESSIOND_FALSE);
    cr_assert_eq(policy->binding_policy, SESSIOND_BINDING_POLICY_REPORT);
    sessiond_free(policy);
}

Test(results, hand_out_clients_states_marks_and_cookies) {
    struct sessiond_client_sessions *client;
    cr_assert_eq(sessiond_reply_client(reply_of(MP("\x84\xa2id\xa1"
                                                   "c\xa8sessions\x91\x81\xa2id\xa2s1\xb3last_active_session\xa2s1\xaf"
                                                   "default_session\xc0")),
                                       &client, &error),
                 0);
    cr_assert_str_eq(client->id.text, "c");
    cr_assert_eq(client->count, 1);
    cr_assert_str_eq(client->sessions[0]->id.text, "s1");
    cr_assert_str_eq(client->last_active_session.text, "s1");
    cr_assert_null(client->default_session.text);
    sessiond_free(client);
    struct sessiond_pool_sessions *state;
    cr_assert_eq(sessiond_reply_pool_state(reply_of(MP("\x83\xad"
                                                       "retired_count\x04\xa8sessions\x90\xa6"
                                                       "cursor\xa1x")),
                                           &state, &error),
                 0);
    cr_assert_eq(state->count, 0);
    cr_assert_eq(state->retired_count, 4);
    cr_assert_str_eq(state->cursor.text, "x");
    sessiond_free(state);
    struct sessiond_marked *marked;
    cr_assert_eq(sessiond_reply_marked(reply_of(MP("\x84\xabusage_count\x04\xab"
                                                   "error_score\x06\xa6usable\xc2\xa7retired\xc3")),
                                       &marked, &error),
                 0);
    cr_assert_eq(marked->usage_count, 4);
    cr_assert_float_eq(marked->error_score, 6, 0);
    cr_assert_not(marked->is_usable);
    cr_assert(marked->is_retired);
    sessiond_free(marked);
    struct sessiond_cookie *cookie;
    cr_assert_eq(sessiond_reply_cookie(reply_of(MP("\x82\xa5value\xa1v\xa9key_index\x01")), &cookie, &error), 0);
    cr_assert_str_eq(cookie->value.text, "v");
    cr_assert_eq(cookie->key_index, 1);
    sessiond_free(cookie);
}

Test(results, hand_out_texts_watches_and_what_was_there_to_release) {
    struct sessiond_text *text;
    cr_assert_eq(sessiond_reply_text(reply_of(MP("\xa3sid")), &text, &error), 0);
    cr_assert_str_eq(text->text, "sid");
    sessiond_free(text);
    cr_assert_eq(sessiond_reply_text(reply_of(MP("\xc0")), &text, &error), 0);
    cr_assert_null(text);
    cr_assert_eq(sessiond_reply_text(reply_of(MP("\x05")), &text, &error), SESSIOND_ERROR_PROTOCOL);
    int64_t watch;
    cr_assert_eq(sessiond_reply_watch(reply_of(MP("\x81\xa5watch\x03")), &watch, &error), 0);
    cr_assert_eq(watch, 3);
    bool was_there = true;
    cr_assert_eq(sessiond_reply_bool(reply_of(MP("\xc0")), &was_there, &error), 0);
    cr_assert_not(was_there);
}
