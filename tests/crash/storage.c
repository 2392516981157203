/* The log's three steps as fibres: see world.h. A fibre rests before calls of the disk and between two locks, as the
 * seed will; what else is done meanwhile happens between the two. The crash comes before a call of the disk. */
#include "world.h"

#include <stdlib.h>

#define HELD_MAX_MS 3000 /* that a slow disk takes for one call */

static struct world *current; /* for makecontext, which passes no pointers */

void storage_open(struct world *world) {
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        world->fibres[i].stack = aligned_alloc(64, STACK_BYTES);
        if (!world->fibres[i].stack) abort();
    }
    world->running = -1;
}

void storage_begin(struct world *world) {
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        world->fibres[i].due = world->now_ms;
        world->fibres[i].state = FIBRE_IDLE;
        world->fibres[i].is_signalled = false;
    }
}

void storage_signal(void *context, enum log_thread thread) {
    ((struct world *)context)->fibres[thread].is_signalled = true;
}

static void fibre_main(void) {
    static int64_t (*const steps[])(struct log *, int64_t) = {log_write, log_sync, log_keep};
    struct world *world = current;
    struct fibre *fibre = &world->fibres[world->running];
    fibre->due = steps[world->running](world->log, world->now_ms);
    fibre->state = FIBRE_IDLE;
    world->running = -1;
    swapcontext(&fibre->context, &world->main);
}

static void rest(struct world *world) {
    struct fibre *fibre = &world->fibres[world->running];
    fibre->state = FIBRE_RESTING;
    world->running = -1;
    swapcontext(&fibre->context, &world->main);
}

static void go_on(struct world *world, unsigned which) {
    struct fibre *fibre = &world->fibres[which];
    world->running = (int)which;
    if (fibre->state == FIBRE_IDLE) {
        fibre->is_signalled = false;
        getcontext(&fibre->context);
        fibre->context.uc_stack.ss_sp = fibre->stack;
        fibre->context.uc_stack.ss_size = STACK_BYTES;
        fibre->context.uc_link = &world->main;
        current = world;
        makecontext(&fibre->context, fibre_main, 0);
    }
    swapcontext(&world->main, &fibre->context);
}

bool storage_step(struct world *world, unsigned which) {
    struct fibre *fibre = &world->fibres[which];
    if (world->running >= 0 || world->is_over) return false;
    if (fibre->state == FIBRE_RESTING ? fibre->held_until > world->now_ms
                                      : !fibre->is_signalled && fibre->due > world->now_ms)
        return false;
    go_on(world, which);
    return true;
}

void storage_settle(struct world *world) {
    bool did = true;
    for (unsigned rounds = 0; did && !world->is_over; rounds++) {
        did = false;
        for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) did |= storage_step(world, i);
        if (rounds > 100000) world_fail(world, "the log's steps never come to rest");
        if (rounds > 100000) return;
    }
}

void storage_finish(struct world *world) {
    world->is_quiet = true;
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++)
        while (world->fibres[i].state == FIBRE_RESTING) go_on(world, i);
}

int64_t storage_due(const struct world *world) {
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) {
        const struct fibre *fibre = &world->fibres[i];
        int64_t next = fibre->state == FIBRE_RESTING ? fibre->held_until : fibre->due;
        if (fibre->state == FIBRE_IDLE && fibre->is_signalled) next = world->now_ms;
        if (next < due) due = next;
    }
    return due;
}

void storage_point(void *context) {
    struct world *world = context;
    if (world->is_quiet) return;
    if (world->running >= 0) {
        if (!of(world, world->laziness)) return;
        world->fibres[world->running].held_until = world->now_ms;
        rest(world);
    } else if (world->log && of(world, world->busyness)) {
        storage_step(world, (unsigned)below(world, LOG_THREAD_COUNT));
    }
}

void storage_hook(void *context, enum sim_call call, const char *name) {
    struct world *world = context;
    (void)name;
    if (world->is_over) return;
    if (world->dies_after == (int)call && !world->is_quiet && --world->dies_nth == 0) {
        world->calls_left = below(world, 4);
        world->dies_after = -1;
    }
    if (world->calls_left == 0) {
        world->is_over = true;
        /* A process that is killed may have written a part of it. */
        if (call == SIM_WRITE && of(world, 50)) sim_disk_fail(world->sim, SIM_WRITE, 1, false, DISK_FAILED);
        sim_disk_stop_after(world->sim, call == SIM_WRITE ? 1 : 0);
        if (world->running >= 0) world->fibres[world->running].held_until = world->now_ms, rest(world);
        return;
    }
    world->calls_left--;
    if (world->running < 0 || world->is_quiet || !of(world, 50)) return;
    bool is_held = world->is_slow && (call == SIM_SYNC || call == SIM_WRITE) && of(world, 40);
    world->fibres[world->running].held_until = world->now_ms + (is_held ? (int64_t)below(world, HELD_MAX_MS) : 0);
    rest(world);
}
