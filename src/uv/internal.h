/* What the files of this folder share: one shell, its loops and their peers.
 *
 * shell (all loops, start and end), loop (one loop: turns, time, ticks), peer (one connection: reading, writing,
 * ending), transport (how its bytes move: libuv or io_uring), listener (who gets which new socket), clock, inbox. A
 * loop and its peers belong to the loop's thread; of another loop only the fields marked "any thread" may be touched.
 * Loop 0 runs on the main thread and also has the listeners and the signals. */
#ifndef UV_INTERNAL_H
#define UV_INTERNAL_H

#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "sessiond/server.h"
#include "uv/clock.h"
#include "uv/inbox.h"
#include "uv/key_file.h"
#include "uv/preparer.h"
#include "uv/shell.h"
#include "uv/storage.h"
#include "uv/transport.h"

#include <assert.h>
#include <stdatomic.h>
#include <uv.h>

#define LOOP_COUNT_MAX 64

#define READ_BUFFER_BYTES     (64 * 1024) /* what one connection may feed in one turn, over libuv */
#define TICK_MS               1000        /* housekeeping of a loop */
#define DRAIN_TICK_MS         20          /* how often a draining loop looks for connections that owe nothing */
#define ADVANCE_BUDGET        1000        /* records that one turn works off */
#define DRAIN_PATIENCE_MS     1000        /* how long a draining loop waits for a busy connection to fall silent */
#define WRITE_ROUNDS_MAX      4           /* pages of output in one turn, for one connection */
#define SLOW_READER_BYTES_MIN (64 * 1024) /* what a reader must take in slow_reader_timeout_ms */
#define LINGER_MS             2000        /* how long a refused peer may still send before it is cut */
#define LINGER_BYTES_MAX      (8 << 20)   /* how much of that is read and thrown away */
#define IDLE_CHECKS_PER_TICK  1024        /* connections looked at for being idle */
#define ACCEPTS_PER_TURN      64
#define LISTENERS_MAX         2                /* TCP and Unix */
#define SPARE_FILES           (64 + INBOX_MAX) /* descriptors beside those of connections and loops */
#define FILES_PER_LOOP        8                /* more than a loop has of its own, with a ring or without */
#define FILES_MIN             32               /* more than a server has beside its loops before anybody connects */

struct shell_loop;

/* Why a connection is closed from this side; names in peer.c. */
enum cut { CUT_GONE, CUT_DONE, CUT_SLOW_READER, CUT_OUTPUT, CUT_SILENT, CUT_IDLE, CUT_EVICTED, CUT_DRAIN, CUT_COUNT };

/* What libuv keeps of a connection. */
struct uv_link {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    union {
        uv_req_t request;
        uv_write_t write;       /* while is_flying */
        uv_shutdown_t shutdown; /* once is_lingering */
    };
    bool has_filled_buffer; /* the last read of this turn was a whole buffer: no second one in this turn */
};

/* What the ring keeps of a connection; see ring_peer.c. */
struct ring_link {
    struct list link;         /* in the ring's touched or posted */
    struct list starved_link; /* in the ring's starved */
    struct bytes rest;        /* of the flight: what is still to be sent */
    int post_result;          /* of the post: bytes or a negative error */
    unsigned fill_count;      /* receives in a row that filled their buffer */
    unsigned heavy_left;      /* while it sends much: shorter receives until it counts as light again */
    bool is_armed;            /* a receive is under way: its last completion has not come */
    bool is_endless;          /* that goes on by itself */
    bool is_cancelling;
    bool is_sending; /* a send of the flight is under way */
    bool is_ending;  /* all of it has been told to end */
};

/* One connection. Belongs to its loop; freed in peer_closed. */
struct peer {
    union {
        struct uv_link uv;
        struct ring_link ring;
    };
    int fd;
    struct shell_loop *loop;
    struct conn *conn;
    struct list link;        /* in the loop's silent, spoken or lingering */
    struct list flying_link; /* in the loop's flying */
    int64_t opened_at;       /* server time, ms; once lingering, when that began */
    int64_t active_at;       /* last bytes received */
    int64_t slow_since;      /* when `slow_mark` was taken */
    uint64_t slow_mark;      /* `taken_bytes` then */
    uint64_t taken_bytes;    /* output that the system took, without what is left of the flight */
    size_t flight_bytes;     /* of the write that flies */
    size_t discarded_bytes;  /* while lingering */
    bool is_flying, is_reading, is_lingering, is_closed;
    bool is_posted; /* its output is written when the round ends: see transport.h */
    bool has_spoken;
    bool has_ended;          /* the other side sends no more: answer what it asked, then close */
    bool waits_from_now;     /* nothing waited when the last write ended: a new wait begins with the next */
    enum conn_state settled; /* while is_posted: what the core said last */
};

struct shell_loop {
    struct shell *shell;
    unsigned index;
    const struct transport *transport;
    struct ring *ring; /* NULL: the transport has none */
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_idle_t busy;     /* active while the core has work that is due */
    uv_timer_t timer;   /* the core's next deadline */
    uv_timer_t tick;    /* housekeeping */
    uv_async_t async;   /* idle where the transport signals otherwise */
    uv_thread_t thread; /* not for loop 0 */
    struct server_loop *core;
    struct metrics *metrics;
    uint64_t turn_began_ns; /* while is_in_turn */
    bool is_in_turn, is_draining, is_finished;
    bool has_to_share;      /* there are more loops than processors for this one to run on */
    uint64_t yielded_at;    /* uv_hrtime */
    bool is_over;           /* nothing is left to do: the transport's run ends */
    int64_t drain_began_at; /* server time, ms */
    struct list silent;     /* peers that have not sent a whole request; oldest first */
    struct list spoken;
    struct list lingering; /* oldest first */
    struct list flying;
    struct inbox inbox;                /* any thread */
    _Atomic bool wants_advance;        /* any thread */
    _Atomic unsigned connection_count; /* any thread; a socket in the inbox counts */
    _Atomic unsigned silent_count;     /* any thread reads */
    _Atomic unsigned replacing_count;  /* any thread: sockets in the inbox that shall take a silent one's place */
    _Atomic int64_t oldest_silent_at;  /* any thread reads; INT64_MAX: none */
    uint8_t read_buffer[READ_BUFFER_BYTES];
};

/* The options that loops look at while they run. Any thread. */
struct shell_limits {
    _Atomic int64_t max_connections, max_output, slow_reader_timeout_ms, handshake_timeout_ms,
        connection_idle_timeout_ms, tcp_keepalive_ms, drain_timeout_ms;
};

struct listener {
    struct shell *shell;
    uv_poll_t poll;
    int fd;
    bool is_unix;
    bool is_paused; /* descriptors ran out; the next tick tries again */
};

struct shell {
    struct options *options;
    struct lock options_lock; /* over their reading for server.info and their changing at SIGHUP */
    shell_read_options read_options;
    void *read_options_context;
    bool is_reloading, wants_reload; /* main thread */
    struct clock clock;
    struct env env;
    struct engine *engine;
    struct key_file keys;
    struct storage storage;
    struct preparer preparer;
    struct server *server;
    struct shell_limits limits;
    const struct transport *transport;
    struct ring *rings[LOOP_COUNT_MAX]; /* NULL: the transport has none */
    unsigned loop_count;
    struct shell_loop *loops[LOOP_COUNT_MAX];
    _Atomic unsigned connection_count; /* all loops; the sockets in inboxes count */
    _Atomic bool is_draining;
    _Atomic unsigned finished_count; /* loops that have no connection left and take none */
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;
    char tcp_address[80]; /* "" : none */
    char unix_path[108];  /* "": none */
    uv_poll_t signal_poll;
    int signal_fd; /* -1: not open */
};

/* ---- loop.c */
struct shell_loop *loop_open(struct shell *shell, unsigned index); /* NULL: memory or descriptors */
void loop_run(struct shell_loop *loop);                            /* until it has drained */
void loop_close(struct shell_loop *loop);                          /* after its thread ended; on the main thread */
/* Every callback begins with it: makes this a turn of the core if it is not one yet. */
void loop_enter_turn(struct shell_loop *loop);
int64_t loop_now_ms(const struct shell_loop *loop);
/* Ends the turn and works off what became due meanwhile. A transport calls it before it sleeps. */
void loop_settle(struct shell_loop *loop);
/* Between turns, and before it asks for what has come: lets other loops have the processor that it shares with them,
 * once it had it for a while. */
void loop_yield(struct shell_loop *loop);
/* Whether loop_yield would. */
bool loop_is_to_yield(const struct shell_loop *loop);
/* Takes what other threads left for it: sockets, the beginning of the end. */
void loop_take_signal(struct shell_loop *loop);
/* Has the loop call server_loop_advance soon. Any thread. */
void loop_wake(struct shell_loop *loop);

/* ---- peer.c */
/* Takes an accepted socket. `fd` is closed if it cannot become a peer. */
void peer_open(struct shell_loop *loop, int fd, bool is_unix);
/* Closes it, counts and logs why; from now on only the transport may touch it. Closing twice is nothing. */
void peer_cut(struct peer *peer, enum cut why);
/* Writes what there is, goes on with what had to wait, and reads or ends as the core says. */
void peer_pump(struct peer *peer, enum conn_state state, int64_t now_ms);
/* It took too little of what waits for it. */
bool peer_is_slow(struct peer *peer, int64_t now_ms);
/* A request of it is executing, or an answer waits to be written. */
bool peer_is_owed(const struct peer *peer);
/* It has watches, so that it may be silent. */
bool peer_is_watching(const struct peer *peer);
/* It has sent nothing for a drain tick, and nothing of it waits to be read. */
bool peer_is_quiet(const struct peer *peer, int64_t now_ms);
/* Ends it gently, when nothing is left to write: tells the other side, which may close then, or is cut. */
void peer_linger(struct peer *peer);

/* ---- peer.c, for transports; each makes it a turn, and may end with the peer cut */
/* Bytes came; they are not needed afterwards, and are overwritten where they may be secret. */
void peer_received(struct peer *peer, uint8_t *data, size_t size);
/* The other side has ended: reason 0, or a negative error. */
void peer_input_ended(struct peer *peer, int reason);
/* The write that flew has ended: reason 0, or a negative error. */
void peer_landed(struct peer *peer, int reason);
/* What was posted has been tried: bytes that the system took of conn_output, or a negative error. */
void peer_took(struct peer *peer, ssize_t taken);
/* Once all that is posted was taken there is nothing more to do for it: peer_took may come late. */
bool peer_is_settled(const struct peer *peer);
/* The transport has let go of it: frees it. */
void peer_closed(struct peer *peer);

/* ---- key_save.c */
/* See keyring_save; `context` is the shell. */
bool key_save_begin(void *context, struct keyring_ticket ticket, struct bytes namespace, struct bytes secrets);

/* ---- reload.c */
/* Has all that SIGHUP stands for read again, beside the loops; the log says what came of it. Main thread. */
void reload_begin(struct shell *shell);

/* ---- listener.c */
bool listener_open_all(struct shell *shell, char *error, size_t error_size);
void listener_close_all(struct shell *shell); /* the handles are closed by the next turn */
void listener_resume_all(struct shell *shell);
/* Takes an item of the inbox: opens it, if need be in the place of a silent peer, or refuses it. */
void listener_take(struct shell_loop *loop, struct inbox_item item);

/* ---- limits.c */
/* Puts the options' values where loops, server and engine read them. */
void limits_apply(struct shell *shell);
/* Whether so few files may be open that the loops may lack some; then `why` says so, and what to do. */
bool limits_are_narrow(const struct shell *shell, char *why, size_t size);
/* Once everything is open that a server has for itself: whether a file is left for a connection. */
bool limits_leave_a_file(const struct shell *shell);

/* ---- info.c */
uint32_t info_write(void *shell, void *out);
uint32_t info_write_stats(void *shell, void *out);
void info_snapshot(void *shell, struct snapshot_answer *answer); /* see sessiond/server.h */

#endif
