/* The end of recovery: from records alone to an engine that is as if it had never been closed. See apply.h.
 *
 * One walk over all tables: what is out of date goes, the rest is counted, armed and entered into its groups and its
 * pool. Nothing is told to the journal or to watchers: all of it follows from what was told before, and from the time.
 * Only what is due in pools is worked off as ever, once everything stands, and told with the first turn. */
#include "engine/memory/apply.h"
#include "engine/memory/expired.h"
#include "engine/memory/pool_recover.h"

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

/* ---- namespaces */

/* Of two that have one name the older was dropped, though that was not told any more: also where the newer was dropped
 * since then, so that one takes its place in the registry, too, until all were seen. What has no name was never told as
 * safe, whatever was written into it. */
static bool add_one(struct registry *registry, struct namespace *namespace) {
    struct namespace *other = namespace->name_size ? registry_find(registry, namespace_name(namespace)) : NULL;
    if (!namespace->name_size || (other && other->made > namespace->made)) {
        namespace->is_dropped = true;
        return true;
    }
    if (other) {
        registry_unlink(registry, other);
        registry_forget(registry, other);
    }
    return registry_add_named(registry, namespace);
}

/* One that was dropped leaves the place that it kept from older ones. */
static void take_dropped(struct registry *registry, struct namespace *namespace) {
    if (!namespace->is_dropped) return;
    if (namespace->name_size && registry_find(registry, namespace_name(namespace)) == namespace) {
        registry_unlink(registry, namespace);
        registry_forget(registry, namespace);
    }
    atomic_store(&namespace->epoch, EPOCH_DROPPED);
}

static bool namespaces_add(struct recovery *recovery, int64_t now_ms) {
    struct registry *registry = &recovery->engine->registry;
    bool is_done = true;
    for (uint32_t i = 0; i < recovery->namespace_capacity; i++) {
        if (!recovery->namespaces[i]) continue;
        struct namespace *namespace = recovery->namespaces[i]->namespace;
        namespace->purge_at = now_ms + namespace->purge_interval_ms;
        is_done = is_done && add_one(registry, namespace);
        if (!is_done) namespace->is_dropped = true; /* it is in no list, and all of it goes */
    }
    for (uint32_t i = 0; i < recovery->namespace_capacity; i++)
        if (recovery->namespaces[i]) take_dropped(registry, recovery->namespaces[i]->namespace);
    recovery->are_added = true;
    registry_refresh(registry);
    return is_done;
}

#define ENTERING_MAX 32
#define RAISING_AHEAD                                                                                                  \
    4 /* buckets whose records are asked for; with five each that is what a processor keeps in flight */

/* A record that is to enter a group. */
struct entering {
    struct group_key key;
    struct group_entry entry;
    const struct record *record;
};

/* One shard on its way. */
struct raising {
    struct recovery *recovery;
    struct shard *shard;
    struct recovery_counts *counts;
    unsigned entering_count;
    struct entering entering[ENTERING_MAX];
    int64_t stopped_at; /* the last moment at which the server is known to have run */
};

/* ---- groups */

static bool enter_group(struct recovery *recovery, const struct record *record, const struct group_key *key,
                        struct group_entry entry) {
    struct memory_engine *engine = recovery->engine;
    struct group_table *table = group_table_of(engine, key);
    unsigned arena = recovery->context.loop->index;
    struct group *group = group_make(table, &engine->slab, arena, key);
    if (!group) return false;
    if (key->kind == GROUP_CLIENT) {
        /* As far as its sessions tell it; what was told of the client itself comes over it. */
        struct group_client *client = group_client(group);
        int64_t created_at = record_created_at(record), updated_at = version_time(record_version(record));
        int64_t last_active_at = (int64_t)(record_active(record) >> 16);
        if (last_active_at > updated_at) updated_at = last_active_at;
        if (!group->count || created_at < client->created_at) client->created_at = created_at;
        if (updated_at > client->updated_at) client->updated_at = updated_at;
    }
    bool is_entered = group_insert(&engine->slab, arena, group, entry);
    group_tidy(table, &engine->slab, group);
    return is_entered;
}

/* Each group lies somewhere else: some are waited for together. False where memory is lacking. */
static bool entering_flush(struct raising *raising) {
    struct memory_engine *engine = raising->recovery->engine;
    for (unsigned i = 0; i < raising->entering_count; i++) {
        const struct group_table *table = group_table_of(engine, &raising->entering[i].key);
        if (table->capacity) __builtin_prefetch(&table->chains[raising->entering[i].key.hash & (table->capacity - 1)]);
    }
    for (unsigned i = 0; i < raising->entering_count; i++) {
        const struct group_table *table = group_table_of(engine, &raising->entering[i].key);
        if (table->capacity) __builtin_prefetch(table->chains[raising->entering[i].key.hash & (table->capacity - 1)]);
    }
    for (unsigned i = 0; i < raising->entering_count; i++) {
        const struct entering *entering = &raising->entering[i];
        if (!enter_group(raising->recovery, entering->record, &entering->key, entering->entry)) return false;
    }
    raising->entering_count = 0;
    return true;
}

static bool enter_groups(struct raising *raising, struct namespace *namespace, const struct record *record) {
    struct memory_engine *engine = raising->recovery->engine;
    struct group_entry entry = record_entry(record, id_hash(engine, namespace, record_id(record)));
    for (unsigned kind = GROUP_USER; kind <= GROUP_POOL; kind++) {
        struct bytes name = record_group(record, kind);
        if (!name.data) continue;
        if (raising->entering_count == ENTERING_MAX && !entering_flush(raising)) return false;
        struct entering *entering = &raising->entering[raising->entering_count++];
        *entering = (struct entering){group_key_of(engine, namespace, kind, name), entry, record};
        __builtin_prefetch(group_table_of(engine, &entering->key));
    }
    return true;
}

static void client_restore(struct recovery *recovery, const struct effect_client *told,
                           struct recovery_counts *counts) {
    struct namespace *namespace = recovery_namespace(recovery, told->namespace);
    if (!namespace || namespace->is_dropped) return;
    struct group_key key = group_key_of(recovery->engine, namespace, GROUP_CLIENT, told->name);
    struct group *group = group_find(group_table_of(recovery->engine, &key), &key);
    if (!group) return; /* nothing of its sessions is kept */
    *group_client(group) = (struct group_client){.created_at = told->created_at,
                                                 .updated_at = told->updated_at,
                                                 .has_last_active = told->has_last_active,
                                                 .last_active = {told->last_born, told->last_hash},
                                                 .version = told->version};
    counts->clients++;
}

static void clients_restore(struct recovery *recovery, struct recovery_counts *counts) {
    for (uint32_t i = 0; i < recovery->client_capacity; i++)
        if (recovery->clients[i]) client_restore(recovery, &recovery->clients[i]->fields, counts);
}

/* ---- records */

static void raise_away(struct raising *raising, struct record *record, _Atomic uint64_t *slot) {
    struct memory_engine *engine = raising->recovery->engine;
    table_remove(&raising->shard->table, slot);
    slab_free(&engine->slab, record, record_size(record));
}

/* What nobody can see any more. False where memory is lacking. */
static bool raise_forgotten(struct raising *raising, struct record *record, _Atomic uint64_t *slot,
                            uint64_t tombstone) {
    struct memory_engine *engine = raising->recovery->engine;
    struct namespace *namespace = record_terms(engine, record)->namespace;
    uint64_t hash = id_hash(engine, namespace, record_id(record));
    raise_away(raising, record, slot);
    if (!tombstone_counts(namespace, tombstone, raising->recovery->context.now_ms)) return true;
    uint64_t version = tombstone_version(tombstone);
    if (effect_version_is_fine(version)) recovery_note_version(raising->recovery, version);
    return tombstone_put(&raising->shard->tombstones, hash, tombstone);
}

/* Whether its deadline passed while the server was down, and nobody was told. */
static bool expired_unseen(const struct raising *raising, const struct record *record, const struct session *view) {
    return !view->is_alias && status_is_living(view->status) && !(record_active(record) & RECORD_MARK_REAPED) &&
           session_deadline(view) > raising->stopped_at && session_deadline(view) <= raising->recovery->context.now_ms;
}

static bool raise_expired(struct raising *raising, struct record *record, const struct session *view) {
    bool is_unseen = expired_unseen(raising, record, view);
    record_set_active(record, record_active(record) | RECORD_MARK_REAPED);
    raising->counts->expired += is_unseen;
    return !is_unseen || expired_note(raising->recovery->engine, record, session_deadline(view));
}

/* One that expired, but is not kept any more. */
static bool raise_expired_away(struct raising *raising, const struct record *record, const struct session *view) {
    struct memory_engine *engine = raising->recovery->engine;
    if (record_version(record) <= namespace_epoch(record_terms(engine, record)->namespace)) return true;
    return !expired_unseen(raising, record, view) || expired_note(engine, NULL, 0);
}

/* Has the namespace know of the clear and the purge that ended the record first, and of no others. */
static void ends_choose(const struct recovered_namespace *known, const struct record *record,
                        const struct session *view, int64_t now_ms) {
    struct namespace *namespace = known->namespace;
    struct effect_clear clear = {0, 0};
    struct effect_purge purge = {0, INT64_MAX, 0};
    int64_t died_at = session_died_at(view, now_ms), status_at = session_status_at(view, now_ms);
    for (size_t i = known->clear_count; i > 0 && known->clears[i - 1].version >= record_version(record); i--)
        clear = known->clears[i - 1];
    for (size_t i = known->purge_count; i > 0 && known->purges[i - 1].version >= record_version(record); i--)
        if (known->purges[i - 1].at <= purge.at &&
            purge_concerns(known->purges[i - 1].at, known->purges[i - 1].until, status_at, died_at))
            purge = known->purges[i - 1];
    for (unsigned i = 0; i < ENDS_KEPT; i++) {
        atomic_store(&namespace->clears[i].version, i ? 0 : clear.version);
        atomic_store(&namespace->purges[i].version, i ? 0 : purge.version);
    }
    atomic_store(&namespace->clears[0].retention_ms, clear.retention_ms);
    atomic_store(&namespace->purges[0].at, purge.at);
    atomic_store(&namespace->purges[0].until, purge.until);
}

/* The last ones again, as they were told. */
static void ends_restore(const struct recovered_namespace *known) {
    struct namespace *namespace = known->namespace;
    unsigned clears = namespace->clear_count, purges = namespace->purge_count; /* at most ENDS_KEPT */
    for (unsigned i = 0; i < ENDS_KEPT; i++) {
        struct effect_clear clear =
            i < clears ? known->clears[known->clear_count - clears + i] : (struct effect_clear){0};
        struct effect_purge purge =
            i < purges ? known->purges[known->purge_count - purges + i] : (struct effect_purge){0};
        atomic_store(&namespace->clears[i].version, clear.version);
        atomic_store(&namespace->clears[i].retention_ms, clear.retention_ms);
        atomic_store(&namespace->purges[i].version, purge.version);
        atomic_store(&namespace->purges[i].at, purge.at);
        atomic_store(&namespace->purges[i].until, purge.until);
    }
}

/* Judges a record by the first clear and the first purge that concerned it, however many came after. */
static enum judged raise_judge(struct raising *raising, const struct record *record, int64_t *now_ms,
                               struct session *view, uint64_t *tombstone) {
    struct memory_engine *engine = raising->recovery->engine;
    struct namespace *namespace = record_terms(engine, record)->namespace;
    const struct recovered_namespace *known = recovery_known(raising->recovery, namespace->key);
    uint64_t active = record_active(record), purge_version = atomic_load(&namespace->purge_version);
    bool is_ended = record_version(record) <= namespace_epoch(namespace) || record_version(record) <= purge_version;
    bool is_crowded = known->clear_count > ENDS_KEPT || known->purge_count > ENDS_KEPT;
    if (!is_ended || !is_crowded) return record_judge(engine, record, active, now_ms, view, tombstone);
    record_judge(engine, record, active, now_ms, view, tombstone); /* for the view */
    ends_choose(known, record, view, *now_ms);
    enum judged judged = record_judge(engine, record, active, now_ms, view, tombstone);
    ends_restore(known);
    return judged;
}

/* The same, and before it what the session's pool has to say: a retired one is forgotten after its retention. */
static enum judged raise_judge_pooled(struct raising *raising, const struct record *record, int64_t *now_ms,
                                      struct session *view, uint64_t *tombstone) {
    struct memory_engine *engine = raising->recovery->engine;
    const struct terms *terms = record_terms(engine, record);
    int64_t retired_at;
    record_view_life(record, terms, record_active(record), view);
    switch (pool_judge(raising->recovery, record, id_hash(engine, terms->namespace, record_id(record)), view,
                       &retired_at)) {
    case POOL_JUDGED_GONE:
        *tombstone = tombstone_mark(version_of_moment(retired_at), retired_at);
        return JUDGED_FORGOTTEN;
    case POOL_JUDGED_DUE: return JUDGED_ALIVE;
    case POOL_JUDGED_NOTHING: break;
    }
    return raise_judge(raising, record, now_ms, view, tombstone);
}

/* Judges one record. *due_at is lowered to when it is due again. False where memory is lacking. */
static bool raise_record(struct raising *raising, struct record *record, _Atomic uint64_t *slot, int64_t *due_at) {
    struct memory_engine *engine = raising->recovery->engine;
    struct namespace *namespace = record_terms(engine, record)->namespace;
    struct session view;
    int64_t now_ms = raising->recovery->context.now_ms;
    uint64_t tombstone;
    if (namespace->is_dropped) {
        raise_away(raising, record, slot);
        return true;
    }
    bool is_pooled = record_more(record) & RECORD_MORE_POOL && !record_is_alias(record);
    enum judged judged = (is_pooled ? raise_judge_pooled : raise_judge)(raising, record, &now_ms, &view, &tombstone);
    if (judged == JUDGED_FORGOTTEN)
        return raise_expired_away(raising, record, &view) && raise_forgotten(raising, record, slot, tombstone);
    if (judged == JUDGED_DEAD && status_is_living(view.status) && !raise_expired(raising, record, &view)) return false;
    raising->counts->sessions += judged == JUDGED_ALIVE;
    raising->counts->dead += judged == JUDGED_DEAD;
    record_count_in(&raising->recovery->context, record);
    int64_t record_due_at = record_due(engine, record, judged, &view, now_ms);
    if (record_due_at < *due_at) *due_at = record_due_at;
    if (record_has_groups(record) && !enter_groups(raising, namespace, record)) return false;
    return !is_pooled || pool_restore_entry(raising->recovery, record, id_hash(engine, namespace, record_id(record)),
                                            judged == JUDGED_ALIVE, record_due_at, raising->counts);
}

static void records_prefetch(const struct shard *shard, uint32_t bucket) {
    struct table_walk walk = table_walk_at(&shard->table, bucket);
    for (void *record; (record = table_walk_next(&walk));) __builtin_prefetch(record);
}

static bool raise_shard(struct raising *raising) {
    struct memory_engine *engine = raising->recovery->engine;
    struct shard *shard = raising->shard;
    for (struct table_walk walk = table_walk_at(&shard->table, 0); table_walk_is_in(&walk); table_walk_bucket(&walk)) {
        int64_t due_at = INT64_MAX;
        if (walk.number + RAISING_AHEAD < walk.bucket_count) records_prefetch(shard, walk.number + RAISING_AHEAD);
        for (struct record *record; (record = table_walk_next(&walk));)
            if (!raise_record(raising, record, walk.slot, &due_at)) return false;
        if (due_at != INT64_MAX) wheel_arm(&shard->wheel, &shard->table, walk.number, due_at);
    }
    if (!entering_flush(raising)) return false;
    table_trim(&shard->table, raising->recovery->context.loop->index);
    shard_note_tombstones(shard, shard->tombstones.count > 0);
    raising->counts->tombstones += shard->tombstones.count;
    shard_refresh_due(engine, shard);
    return true;
}

/* ---- all of it */

/* The engine was opened by a clock that may have been ahead of the one that goes on: versions and wheels begin here. */
static void engine_set_clock(struct memory_engine *engine, int64_t now_ms) {
    atomic_store(&engine->last_version, version_of_moment(now_ms));
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct wheel *wheel = &engine->shards[i].wheel;
        assert(wheel->count == 0);
        wheel_init(wheel, now_ms, wheel->phase);
    }
}

bool memory_recovered(struct engine *self, int64_t now_ms, struct recovery_counts *counts, const char **why) {
    struct memory_engine *engine = (struct memory_engine *)self;
    struct recovery *recovery = recovery_of(engine);
    int64_t seen_at = counts->seen_at;
    *counts = (struct recovery_counts){.seen_at = seen_at};
    if (!recovery) return refuse(why, recovery_lacks_memory);
    struct raising raising = {.recovery = recovery, .counts = counts};
    raising.stopped_at = seen_at ? seen_at : version_time(recovery->version);
    recovery->context.now_ms = now_ms;
    engine_set_clock(engine, now_ms);
    for (size_t i = 0; i < recovery->touch_count; i++) recovery_touch(engine, &recovery->touches[i]);
    /* Nobody is to be woken: in the end each loop looks at once what it has to wait for. */
    for (unsigned i = 0; i < engine->loop_count; i++) atomic_store(&engine->loops[i].wake_at, INT64_MIN);
    if (!namespaces_add(recovery, now_ms)) return refuse(why, recovery_lacks_memory);
    if (!pools_restore(recovery)) return refuse(why, recovery_lacks_memory);
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        raising.shard = &engine->shards[i];
        if (!raise_shard(&raising)) return refuse(why, recovery_lacks_memory);
    }
    clients_restore(recovery, counts);
    version_pass(engine, recovery->version);
    pools_recovered(recovery, counts);
    expired_settle(engine, now_ms);
    counts->effects = recovery->effects;
    counts->namespaces = atomic_load(&engine->registry.count);
    counts->version = recovery->version;
    recovery_close(engine);
    for (unsigned i = 0; i < engine->loop_count; i++) atomic_store(&engine->loops[i].wake_at, now_ms);
    reclaim_poll(&engine->reclaim, 0);
    return true;
}
