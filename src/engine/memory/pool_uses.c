/* See pool_uses.h. */
#include "engine/memory/pool_uses.h"

#include <string.h>

uint32_t uses_words(const struct uses *uses) {
    return uses->more ? uses->more_words : 1;
}

uint64_t *uses_open_words(const struct uses *uses) {
    return uses->more ? uses->more : &((struct uses *)uses)->open;
}

uint64_t *uses_unmarked_words(const struct uses *uses) {
    return uses->more ? uses->more + uses->more_words : &((struct uses *)uses)->unmarked;
}

/* Where a number stands in the window; false: not in it. */
static bool use_place(const struct uses *uses, uint64_t use, uint32_t *word, uint64_t *bit) {
    if (use == 0 || use > uses->handed || use - 1 < uses->first) return false;
    uint64_t at = use - 1 - uses->first;
    *word = (uint32_t)(at / 64);
    *bit = UINT64_C(1) << at % 64;
    return true;
}

/* Moves the window's start by that many words; what is open there is forgotten. */
static void window_move(struct uses *uses, uint32_t words) {
    uint32_t count = uses_words(uses), kept = count - words;
    uint64_t *open = uses_open_words(uses), *unmarked = uses_unmarked_words(uses);
    for (uint32_t i = 0; i < words; i++) uses->open_count -= (uint64_t)__builtin_popcountll(open[i]);
    memmove(open, open + words, kept * sizeof(*open));
    memmove(unmarked, unmarked + words, kept * sizeof(*unmarked));
    memset(open + kept, 0, words * sizeof(*open));
    memset(unmarked + kept, 0, words * sizeof(*unmarked));
    uses->first += 64 * (uint64_t)words;
}

static bool window_grow(struct uses *uses, struct slab *slab, unsigned arena) {
    uint32_t count = uses_words(uses), larger = count * 2;
    if (larger > USES_WORDS_MAX) return false;
    uint64_t *words = slab_alloc(slab, arena, 2 * larger * sizeof(*words));
    if (!words) return false;
    memset(words, 0, 2 * larger * sizeof(*words));
    memcpy(words, uses_open_words(uses), count * sizeof(*words));
    memcpy(words + larger, uses_unmarked_words(uses), count * sizeof(*words));
    if (uses->more) slab_free(slab, uses->more, 2 * uses->more_words * sizeof(*words));
    uses->more = words;
    uses->more_words = larger;
    return true;
}

/* Sees to it that the next number has its bits. */
static void window_make_room(struct uses *uses, struct slab *slab, unsigned arena) {
    if (uses->handed - uses->first < 64 * (uint64_t)uses_words(uses)) return;
    uint32_t done = 0;
    while (done < uses_words(uses) && !(uses_open_words(uses)[done] | uses_unmarked_words(uses)[done])) done++;
    if (done == 0 && window_grow(uses, slab, arena)) return;
    window_move(uses, done ? done : 1);
}

uint64_t uses_hand_out(struct uses *uses, struct slab *slab, unsigned arena) {
    window_make_room(uses, slab, arena);
    uint64_t at = uses->handed++ - uses->first, bit = UINT64_C(1) << at % 64;
    uses_open_words(uses)[at / 64] |= bit;
    uses_unmarked_words(uses)[at / 64] |= bit;
    uses->open_count++;
    return uses->handed;
}

bool uses_is_open(const struct uses *uses, uint64_t use) {
    uint32_t word;
    uint64_t bit;
    return use_place(uses, use, &word, &bit) && uses_open_words(uses)[word] & bit;
}

bool uses_is_unmarked(const struct uses *uses, uint64_t use) {
    uint32_t word;
    uint64_t bit;
    return use_place(uses, use, &word, &bit) && uses_unmarked_words(uses)[word] & bit;
}

void uses_close(struct uses *uses, uint64_t use) {
    uint32_t word;
    uint64_t bit;
    if (!use_place(uses, use, &word, &bit) || !(uses_open_words(uses)[word] & bit)) return;
    uses_open_words(uses)[word] &= ~bit;
    uses->open_count--;
}

void uses_note_mark(struct uses *uses, uint64_t use) {
    uint32_t word;
    uint64_t bit;
    if (use_place(uses, use, &word, &bit)) uses_unmarked_words(uses)[word] &= ~bit;
}

uint64_t uses_last_open(const struct uses *uses) {
    for (uint32_t i = uses->open_count ? uses_words(uses) : 0; i-- > 0;) {
        uint64_t word = uses_open_words(uses)[i];
        if (word) return uses->first + 64 * (uint64_t)i + 64 - (uint64_t)__builtin_clzll(word);
    }
    return 0;
}

void uses_fini(struct uses *uses, struct slab *slab) {
    if (uses->more) slab_free(slab, uses->more, 2 * uses->more_words * sizeof(uint64_t));
    uses->more = NULL;
}

bool uses_are_of_interest(const struct uses *uses) {
    const uint64_t *open = uses_open_words(uses), *unmarked = uses_unmarked_words(uses);
    for (uint32_t i = 0; i < uses_words(uses); i++)
        if (open[i] | unmarked[i]) return true;
    return false;
}

bool uses_restore(struct uses *uses, struct slab *slab, unsigned arena, uint64_t handed, uint64_t first,
                  uint32_t words) {
    *uses = (struct uses){.handed = handed, .first = words ? first : handed / 64 * 64};
    if (words <= 1) return true;
    uses->more = slab_alloc(slab, arena, 2 * words * sizeof(uint64_t));
    if (!uses->more) return false;
    memset(uses->more, 0, 2 * words * sizeof(uint64_t));
    uses->more_words = words;
    return true;
}

void uses_restore_word(struct uses *uses, uint32_t number, uint64_t open, uint64_t unmarked) {
    uses_open_words(uses)[number] = open;
    uses_unmarked_words(uses)[number] = unmarked;
    uses->open_count += (uint64_t)__builtin_popcountll(open);
}
