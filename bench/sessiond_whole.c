/* sessiond's operations on tokens and pools: each is one request here, and a script for Redis. See sessiond_whole.h.
 */
#include "sessiond_whole.h"

#include "sessiond_values.h"

static void write_place(struct template *template, const char *prefix, enum place_source source, uint8_t from,
                        uint8_t size) {
    buf_append(&template->text, (uint8_t[]){0xd9, (uint8_t)(strlen(prefix) + size)}, 2);
    template_text(template, prefix);
    template_place(template, source, from, size);
}

static void write_fields(struct buf *out, const char *const *names, uint32_t count) {
    mp_write_string(out, "fields");
    mp_write_array(out, count);
    for (uint32_t i = 0; i < count; i++) mp_write_string(out, names[i]);
}

/* The server makes the id; who logs in knows the rest. */
static void write_login(const struct driver_setup *setup, struct template *template) {
    static const char *const fields[] = {"id", "expires_at", "token"};
    struct buf *out = &template->text;
    mp_write_array(out, 2);
    mp_write_string(out, setup->namespace_name);
    mp_write_map(out, 5);
    mp_write_string(out, "token");
    mp_write_bool(out, true);
    mp_write_string(out, "user");
    write_place(template, "user-", PLACE_USER, 0, OWNER_BYTES);
    mp_write_string(out, "client");
    write_place(template, "client-", PLACE_CLIENT, 0, OWNER_BYTES);
    mp_write_string(out, "data");
    sessiond_write_data(template, setup->value_bytes);
    write_fields(out, fields, 3);
}

static void write_token(const struct driver_setup *setup, struct template *template) {
    mp_write_array(&template->text, 3);
    mp_write_string(&template->text, setup->namespace_name);
    write_place(template, "", PLACE_SUBJECT, 0, TOKEN_BYTES);
}

static void write_rotate(const struct driver_setup *setup, struct template *template) {
    static const char *const fields[] = {"id", "expires_at"};
    write_token(setup, template);
    mp_write_map(&template->text, 1);
    write_fields(&template->text, fields, 2);
}

static void write_acquire(const struct driver_setup *setup, struct buf *out) {
    bool has_lease = setup->pool.lease_ms > 0;
    mp_write_array(out, has_lease ? 3 : 2);
    mp_write_string(out, setup->namespace_name);
    mp_write_string(out, setup->pool.name);
    if (!has_lease) return;
    mp_write_map(out, 1);
    mp_write_string(out, "lease_ms");
    mp_write_int(out, setup->pool.lease_ms);
}

/* A mark or a release: the session, then what is said of it, then which hand-out it was. */
static void write_return(const struct driver_setup *setup, const char *outcome, bool has_use,
                         struct template *template) {
    struct buf *out = &template->text;
    mp_write_array(out, 2 + (outcome != NULL) + has_use);
    mp_write_string(out, setup->namespace_name);
    write_place(template, "", PLACE_SUBJECT, 0, POOL_ID_BYTES);
    if (outcome) mp_write_string(out, outcome);
    if (!has_use) return;
    mp_write_map(out, 1);
    mp_write_string(out, "use");
    buf_append(out, (uint8_t[]){0xcf}, 1);
    template_place(template, PLACE_USE, 0, USE_BYTES);
}

bool sessiond_make_whole(const struct driver_setup *setup, enum request request, struct template *template) {
    struct buf *out = &template->text;
    switch (request) {
    case REQUEST_LOGIN: write_login(setup, template); break;
    case REQUEST_VALIDATE:
        write_token(setup, template);
        mp_write_map(out, 1), mp_write_string(out, "slide"), mp_write_bool(out, true);
        break;
    case REQUEST_ROTATE: write_rotate(setup, template); break;
    case REQUEST_LOGOUT:
        mp_write_array(out, 2);
        mp_write_string(out, setup->namespace_name);
        write_place(template, "", PLACE_SUBJECT, 0, KEY_ID_BYTES);
        break;
    case REQUEST_POOL_ADD:
        mp_write_array(out, 2);
        mp_write_string(out, setup->namespace_name);
        mp_write_string(out, setup->pool.name);
        break;
    case REQUEST_ACQUIRE: write_acquire(setup, out); break;
    case REQUEST_MARK: write_return(setup, "good", false, template); break;
    case REQUEST_MARK_GOOD: write_return(setup, "good", true, template); break;
    case REQUEST_MARK_BAD: write_return(setup, "bad", true, template); break;
    case REQUEST_MARK_RETIRE: write_return(setup, "retire", true, template); break;
    case REQUEST_RELEASE: write_return(setup, NULL, true, template); break;
    default: return false;
    }
    return true;
}

/* ---- replies */

/* -1 where it is no whole number. */
static int64_t number_of(struct bytes value) {
    if (bytes_is_absent(value)) return -1;
    struct mp_cursor cursor = mp_cursor_of(value);
    int64_t number = mp_read_int(&cursor, 0, INT64_MAX);
    return cursor.error == MP_OK ? number : -1;
}

static bool is_true(struct bytes value) {
    return value.size == 1 && value.data[0] == 0xc3;
}

static const char *judge_token(const struct reply *reply, struct found *found) {
    found->subject = sessiond_text(sessiond_find(reply->value, "token"));
    if (found->subject.size == TOKEN_BYTES && found->subject.data[SECRET_AT - 1] == '.') return NULL;
    found->subject = BYTES_ABSENT;
    return "no token is answered: ";
}

static const char *judge_validate(const struct driver_setup *setup, const struct reply *reply, const uint8_t *id) {
    if (!is_true(sessiond_find(reply->value, "valid"))) return "a token that must be valid is not: ";
    if (id && !sessiond_data_is(setup, sessiond_find(reply->value, "session"), id))
        return "a validate does not answer the session's data: ";
    return NULL;
}

static const char *judge_handed_out(const struct driver_setup *setup, enum request request, const struct reply *reply,
                                    struct found *found) {
    struct bytes id = sessiond_text(sessiond_find(reply->value, "id"));
    if (id.size != POOL_ID_BYTES) return "no pool's session is answered: ";
    found->subject = id;
    if (request == REQUEST_POOL_ADD) return NULL;
    int64_t usage = number_of(sessiond_find(reply->value, "usage_count"));
    int64_t use = number_of(sessiond_find(reply->value, "use"));
    if (usage < 1 || use < 1) return "a hand-out is not counted: ";
    if ((uint64_t)usage > setup->pool.max_usage_count) return "a session was handed out more often than it may be: ";
    if (setup->pool.lease_ms && number_of(sessiond_find(reply->value, "fence")) < 1) return "a lease has no fence: ";
    found->use = (uint64_t)use;
    return NULL;
}

const char *sessiond_judge(const struct driver_setup *setup, enum request request, const struct reply *reply,
                           const uint8_t *id, struct found *found) {
    switch (request) {
    case REQUEST_LOGIN:
    case REQUEST_ROTATE: return judge_token(reply, found);
    case REQUEST_VALIDATE: return judge_validate(setup, reply, id);
    case REQUEST_POOL_ADD:
    case REQUEST_ACQUIRE: return judge_handed_out(setup, request, reply, found);
    case REQUEST_MARK:
    case REQUEST_MARK_GOOD:
    case REQUEST_MARK_BAD:
        return number_of(sessiond_find(reply->value, "usage_count")) < 1 ? "a mark counts nothing: " : NULL;
    case REQUEST_MARK_RETIRE:
        return is_true(sessiond_find(reply->value, "retired")) ? NULL : "a mark does not retire: ";
    default: return reply->kind == REPLY_DONE ? NULL : "the answer is not true: ";
    }
}
