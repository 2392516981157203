/* Keys of encryption at rest, and frames that are sealed with them. */
#define _GNU_SOURCE /* memmem */
#include "log/seal.h"

#include <criterion/criterion.h>

#define DIGITS_A "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
#define DIGITS_B "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void count_bytes(void *context, void *out, size_t size) {
    uint8_t *next = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (*next)++;
}

static uint8_t drawn;
static const struct env env = {.context = &drawn, .random = count_bytes};

static void begin(void) {
    cr_assert(cipher_open());
}

TestSuite(seal, .init = begin);

Test(seal, reads_keys_line_by_line) {
    struct seal_keys keys;
    const char *why;
    cr_assert(seal_keys_read(BYTES_LITERAL("# new\n  " DIGITS_B "\r\n\n" DIGITS_A), &keys, &why));
    cr_expect_eq(keys.count, 2u);
    cr_expect_eq(keys.keys[0][0], 0xff);
    for (unsigned i = 0; i < SEAL_KEY_BYTES; i++) cr_expect_eq(keys.keys[1][i], i);
}

Test(seal, says_what_is_wrong_with_a_key_file_and_nothing_of_it) {
    const struct bytes texts[] = {BYTES_LITERAL(""), BYTES_LITERAL("# only words\n"), BYTES_LITERAL(DIGITS_A "0"),
                                  BYTES_LITERAL(DIGITS_A "\n" DIGITS_B "g"), BYTES_LITERAL(DIGITS_A " " DIGITS_B)};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct seal_keys keys;
        const char *why = NULL;
        cr_expect_not(seal_keys_read(texts[i], &keys, &why));
        cr_expect(why && !strstr(why, "0102"));
        cr_expect_eq(keys.count, 0u);
        cr_expect_eq(keys.keys[0][1], 0, "what was read is wiped");
    }
}

Test(seal, sixteen_keys_are_read_and_no_more) {
    struct buf text = BUF_EMPTY;
    struct seal_keys keys;
    const char *why;
    for (unsigned i = 0; i < SEAL_KEYS_MAX; i++) buf_append(&text, DIGITS_A "\n", 65);
    cr_expect(seal_keys_read(buf_bytes(&text), &keys, &why));
    buf_append(&text, DIGITS_A "\n", 65);
    cr_expect_not(seal_keys_read(buf_bytes(&text), &keys, &why));
    buf_fini(&text);
}

/* Writes one frame and reads it back with the keys of `reader`. */
static bool goes_through(const struct seal_keys *writer, const struct seal_keys *reader) {
    struct file_header header = {.format = FILE_FORMAT, .kind = FILE_LOG, .number = 9};
    struct stream out, in;
    struct buf file = BUF_EMPTY;
    struct frame_header frame = {.kind = FRAME_EFFECTS, .version = 4}, back;
    seal_begin(writer, &env, &header, &out);
    seal_append_frame(&file, writer ? &out : NULL, 9, FILE_HEADER_BYTES, &frame, BYTES_LITERAL("what is secret"));
    frame_header_read(file.data, &back);
    struct bytes payload = bytes_of(file.data + FRAME_HEADER_BYTES, file.size - FRAME_HEADER_BYTES);
    cr_assert(frame_is_whole(&back, 9, FILE_HEADER_BYTES, payload));
    cr_expect_eq(memmem(file.data, file.size, "secret", 6) == NULL, writer != NULL);
    uint8_t plain[64];
    bool is_read = seal_resume(reader, &header, &in);
    if (is_read && header.is_sealed) {
        is_read = seal_open_payload(&in, &back, payload, plain);
        if (is_read) cr_expect_eq(memcmp(plain, "what is secret", 14), 0);
        back.server_ms++;
        cr_expect_not(seal_open_payload(&in, &back, payload, plain));
    }
    buf_fini(&file);
    return is_read;
}

Test(seal, files_are_written_under_the_first_key_and_read_under_any) {
    struct seal_keys a, both, b;
    const char *why;
    cr_assert(seal_keys_read(BYTES_LITERAL(DIGITS_A), &a, &why));
    cr_assert(seal_keys_read(BYTES_LITERAL(DIGITS_B), &b, &why));
    cr_assert(seal_keys_read(BYTES_LITERAL(DIGITS_B "\n" DIGITS_A), &both, &why));
    cr_expect(goes_through(&a, &a));
    cr_expect(goes_through(&a, &both));
    cr_expect(goes_through(&both, &b));
    cr_expect_not(goes_through(&both, &a));
    cr_expect_not(goes_through(&a, &b));
    cr_expect_not(goes_through(&a, NULL));
    cr_expect(goes_through(NULL, NULL));
    cr_expect(goes_through(NULL, &a));
}
