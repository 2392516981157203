/* The server's clock: begins at the wall clock's time, and never goes back. */
#include "uv/clock.h"

#include <criterion/criterion.h>

Test(clock, begins_with_the_wall_clock) {
    struct clock clock;
    clock_open(&clock);
    int64_t wall_ms = clock_wall_ms(), now_ms = clock_now_ms(&clock);
    cr_assert(now_ms >= wall_ms - 2 && now_ms < wall_ms + 5000, "%ld is not near %ld", (long)now_ms, (long)wall_ms);
}

Test(clock, never_goes_back) {
    struct clock clock;
    clock_open(&clock);
    int64_t before = clock_now_ms(&clock);
    for (int i = 0; i < 1000000; i++) {
        int64_t now_ms = clock_now_ms(&clock);
        cr_assert_geq(now_ms, before);
        before = now_ms;
    }
}

Test(clock, goes_on_where_it_is_told_to) {
    struct clock clock;
    clock_open(&clock);
    int64_t there_ms = clock_now_ms(&clock) - 3600000;
    clock_continue(&clock, there_ms);
    int64_t now_ms = clock_now_ms(&clock);
    cr_assert(now_ms >= there_ms && now_ms < there_ms + 5000, "%ld is not near %ld", (long)now_ms, (long)there_ms);
}

Test(clock, has_no_offset_while_nobody_sets_the_wall_clock_and_tells_one_afterwards) {
    struct clock clock;
    clock_open(&clock);
    cr_assert_eq(clock_offset_ms(&clock), 0);
    clock.anchor_ms -= 3600000; /* as if the wall clock had been set an hour ahead since */
    int64_t offset_ms = clock_offset_ms(&clock);
    cr_assert(offset_ms >= -3600001 && offset_ms <= -3599900, "%ld", (long)offset_ms);
}
