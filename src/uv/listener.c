/* Listening sockets, and who gets which new connection.
 *
 * Loop 0 alone accepts, and hands each socket to the loop with the fewest connections: with SO_REUSEPORT the system
 * would spread them by hash, which leaves one of two loops idle half of the time with two clients. When max_connections
 * are open, a new one takes the place of the oldest that never sent a request (a stranger cannot keep the door shut by
 * leaning on it); if all have spoken it is answered BUSY. Accepting uses the sockets themselves rather than uv_listen,
 * because an accepted descriptor has to leave this loop. On loop 0's thread, but listener_take: on the taking loop's.
 */
#define _GNU_SOURCE /* accept4 */
#include "uv/internal.h"

#include "base/buf.h"
#include "config/address.h"
#include "wire/codec.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_WHILE_FULL_MS 1000

/* ---------------------------------------------------------------- refusing */

/* The last word to somebody who was never let in. It fits into any socket's buffer, so one try is enough; what the peer
 * has sent already is read, because closing over unread bytes resets the connection and takes the word with it. */
static void socket_refuse(int fd) {
    struct error error =
        error_make(ERROR_BUSY, "The server has as many connections as max_connections allows; try again "
                               "later, or raise the option.");
    struct buf out = BUF_EMPTY;
    char unread[4096];
    error.retry_after_ms = RETRY_WHILE_FULL_MS;
    codec_write_error(&out, 0, &error);
    if (!out.is_failed && send(fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
        shutdown(fd, SHUT_WR);
        (void)!recv(fd, unread, sizeof unread, MSG_DONTWAIT);
    }
    buf_fini(&out);
    close(fd);
}

static void listener_refuse(struct shell_loop *loop, int fd) {
    metric_add(loop->metrics, METRIC_REFUSED_CONNECTIONS_TOTAL, 1);
    log_event(LOG_WARN, "connection_refused", LOG_TEXT("why", "max_connections"));
    socket_refuse(fd);
    atomic_fetch_sub_explicit(&loop->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->shell->connection_count, 1, memory_order_relaxed);
}

/* ---------------------------------------------------------------- choosing a loop */

static struct shell_loop *loop_with_fewest(struct shell *shell) {
    struct shell_loop *best = shell->loops[0];
    for (unsigned i = 1; i < shell->loop_count; i++)
        if (atomic_load(&shell->loops[i]->connection_count) < atomic_load(&best->connection_count))
            best = shell->loops[i];
    return best;
}

/* The loop whose silent peer has been silent for longest, leaving out those that are promised already. */
static struct shell_loop *loop_with_oldest_silent(struct shell *shell) {
    struct shell_loop *best = NULL;
    for (unsigned i = 0; i < shell->loop_count; i++) {
        struct shell_loop *loop = shell->loops[i];
        if (atomic_load(&loop->silent_count) <= atomic_load(&loop->replacing_count)) continue;
        if (!best || atomic_load(&loop->oldest_silent_at) < atomic_load(&best->oldest_silent_at)) best = loop;
    }
    return best;
}

void listener_take(struct shell_loop *loop, struct inbox_item item) {
    loop_enter_turn(loop);
    if (item.is_replacing) {
        atomic_fetch_sub(&loop->replacing_count, 1);
        if (list_is_empty(&loop->silent)) { /* the last one has spoken meanwhile */
            listener_refuse(loop, item.fd);
            return;
        }
        peer_cut(LIST_ENTRY(loop->silent.next, struct peer, link), CUT_EVICTED);
    }
    peer_open(loop, item.fd, item.is_unix);
}

static void hand_over(struct shell_loop *loop, struct inbox_item item) {
    atomic_fetch_add(&loop->connection_count, 1);
    atomic_fetch_add(&loop->shell->connection_count, 1);
    if (item.is_replacing) atomic_fetch_add(&loop->replacing_count, 1);
    if (loop->index == 0) { /* this very loop */
        listener_take(loop, item);
    } else if (inbox_put(&loop->inbox, item)) {
        loop->transport->signal(loop);
    } else {
        /* It accepts nothing new faster than it can open what it has: the newest waits least. */
        if (item.is_replacing) atomic_fetch_sub(&loop->replacing_count, 1);
        atomic_fetch_sub(&loop->connection_count, 1);
        atomic_fetch_sub(&loop->shell->connection_count, 1);
        socket_refuse(item.fd);
    }
}

static void listener_place(struct listener *listener, int fd) {
    struct shell *shell = listener->shell;
    struct inbox_item item = {.fd = fd, .is_unix = listener->is_unix};
    item.is_replacing = atomic_load(&shell->connection_count) >= atomic_load(&shell->limits.max_connections);
    struct shell_loop *loop = item.is_replacing ? loop_with_oldest_silent(shell) : loop_with_fewest(shell);
    if (loop) {
        hand_over(loop, item);
        return;
    }
    loop = shell->loops[0];
    atomic_fetch_add(&loop->connection_count, 1); /* listener_refuse takes it back */
    atomic_fetch_add(&shell->connection_count, 1);
    listener_refuse(loop, fd);
}

/* ---------------------------------------------------------------- accepting */

static void listener_pause(struct listener *listener, int reason) {
    log_event(LOG_ERROR, "accept_failed", LOG_TEXT("why", uv_strerror(-reason)));
    uv_poll_stop(&listener->poll);
    listener->is_paused = true;
}

/* A peer that gave up while it waited is no reason to stop; a lack of descriptors or memory is, for a tick. */
static bool is_passing(int reason) {
    return reason == EINTR || reason == ECONNABORTED || reason == EPROTO || reason == EPERM || reason == ENETDOWN ||
           reason == EHOSTUNREACH || reason == ENETUNREACH;
}

static void on_acceptable(uv_poll_t *handle, int status, int events) {
    struct listener *listener = handle->data;
    (void)events;
    if (status < 0) return;
    loop_enter_turn(listener->shell->loops[0]);
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener_place(listener, fd);
        } else if (!is_passing(errno)) {
            if (errno != EAGAIN) listener_pause(listener, errno);
            return;
        }
    }
}

void listener_resume_all(struct shell *shell) {
    for (unsigned i = 0; i < shell->listener_count; i++) {
        if (!shell->listeners[i].is_paused) continue;
        shell->listeners[i].is_paused = false;
        uv_poll_start(&shell->listeners[i].poll, UV_READABLE, on_acceptable);
    }
}

/* ---------------------------------------------------------------- opening */

/* A socket bound to `address`; -1: errno says why. */
static int bound_socket(const struct sockaddr *address, socklen_t size) {
    const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (address->sa_family != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, size) == 0) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* Starts to listen on a bound socket, and owns it from here on. False: errno says why. */
static bool listener_start(struct shell *shell, int fd, bool is_unix) {
    struct listener *listener = &shell->listeners[shell->listener_count];
    assert(shell->listener_count < LISTENERS_MAX);
    *listener = (struct listener){.shell = shell, .fd = fd, .is_unix = is_unix};
    int status = listen(fd, SOMAXCONN) < 0 ? -errno : uv_poll_init(&shell->loops[0]->uv, &listener->poll, fd);
    if (status < 0) {
        close(fd);
        errno = -status;
        return false;
    }
    listener->poll.data = listener;
    shell->listener_count++;
    return uv_poll_start(&listener->poll, UV_READABLE, on_acceptable) == 0;
}

static bool open_tcp(struct shell *shell, char *error, size_t error_size) {
    struct address address;
    char name[80];
    if (!address_parse(shell->options->bind, (int)shell->options->port, &address, error, error_size)) return false;
    if (address.is_none) return true;
    struct sockaddr *socket_address = (struct sockaddr *)&address.socket_address;
    int fd = bound_socket(socket_address, address.size);
    if (fd >= 0 && listener_start(shell, fd, false)) {
        socklen_t size = sizeof address.socket_address;
        getsockname(fd, socket_address, &size);
        address_format(&address.socket_address, shell->tcp_address, sizeof shell->tcp_address);
        return true;
    }
    int reason = errno;
    address_format(&address.socket_address, name, sizeof name);
    snprintf(error, error_size, "cannot listen on %s: %s; give another bind or port", name, strerror(reason));
    return false;
}

/* A socket file that a dead server left is removed; one that is answered, or anything else, is not. */
static bool clear_unix_path(const struct sockaddr_un *address, char *error, size_t error_size) {
    struct stat found;
    if (lstat(address->sun_path, &found) < 0) return true; /* bind will say what is wrong with the folder */
    if (!S_ISSOCK(found.st_mode)) {
        snprintf(error, error_size, "unix_socket %s exists and is no socket; give another path", address->sun_path);
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_dead =
        fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    if (fd >= 0) close(fd);
    if (is_dead && unlink(address->sun_path) == 0) return true;
    snprintf(error, error_size, "unix_socket %s is in use by a running server; give another path", address->sun_path);
    return false;
}

static bool open_unix(struct shell *shell, char *error, size_t error_size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = shell->options->unix_socket;
    if (!*path) return true;
    assert(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    if (!clear_unix_path(&address, error, error_size)) return false;
    /* Born without permissions, and given them before anybody can be accepted. No other thread runs yet. */
    mode_t mask = umask(0777);
    int fd = bound_socket((struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (fd >= 0 && chmod(path, (mode_t)shell->options->unix_socket_mode) == 0 && listener_start(shell, fd, true)) {
        memcpy(shell->unix_path, path, strlen(path) + 1);
        return true;
    }
    snprintf(error, error_size, "cannot listen on unix_socket %s: %s; give another path", path, strerror(errno));
    return false;
}

bool listener_open_all(struct shell *shell, char *error, size_t error_size) {
    return open_tcp(shell, error, error_size) && open_unix(shell, error, error_size);
}

/* ---------------------------------------------------------------- closing */

static void on_listener_closed(uv_handle_t *handle) {
    close(((struct listener *)handle->data)->fd);
}

void listener_close_all(struct shell *shell) {
    for (unsigned i = 0; i < shell->listener_count; i++)
        if (!uv_is_closing((uv_handle_t *)&shell->listeners[i].poll))
            uv_close((uv_handle_t *)&shell->listeners[i].poll, on_listener_closed);
    if (*shell->unix_path) unlink(shell->unix_path);
    shell->unix_path[0] = 0;
}
