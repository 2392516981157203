/* The transport over io_uring: one system call for each round of a loop, whatever the number of its connections.
 *
 * A round feeds everything that was received, then hands over all writes and waits for more, in one call. libuv's loop
 * hangs in the ring: its descriptor is polled by it and its timers bound the wait, and it runs, without waiting, only
 * when one of them is due. Always true: the core's turn ends before the ring waits, as before libuv would. On the
 * loop's thread, but for ring_open, ring_close and ring_probe (main). */
#include "uv/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---------------------------------------------------------------- opening and closing */

static const char *advice_on(int status) {
    if (status == -EPERM || status == -EACCES) return "kernel.io_uring_disabled or a filter of system calls forbids it";
    if (status == -EINVAL || status == -ENOSYS) return "it takes Linux 6.1";
    if (status == -EMFILE) return "raise the limit of open files (ulimit -n), or give fewer threads";
    return "there is not enough memory";
}

struct ring *ring_open(char *error, size_t error_size) {
    /* Completions are worked off only while the loop waits for them, by the one thread that hands over requests: then
     * none interrupts it. The thread is the one that enables the ring. */
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_R_DISABLED,
                                     .cq_entries = RING_COMPLETIONS};
    struct ring *ring = calloc(1, sizeof *ring);
    if (!ring) {
        snprintf(error, error_size, "there is not enough memory");
        return NULL;
    }
    list_init(&ring->touched);
    list_init(&ring->starved);
    list_init(&ring->ended);
    list_init(&ring->posted);
    ring->signal_fd = -1;
    int status = io_uring_queue_init_params(RING_ENTRIES, &ring->uring, &params);
    if (status < 0) {
        free(ring);
    } else {
        status = ring_buffers_open(ring);
        if (status == 0) ring->signal_fd = eventfd(0, EFD_CLOEXEC);
        if (status == 0 && ring->signal_fd < 0) status = -errno;
        if (status < 0) ring_close(ring);
    }
    if (status == 0) return ring;
    snprintf(error, error_size, "the system opens none (%s): %s", strerror(-status), advice_on(status));
    return NULL;
}

void ring_close(struct ring *ring) {
    io_uring_queue_exit(&ring->uring);
    ring_buffers_close(ring);
    if (ring->signal_fd >= 0) close(ring->signal_fd);
    free(ring);
}

/* By hand: liburing 2.3 declares a function for it, but does not export it. */
bool ring_enable(struct ring *ring) {
    return io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0;
}

/* ---------------------------------------------------------------- rounds */

void ring_signal(struct shell_loop *loop) {
    const uint64_t one = 1;
    if (!atomic_exchange(&loop->ring->is_signalled, true)) (void)!write(loop->ring->signal_fd, &one, sizeof one);
}

static void await_signal(struct ring *ring) {
    io_uring_prep_read(ring_request(ring, RING_SIGNAL, NULL), ring->signal_fd, &ring->signal_count,
                       sizeof ring->signal_count, 0);
}

static void poll_uv(struct shell_loop *loop) {
    struct ring *ring = loop->ring;
    if (ring->is_polling) return;
    ring->is_polling = true;
    io_uring_prep_poll_add(ring_request(ring, RING_POLL, NULL), uv_backend_fd(&loop->uv), POLLIN);
}

/* What passes: no memory for a moment, a signal, completions to be looked at first. All else is an error of this
 * program, after which nobody knows what is under way. */
static void check(int status) {
    if (status >= 0 || status == -ETIME || status == -EINTR || status == -EAGAIN || status == -EBUSY) return;
    log_event(LOG_ERROR, "ring_failed", LOG_TEXT("why", strerror(-status)));
    abort();
}

static void hand_over(struct io_uring *uring) {
    while (io_uring_sq_ready(uring) > 0) check(io_uring_submit(uring));
}

/* A write that was posted tells only of failure, and has been tried when the requests were handed over: so those
 * tidings are read first, and who is not among them has written everything. */
static void settle_posts(struct shell_loop *loop) {
    struct io_uring_cqe *cqe;
    unsigned head;
    if (list_is_empty(&loop->ring->posted)) return;
    io_uring_for_each_cqe(&loop->ring->uring, head, cqe) {
        if (ring_kind_of(cqe) != RING_POST) continue;
        ring_peer_of(cqe)->ring.post_result = cqe->res;
        cqe->user_data = RING_IGNORED; /* the peer may be gone when it is looked at again */
    }
    ring_settle_posts(loop);
}

/* Writes now what would wait for the end of the round. Inside a turn, or where one may begin. A turn pauses meanwhile:
 * most of a round's time goes by here, and whoever the system wakes by it may be given this processor. */
static void write_out(struct shell_loop *loop) {
    ring_bury(loop);
    ring_flush(loop, false);
    if (loop->is_in_turn) server_loop_pause(loop->core);
    hand_over(&loop->ring->uring);
    if (loop->is_in_turn) server_loop_resume(loop->core);
    settle_posts(loop);
}

/* What waits to be written or closed comes first, since libuv's callbacks may take their time, or need the place of a
 * connection that ends. The poll is of one shot, and begins anew after libuv has looked: so nothing that libuv left is
 * missed. */
static void run_uv(struct shell_loop *loop) {
    struct ring *ring = loop->ring;
    uv_update_time(&loop->uv);
    if (!ring->is_uv_ready && uv_backend_timeout(&loop->uv) != 0) return;
    ring->is_uv_ready = false;
    write_out(loop);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    poll_uv(loop);
}

/* Hands over all requests, and waits until something has completed or libuv's next timer is due. */
static void enter(struct shell_loop *loop) {
    struct ring *ring = loop->ring;
    struct io_uring *uring = &ring->uring;
    struct io_uring_cqe *first;
    bool may_wait =
        ring->may_wait && list_is_empty(&ring->touched) && list_is_empty(&ring->starved) && list_is_empty(&ring->ended);
    int timeout_ms = may_wait ? uv_backend_timeout(&loop->uv) : 0;
    struct __kernel_timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
    int status = timeout_ms == 0
                     ? io_uring_submit_and_get_events(uring)
                     : io_uring_submit_and_wait_timeout(uring, &first, 1, timeout_ms < 0 ? NULL : &timeout, NULL);
    check(status);
    hand_over(uring); /* what was left, because memory was short for a moment */
}

/* Between answering and receiving, when nothing waits for this loop but the system: what is received before would have
 * left the cache when it is fed, and answers would leave so much later. */
static void give_way(struct shell_loop *loop) {
    if (!loop_is_to_yield(loop)) return;
    hand_over(&loop->ring->uring);
    loop_yield(loop);
}

static void take_completion(struct shell_loop *loop, const struct io_uring_cqe *cqe) {
    struct ring *ring = loop->ring;
    switch (ring_kind_of(cqe)) {
    case RING_POLL:
        ring->is_polling = false;
        ring->is_uv_ready = true;
        break;
    case RING_SIGNAL:
        await_signal(ring);
        atomic_store(&ring->is_signalled, false); /* first: who signals from now on writes again */
        loop_take_signal(loop);
        break;
    case RING_RECEIVE: ring_take_receive(loop, cqe); break;
    case RING_FLIGHT: ring_take_flight(loop, cqe); break;
    case RING_POST:
    case RING_IGNORED: break;
    }
}

static void take_completions(struct shell_loop *loop) {
    struct ring *ring = loop->ring;
    unsigned ahead = 0; /* completions that were looked at ahead */
    struct io_uring_cqe *cqe;
    settle_posts(loop);
    while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        if (ahead == 0) ahead = ring_look_ahead(loop);
        ahead--;
        take_completion(loop, cqe);
        io_uring_cqe_seen(&ring->uring, cqe);
        if (ring->posted_bytes >= RING_POSTED_BYTES_MAX) write_out(loop);
    }
    ring_buffers_return(ring);
}

void ring_run(struct shell_loop *loop) {
    struct ring *ring = loop->ring;
    check(ring_enable(ring) ? 0 : -errno);
    io_uring_register_ring_fd(&ring->uring); /* spares looking it up; without it all works as well */
    uv_prepare_stop(&loop->prepare);         /* the ring settles; else what is due would have two slices in a round */
    ring->is_uv_ready = true;
    await_signal(ring);
    for (;;) {
        run_uv(loop);
        if (loop->is_over) break;
        ring_bury(loop);
        loop_settle(loop);
        ring->may_wait = true;
        ring_flush(loop, true);
        give_way(loop);
        enter(loop);
        take_completions(loop);
    }
}
