/* Requests typed on a terminal: history, completion of methods and options, help.
 *
 * libedit's readline calls have state of their own and one completion function for the program; the only static data
 * here is what that function needs. One thread. */
#include <editline/readline.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "modes.h"

enum { HISTORY_MAX = 1000, PATH_SIZE = 1024 };

static const char *const own_commands[] = {"help", "use", "quit", NULL};
static struct sessiond_client *completing; /* whose namespace decides where options begin */
static const struct help_op *completing_op;

/* The next method or own command that begins with `text`; libedit calls with state 0 first. */
static char *next_method(const char *text, int state) {
    static size_t at;
    if (state == 0) at = 0;
    size_t own_count = sizeof own_commands / sizeof *own_commands - 1;
    for (;; at++) {
        const char *name = at < own_count ? own_commands[at] : help_ops[at - own_count].method;
        if (!name) return NULL;
        if (strncmp(name, text, strlen(text)) != 0) continue;
        at++;
        return strdup(name);
    }
}

static char *next_option(const char *text, int state) {
    static const struct help_argument *option;
    if (state == 0) option = completing_op->options;
    for (; option->name; option++) {
        if (strncmp(option->name, text, strlen(text)) != 0) continue;
        size_t size = strlen(option->name) + 2;
        char *match = malloc(size);
        if (match) snprintf(match, size, "%s=", option->name);
        option++;
        return match;
    }
    return NULL;
}

static char **complete(const char *text, int start, int end) {
    (void)end;
    rl_attempted_completion_over = 1; /* no file names */
    rl_completion_append_character = ' ';
    char *line = strndup(rl_line_buffer, (size_t)start), *words[WORDS_MAX], problem[COMMAND_PROBLEM_MAX],
         **matches = NULL;
    int count = line ? words_split(line, words, problem) : -1;
    if (count == 0 || (count == 1 && strcmp(words[0], "help") == 0)) {
        matches = rl_completion_matches(text, next_method);
    } else if (count > 0 && (completing_op = help_find(words[0])) &&
               (unsigned)count >= command_option_word(completing_op, sessiond_client_namespace(completing))) {
        rl_completion_append_character = '\0';
        matches = rl_completion_matches(text, next_option);
    }
    free(line);
    return matches;
}

/* Where the history is kept; "" where there is no home. */
static void history_path(char path[PATH_SIZE]) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int size = state && *state ? snprintf(path, PATH_SIZE, "%s/sessiond_cli_history", state)
               : home && *home ? snprintf(path, PATH_SIZE, "%s/.sessiond_cli_history", home)
                               : 0;
    if (size <= 0 || size >= PATH_SIZE) path[0] = '\0';
}

static void print_request(struct sessiond_client *client, const struct output *output,
                          struct sessiond_request *request) {
    uint64_t ticket;
    struct sessiond_reply *reply;
    if (sessiond_send(client, request, &ticket) || sessiond_receive(client, ticket, &reply)) {
        output_error(sessiond_client_error(client));
        return;
    }
    if (reply->error.code)
        output_error(&reply->error);
    else
        output_result(output, reply->result);
    sessiond_free(reply);
}

/* What watches have told meanwhile. */
static void print_events(struct sessiond_client *client) {
    struct sessiond_event *event;
    while (sessiond_event_next(client, 0, &event) == 0 && event) {
        print_event(event);
        sessiond_free(event);
    }
}

static void use_namespace(struct sessiond_client *client, const char *name) {
    if (sessiond_client_set_namespace(client, name)) output_error(sessiond_client_error(client));
}

/* Does what a line says; false: it says to end. */
static bool handle_line(struct sessiond_client *client, const struct output *output, char *line) {
    char *words[WORDS_MAX], problem[COMMAND_PROBLEM_MAX];
    int count = words_split(line, words, problem);
    if (count < 0) output_problem(problem);
    if (count <= 0) return true;
    if (strcmp(words[0], "quit") == 0 || strcmp(words[0], "exit") == 0) return false;
    if (strcmp(words[0], "help") == 0) {
        if (!help_print(stdout, count > 1 ? words[1] : NULL)) output_problem("No method and no error has that name.");
    } else if (strcmp(words[0], "use") == 0) {
        use_namespace(client, count > 1 ? words[1] : "");
    } else {
        struct sessiond_request *request =
            command_request(words, (unsigned)count, sessiond_client_namespace(client), NULL, problem);
        if (request)
            print_request(client, output, request);
        else
            output_problem(problem);
    }
    return true;
}

static void begin_history(const char *path) {
    using_history();
    stifle_history(HISTORY_MAX);
    if (*path) read_history(path);
}

static void end_history(const char *path) {
    if (!*path) return;
    mode_t before = umask(077); /* ids are secrets */
    write_history(path);
    umask(before);
}

int mode_interactive(struct sessiond_client *client, const struct output *output) {
    char path[PATH_SIZE], prompt[SESSIOND_LIMIT_MAX_NAMESPACE + 16];
    history_path(path);
    completing = client;
    rl_readline_name = "sessiond-cli";
    rl_attempted_completion_function = complete;
    begin_history(path);
    for (bool goes_on = true; goes_on;) {
        const char *name = sessiond_client_namespace(client);
        snprintf(prompt, sizeof prompt, "sessiond%s%s> ", *name ? " " : "", name);
        char *line = readline(prompt);
        if (!line) break;
        if (*line) add_history(line);
        goes_on = handle_line(client, output, line);
        print_events(client);
        free(line);
    }
    end_history(path);
    return EXIT_FINE;
}
