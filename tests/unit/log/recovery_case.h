/* What the tests of recovery share: one disk, and short words for what is put on it and what is expected. */
#ifndef UNIT_LOG_RECOVERY_CASE_H
#define UNIT_LOG_RECOVERY_CASE_H

#include "recovery/files.h"

#include <criterion/criterion.h>

#define NOW    INT64_C(1763000000000)
#define DAY_MS INT64_C(86400000)

static struct sim_disk *sim;
static struct seal_keys keys;

static inline void begin(void) {
    const char *why;
    cr_assert(cipher_open());
    cr_assert(
        seal_keys_read(BYTES_LITERAL("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"), &keys, &why));
    sim = sim_disk_open();
    sim_disk_set_wall_ms(sim, NOW);
}

static inline void end(void) {
    sim_disk_close(sim);
}

/* ---------------------------------------------------------------- directories */

static inline struct attempt attempt(void) {
    return attempt_run(sim, (struct recovery_options){0});
}

static inline struct attempt attempt_repair(void) {
    return attempt_run(sim, (struct recovery_options){.is_repair = true});
}

static inline void file(struct file_writer *writer, enum file_kind kind, uint64_t number) {
    file_writer_begin(writer, kind, number, NOW - 1000, NULL);
}

/* A segment of the numbers first to last, each in a frame of its own. */
static inline void segment(struct file_writer *writer, uint64_t number, uint64_t first, uint64_t last) {
    file(writer, FILE_LOG, number);
    for (uint64_t i = first; i <= last; i++) file_writer_effects(writer, i, i);
}

static inline void end_frame(struct file_writer *writer) {
    file_writer_frame(writer, FRAME_END, BYTES_ABSENT, 0);
}

static inline void put_ended(struct file_writer *writer) {
    end_frame(writer);
    file_writer_put(writer, sim, 0);
}

static inline size_t size_of(const char *name) {
    struct buf bytes = BUF_EMPTY;
    size_t size = sim_disk_get(sim, name, &bytes) ? bytes.size : SIZE_MAX;
    buf_fini(&bytes);
    return size;
}

static inline bool is_there(const char *name) {
    return size_of(name) != SIZE_MAX;
}

static inline void flip(const char *name, size_t place) {
    struct buf bytes = BUF_EMPTY;
    cr_assert(sim_disk_get(sim, name, &bytes) && place < bytes.size);
    bytes.data[place] ^= 4;
    sim_disk_put(sim, name, buf_bytes(&bytes));
    buf_fini(&bytes);
}

#define ONE   "log-0000000000000001"
#define TWO   "log-0000000000000002"
#define THREE "log-0000000000000003"
#define FRAME (FRAME_HEADER_BYTES + 8) /* bytes of a frame of one number */
#define AT(i) (FILE_HEADER_BYTES + (i)*FRAME)

/* Refused with all these words, and nothing on disk is touched, however often. */
static inline void expect_refused(struct recovery_options options, const char *const *words) {
    uint64_t before = disk_sum(sim);
    struct attempt result = attempt_run(sim, options);
    cr_assert_not(result.is_good, "it was taken, up to %lld", (long long)result.prefix);
    for (; *words; words++) cr_expect(strstr(result.error, *words), "no '%s' in: %s", *words, result.error);
    cr_expect_eq(disk_sum(sim), before, "something was changed on disk");
}
#define EXPECT_REFUSED(...) expect_refused((struct recovery_options){0}, (const char *const[]){__VA_ARGS__, NULL})

static inline void expect_good(struct attempt result, int64_t prefix) {
    cr_assert(result.is_good, "%s", result.error);
    cr_expect_eq(result.prefix, prefix, "it holds up to %lld, not %lld", (long long)result.prefix, (long long)prefix);
}

static inline void snapshot(struct file_writer *writer, uint64_t number, uint64_t last) {
    file(writer, FILE_SNAPSHOT, number);
    for (uint64_t i = 1; i <= last; i++) file_writer_effects(writer, i, i);
}

#define SNAPSHOT_TWO   "snapshot-0000000000000002"
#define SNAPSHOT_THREE "snapshot-0000000000000003"

#endif
