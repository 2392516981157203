/* A journal that is late: its mark stands still until somebody wants to see an answer, and moves then from one version
 * that a loop waits for to the next. So whatever is answered has waited in the server's gate first. It keeps what it is
 * given, and hands it to another engine. One thread. */
#ifndef TESTS_SUPPORT_LATE_H
#define TESTS_SUPPORT_LATE_H

#include "base/buf.h"
#include "sessiond/engine.h"

#define LATE_LOOPS_MAX 8

struct late {
    struct journal journal; /* first */
    const struct env *env;
    struct engine *engine;            /* whose changes these are: asked what it has appended, where it tells */
    uint64_t awaited[LATE_LOOPS_MAX]; /* by loop; 0: nothing */
    struct buf effects;               /* all that was appended; the first ones name the store */
};

void late_open(struct late *late, const struct env *env);
void late_close(struct late *late);
/* Moves the mark to the oldest version that is waited for, and wakes who waits for it. False: nobody waits. No turn may
 * be open. */
bool late_move(struct late *late);
/* Has `fresh` take the place of the engine, with all that was appended, as after a restart at `now_ms`. NULL: it is
 * done; else what the fresh one refused. */
const char *late_recover(struct late *late, struct engine *fresh, int64_t now_ms);

#endif
