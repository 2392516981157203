/* sessiond's operations on tokens and pools, for its driver: the members of those names, of whole operations. No state;
 * any thread. */
#ifndef BENCH_SESSIOND_WHOLE_H
#define BENCH_SESSIOND_WHOLE_H

#include "driver.h"

/* The request without the message's head. */
bool sessiond_make_whole(const struct driver_setup *setup, enum request request, struct template *template);
const char *sessiond_judge(const struct driver_setup *setup, enum request request, const struct reply *reply,
                           const uint8_t *id, struct found *found);

#endif
