/* The ring of events. */
#include "base/prng.h"
#include "engine/memory/event_ring.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct slab slab;
static struct event_ring ring;
static struct event_place place;
static uint8_t buffer[EVENT_BUFFER];

static void setup(void) {
    slab_init(&slab);
    ring = (struct event_ring){0};
    place = (struct event_place){0};
}
static void teardown(void) {
    event_ring_clear(&ring, &slab);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0, "the ring gave all its memory back");
    slab_fini(&slab);
}
TestSuite(event_ring, .init = setup, .fini = teardown);

static struct event event_numbered(uint64_t number) {
    static uint8_t id[255];
    memset(id, 'a' + (int)(number % 26), sizeof(id));
    return (struct event){.kind = EVENT_UPDATED,
                          .namespace = BYTES_LITERAL("web"),
                          .id = bytes_of(id, 1 + number % 200),
                          .user = number % 2 ? BYTES_LITERAL("ann") : BYTES_ABSENT,
                          .reason = number % 3 ? BYTES_ABSENT : BYTES_LITERAL("why"),
                          .version = number,
                          .at = (int64_t)number * 7};
}

static void put(uint64_t number) {
    struct event event = event_numbered(number);
    event_ring_put(&ring, &event, NULL);
    event_ring_check(&ring);
}

/* Reads all there is; each must be the next one. Answers how many were missed. */
static uint64_t read_all(uint64_t *next) {
    uint64_t sum = 0, missed;
    while (place.position < ring.head.position) {
        size_t size = event_ring_copy(&ring, &place, ring.head.position, buffer, &missed);
        sum += missed;
        *next += missed;
        for (size_t at = 0; at < size; ++*next) {
            struct event event, expected = event_numbered(*next);
            struct event_after after;
            size_t entry_size = event_entry_read(buffer + at, &event, &after);
            cr_assert_eq(event.version, *next);
            cr_assert_eq(event.at, expected.at);
            cr_assert(event.kind == EVENT_UPDATED && !after.is_given);
            cr_assert(bytes_equal(event.namespace, expected.namespace) && bytes_equal(event.id, expected.id));
            cr_assert(bytes_equal(event.user, expected.user) && bytes_equal(event.reason, expected.reason));
            cr_assert(!event.client.data && !event.pool.data && !event.data.data);
            at += entry_size;
            place.position += entry_size;
            place.count++;
        }
    }
    return sum;
}

Test(event_ring, hands_out_what_was_put_in_its_order) {
    uint64_t next = 0;
    cr_assert(event_ring_resize(&ring, &slab, 0, EVENT_RING_SURE));
    for (uint64_t number = 0; number < 5000;) {
        for (unsigned i = 0; i < 10; i++) put(number++);
        cr_assert_eq(read_all(&next), 0);
        cr_assert_eq(next, number);
    }
}

Test(event_ring, tells_a_slow_reader_how_many_it_missed) {
    uint64_t next = 0;
    cr_assert(event_ring_resize(&ring, &slab, 0, EVENT_RING_SURE));
    for (uint64_t number = 0; number < 1000; number++) put(number);
    uint64_t missed = read_all(&next);
    cr_assert_eq(next, 1000);
    cr_assert(missed > 900 && missed < 1000);
}

Test(event_ring, keeps_what_it_holds_when_it_grows) {
    uint64_t next = 0, number = 0;
    cr_assert(event_ring_resize(&ring, &slab, 0, EVENT_RING_SURE));
    for (; number < 30; number++) put(number);
    cr_assert_eq(read_all(&next), 0);
    ring.read = place.position;
    for (uint32_t capacity = EVENT_RING_SURE; capacity <= EVENT_RING_MAX; capacity *= 2) {
        if (capacity > EVENT_RING_SURE) cr_assert(event_ring_resize(&ring, &slab, 0, capacity));
        event_ring_check(&ring);
        for (struct event event = event_numbered(number); event_ring_has_room(&ring, event_ring_size(&event));
             event = event_numbered(++number))
            event_ring_put(&ring, &event, NULL);
    }
    cr_assert_eq(read_all(&next), 0);
    cr_assert_eq(next, number);
}

Test(event_ring, counts_what_it_has_no_memory_for) {
    uint64_t next = 0, missed;
    for (uint64_t number = 0; number < 3; number++) put(number);
    cr_assert_eq(event_ring_copy(&ring, &place, ring.head.position, buffer, &missed), 0);
    cr_assert_eq(missed, 3);
    next = 3;
    cr_assert(event_ring_resize(&ring, &slab, 0, EVENT_RING_SURE));
    put(3);
    cr_assert_eq(read_all(&next), 0);
    cr_assert_eq(next, 4);
}

Test(event_ring, carries_data_and_what_an_event_comes_after) {
    static uint8_t data[9000];
    uint64_t missed;
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 31);
    struct event event = event_numbered(1), out;
    struct event_after after = {true, 77, 123456789}, out_after;
    cr_assert(event_ring_resize(&ring, &slab, 0, EVENT_ENTRY_MAX));
    put(0); /* so that the next one stands on both ends */
    event.data = bytes_of(data, sizeof(data));
    for (unsigned i = 0; i < 3; i++) {
        event_ring_put(&ring, &event, &after);
        event_ring_check(&ring);
        size_t size;
        for (place = ring.tail; place.position + event_ring_size(&event) < ring.head.position; place.count++) {
            event_ring_copy(&ring, &place, ring.head.position, buffer, &missed);
            place.position += event_entry_read(buffer, &out, &out_after);
        }
        size = event_ring_copy(&ring, &place, ring.head.position, buffer, &missed);
        cr_assert_eq(size, event_entry_read(buffer, &out, &out_after));
        cr_assert(bytes_equal(out.data, event.data));
        cr_assert(out_after.is_given && out_after.shard == 77 && out_after.position == 123456789);
    }
}

Test(event_ring, has_no_room_over_what_a_reader_has_not_passed) {
    cr_assert(event_ring_resize(&ring, &slab, 0, EVENT_RING_SURE));
    struct event event = event_numbered(5);
    size_t size = event_ring_size(&event), fits = EVENT_RING_SURE / size;
    for (size_t i = 0; i < fits; i++) {
        cr_assert(event_ring_has_room(&ring, size));
        event_ring_put(&ring, &event, NULL);
    }
    cr_assert_not(event_ring_has_room(&ring, size));
    ring.read = size;
    cr_assert(event_ring_has_room(&ring, size));
}
