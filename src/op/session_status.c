/* session.activate, end, remove, revoke, abandon and replace: the six ways in which a caller changes a status.
 *
 * One rule and a table. Which status may follow which is in status_can_become; deadlines count before the caller: what
 * has expired is not ended any more. The same call twice is answered like the first. What is missing or destroyed is
 * nil. No change of status is an activity. Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/request.h"

#include <stddef.h>

/* Where an operation's arguments stand; 0: it has none of that name. */
struct transition {
    enum status to;
    uint16_t fields, reason, by;
    uint64_t fields_bit;
};

#define ARGUMENT(op, name) (uint16_t) offsetof(struct args_session_##op, name)
#define TRANSITION(status, op, bit)                                                                                    \
    .to = (status), .fields = ARGUMENT(op, fields), .reason = ARGUMENT(op, reason), .fields_bit = (bit)

static const struct transition transitions[OP_COUNT] = {
    [OP_SESSION_ACTIVATE] = {.to = STATUS_ACTIVE,
                             .fields = ARGUMENT(activate, fields),
                             .fields_bit = SESSION_ACTIVATE_FIELDS},
    [OP_SESSION_END] = {TRANSITION(STATUS_ENDED, end, SESSION_END_FIELDS)},
    [OP_SESSION_REMOVE] = {TRANSITION(STATUS_REMOVED, remove, SESSION_REMOVE_FIELDS)},
    [OP_SESSION_REVOKE] = {TRANSITION(STATUS_REVOKED, revoke, SESSION_REVOKE_FIELDS)},
    [OP_SESSION_ABANDON] = {TRANSITION(STATUS_ABANDONED, abandon, SESSION_ABANDON_FIELDS)},
    [OP_SESSION_REPLACE] = {TRANSITION(STATUS_REPLACED, replace, SESSION_REPLACE_FIELDS), .by = ARGUMENT(replace, by)},
};

/* All six begin with the namespace and the id. */
#define ARGUMENTS_OF(request) ((request)->args.session_activate)
#define SAME_PLACE(op)                                                                                                 \
    _Static_assert(offsetof(struct args_session_##op, namespace) ==                                                    \
                           offsetof(struct args_session_activate, namespace) &&                                        \
                       offsetof(struct args_session_##op, id) == offsetof(struct args_session_activate, id),           \
                   "the arguments of the six begin alike")
SAME_PLACE(end);
SAME_PLACE(remove);
SAME_PLACE(revoke);
SAME_PLACE(abandon);
SAME_PLACE(replace);

static struct bytes argument_bytes(const struct request *request, uint16_t offset) {
    struct bytes bytes = BYTES_ABSENT;
    if (offset) memcpy(&bytes, (const char *)&request->args + offset, sizeof(bytes));
    return bytes;
}

/* The sentence names the status too: many programs show nothing else of an error. */
#define REFUSAL(word) "The session is " word " and cannot become what you ask; read it with include_dead."
static const char *const refusals[STATUS_END] = {
    [STATUS_ACTIVE] = REFUSAL("active"),     [STATUS_PENDING] = REFUSAL("pending"),
    [STATUS_ENDED] = REFUSAL("ended"),       [STATUS_REMOVED] = REFUSAL("removed"),
    [STATUS_REVOKED] = REFUSAL("revoked"),   [STATUS_ABANDONED] = REFUSAL("abandoned"),
    [STATUS_REPLACED] = REFUSAL("replaced"), [STATUS_EXPIRED] = REFUSAL("expired"),
};

static enum outcome refuse_transition(const struct update_input *input, const char *message, struct error *error) {
    *error = error_make(ERROR_CONFLICT, message);
    error->status = session_status(input->old, input->now_ms);
    error->version = input->old->version;
    return OUTCOME_ERROR;
}

static enum outcome status_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct transition *transition = &transitions[request->op];
    struct bytes by = argument_bytes(request, transition->by);
    if (!bytes_is_absent(by)) by = request_engine_id(request, by, ((struct request *)request)->other_buffer);
    if (input->presence != PRESENCE_ALIVE && input->presence != PRESENCE_DEAD) return OUTCOME_KEEP;
    enum status from = session_status(input->old, input->now_ms);
    if (from == transition->to) {
        if (!transition->by || bytes_equal(input->old->replaced_by, by)) return OUTCOME_KEEP;
        return refuse_transition(input, "Another session has taken its place already; leave it as it is.", error);
    }
    if (!status_can_become(from, transition->to)) return refuse_transition(input, refusals[from], error);
    draft->status = transition->to;
    draft->status_at = status_is_living(transition->to) ? 0 : input->now_ms;
    draft->reason = argument_bytes(request, transition->reason);
    draft->replaced_by = by;
    return OUTCOME_REPLACE;
}

static enum op_step status_begin(struct request *request) {
    const struct transition *transition = &transitions[request->op];
    const char *arguments = (const char *)&request->args;
    if (transition->by && bytes_is_absent(argument_bytes(request, transition->by)))
        return request_refuse(request, ERROR_BAD_REQUEST, "Say in `by` which session takes its place.");
    request->fields = FIELDS_ALL;
    if (request->args.any.given & transition->fields_bit)
        memcpy(&request->fields, arguments + transition->fields, sizeof(request->fields));
    return request_update_choice(request, ARGUMENTS_OF(request).namespace, &ARGUMENTS_OF(request).id, status_rule);
}

static void status_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb->is_found)
        request_write_record(request, out, &verb->session);
    else
        mp_write_nil(out);
}

#define OPERATION(name)                                                                                                \
    enum op_step session_##name##_begin(struct request *request) {                                                     \
        return status_begin(request);                                                                                  \
    }                                                                                                                  \
    void session_##name##_end(struct request *request, struct buf *out) {                                              \
        status_end(request, out);                                                                                      \
    }
OPERATION(activate)
OPERATION(end)
OPERATION(remove)
OPERATION(revoke)
OPERATION(abandon)
OPERATION(replace)
