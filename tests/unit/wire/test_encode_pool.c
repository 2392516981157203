/* Records of a pool's session, with handles, tokens and the numbers of a hand-out, byte for byte. */
#include <criterion/criterion.h>

#include "encoded.h"
#include "wire/codec.h"

#define NOW INT64_C(1767225600000)

static struct session pool_session(const struct usage *usage) {
    return (struct session){.id = BYTES_LITERAL("s1"),
                            .pool = BYTES_LITERAL("p"),
                            .tags = bytes_of("\x92\xa1"
                                             "a\xa1"
                                             "b",
                                             5),
                            .data = bytes_of("\x80", 1),
                            .version = 7,
                            .created_at = NOW,
                            .last_active_at = NOW,
                            .status = STATUS_ACTIVE,
                            .usage = usage};
}

/* The fields of pools and all behind them. */
#define FIELDS_BEHIND (FIELDS_ALL << FIELD_POOL)

Test(encode_pool, writes_a_session_that_was_never_used) {
    struct buf out = BUF_EMPTY;
    struct usage usage = {.max_usage_count = 50, .max_error_score = 3, .error_score_decrement = 0.5};
    struct session session = pool_session(&usage);
    codec_write_record(&out, &session, FIELDS_BEHIND, NOW);
    expect_encoded(&out, "{'pool': 'p', 'tags': ['a', 'b'], 'usage_count': 0, 'max_usage_count': 50, 'error_count': 0,"
                         "'error_score': 0, 'max_error_score': 3, 'error_score_decrement': 0.5}");
    buf_fini(&out);
}

Test(encode_pool, writes_what_a_hand_out_adds) {
    struct buf out = BUF_EMPTY;
    struct usage usage = {.usage_count = 4,
                          .max_usage_count = 4,
                          .error_count = 3,
                          .error_score = 2.5,
                          .max_error_score = 300,
                          .error_score_decrement = 1,
                          .last_used_at = NOW,
                          .lease_expires_at = NOW + 5,
                          .retired_at = NOW + 1};
    struct session session = pool_session(&usage);
    struct record_extra extra = {.use = 4, .fence = 775736524800001};
    codec_write_record_with(&out, &session, &extra, FIELDS_BEHIND, NOW);
    expect_encoded(&out, "{'pool': 'p', 'tags': ['a', 'b'], 'usage_count': 4, 'max_usage_count': 4, 'error_count': 3,"
                         "'error_score': 2.5, 'max_error_score': 300, 'error_score_decrement': 1, 'retired': true,"
                         "'last_used_at': 1767225600000, 'lease_expires_at': 1767225600005, 'use': 4,"
                         "'fence': 775736524800001}");
    codec_write_record_with(&out, &session, &extra, FIELD_BIT(FIELD_FENCE) | FIELD_BIT(FIELD_USAGE_COUNT), NOW);
    expect_encoded(&out, "{'usage_count': 4, 'fence': 775736524800001}");
    buf_fini(&out);
}

Test(encode_pool, has_no_fields_of_pools_in_other_sessions) {
    struct buf out = BUF_EMPTY;
    struct session session = pool_session(NULL);
    session.pool = session.tags = BYTES_ABSENT;
    codec_write_record(&out, &session, FIELDS_BEHIND, NOW);
    expect_encoded(&out, "{}");
    buf_fini(&out);
}

Test(encode_pool, answers_a_token_only_where_one_is_given) {
    struct buf out = BUF_EMPTY;
    struct session session = pool_session(NULL);
    session.token = BYTES_LITERAL("what is kept of it");
    uint64_t fields = FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_TOKEN);
    codec_write_record(&out, &session, fields, NOW);
    expect_encoded(&out, "{'id': 's1'}");
    codec_write_record_with(&out, &session, &(struct record_extra){.token = BYTES_LITERAL("s1.secret")}, fields, NOW);
    expect_encoded(&out, "{'id': 's1', 'token': 's1.secret'}");
    buf_fini(&out);
}

Test(encode_pool, answers_the_handle_of_a_hashed_id_and_the_id_only_to_who_gave_it) {
    struct buf out = BUF_EMPTY;
    struct session session = pool_session(NULL);
    session.id = BYTES_LITERAL("the handle");
    uint64_t fields = FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_HANDLE);
    codec_write_record_with(&out, &session, &(struct record_extra){.is_hashed = true}, fields, NOW);
    expect_encoded(&out, "{'handle': 'the handle'}");
    codec_write_record_with(&out, &session, &(struct record_extra){.is_hashed = true, .id = BYTES_LITERAL("the id")},
                            fields, NOW);
    expect_encoded(&out, "{'id': 'the id', 'handle': 'the handle'}");
    codec_write_record_with(&out, &session, &(struct record_extra){.id = BYTES_LITERAL("asked for")}, fields, NOW);
    expect_encoded(&out, "{'id': 'asked for'}");
    buf_fini(&out);
}

Test(encode_pool, reserves_enough_for_the_longest_record) {
    static char text[1024];
    memset(text, 't', sizeof text);
    struct usage usage = {.usage_count = UINT64_MAX / 2,
                          .max_usage_count = UINT64_MAX / 2,
                          .error_count = UINT64_MAX / 2,
                          .error_score = 0.1,
                          .max_error_score = 0.1,
                          .error_score_decrement = 0.1,
                          .last_used_at = INT64_MAX,
                          .lease_expires_at = INT64_MAX,
                          .retired_at = 1};
    struct session session = pool_session(&usage);
    struct bytes longest = bytes_of(text, 255), reason = bytes_of(text, sizeof text);
    session.id = session.user = session.client = session.pool = session.replaced_by = longest;
    session.reason = reason;
    session.status = STATUS_REPLACED;
    session.status_at = session.created_at = session.absolute_expires_at = session.last_active_at = INT64_MAX / 2;
    session.abandon_timeout_ms = session.idle_timeout_ms = session.absolute_timeout_ms = INT64_MAX / 4;
    session.meta = session.data;
    struct record_extra extra = {
        .id = longest, .is_hashed = true, .token = reason, .use = UINT64_MAX / 2, .fence = UINT64_MAX / 2};
    struct buf out = BUF_EMPTY;
    codec_write_record_with(&out, &session, &extra, FIELDS_ALL, INT64_MAX / 2); /* it asserts its own bound */
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&out));
    cr_assert_eq(mp_read_map(&cursor), FIELD_END - 1);
    cursor = mp_cursor_of(buf_bytes(&out));
    cr_assert_eq(mp_read_value(&cursor, 8).size, out.size);
    buf_fini(&out);
}

Test(encode_pool, names_events) {
    cr_assert_str_eq(event_name(EVENT_TOKEN_REUSED), "token_reused");
    cr_assert_str_eq(event_name(EVENT_LAGGED), "lagged");
    cr_assert_str_eq(event_name(EVENT_NONE), "none");
    cr_assert_str_eq(event_name(EVENT_END), "none");
}
