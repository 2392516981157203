/* Options: precedence, bounds, and refusals that say what is accepted. */
#include "config/options.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

static struct options options;
static char error[OPTIONS_ERROR_MAX];
static char path[64];

static enum options_outcome load(char *const *environment, int argc, const char *const *argv) {
    return options_load(&options, argc, (char *const *)argv, environment, error);
}

#define LOAD(environment, ...)                                                                                         \
    load(environment, (int)(sizeof((const char *[]){"sessiond", __VA_ARGS__}) / sizeof(char *)),                       \
         (const char *[]){"sessiond", __VA_ARGS__, NULL})

static void write_file(const char *text) {
    snprintf(path, sizeof path, "options_test_XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void fini(void) {
    options_fini(&options);
    if (*path) unlink(path);
}

TestSuite(options, .fini = fini);

Test(options, has_defaults_that_are_accepted) {
    const char *argv[] = {"sessiond", NULL};
    cr_assert_eq(load(NULL, 1, argv), OPTIONS_RUN, "%s", error);
    cr_assert_str_eq(options.bind, "127.0.0.1");
    cr_assert_eq(options.port, 7420);
    cr_assert_eq(options.durability, DURABILITY_AUTO);
    cr_assert_eq(options_durability(&options), DURABILITY_NONE);
    cr_assert_eq(options.output_mark, 256 * 1024);
    cr_assert_eq(options.unix_socket_mode, 0600);
}

Test(options, gives_flags_precedence_over_environment_over_file_over_default) {
    char *environment[] = {"SESSIOND_PORT=2", "SESSIOND_THREADS=2", "SESSIONDX=1", NULL};
    write_file("# a comment\n[sessiond]\nport = 1\nthreads = 1\nmax_connections = 1\n");
    cr_assert_eq(LOAD(environment, "--port", "3", "--config", path), OPTIONS_RUN, "%s", error);
    cr_assert_eq(options.port, 3);
    cr_assert_eq(options.threads, 2);
    cr_assert_eq(options.max_connections, 1);
    cr_assert_eq(options.drain_timeout_ms, 10000);
}

Test(options, finds_its_file_through_the_environment) {
    char entry[96], *environment[] = {entry, NULL};
    write_file("port = 5\n");
    snprintf(entry, sizeof entry, "SESSIOND_CONFIG=%s", path);
    const char *argv[] = {"sessiond", NULL};
    cr_assert_eq(load(environment, 1, argv), OPTIONS_RUN, "%s", error);
    cr_assert_eq(options.port, 5);
}

Test(options, reads_sizes_durations_switches_and_modes_with_their_suffixes) {
    cr_assert_eq(LOAD(NULL, "--max-memory=3G", "--drain-timeout-ms=2s", "--insecure", "--bind=0.0.0.0",
                      "--unix-socket-mode=660"),
                 OPTIONS_RUN, "%s", error);
    cr_assert_eq(options.max_memory, INT64_C(3) << 30);
    cr_assert_eq(options.drain_timeout_ms, 2000);
    cr_assert_eq(options.insecure, 1);
    cr_assert_eq(options.unix_socket_mode, 0660);
}

struct refusal {
    const char *flag, *says;
};

Test(options, refuses_a_bad_value_with_its_name_place_and_what_is_accepted) {
    static const struct refusal refusals[] = {
        {"--port=70000", "option port: \"70000\" (command line) is not accepted; give a whole number from 0 to 65535"},
        {"--port=-1", "from 0 to 65535"},
        {"--port= 1", "from 0 to 65535"},
        {"--port=", "from 0 to 65535"},
        {"--port=1x", "from 0 to 65535"},
        {"--port=99999999999999999999", "from 0 to 65535"},
        {"--max-memory=9999999999G", "with or without K, M or G"},
        {"--max-memory=1T", "with or without K, M or G"},
        {"--drain-timeout-ms=1d", "a number with s, m or h"},
        {"--log-level=loud", "one of debug|info|warn|error"},
        {"--log-level=debug|info", "one of debug|info|warn|error"},
        {"--log-level=", "one of debug|info|warn|error"},
        {"--unix-socket-mode=888", "octal"},
        {"--insecure=perhaps", "true or false"},
        {"--bind=a\nb", "without control characters"},
        {"--durability=always", "option durability: \"always\" needs a place to keep sessions in; give data_dir too"},
        {"--durability=everysec", "give data_dir too"},
        {"--durability=often", "one of auto|none|everysec|always"},
        {"--repair", "option durability: \"none\" keeps nothing that could be repaired"},
        {"--accept-clock", "give the data_dir that is meant"},
        {"--segment-size=1K", "bytes from 65536"},
        {"--max-output=64K", "more than output_mark and max_frame together"},
        {"--bind=0.0.0.0", "give a loopback address, or --insecure"},
        {"--bind=::", "give a loopback address, or --insecure"},
        {"--bind=sessionds://127.0.0.1", "TLS, which this version does not have"},
        {"--bind=sessiond://127.0.0.1", "is a URL"},
        {"--bind=example.org", "is no address"},
        {"--bind=none", "leaves nothing to listen on"},
        {"--frob", "--frob is not a flag"},
        {"--port", "--port needs a value"},
        {"frob", "\"frob\" is not a flag"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        cr_expect_eq(LOAD(NULL, refusals[i].flag), OPTIONS_REFUSED, "%s", refusals[i].flag);
        cr_expect(strstr(error, refusals[i].says), "%s: \"%s\" does not say \"%s\"", refusals[i].flag, error,
                  refusals[i].says);
        options_fini(&options);
    }
}

Test(options, refuses_a_bad_file_with_the_line_and_the_reason) {
    static char long_line[1000] = "port = 1\nbind = ";
    static const struct refusal refusals[] = {
        {"port = 1\n\nprot = 2\n", "line 3: no option has this name (see --help): prot"},
        {"port = 1\nport = 2\n", "line 2: given a second time: port"},
        {"port = 1\n  2\n", "line 2: given a second time: port"},
        {"port\n", "line 1: is not of the form `name = value`"},
        {"[other]\nport = 1\n", "line 2: there are no sections but [sessiond], found other"},
        {"config = x\n", "line 1: a file cannot name another file"},
        {"port = x\n", ", line 1) is not accepted; give a whole number from 0 to 65535"},
        {long_line, "line 2: the line is too long"},
    };
    memset(long_line + strlen(long_line), 'x', 900);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        write_file(refusals[i].flag);
        cr_expect_eq(LOAD(NULL, "--config", path), OPTIONS_REFUSED, "%s", refusals[i].flag);
        cr_expect(strstr(error, refusals[i].says), "\"%s\" does not say \"%s\"", error, refusals[i].says);
        cr_expect(strstr(error, path), "%s", error);
        options_fini(&options);
        unlink(path);
    }
    cr_assert_eq(LOAD(NULL, "--config", "no/such/file"), OPTIONS_REFUSED);
    cr_assert(strstr(error, "file no/such/file cannot be read"), "%s", error);
}

Test(options, refuses_what_stands_behind_a_nul_in_the_file) {
    write_file("port = 1\nport = 2\n");
    FILE *file = fopen(path, "r+");
    fseek(file, 8, SEEK_SET); /* the first line's end */
    putc('\0', file);
    fclose(file);
    cr_assert_eq(LOAD(NULL, "--config", path), OPTIONS_REFUSED);
    cr_assert(strstr(error, "line 1: there is a NUL"), "%s", error);
}

Test(options, names_the_short_flag_that_it_does_not_know) {
    cr_assert_eq(LOAD(NULL, "--insecure", "-port"), OPTIONS_REFUSED);
    cr_assert_eq(strncmp(error, "-port is not a flag", 19), 0, "%s", error);
    options_fini(&options);
    cr_assert_eq(LOAD(NULL, "--insecure", "-p", "7420"), OPTIONS_REFUSED);
    cr_assert_eq(strncmp(error, "-p is not a flag", 16), 0, "%s", error);
}

Test(options, refuses_a_bad_variable_with_its_name) {
    char *environment[] = {"SESSIOND_PORT=tcp://10.0.0.1:7420", NULL};
    cr_assert_eq(LOAD(environment, "--threads=1"), OPTIONS_REFUSED);
    cr_assert(strstr(error, "environment variable SESSIOND_PORT"), "%s", error);
}

Test(options, tells_help_and_version_from_running) {
    cr_assert_eq(LOAD(NULL, "--help"), OPTIONS_HELP);
    options_fini(&options);
    cr_assert_eq(LOAD(NULL, "--help-markdown"), OPTIONS_HELP_MARKDOWN);
    options_fini(&options);
    cr_assert_eq(LOAD(NULL, "--version"), OPTIONS_VERSION);
}

static char changes[512];

static void note_change(void *context, const struct option_row *row, const char *from, const char *to,
                        bool is_applied) {
    (void)context;
    size_t size = strlen(changes);
    snprintf(changes + size, sizeof changes - size, "%s %s>%s%s\n", row->name, from, to, is_applied ? "" : " later");
}

Test(options, applies_what_is_reloadable_and_reports_what_is_not) {
    struct options next;
    cr_assert_eq(LOAD(NULL, "--port=1", "--log-level=info", "--max-memory=1M"), OPTIONS_RUN);
    const char *argv[] = {"sessiond", "--port=2", "--log-level=debug", "--max-memory=1024K"};
    cr_assert_eq(options_load(&next, 4, (char *const *)argv, NULL, error), OPTIONS_RUN);
    options_apply(&options, &next, note_change, NULL);
    cr_assert_str_eq(changes, "port 1>2 later\nlog_level info>debug\n");
    cr_assert_eq(options.port, 1);
    cr_assert_eq(options.log_level, 0);
    options_fini(&next);
}

Test(options, writes_each_value_in_a_form_that_it_reads) {
    cr_assert_eq(LOAD(NULL, "--insecure", "--log-level=error", "--unix-socket-mode=0640"), OPTIONS_RUN);
    char text[16384] = "", value[OPTION_TEXT_MAX];
    for (size_t i = 1; i < option_count; i++) { /* not `config`, which no file may hold */
        option_format(&options, &option_rows[i], value);
        size_t size = strlen(text);
        snprintf(text + size, sizeof text - size, "%s = %s\n", option_rows[i].name, value);
    }
    write_file(text);
    struct options again;
    const char *argv[] = {"sessiond", "--config", path};
    cr_assert_eq(options_load(&again, 3, (char *const *)argv, NULL, error), OPTIONS_RUN, "%s", error);
    options_apply(&options, &again, note_change, NULL);
    cr_assert(strncmp(changes, "config ", 7) == 0 && strchr(changes, '\n')[1] == 0, "%s", changes);
    options_fini(&again);
}

Test(options, prints_every_option_in_help_and_in_the_documents_table) {
    const char *argv[] = {"sessiond", NULL};
    load(NULL, 1, argv);
    static char text[65536];
    for (int is_markdown = 0; is_markdown < 2; is_markdown++) {
        FILE *out = fmemopen(text, sizeof text, "w");
        if (is_markdown)
            options_print_markdown(out);
        else
            options_print_help(out);
        fclose(out);
        for (size_t i = 0; i < option_count; i++)
            cr_expect(strstr(text, option_rows[i].help), "%s", option_rows[i].name);
        cr_expect(strstr(text, "--max-connections"), "%s", text);
    }
}
