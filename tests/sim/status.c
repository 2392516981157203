/* The six operations that change a status by a caller's word. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <string.h>

static enum status wanted(enum op op) {
    switch (op) {
    case OP_SESSION_ACTIVATE: return STATUS_ACTIVE;
    case OP_SESSION_END: return STATUS_ENDED;
    case OP_SESSION_REMOVE: return STATUS_REMOVED;
    case OP_SESSION_REVOKE: return STATUS_REVOKED;
    case OP_SESSION_ABANDON: return STATUS_ABANDONED;
    default: return STATUS_REPLACED;
    }
}

/* Pending becomes active; the living become anything else; what was not sent away on purpose may still be removed. */
static bool may_become(enum status from, enum status to) {
    if (to == STATUS_ACTIVE) return from == STATUS_PENDING;
    if (from == STATUS_ACTIVE || from == STATUS_PENDING) return true;
    return to == STATUS_REMOVED && from != STATUS_REVOKED;
}

static bool expect_conflict(struct model *model, const struct answer *answer, enum status status) {
    if (!expect_error(model, answer, "CONFLICT")) return false;
    if (!answer->error.data) return true;
    struct mp_cursor cursor = mp_cursor_of(map_value(answer->error, "status"));
    return (cursor.at && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(status_name(status)))) ||
           complain(model, "CONFLICT should say that it is %s", status_name(status));
}

bool do_status(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    enum status to = wanted(call->op);
    if (to == STATUS_REPLACED && !call->by[0]) return expect_error(model, answer, "BAD_REQUEST");
    if (stands != STANDS_ALIVE && stands != STANDS_DEAD) return expect_nil(model, answer);
    enum status from = record_status(record, now_ms);
    char by[ID_TEXT_MAX];
    name_of_id(model, record->namespace, call->by, by);
    bool is_again = from == to && (to != STATUS_REPLACED || strcmp(record->replaced_by, by) == 0);
    if (!is_again && (from == to || !may_become(from, to))) return expect_conflict(model, answer, from);
    if (!is_again && status_is_living(to) && lacks_memory(model, record->namespace, record, NULL, record->id))
        return expect_error(model, answer, model->refusal);
    if (!is_again) set_status(model, record, to, call->reason, call->by, now_ms);
    /* What is named by a handle need not be what the call's id is. */
    const char *id = call->form == ID_HANDLE ? record->id : call->id;
    return expect_record(model, answer, record, id, call->fields, now_ms);
}
