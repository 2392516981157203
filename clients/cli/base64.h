/* Standard base64 with padding. Pure; any thread. */
#ifndef CLI_BASE64_H
#define CLI_BASE64_H

#include "base/buf.h"

void base64_encode(struct bytes bytes, struct buf *out);            /* appends */
bool base64_decode(const char *text, size_t size, struct buf *out); /* appends; false: not base64 */

#endif
