/* Patches of encoded maps: what changes, what stays where it was, what is refused, and that no patch is slow. */
#include "op/patch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mp.h"

/* {"p": 1, "q": 2, "r": 3}. Keys in here are letters that are no hexadecimal digits. */
#define PQR "\x83\xa1p\x01\xa1q\x02\xa1r\x03"

struct outcome_of_patch {
    struct bytes map;
    struct error error;
    struct scratch scratch;
};

static struct outcome_of_patch apply(struct patch patch, struct bytes map) {
    struct outcome_of_patch got = {.map = BYTES_ABSENT, .error = error_make(ERROR_NONE, "")};
    struct patch_table table;
    if (!patch_check(&patch, &got.error)) return got;
    if (!patch_open(&table, &patch, map.size, &got.scratch, &got.error)) return got;
    struct bytes result;
    if (patch_apply(&table, map, &result, &got.error)) got.map = result;
    return got;
}

static void expect_map(struct patch patch, struct bytes map, struct bytes expected) {
    struct outcome_of_patch got = apply(patch, map);
    cr_expect(bytes_equal(got.map, expected), "error %d (%s), %zu bytes instead of %zu", got.error.code,
              got.error.message, got.map.size, expected.size);
    free(got.scratch.data);
}

static void expect_error(struct patch patch, struct bytes map, enum error_code code) {
    struct outcome_of_patch got = apply(patch, map);
    cr_expect_eq(got.error.code, code, "%d (%s)", got.error.code, got.error.message);
    cr_expect(bytes_is_absent(got.map));
    free(got.scratch.data);
}

#define SET(text)   ((struct patch){.set = BYTES_LITERAL(text)})
#define UNSET(text) ((struct patch){.unset = BYTES_LITERAL(text)})
#define INCR(text)  ((struct patch){.incr = BYTES_LITERAL(text)})

Test(patch, of_nothing_copies_the_map) {
    expect_map((struct patch){.set = BYTES_ABSENT}, BYTES_LITERAL(PQR), BYTES_LITERAL(PQR));
}

Test(patch, sets_in_place_and_appends_what_is_new) {
    expect_map(SET("\x82\xa1q\xc3\xa1s\x04"), BYTES_LITERAL(PQR),
               BYTES_LITERAL("\x84\xa1p\x01\xa1q\xc3\xa1r\x03\xa1s\x04"));
}

Test(patch, appends_new_keys_in_the_order_of_the_patch) {
    expect_map(SET("\x83\xa1z\x01\xa1y\x02\xa2xx\x03"), BYTES_LITERAL("\x80"),
               BYTES_LITERAL("\x83\xa1z\x01\xa1y\x02\xa2xx\x03"));
}

Test(patch, removes_what_is_there_and_does_not_mind_what_is_not) {
    expect_map(UNSET("\x93\xa1p\xa1r\xa1x"), BYTES_LITERAL(PQR), BYTES_LITERAL("\x81\xa1q\x02"));
}

Test(patch, adds_to_numbers_and_starts_at_zero) {
    expect_map(INCR("\x82\xa1p\x7f\xa1n\xff"), BYTES_LITERAL(PQR),
               BYTES_LITERAL("\x84\xa1p\xcc\x80\xa1q\x02\xa1r\x03\xa1n\xff"));
}

Test(patch, takes_a_str_and_a_bin_with_equal_bytes_for_one_key_and_keeps_the_old_form) {
    expect_map(SET("\x81\xc4\x01p\x05"), BYTES_LITERAL("\x81\xa1p\x01"), BYTES_LITERAL("\x81\xa1p\x05"));
    expect_map(SET("\x81\xa1p\x05"), BYTES_LITERAL("\x81\xc4\x01p\x01"), BYTES_LITERAL("\x81\xc4\x01p\x05"));
    expect_error((struct patch){.set = BYTES_LITERAL("\x81\xa1p\x01"), .unset = BYTES_LITERAL("\x91\xc4\x01p")},
                 BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
}

Test(patch, keeps_entries_whose_keys_it_cannot_name) {
    /* {1: 2, "p": 1, [1]: nil} */
    expect_map(UNSET("\x91\xa1p"), BYTES_LITERAL("\x83\x01\x02\xa1p\x01\x91\x01\xc0"),
               BYTES_LITERAL("\x82\x01\x02\x91\x01\xc0"));
    expect_error(SET("\x81\x01\x02"), BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    expect_error(UNSET("\x91\xc0"), BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
}

Test(patch, refuses_a_key_in_two_clauses_and_twice_in_one) {
    struct bytes a1 = BYTES_LITERAL("\x81\xa1p\x01"), a = BYTES_LITERAL("\x91\xa1p");
    expect_error((struct patch){.set = a1, .unset = a}, BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    expect_error((struct patch){.set = a1, .incr = a1}, BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    expect_error((struct patch){.unset = a, .incr = a1}, BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    expect_error(SET("\x82\xa1p\x01\xa1p\x02"), BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
}

Test(patch, refuses_to_add_to_what_is_no_number_and_what_overflows) {
    expect_error(INCR("\x81\xa1p\x01"), BYTES_LITERAL("\x81\xa1p\xa1t"), ERROR_BAD_REQUEST);
    expect_error(INCR("\x81\xa1p\xc3"), BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    expect_error(INCR("\x81\xa1p\x01"), BYTES_LITERAL("\x81\xa1p\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
                 ERROR_BAD_REQUEST);
    expect_error(INCR("\x81\xa1p\xff"), BYTES_LITERAL("\x81\xa1p\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
                 ERROR_BAD_REQUEST);
}

Test(patch, holds_increments_to_the_same_bounds_as_other_clauses) {
    expect_error(INCR("\x81\x01\x02"), BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    expect_error(INCR("\x81\xa1n\xc3"), BYTES_LITERAL(PQR), ERROR_BAD_REQUEST);
    struct buf incr = BUF_EMPTY;
    mp_write_map(&incr, 1001);
    for (unsigned i = 0; i < 1001; i++) mp_write_string(&incr, "n"), mp_write_uint(&incr, 1);
    expect_error((struct patch){.incr = buf_bytes(&incr)}, BYTES_LITERAL(PQR), ERROR_TOO_BIG);
    buf_fini(&incr);
}

Test(patch, refuses_what_is_no_map) {
    expect_error(SET("\x80"), BYTES_LITERAL("\x90"), ERROR_BAD_REQUEST);
    expect_error(SET("\x80"), BYTES_LITERAL("\xc0"), ERROR_BAD_REQUEST);
}

Test(patch, leaves_one_entry_of_a_key_that_a_map_holds_twice) {
    expect_map(SET("\x81\xa1p\x05"), BYTES_LITERAL("\x83\xa1p\x01\xa1q\x02\xa1p\x03"),
               BYTES_LITERAL("\x82\xa1p\x05\xa1q\x02"));
    expect_map(UNSET("\x91\xa1p"), BYTES_LITERAL("\x83\xa1p\x01\xa1q\x02\xa1p\x03"), BYTES_LITERAL("\x81\xa1q\x02"));
}

Test(patch, may_name_a_thousand_keys_in_a_clause_and_no_more) {
    struct buf keys = BUF_EMPTY;
    for (unsigned extra = 0; extra < 2; extra++) {
        buf_clear(&keys);
        mp_write_map(&keys, 1000 + extra);
        for (unsigned i = 0; i < 1000 + extra; i++) {
            char name[16];
            snprintf(name, sizeof(name), "k%u", i);
            mp_write_string(&keys, name);
            mp_write_nil(&keys);
        }
        if (extra)
            expect_error((struct patch){.set = buf_bytes(&keys)}, BYTES_LITERAL("\x80"), ERROR_TOO_BIG);
        else
            expect_map((struct patch){.set = buf_bytes(&keys)}, BYTES_LITERAL("\x80"), buf_bytes(&keys));
    }
    buf_fini(&keys);
}

Test(patch, may_fill_a_map_to_the_limit_and_not_one_byte_further) {
    struct buf map = BUF_EMPTY;
    /* fixmap, "p", bin32 head of 5: together 8 bytes; "q": 1 adds 3. */
    size_t filling = (size_t)LIMIT_MAX_DATA - 8 - 3;
    uint8_t *zeros = calloc(1, filling + 1);
    for (unsigned extra = 0; extra < 2; extra++) {
        buf_clear(&map);
        mp_write_map(&map, 1);
        mp_write_string(&map, "p");
        mp_write_bin(&map, bytes_of(zeros, filling + extra));
        struct outcome_of_patch got = apply(SET("\x81\xa1q\x01"), buf_bytes(&map));
        cr_expect_eq(got.error.code, extra ? ERROR_TOO_BIG : ERROR_NONE);
        cr_expect_eq(got.error.limit, extra ? LIMIT_MAX_DATA : -1);
        if (!extra) cr_expect_eq(got.map.size, (size_t)LIMIT_MAX_DATA);
        free(got.scratch.data);
    }
    free(zeros);
    buf_fini(&map);
}

Test(patch, answers_the_values_of_its_increments_in_their_order) {
    struct patch patch = INCR("\x82\xa1n\x02\xa1p\x01");
    struct outcome_of_patch got = apply(patch, BYTES_LITERAL(PQR));
    struct buf out = BUF_EMPTY;
    patch_write_values(&patch, got.map, &out);
    cr_expect(bytes_equal(buf_bytes(&out), BYTES_LITERAL("\x82\xa1n\x02\xa1p\x02")));
    buf_clear(&out);
    patch_write_values(&(struct patch){.set = BYTES_ABSENT}, got.map, &out);
    cr_expect(bytes_equal(buf_bytes(&out), BYTES_LITERAL("\x80")));
    free(got.scratch.data);
    buf_fini(&out);
}

/* ---- against a naive model: an array of (key, value), keys of one letter, values of one byte */

struct model {
    unsigned count;
    uint8_t keys[64], values[64];
};

static int model_find(const struct model *model, uint8_t key) {
    for (unsigned i = 0; i < model->count; i++)
        if (model->keys[i] == key) return (int)i;
    return -1;
}

static void model_put(struct model *model, uint8_t key, uint8_t value) {
    int found = model_find(model, key);
    if (found < 0) found = (int)model->count++;
    model->keys[found] = key;
    model->values[found] = value;
}

static void model_remove(struct model *model, uint8_t key) {
    int found = model_find(model, key);
    if (found < 0) return;
    model->count--;
    memmove(model->keys + found, model->keys + found + 1, model->count - (unsigned)found);
    memmove(model->values + found, model->values + found + 1, model->count - (unsigned)found);
}

static void model_write(const struct model *model, struct buf *out) {
    mp_write_map(out, model->count);
    for (unsigned i = 0; i < model->count; i++) {
        mp_write_str(out, bytes_of(&model->keys[i], 1));
        mp_write_uint(out, model->values[i]);
    }
}

static uint32_t next_random(uint32_t *state) {
    return *state = *state * 1664525 + 1013904223;
}

/* Deals every letter at random to one of the clauses or to none, and does to the model what the clause says. */
static void deal(uint32_t *seed, struct model *model, struct model clauses[3]) {
    struct model before = *model;
    for (int i = 0; i < 3; i++) clauses[i].count = 0;
    for (int kind = 0; kind < 3; kind++)
        for (uint8_t key = 'a'; key <= 'z'; key++) {
            if (next_random(seed) >> 28 > 2 || model_find(&clauses[0], key) >= 0 || model_find(&clauses[1], key) >= 0 ||
                model_find(&clauses[2], key) >= 0)
                continue;
            uint8_t value = (uint8_t)(next_random(seed) >> 28);
            int old = model_find(&before, key);
            model_put(&clauses[kind], key, value);
            if (kind == 0) model_put(model, key, value);
            if (kind == 1) model_remove(model, key);
            if (kind == 2) model_put(model, key, (uint8_t)((old < 0 ? 0 : before.values[old]) + value));
        }
}

Test(patch, agrees_with_a_naive_model_over_ten_thousand_patches) {
    uint32_t seed = 7;
    struct model model = {0}, clauses[3];
    struct buf map = BUF_EMPTY, expected = BUF_EMPTY, parts[3] = {BUF_EMPTY, BUF_EMPTY, BUF_EMPTY};
    for (unsigned round = 0; round < 10000; round++) {
        for (unsigned i = 0; i < model.count; i++) model.values[i] &= 63; /* far from the end of a byte */
        buf_clear(&map);
        model_write(&model, &map);
        deal(&seed, &model, clauses);
        for (int i = 0; i < 3; i++) buf_clear(&parts[i]);
        model_write(&clauses[0], &parts[0]);
        model_write(&clauses[2], &parts[2]);
        mp_write_array(&parts[1], clauses[1].count);
        for (unsigned i = 0; i < clauses[1].count; i++) mp_write_str(&parts[1], bytes_of(&clauses[1].keys[i], 1));
        buf_clear(&expected);
        model_write(&model, &expected);
        struct outcome_of_patch got =
            apply((struct patch){buf_bytes(&parts[0]), buf_bytes(&parts[1]), buf_bytes(&parts[2])}, buf_bytes(&map));
        cr_assert(bytes_equal(got.map, buf_bytes(&expected)), "round %u: %s", round, got.error.message);
        free(got.scratch.data);
    }
    buf_fini(&map), buf_fini(&expected);
    for (int i = 0; i < 3; i++) buf_fini(&parts[i]);
}

/* A quadratic patch would compare 1,000 keys with each of 250,000 entries: minutes under a sanitizer, not the second
 * that the runner's time limit below allows many times over. */
Test(patch, of_a_thousand_keys_over_a_full_map_is_not_quadratic, .timeout = 20) {
    struct buf map = BUF_EMPTY, set = BUF_EMPTY;
    mp_write_map(&map, 250000);
    for (unsigned i = 0; i < 250000; i++) {
        const uint8_t key[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        mp_write_str(&map, bytes_of(key, 2));
        mp_write_nil(&map);
    }
    mp_write_map(&set, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        const uint8_t key[3] = {(uint8_t)(i >> 8), (uint8_t)i, 'x'};
        mp_write_str(&set, bytes_of(key, 3));
        mp_write_nil(&set);
    }
    for (int i = 0; i < 60; i++) {
        struct outcome_of_patch got = apply((struct patch){.set = buf_bytes(&set)}, buf_bytes(&map));
        cr_assert_eq(got.error.code, ERROR_NONE);
        free(got.scratch.data);
    }
    buf_fini(&map), buf_fini(&set);
}
