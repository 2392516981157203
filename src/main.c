/* sessiond: options, world, engine, server, and out again in reverse order. */
#define _GNU_SOURCE /* environ */
#include "config/options.h"
#include "op/engine_options.h"
#include "sessiond/engine.h"
#include "uv/shell.h"

#include <unistd.h>

struct command_line {
    int argc;
    char **argv;
};

static bool read_options_again(void *context, struct options *next, char error[OPTIONS_ERROR_MAX]) {
    const struct command_line *line = context;
    if (options_load(next, line->argc, line->argv, environ, error) == OPTIONS_RUN) return true;
    options_fini(next);
    return false;
}

static struct engine *engine_open(const struct shell *shell, const struct options *options) {
    struct engine_options engine_options = {
        .loop_count = shell_loop_count(shell),
        .now_ms = shell_now_ms(shell),
        .limits = {.max_memory = (uint64_t)options->max_memory, .max_namespaces = (uint32_t)options->max_namespaces},
        .env = shell_env(shell),
        .journal = shell_journal(shell)};
    engine_options_fill(&engine_options);
    return memory_engine_open(&engine_options);
}

/* `run` is what the command line asked for: to serve, or only to recover. */
static int serve(struct options *options, struct command_line *line, int (*run)(struct shell *, struct engine *)) {
    int status = 1;
    struct shell *shell = shell_open(options, read_options_again, line);
    struct engine *engine = shell ? engine_open(shell, options) : NULL;
    if (engine)
        status = run(shell, engine);
    else if (shell)
        fprintf(stderr, "sessiond: there is not enough memory to begin\n");
    if (engine) engine->vtable->close(engine);
    if (shell) shell_close(shell);
    return status;
}

int main(int argc, char **argv) {
    struct command_line line = {argc, argv};
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    int status = 0;
    switch (options_load(&options, argc, argv, environ, error)) {
    case OPTIONS_RUN: status = serve(&options, &line, shell_serve); break;
    case OPTIONS_RECOVER: status = serve(&options, &line, shell_recover); break;
    case OPTIONS_ROTATE_KEYS: status = shell_rotate_keys(&options); break;
    case OPTIONS_HELP: options_print_help(stdout); break;
    case OPTIONS_HELP_MARKDOWN: options_print_markdown(stdout); break;
    case OPTIONS_VERSION: printf("sessiond %s\n", SESSIOND_VERSION); break;
    case OPTIONS_REFUSED:
        fprintf(stderr, "sessiond: %s\n", error);
        status = 2;
        break;
    }
    options_fini(&options);
    return status;
}
