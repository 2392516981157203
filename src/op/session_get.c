/* session.get and session.get_many: reads. Nothing fails here but the request itself; what is missing or dead is nil.
 *
 * session.get is the hottest operation of all: its two functions do nothing that its arguments do not ask for.
 * Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/request.h"

enum op_step session_get_begin(struct request *request) {
    const struct args_session_get *args = &request->args.session_get;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    verb->kind = VERB_GET;
    verb->get.include_dead = args->include_dead;
    verb->get.is_touch = args->touch;
    return request_take_choice(request, &args->id);
}

void session_get_end(struct request *request, struct buf *out) {
    const struct args_session_get *args = &request->args.session_get;
    const struct verb *verb = request->verb;
    if (!verb || !verb->is_found) { /* no verb: a cookie whose signature is wrong */
        mp_write_nil(out);
        return;
    }
    uint64_t fields = args->given & SESSION_GET_FIELDS ? args->fields : FIELDS_ALL;
    if ((args->given & SESSION_GET_IF_VERSION) && args->if_version == verb->session.version)
        fields &= ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META));
    if (args->public_only) {
        fields &= ~FIELD_BIT(FIELD_META);
        request->shown_id = BYTES_ABSENT;
    }
    request->fields = fields;
    request_write_record(request, out, &verb->session);
}

static bool get_many_each(void *context, const struct session *session) {
    struct request *request = context;
    /* The first one is always taken, so that a client that asks for the rest again gets on. */
    if (request->streamed_count > 0 && request->out->size >= request->output_mark) return false;
    if (session)
        request_write_record(request, request->out, session);
    else
        mp_write_nil(request->out);
    request->streamed_count++;
    return true;
}

enum op_step session_get_many_begin(struct request *request) {
    const struct args_session_get_many *args = &request->args.session_get_many;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    request->fields = args->given & SESSION_GET_MANY_FIELDS ? args->fields : FIELDS_ALL;
    verb->kind = VERB_SCAN;
    if (!request_take_ids(request, args->ids, &verb->scan.ids)) return STEP_ERROR;
    verb->scan.statuses = STATUSES_LIVING;
    verb->scan.limit = LIMIT_MAX_IDS;
    verb->scan.each = get_many_each;
    verb->scan.context = request;
    request->streamed_count = 0;
    codec_begin_result(request->out, request->msgid);
    request->stream_begin = mp_begin_array(request->out);
    return STEP_SUBMIT;
}

void session_get_many_end(struct request *request, struct buf *out) {
    mp_end_array(out, request->stream_begin, (uint32_t)request->streamed_count);
}
