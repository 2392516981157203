/* pool.state: all sessions of a pool with their usage, the oldest first, a page at a time.
 *
 * Two steps: the counts, which also tell whether there is such a pool, then the sessions, which are written while the
 * engine runs. A page ends at `limit` or at the connection's output mark, whichever comes first; its cursor leads on.
 * Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/pool.h"
#include "wire/codec.gen.h"

enum { STATE_LOOK, STATE_LIST };
enum { CARRIED_USABLE, CARRIED_RETIRED };

/* Checks what does not hang on the pool; STEP_SUBMIT: all is well. */
static enum op_step state_check(struct request *request) {
    const struct args_pool_state *args = &request->args.pool_state;
    if ((args->given & POOL_STATE_LIMIT) && args->limit == 0)
        return request_refuse(request, ERROR_BAD_REQUEST, "limit must be at least 1; use pool.info to count only.");
    return request_check_page(request, args->limit, args->cursor);
}

static void list_ask(struct request *request) {
    const struct args_pool_state *args = &request->args.pool_state;
    struct verb *verb = request->verb;
    verb->kind = VERB_SCAN;
    verb->scan.group = GROUP_POOL;
    verb->scan.group_name = args->pool;
    verb->scan.cursor = args->cursor.size ? args->cursor : BYTES_ABSENT;
    verb->scan.statuses = STATUSES_KNOWN;
    verb->scan.limit = (uint32_t)(args->given & POOL_STATE_LIMIT ? args->limit : (uint64_t)LIMIT_MAX_LIST);
    verb->scan.is_oldest_first = true;
    verb->scan.skips_total = true;
    verb->scan.each = request_stream_record;
    verb->scan.context = request;
}

static void write_heads(struct request *request) {
    struct buf *out = request->out;
    mp_write_map(out, 4);
    mp_write_str(out, BYTES_LITERAL("usable_count"));
    mp_write_uint(out, request->carried[CARRIED_USABLE]);
    mp_write_str(out, BYTES_LITERAL("retired_count"));
    mp_write_uint(out, request->carried[CARRIED_RETIRED]);
    mp_write_str(out, BYTES_LITERAL("sessions"));
    request->stream_begin = mp_begin_array(out);
}

enum op_step pool_state_begin(struct request *request) {
    const struct args_pool_state *args = &request->args.pool_state;
    if (!pool_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (request->step == STATE_LIST) {
        list_ask(request);
        write_heads(request);
        return STEP_SUBMIT;
    }
    if (state_check(request) == STEP_ERROR) return STEP_ERROR;
    request->fields = args->given & POOL_STATE_FIELDS ? args->fields : FIELDS_ALL;
    codec_begin_result(request->out, request->msgid);
    request->verb->kind = VERB_CONFIGURE;
    request->verb->configure.group = GROUP_POOL;
    request->verb->configure.group_name = args->pool;
    return STEP_SUBMIT;
}

void pool_state_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (request->step == STATE_LOOK) {
        request->is_unfinished = verb->is_found;
        request->carried[CARRIED_USABLE] = verb->pool_state.usable_count;
        request->carried[CARRIED_RETIRED] = verb->pool_state.retired_count;
        if (!verb->is_found) mp_write_nil(out);
        return;
    }
    request_end_page(request, out);
}
