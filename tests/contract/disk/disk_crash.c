/* What the simulated disk does at a crash and with faults: what was synced is there, what was not is kept, lost or torn
 * and each of these comes about. Exits 1 at the first sentence that does not hold. */
#include "base/check.h"
#include "disk/sim_disk.h"

#include <stdio.h>

#define SEEDS 2000

static struct disk_file *open_as(struct sim_disk *sim, const char *name, enum disk_mode mode) {
    struct disk *disk = sim_disk_of(sim);
    struct disk_file *file = NULL;
    CHECK(disk->open(disk->context, name, mode, &file) == DISK_OK);
    return file;
}

static enum disk_error write_byte(struct sim_disk *sim, struct disk_file *file, uint64_t at, size_t size, int byte) {
    static uint8_t bytes[4096];
    memset(bytes, byte, size);
    return sim_disk_of(sim)->write(file, at, bytes_of(bytes, size));
}

/* How many of `size` bytes at that place are `byte`; what is behind the end is not. */
static size_t count_byte(struct sim_disk *sim, const char *name, uint64_t at, size_t size, int byte) {
    struct buf content = BUF_EMPTY;
    size_t count = 0;
    CHECK(sim_disk_get(sim, name, &content));
    for (uint64_t i = at; i < at + size && i < content.size; i++) count += content.data[i] == byte;
    buf_fini(&content);
    return count;
}

static bool is_there(struct sim_disk *sim, const char *name) {
    struct buf content = BUF_EMPTY;
    bool is_found = sim_disk_get(sim, name, &content);
    buf_fini(&content);
    return is_found;
}

static void what_was_synced_is_there_and_the_rest_by_chance(void) {
    unsigned kept = 0, lost = 0, torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *sim = sim_disk_open();
        struct disk *disk = sim_disk_of(sim);
        struct prng prng = prng_of(seed);
        struct disk_file *file = open_as(sim, "a", DISK_MAKE);
        CHECK(write_byte(sim, file, 0, 1000, 'x') == DISK_OK);
        CHECK(disk->sync(file) == DISK_OK && disk->sync_directory(disk->context) == DISK_OK);
        CHECK(write_byte(sim, file, 1000, 3000, 'y') == DISK_OK);
        CHECK(count_byte(sim, "a", 1000, 3000, 'y') == 3000);
        sim_disk_crash(sim, &prng);
        CHECK(count_byte(sim, "a", 0, 1000, 'x') == 1000);
        size_t left = count_byte(sim, "a", 1000, 3000, 'y');
        kept += left == 3000;
        lost += left == 0;
        torn += left > 0 && left < 3000;
        CHECK(write_byte(sim, file, 0, 1, 'z') == DISK_FAILED); /* the file that was open is dead */
        disk->close(file);
        file = open_as(sim, "a", DISK_WRITE);
        CHECK(write_byte(sim, file, 0, 1, 'z') == DISK_OK);
        disk->close(file);
        sim_disk_close(sim);
    }
    CHECK(kept > SEEDS / 10 && lost > SEEDS / 10 && torn > SEEDS / 10);
}

static void names_last_once_their_directory_is_synced(void) {
    unsigned kept = 0, lost = 0, moved = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *sim = sim_disk_open();
        struct disk *disk = sim_disk_of(sim);
        struct prng prng = prng_of(seed);
        sim_disk_put(sim, "old", bytes_of_string("old"));
        struct disk_file *file = open_as(sim, "safe", DISK_MAKE);
        CHECK(disk->sync(file) == DISK_OK && disk->sync_directory(disk->context) == DISK_OK);
        disk->close(file);
        file = open_as(sim, "new", DISK_MAKE);
        CHECK(disk->sync(file) == DISK_OK);
        disk->close(file);
        CHECK(disk->rename(disk->context, "safe", "there") == DISK_OK);
        CHECK(disk->remove(disk->context, "old") == DISK_OK);
        sim_disk_crash(sim, &prng);
        CHECK(is_there(sim, "safe") != is_there(sim, "there"));
        kept += is_there(sim, "new");
        lost += is_there(sim, "old");
        moved += is_there(sim, "there");
        sim_disk_close(sim);
    }
    CHECK(kept > SEEDS / 10 && kept < SEEDS && lost > SEEDS / 10 && lost < SEEDS && moved > SEEDS / 10 &&
          moved < SEEDS);
}

static void after_a_failed_sync_nothing_of_before_is_safe(void) {
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *sim = sim_disk_open();
        struct disk *disk = sim_disk_of(sim);
        struct prng prng = prng_of(seed);
        struct disk_file *file = open_as(sim, "a", DISK_MAKE);
        CHECK(disk->sync_directory(disk->context) == DISK_OK);
        CHECK(write_byte(sim, file, 0, 100, 'x') == DISK_OK);
        sim_disk_fail(sim, SIM_SYNC, 1, false, DISK_FAILED);
        CHECK(disk->sync(file) == DISK_FAILED);
        CHECK(write_byte(sim, file, 100, 100, 'y') == DISK_OK);
        CHECK(disk->sync(file) == DISK_OK);
        sim_disk_crash(sim, &prng);
        lost += count_byte(sim, "a", 0, 100, 'x') < 100;
        CHECK(count_byte(sim, "a", 100, 100, 'y') == 100);
        disk->close(file);
        sim_disk_close(sim);
    }
    CHECK(lost > SEEDS / 10);
}

static void write_while_it_syncs(void *context, enum sim_call call, const char *name) {
    struct sim_disk *sim = context;
    if (call != SIM_SYNC) return;
    sim_disk_set_hook(sim, NULL, NULL);
    struct disk_file *file = open_as(sim, name, DISK_WRITE);
    CHECK(write_byte(sim, file, 100, 100, 'y') == DISK_OK);
    sim_disk_of(sim)->close(file);
}

static void a_sync_does_not_cover_what_is_written_while_it_runs(void) {
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *sim = sim_disk_open();
        struct disk *disk = sim_disk_of(sim);
        struct prng prng = prng_of(seed);
        struct disk_file *file = open_as(sim, "a", DISK_MAKE);
        CHECK(disk->sync_directory(disk->context) == DISK_OK);
        CHECK(write_byte(sim, file, 0, 100, 'x') == DISK_OK);
        sim_disk_set_hook(sim, write_while_it_syncs, sim);
        CHECK(disk->sync(file) == DISK_OK);
        sim_disk_crash(sim, &prng);
        CHECK(count_byte(sim, "a", 0, 100, 'x') == 100);
        lost += count_byte(sim, "a", 100, 100, 'y') < 100;
        disk->close(file);
        sim_disk_close(sim);
    }
    CHECK(lost > SEEDS / 10);
}

static void a_killed_process_loses_nothing(void) {
    struct sim_disk *sim = sim_disk_open();
    struct disk_file *file = open_as(sim, "a", DISK_MAKE);
    CHECK(write_byte(sim, file, 0, 100, 'x') == DISK_OK);
    sim_disk_kill(sim);
    CHECK(write_byte(sim, file, 0, 100, 'y') == DISK_FAILED);
    CHECK(count_byte(sim, "a", 0, 100, 'x') == 100);
    sim_disk_close(sim); /* with a file that nobody closed */
}

static void the_nth_call_fails_once_or_for_ever(void) {
    struct sim_disk *sim = sim_disk_open();
    struct disk *disk = sim_disk_of(sim);
    struct disk_file *file = open_as(sim, "a", DISK_MAKE);
    sim_disk_fail(sim, SIM_WRITE, 2, false, DISK_FULL);
    CHECK(write_byte(sim, file, 0, 100, 'x') == DISK_OK);
    CHECK(write_byte(sim, file, 100, 100, 'x') == DISK_FULL);
    CHECK(count_byte(sim, "a", 0, 200, 'x') < 200);
    CHECK(write_byte(sim, file, 100, 100, 'x') == DISK_OK);
    sim_disk_fail(sim, SIM_SYNC, 1, true, DISK_FAILED);
    for (int i = 0; i < 3; i++) CHECK(disk->sync(file) == DISK_FAILED);
    sim_disk_heal(sim);
    CHECK(disk->sync(file) == DISK_OK);
    CHECK(sim_disk_calls(sim, SIM_SYNC) == 4 && sim_disk_calls(sim, SIM_WRITE) == 3);
    disk->close(file);
    sim_disk_close(sim);
}

static void a_stopped_disk_does_nothing_any_more(void) {
    struct sim_disk *sim = sim_disk_open();
    struct disk *disk = sim_disk_of(sim);
    struct disk_file *file = open_as(sim, "a", DISK_MAKE);
    sim_disk_stop_after(sim, 2);
    CHECK(write_byte(sim, file, 0, 10, 'x') == DISK_OK && write_byte(sim, file, 10, 10, 'x') == DISK_OK);
    CHECK(write_byte(sim, file, 20, 10, 'x') == DISK_FAILED && disk->sync(file) == DISK_FAILED);
    CHECK(disk->rename(disk->context, "a", "b") == DISK_FAILED);
    CHECK(count_byte(sim, "a", 0, 30, 'x') == 20);
    disk->close(file);
    sim_disk_close(sim);
}

static void a_seed_gives_the_same_crash_again(void) {
    struct buf first = BUF_EMPTY, second = BUF_EMPTY;
    for (int round = 0; round < 2; round++) {
        struct sim_disk *sim = sim_disk_open();
        struct prng prng = prng_of(7);
        struct disk_file *file = open_as(sim, "a", DISK_MAKE);
        sim_disk_of(sim)->sync_directory(sim_disk_of(sim)->context);
        for (int i = 0; i < 20; i++) CHECK(write_byte(sim, file, (uint64_t)i * 1000, 1000, 'a' + i) == DISK_OK);
        sim_disk_crash(sim, &prng);
        struct sim_disk *copy = sim_disk_copy(sim);
        CHECK(sim_disk_get(copy, "a", round ? &second : &first));
        sim_disk_close(copy);
        sim_disk_close(sim);
    }
    CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    buf_fini(&first);
    buf_fini(&second);
}

int main(void) {
    what_was_synced_is_there_and_the_rest_by_chance();
    names_last_once_their_directory_is_synced();
    after_a_failed_sync_nothing_of_before_is_safe();
    a_sync_does_not_cover_what_is_written_while_it_runs();
    a_killed_process_loses_nothing();
    the_nth_call_fails_once_or_for_ever();
    a_stopped_disk_does_nothing_any_more();
    a_seed_gives_the_same_crash_again();
    printf("8 sentences hold of the simulated disk\n");
    return 0;
}
