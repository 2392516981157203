/* See recovery.h: finding the files, reading them in their order, and judging what is wrong with them. */
#include "log/recovery.h"

#include "log/recovery_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t day_ms = 86400000;

struct name {
    char text[DISK_NAME_MAX + 1];
};

static struct name name_of(const struct found *file) {
    struct name name;
    file_name_write(file->kind, file->number, name.text);
    return name;
}

bool recovery_refuse(struct recovery_run *run, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->error, RECOVERY_ERROR_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static void note(struct recovery_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct recovery_run *run, const char *format, ...) {
    char *text = run->report->note;
    size_t size = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    if (size && size + 1 < RECOVERY_NOTE_MAX) text[size++] = ' ';
    vsnprintf(text + size, RECOVERY_NOTE_MAX - size, format, arguments);
    va_end(arguments);
}

/* ---------------------------------------------------------------- finding */

static void take_part(struct recovery_run *run, const char *name) {
    struct name part = {{0}};
    size_t size = strlen(name);
    if (size < 5 || size > DISK_NAME_MAX || strcmp(name + size - 5, ".part") != 0) return;
    memcpy(part.text, name, size);
    buf_append(&run->parts, &part, sizeof part);
}

static void take_file(void *context, const char *name, uint64_t size) {
    struct recovery_run *run = context;
    struct found file = {.size = size};
    if (!file_name_read(name, &file.kind, &file.number)) {
        take_part(run, name);
        return;
    }
    if (run->count == run->capacity) {
        size_t capacity = 2 * run->capacity;
        struct found *files = realloc(run->files, capacity * sizeof *files);
        if (!files) {
            run->has_failed = true;
            return;
        }
        run->files = files;
        run->capacity = capacity;
    }
    run->files[run->count++] = file;
}

static int compare_files(const void *a, const void *b) {
    const struct found *left = a, *right = b;
    if (left->kind != right->kind) return left->kind == FILE_SNAPSHOT ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

static bool find_files(struct recovery_run *run) {
    struct disk *disk = run->options->disk;
    /* There is always a first place, so that the end of no files is an address too. */
    run->capacity = 16;
    run->files = malloc(run->capacity * sizeof *run->files);
    if (!run->files) return recovery_refuse(run, "there is not enough memory to begin with");
    if (disk->list(disk->context, take_file, run) != DISK_OK)
        return recovery_refuse(run, "the data directory cannot be read: %s", disk->why(disk->context));
    if (run->has_failed || run->parts.is_failed)
        return recovery_refuse(run, "there is not enough memory for the names of the data directory's files");
    if (run->count) qsort(run->files, run->count, sizeof *run->files, compare_files);
    run->is_new = run->count == 0;
    return true;
}

/* ---------------------------------------------------------------- headers */

static void saw_time(struct recovery_run *run, int64_t server_ms) {
    if (server_ms > run->last_seen_ms) run->last_seen_ms = server_ms;
}

/* Whether a file that was begun belongs to the same directory as those before it. */
static bool take_header(struct recovery_run *run, const struct found *file) {
    uint8_t *store_id = run->report->start.store_id;
    if (!run->newest) memcpy(store_id, file->header.store_id, STORE_ID_BYTES);
    if (memcmp(store_id, file->header.store_id, STORE_ID_BYTES) != 0)
        return recovery_refuse(run,
                               "%s belongs to another data directory than the files before it; move it away, and put "
                               "back the one that belongs here",
                               name_of(file).text);
    /* Segments come last, so the newest of them is the one that counts. */
    run->newest = &file->header;
    saw_time(run, file->header.server_ms);
    return true;
}

/* What is refused however old or unimportant the file is, and also when repairing. */
static bool check_beginning(struct recovery_run *run, const struct found *file, const struct file_reader *reader) {
    struct name name = name_of(file);
    const char *text = NULL;
    switch (file->beginning) {
    case FILE_BEGUN: return take_header(run, file);
    case FILE_BLANK:
    case FILE_TORN: return true;
    case FILE_MISNAMED: text = "was another file before it was given that name; give it back its own"; break;
    case FILE_NOT_OURS:
        text = "was not written by sessiond, or its beginning is damaged; put the right file there";
        break;
    case FILE_OF_NEWER: text = "was written by a newer release of sessiond; start that one, nothing was changed"; break;
    case FILE_NO_KEY:
        text = "is encrypted under a key that is not in the encryption key file; add the key that it was written with";
        break;
    case FILE_UNREADABLE: return recovery_refuse(run, "%s cannot be read: %s", name.text, reader->why);
    }
    return recovery_refuse(run, "%s %s", name.text, text);
}

static bool look_at_headers(struct recovery_run *run) {
    for (size_t i = 0; i < run->count; i++) {
        struct found *file = &run->files[i];
        struct file_reader reader;
        file->beginning = file_reader_open(&reader, run->options->disk, file->kind, file->number, run->options->keys);
        file->size = reader.size;
        file->header = reader.header;
        bool is_good = check_beginning(run, file, &reader);
        file_reader_close(&reader);
        if (!is_good) return false;
    }
    return true;
}

/* ---------------------------------------------------------------- reading one file */

/* How the reading of a file ended. */
struct end {
    enum {
        END_WHOLE,   /* nothing is wrong as far as it goes */
        END_DAMAGED, /* no whole frame stands at `place` */
        END_STRANGE, /* a whole frame stands there that cannot be */
        END_FAILED   /* the disk or the engine refused, or memory is lacking: the error is written */
    } kind;
    uint64_t place;
    uint64_t synced; /* the highest mark of its frames */
    bool is_ended;   /* with FRAME_END */
    const char *why;
    struct file_rest rest; /* behind the place; not with END_STRANGE and END_FAILED */
};

/* Applies frame after frame. */
static void read_frames(struct recovery_run *run, struct file_reader *reader, struct end *end) {
    struct engine *engine = run->options->engine;
    enum frame_state state;
    struct frame_header header;
    struct bytes payload;
    while ((state = file_reader_next(reader, &header, &payload)) == FRAME_READ) {
        saw_time(run, header.server_ms);
        if (header.synced > end->synced) end->synced = header.synced;
        if (header.kind != FRAME_EFFECTS || engine->vtable->apply(engine, payload, &reader->why)) continue;
        reader->place = reader->frame_place;
        end->kind = END_FAILED;
        return;
    }
    end->kind = state == FRAME_DONE      ? END_WHOLE
                : state == FRAME_DAMAGED ? END_DAMAGED
                : state == FRAME_STRANGE ? END_STRANGE
                                         : END_FAILED;
    end->is_ended = reader->is_ended;
}

static struct end read_file(struct recovery_run *run, const struct found *file) {
    struct file_reader reader;
    struct end end = {.kind = END_DAMAGED};
    enum file_beginning beginning =
        file_reader_open(&reader, run->options->disk, file->kind, file->number, run->options->keys);
    if (beginning == FILE_BEGUN) read_frames(run, &reader, &end);
    if (beginning == FILE_UNREADABLE) end.kind = END_FAILED;
    end.place = reader.place;
    end.why = reader.why;
    end.rest = (struct file_rest){.end = end.place, .server_ms = INT64_MIN};
    if (end.kind == END_DAMAGED && !file_reader_rest(&reader, &end.rest)) end.kind = END_FAILED;
    saw_time(run, end.rest.server_ms);
    /* What an engine does not take is no damage of the file, and nothing that repairing may give up. */
    if (end.kind == END_FAILED)
        recovery_refuse(run, "%s cannot be taken over from byte %" PRIu64 " on: %s", name_of(file).text, end.place,
                        reader.why);
    run->report->files++;
    run->report->bytes += reader.place;
    file_reader_close(&reader);
    return end;
}

/* ---------------------------------------------------------------- damage */

/* Refuses, or with is_repair gives up what stands behind the place. */
static bool damage(struct recovery_run *run, struct found *file, uint64_t place, const char *why) {
    if (!run->options->is_repair)
        return recovery_refuse(run,
                               "%s is damaged at byte %" PRIu64 " of %" PRIu64 ": %s; put back a good copy of it, or "
                               "start once with --repair, which keeps a copy and gives up what stands behind",
                               name_of(file).text, place, file->size, why);
    file->fate = FATE_REPAIR;
    file->place = place;
    run->report->damaged_bytes += file->size - place;
    note(run,
         "%s was damaged at byte %" PRIu64 " of %" PRIu64 " (%s): what stood behind is given up, ends of sessions too.",
         name_of(file).text, place, file->size, why);
    return true;
}

/* Whether what is wrong at `place` of that segment was known to be synced; *synced_in names who says so. */
static bool was_synced(struct recovery_run *run, struct found *file, const struct end *end, bool *is_known,
                       struct name *said_by) {
    *is_known = true;
    *said_by = name_of(file);
    if (end->rest.synced > end->place) return true;
    for (struct found *later = file + 1; later < run->files + run->count; later++) {
        struct file_reader reader;
        struct file_rest rest;
        uint64_t synced = later->header.previous_synced;
        *said_by = name_of(later);
        if (later->beginning == FILE_BEGUN && (later == file + 1 ? synced > end->place : synced > 0)) return true;
        file_reader_open(&reader, run->options->disk, later->kind, later->number, run->options->keys);
        *is_known = reader.file && file_reader_rest(&reader, &rest);
        if (!*is_known) recovery_refuse(run, "%s cannot be read: %s", said_by->text, reader.why);
        file_reader_close(&reader);
        if (!*is_known) return false;
        saw_time(run, rest.server_ms);
        if (rest.synced > 0) return true;
        later->place = rest.end;
    }
    return false;
}

/* Cuts the log at that place: nothing from there on was ever known to be safe. */
static void cut(struct recovery_run *run, struct found *file, const struct end *end) {
    struct recovery_report *report = run->report;
    report->cut_place = end->place;
    report->cut_bytes = end->rest.end - end->place;
    strcpy(report->cut_file, name_of(file).text);
    file->place = end->place;
    if (end->place == 0) file->fate = FATE_REMOVE;
    for (struct found *later = file + 1; later < run->files + run->count; later++) {
        report->cut_bytes += later->place;
        later->place = 0;
        later->fate = FATE_REMOVE;
    }
}

/* ---------------------------------------------------------------- the log */

/* What is wrong with a segment: it is a torn tail, and then *is_cut and it is the last, or it is damage. */
static bool judge(struct recovery_run *run, struct found *file, const struct end *end, const char *why, bool *is_cut) {
    bool is_known;
    struct name said_by;
    if (was_synced(run, file, end, &is_known, &said_by)) {
        char text[200];
        snprintf(text, sizeof text, "%s, and %s says that it was safe on disk", why, said_by.text);
        return damage(run, file, end->place, text);
    }
    if (!is_known) return false;
    cut(run, file, end);
    *is_cut = true;
    return true;
}

static const char *wrong_with(const struct recovery_run *run, const struct found *file, const struct end *end) {
    const struct found *next = file + 1;
    if (end->kind == END_STRANGE) return end->why;
    if (end->kind == END_DAMAGED) return end->place ? "no whole frame stands there" : "its header is not whole";
    if (end->is_ended || next == run->files + run->count || next->beginning != FILE_BEGUN) return NULL;
    uint64_t bytes = next->header.previous_bytes;
    if (bytes == 0 || bytes == end->place) return NULL;
    return bytes > end->place ? "frames are missing at its end" : "it is longer than the next segment says";
}

/* Whether nothing was ever begun from that segment on: they were made ahead, and go. */
static bool is_unbegun_from(struct recovery_run *run, struct found *first) {
    struct found *end = run->files + run->count;
    for (struct found *file = first; file < end; file++)
        if (file->beginning != FILE_BLANK) return false;
    for (struct found *file = first; file < end; file++) file->fate = FATE_REMOVE;
    return true;
}

/* Reads one segment and decides what becomes of it. */
static bool read_segment(struct recovery_run *run, struct found *file, bool *is_cut) {
    struct end end = read_file(run, file);
    if (end.kind == END_FAILED) return false;
    file->place = end.place;
    file->synced = end.synced;
    bool is_last = file + 1 == run->files + run->count;
    if (!is_last && file[1].beginning == FILE_BEGUN && file[1].header.previous_synced > end.synced)
        file->synced = file[1].header.previous_synced;
    const char *wrong = wrong_with(run, file, &end);
    run->report->is_clean = !wrong && end.is_ended;
    if (!wrong) return true;
    /* What is whole and yet cannot be was written so, and one that is too long has frames that were whole: no power
     * cut does that. */
    if (end.kind == END_STRANGE || (end.kind == END_WHOLE && file[1].header.previous_bytes < end.place))
        return damage(run, file, end.place, wrong);
    return judge(run, file, &end, wrong, is_cut);
}

static bool read_log(struct recovery_run *run, struct found *first) {
    bool is_cut = false;
    for (struct found *file = first; file < run->files + run->count && !is_cut; file++) {
        if (file > first && file->number != file[-1].number + 1) {
            struct name missing;
            file_name_write(FILE_LOG, file[-1].number + 1, missing.text);
            return recovery_refuse(run, "%s is missing, while %s is there; put it back from where it went",
                                   missing.text, name_of(file).text);
        }
        if (is_unbegun_from(run, file)) break;
        if (!read_segment(run, file, &is_cut)) return false;
    }
    return true;
}

/* ---------------------------------------------------------------- where to begin */

static size_t snapshot_count(const struct recovery_run *run) {
    size_t count = 0;
    while (count < run->count && run->files[count].kind == FILE_SNAPSHOT) count++;
    return count;
}

/* The first segment from that number on; the end of the files: there is none. */
static struct found *segment_from(struct recovery_run *run, uint64_t number) {
    size_t i = snapshot_count(run);
    while (i < run->count && run->files[i].number < number) i++;
    return &run->files[i];
}

/* Whether the log from that number on is kept, without a gap. */
static bool log_is_kept_from(struct recovery_run *run, uint64_t number) {
    struct found *file = segment_from(run, number), *end = run->files + run->count;
    if (file == end) return false;
    for (; file < end; file++, number++)
        if (file->number != number) return false;
    return true;
}

/* *base: the number of the snapshot that the log is read from; 0: from its beginning. */
static bool read_snapshots(struct recovery_run *run, uint64_t *base) {
    for (size_t i = snapshot_count(run); i-- > 0;) {
        struct found *file = &run->files[i];
        struct end end = read_file(run, file);
        if (end.kind == END_FAILED) return false;
        *base = file->number;
        file->place = end.place;
        if (end.kind == END_WHOLE && end.is_ended) return true;
        /* What was read of it is true all the same, and newer than what is read next: the engine keeps the newer. */
        const char *why = end.kind == END_STRANGE ? end.why : "it is not whole";
        if (!log_is_kept_from(run, i ? file[-1].number : 1)) return damage(run, file, end.place, why);
        file->fate = FATE_PUT_AWAY;
        note(run, "%s was damaged at byte %" PRIu64 " (%s) and passed over: the log before it is still kept.",
             name_of(file).text, end.place, why);
    }
    *base = 0;
    return true;
}

static bool read_all(struct recovery_run *run) {
    uint64_t base;
    if (!read_snapshots(run, &base)) return false;
    struct found *first = segment_from(run, base ? base : 1), *end = run->files + run->count;
    if (first < end && first->number != (base ? base : 1)) {
        struct name missing;
        file_name_write(FILE_LOG, base ? base : 1, missing.text);
        return recovery_refuse(run,
                               "%s is missing, and no snapshot covers it, while %s is there; put it back from "
                               "where it went, or the snapshot",
                               missing.text, name_of(first).text);
    }
    run->report->snapshot_number = base;
    for (struct found *file = run->files; file < first; file++)
        if (file->number < base && file->fate == FATE_KEEP) file->fate = FATE_REMOVE;
    return read_log(run, first);
}

/* ---------------------------------------------------------------- the clock */

static bool set_clock(struct recovery_run *run, int64_t wall_ms) {
    struct recovery_report *report = run->report;
    const struct file_header *header = run->newest;
    report->server_ms = run->options->at_ms ? run->options->at_ms : wall_ms;
    if (!header || run->options->at_ms) return true;
    int64_t seen_wall_ms = header->wall_ms + (run->last_seen_ms - header->server_ms);
    report->server_ms = header->server_ms + (wall_ms - header->wall_ms);
    if (report->server_ms < run->last_seen_ms) report->server_ms = run->last_seen_ms;
    report->down_ms = wall_ms > seen_wall_ms ? wall_ms - seen_wall_ms : 0;
    /* A header that says that the two clocks are far apart was written by a server that was told to accept it. What
     * counts is how far they have come apart since. */
    int64_t behind_ms = seen_wall_ms - wall_ms;
    if (run->options->accepts_clock || behind_ms <= day_ms) return true;
    return recovery_refuse(run,
                           "the wall clock stands at %" PRId64 " ms, which is %" PRId64
                           " s before the files' last sign of life; set it right, or start once with --accept-clock",
                           wall_ms, behind_ms / 1000);
}

/* ---------------------------------------------------------------- all of it */

/* Where the log goes on. */
static void set_start(struct recovery_run *run) {
    struct log_start *start = &run->report->start;
    uint64_t base = run->report->snapshot_number;
    start->next_number = base ? base : 1;
    start->snapshot_number = base;
    start->version = run->report->counts.version;
    for (struct found *file = segment_from(run, start->next_number); file < run->files + run->count; file++) {
        if (file->fate == FATE_REMOVE) break;
        start->next_number = file->number + 1;
        start->previous_bytes = file->place;
        start->log_bytes += file->place;
    }
}

/* The engine may have worked for a while since the clock was set. */
static void set_clock_again(struct recovery_run *run, int64_t wall_ms) {
    int64_t passed_ms = run->options->disk->wall_ms(run->options->disk->context) - wall_ms;
    if (!run->options->at_ms && passed_ms > 0 && passed_ms < day_ms) run->report->server_ms += passed_ms;
}

static bool run_steps(struct recovery_run *run) {
    struct engine *engine = run->options->engine;
    const struct env *env = run->options->env;
    const char *why = "";
    if (!find_files(run) || !look_at_headers(run) || !read_all(run)) return false;
    int64_t wall_ms = run->options->disk->wall_ms(run->options->disk->context);
    if (!set_clock(run, wall_ms)) return false;
    run->report->counts.seen_at = run->newest ? run->last_seen_ms : 0;
    if (!engine->vtable->recovered(engine, run->report->server_ms, &run->report->counts, &why))
        return recovery_refuse(run, "what the data directory holds cannot be taken over: %s", why);
    if (!run->newest) env->random(env->context, run->report->start.store_id, STORE_ID_BYTES);
    if (!run->options->is_read_only && !recovery_fix(run)) return false;
    set_start(run);
    set_clock_again(run, wall_ms);
    return true;
}

bool recovery_run(const struct recovery_options *options, struct recovery_report *report,
                  char error[RECOVERY_ERROR_MAX]) {
    struct recovery_run run = {
        .options = options, .report = report, .error = error, .parts = BUF_EMPTY, .last_seen_ms = INT64_MIN};
    memset(report, 0, sizeof *report);
    *error = 0;
    bool is_done = run_steps(&run);
    free(run.files);
    buf_fini(&run.parts);
    return is_done;
}
