/* session.set: replaces the data whole and touches the session. What is not given is kept, nil clears.
 *
 * The modes differ only in what they make of a missing session or one that is there; a dead or destroyed one is GONE in
 * all of them. Any loop's thread. */
#include "op/draft.h"
#include "op/op_table.gen.h"

static enum outcome refuse_existing(const struct update_input *input, struct error *error) {
    outcome_error(error, ERROR_EXISTS,
                  "A session with this id is alive; use mode upsert or update to replace its data.");
    error->version = input->old->version;
    return OUTCOME_ERROR;
}

static enum outcome refuse_version(const struct update_input *input, struct error *error) {
    outcome_error(error, ERROR_CONFLICT, "The session has another version; get it again and decide anew.");
    error->version = input->old->version;
    return OUTCOME_ERROR;
}

static void draft_fill(struct session *draft, const struct request *request, const struct update_input *input) {
    const struct args_session_set *args = &request->args.session_set;
    draft->data = args->data;
    draft_set_bytes(&draft->meta, args->given, SESSION_SET_META, args->meta);
    draft_set_bytes(&draft->user, args->given, SESSION_SET_USER, args->user);
    draft_set_bytes(&draft->client, args->given, SESSION_SET_CLIENT, args->client);
    draft_set_timeouts(draft, input->policy, &args->timeouts);
    if (args->given & SESSION_SET_ABSOLUTE_EXPIRES_AT) {
        bool is_nil = args->nil & SESSION_SET_ABSOLUTE_EXPIRES_AT;
        draft_set_absolute_expires_at(draft, input->policy, is_nil ? 0 : moment_of(request, args->absolute_expires_at));
    }
    draft_touch(draft, input->now_ms);
}

static enum outcome set_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_set *args = &request->args.session_set;
    if (input->presence == PRESENCE_DEAD || input->presence == PRESENCE_TOMBSTONE) return outcome_gone(input, error);
    if (input->presence == PRESENCE_NONE) {
        if (args->mode == SET_MODE_UPDATE || args->mode == SET_MODE_IF_VERSION) return OUTCOME_KEEP;
        if (input->policy->strict_ids)
            return outcome_error(error, ERROR_FORBIDDEN,
                                 "This namespace makes its ids itself; use session.create without an id.");
        draft_begin(draft, input, request->verb->id);
    } else {
        if (args->mode == SET_MODE_CREATE) return refuse_existing(input, error);
        if (args->mode == SET_MODE_IF_VERSION && args->version != input->old->version)
            return refuse_version(input, error);
    }
    draft_fill(draft, request, input);
    return OUTCOME_REPLACE;
}

enum op_step session_set_begin(struct request *request) {
    const struct args_session_set *args = &request->args.session_set;
    bool has_version = args->given & SESSION_SET_VERSION;
    if (has_version != (args->mode == SET_MODE_IF_VERSION))
        return request_refuse(request, ERROR_BAD_REQUEST,
                              has_version ? "version goes with mode if_version; give that mode or leave version out."
                                          : "Mode if_version needs the version that is expected; give it as version.");
    return request_update(request, args->namespace, args->id, set_rule);
}

void session_set_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb->outcome != OUTCOME_REPLACE) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 2);
    codec_write_version(out, &verb->session);
    codec_write_expires_at(out, &verb->session);
}
