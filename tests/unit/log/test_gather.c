/* How long a sync waits for writers: gather.h. */
#include "log/gather.h"

#include <criterion/criterion.h>

Test(gather, a_first_sync_waits_for_nobody) {
    struct gather gather = {0};
    cr_expect_not(gather_waits(&gather, 0));
    cr_expect_not(gather_waits(&gather, 300));
}

Test(gather, a_single_writer_never_waits) {
    struct gather gather = {0};
    for (int i = 0; i < 100; i++) {
        cr_expect_not(gather_waits(&gather, 300));
        gather_ended(&gather, 300, 0, false);
    }
}

Test(gather, two_groups_become_one) {
    struct gather gather = {0};
    gather_ended(&gather, 3000, 2000, false); /* 2000 came while the sync ran, and 3000 were let go by it */
    cr_expect(gather_waits(&gather, 2000));
    cr_expect(gather_waits(&gather, 4300));
    cr_expect_not(gather_waits(&gather, 4400), "seven eighths are enough");
    gather_ended(&gather, 5000, 0, false);
    cr_expect(gather_waits(&gather, 300));
    cr_expect_not(gather_waits(&gather, 5000));
}

Test(gather, with_nothing_written_there_is_nothing_to_wait_with) {
    struct gather gather = {0};
    gather_ended(&gather, 5000, 0, false);
    cr_expect_not(gather_waits(&gather, 0));
}

Test(gather, who_waits_in_vain_leaves_it_off_ever_longer_and_begins_anew_when_it_pays) {
    struct gather gather = {0};
    unsigned waits = 0, rounds = 10000;
    for (unsigned i = 0; i < rounds; i++) {
        bool is_waiting = gather_waits(&gather, 100);
        waits += is_waiting;
        gather_ended(&gather, 100, 900, is_waiting); /* the 100 never come back so soon */
    }
    cr_expect_lt(waits, rounds / GATHER_PAUSE_MAX + 12, "%u of %u", waits, rounds);
    while (gather.pauses > 0) gather_ended(&gather, 100, 900, false);
    cr_expect(gather_waits(&gather, 100));
    gather_ended(&gather, 1000, 0, false); /* they came */
    cr_expect(gather_waits(&gather, 100), "it waits again at once");
}
