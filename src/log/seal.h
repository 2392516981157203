/* Encryption at rest: which keys there are, and what the log asks of them.
 *
 * A key file holds one or more keys of 32 bytes, as lines of 64 hexadecimal digits; the first is used for new files,
 * all of them for reading. A key is known in files by its id, eight bytes of its hash, which tells nothing of it.
 * Pure; crypto/stream.h does the work. A set of keys is constant while anybody uses it. */
#ifndef LOG_SEAL_H
#define LOG_SEAL_H

#include "log/format.h"

#define SEAL_KEY_BYTES 32
#define SEAL_KEYS_MAX  16

struct seal_keys {
    unsigned count; /* at least 1 */
    uint8_t keys[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
};

/* Reads the text of a key file. False: *why says what is wrong with it, without any of it. */
bool seal_keys_read(struct bytes text, struct seal_keys *out, const char **why);

#endif
