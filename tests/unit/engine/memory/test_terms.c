/* Terms: the same timeouts are one tuple; what a namespace leaves is used again. */
#include "base/hash.h"
#include "engine/memory/terms.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Namespaces are only compared here. */
static struct namespace *namespace_at(uintptr_t number) {
    return (struct namespace *)(number * 64);
}

static struct slab slab;
static struct terms_table *table;

static void begin(void) {
    slab_init(&slab);
    table = malloc(sizeof(*table));
    terms_init(table, &slab);
}

static void end(void) {
    terms_fini(table);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
    slab_fini(&slab);
    free(table);
}

Test(terms, of_equal_timeouts_are_one, .init = begin, .fini = end) {
    uint32_t first = TERMS_NONE;
    uint32_t base = terms_make_base(table, namespace_at(1), &first);
    uint32_t a = terms_intern(table, namespace_at(1), &first, 1, 2, 3);
    cr_assert_neq(a, base);
    cr_assert_eq(terms_intern(table, namespace_at(1), &first, 1, 2, 3), a);
    cr_assert_neq(terms_intern(table, namespace_at(1), &first, 1, 3, 2), a);
    cr_assert_neq(terms_intern(table, namespace_at(2), &first, 1, 2, 3), a);
    cr_assert_eq(terms_at(table, a)->absolute_timeout_ms, 2);
    cr_assert_eq(terms_at(table, base)->namespace, namespace_at(1));
}

Test(terms, are_bounded_but_for_the_bases, .init = begin, .fini = end) {
    uint32_t first = TERMS_NONE;
    for (int64_t i = 0; i < TERMS_SHARED_MAX; i++)
        cr_assert_neq(terms_intern(table, namespace_at(1), &first, i, 0, 0), TERMS_NONE);
    cr_assert_eq(terms_intern(table, namespace_at(1), &first, -1, 0, 0), TERMS_NONE);
    cr_assert_neq(terms_intern(table, namespace_at(1), &first, 77, 0, 0), TERMS_NONE);
    uint32_t other = TERMS_NONE;
    cr_assert_neq(terms_make_base(table, namespace_at(2), &other), TERMS_NONE);
    terms_release(table, first);
    cr_assert_neq(terms_intern(table, namespace_at(2), &other, -1, 0, 0), TERMS_NONE);
}

Test(terms, of_a_gone_namespace_are_used_again, .init = begin, .fini = end) {
    for (uintptr_t round = 1; round < 2000; round++) {
        uint32_t first = TERMS_NONE;
        cr_assert_lt(terms_make_base(table, namespace_at(round), &first), 8);
        for (int64_t i = 0; i < 5; i++) cr_assert_lt(terms_intern(table, namespace_at(round), &first, i, 0, 0), 8);
        terms_release(table, first);
    }
}
