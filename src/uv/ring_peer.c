/* What one connection does on the ring: it receives by one request that lives on, writes once in each round, ends when
 * nothing of it is under way.
 *
 * What a callback wants is only noted (touch, let_go); ring_flush makes requests of it, ring_bury frees. Always true:
 * one receive and one send are under way at most; a post lives from ring_flush to ring_settle_posts, and between the
 * two nothing touches any peer. On the loop's thread. */
#include "uv/ring.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL_TAKEN INT_MAX
#define LOOK_AHEAD_BYTES_MAX                                                                                           \
    1024 /* more is several requests, whose memory their batch asks for, or one that is work                           \
          */

static struct ring *ring_of(const struct peer *peer) {
    return peer->loop->ring;
}

static void touch(struct peer *peer) {
    if (list_is_empty(&peer->ring.link)) list_append(&ring_of(peer)->touched, &peer->ring.link);
}

/* Of a peer that is closed: nothing is under way any more, or else what is under way is to end. */
static void let_go(struct peer *peer) {
    list_remove(&peer->ring.starved_link);
    bool is_free = !peer->ring.is_armed && !peer->ring.is_sending && !peer->is_posted;
    if (!is_free) {
        touch(peer);
        return;
    }
    list_remove(&peer->ring.link);
    list_append(&ring_of(peer)->ended, &peer->ring.link);
}

static int ring_peer_open(struct peer *peer, bool is_unix) {
    (void)is_unix;
    list_init(&peer->ring.link);
    list_init(&peer->ring.starved_link);
    return 0;
}

/* ---------------------------------------------------------------- receiving */

static void ring_read(struct peer *peer, bool shall_read) {
    (void)shall_read; /* stands in is_reading */
    touch(peer);
}

/* An endless receive begins anew by itself as long as there is input and a buffer: the kernel takes up to 32 buffers
 * for one connection before the next one's has its turn, so that two that send without end would have all of them for
 * ever, and whoever else is armed would find none, whatever the order in which they came. It is cheap for who sends
 * little, and they alone have one; who fills buffer after buffer (weigh) receives one large buffer in a round. */
static void arm(struct peer *peer) {
    peer->ring.is_endless = peer->ring.heavy_left == 0;
    ring_prepare_receive(ring_request(ring_of(peer), RING_RECEIVE, peer), peer->fd, peer->ring.is_endless);
    peer->ring.is_armed = true;
}

static void weigh(struct ring_link *link, size_t size) {
    bool is_full = size >= RING_BUFFER_BYTES;
    link->fill_count = is_full ? link->fill_count + 1 : 0;
    if (link->fill_count >= RING_HEAVY_FILLS || (is_full && link->heavy_left > 0))
        link->heavy_left = RING_HEAVY_RECEIVES;
    else if (link->heavy_left > 0)
        link->heavy_left--;
}

/* Its last completion still comes, and with it, or before, what was received until now. */
static void disarm(struct peer *peer) {
    if (!peer->ring.is_armed || peer->ring.is_cancelling) return;
    ring_cancel(ring_of(peer), RING_RECEIVE, peer);
    peer->ring.is_cancelling = true;
}

static void settle_reading(struct peer *peer) {
    bool shall_read = peer->is_reading && !peer->has_ended;
    bool has_wrong_kind = peer->ring.is_endless && peer->ring.heavy_left > 0;
    bool is_starved = !list_is_empty(&peer->ring.starved_link);
    if (!shall_read) list_remove(&peer->ring.starved_link);
    if (shall_read && !peer->ring.is_armed && !is_starved)
        arm(peer);
    else if (!shall_read || has_wrong_kind)
        disarm(peer);
}

/* Those whom no buffer was left for, first come first served, no more than there are buffers, and where a round ends,
 * when all of them are free. Tried among the others they lose their place whenever they find none: with a thousand
 * connections that send much at once, one in a hundred waited for a second. */
static void feed_starved(struct ring *ring) {
    for (unsigned i = 0; i < RING_BUFFERS && !list_is_empty(&ring->starved); i++) {
        struct peer *peer = LIST_ENTRY(ring->starved.next, struct peer, ring.starved_link);
        list_remove(&peer->ring.starved_link);
        settle_reading(peer);
    }
}

/* Always inline: the compiler takes what only asks for memory for nothing, and leaves calls of it out. */
static inline __attribute__((always_inline)) void peer_prefetch(const struct peer *peer) {
    for (size_t at = 0; at < sizeof *peer; at += 64) __builtin_prefetch((const char *)peer + at, 1);
}

/* The bytes of a receive that completed; absent: it has none. */
static struct bytes received(const struct ring *ring, const struct io_uring_cqe *cqe) {
    bool is_endless = ring_peer_of(cqe)->ring.is_endless;
    if (cqe->res <= 0) return BYTES_ABSENT;
    return bytes_of(ring_buffer_of(&ring->buffers[is_endless ? RING_LIGHT : RING_HEAVY], cqe), (size_t)cqe->res);
}

/* A peer is there as long as one of its receives was not looked at, and what was received until the round's end. */
unsigned ring_look_ahead(struct shell_loop *loop) {
    struct conn_input inputs[ANTICIPATED_MAX];
    struct io_uring_cqe *cqe, *receives[ANTICIPATED_MAX];
    unsigned head, completions = 0, receive_count = 0, count = 0;
    io_uring_for_each_cqe(&loop->ring->uring, head, cqe) {
        if (completions == ANTICIPATED_MAX) break;
        completions++;
        if (ring_kind_of(cqe) != RING_RECEIVE || cqe->res > LOOK_AHEAD_BYTES_MAX) continue;
        peer_prefetch(ring_peer_of(cqe));
        receives[receive_count++] = cqe;
    }
    for (unsigned i = 0; i < receive_count; i++) {
        struct bytes bytes = received(loop->ring, receives[i]);
        if (bytes.data) inputs[count++] = (struct conn_input){ring_peer_of(receives[i])->conn, bytes};
    }
    if (count > 1) {
        loop_enter_turn(loop);
        server_loop_anticipate(loop->core, inputs, count);
    }
    return completions;
}

void ring_take_receive(struct shell_loop *loop, const struct io_uring_cqe *cqe) {
    struct peer *peer = ring_peer_of(cqe);
    struct ring_buffers *buffers = &loop->ring->buffers[peer->ring.is_endless ? RING_LIGHT : RING_HEAVY];
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        peer->ring.is_armed = peer->ring.is_cancelling = false;
        if (cqe->res == -ENOBUFS)
            list_append(&loop->ring->starved, &peer->ring.starved_link);
        else
            touch(peer);
        if (peer->is_closed) let_go(peer);
    }
    if (cqe->res > 0) {
        weigh(&peer->ring, (size_t)cqe->res);
        if (peer->ring.heavy_left > 0 && peer->ring.is_endless) touch(peer);
        peer_received(peer, ring_buffer_of(buffers, cqe), (size_t)cqe->res);
    } else if (cqe->res != -ENOBUFS && cqe->res != -ECANCELED && !peer->is_closed) {
        peer_input_ended(peer, cqe->res);
    }
    ring_buffer_give(buffers, cqe);
}

/* ---------------------------------------------------------------- writing */

static void send_post(struct peer *peer) {
    ring_prepare_post(ring_request(ring_of(peer), RING_POST, peer), peer->fd, conn_output(peer->conn));
    peer->ring.post_result = ALL_TAKEN;
    ring_of(peer)->may_wait &= peer_is_settled(peer);
    list_append(&ring_of(peer)->posted, &peer->ring.link);
}

void ring_settle_posts(struct shell_loop *loop) {
    struct list *posted = &loop->ring->posted;
    loop->ring->posted_bytes = 0;
    while (!list_is_empty(posted)) {
        struct peer *peer = LIST_ENTRY(posted->next, struct peer, ring.link);
        int result = peer->ring.post_result;
        list_remove(&peer->ring.link);
        peer_took(peer, result == ALL_TAKEN ? (ssize_t)conn_output(peer->conn).size : result);
        if (peer->is_closed) let_go(peer);
    }
}

static void ring_post(struct peer *peer) {
    if (peer_is_settled(peer)) ring_of(peer)->posted_bytes += conn_output(peer->conn).size;
    touch(peer);
}

/* Waits until the system takes some, and tells how much. */
static void send_flight(struct peer *peer) {
    struct io_uring_sqe *sqe = ring_request(ring_of(peer), RING_FLIGHT, peer);
    io_uring_prep_send(sqe, peer->fd, peer->ring.rest.data, peer->ring.rest.size, MSG_NOSIGNAL);
    peer->ring.is_sending = true;
}

static int ring_fly(struct peer *peer, struct bytes bytes) {
    peer->ring.rest = bytes;
    send_flight(peer);
    return 0;
}

static size_t ring_unsent(const struct peer *peer) {
    return peer->ring.rest.size;
}

void ring_take_flight(struct shell_loop *loop, const struct io_uring_cqe *cqe) {
    struct peer *peer = ring_peer_of(cqe);
    (void)loop;
    peer->ring.is_sending = false;
    if (peer->is_closed) {
        let_go(peer);
        return;
    }
    if (cqe->res > 0)
        peer->ring.rest = bytes_of(peer->ring.rest.data + cqe->res, peer->ring.rest.size - (size_t)cqe->res);
    bool is_passing = cqe->res >= 0 || cqe->res == -EINTR || cqe->res == -EAGAIN;
    if (is_passing && peer->ring.rest.size > 0)
        send_flight(peer);
    else
        peer_landed(peer, is_passing ? 0 : cqe->res);
}

/* ---------------------------------------------------------------- ending */

static int ring_shut_down(struct peer *peer) {
    return shutdown(peer->fd, SHUT_WR) < 0 ? -errno : 0;
}

/* A socket of which a request is under way would stay open for the other side though it is closed here. */
static void end_requests(struct peer *peer) {
    if (peer->ring.is_ending) return;
    peer->ring.is_ending = true;
    disarm(peer);
    if (peer->ring.is_sending) ring_cancel(ring_of(peer), RING_FLIGHT, peer);
    shutdown(peer->fd, SHUT_RDWR); /* ends also what cannot be cancelled just now */
}

void ring_bury(struct shell_loop *loop) {
    struct list *ended = &loop->ring->ended;
    while (!list_is_empty(ended)) {
        struct peer *peer = LIST_ENTRY(ended->next, struct peer, ring.link);
        list_remove(&peer->ring.link);
        close(peer->fd);
        peer_closed(peer);
    }
}

static void flush_peer(struct peer *peer) {
    if (!peer->is_closed) settle_reading(peer);
    if (peer->is_posted)
        send_post(peer);
    else if (peer->is_closed)
        end_requests(peer);
}

void ring_flush(struct shell_loop *loop, bool is_round_end) {
    struct ring *ring = loop->ring;
    struct list later;
    struct io_uring *uring = &ring->uring;
    if (io_uring_cq_has_overflow(uring) || io_uring_cq_ready(uring) > RING_FLUSH_COMPLETIONS_MAX) return;
    list_init(&later);
    if (is_round_end) feed_starved(ring);
    for (unsigned i = 0; i < RING_FLUSH_MAX && !list_is_empty(&ring->touched); i++) {
        struct peer *peer = LIST_ENTRY(ring->touched.next, struct peer, ring.link);
        list_remove(&peer->ring.link);
        if (is_round_end || !peer->is_posted || peer_is_settled(peer))
            flush_peer(peer);
        else
            list_append(&later, &peer->ring.link);
    }
    while (!list_is_empty(&later)) {
        struct list *link = later.next;
        list_remove(link);
        list_append(&ring->touched, link);
    }
}

static void ring_rest(struct shell_loop *loop) {
    struct io_uring *uring = &loop->ring->uring;
    if (!io_uring_cq_has_overflow(uring) && io_uring_cq_ready(uring) == 0) ring_buffers_rest(loop->ring);
}

const struct transport transport_ring = {.name = "io_uring",
                                         .run = ring_run,
                                         .signal = ring_signal,
                                         .open = ring_peer_open,
                                         .read = ring_read,
                                         .post = ring_post,
                                         .fly = ring_fly,
                                         .unsent = ring_unsent,
                                         .shut_down = ring_shut_down,
                                         .rest = ring_rest,
                                         .close = let_go};
