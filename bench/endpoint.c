/* See endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

enum { ASK_TIMEOUT_S = 10, ASK_CHUNK_BYTES = 16384 };

static bool parse_path(struct endpoint *endpoint, const char *path) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof local.sun_path) return false;
    memcpy(local.sun_path, path, strlen(path) + 1);
    memcpy(&endpoint->address, &local, sizeof local);
    endpoint->address_size = sizeof local;
    return true;
}

static bool resolve(struct endpoint *endpoint, const char *host, const char *port) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) return false;
    memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
    endpoint->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool endpoint_parse(struct endpoint *endpoint, const char *text) {
    memset(endpoint, 0, sizeof *endpoint);
    if (strncmp(text, "unix:", 5) == 0) return parse_path(endpoint, text + 5);
    if (text[0] == '/' || text[0] == '.') return parse_path(endpoint, text);
    const char *colon = strrchr(text, ':');
    char host[256];
    if (!colon || colon[1] == '\0') return false;
    size_t size = (size_t)(colon - text);
    bool is_bracketed = size >= 2 && text[0] == '[' && colon[-1] == ']';
    if (is_bracketed) text++, size -= 2;
    if (size == 0 || size >= sizeof host) return false;
    memcpy(host, text, size);
    host[size] = '\0';
    return resolve(endpoint, host, colon + 1);
}

int endpoint_connect(const struct endpoint *endpoint) {
    int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_size) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    if (endpoint->address.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static bool send_all(int fd, struct bytes bytes) {
    while (bytes.size > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes = bytes_of(bytes.data + sent, bytes.size - (size_t)sent);
    }
    return true;
}

/* Reads until the driver sees a whole reply. */
static long receive_reply(int fd, const struct driver *driver, const struct driver_setup *setup, struct buf *in,
                          struct reply *reply) {
    for (;;) {
        uint8_t *room = buf_reserve(in, ASK_CHUNK_BYTES);
        if (!room) return SCAN_MALFORMED;
        ssize_t received = recv(fd, room, ASK_CHUNK_BYTES, 0);
        if (received < 0 && errno == EINTR) continue;
        if (received <= 0) return SCAN_MORE;
        in->size += (size_t)received;
        long size = driver->scan(setup, buf_bytes(in), reply);
        if (size != SCAN_MORE) return size;
    }
}

bool endpoint_ask(const struct endpoint *endpoint, const struct driver *driver, const struct driver_setup *setup,
                  struct bytes request, struct buf *in, struct reply *reply, char *problem, size_t problem_size) {
    buf_clear(in);
    int fd = endpoint_connect(endpoint);
    if (fd < 0) {
        snprintf(problem, problem_size, "cannot connect to the %s server: %s", driver->name, strerror(errno));
        return false;
    }
    struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    long size = send_all(fd, request) ? receive_reply(fd, driver, setup, in, reply) : SCAN_MORE;
    close(fd);
    if (size == SCAN_MORE) snprintf(problem, problem_size, "no answer; is this a %s server?", driver->name);
    if (size == SCAN_MALFORMED) snprintf(problem, problem_size, "what answers is no %s server", driver->name);
    if (size > 0 && reply->kind == REPLY_ERROR) {
        int shown = reply->value.size < 200 ? (int)reply->value.size : 200;
        snprintf(problem, problem_size, "the %s server refuses its setup: %.*s", driver->name, shown,
                 (const char *)reply->value.data);
    }
    return size > 0 && reply->kind != REPLY_ERROR;
}
