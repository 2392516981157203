/* What expired while the server was down, for those who begin to watch soon after it is up again: see engine.h,
 * read_expired.
 *
 * Recovery notes hashes and versions; what is told is looked up when somebody asks, so a session that was written since
 * is not told of any more. The list never changes once recovery is over. */
#ifndef ENGINE_MEMORY_EXPIRED_H
#define ENGINE_MEMORY_EXPIRED_H

#include "engine/memory/memory.h"

struct expired_note {
    int64_t at; /* its deadline */
    uint64_t hash, version;
};

struct expired_list {
    int64_t until;   /* kept up to that moment */
    uint64_t missed; /* beyond those that are noted */
    uint32_t count;
    struct expired_note notes[];
};

/* Recovery: notes a session that is kept (NULL: one that is not) and died at that deadline. False where memory is
 * lacking. */
bool expired_note(struct memory_engine *engine, const struct record *record, int64_t at);
/* Recovery is over: what was noted is kept from now on. */
void expired_settle(struct memory_engine *engine, int64_t now_ms);

/* Gives the list back when its time is over. Inside a turn of any loop. */
void expired_forget(struct context *context);
void expired_close(struct memory_engine *engine);

void memory_read_expired(struct engine *self, unsigned loop_index, int64_t now_ms, event_each each, void *context);

#endif
