/* The hand-outs of one session, by their numbers 1, 2, 3 ...: which are open, and which had no mark yet.
 *
 * Two bits for each hand-out in a window that begins at the oldest one of interest; 64 of them cost nothing beyond the
 * struct. A session that is handed out more than USES_MAX times beyond one that is never marked forgets that one, as if
 * a lease had ended: it stays counted. All zero is empty. Under the pool's lock. */
#ifndef ENGINE_MEMORY_POOL_USES_H
#define ENGINE_MEMORY_POOL_USES_H

#include "engine/memory/slab.h"
#include <stdbool.h>
#include <stdint.h>

#define USES_WORDS_MAX 1024
#define USES_MAX       (64u * USES_WORDS_MAX)

struct uses {
    uint64_t handed;     /* the last number */
    uint64_t first;      /* number - 1 of the window's first bit: a multiple of 64 */
    uint64_t open_count; /* bits in `open` */
    uint64_t *more;      /* 2 * more_words words, `open` before `unmarked`; NULL: the window is the word below */
    uint32_t more_words;
    uint64_t open, unmarked;
};

/* The next number, which is never given again: open and without a mark. Where memory is lacking the window forgets
 * early. */
uint64_t uses_hand_out(struct uses *uses, struct slab *slab, unsigned arena);

bool uses_is_open(const struct uses *uses, uint64_t use);
/* Whether it was handed out and had neither mark nor release, as far as is remembered. */
bool uses_is_unmarked(const struct uses *uses, uint64_t use);
/* Each: nothing happens to one that is not so. */
void uses_close(struct uses *uses, uint64_t use);
void uses_note_mark(struct uses *uses, uint64_t use);
/* The open one with the greatest number; 0: none. */
uint64_t uses_last_open(const struct uses *uses);

void uses_fini(struct uses *uses, struct slab *slab);

/* ---- for the log: what stands in the window */

/* Whether any is open or without a mark. If not, the window need not be kept. */
bool uses_are_of_interest(const struct uses *uses);
uint32_t uses_words(const struct uses *uses);
uint64_t *uses_open_words(const struct uses *uses);
uint64_t *uses_unmarked_words(const struct uses *uses);
/* Fills uses that are all zero: with that last number, and an empty window of so many words (a power of two; 0: of any
 * size) that begins behind `first`. False where memory is lacking. */
bool uses_restore(struct uses *uses, struct slab *slab, unsigned arena, uint64_t handed, uint64_t first,
                  uint32_t words);
/* Fills one word of the window, once. */
void uses_restore_word(struct uses *uses, uint32_t number, uint64_t open, uint64_t unmarked);

#endif
