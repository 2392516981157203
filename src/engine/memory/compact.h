/* Moving sessions together in memory: where many have gone or changed their size, pages of the slab are left with a few
 * records each, which no other size may use. Their last records are moved away, and the pages go back to the system.
 *
 * Two steps, each through all shards, each loop through its own ones, in slices of its turns: first pages are marked
 * from which no block is taken any more, then each record in one of them is copied, the copy published in the record's
 * place under the shard's lock, and the old one retired, like that of a write. Version, times and counts stay; whoever
 * acts on what he saw before the lock finds another record there and looks again, as after any write. A page that holds
 * something else than records stays as it is. compact_begin and compact_prepare: one thread at a time; the rest: the
 * loop's. */
#ifndef ENGINE_MEMORY_COMPACT_H
#define ENGINE_MEMORY_COMPACT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct memory_engine;
struct loop;
struct context;

/* The engine's. */
struct compaction {
    _Atomic uint64_t step; /* counted since the start; see compact.c */
    _Atomic uint32_t left; /* loops that are not through with it */
    _Atomic bool is_on;    /* from the first step's beginning to the last one's end */
    _Atomic bool is_of_all;
    int64_t look_at; /* when it is looked at again whether it is worth it; 0: not */
};

/* Where a loop stands. */
struct compaction_place {
    uint64_t step_done;
    uint64_t hash;  /* where it goes on in the shard */
    uint32_t shard; /* UINT32_MAX: it has not begun the step */
    bool is_inside; /* `hash` holds */
};

/* Begins, unless it is under way, and wakes all loops. in_any_case: tests have every record moved, however full its
 * page is. */
void compact_begin(struct memory_engine *engine, int64_t now_ms, bool in_any_case);

/* Begins where that is worth it, and was a while ago already: a mass expiry leaves nothing to be moved. Answers when to
 * ask again; INT64_MAX: not unasked. */
int64_t compact_prepare(struct memory_engine *engine, int64_t now_ms);

/* Whether there is something to do for this loop. */
bool compact_is_wanted(const struct memory_engine *engine, const struct loop *loop);

/* Does a part of it, inside a turn. */
void compact_advance(struct context *context);

#endif
