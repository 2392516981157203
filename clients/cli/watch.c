/* --watch: events as lines of JSON.
 *
 * It ends with its count, with stdout, or where the server refuses the watch; while there is no server it goes on
 * trying, and says so once. One thread. */
#include <string.h>

#include "command.h"
#include "modes.h"

enum { WAIT_MS = 1000 /* of one wait: between two, stdout's end is noticed */ };

bool print_event(const struct sessiond_event *event) {
    static const struct output lines = {{false, false}, false};
    return output_result(&lines, event->value);
}

/* Starts the watch that the words ask for; EXIT_FINE, or the exit code. */
static int start(struct sessiond_client *client, char *const *words, unsigned word_count) {
    char *all[WORDS_MAX] = {(char *)SESSIOND_METHOD_WATCH_START}, problem[COMMAND_PROBLEM_MAX];
    if (word_count >= WORDS_MAX) return output_problem("--watch got too many words.");
    memcpy(all + 1, words, word_count * sizeof *words);
    struct sessiond_request *request =
        command_request(all, word_count + 1, sessiond_client_namespace(client), NULL, problem);
    if (!request) return output_problem(problem);
    uint64_t ticket;
    struct sessiond_reply *reply;
    if (sessiond_send(client, request, &ticket) || sessiond_receive(client, ticket, &reply))
        return output_error(sessiond_client_error(client));
    int code = reply->error.code ? output_error(&reply->error) : EXIT_FINE;
    sessiond_free(reply);
    return code;
}

int mode_watch(struct sessiond_client *client, char *const *words, unsigned word_count, uint64_t count) {
    int code = start(client, words, word_count);
    bool is_told = false; /* that there is no server */
    for (uint64_t printed = 0; !code && (count == 0 || printed < count);) {
        struct sessiond_event *event;
        if (sessiond_event_next(client, WAIT_MS, &event)) {
            if (!is_told) output_error(sessiond_client_error(client));
            is_told = true;
        }
        if (!event) continue;
        is_told = false;
        bool is_over = event->kind == SESSIOND_EVENT_STOPPED;
        if (!print_event(event) || is_over) code = EXIT_CONNECTION;
        sessiond_free(event);
        printed++;
    }
    return code;
}
