/* The invariants of the whole engine, for tests: see memory.h. No other call may run. */
#include "engine/memory/memory.h"

#include <stdio.h>
#include <stdlib.h>

/* Not assert: who calls this wants to know, also in a release build. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (condition) break;                                                                                          \
        fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition);                          \
        abort();                                                                                                       \
    } while (0)

struct tally {
    struct namespace *namespace;
    int64_t count[STATUS_END];
    int64_t bytes;
};

struct tallies {
    struct tally *all;
    size_t count;
    size_t last; /* the one found last */
};

static struct tally *tally_of(struct tallies *tallies, const struct namespace *namespace) {
    if (tallies->all[tallies->last].namespace == namespace) return &tallies->all[tallies->last];
    for (size_t i = 0; i < tallies->count; i++)
        if (tallies->all[i].namespace == namespace) {
            tallies->last = i;
            return &tallies->all[i];
        }
    MUST(!"a record of a namespace that is in no list");
    return NULL;
}

/* Each group that the record names has an entry for it. */
static void check_groups(struct memory_engine *engine, struct namespace *namespace, const struct record *record,
                         uint64_t hash) {
    struct group_entry entry = record_entry(record, hash);
    for (unsigned kind = GROUP_USER; kind <= GROUP_POOL; kind++) {
        struct bytes name = record_group(record, kind);
        if (!name.data) continue;
        struct group_key key = group_key_of(engine, namespace, kind, name);
        struct group *group = group_find(group_table_of(engine, &key), &key);
        MUST(group);
        struct group_position at = group_seek(group, entry);
        MUST(at.leaf < group->leaf_count && group_entry_equal(group_leaf(group, at.leaf)->entries[at.index], entry));
    }
}

static void check_record(struct memory_engine *engine, struct shard *shard, uint32_t bucket, struct record *record,
                         struct tallies *tallies) {
    struct namespace *namespace = record_terms(engine, record)->namespace;
    struct bytes id = record_id(record);
    uint64_t hash = id_hash(engine, namespace, id), tombstone;
    MUST(record_version(record) > 0 && record_version(record) <= atomic_load(&engine->last_version));
    MUST(record_is_alias(record) || record_birth(record) > 0);
    MUST(shard_of(engine, hash) == shard && table_bucket_of(&shard->table, hash) == bucket);
    MUST(record_find(engine, namespace, hash, id, NULL) == record);
    MUST(!tombstone_find(&shard->tombstones, hash));
    struct session view;
    int64_t now_ms = 0; /* judged long ago it is due no later than at any time after */
    enum judged judged = record_judge(engine, record, record_active(record), &now_ms, &view, &tombstone);
    if (judged == JUDGED_ALIVE || judged == JUDGED_ALIAS) {
        int64_t due_at = record_due(engine, record, judged, &view, now_ms);
        MUST(due_at == INT64_MAX || wheel_armed_at(&shard->wheel, &shard->table, bucket) <=
                                        (due_at > shard->wheel.at_ms ? due_at : shard->wheel.at_ms));
        MUST(atomic_load(&engine->due[shard->index]) <= due_at);
    }
    struct tally *tally = tally_of(tallies, namespace);
    enum status status = record_counted_status(engine, record);
    if (status != STATUS_NONE) tally->count[status]++;
    tally->bytes += (int64_t)slab_size(record_size(record));
    check_groups(engine, namespace, record, hash);
}

static void check_shard(struct memory_engine *engine, struct shard *shard, struct tallies *tallies) {
    table_check(&shard->table); /* and its wheel */
    tombstone_check(&shard->tombstones);
    MUST(!lock_is_taken(&shard->lock) && !lock_is_taken(&shard->groups.lock));
    MUST(shard_tombstone_count(shard) == shard->tombstones.count);
    for (struct table_walk walk = table_walk_at(&shard->table, 0); table_walk_is_in(&walk); table_walk_bucket(&walk))
        for (struct record *record; (record = table_walk_next(&walk));)
            check_record(engine, shard, walk.number, record, tallies);
}

/* Nothing is under way, so each entry names a record of that group. */
static void check_group_table(struct memory_engine *engine, const struct group_table *table) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->capacity; i++)
        for (const struct group *group = table->chains[i]; group; group = group->next, count++) {
            struct group_key key = {group->namespace, bytes_of(group->name, group->name_size), group->hash,
                                    group->kind};
            group_check(group);
            /* Only an end of it that is PENDING outlasts the turn in which it was asked for. */
            uint32_t ending = atomic_load(&((struct group *)group)->ending);
            MUST((group->count > 0 || ending > 0) && ending <= engine->ending_count);
            for (uint32_t j = 0; j < group->leaf_count; j++)
                for (uint32_t k = 0; k < group_leaf(group, j)->count; k++)
                    MUST(group_entry_record(engine, &key, group_leaf(group, j)->entries[k]));
        }
    MUST(count == table->count);
}

static void check_tally(const struct tally *tally) {
    struct namespace *namespace = tally->namespace;
    for (unsigned status = STATUS_NONE + 1; status < STATUS_END; status++)
        MUST(atomic_load(&namespace->count[status]) == tally->count[status]);
    MUST(atomic_load(&namespace->bytes[0]) + atomic_load(&namespace->bytes[1]) == tally->bytes);
    MUST(atomic_load(&namespace->reserved) == 0 && atomic_load(&namespace->reserved_bytes) == 0);
}

void memory_check(struct engine *self) {
    struct memory_engine *engine = (struct memory_engine *)self;
    struct tallies tallies = {0};
    size_t count = 0;
    for (struct namespace *at = engine->registry.first; at; at = at->next) count++;
    tallies.all = calloc(count + 1, sizeof(struct tally));
    MUST(tallies.all);
    for (struct namespace *at = engine->registry.first; at; at = at->next) tallies.all[tallies.count++].namespace = at;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        check_shard(engine, &engine->shards[i], &tallies);
        check_group_table(engine, &engine->shards[i].groups);
        pools_check(engine, &engine->shards[i].pools);
    }
    int64_t bytes = 0, counted = 0;
    for (size_t i = 0; i < tallies.count; i++) {
        check_tally(&tallies.all[i]);
        bytes += tallies.all[i].bytes;
    }
    for (unsigned i = 0; i < engine->loop_count; i++) {
        counted += atomic_load(&engine->loops[i].counters.record_bytes);
        MUST(engine->loops[i].leaving_count == 0);
    }
    MUST(bytes == counted);
    event_check(engine);
    slab_check(&engine->slab);
    free(tallies.all);
}
