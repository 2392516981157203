/* A pool: which sessions it may hand out, and how each fared. The data structure alone: it knows no records, no loops
 * and no lock; pool_visit.h puts it to use.
 *
 * An entry is one life of one session in the pool: put in (reserved) before its record is published, taken out after
 * the record has gone. Two lives of one id never mix: an entry bears the version with which its life began, so a record
 * belongs to the entry of its id with the greatest version that is not above its own.
 * What an entry is follows from a few facts (is its record alive, its usage, lease, open uses, cooldown), and
 * entry_settle works out from them all that depends on them: whether it holds one of the pool's places, whether it
 * stands in the lanes from which hand-outs are picked, when it is due, and the pool's counts. Whoever changes a fact
 * calls it. A lane is a set of ready entries in the orders that were ever asked for: one of all, and one for each
 * distinct set of tags. Lanes that share tags stand together in filters (pool_filter.h). Everything here runs under the
 * lock of the pool's table. */
#ifndef ENGINE_MEMORY_POOL_H
#define ENGINE_MEMORY_POOL_H

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/prng.h"
#include "engine/memory/pool_order.h"
#include "engine/memory/pool_uses.h"
#include "sessiond/engine.h"

#include <stdatomic.h>

struct namespace;
struct pool_filter;
struct pool_line;

#define LANE_ORDERS       4 /* ORDER_ANY to ORDER_LEAST_USED */
#define ORDER_DUE_SLOT    (2 * LANE_ORDERS)
#define ORDER_FORGET_SLOT (2 * LANE_ORDERS + 1)
#define ENTRY_ORDERS      (2 * LANE_ORDERS + 2)
#define TURN_FIRST        (UINT64_C(1) << 62) /* turns of hand-outs; those below are of entries never handed out */
#define TURN_END          (UINT64_C(1) << 63) /* none is as great */

/* One tag of one lane: lanes are found by their tags. */
struct lane_tag {
    struct list link; /* of the tag's lanes */
    struct pool_lane *lane;
    struct pool_tag *tag; /* NULL: the lane's tags name it twice */
};

struct pool_lane {
    struct pool_lane *next; /* of its chain */
    uint64_t hash;          /* of its tags */
    uint64_t tag_bits;      /* one of 64 for each tag: a lane without the bits of others has not all of their tags */
    struct list entries;    /* of its tags, ready or not; the lane goes with the last */
    struct list seats;      /* in filters */
    struct order orders[LANE_ORDERS];
    bool is_built[LANE_ORDERS];
    uint32_t entry_count;
    uint32_t ready_count;
    uint32_t tag_count;
    struct bytes tags; /* an encoded array; absent: the lane of all. The bytes stand behind lane_tags */
    struct lane_tag lane_tags[];
};

/* A tag that some lane has. */
struct pool_tag {
    struct pool_tag *next; /* of its chain */
    uint64_t hash;
    struct list lanes;          /* lane_tags of those that have it */
    struct pool_filter *filter; /* of it alone; NULL: there is none */
    uint32_t lane_count;
    uint32_t size;
    uint8_t text[];
};

struct pool_entry {
    struct pool_entry *next;            /* of its chain */
    struct pool_lane *lane;             /* of its tags; NULL: none */
    struct list lane_link;              /* of its lane's entries */
    uint64_t hash;                      /* of the id */
    _Atomic uint64_t version;           /* with which its life began; 0: not published yet */
    uint64_t told;                      /* version with which a journal was told of it last; 0: never */
    uint64_t turn;                      /* when it was handed out last, as a place in the order of hand-outs */
    uint64_t placed_turn, placed_usage; /* turn and usage_count by which it stands in the lanes */
    struct usage usage;
    struct uses uses;
    uint64_t fence;     /* of the newest lease; 0: there was none */
    uint64_t lease_use; /* the hand-out that is leased, with usage.lease_expires_at */
    int64_t ready_at;   /* not before; the cooldown's end */
    int64_t deadline;   /* when the record has to be looked at again; INT64_MAX: never */
    int64_t due_at;     /* the earliest of all that is to happen but for that its session is forgotten */
    int64_t forget_at;  /* when the retention since it was retired, or is by its lease's end, is over while it lives */
    int64_t hold_until; /* of the held place that it took; 0: none */
    uint32_t positions[ENTRY_ORDERS];
    uint32_t round;    /* the last of the pool's that has passed it */
    bool is_reserved;  /* its record is being published by whoever holds the reservation */
    bool takes_place;  /* while reserved: it counts against max_pool_size */
    bool has_left;     /* while reserved: its record has come and gone */
    bool is_alive;     /* its record is, as far as was seen */
    bool is_kept;      /* its record is there for somebody to see: alive, or within its retention */
    bool is_spent;     /* it was handed out for the last time and waits for a mark, a release or the lease's end */
    bool is_aside;     /* handed out already by the acquire that is under way */
    bool is_forgotten; /* its retention is over; its record is being taken out */
    /* what entry_settle made of it */
    bool holds_place, is_ready, is_counted_leased, is_counted_cooling, is_counted_retired, is_counted_kept;
};

/* What a round does to an entry: works out what follows from its facts, has a dead one's record looked at, or each
 * one's. */
enum pool_round { ROUND_NONE, ROUND_SETTLE, ROUND_DEAD, ROUND_ALL };

struct pool {
    struct pool *next; /* of its chain */
    struct namespace *namespace;
    uint64_t hash;
    struct pool_policy policy;
    bool has_policy; /* it was configured, so it stays without sessions too */
    uint64_t told;   /* version with which a journal was told of that; 0: never */
    bool is_dropped; /* its namespace is; nothing of that may be looked at */
    uint8_t name_size;
    /* entries */
    struct pool_entry **chains;
    uint32_t chain_count;
    uint32_t entry_count;
    struct pool_lane *all;          /* its slots are 0 to 3; those of the lanes of tags 4 to 7 */
    struct pool_lane **lane_chains; /* of tags */
    uint32_t lane_chain_count, lane_count;
    struct pool_tag **tag_chains;
    uint32_t tag_chain_count, tag_count;
    struct list filters; /* of several tags, the one that gives way next first */
    uint32_t filter_count;
    struct hash_key tag_key;
    struct order due, forgets;
    uint64_t epoch, purge_version; /* of the namespace, as the entries know it, or will once the round is through */
    /* A round through all entries, which goes on in slices: what befell all of them at once is done to each. */
    enum pool_round round_kind;
    uint32_t round, round_at; /* its number, and the chain at which it is */
    uint64_t serial, turn;
    struct prng prng;
    /* counts */
    uint64_t usable_count, reserved_count, leased_count, cooling_count, retired_count, kept_count;
    uint64_t creating_count; /* places of sessions that acquires are making */
    /* places held for callers that were answered CREATE_NEEDED: moments at which they lapse, the first first */
    int64_t *holds;
    uint32_t hold_first, hold_count, hold_capacity;
    /* acquires that wait; see pool_wait.c, and pool_line.h of their lines */
    struct list waiters;
    struct pool_line **line_chains, **open_lines;
    uint32_t line_count, line_capacity, open_count;
    bool has_news, was_full; /* since, and when, those who wait were served last */
    uint64_t news;           /* tags_bits of what happened */
    uint64_t arrivals;
    uint64_t waiting_count, undelivered_count;
    int64_t placed_at;      /* when a waiter was last granted a place to be filled */
    int64_t put_off_at;     /* the millisecond whose time-outs wait for that */
    int64_t waiters_due_at; /* no later than the first one's time is over; INT64_MAX: nobody waits */
    uint8_t name[];
};

/* The pools of one shard. All zero is empty; due_at is set when it is opened. */
struct pool_table {
    struct lock lock; /* of everything here, the pools, their entries and their waiters included */
    uint32_t count, capacity;
    struct pool **chains;
    _Atomic int64_t due_at;    /* no later than something is due in one of them */
    _Atomic int64_t forget_at; /* no later than a session of one of them is to be forgotten */
};

/* What an acquire wants. */
struct pool_want {
    struct bytes tags; /* absent: any */
    bool has_strategy;
    enum pool_strategy strategy;
    enum pool_create create;
    int64_t lease_ms;
};

enum pool_choice { CHOICE_ENTRY, CHOICE_CREATE, CHOICE_ASK, CHOICE_NONE, CHOICE_LACKING };

/* One hand-out, and what stood before it, so that it can be taken back. */
struct pool_pick {
    uint64_t hash, version; /* of the entry */
    uint64_t use, fence;
    uint64_t told;      /* the entry's, after it */
    struct usage usage; /* as it is handed out */
    uint64_t turn, turn_before;
    int64_t last_used_before, ready_before;
};

/* What pool functions allocate from. */
struct pool_memory {
    struct slab *slab;
    unsigned arena;
};

/* A fresh pool; NULL where memory is lacking. */
struct pool *pool_new(struct pool_memory memory, struct namespace *namespace, struct bytes name, uint64_t hash,
                      const struct pool_policy *policy, uint64_t seed);
/* Frees it with all entries. No waiter may be left. */
void pool_free(struct pool_memory memory, struct pool *pool);
static inline struct bytes pool_name(const struct pool *pool) {
    return bytes_of(pool->name, pool->name_size);
}

/* ---- entries */

/* A reserved entry with that usage and those tags; NULL where memory is lacking. */
struct pool_entry *pool_reserve(struct pool_memory memory, struct pool *pool, uint64_t hash, struct bytes tags,
                                const struct usage *usage);
/* Takes an entry out and frees it. */
void pool_remove(struct pool_memory memory, struct pool *pool, struct pool_entry *entry);
/* The entry to which a record of that hash and version belongs; NULL: none. A published one. */
struct pool_entry *pool_entry_of(const struct pool *pool, uint64_t hash, uint64_t version);
/* The next entry (any) behind `after` in its chain with that hash; NULL: from the start. */
struct pool_entry *pool_next_of(const struct pool *pool, uint64_t hash, const struct pool_entry *after);

static inline bool entry_is_leased(const struct pool_entry *entry) {
    return entry->usage.lease_expires_at != 0;
}

/* Works out all that follows from the facts. retention_ms: of the namespace. */
void entry_settle(struct pool *pool, struct pool_entry *entry, int64_t now_ms, int64_t retention_ms);

/* Begins a round through all entries; one that was under way begins anew, and does what both have to. */
void pool_begin_round(struct pool *pool, enum pool_round kind);
/* The next entry that the round has not passed, in the chain at which it is; NULL: the round is one chain further, or
 * through. */
struct pool_entry *pool_next_in_round(struct pool *pool);
/* The round passes the entry: its record is looked at as soon as that is due. */
void entry_pass_round(const struct pool *pool, struct pool_entry *entry, int64_t now_ms);

static inline bool pool_has_forgets(const struct pool *pool, int64_t now_ms) {
    return pool->forgets.count && pool->forgets.entries[0]->forget_at <= now_ms;
}
/* Whether all that was due by then has happened to all entries. */
static inline bool pool_is_current(const struct pool *pool, int64_t now_ms) {
    return !pool->round_kind && !(pool->due.count && pool->due.entries[0]->due_at <= now_ms) &&
           !pool_has_forgets(pool, now_ms);
}

/* ---- lanes; pool_lane.c */

/* The lane of all, and that of these tags, made if there is none. NULL where memory is lacking. */
struct pool_lane *lane_of_all(struct pool_memory memory);
struct pool_lane *lane_of(struct pool_memory memory, struct pool *pool, struct bytes tags);
/* Frees a lane that has no entries. */
void lane_free(struct pool_memory memory, struct pool *pool, struct pool_lane *lane);
/* Makes room for one more entry. False where memory is lacking. */
bool lane_make_room(struct pool_memory memory, struct pool_lane *lane);
/* Builds an order at the first acquire that asks for it. False where memory is lacking. */
bool lane_build(struct pool_memory memory, const struct pool *pool, struct pool_lane *lane, enum order_kind kind);
/* The one of these tags that the fewest lanes have; NULL: some tag is on none. */
struct pool_tag *pool_tag_rarest(const struct pool *pool, struct bytes tags);
/* The tag_bits of a lane of these tags. */
uint64_t tags_bits(const struct pool *pool, struct bytes tags);
/* Whether an encoded array of tags names any. */
static inline bool tags_are_given(struct bytes tags) {
    return tags.data && !(tags.size == 1 && tags.data[0] == 0x90);
}
/* Whether `tags` has all of `wanted`. */
bool tags_cover(struct bytes tags, struct bytes wanted);

/* ---- places */

static inline uint64_t pool_place_count(const struct pool *pool) {
    return pool->usable_count + pool->reserved_count + pool->creating_count + pool->hold_count;
}
static inline bool pool_is_full(const struct pool *pool) {
    return pool_place_count(pool) >= pool->policy.max_pool_size;
}

/* Holds a place until that moment; false where memory is lacking. */
bool pool_hold(struct pool_memory memory, struct pool *pool, int64_t until_ms);
/* Takes the oldest held place, and answers when it would have lapsed; 0: none is held. */
int64_t pool_hold_take(struct pool *pool);
/* Puts back what was taken. */
void pool_hold_put(struct pool *pool, int64_t until_ms);
void pool_holds_lapse(struct pool *pool, int64_t now_ms);
void pool_holds_drop(struct pool_memory memory, struct pool *pool);

/* ---- picking */

/* What an acquire gets at this moment. is_further: it got one already, so a place is not asked for. */
enum pool_choice pool_choose(struct pool_memory memory, struct pool *pool, const struct pool_want *want,
                             bool is_further, struct pool_entry **chosen);
/* Whether that entry may be handed out now, by tags too. */
bool entry_fits(const struct pool_entry *entry, struct bytes tags);

/* Hands it out. `fence`: of a new lease; used with lease_ms only. entry_settle is called. */
void entry_hand_out(struct pool_memory memory, struct pool *pool, struct pool_entry *entry, int64_t lease_ms,
                    uint64_t fence, int64_t now_ms, int64_t retention_ms, struct pool_pick *pick);
/* Takes a hand-out back that nobody got: as if it had not been. */
void entry_take_back(struct pool *pool, struct pool_entry *entry, const struct pool_pick *pick, int64_t now_ms,
                     int64_t retention_ms);

/* ---- returning */

/* Ends a lease at that moment: it is counted. True: the session was retired by that. */
bool entry_end_lease(struct pool *pool, struct pool_entry *entry, int64_t at_ms);
/* True: the session was retired by it. */
bool entry_mark(struct pool *pool, struct pool_entry *entry, struct mark_outcome outcome,
                const struct status_codes *extra, uint64_t use, int64_t now_ms);
bool entry_release(struct pool *pool, struct pool_entry *entry, uint64_t use, bool has_fence, int64_t now_ms);

/* Tests: asserts every invariant. */
void pool_check(const struct pool *pool);

#endif
