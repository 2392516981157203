/* Room for what a rule builds: see struct scratch in engine.h. Belongs to one loop; the engine resets and frees it. */
#ifndef OP_SCRATCH_H
#define OP_SCRATCH_H

#include "sessiond/engine.h"

/* Room for `more` bytes behind scratch->size, aligned for any object where size is 0; NULL where memory is lacking. May
 * move what stands before: reserve once, then write. Does not change size. */
uint8_t *scratch_reserve(struct scratch *scratch, size_t more);

#endif
