/* log_sync: what is written becomes safe.
 *
 * One sync covers everything that was written when it began; meanwhile the writer goes on. A segment that ends is
 * synced to its last byte, cut to its size and closed here, and only then does the writer begin the next one.
 * One thread. */
#include "log/internal.h"

#include <stdlib.h>

/* What a sync that begins now covers; taken under the lock. */
struct round {
    struct segment *segment;
    uint64_t position, version;
    bool is_ending;
};

/* When the next sync is due; INT64_MAX: there is nothing to sync. Under the lock. */
static int64_t sync_due(const struct log *log, int64_t now_ms) {
    const struct segment *segment = log->current;
    if (!segment) return INT64_MAX;
    if (segment->is_ending) return now_ms;
    if (segment->effects_end <= segment->out.synced) return INT64_MAX;
    bool hurries = segment->is_hurried && segment->out.synced < segment->body + log->options.segment_bytes / 8 * 7;
    if (log->options.level == LOG_ALWAYS || hurries) return now_ms;
    return log->synced_at + SYNC_INTERVAL_MS;
}

static struct round round_begin(struct log *log, int64_t now_ms) {
    log->syncing_from = log->unsynced_from;
    log->unsynced_from = INT64_MAX;
    log->synced_at = now_ms;
    struct segment *segment = log->current;
    return (struct round){segment, segment->out.position, log->written_version, segment->is_ending};
}

static void round_end(struct log *log, const struct round *round, int64_t took_ms) {
    lock_take(&log->lock);
    round->segment->out.synced = round->position;
    if (round->version > log->synced_version) log->synced_version = round->version;
    log->syncing_from = INT64_MAX;
    log->stats.syncs_total++;
    if (took_ms > log->stats.sync_worst_ms) log->stats.sync_worst_ms = took_ms;
    mark_settle_busy(log);
    mark_settle(log);
    lock_release(&log->lock);
    mark_wake(log);
}

/* The segment is whole and safe. What is cut off are zeros, so it does not matter whether a power cut brings them back.
 */
static void segment_close(struct log *log, struct segment *segment) {
    struct disk *disk = log->options.disk;
    disk->truncate(segment->out.file, segment->out.position);
    file_close(log, &segment->out);
    lock_take(&log->lock);
    log->current = NULL;
    log->kept_segments++;
    log->kept_bytes += segment->out.position;
    log->previous_bytes = segment->out.position;
    lock_release(&log->lock);
    free(segment);
    log_signal(log, LOG_WRITE);
}

static bool round_sync(struct log *log, const struct round *round) {
    struct disk *disk = log->options.disk;
    struct file_out *out = &round->segment->out;
    if (out->synced >= round->position) return true;
    int64_t before = disk->wall_ms(disk->context);
    if (disk->sync(out->file) != DISK_OK) {
        log_fail(log, "sync", out->name, round->position);
        return false;
    }
    int64_t took = disk->wall_ms(disk->context) - before;
    round_end(log, round, took > 0 ? took : 0);
    return true;
}

int64_t sync_now(struct log *log, int64_t now_ms) {
    lock_take(&log->lock);
    if (!log->current) {
        lock_release(&log->lock);
        return INT64_MAX;
    }
    struct round round = round_begin(log, now_ms);
    lock_release(&log->lock);
    if (!round_sync(log, &round)) return INT64_MAX;
    if (round.is_ending) segment_close(log, round.segment);
    lock_take(&log->lock);
    int64_t due = sync_due(log, now_ms);
    lock_release(&log->lock);
    return due;
}

int64_t log_sync(struct log *log, int64_t now_ms) {
    if (!log_step_begins(log)) return INT64_MAX;
    lock_take(&log->lock);
    int64_t due = sync_due(log, now_ms);
    lock_release(&log->lock);
    return due > now_ms ? due : sync_now(log, now_ms);
}

void log_unsynced(struct log *log, uint64_t *written, uint64_t *appended) {
    lock_take(&log->lock);
    const struct segment *segment = log->current;
    *written = segment && segment->effects_end > segment->out.synced ? segment->effects_end - segment->out.synced : 0;
    *appended = *written + log->queue_bytes;
    lock_release(&log->lock);
}
