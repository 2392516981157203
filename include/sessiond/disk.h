/* A directory of files, as the log needs it: one data directory, flat, by names of our own making.
 *
 * Two disks exist: src/uv/disk.c (the real one) and tests/disk (simulated: it keeps, loses or tears what was not synced
 * when it crashes, and fails when it is told to). Everything blocks for as long as the device does, so it is called on
 * storage threads and at start only, never on a loop's thread.
 * Threads: different files may be used at the same time; of one file, write, sync and the rest may be called by
 * different threads at the same time, each of them by one. Functions that answer an error answer enum disk_error. */
#ifndef SESSIOND_DISK_H
#define SESSIOND_DISK_H

#include "sessiond/bytes.h"

enum disk_error {
    DISK_OK,
    DISK_FULL, /* no space, or no quota, is left: what was to be written may be there in part, and can be tried again */
    DISK_MISSING, /* there is no such file */
    DISK_EXISTS,
    DISK_REFUSED, /* not permitted, or read-only */
    DISK_FAILED   /* anything else: after it nothing is known of what was not synced before */
};

enum disk_mode {
    DISK_READ,  /* it is there, and is not written */
    DISK_WRITE, /* it is there */
    DISK_MAKE   /* it is not there yet: DISK_EXISTS else. Readable by its owner alone */
};

#define DISK_NAME_MAX 63 /* characters of a file's name */

struct disk_file; /* a disk's own */

typedef void (*disk_each)(void *context, const char *name, uint64_t size);

struct disk {
    void *context; /* passed to each function that takes no file */
    enum disk_error (*open)(void *context, const char *name, enum disk_mode mode, struct disk_file **out);
    /* Writes all of it at that place, or answers why not. */
    enum disk_error (*write)(struct disk_file *file, uint64_t offset, struct bytes bytes);
    /* Reads up to `size` bytes; *got is less only at the end of the file. */
    enum disk_error (*read)(struct disk_file *file, uint64_t offset, void *out, size_t size, size_t *got);
    /* What was written before it began is there after a power cut (its size included). Once it has failed, a later
     * success of the same file proves nothing. */
    enum disk_error (*sync)(struct disk_file *file);
    /* What stands before `offset` is synced and is not read again soon, so the system need not keep it in memory. Never
     * fails and changes nothing that is read. */
    void (*forget)(struct disk_file *file, uint64_t offset);
    /* Sees to it that the file has at least that size, with zeros where nothing was written, and that writing there
     * needs no further space. DISK_FULL: it is as it was. A disk that cannot promise the space only sets the size. */
    enum disk_error (*allocate)(struct disk_file *file, uint64_t size);
    enum disk_error (*truncate)(struct disk_file *file, uint64_t size);
    enum disk_error (*size)(struct disk_file *file, uint64_t *out);
    void (*close)(struct disk_file *file);
    /* `to` is replaced if it is there; whole after a power cut once the directory was synced. */
    enum disk_error (*rename)(void *context, const char *from, const char *to);
    enum disk_error (*remove)(void *context, const char *name);
    enum disk_error (*sync_directory)(void *context);
    /* Every file, in no order. */
    enum disk_error (*list)(void *context, disk_each each, void *each_context);
    /* The wall clock, milliseconds since the Unix epoch: for headers, which say what time it was outside. */
    int64_t (*wall_ms)(void *context);
    /* The system's word for the last error of this thread, for messages; never NULL. */
    const char *(*why)(void *context);
};

#endif
