/* How the bytes of connections move: over libuv's streams, or over an io_uring with libuv's loop hung into it.
 *
 * A transport is a table of functions. peer.c calls those of a peer, loop.c `run`; both are the same for every
 * transport, so what a connection is allowed, when it is cut and what is counted do not depend on it. Timers, signals,
 * waking and accepting are libuv's in any case. All on the loop's thread, but for transport_open and transport_close.
 */
#ifndef UV_TRANSPORT_H
#define UV_TRANSPORT_H

#include "sessiond/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer;
struct shell;
struct shell_loop;

struct transport {
    const char *name;
    /* Serves until loop->is_over. Calls loop_settle before each sleep. */
    void (*run)(struct shell_loop *loop);
    /* Has the loop call loop_take_signal soon; several calls may come to one. Any thread. */
    void (*signal)(struct shell_loop *loop);
    /* Takes over the peer's socket; a negative error leaves it to the caller. */
    int (*open)(struct peer *peer, bool is_unix);
    /* Begins or stops to read. What had been received already may still come. */
    void (*read)(struct peer *peer, bool shall_read);
    /* One of these two. `write` hands over at once what the system takes: its bytes, or a negative error. `post` has
     * conn_output written when the round ends, with everything that is added to it until then, and has peer_took called
     * after that. */
    ssize_t (*write)(struct peer *peer, struct bytes bytes);
    void (*post)(struct peer *peer);
    /* Writes all of `bytes`, which stay until peer_landed, or until peer_closed; a negative error: it does not. */
    int (*fly)(struct peer *peer, struct bytes bytes);
    /* How much of the flight the system has not taken yet. */
    size_t (*unsent)(const struct peer *peer);
    /* Gives back what a load that is over has left; about once a second, inside a turn. NULL: nothing is ever left. */
    void (*rest)(struct shell_loop *loop);
    /* Tells the other side that nothing more comes; a negative error: it cannot be told. */
    int (*shut_down)(struct peer *peer);
    /* Ends everything that is under way and closes the socket; peer_closed comes later, never from inside. */
    void (*close)(struct peer *peer);
};

extern const struct transport transport_libuv;

/* Chooses by the option `transport`, and opens what the loops need for it. False: `error` says what cannot be had. */
bool transport_open(struct shell *shell, char *error, size_t error_size);
/* After every loop is closed. */
void transport_close(struct shell *shell);

#endif
