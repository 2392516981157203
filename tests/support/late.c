/* See late.h. */
#include "support/late.h"

#include <assert.h>
#include <string.h>

static void late_wake(struct late *late, unsigned loop_index) {
    if (!late->awaited[loop_index] || journal_mark(&late->journal) < late->awaited[loop_index]) return;
    late->awaited[loop_index] = 0;
    late->env->wake(late->env->context, loop_index);
}

static void late_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    struct late *late = (struct late *)self;
    (void)loop_index; /* nobody else asks for it where nothing is asserted */
    assert(loop_index < LATE_LOOPS_MAX && effects.size > 0);
    if (!late->effects.size) late->engine->vtable->preamble(late->engine, &late->effects);
    buf_append(&late->effects, effects.data, effects.size);
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

void late_close(struct late *late) {
    buf_fini(&late->effects);
}

const char *late_recover(struct late *late, struct engine *fresh, int64_t now_ms) {
    struct recovery_counts counts;
    const char *why = NULL;
    if (late->effects.size && !fresh->vtable->apply(fresh, buf_bytes(&late->effects), &why)) return why;
    if (!fresh->vtable->recovered(fresh, now_ms, &counts, &why)) return why;
    memset(late->awaited, 0, sizeof late->awaited);
    if (counts.version > journal_mark(&late->journal)) atomic_store(&late->journal.mark, counts.version);
    late->engine = fresh;
    return NULL;
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
