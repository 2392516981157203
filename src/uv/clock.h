/* The server's clock: milliseconds since the Unix epoch that never jump.
 *
 * At start it takes the wall clock's time, or goes on where the last server of its data directory stood; from then on
 * it counts with CLOCK_BOOTTIME, which goes on during suspend and which nobody sets. So durations hold when the wall
 * clock is corrected; the difference that grows is the offset, told to the server each second so that moments given by
 * callers are converted. Read-only once loops run: any thread. */
#ifndef UV_CLOCK_H
#define UV_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t anchor_ms; /* wall time minus boot time at start */
};

void clock_open(struct clock *clock);
/* From now on it is `now_ms`: where a server goes on that ran before. Before anybody else has the clock. */
void clock_continue(struct clock *clock, int64_t now_ms);
int64_t clock_now_ms(const struct clock *clock);
int64_t clock_wall_ms(void);
/* Server time minus wall time at this moment. */
int64_t clock_offset_ms(const struct clock *clock);

#endif
