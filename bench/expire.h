/* The expiry run: all sessions but a few end within one second, while those few are read at a steady rate. */
#ifndef BENCH_EXPIRE_H
#define BENCH_EXPIRE_H

#include "options.h"
#include "worker.h"

/* Plays it and reports; the answer is the program's exit status. */
int expire_main(const struct options *options, struct target *target, struct plan *plan);

#endif
