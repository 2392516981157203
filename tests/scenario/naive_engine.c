/* See naive_engine.h. */
#include <stdlib.h>

#include "naive.h"

static void do_verb(struct naive *naive, struct verb *verb, int64_t now_ms) {
    static void (*const doers[VERB_KIND_COUNT])(struct naive *, struct verb *, int64_t) = {
        [VERB_GET] = naive_get,       [VERB_UPDATE] = naive_update,       [VERB_TOUCH] = naive_touch,
        [VERB_MOVE] = naive_move,     [VERB_SCAN] = naive_scan,           [VERB_END_ALL] = naive_end_all,
        [VERB_RETURN] = naive_return, [VERB_CONFIGURE] = naive_configure,
    };
    doers[verb->kind](naive, verb, now_ms);
}

static void naive_submit(struct engine *self, unsigned loop_index, struct verb *verbs, enum submit_state *states,
                         size_t count, int64_t now_ms) {
    struct naive *naive = (struct naive *)self;
    for (size_t i = 0; i < count; i++) {
        verbs[i].error = error_make(ERROR_NONE, NULL);
        verbs[i].is_found = false;
        states[i] = SUBMIT_DONE;
        pass_time(naive, now_ms);
        if (verbs[i].kind != VERB_ACQUIRE)
            do_verb(naive, &verbs[i], now_ms);
        else if (naive_acquire(naive, loop_index, &verbs[i], now_ms))
            states[i] = SUBMIT_PENDING;
        pass_time(naive, now_ms);
        naive_serve_waiters(naive, now_ms);
    }
}

/* Purges what is to be purged; answers when the next is. */
static int64_t purge(struct naive *naive, int64_t now_ms) {
    int64_t next = INT64_MAX;
    for (int i = 0; i < NAMESPACES_MAX; i++) {
        struct space *space = naive->spaces[i];
        if (!space || !space->is_used || !space->is_purging) continue;
        if (now_ms >= space->purge_at) {
            struct verb verb = {.kind = VERB_END_ALL, .namespace = space->name, .end_all.end = END_PURGE};
            naive_end_all(naive, &verb, now_ms);
            space->purge_at = now_ms + space->purge_interval_ms;
        }
        if (space->purge_at < next) next = space->purge_at;
    }
    return next;
}

static int64_t naive_advance(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget) {
    struct naive *naive = (struct naive *)self;
    (void)budget;
    pass_time(naive, now_ms);
    deliver(naive, loop_index, now_ms);
    int64_t purge_at = purge(naive, now_ms), due = naive_next_due(naive);
    return purge_at < due ? purge_at : due;
}

static void naive_set_done(struct engine *self, engine_done done, void *context) {
    ((struct naive *)self)->done = done;
    ((struct naive *)self)->done_context = context;
}

static const struct policy *naive_policy(struct engine *self, struct bytes namespace) {
    struct space *space = space_find((struct naive *)self, namespace);
    return space ? &space->policy : NULL;
}

static void naive_turn(struct engine *self, unsigned loop_index) {
    (void)self, (void)loop_index;
}
static void naive_stats(struct engine *self, struct engine_stats *out) {
    (void)self, memset(out, 0, sizeof(*out));
}

static void naive_set_limits(struct engine *self, const struct engine_limits *limits) {
    ((struct naive *)self)->options.limits = *limits;
}

static void naive_close(struct engine *self) {
    struct naive *naive = (struct naive *)self;
    for (struct block *block = naive->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(naive->scratch.data);
    free(naive);
}

struct engine *naive_engine_open(const struct engine_options *options) {
    static const struct engine_vtable vtable = {.name = "naive",
                                                .features = ENGINE_ATOMIC_MOVE | ENGINE_EXACT_EXPIRY |
                                                            ENGINE_ORDERED_SCAN | ENGINE_POOLS | ENGINE_EVENTS,
                                                .enter = naive_turn,
                                                .leave = naive_turn,
                                                .submit = naive_submit,
                                                .set_done = naive_set_done,
                                                .cancel = naive_cancel,
                                                .policy = naive_policy,
                                                .watch = naive_watch,
                                                .read_events = naive_read_events,
                                                .advance = naive_advance,
                                                .stats = naive_stats,
                                                .set_limits = naive_set_limits,
                                                .close = naive_close};
    struct naive *naive = calloc(1, sizeof(*naive));
    naive->base.vtable = &vtable;
    naive->options = *options;
    naive->moment = options->now_ms;
    naive->told = naive_keep(naive, sizeof(*naive->told));
    return &naive->base;
}
