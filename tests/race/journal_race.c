/* What a journal is told against who asks for it: three loops write, touch, move, destroy and clear the same few ids,
 * a fourth thread asks up to which version all was appended, and makes snapshots. Nothing of that version or an earlier
 * one may be appended after the answer; and an engine that is made from all that was told, or from a snapshot and what
 * was told after it began, knows what the first one knows in the end. The second time without tombstones: then nothing
 * but the snapshot says that something has gone. */
#define RACE_THREADS 4
#include "base/buf.h"
#include "engine_race.h"

enum { IDS = 100, ASKER = THREADS - 1, SAMPLES_MAX = 20000, KEPT_MAX = 64 << 20 };

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buf kept;
static struct buf snapshot; /* the last whole one, and when it began so much had been appended */
static size_t snapshot_from;
static size_t snapshot_count;

/* When that version was answered, so much had been appended. */
static struct sample {
    uint64_t version;
    size_t size;
} samples[SAMPLES_MAX];
static size_t sample_count;
static _Atomic unsigned asked;

static void race_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    (void)self, (void)loop_index;
    pthread_mutex_lock(&kept_lock);
    buf_append(&kept, effects.data, effects.size);
    if (kept.size > KEPT_MAX) atomic_store(&race_is_over, true);
    pthread_mutex_unlock(&kept_lock);
}

static void race_await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

static struct policy policy = POLICY_DEFAULTS;

static void encode(struct buf *out, const struct policy *any) {
    (void)any;
    buf_append(out, "p", 1);
}

static bool decode(struct bytes encoded, struct policy *out) {
    *out = policy;
    return bytes_equal(encoded, BYTES_LITERAL("p"));
}

static struct engine *open_with(struct journal *journal) {
    struct engine *opened = memory_engine_open(&(struct engine_options){.loop_count = THREADS,
                                                                        .shard_bits = 4,
                                                                        .now_ms = RACE_START,
                                                                        .env = &race_env,
                                                                        .default_policy = &policy,
                                                                        .journal = journal,
                                                                        .policy_encode = encode,
                                                                        .policy_decode = decode});
    RACE_CHECK(opened, "no memory");
    return opened;
}

static enum outcome journal_rule(const struct update_input *input, struct session *draft, struct error *error) {
    static const struct bytes users[] = {BYTES_LITERAL("ann"), BYTES_LITERAL("bob"), {NULL, 0}};
    const uint64_t *chance = input->arguments;
    (void)error;
    if (!input->old) {
        draft->status = STATUS_ACTIVE;
        draft->created_at = input->now_ms;
    }
    if (input->now_ms > draft->last_active_at) draft->last_active_at = input->now_ms;
    draft->user = users[*chance % 3];
    draft->client = users[*chance / 3 % 3];
    draft->data = *chance / 9 % 2 ? BYTES_LITERAL("\x07") : BYTES_LITERAL("\xa9some text");
    return OUTCOME_REPLACE;
}

static void write_one(unsigned loop, struct prng *prng) {
    char id[12], other[12];
    snprintf(id, sizeof(id), "%u", (unsigned)prng_below(prng, IDS));
    snprintf(other, sizeof(other), "%u", (unsigned)prng_below(prng, IDS));
    uint64_t chance = prng_below(prng, 18);
    struct verb verb = race_verb(VERB_UPDATE, id);
    verb.update.rule = journal_rule;
    verb.update.arguments = &chance;
    switch (prng_below(prng, 10)) {
    case 0: race_remove(loop, id); return;
    case 1: race_rename(loop, id, other); return;
    case 2:
    case 3: race_touch(loop, id); return;
    case 4:
        if (!prng_happens(prng, 1, 200)) break;
        verb = race_verb(VERB_END_ALL, NULL);
        verb.end_all.end = prng_happens(prng, 1, 4) ? END_DROP : END_CLEAR;
        break;
    default: break;
    }
    race_call(loop, &verb);
}

static size_t kept_size(void) {
    pthread_mutex_lock(&kept_lock);
    size_t size = kept.size;
    pthread_mutex_unlock(&kept_lock);
    return size;
}

static void make_snapshot(struct prng *prng) {
    struct snapshot_cursor cursor = {0};
    struct buf fresh = BUF_EMPTY;
    size_t from = kept_size();
    engine->vtable->preamble(engine, &fresh);
    while (!cursor.is_done) engine->vtable->snapshot(engine, &cursor, &fresh, prng_below(prng, 4000), 0);
    buf_fini(&snapshot);
    snapshot = fresh;
    snapshot_from = from;
    snapshot_count++;
}

/* The asker is no loop: it opens no turn. */
static void ask(void) {
    struct sample sample = {engine->vtable->appended(engine), 0};
    sample.size = kept_size();
    if (sample_count < SAMPLES_MAX) samples[sample_count++] = sample;
    atomic_fetch_add(&asked, 1);
    struct buf preamble = BUF_EMPTY;
    if (sample_count % 16 == 0) engine->vtable->preamble(engine, &preamble);
    buf_fini(&preamble);
    nanosleep(&(struct timespec){0, 50000}, NULL); /* over the whole run */
}

static bool is_enough(void) {
    return atomic_load(&asked) > 10;
}

static void *journal_thread(void *number) {
    unsigned loop = (unsigned)(uintptr_t)number;
    struct prng prng = prng_of(loop + 1);
    while (race_goes_on()) {
        if (loop == ASKER) {
            ask();
            make_snapshot(&prng);
            continue;
        }
        write_one(loop, &prng);
        if (prng_happens(&prng, 1, 16)) race_advance(loop);
        if (loop == 0 && prng_happens(&prng, 1, 100)) atomic_fetch_add(&race_clock, 1);
    }
    return NULL;
}

/* The version of an effect; 0: it bears none of its own. */
static uint64_t version_of(struct bytes effect) {
    enum effect_kind kind = (enum effect_kind)effect.data[0];
    size_t at = 5 + 8 + (kind == EFFECT_MOVE ? 4 : 0);
    uint64_t version = 0;
    if (kind == EFFECT_STORE || kind == EFFECT_TOUCH || kind == EFFECT_TOMBSTONE) return 0;
    memcpy(&version, effect.data + at, sizeof(version));
    return version;
}

static size_t check_samples(size_t from) {
    size_t passed = 0, count = 0;
    uint64_t newest = 0;
    for (size_t at = from, size; at < kept.size; at += size, count++) {
        uint32_t body;
        memcpy(&body, kept.data + at + 1, sizeof(body));
        size = 5 + body;
        for (; passed < sample_count && samples[passed].size <= at; passed++) newest = samples[passed].version;
        uint64_t version = version_of(bytes_of(kept.data + at, size));
        RACE_CHECK(!version || version > newest, "version %llu was appended after %llu was",
                   (unsigned long long)version, (unsigned long long)newest);
    }
    return count;
}

/* What stands under an id: its version, activity and data; all zero: nothing. */
struct seen {
    uint64_t version, depends_on;
    int64_t last_active_at;
    uint8_t first;
};

static struct seen see(const char *id) {
    struct verb verb = race_get(0, id, false);
    if (!verb.is_found) return (struct seen){0};
    return (struct seen){verb.session.version, verb.depends_on, verb.session.last_active_at, verb.session.data.data[0]};
}

static void check_recovered(const struct seen *before, struct bytes effects) {
    struct recovery_counts counts;
    const char *why = "";
    char id[12];
    engine = open_with(NULL);
    RACE_CHECK(engine->vtable->apply(engine, effects, &why), "%s", why);
    RACE_CHECK(engine->vtable->recovered(engine, atomic_load(&race_clock), &counts, &why), "%s", why);
    for (unsigned i = 0; i < IDS; i++) {
        snprintf(id, sizeof(id), "%u", i);
        struct seen after = see(id);
        RACE_CHECK(after.version == before[i].version && after.first == before[i].first, "%s is another one", id);
        RACE_CHECK(after.last_active_at == before[i].last_active_at, "%s was active at another moment", id);
    }
    race_close();
}

static void race_and_recover(double seconds) {
    struct journal journal = {.append = race_append, .await = race_await, .busy_from = INT64_MAX};
    engine = open_with(&journal);
    engine->vtable->preamble(engine, &kept);
    size_t from = kept.size;
    race_is_enough = is_enough;
    race_scenario(seconds, journal_thread);
    for (unsigned i = 0; i < THREADS; i++) race_advance(i);
    for (unsigned i = 0; i < THREADS; i++) race_turn(i); /* ends the turns: all is appended */
    size_t effects = check_samples(from);
    RACE_CHECK(effects > 100 && sample_count > 10, "%zu effects, %zu answers", effects, sample_count);
    struct seen before[IDS];
    for (unsigned i = 0; i < IDS; i++) {
        char id[12];
        snprintf(id, sizeof(id), "%u", i);
        before[i] = see(id);
    }
    race_close();
    check_recovered(before, buf_bytes(&kept));
    buf_append(&snapshot, kept.data + snapshot_from, kept.size - snapshot_from);
    check_recovered(before, buf_bytes(&snapshot));
    printf("%zu effects in %zu bytes, asked for %zu times, %zu snapshots: none came late, and all is as it was\n",
           effects, kept.size, sample_count, snapshot_count);
    buf_fini(&kept);
    buf_fini(&snapshot);
    sample_count = snapshot_count = 0;
    atomic_store(&asked, 0);
}

int main(int argc, char **argv) {
    race_and_recover(race_seconds(argc, argv, 2));
    policy.tombstone_ms = 0;
    race_and_recover(race_seconds(argc, argv, 2));
    return 0;
}
