/* Telling the journal what changes: each loop stages its effects and appends them at the end of its turn, or earlier
 * where they are many.
 *
 * Always true: before a loop takes a version it has written down (stage_floor) that it may hold effects from that
 * version on, and that note goes only when what it staged was appended; so appended (engine.h) never passes an effect
 * that is still staged. An effect is staged in the same turn in which its version was taken, where its change is made
 * or right after; the order of effects in the journal is of no consequence, since each says what is, and bears its
 * version. On the loop's thread, inside a turn. */
#ifndef ENGINE_MEMORY_STAGE_H
#define ENGINE_MEMORY_STAGE_H

#include "base/buf.h"
#include "sessiond/protocol.h"

struct context;
struct loop;
struct memory_engine;

/* Makes sure that effects of so many bytes can be staged; false where memory is lacking. Before any lock is taken, by
 * whoever is about to change something; what is staged beyond it is bounded (STAGE_SPARE) and always has room. */
bool stage_reserve(struct context *context, size_t bytes);

/* Begins an effect, whose body is then written to the buf that is answered, and ends it. Between the two no other one
 * begins. Only with a journal. */
struct buf *stage_begin(struct context *context, enum effect_kind kind);
void stage_end(struct context *context);

/* Appends what is staged to the journal. No lock held. */
void stage_append(struct memory_engine *engine, struct loop *loop);

#endif
