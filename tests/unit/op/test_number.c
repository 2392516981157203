/* Numbers of incr: integers over the whole range, floats, and what does not fit. */
#include "op/number.h"

#include <criterion/criterion.h>
#include <math.h>

static struct number integer(__int128 value) {
    return (struct number){false, value, 0.0};
}
static struct number real(double value) {
    return (struct number){true, 0, value};
}

/* What number_write makes of it, read again. */
static struct number round_trip(struct number number) {
    struct buf out = BUF_EMPTY;
    struct number back;
    number_write(&out, number);
    cr_assert(number_read(buf_bytes(&out), &back));
    buf_fini(&out);
    return back;
}

Test(number, keeps_every_integer_of_messagepack) {
    const __int128 values[] = {0,
                               1,
                               -1,
                               127,
                               128,
                               255,
                               256,
                               65535,
                               65536,
                               UINT32_MAX,
                               INT64_MIN,
                               INT64_MAX,
                               (__int128)INT64_MAX + 1,
                               UINT64_MAX,
                               -32,
                               -33,
                               INT32_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct number back = round_trip(integer(values[i]));
        cr_expect(!back.is_float && back.integer == values[i], "value %zu", i);
    }
    cr_expect_eq(round_trip(real(0.5)).real, 0.5);
    cr_expect(round_trip(real(2.0)).is_float);
}

Test(number, adds_integers_up_to_both_ends_and_no_further) {
    struct number sum;
    cr_expect(number_add(integer(INT64_MAX), integer(1), &sum) && sum.integer == (__int128)INT64_MAX + 1);
    cr_expect(number_add(integer(UINT64_MAX), integer(0), &sum) && sum.integer == UINT64_MAX);
    cr_expect_not(number_add(integer(UINT64_MAX), integer(1), &sum));
    cr_expect(number_add(integer(INT64_MIN), integer(UINT64_MAX), &sum) && sum.integer == INT64_MAX);
    cr_expect(number_add(integer(INT64_MIN), integer(0), &sum));
    cr_expect_not(number_add(integer(INT64_MIN), integer(-1), &sum));
}

Test(number, becomes_a_float_where_either_side_is_one) {
    struct number sum;
    cr_expect(number_add(integer(1), real(0.5), &sum) && sum.is_float && sum.real == 1.5);
    cr_expect(number_add(real(0.5), integer(-1), &sum) && sum.is_float && sum.real == -0.5);
}

Test(number, refuses_a_float_that_is_not_finite) {
    struct number sum;
    cr_expect_not(number_add(real(1.7e308), real(1.7e308), &sum));
    cr_expect_not(number_add(real(INFINITY), integer(1), &sum));
    cr_expect_not(number_add(real(NAN), integer(1), &sum));
}

Test(number, is_neither_a_text_nor_a_truth) {
    struct number number;
    cr_expect_not(number_read(BYTES_LITERAL("\xa1\x31"), &number));
    cr_expect_not(number_read(BYTES_LITERAL("\xc3"), &number));
    cr_expect_not(number_read(BYTES_LITERAL("\xc0"), &number));
    cr_expect(number_read(BYTES_LITERAL("\xca\x3f\x00\x00\x00"), &number) && number.is_float && number.real == 0.5);
}
