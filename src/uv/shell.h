/* The real world around the core: loops, sockets, time, signals.
 *
 * main opens a shell, opens an engine with the shell's env and time, and lets the shell serve until a signal ends it.
 * All on the main thread; the shell starts and joins the other loops' threads itself. */
#ifndef UV_SHELL_H
#define UV_SHELL_H

#include "config/options.h"
#include "sessiond/engine.h"
#include "sessiond/env.h"

struct shell;

/* Reads the options as they stand now in all places, which SIGHUP asks for. False: they are refused, and `error` says
 * why. Blocks; one call at a time, on any thread. */
typedef bool (*shell_read_options)(void *context, struct options *next, char error[OPTIONS_ERROR_MAX]);

/* Takes over the log and the signals of the process, and learns how many loops there are. `options` lives as long as
 * the shell, which changes its reloadable values at SIGHUP. With durability the data directory is taken then. NULL: it
 * could not begin, and has said why on stderr. */
struct shell *shell_open(struct options *options, shell_read_options read_options, void *read_options_context);
unsigned shell_loop_count(const struct shell *shell);
const struct env *shell_env(const struct shell *shell); /* lives as long as the shell */
int64_t shell_now_ms(const struct shell *shell);
/* For the engine's options; NULL: nothing is kept. */
struct journal *shell_journal(const struct shell *shell);
/* Listens, prints the line event=ready to stdout and serves until SIGTERM or SIGINT; all connections are closed then.
 * Answers the exit status of the process; 1 and an error on stderr where it could not begin. The engine stays the
 * caller's, and is called no more afterwards. */
int shell_serve(struct shell *shell, struct engine *engine);
/* In place of serving (--repair, --accept-clock): recovers with the liberties that the options give, ends in order, and
 * says on stdout what was done. Answers the exit status of the process. */
int shell_recover(struct shell *shell, struct engine *engine);
void shell_close(struct shell *shell); /* after the engine's close */

/* --rotate-keys, in place of all of this: gives the key file a new token key. Answers the exit status of the process,
 * and says on stdout what was done or on stderr why nothing was. */
int shell_rotate_keys(const struct options *options);

#endif
