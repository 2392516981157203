/* The file of encryption keys: where it stands, and whether it is fit to be read. Any thread. */
#ifndef UV_SEAL_FILE_H
#define UV_SEAL_FILE_H

#include "config/options.h"
#include "log/seal.h"

#define SEAL_FILE_ERROR_MAX 600

enum seal_file { SEAL_FILE_NONE, SEAL_FILE_READ, SEAL_FILE_REFUSED };

/* READ: `out` holds the keys of encryption_key_file, or of the credential where there is one. NONE: neither is given.
 * REFUSED: `error` says why, and nothing of the keys. */
enum seal_file seal_file_read(const struct options *options, struct seal_keys *out, char error[SEAL_FILE_ERROR_MAX]);

#endif
