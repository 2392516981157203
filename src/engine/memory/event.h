/* Events: what writers tell, and how loops read it. See engine.h (watch, read_events) for what is promised.
 *
 * A writer appends to its shard's ring under the shard's lock, sets the shard's bit in the dirty map of each watching
 * loop, and wakes those that were not woken yet: the same work for one watch and for a hundred, and one relaxed load
 * where no loop watches. A loop reads with places of its own, a chunk at a time under the lock.
 *
 * Events of one session stand in one ring, in their order; those of an id in a namespace that was dropped, and in the
 * next one of its name, do not. Of all pairs in two rings only one has an order, that of a move: `created` of the new
 * id names the place that the old id's ring must have been read up to before it. Such places lie in the past of who
 * names them, so following them ends, and never comes back to a ring that waits.
 *
 * With a journal an event waits in its ring until the mark covers it, and those behind it with it; so does the ring
 * that waits for such a place. The loop keeps in mind which rings those are and what the first of them waits for.
 *
 * Rings are bounded, each and together, and made when there is something to tell while a loop watches; they go with the
 * last watching loop. They are no part of what max_memory refuses: a session's end must always be told. */
#ifndef ENGINE_MEMORY_EVENT_H
#define ENGINE_MEMORY_EVENT_H

#include "engine/memory/event_ring.h"

struct context;
struct memory_engine;
struct namespace;
struct record;
struct shard;
struct sight;

/* Rings grow beyond EVENT_RING_SURE only while all take no more than this together, in bytes. */
#define EVENT_BYTES_MAX (16 * 1024 * 1024)

struct event_reader;

/* All loops' readers; false where memory is lacking. event_close also takes what was opened halfway. */
bool event_open(struct memory_engine *engine);
void event_close(struct memory_engine *engine);
size_t event_fixed_bytes(const struct memory_engine *engine);

/* ---- under the shard's lock; each does nothing while no loop watches */

/* One event of a session of the shard. Reads its id, groups, reason and data. */
void event_put(struct context *context, struct shard *shard, const struct namespace *namespace, enum event_kind kind,
               const struct session *session, uint64_t version, int64_t at);

/* A deadline has passed: to be called once, by whoever marks the record as reaped. */
void event_expired(struct context *context, struct shard *shard, const struct record *record);

/* What befell a record before it goes for good, and that nobody has told and nobody will: the deadline that has passed
 * and was not reaped, the clear. `version` is that of the write which it makes room for: a clear above it comes behind
 * that write. UINT64_MAX: there is no such write. */
void event_settle(struct context *context, struct shard *shard, const struct record *record, uint64_t version);

/* The same for one that lives and goes because its retention since it was retired is over, which was at `at`: nobody
 * wrote, so it is `destroyed` with the version that it has, unless it was dead by then. */
void event_forgotten(struct context *context, struct shard *shard, const struct record *record, int64_t at);

/* What publishing `fresh` in the place of what `sight` holds means for its id. */
void event_published(struct context *context, struct shard *shard, const struct sight *sight,
                     const struct record *fresh);

/* A record was destroyed, and that is what `version` stands for. */
void event_removed(struct context *context, struct shard *shard, const struct record *record, uint64_t version);

/* A session moved: `regenerated` of the old id, then what `published` tells of the new. Both shards' locks. */
void event_moved(struct context *context, struct shard *old_shard, const struct sight *old, struct shard *new_shard,
                 const struct sight *new, const struct record *fresh);

/* ---- with no lock held */

/* One event of a session that stands under that id and was not changed, such as `retired`; nothing where there is none
 * any more. */
void event_announce(struct context *context, struct namespace *namespace, struct bytes id, enum event_kind kind);

/* ---- engine.h */
struct engine;
uint64_t memory_watch(struct engine *self, unsigned loop_index, bool is_on, bool wants_data);
uint64_t memory_read_events(struct engine *self, unsigned loop_index, event_each each, void *context);

void event_check(const struct memory_engine *engine);

#endif
