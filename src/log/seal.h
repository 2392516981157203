/* Encryption at rest: which keys there are, and what the log asks of them.
 *
 * A key file holds one or more keys of 32 bytes, as lines of 64 hexadecimal digits; the first is used for new files,
 * all of them for reading. A key is known in files by its id, eight bytes of its hash, which tells nothing of it.
 * Pure; crypto/stream.h does the work. A set of keys is constant while anybody uses it. */
#ifndef LOG_SEAL_H
#define LOG_SEAL_H

#include "crypto/stream.h"
#include "log/format.h"
#include "sessiond/env.h"

#define SEAL_KEY_BYTES 32
#define SEAL_KEYS_MAX  16

struct seal_keys {
    unsigned count; /* at least 1 */
    uint8_t keys[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
};

/* Reads the text of a key file. False: *why says what is wrong with it, without any of it. */
bool seal_keys_read(struct bytes text, struct seal_keys *out, const char **why);
void seal_keys_wipe(struct seal_keys *keys);

/* Begins a new file under the first key: sets is_sealed, key_id and stream_header of its header, and the stream that
 * its frames go through; without keys (NULL) is_sealed is false and the stream is not used. */
void seal_begin(const struct seal_keys *keys, const struct env *env, struct file_header *header, struct stream *stream);

/* Begins reading a file with that header. False: it is sealed, and its key is not among `keys` (which may be NULL). */
bool seal_resume(const struct seal_keys *keys, const struct file_header *header, struct stream *stream);

/* Appends a whole frame to `out`: its header, whose size and checksum are filled in, and its payload, sealed through
 * `stream` unless that is NULL. `number`: the file's; `place`: the frame's offset in it. What was sealed is written as
 * it is, also when it has to be tried again: the stream has gone on. */
void seal_append_frame(struct buf *out, struct stream *stream, uint64_t number, uint64_t place,
                       struct frame_header *header, struct bytes payload);

/* Opens the payload of a whole frame; `out` takes its size on disk. False: it is not what was sealed. */
bool seal_open_payload(struct stream *stream, const struct frame_header *header, struct bytes sealed, uint8_t *out);

#endif
