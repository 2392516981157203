/* Directories that servers keep their data in while they are measured. Main thread. */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

enum { SCRATCH_PATH_MAX = 512 };

/* Makes an empty directory of its own below `parent`, for this user alone. False with a sentence in `problem`. */
bool scratch_make(const char *parent, char path[SCRATCH_PATH_MAX], char *problem, size_t problem_size);

/* Removes it with everything in it; does nothing for an empty path. */
void scratch_remove(const char *path);

/* Whether a sync there costs nothing, since it is memory. */
bool scratch_is_memory(const char *parent);

#endif
