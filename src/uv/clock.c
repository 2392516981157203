/* The only place that reads a clock for the core. Both clocks are read in user space: about 35 ns. */
#include "uv/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_open(struct clock *clock) {
    clock->anchor_ms = clock_wall_ms() - read_ms(CLOCK_BOOTTIME);
}

void clock_continue(struct clock *clock, int64_t now_ms) {
    clock->anchor_ms = now_ms - read_ms(CLOCK_BOOTTIME);
}

int64_t clock_now_ms(const struct clock *clock) {
    return clock->anchor_ms + read_ms(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void) {
    return read_ms(CLOCK_REALTIME);
}

int64_t clock_offset_ms(const struct clock *clock) {
    /* Between the two reads a moment passes, and each is rounded down: a millisecond either way is no change of the
     * wall clock, and moments given by callers should not wander with it. */
    int64_t offset_ms = clock_now_ms(clock) - clock_wall_ms();
    return offset_ms >= -1 && offset_ms <= 1 ? 0 : offset_ms;
}
