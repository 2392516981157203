#include "ledger.h"

#include <criterion/criterion.h>

Test(ledger, deals_every_entry_to_exactly_one_worker) {
    struct ledger ledger;
    cr_assert(ledger_init(&ledger, 100));
    for (uint64_t ordinal = 0; ordinal < 3; ordinal++) {
        struct ledger_share share;
        cr_assert(ledger_share_init(&share, &ledger, 3, ordinal));
        cr_expect_eq(share.out_count, ordinal == 0 ? 34 : 33);
        while (!ledger_share_is_empty(&share)) {
            uint64_t index = ledger_take_out(&share);
            cr_expect_eq(index % 3, ordinal);
            cr_expect_eq(ledger.entries[index].state, ENTRY_CHANGING);
            ledger_change(&share, index, BYTES_LITERAL("token"));
        }
        ledger_share_fini(&share);
    }
    for (unsigned i = 0; i < 100; i++) {
        cr_expect_eq(ledger.entries[i].state, ENTRY_IN);
        cr_expect(memcmp(ledger.entries[i].subject, "token", 5) == 0);
    }
    ledger_fini(&ledger);
}

/* A share of `count` entries that are all in. */
static void fill(struct ledger *ledger, struct ledger_share *share, uint64_t count) {
    cr_assert(ledger_init(ledger, count));
    for (uint64_t i = 0; i < count; i++) ledger->entries[i].state = ENTRY_IN;
    cr_assert(ledger_share_init(share, ledger, 1, 0));
}

Test(ledger, gives_nobody_a_session_that_is_being_changed) {
    struct ledger ledger;
    struct ledger_share share;
    fill(&ledger, &share, 64);
    uint64_t changing = ledger_take_alone(&share, 5);
    cr_expect_eq(changing, 5);
    cr_expect_eq(ledger_take_shared(&share, 5), 6);
    cr_expect_eq(ledger_take_shared(&share, 6), 6, "two may look at one session");
    cr_expect_eq(ledger_take_alone(&share, 6), 7, "but it is not changed meanwhile");
    ledger_keep(&share, 6);
    cr_expect_eq(ledger_take_alone(&share, 6), 8);
    ledger_keep(&share, 6);
    cr_expect_eq(ledger_take_alone(&share, 6), 6);
    ledger_leave(&share, 5);
    cr_expect_eq(share.out_count, 1);
    cr_expect_neq(ledger_take_shared(&share, 5), 5, "it is out");
    cr_expect_eq(ledger_take_out(&share), 5);
    ledger_share_fini(&share);
    ledger_fini(&ledger);
}

Test(ledger, always_finds_one_where_there_are_as_many_as_it_says) {
    struct ledger ledger;
    struct ledger_share share;
    for (uint64_t in_flight = 1; in_flight < 200; in_flight += 7) {
        fill(&ledger, &share, ledger_share_needs(in_flight));
        while (!ledger_share_is_full(&share)) ledger_leave(&share, ledger_take_alone(&share, 0));
        for (uint64_t i = 0; i < in_flight; i++) ledger_take_alone(&share, 0);
        ledger_share_fini(&share);
        ledger_fini(&ledger);
    }
}
