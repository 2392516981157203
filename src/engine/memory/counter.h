/* Figures that one thread writes at a time and any may read: no locked instruction. */
#ifndef ENGINE_MEMORY_COUNTER_H
#define ENGINE_MEMORY_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

static inline void counter_add(_Atomic uint64_t *counter, uint64_t amount) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount, memory_order_relaxed);
}

#endif
