#include "measure.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

Test(machine, tells_what_neither_the_server_nor_we_used) {
    uint64_t ticks_a_second = (uint64_t)sysconf(_SC_CLK_TCK);
    struct machine_sample before = {.at_ns = 0, .busy_ticks = 1000, .steal_ticks = 7};
    /* Two seconds: all cores were busy for three, of which we know two and a half; the host took a tenth. */
    struct machine_sample after = {
        .at_ns = 2000000000, .busy_ticks = 1000 + 3 * ticks_a_second, .steal_ticks = 7 + ticks_a_second / 10};
    struct disturbance found = machine_disturbance(&before, &after, 2500000000);
    cr_expect_float_eq(found.foreign_share, 0.25, 1e-9);
    cr_expect_float_eq(found.steal_share, 0.05, 1e-9);
    cr_expect_eq(machine_disturbance(&before, &after, 3100000000).foreign_share, 0, "ticks are coarse: never below 0");
    cr_expect_eq(machine_disturbance(&before, &before, 0).foreign_share, 0, "no time has passed");
}

Test(machine, says_what_it_is_on_one_line) {
    char text[256], cores[32];
    machine_describe(text, sizeof text);
    snprintf(cores, sizeof cores, "%u cores, ", core_count());
    cr_expect_eq(strncmp(text, cores, strlen(cores)), 0, "%s", text);
    cr_expect(strstr(text, "Linux ") && !strchr(text, '\n'));
}

Test(machine, has_a_core_that_follows_each_and_none_but_its_own) {
    int first = core_next(-1), core = first;
    for (unsigned i = 1; i < core_count(); i++) {
        cr_expect_gt(core_next(core), core);
        core = core_next(core);
    }
    cr_expect_eq(core_next(core), first, "behind the last one comes the first");
    cr_assert(core_pin(first, first));
    cr_expect_eq(core_count(), 1);
    cr_expect_eq(core_next(first), first);
    cr_expect_not(core_avoid(first), "there is no other");
}
