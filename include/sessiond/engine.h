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
#include "sessiond/protocol.h"
#include "sessiond/session.h"

/* A refusal, as it goes to the client. `message` is static text or points into memory that lives until the turn's end. */
struct error {
    enum error_code code;  /* ERROR_NONE (0): no error */
    const char *message;   /* one sentence that says what to do */
    uint64_t version;      /* 0: left out */
    enum status status;    /* 0: left out */
    int64_t limit;         /* -1: left out. Set it to -1 in every error, or use error_make */
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
    const struct session *old;    /* NULL unless ALIVE or DEAD */
    enum presence presence;
    const struct policy *policy;  /* of the namespace, or the defaults where there is none yet; never NULL */
    const void *arguments;        /* the operation's own */
    int64_t now_ms;
    struct scratch *scratch;      /* for bytes that a draft needs; reset before each run; see below */
};

enum outcome {
    OUTCOME_KEEP,    /* nothing changes; the verb's session is old, or none */
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
    VERB_ACQUIRE,   /* hand out one of a pool (not yet offered) */
    VERB_RETURN,    /* mark, release, renew a hand-out (not yet offered) */
    VERB_CONFIGURE, /* a namespace's own fields: change, read, list */
    VERB_KIND_COUNT
};

enum end_kind {
    END_REVOKE, /* members of a group become revoked, and stay for their retention */
    END_CLEAR,  /* all of a namespace is destroyed; the namespace stays */
    END_PURGE,  /* all dead records of a namespace are forgotten */
    END_DROP    /* the namespace goes with all it has */
};

/* Called for each session of a scan, in order; `session` is NULL for an id (of `ids`) that is missing or dead.
 * False: it was not taken; the scan stops before it and its cursor leads back to it. */
typedef bool (*scan_each)(void *context, const struct session *session);

/* State of a namespace, as describe tells it. */
struct namespace_state {
    struct bytes name;
    const struct policy *policy;
    uint64_t sessions;             /* living */
    uint64_t bytes;                /* memory of its records */
    bool is_purging;
    int64_t purge_interval_ms;
};
typedef bool (*namespace_each)(void *context, struct bytes name);

#define SCAN_CURSOR_MAX 64

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
            bool is_touch;     /* GET: touch what is alive. (VERB_TOUCH is a write: dead is GONE. This is a read: dead is none) */
        } get;
        struct {
            update_rule rule;
            const void *arguments;
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
            struct bytes prefix;   /* absent: any id */
            struct bytes cursor;   /* absent: from the start */
            uint64_t statuses;     /* bit 1 << status of each that is wanted */
            uint32_t limit;        /* sessions to hand out; 0 with each NULL: only count */
            bool is_oldest_first;
            scan_each each;        /* NULL: only count */
            void *context;
        } scan;
        struct {
            enum end_kind end;
            enum group_kind group; /* for END_REVOKE */
            struct bytes group_name;
            struct bytes except;   /* an encoded, checked array of ids; absent: none */
            struct bytes reason;
        } end_all;
        struct {
            const struct policy_change *change; /* NULL: only read */
            bool sets_purging;
            bool is_purging;                    /* with sets_purging */
            int64_t purge_interval_ms;          /* 0: as it is; else a change by itself, also without sets_purging */
            namespace_each each;                /* not NULL: list all names, sorted; namespace is not looked at */
            void *context;
        } configure;
    };

    /* ---- what is answered */
    struct error error;      /* code ERROR_NONE: it was done */
    bool is_found;           /* GET, UPDATE, TOUCH, MOVE: `session` holds one. CONFIGURE: the namespace exists.
                                END_ALL: the namespace existed */
    enum outcome outcome;    /* UPDATE, MOVE: the last run's */
    uint64_t depends_on;     /* newest version that this answer depends on */
    union {
        struct session session; /* GET, TOUCH: as read. UPDATE: the new one; after KEEP and REMOVE the old one */
        struct {
            uint64_t total;      /* how many match, if is_total_known; for END_ALL how many were ended */
            bool is_total_known;
            uint64_t work;       /* sessions looked at, taken or not: what the caller weighs its turn by */
            uint8_t cursor_size; /* 0: the end was reached */
            char cursor[SCAN_CURSOR_MAX]; /* printable ASCII */
        } scan_result;           /* SCAN and END_ALL */
        struct namespace_state namespace_state; /* CONFIGURE */
    };
    uint64_t private[4]; /* the engine's between its phases; nothing for others */
};

/* What engine_submit made of a verb. */
enum submit_state { SUBMIT_DONE, SUBMIT_PENDING };

struct engine_limits {
    uint64_t max_memory;    /* bytes; 0: none. Refuses new sessions and growth of old ones with NO_MEMORY */
    uint32_t max_namespaces;
};

struct engine_options {
    unsigned loop_count;     /* 1 to 64 */
    unsigned shard_bits;     /* log2 of the number of shards; 0: the engine's default. Small ones make tests find collisions */
    int64_t now_ms;          /* the clock at opening */
    struct engine_limits limits;
    const struct env *env;   /* lives as long as the engine */
    /* What a namespace starts with, and how a change is applied to it: an engine knows the few entries that it enforces
     * and leaves the rest of a policy to whoever declares it. NULL: the schema's defaults; CONFIGURE then takes no change. */
    const struct policy *default_policy;
    void (*policy_apply)(struct policy *policy, const struct policy_change *change);
};

/* Figures of an engine. Counters only grow. */
struct engine_stats {
    uint64_t sessions;             /* living, by the reaper's count */
    uint64_t sessions_dead;        /* kept for their retention */
    uint64_t tombstones;
    uint64_t groups;
    uint64_t namespaces;
    uint64_t bytes_used;           /* accounted: records, tables, groups, tombstones, wheels, retired */
    uint64_t bytes_records;
    uint64_t bytes_retired;        /* waiting for readers */
    uint64_t bytes_mapped;         /* taken from the system for records, used or not */
    uint64_t created_total, replaced_total, removed_total, expired_total, touched_total, revoked_total;
    uint64_t update_retries_total; /* a rule ran again because somebody was faster */
    uint64_t wheel_fired_total;
    int64_t reaper_lag_ms;         /* how late the last expiry was reaped */
};

/* What an engine cannot do; contract tests read it. */
enum engine_feature {
    ENGINE_ATOMIC_MOVE = 1 << 0,
    ENGINE_EXACT_EXPIRY = 1 << 1,
    ENGINE_ORDERED_SCAN = 1 << 2
};

struct engine;

/* Receives the answer of a PENDING verb, inside a turn of the loop that submitted it. verb->kind, private[0] (the ticket)
 * and everything that is answered are filled; `verb` is valid during the call. */
typedef void (*engine_done)(void *context, unsigned loop_index, struct verb *verb);

/* One engine's functions. `self` is the engine. */
struct engine_vtable {
    const char *name;
    unsigned features; /* enum engine_feature */

    /* Begins and ends a turn of a loop: see the head. Not nested. Neither blocks. */
    void (*enter)(struct engine *self, unsigned loop_index);
    void (*leave)(struct engine *self, unsigned loop_index);

    /* Executes `count` verbs in order at `now_ms`, inside a turn. states[i] tells what became of verbs[i]. Calls `each`
     * functions of scans from inside, nothing else. All PENDING verbs are answered later by the `done` given to
     * set_done, on the same loop, never from inside submit; they are known by the ticket in private[0]. */
    void (*submit)(struct engine *self, unsigned loop_index, struct verb *verbs, enum submit_state *states, size_t count,
                   int64_t now_ms);

    /* Says where the answers of PENDING verbs go; called once, before the first submit. NULL in an engine that never
     * answers PENDING. */
    void (*set_done)(struct engine *self, engine_done done, void *context);

    /* Works off what is due at `now_ms` for this loop's share of the engine, inside a turn, about `budget` records at
     * most. Answers when it wants to be called again: `now_ms` when work is left, INT64_MAX for never. */
    int64_t (*advance)(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget);

    void (*stats)(struct engine *self, struct engine_stats *out); /* any thread */
    void (*set_limits)(struct engine *self, const struct engine_limits *limits); /* any thread; holds from then on */
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
