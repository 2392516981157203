/* The world that a script plays in: one server on a virtual clock, its loops and connections, and what came out of
 * them.
 *
 * Everything that a connection was sent is filed at once: a reply with its request, an event with its connection. One
 * thread. */
#ifndef SCENARIO_PLAY_H
#define SCENARIO_PLAY_H

#include "crypto/keyring.h"
#include "notices.h"
#include "sessiond/engine.h"
#include "sessiond/server.h"
#include "support/late.h"
#include "value.h"

#define BASE_MS INT64_C(1767225600000)

enum { CONN_MAX = 8, REPLY_MAX = 64, WAITING_MAX = 16, LOOPS = 2, ADVANCE_BUDGET = 1000 };

struct mode {
    const char *name;
    bool is_reaping;    /* timers run at every `at` */
    bool is_one_by_one; /* every request is a batch of its own */
    bool is_bytewise;   /* every byte is a read of its own */
    bool is_late;       /* there is a journal, and every answer waits for it */
    bool is_restarting; /* and after each look at answers the server is another one, which has read the journal */
    unsigned shard_bits;
    struct engine *(*engine_open)(const struct engine_options *options);
};

struct outstanding {
    int line;
    uint64_t msgid;
    bool is_answered;
    bool is_moved;      /* it waits, under a name */
    struct buf message; /* the whole reply */
};

/* A request whose answer is looked at later. */
struct waiting {
    char name[32]; /* "": a free place */
    struct outstanding request;
};

struct play {
    const char *file;
    int line;
    const struct mode *mode;
    struct env env;
    uint64_t random_state;
    struct engine *engine;
    struct engine_limits engine_limits;
    struct late late; /* the journal, where the mode has one */
    struct keyring keyring;
    int64_t offset_ms; /* server time minus wall time */
    bool is_bound;     /* something has begun that ends with the server's process: it is restarted no more */
    unsigned restarts;
    struct server *server;
    struct server_limits limits;
    struct server_loop *loops[LOOPS];
    struct conn *conns[CONN_MAX];
    bool is_stalled[CONN_MAX]; /* it takes nothing of what it is sent */
    unsigned conn_index;
    int64_t now_ms;
    uint64_t msgid;
    struct buf input; /* requests that were not fed yet */
    struct outstanding all[REPLY_MAX];
    unsigned count, looked_at; /* of `all` */
    struct waiting waiting[WAITING_MAX];
    bool is_well;         /* no answer came that could not be placed */
    bool is_exact;        /* timers run at each moment at which something is due */
    bool is_woken[LOOPS]; /* env.wake was called for it */
    struct notices notices;
    struct captures captures;
    char place[300];
};

/* What went wrong, with the line; the script goes no further. */
void play_fail(struct play *play, const char *what);
/* The script is badly written: ends the program. */
_Noreturn void play_broken(struct play *play, const char *what);

/* Opens a fresh server for play->mode, and closes it with all its connections. */
void play_open(struct play *play);
void play_close(struct play *play);

/* Another server in the place of this one, with what the journal holds. False: it refused that. */
bool play_restart(struct play *play);
void play_set_offset(struct play *play, int64_t offset_ms);

/* The connection in use, opened if there is none. */
struct conn *play_conn(struct play *play);
void play_close_connection(struct play *play, unsigned index);

/* Feeds the requests that have gathered, as the mode cuts them. False: an answer came that could not be placed. */
bool play_flush(struct play *play);
/* The connection in use takes all that it was sent while it was stalled, and what the server sends it then. */
bool play_read_all(struct play *play);

/* Runs the loops that were woken, until none is. */
void play_run_woken(struct play *play);
/* Runs all timers; answers when the next one is due. */
int64_t play_run_timers(struct play *play);

#endif
