/* log_keep: the next segment is there before it is needed, and what a snapshot covers goes.
 *
 * Each call does a little: a spare segment first, since the log may wait for it; then one part of a snapshot. A spare
 * segment is allocated, and its name is safe in the directory; it has no header until the log goes over to it, so it is
 * of the keys and the preamble of that moment.
 * One thread; log_open and log_close call it when no other runs. */
#include "base/log.h"
#include "log/internal.h"

#include <stdlib.h>

/* ---------------------------------------------------------------- the spare segment */

static uint64_t preamble_size(struct log *log) {
    struct buf preamble = BUF_EMPTY;
    log->engine->vtable->preamble(log->engine, &preamble);
    uint64_t size = preamble.size;
    buf_fini(&preamble);
    return size;
}

static enum disk_error open_new(struct disk *disk, const char *name, struct disk_file **out) {
    enum disk_error error = disk->open(disk->context, name, DISK_MAKE, out);
    if (error != DISK_EXISTS) return error;
    /* Numbers are never used twice, so this is one that could not be allocated, nor removed then. */
    error = disk->remove(disk->context, name);
    return error == DISK_OK ? disk->open(disk->context, name, DISK_MAKE, out) : error;
}

/* Makes the file and its space. Where that fails it is gone again. */
static enum disk_error segment_allocate(struct log *log, struct segment *segment) {
    struct disk *disk = log->options.disk;
    enum disk_error error = open_new(disk, segment->out.name, &segment->out.file);
    if (error != DISK_OK) {
        log_failure_set(log, "making of", segment->out.name, 0);
        return error;
    }
    error = disk->allocate(segment->out.file, segment->allocated);
    if (error == DISK_OK) return DISK_OK;
    log_failure_set(log, "allocation of", segment->out.name, segment->allocated);
    file_close(log, &segment->out);
    disk->remove(disk->context, segment->out.name);
    return error;
}

static struct segment *segment_make(struct log *log) {
    struct segment *segment = calloc(1, sizeof *segment);
    if (!segment) return NULL;
    uint64_t preamble_bytes = preamble_size(log);
    lock_take(&log->lock);
    log->preamble_bytes = preamble_bytes;
    segment->out.number = log->next_number;
    segment->allocated = space_of_segment(log);
    lock_release(&log->lock);
    file_name_write(FILE_LOG, segment->out.number, segment->out.name);
    return segment;
}

static void spare_denied(struct log *log) {
    lock_take(&log->lock);
    log->is_denied = true;
    space_settle(log);
    lock_release(&log->lock);
}

static void spare_made(struct log *log, struct segment *segment) {
    lock_take(&log->lock);
    log->spare = segment;
    log->next_number++;
    log->is_denied = false;
    space_settle(log);
    lock_release(&log->lock);
    log_signal(log, LOG_WRITE);
}

enum disk_error keep_make_spare(struct log *log, int64_t now_ms) {
    struct disk *disk = log->options.disk;
    struct segment *segment = segment_make(log);
    enum disk_error error = segment ? segment_allocate(log, segment) : DISK_FULL;
    if (error != DISK_OK) {
        free(segment);
        log->spare_at = now_ms + RETRY_MS;
        spare_denied(log);
        return error;
    }
    error = disk->sync_directory(disk->context);
    if (error != DISK_OK) {
        log_fail(log, "sync of the directory of", segment->out.name, 0);
        file_close(log, &segment->out);
        free(segment);
        return error;
    }
    spare_made(log, segment);
    return DISK_OK;
}

/* Answers when to come again for it. */
static int64_t keep_spare(struct log *log, int64_t now_ms) {
    lock_take(&log->lock);
    bool has_spare = log->spare != NULL;
    lock_release(&log->lock);
    if (has_spare) return INT64_MAX;
    if (now_ms < log->spare_at) return log->spare_at;
    if (keep_make_spare(log, now_ms) == DISK_OK) return INT64_MAX;
    return log_is_failed(log) ? INT64_MAX : log->spare_at;
}

/* ---------------------------------------------------------------- removing */

/* What is to go, as one look at the directory found it; in pieces, since it is not told how many there are. */
enum { LITTER_MAX = 64 };

struct litter {
    struct log *log;
    uint64_t snapshot_number;
    char names[LITTER_MAX][DISK_NAME_MAX + 1];
    uint64_t sizes[LITTER_MAX];
    bool are_segments[LITTER_MAX];
    unsigned count;
};

static bool is_part_of_snapshot(const char *name) {
    static const char suffix[] = ".part";
    char stem[DISK_NAME_MAX + 1];
    enum file_kind kind;
    uint64_t number;
    size_t size = strlen(name), cut = sizeof suffix - 1;
    if (size <= cut || size > DISK_NAME_MAX || strcmp(name + size - cut, suffix) != 0) return false;
    memcpy(stem, name, size - cut);
    stem[size - cut] = 0;
    return file_name_read(stem, &kind, &number) && kind == FILE_SNAPSHOT;
}

static void litter_add(void *context, const char *name, uint64_t size) {
    struct litter *litter = context;
    enum file_kind kind;
    uint64_t number;
    bool is_file = file_name_read(name, &kind, &number), is_segment = is_file && kind == FILE_LOG;
    bool is_litter = is_file ? number < litter->snapshot_number
                             : is_part_of_snapshot(name) && strcmp(name, litter->log->snapshot.out.name) != 0;
    if (!is_litter || litter->count == LITTER_MAX) return;
    strcpy(litter->names[litter->count], name);
    litter->sizes[litter->count] = size;
    litter->are_segments[litter->count++] = is_segment;
}

/* Answers how many are gone. */
static unsigned litter_remove(struct litter *litter) {
    struct log *log = litter->log;
    struct disk *disk = log->options.disk;
    unsigned removed = 0;
    for (unsigned i = 0; i < litter->count && !log_is_failed(log); i++) {
        if (disk->remove(disk->context, litter->names[i]) != DISK_OK) continue;
        removed++;
        if (!litter->are_segments[i]) continue;
        lock_take(&log->lock);
        log->kept_segments--;
        log->kept_bytes -= litter->sizes[i];
        lock_release(&log->lock);
    }
    return removed;
}

/* What cannot be removed now is tried again with the next snapshot, and at the next start; it takes space and does no
 * other harm, since recovery begins at the newest snapshot. */
void keep_remove_covered(struct log *log) {
    struct disk *disk = log->options.disk;
    struct litter litter = {.log = log};
    log->has_litter = false;
    lock_take(&log->lock);
    litter.snapshot_number = log->stats.snapshot_number;
    lock_release(&log->lock);
    if (log_is_failed(log)) return;
    if (disk->list(disk->context, litter_add, &litter) != DISK_OK) return;
    log->has_litter = litter_remove(&litter) == LITTER_MAX; /* there may be more */
    /* Space that is free again is worth a try at once. */
    log->spare_at = 0;
}

/* ---------------------------------------------------------------- the step */

static void tell_full(struct log *log) {
    char failure[sizeof log->stats.failure];
    lock_take(&log->lock);
    bool is_full = atomic_load(&log->journal.state) == JOURNAL_FULL;
    memcpy(failure, log->stats.failure, sizeof failure);
    if (!is_full && !log->is_denied && !log_is_failed(log)) log->stats.failure[0] = 0;
    lock_release(&log->lock);
    if (is_full == log->is_full_told || log_is_failed(log)) return;
    log->is_full_told = is_full;
    if (is_full)
        log_event(LOG_ERROR, "storage_full", LOG_TEXT("failure", failure),
                  LOG_TEXT("todo", "free space on the disk of the data directory; writes are refused until there is"));
    else
        log_event(LOG_WARN, "storage_recovered", LOG_TEXT("state", "writes are taken again"));
}

int64_t log_keep(struct log *log, int64_t now_ms) {
    if (!log_step_begins(log)) return INT64_MAX;
    if (log->has_litter) keep_remove_covered(log);
    int64_t spare_next = keep_spare(log, now_ms);
    int64_t snapshot_next = log_is_failed(log) ? INT64_MAX : snapshot_advance(log, now_ms);
    tell_full(log);
    int64_t next = spare_next < snapshot_next ? spare_next : snapshot_next;
    if (log->has_litter) next = now_ms;
    return log_is_failed(log) ? INT64_MAX : next;
}
