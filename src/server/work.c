/* What requests cost a loop, in sessions looked at (about 0.1 us each): see TURN_WORK_MAX. Any loop's thread. */
#include "server/internal.h"

/* What a request does with a session's data at the cost of looking at one session for so many bytes of it. */
enum copying {
    COPYING_NONE, /* no data is copied, or it came with the request */
    COPYING_WHOLE,
    COPYING_PATCHED
};

static enum copying op_copying(enum op op) {
    switch (op) {
    case OP_SESSION_PATCH: return COPYING_PATCHED;
    case OP_SESSION_TOUCH: /* only with what request_copying looks for */
    case OP_SESSION_SET:   /* keeps meta */
    case OP_SESSION_EXPIRE:
    case OP_SESSION_ACTIVATE:
    case OP_SESSION_END:
    case OP_SESSION_REMOVE:
    case OP_SESSION_REVOKE:
    case OP_SESSION_ABANDON:
    case OP_SESSION_REPLACE:
    case OP_SESSION_ROTATE:
    case OP_SESSION_REGENERATE: return COPYING_WHOLE;
    default: return COPYING_NONE;
    }
}

bool op_copies(enum op op) {
    return op_copying(op) != COPYING_NONE;
}

static enum copying request_copying(const struct request *request) {
    const uint64_t touch_copies = SESSION_TOUCH_TIMEOUTS | SESSION_TOUCH_META | SESSION_TOUCH_ABSOLUTE_EXPIRES_AT;
    if (request->op == OP_SESSION_TOUCH && !(request->args.any.given & touch_copies)) return COPYING_NONE;
    return op_copying(request->op);
}

/* Each divisor is constant, so that nothing is divided. */
static uint64_t work_of_bytes(enum copying copying, size_t bytes) {
    if (copying == COPYING_NONE) return 0;
    return copying == COPYING_PATCHED ? bytes / PATCH_BYTES_PER_WORK : bytes / COPY_BYTES_PER_WORK;
}

uint64_t work_of_copy(const struct server_loop *loop, const struct request *request) {
    size_t bytes = atomic_load_explicit(&loop->server->record_bytes_max, memory_order_relaxed);
    return work_of_bytes(request_copying(request), bytes);
}

uint64_t work_of(const struct server_loop *loop, const struct request *request) {
    const struct verb *verb = request->verb;
    if (verb->kind == VERB_SCAN || verb->kind == VERB_END_ALL) return HEAVY_WORK + verb->scan_result.work;
    enum copying copying = request_copying(request);
    if (copying == COPYING_NONE) return 0;
    if (verb->is_found) return work_of_bytes(copying, verb->session.data.size + verb->session.meta.size);
    return verb->error.code == ERROR_NONE ? 0 : work_of_copy(loop, request);
}
