/* The servers of a comparison: started, loaded, turned to what a cell asks for, ended. All stay up and loaded all the
 * time; only one is asked at a time, and the others sleep. Main thread. */
#ifndef BENCH_CONTENDERS_H
#define BENCH_CONTENDERS_H

#include "comparison.h"

/* Starts what the options name, once for each level that a cell asks for; what is not installed or cannot be so is left
 * out with a line on stderr. False with a sentence there for a name that is none, or if nothing was started. */
bool contenders_start(struct comparison *comparison);
/* In both cases. */
void contenders_end(struct comparison *comparison);

/* Puts in what the cells ask for, but for pools: those are made when they are measured first. */
bool contender_load(struct comparison *comparison, struct contender *contender);
/* Waits for the disk: what the loads have written is on its way for a while, which the first cells would feel. */
void contenders_settle(const struct comparison *comparison);

/* Whether the cell is measured of that contender: it has the cell's level and all the operations. */
bool contender_plays(const struct comparison *comparison, const struct contender *contender, const struct cell *cell);

/* Turns the target to the sessions that the cell is about; false with a sentence on stderr. */
bool contender_enter(struct comparison *comparison, struct contender *contender, struct cell *cell);

#endif
