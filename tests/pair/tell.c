/* See tell.h. */
#include "pair/tell.h"

#include <stdio.h>

static void tell_hand_out(const struct session *session, uint64_t use) {
    printf("%.*s/%llu ", (int)session->id.size, (const char *)session->id.data, (unsigned long long)use);
}

static void tell_hand_outs(const struct verb *verb) {
    tell_hand_out(&verb->session, verb->use);
    for (uint32_t i = 0; i < verb->more_count; i++) tell_hand_out(&verb->more[i].session, verb->more[i].use);
}

void tell_step(unsigned step, int64_t at_ms, const struct verb verbs[2], const enum submit_state states[2]) {
    static const char *const kinds[VERB_KIND_COUNT] = {"get",     "update",  "touch",  "move",     "scan",
                                                       "end_all", "acquire", "return", "configure"};
    const struct verb *verb = &verbs[0];
    printf("%u at %lld: %s %.*s", step, (long long)at_ms, kinds[verb->kind], (int)verb->id.size,
           verb->id.data ? (const char *)verb->id.data : "");
    if (verb->kind == VERB_ACQUIRE)
        printf(" strategy %d create %d lease %lld wait %lld tags %zu count %u", verb->acquire.strategy,
               verb->acquire.create, (long long)verb->acquire.lease_ms, (long long)verb->acquire.wait_ms,
               verb->acquire.tags.size, verb->acquire.count);
    if (verb->kind == VERB_RETURN)
        printf(" kind %d outcome %d use %llu fence %d lease %lld", verb->pool_return.kind,
               verb->pool_return.outcome.kind, (unsigned long long)verb->pool_return.use, verb->pool_return.fence != 0,
               (long long)verb->pool_return.lease_ms);
    if (verb->kind == VERB_END_ALL) printf(" end %d", verb->end_all.end);
    for (unsigned i = 0; i < 2; i++) {
        printf(i ? " | " : ": ");
        if (states[i] == SUBMIT_PENDING)
            printf("waits %llu", (unsigned long long)verbs[i].private[0]);
        else if (verbs[i].error.code)
            printf("error %d", verbs[i].error.code);
        else if (!verbs[i].is_found)
            printf("nothing");
        else if (verb->kind == VERB_ACQUIRE || verb->kind == VERB_UPDATE || verb->kind == VERB_MOVE)
            tell_hand_outs(&verbs[i]);
        else
            printf("done");
    }
    printf("\n");
}
