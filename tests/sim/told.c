/* What happens to sessions, as whoever watches has to hear it: the model writes it down in its order, once each.
 *
 * A deadline that has passed is written down before whatever happens to its session next, and at the latest when the
 * world has worked off all that was due (told_pass). Across sessions the log has no order, but for a move's. */
#include "parts.h"
#include "sessiond/session.h"

#include <assert.h>
#include <string.h>

/* What `kind` says of the record as it stands. */
void told_write(struct model *model, const struct record *record, enum event_kind kind, int64_t at) {
    assert(model->told_count < TOLD_MAX);
    struct told *told = &model->told[model->told_count++];
    *told = (struct told){.namespace = record->namespace,
                          .key = name_key(model, record->namespace),
                          .kind = kind,
                          .at = at,
                          .drops = model->namespaces[record->namespace].drops,
                          .data = record->data,
                          .record = (unsigned)(record - model->records),
                          .version = record->version,
                          .writes = record->writes};
    strcpy(told->id, name_of(model, record));
    strcpy(told->user, record->user);
    strcpy(told->client, record->client);
    strcpy(told->pool, record->pool);
    strcpy(told->reason, record->reason);
}

void told_deadline(struct model *model, struct record *record, int64_t now_ms) {
    if (record->kind != KIND_RECORD || record->is_deadline_told || !status_is_living(record->status)) return;
    int64_t forgotten_at = record_forgotten_at(model, record);
    if (forgotten_at <= now_ms) {
        record->is_deadline_told = true;
        told_write(model, record, EVENT_DESTROYED, forgotten_at);
        return;
    }
    enum status status = record_status(record, now_ms);
    if (status_is_living(status)) return;
    int64_t at = status == STATUS_EXPIRED ? record_expires_at(record) : record_abandon_at(record);
    record->is_deadline_told = true;
    told_write(model, record, status == STATUS_EXPIRED ? EVENT_EXPIRED : EVENT_ABANDONED, at);
}

unsigned told_add(struct model *model, struct record *record, enum event_kind kind, int64_t now_ms) {
    told_deadline(model, record, now_ms);
    told_write(model, record, kind, now_ms);
    return model->told_count;
}

void told_pass(struct model *model, int64_t now_ms) {
    for (unsigned i = 0; i < model->record_count; i++) told_deadline(model, &model->records[i], now_ms);
}

void told_drop(struct model *model, unsigned namespace, int64_t now_ms) {
    /* What a clear left to the sweep, or a deadline to the reaper, may have been told before the drop or not. */
    unsigned pending = model->told_settled;
    for (unsigned i = pending; i < model->told_count; i++) {
        struct told *told = &model->told[i];
        bool is_left = told->kind == EVENT_DESTROYED || told->kind == EVENT_EXPIRED || told->kind == EVENT_ABANDONED;
        if (told->namespace == namespace && is_left) told->is_optional = true;
    }
    for (unsigned i = 0; i < model->record_count; i++) {
        unsigned count = model->told_count;
        if (model->records[i].namespace == namespace) told_deadline(model, &model->records[i], now_ms);
        if (model->told_count > count) model->told[count].is_optional = true;
    }
    model->namespaces[namespace].dropped_told = model->told_count;
    model->namespaces[namespace].drops++;
}
