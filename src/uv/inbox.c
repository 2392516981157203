/* A ring under a spin lock: a socket is handed over a few thousand times a second at most, so nothing cleverer pays. */
#include "uv/inbox.h"

bool inbox_put(struct inbox *inbox, struct inbox_item item) {
    lock_take(&inbox->lock);
    bool has_room = inbox->put - inbox->taken < INBOX_MAX;
    if (has_room) inbox->items[inbox->put++ % INBOX_MAX] = item;
    lock_release(&inbox->lock);
    return has_room;
}

bool inbox_take(struct inbox *inbox, struct inbox_item *item) {
    lock_take(&inbox->lock);
    bool has_item = inbox->put != inbox->taken;
    if (has_item) *item = inbox->items[inbox->taken++ % INBOX_MAX];
    lock_release(&inbox->lock);
    return has_item;
}
