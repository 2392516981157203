/* Two requests at once: each runs in a fibre of its own, on a loop of its own, and at every point between two takings
 * of a lock the other may go on.
 *
 * What they answer must be what one order of the two would have answered. A LIMIT is believed: a place that is reserved
 * at this moment counts, so a limit may refuse one too many, never admit one. One thread; only the switch is random. */
#include "pair.h"

#include <stdlib.h>
#include <ucontext.h>

#define STACK_BYTES (512 * 1024)

struct fibre {
    ucontext_t context;
    struct pair *pair;
    struct pair_side *side;
    bool is_done;
};

static ucontext_t scheduler;
static struct fibre *current; /* NULL: no fibre runs, and points do nothing */

/* Stands between two takings of a lock. */
void pair_point(void *context) {
    struct world *world = context;
    if (!current || !chance_of(&world->chance, 60)) return;
    struct fibre *here = current;
    current = NULL;
    swapcontext(&here->context, &scheduler);
}

static void fibre_main(void) {
    struct fibre *fibre = current;
    struct pair_side *side = fibre->side;
    side->state = conn_feed(side->conn, side->input, fibre->pair->world->now_ms);
    fibre->is_done = true;
    current = NULL;
    swapcontext(&fibre->context, &scheduler);
}

static void fibre_begin(struct fibre *fibre, struct pair *pair, struct pair_side *side, void *stack) {
    *fibre = (struct fibre){.pair = pair, .side = side};
    getcontext(&fibre->context);
    fibre->context.uc_stack.ss_sp = stack;
    fibre->context.uc_stack.ss_size = STACK_BYTES;
    fibre->context.uc_link = &scheduler;
    makecontext(&fibre->context, fibre_main, 0);
}

void pair_run(struct pair *pair) {
    static uint8_t stacks[2][STACK_BYTES] __attribute__((aligned(64)));
    struct fibre fibres[2];
    for (unsigned i = 0; i < 2; i++) fibre_begin(&fibres[i], pair, &pair->sides[i], stacks[i]);
    while (!fibres[0].is_done || !fibres[1].is_done) {
        struct fibre *next = &fibres[chance_below(&pair->world->chance, 2)];
        if (next->is_done) continue;
        pair->switches++;
        current = next;
        swapcontext(&scheduler, &next->context);
    }
}
