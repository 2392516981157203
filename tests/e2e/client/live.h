/* A server of sessiond's own and a client on it, for each test of a suite:
 *
 *     TestSuite(name, .init = live_begin, .fini = live_end);
 *
 * Each test file has its own; Criterion runs each test in a process of its own. */
#ifndef TESTS_CLIENT_LIVE_H
#define TESTS_CLIENT_LIVE_H

#include <criterion/criterion.h>

#include "process.h"
#include "sessiond/client.h"

static struct server server;
static struct sessiond_client *client;

/* A machine that stands still for some seconds is not what these tests are about. */
static const struct sessiond_client_options patient = {.timeout_ms = 60000, .connect_timeout_ms = 60000};

static void live_begin(void) {
    server_start(&server);
    cr_assert_eq(sessiond_client_open(server.url, &patient, &client), 0, "%s", sessiond_client_error(client)->message);
}

static void live_end(void) {
    sessiond_client_close(client);
    server_kill(&server);
}

#define FINE(call) cr_assert_eq(call, 0, "%s: %s", #call, sessiond_client_error(client)->message)

#endif
