/* What the shell adds to server.info and server.stats: the process, its addresses, and the options in force. On any
 * loop's thread; the options are read under their lock, since SIGHUP may change them meanwhile. */
#include "uv/internal.h"

#include "base/mp.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_option(struct buf *out, const struct options *options, const struct option_row *row) {
    char text[OPTION_TEXT_MAX];
    mp_write_string(out, row->name);
    if (row->kind == OPTION_BOOL) {
        mp_write_bool(out, option_number(options, row));
    } else if (row->kind == OPTION_TEXT || row->kind == OPTION_CHOICE || row->kind == OPTION_MODE) {
        option_format(options, row, text);
        mp_write_string(out, text);
    } else {
        mp_write_int(out, option_number(options, row));
    }
}

uint32_t info_write(void *context, void *sink) {
    struct shell *shell = context;
    struct buf *out = sink;
    mp_write_string(out, "pid");
    mp_write_int(out, getpid());
    mp_write_string(out, "tcp");
    mp_write_string(out, shell->tcp_address);
    mp_write_string(out, "unix_socket");
    mp_write_string(out, shell->options->unix_socket);
    mp_write_string(out, "transport");
    mp_write_string(out, shell->transport->name);
    mp_write_string(out, "max_connections");
    mp_write_int(out, atomic_load(&shell->limits.max_connections));
    mp_write_string(out, "connections_by_loop");
    mp_write_array(out, shell->loop_count);
    for (unsigned i = 0; i < shell->loop_count; i++)
        mp_write_uint(out, atomic_load(&shell->loops[i]->connection_count));
    mp_write_string(out, "options");
    lock_take(&shell->options_lock);
    mp_write_map(out, (uint32_t)option_count);
    for (size_t i = 0; i < option_count; i++) write_option(out, shell->options, &option_rows[i]);
    lock_release(&shell->options_lock);
    return 7 + storage_write_info(&shell->storage, out);
}

void info_snapshot(void *context, struct snapshot_answer *answer) {
    struct shell *shell = context;
    storage_snapshot(&shell->storage, answer);
}

static uint64_t resident_bytes(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

uint32_t info_write_stats(void *context, void *sink) {
    struct shell *shell = context;
    struct buf *out = sink;
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"bytes_resident", resident_bytes()},
        {"cpu_user_us", microseconds(usage.ru_utime)},
        {"cpu_system_us", microseconds(usage.ru_stime)},
        {"max_connections", (uint64_t)atomic_load(&shell->limits.max_connections)},
        {"log_dropped_total", log_dropped_total()},
    };
    const size_t count = sizeof figures / sizeof *figures;
    for (size_t i = 0; i < count; i++) {
        mp_write_string(out, figures[i].name);
        mp_write_uint(out, figures[i].value);
    }
    return (uint32_t)count + storage_write_stats(&shell->storage, out);
}
