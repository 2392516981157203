/* The scanners are fed every reply cut at every byte, in a block that ends where the bytes end, so that a sanitizer
 * sees any look beyond. */
#include "base/mp.h"
#include "driver.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct driver_setup setup_of(uint32_t value_bytes) {
    return (struct driver_setup){.namespace_name = "bench",
                                 .value_bytes = value_bytes,
                                 .idle_timeout_ms = 1800000,
                                 .pool = {.name = "proxies", .size = 10, .max_usage_count = 50, .strategy = "random"},
                                 .echo_request_bytes = 88,
                                 .echo_reply_bytes = 100};
}

static long scan_exactly(const struct driver *driver, const void *bytes, size_t size, struct reply *reply,
                         uint8_t **copy) {
    struct driver_setup setup = setup_of(300);
    *copy = malloc(size ? size : 1);
    memcpy(*copy, bytes, size);
    *reply = (struct reply){0};
    return driver->scan(&setup, bytes_of(*copy, size), reply);
}

/* Whole: so long, that kind and that value. Cut anywhere: more is needed. With something behind it: the same. */
static void expect_reply(const struct driver *driver, struct bytes whole, enum reply_kind kind, const char *value) {
    struct reply reply;
    uint8_t *copy;
    for (size_t cut = 0; cut < whole.size; cut++) {
        cr_expect_eq(scan_exactly(driver, whole.data, cut, &reply, &copy), SCAN_MORE, "%s cut at %zu: %.20s",
                     driver->name, cut, (const char *)whole.data);
        free(copy);
    }
    struct buf followed = BUF_EMPTY;
    buf_append(&followed, whole.data, whole.size);
    buf_append(&followed, whole.data, whole.size / 2);
    cr_expect_eq(scan_exactly(driver, followed.data, followed.size, &reply, &copy), (long)whole.size,
                 "%s, followed: %.20s", driver->name, (const char *)whole.data);
    cr_expect_eq(reply.kind, kind, "%s: %.20s is of kind %d", driver->name, (const char *)whole.data, reply.kind);
    if (value)
        cr_expect(bytes_equal(reply.value, bytes_of_string(value)), "%s: the value is '%.*s'", driver->name,
                  (int)reply.value.size, (const char *)reply.value.data);
    free(copy);
    buf_fini(&followed);
}

static void expect_malformed(const struct driver *driver, const char *bytes) {
    struct reply reply;
    uint8_t *copy;
    cr_expect_eq(scan_exactly(driver, bytes, strlen(bytes), &reply, &copy), SCAN_MALFORMED, "%s: %s", driver->name,
                 bytes);
    free(copy);
}

#define EXPECT(driver, text, kind, value) expect_reply(&driver, BYTES_LITERAL(text), kind, value)

Test(driver_redis, finds_the_end_of_every_reply_wherever_it_is_cut) {
    EXPECT(driver_redis, "+OK\r\n", REPLY_DONE, "OK");
    EXPECT(driver_redis, "$5\r\nhe\r\no\r\n", REPLY_VALUE, "he\r\no");
    EXPECT(driver_redis, "$0\r\n\r\n", REPLY_VALUE, "");
    EXPECT(driver_redis, "$-1\r\n", REPLY_MISS, NULL);
    EXPECT(driver_redis, ":1\r\n", REPLY_DONE, NULL);
    EXPECT(driver_redis, ":0\r\n", REPLY_MISS, NULL);
    EXPECT(driver_redis, "-ERR wrong\r\n", REPLY_ERROR, "ERR wrong");
    EXPECT(driver_redis, "*3\r\n$2\r\nhe\r\n:7\r\n$-1\r\n", REPLY_VALUE, "*3\r\n$2\r\nhe\r\n:7\r\n$-1\r\n");
    EXPECT(driver_redis, "*0\r\n", REPLY_VALUE, NULL);
    EXPECT(driver_redis, "*-1\r\n", REPLY_MISS, NULL);
}

Test(driver_redis, refuses_what_is_no_reply) {
    expect_malformed(&driver_redis, "$x\r\n");
    expect_malformed(&driver_redis, "$3\r\nabcd\r\n");
    expect_malformed(&driver_redis, "HTTP/1.1 400\r\n");
    expect_malformed(&driver_redis, "$99999999999999\r\n");
    expect_malformed(&driver_redis, "+OK\n");
    expect_malformed(&driver_redis, "*1\r\n*1\r\n:1\r\n");
    expect_malformed(&driver_redis, "*x\r\n");
}

Test(driver_memcached, finds_the_end_of_every_reply_wherever_it_is_cut) {
    EXPECT(driver_memcached, "VA 5\r\nhe\r\no\r\n", REPLY_VALUE, "he\r\no");
    EXPECT(driver_memcached, "VA 0 t30\r\n\r\n", REPLY_VALUE, "");
    EXPECT(driver_memcached, "HD\r\n", REPLY_DONE, NULL);
    EXPECT(driver_memcached, "EN\r\n", REPLY_MISS, NULL);
    EXPECT(driver_memcached, "NS\r\n", REPLY_MISS, NULL);
    EXPECT(driver_memcached, "NF\r\n", REPLY_MISS, NULL);
    EXPECT(driver_memcached, "SERVER_ERROR out of memory\r\n", REPLY_ERROR, "SERVER_ERROR out of memory");
    EXPECT(driver_memcached, "CLIENT_ERROR bad\r\n", REPLY_ERROR, "CLIENT_ERROR bad");
    EXPECT(driver_memcached, "ERROR\r\n", REPLY_ERROR, "ERROR");
}

Test(driver_memcached, refuses_what_is_no_reply) {
    expect_malformed(&driver_memcached, "VA x\r\n");
    expect_malformed(&driver_memcached, "VA 3\r\nabcd\r\n");
    expect_malformed(&driver_memcached, "+OK\r\n");
    expect_malformed(&driver_memcached, "HTTP/1.1 400\r\n");
}

static void begin_answer(struct buf *out, uint32_t number) {
    buf_clear(out);
    mp_write_array(out, 4);
    mp_write_uint(out, 1);
    mp_write_uint(out, number);
}

/* A value of every kind that MessagePack has, so that no head is skipped by the wrong length. */
static void write_every_head(struct buf *out) {
    static const uint8_t others[] = {
        0xcb, 0,   0,    0, 0,    0,    0,    0,    0,    0xca, 0,    0,    0,    0, 0xc7, 1,    5,   9,    0xc8,
        0,    1,   5,    9, 0xc9, 0,    0,    0,    1,    5,    9,    0xd4, 1,    1, 0xd5, 1,    1,   1,    0xd6,
        1,    1,   1,    1, 1,    0xd7, 1,    1,    1,    1,    1,    1,    1,    1, 1,    0xd8, 1,   1,    1,
        1,    1,   1,    1, 1,    1,    1,    1,    1,    1,    1,    1,    1,    1, 0xd9, 1,    'a', 0xda, 0,
        1,    'a', 0xdb, 0, 0,    0,    1,    'a',  0xc4, 1,    2,    0xc5, 0,    1, 2,    0xc6, 0,   0,    0,
        1,    2,   0xdc, 0, 1,    7,    0xdd, 0,    0,    0,    1,    7,    0xde, 0, 1,    7,    7,   0xdf, 0,
        0,    0,   1,    7, 7,    0xcc, 1,    0xcd, 1,    1,    0xce, 1,    1,    1, 1,    0xcf, 1,   1,    1,
        1,    1,   1,    1, 1,    0xd0, 1,    0xd1, 1,    1,    0xd2, 1,    1,    1, 1,    0xd3, 1,   1,    1,
        1,    1,   1,    1, 1,    0xc2, 0xc3, 0xc0, 0xff, 0x7f, 0x80, 0x90, 0xa0};
    mp_write_map(out, 1);
    mp_write_string(out, "all");
    mp_write_array(out, 36);
    buf_append(out, others, sizeof others);
}

Test(driver_sessiond, finds_the_end_of_every_reply_wherever_it_is_cut) {
    struct buf out = BUF_EMPTY;
    begin_answer(&out, 70000);
    mp_write_nil(&out), mp_write_nil(&out);
    expect_reply(&driver_sessiond, buf_bytes(&out), REPLY_MISS, NULL);
    begin_answer(&out, 3);
    mp_write_nil(&out), mp_write_bool(&out, true);
    expect_reply(&driver_sessiond, buf_bytes(&out), REPLY_DONE, NULL);
    begin_answer(&out, 200);
    mp_write_nil(&out), mp_write_bool(&out, false);
    expect_reply(&driver_sessiond, buf_bytes(&out), REPLY_MISS, NULL);
    begin_answer(&out, 300);
    mp_write_map(&out, 1), mp_write_string(&out, "code"), mp_write_string(&out, "GONE"), mp_write_nil(&out);
    expect_reply(&driver_sessiond, buf_bytes(&out), REPLY_ERROR,
                 "\x81\xa4"
                 "code\xa4GONE");
    begin_answer(&out, 4000000000u);
    mp_write_nil(&out), write_every_head(&out);
    expect_reply(&driver_sessiond, buf_bytes(&out), REPLY_VALUE, NULL);
    buf_fini(&out);
}

Test(driver_sessiond, agrees_with_the_cursor_about_a_value_of_every_kind) {
    struct buf out = BUF_EMPTY;
    write_every_head(&out);
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&out));
    cr_expect_eq(mp_read_value(&cursor, 8).size, out.size);
    cr_expect_eq(cursor.error, MP_OK);
    buf_fini(&out);
}

Test(driver_sessiond, reads_the_number_in_every_form) {
    static const uint32_t numbers[] = {0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX};
    struct buf out = BUF_EMPTY;
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct reply reply;
        uint8_t *copy;
        begin_answer(&out, numbers[i]);
        mp_write_nil(&out), mp_write_nil(&out);
        cr_expect_eq(scan_exactly(&driver_sessiond, out.data, out.size, &reply, &copy), (long)out.size);
        cr_expect_eq(reply.number, numbers[i]);
        free(copy);
    }
    buf_fini(&out);
}

Test(driver_sessiond, refuses_what_is_no_reply) {
    expect_malformed(&driver_sessiond, "HTTP/1.1 400\r\n");
    expect_malformed(&driver_sessiond, "\x94\x02\x01\xc0\xc0");
    expect_malformed(&driver_sessiond, "\x93\x01\x01\xc0\xc0");
    expect_malformed(&driver_sessiond, "\x94\x01\xa1zzz");
}

Test(driver_sessiond, never_looks_beyond_bytes_that_lie) {
    uint64_t state = 3;
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[24], *copy;
        struct reply reply;
        for (unsigned at = 0; at < sizeof bytes; at++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[at] = (uint8_t)(state >> 56);
        }
        memcpy(bytes, "\x94\x01\x05\xc0", 4);
        size_t size = 4 + state % (sizeof bytes - 4);
        long scanned = scan_exactly(&driver_sessiond, bytes, size, &reply, &copy);
        cr_assert(scanned <= (long)size);
        free(copy);
    }
}

/* ---- templates */

static const uint8_t token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ."
                               "0123456789012345678901234567890123456789abc";
static const uint8_t fresh[] = "ZYXWVUTSRQPONMLKJIHGFEDCBAzyxwvutsrqponmlkj."
                               "9876543210987654321098765432109876543210cba";

static struct bytes written(const struct driver *driver, const struct driver_setup *setup, enum request request,
                            const uint8_t *id, struct buf *out) {
    struct templates templates;
    cr_assert(templates_make(&templates, driver, setup));
    const struct template *template = &templates.of[request];
    buf_clear(out);
    uint8_t *room = buf_reserve(out, template->text.size);
    struct fill fill = {.id = id,
                        .subject = token,
                        .fresh = fresh,
                        .deadline_ms = 1767225601500,
                        .user = 0x1f,
                        .client = 0x20,
                        .use = 0x0102030405060708,
                        .number = 0x01020304};
    out->size = template_write(template, room, &fill);
    templates_fini(&templates);
    return buf_bytes(out);
}

static const uint8_t id[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq";

Test(driver_redis, asks_in_the_words_of_its_protocol) {
    struct buf out = BUF_EMPTY;
    struct driver_setup setup = setup_of(32);
    written(&driver_redis, &setup, REQUEST_GET_TOUCH, id, &out);
    cr_expect(bytes_equal(buf_bytes(&out), bytes_of_string("*4\r\n$5\r\nGETEX\r\n$43\r\n"
                                                           "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq\r\n"
                                                           "$2\r\nPX\r\n$7\r\n1800000\r\n")));
    setup.is_load_mortal = true;
    written(&driver_redis, &setup, REQUEST_LOAD, id, &out);
    cr_expect(bytes_equal(buf_bytes(&out), bytes_of_string("*5\r\n$3\r\nSET\r\n$43\r\n"
                                                           "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq\r\n"
                                                           "$32\r\nABCDEFGHIJKLMNOPxxxxxxxxxxxxxxxx\r\n"
                                                           "$4\r\nPXAT\r\n$13\r\n1767225601500\r\n")));
    buf_fini(&out);
}

Test(driver_memcached, asks_in_the_words_of_its_protocol) {
    struct buf out = BUF_EMPTY;
    struct driver_setup setup = setup_of(32);
    written(&driver_memcached, &setup, REQUEST_GET_TOUCH, id, &out);
    cr_expect(
        bytes_equal(buf_bytes(&out), bytes_of_string("mg ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq v T1800\r\n")));
    setup.is_load_mortal = true;
    written(&driver_memcached, &setup, REQUEST_LOAD, id, &out);
    cr_expect(
        bytes_equal(buf_bytes(&out), bytes_of_string("ms ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq 32 T1767225601\r\n"
                                                     "ABCDEFGHIJKLMNOPxxxxxxxxxxxxxxxx\r\n")));
    buf_fini(&out);
}

Test(driver_sessiond, sends_one_whole_value_for_every_request_and_size) {
    static const uint32_t sizes[] = {32, 36, 259, 260, 261, 262, 300, 65541, 65542, 65543, 70000};
    struct buf out = BUF_EMPTY;
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct driver_setup setup = setup_of(sizes[i]);
        setup.is_deadline_explicit = i % 2, setup.is_data_only = i % 3 == 0, setup.is_load_mortal = i % 4 == 0;
        for (unsigned request = 0; request < REQUEST_COUNT; request++) {
            struct mp_cursor cursor = mp_cursor_of(written(&driver_sessiond, &setup, (enum request)request, id, &out));
            cr_expect_eq(mp_read_value(&cursor, 16).size, out.size, "request %u, %u bytes", request, sizes[i]);
            cursor = mp_cursor_of(buf_bytes(&out));
            cr_expect_eq(mp_read_array(&cursor), 4);
            cr_expect_eq(mp_read_int(&cursor, 0, 0), 0);
            cr_expect_eq(mp_read_int(&cursor, 0, UINT32_MAX), 0x01020304);
            cr_expect_eq(cursor.error, MP_OK);
        }
    }
    buf_fini(&out);
}

Test(driver_sessiond, sends_data_of_exactly_the_size_that_was_asked_for) {
    struct buf out = BUF_EMPTY;
    for (uint32_t size = 32; size < 700; size++) {
        struct driver_setup setup = setup_of(size);
        struct mp_cursor cursor = mp_cursor_of(written(&driver_sessiond, &setup, REQUEST_SET, id, &out));
        mp_read_array(&cursor), mp_read_int(&cursor, 0, 0), mp_read_int(&cursor, 0, UINT32_MAX), mp_read_bytes(&cursor);
        cr_expect_eq(mp_read_array(&cursor), 3);
        mp_read_bytes(&cursor);
        cr_expect(bytes_equal(mp_read_bytes(&cursor), bytes_of(id, KEY_ID_BYTES)));
        cr_expect_eq(mp_read_value(&cursor, 4).size, size);
        cr_expect_eq(cursor.error, MP_OK);
    }
    buf_fini(&out);
}

/* The reply that a server would give to a get: the record with the data of the set. */
static void write_record(struct buf *out, const uint8_t *record_id, const uint8_t *data_id) {
    struct buf set = BUF_EMPTY;
    struct driver_setup setup = setup_of(300);
    struct mp_cursor cursor = mp_cursor_of(written(&driver_sessiond, &setup, REQUEST_SET, data_id, &set));
    mp_read_array(&cursor), mp_read_int(&cursor, 0, 0), mp_read_int(&cursor, 0, UINT32_MAX), mp_read_bytes(&cursor);
    mp_read_array(&cursor), mp_read_bytes(&cursor), mp_read_bytes(&cursor);
    struct bytes data = mp_read_value(&cursor, 4);
    begin_answer(out, 9);
    mp_write_nil(out);
    mp_write_map(out, 3);
    mp_write_string(out, "id"), mp_write_str(out, bytes_of(record_id, KEY_ID_BYTES));
    mp_write_string(out, "version"), mp_write_uint(out, 775736524800001);
    mp_write_string(out, "data"), mp_write_raw(out, data);
    buf_fini(&set);
}

static bool is_taken_for_right(struct buf *answer) {
    struct driver_setup setup = setup_of(300);
    struct reply reply;
    cr_assert_eq(driver_sessiond.scan(&setup, buf_bytes(answer), &reply), (long)answer->size);
    cr_assert_eq(reply.kind, REPLY_VALUE);
    return driver_sessiond.check(&setup, &reply, id);
}

Test(driver_sessiond, tells_the_right_session_from_any_other) {
    struct buf answer = BUF_EMPTY;
    uint8_t other[KEY_ID_BYTES];
    memcpy(other, id, sizeof other);
    write_record(&answer, id, id);
    cr_expect(is_taken_for_right(&answer));
    answer.data[answer.size - 1] ^= 1;
    cr_expect_not(is_taken_for_right(&answer), "the last byte of the data was changed");
    other[15] ^= 1;
    write_record(&answer, id, other);
    cr_expect_not(is_taken_for_right(&answer), "the data is another session's");
    other[15] ^= 1, other[42] ^= 1;
    write_record(&answer, other, id);
    cr_expect_not(is_taken_for_right(&answer), "the record has another id");
    buf_fini(&answer);
}

Test(driver_redis, tells_the_right_value_from_any_other) {
    struct driver_setup setup = setup_of(32);
    struct reply reply = {.value = BYTES_LITERAL("ABCDEFGHIJKLMNOPxxxxxxxxxxxxxxxx")};
    cr_expect(driver_redis.check(&setup, &reply, id));
    reply.value = BYTES_LITERAL("ABCDEFGHIJKLMNOQxxxxxxxxxxxxxxxx");
    cr_expect_not(driver_redis.check(&setup, &reply, id));
    reply.value = BYTES_LITERAL("ABCDEFGHIJKLMNOPxxxxxxxxyxxxxxxx");
    cr_expect_not(driver_redis.check(&setup, &reply, id));
    reply.value = BYTES_LITERAL("ABCDEFGHIJKLMNOPxxxxxxxxxxxxxxx");
    cr_expect_not(driver_redis.check(&setup, &reply, id));
}
