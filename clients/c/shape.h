/* The tools that typed results are read with: single values out of a cursor, the one block that a result is, records in
 * it, and the frame of every sessiond_reply_... function. For the files of this folder; any thread. */
#ifndef CLIENT_SHAPE_H
#define CLIENT_SHAPE_H

#include "results.h"

/* ---- single values; what is of another type is walked past */

struct bytes read_text(struct mp_cursor *cursor);                 /* str or bin; else absent */
int64_t read_number(struct mp_cursor *cursor, int64_t otherwise); /* an integer, or `otherwise` */
double read_score(struct mp_cursor *cursor);                      /* a number, or 0 */
uint32_t read_count(struct mp_cursor *cursor);                    /* of an array; too many is an error */
bool is_key(struct bytes key, const char *name);

/* ---- the block of a result */

/* Arrays and pool are taken from apart: whatever the order of the keys, what was measured for the arrays is aligned. */
struct block {
    char *arrays, *pool, *end; /* the arrays end at the first pool */
};

/* A zeroed block that begins with a result of `head` bytes, whose arrays take `arrays`, and whose pool fits texts and
 * values of an encoded one of `encoded` bytes. */
void *block_make(struct block *block, size_t head, size_t arrays, size_t encoded);
/* Takes bytes of an array from block->arrays; the caller measured them before. */
char *block_take(char **at, size_t size);
struct sessiond_text block_text(struct block *block, struct mp_cursor *cursor);
struct sessiond_bytes block_value(struct block *block, struct mp_cursor *cursor);

/* Reads a record, or nil: false. */
bool record_read(struct sessiond_record *record, struct block *block, struct mp_cursor *cursor);
/* Reads `count` records or nils; they take records_room(count) of the arrays. */
const struct sessiond_record *const *records_read(uint32_t count, struct block *block, struct mp_cursor *cursor);
size_t records_room(uint32_t count);

/* ---- the frame of a typed result */

/* The cursor over a reply's result; with the reply's own error it stands still. False: there is nothing to read. */
bool reply_begin(const struct sessiond_reply *reply, struct sessiond_error *error, struct mp_cursor *cursor, int *code);
/* nil, and a caller that wants no result, need no block. True: it is done, and *code says how. */
bool reply_is_over(struct sessiond_reply *reply, void **result, struct sessiond_error *error, struct mp_cursor *cursor,
                   int *code);
/* Ends the reading of a result: gives the reply back, and hands the block out or gives that back too. */
int reply_end(struct sessiond_reply *reply, const struct mp_cursor *cursor, void *block, void **result,
              struct sessiond_error *error);

/* Results that are a map of a few known keys: `entry` reads the value of one key into the result, or answers false and
 * leaves it to be walked past. */
typedef bool (*entry_reader)(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor);
void map_read(struct mp_cursor *cursor, entry_reader entry, void *result, struct block *block);
/* A whole such result, of `head` bytes, with `arrays` bytes of arrays. */
int reply_map(struct sessiond_reply *reply, size_t head, size_t arrays, entry_reader entry, void **result,
              struct sessiond_error *error);

/* What results begin with that hold sessions beside other things. */
struct sessions {
    size_t count;
    const struct sessiond_record *const *sessions;
};
/* For the key "sessions" of such a result. */
bool sessions_read(struct sessions *list, struct block *block, struct mp_cursor *cursor);
/* A whole such result of `head` bytes, which begins with a struct sessions; the rest starts as that of `empty`. */
int reply_sessions(struct sessiond_reply *reply, const void *empty, size_t head, entry_reader entry, void **result,
                   struct sessiond_error *error);

#endif
