/* pool.acquire in the model: who may be handed out, and whether the server chose one of them. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <assert.h>
#include <string.h>

static struct pool_model *pool_of(struct model *model, const struct call *call) {
    return make_pool(model, model_namespace(model, call->namespace), call->pool);
}

static bool is_leased(const struct call *call) {
    return call->lease.is_given && !call->lease.is_nil && call->lease.value > 0;
}

static unsigned open_count(const struct seat *seat) {
    unsigned count = 0;
    for (unsigned i = 0; i < seat->use_count; i++) count += seat->uses[i].is_open;
    return count;
}

static bool is_free(const struct pool_model *pool, const struct record *record) {
    const struct seat *seat = record->seat;
    unsigned count = open_count(seat);
    if (seat->leased_until || seat->ready_at) return false;
    return !pool->policy.max_concurrent || count < pool->policy.max_concurrent;
}

/* Whether the record may be handed out to this call, but for the strategy. */
static bool may_have(struct model *model, const struct call *call, const struct record *record, int64_t now_ms,
                     struct record *const *taken, unsigned taken_count) {
    const struct pool_model *pool = pool_of(model, call);
    if (record->namespace != pool->namespace || strcmp(record->pool, pool->name) != 0) return false;
    if (!seat_is_usable(model, record, now_ms) || !is_free(pool, record)) return false;
    if (call->has_tags && (call->tags & ~record->tags)) return false;
    for (unsigned i = 0; i < taken_count; i++)
        if (taken[i] == record) return false;
    return !call->id[0] || strcmp(call->id, record->id) == 0;
}

static bool has_one(struct model *model, const struct call *call, int64_t now_ms, struct record *const *taken,
                    unsigned taken_count) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (may_have(model, call, &model->records[i], now_ms, taken, taken_count)) return true;
    return false;
}

static enum pool_strategy strategy_of(struct model *model, const struct call *call) {
    return call->has_strategy ? call->strategy : pool_of(model, call)->policy.strategy;
}

/* Whether the namespace admits one more session of the pool's own making. */
static bool may_make(struct model *model, const struct call *call, int64_t now_ms) {
    struct record draft = begin_record(policy_of(model, call), now_ms);
    return admit(model, model_namespace(model, call->namespace), NULL, &draft, UNKNOWN_ID, now_ms);
}

enum offer acquire_offer(struct model *model, const struct call *call, int64_t now_ms, struct record *const *taken,
                         unsigned taken_count) {
    const struct pool_model *pool = pool_of(model, call);
    bool has = has_one(model, call, now_ms, taken, taken_count);
    if (call->id[0]) return has ? OFFER_SESSION : OFFER_NOTHING;
    if (has && strategy_of(model, call) == POOL_STRATEGY_USE_UNTIL_FAILURE) return OFFER_SESSION;
    /* What the pool would make itself could never be handed out; what a caller adds may have limits of its own. */
    bool is_useless =
        call->making == POOL_CREATE_AUTO && (pool->policy.max_usage_count == 0 || pool->policy.max_error_score <= 0);
    /* A namespace that admits no more still has those that are there. */
    bool may_create = call->making == POOL_CREATE_ASK || !has || may_make(model, call, now_ms);
    if (call->making != POOL_CREATE_NEVER && !is_useless && may_create && pool_has_place(model, pool, false, now_ms))
        return call->making == POOL_CREATE_AUTO ? OFFER_CREATE : OFFER_ASK;
    return has ? OFFER_SESSION : OFFER_NOTHING;
}

/* Whether another one would have been the strategy's choice. */
static bool is_passed_over(struct model *model, const struct call *call, const struct record *chosen,
                           const struct record *other) {
    const struct seat *one = chosen->seat, *better = other->seat;
    if (model->mixed_at && one->last_used_at == model->mixed_at && better->last_used_at == model->mixed_at)
        return false;
    switch (strategy_of(model, call)) {
    case POOL_STRATEGY_LEAST_USED: return better->usage_count < one->usage_count;
    case POOL_STRATEGY_ROUND_ROBIN:
    case POOL_STRATEGY_LEAST_RECENT: return better->order < one->order;
    case POOL_STRATEGY_USE_UNTIL_FAILURE: return better->order > one->order;
    default: return false;
    }
}

static bool is_right_choice(struct model *model, const struct call *call, const struct record *chosen, int64_t now_ms,
                            struct record *const *taken, unsigned taken_count) {
    if (call->id[0]) return true;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *other = &model->records[i];
        if (may_have(model, call, other, now_ms, taken, taken_count) && is_passed_over(model, call, chosen, other))
            return complain(model, "%s should have been chosen before %s", other->id, chosen->id);
    }
    return true;
}

static uint64_t number_of(struct bytes map, const char *name) {
    struct bytes value = map_value(map, name);
    return value.data ? (uint64_t)integer_of(value) : 0;
}

/* Takes the hand-out's numbers from the answer, and counts it. */
static bool hand_out(struct model *model, const struct call *call, struct record *record, int64_t now_ms,
                     struct bytes encoded) {
    struct seat *seat = record->seat;
    uint64_t number = number_of(encoded, "use"), fence = number_of(encoded, "fence");
    if (!number || use_find(seat, number))
        return complain(model, "use %llu was given before", (unsigned long long)number);
    if (is_leased(call) != (fence != 0)) return complain(model, "a fence belongs to a lease");
    if (fence && fence <= seat->fence) return complain(model, "the fence should have grown");
    assert(seat->use_count < USES_MAX);
    seat->uses[seat->use_count++] = (struct use){.number = number, .fence = fence, .is_open = true};
    if (fence) {
        seat->fence = fence;
        seat->leased_use = number;
        seat->leased_until = now_ms + call->lease.value;
    }
    seat->order = model->orders;
    seat->usage_count++;
    seat->last_used_at = now_ms;
    seat->is_spent = seat->usage_count >= seat->max_usage;
    seat_cool(model, record, now_ms);
    int64_t thin_ms = policy_of(model, call)->touch_after_ms;
    if (record->idle_ms && record->idle_ms / 16 < thin_ms) thin_ms = record->idle_ms / 16;
    if (now_ms - record->last_active_at >= thin_ms && now_ms > record->last_active_at) record->last_active_at = now_ms;
    return true;
}

static bool take_id(struct model *model, struct bytes encoded, char *id) {
    struct mp_cursor cursor = mp_cursor_of(map_value(encoded, "id"));
    struct bytes name = mp_read_bytes(&cursor);
    if (!name.data || name.size >= ID_TEXT_MAX) return complain(model, "a hand-out without its id");
    memcpy(id, name.data, name.size);
    id[name.size] = 0;
    return true;
}

static struct record *make_session(struct model *model, const struct call *call, int64_t now_ms, const char *id) {
    unsigned namespace = model_namespace(model, call->namespace);
    struct record draft = begin_record(policy_of(model, call), now_ms);
    struct call plain = {.op = call->op};
    strcpy(plain.namespace, call->namespace);
    if (strlen(id) != 30 || strncmp(id, "session_", 8) != 0 || find(model, namespace, id)) {
        complain(model, "%s is no new id of a pool", id);
        return NULL;
    }
    enter_pool(model, &plain, &draft, call->pool);
    draft.tags = call->has_tags ? call->tags : 0;
    if (model->made_at != now_ms) model->made_count = 0;
    model->made_at = now_ms;
    model->made_count++;
    struct record *record = publish(model, namespace, id, &draft, now_ms);
    record->is_made = true;
    record->version_floor = 0; /* others may have been written since it was made */
    record->birth = BIRTH_UNKNOWN;
    return record;
}

static bool has_spent(struct record *const *taken, unsigned taken_count) {
    for (unsigned i = 0; i < taken_count; i++)
        if (taken[i]->seat->is_spent) return true;
    return false;
}

/* Whether somebody who waits for the pool may have had the last use of one that this answer holds, and so made room for
 * the next: that is answered behind it, and the model does not know of it yet. */
static bool may_be_spent(struct model *model, const struct call *call, int64_t now_ms, struct record *const *taken,
                         unsigned taken_count) {
    for (unsigned i = 0; i < model->waiter_count; i++) {
        const struct call *waiting = model->waiters[i].call;
        if (pool_of(model, waiting) != pool_of(model, call)) continue;
        for (unsigned k = 0; k < taken_count; k++)
            if (taken[k]->seat->usage_count + 1 >= taken[k]->seat->max_usage &&
                may_have(model, waiting, taken[k], now_ms, NULL, 0))
                return true;
    }
    return false;
}

/* A place was given to who waits, and its session is made at the end of the turn: what others ask for in between may
 * have changed the policies that it is made by, or not. */
static bool is_of_unknown_policy(struct model *model) {
    return model->is_waiter && model->has_policy_ahead;
}

/* Of several who wait at once each may be given a place before the session is made that the place of the first is for,
 * also by a strategy that would rather have had that session. */
static bool may_have_preceded(struct model *model, const struct call *call, int64_t now_ms) {
    if (!model->is_waiter || model->made_at != now_ms || call->making != POOL_CREATE_AUTO) return false;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (may_have(model, call, record, now_ms, NULL, 0) && !(record->is_made && record->created_at == now_ms))
            return false;
    }
    return pool_has_place(model, pool_of(model, call), false, now_ms) && may_make(model, call, now_ms);
}

/* One hand-out of an answer. */
static bool serve_one(struct model *model, const struct call *call, int64_t now_ms, struct bytes encoded,
                      enum offer offer, struct record **taken, unsigned taken_count) {
    char id[ID_TEXT_MAX];
    struct record *record;
    if (!take_id(model, encoded, id)) return false;
    record = find(model, model_namespace(model, call->namespace), id);
    /* A place that is given up within the call may be free for whoever comes next only. */
    bool may_be_there =
        has_spent(taken, taken_count) || may_lack_memory(model, model_namespace(model, call->namespace));
    bool is_made = offer == OFFER_CREATE && !(record && may_be_there);
    if (!record && call->making == POOL_CREATE_AUTO && may_be_spent(model, call, now_ms, taken, taken_count))
        is_made = true;
    if (!record && offer == OFFER_SESSION && may_have_preceded(model, call, now_ms)) is_made = true;
    if (is_made && is_of_unknown_policy(model)) {
        model->is_lost = true;
        return complain(model, "%s may be by an older policy or by a newer one", id);
    }
    if (is_made) {
        record = make_session(model, call, now_ms, id);
        if (!record) return false;
    } else {
        if (!record || !may_have(model, call, record, now_ms, taken, taken_count))
            return complain(model, "%s may not be handed out", id);
        if (!is_right_choice(model, call, record, now_ms, taken, taken_count)) return false;
    }
    taken[taken_count] = record;
    return hand_out(model, call, record, now_ms, encoded);
}

/* The fields of the record itself, and beside them use and fence. */
static bool compare_hand_out(struct model *model, const struct call *call, struct record *record, int64_t now_ms,
                             struct bytes encoded) {
    uint64_t fields = call->fields ? call->fields : FIELDS_DEFAULT;
    return compare_record(model, record, record->id, fields, now_ms, encoded);
}

static bool expect_nobody(struct model *model, const struct call *call, enum offer offer, int64_t now_ms,
                          const struct answer *answer) {
    struct pool_model *pool = pool_of(model, call);
    if (call->id[0]) return expect_nil(model, answer);
    if (offer == OFFER_NOTHING) return expect_error(model, answer, "EXHAUSTED");
    if (!expect_error(model, answer, "CREATE_NEEDED")) return false;
    assert(pool->hold_count < HOLDS_MAX);
    pool->holds[pool->hold_count++] = now_ms + LIMIT_PLACE_HOLD_MS;
    model->namespaces[pool->namespace].existence = EXISTS_YES;
    return true;
}

/* An answer that grows long ends early: what was already taken for it goes back, its number does not. */
static void note_given_back(struct model *model, const struct call *call, int64_t now_ms, struct record *const *taken,
                            unsigned taken_count) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (may_have(model, call, &model->records[i], now_ms, taken, taken_count))
            model->records[i].seat->has_given_back = true;
}

bool acquire_serve(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct record *taken[100] = {NULL};
    enum offer offer = acquire_offer(model, call, now_ms, taken, 0);
    unsigned wanted = call->count ? call->count : 1, count = 0;
    if (offer == OFFER_NOTHING || offer == OFFER_ASK) return expect_nobody(model, call, offer, now_ms, answer);
    if (offer == OFFER_CREATE && !may_make(model, call, now_ms)) return expect_error(model, answer, model->refusal);
    /* Who waits may be served as soon as the first of several is made, and before the others are. */
    bool is_between = model->mixed_at == now_ms;
    if (wanted > 1) model->mixed_at = now_ms;
    model->orders++; /* those of one call come in no order */
    if (!expect_ok(model, answer)) return false;
    if (is_nil(answer->result)) return complain(model, "somebody should be handed out");
    struct mp_cursor cursor = mp_cursor_of(answer->result);
    uint32_t got = call->count ? mp_read_array(&cursor) : 1;
    struct bytes encoded[100];
    size_t bytes = 0;
    bool has_spent = false; /* a place that is given up within the call may be free for the next one only */
    if (got > wanted) return complain(model, "%u hand-outs", got);
    for (; count < got; count++) {
        encoded[count] = call->count ? mp_read_value(&cursor, MP_DEPTH_MAX) : answer->result;
        if (count > 0) offer = acquire_offer(model, call, now_ms, taken, count);
        if (!serve_one(model, call, now_ms, encoded[count], offer, taken, count)) return false;
        bytes += taken[count]->data.size + taken[count]->meta.size;
        has_spent |= taken[count]->seat->is_spent;
    }
    if (count < wanted && bytes >= 100) note_given_back(model, call, now_ms, taken, count);
    for (unsigned i = 0; i < count; i++)
        if (!compare_hand_out(model, call, taken[i], now_ms, encoded[i])) return false;
    if (count == wanted || bytes >= 100 || has_spent || is_between)
        return true; /* it may stop where its answer grows long */
    offer = acquire_offer(model, call, now_ms, taken, count);
    bool is_end = may_lack_memory(model, model_namespace(model, call->namespace)) || offer == OFFER_NOTHING ||
                  offer == OFFER_ASK || !may_make(model, call, now_ms);
    return is_end || complain(model, "only %u of %u were handed out", count, wanted);
}

bool do_acquire(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    if (answer->error.data) return acquire_serve(model, call, now_ms, answer);
    struct record *nobody[1] = {NULL};
    if (acquire_offer(model, call, now_ms, nobody, 0) != OFFER_NOTHING)
        return complain(model, "this acquire should not have had to wait");
    assert(model->waiter_count < WAITERS_MAX);
    model->waiters[model->waiter_count++] =
        (struct waiter){.call = call, .peer = model->asker, .until = now_ms + call->wait.value};
    return true;
}
