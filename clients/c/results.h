/* Replies: from the bytes of a message to a struct sessiond_reply, and from that to the typed results. Any thread. */
#ifndef CLIENT_RESULTS_H
#define CLIENT_RESULTS_H

#include "base/mp.h"
#include "sessiond/client.h"

enum record_kind {
    RECORD_END,
    RECORD_STR,
    RECORD_STATUS,
    RECORD_UINT53,
    RECORD_MOMENT,
    RECORD_DURATION,
    RECORD_VALUE,
    RECORD_SCORE,
    RECORD_BOOL
};

/* One member of struct sessiond_record. */
struct record_field {
    const char *name;
    uint64_t bit;
    enum record_kind kind;
    size_t offset;
};

extern const struct record_field record_fields[]; /* ends with a name NULL */

enum { REPLY_DEPTH_MAX = SESSIOND_LIMIT_MAX_DATA_DEPTH + SESSIOND_LIMIT_MAX_ENVELOPE_DEPTH };

/* One message of the server. */
struct incoming {
    bool is_reply; /* else a notification: then `error` is its method and `result` its params */
    uint32_t msgid;
    struct bytes error, result; /* encoded; borrowed from the message. An error nil is success */
};

/* Takes one whole message apart; false: it is not MessagePack-RPC, nested too deep, or not what a server sends. */
bool incoming_read(struct bytes message, struct incoming *incoming);

/* A reply with a copy of what came. NULL only where memory is lacking. */
struct sessiond_reply *reply_make(const struct incoming *incoming);

/* A reply that holds an error of this side. NULL only where memory is lacking. */
struct sessiond_reply *reply_make_error(const struct sessiond_error *error);

/* What the typed functions of client_ops.gen.c need of the blocking client. */
/* Sends, takes the request over, waits. On a code *reply is NULL, and the client's error is set. */
int client_exchange(struct sessiond_client *client, struct sessiond_request *request, struct sessiond_reply **reply);
int client_code(const struct sessiond_client *client);               /* the client's error code */
struct sessiond_error *client_error(struct sessiond_client *client); /* to be filled in */

#endif
