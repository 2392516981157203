/* The world, as far as the core may know it: randomness, sleepers to wake, work for others, and a point to switch at.
 *
 * Time is not here: it is an argument (`now_ms`). Two worlds exist: src/uv (the real one) and tests/sim.
 * All functions may be called from any loop's thread, at the same time. */
#ifndef SESSIOND_ENV_H
#define SESSIOND_ENV_H

#include <stddef.h>
#include <stdint.h>

struct env {
    void *context; /* passed to each function */

    /* Fills `out` with bytes from a cryptographically secure source (in the simulator: from the seed). Cannot fail. */
    void (*random)(void *context, void *out, size_t size);

    /* A deadline was armed that is earlier than what loop `loop_index` was last told to sleep until: have it call
     * engine_advance soon. Coalesced; must not block or call back. */
    void (*wake)(void *context, unsigned loop_index);

    /* There is work that would hold up a loop: have engine_prepare called soon by a thread that nobody waits for.
     * Coalesced; must not block or call back. NULL: nobody does, and whoever needs the work's result does it. */
    void (*prepare)(void *context);

    /* Stands between two takings of a lock; NULL in production. The simulator switches fibres here, so it must be
     * called with no lock held. */
    void (*point)(void *context);
};

static inline void env_point(const struct env *env) {
    if (env->point) env->point(env->context);
}

#endif
