/* What the two halves of recovery share: reading and judging (recovery.c), and what is then changed on disk
 * (recovery_fix.c). Nobody else includes it. */
#ifndef LOG_RECOVERY_RUN_H
#define LOG_RECOVERY_RUN_H

#include "log/reader.h"
#include "log/recovery.h"

/* A file of the directory, and what becomes of it. */
struct found {
    enum file_kind kind;
    uint64_t number, size;
    enum file_beginning beginning;
    struct file_header header; /* with FILE_BEGUN */
    enum fate {
        FATE_KEEP,    /* stays; a segment is cut to `place` */
        FATE_REMOVE,  /* covered, never begun, or behind a torn tail */
        FATE_REPAIR,  /* copied, and ended at `place` */
        FATE_PUT_AWAY /* renamed to ".damaged": a snapshot that was passed over */
    } fate;
    uint64_t place;  /* where its frames end */
    uint64_t synced; /* bytes of it that whole frames and headers say are synced */
};

struct recovery_run {
    const struct recovery_options *options;
    struct recovery_report *report;
    char *error;
    struct found *files; /* snapshots, then segments, each by number */
    size_t count, capacity;
    struct buf parts;                 /* names of unfinished files, each DISK_NAME_MAX + 1 bytes */
    bool has_failed;                  /* while the directory was listed */
    bool is_new;                      /* nothing was found */
    int64_t last_seen_ms;             /* the server's clock at the latest that a header or a whole frame says */
    const struct file_header *newest; /* of the newest segment that was begun, or snapshot; NULL: none */
};

/* Writes the error and answers false. */
bool recovery_refuse(struct recovery_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Does to the files what their fates say; crash-safe at every step, in that another recovery comes to the same. */
bool recovery_fix(struct recovery_run *run);

#endif
