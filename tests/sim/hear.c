/* Watches: what connections are sent for them, held against what the model has written down.
 *
 * Every event that comes must be the next one of its session that the watch wants; `seq` counts without a gap, and
 * where the reader was too slow `lagged` says exactly how many are missing. Whenever all that is due has been worked
 * off, nothing may be missing on a connection that reads at once: so an expiry comes in its tick, also when nobody
 * asks. Who only hears knows who lives: hear_living. */
#include "world.h"

#include "base/mp.h"
#include "op/op_table.gen.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <stdio.h>
#include <string.h>

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->watch_chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->watch_chance, percent);
}

static bool name_fits(const char *wanted, const char *name) {
    return !wanted[0] || strcmp(wanted, name) == 0;
}

static bool wants(const struct watch *watch, const struct told *told) {
    return watch->namespace == told->namespace && watch->kinds & EVENT_BIT(told->kind) &&
           name_fits(watch->user, told->user) && name_fits(watch->client, told->client) &&
           name_fits(watch->pool, told->pool);
}

/* ---------------------------------------------------------------- one event */

static void copy_text(struct bytes map, const char *key, char *text, size_t capacity) {
    struct mp_cursor cursor = mp_cursor_of(map_value(map, key));
    struct bytes bytes = cursor.at ? mp_read_bytes(&cursor) : BYTES_ABSENT;
    text[0] = 0;
    if (bytes.data && bytes.size < capacity) {
        memcpy(text, bytes.data, bytes.size);
        text[bytes.size] = 0;
    }
}

static bool compare_text(struct model *model, struct bytes event, const char *key, const char *expected) {
    char text[ID_TEXT_MAX];
    copy_text(event, key, text, sizeof text);
    return strcmp(text, expected) == 0 || complain(model, "the event's %s should be '%s'", key, expected);
}

/* Where some were missed it may be about another one: nothing is learnt from it then. */
static bool compare_event_version(struct model *model, const struct told *told, struct bytes event, bool is_sure) {
    uint64_t version = (uint64_t)integer_of(map_value(event, "version"));
    struct record *record = &model->records[told->record];
    if (told->kind == EVENT_DESTROYED || told->kind == EVENT_REGENERATED) return true; /* of the tombstone */
    bool is_current = record->kind == KIND_RECORD && record->writes == told->writes;
    if (is_current && (is_sure || record->version)) return compare_version(model, record, version);
    return !told->version || told->version == version || complain(model, "the event should have the version then");
}

static bool compare_event(struct model *model, const struct watch *watch, const struct told *told, struct bytes event) {
    struct bytes data = map_value(event, "data");
    if (!compare_text(model, event, "kind", event_name(told->kind))) return false;
    if (integer_of(map_value(event, "at")) != told->at)
        return complain(model, "the event's moment should be %lld", (long long)told->at);
    if (!watch->wants_data && data.data) return complain(model, "the event should come without data");
    if (watch->wants_data && !bytes_equal(data, told->data)) return complain(model, "the event's data are others");
    return compare_text(model, event, told->key, told->id) && compare_text(model, event, "user", told->user) &&
           compare_text(model, event, "client", told->client) && compare_text(model, event, "pool", told->pool) &&
           compare_text(model, event, "reason", told->reason) &&
           compare_event_version(model, told, event, watch->missed == 0);
}

/* ---------------------------------------------------------------- who lives, by events alone */

static struct heard_life *life_of(struct watch *watch, const char *id) {
    for (unsigned i = 0; i < watch->life_count; i++)
        if (strcmp(watch->lives[i].id, id) == 0) return &watch->lives[i];
    if (watch->life_count == LIVES_MAX) return NULL;
    struct heard_life *life = &watch->lives[watch->life_count++];
    snprintf(life->id, sizeof life->id, "%s", id);
    life->is_known = life->is_alive = false;
    return life;
}

static void note_life(const struct model *model, struct watch *watch, const struct told *told) {
    struct heard_life *life = life_of(watch, told->id);
    if (!life || life->told > (unsigned)(told - model->told)) return;
    if (told->kind == EVENT_RETIRED) return; /* of one that lives, or of one that died before */
    life->is_known = true;
    life->told = (unsigned)(told - model->told);
    switch (told->kind) {
    case EVENT_CREATED:
    case EVENT_UPDATED:
    case EVENT_ACTIVATED: life->is_alive = true; break;
    default: life->is_alive = false;
    }
}

/* ---------------------------------------------------------------- a watch */

/* This one was heard; those of its session before it were missed. */
static void note_heard(const struct model *model, struct watch *watch, unsigned n) {
    const struct told *told = &model->told[n];
    for (unsigned i = watch->from; i < n; i++)
        if (strcmp(model->told[i].id, told->id) == 0 && model->told[i].drops == told->drops &&
            wants(watch, &model->told[i]) && !watch->heard[i])
            watch->heard[i] = HEARD_PASSED;
    watch->heard[n] = HEARD;
}

/* The next of this session that the watch wants and has not heard; those that it may have missed are passed over. */
static struct told *next_told(struct world *world, struct watch *watch, const char *id, struct bytes event) {
    struct model *model = &world->model;
    struct told *due = NULL; /* the next one that may not be passed over */
    for (unsigned i = watch->from; i < model->told_count; i++) {
        struct told *told = &model->told[i];
        if (watch->heard[i] || strcmp(told->id, id) != 0 || !wants(watch, told)) continue;
        if (due && told->drops == due->drops) continue;
        if (compare_event(model, watch, told, event)) {
            note_heard(model, watch, i);
            return told;
        }
        if (!due && !told->is_optional && !watch->missed) due = told;
    }
    /* Between a namespace and the one of its name after a drop there is no order; but within each there is. */
    if (due) compare_event(model, watch, due, event);
    return due;
}

static void hear_one(struct world *world, struct watch *watch, struct bytes event) {
    struct model *model = &world->model;
    char id[ID_TEXT_MAX], text[200];
    uint64_t seq = (uint64_t)integer_of(map_value(event, "seq"));
    struct bytes missed = map_value(event, "missed");
    uint64_t step = missed.data ? (uint64_t)integer_of(missed) : 1;
    if (seq != watch->seq + step) world_fail(world, "an event's seq should be the last one plus 1, or plus missed");
    watch->seq = seq;
    if (missed.data) {
        watch->missed += step;
        world->totals->lagged += step;
        return;
    }
    world->totals->heard++;
    bool is_hashed = map_value(event, "handle").data != NULL;
    if (is_hashed && map_value(event, "id").data) world_fail(world, "an event should have an id or a handle");
    copy_text(event, is_hashed ? "handle" : "id", id, sizeof id);
    const struct told *told = next_told(world, watch, id, event);
    if (!told) {
        copy_text(event, "kind", text, 16);
        snprintf(model->complaint, sizeof model->complaint,
                 "watch %llu of conn %u: nothing more should be heard of %s: %s", (unsigned long long)watch->number,
                 watch->peer, id, text);
        world_fail(world, model->complaint);
        return;
    }
    bool is_before = told->after && wants(watch, &model->told[told->after - 1]) && told->after - 1 >= watch->from &&
                     !watch->heard[told->after - 1] && !watch->missed;
    if (is_before) world_fail(world, "regenerated should come before created");
    note_life(model, watch, told);
    if (compare_event(model, watch, told, event)) return;
    snprintf(text, sizeof text, "%.180s", model->complaint);
    snprintf(model->complaint, sizeof model->complaint, "watch %llu of conn %u, %s of %s: %s",
             (unsigned long long)watch->number, watch->peer, event_name(told->kind), id, text);
    world_fail(world, model->complaint);
}

/* All of it must have come by now: what the watch wants was heard, or is counted as missed. */
static void hear_whole(struct world *world, struct watch *watch) {
    const struct model *model = &world->model;
    uint64_t sure = 0, all = 0;
    for (unsigned i = watch->from; i < model->told_count; i++) {
        const struct told *told = &model->told[i];
        if (!wants(watch, told)) continue;
        all++;
        sure += !told->is_optional || watch->heard[i] == HEARD;
        if (watch->heard[i] || told->is_optional || watch->missed) continue;
        snprintf(world->model.complaint, sizeof world->model.complaint,
                 "watch %llu of conn %u should have heard %s of %s", (unsigned long long)watch->number, watch->peer,
                 event_name(told->kind), told->id);
        world_fail(world, world->model.complaint);
    }
    if (watch->missed && (watch->seq < sure || watch->seq > all)) {
        snprintf(world->model.complaint, sizeof world->model.complaint,
                 "watch %llu of conn %u should count %llu, not %llu", (unsigned long long)watch->number, watch->peer,
                 (unsigned long long)sure, (unsigned long long)watch->seq);
        world_fail(world, world->model.complaint);
    }
}

static void hear_living(struct world *world, const struct watch *watch) {
    bool hears_all = watch->kinds == UINT64_MAX && !watch->user[0] && !watch->client[0] && !watch->pool[0];
    if (!hears_all || watch->missed) return;
    for (unsigned i = 0; i < watch->life_count; i++) {
        const struct heard_life *life = &watch->lives[i];
        bool is_alive = model_is_living(&world->model, watch->namespace, life->id, world->now_ms);
        /* Of a namespace that goes as a whole nothing is told. */
        bool seems_alive = life->is_alive && life->told >= world->model.namespaces[watch->namespace].dropped_told;
        if (life->is_known && is_alive != seems_alive) {
            snprintf(world->model.complaint, sizeof world->model.complaint,
                     "who only hears events should know that %s %s", life->id, is_alive ? "lives" : "does not live");
            world_fail(world, world->model.complaint);
        }
        if (life->is_known) world->totals->lives++;
    }
}

/* ---------------------------------------------------------------- all of them */

void hear_keep(struct world *world, struct peer *peer, struct bytes message) {
    struct mp_cursor cursor = mp_cursor_of(message);
    mp_read_array(&cursor);
    mp_read_int(&cursor, 2, 2);
    struct bytes name = mp_read_bytes(&cursor);
    bool is_one = mp_read_array(&cursor) == 1;
    struct bytes event = mp_read_value(&cursor, MP_DEPTH_MAX);
    if (cursor.error != MP_OK || !is_one || !bytes_equal(name, BYTES_LITERAL("event")))
        world_fail(world, "this is no event");
    uint64_t number = (uint64_t)integer_of(map_value(event, "watch"));
    for (unsigned i = 0; i < world->watch_count; i++) {
        struct watch *watch = &world->watches[i];
        if (!watch->is_on || watch->peer != (unsigned)(peer - world->peers) || watch->number != number) continue;
        if (watch->kept_count == KEPT_MAX)
            world_fail(world, "more events than the simulator keeps");
        else
            watch->kept[watch->kept_count++] = event;
        return;
    }
    world_fail(world, "this watch was stopped");
}

/* Reads what has come, where the model has been told of everything. */
static void hear_kept(struct world *world) {
    for (unsigned i = 0; i < world->watch_count; i++) {
        struct watch *watch = &world->watches[i];
        for (unsigned k = 0; k < watch->kept_count && !world->has_failed; k++) hear_one(world, watch, watch->kept[k]);
        watch->kept_count = 0;
    }
}

void hear_settled(struct world *world) {
    bool is_any = false;
    for (unsigned i = 0; i < world->watch_count; i++) is_any |= world->watches[i].is_on;
    told_pass(&world->model, world->now_ms);
    if (is_any && !world->has_failed) {
        world_tell_events(world);
        hear_kept(world);
        for (unsigned i = 0; i < world->watch_count && !world->has_failed; i++) {
            struct watch *watch = &world->watches[i];
            if (!watch->is_on || !world->peers[watch->peer].is_prompt) continue;
            hear_whole(world, watch);
            hear_living(world, watch);
        }
    }
    world->model.told_settled = world->model.told_count;
}

void hear_close(struct world *world, unsigned peer) {
    for (unsigned i = 0; i < world->watch_count; i++)
        if (world->watches[i].peer == peer) world->watches[i].is_on = false, world->watches[i].kept_count = 0;
}

/* ---------------------------------------------------------------- start and stop */

static void draw_filter(struct world *world, struct watch *watch, struct call *call) {
    watch->kinds = UINT64_MAX;
    watch->user[0] = watch->client[0] = watch->pool[0] = 0;
    watch->wants_data = call->wants_data = of(world, 30);
    if (of(world, 50)) return;
    if (of(world, 50)) {
        for (unsigned kind = 1; kind < EVENT_END; kind++)
            if (of(world, 40)) call->kinds |= EVENT_BIT(kind);
        if (call->kinds) watch->kinds = call->kinds;
        return;
    }
    char *name = of(world, 50) ? watch->user : of(world, 70) ? watch->client : watch->pool;
    char first = name == watch->user ? 'u' : name == watch->client ? 'c' : 'p';
    snprintf(name, 16, "%c%u", first, (unsigned)below(world, 3));
    struct text *text = name == watch->user ? &call->user : name == watch->client ? &call->client : &call->in_pool;
    text->is_given = true;
    strcpy(text->bytes, name);
}

static struct watch *watch_free(struct world *world) {
    for (unsigned i = 0; i < world->watch_count; i++)
        if (!world->watches[i].is_on) return &world->watches[i];
    return world->watch_count < WATCHES_MAX ? &world->watches[world->watch_count++] : NULL;
}

static void start(struct world *world, unsigned peer_index) {
    struct peer *peer = &world->peers[peer_index];
    struct watch *watch = watch_free(world);
    if (!watch) return;
    struct call call = {.op = OP_WATCH_START};
    memset(watch, 0, sizeof *watch);
    watch->peer = peer_index;
    watch->namespace = (unsigned)below(world, world->model.namespace_count);
    strcpy(call.namespace, world->model.namespaces[watch->namespace].name);
    draw_filter(world, watch, &call);
    watch->number = ++peer->watch_number;
    watch->from = world->model.told_count;
    watch->is_on = true;
    world->model.watch_number = watch->number;
    world_ask(world, peer, &call);
}

static void stop(struct world *world, struct watch *watch) {
    struct call call = {.op = OP_WATCH_STOP, .watch = watch->number};
    strcpy(call.namespace, world->model.namespaces[watch->namespace].name);
    world->model.watch_number = watch->number;
    world_ask(world, &world->peers[watch->peer], &call);
    hear_kept(world);
    watch->is_on = false;
}

/* The first connection never watches: it is the one that walks through lists and looks at everything in the end. */
void hear_step(struct world *world) {
    if (!world->has_watches || !of(world, 8)) return;
    unsigned peer_index = 1 + (unsigned)below(world, world->peer_count - 1);
    struct peer *peer = &world->peers[peer_index];
    struct watch *watch = &world->watches[below(world, WATCHES_MAX)];
    if (watch->is_on && of(world, 40) && world_is_at_rest(&world->peers[watch->peer])) {
        world_settle_all(world);
        stop(world, watch);
    } else if (world_is_at_rest(peer)) {
        world_settle_all(world);
        if (!world->has_failed) start(world, peer_index);
        /* Some of them read slowly from now on. */
        if (!world->is_exact && of(world, 25)) peer->is_prompt = false;
    }
}
