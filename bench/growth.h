/* sessiond-bench growth: how the cost of one operation grows with the sessions, the connections, the sessions of one
 * user, and the size of a value. Main thread. */
#ifndef BENCH_GROWTH_H
#define BENCH_GROWTH_H

#include <stdbool.h>

struct options;

/* Measures the axes of options->axes and reports; answers the exit status. */
int growth_main(const struct options *options);

/* True if each name of a list with commas is an axis. */
bool growth_axes_known(const char *list);

#endif
