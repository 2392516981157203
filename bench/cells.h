/* The cells of a comparison: from the command line's words, or what is usual for the workload. Main thread. */
#ifndef BENCH_CELLS_H
#define BENCH_CELLS_H

#include "comparison.h"

/* Makes comparison->cells of what the options say, which the caller frees; false with a sentence on stderr. */
bool cells_parse(struct comparison *comparison);

#endif
