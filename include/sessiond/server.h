/* The server as its shells see it: bytes and time in, bytes out. No socket, no clock, no thread.
 *
 * A shell (src/uv, or the simulator in tests/sim) opens one server, one server_loop per event loop, and one conn per
 * connection. All functions of a server_loop and its conns are called on that loop's thread. */
#ifndef SESSIOND_SERVER_H
#define SESSIOND_SERVER_H

#include "sessiond/bytes.h"
#include "sessiond/engine.h"
#include "sessiond/env.h"

struct server;
struct server_loop;
struct conn;
struct keyring;

/* What may be changed while the server runs (server_set_limits) and what may not. */
struct server_limits {
    uint32_t max_in_flight;    /* requests of one connection that wait for the engine */
    uint32_t max_waiting;      /* acquires of one connection that wait for a session; they are not in flight */
    uint32_t output_mark;      /* bytes of unsent output at which a connection's requests wait */
    uint32_t max_frame;        /* bytes of one message; at most LIMIT_MAX_FRAME */
    uint64_t op_id_memory;     /* bytes for remembered answers; at the bound a request with op_id is BUSY */
};

/* What becomes of a wish for a snapshot: see server.snapshot in the schema. */
struct snapshot_answer {
    bool is_kept;      /* there is a log; else nothing below holds */
    bool has_failed;   /* nothing is written any more */
    uint64_t number;   /* of the snapshot that is being made */
    uint64_t newest;   /* of the newest whole one; 0: none */
    uint64_t failures; /* snapshots that came to nothing, since the start */
};

struct server_options {
    unsigned loop_count;
    int64_t now_ms;            /* the clock at opening */
    struct engine *engine;     /* not owned */
    const struct env *env;     /* lives as long as the server */
    struct keyring *keyring;   /* lives as long as the server; NULL: it makes keys of its own, which end with it */
    struct journal *journal;   /* the engine's; answers wait for its mark, writes ask for its state. NULL: none */
    struct server_limits limits;
    /* Appends pairs to the maps of server.info and server.stats (`out` stands inside the map) and answers how many. NULL: none */
    void *shell_context;
    uint32_t (*shell_info)(void *shell_context, void *out);  /* out is a struct buf * */
    uint32_t (*shell_stats)(void *shell_context, void *out);
    void (*shell_snapshot)(void *shell_context, struct snapshot_answer *answer); /* NULL: nothing is kept */
};

struct server *server_open(const struct server_options *options); /* NULL: memory */
void server_close(struct server *server);                          /* after every loop of it is closed */
void server_set_limits(struct server *server, const struct server_limits *limits); /* any thread */
void server_set_clock_offset(struct server *server, int64_t offset_ms);            /* any thread: server time minus wall time */
/* Any thread: from now on new requests are answered BUSY, and so are, in each loop's next server_loop_advance, the
 * acquires that wait. Wakes every loop. */
void server_set_draining(struct server *server);

struct server_loop *server_loop_open(struct server *server, unsigned loop_index);
void server_loop_close(struct server_loop *loop); /* after every conn of it is closed and nothing is PENDING */
/* The loop's counters; the shell counts there too, on the loop's thread. */
struct metrics;
struct metrics *server_loop_metrics(struct server_loop *loop);

/* Begins and ends a turn: everything below happens inside one. Cheap; the shell begins at its first callback after
 * sleeping and ends before it sleeps. */
void server_loop_enter(struct server_loop *loop);
void server_loop_leave(struct server_loop *loop);
/* Between two connections of a long turn, around what takes the shell some time: what was replaced until then is freed,
 * and other loops need not wait for this one. Nothing of the loop is called in between. */
void server_loop_pause(struct server_loop *loop);
void server_loop_resume(struct server_loop *loop);
/* Timers, reaper, forgotten op_ids, answers that have become safe. To be called soon after env.wake. Answers when it wants to be called again; INT64_MAX: never. */
int64_t server_loop_advance(struct server_loop *loop, int64_t now_ms, unsigned budget);

/* A save of keys has ended that the keyring began for this loop under the ticket `number`; is_saved: the keys are safe
 * and in force. Inside a turn; its answer comes with the next server_loop_advance, which is asked for. */
void server_loop_saved(struct server_loop *loop, uint64_t number, bool is_saved);

enum conn_state {
    CONN_READING, /* give it more */
    CONN_PAUSED,  /* its output is above the mark, or too much is in flight, or it is to be closed once answers that wait
                     for the journal have gone out: read no more until conn_resume says READING */
    CONN_CLOSING  /* write what conn_output holds, then close */
};

struct conn *conn_open(struct server_loop *loop, int64_t now_ms); /* NULL: memory */
/* What will be fed to a connection. */
struct conn_input {
    const struct conn *conn;
    struct bytes bytes;
};
/* Says what will be fed next, at most ANTICIPATED_MAX of it, so that the memory that it takes is asked for at once: one
 * request alone waits for its session's longer than it works. Inside a turn; it decides nothing, and need not come. */
void server_loop_anticipate(struct server_loop *loop, const struct conn_input *inputs, size_t count);
/* Takes all of `input` (executes what is whole, keeps the rest). The bytes are not needed afterwards. */
enum conn_state conn_feed(struct conn *conn, struct bytes input, int64_t now_ms);
/* Whether what was fed last may have held secrets: the shell then overwrites its own copy of it. */
bool conn_input_is_secret(const struct conn *conn);
/* After output was written: goes on with input that had to wait. */
enum conn_state conn_resume(struct conn *conn, int64_t now_ms);
/* What is to be written, until the next call on this conn that is not conn_output. */
struct bytes conn_output(const struct conn *conn);
/* The first `size` bytes of conn_output were written, or were taken over by the shell. */
void conn_output_sent(struct conn *conn, size_t size);
/* Hands the whole output buffer over, for a write that flies: the shell gives it back with conn_output_landed. `data`
 * and size stay valid between the two. At most one flies. */
struct bytes conn_output_fly(struct conn *conn);
void conn_output_landed(struct conn *conn);
size_t conn_output_pending(const struct conn *conn);   /* bytes filling, flying and held until they are safe */
bool conn_has_spoken(const struct conn *conn);         /* it has sent a whole valid request */
bool conn_is_idle(const struct conn *conn);            /* nothing in flight, no output, no half message */
/* The peer sends no more, or is being cut: its acquires that wait are given up and cost no use. (A peer that only ends
 * its own side cannot be told from one that is gone.) Those that it asked for and that were not executed yet wait no
 * more. Inside a turn. */
void conn_end_waiting(struct conn *conn);
bool conn_is_owed(const struct conn *conn);            /* a request is executing, or an answer waits to be written */
bool conn_is_watching(const struct conn *conn);        /* it has watches: that it sends nothing says nothing */
void conn_close(struct conn *conn);                    /* frees it, now or after its last PENDING verb; inside a turn */
/* How a shell learns that a conn has output again although it was not fed (a PENDING verb was done). Called from
 * server_loop_advance and server_loop_leave; it may write, resume and close the conn from there. */
void server_loop_on_output(struct server_loop *loop, void (*notify)(void *context, struct conn *conn), void *context);
void conn_set_context(struct conn *conn, void *context);
void *conn_context(const struct conn *conn);

#endif
