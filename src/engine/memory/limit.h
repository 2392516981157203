/* Limits: the places that a write takes before it is published, so that of two writes that race for the last one is
 * refused. See limit.c.
 *
 * Always true: what a write holds stands in its `places`, which are its own, until they are settled or given back. A
 * part of memory.h; inside a turn of the loop. */
#ifndef ENGINE_MEMORY_LIMIT_H
#define ENGINE_MEMORY_LIMIT_H

#include "engine/memory/group.h"
#include "engine/memory/namespace.h"
#include "engine/memory/pool.h"

#define GROUPS_MAX 3 /* groups of one session: user, client and pool, which is GROUP_USER + k */

struct context;

struct place {
    bool is_held;
    bool is_limited; /* the limit had to be asked */
    unsigned kind;
    struct group *group; /* stays while the entry does */
    struct group_entry entry;
    int64_t updated_before; /* of a client */
    uint8_t name_size;
    uint8_t name[LIMIT_MAX_ID];
};

/* What a write holds until it is published or given up. */
struct places {
    bool is_taken; /* something below may be held */
    struct place groups[GROUPS_MAX];
    bool holds_session;   /* of max_sessions */
    int64_t growth_bytes; /* allowed; of max_bytes where holds_bytes */
    bool holds_bytes;
    /* of a pool */
    struct pool_entry *pool_entry; /* reserved in it; NULL: none */
    struct pool *pool;             /* stays while the entry does */
    struct pool_table *pool_table;
    bool has_pool_place;      /* it was asked for */
    struct pool_claim *claim; /* of an acquire that makes the session for itself; NULL: none */
    uint64_t pool_old_hash;   /* the life under another id that goes on in the entry; the version 0: none */
    uint64_t pool_old_version;
};

/* A place in a pool that an acquire has taken for the session that it makes. */
struct pool_claim {
    struct pool *pool;
    bool is_counted; /* as one that is being made; else the place is the entry's */
    int64_t lease_ms;
    struct pool_pick pick; /* with is_done: its maker's hand-out */
    bool is_done;
};

/* What a write needs: which groups it enters, and whether it makes something live that did not. */
struct needs {
    struct namespace *namespace;
    const struct policy *policy;
    struct bytes id;
    uint64_t hash;
    struct bytes groups[GROUPS_MAX]; /* entered; absent: not */
    bool is_limited[GROUPS_MAX];     /* that group's limit decides */
    struct group_entry entry;        /* in each of them */
    bool takes_session;              /* one more living session in the namespace */
    int64_t growth_bytes;            /* above 0: refused where memory or max_bytes do not allow it */
    const struct session *draft;
    bool takes_pool_place; /* of the pool that it enters, if its usage is usable */
};

static inline void places_init(struct places *places) {
    places->is_taken = false;
    for (unsigned k = 0; k < GROUPS_MAX; k++) places->groups[k].is_held = false;
    places->holds_session = places->holds_bytes = false;
    places->growth_bytes = 0;
    places->pool_entry = NULL;
    places->claim = NULL;
    places->pool_old_version = 0;
}

/* Whether max_memory allows for so many bytes more, once what is due is worked off where it has to be; `hash`: in that
 * shard's table. */
bool memory_makes_room(struct context *context, uint64_t hash, int64_t bytes);

/* Whether the places held are the ones needed. */
bool places_match(const struct places *places, const struct needs *needs);

/* Takes what is needed; on false *error says why not and nothing is held. No lock may be held. */
bool places_take(struct context *context, const struct needs *needs, struct places *places, struct error *error);

/* Gives back what was not used. No lock may be held. */
void places_give_back(struct context *context, struct namespace *namespace, struct places *places);

/* After publishing: the entries stay, the rest is given back. */
void places_settle(struct namespace *namespace, struct places *places);

#endif
