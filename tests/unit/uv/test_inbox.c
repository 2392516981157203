/* The inbox: bounded, in order, and nothing lost between threads. */
#include "uv/inbox.h"

#include <criterion/criterion.h>
#include <uv.h>

static struct inbox inbox;

Test(inbox, hands_over_in_order_and_is_empty_then) {
    struct inbox_item item;
    cr_assert_not(inbox_take(&inbox, &item));
    for (int i = 0; i < 3; i++) cr_assert(inbox_put(&inbox, (struct inbox_item){i, i == 1, i == 2}));
    for (int i = 0; i < 3; i++) {
        cr_assert(inbox_take(&inbox, &item));
        cr_assert_eq(item.fd, i);
        cr_assert_eq(item.is_unix, i == 1);
        cr_assert_eq(item.is_replacing, i == 2);
    }
    cr_assert_not(inbox_take(&inbox, &item));
}

Test(inbox, refuses_when_full_and_takes_again_when_not) {
    struct inbox_item item;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < INBOX_MAX; i++) cr_assert(inbox_put(&inbox, (struct inbox_item){.fd = i}));
        cr_assert_not(inbox_put(&inbox, (struct inbox_item){.fd = -1}));
        for (int i = 0; i < INBOX_MAX; i++) {
            cr_assert(inbox_take(&inbox, &item));
            cr_assert_eq(item.fd, i);
        }
        cr_assert_not(inbox_take(&inbox, &item));
    }
}

#define PUTTERS 3
#define PUTS    20000

static void put_many(void *first) {
    for (int i = 0; i < PUTS; i++)
        while (!inbox_put(&inbox, (struct inbox_item){.fd = *(int *)first + i})) sched_yield();
}

Test(inbox, loses_and_doubles_nothing_between_threads) {
    static uint8_t seen[PUTTERS * PUTS];
    int firsts[PUTTERS], last[PUTTERS];
    uv_thread_t threads[PUTTERS];
    for (int i = 0; i < PUTTERS; i++) {
        firsts[i] = i * PUTS;
        last[i] = -1;
        cr_assert_eq(uv_thread_create(&threads[i], put_many, &firsts[i]), 0);
    }
    for (int taken = 0; taken < PUTTERS * PUTS;) {
        struct inbox_item item;
        if (!inbox_take(&inbox, &item)) {
            sched_yield();
            continue;
        }
        cr_assert(item.fd > last[item.fd / PUTS], "one putter's items keep their order");
        last[item.fd / PUTS] = item.fd;
        cr_assert_eq(seen[item.fd]++, 0);
        taken++;
    }
    for (int i = 0; i < PUTTERS; i++) uv_thread_join(&threads[i]);
}
