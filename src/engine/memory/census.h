/* Counting a group for its limit: how many of its entries are alive, and whom to end for a new one.
 *
 * A census looks at every entry, which is too much for each login of a user with thousands of sessions. So a large
 * group keeps what its last census knew: that all unmarked entries before a place are alive, and that none of them ends
 * by itself before a moment. That stands until somebody publishes a member as dead or with an earlier end (a stir, see
 * stir_of), the namespace is cleared, or that moment comes; meanwhile only entries behind the place are looked at, and
 * the victim is found from the oldest end or among those that had been idle longest.
 *
 * Everything here runs under the group's lock; records are looked up without one. */
#ifndef ENGINE_MEMORY_CENSUS_H
#define ENGINE_MEMORY_CENSUS_H

#include "engine/memory/memory.h"

#define CENSUS_KEEPS_FROM 16 /* unmarked entries from which on a group keeps what it knows */
#define CENSUS_IDLE_SHARE 16 /* one of so many entries is kept as one that has been idle longest */
#define CENSUS_IDLE_MIN   8  /* and at least so many */

/* What a look through a group's entries found. */
struct census {
    uint64_t max;       /* the limit; set before */
    bool wants_victims; /* somebody is to be ended; set before */
    bool prefers_idle;  /* the longest idle first, else the oldest; set before */
    uint32_t living;    /* entries that count: alive, or not published yet */
    uint32_t under_way; /* of those the ones that are not published yet, or just leaving: a moment tells */
    uint32_t due_count; /* of those whose deadline has passed but that are not marked yet */
    struct record *due; /* one of them */
    uint64_t due_hash;
    struct victim *victims; /* whom to end for the new one, the first first; the loop's */
    uint32_t victim_count, victim_max;
    int64_t until_ms;      /* none that was found alive ends by itself before */
    uint64_t unknown_from; /* age of the first entry of which nothing is known; UINT64_MAX: there is none */
    int64_t idle_from;     /* no living one that is not among the victims was active before */
};

/* Looks through the group, or what has to be looked at, and marks entries that are dead for good. */
void group_census(struct context *context, struct group *group, const struct group_key *key, struct census *census);

/* Marks those of the entries that are dead for good by now, which takes the lock itself: those whom the caller ended
 * without a stir. */
void group_mark_ended(struct context *context, const struct group_key *key, const struct victim *victims,
                      uint32_t count);

/* Whether a record will stay dead at any clock: one that is not alive does not if only this loop's time says it. */
bool record_is_dead_for_good(const struct memory_engine *engine, const struct record *record, uint64_t active);

#endif
