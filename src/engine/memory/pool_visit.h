/* Pools in use: visits, which are what one does to a pool under its lock, and what follows from them without it.
 *
 * What is due in a pool (deadlines, the ends of leases and of cooldowns) is worked off in slices, so that no turn is
 * held up where very much is due at once. A pool that has some left is *behind*. Whoever asks about one session of it
 * has what is due for that one done first (visit_catch_up), which depends on no other; who asks about the whole pool
 * finds out by visit_begin_whole that it is behind, and is to be submitted again (SUBMIT_AGAIN); and who waits is
 * served only when the pool is behind no longer. So nobody ever sees a pool as it was. What is to be forgotten is never
 * left over: lists and counts, which know nothing of pools, depend on it; and no more can be due at once than were
 * retired at once. A visit ends by serving, letting the lock go, and then doing what must not be done under it: handing
 * grants to the loops of those who waited, telling events, taking records out whose retention is over. Records are
 * looked up without a lock inside a visit, and never taken a lock for; a shard's lock and a pool's are never held
 * together. All functions: inside a turn of context->loop, no lock held. */
#ifndef ENGINE_MEMORY_POOL_VISIT_H
#define ENGINE_MEMORY_POOL_VISIT_H

#include "engine/memory/memory.h"

#define VISIT_BATCH 32 /* entries that are worked off under one taking of the lock */

/* What is worked off is counted in steps, of which an entry takes so many, and one that is only passed by takes one. A
 * turn of a loop has POOL_TURN_STEPS, some tenths of a millisecond; each visit to a whole pool has VISIT_STEPS more, so
 * that a pool for which many ask does not fall behind because of another one. */
#define ENTRY_STEPS     8
#define POOL_TURN_STEPS (512 * ENTRY_STEPS)
#define VISIT_STEPS     (4 * ENTRY_STEPS)

struct visit_note {
    uint64_t hash, version; /* of the entry */
    int64_t at;
};

struct visit {
    struct context *context;
    struct pool_table *table;
    struct pool *pool;
    struct list granted; /* waiters that are served, or over */
    struct visit_note forgotten[VISIT_BATCH];
    struct record *retired[VISIT_BATCH + 1];
    unsigned forgotten_count, retired_count;
    bool is_lacking; /* after false: memory is */
    bool is_behind;  /* something that is due was not worked off when it began */
};

/* Finds the pool of that name; makes: made where there is none. False: there is none, and no visit. */
bool visit_begin(struct visit *visit, struct context *context, struct namespace *namespace, struct bytes name,
                 bool makes);
/* The same for who asks about the pool as a whole: some of what is due is worked off first. Where is_behind is true all
 * the same, and the pool is not dropped, nothing may be decided. */
bool visit_begin_whole(struct visit *visit, struct context *context, struct namespace *namespace, struct bytes name,
                       bool makes);
/* The same for a pool that cannot go away: the caller has an entry, a place or a waiter in it. */
void visit_begin_at(struct visit *visit, struct context *context, struct pool_table *table, struct pool *pool);
void visit_end(struct visit *visit);

static inline struct pool_memory visit_memory(const struct visit *visit) {
    return (struct pool_memory){&visit->context->engine->slab, visit->context->loop->index};
}

/* The pool of that name; NULL: there is none. And a chain of the table: that of all whose hash, mixed, ends with these
 * bits. Under the table's lock. */
struct pool *pool_find(const struct pool_table *table, const struct group_key *key);
static inline const struct pool *pool_chain(const struct pool_table *table, uint32_t bits) {
    return table->capacity ? table->chains[bits & (table->capacity - 1)] : NULL;
}
/* The pool of that name, made if there is none; NULL where memory is lacking. Under its table's lock, or in recovery.
 */
struct pool *pool_make(struct context *context, const struct group_key *key);
/* One of that name, of which there is none; NULL where memory is lacking. Under the lock. */
struct pool *pool_table_put(struct context *context, struct pool_table *table, const struct group_key *key);
/* Frees the pool if nothing is left of it; true: it has. Under the lock. */
bool pool_tidy(struct context *context, struct pool_table *table, struct pool *pool);
void pool_table_take(struct context *context, struct pool_table *table);

int64_t visit_retention_ms(const struct visit *visit);
/* entry_settle at the visit's moment. */
void visit_settle(struct visit *visit, struct pool_entry *entry);
/* Looks at the entry's record, and notes whether it is alive and when to look again. NULL: there is none, or it is
 * dead. The record is valid until the turn ends. */
struct record *visit_look(struct visit *visit, struct pool_entry *entry);
/* Has happen what is due for this entry, as if all before it had. */
void visit_catch_up(struct visit *visit, struct pool_entry *entry);
/* Hands the entry out (entry_hand_out); a journal is told. */
void visit_hand_out(struct visit *visit, struct pool_entry *entry, int64_t lease_ms, struct pool_pick *pick);
/* The session was retired: that is told. */
void visit_note_retired(struct visit *visit, const struct pool_entry *entry);
/* Marks the entry as one whose record has to be taken out. */
void visit_note_forgotten(struct visit *visit, struct pool_entry *entry);

/* What a session starts with that comes with no usage of its own. */
static inline struct usage usage_of_policy(const struct pool_policy *policy) {
    return (struct usage){.max_usage_count = policy->max_usage_count,
                          .max_error_score = policy->max_error_score,
                          .error_score_decrement = policy->error_score_decrement};
}

/* ---- pool_wait.c */

/* Serves who waits, in order, and ends what waited too long. Called by visits. */
void visit_serve(struct visit *visit);
/* Hands what was granted to the loops of those who waited. No lock held. */
void grants_send(struct context *context, struct list *granted);
/* Queues an acquire; 0: memory is lacking. Answers its ticket. */
uint64_t waiter_add(struct visit *visit, const struct verb *verb, const struct pool_want *want);
/* Answers all that was granted to waiters of this loop. */
void waiters_deliver(struct context *context);
bool waiters_are_granted(const struct loop *loop);
bool waiter_cancel(struct context *context, uint64_t ticket);
/* Ends all waiters of a pool whose namespace is dropped. Under the lock. */
void waiters_drop(struct pool_memory memory, struct pool *pool, struct list *granted);
/* Tests: asserts that nobody waits for what is there. */
void waiters_check(const struct pool *pool);
bool waiters_open(struct loop *loop);
void waiters_close(struct memory_engine *engine, struct loop *loop);

/* ---- pool_acquire.c */

/* One session on its way to whoever acquires it. */
struct pool_item {
    struct pool_pick pick;
    struct record *record; /* of the pick, as it was seen; NULL: to be looked for */
    bool is_place;         /* no session yet, but a place for one that is to be made */
    struct session session;
};

struct acquire {
    struct context *context;
    struct namespace *namespace;
    struct bytes pool_name;
    struct pool_want want;
    uint32_t count;
    size_t bytes_max;
    struct pool_table *table; /* with items */
    struct pool *pool;
    struct pool_policy policy; /* of the pool, when the places were taken */
    struct pool_item *items;
    uint32_t item_count, done_count; /* those that are done are sessions, touched or made; the rest is to be */
    size_t bytes;                    /* of them */
    enum pool_choice choice;         /* why there are no more */
    bool is_behind;                  /* the pool is: nothing was decided */
    struct error error;
};

/* Takes what is to be had; under the pool's lock, inside a visit. */
void acquire_take(struct acquire *acquire, struct visit *visit);
/* Turns picks and places into sessions, and takes more for those that fail or gave up their places meanwhile. What the
 * namespace admits no more is only an error where nothing else is there. */
void acquire_complete(struct acquire *acquire);
/* Gives all items back: nobody is there to take them. */
void acquire_give_back(struct acquire *acquire);
/* Writes the answer. */
void acquire_answer(struct acquire *acquire, struct verb *verb);

/* Executes; SUBMIT_PENDING: it waits, and verb->private[0] is its ticket. */
enum submit_state verb_acquire(struct context *context, struct verb *verb, struct namespace *namespace);

/* ---- pool_return.c */

void verb_return(struct context *context, struct verb *verb, struct namespace *namespace);
enum submit_state verb_configure_pool(struct context *context, struct verb *verb, struct namespace *namespace);

#endif
