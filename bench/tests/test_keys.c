#include "keys.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Test(keys, look_like_the_ids_of_the_server) {
    for (uint64_t index = 0; index < 1000; index++) {
        uint8_t id[KEY_ID_BYTES];
        key_id(1, index, id);
        for (int i = 0; i < KEY_ID_BYTES; i++)
            cr_assert(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", id[i]) && id[i]);
    }
}

static int by_id(const void *a, const void *b) {
    return memcmp(a, b, KEY_ID_BYTES);
}

Test(keys, differ_by_index_and_by_seed) {
    enum { COUNT = 40000 };
    uint8_t(*ids)[KEY_ID_BYTES] = malloc(COUNT * sizeof *ids);
    for (uint64_t i = 0; i < COUNT / 2; i++) {
        key_id(1, i, ids[i]);
        key_id(2, i, ids[COUNT / 2 + i]);
    }
    qsort(ids, COUNT, sizeof *ids, by_id);
    for (int i = 1; i < COUNT; i++) cr_assert(memcmp(ids[i - 1], ids[i], 16) != 0);
    free(ids);
}

Test(keys, are_the_same_in_every_run) {
    uint8_t first[KEY_ID_BYTES], second[KEY_ID_BYTES];
    key_id(5, 123456789, first);
    key_id(5, 123456789, second);
    cr_expect_arr_eq(first, second, KEY_ID_BYTES);
}

Test(zipf, gives_each_rank_its_share) {
    enum { ITEMS = 1000, DRAWS = 2000000 };
    static unsigned counts[ITEMS];
    struct zipf zipf;
    struct random random = {42};
    double zeta = 0;
    zipf_init(&zipf, ITEMS, 0.99, 0);
    for (int i = 0; i < DRAWS; i++) counts[zipf_rank(&zipf, random_unit(&random))]++;
    for (int rank = 1; rank <= ITEMS; rank++) zeta += pow(rank, -0.99);
    /* The method is exact for two ranks, and a continuous approximation after them: some per cent off for the third. */
    for (int rank = 1; rank <= 2; rank++) {
        double share = counts[rank - 1] / (double)DRAWS, expected = pow(rank, -0.99) / zeta;
        cr_expect(fabs(share / expected - 1) < 0.02, "rank %d has %.4f, not %.4f", rank, share, expected);
    }
    double upper = 0, expected_upper = 0;
    for (int rank = 1; rank <= 100; rank++)
        upper += counts[rank - 1] / (double)DRAWS, expected_upper += pow(rank, -0.99) / zeta;
    cr_expect(fabs(upper / expected_upper - 1) < 0.02, "the first hundred have %.4f, not %.4f", upper, expected_upper);
}

Test(zipf, never_answers_a_rank_that_there_is_not) {
    struct zipf zipf;
    zipf_init(&zipf, 2, 0.99, 0);
    for (int i = 0; i <= 1000; i++) cr_assert(zipf_rank(&zipf, i / 1001.0) < 2);
    zipf_init(&zipf, 10000000000u, 0.99, 26.46902820178302);
    cr_expect(zipf_rank(&zipf, 0x1.fffffffffffffp-1) < 10000000000u);
    cr_expect_eq(zipf_rank(&zipf, 0), 0);
}

static unsigned hottest_share_percent(enum key_distribution distribution, uint64_t count, uint64_t *hottest) {
    struct key_stream stream;
    unsigned *counts = calloc(count, sizeof *counts), most = 0;
    cr_assert(key_stream_init(&stream, distribution, count, 9));
    for (int i = 0; i < 200000; i++) {
        uint64_t index = key_stream_next(&stream);
        cr_assert(index < count);
        if (++counts[index] > most) most = counts[index], *hottest = index;
    }
    key_stream_fini(&stream);
    free(counts);
    return most / 2000;
}

Test(key_stream, is_even_skewed_or_near_the_newest_as_asked) {
    uint64_t hottest;
    cr_expect_eq(hottest_share_percent(KEYS_UNIFORM, 1000, &hottest), 0);
    /* YCSB's scrambled zipf gives the first rank 1 / 26.47 of all draws. */
    cr_expect_eq(hottest_share_percent(KEYS_ZIPF, 1000000, &hottest), 3);
    cr_expect_eq(hottest, key_scramble(0) % 1000000, "the hottest is not where YCSB's hash puts rank 0");
    cr_expect(hottest_share_percent(KEYS_LATEST, 1000000, &hottest) >= 6);
    cr_expect_eq(hottest, 0, "the latest is the likeliest");
}

Test(key_stream, takes_a_single_session) {
    for (int distribution = KEYS_UNIFORM; distribution <= KEYS_LATEST; distribution++) {
        struct key_stream stream;
        cr_assert(key_stream_init(&stream, (enum key_distribution)distribution, 1, 3));
        for (int i = 0; i < 100; i++) cr_assert_eq(key_stream_next(&stream), 0);
        key_stream_fini(&stream);
    }
}
