/* Where the keys stand: a file of mode 0600, or nowhere but in memory.
 *
 * Always true: the file is replaced whole (written beside, synced, renamed) and only while `<path>.lock` is held, so
 * that a server which takes in cookie secrets and a --rotate-keys never undo each other; what is damaged, foreign, or
 * readable by others is refused and left untouched. */
#ifndef UV_KEY_FILE_H
#define UV_KEY_FILE_H

#include "config/options.h"
#include "crypto/keyring.h"

#define KEY_FILE_ERROR_MAX 512

struct key_file {
    char path[OPTION_TEXT_MAX + 8]; /* "": keys live in memory only */
    const struct env *env;
    struct keyring keyring; /* open after key_file_open */
};

/* Gives a namespace other cookie secrets (absent: none): the file is replaced, and what it holds then is in force.
 * False: nothing changed, and the log says why. Blocks; any thread. */
bool key_file_save(struct key_file *file, struct bytes namespace, struct bytes secrets);

/* Reads the keys, or makes them (and the file) where there are none. `save` is the keyring's, where there is a file.
 * False: `error` says why not. Main thread. */
bool key_file_open(struct key_file *file, const struct options *options, const struct env *env, keyring_save save,
                   void *save_context, char error[KEY_FILE_ERROR_MAX]);
void key_file_close(struct key_file *file);

/* Puts into force what stands in the file now. False: `error` says why what was in force stays so.
 * Blocks; any thread. */
bool key_file_reload(struct key_file *file, char error[KEY_FILE_ERROR_MAX]);

/* Gives the file of these options a new token key; the one that was current still verifies. False: `error` says why
 * nothing changed. *number: the new key's. Main thread. */
bool key_file_rotate(const struct options *options, const struct env *env, uint32_t *number,
                     char error[KEY_FILE_ERROR_MAX]);

#endif
