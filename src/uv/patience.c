/* See patience.h. Linux gives the processor to whoever asks for shorter slices as soon as they wake (6.12; elsewhere
 * nothing changes). A lower priority would do that too, but a loop that is always busy would starve the segments that
 * its own log waits for, and the memory that it is to be given. */
#define _GNU_SOURCE /* syscall */
#include "uv/patience.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS 100000000 /* the longest that the system gives */

void thread_be_patient(void) {
#ifdef SYS_sched_setattr
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, (unsigned)sizeof attributes, 0U) < 0) return;
    if (attributes.policy != SCHED_OTHER) return;
    attributes.flags = 0;
    attributes.runtime_ns = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0U);
#endif
}
