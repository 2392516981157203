/* What the server held after each step, and what it has promised of that: the ledger that a recovery is held against.
 *
 * Whatever has a name is a key: a session's id, a namespace, a pool, a client. After every step the world looks at all
 * keys in the engine's memory; where one looks different, and time alone does not explain it, the ledger gets a line
 * (a change) with the loop that made it. The next append of that loop to the journal carries the change to the log:
 * appends are numbered 1, 2, 3 ... over all loops. An answer that a client has read is a promise: it names the newest
 * append that what it tells depends on.
 *
 * The law, which holds for every level and every kind of crash: what a recovered server holds is, for all keys at once,
 * what the server held after some append c. So nothing is ever lost from the middle: what one loses is a tail. c is at
 * least every append that was promised; at everysec a power cut excuses what was promised in the last second.
 * One thing may be ahead of c: a namespace (its policy, and that it was cleared or purged), because each file begins
 * with all namespaces as they are when it is begun. What a clear ended is gone with it then, as it would be later.
 * The ledger knows nothing of logs, frames, versions or rules. */
#ifndef CRASH_LEDGER_H
#define CRASH_LEDGER_H

#include "sessiond/session.h"

#define KEYS_MAX       1024
#define KEY_NAME_MAX   64
#define NAMESPACES_MAX 3
#define APPEND_NONE    UINT64_MAX /* not appended yet */
#define SAYS_MAX       160

enum key_kind { KEY_SESSION, KEY_USAGE, KEY_NAMESPACE, KEY_POOL, KEY_CLIENT };

struct key {
    enum key_kind kind;
    unsigned namespace;
    char name[KEY_NAME_MAX];
};

enum sight_kind { SIGHT_NOTHING, SIGHT_TOMBSTONE, SIGHT_ALIAS, SIGHT_THERE };

/* What stands under a key. */
struct sight {
    enum sight_kind kind;
    uint64_t digest;     /* of everything that has to last */
    int64_t active_at;   /* of a session: last_active_at, which is not in the digest */
    struct session life; /* of a session: its numbers; all bytes are absent */
    bool has_usage;      /* of a session: it is in a pool */
    struct usage usage;  /* of KEY_USAGE */
    int user;            /* of a session: its user's number; -1: none */
    int64_t seen_at;     /* when it was seen first */
    char says[SAYS_MAX]; /* for people */
};

struct change {
    unsigned key, loop;
    uint64_t moment, append;
    bool is_touch;            /* nothing but last_active_at has moved */
    int64_t untold_active_at; /* the session's last_active_at as it became by touches that the journal was not told */
    struct sight sight;
};

struct promise {
    uint64_t append;
    int64_t executed_at, answered_at;
    bool is_write;
    uint32_t request; /* for people */
};

/* For how long the dead of a namespace stay: the shortest that was seen in this life of the server. */
struct keeping {
    int64_t retention_ms, tombstone_ms;
    bool has_purged;
};

struct ledger {
    struct key keys[KEYS_MAX];
    struct sight now[KEYS_MAX];
    unsigned key_count;
    struct change *changes;
    size_t change_count, change_capacity;
    struct promise *promises;
    size_t promise_count, promise_capacity;
    uint64_t moment, append_count;
    struct keeping keeping[NAMESPACES_MAX];
};

void ledger_open(struct ledger *ledger);
void ledger_close(struct ledger *ledger);

/* The number of the key, which is new where it was not known: nothing stands there then. */
unsigned ledger_key(struct ledger *ledger, enum key_kind kind, unsigned namespace, struct bytes name);
/* Begins the next step. */
void ledger_step(struct ledger *ledger);
/* What stands under the key now. `is_told`: the journal takes touches. */
void ledger_see(struct ledger *ledger, unsigned key, const struct sight *sight, unsigned loop, int64_t now_ms,
                bool is_told);
/* That loop has changed something of a namespace that cannot be looked at: when it was cleared or purged. */
void ledger_note_namespace(struct ledger *ledger, unsigned namespace, unsigned loop);
/* That loop has appended all that it changed so far. */
void ledger_append(struct ledger *ledger, unsigned loop);

/* Which changes of a key an answer tells of. */
enum told {
    TOLD_ALL,
    TOLD_LIFE, /* those that made it be there, die or go */
    TOLD_LIST, /* those before or after which it is alive and of that user */
    TOLD_COUNT /* those that made it so, or ended it */
};
/* The append of the newest change of that key up to that step; 0: of none. */
uint64_t ledger_depends(const struct ledger *ledger, unsigned key, uint64_t moment, enum told told, int user);
/* Of everything that has changed in that very step; *key: what has the newest. */
uint64_t ledger_depends_on_step(const struct ledger *ledger, uint64_t moment, unsigned *key);
/* Whether anything has, but for touches and hand-outs, which may be those of somebody who waited. */
bool ledger_step_changed(const struct ledger *ledger, uint64_t moment);
void ledger_promise(struct ledger *ledger, struct promise promise);

/* What the crash excuses: promises answered after that moment. INT64_MAX: none. */
struct verdict {
    uint64_t floor, found; /* the law's c */
    uint32_t request;      /* whose answer set the floor */
    char why[8192];        /* of a breach */
};
/* Holds what is seen after a recovery (`seen`, one for each key) against the law. */
bool ledger_judge(const struct ledger *ledger, const struct sight *seen, int64_t now_ms, int64_t excused_from,
                  struct verdict *verdict);
/* A new life begins with what was seen, which is as after append c. */
void ledger_restart(struct ledger *ledger, const struct sight *seen, uint64_t c, int64_t now_ms);

#endif
