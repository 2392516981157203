/* The typed functions of statuses, clients, tokens, hashed ids and cookies against sessiond itself: that each asks for
 * what it says and reads what it is answered. The rules themselves are the scenarios' business. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "live.h"
#include "mp_text.h"

TestSuite(model, .init = live_begin, .fini = live_end);

static void set(const char *id) {
    FINE(sessiond_set(client, id, MP("\x80"), NULL, NULL));
}

Test(model, statuses_change_by_a_callers_word) {
    struct sessiond_record *record;
    FINE(sessiond_create(client, &(struct sessiond_create_options){.id = "a", .pending = SESSIOND_TRUE}, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_PENDING);
    sessiond_free(record);
    FINE(sessiond_activate(client, "a", NULL, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_ACTIVE);
    sessiond_free(record);
    FINE(sessiond_end(client, "a", &(struct sessiond_end_options){.reason = "bye"}, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_ENDED);
    cr_assert_str_eq(record->reason.text, "bye");
    cr_assert_gt(record->status_at, 0);
    sessiond_free(record);
    cr_assert_eq(sessiond_revoke(client, "a", NULL, &record), SESSIOND_ERROR_CONFLICT);
    cr_assert_eq(sessiond_client_error(client)->status, SESSIOND_STATUS_ENDED);
    FINE(sessiond_remove(client, "a", NULL, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_REMOVED);
    sessiond_free(record);
    FINE(sessiond_abandon(client, "none", NULL, &record));
    cr_assert_null(record);
    set("b");
    FINE(sessiond_replace(client, "b", &(struct sessiond_replace_options){.by = "c"}, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_REPLACED);
    cr_assert_str_eq(record->replaced_by.text, "c");
    sessiond_free(record);
    cr_assert_eq(sessiond_replace(client, "b", NULL, NULL), SESSIOND_ERROR_BAD_REQUEST, "by is required");
}

Test(model, a_client_has_sessions_a_last_one_and_a_default) {
    struct sessiond_client_sessions *device;
    FINE(sessiond_client_get(client, "phone", NULL, &device));
    cr_assert_null(device);
    FINE(sessiond_create(client, &(struct sessiond_create_options){.id = "s1", .client = "phone"}, NULL));
    FINE(sessiond_create(client, &(struct sessiond_create_options){.id = "s2", .client = "phone"}, NULL));
    struct sessiond_client_activate_options activate = {.session = "s1", .fields = SESSIOND_FIELD_ID};
    FINE(sessiond_client_activate(client, "phone", &activate, &device));
    cr_assert_str_eq(device->id.text, "phone");
    cr_assert_eq(device->count, 2);
    cr_assert_str_eq(device->sessions[0]->id.text, "s1");
    cr_assert_eq(device->sessions[0]->has, SESSIOND_FIELD_ID);
    cr_assert_str_eq(device->last_active_session.text, "s1");
    cr_assert_str_eq(device->default_session.text, "s1");
    cr_assert_gt(device->created_at, 0);
    cr_assert_geq(device->updated_at, device->created_at);
    sessiond_free(device);
    activate.session = "other";
    cr_assert_eq(sessiond_client_activate(client, "phone", &activate, &device), SESSIOND_ERROR_CONFLICT);
    FINE(sessiond_client_destroy(client, "phone", &device));
    cr_assert_eq(device->count, 0);
    cr_assert_null(device->default_session.text);
    sessiond_free(device);
    struct sessiond_record *record;
    FINE(sessiond_get(client, "s1", &(struct sessiond_get_options){.include_dead = SESSIOND_TRUE}, &record));
    cr_assert_eq(record->status, SESSIOND_STATUS_REMOVED);
    sessiond_free(record);
}

static struct sessiond_checked *validate(const char *token, const struct sessiond_validate_options *options) {
    struct sessiond_checked *checked;
    FINE(sessiond_validate(client, token, options, &checked));
    cr_assert_not_null(checked);
    return checked;
}

Test(model, a_token_validates_rotates_and_is_bound) {
    struct sessiond_record *record;
    struct sessiond_create_options create = {
        .id = "s.1", .token = SESSIOND_TRUE, .bind = {.user_agent = "browser", .address = "::1"}};
    FINE(sessiond_create(client, &create, &record));
    cr_assert(record->has & SESSIOND_FIELD_TOKEN);
    cr_assert_eq(strncmp(record->token.text, "s.1.", 4), 0, "%s", record->token.text);
    cr_assert_eq(record->token.size, 4 + 43);
    struct sessiond_validate_options bound = {.user_agent = "browser", .address = "::1", .slide = SESSIOND_TRUE};
    struct sessiond_checked *checked = validate(record->token.text, &bound);
    cr_assert(checked->is_valid, "%s", checked->error.text);
    cr_assert_str_eq(checked->session->id.text, "s.1");
    cr_assert_not(checked->session->has & SESSIOND_FIELD_TOKEN, "once, and never again");
    sessiond_free(checked);
    checked = validate(record->token.text, NULL);
    cr_assert_not(checked->is_valid);
    cr_assert_str_eq(checked->error.text, "user_agent_mismatch");
    cr_assert_null(checked->session);
    sessiond_free(checked);
    checked = validate("s.1.made_up", &bound);
    cr_assert_str_eq(checked->error.text, "invalid_token");
    sessiond_free(checked);

    struct sessiond_checked *rotated, *again;
    FINE(sessiond_rotate(client, record->token.text, NULL, &rotated));
    cr_assert(rotated->is_valid);
    cr_assert_str_eq(rotated->session->id.text, "s.1");
    cr_assert_str_neq(rotated->token.text, record->token.text);
    FINE(sessiond_rotate(client, record->token.text, NULL, &again));
    cr_assert_str_eq(again->token.text, rotated->token.text, "within the grace to the same successor");
    checked = validate(rotated->token.text, &bound);
    cr_assert(checked->is_valid);
    sessiond_free(checked);
    FINE(sessiond_end(client, "s.1", NULL, NULL));
    checked = validate(rotated->token.text, &bound);
    cr_assert_str_eq(checked->error.text, "session_revoked");
    sessiond_free(checked);
    FINE(sessiond_rotate(client, rotated->token.text, NULL, &checked));
    cr_assert_not(checked->is_valid);
    cr_assert_str_eq(checked->error.text, "session_revoked");
    cr_assert_null(checked->token.text);
    sessiond_free(checked);
    sessiond_free(rotated);
    sessiond_free(again);
    sessiond_free(record);
}

Test(model, a_hashed_id_has_a_handle_that_ends_it_and_reads_nothing) {
    struct sessiond_policy *policy;
    FINE(sessiond_client_set_namespace(client, "hashed"));
    FINE(sessiond_namespace_configure(client, &(struct sessiond_policy){.hash_ids = SESSIOND_TRUE}, &policy));
    cr_assert_eq(policy->hash_ids, SESSIOND_TRUE);
    sessiond_free(policy);
    cr_assert_eq(sessiond_namespace_configure(client, &(struct sessiond_policy){.hash_ids = SESSIOND_FALSE}, NULL),
                 SESSIOND_ERROR_CONFLICT);
    struct sessiond_record *record, *ended;
    FINE(sessiond_create(client, &(struct sessiond_create_options){.id = "secret", .user = "ann"}, &record));
    cr_assert_str_eq(record->id.text, "secret");
    cr_assert_eq(record->handle.size, 43);
    struct sessiond_page *page;
    FINE(sessiond_list(client, &(struct sessiond_list_options){.user = "ann"}, &page));
    cr_assert_eq(page->count, 1);
    cr_assert_null(page->sessions[0]->id.text);
    cr_assert_str_eq(page->sessions[0]->handle.text, record->handle.text);
    sessiond_free(page);
    FINE(sessiond_get(client, record->handle.text, NULL, &ended));
    cr_assert_null(ended, "a handle reads nothing");
    FINE(sessiond_revoke_by_handle(client, record->handle.text, NULL, &ended));
    cr_assert_eq(ended->status, SESSIOND_STATUS_REVOKED);
    cr_assert_null(ended->id.text);
    sessiond_free(ended);
    bool was_there;
    FINE(sessiond_destroy_by_handle(client, record->handle.text, &was_there));
    cr_assert_not(was_there, "it was dead already");
    sessiond_free(record);
    FINE(sessiond_create(client, &(struct sessiond_create_options){.id = "second"}, &record));
    FINE(sessiond_destroy_by_handle(client, record->handle.text, &was_there));
    cr_assert(was_there);
    sessiond_free(record);
}

Test(model, a_cookie_is_signed_verified_read_and_rendered) {
    struct sessiond_text *signed_value, *header;
    struct sessiond_cookie *cookie;
    struct sessiond_record *record;
    cr_assert_eq(sessiond_cookie_sign(client, "abc", &signed_value), SESSIOND_ERROR_FORBIDDEN, "there are no secrets");
    struct sessiond_texts secrets = {(const char *const[]){"new", "keyboard cat"}, 2};
    struct sessiond_policy policy = {.cookie_secrets = secrets,
                                     .cookie = {.name = "sid",
                                                .same_site = SESSIOND_SAME_SITE_LAX,
                                                .http_only = SESSIOND_FALSE}},
                           *now;
    FINE(sessiond_namespace_configure(client, &policy, &now));
    cr_assert_str_eq(now->cookie.name, "sid");
    cr_assert_eq(now->cookie.same_site, SESSIOND_SAME_SITE_LAX);
    cr_assert_eq(now->cookie.http_only, SESSIOND_FALSE);
    cr_assert_null(now->cookie_secrets.texts, "secrets are never answered");
    sessiond_free(now);
    const char *old = "s:abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU";
    FINE(sessiond_cookie_unsign(client, old, &cookie));
    cr_assert_str_eq(cookie->value.text, "abc");
    cr_assert_eq(cookie->key_index, 1, "the second secret signed it");
    sessiond_free(cookie);
    FINE(sessiond_cookie_unsign(client, "s:abd.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU", &cookie));
    cr_assert_null(cookie);
    FINE(sessiond_cookie_sign(client, "abc", &signed_value));
    cr_assert_eq(strncmp(signed_value->text, "s:abc.", 6), 0, "%s", signed_value->text);
    set("abc");
    FINE(sessiond_get_by_cookie(client, signed_value->text, NULL, &record));
    cr_assert_not_null(record);
    sessiond_free(record);
    struct sessiond_written *written;
    FINE(sessiond_touch_by_cookie(client, "s:abc.wrong", NULL, &written));
    cr_assert_null(written);
    sessiond_free(signed_value);
    FINE(sessiond_cookie_header(client, "a b", NULL, &header));
    cr_assert_str_eq(header->text, "sid=a%20b; Path=/; SameSite=Lax");
    sessiond_free(header);
    struct sessiond_cookie_header_options secure = {.attributes = {.secure = SESSIOND_COOKIE_SECURE_TRUE}};
    FINE(sessiond_cookie_header(client, "v", &secure, &header));
    cr_assert_null(header, "not over a connection that is not secure");
}
