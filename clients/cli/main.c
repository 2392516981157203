/* sessiond-cli: one request from the command line, or one of the modes.
 *
 * Exit codes: 0 fine; 1 the server answered an error; 2 the command line is wrong; 3 no connection, or no answer.
 * Results go to stdout, errors as one line to stderr. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "modes.h"

static const char usage[] =
    "sessiond-cli [-u URL] [-n NAMESPACE] [--timeout MS] [--raw] METHOD [ARGUMENT...] [OPTION=VALUE...]\n"
    "sessiond-cli [-u URL] [-n NAMESPACE]                  requests typed on a terminal\n"
    "sessiond-cli [-u URL] [-n NAMESPACE] --pipe           a request a line from stdin, an answer a line on stdout\n"
    "sessiond-cli [-u URL] -n NAMESPACE --scan PREFIX      the ids that begin with PREFIX (\"\" for all)\n"
    "sessiond-cli [-u URL] [-n NAMESPACE] --watch [OPTION=VALUE...]\n"
    "                                                      a line for each event, until it is interrupted\n"
    "sessiond-cli [-u URL] --stat | --latency              figures of the server, and of the way to it\n"
    "sessiond-cli [-u URL] snapshot                        has a snapshot made, and waits until it is whole\n"
    "sessiond-cli help [METHOD | ERROR]                    every method, or one with its arguments and an example\n"
    "\n"
    "  -u, --url URL        sessiond://host:7420/namespace or sessiond+unix:///path?namespace=name;\n"
    "                       without it SESSIOND_URL, and without that sessiond://127.0.0.1:7420\n"
    "  -n, --namespace N    stands for the first argument of every method that takes a namespace\n"
    "      --timeout MS     longest wait for an answer; 2000\n"
    "      --raw            texts and bytes as they are, without quotes\n"
    "      --count N        lines of --stat and --watch (0: no end), pings of --latency (1000), ids of --scan (0: "
    "all)\n"
    "  -h, --help           this; --version: the version\n"
    "\n"
    "Arguments: ids and other texts as they are; everything else is JSON, or a string where it is no JSON; - reads "
    "one\n"
    "from stdin. Options: name=value, or a JSON map. {\"$bin\": \"base64\"} is bytes; see clients/cli/README.md.\n"
    "\n"
    "  sessiond-cli session.set web s1 '{\"cart\": [3]}' user=ann\n"
    "  sessiond-cli -n web session.get s1 touch=true\n"
    "  sessiond-cli -n web --watch 'kinds=[\"expired\", \"revoked\"]' user=ann\n"
    "\n"
    "Exit codes: 0 fine, 1 the server answered an error, 2 wrong command line, 3 no connection or no answer.\n";

enum mode { MODE_REQUEST, MODE_STAT, MODE_LATENCY, MODE_SCAN, MODE_PIPE, MODE_WATCH };

struct settings {
    const char *url, *namespace_name, *prefix;
    enum mode mode;
    bool is_raw, has_count;
    uint64_t count;
    int64_t timeout_ms;
};

/* A number from the command line; false: it is none. */
static bool read_number(const char *text, uint64_t max, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return !errno && *end == '\0' && *text >= '0' && *text <= '9' && *number <= max;
}

enum {
    OPTION_TIMEOUT = 256,
    OPTION_RAW,
    OPTION_COUNT,
    OPTION_STAT,
    OPTION_LATENCY,
    OPTION_SCAN,
    OPTION_PIPE,
    OPTION_WATCH,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"url", required_argument, NULL, 'u'},
    {"namespace", required_argument, NULL, 'n'},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"stat", no_argument, NULL, OPTION_STAT},
    {"latency", no_argument, NULL, OPTION_LATENCY},
    {"scan", required_argument, NULL, OPTION_SCAN},
    {"pipe", no_argument, NULL, OPTION_PIPE},
    {"watch", no_argument, NULL, OPTION_WATCH},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* Takes one option; -1: go on, else the exit code. */
static int take_option(struct settings *settings, int option, const char *value) {
    uint64_t number;
    switch (option) {
    case 'u': settings->url = value; return -1;
    case 'n': settings->namespace_name = value; return -1;
    case OPTION_RAW: settings->is_raw = true; return -1;
    case OPTION_STAT: settings->mode = MODE_STAT; return -1;
    case OPTION_LATENCY: settings->mode = MODE_LATENCY; return -1;
    case OPTION_PIPE: settings->mode = MODE_PIPE; return -1;
    case OPTION_WATCH: settings->mode = MODE_WATCH; return -1;
    case OPTION_SCAN:
        settings->mode = MODE_SCAN;
        settings->prefix = value;
        return -1;
    case OPTION_TIMEOUT:
        if (!read_number(value, 3600000, &number) || number == 0)
            return output_problem("--timeout takes milliseconds from 1 to 3600000.");
        settings->timeout_ms = (int64_t)number;
        return -1;
    case OPTION_COUNT:
        settings->has_count = true;
        return read_number(value, UINT64_C(1) << 53, &settings->count) ? -1 : output_problem("--count takes a number.");
    case 'h': fputs(usage, stdout); return EXIT_FINE;
    case OPTION_VERSION: printf("sessiond-cli %s\n", SESSIOND_VERSION); return EXIT_FINE;
    default: return EXIT_USAGE; /* getopt has said what is wrong */
    }
}

static int one_request(struct sessiond_client *client, const struct output *output, char **words, int count) {
    char problem[COMMAND_PROBLEM_MAX];
    struct sessiond_request *request =
        command_request(words, (unsigned)count, sessiond_client_namespace(client), stdin, problem);
    if (!request) return output_problem(problem);
    uint64_t ticket;
    struct sessiond_reply *reply;
    if (sessiond_send(client, request, &ticket) || sessiond_receive(client, ticket, &reply))
        return output_error(sessiond_client_error(client));
    int code = reply->error.code ? output_error(&reply->error) : EXIT_FINE;
    if (!code && !output_result(output, reply->result)) code = EXIT_CONNECTION;
    sessiond_free(reply);
    return code;
}

static int run(struct sessiond_client *client, const struct settings *settings, char **words, int count) {
    struct output output = output_for_stdout(settings->is_raw);
    switch (settings->mode) {
    case MODE_STAT: return mode_stat(client, settings->count);
    case MODE_LATENCY: return mode_latency(client, settings->has_count && settings->count ? settings->count : 1000);
    case MODE_SCAN: return mode_scan(client, settings->prefix, settings->count);
    case MODE_WATCH: return mode_watch(client, words, (unsigned)count, settings->count);
    case MODE_REQUEST:
        if (count == 1 && strcmp(words[0], "snapshot") == 0) return mode_snapshot(client);
        if (count > 0) return one_request(client, &output, words, count);
        if (isatty(STDIN_FILENO)) return mode_interactive(client, &output);
        break; /* a pipe on stdin and no request: the requests are in it */
    case MODE_PIPE: break;
    }
    output.style = (struct json_style){false, false};
    return mode_pipe(client, &output);
}

static int connect_and_run(const struct settings *settings, char **words, int count) {
    struct sessiond_client_options options = {.timeout_ms = settings->timeout_ms, .client_name = "sessiond-cli"};
    struct sessiond_client *client;
    int code = sessiond_client_open(settings->url, &options, &client);
    if (!code && settings->namespace_name) code = sessiond_client_set_namespace(client, settings->namespace_name);
    if (!client)
        code = output_problem("Memory is lacking.");
    else if (code)
        code = output_error(sessiond_client_error(client));
    else
        code = run(client, settings, words, count);
    sessiond_client_close(client);
    return code;
}

int main(int argc, char **argv) {
    const char *url = getenv("SESSIOND_URL");
    struct settings settings = {.url = url && *url ? url : "sessiond://127.0.0.1:7420"};
    signal(SIGPIPE, SIG_IGN);
    /* + : options end at the method, so that an argument may begin with - */
    for (int option; (option = getopt_long(argc, argv, "+u:n:h", long_options, NULL)) != -1;) {
        int code = take_option(&settings, option, optarg);
        if (code >= 0) return code;
    }
    char **words = argv + optind;
    int count = argc - optind;
    if (count > 0 && settings.mode != MODE_REQUEST && settings.mode != MODE_WATCH)
        return output_problem("--stat, --latency, --scan and --pipe take no method; `sessiond-cli --help` shows how.");
    if (count > 0 && strcmp(words[0], "help") == 0)
        return help_print(stdout, words[1])
                   ? EXIT_FINE
                   : output_problem("No method and no error has that name; try `sessiond-cli help`.");
    return connect_and_run(&settings, words, count);
}
