/* The end of a group: of all sessions of a user, a client or a pool. See ending.c.
 *
 * A call counts itself into the group's `ending` and reads the members at the same moment, so that every session that
 * is in the group by then is among them. A few are ended at once; many in slices, one for each advance of the loop that
 * was asked, so that everybody else is answered between them. A move is the only way for a session to slip from a
 * member that was not yet visited to one that was: while `ending` stands a move writes down where the session goes
 * (moves_note), and the call follows it there. */
#ifndef ENGINE_MEMORY_ENDING_H
#define ENGINE_MEMORY_ENDING_H

#include "engine/memory/memory.h"

/* Executes an END_ALL of a group; true: it is PENDING, and verb->private[0] is its ticket. */
bool ending_begin(struct context *context, struct verb *verb, struct namespace *namespace);

/* Ends a slice of what is PENDING on this loop, and answers what is through. */
void endings_work(struct context *context);
/* When there is something to do for endings_work; INT64_MAX: nothing is PENDING. While as much waits for the disk as
 * may, it waits too: each member's end is told with all that the session holds, and a group may hold more than fits. */
int64_t endings_due(const struct memory_engine *engine, const struct loop *loop, int64_t now_ms);
/* Free what is left; no turn is open. */
void endings_close(struct loop *loop);
void moves_close(struct memory_engine *engine);

/* Writes down that a session of the group of that hash is about to move. As long as endings_generation is *generation,
 * every end of that group that is at work will find it there. False where memory is lacking. No lock held. */
bool moves_note(struct memory_engine *engine, uint64_t group_hash, struct group_entry from, struct group_entry to,
                uint64_t *generation);
/* Changes whenever an end of a group begins. */
uint64_t endings_generation(const struct memory_engine *engine);

#endif
