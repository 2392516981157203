/* log_write: what was appended goes to the current segment, frame by frame; segments begin and end here.
 *
 * One round takes the queue and writes all of it, unless it has to stop: for the sync of a segment that ends, for the
 * spare one that is being made, for space. What was taken then stays taken, and the frame that was made stays made; the
 * next round goes on there. Only when all that was taken is written does the version count that went with it.
 * One thread; see internal.h for what is its own. */
#include "base/log.h"
#include "log/internal.h"

#include <assert.h>

enum going {
    GOING_ON,
    GOING_DONE,  /* all that was taken is written */
    GOING_WAITS, /* for another storage thread, which will signal */
    GOING_FULL,
    GOING_FAILED
};

/* ---------------------------------------------------------------- segments */

static struct file_out *current_out(struct log *log) {
    return &log->current->out;
}

static void put_head(struct log *log, int64_t now_ms) {
    file_begin(log, current_out(log), FILE_LOG, now_ms, &log->pending);
    log->pending_kind = FRAME_EFFECTS;
    log->pending_effects = log->pending_queue = 0;
}

/* Sees to it that there is a segment to write to. */
static enum going segment_ready(struct log *log, int64_t now_ms) {
    if (log->pending.size > 0) return GOING_ON;
    lock_take(&log->lock);
    struct segment *segment = log->current;
    if (segment && !segment->is_ending && space_must_end(log)) segment->is_ending = true;
    bool is_ending = segment && segment->is_ending, begins = !segment && log->spare;
    bool is_spent = segment && !log->spare && segment->out.position >= segment->allocated - log->slack_bytes;
    if (begins) {
        log->current = log->spare;
        log->spare = NULL;
    }
    space_settle(log);
    lock_release(&log->lock);
    if (is_ending) {
        log_signal(log, LOG_SYNC);
        return GOING_WAITS;
    }
    if (segment && !is_spent) return GOING_ON;
    log_signal(log, LOG_KEEP);
    if (!begins) return GOING_WAITS;
    put_head(log, now_ms);
    return GOING_ON;
}

/* ---------------------------------------------------------------- frames */

static void put_frame(struct log *log, enum frame_kind kind, uint64_t version, struct bytes payload, int64_t now_ms) {
    lock_take(&log->lock);
    uint64_t synced = log->current->out.synced;
    lock_release(&log->lock);
    struct frame_header frame = {
        .kind = kind, .synced = synced, .server_ms = now_ms, .version = version, .size = (uint32_t)payload.size};
    file_put_frame(current_out(log), &frame, payload, &log->pending);
    log->pending_kind = kind;
    log->pending_effects = payload.size;
    log->pending_queue = payload.size > 0 ? payload.size + FRAME_OVERHEAD_BYTES : 0;
}

/* A MARK is due when all is written and synced and nothing came for a while: without it, damage of the last frame could
 * be taken for a torn write. And from time to time while nothing comes: a start whose wall clock went backwards goes on
 * from the last moment that it finds, and gives every session anew what passed after that. */
static int64_t mark_due(const struct log *log) {
    return log->written_at + (log->is_marked ? LIFE_MS : IDLE_MS);
}

static bool mark_is_due(struct log *log, int64_t now_ms) {
    if (now_ms < mark_due(log)) return false;
    lock_take(&log->lock);
    bool is_synced = log->current->effects_end <= log->current->out.synced;
    lock_release(&log->lock);
    return is_synced;
}

/* Makes the next frame; false: there is none to be made. */
static bool next_frame(struct log *log, int64_t now_ms) {
    struct chunk *chunk = log->taken.first;
    if (chunk) {
        uint64_t version = chunk->next ? log->written_version : log->taken_version;
        put_frame(log, FRAME_EFFECTS, version, bytes_of(chunk->bytes, chunk->size), now_ms);
        queue_drop_taken(log);
        return true;
    }
    if (!mark_is_due(log, now_ms)) return false;
    put_frame(log, FRAME_MARK, log->written_version, bytes_of("", 0), now_ms);
    return true;
}

/* Figures of the pending bytes. Answers whether a snapshot may have come due. */
static bool count_bytes(struct log *log) {
    uint64_t limit = log->options.snapshot_log_bytes, before = log->stats.log_effect_bytes_total - log->log_base;
    uint64_t after = before + log->pending_effects;
    log->queue_bytes -= log->pending_queue;
    log->stats.log_bytes_total += log->pending.size;
    log->stats.log_frames_total++;
    log->stats.log_effect_bytes_total += log->pending_effects;
    return after > 0 && (before == 0 || (before < limit && after >= limit));
}

/* The pending bytes are on their way: moves everything that follows from it. Under the lock. Answers whether the
 * syncing thread is to be told. */
static bool count_written(struct log *log, int64_t now_ms) {
    struct segment *segment = log->current;
    segment->out.position += log->pending.size;
    log->is_write_denied = false;
    bool tells = false;
    if (log->pending_kind == FRAME_EFFECTS) {
        segment->effects_end = segment->out.position;
        tells = log->unsynced_from == INT64_MAX && log->syncing_from == INT64_MAX;
        if (log->unsynced_from == INT64_MAX) log->unsynced_from = now_ms;
        mark_settle_busy(log);
    }
    if (!segment->is_begun) {
        segment->is_begun = true;
        segment->body = segment->out.position;
    }
    /* A segment that ends soon is synced once before, so that its end has little left to wait for. */
    uint64_t soon = segment->body + log->options.segment_bytes / 8 * 7;
    if (!segment->is_hurried && segment->out.position >= soon) segment->is_hurried = tells = true;
    space_settle(log);
    return tells;
}

static enum going write_denied(struct log *log) {
    log_failure_set(log, "write", current_out(log)->name, current_out(log)->position);
    lock_take(&log->lock);
    log->is_write_denied = true;
    space_settle(log);
    lock_release(&log->lock);
    log_signal(log, LOG_KEEP); /* which tells it */
    return GOING_FULL;
}

static enum going write_pending(struct log *log, int64_t now_ms) {
    struct file_out *out = current_out(log);
    if (log->pending.is_failed) {
        log_fail(log, "memory for a frame", out->name, out->position);
        return GOING_FAILED;
    }
    enum disk_error error = log->options.disk->write(out->file, out->position, buf_bytes(&log->pending));
    if (error == DISK_FULL) return write_denied(log);
    if (error != DISK_OK) {
        log_fail(log, "write", out->name, out->position);
        return GOING_FAILED;
    }
    bool begins = !log->current->is_begun;
    lock_take(&log->lock);
    bool is_due = count_bytes(log), tells = count_written(log, now_ms);
    lock_release(&log->lock);
    buf_clear(&log->pending);
    log->is_marked = log->pending_kind == FRAME_MARK;
    log->written_at = now_ms;
    if (begins || is_due) log_signal(log, LOG_KEEP); /* a snapshot may wait for it */
    if (tells) log_signal(log, LOG_SYNC);
    return GOING_ON;
}

/* ---------------------------------------------------------------- the step */

/* All that was taken is written. */
static void settle(struct log *log) {
    lock_take(&log->lock);
    if (log->taken_version > log->written_version) log->written_version = log->taken_version;
    mark_settle(log);
    bool is_dirty = log->current && log->current->effects_end > log->current->out.synced;
    lock_release(&log->lock);
    mark_wake(log);
    if (is_dirty && log->options.level == LOG_ALWAYS) log_signal(log, LOG_SYNC);
}

static int64_t next_call(struct log *log, int64_t now_ms) {
    lock_take(&log->lock);
    bool is_queued = log->queue.first != NULL;
    lock_release(&log->lock);
    if (is_queued) return now_ms;
    /* A loop's effects are queued a moment before it says so: who waits for them is looked after. */
    if (mark_is_awaited(log, log->written_version)) return now_ms + 1;
    int64_t due = mark_due(log);
    return due > now_ms ? due : now_ms + IDLE_MS; /* what is written is not synced yet */
}

int64_t log_write(struct log *log, int64_t now_ms) {
    if (!log_step_begins(log)) return INT64_MAX;
    if (!log->taken.first) queue_take(log);
    enum going going;
    do {
        going = segment_ready(log, now_ms);
        if (going == GOING_ON && log->pending.size == 0 && !next_frame(log, now_ms)) going = GOING_DONE;
        if (going == GOING_ON) going = write_pending(log, now_ms);
    } while (going == GOING_ON);
    if (going == GOING_FULL) return now_ms + RETRY_MS;
    if (going != GOING_DONE) return INT64_MAX;
    settle(log);
    return next_call(log, now_ms);
}

bool write_end(struct log *log, int64_t now_ms) {
    assert(!log->taken.first && log->pending.size == 0 && log->current);
    put_frame(log, FRAME_END, log->written_version, bytes_of("", 0), now_ms);
    if (write_pending(log, now_ms) != GOING_ON) return false;
    lock_take(&log->lock);
    log->current->is_ending = true;
    lock_release(&log->lock);
    sync_now(log, now_ms);
    return log->current == NULL;
}
