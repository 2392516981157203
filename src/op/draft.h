/* Drafts: how long a session may live under its namespace's policy, and what a new one starts with.
 *
 * Pure functions for rules. Always true after them: where the policy has a cap, what was changed keeps it. What was not
 * changed is left as it was made, also when the policy has become stricter since. Any thread. */
#ifndef OP_DRAFT_H
#define OP_DRAFT_H

#include "op/request.h"

/* Makes `draft` a living session that begins now, with an empty map as data and the namespace's default timeouts. */
void draft_begin(struct session *draft, const struct update_input *input, struct bytes id);

/* Takes the members of `timeouts` that are given; nil ones go back to the namespace's defaults. */
void draft_set_timeouts(struct session *draft, const struct policy *policy, const struct timeouts *timeouts);

/* Gives it these default timeouts in place of the namespace's, under the namespace's caps. */
void draft_set_lifetime(struct session *draft, const struct policy *policy, int64_t idle_timeout_ms,
                        int64_t absolute_timeout_ms);

/* Sets the absolute deadline to `moment` (already on the server's clock); 0 takes a given one away. created_at must
 * stand already. */
void draft_set_absolute_expires_at(struct session *draft, const struct policy *policy, int64_t moment);

/* Starts the absolute deadline again: absolute_timeout_ms from now, where there is one. created_at stays, and with it
 * what a cap allows in all. */
void draft_extend(struct session *draft, const struct policy *policy, int64_t now_ms);

/* Notes activity: the idle deadline counts from now on, and never goes backwards. */
void draft_touch(struct session *draft, int64_t now_ms);

/* An optional argument that nil clears: kept where it is not given. */
static inline void draft_set_bytes(struct bytes *member, uint64_t given, uint64_t bit, struct bytes value) {
    if (given & bit) *member = value; /* a nil one is absent */
}

#endif
