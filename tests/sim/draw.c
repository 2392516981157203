/* Drawing: small sets of names so that requests collide, small durations so that deadlines do, and moments at and
 * beside whatever is due. */
#include "world.h"

#include "base/mp.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <stdio.h>
#include <string.h>

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->chance, percent);
}

/* ---------------------------------------------------------------- values */

static void draw_id(struct world *world, const char *namespace, char *id) {
    const struct model *model = &world->model;
    if (model->record_count && of(world, 35)) {
        const struct record *record = &model->records[below(world, model->record_count)];
        if (strcmp(model->namespaces[record->namespace].name, namespace) == 0) {
            /* A handle opens nothing, not even what it stands for. */
            strcpy(id, world->has_hashed && of(world, 10) ? record->handle : record->id);
            return;
        }
    }
    snprintf(id, ID_TEXT_MAX, "%s%c", of(world, 10) ? "an-id-that-is-somewhat-longer-" : "",
             'a' + (int)below(world, 6));
}

static void draw_text(struct world *world, struct text *text, char first, unsigned percent) {
    if (!of(world, percent)) return;
    text->is_given = true;
    text->is_nil = of(world, 20);
    if (!text->is_nil) snprintf(text->bytes, sizeof text->bytes, "%c%u", first, (unsigned)below(world, 3));
}

static void draw_value(struct world *world, struct buf *out) {
    char filler[16];
    switch (below(world, 9)) {
    case 0: mp_write_int(out, (int64_t)below(world, 1000) - 500); break;
    case 1: mp_write_int(out, INT64_MAX - (int64_t)below(world, 3)); break;
    case 2: mp_write_int(out, INT64_MIN + (int64_t)below(world, 3)); break;
    case 3: mp_write_uint(out, UINT64_MAX - below(world, 3)); break;
    case 4: mp_write_double(out, (double)below(world, 100) / 8); break;
    case 5: mp_write_nil(out); break;
    case 6: mp_write_array(out, 2), mp_write_int(out, 1), mp_write_map(out, 0); break;
    default: snprintf(filler, sizeof filler, "text %u", (unsigned)below(world, 100)); mp_write_string(out, filler);
    }
}

static void draw_key(struct world *world, char *key) {
    snprintf(key, 8, "k%u", (unsigned)below(world, 5));
}

/* A map of a few keys; sometimes a long one, and, where `any`, sometimes no map at all. */
static struct bytes draw_map(struct world *world, bool any) {
    struct buf out = BUF_EMPTY;
    char key[8];
    static const uint8_t filler[3000];
    if (any && of(world, 8)) {
        draw_value(world, &out);
    } else {
        bool is_long = of(world, 6);
        unsigned first = (unsigned)below(world, 5), count = (unsigned)below(world, 4);
        mp_write_map(&out, count + is_long);
        for (unsigned i = 0; i < count; i++) {
            snprintf(key, sizeof key, "k%u", (first + i) % 5);
            mp_write_string(&out, key);
            draw_value(world, &out);
        }
        if (is_long) mp_write_string(&out, "long"), mp_write_bin(&out, bytes_of(filler, below(world, sizeof filler)));
    }
    struct bytes copy = model_copy(&world->model, buf_bytes(&out));
    buf_fini(&out);
    return copy;
}

static void draw_blob(struct world *world, struct blob *blob, unsigned percent) {
    if (!of(world, percent)) return;
    blob->is_given = true;
    blob->is_nil = of(world, 20);
    if (!blob->is_nil) blob->value = draw_map(world, false);
}

static int64_t draw_duration(struct world *world) {
    static const int64_t durations[] = {0, 1, 16, 100, 1000, 5000, 60000, 86400000};
    return of(world, 70) ? (int64_t)below(world, 3000) + 1 : durations[below(world, 8)];
}

static void draw_number(struct world *world, struct number *number, unsigned percent, int64_t value) {
    if (!of(world, percent)) return;
    number->is_given = true;
    number->is_nil = of(world, 15);
    number->value = value;
}

static void draw_timeouts(struct world *world, struct call *call, unsigned percent) {
    draw_number(world, &call->idle, percent, draw_duration(world));
    draw_number(world, &call->absolute, percent, draw_duration(world));
    draw_number(world, &call->abandon, percent / 2, draw_duration(world));
}

/* A deadline for a caller to give: mostly ahead, sometimes just behind, sometimes long past. */
static int64_t draw_deadline(struct world *world) {
    if (of(world, 5)) return (int64_t)below(world, 3) - 1;
    if (of(world, 15)) return world->now_ms - (int64_t)below(world, 500);
    return world->now_ms + (int64_t)below(world, 5000);
}

uint64_t draw_fields(struct world *world, bool with_id) {
    if (of(world, 60)) return 0;
    uint64_t fields = with_id ? FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_HANDLE) : 0;
    for (enum field field = FIELD_NONE + 1; field < FIELD_END; field++)
        if (of(world, 30)) fields |= FIELD_BIT(field);
    return fields ? fields : FIELD_BIT(FIELD_DATA);
}

/* The version that the session has, where it was seen, or another one. */
static void draw_version(struct world *world, struct call *call, unsigned percent) {
    if (!of(world, percent)) return;
    unsigned namespace = model_namespace(&world->model, call->namespace);
    struct record *record = model_living(&world->model, namespace, call->id, world->now_ms);
    call->has_version = true;
    call->version = record && record->version && of(world, 70) ? record->version : 1 + below(world, 9);
}

/* ---------------------------------------------------------------- operations */

/* Who the client is. */
static void draw_proof(struct world *world, struct call *call, unsigned percent) {
    for (unsigned i = 0; i < 3; i++) {
        if (!of(world, percent)) continue;
        call->proof[i].is_given = true;
        snprintf(call->proof[i].bytes, sizeof call->proof[i].bytes, "x%u", (unsigned)below(world, 2));
    }
}

/* A session with a token, and mostly a secret that was its own. */
static void draw_token(struct world *world, struct call *call) {
    const struct model *model = &world->model;
    const struct record *chosen = NULL;
    strcpy(call->secret, "c2VjcmV0");
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (!record->secret_count || strcmp(model->namespaces[record->namespace].name, call->namespace)) continue;
        /* Mostly one that lives, or lived until now, and has had more than one. */
        bool is_better = !chosen || record->secret_count > chosen->secret_count || below(world, 3) == 0;
        if (is_better && (status_is_living(record_status(record, world->now_ms)) || of(world, 20))) chosen = record;
    }
    call->fields = draw_fields(world, false);
    if (call->op == OP_SESSION_ROTATE)
        draw_number(world, &call->grace, 80, (int64_t)below(world, of(world, 70) ? 500 : 61000));
    call->extends = call->op == OP_SESSION_ROTATE && of(world, 20);
    call->slide = call->op == OP_SESSION_VALIDATE && of(world, 30);
    call->allow_pending = call->op == OP_SESSION_VALIDATE && of(world, 30);
    if (!chosen) return;
    strcpy(call->id, chosen->id);
    strcpy(call->secret, chosen->secrets[of(world, 70) ? 0 : below(world, chosen->secret_count)].text);
    if (of(world, 5)) call->secret[0] ^= 1;
    for (unsigned i = 0; i < 3 && call->op == OP_SESSION_VALIDATE; i++) {
        if (!chosen->bound[i][0] || of(world, 10)) continue;
        call->proof[i].is_given = true;
        strcpy(call->proof[i].bytes, of(world, 90) ? chosen->bound[i] : "x9");
    }
}

static void draw_create(struct world *world, struct call *call) {
    if (of(world, 70)) draw_id(world, call->namespace, call->id);
    draw_text(world, &call->user, 'u', 50);
    draw_text(world, &call->client, 'c', 30);
    if (of(world, 70)) call->data = (struct blob){true, false, draw_map(world, true)};
    draw_blob(world, &call->meta, 30);
    draw_timeouts(world, call, 25);
    draw_number(world, &call->deadline, world->is_exact ? 0 : 15, draw_deadline(world));
    if (!world->is_exact) draw_number(world, &call->created_at, 10, world->now_ms + 10 - (int64_t)below(world, 2000));
    call->revive = of(world, 25);
    if (world->has_pools && of(world, 10)) call->in_pool = (struct text){true, false, "p1"};
    call->fields = draw_fields(world, !call->id[0]);
    if (!world->has_tokens || call->op != OP_SESSION_CREATE) return;
    call->token = of(world, 60);
    if (of(world, 30)) draw_proof(world, call, 50);
    call->pending = !call->in_pool.is_given && of(world, 10);
}

static void draw_set(struct world *world, struct call *call) {
    call->data = (struct blob){true, false, draw_map(world, true)};
    call->mode = of(world, 60) ? SET_MODE_UPSERT : (enum set_mode)below(world, 4);
    draw_version(world, call, call->mode == SET_MODE_IF_VERSION ? 95 : 3);
    draw_text(world, &call->user, 'u', 30);
    draw_text(world, &call->client, 'c', 20);
    draw_blob(world, &call->meta, 20);
    draw_timeouts(world, call, 20);
    draw_number(world, &call->deadline, world->is_exact ? 0 : 10, draw_deadline(world));
}

static void draw_patch(struct world *world, struct call *call) {
    if (of(world, 60)) {
        call->set_count = 1 + (unsigned)below(world, 2);
        for (unsigned i = 0; i < call->set_count; i++) {
            struct buf value = BUF_EMPTY;
            snprintf(call->set[i].key, 8, "k%u", (unsigned)(below(world, 3) * 2 + i));
            draw_value(world, &value);
            call->set[i].value = model_copy(&world->model, buf_bytes(&value));
            buf_fini(&value);
        }
    }
    if (of(world, 30)) call->unset_count = 1, draw_key(world, call->unset[0]);
    if (of(world, 50)) {
        call->incr_count = 1;
        draw_key(world, call->incr[0].key);
        call->incr[0].is_real = of(world, 20);
        call->incr[0].real = (double)below(world, 64) / 4 - 4;
        call->incr[0].whole = of(world, 10) ? INT64_MAX : (int64_t)below(world, 20) - 10;
    }
    call->target = of(world, 20) ? PATCH_TARGET_META : PATCH_TARGET_DATA;
    call->create = of(world, 40);
    draw_version(world, call, 10);
    draw_timeouts(world, call, 10);
}

static void draw_ids(struct world *world, struct call *call, unsigned count) {
    call->id_count = count;
    for (unsigned i = 0; i < count; i++) draw_id(world, call->namespace, call->ids[i]);
}

static void draw_regenerate(struct world *world, struct call *call) {
    if (of(world, 60)) draw_id(world, call->namespace, call->new_id);
    call->drops_data = of(world, 25);
    call->restarts = of(world, 25);
    draw_text(world, &call->user, 'u', 30);
    draw_number(world, &call->grace, 40, draw_duration(world));
    call->grace.is_nil = false;
    call->fields = draw_fields(world, !call->new_id[0]);
}

static void draw_group(struct world *world, struct call *call, unsigned percent) {
    if (world->has_pools && of(world, 20)) {
        call->in_pool = (struct text){true, false, "p0"};
        return;
    }
    struct text *text = of(world, 70) ? &call->user : &call->client;
    draw_text(world, text, text == &call->user ? 'u' : 'c', percent);
    if (text->is_nil) *text = (struct text){false, false, ""};
}

static void draw_list(struct world *world, struct call *call) {
    draw_group(world, call, 70);
    bool is_group = call->user.is_given || call->client.is_given || call->in_pool.is_given;
    if (is_group ? of(world, 30) : call->op == OP_SESSION_LIST && of(world, 20))
        call->statuses =
            of(world, 30) ? ((UINT64_C(1) << STATUS_END) - 2) : STATUS_BIT(1 + below(world, STATUS_END - 1));
    if (call->op == OP_SESSION_COUNT) return;
    if (!is_group && of(world, 30)) snprintf(call->prefix, sizeof call->prefix, "%s", of(world, 50) ? "an-" : "a");
    if (of(world, 60)) call->limit = 1 + (unsigned)below(world, 5);
    call->oldest_first = of(world, 30);
    call->fields = draw_fields(world, true);
}

static void draw_policy(struct world *world, struct call *call) {
    struct policy_change *change = &call->change;
    int64_t *durations[] = {&change->values.idle_timeout_ms, &change->values.absolute_timeout_ms,
                            &change->values.max_idle_timeout_ms, &change->values.max_absolute_timeout_ms,
                            &change->values.abandon_timeout_ms};
    for (unsigned i = 0; i < 5; i++) {
        if (!of(world, 25)) continue;
        change->given |= UINT64_C(1) << i;
        if (of(world, 20))
            change->nil |= UINT64_C(1) << i;
        else
            *durations[i] = draw_duration(world);
    }
    if (of(world, 20))
        change->given |= POLICY_TOUCH_AFTER_MS, change->values.touch_after_ms = (int64_t)below(world, 300);
    if (of(world, 15)) change->given |= POLICY_SINGLE_SESSION, change->values.single_session = of(world, 60);
    if (of(world, 15)) change->given |= POLICY_STRICT_IDS, change->values.strict_ids = of(world, 20);
    if (of(world, 25)) {
        change->given |= POLICY_MAX_SESSIONS_PER_USER;
        change->values.max_sessions_per_user = below(world, 4);
    } else if (of(world, 15) && !world->is_exact) {
        change->given |= POLICY_MAX_SESSIONS;
        change->values.max_sessions = below(world, 8);
    }
    if (world->has_tokens && of(world, 20)) change->given |= POLICY_SLIDE, change->values.slide = of(world, 50);
    if (world->has_tokens && of(world, 20)) {
        change->given |= POLICY_BINDING_POLICY;
        change->values.binding_policy = of(world, 50) ? BINDING_POLICY_REPORT : BINDING_POLICY_DENY;
    }
    if (world->has_cookies) draw_cookie_policy(world, call);
    if (!world->is_exact || !of(world, 50)) return;
    change->given |= POLICY_SESSION_LIMIT_POLICY;
    change->values.session_limit_policy = (enum session_limit_policy)below(world, 3);
}

/* How long the dead and the destroyed are remembered is fixed here: a change later would meet what was already swept.
 */
void draw_first_policy(struct world *world, unsigned namespace, struct call *call) {
    *call = (struct call){.op = OP_NAMESPACE_CONFIGURE};
    strcpy(call->namespace, world->model.namespaces[namespace].name);
    draw_policy(world, call);
    if (world->has_cookies) draw_secrets(world, call);
    draw_hashing(world, call, true);
    call->change.given |= POLICY_RETENTION_MS | POLICY_TOMBSTONE_MS | POLICY_IDLE_TIMEOUT_MS;
    call->change.nil &= ~(uint64_t)POLICY_IDLE_TIMEOUT_MS;
    call->change.values.retention_ms = of(world, 20) ? 0 : (int64_t)below(world, 3000);
    call->change.values.tombstone_ms = of(world, 20) ? 0 : (int64_t)below(world, 4000);
    call->change.values.idle_timeout_ms = draw_duration(world);
}

/* ---------------------------------------------------------------- pools */

static void draw_pool_name(struct world *world, char *name) {
    snprintf(name, 16, "p%u", (unsigned)below(world, 2));
}

static int64_t draw_short(struct world *world) {
    return 1 + (int64_t)below(world, of(world, 70) ? 200 : 3000);
}

static void draw_pool_policy(struct world *world, struct call *call) {
    struct pool_policy_change *change = &call->pool_change;
    struct pool_policy *values = &change->values;
    change->given = below(world, UINT64_C(1) << 10) & ~(uint64_t)POOL_POLICY_IDLE_TIMEOUT_MS;
    change->given |= POOL_POLICY_MAX_POOL_SIZE | POOL_POLICY_MAX_USAGE_COUNT;
    values->max_pool_size = below(world, 5);
    values->absolute_timeout_ms = of(world, 20) ? 0 : draw_duration(world);
    values->max_usage_count = of(world, 5) ? 0 : 1 + below(world, 6);
    values->max_error_score = of(world, 5) ? 0 : (double)(1 + below(world, 6)) / 2;
    values->error_score_decrement = (double)below(world, 5) / 4;
    values->blocked_status_codes.bits[403 / 64] = UINT64_C(1) << (403 % 64);
    values->cooldown_ms = of(world, 50) ? 0 : draw_short(world);
    values->max_concurrent = below(world, 3);
    values->strategy = (enum pool_strategy)below(world, 5);
}

static void draw_tags(struct world *world, struct call *call, unsigned percent) {
    call->has_tags = of(world, percent);
    if (call->has_tags) call->tags = 1 + (unsigned)below(world, 3);
}

static void draw_acquire(struct world *world, struct call *call, bool may_wait) {
    call->id[0] = 0;
    if (of(world, 15)) {
        draw_id(world, call->namespace, call->id);
    } else {
        draw_tags(world, call, 25);
        if (of(world, 15)) call->count = 1 + (unsigned)below(world, 3);
        if (may_wait && of(world, 50)) call->wait = (struct number){true, false, draw_short(world)};
    }
    call->has_strategy = of(world, 40);
    call->strategy = (enum pool_strategy)below(world, 5);
    call->making = of(world, 60) ? POOL_CREATE_AUTO : (enum pool_create)(1 + below(world, 2));
    if (of(world, 50)) call->lease = (struct number){true, false, draw_short(world)};
    call->fields = draw_fields(world, true);
    if (call->fields) call->fields |= FIELD_BIT(FIELD_USE) | FIELD_BIT(FIELD_FENCE);
}

/* A session of a pool, and numbers that it has given out or never has. */
static void draw_hand(struct world *world, struct call *call) {
    const struct model *model = &world->model;
    const struct record *chosen = NULL;
    draw_id(world, call->namespace, call->id);
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (!record->seat || strcmp(model->namespaces[record->namespace].name, call->namespace)) continue;
        if (!chosen || below(world, 4) == 0) chosen = record;
    }
    if (!chosen || of(world, 5)) return;
    strcpy(call->id, chosen->id);
    const struct seat *seat = chosen->seat;
    if (seat->use_count && of(world, 70))
        call->use =
            of(world, 60) ? seat->uses[seat->use_count - 1].number : seat->uses[below(world, seat->use_count)].number;
    if (of(world, 3)) call->use = 1000000;
    if (seat->fence && of(world, 30))
        call->fence = of(world, 80) ? seat->fence : seat->uses[below(world, seat->use_count)].fence;
}

static void draw_mark(struct world *world, struct call *call) {
    static const unsigned codes[] = {200, 403, 429, 500};
    draw_hand(world, call);
    unsigned kind = (unsigned)below(world, 10);
    call->outcome.kind = kind < 4 ? MARK_GOOD : kind < 7 ? MARK_BAD : kind < 8 ? MARK_RETIRE : MARK_STATUS_CODE;
    if (call->outcome.kind == MARK_STATUS_CODE) call->outcome.status_code = codes[below(world, 4)];
    if (of(world, 15)) call->extra_code = 500;
}

static void draw_add(struct world *world, struct call *call) {
    if (call->op == OP_POOL_ADD) call->id[0] = 0;
    draw_create(world, call);
    call->in_pool = (struct text){false, false, ""};
    call->revive = false;
    call->user = call->client = (struct text){false, false, ""};
    draw_tags(world, call, 40);
    if (of(world, 20)) call->usage_count = (struct number){true, false, (int64_t)below(world, 4)};
    if (of(world, 20)) call->max_usage = (struct number){true, false, (int64_t)below(world, 4)};
    call->force = of(world, 20);
}

static void draw_arguments(struct world *world, struct call *call) {
    switch (call->op) {
    case OP_SESSION_CREATE: draw_create(world, call); break;
    case OP_SESSION_SET: draw_set(world, call); break;
    case OP_SESSION_VALIDATE:
    case OP_SESSION_ROTATE: draw_token(world, call); break;
    case OP_SESSION_PATCH: draw_patch(world, call); break;
    case OP_SESSION_REGENERATE: draw_regenerate(world, call); break;
    case OP_SESSION_TAKE: call->fields = draw_fields(world, false); break;
    case OP_SESSION_GET_MANY:
        draw_ids(world, call, 1 + (unsigned)below(world, IDS_MAX));
        call->fields = draw_fields(world, false);
        break;
    case OP_SESSION_GET:
        call->touch = of(world, 30);
        call->include_dead = of(world, 40);
        call->fields = draw_fields(world, false);
        draw_version(world, call, 15);
        break;
    case OP_SESSION_TOUCH:
        if (of(world, 70)) break;
        draw_timeouts(world, call, 30);
        draw_number(world, &call->deadline, 20, draw_deadline(world));
        draw_blob(world, &call->meta, 30);
        call->extends = of(world, 20);
        break;
    case OP_SESSION_REPLACE:
        if (of(world, 95)) draw_id(world, call->namespace, call->by);
        /* fall through */
    case OP_SESSION_END:
    case OP_SESSION_REMOVE:
    case OP_SESSION_REVOKE:
    case OP_SESSION_ABANDON:
        if (of(world, 40)) strcpy(call->reason, "so it is");
        /* fall through */
    case OP_SESSION_ACTIVATE: call->fields = draw_fields(world, false); break;
    case OP_SESSION_EXPIRE:
        if (of(world, 50))
            draw_number(world, &call->deadline, 100, draw_deadline(world));
        else
            draw_number(world, &call->extend, 95, draw_duration(world)), call->extend.is_nil = false;
        break;
    case OP_SESSION_REVOKE_ALL:
        draw_group(world, call, 100);
        if (!call->user.is_given && !call->client.is_given && !call->in_pool.is_given)
            call->user = (struct text){true, false, "u1"};
        if (of(world, 40)) draw_ids(world, call, 1 + (unsigned)below(world, 2));
        if (of(world, 50)) strcpy(call->reason, "logged out");
        break;
    case OP_SESSION_LIST:
    case OP_SESSION_COUNT: draw_list(world, call); break;
    case OP_NAMESPACE_CONFIGURE:
        draw_policy(world, call);
        draw_hashing(world, call, false);
        break;
    case OP_CLIENT_GET:
    case OP_CLIENT_ACTIVATE:
    case OP_CLIENT_DESTROY: draw_client(world, call); break;
    case OP_COOKIE_SIGN:
    case OP_COOKIE_UNSIGN:
    case OP_COOKIE_HEADER: draw_cookie(world, call); break;
    case OP_POOL_CONFIGURE: draw_pool_policy(world, call); break;
    case OP_POOL_ADD: draw_add(world, call); break;
    case OP_POOL_MARK: draw_mark(world, call); break;
    case OP_POOL_RELEASE: draw_hand(world, call); break;
    case OP_POOL_RENEW:
        draw_hand(world, call);
        if (of(world, 95)) call->lease = (struct number){true, false, draw_short(world)};
        break;
    case OP_POOL_STATE: call->fields = draw_fields(world, true); break;
    default: break;
    }
}

/* What worlds with pools do half of the time. */
static enum op draw_pool_op(struct world *world) {
    static const enum op ops[] = {OP_POOL_ACQUIRE,   OP_POOL_ACQUIRE, OP_POOL_ACQUIRE, OP_POOL_ACQUIRE,
                                  OP_POOL_MARK,      OP_POOL_MARK,    OP_POOL_MARK,    OP_POOL_RELEASE,
                                  OP_POOL_RELEASE,   OP_POOL_RENEW,   OP_POOL_ADD,     OP_POOL_ADD,
                                  OP_POOL_CONFIGURE, OP_POOL_INFO,    OP_POOL_STATE,   OP_POOL_RESET};
    enum op op = ops[below(world, sizeof ops / sizeof ops[0])];
    if (op == OP_POOL_CONFIGURE && of(world, 50)) return OP_POOL_INFO;
    return op == OP_POOL_RESET && of(world, 70) ? OP_POOL_STATE : op;
}

static enum op draw_op(struct world *world) {
    if (world->has_tokens && of(world, 35)) return of(world, 60) ? OP_SESSION_VALIDATE : OP_SESSION_ROTATE;
    if (world->has_pools && of(world, 60)) return draw_pool_op(world);
    if (world->has_clients && of(world, 15))
        return of(world, 40) ? OP_CLIENT_GET : of(world, 85) ? OP_CLIENT_ACTIVATE : OP_CLIENT_DESTROY;
    if (world->has_cookies && of(world, 15)) return (enum op)(OP_COOKIE_SIGN + below(world, 3));
    static const struct {
        enum op op;
        unsigned weight;
    } ops[] = {
        {OP_SESSION_CREATE, 14},  {OP_SESSION_GET, 20},        {OP_SESSION_SET, 18},       {OP_SESSION_PATCH, 10},
        {OP_SESSION_TOUCH, 8},    {OP_SESSION_DESTROY, 5},     {OP_SESSION_TAKE, 2},       {OP_SESSION_REGENERATE, 7},
        {OP_SESSION_EXPIRE, 4},   {OP_SESSION_REVOKE_ALL, 3},  {OP_SESSION_LIST, 8},       {OP_SESSION_COUNT, 4},
        {OP_SESSION_ACTIVATE, 1}, {OP_SESSION_END, 2},         {OP_SESSION_REMOVE, 2},     {OP_SESSION_REVOKE, 2},
        {OP_SESSION_ABANDON, 1},  {OP_SESSION_REPLACE, 1},     {OP_SESSION_GET_MANY, 4},   {OP_SESSION_CLEAR, 1},
        {OP_SESSION_PURGE, 1},    {OP_NAMESPACE_CONFIGURE, 2}, {OP_NAMESPACE_DESCRIBE, 1}, {OP_NAMESPACE_LIST, 1},
        {OP_SERVER_HELLO, 1},     {OP_SERVER_PING, 1}};
    unsigned total = 0;
    for (unsigned i = 0; i < sizeof ops / sizeof ops[0]; i++) total += ops[i].weight;
    if (below(world, total * 4) == 0) return OP_NAMESPACE_DROP;
    unsigned at = (unsigned)below(world, total);
    for (unsigned i = 0;; i++) {
        if (at < ops[i].weight) return ops[i].op;
        at -= ops[i].weight;
    }
}

void draw_call(struct world *world, const char *default_namespace, bool may_notify, struct call *call) {
    *call = (struct call){.op = draw_op(world)};
    strcpy(call->namespace, world->model.namespaces[below(world, world->model.namespace_count)].name);
    bool takes_namespace = call->op > OP_SERVER_STATS && call->op != OP_NAMESPACE_LIST;
    if (takes_namespace && default_namespace[0] && of(world, 40)) {
        strcpy(call->namespace, default_namespace);
        call->is_default_namespace = true;
    }
    bool is_of_pool = call->op >= OP_POOL_CONFIGURE && call->op <= OP_POOL_LOAD;
    if (call->op != OP_SESSION_CREATE && !is_of_pool) draw_id(world, call->namespace, call->id);
    if (is_of_pool && (call->op < OP_POOL_MARK || call->op > OP_POOL_RENEW)) draw_pool_name(world, call->pool);
    if (call->op == OP_POOL_ACQUIRE) draw_acquire(world, call, may_notify);
    const struct namespace_model *namespace = &world->model.namespaces[model_namespace(&world->model, call->namespace)];
    bool is_sweep = call->op == OP_SESSION_CLEAR || call->op == OP_SESSION_PURGE;
    if (is_sweep && !world->collides_sweeps && (namespace->swept_at == world->now_ms || namespace->sweeps_ahead))
        call->op = OP_SESSION_COUNT;
    draw_arguments(world, call);
    draw_form(world, call);
    rare_enrich(world, call);
    bool is_write = op_infos[call->op].is_write && call->op != OP_NAMESPACE_CONFIGURE && takes_namespace &&
                    (!is_of_pool || call->op == OP_POOL_MARK || call->op == OP_POOL_ADD);
    if (is_write && call->op != OP_NAMESPACE_DROP && of(world, 25) && !call->is_default_namespace)
        call->op_id = 1 + below(world, of(world, 20) ? 4 : UINT64_C(1) << 53);
    /* What is made without being seen could not be known afterwards. */
    bool makes_id = ((call->op == OP_SESSION_CREATE || call->op == OP_POOL_ADD) && !call->id[0]) ||
                    (call->op == OP_SESSION_REGENERATE && !call->new_id[0]) || call->op == OP_POOL_ACQUIRE ||
                    call->op == OP_POOL_RESET || call->op == OP_SESSION_ROTATE;
    bool may_conflict = call->op == OP_NAMESPACE_CONFIGURE && call->change.given & POLICY_HASH_IDS;
    call->is_notification = may_notify && !may_conflict && !makes_id && !call->op_id && of(world, 8);
}

static bool is_single(const struct call *call) {
    if (call->op == OP_SESSION_CREATE) return true;
    if (call->op == OP_SESSION_REGENERATE) return call->new_id[0] != 0;
    return call->op == OP_SESSION_GET || call->op == OP_SESSION_TAKE ||
           (call->op >= OP_SESSION_SET && call->op <= OP_SESSION_EXPIRE) ||
           (call->op >= OP_SESSION_ACTIVATE && call->op <= OP_SESSION_REPLACE);
}

static void draw_single(struct world *world, struct call *call) {
    do draw_call(world, "", false, call);
    while (!is_single(call));
    call->op_id = 0;
}

void draw_pair(struct world *world, struct call *first, struct call *second) {
    draw_single(world, first);
    draw_single(world, second);
    if (!of(world, 75)) return;
    strcpy(second->namespace, first->namespace);
    if (second->op == OP_SESSION_CREATE && !second->id[0]) return;
    strcpy(second->id, first->op == OP_SESSION_REGENERATE && of(world, 50) ? first->new_id : first->id);
    if (!second->id[0]) strcpy(second->id, "a");
    draw_form(world, second);
    if (first->op == OP_SESSION_REGENERATE && second->op == OP_SESSION_REGENERATE && of(world, 50))
        strcpy(second->new_id, first->id);
    /* Who signs in on a client ends who was there before his own record stands; where another takes the id meanwhile he
     * is refused, and has replaced all the same. */
    const struct namespace_model *namespace =
        &world->model.namespaces[model_namespace(&world->model, first->namespace)];
    if (namespace->policy.single_session) first->client = second->client = (struct text){false, false, ""};
}

int64_t draw_moment(struct world *world) {
    if (world->model.record_count && of(world, 40)) {
        int64_t due =
            model_due(&world->model, (unsigned)below(world, world->model.record_count), (unsigned)below(world, 4));
        int64_t moment = due + (int64_t)below(world, 3) - 1;
        if (due && moment >= world->now_ms && moment < world->now_ms + 200000000) return moment;
    }
    if (of(world, 2)) return world->now_ms + 60000;
    return world->now_ms + (int64_t)below(world, of(world, 50) ? 3 : 300);
}
