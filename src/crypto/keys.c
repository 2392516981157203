/* See keys.h. The file: eight bytes that say what it is, its version, and one MessagePack array of everything; then an
 * unkeyed hash of all before, which tells damage (who can write the file can replace it anyway). */
#include "crypto/keys.h"

#include "base/mp.h"

#include <assert.h>
#include <stdlib.h>

static const uint8_t file_magic[8] = {'s', 'e', 's', 's', 'k', 'e', 'y', 's'};

enum { FILE_VERSION = 1, FILE_PARTS = 7, NAMESPACE_SIZE_MAX = 64, SECRETS_MAX = 8, SECRET_SIZE_MAX = 256 };

static const size_t file_overhead = sizeof file_magic + 1 + HASH_SIZE;

/* ---------------------------------------------------------------- life */

static struct keys *keys_alloc(void) {
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys) atomic_init(&keys->holder_count, 1);
    return keys;
}

static void keys_free(struct keys *keys) {
    cipher_wipe(keys->cookies, keys->block_size);
    free(keys->cookies);
    cipher_wipe(keys, sizeof *keys);
    free(keys);
}

const struct keys *keys_hold(const struct keys *keys) {
    atomic_fetch_add(&((struct keys *)keys)->holder_count, 1);
    return keys;
}

void keys_release(const struct keys *keys) {
    if (keys && atomic_fetch_sub(&((struct keys *)keys)->holder_count, 1) == 1) keys_free((struct keys *)keys);
}

/* Copies cookie secrets into one block. False: memory is lacking. */
static bool keys_take_cookies(struct keys *keys, const struct cookie_secrets *cookies, size_t count) {
    size_t size = count * sizeof *cookies;
    for (size_t i = 0; i < count; i++) size += cookies[i].namespace.size + cookies[i].secrets.size;
    if (count == 0) return true;
    keys->cookies = malloc(size);
    if (!keys->cookies) return false;
    keys->block_size = size;
    keys->cookie_count = count;
    uint8_t *at = (uint8_t *)(keys->cookies + count);
    for (size_t i = 0; i < count; i++) {
        const struct bytes from[] = {cookies[i].namespace, cookies[i].secrets};
        struct bytes *to[] = {&keys->cookies[i].namespace, &keys->cookies[i].secrets};
        for (size_t k = 0; k < 2; k++) {
            memcpy(at, from[k].data, from[k].size);
            *to[k] = bytes_of(at, from[k].size);
            at += from[k].size;
        }
    }
    return true;
}

/* The keys proper of one set, with the given cookie secrets. */
static struct keys *keys_copy(const struct keys *from, const struct cookie_secrets *cookies, size_t count) {
    struct keys *keys = keys_alloc();
    if (!keys) return NULL;
    keys->current = from->current;
    keys->previous = from->previous;
    memcpy(keys->id_key, from->id_key, sizeof keys->id_key);
    memcpy(keys->routing_key, from->routing_key, sizeof keys->routing_key);
    if (keys_take_cookies(keys, cookies, count)) return keys;
    keys_free(keys);
    return NULL;
}

struct keys *keys_make(const struct env *env) {
    struct keys *keys = keys_alloc();
    if (!keys) return NULL;
    keys->current.number = 1;
    env->random(env->context, keys->current.bytes, sizeof keys->current.bytes);
    env->random(env->context, keys->id_key, sizeof keys->id_key);
    env->random(env->context, keys->routing_key, sizeof keys->routing_key);
    return keys;
}

struct keys *keys_rotate(const struct keys *keys, const struct env *env) {
    struct keys *next = keys_copy(keys, keys->cookies, keys->cookie_count);
    if (!next) return NULL;
    next->previous = keys->current;
    /* 0 is no key, so it is left out when the numbers have run through. */
    next->current.number = keys->current.number == UINT32_MAX ? 1 : keys->current.number + 1;
    env->random(env->context, next->current.bytes, sizeof next->current.bytes);
    return next;
}

struct keys *keys_join(const struct keys *token_keys, const struct keys *cookies) {
    return keys_copy(token_keys, cookies->cookies, cookies->cookie_count);
}

/* ---------------------------------------------------------------- cookie secrets */

static int name_compare(struct bytes a, struct bytes b) {
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    if (order) return order;
    return (a.size > b.size) - (a.size < b.size);
}

/* Where the namespace stands, or would. */
static size_t cookie_position(const struct keys *keys, struct bytes namespace, bool *is_there) {
    size_t low = 0, high = keys->cookie_count;
    *is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = name_compare(keys->cookies[middle].namespace, namespace);
        if (order == 0) *is_there = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct keys *keys_with_cookie_secrets(const struct keys *keys, struct bytes namespace, struct bytes secrets) {
    bool is_there;
    size_t at = cookie_position(keys, namespace, &is_there), rest = at + is_there, count = at;
    struct cookie_secrets *cookies = malloc((keys->cookie_count + 1) * sizeof *cookies);
    if (!cookies) return NULL;
    if (at) memcpy(cookies, keys->cookies, at * sizeof *cookies);
    if (!bytes_is_absent(secrets)) cookies[count++] = (struct cookie_secrets){namespace, secrets};
    for (; rest < keys->cookie_count; rest++) cookies[count++] = keys->cookies[rest];
    struct keys *next = keys_copy(keys, cookies, count);
    free(cookies); /* holds no secret, only where they are */
    return next;
}

struct bytes keys_cookie_secrets(const struct keys *keys, struct bytes namespace) {
    bool is_there;
    size_t at = cookie_position(keys, namespace, &is_there);
    return is_there ? keys->cookies[at].secrets : BYTES_ABSENT;
}

const uint8_t *keys_token_key(const struct keys *keys, uint32_t number) {
    if (number == 0) return NULL;
    if (number == keys->current.number) return keys->current.bytes;
    return number == keys->previous.number ? keys->previous.bytes : NULL;
}

bool keys_are_related(const struct keys *a, const struct keys *b) {
    return cipher_is_equal(a->id_key, b->id_key, sizeof a->id_key) &
           cipher_is_equal(a->routing_key, b->routing_key, sizeof a->routing_key);
}

/* ---------------------------------------------------------------- the file */

static void write_token_key(struct buf *out, const struct token_key *key) {
    mp_write_uint(out, key->number);
    mp_write_bin(out, bytes_of(key->bytes, key->number ? KEY_SIZE : 0));
}

void keys_encode(const struct keys *keys, struct buf *out) {
    const uint8_t version = FILE_VERSION;
    size_t start = out->size;
    uint8_t hash[HASH_SIZE];
    buf_append(out, file_magic, sizeof file_magic);
    buf_append(out, &version, 1);
    mp_write_array(out, FILE_PARTS);
    write_token_key(out, &keys->current);
    write_token_key(out, &keys->previous);
    mp_write_bin(out, bytes_of(keys->id_key, sizeof keys->id_key));
    mp_write_bin(out, bytes_of(keys->routing_key, sizeof keys->routing_key));
    mp_write_map(out, (uint32_t)keys->cookie_count);
    for (size_t i = 0; i < keys->cookie_count; i++) {
        mp_write_str(out, keys->cookies[i].namespace);
        mp_write_raw(out, keys->cookies[i].secrets);
    }
    if (out->is_failed) return;
    cipher_hash(NULL, HASH_FILE, bytes_of(out->data + start, out->size - start), 0, hash);
    buf_append(out, hash, sizeof hash);
}

static void read_key(struct mp_cursor *cursor, uint8_t *key, size_t size) {
    struct bytes bytes = mp_read_bytes(cursor);
    if (cursor->error == MP_OK && bytes.size == size)
        memcpy(key, bytes.data, size);
    else
        cursor->error = MP_RANGE;
}

static void read_token_key(struct mp_cursor *cursor, struct token_key *key) {
    key->number = (uint32_t)mp_read_int(cursor, 0, UINT32_MAX);
    if (key->number)
        read_key(cursor, key->bytes, sizeof key->bytes);
    else if (mp_read_bytes(cursor).size)
        cursor->error = MP_RANGE;
}

static void read_secrets(struct mp_cursor *cursor, struct bytes *out) {
    const uint8_t *begin = cursor->at;
    uint32_t count = mp_read_array(cursor);
    if (count < 1 || count > SECRETS_MAX) cursor->error = MP_RANGE;
    for (uint32_t i = 0; i < count && cursor->error == MP_OK; i++) {
        struct bytes secret = mp_read_bytes(cursor);
        if (secret.size < 1 || secret.size > SECRET_SIZE_MAX) cursor->error = MP_RANGE;
    }
    *out = bytes_of(begin, (size_t)(cursor->at - begin));
}

/* The namespaces have to stand in their order, each once. */
static bool read_cookies(struct mp_cursor *cursor, struct keys *keys) {
    uint32_t count = mp_read_map(cursor);
    struct cookie_secrets *cookies = calloc(count ? count : 1, sizeof *cookies);
    if (!cookies) return false;
    for (uint32_t i = 0; i < count && cursor->error == MP_OK; i++) {
        struct bytes name = cookies[i].namespace = mp_read_bytes(cursor);
        read_secrets(cursor, &cookies[i].secrets);
        if (name.size < 1 || name.size > NAMESPACE_SIZE_MAX) cursor->error = MP_RANGE;
        if (cursor->error == MP_OK && i > 0 && name_compare(cookies[i - 1].namespace, name) >= 0)
            cursor->error = MP_RANGE;
    }
    bool is_done = cursor->error == MP_OK && keys_take_cookies(keys, cookies, count);
    free(cookies);
    return is_done;
}

static bool read_file(struct mp_cursor *cursor, struct keys *keys) {
    if (mp_read_array(cursor) != FILE_PARTS) return false;
    read_token_key(cursor, &keys->current);
    read_token_key(cursor, &keys->previous);
    read_key(cursor, keys->id_key, sizeof keys->id_key);
    read_key(cursor, keys->routing_key, sizeof keys->routing_key);
    return read_cookies(cursor, keys) && cursor->at == cursor->end && keys->current.number != 0 &&
           keys->current.number != keys->previous.number;
}

struct keys *keys_decode(struct bytes file, const char **why) {
    uint8_t hash[HASH_SIZE];
    if (file.size < file_overhead || memcmp(file.data, file_magic, sizeof file_magic) != 0) {
        *why = "is no key file of sessiond; name another, or one that does not exist yet";
        return NULL;
    }
    if (file.data[sizeof file_magic] != FILE_VERSION) {
        *why = "is of another version of sessiond; use that version, or name another file";
        return NULL;
    }
    cipher_hash(NULL, HASH_FILE, bytes_of(file.data, file.size - HASH_SIZE), 0, hash);
    struct keys *keys = NULL;
    *why = "is damaged; restore it from a copy, or move it away and lose what its keys protect";
    if (!cipher_is_equal(hash, file.data + file.size - HASH_SIZE, HASH_SIZE)) return NULL;
    size_t head = sizeof file_magic + 1;
    struct mp_cursor cursor = mp_cursor_of(bytes_of(file.data + head, file.size - head - HASH_SIZE));
    if ((keys = keys_alloc()) && read_file(&cursor, keys)) return keys;
    if (keys) keys_free(keys);
    return NULL;
}
