/* Values as scripts write them, to MessagePack and back to text, and patterns that a reply is held against.
 *
 * A value is JSON, with nil, b"bytes" for bin, x"c403..." for raw MessagePack, @250 for the moment 250 ms after the
 * script's start, $name for what was captured under it, bin(9) for that many zero bytes, deep(9) for arrays nested so
 * deep, and within an array repeat(9, value). A number with a dot or an exponent is a float.
 *
 * In a pattern moreover: _ is anything, $name captures where nothing was captured yet and must be equal afterwards,
 * >$name is a greater integer (>$name $other captures it too), id43 is an id that the server made, near $name one in
 * the same bucket, and a * ends a map or an array that may hold more.
 *
 * Tests only; one thread. A script that is badly written ends the program with its place. */
#ifndef SCENARIO_VALUE_H
#define SCENARIO_VALUE_H

#include "base/mp.h"

/* Captured values by name. */
struct captures {
    struct {
        char name[32];
        struct buf value;
    } all[32];
    unsigned count;
};

struct reading {
    const char *at;    /* the text from here on, up to its NUL */
    const char *place; /* "file:line", for complaints */
    int64_t base_ms;   /* what @0 is */
    struct captures *captures;
};

void captures_clear(struct captures *captures);

/* Appends the next value of the text. */
void value_write(struct reading *reading, struct buf *out);

/* Holds an encoded value against the next pattern of the text. False: `why` says where they part. */
bool value_match(struct reading *reading, struct bytes value, char *why, size_t why_size);

/* Writes the encoded value as a script would. */
void value_print(struct bytes value, int64_t base_ms, struct buf *text);

/* Past one whole value, however deep; answers its bytes. They must be whole: it reads what the server sent. */
struct bytes value_read(struct mp_cursor *cursor);

/* Past spaces; true: something is left on the line. */
bool reading_has_more(struct reading *reading);

#endif
