/* An engine that is obviously right and not fast: arrays and linear search, everything judged anew at every look.
 *
 * It shows that the rules above the boundary hang on no engine, and it tells which side is wrong where a scenario
 * fails: what fails on both is the operation or the script. Nothing is freed before close. One thread. */
#ifndef SCENARIO_NAIVE_ENGINE_H
#define SCENARIO_NAIVE_ENGINE_H

#include "sessiond/engine.h"

struct engine *naive_engine_open(const struct engine_options *options);

#endif
