/* Snapshots: all that the engine holds, in one file, so that the segments before it can go.
 *
 * Snapshot N covers the segments before N. The walk begins when the log has gone over to segment N: whatever stands in
 * an earlier one was appended before that, thus changed in the engine before that, so the walk sees it, or what came
 * after it. What changes while the walk runs stands in segment N or later as well, whether the walk has seen it or not.
 *
 * It is written under another name, synced, and gets its name only when the log is synced up to the newest version that
 * the walk has met: else, after a power cut, it could know of a change and the log lack one that was made before it.
 * Only when its name is safe in the directory is anything removed. A snapshot that fails is removed, told, and tried
 * again after a while; the log does not care, but for the directory, which both rely on.
 *
 * The keeping thread's, a slice with each call, so that a spare segment never waits for long. */
#include "base/log.h"
#include "log/internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static void part_name_write(uint64_t number, char out[DISK_NAME_MAX + 1]) {
    file_name_write(FILE_SNAPSHOT, number, out);
    size_t size = strlen(out);
    snprintf(out + size, DISK_NAME_MAX + 1 - size, ".part");
}

static void phase_set(struct log *log, enum snapshot_phase phase, uint64_t number) {
    lock_take(&log->lock);
    log->snapshot.phase = phase;
    log->snapshot.number = number;
    log->stats.snapshot_is_running = phase != SNAPSHOT_NONE;
    lock_release(&log->lock);
}

void snapshot_drop(struct log *log) {
    struct disk *disk = log->options.disk;
    struct file_out *out = &log->snapshot.out;
    bool is_there = out->name[0] != 0;
    file_close(log, out);
    if (is_there && !log_is_failed(log)) disk->remove(disk->context, out->name);
    out->name[0] = 0;
    buf_fini(&log->slice);
    buf_fini(&log->frame);
    phase_set(log, SNAPSHOT_NONE, 0);
}

static int64_t snapshot_failed(struct log *log, const char *what, int64_t now_ms) {
    struct disk *disk = log->options.disk;
    const char *why = disk->why(disk->context);
    log_event(LOG_ERROR, "snapshot_failed", LOG_INT("number", log->snapshot.number), LOG_TEXT("what", what),
              LOG_TEXT("why", why), LOG_INT("retry_after_ms", SNAPSHOT_RETRY_MS));
    snapshot_drop(log);
    lock_take(&log->lock);
    log->stats.snapshot_failures_total++;
    lock_release(&log->lock);
    log->snapshot_at = now_ms + SNAPSHOT_RETRY_MS;
    return now_ms; /* space is free again: a spare segment may be waiting for it */
}

/* ---------------------------------------------------------------- its beginning */

/* The segment behind the current one; under the lock. */
static uint64_t number_next(const struct log *log) {
    return log->spare ? log->spare->out.number : log->next_number;
}

uint64_t log_snapshot(struct log *log) {
    lock_take(&log->lock);
    uint64_t number = log->snapshot.phase != SNAPSHOT_NONE ? log->snapshot.number : log->snapshot_asked;
    if (number == 0) number = log->snapshot_asked = number_next(log);
    lock_release(&log->lock);
    log_signal(log, LOG_KEEP);
    return number;
}

/* Bytes of effects that were logged since the newest snapshot. Under the lock. */
static uint64_t log_bytes_since(const struct log *log) {
    return log->stats.log_effect_bytes_total - log->log_base;
}

/* Whether one is to be begun now; else *next says when to look again. Under the lock. */
static bool snapshot_is_due(const struct log *log, int64_t now_ms, int64_t *next) {
    const struct log_options *options = &log->options;
    *next = INT64_MAX;
    if (log->snapshot_asked) return true;
    int64_t due = INT64_MAX;
    if (options->snapshot_log_bytes > 0 && log_bytes_since(log) >= options->snapshot_log_bytes)
        due = now_ms;
    else if (options->snapshot_interval_ms > 0 && log_bytes_since(log) > 0)
        due = log->snapshot_last_at + options->snapshot_interval_ms;
    if (due < log->snapshot_at) due = log->snapshot_at;
    if (due > now_ms) {
        *next = due;
        return false;
    }
    return true;
}

/* Has the log go over to the segment that the snapshot is named after. */
static int64_t snapshot_begin(struct log *log, int64_t now_ms) {
    int64_t next;
    lock_take(&log->lock);
    bool is_due = snapshot_is_due(log, now_ms, &next);
    if (is_due) {
        log->snapshot.phase = SNAPSHOT_ROTATING;
        log->snapshot.number = log->snapshot_asked ? log->snapshot_asked : number_next(log);
        log->snapshot_asked = 0;
        log->snapshot.begun_at = now_ms;
        log->stats.snapshot_is_running = true;
        if (log->rotate_to < log->snapshot.number) log->rotate_to = log->snapshot.number;
    }
    lock_release(&log->lock);
    if (is_due) log_signal(log, LOG_WRITE);
    return next;
}

static bool frame_write(struct log *log) {
    struct file_out *out = &log->snapshot.out;
    bool is_done =
        !log->frame.is_failed && log->options.disk->write(out->file, out->position, buf_bytes(&log->frame)) == DISK_OK;
    out->position += log->frame.size;
    buf_clear(&log->frame);
    return is_done;
}

static int64_t file_make(struct log *log, int64_t now_ms) {
    struct disk *disk = log->options.disk;
    struct file_out *out = &log->snapshot.out;
    *out = (struct file_out){.number = log->snapshot.number};
    log->snapshot.cursor = (struct snapshot_cursor){0};
    part_name_write(out->number, out->name);
    enum disk_error error = disk->open(disk->context, out->name, DISK_MAKE, &out->file);
    if (error == DISK_EXISTS && disk->remove(disk->context, out->name) == DISK_OK)
        error = disk->open(disk->context, out->name, DISK_MAKE, &out->file);
    if (error != DISK_OK) return snapshot_failed(log, "open", now_ms);
    file_begin(log, out, FILE_SNAPSHOT, now_ms, &log->frame);
    if (!frame_write(log)) return snapshot_failed(log, "write", now_ms);
    phase_set(log, SNAPSHOT_WALKING, out->number);
    return now_ms;
}

static int64_t snapshot_rotate(struct log *log, int64_t now_ms) {
    lock_take(&log->lock);
    const struct segment *segment = log->current;
    bool is_there = segment && segment->is_begun && segment->out.number >= log->snapshot.number;
    log->snapshot.log_before = log->stats.log_effect_bytes_total;
    lock_release(&log->lock);
    return is_there ? file_make(log, now_ms) : INT64_MAX; /* the writer signals when it has gone over */
}

/* ---------------------------------------------------------------- the walk */

static bool file_sync(struct log *log) {
    struct file_out *out = &log->snapshot.out;
    const struct disk *disk = log->options.disk;
    if (disk->sync(out->file) != DISK_OK) return false;
    out->synced = out->position;
    /* Nobody reads it before the next start. Kept, all of a snapshot would take memory that nobody had in use, and
     * getting that costs more than the rest of the writing. */
    disk->forget(out->file, out->synced);
    return true;
}

static bool frame_put(struct log *log, enum frame_kind kind, struct bytes payload, int64_t now_ms) {
    struct file_out *out = &log->snapshot.out;
    struct frame_header frame = {
        .kind = kind, .synced = out->synced, .server_ms = now_ms, .size = (uint32_t)payload.size};
    file_put_frame(out, &frame, payload, &log->frame);
    return frame_write(log);
}

static int64_t walk_end(struct log *log, int64_t now_ms) {
    struct snapshot *snapshot = &log->snapshot;
    if (!frame_put(log, FRAME_END, bytes_of("", 0), now_ms)) return snapshot_failed(log, "write", now_ms);
    if (!file_sync(log)) return snapshot_failed(log, "sync", now_ms);
    uint64_t appended = log->engine->vtable->appended(log->engine);
    snapshot->version = snapshot->cursor.version > appended ? snapshot->cursor.version : appended;
    file_close(log, &snapshot->out);
    phase_set(log, SNAPSHOT_WAITING, snapshot->number);
    return now_ms;
}

static int64_t snapshot_walk(struct log *log, int64_t now_ms) {
    struct snapshot *snapshot = &log->snapshot;
    struct file_out *out = &snapshot->out;
    buf_clear(&log->slice);
    log->engine->vtable->snapshot(log->engine, &snapshot->cursor, &log->slice, SNAPSHOT_SLICE_BYTES, now_ms);
    if (log->slice.is_failed) return snapshot_failed(log, "memory", now_ms);
    if (log->slice.size > 0 && !frame_put(log, FRAME_EFFECTS, buf_bytes(&log->slice), now_ms))
        return snapshot_failed(log, "write", now_ms);
    if (out->position - out->synced >= SNAPSHOT_SYNC_BYTES && !file_sync(log))
        return snapshot_failed(log, "sync", now_ms);
    return snapshot->cursor.is_done ? walk_end(log, now_ms) : now_ms;
}

/* ---------------------------------------------------------------- its end */

static void snapshot_count(struct log *log, int64_t now_ms) {
    struct snapshot *snapshot = &log->snapshot;
    lock_take(&log->lock);
    log->stats.snapshots_total++;
    log->stats.snapshot_number = snapshot->number;
    log->stats.snapshot_bytes = snapshot->out.position;
    log->stats.snapshot_at = snapshot->begun_at;
    log->stats.snapshot_took_ms = now_ms - snapshot->begun_at;
    log->snapshot_last_at = snapshot->begun_at;
    log->log_base = snapshot->log_before;
    lock_release(&log->lock);
    log_event(LOG_INFO, "snapshot_made", LOG_INT("number", snapshot->number), LOG_INT("bytes", snapshot->out.position),
              LOG_INT("took_ms", now_ms - snapshot->begun_at));
}

static int64_t snapshot_name(struct log *log, int64_t now_ms) {
    struct disk *disk = log->options.disk;
    struct snapshot *snapshot = &log->snapshot;
    char name[DISK_NAME_MAX + 1];
    if (log_is_failed(log)) return INT64_MAX;
    file_name_write(FILE_SNAPSHOT, snapshot->number, name);
    if (disk->rename(disk->context, snapshot->out.name, name) != DISK_OK) return snapshot_failed(log, "rename", now_ms);
    snapshot->out.name[0] = 0; /* it is not to be removed any more */
    if (disk->sync_directory(disk->context) != DISK_OK) {
        log_fail(log, "sync of the directory of", name, 0);
        return INT64_MAX;
    }
    snapshot_count(log, now_ms);
    snapshot_drop(log);
    keep_remove_covered(log);
    return now_ms;
}

static int64_t snapshot_wait(struct log *log, int64_t now_ms) {
    lock_take(&log->lock);
    bool is_synced = log->synced_version >= log->snapshot.version;
    lock_release(&log->lock);
    if (is_synced) return snapshot_name(log, now_ms);
    log_signal(log, LOG_WRITE); /* which looks how far the engine has come, also when nothing is queued */
    return now_ms + PATIENCE_MS;
}

int64_t snapshot_advance(struct log *log, int64_t now_ms) {
    switch (log->snapshot.phase) {
    case SNAPSHOT_NONE: return snapshot_begin(log, now_ms);
    case SNAPSHOT_ROTATING: return snapshot_rotate(log, now_ms);
    case SNAPSHOT_WALKING: return snapshot_walk(log, now_ms);
    default: return snapshot_wait(log, now_ms);
    }
}
