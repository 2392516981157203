/* Operations on one session: each says what must be answered, and does it. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"

#include <string.h>

/* What regenerate answers for a new id that is dead or destroyed. */
#define TAKEN_BY_THE_DEAD "GONE"

static bool fits_in_pool(struct model *model, unsigned namespace, const struct record *draft, bool is_forced,
                         int64_t now_ms) {
    return !draft->pool[0] || admit_to_pool(model, namespace, draft, is_forced, now_ms);
}

bool do_create(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    const struct policy *policy = policy_of(model, call);
    unsigned namespace = model_namespace(model, call->namespace);
    char id[ID_TEXT_MAX];
    strcpy(id, call->id);
    if (call->created_at.is_given && !call->created_at.is_nil && call->created_at.value > now_ms)
        return expect_error(model, answer, "BAD_REQUEST");
    if (policy->hash_ids && call->in_pool.is_given && !call->in_pool.is_nil)
        return expect_error(model, answer, "FORBIDDEN");
    if (call->id[0]) {
        struct record *record;
        enum stands stands = look(model, call, now_ms, &record);
        if (policy->strict_ids) return expect_error(model, answer, "FORBIDDEN");
        if (stands == STANDS_ALIVE) return expect_version_error(model, answer, record, "EXISTS");
        if (stands != STANDS_NOTHING && !call->revive) return expect_gone(model, answer, record, stands, now_ms);
    }
    struct record draft = begin_record(policy, now_ms);
    if (call->created_at.is_given && !call->created_at.is_nil) draft.created_at = call->created_at.value;
    set_text(draft.user, &call->user);
    set_text(draft.client, &call->client);
    if (call->data.is_given && !is_nil(call->data.value)) draft.data = call->data.value; /* nil is "not given" */
    set_blob(&draft.meta, &call->meta);
    if (call->pending) draft.status = STATUS_PENDING;
    token_of_create(&draft, call);
    set_timeouts(&draft, policy, call);
    const char *pool = call->op == OP_POOL_ADD ? call->pool : call->in_pool.is_nil ? "" : call->in_pool.bytes;
    if (pool[0]) {
        enter_pool(model, call, &draft, pool);
        if (call->usage_count.is_given) draft.seat->usage_count = (uint64_t)call->usage_count.value;
        if (call->max_usage.is_given) draft.seat->max_usage = (uint64_t)call->max_usage.value;
        if (call->error_count.is_given) draft.seat->error_count = (uint64_t)call->error_count.value;
        if (call->score.is_given) draft.seat->score = call->score.value;
        if (call->max_score.is_given) draft.seat->max_score = call->max_score.value;
        if (call->decrement.is_given) draft.seat->decrement = call->decrement.value;
        draft.tags = call->op == OP_POOL_ADD && call->has_tags ? call->tags : 0;
    }
    if (!call->deadline.is_nil) set_deadline_given(&draft, policy, &call->deadline);
    if (!fits_in_pool(model, namespace, &draft, call->force, now_ms)) {
        if (lacks_memory(model, namespace, NULL, &draft, call->id)) return expect_error(model, answer, model->refusal);
        if (answer_is_refused(answer, "LIMIT")) return true; /* which of two limits is named is not laid down */
        return expect_error(model, answer, "EXHAUSTED");
    }
    if (!admit(model, namespace, NULL, &draft, call->id[0] ? call->id : UNKNOWN_ID, now_ms))
        return expect_error(model, answer, model->refusal);
    if (!expect_ok(model, answer)) return false;
    if (!call->id[0]) {
        struct mp_cursor cursor = mp_cursor_of(map_value(answer->result, "id"));
        struct bytes made = mp_read_bytes(&cursor);
        size_t size = pool[0] ? 30 : 43;
        if (made.size != size) return complain(model, "an id of %zu characters should have been made", size);
        memcpy(id, made.data, size);
        id[size] = 0;
        if (find(model, namespace, id)) return complain(model, "the id was made before");
        name_unknown(model, id);
    }
    struct record *record = publish(model, namespace, id, &draft, now_ms);
    /* What is unusable from the start takes no place. */
    model->expects_token = record->has_token && answer->error.data;
    if (pool[0] && seat_is_usable(model, record, now_ms)) take_oldest_hold(make_pool(model, namespace, pool));
    return expect_record(model, answer, record, id, call->fields, now_ms);
}

/* pool.add is a create in a pool, but for what it may bring along. */
bool do_add(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    return do_create(model, call, now_ms, answer);
}

/* The living session that a read of this id sees: also through an old id in its grace. */
static struct record *readable(struct model *model, unsigned namespace, const char *id, int64_t now_ms) {
    struct record *record = find(model, namespace, id);
    if (!record) return NULL;
    if (judge(model, record, now_ms) == STANDS_ALIAS) return model_living(model, namespace, record->alias_of, now_ms);
    return is_alive(model, record, now_ms) ? record : NULL;
}

bool do_get(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (stands == STANDS_ALIAS) {
        /* Reading through an old id does not move the deadline. */
        record = readable(model, record->namespace, call->id, now_ms);
        if (!record) return expect_nil(model, answer);
    } else if (stands != STANDS_ALIVE && (stands != STANDS_DEAD || !call->include_dead)) {
        return expect_nil(model, answer);
    } else if (stands == STANDS_ALIVE && call->touch) {
        thin_touch(model, call, record, now_ms);
        touch_client(model, record, now_ms);
    }
    uint64_t fields = call->fields ? call->fields : FIELDS_DEFAULT;
    if (call->has_version && call->version == record->version)
        fields &= ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META));
    if (call->public_only) fields &= ~FIELD_BIT(FIELD_META);
    /* The bit of no field: so that "none is left" is not "none was named". */
    return expect_record(model, answer, record, call->id, fields | FIELD_BIT(FIELD_NONE), now_ms);
}

bool do_get_many(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    if (!expect_ok(model, answer)) return false;
    if (!answer->error.data) return true;
    struct mp_cursor cursor = mp_cursor_of(answer->result);
    uint32_t count = mp_read_array(&cursor);
    if (count > call->id_count || (count == 0 && call->id_count > 0))
        return complain(model, "%u answers for %u ids", count, call->id_count);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value = mp_read_value(&cursor, MP_DEPTH_MAX);
        struct record *record = readable(model, model_namespace(model, call->namespace), call->ids[i], now_ms);
        if (!record && !is_nil(value)) return complain(model, "%s should be nil", call->ids[i]);
        if (record &&
            !compare_record(model, record, call->ids[i], call->fields ? call->fields : FIELDS_DEFAULT, now_ms, value))
            return false;
    }
    return true;
}

bool do_take(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    if (look(model, call, now_ms, &record) != STANDS_ALIVE) return expect_nil(model, answer);
    bool is_expected = expect_record(model, answer, record, call->id, call->fields, now_ms);
    bury(model, record, now_ms);
    return is_expected;
}

bool do_destroy(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (stands == STANDS_ALIVE || stands == STANDS_DEAD) bury(model, record, now_ms);
    return expect_bool(model, answer, stands == STANDS_ALIVE);
}

bool do_set(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    const struct policy *policy = policy_of(model, call);
    unsigned namespace = model_namespace(model, call->namespace);
    struct record *record, draft;
    enum stands stands = look(model, call, now_ms, &record);
    if (call->has_version != (call->mode == SET_MODE_IF_VERSION)) return expect_error(model, answer, "BAD_REQUEST");
    if (stands == STANDS_ALIVE) {
        if (call->mode == SET_MODE_CREATE) return expect_version_error(model, answer, record, "EXISTS");
        if (call->has_version && call->version != record->version)
            return expect_version_error(model, answer, record, "CONFLICT");
        draft = *record;
    } else if (stands == STANDS_NOTHING) {
        if (call->mode == SET_MODE_UPDATE || call->mode == SET_MODE_IF_VERSION) return expect_nil(model, answer);
        if (policy->strict_ids) return expect_error(model, answer, "FORBIDDEN");
        draft = begin_record(policy, now_ms);
    } else {
        return expect_gone(model, answer, record, stands, now_ms);
    }
    draft.data = call->data.value;
    set_blob(&draft.meta, &call->meta);
    set_text(draft.user, &call->user);
    set_text(draft.client, &call->client);
    set_timeouts(&draft, policy, call);
    set_deadline_given(&draft, policy, &call->deadline);
    draft.last_active_at = now_ms;
    if (!admit(model, namespace, stands == STANDS_ALIVE ? record : NULL, &draft, call->id, now_ms))
        return expect_error(model, answer, model->refusal);
    return expect_deadline(model, answer, publish(model, namespace, call->id, &draft, now_ms), true);
}

bool do_patch(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    const struct policy *policy = policy_of(model, call);
    unsigned namespace = model_namespace(model, call->namespace);
    struct record *record, draft;
    enum stands stands = look(model, call, now_ms, &record);
    if (model_patch_contradicts(call)) return expect_error(model, answer, "BAD_REQUEST");
    if (stands == STANDS_ALIVE) {
        if (call->has_version && call->version != record->version)
            return expect_version_error(model, answer, record, "CONFLICT");
        draft = *record;
        if (!call->create) set_timeouts(&draft, policy, call);
    } else if (stands == STANDS_NOTHING) {
        if (!call->create || call->has_version) return expect_nil(model, answer);
        if (policy->strict_ids) return expect_error(model, answer, "FORBIDDEN");
        draft = begin_record(policy, now_ms);
        set_timeouts(&draft, policy, call);
    } else {
        return expect_gone(model, answer, record, stands, now_ms);
    }
    struct bytes *member = call->target == PATCH_TARGET_META ? &draft.meta : &draft.data, values;
    struct bytes old = member->data ? *member : bytes_of(empty_map, 1);
    if (!model_patch(model, call, old, member, &values)) return expect_error(model, answer, "BAD_REQUEST");
    draft.last_active_at = now_ms;
    if (!admit(model, namespace, stands == STANDS_ALIVE ? record : NULL, &draft, call->id, now_ms))
        return expect_error(model, answer, model->refusal);
    if (!expect_deadline(model, answer, publish(model, namespace, call->id, &draft, now_ms), true)) return false;
    return !answer->error.data || bytes_equal(map_value(answer->result, "values"), values) ||
           complain(model, "values has other bytes");
}

bool touch_contradicts(const struct call *call) {
    return call->extends && call->deadline.is_given && !call->deadline.is_nil;
}

bool do_touch(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    bool is_plain = !call->idle.is_given && !call->absolute.is_given && !call->abandon.is_given &&
                    !call->deadline.is_given && !call->meta.is_given && !call->extends;
    if (touch_contradicts(call)) return expect_error(model, answer, "BAD_REQUEST");
    if (stands == STANDS_NOTHING) return expect_nil(model, answer);
    if (stands != STANDS_ALIVE) return expect_gone(model, answer, record, stands, now_ms);
    if (is_plain) {
        thin_touch(model, call, record, now_ms);
        touch_client(model, record, now_ms);
        return expect_deadline(model, answer, record, false);
    }
    struct record draft = *record;
    set_timeouts(&draft, policy_of(model, call), call);
    set_deadline_given(&draft, policy_of(model, call), &call->deadline);
    set_blob(&draft.meta, &call->meta);
    if (call->extends && draft.absolute_ms) set_deadline(&draft, policy_of(model, call), now_ms + draft.absolute_ms);
    draft.last_active_at = now_ms;
    if (lacks_memory(model, record->namespace, record, &draft, record->id))
        return expect_error(model, answer, model->refusal);
    *record = draft;
    note_write(model, record, EVENT_UPDATED, now_ms);
    touch_client(model, record, now_ms);
    return expect_deadline(model, answer, record, false);
}

bool do_expire(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (call->deadline.is_given == call->extend.is_given) return expect_error(model, answer, "BAD_REQUEST");
    if (stands == STANDS_NOTHING) return expect_nil(model, answer);
    if (stands != STANDS_ALIVE) return expect_gone(model, answer, record, stands, now_ms);
    if (call->extend.is_given) {
        int64_t expires_at = record_expires_at(record);
        if (!expires_at) return expect_deadline(model, answer, record, false);
        if (lacks_memory(model, record->namespace, record, NULL, record->id))
            return expect_error(model, answer, model->refusal);
        set_deadline(record, policy_of(model, call), expires_at + call->extend.value);
    } else {
        if (lacks_memory(model, record->namespace, record, NULL, record->id))
            return expect_error(model, answer, model->refusal);
        set_deadline_given(record, policy_of(model, call), &call->deadline);
    }
    note_write(model, record, EVENT_UPDATED, now_ms);
    return expect_deadline(model, answer, record, false);
}

bool do_regenerate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    const struct policy *policy = policy_of(model, call);
    unsigned namespace = model_namespace(model, call->namespace);
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    char new_id[ID_TEXT_MAX];
    strcpy(new_id, call->new_id);
    if (strcmp(call->id, call->new_id) == 0) return expect_error(model, answer, "BAD_REQUEST");
    if (policy->strict_ids && call->new_id[0]) return expect_error(model, answer, "FORBIDDEN");
    if (stands == STANDS_NOTHING) return expect_nil(model, answer);
    if (stands != STANDS_ALIVE) return expect_gone(model, answer, record, stands, now_ms);
    struct record *other = call->new_id[0] ? find(model, namespace, call->new_id) : NULL;
    if (other && judge(model, other, now_ms) != STANDS_NOTHING)
        return expect_error(model, answer, is_alive(model, other, now_ms) ? "EXISTS" : TAKEN_BY_THE_DEAD);
    struct record draft = *record;
    if (call->drops_data) draft.data = bytes_of(empty_map, 1), draft.meta = BYTES_ABSENT;
    set_text(draft.user, &call->user);
    if (call->restarts) {
        int64_t given_ms = draft.deadline - draft.created_at;
        if (draft.created_at != now_ms) draft.birth = 0;
        draft.created_at = draft.last_active_at = now_ms;
        if (draft.deadline) set_deadline(&draft, policy, now_ms + given_ms);
    }
    draft.secret_count = 0; /* it gets another token */
    if (!admit(model, namespace, record, &draft, call->new_id, now_ms))
        return expect_error(model, answer, model->refusal);
    if (!expect_ok(model, answer)) return false;
    if (!new_id[0]) {
        struct mp_cursor cursor = mp_cursor_of(map_value(answer->result, "id"));
        struct bytes made = mp_read_bytes(&cursor);
        if (made.size != 43) return complain(model, "an id of 43 characters should have been made");
        memcpy(new_id, made.data, 43);
        new_id[43] = 0;
    }
    unsigned before = told_add(model, record, EVENT_REGENERATED, now_ms);
    struct record *moved = publish(model, namespace, new_id, &draft, now_ms);
    model->told[model->told_count - 1].after = before;
    move_client(model, moved, call->id);
    record = find(model, namespace, call->id);
    entomb(record, now_ms);
    if (call->grace.is_given && !call->grace.is_nil && call->grace.value > 0) {
        record->kind = KIND_ALIAS;
        record->alias_until = now_ms + call->grace.value;
        strcpy(record->alias_of, new_id);
    }
    model->expects_token = moved->has_token && answer->error.data;
    return expect_record(model, answer, moved, new_id, call->fields, now_ms);
}
