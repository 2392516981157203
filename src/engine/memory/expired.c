/* See expired.h. */
#include "engine/memory/expired.h"

#include <stdlib.h>

static size_t list_size(uint32_t count) {
    return sizeof(struct expired_list) + count * sizeof(struct expired_note);
}

/* ---- recovery: the list has its largest size */

bool expired_note(struct memory_engine *engine, const struct record *record, int64_t at) {
    struct expired_list *list = atomic_load(&engine->expired);
    if (!list) {
        list = slab_alloc(&engine->slab, 0, list_size(EXPIRED_KEPT_MAX));
        if (!list) return false;
        memset(list, 0, sizeof(*list));
        atomic_store(&engine->expired, list);
    }
    if (!record || list->count == EXPIRED_KEPT_MAX) {
        list->missed++;
        return true;
    }
    uint64_t hash = id_hash(engine, record_terms(engine, record)->namespace, record_id(record));
    list->notes[list->count++] = (struct expired_note){at, hash, record_version(record)};
    return true;
}

static int note_compare(const void *a, const void *b) {
    const struct expired_note *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

void expired_settle(struct memory_engine *engine, int64_t now_ms) {
    struct expired_list *list = atomic_load(&engine->expired);
    if (!list) return;
    list->until = now_ms + EXPIRED_TOLD_MS;
    qsort(list->notes, list->count, sizeof(*list->notes), note_compare);
}

/* ---- afterwards */

void expired_forget(struct context *context) {
    struct memory_engine *engine = context->engine;
    struct expired_list *list = atomic_load_explicit(&engine->expired, memory_order_acquire);
    if (!list || context->now_ms < list->until || !atomic_compare_exchange_strong(&engine->expired, &list, NULL))
        return;
    reclaim_retire(&engine->reclaim, context->loop->index, list, slab_size(list_size(EXPIRED_KEPT_MAX)), RETIRE_BLOCK);
}

void expired_close(struct memory_engine *engine) {
    struct expired_list *list = atomic_load(&engine->expired);
    if (list) slab_free(&engine->slab, list, list_size(EXPIRED_KEPT_MAX));
}

/* The session as it died; NULL: it was written since, or is not kept any more. */
static const struct record *note_record(struct memory_engine *engine, const struct expired_note *note) {
    struct table_find find = table_find(&shard_of(engine, note->hash)->table, note->hash);
    for (struct record *record; (record = table_next(&find));) {
        const struct namespace *namespace = record_terms(engine, record)->namespace;
        if (record_version(record) == note->version && id_hash(engine, namespace, record_id(record)) == note->hash &&
            record_version(record) > namespace_epoch(namespace))
            return record;
    }
    return NULL;
}

static void tell_expired(struct memory_engine *engine, const struct record *record, int64_t at, event_each each,
                         void *context) {
    const struct terms *terms = record_terms(engine, record);
    struct session view;
    record_view_life(record, terms, record_active(record), &view);
    record_view_bytes(record, &view);
    bool is_abandoned = session_status(&view, INT64_MAX) == STATUS_ABANDONED;
    struct event event = {.kind = is_abandoned ? EVENT_ABANDONED : EVENT_EXPIRED,
                          .namespace = namespace_name(terms->namespace),
                          .id = view.id,
                          .user = view.user,
                          .client = view.client,
                          .pool = view.pool,
                          .reason = view.reason,
                          .data = view.data,
                          .is_hashed = namespace_policy(terms->namespace)->hash_ids,
                          .version = view.version,
                          .depends_on = view.version,
                          .serial = UINT64_MAX, /* of who asks */
                          .at = at};
    each(context, &event);
}

void memory_read_expired(struct engine *self, unsigned loop_index, int64_t now_ms, event_each each, void *context) {
    struct memory_engine *engine = (struct memory_engine *)self;
    assert(reclaim_is_inside(&engine->reclaim, loop_index));
    (void)loop_index;
    const struct expired_list *list = atomic_load_explicit(&engine->expired, memory_order_acquire);
    if (!list || now_ms >= list->until) return;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct record *record = note_record(engine, &list->notes[i]);
        if (record) tell_expired(engine, record, list->notes[i].at, each, context);
    }
    if (list->missed) each(context, &(struct event){.kind = EVENT_LAGGED, .missed = list->missed});
}
