/* The load generator's reply scanners: a reply ends where it ends, whatever stands behind it and however few bytes of
 * it are there yet, and what it hands out lies within it. The first byte of the input chooses the driver. */
#include "driver.h"

#include "base/mp.h"
#include "fuzz/target.h"

static const uint8_t id[KEY_ID_BYTES + 1] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
static const struct driver_setup setups[] = {
    {.namespace_name = "web", .value_bytes = 32, .echo_reply_bytes = 7},
    {.namespace_name = "web", .value_bytes = 64, .is_data_only = true, .echo_reply_bytes = 100},
};

static void check_reply(struct bytes bytes, size_t size, const struct reply *reply) {
    REQUIRE(reply->kind == REPLY_DONE || reply->kind == REPLY_VALUE || reply->kind == REPLY_MISS ||
            reply->kind == REPLY_ERROR);
    if (reply->kind != REPLY_VALUE && reply->kind != REPLY_ERROR) return;
    REQUIRE(reply->value.data >= bytes.data && reply->value.data + reply->value.size <= bytes.data + size);
}

/* The first bytes of a reply are no reply, and nothing behind it changes it. Looks from memory of just that size. */
static void check_cut(const struct driver *driver, const struct driver_setup *setup, struct bytes bytes, size_t size) {
    struct reply whole = {0}, part = {0};
    uint8_t *alone = malloc(size);
    if (!alone) abort();
    memcpy(alone, bytes.data, size);
    REQUIRE(driver->scan(setup, bytes_of(alone, size), &whole) == (long)size);
    check_reply(bytes_of(alone, size), size, &whole);
    for (size_t cut = 0; cut < size; cut += 1 + cut / 16)
        REQUIRE(driver->scan(setup, bytes_of(alone, cut), &part) == SCAN_MORE);
    REQUIRE(driver->scan(setup, bytes_of(alone, size - 1), &part) == SCAN_MORE);
    if (whole.kind == REPLY_VALUE) driver->check(setup, &whole, id);
    free(alone);
}

/* A reply in the form that our server writes is whole where the project's own cursor says so. */
static void check_against_cursor(struct bytes bytes, long size) {
    struct mp_cursor cursor = mp_cursor_of(bytes);
    if (bytes.size < 3 || bytes.data[0] != 0x94 || bytes.data[1] != 1) return;
    if (bytes.data[2] > 0xce || (bytes.data[2] > 0x7f && bytes.data[2] < 0xcc)) return;
    size_t whole = mp_read_value(&cursor, MP_DEPTH_MAX).size;
    if (cursor.error == MP_OK) REQUIRE(size == (long)whole);
    if (cursor.error == MP_TRUNCATED) REQUIRE(size == SCAN_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct driver *const drivers[] = {&driver_sessiond, &driver_redis, &driver_memcached, &driver_echo};
    if (size < 1) return 0;
    const struct driver *driver = drivers[data[0] % 4];
    const struct driver_setup *setup = &setups[data[0] / 4 % 2];
    struct bytes rest = bytes_of(data + 1, size - 1);
    for (unsigned replies = 0; replies < 100; replies++) {
        struct reply reply = {0};
        long scanned = driver->scan(setup, rest, &reply);
        REQUIRE(scanned >= SCAN_MALFORMED && scanned <= (long)rest.size);
        if (driver == &driver_sessiond) check_against_cursor(rest, scanned);
        if (scanned <= 0) break;
        check_reply(rest, (size_t)scanned, &reply);
        check_cut(driver, setup, rest, (size_t)scanned);
        rest = bytes_of(rest.data + scanned, rest.size - (size_t)scanned);
    }
    return 0;
}
