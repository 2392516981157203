/* Groups: entries in order, however they come and go. */
#include "base/hash.h"
#include "base/prng.h"
#include "engine/memory/group.h"
#include "sessiond/engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct slab slab;
static struct group_table table;
static const struct group_key ann = {
    .namespace = (struct namespace *)64, .name = BYTES_LITERAL("ann"), .hash = 5, .kind = 1};

static void begin(void) {
    slab_init(&slab);
    memset(&table, 0, sizeof(table));
}

static void end(void) {
    group_table_fini(&table, &slab);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0, "%llu bytes are left",
                 (unsigned long long)slab_stats_get(&slab).bytes_used);
    slab_fini(&slab);
}

static int entry_order(const void *a, const void *b) {
    const struct group_entry *x = a, *y = b;
    if (x->born >> 1 != y->born >> 1) return x->born >> 1 < y->born >> 1 ? -1 : 1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Compares with a sorted array, in both directions and in chunks. */
static void check_against(const struct group *group, struct group_entry *model, uint32_t count) {
    static struct group_entry out[8192];
    qsort(model, count, sizeof(*model), entry_order);
    group_check(group);
    cr_assert_eq(group->count, count);
    cr_assert_eq(group_copy(group, NULL, true, out, 8192), count);
    for (uint32_t i = 0; i < count; i++) cr_assert(group_entry_equal(out[i], model[i]));
    cr_assert_eq(group_copy(group, NULL, false, out, 8192), count);
    for (uint32_t i = 0; i < count; i++) cr_assert(group_entry_equal(out[i], model[count - 1 - i]));
}

Test(group, follows_a_sorted_array_through_random_changes, .init = begin, .fini = end) {
    static struct group_entry model[8192];
    struct prng prng = prng_of(11);
    uint32_t count = 0;
    for (int step = 0; step < 60000; step++) {
        bool grows = step % 20000 < 9000;
        struct group *group = group_make(&table, &slab, 0, &ann);
        if (count == 0 || prng_happens(&prng, grows ? 3 : 1, 4)) {
            int64_t created_at = prng_happens(&prng, 2, 3) ? step : (int64_t)prng_below(&prng, 50);
            model[count] = group_entry_of(created_at, (uint16_t)(1 + prng_below(&prng, 3)), prng_below(&prng, 3));
            cr_assert(group_insert(&slab, 0, group, model[count++]));
        } else {
            uint32_t at = (uint32_t)prng_below(&prng, count);
            cr_assert(group_remove(&slab, 0, group, model[at], prng_happens(&prng, 1, 2)));
            model[at] = model[--count];
        }
        if (step % 1500 == 0) check_against(group, model, count);
        group_tidy(&table, &slab, group);
    }
}

Test(group, is_gone_with_its_last_entry, .init = begin, .fini = end) {
    struct group *group = group_make(&table, &slab, 0, &ann);
    struct group_entry entry = group_entry_of(1, 1, 2);
    cr_assert(group_insert(&slab, 0, group, entry));
    group_tidy(&table, &slab, group);
    cr_assert_eq(group_find(&table, &ann), group);
    cr_assert(!group_remove(&slab, 0, group, group_entry_of(1, 1, 3), false));
    cr_assert(group_remove(&slab, 0, group, entry, false));
    group_tidy(&table, &slab, group);
    cr_assert_null(group_find(&table, &ann));
    cr_assert_eq(table.count, 0);
}

Test(group, of_a_client_keeps_its_fields_behind_a_name_of_any_length, .init = begin, .fini = end) {
    char name[UINT8_MAX];
    memset(name, 'n', sizeof(name));
    for (size_t size = 1; size <= sizeof(name); size++) {
        struct group_key key = {
            .namespace = ann.namespace, .name = bytes_of(name, size), .hash = size, .kind = GROUP_CLIENT};
        struct group *group = group_make(&table, &slab, 0, &key);
        struct group_client *client = group_client(group);
        cr_assert_eq((uintptr_t)client % 8, 0);
        cr_assert(!client->created_at && !client->updated_at && !client->has_last_active);
        *client = (struct group_client){1, 2, true, group_entry_of(3, 1, 4), 5};
        cr_assert(group_insert(&slab, 0, group, group_entry_of(5, 1, 6)));
        cr_assert_eq(memcmp(group->name, name, size), 0);
        cr_assert_eq(group_find(&table, &key), group);
        cr_assert(client->created_at == 1 && client->updated_at == 2 && client->has_last_active);
        cr_assert(group_entry_equal(client->last_active, group_entry_of(3, 1, 4)));
        group_check(group);
    }
}

Test(group, stays_while_somebody_ends_it, .init = begin, .fini = end) {
    struct group *group = group_make(&table, &slab, 0, &ann);
    atomic_store(&group->ending, 1);
    group_tidy(&table, &slab, group);
    cr_assert_eq(group_find(&table, &ann), group);
    atomic_store(&group->ending, 0);
    group_tidy(&table, &slab, group);
    cr_assert_null(group_find(&table, &ann));
}

Test(group, of_two_equal_entries_gives_back_the_one_that_is_meant, .init = begin, .fini = end) {
    struct group *group = group_make(&table, &slab, 0, &ann);
    struct group_entry entry = group_entry_of(7, 1, 7);
    cr_assert(group_insert(&slab, 0, group, entry));
    cr_assert(group_insert(&slab, 0, group, entry));
    group_mark_dead(group, group_seek(group, entry));
    cr_assert_eq(group->dead_count, 1);
    cr_assert(group_remove(&slab, 0, group, entry, false));
    cr_assert_eq(group->dead_count, 1);
    cr_assert(group_insert(&slab, 0, group, entry));
    cr_assert(group_remove(&slab, 0, group, entry, true));
    cr_assert_eq(group->dead_count, 0);
    cr_assert_eq(group->count, 1);
    group_check(group);
}

Test(group, pages_begin_behind_an_entry_that_may_be_gone, .init = begin, .fini = end) {
    struct group *group = group_make(&table, &slab, 0, &ann);
    struct group_entry out[4], after = group_entry_of(500, 1, 1);
    for (int64_t i = 0; i < 1000; i += 2) cr_assert(group_insert(&slab, 0, group, group_entry_of(i, 1, 1)));
    cr_assert_eq(group_copy(group, &after, true, out, 4), 4);
    cr_assert_eq(out[0].born >> 16, 502);
    cr_assert_eq(group_copy(group, &after, false, out, 4), 4);
    cr_assert_eq(out[0].born >> 16, 498);
    after = group_entry_of(501, 1, 1);
    cr_assert_eq(group_copy(group, &after, true, out, 4), 4);
    cr_assert_eq(out[0].born >> 16, 502);
    after = group_entry_of(2000, 1, 1);
    cr_assert_eq(group_copy(group, &after, true, out, 4), 0);
    after = group_entry_of(0, 1, 0);
    cr_assert_eq(group_copy(group, &after, false, out, 4), 0);
}

Test(group, table_finds_each_of_many_and_shrinks_again, .init = begin, .fini = end) {
    struct group_key key = ann;
    char name[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++) {
            key.name = bytes_of(name, (size_t)snprintf(name, sizeof(name), "u%d", i));
            key.hash = hash_mix((uint64_t)i / 2); /* pairs share a hash */
            if (round == 0) {
                cr_assert(group_insert(&slab, 0, group_make(&table, &slab, 0, &key), group_entry_of(i, 1, 1)));
                continue;
            }
            struct group *group = group_find(&table, &key);
            cr_assert(group && group_remove(&slab, 0, group, group_entry_of(i, 1, 1), false));
            group_tidy(&table, &slab, group);
        }
    cr_assert_eq(table.count, 0);
    cr_assert_eq(table.capacity, 0);
}
