/* Loops that follow a keyring while others rotate keys and change cookie secrets: a set that somebody holds stays as it
 * is and is not freed, a set that nobody holds is, and no change is lost. */
#include "crypto/keyring.h"
#include "race.h"

enum { READERS = 3, WRITERS = 2 };

static struct keyring keyring;
static _Atomic uint64_t chance;
static _Atomic unsigned changed[WRITERS];

static void some_random(void *context, void *out, size_t size) {
    (void)context;
    memset(out, (int)atomic_fetch_add(&chance, 1), size);
}

static const struct env env = {.random = some_random};

/* Its namespace has the secret that it set last, whatever the other did meanwhile. */
static void write_round(unsigned number, unsigned round) {
    char name = (char)('a' + number);
    uint8_t secret[] = {0x91,          0xc4, 4, (uint8_t)(round >> 24), (uint8_t)(round >> 16), (uint8_t)(round >> 8),
                        (uint8_t)round};
    struct bytes namespace = bytes_of(&name, 1), wanted = bytes_of(secret, sizeof secret);
    RACE_CHECK(keyring_set_cookie_secrets(&keyring, namespace, wanted), "round %u", round);
    const struct keys *keys = keyring_take(&keyring);
    RACE_CHECK(bytes_equal(keys_cookie_secrets(keys, namespace), wanted), "writer %u, round %u", number, round);
    keys_release(keys);
    atomic_store(&changed[number], round);
}

/* A set's keys were drawn each with one byte: a torn or freed one would show. */
static void read_round(const struct keys **mine) {
    keyring_follow(&keyring, mine);
    const uint8_t *key = (*mine)->current.bytes;
    for (unsigned i = 1; i < KEY_SIZE; i++) RACE_CHECK(key[i] == key[0], "byte %u", i);
    for (size_t i = 0; i < (*mine)->cookie_count; i++) {
        struct bytes secrets = (*mine)->cookies[i].secrets;
        RACE_CHECK(secrets.size == 7 && secrets.data[0] == 0x91, "secrets of %zu", i);
    }
}

static void *run(void *argument) {
    uintptr_t number = (uintptr_t)argument;
    const struct keys *mine = NULL;
    unsigned round = 0;
    while (race_goes_on()) {
        if (number < READERS)
            read_round(&mine);
        else
            write_round((unsigned)(number - READERS), ++round);
    }
    keys_release(mine);
    return NULL;
}

int main(int argc, char **argv) {
    RACE_CHECK(cipher_open(), "no chance");
    keyring_open(&keyring, keys_make(&env), NULL, NULL);
    race_run(argc, argv, run, READERS + WRITERS);
    const struct keys *keys = keyring_take(&keyring);
    RACE_CHECK(atomic_load(&((struct keys *)keys)->holder_count) == 2,
               "the ring and this: every other hold was let go");
    keys_release(keys);
    printf("%u and %u changes, none lost\n", atomic_load(&changed[0]), atomic_load(&changed[1]));
    keyring_close(&keyring);
    return 0;
}
