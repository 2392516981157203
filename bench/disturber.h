/* Another client of sessiond that keeps it busy while something else is measured. */
#ifndef BENCH_DISTURBER_H
#define BENCH_DISTURBER_H

#include "worker.h"

#include <pthread.h>

enum disturbance_kind {
    DISTURB_GROW,       /* new sessions, 16 at once */
    DISTURB_GETS,       /* 1,000 gets at once */
    DISTURB_SETS,       /* 1,000 sets at once, of sessions that are there */
    DISTURB_LISTS,      /* 1,000 lists at once, of 100 sessions each */
    DISTURB_BIG_VALUES, /* 1,000 gets at once, of 100 KB each */
    DISTURB_SNAPSHOTS,  /* one snapshot after the other */
    DISTURB_COUNT
};

struct disturber {
    const struct target *target;
    enum disturbance_kind kind;
    uint64_t seed, session_count; /* the sessions that are there: 0 to session_count - 1 */
    uint64_t next_index;          /* of what is new; the caller's from disturber_end on */
    uint64_t done;                /* requests answered, or snapshots made; the caller's from disturber_end on */
    pthread_t thread;
    _Atomic bool must_stop;
    char problem[PROBLEM_BYTES]; /* empty: none */
};

/* Begins in a thread of its own, which gives way to others on its core; the caller has filled the fields up to
 * next_index. False where no thread can be had. */
bool disturber_begin(struct disturber *disturber);

/* Has it stop when what is under way is answered, and waits for that; false with disturber->problem. */
bool disturber_end(struct disturber *disturber);

#endif
