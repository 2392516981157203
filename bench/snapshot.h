/* What requests feel of snapshots that are made meanwhile; and having one made. */
#ifndef BENCH_SNAPSHOT_H
#define BENCH_SNAPSHOT_H

#include "options.h"
#include "worker.h"

/* Has sessiond make a snapshot and waits until it is whole, a minute at most. Any thread; blocks.
 * False with a sentence in `problem`. */
bool snapshot_make(const struct target *target, char *problem, size_t problem_size);

/* Runs `sessiond-bench snapshot`; the answer is the exit status. */
int snapshot_main(const struct options *options);

#endif
