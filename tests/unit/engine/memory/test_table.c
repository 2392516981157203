/* The table, with records of the test's own: an aligned 64-bit hash each. */
#include "base/hash.h"
#include "base/prng.h"
#include "engine/memory/table.h"
#include "engine/memory/wheel.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SHARD_BITS = 10, SHARD = 0x155, KIND = 3 };

static struct slab slab;
static struct reclaim reclaim;
static struct wheel wheel;
static struct table table;
static _Atomic uint64_t root;
static _Atomic uint32_t segment_bits;

static void free_array(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    (void)context, (void)reader;
    cr_assert_eq(kind, KIND);
    cr_assert_geq(size, sizeof(struct table_array));
    table_array_free(&slab, pointer);
}

static void open_table(unsigned shard, unsigned shard_bits) {
    slab_init(&slab);
    cr_assert(reclaim_init(&reclaim, 2, free_array, NULL));
    wheel_init(&wheel, 1000, 0);
    struct table_options options = {.root = &root,
                                    .shard = shard,
                                    .shard_bits = shard_bits,
                                    .retire_kind = KIND,
                                    .wheel = &wheel,
                                    .segment_bits = &segment_bits,
                                    .slab = &slab,
                                    .reclaim = &reclaim};
    table_init(&table, &options);
}

static void setup(void) {
    open_table(SHARD, SHARD_BITS);
}

static void teardown(void) {
    table_fini(&table);
    reclaim_fini(&reclaim);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0, "all arrays were freed");
    slab_fini(&slab);
}
TestSuite(table, .init = setup, .fini = teardown);

struct record {
    uint64_t hash;
    uint64_t number;
};

/* The i-th hash of this shard. */
static uint64_t hash_of(uint64_t i) {
    return (uint64_t)SHARD << (64 - SHARD_BITS) | hash_mix(i + 1) >> SHARD_BITS;
}

static struct record *record_make(uint64_t hash, uint64_t number) {
    struct record *record = malloc(sizeof *record);
    *record = (struct record){hash, number};
    return record;
}

static struct record *look_up(uint64_t hash, uint64_t number, _Atomic uint64_t **slot) {
    struct table_find find = table_find(&table, hash);
    for (struct record *record; (record = table_next(&find));) {
        if (record->hash != hash || record->number != number) continue;
        if (slot) *slot = find.slot;
        return record;
    }
    return NULL;
}

/* `count` records with hash_of(0), hash_of(1), ... */
static struct record **fill(uint64_t count) {
    struct record **records = malloc(count * sizeof *records);
    for (uint64_t i = 0; i < count; i++) {
        records[i] = record_make(hash_of(i), i);
        cr_assert(table_insert(&table, 0, records[i]->hash, records[i]));
        if (i % 1000 == 0) reclaim_poll(&reclaim, 0);
    }
    reclaim_poll(&reclaim, 0);
    return records;
}

static void drop(struct record **records, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) free(records[i]);
    free(records);
}

Test(table, takes_no_memory_and_finds_nothing_while_empty) {
    cr_assert_eq(table_bytes(&table), 0);
    cr_assert_null(look_up(hash_of(1), 1, NULL));
    table_prefetch(&table, hash_of(1));
    table_trim(&table, 0);
    table_check(&table);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0);
}

Test(table, finds_each_of_50000_records_and_no_other) {
    enum { COUNT = 50000 };
    struct record **records = fill(COUNT);
    for (uint64_t i = 0; i < COUNT; i++) cr_assert_eq(look_up(records[i]->hash, i, NULL), records[i]);
    for (uint64_t i = COUNT; i < 2 * COUNT; i++) cr_assert_null(look_up(hash_of(i), i, NULL));
    cr_assert_eq(table.count, COUNT);
    table_check(&table);
    drop(records, COUNT);
}

Test(table, hands_out_few_wrong_candidates) {
    enum { COUNT = 10000 };
    struct record **records = fill(COUNT);
    unsigned wrong = 0;
    for (uint64_t i = COUNT; i < 3 * COUNT; i++) {
        struct table_find find = table_find(&table, hash_of(i));
        while (table_next(&find)) wrong++;
    }
    cr_assert_lt(wrong, 2 * COUNT / 50, "%u wrong candidates in %d misses", wrong, 2 * COUNT);
    drop(records, COUNT);
}

Test(table, costs_at_most_17_bytes_a_record_with_links_at_every_size_and_15_on_average) {
    enum { COUNT = 60000 };
    double sum = 0;
    struct record *records = calloc(COUNT, sizeof *records);
    for (uint64_t i = 0; i < COUNT; i++) {
        cr_assert(table_insert(&table, 0, hash_of(i), &records[i]));
        reclaim_poll(&reclaim, 0);
        if (i < COUNT / 10) continue;
        double each = (double)table_bytes(&table) / (double)(i + 1);
        cr_assert_lt(each, 17.0, "%g bytes each for %u", each, table.count);
        sum += each;
    }
    cr_assert_lt(sum / (COUNT * 0.9), 15.0, "%g on average", sum / (COUNT * 0.9));
    free(records);
}

Test(table, grows_by_a_part_and_never_doubles) {
    enum { COUNT = 20000 };
    struct record *records = calloc(COUNT, sizeof *records);
    uint32_t before = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        cr_assert(table_insert(&table, 0, hash_of(i), &records[i]));
        uint32_t bucket_count = table_bucket_count(&table);
        if (i > 2000) cr_assert(bucket_count <= before * 4 / 3, "from %u to %u buckets", before, bucket_count);
        before = bucket_count;
    }
    free(records);
}

Test(table, keeps_the_slot_of_a_record_as_long_as_the_array_stays) {
    enum { COUNT = 2000 };
    struct record **records = fill(COUNT);
    _Atomic uint64_t *slot = table_slot_of(&table, records[7]->hash, records[7]);
    cr_assert_not_null(slot);
    struct table_array *array = table_array(&table);
    for (uint64_t i = 8; i < COUNT; i += 2) table_remove(&table, table_slot_of(&table, records[i]->hash, records[i]));
    for (uint64_t i = COUNT; i < COUNT + 300; i++) table_insert(&table, 0, hash_of(i), records[8 + 2 * (i - COUNT)]);
    cr_assert_eq(table_array(&table), array);
    cr_assert_eq(table_slot_of(&table, records[7]->hash, records[7]), slot);
    drop(records, COUNT);
}

Test(table, replace_shows_the_new_record_in_the_same_slot) {
    struct record **records = fill(100);
    struct record *successor = record_make(records[5]->hash, 5);
    _Atomic uint64_t *slot = table_slot_of(&table, records[5]->hash, records[5]);
    table_replace(&table, slot, successor);
    cr_assert_null(table_slot_of(&table, records[5]->hash, records[5]));
    cr_assert_eq(table_slot_of(&table, successor->hash, successor), slot);
    cr_assert_eq(look_up(successor->hash, 5, NULL), successor);
    table_check(&table);
    free(successor);
    drop(records, 100);
}

Test(table, holds_records_of_equal_hashes_apart) {
    enum { COUNT = 1000 };
    struct record *records[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) {
        records[i] = record_make(hash_of(1), i);
        cr_assert(table_insert(&table, 0, hash_of(1), records[i]));
        reclaim_poll(&reclaim, 0);
    }
    table_check(&table);
    for (uint64_t i = 0; i < COUNT; i++) cr_assert_eq(look_up(hash_of(1), i, NULL), records[i]);
    struct table_find find = table_find(&table, hash_of(1));
    unsigned count = 0;
    while (table_next(&find)) count++;
    cr_assert_eq(count, COUNT);
    cr_assert_null(table_next(&find), "a search that ended stays ended");
    cr_assert_leq(table_bytes(&table), 64 * COUNT);
    for (uint64_t i = 0; i < COUNT; i++) free(records[i]);
}

Test(table, shrinks_after_mass_removal_and_not_before) {
    enum { COUNT = 20000 };
    struct record **records = fill(COUNT);
    size_t full = table_bytes(&table);
    for (uint64_t i = 0; i < COUNT / 2; i++) {
        table_remove(&table, table_slot_of(&table, records[i]->hash, records[i]));
        table_trim(&table, 0);
    }
    cr_assert_eq(table_bytes(&table), full);
    for (uint64_t i = COUNT / 2; i < COUNT - 10; i++) {
        table_remove(&table, table_slot_of(&table, records[i]->hash, records[i]));
        table_trim(&table, 0);
    }
    reclaim_poll(&reclaim, 0);
    table_check(&table);
    cr_assert_lt(table_bytes(&table), 1024);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, table_bytes(&table));
    for (uint64_t i = COUNT - 10; i < COUNT; i++) cr_assert_eq(look_up(hash_of(i), i, NULL), records[i]);
    drop(records, COUNT);
}

Test(table, does_not_grow_for_ever_while_records_come_and_go) {
    enum { COUNT = 5000 };
    struct record **records = fill(COUNT);
    for (uint64_t i = 0; i < 200000; i++) {
        struct record *record = records[i % COUNT];
        table_remove(&table, table_slot_of(&table, record->hash, record));
        record->hash = hash_of(COUNT + i);
        cr_assert(table_insert(&table, 0, record->hash, record));
        reclaim_poll(&reclaim, 0);
        cr_assert_lt(table_bytes(&table), 20 * COUNT);
    }
    table_check(&table);
    drop(records, COUNT);
}

Test(table, leaves_the_old_array_to_those_who_are_still_inside_their_turn) {
    struct record **records = fill(1000);
    reclaim_enter(&reclaim, 1);
    struct table_walk walk = table_walk_at(&table, 0);
    reclaim_enter(&reclaim, 0);
    for (uint64_t i = 1000; i < 3000; i++) table_insert(&table, 0, hash_of(i), records[i % 1000]);
    reclaim_leave(&reclaim, 0);
    cr_assert_gt(reclaim_bytes(&reclaim), 0);
    unsigned count = 0;
    for (; table_walk_is_in(&walk); table_walk_bucket(&walk))
        while (table_walk_next(&walk)) count++;
    cr_assert(count >= 1000 && count < 3000, "%u seen", count);
    reclaim_leave(&reclaim, 1);
    reclaim_poll(&reclaim, 0);
    cr_assert_eq(reclaim_bytes(&reclaim), 0);
    drop(records, 1000);
}

Test(table, walks_all_records_bucket_by_bucket_in_the_order_of_their_tags) {
    enum { COUNT = 5000 };
    struct record **records = fill(COUNT);
    unsigned count = 0;
    for (struct table_walk walk = table_walk_at(&table, 0); table_walk_is_in(&walk); table_walk_bucket(&walk)) {
        uint64_t first = table_bucket_first_hash(&table, walk.number, walk.bucket_count);
        uint64_t next = table_bucket_first_hash(&table, walk.number + 1, walk.bucket_count);
        for (struct record *record; (record = table_walk_next(&walk)); count++) {
            cr_assert(record->hash >= first && record->hash < next);
            cr_assert_eq(table_slot_record(atomic_load(walk.slot)), record);
        }
    }
    cr_assert_eq(count, COUNT);
    drop(records, COUNT);
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* A page of hashes above `cursor` in their order, as a scan makes it; answers how many. */
static unsigned scan_page(uint64_t cursor, uint64_t *page, unsigned max) {
    unsigned count = 0;
    for (struct table_walk walk = table_walk_from(&table, cursor); table_walk_is_in(&walk) && count < max;
         table_walk_bucket(&walk)) {
        uint64_t bucket[1000];
        unsigned found = 0;
        for (struct record *record; (record = table_walk_next(&walk));)
            if (record->hash > cursor) bucket[found++] = record->hash;
        qsort(bucket, found, sizeof *bucket, compare_hashes);
        for (unsigned i = 0; i < found && count < max; i++) page[count++] = bucket[i];
    }
    return count;
}

Test(table, scan_by_the_last_hash_goes_on_rightly_while_the_table_grows) {
    enum { COUNT = 3000, MORE = 20 };
    struct record **records = fill(COUNT);
    struct record extra = {0, 0};
    uint64_t cursor = 0, page[7], added = COUNT;
    unsigned seen = 0, count;
    while ((count = scan_page(cursor, page, 7))) {
        for (unsigned i = 0; i < count; i++) {
            cr_assert_gt(page[i], cursor, "in order, and none twice");
            cursor = page[i];
            for (uint64_t j = 0; j < COUNT; j++) seen += records[j]->hash == cursor;
        }
        /* These have hash 0 as far as the scan can read them, so it passes them over. */
        for (int i = 0; i < MORE; i++) table_insert(&table, 0, hash_of(added++), &extra);
        reclaim_poll(&reclaim, 0);
    }
    cr_assert_eq(seen, COUNT, "each of those that were there all the time was seen once");
    drop(records, COUNT);
}

Test(table, first_hashes_begin_at_the_shards_start_and_end_at_the_next_ones) {
    struct record **records = fill(500);
    uint32_t bucket_count = table_bucket_count(&table);
    cr_assert_eq(table_bucket_first_hash(&table, 0, bucket_count), (uint64_t)SHARD << 54);
    cr_assert_eq(table_bucket_first_hash(&table, bucket_count, bucket_count), (uint64_t)(SHARD + 1) << 54);
    for (uint32_t number = 0; number < bucket_count; number++) {
        uint64_t first = table_bucket_first_hash(&table, number, bucket_count);
        cr_assert_eq(table_bucket_of(&table, first), number);
        if (number) cr_assert_eq(table_bucket_of(&table, first - 1), number - 1);
    }
    drop(records, 500);
}

Test(table, of_a_single_shard_takes_all_hashes) {
    teardown();
    open_table(0, 0);
    struct record records[4] = {{0, 0}, {UINT64_MAX, 1}, {UINT64_C(1) << 63, 2}, {1, 3}};
    for (int i = 0; i < 4; i++) cr_assert(table_insert(&table, 0, records[i].hash, &records[i]));
    for (int i = 0; i < 4; i++) cr_assert_eq(look_up(records[i].hash, (uint64_t)i, NULL), &records[i]);
    cr_assert_eq(table_bucket_first_hash(&table, 2, 2), 0, "after the last shard comes the first");
    table_check(&table);
}

Test(table, changes_nothing_when_memory_is_lacking) {
#if defined(__SANITIZE_ADDRESS__)
    cr_skip_test("AddressSanitizer does not live under a limit of address space");
#endif
    struct rlimit limit = {100 << 20, 100 << 20};
    enum { COUNT = 400000 }; /* the arrays of many shards would need 6 MB; one of 1.2 MB fits before the limit is set */
    struct record *record = record_make(hash_of(1), 1);
    cr_assert(table_insert(&table, 0, hash_of(1), record));
    void *hog[64];
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    unsigned hogs = 0;
    while (hogs < 64 && (hog[hogs] = malloc(4 << 20))) hogs++;
    bool was_refused = false;
    for (uint64_t i = 2; i < COUNT && !was_refused; i++) {
        uint32_t count = table.count;
        was_refused = !table_insert(&table, 0, hash_of(i), record);
        reclaim_poll(&reclaim, 0);
        cr_assert_eq(table.count, count + !was_refused);
    }
    for (unsigned i = 0; i < hogs; i++) free(hog[i]);
    cr_assert(was_refused);
    table_check(&table);
    cr_assert_eq(look_up(hash_of(1), 1, NULL), record);
    cr_assert(table_insert(&table, 0, hash_of(COUNT), record), "with memory it goes on");
    free(record);
}

/* The model: which number stands under which hash, and when at the latest its bucket must come out. */
enum { MODEL = 4000 };
struct model {
    struct record *records[MODEL];
    int64_t due_ms[MODEL];
};

static void model_check(const struct model *model) {
    uint32_t count = 0;
    for (uint64_t i = 0; i < MODEL; i++) {
        cr_assert_eq(look_up(hash_of(i), i, NULL), model->records[i]);
        if (!model->records[i]) continue;
        count++;
        uint32_t bucket = table_bucket_of(&table, hash_of(i));
        cr_assert_leq(wheel_armed_at(&wheel, &table, bucket), model->due_ms[i]);
    }
    cr_assert_eq(table.count, count);
    table_check(&table);
}

static void model_step(struct model *model, struct prng *prng, bool is_growing) {
    uint64_t i = prng_below(prng, MODEL);
    _Atomic uint64_t *slot = NULL;
    struct record *old = look_up(hash_of(i), i, &slot);
    cr_assert_eq(old, model->records[i]);
    if (old && prng_happens(prng, is_growing ? 1 : 9, 10)) {
        table_remove(&table, slot);
        model->records[i] = NULL;
        table_trim(&table, 0);
        free(old);
    } else if (old) {
        model->records[i] = record_make(hash_of(i), i);
        table_replace(&table, slot, model->records[i]);
        free(old);
    } else if (prng_happens(prng, is_growing ? 9 : 1, 10)) {
        model->records[i] = record_make(hash_of(i), i);
        model->due_ms[i] = 1000 + prng_between(prng, 0, 100000000);
        cr_assert(table_insert(&table, 0, hash_of(i), model->records[i]));
        wheel_arm(&wheel, &table, table_bucket_of(&table, hash_of(i)), model->due_ms[i]);
    }
}

Test(table, answers_like_a_plain_array_over_100000_random_steps_and_never_loses_a_timer) {
    static struct model model;
    struct prng prng = prng_of(3);
    for (int step = 0; step < 100000; step++) {
        model_step(&model, &prng, step / 15000 % 2 == 0);
        reclaim_poll(&reclaim, 0);
        if (step % 2500 == 0) model_check(&model);
    }
    model_check(&model);
    for (uint64_t i = 0; i < MODEL; i++) free(model.records[i]);
}
