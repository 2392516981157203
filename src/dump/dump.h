/* sessiond-dump: looks at a data directory from outside - verifies it, prints it, exports its sessions, backs it up.
 *
 * Always true: the directory that is looked at is never changed, whether a server runs on it or not. One thread. */
#ifndef DUMP_DUMP_H
#define DUMP_DUMP_H

#include "log/reader.h"
#include "log/recovery.h"
#include "uv/disk.h"

#include <stdio.h>

enum { DUMP_DONE = 0, DUMP_BAD = 1, DUMP_USAGE = 2 }; /* exit codes */

struct dump {
    const char *path; /* of the data directory */
    struct directory directory;
    const struct seal_keys *keys; /* NULL: none were given */
    int64_t at_ms;                /* export: the moment; 0: as a start now would have it */
    const char *destination;      /* backup: the new directory */
    bool has_keys_file;           /* backup: the file `keys` too */
};

/* Each answers an exit code, and has said on stderr why it is not DUMP_DONE. */
int dump_verify(struct dump *dump);
int dump_print(struct dump *dump);
int dump_export(struct dump *dump);
int dump_backup(struct dump *dump);

/* Writes "sessiond-dump: ..." and answers DUMP_BAD. */
int dump_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- what they share */

/* The files of the log in a directory: snapshots, then segments, each by number. */
struct log_file {
    enum file_kind kind;
    uint64_t number, size;
    char name[DISK_NAME_MAX + 1];
};

struct log_files {
    struct log_file *files;
    size_t count, capacity;
    bool is_failed;
};

/* False: it was said why. To be freed with log_files_fini in any case. */
bool log_files_list(struct log_files *out, struct directory *directory, const char *path);
void log_files_fini(struct log_files *files);

/* An engine for recovering into, that no server runs on; NULL: memory is lacking. */
struct engine *dump_engine_open(void);
/* Recovers a directory into it, read only. False: `error` says why. */
bool dump_recover(struct directory *directory, const struct seal_keys *keys, struct engine *engine, int64_t at_ms,
                  struct recovery_report *report, char error[RECOVERY_ERROR_MAX]);

/* Writes a line for what a start would cut, and one for what it would pass over. */
void dump_tell(const struct recovery_report *report, FILE *out);

/* In a few words what is the matter with a file's beginning, and with the place where its frames end. */
const char *dump_beginning_text(enum file_beginning beginning, const struct file_reader *reader);
const char *dump_state_text(enum frame_state state, const struct file_reader *reader);

#endif
