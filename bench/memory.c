/* See memory.h. One server lives through it all: it grows from empty to --sessions of --value-bytes; in each of five
 * rounds every second session, by chance, is replaced by one of another size; then all get the same second to end in.
 *
 * All is sent in batches over one connection, and each batch is followed by a look at the CPU time that the server has
 * used up to then, all of it and its first thread's, which is the loop's. So a pause is known as the CPU time of one
 * batch: what else runs on the machine, and a generator that was not scheduled, are not in it. */
#define _GNU_SOURCE
#include "memory.h"

#include "figures.h"
#include "prepare.h"
#include "report.h"
#include "sessiond_ask.h"
#include "stream.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

enum { CHURN_ROUNDS = 5, SIZES = 65, SIZE_MIN = 100, SIZE_MAX_BYTES = 4096, BATCH = 16 };
enum { STAGE_EMPTY, STAGE_LOADED, STAGE_CHURNED, STAGE_ENDED = STAGE_CHURNED + CHURN_ROUNDS, STAGE_COUNT };
enum { DYING_MS = 1000, LOOK_EVERY_MS = 20, EMPTY_PERCENT = 120, LONG_PAUSE_NS = 1000000 };
enum { KEPT_BYTES_MAX = 4 << 20 }; /* more than that is not kept for the next need, it has not been given back */

struct stage {
    uint64_t sessions, live_bytes;     /* ids and data */
    uint64_t used_bytes, mapped_bytes; /* what the server accounts for, and has taken from the system */
    uint64_t rss_bytes;
};

struct memory_run {
    const struct options *options;
    struct target target;
    struct stream stream;
    uint64_t session_count, live_bytes;
    uint32_t sizes[SIZES];             /* of data; the first is --value-bytes */
    struct templates templates[SIZES]; /* that set so much */
    uint8_t *size_of;                  /* by session: which of the sizes it has */
    struct stage stages[STAGE_COUNT];
    struct histogram *loop, *cpu, *latency; /* of the batches from empty to full: the loop's time, all CPU time, all */
    uint64_t longest_at;                    /* sessions before the batch that cost the loop most */
    uint64_t long_pauses;
    struct histogram *rest; /* the loop's time of as many batches that only set again what is there */
    uint64_t rest_long_pauses;
    int64_t ends_first_ms, back_ms; /* back_ms: after the last end; -1: not within --observe seconds */
    char problem[PROBLEM_BYTES];
};

static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* ---- looking */

static bool look(struct memory_run *run, struct stage *stage) {
    static const char *const keys[] = {"bytes_used", "bytes_mapped", "sessions"};
    uint64_t told[3];
    struct process_sample sample;
    bool is_fine = sessiond_ask(&run->target, "server.stats", 3, keys, told, run->problem, sizeof run->problem) &&
                   process_sample_take(&sample, run->target.pid);
    if (is_fine) *stage = (struct stage){told[2], run->live_bytes, told[0], told[1], sample.rss_bytes};
    return is_fine;
}

/* What the allocator keeps for later, and says so: what was mapped since the server was empty and is not in use; as far
 * as it may be kept. */
static uint64_t kept_bytes(const struct memory_run *run, const struct stage *stage) {
    const struct stage *empty = &run->stages[STAGE_EMPTY];
    int64_t mapped = (int64_t)(stage->mapped_bytes - empty->mapped_bytes);
    int64_t used = (int64_t)(stage->used_bytes - empty->used_bytes);
    if (mapped <= used) return 0;
    return mapped - used < KEPT_BYTES_MAX ? (uint64_t)(mapped - used) : KEPT_BYTES_MAX;
}

static bool is_back(const struct memory_run *run, const struct stage *stage) {
    uint64_t empty_bytes = run->stages[STAGE_EMPTY].rss_bytes;
    return stage->sessions == 0 && stage->rss_bytes <= empty_bytes * EMPTY_PERCENT / 100 + kept_bytes(run, stage);
}

/* Memory beyond that of the empty server, for each byte of id and data. */
static double factor_of(const struct memory_run *run, const struct stage *stage) {
    if (!stage->live_bytes) return 0;
    return ((double)stage->rss_bytes - (double)run->stages[STAGE_EMPTY].rss_bytes) / (double)stage->live_bytes;
}

static double beyond_bytes(const struct memory_run *run, const struct stage *stage) {
    if (!stage->sessions) return 0;
    return (factor_of(run, stage) - 1) * (double)stage->live_bytes / (double)stage->sessions;
}

/* ---- sending */

static void add_set(struct memory_run *run, uint64_t index, enum request request) {
    uint8_t id[KEY_ID_BYTES];
    struct fill fill = {.id = id};
    key_id(run->options->seed, index, id);
    if (request == REQUEST_LOAD) fill.deadline_ms = run->ends_first_ms + (int64_t)(key_scramble(index) % DYING_MS);
    stream_add(&run->stream, &run->templates[run->size_of[index]].of[request], &fill);
}

/* Up to now, in nanoseconds. */
struct moment {
    uint64_t loop_ns, cpu_ns, at_ns;
};

static struct moment moment_take(const struct memory_run *run) {
    int pid = run->target.pid;
    return (struct moment){process_first_thread_cpu_ns(pid), process_cpu_ns(pid), monotonic_ns()};
}

/* Every session once, from none to all; each batch is timed. */
static bool grow(struct memory_run *run) {
    uint64_t longest_ns = 0;
    struct moment before = moment_take(run);
    for (uint64_t index = 0; index < run->session_count;) {
        uint64_t first = index;
        while (index < run->session_count && run->stream.added < BATCH) add_set(run, index++, REQUEST_SET);
        if (!stream_play(&run->stream, run->problem)) return false;
        struct moment now = moment_take(run);
        uint64_t loop_ns = now.loop_ns - before.loop_ns;
        histogram_record(run->loop, loop_ns);
        histogram_record(run->cpu, now.cpu_ns - before.cpu_ns);
        histogram_record(run->latency, now.at_ns - before.at_ns);
        if (loop_ns > longest_ns) longest_ns = loop_ns, run->longest_at = first;
        run->long_pauses += loop_ns > LONG_PAUSE_NS;
        before = now;
    }
    run->live_bytes = run->session_count * (KEY_ID_BYTES + run->sizes[0]);
    return true;
}

/* Replaces every second session, drawn anew each round, by one of another size. */
static bool churn(struct memory_run *run, struct random *random) {
    for (uint64_t index = 0; index < run->session_count; index++) {
        uint64_t drawn = random_next(random);
        if (drawn & 1) continue;
        run->live_bytes -= run->sizes[run->size_of[index]];
        run->size_of[index] = (uint8_t)(1 + (drawn >> 32) % (SIZES - 1));
        run->live_bytes += run->sizes[run->size_of[index]];
        add_set(run, index, REQUEST_SET);
        if (run->stream.added == BATCH && !stream_play(&run->stream, run->problem)) return false;
    }
    return stream_play(&run->stream, run->problem);
}

/* Gives every session a moment of one second that is after all were told. Nothing grows, so what these batches cost
 * shows what a long one is on this machine. */
static bool doom(struct memory_run *run, int64_t patience_ms) {
    run->ends_first_ms = wall_ms() + patience_ms;
    uint64_t before_ns = process_first_thread_cpu_ns(run->target.pid);
    for (uint64_t index = 0; index < run->session_count;) {
        while (index < run->session_count && run->stream.added < BATCH) add_set(run, index++, REQUEST_LOAD);
        if (!stream_play(&run->stream, run->problem)) return false;
        uint64_t now_ns = process_first_thread_cpu_ns(run->target.pid);
        histogram_record(run->rest, now_ns - before_ns);
        run->rest_long_pauses += now_ns - before_ns > LONG_PAUSE_NS;
        before_ns = now_ns;
    }
    return true;
}

static bool watch_end(struct memory_run *run) {
    int64_t ended_ms = run->ends_first_ms + DYING_MS, limit_ms = ended_ms + (int64_t)(run->options->observe_s * 1000);
    struct stage *stage = &run->stages[STAGE_ENDED];
    run->live_bytes = 0;
    run->back_ms = -1;
    for (;;) {
        int64_t now_ms = wall_ms();
        if (now_ms < ended_ms) {
            poll(NULL, 0, (int)(ended_ms - now_ms));
            continue;
        }
        if (!look(run, stage)) return false;
        if (is_back(run, stage)) run->back_ms = now_ms - ended_ms;
        if (run->back_ms >= 0 || now_ms >= limit_ms) return true;
        poll(NULL, 0, LOOK_EVERY_MS);
    }
}

static bool play(struct memory_run *run) {
    struct random random = {run->options->seed};
    uint64_t from_ns = monotonic_ns();
    if (!look(run, &run->stages[STAGE_EMPTY]) || !grow(run) || !look(run, &run->stages[STAGE_LOADED])) return false;
    for (unsigned round = 0; round < CHURN_ROUNDS; round++)
        if (!churn(run, &random) || !look(run, &run->stages[STAGE_CHURNED + round])) return false;
    /* All that was done so far was several times as much as what is to be done before the first ends. */
    return doom(run, 1000 + (int64_t)((monotonic_ns() - from_ns) / 1000000)) && watch_end(run);
}

/* ---- what was found */

static void stage_name(unsigned stage, char *name, size_t size) {
    static const char *const names[] = {"empty", "loaded"};
    if (stage < STAGE_CHURNED)
        snprintf(name, size, "%s", names[stage]);
    else if (stage < STAGE_ENDED)
        snprintf(name, size, "churn %u", stage - STAGE_CHURNED + 1);
    else
        snprintf(name, size, "all ended");
}

static double mib(uint64_t bytes) {
    return (double)bytes / 1048576;
}

static void write_text(const struct memory_run *run, FILE *out) {
    fprintf(out, "%llu sessions of %u bytes; then five times every second one becomes one of %u to %u bytes; MiB\n",
            (unsigned long long)run->session_count, run->sizes[0], run->sizes[1], run->sizes[SIZES - 1]);
    fprintf(out, "  %-10s %10s %10s %10s %10s %10s %16s\n", "", "id + data", "accounted", "mapped", "resident", "x",
            "beyond, bytes");
    for (unsigned i = 0; i < STAGE_COUNT; i++) {
        const struct stage *stage = &run->stages[i];
        char name[16];
        stage_name(i, name, sizeof name);
        fprintf(out, "  %-10s %10.1f %10.1f %10.1f %10.1f %10.3f %16.1f\n", name, mib(stage->live_bytes),
                mib(stage->used_bytes), mib(stage->mapped_bytes), mib(stage->rss_bytes), factor_of(run, stage),
                beyond_bytes(run, stage));
    }
    if (run->back_ms < 0)
        fprintf(out, "memory was not back %.0f s after the last end\n", run->options->observe_s);
    else
        fprintf(out, "memory was back, but for %.1f MiB that the allocator keeps, %lld ms after the last end\n",
                mib(kept_bytes(run, &run->stages[STAGE_ENDED])), (long long)run->back_ms);
    fprintf(out, "from empty to full, batches of %u sets, us:\n  %-10s %10s %10s %10s\n", BATCH, "", "p50", "p99.9",
            "longest");
    static const char *const names[] = {"loop CPU", "server CPU", "answer"};
    const struct histogram *all[] = {run->loop, run->cpu, run->latency};
    for (unsigned i = 0; i < 3; i++)
        fprintf(out, "  %-10s %10.1f %10.1f %10.1f\n", names[i], (double)histogram_percentile_ns(all[i], 50) / 1e3,
                (double)histogram_percentile_ns(all[i], 99.9) / 1e3, (double)all[i]->max_ns / 1e3);
    fprintf(out, "%llu of %llu batches cost the loop over 1 ms; the longest one came after %llu sessions\n",
            (unsigned long long)run->long_pauses, (unsigned long long)run->cpu->total,
            (unsigned long long)run->longest_at);
    fprintf(out, "of as many that only set again what was there: %llu, the longest %.1f us\n",
            (unsigned long long)run->rest_long_pauses, (double)run->rest->max_ns / 1e3);
}

static void json_stages(struct json *json, const struct memory_run *run) {
    json_array(json, "stages");
    for (unsigned i = 0; i < STAGE_COUNT; i++) {
        const struct stage *stage = &run->stages[i];
        char name[16];
        stage_name(i, name, sizeof name);
        json_object(json, NULL);
        json_text(json, "stage", name);
        json_count(json, "sessions", stage->sessions);
        json_count(json, "live_bytes", stage->live_bytes);
        json_count(json, "used_bytes", stage->used_bytes);
        json_count(json, "mapped_bytes", stage->mapped_bytes);
        json_count(json, "rss_bytes", stage->rss_bytes);
        json_number(json, "factor", factor_of(run, stage));
        json_number(json, "beyond_bytes_per_session", beyond_bytes(run, stage));
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void json_pauses(struct json *json, const char *name, const struct histogram *batches) {
    json_object(json, name);
    json_number(json, "p50_us", (double)histogram_percentile_ns(batches, 50) / 1e3);
    json_number(json, "p99.9_us", (double)histogram_percentile_ns(batches, 99.9) / 1e3);
    json_number(json, "longest_us", (double)batches->max_ns / 1e3);
    json_close(json, '}');
}

static void write_json(const void *context, FILE *out) {
    const struct memory_run *run = context;
    struct json json;
    json_begin(&json, out);
    json_count(&json, "sessions", run->session_count);
    json_count(&json, "value_bytes", run->sizes[0]);
    json_stages(&json, run);
    json_bool(&json, "is_memory_back", run->back_ms >= 0);
    if (run->back_ms >= 0) json_count(&json, "memory_back_ms", (uint64_t)run->back_ms);
    json_count(&json, "kept_bytes", kept_bytes(run, &run->stages[STAGE_ENDED]));
    json_count(&json, "batch", BATCH);
    json_count(&json, "batches", run->cpu->total);
    json_count(&json, "batches_over_1_ms", run->long_pauses);
    json_count(&json, "longest_after_sessions", run->longest_at);
    json_count(&json, "rest_batches_over_1_ms", run->rest_long_pauses);
    json_pauses(&json, "rest_batch_loop_cpu", run->rest);
    json_pauses(&json, "batch_loop_cpu", run->loop);
    json_pauses(&json, "batch_cpu", run->cpu);
    json_pauses(&json, "batch_latency", run->latency);
    json_end(&json);
}

/* ---- the run */

/* Sizes are as far apart by factor, so that small ones are many. */
static bool prepare(struct memory_run *run) {
    for (unsigned i = 0; i < SIZES; i++) {
        double share = i ? (double)(i - 1) / (SIZES - 2) : 0;
        double bytes = SIZE_MIN * pow((double)SIZE_MAX_BYTES / SIZE_MIN, share);
        struct driver_setup setup = run->target.setup;
        run->sizes[i] = i ? (uint32_t)(bytes + 0.5) : (uint32_t)run->options->value_bytes;
        setup.value_bytes = run->sizes[i];
        if (!templates_make(&run->templates[i], run->target.driver, &setup)) return false;
    }
    run->size_of = calloc(run->session_count, 1);
    run->rest = calloc(1, sizeof *run->rest);
    run->loop = calloc(1, sizeof *run->loop);
    run->cpu = calloc(1, sizeof *run->cpu);
    run->latency = calloc(1, sizeof *run->latency);
    if (!run->size_of || !run->rest || !run->loop || !run->cpu || !run->latency) return false;
    histogram_init(run->rest);
    histogram_init(run->loop);
    histogram_init(run->cpu);
    histogram_init(run->latency);
    return stream_open(&run->stream, &run->target, run->problem);
}

static void release(struct memory_run *run) {
    stream_close(&run->stream);
    for (unsigned i = 0; i < SIZES; i++) templates_fini(&run->templates[i]);
    free(run->size_of);
    free(run->rest);
    free(run->loop);
    free(run->cpu);
    free(run->latency);
}

static bool play_server(struct memory_run *run, const struct server_process *server) {
    /* Mortal: nothing is kept of what has ended. */
    if (!target_open(&run->target, &driver_sessiond, server->address, server->pid, run->options, true)) return false;
    bool is_fine = prepare(run) && play(run);
    if (is_fine) write_text(run, stdout);
    if (is_fine) return report_file(run->options->json, write_json, run);
    fprintf(stderr, "sessiond-bench: %s\n", run->problem[0] ? run->problem : "the server is gone, or memory lacking");
    return false;
}

int memory_main(const struct options *options) {
    struct server_process server;
    struct server_recipe recipe;
    bool is_fine = false;
    struct memory_run *run = calloc(1, sizeof *run);
    if (!run) return 1;
    *run = (struct memory_run){.options = options, .stream = {.fd = -1}, .back_ms = -1};
    run->session_count = options->sessions ? options->sessions : 1000000;
    recipe_find(&recipe, "sessiond", options_level(options), options);
    if (server_begin(&server, &recipe, options)) {
        is_fine = play_server(run, &server);
        release(run);
        target_close(&run->target);
        server_end(&server);
    }
    free(run);
    return is_fine ? 0 : 1;
}
