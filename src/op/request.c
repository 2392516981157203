/* See request.h. */
#include "op/request.h"

#include "base/id.h"
#include "crypto/keys.h"
#include "op/binding.h"
#include "op/signature.h"
#include "op/token.h"

_Static_assert(sizeof(((struct request *)0)->token_buffer) == TOKEN_SIZE_MAX &&
                   sizeof(((struct request *)0)->bound_buffer) == BINDING_SIZE_MAX,
               "what a rule makes of a token fits into its request");
_Static_assert(sizeof(((struct request *)0)->handle_buffer) == HASH_TEXT_SIZE && ID_SIZE == HASH_TEXT_SIZE,
               "a handle looks like an id");

enum op_step request_refuse(struct request *request, enum error_code code, const char *message) {
    request->error = error_make(code, message);
    return STEP_ERROR;
}

enum op_step request_refuse_limit(struct request *request, enum error_code code, const char *message, int64_t limit) {
    request->error = error_make(code, message);
    request->error.limit = limit;
    return STEP_ERROR;
}

static __attribute__((noinline)) void recent_look_up(const struct request *request, struct bytes namespace) {
    const struct engine_vtable *vtable = request->engine->vtable;
    const struct policy *policy = vtable->policy ? vtable->policy(request->engine, namespace) : NULL;
    *request->recent = (struct recent_policy){namespace, policy ? policy : &policy_defaults};
}

const struct policy *request_policy(const struct request *request) {
    struct bytes namespace = request->verb->namespace;
    if (!bytes_equal(request->recent->namespace, namespace)) recent_look_up(request, namespace);
    return request->recent->policy;
}

static __attribute__((noinline)) bool refuse_namespace(struct request *request) {
    request_refuse(request, ERROR_BAD_REQUEST,
                   "Name a namespace as the first parameter, or set the connection's default with server.hello.");
    return false;
}

bool request_take_namespace(struct request *request, struct bytes given) {
    request->verb->namespace = bytes_is_absent(given) ? request->default_namespace : given;
    if (bytes_is_absent(request->verb->namespace)) return refuse_namespace(request);
    request->is_hashed = request_policy(request)->hash_ids;
    request->is_secret |= request->is_hashed;
    request->verb->namespace = request->recent->namespace; /* the same bytes for all: the engine compares the place */
    return true;
}

bool request_take_group(struct request *request, struct bytes user, struct bytes client, struct bytes pool,
                        enum group_kind *kind, struct bytes *name) {
    const struct bytes names[] = {[GROUP_USER] = user, [GROUP_CLIENT] = client, [GROUP_POOL] = pool};
    *kind = GROUP_NONE;
    *name = BYTES_ABSENT;
    for (enum group_kind each = GROUP_USER; each <= GROUP_POOL; each++) {
        if (bytes_is_absent(names[each])) continue;
        if (*kind != GROUP_NONE) {
            request_refuse(request, ERROR_BAD_REQUEST, "Give a user, a client or a pool, only one of them.");
            return false;
        }
        *kind = each;
        *name = names[each];
    }
    return true;
}

/* ---------------------------------------------------------------- ids */

static __attribute__((noinline)) struct bytes handle_of(const struct request *request, struct bytes id,
                                                        char buffer[43]) {
    uint8_t hash[HASH_SIZE];
    cipher_hash(request->keys->id_key, HASH_HANDLE, id, 0, hash);
    cipher_base64url(hash, buffer);
    return bytes_of(buffer, HASH_TEXT_SIZE);
}

struct bytes request_engine_id(const struct request *request, struct bytes id, char buffer[43]) {
    return request->is_hashed ? handle_of(request, id, buffer) : id;
}

void request_take_id(struct request *request, struct bytes id) {
    request->verb->id = request_engine_id(request, id, request->handle_buffer);
    if (request->is_hashed) request->shown_id = id;
}

static __attribute__((noinline)) enum op_step take_handle(struct request *request, struct bytes handle) {
    if (!request->is_hashed)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "This namespace has no hash_ids and so no handles; give the session's id.");
    request->verb->id = handle;
    return STEP_SUBMIT;
}

static __attribute__((noinline)) enum op_step take_cookie(struct request *request, struct bytes cookie) {
    struct bytes secrets = keys_cookie_secrets(request->keys, request->verb->namespace), id;
    unsigned secret_index;
    request->is_secret = true;
    if (bytes_is_absent(secrets)) return request_refuse(request, ERROR_FORBIDDEN, SIGNATURE_NO_SECRETS);
    if (!signature_verify(secrets, cookie, bytes_of(request->cookie_buffer, sizeof request->cookie_buffer), &id,
                          &secret_index) ||
        id.size == 0 || id.size > LIMIT_MAX_ID)
        return STEP_ANSWER;
    request_take_id(request, id);
    return STEP_SUBMIT;
}

enum op_step request_take_choice(struct request *request, const struct id_choice *choice) {
    if (choice->kind == ID_HANDLE) return take_handle(request, choice->text);
    if (choice->kind == ID_COOKIE) return take_cookie(request, choice->text);
    request_take_id(request, choice->text);
    return STEP_SUBMIT;
}

bool request_take_ids(struct request *request, struct bytes ids, struct bytes *out) {
    *out = ids;
    if (!request->is_hashed || bytes_is_absent(ids)) return true;
    struct mp_cursor cursor = mp_cursor_of(ids);
    char buffer[HASH_TEXT_SIZE];
    uint32_t count = mp_read_array(&cursor);
    buf_clear(request->handles);
    mp_write_array(request->handles, count);
    for (uint32_t i = 0; i < count; i++)
        mp_write_str(request->handles, request_engine_id(request, mp_read_bytes(&cursor), buffer));
    *out = buf_bytes(request->handles);
    if (!request->handles->is_failed) return true;
    request_refuse(request, ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
    return false;
}

struct bytes request_make_id(struct request *request, struct bytes user) {
    id_make(request->ids, user, request->id_buffer);
    struct bytes id = bytes_of(request->id_buffer, ID_SIZE);
    if (request->is_hashed) request->shown_id = id;
    return request_engine_id(request, id, request->other_buffer);
}

/* ---------------------------------------------------------------- updates */

static enum outcome checked_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    if (input->policy->hash_ids != request->is_hashed) {
        outcome_error(error, ERROR_BUSY, "The namespace was made anew at this moment; try again.");
        error->retry_after_ms = 1;
        return OUTCOME_ERROR;
    }
    return request->rule(input, draft, error);
}

update_rule request_checked_rule(struct request *request, update_rule rule) {
    request->rule = rule;
    return checked_rule;
}

enum op_step request_ask_update(struct request *request, update_rule rule) {
    request->verb->kind = VERB_UPDATE;
    request->verb->update.rule = request_checked_rule(request, rule);
    request->verb->update.arguments = request;
    return STEP_SUBMIT;
}

enum op_step request_update_choice(struct request *request, struct bytes given_namespace,
                                   const struct id_choice *choice, update_rule rule) {
    if (!request_take_namespace(request, given_namespace)) return STEP_ERROR;
    enum op_step step = request_take_choice(request, choice);
    return step == STEP_SUBMIT ? request_ask_update(request, rule) : step;
}

enum op_step request_update(struct request *request, struct bytes given_namespace, struct bytes id, update_rule rule) {
    struct id_choice choice = {.text = id, .kind = ID_PLAIN};
    return request_update_choice(request, given_namespace, &choice, rule);
}

/* ---------------------------------------------------------------- tokens */

void request_make_secret(struct request *request) {
    uint8_t random[HASH_SIZE];
    request->env->random(request->env->context, random, sizeof random);
    cipher_base64url(random, request->secret);
    cipher_wipe(random, sizeof random);
    request->is_secret = true;
}

struct bytes request_begin_token(struct request *request) {
    struct token token;
    token_begin(&token, request->keys, bytes_of(request->secret, sizeof request->secret));
    return bytes_of(request->token_buffer, token_encode(&token, request->token_buffer));
}

/* ---------------------------------------------------------------- answers */

void request_write_record(const struct request *request, struct buf *out, const struct session *session) {
    if (!request->is_hashed) {
        codec_write_record(out, session, request->fields, request->now_ms);
        return;
    }
    struct record_extra extra = {.is_hashed = true, .id = request->shown_id};
    codec_write_record_with(out, session, &extra, request->fields, request->now_ms);
}

bool request_stream_record(void *context, const struct session *session) {
    struct request *request = context;
    /* The first one is always taken, so that every page gets on. */
    if (request->streamed_count > 0 && request->out->size >= request->output_mark) return false;
    request_write_record(request, request->out, session);
    request->streamed_count++;
    return true;
}

enum op_step request_check_page(struct request *request, uint64_t limit, struct bytes cursor) {
    if (limit > (uint64_t)LIMIT_MAX_LIST)
        return request_refuse_limit(request, ERROR_TOO_BIG,
                                    "limit is over the largest page; ask for less and follow the cursor.",
                                    LIMIT_MAX_LIST);
    if (cursor.size > SCAN_CURSOR_MAX)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "This is no cursor of this operation; pass the one of the last page unchanged.");
    return STEP_SUBMIT;
}

void request_end_page(const struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    mp_end_array(out, request->stream_begin, (uint32_t)request->streamed_count);
    mp_write_str(out, BYTES_LITERAL("cursor"));
    if (verb->scan_result.cursor_size)
        mp_write_str(out, bytes_of(verb->scan_result.cursor, verb->scan_result.cursor_size));
    else
        mp_write_nil(out);
}

enum { TOKEN_TEXT_MAX = LIMIT_MAX_ID + 1 + HASH_TEXT_SIZE };

static struct bytes token_text(const struct request *request, struct bytes id, uint8_t text[TOKEN_TEXT_MAX]) {
    memcpy(text, id.data, id.size);
    text[id.size] = '.';
    memcpy(text + id.size + 1, request->secret, sizeof request->secret);
    return bytes_of(text, id.size + 1 + sizeof request->secret);
}

void request_write_record_with_token(const struct request *request, struct buf *out, const struct session *session) {
    uint8_t text[TOKEN_TEXT_MAX];
    struct record_extra extra = {.is_hashed = request->is_hashed, .id = request->shown_id};
    extra.token = token_text(request, request->is_hashed ? request->shown_id : session->id, text);
    /* Whatever was chosen of the record: nobody can ask for the token again. */
    codec_write_record_with(out, session, &extra, request->fields | FIELD_BIT(FIELD_TOKEN), request->now_ms);
    cipher_wipe(text, sizeof text);
}

void request_write_token(const struct request *request, struct buf *out, struct bytes id) {
    uint8_t text[TOKEN_TEXT_MAX];
    mp_write_str(out, token_text(request, id, text));
    cipher_wipe(text, sizeof text);
}

int64_t moment_of(const struct request *request, int64_t given) {
    int64_t moment = given + request->clock_offset_ms;
    if (moment <= 0) return 1;
    return moment > MOMENT_MAX_MS ? MOMENT_MAX_MS : moment;
}

enum outcome outcome_error(struct error *error, enum error_code code, const char *message) {
    *error = error_make(code, message);
    return OUTCOME_ERROR;
}

enum outcome outcome_gone(const struct update_input *input, struct error *error) {
    if (input->presence == PRESENCE_TOMBSTONE)
        return outcome_error(error, ERROR_GONE,
                             "The session was destroyed and its id takes no writes now; make a new session.");
    *error =
        error_make(ERROR_GONE, "The session is no longer alive and a write cannot bring it back; make a new session.");
    error->status = session_status(input->old, input->now_ms);
    error->version = input->old->version;
    return OUTCOME_ERROR;
}
