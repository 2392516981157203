/* The comparison: every server in turn, in every cell, in every round. One command, nothing to prepare. Main thread. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "options.h"

/* Runs `sessiond-bench compare`; the answer is the exit status. */
int compare_main(const struct options *options);

#endif
