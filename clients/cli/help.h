/* What sessiond-cli knows of the protocol: the schema's operations with their documents, for help, completion and
 * reading arguments. help.gen.c is generated; nothing here is written twice. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct help_argument {
    const char *name; /* NULL: the end of the table */
    const char *type, *doc, *accepts;
    bool is_text; /* a word is taken as it is, never as JSON */
};

struct help_op {
    const char *method; /* NULL: the end of the table */
    unsigned positional_count;
    bool has_namespace; /* the first positional argument is the namespace */
    const char *doc, *reply, *errors, *example_params, *example_result;
    const struct help_argument *params, *options;
};

struct help_entry {
    const char *name, *doc; /* NULL: the end of the table */
};

extern const struct help_op help_ops[];
extern const struct help_entry help_errors[];

const struct help_op *help_find(const char *method); /* NULL: there is none */
const struct help_argument *help_option(const struct help_op *op, const char *name, size_t size); /* NULL: none */
/* Help on a method, on an error code, or (topic NULL) on all. False: nothing is known under that name. */
bool help_print(FILE *out, const char *topic);

#endif
