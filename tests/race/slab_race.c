/* Threads take and free blocks of all sizes, in waves that make chunks come and go, while one prepares. What stands in
 * a block is its own until it is freed. */
#include "base/prng.h"
#include "engine/memory/slab.h"
#include "race.h"
#include "sessiond/env.h"

#include <string.h>

enum { WORKERS = 3, BLOCKS = 6000, LARGE_MAX = 40000 };

static struct slab slab;
static _Atomic uint64_t taken, prepared;
static _Atomic bool is_asked;

static void note_asking(void *context) {
    (void)context;
    atomic_store(&is_asked, true);
}
static const struct env env = {.prepare = note_asking};

struct block {
    unsigned char *at;
    size_t size;
};

static size_t size_draw(struct prng *prng) {
    if (prng_happens(prng, 1, 50)) return SLAB_BLOCK_MAX + 1 + prng_below(prng, LARGE_MAX);
    return prng_happens(prng, 1, 2) ? SLAB_BLOCK_MAX - prng_below(prng, 512) : 1 + prng_below(prng, 600);
}

static void block_take(struct block *block, unsigned worker, struct prng *prng) {
    block->size = size_draw(prng);
    block->at = slab_alloc(&slab, worker, block->size);
    RACE_CHECK(block->at, "no memory");
    block->at[0] = block->at[block->size - 1] = (unsigned char)(worker + 1);
    atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
}

static void block_give(struct block *block, unsigned worker) {
    RACE_CHECK(block->at[0] == worker + 1 && block->at[block->size - 1] == worker + 1, "%zu bytes", block->size);
    slab_free(&slab, block->at, block->size);
}

static void work(unsigned worker) {
    static struct block all[WORKERS][BLOCKS];
    struct block *blocks = all[worker];
    struct prng prng = prng_of(worker);
    while (race_goes_on()) {
        unsigned count = BLOCKS / 2 + (unsigned)prng_below(&prng, BLOCKS / 2),
                 kept = (unsigned)prng_below(&prng, count);
        for (unsigned i = 0; i < count; i++) block_take(&blocks[i], worker, &prng);
        for (unsigned i = kept; i < count; i++) block_give(&blocks[i], worker);
        for (unsigned i = kept; i < count; i++) block_take(&blocks[i], worker, &prng);
        for (unsigned i = 0; i < count; i++) block_give(&blocks[i], worker);
    }
}

static void prepare(void) {
    int64_t now_ms = 1, next_ms;
    do {
        next_ms = slab_prepare(&slab, now_ms);
        now_ms = next_ms == INT64_MAX ? now_ms + 1 : next_ms; /* no waiting: the more it does, the better */
        atomic_fetch_add_explicit(&prepared, atomic_exchange(&is_asked, false), memory_order_relaxed);
        sched_yield();
    } while (race_goes_on());
}

static void *run(void *number) {
    unsigned worker = (unsigned)(uintptr_t)number;
    if (worker < WORKERS)
        work(worker);
    else
        prepare();
    return NULL;
}

static bool is_enough(void) {
    return atomic_load(&prepared) > 0;
}

int main(int argc, char **argv) {
    race_is_enough = is_enough;
    slab_init(&slab);
    slab_prepare_by(&slab, &env);
    race_run(argc, argv, run, WORKERS + 1);
    slab_check(&slab);
    RACE_CHECK(slab_stats_get(&slab).bytes_used == 0, "memory was lost");
    slab_fini(&slab);
    RACE_CHECK(prepared > 0, "nothing was ever prepared");
    printf("slab_race: %llu blocks, prepared %llu times\n", (unsigned long long)taken, (unsigned long long)prepared);
    return 0;
}
