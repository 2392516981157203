/* What a server keeps on disk: the data directory, recovery at the start, the log's three threads, and their end.
 *
 * Without durability every function here does nothing, and there is no journal. In this order, all on the main thread:
 * storage_open, recovery into the engine that was given the journal (storage_recover), storage_begin once the loops
 * exist, storage_end once they run no more, storage_close when the engine is closed. What is asked of any loop's thread
 * says so. */
#ifndef UV_STORAGE_H
#define UV_STORAGE_H

#include "config/options.h"
#include "log/gather.h"
#include "log/recovery.h"
#include "uv/clock.h"
#include "uv/disk.h"
#include "uv/seal_file.h"

#include <stdatomic.h>
#include <uv.h>

#define STORAGE_ERROR_MAX 700

enum sleeper { SLEEPER_AWAKE, SLEEPER_SIGNALLED, SLEEPER_ASLEEP };

/* One of the log's threads. */
struct storage_thread {
    struct storage *storage;
    enum log_thread which;
    uv_thread_t thread;
    uv_mutex_t mutex; /* held to fall asleep and to wake who sleeps, for nothing else */
    uv_cond_t cond;
    _Atomic uint32_t state; /* enum sleeper */
    bool is_there, is_started;
};

struct storage {
    enum durability level;
    const struct options *options;
    const struct env *env;
    const struct clock *clock;
    struct directory directory;
    struct log *log; /* NULL: nothing is kept */
    bool is_recovered;
    _Atomic bool is_sealed; /* written on the main thread */
    struct seal_keys keys;  /* with is_sealed */
    struct recovery_report report;
    struct storage_thread threads[LOG_THREAD_COUNT];
    struct gather gather; /* this and the next one: the syncing thread's */
    uint64_t sync_took_ns;
    _Atomic bool is_stopping;
};

/* Takes the directory and makes the log, if the options want that. False: `error` says why not. */
bool storage_open(struct storage *storage, const struct options *options, const struct env *env,
                  const struct clock *clock, unsigned loop_count, char error[STORAGE_ERROR_MAX]);
/* For the engine and the server; NULL: nothing is kept. */
struct journal *storage_journal(const struct storage *storage);
/* Fills the engine with what the directory holds, puts the clock to where it goes on, and begins the log. */
bool storage_recover(struct storage *storage, struct engine *engine, struct clock *clock,
                     char error[STORAGE_ERROR_MAX]);
bool storage_begin(struct storage *storage); /* false: a thread cannot be made */
/* Ends the threads, and the log in order. False: not all that was changed is safe. */
bool storage_end(struct storage *storage);
void storage_close(struct storage *storage);

/* What the file of encryption keys holds now; secret. */
struct storage_keys {
    enum seal_file found;
    struct seal_keys keys;           /* with SEAL_FILE_READ */
    char error[SEAL_FILE_ERROR_MAX]; /* with SEAL_FILE_REFUSED */
};
/* Reads the file of encryption keys. Blocks; any thread, while the options' texts stay. */
void storage_keys_read(const struct storage *storage, struct storage_keys *out);
/* Seals new files with what was read, or says in the log why not. */
void storage_keys_apply(struct storage *storage, const struct storage_keys *read);

/* ---- any thread */

struct snapshot_answer; /* sessiond/server.h */
void storage_snapshot(struct storage *storage, struct snapshot_answer *answer);
/* Append pairs to the maps of server.info and server.stats; answer how many. */
struct buf;
uint32_t storage_write_info(struct storage *storage, struct buf *out);
uint32_t storage_write_stats(struct storage *storage, struct buf *out);

#endif
