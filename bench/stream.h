/* One connection that sends requests in batches and waits for all of their replies: for what must be looked at batch by
 * batch, or sent in another size each time, which workers do not do. Belongs to one thread. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "worker.h"

struct stream {
    int fd; /* -1: not open */
    const struct driver *driver;
    const struct driver_setup *setup; /* the target's */
    struct buf out, in;               /* owned */
    uint32_t added;                   /* requests in `out` */
    /* Looks at each reply, whose bytes are valid meanwhile; false: it is not right. NULL: nobody looks. */
    bool (*on_reply)(void *context, const struct reply *reply);
    void *context;
};

/* Connects; false with a sentence in `problem`. stream_close in both cases. */
bool stream_open(struct stream *stream, const struct target *target, char *problem);
void stream_close(struct stream *stream);

/* Adds a request to the batch; fill->number is set here. */
void stream_add(struct stream *stream, const struct template *template, struct fill *fill);

/* Adds a request that is whole. */
void stream_add_bytes(struct stream *stream, struct bytes request);

/* Sends the batch and waits until all of it is answered; reads meanwhile, so a batch may be of any size. False with a
 * sentence in `problem` (PROBLEM_BYTES) if one was answered with an error, or nothing came for ten seconds. */
bool stream_play(struct stream *stream, char *problem);

#endif
