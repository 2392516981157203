/* What the files of this folder share: a server, its loops, their connections and batches.
 *
 * Threads: a loop, its connections and its batch belong to the loop's thread. Of a server only the atomics, the replay
 * memory (which has locks of its own) and what never changes after server_open are touched by several.
 * The order of the files: server (all loops), loop (one), conn (bytes in and out), batch (bytes to requests to
 * answers), traits and work (what operations are, and what requests cost), gate (answers that wait until they are safe
 * to give), replay (remembered answers), ahead (what is fed next), watch (the family "watch", and events), ops_server
 * (the family "server"). */
#ifndef SERVER_INTERNAL_H
#define SERVER_INTERNAL_H

#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "base/mp.h"
#include "crypto/keyring.h"
#include "metrics/metrics.h"
#include "op/op.h"
#include "server/replay.h"
#include "sessiond/server.h"
#include "wire/codec.h"

#include <assert.h>
#include <stdatomic.h>

/* Requests that go to the engine in one submit. More would only lengthen the time between a request and its answer: the
 * engine's prefetching has long hidden the memory's latency at sixteen, and as many requests with their verbs, of which
 * each step touches some twenty cache lines, still fit into the first cache; 64 do not. */
#define BATCH_MAX 16

/* What heavy requests may cost a loop in one turn before the next of them has to wait for the next turn, in sessions
 * looked at (about 0.1 us each). 64 KiB of input hold 1,500 counts of a group of any size. */
#define TURN_WORK_MAX 10000
/* Bytes of a session that are patched, or only copied, at the cost of looking at one; and up to what cost a request on
 * one session is never made to wait. */
#define PATCH_BYTES_PER_WORK 64
#define COPY_BYTES_PER_WORK  1024
#define COPY_WORK_LIGHT      16
/* Whatever a request that ends sessions looks at besides. */
#define HEAVY_WORK 100
/* A step of a request that runs alone: a submit of its own. */
#define STEP_WORK 10

#define LOOP_COUNT_MAX 64

/* In the tickets of keys that are being saved, so that they are none of the engine's. */
#define SAVE_TICKET (UINT64_C(1) << 63)

/* Buffers that a loop keeps for its connections, the largest of them, and all of them in bytes: a connection that holds
 * no bytes holds no buffer, and yet a busy one never allocates. As many as hold answers at a time: over a ring they are
 * written when 32 KiB wait, which are some sixty answers to gets. */
#define SPARE_BUFFERS_MAX      64
#define SPARE_BUFFER_BYTES_MAX (256 * 1024)
#define SPARES_BYTES_MAX       (4 << 20)

/* What a client is told to wait before it tries again. */
#define RETRY_WHILE_DRAINING_MS 1000
#define RETRY_WHILE_RUNNING_MS  10
#define RETRY_WHILE_FULL_MS     1000

/* Bytes of unsent answers, in output marks, from which on a connection is handed no session that it waits for: it does
 * not read. Requests are held back by the mark itself; those that wait have passed it. */
#define QUEUED_OUTPUT_MARKS 8

struct server {
    struct server_options options;
    struct id_maker ids;
    struct keyring *keyring;
    struct keyring own_keyring; /* where the options name none */
    struct replay *replay;
    struct server_loop *loops[LOOP_COUNT_MAX]; /* NULL where closed; written before the threads begin, or under test */
    _Atomic uint32_t max_in_flight, max_waiting, output_mark, max_frame;
    _Atomic int64_t clock_offset_ms;
    _Atomic bool is_draining;
    uint16_t op_traits[OP_COUNT];    /* never changes after server_open */
    _Atomic size_t record_bytes_max; /* data and meta of the largest session that any answer held: see batch.c */
};

/* What the batch knows about a request beside what operations may see. */
struct batch_item {
    struct bytes frame;          /* the whole message, borrowed as the arguments are */
    struct replay_entry *replay; /* reserved for this request; NULL: it has no op_id */
    bool is_rereadable;          /* executing it again later instead is the same to everybody */
};

struct batch {
    struct request requests[BATCH_MAX];
    struct verb verbs[BATCH_MAX];
    enum submit_state states[BATCH_MAX]; /* of verbs */
    struct batch_item items[BATCH_MAX];
    size_t count, verb_count;
    size_t queued;         /* acquires in it that may wait */
    size_t record_replies; /* answers in it that hold a record */
    uint64_t copy_work;    /* what its requests on single sessions cost at most */
};

/* A request whose verb is PENDING, with a copy of its message, from which its arguments are decoded again. There may
 * be very many acquires that wait, so of them nothing else is kept but what begin has found out for end. */
struct waiting {
    struct list link;      /* of the loop's bucket for its ticket */
    struct list conn_link; /* of its connection's acquires that wait; else of nothing */
    uint64_t ticket;
    struct conn *conn;
    struct replay_entry *replay;
    bool is_blocking;      /* the connection's next request begins only after it */
    bool is_queued;        /* an acquire that waits for a session: nobody works on it, and it can be given up */
    struct request *whole; /* owned; NULL for an acquire */
    struct verb *answered; /* owned; of one of several steps: what the step was answered, while it is in stepping */
    bool is_again;         /* in stepping: the step was not executed, and is to be taken again */
    uint64_t fields;
    size_t frame_size;
    uint8_t frame[];
};
#define WAITING_BUCKETS 1024

#define WATCH_BUCKETS 256

struct server_loop {
    struct server *server;
    struct engine *engine;
    struct journal *journal; /* the server's; NULL: none, and nothing is held */
    unsigned index;
    bool is_in_turn;
    bool has_drained;  /* acquires that waited were answered BUSY */
    int64_t now_ms;    /* of the latest call that told the time */
    int64_t forget_at; /* when old answers are to be looked for */
    uint32_t max_in_flight, max_waiting, output_mark,
        max_frame; /* the server's, read once per feed so that it cannot contradict itself */
    struct metrics metrics;
    struct buf spares[SPARE_BUFFERS_MAX];
    unsigned spare_count;
    size_t spares_bytes;                /* their capacities */
    const struct keys *keys;            /* the keyring's, looked at before each round of a batch */
    uint64_t save_count;                /* of keys, ever */
    struct recent_policy recent_policy; /* of the round */
    struct buf handles;                 /* of a request that names many ids, in a namespace with hash_ids */
    struct buf discarded; /* answers that nobody waits for, and pairs that are counted before they are written */
    struct list notify;   /* connections with output that the shell has not heard of */
    struct list stepping; /* waiting requests of which a step was answered, or is to be taken again */
    struct list resting; /* connections whose next request is heavy, or asks for what the engine has not worked off yet,
                            and waits for a turn; the longest waiting first */
    struct list mark;    /* in one of these two: behind it stand those that came meanwhile */
    struct list holding; /* connections that hold answers */
    uint64_t held_min;   /* no newer than the oldest version that one of them waits for; 0: none waits */
    unsigned new_watch_count;               /* of watch_count: to be told what expired while the server was down */
    unsigned stopped_watch_count;           /* of watch_count: still to be told of what waits for the journal */
    uint64_t events_wait;                   /* the version that the engine's next event waits for; 0: none does */
    uint64_t awaited;                       /* what the journal was asked for; 0: nothing, or it was heard */
    uint64_t turn_work;                     /* of heavy requests in this turn; see TURN_WORK_MAX */
    unsigned blocking_count;                /* of its connections */
    struct list watches[WATCH_BUCKETS];     /* of all its connections, by their namespace */
    unsigned watch_count, data_watch_count; /* of them: all, and those that want data */
    bool has_watches_changed;               /* since the engine was told */
    bool is_advancing;
    void (*on_output)(void *context, struct conn *conn);
    void *on_output_context;
    struct list waiting[WAITING_BUCKETS];
    struct batch batch;
    struct request late; /* an acquire that has waited, while it is answered */
};

/* Answers that wait until what they depend on is safe; see gate.c. */
struct held {
    struct list link; /* in loop->holding while there are some */
    struct buf bytes;
    size_t at; /* what stands before it was released */
};

struct conn {
    struct server_loop *loop;
    void *context;            /* the shell's */
    struct list link;         /* in loop->notify */
    struct list resting_link; /* in loop->resting while is_resting */
    struct buf filling;       /* answers; the first `sent` bytes are gone already */
    size_t sent;
    struct buf flying; /* handed to the shell; empty if none flies */
    struct held held;
    struct buf input;       /* received and not executed: the start of a message, or what waits while paused */
    size_t input_at;        /* bytes of input that were executed */
    struct mp_scan scan;    /* of the message that has begun in input */
    struct list queued;     /* its acquires that wait for a session, the oldest first */
    unsigned waiting_count; /* requests whose verb is PENDING, the queued ones included */
    unsigned queued_count;
    unsigned blocking_count; /* of the waiting ones: what has to be done before the connection's next request begins */
    struct list watches;
    unsigned watch_count;
    uint64_t watch_number; /* of the newest that it ever had */
    bool has_missed;       /* some of its watches have missed events and were not told yet */
    uint8_t namespace_size;
    bool has_spoken, is_flying, is_paused;
    bool input_is_secret;                   /* of what was fed last, something may have been */
    bool is_resting;                        /* its next request is heavy, and this turn has had its share of those */
    bool has_ended;                         /* no acquire may wait any more: nobody can be told to be there */
    bool is_closing;                        /* no further request is read; what is in output is still to be sent */
    bool is_closed;                         /* by the shell; lives until its last PENDING verb is done */
    uint8_t namespace[LIMIT_MAX_NAMESPACE]; /* the default; namespace_size 0: none */
};

/* ---- loop.c */
void loop_read_limits(struct server_loop *loop);
/* Gives an empty buf memory from the loop's spares, if there is one. */
void loop_take_buffer(struct server_loop *loop, struct buf *buf);
/* Takes the memory of a buf back; it is empty then. */
void loop_give_buffer(struct server_loop *loop, struct buf *buf);
/* Has the shell told, later in this turn, that `conn` has output. */
void loop_queue_notify(struct server_loop *loop, struct conn *conn);
/* Has the connection wait until a later turn, which the loop gives it. */
void loop_rest(struct server_loop *loop, struct conn *conn);
/* Remembers a request whose verb is PENDING; false where memory is lacking. */
bool loop_wait(struct server_loop *loop, const struct request *request, const struct batch_item *item);
/* The same for one of several steps that is to be taken again in a later turn. */
bool loop_wait_again(struct server_loop *loop, struct request *request, const struct batch_item *item);
/* The request as it was when its verb went to the engine, until the next call. */
struct request *loop_request_of(struct server_loop *loop, struct waiting *waiting);
/* Forgets a request that was answered; frees it. */
void loop_forget_waiting(struct server_loop *loop, struct waiting *waiting);
/* The same, and has the shell told of it, or frees the connection where it was the last of a closed one. */
void loop_settle_waiting(struct server_loop *loop, struct waiting *waiting);
/* A step of the request was answered; the next ones are taken once the engine has returned. */
void loop_note_step(struct server_loop *loop, struct waiting *waiting, const struct verb *verb);
/* Gives up an acquire that waits and answers it BUSY; nothing where its answer was given already. */
void loop_give_up(struct server_loop *loop, struct waiting *waiting, const char *message);

/* ---- conn.c */
void conn_set_namespace(struct conn *conn, struct bytes name);
/* No request of this connection may begin now. */
bool conn_must_wait(const struct conn *conn);
/* Ends the connection with an error as its last message. */
void conn_break(struct conn *conn, uint64_t msgid, const struct error *error);
void conn_free(struct conn *conn);

/* ---- batch.c */
/* Executes whole messages from the start of `input` until no whole one is left, or the connection must wait or is
 * closing. Answers how many bytes were executed. */
size_t batch_run(struct conn *conn, struct bytes input, int64_t now_ms);
/* Makes a request's error BUSY. */
void refuse_busy(struct request *request, const char *message, int64_t retry_after_ms);
/* Takes the steps that are left of a request whose PENDING step was answered (request->verb holds that answer), or,
 * without is_answered, is to be taken again. One that is PENDING once more waits anew. */
void batch_go_on(struct conn *conn, struct request *request, const struct batch_item *item, bool is_answered);
/* Writes the answer to a request that was executed or refused to the connection, or to nowhere. */
void batch_answer(struct conn *conn, struct request *request, struct replay_entry *replay);

/* ---- traits.c */
enum op_trait {
    TRAIT_RECORD = 1 << 0,    /* its answer may be as long as a record */
    TRAIT_ALONE = 1 << 1,     /* op_runs_alone */
    TRAIT_UNBOUNDED = 1 << 2, /* its cost is known only when it was executed */
    TRAIT_FIRST = 1 << 3,   /* it has to wait until those before it in the batch are answered; so have unbounded ones */
    TRAIT_LAST = 1 << 4,    /* those behind it have to wait until it is answered */
    TRAIT_COPIES = 1 << 5,  /* op_copies */
    TRAIT_ACQUIRE = 1 << 6, /* it may wait for a session, and answer several */
    TRAIT_WRITE = 1 << 7,
};
/* The traits of an operation; server->op_traits has them. */
uint16_t op_traits_of(enum op op);

/* ---- work.c */
/* What a request on one session costs at most, judged by the largest record so far. */
uint64_t work_of_copy(const struct server_loop *loop, const struct request *request);
/* Its requests may read or copy what is stored, at the cost that work_of_copy tells. */
bool op_copies(enum op op);
/* What a request has cost. One that was refused may have read as much as the largest session has. */
uint64_t work_of(const struct server_loop *loop, const struct request *request);

/* ---- gate.c; with a journal only, but for what says otherwise */
/* Refuses a write where the journal takes none now. */
void gate_refuse_write(struct server_loop *loop, struct request *request);
/* Takes the answer at `start` of the output off it until the mark has reached `version`; it goes behind what is held
 * already. With version 0 it waits for that only. */
void gate_hold(struct conn *conn, size_t start, uint64_t version, uint64_t msgid);
/* Whether the connection holds answers, and how many bytes. Also without a journal. */
bool gate_is_holding(const struct conn *conn);
size_t gate_held_bytes(const struct conn *conn);
/* Forgets what the connection holds. Also without a journal. */
void gate_drop(struct conn *conn);
/* Gives the loop's connections what has become safe, or tells them that it never will. */
void gate_advance(struct server_loop *loop);
/* Tells the journal what the loop waits for; after the engine's turn has ended. */
void gate_await(struct server_loop *loop);
/* Holds the answer at `start` of the output, if the version that it depends on is not safe yet. Also without a
 * journal. */
static inline void gate_pass(struct conn *conn, size_t start, uint64_t version, uint64_t msgid) {
    const struct journal *journal = conn->loop->journal;
    if (journal && version > journal_mark(journal)) gate_hold(conn, start, version, msgid);
}

/* ---- watch.c */
/* Writes what the engine has told since the last time to the connections that watch; between whole messages only. */
void loop_tell_events(struct server_loop *loop);
/* Tells what the connection's watches have missed, if its output has room again. */
void watches_resume(struct conn *conn);
/* Ends all watches of the connection. */
void watches_close(struct conn *conn);

/* ---- ops_server.c */
/* Sums the counters of every loop. Any thread. */
void server_sum_metrics(const struct server *server, struct metric_sums *sums);

#endif
