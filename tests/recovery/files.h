/* Directories of segments and snapshots made by hand, and an engine that writes down what it is given: for whoever
 * tests recovery.
 *
 * An effect here is a number of eight bytes, and a frame's version is the last of its numbers, so a clean prefix of
 * what was written is 1, 2, 3 ... without a gap. Memory that is lacking ends the test. One thread. */
#ifndef RECOVERY_FILES_H
#define RECOVERY_FILES_H

#include "disk/sim_disk.h"
#include "log/recovery.h"

/* ---- an engine */

struct list_engine {
    struct engine engine;
    struct buf numbers;  /* uint64_t each, in the order in which they came */
    const char *refusal; /* what apply says instead of taking anything; NULL: it takes */
    const char *refusal_at_end;
    uint64_t recovered; /* calls */
    int64_t now_ms;     /* of the last of them */
};

void list_engine_open(struct list_engine *list);
void list_engine_close(struct list_engine *list);
size_t list_engine_count(const struct list_engine *list);
/* The n for which it holds 1 to n and nothing else, in any order and any number of times; -1: it has a hole. */
int64_t list_engine_prefix(const struct list_engine *list);

/* ---- files */

struct file_writer {
    struct file_header header;
    struct stream stream;
    struct buf bytes; /* of the file so far */
    uint64_t synced;  /* what its frames say */
    int64_t server_ms;
};

extern const struct env files_env; /* draws 0, 1, 2 ... */

/* Begins a file with the server's and the wall clock at `now_ms`; `keys` may be NULL. */
void file_writer_begin(struct file_writer *writer, enum file_kind kind, uint64_t number, int64_t now_ms,
                       const struct seal_keys *keys);
/* A frame of the numbers from first to last; each later than the one before it by a millisecond. */
void file_writer_effects(struct file_writer *writer, uint64_t first, uint64_t last);
void file_writer_frame(struct file_writer *writer, uint32_t kind, struct bytes payload, uint64_t version);
/* From here on its frames say that all before is synced. */
void file_writer_synced(struct file_writer *writer);
/* Puts it on the disk with so many zeros behind, and frees it. */
void file_writer_put(struct file_writer *writer, struct sim_disk *sim, size_t zeros);

/* ---- recovering */

struct attempt {
    bool is_good;
    struct recovery_report report;
    char error[RECOVERY_ERROR_MAX];
    int64_t prefix; /* with is_good: list_engine_prefix */
};

/* One recovery of that disk into a fresh engine, with these options beside disk, env and engine. */
struct attempt attempt_run(struct sim_disk *sim, struct recovery_options options);

/* One number for all names and bytes of a disk: it is the same as long as nothing was changed. */
uint64_t disk_sum(struct sim_disk *sim);

#endif
