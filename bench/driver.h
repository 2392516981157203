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
    REQUEST_COUNT
};

/* A value begins with its head, then the first characters of the id it belongs to, then filling. */
enum { VALUE_STAMP_BYTES = 16, VALUE_BYTES_MIN = 32, VALUE_BYTES_MAX = 1 << 20 };
#define VALUE_FILLING 'x'
#define PLACE_NONE    SIZE_MAX

enum deadline_form { DEADLINE_NONE, DEADLINE_BIG_ENDIAN_MS, DEADLINE_DECIMAL_MS, DEADLINE_DECIMAL_S };

/* A request with places that are laid over when it is sent; a place that it has not is PLACE_NONE. */
struct template {
    struct buf text;    /* owned; empty where the server has no such request */
    size_t id_at;       /* KEY_ID_BYTES */
    size_t number_at;   /* the message's number, 4 bytes, big endian */
    size_t stamp_at;    /* VALUE_STAMP_BYTES */
    size_t deadline_at; /* 8 bytes, or 13 or 10 digits */
    enum deadline_form deadline_form;
};

struct driver_setup {
    const char *namespace_name;             /* sessiond only */
    uint32_t value_bytes;                   /* of a session's data, whole */
    int64_t idle_timeout_ms;                /* the deadline of each session */
    bool is_numeric;                        /* sessiond: numbers instead of method names */
    bool is_data_only;                      /* sessiond: gets ask for the field data alone */
    bool is_deadline_explicit;              /* sessiond: each set carries its timeouts, instead of the namespace's */
    bool is_load_mortal;                    /* REQUEST_LOAD carries a moment, and sessiond keeps nothing of the dead */
    uint32_t method_numbers[REQUEST_COUNT]; /* filled in by configure */
    uint32_t echo_request_bytes, echo_reply_bytes; /* echo: the sizes it plays */
};

enum reply_kind { REPLY_DONE, REPLY_VALUE, REPLY_MISS, REPLY_ERROR };

struct reply {
    enum reply_kind kind;
    uint32_t number;    /* the message's, where the driver has numbers */
    struct bytes value; /* of REPLY_VALUE: what was stored, for sessiond the result; of REPLY_ERROR: what was said */
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

/* Copies a request to `out`, which has room for it, with its places laid over; answers its size. `deadline_ms` is used
 * where the template has a place for it. */
size_t template_write(const struct template *template, uint8_t *out, const uint8_t id[KEY_ID_BYTES], uint32_t number,
                      int64_t deadline_ms);

/* For the drivers: append a text, an id's place, a value's stamp and filling (`bytes` in all), a deadline's digits. */
void template_text(struct template *template, const char *text);
void template_id(struct template *template);
void template_filling(struct template *template, size_t bytes);
void template_deadline(struct template *template, enum deadline_form form);

/* True if the bytes are what template_filling made for that id. */
bool filling_is(struct bytes bytes, const uint8_t id[KEY_ID_BYTES]);

/* A whole line ending in CR LF: its size with them, or SCAN_MORE, or SCAN_MALFORMED above 4 KiB without an end. */
long line_scan(struct bytes bytes);

#endif
