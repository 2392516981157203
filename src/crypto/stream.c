/* See stream.h. */
#include "crypto/stream.h"

#include <assert.h>
#include <sodium.h>

_Static_assert(STREAM_HEADER_BYTES == crypto_secretstream_xchacha20poly1305_HEADERBYTES &&
                   STREAM_OVERHEAD_BYTES == crypto_secretstream_xchacha20poly1305_ABYTES &&
                   KEY_SIZE == crypto_secretstream_xchacha20poly1305_KEYBYTES,
               "sizes of secretstream");
_Static_assert(sizeof(struct stream) >= sizeof(crypto_secretstream_xchacha20poly1305_state),
               "a stream holds libsodium's");

static crypto_secretstream_xchacha20poly1305_state *state_of(struct stream *stream) {
    return (crypto_secretstream_xchacha20poly1305_state *)(void *)stream->state;
}

void stream_begin(struct stream *stream, const uint8_t key[KEY_SIZE], const uint8_t header[STREAM_HEADER_BYTES]) {
    memset(stream, 0, sizeof *stream);
    /* libsodium's init_push draws a header and goes on as init_pull does with one that it is given: a stream that is
     * begun for reading writes as well, and the header is ours. A test holds it to that. */
    int result = crypto_secretstream_xchacha20poly1305_init_pull(state_of(stream), header, key);
    assert(result == 0);
    (void)result;
}

void stream_seal(struct stream *stream, struct bytes plain, struct bytes bound, uint8_t *out) {
    crypto_secretstream_xchacha20poly1305_push(state_of(stream), out, NULL, plain.data, plain.size, bound.data,
                                               bound.size, crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
}

bool stream_open(struct stream *stream, struct bytes sealed, struct bytes bound, uint8_t *out) {
    unsigned char tag = 0;
    if (sealed.size < STREAM_OVERHEAD_BYTES) return false;
    return crypto_secretstream_xchacha20poly1305_pull(state_of(stream), out, NULL, &tag, sealed.data, sealed.size,
                                                      bound.data, bound.size) == 0 &&
           tag == crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
}

void stream_end(struct stream *stream) {
    cipher_wipe(stream, sizeof *stream);
}
