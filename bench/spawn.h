/* Starts and ends the servers that are compared. Main thread.
 *
 * A server is a child of its own process group, which the kernel ends if we die first; we end it by its own id. What it
 * says goes into memory, not into a pipe that could fill up and stop it. */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVER_NAMES_MAX = 4 };

struct server_process {
    const char *name; /* sessiond, redis, memcached, ceiling */
    int pid;          /* 0: not running */
    int said_fd;      /* what it wrote to stdout and stderr */
    char address[64]; /* host:port */
    char version[96]; /* what --version answers, first line */
};

struct server_recipe {
    const char *name;             /* of the server */
    const char *driver;           /* that speaks to it */
    const char *path;             /* of the program, looked up in PATH where it has no slash */
    bool says_ready;              /* chooses its port itself and prints event=ready ... tcp=HOST:PORT */
    const char *const *arguments; /* ends with NULL; "PORT" is replaced by a free one */
};

/* Starts it on that core and waits until it says it is ready, or takes connections: at most ten seconds. False with a
 * sentence in `problem`, and nothing left running. */
bool server_start(struct server_process *process, const struct server_recipe *recipe, int core, char *problem,
                  size_t problem_size);

/* SIGTERM, two seconds, SIGKILL; waits for its end. Does nothing for one that is not running. */
void server_end(struct server_process *process);

/* True if the program can be found and may be started. */
bool program_exists(const char *path);

struct options;
/* How the server of that name is started for a comparison; false if there is no such server. What it points to is valid
 * as long as the options. */
bool recipe_find(struct server_recipe *recipe, const char *name, const struct options *options);

#endif
