/* Remembered answers: what makes it safe to repeat a write whose answer was lost.
 *
 * A write that carries an op_id is entered before it is executed and its answer kept for LIMIT_OP_ID_KEEP_MS; a repeat
 * gets that answer. Known by namespace and op_id together, so that tenants cannot meet; a fingerprint of the whole
 * request tells a repeat from another request that took the same number.
 * Any thread, at the same time: the map is cut into parts with a spin lock each. */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include "base/buf.h"
#include "sessiond/env.h"

struct replay;
struct replay_entry;

/* A request, as far as repeats are concerned. */
struct replay_key {
    struct bytes namespace; /* after the connection's default was taken */
    uint64_t op_id;
    unsigned op;         /* enum op */
    struct bytes params; /* encoded */
};

enum replay_state {
    REPLAY_NEW,      /* *entry is reserved: execute, then replay_keep or replay_drop it */
    REPLAY_KNOWN,    /* the answer was appended */
    REPLAY_RUNNING,  /* reserved, and not answered yet */
    REPLAY_MISMATCH, /* the op_id belongs to another request */
    REPLAY_FULL      /* as many answers as memory allows are remembered */
};

/* `bytes_max` bounds what is remembered; keys are hashed under a secret from env. NULL: memory. */
struct replay *replay_open(const struct env *env, uint64_t bytes_max);
void replay_close(struct replay *replay);
void replay_set_bytes_max(struct replay *replay, uint64_t bytes_max);
uint64_t replay_bytes(const struct replay *replay); /* in use now */

/* Looks the request up; with REPLAY_KNOWN its answer (the error and the result, encoded, as they stand behind the
 * msgid) is appended to `answer`, which is secret then if the answer is, and *version is what it depends on. */
enum replay_state replay_begin(struct replay *replay, const struct replay_key *key, int64_t now_ms,
                               struct replay_entry **entry, struct buf *answer, uint64_t *version);
/* Remembers the answer of a reserved entry from now on; a secret one sealed, so that memory does not hold it. Where
 * memory is lacking for it the entry stays reserved for good: a repeat is told to wait rather than executed twice. */
void replay_keep(struct replay *replay, struct replay_entry *entry, struct bytes answer, bool is_secret,
                 uint64_t version, int64_t now_ms);
/* Forgets a reserved entry: it may be executed again. */
void replay_drop(struct replay *replay, struct replay_entry *entry);
/* Frees what is too old, about `budget` answers at most, of part `share` of `shares`. Answers when to call again;
 * `now_ms` where some are left, INT64_MAX where there is nothing to forget. */
int64_t replay_forget(struct replay *replay, unsigned share, unsigned shares, int64_t now_ms, unsigned budget);

#endif
