/* Recovery where it has to change something, or where keys, clocks and disks are not what they should be. */
#include "log/reader.h"
#include "unit/log/recovery_case.h"

TestSuite(recovery_fix, .init = begin, .fini = end);

/* ---------------------------------------------------------------- repair */

/* Three segments, with the second one damaged behind number 4. */
static void put_damaged(const struct seal_keys *with) {
    struct file_writer writer;
    uint64_t number = 1, previous = 0;
    for (uint64_t i = 1; i <= 3; i++) {
        file_writer_begin(&writer, FILE_LOG, i, NOW - 1000, with);
        for (unsigned k = 0; k < 3; k++, number++) file_writer_effects(&writer, number, number);
        writer.header.previous_bytes = writer.header.previous_synced = previous;
        previous = writer.bytes.size;
        file_writer_put(&writer, sim, 0);
    }
    flip(TWO, FILE_HEADER_BYTES + (FRAME + (with ? STREAM_OVERHEAD_BYTES : 0)) + 7);
}

Test(recovery_fix, repairing_keeps_a_copy_and_what_is_whole_and_the_next_start_is_in_order) {
    for (unsigned is_sealed = 0; is_sealed < 2; is_sealed++) {
        struct recovery_options options = {.keys = is_sealed ? &keys : NULL};
        struct buf before = BUF_EMPTY, copy = BUF_EMPTY;
        put_damaged(options.keys);
        cr_assert(sim_disk_get(sim, TWO, &before));
        expect_refused(options, (const char *const[]){TWO, "damaged", NULL});
        options.is_repair = true;
        struct attempt result = attempt_run(sim, options);
        cr_assert(result.is_good, "%s", result.error);
        cr_expect_eq(result.prefix, -1, "5 and 6 are given up, 7 to 9 are kept");
        cr_expect_eq(result.report.counts.effects, 7u);
        cr_expect_gt(result.report.damaged_bytes, 2u * FRAME - 1);
        cr_expect(strstr(result.report.note, TWO) && strstr(result.report.note, "given up"));
        cr_assert(sim_disk_get(sim, is_sealed ? TWO ".damaged.1" : TWO ".damaged", &copy));
        cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&copy)));
        options.is_repair = false;
        result = attempt_run(sim, options);
        cr_assert(result.is_good, "%s", result.error);
        cr_expect_eq(result.report.counts.effects, 7u);
        cr_expect_str_empty(result.report.note);
        buf_fini(&before);
        buf_fini(&copy);
    }
}

Test(recovery_fix, repairing_replaces_a_file_that_has_lost_its_header) {
    put_damaged(NULL);
    flip(TWO, 60);
    struct attempt result = attempt_repair();
    cr_assert(result.is_good, "%s", result.error);
    cr_expect_eq(result.report.counts.effects, 6u);
    result = attempt();
    cr_assert(result.is_good, "%s", result.error);
    cr_expect_eq(result.report.counts.effects, 6u);
    cr_expect_eq(result.report.start.next_number, 4u);
}

Test(recovery_fix, repairing_ends_a_damaged_snapshot_where_it_is_whole) {
    struct file_writer writer;
    snapshot(&writer, 2, 4);
    put_ended(&writer);
    segment(&writer, 2, 5, 5);
    put_ended(&writer);
    flip(SNAPSHOT_TWO, AT(2) + 1);
    struct attempt result = attempt_repair();
    cr_assert(result.is_good, "%s", result.error);
    cr_expect_eq(result.report.counts.effects, 3u);
    cr_expect(is_there(SNAPSHOT_TWO ".damaged"));
    result = attempt();
    cr_assert(result.is_good, "%s", result.error);
    cr_expect_eq(result.report.counts.effects, 3u);
}

Test(recovery_fix, repairing_takes_away_what_stands_behind_an_end) {
    struct file_writer writer;
    segment(&writer, 1, 1, 2);
    end_frame(&writer);
    file_writer_effects(&writer, 3, 3);
    file_writer_put(&writer, sim, 0);
    expect_good(attempt_repair(), 2);
    struct attempt result = attempt();
    expect_good(result, 2);
    cr_expect(result.report.is_clean);
}

Test(recovery_fix, repairing_what_is_in_order_changes_nothing) {
    struct file_writer writer;
    segment(&writer, 1, 1, 4);
    put_ended(&writer);
    uint64_t before = disk_sum(sim);
    expect_good(attempt_repair(), 4);
    cr_expect_eq(disk_sum(sim), before);
}

/* ---------------------------------------------------------------- keys */

Test(recovery_fix, sealed_files_are_read_with_their_key_alone) {
    struct seal_keys other = keys;
    struct file_writer writer;
    other.keys[0][0] ^= 1;
    file_writer_begin(&writer, FILE_LOG, 1, NOW, &keys);
    file_writer_effects(&writer, 1, 2);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 2, 3, 4);
    put_ended(&writer);
    expect_good(attempt_run(sim, (struct recovery_options){.keys = &keys}), 4);
    EXPECT_REFUSED(ONE, "encrypted", "add the key");
    expect_refused((struct recovery_options){.keys = &other, .is_repair = true},
                   (const char *const[]){ONE, "encrypted", NULL});
}

Test(recovery_fix, a_sealed_frame_that_another_hand_wrote_is_damage) {
    struct file_writer writer;
    file_writer_begin(&writer, FILE_LOG, 1, NOW, &keys);
    file_writer_effects(&writer, 1, 2);
    writer.header.is_sealed = false; /* a frame with a right checksum that did not go through the stream */
    file_writer_effects(&writer, 3, 6);
    writer.header.is_sealed = true;
    file_writer_put(&writer, sim, 0);
    expect_refused((struct recovery_options){.keys = &keys}, (const char *const[]){ONE, "another hand", NULL});
}

/* ---------------------------------------------------------------- clocks */

static struct attempt attempt_at(int64_t wall_ms, bool accepts_clock) {
    sim_disk_set_wall_ms(sim, wall_ms);
    return attempt_run(sim, (struct recovery_options){.accepts_clock = accepts_clock, .is_read_only = true});
}

Test(recovery_fix, the_servers_clock_goes_on_by_the_wall_time_that_passed_and_never_backwards) {
    struct file_writer writer;
    file(&writer, FILE_LOG, 1);
    writer.header.server_ms = NOW + 5000; /* five seconds before the wall clock */
    writer.header.wall_ms = NOW;
    writer.server_ms = NOW + 5999;
    file_writer_effects(&writer, 1, 1); /* one second later */
    file_writer_put(&writer, sim, 0);
    struct attempt result = attempt_at(NOW + 60000, false);
    expect_good(result, 1);
    cr_expect_eq(result.report.server_ms, NOW + 65000);
    cr_expect_eq(result.report.down_ms, 59000);
    result = attempt_at(NOW + 500, false);
    cr_expect_eq(result.report.server_ms, NOW + 6000, "the last sign of life");
    cr_expect_eq(result.report.down_ms, 0);
    result = attempt_at(NOW - 3600000, false);
    cr_expect(result.is_good && result.report.server_ms == NOW + 6000);
    result = attempt_at(NOW + 10 * DAY_MS, false);
    cr_expect(result.is_good && result.report.server_ms == NOW + 5000 + 10 * DAY_MS, "it was down for ten days");
}

Test(recovery_fix, a_clock_that_is_more_than_a_day_behind_has_to_be_accepted_once) {
    struct file_writer writer;
    const int64_t wall_ms = NOW - 3 * DAY_MS;
    segment(&writer, 1, 1, 1);
    file_writer_put(&writer, sim, 0);
    cr_expect(attempt_at(NOW - DAY_MS + 60000, false).is_good);
    struct attempt result = attempt_at(wall_ms, false);
    cr_expect_not(result.is_good);
    cr_expect(strstr(result.error, "--accept-clock"));
    result = attempt_at(wall_ms, true);
    cr_expect(result.is_good && result.report.server_ms == NOW - 999);

    /* What the server that was started so has written says which clocks belong together from then on. */
    file(&writer, FILE_LOG, 2);
    writer.header.previous_bytes = AT(1);
    writer.header.server_ms = result.report.server_ms;
    writer.header.wall_ms = wall_ms;
    file_writer_put(&writer, sim, 0);
    result = attempt_at(wall_ms + 7000, false);
    expect_good(result, 1);
    cr_expect_eq(result.report.server_ms, NOW - 999 + 7000);
}

/* ---------------------------------------------------------------- disks */

Test(recovery_fix, whoever_only_looks_changes_nothing) {
    struct file_writer writer;
    segment(&writer, 1, 1, 4);
    buf_cut(&writer.bytes, AT(4) - 8);
    file_writer_put(&writer, sim, 500);
    sim_disk_put(sim, "snapshot-0000000000000004.part", BYTES_LITERAL("unfinished"));
    uint64_t before = disk_sum(sim);
    struct attempt result = attempt_run(sim, (struct recovery_options){.is_read_only = true});
    expect_good(result, 3);
    cr_expect_gt(result.report.cut_bytes, 0u);
    cr_expect_eq(disk_sum(sim), before);
}

Test(recovery_fix, what_was_recovered_is_safe_also_where_the_last_server_had_not_synced_it) {
    struct disk *disk = sim_disk_of(sim);
    struct file_writer writer;
    struct disk_file *out;
    struct prng prng = prng_of(3);
    segment(&writer, 1, 1, 9);
    file_header_write(&writer.header, writer.bytes.data);
    cr_assert_eq(disk->open(disk->context, ONE, DISK_MAKE, &out), DISK_OK);
    cr_assert_eq(disk->write(out, 0, buf_bytes(&writer.bytes)), DISK_OK);
    cr_assert_eq(disk->sync_directory(disk->context), DISK_OK);
    disk->close(out);
    buf_fini(&writer.bytes);
    sim_disk_kill(sim); /* the machine goes on, and a server starts on it */
    for (unsigned i = 0; i < 20; i++) {
        expect_good(attempt(), 9);
        sim_disk_crash(sim, &prng);
        sim_disk_set_wall_ms(sim, NOW);
    }
}

/* A segment of nine frames of so many numbers, of which three are synced, and the sync of the rest has failed. */
static void put_forsaken(uint64_t numbers) {
    struct disk *disk = sim_disk_of(sim);
    struct file_writer writer;
    struct disk_file *out;
    file(&writer, FILE_LOG, 1);
    for (uint64_t i = 0; i < 3; i++) file_writer_effects(&writer, i * numbers + 1, (i + 1) * numbers);
    size_t synced = writer.bytes.size;
    file_writer_synced(&writer);
    for (uint64_t i = 3; i < 9; i++) file_writer_effects(&writer, i * numbers + 1, (i + 1) * numbers);
    cr_assert_eq(disk->open(disk->context, ONE, DISK_MAKE, &out), DISK_OK);
    cr_assert_eq(disk->write(out, 0, bytes_of(writer.bytes.data, synced)), DISK_OK);
    cr_assert_eq(disk->sync(out), DISK_OK);
    cr_assert_eq(disk->sync_directory(disk->context), DISK_OK);
    struct bytes rest = bytes_of(writer.bytes.data + synced, writer.bytes.size - synced);
    cr_assert_eq(disk->write(out, synced, rest), DISK_OK);
    sim_disk_fail(sim, SIM_SYNC, 1, false, DISK_FAILED);
    cr_assert_eq(disk->sync(out), DISK_FAILED);
    disk->close(out);
    buf_fini(&writer.bytes);
}

/* A system that could not write something may think of it as written from then on: a reader still finds it, and a
 * further sync has nothing to do. */
Test(recovery_fix, what_a_failed_sync_has_left_in_memory_alone_is_written_once_more) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct prng prng = prng_of(seed);
        end();
        begin();
        put_forsaken(1);
        sim_disk_kill(sim);
        expect_good(attempt(), 9);
        sim_disk_crash(sim, &prng);
        sim_disk_set_wall_ms(sim, NOW);
        expect_good(attempt(), 9);
    }
}

/* The same in several pieces of the reader's, which has the system forget those that are synced: the simulated disk
 * ends the test where one is forgotten that is not. */
Test(recovery_fix, what_a_failed_sync_has_left_in_memory_alone_is_not_forgotten_while_it_is_read) {
    enum { NUMBERS = 22000 };
    struct prng prng = prng_of(1);
    put_forsaken(NUMBERS);
    sim_disk_kill(sim);
    cr_assert_gt(size_of(ONE), READER_PIECE_BYTES * 3 / 2);
    expect_good(attempt(), 9 * NUMBERS);
    sim_disk_crash(sim, &prng);
    sim_disk_set_wall_ms(sim, NOW);
    expect_good(attempt(), 9 * NUMBERS);
}

/* Of two segments that go, a power cut in between must not bring back the later one alone: it would stand behind a gap.
 */
Test(recovery_fix, segments_that_go_leave_no_gap_whichever_removals_a_power_cut_undoes) {
    static const uint8_t zeros[4096];
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct prng prng = prng_of(seed);
        struct file_writer writer;
        end();
        begin();
        segment(&writer, 1, 1, 9);
        file_writer_put(&writer, sim, 0);
        sim_disk_put(sim, TWO, bytes_of(zeros, sizeof zeros));
        sim_disk_put(sim, THREE, bytes_of(zeros, 0));
        sim_disk_stop_after(sim, prng_below(&prng, 40));
        attempt();
        sim_disk_crash(sim, &prng);
        sim_disk_set_wall_ms(sim, NOW);
        expect_good(attempt(), 9);
    }
}

/* A directory where there is something to cut, to remove, to put away and to repair. */
static void put_everything(void) {
    struct file_writer writer;
    snapshot(&writer, 1, 1);
    put_ended(&writer);
    snapshot(&writer, 2, 2);
    put_ended(&writer);
    snapshot(&writer, 3, 2);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 1, 1, 2);
    put_ended(&writer);
    segment(&writer, 2, 3, 4);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 3, 5, 6);
    writer.header.previous_bytes = AT(2);
    file_writer_put(&writer, sim, 0);
    segment(&writer, 4, 7, 8);
    writer.header.previous_bytes = AT(3);
    file_writer_put(&writer, sim, 100);
    sim_disk_put(sim, "log-0000000000000005", BYTES_LITERAL(""));
    sim_disk_put(sim, "log-0000000000000006.part", BYTES_LITERAL("unfinished"));
}

Test(recovery_fix, a_power_cut_at_any_moment_of_it_leaves_what_recovers_to_the_same) {
    struct sim_disk *original = sim;
    put_everything();
    struct prng prng;
    unsigned rounds = 0;
    for (uint64_t calls = 0; calls < 500; calls++) {
        sim = sim_disk_copy(original);
        sim_disk_set_wall_ms(sim, NOW);
        prng = prng_of(calls);
        sim_disk_stop_after(sim, calls);
        struct attempt result = attempt();
        rounds += !result.is_good;
        sim_disk_crash(sim, &prng);
        sim_disk_heal(sim);
        bool was_good = result.is_good;
        result = attempt();
        expect_good(result, 6);
        cr_expect_eq(result.report.start.snapshot_number, 2u);
        cr_expect_eq(result.report.start.next_number, 4u);
        cr_expect(is_there(SNAPSHOT_THREE ".damaged"));
        sim_disk_close(sim);
        if (was_good) break;
    }
    cr_expect_gt(rounds, 40u, "it was cut %u times", rounds);
    sim = original;
}

Test(recovery_fix, a_disk_that_fails_at_any_call_is_told_and_loses_nothing) {
    struct sim_disk *original = sim;
    put_everything();
    unsigned failures = 0;
    for (unsigned call = 0; call < SIM_CALL_COUNT; call++) {
        for (uint64_t nth = 1; nth < 200; nth++) {
            sim = sim_disk_copy(original);
            sim_disk_set_wall_ms(sim, NOW);
            sim_disk_fail(sim, (enum sim_call)call, nth, false, DISK_FAILED);
            struct attempt result = attempt();
            bool was_good = result.is_good;
            if (!was_good) cr_expect_gt(strlen(result.error), 20u);
            failures += !was_good;
            sim_disk_heal(sim);
            expect_good(attempt(), 6);
            sim_disk_close(sim);
            if (was_good) break;
        }
    }
    cr_expect_gt(failures, 40u, "%u calls failed", failures);
    sim = original;
}
