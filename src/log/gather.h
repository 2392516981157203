/* How long a sync waits for those who are about to write, so that one sync serves all of them.
 *
 * Writers that wait for a sync come back soon after it has ended. Begun at once, the next sync would take only those
 * who wrote while the last one ran, and find the others when it ends: two groups that alternate, with half of the
 * writers each, and twice as many syncs. So a sync waits until about as much is written as the last one covered and
 * left behind; but only for as long as it pays: what does not come leaves it off for twice as many syncs each time. A
 * single writer never waits, since nothing is missing when it has written. Pure arithmetic, for the storage thread that
 * syncs; the idea is known from databases as group commit with a delay (PostgreSQL's commit_delay), here without a
 * setting. */
#ifndef LOG_GATHER_H
#define LOG_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#define GATHER_PAUSE_MAX 256 /* syncs without waiting, after many that waited for nothing */

/* All zero at the start. */
struct gather {
    uint64_t expected;      /* bytes that the next sync is to cover, if all come back */
    uint32_t pause, pauses; /* syncs for which it is left off: the last time in all, and still */
};

/* Whether a sync that would cover `written` bytes now is to wait for more. */
static inline bool gather_waits(const struct gather *gather, uint64_t written) {
    return gather->pauses == 0 && written > 0 && written < gather->expected - gather->expected / 8;
}

/* A sync has ended that covered `covered` bytes, with `left` bytes written or queued behind them. `in_vain`: it had
 * waited as long as it might, and not all came. */
static inline void gather_ended(struct gather *gather, uint64_t covered, uint64_t left, bool in_vain) {
    gather->expected = covered + left;
    if (gather->pauses > 0) {
        gather->pauses--;
    } else if (in_vain) {
        gather->pause = gather->pause < GATHER_PAUSE_MAX / 2 ? gather->pause * 2 + 1 : GATHER_PAUSE_MAX;
        gather->pauses = gather->pause;
    } else {
        gather->pause = 0;
    }
}

#endif
