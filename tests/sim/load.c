/* pool.load in the model: each record by itself, as pool.add would take it, as long as there is room. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"

#include <string.h>

/* What a record says under `key`; absent: nothing, or nil. */
static struct bytes said(struct bytes record, const char *key) {
    struct bytes value = map_value(record, key);
    return value.data && !is_nil(value) ? value : BYTES_ABSENT;
}

static void read_text(struct bytes record, const char *key, char *text, size_t capacity) {
    struct bytes value = said(record, key);
    struct mp_cursor cursor = mp_cursor_of(value);
    struct bytes bytes = value.data ? mp_read_bytes(&cursor) : bytes_of("", 0);
    text[0] = 0;
    if (!bytes.data || bytes.size >= capacity) return;
    memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = 0;
}

static struct number read_number(struct bytes record, const char *key) {
    struct bytes value = said(record, key);
    return (struct number){.is_given = value.data != NULL, .value = value.data ? integer_of(value) : 0};
}

static void read_count(struct bytes record, const char *key, uint64_t *count) {
    struct number number = read_number(record, key);
    if (number.is_given) *count = (uint64_t)number.value;
}

static void read_score(struct bytes record, const char *key, double *score) {
    struct bytes value = said(record, key);
    struct mp_cursor cursor = mp_cursor_of(value);
    if (value.data) *score = mp_read_double(&cursor);
}

static unsigned read_tags(struct bytes record) {
    struct bytes value = said(record, "tags");
    struct mp_cursor cursor = mp_cursor_of(value);
    unsigned tags = 0;
    for (uint32_t left = value.data ? mp_read_array(&cursor) : 0; left > 0; left--)
        tags |= 1u << (mp_read_bytes(&cursor).data[1] - '0');
    return tags;
}

/* A moment that a caller gives, on the server's clock. */
static int64_t on_clock(const struct model *model, int64_t given) {
    int64_t moment = given + model->clock_offset_ms;
    return moment <= 0 ? 1 : moment;
}

/* Whether it says itself that it is not usable. */
static bool is_over(struct bytes record) {
    char status[16];
    read_text(record, "status", status, sizeof status);
    struct bytes retired = map_value(record, "retired");
    return (map_value(record, "status").data && strcmp(status, "active") != 0) ||
           (retired.data && !bytes_equal(retired, bytes_of("\xc2", 1)));
}

/* As a session that begins now in the pool, but for what the record says. */
static struct record read_draft(struct model *model, const struct call *call, struct bytes record, int64_t now_ms) {
    const struct policy *policy = policy_of(model, call);
    struct record draft = begin_record(policy, now_ms);
    struct call given = {.op = call->op,
                         .idle = read_number(record, "idle_timeout_ms"),
                         .absolute = read_number(record, "absolute_timeout_ms"),
                         .abandon = read_number(record, "abandon_timeout_ms")};
    struct number created_at = read_number(record, "created_at"), deadline = read_number(record, "absolute_expires_at");
    strcpy(given.namespace, call->namespace);
    read_text(record, "user", draft.user, sizeof draft.user);
    read_text(record, "client", draft.client, sizeof draft.client);
    if (map_value(record, "data").data) draft.data = map_value(record, "data");
    draft.meta = said(record, "meta");
    if (created_at.is_given) draft.created_at = on_clock(model, created_at.value);
    if (draft.created_at > now_ms) draft.created_at = now_ms; /* of a clock that was ahead */
    enter_pool(model, &given, &draft, call->pool);
    draft.tags = read_tags(record);
    struct seat *seat = draft.seat;
    read_count(record, "usage_count", &seat->usage_count);
    read_count(record, "error_count", &seat->error_count);
    read_count(record, "max_usage_count", &seat->max_usage);
    read_score(record, "error_score", &seat->score);
    read_score(record, "max_error_score", &seat->max_score);
    read_score(record, "error_score_decrement", &seat->decrement);
    if (deadline.is_given) set_deadline(&draft, policy, on_clock(model, deadline.value));
    return draft;
}

static bool is_usable(const struct record *draft, int64_t now_ms) {
    return status_is_living(record_status(draft, now_ms)) && draft->seat->usage_count < draft->seat->max_usage &&
           draft->seat->score < draft->seat->max_score;
}

enum loaded { LOADED, LEFT_OUT, FULL, REFUSED, WRONG };

/* REFUSED: the whole call is, with model->refusal. */
static enum loaded load_one(struct model *model, const struct call *call, struct bytes encoded, int64_t now_ms,
                            const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    char id[ID_TEXT_MAX];
    if (is_over(encoded)) return LEFT_OUT;
    read_text(encoded, "id", id, sizeof id);
    model->refusal = "FORBIDDEN";
    if (policy_of(model, call)->strict_ids) return REFUSED;
    const struct record *there = find(model, namespace, id);
    if (there && judge(model, there, now_ms) != STANDS_NOTHING) return LEFT_OUT;
    struct record draft = read_draft(model, call, encoded, now_ms);
    if (!is_usable(&draft, now_ms)) return LEFT_OUT;
    model->refusal = "LIMIT";
    if (!admit_to_pool(model, namespace, &draft, false, now_ms) && !lacks_memory(model, namespace, NULL, &draft, id))
        return answer_is_refused(answer, "LIMIT") ? REFUSED : FULL; /* which of two limits is named is not laid down */
    if (!admit(model, namespace, NULL, &draft, id, now_ms)) return REFUSED;
    publish(model, namespace, id, &draft, now_ms);
    take_oldest_hold(make_pool(model, namespace, call->pool));
    model->loaded++;
    /* What a later one of the same load may replace at once was not answered before that. */
    bool may_be_replaced = policy_of(model, call)->single_session && draft.client[0];
    return may_be_replaced || serve_waiters(model, now_ms) ? LOADED : WRONG;
}

bool do_load(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct mp_cursor cursor = mp_cursor_of(call->records);
    int64_t count = 0;
    if (call->record_refusal) return expect_error(model, answer, call->record_refusal);
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--) {
        switch (load_one(model, call, mp_read_value(&cursor, MP_DEPTH_MAX), now_ms, answer)) {
        case LOADED: count++; break;
        case LEFT_OUT: break;
        case FULL: return expect_integer(model, answer, count);
        case REFUSED: return expect_error(model, answer, model->refusal);
        case WRONG: return false;
        }
    }
    return serve_waiters(model, now_ms) && expect_integer(model, answer, count);
}
