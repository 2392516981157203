/* What the generator knows about sessions that it did not name itself: the token of each session of the auth
 * workloads, the id of each session that was put into a pool.
 *
 * An entry is one session's place; who logs out and in again gets a new token in the same place. Entries are dealt out
 * to the workers by their number, so that no two threads ever look at the same one; a ledger belongs to one target and
 * outlives the runs against it. */
#ifndef BENCH_LEDGER_H
#define BENCH_LEDGER_H

#include "driver.h"

enum entry_state {
    ENTRY_OUT,     /* there is no session */
    ENTRY_IN,      /* there is one, and `subject` names it */
    ENTRY_CHANGING /* a request is under way that nothing else may be under way with */
};

struct entry {
    uint8_t subject[TOKEN_BYTES];
    uint8_t state;      /* enum entry_state */
    uint32_t use_count; /* requests under way that leave it as it is */
};

struct ledger {
    struct entry *entries; /* owned */
    uint64_t count;
};

bool ledger_init(struct ledger *ledger, uint64_t count); /* all out; false where memory is lacking */
void ledger_fini(struct ledger *ledger);                 /* also of one that is all zero */

/* A worker's part of a ledger. */
struct ledger_share {
    struct ledger *ledger; /* borrowed; NULL where the workload needs none */
    uint32_t *out;         /* owned: a stack of the entries that are out */
    uint64_t out_count, count, threads, ordinal;
};

/* Takes the entries whose number leaves `ordinal` when divided by `threads`; false where memory is lacking. */
bool ledger_share_init(struct ledger_share *share, struct ledger *ledger, uint64_t threads, uint64_t ordinal);
void ledger_share_fini(struct ledger_share *share);

/* Whether a logout must be a login and the other way round: at most an eighth of a share is out. */
bool ledger_share_is_empty(const struct ledger_share *share); /* nobody is out */
bool ledger_share_is_full(const struct ledger_share *share);

/* Entries that a share needs so that `in_flight` requests at once always find one: take_* look on from the one they are
 * given until one is free. */
uint64_t ledger_share_needs(uint64_t in_flight);

/* Each answers the number of an entry and what was begun with it: nothing changes it; it is changed; it comes in. */
uint64_t ledger_take_shared(struct ledger_share *share, uint64_t wanted);
uint64_t ledger_take_alone(struct ledger_share *share, uint64_t wanted);
uint64_t ledger_take_out(struct ledger_share *share); /* somebody must be out */

/* The request has ended: with that subject from now on (absent: as it was), or out. */
void ledger_keep(struct ledger_share *share, uint64_t index);
void ledger_change(struct ledger_share *share, uint64_t index, struct bytes subject);
void ledger_leave(struct ledger_share *share, uint64_t index);

#endif
