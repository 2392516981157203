/* The memory engine's inside: what its files share. Nothing above includes this.
 *
 * engine.c opens, closes and dispatches; look.c finds what stands under an id and judges it; read.c reads and touches;
 * publish.c puts records into the table and takes them out, with all that hangs on it (counters, wheels, tombstones,
 * groups; their blocks come from the loop's stock, stock.h); update.c and move.c run rules; limit.c decides limits
 * (limit.h), census.c counts for them; client.c knows clients; scan.c lists and counts; stage.c tells a journal what
 * changes, as effects (effect.h), and apply.c and recover.c make an engine of them again; end_all.c ends groups and
 * namespaces; configure.c changes policies; event.c tells who watches; pool_visit.h is the use of pools, whose files
 * are named after what they do there; reap.c works off what is due; compact.c moves records together in memory; check.c
 * asserts that all of it is consistent.
 *
 * Locks, never two at once but for MOVE's two shards (the lower index first): a shard's `lock` (its table, tombstones,
 * wheel and the word `active` of its records), a shard's `groups.lock`, a shard's `pools.lock`, a loop's grants_lock,
 * the registry's, the terms table's (which alone may be taken inside another, because nothing is taken inside it).
 * Before each taking stands env_point.
 *
 * Everything runs inside a turn of the loop whose `struct loop` is passed. */
#ifndef ENGINE_MEMORY_MEMORY_H
#define ENGINE_MEMORY_MEMORY_H

#include "base/buf.h"
#include "engine/memory/compact.h"
#include "engine/memory/counter.h"
#include "engine/memory/event.h"
#include "engine/memory/group.h"
#include "engine/memory/limit.h"
#include "engine/memory/namespace.h"
#include "engine/memory/pool.h"
#include "engine/memory/reclaim.h"
#include "engine/memory/record.h"
#include "engine/memory/stock.h"
#include "engine/memory/table.h"
#include "engine/memory/tombstone.h"
#include "engine/memory/wheel.h"

enum retire_kind { RETIRE_BLOCK, RETIRE_RECORD, RETIRE_NAMESPACE, RETIRE_TABLE };

#define SHARD_BITS_DEFAULT 10
#define REAP_BATCH         32  /* buckets taken under one lock */
#define LEAVE_MAX          512 /* records taken out under one lock that have groups to leave */
#define EVICT_BATCH        256 /* sessions that one look through a group finds for ending */

struct shard {
    struct table table;
    struct lock lock __attribute__((aligned(64)));
    uint32_t index;
    /* How many tombstones the set has (low half) and how often one was put into it (high half): what a look without the
     * lock at an id that is missing has to know. */
    _Atomic uint64_t tombstone_stamp;
    /* The newest version of anything that was taken out of the table: what an answer depends on that finds nothing. */
    _Atomic uint64_t removed;
    struct tombstones tombstones;
    struct group_table groups __attribute__((aligned(64)));
    struct pool_table pools __attribute__((aligned(64)));
    struct wheel wheel;
    struct event_ring events;
} __attribute__((aligned(128)));

/* Counters of one loop; written by it alone, read by anyone. */
struct loop_counters {
    _Atomic uint64_t acquired, marked, retired, lease_expired;
    _Atomic uint64_t pool_due; /* entries that were worked off */
    _Atomic uint64_t created, replaced, removed, expired, touched, revoked, retries, fired, events, events_lost;
    _Atomic uint64_t moved;       /* records, in memory */
    _Atomic int64_t record_bytes; /* what this loop added, minus what it took away */
    _Atomic int64_t lag_ms;
};

/* A session that a limit may end for a new one. */
struct victim {
    struct record *record;
    struct group_entry entry;
    int64_t active_at;
};

/* How often a member of a user's group of some hash was published as dead, or so that it ends earlier or was idle
 * longer than before: what is known of such groups is void. Begun before it can be seen, ended after. */
struct stir {
    _Atomic uint32_t begun, ended;
};
#define STIR_COUNT 4096 /* groups share them by their hashes */

/* The namespace that a verb of this loop named last. */
struct kept_namespace {
    struct namespace *namespace;
    uint64_t generation; /* of the registry: while that stands, the name means this one */
    size_t name_size;
    char name[LIMIT_MAX_NAMESPACE];
};

#define READ_PREFETCH_MAX 512 /* bytes of a record that are asked for at most */

struct loop {
    unsigned index;
    uint32_t read_bytes; /* of a record that is read, on the average of late, up to READ_PREFETCH_MAX */
    struct kept_namespace kept;
    struct stock stock;              /* of blocks of records */
    struct scratch scratch;          /* of the verb's rule */
    struct scratch internal_scratch; /* of revocations inside it */
    _Atomic int64_t wake_at;         /* advance is to be called then, as the loop was last told */
    _Atomic uint64_t swept;          /* sweep generation that is through in this loop's shards */
    uint64_t sweeping;               /* the one under way; 0: none */
    uint32_t sweep_shard;
    uint64_t sweep_hash;  /* where it goes on in that shard */
    bool sweep_is_inside; /* sweep_hash holds */
    struct compaction_place compaction_place;
    struct record **leaving; /* LEAVE_MAX: taken out, still in their groups */
    uint32_t leaving_count;
    struct victim victims[EVICT_BATCH]; /* of the limit that is being decided */
    const struct group_key *evicting;   /* the group whose limit ends members now; NULL: none */
    struct event_reader *events;        /* see event.c; never NULL */
    int64_t memory_allowance;           /* bytes that may be taken before max_memory is looked at again */
    int64_t pool_steps;                 /* that this turn may still take of what is due in pools */
    struct waiter **waiters;            /* acquires of this loop that wait, by ticket */
    uint64_t last_ticket;
    int64_t births_at;       /* the moment of the next */
    uint16_t births;         /* that stand behind those which versions order */
    int64_t now_ms;          /* of its last submit or advance */
    struct lock grants_lock; /* of the next two */
    struct list grants;      /* waiters that got something and are to be answered */
    _Atomic uint32_t grant_count;
    _Atomic uint64_t floor; /* no effect of an earlier version is staged; FLOOR_NONE: none at all. See stage.h */
    struct buf staged;
    struct list endings;   /* ends of groups that are PENDING; see ending.h */
    unsigned ending_waits; /* times in a row that they were put off */
    struct loop_counters counters __attribute__((aligned(64)));
} __attribute__((aligned(128)));

struct memory_engine {
    struct engine base;
    const struct env *env;
    unsigned loop_count, shard_bits;
    uint32_t shard_count;
    struct shard *shards;
    _Atomic uint64_t *roots; /* of the shards' tables: what every look-up reads first, 8 KiB that stay in the cache */
    _Atomic uint32_t segment_bits; /* of all tables; see table.h */
    _Atomic int64_t
        *due; /* of each shard: when something is due in it; together, so that they are quickly looked through */
    struct loop *loops;
    struct slab slab;
    struct reclaim reclaim;
    struct terms_table terms;
    struct registry registry;
    struct hash_key hash_key;
    struct journal *journal;   /* NULL: nothing is told */
    struct recovery *recovery; /* from the first effect that is applied until `recovered`; else NULL */
    void (*policy_encode)(struct buf *out, const struct policy *policy);
    bool (*policy_decode)(struct bytes encoded, struct policy *out);
    void (*pool_policy_encode)(struct buf *out, const struct pool_policy *policy);
    bool (*pool_policy_decode)(struct bytes encoded, struct pool_policy *out);
    void (*policy_apply)(struct policy *policy, const struct policy_change *change);
    struct pool_policy default_pool_policy;
    void (*pool_policy_apply)(struct pool_policy *policy, const struct pool_policy_change *change);
    size_t (*pool_session_make)(void *context, char *id); /* NULL: no pools */
    void (*pool_session_begin)(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                               struct session *draft, struct usage *usage);
    void *pool_context;
    engine_done done; /* of waiting acquires, and of ends of large groups */
    void *done_context;
    struct lock endings_lock; /* of ending_count and moves; see ending.c */
    uint32_t ending_count;
    _Atomic uint64_t ending_generation; /* which anyone may read */
    _Atomic uint32_t chasing;           /* no session of a group that is being ended moves while it is above 0 */
    struct moved *moves;
    _Atomic uint64_t pool_count;
    _Atomic int64_t pools_due_at;    /* no later than something is due in a pool */
    _Atomic int64_t pools_forget_at; /* no later than a session of one is to be forgotten */
    /* How often a loop has begun and ended to work off what is due in pools: between the two neither moment holds. */
    _Atomic uint64_t pools_begun, pools_ended;
    int64_t pool_turn_steps; /* of what is due in pools that a loop works off in one turn; see pool_visit.h */
    _Atomic uint64_t max_memory;
    _Atomic uint32_t max_namespaces;
    struct stir *stirs;        /* STIR_COUNT */
    _Atomic int64_t reaped_ms; /* no deadline was marked as passed that is later */
    struct compaction compaction;
    _Atomic uint64_t sweep_wanted __attribute__((aligned(64))); /* newest generation of sweeps */
    _Atomic uint64_t last_version __attribute__((aligned(64)));
    /* A bit for each loop that watches, and that wants data; written so seldom that every writer has them at hand. */
    _Atomic uint64_t watching __attribute__((aligned(64)));
    _Atomic uint64_t watching_data;
    _Atomic uint64_t watch_serial;          /* how often somebody began or ended to watch */
    _Atomic uint64_t event_bytes;           /* of all rings */
    _Atomic(struct expired_list *) expired; /* see expired.h; NULL: there is none, or no more */
};

/* What an operation works with. */
struct context {
    struct memory_engine *engine;
    struct loop *loop;
    int64_t now_ms;
    const struct pool_policy *pool_policy; /* what a rule is told of the pool that its draft may enter; NULL: none */
};

static inline uint64_t shard_number(const struct memory_engine *engine, uint64_t hash) {
    return engine->shard_bits ? hash >> (64 - engine->shard_bits) : 0;
}

static inline struct shard *shard_of(struct memory_engine *engine, uint64_t hash) {
    return &engine->shards[shard_number(engine, hash)];
}

/* The root of the table that holds the hash, without a look at its shard. */
static inline uint64_t shard_root(const struct memory_engine *engine, uint64_t hash) {
    return atomic_load_explicit(&engine->roots[shard_number(engine, hash)], memory_order_acquire);
}

static inline struct stir *stir_of(const struct memory_engine *engine, uint64_t group_hash) {
    return &engine->stirs[group_hash % STIR_COUNT];
}

static inline unsigned shard_owner(const struct memory_engine *engine, const struct shard *shard) {
    return shard->index % engine->loop_count;
}

static inline void depend_on(uint64_t *depends_on, uint64_t version) {
    if (version > *depends_on) *depends_on = version;
}

static inline void shard_take(struct memory_engine *engine, struct shard *shard) {
    env_point(engine->env);
    lock_take(&shard->lock);
}

static inline void shard_release(struct shard *shard) {
    lock_release(&shard->lock);
}

static inline uint32_t shard_tombstone_count(const struct shard *shard) {
    return (uint32_t)atomic_load_explicit(&((struct shard *)shard)->tombstone_stamp, memory_order_relaxed);
}

static inline uint64_t id_hash(const struct memory_engine *engine, const struct namespace *namespace, struct bytes id) {
    return hash_bytes(&engine->hash_key, id) ^ namespace->key;
}

static inline const struct terms *record_terms(const struct memory_engine *engine, const struct record *record) {
    return terms_at(&engine->terms, record_terms_number(record));
}

/* A new version: above all before, and not below the moment's own. With a journal the loop has noted before that it may
 * hold effects of it. */
uint64_t version_take(struct context *context);

/* The newest version: what an answer depends on that may depend on anything. 0 without a journal. */
static inline uint64_t version_newest(const struct context *context) {
    return context->engine->journal ? atomic_load(&context->engine->last_version) : 0;
}

/* Sees to it that versions from now on are above this one. */
void version_pass(struct memory_engine *engine, uint64_t version);

/* A session's place among those of one created_at. */
struct birth {
    int64_t created_at;
    uint16_t number; /* 1 to BIRTH_MAX; 0: not given yet */
};
#define BIRTH_EXACT_MS 6
/* The birth of a session that begins now: greater than that of any that was published before with the same created_at.
 * Where versions are more than BIRTH_EXACT_MS ahead of created_at that holds within this loop alone, for 4,000 of them,
 * and where created_at is not this moment either it is BIRTH_MAX. */
struct birth birth_give(struct context *context, int64_t created_at);

/* Bytes in use, all told; any thread. */
uint64_t memory_used(struct memory_engine *engine);

/* ---- look.c: what stands under an id */

enum judged {
    JUDGED_ALIVE,
    JUDGED_DEAD,     /* within its retention */
    JUDGED_ALIAS,    /* an old id within its grace */
    JUDGED_FORGOTTEN /* physically there, for nobody to see */
};

/* Judges a record; fills the life part of `view`, and for FORGOTTEN the mark that its tombstone would have. *now_ms
 * is moved to the deadline where it was reaped by a clock that was ahead. */
enum judged record_judge(const struct memory_engine *engine, const struct record *record, uint64_t active,
                         int64_t *now_ms, struct session *view, uint64_t *tombstone);

/* Views a record whole that is plain and without any doubt alive. False: it has to be judged, and `view` is void. */
static inline bool record_view_alive(const struct memory_engine *engine, const struct record *record, uint64_t active,
                                     int64_t now_ms, struct session *view) {
    if (!record_is_plain(record) || active & RECORD_MARK_REAPED) return false;
    const struct terms *terms = record_terms(engine, record);
    if (record_version_narrow(record) <= namespace_epoch(terms->namespace)) return false;
    record_view_plain(record, terms, active, view);
    return session_is_alive(view, now_ms);
}

/* When the reaper has to look at the record again, after it was judged so; INT64_MAX: never. */
int64_t record_due(const struct memory_engine *engine, const struct record *record, enum judged judged,
                   const struct session *view, int64_t now_ms);

/* The same of one that was just published or may have changed: judged at now_ms. */
int64_t record_next_due(const struct memory_engine *engine, const struct record *record, int64_t now_ms);

/* The record of that id; NULL: none. Lock-free. `slot`, if not NULL, gets where it stands, for holders of the lock. */
struct record *record_find(struct memory_engine *engine, const struct namespace *namespace, uint64_t hash,
                           struct bytes id, _Atomic uint64_t **slot);

/* The newest version that decides about what is not there, or not alive, under an id of that hash: of removals in its
 * shard, of what ends or changes the namespace (NULL: none of that name), and of namespaces that were dropped. 0
 * without a journal. To be asked after the look. */
uint64_t missing_depends(const struct memory_engine *engine, const struct namespace *namespace, uint64_t hash);

/* Whether a tombstone of that mark still counts. */
bool tombstone_counts(const struct namespace *namespace, uint64_t mark, int64_t now_ms);

struct sight {
    struct record *record;  /* NULL: none, physically */
    _Atomic uint64_t *slot; /* where the record was found; what that is worth without the lock, sight_holds sees */
    uint64_t root;          /* of the table in which it was found */
    enum presence presence;
    enum judged judged;  /* with a record */
    uint64_t active;     /* the word that was read */
    uint64_t version;    /* of the record or the tombstone; 0: neither */
    int64_t now_ms;      /* at which it was judged */
    struct session view; /* whole for ALIVE and DEAD */
};

/* The newest version that what was seen depends on. */
uint64_t sight_depends(const struct memory_engine *engine, const struct namespace *namespace, uint64_t hash,
                       const struct sight *sight);

/* Looks. Without the lock an id that is found missing is looked at once more under it, unless the shard has no
 * tombstones, had none meanwhile, and is_sure is not asked for. */
void sight_take(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id, bool is_locked,
                bool is_sure, struct sight *sight);

/* Under the lock: whether what was seen before still stands, for whoever is to act on it. Finds sight->slot. */
/* ... A dropped namespace holds nothing: nothing may be published into it behind its sweep. */
bool sight_holds(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id,
                 struct sight *sight);

/* Under the lock, for what is alive: moves last_active_at to now, thinned by the policy, in the record and in the view.
 * False: it was thinned away. Then, without the lock, whoever called tells it (stage_touch). */
bool sight_touch(struct context *context, const struct namespace *namespace, struct sight *sight);

/* ---- publish.c: changes of a shard; its lock is held unless said otherwise */

/* A block with the draft in it, not published; NULL where memory is lacking. No lock. */
struct record *record_new(struct context *context, struct namespace *namespace, const struct session *draft,
                          const struct record *old);
void record_free(struct context *context, struct record *record); /* one that was never published. No lock needed */

/* The same with a session that is recovered, its version included. */
struct record *record_restore(struct memory_engine *engine, unsigned arena, struct namespace *namespace,
                              const struct session *session, bool is_reaped);
/* Counts a record that is recovered. */
void record_count_in(struct context *context, const struct record *record);

/* Puts `fresh` (its version is set) in the place of what `sight` holds. False: memory is lacking, nothing changed.
 * shard_place tells nobody: it is for a move, whose event is another one. */
bool shard_place(struct context *context, struct shard *shard, uint64_t hash, const struct sight *sight,
                 struct record *fresh);
bool shard_publish(struct context *context, struct shard *shard, uint64_t hash, const struct sight *sight,
                   struct record *fresh);

/* Notes the version of a removal before it can be seen. */
static inline void shard_note_removed(struct shard *shard, uint64_t version) {
    if (version > atomic_load_explicit(&shard->removed, memory_order_relaxed))
        atomic_store_explicit(&shard->removed, version, memory_order_release);
}

/* Takes a record out of its slot, with its counts. Then it leaves its groups, without the lock, and is retired. */
void shard_remove(struct context *context, struct shard *shard, _Atomic uint64_t *slot, struct record *record);
void record_retire(struct context *context, struct record *record);

/* A tombstone of that mark, where the namespace has them and it still counts. */
void shard_bury(struct context *context, const struct namespace *namespace, struct shard *shard, uint64_t hash,
                uint64_t mark);

/* Counts a record whose deadline passed as dead and marks it. */
void shard_mark_reaped(struct context *context, struct shard *shard, struct record *record, const struct session *view);

/* Writes down how many tombstones there are now, and that one was put in. */
void shard_note_tombstones(struct shard *shard, bool has_put);

/* Sees to it that the shard is looked at by `due_at`. */
void shard_arm(struct context *context, struct shard *shard, uint64_t hash, int64_t due_at);
void shard_note_due(struct context *context, struct shard *shard, int64_t due_at);
/* When its tombstones are to be swept; INT64_MAX: there are none. */
int64_t shard_tombstones_due(struct memory_engine *engine, const struct shard *shard);
/* Writes down when the shard is due next, and answers it. */
int64_t shard_refresh_due(struct memory_engine *engine, struct shard *shard);

/* What the record is counted as; STATUS_NONE: an alias. */
enum status record_counted_status(const struct memory_engine *engine, const struct record *record);

/* The entry of a record, and of a session that was read or is about to be published, in its groups. */
static inline struct group_entry record_entry(const struct record *record, uint64_t hash) {
    return group_entry_of(record_created_at(record), record_birth(record), hash);
}
static inline struct group_entry session_entry(const struct session *session, uint64_t hash) {
    return group_entry_of(session->created_at, session->birth, hash);
}

/* ---- member.c: the use of groups. Group locks are taken inside; no lock may be held */

struct group_key group_key_of(const struct memory_engine *engine, struct namespace *namespace, unsigned kind,
                              struct bytes name);
/* The table of a group's shard. Take its lock with group_table_take. */
struct group_table *group_table_of(struct memory_engine *engine, const struct group_key *key);
void group_table_take(struct memory_engine *engine, struct group_table *table);
/* Takes one entry out. */
void group_leave(struct context *context, const struct group_key *key, struct group_entry entry, bool wants_dead);
/* All groups that the record names. It was taken out of the table. */
void record_leave_groups(struct context *context, uint64_t hash, const struct record *record);
/* Notes that a session of that client (absent: none) was touched: it is its last active one now. is_thinned:
 * its last_active_at stayed behind; then no journal is told of a moment alone. */
void client_note_touch(struct context *context, struct namespace *namespace, struct bytes client,
                       struct group_entry entry, bool is_thinned);

/* A session has entered its client with these places, if it has one: a journal is told. Before they are settled. */
void clients_note_entered(struct context *context, struct namespace *namespace, const struct places *places);
/* The session changes its name within the client. */
void client_note_move(struct context *context, struct namespace *namespace, struct bytes client, struct group_entry old,
                      struct group_entry new);
/* A session is about to enter the client, whose table's lock is held: it begins anew where nothing of it is left.
 * Answers updated_at as it was. */
int64_t client_enter(struct context *context, const struct group_key *key, struct group *group);
void verb_client(struct context *context, struct verb *verb, struct namespace *namespace);

/* The namespace of that name, made if there is none, then with those hash_ids. NULL: *error says why not. */
struct namespace *namespace_make(struct context *context, struct bytes name, bool hash_ids, struct error *error);

/* The record of an entry, if there is one in that group; lock-free. */
struct record *group_entry_record(struct memory_engine *engine, const struct group_key *key, struct group_entry entry);

/* Asks the processor for the records of so many entries, a few dozen at most. */
void group_entries_prefetch(struct memory_engine *engine, const struct group_entry *entries, uint32_t count);

/* ---- update.c, move.c */

/* Runs a rule on one id and publishes. `namespace` NULL: looked up, and made if the rule wants to write. is_internal: a
 * revocation inside another verb. */
struct update {
    struct bytes namespace_name;
    struct namespace *namespace;
    struct bytes id;
    uint64_t hash;
    update_rule rule;
    const void *arguments;
    bool is_internal;
    struct pool_claim *claim; /* of an acquire that makes a session; NULL: none */
    struct usage *usage;      /* where the usage goes of a session that is in a pool; NULL: nowhere */
    struct birth birth;       /* of the session that it makes; kept when the rule runs again */
    bool has_usage;           /* of one that entered a pool: it is there already, as it entered */
    /* answered */
    struct error error;
    enum outcome outcome;
    bool is_found;
    uint64_t depends_on;
    struct session *session; /* where the session goes */
};
void update_run(struct context *context, struct update *update);

/* Runs a rule on what was seen; resets its scratch before. */
enum outcome rule_run(struct context *context, const struct namespace *namespace, const struct sight *sight,
                      update_rule rule, const void *arguments, bool is_internal, struct session *draft,
                      struct error *error);
/* Cuts the moments of a rule's draft to what a record holds, and gives a session that begins its birth, which
 * is kept in *birth for further runs. */
void draft_normalise(struct context *context, const struct sight *old, struct session *draft, struct birth *birth);

/* Reads one without a lock; fills all of `out` if true. *depends_on is raised to what that depends on. */
bool session_read(struct context *context, struct namespace *namespace, uint64_t hash, struct bytes id,
                  bool include_dead, struct session *out, uint64_t *depends_on);

/* Takes out the entries of a record that was replaced. No lock may be held. */
void groups_leave(struct context *context, struct namespace *namespace, uint64_t hash, const struct record *old,
                  const struct bytes leaves[GROUPS_MAX]);

/* How one of a group's sessions is ended. */
struct ending_kind {
    enum status to;      /* revoked, removed or replaced; STATUS_NONE: destroyed */
    struct bytes reason; /* absent: none */
    struct bytes by;     /* with replaced */
};
/* Ends one session if `group` still has it and it may still become that. True: it was this call. *version, if
 * not NULL: what stands there now depends on it. */
bool session_end(struct context *context, struct namespace *namespace, const struct group_key *group, uint64_t hash,
                 const struct record *record, const struct ending_kind *kind, uint64_t *version);

void verb_update(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash);
void verb_move(struct context *context, struct verb *verb, struct namespace *namespace);
void verb_get(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash);
void verb_touch(struct context *context, struct verb *verb, struct namespace *namespace, uint64_t hash);
void verb_scan(struct context *context, struct verb *verb, struct namespace *namespace);
/* True: it is PENDING, and verb->private[0] is its ticket. */
bool verb_end_all(struct context *context, struct verb *verb, struct namespace *namespace);
enum submit_state verb_configure(struct context *context, struct verb *verb, struct namespace *namespace);

/* Which groups a change from `old` (physically there, or NULL) to `draft` enters and leaves. */
void needs_of(struct context *context, struct namespace *namespace, uint64_t hash, const struct sight *old,
              const struct session *draft, struct needs *needs, struct bytes leaves[GROUPS_MAX]);

/* ---- pool_member.c: sessions in pools. No lock may be held */

/* Reserves an entry for the draft, and its place; on false *error says why not. */
bool pool_enter(struct context *context, const struct needs *needs, struct places *places, struct error *error);
void pool_unenter(struct context *context, struct places *places);
/* Under the shard's lock, before the record is published: its life in the pool begins with that version. */
static inline void pool_begin_life(struct places *places, uint64_t version) {
    if (places->pool_entry) atomic_store(&places->pool_entry->version, version);
}
/* After it was published. A journal is told, before it is told of the record. */
void pool_confirm(struct context *context, struct places *places);
/* The record of that version has gone. */
void pool_leave(struct context *context, struct namespace *namespace, struct bytes name, uint64_t hash,
                uint64_t version);
/* Another record of the session was published. */
void pool_note(struct context *context, struct namespace *namespace, uint64_t hash, const struct record *record);
/* Points session->usage to a copy in *usage, if it is in a pool; else it is NULL. Answers the version with which a
 * journal was told of it last, on which an answer with it depends. */
uint64_t session_add_usage(struct context *context, struct namespace *namespace, uint64_t hash, struct session *session,
                           struct usage *usage);
/* The policy of a pool, or the defaults. */
void pool_policy_read(struct context *context, struct namespace *namespace, struct bytes name,
                      struct pool_policy *policy);
/* Gives up all places that are held. */
void pool_reset_holds(struct context *context, struct namespace *namespace, struct bytes name);

/* ---- pool_visit.c */

/* Works off all that is to be forgotten in pools, and what else is due in them as far as *steps go. */
void pools_work(struct context *context, int64_t *steps);
/* Whether one of the engine's two moments of pools has come, or may have while a loop works: that one's beginning is
 * read behind the moment and its end before it, so none that the moment was read in the midst of is overlooked. */
static inline bool pools_moment_has_come(const struct context *context, _Atomic int64_t *moment) {
    uint64_t ended = atomic_load(&context->engine->pools_ended);
    if (context->now_ms >= atomic_load(moment)) return true;
    return atomic_load(&context->engine->pools_begun) != ended;
}
/* Whether it has anything to do. */
static inline bool pools_are_due(const struct context *context) {
    return pools_moment_has_come(context, &context->engine->pools_due_at);
}
/* While something is due that was not worked off: sees to what the verb has to find done. False: that is more than may
 * be done now, and the verb is to be submitted again. */
bool pools_admit(struct context *context, const struct verb *verb, struct namespace *namespace, uint64_t hash);
/* Has happen what is due in its pool for the session of that record; NULL: none. */
void pool_catch_up(struct context *context, struct namespace *namespace, uint64_t hash, const struct record *record);
/* The namespace (NULL: any) was cleared or purged: its pools follow in slices. */
void pools_outdate(struct context *context, const struct namespace *namespace);
/* The namespace was dropped: its pools go, and who waits in them is told. */
void pools_drop(struct context *context, const struct namespace *namespace);
/* What a namespace says about retention has changed. */
void pools_refresh(struct context *context, const struct namespace *namespace);
void pools_close(struct memory_engine *engine, struct pool_table *table);
void pools_check(struct memory_engine *engine, struct pool_table *table);
uint64_t pools_waiting_count(struct memory_engine *engine);

/* ---- reap.c */

/* Works off what is due in all shards, about `budget` records: whoever needs a count that does not lag. */
void reap_due(struct context *context, unsigned budget);

/* Has the loop called again by that moment. */
void owner_wake(struct context *context, unsigned loop_index, int64_t at_ms);

/* Purges the namespaces whose interval has come. */
void purge_periodically(struct context *context);

/* Has all shards looked through for what the namespace has outdated. The registry's lock is held. */
void sweep_request(struct context *context, struct namespace *namespace);
void sweep_wake(struct context *context); /* after it, without the lock */

int64_t memory_advance(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget);

/* ---- check.c */
void memory_check(struct engine *self);

#endif
