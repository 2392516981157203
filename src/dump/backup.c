/* backup: the newest snapshot and the segments behind it, copied frame by frame into an empty directory, so that the
 * copy ends with a whole frame wherever the server is just writing.
 *
 * Which segments are copied is settled first: up to the one that was the last begun at that moment. All before it have
 * ended, it may grow and end while it is copied, and nothing behind it is looked at, so what is copied is the log up to
 * a moment after the command began. A server that makes a snapshot meanwhile removes segments: then all of it is begun
 * again. What was copied is recovered, read only, before it counts as a backup. */
#include "dump/dump.h"

#include <inttypes.h>

enum { TRIES = 20 };

enum copied {
    COPIED,
    COPY_AGAIN, /* a file went away, or is no longer what it was */
    COPY_FAILED /* it was said why */
};

struct copy {
    struct dump *dump;
    struct directory *to;
    uint64_t files, bytes;
    bool is_unread; /* some are encrypted, and no keys were given: their checksums alone are verified */
};

static enum copied fail_disk(const struct disk *disk, const char *name, const char *what) {
    dump_fail("%s cannot be %s: %s", name, what, disk->why(disk->context));
    return COPY_FAILED;
}

/* ---------------------------------------------------------------- one file */

static bool put(struct copy *copy, struct disk_file *file, uint64_t place, struct bytes bytes) {
    return copy->to->disk.write(file, place, bytes) == DISK_OK;
}

/* Whether what stands where no frame does was known to be synced: it is damage then, and not where the server writes.
 */
static bool was_synced(struct file_reader *reader) {
    struct file_rest rest;
    return !file_reader_rest(reader, &rest) || rest.synced > reader->place;
}

/* Header and whole frames. */
static enum copied copy_frames(struct copy *copy, struct file_reader *reader, struct disk_file *file, const char *name,
                               bool must_end) {
    uint8_t bytes[FILE_HEADER_BYTES];
    struct frame_header header;
    struct bytes payload;
    enum frame_state state = FRAME_UNREADABLE;
    file_header_write(&reader->header, bytes);
    bool is_written = put(copy, file, 0, bytes_of(bytes, sizeof bytes));
    while (is_written && (state = file_reader_next(reader, &header, &payload)) == FRAME_READ)
        is_written = put(copy, file, reader->frame_place, reader->frame);
    if (!is_written || copy->to->disk.sync(file) != DISK_OK) return fail_disk(&copy->to->disk, name, "written");
    copy->files++;
    copy->bytes += reader->place;
    if (state == FRAME_UNREADABLE) return fail_disk(reader->disk, name, "read");
    if (must_end && !reader->is_ended) return COPY_AGAIN;
    return state == FRAME_STRANGE || (state == FRAME_DAMAGED && was_synced(reader)) ? COPY_AGAIN : COPIED;
}

static enum copied copy_file(struct copy *copy, const struct log_file *from) {
    struct file_reader reader;
    struct disk_file *file = NULL;
    struct disk *to = &copy->to->disk;
    enum copied result = COPY_AGAIN;
    enum file_beginning beginning =
        file_reader_open(&reader, &copy->dump->directory.disk, from->kind, from->number, NULL);
    reader.is_raw = true;
    if (reader.header.is_sealed && !copy->dump->keys) copy->is_unread = true;
    if (beginning == FILE_BEGUN || beginning == FILE_NO_KEY) {
        if (to->open(to->context, from->name, DISK_MAKE, &file) == DISK_OK)
            result = copy_frames(copy, &reader, file, from->name, from->kind == FILE_SNAPSHOT);
        else
            result = fail_disk(to, from->name, "made");
    } else if (beginning != FILE_UNREADABLE && beginning != FILE_BLANK) {
        dump_fail("%s is no part of a backup: %s", from->name, dump_beginning_text(beginning, &reader));
        result = COPY_FAILED;
    }
    if (file) to->close(file);
    file_reader_close(&reader);
    return result;
}

/* ---------------------------------------------------------------- all files */

/* Whether a segment was begun, or is something that is to be complained of. */
static bool is_begun(struct dump *dump, const struct log_file *file) {
    struct file_reader reader;
    enum file_beginning beginning = file_reader_open(&reader, &dump->directory.disk, file->kind, file->number, NULL);
    bool is_being_made = beginning == FILE_BLANK || (beginning == FILE_TORN && !was_synced(&reader));
    file_reader_close(&reader);
    return !is_being_made;
}

/* Which files: the newest snapshot, and the segments from its number up to the last that was begun. The rest is taken
 * out of the list. */
static void choose(struct dump *dump, struct log_files *files) {
    size_t snapshots = 0, kept = 0;
    while (snapshots < files->count && files->files[snapshots].kind == FILE_SNAPSHOT) snapshots++;
    uint64_t base = snapshots ? files->files[snapshots - 1].number : 0;
    size_t end = files->count;
    while (end > snapshots && !is_begun(dump, &files->files[end - 1])) end--;
    for (size_t i = snapshots ? snapshots - 1 : 0; i < end; i++)
        if (files->files[i].kind == FILE_SNAPSHOT || files->files[i].number >= base)
            files->files[kept++] = files->files[i];
    files->count = kept;
}

static enum copied copy_log(struct copy *copy) {
    struct log_files files;
    struct disk *to = &copy->to->disk;
    if (!log_files_list(&files, &copy->dump->directory, copy->dump->path)) return COPY_FAILED;
    choose(copy->dump, &files);
    enum copied result = files.count ? COPIED : COPY_FAILED;
    if (files.count == 0)
        dump_fail("%s holds no segment and no snapshot; name the data directory of a server", copy->dump->path);
    for (size_t i = 0; i < files.count && result == COPIED; i++) result = copy_file(copy, &files.files[i]);
    log_files_fini(&files);
    if (result == COPIED && to->sync_directory(to->context) != DISK_OK)
        result = fail_disk(to, copy->dump->destination, "synced");
    return result;
}

/* Takes away what a try has left. */
static bool clear(struct copy *copy) {
    struct log_files files;
    struct disk *to = &copy->to->disk;
    bool is_done = log_files_list(&files, copy->to, copy->dump->destination);
    for (size_t i = 0; i < files.count && is_done; i++)
        is_done = to->remove(to->context, files.files[i].name) == DISK_OK;
    log_files_fini(&files);
    copy->files = copy->bytes = 0;
    return is_done;
}

/* ---------------------------------------------------------------- the keys */

/* The file is small, and is replaced whole by whoever changes it. */
static enum copied copy_keys(struct copy *copy) {
    struct disk *from = &copy->dump->directory.disk, *to = &copy->to->disk;
    struct disk_file *source = NULL, *target = NULL;
    uint8_t piece[4096];
    uint64_t place = 0;
    size_t got = 1;
    if (from->open(from->context, "keys", DISK_READ, &source) != DISK_OK) return fail_disk(from, "keys", "opened");
    bool is_done = to->open(to->context, "keys", DISK_MAKE, &target) == DISK_OK, is_read = true;
    while (is_done && is_read && got > 0) {
        is_read = from->read(source, place, piece, sizeof piece, &got) == DISK_OK;
        is_done = is_read && (got == 0 || put(copy, target, place, bytes_of(piece, got)));
        place += got;
    }
    cipher_wipe(piece, sizeof piece);
    is_done = is_done && to->sync(target) == DISK_OK && to->sync_directory(to->context) == DISK_OK;
    if (target) to->close(target);
    from->close(source);
    if (!is_read) return fail_disk(from, "keys", "read");
    return is_done ? COPIED : fail_disk(to, "keys", "written");
}

/* ---------------------------------------------------------------- the copy */

/* Whether the copy would start; of what is encrypted under a key that was not given only the frames are known to be
 * whole, which copying has seen. */
static enum copied verify(struct copy *copy, char error[RECOVERY_ERROR_MAX], struct recovery_report *report) {
    *report = (struct recovery_report){.files = 0};
    if (copy->is_unread) return COPIED;
    struct engine *engine = dump_engine_open();
    if (!engine) {
        dump_fail("there is not enough memory to verify the copy");
        return COPY_FAILED;
    }
    bool is_good = dump_recover(copy->to, copy->dump->keys, engine, 0, report, error);
    engine->vtable->close(engine);
    return is_good && !*report->note ? COPIED : COPY_AGAIN;
}

/* Tries until a copy is good; what is wrong in the directory itself stays wrong. */
static enum copied try_all(struct copy *copy, struct recovery_report *report) {
    char error[RECOVERY_ERROR_MAX] = "files of it went away again and again, or are damaged; see sessiond-dump verify";
    for (unsigned i = 0; i < TRIES; i++) {
        if (!clear(copy)) return COPY_FAILED;
        enum copied result = copy_log(copy);
        if (result == COPIED) result = verify(copy, error, report);
        if (result != COPY_AGAIN) return result;
    }
    dump_fail("there is no good copy of %s: %s", copy->dump->path, *error ? error : report->note);
    return COPY_FAILED;
}

static void look_for_files(void *context, const char *name, uint64_t size) {
    (void)size;
    if (strcmp(name, "lock") != 0) *(bool *)context = true;
}

static int backup_into(struct dump *dump, struct directory *to) {
    struct copy copy = {.dump = dump, .to = to};
    struct recovery_report report;
    bool has_files = false;
    if (to->disk.list(to->disk.context, look_for_files, &has_files) != DISK_OK)
        return dump_fail("%s cannot be read: %s", dump->destination, to->disk.why(to->disk.context));
    if (has_files) return dump_fail("%s is not empty; name another directory", dump->destination);
    if (try_all(&copy, &report) != COPIED || (dump->has_keys_file && copy_keys(&copy) != COPIED)) return DUMP_BAD;
    printf("%" PRIu64 " files, %" PRIu64 " bytes", copy.files, copy.bytes);
    if (copy.is_unread)
        printf("; they are encrypted, and without --encryption-key-file their checksums alone are verified");
    else
        printf(", up to version %" PRIu64 ", %" PRIu64 " sessions alive", report.counts.version,
               report.counts.sessions);
    puts(dump->has_keys_file ? "" : "; without the file of keys");
    return DUMP_DONE;
}

int dump_backup(struct dump *dump) {
    struct directory to;
    char error[DIRECTORY_ERROR_MAX];
    if (!directory_open(&to, dump->destination, DIRECTORY_OWN, error)) return dump_fail("%s", error);
    int code = backup_into(dump, &to);
    directory_close(&to);
    return code;
}
