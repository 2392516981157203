/* JSON to MessagePack and back, without loss. What JSON cannot say is a map of one key that begins with $: see
 * json_print.h. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "base/mp.h"
#include "json_print.h"

enum { JSON_DEPTH_MAX = MP_DEPTH_MAX, JSON_PROBLEM_MAX = 200 };

/* Reads one JSON text; NULL with *problem a sentence's end. Integers must fit int64, and a key stand once in a map. */
json_t *json_read(const char *text, size_t size, char problem[JSON_PROBLEM_MAX]);

/* Appends a JSON value as MessagePack; false with *problem: one of the $ forms is not well formed, or it is too deep.
 */
bool json_write_mp(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX]);

#endif
