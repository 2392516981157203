/* Readers look at shared blocks in turns of any length while two writers exchange and retire them. What is freed is
 * poisoned first, so a block freed too early shows, with ThreadSanitizer and without. */
#include "base/prng.h"
#include "engine/memory/reclaim.h"
#include "race.h"

#include <string.h>

enum { READERS = 3, WRITERS = 2, THREADS = READERS + WRITERS, PLACES = 64, WORDS = 8 };
#define MARK UINT64_C(0x5e551011d0a11f1e)

struct block {
    uint64_t words[WORDS]; /* all MARK while anyone may look */
};

static struct reclaim reclaim;
static struct block *_Atomic places[PLACES];
static _Atomic uint64_t made, freed, looked;

static struct block *block_make(void) {
    struct block *block = malloc(sizeof *block);
    for (int i = 0; i < WORDS; i++) block->words[i] = MARK;
    atomic_fetch_add_explicit(&made, 1, memory_order_relaxed);
    return block;
}

static void block_free(void *context, unsigned reader, void *pointer, size_t size, unsigned kind) {
    (void)context, (void)reader;
    RACE_CHECK(size == sizeof(struct block) && kind == 9, "%zu bytes of kind %u", size, kind);
    memset(pointer, 0xdd, size);
    free(pointer);
    atomic_fetch_add_explicit(&freed, 1, memory_order_relaxed);
}

static void block_look(const struct block *block) {
    for (int i = 0; i < WORDS; i++)
        RACE_CHECK(block->words[i] == MARK, "word %d is %llx", i, (unsigned long long)block->words[i]);
}

/* A turn takes some blocks, looks at them, and looks again at its end. */
static void read_turn(unsigned reader, struct prng *prng) {
    const struct block *held[16];
    unsigned count = 1 + (unsigned)prng_below(prng, 16);
    reclaim_enter(&reclaim, reader);
    for (unsigned i = 0; i < count; i++) {
        held[i] = atomic_load_explicit(&places[prng_below(prng, PLACES)], memory_order_acquire);
        block_look(held[i]);
    }
    if (prng_happens(prng, 1, 64)) sched_yield();
    for (unsigned i = 0; i < count; i++) block_look(held[i]);
    reclaim_leave(&reclaim, reader);
    atomic_fetch_add_explicit(&looked, count, memory_order_relaxed);
}

static void write_turn(unsigned reader, struct prng *prng) {
    unsigned count = 1 + (unsigned)prng_below(prng, 40);
    bool is_inside = prng_happens(prng, 3, 4); /* retiring is allowed outside a turn too */
    if (is_inside) reclaim_enter(&reclaim, reader);
    for (unsigned i = 0; i < count; i++) {
        struct block *old =
            atomic_exchange_explicit(&places[prng_below(prng, PLACES)], block_make(), memory_order_acq_rel);
        reclaim_retire(&reclaim, reader, old, sizeof *old, 9);
    }
    if (is_inside) reclaim_leave(&reclaim, reader);
    reclaim_poll(&reclaim, reader);
}

static void *run(void *number) {
    unsigned reader = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(reader);
    while (race_goes_on()) {
        if (reader < READERS)
            read_turn(reader, &prng);
        else
            write_turn(reader, &prng);
    }
    return NULL;
}

int main(int argc, char **argv) {
    RACE_CHECK(reclaim_init(&reclaim, THREADS, block_free, NULL), "no memory");
    for (int i = 0; i < PLACES; i++) atomic_init(&places[i], block_make());
    race_run(argc, argv, run, THREADS);
    uint64_t freed_running = atomic_load(&freed);
    reclaim_fini(&reclaim);
    for (int i = 0; i < PLACES; i++) block_free(NULL, 0, atomic_load(&places[i]), sizeof(struct block), 9);
    RACE_CHECK(freed == made, "%llu freed of %llu", (unsigned long long)freed, (unsigned long long)made);
    RACE_CHECK(freed_running > made / 2, "freed only at the end: %llu", (unsigned long long)freed_running);
    printf("reclaim_race: looked at %llu blocks while %llu were freed\n", (unsigned long long)looked,
           (unsigned long long)made);
    return 0;
}
