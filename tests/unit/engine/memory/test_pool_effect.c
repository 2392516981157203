/* Effects of pools: what is written is read, whatever parts it has; what was cut or changed is refused or within
 * bounds.
 */
#include "engine/memory/pool_effect.h"

#include <criterion/criterion.h>

#define NOW INT64_C(1767225600000)

static struct slab slab;
static struct pool_entry entry;

static void setup(void) {
    slab_init(&slab);
    memset(&entry, 0, sizeof(entry));
    entry.hash = 0x1122334455667788;
    atomic_store(&entry.version, 70);
    entry.told = 75;
    entry.turn = TURN_FIRST + 5;
    entry.usage = (struct usage){.usage_count = 3, .max_usage_count = 50, .max_error_score = 3.5};
    entry.usage.error_score_decrement = 0.25;
}

static void teardown(void) {
    uses_fini(&entry.uses, &slab);
    slab_fini(&slab);
}

TestSuite(pool_effect, .init = setup, .fini = teardown);

static uint64_t hand_out(unsigned count) {
    uint64_t use = 0;
    while (count-- > 0) use = uses_hand_out(&entry.uses, &slab, 0);
    return use;
}

static void lease(void) {
    entry.lease_use = hand_out(1);
    entry.fence = 74;
    entry.usage.lease_expires_at = NOW + 30;
}

static struct bytes body_of(const struct buf *out, enum effect_kind kind) {
    struct bytes left = buf_bytes(out);
    struct effect effect;
    const char *why = "nothing";
    cr_assert(effect_read(&left, &effect, &why), "%s", why);
    cr_assert_eq(left.size, 0);
    cr_assert_eq(effect.kind, kind);
    return effect.body;
}

/* Writes the entry, reads it and fills another one, which has to be the same. */
static size_t expect_back(void) {
    struct buf out = BUF_EMPTY;
    struct pool_memory memory = {&slab, 0};
    struct pool_entry back;
    struct effect_usage read;
    const char *why = "nothing";
    effect_write_usage(&out, &entry);
    cr_assert(effect_read_usage(body_of(&out, EFFECT_USAGE), &read, &why), "%s", why);
    cr_assert_eq(read.hash, entry.hash);
    memset(&back, 0, sizeof(back));
    cr_assert(effect_fill_entry(&read, memory, &back));
    cr_assert_eq(atomic_load(&back.version), atomic_load(&entry.version));
    cr_assert(back.told == entry.told && back.turn == entry.turn && back.fence == entry.fence);
    cr_assert(back.lease_use == entry.lease_use && back.ready_at == entry.ready_at);
    cr_assert(back.is_spent == entry.is_spent && back.is_forgotten == entry.is_forgotten);
    cr_assert(back.usage.usage_count == entry.usage.usage_count && back.usage.error_count == entry.usage.error_count);
    cr_assert(back.usage.error_score == entry.usage.error_score);
    cr_assert(back.usage.max_usage_count == entry.usage.max_usage_count);
    cr_assert(back.usage.max_error_score == entry.usage.max_error_score);
    cr_assert(back.usage.error_score_decrement == entry.usage.error_score_decrement);
    cr_assert(back.usage.last_used_at == entry.usage.last_used_at && back.usage.retired_at == entry.usage.retired_at);
    cr_assert_eq(back.usage.lease_expires_at, entry.usage.lease_expires_at);
    cr_assert(back.uses.handed == entry.uses.handed && back.uses.open_count == entry.uses.open_count);
    for (uint64_t use = 0; use <= entry.uses.handed + 1; use++) {
        cr_assert_eq(uses_is_open(&back.uses, use), uses_is_open(&entry.uses, use));
        cr_assert_eq(uses_is_unmarked(&back.uses, use), uses_is_unmarked(&entry.uses, use));
    }
    cr_assert_eq(uses_hand_out(&back.uses, &slab, 0), entry.uses.handed + 1);
    size_t size = out.size;
    uses_fini(&back.uses, &slab);
    buf_fini(&out);
    return size;
}

Test(pool_effect, brings_back_a_usage_of_nothing) {
    expect_back();
}

Test(pool_effect, brings_back_a_usage_with_all_parts) {
    hand_out(3);
    lease();
    uses_close(&entry.uses, 1);
    uses_note_mark(&entry.uses, 2);
    entry.usage.error_count = 7;
    entry.usage.error_score = 1.5;
    entry.usage.last_used_at = NOW;
    entry.usage.retired_at = NOW + 1;
    entry.ready_at = NOW + 2;
    entry.is_spent = entry.is_forgotten = true;
    cr_assert_eq(expect_back(), EFFECT_HEAD_BYTES + 81 + 16 + 16 + 8 + 8 + 8 + 10 + 18);
}

Test(pool_effect, brings_back_a_fence_whose_lease_is_over) {
    lease();
    entry.usage.lease_expires_at = 0;
    uses_close(&entry.uses, entry.lease_use);
    expect_back();
}

Test(pool_effect, brings_back_windows_of_any_size) {
    for (unsigned count = 0; count < 300; count += 7) {
        hand_out(7);
        if (count % 3 == 0) uses_close(&entry.uses, entry.uses.handed - 2);
        if (count % 2 == 0) uses_note_mark(&entry.uses, entry.uses.handed);
        expect_back();
    }
}

Test(pool_effect, leaves_out_a_window_in_which_nothing_is_open_or_without_a_mark) {
    for (unsigned count = 0; count < 200; count++) {
        uint64_t use = hand_out(1);
        uses_close(&entry.uses, use);
        uses_note_mark(&entry.uses, use);
        cr_assert_eq(expect_back(), EFFECT_HEAD_BYTES + 81);
    }
}

Test(pool_effect, tells_little_of_a_session_whose_first_hand_out_is_never_marked) {
    hand_out(1);
    for (unsigned count = 0; count < 5000; count++) {
        uint64_t use = hand_out(1);
        uses_close(&entry.uses, use);
        uses_note_mark(&entry.uses, use);
    }
    cr_assert_eq(expect_back(), EFFECT_HEAD_BYTES + 81 + 10 + 18);
    lease();
    cr_assert_eq(expect_back(), EFFECT_HEAD_BYTES + 81 + 16 + 8 + 10 + 36);
}

Test(pool_effect, brings_back_a_pool) {
    struct buf out = BUF_EMPTY;
    struct effect_pool pool = {
        .namespace = 5, .version = 6, .name = BYTES_LITERAL("crawlers"), .policy = BYTES_LITERAL("any bytes")};
    struct effect_pool read;
    const char *why = "nothing";
    effect_write_pool(&out, &pool);
    cr_assert(effect_read_pool(body_of(&out, EFFECT_POOL), &read, &why), "%s", why);
    cr_assert(read.namespace == 5 && read.version == 6);
    cr_assert(bytes_equal(read.name, pool.name) && bytes_equal(read.policy, pool.policy));
    buf_fini(&out);
}

/* Tries to read it; what is accepted can be put into an entry, written, and read again. */
static bool try_usage(struct bytes body) {
    struct effect_usage read;
    struct pool_memory memory = {&slab, 0};
    struct pool_entry back;
    struct buf out = BUF_EMPTY;
    const char *why = NULL;
    if (!effect_read_usage(body, &read, &why)) {
        cr_assert(why && strlen(why) > 10);
        return false;
    }
    memset(&back, 0, sizeof(back));
    back.hash = read.hash;
    cr_assert(effect_fill_entry(&read, memory, &back));
    cr_assert(!entry_is_leased(&back) || uses_is_open(&back.uses, back.lease_use));
    effect_write_usage(&out, &back);
    cr_assert(effect_read_usage(body_of(&out, EFFECT_USAGE), &read, &why), "%s", why);
    uses_fini(&back.uses, &slab);
    buf_fini(&out);
    return true;
}

Test(pool_effect, refuses_a_usage_that_is_cut_or_longer_and_takes_no_bit_that_breaks_it) {
    struct buf out = BUF_EMPTY;
    unsigned refused = 0;
    hand_out(130);
    lease();
    entry.usage.error_score = 1.5;
    entry.ready_at = NOW + 2;
    effect_write_usage(&out, &entry);
    struct bytes body = bytes_of(out.data + EFFECT_HEAD_BYTES, out.size - EFFECT_HEAD_BYTES);
    cr_assert(try_usage(body));
    for (size_t size = 0; size < body.size; size++) cr_assert_not(try_usage(bytes_of(body.data, size)));
    for (size_t bit = 0; bit < body.size * 8; bit++) {
        out.data[EFFECT_HEAD_BYTES + bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused += !try_usage(body);
        out.data[EFFECT_HEAD_BYTES + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_gt(refused, 100);
    buf_append(&out, "", 1);
    cr_assert_not(try_usage(bytes_of(out.data + EFFECT_HEAD_BYTES, out.size - EFFECT_HEAD_BYTES)));
    buf_fini(&out);
}
