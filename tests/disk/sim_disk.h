/* A disk that lives in memory and misbehaves when it is told to: for tests and the simulator.
 *
 * What is written stays unsynced until a sync that began after it has answered DISK_OK; what is made, renamed or
 * removed stays so until sync_directory has. sim_disk_crash keeps, loses or tears each of those by chance, as a power
 * cut does. After a sync that failed, what was unsynced then is never safe again, however many later ones succeed.
 * Threads: every function may be called by any thread; the disk's lock is never held while the hook runs. */
#ifndef DISK_SIM_DISK_H
#define DISK_SIM_DISK_H

#include "base/buf.h"
#include "base/prng.h"
#include "sessiond/disk.h"

struct sim_disk;

#define SIM_SECTOR_BYTES 512 /* what a torn write consists of */

enum sim_call {
    SIM_OPEN,
    SIM_WRITE,
    SIM_READ,
    SIM_SYNC,
    SIM_ALLOCATE,
    SIM_TRUNCATE,
    SIM_SIZE,
    SIM_RENAME,
    SIM_REMOVE,
    SIM_SYNC_DIRECTORY,
    SIM_LIST,
    SIM_CALL_COUNT
};

struct sim_disk *sim_disk_open(void); /* aborts where memory is lacking, as everything here */
void sim_disk_close(struct sim_disk *sim);
struct disk *sim_disk_of(struct sim_disk *sim); /* lives as long as it */

/* ---- what happens to it */

/* The power fails: what was not synced is kept, lost or torn, drawn from `prng`. Open files are dead: every call on
 * them answers DISK_FAILED, but close. Faults, the space limit and the hook end. */
void sim_disk_crash(struct sim_disk *sim, struct prng *prng);
/* The process is killed, and the machine goes on: nothing is lost, but open files are dead. Faults end likewise. */
void sim_disk_kill(struct sim_disk *sim);

/* ---- faults */

/* The n-th call of that kind from now on (1: the next) answers `error` and does nothing, but for a write, of which a
 * part may be done; `is_for_ever`: so do all after it. One fault for each kind; a later one takes its place. */
void sim_disk_fail(struct sim_disk *sim, enum sim_call call, uint64_t nth, bool is_for_ever, enum disk_error error);
/* After `calls` more calls of any kind nothing is done any more, and everything answers DISK_FAILED: the moment of a
 * crash, for a caller who then calls sim_disk_crash. */
void sim_disk_stop_after(struct sim_disk *sim, uint64_t calls);
void sim_disk_heal(struct sim_disk *sim);                     /* no faults, and no stop, any more */
void sim_disk_set_space(struct sim_disk *sim, uint64_t size); /* bytes of all files together; UINT64_MAX: no limit */

/* Called before each call does anything, with no lock held: to hold it, or to count it. `name` of the file. */
typedef void (*sim_hook)(void *context, enum sim_call call, const char *name);
void sim_disk_set_hook(struct sim_disk *sim, sim_hook hook, void *context); /* NULL: none */

/* ---- looking at it, and changing it from outside */

uint64_t sim_disk_calls(struct sim_disk *sim, enum sim_call call); /* so far */
uint64_t sim_disk_used(struct sim_disk *sim);                      /* bytes of all files */
void sim_disk_set_wall_ms(struct sim_disk *sim, int64_t wall_ms);
/* Appends the file as a reader finds it; false: there is none. Counts as no call. */
bool sim_disk_get(struct sim_disk *sim, const char *name, struct buf *out);
/* Puts a file there, in place of one of that name, safe against any crash. */
void sim_disk_put(struct sim_disk *sim, const char *name, struct bytes content);
void sim_disk_drop(struct sim_disk *sim, const char *name);
/* A copy of the files as a reader finds them, all safe, without faults. */
struct sim_disk *sim_disk_copy(struct sim_disk *sim);

#endif
