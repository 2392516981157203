/* What sessions take in memory: as the table grows, after churn, and when all have ended. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include "options.h"

/* Runs `sessiond-bench memory`; the answer is the exit status. */
int memory_main(const struct options *options);

#endif
