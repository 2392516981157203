/* See keyring.h. */
#include "crypto/keyring.h"

#include <assert.h>

void keyring_open(struct keyring *keyring, const struct keys *keys, keyring_save save, void *save_context) {
    atomic_init(&keyring->current, keys);
    lock_init(&keyring->lock);
    keyring->save = save;
    keyring->save_context = save_context;
}

void keyring_close(struct keyring *keyring) {
    keys_release(atomic_load(&keyring->current));
    atomic_store(&keyring->current, NULL);
}

const struct keys *keyring_take(struct keyring *keyring) {
    lock_take(&keyring->lock);
    const struct keys *keys = keys_hold(atomic_load(&keyring->current));
    lock_release(&keyring->lock);
    return keys;
}

void keyring_set(struct keyring *keyring, const struct keys *keys) {
    lock_take(&keyring->lock);
    const struct keys *old = atomic_exchange(&keyring->current, keys);
    lock_release(&keyring->lock);
    keys_release(old);
}

/* Replaces `expected` only; false: somebody was faster. */
static bool keyring_replace(struct keyring *keyring, const struct keys *expected, const struct keys *keys) {
    lock_take(&keyring->lock);
    bool is_it = atomic_load(&keyring->current) == expected;
    if (is_it) atomic_store(&keyring->current, keys);
    lock_release(&keyring->lock);
    if (is_it) keys_release(expected);
    return is_it;
}

bool keyring_set_cookie_secrets(struct keyring *keyring, struct bytes namespace, struct bytes secrets) {
    assert(!keyring->save);
    bool is_set = false;
    while (!is_set) {
        const struct keys *keys = keyring_take(keyring);
        const struct keys *next = keys_with_cookie_secrets(keys, namespace, secrets);
        is_set = next && keyring_replace(keyring, keys, next);
        keys_release(keys);
        if (!next) return false;
        if (!is_set) keys_release(next);
    }
    return true;
}
