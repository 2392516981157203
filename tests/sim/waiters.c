/* Who waits for a hand-out in the model, and what happens in pools by itself. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"

#include <string.h>

static void forget(struct model *model, unsigned n) {
    memmove(&model->waiters[n], &model->waiters[n + 1], (--model->waiter_count - n) * sizeof model->waiters[0]);
}

/* What a connection that does not read would get is taken back. A session that was made for it stays. */
static bool is_taken_back(struct model *model, const struct call *call, const struct answer *answer, int64_t now_ms) {
    struct record *nobody[1] = {NULL};
    if (!answer->error.data || is_nil(answer->error)) return false;
    struct mp_cursor code = mp_cursor_of(map_value(answer->error, "code"));
    if (!bytes_equal(mp_read_bytes(&code), BYTES_LITERAL("BUSY"))) return false;
    model->is_lost = acquire_offer(model, call, now_ms, nobody, 0) == OFFER_CREATE;
    return true;
}

/* The answer of one who waits, who is to be served now, or whose time is over. */
static bool answer_waiter(struct model *model, unsigned n, int64_t now_ms, bool is_over) {
    struct waiter waiter = model->waiters[n];
    struct answer answer;
    forget(model, n);
    if (!model->pull(model->pull_context, waiter.peer, waiter.call->msgid, &answer))
        return complain(model, "request %u should %s", waiter.call->msgid,
                        is_over ? "have waited long enough" : "be served now");
    if (is_over) return expect_error(model, &answer, "EXHAUSTED");
    if (is_taken_back(model, waiter.call, &answer, now_ms)) return !model->is_lost;
    model->is_waiter = true;
    bool is_expected = acquire_serve(model, waiter.call, now_ms, &answer);
    model->is_waiter = false;
    return is_expected;
}

bool serve_waiters(struct model *model, int64_t now_ms) {
    struct record *nobody[1] = {NULL};
    for (unsigned i = 0; i < model->waiter_count;) {
        if (acquire_offer(model, model->waiters[i].call, now_ms, nobody, 0) == OFFER_NOTHING)
            i++;
        else if (!answer_waiter(model, i, now_ms, false))
            return false;
        else
            i = 0; /* a session that was made for this one may be what an earlier one waits for */
    }
    return true;
}

bool end_waiters(struct model *model, unsigned namespace) {
    for (unsigned i = 0; i < model->waiter_count;) {
        if (model_namespace(model, model->waiters[i].call->namespace) != namespace)
            i++;
        else if (!answer_waiter(model, i, 0, true))
            return false;
    }
    return true;
}

static bool time_out_waiters(struct model *model, int64_t now_ms) {
    for (unsigned i = 0; i < model->waiter_count;) {
        if (model->waiters[i].until > now_ms)
            i++;
        else if (!answer_waiter(model, i, now_ms, true))
            return false;
    }
    return true;
}

bool model_waits(const struct model *model, unsigned peer, uint32_t msgid) {
    for (unsigned i = 0; i < model->waiter_count; i++)
        if (model->waiters[i].peer == peer && model->waiters[i].call->msgid == msgid) return true;
    return false;
}

void model_cancel(struct model *model, unsigned peer) {
    for (unsigned i = model->waiter_count; i-- > 0;)
        if (model->waiters[i].peer == peer) forget(model, i);
}

/* ---------------------------------------------------------------- time */

static int64_t earlier(int64_t a, int64_t b) {
    return b && b < a ? b : a;
}

static int64_t next_due(const struct model *model) {
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (record->kind != KIND_RECORD || !record->seat) continue;
        due = earlier(due, record->seat->leased_until);
        due = earlier(due, record->seat->ready_at);
        int64_t deadline = earlier(INT64_MAX, record_expires_at(record));
        deadline = earlier(deadline, record_abandon_at(record));
        /* Its place is free from then on. */
        if (deadline > model->passed_until) due = earlier(due, deadline);
    }
    for (unsigned i = 0; i < model->pool_count; i++)
        if (model->pools[i].hold_count) due = earlier(due, model->pools[i].holds[0]);
    for (unsigned i = 0; i < model->waiter_count; i++) due = earlier(due, model->waiters[i].until);
    return due;
}

static void end_leases(struct model *model, int64_t now_ms) {
    for (unsigned i = 0; i < model->record_count; i++) {
        struct record *record = &model->records[i];
        if (record->kind != KIND_RECORD || !record->seat) continue;
        if (record->seat->leased_until && record->seat->leased_until <= now_ms)
            lease_end(model, record, record->seat->leased_until);
        if (record->seat->ready_at && record->seat->ready_at <= now_ms) record->seat->ready_at = 0;
    }
}

static void end_holds(struct model *model, int64_t now_ms) {
    for (unsigned i = 0; i < model->pool_count; i++) {
        struct pool_model *pool = &model->pools[i];
        while (pool->hold_count && pool->holds[0] <= now_ms)
            memmove(pool->holds, pool->holds + 1, --pool->hold_count * sizeof pool->holds[0]);
    }
}

/* In one millisecond: deadlines, then leases, grants, waiting time-outs. */
const char *model_pass_time(struct model *model, int64_t now_ms) {
    for (int64_t due; (due = next_due(model)) <= now_ms;) {
        if (due > model->passed_until) model->passed_until = due;
        end_leases(model, due);
        end_holds(model, due);
        if (!serve_waiters(model, model->passed_until) || !time_out_waiters(model, model->passed_until))
            return model->complaint;
    }
    if (now_ms > model->passed_until) model->passed_until = now_ms;
    return NULL;
}
