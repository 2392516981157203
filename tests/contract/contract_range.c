/* Numbers that are too large, or too small, for the place that nearly all have: nobody sees which place they had. */
#include "recovery.h"

#define BORDER (UINT64_C(1) << 53)
/* The last millisecond whose versions begin below the border. */
#define LAST_MS (VERSION_EPOCH_MS + (INT64_C(1) << 41) - 1)

/* ---- versions */

static struct verb pass_by_put(struct world *world) {
    return contract_put(world, "web", "s", (struct put){.user = TEXT("ann")});
}

static struct verb pass_by_move(struct world *world) {
    return contract_move(world, "web", "s", (struct rename){.id = TEXT("t")}, 0);
}

static struct verb pass_by_move_with_grace(struct world *world) {
    return contract_move(world, "web", "s", (struct rename){.id = TEXT("t")}, 1000);
}

/* Whatever takes the version at which records need more room, it is done once and answered once. */
static void pass_border(struct verb (*pass)(struct world *world), uint64_t from, bool has_alias) {
    struct world world = contract_open_at(3, LAST_MS, NULL);
    uint64_t last = 0;
    while (last < from) {
        struct verb verb = contract_put(&world, "web", "s", (struct put){.idle_timeout_ms = 60000});
        CHECK(verb.is_found && verb.session.version > last);
        if (failures) return;
        last = verb.session.version;
    }
    struct verb verb = pass(&world);
    CHECK(verb.error.code == ERROR_NONE && verb.is_found && verb.session.version > last);
    last = verb.session.version;
    bool has_moved = pass != pass_by_put;
    const char *id = has_moved ? "t" : "s";
    CHECK_EQUAL(contract_get(&world, "web", id, false).session.version, last);
    if (has_moved) CHECK_EQUAL(contract_get(&world, "web", "s", false).is_found, has_alias);
    CHECK_EQUAL(contract_count(&world, "web", GROUP_NONE, NULL, LIVING), 1);
    for (unsigned i = 0; i < 8; i++) {
        verb = contract_put(&world, "web", id, (struct put){.client = TEXT("phone")});
        CHECK(verb.is_found && verb.session.version > last);
        last = verb.session.version;
        CHECK_EQUAL(contract_get(&world, "web", id, false).session.version, last);
    }
    CHECK(last >= BORDER);
    world.now_ms += 59999;
    contract_advance(&world);
    CHECK(contract_touch(&world, "web", id).is_found);
    world.now_ms += 59999;
    contract_advance(&world);
    CHECK(contract_get(&world, "web", id, false).is_found);
    world.now_ms++;
    CHECK(!contract_get(&world, "web", id, false).is_found);
    CHECK(contract_remove(&world, "web", id).outcome == OUTCOME_REMOVE);
    contract_close(&world);
}

static void versions_pass_their_border(void) {
    for (uint64_t from = BORDER - 5; from <= BORDER; from++) {
        pass_border(pass_by_put, from, false);
        pass_border(pass_by_move, from, false);
        pass_border(pass_by_move_with_grace, from, true);
    }
}

/* ---- moments */

static void live_around(int64_t start) {
    struct world world = contract_open_at(3, start, NULL);
    struct verb verb = contract_put(&world, "web", "s", (struct put){.idle_timeout_ms = 3});
    CHECK_EQUAL(verb.session.created_at, start);
    for (unsigned i = 0; i < 8; i++) {
        world.now_ms += 2;
        contract_advance(&world);
        verb = contract_touch(&world, "web", "s");
        CHECK(verb.is_found);
        CHECK_EQUAL(verb.session.created_at, start);
        CHECK_EQUAL(verb.session.last_active_at, world.now_ms);
    }
    world.now_ms += 3;
    CHECK(!contract_get(&world, "web", "s", false).is_found);
    contract_close(&world);
}

static void moments_pass_any_border(void) {
    live_around(0);
    live_around(VERSION_EPOCH_MS - 8);
    live_around(LAST_MS - 8);
    live_around((INT64_C(1) << 41) - 8);
    live_around((INT64_C(1) << 42) - 8);
}

/* ---- terms, data and created_at, also of an engine that was made from what another one told */

enum { TERMS = 2200 };

static struct put put_with_terms(unsigned number) {
    return (struct put){.idle_timeout_ms = 1 + number, .created_at = number % 2 ? VERSION_EPOCH_MS - 1 - number : 0};
}

/* They end one by one, in each millisecond one. */
static void expect_ends(struct world *world) {
    char id[16];
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), TERMS);
    for (unsigned i = 0; i < TERMS; i++, world->now_ms++) {
        snprintf(id, sizeof(id), "%u", i);
        struct verb verb = contract_get(world, "web", id, false);
        CHECK(verb.is_found);
        CHECK_EQUAL(verb.session.idle_timeout_ms, 1 + i);
        CHECK_EQUAL(verb.session.created_at, i % 2 ? VERSION_EPOCH_MS - 1 - i : START);
        if (i) snprintf(id, sizeof(id), "%u", i - 1);
        if (i) CHECK(!contract_get(world, "web", id, false).is_found);
    }
}

static struct world world_again(const struct world *world, const struct kept_journal *kept) {
    struct world again = *world;
    struct recovery_counts counts;
    again.engine = recovery_open(kept, kept->effects.size, NULL, 3, world->now_ms, NULL, &counts);
    return again;
}

static void terms_of_any_number_hold(void) {
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 3);
    char id[16];
    for (unsigned i = 0; i < TERMS; i++) {
        snprintf(id, sizeof(id), "%u", i);
        CHECK(contract_put(&world, "web", id, put_with_terms(i)).is_found);
    }
    struct world again = world_again(&world, &kept);
    expect_ends(&world);
    expect_ends(&again);
    contract_close(&again);
    recovery_end(&world, &kept);
}

static void expect_data(struct world *world, const uint8_t *data, const size_t *sizes, unsigned count) {
    char id[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "%u", i);
        CHECK(contract_touch(world, "web", id).is_found);
        struct verb verb = contract_get(world, "web", id, false);
        CHECK_EQUAL(verb.session.data.size, sizes[i]);
        CHECK(memcmp(verb.session.data.data + 5, data + 5, sizes[i] - 5) == 0);
    }
}

static void data_of_any_size_is_whole(void) {
    static uint8_t data[LIMIT_MAX_DATA] = {0xc6};
    static const size_t sizes[] = {16382, 16383, 16384, 65535, 65536, sizeof(data)};
    struct kept_journal kept;
    struct world world = recovery_begin(&kept, 3);
    struct prng prng = prng_of(5);
    char id[16];
    prng_fill(&prng, data + 5, sizeof(data) - 5);
    for (unsigned i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "%u", i);
        for (unsigned k = 0; k < 4; k++) data[1 + k] = (uint8_t)((sizes[i] - 5) >> (24 - 8 * k));
        CHECK(contract_put(&world, "web", id, (struct put){.data = bytes_of(data, sizes[i])}).is_found);
    }
    expect_data(&world, data, sizes, 6);
    struct world again = world_again(&world, &kept);
    expect_data(&again, data, sizes, 6);
    contract_close(&again);
    recovery_end(&world, &kept);
}

void contract_range(void) {
    versions_pass_their_border();
    moments_pass_any_border();
    terms_of_any_number_hold();
    data_of_any_size_is_whole();
}
