/* Small sums over the rounds of a measurement. No state. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

enum { FIGURES_MAX = 100 };

/* The median of at most FIGURES_MAX values, which stay as they are; 0 of none. */
double figures_median(const double *values, unsigned count);

#endif
