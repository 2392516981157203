/* See number.h. */
#include "op/number.h"

#include <assert.h>
#include <math.h>

enum { MP_UINT64 = 0xcf };

/* mp_read_int answers int64; this form alone holds more. */
static __int128 read_uint64(const uint8_t *at) {
    uint64_t value = 0;
    for (int i = 1; i <= 8; i++) value = value << 8 | at[i];
    return value;
}

bool number_read(struct bytes value, struct number *number) {
    struct mp_cursor cursor = mp_cursor_of(value);
    enum mp_type type = mp_peek(&cursor);
    *number = NUMBER_ZERO;
    if (type == MP_FLOAT) {
        number->is_float = true;
        number->real = mp_read_double(&cursor);
        return true;
    }
    if (type != MP_INTEGER) return false;
    number->integer = *cursor.at == MP_UINT64 ? read_uint64(cursor.at) : mp_read_int(&cursor, INT64_MIN, INT64_MAX);
    return true;
}

static double as_real(struct number number) {
    return number.is_float ? number.real : (double)number.integer;
}

bool number_add(struct number a, struct number b, struct number *sum) {
    *sum = NUMBER_ZERO;
    if (a.is_float || b.is_float) {
        sum->is_float = true;
        sum->real = as_real(a) + as_real(b);
        return isfinite(sum->real);
    }
    sum->integer = a.integer + b.integer; /* of two values of 65 bits: no overflow in 128 */
    return sum->integer >= INT64_MIN && sum->integer <= UINT64_MAX;
}

void number_write(struct buf *out, struct number number) {
    if (number.is_float)
        mp_write_double(out, number.real);
    else if (number.integer < 0)
        mp_write_int(out, (int64_t)number.integer);
    else
        mp_write_uint(out, (uint64_t)number.integer);
}
