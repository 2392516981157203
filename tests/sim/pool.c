/* Pools in the model: who is usable, what a mark costs, and what pool.info and pool.state say. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <assert.h>
#include <string.h>

struct pool_model *find_pool(struct model *model, unsigned namespace, const char *name) {
    for (unsigned i = 0; i < model->pool_count; i++)
        if (model->pools[i].namespace == namespace && strcmp(model->pools[i].name, name) == 0) return &model->pools[i];
    return NULL;
}

struct pool_model *make_pool(struct model *model, unsigned namespace, const char *name) {
    struct pool_model *pool = find_pool(model, namespace, name);
    if (pool) return pool;
    assert(model->pool_count < POOLS_MAX);
    pool = &model->pools[model->pool_count++];
    *pool = (struct pool_model){.namespace = namespace, .policy = pool_policy_defaults};
    strcpy(pool->name, name);
    return pool;
}

/* ---------------------------------------------------------------- one session */

static bool is_worn(const struct seat *seat) {
    return seat->usage_count >= seat->max_usage || seat->score >= seat->max_score;
}

bool seat_is_usable(const struct model *model, const struct record *record, int64_t now_ms) {
    const struct seat *seat = record->seat;
    return record->kind == KIND_RECORD && seat && !seat->retired_at && !seat->is_spent && !is_worn(seat) &&
           is_alive(model, record, now_ms);
}

struct seat *seat_new(struct model *model, const struct pool_policy *policy) {
    struct seat *seat = model_alloc(model, sizeof *seat);
    *seat = (struct seat){.max_usage = policy->max_usage_count,
                          .max_score = policy->max_error_score,
                          .decrement = policy->error_score_decrement};
    return seat;
}

void enter_pool(struct model *model, const struct call *call, struct record *draft, const char *name) {
    unsigned namespace = model_namespace(model, call->namespace);
    const struct policy *policy = &model->namespaces[namespace].policy;
    struct pool_model *pool = make_pool(model, namespace, name);
    strcpy(draft->pool, name);
    draft->seat = seat_new(model, &pool->policy);
    draft->idle_ms = pool->policy.idle_timeout_ms;
    draft->absolute_ms = pool->policy.absolute_timeout_ms;
    int64_t max_ms = policy->max_idle_timeout_ms;
    if (max_ms && (!draft->idle_ms || draft->idle_ms > max_ms)) draft->idle_ms = max_ms;
    max_ms = policy->max_absolute_timeout_ms;
    if (max_ms && (!draft->absolute_ms || draft->absolute_ms > max_ms)) draft->absolute_ms = max_ms;
    /* A nil member means the default, which is the pool's here and stands already. */
    struct call own = *call;
    if (own.idle.is_nil) own.idle.is_given = false;
    if (own.absolute.is_nil) own.absolute.is_given = false;
    if (own.abandon.is_nil) own.abandon.is_given = false;
    set_timeouts(draft, policy, &own);
}

void retire_seat(struct model *model, struct record *record, int64_t now_ms) {
    struct seat *seat = record->seat;
    if (seat->retired_at) return;
    /* Before it may be forgotten at once. */
    enum stands stands = judge(model, record, now_ms);
    if (stands == STANDS_ALIVE || stands == STANDS_DEAD) told_add(model, record, EVENT_RETIRED, now_ms);
    seat->retired_at = now_ms;
    seat->score += seat->max_score;
    seat->usage_count++;
}

void seat_cool(struct model *model, struct record *record, int64_t from) {
    int64_t cooldown_ms = make_pool(model, record->namespace, record->pool)->policy.cooldown_ms;
    if (cooldown_ms) record->seat->ready_at = from + cooldown_ms;
}

struct use *use_find(struct seat *seat, uint64_t number) {
    for (unsigned i = 0; i < seat->use_count; i++)
        if (seat->uses[i].number == number) return &seat->uses[i];
    return NULL;
}

/* A lease that ran out: its use is counted, and over. */
void lease_end(struct model *model, struct record *record, int64_t at) {
    struct seat *seat = record->seat;
    struct use *use = use_find(seat, seat->leased_use);
    seat->leased_until = 0;
    use->is_open = false;
    seat_cool(model, record, at);
    if (seat->is_spent) retire_seat(model, record, at);
}

/* ---------------------------------------------------------------- the pool as a whole */

void take_oldest_hold(struct pool_model *pool) {
    if (pool->hold_count) memmove(pool->holds, pool->holds + 1, --pool->hold_count * sizeof pool->holds[0]);
}

static bool is_of(const struct record *record, unsigned namespace, const char *name) {
    return record->namespace == namespace && record->kind == KIND_RECORD && record->seat &&
           strcmp(record->pool, name) == 0;
}

static uint64_t usable_count(const struct model *model, const struct pool_model *pool, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; i < model->record_count; i++)
        count +=
            is_of(&model->records[i], pool->namespace, pool->name) && seat_is_usable(model, &model->records[i], now_ms);
    return count;
}

bool pool_has_place(struct model *model, const struct pool_model *pool, bool takes_hold, int64_t now_ms) {
    if (takes_hold && pool->hold_count) return true; /* it was promised */
    return usable_count(model, pool, now_ms) + pool->hold_count < pool->policy.max_pool_size;
}

struct counts {
    int64_t usable, retired, leased, cooling, held, waiting, kept;
};

static struct counts count_pool(struct model *model, const struct pool_model *pool, int64_t now_ms) {
    struct counts counts = {.held = pool->hold_count};
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (!is_of(record, pool->namespace, pool->name)) continue;
        enum stands stands = judge(model, record, now_ms);
        if (stands != STANDS_ALIVE && stands != STANDS_DEAD) continue;
        counts.kept++;
        counts.usable += seat_is_usable(model, record, now_ms);
        counts.retired += record->seat->retired_at != 0; /* dead or alive, as long as it is kept */
        counts.leased += record->seat->leased_until != 0 && stands == STANDS_ALIVE;
        counts.cooling +=
            record->seat->ready_at && !record->seat->leased_until && seat_is_usable(model, record, now_ms);
    }
    for (unsigned i = 0; i < model->waiter_count; i++) {
        const struct call *call = model->waiters[i].call;
        counts.waiting +=
            model_namespace(model, call->namespace) == pool->namespace && strcmp(call->pool, pool->name) == 0;
    }
    return counts;
}

static bool expect_count(struct model *model, struct bytes map, const char *name, int64_t expected) {
    int64_t got = integer_of(map_value(map, name));
    return got == expected || complain(model, "%s should be %lld, not %lld", name, (long long)expected, (long long)got);
}

/* Those that are made for who waits may be on their way. */
static bool expect_made(struct model *model, struct bytes map, const char *name, int64_t expected, int64_t now_ms) {
    int64_t got = integer_of(map_value(map, name));
    int64_t least = expected - (model->made_at == now_ms ? model->made_count : 0);
    return (got >= least && got <= expected) || expect_count(model, map, name, expected);
}

static bool expect_state(struct model *model, struct pool_model *pool, int64_t now_ms, const struct answer *answer) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    struct counts counts = count_pool(model, pool, now_ms);
    if (is_nil(answer->result))
        return (!pool->is_configured && !counts.kept) || complain(model, "there is such a pool");
    struct buf policy = BUF_EMPTY;
    codec_write_pool_policy(&policy, &pool->policy);
    bool is_equal = bytes_equal(buf_bytes(&policy), map_value(answer->result, "policy"));
    buf_fini(&policy);
    if (!is_equal) return complain(model, "the pool's policy is another");
    return expect_made(model, answer->result, "usable_count", counts.usable, now_ms) &&
           expect_count(model, answer->result, "retired_count", counts.retired) &&
           expect_made(model, answer->result, "leased_count", counts.leased, now_ms) &&
           expect_made(model, answer->result, "cooling_count", counts.cooling, now_ms) &&
           expect_count(model, answer->result, "held_count", counts.held) &&
           expect_count(model, answer->result, "waiting_count", counts.waiting);
}

/* pool.configure, and pool.info without a change. */
bool do_pool_configure(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct pool_model *pool = make_pool(model, model_namespace(model, call->namespace), call->pool);
    bool is_new = !pool->is_configured && count_pool(model, pool, now_ms).kept == 0 && !pool->hold_count;
    if (call->op == OP_POOL_CONFIGURE && is_new && lacks_memory_for_pool(model))
        return expect_error(model, answer, model->refusal);
    if (call->op == OP_POOL_CONFIGURE) {
        pool_policy_apply(&pool->policy, &call->pool_change);
        pool->is_configured = true;
        model->namespaces[pool->namespace].existence = EXISTS_YES;
    }
    return expect_state(model, pool, now_ms, answer);
}

bool do_pool_reset(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct pool_model *pool = make_pool(model, model_namespace(model, call->namespace), call->pool);
    struct counts counts = count_pool(model, pool, now_ms);
    bool is_pool = pool->is_configured || counts.kept > 0, has_waiters = counts.waiting > 0;
    for (unsigned i = 0; is_pool && i < model->record_count; i++) {
        struct record *record = &model->records[i];
        enum stands stands = judge(model, record, now_ms);
        if (is_of(record, pool->namespace, pool->name) && (stands == STANDS_ALIVE || stands == STANDS_DEAD))
            bury(model, record, now_ms);
    }
    /* A pool of which nothing but held places is left is one as well, or not. */
    if (is_pool || !is_nil(answer->result)) pool->hold_count = 0;
    if (!serve_waiters(model, now_ms)) return false; /* before it was read again */
    /* A pool of which nothing is left may be known for a while. */
    if (!is_pool) return expect_ok(model, answer);
    /* Who waits is served while it answers. */
    if (has_waiters) return expect_ok(model, answer);
    /* Without sessions and a policy of its own it is no pool any more, and who waits for it is not told. */
    if (!pool->is_configured && count_pool(model, pool, now_ms).kept == 0) return expect_ok(model, answer);
    return expect_state(model, pool, now_ms, answer);
}

/* Keeps where the page ended. True: the list ended with it. */
static bool note_cursor(struct model *model, const struct call *call, struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    strcpy(model->cursor_namespace, call->namespace);
    strcpy(model->cursor_pool, call->pool);
    model->pool_cursor = is_nil(encoded) ? BYTES_ABSENT : mp_read_bytes(&cursor);
    return is_nil(encoded);
}

bool do_pool_state(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct pool_model *pool = make_pool(model, model_namespace(model, call->namespace), call->pool);
    struct counts counts = count_pool(model, pool, now_ms);
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    if (is_nil(answer->result))
        return (!pool->is_configured && !counts.kept) || complain(model, "there is such a pool");
    if (!expect_made(model, answer->result, "usable_count", counts.usable, now_ms)) return false;
    if (!expect_count(model, answer->result, "retired_count", counts.retired)) return false;
    struct bytes sessions = map_value(answer->result, "sessions");
    model->states[model->state_count++ % STATES_MAX] = sessions;
    struct mp_cursor cursor = mp_cursor_of(sessions);
    uint32_t count = mp_read_array(&cursor);
    const struct record *before = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes encoded = mp_read_value(&cursor, MP_DEPTH_MAX);
        struct mp_cursor text = mp_cursor_of(map_value(encoded, "id"));
        struct bytes name = mp_read_bytes(&text);
        char id[ID_TEXT_MAX] = "";
        if (!name.data || name.size >= ID_TEXT_MAX) return complain(model, "a session of the pool without its id");
        memcpy(id, name.data, name.size);
        struct record *record = find(model, pool->namespace, id);
        enum stands stands = record ? judge(model, record, now_ms) : STANDS_NOTHING;
        if (!record || !is_of(record, pool->namespace, pool->name) || (stands != STANDS_ALIVE && stands != STANDS_DEAD))
            return complain(model, "%s is not in the pool", id);
        if (before && compare_age(record, before) < 0) return complain(model, "%s is out of order", id);
        before = record;
        if (!compare_record(model, record, id, call->fields ? call->fields : FIELDS_DEFAULT, now_ms, encoded))
            return false;
    }
    if (count > (call->limit ? call->limit : 1000)) return complain(model, "%u sessions on a page", count);
    bool has_end = note_cursor(model, call, map_value(answer->result, "cursor"));
    if (!bytes_is_absent(call->cursor)) return true;
    int64_t least = counts.kept - (model->made_at == now_ms ? model->made_count : 0);
    return !has_end || (count >= least && count <= counts.kept) ||
           complain(model, "%u of %lld sessions", count, (long long)counts.kept);
}
