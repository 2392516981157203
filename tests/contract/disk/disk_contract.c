/* What disk.h promises, shown on the real disk and on the simulated one: each sentence is a function that is given an
 * empty disk. Exits 1 at the first that does not hold. */
#include "base/check.h"
#include "disk/sim_disk.h"
#include "uv/disk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static struct disk_file *open_as(struct disk *disk, const char *name, enum disk_mode mode) {
    struct disk_file *file = NULL;
    CHECK(disk->open(disk->context, name, mode, &file) == DISK_OK && file);
    return file;
}

static bool is_there(struct disk *disk, const char *name) {
    struct disk_file *file;
    enum disk_error error = disk->open(disk->context, name, DISK_READ, &file);
    if (error == DISK_OK) disk->close(file);
    CHECK(error == DISK_OK || error == DISK_MISSING);
    return error == DISK_OK;
}

static void put(struct disk *disk, const char *name, const char *text) {
    struct disk_file *file = open_as(disk, name, DISK_MAKE);
    CHECK(disk->write(file, 0, bytes_of_string(text)) == DISK_OK);
    disk->close(file);
}

static bool holds(struct disk *disk, const char *name, const char *text) {
    char bytes[64];
    size_t got;
    struct disk_file *file = open_as(disk, name, DISK_READ);
    CHECK(disk->read(file, 0, bytes, sizeof bytes, &got) == DISK_OK);
    disk->close(file);
    return bytes_equal(bytes_of(bytes, got), bytes_of_string(text));
}

/* ---------------------------------------------------------------- sentences */

static void a_file_is_made_once_and_opened_where_it_is(struct disk *disk) {
    struct disk_file *file;
    CHECK(disk->open(disk->context, "a", DISK_READ, &file) == DISK_MISSING);
    CHECK(disk->open(disk->context, "a", DISK_WRITE, &file) == DISK_MISSING);
    put(disk, "a", "one");
    CHECK(disk->open(disk->context, "a", DISK_MAKE, &file) == DISK_EXISTS);
    CHECK(holds(disk, "a", "one"));
    CHECK(disk->why(disk->context) != NULL);
}

static void what_is_written_anywhere_is_read_there(struct disk *disk) {
    uint8_t bytes[16];
    size_t got;
    uint64_t size;
    struct disk_file *file = open_as(disk, "a", DISK_MAKE);
    CHECK(disk->write(file, 6, bytes_of_string("behind")) == DISK_OK);
    CHECK(disk->write(file, 0, bytes_of_string("front")) == DISK_OK);
    CHECK(disk->size(file, &size) == DISK_OK && size == 12);
    CHECK(disk->read(file, 0, bytes, sizeof bytes, &got) == DISK_OK && got == 12);
    CHECK(memcmp(bytes, "front\0behind", 12) == 0);
    CHECK(disk->read(file, 8, bytes, 2, &got) == DISK_OK && got == 2 && memcmp(bytes, "hi", 2) == 0);
    CHECK(disk->read(file, 12, bytes, sizeof bytes, &got) == DISK_OK && got == 0);
    CHECK(disk->read(file, 99, bytes, sizeof bytes, &got) == DISK_OK && got == 0);
    CHECK(disk->write(file, 5, (struct bytes){bytes, 0}) == DISK_OK); /* of nothing: nothing */
    CHECK(disk->sync(file) == DISK_OK);
    disk->close(file);
}

/* Large, over several syncs, and written over where it was synced. */
static void what_was_synced_is_read_as_it_was_written_last(struct disk *disk) {
    enum { PIECE = 1 << 20, PIECES = 13 };
    static uint8_t written[PIECE], read[PIECE];
    size_t got;
    struct disk_file *file = open_as(disk, "a", DISK_MAKE);
    for (unsigned i = 0; i < PIECES; i++) {
        memset(written, (int)i + 1, sizeof written);
        CHECK(disk->write(file, (uint64_t)i * PIECE + 1, bytes_of(written, sizeof written)) == DISK_OK);
        if (i % 3 == 2) CHECK(disk->sync(file) == DISK_OK);
    }
    CHECK(disk->write(file, 3 * PIECE + 1, bytes_of_string("once more")) == DISK_OK);
    CHECK(disk->sync(file) == DISK_OK);
    for (unsigned i = 0; i < PIECES; i++) {
        memset(written, (int)i + 1, sizeof written);
        if (i == 3) memcpy(written, "once more", 9);
        CHECK(disk->read(file, (uint64_t)i * PIECE + 1, read, sizeof read, &got) == DISK_OK && got == sizeof read);
        CHECK(memcmp(read, written, sizeof read) == 0);
    }
    disk->close(file);
}

/* More than once, up to places within what is synced, also within a page, and with something unsynced behind. */
static void what_is_forgotten_is_read_as_it_was(struct disk *disk) {
    enum { PIECE = 1 << 20 };
    static uint8_t written[3 * PIECE], read[3 * PIECE];
    size_t got;
    struct disk_file *file = open_as(disk, "a", DISK_MAKE);
    for (size_t i = 0; i < sizeof written; i++) written[i] = (uint8_t)(i * 7 + i / 4096);
    CHECK(disk->write(file, 0, bytes_of(written, 2 * PIECE)) == DISK_OK);
    CHECK(disk->sync(file) == DISK_OK);
    CHECK(disk->write(file, 2 * PIECE, bytes_of(written + 2 * PIECE, PIECE)) == DISK_OK);
    static const uint64_t places[] = {0, 1, 5000, PIECE, 2 * PIECE, 2 * PIECE};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        disk->forget(file, places[i]);
        CHECK(disk->read(file, 0, read, sizeof read, &got) == DISK_OK && got == sizeof read);
        CHECK(memcmp(read, written, sizeof read) == 0);
    }
    disk->close(file);
}

static void a_file_that_is_only_read_is_not_written(struct disk *disk) {
    put(disk, "a", "one");
    struct disk_file *file = open_as(disk, "a", DISK_READ);
    CHECK(disk->write(file, 0, bytes_of_string("two")) != DISK_OK);
    disk->close(file);
    CHECK(holds(disk, "a", "one"));
    file = open_as(disk, "a", DISK_WRITE);
    CHECK(disk->write(file, 0, bytes_of_string("two")) == DISK_OK);
    disk->close(file);
    CHECK(holds(disk, "a", "two"));
}

static void what_is_allocated_is_zeros_and_never_shrinks(struct disk *disk) {
    uint8_t bytes[8];
    size_t got;
    uint64_t size;
    struct disk_file *file = open_as(disk, "a", DISK_MAKE);
    CHECK(disk->write(file, 0, bytes_of_string("abc")) == DISK_OK);
    CHECK(disk->allocate(file, 100000) == DISK_OK);
    CHECK(disk->size(file, &size) == DISK_OK && size == 100000);
    CHECK(disk->read(file, 0, bytes, sizeof bytes, &got) == DISK_OK && got == 8);
    CHECK(memcmp(bytes, "abc\0\0\0\0\0", 8) == 0);
    CHECK(disk->read(file, 99996, bytes, sizeof bytes, &got) == DISK_OK && got == 4 && bytes[3] == 0);
    CHECK(disk->allocate(file, 10) == DISK_OK);
    CHECK(disk->size(file, &size) == DISK_OK && size == 100000);
    disk->close(file);
}

static void a_file_is_cut_and_grown_with_zeros(struct disk *disk) {
    uint64_t size;
    put(disk, "a", "abcdef");
    struct disk_file *file = open_as(disk, "a", DISK_WRITE);
    CHECK(disk->truncate(file, 3) == DISK_OK);
    CHECK(disk->size(file, &size) == DISK_OK && size == 3);
    CHECK(disk->write(file, 5, bytes_of_string("z")) == DISK_OK); /* no "def" comes back in between */
    disk->close(file);
    uint8_t bytes[8];
    size_t got;
    file = open_as(disk, "a", DISK_READ);
    CHECK(disk->read(file, 0, bytes, sizeof bytes, &got) == DISK_OK && got == 6);
    CHECK(memcmp(bytes, "abc\0\0z", 6) == 0);
    disk->close(file);
}

static void a_renamed_file_takes_the_others_place(struct disk *disk) {
    put(disk, "a", "one");
    put(disk, "b", "two");
    CHECK(disk->rename(disk->context, "a", "b") == DISK_OK);
    CHECK(!is_there(disk, "a") && holds(disk, "b", "one"));
    CHECK(disk->rename(disk->context, "a", "b") == DISK_MISSING);
    CHECK(disk->sync_directory(disk->context) == DISK_OK);
}

static void a_removed_file_is_read_by_whoever_has_it_open(struct disk *disk) {
    char bytes[8];
    size_t got;
    put(disk, "a", "one");
    struct disk_file *file = open_as(disk, "a", DISK_READ);
    CHECK(disk->remove(disk->context, "a") == DISK_OK);
    CHECK(disk->remove(disk->context, "a") == DISK_MISSING);
    CHECK(disk->sync_directory(disk->context) == DISK_OK);
    put(disk, "a", "two");
    CHECK(disk->read(file, 0, bytes, sizeof bytes, &got) == DISK_OK && got == 3 && memcmp(bytes, "one", 3) == 0);
    disk->close(file);
    CHECK(holds(disk, "a", "two"));
}

struct seen {
    unsigned count;
    uint64_t bytes;
};

static void see(void *context, const char *name, uint64_t size) {
    struct seen *seen = context;
    if (strcmp(name, "lock") == 0) return; /* the real one's own */
    CHECK(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
    seen->count++;
    seen->bytes += size;
}

static void every_file_is_listed_with_its_size(struct disk *disk) {
    struct seen seen = {0};
    put(disk, "a", "one");
    put(disk, "b", "three");
    put(disk, "c", "five");
    CHECK(disk->remove(disk->context, "c") == DISK_OK);
    CHECK(disk->list(disk->context, see, &seen) == DISK_OK);
    CHECK(seen.count == 2 && seen.bytes == 8);
}

static void the_clock_is_behind_2020(struct disk *disk) {
    CHECK(disk->wall_ms(disk->context) > INT64_C(1577836800000));
}

typedef void (*sentence)(struct disk *disk);
static const struct {
    const char *name;
    sentence run;
} sentences[] = {
#define SENTENCE(name)                                                                                                 \
    { #name, name }
    SENTENCE(a_file_is_made_once_and_opened_where_it_is),
    SENTENCE(what_is_written_anywhere_is_read_there),
    SENTENCE(what_was_synced_is_read_as_it_was_written_last),
    SENTENCE(what_is_forgotten_is_read_as_it_was),
    SENTENCE(a_file_that_is_only_read_is_not_written),
    SENTENCE(what_is_allocated_is_zeros_and_never_shrinks),
    SENTENCE(a_file_is_cut_and_grown_with_zeros),
    SENTENCE(a_renamed_file_takes_the_others_place),
    SENTENCE(a_removed_file_is_read_by_whoever_has_it_open),
    SENTENCE(every_file_is_listed_with_its_size),
    SENTENCE(the_clock_is_behind_2020),
};

/* ---------------------------------------------------------------- a full disk, each in its own way */

static void check_full(struct disk *disk, uint64_t limit) {
    static const uint8_t block[4096];
    uint64_t size;
    struct disk_file *file = open_as(disk, "a", DISK_MAKE);
    CHECK(disk->allocate(file, limit / 2) == DISK_OK);
    CHECK(disk->allocate(file, limit * 2) == DISK_FULL);
    CHECK(disk->size(file, &size) == DISK_OK && size == limit / 2); /* it is as it was */
    CHECK(disk->write(file, 0, bytes_of(block, sizeof block)) == DISK_OK);
    CHECK(disk->write(file, limit - 1000, bytes_of(block, sizeof block)) == DISK_FULL);
    CHECK(strlen(disk->why(disk->context)) > 5);
    CHECK(disk->truncate(file, 100) == DISK_OK); /* and what is written there goes on to work */
    CHECK(disk->write(file, 100, bytes_of(block, sizeof block)) == DISK_OK);
    disk->close(file);
}

static void the_real_disk_is_full_at_the_limit_of_file_sizes(struct disk *disk) {
    struct rlimit before, limit;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = 1 << 20;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    check_full(disk, 1 << 20);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
}

/* ---------------------------------------------------------------- the real directory */

static void empty_directory(const char *path) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    CHECK(system(command) == 0);
}

static void on_the_real_disk(const char *path, sentence run) {
    struct directory directory;
    char error[DIRECTORY_ERROR_MAX];
    empty_directory(path);
    CHECK(directory_open(&directory, path, DIRECTORY_OWN, error));
    run(&directory.disk);
    directory_close(&directory);
}

static void a_directory_is_one_servers(const char *path) {
    struct directory first, second, looker;
    char error[DIRECTORY_ERROR_MAX];
    empty_directory(path);
    CHECK(!directory_open(&first, path, DIRECTORY_LOOK, error)); /* whoever only looks makes nothing */
    CHECK(strstr(error, path));
    CHECK(directory_open(&first, path, DIRECTORY_OWN, error));
    CHECK(!directory_open(&second, path, DIRECTORY_OWN, error));
    CHECK(strstr(error, "another server"));
    CHECK(directory_open(&looker, path, DIRECTORY_LOOK, error));
    directory_close(&looker);
    directory_close(&first);
    CHECK(directory_open(&second, path, DIRECTORY_OWN, error));
    directory_close(&second);
}

static void a_directory_that_others_write_is_refused(const char *path) {
    struct directory directory;
    char error[DIRECTORY_ERROR_MAX], command[300];
    empty_directory(path);
    snprintf(command, sizeof command, "mkdir '%s' && chmod 777 '%s'", path, path);
    CHECK(system(command) == 0);
    CHECK(!directory_open(&directory, path, DIRECTORY_OWN, error));
    CHECK(strstr(error, "chmod 700"));
}

int main(void) {
    char base[] = "disk_contract_XXXXXX", path[64];
    unsigned count = sizeof sentences / sizeof *sentences;
    CHECK(mkdtemp(base));
    snprintf(path, sizeof path, "%s/data", base);
    for (unsigned i = 0; i < count; i++) {
        struct sim_disk *sim = sim_disk_open();
        printf("%s\n", sentences[i].name);
        fflush(stdout);
        sentences[i].run(sim_disk_of(sim));
        sim_disk_close(sim);
        on_the_real_disk(path, sentences[i].run);
    }
    struct sim_disk *sim = sim_disk_open();
    sim_disk_set_space(sim, 1 << 20);
    check_full(sim_disk_of(sim), 1 << 20);
    sim_disk_close(sim);
    on_the_real_disk(path, the_real_disk_is_full_at_the_limit_of_file_sizes);
    a_directory_is_one_servers(path);
    a_directory_that_others_write_is_refused(path);
    empty_directory(base);
    printf("%u sentences hold of both disks, and three of the real one\n", count + 1);
    return 0;
}
