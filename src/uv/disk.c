/* See disk.h. Names are looked up in the directory that was opened, so nothing follows if it is moved meanwhile. */
#define _GNU_SOURCE /* fallocate */
#include "uv/disk.h"

#include "log/format.h"
#include "uv/clock.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk_file {
    int fd;
};

/* ---------------------------------------------------------------- errors */

static _Thread_local int last_errno;

/* What the system's last call has failed with, as the log understands it. */
static enum disk_error failed(void) {
    last_errno = errno;
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return DISK_FULL; /* the last one: by the process's limit of file sizes */
    case ENOENT: return DISK_MISSING;
    case EEXIST: return DISK_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS: return DISK_REFUSED;
    default: return DISK_FAILED;
    }
}

static enum disk_error answer(int result) {
    return result < 0 ? failed() : DISK_OK;
}

static int directory_fd(void *context) {
    return ((struct directory *)context)->fd;
}

/* ---------------------------------------------------------------- files */

static enum disk_error on_open(void *context, const char *name, enum disk_mode mode, struct disk_file **out) {
    static const int flags[] = {[DISK_READ] = O_RDONLY, [DISK_WRITE] = O_RDWR, [DISK_MAKE] = O_RDWR | O_CREAT | O_EXCL};
    assert(strlen(name) <= DISK_NAME_MAX && !strchr(name, '/'));
    struct disk_file *file = malloc(sizeof *file);
    if (!file) {
        errno = ENOMEM;
        return failed();
    }
    do {
        file->fd = openat(directory_fd(context), name, flags[mode] | O_CLOEXEC | O_NOFOLLOW, 0600);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        enum disk_error error = failed();
        free(file);
        return error;
    }
    *out = file;
    return DISK_OK;
}

static enum disk_error on_write(struct disk_file *file, uint64_t offset, struct bytes bytes) {
    while (bytes.size > 0) {
        ssize_t count = pwrite(file->fd, bytes.data, bytes.size, (off_t)offset);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed();
        if (count == 0) { /* no device does this; for ever would be worse */
            errno = EIO;
            return failed();
        }
        offset += (uint64_t)count;
        bytes = bytes_of(bytes.data + count, bytes.size - (size_t)count);
    }
    return DISK_OK;
}

static enum disk_error on_read(struct disk_file *file, uint64_t offset, void *out, size_t size, size_t *got) {
    *got = 0;
    while (*got < size) {
        ssize_t count = pread(file->fd, (uint8_t *)out + *got, size - *got, (off_t)(offset + *got));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed();
        if (count == 0) break;
        *got += (size_t)count;
    }
    return DISK_OK;
}

static enum disk_error on_sync(struct disk_file *file) {
    /* Not tried again after any error: the kernel tells of a lost write once, and the next sync would succeed. */
    return answer(fdatasync(file->fd));
}

/* Whole pages only, so the last one stays until the next call reaches beyond it. What is not known to be on the device
 * must not be named here: after a sync that failed it may be nowhere but in this memory. */
static void on_forget(struct disk_file *file, uint64_t offset) {
    if (offset > 0) posix_fadvise(file->fd, 0, (off_t)offset, POSIX_FADV_DONTNEED);
}

static enum disk_error on_truncate(struct disk_file *file, uint64_t size) {
    int result;
    do {
        result = ftruncate(file->fd, (off_t)size);
    } while (result < 0 && errno == EINTR);
    return answer(result);
}

static enum disk_error on_size(struct disk_file *file, uint64_t *out) {
    struct stat info = {0};
    int result = fstat(file->fd, &info);
    *out = (uint64_t)info.st_size;
    return answer(result);
}

static enum disk_error on_allocate(struct disk_file *file, uint64_t size) {
    uint64_t before;
    int result;
    enum disk_error error = on_size(file, &before);
    if (error || before >= size) return error;
    do {
        result = fallocate(file->fd, 0, 0, (off_t)size);
    } while (result < 0 && errno == EINTR);
    if (result == 0) return DISK_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS) return on_truncate(file, size);
    error = failed();
    int why = last_errno;
    on_truncate(file, before); /* what was reserved of it goes back */
    last_errno = why;
    return error;
}

static void on_close(struct disk_file *file) {
    close(file->fd);
    free(file);
}

/* ---------------------------------------------------------------- names */

static enum disk_error on_rename(void *context, const char *from, const char *to) {
    int fd = directory_fd(context);
    return answer(renameat(fd, from, fd, to));
}

static enum disk_error on_remove(void *context, const char *name) {
    return answer(unlinkat(directory_fd(context), name, 0));
}

static enum disk_error on_sync_directory(void *context) {
    return answer(fsync(directory_fd(context)));
}

static enum disk_error on_list(void *context, disk_each each, void *each_context) {
    int fd = openat(directory_fd(context), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    enum disk_error error = DISK_OK;
    if (!stream) {
        error = failed();
        if (fd >= 0) close(fd);
        return error;
    }
    for (;;) {
        struct stat info;
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            if (errno) error = failed();
            break;
        }
        if (strlen(entry->d_name) > DISK_NAME_MAX) continue; /* not one of ours */
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT) continue; /* gone meanwhile */
            error = failed();
            break;
        }
        if (S_ISDIR(info.st_mode)) continue;
        /* A link with the name of a file of ours is told too: to pass it over would be to find an empty directory where
         * there is none. To open it is refused. */
        each(each_context, entry->d_name, S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0);
    }
    closedir(stream);
    return error;
}

static int64_t on_wall_ms(void *context) {
    (void)context;
    return clock_wall_ms();
}

static const char *on_why(void *context) {
    (void)context;
    return strerror(last_errno);
}

/* ---------------------------------------------------------------- the directory */

static bool refuse(char *error, const char *path, const char *what) {
    snprintf(error, DIRECTORY_ERROR_MAX, "data directory %.250s: %.200s", path, what);
    return false;
}

static bool refuse_errno(char *error, const char *path, const char *what) {
    char why[200];
    snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
    return refuse(error, path, why);
}

/* Whoever may change what stands in it may change sessions; whoever may read it can read them. */
static bool check_owner(const struct directory *directory, const char *path, char *error) {
    struct stat info;
    if (fstat(directory->fd, &info) < 0) return refuse_errno(error, path, "cannot be looked at");
    if (info.st_uid != geteuid() && info.st_uid != 0)
        return refuse(error, path, "belongs to somebody else; give it to the server's user");
    if (info.st_mode & 022) return refuse(error, path, "may be written by others; take that away (chmod 700)");
    return true;
}

/* Has a directory that was just made last, as far as the one above it lets us. */
static void sync_parent(const struct directory *directory) {
    int fd = openat(directory->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

static bool lock_take_file(struct directory *directory, const char *path, char *error) {
    directory->lock_fd = openat(directory->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (directory->lock_fd < 0) return refuse_errno(error, path, "its file `lock` cannot be made");
    /* Of the directory itself too, where the system has that: the file may be removed by whoever tidies up. */
    bool is_taken = flock(directory->lock_fd, LOCK_EX | LOCK_NB) == 0 &&
                    (flock(directory->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
    if (is_taken) return true;
    if (errno == EWOULDBLOCK)
        return refuse(error, path, "another server uses it; end that one first, or give each its own data_dir");
    return refuse_errno(error, path, "its lock cannot be taken");
}

bool directory_open(struct directory *directory, const char *path, enum directory_use use,
                    char error[DIRECTORY_ERROR_MAX]) {
    *directory = (struct directory){.fd = -1, .lock_fd = -1};
    directory->disk = (struct disk){.context = directory,
                                    .open = on_open,
                                    .write = on_write,
                                    .read = on_read,
                                    .sync = on_sync,
                                    .forget = on_forget,
                                    .allocate = on_allocate,
                                    .truncate = on_truncate,
                                    .size = on_size,
                                    .close = on_close,
                                    .rename = on_rename,
                                    .remove = on_remove,
                                    .sync_directory = on_sync_directory,
                                    .list = on_list,
                                    .wall_ms = on_wall_ms,
                                    .why = on_why};
    bool is_made = use == DIRECTORY_OWN && mkdir(path, 0700) == 0;
    if (use == DIRECTORY_OWN && !is_made && errno != EEXIST) return refuse_errno(error, path, "cannot be made");
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0) return refuse_errno(error, path, "cannot be opened");
    if (is_made) sync_parent(directory);
    if (use == DIRECTORY_LOOK) return true;
    if (check_owner(directory, path, error) && lock_take_file(directory, path, error)) return true;
    directory_close(directory);
    return false;
}

void directory_close(struct directory *directory) {
    if (directory->lock_fd >= 0) close(directory->lock_fd);
    if (directory->fd >= 0) close(directory->fd);
    directory->fd = directory->lock_fd = -1;
}

static void note_sessions(void *context, const char *name, uint64_t size) {
    bool *is_there = context;
    enum file_kind kind;
    uint64_t number;
    (void)size;
    *is_there |= file_name_read(name, &kind, &number);
}

bool directory_holds_sessions(const char *path) {
    struct directory directory;
    char error[DIRECTORY_ERROR_MAX];
    bool is_there = false;
    if (!directory_open(&directory, path, DIRECTORY_LOOK, error)) return false;
    directory.disk.list(directory.disk.context, note_sessions, &is_there);
    directory_close(&directory);
    return is_there;
}
