/* Which transport the loops use: the option's, or what this machine and this build have.
 *
 * Always true: all loops use the same one, and it is chosen before the first loop is opened. On the main thread. */
#include "uv/internal.h"

#include <stdio.h>
#ifdef SESSIOND_HAS_IO_URING
#include "uv/ring.h"
#endif

enum choice { CHOICE_AUTO, CHOICE_LIBUV, CHOICE_IO_URING }; /* as in options.def */

#ifdef SESSIOND_HAS_IO_URING

static void rings_close(struct shell *shell) {
    for (unsigned i = 0; i < shell->loop_count; i++) {
        if (shell->rings[i]) ring_close(shell->rings[i]);
        shell->rings[i] = NULL;
    }
}

/* A ring for each loop, or none at all. */
static bool rings_open(struct shell *shell, char *error, size_t error_size) {
    if (!ring_probe(error, error_size)) return false;
    for (unsigned i = 0; i < shell->loop_count; i++) {
        if ((shell->rings[i] = ring_open(error, error_size))) continue;
        rings_close(shell);
        return false;
    }
    shell->transport = &transport_ring;
    return true;
}

#else

static void rings_close(struct shell *shell) {
    (void)shell;
}

static bool rings_open(struct shell *shell, char *error, size_t error_size) {
    (void)shell;
    snprintf(error, error_size, "this program was built without it; build with liburing");
    return false;
}

#endif

bool transport_open(struct shell *shell, char *error, size_t error_size) {
    char reason[STORAGE_ERROR_MAX / 2];
    shell->transport = &transport_libuv;
    bool is_auto = shell->options->transport == CHOICE_AUTO;
    if (shell->options->transport == CHOICE_LIBUV) return true;
    /* Rings would take the files that the loops, the listeners and the connections still need. */
    bool may_open = !is_auto || !limits_are_narrow(shell, reason, sizeof reason);
    if (may_open && rings_open(shell, reason, sizeof reason)) return true;
    if (is_auto) {
        log_event(LOG_INFO, "transport_libuv", LOG_TEXT("why", reason));
        return true;
    }
    snprintf(error, error_size, "transport io_uring cannot be had: %s; give transport libuv, or auto", reason);
    return false;
}

void transport_close(struct shell *shell) {
    rings_close(shell);
}
