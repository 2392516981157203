/* Replies: envelopes, errors, records and policies, byte for byte. */
#define _GNU_SOURCE /* memmem */
#include <criterion/criterion.h>
#include <msgpack.h>

#include "encoded.h"
#include "wire/codec.h"

#define NOW INT64_C(1767225600000)

static struct session plain_session(void) {
    return (struct session){.id = BYTES_LITERAL("s1"),
                            .data = bytes_of("\x80", 1),
                            .version = 775736524800001,
                            .created_at = NOW,
                            .last_active_at = NOW,
                            .idle_timeout_ms = 86400000,
                            .status = STATUS_ACTIVE};
}

Test(encode, begins_a_result_with_the_shortest_msgid) {
    struct buf out = BUF_EMPTY;
    const struct {
        uint64_t msgid;
        const char *expected;
    } cases[] = {{0, "x'940100c0'"}, {127, "x'94017fc0'"}, {128, "x'9401cc80c0'"}, {UINT32_MAX, "x'9401ceffffffffc0'"}};
    for (size_t i = 0; i < 4; i++) {
        codec_begin_result(&out, cases[i].msgid);
        expect_encoded(&out, cases[i].expected);
    }
    buf_fini(&out);
}

Test(encode, writes_an_error_with_only_the_details_that_it_has) {
    struct buf out = BUF_EMPTY;
    struct error error = error_make(ERROR_BAD_REQUEST, "Send less.");
    codec_write_error(&out, 5, &error);
    expect_encoded(&out, "[1, 5, {'code': 'BAD_REQUEST', 'message': 'Send less.'}, nil]");
    error = error_make(ERROR_CONFLICT, "Read it again.");
    error.version = 775736524800001;
    codec_write_error(&out, 5, &error);
    expect_encoded(&out, "[1, 5, {'code': 'CONFLICT', 'message': 'Read it again.', 'version': 775736524800001}, nil]");
    error = (struct error){.code = ERROR_BUSY,
                           .message = "Wait.",
                           .version = 1,
                           .status = STATUS_EXPIRED,
                           .limit = 0,
                           .retry_after_ms = 50};
    codec_write_error(&out, 70000, &error);
    expect_encoded(&out,
                   "[1, 70000, {'code': 'BUSY', 'message': 'Wait.', 'version': 1, 'status': 'expired', 'limit': 0, "
                   "'retry_after_ms': 50}, nil]");
    buf_fini(&out);
}

Test(encode, writes_a_plain_record) {
    struct buf out = BUF_EMPTY;
    struct session session = plain_session();
    codec_write_record(&out, &session, FIELDS_ALL, NOW);
    expect_encoded(&out, "{'id': 's1', 'status': 'active', 'version': 775736524800001, 'created_at': 1767225600000,"
                         "'updated_at': 1767225600000, 'last_active_at': 1767225600000, 'expires_at': 1767312000000,"
                         "'idle_timeout_ms': 86400000, 'absolute_timeout_ms': 0, 'data': {}}");
    buf_fini(&out);
}

Test(encode, writes_every_field_of_a_record_that_has_all) {
    struct buf out = BUF_EMPTY;
    struct session session = plain_session();
    session.user = BYTES_LITERAL("ann");
    session.client = BYTES_LITERAL("phone");
    session.meta = bytes_of("\x81\x01\x02", 3);
    session.reason = BYTES_LITERAL("because");
    session.replaced_by = BYTES_LITERAL("s2");
    session.status = STATUS_REVOKED;
    session.status_at = NOW + 5;
    session.created_at = -5;
    session.last_active_at = NOW + 7;
    session.abandon_timeout_ms = 1000;
    session.absolute_timeout_ms = 300;
    session.absolute_expires_at = 1;
    codec_write_record(&out, &session, FIELDS_ALL, NOW + 10);
    expect_encoded(&out, "{'id': 's1', 'status': 'revoked', 'version': 775736524800001, 'created_at': -5,"
                         "'updated_at': 1767225600007, 'last_active_at': 1767225600007, 'expires_at': 1,"
                         "'idle_timeout_ms': 86400000, 'absolute_timeout_ms': 300, 'abandon_timeout_ms': 1000,"
                         "'abandon_at': 1767225601007, 'absolute_expires_at': 1, 'status_at': 1767225600005,"
                         "'reason': 'because', 'replaced_by': 's2', 'user': 'ann', 'client': 'phone', 'data': {},"
                         "'meta': {1: 2}}");
    buf_fini(&out);
}

Test(encode, derives_the_status_from_the_deadlines) {
    struct buf out = BUF_EMPTY;
    uint64_t fields = FIELD_BIT(FIELD_STATUS) | FIELD_BIT(FIELD_STATUS_AT);
    struct session session = plain_session();
    codec_write_record(&out, &session, fields, NOW + 86399999);
    expect_encoded(&out, "{'status': 'active'}");
    codec_write_record(&out, &session, fields, NOW + 86400000);
    expect_encoded(&out, "{'status': 'expired', 'status_at': 1767312000000}");
    session.abandon_timeout_ms = 1000;
    codec_write_record(&out, &session, fields, NOW + 86400000);
    expect_encoded(&out, "{'status': 'abandoned', 'status_at': 1767225601000}");
    session = plain_session();
    session.status = STATUS_PENDING;
    session.idle_timeout_ms = 0;
    codec_write_record(&out, &session, fields | FIELD_BIT(FIELD_EXPIRES_AT), INT64_C(1) << 50);
    expect_encoded(&out, "{'status': 'pending', 'expires_at': 0}");
    buf_fini(&out);
}

Test(encode, writes_only_the_fields_that_are_asked_for) {
    struct buf out = BUF_EMPTY;
    struct session session = plain_session();
    codec_write_record(&out, &session, 0, NOW);
    expect_encoded(&out, "{}");
    codec_write_record(&out, &session, FIELD_BIT(FIELD_USER), NOW);
    expect_encoded(&out, "{}");
    /* Each field alone is a map of its own name, or empty. */
    for (int field = 1; field < FIELD_END; field++) {
        codec_write_record(&out, &session, FIELD_BIT(field), NOW);
        struct mp_cursor cursor = mp_cursor_of(buf_bytes(&out));
        if (mp_read_map(&cursor)) {
            struct bytes key = mp_read_bytes(&cursor);
            cr_assert(bytes_equal(key, bytes_of_string(field_name((enum field)field))));
            mp_read_value(&cursor, 8);
        }
        cr_assert_eq(cursor.error, MP_OK);
        cr_assert_eq(cursor.at, cursor.end);
        buf_clear(&out);
    }
    buf_fini(&out);
}

Test(encode, writes_a_map_of_16_fields_with_the_longer_head) {
    struct buf out = BUF_EMPTY;
    struct session session = plain_session();
    session.user = session.client = session.reason = session.replaced_by = BYTES_LITERAL("x");
    session.meta = session.data;
    session.status = STATUS_ENDED;
    session.status_at = session.absolute_expires_at = NOW;
    session.abandon_timeout_ms = 5;
    struct usage usage = {.usage_count = 1, .retired_at = NOW, .last_used_at = NOW, .lease_expires_at = NOW};
    session.usage = &usage;
    session.pool = BYTES_LITERAL("p");
    session.tags = bytes_of("\x91\xa1t", 3);
    struct record_extra extra = {.id = session.id, .is_hashed = true, .token = session.id, .use = 1, .fence = 2};
    uint64_t fields = 0;
    for (uint32_t count = 0; count < FIELD_END; count++) {
        codec_write_record_with(&out, &session, &extra, fields, NOW);
        cr_assert_eq(out.data[0], count < 16 ? 0x80 | count : 0xde, "%u fields begin with %02x", count, out.data[0]);
        struct mp_cursor cursor = mp_cursor_of(buf_bytes(&out));
        cr_assert_eq(mp_read_map(&cursor), count);
        fields |= FIELD_BIT(count + 1);
        buf_clear(&out);
    }
    buf_fini(&out);
}

/* A str as msgpack-c reads it. */
static void expect_object(const msgpack_object *object, struct bytes expected) {
    cr_assert_eq(object->type, MSGPACK_OBJECT_STR);
    cr_assert(bytes_equal(bytes_of(object->via.str.ptr, object->via.str.size), expected));
}

Test(encode, writes_texts_of_every_size_for_any_decoder) {
    char id[255], reason[1024];
    memset(id, 'i', sizeof id);
    memset(reason, 'r', sizeof reason);
    struct buf out = BUF_EMPTY;
    for (size_t size = 1; size <= sizeof id; size++) {
        struct session session = plain_session();
        session.id = bytes_of(id, size);
        session.status = STATUS_ENDED;
        session.reason = bytes_of(reason, size * 4);
        codec_write_record(&out, &session, FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_REASON), NOW);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        size_t offset = 0;
        cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)out.data, out.size, &offset), MSGPACK_UNPACK_SUCCESS);
        cr_assert_eq(offset, out.size);
        cr_assert_eq(unpacked.data.via.map.size, 2);
        expect_object(&unpacked.data.via.map.ptr[0].val, session.id);
        expect_object(&unpacked.data.via.map.ptr[1].val, session.reason);
        msgpack_unpacked_destroy(&unpacked);
        buf_clear(&out);
    }
    buf_fini(&out);
}

Test(encode, returns_data_byte_for_byte) {
    struct buf data = BUF_EMPTY, out = BUF_EMPTY;
    /* Non-minimal on purpose: a map32 of one, with a bin16 key and a uint64. */
    write_text(&data, "x'df00000001c50001' x'61' x'cf0000000000000001'");
    struct session session = plain_session();
    session.data = buf_bytes(&data);
    codec_write_record(&out, &session, FIELD_BIT(FIELD_DATA), NOW);
    expect_encoded(&out, "x'81a464617461' x'df00000001c50001' x'61' x'cf0000000000000001'");
    buf_fini(&data);
    buf_fini(&out);
}

Test(encode, writes_nothing_into_a_buffer_that_lacks_memory) {
    struct buf out = BUF_EMPTY;
    mp_write_nil(&out);
    cr_assert_null(buf_reserve(&out, SIZE_MAX));
    struct session session = plain_session();
    codec_begin_result(&out, 1);
    codec_write_record(&out, &session, FIELDS_ALL, NOW);
    cr_assert(out.is_failed);
    cr_assert_eq(out.size, 1);
    buf_fini(&out);
}

Test(encode, writes_a_policy_with_all_entries_that_decodes_again) {
    struct buf out = BUF_EMPTY;
    struct policy policy = policy_defaults;
    policy.idle_timeout_ms = 1234567890123;
    policy.strict_ids = true;
    policy.max_sessions = 5;
    policy.session_limit_policy = SESSION_LIMIT_POLICY_EVICT_OLDEST;
    codec_write_policy(&out, &policy);
    expect_encoded(&out, "{'idle_timeout_ms': 1234567890123, 'absolute_timeout_ms': 0, 'max_idle_timeout_ms': 0,"
                         "'max_absolute_timeout_ms': 0, 'abandon_timeout_ms': 0, 'retention_ms': 86400000,"
                         "'tombstone_ms': 600000, 'touch_after_ms': 0, 'strict_ids': true, 'max_sessions': 5,"
                         "'max_bytes': 0, 'max_sessions_per_user': 0, 'session_limit_policy': 'evict_oldest',"
                         "'hash_ids': false, 'single_session': false, 'slide': false, 'binding_policy': 'deny',"
                         "'cookie': {}}");
    buf_fini(&out);
}

Test(encode, never_writes_the_secrets_of_a_policy) {
    struct buf out = BUF_EMPTY;
    struct policy policy = policy_defaults;
    struct policy_change change = {.given = POLICY_COOKIE_SECRETS,
                                   .values = {.cookie_secrets = bytes_of("\x91\xa4keys", 6)}};
    policy_apply(&policy, &change);
    cr_assert_null(policy.cookie_secrets.data, "they borrow from the request, and are kept elsewhere");
    policy.cookie_secrets = change.values.cookie_secrets;
    codec_write_policy(&out, &policy);
    cr_assert_null(memmem(out.data, out.size, "keys", 4));
    cr_assert_null(memmem(out.data, out.size, "cookie_secrets", 14));
    buf_fini(&out);
}

Test(encode, writes_the_attributes_of_a_cookie_that_were_given) {
    struct buf out = BUF_EMPTY;
    struct policy policy = policy_defaults;
    struct cookie_attributes cookie = {
        .given = (COOKIE_ATTRIBUTES_PARTITIONED << 1) - 1,
        .nil = COOKIE_ATTRIBUTES_EXPIRES_AT,
        .name = {3, "sid"},
        .path = {1, "/"},
        .domain = {7, "a.test."},
        .max_age_ms = 1500,
        .http_only = true,
        .secure = COOKIE_SECURE_AUTO,
        .same_site = SAME_SITE_LAX,
        .priority = COOKIE_PRIORITY_HIGH,
        .partitioned = false,
    };
    struct policy_change change = {.given = POLICY_COOKIE, .values = {.cookie = cookie}};
    policy_apply(&policy, &change);
    codec_write_policy(&out, &policy);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&out));
    for (uint32_t left = mp_read_map(&cursor); left > 1; left--) mp_read_bytes(&cursor), mp_read_value(&cursor, 8);
    cr_assert(bytes_equal(mp_read_bytes(&cursor), BYTES_LITERAL("cookie")));
    struct buf attributes = BUF_EMPTY;
    mp_write_raw(&attributes, mp_read_value(&cursor, 8));
    expect_encoded(&attributes, "{'name': 'sid', 'path': '/', 'domain': 'a.test.', 'max_age_ms': 1500,"
                                "'http_only': true, 'secure': 'auto', 'same_site': 'lax', 'priority': 'high',"
                                "'partitioned': false}");
    change.nil = POLICY_COOKIE;
    policy_apply(&policy, &change);
    cr_assert_eq(policy.cookie.given, 0, "nil takes all of them away");
    buf_fini(&attributes);
    buf_fini(&out);
}

Test(encode, writes_switches_as_truth_values_and_words) {
    struct buf out = BUF_EMPTY;
    static const struct {
        enum cookie_secure secure;
        enum same_site same_site;
        const char *secure_text, *same_site_text;
    } cases[] = {{COOKIE_SECURE_FALSE, SAME_SITE_ABSENT, "false", "false"},
                 {COOKIE_SECURE_TRUE, SAME_SITE_STRICT, "true", "'strict'"},
                 {COOKIE_SECURE_AUTO, SAME_SITE_NONE, "'auto'", "'none'"},
                 {COOKIE_SECURE_AUTO, SAME_SITE_AUTO, "'auto'", "'auto'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy policy = policy_defaults;
        policy.cookie = (struct cookie_attributes){.given = COOKIE_ATTRIBUTES_SECURE | COOKIE_ATTRIBUTES_SAME_SITE,
                                                   .secure = cases[i].secure,
                                                   .same_site = cases[i].same_site};
        struct buf expected = BUF_EMPTY;
        char text[128];
        snprintf(text, sizeof text, "'cookie' {'secure': %s, 'same_site': %s}", cases[i].secure_text,
                 cases[i].same_site_text);
        write_text(&expected, text);
        codec_write_policy(&out, &policy);
        cr_assert_geq(out.size, expected.size);
        cr_assert_arr_eq(out.data + out.size - expected.size, expected.data, expected.size, "%s", text);
        buf_clear(&out);
        buf_fini(&expected);
    }
    buf_fini(&out);
}

Test(policy, takes_given_entries_and_sets_nil_ones_back) {
    struct policy policy = policy_defaults;
    policy.retention_ms = 7;
    policy.tombstone_ms = 8;
    policy.max_sessions_per_user = 9;
    struct policy_change change = {.given = POLICY_RETENTION_MS | POLICY_STRICT_IDS | POLICY_SESSION_LIMIT_POLICY |
                                            POLICY_MAX_BYTES,
                                   .nil = POLICY_RETENTION_MS,
                                   .values = {.retention_ms = 99,
                                              .strict_ids = true,
                                              .max_bytes = 50,
                                              .tombstone_ms = 77,
                                              .session_limit_policy = SESSION_LIMIT_POLICY_EVICT_IDLE}};
    policy_apply(&policy, &change);
    cr_assert_eq(policy.retention_ms, 86400000, "nil: back to the default");
    cr_assert_eq(policy.tombstone_ms, 8, "not given: as it was");
    cr_assert_eq(policy.max_sessions_per_user, 9);
    cr_assert(policy.strict_ids);
    cr_assert_eq(policy.max_bytes, 50);
    cr_assert_eq(policy.session_limit_policy, SESSION_LIMIT_POLICY_EVICT_IDLE);
    cr_assert_eq(policy.idle_timeout_ms, 86400000);
}

Test(policy, goes_back_to_its_defaults_entry_by_entry) {
    struct policy policy;
    memset(&policy, 1, sizeof policy);
    struct policy_change change = {.given = UINT64_MAX, .nil = UINT64_MAX};
    policy_apply(&policy, &change);
    struct buf actual = BUF_EMPTY, expected = BUF_EMPTY;
    codec_write_policy(&actual, &policy);
    codec_write_policy(&expected, &policy_defaults);
    cr_assert(bytes_equal(buf_bytes(&actual), buf_bytes(&expected)));
    buf_fini(&actual);
    buf_fini(&expected);
}

Test(names, have_a_word_for_each_number_and_a_fallback_for_the_rest) {
    cr_assert_str_eq(error_code_name(ERROR_GONE), "GONE");
    cr_assert_str_eq(error_code_name(ERROR_INTERNAL), "INTERNAL");
    cr_assert_str_eq(error_code_name(ERROR_NONE), "NONE");
    cr_assert_str_eq(error_code_name((enum error_code)999), "NONE");
    cr_assert_str_eq(status_name(STATUS_ABANDONED), "abandoned");
    cr_assert_str_eq(status_name(STATUS_END), "none");
    cr_assert_str_eq(field_name(FIELD_META), "meta");
    cr_assert_str_eq(field_name((enum field) - 1), "none");
}

Test(names, tell_where_an_operation_keeps_its_op_id) {
    for (int op = 0; op < OP_COUNT; op++) {
        cr_assert_eq(op_infos[op].is_write, op_infos[op].op_id_offset >= 0, "%s", op_infos[op].method);
        cr_assert_eq(op_infos[op].is_write, op_infos[op].op_id_bit != 0, "%s", op_infos[op].method);
    }
    cr_assert_eq(op_infos[OP_SESSION_SET].op_id_offset, offsetof(struct args_session_set, op_id));
    cr_assert_eq(op_infos[OP_SESSION_SET].op_id_bit, SESSION_SET_OP_ID);
}

Test(names, announce_the_limits) {
    bool is_found = false;
    for (size_t i = 0; i < limit_count; i++)
        is_found |= !strcmp(limit_infos[i].name, "max_data") && limit_infos[i].value == 1048576;
    cr_assert(is_found);
}
