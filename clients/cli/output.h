/* What sessiond-cli writes: results to stdout, errors as one line to stderr. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "json.h"
#include "sessiond/client.h"

enum { EXIT_FINE = 0, EXIT_ERROR_REPLY = 1, EXIT_USAGE = 2, EXIT_CONNECTION = 3 };

struct output {
    struct json_style style;
    bool is_raw; /* texts and bytes as they are, without quotes */
};

/* For stdout as it is: indented and coloured on a terminal (no colour with NO_COLOR set), one line otherwise. */
struct output output_for_stdout(bool is_raw);
/* Prints a result and a line end; false: stdout is broken. */
bool output_result(const struct output *output, struct sessiond_bytes result);
/* An error, as one line on stderr; answers the exit code that fits. */
int output_error(const struct sessiond_error *error);
/* The error of a reply on stdout, as {"$error": {...}} in one line, for --pipe. */
bool output_error_line(const struct sessiond_reply *reply);
/* One line on stderr; answers EXIT_USAGE. */
int output_problem(const char *problem);

#endif
