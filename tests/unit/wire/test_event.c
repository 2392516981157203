/* Events as notifications, byte for byte. */
#include <criterion/criterion.h>

#include "request.h"
#include "wire/codec.h"

#define NOW INT64_C(1767225600000)

static void expect_event(struct event event, struct event_extra extra, const char *text) {
    struct buf actual = BUF_EMPTY, expected = BUF_EMPTY;
    codec_write_event(&actual, &event, &extra);
    write_text(&expected, text);
    cr_assert(bytes_equal(buf_bytes(&actual), buf_bytes(&expected)), "not %s", text);
    buf_fini(&actual);
    buf_fini(&expected);
}

static struct event full_event(void) {
    return (struct event){.kind = EVENT_REVOKED,
                          .namespace = BYTES_LITERAL("web"),
                          .id = BYTES_LITERAL("s1"),
                          .user = BYTES_LITERAL("ann"),
                          .client = BYTES_LITERAL("c"),
                          .pool = BYTES_LITERAL("p"),
                          .reason = BYTES_LITERAL("stolen"),
                          .data = BYTES_LITERAL("\x81\xa1n\x01"),
                          .version = 775736524800001,
                          .at = NOW};
}

Test(event, names_all_that_it_has) {
    expect_event(
        full_event(), (struct event_extra){.watch = 1, .seq = 300, .wants_data = true},
        "[2, 'event', [{'watch': 1, 'seq': 300, 'kind': 'revoked', 'id': 's1', 'user': 'ann', 'client': 'c', "
        "'pool': 'p', 'at': 1767225600000, 'version': 775736524800001, 'reason': 'stolen', 'data': {'n': 1}}]]");
}

Test(event, leaves_out_what_it_has_not_and_data_that_nobody_asked_for) {
    struct event event = {.kind = EVENT_CREATED, .id = BYTES_LITERAL("s1"), .version = 7, .at = NOW};
    const char *text = "[2, 'event', [{'watch': 2, 'seq': 1, 'kind': 'created', 'id': 's1', 'at': 1767225600000, "
                       "'version': 7}]]";
    expect_event(event, (struct event_extra){.watch = 2, .seq = 1, .wants_data = true}, text);
    event.data = BYTES_LITERAL("\x80");
    expect_event(event, (struct event_extra){.watch = 2, .seq = 1}, text);
}

Test(event, tells_a_hashed_id_as_handle) {
    struct event event = {.kind = EVENT_ENDED, .id = BYTES_LITERAL("h"), .is_hashed = true, .version = 7, .at = NOW};
    expect_event(event, (struct event_extra){.watch = 1, .seq = 1},
                 "[2, 'event', [{'watch': 1, 'seq': 1, 'kind': 'ended', 'handle': 'h', 'at': 1767225600000, "
                 "'version': 7}]]");
}

Test(event, of_a_lag_holds_how_many_were_missed_and_nothing_else) {
    expect_event((struct event){.kind = EVENT_LAGGED, .missed = 70000}, (struct event_extra){.watch = 1, .seq = 70001},
                 "[2, 'event', [{'watch': 1, 'seq': 70001, 'kind': 'lagged', 'missed': 70000}]]");
}
