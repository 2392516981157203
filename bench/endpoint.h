/* Where a server listens, and a blocking conversation with it for what is no part of the load. Any thread; no state. */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H

#include "driver.h"

#include <sys/socket.h>
#include <sys/un.h>

struct endpoint {
    struct sockaddr_storage address;
    socklen_t address_size;
};

/* Reads HOST:PORT, [HOST]:PORT or the path of a Unix socket; false if it is none of them or the host is unknown. */
bool endpoint_parse(struct endpoint *endpoint, const char *text);

/* A connected blocking socket without Nagle's delay, or -1 with errno. The caller closes it. */
int endpoint_connect(const struct endpoint *endpoint);

/* Sends one request and waits at most five seconds for its reply, which is kept in `in` (cleared before). False with a
 * sentence in `problem`. What *reply points to is valid while `in` is. */
bool endpoint_ask(const struct endpoint *endpoint, const struct driver *driver, const struct driver_setup *setup,
                  struct bytes request, struct buf *in, struct reply *reply, char *problem, size_t problem_size);

#endif
