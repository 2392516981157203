/* The engine boundary: nine verbs over sessions, submitted in batches.
 *
 * An engine stores sessions and knows no operation. What an operation means stands in src/op as a pure function
 * (`update_rule`) that the engine runs between reading a record and publishing its successor; that function may run
 * more than once, so it must depend on nothing but its arguments.
 *
 * Threads: engine_submit, engine_enter, engine_leave and engine_advance are called on the thread of the loop whose
 * index they are given, and on no other at the same time for that index. Everything else says so itself.
 * Turns: between engine_enter and engine_leave a loop is inside a turn. Every `struct session` that the engine hands
 * out on that loop stays valid until that turn's engine_leave, also when the session is replaced meanwhile.
 * Verbs of one submit execute in their order; a batch is not atomic, each verb is. */
#ifndef SESSIOND_ENGINE_H
#define SESSIOND_ENGINE_H

#include "sessiond/bytes.h"
#include "sessiond/env.h"
#include "sessiond/journal.h"
#include "sessiond/protocol.h"
#include "sessiond/session.h"

struct buf; /* base/buf.h */

/* A refusal, as it goes to the client. `message` is static text or points into memory that lives until the turn's end.
 */
struct error {
    enum error_code code;   /* ERROR_NONE (0): no error */
    const char *message;    /* one sentence that says what to do */
    uint64_t version;       /* 0: left out */
    enum status status;     /* 0: left out */
    int64_t limit;          /* -1: left out. Set it to -1 in every error, or use error_make */
    int64_t retry_after_ms; /* 0: left out */
};

static inline struct error error_make(enum error_code code, const char *message) {
    return (struct error){.code = code, .message = message, .limit = -1};
}

enum group_kind { GROUP_NONE, GROUP_USER, GROUP_CLIENT, GROUP_POOL, GROUP_KIND_COUNT };

/* What stands under an id when a rule runs. */
enum presence {
    PRESENCE_NONE,     /* nothing, and no tombstone that still counts */
    PRESENCE_ALIVE,    /* old is alive at now_ms */
    PRESENCE_DEAD,     /* old is expired, abandoned, revoked ...: within its retention */
    PRESENCE_TOMBSTONE /* destroyed, cleared or forgotten within tombstone_ms; old is NULL */
};

struct update_input {
    const struct session *old; /* NULL unless ALIVE or DEAD */
    enum presence presence;
    const struct policy *policy; /* of the namespace, or the defaults where there is none yet; never NULL */
    const void *arguments;       /* the operation's own */
    int64_t now_ms;
    struct scratch *scratch; /* for bytes that a draft needs; reset before each run; see below */
    /* Of the pool that verb.update.pool names, or the defaults where there is none yet; NULL where it names none, or
     * the engine has no pools. */
    const struct pool_policy *pool_policy;
};

enum outcome {
    OUTCOME_KEEP,    /* nothing changes; the verb's session is old, or none */
    OUTCOME_TOUCH,   /* nothing changes but last_active_at, as by VERB_TOUCH; the verb's session is old with it. Only
                        for what is alive */
    OUTCOME_REPLACE, /* the draft becomes the record, with a new version */
    OUTCOME_REMOVE,  /* the record goes and leaves a tombstone; the verb's session is old */
    OUTCOME_ERROR    /* *error says why */
};

/* Reads `input`, writes `draft` (which starts as a copy of old, or all zero) or `error`. Sets no version. The draft may
 * borrow from old, from arguments and from scratch. */
typedef enum outcome (*update_rule)(const struct update_input *input, struct session *draft, struct error *error);

/* Memory for drafts that belongs to one loop: grows, is reset before each run of a rule, and stays valid until the
 * engine has built the record. */
struct scratch {
    uint8_t *data;
    size_t size, capacity;
};

enum verb_kind {
    VERB_GET,       /* read one */
    VERB_UPDATE,    /* run a rule on one id */
    VERB_TOUCH,     /* move last_active_at of one that is alive */
    VERB_MOVE,      /* run a rule on one id and publish under another, in one step */
    VERB_SCAN,      /* list or count: given ids, a group, or a namespace */
    VERB_END_ALL,   /* end a group, or clear, purge or drop a namespace */
    VERB_ACQUIRE,   /* hand out one of a pool, or several */
    VERB_RETURN,    /* mark, release or renew a hand-out */
    VERB_CONFIGURE, /* a namespace's, a pool's or a client's own fields: change, read, list */
    VERB_KIND_COUNT
};

enum return_kind { RETURN_MARK, RETURN_RELEASE, RETURN_RENEW };

enum end_kind {
    END_REVOKE,  /* living members of a group become revoked, and stay for their retention */
    END_REMOVE,  /* members of a group become removed, the dead ones that still may (see status_can_become) included */
    END_DESTROY, /* members of a group are destroyed, the dead ones included; of a pool: its usage and waiting places
                    too */
    END_CLEAR,   /* all of a namespace is destroyed; the namespace stays */
    END_PURGE,   /* all dead records of a namespace are forgotten */
    END_DROP     /* the namespace goes with all it has */
};

/* Called for each session of a scan, in order; `session` is NULL for an id (of `ids`) that is missing or dead.
 * False: it was not taken; the scan stops before it and its cursor leads back to it. */
typedef bool (*scan_each)(void *context, const struct session *session);

/* State of a namespace, as describe tells it. */
struct namespace_state {
    struct bytes name;
    const struct policy *policy;
    uint64_t sessions; /* living */
    uint64_t bytes;    /* memory of its records */
    bool is_purging;
    int64_t purge_interval_ms;
};
typedef bool (*namespace_each)(void *context, struct bytes name);

/* State of a pool. */
struct pool_state {
    struct pool_policy policy;
    bool exists;            /* it was configured or has sessions */
    uint64_t usable_count;  /* alive and usable; leased and cooling ones too. What max_pool_size counts, but for held
                               places */
    uint64_t retired_count; /* still kept */
    uint64_t leased_count;
    uint64_t cooling_count;
    uint64_t held_count;    /* places held for a caller that was answered CREATE_NEEDED */
    uint64_t waiting_count; /* acquires in the queue */
};

/* State of a client. It comes into being with its first session, and goes when nothing of its sessions is kept. */
struct client_state {
    int64_t created_at;
    int64_t updated_at; /* when a session last entered it, was touched in it or became its last active one */
    bool has_last_active;
    struct session last_active; /* with has_last_active: the one that was touched or activated last, dead or alive */
};

/* One more of several sessions that an acquire handed out. */
struct hand_out {
    struct session session;
    struct usage usage;
    uint64_t use, fence;
};

/* What happened to a session. All bytes are borrowed until `each` returns. */
struct event {
    enum event_kind
        kind; /* EVENT_LAGGED: `missed` events were lost, of whatever kind and namespace; the rest is empty */
    struct bytes namespace;
    struct bytes id;
    bool is_hashed;                          /* id is a handle: the namespace had hash_ids */
    struct bytes user, client, pool, reason; /* absent: none */
    struct bytes data;                       /* absent unless some watch of the loop wants data */
    uint64_t version;                        /* of the record after it, or of its tombstone */
    uint64_t depends_on;                     /* the version that the journal's mark has covered */
    uint64_t serial;                         /* what `watch` answered last before it happened */
    int64_t at;                              /* the moment; for expired and abandoned by a deadline, the deadline */
    uint64_t missed;
};
typedef void (*event_each)(void *context, const struct event *event);

#define SCAN_CURSOR_MAX 64

#define PREAMBLE_BYTES_MAX (1024 * 1024) /* it is one frame of the log, and each file has it anew */

/* How often a namespace is purged once it is, unless it is told otherwise. */
#define PURGE_INTERVAL_DEFAULT_MS INT64_C(60000)

struct verb {
    enum verb_kind kind;
    struct bytes namespace; /* 1 to 64 bytes; one that does not exist comes into being with its first write */
    struct bytes id;        /* GET, UPDATE, TOUCH, MOVE */

    /* ---- what is asked; borrowed until engine_submit returns */
    union {
        struct {
            bool include_dead; /* GET: also within retention */
            bool is_touch; /* GET: touch what is alive. (VERB_TOUCH is a write: dead is GONE. This is a read: dead is
                              none) */
        } get;
        struct {
            update_rule rule;
            const void *arguments;
            struct bytes pool; /* the pool that a draft of the rule may enter; absent: none */
        } update;
        struct {
            update_rule rule; /* run on the old id; its REPLACE draft's id is the new id; KEEP and ERROR as in UPDATE */
            const void *arguments;
            int64_t grace_ms; /* above 0: the old id stays readable as an alias for that long; else a tombstone */
        } move;
        struct {
            struct bytes ids;      /* an encoded, checked array of ids; absent: by group or namespace */
            enum group_kind group; /* GROUP_NONE: the whole namespace */
            struct bytes group_name;
            struct bytes prefix; /* absent: any id */
            struct bytes cursor; /* absent: from the start */
            uint64_t statuses;   /* bit 1 << status of each that is wanted */
            uint32_t limit;      /* sessions to hand out; 0 with each NULL: only count */
            /* Of a group: by created_at, and within one millisecond by when they began (see session.birth). Else the
             * newest first. A whole namespace has no order. */
            bool is_oldest_first;
            bool skips_total; /* of a group: the total is not wanted, so nothing is looked at for it */
            scan_each each;   /* NULL: only count */
            void *context;
        } scan;
        struct {
            enum end_kind end;
            /* For END_REVOKE, END_REMOVE and END_DESTROY. The end of a large group may be PENDING: it goes on in later
             * turns, and cannot be cancelled. */
            enum group_kind group;
            struct bytes group_name;
            struct bytes except; /* an encoded, checked array of ids; absent: none */
            struct bytes reason;
        } end_all;
        struct {
            struct bytes pool;           /* verb.id: absent, or the one that is wanted */
            enum pool_strategy strategy; /* with has_strategy; else the pool's */
            bool has_strategy;
            enum pool_create create;
            int64_t lease_ms;  /* above 0: exclusive for so long */
            int64_t wait_ms;   /* above 0: PENDING for at most so long where nothing is free */
            struct bytes tags; /* encoded, checked array of str: only sessions that have all; absent: any */
            uint32_t count;    /* how many, at least 1; different ones, as many as there are */
            size_t bytes_max;  /* with count: no further one once their data and meta pass this */
        } acquire;
        struct {
            enum return_kind kind;
            struct mark_outcome outcome;            /* RETURN_MARK */
            const struct status_codes *extra_codes; /* RETURN_MARK; may be NULL */
            uint64_t use, fence;                    /* 0: not given */
            int64_t lease_ms;                       /* RETURN_RENEW */
        } pool_return;
        struct {
            /* GROUP_NONE: the namespace's fields. GROUP_POOL and GROUP_CLIENT: those of that group alone; a pool comes
             * into being with its first change. */
            enum group_kind group;
            struct bytes group_name;
            const struct pool_policy_change *pool_change; /* GROUP_POOL: NULL: only read */
            /* GROUP_CLIENT: verb.id present: that session, which must be a living one of this client (else CONFLICT),
             * becomes the client's last active one. */
            const struct policy_change *change; /* NULL: only read */
            bool sets_purging;
            bool is_purging;           /* with sets_purging */
            int64_t purge_interval_ms; /* 0: as it is; else a change by itself, also without sets_purging */
            namespace_each each;       /* not NULL: list all names, sorted; namespace is not looked at */
            void *context;
        } configure;
    };

    /* ---- what is answered */
    struct error error;   /* code ERROR_NONE: it was done */
    bool is_found;        /* GET, UPDATE, TOUCH, MOVE, ACQUIRE: `session` holds one. RETURN: `usage` holds one.
                             CONFIGURE: the namespace (or the group) exists. END_ALL: the namespace existed */
    enum outcome outcome; /* UPDATE, MOVE: the last run's */
    uint64_t depends_on;  /* newest version that this answer depends on */
    union {
        struct session session; /* GET, TOUCH: as read. UPDATE: the new one; after KEEP and REMOVE the old one */
        struct {
            uint64_t total; /* how many match, if is_total_known; for END_ALL how many were ended */
            bool is_total_known;
            uint64_t work;                /* sessions looked at, taken or not: what the caller weighs its turn by */
            uint8_t cursor_size;          /* 0: the end was reached */
            char cursor[SCAN_CURSOR_MAX]; /* printable ASCII */
        } scan_result;                    /* SCAN and END_ALL */
        struct namespace_state namespace_state; /* CONFIGURE */
        struct pool_state pool_state;           /* CONFIGURE of a pool */
        struct client_state client_state;       /* CONFIGURE of a client */
    };
    struct usage usage;    /* of `session` where it is in a pool (session.usage points here then); RETURN: after it */
    bool is_usable;        /* RETURN: by its usage after it, and by its life */
    uint64_t use, fence;   /* ACQUIRE: the hand-out's number, and with lease_ms the lease's; else 0 */
    struct hand_out *more; /* ACQUIRE with count: the ones after the first, until the turn ends */
    uint32_t more_count;
    uint64_t private[4]; /* the engine's between its phases; nothing for others */
};

#define ANTICIPATED_MAX 16 /* so many at a time: more would push each other out of the cache */

/* A session that a verb to come may name; any bytes. */
struct anticipated {
    struct bytes namespace, id; /* borrowed during the call */
    uint64_t private;           /* the engine's */
};

/* What engine_submit made of a verb. SUBMIT_AGAIN: it was not executed, nor was any behind it in the submit, since what
 * it has to find done takes longer than a turn may; the engine goes on with that, and the verbs are to be submitted
 * again in a later turn. Only what names a pool, or changes a namespace as a whole, may have to wait so. */
enum submit_state { SUBMIT_DONE, SUBMIT_PENDING, SUBMIT_AGAIN };

struct engine_limits {
    uint64_t max_memory; /* bytes; 0: none. Refuses new sessions and growth of old ones with NO_MEMORY */
    uint32_t max_namespaces;
};

struct engine_options {
    unsigned loop_count; /* 1 to 64 */
    unsigned
        shard_bits; /* log2 of the number of shards; 0: the engine's default. Small ones make tests find collisions */
    int64_t now_ms; /* the clock at opening */
    struct engine_limits limits;
    const struct env *env; /* lives as long as the engine */
    /* What a namespace starts with, and how a change is applied to it: an engine knows the few entries that it enforces
     * and leaves the rest of a policy to whoever declares it. NULL: the schema's defaults; CONFIGURE then takes no
     * change. */
    const struct policy *default_policy;
    void (*policy_apply)(struct policy *policy, const struct policy_change *change);
    /* The same for pools; and how a pool makes a session by itself: `session_make` writes a new id of at most
     * LIMIT_MAX_ID bytes to `id` and answers its size; `session_begin` fills a draft that has id and pool with what a
     * new session of the pool starts with (`usage` is there to be filled too). Any loop's thread. NULL: no pools. */
    const struct pool_policy *default_pool_policy;
    void (*pool_policy_apply)(struct pool_policy *policy, const struct pool_policy_change *change);
    size_t (*pool_session_make)(void *context, char *id);
    void (*pool_session_begin)(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                               struct session *draft, struct usage *usage);
    void *pool_context;
    int64_t pool_turn_steps; /* what one turn of a loop takes of what is due in pools; 0: the engine's default. Small
                                ones make tests find pools that are behind */
    /* Where changes are told; lives as long as the engine. NULL: nowhere, and nothing is recovered. With one, the
     * engine has a reader more than loops: whoever makes snapshots, with the number loop_count. */
    struct journal *journal;
    /* A policy as bytes of a map by names that a later release can read, and back; false: it is no such map. Both are
     * needed with a journal. */
    void (*policy_encode)(struct buf *out, const struct policy *policy);
    bool (*policy_decode)(struct bytes encoded, struct policy *out);
    void (*pool_policy_encode)(struct buf *out, const struct pool_policy *policy);
    bool (*pool_policy_decode)(struct bytes encoded, struct pool_policy *out);
};

/* What recovery found; see engine_vtable.recovered. */
struct recovery_counts {
    uint64_t effects;  /* applied */
    uint64_t sessions; /* that live */
    uint64_t dead;     /* kept for their retention */
    uint64_t expired;  /* of them: while the server was down */
    uint64_t tombstones, namespaces, clients, pools, pool_sessions;
    uint64_t version; /* the newest */
    /* Given, not answered: the last moment at which the server is known to have run; 0: that of the newest version. */
    int64_t seen_at;
};

/* For so long after recovery a watch that begins is told which sessions expired while the server was down, and of so
 * many of them at most. */
#define EXPIRED_TOLD_MS  INT64_C(60000)
#define EXPIRED_KEPT_MAX 10000

/* Where a snapshot stands; all zero at its start. The engine's own but for is_done. */
struct snapshot_cursor {
    uint32_t part;
    uint32_t shard;
    uint64_t position;
    uint64_t version; /* the newest that anything told so far bears: the log has to be as far before this may count */
    uint64_t covered; /* all that changed up to it will be in the snapshot */
    bool is_inside, is_done;
};

/* Figures of an engine. Counters only grow. */
struct engine_stats {
    uint64_t sessions;      /* living, by the reaper's count */
    uint64_t sessions_dead; /* kept for their retention */
    uint64_t tombstones;
    uint64_t groups;
    uint64_t namespaces;
    uint64_t bytes_used; /* accounted: records, tables, groups, tombstones, wheels, retired */
    uint64_t bytes_records;
    uint64_t bytes_retired; /* waiting for readers */
    uint64_t bytes_mapped;  /* taken from the system for records, used or not */
    uint64_t pools, pool_waiting;
    uint64_t acquired_total, marked_total, retired_total, lease_expired_total;
    uint64_t events_total, events_lost_total; /* written to the rings; overrun before a loop read them */
    uint64_t created_total, replaced_total, removed_total, expired_total, touched_total, revoked_total;
    uint64_t moved_total;          /* sessions that were moved in memory, so that pages became free */
    uint64_t update_retries_total; /* a rule ran again because somebody was faster */
    uint64_t wheel_fired_total;
    int64_t reaper_lag_ms; /* how late the last expiry was reaped */
};

/* What an engine cannot do; contract tests read it. */
enum engine_feature {
    ENGINE_ATOMIC_MOVE = 1 << 0,
    ENGINE_EXACT_EXPIRY = 1 << 1,
    ENGINE_ORDERED_SCAN = 1 << 2,
    ENGINE_POOLS = 1 << 3, /* ACQUIRE, RETURN, CONFIGURE of a pool; waiters in the order in which they came */
    ENGINE_EVENTS = 1 << 4
};

struct engine;
/* Receives the answer of a PENDING verb, inside a turn of the loop that submitted it. verb->kind, private[0] (the
 * ticket) and everything that is answered are filled; `verb` is valid during the call. False: nobody is there any more
 * to take it; the engine then takes back what it handed out. */
typedef bool (*engine_done)(void *context, unsigned loop_index, struct verb *verb);

/* One engine's functions. `self` is the engine. */
struct engine_vtable {
    const char *name;
    unsigned features; /* enum engine_feature */

    /* Begins and ends a turn of a loop: see the head. Not nested. Neither blocks. */
    void (*enter)(struct engine *self, unsigned loop_index);
    void (*leave)(struct engine *self, unsigned loop_index);

    /* Inside a turn, while nothing that was handed out in it is looked at any more: from pause to resume the loop holds
     * nobody up, as if outside, and what it replaced before may be freed. All else of the turn goes on; nothing else is
     * called in between. NULL, both, in an engine that gains nothing by it. */
    void (*pause)(struct engine *self, unsigned loop_index);
    void (*resume)(struct engine *self, unsigned loop_index);

    /* Executes `count` verbs in order at `now_ms`, inside a turn. states[i] tells what became of verbs[i]. Calls `each`
     * functions of scans from inside, nothing else. All PENDING verbs are answered later by the `done` given to
     * set_done, on the same loop, never from inside submit; they are known by the ticket in private[0]. */
    void (*submit)(struct engine *self, unsigned loop_index, struct verb *verbs, enum submit_state *states,
                   size_t count, int64_t now_ms);

    /* Says which sessions, at most ANTICIPATED_MAX, the verbs of the next submits are likely to name, so that the
     * engine can ask for the memory of all of them at once. Inside a turn; decides nothing, and none of it need be
     * true. NULL in an engine that gains nothing by it. */
    void (*anticipate)(struct engine *self, unsigned loop_index, struct anticipated *sessions, size_t count);

    /* Says where the answers of PENDING verbs go; called once, before the first submit. NULL in an engine that never
     * answers PENDING. */
    void (*set_done)(struct engine *self, engine_done done, void *context);

    /* Gives up a PENDING acquire of this loop by its ticket, inside a turn: it costs no use, and `done` is not called
     * for it any more. False: there is none such; its answer was given. */
    bool (*cancel)(struct engine *self, unsigned loop_index, uint64_t ticket);

    /* The policy of a namespace, valid until the turn ends; NULL: there is no such namespace. hash_ids in it never
     * changes while the namespace stands. */
    const struct policy *(*policy)(struct engine *self, struct bytes namespace);

    /* From now on (`is_on`), or no longer, events are kept for this loop; wants_data: with the data of the session.
     * Inside a turn. The loop is woken (env.wake) when there are some. Answers a serial that no event bears yet: what
     * happens from now on bears it or a greater one, so that who begins to watch can be spared what only had to wait.
     */
    uint64_t (*watch)(struct engine *self, unsigned loop_index, bool is_on, bool wants_data);

    /* Hands all events since the last call to `each`: those of one session in their order. Inside a turn. With a
     * journal, only those that its mark covers: answers the version that the mark has to reach before there are more;
     * 0: there are no more. */
    uint64_t (*read_events)(struct engine *self, unsigned loop_index, event_each each, void *context);

    /* Hands out the expiries of while the server was down, in the order of their moments, and of those of which nothing
     * more is known or kept how many they are, as EVENT_LAGGED; within EXPIRED_TOLD_MS after recovery only. To be asked
     * for who begins to watch. Inside a turn. NULL in an engine that takes no journal. */
    void (*read_expired)(struct engine *self, unsigned loop_index, int64_t now_ms, event_each each, void *context);

    /* Works off what is due at `now_ms` for this loop's share of the engine, inside a turn, about `budget` records at
     * most. Answers when it wants to be called again: `now_ms` when work is left, INT64_MAX for never. */
    int64_t (*advance)(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget);

    /* Does what would hold up a loop: takes memory before it is needed, and gives back what it left. May take
     * milliseconds. Answers when it wants to be called again unasked; INT64_MAX: not before env->prepare. Any thread
     * that is no loop's, one at a time; may be left uncalled, but once it was called, env->prepare is to be obeyed. */
    int64_t (*prepare)(struct engine *self, int64_t now_ms);

    /* ---- durability; NULL in an engine that takes no journal */

    /* Every effect with a version up to the answer has been appended to the journal. Any thread. */
    uint64_t (*appended)(struct engine *self);

    /* What every file of effects begins with, so that it can be read by itself: hash keys and the like. At most
     * PREAMBLE_BYTES_MAX: what has no room in it is in other files. Any thread. */
    void (*preamble)(struct engine *self, struct buf *out);

    /* Recovery, before the first turn, on one thread: applies whole effects in any order (of two about the same thing
     * the newer holds), but those of a snapshot as they were told and before those of the log behind it; then
     * `recovered` once: what is out of date at now_ms goes, and everything that follows from the rest (groups, counts,
     * deadlines, pools) is worked out. False: they are not of this engine or release, *why says what is wrong with
     * them. Memory that is lacking is said there too. */
    bool (*apply)(struct engine *self, struct bytes effects, const char **why);
    bool (*recovered)(struct engine *self, int64_t now_ms, struct recovery_counts *counts, const char **why);

    /* Appends the next part of all that is there as effects to `out`, about `bytes_max` of them, and moves the cursor;
     * in turns of its own as reader loop_count, of a few hundred records each. What changes meanwhile is in the
     * snapshot or in what is appended to the journal after it began, or in both. One thread at a time, not a loop's. */
    void (*snapshot)(struct engine *self, struct snapshot_cursor *cursor, struct buf *out, size_t bytes_max,
                     int64_t now_ms);

    void (*stats)(struct engine *self, struct engine_stats *out);                /* any thread */
    void (*set_limits)(struct engine *self, const struct engine_limits *limits); /* any thread; holds from then on */
    /* Tests: the next advances move every session in memory, whatever that is worth. One thread, like prepare; NULL in
     * an engine that moves none. */
    void (*move_all)(struct engine *self, int64_t now_ms);
    void (*check)(struct engine *self); /* tests: asserts every invariant; no other call may run */
    void (*close)(struct engine *self); /* frees all; no turn may be open. */
};

/* First member of every engine. */
struct engine {
    const struct engine_vtable *vtable;
};

/* The memory engine. NULL where memory is lacking. */
struct engine *memory_engine_open(const struct engine_options *options);

#endif
