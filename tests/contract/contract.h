/* What the contract tests share: an engine on a clock that they turn, the verbs as functions, and a few rules.
 *
 * Everything goes through engine.h, so that any engine can be put behind contract_open. A failed CHECK prints its place
 * and what it expected, is counted, and the test goes on. One thread plays all loops. */
#ifndef CONTRACT_CONTRACT_H
#define CONTRACT_CONTRACT_H

#include "sessiond/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOPS 2
#define START INT64_C(1767225600000)

struct world {
    struct engine *engine;
    int64_t now_ms;
    unsigned loop; /* which loop the next verb runs on */
    unsigned wakes;
};

extern unsigned failures, checks;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(condition)) {                                                                                            \
            failures++;                                                                                                \
            fprintf(stderr, "%s:%d: %s: expected %s\n", __FILE__, __LINE__, __func__, #condition);                     \
        }                                                                                                              \
    } while (0)

#define CHECK_EQUAL(actual, expected)                                                                                  \
    do {                                                                                                               \
        int64_t actual_ = (int64_t)(actual), expected_ = (int64_t)(expected);                                          \
        checks++;                                                                                                      \
        if (actual_ != expected_) {                                                                                    \
            failures++;                                                                                                \
            fprintf(stderr, "%s:%d: %s: %s is %" PRId64 ", expected %s = %" PRId64 "\n", __FILE__, __LINE__, __func__, \
                    #actual, actual_, #expected, expected_);                                                           \
        }                                                                                                              \
    } while (0)

/* Opens the engine under test with that many shards (log2; 0: its default). */
struct world contract_open(unsigned shard_bits);
/* The same at that moment; with a journal (NULL: none), which is told all changes. */
struct world contract_open_at(unsigned shard_bits, int64_t now_ms, struct journal *journal);
void contract_close(struct world *world);

/* Has `look` called with the next verb before its turn ends: what was handed out may be gone after it. */
void contract_look(void (*look)(const struct verb *verb));

/* Executes one verb in a turn of its own; the end of a large group in as many more as it answers. What it hands out is
 * only valid until the next call. */
unsigned contract_submit(struct world *world, struct verb *verb);
/* The same for a verb that may wait: then it is answered to contract_done, within contract_advance. */
enum submit_state contract_try(struct world *world, struct verb *verb);
extern bool (*contract_done)(unsigned loop, struct verb *verb);
/* Works off all that is due on every loop. Answers the earliest moment that was asked for. */
int64_t contract_advance(struct world *world);

/* How often the engine has woken any loop so far. */
unsigned contract_wakes(void);

/* How often it has asked to be prepared. */
unsigned contract_preparings(void);

/* Has `action` run, on the other loop, at the number-th time that the next verbs stand between two takings of a lock;
 * NULL: not any more. */
void contract_at_point(struct world *world, unsigned number, void (*action)(struct world *world));

/* The same, the next time that the engine wakes a loop: that may be while a lock is held. */
void contract_at_wake(struct world *world, void (*action)(struct world *world));

/* ---- rules */

struct put {
    struct bytes user, client, data, meta; /* absent user or client: kept, unless clears_ says otherwise */
    struct bytes pool, tags, token, bound; /* absent: kept */
    const struct usage *usage;             /* of one that enters a pool; NULL: the pool's limits */
    bool clears_user, must_be_new, must_exist, revives, keeps_activity, is_touch;
    int64_t idle_timeout_ms, absolute_timeout_ms, abandon_timeout_ms, absolute_expires_at; /* of a new one */
    int64_t created_at;                                                                    /* of a new one; 0: now */
    enum status status;                                                                    /* 0: active, or as it is */
};
enum outcome put_rule(const struct update_input *input, struct session *draft, struct error *error);
enum outcome remove_rule(const struct update_input *input, struct session *draft, struct error *error);
enum outcome touch_rule(const struct update_input *input, struct session *draft, struct error *error);
enum outcome keep_rule(const struct update_input *input, struct session *draft, struct error *error);

struct rename {
    struct bytes id, user;
    bool sets_user;
};
enum outcome rename_rule(const struct update_input *input, struct session *draft, struct error *error);

/* ---- verbs */

struct verb verb_of(enum verb_kind kind, const char *namespace, const char *id);
struct verb contract_put(struct world *world, const char *namespace, const char *id, struct put put);
struct verb contract_remove(struct world *world, const char *namespace, const char *id);
struct verb contract_get(struct world *world, const char *namespace, const char *id, bool include_dead);
struct verb contract_get_touch(struct world *world, const char *namespace, const char *id);
struct verb contract_update_touch(struct world *world, const char *namespace, const char *id);
struct verb contract_touch(struct world *world, const char *namespace, const char *id);
struct verb contract_move(struct world *world, const char *namespace, const char *id, struct rename rename,
                          int64_t grace_ms);
struct verb contract_end(struct world *world, const char *namespace, enum end_kind end);
struct verb contract_revoke(struct world *world, const char *namespace, enum group_kind group, const char *name,
                            struct bytes except);
struct verb contract_configure(struct world *world, const char *namespace, struct policy_change change);
struct policy_change policy_set(struct policy_change change, uint64_t bit, int64_t value);

/* What a list collected. */
#define LIST_MAX 4096
struct listed {
    unsigned count, pages;
    char ids[LIST_MAX][32];
    int64_t created_at[LIST_MAX];
    uint64_t total;
    bool is_total_known;
};
/* All pages of a list, `limit` sessions each. */
void contract_list(struct world *world, const char *namespace, enum group_kind group, const char *name,
                   uint64_t statuses, uint32_t limit, bool is_oldest_first, struct listed *listed);
bool listed_has(const struct listed *listed, const char *id);
uint64_t contract_count(struct world *world, const char *namespace, enum group_kind group, const char *name,
                        uint64_t statuses);

#define LIVING     (STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_PENDING))
#define TEXT(text) bytes_of_string(text)

/* The tests of one file: each a sentence and a function that gets a fresh world. */
struct contract_test {
    const char *sentence;
    void (*run)(struct world *world);
};
extern const struct contract_test life_tests[], group_tests[], namespace_tests[], move_tests[], point_tests[],
    scan_tests[], client_tests[], event_tests[], pool_tests[], pool_choice_tests[], lease_tests[], pool_point_tests[],
    ending_tests[], prepare_tests[];

/* Reads that touch, and purges, while the journal takes no writes; the end of a large group while it is behind. */
void contract_full_journal(void);
void contract_busy_journal(void);
/* Numbers for which a record's head has no room. */
void contract_range(void);
/* A session that a snapshot has no trace of, and the log behind it does. */
void contract_late_effects(void);
/* Random steps, and engines that are made from what was told of them, from a seed. */
void contract_recovery(uint64_t seed);
/* The same of pools whose engine crashes. */
void contract_pool_recovery(uint64_t seed);
/* Events that wait for the mark of a journal, from a seed. */
void contract_event_mark(uint64_t seed);
/* When effects are told, and which are refused. */
void contract_recovery_edges(void);

/* Plays the limit of a user with many sessions against what each of them says. */
void contract_limit(uint64_t seed, unsigned shard_bits, unsigned steps);
/* Random steps against a naive model, from a seed. */
void contract_random(uint64_t seed, unsigned shard_bits, unsigned steps);

#endif
