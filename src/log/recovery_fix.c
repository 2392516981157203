/* See recovery_run.h: what recovery changes on disk, once it knows that it can start.
 *
 * The order is what makes it safe: copies stand, synced, before a damaged file is touched; what goes of the log goes
 * from its end, each for good before the next, so that no gap is ever there; what covers is there before what it covers
 * goes. */
#include "log/recovery_run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUFFIX_MAX = 12, PIECE_BYTES = 1 << 20 };

static struct disk *disk_of(const struct recovery_run *run) {
    return run->options->disk;
}

static bool refuse(struct recovery_run *run, const char *name, const char *what) {
    struct disk *disk = disk_of(run);
    return recovery_refuse(run, "%s cannot be %s: %s", name, what, disk->why(disk->context));
}

static bool sync_names(struct recovery_run *run) {
    struct disk *disk = disk_of(run);
    return disk->sync_directory(disk->context) == DISK_OK || refuse(run, "the data directory", "synced");
}

/* ---------------------------------------------------------------- single files */

static bool remove_name(struct recovery_run *run, const char *name) {
    struct disk *disk = disk_of(run);
    enum disk_error error = disk->remove(disk->context, name);
    return error == DISK_OK || error == DISK_MISSING || refuse(run, name, "removed");
}

/* Writes bytes of a file to another one, or once more to the same. */
static bool write_over(struct disk *disk, struct disk_file *from, struct disk_file *to, uint64_t place, uint64_t end) {
    uint8_t *piece = malloc(PIECE_BYTES);
    bool is_done = piece != NULL;
    while (is_done && place < end) {
        size_t size = end - place < PIECE_BYTES ? (size_t)(end - place) : PIECE_BYTES, got;
        is_done = disk->read(from, place, piece, size, &got) == DISK_OK && got > 0 &&
                  disk->write(to, place, bytes_of(piece, got)) == DISK_OK;
        place += is_done ? got : 0;
    }
    free(piece);
    return is_done && disk->sync(to) == DISK_OK;
}

/* Cuts a segment to its frames and has them last, the ones too that nobody says were synced. Those are written once
 * more: where the last server ended with a sync that had failed, the system may think that they are on the disk, and a
 * further sync would do nothing. */
static bool settle_file(struct recovery_run *run, const struct found *file, const char *name) {
    struct disk *disk = disk_of(run);
    struct disk_file *out;
    if (disk->open(disk->context, name, DISK_WRITE, &out) != DISK_OK) return refuse(run, name, "opened for writing");
    bool is_done = (file->size == file->place || disk->truncate(out, file->place) == DISK_OK) &&
                   write_over(disk, out, out, file->synced, file->place);
    if (!is_done) refuse(run, name, "cut and synced");
    disk->close(out);
    return is_done;
}

/* A name for a copy, that no file has: "<name>.damaged", or with a number behind. */
static bool damaged_name(struct recovery_run *run, const char *name, char out[DISK_NAME_MAX + SUFFIX_MAX]) {
    struct disk *disk = disk_of(run);
    for (unsigned i = 0; i < 1000; i++) {
        struct disk_file *file;
        snprintf(out, DISK_NAME_MAX + SUFFIX_MAX, i ? "%s.damaged.%u" : "%s.damaged", name, i);
        enum disk_error error = disk->open(disk->context, out, DISK_READ, &file);
        if (error == DISK_MISSING) return true;
        if (error != DISK_OK) return refuse(run, out, "looked at");
        disk->close(file);
    }
    return recovery_refuse(run, "there are a thousand damaged copies of %s already; move them away", name);
}

static bool keep_copy(struct recovery_run *run, const struct found *file, const char *name) {
    struct disk *disk = disk_of(run);
    struct disk_file *from = NULL, *to = NULL;
    char copy[DISK_NAME_MAX + SUFFIX_MAX];
    if (!damaged_name(run, name, copy)) return false;
    bool is_done = disk->open(disk->context, name, DISK_READ, &from) == DISK_OK &&
                   disk->open(disk->context, copy, DISK_MAKE, &to) == DISK_OK &&
                   write_over(disk, from, to, 0, file->size);
    if (!is_done) refuse(run, copy, "made");
    if (to) disk->close(to);
    if (from) disk->close(from);
    return is_done;
}

/* ---------------------------------------------------------------- repairing */

/* What is to stand from the damage on: the frame that ends the file, and before it a header if that was lost. */
static bool write_end(struct recovery_run *run, const struct found *file, struct file_reader *reader, struct buf *out) {
    struct recovery_report *report = run->report;
    struct frame_header end = {.kind = FRAME_END, .server_ms = report->server_ms, .version = report->counts.version};
    uint64_t place = file->place;
    bool is_sealed = place > 0 && reader->header.is_sealed;
    if (place == 0) {
        struct file_header header = {.format = FILE_FORMAT,
                                     .kind = file->kind,
                                     .number = file->number,
                                     .server_ms = report->server_ms,
                                     .wall_ms = disk_of(run)->wall_ms(disk_of(run)->context)};
        memcpy(header.store_id, report->start.store_id, STORE_ID_BYTES);
        uint8_t *at = buf_reserve(out, FILE_HEADER_BYTES);
        if (!at) return false;
        file_header_write(&header, at);
        place = out->size = FILE_HEADER_BYTES;
    }
    seal_append_frame(out, is_sealed ? &reader->stream : NULL, file->number, place, &end, BYTES_ABSENT);
    return !out->is_failed;
}

/* Reads up to the damage once more, since a sealed end goes on from there. */
static bool read_up_to(struct file_reader *reader, uint64_t place) {
    struct frame_header header;
    struct bytes payload;
    while (reader->place < place)
        if (file_reader_next(reader, &header, &payload) != FRAME_READ) return false;
    return reader->place == place;
}

static bool write_repaired(struct recovery_run *run, const char *name, uint64_t place, struct bytes end) {
    struct disk *disk = disk_of(run);
    struct disk_file *file;
    if (disk->open(disk->context, name, DISK_WRITE, &file) != DISK_OK) return refuse(run, name, "opened for writing");
    bool is_done = disk->truncate(file, place) == DISK_OK && disk->write(file, place, end) == DISK_OK &&
                   disk->sync(file) == DISK_OK;
    if (!is_done) refuse(run, name, "repaired");
    disk->close(file);
    return is_done;
}

static bool repair(struct recovery_run *run, struct found *file, const char *name) {
    struct file_reader reader;
    struct buf end = BUF_EMPTY;
    if (!keep_copy(run, file, name) || !sync_names(run)) return false;
    file_reader_open(&reader, disk_of(run), file->kind, file->number, run->options->keys);
    bool is_done = file->place == 0 || read_up_to(&reader, file->place);
    /* What stood behind an end is gone with the cut; a second end would be behind it again. */
    if (is_done && !reader.is_ended) is_done = write_end(run, file, &reader, &end);
    if (!is_done) recovery_refuse(run, "%s cannot be repaired: it is no longer as it was, or memory is lacking", name);
    is_done = is_done && write_repaired(run, name, file->place, buf_bytes(&end));
    file->place += end.size;
    buf_fini(&end);
    file_reader_close(&reader);
    return is_done;
}

/* ---------------------------------------------------------------- all of it */

static bool fix_file(struct recovery_run *run, struct found *file) {
    struct disk *disk = disk_of(run);
    char name[DISK_NAME_MAX + 1], other[DISK_NAME_MAX + SUFFIX_MAX];
    file_name_write(file->kind, file->number, name);
    switch (file->fate) {
    case FATE_KEEP: return file->kind == FILE_SNAPSHOT || settle_file(run, file, name);
    case FATE_REMOVE: return remove_name(run, name) && (file->number < run->report->snapshot_number || sync_names(run));
    case FATE_REPAIR: return repair(run, file, name);
    case FATE_PUT_AWAY:
        return damaged_name(run, name, other) &&
               (disk->rename(disk->context, name, other) == DISK_OK || refuse(run, name, "renamed"));
    }
    return false;
}

bool recovery_fix(struct recovery_run *run) {
    uint64_t base = run->report->snapshot_number;
    for (size_t i = run->count; i-- > 0;)
        if (run->files[i].number >= base && !fix_file(run, &run->files[i])) return false;
    if (!sync_names(run)) return false;
    for (size_t i = 0; i < run->count; i++)
        if (run->files[i].number < base && !fix_file(run, &run->files[i])) return false;
    for (size_t at = 0; at < run->parts.size; at += DISK_NAME_MAX + 1)
        if (!remove_name(run, (const char *)run->parts.data + at)) return false;
    return run->is_new || sync_names(run);
}
