/* Recovery: from a directory's files to an engine that holds what they say.
 *
 * Reads the newest whole snapshot, then every segment from its number on, and hands each frame of effects to
 * engine->apply; the engine merges by version. A torn tail (see format.h) is cut and told; damage anywhere else, a
 * missing segment, a file of another store, of a newer format or without its key ends it with a text that names the
 * file, the place and what to do. Nothing on disk is changed before everything was read and found good. A newest
 * snapshot that is not whole is passed over, and told, where an older one (or the log's beginning) and all segments
 * from there on are still kept. With is_repair, damaged files are copied to "<name>.damaged" first, what stands behind
 * the damage of that file is given up, and the file is ended there, so that the next start finds it in order; what
 * later files say is kept, so there may be a hole.
 * In between are the server's clock (see recovery_options) and the cleaning up: segments and snapshots that are
 * covered, and unfinished files. At start only, on one thread. */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "log/log.h"

struct recovery_options {
    struct disk *disk;
    const struct env *env;
    struct engine *engine;
    const struct seal_keys *keys;
    bool is_repair; /* give up what is damaged, and keep copies */
    /* The server's clock goes on from where the newest file's header says it stood, by the wall time that has passed
     * since, and never backwards. A wall clock that is more than a day behind the files' last sign of life is refused
     * unless this is set; the next header then says which clocks belong together. */
    bool accepts_clock;
    int64_t
        at_ms; /* the server's clock is to stand there, whatever the files say: for looking only; 0: as it goes on */
    bool is_read_only; /* change nothing on disk, for looking only: the tail is cut in mind */
};

#define RECOVERY_NOTE_MAX 512

struct recovery_report {
    struct log_start start;
    struct recovery_counts counts;
    uint64_t files, bytes;    /* read */
    uint64_t snapshot_number; /* 0: none */
    uint64_t cut_bytes;       /* of a torn tail; 0: there was none */
    char cut_file[64];        /* where it begins; further segments behind it are cut whole */
    uint64_t cut_place;
    uint64_t damaged_bytes;       /* with is_repair: given up */
    char note[RECOVERY_NOTE_MAX]; /* what was passed over or given up, in sentences; empty: nothing */
    bool is_clean;                /* the last server ended in order */
    int64_t server_ms;            /* the server's clock to continue with at this moment */
    int64_t down_ms;              /* of the wall clock, since the last sign of life */
    int64_t took_ms;              /* filled in by the shell */
};

/* `error` says, in one or two sentences, what is wrong and what to do. */
#define RECOVERY_ERROR_MAX 512
/* False: error. The engine is then to be closed. */
bool recovery_run(const struct recovery_options *options, struct recovery_report *report,
                  char error[RECOVERY_ERROR_MAX]);

#endif
