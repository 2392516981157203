/* Requests and replies: MessagePack-RPC envelopes to typed arguments and back, after the schema's tables.
 *
 * Above it nobody touches the bytes of an envelope; below it nobody knows an operation. Pure; any thread. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "base/mp.h"
#include "sessiond/engine.h"
#include "sessiond/protocol.h"

struct frame {
    size_t size;          /* bytes of the whole message */
    bool is_notification; /* [2, method, params]: executed, never answered */
    uint64_t msgid;       /* 0 to 2^32 - 1 */
    struct bytes method;  /* the name as it stood there; absent if numeric */
    enum op op;           /* valid after DECODE_OK; else OP_COUNT, or the operation if its name was understood */
};

enum decode_state {
    DECODE_OK,         /* frame and args are filled */
    DECODE_INCOMPLETE, /* more bytes are needed */
    DECODE_REFUSED,    /* the message is whole and has a msgid; answer `error` and go on behind it */
    DECODE_BROKEN      /* not MessagePack-RPC: nothing behind it can be trusted; `error` says why; close */
};

/* Reads the message at the start of `bytes`. The arguments borrow from `bytes`; error->message may point to a static
 * buffer of the calling thread, valid until its next call. */
enum decode_state codec_decode(struct bytes bytes, struct frame *frame, union op_args *args, struct error *error);

/* Which session a request names, as far as can be told without reading the rest. */
struct peeked {
    struct bytes namespace; /* absent: nil */
    struct bytes name;      /* an id, or a token */
    bool is_token;
};
/* False: `bytes` begin with nothing of the kind, or not in its usual form. Borrows from `bytes`, whatever they are. */
bool codec_peek(struct bytes bytes, struct peeked *peeked);

/* The head of an answer: [1, msgid, nil, <- the result goes here. */
void codec_begin_result(struct buf *out, uint64_t msgid);
/* A whole answer with an error. */
void codec_write_error(struct buf *out, uint64_t msgid, const struct error *error);

/* A session as a map of the fields whose bits are set in `fields` (FIELD_BIT) and that it has. */
void codec_write_record(struct buf *out, const struct session *session, uint64_t fields, int64_t now_ms);
#define FIELDS_ALL UINT64_MAX

/* What an answer may say of a session beside what it holds. All zero: nothing. */
struct record_extra {
    struct bytes id;     /* in place of the session's, where that is a handle; absent: the session's */
    bool is_hashed;      /* the session's id is a handle: it is answered as `handle`, and `id` only where it is given */
    struct bytes token;  /* absent: none */
    uint64_t use, fence; /* 0: none */
};
/* The same with what stands in `extra`. */
void codec_write_record_with(struct buf *out, const struct session *session, const struct record_extra *extra,
                             uint64_t fields, int64_t now_ms);

/* A pair of a map that has begun: what a write answers of the session. */
void codec_write_version(struct buf *out, const struct session *session);
void codec_write_expires_at(struct buf *out, const struct session *session);

/* A score as records hold it: an integer where it is one. */
void codec_write_score(struct buf *out, double score);

void codec_write_policy(struct buf *out, const struct policy *policy); /* a map of all entries */
/* The change applied to a policy: given entries replaced, nil ones back to their defaults. */
void policy_apply(struct policy *policy, const struct policy_change *change);
extern const struct policy policy_defaults;
/* Reads what codec_write_policy wrote, of this release or an earlier one: entries that are not there take their
 * defaults. False: it is no such map, or has an entry that is not known here. */
bool codec_read_policy(struct bytes encoded, struct policy *out);

/* The same for pools. */
void codec_write_pool_policy(struct buf *out, const struct pool_policy *policy);
void pool_policy_apply(struct pool_policy *policy, const struct pool_policy_change *change);
extern const struct pool_policy pool_policy_defaults;
bool codec_read_pool_policy(struct bytes encoded, struct pool_policy *out);

/* What a notification says of an event beside what the event holds. */
struct event_extra {
    uint64_t watch, seq;
    bool wants_data;
};
/* A whole notification. */
void codec_write_event(struct buf *out, const struct event *event, const struct event_extra *extra);

/* The dispatch table's facts. */
struct op_info {
    const char *method; /* "session.get" */
    uint16_t wire_id;   /* the small integer usable in its place */
    bool is_write;
    bool is_secret;       /* its request or answer holds what must not stay in memory */
    int16_t op_id_offset; /* of op_id in its arguments; -1 where it has none */
    uint64_t op_id_bit;   /* in `given`; 0 where it has none */
};
extern const struct op_info op_infos[OP_COUNT];

/* The schema's limits, as server.hello announces them. */
struct limit_info {
    const char *name; /* "max_frame" */
    int64_t value;
};
extern const struct limit_info limit_infos[];
extern const size_t limit_count;

const char *error_code_name(enum error_code code);
const char *status_name(enum status status);
const char *field_name(enum field field);
const char *event_name(enum event_kind kind);

#endif
