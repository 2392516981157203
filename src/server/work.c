/* What requests cost a loop, in sessions looked at (about 0.1 us each): see TURN_WORK_MAX. Any loop's thread. */
#include "server/internal.h"

/* How many bytes of a session's data a request reads or copies at the cost of looking at one session; 0 where that does
 * not depend on what is stored: no data is copied, or it came with the request. */
static size_t bytes_per_work(const struct request *request) {
    const uint64_t touch_copies = SESSION_TOUCH_TIMEOUTS | SESSION_TOUCH_META | SESSION_TOUCH_ABSOLUTE_EXPIRES_AT;
    switch (request->op) {
    case OP_SESSION_PATCH: return PATCH_BYTES_PER_WORK;
    case OP_SESSION_TOUCH: return request->args.any.given & touch_copies ? COPY_BYTES_PER_WORK : 0;
    case OP_SESSION_SET: /* keeps meta */
    case OP_SESSION_EXPIRE:
    case OP_SESSION_ACTIVATE:
    case OP_SESSION_END:
    case OP_SESSION_REMOVE:
    case OP_SESSION_REVOKE:
    case OP_SESSION_ABANDON:
    case OP_SESSION_REPLACE:
    case OP_SESSION_ROTATE:
    case OP_SESSION_REGENERATE: return COPY_BYTES_PER_WORK;
    default: return 0;
    }
}

uint64_t work_of_copy(const struct server_loop *loop, const struct request *request) {
    size_t bytes = bytes_per_work(request);
    return bytes ? atomic_load_explicit(&loop->server->record_bytes_max, memory_order_relaxed) / bytes : 0;
}

bool op_is_unbounded(enum op op) {
    return op_runs_alone(op) || op == OP_SESSION_COUNT || op == OP_SESSION_REVOKE_ALL || op == OP_SESSION_CLEAR ||
           op == OP_SESSION_PURGE;
}

bool work_is_heavy(enum op op, uint64_t copy_work) {
    return op_is_unbounded(op) || copy_work > COPY_WORK_LIGHT;
}

uint64_t work_of(const struct server_loop *loop, const struct request *request) {
    const struct verb *verb = request->verb;
    size_t bytes = bytes_per_work(request);
    if (verb->kind == VERB_SCAN || verb->kind == VERB_END_ALL) return HEAVY_WORK + verb->scan_result.work;
    if (!bytes) return 0;
    if (verb->is_found) return (verb->session.data.size + verb->session.meta.size) / bytes;
    return verb->error.code == ERROR_NONE ? 0 : work_of_copy(loop, request);
}
