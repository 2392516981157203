/* What the naive engine's files share: naive_engine.c opens, dispatches and answers advance; naive_space.c finds and
 * judges; naive_write.c runs rules and decides limits; naive_read.c reads, lists and counts; naive_end.c ends groups
 * and namespaces and configures them; naive_pool.c hands out and takes back; naive_wait.c keeps those who wait for a
 * hand-out; naive_time.c lets happen what is due; naive_event.c tells.
 *
 * Memory comes from naive_keep and is freed by close alone, so bytes may be borrowed for ever. */
#ifndef SCENARIO_NAIVE_H
#define SCENARIO_NAIVE_H

#include "naive_engine.h"

enum { NAMESPACES_MAX = 64, ENTRIES_MAX = 4096, POOLS_MAX = 64, CLIENTS_MAX = 256, NAIVE_LOOPS_MAX = 8 };

struct block {
    struct block *next;
};

/* One hand-out of a pool's session. */
struct use {
    struct use *next;
    uint64_t number;
    uint64_t fence; /* 0: without a lease */
    bool is_marked, is_open;
    /* What stood before it, for when nobody gets it. */
    uint64_t order, order_before;
    int64_t used_before, ready_before;
};

/* What a pool knows of one session. */
struct seat {
    struct usage usage;
    struct use *uses;   /* the newest first */
    uint64_t use_count; /* numbers given */
    uint64_t fence;     /* of the newest lease */
    uint64_t entered;   /* grows with every session that enters a pool */
    uint64_t order;     /* of the last hand-out among all; 0: never handed out */
    int64_t ready_at;   /* end of its cooldown; 0: none */
    bool is_spent;      /* it had its last hand-out and gave up its place */
};

/* What stands under an id: a session (with `session.id` set), an alias, or a tombstone. */
struct entry {
    bool is_used, is_tombstone;
    bool is_forgotten, is_uncovered; /* no longer kept, and no longer refused for its death, when a policy changed */
    bool is_told;                    /* that its deadline has passed */
    struct session session;          /* of a tombstone: only id. An alias: id, replaced_by, absolute_expires_at */
    int64_t died_at;                 /* of tombstones and aliases: tombstone_ms counts from here */
    uint64_t sequence;               /* grows with every session that begins; kept under a new id */
    struct seat *seat;               /* of a pool's session; NULL: in no pool */
};

struct pool {
    struct bytes name;
    struct pool_policy policy;
    bool is_configured;
    int64_t holds[ENTRIES_MAX]; /* ends of held places, the oldest first */
    unsigned hold_count;
};

struct client {
    struct bytes name;
    int64_t created_at, updated_at;
    struct bytes last_id; /* the session touched or activated last; absent: none */
    uint64_t last_sequence;
};

struct space {
    bool is_used;
    struct bytes name;
    struct policy policy;
    struct entry entries[ENTRIES_MAX];
    unsigned entry_count;
    struct pool *pools[POOLS_MAX];
    struct client clients[CLIENTS_MAX];
    unsigned client_count;
    bool is_purging;
    int64_t purge_interval_ms, purge_at;
};

/* An acquire that waits, or its answer that was not delivered yet. */
struct waiter {
    struct waiter *next;
    struct verb verb; /* with bytes of its own */
    unsigned loop;
    uint64_t ticket;
    int64_t until;
    bool is_answered, is_over; /* over: delivered or cancelled */
};

struct told {
    struct told *next;
    struct event event;
};

struct watching {
    bool is_on, wants_data;
    struct told *last; /* read up to here */
};

struct naive {
    struct engine base;
    struct engine_options options;
    struct space *spaces[NAMESPACES_MAX];
    uint64_t version, sequence, orders, tickets;
    int64_t moment;       /* up to which time has passed */
    struct block *blocks; /* everything that was allocated */
    struct scratch scratch;
    struct waiter *waiters; /* in the order in which they came */
    engine_done done;
    void *done_context;
    struct watching watching[NAIVE_LOOPS_MAX];
    struct told *told; /* the newest event; never NULL */
};

/* ---- naive_space.c */
void *naive_keep(struct naive *naive, size_t size);
struct bytes naive_copy(struct naive *naive, struct bytes bytes);
uint64_t next_version(struct naive *naive, int64_t now_ms);
struct space *space_find(struct naive *naive, struct bytes name);
struct space *space_make(struct naive *naive, struct bytes name, struct error *error);
struct entry *entry_find(struct space *space, struct bytes id);
struct entry *entry_make(struct space *space);
/* When a retired one that lives until then is forgotten; INT64_MAX: it is none. One that dies before is kept as any
 * that does. */
int64_t naive_forgotten_at(const struct space *space, const struct entry *entry);
enum presence naive_judge(const struct space *space, const struct entry *entry, int64_t now_ms);
/* What is forgotten by now stays so under the next policy. */
void naive_forget_for_good(struct space *space, int64_t now_ms);
bool is_kept(const struct space *space, const struct entry *entry, int64_t now_ms);
bool is_member(const struct session *session, enum group_kind group, struct bytes name);
uint64_t count_living(const struct space *space, enum group_kind group, struct bytes name, int64_t now_ms);
uint64_t size_of(const struct session *session);
uint64_t bytes_used(const struct space *space, int64_t now_ms);
struct client *client_find(struct space *space, struct bytes name, int64_t now_ms);
/* Hands out what stands in the entry, with its usage as it is now. */
void show(struct verb *verb, const struct entry *entry);

/* ---- naive_write.c */
void naive_update(struct naive *naive, struct verb *verb, int64_t now_ms);
void naive_move(struct naive *naive, struct verb *verb, int64_t now_ms);
/* Makes or changes what stands under the draft's id, within the limits; NULL: error says why not. */
struct entry *write_draft(struct naive *naive, struct space *space, struct entry *entry, enum presence presence,
                          const struct session *draft, int64_t now_ms, struct error *error);
void put_tombstone(struct naive *naive, struct entry *entry, int64_t died_at);
/* Ends a living (or, for removed, a dead) one with the status, and tells. */
void end_session(struct naive *naive, struct space *space, struct entry *entry, enum status status, struct bytes reason,
                 struct bytes replaced_by, int64_t now_ms);
void destroy_session(struct naive *naive, struct space *space, struct entry *entry, int64_t now_ms);
/* last_active_at moves, and the client knows. */
void touch_entry(struct naive *naive, struct space *space, struct entry *entry, int64_t now_ms);

/* ---- naive_read.c */
void naive_get(struct naive *naive, struct verb *verb, int64_t now_ms);
void naive_touch(struct naive *naive, struct verb *verb, int64_t now_ms);
void naive_scan(struct naive *naive, struct verb *verb, int64_t now_ms);

/* ---- naive_end.c */
void naive_end_all(struct naive *naive, struct verb *verb, int64_t now_ms);
void naive_configure(struct naive *naive, struct verb *verb, int64_t now_ms);

/* ---- naive_pool.c */
struct pool *naive_pool_find(struct space *space, struct bytes name);
struct pool *naive_pool_make(struct naive *naive, struct space *space, struct bytes name);
const struct pool_policy *naive_pool_policy_of(const struct naive *naive, const struct pool *pool);
/* Whether a place is free for one more that is usable. */
bool naive_pool_has_place(const struct naive *naive, struct space *space, const struct pool *pool, struct bytes name,
                          bool takes_hold, int64_t now_ms);
/* Gives up the oldest place that is held. */
void pool_take_hold(struct pool *pool);
bool naive_seat_is_usable(const struct space *space, const struct entry *entry, int64_t now_ms);
void naive_seat_retire(struct naive *naive, struct space *space, struct entry *entry, int64_t now_ms);
void naive_lease_end(struct naive *naive, struct space *space, struct entry *entry, int64_t at);
/* Tries to serve an acquire; true: `verb` holds its answer, an error included. False: nothing is free. */
bool acquire_now(struct naive *naive, struct verb *verb, int64_t now_ms);
void take_back(struct naive *naive, struct verb *verb, int64_t now_ms);
void naive_return(struct naive *naive, struct verb *verb, int64_t now_ms);
void pool_state_fill(const struct naive *naive, struct space *space, struct bytes name, struct pool_state *state,
                     int64_t now_ms);

/* ---- naive_wait.c */
/* True: it waits from here on. */
bool naive_acquire(struct naive *naive, unsigned loop, struct verb *verb, int64_t now_ms);
/* Serves those who wait, in their order. */
void naive_serve_waiters(struct naive *naive, int64_t now_ms);
void time_out_waiters(struct naive *naive, int64_t now_ms);
/* The namespace is dropped, and with it the pools that they wait for. */
void end_waiters_of(struct naive *naive, struct bytes namespace);
bool naive_cancel(struct engine *self, unsigned loop, uint64_t ticket);
void deliver(struct naive *naive, unsigned loop, int64_t now_ms);

/* ---- naive_time.c */
/* The next moment at which something happens; INT64_MAX: never. */
int64_t naive_next_due(const struct naive *naive);
/* Lets everything happen that is due by now, each at its moment. */
void pass_time(struct naive *naive, int64_t now_ms);

/* ---- naive_event.c */
void tell(struct naive *naive, const struct space *space, enum event_kind kind, const struct session *session,
          int64_t at);
/* Tells what became of a session by what it was: `old` NULL: nothing that was alive. */
void tell_change(struct naive *naive, const struct space *space, const struct session *old,
                 const struct session *session, int64_t now_ms);
uint64_t naive_watch(struct engine *self, unsigned loop, bool is_on, bool wants_data);
uint64_t naive_read_events(struct engine *self, unsigned loop, event_each each, void *context);

#endif
