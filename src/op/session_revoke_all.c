/* session.revoke_all: logs a user or a client out everywhere, or ends a pool's sessions. When it has answered, no
 * session of the group that existed before is alive but those in `except`; they stay readable as revoked for their
 * retention. Any loop's thread.
 */
#include "op/op_table.gen.h"
#include "op/request.h"

enum op_step session_revoke_all_begin(struct request *request) {
    const struct args_session_revoke_all *args = &request->args.session_revoke_all;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (!request_take_group(request, args->user, args->client, args->pool, &verb->end_all.group,
                            &verb->end_all.group_name))
        return STEP_ERROR;
    if (verb->end_all.group == GROUP_NONE)
        return request_refuse(
            request, ERROR_BAD_REQUEST,
            "Say whose sessions: give a user, a client or a pool. session.clear ends all of a namespace.");
    verb->kind = VERB_END_ALL;
    verb->end_all.end = END_REVOKE;
    verb->end_all.reason = args->reason;
    return request_take_ids(request, args->except, &verb->end_all.except) ? STEP_SUBMIT : STEP_ERROR;
}

void session_revoke_all_end(struct request *request, struct buf *out) {
    mp_write_uint(out, request->verb->scan_result.total);
}
