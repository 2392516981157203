/* What happens beside the requests that draw.c draws: the wall clock is set, purging is turned on and off.
 *
 * It has a stream of chance of its own. */
#include "world.h"

#include <string.h>

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->around_chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->around_chance, percent);
}

void around_open(struct world *world) {
    world->around_chance = world->seed * UINT64_C(0xda942042e4dd58b5) + 11;
    world->sets_clock = of(world, 25);
    world->has_purging = of(world, 20);
    world->is_timely = world->has_pools || world->has_purging;
}

/* Where one request runs at a time it is delivered at once, else it waits among the others. */
static void ask(struct world *world, struct peer *peer, struct call *call) {
    strcpy(call->namespace, world->model.namespaces[below(world, world->model.namespace_count)].name);
    world->is_exact ? world_ask(world, peer, call) : world_issue(world, peer, call);
}

static void set_clock(struct world *world) {
    int64_t offset_ms = of(world, 30) ? 0 : (int64_t)below(world, of(world, 80) ? 2000 : 7200000);
    world->model.clock_offset_ms = of(world, 50) ? offset_ms : -offset_ms;
    server_set_clock_offset(world->server, world->model.clock_offset_ms);
}

static void set_purging(struct world *world, struct peer *peer) {
    struct call call = {.op = OP_SERVER_PURGING};
    call.enabled.is_given = of(world, 60);
    call.enabled.is_nil = of(world, 10);
    call.enabled.value = of(world, 70);
    call.interval.is_given = of(world, 50);
    call.interval.is_nil = of(world, 10);
    call.interval.value = 95 + (int64_t)below(world, of(world, 50) ? 20 : 3000);
    ask(world, peer, &call);
}

void around_step(struct world *world, struct peer *peer) {
    if (world->sets_clock && of(world, 5)) set_clock(world);
    if (of(world, world->has_purging ? 4 : 0)) set_purging(world, peer);
}
