/* What the load generator must know about a server: how a request looks, and where a reply ends.
 *
 * A driver is a table of functions, one file each. Requests are templates, made once before the load: to send one is to
 * copy it and to lay the id, the number of the message and the stamp of the value over it. Replies are scanned in
 * place. Templates and setups are read-only once made, so any number of threads may use them; nothing here blocks but
 * `configure`, which asks the server on a connection of its own. */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include "base/buf.h"
#include "keys.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request {
    REQUEST_GET,
    REQUEST_GET_TOUCH,
    REQUEST_SET,
    REQUEST_LOAD,          /* the set that fills the server; carries a moment of death where the setup says so */
    REQUEST_PATCH_COUNTER, /* add 1 to a number in the session */
    REQUEST_PATCH_KEY,     /* replace one key of the session */
    REQUEST_CREATE,        /* a set that refuses an id that is taken */
    REQUEST_DESTROY,
    /* Whole operations on tokens: `subject` is the token. */
    REQUEST_LOGIN, /* create with a token, for a user and a client, within the user's limit */
    REQUEST_VALIDATE,
    REQUEST_ROTATE,
    REQUEST_LOGOUT,
    /* Whole operations on a pool: `subject` is the session's id. */
    REQUEST_POOL_ADD,
    REQUEST_ACQUIRE,
    REQUEST_MARK, /* good, and counted as a use of its own */
    REQUEST_MARK_GOOD,
    REQUEST_MARK_BAD, /* these three belong to a hand-out */
    REQUEST_MARK_RETIRE,
    REQUEST_RELEASE,
    REQUEST_COUNT
};
#define REQUEST_WHOLE_FIRST REQUEST_LOGIN
#define REQUEST_POOL_FIRST  REQUEST_POOL_ADD

/* A value begins with its head, then the first characters of the id it belongs to, then filling. */
enum { VALUE_STAMP_BYTES = 16, VALUE_BYTES_MIN = 32, VALUE_BYTES_MAX = 1 << 20 };
#define VALUE_FILLING 'x'
#define PLACE_NONE    SIZE_MAX

/* A token is the id, a dot and the secret; what we make ourselves for servers that make neither is as long. */
enum { SECRET_BYTES = 43, TOKEN_BYTES = KEY_ID_BYTES + 1 + SECRET_BYTES, SECRET_AT = KEY_ID_BYTES + 1 };
#define POOL_ID_PREFIX "session_"
enum { POOL_ID_RANDOM_BYTES = 22, POOL_ID_BYTES = sizeof POOL_ID_PREFIX - 1 + POOL_ID_RANDOM_BYTES };
enum { OWNER_BYTES = 12, USE_BYTES = 8 };
/* Each user has so many sessions, and one more is allowed: the limit is looked at by every login and stops none. */
enum { SESSIONS_PER_USER = 4, SESSIONS_PER_USER_MAX = 5 };

enum deadline_form { DEADLINE_NONE, DEADLINE_BIG_ENDIAN_MS, DEADLINE_DECIMAL_MS, DEADLINE_DECIMAL_S };

/* Where the bytes come from that are laid over a place of a whole operation's request. */
enum place_source {
    PLACE_SUBJECT, /* the token or the pool's session */
    PLACE_FRESH,   /* characters that were never used before */
    PLACE_USER,    /* OWNER_BYTES, the user's number */
    PLACE_CLIENT,  /* OWNER_BYTES, the client's */
    PLACE_USE      /* USE_BYTES, the hand-out's number, big endian */
};
struct place {
    size_t at;
    uint8_t source, from, size; /* enum place_source; bytes [from, from + size) of it */
};
enum { PLACES_MAX = 8 };

/* A request with places that are laid over when it is sent; a place that it has not is PLACE_NONE. */
struct template {
    struct buf text;    /* owned; empty where the server has no such request */
    size_t id_at;       /* KEY_ID_BYTES */
    size_t number_at;   /* the message's number, 4 bytes, big endian */
    size_t stamp_at;    /* VALUE_STAMP_BYTES */
    size_t deadline_at; /* 8 bytes, or 13 or 10 digits */
    enum deadline_form deadline_form;
    struct place places[PLACES_MAX]; /* further ones */
    uint8_t place_count;
    bool needs_fresh; /* one of them is PLACE_FRESH */
};

/* What is laid over; a member that the template has no place for is not looked at. */
struct fill {
    const uint8_t *id;      /* KEY_ID_BYTES; also the stamp */
    const uint8_t *subject; /* TOKEN_BYTES or POOL_ID_BYTES */
    const uint8_t *fresh;   /* TOKEN_BYTES */
    int64_t deadline_ms;
    uint64_t user, client, use;
    uint32_t number;
};

struct pool_setup {
    char name[40];
    uint64_t size, max_usage_count;
    const char *strategy; /* as sessiond names them */
    int64_t lease_ms;     /* 0: none */
};

enum script {
    SCRIPT_LOGIN,
    SCRIPT_VALIDATE,
    SCRIPT_ROTATE,
    SCRIPT_LOGOUT,
    SCRIPT_ADD,
    SCRIPT_ACQUIRE,
    SCRIPT_ACQUIRE_ORDERED,
    SCRIPT_MARK,
    SCRIPT_RELEASE,
    SCRIPT_COUNT
};
enum { SCRIPT_HASH_BYTES = 40 };

struct driver_setup {
    const char *namespace_name;             /* sessiond only */
    uint32_t value_bytes;                   /* of a session's data, whole */
    int64_t idle_timeout_ms;                /* the deadline of each session */
    bool is_numeric;                        /* sessiond: numbers instead of method names */
    bool is_data_only;                      /* sessiond: gets ask for the field data alone */
    bool is_deadline_explicit;              /* sessiond: each set carries its timeouts, instead of the namespace's */
    bool is_load_mortal;                    /* REQUEST_LOAD carries a moment, and sessiond keeps nothing of the dead */
    uint32_t method_numbers[REQUEST_COUNT]; /* filled in by configure */
    struct pool_setup pool;                 /* whose sessions the pool requests are about */
    char script_hashes[SCRIPT_COUNT]
                      [SCRIPT_HASH_BYTES + 1];     /* Redis: filled in by configure; empty where it has none */
    uint32_t echo_request_bytes, echo_reply_bytes; /* echo: the sizes it plays */
};

enum reply_kind { REPLY_DONE, REPLY_VALUE, REPLY_MISS, REPLY_ERROR };

struct reply {
    enum reply_kind kind;
    uint32_t number;    /* the message's, where the driver has numbers */
    struct bytes value; /* of REPLY_VALUE: what was stored, for sessiond the result; of REPLY_ERROR: what was said */
};

/* What a whole operation's reply tells for the requests that follow. */
struct found {
    struct bytes subject; /* the token, or the id of the pool's session; absent if it tells none */
    uint64_t use;
};

enum { SCAN_MORE = 0, SCAN_MALFORMED = -1 };

struct endpoint;
struct driver {
    const char *name;
    bool is_in_order;          /* replies come in the order of the requests; otherwise by number */
    bool has_patch;            /* REQUEST_PATCH_*; otherwise a patch is a get and then a set */
    int64_t deadline_grain_ms; /* how exactly the server knows when a session ends */
    /* Makes one request; false where the server has none. May fail for lack of memory only through text.is_failed. */
    bool (*make)(const struct driver_setup *setup, enum request request, struct template *template);
    /* Looks at the bytes of a reply, from its first: its size where it is whole, SCAN_MORE or SCAN_MALFORMED. */
    long (*scan)(const struct driver_setup *setup, struct bytes bytes, struct reply *reply);
    /* True if the reply to a get carries the value of that id: its stamp, its filling, its length. */
    bool (*check)(const struct driver_setup *setup, const struct reply *reply, const uint8_t id[KEY_ID_BYTES]);
    /* The same for a whole operation: NULL if the reply is right, else what is wrong with it, and what was found. `id`
     * is of the session whose data it must carry; NULL: data is not looked at this time. The member is NULL where a
     * server's replies say nothing. */
    const char *(*judge)(const struct driver_setup *setup, enum request request, const struct reply *reply,
                         const uint8_t *id, struct found *found);
    /* Makes the pool of the setup; NULL where there is nothing to be made. */
    bool (*configure_pool)(const struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                           size_t problem_size);
    /* Makes sure that such a server is there and sets it up; false with a sentence in `problem`. */
    bool (*configure)(struct driver_setup *setup, const struct endpoint *endpoint, char *problem, size_t problem_size);
    /* Bytes that each connection begins with; 0 for none. `out` holds 64. */
    size_t (*greet)(const struct driver_setup *setup, uint8_t *out);
};

extern const struct driver driver_sessiond, driver_redis, driver_memcached, driver_echo;

/* The driver of that name, or NULL. */
const struct driver *driver_find(const char *name);

struct templates {
    struct template of[REQUEST_COUNT];
    size_t bytes_max; /* of the longest */
};

/* Makes all requests of a driver; false where memory is lacking. templates_fini frees them. */
bool templates_make(struct templates *templates, const struct driver *driver, const struct driver_setup *setup);
void templates_fini(struct templates *templates);

/* Copies a request to `out`, which has room for it, with its places laid over; answers its size. */
size_t template_write(const struct template *template, uint8_t *out, const struct fill *fill);

/* For the drivers: append a text, an id's place, a value's stamp and filling (`bytes` in all), a deadline's digits. */
void template_text(struct template *template, const char *text);
void template_id(struct template *template);
void template_filling(struct template *template, size_t bytes);
void template_place(struct template *template, enum place_source source, uint8_t from, uint8_t size);
void template_deadline(struct template *template, enum deadline_form form);

/* True if the bytes are what template_filling made for that id. */
bool filling_is(struct bytes bytes, const uint8_t id[KEY_ID_BYTES]);

/* A whole line ending in CR LF: its size with them, or SCAN_MORE, or SCAN_MALFORMED above 4 KiB without an end. */
long line_scan(struct bytes bytes);

#endif
