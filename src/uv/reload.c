/* What SIGHUP asks for: the options, the keys of tokens and those of encryption are read again.
 *
 * Always true: files are read in libuv's pool, since a disk may take seconds for it, and one reading is under way at
 * most; who asks meanwhile has all of it read once more, since a file may have been changed behind it. What was read is
 * put into force on loop 0's thread, but for the keys of tokens, whose file's lock is held from reading to holding. A
 * server that drains takes nothing new into force. */
#include "uv/internal.h"

#include <sodium.h>
#include <stdlib.h>

struct reload {
    uv_work_t work;
    struct shell *shell;
    struct options next; /* with has_options */
    bool has_options, has_keys;
    struct storage_keys sealing;
    char options_error[OPTIONS_ERROR_MAX], keys_error[KEY_FILE_ERROR_MAX];
};

/* On the pool's thread: touches what is here, the files, and the keyring. */
static void reload_work(uv_work_t *work) {
    struct reload *reload = work->data;
    struct shell *shell = reload->shell;
    reload->has_options = shell->read_options(shell->read_options_context, &reload->next, reload->options_error);
    reload->has_keys = key_file_reload(&shell->keys, reload->keys_error);
    storage_keys_read(&shell->storage, &reload->sealing);
}

static void log_change(void *context, const struct option_row *row, const char *from, const char *to, bool is_applied) {
    (void)context;
    log_event(is_applied ? LOG_INFO : LOG_WARN, is_applied ? "option_changed" : "option_needs_restart",
              LOG_TEXT("option", row->name), LOG_TEXT("from", from), LOG_TEXT("to", to));
}

static void refuse_options(const char *why) {
    log_event(LOG_ERROR, "reload_refused", LOG_TEXT("why", why));
}

static void apply_options(struct shell *shell, const struct options *next) {
    log_event(LOG_INFO, "reloading", LOG_TEXT("config", next->config));
    lock_take(&shell->options_lock);
    struct options before = *shell->options; /* borrows its texts; none of them is reloadable */
    options_apply(shell->options, next, NULL, NULL);
    lock_release(&shell->options_lock);
    options_apply(&before, next, log_change, NULL);
    limits_apply(shell);
}

static void tell_keys(const struct reload *reload) {
    const char *path = reload->shell->keys.path;
    if (!*path) return;
    if (reload->has_keys)
        log_event(LOG_INFO, "keys_read", LOG_TEXT("key_file", path));
    else
        log_event(LOG_ERROR, "keys_refused", LOG_TEXT("why", reload->keys_error));
}

static void reload_apply(struct reload *reload) {
    struct shell *shell = reload->shell;
    if (reload->has_options)
        apply_options(shell, &reload->next);
    else
        refuse_options(reload->options_error);
    tell_keys(reload);
    storage_keys_apply(&shell->storage, &reload->sealing);
}

static void reload_free(struct reload *reload) {
    if (reload->has_options) options_fini(&reload->next);
    sodium_memzero(&reload->sealing, sizeof reload->sealing);
    free(reload);
}

static void reload_done(uv_work_t *work, int status) {
    struct reload *reload = work->data;
    struct shell *shell = reload->shell;
    (void)status; /* nothing cancels it */
    loop_enter_turn(shell->loops[0]);
    bool is_over = atomic_load(&shell->is_draining), is_wanted = shell->wants_reload;
    shell->is_reloading = shell->wants_reload = false;
    if (!is_over) reload_apply(reload);
    reload_free(reload);
    if (is_wanted && !is_over) reload_begin(shell);
}

void reload_begin(struct shell *shell) {
    if (shell->is_reloading) {
        shell->wants_reload = true;
        return;
    }
    struct reload *reload = calloc(1, sizeof *reload);
    if (reload) {
        reload->shell = shell;
        reload->work.data = reload;
        shell->is_reloading = uv_queue_work(&shell->loops[0]->uv, &reload->work, reload_work, reload_done) == 0;
    }
    if (shell->is_reloading) return;
    free(reload);
    refuse_options("there is not enough memory");
}
