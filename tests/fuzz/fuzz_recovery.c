/* Recovery of any bytes as a snapshot and two segments into the memory engine: it ends in an engine whose books are
 * right, or in a text and a directory that is as it was; and what was taken once is taken again without a word.
 *
 * The input: a byte of flags, the sizes of the snapshot and of the first segment (u32 each, little-endian), then the
 * two and the second segment. With FIX the checksums and what says whose file it is are put right first, so that what
 * the fuzzer changes is read at all. */
#include "disk/sim_disk.h"
#include "fuzz/target.h"
#include "log/journal_none.h"
#include "log/recovery.h"
#include "op/engine_options.h"

#include <string.h>

enum { FLAG_SNAPSHOT = 1, FLAG_TWO = 2, FLAG_FIX = 4, FLAG_REPAIR = 8, HEAD = 9 };

#define NOW_MS INT64_C(1767225612000)

static const uint8_t store_id[STORE_ID_BYTES] = "fuzzed directory";

/* ---------------------------------------------------------------- files */

static uint64_t number_at(const uint8_t *at, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* Header and frames as if they had been written so. */
static void fix(struct buf *file, enum file_kind kind, uint64_t number, uint64_t previous_bytes) {
    struct file_header header = {.format = FILE_FORMAT,
                                 .kind = kind,
                                 .number = number,
                                 .server_ms = NOW_MS - 1000,
                                 .wall_ms = NOW_MS - 1000,
                                 .previous_bytes = previous_bytes};
    if (file->size < FILE_HEADER_BYTES) return;
    memcpy(header.store_id, store_id, sizeof store_id);
    file_header_write(&header, file->data);
    for (size_t place = FILE_HEADER_BYTES; file->size - place >= FRAME_HEADER_BYTES;) {
        struct frame_header frame;
        frame_header_read(file->data + place, &frame);
        size_t left = file->size - place - FRAME_HEADER_BYTES;
        if (frame.size > left) frame.size = (uint32_t)left;
        frame.kind = 1 + (frame.kind + 2) % 3;
        frame.synced = frame.synced <= place ? frame.synced : 0;
        uint8_t *payload = file->data + place + FRAME_HEADER_BYTES;
        frame_header_write(&frame, number, place, bytes_of(payload, frame.size), file->data + place);
        place += FRAME_HEADER_BYTES + frame.size;
    }
}

static uint64_t put(struct sim_disk *sim, struct bytes content, enum file_kind kind, uint64_t number, unsigned flags,
                    uint64_t previous_bytes) {
    struct buf file = BUF_EMPTY;
    char name[DISK_NAME_MAX + 1];
    buf_append(&file, content.data, content.size);
    if (flags & FLAG_FIX) fix(&file, kind, number, previous_bytes);
    file_name_write(kind, number, name);
    sim_disk_put(sim, name, buf_bytes(&file));
    buf_fini(&file);
    return content.size;
}

static struct bytes take(struct bytes *left, uint64_t size) {
    if (size > left->size) size = left->size;
    struct bytes taken = bytes_of(left->data, (size_t)size);
    *left = bytes_of(left->data + size, left->size - (size_t)size);
    return taken;
}

static struct sim_disk *make(const uint8_t *data, size_t size) {
    struct sim_disk *sim = sim_disk_open();
    struct bytes left = bytes_of(data + HEAD, size - HEAD);
    unsigned flags = data[0];
    uint64_t number = flags & FLAG_SNAPSHOT ? 7 : 1;
    sim_disk_set_wall_ms(sim, NOW_MS);
    struct bytes snapshot = take(&left, number_at(data + 1, 4)), first = take(&left, number_at(data + 5, 4));
    if (flags & FLAG_SNAPSHOT) put(sim, snapshot, FILE_SNAPSHOT, number, flags, 0);
    uint64_t bytes = put(sim, first, FILE_LOG, number, flags, 0);
    if (flags & FLAG_TWO) put(sim, left, FILE_LOG, number + 1, flags, bytes);
    return sim;
}

/* ---------------------------------------------------------------- the world */

static void draw(void *context, void *out, size_t size) {
    (void)context;
    memset(out, 0x5e, size);
}

static void wake(void *context, unsigned loop_index) {
    (void)context;
    (void)loop_index;
}

static const struct env env = {.random = draw, .wake = wake};

static struct engine *engine_open(void) {
    struct engine_options options = {.loop_count = 1,
                                     .shard_bits = 2,
                                     .now_ms = NOW_MS,
                                     .limits = {.max_namespaces = 1000},
                                     .env = &env,
                                     .journal = &journal_none};
    engine_options_fill(&options);
    struct engine *engine = memory_engine_open(&options);
    REQUIRE(engine);
    return engine;
}

/* ---------------------------------------------------------------- the directory, as one text */

struct listing {
    struct sim_disk *sim;
    struct buf text;
};

static void add(void *context, const char *name, uint64_t size) {
    struct listing *listing = context;
    buf_append(&listing->text, name, strlen(name) + 1);
    REQUIRE(sim_disk_get(listing->sim, name, &listing->text));
    (void)size;
}

static struct buf all_of(struct sim_disk *sim) {
    struct listing listing = {sim, BUF_EMPTY};
    struct disk *disk = sim_disk_of(sim);
    REQUIRE(disk->list(disk->context, add, &listing) == DISK_OK);
    return listing.text;
}

/* ---------------------------------------------------------------- an attempt */

static bool recover(struct sim_disk *sim, bool is_repair, struct recovery_report *report,
                    char error[RECOVERY_ERROR_MAX]) {
    struct engine *engine = engine_open();
    struct recovery_options options = {
        .disk = sim_disk_of(sim), .env = &env, .engine = engine, .is_repair = is_repair, .accepts_clock = true};
    bool is_good = recovery_run(&options, report, error);
    REQUIRE(is_good == !*error);
    if (is_good) {
        REQUIRE(report->counts.effects == 0 || report->bytes > 0);
        if (engine->vtable->check) engine->vtable->check(engine);
    }
    engine->vtable->close(engine);
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct recovery_report report, again;
    char error[RECOVERY_ERROR_MAX];
    if (size < HEAD) return 0;
    struct sim_disk *sim = make(data, size);
    struct buf before = all_of(sim);
    bool is_good = recover(sim, data[0] & FLAG_REPAIR, &report, error);
    if (!is_good) {
        struct buf after = all_of(sim);
        REQUIRE(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
        buf_fini(&after);
    } else {
        bool is_taken_again = recover(sim, false, &again, error);
        if (!is_taken_again) fprintf(stderr, "after it was taken once: %s\n", error);
        REQUIRE(is_taken_again);
        REQUIRE(again.cut_bytes == 0 && again.damaged_bytes == 0 && !*again.note);
        REQUIRE(again.counts.effects == report.counts.effects && again.counts.version == report.counts.version);
        REQUIRE(again.counts.sessions == report.counts.sessions);
        REQUIRE(again.start.next_number == report.start.next_number);
        REQUIRE(again.start.previous_bytes == report.start.previous_bytes);
    }
    buf_fini(&before);
    sim_disk_close(sim);
    return 0;
}
