/* What an event costs: sets on sessiond while nobody watches, while one connection does, while many do. */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include "options.h"

/* Runs `sessiond-bench watch`; the answer is the exit status. */
int watch_main(const struct options *options);

#endif
