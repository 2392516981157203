/* Filters: which of a pool's lanes have certain tags, and which of their sessions is to be handed out next.
 *
 * Where few lanes have a tag, an acquire looks at each of them; where many do, it would look at all of them each time.
 * So the first one that asks for such tags makes a filter: a seat for each lane that has them all, and over the seats
 * trees in which each node knows the best of what is below it, one tree for each order that was ever asked for, and for
 * chance one of how many ready entries there are. Whoever changes a lane's ready entries notes it (filters_note), which
 * costs O(log n) in each filter that has the lane; an acquire then takes the root, or goes down from it by chance.
 * A filter takes a place for each lane and not for each session, and can be given up at any time: then the lanes are
 * looked at again. Of filters of a single tag there is one for each tag that many lanes have; of those of several tags
 * there are FILTERS_MAX, and one gives way to another only when it was asked for less often.
 * Everything here runs under the lock of the pool's table. */
#ifndef ENGINE_MEMORY_POOL_FILTER_H
#define ENGINE_MEMORY_POOL_FILTER_H

#include "engine/memory/pool.h"

#define FILTER_LANES_MIN 16 /* of the rarest tag asked for: fewer lanes are looked at one by one */
#define FILTERS_MAX      16 /* of several tags each, in one pool */
#define FILTER_CREDIT    64 /* asks that a filter is ahead of others at most */

/* The filter of these tags, made if many lanes have `rarest`, which is the one of them that the fewest have. NULL: look
 * at the tag's lanes one by one. */
struct pool_filter *filter_of(struct pool_memory memory, struct pool *pool, struct bytes tags, struct pool_tag *rarest);

/* The best ready entry of the filter's lanes in that order; ORDER_ANY: one by chance, each as likely as any other.
 * *picked NULL: none is ready. False where memory is lacking. */
bool filter_pick(struct pool_memory memory, struct pool *pool, struct pool_filter *filter, enum order_kind kind,
                 struct pool_entry **picked);

/* Seats a lane that has no entries yet in all filters of its tags; leave takes it out again, and gives up the filters
 * that are not worth their places any more. */
void filters_join(struct pool_memory memory, struct pool *pool, struct pool_lane *lane);
void filters_leave(struct pool_memory memory, struct pool *pool, struct pool_lane *lane);

/* After the lane's ready entries, or what its orders compare by, have changed. */
void filters_note(struct pool_lane *lane);

/* Gives up the tag's own filter, if it has one. */
void filter_of_tag_drop(struct pool_memory memory, struct pool_tag *tag);

/* Tests: asserts every invariant. */
void filters_check(const struct pool *pool);

#endif
