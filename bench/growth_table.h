/* What was measured along one axis: for each measure and each point a value of every round, and from these medians and
 * ratios to the smallest point. No I/O but the FILE that is written to; one thread. */
#ifndef BENCH_GROWTH_TABLE_H
#define BENCH_GROWTH_TABLE_H

#include "figures.h"
#include "json.h"

enum { GROWTH_POINTS_MAX = 8, GROWTH_MEASURES_MAX = 24 };

struct growth_cell {
    double values[FIGURES_MAX]; /* of one operation, one for each round; or one in all */
    unsigned count;
    double work; /* units of work in one operation */
};

struct growth_measure {
    const char *name;
    const char *unit; /* of the values: ns or bytes */
    const char *each; /* what a unit of work is; NULL: an operation is as much work at every point */
    struct growth_cell cells[GROWTH_POINTS_MAX];
};

struct growth_axis {
    const char *name;
    const char *points_of; /* what the points count */
    uint64_t points[GROWTH_POINTS_MAX];
    unsigned point_count;
    struct growth_measure measures[GROWTH_MEASURES_MAX]; /* in the order in which they were first noted */
    unsigned measure_count;
};

/* Sets the points `first`, `first * factor` ... and `most` as the last; a first of 0 counts as 1. */
void growth_points(struct growth_axis *axis, uint64_t first, uint64_t factor, uint64_t most);

/* Notes what one operation of a measure cost at a point in this round. `each` and `work` say how much was done by it;
 * NULL and 1 where that does not grow. */
void growth_note(struct growth_axis *axis, unsigned point, const char *name, const char *unit, const char *each,
                 double work, double value);

double growth_value(const struct growth_measure *measure, unsigned point); /* the median over the rounds */

/* By how much a point costs more than the smallest that was measured: the median of the rounds' ratios; `per_work`: of
 * the costs of a unit of work. */
double growth_ratio(const struct growth_measure *measure, unsigned point, bool per_work);

void growth_text(const struct growth_axis *axis, FILE *out);
void growth_json(const struct growth_axis *axis, struct json *json); /* one member, named as the axis */

#endif
