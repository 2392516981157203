/* The notifications that connections got, and looking at them: see "^" in scenario.c.
 *
 * Always true: they stand in the order in which they came; of one connection, watch and session none is looked at
 * before those that came earlier. Tests only; one thread. */
#ifndef SCENARIO_NOTICES_H
#define SCENARIO_NOTICES_H

#include "value.h"

enum { NOTICE_MAX = 256 };

struct notice {
    unsigned conn;
    int line; /* that was played when it came */
    bool is_looked_at;
    struct buf map; /* what "event" was called with */
};

struct notices {
    struct notice all[NOTICE_MAX];
    unsigned count;
};

/* Takes a whole message; false: it is no [2, "event", [{...}]], or there are too many. */
bool notices_add(struct notices *notices, unsigned conn, int line, struct bytes message);

/* Looks at the first of the connection's that fits the pattern and has none of its session and watch before it;
 * is_next: only at the very next one. False: `why` says what came instead. */
bool notices_look(struct notices *notices, unsigned conn, bool is_next, struct reading *pattern, char *why,
                  size_t why_size);

/* The first that nobody looked at, of that connection or (negative) of any; NULL: there is none. */
const struct notice *notices_rest(const struct notices *notices, int conn);

void notices_clear(struct notices *notices);

#endif
