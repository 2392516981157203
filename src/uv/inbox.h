/* The one hand-over between threads: a bounded queue of accepted sockets that belongs to a loop.
 *
 * Any thread puts, the loop's thread takes. Waking the loop is the putter's business (the transport's `signal`,
 * which coalesces). Always true: what was put is taken exactly once, in order. */
#ifndef UV_INBOX_H
#define UV_INBOX_H

#include "base/lock.h"

#include <stdbool.h>
#include <stddef.h>

#define INBOX_MAX 512 /* items; a power of two */

struct inbox_item {
    int fd; /* an accepted socket; the taker owns it */
    bool is_unix;
    bool is_replacing; /* the server is full: it may only take the place of a silent connection */
};

struct inbox {
    struct lock lock;
    size_t taken, put; /* counted since the start */
    struct inbox_item items[INBOX_MAX];
};

/* All zero is an empty inbox. False: it is full, and the item stays the caller's. */
bool inbox_put(struct inbox *inbox, struct inbox_item item);
/* False: it is empty. */
bool inbox_take(struct inbox *inbox, struct inbox_item *item);

#endif
