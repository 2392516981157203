/* Set-Cookie headers: which attributes hold, and how they are written. Pure; any thread. */
#ifndef OP_COOKIE_HEADER_H
#define OP_COOKIE_HEADER_H

#include "base/buf.h"
#include "sessiond/protocol.h"

/* Those of the call (and its name, if it has a size) in place of the namespace's. An end of the cookie's life in the
 * call takes the place of either kind in the namespace's. */
struct cookie_attributes cookie_attributes_merge(const struct cookie_attributes *of_namespace,
                                                 const struct cookie_attributes *of_call, struct cookie_text name);

/* Why no header can be made of them, as a sentence; NULL: one can. */
const char *cookie_attributes_refusal(const struct cookie_attributes *attributes);

/* Appends the header's value as a MessagePack str; `wall_ms` is the wall clock's time. False: the attributes forbid to
 * send it over this connection, and nothing was written. */
bool cookie_header_write(const struct cookie_attributes *attributes, struct bytes value, bool is_secure,
                         int64_t wall_ms, struct buf *out);

#endif
