/* Lives and what happens in them: see world.h. A life begins with recovery, which is held against the ledger, and ends
 * at a call of the disk that the seed has chosen. */
#define _GNU_SOURCE /* vasprintf */
#include "world.h"

#include "op/engine_options.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MS       INT64_C(1767225600000)
#define LINES_MAX      64
#define LIFE_STEPS_MAX 400
#define EXCUSED_MS     1000

/* ---------------------------------------------------------------- telling */

static void add_line(struct world *world, const char *format, va_list arguments) {
    char **place = &world->lines[world->line_count++ % LINES_MAX], *text = NULL;
    if (vasprintf(&text, format, arguments) < 0) abort();
    free(*place);
    if (asprintf(place, "%u.%u +%lld %s", world->life, world->step, (long long)(world->now_ms - START_MS), text) < 0)
        abort();
    if (world->options->is_verbose) fprintf(stderr, "%s\n", *place);
    free(text);
}

void world_note(struct world *world, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_line(world, format, arguments);
    va_end(arguments);
}

void world_fail(struct world *world, const char *format, ...) {
    va_list arguments;
    if (world->has_failed) return;
    world->has_failed = true;
    va_start(arguments, format);
    vsnprintf(world->failure, sizeof world->failure, format, arguments);
    va_end(arguments);
}

static void tell(const struct world *world) {
    unsigned first = world->line_count > LINES_MAX ? world->line_count - LINES_MAX : 0;
    for (unsigned i = first; !world->options->is_verbose && i < world->line_count; i++)
        fprintf(stderr, "%s\n", world->lines[i % LINES_MAX]);
    fprintf(stderr, "seed %llu (%s) failed in step %u of life %u: %s\n", (unsigned long long)world->seed,
            world->level == LOG_ALWAYS ? "always" : "everysec", world->step, world->life, world->failure);
}

static void dump_file(void *context, const char *name, uint64_t size) {
    const struct world *world = context;
    struct buf content = BUF_EMPTY;
    char path[1024];
    (void)size;
    snprintf(path, sizeof path, "%s/%s", world->options->dump, name);
    FILE *file = fopen(path, "w");
    sim_disk_get(world->before, name, &content);
    if (file) fwrite(content.data, 1, content.size, file), fclose(file);
    buf_fini(&content);
}

static void dump(struct world *world) {
    struct disk *disk = world->before ? sim_disk_of(world->before) : NULL;
    if (disk) disk->list(disk->context, dump_file, world);
}

static struct world *running;

static void on_abort(int number) {
    (void)number;
    snprintf(running->failure, sizeof running->failure, "an assertion failed");
    tell(running);
}

/* ---------------------------------------------------------------- turns */

void world_enter(struct world *world, unsigned loop) {
    if (world->is_in_turn[loop]) return;
    server_loop_enter(world->loops[loop]);
    world->is_in_turn[loop] = true;
    world->fed[loop] = 0;
}

static void leave(struct world *world, unsigned loop) {
    if (!world->is_in_turn[loop]) return;
    server_loop_leave(world->loops[loop]);
    world->is_in_turn[loop] = false;
}

static void leave_all(struct world *world) {
    for (unsigned i = 0; i < world->loop_count; i++) leave(world, i);
}

static int64_t advance(struct world *world, unsigned loop) {
    world->is_woken[loop] = false;
    leave(world, loop);
    world_enter(world, loop);
    ledger_step(&world->ledger);
    /* Now and then all sessions change their places in memory, also beside a snapshot. */
    if (world->now_ms % 4 == 0) world->engine->vtable->move_all(world->engine, world->now_ms);
    int64_t due = server_loop_advance(world->loops[loop], world->now_ms, 100);
    look_write(world, loop);
    leave(world, loop);
    return due;
}

/* What the loop has staged goes to the log. */
static void on_append(struct journal *journal, unsigned loop_index, struct bytes effects) {
    if (!running->is_over) ledger_append(&running->ledger, loop_index);
    running->append(journal, loop_index, effects);
}

static void on_random(void *context, void *out, size_t size) {
    struct world *world = context;
    for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (uint8_t)below(world, 256);
}

static void on_wake(void *context, unsigned loop_index) {
    ((struct world *)context)->is_woken[loop_index] = true;
}

static void on_snapshot(void *context, struct snapshot_answer *answer) {
    struct world *world = context;
    *answer = (struct snapshot_answer){.is_kept = true};
    answer->has_failed = atomic_load(&log_journal(world->log)->state) == JOURNAL_FAILED;
    if (!answer->has_failed) answer->number = log_snapshot(world->log);
}

/* ---------------------------------------------------------------- a life begins */

static bool make_log(struct world *world) {
    static const uint64_t sizes[] = {4096, 8192, 16384, 65536};
    struct log_options options = {.disk = sim_disk_of(world->sim),
                                  .env = &world->env,
                                  .loop_count = world->loop_count,
                                  .level = world->level,
                                  .keys = world->is_sealed ? &world->seal_keys : NULL,
                                  .segment_bytes = sizes[below(world, 4)],
                                  .queue_bytes_max = 1 << 20,
                                  .snapshot_log_bytes = of(world, 50) ? 2000 + below(world, 20000) : 0,
                                  .snapshot_interval_ms = of(world, 30) ? 100 + (int64_t)below(world, 5000) : 0,
                                  .signal = storage_signal,
                                  .signal_context = world};
    world_note(world, "segments of %llu, snapshots each %llu bytes and %lld ms, %s",
               (unsigned long long)options.segment_bytes, (unsigned long long)options.snapshot_log_bytes,
               (long long)options.snapshot_interval_ms, world->is_sealed ? "sealed" : "open");
    world->log = log_make(&options);
    if (!world->log) abort();
    world->append = log_journal(world->log)->append;
    log_journal(world->log)->append = on_append;
    return true;
}

static void make_engine(struct world *world) {
    struct engine_options options = {.loop_count = world->loop_count,
                                     .shard_bits = 1 + (unsigned)below(world, 3),
                                     .now_ms = world->now_ms,
                                     .limits = {.max_memory = 0, .max_namespaces = 100},
                                     .env = &world->env,
                                     .journal = log_journal(world->log)};
    engine_options_fill(&options);
    world->engine = memory_engine_open(&options);
    if (!world->engine) abort();
}

static void close_engine(struct world *world) {
    world->engine->vtable->close(world->engine);
    log_free(world->log);
    world->engine = NULL;
    world->log = NULL;
}

/* False: the crash came, or it was refused. */
static bool recover(struct world *world) {
    char error[RECOVERY_ERROR_MAX];
    const char *why = "";
    struct recovery_report report;
    struct recovery_options options = {.disk = sim_disk_of(world->sim),
                                       .env = &world->env,
                                       .engine = world->engine,
                                       .keys = world->is_sealed ? &world->seal_keys : NULL};
    bool is_recovered = recovery_run(&options, &report, error);
    if (is_recovered) {
        world_note(world, "recovered %llu effects, snapshot %llu, %llu bytes cut",
                   (unsigned long long)report.counts.effects, (unsigned long long)report.snapshot_number,
                   (unsigned long long)report.cut_bytes);
        world->totals->torn += report.cut_bytes > 0;
        if (report.server_ms < world->now_ms)
            world_fail(world, "the server's clock went back from %lld to %lld", (long long)world->now_ms,
                       (long long)report.server_ms);
        world->now_ms = report.server_ms;
        if (log_open(world->log, world->engine, &report.start, world->now_ms, &why)) return !world->is_over;
        snprintf(error, sizeof error, "%s", why);
    }
    if (!world->is_over) world_fail(world, "the start is refused: %s", error);
    return false;
}

static void open_peer(struct world *world, struct peer *peer) {
    memset(peer, 0, sizeof *peer);
    peer->loop = (unsigned)below(world, world->loop_count);
    peer->conn = conn_open(world->loops[peer->loop], world->now_ms);
    peer->state = CONN_READING;
}

static void open_server(struct world *world) {
    keyring_open(&world->keyring, keys_hold(world->keys), NULL, NULL);
    struct server_options options = {.loop_count = world->loop_count,
                                     .now_ms = world->now_ms,
                                     .engine = world->engine,
                                     .env = &world->env,
                                     .keyring = &world->keyring,
                                     .journal = log_journal(world->log),
                                     .limits = {.max_in_flight = 1000,
                                                .max_waiting = 1000,
                                                .output_mark = 1 << 20,
                                                .max_frame = LIMIT_MAX_FRAME,
                                                .op_id_memory = 1 << 20},
                                     .shell_context = world,
                                     .shell_snapshot = on_snapshot};
    world->server = server_open(&options);
    for (unsigned i = 0; i < world->loop_count; i++) world->loops[i] = server_loop_open(world->server, i);
    for (unsigned i = 0; i < world->peer_count; i++) open_peer(world, &world->peers[i]);
}

static void close_server(struct world *world) {
    world->is_quiet = true;
    for (unsigned i = 0; i < world->peer_count; i++) {
        world_enter(world, world->peers[i].loop);
        conn_close(world->peers[i].conn);
    }
    for (unsigned i = 0; i < world->loop_count; i++) {
        leave(world, i);
        server_loop_close(world->loops[i]);
    }
    server_close(world->server);
    keyring_close(&world->keyring);
    world->server = NULL;
}

/* ---------------------------------------------------------------- a life ends */

/* What a process that ends leaves: the disk as the manner of its end makes it, and some time later. */
static void end_disk(struct world *world, enum ending ending) {
    static const int64_t spans[] = {1, 10, 1000, 60000, 3600000};
    if (ending == ENDING_POWER)
        sim_disk_crash(world->sim, &world->prng);
    else
        sim_disk_kill(world->sim);
    world->now_ms += 1 + (int64_t)below(world, (uint64_t)spans[below(world, 5)]);
    sim_disk_set_wall_ms(world->sim, world->now_ms);
    sim_disk_set_hook(world->sim, storage_hook, world);
    world->totals->crashes[ending]++;
}

static enum ending draw_ending(struct world *world) {
    if (world->options->ending >= 0) return (enum ending)world->options->ending;
    return of(world, 60) ? ENDING_POWER : ENDING_KILL;
}

/* From here on the disk answers no more. */
static void die(struct world *world) {
    if (!world->is_over) sim_disk_stop_after(world->sim, 0);
    world->is_over = true;
    storage_finish(world);
    close_server(world);
    close_engine(world);
}

/* In order: all that was executed is kept. */
static void stop(struct world *world) {
    leave_all(world);
    world->calls_left = UINT64_MAX;
    world->dies_after = -1;
    world->is_slow = false;
    sim_disk_heal(world->sim);
    sim_disk_set_space(world->sim, UINT64_MAX);
    storage_finish(world);
    for (unsigned i = 0; i < world->peer_count; i++) {
        world_enter(world, world->peers[i].loop);
        ledger_step(&world->ledger);
        conn_end_waiting(world->peers[i].conn);
        look_write(world, world->peers[i].loop);
        leave(world, world->peers[i].loop);
    }
    if (!log_close(world->log, world->now_ms)) world_fail(world, "a log that is well does not end in order");
    ledger_promise(&world->ledger, (struct promise){world->ledger.append_count, world->now_ms, INT64_MIN, false, 0});
    world->is_over = true;
    close_server(world);
    close_engine(world);
}

/* ---------------------------------------------------------------- judging */

/* From which moment on what was promised may be lost. `has_cut`: the power failed, then or before all was recovered. */
static int64_t excused_from(const struct world *world, bool has_cut) {
    if (world->level == LOG_ALWAYS || !has_cut) return INT64_MAX;
    if (world->was_slow) return INT64_MIN; /* then only how much is lost is bounded */
    int64_t last_ms = world->failed_at < world->ended_at ? world->failed_at : world->ended_at;
    return last_ms - EXCUSED_MS;
}

static void judge(struct world *world, int64_t excused_from_ms) {
    static struct sight seen[KEYS_MAX];
    static struct verdict verdict;
    world->is_judging = true;
    server_loop_enter(world->loops[0]);
    look_all(world, 0, seen);
    server_loop_leave(world->loops[0]);
    world->is_judging = false;
    world->engine->vtable->check(world->engine);
    if (!ledger_judge(&world->ledger, seen, world->now_ms, excused_from_ms, &verdict)) {
        world_fail(world, "%s", verdict.why);
        return;
    }
    world_note(world, "it is as after append %llu of %llu, at least %llu", (unsigned long long)verdict.found,
               (unsigned long long)world->ledger.append_count, (unsigned long long)verdict.floor);
    world->totals->lost += world->ledger.append_count - verdict.found;
    ledger_restart(&world->ledger, seen, verdict.found, world->now_ms);
}

/* Recovers, and crashes in it as often as the seed wills. */
static bool begin_life(struct world *world, enum ending ending) {
    bool has_cut = ending == ENDING_POWER;
    for (;;) {
        world->is_over = false;
        world->is_quiet = true;
        world->calls_left = of(world, 25) ? below(world, 60) : UINT64_MAX;
        if (world->options->dump) {
            if (world->before) sim_disk_close(world->before);
            world->before = sim_disk_copy(world->sim);
        }
        make_log(world);
        make_engine(world);
        if (recover(world)) break;
        close_engine(world);
        if (world->has_failed) return false;
        ending = draw_ending(world);
        has_cut |= ending == ENDING_POWER;
        end_disk(world, ending);
        world->totals->again++;
    }
    int64_t excused_from_ms = excused_from(world, has_cut);
    for (unsigned i = 0; i < TICKETS_MAX; i++)
        if (world->tickets[i].told_at > excused_from_ms) world->tickets[i] = (struct ticket){0};
    world->calls_left = UINT64_MAX;
    world->failed_at = INT64_MAX;
    world->is_slow = world->was_slow = false;
    world->has_trouble = !world->has_clients && of(world, 60);
    world->version_floor = world->newest_version;
    storage_begin(world);
    open_server(world);
    world->totals->recoveries++;
    judge(world, excused_from_ms);
    world->is_quiet = false;
    return !world->has_failed;
}

/* ---------------------------------------------------------------- in a life */

static void watch_state(struct world *world) {
    enum journal_state state = (enum journal_state)atomic_load(&log_journal(world->log)->state);
    if (state != JOURNAL_FAILED || world->failed_at != INT64_MAX) return;
    world->failed_at = world->now_ms;
    world->totals->failed++;
    world_note(world, "the journal has failed");
}

/* Time passes only when the log's steps have done what is due: what a slow disk holds is all that may be late. */
static void pass_time(struct world *world, int64_t span_ms) {
    int64_t until_ms = world->now_ms + span_ms;
    leave_all(world);
    while (!world->is_over && !world->has_failed) {
        storage_settle(world);
        watch_state(world);
        int64_t next_ms = storage_due(world);
        if (world->is_over || world->now_ms >= until_ms) break;
        world->now_ms = next_ms > world->now_ms && next_ms < until_ms ? next_ms : until_ms;
        sim_disk_set_wall_ms(world->sim, world->now_ms);
    }
}

static void make_trouble(struct world *world) {
    static const enum sim_call calls[] = {SIM_WRITE,  SIM_SYNC,   SIM_ALLOCATE, SIM_OPEN,
                                          SIM_RENAME, SIM_REMOVE, SIM_TRUNCATE, SIM_SYNC_DIRECTORY};
    switch (below(world, 4)) {
    case 0: {
        enum sim_call call = calls[below(world, 8)];
        bool is_full = of(world, 30) && (call == SIM_WRITE || call == SIM_ALLOCATE || call == SIM_OPEN);
        sim_disk_fail(world->sim, call, 1 + below(world, 4), of(world, 40), is_full ? DISK_FULL : DISK_FAILED);
        world_note(world, "the disk will %s at call %d", is_full ? "be full" : "fail", (int)call);
        break;
    }
    case 1:
        sim_disk_set_space(world->sim, sim_disk_used(world->sim) + below(world, 5000));
        world_note(world, "there is little space");
        break;
    case 2: sim_disk_set_space(world->sim, UINT64_MAX); break;
    default: world->is_slow = !world->is_slow, world->was_slow = true; world_note(world, "syncs are slow or not");
    }
}

static void step(struct world *world) {
    struct peer *peer = &world->peers[below(world, world->peer_count)];
    unsigned choice = (unsigned)below(world, 1000);
    for (unsigned i = 0; i < world->loop_count; i++)
        if (world->is_woken[i] && of(world, 50)) advance(world, i);
    if (choice < 450) {
        client_feed(world, peer);
        if (world->fed[peer->loop] > 5) leave(world, peer->loop);
    } else if (choice < 620) {
        leave(world, peer->loop);
    } else if (choice < 680) {
        advance(world, peer->loop);
    } else if (choice < 850) {
        storage_step(world, (unsigned)below(world, LOG_THREAD_COUNT));
    } else if (choice < 930) {
        pass_time(world, 1 + (int64_t)below(world, 20));
    } else if (choice < 960) {
        pass_time(world, 1 + (int64_t)below(world, 1500));
    } else if (choice < 964) {
        pass_time(world, 1 + (int64_t)below(world, 100000));
    } else if (choice < 974) {
        if (world->has_trouble) make_trouble(world);
    }
    watch_state(world);
    if (!world->is_over && of(world, 50) && conn_output(peer->conn).size) client_read(world, peer);
}

/* Where what is safe changes most: a name, or what a sync has made good. */
static int draw_call_to_die_after(struct world *world) {
    static const enum sim_call calls[] = {SIM_RENAME, SIM_SYNC_DIRECTORY, SIM_SYNC, SIM_REMOVE};
    return of(world, 60) ? (int)calls[below(world, 4)] : (int)below(world, SIM_CALL_COUNT);
}

static void live(struct world *world) {
    unsigned steps = 1 + (unsigned)below(world, of(world, 50) ? 60 : LIFE_STEPS_MAX);
    bool dies_at_call = of(world, 45);
    world->dies_after = of(world, 40) ? draw_call_to_die_after(world) : -1;
    world->dies_nth = 1 + (unsigned)below(world, of(world, 50) ? 3 : 30);
    for (world->step = 0; world->step < steps && !world->is_over && !world->has_failed; world->step++) {
        if (dies_at_call && world->step == steps / 2) world->calls_left = below(world, 120);
        step(world);
    }
    struct log_stats stats;
    log_stats_get(world->log, &stats);
    world->totals->snapshots += stats.snapshots_total;
}

/* ---------------------------------------------------------------- all lives */

static void world_open(struct world *world) {
    struct prng prng = prng_of(world->seed);
    world->chance = prng_next(&prng);
    world->prng = prng_of(prng_next(&prng));
    world->now_ms = START_MS;
    world->env = (struct env){.context = world, .random = on_random, .wake = on_wake, .point = storage_point};
    world->level = world->options->level >= 0 ? (enum log_level_of)world->options->level
                                              : (of(world, 50) ? LOG_ALWAYS : LOG_EVERYSEC);
    world->loop_count = 1 + (unsigned)below(world, LOOPS_MAX);
    world->peer_count = 1 + (unsigned)below(world, PEERS_MAX);
    world->keys = keys_make(&world->env);
    world->is_sealed = of(world, 30);
    world->busyness = of(world, 50) ? 2 : 20;
    world->laziness = of(world, 50) ? 30 : 95;
    world->has_churn = of(world, 20);
    world->has_pools = of(world, 50);
    world->has_clients = of(world, 40);
    world->seal_keys.count = 1;
    on_random(world, world->seal_keys.keys[0], SEAL_KEY_BYTES);
    world->sim = sim_disk_open();
    sim_disk_set_wall_ms(world->sim, world->now_ms);
    sim_disk_set_hook(world->sim, storage_hook, world);
    storage_open(world);
    ledger_open(&world->ledger);
    for (unsigned i = 0; i < NAMESPACES_MAX; i++) {
        ledger_key(&world->ledger, KEY_NAMESPACE, i, bytes_of_string(namespace_names[i]));
        world->ledger.keeping[i] = (struct keeping){INT64_MAX / 4, INT64_MAX / 4, false};
    }
}

static void world_close(struct world *world) {
    ledger_close(&world->ledger);
    sim_disk_close(world->sim);
    if (world->before) sim_disk_close(world->before);
    keys_release(world->keys);
    for (unsigned i = 0; i < LOG_THREAD_COUNT; i++) free(world->fibres[i].stack);
    for (unsigned i = 0; i < LINES_MAX; i++) free(world->lines[i]);
    free(world);
}

bool world_run(uint64_t seed, const struct options *options, struct totals *totals) {
    struct world *world = calloc(1, sizeof *world);
    enum ending ending = ENDING_STOP;
    if (!world) abort();
    world->seed = seed;
    world->options = options;
    world->totals = totals;
    running = world;
    signal(SIGABRT, on_abort);
    world_open(world);
    for (world->life = 1; world->life <= options->lives && begin_life(world, ending); world->life++) {
        live(world);
        bool ends_in_order = !world->is_over && !world->has_failed && world->failed_at == INT64_MAX && of(world, 10);
        ending = ends_in_order ? ENDING_STOP : draw_ending(world);
        world->ended_at = world->now_ms;
        ends_in_order ? stop(world) : die(world);
        world_note(world, "life ends: %s",
                   ending == ENDING_STOP    ? "in order"
                   : ending == ENDING_POWER ? "power"
                                            : "kill");
        if (world->has_failed) break;
        end_disk(world, ending);
    }
    bool is_well = !world->has_failed;
    if (is_well && world->server) die(world);
    if (!is_well) tell(world), dump(world);
    if (!is_well && world->server) die(world);
    world_close(world);
    return is_well;
}
