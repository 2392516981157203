/* The whole process around the core: opens everything in order, serves, and takes it apart in reverse.
 *
 * Serving begins when every loop exists and the sockets listen; it ends with SIGTERM or SIGINT: listeners close, new
 * requests are answered BUSY, each loop ends once its connections owe nothing or drain_timeout_ms is over. A second
 * signal ends the process at once. SIGHUP has files read again (reload.c). All on the main thread, but for env's
 * functions, which any loop calls. */
#include "uv/internal.h"

#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOP_COUNT_DEFAULT_MAX 8

/* ---------------------------------------------------------------- env and log */

static void env_random(void *context, void *out, size_t size) {
    (void)context;
    randombytes_buf(out, size);
}

static void env_wake(void *context, unsigned loop_index) {
    struct shell *shell = context;
    struct shell_loop *loop = loop_index < shell->loop_count ? shell->loops[loop_index] : NULL;
    if (loop) loop_wake(loop); /* there is none before serving: its first turn advances anyway */
}

static void env_prepare(void *context) {
    struct shell *shell = context;
    preparer_wake(&shell->preparer);
}

static void log_to_stderr(void *context, const char *line, size_t size) {
    (void)context;
    (void)!write(STDERR_FILENO, line, size); /* a log that cannot be written has nobody to tell */
}

static int64_t log_wall_ms(void *context) {
    (void)context;
    return clock_wall_ms();
}

/* ---------------------------------------------------------------- opening */

static unsigned loop_count_of(const struct options *options) {
    unsigned processors = uv_available_parallelism();
    if (options->threads) return (unsigned)options->threads;
    return processors < LOOP_COUNT_DEFAULT_MAX ? processors : LOOP_COUNT_DEFAULT_MAX;
}

struct shell *shell_open(struct options *options, shell_read_options read_options, void *read_options_context) {
    char error[STORAGE_ERROR_MAX];
    struct shell *shell = sodium_init() < 0 ? NULL : calloc(1, sizeof *shell);
    if (!shell) {
        fprintf(stderr, "sessiond: there is not enough memory to begin\n");
        return NULL;
    }
    shell->options = options;
    shell->read_options = read_options;
    shell->read_options_context = read_options_context;
    shell->loop_count = loop_count_of(options);
    shell->signal_fd = -1;
    shell->env = (struct env){.context = shell, .random = env_random, .wake = env_wake, .prepare = env_prepare};
    clock_open(&shell->clock);
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of one write */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of one write, too */
    log_sink_open(&(struct log_sink){NULL, log_to_stderr, log_wall_ms}, (enum log_level)options->log_level);
    if (storage_open(&shell->storage, options, &shell->env, &shell->clock, shell->loop_count, error)) return shell;
    fprintf(stderr, "sessiond: %s\n", error);
    shell_close(shell);
    return NULL;
}

unsigned shell_loop_count(const struct shell *shell) {
    return shell->loop_count;
}
const struct env *shell_env(const struct shell *shell) {
    return &shell->env;
}
int64_t shell_now_ms(const struct shell *shell) {
    return clock_now_ms(&shell->clock);
}

struct journal *shell_journal(const struct shell *shell) {
    return storage_journal(&shell->storage);
}

void shell_close(struct shell *shell) {
    storage_close(&shell->storage);
    log_sink_close();
    free(shell);
}

/* ---------------------------------------------------------------- signals */

static void shell_drain(struct shell *shell, int signal_number) {
    if (atomic_exchange(&shell->is_draining, true)) {
        log_event(LOG_WARN, "stopped_at_once", LOG_INT("signal", signal_number));
        _exit(1); /* the Unix socket's file is gone since the first signal */
    }
    log_event(LOG_INFO, "draining", LOG_INT("signal", signal_number),
              LOG_INT("connections", atomic_load(&shell->connection_count)));
    server_set_draining(shell->server);
    listener_close_all(shell);
    for (unsigned i = 0; i < shell->loop_count; i++) shell->transport->signal(shell->loops[i]);
}

static void take_signal(struct shell *shell, int number) {
    if (number == SIGHUP)
        reload_begin(shell);
    else
        shell_drain(shell, number);
}

static void on_signals(uv_poll_t *handle, int status, int events) {
    struct shell *shell = handle->data;
    struct signalfd_siginfo info;
    (void)status;
    (void)events;
    loop_enter_turn(shell->loops[0]);
    while (read(shell->signal_fd, &info, sizeof info) == sizeof info) take_signal(shell, (int)info.ssi_signo);
}

static sigset_t read_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

/* The signals are blocked in every thread, as those that are made from now on inherit it, and read from a descriptor:
 * no handler interrupts a thread, and none has to wait until one runs. */
static bool signals_open(struct shell *shell) {
    sigset_t set = read_signals();
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) return false;
    shell->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (shell->signal_fd < 0) return false;
    if (uv_poll_init(&shell->loops[0]->uv, &shell->signal_poll, shell->signal_fd) < 0) return false;
    shell->signal_poll.data = shell;
    return uv_poll_start(&shell->signal_poll, UV_READABLE, on_signals) == 0;
}

static void end_at_once(int signal_number) {
    (void)signal_number;
    _exit(1);
}

/* What is left is the log's end, which waits for the disk; no loop reads the signals any more. */
static void signals_end_at_once(void) {
    sigset_t set = read_signals();
    signal(SIGTERM, end_at_once);
    signal(SIGINT, end_at_once);
    signal(SIGHUP, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---------------------------------------------------------------- serving */

static void loop_thread(void *loop) {
    loop_run(loop);
}

static bool loops_open(struct shell *shell) {
    for (unsigned i = 0; i < shell->loop_count; i++)
        if (!(shell->loops[i] = loop_open(shell, i))) return false;
    return true;
}

static void loops_close(struct shell *shell) {
    for (unsigned i = 0; i < shell->loop_count; i++)
        if (shell->loops[i]) loop_close(shell->loops[i]);
}

/* The line that scripts wait for; the only one on stdout. */
static void tell_ready(const struct shell *shell) {
    const char *unix_path = shell->unix_path;
    printf("event=ready version=%s%s%s%s%s pid=%d threads=%u\n", SESSIOND_VERSION, *shell->tcp_address ? " tcp=" : "",
           shell->tcp_address, *unix_path ? " unix=" : "", unix_path, (int)getpid(), shell->loop_count);
    fflush(stdout);
    log_event(LOG_INFO, "ready", LOG_TEXT("version", SESSIOND_VERSION), LOG_TEXT("tcp", shell->tcp_address),
              LOG_TEXT("unix", unix_path), LOG_INT("threads", shell->loop_count),
              LOG_TEXT("transport", shell->transport->name),
              LOG_INT("max_connections", atomic_load(&shell->limits.max_connections)));
    if (!*shell->keys.path)
        log_event(LOG_INFO, "keys_in_memory",
                  LOG_TEXT("why", "there is no key_file and no data_dir: tokens, handles and cookie secrets end with "
                                  "the process"));
}

/* Runs loop 0 on this thread and each other one on its own, until all have drained. */
static void loops_run(struct shell *shell) {
    unsigned started = 1;
    while (started < shell->loop_count &&
           uv_thread_create(&shell->loops[started]->thread, loop_thread, shell->loops[started]) == 0)
        started++;
    if (started == shell->loop_count)
        tell_ready(shell);
    else {
        log_event(LOG_ERROR, "start_failed", LOG_TEXT("why", "no thread can be made; give fewer threads"));
        atomic_fetch_add(&shell->finished_count, shell->loop_count - started);
        shell_drain(shell, 0);
    }
    loop_run(shell->loops[0]);
    for (unsigned i = 1; i < started; i++) uv_thread_join(&shell->loops[i]->thread);
}

static bool server_start(struct shell *shell) {
    const struct options *options = shell->options;
    struct server_options server_options = {.loop_count = shell->loop_count,
                                            .now_ms = shell_now_ms(shell),
                                            .engine = shell->engine,
                                            .env = &shell->env,
                                            .keyring = &shell->keys.keyring,
                                            .journal = shell_journal(shell),
                                            .limits = {.max_in_flight = (uint32_t)options->max_in_flight,
                                                       .max_waiting = (uint32_t)options->max_waiting,
                                                       .output_mark = (uint32_t)options->output_mark,
                                                       .max_frame = (uint32_t)options->max_frame,
                                                       .op_id_memory = (uint64_t)options->op_id_memory},
                                            .shell_context = shell,
                                            .shell_info = info_write,
                                            .shell_stats = info_write_stats,
                                            .shell_snapshot = info_snapshot};
    shell->server = server_open(&server_options);
    return shell->server != NULL;
}

/* Once the limits were applied, which may raise that of files, a narrow one is named beside whatever failed. */
static void tell_failure(const struct shell *shell, const char *error) {
    char why[STORAGE_ERROR_MAX];
    bool is_narrow = shell->server && limits_are_narrow(shell, why, sizeof why);
    fprintf(stderr, "sessiond: %s%s%s\n", error, is_narrow ? "; " : "", is_narrow ? why : "");
}

int shell_serve(struct shell *shell, struct engine *engine) {
    static const char lacking[] = "there is not enough memory, or not enough files may be open";
    static const char unreachable[] = "all files that may be open are the server's own, so nobody could connect";
    char error[STORAGE_ERROR_MAX];
    int status = 1;
    shell->engine = engine;
    if (!key_file_open(&shell->keys, shell->options, &shell->env, key_save_begin, shell, error)) {
        fprintf(stderr, "sessiond: %s\n", error);
        return status;
    }
    if (!storage_recover(&shell->storage, engine, &shell->clock, error)) goto failed;
    memcpy(error, lacking, sizeof lacking);
    if (!server_start(shell)) goto failed;
    limits_apply(shell);
    if (!transport_open(shell, error, sizeof error)) goto failed;
    memcpy(error, lacking, sizeof lacking);
    if (!loops_open(shell) || !signals_open(shell)) goto failed;
    if (!listener_open_all(shell, error, sizeof error)) goto failed;
    if (!storage_begin(&shell->storage)) goto failed;
    if (!preparer_begin(&shell->preparer, engine, &shell->clock)) goto failed;
    memcpy(error, unreachable, sizeof unreachable);
    if (!limits_leave_a_file(shell)) goto failed;
    loops_run(shell);
    status = 0;
failed:
    if (status != 0) tell_failure(shell, error);
    listener_close_all(shell);
    signals_end_at_once();
    if (!storage_end(&shell->storage)) status = 1;
    preparer_end(&shell->preparer);
    if (status == 0) log_event(LOG_INFO, "stopped");
    loops_close(shell);
    transport_close(shell);
    if (shell->signal_fd >= 0) close(shell->signal_fd);
    if (shell->server) server_close(shell->server);
    key_file_close(&shell->keys);
    return status;
}

int shell_recover(struct shell *shell, struct engine *engine) {
    char error[STORAGE_ERROR_MAX];
    const struct recovery_report *report = &shell->storage.report;
    if (!storage_recover(&shell->storage, engine, &shell->clock, error)) {
        fprintf(stderr, "sessiond: %s\n", error);
        return 1;
    }
    if (!storage_end(&shell->storage)) return 1;
    printf("event=repaired sessions=%" PRIu64 " given_up_bytes=%" PRIu64 " cut_bytes=%" PRIu64
           " clock_offset_ms=%" PRId64 "\n",
           report->counts.sessions, report->damaged_bytes, report->cut_bytes, clock_offset_ms(&shell->clock));
    return 0;
}

int shell_rotate_keys(const struct options *options) {
    struct env env = {.random = env_random};
    char error[KEY_FILE_ERROR_MAX];
    uint32_t number;
    if (!key_file_rotate(options, &env, &number, error)) {
        fprintf(stderr, "sessiond: %s\n", error);
        return 1;
    }
    printf("event=keys_rotated token_key=%u\n", (unsigned)number);
    return 0;
}
