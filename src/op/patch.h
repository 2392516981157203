/* Patches: changes of some top-level keys of an encoded map, in one pass over it.
 *
 * Always true: what no clause names is copied byte for byte, in its place; new keys stand at the end, in the order of
 * the patch. Keys are their bytes: a str and a bin with equal bytes are one key, keys of other types cannot be named.
 * Work is bounded by the bytes of map and patch times the logarithm of the number of clauses, whatever the keys are:
 * they are sorted and not hashed, so that nobody can choose keys that collide. Pure; any thread. */
#ifndef OP_PATCH_H
#define OP_PATCH_H

#include "base/buf.h"
#include "sessiond/engine.h"

/* The clauses as they came; absent ones are none. */
struct patch {
    struct bytes set;   /* encoded map */
    struct bytes unset; /* encoded array of keys */
    struct bytes incr;  /* encoded map of key to number */
};

struct clause;

/* A patch made ready for one map. Lives in the scratch that it was opened with. */
struct patch_table {
    struct clause *clauses; /* in the order of the patch */
    uint16_t *sorted;       /* indices of clauses, by key */
    unsigned count;
    struct scratch *scratch;
};

/* Checks what needs no map: at most max_keys in each clause, keys are str or bin. False: *error says what is wrong. */
bool patch_check(const struct patch *patch, struct error *error);

/* Sorts the clauses of a checked patch in an empty `scratch`, with room for what becomes of a map of `map_size` bytes.
 * False: a key stands there twice, or memory is lacking. */
bool patch_open(struct patch_table *table, const struct patch *patch, size_t map_size, struct scratch *scratch,
                struct error *error);

/* Writes the changed map behind the table; `result` is valid until the scratch is reset. At most once per open. False:
 * `map` is no map, an incr cannot be added, or the result is above max_data. */
bool patch_apply(struct patch_table *table, struct bytes map, struct bytes *result, struct error *error);

/* Writes the map of the incremented keys, in the order of the patch, to their values in `map`, which the checked patch
 * was applied to. */
void patch_write_values(const struct patch *patch, struct bytes map, struct buf *out);

#endif
