/* Preloaded into a server under test: fdatasync fails with EIO, without having done anything, from the moment on when
 * the file that FAIL_SYNC names is there; a sync hangs while the one that HANG_SYNC names is there. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_there(const char *variable) {
    const char *path = getenv(variable);
    return path && access(path, F_OK) == 0;
}

int fdatasync(int fd);
int fdatasync(int fd) {
    while (is_there("HANG_SYNC")) usleep(1000);
    if (!is_there("FAIL_SYNC")) return (int)syscall(SYS_fdatasync, fd);
    errno = EIO;
    return -1;
}
