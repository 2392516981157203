/* struct buf: growth, consuming, and errors that stick. */
#include "base/buf.h"

#include <criterion/criterion.h>

Test(buf, keeps_what_was_appended_in_order) {
    struct buf buf = BUF_EMPTY;
    for (int i = 0; i < 1000; i++) {
        uint8_t byte = (uint8_t)i;
        buf_append(&buf, &byte, 1);
    }
    cr_assert_eq(buf.size, 1000);
    for (int i = 0; i < 1000; i++) cr_assert_eq(buf.data[i], (uint8_t)i, "byte %d is %u", i, buf.data[i]);
    buf_fini(&buf);
}

Test(buf, appends_nothing_from_null) {
    struct buf buf = BUF_EMPTY;
    buf_append(&buf, NULL, 0);
    cr_assert_eq(buf.size, 0);
    cr_assert_null(buf.data);
    cr_assert_not(buf.is_failed);
}

Test(buf, reserves_without_changing_its_size) {
    struct buf buf = BUF_EMPTY;
    buf_append(&buf, "ab", 2);
    uint8_t *at = buf_reserve(&buf, 5000);
    cr_assert_not_null(at);
    cr_assert_eq(buf.size, 2);
    cr_assert_geq(buf.capacity - buf.size, 5000);
    cr_assert_eq(at, buf.data + 2);
    cr_assert_arr_eq(buf.data, "ab", 2);
    buf_fini(&buf);
}

Test(buf, grows_by_doubling_so_that_appends_are_linear) {
    struct buf buf = BUF_EMPTY;
    int moves = 0;
    for (int i = 0; i < 100000; i++) {
        size_t capacity = buf.capacity;
        buf_append(&buf, "x", 1);
        moves += buf.capacity != capacity;
    }
    cr_assert_leq(moves, 12, "%d moves", moves);
    buf_fini(&buf);
}

Test(buf, consumes_from_the_front) {
    struct buf buf = BUF_EMPTY;
    buf_append(&buf, "hello world", 11);
    buf_consume(&buf, 6);
    cr_assert(bytes_equal(buf_bytes(&buf), BYTES_LITERAL("world")));
    buf_consume(&buf, 0);
    cr_assert_eq(buf.size, 5);
    buf_consume(&buf, 5);
    cr_assert_eq(buf.size, 0);
    buf_fini(&buf);
}

Test(buf, refuses_an_impossible_size_and_stays_failed_until_it_is_cleared) {
    struct buf buf = BUF_EMPTY;
    buf_append(&buf, "ab", 2);
    cr_assert_null(buf_reserve(&buf, SIZE_MAX));
    cr_assert(buf.is_failed);
    buf_append(&buf, "cd", 2);
    cr_assert_eq(buf.size, 2, "an append after the failure changed it");
    cr_assert_null(buf_reserve(&buf, 1), "room was left, but the error sticks");
    buf_clear(&buf);
    buf_append(&buf, "ef", 2);
    cr_assert(bytes_equal(buf_bytes(&buf), BYTES_LITERAL("ef")));
    buf_fini(&buf);
}

Test(buf, is_empty_again_after_fini) {
    struct buf buf = BUF_EMPTY;
    buf_append(&buf, "ab", 2);
    buf_fini(&buf);
    cr_assert_null(buf.data);
    cr_assert_eq(buf.capacity, 0);
    buf_append(&buf, "c", 1);
    cr_assert_eq(buf.size, 1);
    buf_fini(&buf);
}
