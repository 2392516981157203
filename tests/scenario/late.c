/* See late.h. */
#include "late.h"

#include <assert.h>

static void late_wake(struct late *late, unsigned loop_index) {
    if (!late->awaited[loop_index] || journal_mark(&late->journal) < late->awaited[loop_index]) return;
    late->awaited[loop_index] = 0;
    late->env->wake(late->env->context, loop_index);
}

static void late_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self;
    assert(loop_index < LATE_LOOPS_MAX && effects.size > 0);
}

static void late_await(struct journal *self, unsigned loop_index, uint64_t version) {
    struct late *late = (struct late *)self;
    assert(loop_index < LATE_LOOPS_MAX && version > 0);
    late->awaited[loop_index] = version;
    late_wake(late, loop_index);
}

void late_open(struct late *late, const struct env *env) {
    *late = (struct late){.journal = {.busy_from = INT64_MAX, .append = late_append, .await = late_await}, .env = env};
}

bool late_move(struct late *late) {
    uint64_t oldest = 0;
    for (unsigned i = 0; i < LATE_LOOPS_MAX; i++)
        if (late->awaited[i] && (!oldest || late->awaited[i] < oldest)) oldest = late->awaited[i];
    if (!oldest) return false;
    /* What an answer depends on has been appended when the turn has ended: else it would wait for ever. */
    if (late->engine->vtable->appended) assert(late->engine->vtable->appended(late->engine) >= oldest);
    atomic_store(&late->journal.mark, oldest);
    for (unsigned i = 0; i < LATE_LOOPS_MAX; i++) late_wake(late, i);
    return true;
}
