/* What a fuzz target and the programs around it agree on: libFuzzer's own entry, and the seeds that are made on the
 * spot.
 *
 * A target aborts when something is wrong. It is built twice: with libFuzzer (SESSIOND_FUZZ, clang), and always with
 * replay.c, a plain main that runs the corpus and a fixed number of mutations of it in ctest. */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Says what does not hold, and aborts: also in a build without assertions. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
