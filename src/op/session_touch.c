/* session.touch: starts the idle deadline again. Never creates and never alters data.
 *
 * Plain, it is the engine's own verb, which copies nothing; with timeouts, a deadline or meta it is an update like any
 * other and takes a new version. Any loop's thread. */
#include "op/draft.h"
#include "op/op_table.gen.h"

static enum outcome touch_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_touch *args = &request->args.session_touch;
    if (input->presence == PRESENCE_NONE) return OUTCOME_KEEP;
    if (input->presence != PRESENCE_ALIVE) return outcome_gone(input, error);
    draft_set_bytes(&draft->meta, args->given, SESSION_TOUCH_META, args->meta);
    draft_set_timeouts(draft, input->policy, &args->timeouts);
    if (args->given & SESSION_TOUCH_ABSOLUTE_EXPIRES_AT) {
        bool is_nil = args->nil & SESSION_TOUCH_ABSOLUTE_EXPIRES_AT;
        draft_set_absolute_expires_at(draft, input->policy, is_nil ? 0 : moment_of(request, args->absolute_expires_at));
    }
    draft_touch(draft, input->now_ms);
    if (args->extend) draft_extend(draft, input->policy, input->now_ms);
    draft->is_touch = true;
    return OUTCOME_REPLACE;
}

enum op_step session_touch_begin(struct request *request) {
    const struct args_session_touch *args = &request->args.session_touch;
    struct verb *verb = request->verb;
    if (args->extend && (args->given & ~args->nil & SESSION_TOUCH_ABSOLUTE_EXPIRES_AT))
        return request_refuse(request, ERROR_BAD_REQUEST, "Give either absolute_expires_at or extend.");
    if ((args->given & (SESSION_TOUCH_ABSOLUTE_EXPIRES_AT | SESSION_TOUCH_META)) || args->timeouts.given ||
        args->extend)
        return request_update_choice(request, args->namespace, &args->id, touch_rule);
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    verb->kind = VERB_TOUCH;
    return request_take_choice(request, &args->id);
}

void session_touch_end(struct request *request, struct buf *out) {
    if (!request->verb || !request->verb->is_found) { /* no verb: a cookie whose signature is wrong */
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 1);
    codec_write_expires_at(out, &request->verb->session);
}
