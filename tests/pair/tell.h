/* What came of the pair test's steps, in words: for whoever looks into a seed. */
#ifndef PAIR_TELL_H
#define PAIR_TELL_H

#include "sessiond/engine.h"

/* What a step asked and what came of it, with the naive engine's behind the stroke. at_ms: since the start. */
void tell_step(unsigned step, int64_t at_ms, const struct verb verbs[2], const enum submit_state states[2]);

#endif
