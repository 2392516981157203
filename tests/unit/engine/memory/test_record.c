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

/* Builds, views and compares; answers the record's size. */
static size_t round_trip(const struct session *draft, bool has_own_timeouts) {
    size_t size = record_size_of(draft, has_own_timeouts);
    struct record *record = aligned_alloc(8, (size + 7) / 8 * 8);
    struct session out;
    memset(&out, 0xee, sizeof(out));
    record_fill(record, draft, 42, has_own_timeouts, 0);
    record->version = 9;
    cr_assert_eq(record_size(record), size);
    cr_assert_eq(record->terms, 42);
    cr_assert(bytes_equal(record_id(record), draft->id));
    record_view_life(record, &plain, record_active(record), &out);
    record_view_bytes(record, &out);
    cr_assert(bytes_equal(out.id, draft->id) && bytes_equal(out.data, draft->data));
    cr_assert(bytes_equal(out.user, draft->user) && bytes_equal(out.client, draft->client));
    cr_assert(bytes_equal(out.meta, draft->meta) && bytes_equal(out.reason, draft->reason));
    cr_assert(bytes_equal(out.replaced_by, draft->replaced_by));
    cr_assert(bytes_equal(out.pool, draft->pool) && bytes_equal(out.tags, draft->tags));
    cr_assert(bytes_equal(out.token, draft->token) && bytes_equal(out.bound, draft->bound));
    cr_assert(!out.usage && out.event == EVENT_NONE);
    cr_assert_eq(out.version, 9);
    cr_assert_eq(out.created_at, draft->created_at);
    cr_assert_eq(out.last_active_at, draft->last_active_at);
    cr_assert_eq(out.birth, draft->birth);
    cr_assert_eq(out.absolute_expires_at, draft->absolute_expires_at);
    cr_assert_eq(out.status_at, draft->status_at);
    cr_assert_eq(out.status, draft->status);
    cr_assert_eq(out.is_alias, draft->is_alias);
    if (has_own_timeouts) cr_assert_eq(out.abandon_timeout_ms, draft->abandon_timeout_ms);
    cr_assert_eq(out.idle_timeout_ms, has_own_timeouts ? draft->idle_timeout_ms : 100);
    cr_assert_eq(out.absolute_timeout_ms, has_own_timeouts ? draft->absolute_timeout_ms : 200);
    struct bytes user = draft->is_alias ? BYTES_ABSENT : draft->user;
    struct bytes client = draft->is_alias ? BYTES_ABSENT : draft->client;
    cr_assert(bytes_equal(record_group(record, GROUP_USER), user));
    cr_assert(bytes_equal(record_group(record, GROUP_CLIENT), client));
    struct bytes pool = draft->is_alias ? BYTES_ABSENT : draft->pool;
    cr_assert(bytes_equal(record_group(record, GROUP_POOL), pool));
    cr_assert_eq(record_has_groups(record), user.data || client.data || pool.data);
    free(record);
    return size;
}

Test(record, of_a_plain_session_costs_32_bytes) {
    struct session draft = plain_session();
    cr_assert_eq(round_trip(&draft, false), 32 + draft.id.size + draft.data.size);
}

Test(record, of_a_session_with_a_token_costs_three_bytes_beyond_it) {
    struct session draft = plain_session();
    draft.token = BYTES_LITERAL("0123456789abcdef");
    cr_assert_eq(round_trip(&draft, false), 32 + 3 + 16 + draft.id.size + draft.data.size);
}

Test(record, keeps_timeouts_of_its_own_where_terms_have_no_place) {
    struct session draft = plain_session();
    draft.idle_timeout_ms = 315576000000;
    draft.abandon_timeout_ms = 5;
    cr_assert_eq(round_trip(&draft, true), 32 + 24 + draft.id.size + draft.data.size);
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
        round_trip(&draft, prng_happens(&prng, 1, 2));
    }
}

Test(record, keeps_its_mark_its_birth_and_its_activity_apart) {
    struct session draft = plain_session(), out;
    struct record *record = aligned_alloc(8, 128);
    draft.birth = BIRTH_MAX;
    record_fill(record, &draft, 0, false, 0);
    cr_assert(!(record_active(record) & RECORD_MARK_REAPED));
    cr_assert_eq(record_birth(record), BIRTH_MAX);
    draft.birth = 1;
    record_fill(record, &draft, 0, false, RECORD_MARK_REAPED);
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
    draft.created_at = -5;
    draft.last_active_at = INT64_MAX;
    record_fill(record, &draft, 0, false, 0);
    record_view_life(record, &plain, record_active(record), &out);
    cr_assert_eq(out.created_at, 0);
    cr_assert_eq(out.last_active_at, (INT64_C(1) << 48) - 1);
    free(record);
}
