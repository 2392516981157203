/* The thread that does for the engine what would hold up a loop: see `prepare` in sessiond/engine.h.
 *
 * All zero is a preparer that was not begun; waking and ending such a one is nothing. */
#ifndef UV_PREPARER_H
#define UV_PREPARER_H

#include "sessiond/engine.h"
#include "uv/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

struct preparer {
    struct engine *engine;
    const struct clock *clock;
    uv_mutex_t mutex; /* of the next two */
    uv_cond_t cond;
    bool is_told, is_stopping;
    _Atomic bool is_running; /* set once all above is there */
    uv_thread_t thread;
};

/* Starts the thread, which prepares at once for the first time. False: memory or threads are lacking. Main thread, as
 * is preparer_end. */
bool preparer_begin(struct preparer *preparer, struct engine *engine, const struct clock *clock);

/* Has it prepare soon. Any thread. */
void preparer_wake(struct preparer *preparer);

/* Ends the thread, once it is through with what it is at. Nobody wakes it any more. */
void preparer_end(struct preparer *preparer);

#endif
