/* codec_decode: what a request becomes, what is refused and with which sentence, and what breaks a connection. */
#include <criterion/criterion.h>

#include "decoded.h"

#define ID_OR_COOKIE "an id (str or bin, 1 to 255 bytes of UTF-8), or the map {cookie: str}."

/* ---- the good */

Test(decode, reads_a_get) {
    struct decoded d = decode("[0, 7, 'session.get', ['web', 's1']]");
    cr_assert_eq(d.frame.op, OP_SESSION_GET);
    cr_assert_eq(d.frame.msgid, 7);
    cr_assert_not(d.frame.is_notification);
    expect_bytes(d.frame.method, "session.get");
    expect_bytes(d.args.session_get.namespace, "web");
    expect_bytes(d.args.session_get.id.text, "s1");
    cr_assert_eq(d.args.session_get.given, SESSION_GET_NAMESPACE | SESSION_GET_ID);
    cr_assert_eq(d.args.session_get.nil, 0);
    cr_assert_not(d.args.session_get.touch);
    cr_assert_eq(d.args.session_get.fields, 0);
    cr_assert_eq(d.args.session_get.if_version, 0);
    buf_fini(&d.bytes);
}

Test(decode, reads_only_the_first_of_several_messages) {
    struct decoded d = decode_more("[0, 1, 'server.ping', []]", "and more");
    cr_assert_eq(d.state, DECODE_OK);
    cr_assert_eq(d.frame.op, OP_SERVER_PING);
    cr_assert_eq(d.args.any.given, 0);
    buf_fini(&d.bytes);
}

Test(decode, reads_a_notification) {
    struct decoded d = decode("[2, 'session.touch', ['web', 's1']]");
    cr_assert(d.frame.is_notification);
    cr_assert_eq(d.frame.msgid, 0);
    cr_assert_eq(d.frame.op, OP_SESSION_TOUCH);
    buf_fini(&d.bytes);
}

Test(decode, finds_every_method_by_its_name_and_by_its_number) {
    for (enum op op = 0; op < OP_COUNT; op++) {
        /* Arguments are left out, so most are refused; which operation it was is known all the same. */
        char text[128];
        snprintf(text, sizeof text, "[0, 1, '%s', []]", op_infos[op].method);
        struct decoded by_name = decode_more(text, "");
        cr_assert_eq(by_name.frame.op, op, "%s", text);
        snprintf(text, sizeof text, "[0, 1, %u, []]", op_infos[op].wire_id);
        struct decoded by_number = decode_more(text, "");
        cr_assert_eq(by_number.frame.op, op, "%s", text);
        cr_assert_null(by_number.frame.method.data);
        cr_assert_eq(by_number.state, by_name.state);
        buf_fini(&by_name.bytes);
        buf_fini(&by_number.bytes);
    }
}

Test(decode, reads_a_number_as_a_method_in_any_form) {
    const char *texts[] = {"[0, 1, x'cc0b', ['web', 's1']]", "[0, 1, 11.0, ['web', 's1']]",
                           "[0, 1, x'd3000000000000000b', ['web', 's1']]"};
    for (size_t i = 0; i < 3; i++) {
        struct decoded d = decode(texts[i]);
        cr_assert_eq(d.frame.op, OP_SESSION_GET);
        buf_fini(&d.bytes);
    }
}

Test(decode, reads_the_msgid_in_any_form) {
    static const struct {
        const char *form;
        uint64_t msgid;
    } cases[] = {{"00", 0},
                 {"7f", 127},
                 {"cc05", 5},
                 {"ccff", 255},
                 {"cd0102", 0x0102},
                 {"cdffff", 0xffff},
                 {"ce00000001", 1},
                 {"cefeedbeef", 0xfeedbeef},
                 {"cf00000000fffffffe", 0xfffffffe},
                 {"d105dc", 1500},
                 {"cb4050000000000000", 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "[0, x'%s', 'session.get', ['web', 's1']]", cases[i].form);
        struct decoded d = decode(text);
        cr_assert_eq(d.frame.msgid, cases[i].msgid, "%s", text);
        cr_assert_eq(d.frame.size, d.bytes.size);
        expect_bytes(d.args.session_get.id.text, "s1");
        buf_fini(&d.bytes);
    }
}

/* Each size has its own shortest head, and each is compared in words of eight that overlap. */
Test(decode, reads_ids_of_every_size_and_refuses_a_wrong_byte_anywhere_in_them) {
    for (size_t size = 1; size <= 255; size++) {
        char id[256] = {0}, text[320];
        memset(id, 'a', size);
        snprintf(text, sizeof text, "[0, 1, 'session.get', ['web', '%s']]", id);
        struct decoded d = decode(text);
        expect_bytes(d.args.session_get.id.text, id);
        buf_fini(&d.bytes);
        for (size_t at = 0; at < size; at++) {
            id[at] = '\xff';
            snprintf(text, sizeof text, "[0, 1, 'session.get', ['web', '%s']]", id);
            struct decoded wrong = decode_more(text, "");
            cr_assert_eq(wrong.state, DECODE_REFUSED, "%zu of %zu", at, size);
            buf_fini(&wrong.bytes);
            id[at] = 'a';
        }
    }
}

Test(decode, takes_bin_for_str_and_long_forms_for_short_ones) {
    /* array32, uint64 msgid, bin method, array16 params, bin8 namespace, str32 id, map32 of options with a bin key */
    struct decoded d = decode("x'dd00000004' 0 x'cf0000000000000007' x'c40b' x'73657373696f6e2e676574' x'dc0003'"
                              "x'c403776562' x'db000000027331' x'df00000001c405746f756368' true");
    cr_assert_eq(d.frame.msgid, 7);
    expect_bytes(d.args.session_get.namespace, "web");
    expect_bytes(d.args.session_get.id.text, "s1");
    cr_assert(d.args.session_get.touch);
    buf_fini(&d.bytes);
}

Test(decode, takes_nil_for_the_namespace_as_none) {
    struct decoded d = decode("[0, 1, 'session.get', [nil, 's1']]");
    cr_assert_null(d.args.session_get.namespace.data);
    cr_assert_eq(d.args.session_get.given, SESSION_GET_ID);
    buf_fini(&d.bytes);
}

Test(decode, takes_options_that_are_nil_or_empty_as_none) {
    const char *texts[] = {"[0, 1, 'session.get', ['web', 's1', nil]]", "[0, 1, 'session.get', ['web', 's1', {}]]",
                           "[0, 1, 'session.get', ['web', 's1', []]]"};
    for (size_t i = 0; i < 3; i++) {
        struct decoded d = decode(texts[i]);
        cr_assert_eq(d.args.session_get.given, SESSION_GET_NAMESPACE | SESSION_GET_ID);
        buf_fini(&d.bytes);
    }
    struct decoded d = decode("[0, 1, 'server.ping', [{}]]");
    buf_fini(&d.bytes);
}

Test(decode, reads_every_option_of_set) {
    struct decoded d = decode("[0, 1, 'session.set', ['web', 's1', {'a': [1, 2]}, {'mode': 'if_version', 'version': 12,"
                              "'meta': {'k': 1}, 'user': 'ann', 'client': nil, 'absolute_expires_at': 1767229200000,"
                              "'timeouts': {'idle_timeout_ms': 5, 'abandon_timeout_ms': nil}, 'op_id': 99}]]");
    const struct args_session_set *set = &d.args.session_set;
    struct buf expected = BUF_EMPTY;
    write_text(&expected, "{'a': [1, 2]}");
    cr_assert(bytes_equal(set->data, buf_bytes(&expected)));
    buf_clear(&expected);
    write_text(&expected, "{'k': 1}");
    cr_assert(bytes_equal(set->meta, buf_bytes(&expected)));
    buf_fini(&expected);
    cr_assert_eq(set->mode, SET_MODE_IF_VERSION);
    cr_assert_eq(set->version, 12);
    expect_bytes(set->user, "ann");
    cr_assert_null(set->client.data);
    cr_assert_eq(set->absolute_expires_at, 1767229200000);
    cr_assert_eq(set->timeouts.idle_timeout_ms, 5);
    cr_assert_eq(set->timeouts.given, TIMEOUTS_IDLE_TIMEOUT_MS | TIMEOUTS_ABANDON_TIMEOUT_MS);
    cr_assert_eq(set->timeouts.nil, TIMEOUTS_ABANDON_TIMEOUT_MS);
    cr_assert_eq(set->op_id, 99);
    cr_assert_eq(set->given, (1 << 11) - 1);
    cr_assert_eq(set->nil, SESSION_SET_CLIENT);
    buf_fini(&d.bytes);
}

Test(decode, tells_nil_from_left_out_only_where_nil_says_something) {
    struct decoded d =
        decode("[0, 1, 'session.create', ['web', {'user': nil, 'id': nil, 'data': nil, 'revive': nil}]]");
    cr_assert_eq(d.args.session_create.given, SESSION_CREATE_NAMESPACE | SESSION_CREATE_USER);
    cr_assert_eq(d.args.session_create.nil, SESSION_CREATE_USER);
    buf_fini(&d.bytes);
}

Test(decode, takes_any_value_as_data_nil_too) {
    struct decoded d = decode("[0, 1, 'session.set', ['web', 's1', nil]]");
    cr_assert(bytes_equal(d.args.session_set.data, bytes_of("\xc0", 1)));
    cr_assert(d.args.session_set.given & SESSION_SET_DATA);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.set', ['web', 's1', x'd40102']]");
    cr_assert(bytes_equal(d.args.session_set.data, bytes_of("\xd4\x01\x02", 3)));
    buf_fini(&d.bytes);
}

Test(decode, turns_names_of_fields_and_statuses_into_bits) {
    struct decoded d = decode("[0, 1, 'session.list', ['web', {'fields': ['id', 'meta', 'id'], 'status': ['active', "
                              "'expired'], 'order': 'oldest', 'limit': 20.0}]]");
    cr_assert_eq(d.args.session_list.fields, FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_META));
    cr_assert_eq(d.args.session_list.status, STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_EXPIRED));
    cr_assert_eq(d.args.session_list.order, LIST_ORDER_OLDEST);
    cr_assert_eq(d.args.session_list.limit, 20);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.count', ['web', {'status': 'revoked'}]]");
    cr_assert_eq(d.args.session_count.status, STATUS_BIT(STATUS_REVOKED));
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.count', ['web', {'status': 'any'}]]");
    cr_assert_eq(__builtin_popcountll(d.args.session_count.status), 8);
    buf_fini(&d.bytes);
}

Test(decode, hands_out_ids_keys_and_deltas_as_they_stand) {
    struct decoded d = decode("[0, 1, 'session.get_many', ['web', ['a', x'c40162']]]");
    cr_assert(bytes_equal(d.args.session_get_many.ids, bytes_of("\x92\xa1"
                                                                "a\xc4\x01"
                                                                "b",
                                                                6)));
    buf_fini(&d.bytes);
    d = decode(
        "[0, 1, 'session.patch', ['web', 's', {'unset': ['a'], 'incr': {'b': -1, 'c': 0.5}, 'target': 'meta'}]]");
    cr_assert_eq(d.args.session_patch.unset.size, 3);
    cr_assert_eq(d.args.session_patch.incr.size, 1 + 3 + 2 + 9);
    cr_assert_eq(d.args.session_patch.target, PATCH_TARGET_META);
    buf_fini(&d.bytes);
}

Test(decode, reads_a_policy) {
    struct decoded d = decode("[0, 1, 'namespace.configure', ['web', {'idle_timeout_ms': 1800000, 'strict_ids': true,"
                              "'session_limit_policy': 'evict_idle', 'tombstone_ms': nil}]]");
    const struct policy_change *change = &d.args.namespace_configure.policy;
    cr_assert_eq(change->given,
                 POLICY_IDLE_TIMEOUT_MS | POLICY_STRICT_IDS | POLICY_SESSION_LIMIT_POLICY | POLICY_TOMBSTONE_MS);
    cr_assert_eq(change->nil, POLICY_TOMBSTONE_MS);
    cr_assert_eq(change->values.idle_timeout_ms, 1800000);
    cr_assert(change->values.strict_ids);
    cr_assert_eq(change->values.session_limit_policy, SESSION_LIMIT_POLICY_EVICT_IDLE);
    buf_fini(&d.bytes);
}

Test(decode, takes_numbers_at_their_bounds) {
    struct decoded d = decode("[0, 4294967295, 'session.get', ['web', 's', {'if_version': 9007199254740991}]]");
    cr_assert_eq(d.frame.msgid, UINT32_MAX);
    cr_assert_eq(d.args.session_get.if_version, 9007199254740991);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.expire', ['web', 's', {'extend_ms': 315576000000}]]");
    cr_assert_eq(d.args.session_expire.extend_ms, 315576000000);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.expire', ['web', 's', {'absolute_expires_at': -377705116800000}]]");
    cr_assert_eq(d.args.session_expire.absolute_expires_at, -377705116800000);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.expire', ['web', 's', {'absolute_expires_at': 253402300799999.0}]]");
    cr_assert_eq(d.args.session_expire.absolute_expires_at, 253402300799999);
    buf_fini(&d.bytes);
}

/* ---- cut off */

Test(decode, lacks_bytes_wherever_a_message_is_cut) {
    struct buf buf = BUF_EMPTY;
    write_text(&buf, "[0, 70000, 'session.set', ['web', 's1', {'a': [1, 'xyz']}, {'mode': 'update', 'timeouts': "
                     "{'idle_timeout_ms': 70000}, 'user': 'ann', 'absolute_expires_at': 1.0}]]");
    struct frame frame;
    union op_args args;
    struct error error;
    for (size_t cut = 0; cut < buf.size; cut++)
        cr_assert_eq(codec_decode(bytes_of(buf.data, cut), &frame, &args, &error), DECODE_INCOMPLETE, "cut at %zu",
                     cut);
    cr_assert_eq(codec_decode(buf_bytes(&buf), &frame, &args, &error), DECODE_OK);
    buf_fini(&buf);
}

Test(decode, refuses_nothing_before_the_message_is_whole) {
    struct buf buf = BUF_EMPTY;
    write_text(&buf, "[0, 70000, 'session.got', ['web', {'a': [1, 'xyz']}, 70000]]");
    struct frame frame;
    union op_args args;
    struct error error;
    for (size_t cut = 0; cut < buf.size; cut++)
        cr_assert_eq(codec_decode(bytes_of(buf.data, cut), &frame, &args, &error), DECODE_INCOMPLETE, "cut at %zu",
                     cut);
    cr_assert_eq(codec_decode(buf_bytes(&buf), &frame, &args, &error), DECODE_REFUSED);
    cr_assert_eq(frame.msgid, 70000);
    cr_assert_eq(frame.size, buf.size);
    buf_fini(&buf);
}

/* ---- the refused: each with its own sentence */

Test(decode, refuses_an_unknown_method) {
    expect_refused("[0, 1, 'session.got', []]", ERROR_UNKNOWN_METHOD,
                   "There is no method \"session.got\"; server.hello answers which there are.");
    expect_refused("[0, 1, 'get', []]", ERROR_UNKNOWN_METHOD,
                   "There is no method \"get\"; server.hello answers which there are.");
    expect_refused("[0, 1, '', []]", ERROR_UNKNOWN_METHOD,
                   "There is no method \"\"; server.hello answers which there are.");
    const char *numbers[] = {"[0, 1, 0, []]",  "[0, 1, 7, []]",   "[0, 1, 1000, []]",
                             "[0, 1, -1, []]", "[0, 1, 1.5, []]", "[0, 1, x'cfffffffffffffffff', []]"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        expect_refused(numbers[i], ERROR_UNKNOWN_METHOD,
                       "There is no method with this number; server.hello answers which there are.");
    expect_refused("[0, 1, nil, []]", ERROR_BAD_REQUEST,
                   "The method is a name like \"session.get\" or its number, here it is nil.");
}

Test(decode, quotes_a_strangers_bytes_only_as_printable_and_short) {
    expect_refused("[0, 1, x'a4ff0a2261', []]", ERROR_UNKNOWN_METHOD,
                   "There is no method \"??\"a\"; server.hello answers which there are.");
    expect_refused(
        "[0, 1, '01234567890123456789012345678901234567890123456789', []]", ERROR_UNKNOWN_METHOD,
        "There is no method \"0123456789012345678901234567890123456...\"; server.hello answers which there are.");
}

Test(decode, refuses_params_that_do_not_fit) {
    expect_refused("[0, 1, 'session.get', ['web']]", ERROR_BAD_REQUEST, "session.get: the argument id is missing.");
    expect_refused("[0, 1, 'session.get', []]", ERROR_BAD_REQUEST, "session.get: the argument namespace is missing.");
    expect_refused("[0, 1, 'session.get', ['web', nil]]", ERROR_BAD_REQUEST,
                   "session.get: id is nil and must be given; it takes " ID_OR_COOKIE);
    expect_refused("[0, 1, 'session.get', ['web', 's', {}, 1]]", ERROR_BAD_REQUEST,
                   "session.get: params has 4 elements; there are 2 arguments and a map of options.");
    expect_refused("[0, 1, 'session.get', {}]", ERROR_BAD_REQUEST,
                   "session.get: params is an array of the arguments, here it is a map.");
    expect_refused("[0, 1, 'session.get', ['web', 's', 5]]", ERROR_BAD_REQUEST,
                   "session.get: the options are a map, here they are an integer.");
}

Test(decode, refuses_options_that_it_does_not_know_or_that_come_twice) {
    expect_refused("[0, 1, 'session.get', ['web', 's', {'tuch': true}]]", ERROR_BAD_REQUEST,
                   "session.get: there is no option \"tuch\".");
    expect_refused("[0, 1, 'session.get', ['web', 's', {'touch': true, 'touch': true}]]", ERROR_BAD_REQUEST,
                   "session.get: touch is given twice; it takes true or false.");
    expect_refused("[0, 1, 'session.get', ['web', 's', {'touch': nil, 'touch': true}]]", ERROR_BAD_REQUEST,
                   "session.get: touch is given twice; it takes true or false.");
    expect_refused("[0, 1, 'session.get', ['web', 's', {1: true}]]", ERROR_BAD_REQUEST,
                   "session.get: the name of an option is a str, here it is an integer.");
    expect_refused(
        "[0, 1, 'session.get', ['web', 's', [1]]]", ERROR_BAD_REQUEST,
        "session.get: options is an array; it takes a map, nested at most 128 deep, at most max_data bytes.");
}

Test(decode, refuses_texts_that_are_empty_too_long_or_no_text) {
    expect_refused("[0, 1, 'session.get', ['', 's']]", ERROR_BAD_REQUEST,
                   "session.get: namespace is empty; it takes str or bin, 1 to 64 bytes of UTF-8.");
    expect_refused("[0, 1, 'session.get', ['web', '']]", ERROR_BAD_REQUEST,
                   "session.get: id is empty; it takes " ID_OR_COOKIE);
    expect_refused("[0, 1, 'session.get', ['web', x'a2c328']]", ERROR_BAD_REQUEST,
                   "session.get: id is not valid UTF-8; it takes " ID_OR_COOKIE);
    expect_refused("[0, 1, 'session.get', ['web', ['s']]]", ERROR_BAD_REQUEST,
                   "session.get: id is an array; it takes " ID_OR_COOKIE);
    expect_refused("[0, 1, 'session.get', [5, 's']]", ERROR_BAD_REQUEST,
                   "session.get: namespace is an integer; it takes str or bin, 1 to 64 bytes of UTF-8.");
}

/* session.get of an id of `size` bytes. */
static enum decode_state decode_id(size_t size, struct error *error) {
    char id[300];
    memset(id, 'i', sizeof id);
    struct buf buf = BUF_EMPTY;
    write_text(&buf, "x'94' 0 1 'session.get' x'92' 'web'");
    mp_write_str(&buf, bytes_of(id, size));
    struct frame frame;
    union op_args args;
    enum decode_state state = codec_decode(buf_bytes(&buf), &frame, &args, error);
    buf_fini(&buf);
    return state;
}

Test(decode, takes_an_id_of_255_bytes_and_refuses_one_of_256) {
    struct error error;
    cr_assert_eq(decode_id(255, &error), DECODE_OK);
    cr_assert_eq(decode_id(256, &error), DECODE_REFUSED);
    cr_assert_eq(error.limit, 255);
    cr_assert_str_eq(error.message, "session.get: id is too long; it takes " ID_OR_COOKIE);
}

Test(decode, refuses_durations_that_are_none) {
#define TAKES "; it takes integer milliseconds from 0 (none) to 315,576,000,000 (ten years)."
    const struct {
        const char *value, *problem;
    } cases[] = {{"-1", "is negative"},
                 {"-0.5", "is negative"},
                 {"0.5", "is not a whole number"},
                 {"x'cb7ff8000000000000'", "is not a number (NaN)"},
                 {"x'cb7ff0000000000000'", "is infinite"},
                 {"x'cbfff0000000000000'", "is infinite"},
                 {"315576000001", "is too large"},
                 {"x'cfffffffffffffffff'", "is too large"},
                 {"1000000000000000000000.0", "is too large"},
                 {"'5'", "is a str"},
                 {"true", "is a bool"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], sentence[256];
        snprintf(text, sizeof text, "[0, 1, 'session.touch', ['w', 's', {'timeouts': {'idle_timeout_ms': %s}}]]",
                 cases[i].value);
        snprintf(sentence, sizeof sentence, "session.touch: timeouts.idle_timeout_ms %s" TAKES, cases[i].problem);
        expect_refused(text, ERROR_BAD_REQUEST, sentence);
        snprintf(text, sizeof text, "[0, 1, 'session.expire', ['w', 's', {'extend_ms': %s}]]", cases[i].value);
        snprintf(sentence, sizeof sentence, "session.expire: extend_ms %s" TAKES, cases[i].problem);
        expect_refused(text, ERROR_BAD_REQUEST, sentence);
    }
}

Test(decode, refuses_numbers_beyond_their_bounds) {
    expect_refused("[0, 1, 'session.get', ['web', 's', {'if_version': 9007199254740992}]]", ERROR_BAD_REQUEST,
                   "session.get: if_version is too large; it takes integer from 0 to 2^53 - 1.");
    expect_refused(
        "[0, 1, 'session.expire', ['w', 's', {'absolute_expires_at': 253402300800000}]]", ERROR_BAD_REQUEST,
        "session.expire: absolute_expires_at is too large; it takes integer milliseconds since the Unix epoch, "
        "within the years -9999 to 9999.");
    expect_refused(
        "[0, 1, 'session.expire', ['w', 's', {'absolute_expires_at': -377705116800001}]]", ERROR_BAD_REQUEST,
        "session.expire: absolute_expires_at is too small; it takes integer milliseconds since the Unix epoch, "
        "within the years -9999 to 9999.");
}

Test(decode, names_the_member_of_a_map_of_arguments) {
    expect_refused("[0, 1, 'session.touch', ['w', 's', {'timeouts': {'idle': 5}}]]", ERROR_BAD_REQUEST,
                   "session.touch: there is no option \"timeouts.idle\".");
    expect_refused("[0, 1, 'session.touch', ['w', 's', {'timeouts': 5}]]", ERROR_BAD_REQUEST,
                   "session.touch: timeouts is an integer; it takes map of idle_timeout_ms, absolute_timeout_ms, "
                   "abandon_timeout_ms (each a duration).");
    expect_refused("[0, 1, 'namespace.configure', ['w', {'strict_ids': 1}]]", ERROR_BAD_REQUEST,
                   "namespace.configure: policy.strict_ids is an integer; it takes true or false.");
    expect_refused("[0, 1, 'namespace.configure', ['w', {'max_sessions': 1, 'max_sessions': 2}]]", ERROR_BAD_REQUEST,
                   "namespace.configure: policy.max_sessions is given twice; it takes integer from 0 to 2^53 - 1.");
    /* Behind a map of arguments the outer names hold again. */
    expect_refused("[0, 1, 'session.touch', ['w', 's', {'timeouts': {}, 'x': 5}]]", ERROR_BAD_REQUEST,
                   "session.touch: there is no option \"x\".");
}

Test(decode, refuses_words_that_it_does_not_know) {
    expect_refused("[0, 1, 'session.set', ['w', 's', {}, {'mode': 'insert'}]]", ERROR_BAD_REQUEST,
                   "session.set: mode does not know \"insert\"; it takes one of upsert, create, update, if_version.");
    expect_refused("[0, 1, 'session.get', ['w', 's', {'fields': ['id', 'dta']}]]", ERROR_BAD_REQUEST,
                   "session.get: fields does not know \"dta\"; it takes array of field names of the record.");
    expect_refused("[0, 1, 'session.get', ['w', 's', {'fields': 'id'}]]", ERROR_BAD_REQUEST,
                   "session.get: fields is a str; it takes array of field names of the record.");
    char many[512] = "[0, 1, 'session.get', ['w', 's', {'fields': [";
    for (int i = 0; i <= FIELD_END; i++) strcat(many, "'id',");
    expect_refused(
        strcat(many, "]}]]"), ERROR_BAD_REQUEST,
        "session.get: fields has more elements than there are names; it takes array of field names of the record.");
    expect_refused(
        "[0, 1, 'session.count', ['w', {'status': 'alive'}]]", ERROR_BAD_REQUEST,
        "session.count: status does not know \"alive\"; it takes a status name, or an array of them, or \"any\".");
    expect_refused("[0, 1, 'session.count', ['w', {'status': []}]]", ERROR_BAD_REQUEST,
                   "session.count: status is empty; it takes a status name, or an array of them, or \"any\".");
    expect_refused(
        "[0, 1, 'session.count', ['w', {'status': ['']}]]", ERROR_BAD_REQUEST,
        "session.count: status does not know \"\"; it takes a status name, or an array of them, or \"any\".");
}

Test(decode, checks_every_id_of_a_list) {
    expect_refused("[0, 1, 'session.get_many', ['w', ['a', '']]]", ERROR_BAD_REQUEST,
                   "session.get_many: ids element 1 is empty; it takes array of id, at most max_ids elements.");
    expect_refused("[0, 1, 'session.get_many', ['w', ['a', nil]]]", ERROR_BAD_REQUEST,
                   "session.get_many: ids is nil; it takes array of id, at most max_ids elements.");
}

/* get_many of `count` ids. */
static enum decode_state decode_ids(uint32_t count, struct error *error) {
    struct buf buf = BUF_EMPTY;
    write_text(&buf, "x'94' 0 1 'session.get_many' x'92' 'web'");
    mp_write_array(&buf, count);
    for (uint32_t i = 0; i < count; i++) mp_write_string(&buf, "i");
    struct frame frame;
    union op_args args;
    enum decode_state state = codec_decode(buf_bytes(&buf), &frame, &args, error);
    buf_fini(&buf);
    return state;
}

Test(decode, takes_a_thousand_ids_and_no_more) {
    struct error error;
    cr_assert_eq(decode_ids(1000, &error), DECODE_OK);
    cr_assert_eq(decode_ids(1001, &error), DECODE_REFUSED);
    cr_assert_eq(error.code, ERROR_TOO_BIG);
    cr_assert_eq(error.limit, 1000);
}

Test(decode, refuses_deltas_that_are_no_finite_numbers) {
    expect_refused("[0, 1, 'session.patch', ['w', 's', {'incr': {'a': 'b'}}]]", ERROR_BAD_REQUEST,
                   "session.patch: incr is a str; it takes map of key to number (integer or finite float), at most "
                   "max_keys elements.");
    expect_refused(
        "[0, 1, 'session.patch', ['w', 's', {'incr': {'a': x'cb7ff8000000000000'}}]]", ERROR_BAD_REQUEST,
        "session.patch: incr has a number that is not finite; it takes map of key to number (integer or finite "
        "float), at most max_keys elements.");
    expect_refused("[0, 1, 'session.patch', ['w', 's', {'unset': [5]}]]", ERROR_BAD_REQUEST,
                   "session.patch: unset is an integer; it takes array of str or bin keys, at most max_keys elements.");
}

/* session.set with data that is one bin of which the whole encoding has `size` bytes. */
static enum decode_state decode_data(size_t size, struct error *error) {
    uint8_t *data = calloc(1, size);
    struct buf buf = BUF_EMPTY;
    write_text(&buf, "x'94' 0 1 'session.set' x'93' 'web' 's'");
    mp_write_bin(&buf, bytes_of(data, size - 5));
    struct frame frame;
    union op_args args;
    enum decode_state state = codec_decode(buf_bytes(&buf), &frame, &args, error);
    buf_fini(&buf);
    free(data);
    return state;
}

Test(decode, takes_data_of_max_data_bytes_and_no_more) {
    struct error error;
    cr_assert_eq(decode_data(1048576, &error), DECODE_OK);
    cr_assert_eq(decode_data(1048577, &error), DECODE_REFUSED);
    cr_assert_eq(error.code, ERROR_TOO_BIG);
    cr_assert_eq(error.limit, 1048576);
    cr_assert_str_eq(error.message,
                     "session.set: data has 1048577 bytes; it takes any MessagePack value, nested at most "
                     "128 deep, at most max_data bytes.");
}

/* session.set with data nested `depth` deep. */
static enum decode_state decode_depth(size_t depth, struct error *error) {
    struct buf buf = BUF_EMPTY;
    write_text(&buf, "x'94' 0 1 'session.set' x'93' 'web' 's'");
    for (size_t i = 0; i < depth; i++) mp_write_array(&buf, 1);
    mp_write_nil(&buf);
    struct frame frame;
    union op_args args;
    enum decode_state state = codec_decode(buf_bytes(&buf), &frame, &args, error);
    buf_fini(&buf);
    return state;
}

Test(decode, takes_data_nested_128_deep_and_no_deeper) {
    struct error error;
    cr_assert_eq(decode_depth(128, &error), DECODE_OK);
    cr_assert_eq(decode_depth(129, &error), DECODE_REFUSED);
    cr_assert_str_eq(error.message,
                     "session.set: data is nested too deep; it takes any MessagePack value, nested at most "
                     "128 deep, at most max_data bytes.");
    cr_assert_eq(decode_depth(100000, &error), DECODE_REFUSED, "also far deeper the end of the message is found");
}

Test(decode, refuses_a_map_where_meta_is_none) {
    expect_refused("[0, 1, 'session.touch', ['w', 's', {'meta': [1]}]]", ERROR_BAD_REQUEST,
                   "session.touch: meta is an array; it takes a map, nested at most 128 deep, at most max_data bytes.");
}

Test(decode, knows_the_msgid_and_the_operation_of_what_it_refuses) {
    struct decoded d = decode_more("[0, 77, 'session.touch', ['w']]", "");
    cr_assert_eq(d.state, DECODE_REFUSED);
    cr_assert_eq(d.frame.msgid, 77);
    cr_assert_eq(d.frame.op, OP_SESSION_TOUCH);
    cr_assert_not(d.frame.is_notification);
    buf_fini(&d.bytes);
    d = decode_more("[2, 'session.touch', ['w']]", "");
    cr_assert_eq(d.state, DECODE_REFUSED);
    cr_assert(d.frame.is_notification);
    buf_fini(&d.bytes);
}

/* ---- the broken */

Test(decode, calls_broken_what_is_no_envelope) {
    const char *texts[] = {"5",
                           "nil",
                           "{}",
                           "'GET / HTTP/1.1'",
                           "[]",
                           "[0]",
                           "[0, 1]",
                           "[0, 1, 'server.ping', [], 5]",
                           "[1, 1, nil, nil]",
                           "[2, 1, 'server.ping', []]",
                           "[0, 'server.ping', []]",
                           "[3, 'x', []]",
                           "[-1, 1, 'server.ping', []]",
                           "['0', 1, 'server.ping', []]",
                           "[0, -1, 'server.ping', []]",
                           "[0, 4294967296, 'server.ping', []]",
                           "[0, 1.5, 'server.ping', []]",
                           "[0, nil, 'server.ping', []]",
                           "[0, 'a', 'server.ping', []]",
                           "x'c1'",
                           "x'94' 0 1 x'c1'",
                           "x'94' 0 1 'server.ping' x'c1'",
                           "[0, 1, 'session.get', ['w', x'c1']]",
                           "[0, 1, 'session.set', ['w', 's', {'a': x'c1'}]]",
                           "[0, 1, 'session.got', [x'c1']]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) expect_broken(texts[i]);
}

Test(decode, judges_a_giant_envelope_before_its_elements_are_there) {
    expect_broken("x'ddffffffff'");
    expect_broken("x'dc0005'");
    struct decoded d = decode_more("x'dd0000'", "");
    cr_assert_eq(d.state, DECODE_INCOMPLETE);
    buf_fini(&d.bytes);
}
