/* Drafts: defaults, caps and deadlines under a policy. */
#include "op/draft.h"

#include <criterion/criterion.h>

enum { NOW = 1000000 };

static const struct policy capping = {.idle_timeout_ms = 500,
                                      .absolute_timeout_ms = 0,
                                      .max_idle_timeout_ms = 800,
                                      .max_absolute_timeout_ms = 5000,
                                      .abandon_timeout_ms = 70};

static struct session begun(const struct policy *policy) {
    struct session draft;
    struct update_input input = {.policy = policy, .now_ms = NOW};
    draft_begin(&draft, &input, BYTES_LITERAL("a"));
    return draft;
}

Test(draft, begins_now_with_the_defaults_of_the_namespace_and_an_empty_map) {
    struct session draft = begun(&capping);
    cr_expect_eq(draft.created_at, NOW);
    cr_expect_eq(draft.last_active_at, NOW);
    cr_expect_eq(draft.idle_timeout_ms, 500);
    cr_expect_eq(draft.abandon_timeout_ms, 70);
    cr_expect_eq(draft.status, STATUS_ACTIVE);
    cr_expect(bytes_equal(draft.data, BYTES_LITERAL("\x80")));
}

Test(draft, takes_the_cap_where_the_default_is_none_or_longer) {
    cr_expect_eq(begun(&capping).absolute_timeout_ms, 5000);
    struct policy longer = capping;
    longer.idle_timeout_ms = 900;
    cr_expect_eq(begun(&longer).idle_timeout_ms, 800);
}

Test(draft, caps_timeouts_that_are_none_or_longer_and_leaves_shorter_ones) {
    struct session draft = begun(&capping);
    struct timeouts timeouts = {.given = TIMEOUTS_IDLE_TIMEOUT_MS | TIMEOUTS_ABSOLUTE_TIMEOUT_MS};
    draft_set_timeouts(&draft, &capping, &timeouts);
    cr_expect_eq(draft.idle_timeout_ms, 800);
    cr_expect_eq(draft.absolute_timeout_ms, 5000);
    timeouts.idle_timeout_ms = 801, timeouts.absolute_timeout_ms = 4999;
    draft_set_timeouts(&draft, &capping, &timeouts);
    cr_expect_eq(draft.idle_timeout_ms, 800);
    cr_expect_eq(draft.absolute_timeout_ms, 4999);
    timeouts.idle_timeout_ms = 799;
    draft_set_timeouts(&draft, &capping, &timeouts);
    cr_expect_eq(draft.idle_timeout_ms, 799);
}

Test(draft, goes_back_to_the_default_for_nil_and_keeps_what_is_not_given) {
    struct session draft = begun(&capping);
    draft.idle_timeout_ms = 1, draft.abandon_timeout_ms = 2;
    struct timeouts timeouts = {.given = TIMEOUTS_IDLE_TIMEOUT_MS, .nil = TIMEOUTS_IDLE_TIMEOUT_MS};
    draft_set_timeouts(&draft, &capping, &timeouts);
    cr_expect_eq(draft.idle_timeout_ms, 500);
    cr_expect_eq(draft.abandon_timeout_ms, 2);
}

Test(draft, cuts_an_absolute_deadline_to_the_cap_after_created_at) {
    struct session draft = begun(&capping);
    draft.created_at = NOW - 1000;
    draft_set_absolute_expires_at(&draft, &capping, NOW + 4001);
    cr_expect_eq(draft.absolute_expires_at, NOW + 4000);
    draft_set_absolute_expires_at(&draft, &capping, NOW + 3999);
    cr_expect_eq(draft.absolute_expires_at, NOW + 3999);
    draft_set_absolute_expires_at(&draft, &capping, 0);
    cr_expect_eq(draft.absolute_expires_at, 0);
    cr_expect_eq(draft.absolute_timeout_ms, 5000);
}

Test(draft, is_never_touched_backwards) {
    struct session draft = begun(&capping);
    draft_touch(&draft, NOW - 1);
    cr_expect_eq(draft.last_active_at, NOW);
    draft_touch(&draft, NOW + 1);
    cr_expect_eq(draft.last_active_at, NOW + 1);
}

Test(moment, is_on_the_servers_clock_and_never_zero) {
    struct request request = {.clock_offset_ms = 250};
    cr_expect_eq(moment_of(&request, 1000), 1250);
    cr_expect_eq(moment_of(&request, -250), 1);
    cr_expect_eq(moment_of(&request, -62135596800000), 1);
    cr_expect_eq(moment_of(&request, MOMENT_MAX_MS), MOMENT_MAX_MS);
}
