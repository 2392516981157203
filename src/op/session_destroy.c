/* session.destroy and session.take: the end of a session for good. Both leave a tombstone, so that no write that is
 * still under way brings the session back: logging out wins every race.
 *
 * destroy removes what is dead but kept as well (its data goes now, its id is closed from now on), and answers true
 * only for what was alive. take is a read that removes: what is dead is nil and stays as it is. Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/request.h"

static enum outcome destroy_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    return input->presence == PRESENCE_ALIVE || input->presence == PRESENCE_DEAD ? OUTCOME_REMOVE : OUTCOME_KEEP;
}

static enum outcome take_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    return input->presence == PRESENCE_ALIVE ? OUTCOME_REMOVE : OUTCOME_KEEP;
}

enum op_step session_destroy_begin(struct request *request) {
    const struct args_session_destroy *args = &request->args.session_destroy;
    return request_update_choice(request, args->namespace, &args->id, destroy_rule);
}

void session_destroy_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    mp_write_bool(out, verb->outcome == OUTCOME_REMOVE && session_is_alive(&verb->session, request->now_ms));
}

enum op_step session_take_begin(struct request *request) {
    const struct args_session_take *args = &request->args.session_take;
    request->fields = args->given & SESSION_TAKE_FIELDS ? args->fields : FIELDS_ALL;
    return request_update(request, args->namespace, args->id, take_rule);
}

void session_take_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb->outcome == OUTCOME_REMOVE)
        request_write_record(request, out, &verb->session);
    else
        mp_write_nil(out);
}
