/* See restart.h. */
#include "restart.h"

#include <stdio.h>
#include <stdlib.h>

#define EFFECT_HEAD 5 /* a kind and a size */

static void kept_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    struct kept_journal *kept = (struct kept_journal *)self;
    (void)loop_index;
    buf_append(&kept->effects, effects.data, effects.size);
}

static void kept_await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

void kept_init(struct kept_journal *kept) {
    *kept = (struct kept_journal){.journal = {.append = kept_append, .await = kept_await}};
    atomic_init(&kept->journal.busy_from, INT64_MAX);
}

void kept_begin(struct kept_journal *kept, struct engine *engine) {
    engine->vtable->preamble(engine, &kept->effects);
    kept->ordered_size = kept->effects.size;
}

void kept_walk(struct kept_journal *kept, struct engine *engine, struct prng *prng, int64_t now_ms) {
    if (!kept->is_walking) {
        kept->is_walking = true;
        kept->cursor = (struct snapshot_cursor){0};
        kept->snapshot_from = kept->effects.size;
        buf_clear(&kept->snapshot);
        engine->vtable->preamble(engine, &kept->snapshot);
    }
    engine->vtable->snapshot(engine, &kept->cursor, &kept->snapshot, 1 + (size_t)prng_below(prng, 1000), now_ms);
    if (!kept->cursor.is_done) return;
    kept->is_walking = false;
    kept->ordered_size = kept->snapshot.size;
    buf_append(&kept->snapshot, kept->effects.data + kept->snapshot_from, kept->effects.size - kept->snapshot_from);
    struct buf covered = kept->effects;
    kept->effects = kept->snapshot;
    kept->snapshot = covered;
}

void kept_fini(struct kept_journal *kept) {
    buf_fini(&kept->effects);
    buf_fini(&kept->snapshot);
}

/* Where each effect stands, and how many stand in the first bytes. */
static size_t slices_of(const struct buf *effects, size_t ordered_size, size_t *ordered, struct bytes **out) {
    size_t count = 0;
    *out = malloc((effects->size / EFFECT_HEAD + 1) * sizeof(**out));
    if (!*out) abort();
    for (size_t at = 0; at < effects->size;) {
        uint32_t body;
        memcpy(&body, effects->data + at + 1, sizeof(body));
        (*out)[count++] = bytes_of(effects->data + at, EFFECT_HEAD + body);
        at += EFFECT_HEAD + body;
        if (at == ordered_size) *ordered = count;
    }
    return count;
}

static void apply(struct engine *engine, struct bytes effects) {
    const char *why = NULL;
    if (engine->vtable->apply(engine, effects, &why)) return;
    fprintf(stderr, "an effect is refused: %s\n", why);
    abort();
}

void kept_recover(struct kept_journal *kept, struct engine *engine, struct prng *prng, int64_t now_ms) {
    struct recovery_counts counts;
    struct bytes *slices;
    const char *why;
    size_t ordered = 0, count = slices_of(&kept->effects, kept->ordered_size, &ordered, &slices);
    kept->is_walking = false;
    for (size_t i = count; i-- > ordered + 1;) {
        size_t j = ordered + (size_t)prng_below(prng, i - ordered + 1);
        struct bytes moved = slices[i];
        slices[i] = slices[j];
        slices[j] = moved;
    }
    for (size_t i = 0; i < count; i++) apply(engine, slices[i]);
    if (!engine->vtable->recovered(engine, now_ms, &counts, &why)) abort();
    engine->vtable->check(engine);
    free(slices);
}
