/* How each server is started to be measured: one thread, loopback, enough memory that nothing is evicted, and on disk
 * what the level asks for. Everything else is left as its makers set it. See spawn.h. */
#define _GNU_SOURCE
#include "options.h"
#include "spawn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Connections above what the largest cell opens. */
#define CONNECTIONS "20000"

const char *const level_names[LEVEL_COUNT] = {"none", "everysec", "always"};

bool level_find(const char *name, enum level *level) {
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(level_names[i], name) != 0) continue;
        *level = (enum level)i;
        return true;
    }
    return false;
}

/* A part of a command line, ending with NULL. */
typedef const char *const part[];

static part sessiond_parts = {"--bind",    "127.0.0.1", "--port", "0", "--max-connections",
                              CONNECTIONS, "--threads", NULL};
static part redis_parts = {"--port", "{port}",      "--bind", "127.0.0.1",    "--save",    "",  "--io-threads",
                           "1",      "--daemonize", "no",     "--maxclients", CONNECTIONS, NULL};
/* memcached refuses to run as root without being told who to be; anyone else ignores -u. */
static part memcached_parts = {"-p", "{port}", "-l", "127.0.0.1", "-U", "0",    "-t", "1",
                               "-m", "4096",   "-c", CONNECTIONS, "-u", "root", NULL};

static part sessiond_kept = {"--data-dir", "{dir}", NULL};
static part redis_lost = {"--appendonly", "no", NULL};
static part redis_kept = {"--dir", "{dir}", "--appendonly", "yes", "--appendfsync", NULL};
/* Each goes on with its log: what writing everything anew costs is measured by itself. */
static part sessiond_uncompacted = {"--snapshot-interval", "0", "--snapshot-log-size", "0", NULL};
static part redis_uncompacted = {"--auto-aof-rewrite-percentage", "0", NULL};

void recipe_add(struct server_recipe *recipe, const char *argument) {
    unsigned count = 0;
    while (recipe->arguments[count]) count++;
    assert(count + 1 < ARGUMENTS_MAX);
    recipe->arguments[count] = argument;
}

static void recipe_add_all(struct server_recipe *recipe, const char *const *arguments) {
    while (*arguments) recipe_add(recipe, *arguments++);
}

static void add_loops(struct server_recipe *recipe, const char *loops, bool compacts) {
    recipe_add_all(recipe, sessiond_parts);
    recipe_add(recipe, loops);
    recipe_add(recipe, "--durability");
    recipe_add(recipe, level_names[recipe->level]);
    if (recipe->level == LEVEL_NONE) return;
    recipe_add_all(recipe, sessiond_kept);
    if (!compacts) recipe_add_all(recipe, sessiond_uncompacted);
}

static void add_sessiond(struct server_recipe *recipe, bool compacts) {
    add_loops(recipe, "1", compacts);
}

static void add_two_loops(struct server_recipe *recipe, bool compacts) {
    if (recipe->level != LEVEL_NONE) recipe->refusal = "two loops are compared with one where nothing is kept";
    add_loops(recipe, "2", compacts);
}

/* What sessiond would be without io_uring. */
static void add_libuv(struct server_recipe *recipe, bool compacts) {
    add_loops(recipe, "1", compacts);
    recipe_add(recipe, "--transport");
    recipe_add(recipe, "libuv");
}

static void add_redis(struct server_recipe *recipe, bool compacts) {
    recipe_add_all(recipe, redis_parts);
    recipe_add_all(recipe, recipe->level == LEVEL_NONE ? redis_lost : redis_kept);
    if (recipe->level == LEVEL_NONE) return;
    recipe_add(recipe, level_names[recipe->level]);
    if (!compacts) recipe_add_all(recipe, redis_uncompacted);
}

static void add_memcached(struct server_recipe *recipe, bool compacts) {
    (void)compacts;
    if (recipe->level != LEVEL_NONE) recipe->refusal = "it keeps nothing on disk";
    recipe_add_all(recipe, memcached_parts);
}

static void add_ceiling(struct server_recipe *recipe, bool compacts) {
    (void)compacts;
    if (recipe->level != LEVEL_NONE) recipe->refusal = "it keeps nothing on disk";
}

/* The program of that name in the directory of this one. */
static const char *beside(const char *name, char *path, size_t size) {
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length <= 0) return name;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash + 1, size - (size_t)(slash + 1 - path), "%s", name);
    return path;
}

bool recipe_find(struct server_recipe *recipe, const char *name, enum level level, const struct options *options) {
    static char sessiond_path[4096], ceiling_path[4096];
    const char *sessiond =
        options->sessiond ? options->sessiond : beside("sessiond", sessiond_path, sizeof sessiond_path);
    const char *ceiling =
        options->ceiling ? options->ceiling : beside("sessiond-ceiling", ceiling_path, sizeof ceiling_path);
    const struct {
        const char *name, *driver, *path;
        enum role role;
        bool says_ready, has_two_cores;
        void (*add)(struct server_recipe *recipe, bool compacts);
    } servers[] = {{"sessiond", "sessiond", sessiond, ROLE_SESSIOND, true, false, add_sessiond},
                   {"sessiond-2", "sessiond", sessiond, ROLE_TWO_LOOPS, true, true, add_two_loops},
                   {"sessiond-libuv", "sessiond", sessiond, ROLE_LIBUV, true, false, add_libuv},
                   {"redis", "redis", options->redis, ROLE_PEER, false, false, add_redis},
                   {"memcached", "memcached", options->memcached, ROLE_PEER, false, false, add_memcached},
                   {"ceiling", "echo", ceiling, ROLE_CEILING, true, false, add_ceiling}};
    for (unsigned i = 0; i < sizeof servers / sizeof *servers; i++) {
        if (strcmp(servers[i].name, name) != 0) continue;
        *recipe = (struct server_recipe){.name = servers[i].name,
                                         .driver = servers[i].driver,
                                         .path = servers[i].path,
                                         .role = servers[i].role,
                                         .level = level,
                                         .says_ready = servers[i].says_ready,
                                         .has_two_cores = servers[i].has_two_cores,
                                         .scratch = options->scratch};
        servers[i].add(recipe, options->compacts);
        return true;
    }
    return false;
}
