/* What concerns a namespace as a whole: its policy, its purging, and the end of all that it holds.
 *
 * Reads of a namespace that does not exist answer nil, or what would hold if it did, and make nothing; writes of policy
 * or purging make it. Any loop's thread. */
#include "crypto/keys.h"
#include "op/cookie_header.h"
#include "op/op_table.gen.h"
#include "op/request.h"

#define PURGE_INTERVAL_MIN_MS INT64_C(100)

static enum op_step end_all_begin(struct request *request, struct bytes given_namespace, enum end_kind end) {
    if (!request_take_namespace(request, given_namespace)) return STEP_ERROR;
    request->verb->kind = VERB_END_ALL;
    request->verb->end_all.end = end;
    return STEP_SUBMIT;
}

static void end_all_end(struct request *request, struct buf *out) {
    mp_write_uint(out, request->verb->scan_result.total);
}

/* Cookie secrets are no part of the engine's policy: they stand in the key file, whose writing is a step of its own. */
enum { STEP_ENGINE, STEP_SECRETS, STEP_READ };

static enum op_step save_begin(struct request *request, struct bytes secrets) {
    request->save_namespace = request->verb->namespace;
    request->save_secrets = secrets;
    return STEP_SAVE;
}

enum op_step session_clear_begin(struct request *request) {
    return end_all_begin(request, request->args.session_clear.namespace, END_CLEAR);
}

void session_clear_end(struct request *request, struct buf *out) {
    end_all_end(request, out);
}

enum op_step session_purge_begin(struct request *request) {
    return end_all_begin(request, request->args.session_purge.namespace, END_PURGE);
}

void session_purge_end(struct request *request, struct buf *out) {
    end_all_end(request, out);
}

enum op_step namespace_drop_begin(struct request *request) {
    enum op_step step = end_all_begin(request, request->args.namespace_drop.namespace, END_DROP);
    return step == STEP_SUBMIT && request->step == STEP_SECRETS ? save_begin(request, BYTES_ABSENT) : step;
}

void namespace_drop_end(struct request *request, struct buf *out) {
    if (request->step == STEP_ENGINE) {
        request->carried[0] = request->verb->is_found;
        request->is_unfinished = !bytes_is_absent(keys_cookie_secrets(request->keys, request->verb->namespace));
    } else if (!request->is_saved) {
        request_refuse(request, ERROR_STORAGE,
                       "The namespace is gone, but its cookie secrets could not be taken out of the key file; see to "
                       "its disk and drop the namespace again.");
    }
    mp_write_bool(out, request->carried[0]);
}

static enum op_step configure_begin(struct request *request, const struct policy_change *change) {
    if (change->given & ~change->nil & POLICY_COOKIE) {
        const char *why = cookie_attributes_refusal(&change->values.cookie);
        if (why) return request_refuse(request, ERROR_BAD_REQUEST, why);
    }
    if (change->given & POLICY_COOKIE_SECRETS) request->is_secret = true;
    request->verb->kind = VERB_CONFIGURE;
    request->verb->configure.change = change;
    return STEP_SUBMIT;
}

/* Cookie secrets change once the engine has agreed; what the policy is then is asked anew, since they may have taken a
 * while. */
enum op_step namespace_configure_begin(struct request *request) {
    const struct args_namespace_configure *args = &request->args.namespace_configure;
    const struct policy_change *change = &args->policy;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (request->step == STEP_ENGINE) return configure_begin(request, change);
    if (request->step == STEP_SECRETS)
        return save_begin(request, change->nil & POLICY_COOKIE_SECRETS ? BYTES_ABSENT : change->values.cookie_secrets);
    request->verb->kind = VERB_CONFIGURE;
    return STEP_SUBMIT;
}

static void end_saved(struct request *request) {
    request->is_unfinished = request->is_saved;
    if (!request->is_saved)
        request_refuse(request, ERROR_STORAGE,
                       "The cookie secrets could not be written to the key file and stay as they were; all other "
                       "entries have changed. See to its disk and try again.");
}

void namespace_configure_end(struct request *request, struct buf *out) {
    bool has_secrets = request->args.namespace_configure.policy.given & POLICY_COOKIE_SECRETS;
    if (request->step == STEP_SECRETS) {
        end_saved(request);
    } else if (request->step == STEP_ENGINE && has_secrets) {
        request->is_unfinished = true;
    } else if (!request->verb->is_found) {
        request_refuse(request, ERROR_CONFLICT,
                       "Somebody dropped the namespace while its cookie secrets were written; configure it again.");
    } else {
        codec_write_policy(out, request->verb->namespace_state.policy);
    }
}

static void write_purging(struct buf *out, bool is_purging, int64_t interval_ms) {
    mp_write_map(out, 2);
    mp_write_str(out, BYTES_LITERAL("enabled"));
    mp_write_bool(out, is_purging);
    mp_write_str(out, BYTES_LITERAL("interval_ms"));
    mp_write_int(out, interval_ms);
}

enum op_step server_purging_begin(struct request *request) {
    const struct args_server_purging *args = &request->args.server_purging;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if ((args->given & SERVER_PURGING_INTERVAL_MS) && args->interval_ms < PURGE_INTERVAL_MIN_MS)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "interval_ms must be at least 100; to stop purging, pass enabled: false.");
    verb->kind = VERB_CONFIGURE;
    verb->configure.sets_purging = args->given & SERVER_PURGING_ENABLED;
    verb->configure.is_purging = args->enabled;
    verb->configure.purge_interval_ms = args->interval_ms;
    return STEP_SUBMIT;
}

void server_purging_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb->is_found)
        write_purging(out, verb->namespace_state.is_purging, verb->namespace_state.purge_interval_ms);
    else
        write_purging(out, false, PURGE_INTERVAL_DEFAULT_MS);
}

enum op_step namespace_describe_begin(struct request *request) {
    if (!request_take_namespace(request, request->args.namespace_describe.namespace)) return STEP_ERROR;
    request->verb->kind = VERB_CONFIGURE;
    return STEP_SUBMIT;
}

void namespace_describe_end(struct request *request, struct buf *out) {
    const struct namespace_state *state = &request->verb->namespace_state;
    if (!request->verb->is_found) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 5);
    mp_write_str(out, BYTES_LITERAL("name"));
    mp_write_str(out, state->name);
    mp_write_str(out, BYTES_LITERAL("policy"));
    codec_write_policy(out, state->policy);
    mp_write_str(out, BYTES_LITERAL("sessions"));
    mp_write_uint(out, state->sessions);
    mp_write_str(out, BYTES_LITERAL("bytes"));
    mp_write_uint(out, state->bytes);
    mp_write_str(out, BYTES_LITERAL("purging"));
    write_purging(out, state->is_purging, state->purge_interval_ms);
}

static bool name_each(void *context, struct bytes name) {
    struct request *request = context;
    mp_write_str(request->out, name);
    request->streamed_count++;
    return true;
}

enum op_step namespace_list_begin(struct request *request) {
    request->verb->kind = VERB_CONFIGURE;
    request->verb->configure.each = name_each;
    request->verb->configure.context = request;
    request->streamed_count = 0;
    codec_begin_result(request->out, request->msgid);
    request->stream_begin = mp_begin_array(request->out);
    return STEP_SUBMIT;
}

/* All names in one answer: max_namespaces bounds them. */
void namespace_list_end(struct request *request, struct buf *out) {
    mp_end_array(out, request->stream_begin, (uint32_t)request->streamed_count);
}
