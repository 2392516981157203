/* Arguments that are given rarely, added to what draw.c has drawn: each by itself, from a stream of chance of its own.
 */
#include "world.h"

#include "sessiond/session.h"

#include <stdio.h>
#include <string.h>

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->rare_chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->rare_chance, percent);
}

static void give_score(struct world *world, struct score *score, unsigned percent) {
    score->is_given = of(world, percent);
    score->value = (double)below(world, 12) / 4;
}

static void give_name(struct world *world, struct text *text, char first, unsigned percent) {
    text->is_given = of(world, percent);
    text->is_nil = of(world, 20);
    if (text->is_given && !text->is_nil)
        snprintf(text->bytes, sizeof text->bytes, "%c%u", first, (unsigned)below(world, 3));
}

/* Counters and limits that an addition brings along, and its groups. */
static void enrich_add(struct world *world, struct call *call) {
    call->error_count = (struct number){of(world, 20), false, (int64_t)below(world, 4)};
    give_score(world, &call->score, 15);
    give_score(world, &call->max_score, 15);
    give_score(world, &call->decrement, 15);
    give_name(world, &call->user, 'u', 25);
    give_name(world, &call->client, 'c', 15);
}

static void enrich_pool_policy(struct world *world, struct call *call) {
    struct pool_policy_change *change = &call->pool_change;
    if (of(world, 15)) {
        change->given |= POOL_POLICY_IDLE_TIMEOUT_MS;
        change->values.idle_timeout_ms = (int64_t)below(world, 3000);
    }
    if (of(world, 30)) change->nil = change->given & below(world, UINT64_C(1) << 10);
}

/* A page of a pool, from where the last one ended that was read of it. */
static void enrich_state(struct world *world, struct call *call) {
    const struct model *model = &world->model;
    if (of(world, 40)) call->limit = 1 + (unsigned)below(world, 4);
    bool is_last = strcmp(model->cursor_namespace, call->namespace) == 0 && strcmp(model->cursor_pool, call->pool) == 0;
    if (is_last && model->pool_cursor.data && of(world, 60)) call->cursor = model->pool_cursor;
}

static void enrich_hello(struct world *world, struct call *call) {
    call->has_version = of(world, 40);
    call->version = of(world, 80) ? PROTOCOL_VERSION : below(world, 5);
    if (of(world, 30)) strcpy(call->client_name, "the simulator");
}

void rare_enrich(struct world *world, struct call *call) {
    switch (call->op) {
    case OP_SERVER_HELLO: enrich_hello(world, call); break;
    case OP_SESSION_GET: call->public_only |= of(world, 15); break;
    case OP_POOL_ADD: enrich_add(world, call); break;
    case OP_POOL_CONFIGURE: enrich_pool_policy(world, call); break;
    case OP_POOL_STATE: enrich_state(world, call); break;
    default: break;
    }
}
