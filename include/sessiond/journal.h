/* What an engine and a server know of the log: where changes go, up to where they are safe, and whether more are taken.
 *
 * A change is an effect: bytes that the engine writes and reads (see engine.h, apply) and the log does not look into.
 * Each effect bears a version that was taken before it was appended. `mark` is the version up to which every effect is
 * as safe as the durability level demands (everysec: handed to the system; always: synced): an answer that depends on
 * no newer version may go out. Without a journal (durability none) nothing waits. */
#ifndef SESSIOND_JOURNAL_H
#define SESSIOND_JOURNAL_H

#include "sessiond/bytes.h"

#include <stdatomic.h>

enum journal_state {
    JOURNAL_OPEN,
    JOURNAL_BUSY,  /* as much waits for the disk as may: try again in a moment */
    JOURNAL_FULL,  /* the disk has no space left: it takes writes again by itself when there is some */
    JOURNAL_FAILED /* a write or a sync failed: the mark never moves again, the server only reads until it is restarted
                    */
};

struct journal {
    _Atomic uint64_t mark;     /* never falls */
    _Atomic uint32_t state;    /* enum journal_state; FAILED is final */
    _Atomic int64_t busy_from; /* from this moment (server time) on it is as if BUSY; INT64_MAX: never. By this a disk
                                  that hangs is noticed although nobody comes back from it */

    /* Takes over a copy of one loop's effects; `effects` are whole ones, of about JOURNAL_APPEND_BYTES at most unless a
     * single one is larger. That loop's thread, in a turn or not; never blocks on the disk. Where memory is lacking for
     * them, the journal fails. */
    void (*append)(struct journal *self, unsigned loop_index, struct bytes effects);

    /* What this loop has appended is to be written now: once it has noted that it holds none of it back (engine.h,
     * appended), so that whoever is woken by it finds the mark free to move. That loop's thread. NULL: nothing is to be
     * told. */
    void (*flush)(struct journal *self, unsigned loop_index);

    /* Has the loop woken (env.wake) once the mark has reached `version`, or the journal failed; at once if it has. A
     * later call takes the place of an earlier one. That loop's thread. */
    void (*await)(struct journal *self, unsigned loop_index, uint64_t version);
};

#define JOURNAL_APPEND_BYTES (256 * 1024) /* staged effects from which on a loop appends before its turn ends */

static inline uint64_t journal_mark(const struct journal *journal) {
    return atomic_load_explicit(&((struct journal *)journal)->mark, memory_order_acquire);
}

/* Whether, and why not, a write may begin at `now_ms`. */
static inline enum journal_state journal_state_at(const struct journal *journal, int64_t now_ms) {
    struct journal *self = (struct journal *)journal;
    enum journal_state state = (enum journal_state)atomic_load_explicit(&self->state, memory_order_acquire);
    if (state == JOURNAL_OPEN && now_ms >= atomic_load_explicit(&self->busy_from, memory_order_relaxed))
        return JOURNAL_BUSY;
    return state;
}

#endif
