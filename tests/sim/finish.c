/* The end of a world: everything is looked at once more, every list is walked through, and the engine's own books are
 * held against the model. */
#include "world.h"

#include "base/mp.h"

#include <stdio.h>
#include <string.h>

/* All pages of a list together hold what matches, each once. */
static void walk(struct world *world, struct peer *peer, struct call *call) {
    uint64_t seen = 0, matching = model_count_listed(&world->model, call, world->now_ms);
    for (unsigned pages = 0; !world->has_failed; pages++) {
        world_issue(world, peer, call);
        world_enter(world, peer->loop);
        peer->state = conn_feed(peer->conn, buf_bytes(&peer->outbox), world->now_ms);
        peer->fed += peer->outbox.size;
        buf_clear(&peer->outbox);
        struct mp_cursor cursor = mp_cursor_of(conn_output(peer->conn));
        for (mp_read_array(&cursor); cursor.error == MP_OK && mp_peek(&cursor) != MP_MAP;) mp_read_value(&cursor, 1);
        struct bytes page = mp_read_value(&cursor, MP_DEPTH_MAX);
        struct mp_cursor sessions = mp_cursor_of(map_value(page, "sessions"));
        struct mp_cursor next = mp_cursor_of(map_value(page, "cursor"));
        seen += mp_read_array(&sessions);
        bool is_last = !next.at || mp_read_nil(&next);
        if (!is_last) call->cursor = model_copy(&world->model, mp_read_bytes(&next));
        world_take_answers(world, peer);
        if (!world->has_failed) world_read_all(world, peer);
        if (is_last) break;
        if (pages > 10000) world_fail(world, "a list that never ends");
    }
    if (!world->has_failed && seen != matching) world_fail(world, "the pages of a list should hold each session once");
}

void finish_look(struct world *world, struct peer *peer) {
    for (unsigned i = 0; i < world->model.record_count && !world->has_failed; i++) {
        const struct record *record = &world->model.records[i];
        struct call call = {.op = OP_SESSION_GET, .include_dead = true};
        strcpy(call.namespace, world->model.namespaces[record->namespace].name);
        strcpy(call.id, record->id);
        world_ask(world, peer, &call);
    }
    for (unsigned i = 0; i < world->model.namespace_count; i++) {
        struct call call = {.op = OP_SESSION_LIST, .limit = 1 + (unsigned)chance_below(&world->chance, 3)};
        strcpy(call.namespace, world->model.namespaces[i].name);
        struct call of_user = call, of_client = call;
        of_user.user = (struct text){true, false, "u1"};
        of_user.statuses = (UINT64_C(1) << STATUS_END) - 2;
        of_client.client = (struct text){true, false, "c1"};
        of_client.oldest_first = true;
        walk(world, peer, &call);
        walk(world, peer, &of_user);
        walk(world, peer, &of_client);
    }
}

/* With all timers run, the engine's own books agree with the model and with themselves. */
void finish_books(struct world *world, const struct world_options *options) {
    if (world->has_failed || options->is_naive) return;
    world_settle_all(world);
    world_leave_all(world);
    struct engine_stats stats;
    uint64_t living = 0;
    for (unsigned i = 0; i < world->model.namespace_count; i++) living += model_count(&world->model, i, world->now_ms);
    world->engine->vtable->stats(world->engine, &stats);
    if (stats.sessions != living) {
        snprintf(world->failure_text, sizeof world->failure_text, "the engine counts %llu sessions, the model %llu",
                 (unsigned long long)stats.sessions, (unsigned long long)living);
        world->has_failed = true;
    }
    if (!options->skips_check) world->engine->vtable->check(world->engine);
}
