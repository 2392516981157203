/* What the two halves of sessiond's driver share: driver_sessiond.c has the store's requests and the scanner,
 * sessiond_whole.c the operations on tokens and pools. Nobody else includes this. */
#ifndef BENCH_DRIVER_SESSIOND_H
#define BENCH_DRIVER_SESSIOND_H

#include "base/mp.h"
#include "endpoint.h"

#define DATA_KEY "d"
enum { DATA_DEPTH_MAX = 16 };

/* Appends the map {"d": text} of exactly so many bytes, the text being stamp and filling. */
void sessiond_write_data(struct template *template, uint32_t value_bytes);

/* The value under a key of a map, and the text that a value is; absent if there is none. */
struct bytes sessiond_find(struct bytes map, const char *key);
struct bytes sessiond_text(struct bytes value);

/* True if the record's data is what was written for that id. */
bool sessiond_data_is(const struct driver_setup *setup, struct bytes record, const uint8_t id[KEY_ID_BYTES]);

/* sessiond_whole.c: make without the message's head, and the driver's members of those names. */
bool sessiond_make_whole(const struct driver_setup *setup, enum request request, struct template *template);
const char *sessiond_judge(const struct driver_setup *setup, enum request request, const struct reply *reply,
                           const uint8_t *id, struct found *found);
bool sessiond_configure_pool(const struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                             size_t problem_size);

#endif
