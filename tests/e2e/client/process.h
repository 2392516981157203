/* Processes of a test: a sessiond of its own, and programs that are run to their end. Paths come from the build. */
#ifndef E2E_CLIENT_PROCESS_H
#define E2E_CLIENT_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

struct server {
    pid_t pid;
    uint16_t port; /* 0 before the first start; kept over a restart */
    char url[64];  /* with the namespace web */
    char socket_path[100];
    char socket_url[160];
};

/* A port below those that the system hands out by itself: what has it may be stopped for a while, and nobody else who
 * asks for any port is given it meanwhile. Somebody may listen there already: then draw again. */
uint16_t port_draw(void);

/* Starts sessiond and waits until it is ready; asserts that it is. */
void server_start(struct server *server);
void server_kill(struct server *server); /* kill -9, and waits for its end */

struct ran {
    int code;                        /* exit code; -1: it ended otherwise, or did not end within 100 s */
    char out[1 << 16], err[1 << 14]; /* what it wrote, cut to fit */
};

/* Runs a program with arguments up to NULL, with `input` on its stdin. */
void run_program(struct ran *ran, const char *input, const char *program, ...) __attribute__((sentinel));

/* The same on a terminal, whose keys are `keys`; what is seen on it is ran->out. */
void run_on_terminal(struct ran *ran, const char *keys, const char *program, ...) __attribute__((sentinel));

#endif
