/* Who waits for a hand-out: first come, first served. See naive.h. */
#include "naive.h"

static struct verb copy_verb(struct naive *naive, const struct verb *from) {
    struct verb verb = *from;
    verb.namespace = naive_copy(naive, from->namespace);
    verb.id = naive_copy(naive, from->id);
    verb.acquire.pool = naive_copy(naive, from->acquire.pool);
    verb.acquire.tags = naive_copy(naive, from->acquire.tags);
    return verb;
}

static void queue(struct naive *naive, unsigned loop, struct verb *verb, int64_t now_ms) {
    struct waiter *waiter = naive_keep(naive, sizeof(*waiter)), **end = &naive->waiters;
    *waiter = (struct waiter){.verb = copy_verb(naive, verb),
                              .loop = loop,
                              .ticket = ++naive->tickets,
                              .until = now_ms + verb->acquire.wait_ms};
    verb->private[0] = waiter->verb.private[0] = waiter->ticket;
    while (*end) end = &(*end)->next;
    *end = waiter;
}

bool naive_acquire(struct naive *naive, unsigned loop, struct verb *verb, int64_t now_ms) {
    if (acquire_now(naive, verb, now_ms)) return false;
    if (!bytes_is_absent(verb->id)) return false;
    if (verb->acquire.wait_ms > 0) {
        queue(naive, loop, verb, now_ms);
        return true;
    }
    verb->error = error_make(ERROR_EXHAUSTED, "No usable session is free; wait, or add one.");
    return false;
}

static void answer(struct naive *naive, struct waiter *waiter) {
    waiter->is_answered = true;
    naive->options.env->wake(naive->options.env->context, waiter->loop);
}

void naive_serve_waiters(struct naive *naive, int64_t now_ms) {
    for (struct waiter *waiter = naive->waiters; waiter;) {
        bool is_served = !waiter->is_answered && !waiter->is_over && acquire_now(naive, &waiter->verb, now_ms);
        if (is_served) answer(naive, waiter);
        /* What it made may be for those who came before. */
        waiter = is_served ? naive->waiters : waiter->next;
    }
}

void time_out_waiters(struct naive *naive, int64_t now_ms) {
    for (struct waiter *waiter = naive->waiters; waiter; waiter = waiter->next) {
        if (waiter->is_answered || waiter->is_over || waiter->until > now_ms) continue;
        waiter->verb.error = error_make(ERROR_EXHAUSTED, "No session became free in time; try again.");
        answer(naive, waiter);
    }
}

void end_waiters_of(struct naive *naive, struct bytes namespace) {
    for (struct waiter *waiter = naive->waiters; waiter; waiter = waiter->next) {
        if (waiter->is_answered || waiter->is_over || !bytes_equal(waiter->verb.namespace, namespace)) continue;
        waiter->verb.error = error_make(ERROR_EXHAUSTED, "The namespace was dropped with its pools; acquire anew.");
        answer(naive, waiter);
    }
}

bool naive_cancel(struct engine *self, unsigned loop, uint64_t ticket) {
    struct naive *naive = (struct naive *)self;
    for (struct waiter *waiter = naive->waiters; waiter; waiter = waiter->next) {
        if (waiter->ticket != ticket || waiter->loop != loop || waiter->is_over) continue;
        waiter->is_over = true;
        if (waiter->is_answered) take_back(naive, &waiter->verb, naive->moment);
        naive_serve_waiters(naive, naive->moment);
        return true;
    }
    return false;
}

void deliver(struct naive *naive, unsigned loop, int64_t now_ms) {
    for (struct waiter *waiter = naive->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        if (!waiter->is_answered || waiter->is_over || waiter->loop != loop) continue;
        waiter->is_over = true;
        waiter->verb.session.usage = &waiter->verb.usage;
        if (naive->done && naive->done(naive->done_context, loop, &waiter->verb)) continue;
        take_back(naive, &waiter->verb, now_ms);
        naive_serve_waiters(naive, now_ms);
        next = naive->waiters; /* one that came before may have it */
    }
}
