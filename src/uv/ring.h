/* What the files of the io_uring transport share: one ring for each loop.
 *
 * ring.c opens a ring and takes its rounds; ring_peer.c does what peers ask for. Always true: a peer's memory stays
 * until every request that names it has completed for the last time; the kernel looks at a request's bytes only while
 * they stay. On the loop's thread, but for ring_open and ring_close. */
#ifndef UV_RING_H
#define UV_RING_H

#include "uv/internal.h"

#include <liburing.h>

/* Where these are less, all of them are reached by a few connections: the tests build a server once more for that. */
#ifndef RING_ENTRIES
#define RING_ENTRIES          512         /* requests that are handed over at once */
#define RING_COMPLETIONS      4096        /* that may wait to be looked at; the kernel keeps what is beyond */
#define RING_BUFFERS          64          /* what is received before it is fed, of all light connections together */
#define RING_HEAVY_BUFFERS    16          /* and of all heavy ones, each of which has one at a time */
#define RING_POSTED_BYTES_MAX (32 * 1024) /* output that is written before the round goes on */

/* Peers of which one flush makes requests, while no more completions than that wait. Each has three at most that
 * complete at once, receives fill each buffer once, and what stands in the ring already are RING_ENTRIES at most:
 * altogether that is less than RING_COMPLETIONS, so the failure of a post is seen as soon as it was handed over. */
#define RING_FLUSH_MAX             512
#define RING_FLUSH_COMPLETIONS_MAX 1024
#endif
_Static_assert(RING_FLUSH_COMPLETIONS_MAX + 3 * RING_FLUSH_MAX + RING_BUFFERS + RING_HEAVY_BUFFERS + RING_ENTRIES <
                   RING_COMPLETIONS,
               "what one flush may complete at once has room");

#define RING_BUFFER_BYTES       (16 * 1024)
#define RING_HEAVY_BUFFER_BYTES READ_BUFFER_BYTES
#define RING_HEAVY_FILLS        4  /* so many full buffers in a row are as much as libuv's transport feeds in a turn */
#define RING_HEAVY_RECEIVES     16 /* how soon who sent much counts as light again */

/* What a completion is of; stands in the low bits of its user_data, above which is the peer. */
enum ring_kind { RING_IGNORED, RING_POLL, RING_SIGNAL, RING_RECEIVE, RING_POST, RING_FLIGHT };
#define RING_KIND_MASK 7u

/* Buffers that the kernel fills in the order in which it gets them; pages that it never filled take no memory. */
struct ring_buffers {
    unsigned short group;
    unsigned count; /* a power of two */
    size_t size;
    uint8_t *memory; /* count times size */
    struct io_uring_buf_ring *table;
    unsigned given_back; /* of what was fed, and not handed to the kernel yet */
    uint64_t fed;        /* since ring_buffers_rest looked last */
    bool is_backed;      /* pages of them may have memory behind them */
};

enum { RING_LIGHT, RING_HEAVY, RING_GROUPS };

struct ring {
    struct io_uring uring;
    struct ring_buffers buffers[RING_GROUPS];
    int signal_fd;             /* an eventfd of which the ring reads */
    _Atomic bool is_signalled; /* any thread: somebody wrote to it, and nobody has looked yet */
    uint64_t signal_count;     /* what was read of it */
    size_t posted_bytes;       /* about what waits to be written */
    struct list touched;       /* peers with something to do when the round ends */
    struct list starved;       /* peers that shall receive, and for whom no buffer was left */
    struct list ended;         /* peers that are closed, with nothing under way */
    struct list posted;        /* peers whose output is being written in this round */
    bool may_wait;             /* no post of this round has something to go on with */
    bool is_polling;           /* a poll of libuv's descriptor is under way */
    bool is_uv_ready;          /* it said that libuv has something to do */
};

extern const struct transport transport_ring;

/* ---- ring_request.c */
/* A free request; hands over what stands in the ring if it is full. */
struct io_uring_sqe *ring_request(struct ring *ring, enum ring_kind kind, struct peer *peer);
/* Receives into light buffers until it is cancelled, the input ends, or there is no buffer; or into one heavy buffer.
 */
void ring_prepare_receive(struct io_uring_sqe *sqe, int fd, bool is_endless);
/* Sends without waiting: is over when it was handed over, and tells only of what did not go out whole. */
void ring_prepare_post(struct io_uring_sqe *sqe, int fd, struct bytes bytes);
/* Cancels the request that is under way of this kind and peer; it still completes. */
void ring_cancel(struct ring *ring, enum ring_kind kind, struct peer *peer);

/* ---- ring_buffers.c */
/* A negative error: there are none, and ring_buffers_close is to be called all the same. */
int ring_buffers_open(struct ring *ring);
/* After the ring itself: the kernel knows where they are. */
void ring_buffers_close(struct ring *ring);
/* The buffer of a receive that completed; NULL: it has none. */
uint8_t *ring_buffer_of(const struct ring_buffers *buffers, const struct io_uring_cqe *cqe);
/* It was fed: the kernel may have it again, after ring_buffers_return. */
void ring_buffer_give(struct ring_buffers *buffers, const struct io_uring_cqe *cqe);
void ring_buffers_return(struct ring *ring);
/* Gives the memory behind groups back of which hardly any buffer was filled since the last call. No completion waits.
 */
void ring_buffers_rest(struct ring *ring);

/* ---- ring.c */
/* NULL: `error` says why there is none; the ring belongs to the thread that runs it later. */
struct ring *ring_open(char *error, size_t error_size);
void ring_close(struct ring *ring);
/* Makes it the calling thread's; false: errno says why it cannot be. */
bool ring_enable(struct ring *ring);
/* Rounds, until the loop is over. */
void ring_run(struct shell_loop *loop);
void ring_signal(struct shell_loop *loop);

/* ---- ring_probe.c */
/* Whether this kernel does what is built on, found out by doing it; else `error` says what it lacks. */
bool ring_probe(char *error, size_t error_size);

/* ---- ring_peer.c */
/* Makes requests of what is to be done for the peers that were touched: writes, receives, ends. Calls nothing of them.
 * Who goes on with requests once its output is written waits for the round's end: else one connection had a turn of its
 * own between any two others. */
void ring_flush(struct shell_loop *loop, bool is_round_end);
/* Closes and frees the peers that ended, inside a turn. Peers are freed here alone. */
void ring_bury(struct shell_loop *loop);
/* After the requests were handed over: what was posted has been tried. */
void ring_settle_posts(struct shell_loop *loop);
/* Tells the core what the next completions bring, before they are taken one by one; answers how many those are. */
unsigned ring_look_ahead(struct shell_loop *loop);
void ring_take_receive(struct shell_loop *loop, const struct io_uring_cqe *cqe);
void ring_take_flight(struct shell_loop *loop, const struct io_uring_cqe *cqe);

static inline struct peer *ring_peer_of(const struct io_uring_cqe *cqe) {
    return (struct peer *)(uintptr_t)(cqe->user_data & ~(uint64_t)RING_KIND_MASK);
}

static inline enum ring_kind ring_kind_of(const struct io_uring_cqe *cqe) {
    return (enum ring_kind)(cqe->user_data & RING_KIND_MASK);
}

#endif
