/* Telling all that the engine holds, a part at a time: see engine.h, snapshot. One thread at a time, not a loop's. */
#ifndef ENGINE_MEMORY_SNAPSHOT_H
#define ENGINE_MEMORY_SNAPSHOT_H

#include "engine/memory/memory.h"

void memory_snapshot(struct engine *self, struct snapshot_cursor *cursor, struct buf *out, size_t bytes_max,
                     int64_t now_ms);

#endif
