/* What the load generator asks for, and in which shares. A table; immutable. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "driver.h"

/* What is counted and timed on its own; a kind may take two requests, one after the other. */
enum kind {
    KIND_GET,
    KIND_GET_TOUCH,
    KIND_SET,
    KIND_PATCH,
    KIND_CREATE,
    KIND_DESTROY,
    KIND_MODIFY,
    KIND_PROBE,
    KIND_COUNT
};

extern const char *const kind_names[KIND_COUNT];

struct workload {
    const char *name;
    uint16_t per_mille[KIND_COUNT];     /* shares; together 1,000 */
    enum key_distribution distribution; /* unless the caller says otherwise */
    const char *story;                  /* one line for --help */
};

/* The workload of that name, or NULL. */
const struct workload *workload_find(const char *name);
extern const struct workload workloads[];
extern const unsigned workload_count;

/* Fills each session of a range once; and the load under which sessions expire. Not in the table. */
extern const struct workload workload_load, workload_expire;

/* How a kind is asked of a server: its first request, and the one that follows the reply, or REQUEST_COUNT. `turn`
 * varies what may vary. */
struct steps {
    uint8_t first, second;
};
struct steps kind_steps(const struct driver *driver, enum kind kind, uint64_t turn);

#endif
