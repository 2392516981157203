/* session.list and session.count: the sessions of a user, of a client, of a pool, or of a whole namespace.
 *
 * A list is written while the engine runs: begin writes the heads, request_stream_record one record after the other,
 * end the cursor and the total. A page ends at `limit` or at the connection's output mark, whichever comes first; its
 * cursor leads on. Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/request.h"

#define FIELDS_OF_LISTS (FIELDS_ALL & ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META)))

/* Checks what does not hang on the namespace; STEP_SUBMIT: all is well. */
static enum op_step list_check(struct request *request) {
    const struct args_session_list *args = &request->args.session_list;
    bool has_group = !bytes_is_absent(args->user) || !bytes_is_absent(args->client) || !bytes_is_absent(args->pool);
    if (has_group && !bytes_is_absent(args->prefix))
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "prefix works on a whole namespace only; leave it out, or user, client and pool.");
    if ((args->given & SESSION_LIST_LIMIT) && args->limit == 0)
        return request_refuse(request, ERROR_BAD_REQUEST, "limit must be at least 1; use session.count to count only.");
    return request_check_page(request, args->limit, args->cursor);
}

static void list_ask(struct request *request) {
    const struct args_session_list *args = &request->args.session_list;
    struct verb *verb = request->verb;
    verb->kind = VERB_SCAN;
    verb->scan.prefix = args->prefix;
    verb->scan.cursor = args->cursor.size ? args->cursor : BYTES_ABSENT;
    verb->scan.statuses = args->given & SESSION_LIST_STATUS ? args->status : STATUSES_LIVING;
    verb->scan.limit = (uint32_t)(args->given & SESSION_LIST_LIMIT ? args->limit : (uint64_t)LIMIT_DEFAULT_LIST);
    verb->scan.is_oldest_first = args->order == LIST_ORDER_OLDEST;
    verb->scan.each = request_stream_record;
    verb->scan.context = request;
}

enum op_step session_list_begin(struct request *request) {
    const struct args_session_list *args = &request->args.session_list;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (!request_take_group(request, args->user, args->client, args->pool, &verb->scan.group, &verb->scan.group_name))
        return STEP_ERROR;
    if (list_check(request) == STEP_ERROR) return STEP_ERROR;
    if (request->is_hashed && !bytes_is_absent(args->prefix))
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "A namespace with hash_ids keeps no ids that could begin so; leave prefix out.");
    list_ask(request);
    request->fields = args->given & SESSION_LIST_FIELDS ? args->fields : FIELDS_OF_LISTS;
    request->streamed_count = 0;
    codec_begin_result(request->out, request->msgid);
    mp_write_map(request->out, 3);
    mp_write_str(request->out, BYTES_LITERAL("sessions"));
    request->stream_begin = mp_begin_array(request->out);
    return STEP_SUBMIT;
}

void session_list_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    request_end_page(request, out);
    mp_write_str(out, BYTES_LITERAL("total"));
    if (verb->scan_result.is_total_known)
        mp_write_uint(out, verb->scan_result.total);
    else
        mp_write_nil(out);
}

enum op_step session_count_begin(struct request *request) {
    const struct args_session_count *args = &request->args.session_count;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (!request_take_group(request, args->user, args->client, args->pool, &verb->scan.group, &verb->scan.group_name))
        return STEP_ERROR;
    verb->kind = VERB_SCAN;
    verb->scan.statuses = args->given & SESSION_COUNT_STATUS ? args->status : STATUSES_LIVING;
    return STEP_SUBMIT;
}

void session_count_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb->scan_result.is_total_known)
        mp_write_uint(out, verb->scan_result.total);
    else /* An engine without counters: better no number than a wrong one. */
        request_refuse(
            request, ERROR_BAD_REQUEST,
            "This engine cannot count that; count the sessions of a user, a client or a pool, or list them.");
}
