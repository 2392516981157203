/* One connection of the load: requests that are filled in or under way, replies that are coming in.
 *
 * A slot is one operation from its start to its last reply; there are `depth` of them. All memory is taken by
 * conn_open, so that nothing is allocated while measuring. Belongs to one worker's thread. */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include "endpoint.h"
#include "workload.h"

struct slot {
    uint64_t start_ns;                           /* when it began, or was to begin: latency counts from here */
    uint64_t sent_ns;                            /* when it was written for the server */
    uint64_t index;                              /* the session */
    uint32_t number;                             /* the message's */
    uint8_t kind;                                /* enum kind */
    uint8_t request, next_request, last_request; /* now, after its reply, and after that; REQUEST_COUNT: none */
    bool is_open;
    uint64_t use;                   /* of a pool's session: the hand-out's number */
    uint8_t subject[POOL_ID_BYTES]; /* which session was handed out */
};

struct conn {
    int fd;
    uint32_t depth;      /* slots */
    uint32_t slot_mask;  /* the next power of two above depth, minus 1 */
    uint32_t unanswered; /* requests sent for which no reply came */
    uint32_t unsent;     /* requests in `out` that wait for a flush */
    uint32_t turn;       /* makes message numbers: turn, then the slot */
    bool is_dirty;       /* stands in its worker's list of what to flush */
    bool wants_write;    /* the socket was full: epoll tells when it is not */
    struct slot *slots;
    uint16_t *free_slots; /* a stack */
    uint32_t free_count;
    uint16_t *order; /* a ring of slots in the order sent, for servers without numbers */
    uint32_t order_first, order_last;
    uint8_t *out, *in;
    size_t out_first, out_last, out_capacity; /* bytes */
    size_t in_first, in_last, in_capacity;
};

enum { CONN_DEPTH_MAX = 16384, CONN_RECEIVE_BYTES = 128 * 1024 };

/* Connects, sends the driver's greeting and makes room for `depth` operations; false with errno. */
bool conn_open(struct conn *conn, const struct endpoint *endpoint, const struct driver *driver,
               const struct driver_setup *setup, const struct templates *templates, uint32_t depth);
void conn_close(struct conn *conn); /* also of one that is all zero with fd -1 */

/* Takes a free slot; there must be one. The slot's number is set. */
struct slot *conn_take(struct conn *conn);
void conn_free(struct conn *conn, struct slot *slot);

/* Appends the request that the slot is at to what is to be sent; fill->number is set here. */
void conn_write(struct conn *conn, struct slot *slot, const struct templates *templates, struct fill *fill);

enum conn_state { CONN_FINE, CONN_FULL /* the socket takes no more now */, CONN_CLOSED };

enum conn_state conn_flush(struct conn *conn);
enum conn_state conn_receive(struct conn *conn); /* one read, as much as there is room for */

/* The operation whose reply this is; NULL if none is open that it could be for. */
struct slot *conn_answered(struct conn *conn, bool is_in_order, uint32_t number);

#endif
