/* session.regenerate: moves a session to a new id in one step, so that an id that an attacker planted or saw before the
 * login is worth nothing after it.
 *
 * The rule writes the record as it is to stand under the new id; the engine publishes it there and leaves a tombstone,
 * or with grace_ms an alias, under the old. created_at, the deadlines and the last activity stay: a new id is no
 * activity. It fails where the session is gone, the new id is taken (the engine's EXISTS) or may not be chosen. Any
 * loop's thread. */
#include "base/id.h"
#include "op/draft.h"
#include "op/op_table.gen.h"

static const uint8_t empty_map[] = {0x80};

/* The whole lifetime again, of the same length: an absolute deadline that a caller gave moves by as much as created_at,
 * because dropping it could make a bounded session endless. */
static void lifetime_restart(struct session *draft, const struct policy *policy, int64_t now_ms) {
    int64_t given_lifetime_ms = draft->absolute_expires_at - draft->created_at;
    bool has_given = draft->absolute_expires_at != 0;
    draft->created_at = now_ms;
    draft_touch(draft, now_ms);
    if (!has_given) return;
    int64_t moment = now_ms + given_lifetime_ms;
    draft_set_absolute_expires_at(draft, policy, moment > MOMENT_MAX_MS ? MOMENT_MAX_MS : moment);
}

/* The id as the caller is to know it. One of ours gets the bucket of the user that the session has now: it was made
 * before the user was known. The request's chance stays, so that a rule that runs again makes the same of the same. */
static struct bytes new_id(struct request *request, struct bytes user) {
    const struct args_session_regenerate *args = &request->args.session_regenerate;
    if (!bytes_is_absent(args->new_id)) return args->new_id;
    if (!bytes_is_absent(user)) id_set_user(request->ids, user, request->id_buffer);
    return bytes_of(request->id_buffer, ID_SIZE);
}

/* A token of the old id is worth nothing under the new one, so the session gets another. */
static void draft_take_new_id(struct session *draft, struct request *request) {
    draft->id = request_engine_id(request, new_id(request, draft->user), request->other_buffer);
    if (!bytes_is_absent(draft->token)) draft->token = request_begin_token(request);
}

static enum outcome regenerate_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_regenerate *args = &request->args.session_regenerate;
    if (input->policy->strict_ids && (args->given & SESSION_REGENERATE_NEW_ID))
        return outcome_error(error, ERROR_FORBIDDEN, "This namespace makes its ids itself; leave new_id out.");
    if (input->presence == PRESENCE_NONE) return OUTCOME_KEEP;
    if (input->presence != PRESENCE_ALIVE) return outcome_gone(input, error);
    if ((args->given & SESSION_REGENERATE_KEEP_DATA) && !args->keep_data) {
        draft->data = bytes_of(empty_map, sizeof(empty_map));
        draft->meta = BYTES_ABSENT;
    }
    draft_set_bytes(&draft->user, args->given, SESSION_REGENERATE_USER, args->user);
    if (args->restart_lifetime) lifetime_restart(draft, input->policy, input->now_ms);
    draft_take_new_id(draft, (struct request *)request);
    return OUTCOME_REPLACE;
}

enum op_step session_regenerate_begin(struct request *request) {
    const struct args_session_regenerate *args = &request->args.session_regenerate;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (bytes_is_absent(args->new_id))
        id_make(request->ids, BYTES_ABSENT, request->id_buffer);
    else if (bytes_equal(args->new_id, args->id))
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "new_id is the id that the session has; choose another or leave it out.");
    request->fields = args->given & SESSION_REGENERATE_FIELDS ? args->fields : FIELDS_ALL;
    request_take_id(request, args->id);
    request_make_secret(request);
    verb->kind = VERB_MOVE;
    verb->move.rule = request_checked_rule(request, regenerate_rule);
    verb->move.arguments = request;
    verb->move.grace_ms = args->grace_ms;
    return STEP_SUBMIT;
}

void session_regenerate_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb->outcome != OUTCOME_REPLACE) {
        mp_write_nil(out);
        return;
    }
    if (request->is_hashed) request->shown_id = new_id(request, verb->session.user);
    if (bytes_is_absent(verb->session.token))
        request_write_record(request, out, &verb->session);
    else
        request_write_record_with_token(request, out, &verb->session);
}
