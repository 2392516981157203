/* What server.info and server.stats tell of the log and of recovery. On any loop's thread. */
#include "uv/storage.h"

#include "base/pairs.h"

static const char *state_name(enum journal_state state) {
    switch (state) {
    case JOURNAL_OPEN: return "open";
    case JOURNAL_BUSY: return "busy";
    case JOURNAL_FULL: return "full";
    case JOURNAL_FAILED: return "failed";
    }
    return "unknown";
}

static void write_log(struct storage *storage, struct buf *out) {
    struct log_stats stats;
    log_stats_get(storage->log, &stats);
    struct pairs pairs = pairs_begin(out);
    enum journal_state state = journal_state_at(log_journal(storage->log), clock_now_ms(storage->clock));
    pair_string(&pairs, "state", state_name(state));
    pair_string(&pairs, "failure", state == JOURNAL_FULL || state == JOURNAL_FAILED ? stats.failure : "");
    pair_uint(&pairs, "segments", stats.log_segments);
    pair_uint(&pairs, "segment_bytes", stats.log_segment_bytes);
    pair_uint(&pairs, "snapshot", stats.snapshot_number);
    pair_uint(&pairs, "snapshot_bytes", stats.snapshot_bytes);
    pair_int(&pairs, "snapshot_at", stats.snapshot_at);
    pair_int(&pairs, "snapshot_took_ms", stats.snapshot_took_ms);
    pair_bool(&pairs, "snapshot_is_running", stats.snapshot_is_running);
    pairs_end(&pairs);
}

static void write_recovery(const struct recovery_report *report, struct buf *out) {
    const struct recovery_counts *counts = &report->counts;
    struct pairs pairs = pairs_begin(out);
    pair_uint(&pairs, "sessions", counts->sessions);
    pair_uint(&pairs, "dead", counts->dead);
    pair_uint(&pairs, "expired", counts->expired);
    pair_uint(&pairs, "tombstones", counts->tombstones);
    pair_uint(&pairs, "namespaces", counts->namespaces);
    pair_uint(&pairs, "clients", counts->clients);
    pair_uint(&pairs, "pools", counts->pools);
    pair_uint(&pairs, "pool_sessions", counts->pool_sessions);
    pair_uint(&pairs, "effects", counts->effects);
    pair_uint(&pairs, "files", report->files);
    pair_uint(&pairs, "bytes", report->bytes);
    pair_uint(&pairs, "snapshot", report->snapshot_number);
    pair_bool(&pairs, "ended_in_order", report->is_clean);
    pair_string(&pairs, "cut_file", report->cut_file);
    pair_uint(&pairs, "cut_place", report->cut_place);
    pair_uint(&pairs, "cut_bytes", report->cut_bytes);
    pair_uint(&pairs, "given_up_bytes", report->damaged_bytes);
    pair_string(&pairs, "note", report->note);
    pair_int(&pairs, "down_ms", report->down_ms);
    pair_int(&pairs, "took_ms", report->took_ms);
    pairs_end(&pairs);
}

uint32_t storage_write_info(struct storage *storage, struct buf *out) {
    static const char *const levels[] = {"auto", "none", "everysec", "always"};
    struct pairs pairs = {.out = out};
    pair_string(&pairs, "durability", levels[storage->level]);
    if (!storage->log) return pairs.count;
    pair_bool(&pairs, "is_encrypted", atomic_load(&storage->is_sealed));
    mp_write_string(out, "log");
    write_log(storage, out);
    mp_write_string(out, "recovery");
    write_recovery(&storage->report, out);
    return pairs.count + 2;
}

uint32_t storage_write_stats(struct storage *storage, struct buf *out) {
    struct log_stats stats;
    struct pairs pairs = {.out = out};
    if (!storage->log) return 0;
    log_stats_get(storage->log, &stats);
#define FIGURE(name) pair_int(&pairs, #name, (int64_t)stats.name)
    FIGURE(log_bytes_total);
    FIGURE(log_frames_total);
    FIGURE(log_effect_bytes_total);
    FIGURE(syncs_total);
    FIGURE(log_queue_bytes);
    FIGURE(log_unsynced_bytes);
    FIGURE(log_segments);
    FIGURE(log_segment_bytes);
    FIGURE(snapshots_total);
    FIGURE(snapshot_failures_total);
    FIGURE(snapshot_number);
    FIGURE(snapshot_bytes);
    FIGURE(snapshot_at);
    FIGURE(snapshot_took_ms);
    FIGURE(snapshot_is_running);
    FIGURE(sync_worst_ms);
#undef FIGURE
    pair_uint(&pairs, "storage_state", stats.state);
    pair_uint(&pairs, "storage_full_total", stats.full_total);
    pair_uint(&pairs, "storage_failed_total", stats.failed_total);
    return pairs.count;
}
