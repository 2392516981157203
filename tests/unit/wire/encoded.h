/* Compares what was encoded with a text, for tests. */
#ifndef TESTS_WIRE_ENCODED_H
#define TESTS_WIRE_ENCODED_H

#include <criterion/criterion.h>

#include "request.h"

/* `actual` holds what `text` stands for; empties it. */
static inline void expect_encoded(struct buf *actual, const char *text) {
    struct buf expected = BUF_EMPTY;
    write_text(&expected, text);
    if (!bytes_equal(buf_bytes(actual), buf_bytes(&expected))) {
        for (size_t i = 0; i < actual->size; i++) fprintf(stderr, "%02x", actual->data[i]);
        fprintf(stderr, " is not %s\n", text);
        cr_assert_fail("%s", text);
    }
    buf_fini(&expected);
    buf_clear(actual);
}

#endif
