/* Acquires that wait for a session, a place or the end of their time: see pool_visit.h.
 *
 * A waiter belongs to the loop that submitted it and stands in its pool's queue, in the order in which they came. Who
 * changes a pool serves the queue before the lock is let go, so nothing that a waiter could have is left for others.
 * A grant is made under the pool's lock: hand-outs, places for sessions that are to be made, or a refusal; the waiter
 * then goes to its loop, which turns the grant into an answer inside a turn of its own. If nobody is there to take it,
 * or the sessions have died meanwhile, the hand-outs are taken back and the next one is served.
 *
 * What is written here under the pool's lock: everything but `next` and `ticket`, which are the loop's own, and `link`
 * while the waiter is in an inbox. Only its loop frees a waiter. */
#include "base/check.h"
#include "engine/memory/pool_line.h"
#include "engine/memory/pool_visit.h"

#include <stdlib.h>

#define WAITER_CHAINS 256

enum waiter_state {
    WAITER_QUEUED,
    WAITER_TAKEN, /* it gets sessions, or places in which its loop makes some */
    WAITER_ASKED, /* it gets a place to fill itself */
    WAITER_OVER,  /* nothing came in time */
    WAITER_LACKING,
    WAITER_CANCELLED
};

struct waiter {
    struct list link;        /* of its pool, then of its loop's inbox */
    struct line_place place; /* while it is queued */
    struct waiter *next;     /* of its loop's chain */
    uint64_t ticket;
    uint64_t arrival; /* when it came, among all of its pool */
    unsigned loop_index;
    enum waiter_state state;
    struct pool_table *table;
    struct pool *pool;
    struct pool_want want; /* its tags stand behind the struct */
    int64_t until_ms;
    uint32_t count;
    size_t bytes_max;
    struct pool_pick pick; /* the first of what it gets */
    bool is_place;         /* which is a place instead */
    uint32_t item_count;
    struct pool_item *items; /* room for `count`, once it got something; NULL: it gets one */
    size_t size;             /* of the block */
};

static struct waiter **waiter_chain(struct loop *loop, uint64_t ticket) {
    return &loop->waiters[ticket % WAITER_CHAINS];
}

static void waiter_return_memory(struct memory_engine *engine, struct waiter *waiter) {
    if (waiter->items) slab_free(&engine->slab, waiter->items, waiter->count * sizeof(*waiter->items));
    slab_free(&engine->slab, waiter, waiter->size);
}

bool waiters_open(struct loop *loop) {
    loop->waiters = calloc(WAITER_CHAINS, sizeof(*loop->waiters));
    list_init(&loop->grants);
    return loop->waiters != NULL;
}

void waiters_close(struct memory_engine *engine, struct loop *loop) {
    for (unsigned i = 0; loop->waiters && i < WAITER_CHAINS; i++)
        for (struct waiter *waiter = loop->waiters[i], *next; waiter; waiter = next) {
            next = waiter->next;
            waiter_return_memory(engine, waiter);
        }
    free(loop->waiters);
}

/* ---- the queue */

static bool waiter_queue(struct pool_memory memory, struct pool *pool, struct waiter *waiter) {
    if (!line_join(memory, pool, &waiter->want, &waiter->place, waiter->arrival)) return false;
    waiter->state = WAITER_QUEUED;
    pool->waiting_count++;
    if (waiter->until_ms < pool->waiters_due_at) pool->waiters_due_at = waiter->until_ms;
    return true;
}

static void waiter_unqueue(struct pool_memory memory, struct pool *pool, struct waiter *waiter) {
    line_leave(memory, pool, &waiter->place);
    list_remove(&waiter->link);
    pool->waiting_count--;
}

uint64_t waiter_add(struct visit *visit, const struct verb *verb, const struct pool_want *want) {
    struct context *context = visit->context;
    struct loop *loop = context->loop;
    size_t size = sizeof(struct waiter) + want->tags.size;
    struct waiter *waiter = slab_alloc(&context->engine->slab, loop->index, size);
    if (!waiter) return 0;
    *waiter = (struct waiter){.ticket = ++loop->last_ticket,
                              .arrival = ++visit->pool->arrivals,
                              .loop_index = loop->index,
                              .table = visit->table,
                              .pool = visit->pool,
                              .want = *want,
                              .until_ms = context->now_ms + verb->acquire.wait_ms,
                              .count = verb->acquire.count,
                              .bytes_max = verb->acquire.bytes_max,
                              .size = size};
    if (want->tags.data) {
        memcpy(waiter + 1, want->tags.data, want->tags.size);
        waiter->want.tags.data = (const uint8_t *)(waiter + 1);
    }
    if (!waiter_queue(visit_memory(visit), visit->pool, waiter)) {
        slab_free(&context->engine->slab, waiter, size);
        return 0;
    }
    list_append(&visit->pool->waiters, &waiter->link);
    struct waiter **chain = waiter_chain(loop, waiter->ticket);
    waiter->next = *chain;
    *chain = waiter;
    return waiter->ticket;
}

/* Out of the queue, with what it got. */
static void waiter_grant(struct pool_memory memory, struct pool *pool, struct waiter *waiter, enum waiter_state state,
                         struct list *granted) {
    waiter_unqueue(memory, pool, waiter);
    waiter->state = state;
    list_append(granted, &waiter->link);
    pool->undelivered_count++;
}

static void acquire_of_waiter(struct context *context, const struct waiter *waiter, struct pool_item *items,
                              struct acquire *acquire) {
    *acquire = (struct acquire){.context = context,
                                .namespace = waiter->pool->namespace,
                                .pool_name = pool_name(waiter->pool),
                                .want = waiter->want,
                                .count = 1,
                                .bytes_max = waiter->bytes_max,
                                .table = waiter->table,
                                .pool = waiter->pool,
                                .items = items,
                                .choice = CHOICE_NONE};
}

/* All that it wanted, as far as it is there: who comes behind it gets none of that. */
static void waiter_take_more(struct visit *visit, struct waiter *waiter, struct acquire *acquire) {
    struct context *context = visit->context;
    size_t size = waiter->count * sizeof(*waiter->items);
    if (waiter->count == 1) return;
    if (!waiter->items) waiter->items = slab_alloc(&context->engine->slab, context->loop->index, size);
    if (!waiter->items) return; /* one will do */
    waiter->items[0] = acquire->items[0];
    acquire->items = waiter->items;
    acquire->count = waiter->count;
    acquire_take(acquire, visit);
    /* Another loop answers it, in a turn of its own. */
    for (uint32_t i = 0; i < acquire->item_count; i++) waiter->items[i].record = NULL;
}

static void waiter_grant_items(struct visit *visit, struct waiter *waiter, struct acquire *acquire) {
    waiter->pick = acquire->items[0].pick;
    waiter->is_place = acquire->items[0].is_place;
    waiter_take_more(visit, waiter, acquire);
    waiter->item_count = acquire->item_count;
    for (uint32_t i = 0; i < acquire->item_count; i++)
        if (acquire->items[i].is_place) visit->pool->placed_at = visit->context->now_ms;
    waiter_grant(visit_memory(visit), visit->pool, waiter, WAITER_TAKEN, &visit->granted);
}

/* Gives it what it can have at this moment. */
static void waiter_serve(struct visit *visit, struct waiter *waiter) {
    struct pool *pool = visit->pool;
    struct pool_item first;
    struct acquire acquire;
    acquire_of_waiter(visit->context, waiter, &first, &acquire);
    acquire_take(&acquire, visit);
    if (acquire.item_count) {
        waiter_grant_items(visit, waiter, &acquire);
        return;
    }
    bool is_lacking = acquire.choice == CHOICE_LACKING;
    if (acquire.choice == CHOICE_ASK) {
        is_lacking = !pool_hold(visit_memory(visit), pool, visit->context->now_ms + LIMIT_PLACE_HOLD_MS);
        if (!is_lacking) waiter_grant(visit_memory(visit), pool, waiter, WAITER_ASKED, &visit->granted);
    }
    if (is_lacking) waiter_grant(visit_memory(visit), pool, waiter, WAITER_LACKING, &visit->granted);
}

/* Ends what waited too long. Grants of a millisecond come before its time-outs: while a place that was granted in it
 * is being filled they are put off, but not beyond it. */
static void waiters_expire(struct visit *visit) {
    struct pool *pool = visit->pool;
    bool is_put_off = pool->put_off_at == visit->context->now_ms;
    if (pool->waiters_due_at > visit->context->now_ms && !is_put_off) return;
    if (pool->placed_at == visit->context->now_ms && pool->creating_count + pool->reserved_count > 0) {
        pool->put_off_at = visit->context->now_ms;
        pool->waiters_due_at = visit->context->now_ms + 1;
        return;
    }
    pool->put_off_at = 0;
    pool->waiters_due_at = INT64_MAX;
    for (struct list *link = pool->waiters.next, *next; link != &pool->waiters; link = next) {
        struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        next = link->next;
        if (waiter->until_ms <= visit->context->now_ms)
            waiter_grant(visit_memory(visit), pool, waiter, WAITER_OVER, &visit->granted);
        else if (waiter->until_ms < pool->waiters_due_at)
            pool->waiters_due_at = waiter->until_ms;
    }
}

/* Serves those for whom there may be something, in the order in which they came. */
static void waiters_serve(struct visit *visit, uint64_t news) {
    struct pool *pool = visit->pool;
    struct line_place *place;
    lines_open(pool, news);
    while ((place = lines_first(pool))) {
        bool was_full = pool_is_full(pool);
        if (!pool->all->ready_count && was_full) break; /* nothing for anybody */
        struct waiter *waiter = LIST_ENTRY(place, struct waiter, place);
        waiter_serve(visit, waiter);
        if (waiter->state == WAITER_QUEUED) line_close(pool, place); /* nor for those behind it */
        /* A last hand-out gave up its place, which may be for who came before. */
        if (was_full && !pool_is_full(pool)) lines_open(pool, UINT64_MAX);
    }
    lines_close(pool);
}

void visit_serve(struct visit *visit) {
    struct pool *pool = visit->pool;
    if (pool->waiting_count > 0) {
        bool has_room = pool->was_full && !pool_is_full(pool);
        uint64_t news = has_room ? UINT64_MAX : pool->news;
        if (pool->has_news || has_room) waiters_serve(visit, news);
        waiters_expire(visit);
    }
    /* Who begins to wait behind this has just asked for all that there is. */
    pool->has_news = false;
    pool->news = 0;
    pool->was_full = pool_is_full(pool);
    if (!pool->waiting_count) pool->waiters_due_at = INT64_MAX;
}

void waiters_check(const struct pool *pool) {
    bool is_full = pool_is_full(pool);
    if (pool->has_news || (pool->was_full && !is_full)) return; /* the next visit serves them */
    for (const struct list *link = pool->waiters.next; link != &pool->waiters; link = link->next) {
        const struct pool_want *want = &LIST_ENTRY(link, struct waiter, link)->want;
        CHECK(is_full || want->create == POOL_CREATE_NEVER || !pool->policy.max_usage_count ||
              pool->policy.max_error_score <= 0);
        for (uint32_t i = 0; i < pool->chain_count; i++)
            for (const struct pool_entry *entry = pool->chains[i]; entry; entry = entry->next)
                CHECK(!entry_fits(entry, want->tags));
    }
}

void waiters_drop(struct pool_memory memory, struct pool *pool, struct list *granted) {
    while (!list_is_empty(&pool->waiters))
        waiter_grant(memory, pool, LIST_ENTRY(pool->waiters.next, struct waiter, link), WAITER_OVER, granted);
    pool->waiters_due_at = INT64_MAX;
}

/* ---- from the pool to the loop */

void grants_send(struct context *context, struct list *granted) {
    while (!list_is_empty(granted)) {
        struct waiter *waiter = LIST_ENTRY(granted->next, struct waiter, link);
        unsigned loop_index = waiter->loop_index;
        struct loop *loop = &context->engine->loops[loop_index];
        list_remove(&waiter->link);
        env_point(context->engine->env);
        lock_take(&loop->grants_lock);
        list_append(&loop->grants, &waiter->link);
        atomic_fetch_add(&loop->grant_count, 1);
        lock_release(&loop->grants_lock);
        owner_wake(context, loop_index, INT64_MIN);
    }
}

bool waiters_are_granted(const struct loop *loop) {
    return atomic_load(&((struct loop *)loop)->grant_count) != 0;
}

static struct waiter *grant_next(struct context *context) {
    struct loop *loop = context->loop;
    struct waiter *waiter = NULL;
    env_point(context->engine->env);
    lock_take(&loop->grants_lock);
    if (!list_is_empty(&loop->grants)) {
        waiter = LIST_ENTRY(loop->grants.next, struct waiter, link);
        list_remove(&waiter->link);
        atomic_fetch_sub(&loop->grant_count, 1);
    }
    lock_release(&loop->grants_lock);
    return waiter;
}

static struct waiter *waiter_find(struct loop *loop, uint64_t ticket) {
    struct waiter *waiter = *waiter_chain(loop, ticket);
    while (waiter && waiter->ticket != ticket) waiter = waiter->next;
    return waiter;
}

static void waiter_free(struct context *context, struct waiter *waiter) {
    struct waiter **link = waiter_chain(context->loop, waiter->ticket);
    while (*link != waiter) link = &(*link)->next;
    *link = waiter->next;
    waiter_return_memory(context->engine, waiter);
}

/* ---- answering */

/* Back into the queue, where it stood. False where memory is lacking: then it is over. */
static bool waiter_requeue(struct visit *visit, struct waiter *waiter) {
    struct pool *pool = visit->pool;
    if (!waiter_queue(visit_memory(visit), pool, waiter)) {
        waiter->state = WAITER_LACKING;
        return false;
    }
    struct list *link = pool->waiters.next;
    while (link != &pool->waiters && LIST_ENTRY(link, struct waiter, link)->arrival < waiter->arrival)
        link = link->next;
    list_append(link, &waiter->link); /* before it */
    pool->undelivered_count--;
    pool_note_news(pool, UINT64_MAX);
    return true;
}

/* The items of a grant, as an acquire of this loop. `first`: where one stands that is alone. */
static void acquire_of_grant(struct context *context, const struct waiter *waiter, struct pool_item *first,
                             struct acquire *acquire) {
    *first = (struct pool_item){.pick = waiter->pick, .is_place = waiter->is_place};
    acquire_of_waiter(context, waiter, waiter->items ? waiter->items : first, acquire);
    if (waiter->items) acquire->count = waiter->count;
    if (waiter->state == WAITER_TAKEN) acquire->item_count = waiter->item_count;
}

/* Makes sessions of what was granted. False: all died; it waits again. */
static bool waiter_collect(struct context *context, struct waiter *waiter, struct acquire *acquire) {
    struct visit visit;
    if (waiter->state != WAITER_TAKEN) return true;
    visit_begin_at(&visit, context, waiter->table, waiter->pool);
    bool is_dropped = visit.pool->is_dropped;
    acquire->policy = visit.pool->policy;
    visit_end(&visit);
    if (is_dropped) {
        acquire_give_back(acquire);
        return true;
    }
    acquire_complete(acquire);
    if (acquire->item_count || acquire->error.code) return true;
    visit_begin_at(&visit, context, waiter->table, waiter->pool);
    bool is_queued = !visit.pool->is_dropped && waiter_requeue(&visit, waiter);
    visit_end(&visit);
    return !is_queued;
}

static void waiter_settle(struct context *context, struct waiter *waiter) {
    struct visit visit;
    visit_begin_at(&visit, context, waiter->table, waiter->pool);
    visit.pool->undelivered_count--;
    visit_end(&visit);
    waiter_free(context, waiter);
}

static void waiter_answer(struct context *context, struct waiter *waiter) {
    struct memory_engine *engine = context->engine;
    struct pool_item first;
    struct acquire acquire;
    struct verb verb;
    acquire_of_grant(context, waiter, &first, &acquire);
    if (waiter->state == WAITER_CANCELLED) {
        waiter_settle(context, waiter);
    } else if (waiter_collect(context, waiter, &acquire)) {
        acquire.choice = waiter->state == WAITER_ASKED     ? CHOICE_ASK
                         : waiter->state == WAITER_LACKING ? CHOICE_LACKING
                                                           : CHOICE_NONE;
        memset(&verb, 0, sizeof(verb));
        verb.kind = VERB_ACQUIRE;
        acquire_answer(&acquire, &verb);
        verb.private[0] = waiter->ticket;
        if (!engine->done || !engine->done(engine->done_context, context->loop->index, &verb))
            acquire_give_back(&acquire);
        waiter_settle(context, waiter);
    }
}

void waiters_deliver(struct context *context) {
    while (waiters_are_granted(context->loop)) {
        struct waiter *waiter = grant_next(context);
        if (waiter) waiter_answer(context, waiter);
    }
}

/* ---- giving up */

bool waiter_cancel(struct context *context, uint64_t ticket) {
    struct waiter *waiter = waiter_find(context->loop, ticket);
    if (!waiter) return false;
    struct visit visit;
    struct pool_item first;
    struct acquire acquire;
    visit_begin_at(&visit, context, waiter->table, waiter->pool);
    enum waiter_state state = waiter->state;
    acquire_of_grant(context, waiter, &first, &acquire);
    if (state == WAITER_QUEUED) {
        waiter_unqueue(visit_memory(&visit), visit.pool, waiter);
    } else {
        waiter->state = WAITER_CANCELLED;
    }
    visit_end(&visit);
    acquire_give_back(&acquire);
    if (state == WAITER_QUEUED) waiter_free(context, waiter);
    return state != WAITER_CANCELLED;
}
