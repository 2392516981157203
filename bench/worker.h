/* A thread of load: its connections, an epoll of its own, and what it counted.
 *
 * worker_open connects; worker_run plays one plan, blocking, in the thread that calls it; several plans may follow one
 * another over the same connections (warm-up, then measurement). Every operation that worker_run begins has ended when
 * it returns. Only `completed` may be read by others meanwhile. Nothing is allocated between open and close. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "conn.h"
#include "histogram.h"
#include "ledger.h"

#include <stdatomic.h>

/* The server that is measured, and how it is spoken to. Owned by the caller, read-only while workers run. */
struct target {
    const struct driver *driver;
    struct driver_setup setup;
    struct endpoint endpoint;
    struct templates templates;
    struct ledger *ledger; /* of the sessions that the server named; NULL where there are none */
    int pid;               /* of the server; 0: not known */
    const char *address;   /* as it was given */
};

struct plan {
    const struct workload *workload;
    enum key_distribution distribution;
    uint64_t seed;
    uint64_t first_index, session_count; /* the sessions that are asked for */
    uint64_t probe_first, probe_count;   /* workload_expire: those that are dying */
    uint32_t connections, depth, threads;
    uint64_t duration_ns;   /* 0: until request_count is reached */
    uint64_t request_count; /* operations of all workers; 0: until the time is over */
    double rate_per_s;      /* of all workers; 0: a closed loop */
    bool is_sliding;        /* closed loop: each reply makes room at once; otherwise depth requests at a time */
    bool is_load;           /* each session once, in order, with load_request */
    uint8_t load_request;   /* enum request */
    uint32_t check_every;   /* one of so many values is looked at; 0: none; a power of two */
    int64_t deadline_first_ms, deadline_span_ms; /* where setup.is_load_mortal: moments of death by index */
    uint64_t window_ns;                          /* 0: none; else latencies are also kept by window */
    uint32_t window_count;
};

enum { PROBLEM_BYTES = 256 };

struct tally {
    uint64_t completed;      /* operations */
    uint64_t requests;       /* sent: an operation may take two */
    uint64_t misses;         /* answered with nothing where there must be something */
    uint64_t errors;         /* answered with an error */
    uint64_t checked, wrong; /* values looked at, and those that were not the session's */
    uint64_t sent_bytes, received_bytes;
    uint64_t early, late; /* workload_expire: sessions gone before their time, or served after it */
    uint64_t cpu_ns;      /* of this thread */
    uint64_t elapsed_ns;  /* from the first request to the last reply */
};

enum { INSERT_WINDOW = 1 << 16 };

struct worker {
    const struct target *target;
    struct plan plan;
    uint32_t ordinal; /* of plan.threads */
    int epoll_fd;
    struct conn *conns;
    uint32_t conn_count;
    struct conn **dirty;
    uint32_t dirty_count, next_conn;
    struct key_stream keys;
    struct random random;
    struct random fresh; /* for what must be new to the server */
    uint8_t kinds[1000]; /* the workload's shares, spread out */
    /* Sessions that this worker makes: numbered as asked for; `insert_known` are all acknowledged, in order. */
    uint64_t insert_origin, insert_next, insert_known, destroy_next;
    uint8_t *insert_acknowledged; /* ring of INSERT_WINDOW */
    uint64_t load_next;
    struct ledger_share share; /* of the target's ledger */
    /* of the plan being run */
    uint64_t now_ns, start_ns, end_ns, begun, begin_limit, in_flight, due;
    int64_t wall_offset_ms; /* wall time minus now_ns */
    bool is_failed;
    char problem[PROBLEM_BYTES]; /* the first error, or why it failed; empty: none */
    struct tally tally;
    struct histogram *histograms[KIND_COUNT]; /* owned; NULL for kinds that the workload lacks */
    struct histogram *windows;                /* owned; window_count, or NULL */
    _Atomic uint64_t completed;               /* what the progress line shows */
};

/* Connects worker `ordinal` of plan->threads; false with a sentence in worker->problem. worker_close in both cases. */
bool worker_open(struct worker *worker, const struct target *target, const struct plan *plan, uint32_t ordinal);
void worker_close(struct worker *worker);

/* Plays for so long, or so many operations (one of both may be 0), and fills tally and histograms anew. False if the
 * server hung up, answered nonsense or fell silent for ten seconds: then worker->problem says which. */
bool worker_run(struct worker *worker, uint64_t duration_ns, uint64_t request_count);

/* Nanoseconds on a clock that only goes forward. */
uint64_t monotonic_ns(void);

/* The moment at which a dying session is to end. */
int64_t plan_deadline_ms(const struct plan *plan, uint64_t index);

#endif
