/* --stat, --latency and --scan. */
#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STAT_HEADER_EVERY = 20, LATENCY_MAX = 10 * 1000 * 1000 };

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---------------------------------------------------------------- --stat */

/* The figures of server.stats that a line shows, and how. */
enum shape { AS_RATE, AS_NUMBER, AS_BYTES };
static const struct column {
    const char *metric, *title;
    enum shape shape;
} columns[] = {
    {"requests_total", "requests/s", AS_RATE}, {"errors_total", "errors/s", AS_RATE},
    {"bytes_in_total", "in B/s", AS_RATE},     {"bytes_out_total", "out B/s", AS_RATE},
    {"sessions", "sessions", AS_NUMBER},       {"bytes_used", "memory", AS_BYTES},
    {"connections", "connections", AS_NUMBER},
};
enum { COLUMN_COUNT = sizeof columns / sizeof *columns };

/* A figure is NAN-free: one that the server does not know is shown as -. */
struct figures {
    bool is_known[COLUMN_COUNT];
    double value[COLUMN_COUNT];
    int64_t at_us;
};

static int read_figures(struct sessiond_client *client, struct figures *figures) {
    struct sessiond_value *stats;
    *figures = (struct figures){.at_us = 0};
    if (sessiond_server_stats(client, &stats)) return output_error(sessiond_client_error(client));
    struct mp_cursor cursor = {0};
    if (stats) cursor = mp_cursor_of(bytes_of(stats->value.bytes, stats->value.size));
    for (uint32_t left = stats ? mp_read_map(&cursor) : 0; left > 0 && !cursor.error; left--) {
        struct bytes name = mp_read_bytes(&cursor);
        struct mp_cursor number = mp_cursor_of(mp_read_value(&cursor, MP_DEPTH_MAX));
        double value = mp_read_double(&number);
        for (unsigned i = 0; i < COLUMN_COUNT; i++) {
            if (number.error || !bytes_equal(name, bytes_of_string(columns[i].metric))) continue;
            figures->is_known[i] = true;
            figures->value[i] = value;
        }
    }
    figures->at_us = now_us();
    sessiond_free(stats);
    return EXIT_FINE;
}

static void print_bytes(double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    printf(" %8.1f %-3s", bytes, units[unit]);
}

static void print_figures(const struct figures *before, const struct figures *after) {
    double seconds = (double)(after->at_us - before->at_us) / 1e6;
    for (unsigned i = 0; i < COLUMN_COUNT; i++) {
        if (!after->is_known[i])
            printf(" %12s", "-");
        else if (columns[i].shape == AS_RATE)
            printf(" %12.0f", (after->value[i] - before->value[i]) / seconds);
        else if (columns[i].shape == AS_NUMBER)
            printf(" %12.0f", after->value[i]);
        else
            print_bytes(after->value[i]);
    }
    putchar('\n');
    fflush(stdout);
}

int mode_stat(struct sessiond_client *client, uint64_t count) {
    struct figures before, after;
    int code = read_figures(client, &before);
    for (uint64_t line = 0; !code && (count == 0 || line < count); line++) {
        if (line % STAT_HEADER_EVERY == 0) {
            for (unsigned i = 0; i < COLUMN_COUNT; i++) printf(" %12s", columns[i].title);
            putchar('\n');
        }
        sleep(1);
        code = read_figures(client, &after);
        if (code) break;
        print_figures(&before, &after);
        before = after;
        if (ferror(stdout)) return EXIT_CONNECTION;
    }
    return code;
}

/* ---------------------------------------------------------------- --latency */

static int compare_times(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void print_latency(int64_t *times, uint64_t count) {
    int64_t sum = 0;
    qsort(times, count, sizeof *times, compare_times);
    for (uint64_t i = 0; i < count; i++) sum += times[i];
    printf("pings %llu  min %.3f ms  avg %.3f ms  p50 %.3f ms  p99 %.3f ms  max %.3f ms\n", (unsigned long long)count,
           (double)times[0] / 1e3, (double)sum / 1e3 / (double)count, (double)times[count / 2] / 1e3,
           (double)times[(count * 99 + 99) / 100 - 1] / 1e3, (double)times[count - 1] / 1e3);
}

int mode_latency(struct sessiond_client *client, uint64_t count) {
    if (count > LATENCY_MAX) return output_problem("--latency takes a --count of at most 10,000,000.");
    int64_t *times = malloc(count * sizeof *times);
    if (!times) return output_problem("Memory is lacking for so many pings; give a smaller --count.");
    int code = EXIT_FINE;
    uint64_t done = 0;
    for (; done < count && !code; done++) {
        int64_t begin = now_us();
        if (sessiond_server_ping(client, NULL)) code = output_error(sessiond_client_error(client));
        times[done] = now_us() - begin;
    }
    if (code) done--; /* the one that failed */
    if (done > 0) print_latency(times, done);
    free(times);
    return code;
}

/* ---------------------------------------------------------------- --scan */

int mode_scan(struct sessiond_client *client, const char *prefix, uint64_t count) {
    if (!*sessiond_client_namespace(client)) return output_problem("--scan needs a namespace: -n NAME, or in the URL.");
    struct sessiond_list_options options = {
        .prefix = *prefix ? prefix : NULL, .limit = SESSIOND_LIMIT_MAX_LIST, .fields = SESSIOND_FIELD_ID};
    char cursor[SESSIOND_LIMIT_MAX_TEXT + 1];
    for (uint64_t printed = 0;;) {
        struct sessiond_page *list;
        if (sessiond_list(client, &options, &list)) return output_error(sessiond_client_error(client));
        if (!list) return EXIT_FINE;
        for (size_t i = 0; i < list->count && (count == 0 || printed < count); i++, printed++) {
            const struct sessiond_record *record = list->sessions[i];
            if (record && record->id.text) fwrite(record->id.text, 1, record->id.size, stdout);
            putchar('\n');
        }
        bool is_over = !list->cursor.text || list->cursor.size > SESSIOND_LIMIT_MAX_TEXT ||
                       (count > 0 && printed >= count) || fflush(stdout) != 0;
        if (!is_over) memcpy(cursor, list->cursor.text, list->cursor.size + 1);
        options.cursor = cursor;
        sessiond_free(list);
        if (is_over) return EXIT_FINE;
    }
}
