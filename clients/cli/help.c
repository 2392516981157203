/* Help from the schema. */
#include "help.h"

#include <string.h>
#include <strings.h>

enum { WIDTH = 100 };

const struct help_op *help_find(const char *method) {
    const struct help_op *op = help_ops;
    while (op->method && strcmp(op->method, method) != 0) op++;
    return op->method ? op : NULL;
}

const struct help_argument *help_option(const struct help_op *op, const char *name, size_t size) {
    for (const struct help_argument *option = op->options; option->name; option++)
        if (strlen(option->name) == size && memcmp(option->name, name, size) == 0) return option;
    return NULL;
}

/* Prints a text in lines of at most WIDTH columns, indented. */
static void print_wrapped(FILE *out, int indent, const char *text) {
    int column = 0;
    while (*text) {
        int size = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + size > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += column == 0 ? fprintf(out, "%*s%.*s", indent, "", size, text) : fprintf(out, " %.*s", size, text);
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_arguments(FILE *out, const char *title, const struct help_argument *argument) {
    if (argument->name) fprintf(out, "\n%s:\n", title);
    for (; argument->name; argument++) {
        fprintf(out, "  %s (%s)%s%s\n", argument->name, argument->type, *argument->doc ? ": " : "", argument->doc);
        print_wrapped(out, 6, argument->accepts);
    }
}

static void print_op(FILE *out, const struct help_op *op) {
    fprintf(out, "%s", op->method);
    for (const struct help_argument *param = op->params; param->name; param++) fprintf(out, " %s", param->name);
    fprintf(out, "%s\n\n", op->options->name ? " [{options}]" : "");
    print_wrapped(out, 2, op->doc);
    print_arguments(out, "Arguments", op->params);
    print_arguments(out, "Options, as one JSON map or as words name=value", op->options);
    fprintf(out, "\nAnswers: %s\n", op->reply);
    if (*op->errors) fprintf(out, "Errors: %s\n", op->errors);
    fprintf(out, "\nExample:\n  params  %s\n  result  %s\n", op->example_params, op->example_result);
}

static void print_all(FILE *out) {
    fprintf(out, "Methods (help METHOD says more):\n");
    for (const struct help_op *op = help_ops; op->method; op++) {
        int size = (int)strcspn(op->doc, ".");
        fprintf(out, "  %-20s %.*s.\n", op->method, size, op->doc);
    }
    fprintf(out, "\nErrors (help CODE says more):");
    for (const struct help_entry *error = help_errors; error->name; error++) fprintf(out, " %s", error->name);
    fputc('\n', out);
}

bool help_print(FILE *out, const char *topic) {
    if (!topic) {
        print_all(out);
        return true;
    }
    const struct help_op *op = help_find(topic);
    if (op) {
        print_op(out, op);
        return true;
    }
    for (const struct help_entry *error = help_errors; error->name; error++) {
        if (strcasecmp(error->name, topic) != 0) continue;
        fprintf(out, "%s\n\n", error->name);
        print_wrapped(out, 2, error->doc);
        return true;
    }
    return false;
}
