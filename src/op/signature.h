/* Signed values as npm's cookie-signature makes them: `s:`, the value, a dot, and the HMAC-SHA256 of the value in
 * base64 without padding. The secrets of a namespace are an encoded array, the newest first. Pure; any thread. */
#ifndef OP_SIGNATURE_H
#define OP_SIGNATURE_H

#include "base/buf.h"

#define SIGNATURE_NO_SECRETS                                                                                           \
    "This namespace has no cookie secrets; give it some with namespace.configure and cookie_secrets."

/* Appends the signed value, as a MessagePack str, under the first secret. */
void signature_write(struct bytes secrets, struct bytes value, struct buf *out);

/* Verifies a signed value, raw or URL-encoded, with each of the secrets. True: `value` is what was signed (in
 * `signed_value`, or where that was encoded in `room`) and `secret_index` the first secret that fits. An encoded value
 * that does not fit into `room` is not verified. */
bool signature_verify(struct bytes secrets, struct bytes signed_value, struct bytes room, struct bytes *value,
                      unsigned *secret_index);

/* Appends the bytes with all but A-Z a-z 0-9 - _ . ! ~ * ' ( ) as %XX, as encodeURIComponent does. */
void url_encode(struct bytes text, struct buf *out);

#endif
