/* A simulated world: one clock, one server on the memory engine, some loops and some connections, all drawn from a
 * seed.
 *
 * Each step does one thing: issues a request, delivers some bytes, reads some answers, lets time pass, ends a turn,
 * runs timers, or replaces a connection. Every answer is compared with the model as soon as the server has written it.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "crypto/keyring.h"
#include "model.h"
#include "sessiond/server.h"

#define LOOPS_MAX      3
#define PEERS_MAX      6
#define QUEUE_MAX      4096
#define TRANSCRIPT_MAX 4000 /* lines that are kept */
#define TAIL_MAX       60   /* lines that are told of a failure; --verbose tells all */
#define KNOWN_MAX      512

struct world_totals;

#define WATCHES_MAX 6
#define LIVES_MAX   1024
#define KEPT_MAX    8192

/* What a watch has said of one session last. */
struct heard_life {
    char id[ID_TEXT_MAX];
    bool is_known, is_alive;
    unsigned told; /* number of the event */
};

enum heard { HEARD_NOT, HEARD, HEARD_PASSED /* missed, or never sent */ };

/* A watch of one of the connections. */
struct watch {
    bool is_on, wants_data;
    unsigned peer, namespace;
    uint64_t number;                     /* among those of the connection */
    uint64_t kinds;                      /* EVENT_BIT of each */
    char user[16], client[16], pool[16]; /* "": any */
    unsigned from;                       /* what the model had written down before it */
    uint64_t seq, missed;
    uint8_t heard[TOLD_MAX]; /* of each that the model has written down: enum heard */
    struct heard_life lives[LIVES_MAX];
    unsigned life_count;
    struct bytes kept[KEPT_MAX]; /* events that have come and were not compared yet */
    unsigned kept_count;
};

/* A request on its way, or executed and not compared yet. */
struct sent {
    const struct call *call;
    struct bytes tail;   /* its bytes behind the msgid: method and params */
    uint64_t end_offset; /* in the connection's stream */
};

/* An answer that has come and was not compared yet. */
struct received {
    uint32_t msgid;
    bool is_taken;
    struct bytes error, result, both; /* copied */
};

/* The client's side of a connection. */
struct peer {
    struct conn *conn;
    unsigned loop;
    bool is_prompt; /* it reads whatever comes at once */
    char default_namespace[16];
    struct buf outbox;    /* bytes not delivered yet */
    uint64_t issued, fed; /* stream offsets */
    struct sent queue[QUEUE_MAX];
    unsigned queue_begin, queue_end;
    size_t parsed; /* bytes of conn_output that are in the inbox */
    struct received inbox[QUEUE_MAX];
    unsigned inbox_begin, inbox_end;
    enum conn_state state;
    uint64_t watch_number; /* of its newest watch */
};

/* An answer that the server has to remember. */
struct known {
    char namespace[16];
    uint64_t op_id;
    enum op op;
    struct bytes tail, answer; /* the answer's error and result */
    int64_t answered_at;
};

struct world {
    uint64_t seed, chance;
    int64_t now_ms;
    unsigned step;
    struct env env;
    struct engine *engine;
    struct server *server;
    struct server_loop *loops[LOOPS_MAX];
    bool is_in_turn[LOOPS_MAX];
    bool is_woken[LOOPS_MAX]; /* env.wake was called for it */
    unsigned loop_count, peer_count;
    bool collides_sweeps;
    bool has_pools; /* then no two requests run at once */
    bool has_tokens;
    bool has_clients; /* that are asked for */
    bool has_cookies;
    bool has_hashed; /* namespaces with hash_ids */
    struct keyring keyring;
    bool has_watches;
    uint64_t watch_chance;
    uint64_t around_chance, rare_chance, op_id_memory;
    bool changes_retention;
    bool sets_clock, has_purging, bounds_bytes, bounds_memory, bounds_names;
    bool is_timely; /* each moment at which something is due comes by itself */
    struct watch watches[WATCHES_MAX];
    unsigned watch_count;
    bool is_exact; /* one request at a time: then eviction is predictable */
    struct peer peers[PEERS_MAX];
    struct model model;
    struct model *saved; /* the model before a pair of requests */
    struct known known[KNOWN_MAX];
    unsigned known_count;
    struct sent repeatable[KNOWN_MAX];
    unsigned repeatable_count;
    uint32_t msgid;
    struct world_totals *totals;
    char *transcript[TRANSCRIPT_MAX];
    unsigned transcript_count;
    bool has_failed;
    bool is_verbose;
    char failure_text[1024];
};

/* Runs a seed; false: it failed, and was told on stderr. *totals grows. */
struct world_options {
    unsigned steps;
    bool is_verbose;      /* tells the transcript's end of a seed that went well, too */
    bool collides_sweeps; /* clears and purges a namespace in one millisecond, too */
    bool is_naive;        /* on the naive engine */
    bool skips_check;     /* leaves out the engine's own check, where it hides what comes after it */
};
/* What the seeds have gone through so far. */
struct world_totals {
    uint64_t played[OP_COUNT], refused[OP_COUNT];
    uint64_t answers;                  /* compared */
    uint64_t rereads, pauses, replays; /* of the server's own counters */
    uint64_t with_pools;               /* worlds */
    uint64_t busy;                     /* refused where too much is remembered */
    uint64_t full[3];                  /* refusals because of max_bytes, of max_memory and of max_namespaces */
    uint64_t loaded;                   /* sessions that pool.load took in */
    uint64_t purges, on_clock;         /* purges that came by themselves; calls whose moments were put on the clock */
    uint64_t let_in, reused;           /* tokens */
    uint64_t heard, lagged;            /* events; and how many were missed by slow readers */
    uint64_t lives;                    /* sessions of which a watch knew whether they lived */
    uint64_t granted;                  /* answers to those who waited for a hand-out */
    uint64_t interleaved;              /* pairs of requests of which one was interrupted by the other */
};
bool world_run(uint64_t seed, const struct world_options *options, struct world_totals *totals);

/* ---- world.c, for pairs */
void world_enter(struct world *world, unsigned loop);
void world_issue(struct world *world, struct peer *peer, const struct call *call); /* appends a request to the outbox */
void world_ask(struct world *world, struct peer *peer, const struct call *call);   /* issues, delivers, compares */
void world_read_all(struct world *world, struct peer *peer);
void world_note_bytes(struct world *world, const struct peer *peer, const char *arrow, struct bytes bytes);
void world_fail(struct world *world, const char *why);

void world_take_answers(struct world *world, struct peer *peer); /* compares what was written since the last time */
void world_leave_all(struct world *world);                       /* ends every loop's turn */
/* Whether a turn works off next to nothing of what is due in pools, so that they are behind. */
static inline bool world_turns_are_small(const struct world *world) {
    return world->seed % 4 == 0;
}

void world_settle_all(struct world *world);  /* works off all that is due */
void world_tell_events(struct world *world); /* lets every loop write its events, and takes them */
bool world_is_at_rest(const struct peer *peer);

/* ---- finish.c: the end of a world */
/* Reads every session that was ever there, and all pages of its namespaces' lists. */
void finish_look(struct world *world, struct peer *peer);
/* With all timers run, the engine's own books agree with the model and with themselves. */
void finish_books(struct world *world, const struct world_options *options);

/* ---- tally.c: which operations were played */
/* `answer` NULL: none came, or it comes later and is counted then by tally_refusal. */
void tally_play(struct world_totals *totals, enum op op, const struct answer *answer);
void tally_refusal(struct world_totals *totals, enum op op, const struct answer *answer);
void tally_print(const struct world_totals *totals);
/* Whether each operation was played and not always refused; says on stderr which was not. */
bool tally_is_whole(const struct world_totals *totals);

/* ---- hear.c: events */
/* Keeps a notification that has come. */
void hear_keep(struct world *world, struct peer *peer, struct bytes message);
/* All that was due has been worked off: what has come is compared, and nothing may be missing. */
void hear_settled(struct world *world);
/* The connection is gone, and its watches with it. */
void hear_close(struct world *world, unsigned peer);
/* Starts or stops a watch, now and then. */
void hear_step(struct world *world);

/* ---- around.c: what happens beside the requests */
void around_open(struct world *world, bool is_naive);
/* Whether requests may be refused for want of room in a way that only the answer tells: then all are answered. */
bool around_is_bounded(const struct world *world);
/* How many bytes of answers are remembered; and a request that is refused since they are too many: NULL, or why it
 * should not have been. */
uint64_t around_op_id_memory(struct world *world);
const char *around_refuse_busy(struct world *world, const struct call *call);
/* Looks how much memory the server takes: before it is fed, or afterwards. */
void around_measure(struct world *world, bool is_after);
void around_step(struct world *world, struct peer *peer);

/* ---- rare.c */
void rare_enrich(struct world *world, struct call *call);

/* ---- inbox.c: answers that have come */
/* Takes what the connection has been sent into its inbox. */
void inbox_collect(struct world *world, struct peer *peer);
/* Compares what stands in the inbox, in order; then nothing may be left that somebody should have been answered. */
void inbox_compare(struct world *world, struct peer *peer);
/* Runs the loops that the engine woke. */
void run_woken(struct world *world);
/* For the model: the answer of a request that waits, which must have come. */
bool world_pull(void *context, unsigned peer, uint32_t msgid, struct answer *answer);

/* ---- world.c, for the inbox */
void world_compare(struct world *world, struct peer *peer, const struct sent *sent, const struct received *received);
void world_execute(struct world *world, const struct sent *sent, struct peer *peer);

/* ---- draw.c: what is asked next, where the connection's default namespace is `default_namespace` */
void draw_call(struct world *world, const char *default_namespace, bool may_notify, struct call *call);
/* Two requests on single sessions that are likely to meet. */
void draw_pair(struct world *world, struct call *first, struct call *second);
/* The policy that a namespace begins with. */
void draw_first_policy(struct world *world, unsigned namespace, struct call *call);
/* ---- draw.c, for draw_web.c */
uint64_t draw_fields(struct world *world, bool with_id); /* 0: none is named */
/* ---- draw_web.c */
/* Mostly a client that has had sessions, and one of those. */
void draw_client(struct world *world, struct call *call);
void draw_cookie(struct world *world, struct call *call);
/* Secrets and attributes for a namespace's cookies. */
void draw_cookie_policy(struct world *world, struct call *call);
/* Whether ids are hashed there: chosen when the namespace is made, and tried to change afterwards. */
void draw_hashing(struct world *world, struct call *call, bool is_first);
void draw_secrets(struct world *world, struct call *call);
/* What stands in the place of the call's id. */
void draw_form(struct world *world, struct call *call);
/* ---- draw.c */
/* A moment not before now. */
int64_t draw_moment(struct world *world);

#endif
