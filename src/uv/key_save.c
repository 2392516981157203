/* Cookie secrets on their way to the key file: written in libuv's pool, since a disk may take seconds for it, and told
 * to the loop that asked. Rare: a namespace gets its secrets once, and others when they are rotated. The pool's thread
 * touches the copies here and the key file alone. */
#include "base/buf.h"
#include "uv/internal.h"

#include <stdlib.h>

struct key_save {
    uv_work_t work;
    struct shell_loop *loop;
    uint64_t number;
    bool is_absent, is_saved;
    struct buf namespace, secrets;
};

static void save_free(struct key_save *save) {
    buf_fini(&save->namespace);
    buf_fini(&save->secrets);
    free(save);
}

static void save_work(uv_work_t *work) {
    struct key_save *save = work->data;
    struct bytes secrets = save->is_absent ? BYTES_ABSENT : buf_bytes(&save->secrets);
    save->is_saved = key_file_save(&save->loop->shell->keys, buf_bytes(&save->namespace), secrets);
}

static void save_done(uv_work_t *work, int status) {
    struct key_save *save = work->data;
    (void)status; /* nothing cancels it */
    loop_enter_turn(save->loop);
    server_loop_saved(save->loop->core, save->number, save->is_saved);
    save_free(save);
}

bool key_save_begin(void *context, struct keyring_ticket ticket, struct bytes namespace, struct bytes secrets) {
    struct shell *shell = context;
    struct key_save *save = malloc(sizeof *save);
    if (!save) return false;
    *save = (struct key_save){.loop = shell->loops[ticket.loop_index],
                              .number = ticket.number,
                              .is_absent = bytes_is_absent(secrets),
                              .namespace = BUF_EMPTY,
                              .secrets = {.is_secret = true}};
    save->work.data = save;
    buf_append(&save->namespace, namespace.data, namespace.size);
    if (!save->is_absent) buf_append(&save->secrets, secrets.data, secrets.size);
    bool is_whole = !save->namespace.is_failed && !save->secrets.is_failed;
    if (is_whole && uv_queue_work(&save->loop->uv, &save->work, save_work, save_done) == 0) return true;
    save_free(save);
    return false;
}
