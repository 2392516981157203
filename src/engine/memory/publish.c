/* Putting records into a shard and taking them out, with all that hangs on it: see memory.h.
 *
 * Always true under a shard's lock: each record in the table is counted once in its namespace (an alias not at all),
 * under the status that it was last counted as; its bytes are in the namespace's; its bucket is armed no later than the
 * record is due; and the engine's note of when the shard is due is no later than the earliest armed bucket. */
#include "engine/memory/stage.h"

/* Added to at once, not read first: of two loops that write, each would fetch the counter from the other twice. Only
 * the first version of a millisecond has to be raised to it; the one that was added is nobody's then. */
uint64_t version_take(struct context *context) {
    struct memory_engine *engine = context->engine;
    if (engine->journal) stage_floor(context);
    uint64_t floor = version_of_moment(context->now_ms), next = atomic_fetch_add(&engine->last_version, 1) + 1;
    if (next >= floor) return next;
    for (uint64_t last = next;;) {
        next = last + 1 > floor ? last + 1 : floor;
        if (atomic_compare_exchange_weak(&engine->last_version, &last, next)) return next;
    }
}

void version_pass(struct memory_engine *engine, uint64_t version) {
    uint64_t last = atomic_load(&engine->last_version);
    while (last < version && !atomic_compare_exchange_weak(&engine->last_version, &last, version)) {
    }
}

/* The next version tells the order, without being taken: who begins after another one was published finds a greater
 * one. It may be far ahead of this loop's time, when the loop was stopped and others were not; its own order is kept
 * then. */
struct birth birth_give(struct context *context, int64_t created_at) {
    const uint64_t exact = (BIRTH_EXACT_MS + 1) * VERSIONS_PER_MS;
    struct loop *loop = context->loop;
    struct birth birth = {created_at, BIRTH_MAX};
    uint64_t first = version_of_moment(created_at), next = atomic_load(&context->engine->last_version) + 1;
    uint64_t floor = version_of_moment(context->now_ms);
    if (next < floor) next = floor;
    if (next < first + exact) {
        birth.number = next < first ? 1 : (uint16_t)(next - first + 1);
    } else if (created_at == context->now_ms) {
        if (loop->births_at != created_at) loop->births = 0;
        loop->births_at = created_at;
        if (exact + loop->births + 1 < BIRTH_MAX) loop->births++;
        birth.number = (uint16_t)(exact + loop->births);
    }
    return birth;
}

/* ---- blocks */

static bool terms_fit(const struct memory_engine *engine, uint32_t number, const struct session *draft) {
    const struct terms *terms = terms_at(&engine->terms, number);
    return terms->is_shared && terms->idle_timeout_ms == draft->idle_timeout_ms &&
           terms->absolute_timeout_ms == draft->absolute_timeout_ms &&
           terms->abandon_timeout_ms == draft->abandon_timeout_ms;
}

/* The tuple for a draft; TERMS_NONE: there is no place for one. */
static uint32_t terms_choose(struct memory_engine *engine, struct namespace *namespace, const struct session *draft,
                             const struct record *old) {
    if (old && terms_fit(engine, record_terms_number(old), draft)) return record_terms_number(old);
    uint32_t recent = atomic_load_explicit(&namespace->recent_terms, memory_order_acquire);
    if (terms_fit(engine, recent, draft)) return recent;
    uint32_t number = terms_intern(&engine->terms, namespace, &namespace->terms_first, draft->idle_timeout_ms,
                                   draft->absolute_timeout_ms, draft->abandon_timeout_ms);
    if (number != TERMS_NONE) atomic_store_explicit(&namespace->recent_terms, number, memory_order_release);
    return number;
}

static struct record_frame frame_choose(struct memory_engine *engine, struct namespace *namespace,
                                        const struct session *draft, const struct record *old) {
    uint32_t terms = terms_choose(engine, namespace, draft, old);
    bool has_own = terms == TERMS_NONE;
    return (struct record_frame){.terms = has_own ? namespace->base_terms : terms, .has_own_timeouts = has_own};
}

struct record *record_new(struct context *context, struct namespace *namespace, const struct session *draft,
                          const struct record *old) {
    struct memory_engine *engine = context->engine;
    /* One that is born dead is counted as such from the start. */
    bool is_dead = !draft->is_alias && status_is_living(draft->status) && !session_is_alive(draft, context->now_ms);
    struct record_frame frame = frame_choose(engine, namespace, draft, old);
    frame.version = atomic_load_explicit(&engine->last_version, memory_order_relaxed);
    frame.is_reaped = is_dead;
    struct record *record = stock_take(&context->loop->stock, record_size_of(draft, &frame));
    if (record) record_fill(record, draft, &frame);
    return record;
}

struct record *record_restore(struct memory_engine *engine, unsigned arena, struct namespace *namespace,
                              const struct session *session, bool is_reaped) {
    struct record_frame frame = frame_choose(engine, namespace, session, NULL);
    frame.version = session->version;
    frame.is_reaped = is_reaped;
    struct record *record = slab_alloc(&engine->slab, arena, record_size_of(session, &frame));
    if (record) record_fill(record, session, &frame);
    return record;
}

void record_free(struct context *context, struct record *record) {
    stock_give(&context->loop->stock, record, record_size(record));
}

void record_retire(struct context *context, struct record *record) {
    reclaim_retire(&context->engine->reclaim, context->loop->index, record, record_size(record), RETIRE_RECORD);
}

/* ---- counts */

enum status record_counted_status(const struct memory_engine *engine, const struct record *record) {
    if (record_is_alias(record)) return STATUS_NONE;
    uint64_t active = record_active(record);
    if (!status_is_living(record_status(record)) || !(active & RECORD_MARK_REAPED)) return record_status(record);
    struct session view;
    record_view_life(record, record_terms(engine, record), active, &view);
    return session_status(&view, INT64_MAX);
}

static void count_change(struct namespace *namespace, enum status status, int64_t change) {
    if (status != STATUS_NONE) atomic_fetch_add_explicit(&namespace->count[status], change, memory_order_relaxed);
}

/* Which of the namespace's two counts of bytes has a record of this status. */
static bool counts_as_dead(enum status status) {
    return status != STATUS_NONE && !status_is_living(status);
}

static void pending_out(_Atomic int64_t *pending, int64_t amount) {
    int64_t before = atomic_load_explicit(pending, memory_order_relaxed);
    while (before > 0 && !atomic_compare_exchange_weak_explicit(pending, &before, before > amount ? before - amount : 0,
                                                                memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* A record that a clear or purge had outdated is no longer pending once it is not counted any more. */
static void count_pending_out(struct namespace *namespace, const struct record *record, enum status status,
                              int64_t bytes) {
    bool is_outdated =
        record_version(record) <= namespace_epoch(namespace) ||
        (counts_as_dead(status) &&
         record_version(record) <= atomic_load_explicit(&namespace->purge_version, memory_order_acquire));
    if (!is_outdated) return;
    pending_out(&namespace->pending_bytes[counts_as_dead(status)], bytes);
    if (status != STATUS_NONE) pending_out(&namespace->pending[status], 1);
}

/* Counts a record in (sign 1) or out (sign -1). */
static void record_count(struct context *context, const struct record *record, int sign) {
    struct namespace *namespace = record_terms(context->engine, record)->namespace;
    struct loop_counters *counters = &context->loop->counters;
    enum status status = record_counted_status(context->engine, record);
    int64_t bytes = sign * (int64_t)slab_size(record_size(record));
    if (sign < 0) count_pending_out(namespace, record, status, -bytes);
    count_change(namespace, status, sign);
    atomic_fetch_add_explicit(&namespace->bytes[counts_as_dead(status)], bytes, memory_order_relaxed);
    atomic_store_explicit(&counters->record_bytes,
                          atomic_load_explicit(&counters->record_bytes, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}

void record_count_in(struct context *context, const struct record *record) {
    record_count(context, record, 1);
}

/* Another record in the same place: most often nothing changes but bytes. */
static void record_recount(struct context *context, const struct record *old, const struct record *fresh) {
    bool is_plain = (record_is_plain(old) || (status_is_living(record_status(old)) && !record_is_alias(old))) &&
                    (record_is_plain(fresh) || !record_is_alias(fresh)) && record_status(old) == record_status(fresh) &&
                    !((record_active(old) | record_active(fresh)) & RECORD_MARK_REAPED) &&
                    slab_size(record_size(old)) == slab_size(record_size(fresh)) &&
                    record_version(old) > namespace_epoch(record_terms(context->engine, old)->namespace);
    if (is_plain) return;
    record_count(context, old, -1);
    record_count(context, fresh, 1);
}

/* Before the first mark of that moment can be seen. */
static void reaped_pass(struct memory_engine *engine, int64_t now_ms) {
    int64_t told = atomic_load_explicit(&engine->reaped_ms, memory_order_relaxed);
    while (told < now_ms && !atomic_compare_exchange_weak(&engine->reaped_ms, &told, now_ms)) {
    }
}

void shard_mark_reaped(struct context *context, struct shard *shard, struct record *record,
                       const struct session *view) {
    struct namespace *namespace = record_terms(context->engine, record)->namespace;
    struct loop_counters *counters = &context->loop->counters;
    int64_t bytes = (int64_t)slab_size(record_size(record));
    reaped_pass(context->engine, context->now_ms);
    count_change(namespace, record_status(record), -1);
    record_set_active(record, record_active(record) | RECORD_MARK_REAPED);
    count_change(namespace, record_counted_status(context->engine, record), 1);
    if (!record_is_alias(record)) {
        atomic_fetch_sub_explicit(&namespace->bytes[false], bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&namespace->bytes[true], bytes, memory_order_relaxed);
    }
    event_expired(context, shard, record);
    counter_add(&counters->expired, 1);
    atomic_store_explicit(&counters->lag_ms, context->now_ms - session_deadline(view), memory_order_relaxed);
}

/* ---- dues */

void owner_wake(struct context *context, unsigned loop_index, int64_t at_ms) {
    const struct env *env = context->engine->env;
    _Atomic int64_t *wake_at = &context->engine->loops[loop_index].wake_at;
    int64_t told = atomic_load(wake_at);
    while (at_ms < told)
        if (atomic_compare_exchange_weak(wake_at, &told, at_ms)) {
            env->wake(env->context, loop_index);
            return;
        }
}

void shard_note_due(struct context *context, struct shard *shard, int64_t due_at) {
    struct memory_engine *engine = context->engine;
    if (due_at >= atomic_load_explicit(&engine->due[shard->index], memory_order_relaxed)) return;
    atomic_store(&engine->due[shard->index], due_at);
    owner_wake(context, shard_owner(engine, shard), due_at);
}

void shard_arm(struct context *context, struct shard *shard, uint64_t hash, int64_t due_at) {
    if (due_at == INT64_MAX) return;
    uint32_t bucket = table_bucket_of(&shard->table, hash);
    if (!wheel_arm(&shard->wheel, &shard->table, bucket, due_at)) return;
    /* What lies behind the wheel's horizon comes out there, and that is the moment to note: whoever is due in between
     * is not armed again. The horizon counts from the cursor, which stands still while nothing is due. */
    int64_t armed_at = wheel_armed_at(&shard->wheel, &shard->table, bucket);
    shard_note_due(context, shard, armed_at < due_at ? armed_at : due_at);
}

/* ---- in and out */

/* Whether `fresh` takes from what a limit may know of a living member: it is dead, ends earlier, or was idle longer. An
 * old id of a session that goes on leaves the group. */
static bool record_worsens(const struct memory_engine *engine, const struct record *old, const struct record *fresh) {
    struct session before, after;
    if (record_is_alias(fresh) || !status_is_living(record_status(old))) return false;
    if (!status_is_living(record_status(fresh)) || record_active(fresh) & RECORD_MARK_REAPED) return true;
    record_view_life(old, record_terms(engine, old), record_active(old), &before);
    record_view_life(fresh, record_terms(engine, fresh), record_active(fresh), &after);
    int64_t deadline_before = session_deadline(&before), deadline_after = session_deadline(&after);
    bool ends_earlier = deadline_after && (!deadline_before || deadline_after < deadline_before);
    return ends_earlier || after.last_active_at < before.last_active_at;
}

/* What has to be stirred when `fresh` takes the place of `old`; NULL: nothing. Who ends a member for its group's limit
 * tells the group itself. */
static struct stir *stir_for(const struct context *context, const struct record *old, const struct record *fresh) {
    if (!record_has_groups(old) || !record_worsens(context->engine, old, fresh)) return NULL;
    struct bytes user = record_group(old, GROUP_USER);
    if (!user.data) return NULL;
    struct group_key key =
        group_key_of(context->engine, record_terms(context->engine, old)->namespace, GROUP_USER, user);
    const struct group_key *evicting = context->loop->evicting;
    return evicting && evicting->hash == key.hash ? NULL : stir_of(context->engine, key.hash);
}

bool shard_place(struct context *context, struct shard *shard, uint64_t hash, const struct sight *sight,
                 struct record *fresh) {
    struct loop_counters *counters = &context->loop->counters;
    if (sight->record) {
        struct stir *stir = stir_for(context, sight->record, fresh);
        if (stir) atomic_fetch_add(&stir->begun, 1);
        table_replace(&shard->table, sight->slot, fresh);
        if (stir) atomic_fetch_add(&stir->ended, 1);
        record_recount(context, sight->record, fresh);
        counter_add(&counters->replaced, 1);
    } else {
        if (!table_insert(&shard->table, context->loop->index, hash, fresh)) return false;
        record_count(context, fresh, 1);
        counter_add(&counters->created, 1);
    }
    if (record_active(fresh) & RECORD_MARK_REAPED) counter_add(&counters->expired, 1);
    if (shard->tombstones.count && tombstone_remove(&shard->tombstones, hash)) shard_note_tombstones(shard, false);
    shard_arm(context, shard, hash, record_next_due(context->engine, fresh, context->now_ms));
    return true;
}

bool shard_publish(struct context *context, struct shard *shard, uint64_t hash, const struct sight *sight,
                   struct record *fresh) {
    if (!shard_place(context, shard, hash, sight, fresh)) return false;
    event_published(context, shard, sight, fresh);
    return true;
}

void shard_remove(struct context *context, struct shard *shard, _Atomic uint64_t *slot, struct record *record) {
    shard_note_removed(shard, record_version(record));
    table_remove(&shard->table, slot);
    record_count(context, record, -1);
    counter_add(&context->loop->counters.removed, 1);
}

void shard_note_tombstones(struct shard *shard, bool has_put) {
    uint64_t puts = (atomic_load_explicit(&shard->tombstone_stamp, memory_order_relaxed) >> 32) + has_put;
    atomic_store_explicit(&shard->tombstone_stamp, puts << 32 | shard->tombstones.count, memory_order_release);
}

void shard_bury(struct context *context, const struct namespace *namespace, struct shard *shard, uint64_t hash,
                uint64_t mark) {
    if (!tombstone_counts(namespace, mark, context->now_ms)) return;
    /* One that is dated by a clock ahead of the others': what is written under the id afterwards is newer all the same,
     * which is what recovery goes by. */
    if (stage_is_wanted(context)) version_pass(context->engine, tombstone_version(mark));
    tombstone_put(&shard->tombstones, hash, mark); /* false only where the system itself has no page left */
    shard_note_tombstones(shard, true);
    /* Not a moment for each: they are swept in rounds, when the oldest have been worthless for a while. */
    shard_note_due(context, shard, shard_tombstones_due(context->engine, shard));
}
