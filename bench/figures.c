/* See figures.h. */
#include "figures.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double figures_median(const double *values, unsigned count) {
    double sorted[FIGURES_MAX];
    assert(count <= FIGURES_MAX);
    if (count == 0) return 0;
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, by_value);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}
