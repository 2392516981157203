/* The options that may change while the server runs, put where they are looked at. On the main thread. */
#include "uv/internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Has the system allow `wanted` descriptors, or as many as it will; answers how many. */
static int64_t allow_files(int64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
    if ((int64_t)limit.rlim_cur >= wanted) return wanted;
    struct rlimit more = {.rlim_cur = (rlim_t)wanted, .rlim_max = limit.rlim_max};
    if ((int64_t)limit.rlim_max < wanted) more.rlim_max = more.rlim_cur; /* the privileged may */
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return wanted;
    more = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &more) == 0 ? (int64_t)more.rlim_cur : (int64_t)limit.rlim_cur;
}

/* max_connections, or what the system's limit of descriptors leaves of it. */
static int64_t connections_allowed(const struct shell *shell) {
    int64_t wanted = shell->options->max_connections;
    int64_t others = SPARE_FILES + FILES_PER_LOOP * (int64_t)shell->loop_count;
    int64_t files = allow_files(wanted + others);
    if (files >= wanted + others) return wanted;
    int64_t allowed = files > 2 * others ? files - others : files / 2 + 1;
    if (allowed > wanted) allowed = wanted;
    log_event(LOG_WARN, "max_connections_lowered", LOG_INT("asked", wanted), LOG_INT("allowed", allowed),
              LOG_TEXT("why", "the system's limit of open files is lower; raise it (ulimit -n)"));
    return allowed;
}

bool limits_are_narrow(const struct shell *shell, char *why, size_t size) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return false;
    if (limit.rlim_cur >= FILES_MIN + FILES_PER_LOOP * (rlim_t)shell->loop_count) return false;
    snprintf(why, size,
             "only %" PRIu64 " files may be open, for %u threads: raise that limit (ulimit -n), or give fewer threads",
             (uint64_t)limit.rlim_cur, shell->loop_count);
    return true;
}

bool limits_leave_a_file(const struct shell *shell) {
    int fd = fcntl(shell->signal_fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

void limits_apply(struct shell *shell) {
    const struct options *options = shell->options;
    log_set_level((enum log_level)options->log_level);
    atomic_store(&shell->limits.max_connections, connections_allowed(shell));
    atomic_store(&shell->limits.max_output, options->max_output);
    atomic_store(&shell->limits.slow_reader_timeout_ms, options->slow_reader_timeout_ms);
    atomic_store(&shell->limits.handshake_timeout_ms, options->handshake_timeout_ms);
    atomic_store(&shell->limits.connection_idle_timeout_ms, options->connection_idle_timeout_ms);
    atomic_store(&shell->limits.tcp_keepalive_ms, options->tcp_keepalive_ms);
    atomic_store(&shell->limits.drain_timeout_ms, options->drain_timeout_ms);
    struct server_limits server_limits = {.max_in_flight = (uint32_t)options->max_in_flight,
                                          .max_waiting = (uint32_t)options->max_waiting,
                                          .output_mark = (uint32_t)options->output_mark,
                                          .max_frame = (uint32_t)options->max_frame,
                                          .op_id_memory = (uint64_t)options->op_id_memory};
    server_set_limits(shell->server, &server_limits);
    struct engine_limits engine_limits = {.max_memory = (uint64_t)options->max_memory,
                                          .max_namespaces = (uint32_t)options->max_namespaces};
    shell->engine->vtable->set_limits(shell->engine, &engine_limits);
}
