/* What the kernel says about the server and the machine, read from /proc. Any thread; no state. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process_sample {
    uint64_t cpu_ns;  /* user and system time of all its living threads, from the scheduler's own clock, and of its
                         children, those that ended as coarse ticks */
    uint64_t wait_ns; /* that they could have run but had no core */
    uint64_t user_ticks, system_ticks; /* the same time as coarse ticks, to tell user from system */
    uint64_t rss_bytes;
    uint64_t anonymous_bytes; /* of these, what is no file */
};

/* Fills the sample; false if there is no such process or it is not ours to look at. */
bool process_sample_take(struct process_sample *sample, int pid);

/* Nanoseconds of CPU time that the process has used, but for what a thread that is on a processor has done since its
 * last tick or switch, which is when the kernel adds it; 0 if there is none. */
uint64_t process_cpu_ns(int pid);

/* The same of its first thread alone, as of when that last paused or the scheduler last looked at it: what it has done
 * since comes with the next look. */
uint64_t process_first_thread_cpu_ns(int pid);

struct machine_sample {
    uint64_t at_ns;
    uint64_t busy_ticks, steal_ticks; /* of all cores */
};

bool machine_sample_take(struct machine_sample *sample);

/* How undisturbed the time between two samples was. */
struct disturbance {
    double steal_share;   /* of one core's time that the host took away */
    double foreign_share; /* of one core's time that neither the server nor we used */
};

/* `own_ns` is the CPU time that server and generator used between the two. */
struct disturbance machine_disturbance(const struct machine_sample *before, const struct machine_sample *after,
                                       uint64_t own_ns);

/* Writes what this machine is: processor, cores, kernel; and the day, in UTC. */
void machine_describe(char *text, size_t size);

unsigned core_count(void); /* that this process may use */
int core_next(int core); /* the one that follows it among those this process may use; itself where there is no other */
/* Ties the calling thread, and those it makes, to one core or two. */
bool core_pin(int core, int other);
bool core_avoid(int core); /* keeps it, and those it makes, off that core where there is another */

#endif
