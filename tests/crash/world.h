/* A whole server on the simulated disk, driven by one seed through several lives, each of which ends in a crash.
 *
 * world.c: lives, turns, time and what the seed does next; storage.c: the log's three steps as fibres, which rest
 * before any call of the disk and at any point between two locks; look.c: what the engine holds, for the ledger;
 * draw.c: requests; client.c: connections, and what their answers promise. One thread. */
#ifndef CRASH_WORLD_H
#define CRASH_WORLD_H

#include "base/prng.h"
#include "crypto/keyring.h"
#include "disk/sim_disk.h"
#include "ledger.h"
#include "log/log.h"
#include "log/recovery.h"
#include "sessiond/server.h"
#include "sim/call.h"

#include <ucontext.h>

enum {
    USERS_COUNT = 3,
    LOOPS_MAX = 3,
    PEERS_MAX = 4,
    SENT_MAX = 512,
    TOKENS_MAX = 64,
    TICKETS_MAX = 1024,
    STACK_BYTES = 256 * 1024
};

/* How a life ends. */
enum ending { ENDING_POWER, ENDING_KILL, ENDING_STOP, ENDING_COUNT };

struct options {
    int level, ending; /* -1: the seed chooses */
    unsigned lives;
    bool is_verbose;
    const char *dump; /* a directory for the files that a failed seed recovered from; NULL: none */
};

/* What all seeds came to. */
struct totals {
    uint64_t answers, promises, crashes[ENDING_COUNT], recoveries, again, handed_out, failed, full, snapshots, torn;
    uint64_t lost, played[OP_COUNT];
};

struct sent {
    struct call call;
    uint64_t moment;
    int64_t executed_at;
    bool is_alone;   /* in its packet: all that changed in that step is its doing */
    bool was_failed; /* the journal had failed before it */
    bool is_answered;
};

struct peer {
    struct conn *conn;
    unsigned loop;
    enum conn_state state;
    struct sent sent[SENT_MAX]; /* by msgid */
};

struct token {
    unsigned namespace;
    char id[ID_TEXT_MAX], secret[64];
};

/* What an acquire told. */
struct ticket {
    unsigned namespace;
    char id[ID_TEXT_MAX];
    uint64_t use, fence;
    int64_t created_at; /* of the session: of two that had one id the numbers are their own */
    int64_t told_at;
};

enum { FIBRE_IDLE, FIBRE_RESTING };

struct fibre {
    ucontext_t context;
    int state;
    int64_t due, held_until; /* of one that rests: not before */
    bool is_signalled;
    uint8_t *stack;
};

struct world {
    uint64_t seed, chance;
    const struct options *options;
    struct totals *totals;
    int64_t now_ms;
    unsigned step, life;
    struct prng prng; /* of crashes */

    /* ---- what outlives a life */
    struct sim_disk *sim, *before; /* before: as the last recovery found it, with options->dump */
    const struct keys *keys;
    struct seal_keys seal_keys;
    bool is_sealed;
    struct env env;
    enum log_level_of level;
    unsigned loop_count, peer_count;
    unsigned busyness;           /* per cent: how often storage goes on between two locks of a loop */
    unsigned laziness;           /* the same: how often it rests between two locks of a snapshot's walk */
    bool has_churn;              /* namespaces and snapshots come and go */
    bool has_pools, has_clients; /* clients where the disk gives no trouble: their touches are not told then */
    uint64_t living[NAMESPACES_MAX][USERS_COUNT]; /* of a user */
    struct ledger ledger;
    uint64_t newest_version; /* that was ever seen */

    /* ---- a life */
    struct engine *engine;
    struct keyring keyring;
    struct server *server;
    struct server_loop *loops[LOOPS_MAX];
    bool is_in_turn[LOOPS_MAX], is_woken[LOOPS_MAX];
    unsigned fed[LOOPS_MAX]; /* packets in this turn */
    struct log *log;
    void (*append)(struct journal *journal, unsigned loop_index, struct bytes effects);
    struct peer peers[PEERS_MAX];
    uint32_t msgid;
    struct token tokens[TOKENS_MAX];
    unsigned token_count;
    struct ticket tickets[TICKETS_MAX];
    unsigned ticket_count;
    uint64_t releases[KEYS_MAX]; /* that were asked for, of a session */
    int64_t failed_at;           /* INT64_MAX: it has not */
    int64_t ended_at;            /* the life before */
    bool has_trouble;
    bool is_slow, was_slow; /* syncs may take long */
    uint64_t version_floor; /* newest_version when the life began: what is taken now is above it */

    /* ---- storage */
    struct fibre fibres[LOG_THREAD_COUNT];
    ucontext_t main;
    int running;         /* fibre; -1: none */
    bool is_quiet;       /* nobody rests or is woken: the world looks, or takes itself apart */
    uint64_t calls_left; /* of the disk until the crash */
    int dies_after;      /* a kind of call, soon after whose dies_nth one the crash comes; -1: none */
    unsigned dies_nth;
    bool is_over; /* the moment of the crash has come */

    bool is_judging; /* what is looked at was recovered, not done */
    bool has_failed;
    char failure[9000];
    char *lines[64];
    unsigned line_count;
};

bool world_run(uint64_t seed, const struct options *options, struct totals *totals);

static inline uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->chance, bound);
}
static inline bool of(struct world *world, unsigned percent) {
    return chance_of(&world->chance, percent);
}
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_note(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_enter(struct world *world, unsigned loop);
extern const char *const namespace_names[NAMESPACES_MAX];

/* ---- storage.c */
void storage_open(struct world *world);
void storage_begin(struct world *world); /* a life: all three are due */
void storage_point(void *context);
void storage_signal(void *context, enum log_thread thread);
void storage_hook(void *context, enum sim_call call, const char *name);
/* Lets one go on, if it is due or rests. False: it has nothing to do now. */
bool storage_step(struct world *world, unsigned which);
/* Until none has anything to do at this moment. */
void storage_settle(struct world *world);
/* All steps that have begun come to their end. */
void storage_finish(struct world *world);
int64_t storage_due(const struct world *world);

/* ---- look.c */
/* Looks at all there is, inside a turn of that loop; `seen` has one for each key of the ledger (new ones included). */
void look_all(struct world *world, unsigned loop, struct sight *seen);
/* The same, written down as what that loop has changed. */
void look_write(struct world *world, unsigned loop);

/* ---- draw.c */
void draw_call(struct world *world, struct call *call);
/* One that concerns its id alone. */
void draw_plain(struct world *world, struct call *call);

/* ---- client.c */
void client_feed(struct world *world, struct peer *peer);
void client_read(struct world *world, struct peer *peer);
struct bytes map_value(struct bytes map, const char *key);

#endif
