/* Threads that compute for long beside loops, with which they may have to share a processor. */
#ifndef UV_PATIENCE_H
#define UV_PATIENCE_H

/* From now on the calling thread is taken off its processor as soon as a loop wakes there, and gets as much time in the
 * end. Where the system cannot do that, nothing changes. */
void thread_be_patient(void);

#endif
