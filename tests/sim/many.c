/* Operations on groups and namespaces. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <string.h>

/* ---------------------------------------------------------------- operations on many */

/* Whether a record is in the group, or in the namespace where none is named. */
static bool is_member(const struct model *model, const struct record *record, unsigned namespace,
                      const struct call *call) {
    if (record->namespace != namespace || record->kind != KIND_RECORD) return false;
    if (call->user.is_given) return strcmp(record->user, call->user.bytes) == 0;
    if (call->client.is_given) return strcmp(record->client, call->client.bytes) == 0;
    if (call->in_pool.is_given) return strcmp(record->pool, call->in_pool.bytes) == 0;
    return strncmp(name_of(model, record), call->prefix, strlen(call->prefix)) == 0;
}

bool is_listed(const struct model *model, const struct record *record, const struct call *call, int64_t now_ms) {
    if (!is_member(model, record, model_namespace(model, call->namespace), call)) return false;
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
        if (record->namespace != namespace || record->kind != KIND_RECORD || !status_is_living(record->status))
            continue;
        if (record->seat && record->seat->retired_at && !is_alive(model, record, now_ms) &&
            record->seat->retired_at + model->namespaces[namespace].policy.retention_ms >= model->reaped_until) {
            count++;
            continue;
        }
        count += !is_alive(model, record, now_ms) &&
                 (record_died_at(record, now_ms) > model->reaped_until || record->written_at >= model->reaped_until);
    }
    return count;
}

static bool expect_whole_count(struct model *model, const struct call *call, int64_t now_ms, int64_t got) {
    unsigned namespace = model_namespace(model, call->namespace);
    int64_t living = (int64_t)model_count(model, namespace, now_ms);
    int64_t unreaped = (int64_t)count_unreaped(model, namespace, now_ms);
    int64_t coming = model->made_at == now_ms ? model->made_count : 0;
    return (got >= living - coming && got <= living + unreaped) ||
           complain(model, "should count %lld, and up to %lld not reaped yet, not %lld", (long long)living,
                    (long long)unreaped, (long long)got);
}

bool do_count(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    if (call->user.is_given || call->client.is_given || call->in_pool.is_given)
        return expect_integer(model, answer, (int64_t)model_count_listed(model, call, now_ms));
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && expect_whole_count(model, call, now_ms, integer_of(answer->result));
}

bool expect_page(struct model *model, const struct call *call, int64_t now_ms, struct bytes sessions,
                 struct record **page, uint32_t *count) {
    bool is_group = call->user.is_given || call->client.is_given || call->in_pool.is_given;
    unsigned namespace = model_namespace(model, call->namespace);
    struct mp_cursor cursor = mp_cursor_of(sessions);
    *count = mp_read_array(&cursor);
    for (uint32_t i = 0; i < *count; i++) {
        char id[ID_TEXT_MAX] = "";
        struct bytes encoded = mp_read_value(&cursor, MP_DEPTH_MAX);
        struct mp_cursor text = mp_cursor_of(map_value(encoded, name_key(model, namespace)));
        struct bytes name = mp_read_bytes(&text);
        if (!name.data || name.size >= ID_TEXT_MAX) return complain(model, "a listed session without its id");
        memcpy(id, name.data, name.size);
        page[i] = find_named(model, namespace, id);
        if (!page[i] || !is_listed(model, page[i], call, now_ms)) return complain(model, "%s should not be listed", id);
        for (uint32_t k = 0; k < i; k++)
            if (page[k] == page[i]) return complain(model, "%s is listed twice", id);
        if (!compare_record(model, page[i], page[i]->id, call->fields ? call->fields : FIELDS_OF_LISTS, now_ms,
                            encoded))
            return false;
        int step = i == 0 ? 0 : compare_age(page[i], page[i - 1]);
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
        int step = count ? compare_age(record, page[count - 1]) : 0;
        if (!is_on_page && (call->oldest_first ? step < 0 : step > 0))
            return complain(model, "%s was passed over", record->id);
    }
    return true;
}

bool do_list(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    static struct record *page[1000];
    if (!expect_ok(model, answer)) return false;
    if (!answer->error.data) return true;
    bool is_group = call->user.is_given || call->client.is_given || call->in_pool.is_given,
         is_first = bytes_is_absent(call->cursor);
    bool has_end = is_nil(map_value(answer->result, "cursor"));
    uint64_t matching = model_count_listed(model, call, now_ms);
    uint32_t count;
    if (!expect_page(model, call, now_ms, map_value(answer->result, "sessions"), page, &count)) return false;
    if (count > (call->limit ? call->limit : 100)) return complain(model, "%u sessions on a page", count);
    /* Those that are made for who waits may be on their way. */
    uint64_t coming = model->made_at == now_ms ? (uint64_t)model->made_count : 0;
    if (is_first && has_end && (count > matching || count + coming < matching))
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

bool do_revoke_all(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    int64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (!is_listed(model, record, call, now_ms) || is_excepted(call, record->id)) continue;
        set_status(model, record, STATUS_REVOKED, call->reason, "", now_ms);
        count++;
    }
    return expect_integer(model, answer, count);
}

/* ---------------------------------------------------------------- operations on a namespace */

bool do_clear(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    int64_t living = (int64_t)model_count(model, namespace, now_ms);
    int64_t unreaped = (int64_t)count_unreaped(model, namespace, now_ms);
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->namespace != namespace || record->kind == KIND_TOMBSTONE) continue;
        enum stands stands = judge(model, record, now_ms);
        if (stands == STANDS_ALIVE || stands == STANDS_DEAD || stands == STANDS_ALIAS) bury(model, record, now_ms);
    }
    if (!answer->error.data) return true;
    int64_t got = integer_of(answer->result);
    return expect_ok(model, answer) && ((got >= living && got <= living + unreaped) ||
                                        complain(model, "should have cleared %lld", (long long)living));
}

/* How many there were counts the dead of a namespace, which may lag as the living do: only its effect is compared. */
bool do_purge(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    purge_namespace(model, namespace, now_ms);
    return expect_ok(model, answer);
}

bool do_drop(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    struct namespace_model *dropped = &model->namespaces[namespace];
    enum existence existence = dropped->existence;
    told_drop(model, namespace, now_ms);
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace) {
            model->records[i].kind = KIND_TOMBSTONE;
            model->records[i].buried_at = INT64_MIN / 2;
        }
    for (unsigned i = 0; i < model->pool_count; i++)
        if (model->pools[i].namespace == namespace) {
            model->pools[i].policy = pool_policy_defaults;
            model->pools[i].is_configured = false;
            model->pools[i].hold_count = 0;
        }
    if (!end_waiters(model, namespace)) return false;
    dropped->existence = EXISTS_NO;
    dropped->policy = policy_defaults;
    dropped->secret_count = 0;
    dropped->purged_at = 0;
    dropped->is_purging = false;
    dropped->purge_interval_ms = 0;
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

/* What is forgotten by now stays so, however long the next policy keeps the dead and the destroyed. */
static void forget_for_good(struct model *model, unsigned namespace) {
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->namespace != namespace || record->seat) continue;
        enum stands stands = judge(model, record, model->moment);
        if (stands == STANDS_ALIVE) continue;
        record->is_forgotten |= stands == STANDS_NOTHING || stands == STANDS_TOMBSTONE;
        record->is_unburied |= !is_covered(model, record, model->moment);
    }
}

bool do_configure(struct model *model, const struct call *call, const struct answer *answer) {
    struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
    const uint64_t given = call->change.given & ~call->change.nil;
    if (given & POLICY_COOKIE && !cookie_is_good(&call->change.values.cookie))
        return expect_error(model, answer, "BAD_REQUEST");
    if (hashed_changes(model, call, answer)) return expect_error(model, answer, "CONFLICT");
    forget_for_good(model, (unsigned)(namespace - model->namespaces));
    policy_apply(&namespace->policy, &call->change);
    namespace->existence = EXISTS_YES;
    if (call->change.given & POLICY_COOKIE_SECRETS) {
        namespace->secret_count = given & POLICY_COOKIE_SECRETS ? call->secret_count : 0;
        memcpy(namespace->secrets, call->secrets, sizeof namespace->secrets);
    }
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && expect_policy(model, &namespace->policy, answer->result);
}

bool do_describe(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    if (is_nil(answer->result)) return namespace->existence != EXISTS_YES || complain(model, "should not be nil");
    if (namespace->existence == EXISTS_NO) return complain(model, "should be nil");
    return expect_policy(model, &namespace->policy, map_value(answer->result, "policy")) &&
           expect_bytes(model, (unsigned)(namespace - model->namespaces), map_value(answer->result, "bytes")) &&
           expect_purging(model, namespace, map_value(answer->result, "purging")) &&
           expect_whole_count(model, call, now_ms, integer_of(map_value(answer->result, "sessions")));
}

bool do_list_names(struct model *model, const struct answer *answer) {
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
