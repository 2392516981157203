/* What a second loop brings the memory engine, without sockets: reads, and half reads and half writes, of a million
 * sessions by one thread and by two at the same time.
 *
 *     bench_threads [sessions]
 *
 * Each thread is a loop of the engine and counts its own CPU time, so that it does not matter who else runs on the
 * machine. What two do in the same time is twice what one does, times its CPU time for an operation over theirs: what
 * is lost are lines of memory that both write, and waiting for locks. The runs alternate, and the medians count. */
#include "base/hash.h"
#include "micro.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID = 43, DATA = 300, BATCH = 16, TURN_BATCHES = 16, OPERATIONS = 1 << 19, ROUNDS = 7, THREADS = 2 };

static struct engine *engine;
static uint8_t data[DATA];
static unsigned long sessions;

struct worker {
    pthread_t thread;
    pthread_barrier_t *start;
    unsigned loop, write_percent, seed;
    double operation_ns; /* what it found */
};

static enum outcome set_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    return draft_set(input, draft, bytes_of(data, DATA), 3600000);
}

/* An id is made of its number, so that no list of them takes the place of sessions in the cache. */
static void fill(struct verb *verb, char id[ID], unsigned long number, bool is_write) {
    uint64_t mixed = hash_mix(number + 1);
    memset(verb, 0, sizeof *verb);
    memset(id, 'x', ID);
    for (unsigned i = 0; i < 16; i++) id[i] = (char)('a' + (mixed >> 4 * i & 15));
    verb->kind = is_write ? VERB_UPDATE : VERB_GET;
    verb->namespace = BYTES_LITERAL("web");
    verb->id = bytes_of(id, ID);
    if (is_write) verb->update.rule = set_rule;
}

static void load(void) {
    struct verb verb;
    char id[ID];
    enum submit_state state;
    for (unsigned long number = 0; number < sessions; number++) {
        fill(&verb, id, number, true);
        engine->vtable->enter(engine, 0);
        engine->vtable->submit(engine, 0, &verb, &state, 1, START);
        engine->vtable->leave(engine, 0);
    }
}

static double thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Turns of some batches, as a loop has them. */
static void *work(void *argument) {
    struct worker *worker = argument;
    struct verb verbs[BATCH];
    char ids[BATCH][ID];
    enum submit_state states[BATCH];
    struct prng prng = prng_of(worker->seed);
    pthread_barrier_wait(worker->start);
    double begin_ns = thread_ns();
    for (unsigned done = 0; done < OPERATIONS;) {
        engine->vtable->enter(engine, worker->loop);
        for (unsigned batch = 0; batch < TURN_BATCHES; batch++, done += BATCH) {
            for (unsigned i = 0; i < BATCH; i++)
                fill(&verbs[i], ids[i], prng_below(&prng, sessions), prng_below(&prng, 100) < worker->write_percent);
            engine->vtable->submit(engine, worker->loop, verbs, states, BATCH, START + 1);
        }
        engine->vtable->leave(engine, worker->loop);
    }
    worker->operation_ns = (thread_ns() - begin_ns) / OPERATIONS;
    return NULL;
}

/* CPU time of an operation when so many threads work at the same time. */
static double operation_ns(unsigned threads, unsigned write_percent, unsigned seed) {
    struct worker workers[THREADS];
    pthread_barrier_t start;
    double sum_ns = 0;
    pthread_barrier_init(&start, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] =
            (struct worker){.start = &start, .loop = i, .write_percent = write_percent, .seed = seed * THREADS + i};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) abort();
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        sum_ns += workers[i].operation_ns;
    }
    pthread_barrier_destroy(&start);
    return sum_ns / threads;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void bench(const char *what, unsigned write_percent) {
    double one[ROUNDS], two[ROUNDS], gain[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        one[i] = operation_ns(1, write_percent, 2 * i + 1);
        two[i] = operation_ns(2, write_percent, 2 * i + 2);
        gain[i] = 2 * one[i] / two[i];
    }
    qsort(one, ROUNDS, sizeof *one, compare);
    qsort(two, ROUNDS, sizeof *two, compare);
    qsort(gain, ROUNDS, sizeof *gain, compare);
    printf("%-24s %6.0f ns by one, %6.0f ns by each of two: %.2f x the operations (%.2f to %.2f)\n", what,
           one[ROUNDS / 2], two[ROUNDS / 2], gain[ROUNDS / 2], gain[0], gain[ROUNDS - 1]);
}

int main(int count, char **arguments) {
    static const struct policy policy = POLICY_DEFAULTS;
    sessions = count > 1 ? strtoul(arguments[1], NULL, 10) : 1000000;
    engine = memory_engine_open(
        &(struct engine_options){.loop_count = THREADS, .now_ms = START, .env = &env, .default_policy = &policy});
    if (!engine) abort();
    load();
    bench("get", 0);
    bench("half get, half set", 50);
    engine->vtable->close(engine);
    return 0;
}
