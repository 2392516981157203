/* See key_file.h. */
#include "uv/key_file.h"

#include "base/log.h"
#include "uv/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- paths and errors */

enum { PATH_MAX_BYTES = sizeof(((struct key_file *)0)->path) + 8 };

static bool refuse(char *error, const char *path, const char *why) {
    snprintf(error, KEY_FILE_ERROR_MAX, "key file %.300s: %.180s", path, why);
    return false;
}

static bool refuse_errno(char *error, const char *path, const char *what) {
    char why[160];
    snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
    return refuse(error, path, why);
}

static void path_with(char out[PATH_MAX_BYTES], const char *path, const char *suffix) {
    snprintf(out, PATH_MAX_BYTES, "%s%s", path, suffix);
}

/* Where the options put it: key_file, else a file in data_dir, else nowhere. */
static void path_of(const struct options *options, char *path, size_t size) {
    if (*options->key_file || !*options->data_dir)
        snprintf(path, size, "%s", options->key_file);
    else
        snprintf(path, size, "%s/keys", options->data_dir);
}

/* ---------------------------------------------------------------- the lock */

/* A descriptor that holds the lock until it is closed; -1: *error says why not. */
static int lock_open(const char *path, char *error) {
    char lock_path[PATH_MAX_BYTES];
    path_with(lock_path, path, ".lock");
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        refuse_errno(error, path, "its lock cannot be made");
        return -1;
    }
    while (flock(fd, LOCK_EX) < 0) {
        if (errno == EINTR) continue;
        refuse_errno(error, path, "its lock cannot be taken");
        close(fd);
        return -1;
    }
    return fd;
}

/* ---------------------------------------------------------------- reading and writing; under the lock */

static bool read_all(int fd, size_t size, struct buf *out) {
    uint8_t *at = buf_reserve(out, size ? size : 1);
    while (at && out->size < size) {
        ssize_t count = read(fd, out->data + out->size, size - out->size);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        out->size += (size_t)count;
    }
    return at != NULL;
}

/* What makes a file unfit to be read at all; NULL: nothing. */
static const char *unfit(const struct stat *info) {
    if (!S_ISREG(info->st_mode)) return "is no file; name another";
    if (info->st_uid != geteuid() && info->st_uid != 0) return "belongs to somebody else; give it to the server's user";
    if (info->st_mode & 077) return "may be read by others; take that away (chmod 600) and think its keys known";
    if (info->st_size > (off_t)KEY_FILE_BYTES_MAX) return "is too long for a key file; name another";
    return NULL;
}

/* NULL: there is none (*is_missing), or it is refused. */
static struct keys *file_read(const char *path, bool *is_missing, char *error) {
    struct buf bytes = {.is_secret = true};
    struct keys *keys = NULL;
    struct stat info;
    const char *why = NULL;
    *is_missing = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *is_missing = errno == ENOENT;
        if (!*is_missing) refuse_errno(error, path, "cannot be opened");
        return NULL;
    }
    if (fstat(fd, &info) < 0 || (!(why = unfit(&info)) && !read_all(fd, (size_t)info.st_size, &bytes)))
        refuse_errno(error, path, "cannot be read");
    else if (why || !(keys = keys_decode(buf_bytes(&bytes), &why)))
        refuse(error, path, why);
    buf_fini(&bytes);
    close(fd);
    return keys;
}

static bool write_all(int fd, struct bytes bytes) {
    while (bytes.size > 0) {
        ssize_t count = write(fd, bytes.data, bytes.size);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        bytes = bytes_of(bytes.data + count, bytes.size - (size_t)count);
    }
    return fsync(fd) == 0;
}

/* Has the renaming itself last. */
static bool sync_folder(const char *path) {
    char folder[PATH_MAX_BYTES];
    path_with(folder, path, "");
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool is_done = fsync(fd) == 0;
    close(fd);
    return is_done;
}

static bool file_write(const char *path, const struct keys *keys, char *error) {
    char fresh[PATH_MAX_BYTES];
    struct buf bytes = {.is_secret = true};
    bool is_done = false;
    path_with(fresh, path, ".new");
    keys_encode(keys, &bytes);
    unlink(fresh); /* of a process that died while it wrote */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        is_done = !bytes.is_failed && write_all(fd, buf_bytes(&bytes));
        close(fd);
    }
    is_done = is_done && rename(fresh, path) == 0 && sync_folder(path);
    if (!is_done) {
        refuse_errno(error, path, "cannot be written");
        if (fd >= 0) unlink(fresh);
    }
    buf_fini(&bytes);
    return is_done;
}

/* ---------------------------------------------------------------- a running server */

/* A namespace's cookie secrets: what stands in the file is changed, not what is in force, since the file may have been
 * rotated meanwhile. The change then takes that into force, too. */
bool key_file_save(struct key_file *file, struct bytes namespace, struct bytes secrets) {
    char error[KEY_FILE_ERROR_MAX] = "there is not enough memory";
    const struct keys *held = keyring_take(&file->keyring);
    struct keys *found = NULL, *next = NULL;
    bool is_missing = false, is_done = false;
    int lock = lock_open(file->path, error);
    if (lock < 0) goto done;
    found = file_read(file->path, &is_missing, error);
    if (found && !keys_are_related(found, held))
        refuse(error, file->path, "is another server's now; put this one's back");
    else if (found || is_missing)
        next = keys_with_cookie_secrets(found ? found : held, namespace, secrets);
    is_done = next && file_write(file->path, next, error);
    if (is_done) keyring_set(&file->keyring, keys_hold(next));
    close(lock);
done:
    if (!is_done) log_event(LOG_ERROR, "keys_not_saved", LOG_TEXT("why", error));
    keys_release(next);
    keys_release(found);
    keys_release(held);
    return is_done;
}

bool key_file_reload(struct key_file *file, char error[KEY_FILE_ERROR_MAX]) {
    bool is_missing, is_done = false;
    if (!*file->path) return true;
    int lock = lock_open(file->path, error);
    if (lock < 0) return false;
    const struct keys *held = keyring_take(&file->keyring);
    struct keys *found = file_read(file->path, &is_missing, error);
    if (is_missing)
        refuse(error, file->path, "is gone; put it back");
    else if (found && !keys_are_related(found, held))
        refuse(error, file->path, "is another server's; put this one's back");
    else
        is_done = found != NULL;
    if (is_done) keyring_set(&file->keyring, keys_hold(found));
    keys_release(held);
    keys_release(found);
    close(lock);
    return is_done;
}

/* ---------------------------------------------------------------- opening */

/* The file's keys, or fresh ones in a fresh file (*is_made); NULL: *error says why not. */
static struct keys *keys_find(const char *path, const struct env *env, bool *is_made, char *error) {
    int lock = lock_open(path, error);
    if (lock < 0) return NULL;
    struct keys *keys = file_read(path, is_made, error);
    if (*is_made && (keys = keys_make(env)) && !file_write(path, keys, error)) {
        keys_release(keys);
        keys = NULL;
    }
    close(lock);
    return keys;
}

/* A backup need not have the keys, so it is no reason not to start. */
static void tell_made(const struct options *options, const char *path) {
    if (!*options->data_dir || !directory_holds_sessions(options->data_dir)) return;
    log_event(LOG_WARN, "keys_made", LOG_TEXT("key_file", path),
              LOG_TEXT("why",
                       "the data directory holds sessions and the key file was missing: their tokens, handles and "
                       "cookies hold no longer"),
              LOG_TEXT("todo", "if there is a copy of the file, end the server and put it back"));
}

bool key_file_open(struct key_file *file, const struct options *options, const struct env *env, keyring_save save,
                   void *save_context, char error[KEY_FILE_ERROR_MAX]) {
    path_of(options, file->path, sizeof file->path);
    file->env = env;
    snprintf(error, KEY_FILE_ERROR_MAX, "there is not enough memory for keys");
    if (!cipher_open()) return false;
    if (!*options->key_file && *options->data_dir && mkdir(options->data_dir, 0700) < 0 && errno != EEXIST)
        return refuse_errno(error, file->path, "its directory cannot be made");
    bool is_made = false;
    struct keys *keys = *file->path ? keys_find(file->path, env, &is_made, error) : keys_make(env);
    if (!keys) return false;
    if (is_made) tell_made(options, file->path);
    keyring_open(&file->keyring, keys, *file->path ? save : NULL, save_context);
    return true;
}

void key_file_close(struct key_file *file) {
    keyring_close(&file->keyring);
}

bool key_file_rotate(const struct options *options, const struct env *env, uint32_t *number,
                     char error[KEY_FILE_ERROR_MAX]) {
    char path[sizeof(((struct key_file *)0)->path)];
    bool is_missing, is_done = false;
    path_of(options, path, sizeof path);
    snprintf(error, KEY_FILE_ERROR_MAX, "there is not enough memory for keys");
    if (!cipher_open()) return false;
    if (!*path) {
        snprintf(error, KEY_FILE_ERROR_MAX, "--rotate-keys needs --key-file or --data-dir, to know which file");
        return false;
    }
    int lock = lock_open(path, error);
    if (lock < 0) return false;
    struct keys *keys = file_read(path, &is_missing, error), *next = NULL;
    if (is_missing) refuse(error, path, "does not exist; a server that is started with it makes it");
    if (keys && (next = keys_rotate(keys, env))) is_done = file_write(path, next, error);
    if (is_done) *number = next->current.number;
    keys_release(next);
    keys_release(keys);
    close(lock);
    return is_done;
}
