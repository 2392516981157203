/* Operations: each is a row of the schema and two functions here.
 *
 * `begin` checks the arguments and says what to ask of the engine; `end` turns the engine's answer into the reply.
 * Between the two stands the engine; neither knows which. Both are pure but for what they are given. The table of all
 * operations, op_defs, is generated from the schema (op_table.gen.c); the functions are declared in op_table.gen.h. */
#ifndef OP_OP_H
#define OP_OP_H

#include "base/buf.h"
#include "sessiond/engine.h"
#include "sessiond/protocol.h"

struct conn;
struct server;
struct id_maker;
struct keys;

enum op_step {
    STEP_SUBMIT, /* *request->verb is filled: submit it, then call end */
    STEP_ANSWER, /* call end at once */
    STEP_SAVE,   /* of an operation of several steps: give request->save_namespace the cookie secrets in
                    request->save_secrets (absent: none), for good, then call end, which looks at is_saved */
    STEP_ERROR   /* request->error is filled */
};

/* The policy that was asked for last in a round of a batch: most requests of a packet mean one namespace. */
struct recent_policy {
    struct bytes namespace; /* absent: none was asked for */
    const struct policy *policy;
};

/* One request from decode to reply. Lives in the batch of its loop. */
struct request {
    uint64_t msgid;
    bool is_notification;
    enum op op;
    struct verb *verb;  /* in the batch's array, never NULL. What is asked is all zero before begin; what is answered is
                           the engine's to fill and undefined before that */
    struct error error; /* code ERROR_NONE: none */
    /* the surroundings; same for the whole batch */
    const struct env *env;
    struct engine *engine; /* for request_policy */
    struct recent_policy *recent;
    const struct id_maker *ids; /* makes ids for sessions; of the server */
    const struct keys *keys;    /* those that hold while the batch is executed */
    struct buf *handles;        /* of the loop, for request_take_ids */
    int64_t now_ms;
    int64_t clock_offset_ms;        /* server time minus wall time: added to every moment that a caller gives */
    struct bytes default_namespace; /* of the connection; absent: none */
    struct conn *conn;              /* for the family "server" only */
    struct server *server;          /* for the family "server" only */
    /* between begin and end */
    uint64_t fields;         /* asked for */
    struct buf *out;         /* of a streaming operation (op_is_streaming): begin writes codec_begin_result and the
                                heads there, the scan's `each` the elements, end the rest. The server has ended every
                                earlier request before, and truncates on an error. For a notification: thrown away */
    size_t output_mark;      /* out->size at which a streaming answer stops, once it holds one element */
    uint64_t streamed_count; /* elements that `each` has written */
    size_t stream_begin;     /* mp_begin_array's answer */
    size_t answer_mark;      /* bytes of data and meta at which an answer of several records, that does not stream,
                                is to stop */
    /* An operation of several steps (op_has_steps): an end that has more to ask sets is_unfinished, and is followed by
     * begin with a verb that is all zero again, and `step` one higher. What the end of a streaming operation wrote
     * stays, what another's wrote is taken back. */
    bool is_unfinished;
    bool takes_errors; /* set by begin: end is called also where the engine refused the verb, and looks at its error */
    uint32_t step;     /* 0 in the first begin */
    uint64_t depends_on; /* the newest version that one of its steps depends on; the server's */
    uint64_t carried[8]; /* the operation's own from step to step; all zero in the first begin */
    /* What request_take_namespace and request_take_id found out. */
    bool is_hashed; /* the namespace has hash_ids: the engine knows its sessions by handles */
    struct bytes
        shown_id;     /* with is_hashed: the id that the caller presented or just got; absent: none, only a handle */
    update_rule rule; /* of request_update, which runs behind a check of is_hashed */
    bool is_secret;   /* its input or its answer holds what must not stay in memory; the server overwrites both, and all
                         that stands below */
    unsigned verdict; /* of the last run of a rule about a token, for end */
    bool is_saved;    /* by STEP_SAVE: else nothing changed */
    struct bytes save_namespace, save_secrets; /* borrowed like args */
    /* Below stands what only few requests fill: what all use is close together. */
    union op_args args;                           /* borrowed from the connection's input until submit returns */
    char id_buffer[48];                           /* an id made for this request */
    char handle_buffer[43];                       /* of the id that is meant */
    char other_buffer[43];                        /* of another id that the request names or makes */
    char secret[43];                              /* of a token made for this request */
    uint8_t token_buffer[242], bound_buffer[102]; /* hashes that a rule gives to a draft: see token.h, binding.h */
    uint8_t cookie_buffer[LIMIT_MAX_ID];          /* what a URL-encoded cookie holds */
    const struct cookie_attributes *cookie;       /* of cookie.header: the namespace's; until the turn ends */
};

struct op_def {
    enum op_step (*begin)(struct request *request);
    /* Writes the result (one MessagePack value) to `out`, or sets request->error: then what it wrote is taken back. The
     * server has written codec_begin_result before, but for a streaming operation. Not called where begin or the engine
     * (request->verb->error) refused: the server answers those errors itself. */
    void (*end)(struct request *request, struct buf *out);
};

extern const struct op_def op_defs[OP_COUNT];

/* Operations that write their answer while the engine runs: their `each` puts elements into request->out. Each runs
 * alone in its submit. */
#define OP_BIT(op) (UINT64_C(1) << (op))
_Static_assert(OP_COUNT <= 64, "an operation is a bit of a word");
static inline bool op_is_streaming(enum op op) {
    const uint64_t streaming = OP_BIT(OP_SESSION_LIST) | OP_BIT(OP_SESSION_GET_MANY) | OP_BIT(OP_NAMESPACE_LIST) |
                               OP_BIT(OP_POOL_STATE) | OP_BIT(OP_CLIENT_GET) | OP_BIT(OP_CLIENT_ACTIVATE);
    return streaming >> op & 1;
}

/* Operations that ask the engine more than once. Each step runs alone in its submit, and no other request of the
 * connection between two of them; those of other connections may. A step that does not stream may be PENDING. */
static inline bool op_has_steps(enum op op) {
    return op == OP_CLIENT_GET || op == OP_CLIENT_ACTIVATE || op == OP_CLIENT_DESTROY || op == OP_POOL_RESET ||
           op == OP_POOL_STATE || op == OP_POOL_LOAD || op == OP_NAMESPACE_CONFIGURE || op == OP_NAMESPACE_DROP;
}

/* Neither of the two may share a submit with other requests. */
static inline bool op_runs_alone(enum op op) {
    return op_is_streaming(op) || op_has_steps(op);
}

#endif
