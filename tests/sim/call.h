/* One operation with its arguments, as the simulator draws it: what is encoded for the server and what the model is
 * told.
 *
 * Plain values, no pointers into anything that moves: data and meta lie in the seed's arena. */
#ifndef SIM_CALL_H
#define SIM_CALL_H

#include "base/buf.h"
#include "sessiond/protocol.h"

#define ID_TEXT_MAX            64
#define IDS_MAX                6
#define CLAUSES_MAX            3
#define COOKIE_TEXT_MAX        512 /* with its NUL */
#define SECRETS_OF_COOKIES_MAX 3

struct text {
    bool is_given, is_nil;
    char bytes[16];
};
struct number {
    bool is_given, is_nil;
    int64_t value;
};
struct score {
    bool is_given;
    double value;
};
struct blob {
    bool is_given, is_nil;
    struct bytes value; /* encoded */
};
struct increment {
    char key[8];
    bool is_real;
    int64_t whole;
    double real;
};

struct call {
    enum op op;
    uint32_t msgid;
    bool is_notification;
    char namespace[16];
    bool is_default_namespace;                 /* nil is sent; `namespace` is the connection's default */
    char id[ID_TEXT_MAX], new_id[ID_TEXT_MAX]; /* "": not given */
    struct text user, client;
    struct blob data, meta;
    struct number idle, absolute, abandon, deadline, created_at, extend, grace;
    enum set_mode mode;
    bool has_version;
    uint64_t version;
    bool touch, include_dead, revive, create, drops_data, restarts, extends;
    uint64_t fields; /* 0: not given */
    char ids[IDS_MAX][ID_TEXT_MAX];
    unsigned id_count;
    uint64_t statuses; /* 0: not given */
    unsigned limit;    /* 0: not given */
    bool oldest_first;
    char prefix[8], reason[16], by[ID_TEXT_MAX];
    char client_name[16]; /* of client.get and its like */
    uint64_t op_id;       /* 0: none */
    struct {
        char key[8];
        struct bytes value;
    } set[CLAUSES_MAX];
    char unset[CLAUSES_MAX][8];
    struct increment incr[CLAUSES_MAX];
    unsigned set_count, unset_count, incr_count;
    enum patch_target target;
    struct policy_change change;
    /* pools */
    char pool[16];       /* "": not given */
    struct text in_pool; /* the option of lists and of create */
    struct pool_policy_change pool_change;
    bool has_strategy;
    enum pool_strategy strategy;
    enum pool_create making;
    struct number lease, wait;
    unsigned count; /* 0: not given */
    bool has_tags;
    unsigned tags; /* bit n: "tn" */
    struct mark_outcome outcome;
    uint64_t use, fence;                  /* 0: not given */
    unsigned extra_code;                  /* 0: not given */
    struct number usage_count, max_usage; /* never nil */
    struct number error_count;            /* never nil */
    struct score score, max_score, decrement;
    bool force;
    struct bytes records;       /* of pool.load: an encoded array */
    const char *record_refusal; /* one of them is malformed: the error's code; NULL: none is */
    struct bytes cursor;        /* of session.list */
    /* tokens */
    bool token, pending, slide, allow_pending;
    char secret[64];
    struct text proof[3]; /* user agent, address, device key: to bind, or presented */
    /* server.purging */
    struct {
        bool is_given, is_nil, value;
    } enabled;
    struct number interval;
    /* watches */
    uint64_t kinds, watch; /* 0: not given */
    bool wants_data;
    /* cookies, and what stands in the place of an id */
    enum id_kind form; /* what is sent for `id`: with a handle or a cookie, `presented`, which should stand for it */
    bool public_only;
    const char *presented;                      /* a signed cookie, or the value of cookie.* */
    const struct cookie_attributes *attributes; /* NULL: not given */
    bool is_secure;
    char cookie_name[16];
    char secrets[SECRETS_OF_COOKIES_MAX][8]; /* with POLICY_COOKIE_SECRETS */
    unsigned secret_count;
};

/* Appends the request. `chance` chooses among encodings that mean the same: str or bin, integer or integral float, name
 * or number of the method. */
void call_encode(const struct call *call, uint64_t *chance, struct buf *out);

/* A number below `bound` from a seed's stream. */
static inline uint64_t chance_below(uint64_t *chance, uint64_t bound) {
    *chance = *chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t x = *chance ^ (*chance >> 29);
    x = (x * UINT64_C(0xbf58476d1ce4e5b9)) >> 20;
    return x % bound;
}
static inline bool chance_of(uint64_t *chance, unsigned percent) {
    return chance_below(chance, 100) < percent;
}

#endif
