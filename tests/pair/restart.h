/* An engine that ends and begins again: what it told a journal, in whatever order, makes another one that is as it was.
 * Whoever waited and places that were held end with it. */
#ifndef PAIR_RESTART_H
#define PAIR_RESTART_H

#include "base/buf.h"
#include "base/prng.h"
#include "sessiond/engine.h"

struct kept_journal {
    struct journal journal; /* first */
    struct buf effects;     /* all that was told since kept_begin, or since the last snapshot, behind what it holds */
    size_t ordered_size;    /* of them: the snapshot, or the preamble, which are read first and in their order */
    /* of a snapshot that is being made: */
    bool is_walking;
    struct snapshot_cursor cursor;
    struct buf snapshot;
    size_t snapshot_from; /* what was told from there on belongs to it */
};

/* The journal of an engine that is to be opened, and then what its effects begin with. */
void kept_init(struct kept_journal *kept);
void kept_begin(struct kept_journal *kept, struct engine *engine);
void kept_fini(struct kept_journal *kept);

/* Makes some more of a snapshot, or begins one; what it covers is forgotten once it is done. Outside of any turn of the
 * loops. */
void kept_walk(struct kept_journal *kept, struct engine *engine, struct prng *prng, int64_t now_ms);

/* Gives an engine that was just opened all that was kept, in an order that `prng` chooses, and lets it go on at that
 * moment. */
void kept_recover(struct kept_journal *kept, struct engine *engine, struct prng *prng, int64_t now_ms);

#endif
