/* pool.mark, pool.release and pool.renew in the model. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <string.h>

/* The session that the call is about, where the numbers that it names fit; else the answer was compared: *is_done. */
static struct record *named(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer,
                            bool *is_expected) {
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if ((stands != STANDS_ALIVE && stands != STANDS_DEAD) || !record->seat) {
        *is_expected = expect_nil(model, answer);
        return NULL;
    }
    struct seat *seat = record->seat;
    bool is_unknown = call->use && !use_find(seat, call->use);
    if (seat->has_given_back && is_nil(answer->error)) is_unknown = false;
    bool is_conflict = is_unknown || (call->fence && call->fence != seat->fence);
    /* So may a fence have been, after that of this call. */
    if (seat->has_given_back && call->fence && answer->error.data && !is_nil(answer->error)) is_conflict = true;
    if (call->op == OP_POOL_RENEW) is_conflict |= !seat->leased_until || (call->use && call->use != seat->leased_use);
    if (!is_conflict) return record;
    *is_expected = expect_error(model, answer, "CONFLICT");
    return NULL;
}

static bool codes_have(const struct status_codes *codes, uint32_t code) {
    return codes->bits[code / 64] >> (code % 64) & 1;
}

static bool is_worn(const struct seat *seat) {
    return seat->usage_count >= seat->max_usage || seat->score >= seat->max_score;
}

static bool expect_marked(struct model *model, const struct record *record, int64_t now_ms,
                          const struct answer *answer) {
    const struct seat *seat = record->seat;
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    struct buf expected = BUF_EMPTY;
    mp_write_map(&expected, 4);
    mp_write_string(&expected, "usage_count"), mp_write_uint(&expected, seat->usage_count);
    mp_write_string(&expected, "error_score");
    if (seat->score == (double)(uint64_t)seat->score)
        mp_write_uint(&expected, (uint64_t)seat->score);
    else
        mp_write_double(&expected, seat->score);
    mp_write_string(&expected, "usable"), mp_write_bool(&expected, seat_is_usable(model, record, now_ms));
    mp_write_string(&expected, "retired"), mp_write_bool(&expected, seat->retired_at != 0);
    bool is_equal = bytes_equal(buf_bytes(&expected), answer->result);
    buf_fini(&expected);
    return is_equal || complain(model, "usage should be %llu, the score %g, retired %d",
                                (unsigned long long)seat->usage_count, seat->score, seat->retired_at != 0);
}

bool do_mark(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    bool is_expected;
    struct record *record = named(model, call, now_ms, answer, &is_expected);
    if (!record) return is_expected;
    struct seat *seat = record->seat;
    const struct pool_policy *policy = &make_pool(model, record->namespace, record->pool)->policy;
    struct use *use = call->use ? use_find(seat, call->use) : NULL;
    uint32_t code = call->outcome.status_code;
    bool is_code = call->outcome.kind == MARK_STATUS_CODE;
    if (is_code && !codes_have(&policy->blocked_status_codes, code) && code != call->extra_code)
        return expect_marked(model, record, now_ms, answer);
    if (call->outcome.kind == MARK_GOOD)
        seat->score = seat->score > seat->decrement ? seat->score - seat->decrement : 0;
    if (call->outcome.kind == MARK_BAD) seat->error_count++, seat->score += 1;
    bool counts = call->outcome.kind == MARK_GOOD || call->outcome.kind == MARK_BAD;
    if (counts && !(use && !use->is_marked)) seat->usage_count++;
    if (use && !use->is_marked) {
        use->is_marked = true;
        if (!seat->leased_until || seat->leased_use != use->number) use->is_open = false;
    }
    seat_cool(model, record, now_ms);
    if (!counts || is_worn(seat) || seat->is_spent || !is_alive(model, record, now_ms))
        retire_seat(model, record, now_ms);
    return expect_marked(model, record, now_ms, answer);
}

static bool expect_true(struct model *model, const struct answer *answer) {
    return expect_bool(model, answer, true);
}

/* The hand-out that is named; else the leased one; else the last that is open. */
static struct use *to_release(const struct call *call, struct seat *seat) {
    if (call->use) return use_find(seat, call->use);
    if (seat->leased_until) return use_find(seat, seat->leased_use);
    for (unsigned i = seat->use_count; i > 0 && !call->fence; i--)
        if (seat->uses[i - 1].is_open) return &seat->uses[i - 1];
    return NULL;
}

bool do_release(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    bool is_expected;
    struct record *record = named(model, call, now_ms, answer, &is_expected);
    if (!record) return is_expected;
    struct seat *seat = record->seat;
    struct use *use = to_release(call, seat);
    if (!use || !use->is_open) return expect_true(model, answer);
    if (seat->leased_until && seat->leased_use == use->number) seat->leased_until = 0;
    if (!use->is_marked) {
        seat->usage_count -= seat->usage_count > 0;
        seat->ready_at = 0;
    } else {
        seat_cool(model, record, now_ms);
    }
    use->is_open = false;
    use->is_marked = true; /* it was given back: a mark that comes after all is one more use */
    if (seat->is_spent) retire_seat(model, record, now_ms);
    return expect_true(model, answer);
}

bool do_renew(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    bool is_expected;
    if (!call->lease.is_given || call->lease.is_nil || call->lease.value == 0)
        return expect_error(model, answer, "BAD_REQUEST");
    struct record *record = named(model, call, now_ms, answer, &is_expected);
    if (!record) return is_expected;
    record->seat->leased_until = now_ms + call->lease.value;
    return expect_true(model, answer);
}
