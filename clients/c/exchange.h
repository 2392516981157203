/* The client's half of the protocol without a socket: requests go in, bytes to write come out; bytes that were read go
 * in, replies come out. The blocking client and the libuv client both drive it, so that msgids, the greeting, repeating
 * after a lost connection, limits and broken bytes are decided in one place.
 *
 * Always true: each request that was added is answered exactly once, unless it is dropped before. It is told the time
 * and given chance; one thread. */
#ifndef CLIENT_EXCHANGE_H
#define CLIENT_EXCHANGE_H

#include "base/buf.h"
#include "base/list.h"
#include "base/mp.h"
#include "sessiond/client.h"
#include "url.h"
#include "watches.h"

enum {
    EXCHANGE_WRITES_MAX = 3, /* a request whose connection was lost so often is given up: it may be what kills it */
    EXCHANGE_BUCKETS = 1024
};

/* Chance for pauses and op_ids (SplitMix64): not secret, but different in each client. */
struct chance {
    uint64_t state;
};
void chance_seed(struct chance *chance);
uint64_t chance_next(struct chance *chance);

/* The pauses between attempts to connect: each up to twice the last, half of it by chance, so that the clients of a
 * server that restarts do not all come back in the same millisecond. */
struct backoff {
    int64_t next_ms;
};
int64_t backoff_next(struct backoff *backoff, const struct sessiond_client_options *options, struct chance *chance);

/* The options with every 0 replaced by its default. */
struct sessiond_client_options options_filled(const struct sessiond_client_options *options);

struct pending {
    struct list link;                 /* in exchange.pendings, oldest first */
    struct pending *next;             /* in its bucket */
    uint64_t ticket;                  /* its low 32 bits are the msgid */
    struct sessiond_request *request; /* owned; NULL once answered */
    struct sessiond_reply *reply;     /* owned, until it is taken; the holder's use */
    bool is_answered;
    bool is_written; /* on the connection that is open now */
    unsigned write_count;
    int64_t written_at_ms, deadline_ms;
    void (*callback)(struct sessiond_reply *reply, void *data); /* the holder's */
    void *data;
};

enum exchange_state { EXCHANGE_DOWN, EXCHANGE_GREETING, EXCHANGE_READY, EXCHANGE_REFUSED /* see `error` */ };

struct exchange {
    struct sessiond_client_options options; /* filled */
    char namespace_name[SESSIOND_LIMIT_MAX_NAMESPACE + 1];
    char client_name[SESSIOND_LIMIT_MAX_TEXT + 1];
    enum exchange_state state;
    struct sessiond_error error; /* why the greeting was refused, or what was wrong with the bytes */
    struct buf out;              /* to be written; the driver consumes it */
    struct buf in;               /* read, and not yet a whole message */
    struct mp_scan scan;         /* over the message at the start of `in` */
    struct list pendings;
    struct watches watches;
    struct pending *buckets[EXCHANGE_BUCKETS];
    uint64_t next_ticket;
    size_t pending_count, held_bytes; /* of requests and replies not yet taken */
    int64_t now_ms, received_at_ms;   /* the driver sets now_ms before each call */
    struct chance chance;
    /* Called for each answer; takes the reply over (NULL: memory was lacking). It may drop the pending and add others.
     */
    void (*answer)(void *holder, struct pending *pending, struct sessiond_reply *reply);
    /* Called for each event; takes it over. NULL: events are kept, for watches_next_event. */
    void (*event)(void *holder, struct sessiond_event *event);
    void *holder;
};

/* `namespace_name` is at most 64 bytes; client_name of the options is copied and cut to 1,024. */
void exchange_init(struct exchange *exchange, const struct sessiond_client_options *options,
                   const char *namespace_name);
/* Drops everything without an answer. */
void exchange_fini(struct exchange *exchange);

/* Takes a request over, and writes it if there is a connection. NULL, with *error filled and the request given back: it
 * holds a mistake, or a limit is reached. */
struct pending *exchange_add(struct exchange *exchange, struct sessiond_request *request, struct sessiond_error *error);
struct pending *exchange_find(const struct exchange *exchange, uint64_t ticket); /* NULL: there is none */
/* The next ticket whose msgid nothing has that waits for its answer. */
uint64_t exchange_new_ticket(struct exchange *exchange);
/* Forgets a pending, answered or not, and frees it with its request and reply; an answer that still comes is ignored.
 */
void exchange_drop(struct exchange *exchange, struct pending *pending);
/* Answers a pending with an error of this side. */
void exchange_fail(struct exchange *exchange, struct pending *pending, const struct sessiond_error *error);

/* A connection stands: writes the greeting. What waits is written once that is answered. */
void exchange_connected(struct exchange *exchange);
/* The connection is gone: what may not be repeated, or was written EXCHANGE_WRITES_MAX times, is answered with
 * `error`, the rest waits for the next connection. */
void exchange_disconnected(struct exchange *exchange, const struct sessiond_error *error);

/* Room for bytes to be read; NULL where memory is lacking. */
uint8_t *exchange_room(struct exchange *exchange, size_t *size);
/* `size` bytes were read there. False: exchange->error says what is wrong; the connection is to be closed. */
bool exchange_take(struct exchange *exchange, size_t size);

#endif
