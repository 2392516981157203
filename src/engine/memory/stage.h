/* Telling the journal what changes: each loop stages its effects and appends them at the end of its turn, or earlier
 * where they are many.
 *
 * Always true: before a loop takes a version it has written down (stage_floor) that it may hold effects from that
 * version on, and that note goes only when what it staged was appended; so appended (engine.h) never passes an effect
 * that is still staged. An effect is staged in the same turn in which its version was taken, where its change is made
 * or right after; the order of effects in the journal is of no consequence, since each says what is, and bears its
 * version. Where memory is lacking for an effect whose change is made, the journal fails: nothing is lost unsaid.
 * On the loop's thread, inside a turn. Only with a journal, unless a function says otherwise. */
#ifndef ENGINE_MEMORY_STAGE_H
#define ENGINE_MEMORY_STAGE_H

#include "engine/memory/effect.h"
#include "engine/memory/memory.h"

#define STAGE_SPARE 4096 /* bytes that a verb may stage beyond what it reserved */
#define FLOOR_NONE  UINT64_MAX

/* Without a journal (false) nothing is to be told. */
static inline bool stage_is_wanted(const struct context *context) {
    return context->engine->journal != NULL;
}

/* Makes sure that effects of so many bytes can be staged, and STAGE_SPARE more; false where memory is lacking. Before
 * any lock is taken, by whoever is about to change something. Also without a journal: true. */
bool stage_reserve(struct context *context, size_t bytes);

/* Where effects are written to, whole ones (effect.h). */
static inline struct buf *stage_buf(struct context *context) {
    return &context->loop->staged;
}

/* Writes down that effects with versions from now on may be staged; version_take does it by itself. Before something is
 * made that others can build on, and whose effect is staged later. Also without a journal. */
void stage_floor(struct context *context);

/* Appends what is staged to the journal. No lock held. Also with nothing staged. */
void stage_append(struct memory_engine *engine, struct loop *loop);

/* The same where much is staged; between two verbs. Also without a journal. */
static inline void stage_relieve(struct memory_engine *engine, struct loop *loop) {
    if (engine->journal && loop->staged.size >= JOURNAL_APPEND_BYTES) stage_append(engine, loop);
}

/* ---- what changed; each does nothing without a journal */

/* A record as it was published. */
void stage_put(struct context *context, const struct record *record);
/* To the record's id from `old_id`, where the alias stands now (NULL: a tombstone). */
void stage_move(struct context *context, const struct record *record, const struct record *alias, struct bytes old_id);
void stage_remove(struct context *context, const struct namespace *namespace, uint64_t version, struct bytes id);
/* Whether what the server does by itself may be done now, where it would be told: nobody refuses it while the journal
 * takes no writes, so it waits, lest what waits for the disk grow without end. */
static inline bool stage_is_open(const struct context *context) {
    const struct journal *journal = context->engine->journal;
    return !journal || atomic_load_explicit(&((struct journal *)journal)->state, memory_order_relaxed) == JOURNAL_OPEN;
}

/* A touch is part of a read, which is not refused while the journal takes no writes; what it takes is bounded, so they
 * are not told then (false). A crash before the next one that is told makes the session a little older. */
static inline bool stage_takes_touches(const struct context *context) {
    const struct journal *journal = context->engine->journal;
    return journal && atomic_load_explicit(&((struct journal *)journal)->state, memory_order_relaxed) == JOURNAL_OPEN;
}

/* Of the record of that version; its last_active_at is what the touch made of it. */
void stage_touch(struct context *context, uint64_t hash, uint64_t version, int64_t last_active_at);
/* A namespace as it is, under the registry's lock, with the version of the change; 0: takes one. */
void stage_namespace(struct context *context, struct namespace *namespace, uint64_t version);
/* Answers its version; 0 without a journal. */
uint64_t stage_drop(struct context *context, const struct namespace *namespace);
/* A client as it is, with a version of its own, under its table's lock. */
void stage_client(struct context *context, struct group *group);
/* A pool's own fields, and one of its entries, as they are, with a version of their own, under its table's lock. The
 * entry that begins a life is told before the session that it belongs to. `version`: one that was just taken; 0: takes
 * one. */
void stage_pool(struct context *context, struct pool *pool);
void stage_usage(struct context *context, struct pool_entry *entry, uint64_t version);

/* What stage_namespace and the preamble write; the registry's lock. `scratch` takes the encoded policy. */
void namespace_effect(const struct memory_engine *engine, const struct namespace *namespace, struct buf *scratch,
                      struct effect_namespace *out);

/* The effects of all namespaces that were told and whose key is between these two, up to so many bytes. */
void namespaces_write(struct memory_engine *engine, uint64_t key_min, uint64_t key_max, size_t bytes_max,
                      struct buf *out);
/* The fields of a client, whose table's lock is held. */
void client_effect(struct group *group, struct effect_client *out);

/* Appends the effect of a pool's own fields, with the version that it was told with; its table's lock. `scratch` takes
 * the encoded policy. */
void pool_effect_write(const struct memory_engine *engine, const struct pool *pool, struct buf *scratch,
                       struct buf *out);

uint64_t memory_appended(struct engine *self);
void memory_preamble(struct engine *self, struct buf *out);

#endif
