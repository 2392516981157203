/* A request written as text and decoded, for the decoder's tests. */
#ifndef TESTS_WIRE_DECODED_H
#define TESTS_WIRE_DECODED_H

#include <criterion/criterion.h>

#include "request.h"
#include "wire/codec.h"

/* One decoded message and what it borrows from. */
struct decoded {
    struct buf bytes;
    enum decode_state state;
    struct frame frame;
    union op_args args;
    struct error error;
};

static inline struct decoded decode_more(const char *text, const char *behind) {
    struct decoded decoded = {.bytes = BUF_EMPTY};
    write_text(&decoded.bytes, text);
    size_t size = decoded.bytes.size;
    buf_append(&decoded.bytes, behind, strlen(behind));
    memset(&decoded.args, 0xee, sizeof decoded.args); /* what is not set must still read as zero */
    decoded.state = codec_decode(buf_bytes(&decoded.bytes), &decoded.frame, &decoded.args, &decoded.error);
    if (decoded.state == DECODE_OK || decoded.state == DECODE_REFUSED)
        cr_assert_eq(decoded.frame.size, size, "%s: %zu bytes, not %zu", text, decoded.frame.size, size);
    return decoded;
}

static inline struct decoded decode(const char *text) {
    struct decoded decoded = decode_more(text, "");
    cr_assert_eq(decoded.state, DECODE_OK, "%s: state %d, %s", text, decoded.state,
                 decoded.state == DECODE_REFUSED ? decoded.error.message : "");
    return decoded;
}

static inline void expect_refused(const char *text, enum error_code code, const char *sentence) {
    struct decoded decoded = decode_more(text, "behind");
    cr_assert_eq(decoded.state, DECODE_REFUSED, "%s: state %d", text, decoded.state);
    cr_assert_eq(decoded.error.code, code, "%s: code %s", text, error_code_name(decoded.error.code));
    cr_assert_str_eq(decoded.error.message, sentence);
    buf_fini(&decoded.bytes);
}

static inline void expect_broken(const char *text) {
    struct decoded decoded = decode_more(text, "");
    cr_assert_eq(decoded.state, DECODE_BROKEN, "%s: state %d", text, decoded.state);
    cr_assert_eq(decoded.error.code, ERROR_BAD_REQUEST);
    cr_assert(strlen(decoded.error.message) > 20);
    buf_fini(&decoded.bytes);
}

static inline void expect_bytes(struct bytes actual, const char *expected) {
    cr_assert(bytes_equal(actual, bytes_of_string(expected)), "%.*s, expected %s", (int)actual.size,
              (const char *)actual.data, expected);
}

#endif
