/* The transport over libuv's streams: works wherever libuv does.
 *
 * The happy path of a request is one read and one uv_try_write: no allocation, no epoll_ctl, no timer. Always true:
 * what flies belongs to libuv until on_written; of a peer that is cut nothing is called but on_closed. On the loop's
 * thread. */
#include "uv/internal.h"

static struct peer *peer_of(const uv_handle_t *handle) {
    return handle->data;
}

static void uv_link_run(struct shell_loop *loop) {
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void uv_link_signal(struct shell_loop *loop) {
    uv_async_send(&loop->async);
}

static int uv_link_open(struct peer *peer, bool is_unix) {
    struct uv_link *link = &peer->uv;
    int status = is_unix ? uv_pipe_init(&peer->loop->uv, &link->pipe, 0) : uv_tcp_init(&peer->loop->uv, &link->tcp);
    link->handle.data = peer;
    if (status < 0) return status;
    return is_unix ? uv_pipe_open(&link->pipe, peer->fd) : uv_tcp_open(&link->tcp, peer->fd);
}

/* ---------------------------------------------------------------- reading */

/* libuv would read up to 32 times while the buffer comes back full, and one connection would hold up all others. A
 * buffer of no size ends that loop; epoll then reports the connection again in the next turn. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    struct peer *peer = peer_of(handle);
    (void)suggested;
    bool may_read = !peer->uv.has_filled_buffer;
    peer->uv.has_filled_buffer = false;
    *out = uv_buf_init(may_read ? (char *)peer->loop->read_buffer : NULL, may_read ? READ_BUFFER_BYTES : 0);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct peer *peer = stream->data;
    if (count == 0 || count == UV_ENOBUFS || peer->is_closed) return;
    if (count < 0) {
        peer_input_ended(peer, count == UV_EOF ? 0 : (int)count);
        return;
    }
    peer->uv.has_filled_buffer = count == READ_BUFFER_BYTES;
    peer_received(peer, (uint8_t *)buffer->base, (size_t)count);
}

static void uv_link_read(struct peer *peer, bool shall_read) {
    peer->uv.has_filled_buffer = false;
    if (shall_read)
        uv_read_start(&peer->uv.stream, on_alloc, on_read);
    else
        uv_read_stop(&peer->uv.stream);
}

/* ---------------------------------------------------------------- writing */

static ssize_t uv_link_write(struct peer *peer, struct bytes bytes) {
    uv_buf_t buffer = uv_buf_init((char *)bytes.data, (unsigned)bytes.size);
    int written = uv_try_write(&peer->uv.stream, &buffer, 1);
    return written == UV_EAGAIN ? 0 : written;
}

static void on_written(uv_write_t *request, int status) {
    struct peer *peer = request->handle->data;
    if (!peer->is_closed) peer_landed(peer, status); /* else peer_closed lands it */
}

static int uv_link_fly(struct peer *peer, struct bytes bytes) {
    uv_buf_t buffer = uv_buf_init((char *)bytes.data, (unsigned)bytes.size);
    return uv_write(&peer->uv.write, &peer->uv.stream, &buffer, 1, on_written);
}

static size_t uv_link_unsent(const struct peer *peer) {
    return uv_stream_get_write_queue_size(&peer->uv.stream);
}

/* ---------------------------------------------------------------- ending */

static void on_shut_down(uv_shutdown_t *request, int status) {
    struct peer *peer = request->handle->data;
    if (status < 0 && status != UV_ECANCELED) {
        loop_enter_turn(peer->loop);
        peer_cut(peer, CUT_DONE);
    }
}

static int uv_link_shut_down(struct peer *peer) {
    assert(!peer->is_flying); /* the two requests share their memory */
    return uv_shutdown(&peer->uv.shutdown, &peer->uv.stream, on_shut_down);
}

static void on_closed(uv_handle_t *handle) {
    peer_closed(peer_of(handle));
}

static void uv_link_close(struct peer *peer) {
    uv_close(&peer->uv.handle, on_closed);
}

const struct transport transport_libuv = {.name = "libuv",
                                          .run = uv_link_run,
                                          .signal = uv_link_signal,
                                          .open = uv_link_open,
                                          .read = uv_link_read,
                                          .write = uv_link_write,
                                          .fly = uv_link_fly,
                                          .unsent = uv_link_unsent,
                                          .shut_down = uv_link_shut_down,
                                          .close = uv_link_close};
