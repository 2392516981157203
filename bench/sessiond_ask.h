/* Figures that sessiond tells of itself, asked on a connection of their own. Any thread; blocks. */
#ifndef BENCH_SESSIOND_ASK_H
#define BENCH_SESSIOND_ASK_H

#include "worker.h"

/* Calls a method without arguments and reads `count` numbers from the map that it answers; 0 for what is not there.
 * False with a sentence in `problem`. */
bool sessiond_ask(const struct target *target, const char *method, unsigned count, const char *const keys[],
                  uint64_t out[], char *problem, size_t problem_size);

#endif
