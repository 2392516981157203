/* verify: each file by itself, then the judgement of a start over all of them. */
#include "dump/dump.h"

#include <inttypes.h>

struct tally {
    uint64_t files, frames, bytes, unread; /* unread: encrypted ones whose key is not there */
    bool is_bad;
};

/* One line for each file. A damage here is no verdict yet: what a start makes of it depends on the other files. */
static void look_at(struct dump *dump, const struct log_file *file, struct tally *tally) {
    struct file_reader reader;
    struct frame_header header;
    struct bytes payload;
    uint64_t frames = 0;
    enum file_beginning beginning =
        file_reader_open(&reader, &dump->directory.disk, file->kind, file->number, dump->keys);
    reader.is_raw = beginning == FILE_NO_KEY;
    tally->unread += reader.is_raw;
    tally->files++;
    if (beginning == FILE_BEGUN || reader.is_raw) {
        enum frame_state state;
        while ((state = file_reader_next(&reader, &header, &payload)) == FRAME_READ) frames++;
        printf("%s: %" PRIu64 " frames, %" PRIu64 " of %" PRIu64 " bytes%s: %s\n", file->name, frames, reader.place,
               reader.size, reader.header.is_sealed ? ", encrypted" : "", dump_state_text(state, &reader));
    } else {
        printf("%s: %s\n", file->name, dump_beginning_text(beginning, &reader));
    }
    tally->frames += frames;
    tally->bytes += reader.place;
    file_reader_close(&reader);
}

static int judge(struct dump *dump) {
    struct recovery_report report;
    char error[RECOVERY_ERROR_MAX];
    struct engine *engine = dump_engine_open();
    if (!engine) return dump_fail("there is not enough memory to recover into");
    bool is_good = dump_recover(&dump->directory, dump->keys, engine, 0, &report, error);
    engine->vtable->close(engine);
    if (!is_good) return dump_fail("%s would not start: %s", dump->path, error);
    dump_tell(&report, stdout);
    printf("good: %" PRIu64 " effects, %" PRIu64 " sessions alive, %" PRIu64 " kept dead, version %" PRIu64 ", %s\n",
           report.counts.effects, report.counts.sessions, report.counts.dead, report.counts.version,
           report.is_clean ? "ended in order" : "not ended in order");
    return DUMP_DONE;
}

int dump_verify(struct dump *dump) {
    struct log_files files;
    struct tally tally = {0};
    if (!log_files_list(&files, &dump->directory, dump->path)) return DUMP_BAD;
    if (files.count == 0) {
        log_files_fini(&files);
        return dump_fail("%s holds no segment and no snapshot; name the data directory of a server", dump->path);
    }
    for (size_t i = 0; i < files.count; i++) look_at(dump, &files.files[i], &tally);
    log_files_fini(&files);
    return judge(dump);
}
