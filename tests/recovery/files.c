/* See files.h. */
#include "recovery/files.h"

#include "base/check.h"
#include "base/hash.h"

enum { NUMBERS_MAX = 200000 };

/* ---------------------------------------------------------------- the engine */

static bool list_apply(struct engine *self, struct bytes effects, const char **why) {
    struct list_engine *list = (struct list_engine *)self;
    *why = list->refusal ? list->refusal : "an effect is no number";
    if (list->refusal || effects.size % sizeof(uint64_t) != 0) return false;
    buf_append(&list->numbers, effects.data, effects.size);
    return true;
}

static bool list_recovered(struct engine *self, int64_t now_ms, struct recovery_counts *counts, const char **why) {
    struct list_engine *list = (struct list_engine *)self;
    list->recovered++;
    list->now_ms = now_ms;
    counts->effects = list_engine_count(list);
    for (uint64_t i = 0; i < counts->effects; i++) {
        uint64_t number;
        memcpy(&number, list->numbers.data + i * sizeof number, sizeof number);
        if (number > counts->version) counts->version = number;
    }
    *why = list->refusal_at_end;
    return !list->refusal_at_end;
}

static const struct engine_vtable list_vtable = {.apply = list_apply, .recovered = list_recovered};

void list_engine_open(struct list_engine *list) {
    *list = (struct list_engine){.engine = {&list_vtable}, .numbers = BUF_EMPTY};
}

void list_engine_close(struct list_engine *list) {
    buf_fini(&list->numbers);
}

size_t list_engine_count(const struct list_engine *list) {
    return list->numbers.size / sizeof(uint64_t);
}

int64_t list_engine_prefix(const struct list_engine *list) {
    static uint8_t is_there[NUMBERS_MAX + 1];
    uint64_t highest = 0, distinct = 0;
    memset(is_there, 0, sizeof is_there);
    for (size_t at = 0; at < list->numbers.size; at += sizeof highest) {
        uint64_t number;
        memcpy(&number, list->numbers.data + at, sizeof number);
        if (number == 0 || number > NUMBERS_MAX) return -1;
        distinct += !is_there[number];
        is_there[number] = 1;
        if (number > highest) highest = number;
    }
    return distinct == highest ? (int64_t)highest : -1;
}

/* ---------------------------------------------------------------- files */

static void draw(void *context, void *out, size_t size) {
    static uint8_t next;
    (void)context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = next++;
}

const struct env files_env = {.random = draw};

void file_writer_begin(struct file_writer *writer, enum file_kind kind, uint64_t number, int64_t now_ms,
                       const struct seal_keys *keys) {
    uint8_t header[FILE_HEADER_BYTES];
    *writer = (struct file_writer){.header = {.format = FILE_FORMAT,
                                              .kind = kind,
                                              .store_id = "sixteen of store",
                                              .number = number,
                                              .server_ms = now_ms,
                                              .wall_ms = now_ms},
                                   .bytes = BUF_EMPTY,
                                   .server_ms = now_ms};
    seal_begin(keys, &files_env, &writer->header, &writer->stream);
    file_header_write(&writer->header, header);
    buf_append(&writer->bytes, header, sizeof header);
}

void file_writer_frame(struct file_writer *writer, uint32_t kind, struct bytes payload, uint64_t version) {
    struct frame_header header = {
        .kind = kind, .synced = writer->synced, .server_ms = ++writer->server_ms, .version = version};
    seal_append_frame(&writer->bytes, writer->header.is_sealed ? &writer->stream : NULL, writer->header.number,
                      writer->bytes.size, &header, payload);
}

void file_writer_effects(struct file_writer *writer, uint64_t first, uint64_t last) {
    struct buf payload = BUF_EMPTY;
    for (uint64_t number = first; number <= last; number++) buf_append(&payload, &number, sizeof number);
    file_writer_frame(writer, FRAME_EFFECTS, buf_bytes(&payload), last);
    buf_fini(&payload);
}

void file_writer_synced(struct file_writer *writer) {
    writer->synced = writer->bytes.size;
}

void file_writer_put(struct file_writer *writer, struct sim_disk *sim, size_t zeros) {
    char name[DISK_NAME_MAX + 1];
    uint8_t *at = buf_reserve(&writer->bytes, zeros ? zeros : 1);
    CHECK(at);
    memset(at, 0, zeros);
    writer->bytes.size += zeros;
    /* The header once more: a test may have changed it meanwhile. */
    file_header_write(&writer->header, writer->bytes.data);
    file_name_write(writer->header.kind, writer->header.number, name);
    sim_disk_put(sim, name, buf_bytes(&writer->bytes));
    buf_fini(&writer->bytes);
}

/* ---------------------------------------------------------------- recovering */

struct attempt attempt_run(struct sim_disk *sim, struct recovery_options options) {
    struct attempt attempt;
    struct list_engine list;
    list_engine_open(&list);
    options.disk = sim_disk_of(sim);
    options.env = &files_env;
    options.engine = &list.engine;
    attempt.is_good = recovery_run(&options, &attempt.report, attempt.error);
    attempt.prefix = attempt.is_good ? list_engine_prefix(&list) : -1;
    CHECK(!attempt.is_good || list.recovered == 1);
    CHECK(attempt.is_good == !*attempt.error);
    list_engine_close(&list);
    return attempt;
}

struct sum {
    struct sim_disk *sim;
    uint64_t value;
};

static void sum_file(void *context, const char *name, uint64_t size) {
    struct sum *sum = context;
    struct buf bytes = BUF_EMPTY;
    CHECK(sim_disk_get(sum->sim, name, &bytes) && bytes.size == size);
    /* Added, so that the order of the list does not count. */
    sum->value += hash_checksum(hash_checksum(0, bytes_of_string(name)), buf_bytes(&bytes));
    buf_fini(&bytes);
}

uint64_t disk_sum(struct sim_disk *sim) {
    struct sum sum = {sim, 0};
    struct disk *disk = sim_disk_of(sim);
    CHECK(disk->list(disk->context, sum_file, &sum) == DISK_OK);
    return sum.value;
}
