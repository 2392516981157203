/* A server in a thread of the test, that behaves as badly as it is told. It speaks just enough of the protocol to be
 * greeted. */
#ifndef E2E_CLIENT_FAKE_H
#define E2E_CLIENT_FAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_mode {
    FAKE_ANSWERS,     /* every request with true */
    FAKE_REFUSES,     /* the greeting with FORBIDDEN */
    FAKE_SILENT,      /* takes the connection and never says a word */
    FAKE_GREETS,      /* answers the greeting, and nothing else */
    FAKE_SENDS,       /* answers the greeting, and sends `bytes` as the answer to the first request */
    FAKE_SENDS_FIRST, /* sends `bytes` at once, before it is asked */
    FAKE_DROPS        /* closes the connection instead of answering request number `drop_at`; else as FAKE_ANSWERS */
};

enum { FAKE_SEEN_MAX = 64 };

/* A request that was seen: what matters of it. */
struct fake_request {
    char method[64];
    uint64_t op_id; /* 0: none */
};

struct fake {
    _Atomic(enum fake_mode) mode; /* may be changed while it runs */
    const void *bytes;
    size_t size;
    unsigned version;             /* that it greets with; 0: this library's */
    unsigned drop_at, drop_count; /* drops so often: then it answers that request too */
    uint16_t port;
    char url[64];
    int listener;
    pthread_t thread;
    atomic_bool is_stopping;
    atomic_uint connection_count, request_count; /* the greetings not counted */
    struct fake_request seen[FAKE_SEEN_MAX];     /* the first ones; read after fake_stop */
};

/* Starts with the mode and its members set; port 0 is any, and then nobody else is given it while it is stopped. */
void fake_start(struct fake *fake);
/* Closes everything and waits for the thread. */
void fake_stop(struct fake *fake);

#endif
