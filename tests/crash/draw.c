/* Requests: few names, so that they meet; small durations, so that deadlines do. */
#include "base/mp.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

enum { IDS_COUNT = 7 };

static uint8_t arena[1 << 16]; /* encoded data of calls that are not encoded yet */
static size_t arena_used;

static struct bytes kept(struct buf *encoded) {
    if (arena_used + encoded->size > sizeof arena) arena_used = 0;
    uint8_t *at = arena + arena_used;
    memcpy(at, encoded->data, encoded->size);
    arena_used += encoded->size;
    struct bytes bytes = bytes_of(at, encoded->size);
    buf_fini(encoded);
    return bytes;
}

static struct bytes draw_map(struct world *world) {
    static const uint8_t filler[600];
    struct buf out = BUF_EMPTY;
    bool is_long = of(world, 25);
    mp_write_map(&out, 2 + is_long);
    mp_write_string(&out, "k0"), mp_write_uint(&out, below(world, 1000000));
    mp_write_string(&out, "k1"), mp_write_uint(&out, below(world, 3));
    if (is_long) mp_write_string(&out, "long"), mp_write_bin(&out, bytes_of(filler, below(world, sizeof filler)));
    return kept(&out);
}

static void draw_id(struct world *world, char *id) {
    snprintf(id, ID_TEXT_MAX, "id-%c", 'a' + (int)below(world, IDS_COUNT));
}

static void draw_text(struct world *world, struct text *text, char first, unsigned percent) {
    if (!of(world, percent)) return;
    text->is_given = true;
    text->is_nil = of(world, 20);
    if (!text->is_nil) snprintf(text->bytes, sizeof text->bytes, "%c%u", first, (unsigned)below(world, 3));
}

static void give_text(struct world *world, struct text *text, char first) {
    text->is_given = true;
    text->is_nil = false;
    snprintf(text->bytes, sizeof text->bytes, "%c%u", first, (unsigned)below(world, 3));
}

static void draw_number(struct world *world, struct number *number, unsigned percent) {
    static const int64_t durations[] = {0, 500, 3000, 60000, 3600000, 86400000};
    if (!of(world, percent)) return;
    number->is_given = true;
    number->value = durations[below(world, 6)];
}

static void draw_timeouts(struct world *world, struct call *call, unsigned percent) {
    draw_number(world, &call->idle, percent);
    draw_number(world, &call->absolute, percent);
    draw_number(world, &call->abandon, percent / 3);
}

/* ---------------------------------------------------------------- families */

static void draw_set(struct world *world, struct call *call) {
    call->op = OP_SESSION_SET;
    call->data.value = draw_map(world);
    if (of(world, 20)) call->mode = of(world, 50) ? SET_MODE_CREATE : SET_MODE_UPDATE;
    if (of(world, 20)) call->meta = (struct blob){.is_given = true, .value = draw_map(world)};
    draw_timeouts(world, call, 15);
}

static void draw_create(struct world *world, struct call *call) {
    call->op = OP_SESSION_CREATE;
    if (of(world, 15)) call->id[0] = 0;
    call->data = (struct blob){.is_given = true, .value = draw_map(world)};
    draw_text(world, &call->user, 'u', 50);
    draw_text(world, &call->client, 'c', 30);
    draw_timeouts(world, call, 30);
    call->token = of(world, 50);
    call->pending = of(world, 10);
    call->revive = of(world, 30);
    if (of(world, 10)) call->proof[0] = (struct text){.is_given = true, .bytes = "browser"};
}

static void draw_patch(struct world *world, struct call *call) {
    call->op = OP_SESSION_PATCH;
    call->create = of(world, 20);
    strcpy(call->incr[0].key, "k0");
    call->incr[0].whole = 1 + (int64_t)below(world, 5);
    call->incr_count = 1;
    if (!of(world, 30)) return;
    strcpy(call->unset[0], "k1");
    call->unset_count = 1;
}

static void draw_regenerate(struct world *world, struct call *call) {
    static const int64_t graces[] = {0, 1, 2000, 60000};
    call->op = OP_SESSION_REGENERATE;
    if (of(world, 85)) draw_id(world, call->new_id);
    call->drops_data = of(world, 30);
    call->restarts = of(world, 30);
    draw_text(world, &call->user, 'u', 20);
    call->grace = (struct number){.is_given = true, .value = graces[below(world, 4)]};
}

static void draw_status(struct world *world, struct call *call) {
    static const enum op ops[] = {OP_SESSION_ACTIVATE, OP_SESSION_END,     OP_SESSION_REMOVE,
                                  OP_SESSION_REVOKE,   OP_SESSION_ABANDON, OP_SESSION_REPLACE};
    call->op = ops[below(world, 6)];
    if (call->op == OP_SESSION_REPLACE) draw_id(world, call->by);
    if (call->op != OP_SESSION_ACTIVATE && of(world, 40)) strcpy(call->reason, "over");
}

static void draw_expire(struct world *world, struct call *call) {
    call->op = OP_SESSION_EXPIRE;
    if (of(world, 50))
        call->deadline = (struct number){.is_given = true, .value = world->now_ms + (int64_t)below(world, 20000)};
    else
        call->extend = (struct number){.is_given = true, .value = (int64_t)below(world, 20000)};
}

static void draw_group(struct world *world, struct call *call) {
    call->op = OP_SESSION_REVOKE_ALL;
    if (of(world, 70))
        give_text(world, &call->user, 'u');
    else
        give_text(world, &call->client, 'c');
    if (of(world, 30)) draw_id(world, call->ids[call->id_count++]);
}

static void draw_read(struct world *world, struct call *call) {
    switch (below(world, 6)) {
    case 0:
    case 1:
        call->op = OP_SESSION_GET;
        call->touch = of(world, 40);
        call->include_dead = of(world, 50);
        break;
    case 2:
        call->op = OP_SESSION_GET_MANY;
        while (call->id_count < 3) draw_id(world, call->ids[call->id_count++]);
        break;
    case 3:
        call->op = OP_SESSION_LIST;
        give_text(world, &call->user, 'u');
        break;
    case 4:
        call->op = OP_SESSION_COUNT;
        give_text(world, &call->user, 'u');
        break;
    default: call->op = OP_NAMESPACE_DESCRIBE;
    }
}

static void draw_token(struct world *world, struct call *call) {
    static const int64_t graces[] = {0, 1000, 10000};
    if (world->token_count == 0) {
        draw_read(world, call);
        return;
    }
    unsigned held = world->token_count < TOKENS_MAX ? world->token_count : TOKENS_MAX;
    const struct token *token = &world->tokens[(world->token_count - 1 - below(world, held)) % TOKENS_MAX];
    strcpy(call->namespace, namespace_names[token->namespace]);
    strcpy(call->id, token->id);
    strcpy(call->secret, token->secret);
    call->op = of(world, 50) ? OP_SESSION_ROTATE : OP_SESSION_VALIDATE;
    call->slide = call->op == OP_SESSION_VALIDATE && of(world, 50);
    if (call->op == OP_SESSION_ROTATE)
        call->grace = (struct number){.is_given = true, .value = graces[below(world, 3)]};
}

static void set_policy(struct call *call, uint64_t bit) {
    call->change.given |= bit;
}

static void draw_policy(struct world *world, struct call *call) {
    struct policy *values = &call->change.values;
    call->op = OP_NAMESPACE_CONFIGURE;
    if (of(world, 40))
        set_policy(call, POLICY_MAX_SESSIONS_PER_USER), values->max_sessions_per_user = 1 + below(world, 3);
    if (of(world, 40)) {
        set_policy(call, POLICY_SESSION_LIMIT_POLICY);
        values->session_limit_policy = (enum session_limit_policy)below(world, 3);
    }
    if (of(world, 30)) set_policy(call, POLICY_SINGLE_SESSION), values->single_session = of(world, 50);
    if (of(world, 30)) set_policy(call, POLICY_TOUCH_AFTER_MS), values->touch_after_ms = (int64_t)below(world, 50);
    if (of(world, 10)) set_policy(call, POLICY_RETENTION_MS), values->retention_ms = of(world, 50) ? 1000 : 86400000;
    if (of(world, 10)) set_policy(call, POLICY_TOMBSTONE_MS), values->tombstone_ms = of(world, 50) ? 2000 : 600000;
    if (of(world, 30)) set_policy(call, POLICY_IDLE_TIMEOUT_MS), values->idle_timeout_ms = 60000;
    if (of(world, 20)) set_policy(call, POLICY_SLIDE), values->slide = of(world, 50);
    if (!call->change.given) set_policy(call, POLICY_SLIDE), values->slide = of(world, 50);
}

static void draw_whole(struct world *world, struct call *call) {
    switch (below(world, 8)) {
    case 0: call->op = OP_SESSION_CLEAR; break;
    case 1: call->op = OP_SESSION_PURGE; break;
    case 2: call->op = OP_NAMESPACE_DROP; break;
    case 3: call->op = OP_SERVER_SNAPSHOT; break;
    case 4: call->op = OP_CLIENT_DESTROY, snprintf(call->client_name, 3, "c%u", (unsigned)below(world, 3)); break;
    case 5: call->op = OP_CLIENT_ACTIVATE, snprintf(call->client_name, 3, "c%u", (unsigned)below(world, 3)); break;
    default: draw_policy(world, call);
    }
}

/* ---------------------------------------------------------------- pools */

static void draw_pool_policy(struct world *world, struct call *call) {
    struct pool_policy *values = &call->pool_change.values;
    call->op = OP_POOL_CONFIGURE;
    call->pool_change.given = POOL_POLICY_MAX_USAGE_COUNT | POOL_POLICY_MAX_POOL_SIZE;
    values->max_usage_count = 2 + below(world, 5);
    values->max_pool_size = 2 + below(world, 4);
    if (of(world, 20)) call->pool_change.given |= POOL_POLICY_COOLDOWN_MS, values->cooldown_ms = 200;
    if (!of(world, 30)) return;
    call->pool_change.given |= POOL_POLICY_STRATEGY;
    values->strategy = (enum pool_strategy)below(world, 5);
}

static void draw_acquire(struct world *world, struct call *call) {
    static const int64_t leases[] = {500, 3000, 60000};
    call->op = OP_POOL_ACQUIRE;
    call->id[0] = 0;
    call->making = of(world, 80) ? POOL_CREATE_NEVER : POOL_CREATE_AUTO;
    if (of(world, 50)) call->lease = (struct number){.is_given = true, .value = leases[below(world, 3)]};
    if (of(world, 15)) call->making = POOL_CREATE_NEVER, call->wait = (struct number){.is_given = true, .value = 1000};
}

/* Of something that was handed out. */
static void draw_return(struct world *world, struct call *call) {
    unsigned held = world->ticket_count < 12 ? world->ticket_count : 12;
    struct ticket *ticket = held ? &world->tickets[(world->ticket_count - 1 - below(world, held)) % TICKETS_MAX] : NULL;
    if (!ticket || !ticket->id[0]) {
        draw_acquire(world, call);
        return;
    }
    strcpy(call->namespace, namespace_names[ticket->namespace]);
    strcpy(call->id, ticket->id);
    if (of(world, 80)) call->use = ticket->use, call->fence = ticket->fence;
    switch (below(world, 4)) {
    case 0:
        call->op = OP_POOL_RELEASE;
        /* One hand-out of it may be given back, also one whose answer nobody has read yet. */
        world->releases[ledger_key(&world->ledger, KEY_SESSION, ticket->namespace, bytes_of_string(ticket->id))]++;
        break;
    case 1:
        call->op = OP_POOL_RENEW;
        call->lease = (struct number){.is_given = true, .value = 3000};
        break;
    default:
        call->op = OP_POOL_MARK;
        call->outcome.kind = of(world, 60) ? MARK_GOOD : of(world, 70) ? MARK_BAD : MARK_RETIRE;
    }
}

static void draw_pool(struct world *world, struct call *call) {
    unsigned choice = (unsigned)below(world, 100);
    strcpy(call->namespace, namespace_names[1]);
    snprintf(call->pool, sizeof call->pool, "p%u", (unsigned)below(world, 2));
    if (choice < 8) {
        draw_pool_policy(world, call);
    } else if (choice < 28) {
        call->op = OP_POOL_ADD;
        snprintf(call->id, sizeof call->id, "s-%c", 'a' + (int)below(world, 6));
        call->data = (struct blob){.is_given = true, .value = draw_map(world)};
        call->force = of(world, 20);
    } else if (choice < 65) {
        draw_acquire(world, call);
    } else if (choice < 97) {
        draw_return(world, call);
    } else {
        call->op = of(world, 30) ? OP_POOL_RESET : OP_POOL_INFO;
    }
}

static void begin_call(struct world *world, struct call *call) {
    *call = (struct call){.op = OP_SESSION_SET};
    strcpy(call->namespace, namespace_names[below(world, 100) < 70 ? 0 : below(world, NAMESPACES_MAX)]);
    draw_id(world, call->id);
}

void draw_plain(struct world *world, struct call *call) {
    begin_call(world, call);
    switch (below(world, 6)) {
    case 0:
    case 1: draw_set(world, call); break;
    case 2: draw_patch(world, call); break;
    case 3:
        call->op = OP_SESSION_TOUCH;
        draw_number(world, &call->idle, 20);
        break;
    case 4: call->op = OP_SESSION_DESTROY; break;
    default: call->op = OP_SESSION_GET, call->touch = of(world, 40);
    }
}

void draw_call(struct world *world, struct call *call) {
    begin_call(world, call);
    unsigned choice = (unsigned)below(world, 100);
    if (world->has_churn && of(world, 10)) {
        call->op = of(world, 50) ? OP_NAMESPACE_DROP : OP_SERVER_SNAPSHOT;
    } else if (world->has_pools && of(world, 35)) {
        draw_pool(world, call);
    } else if (choice < 18) {
        draw_set(world, call);
        draw_text(world, &call->user, 'u', 40);
        draw_text(world, &call->client, 'c', 30);
    } else if (choice < 34) {
        draw_create(world, call);
    } else if (choice < 40) {
        draw_patch(world, call);
    } else if (choice < 46) {
        call->op = OP_SESSION_TOUCH;
        draw_number(world, &call->idle, 20);
    } else if (choice < 52) {
        call->op = of(world, 70) ? OP_SESSION_DESTROY : OP_SESSION_TAKE;
    } else if (choice < 59) {
        draw_regenerate(world, call);
    } else if (choice < 63) {
        draw_expire(world, call);
    } else if (choice < 71) {
        draw_status(world, call);
    } else if (choice < 73) {
        draw_group(world, call);
    } else if (choice < 84) {
        draw_read(world, call);
    } else if (choice < 94) {
        draw_token(world, call);
    } else {
        draw_whole(world, call);
    }
}
