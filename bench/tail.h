/* What gets at a fixed rate feel of what else the server has to do. */
#ifndef BENCH_TAIL_H
#define BENCH_TAIL_H

#include "options.h"

/* Runs `sessiond-bench tail`; the answer is the exit status. */
int tail_main(const struct options *options);

#endif
