/* See request.h. */
#include "op/request.h"

enum op_step request_refuse(struct request *request, enum error_code code, const char *message) {
    request->error = error_make(code, message);
    return STEP_ERROR;
}

enum op_step request_refuse_limit(struct request *request, enum error_code code, const char *message, int64_t limit) {
    request->error = error_make(code, message);
    request->error.limit = limit;
    return STEP_ERROR;
}

bool request_take_namespace(struct request *request, struct bytes given) {
    request->verb->namespace = bytes_is_absent(given) ? request->default_namespace : given;
    if (!bytes_is_absent(request->verb->namespace)) return true;
    request_refuse(request, ERROR_BAD_REQUEST,
                   "Name a namespace as the first parameter, or set the connection's default with server.hello.");
    return false;
}

const struct policy *request_policy(const struct request *request) {
    const struct engine_vtable *vtable = request->engine->vtable;
    const struct policy *policy = vtable->policy ? vtable->policy(request->engine, request->verb->namespace) : NULL;
    return policy ? policy : &policy_defaults;
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

enum op_step request_update(struct request *request, struct bytes given_namespace, struct bytes id, update_rule rule) {
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, given_namespace)) return STEP_ERROR;
    verb->kind = VERB_UPDATE;
    verb->id = id;
    verb->update.rule = rule;
    verb->update.arguments = request;
    return STEP_SUBMIT;
}

int64_t moment_of(const struct request *request, int64_t given) {
    int64_t moment = given + request->clock_offset_ms;
    if (moment <= 0) return 1;
    return moment > MOMENT_MAX_MS ? MOMENT_MAX_MS : moment;
}

void write_version(struct buf *out, const struct session *session) {
    mp_write_str(out, BYTES_LITERAL("version"));
    mp_write_uint(out, session->version);
}

void write_expires_at(struct buf *out, const struct session *session) {
    mp_write_str(out, BYTES_LITERAL("expires_at"));
    mp_write_int(out, session_expires_at(session));
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
