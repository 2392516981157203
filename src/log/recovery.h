/* Recovery: from a directory's files to an engine that holds what they say.
 *
 * Reads the newest whole snapshot, then every segment from its number on, and hands each frame of effects to
 * engine->apply; the engine merges by version. A torn tail (see format.h) of the last segment is cut there and told;
 * damage anywhere else, a missing segment, a file of another store, of a newer format or without its key ends it with
 * a text that names the file, the place and what to do, and nothing was changed on disk. With `repair`, damaged files
 * are copied to "<name>.damaged" first and everything behind the damage of that file is given up, told in the report.
 * At start only, on one thread. */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "log/log.h"

struct recovery_options {
    struct disk *disk;
    const struct env *env;
    struct engine *engine;
    const struct seal_keys *keys;
    bool is_repair;     /* give up what is damaged, and keep copies */
    bool accepts_clock; /* take a clock that is more than a day away from where the files stand */
    bool is_read_only;  /* change nothing on disk, for looking only: the tail is cut in mind */
};

struct recovery_report {
    struct log_start start;
    struct recovery_counts counts;
    uint64_t files, bytes;    /* read */
    uint64_t snapshot_number; /* 0: none */
    uint64_t cut_bytes;       /* of a torn tail; 0: there was none */
    uint64_t damaged_bytes;   /* with is_repair: given up */
    char cut_file[64];
    uint64_t cut_place;
    bool is_clean;     /* the last server ended in order */
    int64_t server_ms; /* the server's clock to continue with at this moment */
    int64_t down_ms;   /* of the wall clock, since the last sign of life */
    int64_t took_ms;   /* filled in by the shell */
};

/* `error` says, in one or two sentences, what is wrong and what to do. */
#define RECOVERY_ERROR_MAX 512
/* False: error. The engine is then to be closed. */
bool recovery_run(const struct recovery_options *options, struct recovery_report *report,
                  char error[RECOVERY_ERROR_MAX]);

#endif
