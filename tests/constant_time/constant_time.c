/* Whether anything branches or indexes by a byte of a secret, of a key or of a hash. To be run under valgrind: memcheck
 * is told that those bytes are undefined, and complains where a jump or an address depends on them.
 *
 *   valgrind --error-exitcode=9 constant_time            must end with 0
 *   valgrind --error-exitcode=9 constant_time leak       must not: it compares as nobody should
 *
 * Without valgrind the same calls are made and their answers checked. */
#include "op/binding.h"
#include "op/signature.h"
#include "op/token.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/memcheck.h>

/* cipher.c's own answers its argument; this one says that the answer is no secret any more. */
unsigned cipher_reveal(unsigned found) {
    (void)VALGRIND_MAKE_MEM_DEFINED(&found, sizeof found);
    return found;
}

static void hide(const void *data, size_t size) {
    (void)VALGRIND_MAKE_MEM_UNDEFINED(data, size);
}

/* For what a test looks at itself. */
static void show(const void *data, size_t size) {
    (void)VALGRIND_MAKE_MEM_DEFINED(data, size);
}

static void expect(bool is_true, const char *what) {
    if (is_true) return;
    printf("wrong: %s\n", what);
    exit(1);
}

static void counted_random(void *context, void *out, size_t size) {
    uint8_t *next = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (*next)++;
}

static void hide_keys(struct keys *keys) {
    hide(keys->current.bytes, KEY_SIZE);
    hide(keys->previous.bytes, KEY_SIZE);
    hide(keys->id_key, KEY_SIZE);
}

/* ---------------------------------------------------------------- tokens */

static void check_find(const struct keys *keys, const struct token *token, const char *secret, int expected) {
    char presented[HASH_TEXT_SIZE];
    struct token hidden = *token;
    memcpy(presented, secret, sizeof presented);
    hide(presented, sizeof presented);
    for (unsigned i = 0; i < TOKEN_ENTRIES_MAX; i++) hide(hidden.entries[i].hash, HASH_SIZE);
    int found = token_find(&hidden, keys, bytes_of(presented, sizeof presented));
    show(&found, sizeof found);
    expect(found == expected, "another entry was found");
}

/* A token that was rotated under two keys; then every secret of it, and one that is wrong. */
static void check_tokens(const struct env *env) {
    char secrets[TOKEN_ENTRIES_MAX + 1][HASH_TEXT_SIZE];
    uint8_t random[HASH_SIZE], stored[TOKEN_SIZE_MAX];
    struct keys *keys = keys_make(env), *next = keys_rotate(keys, env);
    struct token token, none = {0};
    env->random(env->context, random, sizeof random);
    hide_keys(keys);
    hide_keys(next);
    hide(random, sizeof random);
    cipher_base64url(random, secrets[0]);
    token_begin(&token, keys, bytes_of(secrets[0], HASH_TEXT_SIZE));
    for (unsigned i = 1; i < TOKEN_ENTRIES_MAX; i++) {
        token_successor(&token, 0, i < 3 ? keys : next, bytes_of(secrets[i - 1], HASH_TEXT_SIZE), secrets[i]);
        token_rotate(&token, i < 3 ? keys : next, bytes_of(secrets[i], HASH_TEXT_SIZE), 1000);
    }
    token = token_decode(bytes_of(stored, token_encode(&token, stored)));
    memset(secrets[TOKEN_ENTRIES_MAX], 'x', HASH_TEXT_SIZE);
    for (unsigned i = 0; i < TOKEN_ENTRIES_MAX; i++)
        check_find(next, &token, secrets[i], (int)(TOKEN_ENTRIES_MAX - 1 - i));
    check_find(next, &token, secrets[TOKEN_ENTRIES_MAX], -1);
    check_find(next, &none, secrets[0], -1);
    show(&token, sizeof token);
    expect(token.count == TOKEN_ENTRIES_MAX, "entries were lost");
    keys_release(keys);
    keys_release(next);
}

/* ---------------------------------------------------------------- bindings, handles, cookies */

static void check_bindings(const struct env *env) {
    struct keys *keys = keys_make(env);
    char agent[] = "agent", address[] = "address";
    uint8_t bound[BINDING_SIZE_MAX];
    struct binding binding = {.user_agent = bytes_of(agent, 5), .address = bytes_of(address, 7)};
    hide_keys(keys);
    hide(agent, 5);
    hide(address, 7);
    struct bytes stored = bytes_of(bound, binding_encode(&binding, keys, bound));
    expect(binding_mismatches(stored, &binding, keys) == 0, "what is bound does not fit");
    struct binding other = {.user_agent = bytes_of(agent, 5), .address = bytes_of(agent, 5)};
    expect(binding_mismatches(stored, &other, keys) == BINDING_ADDRESS, "another address fits");
    keys_release(keys);
}

static void check_handles(const struct env *env) {
    struct keys *keys = keys_make(env);
    uint8_t hash[HASH_SIZE];
    char id[HASH_TEXT_SIZE], handle[HASH_TEXT_SIZE];
    memset(id, 'a', sizeof id);
    hide_keys(keys);
    hide(id, sizeof id);
    cipher_hash(keys->id_key, HASH_HANDLE, bytes_of(id, sizeof id), 0, hash);
    cipher_base64url(hash, handle);
    keys_release(keys);
}

static void check_cookies(void) {
    uint8_t secrets[] = {0x92, 0xa1, 'x', 0xac, 'k', 'e', 'y', 'b', 'o', 'a', 'r', 'd', ' ', 'c', 'a', 't'};
    uint8_t room[64];
    struct bytes value;
    unsigned index;
    hide(secrets + 2, 1);
    hide(secrets + 4, 12);
    struct bytes all = bytes_of(secrets, sizeof secrets);
    struct bytes good = BYTES_LITERAL("s:abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU");
    struct bytes wrong = BYTES_LITERAL("s:abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFT");
    expect(signature_verify(all, good, bytes_of(room, sizeof room), &value, &index) && index == 1, "a good cookie");
    expect(!signature_verify(all, wrong, bytes_of(room, sizeof room), &value, &index), "a wrong cookie");
}

static void check_equality(bool leaks) {
    uint8_t a[HASH_SIZE] = {1}, b[HASH_SIZE] = {2};
    hide(a, sizeof a);
    unsigned is_it = 0;
    if (!leaks)
        is_it = cipher_is_equal(a, b, sizeof a);
    else
        for (size_t i = 0; i < sizeof a && a[i] == b[i]; i++) is_it++;
    expect(!cipher_reveal(is_it), "different bytes are equal");
}

int main(int argc, char **argv) {
    uint8_t next = 1;
    struct env env = {.context = &next, .random = counted_random};
    bool leaks = argc > 1 && strcmp(argv[1], "leak") == 0;
    if (!cipher_open()) return 2;
    check_equality(leaks);
    if (leaks) return 0;
    check_tokens(&env);
    check_bindings(&env);
    check_handles(&env);
    check_cookies();
    printf("nothing depends on a secret%s\n", RUNNING_ON_VALGRIND ? "" : " (not watched: this is not valgrind)");
    return 0;
}
