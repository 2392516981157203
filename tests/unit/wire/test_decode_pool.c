/* codec_decode of what pools, tokens, cookies and watches take: each type right, of the wrong type, out of its bounds,
 * with too many elements, and cut off. */
#include "decoded.h"
#include "wire/tables.h"

static void expect_text(const struct cookie_text *text, const char *expected) {
    cr_assert(bytes_equal(bytes_of(text->text, text->size), bytes_of_string(expected)), "%.*s, expected %s",
              (int)text->size, text->text, expected);
}

/* The sentence behind "<argument> ", for one value of one option. */
static void expect_problem(const char *request, const char *value, const char *sentence) {
    char text[2048];
    snprintf(text, sizeof text, request, value);
    expect_refused(text, ERROR_BAD_REQUEST, sentence);
}

/* ---- the right */

Test(decode_pool, reads_an_id_a_handle_and_a_cookie) {
    struct decoded d = decode("[0, 1, 'session.end', ['w', {'handle': 'h1'}]]");
    cr_assert_eq(d.args.session_end.id.kind, ID_HANDLE);
    expect_bytes(d.args.session_end.id.text, "h1");
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.end', ['w', 's1']]");
    cr_assert_eq(d.args.session_end.id.kind, ID_PLAIN);
    expect_bytes(d.args.session_end.id.text, "s1");
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'session.get', ['w', {x'c406636f6f6b6965': 's:a.b'}]]");
    cr_assert_eq(d.args.session_get.id.kind, ID_COOKIE);
    expect_bytes(d.args.session_get.id.text, "s:a.b");
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_every_option_of_acquire) {
    struct decoded d = decode("[0, 1, 'pool.acquire', ['w', 'p', {'id': 's', 'strategy': 'least_used', 'lease_ms': 5,"
                              "'wait_ms': 6, 'create': 'never', 'tags': ['a', x'c40162'], 'count': 3,"
                              "'fields': ['id', 'use', 'token'], 'op_id': 9}]]");
    const struct args_pool_acquire *acquire = &d.args.pool_acquire;
    cr_assert_eq(acquire->given, (1 << 11) - 1);
    expect_bytes(acquire->id, "s");
    cr_assert_eq(acquire->strategy, POOL_STRATEGY_LEAST_USED);
    cr_assert_eq(acquire->lease_ms, 5);
    cr_assert_eq(acquire->wait_ms, 6);
    cr_assert_eq(acquire->create, POOL_CREATE_NEVER);
    cr_assert_eq(acquire->tags.size, 1 + 2 + 3);
    cr_assert_eq(acquire->count, 3);
    cr_assert_eq(acquire->fields, FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_USE) | FIELD_BIT(FIELD_TOKEN));
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_outcomes_as_words_and_as_status_codes) {
    static const struct {
        const char *text;
        enum mark_kind kind;
        uint32_t code;
    } cases[] = {{"'good'", MARK_GOOD, 0},        {"'bad'", MARK_BAD, 0},         {"'retire'", MARK_RETIRE, 0},
                 {"x'c403626164'", MARK_BAD, 0},  {"100", MARK_STATUS_CODE, 100}, {"599", MARK_STATUS_CODE, 599},
                 {"403.0", MARK_STATUS_CODE, 403}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "[0, 1, 'pool.mark', ['w', 's', %s]]", cases[i].text);
        struct decoded d = decode(text);
        cr_assert_eq(d.args.pool_mark.outcome.kind, cases[i].kind, "%s", text);
        cr_assert_eq(d.args.pool_mark.outcome.status_code, cases[i].code, "%s", text);
        buf_fini(&d.bytes);
    }
}

Test(decode_pool, reads_use_fence_and_status_codes_of_a_mark) {
    struct decoded d = decode("[0, 1, 'pool.mark', ['w', 's', 429, {'use': 7, 'fence': 9007199254740991,"
                              "'extra_codes': [100, 599, 100]}]]");
    cr_assert_eq(d.args.pool_mark.use, 7);
    cr_assert_eq(d.args.pool_mark.fence, 9007199254740991);
    for (uint32_t code = 0; code < STATUS_CODE_END + 10; code++)
        cr_assert_eq(status_codes_have(&d.args.pool_mark.extra_codes, code), code == 100 || code == 599, "%u",
                     (unsigned)code);
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_scores_with_a_fraction_and_without) {
    struct decoded d = decode("[0, 1, 'pool.add', ['w', 'p', {'error_score': 2.5, 'max_error_score': 3,"
                              "'error_score_decrement': 9007199254740991, 'max_usage_count': 0}]]");
    cr_assert_float_eq(d.args.pool_add.error_score, 2.5, 0);
    cr_assert_float_eq(d.args.pool_add.max_error_score, 3, 0);
    cr_assert_float_eq(d.args.pool_add.error_score_decrement, 9007199254740991.0, 0);
    cr_assert(d.args.pool_add.given & POOL_ADD_MAX_USAGE_COUNT);
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_a_pool_policy_and_tells_nil_from_left_out) {
    struct decoded d = decode("[0, 1, 'pool.configure', ['w', 'p', {'max_pool_size': 2, 'max_error_score': 1.5,"
                              "'blocked_status_codes': [], 'strategy': 'round_robin', 'cooldown_ms': nil}]]");
    const struct pool_policy_change *change = &d.args.pool_configure.policy;
    cr_assert_eq(change->given, POOL_POLICY_MAX_POOL_SIZE | POOL_POLICY_MAX_ERROR_SCORE |
                                    POOL_POLICY_BLOCKED_STATUS_CODES | POOL_POLICY_STRATEGY | POOL_POLICY_COOLDOWN_MS);
    cr_assert_eq(change->nil, POOL_POLICY_COOLDOWN_MS);
    struct pool_policy policy = pool_policy_defaults;
    policy.cooldown_ms = 77;
    policy.max_concurrent = 5;
    pool_policy_apply(&policy, change);
    cr_assert_eq(policy.max_pool_size, 2);
    cr_assert_float_eq(policy.max_error_score, 1.5, 0);
    cr_assert_not(status_codes_have(&policy.blocked_status_codes, 403), "an empty array blocks none");
    cr_assert_eq(policy.strategy, POOL_STRATEGY_ROUND_ROBIN);
    cr_assert_eq(policy.cooldown_ms, 0, "nil: back to the default");
    cr_assert_eq(policy.max_concurrent, 5, "not given: as it was");
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_back_the_pool_policy_that_it_writes) {
    struct pool_policy policy = pool_policy_defaults, again = {0};
    policy.error_score_decrement = 0.25;
    policy.blocked_status_codes.bits[599 / 64] |= UINT64_C(1) << 599 % 64;
    policy.strategy = POOL_STRATEGY_LEAST_RECENT;
    struct decoded d = {.bytes = BUF_EMPTY};
    write_text(&d.bytes, "x'94' 0 1 'pool.configure' x'93' 'w' 'p'");
    codec_write_pool_policy(&d.bytes, &policy);
    d.state = codec_decode(buf_bytes(&d.bytes), &d.frame, &d.args, &d.error);
    cr_assert_eq(d.state, DECODE_OK);
    pool_policy_apply(&again, &d.args.pool_configure.policy);
    struct buf first = BUF_EMPTY, second = BUF_EMPTY;
    codec_write_pool_policy(&first, &policy);
    codec_write_pool_policy(&second, &again);
    cr_assert(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    cr_assert(status_codes_have(&again.blocked_status_codes, 599));
    cr_assert(status_codes_have(&again.blocked_status_codes, 401));
    cr_assert_float_eq(again.error_score_decrement, 0.25, 0);
    buf_fini(&first);
    buf_fini(&second);
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_every_attribute_of_a_cookie) {
    struct decoded d =
        decode("[0, 1, 'cookie.header', ['w', 'v', {'attributes': {'name': 'sid', 'path': '/a', 'domain':"
               "'', 'expires_at': 5, 'max_age_ms': 6, 'http_only': false, 'secure': 'auto',"
               "'same_site': true, 'priority': 'medium', 'partitioned': nil}, 'is_secure': true}]]");
    const struct cookie_attributes *cookie = &d.args.cookie_header.attributes;
    cr_assert_eq(cookie->given, (COOKIE_ATTRIBUTES_PARTITIONED << 1) - 1);
    cr_assert_eq(cookie->nil, COOKIE_ATTRIBUTES_PARTITIONED);
    expect_text(&cookie->name, "sid");
    expect_text(&cookie->path, "/a");
    expect_text(&cookie->domain, "");
    cr_assert_eq(cookie->expires_at, 5);
    cr_assert_eq(cookie->max_age_ms, 6);
    cr_assert_not(cookie->http_only);
    cr_assert_eq(cookie->secure, COOKIE_SECURE_AUTO);
    cr_assert_eq(cookie->same_site, SAME_SITE_STRICT);
    cr_assert_eq(cookie->priority, COOKIE_PRIORITY_MEDIUM);
    cr_assert(d.args.cookie_header.is_secure);
    buf_fini(&d.bytes);
}

Test(decode_pool, reads_secure_and_same_site_in_each_of_their_forms) {
    static const struct {
        const char *secure, *same_site;
        enum cookie_secure secure_is;
        enum same_site same_site_is;
    } cases[] = {{"false", "false", COOKIE_SECURE_FALSE, SAME_SITE_ABSENT},
                 {"true", "'strict'", COOKIE_SECURE_TRUE, SAME_SITE_STRICT},
                 {"'auto'", "'lax'", COOKIE_SECURE_AUTO, SAME_SITE_LAX},
                 {"true", "'none'", COOKIE_SECURE_TRUE, SAME_SITE_NONE},
                 {"true", "'auto'", COOKIE_SECURE_TRUE, SAME_SITE_AUTO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "[0, 1, 'cookie.header', ['w', 'v', {'attributes': {'secure': %s, 'same_site': %s}}]]",
                 cases[i].secure, cases[i].same_site);
        struct decoded d = decode(text);
        cr_assert_eq(d.args.cookie_header.attributes.secure, cases[i].secure_is, "%s", text);
        cr_assert_eq(d.args.cookie_header.attributes.same_site, cases[i].same_site_is, "%s", text);
        buf_fini(&d.bytes);
    }
}

Test(decode_pool, reads_bindings_secrets_records_and_kinds_of_events) {
    struct decoded d = decode("[0, 1, 'session.create', ['w', {'bind': {'address': '::1', 'device_key': nil},"
                              "'token': true, 'pending': true, 'pool': nil}]]");
    expect_bytes(d.args.session_create.bind.address, "::1");
    cr_assert_eq(d.args.session_create.bind.given, BINDING_ADDRESS | BINDING_DEVICE_KEY);
    cr_assert_eq(d.args.session_create.bind.nil, BINDING_DEVICE_KEY);
    cr_assert(d.args.session_create.token);
    cr_assert(d.args.session_create.pending);
    cr_assert_eq(d.args.session_create.nil, SESSION_CREATE_POOL);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'namespace.configure', ['w', {'cookie_secrets': ['new', x'c402ff00'], 'hash_ids': true}]]");
    cr_assert_eq(d.args.namespace_configure.policy.values.cookie_secrets.size, 1 + 4 + 4);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'pool.load', ['w', 'p', [{'id': 'a'}, {}]]]");
    cr_assert_eq(d.args.pool_load.sessions.size, 1 + 6 + 1);
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'watch.start', ['w', {'kinds': ['expired', 'retired'], 'data': true, 'pool': 'p'}]]");
    cr_assert_eq(d.args.watch_start.kinds, EVENT_BIT(EVENT_EXPIRED) | EVENT_BIT(EVENT_RETIRED));
    buf_fini(&d.bytes);
    d = decode("[0, 1, 'watch.start', ['w', {'kinds': 'created'}]]");
    cr_assert_eq(d.args.watch_start.kinds, EVENT_BIT(EVENT_CREATED));
    buf_fini(&d.bytes);
}

/* ---- the refused */

#define MARK      "[0, 1, 'pool.mark', ['w', 's', %s]]"
#define CODES     "[0, 1, 'pool.mark', ['w', 's', 'good', {'extra_codes': %s}]]"
#define SCORE     "[0, 1, 'pool.add', ['w', 'p', {'error_score': %s}]]"
#define TAGS      "[0, 1, 'pool.acquire', ['w', 'p', {'tags': %s}]]"
#define END       "[0, 1, 'session.end', ['w', %s]]"
#define GET       "[0, 1, 'session.get', ['w', %s]]"
#define BIND      "[0, 1, 'session.create', ['w', {'bind': %s}]]"
#define WATCH     "[0, 1, 'watch.start', ['w', {'kinds': %s}]]"
#define SECRETS   "[0, 1, 'namespace.configure', ['w', {'cookie_secrets': %s}]]"
#define COOKIE    "[0, 1, 'cookie.header', ['w', 'v', {'attributes': {%s}}]]"
#define LOAD      "[0, 1, 'pool.load', ['w', 'p', %s]]"
#define CONFIGURE "[0, 1, 'pool.configure', ['w', 'p', %s]]"

#define TAKES_OUTCOME                                                                                                  \
    "; it takes \"good\", \"bad\", \"retire\", or the status code of an answer, an integer from 100 to 599."
#define TAKES_CODES "; it takes array of at most 100 integers from 100 to 599."
#define TAKES_SCORE "; it takes a number from 0 to 2^53 - 1, with a fraction or without."
#define TAKES_TAGS  "; it takes array of at most 16 str of 1 to 64 bytes of UTF-8."
#define TAKES_HANDLE                                                                                                   \
    "; it takes an id (str or bin, 1 to 255 bytes of UTF-8), or the map {handle: str} in a namespace with hash_ids."
#define TAKES_COOKIE "; it takes an id (str or bin, 1 to 255 bytes of UTF-8), or the map {cookie: str}."
#define TAKES_BIND   "; it takes map of user_agent, address, device_key (each of any size and bytes)."
#define TAKES_KINDS  "; it takes an event's name, or an array of them."
#define TAKES_SECRET "; it takes array of 1 to 8 secrets, str or bin of 1 to 256 bytes, the newest first."

Test(decode_pool, refuses_outcomes_and_codes_that_are_none) {
    expect_problem(MARK, "'fine'", "pool.mark: outcome does not know \"fine\"" TAKES_OUTCOME);
    expect_problem(MARK, "99", "pool.mark: outcome is too small" TAKES_OUTCOME);
    expect_problem(MARK, "600", "pool.mark: outcome is too large" TAKES_OUTCOME);
    expect_problem(MARK, "403.5", "pool.mark: outcome is not a whole number" TAKES_OUTCOME);
    expect_problem(MARK, "true", "pool.mark: outcome is a bool" TAKES_OUTCOME);
    expect_problem(MARK, "nil", "pool.mark: outcome is nil and must be given" TAKES_OUTCOME);
    expect_problem(CODES, "403", "pool.mark: extra_codes is an integer" TAKES_CODES);
    expect_problem(CODES, "[403, 99]", "pool.mark: extra_codes is too small" TAKES_CODES);
    expect_problem(CODES, "[600]", "pool.mark: extra_codes is too large" TAKES_CODES);
    expect_problem(CODES, "[-1]", "pool.mark: extra_codes is too small" TAKES_CODES);
    expect_problem(CODES, "['403']", "pool.mark: extra_codes is a str" TAKES_CODES);
}

Test(decode_pool, refuses_scores_that_are_none) {
    expect_problem(SCORE, "-0.5", "pool.add: error_score is negative" TAKES_SCORE);
    expect_problem(SCORE, "x'cb7ff8000000000000'", "pool.add: error_score is not a number (NaN)" TAKES_SCORE);
    expect_problem(SCORE, "x'cb7ff0000000000000'", "pool.add: error_score is infinite" TAKES_SCORE);
    expect_problem(SCORE, "9007199254740992", "pool.add: error_score is too large" TAKES_SCORE);
    expect_problem(SCORE, "'1'", "pool.add: error_score is a str" TAKES_SCORE);
}

Test(decode_pool, refuses_tags_that_are_none) {
    expect_problem(TAGS, "'a'", "pool.acquire: tags is a str" TAKES_TAGS);
    expect_problem(TAGS, "['a', '']", "pool.acquire: tags element 1 is empty" TAKES_TAGS);
    expect_problem(TAGS, "[5]", "pool.acquire: tags is an integer" TAKES_TAGS);
    expect_problem(TAGS, "['01234567890123456789012345678901234567890123456789012345678901234']",
                   "pool.acquire: tags element 0 is too long" TAKES_TAGS);
    expect_refused(
        "[0, 1, 'pool.acquire', ['w', 'p', {'tags': ['a','a','a','a','a','a','a','a','a','a','a','a','a','a',"
        "'a','a','a']}]]",
        ERROR_TOO_BIG, "pool.acquire: tags has 17 elements" TAKES_TAGS);
}

Test(decode_pool, refuses_maps_in_place_of_an_id_that_say_something_else) {
    expect_problem(END, "{'cookie': 's:a.b'}", "session.end: id is a map other than {handle: str}" TAKES_HANDLE);
    expect_problem(END, "{}", "session.end: id is a map other than {handle: str}" TAKES_HANDLE);
    expect_problem(END, "{'handle': 'h', 'x': 1}", "session.end: id is a map other than {handle: str}" TAKES_HANDLE);
    expect_problem(END, "{5: 'h'}", "session.end: id is a map other than {handle: str}" TAKES_HANDLE);
    expect_problem(END, "{'handle': 5}", "session.end: id is an integer" TAKES_HANDLE);
    expect_problem(END, "{'handle': ''}", "session.end: id is empty" TAKES_HANDLE);
    expect_problem(GET, "{'handle': 'h'}", "session.get: id is a map other than {cookie: str}" TAKES_COOKIE);
    expect_refused("[0, 1, 'session.take', ['w', {'handle': 'h'}]]", ERROR_BAD_REQUEST,
                   "session.take: id is a map; it takes str or bin, 1 to 255 bytes of UTF-8.");
}

Test(decode_pool, refuses_a_binding_to_nothing) {
    expect_problem(BIND, "{}", "session.create: bind names nothing to bind to" TAKES_BIND);
    expect_problem(BIND, "{'address': nil}", "session.create: bind names nothing to bind to" TAKES_BIND);
    expect_problem(BIND, "'::1'", "session.create: bind is a str" TAKES_BIND);
    expect_problem(BIND, "{'addres': 'x'}", "session.create: there is no option \"bind.addres\".");
    expect_problem(BIND, "{'address': 5}",
                   "session.create: bind.address is an integer; it takes str or bin of any size and bytes.");
}

Test(decode_pool, refuses_kinds_of_events_that_are_none) {
    expect_problem(WATCH, "'touched'", "watch.start: kinds does not know \"touched\"" TAKES_KINDS);
    expect_problem(WATCH, "[]", "watch.start: kinds is empty" TAKES_KINDS);
    expect_problem(WATCH, "[1]", "watch.start: kinds is an integer" TAKES_KINDS);
    expect_problem(WATCH, "1", "watch.start: kinds is an integer" TAKES_KINDS);
}

Test(decode_pool, refuses_secrets_that_are_none) {
    expect_problem(SECRETS, "[]", "namespace.configure: policy.cookie_secrets is empty" TAKES_SECRET);
    expect_problem(SECRETS, "'key'", "namespace.configure: policy.cookie_secrets is a str" TAKES_SECRET);
    expect_problem(SECRETS, "['']",
                   "namespace.configure: policy.cookie_secrets has a secret that is empty or too long" TAKES_SECRET);
    expect_problem(SECRETS, "[nil]", "namespace.configure: policy.cookie_secrets is nil" TAKES_SECRET);
    expect_refused("[0, 1, 'namespace.configure', ['w', {'cookie_secrets': ['1','2','3','4','5','6','7','8','9']}]]",
                   ERROR_TOO_BIG, "namespace.configure: policy.cookie_secrets has 9 elements" TAKES_SECRET);
}

Test(decode_pool, refuses_attributes_of_a_cookie_that_cannot_be) {
    expect_problem(
        COOKIE, "'name': 'a;b'",
        "cookie.header: attributes.name has a character that cannot stand in a cookie; it takes str or bin, 0 "
        "to 255 printable ASCII characters.");
    expect_problem(
        COOKIE, "'path': x'a22f0a'",
        "cookie.header: attributes.path has a character that cannot stand in a cookie; it takes str or bin, 0 "
        "to 255 printable ASCII characters.");
    expect_problem(COOKIE, "'secure': 'yes'",
                   "cookie.header: attributes.secure does not know \"yes\"; it takes true, false or \"auto\".");
    expect_problem(COOKIE, "'secure': 1",
                   "cookie.header: attributes.secure is an integer; it takes true, false or "
                   "\"auto\".");
    expect_problem(
        COOKIE, "'same_site': 'false'",
        "cookie.header: attributes.same_site does not know \"false\"; it takes true (strict), false (absent), "
        "\"strict\", \"lax\", \"none\" or \"auto\".");
    expect_problem(COOKIE, "'priority': 'urgent'",
                   "cookie.header: attributes.priority does not know \"urgent\"; it takes one of low, medium, high.");
    expect_problem(COOKIE, "'http_only': true, 'http_only': true",
                   "cookie.header: attributes.http_only is given twice; it takes true or false.");
}

Test(decode_pool, names_a_cookie_within_a_policy_and_the_policy_behind_it) {
    expect_refused("[0, 1, 'namespace.configure', ['w', {'cookie': {'secure': 5}}]]", ERROR_BAD_REQUEST,
                   "namespace.configure: policy.cookie.secure is an integer; it takes true, false or \"auto\".");
    expect_refused("[0, 1, 'namespace.configure', ['w', {'cookie': {}, 'slide': 5}]]", ERROR_BAD_REQUEST,
                   "namespace.configure: policy.slide is an integer; it takes true or false.");
    expect_refused("[0, 1, 'namespace.configure', ['w', {'cookie': 5}]]", ERROR_BAD_REQUEST,
                   "namespace.configure: policy.cookie is an integer; it takes map of name, path, domain, expires_at, "
                   "max_age_ms, http_only, secure, same_site, priority, partitioned.");
}

Test(decode_pool, refuses_records_and_policies_that_are_none) {
    expect_problem(LOAD, "{}",
                   "pool.load: sessions is a map; it takes array of at most 1,000 records, maps as pool.state "
                   "answers them.");
    expect_problem(LOAD, "[{}, 'a']",
                   "pool.load: sessions is a str; it takes array of at most 1,000 records, maps as "
                   "pool.state answers them.");
    expect_problem(CONFIGURE, "{'strategy': 'best'}",
                   "pool.configure: policy.strategy does not know \"best\"; it takes one of random, round_robin, "
                   "use_until_failure, least_used, least_recent.");
    expect_problem(CONFIGURE, "{'size': 5}", "pool.configure: there is no option \"policy.size\".");
    expect_problem(CONFIGURE, "{'max_pool_size': -1}",
                   "pool.configure: policy.max_pool_size is negative; it takes integer from 0 to 2^53 - 1.");
}

/* An array of `count` small values as the last argument. */
static enum decode_state decode_many(const char *head, uint32_t count, uint32_t value, struct error *error) {
    struct buf buf = BUF_EMPTY;
    write_text(&buf, head);
    mp_write_array(&buf, count);
    for (uint32_t i = 0; i < count; i++)
        if (value)
            mp_write_uint(&buf, value);
        else
            mp_write_map(&buf, 0);
    struct frame frame;
    union op_args args;
    enum decode_state state = codec_decode(buf_bytes(&buf), &frame, &args, error);
    buf_fini(&buf);
    return state;
}

Test(decode_pool, takes_as_many_elements_as_the_types_say_and_no_more) {
    const char *codes = "x'94' 0 1 'pool.mark' x'94' 'w' 's' 'good' x'81' 'extra_codes'";
    const char *records = "x'94' 0 1 'pool.load' x'93' 'w' 'p'";
    struct error error;
    cr_assert_eq(decode_many(codes, 100, 403, &error), DECODE_OK);
    cr_assert_eq(decode_many(codes, 101, 403, &error), DECODE_REFUSED);
    cr_assert_eq(error.code, ERROR_TOO_BIG);
    cr_assert_eq(error.limit, 100);
    cr_assert_eq(decode_many(records, 1000, 0, &error), DECODE_OK);
    cr_assert_eq(decode_many(records, 1001, 0, &error), DECODE_REFUSED);
    cr_assert_eq(error.code, ERROR_TOO_BIG);
    cr_assert_eq(error.limit, 1000);
}

/* ---- cut off */

Test(decode_pool, lacks_bytes_wherever_a_message_is_cut) {
    static const char *const texts[] = {
        "[0, 7, 'session.create', ['w', {'bind': {'user_agent': 'x', 'address': 'y'}, 'token': true, 'pool': 'p'}]]",
        "[0, 7, 'session.end', ['w', {'handle': 'h1'}, {'reason': 'why'}]]",
        "[0, 7, 'session.touch', ['w', {'cookie': 's:a.b'}]]",
        "[0, 7, 'pool.acquire', ['w', 'p', {'tags': ['a', 'bc'], 'strategy': 'random', 'create': 'ask', 'count': "
        "300}]]",
        "[0, 7, 'pool.mark', ['w', 's', 403, {'extra_codes': [500, 501], 'use': 70000}]]",
        "[0, 7, 'pool.mark', ['w', 's', 'retire']]",
        "[0, 7, 'pool.configure', ['w', 'p', {'max_error_score': 2.5, 'blocked_status_codes': [403], 'strategy': "
        "'random'}]]",
        "[0, 7, 'pool.load', ['w', 'p', [{'id': 'a', 'usage_count': 3}, {}]]]",
        "[0, 7, 'cookie.header', ['w', 'v', {'attributes': {'secure': 'auto', 'same_site': false, 'path': '/'}}]]",
        "[0, 7, 'namespace.configure', ['w', {'cookie': {'secure': true}, 'cookie_secrets': ['ab', x'c401ff']}]]",
        "[0, 7, 'watch.start', ['w', {'kinds': ['expired', 'created'], 'data': true}]]",
        "[0, 7, 'watch.start', ['w', {'kinds': 'expired'}]]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf buf = BUF_EMPTY;
        write_text(&buf, texts[i]);
        struct frame frame;
        union op_args args;
        struct error error;
        for (size_t cut = 0; cut < buf.size; cut++) {
            uint8_t *piece = malloc(cut + 1); /* so that a sanitizer sees what is read too far */
            memcpy(piece, buf.data, cut);
            cr_assert_eq(codec_decode(bytes_of(piece, cut), &frame, &args, &error), DECODE_INCOMPLETE, "%s, cut at %zu",
                         texts[i], cut);
            free(piece);
        }
        cr_assert_eq(codec_decode(buf_bytes(&buf), &frame, &args, &error), DECODE_OK, "%s", texts[i]);
        buf_fini(&buf);
    }
}
