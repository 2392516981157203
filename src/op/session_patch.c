/* session.patch: changes top-level keys of a session's data, or of its meta, in one step and touches the session.
 *
 * Because the whole change is one rule, two parallel requests that change different keys both keep their change, and
 * twenty parallel increments give twenty. It fails where the session is gone, has another version than is expected, or
 * where the map does not allow the change (see patch.h). Any loop's thread. */
#include "op/draft.h"
#include "op/op_table.gen.h"
#include "op/patch.h"

static const uint8_t empty_map[] = {0x80};

static struct patch patch_of(const struct args_session_patch *args) {
    return (struct patch){.set = args->set, .unset = args->unset, .incr = args->incr};
}

/* What is patched: of a new session, and where there is no meta yet, an empty map. */
static struct bytes target_of(const struct args_session_patch *args, const struct session *old) {
    struct bytes target = BYTES_ABSENT;
    if (old) target = args->target == PATCH_TARGET_META ? old->meta : old->data;
    return bytes_is_absent(target) ? bytes_of(empty_map, sizeof(empty_map)) : target;
}

/* What a missing session comes to. Nobody can expect a version of it, so with `version` it is not made either. */
static enum outcome begin_missing(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_patch *args = &request->args.session_patch;
    if (!args->create || (args->given & SESSION_PATCH_VERSION)) return OUTCOME_KEEP;
    if (input->policy->strict_ids)
        return outcome_error(error, ERROR_FORBIDDEN,
                             "This namespace makes its ids itself; use session.create without an id.");
    draft_begin(draft, input, request->verb->id);
    draft_set_timeouts(draft, input->policy, &args->timeouts);
    return OUTCOME_REPLACE;
}

/* What a living one is asked before it is changed. */
static enum outcome begin_living(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_patch *args = &request->args.session_patch;
    if ((args->given & SESSION_PATCH_VERSION) && args->version != input->old->version) {
        outcome_error(error, ERROR_CONFLICT, "The session has another version; get it again and decide anew.");
        error->version = input->old->version;
        return OUTCOME_ERROR;
    }
    /* With create they are the timeouts of a new session, and this one keeps its own. */
    if (!args->create) draft_set_timeouts(draft, input->policy, &args->timeouts);
    draft_touch(draft, input->now_ms);
    return OUTCOME_REPLACE;
}

static enum outcome patch_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_patch *args = &request->args.session_patch;
    struct bytes target = target_of(args, input->old);
    struct patch patch = patch_of(args);
    struct patch_table table;
    enum outcome outcome;
    /* A patch that contradicts itself is refused whatever stands under the id. */
    if (!patch_open(&table, &patch, target.size, input->scratch, error)) return OUTCOME_ERROR;
    if (input->presence == PRESENCE_NONE)
        outcome = begin_missing(input, draft, error);
    else if (input->presence == PRESENCE_ALIVE)
        outcome = begin_living(input, draft, error);
    else
        return outcome_gone(input, error);
    if (outcome != OUTCOME_REPLACE) return outcome;
    struct bytes *member = args->target == PATCH_TARGET_META ? &draft->meta : &draft->data;
    return patch_apply(&table, target, member, error) ? OUTCOME_REPLACE : OUTCOME_ERROR;
}

enum op_step session_patch_begin(struct request *request) {
    const struct args_session_patch *args = &request->args.session_patch;
    struct patch patch = patch_of(args);
    if (!patch_check(&patch, &request->error)) return STEP_ERROR;
    return request_update(request, args->namespace, args->id, patch_rule);
}

void session_patch_end(struct request *request, struct buf *out) {
    const struct args_session_patch *args = &request->args.session_patch;
    const struct verb *verb = request->verb;
    struct patch patch = patch_of(args);
    if (verb->outcome != OUTCOME_REPLACE) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 3);
    codec_write_version(out, &verb->session);
    codec_write_expires_at(out, &verb->session);
    mp_write_str(out, BYTES_LITERAL("values"));
    patch_write_values(&patch, args->target == PATCH_TARGET_META ? verb->session.meta : verb->session.data, out);
}
