/* See run.h. The server's CPU time is read while no request is under way: before the first one of the measurement and
 * after the last reply. So it is the time of exactly the operations that are counted. */
#define _GNU_SOURCE
#include "run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS_MAX = 64, LOAD_CONNECTIONS = 4, LOAD_DEPTH = 64 };

struct crew {
    struct worker *workers; /* owned */
    uint32_t count;
    uint64_t duration_ns, request_count; /* of the phase */
};

struct seat {
    struct worker *worker;
    const struct crew *crew;
    pthread_t thread;
    bool is_fine;
};

static void *seat_main(void *argument) {
    struct seat *seat = argument;
    seat->is_fine = worker_run(seat->worker, seat->crew->duration_ns, seat->crew->request_count);
    return NULL;
}

static uint64_t crew_completed(const struct crew *crew) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < crew->count; i++)
        sum += atomic_load_explicit(&crew->workers[i].completed, memory_order_relaxed);
    return sum;
}

static void join_with_progress(const struct crew *crew, struct seat *seat, uint64_t start_ns,
                               const struct run_watch *watch) {
    for (;;) {
        uint64_t every_ns = watch->every_ns ? watch->every_ns : 250000000;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + every_ns;
        until.tv_sec += (time_t)(ns / 1000000000u);
        until.tv_nsec = (long)(ns % 1000000000u);
        if (pthread_timedjoin_np(seat->thread, NULL, &until) == 0) return;
        if (watch->progress)
            watch->progress(watch->context, watch->phase, crew_completed(crew), monotonic_ns() - start_ns);
    }
}

/* Plays one phase with all workers at once. */
static bool crew_play(struct crew *crew, const struct run_watch *watch) {
    struct seat seats[THREADS_MAX];
    uint64_t start_ns = monotonic_ns();
    uint32_t started = 0;
    bool is_fine = true;
    for (; started < crew->count; started++) {
        seats[started] = (struct seat){.worker = &crew->workers[started], .crew = crew};
        atomic_store(&crew->workers[started].completed, 0);
        if (pthread_create(&seats[started].thread, NULL, seat_main, &seats[started]) != 0) break;
    }
    if (started < crew->count) is_fine = false;
    for (uint32_t i = 0; i < started; i++) {
        join_with_progress(crew, &seats[i], start_ns, watch);
        is_fine = is_fine && seats[i].is_fine;
    }
    return is_fine;
}

static bool crew_open(struct crew *crew, const struct target *target, const struct plan *plan, char *problem) {
    crew->workers = calloc(plan->threads, sizeof *crew->workers);
    if (!crew->workers) return false;
    for (; crew->count < plan->threads; crew->count++) {
        struct worker *worker = &crew->workers[crew->count];
        if (worker_open(worker, target, plan, crew->count)) continue;
        snprintf(problem, PROBLEM_BYTES, "%s", worker->problem);
        worker_close(worker);
        return false;
    }
    return true;
}

static void crew_close(struct crew *crew) {
    for (uint32_t i = 0; i < crew->count; i++) worker_close(&crew->workers[i]);
    free(crew->workers);
}

static void add_tally(struct tally *sum, const struct tally *one) {
    sum->completed += one->completed;
    sum->requests += one->requests;
    sum->misses += one->misses;
    sum->errors += one->errors;
    sum->checked += one->checked;
    sum->wrong += one->wrong;
    sum->sent_bytes += one->sent_bytes;
    sum->received_bytes += one->received_bytes;
    sum->early += one->early;
    sum->late += one->late;
    sum->cpu_ns += one->cpu_ns;
    if (one->elapsed_ns > sum->elapsed_ns) sum->elapsed_ns = one->elapsed_ns;
}

/* The first worker's histograms become the result's; the others are added to them. */
static void collect_histograms(struct run_result *result, struct worker *worker) {
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        struct histogram *from = worker->histograms[kind];
        if (!from || from->total == 0) continue;
        if (result->all) histogram_merge(result->all, from);
        if (result->histograms[kind]) {
            histogram_merge(result->histograms[kind], from);
        } else {
            result->histograms[kind] = from;
            worker->histograms[kind] = NULL;
        }
    }
    if (!worker->windows) return;
    if (!result->windows) {
        result->windows = worker->windows;
        worker->windows = NULL;
        return;
    }
    for (uint32_t i = 0; i < worker->plan.window_count; i++) histogram_merge(&result->windows[i], &worker->windows[i]);
}

static void collect(struct run_result *result, struct crew *crew) {
    result->all = calloc(1, sizeof *result->all);
    for (uint32_t i = 0; i < crew->count; i++) {
        struct worker *worker = &crew->workers[i];
        add_tally(&result->tally, &worker->tally);
        if (worker->problem[0] && !result->problem[0]) snprintf(result->problem, PROBLEM_BYTES, "%s", worker->problem);
        collect_histograms(result, worker);
    }
    if (!result->all && !result->problem[0]) snprintf(result->problem, PROBLEM_BYTES, "not enough memory");
}

struct samples {
    struct process_sample server;
    struct machine_sample machine;
    bool has_server;
};

static void samples_take(struct samples *samples, const struct target *target) {
    samples->has_server = target->pid > 0 && process_sample_take(&samples->server, target->pid);
    machine_sample_take(&samples->machine);
}

static void compare_samples(struct run_result *result, const struct samples *before, const struct samples *after) {
    result->has_server = before->has_server && after->has_server;
    if (result->has_server) {
        uint64_t user = after->server.user_ticks - before->server.user_ticks;
        uint64_t system = after->server.system_ticks - before->server.system_ticks;
        result->server_cpu_ns = after->server.cpu_ns - before->server.cpu_ns;
        result->server_wait_ns = after->server.wait_ns - before->server.wait_ns;
        result->server_user_share = user + system ? (double)user / (double)(user + system) : 0;
        result->rss_before_bytes = before->server.rss_bytes;
        result->rss_after_bytes = after->server.rss_bytes;
    }
    result->disturbance =
        machine_disturbance(&before->machine, &after->machine, result->server_cpu_ns + result->tally.cpu_ns);
}

static bool play_measured(struct crew *crew, const struct target *target, const struct plan *plan,
                          const struct run_watch *watch, struct run_result *result) {
    struct samples before, after;
    crew->duration_ns = plan->duration_ns;
    crew->request_count = plan->request_count;
    samples_take(&before, target);
    bool is_fine = crew_play(crew, watch);
    samples_take(&after, target);
    collect(result, crew);
    compare_samples(result, &before, &after);
    return is_fine && result->all;
}

bool run_plan(const struct target *target, const struct plan *plan, uint64_t warmup_ns, const struct run_watch *watch,
              struct run_result *result) {
    struct crew crew = {0};
    struct run_watch warming = *watch;
    warming.phase = "warm-up";
    *result = (struct run_result){0};
    bool is_fine = plan->threads <= THREADS_MAX && crew_open(&crew, target, plan, result->problem);
    if (is_fine && warmup_ns) {
        crew.duration_ns = warmup_ns;
        is_fine = crew_play(&crew, &warming);
        if (!is_fine) collect(result, &crew);
    }
    if (is_fine) is_fine = play_measured(&crew, target, plan, watch, result);
    if (!is_fine && !result->problem[0]) snprintf(result->problem, PROBLEM_BYTES, "the threads could not be started");
    crew_close(&crew);
    return is_fine;
}

/* Few connections, so that the memory that is measured afterwards is the sessions' and not theirs. */
bool run_load(const struct target *target, const struct plan *plan, uint64_t first, uint64_t count,
              const struct run_watch *watch, struct run_result *result) {
    struct plan load = *plan;
    load.load_request = (uint8_t)family_load_request(plan->workload->family);
    load.workload = &workload_load;
    load.distribution = KEYS_UNIFORM;
    load.first_index = first;
    load.session_count = count;
    load.window_count = 0;
    load.connections = load.connections < LOAD_CONNECTIONS ? load.connections : LOAD_CONNECTIONS;
    load.threads = load.threads < load.connections ? load.threads : load.connections;
    load.depth = LOAD_DEPTH;
    load.duration_ns = 0;
    load.request_count = count;
    load.rate_per_s = 0;
    load.is_sliding = true;
    load.is_load = true;
    struct run_watch loading = *watch;
    loading.phase = "load";
    return run_plan(target, &load, 0, &loading, result);
}

void run_result_fini(struct run_result *result) {
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) free(result->histograms[kind]);
    free(result->all);
    free(result->windows);
    *result = (struct run_result){0};
}

double run_rate(const struct run_result *result) {
    if (result->tally.elapsed_ns == 0) return 0;
    return (double)result->tally.completed * 1e9 / (double)result->tally.elapsed_ns;
}

double run_cpu_per_operation_ns(const struct run_result *result) {
    if (!result->has_server || result->tally.completed == 0) return 0;
    return (double)result->server_cpu_ns / (double)result->tally.completed;
}

double run_generator_share(const struct run_result *result, uint32_t threads) {
    if (result->tally.elapsed_ns == 0) return 0;
    return (double)result->tally.cpu_ns / (double)result->tally.elapsed_ns / threads;
}

bool run_is_correct(const struct run_result *result) {
    const struct tally *tally = &result->tally;
    return tally->misses == 0 && tally->errors == 0 && tally->wrong == 0;
}
