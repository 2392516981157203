/* The use of groups: finding one's group, leaving it, and from an entry to its record. See memory.h and group.h. */
#include "engine/memory/memory.h"

#define ENTRY_PREFETCH_BYTES 192 /* of a record: its head, its id and its groups' names */

struct group_key group_key_of(const struct memory_engine *engine, struct namespace *namespace, unsigned kind,
                              struct bytes name) {
    return (struct group_key){.namespace = namespace,
                              .name = name,
                              .kind = kind,
                              .hash = hash_bytes(&engine->hash_key, name) ^ hash_mix(namespace->key + kind)};
}

struct group_table *group_table_of(struct memory_engine *engine, const struct group_key *key) {
    return &shard_of(engine, key->hash)->groups;
}

void group_table_take(struct memory_engine *engine, struct group_table *table) {
    env_point(engine->env);
    lock_take(&table->lock);
}

void group_leave(struct context *context, const struct group_key *key, struct group_entry entry, bool wants_dead) {
    struct group_table *table = group_table_of(context->engine, key);
    group_table_take(context->engine, table);
    struct group *group = group_find(table, key);
    assert(group);
    bool was_there = group_remove(&context->engine->slab, context->loop->index, group, entry, wants_dead);
    assert(was_there);
    (void)was_there;
    group_tidy(table, &context->engine->slab, group);
    lock_release(&table->lock);
}

void record_leave_groups(struct context *context, uint64_t hash, const struct record *record) {
    struct namespace *namespace = record_terms(context->engine, record)->namespace;
    struct group_entry entry = record_entry(record, hash);
    for (unsigned kind = GROUP_USER; kind <= GROUP_POOL; kind++) {
        struct bytes name = record_group(record, kind);
        if (!name.data) continue;
        struct group_key key = group_key_of(context->engine, namespace, kind, name);
        group_leave(context, &key, entry, true);
        if (kind == GROUP_POOL) pool_leave(context, namespace, name, hash, record_version(record));
    }
}

/* Two waves: the buckets, then what stands in them. */
void group_entries_prefetch(struct memory_engine *engine, const struct group_entry *entries, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) table_prefetch(&shard_of(engine, entries[i].hash)->table, entries[i].hash);
    for (uint32_t i = 0; i < count; i++) {
        struct table_find find = table_find(&shard_of(engine, entries[i].hash)->table, entries[i].hash);
        const char *record = table_next(&find);
        for (size_t at = 0; record && at < ENTRY_PREFETCH_BYTES; at += 64) __builtin_prefetch(record + at);
    }
}

struct record *group_entry_record(struct memory_engine *engine, const struct group_key *key, struct group_entry entry) {
    struct table_find find = table_find(&shard_of(engine, entry.hash)->table, entry.hash);
    for (struct record *record; (record = table_next(&find));) {
        if (group_entry_age(record_entry(record, entry.hash)) != group_entry_age(entry)) continue;
        if (record_terms(engine, record)->namespace != key->namespace) continue;
        struct bytes name = record_group(record, key->kind);
        if (name.data && bytes_equal(name, key->name) &&
            id_hash(engine, key->namespace, record_id(record)) == entry.hash)
            return record;
    }
    return NULL;
}
