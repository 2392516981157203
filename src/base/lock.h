/* A spin lock for sections of a few hundred nanoseconds: one word, no owner, not recursive.
 *
 * Any thread may take it. It must never be held across I/O, a system call that can block, or env_point. A mutex would
 * be 40 bytes and a futex call when contended; these sections are shorter than that call. It is built from acquire and
 * release operations only, so that ThreadSanitizer understands it. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All zero is free. */
struct lock {
    _Atomic uint32_t is_taken;
};

#define LOCK_SPINS_MAX 128 /* pauses before the holder is taken to have lost its processor */

static inline void lock_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline void lock_init(struct lock *lock) {
    atomic_init(&lock->is_taken, 0);
}

/* Takes the lock if it is free at this moment; never waits. */
static inline bool lock_try(struct lock *lock) {
    return !atomic_load_explicit(&lock->is_taken, memory_order_relaxed) &&
           !atomic_exchange_explicit(&lock->is_taken, 1, memory_order_acquire);
}

static inline void lock_take(struct lock *lock) {
    for (unsigned spins = 0; !lock_try(lock); spins++) {
        if (spins < LOCK_SPINS_MAX)
            lock_pause();
        else
            sched_yield();
    }
}

/* The caller holds it. */
static inline void lock_release(struct lock *lock) {
    atomic_store_explicit(&lock->is_taken, 0, memory_order_release);
}

/* For assertions only: somebody holds it. */
static inline bool lock_is_taken(struct lock *lock) {
    return atomic_load_explicit(&lock->is_taken, memory_order_relaxed) != 0;
}

#endif
