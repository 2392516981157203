/* What telling a journal costs a verb, what a snapshot costs a session and gets beside it, and what taking everything
 * back costs a session: the engine alone, with a journal that throws away, then with one that keeps in memory. One
 * loop. Arguments: sessions, a million without one;
 * then how many have one user, 0 without one (each other has a user for itself). */
#include "base/buf.h"
#include "micro.h"
#include "wire/codec.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { ID = 43, DATA = 300, BATCH = 16, PIECE = 1 << 20 };

static struct engine *engine;
static uint8_t data[DATA] = {0xc5, (DATA - 3) >> 8, (DATA - 3) & 0xff}; /* a bin */
static unsigned long sessions, crowd;
static struct buf kept;
static size_t pieces[1 << 16], piece_count; /* ends of whole appends in `kept` */

static void journal_drop(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index, (void)effects;
}

static void journal_keep(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index;
    buf_append(&kept, effects.data, effects.size);
    size_t before = piece_count ? pieces[piece_count - 1] : 0;
    if (kept.size - before >= PIECE) pieces[piece_count++] = kept.size;
}

static void journal_await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

static void open_engine(struct journal *journal) {
    engine = memory_engine_open(&(struct engine_options){.loop_count = 1,
                                                         .now_ms = START,
                                                         .env = &env,
                                                         .journal = journal,
                                                         .policy_encode = codec_write_policy,
                                                         .policy_decode = codec_read_policy});
    if (!engine) abort();
}

static enum outcome set_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    if (input->arguments) draft->user = *(const struct bytes *)input->arguments;
    return draft_set(input, draft, bytes_of(data, DATA), 3600000);
}

static void id_write(char *id, unsigned long number) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct prng prng = prng_of(number);
    for (unsigned i = 0; i < ID; i++) id[i] = digits[prng_next(&prng) >> 58];
}

/* `count` verbs in batches, each batch a turn; answers ns each. */
static double pass(enum verb_kind kind, unsigned long count, bool is_random, bool has_user) {
    static struct verb verbs[BATCH];
    static enum submit_state states[BATCH];
    static char ids[BATCH][ID], users[BATCH][24];
    static struct bytes names[BATCH];
    struct prng prng = prng_of(count);
    double taken = 0;
    for (unsigned long done = 0; done < count; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) {
            unsigned long number = is_random ? prng_below(&prng, sessions) : done + i;
            id_write(ids[i], number);
            names[i] =
                bytes_of(users[i], (size_t)snprintf(users[i], sizeof(users[i]), "u%lu", number < crowd ? 0 : number));
            verbs[i] = (struct verb){.kind = kind, .namespace = BYTES_LITERAL("web"), .id = bytes_of(ids[i], ID)};
            if (kind != VERB_UPDATE) continue;
            verbs[i].update.rule = set_rule;
            verbs[i].update.arguments = has_user ? &names[i] : NULL;
        }
        double begin = seconds();
        engine->vtable->enter(engine, 0);
        engine->vtable->submit(engine, 0, verbs, states, BATCH, START);
        engine->vtable->leave(engine, 0);
        taken += seconds() - begin;
    }
    return taken / (double)count * 1e9;
}

static void tell(struct journal *journal, const char *what) {
    open_engine(journal);
    unsigned long count = sessions / BATCH * BATCH;
    printf("%-16s create %6.0f ns", what, pass(VERB_UPDATE, count, false, false));
    printf("  set %6.0f ns", pass(VERB_UPDATE, count, true, false));
    printf("  touch %6.0f ns", pass(VERB_TOUCH, count, true, false));
    printf("  get %6.0f ns\n", pass(VERB_GET, count, true, false));
    engine->vtable->close(engine);
}

/* ---- beside a snapshot */

enum { SAMPLES = 200000, SLICE = 256 * 1024, ROUNDS = 3 };
static atomic_bool is_walking, is_over;
static double walk_seconds;
static unsigned long walks;
static size_t walk_bytes;

static double wall(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Makes one snapshot after the other, of which nothing is kept. */
static void *walk_on(void *unused) {
    struct buf slice = BUF_EMPTY;
    while (!atomic_load(&is_over)) {
        struct snapshot_cursor cursor = {0};
        double begin = wall();
        for (walk_bytes = 0; !cursor.is_done && atomic_load(&is_walking); walk_bytes += slice.size) {
            buf_clear(&slice);
            engine->vtable->snapshot(engine, &cursor, &slice, SLICE, START);
        }
        if (!cursor.is_done) continue;
        walk_seconds += wall() - begin;
        walks++;
    }
    buf_fini(&slice);
    return unused;
}

static int sample_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* How long batches of gets take, one after the other. */
static void sample_gets(const char *what) {
    static double samples[SAMPLES];
    static struct verb verbs[BATCH];
    static enum submit_state states[BATCH];
    static char ids[BATCH][ID];
    struct prng prng = prng_of(3);
    for (unsigned n = 0; n < SAMPLES; n++) {
        for (unsigned i = 0; i < BATCH; i++) {
            id_write(ids[i], prng_below(&prng, sessions));
            verbs[i] = (struct verb){.kind = VERB_GET, .namespace = BYTES_LITERAL("web"), .id = bytes_of(ids[i], ID)};
        }
        double begin = wall();
        engine->vtable->enter(engine, 0);
        engine->vtable->submit(engine, 0, verbs, states, BATCH, START);
        engine->vtable->leave(engine, 0);
        samples[n] = (wall() - begin) * 1e6;
    }
    qsort(samples, SAMPLES, sizeof(*samples), sample_compare);
    printf("%-16s 16 gets: p50 %6.2f us  p99 %6.2f us  p99.9 %7.2f us\n", what, samples[SAMPLES / 2],
           samples[SAMPLES / 100 * 99], samples[SAMPLES / 1000 * 999]);
}

static void walk_beside(struct journal *journal) {
    pthread_t thread;
    open_engine(journal);
    pass(VERB_UPDATE, sessions / BATCH * BATCH, false, false);
    if (pthread_create(&thread, NULL, walk_on, NULL) != 0) abort();
    for (unsigned round = 0; round < ROUNDS; round++) {
        atomic_store(&is_walking, false);
        sample_gets("alone");
        atomic_store(&is_walking, true);
        sample_gets("beside snapshots");
    }
    while (!walks) nanosleep(&(struct timespec){0, 1000000}, NULL);
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    printf("%lu snapshots of %lu sessions and %.0f MB: %.0f ms each\n", walks, sessions, (double)walk_bytes / 1e6,
           walk_seconds / (double)walks * 1e3);
    engine->vtable->close(engine);
}

static void recover(struct journal *journal, bool has_user, const char *what) {
    const char *why = "";
    struct recovery_counts counts;
    piece_count = 0;
    buf_clear(&kept);
    open_engine(journal);
    engine->vtable->preamble(engine, &kept);
    pass(VERB_UPDATE, sessions / BATCH * BATCH, false, has_user);
    pieces[piece_count++] = kept.size;
    engine->vtable->close(engine);
    open_engine(NULL);
    double begin = seconds();
    for (size_t i = 0, from = 0; i < piece_count; from = pieces[i++])
        if (!engine->vtable->apply(engine, bytes_of(kept.data + from, pieces[i] - from), &why)) abort();
    double applied = seconds();
    if (!engine->vtable->recovered(engine, START + 1, &counts, &why)) abort();
    double end = seconds();
    struct engine_stats stats;
    engine->vtable->stats(engine, &stats);
    printf("%-24s %8lu sessions: apply %5.0f ns, recovered %5.0f ns each; %.1f bytes each beyond id and data\n", what,
           (unsigned long)counts.sessions, (applied - begin) / (double)sessions * 1e9,
           (end - applied) / (double)sessions * 1e9, (double)stats.bytes_used / (double)counts.sessions - ID - DATA);
    engine->vtable->close(engine);
}

int main(int count, char **arguments) {
    struct journal dropping = {.append = journal_drop, .await = journal_await, .busy_from = INT64_MAX};
    struct journal keeping = {.append = journal_keep, .await = journal_await, .busy_from = INT64_MAX};
    sessions = count > 1 ? strtoul(arguments[1], NULL, 10) : 1000000;
    crowd = count > 2 ? strtoul(arguments[2], NULL, 10) : 0;
    tell(NULL, "without journal");
    tell(&dropping, "with one");
    walk_beside(&dropping);
    recover(&keeping, false, "without users");
    recover(&keeping, true, "with users");
    buf_fini(&kept);
    return 0;
}
