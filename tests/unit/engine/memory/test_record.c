/* Records: what is put in comes out, and costs what it should. */
#include "base/prng.h"
#include "engine/memory/record.h"
#include "sessiond/engine.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct terms plain = {.idle_timeout_ms = 100, .absolute_timeout_ms = 200, .abandon_timeout_ms = 0};

static struct session plain_session(void) {
    return (struct session){.id = BYTES_LITERAL("an id"),
                            .data = BYTES_LITERAL("\x81\xa1x\x01"),
                            .status = STATUS_ACTIVE,
                            .created_at = 1767225600000,
                            .last_active_at = 1767225600007,
                            .birth = 0x5a5b,
                            .idle_timeout_ms = 100,
                            .absolute_timeout_ms = 200};
}

/* Of exactly its size, so that a sanitizer sees a byte too many. */
static struct record *record_of(const struct session *draft, struct record_frame *frame) {
    struct record *record = malloc(record_size_of(draft, frame));
    record_fill(record, draft, frame);
    return record;
}

static void expect_view(const struct session *out, const struct session *draft, const struct record_frame *frame) {
    cr_assert(bytes_equal(out->id, draft->id) && bytes_equal(out->data, draft->data));
    cr_assert(bytes_equal(out->user, draft->user) && bytes_equal(out->client, draft->client));
    cr_assert(bytes_equal(out->meta, draft->meta) && bytes_equal(out->reason, draft->reason));
    cr_assert(bytes_equal(out->replaced_by, draft->replaced_by));
    cr_assert(bytes_equal(out->pool, draft->pool) && bytes_equal(out->tags, draft->tags));
    cr_assert(bytes_equal(out->token, draft->token) && bytes_equal(out->bound, draft->bound));
    cr_assert(!out->usage && out->event == EVENT_NONE && !out->is_touch);
    cr_assert_eq(out->version, frame->version);
    cr_assert_eq(out->created_at, draft->created_at);
    cr_assert_eq(out->last_active_at, draft->last_active_at);
    cr_assert_eq(out->birth, draft->birth);
    cr_assert_eq(out->absolute_expires_at, draft->absolute_expires_at);
    cr_assert_eq(out->status_at, draft->status_at);
    cr_assert_eq(out->status, draft->status);
    cr_assert_eq(out->is_alias, draft->is_alias);
    cr_assert_eq(out->idle_timeout_ms, frame->has_own_timeouts ? draft->idle_timeout_ms : 100);
    cr_assert_eq(out->absolute_timeout_ms, frame->has_own_timeouts ? draft->absolute_timeout_ms : 200);
    cr_assert_eq(out->abandon_timeout_ms, frame->has_own_timeouts ? draft->abandon_timeout_ms : 0);
}

static void expect_groups(const struct record *record, const struct session *draft) {
    struct bytes user = draft->is_alias ? BYTES_ABSENT : draft->user;
    struct bytes client = draft->is_alias ? BYTES_ABSENT : draft->client;
    struct bytes pool = draft->is_alias ? BYTES_ABSENT : draft->pool;
    cr_assert(bytes_equal(record_group(record, GROUP_USER), user));
    cr_assert(bytes_equal(record_group(record, GROUP_CLIENT), client));
    cr_assert(bytes_equal(record_group(record, GROUP_POOL), pool));
    cr_assert_eq(record_has_groups(record), user.data || client.data || pool.data);
}

static void expect_record(const struct record *record, const struct session *draft, struct record_frame *frame) {
    struct session out;
    cr_assert_eq(record_size(record), record_size_of(draft, frame));
    cr_assert_eq(record_terms_number(record), frame->terms);
    cr_assert_eq(record_version(record), frame->version);
    cr_assert_eq(record_created_at(record), draft->created_at);
    cr_assert_eq(record_data_size(record), draft->data.size);
    cr_assert_eq(record_status(record), draft->status);
    cr_assert_eq(record_is_alias(record), draft->is_alias);
    cr_assert(bytes_equal(record_id(record), draft->id));
    memset(&out, 0xee, sizeof(out));
    record_view_life(record, &plain, record_active(record), &out);
    record_view_bytes(record, &out);
    expect_view(&out, draft, frame);
    memset(&out, 0xee, sizeof(out));
    record_view(record, &plain, record_active(record), &out);
    expect_view(&out, draft, frame);
    expect_groups(record, draft);
}

/* Builds, views and compares; answers the record's size. */
static size_t round_trip_in(const struct session *draft, struct record_frame *frame) {
    struct record *record = record_of(draft, frame);
    size_t size = record_size(record);
    expect_record(record, draft, frame);
    free(record);
    return size;
}

static size_t round_trip(const struct session *draft, bool has_own_timeouts) {
    return round_trip_in(draft,
                         &(struct record_frame){.version = 9, .terms = 42, .has_own_timeouts = has_own_timeouts});
}

Test(record, of_a_plain_session_costs_24_bytes) {
    struct session draft = plain_session();
    cr_assert_eq(round_trip(&draft, false), 24 + draft.id.size + draft.data.size);
}

/* What is not plain pays two bytes for saying what it has. */
Test(record, of_a_session_with_a_user_costs_27_bytes_beyond_it) {
    struct session draft = plain_session();
    draft.user = BYTES_LITERAL("ann");
    cr_assert_eq(round_trip(&draft, false), 24 + 3 + 3 + draft.id.size + draft.data.size);
}

Test(record, of_a_session_with_a_token_costs_29_bytes_beyond_it) {
    struct session draft = plain_session();
    draft.token = BYTES_LITERAL("0123456789abcdef");
    cr_assert_eq(round_trip(&draft, false), 24 + 2 + 3 + 16 + draft.id.size + draft.data.size);
}

Test(record, keeps_timeouts_of_its_own_where_terms_have_no_place) {
    struct session draft = plain_session();
    draft.idle_timeout_ms = 315576000000;
    draft.abandon_timeout_ms = 5;
    cr_assert_eq(round_trip(&draft, true), 24 + 2 + 24 + draft.id.size + draft.data.size);
}

Test(record, keeps_any_mixture_of_optional_parts) {
    static uint8_t bytes[70000];
    struct prng prng = prng_of(3);
    prng_fill(&prng, bytes, sizeof(bytes));
    for (int i = 0; i < 3000; i++) {
        struct session draft = plain_session();
        draft.id = bytes_of(bytes, 1 + prng_below(&prng, 255));
        draft.data = bytes_of(bytes, prng_below(&prng, prng_happens(&prng, 1, 50) ? sizeof(bytes) : 400));
        if (prng_happens(&prng, 1, 2)) draft.user = bytes_of(bytes + 1, 1 + prng_below(&prng, 255));
        if (prng_happens(&prng, 1, 2)) draft.client = bytes_of(bytes + 2, 1 + prng_below(&prng, 255));
        if (prng_happens(&prng, 1, 2)) draft.pool = bytes_of(bytes + 6, 1 + prng_below(&prng, 255));
        if (prng_happens(&prng, 1, 2)) draft.tags = bytes_of(bytes + 7, 1 + prng_below(&prng, 17000));
        if (prng_happens(&prng, 1, 2)) draft.token = bytes_of(bytes + 8, 1 + prng_below(&prng, 300));
        if (prng_happens(&prng, 1, 2)) draft.bound = bytes_of(bytes + 9, 1 + prng_below(&prng, 300));
        if (prng_happens(&prng, 1, 2)) draft.reason = bytes_of(bytes + 3, prng_below(&prng, 1025));
        if (prng_happens(&prng, 1, 2)) draft.replaced_by = bytes_of(bytes + 4, 1 + prng_below(&prng, 255));
        if (prng_happens(&prng, 1, 2)) draft.meta = bytes_of(bytes + 5, prng_below(&prng, 66000));
        if (prng_happens(&prng, 1, 2)) draft.absolute_expires_at = prng_between(&prng, 1, INT64_C(253402300799999));
        if (prng_happens(&prng, 1, 2)) draft.status_at = prng_between(&prng, 1, INT64_C(253402300799999));
        draft.status = (enum status)prng_between(&prng, STATUS_ACTIVE, STATUS_EXPIRED);
        draft.is_alias = prng_happens(&prng, 1, 8);
        if (prng_happens(&prng, 1, 4)) draft.created_at = prng_between(&prng, 0, (INT64_C(1) << 48) - 1);
        struct record_frame frame = {.version = prng_between(&prng, 1, INT64_MAX) >> prng_below(&prng, 40),
                                     .terms = (uint32_t)prng_below(&prng, prng_happens(&prng, 1, 2) ? 4000 : 2000000),
                                     .has_own_timeouts = prng_happens(&prng, 1, 2)};
        round_trip_in(&draft, &frame);
    }
}

/* ---- what the head has no room for */

/* What that costs beside the two bytes of flags. */
static size_t cost_of(const struct session *draft, struct record_frame frame) {
    return round_trip_in(draft, &frame) - 24 - 2 - draft->id.size - draft->data.size;
}

#define PLAIN (size_t) - 2

Test(record, keeps_any_version) {
    struct session draft = plain_session();
    const uint64_t whole = UINT64_C(1) << 53;
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = (UINT64_C(1) << 48) - 1}), PLAIN);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = UINT64_C(1) << 48}), PLAIN);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = whole - 2}), PLAIN);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = whole - 1}), 8);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = whole}), 8);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = UINT64_MAX}), 8);
}

Test(record, keeps_terms_of_any_number) {
    struct session draft = plain_session();
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9, .terms = 2046}), PLAIN);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9, .terms = 2047}), 4);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9, .terms = 2048}), 4);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9, .terms = 1 << 14}), 4);
    cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9, .terms = TERMS_NONE - 1}), 4);
}

Test(record, keeps_data_of_any_size) {
    static const uint8_t bytes[RECORD_DATA_MAX];
    struct session draft = plain_session();
    const size_t sizes[] = {0, 16382, 16383, 16384, 65535, 65536, LIMIT_MAX_DATA, RECORD_DATA_MAX};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        draft.data = bytes_of(bytes, sizes[i]);
        cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9}), sizes[i] < 16383 ? PLAIN : 4);
    }
}

Test(record, keeps_any_created_at) {
    struct session draft = plain_session();
    const int64_t last = VERSION_EPOCH_MS + (INT64_C(1) << 41) - 2; /* in the year 2089 */
    const int64_t moments[] = {VERSION_EPOCH_MS, last,     VERSION_EPOCH_MS - 1, 0,
                               last + 1,         last + 2, INT64_C(1) << 42,     (INT64_C(1) << 48) - 1};
    for (unsigned i = 0; i < 8; i++) {
        draft.created_at = moments[i];
        cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9}), i < 2 ? PLAIN : 8);
    }
}

Test(record, moves_any_activity_in_place) {
    struct session draft = plain_session(), out;
    const int64_t moments[] = {
        0, (INT64_C(1) << 41) - 1, INT64_C(1) << 41, (INT64_C(1) << 42) - 1, INT64_C(1) << 42, (INT64_C(1) << 48) - 1};
    for (unsigned i = 0; i < 6; i++) {
        draft.last_active_at = moments[i];
        cr_assert_eq(cost_of(&draft, (struct record_frame){.version = 9}), PLAIN);
        draft.last_active_at = 1;
        struct record *record = record_of(&draft, &(struct record_frame){.version = 9});
        record_set_active(record, (uint64_t)moments[i] << 16 | (record_active(record) & 0xffff));
        record_view(record, &plain, record_active(record), &out);
        cr_assert_eq(out.last_active_at, moments[i]);
        cr_assert_eq(out.birth, draft.birth);
        free(record);
    }
}

Test(record, takes_the_version_that_it_has_room_for) {
    struct session draft = plain_session(), out;
    struct record_frame frame = {.version = (UINT64_C(1) << 53) - 3, .terms = 2046};
    struct record *record = record_of(&draft, &frame);
    frame.version += 1;
    cr_assert(record_set_version(record, frame.version));
    expect_record(record, &draft, &frame);
    cr_assert(!record_set_version(record, frame.version + 1) && !record_set_version(record, UINT64_MAX));
    expect_record(record, &draft, &frame);
    free(record);
    frame.version += 1;
    record = record_of(&draft, &frame);
    for (uint64_t version = frame.version; version; version >>= 1) {
        frame.version = version;
        cr_assert(record_set_version(record, version));
        cr_assert_eq(record_version(record), version);
        record_view(record, &plain, record_active(record), &out);
        expect_view(&out, &draft, &frame);
    }
    free(record);
}

Test(record, keeps_its_mark_its_birth_and_its_activity_apart) {
    struct session draft = plain_session(), out;
    struct record *record = aligned_alloc(8, 128);
    struct record_frame frame = {.version = 9};
    draft.birth = BIRTH_MAX;
    record_size_of(&draft, &frame);
    record_fill(record, &draft, &frame);
    cr_assert(!(record_active(record) & RECORD_MARK_REAPED));
    cr_assert_eq(record_birth(record), BIRTH_MAX);
    draft.birth = 1;
    frame.is_reaped = true;
    record_size_of(&draft, &frame);
    record_fill(record, &draft, &frame);
    cr_assert(record_active(record) & RECORD_MARK_REAPED);
    cr_assert_eq(record_birth(record), 1);
    record_view_life(record, &plain, record_active(record), &out);
    cr_assert_eq(out.last_active_at, draft.last_active_at);
    cr_assert_eq(out.birth, 1);
    record_set_active(record, (uint64_t)(draft.last_active_at + 5) << 16 | (record_active(record) & 0xffff));
    record_view_life(record, &plain, record_active(record), &out);
    cr_assert_eq(out.last_active_at, draft.last_active_at + 5);
    cr_assert_eq(record_birth(record), 1);
    free(record);
}

Test(record, cuts_moments_to_what_it_holds) {
    struct session draft = plain_session(), out;
    struct record *record = aligned_alloc(8, 128);
    struct record_frame frame = {.version = 9};
    draft.created_at = -5;
    draft.last_active_at = INT64_MAX;
    record_size_of(&draft, &frame);
    record_fill(record, &draft, &frame);
    record_view_life(record, &plain, record_active(record), &out);
    cr_assert_eq(out.created_at, 0);
    cr_assert_eq(out.last_active_at, (INT64_C(1) << 48) - 1);
    free(record);
}
