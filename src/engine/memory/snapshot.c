/* The walk of a snapshot: all that the engine holds as effects, a part with each call. See engine.h.
 *
 * It runs beside the loops, as a reader of its own. Records are read without a lock, some hundred in a turn, so that
 * what it keeps from being freed is little; tombstones, clients and pools are copied under the lock of their set, some
 * dozen at a time, and the usage of a pool's session under its pool's, along with its record. Between two turns tables
 * grow and shrink, so a place in them is a place in the order of hashes: all that stands before it was told. What is
 * told twice is told the same, or newer.
 *
 * A change takes its version and is made under one lock. The walk looks up the newest version first and passes each
 * lock after that, so it meets all changes up to that version, and what they took away is not there: it says so at its
 * end (EFFECT_SNAPSHOT). What changes afterwards is told to the journal after that, by whoever changes it, so it does
 * not matter whether the walk meets it. */
#include "engine/memory/snapshot.h"
#include "engine/memory/pool_effect.h"
#include "engine/memory/pool_visit.h"
#include "engine/memory/stage.h"

#define TURN_RECORDS     256 /* records and buckets that one turn looks at */
#define LOCKED_HOMES     64  /* of tombstones, and chains of groups, that are looked through under one lock */
#define NAMESPACES_RUN   256 /* that are told under one lock, about */
#define POSITIONS_END    (UINT64_C(1) << 32) /* of namespaces: of keys; of clients and pools: of hashes read backwards */
#define PREFETCHED_BYTES 256

enum part { PART_NAMESPACES, PART_RECORDS, PART_TOMBSTONES, PART_CLIENTS, PART_POOLS, PART_COUNT };

struct walk {
    struct memory_engine *engine;
    struct snapshot_cursor *cursor;
    struct buf *out;
    size_t size_max; /* of out: from there on the call ends */
};

static bool walk_is_full(const struct walk *walk) {
    return walk->out->is_failed || walk->out->size >= walk->size_max;
}

/* ---- namespaces */

/* Those of one run of keys, which are random: some hundred. True: it is through. */
static bool namespaces_run_write(struct walk *walk) {
    struct snapshot_cursor *cursor = walk->cursor;
    uint64_t runs = 1, position = cursor->position;
    if (!cursor->is_inside) cursor->covered = atomic_load(&walk->engine->last_version);
    while (runs * NAMESPACES_RUN < atomic_load(&walk->engine->registry.count)) runs *= 2;
    uint64_t run = POSITIONS_END / runs, next = (position / run + 1) * run;
    namespaces_write(walk->engine, position << 32, (next - 1) << 32 | UINT32_MAX, SIZE_MAX, walk->out);
    cursor->position = next;
    return next >= POSITIONS_END;
}

/* ---- records */

/* A session's usage in its pool stands before it. One that nobody was told of is about to be told to the journal. */
static void usage_write(struct walk *walk, const struct record *record, struct namespace *namespace) {
    struct memory_engine *engine = walk->engine;
    struct group_key key = group_key_of(engine, namespace, GROUP_POOL, record_group(record, GROUP_POOL));
    struct pool_table *table = &shard_of(engine, key.hash)->pools;
    uint64_t hash = id_hash(engine, namespace, record_id(record));
    env_point(engine->env);
    lock_take(&table->lock);
    const struct pool *pool = pool_find(table, &key);
    const struct pool_entry *entry = pool ? pool_entry_of(pool, hash, record_version(record)) : NULL;
    if (entry && entry->told) effect_write_usage(walk->out, entry);
    lock_release(&table->lock);
}

/* All of one bucket; answers how many. */
static unsigned bucket_write(struct walk *walk, struct table_walk *at) {
    struct memory_engine *engine = walk->engine;
    struct table_walk ahead = *at;
    unsigned count = 0;
    for (const char *record; (record = table_walk_next(&ahead));)
        for (size_t offset = 0; offset < PREFETCHED_BYTES; offset += 64) __builtin_prefetch(record + offset);
    for (struct record *record; (record = table_walk_next(at)); count++) {
        const struct terms *terms = record_terms(engine, record);
        if (namespace_is_dropped(terms->namespace)) continue;
        if (record_more(record) & RECORD_MORE_POOL) usage_write(walk, record, terms->namespace);
        effect_write_put(walk->out, terms->namespace->key, record, terms);
    }
    return count;
}

/* One turn in a shard's table. True: it is through. */
static bool records_write(struct walk *walk, struct shard *shard) {
    struct snapshot_cursor *cursor = walk->cursor;
    if (!cursor->is_inside) {
        shard_take(walk->engine, shard);
        shard_release(shard);
    }
    struct table_walk at =
        cursor->is_inside ? table_walk_from(&shard->table, cursor->position) : table_walk_at(&shard->table, 0);
    for (unsigned work = 0; table_walk_is_in(&at); table_walk_bucket(&at)) {
        work += 1 + bucket_write(walk, &at);
        if (at.number + 1 == at.bucket_count) break;
        if (work < TURN_RECORDS && !walk_is_full(walk)) continue;
        cursor->position = table_bucket_first_hash(&shard->table, at.number + 1, at.bucket_count);
        return false;
    }
    return true;
}

/* ---- tombstones */

static bool tombstones_write(struct walk *walk, struct shard *shard) {
    struct tombstone_entry entry;
    uint64_t position = walk->cursor->is_inside ? walk->cursor->position : 0;
    shard_take(walk->engine, shard);
    struct tombstone_look look = tombstone_look_at(&shard->tombstones, position, LOCKED_HOMES);
    while (tombstone_look_next(&shard->tombstones, &look, &entry))
        effect_write_tombstone(walk->out, entry.hash, tombstone_version(entry.mark));
    shard_release(shard);
    walk->cursor->position = look.next;
    return look.next == TOMBSTONE_POSITIONS;
}

/* ---- clients */

static void client_write(struct walk *walk, struct group *group) {
    struct effect_client effect;
    if (group->kind != GROUP_CLIENT || namespace_is_dropped(group->namespace) || !group_client(group)->version) return;
    client_effect(group, &effect);
    effect_write_client(walk->out, &effect);
}

/* Chains are chosen by the low bits of a hash, so in the order of the hashes' bits read backwards each chain is one
 * run, of however many chains there are. */
static uint32_t bits_reversed(uint32_t bits) {
    bits = __builtin_bswap32(bits);
    bits = (bits & 0x0f0f0f0f) << 4 | (bits >> 4 & 0x0f0f0f0f);
    bits = (bits & 0x33333333) << 2 | (bits >> 2 & 0x33333333);
    return (bits & 0x55555555) << 1 | (bits >> 1 & 0x55555555);
}

static bool clients_write(struct walk *walk, struct shard *shard) {
    struct group_table *table = &shard->groups;
    uint64_t position = walk->cursor->is_inside ? walk->cursor->position : 0;
    group_table_take(walk->engine, table);
    uint64_t run = table->capacity ? POSITIONS_END / table->capacity : POSITIONS_END;
    for (unsigned i = 0; i < LOCKED_HOMES && position < POSITIONS_END; i++, position = (position / run + 1) * run) {
        if (!table->capacity) continue;
        struct group *group = table->chains[bits_reversed((uint32_t)position) & (table->capacity - 1)];
        for (; group; group = group->next) client_write(walk, group);
    }
    lock_release(&table->lock);
    walk->cursor->position = position;
    return position >= POSITIONS_END;
}

/* ---- pools */

static void pool_write(struct walk *walk, const struct pool *pool) {
    struct buf encoded = BUF_EMPTY;
    if (pool->is_dropped || !pool->told) return;
    pool_effect_write(walk->engine, pool, &encoded, walk->out);
    buf_fini(&encoded);
}

static bool pools_write(struct walk *walk, struct shard *shard) {
    struct pool_table *table = &shard->pools;
    uint64_t position = walk->cursor->is_inside ? walk->cursor->position : 0;
    env_point(walk->engine->env);
    lock_take(&table->lock);
    uint64_t run = table->capacity ? POSITIONS_END / table->capacity : POSITIONS_END;
    for (unsigned i = 0; i < LOCKED_HOMES && position < POSITIONS_END; i++, position = (position / run + 1) * run)
        for (const struct pool *pool = pool_chain(table, bits_reversed((uint32_t)position)); pool; pool = pool->next)
            pool_write(walk, pool);
    lock_release(&table->lock);
    walk->cursor->position = position;
    return position >= POSITIONS_END;
}

/* ---- all of it */

typedef bool (*part_write)(struct walk *walk, struct shard *shard);

/* One turn. */
static void walk_turn(struct walk *walk) {
    static const part_write writers[PART_COUNT] = {[PART_RECORDS] = records_write,
                                                   [PART_TOMBSTONES] = tombstones_write,
                                                   [PART_CLIENTS] = clients_write,
                                                   [PART_POOLS] = pools_write};
    struct snapshot_cursor *cursor = walk->cursor;
    if (cursor->part == PART_NAMESPACES) {
        cursor->is_inside = !namespaces_run_write(walk);
        cursor->part += !cursor->is_inside;
        return;
    }
    cursor->is_inside = !writers[cursor->part](walk, &walk->engine->shards[cursor->shard]);
    if (cursor->is_inside || ++cursor->shard < walk->engine->shard_count) return;
    cursor->shard = 0;
    cursor->is_done = ++cursor->part == PART_COUNT;
    if (cursor->is_done) effect_write_snapshot(walk->out, cursor->covered);
}

void memory_snapshot(struct engine *self, struct snapshot_cursor *cursor, struct buf *out, size_t bytes_max,
                     int64_t now_ms) {
    struct memory_engine *engine = (struct memory_engine *)self;
    struct walk walk = {engine, cursor, out, out->size + bytes_max};
    (void)now_ms; /* what is dead or forgotten by then is judged when it is read back */
    do {
        reclaim_enter(&engine->reclaim, engine->loop_count);
        walk_turn(&walk);
        reclaim_leave(&engine->reclaim, engine->loop_count);
    } while (!cursor->is_done && !walk_is_full(&walk));
    cursor->version = atomic_load(&engine->last_version); /* nothing that was told is newer */
}
