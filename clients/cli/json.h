/* JSON to MessagePack and back, without loss.
 *
 * What JSON cannot say is a map of one key that begins with $:
 *   {"$bin": "base64"}      bytes that are no text (bin)
 *   {"$str": "base64"}      a str that is not UTF-8
 *   {"$int": "18446744073709551615"}  an integer above 2^63 - 1; printed as it is, and to be given like this
 *   {"$float": "nan"}       nan, inf, -inf
 *   {"$ext": [type, "base64"]}
 *   {"$map": [[key, value], ...]}  a map with keys that are no text, have a NUL in them or stand
 *                           there twice, or whose only key begins with $ */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "base/mp.h"

enum { JSON_DEPTH_MAX = MP_DEPTH_MAX, JSON_PROBLEM_MAX = 200 };

/* Reads one JSON text; NULL with *problem a sentence's end. Integers must fit int64, and a key stand once in a map. */
json_t *json_read(const char *text, size_t size, char problem[JSON_PROBLEM_MAX]);

/* Appends a JSON value as MessagePack; false with *problem: one of the $ forms is not well formed, or it is too deep.
 */
bool json_write_mp(const json_t *value, struct buf *out, char problem[JSON_PROBLEM_MAX]);

struct json_style {
    bool is_indented; /* else one line */
    bool is_coloured;
};

/* Appends one MessagePack value as JSON. `value` is well formed, and nested at most MP_DEPTH_MAX deep. */
void json_print(struct bytes value, struct json_style style, struct buf *out);

#endif
