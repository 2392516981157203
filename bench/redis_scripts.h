/* Redis' whole operations, for its driver: each is a Lua script of bench/lua, compiled in. No state; any thread. */
#ifndef BENCH_REDIS_SCRIPTS_H
#define BENCH_REDIS_SCRIPTS_H

#include "endpoint.h"

/* The texts of the scripts, compiled in. */
extern const char *const bench_scripts[SCRIPT_COUNT];

/* Has the server, to which that driver speaks, keep the scripts and notes what they are called there. A server that
 * takes none leaves the names empty: it can be measured, but for what needs them. */
void redis_load_scripts(struct driver_setup *setup, const struct endpoint *endpoint, const struct driver *driver);

/* The driver's members of those names, for whole operations. */
bool redis_make_whole(const struct driver_setup *setup, enum request request, struct template *template);
const char *redis_judge(const struct driver_setup *setup, enum request request, const struct reply *reply,
                        const uint8_t *id, struct found *found);

#endif
