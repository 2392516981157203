/* `sessiond-cli snapshot`: asks for one, and waits until it is whole. */
#include "modes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_EVERY_US = 50 * 1000 };

/* What server.stats tells of snapshots. */
struct progress {
    int64_t newest, failures;
    bool has_failed;
};

static int read_progress(struct sessiond_client *client, struct progress *progress) {
    struct sessiond_value *stats;
    *progress = (struct progress){0};
    if (sessiond_server_stats(client, &stats)) return output_error(sessiond_client_error(client));
    struct mp_cursor cursor = {0};
    if (stats) cursor = mp_cursor_of(bytes_of(stats->value.bytes, stats->value.size));
    for (uint32_t left = stats ? mp_read_map(&cursor) : 0; left > 0 && !cursor.error; left--) {
        struct bytes name = mp_read_bytes(&cursor);
        struct mp_cursor number = mp_cursor_of(mp_read_value(&cursor, MP_DEPTH_MAX));
        int64_t value = (int64_t)mp_read_double(&number);
        if (bytes_equal(name, BYTES_LITERAL("snapshot_number"))) progress->newest = value;
        if (bytes_equal(name, BYTES_LITERAL("snapshot_failures_total"))) progress->failures = value;
        if (bytes_equal(name, BYTES_LITERAL("storage_failed_total"))) progress->has_failed = value > 0;
    }
    sessiond_free(stats);
    return EXIT_FINE;
}

int mode_snapshot(struct sessiond_client *client) {
    struct sessiond_snapshot *asked;
    if (sessiond_server_snapshot(client, &asked)) return output_error(sessiond_client_error(client));
    int64_t number = asked->number, failures = asked->failures;
    sessiond_free(asked);
    for (;;) {
        struct progress progress;
        int code = read_progress(client, &progress);
        if (code) return code;
        if (progress.newest >= number) break;
        if (progress.has_failed || progress.failures > failures) {
            fprintf(stderr, "The snapshot came to nothing; the server's log says why.\n");
            return EXIT_ERROR_REPLY;
        }
        usleep(LOOK_EVERY_US);
    }
    printf("snapshot %lld is made\n", (long long)number);
    return EXIT_FINE;
}
