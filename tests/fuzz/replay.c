/* Runs a fuzz target without libFuzzer: `replay DIRECTORY [mutations] [seed]`: every file of the corpus, every
 * beginning of it (of a large corpus fewer), and `mutations` inputs made from it by a generator with a fixed seed, so
 * that a failure comes again.
 *
 * Each input lies in memory of exactly its size, where a sanitizer or valgrind sees the first byte read too far. */
#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#include "fuzz/target.h"

#define INPUT_MAX      65536
#define FILES_MAX      1024
#define BEGINNINGS_MAX 6000

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[FILES_MAX];
static unsigned input_count;

static uint64_t random_state;

/* xorshift64*: the same on every machine. */
static uint64_t random_next(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * UINT64_C(2685821657736338717);
}

static size_t random_below(size_t end) {
    return end ? (size_t)(random_next() >> 11) % end : 0;
}

static void run(const uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* ---- the corpus */

static void input_read(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || input_count == FILES_MAX) {
        perror(path);
        exit(1);
    }
    struct input *input = &inputs[input_count++];
    input->data = malloc(INPUT_MAX);
    if (!input->data) abort();
    input->size = fread(input->data, 1, INPUT_MAX, file);
    fclose(file);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort, which follows the locale */
}

static void corpus_read(const char *directory) {
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') input_read(path);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

static void run_corpus(void) {
    size_t total = 0;
    for (unsigned i = 0; i < input_count; i++) total += inputs[i].size;
    size_t step = 1 + total / BEGINNINGS_MAX;
    for (unsigned i = 0; i < input_count; i++) {
        for (size_t size = 0; size < inputs[i].size; size += size < 2048 ? step : 509) run(inputs[i].data, size);
        run(inputs[i].data, inputs[i].size);
    }
}

/* ---- mutations */

/* Bytes that mean something at the start of a value, or at a bound of a number. */
static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x91, 0x94, 0x9f, 0xa0, 0xa1, 0xbf,
                                  0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcc, 0xcf, 0xd0,
                                  0xd3, 0xd4, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};

/* A stretch is moved up by `by` bytes at `at`, as far as there is room. */
static size_t make_gap(uint8_t *data, size_t size, size_t at, size_t by) {
    if (by > INPUT_MAX - size) by = INPUT_MAX - size;
    memmove(data + at + by, data + at, size - at);
    return by;
}

static size_t mutate(uint8_t *data, size_t size) {
    size_t at = random_below(size), span = 1 + random_below(8), gap;
    const struct input *other;
    switch (random_below(8)) {
    case 0: /* one bit */
        if (size) data[at] ^= (uint8_t)(1u << random_below(8));
        return size;
    case 1: /* one byte, any */
        if (size) data[at] = (uint8_t)random_next();
        return size;
    case 2: /* one byte that tells */
        if (size) data[at] = telling[random_below(sizeof telling)];
        return size;
    case 3: /* bytes put in */
        gap = make_gap(data, size, at, span);
        for (size_t i = 0; i < gap; i++) data[at + i] = telling[random_below(sizeof telling)];
        return size + gap;
    case 4: /* bytes taken out */
        if (span > size - at) span = size - at;
        memmove(data + at, data + at + span, size - at - span);
        return size - span;
    case 5: /* cut off */ return at;
    case 6: /* a stretch of another input put in */
        other = &inputs[random_below(input_count)];
        span = random_below(other->size + 1);
        gap = make_gap(data, size, at, span);
        memcpy(data + at, other->data + random_below(other->size - gap + 1), gap);
        return size + gap;
    default: /* a number made large */
        for (size_t i = 0; i < span && at + i < size; i++) data[at + i] = 0xff;
        return size;
    }
}

static void run_mutations(uint64_t count) {
    static uint8_t data[INPUT_MAX];
    for (uint64_t i = 0; i < count; i++) {
        const struct input *input = &inputs[random_below(input_count)];
        size_t size = input->size;
        memcpy(data, input->data, size);
        for (size_t steps = 1 + random_below(6); steps; steps--) size = mutate(data, size);
        run(data, size);
    }
}

int main(int count, char **arguments) {
    uint64_t mutations = count > 2 ? strtoull(arguments[2], NULL, 10) : 200000;
    random_state = count > 3 ? strtoull(arguments[3], NULL, 10) : 1;
    if (count < 2 || random_state == 0) {
        fprintf(stderr, "use: %s CORPUS-DIRECTORY [mutations] [seed, not 0]\n", arguments[0]);
        return 2;
    }
    corpus_read(arguments[1]);
    if (!input_count) {
        fprintf(stderr, "%s holds no corpus\n", arguments[1]);
        return 1;
    }
    run_corpus();
    run_mutations(mutations);
    printf("%u files, %" PRIu64 " mutations\n", input_count, mutations);
    for (unsigned i = 0; i < input_count; i++) free(inputs[i].data);
    return 0;
}
