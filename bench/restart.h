/* What a start costs sessiond: empty, from its log, and from a snapshot. */
#ifndef BENCH_RESTART_H
#define BENCH_RESTART_H

#include "options.h"

/* Runs `sessiond-bench restart`; the answer is the exit status. */
int restart_main(const struct options *options);

#endif
