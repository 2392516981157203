/* See draft.h. */
#include "op/draft.h"

static const uint8_t empty_map[] = {0x80};

/* A lifetime under a cap: none at all is longer than any cap. */
static int64_t capped(int64_t timeout_ms, int64_t cap_ms) {
    return cap_ms && (timeout_ms == 0 || timeout_ms > cap_ms) ? cap_ms : timeout_ms;
}

void draft_begin(struct session *draft, const struct update_input *input, struct bytes id) {
    const struct policy *policy = input->policy;
    *draft = (struct session){
        .id = id,
        .data = bytes_of(empty_map, sizeof(empty_map)),
        .status = STATUS_ACTIVE,
        .created_at = input->now_ms,
        .last_active_at = input->now_ms,
        .idle_timeout_ms = capped(policy->idle_timeout_ms, policy->max_idle_timeout_ms),
        .absolute_timeout_ms = capped(policy->absolute_timeout_ms, policy->max_absolute_timeout_ms),
        .abandon_timeout_ms = policy->abandon_timeout_ms,
    };
}

/* A member that is nil is the default: nil members are zero in `timeouts`, so the bit decides. */
static int64_t chosen(const struct timeouts *timeouts, uint64_t bit, int64_t given_ms, int64_t default_ms) {
    return timeouts->nil & bit ? default_ms : given_ms;
}

void draft_set_timeouts(struct session *draft, const struct policy *policy, const struct timeouts *timeouts) {
    if (timeouts->given & TIMEOUTS_IDLE_TIMEOUT_MS) {
        int64_t idle_ms =
            chosen(timeouts, TIMEOUTS_IDLE_TIMEOUT_MS, timeouts->idle_timeout_ms, policy->idle_timeout_ms);
        draft->idle_timeout_ms = capped(idle_ms, policy->max_idle_timeout_ms);
    }
    if (timeouts->given & TIMEOUTS_ABSOLUTE_TIMEOUT_MS) {
        int64_t absolute_ms =
            chosen(timeouts, TIMEOUTS_ABSOLUTE_TIMEOUT_MS, timeouts->absolute_timeout_ms, policy->absolute_timeout_ms);
        draft->absolute_timeout_ms = capped(absolute_ms, policy->max_absolute_timeout_ms);
    }
    if (timeouts->given & TIMEOUTS_ABANDON_TIMEOUT_MS)
        draft->abandon_timeout_ms =
            chosen(timeouts, TIMEOUTS_ABANDON_TIMEOUT_MS, timeouts->abandon_timeout_ms, policy->abandon_timeout_ms);
}

void draft_set_lifetime(struct session *draft, const struct policy *policy, int64_t idle_timeout_ms,
                        int64_t absolute_timeout_ms) {
    draft->idle_timeout_ms = capped(idle_timeout_ms, policy->max_idle_timeout_ms);
    draft->absolute_timeout_ms = capped(absolute_timeout_ms, policy->max_absolute_timeout_ms);
}

void draft_set_absolute_expires_at(struct session *draft, const struct policy *policy, int64_t moment) {
    int64_t cap_ms = policy->max_absolute_timeout_ms;
    draft->absolute_expires_at = moment;
    if (moment && cap_ms && moment > draft->created_at + cap_ms)
        draft->absolute_expires_at = draft->created_at + cap_ms;
    /* Taking the deadline away must not be a way around the cap. */
    if (!moment) draft->absolute_timeout_ms = capped(draft->absolute_timeout_ms, cap_ms);
}

void draft_extend(struct session *draft, const struct policy *policy, int64_t now_ms) {
    if (!draft->absolute_timeout_ms) return;
    int64_t moment = now_ms + draft->absolute_timeout_ms;
    draft_set_absolute_expires_at(draft, policy, moment > MOMENT_MAX_MS ? MOMENT_MAX_MS : moment);
}

void draft_touch(struct session *draft, int64_t now_ms) {
    if (now_ms > draft->last_active_at) draft->last_active_at = now_ms;
}
