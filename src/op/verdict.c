/* See verdict.h. */
#include "op/verdict.h"

static const char *const names[] = {
    [VERDICT_INVALID_TOKEN] = "invalid_token",    [VERDICT_PENDING] = "session_pending",
    [VERDICT_USER_AGENT] = "user_agent_mismatch", [VERDICT_ADDRESS] = "address_mismatch",
    [VERDICT_DEVICE] = "device_mismatch",         [VERDICT_REVOKED] = "session_revoked",
    [VERDICT_EXPIRED] = "session_expired",        [VERDICT_VALID] = NULL,
};

/* An id that no session has: a token without one is looked up like one that has been made up. */
static struct bytes id_of(struct bytes text, struct bytes *secret) {
    struct bytes id;
    if (token_split(text, &id, secret) && id.size <= LIMIT_MAX_ID) return id;
    *secret = bytes_of("", 0);
    return BYTES_LITERAL(".");
}

bool verdict_take_token(struct request *request, struct bytes namespace, struct bytes text) {
    struct bytes secret;
    if (!request_take_namespace(request, namespace)) return false;
    request_take_id(request, id_of(text, &secret));
    return true;
}

struct presented verdict_look(const struct request *request, struct bytes text, const struct update_input *input) {
    struct presented presented;
    presented.id = id_of(text, &presented.secret);
    presented.token = token_decode(input->old ? input->old->token : BYTES_ABSENT);
    presented.index = token_find(&presented.token, request->keys, presented.secret);
    presented.match = token_match(&presented.token, presented.index, input->now_ms);
    return presented;
}

bool verdict_has_secret(const struct presented *presented) {
    return presented->match == TOKEN_CURRENT || presented->match == TOKEN_GRACE;
}

static enum verdict mismatch_of(uint64_t mismatches) {
    if (mismatches & BINDING_USER_AGENT) return VERDICT_USER_AGENT;
    if (mismatches & BINDING_ADDRESS) return VERDICT_ADDRESS;
    return mismatches ? VERDICT_DEVICE : VERDICT_VALID;
}

static enum verdict verdict_of_status(enum status status) {
    switch (status) {
    case STATUS_ACTIVE:
    case STATUS_PENDING: return VERDICT_VALID;
    case STATUS_EXPIRED:
    case STATUS_ABANDONED: return VERDICT_EXPIRED;
    default: return VERDICT_REVOKED;
    }
}

enum verdict verdict_of(const struct presented *presented, const struct update_input *input, bool allows_pending,
                        uint64_t mismatches, bool reports) {
    if (!verdict_has_secret(presented)) return VERDICT_INVALID_TOKEN;
    enum status status = session_status(input->old, input->now_ms);
    if (status == STATUS_PENDING && !allows_pending) return VERDICT_PENDING;
    enum verdict mismatch = mismatch_of(mismatches), standing = verdict_of_status(status);
    if (mismatch != VERDICT_VALID && !reports) return mismatch;
    if (standing != VERDICT_VALID || mismatch == VERDICT_VALID) return standing;
    return VERDICT_REPORTED + mismatch;
}

enum outcome verdict_reuse(const struct update_input *input, struct session *draft) {
    if (input->presence != PRESENCE_ALIVE) return OUTCOME_KEEP;
    draft->status = STATUS_REVOKED;
    draft->status_at = input->now_ms;
    draft->reason = BYTES_LITERAL("token_reused");
    draft->event = EVENT_TOKEN_REUSED;
    return OUTCOME_REPLACE;
}

bool verdict_is_valid(unsigned verdict) {
    return verdict == VERDICT_VALID || verdict >= VERDICT_REPORTED;
}

void verdict_write_error(struct buf *out, unsigned verdict) {
    const char *name = names[verdict & (VERDICT_REPORTED - 1)];
    if (name)
        mp_write_string(out, name);
    else
        mp_write_nil(out);
}
