/* session.validate: a bearer token, and what its session is bound to, checked in one step.
 *
 * Without slide it changes nothing, but that a stolen secret ends its session. With slide (of the call or the policy)
 * it touches; and where a key was rotated since, it then stores the hashes anew under the current one, so that whoever
 * comes by while a key is still live never notices. Any loop's thread. */
#include "op/binding.h"
#include "op/draft.h"
#include "op/op_table.gen.h"
#include "op/verdict.h"

static struct binding binding_of(const struct args_session_validate *args) {
    return (struct binding){.user_agent = args->user_agent, .address = args->address, .device_key = args->device_key};
}

/* What is bound, hashed under the current key: only where all of it was presented, and fits. */
static void draft_rehash_binding(struct request *request, struct session *draft) {
    struct binding binding = binding_of(&request->args.session_validate);
    uint64_t members = binding_bound(draft->bound);
    if (!binding_is_outdated(draft->bound, request->keys)) return;
    if (!(members & BINDING_USER_AGENT)) binding.user_agent = BYTES_ABSENT;
    if (!(members & BINDING_ADDRESS)) binding.address = BYTES_ABSENT;
    if (!(members & BINDING_DEVICE_KEY)) binding.device_key = BYTES_ABSENT;
    draft->bound = bytes_of(request->bound_buffer, binding_encode(&binding, request->keys, request->bound_buffer));
}

/* A touch; or a write where hashes are to be renewed. */
static enum outcome slide(struct request *request, struct presented *presented, const struct update_input *input,
                          struct session *draft) {
    bool is_outdated = binding_is_outdated(draft->bound, request->keys);
    if (request->verdict != VERDICT_VALID || presented->match != TOKEN_CURRENT) return OUTCOME_TOUCH;
    is_outdated |= token_rehash(&presented->token, request->keys, presented->secret);
    if (!is_outdated) return OUTCOME_TOUCH;
    draft->token = bytes_of(request->token_buffer, token_encode(&presented->token, request->token_buffer));
    draft_rehash_binding(request, draft);
    draft_touch(draft, input->now_ms);
    return OUTCOME_REPLACE;
}

static enum outcome validate_rule(const struct update_input *input, struct session *draft, struct error *error) {
    struct request *request = (struct request *)input->arguments;
    const struct args_session_validate *args = &request->args.session_validate;
    struct presented presented = verdict_look(request, args->token, input);
    struct binding binding = binding_of(args);
    uint64_t mismatches = 0;
    (void)error;
    /* Not for a wrong secret: the hashes would tell by their time that there is a session, and what it is bound to. */
    if (verdict_has_secret(&presented)) mismatches = binding_mismatches(input->old->bound, &binding, request->keys);
    request->verdict = verdict_of(&presented, input, args->allow_pending, mismatches,
                                  input->policy->binding_policy == BINDING_POLICY_REPORT);
    if (presented.match == TOKEN_REUSED) return verdict_reuse(input, draft);
    bool is_sliding = args->slide || input->policy->slide;
    if (!verdict_is_valid(request->verdict) || !is_sliding) return OUTCOME_KEEP;
    return slide(request, &presented, input, draft);
}

enum op_step session_validate_begin(struct request *request) {
    const struct args_session_validate *args = &request->args.session_validate;
    if (!verdict_take_token(request, args->namespace, args->token)) return STEP_ERROR;
    request->fields = args->given & SESSION_VALIDATE_FIELDS ? args->fields : FIELDS_ALL;
    return request_ask_update(request, validate_rule);
}

void session_validate_end(struct request *request, struct buf *out) {
    bool is_valid = verdict_is_valid(request->verdict);
    mp_write_map(out, 3);
    mp_write_str(out, BYTES_LITERAL("valid"));
    mp_write_bool(out, is_valid);
    mp_write_str(out, BYTES_LITERAL("error"));
    verdict_write_error(out, request->verdict);
    mp_write_str(out, BYTES_LITERAL("session"));
    if (is_valid)
        request_write_record(request, out, &request->verb->session);
    else
        mp_write_nil(out);
}
