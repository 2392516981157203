/* Two requests that run at once: see fibre.c for how, pair.c for which. */
#ifndef SIM_PAIR_H
#define SIM_PAIR_H

#include "world.h"

struct pair_side {
    struct conn *conn; /* on a loop of its own, inside a turn */
    struct bytes input;
    enum conn_state state; /* what conn_feed answered */
};

struct pair {
    struct world *world;
    struct pair_side sides[2];
    unsigned switches; /* how often one of them went on; 2: neither was interrupted */
};

/* Runs two requests at once and compares, where two connections on two loops are at rest. */
void pair_step(struct world *world);

/* ---- fibre.c */
/* Feeds both sides at once. */
void pair_run(struct pair *pair);
/* env->point of a world that runs pairs; `context` is the world. */
void pair_point(void *context);

#endif
