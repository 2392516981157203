/* The bytes of headers, frames and names: what is written is read, and whatever is changed is noticed. */
#include "log/format.h"

#include <criterion/criterion.h>

static struct file_header some_header(void) {
    struct file_header header = {.format = FILE_FORMAT,
                                 .kind = FILE_SNAPSHOT,
                                 .number = 77,
                                 .server_ms = -5,
                                 .wall_ms = 1763750000123,
                                 .version = UINT64_C(0x1122334455667788),
                                 .previous_bytes = 4097,
                                 .previous_synced = 4096,
                                 .is_sealed = true};
    for (unsigned i = 0; i < sizeof header.store_id; i++) header.store_id[i] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < sizeof header.key_id; i++) header.key_id[i] = (uint8_t)(i + 40);
    for (unsigned i = 0; i < sizeof header.stream_header; i++) header.stream_header[i] = (uint8_t)(i + 60);
    return header;
}

Test(format, reads_the_header_that_was_written) {
    uint8_t out[FILE_HEADER_BYTES];
    struct file_header header = some_header(), back;
    file_header_write(&header, out);
    cr_assert_eq(file_header_read(out, &back), HEADER_WHOLE);
    cr_expect_eq(back.kind, FILE_SNAPSHOT);
    cr_expect_eq(back.number, 77u);
    cr_expect_eq(back.server_ms, -5);
    cr_expect_eq(back.wall_ms, 1763750000123);
    cr_expect_eq(back.version, UINT64_C(0x1122334455667788));
    cr_expect_eq(back.previous_bytes, 4097u);
    cr_expect_eq(back.previous_synced, 4096u);
    cr_expect(back.is_sealed);
    cr_expect_eq(memcmp(back.store_id, header.store_id, sizeof back.store_id), 0);
    cr_expect_eq(memcmp(back.key_id, header.key_id, sizeof back.key_id), 0);
    cr_expect_eq(memcmp(back.stream_header, header.stream_header, sizeof back.stream_header), 0);
}

Test(format, a_plain_header_says_nothing_of_a_key) {
    uint8_t out[FILE_HEADER_BYTES];
    struct file_header header = some_header(), back;
    header.is_sealed = false;
    header.kind = FILE_LOG;
    file_header_write(&header, out);
    cr_assert_eq(file_header_read(out, &back), HEADER_WHOLE);
    cr_expect_eq(back.kind, FILE_LOG);
    cr_expect_not(back.is_sealed);
    cr_expect_eq(back.key_id[0], 0);
}

Test(format, no_changed_bit_of_a_header_is_read) {
    uint8_t out[FILE_HEADER_BYTES];
    struct file_header header = some_header(), back;
    file_header_write(&header, out);
    for (unsigned bit = 0; bit < 8 * FILE_HEADER_BYTES; bit++) {
        out[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum header_state state = file_header_read(out, &back), expected = HEADER_DAMAGED;
        if (bit < 64) expected = HEADER_FOREIGN;
        if (bit > 64 && bit < 96) expected = HEADER_NEWER; /* a format is greater than 1 by each bit but its own */
        cr_expect_eq(state, expected, "bit %u is read as %d", bit, (int)state);
        out[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_expect_eq(file_header_read(out, &back), HEADER_WHOLE);
}

Test(format, a_newer_file_is_known_without_its_checksum) {
    uint8_t out[FILE_HEADER_BYTES];
    struct file_header header = some_header(), back;
    header.format = FILE_FORMAT + 1;
    file_header_write(&header, out);
    memset(out + 12, 0xee, FILE_HEADER_BYTES - 12);
    cr_expect_eq(file_header_read(out, &back), HEADER_NEWER);
    cr_expect_eq(back.format, FILE_FORMAT + 1u);
}

Test(format, no_changed_bit_of_a_frame_passes_nor_one_in_anothers_place) {
    uint8_t frame[FRAME_HEADER_BYTES + 21];
    struct bytes payload = bytes_of(frame + FRAME_HEADER_BYTES, 21);
    memset(frame, 0x5a, sizeof frame);
    struct frame_header header = {.size = 21, .kind = FRAME_EFFECTS, .synced = 128, .server_ms = 9, .version = 10},
                        back;
    frame_header_write(&header, 3, 128, payload, frame);
    frame_header_read(frame, &back);
    cr_expect(frame_is_whole(&back, 3, 128, payload));
    cr_expect_eq(back.size, 21u);
    cr_expect_eq(back.kind, (uint32_t)FRAME_EFFECTS);
    cr_expect_eq(back.synced, 128u);
    cr_expect_eq(back.server_ms, 9);
    cr_expect_eq(back.version, 10u);
    cr_expect_not(frame_is_whole(&back, 4, 128, payload));
    cr_expect_not(frame_is_whole(&back, 3, 129, payload));
    cr_expect_not(frame_is_whole(&back, 128, 3, payload));
    for (unsigned bit = 0; bit < 8 * sizeof frame; bit++) {
        frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
        frame_header_read(frame, &back);
        cr_expect_not(frame_is_whole(&back, 3, 128, payload), "bit %u", bit);
        frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* The figures are the format: another release, or another machine, has to come to the same ones. */
Test(format, has_the_checksums_that_it_had) {
    uint8_t out[FILE_HEADER_BYTES], frame[FRAME_HEADER_BYTES];
    struct file_header header = some_header();
    struct frame_header mark = {.kind = FRAME_MARK, .synced = 4096, .server_ms = 1, .version = 2};
    file_header_write(&header, out);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 8; i++) sum |= (uint64_t)out[FILE_HEADER_BYTES - 8 + i] << (8 * i);
    cr_expect_eq(sum, UINT64_C(0x9ba9de6bf20ae6c3), "%llx", (unsigned long long)sum);
    frame_header_write(&mark, 5, 4096, BYTES_ABSENT, frame);
    cr_expect_eq(mark.checksum, UINT64_C(0xae84ed70d3e6f3ea), "%llx", (unsigned long long)mark.checksum);
}

Test(format, names_files_by_kind_and_number) {
    char name[DISK_NAME_MAX + 1];
    enum file_kind kind;
    uint64_t number;
    file_name_write(FILE_LOG, 1, name);
    cr_expect_str_eq(name, "log-0000000000000001");
    cr_expect(file_name_read(name, &kind, &number) && kind == FILE_LOG && number == 1);
    file_name_write(FILE_SNAPSHOT, 1234567890123456, name);
    cr_expect_str_eq(name, "snapshot-1234567890123456");
    cr_expect(file_name_read(name, &kind, &number) && kind == FILE_SNAPSHOT && number == 1234567890123456);
}

Test(format, other_names_are_none_of_its_files) {
    const char *const names[] = {"",
                                 "log-",
                                 "log-1",
                                 "log-0000000000000000",
                                 "log-00000000000000001",
                                 "log-000000000000000x",
                                 "log-0000000000000001.part",
                                 "snapshot-0000000000000001.damaged",
                                 "keys",
                                 "lock",
                                 "Log-0000000000000001",
                                 "log--000000000000001"};
    enum file_kind kind;
    uint64_t number;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_not(file_name_read(names[i], &kind, &number), "%s", names[i]);
}
