/* MessagePack as JSON, without loss; for sessiond-cli and sessiond-dump.
 *
 * What JSON cannot say is a map of one key that begins with $:
 *   {"$bin": "base64"}      bytes that are no text (bin)
 *   {"$str": "base64"}      a str that is not UTF-8
 *   {"$int": "18446744073709551615"}  an integer above 2^63 - 1; printed as it is, and to be given like this
 *   {"$float": "nan"}       nan, inf, -inf
 *   {"$ext": [type, "base64"]}
 *   {"$map": [[key, value], ...]}  a map with keys that are no text, have a NUL in them or stand
 *                           there twice, or whose only key begins with $ */
#ifndef CLI_JSON_PRINT_H
#define CLI_JSON_PRINT_H

#include "base/mp.h"

struct json_style {
    bool is_indented; /* else one line */
    bool is_coloured;
};

/* Appends one MessagePack value as JSON. `value` is well formed, and nested at most MP_DEPTH_MAX deep. */
void json_print(struct bytes value, struct json_style style, struct buf *out);

#endif
