/* A pool's session as the rules see it: how often it was handed out, how it fared, and what makes it unusable.
 *
 * Pure: everything is an argument, `now_ms` included. The engine keeps one `struct usage` for each session of a pool
 * and changes it by these functions alone, under the pool's lock. */
#ifndef SESSIOND_POOL_H
#define SESSIOND_POOL_H

#include "sessiond/bytes.h"
#include "sessiond/protocol.h"

struct usage {
    uint64_t usage_count; /* hand-outs and further marks; a release without a mark takes one back */
    uint64_t error_count; /* marks `bad` */
    double error_score;
    /* Its limits: those it was made with, or the pool's at that moment. */
    uint64_t max_usage_count;
    double max_error_score, error_score_decrement;
    int64_t last_used_at;     /* 0: never handed out */
    int64_t lease_expires_at; /* 0: not leased */
    int64_t retired_at;       /* 0: not retired */
    bool is_forced;           /* of a draft: it enters the pool also when that is full */
};

static inline bool usage_is_blocked(const struct usage *usage) {
    return usage->error_score >= usage->max_error_score;
}

static inline bool usage_is_used_up(const struct usage *usage) {
    return usage->usage_count >= usage->max_usage_count;
}

/* Whether it may be handed out again, as far as its usage goes; whether it is alive is another question. */
static inline bool usage_is_usable(const struct usage *usage) {
    return !usage->retired_at && !usage_is_blocked(usage) && !usage_is_used_up(usage);
}

/* Retires it, once and for ever: its score and its usage grow so that it looks unusable to everybody who counts. */
static inline void usage_retire(struct usage *usage, int64_t now_ms) {
    if (usage->retired_at) return;
    usage->retired_at = now_ms > 0 ? now_ms : 1;
    usage->error_score += usage->max_error_score;
    usage->usage_count++;
}

static inline bool status_codes_have(const struct status_codes *codes, uint32_t code) {
    return code < STATUS_CODE_END && codes->bits[code / 64] >> (code % 64) & 1;
}

/* What a mark does. `is_counted`: the hand-out that it marks was counted at acquire and had no mark yet, so it adds no
 * usage. `blocked`: the pool's codes; `extra`: the call's, may be NULL. A session that is found unusable is retired. */
static inline void usage_mark(struct usage *usage, struct mark_outcome outcome, bool is_counted,
                              const struct status_codes *blocked, const struct status_codes *extra, int64_t now_ms) {
    switch (outcome.kind) {
    case MARK_STATUS_CODE:
        if (status_codes_have(blocked, outcome.status_code) || (extra && status_codes_have(extra, outcome.status_code)))
            usage_retire(usage, now_ms);
        return;
    case MARK_RETIRE: usage_retire(usage, now_ms); return;
    case MARK_GOOD:
        if (usage->error_score > 0)
            usage->error_score = usage->error_score > usage->error_score_decrement
                                     ? usage->error_score - usage->error_score_decrement
                                     : 0;
        break;
    case MARK_BAD:
        usage->error_count++;
        usage->error_score += 1;
        break;
    }
    if (!is_counted) usage->usage_count++;
    if (!usage_is_usable(usage)) usage_retire(usage, now_ms);
}

#endif
