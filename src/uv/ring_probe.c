/* Finds out whether the kernel's io_uring does what the transport is built on, by doing it once on a pair of sockets.
 *
 * Version numbers and feature bits tell less: the transport needs that a send which may not wait is over when it was
 * handed over, and speaks only when it did not go out whole. On the main thread, at the start. */
#include "uv/ring.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_TIMEOUT_S   2
#define PROBE_BYTES_SMALL 5
#define PROBE_BYTES_LARGE (RING_BUFFERS * RING_BUFFER_BYTES) /* more than such a socket takes at once */

struct probe {
    struct ring *ring;
    int fds[2]; /* what is sent into the second is received from the first */
};

/* The next completion is of `kind`; true then, with what it says. */
static bool next_is(struct ring *ring, enum ring_kind kind, int *result, unsigned *flags) {
    struct __kernel_timespec timeout = {.tv_sec = PROBE_TIMEOUT_S};
    struct io_uring_cqe *cqe;
    if (io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &timeout, NULL) < 0) return false;
    if (io_uring_peek_cqe(&ring->uring, &cqe) < 0) return false;
    bool is_kind = ring_kind_of(cqe) == kind;
    *result = cqe->res;
    *flags = cqe->flags;
    io_uring_cqe_seen(&ring->uring, cqe);
    return is_kind;
}

static void post(struct probe *probe, int fd, const void *data, size_t size) {
    ring_prepare_post(ring_request(probe->ring, RING_POST, NULL), fd, bytes_of(data, size));
}

/* A receive lives on from one message to the next, and the sends that cause it say nothing. */
static bool receives(struct probe *probe) {
    int result;
    unsigned flags;
    ring_prepare_receive(ring_request(probe->ring, RING_RECEIVE, NULL), probe->fds[0], true);
    for (int i = 0; i < 2; i++) {
        post(probe, probe->fds[1], "probe", PROBE_BYTES_SMALL);
        if (!next_is(probe->ring, RING_RECEIVE, &result, &flags) || result != PROBE_BYTES_SMALL) return false;
        if (!(flags & IORING_CQE_F_MORE) || !(flags & IORING_CQE_F_BUFFER)) return false;
    }
    return true;
}

/* A send that does not fit says how much did, and one that finds no room says so at once. */
static bool tells_of_short_sends(struct probe *probe) {
    int result;
    unsigned flags;
    post(probe, probe->fds[0], probe->ring->buffers[RING_LIGHT].memory, PROBE_BYTES_LARGE);
    if (!next_is(probe->ring, RING_POST, &result, &flags) || result <= 0 || result >= PROBE_BYTES_LARGE) return false;
    post(probe, probe->fds[0], probe->ring->buffers[RING_LIGHT].memory, PROBE_BYTES_LARGE);
    return next_is(probe->ring, RING_POST, &result, &flags) && result == -EAGAIN;
}

static bool cancels(struct probe *probe) {
    int result;
    unsigned flags;
    ring_cancel(probe->ring, RING_RECEIVE, NULL);
    return next_is(probe->ring, RING_RECEIVE, &result, &flags) && !(flags & IORING_CQE_F_MORE);
}

static bool probe_run(struct probe *probe, char *error, size_t error_size) {
    const char *lacking = NULL;
    const int least = 1; /* as little as the system makes it */
    setsockopt(probe->fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    if (!ring_enable(probe->ring))
        lacking = "it cannot be enabled";
    else if (!receives(probe))
        lacking = "this kernel's receives do not live on";
    else if (!tells_of_short_sends(probe))
        lacking = "this kernel does not tell of short sends";
    else if (!cancels(probe))
        lacking = "this kernel does not cancel receives";
    if (lacking) snprintf(error, error_size, "%s", lacking);
    return !lacking;
}

bool ring_probe(char *error, size_t error_size) {
    struct probe probe = {.ring = ring_open(error, error_size)};
    if (!probe.ring) return false;
    bool is_fit = false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, probe.fds) < 0) {
        snprintf(error, error_size, "no sockets can be made: %s", strerror(errno));
    } else {
        is_fit = probe_run(&probe, error, error_size);
        close(probe.fds[0]);
        close(probe.fds[1]);
    }
    ring_close(probe.ring);
    return is_fit;
}
