/* The model's state and its operations. Each operation says what must be answered and then does it. */
#include "model.h"

#include "base/mp.h"
#include "wire/codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_DEFAULT  (~UINT64_C(0))
#define FIELDS_OF_LISTS (FIELDS_DEFAULT & ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META)))
#define LIVING          (STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_PENDING))

/* What regenerate answers for a new id that is dead or destroyed. */
#define TAKEN_BY_THE_DEAD "GONE"

static const uint8_t empty_map[] = {0x80};

/* ---------------------------------------------------------------- memory */

struct arena {
    struct arena *next;
};

void *model_alloc(struct model *model, size_t size) {
    struct arena *block = malloc(sizeof *block + size);
    assert(block);
    block->next = model->arena;
    model->arena = block;
    return block + 1;
}

struct bytes model_copy(struct model *model, struct bytes bytes) {
    uint8_t *copy = model_alloc(model, bytes.size + 1);
    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    return bytes_of(copy, bytes.size);
}

void model_open(struct model *model) {
    memset(model, 0, sizeof *model);
}

void model_close(struct model *model) {
    for (struct arena *next; model->arena; model->arena = next) {
        next = model->arena->next;
        free(model->arena);
    }
}

/* ---------------------------------------------------------------- finding */

unsigned model_namespace(const struct model *model, const char *name) {
    for (unsigned i = 0; i < model->namespace_count; i++)
        if (strcmp(model->namespaces[i].name, name) == 0) return i;
    assert(!"the world announces every namespace");
    return 0;
}

static struct record *find(struct model *model, unsigned namespace, const char *id) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace && strcmp(model->records[i].id, id) == 0)
            return &model->records[i];
    return NULL;
}

static struct record *find_or_add(struct model *model, unsigned namespace, const char *id) {
    struct record *record = find(model, namespace, id);
    if (record) return record;
    assert(model->record_count < RECORDS_MAX);
    record = &model->records[model->record_count++];
    record->namespace = namespace;
    strcpy(record->id, id);
    return record;
}

enum stands { STANDS_NOTHING, STANDS_ALIVE, STANDS_DEAD, STANDS_TOMBSTONE, STANDS_ALIAS };

static bool is_buried(int64_t died_at, const struct policy *policy, int64_t now_ms) {
    return policy->tombstone_ms > 0 && now_ms < died_at + policy->tombstone_ms;
}

static enum stands judge(const struct model *model, const struct record *record, int64_t now_ms) {
    const struct namespace_model *namespace = &model->namespaces[record->namespace];
    const struct policy *policy = &namespace->policy;
    if (record->kind == KIND_ALIAS && now_ms < record->alias_until) return STANDS_ALIAS;
    if (record->kind != KIND_RECORD)
        return is_buried(record->buried_at, policy, now_ms) ? STANDS_TOMBSTONE : STANDS_NOTHING;
    if (record_status(record, now_ms) == STATUS_ACTIVE) return STANDS_ALIVE;
    int64_t died_at = record_died_at(record, now_ms);
    bool is_purged = namespace->purged_at && died_at <= namespace->purged_at && !record->outlives_purge;
    if (now_ms < died_at + policy->retention_ms && !is_purged) return STANDS_DEAD;
    return is_buried(died_at, policy, now_ms) ? STANDS_TOMBSTONE : STANDS_NOTHING;
}

static enum stands look(struct model *model, const struct call *call, int64_t now_ms, struct record **record) {
    *record = find(model, model_namespace(model, call->namespace), call->id);
    return *record ? judge(model, *record, now_ms) : STANDS_NOTHING;
}

static bool is_alive(const struct model *model, const struct record *record, int64_t now_ms) {
    return judge(model, record, now_ms) == STANDS_ALIVE;
}

struct record *model_living(struct model *model, unsigned namespace, const char *id, int64_t now_ms) {
    struct record *record = find(model, namespace, id);
    return record && is_alive(model, record, now_ms) ? record : NULL;
}

uint64_t model_count(const struct model *model, unsigned namespace, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++)
        count += model->records[i].namespace == namespace && is_alive(model, &model->records[i], now_ms);
    return count;
}

int64_t model_due(const struct model *model, unsigned n, unsigned which) {
    const struct record *record = &model->records[n];
    const struct policy *policy = &model->namespaces[record->namespace].policy;
    int64_t expires_at = record_expires_at(record), abandon_at = record_abandon_at(record);
    int64_t died_at = record->status_at ? record->status_at : expires_at;
    if (record->kind == KIND_ALIAS && which % 2) return record->alias_until;
    if (record->kind != KIND_RECORD) return record->buried_at + policy->tombstone_ms;
    switch (which % 4) {
    case 0: return abandon_at;
    case 1: return died_at ? died_at + policy->retention_ms : 0;
    case 2: return died_at ? died_at + policy->tombstone_ms : 0;
    default: return expires_at;
    }
}

/* ---------------------------------------------------------------- changing */

static void bury(struct record *record, int64_t now_ms) {
    record->kind = KIND_TOMBSTONE;
    record->buried_at = now_ms;
}

/* It was written now, with a version that may not have been shown. */
static void note_write(struct model *model, struct record *record, int64_t now_ms) {
    record->version = 0;
    record->version_floor = model->version_max;
    record->written_at = now_ms;
    record->outlives_purge = true;
}

static void revoke(struct model *model, struct record *record, const char *reason, int64_t now_ms) {
    record->status = STATUS_REVOKED;
    record->status_at = now_ms;
    strcpy(record->reason, reason);
    note_write(model, record, now_ms);
}

static int64_t cap(int64_t timeout_ms, int64_t max_ms) {
    if (max_ms == 0) return timeout_ms;
    return timeout_ms == 0 || timeout_ms > max_ms ? max_ms : timeout_ms;
}

static void set_timeout(int64_t *timeout_ms, const struct number *given, int64_t default_ms, int64_t max_ms) {
    if (given->is_given) *timeout_ms = cap(given->is_nil ? default_ms : given->value, max_ms);
}

static void set_timeouts(struct record *record, const struct policy *policy, const struct call *call) {
    set_timeout(&record->idle_ms, &call->idle, policy->idle_timeout_ms, policy->max_idle_timeout_ms);
    set_timeout(&record->absolute_ms, &call->absolute, policy->absolute_timeout_ms, policy->max_absolute_timeout_ms);
    set_timeout(&record->abandon_ms, &call->abandon, policy->abandon_timeout_ms, 0);
}

static void set_deadline(struct record *record, const struct policy *policy, int64_t moment) {
    int64_t max_ms = policy->max_absolute_timeout_ms;
    record->deadline = moment;
    if (moment && max_ms && moment > record->created_at + max_ms) record->deadline = record->created_at + max_ms;
    if (!moment) record->absolute_ms = cap(record->absolute_ms, max_ms);
}

static void set_deadline_given(struct record *record, const struct policy *policy, const struct number *given) {
    if (!given->is_given) return;
    set_deadline(record, policy, given->is_nil ? 0 : given->value <= 0 ? 1 : given->value);
}

static void set_text(char *member, const struct text *given) {
    if (given->is_given) strcpy(member, given->is_nil ? "" : given->bytes);
}

static void set_blob(struct bytes *member, const struct blob *given) {
    if (given->is_given) *member = given->is_nil ? BYTES_ABSENT : given->value;
}

static struct record begin_record(const struct policy *policy, int64_t now_ms) {
    return (struct record){.kind = KIND_RECORD,
                           .data = bytes_of(empty_map, 1),
                           .created_at = now_ms,
                           .last_active_at = now_ms,
                           .idle_ms = cap(policy->idle_timeout_ms, policy->max_idle_timeout_ms),
                           .absolute_ms = cap(policy->absolute_timeout_ms, policy->max_absolute_timeout_ms),
                           .abandon_ms = policy->abandon_timeout_ms,
                           .status = STATUS_ACTIVE};
}

/* ---------------------------------------------------------------- limits */

static uint64_t count_user(const struct model *model, unsigned namespace, const char *user, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        count += record->namespace == namespace && strcmp(record->user, user) == 0 && is_alive(model, record, now_ms);
    }
    return count;
}

static void evict_one(struct model *model, unsigned namespace, const char *user, int64_t now_ms) {
    bool by_age = model->namespaces[namespace].policy.session_limit_policy == SESSION_LIMIT_POLICY_EVICT_OLDEST;
    struct record *chosen = NULL;
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->namespace != namespace || strcmp(record->user, user) || !is_alive(model, record, now_ms)) continue;
        int64_t key = by_age ? record->created_at : record->last_active_at;
        if (!chosen || key < (by_age ? chosen->created_at : chosen->last_active_at)) chosen = record;
    }
    revoke(model, chosen, "session_limit", now_ms);
}

/* Whether the namespace's limits admit `draft` where `old` (alive, or NULL) stood; makes room where the policy says so.
 */
static bool admit(struct model *model, unsigned namespace, const struct record *old, const struct record *draft,
                  int64_t now_ms) {
    const struct policy *policy = &model->namespaces[namespace].policy;
    if (record_status(draft, now_ms) != STATUS_ACTIVE) return true; /* born dead, it takes no place */
    if (!old && policy->max_sessions && model_count(model, namespace, now_ms) >= policy->max_sessions) return false;
    bool enters = draft->user[0] && (!old || strcmp(old->user, draft->user) != 0);
    if (!enters || !policy->max_sessions_per_user) return true;
    while (count_user(model, namespace, draft->user, now_ms) >= policy->max_sessions_per_user) {
        if (policy->session_limit_policy == SESSION_LIMIT_POLICY_REJECT) return false;
        evict_one(model, namespace, draft->user, now_ms);
    }
    return true;
}

/* Stores the draft under namespace and id. */
static struct record *publish(struct model *model, unsigned namespace, const char *id, const struct record *draft,
                              int64_t now_ms) {
    struct record *record = find_or_add(model, namespace, id);
    *record = *draft;
    record->namespace = namespace;
    strcpy(record->id, id);
    model->namespaces[namespace].existence = EXISTS_YES;
    note_write(model, record, now_ms);
    return record;
}

/* ---------------------------------------------------------------- answers */

static bool expect_ok(struct model *model, const struct answer *answer) {
    if (!answer->error.data || is_nil(answer->error)) return true;
    struct mp_cursor code = mp_cursor_of(map_value(answer->error, "code"));
    struct bytes text = mp_read_bytes(&code);
    return complain(model, "should not be refused with %.*s", (int)text.size, text.data);
}

static bool expect_nil(struct model *model, const struct answer *answer) {
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && (is_nil(answer->result) || complain(model, "should be nil"));
}

static bool expect_integer(struct model *model, const struct answer *answer, int64_t expected) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    return integer_of(answer->result) == expected ||
           complain(model, "should be %lld, not %lld", (long long)expected, (long long)integer_of(answer->result));
}

static bool expect_bool(struct model *model, const struct answer *answer, bool expected) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    uint8_t byte = expected ? 0xc3 : 0xc2;
    return bytes_equal(answer->result, bytes_of(&byte, 1)) || complain(model, "should be %d", expected);
}

static bool expect_error(struct model *model, const struct answer *answer, const char *code) {
    return !answer->error.data || compare_error(model, answer, code);
}

static bool expect_record(struct model *model, const struct answer *answer, struct record *record, const char *id,
                          uint64_t fields, int64_t now_ms) {
    if (!answer->error.data) return true;
    return expect_ok(model, answer) &&
           compare_record(model, record, id, fields ? fields : FIELDS_DEFAULT, now_ms, answer->result);
}

/* {expires_at} and, if asked, the version. */
static bool expect_deadline(struct model *model, const struct answer *answer, struct record *record, bool has_version) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    int64_t got = integer_of(map_value(answer->result, "expires_at"));
    if (got != record_expires_at(record))
        return complain(model, "expires_at should be %lld, not %lld", (long long)record_expires_at(record),
                        (long long)got);
    if (!has_version) return true;
    return compare_version(model, record, (uint64_t)integer_of(map_value(answer->result, "version")));
}

/* GONE, saying which status a dead one has. */
static bool expect_gone(struct model *model, const struct answer *answer, const struct record *record,
                        enum stands stands, int64_t now_ms) {
    if (!expect_error(model, answer, "GONE")) return false;
    if (stands != STANDS_DEAD || !answer->error.data) return true;
    struct mp_cursor cursor = mp_cursor_of(map_value(answer->error, "status"));
    const char *expected = status_name(record_status(record, now_ms));
    return (cursor.at && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(expected))) ||
           complain(model, "GONE should say that it is %s", expected);
}

static bool expect_version_error(struct model *model, const struct answer *answer, struct record *record,
                                 const char *code) {
    if (!answer->error.data) return true;
    return compare_error(model, answer, code) &&
           compare_version(model, record, (uint64_t)integer_of(map_value(answer->error, "version")));
}

/* ---------------------------------------------------------------- operations on one session */

static const struct policy *policy_of(const struct model *model, const struct call *call) {
    return &model->namespaces[model_namespace(model, call->namespace)].policy;
}

static bool do_create(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    const struct policy *policy = policy_of(model, call);
    unsigned namespace = model_namespace(model, call->namespace);
    char id[ID_TEXT_MAX];
    strcpy(id, call->id);
    if (call->created_at.is_given && !call->created_at.is_nil && call->created_at.value > now_ms)
        return expect_error(model, answer, "BAD_REQUEST");
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
    set_timeouts(&draft, policy, call);
    if (!call->deadline.is_nil) set_deadline_given(&draft, policy, &call->deadline);
    if (!admit(model, namespace, NULL, &draft, now_ms)) return expect_error(model, answer, "LIMIT");
    if (!expect_ok(model, answer)) return false;
    if (!call->id[0]) {
        struct mp_cursor cursor = mp_cursor_of(map_value(answer->result, "id"));
        struct bytes made = mp_read_bytes(&cursor);
        if (made.size != 43) return complain(model, "an id of 43 characters should have been made");
        memcpy(id, made.data, 43);
        id[43] = 0;
        if (find(model, namespace, id)) return complain(model, "the id was made before");
    }
    struct record *record = publish(model, namespace, id, &draft, now_ms);
    return expect_record(model, answer, record, id, call->fields, now_ms);
}

/* The living session that a read of this id sees: also through an old id in its grace. */
static struct record *readable(struct model *model, unsigned namespace, const char *id, int64_t now_ms) {
    struct record *record = find(model, namespace, id);
    if (!record) return NULL;
    if (judge(model, record, now_ms) == STANDS_ALIAS) return model_living(model, namespace, record->alias_of, now_ms);
    return is_alive(model, record, now_ms) ? record : NULL;
}

static bool do_get(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (stands == STANDS_ALIAS) {
        /* Reading through an old id does not move the deadline. */
        record = readable(model, record->namespace, call->id, now_ms);
        if (!record) return expect_nil(model, answer);
    } else if (stands != STANDS_ALIVE && (stands != STANDS_DEAD || !call->include_dead)) {
        return expect_nil(model, answer);
    } else if (stands == STANDS_ALIVE && call->touch) {
        int64_t thin_ms = policy_of(model, call)->touch_after_ms;
        if (record->idle_ms && record->idle_ms / 16 < thin_ms) thin_ms = record->idle_ms / 16;
        if (now_ms - record->last_active_at >= thin_ms) record->last_active_at = now_ms;
    }
    uint64_t fields = call->fields ? call->fields : FIELDS_DEFAULT;
    if (call->has_version && call->version == record->version)
        fields &= ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META));
    /* The bit of no field: so that "none is left" is not "none was named". */
    return expect_record(model, answer, record, call->id, fields | FIELD_BIT(FIELD_NONE), now_ms);
}

static bool do_get_many(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
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

static bool do_take(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    if (look(model, call, now_ms, &record) != STANDS_ALIVE) return expect_nil(model, answer);
    bool is_expected = expect_record(model, answer, record, call->id, call->fields, now_ms);
    bury(record, now_ms);
    return is_expected;
}

static bool do_destroy(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (stands == STANDS_ALIVE || stands == STANDS_DEAD) bury(record, now_ms);
    return expect_bool(model, answer, stands == STANDS_ALIVE);
}

static bool do_set(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
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
    if (!admit(model, namespace, stands == STANDS_ALIVE ? record : NULL, &draft, now_ms))
        return expect_error(model, answer, "LIMIT");
    return expect_deadline(model, answer, publish(model, namespace, call->id, &draft, now_ms), true);
}

static bool do_patch(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
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
    if (!admit(model, namespace, stands == STANDS_ALIVE ? record : NULL, &draft, now_ms))
        return expect_error(model, answer, "LIMIT");
    if (!expect_deadline(model, answer, publish(model, namespace, call->id, &draft, now_ms), true)) return false;
    return !answer->error.data || bytes_equal(map_value(answer->result, "values"), values) ||
           complain(model, "values has other bytes");
}

static bool do_touch(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    bool is_plain = !call->idle.is_given && !call->absolute.is_given && !call->abandon.is_given &&
                    !call->deadline.is_given && !call->meta.is_given;
    if (stands == STANDS_NOTHING) return expect_nil(model, answer);
    if (stands != STANDS_ALIVE) return expect_gone(model, answer, record, stands, now_ms);
    if (is_plain) {
        int64_t thin_ms = policy_of(model, call)->touch_after_ms;
        if (record->idle_ms && record->idle_ms / 16 < thin_ms) thin_ms = record->idle_ms / 16;
        if (now_ms - record->last_active_at >= thin_ms) record->last_active_at = now_ms;
        return expect_deadline(model, answer, record, false);
    }
    set_timeouts(record, policy_of(model, call), call);
    set_deadline_given(record, policy_of(model, call), &call->deadline);
    set_blob(&record->meta, &call->meta);
    record->last_active_at = now_ms;
    note_write(model, record, now_ms);
    return expect_deadline(model, answer, record, false);
}

static bool do_expire(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (call->deadline.is_given == call->extend.is_given) return expect_error(model, answer, "BAD_REQUEST");
    if (stands == STANDS_NOTHING) return expect_nil(model, answer);
    if (stands != STANDS_ALIVE) return expect_gone(model, answer, record, stands, now_ms);
    if (call->extend.is_given) {
        int64_t expires_at = record_expires_at(record);
        if (!expires_at) return expect_deadline(model, answer, record, false);
        set_deadline(record, policy_of(model, call), expires_at + call->extend.value);
    } else {
        set_deadline_given(record, policy_of(model, call), &call->deadline);
    }
    note_write(model, record, now_ms);
    return expect_deadline(model, answer, record, false);
}

static bool do_regenerate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
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
        draft.created_at = draft.last_active_at = now_ms;
        if (draft.deadline) set_deadline(&draft, policy, now_ms + given_ms);
    }
    if (!admit(model, namespace, record, &draft, now_ms)) return expect_error(model, answer, "LIMIT");
    if (!expect_ok(model, answer)) return false;
    if (!new_id[0]) {
        struct mp_cursor cursor = mp_cursor_of(map_value(answer->result, "id"));
        struct bytes made = mp_read_bytes(&cursor);
        if (made.size != 43) return complain(model, "an id of 43 characters should have been made");
        memcpy(new_id, made.data, 43);
        new_id[43] = 0;
    }
    struct record *moved = publish(model, namespace, new_id, &draft, now_ms);
    record = find(model, namespace, call->id);
    bury(record, now_ms);
    if (call->grace.is_given && !call->grace.is_nil && call->grace.value > 0) {
        record->kind = KIND_ALIAS;
        record->alias_until = now_ms + call->grace.value;
        strcpy(record->alias_of, new_id);
    }
    return expect_record(model, answer, moved, new_id, call->fields, now_ms);
}

/* ---------------------------------------------------------------- operations on many */

/* Whether a record is in the group, or in the namespace where none is named. */
static bool is_member(const struct record *record, unsigned namespace, const struct call *call) {
    if (record->namespace != namespace || record->kind != KIND_RECORD) return false;
    if (call->user.is_given) return strcmp(record->user, call->user.bytes) == 0;
    if (call->client.is_given) return strcmp(record->client, call->client.bytes) == 0;
    return strncmp(record->id, call->prefix, strlen(call->prefix)) == 0;
}

static bool is_listed(const struct model *model, const struct record *record, const struct call *call, int64_t now_ms) {
    if (!is_member(record, model_namespace(model, call->namespace), call)) return false;
    enum stands stands = judge(model, record, now_ms);
    if (stands != STANDS_ALIVE && stands != STANDS_DEAD) return false;
    uint64_t statuses = call->statuses ? call->statuses : LIVING;
    return statuses & STATUS_BIT(record_status(record, now_ms));
}

uint64_t model_count_listed(const struct model *model, const struct call *call, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++) count += is_listed(model, &model->records[i], call, now_ms);
    return count;
}

/* Sessions that may still be counted although their deadline has passed. */
static uint64_t count_unreaped(const struct model *model, unsigned namespace, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (record->namespace != namespace || record->kind != KIND_RECORD || record->status != STATUS_ACTIVE) continue;
        count += !is_alive(model, record, now_ms) &&
                 (record_died_at(record, now_ms) > model->reaped_until || record->written_at >= model->reaped_until);
    }
    return count;
}

static bool expect_whole_count(struct model *model, const struct call *call, int64_t now_ms, int64_t got) {
    unsigned namespace = model_namespace(model, call->namespace);
    int64_t living = (int64_t)model_count(model, namespace, now_ms);
    int64_t unreaped = (int64_t)count_unreaped(model, namespace, now_ms);
    return (got >= living && got <= living + unreaped) ||
           complain(model, "should count %lld, and up to %lld not reaped yet, not %lld", (long long)living,
                    (long long)unreaped, (long long)got);
}

static bool do_count(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    if (call->user.is_given || call->client.is_given)
        return expect_integer(model, answer, (int64_t)model_count_listed(model, call, now_ms));
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && expect_whole_count(model, call, now_ms, integer_of(answer->result));
}

/* Every session of a page: known, wanted, once, in order. Answers how many. */
static bool expect_page(struct model *model, const struct call *call, int64_t now_ms, struct bytes sessions,
                        struct record **page, uint32_t *count) {
    bool is_group = call->user.is_given || call->client.is_given;
    unsigned namespace = model_namespace(model, call->namespace);
    struct mp_cursor cursor = mp_cursor_of(sessions);
    *count = mp_read_array(&cursor);
    for (uint32_t i = 0; i < *count; i++) {
        char id[ID_TEXT_MAX] = "";
        struct bytes encoded = mp_read_value(&cursor, MP_DEPTH_MAX);
        struct mp_cursor text = mp_cursor_of(map_value(encoded, "id"));
        struct bytes name = mp_read_bytes(&text);
        if (!name.data || name.size >= ID_TEXT_MAX) return complain(model, "a listed session without its id");
        memcpy(id, name.data, name.size);
        page[i] = find(model, namespace, id);
        if (!page[i] || !is_listed(model, page[i], call, now_ms)) return complain(model, "%s should not be listed", id);
        for (uint32_t k = 0; k < i; k++)
            if (page[k] == page[i]) return complain(model, "%s is listed twice", id);
        if (!compare_record(model, page[i], id, call->fields ? call->fields : FIELDS_OF_LISTS, now_ms, encoded))
            return false;
        int64_t step = i == 0 ? 0 : page[i]->created_at - page[i - 1]->created_at;
        if (is_group && (call->oldest_first ? step < 0 : step > 0)) return complain(model, "%s is out of order", id);
    }
    return true;
}

/* In a first page of a group nothing is passed over. */
static bool expect_first(struct model *model, const struct call *call, int64_t now_ms, struct record **page,
                         uint32_t count) {
    for (unsigned n = 0; n < model->record_count; n++) {
        struct record *record = &model->records[n];
        bool is_on_page = false;
        if (!is_listed(model, record, call, now_ms)) continue;
        for (uint32_t i = 0; i < count; i++) is_on_page |= page[i] == record;
        int64_t step = count ? record->created_at - page[count - 1]->created_at : 0;
        if (!is_on_page && (call->oldest_first ? step < 0 : step > 0))
            return complain(model, "%s was passed over", record->id);
    }
    return true;
}

static bool do_list(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    static struct record *page[1000];
    if (!expect_ok(model, answer)) return false;
    if (!answer->error.data) return true;
    bool is_group = call->user.is_given || call->client.is_given, is_first = bytes_is_absent(call->cursor);
    bool has_end = is_nil(map_value(answer->result, "cursor"));
    uint64_t matching = model_count_listed(model, call, now_ms);
    uint32_t count;
    if (!expect_page(model, call, now_ms, map_value(answer->result, "sessions"), page, &count)) return false;
    if (count > (call->limit ? call->limit : 100)) return complain(model, "%u sessions on a page", count);
    if (is_first && has_end && count != matching)
        return complain(model, "the only page has %u of %llu", count, (unsigned long long)matching);
    if (is_group && matching > 0 && is_first && count == 0) return complain(model, "an empty first page");
    if (is_group && is_first && !expect_first(model, call, now_ms, page, count)) return false;
    struct bytes total = map_value(answer->result, "total");
    if (is_group && integer_of(total) != (int64_t)matching)
        return complain(model, "total should be %llu", (unsigned long long)matching);
    if (!is_group && !is_nil(total) && !call->prefix[0] && !call->statuses)
        return expect_whole_count(model, call, now_ms, integer_of(total));
    return true;
}

static bool is_excepted(const struct call *call, const char *id) {
    for (unsigned i = 0; i < call->id_count; i++)
        if (strcmp(call->ids[i], id) == 0) return true;
    return false;
}

static bool do_revoke_all(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    int64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (!is_listed(model, record, call, now_ms) || is_excepted(call, record->id)) continue;
        revoke(model, record, call->reason, now_ms);
        count++;
    }
    return expect_integer(model, answer, count);
}

/* ---------------------------------------------------------------- operations on a namespace */

static bool do_clear(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    int64_t living = (int64_t)model_count(model, namespace, now_ms);
    int64_t unreaped = (int64_t)count_unreaped(model, namespace, now_ms);
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->namespace != namespace || record->kind == KIND_TOMBSTONE) continue;
        enum stands stands = judge(model, record, now_ms);
        if (stands == STANDS_ALIVE || stands == STANDS_DEAD || stands == STANDS_ALIAS) bury(record, now_ms);
    }
    if (!answer->error.data) return true;
    int64_t got = integer_of(answer->result);
    return expect_ok(model, answer) && ((got >= living && got <= living + unreaped) ||
                                        complain(model, "should have cleared %lld", (long long)living));
}

/* How many there were counts the dead of a namespace, which may lag as the living do: only its effect is compared. */
static bool do_purge(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace) model->records[i].outlives_purge = false;
    model->namespaces[namespace].purged_at = now_ms;
    return expect_ok(model, answer);
}

static bool do_drop(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    (void)now_ms;
    unsigned namespace = model_namespace(model, call->namespace);
    struct namespace_model *dropped = &model->namespaces[namespace];
    enum existence existence = dropped->existence;
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace) {
            model->records[i].kind = KIND_TOMBSTONE;
            model->records[i].buried_at = INT64_MIN / 2;
        }
    dropped->existence = EXISTS_NO;
    dropped->policy = policy_defaults;
    dropped->purged_at = 0;
    if (existence == EXISTS_MAYBE) return expect_ok(model, answer);
    return expect_bool(model, answer, existence == EXISTS_YES);
}

static bool expect_policy(struct model *model, const struct policy *policy, struct bytes encoded) {
    struct buf expected = BUF_EMPTY;
    codec_write_policy(&expected, policy);
    bool is_equal = bytes_equal(buf_bytes(&expected), encoded);
    buf_fini(&expected);
    return is_equal || complain(model, "the policy is another");
}

static bool do_configure(struct model *model, const struct call *call, const struct answer *answer) {
    struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
    policy_apply(&namespace->policy, &call->change);
    namespace->existence = EXISTS_YES;
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && expect_policy(model, &namespace->policy, answer->result);
}

static bool do_describe(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    if (is_nil(answer->result)) return namespace->existence != EXISTS_YES || complain(model, "should not be nil");
    if (namespace->existence == EXISTS_NO) return complain(model, "should be nil");
    return expect_policy(model, &namespace->policy, map_value(answer->result, "policy")) &&
           expect_whole_count(model, call, now_ms, integer_of(map_value(answer->result, "sessions")));
}

static bool do_list_names(struct model *model, const struct answer *answer) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    struct mp_cursor cursor = mp_cursor_of(answer->result);
    bool seen[NAMESPACES_MAX] = {false};
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--) {
        struct bytes name = mp_read_bytes(&cursor);
        for (unsigned i = 0; i < model->namespace_count; i++)
            seen[i] |= bytes_equal(name, bytes_of_string(model->namespaces[i].name));
    }
    for (unsigned i = 0; i < model->namespace_count; i++) {
        enum existence existence = model->namespaces[i].existence;
        if (existence != EXISTS_MAYBE && seen[i] != (existence == EXISTS_YES))
            return complain(model, "%s is %slisted", model->namespaces[i].name, seen[i] ? "" : "not ");
    }
    return true;
}

/* ---------------------------------------------------------------- all of them */

static bool execute(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    switch (call->op) {
    case OP_SERVER_HELLO: return expect_ok(model, answer);
    case OP_SERVER_PING: return expect_ok(model, answer);
    case OP_SERVER_STATS: return expect_ok(model, answer);
    case OP_SESSION_CREATE: return do_create(model, call, now_ms, answer);
    case OP_SESSION_GET: return do_get(model, call, now_ms, answer);
    case OP_SESSION_GET_MANY: return do_get_many(model, call, now_ms, answer);
    case OP_SESSION_TAKE: return do_take(model, call, now_ms, answer);
    case OP_SESSION_SET: return do_set(model, call, now_ms, answer);
    case OP_SESSION_PATCH: return do_patch(model, call, now_ms, answer);
    case OP_SESSION_TOUCH: return do_touch(model, call, now_ms, answer);
    case OP_SESSION_DESTROY: return do_destroy(model, call, now_ms, answer);
    case OP_SESSION_REGENERATE: return do_regenerate(model, call, now_ms, answer);
    case OP_SESSION_EXPIRE: return do_expire(model, call, now_ms, answer);
    case OP_SESSION_REVOKE_ALL: return do_revoke_all(model, call, now_ms, answer);
    case OP_SESSION_LIST: return do_list(model, call, now_ms, answer);
    case OP_SESSION_COUNT: return do_count(model, call, now_ms, answer);
    case OP_SESSION_CLEAR: return do_clear(model, call, now_ms, answer);
    case OP_SESSION_PURGE: return do_purge(model, call, now_ms, answer);
    case OP_NAMESPACE_CONFIGURE: return do_configure(model, call, answer);
    case OP_NAMESPACE_DESCRIBE: return do_describe(model, call, now_ms, answer);
    case OP_NAMESPACE_LIST: return do_list_names(model, answer);
    case OP_NAMESPACE_DROP: return do_drop(model, call, now_ms, answer);
    default: return complain(model, "the model does not know this operation");
    }
}

const char *model_execute(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    bool is_expected = execute(model, call, now_ms, answer);
    if (call->op == OP_SESSION_CLEAR || call->op == OP_SESSION_PURGE) {
        struct namespace_model *swept = &model->namespaces[model_namespace(model, call->namespace)];
        swept->is_being_swept = true;
        swept->sweeps_ahead -= swept->sweeps_ahead > 0;
    }
    if (call->op > OP_SERVER_STATS && call->op != OP_NAMESPACE_LIST && op_infos[call->op].is_write &&
        call->op != OP_NAMESPACE_DROP) {
        struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
        if (namespace->existence == EXISTS_NO) namespace->existence = EXISTS_MAYBE;
    }
    return is_expected ? NULL : model->complaint;
}
