/* What somebody who only hears events knows: which ids live. See contract_lives.c. */
#ifndef CONTRACT_LIVES_H
#define CONTRACT_LIVES_H

#include "contract.h"

enum { LIVES_MAX = 64 };

struct lives {
    unsigned count;
    struct life {
        char namespace[16], id[16];
        bool is_there, is_alive; /* it was created and not destroyed; and it has not died otherwise */
        uint64_t version;
        unsigned heard;
    } all[LIVES_MAX];
};

/* Has loop 0 watch; from here on lives_hear is told all. */
void lives_watch(struct world *world);
/* Hears what happened since the last time and checks that each life makes sense. */
void lives_hear(struct world *world, struct lives *lives);
bool lives_is_alive(const struct lives *lives, const char *namespace, const char *id);
/* The namespace was dropped, of which nobody is told. */
void lives_drop(struct lives *lives, const char *namespace);

#endif
