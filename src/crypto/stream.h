/* A sequence of sealed messages (libsodium's secretstream, XChaCha20-Poly1305): each can only be opened whole,
 * unchanged, in its place, with the data that it was bound to.
 *
 * A stream belongs to one holder and one thread at a time, is written or read but not both, and is wiped at its end.
 * Its header is no secret; it is drawn by the caller, since chance comes from the environment alone, and never used
 * twice under one key. Pure. */
#ifndef CRYPTO_STREAM_H
#define CRYPTO_STREAM_H

#include "crypto/cipher.h"

#define STREAM_HEADER_BYTES   24
#define STREAM_OVERHEAD_BYTES 17 /* by which a sealed message is longer than a plain one */

struct stream {
    uint64_t state[7]; /* libsodium's */
};

/* Begins at the first message, for writing or for reading. */
void stream_begin(struct stream *stream, const uint8_t key[KEY_SIZE], const uint8_t header[STREAM_HEADER_BYTES]);

/* Seals the next message to `out`, which takes plain.size + STREAM_OVERHEAD_BYTES. `bound` is not stored, and is to be
 * the same when it is opened. */
void stream_seal(struct stream *stream, struct bytes plain, struct bytes bound, uint8_t *out);

/* Opens the next message to `out`, which takes sealed.size - STREAM_OVERHEAD_BYTES. False: it is not what was sealed
 * here; nothing is at `out` then, and the stream still waits for the right one. */
bool stream_open(struct stream *stream, struct bytes sealed, struct bytes bound, uint8_t *out);

void stream_end(struct stream *stream); /* wipes */

#endif
