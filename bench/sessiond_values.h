/* What sessiond stores and answers, as values of MessagePack: written by requests, looked for in replies and events. No
 * state; any thread. */
#ifndef BENCH_SESSIOND_VALUES_H
#define BENCH_SESSIOND_VALUES_H

#include "base/mp.h"
#include "driver.h"

#define DATA_KEY "d"
enum { DATA_DEPTH_MAX = 16 };

/* Appends the map {"d": text} of exactly so many bytes, the text being stamp and filling. */
void sessiond_write_data(struct template *template, uint32_t value_bytes);

/* The value under a key of a map, and the text that a value is; absent if there is none. */
struct bytes sessiond_find(struct bytes map, const char *key);
struct bytes sessiond_text(struct bytes value);

/* True if the record's data is what was written for that id. */
bool sessiond_data_is(const struct driver_setup *setup, struct bytes record, const uint8_t id[KEY_ID_BYTES]);

#endif
