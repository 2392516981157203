/* The log between its threads: two loops append and wait, three storage threads write, sync and keep, and one more
 * looks at the disk. Whatever the mark covers is safe there at that moment; who waits is woken; the log goes over to
 * many segments, and snapshots are made and remove what they cover.
 *
 * The disk is memory, with a length per file that was synced; what is removed stays to be looked at. The engine numbers
 * effects, and says what is appended by the floors of its loops, as the real one does. */
#include "race.h"

#include "base/buf.h"
#include "base/lock.h"
#include "log/log.h"

#include <sched.h>
#include <string.h>

enum {
    LOOPS = 2,
    CHECKER = LOOPS + LOG_THREAD_COUNT,
    THREADS = CHECKER + 1,
    FILES_MAX = 1 << 12,
    FILE_BYTES_MAX = 256 * 1024,
    SEGMENT_BYTES = 32 * 1024,
    VERSIONS_MAX = 1 << 24,
    EFFECT_BYTES = 24,
    PATIENCE_S = 60 /* a loop that is not woken for so long never is */
};

/* ---------------------------------------------------------------- the disk */

struct disk_file {
    char name[DISK_NAME_MAX + 1];
    uint8_t *bytes;
    _Atomic uint64_t written, synced;
    bool is_gone;
    uint64_t read_to; /* the checker's */
};

static struct disk_file files[FILES_MAX];
static _Atomic unsigned file_count;
static struct lock names_lock;

static struct disk_file *file_find(const char *name) {
    for (unsigned i = atomic_load(&file_count); i-- > 0;)
        if (!files[i].is_gone && strcmp(files[i].name, name) == 0) return &files[i];
    return NULL;
}

static enum disk_error memory_open(void *context, const char *name, enum disk_mode mode, struct disk_file **out) {
    (void)context;
    lock_take(&names_lock);
    unsigned number = atomic_load(&file_count);
    bool is_there = file_find(name) != NULL;
    lock_release(&names_lock);
    if (mode != DISK_MAKE || is_there) return DISK_EXISTS;
    RACE_CHECK(number < FILES_MAX, "too many files");
    struct disk_file *file = &files[number]; /* one thread makes files */
    strcpy(file->name, name);
    file->bytes = calloc(1, FILE_BYTES_MAX);
    RACE_CHECK(file->bytes, "no memory");
    lock_take(&names_lock);
    atomic_store(&file_count, number + 1);
    lock_release(&names_lock);
    *out = file;
    return DISK_OK;
}

static enum disk_error memory_write(struct disk_file *file, uint64_t offset, struct bytes bytes) {
    RACE_CHECK(offset == atomic_load(&file->written), "a hole in %s", file->name);
    RACE_CHECK(offset + bytes.size <= FILE_BYTES_MAX, "%s is too long", file->name);
    memcpy(file->bytes + offset, bytes.data, bytes.size);
    atomic_store(&file->written, offset + bytes.size);
    return DISK_OK;
}

static enum disk_error memory_sync(struct disk_file *file) {
    uint64_t written = atomic_load(&file->written);
    sched_yield();
    atomic_store(&file->synced, written);
    return DISK_OK;
}

static enum disk_error memory_size_set(struct disk_file *file, uint64_t size) {
    RACE_CHECK(size >= atomic_load(&file->written) && size <= FILE_BYTES_MAX, "%s cut", file->name);
    return DISK_OK;
}

static void memory_close(struct disk_file *file) {
    (void)file;
}

static enum disk_error memory_rename(void *context, const char *from, const char *to) {
    (void)context;
    lock_take(&names_lock);
    struct disk_file *file = file_find(from);
    RACE_CHECK(file, "no file %s", from);
    strcpy(file->name, to);
    lock_release(&names_lock);
    return DISK_OK;
}

static enum disk_error memory_remove(void *context, const char *name) {
    (void)context;
    lock_take(&names_lock);
    struct disk_file *file = file_find(name);
    if (file) file->is_gone = true;
    lock_release(&names_lock);
    return file ? DISK_OK : DISK_MISSING;
}

static enum disk_error memory_sync_directory(void *context) {
    (void)context;
    return DISK_OK;
}

/* The one thread that makes, renames and removes is the one that lists. */
static enum disk_error memory_list(void *context, disk_each each, void *each_context) {
    (void)context;
    for (unsigned i = 0; i < atomic_load(&file_count); i++)
        if (!files[i].is_gone) each(each_context, files[i].name, atomic_load(&files[i].written));
    return DISK_OK;
}

static int64_t now(void *context) {
    struct timespec time;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static const char *memory_why(void *context) {
    (void)context;
    return "nothing";
}

static void memory_forget(struct disk_file *file, uint64_t offset) {
    (void)file, (void)offset;
}

static struct disk disk = {.open = memory_open,
                           .write = memory_write,
                           .sync = memory_sync,
                           .forget = memory_forget,
                           .allocate = memory_size_set,
                           .truncate = memory_size_set,
                           .close = memory_close,
                           .rename = memory_rename,
                           .remove = memory_remove,
                           .sync_directory = memory_sync_directory,
                           .list = memory_list,
                           .wall_ms = now,
                           .why = memory_why};

/* ---------------------------------------------------------------- the engine */

static _Atomic uint64_t last;
static _Atomic uint64_t floors[LOOPS];

static uint64_t appended(struct engine *self) {
    uint64_t version = atomic_load(&last);
    (void)self;
    for (unsigned i = 0; i < LOOPS; i++) {
        uint64_t floor = atomic_load(&floors[i]);
        if (floor <= version) version = floor - 1;
    }
    return version;
}

static void preamble(struct engine *self, struct buf *out) {
    static const uint8_t nothing[EFFECT_BYTES];
    (void)self;
    buf_append(out, nothing, sizeof nothing);
}

static void snapshot(struct engine *self, struct snapshot_cursor *cursor, struct buf *out, size_t bytes_max,
                     int64_t now_ms) {
    (void)bytes_max;
    (void)now_ms;
    preamble(self, out);
    cursor->version = atomic_load(&last);
    cursor->is_done = ++cursor->position == 5;
}

static const struct engine_vtable vtable = {.appended = appended, .preamble = preamble, .snapshot = snapshot};
static struct engine engine = {&vtable};

/* ---------------------------------------------------------------- the world */

static struct log *log_of_all;
static struct journal *journal;
static _Atomic bool woken[LOOPS];

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t is_called;
    bool is_signalled;
} calls[LOG_THREAD_COUNT];

static void wake(void *context, unsigned loop_index) {
    (void)context;
    atomic_store(&woken[loop_index], true);
}

static void signal_thread(void *context, enum log_thread thread) {
    (void)context;
    pthread_mutex_lock(&calls[thread].mutex);
    calls[thread].is_signalled = true;
    pthread_cond_signal(&calls[thread].is_called);
    pthread_mutex_unlock(&calls[thread].mutex);
}

/* Until it is signalled or it is time; no longer than a few milliseconds, so that the end is noticed. */
static void wait_for_call(enum log_thread thread, int64_t due_ms) {
    struct timespec until;
    int64_t now_ms = now(NULL), ms = due_ms <= now_ms ? 0 : due_ms - now_ms < 5 ? due_ms - now_ms : 5;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms * 1000000);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&calls[thread].mutex);
    if (!calls[thread].is_signalled && ms > 0)
        pthread_cond_timedwait(&calls[thread].is_called, &calls[thread].mutex, &until);
    calls[thread].is_signalled = false;
    pthread_mutex_unlock(&calls[thread].mutex);
}

static void run_storage(enum log_thread thread) {
    static int64_t (*const steps[])(struct log *, int64_t) = {log_write, log_sync, log_keep};
    int64_t due = 0;
    while (race_goes_on()) {
        wait_for_call(thread, due);
        due = steps[thread](log_of_all, now(NULL));
    }
}

/* ---------------------------------------------------------------- loops */

/* There are more threads than processors: who has nothing to do leaves them to the others. */
static void rest(long us) {
    struct timespec time = {0, us * 1000};
    nanosleep(&time, NULL);
}

static uint64_t append_turn(unsigned number, unsigned count) {
    uint8_t effects[8 * EFFECT_BYTES] = {0};
    uint64_t version = 0;
    atomic_store(&floors[number], atomic_load(&last) + 1);
    for (unsigned i = 0; i < count; i++) {
        version = atomic_fetch_add(&last, 1) + 1;
        memcpy(effects + i * EFFECT_BYTES, &version, sizeof version);
    }
    journal->append(journal, number, bytes_of(effects, count * EFFECT_BYTES));
    atomic_store(&floors[number], UINT64_MAX);
    journal->flush(journal, number);
    return version;
}

static void wait_until_woken(unsigned number, uint64_t version) {
    atomic_store(&woken[number], false);
    journal->await(journal, number, version);
    int64_t end = now(NULL) + PATIENCE_S * 1000;
    while (!atomic_load(&woken[number]) && race_goes_on()) {
        RACE_CHECK(now(NULL) < end, "loop %u waits for %lu at %lu", number, (unsigned long)version,
                   (unsigned long)journal_mark(journal));
        rest(10);
    }
    if (race_goes_on()) RACE_CHECK(journal_mark(journal) >= version, "woken too early");
}

static void run_loop(unsigned number) {
    for (unsigned turn = 0; race_goes_on(); turn++) {
        if (atomic_load(&last) > VERSIONS_MAX - 100 || atomic_load(&file_count) > FILES_MAX - 100) return;
        if (journal_state_at(journal, now(NULL)) != JOURNAL_OPEN) {
            rest(10);
            continue;
        }
        uint64_t version = append_turn(number, 1 + turn % 8);
        if (turn % 3 == 0) wait_until_woken(number, version);
        if (turn % 200 == 199 && number == 0) log_snapshot(log_of_all);
    }
}

/* ---------------------------------------------------------------- who looks */

static uint8_t *seen;
static uint64_t seen_to;
static _Atomic uint64_t looks;
static unsigned first_growing; /* file that may still grow */
static bool is_synced_safe;    /* else what is written is */

static void look_at_frame(const struct frame_header *frame, struct bytes payload) {
    if (frame->kind != FRAME_EFFECTS) return;
    for (size_t at = 0; at < payload.size; at += EFFECT_BYTES) {
        uint64_t version;
        memcpy(&version, payload.data + at, sizeof version);
        RACE_CHECK(version < VERSIONS_MAX, "version %lu", (unsigned long)version);
        seen[version] = 1;
    }
    while (seen[seen_to + 1]) seen_to++;
    RACE_CHECK(frame->version <= seen_to, "a frame says %lu, %lu is missing", (unsigned long)frame->version,
               (unsigned long)seen_to + 1);
}

static void look_at_file(struct disk_file *file, uint64_t safe) {
    enum file_kind kind;
    uint64_t number;
    lock_take(&names_lock);
    bool is_segment = file_name_read(file->name, &kind, &number) && kind == FILE_LOG;
    lock_release(&names_lock);
    if (!is_segment || safe == 0) return;
    if (file->read_to == 0) file->read_to = FILE_HEADER_BYTES;
    while (file->read_to < safe) {
        struct frame_header frame;
        const uint8_t *at = file->bytes + file->read_to;
        frame_header_read(at, &frame);
        struct bytes payload = bytes_of(at + FRAME_HEADER_BYTES, frame.size);
        RACE_CHECK(file->read_to + FRAME_HEADER_BYTES + frame.size <= safe, "part of a frame is safe");
        RACE_CHECK(frame_is_whole(&frame, number, file->read_to, payload), "%s at %lu", file->name,
                   (unsigned long)file->read_to);
        look_at_frame(&frame, payload);
        file->read_to += FRAME_HEADER_BYTES + frame.size;
    }
}

static void look(void) {
    static uint64_t safe[FILES_MAX];
    uint64_t mark = journal_mark(journal);
    unsigned count = atomic_load(&file_count);
    /* Backwards: where something of a segment is safe, all of the one before it is, and is seen so. */
    for (unsigned i = count; i-- > first_growing;)
        safe[i] = atomic_load(is_synced_safe ? &files[i].synced : &files[i].written);
    for (unsigned i = first_growing; i < count; i++) look_at_file(&files[i], safe[i]);
    if (count > 8) first_growing = count - 8;
    RACE_CHECK(seen_to >= mark, "the mark says %lu, and %lu is not safe", (unsigned long)mark,
               (unsigned long)seen_to + 1);
    looks++;
}

static void *run(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    if (number < LOOPS)
        run_loop((unsigned)number);
    else if (number < CHECKER)
        run_storage((enum log_thread)(number - LOOPS));
    else
        for (; race_goes_on(); rest(200)) look();
    return NULL;
}

static bool is_enough(void) {
    struct log_stats stats;
    log_stats_get(log_of_all, &stats);
    return atomic_load(&looks) > 10 && stats.syncs_total > 3 && atomic_load(&file_count) > 3 &&
           stats.snapshots_total > 0;
}

static void play(int argc, char **argv, enum log_level_of level) {
    static const struct env env = {.wake = wake};
    struct log_options options = {.disk = &disk,
                                  .env = &env,
                                  .loop_count = LOOPS,
                                  .level = level,
                                  .segment_bytes = SEGMENT_BYTES,
                                  .queue_bytes_max = SEGMENT_BYTES,
                                  .signal = signal_thread};
    struct log_start start = {.next_number = 1};
    struct log_stats stats;
    const char *why;
    for (unsigned i = 0; i < LOOPS; i++) atomic_store(&floors[i], UINT64_MAX);
    is_synced_safe = level == LOG_ALWAYS;
    log_of_all = log_make(&options);
    RACE_CHECK(log_of_all, "no memory");
    journal = log_journal(log_of_all);
    RACE_CHECK(log_open(log_of_all, &engine, &start, now(NULL), &why), "%s", why);
    race_is_enough = is_enough;
    race_run(argc, argv, run, THREADS);
    bool has_happened = is_enough();
    RACE_CHECK(log_close(log_of_all, now(NULL)), "not all is safe");
    look();
    log_stats_get(log_of_all, &stats);
    RACE_CHECK(journal_mark(journal) == atomic_load(&last), "the mark rests at %lu",
               (unsigned long)journal_mark(journal));
    RACE_CHECK(has_happened, "nothing happened");
    printf("%lu versions, %lu frames, %lu syncs, %u files, %lu snapshots, %lu looks\n",
           (unsigned long)atomic_load(&last), (unsigned long)stats.log_frames_total, (unsigned long)stats.syncs_total,
           atomic_load(&file_count), (unsigned long)stats.snapshots_total, (unsigned long)atomic_load(&looks));
    log_free(log_of_all);
}

static void forget(void) {
    for (unsigned i = 0; i < atomic_load(&file_count); i++) free(files[i].bytes);
    memset(files, 0, sizeof files);
    memset(seen, 0, VERSIONS_MAX);
    atomic_store(&file_count, 0);
    atomic_store(&last, 0);
    atomic_store(&race_is_over, false);
    seen_to = first_growing = 0;
    atomic_store(&looks, 0);
}

int main(int argc, char **argv) {
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        pthread_mutex_init(&calls[i].mutex, NULL);
        pthread_cond_init(&calls[i].is_called, NULL);
    }
    seen = calloc(1, VERSIONS_MAX);
    RACE_CHECK(seen, "no memory");
    play(argc, argv, LOG_ALWAYS);
    forget();
    play(argc, argv, LOG_EVERYSEC);
    forget();
    free(seen);
    return 0;
}
