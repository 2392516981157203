/* Follows lives by ear, and checks that what is heard of each id is one: created where nothing lives, changed and ended
 * while it lives, removed or destroyed while it is there, with versions that never fall. */
#include "contract_lives.h"

#include <string.h>

static struct life *life_of(struct lives *lives, const char *namespace, const char *id) {
    for (unsigned i = 0; i < lives->count; i++) {
        struct life *life = &lives->all[i];
        if (strcmp(life->namespace, namespace) == 0 && strcmp(life->id, id) == 0) return life;
    }
    if (lives->count == LIVES_MAX) abort();
    struct life *life = &lives->all[lives->count++];
    memset(life, 0, sizeof(*life));
    snprintf(life->namespace, sizeof(life->namespace), "%s", namespace);
    snprintf(life->id, sizeof(life->id), "%s", id);
    return life;
}

static bool may_happen(const struct life *life, enum event_kind kind) {
    switch (kind) {
    case EVENT_CREATED: return !life->is_alive;
    case EVENT_REMOVED:
    case EVENT_DESTROYED: return life->is_there;
    default: return life->is_alive;
    }
}

static void life_follow(struct life *life, enum event_kind kind) {
    if (kind == EVENT_UPDATED || kind == EVENT_ACTIVATED) return;
    life->is_alive = kind == EVENT_CREATED;
    if (kind == EVENT_CREATED) life->is_there = true;
    if (kind == EVENT_DESTROYED || kind == EVENT_REGENERATED) life->is_there = false;
}

static void hear(void *context, const struct event *event) {
    char namespace[16], id[16];
    CHECK(event->kind != EVENT_LAGGED);
    snprintf(namespace, sizeof(namespace), "%.*s", (int)event->namespace.size, event->namespace.data);
    snprintf(id, sizeof(id), "%.*s", (int)event->id.size, event->id.data);
    struct life *life = life_of(context, namespace, id);
    bool makes_sense = may_happen(life, event->kind) && event->version >= life->version;
    CHECK(makes_sense);
    if (!makes_sense)
        fprintf(stderr, "event %d of %s/%s, which is %s\n", event->kind, namespace, id,
                life->is_alive   ? "alive"
                : life->is_there ? "there"
                                 : "not there");
    life_follow(life, event->kind);
    life->version = event->version;
    life->heard++;
}

void lives_watch(struct world *world) {
    world->engine->vtable->enter(world->engine, 0);
    world->engine->vtable->watch(world->engine, 0, true, false);
    world->engine->vtable->leave(world->engine, 0);
}

void lives_hear(struct world *world, struct lives *lives) {
    world->engine->vtable->enter(world->engine, 0);
    world->engine->vtable->read_events(world->engine, 0, hear, lives);
    world->engine->vtable->leave(world->engine, 0);
}

bool lives_is_alive(const struct lives *lives, const char *namespace, const char *id) {
    return life_of((struct lives *)lives, namespace, id)->is_alive;
}

void lives_drop(struct lives *lives, const char *namespace) {
    for (unsigned i = 0; i < lives->count; i++)
        if (strcmp(lives->all[i].namespace, namespace) == 0) lives->all[i].is_there = lives->all[i].is_alive = false;
}
