/* The log: one sequence of effects on disk, and everything that happens to it while the server runs.
 *
 * Loops append (struct journal, which is its first member); three storage threads, or three fibres of the simulator,
 * call the steps below, each its own, over and over:
 *   log_write  takes all that is queued and writes it as frames, a new segment beginning when one is full;
 *   log_sync   syncs what was written: at `always` whenever something waits, at `everysec` each sync_interval_ms;
 *   log_keep   has the next segment ready before it is needed, makes snapshots and removes what they cover.
 * A snapshot gets its name only when all that was appended at the end of its walk is synced in the log: else it could
 * know, after a power cut, of a change whose cause the log has lost.
 * A step does one round, blocks for as long as the disk does, and answers when it wants to be called again (server
 * time; INT64_MAX: when options.signal says so). No lock is held while the disk is busy, so loops never wait for it.
 *
 * What goes wrong: a full disk makes the state FULL before anything is lost (the queue always fits into what is
 * allocated; see log_space.c), tried again each second. A write or a sync that fails makes it FAILED for ever: nothing
 * of the files is trusted, touched or removed any more. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "log/seal.h"
#include "sessiond/disk.h"
#include "sessiond/engine.h"
#include "sessiond/env.h"
#include "sessiond/journal.h"

enum log_level_of { LOG_EVERYSEC, LOG_ALWAYS };

enum log_thread { LOG_WRITE, LOG_SYNC, LOG_KEEP, LOG_THREAD_COUNT };

struct log_options {
    struct disk *disk;     /* lives as long as the log */
    const struct env *env; /* the same; its wake is called from storage threads */
    unsigned loop_count;
    enum log_level_of level;
    const struct seal_keys *keys; /* of encryption at rest, copied; NULL: none */
    uint64_t segment_bytes;       /* a segment's size */
    uint64_t queue_bytes_max;     /* appended and not written yet; above it the state is BUSY */
    uint64_t snapshot_log_bytes;  /* of segments since the last snapshot, from which on one is made; 0: never by size */
    int64_t snapshot_interval_ms; /* since the last one, if anything was logged; 0: never by time */
    /* There is work for that storage thread: its step is to be called. Any thread; never blocks. */
    void (*signal)(void *context, enum log_thread thread);
    void *signal_context;
};

/* Where recovery left the directory. */
struct log_start {
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t next_number;     /* of the first segment to make */
    uint64_t previous_bytes;  /* of the segment before it, all of them synced, for the header; 0: there is none */
    uint64_t version;         /* the newest that is recovered: the mark begins there */
    uint64_t snapshot_number; /* of the newest snapshot; 0: none */
    uint64_t log_bytes;       /* of segments that it does not cover */
};

struct log;

/* In this order: log_make, which gives the engine its journal; recovery into that engine; log_open, and from then on
 * turns and steps; log_close when they have ended; the engine's close; log_free. `options` is copied. NULL: memory is
 * lacking. */
struct log *log_make(const struct log_options *options);
struct journal *log_journal(struct log *log);
void log_free(struct log *log);

/* Makes the first segment, with the engine that recovery has filled. A full disk is no failure: the state is FULL then,
 * until there is space. False: *why says what failed (valid until log_free), and nothing can be written. */
bool log_open(struct log *log, struct engine *engine, const struct log_start *start, int64_t now_ms, const char **why);

int64_t log_write(struct log *log, int64_t now_ms);
int64_t log_sync(struct log *log, int64_t now_ms);
int64_t log_keep(struct log *log, int64_t now_ms);

/* Bytes of effects that are not synced yet: written (what a sync would cover), and appended in all. */
void log_unsynced(struct log *log, uint64_t *written, uint64_t *appended);

/* Asks for a snapshot; one that runs is joined. Answers its number. Any thread. */
uint64_t log_snapshot(struct log *log);
/* Asks for a new segment: it and all later files are sealed with these keys, which are copied; NULL: with none. Any
 * thread. */
void log_rotate(struct log *log, const struct seal_keys *keys);

/* In order: everything that was appended is written and synced, and the segment ends with FRAME_END and is cut to its
 * size. After the last step, when no loop runs. False: not everything is safe. */
bool log_close(struct log *log, int64_t now_ms);

/* Figures; counters only grow. Any thread. */
struct log_stats {
    enum journal_state state;
    uint64_t log_bytes_total, log_frames_total, log_effect_bytes_total, syncs_total;
    uint64_t log_queue_bytes;    /* appended and not written */
    uint64_t log_unsynced_bytes; /* written and not synced */
    uint64_t log_segments;       /* there now */
    uint64_t log_segment_bytes;  /* of them, as far as they are written */
    uint64_t snapshots_total, snapshot_failures_total;
    uint64_t snapshot_number; /* of the newest whole one; 0: none */
    uint64_t snapshot_bytes;  /* of it */
    int64_t snapshot_at;      /* when it was begun; 0: none */
    int64_t snapshot_took_ms;
    bool snapshot_is_running;
    uint64_t full_total, failed_total; /* times that the state became so */
    int64_t sync_worst_ms;             /* the longest sync */
    char failure[160];                 /* with FAILED or FULL: what failed, where and why */
};
void log_stats_get(struct log *log, struct log_stats *out);

#endif
