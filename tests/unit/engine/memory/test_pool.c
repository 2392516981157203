/* A pool by itself: its orders, lanes and the numbers of its hand-outs, against arrays that are looked through. */
#include "base/prng.h"
#include "engine/memory/pool_filter.h"
#include "support/tag_bits.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define RETENTION 1000
#define MAX       200

static struct slab slab;
static struct pool_memory memory;
static struct pool *pool;
static struct pool_entry *entries[MAX];
static unsigned count;
static int64_t now_ms;

static const struct bytes tag_sets[] = {{NULL, 0},
                                        BYTES_LITERAL("\x91\xa1"
                                                      "a"),
                                        BYTES_LITERAL("\x92\xa1"
                                                      "b\xa1"
                                                      "a"),
                                        BYTES_LITERAL("\x91\xa1"
                                                      "c")};
/* Which sets cover which, by hand. */
static const bool covers[4][4] = {
    {true, false, false, false}, {true, true, false, false}, {true, true, true, false}, {true, false, false, true}};

static void begin(void) {
    static const struct pool_policy policy = POOL_POLICY_DEFAULTS;
    slab_init(&slab);
    memory = (struct pool_memory){&slab, 0};
    pool = pool_new(memory, NULL, BYTES_LITERAL("p"), 1, &policy, 7);
    pool->policy.max_pool_size = 0; /* only what is there */
    count = 0;
    now_ms = 1000;
}

static void end(void) {
    pool_free(memory, pool);
    cr_assert_eq(slab_stats_get(&slab).bytes_used, 0, "%llu bytes are left",
                 (unsigned long long)slab_stats_get(&slab).bytes_used);
    slab_fini(&slab);
}

static struct pool_entry *add(uint64_t hash, struct bytes tags, uint64_t max_usage_count) {
    static uint64_t version;
    struct usage usage = {.max_usage_count = max_usage_count, .max_error_score = 3, .error_score_decrement = 0.5};
    struct pool_entry *entry = pool_reserve(memory, pool, hash, tags, &usage);
    cr_assert(entry);
    entry->is_reserved = false;
    entry->is_alive = entry->is_kept = true;
    atomic_store(&entry->version, ++version);
    entry_settle(pool, entry, now_ms, RETENTION);
    return entry;
}

/* ---- the naive picker */

static unsigned set_of(const struct pool_entry *entry) {
    for (unsigned i = 1; entry->lane && i < 4; i++)
        if (bytes_equal(entry->lane->tags, tag_sets[i])) return i;
    return 0;
}

static bool is_free(const struct pool_entry *entry) {
    return entry->is_alive && !entry->is_spent && usage_is_usable(&entry->usage) && !entry->usage.lease_expires_at &&
           entry->ready_at <= now_ms && !entry->is_aside &&
           (!pool->policy.max_concurrent || entry->uses.open_count < pool->policy.max_concurrent);
}

static bool is_better(enum pool_strategy strategy, const struct pool_entry *a, const struct pool_entry *b) {
    bool are_new = !a->usage.last_used_at && !b->usage.last_used_at;
    if (strategy == POOL_STRATEGY_USE_UNTIL_FAILURE && !are_new) return a->turn > b->turn;
    if (strategy == POOL_STRATEGY_LEAST_USED && a->usage.usage_count != b->usage.usage_count)
        return a->usage.usage_count < b->usage.usage_count;
    return a->turn < b->turn;
}

static struct pool_entry *naive_pick(enum pool_strategy strategy, unsigned tags) {
    struct pool_entry *best = NULL;
    for (unsigned i = 0; i < count; i++)
        if (is_free(entries[i]) && covers[set_of(entries[i])][tags] && (!best || is_better(strategy, entries[i], best)))
            best = entries[i];
    return best;
}

static struct pool_entry *choose(enum pool_strategy strategy, unsigned tags) {
    struct pool_want want = {
        .tags = tag_sets[tags], .has_strategy = true, .strategy = strategy, .create = POOL_CREATE_NEVER};
    struct pool_entry *entry;
    enum pool_choice choice = pool_choose(memory, pool, &want, false, &entry);
    cr_assert_eq(choice, entry ? CHOICE_ENTRY : CHOICE_NONE);
    return entry;
}

static void check_choice(struct prng *prng) {
    enum pool_strategy strategy = (enum pool_strategy)prng_below(prng, 5);
    unsigned tags = (unsigned)prng_below(prng, 4);
    struct pool_entry *entry = choose(strategy, tags), *expected = naive_pick(strategy, tags);
    if (strategy != POOL_STRATEGY_RANDOM || !entry || !expected)
        cr_assert_eq(entry, expected, "strategy %d, tags %u", strategy, tags);
    else
        cr_assert(is_free(entry) && covers[set_of(entry)][tags]);
    if (!entry) return;
    struct pool_pick pick;
    entry_hand_out(memory, pool, entry, prng_happens(prng, 1, 3) ? prng_between(prng, 1, 50) : 0, 1, now_ms, RETENTION,
                   &pick);
    cr_assert_eq(pick.use, entry->uses.handed);
    if (prng_happens(prng, 1, 10)) entry_take_back(pool, entry, &pick, now_ms, RETENTION);
}

static void change_one(struct prng *prng) {
    if (!count) return;
    unsigned at = (unsigned)prng_below(prng, count);
    struct pool_entry *entry = entries[at];
    uint64_t use = prng_below(prng, entry->uses.handed + 1);
    switch (prng_below(prng, 6)) {
    case 0: entry_mark(pool, entry, (struct mark_outcome){MARK_BAD, 0}, NULL, use, now_ms); break;
    case 1:
    case 2: entry_mark(pool, entry, (struct mark_outcome){MARK_GOOD, 0}, NULL, use, now_ms); break;
    case 3: entry_release(pool, entry, use, false, now_ms); break;
    case 4: entry->is_aside = !entry->is_aside; break;
    case 5:
        pool_remove(memory, pool, entry);
        entries[at] = entries[--count];
        return;
    }
    entry_settle(pool, entry, now_ms, RETENTION);
}

/* What is due has to come out of the heap, and nothing else. */
static void pass_time(struct prng *prng) {
    now_ms += prng_between(prng, 0, 20);
    while (pool->due.count && pool->due.entries[0]->due_at <= now_ms) {
        struct pool_entry *entry = pool->due.entries[0];
        if (entry->usage.lease_expires_at && entry->usage.lease_expires_at <= now_ms)
            entry_end_lease(pool, entry, entry->usage.lease_expires_at);
        if (entry->usage.retired_at && entry->usage.retired_at + RETENTION <= now_ms) entry->is_forgotten = true;
        entry_settle(pool, entry, now_ms, RETENTION);
    }
    for (unsigned i = 0; i < count; i++) cr_assert(entries[i]->due_at > now_ms);
}

Test(pool, picks_what_a_look_through_all_sessions_picks, .init = begin, .fini = end) {
    struct prng prng = prng_of(11);
    pool->policy.cooldown_ms = 5;
    pool->policy.max_concurrent = 3;
    for (unsigned step = 0; step < 100000; step++) {
        if (count < MAX && prng_happens(&prng, 1, 4))
            entries[count++] = add(prng_next(&prng), tag_sets[prng_below(&prng, 4)], 1 + prng_below(&prng, 20));
        if (prng_happens(&prng, 1, 5)) pass_time(&prng);
        check_choice(&prng);
        change_one(&prng);
        if (step % 500 == 0) pool_check(pool);
    }
    pool_check(pool);
}

Test(pool, gives_each_session_the_same_chance, .init = begin, .fini = end) {
    unsigned counts[12] = {0};
    for (unsigned i = 0; i < 12; i++) entries[count++] = add(i, tag_sets[i % 3 == 0 ? 1 : 2], 1000000);
    for (unsigned i = 0; i < 12000; i++) {
        struct pool_entry *entry = choose(POOL_STRATEGY_RANDOM, i % 2);
        counts[entry->hash]++;
    }
    for (unsigned i = 0; i < 12; i++) cr_assert(counts[i] > 800 && counts[i] < 1200, "%u of %u", counts[i], i);
}

/* ["all", "txxx"]: one that all sessions have, and one of its own. */
static struct bytes own_tags(unsigned i, char text[16]) {
    return bytes_of(text, (size_t)snprintf(text, 16,
                                           "\x92\xa3"
                                           "all\xa4t%03u",
                                           i));
}

Test(pool, looks_only_at_sessions_that_share_the_rarest_tag, .init = begin, .fini = end) {
    char text[16];
    for (unsigned i = 0; i < MAX; i++) entries[i] = add(i + 1, own_tags(i, text), 9);
    pool_check(pool);
    cr_assert_eq(pool->lane_count, MAX);
    cr_assert_eq(pool->tag_count, MAX + 1);
    struct pool_tag *rarest = pool_tag_rarest(pool, own_tags(7, text));
    cr_assert_eq(rarest->lane_count, 1);
    cr_assert_eq(pool_tag_rarest(pool, BYTES_LITERAL("\x91\xa3"
                                                     "all"))
                     ->lane_count,
                 MAX);
    cr_assert_null(pool_tag_rarest(pool, BYTES_LITERAL("\x92\xa3"
                                                       "all\xa4none")));
    for (unsigned i = 0; i < MAX; i++) pool_remove(memory, pool, entries[i]);
    cr_assert_eq(pool->lane_count + pool->tag_count, 0);
}

/* ---- many sets of tags that share them */

static unsigned bits_of(const struct pool_entry *entry) {
    unsigned bits = 0;
    for (size_t i = 2; entry->lane && i < entry->lane->tags.size; i += 2)
        bits |= 1u << (entry->lane->tags.data[i] - 'a');
    return bits;
}

static bool bits_fit(const struct pool_entry *entry, unsigned bits) {
    return is_free(entry) && (bits_of(entry) & bits) == bits;
}

static struct pool_entry *choose_by_bits(enum pool_strategy strategy, unsigned bits) {
    uint8_t text[TAG_BITS_SIZE];
    struct pool_want want = {
        .tags = tags_of_bits(bits, text), .has_strategy = true, .strategy = strategy, .create = POOL_CREATE_NEVER};
    struct pool_entry *entry;
    enum pool_choice choice = pool_choose(memory, pool, &want, false, &entry);
    cr_assert_eq(choice, entry ? CHOICE_ENTRY : CHOICE_NONE);
    return entry;
}

static void check_choice_by_bits(struct prng *prng) {
    enum pool_strategy strategy = (enum pool_strategy)prng_below(prng, 5);
    unsigned bits = 1u << prng_below(prng, 8);
    struct pool_entry *expected = NULL;
    struct pool_pick pick;
    if (prng_happens(prng, 1, 2)) bits |= 1u << prng_below(prng, 8);
    if (prng_happens(prng, 1, 4)) bits |= 1u << prng_below(prng, 8);
    struct pool_entry *entry = choose_by_bits(strategy, bits);
    for (unsigned i = 0; i < count; i++)
        if (bits_fit(entries[i], bits) && (!expected || is_better(strategy, entries[i], expected)))
            expected = entries[i];
    if (strategy != POOL_STRATEGY_RANDOM || !entry || !expected)
        cr_assert_eq(entry, expected, "strategy %d, tags %x", strategy, bits);
    else
        cr_assert(bits_fit(entry, bits), "tags %x, wanted %x", bits_of(entry), bits);
    if (!entry) return;
    entry_hand_out(memory, pool, entry, prng_happens(prng, 1, 3) ? prng_between(prng, 1, 50) : 0, 1, now_ms, RETENTION,
                   &pick);
    if (prng_happens(prng, 1, 10)) entry_take_back(pool, entry, &pick, now_ms, RETENTION);
}

Test(pool, picks_the_same_by_tags_that_many_sets_share, .init = begin, .fini = end) {
    struct prng prng = prng_of(12);
    uint8_t text[TAG_BITS_SIZE];
    uint32_t most = 0, tags_of_one = 0;
    pool->policy.cooldown_ms = 5;
    for (unsigned step = 0; step < 60000; step++) {
        /* They grow and shrink, so that filters are made and given up. */
        unsigned chances = step / 10000 % 2 ? 3 : 6;
        while (count < MAX && prng_happens(&prng, chances, 20))
            entries[count++] =
                add(prng_next(&prng), tags_of_bits((unsigned)prng_below(&prng, 256), text), 1 + prng_below(&prng, 20));
        if (prng_happens(&prng, 1, 5)) pass_time(&prng);
        check_choice_by_bits(&prng);
        change_one(&prng);
        if (step % 100 == 0) pool_check(pool);
        if (pool->filter_count > most) most = pool->filter_count;
        for (uint32_t i = 0; i < pool->tag_chain_count; i++)
            tags_of_one += pool->tag_chains[i] && pool->tag_chains[i]->filter;
    }
    pool_check(pool);
    cr_assert_eq(most, FILTERS_MAX);
    cr_assert_gt(tags_of_one, 1000);
    while (count > 0) pool_remove(memory, pool, entries[--count]);
    cr_assert_eq(pool->lane_count + pool->tag_count + pool->filter_count, 0);
}

Test(pool, gives_each_session_of_many_sets_the_same_chance, .init = begin, .fini = end) {
    enum { SESSIONS = 100, ASKS = 100000 };
    unsigned counts[SESSIONS] = {0};
    uint8_t text[TAG_BITS_SIZE];
    /* All have "a"; half of them are of one set, every other one of the rest is of a set of its own. */
    for (unsigned i = 0; i < SESSIONS; i++)
        entries[count++] = add(i, tags_of_bits(i < SESSIONS / 2 ? 1 : 1 | i << 1, text), UINT64_C(1) << 40);
    for (unsigned i = 0; i < ASKS; i++) counts[choose_by_bits(POOL_STRATEGY_RANDOM, 1)->hash]++;
    for (unsigned i = 0; i < SESSIONS; i++) cr_assert(counts[i] > 800 && counts[i] < 1200, "%u of %u", counts[i], i);
    /* Those with "b" and "c" too. */
    memset(counts, 0, sizeof(counts));
    for (unsigned i = 0; i < ASKS / 10; i++) counts[choose_by_bits(POOL_STRATEGY_RANDOM, 3)->hash]++;
    for (unsigned i = 0; i < SESSIONS; i++) {
        bool has = i >= SESSIONS / 2 && i & 1;
        cr_assert(has ? counts[i] > 300 && counts[i] < 500 : counts[i] == 0, "%u of %u", counts[i], i);
    }
}

/* ["all", "txxx"] each: a tag that all share, asked for while they come and go. */
Test(pool, finds_and_forgets_sets_that_come_and_go, .init = begin, .fini = end) {
    char text[16];
    struct pool_want want = {.tags = BYTES_LITERAL("\x91\xa3"
                                                   "all"),
                             .has_strategy = true,
                             .create = POOL_CREATE_NEVER};
    struct pool_entry *chosen;
    uint64_t before = slab_stats_get(&slab).bytes_used;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MAX; i++) {
            entries[i] = add(i + 1, own_tags(i, text), 9);
            want.strategy = (enum pool_strategy)(i % 5);
            cr_assert_eq(pool_choose(memory, pool, &want, false, &chosen), CHOICE_ENTRY);
        }
        pool_check(pool);
        for (unsigned i = 0; i < MAX; i++) {
            want.strategy = (enum pool_strategy)(i % 5);
            cr_assert_eq(pool_choose(memory, pool, &want, false, &chosen), CHOICE_ENTRY);
            pool_remove(memory, pool, entries[i * 7 % MAX]);
            pool_check(pool);
        }
        cr_assert_eq(pool_choose(memory, pool, &want, false, &chosen), CHOICE_NONE);
        uint64_t left = slab_stats_get(&slab).bytes_used - before;
        cr_assert_lt(left, 2000, "%llu bytes are left", (unsigned long long)left);
    }
}

Test(pool, gives_its_memory_back_as_its_sessions_go, .init = begin, .fini = end) {
    struct pool_want want = {.create = POOL_CREATE_NEVER};
    uint64_t before = slab_stats_get(&slab).bytes_used, full;
    struct pool_entry *chosen;
    for (uint64_t i = 1; i <= 20000; i++) add(i, BYTES_ABSENT, 9);
    for (int i = POOL_STRATEGY_RANDOM; i <= POOL_STRATEGY_LEAST_RECENT; i++) {
        want.has_strategy = true;
        want.strategy = (enum pool_strategy)i;
        cr_assert_eq(pool_choose(memory, pool, &want, false, &chosen), CHOICE_ENTRY);
    }
    full = slab_stats_get(&slab).bytes_used - before;
    for (uint64_t i = 1; i < 20000; i++) pool_remove(memory, pool, pool_next_of(pool, i, NULL));
    pool_check(pool);
    uint64_t left = slab_stats_get(&slab).bytes_used - before;
    cr_assert_lt(left, full / 1000, "%llu of %llu bytes are left", (unsigned long long)left, (unsigned long long)full);
}

Test(pool, finds_the_life_to_which_a_version_belongs, .init = begin, .fini = end) {
    struct pool_entry *first = add(5, BYTES_ABSENT, 1), *second = add(5, BYTES_ABSENT, 1);
    atomic_store(&first->version, 100);
    atomic_store(&second->version, 200);
    cr_assert_null(pool_entry_of(pool, 5, 99));
    cr_assert_eq(pool_entry_of(pool, 5, 100), first);
    cr_assert_eq(pool_entry_of(pool, 5, 199), first);
    cr_assert_eq(pool_entry_of(pool, 5, 200), second);
    cr_assert_null(pool_entry_of(pool, 6, 200));
}

Test(pool, lets_held_places_lapse_in_their_order, .init = begin, .fini = end) {
    for (int64_t i = 0; i < 20; i++) cr_assert(pool_hold(memory, pool, 100 + i));
    cr_assert_eq(pool_hold_take(pool), 100);
    pool_hold_put(pool, 100);
    pool_holds_lapse(pool, 109);
    cr_assert_eq(pool->hold_count, 10);
    cr_assert_eq(pool_hold_take(pool), 110);
    pool_holds_drop(memory, pool);
    cr_assert_eq(pool_hold_take(pool), 0);
}

/* ---- hand-outs by number */

Test(uses, follow_two_arrays_of_bits, .init = begin, .fini = end) {
    enum { STEPS = 20000 };
    static bool is_open[STEPS + 1], is_unmarked[STEPS + 1];
    struct uses uses = {0};
    struct prng prng = prng_of(3);
    uint64_t handed = 0, open_count = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t use =
            handed ? 1 + (handed > 300 ? handed - 300 : 0) + prng_below(&prng, handed > 300 ? 300 : handed) : 0;
        switch (prng_below(&prng, 4)) {
        case 0:
            cr_assert_eq(uses_hand_out(&uses, &slab, 0), ++handed);
            is_open[handed] = is_unmarked[handed] = true;
            open_count++;
            break;
        case 1:
        case 2:
            uses_close(&uses, use);
            open_count -= is_open[use];
            is_open[use] = false;
            break;
        case 3:
            uses_note_mark(&uses, use);
            is_unmarked[use] = false;
            break;
        }
        cr_assert_eq(uses.open_count, open_count);
        for (uint64_t i = handed > 400 ? handed - 400 : 1; step % 50 == 0 && i <= handed; i++) {
            cr_assert_eq(uses_is_open(&uses, i), is_open[i], "use %llu", (unsigned long long)i);
            cr_assert_eq(uses_is_unmarked(&uses, i), is_unmarked[i]);
        }
        uint64_t last = handed;
        while (last && !is_open[last]) last--;
        cr_assert_eq(uses_last_open(&uses), last);
    }
    cr_assert_not(uses_is_open(&uses, 0));
    cr_assert_not(uses_is_open(&uses, handed + 1));
    uses_fini(&uses, &slab);
}

Test(uses, forget_the_oldest_beyond_their_window, .init = begin, .fini = end) {
    struct uses uses = {0};
    for (uint64_t i = 1; i <= USES_MAX + 1; i++) cr_assert_eq(uses_hand_out(&uses, &slab, 0), i);
    cr_assert_not(uses_is_open(&uses, 1));
    cr_assert(uses_is_open(&uses, 65) && uses_is_open(&uses, USES_MAX + 1));
    cr_assert_eq(uses.open_count, USES_MAX + 1 - 64);
    uses_fini(&uses, &slab);
}
