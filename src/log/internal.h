/* What the parts of the log share: struct log, its queue, its files, and who may touch which of them.
 *
 * Always true:
 *   - `lock` covers everything that is not said to belong to one thread; it is held for additions and copies of what a
 *     loop staged, never while the disk is busy.
 *   - At most one segment has bytes that are not synced: before anything of a segment is written, all of the one before
 *     it is synced, cut to its size and closed. So everything that counts as synced is a prefix of the log.
 *   - The bytes of a frame are made once (pending) and written to one place, however often that has to be tried: the
 *     seal of a frame goes on with it, and what was torn is written over.
 * Names begin with the part that has them: queue_, space_, mark_, file_, snapshot_. */
#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H

#include "base/buf.h"
#include "base/lock.h"
#include "log/log.h"

enum {
    LOG_LOOPS_MAX = 64,
    CHUNK_BYTES_MAX = 1 << 20,                     /* of appended effects: what becomes one frame */
    CHUNK_BYTES_MIN = 4096,                        /* also where segments are tiny */
    CHUNKS_KEPT_MAX = 4,                           /* free ones */
    LOOP_RESERVE_BYTES = 4 * JOURNAL_APPEND_BYTES, /* what a loop may append after it was told OPEN */
    FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + STREAM_OVERHEAD_BYTES,
    SNAPSHOT_SLICE_BYTES = 256 * 1024, /* of one frame */
    SNAPSHOT_SYNC_BYTES = 4 << 20,     /* between two syncs, so that the log's own never wait for more */
    SYNC_INTERVAL_MS = 500,            /* at everysec */
    UNSYNCED_MAX_MS = 1000,            /* the same: age from which on writes are refused */
    RETRY_MS = 1000,                   /* of what found the disk full */
    IDLE_MS = 250,                     /* after which a MARK says what is synced */
    LIFE_MS = 60 * 1000,               /* after which a further one says what time it is */
    PATIENCE_MS = 50,                  /* between two looks at whether the log is synced for a snapshot */
    SNAPSHOT_RETRY_MS = 60 * 1000      /* after one that failed */
};

/* Appended effects; whole appends only. */
struct chunk {
    struct chunk *next;
    size_t size, capacity;
    uint8_t bytes[];
};

struct queue {
    struct chunk *first, *last;
};

/* A file that grows by frames. */
struct file_out {
    struct disk_file *file;
    char name[DISK_NAME_MAX + 1];
    uint64_t number, position; /* where the next frame goes */
    uint64_t synced;           /* bytes known to be synced */
    bool is_sealed;
    struct stream stream; /* with is_sealed */
};

struct segment {
    struct file_out out;
    uint64_t allocated;
    uint64_t body;        /* where its effects begin */
    uint64_t effects_end; /* what is to be synced: a MARK is not */
    bool is_begun;        /* its header and preamble are written */
    bool is_ending;       /* nothing is written any more; log_sync closes it */
    bool is_hurried;      /* synced ahead of time, since it ends soon */
};

enum snapshot_phase {
    SNAPSHOT_NONE,
    SNAPSHOT_ROTATING, /* until the log has gone over to segment `number` */
    SNAPSHOT_WALKING,
    SNAPSHOT_WAITING /* whole and synced, until the log is synced as far as the walk has seen */
};

/* log_keep's alone, but for phase and number, which change under the lock. */
struct snapshot {
    enum snapshot_phase phase;
    uint64_t number;
    struct file_out out;
    struct snapshot_cursor cursor;
    uint64_t version;    /* that the log has to be synced up to */
    uint64_t log_before; /* log_effect_bytes_total when the walk began */
    int64_t begun_at;
};

struct log {
    struct journal journal; /* first */
    struct log_options options;
    struct engine *engine; /* NULL until log_open */
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t reserve_bytes, slack_bytes, chunk_bytes; /* constant; see log_space.c */
    _Atomic uint64_t awaited[LOG_LOOPS_MAX];          /* 0: nothing */
    _Atomic bool is_failure_told;                     /* with FAILED: to the log of lines, and to who waits */

    struct lock lock;

    /* ---- the queue */
    struct queue queue;
    struct chunk *free_chunks;
    unsigned free_count;
    uint64_t queue_bytes; /* appended and not written yet, with what frames add */
    bool is_long;         /* the queue was above its bound and has not drained below half yet */

    /* ---- space */
    struct segment *current; /* NULL: none is begun, or the next one waits */
    struct segment *spare;   /* NULL: there is none */
    uint64_t next_number;    /* of the next spare */
    uint64_t preamble_bytes; /* of the last one that was made */
    bool is_denied;          /* the last spare could not be made */
    bool is_write_denied;    /* the disk was full for a frame */
    uint64_t rotate_to;      /* the current segment ends if its number is lower */
    struct seal_keys keys;   /* with has_keys: of the next file */
    bool has_keys;
    uint64_t previous_bytes; /* length of the segment before the current one, or the next */

    /* ---- how far it is safe */
    uint64_t written_version, synced_version;
    int64_t unsynced_from; /* when the oldest byte was written that no sync has begun for; INT64_MAX: none */
    int64_t syncing_from;  /* the same of the sync that runs */
    int64_t synced_at;     /* when the last sync began */

    /* ---- log_write's alone */
    struct queue taken;
    uint64_t taken_version;
    struct buf pending; /* what is to be written at current->out.position */
    enum frame_kind pending_kind;
    uint64_t pending_queue;   /* bytes of the queue that it stands for */
    uint64_t pending_effects; /* the same without overhead */
    bool is_marked;           /* nothing but a MARK would stand behind what is written */
    int64_t written_at;       /* when anything was written last */

    /* ---- log_keep's alone */
    struct snapshot snapshot;
    struct buf slice, frame;
    int64_t spare_at, snapshot_at; /* not before: of a further try */
    bool has_litter;               /* files that the newest snapshot covers may be there */
    bool is_full_told;

    /* ---- under the lock again */
    uint64_t snapshot_asked;            /* its number; 0: none is */
    uint64_t kept_segments, kept_bytes; /* that have ended */
    uint64_t log_base;                  /* of log_effect_bytes_total: what the newest snapshot covers; may wrap */
    int64_t snapshot_last_at;
    struct log_stats stats; /* counters and what is told as it is */
    char why[256];          /* of log_open */
};

/* For ever. The engine fails the journal too, where it has no memory for an effect of a change that is made. */
static inline bool log_is_failed(const struct log *log) {
    return atomic_load(&((struct log *)log)->journal.state) == JOURNAL_FAILED;
}

static inline void log_signal(struct log *log, enum log_thread thread) {
    log->options.signal(log->options.signal_context, thread);
}

/* What each step begins with: false: it has failed, which is told once, whoever made it fail. */
bool log_step_begins(struct log *log);
/* Ends it all: the state becomes FAILED, whoever waits is woken. `place`: of the file. Any storage thread, no lock
 * held, right after the disk's answer. */
void log_fail(struct log *log, const char *what, const char *name, uint64_t place);
/* Writes "<what> <name> at <place>: <why>" to stats.failure, unless the log has failed. Takes the lock. */
void log_failure_set(struct log *log, const char *what, const char *name, uint64_t place);

/* ---- log_queue.c */

/* Copies effects to the queue's end and counts them. False: memory is lacking. Takes the lock. */
bool queue_append(struct log *log, struct bytes effects);
/* Takes all that is queued, and the version up to which every effect has been appended. log_write. */
void queue_take(struct log *log);
/* Takes the first chunk off `taken` and gives its memory back. log_write. */
void queue_drop_taken(struct log *log);
void queue_free(struct queue *queue);

/* ---- log_space.c: under the lock */

/* Bytes of the queue that fit into what is allocated, for certain. */
uint64_t space_left(const struct log *log);
/* Works out the journal's state anew. */
void space_settle(struct log *log);
/* The size that a segment is allocated with. */
uint64_t space_of_segment(const struct log *log);
/* Whether the current segment is to end now. */
bool space_must_end(const struct log *log);

/* ---- log_mark.c */

/* Moves versions and mark as far as what is written and synced allows. Under the lock. */
void mark_settle(struct log *log);
/* From when on the disk is late. Under the lock. */
void mark_settle_busy(struct log *log);
/* Wakes the loops whose version is reached. No lock held. */
void mark_wake(struct log *log);
/* Whether some loop awaits a version above `version`. */
bool mark_is_awaited(struct log *log, uint64_t version);
void mark_await(struct log *log, unsigned loop_index, uint64_t version);

/* ---- log_file.c */

/* Appends the header and the preamble of a new file to `bytes`, and sets how its frames are sealed. */
void file_begin(struct log *log, struct file_out *out, enum file_kind kind, int64_t now_ms, struct buf *bytes);
/* Appends a frame that is to stand at out->position + bytes->size. */
void file_put_frame(struct file_out *out, struct frame_header *frame, struct bytes payload, struct buf *bytes);
/* Closes it, if it is open. */
void file_close(struct log *log, struct file_out *out);

/* ---- log_keep.c, log_snapshot.c */

/* Makes a spare segment. On the keeping thread, or before the threads. */
enum disk_error keep_make_spare(struct log *log, int64_t now_ms);
/* Does the next part of a snapshot, or begins one that is due; answers as a step. */
int64_t snapshot_advance(struct log *log, int64_t now_ms);
/* Gives up the one that runs. */
void snapshot_drop(struct log *log);
/* Removes files of earlier snapshots, segments that the newest snapshot covers, and snapshots that were never whole. */
void keep_remove_covered(struct log *log);

/* Ends the current segment: FRAME_END, synced, cut, closed. log_close. */
bool write_end(struct log *log, int64_t now_ms);
/* Syncs whatever is written now, whether it is time or not. */
int64_t sync_now(struct log *log, int64_t now_ms);

#endif
