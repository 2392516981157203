/* A server that a user puts into the comparison by its command line. Main thread. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "spawn.h"

enum { PEERS_MAX = 8, PEER_TEXT_BYTES = 2048 };

/* Owned by whoever parsed it, and not moved: its words point into it. */
struct peer {
    char name[SERVER_NAME_BYTES];
    enum level level;
    const char *driver; /* that speaks its protocol */
    char text[PEER_TEXT_BYTES];
    const char *words[ARGUMENTS_MAX]; /* the program, then its arguments; ends with NULL */
};

/* Reads "NAME:PROTOCOL:COMMAND", or "NAME/LEVEL:PROTOCOL:COMMAND" for one that keeps its data: a protocol is resp or
 * meta, and the command is words between spaces, with '...' or "..." around those that hold some. False with a sentence
 * in *problem. */
bool peer_parse(struct peer *peer, const char *text, const char **problem);

/* How it is started; valid as long as the peer. */
void recipe_of_peer(struct server_recipe *recipe, const struct peer *peer, const char *scratch);

#endif
