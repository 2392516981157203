/* Requests, encoded: from option structs by the tables of client_ops.gen.c, or from an array that the caller made.
 *
 * A request is one whole MessagePack-RPC message whose msgid, and where it is a write whose op_id, are filled in when
 * it is sent; so it can be repeated as it is. One thread at a time. */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include "base/mp.h"
#include "sessiond/client.h"

enum argument_kind {
    ARGUMENT_END,
    ARGUMENT_TEXT,     /* const char *; NULL: left out */
    ARGUMENT_VALUE,    /* struct sessiond_bytes; bytes NULL: left out */
    ARGUMENT_TEXTS,    /* struct sessiond_texts; texts NULL: left out */
    ARGUMENT_BOOL,     /* enum sessiond_bool */
    ARGUMENT_NUMBER,   /* int64_t; 0: left out */
    ARGUMENT_FIELDS,   /* uint64_t of bits; 0: left out */
    ARGUMENT_STATUSES, /* uint64_t of bits; 0: left out */
    ARGUMENT_EVENTS,   /* uint64_t of bits; 0: left out */
    ARGUMENT_ENUM,     /* an enum whose 0 is "left out"; names: its words from 1 on */
    ARGUMENT_SWITCH,   /* the same, and the words "false" and "true" are truth values */
    ARGUMENT_SCORE,    /* double; 0: left out */
    ARGUMENT_CODES,    /* struct sessiond_codes; codes NULL: left out */
    ARGUMENT_MEMBERS   /* a struct of such members; names: its rows */
};

/* One member of an option struct. */
struct argument {
    const char *name;
    enum argument_kind kind;
    size_t offset;     /* in the struct */
    const void *names; /* see the kinds */
};

struct method {
    const char *name;
    unsigned positional_count; /* the namespace included */
    bool is_write;
};

extern const struct method methods[]; /* ends with a name NULL */
extern const struct argument policy_arguments[], pool_policy_arguments[];

enum request_purpose { REQUEST_OTHER, REQUEST_WATCH_START, REQUEST_WATCH_STOP };

struct sessiond_request {
    enum request_purpose purpose; /* what the exchange has to know of it */
    struct buf frame;             /* the message */
    size_t op_id_at;              /* where the 8 bytes of its op_id are; 0: none that is ours to fill in */
    bool is_repeatable;           /* a read, or a write with an op_id */
    struct sessiond_error *error; /* a mistake in the arguments: it is never sent; owned; NULL: none */
};

struct request_writer {
    struct sessiond_request *request; /* NULL: memory was lacking */
    const struct method *method;
    size_t head_at; /* of the params */
};

/* The making of a request, in this order: begin, the positional arguments, end. Errors stick. */
struct request_writer request_begin(const struct method *method);
void request_namespace(struct request_writer *writer, const char *name); /* NULL or "": nil */
void request_text(struct request_writer *writer, const char *name, const char *text);
void request_value(struct request_writer *writer, const char *name, struct sessiond_bytes value);
void request_texts(struct request_writer *writer, const char *name, struct sessiond_texts texts);
/* {word: text} in place of an id. */
void request_instead_of_id(struct request_writer *writer, const char *word, const char *text);
void request_outcome(struct request_writer *writer, const char *name, int outcome);
/* A map of the members that are given; NULL: none. */
void request_members(struct request_writer *writer, const struct argument *rows, const void *members);
/* `rows` and `options` may be NULL. Adds the op_id of a write. NULL only where memory was lacking. */
struct sessiond_request *request_end(struct request_writer *writer, const struct argument *rows, const void *options);

/* Fills in what is new each time it is sent, or nothing but the msgid where it is sent again. */
void request_set_msgid(struct sessiond_request *request, uint32_t msgid);
void request_set_op_id(struct sessiond_request *request, uint64_t random);

#endif
