/* See seal_file.h. The credential is what systemd's LoadCredential= puts there. */
#include "uv/seal_file.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREDENTIAL          "sessiond-encryption-key"
#define SEAL_FILE_BYTES_MAX 4096

static enum seal_file refuse(char *error, const char *path, const char *why) {
    snprintf(error, SEAL_FILE_ERROR_MAX, "encryption key file %.300s: %.200s", path, why);
    return SEAL_FILE_REFUSED;
}

/* "": there is none. A credential that is not there is none; a file that the options name must be. */
static void path_of(const struct options *options, char *path, size_t size) {
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    snprintf(path, size, "%s", options->encryption_key_file);
    if (*path || !folder || !*folder) return;
    snprintf(path, size, "%s/" CREDENTIAL, folder);
    if (access(path, F_OK) < 0) *path = 0;
}

/* A credential is guarded by its directory, and its group's bits are the mask of an access list. */
static const char *unfit(const struct stat *info, bool is_credential) {
    if (!S_ISREG(info->st_mode)) return "is no file; name another";
    if (info->st_uid != geteuid() && info->st_uid != 0) return "belongs to somebody else; give it to the server's user";
    if (info->st_mode & (is_credential ? 007 : 077))
        return "may be read by others; take that away (chmod 600) and think its keys known";
    if (info->st_size > SEAL_FILE_BYTES_MAX) return "is too long for a file of keys; name another";
    return NULL;
}

static bool read_all(int fd, struct buf *out) {
    uint8_t *at = buf_reserve(out, SEAL_FILE_BYTES_MAX);
    while (at) {
        ssize_t count = read(fd, out->data + out->size, SEAL_FILE_BYTES_MAX - out->size);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return count == 0;
        out->size += (size_t)count;
    }
    return false;
}

enum seal_file seal_file_read(const struct options *options, struct seal_keys *out, char error[SEAL_FILE_ERROR_MAX]) {
    char path[OPTION_TEXT_MAX];
    struct buf text = {.is_secret = true};
    struct stat info;
    const char *why = NULL;
    enum seal_file outcome = SEAL_FILE_READ;
    path_of(options, path, sizeof path);
    if (!*path) return SEAL_FILE_NONE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return refuse(error, path, strerror(errno));
    if (fstat(fd, &info) < 0 || (!(why = unfit(&info, !*options->encryption_key_file)) && !read_all(fd, &text)))
        outcome = refuse(error, path, "cannot be read");
    else if (why || !seal_keys_read(buf_bytes(&text), out, &why))
        outcome = refuse(error, path, why);
    buf_fini(&text);
    close(fd);
    return outcome;
}
