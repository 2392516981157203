/* A ring of events: the newest overwrite the oldest, and each reader keeps its own place.
 *
 * Always true: positions count bytes ever written and never fall; `tail` <= every whole entry that is there <= `head`.
 * Who reads at a place before the tail has missed `tail_count - count` events. Entries are copied in and out, so
 * nothing in the ring outlives its lock. Pure but for its memory; under its owner's lock (a shard's). */
#ifndef ENGINE_MEMORY_EVENT_RING_H
#define ENGINE_MEMORY_EVENT_RING_H

#include "engine/memory/slab.h"
#include "sessiond/engine.h"

#define EVENT_RING_MIN                                                                                                 \
    1024 /* bytes of a ring's first block: small, so that the rings of all shards stay in the cache */
#define EVENT_RING_SURE 4096        /* bytes that hold any event without data */
#define EVENT_RING_MAX  (64 * 1024) /* bytes of its largest */
#define EVENT_ENTRY_MAX (16 * 1024) /* bytes of one event; it comes without its data where that would not fit */
#define EVENT_CHUNK     4096        /* bytes that a reader copies at once, if they hold a whole event */
#define EVENT_BUFFER    EVENT_ENTRY_MAX

/* A place in the ring: in bytes, and how many events stood before it. */
struct event_place {
    uint64_t position, count;
};

struct event_ring {
    uint8_t *data;     /* a slab block; NULL: none */
    uint32_t capacity; /* of `data`; a power of two */
    struct event_place head, tail;
    uint64_t read; /* as was last seen, all readers have passed this position */
};

/* What an event has to come after, if anything: what stands before `position` in the ring of that shard. */
struct event_after {
    bool is_given;
    uint32_t shard;
    uint64_t position;
};

/* Gives the memory back; places stay what they are, and what was there counts as missed. */
void event_ring_clear(struct event_ring *ring, struct slab *slab);

/* Bytes that the event takes; its data counts where it is present. */
size_t event_ring_size(const struct event *event);

/* Whether that many bytes can be written without overwriting what some reader (see `read`) has not passed. */
bool event_ring_has_room(const struct event_ring *ring, size_t size);

/* Moves to a block of that capacity (a power of two, not smaller than before). False where memory is lacking: nothing
 * changed. */
bool event_ring_resize(struct event_ring *ring, struct slab *slab, unsigned arena, uint32_t capacity);

/* Writes an event over the oldest. One that is larger than the ring is only counted, and everybody has missed it. */
void event_ring_put(struct event_ring *ring, const struct event *event, const struct event_after *after);

/* Copies whole events from `place` on, up to position `end`, into a buffer of EVENT_BUFFER bytes, and answers how many
 * bytes. A place that was overrun is moved to the tail; *missed says by how many events. */
size_t event_ring_copy(const struct event_ring *ring, struct event_place *place, uint64_t end, uint8_t *buffer,
                       uint64_t *missed);

/* Reads the event at the start of a copy; answers its bytes. It borrows from there. */
size_t event_entry_read(const uint8_t *entry, struct event *event, struct event_after *after);

/* Tests: asserts every invariant. */
void event_ring_check(const struct event_ring *ring);

#endif
