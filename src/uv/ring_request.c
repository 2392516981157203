/* The requests of the io_uring transport, each prepared in one place. On the thread that runs the ring. */
#include "uv/ring.h"

#include <sys/socket.h>

struct io_uring_sqe *ring_request(struct ring *ring, enum ring_kind kind, struct peer *peer) {
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&ring->uring))) io_uring_submit(&ring->uring);
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)peer | kind); /* preparing leaves it alone */
    return sqe;
}

void ring_prepare_receive(struct io_uring_sqe *sqe, int fd, bool is_endless) {
    if (is_endless)
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, fd, NULL, RING_HEAVY_BUFFER_BYTES, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = is_endless ? RING_LIGHT : RING_HEAVY;
}

void ring_prepare_post(struct io_uring_sqe *sqe, int fd, struct bytes bytes) {
    io_uring_prep_send(sqe, fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* By its user_data, which the kernel looks up; by the socket it would go through all connections. */
void ring_cancel(struct ring *ring, enum ring_kind kind, struct peer *peer) {
    struct io_uring_sqe *sqe = ring_request(ring, RING_IGNORED, NULL);
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)peer | kind, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}
