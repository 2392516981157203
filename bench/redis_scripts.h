/* What the two halves of Redis's driver share: driver_redis.c has the store's requests and the scanner, redis_scripts.c
 * the whole operations, which are Lua scripts (bench/lua). Nobody else includes this. */
#ifndef BENCH_REDIS_SCRIPTS_H
#define BENCH_REDIS_SCRIPTS_H

#include "endpoint.h"

/* The texts of the scripts, compiled in. */
extern const char *const bench_scripts[SCRIPT_COUNT];

/* Append `mark` with a count and an end of line, a whole bulk string, and the value that is stamp and filling. */
void redis_write_count(struct template *template, char mark, size_t count);
void redis_write_word(struct template *template, const char *word);
void redis_write_value(const struct driver_setup *setup, struct template *template);

/* Has the server keep the scripts and notes what they are called there. A server that takes none leaves the names
 * empty: it can be measured, but for what needs them. */
void redis_load_scripts(struct driver_setup *setup, const struct endpoint *endpoint);

/* The driver's members of those names, for whole operations. */
bool redis_make_whole(const struct driver_setup *setup, enum request request, struct template *template);
const char *redis_judge(const struct driver_setup *setup, enum request request, const struct reply *reply,
                        const uint8_t *id, struct found *found);

#endif
