/* One connection on libuv: reads into the loop's buffer, feeds the core, writes what comes back.
 *
 * The happy path of a request is one read, one conn_feed, one uv_try_write: no allocation, no epoll_ctl, no timer.
 * Always true: at most one write flies and its request stands in the peer; what flies belongs to libuv until
 * on_written; a peer that is cut does nothing more but wait for libuv's close callback. A peer reads while the core
 * says READING, and while it lingers. Everything here runs on the loop's thread, inside a turn. */
#include "uv/internal.h"

#include "config/address.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out);
static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);
static void on_written(uv_write_t *request, int status);

/* ---------------------------------------------------------------- beginning */

static int64_t limit_of(const _Atomic int64_t *limit) {
    return atomic_load_explicit(limit, memory_order_relaxed);
}

/* The acceptor looks at these of all loops when the server is full. */
static void silent_publish(struct shell_loop *loop, int more) {
    int64_t oldest = INT64_MAX;
    if (!list_is_empty(&loop->silent)) oldest = LIST_ENTRY(loop->silent.next, struct peer, link)->opened_at;
    atomic_fetch_add_explicit(&loop->silent_count, (unsigned)more, memory_order_relaxed);
    atomic_store_explicit(&loop->oldest_silent_at, oldest, memory_order_relaxed);
}

static void count_closed(struct shell_loop *loop) {
    atomic_fetch_sub_explicit(&loop->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->shell->connection_count, 1, memory_order_relaxed);
}

static int peer_stream_open(struct peer *peer, int fd, bool is_unix) {
    int status = is_unix ? uv_pipe_init(&peer->loop->uv, &peer->pipe, 0) : uv_tcp_init(&peer->loop->uv, &peer->tcp);
    if (status < 0) return status;
    status = is_unix ? uv_pipe_open(&peer->pipe, fd) : uv_tcp_open(&peer->tcp, fd);
    if (status < 0 || is_unix) return status;
    int64_t keepalive_ms = limit_of(&peer->loop->shell->limits.tcp_keepalive_ms);
    uv_tcp_nodelay(&peer->tcp, 1);
    if (keepalive_ms) uv_tcp_keepalive(&peer->tcp, 1, (unsigned)((keepalive_ms + 999) / 1000));
    return 0;
}

static void on_closed(uv_handle_t *handle) {
    struct peer *peer = handle->data;
    loop_enter_turn(peer->loop);
    if (peer->is_flying) list_remove(&peer->flying_link);
    if (peer->is_flying && peer->conn) conn_output_landed(peer->conn);
    if (peer->conn) conn_close(peer->conn);
    count_closed(peer->loop);
    free(peer);
}

static void peer_start_reading(struct peer *peer, bool shall_read) {
    if (shall_read == peer->is_reading) return;
    peer->is_reading = shall_read;
    peer->has_filled_buffer = false;
    if (shall_read)
        uv_read_start(&peer->stream, on_alloc, on_read);
    else
        uv_read_stop(&peer->stream);
}

void peer_open(struct shell_loop *loop, int fd, bool is_unix) {
    int64_t now_ms = loop_now_ms(loop);
    struct peer *peer = calloc(1, sizeof *peer);
    loop_enter_turn(loop);
    if (!peer) {
        close(fd);
        count_closed(loop);
        return;
    }
    *peer = (struct peer){.loop = loop, .opened_at = now_ms, .active_at = now_ms, .waits_from_now = true};
    list_init(&peer->flying_link);
    list_append(&loop->silent, &peer->link);
    silent_publish(loop, 1);
    int status = peer_stream_open(peer, fd, is_unix);
    peer->handle.data = peer;
    if (status < 0) close(fd); /* else it belongs to the handle */
    peer->conn = status < 0 ? NULL : conn_open(loop->core, now_ms);
    if (!peer->conn) {
        peer_cut(peer, CUT_GONE);
        return;
    }
    conn_set_context(peer->conn, peer);
    peer_start_reading(peer, true);
}

/* ---------------------------------------------------------------- ending */

struct cut_info {
    const char *name; /* in the log */
    int metric;       /* -1: none of its own */
    enum log_level level;
};

static const struct cut_info cut_infos[CUT_COUNT] = {
    [CUT_GONE] = {"gone", -1, LOG_DEBUG},
    [CUT_DONE] = {"done", -1, LOG_DEBUG},
    [CUT_SLOW_READER] = {"slow_reader", METRIC_SLOW_READERS_TOTAL, LOG_WARN},
    [CUT_OUTPUT] = {"max_output", METRIC_SLOW_READERS_TOTAL, LOG_WARN},
    [CUT_SILENT] = {"handshake_timeout", METRIC_TIMED_OUT_TOTAL, LOG_INFO},
    [CUT_IDLE] = {"connection_idle_timeout", METRIC_TIMED_OUT_TOTAL, LOG_INFO},
    [CUT_EVICTED] = {"max_connections", METRIC_EVICTED_CONNECTIONS_TOTAL, LOG_WARN},
    [CUT_DRAIN] = {"drain_timeout", -1, LOG_WARN},
};

static void peer_name(struct peer *peer, char *out, size_t size) {
    struct sockaddr_storage address = {0};
    int address_size = sizeof address;
    if (peer->handle.type == UV_TCP) uv_tcp_getpeername(&peer->tcp, (struct sockaddr *)&address, &address_size);
    address_format(&address, out, size);
}

static void peer_log_cut(struct peer *peer, const struct cut_info *info) {
    char name[80];
    if (!log_is_on(info->level)) return;
    peer_name(peer, name, sizeof name);
    log_event(info->level, "connection_cut", LOG_TEXT("why", info->name), LOG_TEXT("peer", name),
              LOG_INT("age_ms", loop_now_ms(peer->loop) - peer->opened_at),
              LOG_INT("output_bytes", peer->conn ? conn_output_pending(peer->conn) : 0));
}

/* Leaves the list that it is in; the loop's figures about silent ones follow. */
static void peer_leave_list(struct peer *peer) {
    bool is_silent = !peer->has_spoken && !peer->is_lingering;
    list_remove(&peer->link);
    if (is_silent) silent_publish(peer->loop, -1);
}

void peer_cut(struct peer *peer, enum cut why) {
    const struct cut_info *info = &cut_infos[why];
    if (peer->is_closed) return;
    peer_log_cut(peer, info);
    if (info->metric >= 0) metric_add(peer->loop->metrics, (enum metric)info->metric, 1);
    if (peer->conn) conn_end_waiting(peer->conn); /* now: closing takes until the loop's next round */
    peer_leave_list(peer);
    peer->is_closed = true;
    uv_close(&peer->handle, on_closed);
}

static void on_shut_down(uv_shutdown_t *request, int status) {
    struct peer *peer = request->handle->data;
    if (status < 0 && status != UV_ECANCELED) {
        loop_enter_turn(peer->loop);
        peer_cut(peer, CUT_DONE);
    }
}

/* The last word is written. Closing while the peer still sends would have the system answer with a reset, and a reset
 * can overtake that word: so it is told that nothing more comes, and what it sends meanwhile is thrown away. */
void peer_linger(struct peer *peer) {
    if (peer->is_lingering || peer->is_closed) return;
    assert(!peer->is_flying); /* the two requests share their memory */
    if (uv_shutdown(&peer->shutdown, &peer->stream, on_shut_down) < 0) {
        peer_cut(peer, CUT_DONE);
        return;
    }
    peer_leave_list(peer);
    peer->is_lingering = true;
    peer->opened_at = loop_now_ms(peer->loop);
    list_append(&peer->loop->lingering, &peer->link);
    peer_start_reading(peer, true);
}

static void peer_discard(struct peer *peer, ssize_t count) {
    if (count > 0) peer->discarded_bytes += (size_t)count;
    if (count < 0 || peer->discarded_bytes > LINGER_BYTES_MAX) peer_cut(peer, CUT_DONE);
}

/* ---------------------------------------------------------------- writing */

static void peer_fly(struct peer *peer, int64_t now_ms) {
    struct bytes bytes = conn_output_fly(peer->conn);
    uv_buf_t buffer = uv_buf_init((char *)bytes.data, (unsigned)bytes.size);
    peer->is_flying = true;
    peer->flight_bytes = bytes.size;
    list_append(&peer->loop->flying, &peer->flying_link);
    if (peer->waits_from_now) {
        peer->slow_since = now_ms;
        peer->slow_mark = peer->taken_bytes;
        peer->waits_from_now = false;
    }
    if (uv_write(&peer->write, &peer->stream, &buffer, 1, on_written) == 0) return;
    list_remove(&peer->flying_link);
    peer->is_flying = false;
    conn_output_landed(peer->conn);
    peer_cut(peer, CUT_GONE);
}

/* Writes at once what the system takes, if it may; the rest flies. */
static void peer_write(struct peer *peer, bool may_try, int64_t now_ms) {
    struct bytes output = conn_output(peer->conn);
    if (output.size == 0 || peer->is_flying) return;
    if (may_try) {
        uv_buf_t buffer = uv_buf_init((char *)output.data, (unsigned)output.size);
        int written = uv_try_write(&peer->stream, &buffer, 1);
        if (written == UV_EAGAIN) written = 0;
        if (written < 0) {
            peer_cut(peer, CUT_GONE);
            return;
        }
        conn_output_sent(peer->conn, (size_t)written);
        peer->taken_bytes += (size_t)written;
        if ((size_t)written == output.size) {
            peer->waits_from_now = true;
            return;
        }
    }
    peer_fly(peer, now_ms);
}

static void on_written(uv_write_t *request, int status) {
    struct peer *peer = request->handle->data;
    if (peer->is_closed) return; /* on_closed lands it */
    loop_enter_turn(peer->loop);
    list_remove(&peer->flying_link);
    peer->is_flying = false;
    peer->taken_bytes += peer->flight_bytes;
    conn_output_landed(peer->conn);
    if (status < 0) {
        peer_cut(peer, CUT_GONE);
        return;
    }
    if (conn_output(peer->conn).size == 0) peer->waits_from_now = true;
    int64_t now_ms = loop_now_ms(peer->loop);
    peer_pump(peer, conn_resume(peer->conn, now_ms), now_ms);
}

bool peer_is_slow(struct peer *peer, int64_t now_ms) {
    assert(peer->is_flying);
    uint64_t taken = peer->taken_bytes + peer->flight_bytes - uv_stream_get_write_queue_size(&peer->stream);
    if (taken - peer->slow_mark >= SLOW_READER_BYTES_MIN) {
        peer->slow_mark = taken;
        peer->slow_since = now_ms;
    }
    return now_ms - peer->slow_since >= limit_of(&peer->loop->shell->limits.slow_reader_timeout_ms);
}

bool peer_is_owed(const struct peer *peer) {
    return peer->is_flying || (peer->conn && !peer->is_lingering && conn_is_owed(peer->conn));
}

bool peer_is_watching(const struct peer *peer) {
    return peer->conn && conn_is_watching(peer->conn);
}

bool peer_is_quiet(const struct peer *peer, int64_t now_ms) {
    uv_os_fd_t fd;
    int unread = 0;
    if (uv_fileno(&peer->handle, &fd) == 0) ioctl(fd, FIONREAD, &unread);
    return unread == 0 && now_ms - peer->active_at >= DRAIN_TICK_MS;
}

/* ---------------------------------------------------------------- both */

/* Writes and goes on with waiting input by turns, as long as the system takes everything at once: a flight instead
 * would cost two epoll_ctl for a reader that is not slow. After some rounds the others' turn has come: the next page
 * flies, and its landing goes on in the next turn. */
static enum conn_state peer_alternate(struct peer *peer, enum conn_state state, int64_t now_ms) {
    for (unsigned round = 0; !peer->is_closed; round++) {
        peer_write(peer, round < WRITE_ROUNDS_MAX, now_ms);
        if (state != CONN_PAUSED || peer->is_flying || peer->is_closed) break;
        state = conn_resume(peer->conn, now_ms);
        if (state == CONN_PAUSED && conn_output(peer->conn).size == 0) break; /* the engine's turn: on_output goes on */
    }
    return state;
}

void peer_pump(struct peer *peer, enum conn_state state, int64_t now_ms) {
    if (peer->is_closed || peer->is_lingering) return;
    state = peer_alternate(peer, state, now_ms);
    if (peer->is_closed) return;
    if ((int64_t)conn_output_pending(peer->conn) > limit_of(&peer->loop->shell->limits.max_output)) {
        peer_cut(peer, CUT_OUTPUT);
        return;
    }
    peer_start_reading(peer, state == CONN_READING && !peer->has_ended);
    if (peer->is_flying) return;
    if (state == CONN_CLOSING)
        peer_linger(peer);
    else if (peer->has_ended && !conn_is_owed(peer->conn))
        peer_cut(peer, CUT_DONE);
}

static void peer_notice_speech(struct peer *peer) {
    if (peer->has_spoken || peer->is_closed || peer->is_lingering || !conn_has_spoken(peer->conn)) return;
    peer_leave_list(peer);
    peer->has_spoken = true;
    list_append(&peer->loop->spoken, &peer->link);
}

/* libuv would read up to 32 times while the buffer comes back full, and one connection would hold up all others. A
 * buffer of no size ends that loop; epoll then reports the connection again in the next turn. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    struct peer *peer = handle->data;
    (void)suggested;
    bool may_read = !peer->has_filled_buffer;
    peer->has_filled_buffer = false;
    *out = uv_buf_init(may_read ? (char *)peer->loop->read_buffer : NULL, may_read ? READ_BUFFER_BYTES : 0);
}

/* The other side sends no more. What it asked before is still answered, but for acquires that wait: who is gone would
 * be handed a session. A half message is not waited for. */
static void peer_end_of_input(struct peer *peer) {
    int64_t now_ms = loop_now_ms(peer->loop);
    peer->has_ended = true;
    conn_end_waiting(peer->conn);
    peer_pump(peer, conn_resume(peer->conn, now_ms), now_ms);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct peer *peer = stream->data;
    if (count == 0 || count == UV_ENOBUFS || peer->is_closed) return;
    loop_enter_turn(peer->loop);
    if (peer->is_lingering) {
        if (count > 0) explicit_bzero(buffer->base, (size_t)count);
        peer_discard(peer, count);
    } else if (count == UV_EOF) {
        peer_end_of_input(peer);
    } else if (count < 0) {
        peer_cut(peer, CUT_GONE);
    } else {
        int64_t now_ms = loop_now_ms(peer->loop);
        peer->active_at = now_ms;
        peer->has_filled_buffer = count == READ_BUFFER_BYTES;
        enum conn_state state = conn_feed(peer->conn, bytes_of(buffer->base, (size_t)count), now_ms);
        if (conn_input_is_secret(peer->conn)) explicit_bzero(buffer->base, (size_t)count);
        peer_notice_speech(peer);
        peer_pump(peer, state, now_ms);
    }
}
