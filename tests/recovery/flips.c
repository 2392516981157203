/* Single changed bits over small directories, one at a time, and logs cut at every byte: is any of it taken in silence?
 *
 * flips [COUNT [SEED]]: with COUNT, so many bits drawn by chance over larger directories, instead of every bit of the
 * small ones. Each attempt has to be refused, or told (what was cut or passed over) with what is left a clean prefix.
 * Prints what came of all, and exits 1 if one was silent or left a hole. */
#include "base/check.h"
#include "base/prng.h"
#include "recovery/files.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW INT64_C(1763000000000)

static struct seal_keys keys;

struct tally {
    uint64_t tried, refused, told, silent, holes;
};

/* ---------------------------------------------------------------- directories */

struct shape {
    unsigned segments, frames, numbers; /* each of: before it, in it, in it */
    bool is_sealed, has_snapshot, is_ended, says_synced;
};

static uint64_t put_segment(struct sim_disk *sim, const struct shape *shape, uint64_t number, uint64_t *next,
                            uint64_t previous, bool is_last) {
    struct file_writer writer;
    file_writer_begin(&writer, FILE_LOG, number, NOW, shape->is_sealed ? &keys : NULL);
    writer.header.previous_bytes = writer.header.previous_synced = previous;
    for (unsigned i = 0; i < shape->frames; i++) {
        file_writer_effects(&writer, *next, *next + shape->numbers - 1);
        *next += shape->numbers;
        /* The last frame of all is one that nobody knows to be synced. */
        if (shape->says_synced && i + 2 < shape->frames) file_writer_synced(&writer);
    }
    if (is_last && shape->is_ended) file_writer_frame(&writer, FRAME_END, BYTES_ABSENT, *next - 1);
    uint64_t size = writer.bytes.size;
    file_writer_put(&writer, sim, is_last && !shape->is_ended ? 64 : 0);
    return size;
}

static struct sim_disk *make(const struct shape *shape, int64_t *last) {
    struct sim_disk *sim = sim_disk_open();
    uint64_t next = 1, previous = 0, number = shape->has_snapshot ? 5 : 1;
    struct file_writer writer;
    sim_disk_set_wall_ms(sim, NOW + 1000);
    if (shape->has_snapshot) {
        file_writer_begin(&writer, FILE_SNAPSHOT, number, NOW, shape->is_sealed ? &keys : NULL);
        for (unsigned i = 0; i < shape->frames; i++, next += shape->numbers)
            file_writer_effects(&writer, next, next + shape->numbers - 1);
        file_writer_frame(&writer, FRAME_END, BYTES_ABSENT, next - 1);
        file_writer_put(&writer, sim, 0);
    }
    for (unsigned i = 0; i < shape->segments; i++)
        previous = put_segment(sim, shape, number + i, &next, previous, i + 1 == shape->segments);
    *last = (int64_t)next - 1;
    return sim;
}

static const struct shape small[] = {
    {.segments = 1, .frames = 4, .numbers = 2},
    {.segments = 2, .frames = 3, .numbers = 2, .is_ended = true},
    {.segments = 2, .frames = 3, .numbers = 2, .has_snapshot = true, .says_synced = true},
    {.segments = 2, .frames = 3, .numbers = 2, .has_snapshot = true, .is_sealed = true, .says_synced = true},
    {.segments = 1, .frames = 3, .numbers = 2, .has_snapshot = true, .is_sealed = true, .is_ended = true}};
static const struct shape large[] = {
    {.segments = 3, .frames = 40, .numbers = 30, .has_snapshot = true, .says_synced = true},
    {.segments = 3, .frames = 40, .numbers = 30, .has_snapshot = true, .is_sealed = true, .says_synced = true}};

/* ---------------------------------------------------------------- attempts */

static struct attempt look(struct sim_disk *sim, const struct shape *shape) {
    return attempt_run(sim, (struct recovery_options){.is_read_only = true, .keys = shape->is_sealed ? &keys : NULL});
}

static void count(struct tally *tally, const struct attempt *attempt, const char *name, size_t place) {
    const char *what = NULL;
    tally->tried++;
    if (!attempt->is_good) {
        tally->refused++;
    } else if (attempt->prefix < 0) {
        tally->holes++;
        what = "leaves a hole";
    } else if (attempt->report.cut_bytes == 0 && !*attempt->report.note) {
        tally->silent++;
        what = "is taken in silence";
    } else {
        tally->told++;
    }
    if (what) printf("%s: what was changed at byte %zu %s\n", name, place, what);
}

struct listing {
    struct name {
        char text[DISK_NAME_MAX + 1];
        uint64_t size;
    } names[16];
    unsigned count;
    uint64_t size;
};

static void take_name(void *context, const char *name, uint64_t size) {
    struct listing *listing = context;
    CHECK(listing->count < 16);
    struct name *out = &listing->names[listing->count++];
    snprintf(out->text, sizeof out->text, "%s", name);
    out->size = size;
    listing->size += size;
}

static struct listing list(struct sim_disk *sim) {
    struct listing listing = {.count = 0};
    struct disk *disk = sim_disk_of(sim);
    CHECK(disk->list(disk->context, take_name, &listing) == DISK_OK);
    return listing;
}

static void flip(struct tally *tally, struct sim_disk *sim, const struct shape *shape, const char *name, uint64_t bit) {
    struct buf bytes = BUF_EMPTY;
    CHECK(sim_disk_get(sim, name, &bytes));
    bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    sim_disk_put(sim, name, buf_bytes(&bytes));
    struct attempt attempt = look(sim, shape);
    count(tally, &attempt, name, (size_t)(bit / 8));
    bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    sim_disk_put(sim, name, buf_bytes(&bytes));
    buf_fini(&bytes);
}

/* Cut to each length, with zeros behind it as an allocated file has, or without. */
static void cut_everywhere(struct tally *tally, struct sim_disk *sim, const struct shape *shape, const char *name,
                           int64_t last) {
    struct buf bytes = BUF_EMPTY;
    CHECK(sim_disk_get(sim, name, &bytes));
    int64_t previous = -1;
    for (size_t size = 0; size < bytes.size; size++) {
        sim_disk_put(sim, name, bytes_of(bytes.data, size));
        struct attempt short_one = look(sim, shape);
        struct buf padded = BUF_EMPTY;
        buf_append(&padded, bytes.data, size);
        uint8_t *at = buf_reserve(&padded, bytes.size);
        CHECK(at);
        memset(at, 0, bytes.size - size);
        padded.size = bytes.size;
        sim_disk_put(sim, name, buf_bytes(&padded));
        struct attempt long_one = look(sim, shape);
        buf_fini(&padded);
        tally->tried += 2;
        CHECK(short_one.is_good && long_one.is_good); /* nothing of the last segment was known to be synced */
        /* Zeros may stand for zeros that were there, so what is padded may hold more, and nothing that was not. */
        bool is_clean = short_one.prefix >= previous && long_one.prefix >= short_one.prefix && long_one.prefix <= last;
        previous = short_one.prefix;
        tally->told += is_clean ? 2 : 0;
        tally->holes += is_clean ? 0 : 1;
        if (!is_clean) printf("%s cut to %zu bytes holds up to %lld\n", name, size, (long long)short_one.prefix);
    }
    CHECK(previous >= last - (int64_t)shape->numbers); /* the last lengths lose the last frame at most */
    sim_disk_put(sim, name, buf_bytes(&bytes));
    buf_fini(&bytes);
}

/* ---------------------------------------------------------------- passes */

static void every_bit(struct tally *flips, struct tally *cuts) {
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        int64_t last;
        struct sim_disk *sim = make(&small[i], &last);
        struct listing files = list(sim);
        struct attempt whole = look(sim, &small[i]);
        CHECK(whole.is_good && whole.prefix == last && whole.report.cut_bytes == 0);
        for (unsigned k = 0; k < files.count; k++)
            for (uint64_t bit = 0; bit < 8 * files.names[k].size; bit++)
                flip(flips, sim, &small[i], files.names[k].text, bit);
        char name[DISK_NAME_MAX + 1];
        file_name_write(FILE_LOG, (small[i].has_snapshot ? 5 : 1) + small[i].segments - 1, name);
        cut_everywhere(cuts, sim, &small[i], name, last);
        sim_disk_close(sim);
    }
}

static void some_bits(struct tally *flips, uint64_t tries, uint64_t seed) {
    struct prng prng = prng_of(seed);
    size_t shapes = sizeof large / sizeof *large;
    for (size_t i = 0; i < shapes; i++) {
        int64_t last;
        struct sim_disk *sim = make(&large[i], &last);
        struct listing files = list(sim);
        for (uint64_t k = 0; k < tries / shapes; k++) {
            uint64_t bit = prng_below(&prng, 8 * files.size);
            unsigned file = 0;
            while (bit >= 8 * files.names[file].size) bit -= 8 * files.names[file++].size;
            flip(flips, sim, &large[i], files.names[file].text, bit);
        }
        sim_disk_close(sim);
    }
}

static void print(const char *what, const struct tally *tally) {
    if (tally->tried)
        printf("%s: %llu tried, %llu refused, %llu told, %llu silent, %llu with a hole\n", what,
               (unsigned long long)tally->tried, (unsigned long long)tally->refused, (unsigned long long)tally->told,
               (unsigned long long)tally->silent, (unsigned long long)tally->holes);
}

int main(int argc, char **argv) {
    struct tally flips = {0}, cuts = {0};
    const char *why;
    CHECK(cipher_open());
    CHECK(
        seal_keys_read(BYTES_LITERAL("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"), &keys, &why));
    if (argc > 1)
        some_bits(&flips, strtoull(argv[1], NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    else
        every_bit(&flips, &cuts);
    print("bit flips", &flips);
    print("cuts", &cuts);
    CHECK(flips.refused > 0 && flips.refused + flips.told > 0);
    return flips.silent + flips.holes + cuts.holes > 0;
}
