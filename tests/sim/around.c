/* What happens beside the requests that draw.c draws: the wall clock is set, purging is turned on and off, memory,
 * namespaces and remembered answers are bounded, and what pools held is loaded again.
 *
 * It has a stream of chance of its own. */
#include "world.h"

#include "base/mp.h"

#include <stdio.h>
#include <string.h>

#define NAMESPACES_MANY 100 /* more than there are */

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->around_chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->around_chance, percent);
}

void around_open(struct world *world, bool is_naive) {
    world->around_chance = world->seed * UINT64_C(0xda942042e4dd58b5) + 11;
    world->rare_chance = world->around_chance + 1;
    world->changes_retention = of(world, 30) && !world->has_pools;
    world->sets_clock = of(world, 25);
    world->has_purging = of(world, 20);
    world->bounds_bytes = of(world, 20);
    world->bounds_memory = of(world, 20) && !is_naive; /* the naive one has no room at all under a limit */
    world->bounds_names = of(world, 15);
    world->model.max_namespaces = NAMESPACES_MANY;
    world->model.is_single = world->is_exact;
    world->is_timely = world->has_pools || world->has_purging;
}

/* Where one request runs at a time it is delivered at once, else it waits among the others. */
static void ask(struct world *world, struct peer *peer, struct call *call) {
    const struct namespace_model *namespace = &world->model.namespaces[below(world, world->model.namespace_count)];
    bool is_swept = namespace->swept_at == world->now_ms || namespace->sweeps_ahead;
    strcpy(call->namespace, namespace->name);
    if (call_sweeps(call) && is_swept && !world->collides_sweeps) return;
    world->is_exact ? world_ask(world, peer, call) : world_issue(world, peer, call);
}

static void set_clock(struct world *world) {
    int64_t offset_ms = of(world, 30) ? 0 : (int64_t)below(world, of(world, 80) ? 2000 : 7200000);
    world->model.clock_offset_ms = of(world, 50) ? offset_ms : -offset_ms;
    server_set_clock_offset(world->server, world->model.clock_offset_ms);
}

static void set_purging(struct world *world, struct peer *peer) {
    struct call call = {.op = OP_SERVER_PURGING};
    call.enabled.is_given = of(world, 60);
    call.enabled.is_nil = of(world, 10);
    call.enabled.value = of(world, 70);
    call.interval.is_given = of(world, 50);
    call.interval.is_nil = of(world, 10);
    call.interval.value = 95 + (int64_t)below(world, of(world, 50) ? 20 : 3000);
    ask(world, peer, &call);
}

/* How long the dead and the destroyed are remembered. Where there are pools it is as it was in the beginning. */
static void change_retention(struct world *world, struct peer *peer) {
    struct call call = {.op = OP_NAMESPACE_CONFIGURE};
    struct policy_change *change = &call.change;
    if (of(world, 70)) change->given |= POLICY_RETENTION_MS, change->values.retention_ms = (int64_t)below(world, 3000);
    if (of(world, 50)) change->given |= POLICY_TOMBSTONE_MS, change->values.tombstone_ms = (int64_t)below(world, 4000);
    if (of(world, 5)) change->nil = change->given;
    ask(world, peer, &call);
}

/* ---------------------------------------------------------------- remembered answers */

#define REMEMBERED_MANY (1 << 24) /* more than a world has */
#define REMEMBERED_MOST 1000      /* that one takes beside its answer */

uint64_t around_op_id_memory(struct world *world) {
    uint64_t chance = world->seed * UINT64_C(0x9fb21c651e98df25) + 3;
    world->op_id_memory = chance_of(&chance, 15) ? 100 + chance_below(&chance, 6000) : REMEMBERED_MANY;
    return world->op_id_memory;
}

const char *around_refuse_busy(struct world *world, const struct call *call) {
    uint64_t most = REMEMBERED_MOST;
    unsigned held = world->known_count < KNOWN_MAX ? world->known_count : KNOWN_MAX;
    /* Also what is too old by now, until a timer takes it away. */
    for (unsigned i = 0; i < held; i++) most += REMEMBERED_MOST + 2 * world->known[i].answer.size;
    if (call_sweeps(call)) world->model.namespaces[model_namespace(&world->model, call->namespace)].sweeps_ahead--;
    world->totals->busy++;
    return most > world->op_id_memory ? NULL : "few answers are remembered: it should not be refused with BUSY";
}

/* ---------------------------------------------------------------- limits of memory */

static uint64_t memory_used(const struct world *world) {
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    return stats.bytes_used;
}

void around_measure(struct world *world, bool is_after) {
    if (world->bounds_memory) world->model.memory_used[is_after] = memory_used(world);
}

static void set_limits(struct world *world) {
    struct engine_limits limits = {.max_memory = world->model.max_memory,
                                   .max_namespaces = world->model.max_namespaces};
    world->engine->vtable->set_limits(world->engine, &limits);
}

bool around_is_bounded(const struct world *world) {
    return world->bounds_bytes || world->bounds_memory || world->bounds_names;
}

static void bound_memory(struct world *world) {
    uint64_t *max = &world->model.max_memory;
    *max = of(world, 30) ? 0 : memory_used(world) - 20000 + below(world, 60000);
    set_limits(world);
}

static void bound_names(struct world *world, struct peer *peer) {
    struct call call = {.op = OP_NAMESPACE_DROP};
    world->model.max_namespaces = of(world, 30) ? NAMESPACES_MANY : 1 + (unsigned)below(world, NAMESPACES_MAX);
    set_limits(world);
    if (of(world, 30)) ask(world, peer, &call);
}

static void bound_bytes(struct world *world, struct peer *peer) {
    struct call call = {.op = OP_NAMESPACE_CONFIGURE};
    call.change.given = POLICY_MAX_BYTES;
    call.change.values.max_bytes = of(world, 30) ? 0 : 100 + below(world, 6000);
    ask(world, peer, &call);
}

/* ---------------------------------------------------------------- pool.load */

static void write_id(struct world *world, struct buf *out) {
    const struct model *model = &world->model;
    char id[2] = {(char)('a' + below(world, 6)), 0};
    bool is_known = model->record_count && of(world, 40);
    mp_write_string(out, is_known ? model->records[below(world, model->record_count)].id : id);
}

static uint32_t write_whole(struct world *world, struct buf *out, const char *name, unsigned percent, uint64_t value) {
    if (!of(world, percent)) return 0;
    mp_write_string(out, name);
    of(world, 10) ? mp_write_nil(out) : of(world, 10) ? mp_write_double(out, (double)value) : mp_write_uint(out, value);
    return 1;
}

static uint32_t write_score(struct world *world, struct buf *out, const char *name) {
    if (!of(world, 15)) return 0;
    mp_write_string(out, name);
    mp_write_double(out, (double)below(world, 12) / 4);
    return 1;
}

static uint32_t write_name(struct world *world, struct buf *out, const char *name, unsigned percent, char first) {
    char text[] = {first, (char)('0' + below(world, 3)), 0};
    if (!of(world, percent)) return 0;
    mp_write_string(out, name);
    of(world, 20) ? mp_write_bin(out, bytes_of_string(text)) : mp_write_string(out, text);
    return 1;
}

/* What a record may say of itself that decides whether it is taken, or that only the server knows. */
static uint32_t write_state(struct world *world, struct buf *out) {
    static const char *const statuses[] = {"active", "active", "active", "ended", "expired", "pending"};
    uint32_t pairs = 0;
    if (of(world, 30)) mp_write_string(out, "status"), mp_write_string(out, statuses[below(world, 6)]), pairs++;
    if (of(world, 10)) mp_write_string(out, "retired"), mp_write_bool(out, of(world, 50)), pairs++;
    if (of(world, 20)) mp_write_string(out, "version"), mp_write_uint(out, below(world, 100)), pairs++;
    if (of(world, 10)) mp_write_string(out, "lease_expires_at"), mp_write_int(out, world->now_ms + 100), pairs++;
    return pairs;
}

/* An entry that no record may have; answers with which code it is refused. */
static const char *write_malformed(struct world *world, struct buf *out) {
    switch (below(world, 4)) {
    case 0: mp_write_string(out, "colour"), mp_write_int(out, 7); return "BAD_REQUEST";
    case 1: mp_write_string(out, "max_usage_count"), mp_write_string(out, "three"); return "BAD_REQUEST";
    case 2: mp_write_string(out, "id"), mp_write_string(out, "a"); return "BAD_REQUEST"; /* for the second time */
    default:
        mp_write_string(out, "tags"), mp_write_array(out, LIMIT_MAX_TAGS + 1);
        for (unsigned i = 0; i <= LIMIT_MAX_TAGS; i++) mp_write_string(out, "t0");
        return "TOO_BIG";
    }
}

static void write_record(struct world *world, struct buf *out, struct call *call) {
    struct buf body = BUF_EMPTY;
    int64_t now_ms = world->now_ms;
    uint32_t pairs = 1;
    mp_write_string(&body, "id"), write_id(world, &body);
    pairs += write_name(world, &body, "user", 20, 'u') + write_name(world, &body, "client", 15, 'c');
    pairs += write_whole(world, &body, "idle_timeout_ms", 15, below(world, 3000));
    pairs += write_whole(world, &body, "absolute_timeout_ms", 25, below(world, 5000));
    pairs += write_whole(world, &body, "abandon_timeout_ms", 10, below(world, 3000));
    pairs += write_whole(world, &body, "created_at", 30, (uint64_t)now_ms + 50 - below(world, 3000));
    pairs += write_whole(world, &body, "absolute_expires_at", 15, (uint64_t)now_ms + below(world, 4000) - 300);
    pairs += write_whole(world, &body, "usage_count", 30, below(world, 5));
    pairs += write_whole(world, &body, "error_count", 20, below(world, 5));
    pairs += write_score(world, &body, "error_score") + write_score(world, &body, "max_error_score") +
             write_score(world, &body, "error_score_decrement");
    if (of(world, 30)) mp_write_string(&body, "data"), mp_write_uint(&body, below(world, 300)), pairs++;
    if (of(world, 20)) mp_write_string(&body, "meta"), mp_write_map(&body, 0), pairs++;
    pairs += write_state(world, &body);
    bool is_malformed = of(world, 2);
    const char *code = is_malformed ? write_malformed(world, &body) : NULL;
    pairs += is_malformed;
    if (!is_malformed && of(world, 30))
        mp_write_string(&body, "tags"), mp_write_array(&body, 1), mp_write_string(&body, of(world, 50) ? "t0" : "t1"),
            pairs++;
    if (!is_malformed) pairs += write_whole(world, &body, "max_usage_count", 25, below(world, 5));
    if (!call->record_refusal) call->record_refusal = code; /* the first one is told */
    mp_write_map(out, pairs);
    mp_write_raw(out, buf_bytes(&body));
    buf_fini(&body);
}

/* What was answered by pool.state once, or records that nobody ever had. */
static void load(struct world *world, struct peer *peer) {
    struct call call = {.op = OP_POOL_LOAD};
    struct model *model = &world->model;
    unsigned kept = model->state_count < STATES_MAX ? model->state_count : STATES_MAX;
    snprintf(call.pool, sizeof call.pool, "p%u", (unsigned)below(world, 2));
    bool is_bounded = around_is_bounded(world); /* then an error would not say after how many */
    if (kept && !is_bounded && of(world, 40)) {
        call.records = model->states[below(world, kept)];
    } else {
        struct buf out = BUF_EMPTY;
        uint32_t count = (uint32_t)below(world, is_bounded ? 2 : 5);
        mp_write_array(&out, count);
        for (uint32_t i = 0; i < count; i++) write_record(world, &out, &call);
        call.records = model_copy(model, buf_bytes(&out));
        buf_fini(&out);
    }
    if (of(world, 20)) call.op_id = 1 + below(world, UINT64_C(1) << 53);
    ask(world, peer, &call);
}

void around_step(struct world *world, struct peer *peer) {
    if (world->sets_clock && of(world, 5)) set_clock(world);
    if (of(world, world->has_purging ? 4 : 0)) set_purging(world, peer);
    if (world->changes_retention && of(world, 3)) change_retention(world, peer);
    if (world->bounds_memory && of(world, 4)) bound_memory(world);
    if (world->bounds_names && of(world, 4)) bound_names(world, peer);
    if (world->bounds_bytes && of(world, 4)) bound_bytes(world, peer);
    if (world->has_pools && of(world, 5)) load(world, peer);
}
