/* libsessiond, the C client of sessiond: sessions over TCP or a Unix socket, from C and C++.
 *
 * What is always true:
 * - No global state. A client belongs to one thread at a time; use one client per thread, and none across fork().
 * - Errors are values: a function that can fail answers a code, 0 for success, and sessiond_client_error() has the
 *   sentence and the details. The library never prints, never exits and never raises a signal.
 * - Everything ends: a blocking function returns after timeout_ms at the latest (looking up a host's name comes on top,
 *   as the system's resolver does that), and every buffer has a limit in struct sessiond_client_options.
 * - What a function hands out as a pointer to a pointer is one block that owns all it points to, stays valid after the
 *   client is closed, and is given back with sessiond_free().
 * - Times ending in _at are milliseconds since the Unix epoch on the server's clock, durations end in _ms.
 *
 * The typed operations (sessiond_get, sessiond_set, ...) are at the end, in client_ops.gen.h. */
#ifndef SESSIOND_CLIENT_H
#define SESSIOND_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sessiond/client_constants.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SESSIOND_API __attribute__((visibility("default")))
#else
#define SESSIOND_API
#endif

/* ---------------------------------------------------------------- errors */

/* Codes that never come from a server; they continue enum sessiond_error_code, which is what the server answers. */
enum sessiond_client_error_code {
    SESSIOND_ERROR_OTHER = 1000,  /* a code that this library does not know: code_name has it */
    SESSIOND_ERROR_CONNECTION,    /* no connection, or it was lost and the request could not safely be repeated */
    SESSIOND_ERROR_TIMEOUT,       /* no answer within timeout_ms; a write may or may not have been done */
    SESSIOND_ERROR_PROTOCOL,      /* what the other side sends is not sessiond's protocol; the connection was closed */
    SESSIOND_ERROR_URL,           /* the URL cannot be used */
    SESSIOND_ERROR_ARGUMENT,      /* an argument cannot be sent; nothing was sent */
    SESSIOND_ERROR_OVERLOADED,    /* a limit of this client is reached: take replies first, or raise the limit */
    SESSIOND_ERROR_CLIENT_MEMORY, /* malloc failed */
    SESSIOND_ERROR_CLOSED         /* the client was closed before the answer came */
};

enum { SESSIOND_CODE_NAME_MAX = 31, SESSIOND_MESSAGE_MAX = 255 };

/* An error, complete in itself: it may be copied and kept. */
struct sessiond_error {
    int code;                                   /* 0: no error; else one of the two enums */
    char code_name[SESSIOND_CODE_NAME_MAX + 1]; /* the code as a word, such as "GONE" */
    char message[SESSIOND_MESSAGE_MAX + 1];     /* one sentence that says what to do; may be cut */
    uint64_t version;                           /* the record's version, with CONFLICT; 0: not said */
    enum sessiond_status_code status;           /* the record's status, with GONE and CONFLICT; 0: not said */
    int64_t limit;                              /* the limit that was met; -1: not said */
    int64_t retry_after_ms;                     /* with BUSY, and with STORAGE where nothing was changed; 0: not said */
};

/* The word of a status, such as "revoked"; NULL where it is none. */
SESSIOND_API const char *sessiond_status_name(enum sessiond_status_code status);

/* ---------------------------------------------------------------- values */

/* A run of bytes: an encoded MessagePack value, as any MessagePack library makes it (with msgpack-c: the data and size
 * of a msgpack_sbuffer). bytes NULL is "not given". */
struct sessiond_bytes {
    const void *bytes;
    size_t size;
};

/* A text in an answer. It is followed by a NUL, which is not counted. text NULL: there is none. */
struct sessiond_text {
    const char *text;
    size_t size; /* bytes; an id may hold any UTF-8, a NUL too */
};

/* Texts as an argument: `count` NUL-terminated ones. */
struct sessiond_texts {
    const char *const *texts;
    size_t count;
};

/* Status codes as an argument, and in an answer. codes NULL: not given. */
struct sessiond_codes {
    const uint16_t *codes;
    size_t count;
};

/* How a use of a pool's session went; in place of one of these a mark also takes the status code of an answer, from 100
 * to 599. */
enum sessiond_outcome { SESSIOND_MARK_GOOD = 1, SESSIOND_MARK_BAD = 2, SESSIOND_MARK_RETIRE = 3 };

/* A truth value that can be left out. */
enum sessiond_bool { SESSIOND_UNSET = 0, SESSIOND_TRUE = 1, SESSIOND_FALSE = 2 };

/* In the option structs a member that is all zero is left out of the request, so that `= {0}` asks for nothing. These
 * say what zero cannot say, for members of type int64_t, double, const char * and struct sessiond_codes. */
#define SESSIOND_ZERO       INT64_MIN       /* the number 0: no timeout, no limit */
#define SESSIOND_NIL        (INT64_MIN + 1) /* nil: clear it, or go back to the namespace's default */
#define SESSIOND_ZERO_SCORE (-1.0)          /* the score 0 */
#define SESSIOND_NIL_SCORE  (-2.0)          /* nil: back to the default */
#define SESSIOND_NIL_TEXT   (sessiond_nil_text)
#define SESSIOND_NIL_CODES  (sessiond_nil_codes) /* for the member codes; an empty array has any other pointer */
SESSIOND_API extern const char sessiond_nil_text[];
SESSIOND_API extern const uint16_t sessiond_nil_codes[];

/* Gives back anything that this library handed out. NULL is fine. */
SESSIOND_API void sessiond_free(void *result);

/* ---------------------------------------------------------------- requests and replies */

/* One request, encoded. It belongs to its maker until it is sent, and then to the client. */
struct sessiond_request;

/* One answer. `error.code` says which of the two it is. Owns all its bytes. */
struct sessiond_reply {
    struct sessiond_error error;
    struct sessiond_bytes result;  /* one encoded value; bytes NULL where there is an error */
    struct sessiond_bytes details; /* the error as the server sent it, a map; bytes NULL where there is none */
};

/* Makes a request for any method, also one that this library does not know. `params` is one encoded MessagePack array;
 * it is copied. A write that the library knows gets an op_id, unless it has one: then it may safely be repeated.
 * NULL only where memory is lacking; a mistake in the arguments becomes the answer when it is sent. */
SESSIOND_API struct sessiond_request *sessiond_request_make(const char *method, struct sessiond_bytes params);

/* Gives back a request that was not sent. NULL is fine. */
SESSIOND_API void sessiond_request_free(struct sessiond_request *request);

/* ---------------------------------------------------------------- the blocking client */

struct sessiond_client;

/* All zero is what most want. */
struct sessiond_client_options {
    int64_t timeout_ms;         /* longest a blocking function takes; 0: 2,000 */
    int64_t connect_timeout_ms; /* longest that one attempt to connect takes; 0: 1,000 */
    int64_t
        reconnect_min_ms; /* the first pause after an attempt that failed; it doubles, half of it by chance; 0: 20 */
    int64_t reconnect_max_ms; /* the longest pause; in a blocking client at most a quarter of timeout_ms; 0: 2,000 */
    uint32_t max_in_flight;   /* requests sent whose replies were not taken, or waiting to be sent; 0: 65,536 */
    size_t max_held_bytes;    /* of such requests and their replies together, at most 1 GiB; 0: 256 MiB */
    size_t max_event_bytes;   /* of events that were not taken; more are counted and told as one lagged; 0: 16 MiB */
    size_t max_reply_bytes;   /* of one reply; a longer one is a PROTOCOL error; 0: 16 MiB */
    const char *client_name;  /* for the server's log; NULL: "libsessiond" */
};

/* Opens a client and connects it; the hosts are tried in turn, once each. The client is handed out in *client even
 * where that failed (NULL only where memory is lacking), so that its error can be read; it connects again when it is
 * used. Only a bad URL makes it useless. Close it in any case.
 *
 * URLs: sessiond://host[:port][,host2[:port]...][/namespace]  (port 7420 if left out, IPv6 in brackets)
 *       sessiond+unix:///path/of/socket[?namespace=name]
 * The namespace is percent-decoded. Several hosts are the ways to one server or cluster. */
SESSIOND_API int sessiond_client_open(const char *url, const struct sessiond_client_options *options,
                                      struct sessiond_client **client);

/* Closes the connection and frees the client; replies not taken are lost, those taken stay valid. NULL is fine. */
SESSIOND_API void sessiond_client_close(struct sessiond_client *client);

/* The error of the last function that failed on this client, valid until the next call; code 0 if the last succeeded.
 */
SESSIOND_API const struct sessiond_error *sessiond_client_error(const struct sessiond_client *client);

/* The namespace that the typed operations use, "" if none was given: the URL's, or what was set since. */
SESSIOND_API const char *sessiond_client_namespace(const struct sessiond_client *client);

/* Changes it, 1 to 64 bytes; it is copied. */
SESSIOND_API int sessiond_client_set_namespace(struct sessiond_client *client, const char *name);

/* Whether there is a connection now, as far as is known without asking. */
SESSIOND_API bool sessiond_client_is_connected(const struct sessiond_client *client);

/* Sends one request of any method and waits for the answer. An answer that is an error is the code, and *reply is then
 * NULL. A request whose connection is lost is repeated if it is a read or carries an op_id.
 * `params`: one encoded array, with the namespace in it (nil: the one of the URL). reply may be NULL. */
SESSIOND_API int sessiond_call(struct sessiond_client *client, const char *method, struct sessiond_bytes params,
                               struct sessiond_reply **reply);

/* Pipelining: send many, then take their replies in any order. Takes the request over, also where it fails. *ticket
 * names the reply, and must be received. It may return before a byte is written: sessiond_receive sees to that. */
SESSIOND_API int sessiond_send(struct sessiond_client *client, struct sessiond_request *request, uint64_t *ticket);

/* Waits for the reply to one request. 0 means that there is one, and reply->error says whether it is an error of the
 * server. After another code the ticket is used up too. */
SESSIOND_API int sessiond_receive(struct sessiond_client *client, uint64_t ticket, struct sessiond_reply **reply);

/* ---------------------------------------------------------------- events */

/* Kinds that never come from a server; they continue enum sessiond_event_code. */
enum sessiond_client_event_code {
    SESSIOND_EVENT_RESUMED = 1000, /* the connection was lost, and the watch runs again: events in between are missing,
                                      and seq begins again */
    SESSIOND_EVENT_STOPPED /* the connection was lost, and the server did not take the watch again: it is over */
};

/* What happened to a session, as a watch (sessiond_watch_start) tells it. Free it with sessiond_free. */
struct sessiond_event {
    int64_t watch;                           /* as sessiond_watch_start answered it */
    uint64_t seq;                            /* counts the watch's events from 1, those that were left out included */
    int kind;                                /* one of the two enums; 0: one that this library does not know */
    struct sessiond_text kind_name;          /* the kind as a word, such as "expired" */
    struct sessiond_text id, handle;         /* of the session: one of the two; text NULL: the other */
    struct sessiond_text user, client, pool; /* its groups; text NULL: none */
    struct sessiond_text reason;             /* text NULL: none */
    int64_t at;                              /* when it happened */
    uint64_t version;                        /* of the record after it */
    uint64_t missed;                         /* with SESSIOND_EVENT_LAGGED: how many events were left out */
    struct sessiond_bytes data;              /* where the watch asked for it; bytes NULL: none */
    struct sessiond_bytes value;             /* the whole event, one encoded map, as the server sent it */
};

/* Waits at most timeout_ms for the next event of any watch of this client; *event is NULL where none came (that is no
 * error). Events that come during other calls are kept for this one. A lost connection is made again first, which may
 * take the client's timeout_ms on top; watches go on after it with SESSIOND_EVENT_RESUMED. */
SESSIOND_API int sessiond_event_next(struct sessiond_client *client, int64_t timeout_ms, struct sessiond_event **event);

/* ---------------------------------------------------------------- results */

/* Several records in the order asked for; NULL where there is none. */
struct sessiond_records {
    size_t count; /* may be less than was asked: then ask for the rest again */
    const struct sessiond_record *const *records;
};

/* A page of a list. */
struct sessiond_page {
    size_t count;
    const struct sessiond_record *const *sessions;
    struct sessiond_text cursor; /* give it to the next call; text NULL: this was the last page */
    int64_t total;               /* how many match; -1: not known */
};

/* What a write answers. */
struct sessiond_written {
    uint64_t version;             /* the new version; 0: not said */
    int64_t expires_at;           /* 0: never */
    struct sessiond_bytes values; /* of patch with incr: a map of the new numbers; bytes NULL: not said */
};

/* Names. */
struct sessiond_names {
    size_t count;
    const struct sessiond_text *names;
};

/* A result without a shape of its own: one encoded value, normally a map. */
struct sessiond_value {
    struct sessiond_bytes value;
};

struct sessiond_purging {
    bool is_enabled;
    int64_t interval_ms;
};

/* A snapshot that was asked for. */
struct sessiond_snapshot {
    int64_t number;        /* it is whole when the server's figure snapshot_number has reached this */
    int64_t newest_number; /* of the newest whole one; 0: there is none */
    int64_t failures;      /* snapshots that came to nothing since the server's start */
};

/* What a token turned out to be, at validate or rotate. */
struct sessiond_checked {
    bool is_valid;              /* of rotate: it gave a new token */
    struct sessiond_text error; /* why not, such as "invalid_token"; also beside a valid one, where the namespace only
                                   reports mismatches. text NULL: nothing is wrong */
    struct sessiond_text token; /* of rotate: the new one; text NULL: none */
    const struct sessiond_record *session; /* NULL: none is told */
};

/* The sessions of a client (a browser or device). */
struct sessiond_client_sessions {
    size_t count;
    const struct sessiond_record *const *sessions;             /* the oldest first */
    struct sessiond_text id;                                   /* the client's */
    struct sessiond_text last_active_session, default_session; /* ids; text NULL: none */
    int64_t created_at, updated_at;
};

/* A page of a pool's sessions. */
struct sessiond_pool_sessions {
    size_t count;
    const struct sessiond_record *const *sessions; /* the oldest first */
    struct sessiond_text cursor;                   /* give it to the next call; text NULL: this was the last page */
    int64_t usable_count, retired_count;           /* of the whole pool */
};

/* How a session of a pool stands after a mark. */
struct sessiond_marked {
    uint64_t usage_count;
    double error_score;
    bool is_usable, is_retired;
};

/* A cookie's value whose signature is right. */
struct sessiond_cookie {
    struct sessiond_text value;
    int64_t key_index; /* of the secret that signed it; 0 is the newest */
};

#ifdef __cplusplus
}
#endif

#include "sessiond/client_ops.gen.h"

#endif
