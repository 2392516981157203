/* The mark: how far everything is safe, and whoever waits for it.
 *
 * A loop that waits writes down its version and then looks at the mark again; whoever moves the mark looks at the
 * versions afterwards. Both are sequentially consistent, so one of the two sees the other, and no one sleeps on. */
#include "log/internal.h"

void mark_settle(struct log *log) {
    if (log_is_failed(log)) return;
    const struct segment *segment = log->current;
    bool is_synced = !segment || segment->effects_end <= segment->out.synced;
    if (is_synced) log->synced_version = log->written_version;
    uint64_t safe = log->options.level == LOG_ALWAYS ? log->synced_version : log->written_version;
    if (safe > atomic_load_explicit(&log->journal.mark, memory_order_relaxed)) atomic_store(&log->journal.mark, safe);
}

void mark_settle_busy(struct log *log) {
    if (log->options.level == LOG_ALWAYS) return;
    int64_t oldest = log->syncing_from < log->unsynced_from ? log->syncing_from : log->unsynced_from;
    int64_t from = oldest == INT64_MAX ? INT64_MAX : oldest + UNSYNCED_MAX_MS;
    atomic_store_explicit(&log->journal.busy_from, from, memory_order_relaxed);
}

static void wake_if_reached(struct log *log, unsigned loop_index) {
    uint64_t version = atomic_load(&log->awaited[loop_index]);
    if (version == 0) return;
    if (version > atomic_load(&log->journal.mark) && !log_is_failed(log)) return;
    /* Only if it is still the same: a later wait takes the place of this one and looks at the mark itself. */
    if (atomic_compare_exchange_strong(&log->awaited[loop_index], &version, 0))
        log->options.env->wake(log->options.env->context, loop_index);
}

void mark_wake(struct log *log) {
    for (unsigned i = 0; i < log->options.loop_count; i++) wake_if_reached(log, i);
}

bool mark_is_awaited(struct log *log, uint64_t version) {
    for (unsigned i = 0; i < log->options.loop_count; i++)
        if (atomic_load(&log->awaited[i]) > version) return true;
    return false;
}

void mark_await(struct log *log, unsigned loop_index, uint64_t version) {
    atomic_store(&log->awaited[loop_index], version);
    wake_if_reached(log, loop_index);
    /* The writer may have looked when these effects were queued and their loop had not said so yet. */
    if (atomic_load(&log->awaited[loop_index])) log_signal(log, LOG_WRITE);
}
