/* The registry: names that come and go, bounded, each found. */
#include "engine/memory/memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void fixed_random(void *context, void *out, size_t size) {
    (void)context;
    memset(out, 7, size);
}
static void no_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}
static const struct env env = {.random = fixed_random, .wake = no_wake};
static const struct policy policy = POLICY_DEFAULTS;

static struct slab slab;
static struct reclaim reclaim;
static struct terms_table *terms;
static struct registry registry;
static struct hash_key key;

static void free_block(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    (void)context, (void)reader;
    if (kind == RETIRE_NAMESPACE)
        registry_free(&registry, pointer);
    else
        slab_free(&slab, pointer, size);
}

static void begin(void) {
    slab_init(&slab);
    terms = malloc(sizeof(*terms));
    terms_init(terms, &slab);
    hash_key_init(&key, &env);
    cr_assert(reclaim_init(&reclaim, 1, free_block, NULL));
    registry_init(&registry, &key, &env, &slab, &reclaim, terms, &policy);
}

static void end(void) {
    reclaim_fini(&reclaim);
    registry_fini(&registry);
    terms_fini(terms);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
    slab_fini(&slab);
    free(terms);
}

static struct bytes name_of(char *text, int number) {
    return bytes_of(text, (size_t)snprintf(text, 16, "ns%d", number));
}

static void drop(struct namespace *namespace) {
    registry_unlink(&registry, namespace);
    registry_forget(&registry, namespace);
    reclaim_retire(&reclaim, 0, namespace, sizeof(*namespace), RETIRE_NAMESPACE);
}

Test(namespace, is_found_among_many_that_come_and_go, .init = begin, .fini = end) {
    char text[16];
    struct error error;
    for (int i = 0; i < 3000; i++) {
        cr_assert(registry_make(&registry, 0, name_of(text, i), 0, &error));
        if (i % 3 == 0) drop(registry_find(&registry, name_of(text, i / 3)));
    }
    for (int i = 0; i < 3000; i++) {
        struct namespace *namespace = registry_find(&registry, name_of(text, i));
        cr_assert_eq(namespace != NULL, i >= 1000, "namespace %d", i);
        if (namespace) cr_assert(bytes_equal(namespace_name(namespace), name_of(text, i)));
    }
    cr_assert_eq(atomic_load(&registry.count), 2000);
}

Test(namespace, made_twice_is_one, .init = begin, .fini = end) {
    struct error error;
    struct namespace *namespace = registry_make(&registry, 0, BYTES_LITERAL("web"), 1, &error);
    cr_assert_eq(registry_make(&registry, 0, BYTES_LITERAL("web"), 1, &error), namespace);
    cr_assert_null(registry_make(&registry, 0, BYTES_LITERAL("app"), 1, &error));
    cr_assert_eq(error.code, ERROR_LIMIT);
    cr_assert_eq(error.limit, 1);
}

Test(namespace, that_was_dropped_outdates_every_version, .init = begin, .fini = end) {
    struct error error;
    struct namespace *namespace = registry_make(&registry, 0, BYTES_LITERAL("web"), 0, &error);
    cr_assert(!namespace_is_dropped(namespace));
    drop(namespace);
    cr_assert(namespace_is_dropped(namespace));
    cr_assert_null(registry_find(&registry, BYTES_LITERAL("web")));
    cr_assert_neq(registry_make(&registry, 0, BYTES_LITERAL("web"), 0, &error), namespace);
}

Test(namespace, remembers_the_first_clear_and_purge_that_concerned_a_record, .init = begin, .fini = end) {
    struct error error;
    struct namespace *namespace = registry_make(&registry, 0, BYTES_LITERAL("web"), 0, &error);
    int64_t retention_ms = -1;
    cr_assert_eq(namespace_cleared_by(namespace, 50, &retention_ms), UINT64_MAX);
    for (uint64_t version = 100; version <= 300; version += 100) namespace_note_clear(namespace, version);
    cr_assert_eq(namespace_cleared_by(namespace, 100, &retention_ms), 100);
    cr_assert_eq(namespace_cleared_by(namespace, 101, &retention_ms), 200);
    cr_assert_eq(namespace_cleared_by(namespace, 301, &retention_ms), UINT64_MAX);
    cr_assert_eq(retention_ms, policy.retention_ms);
    namespace_note_purge(namespace, 150, 1000, 1000);
    namespace_note_purge(namespace, 250, 2000, 1500);
    cr_assert_eq(namespace_purged_at(namespace, 120, 900, 900), 1000);
    cr_assert_eq(namespace_purged_at(namespace, 120, 1400, 1400), 2000);
    cr_assert_eq(namespace_purged_at(namespace, 200, 900, 900), 2000);
    cr_assert_eq(namespace_purged_at(namespace, 120, 1600, 1600), INT64_MAX);
    cr_assert_eq(namespace_purged_at(namespace, 260, 900, 900), INT64_MAX);
    /* Written with a deadline in the past: a purge forgets it all the same, the end of others' retention does not. */
    cr_assert_eq(namespace_purged_at(namespace, 120, 900, 1001), 1000);
    cr_assert_eq(namespace_purged_at(namespace, 200, 900, 1600), INT64_MAX);
}

Test(namespace, policy_is_replaced_whole, .init = begin, .fini = end) {
    struct error error;
    struct namespace *namespace = registry_make(&registry, 0, BYTES_LITERAL("web"), 0, &error);
    struct policy stricter = policy;
    stricter.tombstone_ms = policy.tombstone_ms * 3;
    cr_assert_eq(namespace_policy(namespace)->retention_ms, policy.retention_ms);
    cr_assert(registry_set_policy(&registry, 0, namespace, &stricter));
    cr_assert_eq(namespace_policy(namespace)->tombstone_ms, stricter.tombstone_ms);
    cr_assert_eq(atomic_load(&registry.tombstone_max_ms), stricter.tombstone_ms);
    drop(namespace);
    cr_assert_eq(atomic_load(&registry.tombstone_max_ms), 0);
}
