/* Streams of sealed messages, against libsodium's own beginning of one. */
#include "crypto/stream.h"

#include <criterion/criterion.h>
#include <sodium.h>

static uint8_t key[KEY_SIZE], header[STREAM_HEADER_BYTES];

static void begin(void) {
    cr_assert(cipher_open());
    for (unsigned i = 0; i < sizeof key; i++) key[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof header; i++) header[i] = (uint8_t)(200 - i);
}

TestSuite(stream, .init = begin);

Test(stream, opens_what_was_sealed_in_its_order) {
    struct stream writer, reader;
    const struct bytes plain[] = {BYTES_LITERAL("first"), BYTES_ABSENT, BYTES_LITERAL("third")};
    stream_begin(&writer, key, header);
    stream_begin(&reader, key, header);
    for (unsigned i = 0; i < 3; i++) {
        uint8_t sealed[64], opened[64];
        stream_seal(&writer, plain[i], BYTES_LITERAL("bound"), sealed);
        size_t size = plain[i].size + STREAM_OVERHEAD_BYTES;
        cr_assert(stream_open(&reader, bytes_of(sealed, size), BYTES_LITERAL("bound"), opened));
        cr_assert(plain[i].size == 0 || memcmp(opened, plain[i].data, plain[i].size) == 0);
    }
}

Test(stream, writes_what_libsodium_reads_and_reads_what_it_writes) {
    crypto_secretstream_xchacha20poly1305_state theirs;
    struct stream ours;
    uint8_t sealed[64], opened[64], made[STREAM_HEADER_BYTES];
    unsigned long long size;
    unsigned char tag;
    stream_begin(&ours, key, header);
    stream_seal(&ours, BYTES_LITERAL("text"), BYTES_LITERAL("b"), sealed);
    cr_assert_eq(crypto_secretstream_xchacha20poly1305_init_pull(&theirs, header, key), 0);
    cr_assert_eq(crypto_secretstream_xchacha20poly1305_pull(&theirs, opened, &size, &tag, sealed,
                                                            4 + STREAM_OVERHEAD_BYTES, (const uint8_t *)"b", 1),
                 0);
    cr_expect_eq(memcmp(opened, "text", 4), 0);
    cr_assert_eq(crypto_secretstream_xchacha20poly1305_init_push(&theirs, made, key), 0);
    crypto_secretstream_xchacha20poly1305_push(&theirs, sealed, NULL, (const uint8_t *)"back", 4, NULL, 0, 0);
    stream_begin(&ours, key, made);
    cr_assert(stream_open(&ours, bytes_of(sealed, 4 + STREAM_OVERHEAD_BYTES), BYTES_ABSENT, opened));
    cr_expect_eq(memcmp(opened, "back", 4), 0);
}

Test(stream, refuses_each_changed_bit_and_then_still_opens_the_right_one) {
    struct stream writer, reader;
    uint8_t sealed[5 + STREAM_OVERHEAD_BYTES], opened[8], bound[] = {1, 2, 3};
    stream_begin(&writer, key, header);
    stream_begin(&reader, key, header);
    stream_seal(&writer, BYTES_LITERAL("hello"), bytes_of(bound, sizeof bound), sealed);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect_not(stream_open(&reader, bytes_of(sealed, sizeof sealed), bytes_of(bound, sizeof bound), opened));
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_expect_not(stream_open(&reader, bytes_of(sealed, sizeof sealed), bytes_of(bound, 2), opened));
    cr_expect_not(stream_open(&reader, bytes_of(sealed, STREAM_OVERHEAD_BYTES - 1), BYTES_ABSENT, opened));
    cr_expect(stream_open(&reader, bytes_of(sealed, sizeof sealed), bytes_of(bound, sizeof bound), opened));
}

Test(stream, opens_no_message_in_anothers_place) {
    struct stream writer, reader;
    uint8_t first[1 + STREAM_OVERHEAD_BYTES], second[1 + STREAM_OVERHEAD_BYTES], opened[1];
    stream_begin(&writer, key, header);
    stream_begin(&reader, key, header);
    stream_seal(&writer, BYTES_LITERAL("1"), BYTES_ABSENT, first);
    stream_seal(&writer, BYTES_LITERAL("2"), BYTES_ABSENT, second);
    cr_expect_not(stream_open(&reader, bytes_of(second, sizeof second), BYTES_ABSENT, opened));
    cr_expect(stream_open(&reader, bytes_of(first, sizeof first), BYTES_ABSENT, opened));
    cr_expect_not(stream_open(&reader, bytes_of(first, sizeof first), BYTES_ABSENT, opened));
}

Test(stream, leaves_nothing_of_its_key_behind) {
    struct stream stream, zero;
    memset(&zero, 0, sizeof zero);
    stream_begin(&stream, key, header);
    stream_end(&stream);
    cr_expect_eq(memcmp(&stream, &zero, sizeof zero), 0);
}
