/* What the commands share: the files of a directory, and an engine to recover them into. See dump.h. */
#include "dump/dump.h"
#include "log/journal_none.h"
#include "op/engine_options.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- files */

static void take_file(void *context, const char *name, uint64_t size) {
    struct log_files *out = context;
    struct log_file file = {.size = size};
    if (!file_name_read(name, &file.kind, &file.number) || out->is_failed) return;
    snprintf(file.name, sizeof file.name, "%s", name);
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 16;
        struct log_file *files = realloc(out->files, capacity * sizeof *files);
        out->is_failed = !files;
        if (!files) return;
        out->files = files;
        out->capacity = capacity;
    }
    out->files[out->count++] = file;
}

static int compare_files(const void *a, const void *b) {
    const struct log_file *left = a, *right = b;
    if (left->kind != right->kind) return left->kind == FILE_SNAPSHOT ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

bool log_files_list(struct log_files *out, struct directory *directory, const char *path) {
    struct disk *disk = &directory->disk;
    *out = (struct log_files){.files = NULL};
    if (disk->list(disk->context, take_file, out) != DISK_OK) {
        dump_fail("%s cannot be read: %s", path, disk->why(disk->context));
        return false;
    }
    if (out->is_failed) dump_fail("there is not enough memory for the names in %s", path);
    if (out->count) qsort(out->files, out->count, sizeof *out->files, compare_files);
    return !out->is_failed;
}

void log_files_fini(struct log_files *files) {
    free(files->files);
    *files = (struct log_files){.files = NULL};
}

const char *dump_beginning_text(enum file_beginning beginning, const struct file_reader *reader) {
    switch (beginning) {
    case FILE_BEGUN: return "begun";
    case FILE_BLANK: return "made ahead and never begun";
    case FILE_TORN: return "its header is not whole";
    case FILE_MISNAMED: return "it was another file before it was given that name";
    case FILE_NOT_OURS: return "it was not written by sessiond, or its beginning is damaged";
    case FILE_OF_NEWER: return "it was written by a newer release of sessiond";
    case FILE_NO_KEY: return "it is encrypted, and its key was not given (--encryption-key-file)";
    case FILE_UNREADABLE: break;
    }
    return reader->why;
}

const char *dump_state_text(enum frame_state state, const struct file_reader *reader) {
    switch (state) {
    case FRAME_READ: return "read";
    case FRAME_DONE: return reader->is_ended ? "ended in order" : "the end";
    case FRAME_DAMAGED: return "no whole frame stands there";
    case FRAME_STRANGE:
    case FRAME_UNREADABLE: break;
    }
    return reader->why;
}

/* ---------------------------------------------------------------- the engine */

/* No chance is needed: what the engine draws at its opening is replaced by what the files say, and nobody from outside
 * ever talks to it. */
static void draw(void *context, void *out, size_t size) {
    (void)context;
    memset(out, 0x5e, size);
}

static void wake(void *context, unsigned loop_index) {
    (void)context;
    (void)loop_index;
}

static const struct env env = {.random = draw, .wake = wake};

struct engine *dump_engine_open(void) {
    struct engine_options options = {
        .loop_count = 1, .limits = {.max_namespaces = UINT32_MAX}, .env = &env, .journal = &journal_none};
    engine_options_fill(&options);
    return memory_engine_open(&options);
}

bool dump_recover(struct directory *directory, const struct seal_keys *keys, struct engine *engine, int64_t at_ms,
                  struct recovery_report *report, char error[RECOVERY_ERROR_MAX]) {
    struct recovery_options options = {.disk = &directory->disk,
                                       .env = &env,
                                       .engine = engine,
                                       .keys = keys,
                                       .at_ms = at_ms,
                                       .is_read_only = true,
                                       .accepts_clock = true};
    return recovery_run(&options, report, error);
}

void dump_tell(const struct recovery_report *report, FILE *out) {
    if (report->cut_bytes)
        fprintf(out,
                "torn tail: a start cuts %" PRIu64 " bytes from %s on, at byte %" PRIu64
                ", none of which was known to be safe\n",
                report->cut_bytes, report->cut_file, report->cut_place);
    if (*report->note) fprintf(out, "note: %s\n", report->note);
}
