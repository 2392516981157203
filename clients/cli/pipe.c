/* --pipe: a request a line, pipelined, and a line for each answer in the order of the requests.
 *
 * Always true: at most WINDOW requests are under way; before the program sleeps for more input, all that was asked so
 * far is answered and printed, so that a program on both ends of the pipe can wait for each line. One thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "modes.h"

enum { WINDOW = 1024 };

struct pipe {
    struct sessiond_client *client;
    const struct output *output;
    uint64_t tickets[WINDOW]; /* a ring; 0: a line that was no request, answered in its turn */
    char *problems[WINDOW];   /* what was wrong with it; owned */
    size_t first, count;
    int code;       /* the exit code so far */
    bool is_broken; /* stdout takes no more, or the connection is gone for good */
    char *input;    /* LINE_MAX_BYTES + 1 */
    size_t size;
};

/* Prints a line for a request that never was, in the form of a server's error. */
static void print_problem(struct pipe *pipe, const char *code_name, const char *problem) {
    struct sessiond_reply reply = {.error = {.code = SESSIOND_ERROR_ARGUMENT}};
    snprintf(reply.error.code_name, sizeof reply.error.code_name, "%s", code_name);
    snprintf(reply.error.message, sizeof reply.error.message, "%s", problem);
    pipe->code = EXIT_ERROR_REPLY;
    if (!output_error_line(&reply)) pipe->is_broken = true;
}

/* Takes and prints the oldest answer. */
static void take_one(struct pipe *pipe) {
    size_t at = pipe->first;
    pipe->first = (pipe->first + 1) % WINDOW;
    pipe->count--;
    if (!pipe->tickets[at]) {
        print_problem(pipe, "ARGUMENT", pipe->problems[at] ? pipe->problems[at] : "Memory is lacking.");
        free(pipe->problems[at]);
        pipe->problems[at] = NULL;
        return;
    }
    struct sessiond_reply *reply;
    if (sessiond_receive(pipe->client, pipe->tickets[at], &reply)) {
        const struct sessiond_error *error = sessiond_client_error(pipe->client);
        print_problem(pipe, error->code_name, error->message);
        pipe->code = EXIT_CONNECTION;
        return;
    }
    bool is_fine = reply->error.code ? output_error_line(reply) : output_result(pipe->output, reply->result);
    if (reply->error.code && !pipe->code) pipe->code = EXIT_ERROR_REPLY;
    if (!is_fine) pipe->is_broken = true;
    sessiond_free(reply);
}

/* Sends what a line asks for; an empty one, or a comment, asks for nothing and gets no line. */
static void send_line(struct pipe *pipe, char *line) {
    char *words[WORDS_MAX], problem[COMMAND_PROBLEM_MAX];
    int count = words_split(line, words, problem);
    if (count == 0 || (count > 0 && words[0][0] == '#')) return;
    if (pipe->count == WINDOW) take_one(pipe);
    size_t at = (pipe->first + pipe->count++) % WINDOW;
    pipe->tickets[at] = 0;
    pipe->problems[at] = NULL;
    struct sessiond_request *request = NULL;
    if (count > 0)
        request = command_request(words, (unsigned)count, sessiond_client_namespace(pipe->client), NULL, problem);
    if (!request) {
        pipe->problems[at] = strdup(problem);
    } else if (sessiond_send(pipe->client, request, &pipe->tickets[at])) {
        pipe->tickets[at] = 0;
        pipe->problems[at] = strdup(sessiond_client_error(pipe->client)->message);
    }
}

/* Sends all whole lines of the input, and keeps the rest. */
static void send_lines(struct pipe *pipe, bool is_end) {
    char *at = pipe->input, *end = pipe->input + pipe->size, *stop;
    while (!pipe->is_broken && (stop = memchr(at, '\n', (size_t)(end - at)))) {
        *stop = '\0';
        send_line(pipe, at);
        at = stop + 1;
    }
    if (is_end && at < end && !pipe->is_broken) {
        *end = '\0';
        send_line(pipe, at);
        at = end;
    }
    pipe->size = (size_t)(end - at);
    memmove(pipe->input, at, pipe->size);
}

int mode_pipe(struct sessiond_client *client, const struct output *output) {
    struct pipe pipe = {.client = client, .output = output, .input = malloc(LINE_MAX_BYTES + 1)};
    if (!pipe.input) return output_problem("Memory is lacking for a line.");
    for (bool is_end = false; !is_end && !pipe.is_broken;) {
        if (pipe.size == LINE_MAX_BYTES) {
            pipe.code = output_problem("A line is longer than 4 MiB.");
            break;
        }
        while (pipe.count > 0 && !pipe.is_broken) take_one(&pipe);
        ssize_t count = read(STDIN_FILENO, pipe.input + pipe.size, LINE_MAX_BYTES - pipe.size);
        if (count < 0 && errno == EINTR) continue;
        is_end = count <= 0;
        pipe.size += is_end ? 0 : (size_t)count;
        send_lines(&pipe, is_end);
    }
    while (pipe.count > 0 && !pipe.is_broken) take_one(&pipe);
    for (size_t i = 0; i < WINDOW; i++) free(pipe.problems[i]);
    free(pipe.input);
    return pipe.code;
}
