/* Options from four places into one struct.
 *
 * Always true here: a struct options is whole at every moment (each TEXT is owned, never NULL), and a refusal names the
 * option, the value, the place and what is accepted. The order of reading is the order of precedence, weakest first;
 * the flags are read twice, since --config says which file comes before them. */
#include "config/options.h"

#include "config/address.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>

#define RELOADABLE true
#define FIXED      false

const struct option_row option_rows[] = {
#define OPTION(name, kind, default_text, min, max, reload, choices, help)                                              \
    {#name, OPTION_##kind, default_text, min, max, reload, choices, help, offsetof(struct options, name)},
#include "config/options.def"
#undef OPTION
};
const size_t option_count = sizeof option_rows / sizeof *option_rows;

#define ROW_COUNT (sizeof option_rows / sizeof *option_rows)

static char **text_of(struct options *options, const struct option_row *row) {
    assert(row->kind == OPTION_TEXT);
    return (char **)((char *)options + row->offset);
}

static int64_t *number_of(struct options *options, const struct option_row *row) {
    assert(row->kind != OPTION_TEXT);
    return (int64_t *)((char *)options + row->offset);
}

int64_t option_number(const struct options *options, const struct option_row *row) {
    return *number_of((struct options *)options, row);
}

static const struct option_row *row_find(const char *name) {
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strcmp(option_rows[i].name, name) == 0) return &option_rows[i];
    return NULL;
}

/* ---- from text to value */

struct suffix {
    const char *text;
    int64_t factor;
};

static const struct suffix no_suffixes[] = {{"", 1}, {NULL, 0}};
static const struct suffix bytes_suffixes[] = {{"", 1},        {"K", 1 << 10}, {"k", 1 << 10}, {"M", 1 << 20},
                                               {"m", 1 << 20}, {"G", 1 << 30}, {"g", 1 << 30}, {NULL, 0}};
static const struct suffix duration_suffixes[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                                                  {"m", 60000}, {"h", 3600000}, {NULL, 0}};

static bool parse_number(const char *text, int base, const struct suffix *suffixes, const struct option_row *row,
                         int64_t *out) {
    char *end;
    if (!isdigit((unsigned char)*text)) return false;
    errno = 0;
    long long value = strtoll(text, &end, base);
    if (errno) return false;
    while (suffixes->text && strcmp(suffixes->text, end) != 0) suffixes++;
    if (!suffixes->text || value > INT64_MAX / suffixes->factor) return false;
    *out = value * suffixes->factor;
    return *out >= row->min && *out <= row->max;
}

static bool parse_bool(const char *text, int64_t *out) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i], text) != 0) continue;
        *out = i & 1;
        return true;
    }
    return false;
}

static bool parse_choice(const char *text, const char *choices, int64_t *out) {
    size_t size = strlen(text);
    for (int64_t i = 0; *choices; i++) {
        size_t length = strcspn(choices, "|");
        if (length == size && memcmp(choices, text, size) == 0) {
            *out = i;
            return true;
        }
        choices += length + (choices[length] == '|');
    }
    return false;
}

static bool parse_text(const char *text, int64_t max, char **out) {
    if ((int64_t)strlen(text) > max) return false;
    for (const char *at = text; *at; at++)
        if (iscntrl((unsigned char)*at)) return false;
    char *copy = strdup(text);
    if (!copy) return false;
    free(*out);
    *out = copy;
    return true;
}

static bool row_parse(struct options *options, const struct option_row *row, const char *text) {
    switch (row->kind) {
    case OPTION_TEXT: return parse_text(text, row->max, text_of(options, row));
    case OPTION_COUNT: return parse_number(text, 10, no_suffixes, row, number_of(options, row));
    case OPTION_BYTES: return parse_number(text, 10, bytes_suffixes, row, number_of(options, row));
    case OPTION_DURATION: return parse_number(text, 10, duration_suffixes, row, number_of(options, row));
    case OPTION_MODE: return parse_number(text, 8, no_suffixes, row, number_of(options, row));
    case OPTION_BOOL: return parse_bool(text, number_of(options, row));
    case OPTION_CHOICE: return parse_choice(text, row->choices, number_of(options, row));
    }
    return false;
}

/* What is accepted, for --help, the documents and refusals. */
static void row_accepted(const struct option_row *row, char *out, size_t size) {
    switch (row->kind) {
    case OPTION_TEXT:
        snprintf(out, size, "text of at most %" PRId64 " bytes without control characters", row->max);
        break;
    case OPTION_COUNT: snprintf(out, size, "a whole number from %" PRId64 " to %" PRId64, row->min, row->max); break;
    case OPTION_BYTES:
        snprintf(out, size, "bytes from %" PRId64 " to %" PRId64 ", with or without K, M or G", row->min, row->max);
        break;
    case OPTION_DURATION:
        snprintf(out, size, "milliseconds from %" PRId64 " to %" PRId64 ", or a number with s, m or h", row->min,
                 row->max);
        break;
    case OPTION_MODE: snprintf(out, size, "octal permissions from 0 to 0%" PRIo64, row->max); break;
    case OPTION_BOOL: snprintf(out, size, "true or false"); break;
    case OPTION_CHOICE: snprintf(out, size, "one of %s", row->choices); break;
    }
}

static bool row_set(struct options *options, const struct option_row *row, const char *text, const char *place,
                    char *error) {
    char accepted[128];
    if (row_parse(options, row, text)) return true;
    row_accepted(row, accepted, sizeof accepted);
    snprintf(error, OPTIONS_ERROR_MAX, "option %s: \"%.200s\" (%.300s) is not accepted; give %s", row->name, text,
             place, accepted);
    return false;
}

static bool options_init(struct options *options) {
    memset(options, 0, sizeof *options);
    bool is_done = true;
    for (size_t i = 0; i < ROW_COUNT; i++) is_done &= row_parse(options, &option_rows[i], option_rows[i].default_text);
    return is_done;
}

void options_fini(struct options *options) {
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (option_rows[i].kind == OPTION_TEXT) free(*text_of(options, &option_rows[i]));
    memset(options, 0, sizeof *options);
}

/* ---- the file */

struct file_reading {
    struct options *options;
    const char *path;
    FILE *stream;
    int line;
    bool is_refused;
    bool was_given[ROW_COUNT];
    char *error;
};

static int file_refuse(struct file_reading *reading, const char *what, const char *name) {
    if (!reading->is_refused)
        snprintf(reading->error, OPTIONS_ERROR_MAX, "file %.300s, line %d: %s%s%.100s", reading->path, reading->line,
                 what, *name ? " " : "", name);
    reading->is_refused = true;
    return 0;
}

/* inih cuts a line that is longer than its buffer into two, and would take the rest for another entry; what stands
 * behind a NUL it would not see at all. */
static char *file_line(char *out, int size, void *context) {
    struct file_reading *reading = context;
    int used = 0, c = 0;
    while (c != '\n' && used < size - 1 && !reading->is_refused && (c = getc(reading->stream)) != EOF)
        out[used++] = (char)c;
    out[used] = '\0';
    if (used == 0) return NULL;
    reading->line++;
    if (memchr(out, '\0', (size_t)used)) file_refuse(reading, "there is a NUL in the line; give plain text", "");
    if (used == size - 1 && c != '\n' && (c = getc(reading->stream)) != EOF) {
        ungetc(c, reading->stream);
        file_refuse(reading, "the line is too long", "");
    }
    return reading->is_refused ? NULL : out;
}

static int file_entry(void *context, const char *section, const char *name, const char *value) {
    struct file_reading *reading = context;
    char place[400];
    if (reading->is_refused) return 0;
    if (*section && strcmp(section, "sessiond") != 0)
        return file_refuse(reading, "there are no sections but [sessiond], found", section);
    const struct option_row *row = row_find(name);
    if (!row) return file_refuse(reading, "no option has this name (see --help):", name);
    if (strcmp(name, "config") == 0) return file_refuse(reading, "a file cannot name another file:", name);
    bool *was_given = &reading->was_given[row - option_rows];
    if (*was_given) return file_refuse(reading, "given a second time:", name);
    *was_given = true;
    snprintf(place, sizeof place, "file %.300s, line %d", reading->path, reading->line);
    if (row_set(reading->options, row, value, place, reading->error)) return 1;
    reading->is_refused = true;
    return 0;
}

static bool load_file(struct options *options, const char *path, char *error) {
    struct file_reading reading = {.options = options, .path = path, .error = error};
    if (!*path) return true;
    reading.stream = fopen(path, "re");
    if (!reading.stream) {
        snprintf(error, OPTIONS_ERROR_MAX, "file %.300s cannot be read: %s", path, strerror(errno));
        return false;
    }
    int refused_line = ini_parse_stream(file_line, &reading, file_entry, &reading);
    if (ferror(reading.stream)) file_refuse(&reading, "reading failed:", strerror(errno));
    if (refused_line && !reading.is_refused) {
        reading.line = refused_line;
        file_refuse(&reading, "is not of the form `name = value`", "");
    }
    fclose(reading.stream);
    return !reading.is_refused;
}

/* ---- the environment */

static bool load_environment(struct options *options, char *const *environment, char *error) {
    static const char prefix[] = "SESSIOND_";
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char name[64], place[100];
        size_t size = (size_t)snprintf(name, sizeof name, "%s%s", prefix, option_rows[i].name);
        for (size_t k = 0; k < size; k++) name[k] = (char)toupper((unsigned char)name[k]);
        snprintf(place, sizeof place, "environment variable %s", name);
        for (char *const *entry = environment; entry && *entry; entry++) {
            if (strncmp(*entry, name, size) != 0 || (*entry)[size] != '=') continue;
            if (!row_set(options, &option_rows[i], *entry + size + 1, place, error)) return false;
        }
    }
    return true;
}

/* ---- the command line */

enum {
    FLAG_HELP = ROW_COUNT,
    FLAG_HELP_MARKDOWN,
    FLAG_VERSION,
    FLAG_ROTATE_KEYS,
    FLAG_REPAIR,
    FLAG_ACCEPT_CLOCK,
    FLAG_COUNT
};
_Static_assert(FLAG_COUNT <= ':', "':' and '?' are what getopt_long answers where it refuses");

static void flag_name(const char *name, char out[48]) {
    size_t i = 0;
    for (; name[i] && i < 47; i++) out[i] = name[i] == '_' ? '-' : name[i];
    out[i] = 0;
}

static void flags_fill(struct option flags[FLAG_COUNT + 1], char names[ROW_COUNT][48]) {
    memset(flags, 0, (FLAG_COUNT + 1) * sizeof *flags);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        flag_name(option_rows[i].name, names[i]);
        int has_argument = option_rows[i].kind == OPTION_BOOL ? optional_argument : required_argument;
        flags[i] = (struct option){names[i], has_argument, NULL, (int)i};
    }
    flags[FLAG_HELP] = (struct option){"help", no_argument, NULL, FLAG_HELP};
    flags[FLAG_HELP_MARKDOWN] = (struct option){"help-markdown", no_argument, NULL, FLAG_HELP_MARKDOWN};
    flags[FLAG_VERSION] = (struct option){"version", no_argument, NULL, FLAG_VERSION};
    flags[FLAG_ROTATE_KEYS] = (struct option){"rotate-keys", no_argument, NULL, FLAG_ROTATE_KEYS};
    flags[FLAG_REPAIR] = (struct option){"repair", no_argument, NULL, FLAG_REPAIR};
    flags[FLAG_ACCEPT_CLOCK] = (struct option){"accept-clock", no_argument, NULL, FLAG_ACCEPT_CLOCK};
}

/* The word that getopt_long refused. It is past it, but for a word of several short flags: there are none, so such a
 * word is refused at its first letter, and stands where it stood. */
static const char *refused_word(int argc, char *const *argv) {
    const char *next = optind < argc ? argv[optind] : "";
    bool is_next = next[0] == '-' && next[1] && next[1] == (char)optopt && next[2];
    return is_next ? next : argv[optind - 1];
}

static enum options_outcome load_flags(struct options *options, int argc, char *const *argv, char *error) {
    struct option flags[FLAG_COUNT + 1];
    char names[ROW_COUNT][48];
    enum options_outcome outcome = OPTIONS_RUN;
    flags_fill(flags, names);
    optind = 0; /* glibc: start anew; SIGHUP reads the flags again */
    opterr = 0;
    for (;;) {
        int flag = getopt_long(argc, argv, ":", flags, NULL);
        if (flag == -1) break;
        if (flag == FLAG_HELP) return OPTIONS_HELP;
        if (flag == FLAG_HELP_MARKDOWN) return OPTIONS_HELP_MARKDOWN;
        if (flag == FLAG_VERSION) return OPTIONS_VERSION;
        if (flag == FLAG_ROTATE_KEYS) {
            outcome = OPTIONS_ROTATE_KEYS;
            continue;
        }
        if (flag == FLAG_REPAIR || flag == FLAG_ACCEPT_CLOCK) {
            *(flag == FLAG_REPAIR ? &options->is_repair : &options->accepts_clock) = true;
            outcome = OPTIONS_RECOVER;
            continue;
        }
        if (flag == ':' || flag == '?') {
            const char *what = flag == ':' ? "needs a value" : "is not a flag";
            snprintf(error, OPTIONS_ERROR_MAX, "%.200s %s; --help lists all flags", refused_word(argc, argv), what);
            return OPTIONS_REFUSED;
        }
        if (!row_set(options, &option_rows[flag], optarg ? optarg : "true", "command line", error))
            return OPTIONS_REFUSED;
    }
    if (optind == argc) return outcome;
    snprintf(error, OPTIONS_ERROR_MAX, "\"%.200s\" is not a flag; --help lists all flags", argv[optind]);
    return OPTIONS_REFUSED;
}

/* ---- what no row can say alone */

static bool refuse(char *error, const char *name, const char *value, const char *why) {
    snprintf(error, OPTIONS_ERROR_MAX, "option %s: \"%.200s\" %.500s", name, value, why);
    return false;
}

static bool check_addresses(const struct options *options, char *error) {
    struct address address;
    char why[300];
    if (!address_parse(options->bind, (int)options->port, &address, why, sizeof why))
        return refuse(error, "bind", options->bind, why);
    if (address.is_none && !*options->unix_socket)
        return refuse(error, "bind", options->bind, "leaves nothing to listen on; give unix_socket too");
    if (!address.is_none && !address.is_loopback && !options->insecure)
        return refuse(error, "bind", options->bind,
                      "can be reached from other machines, and this version neither encrypts nor asks who is there; "
                      "give a loopback address, or --insecure if the network is trusted");
    return true;
}

static bool check_bounds(const struct options *options, char *error) {
    if (options->max_output > options->output_mark + options->max_frame) return true;
    char value[32];
    snprintf(value, sizeof value, "%" PRId64, options->max_output);
    return refuse(error, "max_output", value,
                  "would cut off readers that are not slow; give more than output_mark and max_frame together");
}

enum durability options_durability(const struct options *options) {
    if (options->durability != DURABILITY_AUTO) return (enum durability)options->durability;
    return *options->data_dir ? DURABILITY_EVERYSEC : DURABILITY_NONE;
}

static bool options_check(const struct options *options, char *error) {
    enum durability level = options_durability(options);
    bool is_recovery = options->is_repair || options->accepts_clock;
    if (level != DURABILITY_NONE && !*options->data_dir)
        return refuse(error, "durability", level == DURABILITY_ALWAYS ? "always" : "everysec",
                      "needs a place to keep sessions in; give data_dir too");
    if (level == DURABILITY_NONE && is_recovery)
        return refuse(error, "durability", "none",
                      "keeps nothing that could be repaired; give the data_dir that is meant");
    return check_addresses(options, error) && check_bounds(options, error);
}

enum options_outcome options_load(struct options *options, int argc, char *const *argv, char *const *environment,
                                  char error[OPTIONS_ERROR_MAX]) {
    struct options asked; /* only to learn which file is meant */
    *error = 0;
    bool is_done = options_init(options);
    if (!options_init(&asked) || !is_done) {
        options_fini(&asked);
        snprintf(error, OPTIONS_ERROR_MAX, "there is no memory left");
        return OPTIONS_REFUSED;
    }
    enum options_outcome outcome = OPTIONS_REFUSED;
    if (!load_environment(&asked, environment, error)) goto done;
    outcome = load_flags(&asked, argc, argv, error);
    if (outcome != OPTIONS_RUN && outcome != OPTIONS_ROTATE_KEYS && outcome != OPTIONS_RECOVER) goto done;
    outcome = OPTIONS_REFUSED;
    if (!load_file(options, asked.config, error)) goto done;
    if (!load_environment(options, environment, error)) goto done;
    outcome = load_flags(options, argc, argv, error);
    if (outcome != OPTIONS_REFUSED && !options_check(options, error)) outcome = OPTIONS_REFUSED;
done:
    options_fini(&asked);
    return outcome;
}

/* ---- reload */

void options_apply(struct options *options, const struct options *next, options_changed changed, void *context) {
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        char from[OPTION_TEXT_MAX], to[OPTION_TEXT_MAX];
        option_format(options, row, from);
        option_format(next, row, to);
        if (strcmp(from, to) == 0) continue;
        assert(!row->is_reloadable || row->kind != OPTION_TEXT); /* loops read texts without a lock */
        if (row->is_reloadable) *number_of(options, row) = option_number(next, row);
        if (changed) changed(context, row, from, to, row->is_reloadable);
    }
}

/* ---- from value to text */

void option_format(const struct options *options, const struct option_row *row, char out[OPTION_TEXT_MAX]) {
    if (row->kind == OPTION_TEXT) {
        snprintf(out, OPTION_TEXT_MAX, "%s", *text_of((struct options *)options, row));
        return;
    }
    int64_t number = option_number(options, row);
    if (row->kind == OPTION_BOOL) {
        snprintf(out, OPTION_TEXT_MAX, "%s", number ? "true" : "false");
    } else if (row->kind == OPTION_MODE) {
        snprintf(out, OPTION_TEXT_MAX, "0%" PRIo64, number);
    } else if (row->kind == OPTION_CHOICE) {
        const char *choice = row->choices;
        for (; number > 0; number--) choice += strcspn(choice, "|") + 1;
        snprintf(out, OPTION_TEXT_MAX, "%.*s", (int)strcspn(choice, "|"), choice);
    } else {
        snprintf(out, OPTION_TEXT_MAX, "%" PRId64, number);
    }
}

static const char *row_metavar(const struct option_row *row) {
    static const char *const names[] = {"TEXT", "N", "BYTES", "MS", "", "MODE", ""};
    return row->kind == OPTION_CHOICE ? row->choices : names[row->kind];
}

void options_print_help(FILE *out) {
    fprintf(out, "sessiond " SESSIOND_VERSION ": a server for sessions.\n\n"
                 "Usage: sessiond [flags]\n\n"
                 "Each option can also stand in the file as `name = value` (underscores for dashes), or in the\n"
                 "environment as SESSIOND_NAME. Flags win over the environment, that over the file.\n"
                 "* marks what SIGHUP applies from the file without a restart.\n\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        char name[48];
        flag_name(row->name, name);
        fprintf(out, "  --%s %s%s\n        %s", name, row_metavar(row), row->is_reloadable ? " *" : "", row->help);
        fprintf(out, *row->default_text ? " [%s]\n" : "\n", row->default_text);
    }
    fprintf(out, "  --rotate-keys\n        renew the token key of the key file and end; a server that runs takes it "
                 "with SIGHUP\n"
                 "  --repair\n        give up what is damaged in the data directory, keep copies of it, and end\n"
                 "  --accept-clock\n        continue the data directory at the time that the clock shows now, and end\n"
                 "  --help, --help-markdown, --version\n");
}

void options_print_markdown(FILE *out) {
    fprintf(out, "| option | default | accepts | reload | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        char accepted[128], name[48];
        flag_name(row->name, name);
        row_accepted(row, accepted, sizeof accepted);
        for (char *at = accepted; *at; at++)
            if (*at == '|') *at = '/'; /* a bar would end the table's cell */
        fprintf(out, "| `--%s` | %s%s%s | %s | %s | %s |\n", name, *row->default_text ? "`" : "", row->default_text,
                *row->default_text ? "`" : "", accepted, row->is_reloadable ? "yes" : "no", row->help);
    }
}
