/* The server's options: one table (options.def), four places to set them.
 *
 * Flags win over the environment, that over the file, that over the default. Read by one thread at a time, at start and
 * at SIGHUP; a loaded `struct options` is then read by anybody. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "sessiond/bytes.h"
#include "sessiond/protocol.h"

#include <stdio.h>

enum option_kind { OPTION_TEXT, OPTION_COUNT, OPTION_BYTES, OPTION_DURATION, OPTION_BOOL, OPTION_MODE, OPTION_CHOICE };

/* A value of each option, in the order of options.def: `char *` (owned, never NULL) for TEXT, int64_t for the others;
 * that of a CHOICE is the choice's position. */
#define OPTION_MEMBER_TEXT     char *
#define OPTION_MEMBER_COUNT    int64_t
#define OPTION_MEMBER_BYTES    int64_t
#define OPTION_MEMBER_DURATION int64_t
#define OPTION_MEMBER_BOOL     int64_t
#define OPTION_MEMBER_MODE     int64_t
#define OPTION_MEMBER_CHOICE   int64_t
struct options {
#define OPTION(name, kind, default_text, min, max, reload, choices, help) OPTION_MEMBER_##kind name;
#include "config/options.def"
#undef OPTION
    /* Of a start that repairs (OPTIONS_RECOVER): from the command line alone, so that they cannot stay in a file. */
    bool is_repair, accepts_clock;
};

enum durability { DURABILITY_AUTO, DURABILITY_NONE, DURABILITY_EVERYSEC, DURABILITY_ALWAYS };

/* The level that holds: never AUTO. */
enum durability options_durability(const struct options *options);

struct option_row {
    const char *name; /* with underscores, as in the file */
    enum option_kind kind;
    const char *default_text;
    int64_t min, max; /* of a number; of a text its longest in max */
    bool is_reloadable;
    const char *choices; /* "a|b|c" or NULL */
    const char *help;
    size_t offset; /* in struct options */
};

extern const struct option_row option_rows[];
extern const size_t option_count;

/* What the command line asked for. For RUN, ROTATE_KEYS and RECOVER (--repair, --accept-clock) all options are read. */
enum options_outcome {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_HELP_MARKDOWN,
    OPTIONS_VERSION,
    OPTIONS_ROTATE_KEYS,
    OPTIONS_RECOVER,
    OPTIONS_REFUSED
};

#define OPTIONS_ERROR_MAX 1024

/* Reads all four places into `options` and checks them. After OPTIONS_REFUSED `error` holds a sentence that names the
 * option, the value, where it stood and what is accepted. Whatever it answers, options_fini must follow. */
enum options_outcome options_load(struct options *options, int argc, char *const *argv, char *const *environment,
                                  char error[OPTIONS_ERROR_MAX]);
void options_fini(struct options *options);

/* Told for each option that differs; `is_applied` is false where it needs a restart. */
typedef void (*options_changed)(void *context, const struct option_row *row, const char *from, const char *to,
                                bool is_applied);
/* Takes over the reloadable values of `next` that differ; `changed` may be NULL. */
void options_apply(struct options *options, const struct options *next, options_changed changed, void *context);

#define OPTION_TEXT_MAX 4096
/* The value as it would be written in the file. */
void option_format(const struct options *options, const struct option_row *row, char out[OPTION_TEXT_MAX]);
/* The value as a number (not for TEXT). */
int64_t option_number(const struct options *options, const struct option_row *row);

void options_print_help(FILE *out);
void options_print_markdown(FILE *out); /* the table for documents */

#endif
