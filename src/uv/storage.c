/* See storage.h. The log's steps block for as long as the disk does, so each has a thread, which sleeps until it is
 * told to or until the moment that the step asked for. To tell a thread that is awake costs one atomic exchange, or
 * only a load where it was told already: loops do it each turn. */
#include "uv/storage.h"

#include "base/log.h"
#include "sessiond/server.h"
#include "uv/patience.h"

#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#define DRIFT_MS 100

/* A sync waits for writers at most as long as the last one took, and at most for so many naps. */
#define GATHER_NAPS       8
#define GATHER_NAP_NS_MAX 1000000

/* ---------------------------------------------------------------- threads */

static int64_t now_of(const struct storage *storage) {
    return clock_now_ms(storage->clock);
}

/* Sleeps until `until_ms`, or until it is told to wake. */
static void thread_sleep(struct storage_thread *thread, int64_t until_ms) {
    uint32_t expected = SLEEPER_AWAKE;
    uv_mutex_lock(&thread->mutex);
    if (atomic_compare_exchange_strong(&thread->state, &expected, SLEEPER_ASLEEP)) {
        while (atomic_load(&thread->state) == SLEEPER_ASLEEP) {
            int64_t left_ms = until_ms == INT64_MAX ? INT64_MAX : until_ms - now_of(thread->storage);
            if (left_ms <= 0) break;
            if (left_ms == INT64_MAX)
                uv_cond_wait(&thread->cond, &thread->mutex);
            else
                uv_cond_timedwait(&thread->cond, &thread->mutex, (uint64_t)left_ms * 1000000);
        }
    }
    uv_mutex_unlock(&thread->mutex);
}

static void thread_wake(struct storage_thread *thread) {
    /* Told already, and not awake to take it: whoever wakes for that one sees what we have done before this, too. */
    if (atomic_load(&thread->state) == SLEEPER_SIGNALLED) return;
    if (atomic_exchange(&thread->state, SLEEPER_SIGNALLED) != SLEEPER_ASLEEP) return;
    /* Once we had the mutex, it waits on the condition or sees the state; signalled while we hold it, it would wake
     * only to sleep again on the mutex. */
    uv_mutex_lock(&thread->mutex);
    uv_mutex_unlock(&thread->mutex);
    uv_cond_signal(&thread->cond);
}

static void on_signal(void *context, enum log_thread which) {
    struct storage *storage = context;
    if (storage->threads[which].is_there) thread_wake(&storage->threads[which]);
}

/* Waits for writers that are about to come, in naps: to be woken for each of them would cost more than it saves.
 * Answers whether they did not come within the time that a sync takes. */
static bool gather_wait(struct storage *storage, uint64_t *written) {
    uint64_t appended, nap_ns = storage->sync_took_ns / GATHER_NAPS;
    if (nap_ns > GATHER_NAP_NS_MAX) nap_ns = GATHER_NAP_NS_MAX;
    log_unsynced(storage->log, written, &appended);
    for (unsigned naps = 0; gather_waits(&storage->gather, *written); naps++) {
        if (naps == GATHER_NAPS) return true;
        nanosleep(&(struct timespec){.tv_nsec = (long)nap_ns}, NULL);
        log_unsynced(storage->log, written, &appended);
    }
    return false;
}

static int64_t sync_gathered(struct log *log, int64_t now_ms, struct storage *storage) {
    uint64_t written, left, appended;
    bool in_vain = gather_wait(storage, &written);
    uint64_t began_at = uv_hrtime();
    int64_t next_ms = log_sync(log, now_ms);
    if (written == 0) return next_ms;
    storage->sync_took_ns = uv_hrtime() - began_at;
    log_unsynced(log, &left, &appended);
    gather_ended(&storage->gather, written, appended, in_vain);
    return next_ms;
}

static int64_t step_sync(struct storage *storage, int64_t now_ms) {
    if (storage->level == DURABILITY_ALWAYS) return sync_gathered(storage->log, now_ms, storage);
    return log_sync(storage->log, now_ms);
}
static int64_t step_write(struct storage *storage, int64_t now_ms) {
    return log_write(storage->log, now_ms);
}
static int64_t step_keep(struct storage *storage, int64_t now_ms) {
    return log_keep(storage->log, now_ms);
}

static void thread_run(void *context) {
    static int64_t (*const steps[])(struct storage *, int64_t) = {
        [LOG_WRITE] = step_write, [LOG_SYNC] = step_sync, [LOG_KEEP] = step_keep};
    struct storage_thread *thread = context;
    struct storage *storage = thread->storage;
    if (thread->which == LOG_KEEP) thread_be_patient(); /* a snapshot computes for a second */
    for (;;) {
        atomic_exchange(&thread->state, SLEEPER_AWAKE);
        if (atomic_load(&storage->is_stopping)) return;
        int64_t next_ms = steps[thread->which](storage, now_of(storage));
        if (next_ms > now_of(storage))
            thread_sleep(thread, next_ms);
        else if (thread->which == LOG_KEEP)
            sched_yield(); /* a snapshot goes on for seconds: a loop on the same core waits for a slice, not a quantum
                            */
    }
}

/* Before anybody may signal: what is signalled before the thread runs is found by its first step. */
static bool threads_open(struct storage *storage) {
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        struct storage_thread *thread = &storage->threads[i];
        thread->storage = storage;
        thread->which = (enum log_thread)i;
        if (uv_mutex_init(&thread->mutex) < 0) return false;
        if (uv_cond_init(&thread->cond) < 0) {
            uv_mutex_destroy(&thread->mutex);
            return false;
        }
        thread->is_there = true;
    }
    return true;
}

static void threads_close(struct storage *storage) {
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        struct storage_thread *thread = &storage->threads[i];
        if (!thread->is_there) continue;
        uv_cond_destroy(&thread->cond);
        uv_mutex_destroy(&thread->mutex);
        thread->is_there = false;
    }
}

bool storage_begin(struct storage *storage) {
    if (!storage->log) return true;
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        struct storage_thread *thread = &storage->threads[i];
        if (uv_thread_create(&thread->thread, thread_run, thread) < 0) return false;
        thread->is_started = true;
    }
    return true;
}

bool storage_end(struct storage *storage) {
    if (!storage->log || !storage->is_recovered) return true;
    atomic_store(&storage->is_stopping, true);
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        struct storage_thread *thread = &storage->threads[i];
        if (!thread->is_started) continue;
        thread_wake(thread);
        uv_thread_join(&thread->thread);
        thread->is_started = false;
    }
    storage->is_recovered = false;
    bool is_safe = log_close(storage->log, now_of(storage));
    if (!is_safe) {
        struct log_stats stats;
        log_stats_get(storage->log, &stats);
        log_event(LOG_ERROR, "not_all_kept", LOG_TEXT("why", stats.failure));
    }
    return is_safe;
}

/* ---------------------------------------------------------------- opening and closing */

static bool refuse(char *error, const char *what) {
    snprintf(error, STORAGE_ERROR_MAX, "%s", what);
    return false;
}

static bool log_begin(struct storage *storage, unsigned loop_count) {
    const struct options *options = storage->options;
    struct log_options log_options = {.disk = &storage->directory.disk,
                                      .env = storage->env,
                                      .loop_count = loop_count,
                                      .level = storage->level == DURABILITY_ALWAYS ? LOG_ALWAYS : LOG_EVERYSEC,
                                      .keys = storage->is_sealed ? &storage->keys : NULL,
                                      .segment_bytes = (uint64_t)options->segment_size,
                                      .queue_bytes_max = (uint64_t)options->log_queue,
                                      .snapshot_log_bytes = (uint64_t)options->snapshot_log_size,
                                      .snapshot_interval_ms = options->snapshot_interval_ms,
                                      .signal = on_signal,
                                      .signal_context = storage};
    storage->log = log_make(&log_options);
    return storage->log != NULL;
}

/* Sessions that are there must not be passed over in silence; and those that end meanwhile, without being found, would
 * be back with the next start that keeps some. */
static bool check_none(const struct options *options, char *error) {
    if (!*options->data_dir || !directory_holds_sessions(options->data_dir)) return true;
    snprintf(error, STORAGE_ERROR_MAX,
             "data directory %.250s: it holds sessions, which durability none would neither read nor keep; give "
             "everysec or always, or move its files log-* and snapshot-* away",
             options->data_dir);
    return false;
}

bool storage_open(struct storage *storage, const struct options *options, const struct env *env,
                  const struct clock *clock, unsigned loop_count, char error[STORAGE_ERROR_MAX]) {
    *storage = (struct storage){.level = options_durability(options),
                                .options = options,
                                .env = env,
                                .clock = clock,
                                .directory = {.fd = -1, .lock_fd = -1}};
    if (storage->level == DURABILITY_NONE) return check_none(options, error);
    enum seal_file found = seal_file_read(options, &storage->keys, error);
    if (found == SEAL_FILE_REFUSED) return false;
    storage->is_sealed = found == SEAL_FILE_READ;
    if (!directory_open(&storage->directory, options->data_dir, DIRECTORY_OWN, error)) return false;
    if (threads_open(storage) && log_begin(storage, loop_count)) return true;
    storage_close(storage);
    return refuse(error, "there is not enough memory for the log");
}

struct journal *storage_journal(const struct storage *storage) {
    return storage->log ? log_journal(storage->log) : NULL;
}

void storage_close(struct storage *storage) {
    if (storage->level == DURABILITY_NONE) return;
    if (storage->log) log_free(storage->log);
    storage->log = NULL;
    threads_close(storage);
    directory_close(&storage->directory);
    sodium_memzero(&storage->keys, sizeof storage->keys);
}

/* ---------------------------------------------------------------- recovery */

/* What was found, for whoever reads the log after a bad night. */
static void tell_recovered(const struct storage *storage) {
    const struct recovery_report *report = &storage->report;
    const struct recovery_counts *counts = &report->counts;
    if (report->cut_bytes)
        log_event(LOG_WARN, "log_tail_cut", LOG_TEXT("file", report->cut_file), LOG_INT("place", report->cut_place),
                  LOG_INT("bytes", report->cut_bytes),
                  LOG_TEXT("why", "the last server did not end in order; what it wrote last and had not synced is not "
                                  "whole"));
    if (*report->note) log_event(LOG_WARN, "recovery_note", LOG_TEXT("note", report->note));
    if (report->damaged_bytes)
        log_event(LOG_WARN, "damage_given_up", LOG_INT("bytes", report->damaged_bytes),
                  LOG_TEXT("copies", "<name>.damaged"));
    log_event(LOG_INFO, "recovered", LOG_INT("sessions", counts->sessions), LOG_INT("dead", counts->dead),
              LOG_INT("expired", counts->expired), LOG_INT("tombstones", counts->tombstones),
              LOG_INT("namespaces", counts->namespaces), LOG_INT("pools", counts->pools),
              LOG_INT("effects", counts->effects), LOG_INT("files", report->files), LOG_INT("bytes", report->bytes),
              LOG_INT("snapshot", report->snapshot_number),
              LOG_TEXT("ended", report->files == 0 ? "never"
                                : report->is_clean ? "in_order"
                                                   : "not_in_order"),
              LOG_INT("down_ms", report->down_ms), LOG_INT("took_ms", report->took_ms),
              LOG_INT("clock_offset_ms", clock_offset_ms(storage->clock)));
}

/* Each restart rounds, and what is less than DRIFT_MS behind is no clock that somebody set: without this it would add
 * up from restart to restart. */
static void clock_goes_on(struct clock *clock, int64_t server_ms) {
    int64_t behind_ms = clock_wall_ms() - server_ms;
    clock_continue(clock, behind_ms > 0 && behind_ms < DRIFT_MS ? server_ms + behind_ms : server_ms);
}

bool storage_recover(struct storage *storage, struct engine *engine, struct clock *clock,
                     char error[STORAGE_ERROR_MAX]) {
    const char *why;
    struct recovery_report *report = &storage->report;
    if (!storage->log) return true;
    struct recovery_options options = {.disk = &storage->directory.disk,
                                       .env = storage->env,
                                       .engine = engine,
                                       .keys = storage->is_sealed ? &storage->keys : NULL,
                                       .is_repair = storage->options->is_repair,
                                       .accepts_clock = storage->options->accepts_clock};
    int64_t began_at = clock_now_ms(clock);
    if (!recovery_run(&options, report, error)) return false;
    report->took_ms = clock_now_ms(clock) - began_at;
    clock_goes_on(clock, report->server_ms);
    if (!log_open(storage->log, engine, &report->start, clock_now_ms(clock), &why)) {
        snprintf(error, STORAGE_ERROR_MAX, "data directory %.250s: the log cannot be begun: %.300s",
                 storage->options->data_dir, why);
        return false;
    }
    storage->is_recovered = true;
    tell_recovered(storage);
    return true;
}

/* ---------------------------------------------------------------- while it runs */

/* Whether what is written now can still be read with them. */
static bool keys_open(const struct seal_keys *keys, const struct seal_keys *in_force) {
    for (unsigned i = 0; i < keys->count; i++)
        if (memcmp(keys->keys[i], in_force->keys[0], SEAL_KEY_BYTES) == 0) return true;
    return false;
}

static void refuse_keys(const char *why) {
    log_event(LOG_ERROR, "encryption_key_refused", LOG_TEXT("why", why));
}

void storage_keys_read(const struct storage *storage, struct storage_keys *out) {
    memset(out, 0, sizeof *out);
    if (storage->log) out->found = seal_file_read(storage->options, &out->keys, out->error);
}

void storage_keys_apply(struct storage *storage, const struct storage_keys *read) {
    if (!storage->log) return;
    bool is_same = storage->is_sealed == (read->found == SEAL_FILE_READ) &&
                   (!storage->is_sealed || memcmp(&read->keys, &storage->keys, sizeof read->keys) == 0);
    if (read->found == SEAL_FILE_REFUSED) {
        refuse_keys(read->error);
    } else if (read->found == SEAL_FILE_NONE && storage->is_sealed) {
        /* What was to be encrypted is not to become readable because a file went away. */
        refuse_keys("the credential is gone; what was read of it at the start goes on to be used");
    } else if (storage->is_sealed && !keys_open(&read->keys, &storage->keys)) {
        /* With it gone, the next start could not read what is there. */
        refuse_keys("the key in force is missing in the file; keep it there, behind the new one, until a snapshot has "
                    "been made with the new one");
    } else if (!is_same) {
        storage->keys = read->keys;
        storage->is_sealed = read->found == SEAL_FILE_READ;
        log_rotate(storage->log, storage->is_sealed ? &storage->keys : NULL);
        log_event(LOG_INFO, "encryption_key_read", LOG_INT("keys", read->keys.count));
    }
}

void storage_snapshot(struct storage *storage, struct snapshot_answer *answer) {
    struct log_stats stats;
    *answer = (struct snapshot_answer){.is_kept = storage->log != NULL};
    if (!answer->is_kept) return;
    log_stats_get(storage->log, &stats);
    answer->has_failed = stats.state == JOURNAL_FAILED;
    answer->newest = stats.snapshot_number;
    answer->failures = stats.snapshot_failures_total;
    if (!answer->has_failed) answer->number = log_snapshot(storage->log);
}
