/* The naive model: what the documents say that a server answers, with arrays and linear searches.
 *
 * Written from the session model's sentences, not from the server's rules. It executes the same calls in the same order
 * and holds each answer against its own. What only the server can choose (versions, ids made by it) it takes from the
 * answer, after checking the rules that hold for it. One thread. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "call.h"

#define NAMESPACES_MAX 4
#define RECORDS_MAX    8192
#define POOLS_MAX      16
#define CLIENTS_MAX    64
#define WAITERS_MAX    256
#define USES_MAX       128
#define HOLDS_MAX      64
#define SECRETS_MAX    5
#define SECRET_SIZE    43
#define HANDLE_SIZE    43
#define STATES_MAX     8
#define TOLD_MAX       16384

enum kind { KIND_RECORD, KIND_TOMBSTONE, KIND_ALIAS };

struct use {
    uint64_t number, fence; /* fence 0: without a lease */
    bool is_marked, is_open;
};

/* How a session of a pool fares. */
struct seat {
    uint64_t usage_count, error_count, max_usage;
    double score, max_score, decrement;
    int64_t last_used_at, retired_at, ready_at, leased_until; /* 0: none */
    uint64_t leased_use;                                      /* number, with leased_until */
    uint64_t fence;                                           /* of the newest lease */
    uint64_t order;                                           /* of its last hand-out among all; 0: never */
    bool is_spent;                                            /* it had its last hand-out */
    struct use uses[USES_MAX];
    unsigned use_count;
    bool has_given_back; /* a number may have been given out and back, and nobody was told it */
};

struct pool_model {
    unsigned namespace;
    char name[16];
    struct pool_policy policy;
    bool is_configured;
    int64_t holds[HOLDS_MAX]; /* ends of held places, the oldest first */
    unsigned hold_count;
};

/* What a client has beside its sessions. */
struct client_model {
    unsigned namespace;
    char name[16];
    int64_t created_at, updated_at;
    char last_id[ID_TEXT_MAX]; /* of the session that was active last; "": none */
    uint64_t last_life;        /* which of those that had the id */
};

/* An acquire that waits. */
struct waiter {
    const struct call *call;
    unsigned peer;
    int64_t until;
};

/* What stands, or stood, under one id. */
struct record {
    unsigned namespace;
    char id[ID_TEXT_MAX], handle[HANDLE_SIZE + 1];
    enum kind kind;
    int64_t buried_at;   /* tombstone: of the death. Alias: of the regenerate */
    int64_t alias_until; /* alias */
    char alias_of[ID_TEXT_MAX];
    char user[16], client[16], pool[16]; /* "": none */
    unsigned tags;                       /* bit n: "tn" */
    struct seat *seat;                   /* with a pool */
    struct bytes data, meta;             /* meta absent: none */
    int64_t created_at, last_active_at, written_at;
    uint64_t life;  /* one number from its create until it is gone, under whatever id */
    uint64_t birth; /* its place among those of one created_at; 0: it begins with being published */
    int64_t idle_ms, absolute_ms, abandon_ms;
    int64_t deadline; /* given by a caller; 0: none */
    enum status status;
    int64_t status_at;
    char reason[32], replaced_by[ID_TEXT_MAX];
    bool has_token;
    struct {
        char text[SECRET_SIZE + 1];
        int64_t grace_until; /* of an old one */
    } secrets[SECRETS_MAX];  /* those that were told, the current one first */
    unsigned secret_count;
    char bound[3][16]; /* user agent, address, device key; "": not bound */
    uint64_t version;  /* 0: not seen yet, but above version_floor */
    uint64_t version_floor;
    bool outlives_purge;            /* written after the namespace's last purge */
    unsigned writes;                /* how often it was written */
    bool is_forgotten, is_unburied; /* no longer kept, and no longer refused for its death, when a policy changed */
    bool is_deadline_told;
    bool is_made; /* by its pool */
};

/* Births that are no place: it began so long after its created_at that those of one have no order but that they come
 * last, or it was made by a pool before the model heard of it. */
#define BIRTH_LATE    (UINT64_MAX - 1)
#define BIRTH_UNKNOWN UINT64_MAX
#define BIRTH_LATE_MS 7

enum existence { EXISTS_NO, EXISTS_MAYBE, EXISTS_YES };

struct namespace_model {
    char name[16];
    enum existence existence;
    struct policy policy;
    int64_t purged_at; /* dead at or before this are forgotten; 0: never purged */
    int64_t swept_at;  /* last by a call that sweeps; 0: never */
    unsigned drops;
    unsigned dropped_told;                   /* so much had been told when it was last dropped */
    unsigned sweeps_ahead;                   /* calls that sweep, issued and not executed */
    char secrets[SECRETS_OF_COOKIES_MAX][8]; /* of its cookies, the newest first */
    unsigned secret_count;
    bool is_purging;
    int64_t purge_interval_ms, purge_at; /* the interval 0: never given */
};

/* What whoever watches has to hear. */
struct told {
    unsigned namespace;
    char id[ID_TEXT_MAX]; /* or the handle */
    const char *key;      /* which of the two */
    enum event_kind kind;
    char user[16], client[16], pool[16], reason[32];
    struct bytes data;
    int64_t at;
    unsigned record, writes; /* of which record, and how often it had been written */
    uint64_t version;        /* 0: not known then */
    unsigned after;          /* one plus the number of what must be heard before; 0: nothing */
    unsigned drops;          /* of its namespace before it */
    bool is_optional;
};

struct arena;
struct answer;

struct model {
    struct namespace_model namespaces[NAMESPACES_MAX];
    unsigned namespace_count;
    unsigned told_count;
    unsigned told_settled; /* so much had happened when all was worked off last */
    struct client_model clients[CLIENTS_MAX];
    unsigned client_count;
    struct record records[RECORDS_MAX];
    unsigned record_count;
    struct told told[TOLD_MAX];
    uint64_t births, lives;
    const struct call *call; /* that is executed */
    uint8_t id_key[32];      /* of handles */
    uint32_t output_mark;    /* of the server: what is listed in one piece may not be longer by more than a session */
    uint64_t version_max;    /* newest that was seen */
    int64_t reaped_until; /* everything due by then has been worked off: whole counts are exact if nothing died since */
    struct arena *arena;
    struct pool_model pools[POOLS_MAX];
    unsigned pool_count;
    struct bytes states[STATES_MAX]; /* what pool.state answered last: arrays of records */
    struct bytes pool_cursor;        /* where the last page of a pool ended; absent: at its end */
    char cursor_namespace[16], cursor_pool[16];
    unsigned state_count;               /* ever */
    struct waiter waiters[WAITERS_MAX]; /* in the order in which they came */
    unsigned waiter_count;
    uint64_t orders, fence_max;
    int64_t made_at;    /* when a pool last made a session, */
    int64_t made_count; /* and how many at that moment: for one who waits it is made at the end of the turn */
    int64_t mixed_at;   /* when several were handed out by one call last: others may have come between them */
    unsigned asker;     /* whose request is executed */
    /* Fetches the answer of a request that waits; false: none has come. */
    bool (*pull)(void *context, unsigned peer, uint32_t msgid, struct answer *answer);
    void *pull_context;
    const char *refusal;         /* where the model refuses: the code */
    const struct answer *answer; /* of the call that is executed */
    int64_t moment;              /* the same */
    uint64_t max_memory;         /* of the server; 0: none */
    uint64_t memory_used[2];     /* the server's: before it was fed last, and now */
    bool is_single;              /* one request at a time */
    unsigned max_namespaces;     /* of the server */
    uint64_t full[3];            /* refusals because of max_bytes, of max_memory and of max_namespaces */
    uint64_t loaded;             /* sessions */
    uint64_t let_in, reused;     /* tokens that were valid; that ended their session */
    bool expects_token;          /* the record that comes next brings its token */
    uint64_t watch_number;       /* of the watch that is about to start or stop */
    int64_t passed_until;        /* what is due by then has happened in the pools */
    uint64_t purges, on_clock;   /* purges that came by themselves; calls that another clock counted */
    int64_t clock_offset_ms;     /* the server's time less the wall clock's, by which callers count */
    bool is_lost;                /* a session was made that nobody was told of: the story ends here, and well */
    bool is_waiter;              /* who is served has waited */
    bool has_policy_ahead;       /* what is about to be executed changes a policy: who waits may be served after it */
    char complaint[512];
};

/* One answer: the encoded error (nil: none) and the encoded result. */
struct answer {
    struct bytes error, result;
};

void model_open(struct model *model);
/* Copies what the model holds; memory that it has handed out stays with `model`. */
void model_save(const struct model *model, struct model *saved);
void model_restore(struct model *model, const struct model *saved);
void model_close(struct model *model);

/* Executes `call` at `now_ms` and compares; an absent answer (of a notification) is not looked at. NULL: as expected;
 * else a sentence, valid until the next call. */
const char *model_execute(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);

unsigned model_namespace(const struct model *model, const char *name);
/* What stands under an id now; NULL: nothing that still counts. */
struct record *model_living(struct model *model, unsigned namespace, const char *id, int64_t now_ms);
/* Sessions of a namespace that are alive at `now_ms`. */
uint64_t model_count(const struct model *model, unsigned namespace, int64_t now_ms);
/* Whether the call ends, forgets or keeps what is there otherwise: two such calls in one millisecond are not told
 * apart. */
bool call_sweeps(const struct call *call);
/* Sessions that a session.list or session.count with these arguments is about. */
uint64_t model_count_listed(const struct model *model, const struct call *call, int64_t now_ms);
/* A moment at which something is due about the n-th record; 0: nothing. `which` picks one of several. */
int64_t model_due(const struct model *model, unsigned n, unsigned which);
/* Memory that lives as long as the model. */
void *model_alloc(struct model *model, size_t size);
struct bytes model_copy(struct model *model, struct bytes bytes);

/* ---- purging.c */
/* Purges what is to be purged by now; to be called at each moment at which something is due. */
void purging_pass(struct model *model, int64_t now_ms);

/* ---- told.c */
/* Writes down the deadlines that have passed. */
void told_pass(struct model *model, int64_t now_ms);

/* ---- waiters.c */
/* Lets happen in the pools what is due by now; NULL: as expected. */
const char *model_pass_time(struct model *model, int64_t now_ms);
bool model_waits(const struct model *model, unsigned peer, uint32_t msgid);
/* The connection is gone, and with it who waits on it. */
void model_cancel(struct model *model, unsigned peer);

/* ---- token.c */
/* Keeps the secret of a token that was answered; false: it is none that may have been. */
bool token_keep(struct model *model, struct record *record, const char *id, struct bytes encoded);

/* ---- hashed.c */
/* What stands in place of an id in namespaces with hash_ids. */
void handle_of_id(const struct model *model, const char *id, char handle[HANDLE_SIZE + 1]);
/* Whether the answer to the call that is executed shows a session's id, too. */
bool shows_id(const struct model *model, unsigned namespace);
/* What a session's name is in lists and events there: "id" or "handle". */
const char *name_key(const struct model *model, unsigned namespace);
/* Whether what has this name, an id or a handle, is alive. */
bool model_is_living(struct model *model, unsigned namespace, const char *name, int64_t now_ms);

/* ---- cookie.c */
/* Writes what cookie.sign answers for the value; at most 50 characters more than that. */
void cookie_sign(const char *secret, const char *value, char *out);

/* ---- compare.c */
int64_t record_expires_at(const struct record *record);
int64_t record_abandon_at(const struct record *record);
enum status record_status(const struct record *record, int64_t now_ms);
int64_t record_died_at(const struct record *record, int64_t now_ms);
/* Compares an encoded record with the fields asked for; `id` is the id it should show. False: the complaint says why.
 */
bool compare_record(struct model *model, struct record *record, const char *id, uint64_t fields, int64_t now_ms,
                    struct bytes encoded);
/* A version that the server showed: of a record that was written before, or just now. */
bool compare_version(struct model *model, struct record *record, uint64_t version);
/* Whether it is an error with this code. */
bool answer_is_refused(const struct answer *answer, const char *code);
bool compare_error(struct model *model, const struct answer *answer, const char *code);
/* The value of `key` in an encoded map; absent if there is none. */
struct bytes map_value(struct bytes map, const char *key);
int64_t integer_of(struct bytes encoded);
bool is_nil(struct bytes encoded);
bool complain(struct model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- patch.c */
/* The patched map, or false: BAD_REQUEST. `values` is the encoded map of the incremented keys. */
bool model_patch(struct model *model, const struct call *call, struct bytes old, struct bytes *result,
                 struct bytes *values);
bool model_patch_contradicts(const struct call *call);

#endif
