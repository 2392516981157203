/* Space: how much more may be appended, so that everything that was admitted fits into what is allocated.
 *
 * A segment is allocated with more than the size at which it ends: the reserve (what all loops may still append after
 * each was told OPEN) and a slack. Two sizes are compared whenever one of them changes: what waits to be written, as
 * frames, and what is left of the current segment and of the spare one. As long as
 *
 *     queue + reserve <= left
 *
 * writes are admitted. Writing moves bytes from the left side to the right one and changes nothing; a segment gives way
 * to the spare one only at a place where what it loses was not counted: with a spare, only what lies before its end
 * counts, and without one it does not end. So when the inequality breaks, no loop having been told OPEN since, at most
 * the reserve is appended, and that fits. Frames are not divided: `left` stops a slack before the end, and a frame is
 * no longer than that, unless one append is; that one's bytes ask for their space when they are written, and on a full
 * disk they are kept and tried again, as on a disk that cannot promise space: nothing is lost, but answers wait.
 *
 * It breaks for two reasons. The spare is not made yet: BUSY, for a moment. It could not be made: FULL, until it can.
 */
#include "log/internal.h"

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

uint64_t space_of_segment(const struct log *log) {
    return FILE_HEADER_BYTES + FRAME_OVERHEAD_BYTES + log->preamble_bytes + log->options.segment_bytes +
           log->reserve_bytes + log->slack_bytes;
}

static uint64_t left_in_current(const struct log *log) {
    const struct segment *segment = log->current;
    if (!segment || segment->is_ending) return 0;
    uint64_t position = segment->out.position;
    if (log->spare) return less(segment->body + log->options.segment_bytes, position);
    return less(segment->allocated - log->slack_bytes, position);
}

/* What a segment that has not begun takes besides its head, which is about as long as the last one was. */
static uint64_t left_in_spare(const struct log *log) {
    if (!log->spare) return 0;
    uint64_t head = FILE_HEADER_BYTES + FRAME_OVERHEAD_BYTES + log->preamble_bytes;
    return less(log->spare->allocated, head + log->slack_bytes);
}

uint64_t space_left(const struct log *log) {
    return left_in_current(log) + left_in_spare(log);
}

bool space_must_end(const struct log *log) {
    const struct segment *segment = log->current;
    if (!log->spare) return false;
    if (segment->out.position >= segment->body + log->options.segment_bytes) return true;
    /* Ended before its time, it loses what is left of it: only if the spare alone is enough. */
    return segment->out.number < log->rotate_to && log->queue_bytes + log->reserve_bytes <= left_in_spare(log);
}

static enum journal_state state_now(const struct log *log) {
    bool is_tight = log->queue_bytes + log->reserve_bytes > space_left(log);
    if (log->is_write_denied || (is_tight && log->is_denied)) return JOURNAL_FULL;
    return log->is_long || is_tight ? JOURNAL_BUSY : JOURNAL_OPEN;
}

void space_settle(struct log *log) {
    if (log->queue_bytes > log->options.queue_bytes_max)
        log->is_long = true;
    else if (log->queue_bytes <= log->options.queue_bytes_max / 2)
        log->is_long = false;
    uint32_t state = state_now(log), before = atomic_load(&log->journal.state);
    /* Whoever makes it fail holds no lock: FAILED is never taken back. */
    do {
        if (before == state || before == JOURNAL_FAILED) return;
    } while (!atomic_compare_exchange_weak(&log->journal.state, &before, state));
    if (state == JOURNAL_FULL) log->stats.full_total++;
}
