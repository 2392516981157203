/* See scratch.h. */
#define _GNU_SOURCE
#include "scratch.h"

#include <errno.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

bool scratch_make(const char *parent, char path[SCRATCH_PATH_MAX], char *problem, size_t problem_size) {
    int size = snprintf(path, SCRATCH_PATH_MAX, "%s/sessiond-bench-XXXXXX", parent);
    if (size < SCRATCH_PATH_MAX && mkdtemp(path)) return true;
    snprintf(problem, problem_size, "no directory can be made in %.200s: %s; --scratch names another one", parent,
             size < SCRATCH_PATH_MAX ? strerror(errno) : "its name is too long");
    path[0] = '\0';
    return false;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info, (void)kind, (void)place;
    if (remove(path) != 0) fprintf(stderr, "sessiond-bench: %s is left behind: %s\n", path, strerror(errno));
    return 0;
}

void scratch_remove(const char *path) {
    if (path[0]) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

bool scratch_is_memory(const char *parent) {
    struct statfs info;
    return statfs(parent, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}
