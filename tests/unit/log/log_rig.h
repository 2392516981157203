/* What the tests of the running log share: a log on the simulated disk, an engine of numbered effects, a world whose
 * steps are called by hand, and a reader of directories of its own.
 *
 * Version v's effect is a run of bytes that says v; the engine holds all that were told, and its snapshot tells them
 * again. So what a directory holds is a set of versions, and a good one is 1, 2 ... m. */
#ifndef UNIT_LOG_RIG_H
#define UNIT_LOG_RIG_H

#include "disk/sim_disk.h"
#include "log/log.h"

#include "base/check.h"
#include "base/prng.h"

#include <stdlib.h>

enum { RIG_VERSIONS_MAX = 1 << 16, RIG_EFFECT_MIN = 16, RIG_LOOPS = 2, RIG_SEGMENT_BYTES = 16 * 1024 };

struct rig {
    struct engine engine; /* first */
    struct engine_vtable vtable;
    struct env env;
    struct log_options options;
    struct log_start start;
    struct sim_disk *sim;
    struct log *log;
    struct journal *journal;
    int64_t now_ms;
    int64_t due[LOG_THREAD_COUNT];
    _Atomic bool is_signalled[LOG_THREAD_COUNT];
    _Atomic unsigned woken[RIG_LOOPS];
    _Atomic uint64_t last;           /* version taken */
    _Atomic uint64_t staged_from;    /* taken and not appended from here on; UINT64_MAX: all is */
    size_t effect_bytes, walk_bytes; /* of an effect, when it is appended and in a snapshot */
    unsigned slice_count;            /* of snapshots, told */
    uint64_t slice_versions;         /* in one slice; 0: as many as there is room for */
    uint64_t ahead;                  /* added to the version that a walk says it has met */
    size_t preamble_bytes;
    uint8_t random;
};

/* ---------------------------------------------------------------- the engine */

static inline void rig_effect(struct buf *out, uint64_t version, size_t size) {
    uint8_t *at = buf_reserve(out, size);
    uint64_t words[] = {version, size};
    CHECK(at && size >= RIG_EFFECT_MIN);
    memset(at, 'p', size);
    memcpy(at, words, sizeof words);
    out->size += size;
}

static inline struct rig *rig_of(struct engine *engine) {
    return (struct rig *)engine;
}

static inline uint64_t rig_appended(struct engine *engine) {
    struct rig *rig = rig_of(engine);
    uint64_t last = atomic_load(&rig->last), from = atomic_load(&rig->staged_from);
    return from <= last ? from - 1 : last;
}

/* Effects of version 0 are the preamble's: they say nothing. */
static inline void rig_preamble(struct engine *engine, struct buf *out) {
    rig_effect(out, 0, rig_of(engine)->preamble_bytes);
}

static inline void rig_snapshot(struct engine *engine, struct snapshot_cursor *cursor, struct buf *out,
                                size_t bytes_max, int64_t now_ms) {
    struct rig *rig = rig_of(engine);
    uint64_t last = atomic_load(&rig->last), told = 0;
    (void)now_ms;
    while (cursor->position < last && out->size < bytes_max &&
           (rig->slice_versions == 0 || told < rig->slice_versions)) {
        rig_effect(out, ++cursor->position, rig->walk_bytes);
        told++;
    }
    cursor->version = cursor->position + rig->ahead;
    cursor->is_done = cursor->position == last;
    rig->slice_count++;
}

/* ---------------------------------------------------------------- the world */

static inline void rig_signal(void *context, enum log_thread thread) {
    atomic_store(&((struct rig *)context)->is_signalled[thread], true);
}

static inline void rig_wake(void *context, unsigned loop_index) {
    atomic_fetch_add(&((struct rig *)context)->woken[loop_index], 1);
}

static inline void rig_random(void *context, void *out, size_t size) {
    memset(out, ++((struct rig *)context)->random, size);
}

/* A rig whose log is not made yet, so that options can be changed. */
static inline struct rig *rig_make(enum log_level_of level) {
    struct rig *rig = calloc(1, sizeof *rig);
    CHECK(rig);
    rig->vtable.appended = rig_appended;
    rig->vtable.preamble = rig_preamble;
    rig->vtable.snapshot = rig_snapshot;
    rig->engine.vtable = &rig->vtable;
    rig->env = (struct env){.context = rig, .random = rig_random, .wake = rig_wake};
    rig->sim = sim_disk_open();
    rig->now_ms = 1000000;
    sim_disk_set_wall_ms(rig->sim, rig->now_ms);
    rig->effect_bytes = 100;
    rig->walk_bytes = RIG_EFFECT_MIN;
    rig->preamble_bytes = 64;
    atomic_init(&rig->staged_from, UINT64_MAX);
    rig->options = (struct log_options){.disk = sim_disk_of(rig->sim),
                                        .env = &rig->env,
                                        .loop_count = RIG_LOOPS,
                                        .level = level,
                                        .segment_bytes = RIG_SEGMENT_BYTES,
                                        .queue_bytes_max = 1 << 20,
                                        .signal = rig_signal,
                                        .signal_context = rig};
    rig->start = (struct log_start){.store_id = "a test's store", .next_number = 1};
    return rig;
}

static inline bool rig_try_open(struct rig *rig, const char **why) {
    rig->log = log_make(&rig->options);
    CHECK(rig->log);
    rig->journal = log_journal(rig->log);
    bool is_open = log_open(rig->log, &rig->engine, &rig->start, rig->now_ms, why);
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) rig->due[i] = rig->now_ms;
    return is_open;
}

/* One call of one step, if it is due or was signalled. */
static inline bool rig_step(struct rig *rig, enum log_thread thread) {
    static int64_t (*const steps[])(struct log *, int64_t) = {log_write, log_sync, log_keep};
    bool is_signalled = atomic_exchange(&rig->is_signalled[thread], false);
    if (!is_signalled && rig->due[thread] > rig->now_ms) return false;
    rig->due[thread] = steps[thread](rig->log, rig->now_ms);
    return true;
}

/* Until nobody has anything to do at this moment. */
static inline void rig_run(struct rig *rig) {
    bool did;
    unsigned rounds = 0;
    do {
        did = rig_step(rig, LOG_WRITE);
        did |= rig_step(rig, LOG_SYNC);
        did |= rig_step(rig, LOG_KEEP);
        CHECK(++rounds < 100000);
    } while (did);
}

static inline void rig_pass(struct rig *rig, int64_t ms) {
    rig_run(rig);
    for (int64_t end = rig->now_ms + ms; rig->now_ms < end;) {
        int64_t next = end;
        for (unsigned i = 0; i < LOG_THREAD_COUNT; i++)
            if (rig->due[i] > rig->now_ms && rig->due[i] < next) next = rig->due[i];
        rig->now_ms = next;
        sim_disk_set_wall_ms(rig->sim, next);
        rig_run(rig);
    }
}

static inline struct rig *rig_opened(struct rig *rig) {
    const char *why = NULL;
    CHECK(rig_try_open(rig, &why));
    rig_run(rig);
    return rig;
}

static inline struct rig *rig_open(enum log_level_of level) {
    return rig_opened(rig_make(level));
}

static inline void rig_free(struct rig *rig) {
    log_free(rig->log);
    sim_disk_close(rig->sim);
    free(rig);
}

/* ---------------------------------------------------------------- loops */

/* Takes the next version and appends its effect; answers the version. */
static inline uint64_t rig_append_sized(struct rig *rig, unsigned loop_index, size_t size) {
    struct buf effect = BUF_EMPTY;
    uint64_t version = atomic_fetch_add(&rig->last, 1) + 1;
    rig_effect(&effect, version, size);
    rig->journal->append(rig->journal, loop_index, buf_bytes(&effect));
    rig->journal->flush(rig->journal, loop_index);
    buf_fini(&effect);
    return version;
}

static inline uint64_t rig_append(struct rig *rig) {
    return rig_append_sized(rig, 0, rig->effect_bytes);
}

static inline uint64_t rig_append_many(struct rig *rig, unsigned count) {
    for (unsigned i = 1; i < count; i++) rig_append(rig);
    return rig_append(rig);
}

/* The same, with the steps called in between. */
static inline uint64_t rig_append_slowly(struct rig *rig, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        rig_append(rig);
        if (i % 10 == 9) rig_run(rig);
    }
    rig_run(rig);
    return atomic_load(&rig->last);
}

static inline enum journal_state rig_state(struct rig *rig) {
    return journal_state_at(rig->journal, rig->now_ms);
}

static inline struct log_stats rig_stats(struct rig *rig) {
    struct log_stats stats;
    log_stats_get(rig->log, &stats);
    return stats;
}

/* ---------------------------------------------------------------- reading a directory */

struct rig_found {
    bool has[RIG_VERSIONS_MAX + 1];
    uint64_t newest;
    uint64_t whole;    /* all up to it are there */
    bool is_ended;     /* the last file ends with FRAME_END */
    uint64_t segments; /* begun */
    uint64_t snapshot; /* 0: none */
    uint64_t first_segment, last_segment;
    struct frame_header last; /* frame, of any kind */
    uint64_t size_of_last;    /* segment, as far as it is whole */
};

struct rig_name {
    uint64_t newest_snapshot, first, last;
};

static inline void rig_name_seen(void *context, const char *name, uint64_t size) {
    struct rig_name *seen = context;
    enum file_kind kind;
    uint64_t number;
    (void)size;
    if (!file_name_read(name, &kind, &number)) return;
    if (kind == FILE_SNAPSHOT) {
        if (number > seen->newest_snapshot) seen->newest_snapshot = number;
        return;
    }
    if (number > seen->last) seen->last = number;
    if (seen->first == 0 || number < seen->first) seen->first = number;
}

static inline void rig_take_effects(struct rig_found *found, struct bytes effects) {
    for (size_t at = 0; at < effects.size;) {
        uint64_t words[2];
        CHECK(effects.size - at >= sizeof words);
        memcpy(words, effects.data + at, sizeof words);
        CHECK(words[0] < RIG_VERSIONS_MAX && words[1] >= RIG_EFFECT_MIN && words[1] <= effects.size - at);
        found->has[words[0]] = true;
        if (words[0] > found->newest) found->newest = words[0];
        at += words[1];
    }
}

enum rig_end { RIG_TORN, RIG_ZEROS, RIG_ENDED };

/* Reads one file's whole frames. */
static inline enum rig_end rig_read_frames(struct rig_found *found, struct bytes file, uint64_t number,
                                           const struct seal_keys *keys, const struct file_header *header) {
    struct stream stream;
    CHECK(seal_resume(keys, header, &stream));
    size_t at = FILE_HEADER_BYTES;
    enum rig_end end = RIG_ZEROS;
    while (end == RIG_ZEROS && at < file.size) {
        struct frame_header frame;
        if (file.size - at < FRAME_HEADER_BYTES) return RIG_TORN;
        frame_header_read(file.data + at, &frame);
        if (frame.size == 0 && frame.kind == 0) break;
        if (frame.size > file.size - at - FRAME_HEADER_BYTES) return RIG_TORN;
        struct bytes payload = bytes_of(file.data + at + FRAME_HEADER_BYTES, frame.size);
        if (!frame_is_whole(&frame, number, at, payload)) return RIG_TORN;
        CHECK(frame.synced <= at);
        uint8_t *plain = malloc(frame.size + 1);
        struct bytes effects = payload;
        if (header->is_sealed) {
            CHECK(seal_open_payload(&stream, &frame, payload, plain));
            effects = bytes_of(plain, frame.size - STREAM_OVERHEAD_BYTES);
        }
        if (frame.kind == FRAME_EFFECTS) rig_take_effects(found, effects);
        while (found->has[found->whole + 1]) found->whole++;
        CHECK(header->kind == FILE_SNAPSHOT || frame.version <= found->whole); /* as it says */
        if (frame.kind == FRAME_END) end = RIG_ENDED;
        free(plain);
        at += FRAME_HEADER_BYTES + frame.size;
        found->last = frame;
        found->size_of_last = at;
    }
    for (size_t i = at; i < file.size; i++)
        if (file.data[i]) return RIG_TORN;
    return end;
}

/* Whether it was begun. */
static inline bool rig_get_file(struct rig *rig, enum file_kind kind, uint64_t number, struct buf *out,
                                struct file_header *header) {
    char name[DISK_NAME_MAX + 1];
    file_name_write(kind, number, name);
    if (!sim_disk_get(rig->sim, name, out) || out->size < FILE_HEADER_BYTES) return false;
    if (file_header_read(out->data, header) != HEADER_WHOLE) return false;
    CHECK(header->kind == kind && header->number == number);
    CHECK(memcmp(header->store_id, rig->start.store_id, STORE_ID_BYTES) == 0);
    return true;
}

/* What a recovery would find: the newest snapshot, which must be whole, and the segments from its number on, which must
 * be there, each as long as the next one says, up to a torn one that has no whole successor. */
static inline void rig_read(struct rig *rig, struct rig_found *found) {
    struct rig_name seen = {0};
    struct disk *disk = sim_disk_of(rig->sim);
    struct file_header header;
    memset(found, 0, sizeof *found);
    CHECK(disk->list(disk->context, rig_name_seen, &seen) == DISK_OK);
    found->snapshot = seen.newest_snapshot;
    if (seen.newest_snapshot) {
        struct buf file = BUF_EMPTY;
        CHECK(rig_get_file(rig, FILE_SNAPSHOT, seen.newest_snapshot, &file, &header));
        CHECK(rig_read_frames(found, buf_bytes(&file), header.number, rig->options.keys, &header) == RIG_ENDED);
        buf_fini(&file);
    }
    uint64_t from = seen.newest_snapshot ? seen.newest_snapshot : 1;
    found->first_segment = seen.first;
    enum rig_end end = RIG_ZEROS;
    bool begun = true;
    for (uint64_t number = from; number <= seen.last; number++) {
        struct buf file = BUF_EMPTY;
        bool is_begun = rig_get_file(rig, FILE_LOG, number, &file, &header);
        if (is_begun) {
            CHECK(begun);
            /* The log never begins a segment before all of the last one is synced. */
            CHECK(number == from || (end != RIG_TORN && header.previous_bytes == found->size_of_last));
            found->segments++;
            found->last_segment = number;
            end = rig_read_frames(found, buf_bytes(&file), number, rig->options.keys, &header);
            found->is_ended = end == RIG_ENDED;
        } else {
            begun = false; /* and so are those behind it: the spare one is made before the head is synced */
        }
        buf_fini(&file);
    }
}

/* How many versions are there; fails where one before another one lacks. */
static inline uint64_t rig_prefix(struct rig *rig) {
    struct rig_found *found = malloc(sizeof *found);
    CHECK(found);
    rig_read(rig, found);
    uint64_t count = found->newest;
    for (uint64_t i = 1; i <= count; i++) CHECK(found->has[i]);
    free(found);
    return count;
}

#endif
