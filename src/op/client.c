/* client.get, client.activate and client.destroy: the sessions of a browser or device.
 *
 * get and activate look at the client first, then write its sessions while the engine runs, then its default session:
 * the last active one if that is alive, else the oldest that is. That one is looked for apart where it is not among the
 * sessions that were listed. destroy removes all sessions and answers the client as it is then, without any. Where
 * nothing is left to list there is no client: nil. Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/request.h"

#define FIELDS_OF_LISTS (FIELDS_ALL & ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META)))
/* Removed and revoked ones have left their client. */
#define STATUSES_OF_CLIENT                                                                                             \
    (STATUSES_LIVING | STATUS_BIT(STATUS_ENDED) | STATUS_BIT(STATUS_REPLACED) | STATUS_BIT(STATUS_EXPIRED) |           \
     STATUS_BIT(STATUS_ABANDONED))

enum { STEP_LOOK, STEP_LIST, STEP_DEFAULT };
enum { STEP_REMOVE = 1 };

/* Words that are carried from step to step. The ids lie in records, which stay until the turn ends. */
enum { CREATED_AT, UPDATED_AT, LAST_DATA, LAST_SIZE, DEFAULT_DATA, DEFAULT_SIZE, ANSWER_START };

static void carry_id(struct request *request, unsigned place, struct bytes id) {
    request->carried[place] = (uintptr_t)id.data;
    request->carried[place + 1] = id.size;
}

static void write_carried_id(const struct request *request, struct buf *out, unsigned place) {
    if (request->carried[place])
        mp_write_str(out, bytes_of((const void *)(uintptr_t)request->carried[place], request->carried[place + 1]));
    else
        mp_write_nil(out);
}

/* ---- the answer */

static void write_heads(struct request *request, struct bytes client) {
    struct buf *out = request->out;
    request->carried[ANSWER_START] = out->size;
    mp_write_map(out, 6);
    mp_write_str(out, BYTES_LITERAL("id"));
    mp_write_str(out, client);
    mp_write_str(out, BYTES_LITERAL("sessions"));
    request->stream_begin = mp_begin_array(out);
}

static void write_tail(const struct request *request, struct buf *out) {
    mp_write_str(out, BYTES_LITERAL("last_active_session"));
    write_carried_id(request, out, LAST_DATA);
    mp_write_str(out, BYTES_LITERAL("default_session"));
    write_carried_id(request, out, DEFAULT_DATA);
    mp_write_str(out, BYTES_LITERAL("created_at"));
    mp_write_int(out, (int64_t)request->carried[CREATED_AT]);
    mp_write_str(out, BYTES_LITERAL("updated_at"));
    mp_write_int(out, (int64_t)request->carried[UPDATED_AT]);
}

static void carry_client(struct request *request) {
    const struct client_state *state = &request->verb->client_state;
    request->carried[CREATED_AT] = (uint64_t)state->created_at;
    request->carried[UPDATED_AT] = (uint64_t)state->updated_at;
    if (!state->has_last_active) return;
    enum status status = session_status(&state->last_active, request->now_ms);
    if (STATUSES_OF_CLIENT & STATUS_BIT(status)) carry_id(request, LAST_DATA, state->last_active.id);
    if (status_is_living(status)) carry_id(request, DEFAULT_DATA, state->last_active.id);
}

/* ---- steps */

static void ask_client(struct request *request, struct bytes client) {
    request->verb->kind = VERB_CONFIGURE;
    request->verb->configure.group = GROUP_CLIENT;
    request->verb->configure.group_name = client;
}

static bool client_each(void *context, const struct session *session) {
    struct request *request = context;
    if (!request->carried[DEFAULT_DATA] && session_is_alive(session, request->now_ms))
        carry_id(request, DEFAULT_DATA, session->id);
    if (request->step == STEP_DEFAULT) return true;
    if (request->streamed_count > 0 && request->out->size >= request->output_mark) return false;
    request_write_record(request, request->out, session);
    request->streamed_count++;
    return true;
}

static void ask_sessions(struct request *request, struct bytes client) {
    struct verb *verb = request->verb;
    bool is_list = request->step == STEP_LIST;
    verb->kind = VERB_SCAN;
    verb->scan.group = GROUP_CLIENT;
    verb->scan.group_name = client;
    verb->scan.statuses = is_list ? STATUSES_OF_CLIENT : STATUSES_LIVING;
    verb->scan.limit = is_list ? (uint32_t)LIMIT_MAX_LIST : 1;
    verb->scan.is_oldest_first = true;
    verb->scan.skips_total = true;
    verb->scan.each = client_each;
    verb->scan.context = request;
    if (is_list) write_heads(request, client);
}

static void end_list(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (request->streamed_count == 0) {
        if (!out->is_failed) out->size = request->carried[ANSWER_START];
        mp_write_nil(out);
        return;
    }
    if (verb->scan_result.cursor_size && request->streamed_count < (uint64_t)LIMIT_MAX_LIST) {
        request_refuse_limit(request, ERROR_TOO_BIG,
                             "The client's sessions are longer than one answer; leave data and meta out of fields, or "
                             "page through session.list.",
                             (int64_t)request->answer_mark);
        return;
    }
    mp_end_array(out, request->stream_begin, (uint32_t)request->streamed_count);
    request->is_unfinished = verb->scan_result.cursor_size && !request->carried[DEFAULT_DATA];
    if (!request->is_unfinished) write_tail(request, out);
}

/* ---- get and activate */

static void client_end(struct request *request, struct buf *out) {
    switch (request->step) {
    case STEP_LOOK:
        request->is_unfinished = request->verb->is_found;
        if (request->is_unfinished)
            carry_client(request);
        else
            mp_write_nil(out);
        return;
    case STEP_LIST: end_list(request, out); return;
    default: write_tail(request, out); return;
    }
}

enum op_step client_get_begin(struct request *request) {
    const struct args_client_get *args = &request->args.client_get;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (request->step != STEP_LOOK) {
        ask_sessions(request, args->client);
        return STEP_SUBMIT;
    }
    request->fields = args->given & CLIENT_GET_FIELDS ? args->fields : FIELDS_OF_LISTS;
    codec_begin_result(request->out, request->msgid);
    ask_client(request, args->client);
    return STEP_SUBMIT;
}

void client_get_end(struct request *request, struct buf *out) {
    client_end(request, out);
}

enum op_step client_activate_begin(struct request *request) {
    const struct args_client_activate *args = &request->args.client_activate;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (request->step != STEP_LOOK) {
        ask_sessions(request, args->client);
        return STEP_SUBMIT;
    }
    if (bytes_is_absent(args->session))
        return request_refuse(request, ERROR_BAD_REQUEST, "Say in `session` which one becomes the active one.");
    request->fields = args->given & CLIENT_ACTIVATE_FIELDS ? args->fields : FIELDS_OF_LISTS;
    codec_begin_result(request->out, request->msgid);
    ask_client(request, args->client);
    request->verb->id = request_engine_id(request, args->session, request->handle_buffer);
    return STEP_SUBMIT;
}

void client_activate_end(struct request *request, struct buf *out) {
    client_end(request, out);
}

/* ---- destroy */

enum op_step client_destroy_begin(struct request *request) {
    const struct args_client_destroy *args = &request->args.client_destroy;
    struct verb *verb = request->verb;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (request->step == STEP_LOOK) {
        ask_client(request, args->client);
        return STEP_SUBMIT;
    }
    verb->kind = VERB_END_ALL;
    verb->end_all.end = END_REMOVE;
    verb->end_all.group = GROUP_CLIENT;
    verb->end_all.group_name = args->client;
    return STEP_SUBMIT;
}

void client_destroy_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (request->step == STEP_LOOK && verb->is_found) {
        request->carried[CREATED_AT] = (uint64_t)verb->client_state.created_at;
        request->carried[UPDATED_AT] = (uint64_t)request->now_ms;
        request->is_unfinished = true;
    } else if (request->step == STEP_LOOK || verb->scan_result.total == 0) {
        mp_write_nil(out);
    } else {
        write_heads(request, request->args.client_destroy.client);
        mp_end_array(out, request->stream_begin, 0);
        write_tail(request, out);
    }
}
