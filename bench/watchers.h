/* Connections that watch a namespace and count what they are told. A thread of their own reads them; every count may be
 * read by others at any time. Made, stopped and freed by the main thread. */
#ifndef BENCH_WATCHERS_H
#define BENCH_WATCHERS_H

#include "endpoint.h"

#include <pthread.h>
#include <stdatomic.h>

enum { WATCHERS_MAX = 1000 };

struct watcher {
    int fd;
    struct buf in;
    uint64_t last_seq;
    _Atomic uint64_t event_count, missed_count; /* told, and said to have been left out */
};

struct watchers {
    struct watcher *items; /* owned */
    unsigned count;
    int epoll_fd;
    pthread_t thread;
    bool is_running;
    atomic_bool must_stop;
    _Atomic(const char *) problem; /* NULL: all is well */
};

/* Connects `count` watchers of all kinds of events, or of `kind` alone where it is not NULL, and starts the thread that
 * reads them. False with a sentence in `problem`; watchers_stop in both cases. */
bool watchers_start(struct watchers *watchers, const struct endpoint *endpoint, const struct driver_setup *setup,
                    unsigned count, const char *kind, char *problem, size_t problem_size);
void watchers_stop(struct watchers *watchers);

/* Waits until each watcher was told of `expected` events, the missed ones included; false if nothing came for five
 * seconds before that, if one was told of more, or if what came was no event. */
bool watchers_wait(struct watchers *watchers, uint64_t expected, char *problem, size_t problem_size);

/* Sums over all watchers. */
uint64_t watchers_told(const struct watchers *watchers);
uint64_t watchers_missed(const struct watchers *watchers);

#endif
