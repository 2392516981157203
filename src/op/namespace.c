/* What concerns a namespace as a whole: its policy, its purging, and the end of all that it holds.
 *
 * Reads of a namespace that does not exist answer nil, or what would hold if it did, and make nothing; writes of policy
 * or purging make it. Any loop's thread. */
#include "crypto/keyring.h"
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

/* The key file could not be written; for an end. */
static void refuse_secrets(struct request *request, const char *message) {
    request_refuse(request, ERROR_STORAGE, message);
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
    return end_all_begin(request, request->args.namespace_drop.namespace, END_DROP);
}

void namespace_drop_end(struct request *request, struct buf *out) {
    struct bytes name = request->verb->namespace;
    bool has_secrets = !bytes_is_absent(keys_cookie_secrets(request->keys, name));
    if (has_secrets && !keyring_set_cookie_secrets(request->keyring, name, BYTES_ABSENT))
        refuse_secrets(request, "The namespace is gone, but its cookie secrets could not be taken out of the key file; "
                                "see to its disk and drop the namespace again.");
    mp_write_bool(out, request->verb->is_found);
}

enum op_step namespace_configure_begin(struct request *request) {
    const struct args_namespace_configure *args = &request->args.namespace_configure;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (args->policy.given & ~args->policy.nil & POLICY_COOKIE) {
        const char *why = cookie_attributes_refusal(&args->policy.values.cookie);
        if (why) return request_refuse(request, ERROR_BAD_REQUEST, why);
    }
    if (args->policy.given & POLICY_COOKIE_SECRETS) request->is_secret = true;
    request->verb->kind = VERB_CONFIGURE;
    request->verb->configure.change = &args->policy;
    return STEP_SUBMIT;
}

/* Cookie secrets are no part of the engine's policy: they stand in the key file, and change once the engine has
 * agreed. */
void namespace_configure_end(struct request *request, struct buf *out) {
    const struct policy_change *change = &request->args.namespace_configure.policy;
    struct bytes secrets = change->nil & POLICY_COOKIE_SECRETS ? BYTES_ABSENT : change->values.cookie_secrets;
    if ((change->given & POLICY_COOKIE_SECRETS) &&
        !keyring_set_cookie_secrets(request->keyring, request->verb->namespace, secrets)) {
        refuse_secrets(request, "The cookie secrets could not be written to the key file and stay as they were; all "
                                "other entries have changed. See to its disk and try again.");
        return;
    }
    codec_write_policy(out, request->verb->namespace_state.policy);
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
