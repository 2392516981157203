/* Recovery, sentence by sentence of its header: what is in order, what is torn, what is damaged. */
#include "unit/log/recovery_case.h"

TestSuite(recovery, .init = begin, .fini = end);

/* ---------------------------------------------------------------- what is in order */

Test(recovery, an_empty_directory_is_a_new_one) {
    const uint8_t zeros[STORE_ID_BYTES] = {0};
    struct attempt result = attempt();
    expect_good(result, 0);
    cr_expect_eq(result.report.start.next_number, 1u);
    cr_expect_eq(result.report.start.previous_bytes, 0u);
    cr_expect_eq(result.report.server_ms, NOW);
    cr_expect_not(result.report.is_clean);
    cr_expect(memcmp(result.report.start.store_id, zeros, sizeof zeros) != 0, "it has a store id of its own");
}

Test(recovery, segments_are_read_in_their_order_up_to_the_end_frame) {
    struct file_writer writer;
    segment(&writer, 1, 1, 3);
    uint64_t size = writer.bytes.size;
    file_writer_put(&writer, sim, 0);
    segment(&writer, 2, 4, 5);
    writer.header.previous_bytes = size;
    put_ended(&writer);
    struct attempt result = attempt();
    expect_good(result, 5);
    cr_expect(result.report.is_clean);
    cr_expect_eq(result.report.cut_bytes, 0u);
    cr_expect_str_empty(result.report.note);
    cr_expect_eq(result.report.start.next_number, 3u);
    cr_expect_eq(result.report.start.version, 5u);
    cr_expect_eq(result.report.start.previous_bytes, size_of(TWO));
    cr_expect_eq(result.report.start.log_bytes, size_of(ONE) + size_of(TWO));
    cr_expect_eq(memcmp(result.report.start.store_id, "sixteen of store", STORE_ID_BYTES), 0);
    cr_expect_eq(result.report.files, 2u);
}

Test(recovery, zeros_behind_the_frames_are_allocated_space_and_go_without_a_word) {
    struct file_writer writer;
    segment(&writer, 1, 1, 4);
    file_writer_put(&writer, sim, 100000);
    struct attempt result = attempt();
    expect_good(result, 4);
    cr_expect_eq(result.report.cut_bytes, 0u);
    cr_expect_not(result.report.is_clean);
    cr_expect_eq(size_of(ONE), (size_t)AT(4));
    expect_good(attempt(), 4);
}

Test(recovery, what_was_made_ahead_and_never_begun_goes) {
    struct file_writer writer;
    uint8_t zeros[3000] = {0};
    segment(&writer, 1, 1, 4);
    put_ended(&writer);
    sim_disk_put(sim, TWO, bytes_of(zeros, sizeof zeros));
    sim_disk_put(sim, THREE, bytes_of(zeros, 0));
    struct attempt result = attempt();
    expect_good(result, 4);
    cr_expect(result.report.is_clean);
    cr_expect_eq(result.report.start.next_number, 2u);
    cr_expect_not(is_there(TWO));
    cr_expect_not(is_there(THREE));
}

Test(recovery, frames_of_any_size_are_read) {
    struct file_writer writer;
    file(&writer, FILE_LOG, 1);
    file_writer_effects(&writer, 1, 1);
    for (uint64_t first = 2; first < 90000; first = 2 * first) file_writer_effects(&writer, first, 2 * first - 1);
    file_writer_put(&writer, sim, 5 << 20);
    struct buf bytes = BUF_EMPTY;
    cr_assert(sim_disk_get(sim, ONE, &bytes));
    cr_assert_gt(bytes.size, 6u << 20, "frames do not end where pieces do");
    buf_fini(&bytes);
    struct list_engine list;
    struct recovery_report report;
    char error[RECOVERY_ERROR_MAX];
    list_engine_open(&list);
    struct recovery_options options = {.disk = sim_disk_of(sim), .env = &files_env, .engine = &list.engine};
    cr_assert(recovery_run(&options, &report, error), "%s", error);
    cr_assert_eq(list_engine_count(&list), 131071u);
    for (uint64_t i = 0; i < 131071; i++)
        cr_assert_eq(memcmp(list.numbers.data + 8 * i, &(uint64_t){i + 1}, 8), 0, "at %lu", (unsigned long)i);
    list_engine_close(&list);
}

/* ---------------------------------------------------------------- torn tails */

Test(recovery, a_torn_last_frame_is_cut_and_told) {
    struct file_writer writer;
    segment(&writer, 1, 1, 4);
    buf_cut(&writer.bytes, AT(4) - 8);
    file_writer_put(&writer, sim, 500);
    struct attempt result = attempt();
    expect_good(result, 3);
    cr_expect_str_eq(result.report.cut_file, ONE);
    cr_expect_eq(result.report.cut_place, (uint64_t)AT(3));
    cr_expect_gt(result.report.cut_bytes, FRAME_HEADER_BYTES - 8);
    cr_expect_leq(result.report.cut_bytes, FRAME);
    cr_expect_eq(size_of(ONE), (size_t)AT(3));
    cr_expect_eq(result.report.start.previous_bytes, (uint64_t)AT(3));
    result = attempt();
    expect_good(result, 3);
    cr_expect_eq(result.report.cut_bytes, 0u, "it is cut once");
}

Test(recovery, what_stands_behind_a_lost_write_goes_with_it) {
    struct file_writer writer;
    segment(&writer, 1, 1, 6);
    memset(writer.bytes.data + AT(2), 0, FRAME);
    file_writer_put(&writer, sim, 100);
    struct attempt result = attempt();
    expect_good(result, 2);
    cr_expect_eq(result.report.cut_bytes, 4u * FRAME);
}

Test(recovery, a_torn_tail_reaches_through_the_segments_behind_it) {
    struct file_writer writer;
    segment(&writer, 1, 1, 3);
    buf_cut(&writer.bytes, AT(2));
    file_writer_put(&writer, sim, FRAME);
    segment(&writer, 2, 4, 5);
    writer.header.previous_bytes = AT(3);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 3, 6, 6);
    file_writer_put(&writer, sim, 0);
    struct attempt result = attempt();
    expect_good(result, 2);
    cr_expect_str_eq(result.report.cut_file, ONE);
    cr_expect_eq(result.report.cut_bytes, (uint64_t)(AT(2) + AT(1)));
    cr_expect_eq(result.report.start.next_number, 2u);
    cr_expect_not(is_there(TWO));
    cr_expect_not(is_there(THREE));
    expect_good(attempt(), 2);
}

Test(recovery, a_segment_whose_header_is_torn_was_never_safe) {
    struct file_writer writer;
    segment(&writer, 1, 1, 3);
    file_writer_put(&writer, sim, 0);
    for (size_t size = 1; size < FILE_HEADER_BYTES; size++) {
        struct sim_disk *copy = sim_disk_copy(sim);
        segment(&writer, 2, 4, 5);
        writer.header.previous_bytes = AT(3);
        uint8_t header[FILE_HEADER_BYTES + 64] = {0};
        uint8_t whole[FILE_HEADER_BYTES];
        file_header_write(&writer.header, whole);
        memcpy(header, whole, size);
        buf_fini(&writer.bytes);
        sim_disk_put(copy, TWO, bytes_of(header, sizeof header));
        struct attempt result = attempt_run(copy, (struct recovery_options){0});
        expect_good(result, 3);
        cr_expect_eq(result.report.start.next_number, 2u);
        sim_disk_close(copy);
    }
}

/* ---------------------------------------------------------------- damage */

Test(recovery, damage_below_a_mark_is_refused_with_its_place) {
    struct file_writer writer;
    segment(&writer, 1, 1, 4);
    file_writer_synced(&writer);
    file_writer_frame(&writer, FRAME_MARK, BYTES_ABSENT, 4);
    file_writer_put(&writer, sim, 1000);
    flip(ONE, AT(3) + 45);
    EXPECT_REFUSED(ONE, "damaged at byte 272 of", "--repair", "was safe");
    flip(ONE, AT(3) + 45);
    flip(ONE, AT(0) + 1); /* a length: where the next frame stands is found all the same */
    EXPECT_REFUSED("damaged at byte 128 of");
}

Test(recovery, damage_is_refused_where_a_later_segment_knows_better) {
    struct file_writer writer;
    segment(&writer, 1, 1, 4);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 2, 5, 5);
    writer.header.previous_bytes = writer.header.previous_synced = AT(4);
    file_writer_put(&writer, sim, 0);
    flip(ONE, AT(3) + 45);
    EXPECT_REFUSED(ONE, "272", TWO " says that it was safe");

    segment(&writer, 2, 5, 5);
    writer.header.previous_bytes = AT(4);
    file_writer_synced(&writer);
    file_writer_frame(&writer, FRAME_MARK, BYTES_ABSENT, 5);
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED(ONE, "272", TWO " says that it was safe");

    segment(&writer, 2, 5, 5);
    writer.header.previous_bytes = AT(4);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 3, 6, 6);
    writer.header.previous_synced = 1;
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED(ONE, "272", THREE " says that it was safe");
}

Test(recovery, frames_that_are_missing_at_a_segments_end_are_missed) {
    struct file_writer writer;
    segment(&writer, 1, 1, 3);
    file_writer_put(&writer, sim, 100);
    segment(&writer, 2, 5, 5);
    writer.header.previous_bytes = writer.header.previous_synced = AT(4);
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED(ONE, "frames are missing at its end", "272");
    segment(&writer, 2, 5, 5);
    writer.header.previous_bytes = AT(2);
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED(ONE, "longer than the next segment says");
}

Test(recovery, a_missing_segment_is_refused_by_name) {
    struct file_writer writer;
    for (uint64_t i = 1; i <= 3; i++) {
        segment(&writer, i, i, i);
        put_ended(&writer);
    }
    sim_disk_drop(sim, TWO);
    EXPECT_REFUSED(TWO " is missing", THREE);
    sim_disk_drop(sim, ONE);
    EXPECT_REFUSED(ONE " is missing");
}

Test(recovery, what_is_not_this_directorys_is_refused_whatever_else_there_is) {
    struct file_writer writer;
    segment(&writer, 1, 1, 2);
    put_ended(&writer);

    segment(&writer, 2, 3, 3);
    writer.header.store_id[0] ^= 1;
    put_ended(&writer);
    EXPECT_REFUSED(TWO, "another data directory");

    segment(&writer, 2, 3, 3);
    writer.header.format = FILE_FORMAT + 1;
    put_ended(&writer);
    EXPECT_REFUSED(TWO, "newer release");
    expect_refused((struct recovery_options){.is_repair = true}, (const char *const[]){"newer release", NULL});

    sim_disk_put(sim, TWO, BYTES_LITERAL("-----BEGIN CERTIFICATE-----"));
    EXPECT_REFUSED(TWO, "not written by sessiond");
    expect_refused((struct recovery_options){.is_repair = true}, (const char *const[]){"not written", NULL});

    segment(&writer, 3, 3, 3);
    writer.header.number = 2; /* written under that name, and renamed since */
    put_ended(&writer);
    struct buf bytes = BUF_EMPTY;
    cr_assert(sim_disk_get(sim, TWO, &bytes));
    sim_disk_put(sim, THREE, buf_bytes(&bytes));
    EXPECT_REFUSED(THREE, "another file before");
    buf_fini(&bytes);
}

Test(recovery, a_whole_frame_that_cannot_be_is_damage_also_at_the_end) {
    struct file_writer writer;
    segment(&writer, 1, 1, 2);
    file_writer_frame(&writer, 4, BYTES_LITERAL("from later"), 3);
    file_writer_put(&writer, sim, 10);
    EXPECT_REFUSED("does not know", "byte 224");

    segment(&writer, 1, 1, 2);
    end_frame(&writer);
    file_writer_effects(&writer, 3, 3);
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED("behind the frame that ends the file");

    segment(&writer, 1, 1, 2);
    end_frame(&writer);
    buf_append(&writer.bytes, "x", 1);
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED("behind the frame that ends the file");

    segment(&writer, 1, 1, 2);
    writer.synced = 1 << 20;
    file_writer_frame(&writer, FRAME_MARK, BYTES_ABSENT, 3);
    file_writer_put(&writer, sim, 0);
    EXPECT_REFUSED("what cannot be");
}

/* ---------------------------------------------------------------- engines */

Test(recovery, what_the_engine_does_not_take_is_refused_and_never_repaired) {
    struct file_writer writer;
    segment(&writer, 1, 1, 2);
    file_writer_frame(&writer, FRAME_EFFECTS, BYTES_LITERAL("no number"), 3);
    put_ended(&writer);
    EXPECT_REFUSED(ONE, "byte 224", "an effect is no number");
    expect_refused((struct recovery_options){.is_repair = true}, (const char *const[]){"no number", NULL});
}

Test(recovery, an_engine_that_cannot_begin_ends_it_before_anything_is_changed) {
    struct file_writer writer;
    segment(&writer, 1, 1, 2);
    file_writer_put(&writer, sim, 100);
    struct list_engine list;
    struct recovery_report report;
    char error[RECOVERY_ERROR_MAX];
    list_engine_open(&list);
    list.refusal_at_end = "there is not enough memory";
    uint64_t before = disk_sum(sim);
    struct recovery_options options = {.disk = sim_disk_of(sim), .env = &files_env, .engine = &list.engine};
    cr_expect_not(recovery_run(&options, &report, error));
    cr_expect(strstr(error, "not enough memory"));
    cr_expect_eq(disk_sum(sim), before);
    list_engine_close(&list);
}

/* ---------------------------------------------------------------- snapshots */

Test(recovery, the_newest_snapshot_stands_for_all_segments_before_its_number) {
    struct file_writer writer;
    snapshot(&writer, 2, 2);
    put_ended(&writer);
    snapshot(&writer, 3, 5);
    put_ended(&writer);
    segment(&writer, 2, 99, 99); /* covered, and not read */
    file_writer_put(&writer, sim, 0);
    segment(&writer, 3, 6, 7);
    put_ended(&writer);
    sim_disk_put(sim, "snapshot-0000000000000004.part", BYTES_LITERAL("unfinished"));
    sim_disk_put(sim, "keys", BYTES_LITERAL("somebody else's"));
    struct attempt result = attempt();
    expect_good(result, 7);
    cr_expect_eq(result.report.snapshot_number, 3u);
    cr_expect_eq(result.report.start.snapshot_number, 3u);
    cr_expect_eq(result.report.start.next_number, 4u);
    cr_expect_eq(result.report.start.log_bytes, size_of(THREE));
    cr_expect_not(is_there(SNAPSHOT_TWO));
    cr_expect_not(is_there(TWO));
    cr_expect_not(is_there("snapshot-0000000000000004.part"));
    cr_expect(is_there(SNAPSHOT_THREE) && is_there(THREE) && is_there("keys"));
}

Test(recovery, behind_a_snapshot_there_may_be_no_segment_yet) {
    struct file_writer writer;
    snapshot(&writer, 2, 2);
    put_ended(&writer);
    segment(&writer, 1, 1, 2);
    file_writer_put(&writer, sim, 0);
    struct attempt result = attempt();
    expect_good(result, 2);
    cr_expect_eq(result.report.start.next_number, 2u);
    cr_expect_eq(result.report.start.previous_bytes, 0u);
}

Test(recovery, without_the_snapshots_own_segment_the_next_one_is_not_read) {
    struct file_writer writer;
    snapshot(&writer, 2, 2);
    put_ended(&writer);
    segment(&writer, 3, 3, 3);
    put_ended(&writer);
    EXPECT_REFUSED(TWO " is missing");
}

Test(recovery, a_snapshot_that_is_not_whole_is_passed_over_where_the_log_before_it_is_kept) {
    struct file_writer writer;
    snapshot(&writer, 2, 2);
    put_ended(&writer);
    snapshot(&writer, 3, 4);
    file_writer_put(&writer, sim, 0); /* without its end */
    segment(&writer, 2, 3, 4);
    put_ended(&writer);
    segment(&writer, 3, 5, 5);
    put_ended(&writer);
    struct attempt result = attempt();
    expect_good(result, 5);
    cr_expect_eq(result.report.snapshot_number, 2u);
    cr_expect(strstr(result.report.note, SNAPSHOT_THREE) && strstr(result.report.note, "passed over"));
    cr_expect_not(is_there(SNAPSHOT_THREE));
    cr_expect(is_there(SNAPSHOT_THREE ".damaged"));
    result = attempt();
    expect_good(result, 5);
    cr_expect_str_empty(result.report.note, "it is told once");
}

Test(recovery, a_log_that_is_kept_from_its_beginning_needs_no_snapshot) {
    struct file_writer writer;
    snapshot(&writer, 2, 2);
    put_ended(&writer);
    segment(&writer, 1, 1, 2);
    put_ended(&writer);
    segment(&writer, 2, 3, 3);
    put_ended(&writer);
    flip(SNAPSHOT_TWO, AT(1));
    struct attempt result = attempt();
    expect_good(result, 3);
    cr_expect_eq(result.report.start.snapshot_number, 0u);
    cr_expect_eq(result.report.start.next_number, 3u);
}

Test(recovery, a_log_with_a_gap_replaces_no_snapshot) {
    struct file_writer writer;
    snapshot(&writer, 3, 4);
    put_ended(&writer);
    for (uint64_t i = 1; i <= 3; i += 2) {
        segment(&writer, i, i, i);
        put_ended(&writer);
    }
    flip(SNAPSHOT_THREE, AT(3) + 1);
    EXPECT_REFUSED(SNAPSHOT_THREE, "damaged at byte 272");
}

Test(recovery, a_damaged_snapshot_that_nothing_replaces_is_refused) {
    struct file_writer writer;
    snapshot(&writer, 2, 4);
    put_ended(&writer);
    segment(&writer, 2, 5, 5);
    put_ended(&writer);
    flip(SNAPSHOT_TWO, AT(3) + 1);
    EXPECT_REFUSED(SNAPSHOT_TWO, "damaged at byte 272");
    flip(SNAPSHOT_TWO, AT(3) + 1);
    flip(SNAPSHOT_TWO, 30);
    EXPECT_REFUSED(SNAPSHOT_TWO, "damaged at byte 0");
}
