/* The log's life, its face towards loops (struct journal), and its figures. What it does is in the parts named in
 * internal.h; how space is promised in log_space.c, how snapshots stay true in log_snapshot.c. */
#include "base/log.h"

#include "log/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- failing */

void log_failure_set(struct log *log, const char *what, const char *name, uint64_t place) {
    struct disk *disk = log->options.disk;
    char text[sizeof log->stats.failure];
    snprintf(text, sizeof text, "%s %s at %llu: %s", what, name, (unsigned long long)place, disk->why(disk->context));
    lock_take(&log->lock);
    if (!log_is_failed(log)) memcpy(log->stats.failure, text, sizeof text);
    lock_release(&log->lock);
}

/* The log of lines, whoever waits, and the other threads. */
static void failure_tell(struct log *log) {
    if (atomic_exchange(&log->is_failure_told, true)) return;
    char failure[sizeof log->stats.failure];
    lock_take(&log->lock);
    log->stats.failed_total++;
    memcpy(failure, log->stats.failure, sizeof failure);
    lock_release(&log->lock);
    log_event(LOG_ERROR, "storage_failed", LOG_TEXT("failure", failure),
              LOG_TEXT("todo", "nothing is written any more; look at the disk, then start the server again"));
    mark_wake(log);
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) log_signal(log, (enum log_thread)i);
}

void log_fail(struct log *log, const char *what, const char *name, uint64_t place) {
    log_failure_set(log, what, name, place);
    atomic_store(&log->journal.state, JOURNAL_FAILED);
    failure_tell(log);
}

bool log_step_begins(struct log *log) {
    if (!log->engine) return false;
    if (!log_is_failed(log)) return true;
    if (atomic_load(&log->is_failure_told)) return false;
    lock_take(&log->lock);
    snprintf(log->stats.failure, sizeof log->stats.failure, "memory was lacking for the effects of a change");
    lock_release(&log->lock);
    failure_tell(log);
    return false;
}

/* ---------------------------------------------------------------- the journal */

static void journal_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    struct log *log = (struct log *)self;
    assert(loop_index < log->options.loop_count);
    (void)loop_index;
    if (effects.size == 0 || log_is_failed(log)) return;
    if (!queue_append(log, effects)) log_fail(log, "memory for effects in", "the queue", 0);
}

/* Not with the append: a writer that was woken there, on the same core, would find the loop's floor below what it
 * takes, write it and move no mark, and would have to be woken once more. */
static void journal_flush(struct journal *self, unsigned loop_index) {
    struct log *log = (struct log *)self;
    assert(loop_index < log->options.loop_count);
    (void)loop_index;
    log_signal(log, LOG_WRITE);
}

static void journal_await(struct journal *self, unsigned loop_index, uint64_t version) {
    struct log *log = (struct log *)self;
    assert(loop_index < log->options.loop_count);
    mark_await(log, loop_index, version);
}

struct journal *log_journal(struct log *log) {
    return &log->journal;
}

/* ---------------------------------------------------------------- its life */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* See log_space.c. All grow with the segment, so that small ones, in tests and on small disks, stay small. */
static void sizes_set(struct log *log) {
    uint64_t segment = log->options.segment_bytes;
    log->chunk_bytes = least(segment / 4, CHUNK_BYTES_MAX);
    if (log->chunk_bytes < CHUNK_BYTES_MIN) log->chunk_bytes = CHUNK_BYTES_MIN;
    log->slack_bytes = least(segment, CHUNK_BYTES_MAX) + CHUNK_BYTES_MIN + FRAME_OVERHEAD_BYTES;
    /* What frames add to it counts too: each chunk but the last is more than half full. */
    uint64_t bytes = least(segment, LOOP_RESERVE_BYTES), frames = 2 * bytes / log->chunk_bytes + 2;
    log->reserve_bytes = log->options.loop_count * (bytes + frames * FRAME_OVERHEAD_BYTES);
}

struct log *log_make(const struct log_options *options) {
    assert(options->loop_count > 0 && options->loop_count <= LOG_LOOPS_MAX && options->segment_bytes > 0);
    struct log *log = calloc(1, sizeof *log);
    if (!log) return NULL;
    log->options = *options;
    log->options.keys = NULL;
    if (options->keys) log->keys = *options->keys;
    log->has_keys = options->keys != NULL;
    log->journal.append = journal_append;
    log->journal.flush = journal_flush;
    log->journal.await = journal_await;
    atomic_init(&log->journal.busy_from, INT64_MAX);
    log->unsynced_from = log->syncing_from = INT64_MAX;
    log->synced_at = INT64_MIN / 2;
    log->pending = log->slice = log->frame = BUF_EMPTY;
    sizes_set(log);
    return log;
}

static void count_segment(void *context, const char *name, uint64_t size) {
    struct log *log = context;
    enum file_kind kind;
    uint64_t number;
    if (!file_name_read(name, &kind, &number) || kind != FILE_LOG || number >= log->next_number) return;
    log->kept_segments++;
    log->kept_bytes += size;
}

static bool open_failed(struct log *log, const char **why) {
    snprintf(log->why, sizeof log->why, "the log cannot be opened: %s", log->stats.failure);
    *why = log->why;
    log->engine = NULL;
    return false;
}

bool log_open(struct log *log, struct engine *engine, const struct log_start *start, int64_t now_ms, const char **why) {
    struct disk *disk = log->options.disk;
    memcpy(log->store_id, start->store_id, STORE_ID_BYTES);
    log->next_number = start->next_number;
    log->previous_bytes = start->previous_bytes;
    log->stats.snapshot_number = start->snapshot_number;
    log->log_base = 0 - start->log_bytes;
    log->snapshot_last_at = now_ms;
    log->written_version = log->synced_version = log->taken_version = start->version;
    atomic_store(&log->journal.mark, start->version);
    log->engine = engine;
    log->has_litter = true;
    if (disk->list(disk->context, count_segment, log) != DISK_OK) {
        log_failure_set(log, "listing of", "the data directory", 0);
        return open_failed(log, why);
    }
    enum disk_error error = keep_make_spare(log, now_ms);
    /* On a full disk the server still reads, and takes writes when there is space. */
    return error == DISK_OK || error == DISK_FULL ? true : open_failed(log, why);
}

void log_rotate(struct log *log, const struct seal_keys *keys) {
    lock_take(&log->lock);
    log->has_keys = keys != NULL;
    seal_keys_wipe(&log->keys);
    if (keys) log->keys = *keys;
    uint64_t number = log->spare ? log->spare->out.number : log->next_number; /* whose head is not made yet */
    if (log->rotate_to < number) log->rotate_to = number;
    lock_release(&log->lock);
    log_signal(log, LOG_WRITE);
}

/* One round of each step, as often as it takes to have all written; a segment's end asks for several. */
static bool drain(struct log *log, int64_t now_ms) {
    for (unsigned round = 0; round < 1000; round++) {
        log_write(log, now_ms);
        sync_now(log, now_ms);
        if (!log->spare) keep_make_spare(log, now_ms);
        if (log_is_failed(log)) return false;
        bool is_drained = !log->queue.first && !log->taken.first && log->pending.size == 0;
        if (is_drained && log->current && !log->current->is_ending) return true;
        if (atomic_load(&log->journal.state) == JOURNAL_FULL && round > 2) return is_drained;
    }
    return false;
}

static void spare_remove(struct log *log) {
    struct disk *disk = log->options.disk;
    if (!log->spare) return;
    file_close(log, &log->spare->out);
    if (!log_is_failed(log) && disk->remove(disk->context, log->spare->out.name) == DISK_OK)
        disk->sync_directory(disk->context);
    free(log->spare);
    log->spare = NULL;
}

bool log_close(struct log *log, int64_t now_ms) {
    if (!log->engine) return true;
    if (log->snapshot.phase != SNAPSHOT_NONE) snapshot_drop(log);
    bool is_safe = !log_is_failed(log) && drain(log, now_ms);
    if (is_safe && log->current) is_safe = write_end(log, now_ms);
    spare_remove(log);
    log->engine = NULL;
    return is_safe;
}

void log_free(struct log *log) {
    if (!log) return;
    if (log->snapshot.phase != SNAPSHOT_NONE) file_close(log, &log->snapshot.out);
    struct segment *segments[] = {log->current, log->spare};
    for (unsigned i = 0; i < 2; i++) {
        if (segments[i]) file_close(log, &segments[i]->out);
        free(segments[i]);
    }
    struct queue free_chunks = {log->free_chunks, NULL};
    queue_free(&log->queue);
    queue_free(&log->taken);
    queue_free(&free_chunks);
    buf_fini(&log->pending);
    buf_fini(&log->slice);
    buf_fini(&log->frame);
    seal_keys_wipe(&log->keys);
    free(log);
}

/* ---------------------------------------------------------------- figures */

void log_stats_get(struct log *log, struct log_stats *out) {
    lock_take(&log->lock);
    *out = log->stats;
    out->state = (enum journal_state)atomic_load(&log->journal.state);
    out->log_queue_bytes = log->queue_bytes;
    out->log_segments = log->kept_segments;
    out->log_segment_bytes = log->kept_bytes;
    const struct segment *segment = log->current;
    if (segment) {
        out->log_segments++;
        out->log_segment_bytes += segment->out.position;
        out->log_unsynced_bytes = segment->out.position - segment->out.synced;
    }
    lock_release(&log->lock);
}
