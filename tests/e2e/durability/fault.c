/* Preloaded into a server under test: calls of the C library that fail, or hang, on files of certain names.
 *
 * The file that FAULTS names has a rule on each line, and is read at each call, so rules come and go under the server:
 *
 *     NUMBER CALL NAME WHAT SKIP TIMES
 *
 * The calls of CALL on files whose name has NAME in it, after the first SKIP of them, TIMES of them. WHAT is an errno,
 * or 0: it hangs until the rule is gone, and then is as a call that comes only now; -1: only half is written, which is
 * no error; below that: half is written, and then it fails with the errno -WHAT. Each rule in a server's life has a
 * number of its own, below 256.
 *
 * Any thread of the server. The rules are read with the kernel's own calls: they are none of these, and the thread
 * sanitizer, which would not see the file opened, does not see it closed either. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RULES_BYTES_MAX = 4096, NUMBERS = 256, HALF = -1 };

struct rule {
    unsigned number, skip, times;
    int what;
    char call[16], name[64];
};

static _Atomic unsigned counts[NUMBERS];

static bool rules_read(char text[RULES_BYTES_MAX]) {
    const char *path = getenv("FAULTS");
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0) return false;
    long size = syscall(SYS_read, fd, text, RULES_BYTES_MAX - 1);
    syscall(SYS_close, fd);
    text[size > 0 ? size : 0] = 0;
    return size > 0;
}

static bool rule_parse(const char *line, struct rule *out) {
    return sscanf(line, "%u %15s %63s %d %u %u", &out->number, out->call, out->name, &out->what, &out->skip,
                  &out->times) == 6 &&
           out->number < NUMBERS;
}

/* The rule of that number, or where it is NUMBERS the first one for such a call. */
static bool rule_find(unsigned number, const char *call, const char *name, struct rule *out) {
    char text[RULES_BYTES_MAX], *rest = NULL;
    if (!rules_read(text)) return false;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (!rule_parse(line, out)) continue;
        if (number < NUMBERS ? out->number == number : strcmp(out->call, call) == 0 && strstr(name, out->name))
            return true;
    }
    return false;
}

/* What is to become of a call: 0 is what it always does, else WHAT. */
static int fault_of(const char *call, const char *name) {
    struct rule rule, same;
    if (!rule_find(NUMBERS, call, name, &rule)) return 0;
    unsigned count = atomic_fetch_add(&counts[rule.number], 1);
    if (count < rule.skip || count - rule.skip >= rule.times) return 0;
    if (rule.what != 0) return rule.what;
    while (rule_find(rule.number, call, name, &same)) usleep(1000);
    return fault_of(call, name);
}

static int fault_of_file(const char *call, int fd) {
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, name, sizeof name - 1);
    name[size > 0 ? size : 0] = 0;
    return fault_of(call, name);
}

static int fail(int what) {
    errno = what;
    return -1;
}

int fdatasync(int fd) {
    int what = fault_of_file("fdatasync", fd);
    return what ? fail(what) : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    int what = fault_of_file("fsync", fd);
    return what ? fail(what) : (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
    int what = fault_of_file("pwrite", fd);
    if (what > 0) return fail(what);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, what < 0 ? (size + 1) / 2 : size, offset);
    return what < HALF ? fail(-what) : written;
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset) {
    int what = fault_of_file("pread", fd);
    return what ? fail(what) : syscall(SYS_pread64, fd, bytes, size, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    int what = fault_of_file("fallocate", fd);
    return what ? fail(what) : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int ftruncate(int fd, off_t size) {
    int what = fault_of_file("ftruncate", fd);
    return what ? fail(what) : (int)syscall(SYS_ftruncate, fd, size);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    int what = fault_of("renameat", from);
    return what ? fail(what) : (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int unlinkat(int fd, const char *name, int flags) {
    int what = fault_of("unlinkat", name);
    return what ? fail(what) : (int)syscall(SYS_unlinkat, fd, name, flags);
}

int openat(int fd, const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    int what = fault_of("openat", name);
    return what ? fail(what) : (int)syscall(SYS_openat, fd, name, flags, mode);
}

int open(const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    int what = fault_of("open", name);
    return what ? fail(what) : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}
