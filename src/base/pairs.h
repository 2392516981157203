/* A map of MessagePack whose count is known only when its last pair was written, pair by pair. Pure; any thread. */
#ifndef BASE_PAIRS_H
#define BASE_PAIRS_H

#include "base/mp.h"

struct pairs {
    struct buf *out;
    size_t begin; /* where the map begins; of no meaning where the pairs go into somebody else's map */
    uint32_t count;
};

/* Begins a map at the end of `out`; pairs_end ends it. Nothing else is written to `out` meanwhile but pairs, and who
 * writes one by other means counts it in `count`. */
struct pairs pairs_begin(struct buf *out);
void pairs_end(const struct pairs *pairs);

/* Each appends one pair. */
void pair_uint(struct pairs *pairs, const char *name, uint64_t value);
void pair_int(struct pairs *pairs, const char *name, int64_t value);
void pair_bool(struct pairs *pairs, const char *name, bool value);
void pair_string(struct pairs *pairs, const char *name, const char *text);

#endif
