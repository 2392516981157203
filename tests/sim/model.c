/* The model's state: what stands under each id, who is alive, what a write makes of it. */
#include "parts.h"

#include "sessiond/session.h"
#include "wire/codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const uint8_t empty_map[1] = {0x80};

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

/* While nothing is executed. */
static const struct answer no_answer;

void model_open(struct model *model) {
    memset(model, 0, sizeof *model);
    model->answer = &no_answer;
}

void model_save(const struct model *model, struct model *saved) {
    memcpy(saved, model, offsetof(struct model, records) + model->record_count * sizeof model->records[0]);
    saved->record_count = model->record_count;
    saved->version_max = model->version_max;
}

void model_restore(struct model *model, const struct model *saved) {
    memcpy(model, saved, offsetof(struct model, records) + saved->record_count * sizeof saved->records[0]);
    memset(&model->records[saved->record_count], 0,
           (model->record_count - saved->record_count) * sizeof model->records[0]);
    model->record_count = saved->record_count;
    model->version_max = saved->version_max;
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

struct record *find(struct model *model, unsigned namespace, const char *id) {
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
    handle_of_id(model, id, record->handle);
    return record;
}

static bool is_buried(const struct record *record, int64_t died_at, const struct policy *policy, int64_t now_ms) {
    return !record->is_unburied && policy->tombstone_ms > 0 && now_ms < died_at + policy->tombstone_ms;
}

int64_t record_forgotten_at(const struct model *model, const struct record *record) {
    if (record->kind != KIND_RECORD || !record->seat || !record->seat->retired_at) return INT64_MAX;
    int64_t at = record->seat->retired_at + model->namespaces[record->namespace].policy.retention_ms;
    return status_is_living(record_status(record, at)) ? at : INT64_MAX;
}

bool is_covered(const struct model *model, const struct record *record, int64_t now_ms) {
    int64_t died_at = record->kind == KIND_RECORD ? record_died_at(record, now_ms) : record->buried_at;
    return is_buried(record, died_at, &model->namespaces[record->namespace].policy, now_ms);
}

enum stands judge(const struct model *model, const struct record *record, int64_t now_ms) {
    const struct namespace_model *namespace = &model->namespaces[record->namespace];
    const struct policy *policy = &namespace->policy;
    if (record->kind == KIND_ALIAS && now_ms < record->alias_until) return STANDS_ALIAS;
    if (record->kind != KIND_RECORD)
        return is_buried(record, record->buried_at, policy, now_ms) ? STANDS_TOMBSTONE : STANDS_NOTHING;
    if (record_forgotten_at(model, record) <= now_ms)
        return is_buried(record, record->seat->retired_at, policy, now_ms) ? STANDS_TOMBSTONE : STANDS_NOTHING;
    if (status_is_living(record_status(record, now_ms))) return STANDS_ALIVE;
    int64_t died_at = record_died_at(record, now_ms);
    bool is_purged = namespace->purged_at && died_at <= namespace->purged_at && !record->outlives_purge;
    if (now_ms < died_at + policy->retention_ms && !is_purged && !record->is_forgotten) return STANDS_DEAD;
    return is_buried(record, died_at, policy, now_ms) ? STANDS_TOMBSTONE : STANDS_NOTHING;
}

enum stands look(struct model *model, const struct call *call, int64_t now_ms, struct record **record) {
    unsigned namespace = model_namespace(model, call->namespace);
    *record =
        call->form == ID_HANDLE ? find_named(model, namespace, call->presented) : find(model, namespace, call->id);
    return *record ? judge(model, *record, now_ms) : STANDS_NOTHING;
}

bool is_alive(const struct model *model, const struct record *record, int64_t now_ms) {
    return judge(model, record, now_ms) == STANDS_ALIVE;
}

struct record *model_living(struct model *model, unsigned namespace, const char *id, int64_t now_ms) {
    struct record *record = find(model, namespace, id);
    return record && is_alive(model, record, now_ms) ? record : NULL;
}

bool model_is_living(struct model *model, unsigned namespace, const char *name, int64_t now_ms) {
    struct record *record = find_named(model, namespace, name);
    return record && is_alive(model, record, now_ms);
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
    if (record->kind == KIND_RECORD && record->seat && which % 2) {
        const struct seat *seat = record->seat;
        return seat->leased_until ? seat->leased_until
               : seat->ready_at   ? seat->ready_at
               : seat->retired_at ? seat->retired_at + policy->retention_ms
                                  : expires_at;
    }
    if (record->kind != KIND_RECORD) return record->buried_at + policy->tombstone_ms;
    switch (which % 4) {
    case 0: return abandon_at;
    case 1: return died_at ? died_at + policy->retention_ms : 0;
    case 2: return died_at ? died_at + policy->tombstone_ms : 0;
    default: return expires_at;
    }
}

/* ---------------------------------------------------------------- changing */

void entomb(struct record *record, int64_t now_ms) {
    record->kind = KIND_TOMBSTONE;
    record->buried_at = now_ms;
    record->is_unburied = false;
}

void bury(struct model *model, struct record *record, int64_t now_ms) {
    if (record->kind == KIND_RECORD) told_add(model, record, EVENT_DESTROYED, now_ms);
    entomb(record, now_ms);
}

/* It was written now, with a version that may not have been shown. */
void note_write(struct model *model, struct record *record, enum event_kind kind, int64_t now_ms) {
    record->writes++;
    record->is_made = false;
    record->is_deadline_told = false;
    record->version = 0;
    record->version_floor = model->version_max;
    record->written_at = now_ms;
    record->outlives_purge = true;
    told_write(model, record, kind, now_ms);
}

static enum event_kind kind_of_status(enum status status) {
    switch (status) {
    case STATUS_ACTIVE: return EVENT_ACTIVATED;
    case STATUS_ENDED: return EVENT_ENDED;
    case STATUS_REMOVED: return EVENT_REMOVED;
    case STATUS_REVOKED: return EVENT_REVOKED;
    case STATUS_ABANDONED: return EVENT_ABANDONED;
    default: return EVENT_REPLACED;
    }
}

void set_status(struct model *model, struct record *record, enum status status, const char *reason, const char *by,
                int64_t now_ms) {
    told_deadline(model, record, now_ms);
    record->status = status;
    record->is_unburied = false;
    record->status_at = status_is_living(status) ? 0 : now_ms;
    strcpy(record->reason, reason);
    strcpy(record->replaced_by, by);
    if (by[0] && strcmp(by, UNKNOWN_ID) != 0) name_of_id(model, record->namespace, by, record->replaced_by);
    note_write(model, record, kind_of_status(status), now_ms);
}

static int64_t cap(int64_t timeout_ms, int64_t max_ms) {
    if (max_ms == 0) return timeout_ms;
    return timeout_ms == 0 || timeout_ms > max_ms ? max_ms : timeout_ms;
}

static void set_timeout(int64_t *timeout_ms, const struct number *given, int64_t default_ms, int64_t max_ms) {
    if (given->is_given) *timeout_ms = cap(given->is_nil ? default_ms : given->value, max_ms);
}

void set_timeouts(struct record *record, const struct policy *policy, const struct call *call) {
    set_timeout(&record->idle_ms, &call->idle, policy->idle_timeout_ms, policy->max_idle_timeout_ms);
    set_timeout(&record->absolute_ms, &call->absolute, policy->absolute_timeout_ms, policy->max_absolute_timeout_ms);
    set_timeout(&record->abandon_ms, &call->abandon, policy->abandon_timeout_ms, 0);
}

void set_deadline(struct record *record, const struct policy *policy, int64_t moment) {
    int64_t max_ms = policy->max_absolute_timeout_ms;
    record->deadline = moment;
    if (moment && max_ms && moment > record->created_at + max_ms) record->deadline = record->created_at + max_ms;
    if (!moment) record->absolute_ms = cap(record->absolute_ms, max_ms);
}

void set_deadline_given(struct record *record, const struct policy *policy, const struct number *given) {
    if (!given->is_given) return;
    set_deadline(record, policy, given->is_nil ? 0 : given->value <= 0 ? 1 : given->value);
}

void set_text(char *member, const struct text *given) {
    if (given->is_given) strcpy(member, given->is_nil ? "" : given->bytes);
}

void set_blob(struct bytes *member, const struct blob *given) {
    if (given->is_given) *member = given->is_nil ? BYTES_ABSENT : given->value;
}

struct record begin_record(const struct policy *policy, int64_t now_ms) {
    return (struct record){.kind = KIND_RECORD,
                           .data = bytes_of(empty_map, 1),
                           .created_at = now_ms,
                           .last_active_at = now_ms,
                           .idle_ms = cap(policy->idle_timeout_ms, policy->max_idle_timeout_ms),
                           .absolute_ms = cap(policy->absolute_timeout_ms, policy->max_absolute_timeout_ms),
                           .abandon_ms = policy->abandon_timeout_ms,
                           .status = STATUS_ACTIVE};
}

const struct policy *policy_of(const struct model *model, const struct call *call) {
    return &model->namespaces[model_namespace(model, call->namespace)].policy;
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

/* By when they began; 0: that is not known, or they have no order. */
int compare_age(const struct record *a, const struct record *b) {
    if (a->created_at != b->created_at) return a->created_at < b->created_at ? -1 : 1;
    if (a->birth == BIRTH_UNKNOWN || b->birth == BIRTH_UNKNOWN || a->birth == b->birth) return 0;
    return a->birth < b->birth ? -1 : 1;
}

static void evict_one(struct model *model, unsigned namespace, const char *user, int64_t now_ms) {
    bool by_age = model->namespaces[namespace].policy.session_limit_policy == SESSION_LIMIT_POLICY_EVICT_OLDEST;
    struct record *chosen = NULL;
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->namespace != namespace || strcmp(record->user, user) || !is_alive(model, record, now_ms)) continue;
        int64_t idle = chosen && !by_age ? record->last_active_at - chosen->last_active_at : 0;
        if (!chosen || idle < 0 || (idle == 0 && compare_age(record, chosen) < 0)) chosen = record;
    }
    set_status(model, chosen, STATUS_REVOKED, "session_limit", "", now_ms);
}

/* With single_session, who signs in on a client replaces who was there. */
static void replace_on_client(struct model *model, unsigned namespace, const struct record *old,
                              const struct record *draft, const char *id, int64_t now_ms) {
    if (!model->namespaces[namespace].policy.single_session || !draft->client[0]) return;
    if (old && strcmp(old->client, draft->client) == 0) return;
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->namespace == namespace && record != old && strcmp(record->client, draft->client) == 0 &&
            is_alive(model, record, now_ms))
            set_status(model, record, STATUS_REPLACED, "", id, now_ms);
    }
}

void name_unknown(struct model *model, const char *id) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (strcmp(model->records[i].replaced_by, UNKNOWN_ID) == 0)
            name_of_id(model, model->records[i].namespace, id, model->records[i].replaced_by);
}

/* Whether the namespace's limits admit `draft` where `old` (alive, or NULL) stood; makes room where the policy says so.
 */
bool admit(struct model *model, unsigned namespace, const struct record *old, const struct record *draft,
           const char *id, int64_t now_ms) {
    const struct policy *policy = &model->namespaces[namespace].policy;
    if (lacks_memory(model, namespace, old, draft, id)) return false;
    model->refusal = "LIMIT";
    if (!status_is_living(record_status(draft, now_ms))) return true; /* born dead, it takes no place */
    if (!old && policy->max_sessions && model_count(model, namespace, now_ms) >= policy->max_sessions) return false;
    bool enters = draft->user[0] && (!old || strcmp(old->user, draft->user) != 0);
    while (enters && policy->max_sessions_per_user &&
           count_user(model, namespace, draft->user, now_ms) >= policy->max_sessions_per_user) {
        if (policy->session_limit_policy == SESSION_LIMIT_POLICY_REJECT) return false;
        evict_one(model, namespace, draft->user, now_ms);
    }
    replace_on_client(model, namespace, old, draft, id, now_ms);
    return true;
}

/* Whether a draft that enters a pool finds a place there: the oldest that is held, or a free one. */
bool admit_to_pool(struct model *model, unsigned namespace, const struct record *draft, bool is_forced,
                   int64_t now_ms) {
    struct pool_model *pool = make_pool(model, namespace, draft->pool);
    bool needs_place = !is_forced && draft->seat->usage_count < draft->seat->max_usage &&
                       draft->seat->score < draft->seat->max_score && status_is_living(record_status(draft, now_ms));
    return !needs_place || pool_has_place(model, pool, true, now_ms);
}

/* Stores the draft under namespace and id. */
struct record *publish(struct model *model, unsigned namespace, const char *id, const struct record *draft,
                       int64_t now_ms) {
    struct record *record = find_or_add(model, namespace, id);
    bool was_alive = record->writes > 0 && is_alive(model, record, now_ms);
    unsigned writes = record->writes;
    bool stays = was_alive && strcmp(record->client, draft->client) == 0;
    if (draft->client[0] && !stays) enter_client(model, namespace, draft->client, now_ms);
    if (writes > 0) told_deadline(model, record, now_ms);
    *record = *draft;
    record->writes = writes;
    if (!record->life) record->life = ++model->lives;
    if (!record->birth) record->birth = now_ms - record->created_at < BIRTH_LATE_MS ? ++model->births : BIRTH_LATE;
    record->namespace = namespace;
    strcpy(record->id, id);
    handle_of_id(model, id, record->handle);
    model->namespaces[namespace].existence = EXISTS_YES;
    note_write(model, record, was_alive ? EVENT_UPDATED : EVENT_CREATED, now_ms);
    return record;
}

/* ---------------------------------------------------------------- all of them */

static bool expect_watch(struct model *model, const struct answer *answer) {
    if (!expect_ok(model, answer)) return false;
    return integer_of(map_value(answer->result, "watch")) == (int64_t)model->watch_number ||
           complain(model, "the watch should be number %llu", (unsigned long long)model->watch_number);
}

static bool expect_now(struct model *model, const struct answer *answer) {
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && (integer_of(map_value(answer->result, "now")) == model->moment ||
                                        complain(model, "now should be %lld", (long long)model->moment));
}

static bool expect_hello(struct model *model, const struct call *call, const struct answer *answer) {
    if (call->has_version && call->version != PROTOCOL_VERSION) return expect_error(model, answer, "BAD_REQUEST");
    if (!answer->error.data) return true;
    if (!expect_now(model, answer)) return false;
    struct mp_cursor name = mp_cursor_of(map_value(answer->result, "namespace"));
    return (integer_of(map_value(answer->result, "version")) == PROTOCOL_VERSION &&
            bytes_equal(mp_read_bytes(&name), bytes_of_string(call->namespace))) ||
           complain(model, "version and namespace should be what hello said");
}

static bool execute(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    bool is_expected, contradicts = call->op == OP_SESSION_TOUCH && touch_contradicts(call);
    if (call->form == ID_COOKIE && !contradicts && !cookie_admits(model, call, answer, &is_expected))
        return is_expected;
    if (call->op > OP_SERVER_STATS && call->op != OP_NAMESPACE_LIST &&
        !hashed_admits(model, call, answer, &is_expected))
        return is_expected;
    switch (call->op) {
    case OP_SERVER_HELLO: return expect_hello(model, call, answer);
    case OP_SERVER_PING: return expect_now(model, answer);
    case OP_SERVER_STATS: return expect_ok(model, answer);
    case OP_SERVER_PURGING: return do_purging(model, call, now_ms, answer);
    case OP_SESSION_VALIDATE: return do_validate(model, call, now_ms, answer);
    case OP_SESSION_ROTATE: return do_rotate(model, call, now_ms, answer);
    case OP_WATCH_START: return expect_watch(model, answer);
    case OP_WATCH_STOP: return expect_bool(model, answer, true);
    case OP_COOKIE_SIGN:
    case OP_COOKIE_UNSIGN:
    case OP_COOKIE_HEADER: return do_cookie(model, call, now_ms, answer);
    case OP_CLIENT_GET:
    case OP_CLIENT_ACTIVATE:
    case OP_CLIENT_DESTROY: return do_client(model, call, now_ms, answer);
    case OP_SESSION_CREATE: return do_create(model, call, now_ms, answer);
    case OP_POOL_CONFIGURE:
    case OP_POOL_INFO: return do_pool_configure(model, call, now_ms, answer);
    case OP_POOL_RESET: return do_pool_reset(model, call, now_ms, answer);
    case OP_POOL_STATE: return do_pool_state(model, call, now_ms, answer);
    case OP_POOL_LOAD: return do_load(model, call, now_ms, answer);
    case OP_POOL_ADD: return do_add(model, call, now_ms, answer);
    case OP_POOL_ACQUIRE: return do_acquire(model, call, now_ms, answer);
    case OP_POOL_MARK: return do_mark(model, call, now_ms, answer);
    case OP_POOL_RELEASE: return do_release(model, call, now_ms, answer);
    case OP_POOL_RENEW: return do_renew(model, call, now_ms, answer);
    case OP_SESSION_GET: return do_get(model, call, now_ms, answer);
    case OP_SESSION_GET_MANY: return do_get_many(model, call, now_ms, answer);
    case OP_SESSION_TAKE: return do_take(model, call, now_ms, answer);
    case OP_SESSION_SET: return do_set(model, call, now_ms, answer);
    case OP_SESSION_PATCH: return do_patch(model, call, now_ms, answer);
    case OP_SESSION_TOUCH: return do_touch(model, call, now_ms, answer);
    case OP_SESSION_DESTROY: return do_destroy(model, call, now_ms, answer);
    case OP_SESSION_REGENERATE: return do_regenerate(model, call, now_ms, answer);
    case OP_SESSION_ACTIVATE:
    case OP_SESSION_END:
    case OP_SESSION_REMOVE:
    case OP_SESSION_REVOKE:
    case OP_SESSION_ABANDON:
    case OP_SESSION_REPLACE: return do_status(model, call, now_ms, answer);
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

/* Callers count by the wall clock: what they give is put on the server's when it comes. */
static const struct call *on_servers_clock(struct model *model, const struct call *call) {
    if (!model->clock_offset_ms || (!call->deadline.is_given && !call->created_at.is_given)) return call;
    struct call *put = model_alloc(model, sizeof *put);
    model->on_clock++;
    *put = *call;
    put->deadline.value += model->clock_offset_ms;
    put->created_at.value += model->clock_offset_ms;
    return put;
}

bool call_sweeps(const struct call *call) {
    uint64_t keeps = POLICY_RETENTION_MS | POLICY_TOMBSTONE_MS;
    return call->op == OP_SESSION_CLEAR || call->op == OP_SESSION_PURGE ||
           (call->op == OP_NAMESPACE_CONFIGURE && call->change.given & keeps);
}

const char *model_execute(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    if (model->pool_count && model_pass_time(model, now_ms)) return model->complaint;
    model->expects_token = false;
    model->call = call;
    model->answer = answer;
    model->moment = now_ms;
    bool has_namespace = call->op > OP_SERVER_STATS && call->op != OP_NAMESPACE_LIST;
    unsigned place = has_namespace ? model_namespace(model, call->namespace) : 0;
    bool was_none = has_namespace && model->namespaces[place].existence == EXISTS_NO;
    bool is_lacking = has_namespace && lacks_namespace(model, place);
    bool is_expected = is_lacking || execute(model, on_servers_clock(model, call), now_ms, answer);
    if (is_expected && was_none && model->namespaces[place].existence == EXISTS_YES)
        is_expected = admits_namespace(model, place);
    is_expected = is_expected && serve_waiters(model, now_ms);
    model->answer = &no_answer;
    if (call_sweeps(call)) {
        struct namespace_model *swept = &model->namespaces[model_namespace(model, call->namespace)];
        swept->swept_at = now_ms;
        swept->sweeps_ahead -= swept->sweeps_ahead > 0;
    }
    if (call->op > OP_SERVER_STATS && call->op != OP_NAMESPACE_LIST && op_infos[call->op].is_write &&
        call->op != OP_NAMESPACE_DROP) {
        struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
        if (is_lacking)
        namespace->existence = EXISTS_NO;
        else if (namespace->existence == EXISTS_NO) namespace->existence = EXISTS_MAYBE;
    }
    return is_expected ? NULL : model->complaint;
}
