/* session.rotate: a new secret for a session's token, and the idle deadline again.
 *
 * The new secret is derived from the old one, so that whoever repeats the call within the old one's grace (an answer
 * was lost, two tabs were faster than each other) is given the same. What is bound is not asked for: a validate does
 * that. The timeouts stay what they were, however often it is called: with extend the absolute one counts from now.
 * Any loop's thread. */
#include "op/draft.h"
#include "op/op_table.gen.h"
#include "op/verdict.h"

#define GRACE_DEFAULT_MS INT64_C(10000)

static int64_t grace_of(const struct args_session_rotate *args) {
    bool is_given = args->given & ~args->nil & SESSION_ROTATE_GRACE_MS;
    return is_given ? args->grace_ms : GRACE_DEFAULT_MS;
}

/* Without a grace the old secret is good at no moment: another loop's batch may be of a millisecond before this one. */
static int64_t grace_end(const struct args_session_rotate *args, int64_t now_ms) {
    return grace_of(args) ? now_ms + grace_of(args) : 0;
}

static enum outcome rotate_rule(const struct update_input *input, struct session *draft, struct error *error) {
    struct request *request = (struct request *)input->arguments;
    const struct args_session_rotate *args = &request->args.session_rotate;
    struct presented presented = verdict_look(request, args->token, input);
    (void)error;
    request->verdict = verdict_of(&presented, input, false, 0, false);
    if (presented.match == TOKEN_REUSED) return verdict_reuse(input, draft);
    if (!verdict_is_valid(request->verdict)) return OUTCOME_KEEP;
    token_successor(&presented.token, presented.index, request->keys, presented.secret, request->secret);
    if (presented.match == TOKEN_GRACE) return OUTCOME_TOUCH;
    token_rotate(&presented.token, request->keys, bytes_of(request->secret, sizeof request->secret),
                 grace_end(args, input->now_ms));
    draft->token = bytes_of(request->token_buffer, token_encode(&presented.token, request->token_buffer));
    draft_touch(draft, input->now_ms);
    if (args->extend) draft_extend(draft, input->policy, input->now_ms);
    draft->is_touch = true;
    return OUTCOME_REPLACE;
}

enum op_step session_rotate_begin(struct request *request) {
    const struct args_session_rotate *args = &request->args.session_rotate;
    if (grace_of(args) > LIMIT_MAX_ROTATE_GRACE_MS)
        return request_refuse_limit(request, ERROR_BAD_REQUEST, "grace_ms is at most a minute; give less.",
                                    LIMIT_MAX_ROTATE_GRACE_MS);
    if (!verdict_take_token(request, args->namespace, args->token)) return STEP_ERROR;
    request->fields = args->given & SESSION_ROTATE_FIELDS ? args->fields : FIELDS_ALL;
    return request_ask_update(request, rotate_rule);
}

void session_rotate_end(struct request *request, struct buf *out) {
    if (!verdict_is_valid(request->verdict)) {
        mp_write_map(out, 1);
        mp_write_str(out, BYTES_LITERAL("error"));
        verdict_write_error(out, request->verdict);
        return;
    }
    struct bytes id = request->is_hashed ? request->shown_id : request->verb->session.id;
    mp_write_map(out, 2);
    mp_write_str(out, BYTES_LITERAL("token"));
    request_write_token(request, out, id);
    mp_write_str(out, BYTES_LITERAL("session"));
    request_write_record(request, out, &request->verb->session);
}
