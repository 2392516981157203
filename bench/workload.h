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
    KIND_LOGIN,
    KIND_VALIDATE,
    KIND_ROTATE,
    KIND_LOGOUT,
    KIND_USE,     /* acquire, then a mark: good, bad or retire; and a release where there are leases */
    KIND_ACQUIRE, /* no mark follows */
    KIND_MARK,    /* of a session that is known, whether or not it was handed out */
    KIND_COUNT
};

extern const char *const kind_names[KIND_COUNT];

/* What the sessions of a workload are, and so what is loaded for it. */
enum family {
    FAMILY_STORE, /* ids that we choose, with data */
    FAMILY_AUTH,  /* tokens that a login answers, users with several sessions */
    FAMILY_POOL   /* sessions of a pool */
};

struct workload {
    const char *name;
    enum family family;
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

/* The request that fills a server with sessions of a family. */
enum request family_load_request(enum family family);

/* True if the server can be asked for all that the workload does. */
bool workload_is_possible(const struct workload *workload, const struct driver *driver,
                          const struct templates *templates, bool has_leases);

/* How a kind is asked of a server: its first request, and those that follow the replies, or REQUEST_COUNT. `turn`
 * varies what may vary. */
struct steps {
    uint8_t first, second, third;
};
struct steps kind_steps(const struct driver *driver, enum kind kind, uint64_t turn, bool has_leases);

#endif
