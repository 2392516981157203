/* What the steps of a batch have to know of an operation. Each question is answered here once for each operation, when
 * the server is opened, so that a request asks one word. Any loop's thread. */
#include "server/internal.h"

/* Its answer may be as long as a record. */
static bool answers_record(enum op op) {
    switch (op) {
    case OP_SESSION_GET:
    case OP_SESSION_TAKE:
    case OP_SESSION_REGENERATE:
    case OP_SESSION_ACTIVATE:
    case OP_SESSION_END:
    case OP_SESSION_REMOVE:
    case OP_SESSION_REVOKE:
    case OP_SESSION_ABANDON:
    case OP_SESSION_REPLACE:
    case OP_SESSION_VALIDATE:
    case OP_SESSION_ROTATE:
    case OP_POOL_ACQUIRE: return true;
    default: return false;
    }
}

/* Its cost is known only when it was executed. */
static bool is_unbounded(enum op op) {
    return op_runs_alone(op) || op == OP_SESSION_COUNT || op == OP_SESSION_REVOKE_ALL || op == OP_SESSION_CLEAR ||
           op == OP_SESSION_PURGE;
}

/* What the begin of the next request may depend on: whether a namespace has hash_ids, and its secrets. */
static bool is_turning_point(enum op op) {
    return op == OP_NAMESPACE_CONFIGURE || op == OP_NAMESPACE_DROP;
}

/* It has to wait until those before it in the batch are answered: one that writes its answer while the engine runs;
 * hello, because verbs before it may point at the connection's default namespace; what changes the connection's
 * watches, because what was done before it belongs to those of before; what has no bound. */
static bool is_first(enum op op) {
    return is_unbounded(op) || is_turning_point(op) || op == OP_SERVER_HELLO || op == OP_WATCH_START ||
           op == OP_WATCH_STOP;
}

static bool is_last(enum op op) {
    return is_turning_point(op) || op == OP_SESSION_REVOKE_ALL;
}

uint16_t op_traits_of(enum op op) {
    unsigned traits = 0;
    if (answers_record(op)) traits |= TRAIT_RECORD;
    if (op_runs_alone(op)) traits |= TRAIT_ALONE;
    if (is_unbounded(op)) traits |= TRAIT_UNBOUNDED;
    if (is_first(op)) traits |= TRAIT_FIRST;
    if (is_last(op)) traits |= TRAIT_LAST;
    if (op_copies(op)) traits |= TRAIT_COPIES;
    if (op == OP_POOL_ACQUIRE) traits |= TRAIT_ACQUIRE;
    if (op_infos[op].is_write) traits |= TRAIT_WRITE;
    return (uint16_t)traits;
}
