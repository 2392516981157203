/* Sockets of the blocking client. Always true: a socket that is handed out is connected, does not block, is closed on
 * exec, and sends small messages at once. Any thread. */
#define _GNU_SOURCE
#include "socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "failure.h"

int64_t clock_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool socket_wait(int fd, bool for_read, bool for_write, int64_t deadline_ms) {
    struct pollfd poll_fd = {.fd = fd, .events = (short)((for_read ? POLLIN : 0) | (for_write ? POLLOUT : 0))};
    for (;;) {
        int64_t left_ms = deadline_ms - clock_now_ms();
        if (left_ms < 0) left_ms = 0;
        int count = poll(&poll_fd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (count > 0) return true;
        if (left_ms == 0 && !(count < 0 && errno == EINTR)) return false;
    }
}

/* Ends a connect that was begun; answers 0 or an errno. */
static int finish_connect(int fd, int64_t deadline_ms) {
    if (errno != EINPROGRESS) return errno;
    if (!socket_wait(fd, false, true, deadline_ms)) return ETIMEDOUT;
    int problem = 0;
    socklen_t size = sizeof problem;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    return problem;
}

/* Connects to one address; answers the socket, or -1 with *problem an errno. */
static int connect_address(const struct sockaddr *address, socklen_t size, int64_t deadline_ms, int *problem) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *problem = fd < 0 ? errno : connect(fd, address, size) ? finish_connect(fd, deadline_ms) : 0;
    if (*problem) {
        if (fd >= 0) close(fd);
        return -1;
    }
    if (address->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static int fail(const struct endpoint *endpoint, int problem, struct sessiond_error *error) {
    char name[URL_HOST_MAX + 16];
    endpoint_print(endpoint, name, sizeof name);
    failure_set(error, SESSIOND_ERROR_CONNECTION, "Cannot connect to %.140s: %s. Check that sessiond runs there.", name,
                strerror(problem));
    return -1;
}

static int connect_unix(const struct endpoint *endpoint, int64_t deadline_ms, struct sessiond_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, endpoint->name, strlen(endpoint->name) + 1);
    int problem, fd = connect_address((struct sockaddr *)&address, sizeof address, deadline_ms, &problem);
    return fd >= 0 ? fd : fail(endpoint, problem, error);
}

int socket_connect(const struct endpoint *endpoint, int64_t deadline_ms, struct sessiond_error *error) {
    if (endpoint->is_unix) return connect_unix(endpoint, deadline_ms, error);
    char port[8];
    snprintf(port, sizeof port, "%u", endpoint->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *addresses;
    int problem = getaddrinfo(endpoint->name, port, &hints, &addresses);
    if (problem) {
        failure_set(error, SESSIOND_ERROR_CONNECTION, "Cannot find the host %.140s: %s.", endpoint->name,
                    gai_strerror(problem));
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *at = addresses; at && fd < 0; at = at->ai_next)
        fd = connect_address(at->ai_addr, at->ai_addrlen, deadline_ms, &problem);
    freeaddrinfo(addresses);
    return fd >= 0 ? fd : fail(endpoint, problem, error);
}
