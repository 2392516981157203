/* From options to a target and a plan; and the progress line. Main thread. */
#ifndef BENCH_PREPARE_H
#define BENCH_PREPARE_H

#include "options.h"
#include "run.h"
#include "spawn.h"

/* Makes the target that the options describe and sets the server up; false with a sentence on stderr. */
bool target_open(struct target *target, const struct driver *driver, const char *address, int pid,
                 const struct options *options, bool is_load_mortal);
void target_close(struct target *target);

/* Makes the templates anew after the setup was changed. */
bool target_refresh(struct target *target);

/* Gets ready for a workload of another family or pool: a ledger for so many sessions, which the caller owns, and for a
 * pool's a new pool of that size. False with a sentence on stderr. */
bool target_take_workload(struct target *target, const struct workload *workload, uint64_t sessions,
                          struct ledger *ledger, const struct options *options);

/* Whether so many connections of that depth always find a session to ask for; false with a sentence on stderr. */
bool workload_has_room(const struct workload *workload, uint64_t sessions, const struct plan *plan,
                       const struct options *options);

/* Puts the sessions [first, first + count) in, under a progress line; *took_ms (may be NULL): how long that lasted.
 * False with a sentence on stderr. */
bool target_load(const struct target *target, const struct plan *plan, uint64_t first, uint64_t count,
                 const struct options *options, uint64_t *took_ms);

/* Starts a server on --server-core, where there is more than one, and keeps off that core. False with a sentence on
 * stderr. */
bool server_begin(struct server_process *server, const struct server_recipe *recipe, const struct options *options);

/* The plan that the options describe; false with a sentence on stderr for a workload or distribution of no such name.
 */
bool plan_from_options(struct plan *plan, const struct options *options);

/* Shows a line on stderr while something runs, if that is a terminal and --quiet was not given. */
struct run_watch progress_watch(const struct options *options, const char *phase);
void progress_clear(const struct options *options);

#endif
