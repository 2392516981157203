/* Memory that is taken before it is needed, and given back by somebody who has time. */
#include "contract.h"

#include <string.h>

enum { SESSIONS = 20000, DATA_BYTES = 1200 }; /* 24 MB: a small server has nothing made ready */

static struct engine_stats stats_of(struct world *world) {
    struct engine_stats stats;
    world->engine->vtable->stats(world->engine, &stats);
    return stats;
}

static const char *name_of(unsigned n) {
    static char name[16];
    snprintf(name, sizeof(name), "p%u", n);
    return name;
}

static void fill(struct world *world, unsigned from, unsigned to) {
    static uint8_t data[DATA_BYTES];
    struct put put = {.idle_timeout_ms = 1000000, .data = {data, sizeof data}};
    for (unsigned i = from; i < to; i++) contract_put(world, "web", name_of(i), put);
}

static void makes_memory_ready_when_it_was_asked_to(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    unsigned before = contract_preparings();
    fill(world, 0, 100);
    CHECK_EQUAL(vtable->prepare(world->engine, world->now_ms), INT64_MAX);
    CHECK_EQUAL(contract_preparings(), before);
    fill(world, 100, SESSIONS);
    CHECK(contract_preparings() == before + 1);
    struct engine_stats asked = stats_of(world);
    CHECK_EQUAL(vtable->prepare(world->engine, world->now_ms), INT64_MAX);
    struct engine_stats prepared = stats_of(world);
    CHECK(prepared.bytes_mapped > asked.bytes_mapped);
    CHECK_EQUAL(prepared.bytes_used, asked.bytes_used);
    CHECK_EQUAL(prepared.sessions, SESSIONS);
    fill(world, SESSIONS, SESSIONS + 4000);
    CHECK(contract_preparings() > before + 1);
    CHECK(contract_get(world, "web", "p0", false).is_found);
    CHECK(contract_get(world, "web", name_of(SESSIONS + 3999), false).is_found);
}

static void gives_back_what_was_made_ready_for_what_is_gone(struct world *world) {
    const struct engine_vtable *vtable = world->engine->vtable;
    uint64_t empty = stats_of(world).bytes_mapped;
    vtable->prepare(world->engine, world->now_ms);
    fill(world, 0, SESSIONS);
    vtable->prepare(world->engine, world->now_ms);
    CHECK(stats_of(world).bytes_mapped > (uint64_t)SESSIONS * DATA_BYTES);
    contract_end(world, "web", END_CLEAR);
    contract_advance(world);
    contract_advance(world);
    int64_t again_ms = vtable->prepare(world->engine, world->now_ms);
    if (again_ms != INT64_MAX) CHECK_EQUAL(vtable->prepare(world->engine, again_ms), INT64_MAX);
    /* Arenas and the slab keep some pages for the next need, and a thousand shards what is left in their tables. */
    CHECK(stats_of(world).bytes_mapped < empty + (uint64_t)SESSIONS * DATA_BYTES / 2);
}

const struct contract_test prepare_tests[] = {
    {"makes memory ready when it was asked to", makes_memory_ready_when_it_was_asked_to},
    {"gives back what was made ready for what is gone", gives_back_what_was_made_ready_for_what_is_gone},
    {NULL, NULL}};
