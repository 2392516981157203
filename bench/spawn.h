/* Starts and ends the servers that are measured. Main thread.
 *
 * A server is a child of its own process group, which the kernel ends if we die first; we end it by its own id. What it
 * says goes into memory, not into a pipe that could fill up and stop it. */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include "scratch.h"

#include <stdint.h>

enum { ARGUMENTS_MAX = 64, SERVER_NAME_BYTES = 24 };

/* When a change is answered: at once, when the system has it, when it is synced. */
enum level { LEVEL_NONE, LEVEL_EVERYSEC, LEVEL_ALWAYS, LEVEL_COUNT };
extern const char *const level_names[LEVEL_COUNT];
bool level_find(const char *name, enum level *level);

struct server_process {
    const char *name;                 /* sessiond, redis, memcached, ceiling, or a peer's own */
    int pid;                          /* 0: not running */
    int said_fd;                      /* what it wrote to stdout and stderr */
    char address[64];                 /* host:port */
    char version[96];                 /* what --version answers, first line */
    char directory[SCRATCH_PATH_MAX]; /* where it keeps its data; empty: nowhere */
    bool is_directory_kept;           /* somebody else's */
};

/* What a server is in a comparison. */
enum role { ROLE_SESSIOND, ROLE_TWO_LOOPS, ROLE_LIBUV, ROLE_PEER, ROLE_CEILING };

struct server_recipe {
    const char *name;    /* of the server */
    const char *driver;  /* that speaks to it */
    const char *path;    /* of the program, looked up in PATH where it has no slash */
    const char *refusal; /* why it cannot be started at that level; NULL: it can */
    enum role role;
    enum level level;
    bool says_ready;                      /* chooses its port itself and prints event=ready ... tcp=HOST:PORT */
    bool has_two_cores;                   /* may use the next one too, if one is left for us */
    const char *scratch;                  /* where its directory is made */
    const char *arguments[ARGUMENTS_MAX]; /* ends with NULL; "{port}" is replaced by a free one, "{dir}" by its own */
};

/* Starts it on that core, or also on the next where it has two, and waits until it says it is ready, or takes
 * connections: at most thirty seconds. False with a sentence in `problem`, and nothing left running. A server whose
 * arguments name a directory gets one of its own. */
bool server_start(struct server_process *process, const struct server_recipe *recipe, int core, char *problem,
                  size_t problem_size);

/* The same in a directory that is there, and stays. */
bool server_start_in(struct server_process *process, const struct server_recipe *recipe, const char *directory,
                     int core, char *problem, size_t problem_size);

/* SIGTERM, ten seconds, SIGKILL; waits for its end, and removes its directory if that is its own. Does nothing for one
 * that is not running. */
void server_end(struct server_process *process);

/* True if the program can be found and may be started. */
bool program_exists(const char *path);

/* True where it is to get a directory. */
bool recipe_has_directory(const struct server_recipe *recipe);

struct options;
/* How the server of that name is started to be measured; false if there is no such server. What it points to is valid
 * as long as the options. */
bool recipe_find(struct server_recipe *recipe, const char *name, enum level level, const struct options *options);
/* Adds an argument; there is room for a few. */
void recipe_add(struct server_recipe *recipe, const char *argument);

#endif
