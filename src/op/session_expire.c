/* session.expire: sets or moves the absolute deadline. It is no activity: the idle deadline stays where it is.
 *
 * A deadline in the past ends the session at once. extend_ms counts from expires_at as it stands at `now_ms`; a session
 * that never expires has nothing to be moved and stays as it is. Any loop's thread. */
#include "op/draft.h"
#include "op/op_table.gen.h"

static enum outcome expire_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_expire *args = &request->args.session_expire;
    int64_t moment = 0;
    if (input->presence == PRESENCE_NONE) return OUTCOME_KEEP;
    if (input->presence != PRESENCE_ALIVE) return outcome_gone(input, error);
    if (args->given & SESSION_EXPIRE_EXTEND_MS) {
        int64_t expires_at = session_expires_at(input->old);
        if (expires_at == 0) return OUTCOME_KEEP;
        moment = expires_at + args->extend_ms;
        if (moment > MOMENT_MAX_MS) moment = MOMENT_MAX_MS;
    } else if (!(args->nil & SESSION_EXPIRE_ABSOLUTE_EXPIRES_AT)) {
        moment = moment_of(request, args->absolute_expires_at);
    }
    draft_set_absolute_expires_at(draft, input->policy, moment);
    return OUTCOME_REPLACE;
}

enum op_step session_expire_begin(struct request *request) {
    const struct args_session_expire *args = &request->args.session_expire;
    bool has_moment = args->given & SESSION_EXPIRE_ABSOLUTE_EXPIRES_AT,
         has_extend = args->given & SESSION_EXPIRE_EXTEND_MS;
    if (has_moment == has_extend)
        return request_refuse(request, ERROR_BAD_REQUEST, "Give either absolute_expires_at or extend_ms.");
    return request_update(request, args->namespace, args->id, expire_rule);
}

void session_expire_end(struct request *request, struct buf *out) {
    if (!request->verb->is_found) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 1);
    codec_write_expires_at(out, &request->verb->session);
}
