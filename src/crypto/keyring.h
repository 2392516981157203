/* Which set of keys holds now, for all loops.
 *
 * Always true: each loop works with a set that it holds, and looks whether another one holds when it is fed; so nothing
 * below it ever sees two sets in one request. Changing the set is rare and serialised; looking costs one load. */
#ifndef CRYPTO_KEYRING_H
#define CRYPTO_KEYRING_H

#include "base/lock.h"
#include "crypto/keys.h"

/* Whom a save is for: a loop, and what it knows the save by. */
struct keyring_ticket {
    unsigned loop_index;
    uint64_t number;
};

/* Begins to write other cookie secrets of a namespace (absent: none) down for good and to put the set that has them
 * into force with keyring_set; copies both. Then server_loop_saved is called once on that loop. False: it cannot begin,
 * nothing will change, and nothing is called. Never blocks. On that loop's thread. */
typedef bool (*keyring_save)(void *context, struct keyring_ticket ticket, struct bytes namespace, struct bytes secrets);

struct keyring {
    _Atomic(const struct keys *) current; /* the ring is one of its holders */
    struct lock lock;                     /* over taking `current` and holding it, and over replacing it */
    keyring_save save;                    /* NULL: keys live in memory only */
    void *save_context;
};

/* Takes over the caller's hold on `keys`. */
void keyring_open(struct keyring *keyring, const struct keys *keys, keyring_save save, void *save_context);
void keyring_close(struct keyring *keyring);

/* The set that holds, held for the caller. Any thread. */
const struct keys *keyring_take(struct keyring *keyring);
/* Takes over the caller's hold on `keys`, which hold from now on. Any thread. */
void keyring_set(struct keyring *keyring, const struct keys *keys);

/* Gives a namespace other cookie secrets (absent: none), where keys live in memory only. False: memory is lacking, and
 * nothing changed. Any thread. */
bool keyring_set_cookie_secrets(struct keyring *keyring, struct bytes namespace, struct bytes secrets);

/* Has `mine`, a set that the caller holds or NULL, be the one that holds now. */
static inline void keyring_follow(struct keyring *keyring, const struct keys **mine) {
    if (atomic_load_explicit(&keyring->current, memory_order_acquire) == *mine) return;
    const struct keys *old = *mine;
    *mine = keyring_take(keyring);
    keys_release(old);
}

#endif
