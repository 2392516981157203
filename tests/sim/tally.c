/* What a run has played: of each operation how often, and how often it was refused. An operation of the schema that a
 * long run never plays, or that is always refused, fails it: so that no new one is forgotten here. */
#include "world.h"

#include "wire/codec.h"

#include <stdio.h>

/* Operations that are not played, and why. */
static const struct {
    enum op op;
    const char *why;
} exceptions[] = {
    {OP_SERVER_INFO, "it answers what the process is, not what it holds"},
    {OP_SERVER_SNAPSHOT, "a log and files are not the model's"},
};

void tally_play(struct world_totals *totals, enum op op, const struct answer *answer) {
    totals->played[op]++;
    if (answer) tally_refusal(totals, op, answer);
}

void tally_refusal(struct world_totals *totals, enum op op, const struct answer *answer) {
    totals->refused[op] += !is_nil(answer->error);
}

static const char *exception_of(enum op op) {
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (exceptions[i].op == op) return exceptions[i].why;
    return NULL;
}

void tally_print(const struct world_totals *totals) {
    printf("%-20s %10s %10s\n", "played", "times", "refused");
    for (unsigned op = 0; op < OP_COUNT; op++) {
        const char *why = totals->played[op] ? NULL : exception_of((enum op)op);
        printf("%-20s %10llu %10llu%s%s\n", op_infos[op].method, (unsigned long long)totals->played[op],
               (unsigned long long)totals->refused[op], why ? "  " : "", why ? why : "");
    }
}

bool tally_is_whole(const struct world_totals *totals) {
    bool is_whole = true;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        if (exception_of((enum op)op) || totals->played[op] > totals->refused[op]) continue;
        fprintf(stderr, "%s was %s: have draw.c draw it, and the model know it\n", op_infos[op].method,
                totals->played[op] ? "always refused" : "never played");
        is_whole = false;
    }
    return is_whole;
}
