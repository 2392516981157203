/* Looking ahead: what waits to be fed to several connections is asked of memory for all of them at once.
 *
 * Within one connection's input a batch does it. But who sends one request at a time makes batches of one, and each of
 * them would wait by itself for its connection, its session's bucket and its record. Nothing here decides anything, nor
 * keeps anything. On the loop's thread, inside a turn. */
#include "op/token.h"
#include "server/internal.h"

#define CACHE_LINE_BYTES 64

/* All that feeding a connection touches of it. Always inline: the compiler takes what only asks for memory for nothing,
 * and leaves calls of it out. */
static inline __attribute__((always_inline)) void conn_prefetch(const struct conn *conn) {
    for (size_t at = 0; at < offsetof(struct conn, namespace); at += CACHE_LINE_BYTES)
        __builtin_prefetch((const char *)conn + at, 1);
}

/* The session that the request at the start of an input names; false: none, or it does not say. */
static bool session_named(const struct conn_input *input, struct anticipated *session) {
    const struct conn *conn = input->conn;
    struct peeked peeked;
    struct bytes secret;
    if (!codec_peek(input->bytes, &peeked)) return false;
    session->namespace = peeked.namespace;
    if (!peeked.namespace.data) session->namespace = bytes_of(conn->namespace, conn->namespace_size);
    session->id = peeked.name;
    if (peeked.is_token && !token_split(peeked.name, &session->id, &secret)) return false;
    return session->namespace.size > 0;
}

void server_loop_anticipate(struct server_loop *loop, const struct conn_input *inputs, size_t count) {
    struct engine *engine = loop->engine;
    struct anticipated sessions[ANTICIPATED_MAX];
    size_t found = 0;
    assert(loop->is_in_turn && count <= ANTICIPATED_MAX);
    for (size_t i = 0; i < count; i++) conn_prefetch(inputs[i].conn);
    if (!engine->vtable->anticipate) return;
    for (size_t i = 0; i < count; i++) found += session_named(&inputs[i], &sessions[found]);
    if (found > 0) engine->vtable->anticipate(engine, loop->index, sessions, found);
}
