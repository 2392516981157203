/* A session as the rules see it, and the rules of its life: one view that every engine fills and every operation reads.
 *
 * Pure: everything is an argument, `now_ms` included. A `struct session` borrows all its bytes. */
#ifndef SESSIOND_SESSION_H
#define SESSIOND_SESSION_H

#include "sessiond/bytes.h"
#include "sessiond/pool.h"
#include "sessiond/protocol.h"

/* Versions count milliseconds since 2020-01-01 in steps of 4,096 a millisecond. */
#define VERSION_EPOCH_MS INT64_C(1577836800000)
#define VERSIONS_PER_MS  INT64_C(4096)

#define BIRTH_MAX 32767 /* the greatest `birth` */

struct session {
    struct bytes id;
    struct bytes user;        /* absent: none */
    struct bytes client;      /* absent: none */
    struct bytes data;        /* encoded MessagePack; never absent in a stored session */
    struct bytes meta;        /* encoded MessagePack map; absent: none */
    struct bytes reason;      /* absent: none */
    struct bytes replaced_by; /* absent: none */
    struct bytes pool;        /* absent: none */
    struct bytes tags;        /* encoded array of str; absent: none */
    struct bytes token;       /* hashes of its token's secrets, in a form that op/token.c alone reads; absent: no token.
                                 Never sent out */
    struct bytes bound;       /* hashes of what it is bound to, the same */
    const struct usage *usage; /* of a pool's session, as it stood when it was read; NULL: it is in no pool, or nobody
                                  asked. In a draft that enters a pool: what it starts with */
    uint64_t version;
    int64_t created_at;
    int64_t last_active_at;
    int64_t idle_timeout_ms;     /* 0: none */
    int64_t absolute_timeout_ms; /* 0: none */
    int64_t abandon_timeout_ms;  /* 0: none */
    int64_t
        absolute_expires_at; /* given by a caller, at least 1; 0: not given, created_at + absolute_timeout_ms holds */
    int64_t status_at;       /* when `status` was stored; 0 for active */
    enum status status;      /* as stored: never STATUS_EXPIRED or STATUS_ABANDONED by a deadline, those are derived */
    /* Orders sessions of one created_at by when they began, 1 to BIRTH_MAX; kept for as long as created_at is. In a
     * draft 0, or of another created_at: the engine gives it one. Never sent out. */
    uint16_t birth;
    bool is_touch; /* never stored: in a draft, the session becomes its client's last active one */
    bool is_alias; /* an old id in its grace after regenerate: `replaced_by` may be read through it */
    enum event_kind
        event; /* never stored: in a draft, an event that the engine could not tell from the status; 0: none */
};

/* The moment in which a version was taken. */
static inline int64_t version_time(uint64_t version) {
    return VERSION_EPOCH_MS + (int64_t)(version / VERSIONS_PER_MS);
}

/* The smallest version of a moment; 0 for one before 2020. */
static inline uint64_t version_of_moment(int64_t moment) {
    return moment > VERSION_EPOCH_MS ? (uint64_t)(moment - VERSION_EPOCH_MS) * (uint64_t)VERSIONS_PER_MS : 0;
}

/* The absolute deadline; 0: none. */
static inline int64_t session_absolute_deadline(const struct session *session) {
    if (session->absolute_expires_at) return session->absolute_expires_at;
    return session->absolute_timeout_ms ? session->created_at + session->absolute_timeout_ms : 0;
}

/* The earlier of the idle and the absolute deadline; 0: never. */
static inline int64_t session_expires_at(const struct session *session) {
    int64_t absolute = session_absolute_deadline(session);
    int64_t idle = session->idle_timeout_ms ? session->last_active_at + session->idle_timeout_ms : 0;
    if (!absolute) return idle;
    return idle && idle < absolute ? idle : absolute;
}

/* When an untouched session is abandoned; 0: never. */
static inline int64_t session_abandon_at(const struct session *session) {
    return session->abandon_timeout_ms ? session->last_active_at + session->abandon_timeout_ms : 0;
}

/* The earlier of expires_at and abandon_at; 0: never. */
static inline int64_t session_deadline(const struct session *session) {
    int64_t expires_at = session_expires_at(session), abandon_at = session_abandon_at(session);
    if (!abandon_at) return expires_at;
    return expires_at && expires_at <= abandon_at ? expires_at : abandon_at;
}

static inline bool status_is_living(enum status status) {
    return status == STATUS_ACTIVE || status == STATUS_PENDING;
}

/* The status at `now_ms`: the stored one, or what a deadline that has passed makes of it. Of two deadlines in one
 * millisecond expiry wins. */
static inline enum status session_status(const struct session *session, int64_t now_ms) {
    if (!status_is_living(session->status)) return session->status;
    int64_t expires_at = session_expires_at(session), abandon_at = session_abandon_at(session);
    bool is_expired = expires_at && expires_at <= now_ms, is_abandoned = abandon_at && abandon_at <= now_ms;
    if (is_abandoned && !(is_expired && expires_at <= abandon_at)) return STATUS_ABANDONED;
    return is_expired ? STATUS_EXPIRED : session->status;
}

/* Whether a session whose status at this moment is `from` may get the status `to` by a caller's word. The same status
 * again is no change and no refusal either; the caller looks at that first. */
static inline bool status_can_become(enum status from, enum status to) {
    switch (to) {
    case STATUS_ACTIVE: return from == STATUS_PENDING;
    case STATUS_REMOVED:
        return status_is_living(from) || from == STATUS_ENDED || from == STATUS_REPLACED || from == STATUS_EXPIRED ||
               from == STATUS_ABANDONED;
    case STATUS_ENDED:
    case STATUS_REVOKED:
    case STATUS_ABANDONED:
    case STATUS_REPLACED: return status_is_living(from);
    default: return false;
    }
}

static inline bool session_is_alive(const struct session *session, int64_t now_ms) {
    return status_is_living(session_status(session, now_ms));
}

/* When it left active: the stored moment, or the deadline that passed; 0 while it is alive. */
static inline int64_t session_status_at(const struct session *session, int64_t now_ms) {
    if (!status_is_living(session->status)) return session->status_at;
    return session_is_alive(session, now_ms) ? 0 : session_deadline(session);
}

/* From when its retention and its tombstone count; 0 while it is alive. A session that was written with a deadline in
 * the past died with that write: were it dated at the deadline, a logout by an old date would be forgotten at once, and
 * the next slow write would bring the session back. Only then the version tells the moment, since it may be of a later
 * one than the writer's time, where another loop's was ahead. */
static inline int64_t session_died_at(const struct session *session, int64_t now_ms) {
    int64_t status_at = session_status_at(session, now_ms), written_at = version_time(session->version);
    if (!status_is_living(session->status)) return status_at;
    return status_at && written_at > status_at ? written_at : status_at;
}

/* The last activity of any kind. */
static inline int64_t session_updated_at(const struct session *session) {
    int64_t written_at = version_time(session->version);
    return written_at > session->last_active_at ? written_at : session->last_active_at;
}

/* last_active_at after a touch at `now_ms`: unchanged within the smaller of touch_after_ms and a sixteenth of the
 * idle timeout since the last one (so that an answered deadline also holds after a crash), and never backwards. */
static inline int64_t session_touched_at(const struct session *session, int64_t touch_after_ms, int64_t now_ms) {
    int64_t thin_ms = touch_after_ms;
    if (session->idle_timeout_ms && session->idle_timeout_ms / 16 < thin_ms) thin_ms = session->idle_timeout_ms / 16;
    if (now_ms - session->last_active_at <= 0) return session->last_active_at;
    return now_ms - session->last_active_at < thin_ms ? session->last_active_at : now_ms;
}

#endif
