/* What sessiond-cli does besides one request: each mode runs until its end, its count or a lost connection, and answers
 * the exit code. */
#ifndef CLI_MODES_H
#define CLI_MODES_H

#include "output.h"

/* A line a second from server.stats; `count` lines, 0: without end. */
int mode_stat(struct sessiond_client *client, uint64_t count);
/* `count` pings one after the other, and what they took. */
int mode_latency(struct sessiond_client *client, uint64_t count);
/* The ids of the client's namespace that begin with `prefix`, one a line; at most `count`, 0: all. */
int mode_scan(struct sessiond_client *client, const char *prefix, uint64_t count);
/* Has the server make a snapshot of what it keeps, and waits until it is whole. */
int mode_snapshot(struct sessiond_client *client);
/* A request a line from stdin, pipelined; a line of JSON for each on stdout, in their order. */
int mode_pipe(struct sessiond_client *client, const struct output *output);
/* Starts a watch with the words behind its method, and prints each event as a line of JSON: `count` of them, 0: without
 * end. A lost connection is made again, and what that means for the events is a line too. */
int mode_watch(struct sessiond_client *client, char *const *words, unsigned word_count, uint64_t count);
/* Prints an event as one line of JSON; false: stdout is broken. */
bool print_event(const struct sessiond_event *event);
/* Requests typed on a terminal. */
int mode_interactive(struct sessiond_client *client, const struct output *output);

#endif
