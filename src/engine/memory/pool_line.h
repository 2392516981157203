/* Lines: of those who wait for a pool's sessions, all who want the same stand in one line.
 *
 * Who wants the same can be served by the same, so what the first of a line cannot have nobody behind it can: whoever
 * serves asks one of each line and not all who wait, and only the lines for which something has happened: an entry of
 * their tags became ready, or the pool is full no longer (pool->news). Between lines the one that came first is first.
 * A line exists while somebody stands in it. Everything here runs under the lock of the pool's table. */
#ifndef ENGINE_MEMORY_POOL_LINE_H
#define ENGINE_MEMORY_POOL_LINE_H

#include "engine/memory/pool.h"

/* Where somebody stands. */
struct line_place {
    struct list link; /* of the line's places, by arrival */
    struct pool_line *line;
    uint64_t arrival;
};

/* Puts it where its arrival belongs in the line of that want, which is made if there is none. False where memory is
 * lacking. */
bool line_join(struct pool_memory memory, struct pool *pool, const struct pool_want *want, struct line_place *place,
               uint64_t arrival);
void line_leave(struct pool_memory memory, struct pool *pool, struct line_place *place);

/* Opens the lines whose tags are among these (tags_bits), to be asked: lines_first answers who came first of all that
 * stand in open lines, NULL: none is open. */
void lines_open(struct pool *pool, uint64_t tag_bits);
struct line_place *lines_first(const struct pool *pool);
/* Closes the line in which it stands; and all. */
void line_close(struct pool *pool, const struct line_place *place);
void lines_close(struct pool *pool);

/* Notes that whoever wants these tags, or none, may be served now. */
static inline void pool_note_news(struct pool *pool, uint64_t tag_bits) {
    pool->has_news = true;
    pool->news |= tag_bits;
}

/* Frees all lines, whose places are gone. */
void lines_free(struct pool_memory memory, struct pool *pool);

/* Tests: asserts every invariant; answers how many places there are. */
uint64_t lines_check(const struct pool *pool);

#endif
