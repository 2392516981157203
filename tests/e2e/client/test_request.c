#include <criterion/criterion.h>

#include "mp_text.h"
#include "request.h"

static const char *text_of(struct sessiond_request *request) {
    cr_assert_not_null(request);
    cr_assert_null(request->error, "%s", request->error ? request->error->message : "");
    request_set_msgid(request, 7);
    request_set_op_id(request, UINT64_C(123) << 11);
    const char *text = mp_text(request->frame.data, request->frame.size);
    sessiond_request_free(request);
    return text;
}

static void refuses(struct sessiond_request *request, int code, const char *word) {
    cr_assert_not_null(request);
    cr_assert_not_null(request->error);
    cr_assert_eq(request->error->code, code, "%s", request->error->message);
    cr_assert(strstr(request->error->message, word), "%s", request->error->message);
    sessiond_request_free(request);
}

Test(request, leaves_out_what_is_zero) {
    cr_assert_str_eq(text_of(sessiond_get_request("web", "s1", NULL)), "[0, 7, \"session.get\", [\"web\", \"s1\"]]");
    cr_assert_str_eq(text_of(sessiond_get_request(NULL, "s1", &(struct sessiond_get_options){0})),
                     "[0, 7, \"session.get\", [nil, \"s1\"]]");
    cr_assert_str_eq(text_of(sessiond_server_ping_request()), "[0, 7, \"server.ping\", []]");
}

Test(request, gives_every_write_an_op_id_and_no_read) {
    cr_assert_str_eq(text_of(sessiond_destroy_request("web", "s1")),
                     "[0, 7, \"session.destroy\", [\"web\", \"s1\", {\"op_id\"=>123}]]");
    for (const struct method *method = methods; method->name; method++) {
        struct sessiond_request *request = sessiond_request_make(method->name, MP("\x93\xa1n\xa1i\x80"));
        cr_assert(request->is_repeatable || method->positional_count != 2, "%s", method->name);
        sessiond_request_free(request);
    }
}

Test(request, says_zero_and_nil_where_they_are_meant) {
    struct sessiond_touch_options options = {
        .timeouts = {.idle_timeout_ms = SESSIOND_ZERO, .absolute_timeout_ms = SESSIOND_NIL, .abandon_timeout_ms = 5},
        .absolute_expires_at = SESSIOND_NIL,
        .meta = MP("\xc0"),
    };
    cr_assert_str_eq(
        text_of(sessiond_touch_request("web", "s1", &options)),
        "[0, 7, \"session.touch\", [\"web\", \"s1\", {\"timeouts\"=>{\"idle_timeout_ms\"=>0, "
        "\"absolute_timeout_ms\"=>nil, \"abandon_timeout_ms\"=>5}, \"absolute_expires_at\"=>nil, \"meta\"=>nil, "
        "\"op_id\"=>123}]]");
    cr_assert_str_eq(
        text_of(sessiond_create_request("web", &(struct sessiond_create_options){.user = SESSIOND_NIL_TEXT})),
        "[0, 7, \"session.create\", [\"web\", {\"user\"=>nil, \"op_id\"=>123}]]");
}

Test(request, writes_every_kind_of_argument) {
    struct sessiond_texts unset = {(const char *const[]){"a", "b"}, 2};
    struct sessiond_patch_options patch = {.set = MP("\x81\xa1k\x01"),
                                           .unset = unset,
                                           .incr = MP("\x81\xa1n\xff"),
                                           .target = SESSIOND_PATCH_TARGET_META,
                                           .create = SESSIOND_TRUE,
                                           .version = 9};
    cr_assert_str_eq(
        text_of(sessiond_patch_request("web", "s1", &patch)),
        "[0, 7, \"session.patch\", [\"web\", \"s1\", {\"set\"=>{\"k\"=>1}, \"unset\"=>[\"a\", \"b\"], "
        "\"incr\"=>{\"n\"=>-1}, \"target\"=>\"meta\", \"create\"=>true, \"version\"=>9, \"op_id\"=>123}]]");
    struct sessiond_list_options list = {.status = SESSIOND_STATUS_BIT_REVOKED | SESSIOND_STATUS_BIT_ACTIVE,
                                         .fields = SESSIOND_FIELD_ID | SESSIOND_FIELD_META,
                                         .order = SESSIOND_LIST_ORDER_OLDEST,
                                         .limit = 3};
    cr_assert_str_eq(text_of(sessiond_list_request("web", &list)),
                     "[0, 7, \"session.list\", [\"web\", {\"status\"=>[\"active\", \"revoked\"], \"limit\"=>3, "
                     "\"fields\"=>[\"id\", \"meta\"], \"order\"=>\"oldest\"}]]");
    list = (struct sessiond_list_options){.status = SESSIOND_STATUS_BIT_ANY};
    cr_assert_str_eq(text_of(sessiond_list_request("web", &list)),
                     "[0, 7, \"session.list\", [\"web\", {\"status\"=>\"any\"}]]");
    struct sessiond_policy policy = {.idle_timeout_ms = 1000,
                                     .tombstone_ms = SESSIOND_ZERO,
                                     .strict_ids = SESSIOND_FALSE,
                                     .session_limit_policy = SESSIOND_SESSION_LIMIT_POLICY_EVICT_IDLE};
    cr_assert_str_eq(text_of(sessiond_namespace_configure_request("web", &policy)),
                     "[0, 7, \"namespace.configure\", [\"web\", {\"idle_timeout_ms\"=>1000, \"tombstone_ms\"=>0, "
                     "\"strict_ids\"=>false, \"session_limit_policy\"=>\"evict_idle\"}, {\"op_id\"=>123}]]");
    cr_assert_str_eq(text_of(sessiond_regenerate_request(
                         "web", "s1", &(struct sessiond_regenerate_options){.keep_data = SESSIOND_FALSE})),
                     "[0, 7, \"session.regenerate\", [\"web\", \"s1\", {\"keep_data\"=>false, \"op_id\"=>123}]]");
}

Test(request, adds_an_op_id_to_any_form_of_params) {
    cr_assert_str_eq(text_of(sessiond_request_make("session.destroy", MP("\x92\xa1n\xa1i"))),
                     "[0, 7, \"session.destroy\", [\"n\", \"i\", {\"op_id\"=>123}]]");
    cr_assert_str_eq(text_of(sessiond_request_make("session.destroy", MP("\xdc\x00\x03\xa1n\xa1i\xc0"))),
                     "[0, 7, \"session.destroy\", [\"n\", \"i\", {\"op_id\"=>123}]]");
    cr_assert_str_eq(text_of(sessiond_request_make("session.take", MP("\x93\xa1n\xa1i\x81\xa6"
                                                                      "fields\x90"))),
                     "[0, 7, \"session.take\", [\"n\", \"i\", {\"fields\"=>[], \"op_id\"=>123}]]");
    cr_assert_str_eq(text_of(sessiond_request_make("session.take", MP("\x93\xa1n\xa1i\x81\xa5op_id\x05"))),
                     "[0, 7, \"session.take\", [\"n\", \"i\", {\"op_id\"=>5}]]");
}

Test(request, repeats_only_what_may_be_repeated) {
    const struct {
        const char *method;
        struct sessiond_bytes params;
        bool is_repeatable;
    } cases[] = {
        {"session.get", MP("\x92\xa1n\xa1i"), true},
        {"session.destroy", MP("\x92\xa1n\xa1i"), true},
        {"session.destroy", MP("\x91\xa1n"), false},
        {"session.destroy", MP("\x93\xa1n\xa1i\x05"), false},
        {"session.destroy", MP("\x94\xa1n\xa1i\x80\x01"), false},
        {"session.destroy", MP("\x93\xa1n\xa1i\x81\xa5op_id\x05"), true},
        {"pool.unheard_of", MP("\x90"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sessiond_request *request = sessiond_request_make(cases[i].method, cases[i].params);
        cr_assert_null(request->error);
        cr_assert_eq(request->is_repeatable, cases[i].is_repeatable, "case %zu", i);
        sessiond_request_free(request);
    }
}

Test(request, refuses_values_that_would_put_the_connection_out_of_step) {
    const struct sessiond_bytes bad[] = {MP(""),   MP("\x81"), MP("\x01\x01"), MP("\xc1"), MP("\xdf\xff\xff\xff\xff"),
                                         {NULL, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuses(sessiond_set_request("web", "s1", bad[i], NULL), SESSIOND_ERROR_ARGUMENT, "data");
    char deep[200];
    memset(deep, 0x91, sizeof deep);
    for (size_t depth = 128; depth <= 129; depth++) {
        deep[depth] = 1;
        struct sessiond_request *request =
            sessiond_set_request("web", "s1", (struct sessiond_bytes){deep, depth + 1}, NULL);
        if (depth == 128) cr_assert_null(request->error);
        if (depth == 128)
            sessiond_request_free(request);
        else
            refuses(request, SESSIOND_ERROR_ARGUMENT, "nested at most 128");
        deep[depth] = (char)0x91;
    }
    refuses(sessiond_request_make("session.get", MP("\x80")), SESSIOND_ERROR_ARGUMENT, "array");
    refuses(sessiond_request_make("session.get", MP("\x92\x01")), SESSIOND_ERROR_ARGUMENT, "array");
    refuses(sessiond_request_make(NULL, MP("\x90")), SESSIOND_ERROR_ARGUMENT, "method");
}

Test(request, refuses_mistakes_in_its_options) {
    refuses(sessiond_get_request("web", NULL, NULL), SESSIOND_ERROR_ARGUMENT, "id is NULL");
    refuses(sessiond_get_request("web", "s", &(struct sessiond_get_options){.fields = UINT64_C(1) << 60}),
            SESSIOND_ERROR_ARGUMENT, "bit");
    refuses(sessiond_list_request("web", &(struct sessiond_list_options){.order = (enum sessiond_list_order)9}),
            SESSIOND_ERROR_ARGUMENT, "order");
    refuses(sessiond_get_request("web", "s", &(struct sessiond_get_options){.touch = (enum sessiond_bool)3}),
            SESSIOND_ERROR_ARGUMENT, "touch");
    struct sessiond_texts hole = {(const char *const[]){"a", NULL}, 2};
    refuses(sessiond_get_many_request("web", hole, NULL), SESSIOND_ERROR_ARGUMENT, "ids");
}

Test(request, refuses_a_message_above_the_limit) {
    static char large[SESSIOND_LIMIT_MAX_FRAME + 5];
    large[0] = (char)0xc6;
    uint32_t size = sizeof large - 5;
    for (int i = 0; i < 4; i++) large[1 + i] = (char)(size >> 8 * (3 - i));
    refuses(sessiond_set_request("web", "s1", (struct sessiond_bytes){large, sizeof large}, NULL),
            SESSIOND_ERROR_TOO_BIG, "send less");
}

Test(request, names_a_session_by_id_handle_and_cookie) {
    cr_assert_str_eq(text_of(sessiond_end_request("web", "s1", NULL)),
                     "[0, 7, \"session.end\", [\"web\", \"s1\", {\"op_id\"=>123}]]");
    cr_assert_str_eq(
        text_of(sessiond_end_by_handle_request("web", "h1", &(struct sessiond_end_options){.reason = "why"})),
        "[0, 7, \"session.end\", [\"web\", {\"handle\"=>\"h1\"}, {\"reason\"=>\"why\", \"op_id\"=>123}]]");
    cr_assert_str_eq(text_of(sessiond_get_by_cookie_request("web", "s:a.b", NULL)),
                     "[0, 7, \"session.get\", [\"web\", {\"cookie\"=>\"s:a.b\"}]]");
    refuses(sessiond_destroy_by_handle_request("web", NULL), SESSIOND_ERROR_ARGUMENT, "handle is NULL");
}

Test(request, writes_outcomes_as_words_and_as_status_codes) {
    cr_assert_str_eq(text_of(sessiond_pool_mark_request("w", "s", SESSIOND_MARK_RETIRE, NULL)),
                     "[0, 7, \"pool.mark\", [\"w\", \"s\", \"retire\", {\"op_id\"=>123}]]");
    static const uint16_t codes[] = {500, 502};
    struct sessiond_pool_mark_options options = {.use = 3, .fence = 4, .extra_codes = {codes, 2}};
    cr_assert_str_eq(
        text_of(sessiond_pool_mark_request("w", "s", 403, &options)),
        "[0, 7, \"pool.mark\", [\"w\", \"s\", 403, {\"use\"=>3, \"fence\"=>4, \"extra_codes\"=>[500, 502], "
        "\"op_id\"=>123}]]");
    refuses(sessiond_pool_mark_request("w", "s", 0, NULL), SESSIOND_ERROR_ARGUMENT, "outcome is 0");
    refuses(sessiond_pool_mark_request("w", "s", 600, NULL), SESSIOND_ERROR_ARGUMENT, "outcome is 600");
}

Test(request, writes_a_pools_policy_with_zero_nil_and_none) {
    struct sessiond_pool_policy policy = {.max_pool_size = SESSIOND_ZERO,
                                          .cooldown_ms = SESSIOND_NIL,
                                          .max_error_score = SESSIOND_ZERO_SCORE,
                                          .error_score_decrement = 0.25,
                                          .blocked_status_codes = {(const uint16_t[]){0}, 0},
                                          .strategy = SESSIOND_POOL_STRATEGY_LEAST_USED};
    cr_assert_str_eq(text_of(sessiond_pool_configure_request("w", "p", &policy)),
                     "[0, 7, \"pool.configure\", [\"w\", \"p\", {\"max_pool_size\"=>0, \"max_error_score\"=>0, "
                     "\"error_score_decrement\"=>0.250000, \"blocked_status_codes\"=>[], \"cooldown_ms\"=>nil, "
                     "\"strategy\"=>\"least_used\"}, {\"op_id\"=>123}]]");
    policy = (struct sessiond_pool_policy){.max_error_score = SESSIOND_NIL_SCORE,
                                           .blocked_status_codes = {SESSIOND_NIL_CODES, 0}};
    cr_assert_str_eq(text_of(sessiond_pool_configure_request("w", "p", &policy)),
                     "[0, 7, \"pool.configure\", [\"w\", \"p\", {\"max_error_score\"=>nil, "
                     "\"blocked_status_codes\"=>nil}, {\"op_id\"=>123}]]");
    cr_assert_str_eq(text_of(sessiond_pool_configure_request("w", "p", NULL)),
                     "[0, 7, \"pool.configure\", [\"w\", \"p\", {}, {\"op_id\"=>123}]]");
}

Test(request, writes_cookies_bindings_tags_and_kinds_of_events) {
    struct sessiond_cookie_header_options header = {.attributes = {.name = "sid",
                                                                   .max_age_ms = SESSIOND_ZERO,
                                                                   .http_only = SESSIOND_FALSE,
                                                                   .secure = SESSIOND_COOKIE_SECURE_TRUE,
                                                                   .same_site = SESSIOND_SAME_SITE_ABSENT},
                                                    .is_secure = SESSIOND_TRUE};
    cr_assert_str_eq(text_of(sessiond_cookie_header_request("w", "v", &header)),
                     "[0, 7, \"cookie.header\", [\"w\", \"v\", {\"attributes\"=>{\"name\"=>\"sid\", \"max_age_ms\"=>0, "
                     "\"http_only\"=>false, \"secure\"=>true, \"same_site\"=>false}, \"is_secure\"=>true}]]");
    header = (struct sessiond_cookie_header_options){
        .attributes = {.secure = SESSIOND_COOKIE_SECURE_AUTO, .same_site = SESSIOND_SAME_SITE_LAX}};
    cr_assert_str_eq(text_of(sessiond_cookie_header_request("w", "v", &header)),
                     "[0, 7, \"cookie.header\", [\"w\", \"v\", {\"attributes\"=>{\"secure\"=>\"auto\", "
                     "\"same_site\"=>\"lax\"}}]]");
    struct sessiond_create_options create = {.token = SESSIOND_TRUE, .bind = {.address = "::1"}};
    cr_assert_str_eq(text_of(sessiond_create_request("w", &create)),
                     "[0, 7, \"session.create\", [\"w\", {\"token\"=>true, \"bind\"=>{\"address\"=>\"::1\"}, "
                     "\"op_id\"=>123}]]");
    struct sessiond_pool_acquire_options acquire = {.tags = {(const char *const[]){"a"}, 1},
                                                    .create = SESSIOND_POOL_CREATE_ASK};
    cr_assert_str_eq(text_of(sessiond_pool_acquire_request("w", "p", &acquire)),
                     "[0, 7, \"pool.acquire\", [\"w\", \"p\", {\"create\"=>\"ask\", \"tags\"=>[\"a\"], "
                     "\"op_id\"=>123}]]");
    struct sessiond_watch_start_options watch = {.kinds = SESSIOND_EVENT_BIT_EXPIRED | SESSIOND_EVENT_BIT_TOKEN_REUSED};
    cr_assert_str_eq(text_of(sessiond_watch_start_request("w", &watch)),
                     "[0, 7, \"watch.start\", [\"w\", {\"kinds\"=>[\"expired\", \"token_reused\"]}]]");
}
