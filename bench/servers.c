/* How each server is started to be measured: one thread, nothing on disk, loopback, enough memory that nothing is
 * evicted. Everything else is left as its makers set it. See spawn.h. */
#define _GNU_SOURCE
#include "options.h"
#include "spawn.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Connections above what the largest cell opens. */
#define CONNECTIONS "20000"

static const char *const sessiond_arguments[] = {
    "--bind", "127.0.0.1",         "--port",    "0", "--threads", "1", "--durability",
    "none",   "--max-connections", CONNECTIONS, NULL};
static const char *const redis_arguments[] = {
    "--port", "PORT",        "--bind", "127.0.0.1",    "--save",    "",  "--appendonly", "no", "--io-threads",
    "1",      "--daemonize", "no",     "--maxclients", CONNECTIONS, NULL};
/* memcached refuses to run as root without being told who to be; anyone else ignores -u. */
static const char *const memcached_arguments[] = {"-p", "PORT", "-l", "127.0.0.1", "-U", "0",    "-t", "1",
                                                  "-m", "4096", "-c", CONNECTIONS, "-u", "root", NULL};
static const char *const ceiling_arguments[] = {NULL};

/* The program of that name in the directory of this one. */
static const char *beside(const char *name, char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) return name;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash + 1, size - (size_t)(slash + 1 - path), "%s", name);
    return path;
}

bool recipe_find(struct server_recipe *recipe, const char *name, const struct options *options) {
    static char sessiond_path[4096], ceiling_path[4096];
    const char *sessiond =
        options->sessiond ? options->sessiond : beside("sessiond", sessiond_path, sizeof sessiond_path);
    const char *ceiling =
        options->ceiling ? options->ceiling : beside("sessiond-ceiling", ceiling_path, sizeof ceiling_path);
    const struct server_recipe recipes[] = {
        {"sessiond", "sessiond", sessiond, true, sessiond_arguments},
        {"redis", "redis", options->redis, false, redis_arguments},
        {"memcached", "memcached", options->memcached, false, memcached_arguments},
        {"ceiling", "echo", ceiling, true, ceiling_arguments},
    };
    for (unsigned i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        if (strcmp(recipes[i].name, name) != 0) continue;
        *recipe = recipes[i];
        return true;
    }
    return false;
}
