/* See event.h. */
#include "engine/memory/event.h"
#include "base/check.h"
#include "engine/memory/memory.h"

#include <stdlib.h>

/* What a shard's ring is read up to before the reading goes on below it. */
struct reading {
    uint32_t shard;
    uint64_t end; /* UINT64_MAX: what is there at the first look */
};

/* Where a loop stands in one ring. The position is read by writers, who ask whether a ring may be overwritten. */
struct reader_place {
    _Atomic uint64_t position;
    uint64_t count;
};

/* A loop's. Everything but the atomics is touched by the loop alone. */
struct event_reader {
    _Atomic bool is_due;         /* something is dirty, and the loop was woken for it */
    _Atomic uint64_t *dirty;     /* a bit for each shard */
    uint64_t *held;              /* the same, of shards whose ring has events that the journal's mark does not cover */
    uint64_t awaited;            /* the smallest version of the next events in those; 0: there are none */
    struct reader_place *places; /* of each shard */
    struct reading *readings;    /* each shard at most once: see event.h */
    uint8_t *buffer;             /* EVENT_BUFFER bytes */
};

static bool is_watched(const struct memory_engine *engine) {
    return atomic_load_explicit(&((struct memory_engine *)engine)->watching, memory_order_relaxed) != 0;
}

/* ---- opening and closing */

static size_t dirty_words(const struct memory_engine *engine) {
    return (engine->shard_count + 63) / 64;
}

static size_t reader_bytes(const struct memory_engine *engine) {
    return sizeof(struct event_reader) + 2 * dirty_words(engine) * sizeof(uint64_t) +
           engine->shard_count * (sizeof(struct reader_place) + sizeof(struct reading)) + EVENT_BUFFER;
}

size_t event_fixed_bytes(const struct memory_engine *engine) {
    return engine->loop_count * reader_bytes(engine);
}

/* One block for all; its pages are not touched before the loop watches. */
static struct event_reader *reader_open(const struct memory_engine *engine) {
    uint8_t *at = calloc(1, reader_bytes(engine));
    if (!at) return NULL;
    struct event_reader *reader = (struct event_reader *)at;
    reader->dirty = (_Atomic uint64_t *)(at += sizeof(*reader));
    reader->held = (uint64_t *)(at += dirty_words(engine) * sizeof(uint64_t));
    reader->places = (struct reader_place *)(at += dirty_words(engine) * sizeof(uint64_t));
    reader->readings = (struct reading *)(at += engine->shard_count * sizeof(struct reader_place));
    reader->buffer = at + engine->shard_count * sizeof(struct reading);
    return reader;
}

bool event_open(struct memory_engine *engine) {
    for (unsigned i = 0; i < engine->loop_count; i++)
        if (!(engine->loops[i].events = reader_open(engine))) return false;
    return true;
}

void event_close(struct memory_engine *engine) {
    for (unsigned i = 0; i < engine->loop_count; i++) free(engine->loops[i].events);
    for (uint32_t i = 0; i < engine->shard_count; i++) event_ring_clear(&engine->shards[i].events, &engine->slab);
}

/* ---- writing */

/* Looks how far all watching loops have read. */
static void ring_look_at_readers(struct memory_engine *engine, struct shard *shard) {
    uint64_t loops = atomic_load(&engine->watching), least = shard->events.head.position;
    for (; loops; loops &= loops - 1) {
        struct reader_place *place = &engine->loops[__builtin_ctzll(loops)].events->places[shard->index];
        uint64_t position = atomic_load_explicit(&place->position, memory_order_relaxed);
        if (position < least) least = position;
    }
    if (least > shard->events.read) shard->events.read = least;
}

/* Bytes for a larger block, if all rings together may take them. A small one is always granted. */
static bool ring_take_bytes(struct memory_engine *engine, const struct event_ring *ring, uint32_t capacity) {
    uint64_t more = capacity - ring->capacity;
    uint64_t sum = atomic_fetch_add(&engine->event_bytes, more) + more;
    if (capacity <= EVENT_RING_SURE || sum <= EVENT_BYTES_MAX) return true;
    atomic_fetch_sub(&engine->event_bytes, more);
    return false;
}

static bool ring_grow(struct context *context, struct event_ring *ring) {
    struct memory_engine *engine = context->engine;
    uint32_t before = ring->capacity, capacity = before ? before * 2 : EVENT_RING_MIN;
    if (capacity > EVENT_RING_MAX || !ring_take_bytes(engine, ring, capacity)) return false;
    if (event_ring_resize(ring, &engine->slab, context->loop->index, capacity)) return true;
    atomic_fetch_sub(&engine->event_bytes, capacity - before);
    return false;
}

/* Sees to it, as far as possible, that nothing is overwritten that somebody has still to read. */
static void ring_make_room(struct context *context, struct shard *shard, size_t size) {
    struct event_ring *ring = &shard->events;
    if (event_ring_has_room(ring, size)) return;
    ring_look_at_readers(context->engine, shard);
    while (!event_ring_has_room(ring, size) && ring_grow(context, ring)) {
    }
}

/* The ring's own lock is the shard's: whoever finds the bit set and relies on it wrote before the reader takes that
 * lock, for a reader that had already been there would have cleared the bit before. */
static void readers_tell(struct memory_engine *engine, const struct shard *shard) {
    uint64_t bit = UINT64_C(1) << (shard->index % 64);
    for (uint64_t loops = atomic_load(&engine->watching); loops; loops &= loops - 1) {
        unsigned index = (unsigned)__builtin_ctzll(loops);
        struct event_reader *reader = engine->loops[index].events;
        _Atomic uint64_t *dirty = &reader->dirty[shard->index / 64];
        if (!(atomic_load_explicit(dirty, memory_order_relaxed) & bit)) atomic_fetch_or(dirty, bit);
        if (!atomic_load(&reader->is_due) && !atomic_exchange(&reader->is_due, true))
            engine->env->wake(engine->env->context, index);
    }
}

static void ring_put(struct context *context, struct shard *shard, struct event *event,
                     const struct event_after *after) {
    struct memory_engine *engine = context->engine;
    size_t size = event_ring_size(event);
    if (size > EVENT_ENTRY_MAX) {
        event->data = BYTES_ABSENT;
        size = event_ring_size(event);
    }
    ring_make_room(context, shard, size);
    if (size > shard->events.capacity) event->data = BYTES_ABSENT;
    event_ring_put(&shard->events, event, after);
    counter_add(&context->loop->counters.events, 1);
    readers_tell(engine, shard);
}

static void put_after(struct context *context, struct shard *shard, const struct namespace *namespace,
                      enum event_kind kind, const struct session *session, uint64_t version, int64_t at,
                      uint64_t depends_on, const struct event_after *after) {
    struct memory_engine *engine = context->engine;
    if (!is_watched(engine)) return;
    assert(lock_is_taken(&shard->lock));
    struct event event = {.kind = kind,
                          .namespace = namespace_name(namespace),
                          .id = session->id,
                          .user = session->user,
                          .client = session->client,
                          .pool = session->pool,
                          .reason = session->reason,
                          .is_hashed = namespace_policy(namespace)->hash_ids,
                          .version = version,
                          .depends_on = depends_on,
                          .serial = atomic_load_explicit(&engine->watch_serial, memory_order_relaxed),
                          .at = at};
    if (atomic_load_explicit(&engine->watching_data, memory_order_relaxed)) event.data = session->data;
    ring_put(context, shard, &event, after);
}

void event_put(struct context *context, struct shard *shard, const struct namespace *namespace, enum event_kind kind,
               const struct session *session, uint64_t version, int64_t at) {
    put_after(context, shard, namespace, kind, session, version, at, version, NULL);
}

/* ---- what happened */

static struct namespace *namespace_of(const struct context *context, const struct record *record) {
    return record_terms(context->engine, record)->namespace;
}

static void view_whole(const struct context *context, const struct record *record, struct session *view) {
    record_view_life(record, record_terms(context->engine, record), record_active(record), view);
    record_view_bytes(record, view);
}

void event_expired(struct context *context, struct shard *shard, const struct record *record) {
    if (!is_watched(context->engine)) return;
    struct session view;
    view_whole(context, record, &view);
    bool is_abandoned = session_status(&view, INT64_MAX) == STATUS_ABANDONED;
    event_put(context, shard, namespace_of(context, record), is_abandoned ? EVENT_ABANDONED : EVENT_EXPIRED, &view,
              view.version, session_deadline(&view));
}

void event_settle(struct context *context, struct shard *shard, const struct record *record, uint64_t version) {
    struct namespace *namespace = namespace_of(context, record);
    if (!is_watched(context->engine) || record_is_alias(record) || namespace_is_dropped(namespace)) return;
    struct session view;
    int64_t now_ms = context->now_ms, retention_ms;
    uint64_t tombstone, active = record_active(record), cleared_by = UINT64_MAX;
    record_judge(context->engine, record, active, &now_ms, &view, &tombstone);
    if (record_version(record) <= namespace_epoch(namespace))
        cleared_by = namespace_cleared_by(namespace, record_version(record), &retention_ms);
    if (cleared_by > version) cleared_by = UINT64_MAX;
    int64_t deadline = session_deadline(&view), seen_until = now_ms;
    if (cleared_by != UINT64_MAX && version_time(cleared_by) < seen_until) seen_until = version_time(cleared_by);
    if (status_is_living(view.status) && !(active & RECORD_MARK_REAPED) && deadline && deadline <= seen_until)
        event_expired(context, shard, record);
    if (tombstone_version(tombstone) != cleared_by) return; /* not cleared, or it was forgotten by then */
    view_whole(context, record, &view);
    event_put(context, shard, namespace, EVENT_DESTROYED, &view, cleared_by, version_time(cleared_by));
}

void event_forgotten(struct context *context, struct shard *shard, const struct record *record, int64_t at) {
    struct namespace *namespace = namespace_of(context, record);
    if (!is_watched(context->engine) || namespace_is_dropped(namespace)) return;
    struct session view;
    view_whole(context, record, &view);
    bool is_reaped = record_active(record) & RECORD_MARK_REAPED;
    if (record_version(record) <= namespace_epoch(namespace) || is_reaped || !session_is_alive(&view, at))
        event_settle(context, shard, record, UINT64_MAX);
    else /* what its pool says of it is newer than the record */
        put_after(context, shard, namespace, EVENT_DESTROYED, &view, view.version, at, version_newest(context), NULL);
}

static enum event_kind kind_of_status(enum status status) {
    static const enum event_kind kinds[STATUS_END] = {
        [STATUS_ACTIVE] = EVENT_ACTIVATED, [STATUS_PENDING] = EVENT_UPDATED,     [STATUS_ENDED] = EVENT_ENDED,
        [STATUS_REMOVED] = EVENT_REMOVED,  [STATUS_REVOKED] = EVENT_REVOKED,     [STATUS_REPLACED] = EVENT_REPLACED,
        [STATUS_EXPIRED] = EVENT_EXPIRED,  [STATUS_ABANDONED] = EVENT_ABANDONED,
    };
    return kinds[status];
}

/* From the status that stood there (STATUS_NONE: nothing did) to the one that was stored. */
static enum event_kind kind_of_change(enum status from, enum status to) {
    if (from == STATUS_NONE || (!status_is_living(from) && status_is_living(to))) return EVENT_CREATED;
    return from == to ? EVENT_UPDATED : kind_of_status(to);
}

static void published_after(struct context *context, struct shard *shard, const struct sight *sight,
                            const struct record *fresh, const struct event_after *after) {
    if (!is_watched(context->engine) || record_is_alias(fresh)) return;
    bool is_seen = sight->presence == PRESENCE_ALIVE || sight->presence == PRESENCE_DEAD;
    enum status from = is_seen ? session_status(&sight->view, sight->now_ms) : STATUS_NONE;
    struct session view;
    if (sight->record) event_settle(context, shard, sight->record, record_version(fresh));
    view_whole(context, fresh, &view);
    enum event_kind kind = kind_of_change(from, view.status);
    put_after(context, shard, namespace_of(context, fresh), kind, &view, view.version, context->now_ms, view.version,
              after);
    if (kind == EVENT_CREATED && !status_is_living(view.status))
        event_put(context, shard, namespace_of(context, fresh), kind_of_status(view.status), &view, view.version,
                  context->now_ms);
    if (record_active(fresh) & RECORD_MARK_REAPED) event_expired(context, shard, fresh);
}

void event_published(struct context *context, struct shard *shard, const struct sight *sight,
                     const struct record *fresh) {
    published_after(context, shard, sight, fresh, NULL);
}

void event_removed(struct context *context, struct shard *shard, const struct record *record, uint64_t version) {
    if (!is_watched(context->engine) || record_is_alias(record)) return;
    struct session view;
    event_settle(context, shard, record, version);
    view_whole(context, record, &view);
    event_put(context, shard, namespace_of(context, record), EVENT_DESTROYED, &view, version, context->now_ms);
}

void event_moved(struct context *context, struct shard *old_shard, const struct sight *old, struct shard *new_shard,
                 const struct sight *new, const struct record *fresh) {
    if (!is_watched(context->engine)) return;
    event_put(context, old_shard, namespace_of(context, fresh), EVENT_REGENERATED, &old->view, record_version(fresh),
              context->now_ms);
    struct event_after after = {old_shard != new_shard, old_shard->index, old_shard->events.head.position};
    published_after(context, new_shard, new, fresh, &after);
}

void event_announce(struct context *context, struct namespace *namespace, struct bytes id, enum event_kind kind) {
    struct memory_engine *engine = context->engine;
    struct sight sight;
    if (!is_watched(engine)) return;
    uint64_t hash = id_hash(engine, namespace, id);
    struct shard *shard = shard_of(engine, hash);
    shard_take(engine, shard);
    sight_take(context, namespace, hash, id, true, false, &sight);
    bool is_there = sight.presence == PRESENCE_ALIVE || sight.presence == PRESENCE_DEAD;
    bool is_overdue = sight.presence == PRESENCE_DEAD && status_is_living(sight.view.status);
    if (is_overdue && !(sight.active & RECORD_MARK_REAPED))
        shard_mark_reaped(context, shard, sight.record, &sight.view);
    /* It stands in its pool, and so was told after the record. */
    if (is_there)
        put_after(context, shard, namespace, kind, &sight.view, sight.view.version, context->now_ms,
                  version_newest(context), NULL);
    shard_release(shard);
}

/* ---- watching */

/* The loop reads from here on. */
static void reader_start(struct memory_engine *engine, struct event_reader *reader) {
    memset(reader->held, 0, dirty_words(engine) * sizeof(uint64_t));
    reader->awaited = 0;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        shard_take(engine, &engine->shards[i]);
        atomic_store_explicit(&reader->places[i].position, engine->shards[i].events.head.position,
                              memory_order_relaxed);
        reader->places[i].count = engine->shards[i].events.head.count;
        shard_release(&engine->shards[i]);
    }
}

/* Nobody reads any more. Whoever takes the lock afterwards sees that; and if somebody watches again by now, nothing of
 * what is his is taken. */
static void rings_free(struct memory_engine *engine) {
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        struct shard *shard = &engine->shards[i];
        shard_take(engine, shard);
        if (!atomic_load(&engine->watching)) {
            atomic_fetch_sub(&engine->event_bytes, shard->events.capacity);
            event_ring_clear(&shard->events, &engine->slab);
        }
        shard_release(shard);
    }
}

static void mask_set(_Atomic uint64_t *mask, unsigned loop_index, bool is_on) {
    if (is_on)
        atomic_fetch_or(mask, UINT64_C(1) << loop_index);
    else
        atomic_fetch_and(mask, ~(UINT64_C(1) << loop_index));
}

uint64_t memory_watch(struct engine *self, unsigned loop_index, bool is_on, bool wants_data) {
    struct memory_engine *engine = (struct memory_engine *)self;
    bool was_on = atomic_load(&engine->watching) >> loop_index & 1;
    assert(reclaim_is_inside(&engine->reclaim, loop_index));
    mask_set(&engine->watching_data, loop_index, is_on && wants_data);
    if (is_on != was_on) {
        mask_set(&engine->watching, loop_index, is_on);
        if (is_on)
            reader_start(engine, engine->loops[loop_index].events);
        else if (!atomic_load(&engine->watching))
            rings_free(engine);
    }
    return atomic_fetch_add(&engine->watch_serial, 1) + 1;
}

/* ---- reading */

struct read {
    struct memory_engine *engine;
    struct loop *loop;
    struct event_reader *reader;
    event_each each;
    void *context;
    uint64_t mark; /* only what it covers is handed out */
};

static uint64_t place_position(const struct event_reader *reader, uint32_t shard) {
    return atomic_load_explicit(&reader->places[shard].position, memory_order_relaxed);
}

static void tell_missed(struct read *read, uint64_t missed) {
    struct event event = {.kind = EVENT_LAGGED, .missed = missed};
    counter_add(&read->loop->counters.events_lost, missed);
    read->each(read->context, &event);
}

/* Copies what comes next in a ring; answers how many bytes. */
static size_t read_chunk(struct read *read, struct reading *reading) {
    struct shard *shard = &read->engine->shards[reading->shard];
    struct reader_place *place = &read->reader->places[reading->shard];
    struct event_place at = {place_position(read->reader, reading->shard), place->count};
    uint64_t missed;
    shard_take(read->engine, shard);
    if (reading->end == UINT64_MAX) reading->end = shard->events.head.position;
    size_t size = event_ring_copy(&shard->events, &at, reading->end, read->reader->buffer, &missed);
    shard_release(shard);
    atomic_store_explicit(&place->position, at.position, memory_order_relaxed);
    place->count = at.count;
    if (missed) tell_missed(read, missed);
    return size;
}

enum told { TOLD_ALL, TOLD_UP_TO_AFTER, TOLD_UP_TO_MARK };

/* The events behind it in its ring wait with it: one session's have an order. */
static void await_event(struct read *read, uint64_t version) {
    struct event_reader *reader = read->reader;
    if (!reader->awaited || version < reader->awaited) reader->awaited = version;
}

/* Hands the copied events out, up to one that has to come after others (which are then *after), or is not safe yet. */
static enum told tell_chunk(struct read *read, const struct reading *reading, size_t size, struct event_after *after) {
    struct event_reader *reader = read->reader;
    struct reader_place *place = &reader->places[reading->shard];
    for (size_t at = 0; at < size;) {
        struct event event;
        size_t entry_size = event_entry_read(reader->buffer + at, &event, after);
        if (event.depends_on > read->mark) {
            await_event(read, event.depends_on);
            return TOLD_UP_TO_MARK;
        }
        if (after->is_given && place_position(reader, after->shard) < after->position) return TOLD_UP_TO_AFTER;
        read->each(read->context, &event);
        atomic_store_explicit(&place->position, place_position(reader, reading->shard) + entry_size,
                              memory_order_relaxed);
        place->count++;
        at += entry_size;
    }
    return TOLD_ALL;
}

/* These are to be read again when the mark has moved: the one on top, and those that wait for it. */
static void hold_readings(struct event_reader *reader, uint32_t depth) {
    for (uint32_t i = 0; i < depth; i++) {
        uint32_t shard = reader->readings[i].shard;
        reader->held[shard / 64] |= UINT64_C(1) << (shard % 64);
    }
}

/* Reads a shard's ring, and those that have to be read before. */
static void read_shard(struct read *read, uint32_t shard) {
    struct reading *readings = read->reader->readings;
    struct event_after after;
    uint32_t depth = 1;
    readings[0] = (struct reading){shard, UINT64_MAX};
    while (depth > 0) {
        struct reading *top = &readings[depth - 1];
        size_t size = read_chunk(read, top);
        enum told told = tell_chunk(read, top, size, &after);
        if (told == TOLD_UP_TO_MARK) {
            hold_readings(read->reader, depth);
            return;
        }
        if (told == TOLD_UP_TO_AFTER) {
            assert(depth < read->engine->shard_count);
            readings[depth++] = (struct reading){after.shard, after.position};
        } else if (place_position(read->reader, top->shard) >= top->end) {
            depth--;
        }
    }
}

/* Whether there may be something to read; then *is_held says whether what was held is to be looked at again too. */
static bool read_is_due(struct read *read, bool *is_held) {
    struct event_reader *reader = read->reader;
    *is_held = reader->awaited && reader->awaited <= read->mark;
    if (*is_held) reader->awaited = 0;
    return atomic_load(&reader->is_due) || *is_held;
}

/* Takes the shards of one word that are to be read. */
static uint64_t take_dirty(struct event_reader *reader, size_t word, bool is_held) {
    uint64_t dirty = atomic_load(&reader->dirty[word]); /* not before is_due was lowered */
    if (dirty) dirty = atomic_exchange(&reader->dirty[word], 0);
    if (!is_held) return dirty;
    dirty |= reader->held[word];
    reader->held[word] = 0;
    return dirty;
}

uint64_t memory_read_events(struct engine *self, unsigned loop_index, event_each each, void *context) {
    struct memory_engine *engine = (struct memory_engine *)self;
    struct loop *loop = &engine->loops[loop_index];
    uint64_t mark = engine->journal ? journal_mark(engine->journal) : UINT64_MAX;
    struct read read = {engine, loop, loop->events, each, context, mark};
    bool is_held;
    assert(reclaim_is_inside(&engine->reclaim, loop_index));
    if (!read_is_due(&read, &is_held)) return read.reader->awaited;
    atomic_store(&read.reader->is_due, false);
    for (size_t word = 0; word < dirty_words(engine); word++)
        for (uint64_t dirty = take_dirty(read.reader, word, is_held); dirty; dirty &= dirty - 1)
            if (atomic_load_explicit(&engine->watching, memory_order_relaxed) >> loop_index & 1)
                read_shard(&read, (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(dirty));
    return read.reader->awaited;
}

void event_check(const struct memory_engine *engine) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        event_ring_check(&engine->shards[i].events);
        bytes += engine->shards[i].events.capacity;
    }
    CHECK(bytes == atomic_load(&((struct memory_engine *)engine)->event_bytes));
}
