/* See token.h. The stored form: a byte that says which form it is, the count, then the entries, numbers in little
 * endian. */
#include "op/token.h"

#include <assert.h>

enum { TOKEN_FORM = 1 };

/* ---------------------------------------------------------------- the stored form */

static uint64_t number_read(const uint8_t *at, unsigned size) {
    uint64_t number = 0;
    for (unsigned i = size; i > 0; i--) number = number << 8 | at[i - 1];
    return number;
}

static void number_write(uint8_t *at, unsigned size, uint64_t number) {
    for (unsigned i = 0; i < size; i++, number >>= 8) at[i] = (uint8_t)number;
}

struct token token_decode(struct bytes stored) {
    struct token token = {0};
    if (stored.size < 2 || stored.data[0] != TOKEN_FORM || stored.data[1] > TOKEN_ENTRIES_MAX ||
        stored.size != 2 + (size_t)stored.data[1] * TOKEN_ENTRY_SIZE)
        return token;
    token.count = stored.data[1];
    for (unsigned i = 0; i < token.count; i++) {
        const uint8_t *at = stored.data + 2 + i * TOKEN_ENTRY_SIZE;
        struct token_entry *entry = &token.entries[i];
        entry->key = (uint32_t)number_read(at, 4);
        entry->generation = (uint32_t)number_read(at + 4, 4);
        entry->grace_until = (int64_t)number_read(at + 8, 8);
        memcpy(entry->hash, at + 16, HASH_SIZE);
    }
    return token;
}

size_t token_encode(const struct token *token, uint8_t out[TOKEN_SIZE_MAX]) {
    assert(token->count >= 1 && token->count <= TOKEN_ENTRIES_MAX);
    out[0] = TOKEN_FORM;
    out[1] = (uint8_t)token->count;
    for (unsigned i = 0; i < token->count; i++) {
        uint8_t *at = out + 2 + i * TOKEN_ENTRY_SIZE;
        const struct token_entry *entry = &token->entries[i];
        number_write(at, 4, entry->key);
        number_write(at + 4, 4, entry->generation);
        number_write(at + 8, 8, (uint64_t)entry->grace_until);
        memcpy(at + 16, entry->hash, HASH_SIZE);
    }
    return 2 + token->count * TOKEN_ENTRY_SIZE;
}

/* ---------------------------------------------------------------- secrets */

bool token_split(struct bytes text, struct bytes *id, struct bytes *secret) {
    size_t dot = text.size;
    while (dot > 0 && text.data[dot - 1] != '.') dot--;
    if (dot <= 1) return false;
    *id = bytes_of(text.data, dot - 1);
    *secret = bytes_of(text.data + dot, text.size - dot);
    return true;
}

static void entry_begin(struct token_entry *entry, const struct keys *keys, struct bytes secret, uint32_t generation) {
    *entry = (struct token_entry){.key = keys->current.number, .generation = generation};
    cipher_hash(keys->current.bytes, HASH_TOKEN, secret, 0, entry->hash);
}

void token_begin(struct token *token, const struct keys *keys, struct bytes secret) {
    *token = (struct token){.count = 1};
    entry_begin(&token->entries[0], keys, secret, 1);
}

/* Always two hashes and five comparisons: entries that are not there are compared like the others. */
int token_find(const struct token *token, const struct keys *keys, struct bytes secret) {
    uint8_t current[HASH_SIZE], previous[HASH_SIZE];
    unsigned found = 0;
    cipher_hash(keys->current.bytes, HASH_TOKEN, secret, 0, current);
    cipher_hash(keys->previous.bytes, HASH_TOKEN, secret, 0, previous);
    for (unsigned i = 0; i < TOKEN_ENTRIES_MAX; i++) {
        const struct token_entry *entry = &token->entries[i];
        bool is_current = entry->key == keys->current.number;
        bool is_live = i < token->count && keys_token_key(keys, entry->key);
        unsigned is_equal = cipher_is_equal(entry->hash, is_current ? current : previous, HASH_SIZE);
        found |= (i + 1) * (is_equal & (unsigned)is_live); /* two entries never hold one secret */
    }
    return (int)cipher_reveal(found) - 1;
}

enum token_match token_match(const struct token *token, int index, int64_t now_ms) {
    if (index < 0) return TOKEN_WRONG;
    if (index == 0) return TOKEN_CURRENT;
    return now_ms < token->entries[index].grace_until ? TOKEN_GRACE : TOKEN_REUSED;
}

void token_successor(const struct token *token, int index, const struct keys *keys, struct bytes secret,
                     char out[HASH_TEXT_SIZE]) {
    const struct token_entry *entry = &token->entries[index];
    const uint8_t *key = keys_token_key(keys, entry->key);
    uint8_t hash[HASH_SIZE];
    assert(key); /* else the secret would not have been found */
    cipher_hash(key, HASH_SUCCESSOR, secret, entry->generation, hash);
    cipher_base64url(hash, out);
    cipher_wipe(hash, sizeof hash);
}

void token_rotate(struct token *token, const struct keys *keys, struct bytes successor, int64_t grace_until) {
    if (token->count < TOKEN_ENTRIES_MAX) token->count++;
    memmove(&token->entries[1], &token->entries[0], (token->count - 1) * sizeof token->entries[0]);
    token->entries[1].grace_until = grace_until;
    entry_begin(&token->entries[0], keys, successor, token->entries[1].generation + 1);
}

bool token_rehash(struct token *token, const struct keys *keys, struct bytes secret) {
    if (token->entries[0].key == keys->current.number) return false;
    entry_begin(&token->entries[0], keys, secret, token->entries[0].generation);
    return true;
}
