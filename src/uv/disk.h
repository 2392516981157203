/* The real disk: one directory, and the lock that makes it one server's.
 *
 * Opened and closed on one thread; `disk` as disk.h says. Nothing here is called on a loop's thread while it serves. */
#ifndef UV_DISK_H
#define UV_DISK_H

#include "sessiond/disk.h"

#define DIRECTORY_ERROR_MAX 512

enum directory_use {
    DIRECTORY_OWN, /* made if it is missing, of mode 0700; its file `lock` is held until directory_close */
    DIRECTORY_LOOK /* as it is: whoever only reads it, beside a server perhaps */
};

struct directory {
    struct disk disk;
    int fd, lock_fd;
};

/* False: `error` says why not and what to do. */
bool directory_open(struct directory *directory, const char *path, enum directory_use use,
                    char error[DIRECTORY_ERROR_MAX]);
void directory_close(struct directory *directory);

/* Whether a log or a snapshot stands there. False also where nothing can be seen. */
bool directory_holds_sessions(const char *path);

#endif
